"""ZFNet (2013): mirar qué aprendió AlexNet, encontrar el defecto y corregirlo.

M. D. Zeiler y R. Fergus, «Visualizing and Understanding Convolutional Networks», ECCV 2014.
https://arxiv.org/abs/1311.2901

Es AlexNet en una sola torre con dos cambios que salieron de mirarla por dentro: la primera
convolución pasa de 11×11 con paso 4 a 7×7 con paso 2, y la segunda, de paso 1 a paso 2.
"""

from torch import Tensor, nn

from cnnhistory.models.alexnet import LocalResponseNorm
from cnnhistory.models.initialization import he_normal

__all__ = ["ZFNet", "ZFNetMini"]


class ZFNet(nn.Module):
    """La ZFNet de la figura 3 del artículo: 62 357 608 parámetros con mil clases.

    Nota histórica: el artículo no describe su «normalización de contraste local» en la red de la
    figura 3; aquí es la normalización de respuesta local de AlexNet, como en su código.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=7, stride=2, padding=1),  # (N, 96, 110, 110)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 96, 55, 55)
            LocalResponseNorm(),
            nn.Conv2d(96, 256, kernel_size=5, stride=2),  # (N, 256, 26, 26)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 256, 13, 13)
            LocalResponseNorm(),
            nn.Conv2d(256, 384, kernel_size=3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),  # (N, 256, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 9216)
            nn.Dropout(0.5),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(4096, 4096),
            nn.ReLU(),
            nn.Linear(4096, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))


class ZFNetMini(nn.Module):
    """ZFNet a escala de 28×28: primera convolución pequeña y de paso corto, una sola torre.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, kernel_size=3, padding=1),  # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 32, 14, 14)
            LocalResponseNorm(),
            nn.Conv2d(32, 64, kernel_size=5, stride=2, padding=2),  # (N, 64, 7, 7)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, 4, 4)
            LocalResponseNorm(),
            nn.Conv2d(64, 96, kernel_size=3, padding=1),  # (N, 96, 4, 4)
            nn.ReLU(),
            nn.Conv2d(96, 96, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(96, 64, kernel_size=3, padding=1),  # (N, 64, 4, 4)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, 2, 2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 256)
            nn.Dropout(0.2),
            nn.Linear(64 * 2 * 2, 128),
            nn.ReLU(),
            nn.Dropout(0.2),
            nn.Linear(128, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))
