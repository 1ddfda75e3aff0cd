"""Mirar una red por dentro: formas, parámetros, operaciones y campo receptivo de cada capa."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = [
    "LayerRow",
    "ShapeTable",
    "count_macs",
    "count_parameters",
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


def shape_table(model: nn.Module, input_shape: Sequence[int]) -> ShapeTable:
    """Sigue a una imagen por la red y anota cada capa que atraviesa.

    No gasta memoria ni tiempo de cálculo: la red se recorre con tensores sin datos. El modelo
    queda como estaba. El campo receptivo supone que las capas van una tras otra.

    Args:
        model: La red, en cualquier dispositivo.
        input_shape: Forma de una imagen, ``(C, H, W)``.

    Returns:
        Una fila por capa, en el orden de ejecución.

    Raises:
        ValueError: Si la red no acepta esa forma.
    """
    rows: list[LayerRow] = []
    field, jump = 1, 1
    names = {module: name for name, module in model.named_modules()}

    def record(module: nn.Module, _inputs: tuple, output: Tensor) -> None:
        nonlocal field, jump
        shape = tuple(output.shape[1:])
        window, step = _window(module)
        field, jump = field + (window - 1) * jump, jump * step
        weight = getattr(module, "weight", None)
        positions = shape[1] * shape[2] if len(shape) == 3 else 1
        # Cada peso de un filtro trabaja una vez en cada posición: vale con grupos y sin ellos.
        macs = weight.numel() * positions if weight is not None and weight.ndim > 1 else 0
        seen = field if len(shape) == 3 else None
        count = sum(p.numel() for p in module.parameters())
        kind = type(module).__name__
        rows.append(LayerRow(names[module], kind, shape, count, macs, seen, window, step))

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    handles = [module.register_forward_hook(record) for module in leaves]
    try:
        _dry_run(model, input_shape)
    except (RuntimeError, ValueError) as error:
        shape = "×".join(map(str, input_shape))
        raise ValueError(
            f"{type(model).__name__} no acepta una imagen de {shape} (C×H×W): {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
    return ShapeTable(rows)


def _window(module: nn.Module) -> tuple[int, int]:
    """Lado de la ventana y paso de una capa: 1 y 1 si trabaja posición a posición."""
    kernel, stride = getattr(module, "kernel_size", 1), getattr(module, "stride", 1)
    return (
        kernel if isinstance(kernel, int) else kernel[0],
        stride if isinstance(stride, int) else stride[0],
    )


def _dry_run(model: nn.Module, input_shape: Sequence[int]) -> None:
    """Pasa una imagen sin datos: cada parámetro se sustituye por su sombra en ``meta``."""
    state = [*model.named_parameters(), *model.named_buffers()]
    shadows = {name: value.detach().to("meta") for name, value in state}
    # Dos imágenes y no una: con una sola, la normalización por lotes no tiene qué promediar.
    image = torch.empty(2, *input_shape, device="meta")
    with torch.no_grad():
        torch.func.functional_call(model, shadows, (image,), strict=True)
