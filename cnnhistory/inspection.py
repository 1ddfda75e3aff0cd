"""Mirar una red por dentro: qué forma tiene cada capa y qué sale de ella con cada imagen.

Todo lo que aquí mira una red la deja como estaba, también si algo falla a la mitad: sin ganchos,
en el modo en que se encontraba y con los gradientes que tenía.
"""

import difflib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves

__all__ = [
    "LayerRow",
    "ShapeTable",
    "capturing",
    "check_images",
    "count_macs",
    "count_parameters",
    "embed",
    "feature_maps",
    "find_layer",
    "only",
    "run",
    "shape_table",
    "thousands",
    "undisturbed",
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


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Contexto en que la red se evalúa y del que sale, pase lo que pase, como entró.

    Dentro, ninguna capa está en modo de entrenamiento y ningún parámetro pide gradiente, así que
    derivar respecto de la imagen no gasta memoria en los pesos ni toca su ``grad``.

    Args:
        model: La red.

    Yields:
        Nada.
    """
    modes = {module: module.training for module in model.modules()}
    wanted = {parameter: parameter.requires_grad for parameter in model.parameters()}
    model.eval()
    for parameter in wanted:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        for parameter, want in wanted.items():
            parameter.requires_grad_(want)


@contextmanager
def capturing(model: nn.Module, layer: str) -> Iterator[list[Tensor]]:
    """Contexto que guarda lo que sale de una capa cada vez que la red pasa por ella.

    A la capa siguiente le llega una copia: una ReLU que escriba sobre su entrada no altera lo
    guardado.

    Args:
        model: La red.
        layer: Nombre de la capa.

    Yields:
        La lista, que crece con cada paso: ``(B, C, H, W)`` o la forma que dé la capa.

    Raises:
        ValueError: Si no existe la capa, o lo que sale de ella no es un solo tensor.
    """
    module, outputs = find_layer(model, layer), []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise ValueError(f"de la capa «{layer}» no sale un tensor, sino {kind}")
        outputs.append(output)
        return output.clone()

    handle = module.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def feature_maps(model: nn.Module, images: Tensor, layer: str, *, batch_size: int = 256) -> Tensor:
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


def embed(model: nn.Module, images: Tensor, layer: str, *, batch_size: int = 256) -> Tensor:
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
    device, parts = _device(model), []
    with undisturbed(model), torch.inference_mode():
        for batch in images.split(batch_size):
            with capturing(model, layer) as outputs:
                run(model, batch.to(device))
            parts.append(only(outputs, layer).to(images.device))
    # Fuera del modo de inferencia: un tensor corriente, con el que se puede entrenar otra cosa.
    return torch.cat(parts)


def check_images(images: Tensor) -> None:
    """Rechaza lo que no es un lote de imágenes.

    Args:
        images: Debe ser ``(N, C, H, W)``, de punto flotante y con N > 0.

    Raises:
        ValueError: Si no lo es.
    """
    if images.ndim != 4 or not len(images):
        raise ValueError(
            f"se esperaban imágenes (N, C, H, W), con N > 0; llegó {tuple(images.shape)}"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"las imágenes deben ser de punto flotante y venir normalizadas; llegó {images.dtype}"
        )


def run(model: nn.Module, images: Tensor) -> Tensor:
    """Pasa un lote por la red; si no le sirve, lo dice.

    Args:
        model: La red.
        images: ``(N, C, H, W)``, ya en su dispositivo.

    Returns:
        Lo que dé la red.

    Raises:
        ValueError: Si la red no acepta imágenes de esa forma.
    """
    try:
        return model(images)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        shape = "×".join(map(str, images.shape[1:]))
        raise ValueError(
            f"{type(model).__name__} no pudo con imágenes de {shape} (C×H×W): {error}"
        ) from error


def only(outputs: Sequence[Tensor], layer: str) -> Tensor:
    """Lo único que salió de una capa en una pasada.

    Args:
        outputs: Lo que guardó `capturing`.
        layer: Nombre de la capa, para el mensaje.

    Returns:
        El tensor.

    Raises:
        ValueError: Si la red no pasó por la capa, o pasó varias veces.
    """
    if len(outputs) != 1:
        times = f"{len(outputs)} veces" if outputs else "ninguna vez"
        raise ValueError(
            f"la red pasa {times} por la capa «{layer}»: elige una por la que pase una sola vez"
        )
    return outputs[0]


def _device(model: nn.Module) -> torch.device:
    """Dónde están los parámetros; una red sin ellos, en la CPU."""
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device
