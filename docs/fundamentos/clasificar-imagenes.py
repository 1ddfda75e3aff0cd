# %% [markdown]
# # Clasificar imágenes: de una tabla de números a un nombre
#
# Esta es una parte de una foto, tal como la recibe una computadora: números, de 0, negro, a 255, blanco. (Para que quepa, va uno de
# cada varios.)

# %% tags=["oculto"]
import torch

from cnnhistory import data

photo = data.cat()  # uint8, de 0 a 255
gray = photo.float().mean(0)
part = gray[64:128:8, 60:132:6]
for line in part.int().tolist():
    print("".join(f"{value:5}" for value in line))

# %% [markdown]
# ¿Qué es? Mira los números un momento antes de seguir. **¿Qué cuenta harías con ellos para contestar?**
#
# Tú lo verías en un instante si te enseñaran la foto. Y, sin embargo, no podrías escribir la cuenta: sabes ver,
# pero no sabes *cómo* ves. De ese hueco trata este curso. Aquí lo ponemos en números: qué es una imagen, qué es
# clasificarla, quién puede escribir la regla y cuánto acierta cada manera de hacerlo.

# %% alt="A la izquierda, la cara de una gata atigrada de ojos verdes, con un recuadro alrededor de uno de sus ojos. A la derecha, ese recuadro en gris, en cuadros grandes: se adivinan la pupila oscura, el iris más claro y el borde negro del ojo." caption="Era un ojo. A la izquierda, la foto; a la derecha, los números de arriba, un cuadro por número."
import matplotlib.pyplot as plt

from cnnhistory import inspection, models, plotting

with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3))
    left.imshow(photo.permute(1, 2, 0))
    left.add_patch(plt.Rectangle((60, 64), 72, 64, fill=False, edgecolor="white", linewidth=2))
    right.imshow(
        part, cmap="gray", vmin=0, vmax=200, extent=(60, 132, 128, 64), interpolation="none"
    )
    for axis in (left, right):
        axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# ## Una imagen es un tensor { #tensor }
#
# Una imagen digital es una cuadrícula de puntos, los **píxeles** (*pixels*). En una imagen en gris, cada píxel es
# un número: aquí, 0 es negro y 255 es blanco. En una imagen en color son tres, uno por **canal** (*channel*):
# cuánto rojo, cuánto verde y cuánto azul.
#
# Una tabla de números con cualquier cantidad de dimensiones se llama **tensor**. Cada tensor tiene una
# **forma** (*shape*): cuánto mide cada dimensión. La de una imagen, en PyTorch, es $(C, H, W)$: canales, alto
# (*height*) y ancho (*width*). Y como una computadora trabaja mejor con muchas a la vez, se apilan $N$ imágenes en
# un **lote** (*batch*), de forma $(N, C, H, W)$. Esas cuatro letras estarán en todas las páginas.

# %%
print("una foto:      ", tuple(photo.shape), "(C, H, W)")
print("un lote de una:", tuple(photo[None].shape), "(N, C, H, W)")
print("números:       ", inspection.thousands(photo.numel()))
print("un píxel:      ", photo[:, 90, 140].tolist(), "(rojo, verde, azul)")

assert photo.shape == (3, 256, 256)
assert photo.numel() == 3 * 256 * 256 == 196_608

# %% alt="Cuatro veces la misma cara de gata. La primera en color; las otras tres en gris, una por canal. En la del canal rojo el pelaje se ve más claro, y en la del azul, más oscuro." caption="La foto y sus tres canales. El pelaje anaranjado tiene mucho rojo y poco azul: por eso la segunda es clara y la última, oscura."
with plotting.style():
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2))
    axes[0].imshow(photo.permute(1, 2, 0))
    axes[0].set_title("color")
    for axis, channel, name in zip(axes[1:], photo, ("rojo", "verde", "azul"), strict=True):
        axis.imshow(channel, cmap="gray", vmin=0, vmax=255)
        axis.set_title(f"{name}: media {channel.float().mean():.0f}")
    for axis in axes:
        axis.axis("off")
    figure.tight_layout()

red, _, blue = photo.float().mean((1, 2))
assert red > blue + 30

# %% [markdown]
# ## Clasificar, con papel y lápiz { #a-mano }
#
# **Clasificar** es elegir un nombre de una lista cerrada. Los nombres posibles son las **clases**, y el nombre
# verdadero de una imagen es su **etiqueta** (*label*). Un **clasificador** es cualquier regla que recibe la imagen y
# devuelve una clase. Su **acierto** (*accuracy*) es la fracción de imágenes en que la clase que dijo es la
# etiqueta.
#
# El problema más pequeño que vale la pena: imágenes de 3×3 con dos clases, el aspa y la cruz. El 1 es tinta y el
# 0, papel.

