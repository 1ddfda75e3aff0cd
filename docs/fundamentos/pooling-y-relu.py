# %% [markdown]
# # Pooling y ReLU: lo que una red decide olvidar
#
# Una foto pequeña, de 32×32, entra en una convolución de 64 filtros y salen 57 600 números. La foto tenía
# 3072. En lugar de resumir, la capa multiplicó los números por casi diecinueve. Y la pregunta era de una sola
# palabra: ¿gato o perro?
#
# **¿Qué números puedes tirar sin que se note?** En esta página hay dos respuestas, y casi todas las redes de este
# sitio usan las dos. El **pooling** tira el lugar exacto. La **ReLU** tira lo negativo. Las dos se calculan a mano en
# un minuto, y las dos se pueden hacer mal de maneras que no dan ningún error.
#
# Vienes de [la convolución, a mano](convolucion.py): ya sabes pasar un filtro por una imagen y obtener un *mapa de
# características*, que dice dónde responde el filtro y con cuánta fuerza. Aquí empezamos donde aquello terminó.

# %%
import math
from functools import partial
from itertools import product

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import data, inspection, plotting
from cnnhistory.training import evaluate, make_optimizer, train, train_one_epoch

seed = 0

# %% [markdown]
# Todo el azar sale de `seed`. Cámbiala y repite: los números se moverán un poco, las conclusiones no.
#
# ## Dieciséis números y un lápiz { #a-mano }
#
# Este es un mapa de 4×4. Pártelo en cuatro ventanas de 2×2 y quédate con un número de cada una. Hay tres
# maneras obvias: el mayor, el menor o el promedio. Hazlo con lápiz antes de seguir; de la primera ventana, que tiene
# un 6, un 4, un 5 y un 4, salen 6, 4 y 4.75.

# %% tags=["oculto"] alt="A la izquierda, una cuadrícula de 4 por 4 con los números 6 4 8 5, 5 4 5 8, 3 6 7 7 y 7 9 7 2; cada ventana de 2 por 2 tiene un color. A la derecha, tres cuadrículas de 2 por 2 con los mismos colores: máximo 6, 8, 9, 7; mínimo 4, 5, 3, 2; promedio 4.75, 6.5, 6.25, 5.75." caption="El mismo mapa y sus tres resúmenes. Cada color es una ventana: cuatro números que se vuelven uno."
feature_map = torch.tensor([[6, 4, 8, 5], [5, 4, 5, 8], [3, 6, 7, 7], [7, 9, 7, 2]]).float()


def draw_numbers(axis, numbers, window, title):
    """Una cuadrícula de números, con un color por ventana."""
    for (row, column), value in zip(
        product(*map(range, numbers.shape)), numbers.flatten().tolist(), strict=True
    ):
        color = plotting.PALETTE[2 * (row // window) + column // window]
        axis.add_patch(plt.Rectangle((column, row), 1, 1, facecolor=color, alpha=0.25))
        axis.text(column + 0.5, row + 0.5, f"{value:g}", ha="center", va="center", size=11)
    height, width = numbers.shape
    axis.set(xlim=(-0.05, width + 0.05), ylim=(height + 0.05, -0.05), aspect="equal", title=title)
    axis.axis("off")


batch = feature_map[None, None]  # (1, 1, 4, 4): una imagen, un canal
with plotting.style():
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.2), width_ratios=(2, 1, 1, 1))
    draw_numbers(axes[0], feature_map, 2, "el mapa")
    draw_numbers(axes[1], F.max_pool2d(batch, 2)[0, 0], 1, "máximo")
    draw_numbers(axes[2], -F.max_pool2d(-batch, 2)[0, 0], 1, "mínimo")
    draw_numbers(axes[3], F.avg_pool2d(batch, 2)[0, 0], 1, "promedio")
    figure.tight_layout()

# %% [markdown]
# A esto se le llama **pooling**, y a veces *submuestreo*. Es una ventana que recorre el mapa como la de una
# convolución, con dos diferencias: no tiene pesos que aprender, y su paso (*stride*) suele ser igual a su lado, de modo
# que las ventanas no se pisan. Un mapa de $n \times n$ con ventanas de 2×2 queda en $n/2 \times n/2$: **la cuarta
# parte de los números**. En PyTorch hay una función para el máximo y otra para el promedio. Para el mínimo no
# hay, ni hace falta: el menor de unos números es el mayor de sus opuestos, con el signo cambiado.

# %%
maximum = F.max_pool2d(batch, kernel_size=2)
minimum = -F.max_pool2d(-batch, kernel_size=2)
average = F.avg_pool2d(batch, kernel_size=2)

print("máximo  ", maximum.flatten().tolist())
print("mínimo  ", minimum.flatten().tolist())
print("promedio", average.flatten().tolist())

assert maximum.flatten().tolist() == [6, 8, 9, 7]
assert minimum.flatten().tolist() == [4, 5, 3, 2]
assert average.flatten().tolist() == [4.75, 6.5, 6.25, 5.75]

# %% [markdown]
# De las tres, una no es nueva. El promedio *es* una convolución: un filtro de 2×2 con cuatro pesos de 1/4, que
# avanza de dos en dos. El máximo no lo es, y no hay pesos que lo consigan. Una convolución cumple siempre que la
# respuesta a una suma es la suma de las respuestas. El máximo no:

# %%
quarter = torch.full((1, 1, 2, 2), 1 / 4)
assert torch.equal(F.conv2d(batch, quarter, stride=2), average)

