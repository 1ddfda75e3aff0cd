# %% [markdown]
# # La convolución, a mano
#
# Enseñaste a una red a reconocer un aspa en el centro de la hoja. Alguien la dibuja dos píxeles más a la derecha y la red ya
# no sabe qué es: [lo medimos](capa-densa.py#limites). Tú, en cambio, ni te diste cuenta. **¿Por qué habría que aprender lo
# mismo otra vez en cada lugar?**
#
# La salida es casi una picardía: haz el detector pequeño y pásalo por todos los lugares. Eso es una convolución. Aquí la
# calculas con lápiz, la programas desde cero, la comparas con la de PyTorch y mides lo que promete y lo que no cumple.
#
# ## La primera, con lápiz { #a-mano }
#
# La imagen tiene 5×5 píxeles, todos 0 o 1. El detector mide 3×3 y se llama **filtro** (*filter*, *kernel*). Es el aspa de
# [la primera página](clasificar-imagenes.py#a-mano):
#
# $$
# \text{imagen} = \begin{bmatrix} 1 & 1 & 1 & 0 & 0 \\ 0 & 1 & 1 & 1 & 0 \\ 0 & 0 & 1 & 1 & 1 \\ 0 & 0 & 1 & 1 & 0 \\ 0 & 1 & 1 & 0 & 0 \end{bmatrix}
# \qquad
# \text{filtro} = \begin{bmatrix} 1 & 0 & 1 \\ 0 & 1 & 0 \\ 1 & 0 & 1 \end{bmatrix}
# $$
#
# Pon el filtro sobre la esquina de arriba a la izquierda. Tapa nueve píxeles, la **ventana** (*window*). Multiplica cada píxel
# por el número que le cayó encima y suma:
#
# $$
# \begin{aligned}
# &1 \cdot 1 + 1 \cdot 0 + 1 \cdot 1 \\
# +\; &0 \cdot 0 + 1 \cdot 1 + 1 \cdot 0 \\
# +\; &0 \cdot 1 + 0 \cdot 0 + 1 \cdot 1 = 4
# \end{aligned}
# $$
#
# Es la misma suma ponderada de la capa densa, en pequeño. Ahora corre el filtro un píxel a la derecha y repite: sale 3. Otro
# más: 4. Baja una fila y vuelve a empezar. Hay tres lugares a lo ancho y tres a lo alto: el resultado es una tabla de 3×3, el
# **mapa de características** (*feature map*). Cada número dice **cuánto se parece esa ventana al filtro**.

# %%
import torch

image = torch.tensor(
    [[1, 1, 1, 0, 0], [0, 1, 1, 1, 0], [0, 0, 1, 1, 1], [0, 0, 1, 1, 0], [0, 1, 1, 0, 0]]
)
saltire = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]])


def slide(image, kernel):
    """Pasa el filtro por todos los lugares donde cabe."""
    side = len(kernel)
    rows, columns = len(image) - side + 1, len(image[0]) - side + 1
    output = torch.zeros(rows, columns, dtype=image.dtype)
    for top in range(rows):
        for left in range(columns):
            window = image[top : top + side, left : left + side]
            output[top, left] = (window * kernel).sum()
    return output


feature_map = slide(image, saltire)
print(*feature_map.tolist(), sep="\n")

assert feature_map[0, 0] == 4
assert feature_map.tolist() == [[4, 3, 4], [2, 4, 3], [2, 3, 4]]

# %% tags=["oculto"] alt="Tres pasos en tres columnas. Arriba, la imagen de 5 por 5 con una ventana de 3 por 3 resaltada: en la esquina superior izquierda, un píxel más a la derecha, y en la esquina inferior derecha. Abajo, el mapa de 3 por 3 con la casilla correspondiente resaltada: 4, 3 y 4." caption="Tres de los nueve lugares. Arriba, la ventana, con el filtro en pequeño; abajo, la casilla del mapa que se llena."
import matplotlib.pyplot as plt

from cnnhistory import plotting


def draw_grid(axis, values, color=plotting.INK, marked=(), small=None):
    """Una tabla de números; las casillas de `marked` se resaltan y `small` va en pequeño."""
    for (row, column), value in zip(
        torch.cartesian_prod(*map(torch.arange, values.shape)).tolist(),
        values.flatten().tolist(),
        strict=True,
    ):
        chosen = (row, column) in marked
        axis.add_patch(
            plt.Rectangle(
                (column, row),
                1,
                1,
                facecolor=color if chosen else "none",
                alpha=0.25 if chosen else 1,
                linewidth=0,
            )
        )
        axis.add_patch(
            plt.Rectangle((column, row), 1, 1, fill=False, edgecolor=plotting.INK, linewidth=0.6)
        )
        axis.text(column + 0.45, row + 0.5, f"{value:g}", ha="center", va="center", size=9)
        if small is not None and chosen:
            top, left = min(marked)
            axis.text(
                column + 0.97,
                row + 0.95,
                f"×{small[row - top, column - left]}",
                ha="right",
                va="bottom",
                size=7,
            )
    axis.set(
        xlim=(-0.05, values.shape[1] + 0.05), ylim=(values.shape[0] + 0.05, -0.05), aspect="equal"
    )
    axis.axis("off")


