"""Fotos que no caben en memoria, como las de ImageNet: entran carpetas, salen lotes.

El árbol es el de torchvision, una carpeta por clase. Los procesos auxiliares leen, recortan y
reflejan cada imagen con `torchvision.transforms.v2`; los lotes viajan como ``uint8``, cuatro
veces más ligeros, y se hacen flotantes ya en el dispositivo. El sorteo de cada imagen es suyo:
con cero procesos o con ocho, y en uno o en varios dispositivos, salen los mismos bits.
"""

import hashlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import DataLoader, default_collate
from torch.utils.data import Dataset as TorchDataset
from torchvision import datasets
from torchvision.datasets.folder import IMG_EXTENSIONS
from torchvision.transforms import v2

from cnnhistory.data import BatchPlan, DataError

__all__ = ["ImageFolderBatches", "evaluation_pipeline", "read_image", "training_pipeline"]

# Los formatos de las extensiones que torchvision acepta. Sin esta lista, Pillow abriría un EPS
# disfrazado de JPEG, que es un programa.
_FORMATS = ("JPEG", "PNG", "PPM", "BMP", "TIFF", "WEBP")


class ImageFolderBatches:
    """Lotes de un árbol de imágenes, ``carpeta/clase/imagen.jpg``, leídos del disco al vuelo.

    Recorrerlo da pares ``(imágenes, etiquetas)``: flotantes ``(B, 3, side, side)`` en [0, 1]
    pasadas por ``transform``, y enteros ``(B,)``, los dos en ``device``. La clase de una imagen
    es el lugar de su carpeta en el orden alfabético. Con ``train``, cada recorrido usa el orden
    y los recortes siguientes de la secuencia que fija ``seed``, y ``generator`` lleva su estado:
    quien lo guarda y lo repone repite el recorrido. Con procesos auxiliares, solo puede haber un
    recorrido a la vez: empezar otro descarta el que iba a medias.

    Args:
        folder: La carpeta que contiene una por clase.
        batch_size: Imágenes por lote, sumadas las de todos los procesos de ``shard``.
        side: Lado de las imágenes que da, en píxeles.
        train: Si se entrena, con orden al azar y `training_pipeline`; si no, en orden y con
            `evaluation_pipeline`.
        classes: Las clases que debe tener; pásale al árbol de validación las del de
            entrenamiento. ``None`` acepta las que haya.
        seed: Semilla del orden y de los recortes.
        workers: Procesos auxiliares que leen, cada uno dos lotes por adelantado; con 0 lee este.
        transform: Se aplica en el dispositivo a cada lote entero, por ejemplo una normalización.
        device: Dispositivo de los lotes; si es CUDA, se copian sin esperar, desde memoria fija.
        shard: El par ``(rango, procesos)`` cuando varios entrenan o evalúan juntos: a cada uno,
            lo que dice `cnnhistory.data.BatchPlan`, con tramos iguales si ``train``.

    Attributes:
        classes: Nombre de cada clase, en el orden de las etiquetas.
        generator: De donde sale el azar del próximo recorrido.

    Raises:
        ValueError: Si ``side``, ``workers``, ``batch_size`` o ``shard`` no son posibles.
        DataError: Si el árbol está vacío, incompleto o no es de las clases pedidas; y al
            recorrerlo, si una imagen no se puede leer.
    """

    def __init__(
        self,
        folder: str | Path,
        batch_size: int,
        *,
        side: int = 224,
        train: bool = False,
        classes: Sequence[str] | None = None,
        seed: int = 0,
        workers: int = 0,
        transform: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | str = "cpu",
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        pipeline = training_pipeline(side) if train else evaluation_pipeline(side)
        if workers < 0:
            raise ValueError(f"los procesos auxiliares no pueden ser negativos; llegó {workers}")
        self.classes, paths, labels = _scan(Path(folder), classes)
        self._paths = paths
        self.plan = BatchPlan(len(paths), batch_size, equal=train, shard=shard)
        self.transform = transform
        self.device = torch.device(device)
        self.generator = torch.Generator().manual_seed(seed)
        self._loader = _Workers(
            _Reader(pipeline),
            batch_sampler=_Jobs(self.plan, paths, labels, self.generator if train else None),
            collate_fn=_collate,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=self.device.type == "cuda",
            # Sin uno propio, torch sacaría del generador global la semilla de los procesos.
            generator=torch.Generator(),
        )

    def fingerprint(self) -> str:
        """La huella de las fotos que hay: el nombre, la carpeta y el tamaño de cada una.

        Returns:
            Doce cifras hexadecimales; otras fotos en el mismo lugar dan otra.
        """
        digest = hashlib.sha256()
        for path in self._paths:
            kept = Path(path)
            digest.update(f"{kept.parent.name}/{kept.name}/{kept.stat().st_size}\n".encode())
        return digest.hexdigest()[:12]

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for batch in self._read():
            if isinstance(batch, DataError):
                raise batch
            images, labels = (
                part.to(self.device, non_blocking=self._loader.pin_memory) for part in batch
            )
            images = images.float().div_(255)
            yield (self.transform(images) if self.transform else images), labels

    def _read(self) -> Iterator[Any]:
        try:
            yield from self._loader
        except RuntimeError as error:
            if not str(error).startswith("DataLoader worker"):
                raise
            raise DataError(
                "un proceso que leía fotos murió, casi siempre por memoria: baja --workers "
                "o --batch-size, y sigue con --resume"
            ) from None


def training_pipeline(side: int) -> v2.Compose:
    """De una foto a una imagen de entrenamiento: un recorte al azar, agrandado, y un reflejo.

    El recorte es el de GoogLeNet (C. Szegedy y otros, «Going Deeper with Convolutions»,
    https://arxiv.org/abs/1409.4842): del 8 % al 100 % del área, con proporciones de 3:4 a 4:3.

    Args:
        side: Lado de la imagen que da, en píxeles.

    Returns:
        La transformación, de una imagen de PIL a un tensor ``uint8`` ``(3, side, side)``.

    Raises:
        ValueError: Si ``side`` no es un entero positivo.
    """
    _check_side(side)
    crop = v2.RandomResizedCrop(side, scale=(0.08, 1.0), ratio=(3 / 4, 4 / 3), antialias=True)
    return v2.Compose([crop, v2.RandomHorizontalFlip(), v2.PILToTensor()])


def evaluation_pipeline(side: int) -> v2.Compose:
    """De una foto a una imagen de evaluación: se reduce y se toma el centro, sin azar.

    El lado menor queda en ``side·256/224``: con 224 píxeles, los 256 de AlexNet (A. Krizhevsky,
    I. Sutskever y G. Hinton, «ImageNet Classification with Deep Convolutional Neural Networks»).

    Args:
        side: Lado de la imagen que da, en píxeles.

    Returns:
        La transformación, de una imagen de PIL a un tensor ``uint8`` ``(3, side, side)``.

    Raises:
        ValueError: Si ``side`` no es un entero positivo.
    """
    _check_side(side)
    resize = v2.Resize(round(side * 256 / 224), antialias=True)
    return v2.Compose([resize, v2.CenterCrop(side), v2.PILToTensor()])


def read_image(path: str | Path) -> Image.Image:
    """Lee una imagen entera, derecha según su EXIF y en RGB, venga en el modo que venga.

    Args:
        path: Un archivo JPEG, PNG, PPM, PGM, BMP, TIFF o WebP; manda su contenido, no su nombre.

    Returns:
        La imagen.

    Raises:
        DataError: Si el archivo falta, no es una imagen o está dañado.
    """
    try:
        # Un EXIF a medias o una paleta rara hacen que Pillow avise, pero se leen bien.
        with warnings.catch_warnings(action="ignore"), Image.open(path, formats=_FORMATS) as image:
            return _to_rgb(ImageOps.exif_transpose(image))
    except Exception as error:  # cada decodificador de Pillow falla a su manera
        if isinstance(error, OSError) and error.errno:
            raise DataError(
                f"no se pudo leer {path}: revisa que exista, sus permisos y el disco"
            ) from None
        raise DataError(
            f"{path} está truncada o dañada, o no es una imagen de las que se saben leer: vuelve a "
            "obtenerla, conviértela a JPEG o PNG de 8 bits, o bórrala; pero con otras fotos no se "
            "puede reanudar un entrenamiento"
        ) from None


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):  # Pillow no escala los 16 bits: los satura
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise ValueError("32 bits por canal: no se sabe entre qué valores van")
    return image.convert("RGB")


