"""El mundo de antes: características diseñadas a mano, y encima un clasificador de scikit-learn.

Cada paso es un transformador de scikit-learn que recibe imágenes ``uint8`` ``(N, C, H, W)``, tensor
o arreglo, y sirve en un `sklearn.pipeline.Pipeline` y en una búsqueda en rejilla:

- `Pixels`: los píxeles en fila, el piso de toda comparación.
- `HOG`: histogramas de gradientes orientados. N. Dalal y B. Triggs, «Histograms of Oriented
  Gradients for Human Detection» (2005), https://doi.org/10.1109/CVPR.2005.177
- `DenseSIFT`: descriptores SIFT en una rejilla. D. Lowe, «Distinctive Image Features from
  Scale-Invariant Keypoints» (2004), https://doi.org/10.1023/B:VISI.0000029664.99615.94
- `BagOfVisualWords`: cuántas veces aparece cada palabra de un vocabulario visual, con pirámide
  espacial. J. Sivic y A. Zisserman, «Video Google» (2003),
  https://doi.org/10.1109/ICCV.2003.1238663; G. Csurka y otros, «Visual Categorization with Bags of
  Keypoints» (2004); S. Lazebnik, C. Schmid y J. Ponce, «Beyond Bags of Features» (2006),
  https://doi.org/10.1109/CVPR.2006.68
"""

import math
import pickle
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.svm import SVC, LinearSVC
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted
from torch import Tensor

from cnnhistory.data import Dataset

__all__ = ["HOG", "BagOfVisualWords", "DenseSIFT", "Measurement", "Pixels", "measure", "recipes"]

_CHUNK = 500  # imágenes a la vez: acota la memoria de los pasos intermedios


class _ImageTransformer(TransformerMixin, BaseEstimator):
    """Lo común a los que reciben imágenes: revisarlas, y recordar su forma."""

    image_shape_: tuple[int, int, int]

    def fit(self, images: Tensor | ArrayLike, labels: object = None) -> Self:
        """Revisa los parámetros y recuerda la forma de las imágenes; de ellas no aprende nada.

        Args:
            images: ``uint8`` de 0 a 255, ``(N, C, H, W)``, con uno o tres canales.
            labels: Se ignora; lo pasa `Pipeline`.

        Returns:
            El mismo transformador.

        Raises:
            ValueError: Si las imágenes o los parámetros no sirven.
        """
        shape = _checked_images(images).shape[1:]
        self._check(*shape[1:])
        self.image_shape_ = shape
        return self

    def _check(self, height: int, width: int) -> None:
        """Revisa los parámetros contra el tamaño de las imágenes."""

    def _fitted(self, images: Tensor | ArrayLike) -> np.ndarray:
        check_is_fitted(self, msg="%(name)s todavía no se ajustó: llama antes a fit")
        pixels = _checked_images(images)
        if pixels.shape[1:] != self.image_shape_:
            raise ValueError(
                f"{type(self).__name__} se ajustó con imágenes {self.image_shape_} (C, H, W) y "
                f"llegaron de {pixels.shape[1:]}: deben medir lo mismo"
            )
        return pixels


class Pixels(_ImageTransformer):
    """Los píxeles en fila, de 0 a 1: no describe nada."""

    def transform(self, images: Tensor | ArrayLike) -> np.ndarray:
        """``(N, C, H, W)`` → ``(N, C·H·W)``, ``float32``.

        Raises:
            ValueError: Si las imágenes no son como las de `fit`.
        """
        pixels = self._fitted(images)
        return pixels.reshape(len(pixels), -1).astype(np.float32) / 255


