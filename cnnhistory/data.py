"""Datos reales: entran archivos, salen tensores.

Fashion-MNIST (Xiao, Rasul y Vollgraf, 2017, https://arxiv.org/abs/1708.07747) en dos tamaños:
``"mini"`` viene dentro del paquete y no necesita red; ``"full"`` se busca en el disco y, si no
está, lo descarga torchvision. Todo cabe en memoria, así que aquí no hay procesos auxiliares:
las imágenes viven en el dispositivo como un solo tensor ``uint8`` y un lote es una indexación.
"""

import gzip
import hashlib
import json
import math
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torchvision import datasets
from torchvision.transforms import v2

__all__ = [
    "FASHION_CLASSES",
    "Batches",
    "DataError",
    "Dataset",
    "fashion_mnist",
    "mini_indices",
    "normalization",
    "read_idx",
    "split",
]

FASHION_CLASSES = (
    "camiseta",
    "pantalón",
    "suéter",
    "vestido",
    "abrigo",
    "sandalia",
    "camisa",
    "zapatilla",
    "bolso",
    "botín",
)
"""Las diez clases de Fashion-MNIST, en el orden de sus etiquetas."""

_MINI = Path(__file__).parent / "_data/fashion-mnist-mini"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_IMAGES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
_LABELS = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}

# SHA-256 del contenido ya descomprimido: Debian y torchvision comprimen distinto lo mismo.
_FULL_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_IDX_TYPES = {0x08: np.dtype("u1"), 0x0C: np.dtype(">i4")}


class DataError(RuntimeError):
    """Un archivo de datos falta o no contiene lo que debería; el mensaje dice cuál y qué hacer."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Imágenes con su etiqueta.

    Attributes:
        images: Píxeles ``uint8`` de 0 a 255, ``(N, C, H, W)``.
        labels: Clase de cada imagen, ``int64``, ``(N,)``.
        classes: Nombre de cada clase.

    Raises:
        ValueError: Si las formas, los tipos o las etiquetas no son coherentes.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.dtype != torch.uint8:
            raise ValueError(
                "las imágenes deben ser un tensor uint8 (N, C, H, W); llegó "
                f"{self.images.dtype} con forma {tuple(self.images.shape)}"
            )
        if self.labels.shape != self.images.shape[:1] or self.labels.dtype != torch.int64:
            raise ValueError(
                f"hay {len(self.images)} imágenes, y las etiquetas deben ser un tensor int64 con "
                f"esa longitud; llegó {self.labels.dtype} con forma {tuple(self.labels.shape)}"
            )
        if len(self.labels):
            low, high = int(self.labels.min()), int(self.labels.max())
            if low < 0 or high >= len(self.classes):
                raise ValueError(
                    f"las etiquetas van de {low} a {high}, pero hay {len(self.classes)} clases: "
                    f"deben estar entre 0 y {len(self.classes) - 1}"
                )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Tensor | slice) -> "Dataset":
        """El subconjunto que eligen los índices (un tensor de enteros, una máscara o un corte)."""
        return Dataset(self.images[indices], self.labels[indices], self.classes)


def fashion_mnist(subset: str = "mini", root: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Carga Fashion-MNIST: entrenamiento y prueba.

    ``"mini"`` son 10 000 imágenes de entrenamiento y 2000 de prueba, estratificadas e idénticas
    a las de los índices `mini_indices` del conjunto completo. ``"full"`` son las 60 000 y
    10 000 originales, que se buscan en ``root``, en la carpeta que diga la variable de entorno
    ``CNNHISTORY_DATA``, en la del paquete de Debian ``dataset-fashion-mnist`` y en la caché de
    torchvision, y al final se descargan.

    Args:
        subset: ``"mini"`` o ``"full"``.
        root: Carpeta donde buscar primero (y descargar, si hace falta) el conjunto completo.

    Returns:
        El par ``(train, test)``, con imágenes ``(N, 1, 28, 28)``.

    Raises:
        ValueError: Si ``subset`` no es ``"mini"`` ni ``"full"``.
        DataError: Si un archivo falta, está dañado o no es de Fashion-MNIST, o si la descarga
            no fue posible.
    """
    if subset == "mini":
        folder, digests = _MINI, _mini_manifest()["sha256_sin_comprimir"]
    elif subset == "full":
        folder, digests = _find_full(root), _FULL_SHA256
    else:
        raise ValueError(f'el subconjunto «{subset}» no existe: elige "mini" o "full"')
    train, test = (_load_part(folder, digests, part) for part in ("train", "test"))
    return train, test


