"""Aumentar los datos: cada época ve una versión distinta de cada imagen.

Hay dos maneras de hacer la misma aumentación. `recipe` la da imagen por imagen, con
`torchvision.transforms.v2`: es la de siempre, y la que sirve al leer fotos de un disco. `batched`
la da sobre el lote entero, ya en su dispositivo y con un sorteo distinto para cada imagen: las
mismas distribuciones, sin procesos auxiliares y mucho más rápido con imágenes chicas.

Todo el azar sale de los generadores globales de torch, casi siempre del que hay en el dispositivo
de las imágenes: `torch.manual_seed` lo repite. MixUp y CutMix, que también mezclan las etiquetas,
ya vienen por lotes en torchvision: `mixing` las da.
"""

import difflib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.transforms import v2

from cnnhistory import plotting
from cnnhistory.training import Loader

__all__ = [
    "RECIPES",
    "BatchColorJitter",
    "BatchCrop",
    "BatchErasing",
    "BatchFlip",
    "BatchResizedCrop",
    "Mixed",
    "apply",
    "batched",
    "mixing",
    "recipe",
]

_SLACK = 1e-3  # lo que el redondeo de una aumentación anterior puede salirse de [0, 1]
_HINT = "se aumenta antes de normalizar"


class BatchFlip(nn.Module):
    """Refleja cada imagen, izquierda por derecha, con probabilidad ``p``.

    Args:
        p: Probabilidad, entre 0 y 1.

    Raises:
        ValueError: Si ``p`` no es una probabilidad.
    """

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p es una probabilidad, entre 0 y 1; llegó {p}")
        self.p = p

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` de cualquier tipo; devuelve la misma forma."""
        flipped = torch.rand(len(images), 1, 1, 1, device=images.device) < self.p
        return torch.where(flipped, images.flip(3), images)


class BatchCrop(nn.Module):
    """Rodea cada imagen de ceros y recorta, en otro lugar cada vez, una del tamaño que tenía.

    Args:
        padding: Píxeles de relleno en cada lado.

    Raises:
        ValueError: Si ``padding`` no es un entero, cero o más.
    """

    def __init__(self, padding: int = 2) -> None:
        super().__init__()
        if not isinstance(padding, int) or padding < 0:
            raise ValueError(f"padding son píxeles enteros, cero o más; llegó {padding!r}")
        self.padding = padding

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)`` de cualquier tipo; devuelve la misma forma."""
        count, _, height, width = images.shape
        padded = F.pad(images, [self.padding] * 4)
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # todas, sin copiar ninguna
        top, left = torch.randint(2 * self.padding + 1, (2, count), device=images.device)
        return windows[torch.arange(count, device=images.device), :, top, left]


class BatchResizedCrop(nn.Module):
    """Recorta de cada imagen un rectángulo al azar y lo agranda hasta el tamaño que tenía.

    C. Szegedy y otros, «Going Deeper with Convolutions», https://arxiv.org/abs/1409.4842.

    Args:
        scale: Menor y mayor parte del área que se recorta.
        ratio: Menor y mayor razón entre ancho y alto.

    Raises:
        ValueError: Si ``scale`` no va de menor a mayor entre 0 y 1, o ``ratio`` de menor a
            mayor desde más de 0.
        TypeError: Al usarla, si las imágenes no son flotantes.
    """

    def __init__(
        self,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
    ) -> None:
        super().__init__()
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale va de menor a mayor, entre 0 y 1; llegó {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio va de menor a mayor, desde más de 0; llegó {ratio}")
        self.scale, self.ratio = scale, ratio

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)``, flotantes; devuelve la misma forma."""
        if not images.is_floating_point():
            raise TypeError(f"se esperaban imágenes flotantes; llegaron de {images.dtype}")
        count, _, height, width = images.shape
        heights, widths, fits = _boxes(images, self.scale, self.ratio)
        # Si ninguno de los diez intentos cabe, el mayor recorte central de una razón admitida.
        shape = min(max(width / height, self.ratio[0]), self.ratio[1])
        heights = torch.where(fits, heights, min(height, round(width / shape)))
        widths = torch.where(fits, widths, min(width, round(height * shape)))
        free = torch.stack([height - heights, width - widths])
        corner = (torch.rand(2, count, device=images.device) * (free + 1)).floor()
        top, left = torch.where(fits, corner, free // 2)
        rows = _source(heights, height) + top[:, None]
        columns = _source(widths, width) + left[:, None]
        grid = torch.stack(
            [
                (2 * columns / max(width - 1, 1) - 1)[:, None, :].expand(-1, height, -1),
                (2 * rows / max(height - 1, 1) - 1)[:, :, None].expand(-1, -1, width),
            ],
            dim=3,
        )
        return F.grid_sample(images, grid.to(images.dtype), align_corners=True)


class BatchColorJitter(nn.Module):
    """Cambia el brillo, el contraste, la saturación y el tono de cada imagen, en orden al azar.

    Un valor de 0.4 multiplica por un factor uniforme entre 0.6 y 1.4; el tono gira hasta ``hue``
    vueltas en cada sentido. En imágenes de un canal, la saturación y el tono no hacen nada.

    Args:
        brightness: Cuánto puede cambiar el brillo, de 0 a 1.
        contrast: Cuánto puede cambiar el contraste, de 0 a 1.
        saturation: Cuánto puede cambiar la saturación, de 0 a 1.
        hue: Cuánto puede girar el tono, de 0 a 0.5.

    Raises:
        ValueError: Si alguno se sale de esos límites; y al usarla, si la forma o los valores no
            son los de imágenes en [0, 1]. Los valores, en una GPU, se miran la primera vez.
        TypeError: Al usarla, si no le llegan imágenes flotantes.
    """

    def __init__(
        self,
        brightness: float = 0.4,
        contrast: float = 0.4,
        saturation: float = 0.4,
        hue: float = 0.1,
    ) -> None:
        super().__init__()
        self.amounts = (brightness, contrast, saturation, hue)
        names = ("brightness", "contrast", "saturation", "hue")
        for name, amount, most in zip(names, self.amounts, (1, 1, 1, 0.5), strict=True):
            if not 0 <= amount <= most:
                raise ValueError(f"{name} va de 0 a {most}; llegó {amount}")
        self.door = _Door()

    def forward(self, images: Tensor) -> Tensor:
        """``(N, 1, H, W)`` o ``(N, 3, H, W)``, en [0, 1]; devuelve la misma forma."""
        images = self.door(images)
        count, device = len(images), images.device
        spread = 2 * torch.rand(4, count, 1, 1, 1, device=device, dtype=images.dtype) - 1
        # En cada turno, a cada imagen le toca uno de los cuatro cambios. Se sortea en la CPU, y va
        # al dispositivo de una vez: preguntarle a una GPU a cuáles les toca obligaría a esperarla.
        order = torch.rand(4, count).argsort(0)
        places = order.argsort(1)
        if device.type == "cuda":
            places = places.pin_memory()
        places = places.to(device, non_blocking=True)
        images = images.clone()
        for turn, place in zip(order, places, strict=True):
            sizes = turn.bincount(minlength=4).tolist()
            groups = zip(_COLOR, self.amounts, spread, place.split(sizes), strict=True)
            for change, amount, own, mine in groups:
                images[mine] = change(images[mine], amount * own[mine])
        return images


class BatchErasing(nn.Module):
    """Borra de cada imagen, con probabilidad ``p``, un rectángulo al azar.

    Z. Zhong y otros, «Random Erasing Data Augmentation», https://arxiv.org/abs/1708.04896.

    Args:
        p: Probabilidad, entre 0 y 1.
        scale: Menor y mayor parte del área que se borra.
        ratio: Menor y mayor razón entre alto y ancho.
        value: Lo que queda en lugar de lo borrado.

    Raises:
        ValueError: Si ``p`` no es una probabilidad, ``scale`` no va de menor a mayor entre 0 y 1,
            o ``ratio`` de menor a mayor desde más de 0.
        TypeError: Al usarla, si las imágenes no son flotantes.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: tuple[float, float] = (0.02, 0.33),
        ratio: tuple[float, float] = (0.3, 3.3),
        value: float = 0.0,
    ) -> None:
        super().__init__()
        if not 0 <= p <= 1:
            raise ValueError(f"p es una probabilidad, entre 0 y 1; llegó {p}")
        if not 0 <= scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale va de menor a mayor, entre 0 y 1; llegó {scale}")
        if not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio va de menor a mayor, desde más de 0; llegó {ratio}")
        self.p, self.scale, self.ratio, self.value = p, scale, ratio, value

    def forward(self, images: Tensor) -> Tensor:
        """``(N, C, H, W)``, flotantes; devuelve la misma forma."""
        if not images.is_floating_point():
            raise TypeError(f"se esperaban imágenes flotantes; llegaron de {images.dtype}")
        count, _, height, width = images.shape
        widths, heights, fits = _boxes(images.mT, self.scale, self.ratio, strict=True)
        chosen = fits & (torch.rand(count, device=images.device) < self.p)
        inside = []
        for side, own in ((height, heights), (width, widths)):
            start = (torch.rand(count, device=images.device) * (side - own + 1)).floor()
            place = torch.arange(side, device=images.device)
            inside.append((place >= start[:, None]) & (place < (start + own)[:, None]))
        erased = inside[0][:, :, None] & inside[1][:, None, :] & chosen[:, None, None]
        return images.masked_fill(erased[:, None], self.value)


def _boxes(
    images: Tensor, scale: tuple[float, float], ratio: tuple[float, float], strict: bool = False
) -> tuple[Tensor, Tensor, Tensor]:
    """Alto y ancho de un rectángulo por imagen, y si alguno de sus diez intentos cupo.

    Como en torchvision: el área es uniforme; la razón entre ancho y alto, uniforme en su logaritmo.
    """
    count, _, height, width = images.shape
    draws = torch.rand(2, count, 10, device=images.device)
    area = height * width * (scale[0] + (scale[1] - scale[0]) * draws[0])
    low, high = math.log(ratio[0]), math.log(ratio[1])
    shape = torch.exp(low + (high - low) * draws[1])
    widths, heights = (area * shape).sqrt().round(), (area / shape).sqrt().round()
    fits = (widths > 0) & (heights > 0) & (widths <= width - strict) & (heights <= height - strict)
    first = fits.int().argmax(1, keepdim=True)
    return heights.gather(1, first)[:, 0], widths.gather(1, first)[:, 0], fits.any(1)


def _source(own: Tensor, side: int) -> Tensor:
    """De qué punto de un recorte de ``own`` píxeles sale cada uno de los ``side`` del resultado."""
    place = torch.arange(side, device=own.device) + 0.5
    points = place * (own / side)[:, None] - 0.5
    return points.clamp(min=0).minimum(own[:, None] - 1)


def _gray(images: Tensor) -> Tensor:
    """La luminancia: ``(N, 3, H, W)`` → ``(N, 1, H, W)``."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    return 0.2989 * red + 0.587 * green + 0.114 * blue


def _brighten(images: Tensor, change: Tensor) -> Tensor:
    return (images * (1 + change)).clamp_(0, 1)


def _contrast(images: Tensor, change: Tensor) -> Tensor:
    mean = _gray(images).mean((1, 2, 3), keepdim=True)
    return torch.lerp(mean, images, 1 + change).clamp_(0, 1)


def _saturate(images: Tensor, change: Tensor) -> Tensor:
    return torch.lerp(_gray(images), images, 1 + change).clamp_(0, 1)


def _turn_hue(images: Tensor, change: Tensor) -> Tensor:
    """Gira el tono: a HSV, suma y vuelta a RGB."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.split(1, 1)
    value = images.amax(1, keepdim=True)
    chroma = value - images.amin(1, keepdim=True)
    # El tono, en sextos de vuelta, según el canal que manda. Con ceros y unos, porque elegir con
    # `where` píxel por píxel tarda más que todas estas cuentas.
    is_red = (red == value).to(images.dtype)
    is_green = (green == value).to(images.dtype) * (1 - is_red)
    is_blue = 1 - is_red - is_green
    offset = is_red * (green - blue) + is_green * (blue - red) + is_blue * (red - green)
    hue = (
        offset / chroma.clamp(min=torch.finfo(images.dtype).tiny)
        + 2 * is_green
        + 4 * is_blue
        + 6 * change
    )
    turns = torch.arange(5, 0, -2, device=hue.device)[:, None, None]  # de rojo, verde y azul
    sector = hue + turns
    sector = sector - 6 * (sector / 6).floor()
    return value - chroma * torch.minimum(sector, 4 - sector).clamp_(0, 1)


_COLOR = (_brighten, _contrast, _saturate, _turn_hue)


class _ColorJitter(v2.ColorJitter):
    """El de torchvision, que a los valores fuera de [0, 1] los satura sin avisar."""

    def transform(self, inpt: object, params: dict[str, object]) -> object:
        """Cambia el color, si los valores son los de una imagen."""
        if isinstance(inpt, Tensor) and inpt.is_floating_point():
            _check_range(inpt)
        return super().transform(inpt, params)


@dataclass(frozen=True)
class _Recipe:
    does: str
    each: Callable[[int], nn.Module]  # imagen por imagen, dado el lado
    batch: Callable[[], nn.Module]


_RECIPES = {
    "flip": _Recipe(
        "reflejar izquierda por derecha", lambda side: v2.RandomHorizontalFlip(), BatchFlip
    ),
    "crop": _Recipe(
        "mover la imagen hasta dos píxeles", lambda side: v2.RandomCrop(side, padding=2), BatchCrop
    ),
    "resized_crop": _Recipe(
        "recortar una parte y agrandarla",
        lambda side: v2.RandomResizedCrop(side, scale=(0.4, 1.0), antialias=True),
        lambda: BatchResizedCrop(scale=(0.4, 1.0)),
    ),
    "color": _Recipe(
        "cambiar brillo, contraste, saturación y tono",
        lambda side: _ColorJitter(0.4, 0.4, 0.4, 0.1),
        BatchColorJitter,
    ),
    "erasing": _Recipe("borrar un rectángulo", lambda side: v2.RandomErasing(), BatchErasing),
}


def _composed(does: str, names: Sequence[str]) -> _Recipe:
    steps = [_RECIPES[name] for name in names]
    return _Recipe(
        does,
        lambda side: v2.Compose([step.each(side) for step in steps]),
        lambda: nn.Sequential(*(step.batch() for step in steps)),
    )


_RECIPES["crop_flip"] = _composed("mover y reflejar", ("crop", "flip"))
_RECIPES["compose"] = _composed(
    "mover, reflejar y borrar, una tras otra", ("crop", "flip", "erasing")
)

RECIPES: Mapping[str, str] = MappingProxyType({name: it.does for name, it in _RECIPES.items()})
"""Nombre de cada receta → lo que hace."""


def recipe(name: str, side: int) -> nn.Module:
    """Una receta, imagen por imagen, con `torchvision.transforms.v2`.

    Args:
        name: Nombre en `RECIPES`.
        side: Lado de las imágenes que da, en píxeles.

    Returns:
        La transformación, para una imagen ``(C, H, W)`` o de PIL.

    Raises:
        ValueError: Si el nombre no existe o ``side`` no es positivo; y al usarla, si cambia el
            color y le llegan flotantes fuera de [0, 1].
    """
    if side < 1:
        raise ValueError(f"el lado debe ser de un píxel o más; llegó {side}")
    return _find(name).each(side)


def batched(name: str) -> nn.Module:
    """La misma receta para un lote que ya está en su dispositivo, con un sorteo por imagen.

    Args:
        name: Nombre en `RECIPES`.

    Returns:
        La transformación, de ``(N, C, H, W)`` en [0, 1] a la misma forma. Sirve como
        ``transform`` de `cnnhistory.data.Batches`, antes de normalizar.

    Raises:
        ValueError: Si el nombre no existe; y al usarla, si la forma o los valores no son los de
            imágenes en [0, 1]. Los valores, en una GPU, se miran solo en el primer lote.
        TypeError: Al usarla, si no le llegan imágenes flotantes en un tensor.
    """
    return nn.Sequential(_Door(), _find(name).batch())


def mixing(name: str, num_classes: int, alpha: float = 1.0) -> v2.Transform:
    """MixUp o CutMix: mezclan las imágenes de un lote dos a dos, y sus etiquetas también.

    H. Zhang y otros, «mixup: Beyond Empirical Risk Minimization»,
    https://arxiv.org/abs/1710.09412. S. Yun y otros, «CutMix», https://arxiv.org/abs/1905.04899.

    Args:
        name: ``"mixup"`` o ``"cutmix"``.
        num_classes: Clases.
        alpha: De la distribución beta de la que sale la proporción; cuanto menor, más cerca de
            una sola de las dos imágenes.

    Returns:
        La transformación, de ``(imágenes, etiquetas (N,))`` a ``(imágenes, probabilidades
        (N, num_classes))``.

    Raises:
        ValueError: Si el nombre no es ninguno de los dos, o ``num_classes`` o ``alpha`` no son
            positivos y finitos.
    """
    kinds = {"mixup": v2.MixUp, "cutmix": v2.CutMix}
    if name not in kinds:
        raise ValueError(f"la mezcla puede ser mixup o cutmix; llegó «{name}»")
    if num_classes < 1 or not 0 < alpha < math.inf:
        raise ValueError(
            f"num_classes y alpha deben ser positivos y finitos; llegaron {num_classes} y {alpha}"
        )
    return kinds[name](num_classes=num_classes, alpha=alpha)


class Mixed:
    """Lotes con las imágenes y las etiquetas mezcladas, para `cnnhistory.training.train`.

    Args:
        batches: Los lotes de entrenamiento.
        mix: La mezcla, como la que da `mixing`.
    """

    def __init__(self, batches: Loader, mix: Callable[..., tuple[Tensor, Tensor]]) -> None:
        self.batches = batches
        self.mix = mix

    @property
    def generator(self) -> torch.Generator | None:
        """El que ordena los lotes, para los puntos de control."""
        return getattr(self.batches, "generator", None)

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in self.batches:
            yield self.mix(images, labels)


def apply(
    image: Tensor, augmentation: Callable[[Tensor], Tensor], rows: int = 2, cols: int = 4
) -> Figure:
    """Muestra varias veces una misma imagen, aumentada cada vez con otro sorteo.

    Args:
        image: ``(C, H, W)``: ``uint8``, o flotante en [0, 1].
        augmentation: De una imagen a otra, como las de `recipe` o las de torchvision.
        rows: Filas de la cuadrícula.
        cols: Columnas de la cuadrícula.

    Returns:
        La figura.

    Raises:
        TypeError: Si lo que llega, o lo que devuelve la aumentación, no es un tensor de imagen.
        ValueError: Si su forma o sus valores no son los de una imagen, si las versiones salen de
            formas distintas, o si ``rows`` o ``cols`` no son enteros positivos.
    """
    if not all(isinstance(count, int) and count > 0 for count in (rows, cols)):
        raise ValueError(f"rows y cols deben ser enteros positivos; llegaron {rows!r} y {cols!r}")
    _check_image(image)
    hint = "que la aumentación no normalice, y si suma algo, que termine con clamp(0, 1)"
    versions = [augmentation(image) for _ in range(rows * cols)]
    try:
        for version in versions:
            _check_image(version, hint)
    except (TypeError, ValueError) as error:
        raise type(error)(f"lo que devolvió la aumentación no se puede mostrar: {error}") from error
    shapes = {tuple(version.shape): None for version in versions}
    if len(shapes) > 1:
        raise ValueError(
            "la aumentación debe devolver siempre la misma forma, y devolvió "
            f"{' y '.join(map(str, shapes))}: agrégale al final un `v2.Resize`"
        )
    stacked = torch.stack(
        [
            v2.functional.to_dtype(version.clamp(0, 1), torch.uint8, scale=True)
            if version.is_floating_point()
            else version
            for version in versions
        ]
    )
    return plotting.image_grid(stacked, columns=cols)


class _Door(nn.Module):
    """Deja pasar solo lotes de imágenes flotantes en [0, 1].

    La forma y el tipo se revisan siempre. Los valores, siempre en la CPU; en una GPU, solo la
    primera vez: leer el mínimo en cada paso obligaría a esperarla.
    """

    def __init__(self) -> None:
        super().__init__()
        self.checked = False

    def forward(self, images: Tensor) -> Tensor:
        _check_type(images, floating=True)
        if images.device.type == "cpu" or not self.checked:
            _check_range(images)
            self.checked = True
        return images


def _check_image(image: Tensor, hint: str = _HINT) -> None:
    if isinstance(image, Tensor) and image.ndim != 3:
        raise ValueError(f"se esperaba una imagen (C, H, W); llegó {tuple(image.shape)}")
    _check_type(image[None] if isinstance(image, Tensor) else image)
    if image.is_floating_point():
        _check_range(image, hint)


def _check_type(images: Tensor, floating: bool = False) -> None:
    expected = "se esperaban imágenes de 1 o 3 canales, (N, C, H, W)"
    if not isinstance(images, Tensor):
        raise TypeError(f"{expected}, en un tensor; llegó {type(images).__name__}")
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"{expected}; llegó {tuple(images.shape)}")
    if not images.is_floating_point() and (floating or images.dtype != torch.uint8):
        raise TypeError(f"{expected}, flotantes en [0, 1]; llegaron de {images.dtype}")


def _check_range(images: Tensor, hint: str = _HINT) -> None:
    if not images.numel():
        return
    low, high = (bound.item() for bound in images.aminmax())
    if not (low >= -_SLACK and high <= 1 + _SLACK):  # así, un NaN tampoco pasa
        raise ValueError(
            f"las imágenes deben estar en [0, 1] y van de {low:.3g} a {high:.3g}: {hint}"
        )


def _find(name: str) -> _Recipe:
    if name not in _RECIPES:
        near = difflib.get_close_matches(name, _RECIPES, n=2, cutoff=0.4)
        hint = f"¿quisiste decir {' o '.join(near)}?" if near else f"hay: {', '.join(_RECIPES)}"
        raise ValueError(f"no hay ninguna receta «{name}»; {hint}")
    return _RECIPES[name]
