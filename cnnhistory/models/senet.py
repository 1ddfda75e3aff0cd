"""SENet (2017): que la red decida, imagen por imagen, a qué canales hacer caso.

J. Hu, L. Shen, S. Albanie, G. Sun y E. Wu, «Squeeze-and-Excitation Networks», CVPR 2018.
https://arxiv.org/abs/1709.01507

Un módulo SE resume cada canal en un número, mezcla esos números en dos capas densas y devuelve un
peso entre 0 y 1 por canal. Cabe en cualquier bloque: aquí, en los de ResNet y ResNeXt.
"""

from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.models.initialization import he_normal
from cnnhistory.models.resnet import (
    RESNET152,
    Block,
    CifarResidualBlock,
    ResNet,
    ResNetMini,
    conv_bn,
    residual_stages,
)
from cnnhistory.models.resnext import ResNeXtBlock

__all__ = ["SEBottleneck", "SENet154", "SENet154Block", "SENetMini", "SEResNeXtBlock", "SEResNet"]
__all__ += ["SEResidualBlock", "SqueezeExcitation"]


class SqueezeExcitation(nn.Module):
    """Comprime cada canal a su promedio y lo excita o lo apaga según los demás.

    Args:
        channels: Canales.
        reduction: Cuántas veces más angosta es la capa de en medio.

    Raises:
        ValueError: Si en la capa de en medio no quedaría ninguna neurona.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        if channels < reduction:
            raise ValueError(
                f"con {channels} canales y reducción de {reduction}, en medio no queda ninguna "
                f"neurona: pide una reducción de {channels} como mucho"
            )
        self.excite = nn.Sequential(
            nn.Linear(channels, channels // reduction),
            nn.ReLU(),
            nn.Linear(channels // reduction, channels),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)``; devuelve la misma forma."""
        gates = self.excite(x.mean(dim=(2, 3)))  # (N, C)
        return x * gates[:, :, None, None]


class SEBottleneck(nn.Module):
    """El cuello de botella de SE-ResNet: la compuerta actúa antes de sumar el atajo.

    Lleva el paso en la primera 1×1, como el artículo de ResNet.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        width = out_channels // 4
        self.residual = nn.Sequential(
            conv_bn(in_channels, width, 1, stride),
            nn.ReLU(),
            conv_bn(width, width, 3),
            nn.ReLU(),
            conv_bn(width, out_channels, 1),
            SqueezeExcitation(out_channels),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return F.relu(self.residual(x) + self.shortcut(x))


class SEResNeXtBlock(ResNeXtBlock):
    """El bloque de ResNeXt 32×4d con compuerta.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la 3×3.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.residual.append(SqueezeExcitation(out_channels))


class SENet154Block(nn.Module):
    """El bloque de SENet-154: 64 grupos, y una 1×1 con la mitad de los canales de costumbre.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la 3×3.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(in_channels, out_channels // 2, 1),
            nn.ReLU(),
            conv_bn(out_channels // 2, out_channels, 3, stride, groups=64),
            nn.ReLU(),
            conv_bn(out_channels, out_channels, 1),
            SqueezeExcitation(out_channels),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            # Al bajar de tamaño, la proyección es de 3×3 para no saltarse posiciones.
            self.shortcut = conv_bn(in_channels, out_channels, 3 if stride > 1 else 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return F.relu(self.residual(x) + self.shortcut(x))


class SEResNet(ResNet):
    """SE-ResNet y SE-ResNeXt: una ResNet con bloques que llevan compuerta.

    Args:
        block: Construye un bloque; recibe canales de entrada, de salida y paso.
        stages: Bloques y canales de cada etapa.
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(
        self,
        block: Block,
        stages: tuple[tuple[int, int], ...],
        num_classes: int = 1000,
        in_channels: int = 3,
    ) -> None:
        super().__init__(block, stages, num_classes, in_channels)
        # Caffe, donde se entrenó, redondea hacia arriba en vez de rellenar.
        self.stem[2] = nn.MaxPool2d(3, stride=2, ceil_mode=True)


class SENet154(nn.Module):
    """La red que ganó en 2017: 115 088 984 parámetros con mil clases.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 1000, in_channels: int = 3) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn(in_channels, 64, 3, stride=2),  # (N, 64, 112, 112)
            nn.ReLU(),
            conv_bn(64, 64, 3),
            nn.ReLU(),
            conv_bn(64, 128, 3),
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, ceil_mode=True),  # (N, 128, 56, 56)
        )
        self.stages = residual_stages(SENet154Block, 128, RESNET152)  # (N, 2048, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(2048, num_classes)
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``."""
        return self.head(self.stages(self.stem(x)))


class SEResidualBlock(CifarResidualBlock):
    """El bloque de CIFAR-10 con compuerta.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la primera convolución.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.residual.append(SqueezeExcitation(out_channels, reduction=4))


class SENetMini(ResNetMini):
    """SENet a escala de 28×28: la ResNet mini con una compuerta en cada bloque.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__(num_classes, in_channels, SEResidualBlock)