def _check_side(side: int) -> None:
    if not isinstance(side, int) or side < 1:
        raise ValueError(f"el lado debe ser un entero positivo de píxeles; llegó {side}")


class _Job(NamedTuple):
    """El encargo que recibe un proceso auxiliar: así no copia la lista de todo ImageNet."""

    path: str
    label: int
    seed: int | None  # None: sin azar


class _Reader(TorchDataset):
    """Cumple encargos; lo único que lleva consigo es la transformación."""

    def __init__(self, pipeline: v2.Compose) -> None:
        self.pipeline = pipeline

    def __getitem__(self, job: _Job) -> tuple[Tensor, int] | DataError:
        try:
            image = read_image(job.path)
        except DataError as error:
            # Como valor: si cruzara como excepción, DataLoader la envolvería en un traceback.
            return error
        if job.seed is None:
            return self.pipeline(image), job.label
        with torch.random.fork_rng(devices=[]):  # el generador global es de quien entrena
            torch.default_generator.manual_seed(job.seed)
            return self.pipeline(image), job.label


class _Workers(DataLoader):
    """Los procesos que leen, tantos como se pidan."""

    def check_worker_number_rationality(self) -> None:
        """Nada: torch avisa, en inglés, si pasan de los núcleos; con un disco lento conviene."""


