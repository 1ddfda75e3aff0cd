"""La deconvnet (2013): de una unidad encendida, de vuelta a los píxeles que la encendieron.

M. D. Zeiler y R. Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.
https://arxiv.org/abs/1311.2901

Se apaga todo menos una unidad y se baja hasta la imagen deshaciendo cada capa con su pareja: el
filtro, con el filtro traspuesto; el pooling, con los interruptores (*switches*) que recuerdan de
dónde salió cada máximo; y ReLU, con otra ReLU. Las dos primeras son exactamente el gradiente de la
capa; la tercera, no. Esa diferencia es toda la que hay entre la deconvnet y la prominencia de
Simonyan y otros (2013), y lo que cambiaron Springenberg y otros (2014) para guiarla.

Así que aquí la red sube como siempre, con cualquier forma de bloque, y solo se cambia cómo se baja.
"""

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from cnnhistory.inspection import find_layer
from cnnhistory.observation import (
    capturing,
    check_images,
    device_of,
    only,
    run,
    undisturbed,
    unit_of,
)

__all__ = ["DescendingReLU", "Descent", "TransposedFilter", "Unpooling", "project"]


class TransposedFilter(Function):
    """Sube por una convolución; baja por sus filtros traspuestos, sin el sesgo."""

    @staticmethod
    def forward(ctx, maps, weight, bias, stride, padding, dilation, groups):
        """``(N, C_in, H, W)`` → ``(N, C_out, H', W')``; paso, relleno y dilatación, en pares."""
        ctx.save_for_backward(weight)
        ctx.geometry, ctx.below = (stride, padding, dilation, groups), maps.shape[2:]
        return F.conv2d(maps, weight, bias, stride, padding, dilation, groups)

    @staticmethod
    def backward(ctx, *signals):
        """``(N, C_out, H', W')`` → ``(N, C_in, H, W)``."""
        (weight,), (signal,) = ctx.saved_tensors, signals
        stride, padding, dilation, groups = ctx.geometry
        # Las filas que el paso dejó sin ver al final también hay que devolverlas, vacías.
        unseen = [
            below - (above - 1) * step + 2 * pad - spread * (window - 1) - 1
            for below, above, step, pad, spread, window in zip(
                *(ctx.below, signal.shape[2:], stride, padding, dilation, weight.shape[2:]),
                strict=True,
            )
        ]
        below = F.conv_transpose2d(signal, weight, None, stride, padding, unseen, groups, dilation)
        return below, *[None] * 6


class Unpooling(Function):
    """Sube por un pooling máximo; baja poniendo cada valor donde dicen los interruptores.

    Si dos ventanas encimadas eligieron el mismo píxel, ahí se suman las dos señales.
    """

    @staticmethod
    def forward(ctx, maps, window, options):
        """``(N, C, H, W)`` → ``(N, C, H', W')``; lo demás, como en `torch.nn.functional`."""
        pooled, switches = F.max_pool2d_with_indices(maps, *window, **options)
        ctx.save_for_backward(switches)
        ctx.below = maps.shape
        return pooled

    @staticmethod
    def backward(ctx, *signals):
        """``(N, C, H', W')`` → ``(N, C, H, W)``."""
        (switches,), (signal,) = ctx.saved_tensors, signals
        below = signal.new_zeros(ctx.below).flatten(2)
        below.scatter_add_(2, switches.flatten(2), signal.flatten(2))
        return below.view(ctx.below), None, None


class DescendingReLU(Function):
    """Sube por una ReLU; baja por otra, que solo deja pasar lo positivo de la señal.

    Con ``masked`` la detiene además donde la de subida estaba apagada: es la regla guiada.
    """

    @staticmethod
    def forward(ctx, maps, masked):
        """Da ``max(maps, 0)``."""
        ctx.save_for_backward(maps > 0 if masked else None)
        return maps.clamp(min=0)

    @staticmethod
    def backward(ctx, *signals):
        """La misma forma."""
        (active,), (signal,) = ctx.saved_tensors, signals
        signal = signal.clamp(min=0)
        return signal if active is None else signal * active, None


class Descent(TorchFunctionMode):
    """Contexto en que la señal baja por las tres piezas en vez de por el gradiente.

    Alcanza a las capas y también a las llamadas sueltas, como el ``F.relu`` de una ResNet. Lo
    demás (densas, sumas, concatenaciones, normalizaciones, promedios) baja por su gradiente.

    Args:
        masked: Si cada ReLU detiene la señal donde estaba apagada (Springenberg y otros, 2014) o,
            como en la deconvnet, lo olvida.
    """

    def __init__(self, masked: bool = False) -> None:
        super().__init__()
        self.masked = masked

    def __torch_function__(self, func, types, args=(), kwargs=None):
        """Hace la operación y deja dicho cómo se baja por ella."""
        kwargs = kwargs or {}
        if func in _RELUS:
            maps, *inplace = args
            result = DescendingReLU.apply(maps, self.masked)
            if func in _RELUS_IN_PLACE or any(inplace) or kwargs.get("inplace"):
                return maps.copy_(result)
            return result
        if func is F.conv2d:
            return _filter(*args, **kwargs)
        if func is F.max_pool2d and not kwargs.get("return_indices"):
            return Unpooling.apply(args[0], args[1:], kwargs)
        return func(*args, **kwargs)


_RELUS_IN_PLACE = {torch.relu_, Tensor.relu_}
_RELUS = {F.relu, torch.relu, Tensor.relu} | _RELUS_IN_PLACE


def _filter(input, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """La convolución de `torch.nn.functional.conv2d`, con los nombres de sus argumentos."""
    if isinstance(padding, str):  # el relleno de «same» lo calcula torch: baja por el gradiente
        return F.conv2d(input, weight, bias, stride, padding, dilation, groups)
    stride, padding, dilation = (
        (value, value) if isinstance(value, int) else tuple(value)
        for value in (stride, padding, dilation)
    )
    return TransposedFilter.apply(input, weight, bias, stride, padding, dilation, groups)


def project(
    model: nn.Module, images: Tensor, layer: str, channel: int, *, batch_size: int = 64
) -> Tensor:
    """Lo que, en cada imagen, encendió más a una unidad, dibujado en la imagen.

    De todas las posiciones del mapa se proyecta solo aquella donde más responde, con el valor que
    tiene allí. Donde la unidad no se enciende, la proyección es cero.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        layer: Nombre de la capa.
        channel: Mapa de esa capa o, en una densa, unidad.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, C, H, W)``, con signo, en el dispositivo de las imágenes.

    Raises:
        ValueError: Si no existe la capa, la red no pasa por ella una sola vez, no tiene ese canal o
            las imágenes no son para esta red.
        TypeError: Si las imágenes no son de punto flotante.
    """
    check_images(images)
    module, device, parts = find_layer(model, layer), device_of(model), []
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        for batch in images.split(batch_size):
            pixels = batch.detach().clone().to(device).requires_grad_()
            with Descent(), capturing(module) as outputs:
                run(model, pixels)
            unit = unit_of(only(outputs, layer), layer, channel)
            peak, _ = unit.max(1)
            (signal,) = torch.autograd.grad(peak, pixels, peak.detach().clamp(min=0))
            parts.append(signal.to(images.device))
    return torch.cat(parts)
