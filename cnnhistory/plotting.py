"""Las figuras del sitio: un solo lenguaje visual, legible en claro y en oscuro.

El fondo es transparente y la tinta de ejes y textos es `INK`, un gris que se lee sobre blanco y
sobre negro (el sitio lo cambia por el color del texto). Las series usan `PALETTE`, con el mismo
criterio, y nunca se distinguen solo por el color.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import torch
from cycler import cycler
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

from cnnhistory.inspection import LayerRow, thousands
from cnnhistory.training import Epoch

__all__ = [
    "INK",
    "PALETTE",
    "Block",
    "blocks",
    "confusion_matrix",
    "curves",
    "data_flow",
    "heatmaps",
    "image_grid",
    "image_map",
    "style",
]

INK = "#5b6472"
"""Color de ejes y textos."""

PALETTE = ("#4C78D0", "#E07B39", "#2E9E6B", "#C2528B", "#8A6FD1", "#B08A00")
"""Colores de las series, en orden de uso."""

_MARKERS = "os^Dv*"

_MAP_SIDE = 540  # píxeles del lado de `image_map`, sin contar una imagen

# Cada clase de capa, por un trozo de su nombre: cómo se llama y de qué color va en `data_flow`.
_KINDS = {
    "conv": ("convolución", PALETTE[0]),
    "pool": ("pooling", PALETTE[1]),
    "subsampling": ("submuestreo", PALETTE[1]),
    "linear": ("densa", PALETTE[2]),
    "norm": ("normalización", PALETTE[4]),
    "flatten": ("aplanar", INK),
    "rbf": ("distancias", PALETTE[3]),
}


_BOX = (1.5, 0.44, 0.3)  # ancho, alto y separación de una caja de `blocks`, en pulgadas
_COLUMNS = 4  # caminos por renglón: con más, en una pantalla el texto no se lee


@dataclass(frozen=True)
class Block:
    """Un bloque por dibujar: los caminos que sigue la entrada y cómo se juntan.

    Attributes:
        paths: Las capas de cada camino, de la entrada a la salida. La primera palabra de una capa
            le da su color; un camino sin capas es la identidad.
        merge: Con qué se juntan, como ``"+"`` o ``"concatenar"``; vacío si hay un solo camino.
    """

    paths: Sequence[Sequence[str]]
    merge: str = ""


@contextmanager
def style() -> Iterator[None]:
    """Contexto con el estilo del sitio, para las figuras que no hace este módulo."""
    settings: dict[Any, Any] = {
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "axes.titlecolor": INK,
        "axes.titlesize": "medium",
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": cycler(color=PALETTE),
        "figure.facecolor": "none",
        "axes.facecolor": "none",
        "font.size": 10,
        "legend.frameon": False,
        "legend.labelcolor": INK,
        "lines.linewidth": 1.8,
        "text.color": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "savefig.facecolor": "none",
    }
    with plt.rc_context(settings):
        yield
        interactive = plt.isinteractive()
    # En un cuaderno, la primera figura activa el modo interactivo y `rc_context` lo deshace.
    matplotlib.interactive(interactive)


def image_grid(
    images: Tensor, titles: Sequence[str] = (), columns: int = 10, size: float = 0.9
) -> Figure:
    """Una cuadrícula de imágenes.

    Args:
        images: ``(N, H, W)``, ``(N, 1, H, W)`` o ``(N, 3, H, W)``. Con ``uint8``, de 0 a 255; las
            flotantes se estiran, cada una, de su mínimo a su máximo.
        titles: Texto sobre cada imagen; vacío, ninguno.
        columns: Imágenes por fila.
        size: Lado de cada imagen, en pulgadas.

    Returns:
        La figura.

    Raises:
        ValueError: Si la forma no es de imágenes o los títulos no son tantos como ellas.
    """
    if images.ndim == 4 and images.shape[1] == 1:
        images = images[:, 0]
    if not (images.ndim == 3 or (images.ndim == 4 and images.shape[1] == 3)) or not len(images):
        raise ValueError(
            "se esperaban imágenes (N, H, W), (N, 1, H, W) o (N, 3, H, W), con N > 0; llegó "
            f"{tuple(images.shape)}"
        )
    if titles and len(titles) != len(images):
        raise ValueError(f"hay {len(images)} imágenes y {len(titles)} títulos")
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    height = size * 1.06 + 0.17 * lines
    with style():
        figure, axes = plt.subplots(
            rows, columns, figsize=(columns * size * 1.06, rows * height), squeeze=False
        )
        for axis in axes.flat:
            axis.axis("off")
        for index, (axis, image) in enumerate(zip(axes.flat, _stretch(images), strict=False)):
            picture = image if image.ndim == 2 else image.permute(1, 2, 0)
            axis.imshow(picture.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="none")
            if titles:
                axis.set_title(titles[index], fontsize=8, pad=3)
        figure.tight_layout(pad=0.2)
    return _finished(figure)


def heatmaps(
    images: Tensor, maps: Tensor, titles: Sequence[str] = (), columns: int = 10, size: float = 0.9
) -> Figure:
    """Cada imagen, en gris, con su mapa encima: lo positivo en naranja y lo negativo en azul.

    La escala es una sola, la del mayor valor absoluto de todos los mapas: los que casi no dicen
    nada se ven casi sin color. Estirar cada mapa por su lado haría pasar el ruido por señal.

    Args:
        images: ``(N, H, W)``, ``(N, 1, H, W)`` o ``(N, 3, H, W)``, como en `image_grid`.
        maps: Un valor por píxel, ``(N, H, W)``.
        titles: Texto sobre cada imagen; vacío, ninguno.
        columns: Imágenes por fila.
        size: Lado de cada imagen, en pulgadas.

    Returns:
        La figura.

    Raises:
        ValueError: Si los mapas no son uno por imagen, de su tamaño.
    """
    if maps.ndim != 3 or maps.shape != (len(images), *images.shape[-2:]):
        raise ValueError(
            f"se esperaba un mapa (N, H, W) por imagen; hay imágenes de {tuple(images.shape)} y "
            f"mapas de {tuple(maps.shape)}"
        )
    maps = maps.detach().cpu().float()
    picture = _stretch(images).reshape(len(images), -1, *maps.shape[1:]).mean(1)[:, None]
    strength = (maps.abs() / maps.abs().max().clamp(min=1e-12))[:, None]
    warm, cold = (torch.tensor(to_rgb(PALETTE[index]))[:, None, None] for index in (1, 0))
    color = torch.where(maps[:, None] > 0, warm, cold)
    mixed = picture * 0.7 * (1 - strength) + color * strength  # (N, 3, H, W)
    return image_grid((255 * mixed).byte(), titles, columns, size)


def image_map(
    positions: Tensor,
    images: Tensor,
    labels: Tensor,
    classes: Sequence[str],
    highlight: Sequence[int] = (),
) -> Figure:
    """Un mapa en que cada punto es su propia imagen.

    Lo oscuro de cada imagen es transparente: sirve para las que tienen el fondo negro. Cada clase
    destacada toma un color de `PALETTE`, que explica la leyenda; las demás van en gris.

    Args:
        positions: Dónde va cada una, ``(N, 2)``, como las de `cnnhistory.descriptors.project`.
        images: Píxeles ``uint8`` de 0 a 255, ``(N, 1, H, W)``.
        labels: Clase de cada una, enteros ``(N,)``.
        classes: Nombre de cada clase.
        highlight: Clases destacadas, por su número.

    Returns:
        La figura.

    Raises:
        ValueError: Si las formas no corresponden, todas las imágenes son negras o se destacan más
            clases que colores hay.
    """
    count = len(positions)
    if positions.shape != (count, 2) or labels.shape != (count,) or not count:
        raise ValueError(
            "se esperaban posiciones (N, 2) y etiquetas (N,), con N > 0; llegaron "
            f"{tuple(positions.shape)} y {tuple(labels.shape)}"
        )
    if images.shape[:2] != (count, 1) or images.ndim != 4 or images.dtype != torch.uint8:
        raise ValueError(
            f"se esperaban imágenes uint8 ({count}, 1, H, W), una por posición; llegó "
            f"{images.dtype} con forma {tuple(images.shape)}"
        )
    if not images.any():
        raise ValueError("ninguna imagen tiene tinta: todas son negras, y lo negro no se dibuja")
    if len(highlight) > len(PALETTE):
        raise ValueError(f"se destacan {len(highlight)} clases y hay {len(PALETTE)} colores")
    colors = dict(zip(highlight, PALETTE, strict=False))
    height, width = images.shape[2:]
    canvas = torch.zeros(_MAP_SIDE + height, _MAP_SIDE + width, 4)
    low = positions.amin(0)
    span = (positions - low).amax().clamp(min=1e-12)  # la misma escala en los dos ejes
    corners = ((positions - low) / span * _MAP_SIDE).round().long()
    for (column, row), image, label in zip(corners.tolist(), images, labels.tolist(), strict=True):
        place = canvas[_MAP_SIDE - row :, column:][
            :height, :width
        ]  # hacia arriba, como en un plano
        ink = torch.tensor(to_rgb(colors.get(label, INK))).expand(height, width, 3)
        picture = torch.cat([ink, image[0].unsqueeze(2) / 255], dim=2)
        place.copy_(torch.where(picture[..., 3:] > place[..., 3:], picture, place))
    used = canvas[..., 3].nonzero()
    (top, left), (bottom, right) = used.amin(0).tolist(), (used.amax(0) + 1).tolist()
    with style():
        figure, axis = plt.subplots(figsize=(6, 6 * (bottom - top) / (right - left) + 0.3))
        axis.imshow(canvas[top:bottom, left:right].numpy(), interpolation="none")
        axis.axis("off")
        handles = [Rectangle((0, 0), 1, 1, color=color) for color in colors.values()]
        if colors:
            names = [classes[label] for label in colors]
            axis.legend(handles, names, loc="lower center", bbox_to_anchor=(0.5, 1), ncols=6)
        figure.tight_layout(pad=0.2)
    return _finished(figure)


def curves(history: Sequence[Epoch], label: str = "") -> Figure:
    """Pérdida y acierto por época.

    Args:
        history: Lo que devuelve `cnnhistory.training.train`.
        label: Nombre de la red, para el título.

    Returns:
        La figura: a la izquierda la pérdida, a la derecha el acierto en validación.

    Raises:
        ValueError: Si la historia está vacía.
    """
    if not history:
        raise ValueError("la historia está vacía: entrena al menos una época")
    numbers = [epoch.number for epoch in history]
    with style():
        figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 2.9))
        _series(left, numbers, [epoch.train_loss for epoch in history], "entrenamiento", 0)
        _series(left, numbers, [epoch.val_loss for epoch in history], "validación", 1)
        _series(right, numbers, [100 * epoch.val_top1 for epoch in history], "top-1", 1)
        left.set(xlabel="época", ylabel="entropía cruzada (nats)", title="Pérdida")
        right.set(xlabel="época", ylabel="%", title="Acierto en validación")
        for axis in (left, right):
            axis.xaxis.get_major_locator().set_params(integer=True)
            axis.grid(alpha=0.25, color=INK)
        left.legend()
        if label:
            figure.suptitle(label, color=INK)
        figure.tight_layout()
    return _finished(figure)


def confusion_matrix(labels: Tensor, predictions: Tensor, classes: Sequence[str]) -> Figure:
    """Matriz de confusión: de cada clase verdadera (fila), qué dijo la red (columna), en %.

    Args:
        labels: Clases verdaderas, enteros ``(N,)``.
        predictions: Clases dichas, enteros ``(N,)``.
        classes: Nombre de cada clase.

    Returns:
        La figura.

    Raises:
        ValueError: Si las longitudes no coinciden o hay etiquetas fuera de las clases.
    """
    count = len(classes)
    if labels.shape != predictions.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            "etiquetas y predicciones deben ser dos vectores de la misma longitud; llegaron "
            f"{tuple(labels.shape)} y {tuple(predictions.shape)}"
        )
    both = torch.cat([labels, predictions]).cpu()
    if both.min() < 0 or both.max() >= count:
        raise ValueError(f"hay etiquetas fuera de las {count} clases")
    table = (labels.cpu() * count + predictions.cpu()).bincount(minlength=count**2)
    table = table.view(count, count).double()
    percent = 100 * table / table.sum(1, keepdim=True).clamp(min=1)
    with style():
        side = 1.2 + 0.42 * count
        figure, axis = plt.subplots(figsize=(side + 0.4, side))
        # Un azul que se desvanece sirve sobre fondo claro y oscuro; sobre él, texto blanco.
        blue = LinearSegmentedColormap.from_list("", ["#2f5db000", "#2f5db0"])
        axis.imshow(percent.numpy(), cmap=blue, vmin=0, vmax=70, interpolation="none")
        for row in range(count):
            for column in range(count):
                if percent[row, column] >= 0.5:
                    text = f"{percent[row, column]:.0f}"
                    color = "white" if percent[row, column] > 40 else INK
                    axis.text(column, row, text, ha="center", va="center", size=8, color=color)
        axis.set_xticks(range(count), classes, rotation=45, ha="right")
        axis.set_yticks(range(count), classes)
        axis.set(xlabel="lo que dijo la red", ylabel="lo que era")
        axis.tick_params(length=0)
        axis.spines[:].set_visible(False)
        figure.tight_layout()
    return _finished(figure)


def data_flow(rows: Sequence[LayerRow], input_shape: Sequence[int]) -> Figure:
    """El viaje de una imagen por la red, a escala: se estrecha en el plano y engorda en canales.

    Cada bloque es un mapa visto de canto: su ancho es proporcional a √W y su grosor a log₂ C, en
    la misma escala para todas las redes. El corchete que lleva debajo es el campo receptivo de una
    de sus posiciones, en la misma escala y sin pasar del borde de la imagen. Se omiten las capas
    que no cambian la forma ni tienen parámetros, como ReLU o dropout.

    Args:
        rows: Lo que devuelve `cnnhistory.inspection.shape_table`; con su ``whole``, una red honda
            cabe en la pantalla.
        input_shape: Forma de la imagen de entrada, ``(C, H, W)``.

    Returns:
        La figura: una fila por bloque, con lo que lo produce, su forma y sus parámetros.
    """
    blocks = [("entrada", tuple(input_shape), 0, INK)]
    fields = []
    for row in rows:
        if row.output_shape != blocks[-1][1] or row.parameters:
            kind = next((k for k in _KINDS if k in row.kind.lower()), "")
            label, color = _KINDS[kind] if kind else (row.kind, PALETTE[5])
            if row.kernel_size > 1:
                label += f" {row.kernel_size}×{row.kernel_size}"
            if row.stride > 1:
                label += f", paso {row.stride}"
            blocks.append((label, row.output_shape, row.parameters, color))
            fields.append(min(row.receptive_field or input_shape[-1], input_shape[-1]))
    sizes = [
        (shape[-1] if len(shape) == 3 else 1, shape[0]) for _label, shape, _count, _color in blocks
    ]
    heights = [max(0.24, 0.05 + 0.045 * math.log2(1 + channels)) for _side, channels in sizes]
    with style():
        figure, axis = plt.subplots(figsize=(5.6, sum(heights) + 0.12 * len(blocks) + 0.2))
        top, bottoms = 0.0, []
        for (label, shape, count, color), (side, channels), height in zip(
            blocks, sizes, heights, strict=True
        ):
            width, thick = 0.14 * math.sqrt(side), 0.05 + 0.045 * math.log2(1 + channels)
            middle = top - height / 2
            corner = (-width / 2, middle - thick / 2)
            axis.add_patch(Rectangle(corner, width, thick, facecolor=color, alpha=0.85))
            text = "×".join(map(str, shape)) + (f"  ·  {thousands(count)}" if count else "")
            axis.text(-1.25, middle, label, ha="right", va="center", size=8)
            axis.text(1.25, middle, text, ha="left", va="center", size=8)
            top -= height + 0.12
            bottoms.append(middle - thick / 2 - 0.05)
        for bottom, field in zip(bottoms[1:], fields, strict=True):
            _bracket(axis, bottom, 0.07 * math.sqrt(field))
        _bracket(axis, top - 0.1, 0.2)
        axis.text(0.3, top - 0.1, "lo que ve una posición", ha="left", va="center", size=8)
        axis.set(xlim=(-2.8, 2.8), ylim=(top - 0.2, 0))
        axis.axis("off")
        figure.subplots_adjust(0, 0, 1, 1)
    return _finished(figure)


def _bracket(axis: Axes, y: float, reach: float) -> None:
    """Un corchete horizontal, centrado, que llega a ``reach`` de cada lado."""
    axis.plot((-reach, -reach, reach, reach), (y + 0.04, y, y, y + 0.04), color=INK, linewidth=0.9)


def blocks(diagrams: Mapping[str, Block]) -> Figure:
    """Bloques de una red, de la entrada (arriba) a la salida; los que no caben, en otro renglón.

    Los colores son los de `data_flow`: dicen de qué clase es cada capa.

    Args:
        diagrams: Cada bloque, por el título que llevará.

    Returns:
        La figura.

    Raises:
        ValueError: Si no hay bloques, alguno no tiene caminos o tiene varios y no dice cómo se
            juntan.
    """
    for title, block in diagrams.items():
        if not block.paths or bool(block.merge) != (len(block.paths) > 1):
            raise ValueError(
                f"el bloque «{title}» tiene {len(block.paths)} caminos y se junta con "
                f"«{block.merge}»: hace falta al menos uno, y un «merge» si hay varios"
            )
    if not diagrams:
        raise ValueError("no hay bloques que dibujar")
    width, height, gap = _BOX
    rows: list[list[tuple[str, Block]]] = [[]]
    for each in diagrams.items():
        if rows[-1] and sum(len(block.paths) for _, block in [*rows[-1], each]) > _COLUMNS:
            rows.append([])
        rows[-1].append(each)
    # Medidas en pulgadas: una caja mide lo mismo en todas las figuras, y su texto se lee.
    depths = [
        (max(len(path) for _, block in row for path in block.paths) + 1.6) * (height + gap)
        for row in rows
    ]
    wide = max(sum(len(block.paths) for _, block in row) for row in rows) * (width + gap)
    tall = sum(depths) + 0.5 * len(rows)
    with style():
        figure = plt.figure(figsize=(wide, tall))
        top = 0.0
        for row, depth in zip(rows, depths, strict=True):
            left = 0.0
            for title, block in row:
                side = len(block.paths) * (width + gap)
                corner = (left / wide, 1 - (top + 0.4 + depth) / tall)
                axis = figure.add_axes((*corner, side / wide, (depth + 0.1) / tall))
                _draw_block(axis, block, -depth)
                axis.set_title(title, fontsize=10)
                axis.set(xlim=(0, side), ylim=(-depth, 0.1))
                axis.axis("off")
                left += side
            top += depth + 0.5
    return _finished(figure)


def _draw_block(axis: Axes, block: Block, bottom: float) -> None:
    """Los caminos de un bloque, en columnas, entre el punto de entrada y el de salida."""
    width, height, gap = _BOX
    colors = dict(_KINDS.values())
    middle = len(block.paths) * (width + gap) / 2
    fork, join = -gap / 2, bottom + height + gap
    wide, tall = max(0.3, 0.1 * len(block.merge)) if block.merge else 0.0, 0.15
    lines = [[(middle, 0.1), (middle, fork)], [(middle, join - tall), (middle, bottom)]]
    for column, path in enumerate(block.paths):
        x = (column + 0.5) * (width + gap)
        spare = (fork - join - len(path) * height) / (len(path) + 1)
        line = [(middle, fork), (x, fork)]
        for index, layer in enumerate(path):
            top = fork - spare * (index + 1) - height * index
            color = colors.get(layer.split()[0].rstrip(","), INK)
            corner = (x - width / 2, top - height)
            axis.add_patch(Rectangle(corner, width, height, facecolor=color, alpha=0.22))
            axis.add_patch(Rectangle(corner, width, height, fill=False, edgecolor=color))
            axis.text(x, top - height / 2, layer, ha="center", va="center", size=8)
            lines.append([*line, (x, top)])
            line = [(x, top - height)]
        if not path:
            axis.text(x + 0.06, (fork + join) / 2, "identidad", va="center", size=8)
        # Llega al borde de la caja que junta los caminos: de lado o, si está encima, de arriba.
        end = (middle + math.copysign(wide / 2, x - middle), join)
        lines.append([*line, (x, join), end] if x != middle else [*line, (x, join + tall)])
    for line in lines:
        axis.plot(*zip(*line, strict=True), color=INK, linewidth=1.2)
    if block.merge:
        corner = (middle - wide / 2, join - tall)
        axis.add_patch(Rectangle(corner, wide, 2 * tall, facecolor=INK, alpha=0.22))
        axis.add_patch(Rectangle(corner, wide, 2 * tall, fill=False, edgecolor=INK))
        axis.text(middle, join, block.merge, ha="center", va="center", size=9)
    else:
        axis.plot([middle, middle], [join + tall, join - tall], color=INK, linewidth=1.2)


def _finished(figure: Figure) -> Figure:
    """La figura, ya fuera de pyplot: un cuaderno la muestra una vez, donde es el resultado."""
    plt.close(figure)
    return figure


def _series(axis: Axes, x: Sequence[float], y: Sequence[float], label: str, index: int) -> None:
    axis.plot(x, y, label=label, color=PALETTE[index], marker=_MARKERS[index], markersize=4)


def _stretch(images: Tensor) -> Tensor:
    """Lleva cada imagen a [0, 1]: las uint8 por su escala, las flotantes por su rango."""
    images = images.detach().cpu()
    if images.dtype == torch.uint8:
        return images.float() / 255
    flat = images.float().flatten(1)
    low, high = flat.min(1).values, flat.max(1).values
    shape = (-1, *[1] * (images.ndim - 1))
    return (images.float() - low.view(shape)) / (high - low).clamp(min=1e-12).view(shape)