def _collate(samples: list[tuple[Tensor, int] | DataError]) -> list[Tensor] | DataError:
    error = next((sample for sample in samples if isinstance(sample, DataError)), None)
    return error or default_collate(samples)


class _Jobs:
    """Los encargos de cada lote; todo el azar de un recorrido se sortea al empezarlo."""

    def __init__(
        self, plan: BatchPlan, paths: list[str], labels: Tensor, generator: torch.Generator | None
    ) -> None:
        self.plan, self.paths, self.labels, self.generator = plan, paths, labels, generator

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[list[_Job]]:
        order, seeds = torch.arange(self.plan.count), None
        if self.generator:
            order = torch.randperm(self.plan.count, generator=self.generator)
            seeds = torch.randint(2**32, (self.plan.count,), generator=self.generator)
        for part in self.plan.parts(order):
            paths = [self.paths[index] for index in part.tolist()]
            own = seeds[part].tolist() if seeds is not None else [None] * len(part)
            yield list(map(_Job, paths, self.labels[part].tolist(), own))


def _scan(
    folder: Path, expected: Sequence[str] | None
) -> tuple[tuple[str, ...], list[str], Tensor]:
    """Las clases, los archivos y las etiquetas de un árbol, si está completo."""
    if not folder.is_dir():
        kind = "no es una carpeta" if folder.exists() else "no existe la carpeta"
        raise DataError(f"{kind}: {folder}. Debe contener una carpeta de imágenes por clase")
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        raise DataError(f"no se pudo leer la carpeta {folder}: revisa sus permisos") from None
    _refuse_broken_links(str(entry) for entry in entries if entry.is_symlink())
    if {"train", "val"} <= {entry.name for entry in entries}:
        raise DataError(
            f"{folder} es la raíz, con train y val dentro: pasa {folder / 'train'} o "
            f"{folder / 'val'}"
        )
    if not any(entry.is_dir() for entry in entries):
        raise DataError(
            f"en {folder} no hay carpetas: debe contener una por clase, con las imágenes dentro"
        )
    tree = datasets.ImageFolder(folder, allow_empty=True)
    paths = [path for path, _ in tree.samples]
    counts = np.bincount(tree.targets, minlength=len(tree.classes))
    empty = [name for name, count in zip(tree.classes, counts, strict=True) if not count]
    if empty:
        raise DataError(
            f"en {folder} hay clases sin imágenes ({_some(empty)}): agrégaselas, revisa sus "
            f"permisos o borra sus carpetas. Se leen las terminadas en {', '.join(IMG_EXTENSIONS)}"
        )
    if expected is not None and list(expected) != tree.classes:
        missing = [name for name in expected if name not in tree.class_to_idx]
        unknown = [name for name in tree.classes if name not in set(expected)]
        details = [
            f"{what}: {_some(names)}"
            for what, names in (("faltan", missing), ("sobran", unknown))
            if names
        ]
        raise DataError(
            f"las clases de {folder} no son las esperadas; "
            f"{'; '.join(details) or 'están en otro orden: pásalas en orden alfabético'}"
        )
    _refuse_broken_links(paths)
    return tuple(tree.classes), paths, torch.tensor(tree.targets)


def _refuse_broken_links(paths: Iterable[str]) -> None:
    broken = [path for path in paths if not os.path.exists(path)]
    if broken:
        raise DataError(f"hay enlaces rotos ({_some(broken)}): repáralos o bórralos")


def _some(names: Sequence[str]) -> str:
    """Los primeros, si son muchos."""
    rest = len(names) - 5
    return ", ".join(names[:5]) + (f" y {rest} más" if rest > 0 else "")
