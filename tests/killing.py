"""Mata un entrenamiento una y otra vez, de principio a fin, y lo deja terminar.

    python killing.py VECES SEMILLA CARPETA -- argumentos de cnnhistory

Los argumentos traen --epochs. Cada intento sigue con --resume lo que dejó el anterior. Unos mueren
al arrancar; otros, en cualquier punto de una época; otros, mientras escriben los pesos o el punto
de control. Lo último que imprime es JSON: de cada muerte, las épocas que iban y el archivo que
quedó a medias, o ``null``.
"""

import json
import os
import random
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import torch
from together import few

from cnnhistory import cli, experiment

torch.set_num_threads(1)
FILES = ["last.safetensors", "checkpoint.safetensors"]


def epochs(log: Path) -> int:
    return len(log.read_bytes().splitlines()) if log.exists() else 0


def train(arguments: list[str], log: Path, slow: int | None = None) -> int:
    """Lanza el entrenamiento; desde la época ``slow``, el disco tarda en recibir cada archivo."""
    pid = os.fork()
    if pid == 0:
        os.dup2(os.open(log.with_suffix(".salida"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 1)
        real = os.fsync

        def fsync(descriptor: int) -> None:
            if slow is not None and epochs(log) >= slow:
                time.sleep(0.2)
            real(descriptor)

        os.fsync = fsync
        code = 70
        try:
            code = cli.main(arguments)
        finally:
            os._exit(code)
    return pid


def halfway(folder: Path, since: int) -> str | None:
    """El archivo que se está escribiendo; los que dejaron otras muertes son de antes."""
    for name in FILES:
        with suppress(FileNotFoundError):
            if (folder / f"{name}.partial").stat().st_mtime_ns > since:
                return name
    return None


def main() -> None:
    split = sys.argv.index("--")
    times, seed, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    dice, log, deaths = random.Random(seed), folder / "log.jsonl", []
    arguments = [*sys.argv[split + 1 :], "--resume", "--checkpoints", str(folder)]
    arguments += ["--log", str(log)]
    total = int(arguments[arguments.index("--epochs") + 1])
    experiment.SOURCES = {"fashion": few}
    # Repartidas por todo el entrenamiento, pero antes de que pueda terminar.
    targets = sorted(dice.randrange(total * 9 // 10) for _ in range(times))
    kinds = [["start", "epoch", *FILES][number % 4] for number in range(times)]
    dice.shuffle(kinds)
    for target, kind in zip(targets, kinds, strict=True):
        start = time.time_ns()
        pid = train(arguments, log, target if kind in FILES else None)
        deadline = time.monotonic() + 60
        while kind != "start" and time.monotonic() < deadline:
            if epochs(log) >= target and kind in ("epoch", halfway(folder, start)):
                break
            time.sleep(0.002)
        time.sleep({"start": dice.uniform(0, 0.15), "epoch": dice.uniform(0, 0.05)}.get(kind, 0))
        os.kill(pid, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        if code != -signal.SIGKILL:
            sys.exit(f"terminó solo, con {code}, tras {len(deaths)} muertes")
        deaths.append((epochs(log), halfway(folder, start)))
    code = os.waitstatus_to_exitcode(os.waitpid(train(arguments, log), 0)[1])
    print(json.dumps(deaths))
    sys.exit(code)


if __name__ == "__main__":
    main()
