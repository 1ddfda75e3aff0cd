"""Mirar una red por dentro: qué forma tiene cada capa y qué sale de ella con cada imagen.

Todo lo que aquí mira una red la deja como estaba, también si algo falla a la mitad: sin ganchos,
en el modo en que se encontraba y con los gradientes que tenía.
"""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cnnhistory.fields import FieldTracker, dry_run, side
from cnnhistory.observation import capturing, check_images, device_of, only, run, undisturbed

__all__ = [
    "LayerRow",
    "ShapeTable",
    "count_macs",
    "count_parameters",
    "embed",
    "feature_maps",
    "find_layer",
    "first_filters",
    "shape_table",
    "thousands",
]


@dataclass(frozen=True)
class LayerRow:
    """Una capa, tal como la atraviesa una imagen.

    Attributes:
        name: Nombre dentro de la red, como en `torch.nn.Module.named_modules`.
        kind: Clase de la capa.
        output_shape: Forma de su salida sin el lote, ``(C, H, W)`` o ``(características,)``.
        parameters: Parámetros entrenables de la capa.
        macs: Multiplicaciones con acumulación por imagen.
        receptive_field: Lado, en píxeles de la entrada, de lo que ve una posición de su salida;
            ``None`` desde que las capas densas ven toda la imagen.
        kernel_size: Lado de la ventana; 1 si la capa trabaja posición a posición.
        stride: Paso de la ventana.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    macs: int
    receptive_field: int | None
    kernel_size: int = 1
    stride: int = 1


class ShapeTable(tuple[LayerRow, ...]):
    """Las filas de `shape_table`: una tabla en un cuaderno, texto alineado en la consola."""

    def _cells(self) -> list[list[str]]:
        head = ["capa", "tipo", "salida", "parámetros", "MACs", "campo receptivo"]
        body = [
            [
                row.name,
                row.kind,
                "×".join(map(str, row.output_shape)),
                thousands(row.parameters),
                thousands(row.macs),
                f"{row.receptive_field}×{row.receptive_field}" if row.receptive_field else "todo",
            ]
            for row in self
        ]
        total = ["total", "", "", *(thousands(sum(v)) for v in self._totals()), ""]
        return [head, *body, total]

    def _totals(self) -> tuple[list[int], list[int]]:
        return [row.parameters for row in self], [row.macs for row in self]

    def _repr_markdown_(self) -> str:
        head, *body, total = self._cells()
        body = [[f"`{cells[0]}`", *cells[1:]] for cells in body]
        total = [f"**{cell}**" if cell else "" for cell in total]
        rule = ["---", "---", "---", "--:", "--:", "--:"]
        return "\n".join("| " + " | ".join(cells) + " |" for cells in (head, rule, *body, total))

    def __str__(self) -> str:
        rows = self._cells()
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if index < 3 else cell.rjust(width)
                for index, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in rows
        ]
        return "\n".join(lines)


def thousands(number: int) -> str:
    """Un entero con sus miles separados por un espacio fino desde las cinco cifras."""
    return (
        str(number) if number < 10_000 else f"{number:,}".replace(",", "\N{NARROW NO-BREAK SPACE}")
    )


def count_parameters(model: nn.Module) -> int:
    """Cuenta los parámetros entrenables, cada uno una sola vez."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def count_macs(model: nn.Module, input_shape: Sequence[int]) -> int:
    """Cuenta las multiplicaciones con acumulación de una imagen en convoluciones y densas.

    Args:
        model: La red; puede estar en el dispositivo ``meta``.
        input_shape: Forma de una imagen, ``(C, H, W)``.

    Returns:
        Las MACs. Una operación de punto flotante cuenta media MAC.

    Raises:
        ValueError: Si la red no acepta esa forma.
    """
    return sum(row.macs for row in shape_table(model, input_shape))


