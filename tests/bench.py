"""Mide el bucle de `cnnhistory` contra el `Trainer` de d2l 1.0.3: misma red, lote y datos.

Mide también la aumentación por lotes contra la de torchvision, imagen por imagen.

Se corre con `make bench`. Los dos se alternan en el mismo proceso, porque la máquina cambia de
humor, y lo que importa es la razón. Cada medida es una época con su validación, como la vive quien
entrena. La última línea es JSON.
"""

import copy
import gzip
import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from pathlib import Path

import torch
from d2l import torch as d2l
from torch import nn

from cnnhistory import augmentation, data, training

ROUNDS = 3
BATCH_SIZE = 128
MINI = Path(data.__file__).parent / "_data/fashion-mnist-mini"


def d2l_epoch(net: nn.Module, dataset: d2l.FashionMNIST) -> float:
    """Imágenes por segundo de una época del `Trainer` de d2l, sin su gráfica animada."""
    model = d2l.LeNet(lr=0.1)
    model.net, model.board.display = net, False
    trainer = d2l.Trainer(max_epochs=1)
    start = time.perf_counter()
    trainer.fit(model, dataset)
    return len(dataset.train) / (time.perf_counter() - start)


def our_epoch(net: nn.Module, train: data.Dataset, test: data.Dataset) -> float:
    """Imágenes por segundo de una época nuestra, con su validación."""
    start = time.perf_counter()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, fused=True)
    batches = data.Batches(train, BATCH_SIZE, shuffle=True)
    training.train_one_epoch(net, batches, optimizer)
    training.evaluate(net, data.Batches(test, BATCH_SIZE))
    return len(train) / (time.perf_counter() - start)


def compare_lenet() -> dict[str, float]:
    """LeNet de d2l a 28×28, alternando los dos bucles."""
    train, test = data.fashion_mnist("mini")
    dataset = d2l.FashionMNIST(batch_size=BATCH_SIZE)
    dataset.num_workers = 2
    net = d2l.LeNet().net
    net(torch.zeros(1, 1, 28, 28))  # las capas perezosas de d2l toman forma con la primera imagen
    speeds = [
        (d2l_epoch(copy.deepcopy(net), dataset), our_epoch(copy.deepcopy(net), train, test))
        for _ in range(1 + ROUNDS)
    ][1:]  # la primera vuelta calienta
    theirs, ours = (statistics.median(column) for column in zip(*speeds, strict=True))
    ratio = statistics.median(our / their for their, our in speeds)
    return {"d2l": round(theirs), "cnnhistory": round(ours), "ratio": round(ratio, 2)}


def compare_augmentation() -> dict[str, float]:
    """Imágenes por segundo de la receta `compose`, por lotes y una por una."""
    images = data.fashion_mnist("mini")[0].images[:1024].float().div(255)
    apart, together = augmentation.recipe("compose", 28), augmentation.batched("compose")
    speeds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        torch.stack([apart(image) for image in images])
        middle = time.perf_counter()
        together(images)
        speeds.append((middle - start, time.perf_counter() - middle))
    theirs, ours = (statistics.median(column) for column in zip(*speeds[1:], strict=True))
    ratio = statistics.median(their / our for their, our in speeds[1:])
    count = len(images)
    return {
        "torchvision": round(count / theirs),
        "cnnhistory": round(count / ours),
        "ratio": round(ratio, 2),
    }


def main() -> None:
    """Prepara una carpeta como la que d2l espera, mide y escribe el resultado."""
    warnings.filterwarnings("ignore")  # d2l usa capas perezosas y procesos que avisan de más
    with tempfile.TemporaryDirectory() as folder:
        raw, work = Path(folder, "data/FashionMNIST/raw"), Path(folder, "work")
        raw.mkdir(parents=True)
        work.mkdir()
        for path in MINI.glob("*-ubyte.gz"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        os.chdir(work)
        result = {
            "lenet_28": compare_lenet(),
            "compose_28": compare_augmentation(),
            "torch": torch.__version__,
            "threads": torch.get_num_threads(),
            "machine": platform.machine(),
        }
        os.chdir("/")
    for name, theirs in (("lenet_28", "d2l"), ("compose_28", "torchvision")):
        measured = result[name]
        print(f"{name}: {measured['cnnhistory']} imágenes/s; {theirs}, {measured[theirs]}")
    print(json.dumps(result))


if __name__ == "__main__":
    main()
