"""Un entrenamiento descrito con datos: la red, el conjunto, la receta y la semilla.

Es lo que hay entre la línea de comandos (o la carrera) y el bucle: de una descripción que cabe en
JSON salen los lotes, la red y la llamada a `cnnhistory.training.train`. En un cuaderno no hace
falta: allí se llama al bucle directamente.
"""

import ctypes
import dataclasses
import hashlib
import itertools
import math
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.transforms import v2

from cnnhistory import augmentation, data, distributed, eras, models, training
from cnnhistory.checkpoints import Checkpoints
from cnnhistory.imagefolder import ImageFolderBatches

__all__ = [
    "OPTIMIZERS",
    "SCHEDULES",
    "SOURCES",
    "Experiment",
    "Parts",
    "Result",
    "keep_memory",
    "run",
]

SOURCES: Mapping[str, Callable[..., tuple[data.Dataset, data.Dataset]]] = MappingProxyType(
    {
        "fashion": data.fashion_mnist,
        "mnist": data.mnist,
        "cifar10": data.cifar10,
        "cifar100": data.cifar100,
    }
)
"""Los conjuntos que caben en memoria, por su nombre."""

SCHEDULES: Mapping[str, Callable[..., torch.optim.lr_scheduler.LRScheduler]] = MappingProxyType(
    {
        "one_cycle": training.one_cycle,
        "cosine": training.warmup_cosine,
        "steps": eras.steps_down,
        "constant": eras.constant,
    }
)
"""Los planes de la tasa de aprendizaje, por su nombre."""

OPTIMIZERS: Mapping[str, Callable[..., torch.optim.Optimizer]] = MappingProxyType(
    {"nesterov": training.make_optimizer, "momentum": eras.momentum, "plain": eras.plain}
)
"""Los optimizadores, por su nombre."""


