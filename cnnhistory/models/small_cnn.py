"""Las redes con que se enseña: de los píxeles crudos a dos convoluciones.

No son de ningún artículo. Siguen el patrón de LeNet-5 (LeCun et al., 1998,
https://doi.org/10.1109/5.726791), convolución, submuestreo y capas densas, con piezas de hoy, y son
tan pequeñas que cada parámetro se puede contar a mano.
"""

from torch import Tensor, nn

from cnnhistory.models.initialization import he_normal

__all__ = ["OneConvolution", "SoftmaxRegression", "TwoConvolutions"]


class SoftmaxRegression(nn.Module):
    """Una sola capa densa sobre los píxeles: 7850 parámetros con imágenes de 28×28×1.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.classifier = nn.Sequential(nn.Flatten(), nn.Linear(in_channels * 28 * 28, num_classes))
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(x)


class OneConvolution(nn.Module):
    """Una convolución de 64 filtros y 32 neuronas ocultas, con pooling o sin él.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
        pooling: Si un pooling de 2×2 sigue a la convolución: 462 954 parámetros en vez de
            1 845 354.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3, pooling: bool = False) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=3),  # (N, 64, 30, 30)
            nn.ReLU(),
        )
        if pooling:
            self.features.append(nn.MaxPool2d(2))  # (N, 64, 15, 15)
        side = 15 if pooling else 30
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(64 * side * side, 32),
            nn.ReLU(),
            nn.Linear(32, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 32, 32)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))


class TwoConvolutions(nn.Module):
    """Dos convoluciones con relleno y pooling, y 128 neuronas ocultas: 564 426 parámetros.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 3) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 64, kernel_size=3, padding=1),  # (N, 64, 32, 32)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 16, 16)
            nn.Conv2d(64, 64, kernel_size=3, padding=1),  # (N, 64, 16, 16)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 64, 8, 8)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),  # (N, 4096)
            nn.Linear(64 * 8 * 8, 128),
            nn.ReLU(),
            nn.Linear(128, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 32, 32)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))
