"""Mata un entrenamiento una y otra vez, en momentos al azar, y lo deja terminar.

    python killing.py VECES SEMILLA CARPETA -- argumentos de cnnhistory

Cada intento sigue con --resume lo que dejó el anterior. Lo último que imprime es JSON: cuántas
épocas iban en cada muerte, y si había un archivo a medio escribir.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch
from together import few

from cnnhistory import cli, experiment

torch.set_num_threads(1)


def epochs(log: Path) -> int:
    return len(log.read_bytes().splitlines()) if log.exists() else 0


def train(arguments: list[str], log: Path) -> int:
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(log.with_suffix(".salida"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        code = 70
        try:
            code = cli.main(arguments)
        finally:
            os._exit(code)
    return pid


def main() -> None:
    split = sys.argv.index("--")
    times, seed, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dice, log, deaths, done = random.Random(seed), folder / "log.jsonl", [], 0
    arguments = [*sys.argv[split + 1 :], "--resume", "--checkpoints", str(folder)]
    arguments += ["--log", str(log)]
    experiment.SOURCES = {"fashion": few}
    while len(deaths) < times:
        pid = train(arguments, log)
        # Unas veces al arrancar, otras tras alguna época nueva, y siempre en cualquier punto.
        more = dice.choice([0, 1, 2, 3])
        deadline = time.monotonic() + 60
        while more and epochs(log) < done + more and time.monotonic() < deadline:
            time.sleep(0.002)
        time.sleep(dice.uniform(0, 0.05 if more else 0.3))
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != -signal.SIGKILL:
            sys.exit(f"terminó solo, con {code}, tras {len(deaths)} muertes")
        done = max(done, epochs(log))
        deaths.append((done, bool([*folder.glob("*.partial")])))
    code = os.waitstatus_to_exitcode(os.waitpid(train(arguments, log), 0)[1])
    print(json.dumps(deaths))
    sys.exit(code)


if __name__ == "__main__":
    main()