@dataclass(frozen=True)
class Experiment:
    """Todo lo que decide un entrenamiento, salvo la máquina.

    Attributes:
        name: Red del catálogo.
        dataset: Nombre en `SOURCES`, ``"synthetic"`` (ruido, para medir velocidad), o la carpeta de
            un árbol de fotos con ``train`` y ``val``.
        subset: De Fashion-MNIST, ``"mini"`` o ``"full"``.
        seed: Semilla de los pesos, los lotes y el reparto.
        epochs: Vueltas a los datos.
        batch_size: Imágenes por lote, sumadas las de todos los procesos.
        lr: Tasa máxima; ``None`` es la de la ficha de la red.
        weight_decay: Decaimiento de los pesos.
        label_smoothing: Suavizado de etiquetas.
        clip_norm: Norma máxima del gradiente; ``None`` no lo recorta.
        schedule: Nombre en `SCHEDULES`.
        optimizer: Nombre en `OPTIMIZERS`.
        initialization: Nombre en `cnnhistory.eras.INITIALIZATIONS`; ``None`` deja la red como nace.
        augment: Nombre en `cnnhistory.augmentation.RECIPES`; ``None`` no aumenta.
        mix: ``"mixup"``, ``"cutmix"`` o ``None``.
        side: Lado al que se llevan las imágenes, en píxeles; ``None`` es el de la ficha de la red.
        compile: Si se compila la red con ``torch.compile``.
        workers: Procesos que leen las fotos de un árbol.
    """

    name: str
    dataset: str = "fashion"
    subset: str = "mini"
    seed: int = 0
    epochs: int = 5
    batch_size: int = 128
    lr: float | None = None
    weight_decay: float = 5e-4
    label_smoothing: float = 0.0
    clip_norm: float | None = None
    schedule: str = "one_cycle"
    optimizer: str = "nesterov"
    initialization: str | None = None
    augment: str | None = None
    mix: str | None = None
    side: int | None = None
    compile: bool = False
    workers: int = 0

    def recipe(self) -> dict[str, Any]:
        """Lo que identifica al entrenamiento, con valores de JSON, para `Checkpoints`.

        Returns:
            Los campos, con la tasa que se usará, y la cantidad de procesos.

        Raises:
            ValueError: Lo que se puede saber sin leer los datos: que la red no existe o no admite
                ese lado, o que la aumentación no va con un árbol de fotos.
        """
        card = self.card()
        recipe = dataclasses.asdict(self) | {"lr": self.lr or card.lr}
        del recipe["workers"]  # no cambia los bits
        return recipe | {"processes": distributed.shard()[1]}

    def as_published(self) -> "Experiment":
        """El mismo entrenamiento, con la receta del artículo de su red.

        Returns:
            La descripción: cambian la tasa, el plan, el optimizador, el decaimiento, la
            inicialización y la aumentación, y se quita lo que vino después.

        Raises:
            ValueError: Si no hay receta para esa red.
        """
        if self.name not in eras.ERAS:
            raise ValueError(
                f"no hay receta de época para «{self.name}»: las hay para {', '.join(eras.ERAS)}"
            )
        era = eras.ERAS[self.name]
        return dataclasses.replace(
            self,
            lr=era.lr,
            weight_decay=era.weight_decay,
            schedule=era.schedule,
            optimizer=era.optimizer,
            initialization=era.initialization,
            augment=era.augment,
            label_smoothing=0.0,
            clip_norm=None,
            mix=None,
        )

    def parts(self, device: str) -> "Parts":
        """Lee los datos y los reparte en lotes.

        Args:
            device: Dispositivo de los lotes.

        Returns:
            Los lotes de cada parte.

        Raises:
            ValueError: Si la red o la aumentación no existen o no se llevan con esos datos, o si
                la red no admite imágenes de ese lado.
            DataError: Si los datos faltan o están dañados.
        """
        card = self.card()
        if self.dataset in SOURCES:
            arguments = (self.subset,) if self.dataset == "fashion" else ()
            return self._from_memory(SOURCES[self.dataset](*arguments), card, device)
        if self.dataset == "synthetic":
            noise = partial(data.synthetic, shape=card.input_shape, num_classes=card.num_classes)
            return self._from_memory((noise(5000), noise(1000, seed=1)), card, device)
        return self._from_disk(Path(self.dataset), card, device)

    def card(self) -> models.Card:
        """La ficha de la red, con el lado que se pide.

        Returns:
            La ficha, con `input_shape` de ese lado.

        Raises:
            ValueError: Si la red no existe o no admite ese lado, o si se pide aumentar un árbol de
                fotos, que ya se aumenta.
        """
        card = models.find(self.name)
        if self.augment and self.dataset not in SOURCES and Path(self.dataset).is_dir():
            raise ValueError(
                f"un árbol de fotos ya se aumenta: se recorta y se refleja. Quita «{self.augment}»"
            )
        if self.side is None:
            return card
        least, most = card.sides
        if self.side < least or (most and self.side > most):
            limits = f"de {least} a {most}" if most else f"desde {least}"
            raise ValueError(
                f"{self.name} admite imágenes de lado {limits} píxeles, y se pidió {self.side}"
            )
        return dataclasses.replace(card, input_shape=(card.input_shape[0], *2 * (self.side,)))

    def _from_memory(
        self, whole: tuple[data.Dataset, data.Dataset], card: models.Card, device: str
    ) -> "Parts":
        train, test = whole
        train, validation = data.split(train, fraction=0.1, seed=self.seed)
        normalize = data.normalization(train)
        steps: list[nn.Module] = [normalize]
        if card.input_shape[1:] != tuple(train.images.shape[2:]):
            steps.insert(0, v2.Resize(card.input_shape[1:], antialias=True))
        augmented = [augmentation.batched(self.augment), *steps] if self.augment else steps
        batches = [
            data.Batches(
                part,
                self.batch_size,
                shuffle=part is train,
                seed=self.seed,
                transform=nn.Sequential(*(augmented if part is train else steps)),
                device=device,
                shard=distributed.shard(),
            )
            for part in (train, validation, test)
        ]
        channels, num_classes = train.images.shape[1], len(train.classes)
        return Parts(
            self._mixed(batches[0], num_classes),
            batches[1],
            batches[2],
            len(train),
            channels,
            train.classes,
            normalize,
        )

    def _from_disk(self, root: Path, card: models.Card, device: str) -> "Parts":
        def part(
            name: str,
            shard: tuple[int, int] = distributed.shard(),
            batch_size: int = self.batch_size,
            **settings,
        ) -> ImageFolderBatches:
            return ImageFolderBatches(
                root / name,
                batch_size,
                side=card.input_shape[1],
                seed=self.seed,
                workers=self.workers,
                device=device,
                shard=shard,
                **settings,
            )

        # Sin repartir, y de a cien: ni los procesos ni el tamaño del lote cambian la normalización.
        sample = part("train", train=True, shard=(0, 1), batch_size=100)
        normalize = _sampled_normalization(sample, 2000)
        train = part("train", train=True, transform=normalize)
        photos = train.fingerprint()
        if len(train.classes) == 1:
            raise ValueError(
                f"en {root / 'train'} hay una sola clase, «{train.classes[0]}»: para clasificar "
                "hacen falta dos o más"
            )
        rest = {"classes": train.classes, "transform": normalize}
        return Parts(
            self._mixed(train, len(train.classes)),
            part("val", **rest),
            part("test", **rest) if (root / "test").exists() else None,
            train.plan.count,
            3,
            train.classes,
            normalize,
            photos,
        )

    def _mixed(self, batches: training.Loader, num_classes: int) -> training.Loader:
        if self.mix is None:
            return batches
        return augmentation.Mixed(batches, augmentation.mixing(self.mix, num_classes))