left, right = torch.tensor([[[[1.0, 0], [0, 0]]]]), torch.tensor([[[[0, 1.0], [0, 0]]]])
apart = F.max_pool2d(left, 2) + F.max_pool2d(right, 2)
together = F.max_pool2d(left + right, 2)
print(f"máximo de cada una, y sumar: {apart.item():.0f}; sumar, y máximo: {together.item():.0f}")
assert apart != together

# %% [markdown]
# ## Qué tira cada uno { #que-tira }
#
# Si cuatro números se vuelven uno, muchas ventanas distintas acaban igual, y la red ya nunca podrá distinguirlas.
# ¿Cuántas? Con los dígitos del 0 al 9 se pueden contar: hay $10^4$ ventanas de 2×2. El máximo y el mínimo
# dan diez resultados posibles; el promedio, uno por cada suma de 0 a 36.

# %%
windows = torch.tensor(list(product(range(10), repeat=4))).float()
kept = {
    "máximo": windows.amax(1),
    "mínimo": windows.amin(1),
    "promedio": windows.mean(1),
}
for name, values in kept.items():
    crowd = (values == values.mode().values).sum().item()
    print(f"{name:<9}{len(values.unique()):>3} resultados; el más repetido lo dan {crowd} ventanas")

assert [len(values.unique()) for values in kept.values()] == [10, 10, 37]
assert (kept["máximo"] == 9).sum() == 10**4 - 9**4  # alguna casilla vale 9

# %% [markdown]
# El promedio conserva más. ¿Por qué entonces casi todas las redes usan el máximo? Porque importa **qué** se
# conserva, no cuánto. Mira un bolso y una sandalia, con ventanas cada vez mayores:

# %% alt="Dos filas, un bolso y una sandalia, con cuatro columnas cada una: la imagen, el máximo, el mínimo y el promedio en ventanas de 4 por 4. Con el máximo las prendas engordan y el asa delgada del bolso se conserva. Con el mínimo el asa desaparece y de las prendas queda poco. Con el promedio el asa queda muy tenue y todo es más gris." caption="Lo que queda de 28×28 píxeles en 7×7. Arriba de cada una, con qué se resumió."
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
bag = test_set.images[test_set.labels == test_set.classes.index("bolso")][2:3]
sandal = test_set.images[test_set.labels == test_set.classes.index("sandalia")][2:3]


def summaries(picture):
    """La imagen y sus tres resúmenes, todos de 28×28 para verlos juntos."""
    picture = picture.float() / 255
    small = (F.max_pool2d(picture, 4), -F.max_pool2d(-picture, 4), F.avg_pool2d(picture, 4))
    return [picture, *(F.interpolate(each, scale_factor=4) for each in small)]


both = torch.cat(summaries(bag) + summaries(sandal))
shades = both.mul(255).byte()  # en una sola escala de gris, de 0 a 255
plotting.image_grid(
    shades, ["imagen", "máximo", "mínimo", "promedio"] + [""] * 4, columns=4, size=1.3
)

# %% [markdown]
# El máximo deja pasar lo brillante aunque sea un trazo de un píxel, y lo engorda. El mínimo lo borra. El promedio
# lo diluye: un píxel blanco en una ventana negra de 4×4 queda en un dieciseisavo de blanco.
#
# No hay nada mágico en el máximo. Si la prenda fuera negra sobre papel blanco, el que conservaría los
# trazos sería el mínimo. Pero la red no hace pooling sobre fotos, lo hace sobre mapas de características, y en un mapa
# **un número grande significa «aquí está lo que busco»**. Quedarse con el máximo es preguntar si el filtro encontró
# algo en esta zona. Promediar es preguntar cuánta zona se le parece.

# %% [markdown]
# ## ¿Y si la imagen se mueve un píxel? { #corrimientos }
#
# La convolución promete que, si la imagen se mueve, [el mapa se mueve con ella](convolucion.py#equivarianza). Del pooling oirás otra promesa: que da
# *invarianza* a pequeños desplazamientos, es decir, que la respuesta no cambia. Ponla a prueba con lápiz. Una fila de ocho lugares, un solo 9, ventanas de dos:
#
# | El 9 está en el lugar | fila | máximo por ventanas |
# | ---: | --- | --- |
# | 2 | 0 0 · **9** 0 · 0 0 · 0 0 | 0 9 0 0 |
# | 3 | 0 0 · 0 **9** · 0 0 · 0 0 | 0 9 0 0 |
# | 4 | 0 0 · 0 0 · **9** 0 · 0 0 | 0 0 9 0 |
#
# Del 2 al 3, nada cambia. Del 3 al 4 cambia todo. La promesa se cumple **la mitad de las veces**, según dónde
# caiga la frontera entre ventanas. Hay que medirlo: tomamos prendas, las pasamos por un filtro que
# busca bordes verticales, resumimos el mapa, y comparamos con lo mismo hecho a la prenda corrida un píxel. ¿Cuánto
# es mucho? Lo dividimos por lo que difieren dos prendas *distintas*. Un 0 % es invarianza; con un 100 %, mover la prenda
# sería como cambiarla por otra.

