"""DenseNet (2016): cada capa recibe lo que hicieron todas las anteriores.

G. Huang, Z. Liu, L. van der Maaten y K. Q. Weinberger, «Densely Connected Convolutional
Networks», CVPR 2017. https://arxiv.org/abs/1608.06993

Donde ResNet suma, DenseNet concatena: cada capa agrega ``growth_rate`` canales a un acervo común.
"""

import torch
from torch import Tensor, nn

from cnnhistory.models.initialization import he_normal

__all__ = ["DenseBlock", "DenseLayer", "DenseNet", "DenseNetMini", "Transition"]


class DenseLayer(nn.Module):
    """Normalización, ReLU y convolución, dos veces: 1×1 que reduce y 3×3 que agrega canales.

    Args:
        in_channels: Canales acumulados hasta aquí.
        growth_rate: Canales que agrega.
    """

    def __init__(self, in_channels: int, growth_rate: int) -> None:
        super().__init__()
        width = 4 * growth_rate
        self.layers = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, width, kernel_size=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, growth_rate, kernel_size=3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, in_channels + growth_rate, H, W)``."""
        return torch.cat([x, self.layers(x)], dim=1)


class DenseBlock(nn.Sequential):
    """Varias capas densas seguidas, todas del mismo tamaño.

    ``(N, in_channels, H, W)`` → ``(N, in_channels + depth·growth_rate, H, W)``.

    Args:
        depth: Capas.
        in_channels: Canales de la entrada.
        growth_rate: Canales que agrega cada capa.
    """

    def __init__(self, depth: int, in_channels: int, growth_rate: int) -> None:
        super().__init__(
            *[DenseLayer(in_channels + i * growth_rate, growth_rate) for i in range(depth)]
        )


class Transition(nn.Sequential):
    """Entre bloques: la mitad de los canales y la mitad del lado.

    ``(N, in_channels, H, W)`` → ``(N, in_channels/2, H/2, W/2)``.

    Args:
        in_channels: Canales de la entrada.
    """

    def __init__(self, in_channels: int) -> None:
        super().__init__(
            nn.BatchNorm2d(in_channels),
            nn.ReLU(),
            nn.Conv2d(in_channels, in_channels // 2, kernel_size=1, bias=False),
            nn.AvgPool2d(2),
        )


class DenseNet(nn.Module):
    """La familia DenseNet-BC de ImageNet, la tabla 1 del artículo.

    Args:
        depths: Capas de cada bloque.
        growth_rate: Canales que agrega cada capa.
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(
        self,
        depths: tuple[int, ...] = (6, 12, 24, 16),
        growth_rate: int = 32,
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        channels = 2 * growth_rate
        self.stem = nn.Sequential(
            nn.Conv2d(in_channels, channels, kernel_size=7, stride=2, padding=3, bias=False),
            nn.BatchNorm2d(channels),  # (N, 2k, 112, 112)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 2k, 56, 56)
        )
        self.stages = nn.Sequential()
        for index, depth in enumerate(depths):
            if index > 0:
                self.stages.append(Transition(channels))
                channels //= 2
            self.stages.append(DenseBlock(depth, channels, growth_rate))
            channels += depth * growth_rate  # (N, channels, 56/2^index, 56/2^index)
        self.head = nn.Sequential(
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(channels, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``."""
        return self.head(self.stages(self.stem(x)))


class DenseNetMini(DenseNet):
    """DenseNet-BC a escala de 28×28: tres bloques de 2, 4 y 6 capas, con crecimiento 12.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__((2, 4, 6), 12, num_classes, in_channels)
        # El tronco de ImageNet dejaría 7×7 antes del primer bloque; este deja 14×14.
        self.stem = nn.Conv2d(in_channels, 24, kernel_size=3, stride=2, padding=1, bias=False)
        he_normal(self)