# %%
saltire = torch.tensor([[1, 0, 1], [0, 1, 0], [1, 0, 1]])  # el aspa, ×
cross = torch.tensor([[0, 1, 0], [1, 1, 1], [0, 1, 0]])  # la cruz, +
for left, right in zip(saltire.tolist(), cross.tolist(), strict=True):
    print(*left, "   ", *right)

# %% [markdown]
# Intenta escribir la regla. Un número calculado de la imagen para ayudar a decidir se llama **característica**
# (*feature*). Primera ocurrencia: contar la tinta. El aspa tiene 5 y la cruz, 5. No sirve. Segunda: contar la tinta
# *de las esquinas*. El aspa tiene 4 y la cruz, 0. Eso sí: «si hay más de dos, es un aspa».
#
# Funciona, y ha hecho falta una persona que mirara los dibujos y tuviera una ocurrencia. ¿Puede encontrarla la
# máquina? Démosle solo la manera de decidir, sin las características: **un peso por píxel**. Se multiplica cada
# píxel por su peso, se suma todo y, si la suma pasa de cero, es un aspa. Los pesos empiezan en cero. Y una sola
# manera de corregirse: cuando se equivoca con un aspa, suma el dibujo a los pesos; cuando se equivoca con una cruz,
# lo resta. Hazlo en papel:
#
# 1. Llega el aspa. Todos los pesos son cero, la suma es 0, no pasa de cero: dice «cruz» y se equivoca. Suma el
#    dibujo. Los pesos son ahora el aspa misma.
# 2. Llega la cruz. Solo coincide con los pesos en el centro: la suma es 1, dice «aspa» y se equivoca. Resta el
#    dibujo. Las esquinas quedan en $1$, los lados en $-1$ y el centro en $1 - 1 = 0$.
# 3. Otra vez el aspa: cuatro esquinas, suma 4. Acierta.
# 4. Otra vez la cruz: cuatro lados, suma −4. Acierta, y ya no vuelve a equivocarse.

# %%
weights = torch.zeros(3, 3, dtype=torch.long)
for turn in (1, 2):
    for image, is_saltire in ((saltire, True), (cross, False)):
        score = int((weights * image).sum())
        correct = (score > 0) == is_saltire
        print(
            f"vuelta {turn}, {'aspa' if is_saltire else 'cruz'}: suma {score:2}",
            "✓" if correct else "✗",
        )
        if not correct:
            weights += image if is_saltire else -image
print(*weights.tolist(), sep="\n")

assert weights.tolist() == [[1, -1, 1], [-1, 0, -1], [1, -1, 1]]
assert (int((weights * saltire).sum()), int((weights * cross).sum())) == (4, -4)

# %% [markdown]
# Mira los pesos. «Suma las esquinas, resta los lados, no hagas caso al centro»: es la regla que se nos había
# ocurrido, incluso mejorada, y **nadie se la dijo**. Salió de dos ejemplos y de una manera de corregirse. Esta, la
# del *perceptrón*, es de 1958.[^perceptron]
#
# Una regla que sale de ejemplos se dice que fue **aprendida**, y el proceso, **entrenamiento** (*training*). ¿Vale
# también para dibujos que no ha visto? Ensuciémoslos: a cada píxel, una posibilidad entre diez de cambiar de tinta a
# papel o al revés.

# %%
SEED = 0
generator = torch.Generator().manual_seed(SEED)
truth = torch.rand(5000, generator=generator) < 0.5  # True: aspa
clean = torch.where(truth[:, None, None], saltire, cross)
dirty = torch.where(torch.rand(clean.shape, generator=generator) < 0.1, 1 - clean, clean)

by_pixels = (dirty * weights).sum((1, 2)) > 0
by_corners = dirty[:, ::2, ::2].sum((1, 2)) > 2
by_ink = dirty.sum((1, 2)) > 5
accuracies = {
    "contar la tinta": (by_ink == truth).float().mean().item(),
    "contar la de las esquinas": (by_corners == truth).float().mean().item(),
    "pesos aprendidos": (by_pixels == truth).float().mean().item(),
}
for rule, accuracy in accuracies.items():
    print(f"{rule:<26}{accuracy:.1%}")

assert abs(accuracies["contar la tinta"] - 0.5) < 0.03
assert accuracies["pesos aprendidos"] > accuracies["contar la de las esquinas"] + 0.01
assert accuracies["pesos aprendidos"] > 0.96

