"""LeNet-5 (1998): convolución, submuestreo y pesos compartidos, aprendidos de punta a punta.

Y. LeCun, L. Bottou, Y. Bengio y P. Haffner, «Gradient-Based Learning Applied to Document
Recognition», Proceedings of the IEEE 86(11), 1998. https://doi.org/10.1109/5.726791

Aquí hay dos redes. `LeNet5` es la del artículo, con todo lo que hoy ya no se usa: submuestreo
con parámetros, conexiones incompletas en C3, tangente escalada y salida por distancia a un
dibujo de cada dígito. `LeNet5Modern` es la que hoy se dibuja con ese nombre.
"""

# torch anota `bias` como opcional; en estas capas siempre existe.
# pyright: reportArgumentType=false

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cnnhistory.models.initialization import he_normal

__all__ = ["C3_TABLE", "DIGITS", "LeNet5", "LeNet5Modern", "RBFOutput", "ScaledTanh"]
__all__ += ["SparseConv2d", "Subsampling"]

C3_TABLE = (
    *((0, 1, 2), (1, 2, 3), (2, 3, 4), (3, 4, 5), (0, 4, 5), (0, 1, 5)),
    *((0, 1, 2, 3), (1, 2, 3, 4), (2, 3, 4, 5), (0, 3, 4, 5), (0, 1, 4, 5), (0, 1, 2, 5)),
    *((0, 1, 3, 4), (1, 2, 4, 5), (0, 2, 3, 5)),
    (0, 1, 2, 3, 4, 5),
)
"""Tabla I del artículo: qué mapas de S2 mira cada uno de los 16 mapas de C3."""

DIGITS = """
.####.. ...#... .#####. .#####. ....##. ####### ..####. ####### .#####. .#####.
#....#. ..##... #.....# #.....# ...#.#. #...... .#..... ......# #.....# #.....#
#....#. .#.#... #.....# ......# ..#..#. #...... #...... ......# #.....# #.....#
#....## #..#... ......# ......# .#...#. #...... #...... .....#. #.....# #.....#
#.....# ...#... ......# ......# .#...#. #.####. #...... .....#. #.....# #.....#
#.....# ...#... .....#. ..####. #....#. ##....# #.####. ....#.. .#####. .######
#.....# ...#... ....#.. ......# #....#. ......# ##....# ....#.. #.....# ......#
#.....# ...#... ...#... ......# ####### ......# #.....# ...#... #.....# ......#
#.....# ...#... ..#.... ......# .....#. ......# #.....# ...#... #.....# ......#
#.....# ...#... .#..... ......# .....#. #.....# #.....# ..#.... #.....# .....#.
.#...#. ...#... #...... #.....# .....#. #.....# #.....# ..#.... #.....# ....#..
..###.. ####### ####### .#####. .....#. .#####. .#####. ..#.... .#####. .###...
"""
"""Los códigos de salida: el dibujo de cada dígito en 7×12.

Nota histórica: el artículo usa los 96 caracteres ASCII imprimibles y no da los bits de sus
dibujos; estos diez dígitos son nuestros.
"""


class ScaledTanh(nn.Module):
    """Tangente escalada, A·tanh(S·x) con A = 1.7159 y S = 2/3: así f(1) ≈ 1 y f(−1) ≈ −1."""

    def forward(self, x: Tensor) -> Tensor:
        """Cualquier forma; devuelve la misma."""
        return 1.7159 * torch.tanh(x * 2 / 3)


class Subsampling(nn.Module):
    """Submuestreo entrenable: suma cada ventana de 2×2, la multiplica por un peso y suma un sesgo.

    Cada mapa tiene un solo peso y un solo sesgo. ``(N, C, H, W)`` → ``(N, C, H/2, W/2)``.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.kernel_size = self.stride = 2
        self.weight = nn.Parameter(torch.empty(channels).uniform_(-2.4 / 4, 2.4 / 4))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, C, H, W)`` → ``(N, C, H/2, W/2)``."""
        window_sum = 4 * F.avg_pool2d(x, self.kernel_size)
        return window_sum * self.weight[:, None, None] + self.bias[:, None, None]


