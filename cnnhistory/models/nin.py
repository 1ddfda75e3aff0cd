"""Network in Network (2013): una red densa en cada píxel y ninguna al final.

M. Lin, Q. Chen y S. Yan, «Network In Network», ICLR 2014. https://arxiv.org/abs/1312.4400

Dos ideas que siguen en todas partes: la convolución de 1×1, que es una capa densa aplicada en
cada posición, y el promedio global (*global average pooling*) en lugar de las capas densas.
"""

from torch import nn

from cnnhistory.models.initialization import he_normal

__all__ = ["NiN", "NiNBlock", "NiNImageNet", "NiNMini"]


class NiNBlock(nn.Sequential):
    """Una convolución seguida de dos densas por píxel, es decir, de dos convoluciones de 1×1.

    ``(N, in_channels, H, W)`` → ``(N, channels[-1], H', W')``.

    Args:
        in_channels: Canales de la entrada.
        channels: Canales que salen de la convolución y de cada una de las dos densas.
        kernel_size: Lado del filtro de la convolución; el relleno conserva el tamaño.
        stride: Paso de la convolución; si no es 1, va sin relleno.
    """

    def __init__(
        self, in_channels: int, channels: tuple[int, int, int], kernel_size: int, stride: int = 1
    ) -> None:
        spatial, hidden, out = channels
        padding = kernel_size // 2 if stride == 1 else 0
        super().__init__(
            nn.Conv2d(in_channels, spatial, kernel_size, stride, padding),
            nn.ReLU(),
            nn.Conv2d(spatial, hidden, kernel_size=1),
            nn.ReLU(),
            nn.Conv2d(hidden, out, kernel_size=1),
            nn.ReLU(),
        )


class NiN(nn.Sequential):
    """La NiN de CIFAR-10, la del artículo: 966 986 parámetros.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__(
            NiNBlock(in_channels, (192, 160, 96), kernel_size=5),  # (N, 96, 32, 32)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 96, 16, 16)
            nn.Dropout(0.5),
            NiNBlock(96, (192, 192, 192), kernel_size=5),  # (N, 192, 16, 16)
            nn.AvgPool2d(3, stride=2, ceil_mode=True),  # (N, 192, 8, 8)
            nn.Dropout(0.5),
            NiNBlock(192, (192, 192, num_classes), kernel_size=3),  # (N, num_classes, 8, 8)
            nn.AdaptiveAvgPool2d(1),  # un promedio por clase, y nada más
            nn.Flatten(),
        )
        he_normal(self)


class NiNImageNet(nn.Sequential):
    """La NiN de ImageNet: 7 595 176 parámetros.

    Nota histórica: no está en el artículo; es la que sus autores publicaron en el Caffe Model Zoo.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__(
            NiNBlock(in_channels, (96, 96, 96), kernel_size=11, stride=4),  # (N, 96, 54, 54)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 96, 27, 27)
            NiNBlock(96, (256, 256, 256), kernel_size=5),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 256, 13, 13)
            NiNBlock(256, (384, 384, 384), kernel_size=3),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 384, 6, 6)
            nn.Dropout(0.5),
            NiNBlock(384, (1024, 1024, num_classes), kernel_size=3),  # (N, num_classes, 6, 6)
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        he_normal(self)


class NiNMini(nn.Sequential):
    """NiN a escala de 28×28: tres bloques y el promedio global.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(
            NiNBlock(in_channels, (24, 16, 16), kernel_size=5),  # (N, 16, 28, 28)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 16, 14, 14)
            nn.Dropout(0.2),
            NiNBlock(16, (48, 48, 48), kernel_size=5),
            nn.AvgPool2d(3, stride=2, ceil_mode=True),  # (N, 48, 7, 7)
            nn.Dropout(0.2),
            # Sin la última ReLU: en una red tan chica apaga clases enteras.
            *list(NiNBlock(48, (96, 96, num_classes), kernel_size=3))[:-1],
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        he_normal(self)