# %%
garments = val_set.images[:200].float() / 255
edges = torch.tensor([[[[-1.0, 0, 1], [-2, 0, 2], [-1, 0, 1]]]])
pools = {
    "sin pooling": lambda maps: maps,
    "uno de cada cuatro": lambda maps: maps[..., ::2, ::2],
    "máximo 2×2": lambda maps: F.max_pool2d(maps, 2),
    "promedio 2×2": lambda maps: F.avg_pool2d(maps, 2),
    "máximo 3×3, paso 2": lambda maps: F.max_pool2d(maps, 3, stride=2),
    "máximo 4×4": lambda maps: F.max_pool2d(maps, 4),
    "promedio 4×4": lambda maps: F.avg_pool2d(maps, 4),
    "promedio global": lambda maps: maps.mean(dim=(2, 3)),
}


def moved(images, right, down):
    """Corre la imagen; lo que entra por la orilla es negro."""
    return F.pad(images, (right, -right, down, -down))


def sensitivity(pool):
    """Lo que cambia al correr un píxel, dividido por lo que cambia entre prendas distintas."""

    def describe(images):
        return pool(F.conv2d(images, edges, padding=1).relu()).flatten(1)

    before = describe(garments)
    between = (before - before.roll(1, dims=0)).norm(dim=1).mean()
    shifts = (describe(moved(garments, *step)) for step in ((1, 0), (-1, 0), (0, 1), (0, -1)))
    return sum(((after - before).norm(dim=1).mean() / between).item() for after in shifts) / 4


moves = {name: sensitivity(pool) for name, pool in pools.items()}
for name, share in moves.items():
    print(f"{name:<20}{share:>5.0%}")

assert moves["máximo 2×2"] < moves["sin pooling"] < 1.05 * moves["uno de cada cuatro"]
assert moves["promedio 2×2"] < moves["sin pooling"]
assert moves["máximo 3×3, paso 2"] < moves["máximo 2×2"]
assert moves["máximo 4×4"] < moves["máximo 2×2"]
assert moves["promedio global"] < moves["promedio 4×4"] < moves["promedio 2×2"]
assert moves["máximo 2×2"] > 0.15  # tolera, no es invariante

# %% [markdown]
# Tolerancia, sí; invarianza, no. La ventana de 2×2 perdona una parte, y la mayor perdona más. Tirar tres de cada
# cuatro números sin mirarlos (la segunda línea) achica el mapa igual y no perdona nada: lo que ayuda es el
# *resumen*. En las redes de verdad esto importa más de lo que se creyó mucho tiempo: Zhang midió en 2019 que una red
# moderna puede cambiar de respuesta cuando la foto se mueve un píxel.[^zhang]
#
# ### Ventanas que se pisan
#
# Si el paso es menor que el lado, las ventanas comparten píxeles: es el *pooling con traslape* (*overlapping
# pooling*). En la fila 3 1 4 1 5, con ventanas de 3 y paso 2, salen 4 y 5: el 4 del medio participa en las dos. El tamaño
# sale de la misma cuenta que en la convolución, $\lfloor (n - k)/s \rfloor + 1$, con $k$ el lado y $s$ el paso. Para un
# mapa de 55×55, ventanas de 3 y paso 2: $\lfloor 52/2 \rfloor + 1 = 27$. Es el de AlexNet, cuyos autores cuentan que
# bajó su error top-1 en 0.4 puntos.[^alexnet]

# %%
row = torch.tensor([[[3.0, 1, 4, 1, 5]]])
print(F.max_pool1d(row, kernel_size=3, stride=2).tolist())
assert F.max_pool1d(row, kernel_size=3, stride=2).tolist() == [[[4, 5]]]
assert F.max_pool2d(torch.zeros(1, 96, 55, 55), kernel_size=3, stride=2).shape == (1, 96, 27, 27)

# %% [markdown]
# ### Un solo número por mapa
#
# En el otro extremo, la ventana es el mapa entero: el *pooling global promedio* (*global average pooling*). Cada mapa se
# vuelve un número, «cuánto de esto hay en la foto», sin ningún *dónde*. El premio se cuenta con lápiz. Una capa
# densa de diez salidas sobre 64 mapas de 30×30 tiene $57\,600 \cdot 10 + 10$ parámetros. Sobre 64 números, $64 \cdot 10 + 10$.
# Y como el resumen mide lo mismo para cualquier imagen, la red deja de exigir un tamaño fijo.

# %%
flat = nn.Linear(64 * 30 * 30, 10)
pooled = nn.Linear(64, 10)
print(inspection.thousands(inspection.count_parameters(flat)), "parámetros aplanando")
print(inspection.thousands(inspection.count_parameters(pooled)), "parámetros con pooling global")

assert inspection.count_parameters(flat) == 576_010
assert inspection.count_parameters(pooled) == 650
for side in (30, 47):
    assert pooled(torch.zeros(1, 64, side, side).mean(dim=(2, 3))).shape == (1, 10)

# %% [markdown]
# Lo propuso [Network in Network](../arquitecturas/nin.py) en 2013, y desde GoogLeNet casi ninguna red
# termina de otra manera.
#
# ## ¿Y clasifica mejor? { #entrenar }
#
# Dos convoluciones, una capa densa, y entre ellas cinco maneras de reducir (o ninguna). La misma receta para todas,
# 3000 imágenes de Fashion-MNIST, tres épocas. Después medimos con las prendas de prueba centradas y corridas dos
# píxeles. Nadie entrenó con prendas corridas.


# %%
class MinPool(nn.Module):
    """El mínimo de cada ventana de 2×2."""

    def forward(self, maps):
        """``(N, C, H, W)`` → ``(N, C, H/2, W/2)``."""
        return -F.max_pool2d(-maps, 2)