# %% [markdown]
# La tinta acierta lo mismo que una moneda. Nuestra ocurrencia acierta mucho, y la regla aprendida le gana: usa
# también los lados, así que un borrón en una esquina le pesa menos.
#
# ## Quién escribe las características { #dos-maneras }
#
# Las fotos no son dibujos de 3×3, y durante décadas nadie esperó que una máquina sacara algo útil de los píxeles
# en bruto. El reparto del trabajo era otro:
#
# - **Aprendizaje automático clásico** (*machine learning*). Una persona que conoce el problema diseña las
#   características: proporciones, contornos, texturas. La máquina aprende solo el último paso, cómo pesarlas.
# - **Aprendizaje profundo** (*deep learning*). Se apilan muchas operaciones sencillas, llamadas **capas**
#   (*layers*), y se aprenden todas, desde los píxeles hasta el nombre. Las primeras acaban haciendo de
#   características. Un conjunto de capas así es una **red neuronal**.
#
# El segundo es una parte del primero: también es aprendizaje automático. Cambia dónde empieza lo aprendido.

# %% tags=["oculto"] alt="Dos filas de recuadros unidos por flechas. Arriba, aprendizaje automático clásico: imagen, características diseñadas por una persona, clasificador que se aprende, nombre. Abajo, aprendizaje profundo: imagen, tres capas y un clasificador, todos del color de lo que se aprende, y el nombre." caption="Las dos maneras. Lo coloreado y con borde grueso se aprende de ejemplos; lo de borde punteado lo escribe una persona."
rows = {
    "clásico": [
        ("imagen", ""),
        ("características", "persona"),
        ("clasificador", "aprende"),
        ("«gata»", ""),
    ],
    "profundo": [
        ("imagen", ""),
        *((f"capa {number}", "aprende") for number in (1, 2, 3)),
        ("clasificador", "aprende"),
        ("«gata»", ""),
    ],
}
with plotting.style():
    figure, axis = plt.subplots(figsize=(7.2, 2.2))
    for y, boxes in zip((1, 0), rows.values(), strict=True):
        gaps = 12 / len(boxes)
        for index, (name, who) in enumerate(boxes):
            x, width = gaps * index, gaps - 0.45
            color = plotting.PALETTE[0] if who == "aprende" else plotting.INK
            axis.add_patch(
                plt.Rectangle(
                    (x, y),
                    width,
                    0.5,
                    facecolor=color if who == "aprende" else "none",
                    alpha=0.25 if who == "aprende" else 1,
                    edgecolor=color,
                )
            )
            axis.add_patch(
                plt.Rectangle(
                    (x, y),
                    width,
                    0.5,
                    fill=False,
                    edgecolor=color,
                    linewidth=2 if who == "aprende" else 1,
                    linestyle=":" if who == "persona" else "-",
                )
            )
            axis.text(x + width / 2, y + 0.25, name, ha="center", va="center", size=8)
            if index:
                axis.annotate(
                    "",
                    (x, y + 0.25),
                    (x - 0.45, y + 0.25),
                    arrowprops={"arrowstyle": "->", "color": plotting.INK},
                )
    axis.text(0, 1.6, "aprendizaje automático clásico", size=9)
    axis.text(0, 0.6, "aprendizaje profundo", size=9)
    axis.set(xlim=(-0.1, 12), ylim=(-0.1, 1.9))
    axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# ## Medirlo: cinco maneras de reconocer ropa { #medir }
#
# Fashion-MNIST son fotos de prendas en gris, de 28×28 píxeles, de diez clases.[^fashion] Trabajamos con una
# muestra que viene dentro del paquete. La partimos en tres: con unas imágenes se aprende, con otras se decide y con
# las últimas se mide al final. Por qué en tres es [la página siguiente](entrenamiento-validacion-prueba.py).

# %% alt="Veinte prendas en gris, dos de cada clase, cada una con su nombre encima: camiseta, pantalón, suéter, vestido, abrigo, sandalia, camisa, zapatilla, bolso y botín." caption="Dos imágenes de cada clase. Mira la camisa, el suéter y el abrigo: a ti también te costaría."
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=SEED)
print("aprender:", len(train_set), "· decidir:", len(val_set), "· medir:", len(test_set))
examples = torch.cat([(train_set.labels == label).nonzero()[:2, 0] for label in range(10)])
names = [train_set.classes[label] for label in train_set.labels[examples]]
plotting.image_grid(train_set.images[examples], titles=names)

# %% [markdown]
# Ahora, las características. Cada función recibe un lote $(N, 1, 28, 28)$, con los píxeles entre 0 y 1, y devuelve
# $K$ números por imagen, $(N, K)$.
#
# - `brightness`: un solo número, la intensidad media. Es la primera ocurrencia de todo el mundo.
# - `measurements`: ocho medidas de sastre. Cuánta tinta, cuánto varía, qué alto y qué ancho ocupa, si pesa más arriba
#   o abajo, si es simétrica, si hay un hueco en medio y cuántos bordes tiene.
# - `oriented_edges`: la ocurrencia de los expertos. En cada zona de 4×4 píxeles, cuánto borde hay en cada una de
#   ocho direcciones. Es la idea de los histogramas de gradientes orientados (HOG), de 2005.[^hog]
# - `pixels`: los 784 píxeles, en fila y sin pensar.

