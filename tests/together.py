"""Lanza varios procesos de `cnnhistory` como torchrun, pero desde uno que ya importó torch.

    python together.py PROCESOS CARPETA [--kill RANGO ÉPOCA] -- argumentos de cnnhistory

Los datos son 400 imágenes de las de verdad. Lo que diga cada proceso queda en la carpeta.
"""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import torch

from cnnhistory import cli, data, experiment, training

torch.set_num_threads(1)
# En float32 aunque haya bfloat16: con 16 bits se nota en qué orden suman los procesos.
torch.cpu._is_avx512_bf16_supported = lambda: False


def few(subset: str) -> tuple[data.Dataset, data.Dataset]:
    """Cuarenta imágenes de cada clase, y cincuenta de prueba."""
    train, test = data.fashion_mnist()
    chosen = torch.cat([(train.labels == label).nonzero()[:40, 0] for label in range(10)])
    return train[chosen], test[:50]


def kill_at(epoch: int) -> None:
    """Este proceso muere al medir esa época."""
    real, calls = training.evaluate, []

    def evaluate(model, batches):
        calls.append(model)
        if len(calls) == epoch:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(model, batches)

    training.evaluate = evaluate


def child(rank: int, folder: Path, arguments: list[str]) -> int:
    for number, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(folder / f"{rank}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
    code = cli.main(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    return code


def main() -> None:
    options, arguments = sys.argv[1 : sys.argv.index("--")], sys.argv[sys.argv.index("--") + 1 :]
    processes, folder = int(options[0]), Path(options[1])
    folder.mkdir(parents=True, exist_ok=True)
    experiment.SOURCES = {"fashion": few}
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
            if options[2:3] == ["--kill"] and int(options[3]) == rank:
                kill_at(int(options[4]))
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