def two_convolutions(pool, side):
    """Convolución, ReLU y reducción, dos veces; `side` es el lado del último mapa."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 8, kernel_size=3, padding=1), nn.ReLU(), pool()),
        *(nn.Conv2d(8, 16, kernel_size=3, padding=1), nn.ReLU(), pool()),
        *(nn.Flatten(), nn.Linear(16 * side * side, 10)),
    )


normalize = data.normalization(train_set)
val_batches = data.Batches(val_set, 500, transform=normalize)


def fit(net, lr, epochs=3, count=3000):
    """La misma receta para todas."""
    lots = data.Batches(train_set[:count], 64, shuffle=True, seed=seed, transform=normalize)
    return train(net, lots, val_batches, epochs=epochs, lr=lr)


def accuracy(net, pixels=0):
    """Acierto en la prueba con las prendas corridas, promedio de cuatro direcciones."""
    scores = []
    for right, down in ((pixels, 0), (-pixels, 0), (0, pixels), (0, -pixels)):
        shift = data.Batches(
            test_set, 500, transform=lambda x, r=right, d=down: normalize(moved(x, r, d))
        )
        scores.append(evaluate(net, shift).top1)
    return sum(scores) / 4


kinds = {
    "máximo": (lambda: nn.MaxPool2d(2), 7),
    "promedio": (lambda: nn.AvgPool2d(2), 7),
    "mínimo": (MinPool, 7),
    "uno de cada cuatro": (lambda: nn.MaxPool2d(1, stride=2), 7),
    "sin reducir": (nn.Identity, 28),
}
scores = {}
print(f"{'':<20}{'parámetros':>10}{'centradas':>11}{'corridas':>10}")
for name, (pool, side) in kinds.items():
    net = two_convolutions(pool, side)
    fit(net, lr=0.05)
    scores[name] = accuracy(net), accuracy(net, pixels=2)
    count = inspection.thousands(inspection.count_parameters(net))
    print(f"{name:<20}{count:>10}{scores[name][0]:>11.1%}{scores[name][1]:>10.1%}")

others = [pair for name, pair in scores.items() if name not in ("máximo", "sin reducir")]
assert scores["máximo"][0] > max(centered for centered, _shifted in others)
assert scores["máximo"][1] > max(shifted for _centered, shifted in others)
assert scores["máximo"][1] > scores["sin reducir"][1] + 0.03
assert scores["máximo"][0] > scores["sin reducir"][0] - 0.01

# %% [markdown]
# El máximo gana entre las que reducen, centradas y corridas. Y mira la última línea: quien guarda todo necesita catorce
# veces más parámetros para acertar más o menos lo mismo con las prendas centradas, y se hunde más en cuanto se mueven. Guardó
# el *dónde*, y aprendió a fiarse de él. **Olvidar es parte de aprender**.
#
# Ninguna es invariante: dos píxeles le cuestan mucho a todas. Quien necesite más tolerancia tendrá que enseñarla, con
# [aumentación](../tecnicas/aumentacion.py).

# %% [markdown]
# ## ¿Por qué no basta con apilar convoluciones? { #relu }
#
# Segunda pregunta. Una convolución ve 3×3. Dos seguidas ven 5×5, así que apilar debería dar redes cada vez más
# listas. Pruébalo con lápiz, en una fila y con dos filtros que suman a cada número su vecino:
#
# $$ (1, 0, 0, 2) \;\xrightarrow{\;(1, 1)\;}\; (1, 0, 2) \;\xrightarrow{\;(1, 1)\;}\; (1, 2) $$
#
# Ahora pasa **una sola vez** el filtro $(1, 2, 1)$: $1 + 2 \cdot 0 + 0 = 1$ y $0 + 2 \cdot 0 + 2 = 2$. Lo mismo. Y no es
# suerte: dos convoluciones seguidas son siempre una convolución mayor. Cien también. Cada capa suma y
# multiplica por constantes, y sumas de sumas no dan más que sumas.
#
# Hace falta algo en medio que no sea una suma. Lo más simple que funciona se llama **ReLU** (*rectified linear unit*):
# lo negativo pasa a cero, lo positivo queda igual.
#
# $$ \mathrm{ReLU}(x) = \max(0, x) \qquad\qquad (-3, 2, 0, -1, 5) \;\to\; (0, 2, 0, 0, 5) $$

# %%
torch.manual_seed(seed)
image = torch.randn(1, 1, 12, 12)
first, second = torch.randn(1, 1, 3, 3), torch.randn(1, 1, 3, 3)
# El filtro de 5×5 equivalente: lo que responden los dos juntos a un solo punto encendido.
point = F.pad(torch.ones(1, 1, 1, 1), (4, 4, 4, 4))
single = F.conv2d(F.conv2d(point, first), second).flip(2, 3)

stacked = F.conv2d(F.conv2d(image, first), second)
print("dos convoluciones de 3×3 = una de 5×5:",
      torch.allclose(stacked, F.conv2d(image, single), atol=1e-4))  # fmt: skip
broken = F.conv2d(F.conv2d(image, first).relu(), second)
print("con una ReLU en medio:", torch.allclose(broken, F.conv2d(image, single), atol=1e-4))

assert torch.allclose(stacked, F.conv2d(image, single), atol=1e-4)
assert not torch.allclose(broken, F.conv2d(image, single), atol=0.1)
assert F.relu(torch.tensor([-3, 2, 0, -1, 5])).tolist() == [0, 2, 0, 0, 5]

# %% [markdown]
# En un mapa, la ReLU también tira información: de una respuesta negativa ya no se sabe si era $-1$ o $-100$. «Aquí no
# está lo que busco» es suficiente. Y se lleva bien con el máximo: da igual cuál vaya primero, porque el mayor de
# unos números es positivo si alguno lo es. Con el promedio, no: en la ventana $(-4, 4)$, promediar da 0; anular y
# promediar, 2.

# %%
maps = torch.randn(1, 8, 28, 28)
assert torch.equal(F.max_pool2d(maps.relu(), 2), F.max_pool2d(maps, 2).relu())
assert not torch.allclose(F.avg_pool2d(maps.relu(), 2), F.avg_pool2d(maps, 2).relu())
window = torch.tensor([-4.0, 4.0])
assert (window.mean().relu().item(), window.relu().mean().item()) == (0.0, 2.0)

# %% [markdown]
# ## La derivada que manda { #gradientes }
#
# Antes de la ReLU, lo que se ponía en medio eran curvas suaves con forma de S: la *sigmoide*, que va de 0 a 1, y la
# *tangente hiperbólica* (tanh), que va de −1 a 1. También rompen la suma. ¿Qué tienen de malo?
#
# Recuerda que entrenar es preguntar, para cada peso, cuánto cambia la pérdida si lo muevo: su **gradiente**. La pregunta viaja
# desde la salida hacia atrás, capa por capa, y en cada capa se *multiplica* por la derivada de la función
# que haya en medio. La sigmoide es $\sigma(x) = 1/(1 + e^{-x})$ y su derivada es $\sigma(x)\,(1 - \sigma(x))$: un número
# entre 0 y 1 por lo que le falta para 1. El producto es mayor cuando los dos valen $1/2$, y entonces es **un cuarto**.
#
# Con $n$ sigmoides en fila, el gradiente se multiplica por $(1/4)^n$ *en el mejor de los casos*. Con diez:
#
# $$ \left(\tfrac14\right)^{10} = \frac{1}{1\,048\,576} $$
#
# Una millonésima. La ReLU tiene derivada 1 donde pasa y 0 donde no: el gradiente que pasa, pasa entero.

# %% alt="A la izquierda, tres curvas: la sigmoide, que sube de 0 a 1; tanh, que sube de −1 a 1; y ReLU, que es cero y luego una recta. A la derecha, sus derivadas: la de la sigmoide es una loma baja que llega a un cuarto; la de tanh, una loma que llega a uno; la de ReLU salta de cero a uno y ahí se queda." caption="Las tres funciones y sus derivadas. Lejos del cero, las dos curvas se aplanan y su derivada se apaga."
functions = {"sigmoide": torch.sigmoid, "tanh": torch.tanh, "ReLU": torch.relu}
grid = torch.linspace(-6, 6, 241, requires_grad=True)
slopes = {}
with plotting.style():
    figure, (left_axis, right_axis) = plt.subplots(1, 2, figsize=(7.2, 2.6))
    for (name, function), dashes in zip(functions.items(), ("-", "--", "-."), strict=True):
        values = function(grid)
        (slopes[name],) = torch.autograd.grad(values.sum(), grid)
        left_axis.plot(grid.detach(), values.detach(), dashes, label=name)
        right_axis.plot(grid.detach(), slopes[name], dashes, label=name)
    left_axis.set(title="la función", ylim=(-1.2, 2.5))
    right_axis.set(title="su derivada", ylim=(-0.05, 1.1))
    left_axis.legend()
    figure.tight_layout()

assert slopes["sigmoide"].max() == 0.25
assert slopes["tanh"].max() == 1
assert set(slopes["ReLU"].tolist()) == {0, 1}
assert 4**10 == 1_048_576

# %% [markdown]
# ### Medido, con veinte capas
#
# Un cuarto es la cota. Entre capa y capa también se multiplica por los pesos, que pueden encoger o agrandar. Así que midámoslo:
# una red de veinte convoluciones, imágenes reales, un solo paso hacia atrás, y la norma (la longitud) del gradiente que le
# llega a cada capa.
#
# Para que la comparación sea justa, cada función nace con los pesos que le convienen: los de Glorot y Bengio para las dos curvas,
# y los de He para la ReLU, que apaga la mitad de lo que recibe y necesita pesos $\sqrt 2$ veces mayores.[^init] Ponemos
# además dos casos tramposos: sigmoides con pesos cuatro veces mayores, para compensar el cuarto, y ReLU
# con los pesos con que nace por omisión una capa de PyTorch.


# %%
def tower(activation, depth, start):
    """Convoluciones de 16 canales, una tras otra, con la misma función en medio."""
    layers = [nn.Conv2d(1, 16, kernel_size=3, padding=1), activation(), nn.MaxPool2d(4)]
    for _ in range(depth - 1):
        layers += [nn.Conv2d(16, 16, kernel_size=3, padding=1), activation()]
    net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(16 * 7 * 7, 10))
    for layer in net:
        if start and isinstance(layer, nn.Conv2d | nn.Linear):
            start(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def fourfold(weight):
    """Cuatro veces los pesos de Glorot y Bengio."""
    nn.init.xavier_normal_(weight, gain=4)


def he(weight):
    """La inicialización de He, la de una ReLU."""
    nn.init.kaiming_normal_(weight, nonlinearity="relu")


def gradient_norms(activation, start, depth=20):
    """La norma del gradiente de los pesos de cada convolución, de la primera a la última."""
    torch.manual_seed(seed)
    net = tower(activation, depth, start)
    images, labels = next(iter(data.Batches(val_set, 200, transform=normalize)))
    F.cross_entropy(net(images), labels).backward()
    return [layer.weight.grad.norm().item() for layer in net if isinstance(layer, nn.Conv2d)]


towers = {
    "sigmoide": gradient_norms(nn.Sigmoid, nn.init.xavier_normal_),
    "sigmoide, pesos ×4": gradient_norms(nn.Sigmoid, fourfold),
    "tanh": gradient_norms(nn.Tanh, nn.init.xavier_normal_),
    "ReLU": gradient_norms(nn.ReLU, he),
    "ReLU, pesos por omisión": gradient_norms(nn.ReLU, None),
}
reach = {name: norms[0] / norms[-1] for name, norms in towers.items()}
for name, share in reach.items():
    print(f"{name:<25} llega a la primera capa {share:.0e} de lo que hay en la última")

per_layer = reach["sigmoide"] ** (1 / 19)
print(f"\nsigmoide: cada capa multiplica por {per_layer:.2f}, y (1/4)^19 es {0.25**19:.0e}")
assert reach["sigmoide"] < 0.25**19
assert per_layer < 0.25
assert 1e-7 < reach["sigmoide, pesos ×4"] < 1e-2
assert reach["tanh"] > 0.1
assert reach["ReLU"] > 0.05
assert reach["ReLU, pesos por omisión"] < 1e-4

# %% tags=["oculto"] alt="Norma del gradiente en escala logarítmica para las capas 1 a 20. Las líneas de tanh y de ReLU van planas en lo alto. La de ReLU con pesos por omisión y la de sigmoide con pesos por cuatro caen varias potencias de diez hacia la capa 1. La de sigmoide cae en línea recta trece potencias de diez." caption="El gradiente que llega a cada capa, de la salida (derecha) a la entrada (izquierda). Cada marca del eje vertical es mil veces menos."
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.6, 3.1))
    for (name, norms), marker in zip(towers.items(), "os^Dv", strict=True):
        axis.semilogy(range(1, 21), norms, marker=marker, markersize=3.5, label=name)
    axis.set(xlabel="capa", ylabel="norma del gradiente", xticks=(1, 5, 10, 15, 20))
    axis.set_yticks([10.0**-power for power in range(0, 16, 3)])
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend(fontsize=8, loc="lower right")
    figure.tight_layout()

# %% [markdown]
# A esto se le llama **desvanecimiento del gradiente**. La primera capa, la que mira los píxeles, recibe tan poco que no se movería en
# toda una vida. Y el experimento dice más de lo que suele contarse:
#
# - **La sigmoide es peor que su cota**, porque a cada capa le llegan números que no están en el cero, donde la derivada
#   vale un cuarto.
# - **Agrandar los pesos ayuda y no alcanza**: pesos grandes empujan las sigmoides a sus extremos planos.
# - **tanh, bien inicializada, no tiene este problema** con veinte capas. Su derivada llega a 1.
# - **ReLU, mal inicializada, sí lo tiene.** No es un talismán: la función y los pesos iniciales se eligen juntos.
#
# ## ReLU contra tanh, entrenadas { #entrenadas }
#
# Krizhevsky, Sutskever y Hinton mostraron en 2012 una red de cuatro convoluciones que, con ReLU, llegaba al 25 % de error
# de entrenamiento en CIFAR-10 seis veces más rápido que con tanh.[^alexnet] Es la cifra que todo el mundo repite. Hagámoslo en pequeño:
# cuatro convoluciones, tres funciones, la misma receta. A cada una le dimos la mejor tasa de las que probamos.

# %% alt="Pérdida de entrenamiento en tres épocas. La línea de la sigmoide sigue plana en 2.3. Las de tanh y ReLU bajan juntas, casi pegadas, hasta menos de 0.5." caption="Cuatro convoluciones, tres funciones. La línea punteada es ln 10: la pérdida de quien reparte por igual entre diez clases."
contest = {
    "sigmoide": (nn.Sigmoid, nn.init.xavier_normal_, 0.1),
    "tanh": (nn.Tanh, nn.init.xavier_normal_, 0.03),
    "ReLU": (nn.ReLU, he, 0.03),
}
histories = {}
for name, (activation, start, rate) in contest.items():
    torch.manual_seed(seed)
    histories[name] = fit(tower(activation, depth=4, start=start), lr=rate, count=2500)
    last = histories[name][-1]
    print(f"{name:<9} pérdida {last.train_loss:.3f}, acierto en validación {last.val_top1:.1%}")

with plotting.style():
    figure, axis = plt.subplots(figsize=(5, 2.6))
    axis.axhline(math.log(10), color=plotting.INK, linestyle=":", linewidth=1)
    for (name, history), marker in zip(histories.items(), "os^", strict=True):
        epochs = [epoch.number for epoch in history]
        axis.plot(epochs, [epoch.train_loss for epoch in history], marker=marker, label=name)
    axis.set(xlabel="época", ylabel="pérdida", xticks=epochs, ylim=(0, 2.6))
    axis.legend()
    figure.tight_layout()

final = {name: history[-1] for name, history in histories.items()}
assert final["sigmoide"].train_loss > 2.2
assert final["tanh"].train_loss < 0.7
assert final["ReLU"].train_loss < 0.7
assert abs(final["tanh"].val_top1 - final["ReLU"].val_top1) < 0.06

# %% [markdown]
# La sigmoide no arranca: contesta lo mismo a todo. Y tanh **empata** con ReLU. Nuestro experimento no repite la cifra
# de 2012, y hay que decirlo. Puede haber varias razones: esta red es chica, las imágenes son fáciles y los pesos nacen con recetas pensadas para que el
# gradiente llegue. Quizá aquella ventaja necesite redes y datos mayores; aquí no la vimos. La otra ventaja de la ReLU está
# siempre: `max(0, x)` no calcula ninguna exponencial.
#
# ## Neuronas que mueren { #muertas }
#
# La ReLU tiene su propio mal. Donde vale cero, su derivada es cero. Si un paso demasiado largo deja un filtro respondiendo
# negativo a *todas* las imágenes, ya no le llega gradiente nunca más, y no puede volver. Se le llama *ReLU muerta*
# (*dead ReLU*). Contemos cuántos de 64 filtros callan con todas las imágenes de validación, después de una época con
# distintas tasas de aprendizaje.


# %%
def one_layer(activation=nn.ReLU):
    """Una convolución de 64 filtros; lo bastante simple para contar sus muertos."""
    torch.manual_seed(seed)
    return nn.Sequential(
        *(nn.Conv2d(1, 64, kernel_size=5, stride=3), activation(), nn.Flatten()),
        *(nn.Linear(64 * 8 * 8, 10),),
    )


@torch.inference_mode()
def silent_filters(net):
    """Cuántos filtros no responden en ningún lugar de ninguna imagen de validación."""
    loudest = torch.stack([net[0](images).amax(dim=(0, 2, 3)) for images, _ in val_batches])
    return (loudest.amax(dim=0) <= 0).sum().item()


def after_one_epoch(net, lr):
    """Descenso con momento, sin plan de tasa: un paso largo es largo desde el principio."""
    lots = data.Batches(train_set[:3000], 64, shuffle=True, seed=seed, transform=normalize)
    train_one_epoch(net, lots, make_optimizer(net, lr, weight_decay=0.0))
    return net


silent = {0: silent_filters(one_layer())}
for rate in (0.01, 0.1, 0.15):
    net = after_one_epoch(one_layer(), rate)
    silent[rate] = silent_filters(net)
    score = evaluate(net, val_batches).top1
    print(f"tasa {rate}: {silent[rate]} filtros muertos, {score:.1%}")

leaky = after_one_epoch(one_layer(partial(nn.LeakyReLU, 0.1)), 0.15)
rescued = evaluate(leaky, val_batches).top1
print(f"tasa 0.15, con una pendiente de 0.1 al otro lado: {rescued:.1%}")
assert silent[0] == 0
assert silent[0.01] <= 2
assert silent[0.15] > silent[0.1] > 0
assert silent[0.15] > 32
assert max(score, rescued) < 0.5

# %% [markdown]
# Recién creada, la capa no tiene ningún filtro muerto. Con una tasa prudente casi no aparecen. Con una tasa grande mueren
# unos cuantos, y nada en la pantalla avisa: la red pesa lo mismo, calcula lo mismo y acierta lo que puede con los que le quedan. Un poco
# más de tasa, y mueren la mayoría.
#
# El acierto también se hunde, pero no les eches a los muertos toda la culpa. La última línea es el control: con una ReLU que deja pasar
# una décima de lo negativo (*leaky ReLU*) ningún filtro puede morir así, y esa tasa la hunde igual. Los filtros muertos son
# un síntoma de la tasa excesiva, y ya se ve con 0.1.
#
# ## Errores comunes { #errores }
#
# ### Un pooling que no reduce
#
# Quien copia `strides=1` de otro lugar, o confunde el lado con el paso, escribe esto. La red funciona. El mapa pasa de 28 a 27 en
# lugar de a 14, y la capa densa de después crece cuatro veces.

# %%
sizes = {}
for name, pool in {"antes": nn.MaxPool2d(2, stride=1), "después": nn.MaxPool2d(2)}.items():
    maps = pool(torch.zeros(1, 64, 28, 28))
    dense = nn.Linear(maps[0].numel(), 128)
    sizes[name] = inspection.count_parameters(dense)
    shape = "×".join(map(str, maps.shape[1:]))
    print(f"{name:<8} mapas de {shape}; la densa, {inspection.thousands(sizes[name])} parámetros")

assert sizes["antes"] > 3.7 * sizes["después"]

# %% [markdown]
# La vacuna cuesta una línea: imprime [`inspection.shape_table`](../api/inspection.md#cnnhistory.inspection.shape_table) y lee
# la columna de salidas antes de entrenar.
#
# ### Una ReLU de más, al final
#
# Si cada capa lleva su ReLU, ¿por qué no también la última? Porque la última da las *puntuaciones*, y una puntuación
# negativa es una opinión legítima: «esto seguro que no». Con la ReLU, una clase cuya puntuación sea negativa para una imagen que sí era
# suya no recibe gradiente para subir.

# %%
net = nn.Sequential(*two_convolutions(*kinds["máximo"]), nn.ReLU())
history = fit(net, lr=0.05)
print(f"antes   {accuracy(net):.1%}, con una pérdida de {history[-1].train_loss:.3f}")
print(f"después {scores['máximo'][0]:.1%}: es la misma red de arriba, sin esa ReLU")

assert accuracy(net) < scores["máximo"][0] - 0.02

# %% [markdown]
# Cuánto se pierde depende de cuántas clases mueran, y eso depende de la semilla. A menudo son clases enteras que la red no
# contesta jamás.
#
# ### Sigmoides en una red profunda
#
# Ya está medido arriba: con cuatro capas, la sigmoide se quedó en $\ln 10$. El síntoma es ese número, 2.303, quieto época
# tras época. Antes de tocar la tasa de aprendizaje, mide el gradiente de la primera capa.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Al mapa de 4×4 del principio, pásale con lápiz un máximo de 3×3 con paso 1. ¿De qué tamaño sale? ¿Por qué se
# repiten tanto los números? Compruébalo.

# %% [markdown] tags=["solucion"]
# Sale de $(4 - 3)/1 + 1 = 2$ por lado. Las ventanas comparten casi todo, así que un número grande cerca del centro gana en varias.

# %% tags=["solucion"]
overlapped = F.max_pool2d(batch, kernel_size=3, stride=1)
print(overlapped[0, 0].tolist())
assert overlapped[0, 0].tolist() == [[8, 8], [9, 9]]

# %% [markdown]
# **2. Calcular.** La derivada de tanh es $1 - \tanh^2(x)$. Si en cada capa la entrada vale 1, ¿por cuánto se multiplica el gradiente en
# diez capas? ¿Y si vale 0.1? ¿Qué te dice eso de cómo conviene que nazcan los pesos?

# %% [markdown] tags=["solucion"]
# Con entradas de 1, cada capa multiplica por 0.42, y diez capas por menos de dos diezmilésimas. Con 0.1, apenas se pierde una décima parte.
# tanh solo deja pasar el gradiente si sus entradas son pequeñas: los pesos deben nacer de un tamaño que las mantenga así.

# %% tags=["solucion"]
for value in (1.0, 0.1):
    print(f"entrada {value}: {(1 - math.tanh(value) ** 2) ** 10:.1e}")
assert (1 - math.tanh(1) ** 2) ** 10 < 2e-4
assert (1 - math.tanh(0.1) ** 2) ** 10 > 0.9

# %% [markdown]
# **3. Modificar.** La *leaky ReLU* deja pasar un poco de lo negativo: $\max(x/100, x)$. Repite el conteo de filtros callados con la tasa
# de 0.1 y `nn.LeakyReLU` (su pendiente por omisión es 0.01). ¿Siguen callando? ¿Están muertos?

# %% [markdown] tags=["solucion"]
# Puede haber filtros que respondan negativo a todo, pero ya no están muertos: su derivada es 0.01, no 0, y les sigue llegando
# gradiente. Medimos eso, que es lo que importa.

# %% tags=["solucion"]
alive = {}
for name, activation in {"ReLU": nn.ReLU, "leaky ReLU": nn.LeakyReLU}.items():
    net = after_one_epoch(one_layer(activation), 0.1)
    images, labels = next(iter(val_batches))
    net.zero_grad()
    F.cross_entropy(net(images), labels).backward()
    alive[name] = (net[0].weight.grad.flatten(1).norm(dim=1) > 0).sum().item()
    print(f"{name}: {silent_filters(net)} callan y {alive[name]} de 64 reciben gradiente")
assert alive["leaky ReLU"] == 64 > alive["ReLU"]

# %% [markdown]
# **4. Inventar.** El máximo tolera la mitad de los corrimientos porque mira de dos en dos y se salta lugares. Inventa un pooling
# que achique lo mismo y cambie menos al mover la imagen un píxel. Pista: separa el máximo del salto.

# %% [markdown] tags=["solucion"]
# Un máximo con paso 1 no se salta nada: solo falta achicar. Si antes de saltar se promedia con los vecinos, lo que se salta
# ya estaba en parte en lo que queda. Es la idea de Zhang (2019).[^zhang]

# %% tags=["solucion"]
soft = torch.tensor([[1.0, 2, 1], [2, 4, 2], [1, 2, 1]])[None, None] / 16


def blur_pool(maps):
    """Máximo sin saltos, un desenfoque y, al final, el salto."""
    dense = F.max_pool2d(F.pad(maps, (0, 1, 0, 1)), 2, stride=1)
    return F.conv2d(dense, soft, stride=2, padding=1)


assert blur_pool(torch.zeros(1, 1, 28, 28)).shape == (1, 1, 14, 14)
blurred = sensitivity(blur_pool)
print(f"máximo 2×2: {moves['máximo 2×2']:.0%}; máximo, desenfoque y salto: {blurred:.0%}")
assert blurred < moves["máximo 2×2"] - 0.05

# %% [markdown]
# ## Para seguir { #seguir }
#
# - Las piezas ya están todas. La página siguiente las arma: [una CNN pequeña, capa por capa](cnn-pequena.py).
# - El submuestreo que se entrenaba, en [LeNet-5](../arquitecturas/lenet-5.py); el pooling con traslape, en
#   [AlexNet](../arquitecturas/alexnet.py).
# - En la referencia: [`shape_table`](../api/inspection.md#cnnhistory.inspection.shape_table),
#   [`train`](../api/training.md#cnnhistory.training.train) e
#   [`initialization`](../api/initialization.md), la inicialización de He que usan las redes del sitio.
#
# ## Referencias
#
# - [Lin, Chen y Yan (2013)](../referencia/bibliografia.md#lin2013): el pooling global promedio.
# - [Nair y Hinton (2010)](../referencia/bibliografia.md#nair2010): las unidades lineales rectificadas, con ese nombre.
#
# [^alexnet]: [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012), secciones 3.1 y 3.4.
# [^init]: [Glorot y Bengio (2010)](../referencia/bibliografia.md#glorot2010) y
#     [He y otros (2015)](../referencia/bibliografia.md#he2015prelu).
# [^zhang]: [Zhang (2019)](../referencia/bibliografia.md#zhang2019).
