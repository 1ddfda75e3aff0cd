"""Verificación: ¿estas dos imágenes son de lo mismo? Parejas, curva ROC y umbral.

Así se midió VGG-Face: O. M. Parkhi, A. Vedaldi y A. Zisserman, «Deep Face Recognition», BMVC 2015,
https://doi.org/10.5244/C.29.41. Se sortean parejas de imágenes, la mitad de la misma clase; la
distancia entre sus descriptores (`cnnhistory.descriptors`) dice si se aceptan como iguales, y el
umbral se elige con unas parejas y se mide con otras.
"""

import random
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.metrics import auc, roc_curve
from sklearn.metrics.pairwise import paired_distances
from torch import Tensor

from cnnhistory.descriptors import as_array

__all__ = [
    "Pairs",
    "RocCurve",
    "accuracy_at",
    "best_threshold",
    "make_pairs",
    "pair_distances",
    "trace_roc",
]


@dataclass(frozen=True, eq=False)
class Pairs:
    """Parejas de imágenes: primero las de la misma clase y después las de clases distintas.

    Attributes:
        first: Posición de la primera imagen, ``(P,)``.
        second: Posición de la segunda, ``(P,)``.
        same: Si son de la misma clase, booleanos ``(P,)``.
    """

    first: Tensor
    second: Tensor
    same: Tensor


@dataclass(frozen=True, eq=False)
class RocCurve:
    """La curva ROC de una verificación: qué se acepta con cada umbral.

    Attributes:
        thresholds: Umbrales crecientes ``(T,)``: se acepta la pareja cuya distancia no lo pasa. El
            primero es −∞ y no acepta ninguna.
        false_accepts: Fracción de parejas distintas que se aceptan, ``(T,)``.
        true_accepts: Fracción de parejas iguales que se aceptan, ``(T,)``.
        area: Área bajo la curva: la probabilidad de que una pareja igual esté más cerca que una
            distinta; 0.5 es el azar.
        equal_error_rate: Error donde se acepta de más tanto como se rechaza de más (EER).
    """

    thresholds: Tensor
    false_accepts: Tensor
    true_accepts: Tensor
    area: float
    equal_error_rate: float


