"""AlexNet (2012): la misma idea que LeNet, mil veces más grande, en dos tarjetas gráficas.

A. Krizhevsky, I. Sutskever y G. E. Hinton, «ImageNet Classification with Deep Convolutional
Neural Networks», NIPS 2012.
https://papers.nips.cc/paper/2012/hash/c399862d3b9d6b76c8436e924a68c45b-Abstract.html

Hay tres AlexNet en circulación. `AlexNet` es la del artículo: dos torres, que aquí son dos
grupos de canales; con ``groups=1`` es la misma en una sola torre. `AlexNetOWT` es la de
torchvision, que viene de un artículo posterior (Krizhevsky, «One weird trick for parallelizing
convolutional neural networks», 2014, https://arxiv.org/abs/1404.5997). `AlexNetMini` lleva la
idea a 28×28.
"""

# torch anota `bias` como opcional; en estas capas siempre existe.
# pyright: reportArgumentType=false

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.models.initialization import he_normal

__all__ = ["AlexNet", "AlexNetMini", "AlexNetOWT", "LocalResponseNorm"]


class LocalResponseNorm(nn.Module):
    """Normalización de respuesta local: cada canal compite con sus vecinos (sección 3.3).

    Divide entre (k + α·Σ a²)^β, con la suma sobre ``size`` canales vecinos en la misma posición.

    Nota histórica: Caffe y `torch.nn.LocalResponseNorm` dividen α entre ``size``; el artículo no.

    Args:
        size: Canales de la vecindad, impar.
    """

    def __init__(self, size: int = 5) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)``; devuelve la misma forma."""
        # Sumar canales vecinos es una convolución de 1×1 con unos en una banda de la diagonal.
        channel = torch.arange(x.shape[1], device=x.device)
        band = (channel[:, None] - channel).abs() <= self.size // 2
        energy = F.conv2d(x.square(), band.to(x.dtype)[:, :, None, None])
        root = (2 + 1e-4 * energy).rsqrt()
        return x * (root * root.sqrt())  # x / (…)^0.75, sin potencias, que son lentas


class AlexNet(nn.Module):
    """La AlexNet del artículo: 60 965 224 parámetros con mil clases.

    Cada tarjeta guardaba la mitad de los canales y solo se comunicaban en conv3 y en las capas
    densas. Una convolución con dos grupos hace exactamente esa cuenta.

    Nota histórica: el artículo dice 224×224, pero con paso 4 y sin relleno el mapa de 55×55 que
    dibuja solo sale de 227×227.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
        groups: Torres en conv2, conv4 y conv5: 2, como el artículo, o 1.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3, groups: int = 2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 96, kernel_size=11, stride=4),  # (N, 96, 55, 55)
            nn.ReLU(),
            LocalResponseNorm(),
            nn.MaxPool2d(3, stride=2),  # (N, 96, 27, 27): las ventanas se traslapan
            nn.Conv2d(96, 256, kernel_size=5, padding=2, groups=groups),  # (N, 256, 27, 27)
            nn.ReLU(),
            LocalResponseNorm(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 13, 13)
            nn.Conv2d(256, 384, kernel_size=3, padding=1),  # (N, 384, 13, 13)
            nn.ReLU(),
            nn.Conv2d(384, 384, kernel_size=3, padding=1, groups=groups),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1, groups=groups),  # (N, 256, 13, 13)
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
        # Sección 5: pesos N(0, 0.01); sesgo 1 en conv2, conv4, conv5 y las densas ocultas, para
        # que las ReLU arranquen encendidas, y 0 en las demás.
        layers = [m for m in self.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        for layer, bias in zip(layers, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 227, 227)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))


class AlexNetOWT(nn.Module):
    """La AlexNet de 2014 que distribuye torchvision: una torre, sin LRN; 61 100 840 parámetros.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=11, stride=4, padding=2),  # (N, 64, 55, 55)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 27, 27)
            nn.Conv2d(64, 192, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 192, 13, 13)
            nn.Conv2d(192, 384, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(384, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.Conv2d(256, 256, kernel_size=3, padding=1),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 256, 6, 6)
        )
        self.classifier = nn.Sequential(
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
        return self.classifier(torch.flatten(self.features(x), 1))


class AlexNetMini(nn.Module):
    """AlexNet a escala de 28×28: ReLU, pooling con traslape, LRN, dos torres y dropout.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 32, kernel_size=5, padding=2),  # (N, 32, 28, 28)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 32, 13, 13)
            LocalResponseNorm(),
            nn.Conv2d(32, 64, kernel_size=5, padding=2, groups=2),  # (N, 64, 13, 13)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 6, 6)
            LocalResponseNorm(),
            nn.Conv2d(64, 96, kernel_size=3, padding=1),  # (N, 96, 6, 6)
            nn.ReLU(),
            nn.Conv2d(96, 96, kernel_size=3, padding=1, groups=2),
            nn.ReLU(),
            nn.Conv2d(96, 64, kernel_size=3, padding=1, groups=2),  # (N, 64, 6, 6)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2),  # (N, 64, 2, 2)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 256)
            nn.Dropout(0.5),
            nn.Linear(64 * 2 * 2, 256),
            nn.ReLU(),
            nn.Dropout(0.5),
            nn.Linear(256, 256),
            nn.ReLU(),
            nn.Linear(256, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))