# %%
from torch.nn import functional as F


def brightness(images):
    """La intensidad media: (N, 1)."""
    return images.mean((1, 2, 3))[:, None]


def measurements(images):
    """Ocho medidas pensadas para prendas: (N, 8)."""
    ink = images[:, 0]
    rows, columns = ink.amax(2) > 0.1, ink.amax(1) > 0.1  # qué filas y columnas tocan la prenda
    return torch.stack(
        [
            ink.mean((1, 2)),
            ink.std((1, 2)),
            rows.float().mean(1),
            columns.float().mean(1),
            ink[:, :14].mean((1, 2)) - ink[:, 14:].mean((1, 2)),
            (ink - ink.flip(2)).abs().mean((1, 2)),
            ink[:, 14:, 12:16].mean((1, 2)),
            (ink[:, :, 1:] - ink[:, :, :-1]).abs().mean((1, 2)),
        ],
        dim=1,
    )


def oriented_edges(images):
    """Cuánto borde hay en cada zona de 4×4 y en cada una de ocho direcciones: (N, 8·7·7)."""
    padded = F.pad(images[:, 0], (1, 1, 1, 1))
    down = padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]
    right = padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]
    direction = ((torch.atan2(down, right) / torch.pi + 1) * 4).long() % 8
    strength = F.one_hot(direction, 8) * torch.hypot(down, right)[..., None]  # (N, 28, 28, 8)
    return F.avg_pool2d(strength.permute(0, 3, 1, 2), 4).sqrt().flatten(1)


def pixels(images):
    """Los píxeles, en fila: (N, 784)."""
    return images.flatten(1)


# %% [markdown]
# Encima de cada una va el mismo clasificador: **un peso por característica y por clase**, como el del aspa y la cruz
# pero con diez sumas; gana la mayor. El quinto competidor es una red pequeña de 1998, la
# [LeNet-5](../arquitecturas/lenet-5.py) en su versión de hoy, que recibe la imagen sin tocar y aprende también las
# características. Todos se entrenan con los mismos ejemplos, las mismas vueltas y la misma manera de corregirse.
# Cómo funciona por dentro, en [la capa densa](capa-densa.py).

# %%
from torch import nn

from cnnhistory.training import evaluate, train


def prepared(features, statistics_of):
    """Características con media 0 y desviación 1: lotes (N, C, H, W) → (N, K, 1, 1)."""
    values = features(statistics_of.images.float() / 255)
    mean, deviation = values.mean(0), values.std(0) + 1e-3
    return lambda images: ((features(images) - mean) / deviation)[:, :, None, None]


def learn(examples, features=None, seed=SEED):
    """Entrena y devuelve la red y su acierto con lo aprendido, en validación y en prueba."""
    torch.manual_seed(seed)
    if features:
        transform = prepared(features, examples)
        count = transform(examples.images[:1].float() / 255).shape[1]
        net, lr = nn.Sequential(nn.Flatten(), nn.Linear(count, 10)), 0.01
    else:
        transform = data.normalization(examples)
        net, lr = models.create("lenet5_modern"), 0.05
    parts = [
        (transform(part.images.float() / 255), part.labels)
        for part in (examples, val_set, test_set)
    ]
    # Con pocos ejemplos se repiten: todos los competidores dan siempre los mismos pasos.
    order = torch.randperm(len(train_set), generator=torch.Generator().manual_seed(seed))
    chosen = (order % len(examples)).split(128)
    batches = [(parts[0][0][batch], parts[0][1][batch]) for batch in chosen]
    train(net, batches, [parts[1]], epochs=4, lr=lr)
    return net, *(evaluate(net, [part]).top1 for part in parts)


contenders = {
    "intensidad media": brightness,
    "ocho medidas": measurements,
    "bordes orientados": oriented_edges,
    "píxeles": pixels,
    "red: píxeles y capas": None,
}
table = {name: learn(train_set, features) for name, features in contenders.items()}
print(f"{'':<22}aprendido  validación")
for name, (_, seen, decided, _) in table.items():
    print(f"{name:<22}{seen:>9.1%}{decided:>12.1%}")

validated = {name: scores[2] for name, scores in table.items()}
assert validated["intensidad media"] < 0.35
assert validated["intensidad media"] + 0.2 < validated["ocho medidas"] < validated["píxeles"] - 0.08
assert validated["píxeles"] < validated["bordes orientados"] - 0.005
assert validated["píxeles"] < validated["red: píxeles y capas"]
assert abs(validated["bordes orientados"] - validated["red: píxeles y capas"]) < 0.035

