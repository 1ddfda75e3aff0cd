"""All-CNN (2014): ¿y si todo fueran convoluciones? Ni pooling ni capas densas.

J. T. Springenberg, A. Dosovitskiy, T. Brox y M. Riedmiller, «Striving for Simplicity: The All
Convolutional Net», ICLR Workshop 2015. https://arxiv.org/abs/1412.6806

Cada pooling se cambia por una convolución de 3×3 con paso 2, que aprende cómo resumir.
"""

from torch import Tensor, nn

from cnnhistory.models.initialization import he_normal

__all__ = ["ALLCNN_A", "ALLCNN_B", "ALLCNN_C", "AllCNN", "AllCNNMini"]

# Las tablas 1 y 2 del artículo: canales, lado del filtro y paso. La última capa la pone la red.
ALLCNN_A = ((96, 5, 1), (96, 3, 2), (192, 5, 1), (192, 3, 2), (192, 3, 1), (192, 1, 1))
"""Canales, lado y paso de cada convolución de la All-CNN-A."""
ALLCNN_B = (
    *((96, 5, 1), (96, 1, 1), (96, 3, 2)),
    *((192, 5, 1), (192, 1, 1), (192, 3, 2)),
    *((192, 3, 1), (192, 1, 1)),
)
"""Canales, lado y paso de cada convolución de la All-CNN-B."""
ALLCNN_C = (
    *((96, 3, 1), (96, 3, 1), (96, 3, 2)),
    *((192, 3, 1), (192, 3, 1), (192, 3, 2)),
    *((192, 3, 1), (192, 1, 1)),
)
"""Canales, lado y paso de cada convolución de la All-CNN-C."""


class AllCNN(nn.Module):
    """La familia All-CNN para 32×32; la C tiene 1 369 738 parámetros con diez clases.

    Args:
        layers: Canales, lado del filtro y paso de cada convolución.
        num_classes: Clases.
        in_channels: Canales de la imagen.
        dropout: Lo que se apaga de la imagen y de lo que sale de cada convolución de paso 2.
    """

    def __init__(
        self,
        layers: tuple[tuple[int, int, int], ...] = ALLCNN_C,
        num_classes: int = 10,
        in_channels: int = 3,
        dropout: tuple[float, float] = (0.2, 0.5),
    ) -> None:
        super().__init__()
        self.features = nn.Sequential(nn.Dropout(dropout[0]))
        for index, (channels, kernel_size, stride) in enumerate(layers, start=1):
            # La última de 3×3 va sin relleno: por eso el promedio es sobre 6×6 y no sobre 8×8.
            padding = 0 if index == len(layers) - 1 else kernel_size // 2
            self.features.append(nn.Conv2d(in_channels, channels, kernel_size, stride, padding))
            self.features.append(nn.ReLU())
            if stride == 2:
                self.features.append(nn.Dropout(dropout[1]))
            in_channels = channels  # (N, 192, 6, 6) al final
        self.head = nn.Sequential(
            nn.Conv2d(in_channels, num_classes, kernel_size=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 32, 32)`` → ``(N, num_classes)``."""
        return self.head(self.features(x))


class AllCNNMini(AllCNN):
    """All-CNN-C a escala de 28×28, con un sexto de los canales y un décimo del dropout.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        layers = tuple((channels // 6, size, stride) for channels, size, stride in ALLCNN_C)
        super().__init__(layers, num_classes, in_channels, dropout=(0.02, 0.05))
        del self.head[1]  # sin la última ReLU: en una red tan chica apaga clases enteras
