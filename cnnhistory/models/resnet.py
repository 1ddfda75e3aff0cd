"""ResNet (2015): que cada bloque aprenda lo que falta y deje pasar lo demás.

K. He, X. Zhang, S. Ren y J. Sun, «Deep Residual Learning for Image Recognition», CVPR 2016.
https://arxiv.org/abs/1512.03385

Cada bloque calcula F(x) + x. Las redes *planas* del artículo, sin el atajo (*shortcut*), están
aquí también: son las que empeoran al hacerse más profundas.
"""

from collections.abc import Callable

from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.models.initialization import he_normal

__all__ = ["RESNET18", "RESNET34", "RESNET50", "RESNET101", "RESNET152"]
__all__ += ["Bottleneck", "CifarResNet", "CifarResidualBlock", "PlainBlock", "ResNet"]
__all__ += ["ResNetMini", "ResidualBlock", "conv_bn", "residual_stages"]

Block = Callable[[int, int, int], nn.Module]

# La tabla 1 del artículo: bloques y canales de salida de cada etapa.
RESNET18 = ((2, 64), (2, 128), (2, 256), (2, 512))
"""Bloques y canales de las etapas de la ResNet-18."""
RESNET34 = ((3, 64), (4, 128), (6, 256), (3, 512))
"""Bloques y canales de las etapas de la ResNet-34."""
RESNET50 = ((3, 256), (4, 512), (6, 1024), (3, 2048))
"""Bloques y canales de las etapas de la ResNet-50."""
RESNET101 = ((3, 256), (4, 512), (23, 1024), (3, 2048))
"""Bloques y canales de las etapas de la ResNet-101."""
RESNET152 = ((3, 256), (8, 512), (36, 1024), (3, 2048))
"""Bloques y canales de las etapas de la ResNet-152."""


def conv_bn(
    in_channels: int, out_channels: int, size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolución sin sesgo y normalización por lotes; el relleno conserva el tamaño.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        size: Lado del filtro.
        stride: Paso.
        groups: Grupos de la convolución.

    Returns:
        ``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``.
    """
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, size, stride, size // 2, groups=groups, bias=False),
        nn.BatchNorm2d(out_channels),
    )


class ResidualBlock(nn.Module):
    """El bloque básico: dos convoluciones de 3×3 y el atajo.

    El atajo es la identidad, o una proyección de 1×1 cuando cambian los canales o el tamaño
    (opción B del artículo).

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la primera convolución.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv_bn(in_channels, out_channels, 3, stride),
            nn.ReLU(),
            conv_bn(out_channels, out_channels, 3),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return F.relu(self.residual(x) + self.shortcut(x))


class PlainBlock(nn.Module):
    """El bloque básico sin atajo.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la primera convolución.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.plain = nn.Sequential(
            conv_bn(in_channels, out_channels, 3, stride),
            nn.ReLU(),
            conv_bn(out_channels, out_channels, 3),
            nn.ReLU(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return self.plain(x)


class Bottleneck(nn.Module):
    """El bloque de las redes hondas: 1×1 que reduce a la cuarta parte, 3×3, y 1×1 que restaura.

    Nota histórica: el artículo pone el paso en la primera 1×1; torchvision, y aquí, en la 3×3,
    que así no descarta tres de cada cuatro posiciones sin mirarlas («ResNet v1.5»).

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la 3×3.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        width = out_channels // 4
        self.residual = nn.Sequential(
            conv_bn(in_channels, width, 1),
            nn.ReLU(),
            conv_bn(width, width, 3, stride),
            nn.ReLU(),
            conv_bn(width, out_channels, 1),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return F.relu(self.residual(x) + self.shortcut(x))


def residual_stages(
    block: Block, in_channels: int, stages: tuple[tuple[int, int], ...]
) -> nn.Sequential:
    """Las etapas de una red residual; cada una, menos la primera, parte el mapa a la mitad.

    Args:
        block: Construye un bloque; recibe canales de entrada, de salida y paso.
        in_channels: Canales de la entrada.
        stages: Bloques y canales de cada etapa.

    Returns:
        ``(N, in_channels, H, W)`` → ``(N, canales, H/2^(etapas − 1), W/2^(etapas − 1))``.
    """
    body = nn.Sequential()
    for depth, channels in stages:
        stage = nn.Sequential()
        for position in range(depth):
            stride = 2 if len(body) > 0 and position == 0 else 1
            stage.append(block(in_channels, channels, stride))
            in_channels = channels
        body.append(stage)
    return body


class ResNet(nn.Module):
    """La familia ResNet de ImageNet, la tabla 1 del artículo.

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
        super().__init__()
        self.stem = nn.Sequential(
            conv_bn(in_channels, 64, 7, stride=2),  # (N, 64, 112, 112)
            nn.ReLU(),
            nn.MaxPool2d(3, stride=2, padding=1),  # (N, 64, 56, 56)
        )
        self.stages = residual_stages(block, 64, stages)  # (N, stages[-1][1], 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(stages[-1][1], num_classes)
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 224, 224)`` → ``(N, num_classes)``."""
        return self.head(self.stages(self.stem(x)))


class CifarResidualBlock(ResidualBlock):
    """El bloque de CIFAR-10: su atajo no tiene parámetros (opción A del artículo).

    Cuando el mapa se parte, el atajo toma una de cada dos posiciones y rellena con ceros los
    canales que faltan.

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la primera convolución.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(in_channels, out_channels, stride)
        self.shortcut = nn.Identity()
        self.stride, self.missing = stride, out_channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return F.relu(self.residual(x) + shortcut)


class CifarResNet(nn.Module):
    """La familia de CIFAR-10, de 6·depth + 2 capas (sección 4.2 del artículo).

    Args:
        depth: Bloques por etapa: 3 da la ResNet-20, 9 la 56 y 18 la 110.
        num_classes: Clases.
        in_channels: Canales de la imagen.
        block: Construye un bloque; recibe canales de entrada, de salida y paso.
    """

    def __init__(
        self,
        depth: int,
        num_classes: int = 10,
        in_channels: int = 3,
        block: Block = CifarResidualBlock,
    ) -> None:
        super().__init__()
        self.stem = nn.Sequential(conv_bn(in_channels, 16, 3), nn.ReLU())  # (N, 16, 32, 32)
        stages = ((depth, 16), (depth, 32), (depth, 64))
        self.stages = residual_stages(block, 16, stages)  # (N, 64, 8, 8)
        self.head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, num_classes))
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 32, 32)`` → ``(N, num_classes)``."""
        return self.head(self.stages(self.stem(x)))


class ResNetMini(CifarResNet):
    """ResNet a escala de 28×28: la de CIFAR-10 con dos bloques por etapa, ResNet-14.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
        block: Construye un bloque; recibe canales de entrada, de salida y paso.
    """

    def __init__(
        self, num_classes: int = 10, in_channels: int = 1, block: Block = CifarResidualBlock
    ) -> None:
        super().__init__(2, num_classes, in_channels, block)
        # Como en la de ImageNet, el tronco baja el tamaño: los bloques cuestan la cuarta parte.
        self.stem = nn.Sequential(
            conv_bn(in_channels, 16, 3, stride=2),  # (N, 16, 14, 14)
            nn.ReLU(),
        )
        he_normal(self)