# %% [markdown]
# Lee la tabla despacio, porque no dice lo que se suele contar.
#
# La intensidad media mejora el azar, que es un 10 %, y poco más. Las ocho medidas, con un rato de imaginación, llegan
# mucho más lejos. **Los píxeles sin pensar les ganan**: nuestra imaginación había tirado casi toda la información. Pero
# las características de los expertos ganan a los píxeles y quedan a la par de la red. Veinte años de estudiar cómo se
# ve un borde *no* fueron en vano.
#
# Entonces, ¿por qué todo el mundo se pasó a las redes? Por dos razones. La primera: los bordes orientados costaron
# años de especialistas, y la red encontró las suyas sola, en segundos. La segunda tiene que ver con la cantidad de
# ejemplos.
#
# ### Lo que pasa con más ejemplos
#
# Repetimos con menos imágenes para aprender: 100, 1000 y todas.

# %% alt="Cuatro líneas de acierto según el número de ejemplos, 100, 1000 y 9000. La de las ocho medidas va muy por debajo y se aplana. Las otras tres suben juntas; con todos los ejemplos, la de los bordes orientados y la de la red quedan casi a la par, y la de los píxeles, algo más abajo." caption="Acierto en la prueba según cuántos ejemplos se dan para aprender. Entre una marca y la siguiente hay unas diez veces más ejemplos."
sizes = (100, 1000, len(train_set))
shown = ("ocho medidas", "bordes orientados", "píxeles", "red: píxeles y capas")
shuffled = torch.randperm(len(train_set), generator=torch.Generator().manual_seed(SEED))
curves = {name: [] for name in shown}
for name in shown:
    for size in sizes[:-1]:
        curves[name].append(learn(train_set[shuffled[:size]], contenders[name])[-1])
    curves[name].append(table[name][-1])

with plotting.style():
    figure, axis = plt.subplots(figsize=(6, 3.4))
    for (name, curve), marker in zip(curves.items(), "sD^o", strict=True):
        axis.semilogx(sizes, [100 * value for value in curve], marker=marker, ms=4, label=name)
    axis.set(xlabel="ejemplos para aprender", ylabel="acierto en la prueba (%)")
    axis.set_xticks(sizes, [inspection.thousands(size) for size in sizes])
    axis.minorticks_off()
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()
for name, curve in curves.items():
    print(f"{name:<22}", "  ".join(f"{value:.1%}" for value in curve))

gains = {name: curve[-1] - curve[1] for name, curve in curves.items()}  # de 1000 a todas
assert gains["ocho medidas"] < 0.025
assert gains["red: píxeles y capas"] > gains["ocho medidas"] + 0.015
both = zip(curves["bordes orientados"], curves["red: píxeles y capas"], strict=True)
behind = [edges - net for edges, net in both]
assert behind[-1] < 0.03
assert max(behind) < 0.1

# %% [markdown]
# Las ocho medidas se estancan: son pocas, y con más ejemplos no saldrá de ellas lo que no está. Las demás siguen subiendo. Y la red,
# que tiene que inventarse sus características con los mismos ejemplos, no queda nunca lejos de los expertos.
#
# Con nueve mil imágenes, el saber de los expertos y la red van a la par. ¿Y con más? En la lista de resultados que
# enviaron a Fashion-MNIST, aprendidos con 60 000 imágenes, los histogramas de bordes con un buen clasificador llegan a
# 0.926, y una red de dos convoluciones, a 0.925: siguen a la par. Pero ahí se quedan los bordes, mientras que las
# mejores redes residuales pasan de 0.96.[^lista] Esa es la historia de este sitio: las características escritas a mano tienen un
# techo, y en 2012, con un millón de fotos, [las redes lo atravesaron](../historia/2012-alexnet.py).
#
# ## El ciclo de diseño { #ciclo }
#
# Acabas de ver varias vueltas de un ciclo, el mismo para cualquier clasificador. Nadie acierta a la primera:
#
# 1. **Reunir datos**, parecidos a los que habrá en el uso real, y apartar los de medir.
# 2. **Elegir una representación**: qué características, o qué red.
# 3. **Entrenar** con los ejemplos de aprender.
# 4. **Medir** con los de validación, y mirar *en qué* se equivoca.
# 5. **Decidir** qué cambiar, y volver al paso que toque. Al terminar, y una sola vez, la prueba.

# %% tags=["oculto"] alt="Seis recuadros en dos filas unidos por flechas: reunir datos, elegir representación, entrenar, medir en validación y decidir. De decidir salen tres flechas: a reunir datos, a elegir representación y, hacia fuera, a la prueba, una vez." caption="El ciclo de diseño. De «decidir» se vuelve a los datos o a la representación; a la prueba se va una vez."
from itertools import pairwise