def make_pairs(labels: Tensor, count: int, seed: int = 0) -> Pairs:
    """Sortea parejas, la mitad de la misma clase y la mitad no; ninguna se repite.

    Todas las parejas posibles de cada mitad tienen la misma probabilidad, y ninguna imagen se
    empareja consigo misma. Para que nada se filtre de una parte a otra, reparte primero las
    imágenes (o las clases) y sortea después las parejas dentro de cada parte.

    Args:
        labels: Clase de cada imagen, enteros ``(N,)``. Una clase con una sola imagen solo puede
            estar en parejas distintas.
        count: Cuántas parejas; par.
        seed: Semilla del sorteo.

    Returns:
        Las parejas.

    Raises:
        ValueError: Si ``count`` no es par y positivo, o las imágenes no dan para tantas.
    """
    if count < 2 or count % 2:
        raise ValueError(f"el número de parejas debe ser par y positivo; llegó {count}")
    if labels.ndim != 1 or not len(labels):
        raise ValueError(f"se esperaban etiquetas (N,), con N > 0; llegó {tuple(labels.shape)}")
    order = labels.cpu().argsort(stable=True)
    grouped = labels.cpu()[order]
    here = torch.arange(len(order))
    end = torch.searchsorted(grouped, grouped, right=True)  # dónde acaba la clase de cada una
    dice = random.Random(seed)
    everyone = torch.full_like(end, len(order))
    # Ordenadas por clase, cada imagen va con las que le siguen en la suya o con las clases que
    # siguen. Así cada pareja posible tiene un número, y se sortean números sin repetir.
    same = [order[each] for each in _draw(here + 1, end, count // 2, "de la misma clase", dice)]
    other = [order[each] for each in _draw(end, everyone, count // 2, "de clases distintas", dice)]
    return Pairs(
        torch.cat([same[0], other[0]]),
        torch.cat([same[1], other[1]]),
        torch.arange(count) < count // 2,
    )


def _draw(
    start: Tensor, stop: Tensor, count: int, kind: str, dice: random.Random
) -> tuple[Tensor, Tensor]:
    """Sortea ``count`` parejas ``(i, j)`` distintas, con j de ``start[i]`` a ``stop[i] - 1``."""
    numbered = (stop - start).cumsum(0)
    total = int(numbered[-1])
    if count > total:
        raise ValueError(
            f"se piden {count} parejas {kind} y solo hay {total} posibles: pide menos o agrega "
            "imágenes y clases"
        )
    drawn = torch.tensor(dice.sample(range(total), count))
    first = torch.searchsorted(numbered, drawn, right=True)
    return first, stop[first] - (numbered[first] - drawn)


def pair_distances(descriptors: Tensor, pairs: Pairs, metric: str = "cosine") -> Tensor:
    """Mide la distancia entre los dos descriptores de cada pareja.

    Args:
        descriptors: ``(N, D)``, en el orden de las etiquetas con que se hicieron las parejas.
        pairs: Las de `make_pairs`.
        metric: Una de `cnnhistory.descriptors.METRICS`.

    Returns:
        Las distancias, ``(P,)``, en la CPU.

    Raises:
        ValueError: Si la métrica no existe, los descriptores no se pueden comparar o son menos de
            los que nombran las parejas.
    """
    values = as_array(descriptors, metric)
    largest = int(torch.maximum(pairs.first, pairs.second).max())
    if largest >= len(values):
        raise ValueError(
            f"las parejas nombran la imagen {largest} y hay {len(values)} descriptores: haz las "
            "parejas con las etiquetas de esas mismas imágenes"
        )
    first, second = values[pairs.first.numpy()], values[pairs.second.numpy()]
    return torch.from_numpy(np.asarray(paired_distances(first, second, metric=metric)))


def trace_roc(distances: Tensor, same: Tensor) -> RocCurve:
    """Recorre todos los umbrales: cuántas parejas iguales y distintas acepta cada uno.

    Args:
        distances: La de cada pareja, ``(P,)``.
        same: Si son de la misma clase, booleanos ``(P,)``.

    Returns:
        La curva, con su área y su EER.

    Raises:
        ValueError: Si las formas no corresponden, hay NaN o todas las parejas son del mismo tipo.
    """
    distances, same = _check_pairs(distances, same)
    if same.all() or not same.any():
        raise ValueError(
            "hacen falta parejas iguales y distintas, y aquí todas son "
            + ("iguales" if same.all() else "distintas")
        )
    false_accepts, true_accepts, scores = roc_curve(
        same.numpy(), -distances.numpy(), drop_intermediate=False
    )
    # Lo aceptado de más crece y lo rechazado de más baja: se cruzan una sola vez.
    excess = false_accepts - (1 - true_accepts)
    return RocCurve(
        torch.from_numpy(-scores),
        torch.from_numpy(false_accepts),
        torch.from_numpy(true_accepts),
        float(auc(false_accepts, true_accepts)),
        float(np.interp(0.0, excess, false_accepts)),
    )


def best_threshold(distances: Tensor, same: Tensor) -> float:
    """Elige el umbral con el que más parejas se aciertan.

    Elígelo con unas parejas y mídelo con otras: con las mismas, el acierto sale optimista.

    Args:
        distances: La de cada pareja, ``(P,)``.
        same: Si son de la misma clase, booleanos ``(P,)``.

    Returns:
        El umbral, a mitad de camino entre la última distancia que acepta y la siguiente; −∞ si
        lo mejor es no aceptar ninguna.

    Raises:
        ValueError: Los de `trace_roc`.
    """
    curve = trace_roc(distances, same)
    positives = same.double().mean().item()
    right = positives * curve.true_accepts + (1 - positives) * (1 - curve.false_accepts)
    best = int(right.argmax())
    return curve.thresholds[best : best + 2].mean().item()


def accuracy_at(distances: Tensor, same: Tensor, threshold: float) -> float:
    """Fracción de parejas bien juzgadas si se aceptan las que no pasan del umbral.

    Args:
        distances: La de cada pareja, ``(P,)``.
        same: Si son de la misma clase, booleanos ``(P,)``.
        threshold: El umbral, en las unidades de las distancias.

    Returns:
        El acierto, entre 0 y 1.

    Raises:
        ValueError: Si las formas no corresponden o hay NaN.
    """
    distances, same = _check_pairs(distances, same)
    return ((distances <= threshold) == same).double().mean().item()


def _check_pairs(distances: Tensor, same: Tensor) -> tuple[Tensor, Tensor]:
    if distances.ndim != 1 or distances.shape != same.shape or not len(same):
        raise ValueError(
            "se esperaba una distancia y un booleano por pareja, dos tensores (P,) con P > 0; "
            f"llegaron {tuple(distances.shape)} y {tuple(same.shape)}"
        )
    if same.dtype != torch.bool:
        raise ValueError(f"«same» debe ser un tensor de booleanos; llegó {same.dtype}")
    if not distances.isfinite().all():
        raise ValueError("hay distancias que no son finitas: revisa los descriptores")
    # En doble precisión cabe un umbral entre dos distancias seguidas.
    return distances.detach().cpu().double(), same.cpu()