with plotting.style():
    figure, axes = plt.subplots(2, 3, figsize=(7.2, 4.6), height_ratios=(5, 3))
    for column, (top, left) in enumerate(((0, 0), (0, 1), (2, 2))):
        window = [(top + i, left + j) for i in range(3) for j in range(3)]
        draw_grid(axes[0, column], image, plotting.PALETTE[0], window, saltire)
        draw_grid(axes[1, column], feature_map, plotting.PALETTE[1], [(top, left)])
    figure.tight_layout()

# %% [markdown]
# ### Un solo detector para todos los lugares
#
# Cumplamos la promesa. Los nueve pesos que aprendieron a distinguir el aspa de la cruz (esquinas 1, lados −1, centro 0) pasan
# ahora por una hoja de 12×12 con un dibujo en un lugar al azar. La regla: si el mayor valor del mapa gana al mayor del mapa con los
# pesos cambiados de signo, es un aspa. **Nadie vuelve a entrenar nada.**

# %%
SEED = 0
generator = torch.Generator().manual_seed(SEED)
learned = torch.tensor([[1, -1, 1], [-1, 0, -1], [1, -1, 1]])
cross = 1 - saltire
cross[1, 1] = 1

found, count = 0, 400
for _ in range(count):
    is_saltire = torch.rand((), generator=generator) < 0.5
    top, left = torch.randint(10, (2,), generator=generator).tolist()
    sheet = torch.zeros(12, 12, dtype=torch.long)
    sheet[top : top + 3, left : left + 3] = saltire if is_saltire else cross
    responses = slide(sheet, learned)
    found += (responses.max() > -responses.min()) == is_saltire
print(f"acierto con el dibujo en cualquier lugar: {found / count:.1%}")

assert found == count

# %% [markdown]
# Nueve pesos, y valen en los cien lugares. Una capa densa necesitaría 144 por clase y un ejemplo en cada sitio.
#
# ## El borde: relleno { #relleno }
#
# El mapa salió de 3×3 y la imagen era de 5×5: en la orilla, el filtro no cabe. Si hace falta conservar el tamaño, se rodea la
# imagen con ceros. Es el **relleno** (*padding*). Con un anillo de ceros, este trozo de foto pasa de 5×5 a 7×7, y su mapa vuelve a
# ser de 5×5. El filtro, esta vez, es uno que **enfoca** (*sharpen*): cinco veces el píxel, menos sus cuatro vecinos.
#
# $$
# \begin{bmatrix}
# 0 & 0 & 0 & 0 & 0 & 0 & 0 \\
# 0 & \mathbf{60} & \mathbf{113} & 56 & 139 & 85 & 0 \\
# 0 & \mathbf{73} & 121 & 54 & 84 & 128 & 0 \\
# 0 & 131 & 99 & 70 & 129 & 127 & 0 \\
# 0 & 80 & 57 & 115 & 69 & 134 & 0 \\
# 0 & 104 & 126 & 123 & 95 & 130 & 0 \\
# 0 & 0 & 0 & 0 & 0 & 0 & 0
# \end{bmatrix}
# \qquad
# \begin{bmatrix} 0 & -1 & 0 \\ -1 & 5 & -1 \\ 0 & -1 & 0 \end{bmatrix}
# $$
#
# El primer lugar tiene al 60 en el centro. Arriba y a la izquierda hay relleno; a la derecha, 113; abajo, 73:
#
# $$ 5 \cdot 60 - 0 - 0 - 113 - 73 = 114 $$
#
# El siguiente es tuyo: $5 \cdot 113 - 0 - 60 - 56 - 121$. Los demás, que los haga la máquina.

# %%
from torch.nn import functional as F

patch = torch.tensor(
    [
        [60, 113, 56, 139, 85],
        [73, 121, 54, 84, 128],
        [131, 99, 70, 129, 127],
        [80, 57, 115, 69, 134],
        [104, 126, 123, 95, 130],
    ]
)
sharpen = torch.tensor([[0, -1, 0], [-1, 5, -1], [0, -1, 0]])
sharpened = slide(F.pad(patch, (1, 1, 1, 1)), sharpen)
for line in sharpened.tolist():
    print("".join(f"{value:5}" for value in line))

assert sharpened[0, 0] == 5 * 60 - 113 - 73 == 114
assert sharpened[0, 1] == 5 * 113 - 60 - 56 - 121 == 328
assert sharpened.shape == patch.shape

# %% [markdown]
# Salen valores negativos y mayores que 255. Es normal: un mapa de características no es una foto. Es una tabla de respuestas.
#
# ## Saltar y separar: paso y dilatación { #paso }
#
# El filtro no tiene que avanzar de uno en uno. El **paso** (*stride*) es cuánto avanza: con paso 2 se salta un lugar de cada dos y
# el mapa mide más o menos la mitad. La **dilatación** (*dilation*) separa los números del filtro: con dilatación 2 deja un hueco entre cada dos,
# así que 3×3 números abarcan 5×5 píxeles.