places = {
    "reunir datos": (-3.2, 1),
    "elegir\nrepresentación": (0, 1),
    "entrenar": (3.2, 1),
    "medir en\nvalidación": (3.2, -1),
    "decidir": (0, -1),
    "prueba,\nuna vez": (-3.2, -1),
}
steps = list(places)
arrows = [
    *pairwise(steps),
    ("decidir", "elegir\nrepresentación"),
    ("decidir", "reunir datos"),
]
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 2.8))
    for index, (name, (x, y)) in enumerate(places.items()):
        color = plotting.PALETTE[1] if index == 5 else plotting.PALETTE[0]
        axis.add_patch(plt.Rectangle((x - 1, y - 0.4), 2, 0.8, facecolor=color, alpha=0.25))
        axis.text(x, y, name, ha="center", va="center", size=9)
    for start, end in arrows:
        (x0, y0), (x1, y1) = places[start], places[end]
        if y0 == y1:
            x0, x1 = (x0 + 1, x1 - 1) if x1 > x0 else (x0 - 1, x1 + 1)
        else:
            y0, y1 = (y0 - 0.4, y1 + 0.4) if y1 < y0 else (y0 + 0.4, y1 - 0.4)
            x0 -= 0.5 if x1 != x0 else 0
        axis.annotate(
            "", (x1, y1), (x0, y0), arrowprops={"arrowstyle": "->", "color": plotting.INK}
        )
    axis.set(xlim=(-4.3, 4.3), ylim=(-1.5, 1.5))
    axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# El paso 4 es donde se aprende algo. No mires solo el acierto: mira los errores. Esta tabla, la **matriz de
# confusión** (*confusion matrix*), dice qué contestó el clasificador de las ocho medidas para cada clase verdadera.

# %% alt="Matriz de diez por diez con los porcentajes de respuesta por clase. La diagonal es la casilla mayor de casi todas las filas, y domina sobre todo en pantalón y botín. Las filas de suéter, abrigo y camisa reparten sus respuestas entre ellas." caption="Las ocho medidas, en validación. Fila: lo que era. Columna: lo que dijo."
net = table["ocho medidas"][0]
with torch.inference_mode():
    answers = net(prepared(measurements, train_set)(val_set.images.float() / 255)).argmax(1)

tops, others = [], []  # prendas de la parte de arriba del cuerpo, y todas las demás
for label, name in enumerate(val_set.classes):
    hits = (answers[val_set.labels == label] == label).float().mean().item()
    (tops if name in ("camiseta", "suéter", "abrigo", "camisa") else others).append(hits)
print(f"acierto en camiseta, suéter, abrigo y camisa: {sum(tops) / len(tops):.1%}")
print(f"acierto en las demás: {sum(others) / len(others):.1%}")
assert sum(others) / len(others) > sum(tops) / len(tops) + 0.1
plotting.confusion_matrix(val_set.labels, answers, val_set.classes)

# %% [markdown]
# El error tiene forma: se reparte mucho más entre las prendas de arriba, que comparten contorno. Ninguna de las ocho medidas mira el
# cuello, los botones o las mangas por separado. Ya sabes qué cambiar en la vuelta siguiente. Y ya puedes usar la
# prueba, que no había decidido nada:

# %%
for name, scores in table.items():
    print(f"{name:<22}{scores[-1]:>7.1%} en la prueba")

assert all(abs(scores[2] - scores[3]) < 0.05 for scores in table.values())

# %% [markdown]
# ## Para qué se usa { #aplicaciones }
#
# Clasificar es la tarea más simple de la visión por computadora, y la base de las otras:
#
# | Pregunta | Tarea | Ejemplo |
# | --- | --- | --- |
# | ¿Qué hay en la imagen? | **clasificación** (*classification*) | leer los dígitos de un código postal[^codigos] |
# | ¿Qué tan grave es? | clasificación por grados | buscar daños de la diabetes en fotos de la retina[^retina] |
# | ¿De qué especie o enfermedad es? | clasificación fina | enfermedades de un cultivo por la foto de una hoja[^hojas] |
# | ¿Son la misma cosa? | **verificación** (*verification*) | decidir si dos fotos son de la misma persona[^caras] |
# | ¿Dónde está cada cosa? | **detección** (*detection*) | encontrar y rodear cada peatón de una calle |
# | ¿Qué píxeles son de cada cosa? | **segmentación** (*segmentation*) | separar un órgano en una radiografía |
#
# Las redes de este sitio nacieron para la primera fila. Las demás filas las reutilizan casi enteras.
#
# Que se pueda no quiere decir que se deba. Un clasificador repite lo que había en sus ejemplos, incluidos sus
# sesgos, y siempre contesta algo: también ante una imagen que no es de ninguna de sus clases.
#
# ## Errores comunes { #errores }
#
# ### Reordenar con `view` lo que pedía `permute` { #permute }
#
# Muchas bibliotecas guardan las fotos como alto, ancho y canales, $(H, W, C)$. PyTorch quiere $(C, H, W)$. Con `view`
# o `reshape` la forma sale bien, y nadie se queja. Pero esas dos no mueven los números: los reparten en otras filas.