class HOG(_ImageTransformer):
    """Histogramas de gradientes orientados (Dalal y Triggs, 2005).

    Cada píxel vota con el módulo de su gradiente por su orientación, repartido entre las dos
    orientaciones y las cuatro celdas más cercanas. Los histogramas se agrupan en bloques que se
    traslapan, y cada bloque se divide entre su norma, se recorta y se vuelve a dividir (*L2-Hys*):
    por eso el brillo y el contraste no cuentan. En color, en cada píxel vota el canal de mayor
    gradiente.

    Args:
        cell_size: Lado de una celda, en píxeles; lo que no completa una celda queda fuera.
        orientations: Casillas del histograma.
        block_size: Celdas por lado de un bloque.
        signed: Si una orientación y su opuesta son distintas (360°) o la misma (180°). Para
            detectar personas el artículo prefiere lo segundo.
    """

    def __init__(
        self,
        cell_size: int = 4,
        orientations: int = 9,
        block_size: int = 2,
        signed: bool = False,
    ) -> None:
        self.cell_size = cell_size
        self.orientations = orientations
        self.block_size = block_size
        self.signed = signed

    def _check(self, height: int, width: int) -> None:
        _check_positive(self, "cell_size", "orientations", "block_size")
        needed = self.cell_size * self.block_size
        if min(height, width) < needed:
            raise ValueError(
                f"en una imagen de {height}×{width} no cabe un bloque de {needed}×{needed} "
                f"({self.block_size} celdas de {self.cell_size} píxeles): reduce cell_size o "
                "block_size"
            )

    def transform(self, images: Tensor | ArrayLike) -> np.ndarray:
        """``(N, C, H, W)`` → ``(N, bloques · block_size² · orientations)``, ``float32``.

        Raises:
            ValueError: Si las imágenes no son como las de `fit`.
        """
        pixels = self._fitted(images)
        return np.concatenate([self._describe(part) for part in _chunks(pixels)])

    def _describe(self, pixels: np.ndarray) -> np.ndarray:
        magnitude, angle = _gradients(pixels.astype(np.float32))
        turn = 2 * math.pi if self.signed else math.pi
        # Las casillas se miden desde sus centros: un ángulo cae entre dos, y reparte su voto.
        place = (angle % turn) * (self.orientations / turn) - 0.5
        low = np.floor(place)
        votes_high = magnitude * (place - low)
        votes_low = magnitude - votes_high
        low = low.astype(np.int64) % self.orientations
        down, across = (_triangles(side, self.cell_size) for side in magnitude.shape[1:])
        cells = []
        for index in range(self.orientations):
            votes = np.where(low == index, votes_low, 0)
            votes += np.where((low + 1) % self.orientations == index, votes_high, 0)
            cells.append(down @ votes @ across.T)  # (N, R, Q): de píxeles a celdas
        blocks = np.lib.stride_tricks.sliding_window_view(
            np.stack(cells, axis=-1), (self.block_size, self.block_size), axis=(1, 2)
        )  # (N, R', Q', orientations, block_size, block_size)
        blocks = blocks.transpose(0, 1, 2, 4, 5, 3)
        blocks = blocks.reshape(*blocks.shape[:3], -1)
        blocks = _unit(np.minimum(_unit(blocks), 0.2))
        return blocks.reshape(len(pixels), -1)


