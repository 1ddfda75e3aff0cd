"""¿Qué parte de la imagen pesó en la respuesta? Cuatro maneras de preguntárselo a una red.

La oclusión tapa y mira qué cambia; la prominencia deriva la puntuación respecto de los píxeles; la
retropropagación guiada deriva, pero tira lo negativo al bajar; Grad-CAM se queda en una capa con
mapas y pesa cada uno por su gradiente. Todas miran la puntuación de la clase *antes* de softmax.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.deconvnet import Descent
from cnnhistory.inspection import find_layer
from cnnhistory.observation import capturing, check_images, device_of, only, run, undisturbed

__all__ = ["grad_cam", "guided_backpropagation", "occlusion", "saliency"]


def saliency(
    model: nn.Module, images: Tensor, classes: Tensor | int | None = None, *, batch_size: int = 64
) -> Tensor:
    """Cuánto cambia la puntuación de una clase si se mueve un poco cada píxel.

    Es el valor absoluto del gradiente, y de los canales de la imagen, el mayor: K. Simonyan,
    A. Vedaldi y A. Zisserman, «Deep Inside Convolutional Networks», 2013,
    https://arxiv.org/abs/1312.6034.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        classes: La clase por la que se pregunta: ``(N,)``, una para todas o, si no se da, la que
            la red prefiere en cada imagen.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, H, W)``, nunca negativa, en el dispositivo de las imágenes.

    Raises:
        ValueError: Si las imágenes no son para esta red o hay clases fuera de rango.
        TypeError: Si las imágenes no son de punto flotante.
    """
    return _gradient(model, images, classes, batch_size, nullcontext).abs().amax(1)


def guided_backpropagation(
    model: nn.Module, images: Tensor, classes: Tensor | int | None = None, *, batch_size: int = 64
) -> Tensor:
    """El gradiente de la puntuación, sin lo que alguna ReLU dejaría negativo al bajar.

    J. T. Springenberg, A. Dosovitskiy, T. Brox y M. Riedmiller, «Striving for Simplicity: The All
    Convolutional Net», 2014, https://arxiv.org/abs/1412.6806. Da dibujos muy nítidos que apenas
    dependen de la clase y, a menudo, tampoco de los pesos: J. Adebayo y otros, «Sanity Checks for
    Saliency Maps», 2018, https://arxiv.org/abs/1810.03292. En una red sin ReLU es el gradiente.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        classes: Como en `saliency`.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, C, H, W)``, con signo, en el dispositivo de las imágenes.

    Raises:
        ValueError: Si las imágenes no son para esta red o hay clases fuera de rango.
        TypeError: Si las imágenes no son de punto flotante.
    """
    return _gradient(model, images, classes, batch_size, lambda: Descent(masked=True))


def grad_cam(
    model: nn.Module,
    images: Tensor,
    layer: str,
    classes: Tensor | int | None = None,
    *,
    batch_size: int = 64,
) -> Tensor:
    """Dónde están, en los mapas de una capa, las pruebas a favor de una clase.

    Cada mapa pesa lo que vale en promedio el gradiente de la puntuación en sus posiciones; de la
    suma se queda lo positivo y se agranda hasta el tamaño de la imagen. R. R. Selvaraju y otros,
    «Grad-CAM», 2016, https://arxiv.org/abs/1610.02391.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        layer: Nombre de una capa con mapas; el artículo usa la última convolución.
        classes: Como en `saliency`.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, H, W)``, nunca negativa y en las unidades de la puntuación: sin estirar cada mapa a
        su máximo, para que se puedan comparar.

    Raises:
        ValueError: Si no existe la capa, no da mapas o la red no pasa por ella una sola vez, si las
            imágenes no son para esta red o si hay clases fuera de rango.
        TypeError: Si las imágenes no son de punto flotante.
    """
    module = find_layer(model, layer)

    def locate(pixels: Tensor, targets: Tensor | None) -> Tensor:
        with capturing(module) as outputs:
            score = _score(model, pixels, targets)
        maps = only(outputs, layer)
        if maps.ndim != 4:
            raise ValueError(
                f"Grad-CAM necesita mapas, y de la capa «{layer}» sale {tuple(maps.shape[1:])}: "
                "elige una convolución, o la capa con mapas más cercana a la salida"
            )
        (gradient,) = torch.autograd.grad(score, maps)
        weighed = (gradient.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True)
        size = pixels.shape[2:]
        return F.interpolate(weighed.detach().relu(), size, mode="bilinear")[:, 0]

    return _by_batches(model, images, classes, batch_size, locate)


def occlusion(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None = None,
    *,
    size: int,
    stride: int,
    fill: float = 0.0,
    batch_size: int = 64,
) -> Tensor:
    """Cuánta puntuación pierde una clase al tapar cada parte de la imagen con un cuadro liso.

    El cuadro recorre la imagen desde la esquina de arriba a la izquierda; a cada píxel le toca la
    pérdida media de los cuadros que lo taparon. Es el experimento de la sección 4.2 de M. D. Zeiler
    y R. Fergus, 2013, https://arxiv.org/abs/1311.2901, que miraba la probabilidad.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        classes: Como en `saliency`; si no se da, la que la red prefiere con la imagen destapada.
        size: Lado del cuadro, en píxeles.
        stride: Cuánto avanza, en píxeles.
        fill: Con qué se tapa; en imágenes normalizadas, 0 es el gris medio.
        batch_size: Imágenes por pasada.

    Returns:
        ``(N, H, W)``; negativa donde tapar ayuda a la clase.

    Raises:
        ValueError: Si el cuadro no cabe o deja píxeles sin tapar, si las imágenes no son para esta
            red o si hay clases fuera de rango.
        TypeError: Si las imágenes no son de punto flotante.
    """
    check_images(images)
    height, width = images.shape[2:]
    if not 0 < size <= min(height, width) or not 0 < stride <= size:
        raise ValueError(
            f"el cuadro debe caber en la imagen de {height}×{width} y avanzar entre 1 y su lado; "
            f"llegaron size={size} y stride={stride}"
        )

    @torch.no_grad()
    def cover(pixels: Tensor, targets: Tensor | None) -> Tensor:
        logits = _logits(model, pixels)
        targets = _checked(logits, targets)
        whole = logits.gather(1, targets[:, None])[:, 0]
        lost, times = torch.zeros_like(pixels[:, 0]), torch.zeros_like(pixels[0, 0])
        for rows in _windows(height, size, stride):
            for columns in _windows(width, size, stride):
                covered = pixels.clone()
                covered[:, :, rows, columns] = fill
                left = _logits(model, covered).gather(1, targets[:, None])[:, 0]
                lost[:, rows, columns] += (whole - left)[:, None, None]
                times[rows, columns] += 1
        return lost / times

    return _by_batches(model, images, classes, batch_size, cover)


def _windows(length: int, size: int, stride: int) -> Iterator[slice]:
    """Los cuadros que cubren un lado; el último puede quedar cortado por el borde."""
    start = 0
    yield slice(0, size)
    while start + size < length:
        start += stride
        yield slice(start, min(start + size, length))


def _gradient(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None,
    batch_size: int,
    descent: Callable,
) -> Tensor:
    """El gradiente de la puntuación respecto de los píxeles, bajando como diga el contexto."""

    def descend(pixels: Tensor, targets: Tensor | None) -> Tensor:
        with descent():
            score = _score(model, pixels, targets)
        return torch.autograd.grad(score, pixels)[0]

    return _by_batches(model, images, classes, batch_size, descend)


def _by_batches(
    model: nn.Module,
    images: Tensor,
    classes: Tensor | int | None,
    batch_size: int,
    method: Callable[[Tensor, Tensor | None], Tensor],
) -> Tensor:
    """Aplica un método a cada lote, en el dispositivo de la red y con gradiente en los píxeles."""
    check_images(images)
    count = len(images)
    if isinstance(classes, int):
        classes = torch.full((count,), classes)
    if classes is not None and (classes.shape != (count,) or classes.is_floating_point()):
        raise ValueError(
            f"las clases deben ser {count} enteros, uno por imagen; llegó {tuple(classes.shape)} "
            f"de {classes.dtype}"
        )
    device, parts = device_of(model), []
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        for start in range(0, count, batch_size):
            part = slice(start, start + batch_size)
            pixels = images[part].detach().clone().to(device).requires_grad_()
            targets = None if classes is None else classes[part].to(device)
            parts.append(method(pixels, targets).to(images.device))
    return torch.cat(parts)


def _score(model: nn.Module, pixels: Tensor, targets: Tensor | None) -> Tensor:
    """La suma de las puntuaciones: como cada imagen va por su lado, se derivan todas de una vez."""
    logits = _logits(model, pixels)
    return logits.gather(1, _checked(logits, targets)[:, None]).sum()


def _logits(model: nn.Module, pixels: Tensor) -> Tensor:
    logits = run(model, pixels)
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ValueError(f"se esperaba una red que dé puntuaciones (N, clases); dio {shape}")
    return logits


def _checked(logits: Tensor, targets: Tensor | None) -> Tensor:
    """Las clases por las que se pregunta; si no se dieron, las preferidas."""
    if targets is None:
        return logits.argmax(1)
    count = logits.shape[1]
    if targets.min() < 0 or targets.max() >= count:
        raise ValueError(
            f"la red tiene las clases 0 a {count - 1}; llegaron de {targets.min()} a "
            f"{targets.max()}"
        )
    return targets.long()