# %% alt="Dos imágenes. La primera es la gata, correcta. La segunda es un mosaico de franjas en gris en que se repite la gata tres veces a lo ancho y tres a lo alto, aplastada y con rayas." caption="La misma foto y la misma forma final, (3, 128, 128). A la izquierda, con `permute`; a la derecha, con `view`."
small = photo[:, ::2, ::2]  # uno de cada dos píxeles, para que la figura pese poco
stored = small.permute(1, 2, 0).contiguous()  # como la da casi cualquier biblioteca: (128, 128, 3)
right, wrong = stored.permute(2, 0, 1), stored.view(3, 128, 128)
same = (right == wrong).float().mean().item()
print(right.shape == wrong.shape, f"· números en su lugar con view: {same:.1%}")

assert right.shape == wrong.shape
assert torch.equal(right, small)
assert same < 0.05
plotting.image_grid(torch.stack([right, wrong]), titles=["permute", "view"], size=2.2)

# %% [markdown]
# ### Aprender con una escala y medir con otra
#
# Se aprende con píxeles entre 0 y 1. Al usar el clasificador, alguien olvida dividir entre 255. No hay ningún error:
# son números.

# %%
net, transform = table["red: píxeles y capas"][0], data.normalization(train_set)
scaled = evaluate(net, data.Batches(test_set, 500, transform=transform)).top1
unscaled = evaluate(net, data.Batches(test_set, 500, transform=lambda x: transform(255 * x))).top1
print(f"dividiendo entre 255: {scaled:.1%} · sin dividir: {unscaled:.1%}")

assert scaled > unscaled + 0.05

# %% [markdown]
# La vacuna: la preparación de la imagen es parte del clasificador. Se escribe una vez, en una función, y la usan los
# dos.
#
# ### Aclarar una foto y que salgan manchas negras
#
# Los píxeles se guardan en enteros de 8 bits, `uint8`, que van de 0 a 255. Si la cuenta se pasa, da la vuelta:
# $250 + 40$ no es 290 ni 255, es $290 - 256 = 34$.

# %% alt="Dos imágenes de la gata. En la primera, aclarada sin cuidado, las zonas claras de los ojos, el hocico y el fondo tienen manchas de colores falsos. En la segunda está aclarada de forma uniforme." caption="Sumar 80 a cada píxel. A la izquierda, en `uint8`; a la derecha, en `float32` y recortado a 255."
careless = photo + 80
careful = (photo.float() + 80).clamp(max=255).to(torch.uint8)
broken = (careless < photo).float().mean().item()
print(f"250 + 40 = {(torch.tensor(250, dtype=torch.uint8) + 40).item()}")
print(f"números que dieron la vuelta: {broken:.1%}")

assert broken > 0.05
assert (careful >= photo).all()
plotting.image_grid(
    torch.stack([careless, careful])[..., ::2, ::2], titles=["uint8", "float32"], size=2.2
)

# %% [markdown]
# ### Celebrar un 90 % que no sabe nada
#
# Quieres un detector de bolsos. Una de cada diez imágenes es un bolso. Un programa de una línea, que siempre contesta
# «no», acierta:

# %%
is_bag = test_set.labels == test_set.classes.index("bolso")
always_no = torch.zeros_like(is_bag)
accuracy = ((always_no == is_bag).sum() / len(is_bag)).item()
found = always_no[is_bag].float().mean().item()
print(f"acierto: {accuracy:.1%} · bolsos encontrados: {found:.0%}")

assert abs(accuracy - 0.9) < 1e-6
assert found == 0

# %% [markdown]
# Antes de celebrar un acierto, compáralo con el de quien contesta siempre la clase más común. Y mira el acierto
# *de cada clase*, que es lo que dice la diagonal de la matriz de confusión.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Un lote de 32 fotos en color, de 640 de ancho y 480 de alto. ¿Qué forma tiene? ¿Cuántos números
# son? ¿Cuántos megabytes ocupa en `uint8`, y cuántos en `float32`, que gasta 4 bytes por número?

# %% tags=["solucion"]
batch = torch.zeros(32, 3, 480, 640, dtype=torch.uint8)  # el alto va antes que el ancho
print(inspection.thousands(batch.numel()), "números")
print(f"{batch.nbytes / 1e6:.1f} MB en uint8, {batch.float().nbytes / 1e6:.1f} MB en float32")
assert batch.numel() == 29_491_200
assert batch.float().nbytes == 4 * batch.nbytes

