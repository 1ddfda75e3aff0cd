"""ResNeXt (2016): además de más hondo y más ancho, más ramas.

S. Xie, R. Girshick, P. Dollár, Z. Tu y K. He, «Aggregated Residual Transformations for Deep
Neural Networks», CVPR 2017. https://arxiv.org/abs/1611.05431

El bloque parte sus canales en ``cardinality`` caminos iguales, que una convolución en grupos
calcula de una vez.
"""

from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.models.initialization import he_normal
from cnnhistory.models.resnet import conv_bn, residual_stages

__all__ = ["ResNeXtBlock", "ResNeXtMini"]


class ResNeXtBlock(nn.Module):
    """Un cuello de botella cuya 3×3 va en grupos (la forma «c» de la figura 3 del artículo).

    Args:
        in_channels: Canales de la entrada.
        out_channels: Canales de la salida.
        stride: Paso de la 3×3.
        cardinality: Caminos, es decir, grupos de la 3×3.
        bottleneck_width: Canales de cada camino en la primera etapa, la de 256 de salida.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        cardinality: int = 32,
        bottleneck_width: int = 4,
    ) -> None:
        super().__init__()
        width = cardinality * bottleneck_width * out_channels // 256
        self.residual = nn.Sequential(
            conv_bn(in_channels, width, 1),
            nn.ReLU(),
            conv_bn(width, width, 3, stride, groups=cardinality),
            nn.ReLU(),
            conv_bn(width, out_channels, 1),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = conv_bn(in_channels, out_channels, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H/stride, W/stride)``."""
        return F.relu(self.residual(x) + self.shortcut(x))


class ResNeXtMini(nn.Module):
    """ResNeXt a escala de 28×28: dos etapas de dos bloques con cardinalidad 8.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        block = partial(ResNeXtBlock, cardinality=8, bottleneck_width=16)
        self.stem = nn.Sequential(
            conv_bn(in_channels, 32, 3, stride=2),  # (N, 32, 14, 14)
            nn.ReLU(),
        )
        self.stages = residual_stages(block, 32, ((2, 64), (2, 128)))  # (N, 128, 7, 7)
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, num_classes)
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.head(self.stages(self.stem(x)))
