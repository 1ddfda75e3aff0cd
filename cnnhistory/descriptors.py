"""Descriptores y parecido: vecinos, mapas y la pérdida de tripletas.

Un descriptor es el vector que una red deja en una de sus capas, casi siempre la penúltima; los
saca `cnnhistory.inspection.embed`. Aquí se comparan y se entrenan para comparar. Todas las
funciones reciben tensores ``(N, D)``, un descriptor por fila, de donde sea que hayan salido:
también de los píxeles. Decidir si dos son de lo mismo es cosa de `cnnhistory.verification`.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

__all__ = [
    "METRICS",
    "Neighbors",
    "as_array",
    "mean_average_precision",
    "nearest",
    "precision_at_k",
    "project",
    "triplet_loss",
]

METRICS = ("cosine", "euclidean")
"""Las distancias: ``"cosine"``, uno menos el coseno, de 0 a 2; ``"euclidean"``, la de la regla."""


@dataclass(frozen=True, eq=False)
class Neighbors:
    """Los vecinos de cada consulta, del más cercano al más lejano.

    Attributes:
        indices: Posición de cada vecino en la galería, ``(consultas, k)``.
        distances: A qué distancia está, ``(consultas, k)``.
    """

    indices: Tensor
    distances: Tensor


def as_array(
    descriptors: Tensor, metric: str = "euclidean", what: str = "los descriptores"
) -> np.ndarray:
    """Revisa unos descriptores y los da como los quiere scikit-learn.

    Args:
        descriptors: ``(N, D)``, en cualquier dispositivo.
        metric: La distancia con que se van a comparar, una de `METRICS`.
        what: Cómo llamarlos en los mensajes.

    Returns:
        ``(N, D)``, en la memoria de la CPU: ``float64`` si ya lo eran, y si no ``float32``.

    Raises:
        ValueError: Si la métrica no existe, la forma no es esa, hay NaN o infinitos o, con el
            coseno, alguno es todo ceros.
    """
    _check_choice("la métrica", metric, METRICS)
    _check_rows(descriptors, what)
    if metric == "cosine" and (zero := (descriptors == 0).all(1).nonzero().flatten()).numel():
        raise ValueError(
            f"{what}: la fila {int(zero[0])} es todo ceros, y un vector sin largo no tiene "
            f"dirección ({len(zero)} así en total): usa «euclidean» o una capa anterior a la ReLU"
        )
    values = descriptors.detach().cpu()
    return (values if values.dtype == torch.float64 else values.float()).numpy()


def nearest(
    gallery: Tensor, k: int, queries: Tensor | None = None, metric: str = "cosine"
) -> Neighbors:
    """Busca en la galería los ``k`` descriptores más cercanos a cada consulta.

    Args:
        gallery: Donde se busca, ``(N, D)``.
        k: Cuántos vecinos.
        queries: Lo que se busca, ``(M, D)``. ``None`` busca cada descriptor de la galería entre
            los demás: ninguno es vecino de sí mismo.
        metric: Una de `METRICS`.

    Returns:
        Los vecinos, en la CPU.

    Raises:
        ValueError: Si la métrica no existe, los descriptores no se pueden comparar o la galería no
            tiene ``k``.
    """
    found = as_array(gallery, metric, "la galería")
    asked = None if queries is None else as_array(queries, metric, "las consultas")
    if asked is not None and asked.shape[1] != found.shape[1]:
        raise ValueError(
            f"los descriptores de las consultas tienen {asked.shape[1]} números y los de la "
            f"galería {found.shape[1]}: sácalos de la misma capa de la misma red"
        )
    available = len(found) - (asked is None)
    if not 1 <= k <= available:
        note = ", sin contar a cada uno consigo mismo" if asked is None else ""
        raise ValueError(
            f"se piden k = {k} vecinos y en la galería hay {available}{note}: k va de 1 a "
            f"{available}"
        )
    index = NearestNeighbors(n_neighbors=k, metric=metric, algorithm="brute").fit(found)
    distances, indices = index.kneighbors(asked)
    return Neighbors(torch.from_numpy(indices), torch.from_numpy(distances))


def precision_at_k(neighbor_labels: Tensor, query_labels: Tensor) -> float:
    """Precisión en k: de los k vecinos de cada consulta, qué fracción es de su clase.

    Args:
        neighbor_labels: Clase de cada vecino, ``(M, k)``: ``labels[neighbors.indices]``.
        query_labels: Clase de cada consulta, ``(M,)``.

    Returns:
        La media de todas las consultas, entre 0 y 1.

    Raises:
        ValueError: Si las formas no corresponden o no hay consultas.
    """
    return _hits(neighbor_labels, query_labels).double().mean().item()


def mean_average_precision(neighbor_labels: Tensor, query_labels: Tensor) -> float:
    """Precisión media (*mean average precision*, mAP): premia que los aciertos vengan primero.

    La de una consulta es la media de la precisión en cada lugar en que hay un acierto. Con la
    galería entera ordenada es la de siempre; con solo k vecinos, la de los que se ven.

    Args:
        neighbor_labels: Clase de cada vecino, del más cercano al más lejano, ``(M, k)``.
        query_labels: Clase de cada consulta, ``(M,)``.

    Returns:
        La media de todas las consultas, entre 0 y 1.

    Raises:
        ValueError: Si las formas no corresponden o hay una consulta sin ningún vecino de su clase.
    """
    hits = _hits(neighbor_labels, query_labels).double()
    alone = (hits.sum(1) == 0).nonzero().flatten()
    if len(alone):
        raise ValueError(
            f"la consulta {int(alone[0])}, de la clase {int(query_labels[alone[0]])}, no tiene "
            f"ningún vecino de su clase ({len(alone)} así en total), y sin aciertos no hay "
            "precisión media: quítala o busca en toda la galería"
        )
    precision = hits.cumsum(1) / torch.arange(1, hits.shape[1] + 1, device=hits.device)
    return ((precision * hits).sum(1) / hits.sum(1)).mean().item()


def project(
    descriptors: Tensor, method: str = "pca", *, perplexity: float = 30.0, seed: int = 0
) -> Tensor:
    """Lleva los descriptores a un plano, para dibujarlos.

    ``"pca"`` es una proyección: conserva las dos direcciones en que más varían. ``"tsne"``
    (L. van der Maaten y G. Hinton, «Visualizing Data using t-SNE», 2008,
    https://jmlr.org/papers/v9/vandermaaten08a.html) recoloca los puntos para conservar quién está
    cerca de quién: ni las distancias entre grupos ni su tamaño significan nada.

    Args:
        descriptors: ``(N, D)``, con al menos dos filas y dos columnas.
        method: ``"pca"`` o ``"tsne"``.
        perplexity: Cuántos vecinos intenta conservar t-SNE, más o menos; menor que N.
        seed: Semilla de t-SNE. PCA no tiene azar.

    Returns:
        Las posiciones, ``(N, 2)``.

    Raises:
        ValueError: Si el método no existe, los descriptores no sirven o la perplejidad no cabe.
    """
    _check_choice("el método", method, ("pca", "tsne"))
    values = as_array(descriptors)
    if min(values.shape) < 2:
        raise ValueError(
            f"para un mapa hacen falta dos descriptores de dos números; llegó {values.shape}"
        )
    if method == "pca":
        positions = PCA(n_components=2, svd_solver="full").fit_transform(values)
    elif not 0 < perplexity < len(values):
        raise ValueError(
            f"la perplejidad debe estar entre 0 y el número de descriptores, {len(values)}, sin "
            f"incluirlos; llegó {perplexity}"
        )
    else:
        layout = TSNE(n_components=2, perplexity=perplexity, init="pca", random_state=seed)
        positions = layout.fit_transform(values)
    return torch.from_numpy(np.ascontiguousarray(positions)).float()


def triplet_loss(
    descriptors: Tensor, labels: Tensor, margin: float = 0.2, mining: str = "batch_hard"
) -> Tensor:
    """Pérdida de tripletas: lo igual, más cerca que lo distinto, por un margen.

    De cada ancla, con un positivo de su clase y un negativo de otra, paga
    ``max(0, d(ancla, positivo) − d(ancla, negativo) + margin)``. Las tripletas se buscan dentro
    del lote:

    - ``"batch_hard"``: una por ancla, con su positivo más lejano y su negativo más cercano.
      A. Hermans, L. Beyer y B. Leibe, «In Defense of the Triplet Loss for Person
      Re-Identification», 2017, https://arxiv.org/abs/1703.07737.
    - ``"semi_hard"``: una por pareja de la misma clase, con el negativo más cercano de los que
      están más lejos que el positivo o, si no hay, con el más lejano. F. Schroff,
      D. Kalenichenko y J. Philbin, «FaceNet», 2015, https://arxiv.org/abs/1503.03832.

    Nota histórica: FaceNet eleva las distancias al cuadrado; Hermans y otros no, y aquí tampoco.

    Args:
        descriptors: Los del lote, ``(N, D)``; con norma 1, si el margen ha de significar lo mismo
            todo el entrenamiento.
        labels: Clase de cada uno, enteros ``(N,)``. Las anclas sin positivo o sin negativo en el
            lote no cuentan.
        margin: Cuánto más cerca; positivo.
        mining: ``"batch_hard"`` o ``"semi_hard"``.

    Returns:
        La media de las tripletas, un escalar con gradiente.

    Raises:
        ValueError: Si ``mining`` no existe, ``margin`` no es positivo, las formas no corresponden,
            hay NaN o en el lote no se puede formar ninguna tripleta.
    """
    _check_choice("la búsqueda de tripletas", mining, ("batch_hard", "semi_hard"))
    if not margin > 0:
        raise ValueError(f"el margen debe ser positivo; llegó {margin}")
    _check_rows(descriptors, "los descriptores")
    if labels.shape != descriptors.shape[:1]:
        raise ValueError(
            f"hay {len(descriptors)} descriptores y las etiquetas tienen forma "
            f"{tuple(labels.shape)}: debe haber una por descriptor"
        )
    # Sin el atajo del producto de matrices, que redondea mal las distancias pequeñas.
    distances = torch.cdist(
        descriptors, descriptors, compute_mode="donot_use_mm_for_euclid_dist"
    )  # (N, N)
    same = labels[:, None] == labels[None, :]
    positive = same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    anchors = positive.any(1) & ~same.all(1)
    if not anchors.any():
        raise ValueError(
            "en el lote no hay ninguna tripleta: hacen falta dos clases y que una tenga dos "
            "imágenes; usa lotes más grandes o con menos clases"
        )
    far = torch.inf
    if mining == "batch_hard":
        hardest_positive = distances.masked_fill(~positive, -far).amax(1)[anchors]
        hardest_negative = distances.masked_fill(same, far).amin(1)[anchors]
        return (hardest_positive - hardest_negative + margin).relu().mean()
    anchor, mate = (positive & anchors[:, None]).nonzero(as_tuple=True)
    to_positive = distances[anchor, mate]  # (T,)
    to_others = distances[anchor].masked_fill(same[anchor], far)  # (T, N)
    beyond = to_others.masked_fill(to_others <= to_positive[:, None], far).amin(1)
    farthest = distances[anchor].masked_fill(same[anchor], -far).amax(1)
    to_negative = torch.where(beyond.isinf(), farthest, beyond)
    return (to_positive - to_negative + margin).relu().mean()


def _check_choice(what: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.4)
        hint = f"¿quisiste decir «{near[0]}»?" if near else f"elige {' o '.join(known)}"
        raise ValueError(f"{what} «{name}» no existe; {hint}")


def _check_rows(descriptors: Tensor, what: str) -> None:
    if descriptors.ndim != 2 or not descriptors.numel():
        raise ValueError(
            f"{what}: se esperaba un descriptor por fila, (N, D), con N y D positivos; llegó "
            f"{tuple(descriptors.shape)}"
        )
    broken = (~descriptors.isfinite()).any(1).nonzero().flatten()
    if len(broken):
        raise ValueError(
            f"{what}: la fila {int(broken[0])} tiene NaN o infinitos ({len(broken)} así en total): "
            "revisa las imágenes, su normalización y que la red haya terminado de entrenar bien"
        )


def _hits(neighbor_labels: Tensor, query_labels: Tensor) -> Tensor:
    if (
        neighbor_labels.ndim != 2
        or neighbor_labels.shape[:1] != query_labels.shape
        or not neighbor_labels.numel()
    ):
        raise ValueError(
            "se esperaban las clases de los vecinos (M, k) y las de las consultas (M,), con M y k "
            f"positivos; llegaron {tuple(neighbor_labels.shape)} y {tuple(query_labels.shape)}"
        )
    return neighbor_labels == query_labels[:, None]
