"""Normalización por lotes (2015): mantener a raya cada canal, lote tras lote.

S. Ioffe y C. Szegedy, «Batch Normalization: Accelerating Deep Network Training by Reducing
Internal Covariate Shift», ICML 2015. https://arxiv.org/abs/1502.03167

`BatchNorm` está escrita desde cero y da lo mismo que la de torch; `LeNet5BN` es la LeNet-5 moderna
con ella después de cada capa.
"""

import torch
from torch import Tensor, nn

from cnnhistory.models.initialization import he_normal

__all__ = ["BatchNorm", "LeNet5BN"]


class BatchNorm(nn.Module):
    """Normalización por lotes, densa ``(N, C)`` o convolucional ``(N, C, H, W)``.

    Entrenando, cada canal se centra y escala con la media y la varianza de su lote; prediciendo,
    con los promedios móviles que acumuló. Después se le devuelven una escala y un desplazamiento
    que se aprenden. Los promedios son *buffers*: viajan con el modelo y se guardan con él.

    Args:
        channels: Canales, o características.
        eps: Lo que se suma a la varianza.
        momentum: Peso de cada lote nuevo en los promedios móviles (la convención de torch).

    Raises:
        ValueError: Si la entrada no tiene dos o cuatro dimensiones o, al entrenar, si hay un solo
            valor por canal: no tiene varianza.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1) -> None:
        super().__init__()
        self.eps, self.momentum = eps, momentum
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C)`` o ``(N, C, H, W)``; devuelve la misma forma."""
        if x.ndim not in (2, 4):
            raise ValueError(f"se esperaba (N, C) o (N, C, H, W); llegó {tuple(x.shape)}")
        others = [axis for axis in range(x.ndim) if axis != 1]
        broadcast = (1, -1, *[1] * (x.ndim - 2))
        x = x.to(self.weight.dtype)  # con autocast llega en 16 bits, pocos para promediar
        if self.training:
            count = x.numel() // x.shape[1]
            if count < 2:
                raise ValueError("un solo valor por canal no tiene varianza: usa un lote mayor")
            mean, var = x.mean(others), x.var(others, correction=0)
            with torch.no_grad():
                # El promedio móvil guarda la varianza sin sesgo, la de dividir entre n − 1.
                self.running_mean.lerp_(mean, self.momentum)
                self.running_var.lerp_(var * count / (count - 1), self.momentum)
                self.num_batches_tracked += 1
        else:
            mean, var = self.running_mean, self.running_var
        normalized = (x - mean.view(broadcast)) * (var + self.eps).rsqrt().view(broadcast)
        return normalized * self.weight.view(broadcast) + self.bias.view(broadcast)


class LeNet5BN(nn.Module):
    """La LeNet-5 moderna con normalización por lotes: 62 158 parámetros con diez clases.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),
            BatchNorm(6),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, kernel_size=5),  # (N, 16, 10, 10)
            BatchNorm(16),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 16, 5, 5)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            BatchNorm(120),
            nn.ReLU(),
            nn.Linear(120, 84),
            BatchNorm(84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))
