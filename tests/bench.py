"""Mide el bucle de `cnnhistory` contra el `Trainer` de d2l 1.0.3: misma red, lote y resolución.

Mide también el acierto de los dos tras las mismas épocas, la aumentación por lotes contra la de
torchvision, imagen por imagen, Grad-CAM contra el de captum, las palabras visuales contra el bucle
que uno escribe la primera vez con OpenCV y NumPy, y nuestro bucle contra sí mismo: con `torch.compile`
y sin él, y guardando la memoria o devolviéndola.
El acierto de LeNet se mide con todo Fashion-MNIST, como en el capítulo de d2l.

Se corre con `make bench`. Los dos se alternan en el mismo proceso, porque la máquina cambia de
humor, y lo que importa es la razón. Cada medida es una época con su validación, como la vive quien
entrena. La última línea es JSON: la que guardan los `rendimiento-*-bf16.json` de `docs/resultados`.
"""

import copy
import datetime
import gzip
import importlib.metadata
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import cv2
import numpy as np
import torch
from captum.attr import LayerAttribution, LayerGradCam
from d2l import torch as d2l
from torch import nn
from torchvision.transforms import v2

from cnnhistory import attribution, augmentation, classic, data, experiment, models, race, training

ROUNDS = 5
BATCH_SIZE = 128
MINI = Path(data.__file__).parent / "_data/fashion-mnist-mini"


class Quiet(d2l.Classifier):
    """Una red suelta, con la receta de d2l y sin su gráfica animada."""

    def __init__(self, net: nn.Module, lr: float) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.board.display = False

    def plot(self, key: str, value: torch.Tensor, train: bool) -> None:
        """No dibuja: dibujar cada lote costaría más que entrenarlo."""


def theirs(net: nn.Module, dataset: d2l.FashionMNIST, epochs: int, lr: float) -> float:
    """Segundos de unas épocas del `Trainer` de d2l."""
    model = Quiet(net, lr)
    start = time.perf_counter()
    d2l.Trainer(max_epochs=epochs).fit(model, dataset)
    return time.perf_counter() - start


def ours(net: nn.Module, train: data.Batches, test: data.Batches, epochs: int, lr: float) -> float:
    """Segundos de las mismas épocas, con nuestro bucle."""
    start = time.perf_counter()
    training.train(net, train, test, epochs=epochs, lr=lr)
    return time.perf_counter() - start


def both_ways(
    train: data.Dataset, test: data.Dataset, side: int
) -> tuple[d2l.FashionMNIST, list[data.Batches]]:
    """Las mismas imágenes, como las lee el `Trainer` de d2l y como las lee nuestro bucle."""
    dataset = d2l.FashionMNIST(batch_size=BATCH_SIZE, resize=(side, side))
    dataset.num_workers = 2
    for part, own in ((dataset.train, train), (dataset.val, test)):
        part.data, part.targets = own.images[:, 0], own.labels
    resize = v2.Resize((side, side), antialias=True) if side != 28 else None
    return dataset, [
        data.Batches(part, BATCH_SIZE, shuffle=part is train, transform=resize)
        for part in (train, test)
    ]


