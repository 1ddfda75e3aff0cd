"""GoogLeNet (2014): probar varios tamaños de filtro a la vez y dejar que la red elija.

C. Szegedy, W. Liu, Y. Jia, P. Sermanet, S. Reed, D. Anguelov, D. Erhan, V. Vanhoucke y
A. Rabinovich, «Going Deeper with Convolutions», CVPR 2015. https://arxiv.org/abs/1409.4842

Cada bloque Inception tiene cuatro ramas en paralelo; las convoluciones de 1×1 que las preceden
reducen canales y hacen que la cuenta salga barata.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from cnnhistory.models.alexnet import LocalResponseNorm
from cnnhistory.models.initialization import he_normal

__all__ = ["INCEPTION", "AuxiliaryHead", "GoogLeNet", "GoogLeNetMini", "Inception"]
__all__ += ["conv_bn_relu", "conv_relu"]

Convolution = Callable[..., nn.Module]

# La tabla 1 del artículo: 1×1; reducción y 3×3; reducción y 5×5; proyección tras el pooling.
INCEPTION = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
"""Canales de cada bloque Inception, por su nombre en el artículo."""


def conv_relu(in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolución con sesgo y ReLU, como en el artículo; el relleno conserva el tamaño.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        size: Lado del filtro.
        stride: Paso.

    Returns:
        ``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``.
    """
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, size, stride, size // 2), nn.ReLU())


def conv_bn_relu(in_channels: int, out_channels: int, size: int, stride: int = 1) -> nn.Sequential:
    """Convolución sin sesgo, normalización por lotes y ReLU, como en torchvision.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        size: Lado del filtro.
        stride: Paso.

    Returns:
        ``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(out_channels, eps=0.001),
        nn.ReLU(),
    )


class Inception(nn.Module):
    """Cuatro ramas en paralelo, concatenadas por canales.

    Args:
        in_channels: Canales de la entrada.
        widths: Canales de la rama 1×1, de la 3×3 (reducción, salida), de la 5×5 (reducción,
            salida) y de la proyección que sigue al pooling.
        conv: Qué es «una convolución»: `conv_relu` o `conv_bn_relu`.
        large: Lado del filtro de la tercera rama.
    """

    def __init__(
        self,
        in_channels: int,
        widths: tuple[int, tuple[int, int], tuple[int, int], int],
        conv: Convolution = conv_relu,
        large: int = 5,
    ) -> None:
        super().__init__()
        one, (reduce3, three), (reduce5, five), projection = widths
        self.branch1 = conv(in_channels, one, 1)
        self.branch2 = nn.Sequential(conv(in_channels, reduce3, 1), conv(reduce3, three, 3))
        self.branch3 = nn.Sequential(conv(in_channels, reduce5, 1), conv(reduce5, five, large))
        self.branch4 = nn.Sequential(
            nn.MaxPool2d(3, stride=1, padding=1), conv(in_channels, projection, 1)
        )
        self.out_channels = one + three + five + projection

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H, W)``."""
        branches = (self.branch1, self.branch2, self.branch3, self.branch4)
        return torch.cat([branch(x) for branch in branches], dim=1)


