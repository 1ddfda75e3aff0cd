"""VGG (2014): un solo ladrillo, la convolución de 3×3, repetido hasta dieciséis veces.

K. Simonyan y A. Zisserman, «Very Deep Convolutional Networks for Large-Scale Image Recognition»,
ICLR 2015. https://arxiv.org/abs/1409.1556

VGG-Face es la VGG-16 entrenada con rostros: O. M. Parkhi, A. Vedaldi y A. Zisserman, «Deep Face
Recognition», BMVC 2015. https://doi.org/10.5244/C.29.41
"""

from torch import Tensor, nn

from cnnhistory.models.initialization import he_normal

__all__ = ["VGG", "VGG11", "VGG11_QUARTER", "VGG13", "VGG16", "VGG19", "VGGMini", "vgg_block"]

# La tabla 1 del artículo: convoluciones y canales de cada bloque.
VGG11 = ((1, 64), (1, 128), (2, 256), (2, 512), (2, 512))
"""Convoluciones y canales de los bloques de la VGG-11."""
VGG13 = ((2, 64), (2, 128), (2, 256), (2, 512), (2, 512))
"""Convoluciones y canales de los bloques de la VGG-13."""
VGG16 = ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512))
"""Convoluciones y canales de los bloques de la VGG-16."""
VGG19 = ((2, 64), (2, 128), (4, 256), (4, 512), (4, 512))
"""Convoluciones y canales de los bloques de la VGG-19."""
VGG11_QUARTER = tuple((num_convs, channels // 4) for num_convs, channels in VGG11)
"""La VGG-11 con la cuarta parte de los canales, la de «Dive into Deep Learning», capítulo 8.2."""


def vgg_block(
    num_convs: int, in_channels: int, out_channels: int, batch_norm: bool = False
) -> nn.Sequential:
    """Convoluciones de 3×3 que conservan el tamaño, y un pooling que lo parte a la mitad.

    Args:
        num_convs: Convoluciones.
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        batch_norm: Si cada convolución lleva normalización por lotes (posterior al artículo).

    Returns:
        El bloque, ``(N, in_channels, H, W)`` → ``(N, out_channels, H/2, W/2)``.
    """
    layers: list[nn.Module] = []
    for channels in (in_channels, *[out_channels] * (num_convs - 1)):
        layers.append(nn.Conv2d(channels, out_channels, kernel_size=3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(out_channels))
        layers.append(nn.ReLU())
    return nn.Sequential(*layers, nn.MaxPool2d(2))


class VGG(nn.Module):
    """La familia VGG: cinco bloques y tres densas.

    Args:
        blocks: Convoluciones y canales de cada bloque, como en la tabla 1 del artículo.
        num_classes: Clases.
        in_channels: Canales de la imagen.
        batch_norm: Si las convoluciones llevan normalización por lotes.
    """

    def __init__(
        self,
        blocks: tuple[tuple[int, int], ...] = VGG16,
        num_classes: int = 1000,
        in_channels: int = 3,
        batch_norm: bool = False,
    ) -> None:
        super().__init__()
        self.blocks = nn.Sequential()
        for num_convs, channels in blocks:
            self.blocks.append(vgg_block(num_convs, in_channels, channels, batch_norm))
            in_channels = channels  # (N, 512, 7, 7) tras el quinto bloque
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 25088)
            nn.Linear(in_channels * 7 * 7, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``."""
        return self.classifier(self.blocks(x))


class VGGMini(nn.Module):
    """VGG a escala de 28×28: tres bloques de dos convoluciones y dos densas ocultas.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.blocks = nn.Sequential(
            vgg_block(2, in_channels, 16),  # (N, 16, 14, 14)
            vgg_block(2, 16, 32),  # (N, 32, 7, 7)
            vgg_block(2, 32, 64),  # (N, 64, 3, 3)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 576)
            nn.Linear(64 * 3 * 3, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(self.blocks(x))