class SparseConv2d(nn.Module):
    """Convolución en la que cada mapa de salida mira solo algunos mapas de entrada.

    Guarda un filtro por conexión, no por pareja posible: con `C3_TABLE` son 60 filtros de 5×5
    en lugar de 96. Romper la simetría obliga a los mapas a aprender cosas distintas.

    Args:
        table: Para cada mapa de salida, los mapas de entrada que mira.
        kernel_size: Lado del filtro.
    """

    connections: Tensor

    def __init__(self, table: tuple[tuple[int, ...], ...], kernel_size: int) -> None:
        super().__init__()
        pairs = [(out, source) for out, sources in enumerate(table) for source in sources]
        self.in_channels = 1 + max(source for _, source in pairs)
        self.out_channels = len(table)
        self.kernel_size, self.stride = kernel_size, 1
        self.register_buffer("connections", torch.tensor(pairs), persistent=False)
        self.weight = nn.Parameter(torch.empty(len(pairs), kernel_size, kernel_size))
        self.bias = nn.Parameter(torch.zeros(len(table)))
        for weight, (out, _) in zip(self.weight.data, pairs, strict=True):
            fan_in = len(table[out]) * kernel_size**2
            weight.uniform_(-2.4 / fan_in, 2.4 / fan_in)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, H, W)`` → ``(N, out_channels, H − k + 1, W − k + 1)``."""
        shape = (self.out_channels, self.in_channels, self.kernel_size, self.kernel_size)
        dense = self.weight.new_zeros(shape)
        dense = dense.index_put(tuple(self.connections.unbind(1)), self.weight)
        return F.conv2d(x, dense, self.bias)


class RBFOutput(nn.Module):
    """Salida de base radial: distancia al cuadrado entre la entrada y el código de cada clase.

    Los códigos son fijos: el dibujo de cada dígito en 7×12 píxeles, con tinta +1 y fondo −1.
    Devuelve la distancia cambiada de signo, para que gane la mayor, como en cualquier red de
    hoy; con entropía cruzada encima, es el criterio MAP de la ecuación 9 del artículo sin su
    constante j. ``(N, 84)`` → ``(N, num_classes)``.

    Raises:
        ValueError: Si se piden más clases que dibujos hay.
    """

    codes: Tensor

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        if num_classes > 10:
            raise ValueError(
                f"LeNet-5 compara con el dibujo de 10 dígitos y no puede tener {num_classes} "
                'clases: usa "lenet5_modern"'
            )
        rows = [line.split() for line in DIGITS.strip().splitlines()]
        drawings = ["".join(row[digit] for row in rows) for digit in range(num_classes)]
        codes = [[1.0 if pixel == "#" else -1.0 for pixel in pixels] for pixels in drawings]
        self.register_buffer("codes", torch.tensor(codes))

    def forward(self, x: Tensor) -> Tensor:
        """``(N, 84)`` → ``(N, num_classes)``, nunca positiva."""
        return -(x[:, None] - self.codes).square().sum(dim=-1)


class LeNet5(nn.Module):
    """La LeNet-5 del artículo: 60 000 parámetros y 340 908 conexiones.

    Args:
        num_classes: Clases, hasta 10 (los códigos son dibujos de dígitos).
        in_channels: Canales de la imagen.

    Raises:
        ValueError: Si ``num_classes`` pasa de 10.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.c1 = nn.Conv2d(in_channels, 6, kernel_size=5)
        self.s2 = Subsampling(6)
        self.c3 = SparseConv2d(C3_TABLE, kernel_size=5)
        self.s4 = Subsampling(16)
        self.c5 = nn.Conv2d(16, 120, kernel_size=5)
        self.f6 = nn.Linear(120, 84)
        self.output = RBFOutput(num_classes)
        self.squash = ScaledTanh()
        # Los pesos nacen uniformes en ±2.4/F, con F las entradas de la unidad (apéndice A).
        for layer in (self.c1, self.c5, self.f6):
            bound = 2.4 / math.prod(layer.weight.shape[1:])
            nn.init.uniform_(layer.weight, -bound, bound)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 32, 32)`` → ``(N, num_classes)``."""
        x = self.squash(self.c1(x))  # (N, 6, 28, 28)
        x = self.squash(self.s2(x))  # (N, 6, 14, 14)
        x = self.squash(self.c3(x))  # (N, 16, 10, 10)
        x = self.squash(self.s4(x))  # (N, 16, 5, 5)
        x = self.squash(self.c5(x))  # (N, 120, 1, 1)
        x = self.squash(self.f6(x.flatten(1)))  # (N, 84)
        return self.output(x)


class LeNet5Modern(nn.Module):
    """La LeNet-5 que se dibuja hoy: ReLU, pooling máximo y salida densa; 61 706 parámetros.

    Args:
        num_classes: Clases.
        in_channels: Canales de la imagen.
    """

    def __init__(self, num_classes: int = 10, in_channels: int = 1) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(in_channels, 6, kernel_size=5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 6, 14, 14)
            nn.Conv2d(6, 16, kernel_size=5),  # (N, 16, 10, 10)
            nn.ReLU(),
            nn.MaxPool2d(2),  # (N, 16, 5, 5)
        )
        self.classifier = nn.Sequential(
            nn.Flatten(),
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, num_classes),
        )
        he_normal(self)

    def forward(self, x: Tensor) -> Tensor:
        """``(N, in_channels, 28, 28)`` → ``(N, num_classes)``."""
        return self.classifier(self.features(x))
