"""El catálogo: cada red de la historia, por su nombre, con su ficha.

Una red es un archivo de este paquete, una página del sitio y una entrada de `CATALOG`. Las
cifras de las fichas son las del artículo o las del código, y las pruebas exigen que coincidan.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType

from torch import Tensor, nn

from cnnhistory.models.alexnet import AlexNet, AlexNetMini, AlexNetOWT
from cnnhistory.models.allcnn import ALLCNN_A, ALLCNN_B, ALLCNN_C, AllCNN, AllCNNMini
from cnnhistory.models.batchnorm import LeNet5BN
from cnnhistory.models.densenet import DenseNet, DenseNetMini
from cnnhistory.models.googlenet import GoogLeNet, GoogLeNetMini
from cnnhistory.models.lenet import LeNet5, LeNet5Modern
from cnnhistory.models.nin import NiN, NiNImageNet, NiNMini
from cnnhistory.models.resnet import (
    RESNET18,
    RESNET34,
    RESNET50,
    RESNET101,
    RESNET152,
    Bottleneck,
    CifarResNet,
    PlainBlock,
    ResidualBlock,
    ResNet,
    ResNetMini,
)
from cnnhistory.models.resnext import ResNeXtBlock, ResNeXtMini
from cnnhistory.models.senet import SEBottleneck, SENet154, SENetMini, SEResNet, SEResNeXtBlock
from cnnhistory.models.small_cnn import OneConvolution, SoftmaxRegression, TwoConvolutions
from cnnhistory.models.vgg import VGG, VGG11, VGG11_QUARTER, VGG13, VGG16, VGG19, VGGMini
from cnnhistory.models.zfnet import ZFNet, ZFNetMini

__all__ = ["CATALOG", "Card", "create", "find", "names"]


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
        lr: Tasa de aprendizaje máxima que usa ``cnnhistory train`` si no se le da otra. Se probó en
            las minis, las LeNet-5 y la regresión softmax; en las demás es un punto de partida.
        sides: Menor y mayor lado, en píxeles, de la imagen que admite; ``None`` si no hay mayor.
            Solo lo hay cuando termina en capas densas, que fijan el tamaño de los mapas.
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
    sides: tuple[int, int | None] = (1, None)

    @property
    def megabytes(self) -> float:
        """Lo que ocupan sus parámetros en ``float32``, en millones de bytes."""
        return 4 * self.parameters / 1e6


_LENET_PAPER = {
    "year": 1998,
    "authors": "Yann LeCun, Léon Bottou, Yoshua Bengio y Patrick Haffner",
    "title": "Gradient-Based Learning Applied to Document Recognition",
    "url": "https://doi.org/10.1109/5.726791",
    "page": "arquitecturas/lenet-5.py",
}
_LESSON = {key: value for key, value in _LENET_PAPER.items() if key != "page"}
_ALEXNET_PAPER = {
    "year": 2012,
    "authors": "Alex Krizhevsky, Ilya Sutskever y Geoffrey E. Hinton",
    "title": "ImageNet Classification with Deep Convolutional Neural Networks",
    "url": "https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html",
    "page": "arquitecturas/alexnet.py",
}

_ZFNET_PAPER = {
    "year": 2013,
    "authors": "Matthew D. Zeiler y Rob Fergus",
    "title": "Visualizing and Understanding Convolutional Networks",
    "url": "https://arxiv.org/abs/1311.2901",
    "page": "arquitecturas/zfnet.py",
}
_NIN_PAPER = {
    "year": 2013,
    "authors": "Min Lin, Qiang Chen y Shuicheng Yan",
    "title": "Network In Network",
    "url": "https://arxiv.org/abs/1312.4400",
    "page": "arquitecturas/nin.py",
}
_VGG_PAPER = {
    "year": 2014,
    "authors": "Karen Simonyan y Andrew Zisserman",
    "title": "Very Deep Convolutional Networks for Large-Scale Image Recognition",
    "url": "https://arxiv.org/abs/1409.1556",
    "page": "arquitecturas/vgg.py",
}
_GOOGLENET_PAPER = {
    "year": 2014,
    "authors": (
        "Christian Szegedy, Wei Liu, Yangqing Jia, Pierre Sermanet, Scott "
        "Reed, Dragomir Anguelov, Dumitru Erhan, Vincent Vanhoucke y Andrew"
        " Rabinovich"
    ),
    "title": "Going Deeper with Convolutions",
    "url": "https://arxiv.org/abs/1409.4842",
    "page": "arquitecturas/googlenet.py",
}
_ALLCNN_PAPER = {
    "year": 2014,
    "authors": ("Jost Tobias Springenberg, Alexey Dosovitskiy, Thomas Brox y Martin Riedmiller"),
    "title": "Striving for Simplicity: The All Convolutional Net",
    "url": "https://arxiv.org/abs/1412.6806",
    "page": "arquitecturas/all-cnn.py",
}
_BATCHNORM_PAPER = {
    "year": 2015,
    "authors": "Sergey Ioffe y Christian Szegedy",
    "title": (
        "Batch Normalization: Accelerating Deep Network Training by "
        "Reducing Internal Covariate Shift"
    ),
    "url": "https://arxiv.org/abs/1502.03167",
    "page": "arquitecturas/batch-normalization.py",
}
_RESNET_PAPER = {
    "year": 2015,
    "authors": "Kaiming He, Xiangyu Zhang, Shaoqing Ren y Jian Sun",
    "title": "Deep Residual Learning for Image Recognition",
    "url": "https://arxiv.org/abs/1512.03385",
    "page": "arquitecturas/resnet.py",
}
_RESNEXT_PAPER = {
    "year": 2016,
    "authors": "Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu y Kaiming He",
    "title": "Aggregated Residual Transformations for Deep Neural Networks",
    "url": "https://arxiv.org/abs/1611.05431",
    "page": "arquitecturas/resnext.py",
}
_DENSENET_PAPER = {
    "year": 2016,
    "authors": ("Gao Huang, Zhuang Liu, Laurens van der Maaten y Kilian Q. Weinberger"),
    "title": "Densely Connected Convolutional Networks",
    "url": "https://arxiv.org/abs/1608.06993",
    "page": "arquitecturas/densenet.py",
}
_SENET_PAPER = {
    "year": 2017,
    "authors": "Jie Hu, Li Shen, Samuel Albanie, Gang Sun y Enhua Wu",
    "title": "Squeeze-and-Excitation Networks",
    "url": "https://arxiv.org/abs/1709.01507",
    "page": "arquitecturas/senet.py",
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
            sides=(32, 35),
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
            sides=(28, 31),
        ),
        "softmax": Card(
            **_LESSON,
            label="Regresión softmax",
            idea="Una capa densa sobre los píxeles crudos: lo que se logra sin mirar vecinos.",
            parameters=7_850,
            macs=7_840,
            input_shape=(1, 28, 28),
            page="fundamentos/capa-densa.py",
            num_classes=10,
            build=SoftmaxRegression,
            deviations=("red de enseñanza, que no es de ningún artículo",),
            sides=(28, 28),
        ),
        "one_conv": Card(
            **_LESSON,
            label="Una convolución",
            idea="64 filtros de 3×3 y 32 neuronas: casi todos los parámetros quedan en la densa.",
            parameters=1_845_354,
            macs=3_398_720,
            input_shape=(3, 32, 32),
            page="fundamentos/cnn-pequena.py",
            num_classes=10,
            build=OneConvolution,
            inherits=("softmax", "lenet5"),
            deviations=("red de enseñanza, que no es de ningún artículo",),
            sides=(32, 32),
        ),
        "conv_pool": Card(
            **_LESSON,
            label="Una convolución y un pooling",
            idea="El pooling parte el mapa a la mitad y la capa densa se queda en la cuarta parte.",
            parameters=462_954,
            macs=2_016_320,
            input_shape=(3, 32, 32),
            page="fundamentos/cnn-pequena.py",
            num_classes=10,
            build=partial(OneConvolution, pooling=True),
            inherits=("one_conv",),
            deviations=("red de enseñanza, que no es de ningún artículo",),
            sides=(32, 33),
        ),
        "two_conv": Card(
            **_LESSON,
            label="Dos convoluciones",
            idea="Convolución y pooling, dos veces: la segunda filtra los mapas de la primera.",
            parameters=564_426,
            macs=11_732_224,
            input_shape=(3, 32, 32),
            page="fundamentos/cnn-pequena.py",
            num_classes=10,
            build=TwoConvolutions,
            inherits=("conv_pool",),
            deviations=("red de enseñanza, que no es de ningún artículo",),
            sides=(32, 35),
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
            sides=(227, 258),
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
            sides=(227, 258),
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
            sides=(223, 254),
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
            sides=(23, 30),
            lr=0.02,  # con 0.05 diverge
        ),
        "zfnet": Card(
            **_ZFNET_PAPER,
            label="ZFNet",
            idea=(
                "Mirar por dentro a AlexNet y corregir su primera capa: filtros más"
                " chicos y paso más corto."
            ),
            parameters=62_357_608,
            macs=1_168_032_896,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=ZFNet,
            inherits=("alexnet",),
            gave=("mirar una red por dentro: la red deconvolucional",),
            deviations=(
                (
                    "normalización de respuesta local donde el artículo no detalla su "
                    "normalización de contraste"
                ),
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(213, 244),
        ),
        "zfnet_mini": Card(
            **_ZFNET_PAPER,
            label="ZFNet mini",
            idea="ZFNet a escala de 28×28.",
            parameters=296_074,
            macs=5_881_600,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=ZFNetMini,
            inherits=("zfnet", "alexnet_mini"),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "conv1 de 3×3 con paso 1 en lugar de 7×7 con paso 2",
                "relleno en conv2 y en el último pooling, que así deja 2×2 y no un solo punto",
                "canales 32-64-96-96-64 en lugar de 96-256-384-384-256",
                "capas densas de 128, con dropout de 0.2, en lugar de 4096 y 0.5",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(17, 32),
            lr=0.03,
        ),
        "nin": Card(
            **_NIN_PAPER,
            label="NiN",
            idea=(
                "Una red densa en cada píxel, que es una convolución de 1×1, y un "
                "promedio global en lugar de capas densas."
            ),
            parameters=966_986,
            macs=222_486_528,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=NiN,
            inherits=("alexnet",),
            gave=("la convolución de 1×1", "el promedio global al final"),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(4, None),
        ),
        "nin_imagenet": Card(
            **_NIN_PAPER,
            label="NiN de ImageNet",
            idea="NiN con filtros y pasos de AlexNet, para mil clases.",
            parameters=7_595_176,
            macs=1_100_188_800,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=NiNImageNet,
            inherits=("nin", "alexnet"),
            deviations=(
                "no está en el artículo: es la que sus autores publicaron en el Caffe Model Zoo",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(39, None),
        ),
        "nin_mini": Card(
            **_NIN_PAPER,
            label="NiN mini",
            idea="NiN a escala de 28×28.",
            parameters=77_098,
            macs=8_169_280,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=NiNMini,
            inherits=("nin",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "canales 24-16-16, 48 y 96 en lugar de 192-160-96, 192 y 192",
                "dropout de 0.2 en lugar de 0.5",
                "sin ReLU después de la última convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(4, None),
            lr=0.03,
        ),
        "vgg11": Card(
            **_VGG_PAPER,
            label="VGG-11",
            idea="La VGG de 11 capas con pesos.",
            parameters=132_863_336,
            macs=7_609_090_048,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG11),
            inherits=("alexnet",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(224, 255),
        ),
        "vgg11_quarter": Card(
            **_VGG_PAPER,
            label="VGG-11, un cuarto",
            idea="La VGG-11 con la cuarta parte de los canales, para imágenes sencillas.",
            parameters=43_093_322,
            macs=512_155_648,
            input_shape=(1, 224, 224),
            num_classes=10,
            build=partial(VGG, VGG11_QUARTER),
            inherits=("vgg11",),
            deviations=(
                "no está en el artículo: es la del libro Dive into Deep Learning",
                "canales 16-32-64-128-128 en lugar de 64-128-256-512-512, con las mismas densas",
                "un canal de entrada y diez clases",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(224, 255),
        ),
        "vgg13": Card(
            **_VGG_PAPER,
            label="VGG-13",
            idea="La VGG de 13 capas con pesos.",
            parameters=133_047_848,
            macs=11_308_466_176,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG13),
            inherits=("alexnet",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(224, 255),
        ),
        "vgg16": Card(
            **_VGG_PAPER,
            label="VGG-16",
            idea=(
                "Un solo ladrillo, la convolución de 3×3, repetido en bloques: más "
                "hondo con lo mismo."
            ),
            parameters=138_357_544,
            macs=15_470_264_320,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG16),
            top5_error=7.325,
            inherits=("alexnet",),
            gave=("bloques repetidos", "familias de redes", "pilas de convoluciones de 3×3"),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(224, 255),
        ),
        "vgg19": Card(
            **_VGG_PAPER,
            label="VGG-19",
            idea="La VGG de 19 capas con pesos.",
            parameters=143_667_240,
            macs=19_632_062_464,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG19),
            inherits=("alexnet",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(224, 255),
        ),
        "vgg11_bn": Card(
            **_VGG_PAPER,
            label="VGG-11 con BN",
            idea="La VGG-11 con normalización por lotes, como la distribuye torchvision.",
            parameters=132_868_840,
            macs=7_609_090_048,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG11, batch_norm=True),
            inherits=("vgg11",),
            deviations=(
                "normalización por lotes, que es de 2015, después de cada convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(224, 255),
        ),
        "vgg13_bn": Card(
            **_VGG_PAPER,
            label="VGG-13 con BN",
            idea="La VGG-13 con normalización por lotes, como la distribuye torchvision.",
            parameters=133_053_736,
            macs=11_308_466_176,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG13, batch_norm=True),
            inherits=("vgg13",),
            deviations=(
                "normalización por lotes, que es de 2015, después de cada convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(224, 255),
        ),
        "vgg16_bn": Card(
            **_VGG_PAPER,
            label="VGG-16 con BN",
            idea="La VGG-16 con normalización por lotes, como la distribuye torchvision.",
            parameters=138_365_992,
            macs=15_470_264_320,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG16, batch_norm=True),
            inherits=("vgg16",),
            deviations=(
                "normalización por lotes, que es de 2015, después de cada convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(224, 255),
        ),
        "vgg19_bn": Card(
            **_VGG_PAPER,
            label="VGG-19 con BN",
            idea="La VGG-19 con normalización por lotes, como la distribuye torchvision.",
            parameters=143_678_248,
            macs=19_632_062_464,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(VGG, VGG19, batch_norm=True),
            inherits=("vgg19",),
            deviations=(
                "normalización por lotes, que es de 2015, después de cada convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(224, 255),
        ),
        "vgg_face": Card(
            year=2015,
            authors="Omkar M. Parkhi, Andrea Vedaldi y Andrew Zisserman",
            title="Deep Face Recognition",
            url="https://doi.org/10.5244/C.29.41",
            page="arquitecturas/vgg.py",
            label="VGG-Face",
            idea=(
                "La VGG-16 que reconoce a 2622 personas; su penúltima capa describe"
                " cualquier rostro."
            ),
            parameters=145_002_878,
            macs=15_476_908_032,
            input_shape=(3, 224, 224),
            num_classes=2622,
            build=partial(VGG, VGG16),
            inherits=("vgg16",),
            gave=("descriptores de rostros",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(224, 255),
        ),
        "vgg_mini": Card(
            **_VGG_PAPER,
            label="VGG mini",
            idea="VGG a escala de 28×28.",
            parameters=163_450,
            macs=7_429_632,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=VGGMini,
            inherits=("vgg16",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "tres bloques de dos convoluciones en lugar de cinco",
                "canales 16-32-64 en lugar de 64-128-256-512-512",
                "capas densas de 128, con dropout de 0.2, en lugar de 4096 y 0.5",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(24, 31),
            lr=0.03,
        ),
        "googlenet": Card(
            **_GOOGLENET_PAPER,
            label="GoogLeNet",
            idea=(
                "Varios tamaños de filtro a la vez, con convoluciones de 1×1 que "
                "abaratan cada rama."
            ),
            parameters=6_998_552,
            macs=1_582_671_872,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=GoogLeNet,
            top5_error=6.656,
            inherits=("nin", "alexnet"),
            gave=("ramas en paralelo", "cuellos de botella de 1×1"),
            deviations=(
                "sin las cabezas auxiliares, que solo sirven al entrenar: están en googlenet_aux",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(31, None),
        ),
        "googlenet_aux": Card(
            **_GOOGLENET_PAPER,
            label="GoogLeNet con auxiliares",
            idea="GoogLeNet con las dos cabezas auxiliares que el artículo usa al entrenar.",
            parameters=13_378_280,
            macs=1_582_671_872,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(GoogLeNet, auxiliary=True),
            inherits=("googlenet",),
            gave=("clasificadores auxiliares",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(31, None),
        ),
        "googlenet_bn": Card(
            **_GOOGLENET_PAPER,
            label="GoogLeNet de torchvision",
            idea="La GoogLeNet que todos descargan: con normalización por lotes y sin el 5×5.",
            parameters=6_624_904,
            macs=1_498_376_192,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(GoogLeNet, torchvision=True),
            inherits=("googlenet",),
            deviations=(
                "normalización por lotes en lugar de normalización de respuesta local",
                "3×3 donde el artículo dice 5×5, por un error que torchvision conservó",
                "último pooling de 2×2 en lugar de 3×3",
                "sin las cabezas auxiliares: están en googlenet_bn_aux",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(15, None),
        ),
        "googlenet_bn_aux": Card(
            **_GOOGLENET_PAPER,
            label="GoogLeNet de torchvision con auxiliares",
            idea="La GoogLeNet de torchvision con sus dos cabezas auxiliares.",
            parameters=13_004_888,
            macs=1_498_376_192,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(GoogLeNet, auxiliary=True, torchvision=True),
            inherits=("googlenet_bn",),
            deviations=(
                "normalización por lotes en lugar de normalización de respuesta local",
                "3×3 donde el artículo dice 5×5, por un error que torchvision conservó",
                "último pooling de 2×2 en lugar de 3×3",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(15, None),
        ),
        "googlenet_mini": Card(
            **_GOOGLENET_PAPER,
            label="GoogLeNet mini",
            idea="GoogLeNet a escala de 28×28.",
            parameters=221_822,
            macs=5_173_056,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=GoogLeNetMini,
            inherits=("googlenet",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "conv1 de 5×5 con paso 1 en lugar de 7×7 con paso 2",
                "la segunda LRN después del pooling y no antes, que cuesta la cuarta parte",
                "cuatro bloques Inception en lugar de nueve, y más angostos",
                "sin cabezas auxiliares, y con dropout de 0.2 en lugar de 0.4",
                "nace con la inicialización de He, no con la del artículo",
            ),
            sides=(8, None),
            lr=0.02,
        ),
        "allcnn_a": Card(
            **_ALLCNN_PAPER,
            label="All-CNN-A",
            idea="La hermana A: filtros de 5×5, sin convoluciones de 1×1 intermedias.",
            parameters=1_254_250,
            macs=181_145_088,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(AllCNN, ALLCNN_A),
            inherits=("nin",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(9, None),
        ),
        "allcnn_b": Card(
            **_ALLCNN_PAPER,
            label="All-CNN-B",
            idea="La hermana B: filtros de 5×5 seguidos de 1×1, como en NiN.",
            parameters=1_300_618,
            macs=200_019_456,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(AllCNN, ALLCNN_B),
            inherits=("nin",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(9, None),
        ),
        "allcnn_c": Card(
            **_ALLCNN_PAPER,
            label="All-CNN-C",
            idea=(
                "Todo convoluciones: una de paso 2 en lugar de cada pooling y ninguna capa densa."
            ),
            parameters=1_369_738,
            macs=270_798_336,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(AllCNN, ALLCNN_C),
            inherits=("nin",),
            gave=("reducir con paso en lugar de pooling",),
            deviations=("nace con la inicialización de He, no con la del artículo",),
            sides=(9, None),
        ),
        "allcnn_mini": Card(
            **_ALLCNN_PAPER,
            label="All-CNN mini",
            idea="All-CNN-C a escala de 28×28.",
            parameters=38_570,
            macs=5_795_904,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=AllCNNMini,
            inherits=("allcnn_c",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "un sexto de los canales y un décimo del dropout, que con tan pocos apagaba de más",
                "sin ReLU después de la última convolución",
                "nace con la inicialización de He, no con la del artículo",
            ),
            lr=0.015,
            sides=(9, None),
        ),
        "lenet5_bn": Card(
            **_BATCHNORM_PAPER,
            label="LeNet-5 con BN",
            idea=(
                "Normalizar cada canal con la media y la varianza de su lote: se "
                "entrena más rápido y con tasas mayores."
            ),
            parameters=62_158,
            macs=416_520,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=LeNet5BN,
            inherits=("lenet5_modern",),
            gave=("normalización por lotes",),
            deviations=(
                (
                    "el artículo la prueba en una red de su laboratorio y en Inception;"
                    " aquí, en la LeNet-5 moderna"
                ),
            ),
            sides=(28, 31),
        ),
        "plain18": Card(
            **_RESNET_PAPER,
            label="Red plana de 18 capas",
            idea="La ResNet-18 sin atajos: el punto de comparación.",
            parameters=11_515_688,
            macs=1_794_805_760,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, PlainBlock, RESNET18),
            inherits=("vgg19",),
        ),
        "plain34": Card(
            **_RESNET_PAPER,
            label="Red plana de 34 capas",
            idea="La ResNet-34 sin atajos: la que, más honda, aprende peor.",
            parameters=21_623_848,
            macs=3_644_493_824,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, PlainBlock, RESNET34),
            inherits=("vgg19",),
        ),
        "resnet18": Card(
            **_RESNET_PAPER,
            label="ResNet-18",
            idea="La ResNet de 18 capas.",
            parameters=11_689_512,
            macs=1_814_073_344,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, ResidualBlock, RESNET18),
            inherits=("plain18",),
        ),
        "resnet34": Card(
            **_RESNET_PAPER,
            label="ResNet-34",
            idea="La ResNet de 34 capas.",
            parameters=21_797_672,
            macs=3_663_761_408,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, ResidualBlock, RESNET34),
            inherits=("plain34",),
        ),
        "resnet50": Card(
            **_RESNET_PAPER,
            label="ResNet-50",
            idea="Que cada bloque aprenda lo que falta y deje pasar lo demás: F(x) + x.",
            parameters=25_557_032,
            macs=4_089_184_256,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, Bottleneck, RESNET50),
            inherits=("resnet34", "lenet5_bn"),
            gave=("el atajo", "redes de más de cien capas"),
            deviations=(
                "el paso va en la 3×3 y no en la primera 1×1 (la variante v1.5, de torchvision)",
            ),
        ),
        "resnet101": Card(
            **_RESNET_PAPER,
            label="ResNet-101",
            idea="La ResNet de 101 capas.",
            parameters=44_549_160,
            macs=7_801_405_440,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, Bottleneck, RESNET101),
            inherits=("resnet34", "lenet5_bn"),
            deviations=(
                "el paso va en la 3×3 y no en la primera 1×1 (la variante v1.5, de torchvision)",
            ),
        ),
        "resnet152": Card(
            **_RESNET_PAPER,
            label="ResNet-152",
            idea="La ResNet de 152 capas.",
            parameters=60_192_808,
            macs=11_513_626_624,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, Bottleneck, RESNET152),
            top5_error=3.567,
            inherits=("resnet34", "lenet5_bn"),
            deviations=(
                "el paso va en la 3×3 y no en la primera 1×1 (la variante v1.5, de torchvision)",
            ),
        ),
        "resnet20": Card(
            **_RESNET_PAPER,
            label="ResNet-20 de CIFAR-10",
            idea="La ResNet de 20 capas para imágenes de 32×32, con atajos sin parámetros.",
            parameters=269_722,
            macs=40_551_040,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(CifarResNet, 3),
            inherits=("resnet34",),
        ),
        "resnet56": Card(
            **_RESNET_PAPER,
            label="ResNet-56 de CIFAR-10",
            idea="La ResNet de 56 capas para imágenes de 32×32, con atajos sin parámetros.",
            parameters=853_018,
            macs=125_485_696,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(CifarResNet, 9),
            inherits=("resnet34",),
        ),
        "resnet110": Card(
            **_RESNET_PAPER,
            label="ResNet-110 de CIFAR-10",
            idea="La ResNet de 110 capas para imágenes de 32×32, con atajos sin parámetros.",
            parameters=1_727_962,
            macs=252_887_680,
            input_shape=(3, 32, 32),
            num_classes=10,
            build=partial(CifarResNet, 18),
            inherits=("resnet34",),
        ),
        "resnet_mini": Card(
            **_RESNET_PAPER,
            label="ResNet mini",
            idea="La ResNet de CIFAR-10 a escala de 28×28, con dos bloques por etapa.",
            parameters=172_218,
            macs=5_480_128,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=ResNetMini,
            inherits=("resnet20",),
            lr=0.1,
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "la primera convolución lleva paso 2, y los bloques trabajan en 14×14, 7×7 y 4×4",
                "dos bloques por etapa, catorce capas, en lugar de tres o más",
            ),
        ),
        "resnext50_32x4d": Card(
            **_RESNEXT_PAPER,
            label="ResNeXt-50 32×4d",
            idea="Además de más honda y más ancha, con más ramas: la cardinalidad.",
            parameters=25_028_904,
            macs=4_230_479_872,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, ResNeXtBlock, RESNET50),
            inherits=("resnet50", "googlenet"),
            gave=("cardinalidad", "convoluciones en grupos en todas partes"),
        ),
        "resnext101_32x8d": Card(
            **_RESNEXT_PAPER,
            label="ResNeXt-101 32×8d",
            idea="La ResNeXt de 101 capas con 32 caminos de 8 canales.",
            parameters=88_791_336,
            macs=16_414_015_488,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(ResNet, partial(ResNeXtBlock, bottleneck_width=8), RESNET101),
            inherits=("resnext50_32x4d",),
            deviations=("no está en el artículo, que usa 64×4d: es la que distribuye torchvision",),
        ),
        "resnext_mini": Card(
            **_RESNEXT_PAPER,
            label="ResNeXt mini",
            idea="ResNeXt a escala de 28×28, con ocho caminos.",
            parameters=61_162,
            macs=5_175_680,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=ResNeXtMini,
            inherits=("resnext50_32x4d", "resnet_mini"),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "tronco de una 3×3 con paso 2 en lugar de 7×7 y pooling",
                "dos etapas de dos bloques, de 64 y 128 canales, en lugar de cuatro de 256 a 2048",
                "cardinalidad 8 en lugar de 32",
            ),
            lr=0.1,
        ),
        "densenet121": Card(
            **_DENSENET_PAPER,
            label="DenseNet-121",
            idea=(
                "Cada capa recibe lo que hicieron todas las anteriores: concatenar "
                "en lugar de sumar."
            ),
            parameters=7_978_856,
            macs=2_834_161_664,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(DenseNet, (6, 12, 24, 16), 32),
            inherits=("resnet50",),
            gave=("reutilizar características",),
            sides=(29, None),
        ),
        "densenet161": Card(
            **_DENSENET_PAPER,
            label="DenseNet-161",
            idea="La DenseNet de 161 capas, con crecimiento 48.",
            parameters=28_681_000,
            macs=7_727_907_072,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(DenseNet, (6, 12, 36, 24), 48),
            inherits=("densenet121",),
            sides=(29, None),
        ),
        "densenet169": Card(
            **_DENSENET_PAPER,
            label="DenseNet-169",
            idea="La DenseNet de 169 capas.",
            parameters=14_149_480,
            macs=3_359_843_328,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(DenseNet, (6, 12, 32, 32), 32),
            inherits=("densenet121",),
            sides=(29, None),
        ),
        "densenet201": Card(
            **_DENSENET_PAPER,
            label="DenseNet-201",
            idea="La DenseNet de 201 capas.",
            parameters=20_013_928,
            macs=4_291_365_888,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(DenseNet, (6, 12, 48, 32), 32),
            inherits=("densenet121",),
            sides=(29, None),
        ),
        "densenet_mini": Card(
            **_DENSENET_PAPER,
            label="DenseNet mini",
            idea="DenseNet a escala de 28×28.",
            parameters=100_066,
            macs=4_855_032,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=DenseNetMini,
            inherits=("densenet121",),
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "tronco de una 3×3 con paso 2 en lugar de 7×7 y pooling",
                "tres bloques de dos, cuatro y seis capas en lugar de cuatro de seis a 24",
                "crecimiento 12 en lugar de 32",
            ),
            sides=(7, None),
            lr=0.1,
        ),
        "seresnet50": Card(
            **_SENET_PAPER,
            label="SE-ResNet-50",
            idea=(
                "Una compuerta por canal: que la red decida, imagen por imagen, a "
                "cuáles hacer caso."
            ),
            parameters=28_088_024,
            macs=3_860_488_192,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(SEResNet, SEBottleneck, RESNET50),
            inherits=("resnet50",),
            gave=("atención por canales",),
            sides=(3, None),
        ),
        "seresnext50_32x4d": Card(
            **_SENET_PAPER,
            label="SE-ResNeXt-50 32×4d",
            idea="La ResNeXt-50 con una compuerta en cada bloque.",
            parameters=27_559_896,
            macs=4_232_994_816,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=partial(SEResNet, SEResNeXtBlock, RESNET50),
            inherits=("resnext50_32x4d", "seresnet50"),
            sides=(3, None),
        ),
        "senet154": Card(
            **_SENET_PAPER,
            label="SENet-154",
            idea=(
                "La que ganó el último desafío: ResNeXt de 152 capas, con tronco de"
                " tres 3×3 y compuertas."
            ),
            parameters=115_088_984,
            macs=20_688_363_520,
            input_shape=(3, 224, 224),
            num_classes=1000,
            build=SENet154,
            top5_error=2.251,
            inherits=("resnext101_32x8d", "seresnet50"),
            sides=(3, None),
        ),
        "senet_mini": Card(
            **_SENET_PAPER,
            label="SENet mini",
            idea="La ResNet mini con una compuerta en cada bloque.",
            parameters=177_874,
            macs=5_485_504,
            input_shape=(1, 28, 28),
            num_classes=10,
            build=SENetMini,
            inherits=("senet154", "resnet_mini"),
            lr=0.1,
            deviations=(
                "entrada de 28×28×1 y diez clases",
                "bloques básicos de la ResNet de CIFAR-10, con el tronco de la ResNet mini",
                "reducción 4 en lugar de 16",
            ),
        ),
    }
)
"""Nombre → ficha, en orden histórico."""


def names() -> list[str]:
    """Los nombres del catálogo, en orden histórico."""
    return list(CATALOG)


def find(name: str) -> Card:
    """La ficha de una red.

    Args:
        name: Nombre en `CATALOG`.

    Returns:
        La ficha.

    Raises:
        ValueError: Si el nombre no existe; el mensaje sugiere los más parecidos.
    """
    if name not in CATALOG:
        near = difflib.get_close_matches(name, CATALOG, n=3, cutoff=0.4)
        hint = f"¿quisiste decir {' o '.join(near)}?" if near else f"hay: {', '.join(CATALOG)}"
        raise ValueError(f"la red «{name}» no está en el catálogo; {hint}")
    return CATALOG[name]


def create(
    name: str,
    *,
    num_classes: int | None = None,
    in_channels: int | None = None,
    weights: str | None = None,
) -> nn.Module:
    """Construye una red del catálogo, con pesos al azar o los oficiales de ImageNet.

    Args:
        name: Nombre en `CATALOG`.
        num_classes: Clases de la salida; por omisión, las de la ficha.
        in_channels: Canales de la imagen; por omisión, los de la ficha.
        weights: ``"imagenet"`` descarga los pesos oficiales, si la red los tiene.

    Returns:
        La red, en modo de entrenamiento y en la CPU (o donde diga `torch.device` como contexto).

    Raises:
        ValueError: Si el nombre no existe o alguna cantidad no es un entero positivo; y después,
            al llamar a la red, si no le llegan imágenes ``(N, C, H, W)`` de las que admite.
        TypeError: Al llamar a la red, si lo que llega no es un tensor de flotantes.
    """
    card = find(name)
    num_classes = card.num_classes if num_classes is None else num_classes
    in_channels = card.input_shape[0] if in_channels is None else in_channels
    for label, value in (("num_classes", num_classes), ("in_channels", in_channels)):
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{label} debe ser un entero positivo; llegó {value!r}")
    if weights not in (None, "imagenet"):
        raise ValueError(f'los pesos pueden ser None o "imagenet"; llegó {weights!r}')
    model = card.build(num_classes=num_classes, in_channels=in_channels)
    if weights:
        if num_classes != 1000 or in_channels != 3:
            raise ValueError(
                "los pesos de ImageNet son de 1000 clases y 3 canales: créala así y cambia después "
                "su última capa"
            )
        # Aquí y no arriba: la traducción de pesos necesita este catálogo.
        from cnnhistory.weights import download

        model.load_state_dict(download(name))
    model.register_forward_pre_hook(partial(_check_images, name, in_channels, card.sides))
    return model


def _check_images(
    name: str, channels: int, sides: tuple[int, int | None], model: nn.Module, inputs: tuple
) -> None:
    """La puerta de una red: lo que no son imágenes suyas se rechaza antes de la primera capa."""
    expected = f"{name} recibe imágenes (N, {channels}, H, W)"
    images = inputs[0] if inputs else None
    if not isinstance(images, Tensor):
        raise TypeError(f"{expected}, en un tensor; llegó {type(images).__name__}")
    shape = tuple(images.shape)
    if len(shape) == 3:
        raise ValueError(f"{expected}; llegó {shape}: si es una sola imagen, usa image[None]")
    if len(shape) != 4:
        raise ValueError(f"{expected}; llegó {shape}")
    if not images.is_floating_point():
        raise TypeError(
            f"{expected} en coma flotante; llegaron de {images.dtype}: divídelas entre 255 y "
            "normalízalas, como hace cnnhistory.data.normalization"
        )
    if shape[1] != channels:
        raise ValueError(
            f"{expected}; llegó {shape}: para imágenes de {shape[1]} canales, créala con "
            f'create("{name}", in_channels={shape[1]})'
        )
    least, most = sides
    if min(shape[2:]) < least or (most and max(shape[2:]) > most):
        limits = f"de {least} a {most}" if most else f"de al menos {least}"
        limits = f"de {least}" if least == most else limits
        raise ValueError(
            f"{expected} con lados {limits} píxeles; llegó {shape}: cámbiales el tamaño antes, "
            "por ejemplo con torchvision.transforms.v2.Resize"
        )
