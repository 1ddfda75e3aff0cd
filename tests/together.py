"""Lanza varios procesos de `cnnhistory` como torchrun, pero desde uno que ya importó torch.

    python together.py [--kill RANGO ÉPOCA] [--test IMÁGENES] PROCESOS CARPETA -- argumentos

Los argumentos son los de `cnnhistory`. Los datos son 400 imágenes de las de verdad. En la carpeta
queda lo que diga cada proceso y, en ``RANGO.pt``, lo primero que sortearía al entrenar y la red
con que terminó.
"""

import argparse
import json
import os
import signal
import socket
import sys
from functools import partial
from pathlib import Path

import torch

from cnnhistory import cli, data, distributed, experiment, training

torch.set_num_threads(1)
# En float32 aunque haya bfloat16: con 16 bits se nota en qué orden suman los procesos.
torch.cpu._is_avx512_bf16_supported = lambda: False


def few(subset: str, images: int = 50) -> tuple[data.Dataset, data.Dataset]:
    """Cuarenta imágenes de cada clase, y ``images`` de prueba."""
    train, test = data.fashion_mnist()
    chosen = torch.cat([(train.labels == label).nonzero()[:40, 0] for label in range(10)])
    return train[chosen], test[:images]


def kill_at(epoch: int) -> None:
    """Este proceso muere al medir esa época."""
    real, calls = training.evaluate, []

    def evaluate(model, batches):
        calls.append(model)
        if len(calls) == epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(model, batches)

    training.evaluate = evaluate


def note(path: Path) -> None:
    """Este proceso deja en ``path`` lo primero que sortearía y la red con que terminó."""
    real = training.train

    def train(model, *arguments, **options):
        with torch.random.fork_rng([]):
            drawn = torch.rand(8)
        history = real(model, *arguments, **options)
        torch.save((drawn, distributed.unwrapped(model).state_dict()), path)
        return history

    training.train = train


def child(rank: int, folder: Path, arguments: list[str]) -> int:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = cli.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    split = sys.argv.index("--")
    parser = argparse.ArgumentParser()
    parser.add_argument("processes", type=int)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--kill", nargs=2, type=int)
    parser.add_argument("--test", type=int, default=50)
    options, arguments = parser.parse_args(sys.argv[1:split]), sys.argv[split + 1 :]
    processes, folder = options.processes, options.folder
    folder.mkdir(parents=True, exist_ok=True)
    experiment.SOURCES = {"fashion": partial(few, images=options.test)}
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(processes):
        pid = os.fork()
        if pid == 0:
            if processes > 1:
                os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
                os.environ |= {"RANK": str(rank), "WORLD_SIZE": str(processes)}
            if options.kill and options.kill[0] == rank:
                kill_at(options.kill[1])
            note(folder / f"{rank}.pt")
            try:
                code = child(rank, folder, arguments)
            except BaseException:
                code = 70
                raise
            finally:
                os._exit(code)
        children.append(pid)
    codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children]
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