# %% [markdown]
# **2. Con lápiz.** Con los pesos aprendidos del aspa y la cruz, ¿cuánto suma un aspa a la que se le borró una esquina?
# ¿Y una a la que, además, le cayó tinta en un lado? ¿Cuántos píxeles hay que cambiar, como poco, para que un aspa se
# tome por cruz?

# %% [markdown] tags=["solucion"]
# Cada esquina borrada resta 1 y cada lado manchado resta 1: la suma baja de 4 a 3 y a 2. Para que deje de pasar de
# cero hay que quitarle 4, así que hacen falta cuatro cambios. El centro no cuenta.

# %% tags=["solucion"]
from itertools import combinations

image = saltire.clone()
image[0, 0] = 0
assert (weights * image).sum() == 3
image[0, 1] = 1
assert (weights * image).sum() == 2


def fooled(changes):
    """Si hay alguna manera de cambiar esa cantidad de píxeles y que no pase de cero."""
    for chosen in combinations(range(9), changes):
        other = saltire.flatten().clone()
        other[list(chosen)] = 1 - other[list(chosen)]
        if (weights.flatten() * other).sum() <= 0:
            return True
    return False


least = next(changes for changes in range(1, 10) if fooled(changes))
print("píxeles que hay que cambiar:", least)
assert least == 4

# %% [markdown]
# **3. Otra vuelta del ciclo.** La matriz de confusión dice que las ocho medidas no distinguen bien las prendas de
# arriba. Inventa otras que miren lo que falta y comprueba en validación que mejoran. Pista: las mangas están en los
# lados; el cuello, arriba en el centro.

# %% tags=["solucion"]


def more_measurements(images):
    """Las ocho de antes y la intensidad de una rejilla de 4×4 zonas: (N, 24)."""
    return torch.cat([measurements(images), F.avg_pool2d(images, 7).flatten(1)], dim=1)


improved = learn(train_set, more_measurements)
print(f"validación: {table['ocho medidas'][2]:.1%} → {improved[2]:.1%}")
assert improved[2] > table["ocho medidas"][2] + 0.05

# %% [markdown]
# **4. Inventar.** Sin entrenar nada: para cada imagen de prueba, busca entre las de aprender la más parecida, píxel a
# píxel, y copia su etiqueta. Se llama **vecino más cercano** (*nearest neighbour*). Predice antes de medir: ¿quedará
# por encima o por debajo de los píxeles con pesos?

# %% tags=["solucion"]
known = (train_set.images.float() / 255).flatten(1)
asked = (test_set.images.float() / 255).flatten(1)
nearest = torch.cdist(asked, known).argmin(1)
copied = (train_set.labels[nearest] == test_set.labels).float().mean().item()
print(f"vecino más cercano: {copied:.1%} · píxeles con pesos: {table['píxeles'][-1]:.1%}")
assert table["píxeles"][-1] - 0.07 < copied < table["píxeles"][-1]

# %% [markdown] tags=["solucion"]
# Queda algo por debajo, y no lejos, para no haber aprendido nada: guarda todos los ejemplos y los recorre enteros con cada
# pregunta. La regla con pesos resume los mismos ejemplos en 7850 números y contesta con diez sumas.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - La página siguiente: [entrenamiento, validación y prueba](entrenamiento-validacion-prueba.py). ¿Cuánto hay que
#   creerle a cada porcentaje de esta?
# - En la referencia: [`fashion_mnist`][cnnhistory.data.fashion_mnist], [`cat`][cnnhistory.data.cat],
#   [`Batches`][cnnhistory.data.Batches] y [`confusion_matrix`][cnnhistory.plotting.confusion_matrix].
# - La red que compitió aquí: [LeNet-5](../arquitecturas/lenet-5.py).
#
# ## Referencias { #referencias }
#
# [^perceptron]: [Rosenblatt (1958)](../referencia/bibliografia.md#rosenblatt1958).
# [^fashion]: [Xiao, Rasul y Vollgraf (2017)](../referencia/bibliografia.md#xiao2017).
# [^lista]: De la tabla de resultados de su repositorio, que los autores dicen no haber verificado. El modelo de HOG
#     usa una máquina de vectores de soporte, y el mejor, una red residual ancha de 8.9 millones de parámetros.
# [^hog]: [Dalal y Triggs (2005)](../referencia/bibliografia.md#dalal2005). Los suyos llevan, además, un reparto suave
#     entre direcciones y una normalización por bloques.
# [^codigos]: [LeCun y otros (1989)](../referencia/bibliografia.md#lecun1989).
# [^retina]: [Gulshan y otros (2016)](../referencia/bibliografia.md#gulshan2016).
# [^hojas]: [Mohanty, Hughes y Salathé (2016)](../referencia/bibliografia.md#mohanty2016).
# [^caras]: [Parkhi, Vedaldi y Zisserman (2015)](../referencia/bibliografia.md#parkhi2015).
