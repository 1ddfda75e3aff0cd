"""El campo receptivo: qué trozo de la imagen ve cada posición de una capa.

Se sigue a una imagen sin datos por la red y se anota, de cada tensor, la ventana de la entrada que
lo determina. Una ventana de lado k, paso s y relleno p sobre un mapa cuyas posiciones distan un
salto j, ven un lado r y empiezan en a deja r + (k − 1)·j, j·s y a − p·j. Es la cuenta de A. Araujo,
W. Norris y J. Sim, «Computing Receptive Fields of Convolutional Neural Networks», Distill 2019,
https://doi.org/10.23915/distill.00021.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = ["FieldTracker", "ReceptiveField", "dry_run", "side"]


@dataclass(frozen=True)
class ReceptiveField:
    """La ventana cuadrada que ve cada posición de un mapa, en píxeles de la entrada.

    Attributes:
        size: Lado de la ventana.
        jump: Distancia entre las ventanas de dos posiciones vecinas.
        start: Dónde empieza la ventana de la primera posición; negativo si entra en el relleno.
    """

    size: int
    jump: int
    start: int

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """La ventana de una posición; puede salirse de la imagen.

        Args:
            row: Fila de la posición en el mapa.
            column: Columna.

        Returns:
            ``(arriba, izquierda, abajo, derecha)``, las dos últimas sin incluir.
        """
        top, left = (self.start + self.jump * place for place in (row, column))
        return top, left, top + self.size, left + self.size


class FieldTracker(TorchFunctionMode):
    """Lleva la cuenta del campo receptivo de cada tensor, también por sumas y concatenaciones.

    Donde se juntan caminos, la ventana es la que los abarca a todos.
    """

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[int, ReceptiveField] = {}
        self.alive: list[Tensor] = []  # mientras exista el tensor, su id no se repite

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Hace la operación; si da un mapa, le anota lo que veían sus entradas."""
        output = func(*args, **(kwargs or {}))
        if isinstance(output, Tensor):
            inputs = [leaf for leaf in tree_leaves((args, kwargs)) if id(leaf) in self.fields]
            if inputs and output.ndim == 4 and output.shape[2:] != (1, 1):
                seen = [self.fields[id(leaf)] for leaf in inputs]
                start = min(field.start for field in seen)
                end = max(field.start + field.size for field in seen)
                self.set(output, ReceptiveField(end - start, max(f.jump for f in seen), start))
        return output

    def set(self, tensor: Tensor, field: ReceptiveField) -> None:
        """Anota el campo de un tensor.

        Args:
            tensor: El tensor.
            field: Su campo.
        """
        self.fields[id(tensor)] = field
        self.alive.append(tensor)

    def follow(self, layer: nn.Module, before: Tensor, after: Tensor) -> None:
        """Aplica la ventana de una capa: el campo crece, y el salto se multiplica por el paso.

        Args:
            layer: La capa.
            before: Lo que entró.
            after: Lo que salió.
        """
        seen = self.fields.get(id(before))
        window = (side(layer, "kernel_size", 1) - 1) * side(layer, "dilation", 1)
        if seen and after.ndim == 4 and (window or id(after) in self.fields):
            padding = getattr(layer, "padding", 0)
            if isinstance(padding, str):  # torch admite «same» y «valid»
                before_first = window // 2 if padding == "same" else 0
            else:
                before_first = side(layer, "padding", 0)
            jump = seen.jump * side(layer, "stride", 1)
            start = seen.start - before_first * seen.jump
            self.set(after, ReceptiveField(seen.size + window * seen.jump, jump, start))

    def field_of(self, tensor: Tensor) -> ReceptiveField | None:
        """El campo de un tensor.

        Args:
            tensor: Un tensor que salió de la red.

        Returns:
            Su campo, o ``None`` si ya no tiene posiciones.
        """
        return self.fields.get(id(tensor))


def side(layer: nn.Module, attribute: str, default: int) -> int:
    """Ventana, paso, relleno o dilatación de una capa, en vertical.

    Args:
        layer: La capa.
        attribute: Nombre del atributo.
        default: Lo que vale si la capa no lo tiene, porque trabaja posición a posición.

    Returns:
        El valor.
    """
    value = getattr(layer, attribute, default)
    return value if isinstance(value, int) else value[0]


def dry_run(model: nn.Module, input_shape: Sequence[int], tracker: FieldTracker) -> None:
    """Pasa una imagen sin datos: cada parámetro se sustituye por su sombra en ``meta``.

    Args:
        model: La red.
        input_shape: Forma de una imagen, ``(C, H, W)``.
        tracker: Quien la sigue.

    Raises:
        ValueError: Si la red no acepta esa forma.
    """
    state = [*model.named_parameters(), *model.named_buffers()]
    shadows = {name: value.detach().to("meta") for name, value in state}
    dtype = next((parameter.dtype for parameter in model.parameters()), None)
    image = torch.empty(1, *input_shape, dtype=dtype, device="meta")
    tracker.set(image, ReceptiveField(1, 1, 0))
    try:
        with torch.no_grad(), tracker:
            torch.func.functional_call(model, shadows, (image,), strict=True)
    except (RuntimeError, ValueError) as error:
        shape = "×".join(map(str, input_shape))
        raise ValueError(
            f"{type(model).__name__} no acepta una imagen de {shape} (C×H×W): {error}"
        ) from error
