"""Observar una red sin alterarla: lo que comparten todos los módulos que miran por dentro.

Mirar una red pide enganchar funciones a sus capas, ponerla en modo de evaluación y derivar
respecto de la imagen. Aquí cada una de esas cosas se deshace sola, también si algo falla.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

__all__ = ["capturing", "check_images", "device_of", "only", "run", "undisturbed", "unit_of"]


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
def capturing(layer: nn.Module) -> Iterator[list[Tensor]]:
    """Contexto que guarda lo que sale de una capa cada vez que la red pasa por ella.

    A la capa siguiente le llega una copia: una ReLU que escriba sobre su entrada no altera lo
    guardado.

    Args:
        layer: La capa.

    Yields:
        La lista, que crece con cada paso: ``(B, C, H, W)`` o la forma que dé la capa.

    Raises:
        ValueError: Si lo que sale de la capa no es un solo tensor.
    """
    outputs: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: tuple, output: Tensor) -> Tensor:
        if not isinstance(output, Tensor):
            kind = type(output).__name__
            raise ValueError(f"de {type(layer).__name__} no sale un tensor, sino {kind}")
        outputs.append(output)
        return output.clone()

    handle = layer.register_forward_hook(keep)
    try:
        yield outputs
    finally:
        handle.remove()


def check_images(images: Tensor) -> None:
    """Rechaza lo que no es un lote de imágenes.

    Args:
        images: Debe ser ``(N, C, H, W)``, de punto flotante y con N > 0.

    Raises:
        ValueError: Si la forma es otra.
        TypeError: Si son enteros.
    """
    if images.ndim != 4 or not len(images):
        hint = ": si es una sola imagen, usa image[None]" if images.ndim == 3 else ""
        raise ValueError(
            f"se esperaban imágenes (N, C, H, W), con N > 0; llegó {tuple(images.shape)}{hint}"
        )
    if not images.is_floating_point():
        raise TypeError(
            f"las imágenes deben ser de punto flotante, y llegaron de {images.dtype}: divídelas "
            "entre 255 y normalízalas, como hace cnnhistory.data.normalization"
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


def device_of(model: nn.Module) -> torch.device:
    """Dónde están los parámetros de una red.

    Args:
        model: La red.

    Returns:
        El dispositivo; el de una red sin parámetros es la CPU.
    """
    first = next(model.parameters(), None)
    return torch.device("cpu") if first is None else first.device


def unit_of(output: Tensor, layer: str, channel: int) -> Tensor:
    """Lo que responde una unidad en cada posición.

    Args:
        output: Lo que salió de la capa, ``(N, C, H, W)`` o ``(N, C)``.
        layer: Nombre de la capa, para el mensaje.
        channel: El mapa o, en una capa densa, la unidad.

    Returns:
        ``(N, H·W)``, o ``(N, 1)`` en una densa.

    Raises:
        ValueError: Si la capa no tiene ese canal.
    """
    count = output.shape[1]
    if not 0 <= channel < count:
        raise ValueError(f"la capa «{layer}» tiene los canales 0 a {count - 1}; llegó {channel}")
    return output[:, channel].flatten(1) if output.ndim > 2 else output[:, channel, None]