def mini_indices() -> tuple[Tensor, Tensor]:
    """Índices del subconjunto ``"mini"`` dentro del completo: ``(entrenamiento, prueba)``.

    Returns:
        Dos tensores ``int64``, de 10 000 y 2000 elementos, crecientes.
    """
    train, test = (
        torch.from_numpy(read_idx(_MINI / f"{part}-indices-idx1-int.gz").astype(np.int64))
        for part in ("train", "t10k")
    )
    return train, test


def read_idx(path: str | Path, sha256: str | None = None) -> np.ndarray:
    """Lee un archivo IDX, el formato de MNIST, comprimido con gzip (``.gz``) o sin comprimir.

    El formato está descrito en http://yann.lecun.com/exdb/mnist/: dos ceros, el tipo, el número
    de dimensiones, cada dimensión en 32 bits *big endian* y los datos.

    Args:
        path: El archivo; se descomprime si su nombre termina en ``.gz``.
        sha256: Huella esperada del contenido descomprimido; ``None`` no la comprueba.

    Returns:
        El arreglo, con el tipo y la forma que declara el archivo.

    Raises:
        DataError: Si el archivo falta, no es gzip, está truncado, no es IDX o su huella difiere.
    """
    path = Path(path)
    embedded = path.parent == _MINI
    remedy = "reinstala cnnhistory" if embedded else "bórralo y vuelve a obtenerlo"
    try:
        content = path.read_bytes()
        if path.suffix == ".gz":
            content = gzip.decompress(content)
    except FileNotFoundError:
        how = "reinstala cnnhistory" if embedded else "revisa la ruta o vuelve a obtenerlo"
        raise DataError(f"falta el archivo {path}: {how}") from None
    except (EOFError, zlib.error):
        raise DataError(f"{path} está truncado o dañado por dentro: {remedy}") from None
    except gzip.BadGzipFile:
        raise DataError(f"{path} no es un archivo gzip, o está dañado: {remedy}") from None
    except IsADirectoryError:
        raise DataError(f"{path} es una carpeta y debería ser un archivo: {remedy}") from None
    except OSError:
        raise DataError(f"no se pudo leer {path}: revisa sus permisos y el disco") from None
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _IDX_TYPES:
        raise DataError(f"{path} no es un archivo IDX (el formato de MNIST): {remedy}")
    dtype, rank = _IDX_TYPES[content[2]], content[3]
    header = 4 + 4 * rank
    shape = struct.unpack(f">{rank}I", content[4:header]) if len(content) >= header else None
    if shape is None:
        raise DataError(f"{path} está truncado: se corta dentro de su encabezado; {remedy}")
    if len(content) - header != math.prod(shape) * dtype.itemsize:
        raise DataError(
            f"{path} está truncado o alterado: declara la forma {shape} y trae "
            f"{len(content) - header} bytes de datos, que no le corresponden; {remedy}"
        )
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise DataError(
            f"{path} no tiene el contenido esperado (SHA-256 {sha256[:12]}…): es de otro conjunto "
            f"o fue modificado; {remedy}"
        )
    return np.frombuffer(content, dtype, offset=header).reshape(shape)


def split(dataset: Dataset, fraction: float, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Aparta una fracción de cada clase, al azar: entrenamiento y validación.

    Args:
        dataset: Lo que se reparte.
        fraction: Parte que se aparta, entre 0 y 1; de cada clase se redondea al entero.
        seed: Semilla del sorteo; la misma da siempre el mismo reparto.

    Returns:
        El par ``(lo que queda, lo apartado)``, cada uno en el orden original.

    Raises:
        ValueError: Si ``fraction`` no está entre 0 y 1 o alguna de las partes queda vacía.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"la fracción debe estar entre 0 y 1, sin incluirlos; llegó {fraction}")
    generator = torch.Generator().manual_seed(seed)
    held_out = torch.zeros(len(dataset), dtype=torch.bool)
    for label in range(len(dataset.classes)):
        members = (dataset.labels.cpu() == label).nonzero().squeeze(1)
        order = torch.randperm(len(members), generator=generator)
        held_out[members[order[: round(fraction * len(members))]]] = True
    if held_out.all() or not held_out.any():
        raise ValueError(
            f"con {len(dataset)} imágenes y fracción {fraction} una de las partes queda vacía"
        )
    held_out = held_out.to(dataset.labels.device)
    return dataset[~held_out], dataset[held_out]