# %% tags=["oculto"] alt="Tres cuadrículas de 7 por 7. En la primera, con paso 1, la primera ventana de 3 por 3 y la segunda se enciman en dos columnas. En la segunda, con paso 2, se enciman en una. En la tercera, con dilatación 2, los nueve puntos del filtro están separados por un hueco y abarcan 5 por 5." caption="La primera posición del filtro (cuadros azules) y la segunda (círculos naranjas)."
with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(7, 2.6))
    for axis, (title, stride, dilation) in zip(
        axes, (("paso 1", 1, 1), ("paso 2", 2, 1), ("dilatación 2", 1, 2)), strict=True
    ):
        for line in range(8):
            axis.plot([0, 7], [line, line], color=plotting.INK, linewidth=0.5)
            axis.plot([line, line], [0, 7], color=plotting.INK, linewidth=0.5)
        for row in range(0, 3 * dilation, dilation):
            for column in range(0, 3 * dilation, dilation):
                axis.add_patch(
                    plt.Rectangle(
                        (column, row), 1, 1, color=plotting.PALETTE[0], alpha=0.35, linewidth=0
                    )
                )
                axis.plot(column + stride + 0.5, row + 0.5, "o", color=plotting.PALETTE[1], ms=6)
        axis.set(title=title, xlim=(-0.1, 7.1), ylim=(7.1, -0.1), aspect="equal")
        axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# ### ¿Cuánto mide el mapa?
#
# No hay que memorizar la fórmula: se cuenta. La imagen mide $n$ y el relleno añade $p$ por cada lado: hay $n + 2p$ lugares. Un filtro
# de lado $k$ con dilatación $d$ abarca $k' = d(k - 1) + 1$. Su orilla izquierda puede empezar en el 0 y, como tarde, en
# $n + 2p - k'$. De $s$ en $s$, eso son
#
# $$ \left\lfloor \frac{n + 2p - k'}{s} \right\rfloor + 1 $$
#
# lugares. El $+1$ es el primero; los corchetes, que un paso a medias no cuenta. Con la imagen de arriba: $(5 - 3)/1 + 1 = 3$. Con una
# foto de CIFAR-10, de 32×32, un filtro de 3×3 y ningún relleno: $32 - 3 + 1 = 30$. Por eso el resultado mide **30×30**.


# %%
def output_side(side, kernel, stride=1, padding=0, dilation=1):
    """Lado del mapa."""
    reach = dilation * (kernel - 1) + 1
    return (side + 2 * padding - reach) // stride + 1


for name, size in {
    "binaria: 5, filtro 3": (5, 3),
    "CIFAR-10: 32, filtro 3": (32, 3),
    "LeNet-5 de hoy: 28, filtro 5, relleno 2": (28, 5, 1, 2),
    "AlexNet: 227, filtro 11, paso 4": (227, 11, 4),
}.items():
    print(f"{name:<42}{output_side(*size):>4}")

assert output_side(32, 3) == 30
assert output_side(227, 11, 4) == 55

# %% [markdown]
# ## Canales: un filtro es un bloque { #canales }
#
# Una foto tiene tres canales. El filtro, entonces, también: mide 3×3×3, un trozo para el rojo, otro para el verde y otro para el
# azul. Se multiplican los 27 números y se suman **todos juntos**, más un sesgo. De un filtro sale *un* mapa, tenga los canales que
# tenga la entrada. Para tener 64 mapas hacen falta 64 filtros, y esos mapas son los canales de la capa siguiente.
#
# Con lápiz, el caso más pequeño: una **convolución de 1×1** mira un solo píxel y mezcla sus canales. El píxel $(200, 100, 50)$ con
# el filtro $(\tfrac14, \tfrac12, \tfrac14)$ da $50 + 50 + 12.5 = 112.5$: un gris. No mira alrededor; decide cuánto pesa cada canal.

# %%
from cnnhistory import data, inspection

pixel = torch.tensor([200.0, 100.0, 50.0]).view(1, 3, 1, 1)
mix = torch.tensor([0.25, 0.5, 0.25]).view(1, 3, 1, 1)  # (filtros, canales, alto, ancho)
print("1×1:", F.conv2d(pixel, mix).item())
assert F.conv2d(pixel, mix).item() == 112.5

photo = data.cat()[None].float()  # (1, 3, 256, 256)
kernel = torch.randn(1, 3, 3, 3, generator=generator)
whole = F.conv2d(photo, kernel)
parts = sum(F.conv2d(photo[:, c : c + 1], kernel[:, c : c + 1]) for c in range(3))
print("tres canales a la vez, o de uno en uno y sumados:", torch.allclose(whole, parts, atol=1e-2))
assert torch.allclose(whole, parts, atol=1e-2)

# %% [markdown]
# ### ¿Por qué 1792 parámetros? { #parametros }
#
# Cuéntalos. Cada filtro tiene $3 \cdot 3 \cdot 3 = 27$ pesos. Son 64 filtros, y cada uno, un sesgo:
#
# $$ 3 \cdot 3 \cdot 3 \cdot 64 + 64 = 1728 + 64 = 1792 $$
#
# No aparece el tamaño de la imagen. El mismo filtro trabaja en los $30 \cdot 30$ lugares: los pesos **se comparten** (*weight
# sharing*). Compara con una capa densa que diera esos mismos $30 \cdot 30 \cdot 64 = 57\,600$ números.

# %%
from torch import nn

layer = nn.Conv2d(3, 64, kernel_size=3)
print(inspection.shape_table(nn.Sequential(layer), (3, 32, 32)))
numbers = 30 * 30 * 64
dense = 32 * 32 * 3 * numbers + numbers
print("la densa que da lo mismo:", inspection.thousands(dense), "parámetros")

assert inspection.count_parameters(layer) == 3 * 3 * 3 * 64 + 64 == 1792
assert layer(torch.zeros(1, 3, 32, 32)).shape == (1, 64, 30, 30)
assert dense == 177_004_800

