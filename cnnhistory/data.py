"""Datos reales: entran archivos, salen tensores.

Fashion-MNIST (Xiao, Rasul y Vollgraf, 2017, https://arxiv.org/abs/1708.07747) en dos tamaños:
``"mini"`` viene dentro del paquete y no necesita red; ``"full"`` se busca en el disco y, si no
está, lo descarga torchvision, igual que MNIST, CIFAR-10 y CIFAR-100. Todo cabe en memoria, así
que aquí no hay procesos auxiliares: las imágenes viven en el dispositivo como un solo tensor
``uint8`` y un lote es una indexación. Lo que no cabe se lee con `cnnhistory.imagefolder`.
"""

import gzip
import hashlib
import http.client
import io
import json
import math
import os
import pickle
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from filelock import FileLock
from PIL import Image
from torch import Tensor
from torchvision import datasets
from torchvision.datasets.utils import download_and_extract_archive
from torchvision.transforms import v2

__all__ = [
    "CIFAR10_CLASSES",
    "CIFAR100_CLASSES",
    "FASHION_CLASSES",
    "MNIST_CLASSES",
    "BatchPlan",
    "Batches",
    "DataError",
    "Dataset",
    "cat",
    "cifar10",
    "cifar100",
    "fashion_mnist",
    "few",
    "mini_indices",
    "mnist",
    "normalization",
    "read_idx",
    "split",
    "synthetic",
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

MNIST_CLASSES = tuple("0123456789")
"""Las diez clases de MNIST."""

CIFAR10_CLASSES = (
    "avión",
    "automóvil",
    "ave",
    "gato",
    "ciervo",
    "perro",
    "rana",
    "caballo",
    "barco",
    "camión",
)
"""Las diez clases de CIFAR-10, en el orden de sus etiquetas."""

# fmt: off
CIFAR100_CLASSES = (
    "manzana", "pez de acuario", "bebé", "oso", "castor", "cama", "abeja", "escarabajo",
    "bicicleta", "botella", "tazón", "niño", "puente", "autobús", "mariposa", "camello", "lata",
    "castillo", "oruga", "ganado", "silla", "chimpancé", "reloj", "nube", "cucaracha", "sofá",
    "cangrejo", "cocodrilo", "taza", "dinosaurio", "delfín", "elefante", "pez plano", "bosque",
    "zorro", "niña", "hámster", "casa", "canguro", "teclado", "lámpara", "cortadora de césped",
    "leopardo", "león", "lagarto", "langosta", "hombre", "arce", "motocicleta", "montaña", "ratón",
    "hongo", "roble", "naranja", "orquídea", "nutria", "palmera", "pera", "camioneta", "pino",
    "llanura", "plato", "amapola", "puercoespín", "zarigüeya", "conejo", "mapache", "raya",
    "carretera", "cohete", "rosa", "mar", "foca", "tiburón", "musaraña", "zorrillo", "rascacielos",
    "caracol", "serpiente", "araña", "ardilla", "tranvía", "girasol", "pimiento", "mesa", "tanque",
    "teléfono", "televisor", "tigre", "tractor", "tren", "trucha", "tulipán", "tortuga", "ropero",
    "ballena", "sauce", "lobo", "mujer", "gusano",
)
# fmt: on
"""Las cien clases finas de CIFAR-100, en el orden de sus etiquetas (el alfabético en inglés)."""

_MINI = Path(__file__).parent / "_data/fashion-mnist-mini"
_CAT = Path(__file__).parent / "_data/chelsea.jpg"
_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
_IMAGES = {"train": "train-images-idx3-ubyte.gz", "test": "t10k-images-idx3-ubyte.gz"}
_LABELS = {"train": "train-labels-idx1-ubyte.gz", "test": "t10k-labels-idx1-ubyte.gz"}

# SHA-256 del contenido ya descomprimido: Debian y torchvision comprimen distinto lo mismo, y
# torchvision no revisa un archivo que ya encuentra extraído.
_FULL_SHA256 = {
    "train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
_MNIST_SHA256 = {
    "train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",  # noqa: E501
    "train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",  # noqa: E501
    "t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
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
        folder, digests = _MINI, _manifest(_MINI / "manifest.json")["sha256_sin_comprimir"]
    elif subset == "full":
        folder, digests = _find(_FASHION, root, _DEBIAN), _FULL_SHA256
    else:
        raise ValueError(f'el subconjunto «{subset}» no existe: elige "mini" o "full"')
    return _load_idx(folder, digests, FASHION_CLASSES)


def mnist(root: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Carga MNIST: 60 000 cifras manuscritas de entrenamiento y 10 000 de prueba.

    Y. LeCun, L. Bottou, Y. Bengio y P. Haffner, «Gradient-Based Learning Applied to Document
    Recognition» (1998), http://yann.lecun.com/exdb/mnist/. Se busca en ``root``, en la carpeta
    que diga la variable de entorno ``CNNHISTORY_DATA`` y en la caché de torchvision, siempre
    dentro de ``MNIST/raw``, y al final se descarga. Sus archivos se llaman como los de
    Fashion-MNIST: sueltos, solo se aceptan en ``root``.

    Args:
        root: Carpeta donde buscar primero, y descargar si hace falta.

    Returns:
        El par ``(train, test)``, con imágenes ``(N, 1, 28, 28)``.

    Raises:
        DataError: Si un archivo falta, está dañado o no es de MNIST, o si la descarga no fue
            posible.
    """
    return _load_idx(_find(_MNIST, root), _MNIST_SHA256, MNIST_CLASSES)


def cifar10(root: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Carga CIFAR-10: 50 000 fotos de entrenamiento y 10 000 de prueba, de diez clases.

    A. Krizhevsky, «Learning Multiple Layers of Features from Tiny Images» (2009),
    https://www.cs.toronto.edu/~kriz/cifar.html. Se busca, en su versión para Python, como
    `mnist`, en una carpeta ``cifar-10-batches-py``. Sus archivos son *pickles*, que al leerse
    pueden ejecutar código: ninguno se abre sin haber comprobado antes su huella.

    Args:
        root: Carpeta donde buscar primero, y descargar si hace falta.

    Returns:
        El par ``(train, test)``, con imágenes ``(N, 3, 32, 32)``.

    Raises:
        DataError: Si un archivo falta o no es el original, o si la descarga no fue posible.
    """
    return _load_cifar(datasets.CIFAR10, root, "CIFAR-10", CIFAR10_CLASSES)


def cifar100(root: str | Path | None = None) -> tuple[Dataset, Dataset]:
    """Carga CIFAR-100, con sus cien clases finas: 50 000 fotos y 10 000 de prueba.

    Es de la misma fuente que `cifar10` y se busca igual, en una carpeta ``cifar-100-python``.

    Args:
        root: Carpeta donde buscar primero, y descargar si hace falta.

    Returns:
        El par ``(train, test)``, con imágenes ``(N, 3, 32, 32)``.

    Raises:
        DataError: Si un archivo falta o no es el original, o si la descarga no fue posible.
    """
    return _load_cifar(datasets.CIFAR100, root, "CIFAR-100", CIFAR100_CLASSES)


def cat() -> Tensor:
    """Carga la foto de Chelsea, la gata en que las páginas muestran lo que se le hace a una imagen.

    Viene dentro del paquete. Es de Stéfan van der Walt, que la cedió al dominio público (CC0), y
    sale de scikit-image; lo que se le hizo está en ``_data/chelsea.json``.

    Returns:
        La foto en color: ``uint8`` de 0 a 255, ``(3, 256, 256)``.

    Raises:
        DataError: Si el archivo falta o está dañado.
    """
    content, digest = _read(_CAT), _manifest(_CAT.with_suffix(".json"))["sha256"]
    if hashlib.sha256(content).hexdigest() != digest:
        raise DataError(
            f"{_CAT} no tiene el contenido esperado (SHA-256 {digest[:12]}…): {_remedy(_CAT)}"
        )
    return v2.functional.pil_to_tensor(Image.open(io.BytesIO(content)))


def synthetic(count: int, shape: tuple[int, int, int], num_classes: int, seed: int = 0) -> Dataset:
    """Imágenes y etiquetas al azar, para medir el bucle sin el disco: de ellas no se aprende nada.

    Args:
        count: Cuántas imágenes; ocupan ``count·C·H·W`` bytes.
        shape: Forma de cada una, ``(C, H, W)``.
        num_classes: Clases.
        seed: Semilla del sorteo.

    Returns:
        El conjunto, con imágenes ``(count, C, H, W)`` y clases que se llaman como su número.

    Raises:
        ValueError: Si algún tamaño no es positivo o ``shape`` no tiene tres.
    """
    if len(shape) != 3 or min(count, num_classes, *shape) < 1:
        raise ValueError(
            "se piden count y num_classes positivos y una forma (C, H, W) de tamaños positivos; "
            f"llegaron {count}, {num_classes} y {tuple(shape)}"
        )
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(256, (count, *shape), dtype=torch.uint8, generator=generator)
    labels = torch.randint(num_classes, (count,), generator=generator)
    return Dataset(images, labels, tuple(map(str, range(num_classes))))


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
    remedy = _remedy(path)
    content = _read(path)
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


def few(dataset: Dataset, per_class: int, seed: int = 0) -> Dataset:
    """Toma la misma cantidad de imágenes de cada clase, al azar: como si solo se tuvieran esas.

    Con una misma semilla, las de una cantidad menor están entre las de una mayor.

    Args:
        dataset: De donde se toman.
        per_class: Imágenes de cada clase.
        seed: Semilla del sorteo; la misma da siempre las mismas.

    Returns:
        Un subconjunto con ``per_class`` imágenes de cada clase, en el orden original.

    Raises:
        ValueError: Si ``per_class`` no es un entero positivo, o alguna clase no tiene tantas
            imágenes; el mensaje dice cuáles y cuántas tienen.
    """
    if not isinstance(per_class, int) or isinstance(per_class, bool) or per_class < 1:
        raise ValueError(f"per_class debe ser un entero positivo; llegó {per_class!r}")
    labels = dataset.labels.cpu()
    counts = labels.bincount(minlength=len(dataset.classes)).tolist()
    short = [
        f"«{name}» tiene {count}"
        for name, count in zip(dataset.classes, counts, strict=True)
        if count < per_class
    ]
    if short:
        raise ValueError(
            f"no hay {per_class} imágenes de cada clase: {', '.join(short)}; pide menos, o quita "
            "antes esas clases"
        )
    generator = torch.Generator().manual_seed(seed)
    chosen = []
    for label in range(len(dataset.classes)):
        members = (labels == label).nonzero().squeeze(1)
        chosen.append(members[torch.randperm(len(members), generator=generator)[:per_class]])
    return dataset[torch.cat(chosen).sort().values.to(dataset.labels.device)]


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


@dataclass(frozen=True)
class BatchPlan:
    """Cómo se reparte un recorrido en lotes, y cada lote entre los procesos que entrenan juntos.

    Todos los procesos sortean el mismo orden, y de cada lote cada uno toma su tramo. Al entrenar,
    los tramos son iguales: lo que sobra de un lote que no es múltiplo de la cantidad de procesos
    queda fuera de ese recorrido (en el siguiente, con otro orden, será otra cosa). El último lote
    se salta si a alguno no le toca nada, o si a todos les toca una sola imagen: la normalización
    por lotes no puede con una. Al evaluar no se omite ni se repite nada: un proceso puede tener una
    imagen menos que otro, o ninguna, y entonces a él no le toca ese lote.

    Attributes:
        count: Imágenes en total.
        batch_size: Imágenes por lote, sumadas las de todos los procesos.
        equal: Si los tramos deben ser iguales, como al entrenar.
        shard: El par ``(rango, procesos)``; ``(0, 1)`` es un proceso solo, que se queda con todo.

    Raises:
        ValueError: Si no hay imágenes, ``batch_size`` no es positivo, ``shard`` no es posible o
            ningún lote alcanza para todos los procesos.
    """

    count: int
    batch_size: int
    equal: bool
    shard: tuple[int, int] = (0, 1)

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ValueError("el conjunto está vacío: no hay lotes que dar")
        if self.batch_size < 1:
            raise ValueError(f"el lote debe tener al menos una imagen; llegó {self.batch_size}")
        whole = all(isinstance(number, int) for number in self.shard)
        if len(self.shard) != 2 or not whole or not 0 <= self.shard[0] < self.shard[1]:
            raise ValueError(
                "shard es el par (rango, procesos), con el rango entre 0 y procesos − 1; "
                f"llegó {self.shard}"
            )
        largest = min(self.count, self.batch_size)
        if self.equal and largest < self.shard[1]:
            raise ValueError(
                f"un lote de {largest} no se puede repartir entre {self.shard[1]} procesos: "
                "agranda batch_size (o el conjunto) o usa menos procesos"
            )

    def __len__(self) -> int:
        full, rest = divmod(self.count, self.batch_size)
        return full * self._has_part(self.batch_size) + self._has_part(rest)

    def parts(self, order: Tensor) -> Iterator[Tensor]:
        """Lo que le toca a este proceso, lote por lote.

        Args:
            order: Los índices del recorrido, ``(count,)``.

        Yields:
            Los índices de cada lote, ``(B,)``; nunca cero.
        """
        for batch in order.split(self.batch_size):
            if self._has_part(len(batch)):
                yield batch[self._part(len(batch))]

    def _part(self, size: int) -> slice:
        rank, world = self.shard
        each, extra = divmod(size, world)
        if self.equal:
            extra = 0
        start = rank * each + min(rank, extra)
        return slice(start, start + each + (rank < extra))

    def _has_part(self, size: int) -> bool:
        part = self._part(size)
        leftover = self.equal and size < self.batch_size < self.count
        return part.stop - part.start > leftover


class Batches:
    """Lotes de un conjunto que ya vive en el dispositivo.

    Recorrerlo da pares ``(imágenes, etiquetas)``: flotantes ``(B, C, H, W)`` en [0, 1] pasadas
    por ``transform``, y enteros ``(B,)``. El último lote puede ser más corto. Con ``shuffle``,
    cada recorrido usa el siguiente orden de la secuencia que fija ``seed``.

    Args:
        dataset: El conjunto; se copia al dispositivo una sola vez, como ``uint8``.
        batch_size: Imágenes por lote, sumadas las de todos los procesos.
        shuffle: Si cada recorrido va en otro orden.
        seed: Semilla de los órdenes.
        transform: Se aplica a cada lote entero, por ejemplo `normalization`.
        device: Dispositivo de los lotes.
        shard: El par ``(rango, procesos)`` cuando varios entrenan o evalúan juntos: a cada uno,
            lo que dice `BatchPlan`, con tramos iguales si hay ``shuffle``.

    Raises:
        ValueError: Si el conjunto está vacío o `BatchPlan` no admite ``batch_size`` o ``shard``.
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
        shard: tuple[int, int] = (0, 1),
    ) -> None:
        self.plan = BatchPlan(len(dataset), batch_size, equal=shuffle, shard=shard)
        self.images = dataset.images.to(device)
        self.labels = dataset.labels.to(device)
        self.shuffle = shuffle
        self.transform = transform
        # El sorteo ocurre en la CPU: el orden es el mismo en cualquier dispositivo.
        self.generator = torch.Generator().manual_seed(seed)

    def __len__(self) -> int:
        return len(self.plan)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        count, device = self.plan.count, self.labels.device
        if self.shuffle:
            order = torch.randperm(count, generator=self.generator).to(device)
        else:
            order = torch.arange(count, device=device)
        for indices in self.plan.parts(order):
            images = self.images[indices].float().div_(255)
            yield (self.transform(images) if self.transform else images), self.labels[indices]


def _manifest(path: Path) -> dict:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise DataError(f"falta o está dañado {path}: reinstala cnnhistory") from None


def _remedy(path: Path) -> str:
    return "reinstala cnnhistory" if _is_embedded(path) else "bórralo y vuelve a obtenerlo"


def _is_embedded(path: Path) -> bool:
    return path.parent in (_MINI, _CAT.parent)


def _read(path: Path) -> bytes:
    """El contenido de un archivo, descomprimido si termina en ``.gz``."""
    remedy = _remedy(path)
    try:
        content = path.read_bytes()
        return gzip.decompress(content) if path.suffix == ".gz" else content
    except FileNotFoundError:
        how = remedy if _is_embedded(path) else "revisa la ruta o vuelve a obtenerlo"
        raise DataError(f"falta el archivo {path}: {how}") from None
    except (EOFError, zlib.error):
        raise DataError(f"{path} está truncado o dañado por dentro: {remedy}") from None
    except gzip.BadGzipFile:
        raise DataError(f"{path} no es un archivo gzip, o está dañado: {remedy}") from None
    except IsADirectoryError:
        raise DataError(f"{path} es una carpeta y debería ser un archivo: {remedy}") from None
    except OSError:
        raise DataError(f"no se pudo leer {path}: revisa sus permisos y el disco") from None


def _load_idx(
    folder: Path, digests: dict[str, str], classes: tuple[str, ...]
) -> tuple[Dataset, Dataset]:
    def load(part: str) -> Dataset:
        images, labels = (
            torch.from_numpy(read_idx(_compressed_or_not(folder / name), digests[name]).copy())
            for name in (_IMAGES[part], _LABELS[part])
        )
        return Dataset(images.unsqueeze(1), labels.long(), classes)

    return load("train"), load("test")


def _load_cifar(
    original: type[datasets.CIFAR10], root: str | Path | None, title: str, classes: tuple[str, ...]
) -> tuple[Dataset, Dataset]:
    """Los dos CIFAR; de torchvision salen las huellas, la dirección y el nombre de cada archivo."""
    source = _Source(
        title=title,
        folder=original.base_folder,
        names=tuple(name for name, _ in original.train_list + original.test_list),
        download=lambda place: download_and_extract_archive(
            original.url, place, filename=original.filename, md5=original.tgz_md5
        ),
        advice=f"copia {original.filename} a una carpeta y {_POINT}",
    )
    folder = _find(source, root)

    def load(files: list) -> Dataset:
        parts = [_read_cifar(folder / name, md5) for name, md5 in files]
        images, labels = map(torch.cat, zip(*parts, strict=True))
        return Dataset(images, labels, classes)

    return load(original.train_list), load(original.test_list)


def _read_cifar(path: Path, md5: str) -> tuple[Tensor, Tensor]:
    content = _read(path)
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise DataError(
            f"{path} no tiene el contenido esperado (MD5 {md5[:12]}…): está truncado o fue "
            f"modificado; {_remedy(path)}"
        )
    entry = pickle.loads(content, encoding="latin1")  # los escribió Python 2
    labels = entry["labels"] if "labels" in entry else entry["fine_labels"]
    return torch.from_numpy(entry["data"]).view(-1, 3, 32, 32), torch.tensor(labels)


_POINT = "pásala en root, o di cuál es en la variable de entorno CNNHISTORY_DATA"


def _compressed_or_not(path: Path) -> Path:
    """El archivo sin comprimir, si solo está él: torchvision se conforma con los extraídos."""
    extracted = path.with_suffix("")
    return extracted if extracted.is_file() and not path.exists() else path


@dataclass(frozen=True)
class _Source:
    """Un conjunto que no viene en el paquete: dónde se busca y cómo se consigue."""

    title: str
    folder: str  # donde torchvision lo deja, dentro de la carpeta que se le diga
    names: tuple[str, ...]
    download: Callable[[str], object]
    advice: str
    loose: bool = False  # si los archivos se buscan también sueltos, fuera de su carpeta


def _download_idx(name: str, place: str) -> None:
    for train in (True, False):
        getattr(datasets, name)(place, train=train, download=True)


_FASHION = _Source(
    title="Fashion-MNIST",
    folder="FashionMNIST/raw",
    names=(*_IMAGES.values(), *_LABELS.values()),
    download=partial(_download_idx, "FashionMNIST"),
    advice='instala el paquete de Debian dataset-fashion-mnist, o usa subset="mini", o copia '
    f"los cuatro archivos .gz a una carpeta y {_POINT}",
    loose=True,
)
_MNIST = _Source(
    title="MNIST",
    folder="MNIST/raw",
    names=_FASHION.names,
    download=partial(_download_idx, "MNIST"),
    advice=f"copia los cuatro archivos .gz a una carpeta y {_POINT}",
)


def _find(source: _Source, root: str | Path | None, *extra: Path) -> Path:
    """La carpeta que tiene todos los archivos; si ninguna, los descarga."""
    found, places = _present(source, root, extra, whole=False)
    if found:
        return found
    destination = places[0] if root or os.environ.get("CNNHISTORY_DATA") else places[-1]
    try:
        destination.mkdir(parents=True, exist_ok=True)
        # De a uno: con torchrun, todos los procesos llegan aquí a la vez.
        with FileLock(destination / f".{source.title}.lock"):
            found, _ = _present(source, root, extra)
            if found is None:
                source.download(str(destination))
    except (OSError, RuntimeError, http.client.HTTPException) as error:
        looked = ", ".join(str(place) for place in places)
        raise DataError(
            f"{source.title} no está completo en {looked} y no se pudo descargar ({error}). "
            f"Sin red: {source.advice}"
        ) from None
    return found or destination / source.folder


def _present(
    source: _Source, root: str | Path | None, extra: tuple[Path, ...], whole: bool = True
) -> tuple[Path | None, list[Path]]:
    """La carpeta que tiene todos los archivos, si la hay, y los lugares en que se buscó.

    Si alguna tiene solo una parte es un error, salvo sin ``whole``: otro proceso puede estar
    descargando.
    """
    cache = Path(torch.hub.get_dir()).parent / "datasets"
    configured = os.environ.get("CNNHISTORY_DATA")
    places = [Path(place) for place in (root, configured, *extra, cache) if place]
    chosen = Path(root) if root else None
    for place in places:
        for folder, own in ((place, source.loose), (place / source.folder, True)):
            if not own and place != chosen:
                continue
            present = [name for name in source.names if _compressed_or_not(folder / name).is_file()]
            if len(present) == len(source.names):
                return folder, places
            if present and own and whole:
                missing = ", ".join(name for name in source.names if name not in present)
                raise DataError(
                    f"en {folder} falta: {missing}. Copia ahí los archivos de {source.title} o "
                    "borra los que hay para que se descarguen de nuevo"
                )
    return None, places
