"""El catálogo: cada red de la historia, por su nombre, con su ficha.

Una red es un archivo de este paquete, una página del sitio y una entrada de `CATALOG`. Las
cifras de las fichas son las del artículo o las del código, y las pruebas exigen que coincidan.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import nn

from cnnhistory.models.alexnet import AlexNet, AlexNetMini, AlexNetOWT
from cnnhistory.models.lenet import LeNet5, LeNet5Modern

__all__ = ["CATALOG", "Card", "create", "names"]


@dataclass(frozen=True)
class Card:
    """Ficha de una red.

    Attributes:
        label: Nombre con el que se la conoce.
        year: Año de la publicación o del desafío en que apareció.
        authors: Autores del artículo.
        title: Título del artículo.
        url: Dirección del artículo.
        idea: Lo que aportó, en una frase.
        parameters: Parámetros entrenables, con ``num_classes`` clases y la entrada de la ficha.
        macs: Multiplicaciones con acumulación por imagen, en convoluciones y capas densas.
        input_shape: Forma de una imagen de entrada, ``(C, H, W)``.
        num_classes: Clases por omisión.
        build: Construye la red; recibe ``num_classes`` e ``in_channels``.
        top5_error: Error top-5 oficial en ILSVRC, en porcentaje, si compitió.
        inherits: Redes del catálogo de las que viene.
        gave: Lo que dejó a las siguientes.
        deviations: En qué se aparta del artículo.
        page: Página que cuenta su historia, relativa a ``docs/``; vacía si no la tiene.
        lr: Tasa de aprendizaje máxima que le va bien con `cnnhistory.training.train`.
    """

    label: str
    year: int
    authors: str
    title: str
    url: str
    idea: str
    parameters: int
    macs: int
    input_shape: tuple[int, int, int]
    num_classes: int
    build: Callable[..., nn.Module]
    top5_error: float | None = None
    inherits: tuple[str, ...] = ()
    gave: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()
    page: str = ""
    lr: float = 0.05


_LENET_PAPER = {
    "year": 1998,
    "authors": "Yann LeCun, Léon Bottou, Yoshua Bengio y Patrick Haffner",
    "title": "Gradient-Based Learning Applied to Document Recognition",
    "url": "https://doi.org/10.1109/5.726791",
    "page": "arquitecturas/lenet-5.py",
}
_ALEXNET_PAPER = {
    "year": 2012,
    "authors": "Alex Krizhevsky, Ilya Sutskever y Geoffrey E. Hinton",
    "title": "ImageNet Classification with Deep Convolutional Neural Networks",
    "url": "https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
    "page": "arquitecturas/alexnet.py",
}

CATALOG: Mapping[str, Card] = MappingProxyType(
    {
        "lenet5": Card(
            **_LENET_PAPER,
            label="LeNet-5",
            idea="Aprender las características en vez de diseñarlas: convolución, submuestreo y "
            "pesos compartidos, entrenados de punta a punta.",
            parameters=60_000,
            macs=325_680,
            input_shape=(1, 32, 32),
            num_classes=10,
            build=LeNet5,
            gave=("el patrón convolución → submuestreo → capas densas",),
            deviations=(
                "los dibujos de 7×12 de la salida son nuestros, porque el artículo no da sus bits",
                "devuelve la distancia cambiada de signo, y la pérdida es la entropía cruzada",
                "se entrena con descenso estocástico, no con Levenberg-Marquardt diagonal",
            ),
            lr=0.005,  # la distancia a los dibujos da gradientes diez veces mayores
        ),
        "lenet5_modern": Card(
            **_LENET_PAPER,
            label="LeNet-5 moderna",
            idea="La LeNet-5 que hoy se dibuja: ReLU, pooling máximo y salida densa.",
            parameters=61_706,
            macs=416_520,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=LeNet5Modern,
            inherits=("lenet5",),
            deviations=(
                "C3 ve todos los mapas de S2",
                "pooling máximo sin parámetros en lugar de submuestreo entrenable",
                "ReLU en lugar de la tangente escalada",
                "salida densa en lugar de distancia a un dibujo",
                "entrada de 28×28 con relleno de 2 en lugar de 32×32",
            ),
        ),
        "alexnet": Card(
            **_ALEXNET_PAPER,
            label="AlexNet",
            idea="Profundidad, ReLU, dropout y aumentación sobre un millón de imágenes, en dos "
            "tarjetas gráficas.",
            parameters=60_965_224,
            macs=724_406_816,
            input_shape=(3, 227, 227),
            num_classes=1000,
            build=AlexNet,
            top5_error=16.422,
            inherits=("lenet5",),
            gave=(
                "ReLU en todas las capas",
                "dropout en las capas densas",
                "entrenar en GPU",
                "convoluciones en grupos",
            ),
            deviations=(
                "entrada de 227×227: con los 224 que dice el artículo no salen sus 55×55",
                "la LRN suma canales vecinos también a través de la frontera entre las dos torres",
            ),
        ),
        "alexnet_single": Card(
            **_ALEXNET_PAPER,
            label="AlexNet de una torre",
            idea="AlexNet cuando la memoria de una tarjeta ya alcanza: la misma, sin grupos.",
            parameters=62_378_344,
            macs=1_135_256_096,
            input_shape=(3, 227, 227),
            num_classes=1000,
            build=partial(AlexNet, groups=1),
            inherits=("alexnet",),
            deviations=(
                "conv2, conv4 y conv5 ven todos los canales",
                "entrada de 227×227: con los 224 que dice el artículo no salen sus 55×55",
            ),
        ),
        "alexnet_owt": Card(
            label="AlexNet de torchvision",
            year=2014,
            authors="Alex Krizhevsky",
            title="One weird trick for parallelizing convolutional neural networks",
            url="https://arxiv.org/abs/1404.5997",
            idea="La AlexNet de una sola torre que todos descargan: menos canales y sin LRN.",
            parameters=61_100_840,
            macs=714_188_480,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=AlexNetOWT,
            inherits=("alexnet",),
            deviations=("nace con la inicialización de He, no con N(0, 0.01)",),
            page="arquitecturas/alexnet.py",
        ),
        "alexnet_mini": Card(
            **_ALEXNET_PAPER,
            label="AlexNet mini",
            idea="AlexNet a escala de 28×28, para entrenarla en una página.",
            parameters=285_322,
            macs=9_566_208,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=AlexNetMini,
            inherits=("alexnet",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "conv1 de 5×5 con paso 1 en lugar de 11×11 con paso 4",
                "canales 32-64-96-96-64 en lugar de 96-256-384-384-256",
                "LRN después del pooling y no antes, que cuesta la cuarta parte",
                "capas densas de 256 en lugar de 4096",
                "nace con la inicialización de He, no con N(0, 0.01)",
            ),
        ),
    }
)
"""Nombre → ficha, en orden histórico."""


def names() -> list[str]:
    """Los nombres del catálogo, en orden histórico."""
    return list(CATALOG)


def create(
    name: str, *, num_classes: int | None = None, in_channels: int | None = None
) -> nn.Module:
    """Construye una red del catálogo, con pesos al azar.

    Args:
        name: Nombre en `CATALOG`.
        num_classes: Clases de la salida; por omisión, las de la ficha.
        in_channels: Canales de la imagen; por omisión, los de la ficha.

    Returns:
        La red, en modo de entrenamiento y en la CPU (o donde diga `torch.device` como contexto).

    Raises:
        ValueError: Si el nombre no existe o alguna cantidad no es un entero positivo.
    """
    if name not in CATALOG:
        near = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.4)
        hint = f"¿quisiste decir {' o '.join(near)}?" if near else f"hay: {', '.join(CATALOG)}"
        raise ValueError(f"la red «{name}» no está en el catálogo; {hint}")
    card = CATALOG[name]
    num_classes = card.num_classes if num_classes is None else num_classes
    in_channels = card.input_shape[0] if in_channels is None else in_channels
    for label, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{label} debe ser un entero positivo; llegó {value!r}")
    return card.build(num_classes=num_classes, in_channels=in_channels)