# %% [markdown]
# Mil setecientos noventa y dos contra 177 millones. No hay truco: **una convolución es una capa densa** a la que se le quitó casi
# todo. Escrita como densa, la de 5×5 con filtro de 3×3 tiene 9 salidas y 25 entradas. De sus 225 pesos, 144 son cero, porque cada
# salida solo mira su ventana. Y los 81 que quedan son nueve números, repetidos.

# %% alt="Matriz de 9 filas por 25 columnas. En cada fila hay nueve casillas de colores en tres grupos de tres, numeradas del 1 al 9, y el resto vacías. De una fila a la siguiente el dibujo se corre hacia la derecha." caption="La convolución, escrita como capa densa: una fila por salida, una columna por píxel. El número dice cuál de los nueve pesos del filtro es."
numbered = torch.arange(1, 10).view(3, 3)
pictures = torch.eye(25, dtype=torch.long).view(25, 5, 5)  # un solo píxel encendido en cada una
matrix = torch.stack([slide(picture, numbered).flatten() for picture in pictures], dim=1)
with plotting.style():
    figure, axis = plt.subplots(figsize=(7.2, 2.8))
    for row, column in matrix.nonzero().tolist():
        index = matrix[row, column].item()
        color = plotting.PALETTE[(index - 1) // 3]
        axis.add_patch(plt.Rectangle((column, row), 1, 1, color=color, alpha=0.3, linewidth=0))
        axis.text(column + 0.5, row + 0.52, index, ha="center", va="center", size=8)
    axis.set(xlim=(0, 25), ylim=(9, 0), aspect="equal", xticks=[], yticks=[])
    axis.set(xlabel="píxeles de la imagen (25)", ylabel="salidas (9)")
    axis.spines[:].set_visible(True)
    figure.tight_layout()

print(
    "pesos:", matrix.numel(), "· distintos de cero:", (matrix > 0).sum().item(), "· diferentes: 9"
)
assert (matrix > 0).sum() == 81
assert torch.equal(matrix.unique(), torch.arange(10))
binary = (matrix == 0).logical_not() * saltire.flatten()[(matrix - 1).clamp(min=0)]
assert torch.equal((binary @ image.flatten()).view(3, 3), feature_map)  # la densa da el mismo mapa

# %% [markdown]
# ### Grupos
#
# Si no hace falta que cada filtro vea todos los canales, se reparten: con dos **grupos** (*groups*), la mitad de los filtros mira la
# mitad de los canales, y los pesos se reducen a la mitad. [AlexNet](../arquitecturas/alexnet.py) lo hizo para repartirse entre dos
# tarjetas.
#
# ## Desde cero, con todo { #desde-cero }
#
# Ya están todas las piezas. La función recibe un lote $(N, C, H, W)$ y los filtros, $(K, C/\text{grupos}, k, k)$, y devuelve
# $(N, K, H', W')$.


# %%
def convolve(images, weight, bias=None, stride=1, padding=0, dilation=1, groups=1):
    """La convolución de las redes, lugar por lugar y filtro por filtro."""
    images = F.pad(images, (padding,) * 4)
    filters, depth, side, _ = weight.shape
    reach = dilation * (side - 1) + 1
    tops = range(0, images.shape[2] - reach + 1, stride)
    lefts = range(0, images.shape[3] - reach + 1, stride)
    output = images.new_zeros(len(images), filters, len(tops), len(lefts))
    for row, top in enumerate(tops):
        for column, left in enumerate(lefts):
            window = images[:, :, top : top + reach : dilation, left : left + reach : dilation]
            for index in range(filters):
                first = index // (filters // groups) * depth  # los canales de su grupo
                seen = window[:, first : first + depth]
                output[:, index, row, column] = (seen * weight[index]).sum((1, 2, 3))
    return output if bias is None else output + bias[:, None, None]


# %% [markdown]
# ¿Es la de verdad? La comparamos con la de PyTorch en todas las combinaciones de paso, relleno, dilatación y grupos, y con dos tamaños
# de filtro. De paso comprobamos la fórmula del tamaño.

# %%
from itertools import product

images = torch.randn(2, 4, 9, 8, generator=generator)
checked, worst = 0, 0.0
for side, stride, padding, dilation, groups in product(
    (1, 3), (1, 2, 3), (0, 1, 2), (1, 2), (1, 2, 4)
):
    weight = torch.randn(4, 4 // groups, side, side, generator=generator)
    bias = torch.randn(4, generator=generator)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    mine, theirs = (
        convolve(images, weight, bias, **options),
        F.conv2d(images, weight, bias, **options),
    )
    worst = max(worst, (mine - theirs).abs().max().item())
    expected = [output_side(n, side, stride, padding, dilation) for n in (9, 8)]
    assert list(theirs.shape[2:]) == list(mine.shape[2:]) == expected
    checked += 1
print(f"{checked} combinaciones; la mayor diferencia, {worst:.0e}")

assert checked == 108
assert worst < 1e-4

# %% [markdown]
# ### ¿Convolución o correlación?
#
# En matemáticas, la **convolución** le da la vuelta al filtro, de arriba abajo y de izquierda a derecha, antes de pasarlo. Sin la
# vuelta se llama **correlación cruzada** (*cross-correlation*), y es lo que calculan todas las redes. A una red que aprende sus filtros
# le da igual: aprendería el filtro volteado. A quien copia un filtro de un libro, no. Con lápiz: la fila $0, 0, 9, 0, 0$ y el filtro
# $(1, 2, 3)$. Sin voltear, al llegar a la mancha el primero que la toca es el 3.

# %%
from scipy.signal import convolve2d

row, ramp = torch.tensor([[0, 0, 9, 0, 0]]), torch.tensor([[1, 2, 3]])
correlation = F.conv2d(row[None, None].float(), ramp[None, None].float())[0, 0].int()
convolution = torch.tensor(convolve2d(row, ramp, mode="valid"))
print("PyTorch (correlación):      ", correlation[0].tolist())
print("SciPy (convolución):        ", convolution[0].tolist())
print(
    "PyTorch, con filtro al revés:",
    F.conv2d(row[None, None].float(), ramp.flip(1)[None, None].float())[0, 0, 0].int().tolist(),
)

assert correlation[0].tolist() == [27, 18, 9]
assert convolution[0].tolist() == [9, 18, 27]

# %% [markdown]
# ## Filtros que se pueden leer { #filtros }
#
# Un filtro escrito a mano dice lo que hace. Si sus números suman 1, conserva el brillo; si suman 0, calla donde la imagen es lisa y
# solo contesta donde algo cambia. Pasemos seis por la gata.

# %% alt="Seis versiones de un ojo de la gata y el pelaje de al lado. La primera es la foto en gris. La segunda está borrosa. La tercera tiene los pelos más marcados. En la cuarta resaltan las líneas horizontales, como los párpados, y en la quinta, las verticales, como los lados del iris. En la sexta solo quedan contornos finos sobre un gris liso." caption="Seis filtros a mano sobre la misma parte de la foto, en gris. En los tres últimos, el gris medio es cero: ahí no cambia nada."
filters = {
    "identidad": torch.tensor([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
    "desenfocar, 7×7": torch.ones(7, 7) / 49,
    "enfocar": sharpen,
    "cambios de arriba abajo": torch.tensor([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "cambios de lado a lado": torch.tensor([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "contornos": torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
}
gray = photo.mean(1, keepdim=True)  # (1, 1, 256, 256)
answers = []
for name, kernel in filters.items():
    answer = F.conv2d(gray, kernel[None, None].float(), padding=len(kernel) // 2)
    answer = answer[0, 0, 32:160, 64:192]  # un ojo
    low, high = (0, 255) if kernel.sum() > 0.5 else (-120, 120)
    answers.append((255 * (answer - low) / (high - low)).clamp(0, 255).to(torch.uint8))
    flat = F.conv2d(torch.full((1, 1, 9, 9), 100.0), kernel[None, None].float())
    print(
        f"{name:<26} sus números suman {kernel.sum().item():.0f}; sobre un gris liso de 100 contesta {flat.mean().item():.0f}"
    )
    assert torch.allclose(flat, torch.tensor(100.0 * kernel.sum().item()), atol=1e-3)
plotting.image_grid(torch.stack(answers), titles=list(filters), columns=3, size=2)

# %% [markdown]
# Estos los escribió una persona. Una red no recibe ninguno: empieza con números al azar y el entrenamiento los va moviendo, como a
# los pesos de la capa densa. Con fotos, los de la primera capa acaban pareciéndose a estos: bordes en varias direcciones y manchas de
# color.[^filtros]
#
# ## Lo que promete: si la imagen se mueve, la respuesta se mueve { #equivarianza }
#
# Mueve la cámara tres píxeles. ¿El mapa es el mismo, tres píxeles más allá? Esa propiedad se llama **equivarianza a la traslación**
# (*translation equivariance*). La medimos con dos recortes de la misma foto, uno tres píxeles más a la derecha: lo que entra por el
# borde es imagen de verdad.

# %% alt="Tres cuadros en blanco y negro del mismo tamaño, con los lugares donde el mapa no coincide marcados en blanco. En el primero, sin relleno, no hay ninguno. En el segundo, con relleno, solo hay un marco de un píxel en la orilla. En el tercero, con paso 2 y tres píxeles, casi todo está marcado." caption="En blanco, los lugares donde el mapa de la foto movida no es el mapa movido. A la derecha, paso 2 con un movimiento impar."
kernel = torch.randn(1, 1, 3, 3, generator=generator)


def mismatches(shift, stride=1, padding=0):
    """Dónde difieren el mapa de la foto movida y el mapa movido, si existen los dos."""
    here, there = gray[..., 64:104, 64:104], gray[..., 64:104, 64 + shift : 104 + shift]
    first, second = (
        F.conv2d(crop, kernel, stride=stride, padding=padding)[0, 0] for crop in (here, there)
    )
    step = shift // stride
    return (first[:, step:] - second[:, : second.shape[1] - step]).abs() > 0.5


cases = {
    "sin relleno": mismatches(3),
    "relleno 1": mismatches(3, padding=1),
    "paso 2, se mueve 3": mismatches(3, stride=2),
    "paso 2, se mueve 4": mismatches(4, stride=2),
}
for name, wrong in cases.items():
    print(f"{name:<20}{wrong.float().mean().item():>7.1%} de los lugares no coincide")

assert not cases["sin relleno"].any()
assert 0 < cases["relleno 1"].float().mean() < 0.15
assert not cases["relleno 1"][1:-1, 1:-1].any()  # solo falla en la orilla
assert cases["paso 2, se mueve 3"].float().mean() > 0.6
assert not cases["paso 2, se mueve 4"].any()
with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(6.6, 2.5))
    for axis, (name, wrong) in zip(axes, cases.items(), strict=False):
        axis.imshow(wrong.numpy(), cmap="gray", vmin=0, vmax=1, interpolation="none")
        axis.set(title=name, xticks=[], yticks=[])
    figure.tight_layout()

# %% [markdown]
# Donde no hay orillas ni saltos, la promesa se cumple exactamente. Falla en dos sitios:
#
# - **En el borde con relleno.** Lo que en una foto era imagen, en la otra es cero. La red puede aprender a notar los ceros, y con ellos
#   *dónde* está el borde.
# - **Con paso mayor que 1.** Solo vale para movimientos múltiplos del paso. Con los otros, el filtro cae en píxeles que antes se
#   saltaba.
#
# Y no confundas: el mapa *se mueve con* la imagen. Que la respuesta final *no cambie* es otra cosa, la **invarianza** (*invariance*). Al
# principio de esta página hicimos las dos sin decirlo: el mapa del aspa se movía con ella, y tomar *el mayor* de sus valores la volvió
# insensible al lugar. Ese segundo paso tiene nombre, *pooling*, y es la página que sigue.
#
# ## Cuánto ve un solo número: el campo receptivo { #campo-receptivo }
#
# Un número del primer mapa vio 3×3 píxeles. Si encima va otra convolución de 3×3, cada uno de los suyos mira 3×3 números que miraron
# 3×3 píxeles, encimados: en total, 5×5. Con otra más, 7×7. Es el **campo receptivo** (*receptive field*). La regla: cada capa añade
# $(k - 1)$ pasos de los de su entrada, $r \leftarrow r + (k-1)\,j$, y luego $j \leftarrow j \cdot s$, donde $j$ es cuántos píxeles de la
# imagen separan a dos vecinos del mapa. Se empieza con $r = j = 1$.
#
# No hace falta creerlo: el gradiente lo dice. Tomamos el número del centro del mapa y preguntamos a qué píxeles les hace caso.

# %% alt="Cuatro cuadros de 19 por 19 píxeles con una mancha en el centro que crece: 3 por 3, 5 por 5, 7 por 7 y 11 por 11. En las manchas de varias capas, el centro es más intenso que la orilla." caption="A qué píxeles hace caso el número del centro, con una, dos y tres convoluciones de 3×3, y con una cuarta después de un paso de 2. Más azul, más caminos llegan."
from matplotlib.colors import LinearSegmentedColormap

strides = (1, 1, 2, 1)
field, jump, reached = 1, 1, []
blue = LinearSegmentedColormap.from_list("", [plotting.PALETTE[0] + "00", plotting.PALETTE[0]])
with plotting.style():
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.2))
    for depth, (axis, stride) in enumerate(zip(axes, strides, strict=True), start=1):
        field, jump = field + (3 - 1) * jump, jump * stride
        layers = [nn.Conv2d(1, 1, 3, stride=s, padding=1, bias=False) for s in strides[:depth]]
        for each in layers:
            nn.init.ones_(each.weight)
        probe = torch.zeros(1, 1, 19, 19, requires_grad=True)
        answer = nn.Sequential(*layers)(probe)[0, 0]
        answer[answer.shape[0] // 2, answer.shape[1] // 2].backward()
        seen = probe.grad[0, 0]
        reached.append(int((seen > 0).any(0).sum()))
        assert reached[-1] == field
        axis.imshow((seen / seen.max()).numpy(), cmap=blue, vmin=0, vmax=1, interpolation="none")
        axis.set(title=f"{field}×{field}", xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
    figure.tight_layout()

table = inspection.shape_table(
    nn.Sequential(*(nn.Conv2d(1, 1, 3, stride=s, padding=1) for s in strides)), (1, 19, 19)
)
print("medido:", reached, "· según la tabla:", [layer.receptive_field for layer in table])
assert reached == [layer.receptive_field for layer in table] == [3, 5, 7, 11]

# %% [markdown]
# Dos convoluciones de 3×3 ven lo mismo que una de 5×5 y cuestan menos: $2 \cdot 9 = 18$ pesos por cada par de canales, en vez de 25. De
# esa observación salió [una red entera](../arquitecturas/vgg.py) en 2014. Por eso los filtros que más se usan son
# pequeños: 3×3, algún 5×5 al principio, y 1×1 para mezclar canales.
#
# ## Cuánto cuesta { #costo }
#
# Pocos parámetros no quiere decir poco trabajo. El trabajo se cuenta en **MAC** (*multiply–accumulate*), una multiplicación y una suma:
# cada peso trabaja una vez en cada lugar. En la capa de los 1792:
#
# $$ \underbrace{30 \cdot 30}_{\text{lugares}} \cdot \underbrace{64}_{\text{filtros}} \cdot \underbrace{3 \cdot 3 \cdot 3}_{\text{pesos}} = 1\,555\,200 $$
#
# Cientos de veces más MAC que parámetros. En una capa densa son casi iguales, porque cada peso trabaja una sola vez.

# %% tags=["tiempos"]
import time

assert inspection.count_macs(layer, (3, 32, 32)) == 30 * 30 * 64 * 27 == 1_555_200
macs = inspection.count_macs(layer, (3, 16, 16))  # una imagen más chica: los bucles son lentos
batch = torch.randn(1, 3, 16, 16, generator=generator)
seconds = {}
with torch.inference_mode():
    for name, function in (("con bucles", convolve), ("PyTorch", F.conv2d)):
        start = time.perf_counter()
        function(batch, layer.weight, layer.bias)
        seconds[name] = time.perf_counter() - start
        print(
            f"{name:<12}{1000 * seconds[name]:9.2f} ms   {macs / seconds[name] / 1e6:9.1f} millones de MAC por segundo"
        )

assert seconds["con bucles"] > 20 * seconds["PyTorch"]

# %% [markdown]
# Las mismas multiplicaciones, en el mismo procesador. La diferencia está en hacerlas en grandes bloques en vez de una ventana a la vez.
# Uno de los modos lo programas en el [ejercicio 4](#ejercicios).
#
# ## Errores comunes { #errores }
#
# ### El filtro al revés
#
# Llevas los pesos de una red a otro programa que sí voltea el filtro. Nada falla: las formas son las mismas. Entrenamos una red
# pequeña y volteamos sus filtros.

# %%
from cnnhistory.training import evaluate, train

train_set, test_set = data.fashion_mnist("mini")
normalize = data.normalization(train_set)
batches = data.Batches(train_set, 128, shuffle=True, seed=SEED, transform=normalize)
asked = data.Batches(test_set, 500, transform=normalize)
torch.manual_seed(SEED)
net = nn.Sequential(
    *(nn.Conv2d(1, 12, kernel_size=5, stride=2), nn.ReLU()),  # (N, 12, 12, 12)
    *(nn.Conv2d(12, 24, kernel_size=3, stride=2), nn.ReLU()),  # (N, 24, 5, 5)
    *(nn.Flatten(), nn.Linear(24 * 5 * 5, 10)),
)
train(net, batches, asked, epochs=2, lr=0.03)
straight = evaluate(net, asked).top1
with torch.no_grad():
    for index in (0, 2):
        net[index].weight.copy_(net[index].weight.flip(2, 3).clone())
flipped = evaluate(net, asked).top1
print(f"como se aprendieron: {straight:.1%} · volteados: {flipped:.1%}")

assert straight > 0.75
assert flipped < straight - 0.2

# %% [markdown]
# ### Un borde que no existe
#
# La foto es un gris liso de 100. No hay ningún borde. El filtro de «cambios de lado a lado», con relleno de ceros, encuentra uno en
# cada orilla: el salto del gris al cero que le añadimos.

# %%
smooth = torch.full((1, 1, 8, 8), 100.0)
edge = filters["cambios de lado a lado"][None, None].float()
zeros = F.conv2d(smooth, edge, padding=1)[0, 0]
repeated = F.conv2d(F.pad(smooth, (1, 1, 1, 1), mode="replicate"), edge)[0, 0]
print("con ceros:           ", zeros[4].int().tolist())
print("repitiendo la orilla:", repeated[4].int().tolist())

assert zeros[4, 0] == 400
assert repeated.abs().max() == 0

# %% [markdown]
# En una red no suele importar: aprende a contar con ello. En un filtro escrito a mano, sí.
#
# ### Olvidar el relleno
#
# Cada convolución de 3×3 sin relleno se come un píxel por lado. No se nota con una. Con muchas, la imagen se acaba.

# %%
side, sizes = 28, [28]
while side >= 3:
    side = output_side(side, 3)
    sizes.append(side)
print("28 →", *sizes[1:])
try:
    F.conv2d(torch.zeros(1, 1, sizes[-1], sizes[-1]), torch.zeros(1, 1, 3, 3))
except RuntimeError as error:
    message = str(error)
print(f"con {len(sizes)} capas:", message)

assert sizes[-1] == 2
assert "Kernel size can't be greater" in message

# %% [markdown]
# Con relleno $p = (k-1)/2$ y paso 1, el tamaño no cambia. Por eso los filtros tienen lado impar.
#
# ### Contar mal los sesgos
#
# Hay cursos que cuentan los parámetros como $k \cdot k \cdot (C + 1) \cdot K$. Pero el sesgo es uno por filtro, no uno por cada posición del
# filtro:

# %%
for name, side, channels, kernels in (
    ("la de 3×3, 3 → 64", 3, 3, 64),
    ("una de 5×5, 32 → 64", 5, 32, 64),
):
    wrong = side * side * (channels + 1) * kernels
    right = side * side * channels * kernels + kernels
    real = inspection.count_parameters(nn.Conv2d(channels, kernels, side))
    print(f"{name:<22} mal {wrong:>6} · bien {right:>6} · PyTorch {real:>6}")
    assert right == real < wrong

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Con lápiz.** Calcula la esquina de abajo a la derecha del mapa enfocado. ¿Y cuánto mediría el mapa de la imagen binaria con
# relleno 1? ¿Y con relleno 1 y paso 2?

# %% tags=["solucion"]
print("esquina:", 5 * 130 - 134 - 95)
print(
    "relleno 1:",
    output_side(5, 3, padding=1),
    "· y paso 2:",
    output_side(5, 3, stride=2, padding=1),
)
assert sharpened[4, 4] == 5 * 130 - 134 - 95 == 421
assert output_side(5, 3, padding=1) == 5
assert output_side(5, 3, stride=2, padding=1) == 3

# %% [markdown]
# **2. Deducir.** El artículo de AlexNet dice que la imagen mide 224, el filtro 11 y el paso 4, y que el mapa mide 55. ¿Puede ser? Busca
# todas las maneras de que salga 55 cambiando la imagen (224 o 227) y el relleno (de 0 a 3).

# %% tags=["solucion"]
ways = [(side, p) for side in (224, 227) for p in range(4) if output_side(side, 11, 4, p) == 55]
print("imagen y relleno:", ways)
assert ways == [(224, 2), (224, 3), (227, 0), (227, 1)]

# %% [markdown] tags=["solucion"]
# Con 224 y sin relleno sale 54. Por eso casi todas las versiones de AlexNet usan 227, o 224 con relleno 2.

# %% [markdown]
# **3. Partir un filtro en dos.** Un desenfoque de 5×5, con todos sus números iguales, ¿se puede hacer con dos pasadas, una horizontal y otra
# vertical? ¿Cuántas multiplicaciones por píxel se ahorran? ¿Vale para cualquier filtro?

# %% tags=["solucion"]
square = torch.full((1, 1, 5, 5), 1 / 25)
across, down = torch.full((1, 1, 1, 5), 1 / 5), torch.full((1, 1, 5, 1), 1 / 5)
at_once, twice = F.conv2d(gray, square), F.conv2d(F.conv2d(gray, across), down)
ranks = {name: torch.linalg.matrix_rank(kernel.float()).item() for name, kernel in filters.items()}
print(
    "mismo resultado:", torch.allclose(at_once, twice, atol=1e-2), "· multiplicaciones: 25 y", 5 + 5
)
print("se pueden partir:", [name for name, rank in ranks.items() if rank == 1])
assert torch.allclose(at_once, twice, atol=1e-2)
assert ranks["enfocar"] > 1

# %% [markdown] tags=["solucion"]
# Solo si el filtro es una columna por una fila: una matriz de rango 1. El de enfocar no lo es.

# %% [markdown]
# **4. De bucles a una multiplicación.** `F.unfold` copia cada ventana en una columna. Con eso, la convolución es *una* multiplicación de
# matrices: la capa densa de cada ventana, todas a la vez. Prográmala, con paso y relleno.

# %% tags=["solucion"]


def convolve_at_once(images, weight, bias, stride=1, padding=0):
    """Ventanas en columnas, y una sola multiplicación."""
    filters, _, side, _ = weight.shape
    columns = F.unfold(images, side, stride=stride, padding=padding)  # (N, C·k·k, lugares)
    height, width = (output_side(n, side, stride, padding) for n in images.shape[2:])
    return (weight.flatten(1) @ columns + bias[:, None]).view(len(images), filters, height, width)


weight, bias = torch.randn(6, 4, 3, 3, generator=generator), torch.randn(6, generator=generator)
for stride, padding in product((1, 2), (0, 1)):
    expected = F.conv2d(images, weight, bias, stride=stride, padding=padding)
    assert torch.allclose(
        convolve_at_once(images, weight, bias, stride, padding), expected, atol=1e-4
    )
copies = F.unfold(images, 3, padding=1).numel() / images.numel()
print(f"igual que PyTorch; a cambio, cada píxel se copia {copies:.0f} veces")
assert copies == 9

# %% [markdown]
# **5. Inventar.** Alguien te da una foto y la misma foto después de un filtro secreto de 3×3. Encuentra el filtro *aprendiéndolo*: empieza
# en cero y baja la diferencia con el gradiente.

# %% tags=["solucion"]
small = (gray[..., 64:160, 64:160] - gray.mean()) / gray.std()
target = F.conv2d(small, sharpen[None, None].float())
secret = torch.zeros(1, 1, 3, 3, requires_grad=True)
optimizer = torch.optim.Adam([secret], lr=0.1)
for step in range(1501):
    loss = F.mse_loss(F.conv2d(small, secret), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if step % 500 == 0:
        print(f"paso {step:4}: diferencia {loss.item():.6f}")
print(*[[round(value, 2) for value in line] for line in secret[0, 0].tolist()], sep="\n")
assert torch.allclose(secret.detach()[0, 0], sharpen.float(), atol=0.1)

# %% [markdown] tags=["solucion"]
# Aparece el filtro de enfocar, y nadie lo escribió: salió de un ejemplo de antes y después. Es lo que hace una red con cada uno de sus filtros,
# con la diferencia de que nadie le da el «después»: lo deduce de las etiquetas.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Antes: [la capa densa](capa-densa.py), de la que la convolución es un caso particular.
# - En la referencia: [`shape_table`][cnnhistory.inspection.shape_table], [`count_macs`][cnnhistory.inspection.count_macs] y
#   [`count_parameters`][cnnhistory.inspection.count_parameters].
# - La convolución con la que empezó todo: [LeNet-5](../arquitecturas/lenet-5.py). Una con dos grupos: [AlexNet](../arquitecturas/alexnet.py).
#
# ## Referencias { #referencias }
#
# - [Fukushima (1980)](../referencia/bibliografia.md#fukushima1980): la misma ventana en todos los lugares, antes de saber entrenarla.
# - [LeCun y otros (1989)](../referencia/bibliografia.md#lecun1989): filtros aprendidos, y no escritos, para leer códigos postales.
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012): los números de AlexNet.
# - [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014): apilar filtros de 3×3.
#
# [^filtros]: Los 96 de la primera capa de AlexNet están dibujados en la figura 3 de
#     [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012).