@dataclass(frozen=True)
class Parts:
    """Los lotes de un conjunto, y lo que la red debe saber de él.

    Attributes:
        train: Lotes de entrenamiento.
        validation: Lotes de validación: un décimo del entrenamiento, o ``val``.
        test: Lotes de prueba; ``None`` si no los hay.
        images: Imágenes de entrenamiento.
        channels: Canales de cada imagen.
        classes: Nombres de las clases.
        normalize: La estandarización que ya llevan los lotes.
        photos: La huella de las fotos de entrenamiento, si salen de un árbol.
    """

    train: training.Loader
    validation: training.Loader
    test: training.Loader | None
    images: int
    channels: int
    classes: tuple[str, ...]
    normalize: v2.Normalize
    photos: str | None = None

    @property
    def num_classes(self) -> int:
        """Cantidad de clases."""
        return len(self.classes)

    def inputs(self) -> dict[str, object]:
        """Lo que necesita quien use la red sin estos datos, para `Checkpoints`.

        Returns:
            Los nombres de las clases, y la media y la desviación de cada canal.
        """
        return {
            "classes": list(self.classes),
            "mean": list(self.normalize.mean),
            "std": list(self.normalize.std),
        }

    def identity(self) -> dict[str, object]:
        """Lo que distingue a estos datos de otros con la misma ruta, para `Checkpoints`.

        Returns:
            Cuántas imágenes hay, cuántas clases, con la huella de sus nombres en orden, y la de las
            fotos.
        """
        names = hashlib.sha256("\n".join(self.classes).encode()).hexdigest()
        return {
            "images": self.images,
            "classes": f"{self.num_classes} ({names[:8]})",
            "photos": self.photos,
        }


@dataclass(frozen=True)
class Result:
    """Lo que dio un entrenamiento.

    Attributes:
        model: La red entrenada.
        history: Sus épocas.
        test: Lo medido en prueba, una sola vez y al final; ``None`` si no hay datos de prueba.
    """

    model: nn.Module
    history: list[training.Epoch]
    test: training.Metrics | None