def normalization(dataset: Dataset) -> v2.Normalize:
    """Estandarización por canal con la media y la desviación de ``dataset``.

    Las estadísticas se calculan, no se copian, y solo con lo que se le pasa: pásale el
    conjunto de entrenamiento, nunca el de prueba.

    Args:
        dataset: De donde salen la media y la desviación de cada canal.

    Returns:
        Una transformación de tensores flotantes en [0, 1], ``(N, C, H, W)``.

    Raises:
        ValueError: Si el conjunto está vacío o algún canal es constante.
    """
    if not len(dataset):
        raise ValueError("no se puede normalizar con un conjunto vacío")
    # Histograma por canal: exacto, y sin una copia flotante de todo el conjunto.
    levels = torch.arange(256, dtype=torch.float64) / 255
    counts = torch.stack(
        [channel.flatten().bincount(minlength=256) for channel in dataset.images.cpu().unbind(1)]
    ).double()
    weights = counts / counts.sum(1, keepdim=True)
    mean = weights @ levels
    std = ((weights @ levels.square()) - mean.square()).clamp(min=0).sqrt()
    if (std < 1e-6).any():
        raise ValueError("hay un canal constante: no se puede dividir por su desviación")
    return v2.Normalize(mean.tolist(), std.tolist())


class Batches:
    """Lotes de un conjunto que ya vive en el dispositivo.

    Recorrerlo da pares ``(imágenes, etiquetas)``: flotantes ``(B, C, H, W)`` en [0, 1] pasadas
    por ``transform``, y enteros ``(B,)``. El último lote puede ser más corto. Con ``shuffle``,
    cada recorrido usa el siguiente orden de la secuencia que fija ``seed``.

    Args:
        dataset: El conjunto; se copia al dispositivo una sola vez, como ``uint8``.
        batch_size: Imágenes por lote.
        shuffle: Si cada recorrido va en otro orden.
        seed: Semilla de los órdenes.
        transform: Se aplica a cada lote entero, por ejemplo `normalization`.
        device: Dispositivo de los lotes.

    Raises:
        ValueError: Si el conjunto está vacío o ``batch_size`` no es positivo.
    """

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        transform: Callable[[Tensor], Tensor] | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        if not len(dataset):
            raise ValueError("el conjunto está vacío: no hay lotes que dar")
        if batch_size < 1:
            raise ValueError(f"el lote debe tener al menos una imagen; llegó {batch_size}")
        self.images = dataset.images.to(device)
        self.labels = dataset.labels.to(device)
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.transform = transform
        # El sorteo ocurre en la CPU: el orden es el mismo en cualquier dispositivo.
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return math.ceil(len(self.labels) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count, device = len(self.labels), self.labels.device
        if self.shuffle:
            order = torch.randperm(count, generator=self.generator).to(device)
        else:
            order = torch.arange(count, device=device)
        for indices in order.split(self.batch_size):
            images = self.images[indices].float().div_(255)
            yield (self.transform(images) if self.transform else images), self.labels[indices]


def _mini_manifest() -> dict:
    path = _MINI / "manifest.json"
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"falta o está dañado {path}: reinstala cnnhistory") from None


def _load_part(folder: Path, digests: dict[str, str], part: str) -> Dataset:
    images, labels = (
        torch.from_numpy(read_idx(_compressed_or_not(folder / name), digests[name]).copy())
        for name in (_IMAGES[part], _LABELS[part])
    )
    return Dataset(images.unsqueeze(1), labels.long(), FASHION_CLASSES)


def _compressed_or_not(path: Path) -> Path:
    """El archivo sin comprimir, si solo está él: torchvision se conforma con los extraídos."""
    extracted = path.with_suffix("")
    return extracted if extracted.is_file() and not path.exists() else path


def _find_full(root: str | Path | None) -> Path:
    """La carpeta que tiene los cuatro archivos; si ninguna, la descarga."""
    cache = Path(torch.hub.get_dir()).parent / "datasets"
    configured = os.environ.get("CNNHISTORY_DATA")
    places = [Path(place) for place in (root, configured, _DEBIAN, cache) if place]
    names = [*_IMAGES.values(), *_LABELS.values()]
    for place in places:
        for folder in (place, place / "FashionMNIST/raw"):
            present = [name for name in names if _compressed_or_not(folder / name).exists()]
            if len(present) == len(names):
                return folder
            if present:
                missing = ", ".join(name for name in names if name not in present)
                raise DataError(
                    f"en {folder} falta: {missing}. Copia ahí los cuatro archivos de "
                    "Fashion-MNIST o borra los que hay para que se descarguen de nuevo"
                )
    destination = Path(root or configured or cache)
    try:
        for train in (True, False):
            datasets.FashionMNIST(str(destination), train=train, download=True)
    except (OSError, RuntimeError) as error:
        looked = ", ".join(str(place) for place in places)
        raise DataError(
            f"el Fashion-MNIST completo no está en {looked} y no se pudo descargar ({error}). "
            "Sin red: instala el paquete de Debian dataset-fashion-mnist, o copia los cuatro "
            'archivos .gz a una carpeta y pásala en root, o usa subset="mini"'
        ) from None
    return destination / "FashionMNIST/raw"
