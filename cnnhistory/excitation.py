"""¿Qué enciende a una unidad? Los trozos de imagen que más la encienden, y uno inventado para ella.

Los trozos son los de M. D. Zeiler y R. Fergus, «Visualizing and Understanding Convolutional
Networks», 2013, https://arxiv.org/abs/1311.2901: de cada imagen se recorta lo que ve la posición
donde la unidad más responde.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.fields import FieldTracker, ReceptiveField, dry_run
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

__all__ = ["Patches", "crop", "maximize", "receptive_field", "top_patches"]


@dataclass(frozen=True)
class Patches:
    """Los trozos de imagen que más encienden a un canal, del que más al que menos.

    Attributes:
        channel: El canal.
        images: De qué imagen es cada trozo, enteros ``(K,)``.
        activations: Cuánto respondió el canal, ``(K,)``.
        boxes: ``(K, 4)``: arriba, izquierda, abajo y derecha de la ventana, las dos últimas sin
            incluir. Puede salirse de la imagen.
        crops: Los trozos, ``(K, C, lado, lado)``; lo que cae fuera de la imagen vale 0.
    """

    channel: int
    images: Tensor
    activations: Tensor
    boxes: Tensor
    crops: Tensor


def receptive_field(model: nn.Module, input_shape: Sequence[int], layer: str) -> ReceptiveField:
    """La ventana de la imagen que ve cada posición de una capa.

    Vale para ventanas cuadradas. Los factores sin posiciones, como las compuertas de SENet, ven la
    imagen entera y no cuentan.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        input_shape: Forma de una imagen, ``(C, H, W)``.
        layer: Nombre de la capa.

    Returns:
        La ventana.

    Raises:
        ValueError: Si no existe la capa, no da mapas con posiciones o la red no pasa por ella una
            sola vez, o si la red no acepta esa forma.
    """
    target, tracker = find_layer(model, layer), FieldTracker()
    outputs: list[Tensor] = []

    def record(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        if not any(True for _ in module.children()):
            tracker.follow(module, inputs[0], output)
        if module is target:
            outputs.append(output)

    handles = [module.register_forward_hook(record) for module in model.modules()]
    try:
        with undisturbed(model):
            dry_run(model, input_shape, tracker)
    finally:
        for handle in handles:
            handle.remove()
    field = tracker.field_of(only(outputs, layer))
    if field is None:
        raise ValueError(
            f"lo que sale de la capa «{layer}» no tiene posiciones: cada número ve toda la imagen"
        )
    return field


def top_patches(
    model: nn.Module,
    images: Tensor,
    layer: str,
    channels: Sequence[int],
    count: int = 9,
    *,
    batch_size: int = 64,
) -> list[Patches]:
    """Los trozos de imagen que más encienden a cada canal, uno por imagen como mucho.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        images: Donde se busca: ``(N, C, H, W)``, normalizadas como en el entrenamiento.
        layer: Nombre de una capa con mapas.
        channels: Los canales por los que se pregunta.
        count: Trozos de cada uno.
        batch_size: Imágenes por pasada.

    Returns:
        Un `Patches` por canal, en el orden en que se pidieron.

    Raises:
        ValueError: Si no existe la capa, no da mapas o no tiene alguno de los canales, si se piden
            más trozos que imágenes hay, o si las imágenes no son para esta red.
        TypeError: Si las imágenes no son de punto flotante.
    """
    check_images(images)
    if not 0 < count <= len(images):
        raise ValueError(f"se pueden pedir de 1 a {len(images)} trozos, uno por imagen: {count}")
    field = receptive_field(model, images.shape[1:], layer)
    module, device, parts, width = find_layer(model, layer), device_of(model), [], 1
    with undisturbed(model), torch.inference_mode():
        for batch in images.split(batch_size):
            with capturing(module) as outputs:
                run(model, batch.to(device))
            maps = only(outputs, layer)
            width = maps.shape[3]
            peaks = [unit_of(maps, layer, channel).max(1) for channel in channels]
            values = torch.stack([peak.values for peak in peaks], 1)
            parts.append((values.to(images.device), torch.stack([p.indices for p in peaks], 1)))
    responses = torch.cat([values for values, _ in parts])  # (N, canales)
    places = torch.cat([indices.to(images.device) for _, indices in parts])
    found = []
    for column, channel in enumerate(channels):
        activations, best = responses[:, column].topk(count)
        spots = places[best, column].tolist()
        boxes = torch.tensor([field.box(*divmod(spot, width)) for spot in spots])
        found.append(Patches(channel, best, activations, boxes, crop(images[best], boxes)))
    return found


def crop(images: Tensor, boxes: Tensor) -> Tensor:
    """Recorta de cada imagen su ventana; sirve también para recortar lo que se dibujó sobre ella.

    Args:
        images: ``(K, C, H, W)``.
        boxes: Ventanas cuadradas del mismo lado, ``(K, 4)``, como las de `Patches`.

    Returns:
        ``(K, C, lado, lado)``; lo que cae fuera de la imagen vale 0.
    """
    height, width = images.shape[2:]
    # Un relleno negativo quita, y uno positivo añade ceros.
    return torch.stack(
        [
            F.pad(image, (-left, right - width, -top, bottom - height))
            for image, (top, left, bottom, right) in zip(images, boxes.tolist(), strict=True)
        ]
    )


def maximize(
    model: nn.Module,
    input_shape: Sequence[int],
    layer: str,
    channel: int,
    *,
    steps: int = 200,
    lr: float = 0.1,
    decay: float = 0.01,
    start: Tensor | None = None,
) -> Tensor:
    """Dibuja una imagen que encienda a una unidad todo lo posible, subiendo por el gradiente.

    Maximiza la respuesta menos ``decay`` veces la suma de los cuadrados de los píxeles. En una capa
    con mapas, la respuesta es la de la posición central; en una densa, la de la unidad. La idea es
    de D. Erhan y otros, «Visualizing Higher-Layer Features of a Deep Network», 2009; el castigo a
    los píxeles, de K. Simonyan y otros, 2013, https://arxiv.org/abs/1312.6034.

    Args:
        model: La red, en cualquier dispositivo; queda como estaba.
        input_shape: Forma de la imagen, ``(C, H, W)``.
        layer: Nombre de la capa; el vacío es la salida de la red, y la unidad, una clase.
        channel: El mapa o la unidad.
        steps: Pasos de Adam.
        lr: Tamaño del paso, en unidades de píxel normalizado.
        decay: Cuánto se castiga el contraste.
        start: Imagen de partida, ``(C, H, W)``; si no se da, ruido tenue, siempre el mismo: en una
            imagen lisa la unidad puede estar apagada, y no habría por dónde subir.

    Returns:
        La imagen, ``(C, H, W)``, normalizada.

    Raises:
        ValueError: Si no existe la capa o no tiene ese canal, o si la red no acepta esa forma.
    """
    module = find_layer(model, layer)
    with undisturbed(model), torch.inference_mode(False), torch.enable_grad():
        if start is None:
            start = 0.1 * torch.randn(*input_shape, generator=torch.Generator().manual_seed(0))
        image = start.detach().clone()[None].to(device_of(model)).requires_grad_()
        optimizer = torch.optim.Adam([image], lr)
        for _ in range(steps):
            with capturing(module) as outputs:
                run(model, image)
            output = only(outputs, layer)
            if output.ndim == 4:
                output = output[:, :, output.shape[2] // 2, output.shape[3] // 2]
            response = unit_of(output, layer, channel).sum()
            optimizer.zero_grad()
            (decay * image.square().sum() - response).backward()
            optimizer.step()
    return image.detach()[0]