def shape_table(
    model: nn.Module, input_shape: Sequence[int], whole: tuple[type[nn.Module], ...] = ()
) -> ShapeTable:
    """Sigue a una imagen por la red, en modo de evaluación, y anota cada capa que atraviesa.

    No gasta memoria ni tiempo de cálculo: la red se recorre con tensores sin datos. El modelo
    queda como estaba. Donde se juntan caminos cuenta el campo receptivo del más largo; los
    factores sin posiciones, como las compuertas de SENet, no cuentan.

    Args:
        model: La red, en cualquier dispositivo.
        input_shape: Forma de una imagen, ``(C, H, W)``.
        whole: Clases de bloques que se cuentan como una sola capa, por ejemplo
            ``(Bottleneck,)``; la fila de un bloque suma lo que lleva dentro.

    Returns:
        Una fila por capa, en el orden de ejecución.

    Raises:
        ValueError: Si la red no acepta esa forma o no tiene bloques de alguna de las clases.
    """
    for kind in whole:
        if not any(isinstance(module, kind) for module in model.modules()):
            raise ValueError(f"{type(model).__name__} no tiene bloques {kind.__name__}")
    rows: list[LayerRow] = []
    names = {module: name for name, module in model.named_modules()}
    tracker = FieldTracker()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        name, shape = names[module], tuple(output.shape[1:])
        if module in leaves:
            tracker.follow(module, inputs[0], output)
            weight = getattr(module, "weight", None)
            positions = shape[1] * shape[2] if len(shape) == 3 else 1
            # Cada peso de un filtro trabaja una vez en cada posición: vale con grupos y sin ellos.
            macs = weight.numel() * positions if weight is not None and weight.ndim > 1 else 0
            pending.append(macs)
        if module in inside:
            return
        count, kind = sum(p.numel() for p in module.parameters()), type(module).__name__
        window, step = side(module, "kernel_size", 1), side(module, "stride", 1)
        seen = tracker.field_of(output)
        field = seen.size if seen else None
        rows.append(LayerRow(name, kind, shape, count, sum(pending), field, window, step))
        pending.clear()

    pending: list[int] = []  # las MACs de las capas que todavía no están en una fila
    leaves = {module for module in names if not any(True for _ in module.children())}
    wholes = [module for module in names if isinstance(module, whole)]
    inside = {part for module in wholes for part in module.modules() if part is not module}
    handles = [m.register_forward_hook(record) for m in leaves.union(wholes)]
    try:
        with undisturbed(model):
            dry_run(model, input_shape, tracker)
    finally:
        for handle in handles:
            handle.remove()
    return ShapeTable(rows)


def find_layer(model: nn.Module, name: str) -> nn.Module:
    """La capa de ese nombre.

    Args:
        model: La red.
        name: Nombre, como en `torch.nn.Module.named_modules` y en `shape_table`; el vacío es la red
            entera.

    Returns:
        La capa.

    Raises:
        ValueError: Si no hay capa con ese nombre; el mensaje sugiere los más parecidos.
    """
    layers = dict(model.named_modules())
    if name not in layers:
        known = [each for each in layers if each]
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.4)
        hint = f"¿quisiste decir {' o '.join(near)}?" if near else f"hay: {', '.join(known)}"
        raise ValueError(f"{type(model).__name__} no tiene la capa «{name}»; {hint}")
    return layers[name]


def first_filters(model: nn.Module) -> Tensor:
    """Los filtros de la primera convolución, los únicos que se pueden mirar como imágenes.

    Los de más adentro no miran colores, sino los mapas de la capa anterior.

    Args:
        model: La red.

    Returns:
        Una copia, ``(filtros, canales de la imagen, alto, ancho)``.

    Raises:
        ValueError: Si la red no tiene convoluciones.
    """
    first = next((layer for layer in model.modules() if isinstance(layer, nn.Conv2d)), None)
    if first is None:
        raise ValueError(f"{type(model).__name__} no tiene convoluciones cuyos filtros mostrar")
    return first.weight.detach().clone()


def feature_maps(model: nn.Module, images: Tensor, layer: str, *, batch_size: int = 64) -> Tensor:
    """Los mapas de características que da una capa con cada imagen.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, canales, alto, ancho)``, normalizadas como en el entrenamiento.
        layer: Nombre de la capa.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, C, H, W)``, en el dispositivo de las imágenes.

    Raises:
        ValueError: Si no existe la capa, no da mapas o se usa más de una vez, o si las imágenes no
            son para esta red.
    """
    maps = _outputs(model, images, layer, batch_size)
    if maps.ndim != 4:
        raise ValueError(
            f"de la capa «{layer}» no salen mapas (C, H, W), sino {tuple(maps.shape[1:])}: elige "
            "una anterior a las capas densas"
        )
    return maps


def embed(model: nn.Module, images: Tensor, layer: str, *, batch_size: int = 64) -> Tensor:
    """El descriptor de cada imagen: lo que da una capa, aplanado en un vector.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, canales, alto, ancho)``, normalizadas como en el entrenamiento.
        layer: Nombre de la capa; la penúltima es la costumbre.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, D)``, en el dispositivo de las imágenes.

    Raises:
        ValueError: Si no existe la capa o se usa más de una vez, o si las imágenes no son para
            esta red.
    """
    return _outputs(model, images, layer, batch_size).flatten(1)


def _outputs(model: nn.Module, images: Tensor, layer: str, batch_size: int) -> Tensor:
    """Lo que sale de la capa con todas las imágenes, lote por lote y sin gradientes."""
    check_images(images)
    module, device, parts = find_layer(model, layer), device_of(model), []
    with undisturbed(model), torch.inference_mode():
        for batch in images.split(batch_size):
            with capturing(module) as outputs:
                run(model, batch.to(device))
            parts.append(only(outputs, layer).to(images.device))
    # Fuera del modo de inferencia: un tensor corriente, con el que se puede entrenar otra cosa.
    return torch.cat(parts)