def few(count: int) -> tuple[data.Dataset, data.Dataset]:
    """Las primeras imágenes del subconjunto, y la quinta parte de ellas de prueba."""
    train, test = data.fashion_mnist("mini")
    return train[:count], test[: count // 5]


def compare(net: nn.Module, side: int, count: int) -> dict[str, float]:
    """Imágenes por segundo de una época con validación, alternando los dos bucles."""
    dataset, batches = both_ways(*few(count), side)
    net(torch.zeros(2, 1, side, side))  # las capas perezosas toman forma con la primera imagen
    seconds = []
    for _ in range(1 + ROUNDS):
        their = theirs(copy.deepcopy(net), dataset, 1, lr=0.01)
        own = copy.deepcopy(net).to(memory_format=torch.channels_last)
        seconds.append((their, ours(own, *batches, 1, lr=0.01)))
    return _summary("d2l", count, seconds)


def compare_compiled(net: nn.Module, side: int, count: int) -> dict[str, float]:
    """Imágenes por segundo de nuestro bucle con la red compilada, y sin compilar.

    La primera época, en la que se compila, no cuenta para la razón: va aparte, en segundos.
    """
    _, batches = both_ways(*few(count), side)
    net(torch.zeros(2, 1, side, side))
    plain, compiled = (copy.deepcopy(net).to(memory_format=torch.channels_last) for _ in range(2))
    compiled.compile()
    seconds = [
        (ours(plain, *batches, 1, lr=0.01), ours(compiled, *batches, 1, lr=0.01))
        for _ in range(1 + ROUNDS)
    ]
    return _summary("sin compilar", count, seconds) | {"first_epoch_s": round(seconds[0][1], 1)}


def compare_memory() -> dict[str, float]:
    """Imágenes por segundo de AlexNet a 227×227 si glibc guarda la memoria, y si la devuelve.

    Cada medida va en su proceso, porque el ajuste no se deshace.
    """
    seconds = []
    for _ in range(1 + ROUNDS):
        pair = [
            subprocess.run(
                [sys.executable, __file__, choice], capture_output=True, text=True, check=True
            )
            for choice in ("devolver", "guardar")
        ]
        seconds.append(tuple(float(ended.stdout) for ended in pair))
    return _summary("devolviéndola", 2 * BATCH_SIZE, seconds)


def time_alexnet(choice: str) -> float:
    """Segundos de dos lotes de AlexNet, después de uno que calienta."""
    if choice == "guardar":
        experiment.keep_memory()
    net = models.create("alexnet", num_classes=10, in_channels=1)
    net = net.to(memory_format=torch.channels_last)
    images, labels = torch.randn(BATCH_SIZE, 1, 227, 227), torch.arange(BATCH_SIZE) % 10
    optimizer = training.make_optimizer(net, 0.001, 5e-4)
    training.train_one_epoch(net, [(images, labels)], optimizer)
    start = time.perf_counter()
    training.train_one_epoch(net, 2 * [(images, labels)], optimizer)
    return time.perf_counter() - start


def compare_augmentation(name: str, images: torch.Tensor) -> dict[str, float]:
    """Imágenes por segundo de una receta, una por una y por lotes."""
    apart = augmentation.recipe(name, images.shape[-1])
    together = augmentation.batched(name)
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        torch.stack([apart(image) for image in images])
        middle = time.perf_counter()
        together(images)
        seconds.append((middle - start, time.perf_counter() - middle))
    return _summary("torchvision", len(images), seconds)


def d2l_lenet() -> nn.Module:
    """La LeNet de d2l, con la inicialización que le da su capítulo."""
    model = d2l.LeNet(lr=0.1)
    model.apply_init([torch.zeros(2, 1, 28, 28)], d2l.init_cnn)
    return model.net


def compare_accuracy(
    net: nn.Module, side: int, train: data.Dataset, test: data.Dataset, epochs: int, lr: float
) -> dict[str, float]:
    """Acierto en prueba tras las mismas épocas: cada bucle con su receta, desde los mismos pesos.

    Los dos ven las mismas imágenes, en el mismo tamaño de lote y con la misma tasa máxima.
    """
    dataset, batches = both_ways(train, test, side)
    net(torch.zeros(2, 1, side, side))
    their, own = copy.deepcopy(net), copy.deepcopy(net).to(memory_format=torch.channels_last)
    theirs(their, dataset, epochs, lr)
    ours(own, *batches, epochs, lr)
    their_top1, our_top1 = (training.evaluate(each, batches[1]).top1 for each in (their, own))
    return {
        "d2l": their_top1,
        "cnnhistory": our_top1,
        "epochs": epochs,
        "images": len(train),
        "lr": lr,
    }


def compare_grad_cam() -> dict[str, float]:
    """Imágenes por segundo de Grad-CAM con una ResNet mini, en lotes de 64."""
    model, layer = models.create("resnet_mini").eval(), "stages.2.1.residual.2.1"
    images, labels = torch.randn(512, 1, 28, 28), torch.zeros(512, dtype=torch.long)
    oracle = LayerGradCam(model, model.get_submodule(layer))
    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        for pixels, classes in zip(images.split(64), labels.split(64), strict=True):
            coarse = oracle.attribute(pixels, classes, relu_attributions=True)
            LayerAttribution.interpolate(coarse, (28, 28), "bilinear")
        middle = time.perf_counter()
        attribution.grad_cam(model, images, layer, labels)
        seconds.append((middle - start, time.perf_counter() - middle))
    return _summary("captum", len(images), seconds)


def compare_words() -> dict[str, float]:
    """Imágenes por segundo de SIFT denso y su bolsa de palabras, una por una y todas juntas."""
    images = data.fashion_mnist("mini")[0].images[:512].numpy()
    dense = classic.DenseSIFT()
    bag = classic.BagOfVisualWords(256, random_state=0).fit(dense.fit_transform(images))
    rows, columns = dense.grid(28, 28)

    def one_by_one(image: np.ndarray) -> np.ndarray:
        found = []
        for patch in dense.patch_sizes:
            sift = cv2.SIFT_create(sigma=max(patch / 12, 0.5))
            points = [cv2.KeyPoint(float(x), float(y), patch / 6, 0) for y in rows for x in columns]
            found.append(sift.compute(image, points)[1])
        distances = np.linalg.norm(np.concatenate(found)[:, None] - bag.codebook_, axis=2)
        return np.bincount(distances.argmin(axis=1), minlength=256) / len(distances)

    seconds = []
    for _ in range(1 + ROUNDS):
        start = time.perf_counter()
        theirs = np.stack([one_by_one(image[0]) for image in images])
        middle = time.perf_counter()
        ours = bag.transform(dense.transform(images))
        seconds.append((middle - start, time.perf_counter() - middle))
        assert np.abs(ours - theirs).max() < 0.02  # la misma bolsa, salvo algún empate
    return _summary("opencv", len(images), seconds)


def _summary(name: str, count: int, seconds: list[tuple[float, float]]) -> dict[str, float]:
    """Las medianas; la primera vuelta calienta y no cuenta."""
    their, our = (statistics.median(column) for column in zip(*seconds[1:], strict=True))
    ratios = [one / other for one, other in seconds[1:]]
    return {
        name: round(count / their),
        "cnnhistory": round(count / our),
        "ratio": round(statistics.median(ratios), 2),
        "ratio_min": round(min(ratios), 2),
        "ratio_max": round(max(ratios), 2),
    }


def main() -> None:
    """Prepara una carpeta como la que d2l espera, mide y escribe el resultado."""
    warnings.filterwarnings("ignore")  # d2l usa capas perezosas y procesos que avisan de más
    torch.manual_seed(0)
    # El paquete de d2l no trae la ResNet-18 de su capítulo: los dos entrenan la de torchvision.
    resnet18 = models.create("resnet18", num_classes=10, in_channels=1)
    mini, full = data.fashion_mnist("mini"), data.fashion_mnist("full")
    grey, noise = mini[0].images[:1024].float().div(255), torch.rand(1024, 3, 32, 32)
    thousand = mini[0][:1000], mini[1]
    result: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as folder:
        raw, work = Path(folder, "data/FashionMNIST/raw"), Path(folder, "work")
        raw.mkdir(parents=True)
        work.mkdir()
        for path in MINI.glob("*-ubyte.gz"):
            (raw / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
        os.chdir(work)
        for name, measure in (
            ("lenet_28", lambda: compare(d2l.LeNet().net, 28, 10_000)),
            ("resnet18_96", lambda: compare(resnet18, 96, 384)),
            ("compose_28", lambda: compare_augmentation("compose", grey)),
            ("color_28", lambda: compare_augmentation("color", grey)),
            ("crop_flip_32", lambda: compare_augmentation("crop_flip", noise)),
            ("color_32", lambda: compare_augmentation("color", noise)),
            ("grad_cam_28", compare_grad_cam),
            ("words_28", compare_words),
            ("lenet_28_top1", lambda: compare_accuracy(d2l_lenet(), 28, *full, 10, lr=0.1)),
            ("resnet18_96_top1", lambda: compare_accuracy(resnet18, 96, *thousand, 3, lr=0.01)),
            ("alexnet_227_memory", compare_memory),
            # Al final: lo compilado sigue en el proceso, y podría estorbar a lo que se mida después.
            ("lenet_28_compiled", lambda: compare_compiled(d2l.LeNet().net, 28, 10_000)),
            ("resnet18_96_compiled", lambda: compare_compiled(resnet18, 96, 384)),
        ):
            result[name] = measured = measure()
            print(f"{name}: {measured}", flush=True)
        os.chdir("/")
    bf16 = training.mixed_precision(torch.device("cpu"))._enabled
    print(
        json.dumps(
            result
            | {
                "rounds": ROUNDS,
                "batch_size": BATCH_SIZE,
                "bf16": bf16,
                "machine": race.machine("cpu"),
                "versions": race.versions()
                | {
                    name: importlib.metadata.version(name)
                    for name in ("d2l", "captum", "numpy", "opencv-python-headless")
                },
                "date": datetime.date.today().isoformat(),
            },
            ensure_ascii=False,
        )
    )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(time_alexnet(sys.argv[1]))
    else:
        main()