class DenseSIFT(_ImageTransformer):
    """Descriptores SIFT de OpenCV en una rejilla regular, en vez de en puntos elegidos.

    Cada descriptor resume un parche en 4×4 histogramas de 8 orientaciones: 128 números. La imagen
    se suaviza antes en proporción al parche, como en el artículo, y el parche no se gira: en una
    rejilla todos miran derecho. En color se usa la luminancia.

    Args:
        step: Distancia entre puntos de la rejilla, en píxeles.
        patch_sizes: Lados del parche, en píxeles: uno o varios por punto.
        min_side: Las imágenes con un lado menor se agrandan, un número entero de veces, hasta
            alcanzarlo; las demás medidas son entonces de la imagen agrandada.
    """

    def __init__(
        self, step: int = 4, patch_sizes: tuple[int, ...] = (8, 12), min_side: int = 28
    ) -> None:
        self.step = step
        self.patch_sizes = patch_sizes
        self.min_side = min_side

    def _check(self, height: int, width: int) -> None:
        _check_positive(self, "step", "min_side")
        sizes = self.patch_sizes
        if not isinstance(sizes, tuple | list) or not sizes or min(sizes) < 4:
            raise ValueError(
                "patch_sizes son uno o varios lados de al menos 4 píxeles, como (8, 12); "
                f"llegó {sizes!r}"
            )
        scale = self._scale(height, width)
        if min(height, width) * scale < max(self.step, *sizes):
            raise ValueError(
                f"una imagen de {height}×{width} (agrandada {scale} veces) es menor que el paso, "
                f"{self.step}, o que el parche, {max(sizes)}: redúcelos o sube min_side"
            )

    def _scale(self, height: int, width: int) -> int:
        return max(1, math.ceil(self.min_side / min(height, width)))

    def grid(self, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        """Las filas y las columnas de la rejilla, centrada, en píxeles de la imagen agrandada.

        Args:
            height: Alto de la imagen original.
            width: Ancho de la imagen original.

        Returns:
            Dos vectores: las ordenadas y las abscisas.
        """
        scale = self._scale(height, width)
        rows, columns = (
            (side - 1 - (side // self.step - 1) * self.step) / 2
            + self.step * np.arange(side // self.step)
            for side in (height * scale, width * scale)
        )
        return rows, columns

    def transform(self, images: Tensor | ArrayLike) -> np.ndarray:
        """``(N, C, H, W)`` → ``(N, tamaños, filas, columnas, 128)``, ``uint8``.

        Raises:
            ValueError: Si las imágenes no son como las de `fit`.
        """
        pixels = self._fitted(images)
        height, width = pixels.shape[2:]
        rows, columns = self.grid(height, width)
        size = (width * self._scale(height, width), height * self._scale(height, width))
        shape = (len(pixels), len(self.patch_sizes), len(rows), len(columns), 128)
        descriptors = np.empty(shape, np.uint8)
        # El diámetro de un punto de Lowe es 2σ y su parche, 12σ; con σ ≤ 0.5 no hay que suavizar.
        extractors = [
            (
                cv2.SIFT.create(sigma=max(patch / 12, 0.5)),
                [cv2.KeyPoint(float(x), float(y), patch / 6, 0.0) for y in rows for x in columns],
            )
            for patch in self.patch_sizes
        ]
        for image, out in zip(pixels, descriptors, strict=True):
            gray = image[0] if len(image) == 1 else _luminance(image)
            gray = cv2.resize(gray, size, interpolation=cv2.INTER_LINEAR)
            for (extractor, points), patches in zip(extractors, out, strict=True):
                found = extractor.compute(gray, points)[1]
                patches[...] = found.reshape(patches.shape)
        return descriptors


class BagOfVisualWords(TransformerMixin, BaseEstimator):
    """Bolsa de palabras visuales: la imagen como una lista de frecuencias.

    `fit` agrupa descriptores con k-medias, y los centros son las palabras. `transform` da la
    frecuencia de cada una en la imagen. Con ``levels`` mayor que 1 las da además en 2×2 regiones,
    en 4×4…, y pesa cada nivel como la pirámide espacial: con tres, 1/4, 1/4 y 1/2. El vector de
    una imagen siempre suma 1.

    Args:
        num_words: Palabras del vocabulario.
        levels: Niveles de la pirámide; 1 es la bolsa sin pirámide.
        sigma: Con 0, cada descriptor cuenta en su palabra más cercana. Con más, se reparte entre
            todas según exp(−d²/2σ²), la *codeword uncertainty* de van Gemert y otros (2010), en
            unidades del descriptor: uno de SIFT mide unos 512.
        sample: Descriptores con que se hace el vocabulario, elegidos al azar.
        random_state: Semilla; la misma da los mismos bits.
    """

    codebook_: np.ndarray

    def __init__(
        self,
        num_words: int = 256,
        levels: int = 1,
        sigma: float = 0.0,
        sample: int = 50_000,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.num_words = num_words
        self.levels = levels
        self.sigma = sigma
        self.sample = sample
        self.random_state = random_state

    def fit(self, descriptors: ArrayLike, labels: object = None) -> Self:
        """Hace el vocabulario, ``codebook_``, ``(num_words, D)``.

        Args:
            descriptors: ``(N, tamaños, filas, columnas, D)``, los de `DenseSIFT`.
            labels: Se ignora; lo pasa `Pipeline`.

        Returns:
            El mismo transformador.

        Raises:
            ValueError: Si los descriptores o los parámetros no sirven, o si hay menos descriptores
                distintos que palabras.
        """
        _check_positive(self, "num_words", "levels", "sample")
        if not 0 <= self.sigma < math.inf:
            raise ValueError(f"sigma no puede ser negativa ni infinita; llegó {self.sigma!r}")
        values = _checked_descriptors(descriptors, self.levels)
        flat = values.reshape(-1, values.shape[-1])
        random = check_random_state(self.random_state)
        count = min(self.sample, len(flat))
        chosen = flat[random.choice(len(flat), count, replace=False)].astype(np.float32)
        distinct = len(np.unique(chosen, axis=0))
        if distinct < self.num_words:
            raise ValueError(
                f"un vocabulario de {self.num_words} palabras necesita al menos {self.num_words} "
                f"descriptores distintos, y hay {distinct} entre los {count} de la muestra: usa "
                "más imágenes, sube sample o baja num_words"
            )
        kmeans = MiniBatchKMeans(self.num_words, batch_size=2048, random_state=random)
        self.codebook_ = np.asarray(kmeans.fit(chosen).cluster_centers_)
        return self

    def transform(self, descriptors: ArrayLike) -> np.ndarray:
        """``(N, tamaños, filas, columnas, D)`` → ``(N, num_words · Σ 4^l)``, ``float32``.

        Raises:
            ValueError: Si los descriptores no son como los de `fit`.
        """
        check_is_fitted(self, msg="%(name)s todavía no tiene vocabulario: llama antes a fit")
        values = _checked_descriptors(descriptors, self.levels)
        if values.shape[-1] != self.codebook_.shape[1]:
            raise ValueError(
                f"el vocabulario es de descriptores de {self.codebook_.shape[1]} números y "
                f"llegaron de {values.shape[-1]}"
            )
        return np.concatenate([self._count(part) for part in _chunks(values)])

    def _count(self, descriptors: np.ndarray) -> np.ndarray:
        share = self._assign(descriptors.reshape(-1, descriptors.shape[-1]))
        share = share.reshape(*descriptors.shape[:-1], -1).sum(axis=1)  # (N, filas, columnas, K)
        share /= descriptors[0, ..., 0].size
        parts = []
        for level in range(self.levels):
            weight = 0.5 ** (self.levels - max(level, 1))
            for rows in np.array_split(share, 2**level, axis=1):
                for region in np.array_split(rows, 2**level, axis=2):
                    parts.append(weight * region.sum(axis=(1, 2)))
        return np.concatenate(parts, axis=1)

    def _assign(self, flat: np.ndarray) -> np.ndarray:
        """Qué parte de cada descriptor va a cada palabra: ``(M, D)`` → ``(M, K)``."""
        words = self.codebook_
        # |x − w|² = |x|² − 2xw + |w|², y |x|² es igual para todas las palabras.
        distance = (words**2).sum(axis=1) - 2 * flat.astype(np.float32) @ words.T
        distance -= distance.min(axis=1, keepdims=True)
        if self.sigma == 0:
            return np.eye(len(words), dtype=np.float32)[distance.argmin(axis=1)]
        share = np.exp(distance / (-2 * self.sigma**2))
        return share / share.sum(axis=1, keepdims=True)


def recipes(seed: int = 0) -> dict[str, Pipeline]:
    """Las recetas clásicas de la historia, sin ajustar y con valores fijos, iguales para todos.

    Args:
        seed: Semilla del vocabulario.

    Returns:
        De cada una, su nombre y su `Pipeline`: recibe imágenes, predice etiquetas.
    """
    root = FunctionTransformer(np.sqrt)  # entre histogramas, la distancia de Hellinger
    words = BagOfVisualWords(256, levels=2, random_state=seed)
    reduce = PCA(200, svd_solver="covariance_eigh")  # una SVM con núcleo cuesta según lo que mide
    # Con signo: se eligió con prendas apartadas del entrenamiento, sin mirar las de prueba.
    hog = HOG(signed=True)
    return {
        "píxeles + vecino más cercano": make_pipeline(Pixels(), KNeighborsClassifier(1)),
        "píxeles + SVM lineal": make_pipeline(Pixels(), LinearSVC(C=0.01)),
        "HOG + SVM lineal": make_pipeline(hog, LinearSVC(C=0.05)),
        "HOG + SVM RBF": make_pipeline(hog, reduce, SVC(C=5)),
        "palabras visuales + SVM lineal": make_pipeline(DenseSIFT(), words, root, LinearSVC(C=1)),
        "palabras visuales + SVM RBF": make_pipeline(DenseSIFT(), words, root, reduce, SVC(C=5)),
    }


@dataclass(frozen=True)
class Measurement:
    """Lo que dio una receta.

    Attributes:
        name: Su nombre.
        accuracy: Acierto en prueba, de 0 a 1.
        fit_seconds: Segundos de procesador de ajustar, con sus descriptores.
        predict_seconds: Segundos de procesador de predecir la prueba, con sus descriptores.
        kilobytes: Lo que pesa el modelo guardado, en miles de bytes.
    """

    name: str
    accuracy: float
    fit_seconds: float
    predict_seconds: float
    kilobytes: float


def measure(name: str, pipeline: Pipeline, train: Dataset, test: Dataset) -> Measurement:
    """Ajusta una receta con unas imágenes y la mide, una vez, en otras.

    Args:
        name: Nombre que llevará la medida.
        pipeline: Una de `recipes`, u otra; queda ajustada.
        train: Imágenes con que se ajusta.
        test: Imágenes con que se mide.

    Returns:
        La medida.

    Raises:
        ValueError: Si en las imágenes hay una sola clase, o son menos de las que pide la receta.
    """
    if len(train.labels.unique()) < 2:
        raise ValueError(
            f"las {len(train)} imágenes para ajustar son de una sola clase: hacen falta dos o más"
        )
    for step in pipeline.named_steps.values():
        if isinstance(step, PCA) and len(train) < (step.n_components or 0):
            raise ValueError(
                f"«{name}» resume con PCA en {step.n_components} números y solo hay {len(train)} "
                "imágenes para ajustar: dale más, o baja n_components"
            )
    start = time.process_time()
    pipeline.fit(train.images.numpy(), train.labels.numpy())
    middle = time.process_time()
    accuracy = pipeline.score(test.images.numpy(), test.labels.numpy())
    end = time.process_time()
    size = len(pickle.dumps(pipeline)) / 1000
    return Measurement(name, float(accuracy), middle - start, end - middle, size)


def _checked_images(images: Tensor | ArrayLike) -> np.ndarray:
    values = images.detach().cpu().numpy() if isinstance(images, Tensor) else np.asarray(images)
    if values.dtype != np.uint8 or values.ndim != 4 or values.shape[1] not in (1, 3):
        raise ValueError(
            "se esperaban imágenes uint8 (N, C, H, W) de 0 a 255, con uno o tres canales; llegó "
            f"{values.dtype} con forma {values.shape}"
        )
    if values.size == 0:
        raise ValueError(f"no hay imágenes que describir: la forma es {values.shape}")
    return values


def _checked_descriptors(descriptors: ArrayLike, levels: int) -> np.ndarray:
    values = np.asarray(descriptors)
    if values.ndim != 5 or values.dtype.kind not in "uif":
        raise ValueError(
            "se esperaban descriptores (N, tamaños, filas, columnas, D), los de DenseSIFT; llegó "
            f"{values.dtype} con forma {values.shape}"
        )
    if values.size == 0:
        raise ValueError(f"no hay descriptores: la forma es {values.shape}")
    if min(values.shape[2:4]) < 2 ** (levels - 1):
        raise ValueError(
            f"una rejilla de {values.shape[2]}×{values.shape[3]} no se parte en "
            f"{2 ** (levels - 1)}×{2 ** (levels - 1)} regiones: baja levels o el paso de la rejilla"
        )
    return values


def _check_positive(estimator: Any, *names: str) -> None:
    for name in names:
        value = getattr(estimator, name)
        if not isinstance(value, int | np.integer) or value < 1:
            raise ValueError(f"{name} debe ser un entero positivo; llegó {value!r}")


def _chunks(values: np.ndarray) -> Iterator[np.ndarray]:
    for start in range(0, len(values), _CHUNK):
        yield values[start : start + _CHUNK]


def _luminance(image: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(np.ascontiguousarray(image.transpose(1, 2, 0)), cv2.COLOR_RGB2GRAY)


def _gradients(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Módulo y ángulo del gradiente, ``(N, C, H, W)`` → dos ``(N, H, W)``; en el borde, cero."""
    down, across = np.zeros_like(pixels), np.zeros_like(pixels)
    down[:, :, 1:-1] = pixels[:, :, 2:] - pixels[:, :, :-2]
    across[..., 1:-1] = pixels[..., 2:] - pixels[..., :-2]
    strongest = np.hypot(down, across).argmax(axis=1)[:, None]
    down, across = (np.take_along_axis(each, strongest, 1)[:, 0] for each in (down, across))
    return np.hypot(down, across), np.arctan2(down, across)


def _triangles(side: int, cell_size: int) -> np.ndarray:
    """Cuánto vota cada píxel de una línea por cada celda: ``(celdas, side)``."""
    centers = (np.arange(side // cell_size) + 0.5) * cell_size - 0.5
    distance = np.abs(np.arange(side) - centers[:, None])
    return np.maximum(0, 1 - distance / cell_size).astype(np.float32)


def _unit(blocks: np.ndarray) -> np.ndarray:
    norm = np.sqrt((blocks**2).sum(axis=-1, keepdims=True) + 1e-10)
    return blocks / norm