class AuxiliaryHead(nn.Module):
    """Clasificador auxiliar: acerca el gradiente al centro de la red mientras se entrena.

    Args:
        in_channels: Canales de la entrada, de 14×14.
        num_classes: Clases.
        conv: Qué es «una convolución».
        pool: Resumen que deja la entrada en 4×4.
    """

    def __init__(
        self, in_channels: int, num_classes: int, conv: Convolution, pool: nn.Module
    ) -> None:
        super().__init__()
        self.pool = pool
        self.conv = conv(in_channels, 128, 1)
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 2048)
            nn.Linear(128 * 4 * 4, 1024),
            nn.ReLU(),
            nn.Dropout(0.7),
            nn.Linear(1024, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 14, 14)`` → ``(N, num_classes)``."""
        return self.classifier(self.conv(self.pool(x)))


class GoogLeNet(nn.Module):
    """La GoogLeNet del artículo: 6 998 552 parámetros, 13 378 280 con sus cabezas auxiliares.

    Nota histórica: la de torchvision cambia LRN por normalización por lotes y, por un error que
    se quedó (https://github.com/pytorch/vision/issues/906), el 5×5 por un 3×3.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
        auxiliary: Si tiene cabezas auxiliares. Con ellas, y solo en modo de entrenamiento,
            devuelve tres salidas: la principal, la de 4a y la de 4d.
        torchvision: Si es la variante de torchvision: 6 624 904 parámetros sin cabezas.
    """

    def __init__(
        self,
        num_classes: int = 1000,
        in_channels: int = 3,
        auxiliary: bool = False,
        torchvision: bool = False,
    ) -> None:
        super().__init__()
        conv, large = (conv_bn_relu, 3) if torchvision else (conv_relu, 5)

        def norm() -> nn.Module:
            return nn.Identity() if torchvision else LocalResponseNorm()

        def inception(channels: int, name: str) -> Inception:
            return Inception(channels, INCEPTION[name], conv, large)

        self.stem = nn.Sequential(
            conv(in_channels, 64, 7, stride=2),  # (N, 64, 112, 112)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 64, 56, 56)
            norm(),
            conv(64, 64, 1),
            conv(64, 192, 3),  # (N, 192, 56, 56)
            norm(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 192, 28, 28)
        )
        self.stage3 = nn.Sequential(
            inception(192, "3a"),
            inception(256, "3b"),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 480, 14, 14)
        )
        self.stage4a = inception(480, "4a")  # (N, 512, 14, 14)
        self.stage4bcd = nn.Sequential(
            inception(512, "4b"), inception(512, "4c"), inception(512, "4d")
        )  # (N, 528, 14, 14)
        self.stage4e = nn.Sequential(
            inception(528, "4e"),
            nn.MaxPool2d(2 if torchvision else 3, stride=2, ceil_mode=True),  # (N, 832, 7, 7)
        )
        self.stage5 = nn.Sequential(inception(832, "5a"), inception(832, "5b"))  # (N, 1024, 7, 7)
        self.auxiliary = nn.ModuleList()
        for channels in (512, 528) if auxiliary else ():
            pool = nn.AdaptiveAvgPool2d(4) if torchvision else nn.AvgPool2d(5, stride=3)
            self.auxiliary.append(AuxiliaryHead(channels, num_classes, conv, pool))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Dropout(0.4),
            nn.Linear(1024, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``, o tres si hay auxiliares."""
        early = self.stage4a(self.stage3(self.stem(x)))
        late = self.stage4bcd(early)
        logits = self.head(self.stage5(self.stage4e(late)))
        if self.training and self.auxiliary:
            return logits, self.auxiliary[0](early), self.auxiliary[1](late)
        return logits


class GoogLeNetMini(nn.Module):
    """GoogLeNet a escala de 28×28: tronco corto y cuatro bloques Inception.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_relu(in_channels, 16, 5),  # (N, 16, 28, 28)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 16, 14, 14)
            LocalResponseNorm(),
            conv_relu(16, 16, 1),
            conv_relu(16, 48, 3),  # (N, 48, 14, 14)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 48, 7, 7)
            LocalResponseNorm(),
        )
        self.stage3 = nn.Sequential(
            Inception(48, (16, (24, 32), (8, 16), 16)),  # (N, 80, 7, 7)
            Inception(80, (24, (32, 48), (8, 24), 24)),  # (N, 120, 7, 7)
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 120, 3, 3)
        )
        self.stage4 = nn.Sequential(
            Inception(120, (48, (48, 96), (12, 32), 32)),  # (N, 208, 3, 3)
            Inception(208, (64, (56, 112), (16, 32), 32)),  # (N, 240, 3, 3)
        )
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(240, num_classes)
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.head(self.stage4(self.stage3(self.stem(x))))