def run(
    experiment: Experiment,
    parts: Parts,
    device: str,
    *,
    checkpoints: Checkpoints | None = None,
    on_epoch: Callable[[training.Epoch], None] | None = None,
    on_batch: Callable[[Tensor, int], None] | None = None,
) -> Result:
    """Hace un entrenamiento entero.

    Args:
        experiment: La descripción.
        parts: Sus lotes, los de `Experiment.parts`.
        device: Dispositivo; con varios procesos, el que da `cnnhistory.distributed.session`.
        checkpoints: Dónde guardar y desde dónde seguir.
        on_epoch: Se llama con cada época terminada, como en `cnnhistory.training.train`.
        on_batch: Se llama tras cada lote, como en `cnnhistory.training.train_one_epoch`: con las
            imágenes de este proceso, no las de todos.

    Returns:
        La red, la historia y lo medido en prueba.

    Raises:
        ValueError: Si la receta no es posible, o la red y los datos no se llevan.
        DataError: Si una foto no se puede leer; las de validar y probar se leen antes de empezar.
        TrainingError: Si el entrenamiento no puede seguir, guardarse o reanudarse.
    """
    for part in (parts.validation, parts.test):
        if isinstance(part, ImageFolderBatches):  # una dañada, mejor ahora que tras una época
            for _ in part:
                pass
    _make_repeatable(device)
    keep_memory()  # la CPU entrena redes grandes con mapas de cientos de megas
    torch.manual_seed(experiment.seed)
    model = models.create(
        experiment.name, num_classes=parts.num_classes, in_channels=parts.channels
    )
    if experiment.initialization:
        eras.INITIALIZATIONS[experiment.initialization](model)
    model = model.to(device).to(memory_format=torch.channels_last)
    if experiment.compile:
        model.compile(mode="reduce-overhead" if device.startswith("cuda") else "default")
    if distributed.rank():  # los pesos son los mismos en todos; el dropout y la aumentación, no
        torch.manual_seed(experiment.seed + distributed.rank())
    with checkpoints.held() if checkpoints else nullcontext():
        history = training.train(
            distributed.replicated(model),
            parts.train,
            parts.validation,
            epochs=experiment.epochs,
            lr=experiment.lr or models.find(experiment.name).lr,
            weight_decay=experiment.weight_decay,
            label_smoothing=experiment.label_smoothing,
            clip_norm=experiment.clip_norm,
            optimizer=OPTIMIZERS[experiment.optimizer],
            schedule=SCHEDULES[experiment.schedule],
            checkpoints=checkpoints,
            on_epoch=on_epoch,
            on_batch=on_batch,
        )
    # A un proceso puede no tocarle ninguna imagen de prueba, y aun así suma con los demás.
    test = None if parts.test is None else training.evaluate(model, parts.test)
    return Result(model, history, test)


def _sampled_normalization(batches: ImageFolderBatches, count: int) -> v2.Normalize:
    """La estandarización de unas ``count`` imágenes al azar: leerlas todas costaría una época."""
    enough = itertools.islice(batches, math.ceil(count / batches.plan.batch_size))
    pixels, labels = map(torch.cat, zip(*enough, strict=True))
    sample = (pixels * 255).round().to(torch.uint8)
    return data.normalization(data.Dataset(sample.cpu(), labels.cpu(), batches.classes))


def keep_memory() -> None:
    """Pide a glibc que guarde la memoria que el bucle suelta y vuelve a pedir en cada lote.

    Por omisión, glibc devuelve al sistema cada tensor de más de 32 MB, y el sistema entrega el
    siguiente página por página y lleno de ceros. Con mapas grandes, como los de AlexNet, en eso se
    va más de un tercio del tiempo. El precio es que el proceso conserva el máximo que llegó a usar.
    Vale para todo el proceso y no se deshace; donde no hay glibc, no hace nada. `run` la llama; en
    un cuaderno, llámala antes de entrenar.

    https://sourceware.org/glibc/manual/latest/html_node/Malloc-Tunable-Parameters.html
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt:
        mallopt(-4, 0)  # M_MMAP_MAX: nada se pide aparte del montón
        mallopt(-1, -1)  # M_TRIM_THRESHOLD: el montón no se encoge


def _make_repeatable(device: str) -> None:
    """Pide a CUDA que la misma semilla dé los mismos bits, donde sabe hacerlo."""
    if device.startswith("cuda"):
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)
        torch.backends.cudnn.benchmark = False
        torch.set_float32_matmul_precision("high")  # las GPU sin 16 bits rápidos ganan con TF32
