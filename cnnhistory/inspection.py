"""Mirar una red por dentro: formas, parámetros, operaciones y campo receptivo de cada capa."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

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
    """Sigue a una imagen por la red, en modo de evaluación, y anota cada capa que atraviesa.

    No gasta memoria ni tiempo de cálculo: la red se recorre con tensores sin datos. El modelo
    queda como estaba. Donde se juntan caminos cuenta el campo receptivo del más largo; los
    factores sin posiciones, como las compuertas de SENet, no cuentan.

    Args:
        model: La red, en cualquier dispositivo.
        input_shape: Forma de una imagen, ``(C, H, W)``.

    Returns:
        Una fila por capa, en el orden de ejecución.

    Raises:
        ValueError: Si la red no acepta esa forma.
    """
    rows: list[LayerRow] = []
    names = {module: name for name, module in model.named_modules()}
    tracker = _FieldTracker()

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        shape = tuple(output.shape[1:])
        window, step, dilation = (_side(module, of) for of in ("kernel_size", "stride", "dilation"))
        tracker.follow(inputs[0], output, 1 + (window - 1) * dilation, step)
        weight = getattr(module, "weight", None)
        positions = shape[1] * shape[2] if len(shape) == 3 else 1
        # Cada peso de un filtro trabaja una vez en cada posición: vale con grupos y sin ellos.
        macs = weight.numel() * positions if weight is not None and weight.ndim > 1 else 0
        count = sum(p.numel() for p in module.parameters())
        kind, seen = type(module).__name__, tracker.field_of(output)
        rows.append(LayerRow(names[module], kind, shape, count, macs, seen, window, step))

    leaves = [module for module in model.modules() if not any(True for _ in module.children())]
    handles = [module.register_forward_hook(record) for module in leaves]
    training = [module for module in model.modules() if module.training]
    model.eval()
    try:
        _dry_run(model, input_shape, tracker)
    except (RuntimeError, ValueError) as error:
        shape = "×".join(map(str, input_shape))
        raise ValueError(
            f"{type(model).__name__} no acepta una imagen de {shape} (C×H×W): {error}"
        ) from error
    finally:
        for handle in handles:
            handle.remove()
        for module in training:
            module.training = True
    return ShapeTable(rows)


def _side(module: nn.Module, attribute: str) -> int:
    """Ventana, paso o dilatación de una capa: 1 si trabaja posición a posición."""
    value = getattr(module, attribute, 1)
    return value if isinstance(value, int) else value[0]


class _FieldTracker(TorchFunctionMode):
    """Lleva la cuenta del campo receptivo de cada tensor, también por sumas y concatenaciones.

    De cada tensor con posiciones guarda el lado de lo que ve y el salto, en píxeles de la entrada,
    entre posiciones vecinas.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[int, tuple[int, int]] = {}
        self.alive: list[Tensor] = []  # mientras exista el tensor, su id no se repite

    def __torch_function__(self, func, types, args=(), kwargs=None):
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor):
            inputs = [leaf for leaf in tree_leaves((args, kwargs)) if id(leaf) in self.fields]
            if inputs and output.ndim == 4 and output.shape[2:] != (1, 1):
                fields, jumps = zip(*(self.fields[id(leaf)] for leaf in inputs), strict=True)
                self.set(output, max(fields), max(jumps))
        return output

    def set(self, tensor: Tensor, field: int, jump: int) -> None:
        """Anota el campo y el salto de un tensor."""
        self.fields[id(tensor)] = field, jump
        self.alive.append(tensor)

    def follow(self, before: Tensor, after: Tensor, window: int, step: int) -> None:
        """Aplica una ventana: el campo crece, y el salto se multiplica por el paso."""
        if id(before) in self.fields and (
            after.ndim == 4 and (window > 1 or id(after) in self.fields)
        ):
            field, jump = self.fields[id(before)]
            self.set(after, field + (window - 1) * jump, jump * step)

    def field_of(self, tensor: Tensor) -> int | None:
        """El campo receptivo, o ``None`` si el tensor ya no tiene posiciones."""
        return self.fields[id(tensor)][0] if id(tensor) in self.fields else None


def _dry_run(model: nn.Module, input_shape: Sequence[int], tracker: _FieldTracker) -> None:
    """Pasa una imagen sin datos: cada parámetro se sustituye por su sombra en ``meta``."""
    state = [*model.named_parameters(), *model.named_buffers()]
    shadows = {name: value.detach().to("meta") for name, value in state}
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    image = torch.empty(1, *input_shape, dtype=dtype, device="meta")
    tracker.set(image, 1, 1)
    with torch.no_grad(), tracker:
        torch.func.functional_call(model, shadows, (image,), strict=True)
