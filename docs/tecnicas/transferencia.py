# %% [markdown]
# # Transferencia: diez fotos por clase
#
# Una tienda te pide una red que separe abrigos de camisas, botines de sandalias. Te da diez fotos de cada cosa. Tu red
# tiene decenas de miles de pesos: con tan pocas fotos le resulta más fácil aprendérselas de memoria que entender algo.
#
# Pero otra tienda tiene una red entrenada con miles de fotos. No de tus clases: de suéteres, vestidos, bolsos. **¿De qué
# te sirve lo que aprendió mirando otra cosa?**
#
# Aprovecharlo se llama *transferencia* (*transfer learning*). Los pesos de muchas redes de esta historia se publicaron, y
# es así como se usan: no se entrenan, se heredan. En esta página la haces primero con tres puntos y un lápiz, la mides después con cinco, diez,
# cincuenta y cien fotos por clase, y buscas a propósito los casos en que estorba. Los hay.
#
# Te conviene haber leído [El bucle de entrenamiento](bucle-de-entrenamiento.py).

# %%
import copy
import statistics
from itertools import chain, islice, repeat

import matplotlib.pyplot as plt
import torch
import torchvision
from sklearn.datasets import load_digits
from torch import nn
from torchvision.transforms import v2

from cnnhistory import augmentation, data, inspection, models, plotting, training, weights
from cnnhistory.training import make_optimizer

seed = 0
seeds = range(seed, seed + 3)

# %% [markdown]
# ## Tres puntos y un lápiz { #tres-puntos }
#
# Una foto de juguete son dos números, $(x_1, x_2)$. La regla verdadera es «sí, cuando ${x_1 + x_2 > 3}$», y no la sabes. Tienes
# dos ejemplos: $(1, 0)$ es no y $(1, 4)$ es sí.
#
# **Desde cero.** Lo más sensato es cortar por la mitad del camino entre los dos. Solo se diferencian en $x_2$, y el punto
# medio es $(1, 2)$: la regla queda «sí, cuando $x_2 > 2$». Pruébala con $(3, 1)$, que suma 4 y es un sí. Dice que no.
#
# **Con algo heredado.** Alguien que vio miles de puntos, de otro problema, descubrió que lo que importa es la suma, y te
# regala esa cuenta hecha: ${f = x_1 + x_2}$. Ahora tus ejemplos valen $f = 1$ y $f = 5$. El corte cae en $3$: «sí, cuando
# $x_1 + x_2 > 3$». Con los mismos dos ejemplos, la regla exacta. Lo que había que aprender ya no eran dos números, la
# dirección del corte, sino uno: dónde cortar.
#
# **Cuando la herencia no sirve.** Otra tienda, otra regla: «sí, cuando $x_1 > x_2$», con $(1, 3)$ no y $(3, 1)$ sí. Los dos suman
# 4. Para $f$ son *el mismo punto*, y no hay corte que los separe. Desde cero, en cambio, la mitad del camino es
# justo la recta $x_1 = x_2$. Lo que la cuenta heredada tiró, ninguna capa posterior lo recupera.

# %%
grid = torch.cartesian_prod(torch.arange(5.0), torch.arange(5.0))


def halfway(points, no, yes):
    """Cierto de este lado: el corte pasa por la mitad del camino entre los dos ejemplos."""
    return (points - (no + yes) / 2) @ (yes - no) > 0


def inherited(points):
    """Lo que alguien aprendió antes: lo que importa es la suma."""
    return points.sum(dim=-1, keepdim=True)


toys = {
    "x₁ + x₂ > 3": (grid.sum(1) > 3, torch.tensor([1.0, 0.0]), torch.tensor([1.0, 4.0])),
    "x₁ > x₂": (grid[:, 0] > grid[:, 1], torch.tensor([1.0, 3.0]), torch.tensor([3.0, 1.0])),
}
toy_hits = {}
for name, (truth, no, yes) in toys.items():
    scratch = halfway(grid, no, yes)
    reused = halfway(inherited(grid), inherited(no), inherited(yes))
    toy_hits[name] = [(answer == truth).sum().item() for answer in (scratch, reused)]
    print(
        f"{name:12} desde cero {toy_hits[name][0]} de 25 · con la suma heredada {toy_hits[name][1]}"
    )
assert toy_hits == {"x₁ + x₂ > 3": [18, 25], "x₁ > x₂": [25, 15]}

# %% alt="Dos cuadrículas de cinco por cinco puntos, con los sí rellenos y los no huecos y los dos ejemplos rodeados por un cuadrado. A la izquierda, los sí ocupan el triángulo de arriba a la derecha: el corte desde cero es una recta horizontal que deja puntos del lado malo, y el heredado es la diagonal que los separa todos. A la derecha, los sí están bajo la otra diagonal: el corte desde cero la sigue, y no hay corte heredado." caption="Los mismos dos ejemplos por tarea. A la izquierda la herencia acierta donde desde cero no se puede; a la derecha no hay manera de cortar con ella."
with plotting.style():
    figure, axes = plt.subplots(1, 2, figsize=(6.4, 3.0), sharey=True)
    for axis, (name, (truth, no, yes)) in zip(axes, toys.items(), strict=True):
        for side, face in ((truth, plotting.PALETTE[0]), (~truth, "none")):
            axis.scatter(*grid[side].T, s=46, facecolors=face, edgecolors=plotting.PALETTE[0])
        axis.scatter(
            *torch.stack([no, yes]).T, s=150, marker="s", facecolors="none", edgecolors=plotting.INK
        )
        axis.set(title=f"sí: {name}", xlabel="x₁", xlim=(-0.5, 4.5), ylim=(-0.5, 4.5))
    axes[0].axhline(2, color=plotting.PALETTE[1], linestyle="--", label="desde cero")
    axes[0].axline((0, 3), slope=-1, color=plotting.PALETTE[2], label="heredado")
    axes[1].axline((0, 0), slope=1, color=plotting.PALETTE[1], linestyle="--")
    axes[0].set_ylabel("x₂")
    figure.legend(loc="outside lower center", ncols=2)
    figure.tight_layout(rect=(0, 0.08, 1, 1))

# %% [markdown]
# Eso es todo. Una red son muchas cuentas como $f$, hechas en fila: las **características** (*features*). La última capa, la
# **cabeza** (*head*), solo corta. Transferir es quedarse con las cuentas y volver a cortar, y falla por donde falló aquí:
# cuando las cuentas tiraron lo que necesitas.
#
# ## Dos tiendas { #dos-tiendas }
#
# La primera tiene miles de fotos de cinco prendas; la tuya, unas pocas de otras cinco. Las imágenes son de Fashion-MNIST, con
# un cambio: en ese conjunto todo viene centrado y del mismo tamaño, y las fotos de verdad no. Cada prenda la encogemos a
# 16×16 y la ponemos en un lugar al azar de un lienzo de 28×28: hay $13 \times 13 = 169$ lugares. [Más abajo](#centradas)
# verás qué pasa si no.

# %%
SOURCE = ("camiseta", "suéter", "vestido", "zapatilla", "bolso")
TARGET = ("pantalón", "abrigo", "sandalia", "camisa", "botín")


def only(dataset, names):
    """Las imágenes de esas clases, numeradas de nuevo desde cero."""
    chosen = torch.tensor([dataset.classes.index(name) for name in names])
    matches = dataset.labels[:, None] == chosen
    kept = matches.any(dim=1)
    return data.Dataset(dataset.images[kept], matches[kept].int().argmax(1), names)


def scatter(dataset, seed, side=16):
    """Cada imagen, encogida a `side`, en un lugar al azar de un lienzo negro de 28×28."""
    small = v2.functional.resize(dataset.images, [side, side], antialias=True)
    generator = torch.Generator().manual_seed(seed)
    corners = torch.randint(28 - side + 1, (len(dataset), 2), generator=generator)
    canvas = torch.zeros(len(dataset), 1, 28, 28, dtype=torch.uint8)
    for image, picture, (row, column) in zip(canvas, small, corners.tolist(), strict=True):
        image[:, row : row + side, column : column + side] = picture
    return data.Dataset(canvas, dataset.labels, dataset.classes)


centered_train, centered_test = data.fashion_mnist("mini")
train_set, test_set = scatter(centered_train, seed), scatter(centered_test, seed + 1)
source, source_test = only(train_set, SOURCE), only(test_set, SOURCE)
target, target_test = only(train_set, TARGET), only(test_set, TARGET)
normalize = data.normalization(source)
print(f"la otra tienda: {len(source)} fotos · la tuya, si las hubiera: {len(target)}")

# %% alt="Dos filas de cinco prendas pequeñas en gris, cada una en otro lugar de su cuadro negro. Arriba: camiseta, suéter, vestido, zapatilla y bolso. Abajo: pantalón, abrigo, sandalia, camisa y botín." caption="Arriba, las clases de la otra tienda; abajo, las tuyas. Ninguna se repite."
examples = torch.cat([data.few(part, 1, seed).images for part in (source, target)])
plotting.image_grid(examples, titles=[*SOURCE, *TARGET], columns=5)

# %% [markdown]
# La red de la otra tienda: una [LeNet-5](../arquitecturas/lenet-5.py) moderna y tres épocas. A partir de aquí es *la red
# preentrenada* (*pretrained*), y lo que hizo la otra tienda, el *preentrenamiento*.


# %%
def pretrain(dataset, name="lenet5_modern", epochs=3):
    """Una red entrenada con todo un conjunto; se mide en las prendas de la otra tienda."""
    torch.manual_seed(seed)
    net = models.create(name, num_classes=len(dataset.classes), in_channels=1)
    batches = data.Batches(dataset, 64, shuffle=True, seed=seed, transform=normalize)
    training.train(net, batches, [next(iter(batches))], epochs=epochs, lr=0.05)
    return net


source_batches = data.Batches(source_test, 500, transform=normalize)
pretrained = pretrain(source)
source_top1 = training.evaluate(pretrained, source_batches).top1
print(f"en sus cinco clases acierta {source_top1:.1%}")
assert source_top1 > 0.8

# %% [markdown]
# ## Cambiar la cabeza { #cabeza }
#
# La última capa corta en *camiseta, suéter, vestido, zapatilla, bolso*. A ti no te sirve: hay que poner otra, recién nacida, con
# tus clases. Todo lo demás se queda.

# %% tags=["fuente"]
from cnnhistory.transfer import _heads, _like, replace_head  # noqa: F401

# %% [markdown]
# Suena a una línea, `net.fc = nn.Linear(...)`, y lo es cuando sabes cómo se llama la capa. Aquí vale para todas las redes
# del sitio: en NiN y All-CNN la cabeza es una convolución de 1×1; GoogLeNet tiene tres; la de 1998 compara con dibujos fijos y no aprende.


# %%
def inherit(seed, net=pretrained, num_classes=5):
    """Una copia de la red heredada, con la cabeza cambiada."""
    heir = copy.deepcopy(net)
    torch.manual_seed(seed)
    replace_head(heir, num_classes)
    return heir


heir = inherit(seed)
kept = [name for name, old in pretrained.state_dict().items() if old.equal(heir.state_dict()[name])]
print("igual que antes:", ", ".join(name for name in kept if name.endswith("weight")))
print("recién nacida:", heir.classifier[-1])
assert len(kept) == 8

# %% [markdown]
# ## Congelar { #congelar }
#
# Si las cuentas heredadas ya son buenas, que no se muevan. *Congelar* (*freeze*) es eso: se entrena la cabeza y nada más.
# Se llama también *sonda lineal* (*linear probe*), porque mide cuánto se puede cortar con rectas en lo que la red ya sabe.

# %% tags=["fuente"]
from cnnhistory.transfer import _stay_in_evaluation, _through, freeze, unfreeze  # noqa: F401

# %% [markdown]
# Lo que casi todos olvidan está en las últimas líneas de `freeze`. Quitar los gradientes no congela la normalización por lotes:
# sus promedios no se aprenden con gradientes, se *acumulan* cada vez que pasa un lote. [Abajo](#bn) está lo que cuesta.
# Nuestra LeNet-5 no la tiene, y le basta lo demás:


# %%
def inherit_frozen(seed, net=pretrained, num_classes=5):
    """Como `inherit`, con todo congelado menos la cabeza."""
    heir = inherit(seed, net, num_classes)
    freeze(heir)
    return heir


trainable = inspection.count_parameters
whole, head_only = trainable(inherit(seed)), trainable(inherit_frozen(seed))
print(f"se entrenan {inspection.thousands(whole)} parámetros; con todo congelado, {head_only}")
assert head_only == 84 * 5 + 5

# %% [markdown]
# ## Aprender a distintas velocidades { #discriminativas }
#
# Entre congelar todo y soltar todo hay un término medio. Las primeras capas ven bordes, que sirven para cualquier prenda; las
# últimas, prendas enteras, que solo sirven para las suyas. Que cada una cambie según lo que tenga que cambiar: Howard y Ruder (2018)
# dividen la tasa entre 2.6 con cada paso hacia la entrada. Las llamaron *discriminativas*, en el sentido de que
# distinguen.

# %% tags=["fuente"]
from cnnhistory.transfer import _by_depth, discriminative  # noqa: F401

# %% [markdown]
# `discriminative` no devuelve un optimizador: devuelve *la función que lo crea*, que es lo que `train` espera. Parece un rodeo, y
# es lo que evita [otro error](#optimizador). En nuestra red, con una tasa de 0.015:

# %%
names = {parameter: name for name, parameter in heir.named_parameters()}
for group in discriminative()(heir, 0.015, 5e-4).param_groups[::2]:
    layers = ", ".join(names[parameter].rpartition(".")[0] for parameter in group["params"])
    print(f"tasa {group['lr']:.4f}: {layers}")

# %% [markdown]
# ## Diez fotos { #diez-fotos }
#
# Ya está todo. Cuatro maneras de usar las mismas fotos:
#
# | Manera | Empieza en | Se mueve |
# | --- | --- | --- |
# | **desde cero** | pesos al azar | todo |
# | **solo la cabeza** | la red heredada | la cabeza |
# | **ajuste fino** (*fine-tuning*) | la red heredada | todo, igual de deprisa |
# | **tasas distintas** | la red heredada | todo, cada capa a su velocidad |
#
# Todas dan los mismos pasos, con lotes del mismo tamaño y la misma tasa, 0.015: baja, para que ninguna se desboque, y sin buscar
# la mejor de cada una. Cada medida se repite con tres semillas, que cambian a la vez las fotos que te tocan, los pesos que nacen y el orden.

# %%
STEPS = 60


def from_scratch(seed, num_classes=5):
    """La misma red, con todos sus pesos recién sorteados."""
    torch.manual_seed(seed)
    return models.create("lenet5_modern", num_classes=num_classes, in_channels=1)


def fit(net, photos, seed, lr=0.015, optimizer=make_optimizer, transform=normalize):
    """Da `STEPS` pasos con lotes de 25 y devuelve la misma red."""
    batches = data.Batches(photos, 25, shuffle=True, seed=seed, transform=transform)
    steps = list(islice(chain.from_iterable(repeat(batches)), STEPS))
    # Con diez fotos por clase no sobra ninguna para validar: train mide en las que ya vio.
    training.train(net, steps, steps[:1], epochs=1, lr=lr, optimizer=optimizer)
    return net


METHODS = {
    "desde cero": (from_scratch, make_optimizer),
    "solo la cabeza": (inherit_frozen, make_optimizer),
    "ajuste fino": (inherit, make_optimizer),
    "tasas distintas": (inherit, discriminative()),
}
COUNTS = (5, 10, 50, 100)
test_batches = data.Batches(target_test, 1000, transform=normalize)


def top1(net, batches=test_batches):
    """Acierto, en porcentaje."""
    return 100 * training.evaluate(net, batches).top1


scores = {
    (name, count): [
        top1(fit(start(each), data.few(target, count, each), each, optimizer=optimizer))
        for each in seeds
    ]
    for name, (start, optimizer) in METHODS.items()
    for count in COUNTS
}
mean = {key: statistics.mean(values) for key, values in scores.items()}
print(f"{'fotos por clase':16}" + "".join(f"{count:>13}" for count in COUNTS))
for name in METHODS:
    cells = (f"{mean[name, k]:.1f} ± {statistics.stdev(scores[name, k]):.1f}" for k in COUNTS)
    print(f"{name:16}" + "".join(f"{cell:>13}" for cell in cells))

assert mean["solo la cabeza", 5] - mean["desde cero", 5] > 8
assert mean["ajuste fino", 5] - mean["desde cero", 5] > 2
ahead = {k: mean["solo la cabeza", k] - mean["desde cero", k] for k in COUNTS}
assert ahead[100] < min(1, ahead[5] - 12)  # la ventaja de heredar se acaba
assert mean["ajuste fino", 100] - mean["ajuste fino", 5] > 5
assert abs(mean["ajuste fino", 100] - mean["desde cero", 100]) < 12
for k in COUNTS:
    between = sorted((mean["solo la cabeza", k], mean["ajuste fino", k]))
    assert between[0] - 3 < mean["tasas distintas", k] < between[1] + 3

# %% alt="Acierto en prueba según las fotos por clase, de 5 a 100, con barras de desviación. Con cinco fotos, desde cero está muy por debajo de las otras tres y solo la cabeza es la más alta. Con cien el orden se ha invertido: desde cero es la más alta y solo la cabeza queda abajo." caption="Media y desviación de tres semillas. Las cuatro maneras ven las mismas fotos."
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 3.4))
    styles = ("o--", "s:", "^-", "D-.")
    for index, (name, line) in enumerate(zip(METHODS, styles, strict=True)):
        shifted = [count * 1.04 ** (index - 1.5) for count in COUNTS]  # que las barras no se tapen
        deviations = [statistics.stdev(scores[name, count]) for count in COUNTS]
        means = [mean[name, count] for count in COUNTS]
        axis.errorbar(shifted, means, deviations, fmt=line, capsize=3, markersize=5, label=name)
    axis.set_xscale("log")
    axis.set_xticks(COUNTS, COUNTS)
    axis.minorticks_off()
    axis.set(xlabel="fotos por clase", ylabel="acierto en prueba (%)")
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()

# %% [markdown]
# Lee la figura por los extremos: lo que separa a las que heredan de la que empieza de cero se cierra.
#
# **Con cinco**, heredar gana por mucho, se mueva lo que se mueva. Desde cero hay que descubrir, con veinticinco
# imágenes, que un botín es un botín en cualquiera de 169 lugares. La red heredada ya lo sabe: se lo enseñaron miles de suéteres y
# zapatillas. Soltarla toda unas veces estropea parte de lo que sabía y otras no: cambia `seed` y lo verás.
#
# **Con cien**, la ventaja de la cabeza se acabó. Lo que la otra tienda sabía, cien fotos ya lo enseñan, y a tu medida. 425
# números no dan para más, y las características que heredó se hicieron para otras prendas. Es la suma del juguete: lo que no
# distinguen, ninguna cabeza lo recupera.
#
# **¿Y quién gana con cien, el ajuste fino o desde cero?** Cambia `seed` y lo verás cambiar. Con unas redes heredadas el ajuste fino
# queda varios puntos por debajo, y con otras, por encima: depende de lo que aprendió cada una en la otra tienda, no solo de
# cuántas fotos tienes. Un solo preentrenamiento no alcanza para decirlo.
#
# **Las tasas distintas** quedan entre las dos, que es lo que son: las primeras capas casi congeladas, las últimas casi sueltas.
#
# ¿Y si la de cero solo necesitaba más tiempo? Buena pregunta: es [el ejercicio 3](#ejercicio-3).
#
# ## Cuándo estorba { #estorba }
#
# Ya viste un caso: con fotos de sobra, congelar es un techo. Aquí hay tres más, con diez fotos por clase y la misma comparación.


# %%
def compare(net, dataset, batches, count=10):
    """Tres maneras de usar `count` fotos por clase, con todas las semillas: acierto medio."""
    classes = len(dataset.classes)
    found = {"desde cero": [], "solo la cabeza": [], "ajuste fino": []}
    for each in seeds:
        photos = data.few(dataset, count, each)
        starts = (
            from_scratch(each, classes),
            inherit_frozen(each, net, classes),
            inherit(each, net, classes),
        )
        for values, start in zip(found.values(), starts, strict=True):
            values.append(top1(fit(start, photos, each), batches))
    for name, values in found.items():
        print(f"{name:16} {statistics.mean(values):.1f} ± {statistics.stdev(values):.1f}")
    return {name: statistics.mean(values) for name, values in found.items()}


# %% [markdown]
# ### Cuando el problema ya era fácil { #centradas }
#
# Las prendas de Fashion-MNIST, como vienen: centradas y grandes. La otra tienda también. ¿Cuánto se gana ahora?

# %%
centered_net = pretrain(only(centered_train, SOURCE))
centered_batches = data.Batches(only(centered_test, TARGET), 1000, transform=normalize)
centered = compare(centered_net, only(centered_train, TARGET), centered_batches)

assert centered["ajuste fino"] - centered["desde cero"] < 4
assert centered["solo la cabeza"] < centered["desde cero"]

# %% [markdown]
# Poco, y nada si solo se entrena la cabeza. Con las prendas en su sitio, cada píxel significa siempre lo mismo y diez fotos
# alcanzan para mucho. La distancia de la figura anterior era, en buena parte, *saber que las cosas se mueven*. Esa es la
# pregunta útil antes de heredar una red: ¿qué sabe ella que mis fotos no pueden enseñar?
#
# ### Cuando viene de lejos: de la ropa a las cifras { #cifras }
#
# De las prendas a las cifras manuscritas de scikit-learn, de 8×8 agrandadas a 28×28. Diez clases, diez ejemplos de cada una.

# %%
bunch = load_digits()
pixels = (torch.tensor(bunch.images).unsqueeze(1) / 16 * 255).to(torch.uint8)
digits = data.Dataset(
    v2.functional.resize(pixels, [28, 28], antialias=True),
    torch.tensor(bunch.target),
    data.MNIST_CLASSES,
)
digits, digits_test = data.split(digits, fraction=0.3, seed=seed)
digits_batches = data.Batches(digits_test, 600, transform=normalize)
far = compare(pretrained, digits, digits_batches)

assert far["desde cero"] - far["solo la cabeza"] > 10
assert far["desde cero"] > far["ajuste fino"]

# %% [markdown]
# Congelada, es un desastre: las cuentas que separan suéteres de bolsos confunden un 3 con un 8. El ajuste fino la rescata a medias:
# puede deshacer lo heredado, pero tiene que gastar pasos en deshacerlo. Empezar de cero fue mejor. Lejos de la fuente, heredar
# estorba, y **congelar es lo más caro**.
#
# ### Cuando la fuente no enseñaba nada: etiquetas barajadas { #barajadas }
#
# La red de la otra tienda se entrenó con las mismas fotos, pero alguien desordenó el archivo de etiquetas. Lo que quiso aprender no
# existe. Nos la regalan igual.

# %%
generator = torch.Generator().manual_seed(seed)
shuffled = data.Dataset(
    source.images, source.labels[torch.randperm(len(source), generator=generator)], SOURCE
)
misled = compare(pretrain(shuffled), target, test_batches)

assert misled["solo la cabeza"] < mean["solo la cabeza", 10] - 8
assert misled["ajuste fino"] < mean["ajuste fino", 10] - 2
assert misled["ajuste fino"] < misled["desde cero"] - 2

# %% [markdown]
# Heredar disparates es peor que no heredar nada, y congelarlos, mucho peor. No todo lo que aprendió era basura: Maennel
# y otros (2020) vieron que, con etiquetas al azar, las primeras capas se acomodan igual a las imágenes, y eso ayuda a lo que
# venga después; pero las últimas se especializan en el disparate y pueden taparlo. En una red tan corta, lo taparon.

# %% alt="Acierto de tres métodos en cuatro situaciones, con un punto por método. Con la otra tienda, solo la cabeza y ajuste fino están sobre desde cero. Con prendas centradas, los tres están altos y solo la cabeza es el más bajo. Con cifras y con etiquetas barajadas, desde cero es el más alto y solo la cabeza queda muy por debajo." caption="Diez fotos por clase, media de tres semillas. La misma receta: lo que cambia es de dónde viene la red y adónde va."
cases = {
    "otra tienda": {name: mean[name, 10] for name in misled},
    "centradas": centered,
    "cifras": far,
    "barajadas": misled,
}
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 3.0))
    for index, (name, marker) in enumerate(zip(misled, "os^", strict=True)):
        places = [place + 0.12 * (index - 1) for place in range(len(cases))]
        axis.plot(places, [case[name] for case in cases.values()], marker, markersize=8, label=name)
    axis.set_xticks(range(len(cases)), cases)
    axis.set(ylabel="acierto en prueba (%)", ylim=(0, 100))
    axis.grid(axis="y", alpha=0.25, color=plotting.INK)
    axis.legend(loc="lower left")
    figure.tight_layout()

# %% [markdown]
# Una red heredada se juzga por lo que mide en *tus* fotos, y siempre contra la misma red desde cero. Si no hiciste esa segunda
# medida, no sabes si la transferencia te ayudó.
#
# ## Con los pesos de ImageNet { #imagenet }
#
# Hasta aquí la otra tienda éramos nosotros. Lo habitual es que sea ImageNet: 1.2 millones de fotos, mil clases, días o semanas de
# cálculo que alguien ya pagó. Con red de internet son cuatro líneas:
#
# ```python
# net = models.create("resnet18", weights="imagenet")  # descarga y comprueba los pesos oficiales
# replace_head(net, num_classes=5)
# freeze(net)
# normalize = weights.normalization("resnet18")  # la de quien los entrenó, no la de tus fotos
# ```
#
# El resto es lo de arriba: `data.few`, `data.Batches` con esa normalización, `train`. Hay pesos para todas las redes que
# enumera [`weights.published()`](../api/weights.md#cnnhistory.weights.published); los de torchvision se traducen a
# nuestros nombres y se comprueba, peso por peso, que nada sobre ni falte.
#
# Esta página se ejecuta sin red, así que aquí el camino se recorre con pesos *al azar* de torchvision: no dice nada del
# acierto, dice que el camino está bien hecho. Las fotos son recortes de [la gata](aumentacion.py#gata), derechos y de cabeza.
# Después de entrenar la cabeza, lo congelado tiene que seguir siendo la red de torchvision.

# %%
theirs = torchvision.models.resnet18(weights=None)  # al azar: aquí no hay red
net = models.create("resnet18")
net.load_state_dict(weights.convert("resnet18", theirs.state_dict()))
replace_head(net, 2)
freeze(net)
print(f"se entrenan {trainable(net)} de {inspection.thousands(trainable(theirs))} parámetros")

torch.manual_seed(seed)
crops = torch.stack([v2.RandomCrop(64)(data.cat()) for _ in range(16)])
upside_down = torch.arange(16) % 2
crops[upside_down == 1] = crops[upside_down == 1].flip(2)
cats = data.Dataset(crops, upside_down, ("derecha", "de cabeza"))
cat_batches = data.Batches(cats, 8, shuffle=True, transform=weights.normalization("resnet18"))
training.train(net, cat_batches, cat_batches, epochs=1, lr=0.01)

images = next(iter(cat_batches))[0]
theirs.fc = nn.Identity()
with torch.inference_mode():
    ours = nn.Sequential(net.stem, *net.stages, net.head[:2]).eval()(images)
    largest = (ours - theirs.eval()(images)).abs().max().item()
print(f"lo congelado, contra torchvision: la mayor diferencia es {largest:.1g}")
assert trainable(net) == 512 * 2 + 2
assert largest < 1e-4

# %% [markdown]
# ## De dónde salió { #historia }
#
# En 2012 una red ganó ImageNet y la pregunta de todos los demás fue otra: yo no tengo un millón de fotos, ¿qué hago?
#
# - **2013, DeCAF.** [Donahue y otros](../referencia/bibliografia.md#donahue2013) tomaron una red entrenada para reconocer
#   objetos, cortaron la cabeza y usaron lo que quedaba en tareas muy distintas: escenas, otros dominios, clases casi iguales
#   entre sí. Superó a lo mejor de entonces en varias. Publicaron el código y los pesos, y eso también fue una idea.
# - **2013, R-CNN.** [Girshick y otros](../referencia/bibliografia.md#girshick2013) añadieron el ajuste fino: preentrenar donde
#   sobran etiquetas, ajustar donde faltan. En detección de objetos mejoraron más de un 30 % relativo lo mejor que había en VOC 2012.
# - **2014, un punto de partida asombroso.** [Razavian y otros](../referencia/bibliografia.md#razavian2014) pusieron una SVM lineal
#   sobre una red que nadie ajustó, y compitieron con los sistemas más afinados, en tareas cada vez más lejanas. Concluyeron que
#   esas características debían ser la primera opción en casi cualquier tarea visual.
# - **2014, ¿qué capas?** [Yosinski y otros](../referencia/bibliografia.md#yosinski2014) cortaron por cada capa. Las primeras
#   sirven para todo y las últimas son de su tarea. Cuanto más lejos está la tarea nueva, menos sirve lo heredado; aun así, suele
#   ser mejor que el azar.
# - **2018, a distintas velocidades.** [Howard y Ruder](../referencia/bibliografia.md#howard2018) llevaron la receta al texto:
#   tasas discriminativas y descongelar poco a poco.
# - **2018, las dudas.** [Kornblith, Shlens y Le](../referencia/bibliografia.md#kornblith2018) compararon 16 redes en 12 conjuntos:
#   la que mejor clasifica ImageNet suele transferir mejor, pero en dos conjuntos pequeños de clases casi iguales preentrenar apenas aportó. Y
#   [He, Girshick y Dollár](../referencia/bibliografia.md#he2018) entrenaron detectores desde cero, con más pasos, y empataron
#   con los preentrenados, incluso con el 10 % de los datos: preentrenar hacía llegar antes, no más lejos.
#
# Que heredar ahorra tiempo y suele salir bien es cierto, y se enseña en todas partes. Las dudas son lo que se olvida:
# depende de cuántas fotos tienes y de qué tan lejos queda la tarea. Es justo lo que mediste arriba.
#
# ## Errores comunes
#
# ### Lo congelado que se mueve { #bn }
#
# Una LeNet-5 con normalización por lotes. Le quitamos los gradientes a todo menos a la cabeza y entrenamos con diez fotos por clase,
# de dos maneras: sin más, y con `freeze`. Para saber si lo congelado siguió congelado hay una prueba que no falla: volver a
# ponerle su cabeza vieja y preguntarle por sus clases viejas.


# %%
def careless_freeze(net):
    """Lo que se publica: quitar los gradientes a todo menos a la cabeza."""
    net.requires_grad_(False)
    net.classifier[-1].requires_grad_(True)


normalized = pretrain(source[::2], "lenet5_bn", epochs=2)
photos = data.few(target, 10, seed)
known = top1(normalized, source_batches)
print(f"la red heredada, en sus clases: {known:.1f}")
after_bn = {}
for name, still in (("sin gradientes", careless_freeze), ("freeze", freeze)):
    heir = inherit(seed, normalized)
    still(heir)
    fit(heir, photos, seed)
    on_target = top1(heir)
    heir.classifier[-1] = normalized.classifier[-1]  # la cabeza vieja, sobre lo «congelado»
    after_bn[name] = on_target, top1(heir, source_batches)
    print(f"{name:15} en las tuyas {on_target:.1f} · con la cabeza vieja, {after_bn[name][1]:.1f}")

assert after_bn["freeze"][1] == known
assert after_bn["sin gradientes"][1] != known

# %% [markdown]
# Con `freeze`, el mismo número hasta el último decimal. Sin él, lo «congelado» se movió en unas clases que nadie tocó, unas veces a peor y otras a mejor, y nadie lo pidió: si
# dos tiendas comparten la red y cada una le pone su cabeza, la segunda acaba de cambiar la de la primera. Que en tus clases
# salga igual o mejor no es consuelo: sus promedios son ahora los de tus cincuenta fotos, y dependen de cómo se repartieron en lotes.
#
# ### La normalización de otro { #normalizacion }
#
# La red heredada aprendió con imágenes de media cero y desviación uno, con la media y la desviación de *la otra tienda*. Son parte
# de la red, como sus pesos, y no viajan en el archivo. Aquí se olvidan al entrenar y al probar, o solo al probar, que es lo que
# pasa cuando la red sale de tu cuaderno a una aplicación.

# %%
raw_batches = data.Batches(target_test, 1000)
wrong = {"en los dos lados": [], "solo al probar": []}
for each in seeds:
    photos = data.few(target, 10, each)
    wrong["en los dos lados"].append(
        top1(fit(inherit_frozen(each), photos, each, transform=None), raw_batches)
    )
    wrong["solo al probar"].append(top1(fit(inherit_frozen(each), photos, each), raw_batches))
print(f"{'bien':24} {mean['solo la cabeza', 10]:.1f}")
for name, values in wrong.items():
    print(f"olvidada {name:16} {statistics.mean(values):.1f}")

assert statistics.mean(wrong["en los dos lados"]) < mean["solo la cabeza", 10] - 3
assert statistics.mean(wrong["solo al probar"]) < mean["solo la cabeza", 10] - 10

# %% [markdown]
# Ni un error, ni un aviso. Guarda la normalización junto a los pesos; para los de ImageNet la guarda
# [`weights.normalization`](../api/weights.md#cnnhistory.weights.normalization), y no es igual para todas las redes.
#
# ### El optimizador que llegó antes { #optimizador }
#
# Un optimizador guarda la lista de parámetros que va a mover. Si se crea antes de cambiar la cabeza, en su lista está la
# *vieja*, que ya no forma parte de la red. La nueva recibe gradientes y nadie da el paso. No hay ningún error: la
# pérdida, simplemente, no baja.

# %%
photos = data.few(target, 10, seed)
batches = data.Batches(photos, 25, shuffle=True, seed=seed, transform=normalize)
order = {}
for name in ("antes", "después"):
    heir = copy.deepcopy(pretrained)
    torch.manual_seed(seed)
    optimizer = make_optimizer(heir, 0.015, 0.0)
    replace_head(heir, 5)
    freeze(heir)
    if name == "después":
        optimizer = make_optimizer(heir, 0.015, 0.0)
    for _ in range(STEPS // len(batches)):
        loss, _ = training.train_one_epoch(heir, batches, optimizer)
    order[name] = top1(heir)
    print(
        f"optimizador creado {name:8} de cambiar la cabeza: pérdida {loss:.3f}, {order[name]:.1f} %"
    )

assert order["antes"] < 40 < order["después"]

# %% [markdown]
# Después de toda la vuelta, responde como al nacer: una de cada cinco. Por eso `train` no recibe un optimizador sino la función
# que lo crea: cuando la llama, la red ya es la definitiva.
#
# ### La prisa de los primeros pasos { #prisa }
#
# La cabeza recién nacida no sabe qué mirar. Mientras lo averigua, todo lo que está suelto se mueve con ella, hacia donde piden sus
# primeras respuestas, que son malas. Kumar y otros (2022) le pusieron nombre, *distorsión de las características*, y remedio: entrenar
# primero la cabeza y después soltar lo demás. Medimos dos cosas: el acierto en tus clases y, con la cabeza vieja, cuánto queda de lo
# que la red sabía.

# %%
rush = {}
for name, lr, warm in (
    ("con calma", 0.015, False),
    ("con prisa", 0.045, False),
    ("con prisa, la cabeza primero", 0.045, True),
):
    found = []
    for each in seeds:
        photos = data.few(target, 10, each)
        heir = inherit_frozen(each) if warm else inherit(each)
        if warm:
            fit(heir, photos, each)
            unfreeze(heir)
        fit(heir, photos, each, lr)
        on_target = top1(heir)
        heir.classifier[-1] = pretrained.classifier[-1]
        found.append((on_target, top1(heir, source_batches)))
    rush[name] = [statistics.mean(values) for values in zip(*found, strict=True)]
    print(f"{name:29} en las tuyas {rush[name][0]:.1f} · con la cabeza vieja {rush[name][1]:.1f}")

assert rush["con calma"][1] > rush["con prisa"][1]
assert rush["con prisa, la cabeza primero"][1] > rush["con prisa"][1] - 5
assert rush["con prisa, la cabeza primero"][0] > rush["con prisa"][0] - 6

# %% [markdown]
# Con una tasa tres veces mayor, el ajuste borró parte de lo que la red sabía. ¿Y calentar antes la cabeza, durante otros tantos
# pasos? Unas veces salva mucho, en tus clases y en las viejas, y otras nada: cambia la semilla y míralo. Cuando lo demás se suelta queda menos error que corregir, pero la prisa sigue ahí. El remedio seguro es
# otro: baja la tasa al ajustar.
#
# ## Ejercicios
#
# **1. Comprobar.** ¿Cuántos parámetros entrena una ResNet-50 congelada, con una cabeza para 20 clases? Su última capa recibe
# 2048 números. Compruébalo sin gastar memoria, con `torch.device("meta")`.

# %% tags=["solucion"]
with torch.device("meta"):
    large = models.create("resnet50")
replace_head(large, 20)
freeze(large)
print(trainable(large))
assert trainable(large) == 2048 * 20 + 20

# %% [markdown]
# **2. Calcular.** En esa misma red, con una tasa de 0.02 y cuatro grupos, ¿cuántas veces más despacio aprende la primera
# capa que la última? ¿Y con cinco grupos?

# %% tags=["solucion"]
with torch.device("meta"):
    large = models.create("resnet50")
for groups in (4, 5):
    optimizer = discriminative(groups=groups)(large, 0.02, 0.0)
    rates = [group["lr"] for group in optimizer.param_groups[::2]]
    print(
        f"{groups} grupos: {[round(rate, 5) for rate in rates]}, {rates[0] / rates[-1]:.1f} veces"
    )
    assert abs(rates[0] / rates[-1] - 2.6 ** (groups - 1)) < 1e-6

# %% [markdown]
# <span id="ejercicio-3"></span>**3. Dudar.** Alguien te dice: «desde cero perdió porque le faltó tiempo». Y otra persona: «lo que
# la red heredada sabía es que la prenda puede estar en cualquier lugar; eso se enseña moviendo las fotos». Mide las dos cosas con
# diez fotos por clase. Para mover, `augmentation.BatchCrop(padding=4)`.

# %% tags=["solucion"]
patient, augmented = [], []
move = nn.Sequential(augmentation.BatchCrop(padding=4), normalize)
for each in seeds:
    photos = data.few(target, 10, each)
    patient.append(top1(fit(fit(from_scratch(each), photos, each), photos, each + 1)))
    augmented.append(top1(fit(from_scratch(each), photos, each, transform=move)))
for name, value in (
    ("desde cero", mean["desde cero", 10]),
    ("desde cero, el doble de pasos", statistics.mean(patient)),
    ("desde cero, moviendo las fotos", statistics.mean(augmented)),
    ("ajuste fino", mean["ajuste fino", 10]),
):
    print(f"{name:31} {value:.1f}")
assert statistics.mean(patient) < mean["solo la cabeza", 10] - 2
assert statistics.mean(augmented) > mean["desde cero", 10] + 6
assert statistics.mean(augmented) > mean["ajuste fino", 10] - 3

# %% [markdown] tags=["solucion"]
# No le faltaba tiempo. Le faltaba saber que las cosas se mueven, y eso se le puede enseñar sin heredar nada: moviendo las fotos,
# alcanza o pasa al ajuste fino. Antes de buscar una red ajena, pregúntate si lo que esa red sabe no se lo puedes decir tú a la tuya.

# %% [markdown]
# **4. Inventar.** Entonces, ¿heredar y mover? Mídelo con `inherit` y con `inherit_frozen`, y di qué harías tú con diez fotos por clase.

# %% tags=["solucion"]
both = {"ajuste fino": [], "solo la cabeza": []}
for each in seeds:
    photos = data.few(target, 10, each)
    both["ajuste fino"].append(top1(fit(inherit(each), photos, each, transform=move)))
    both["solo la cabeza"].append(top1(fit(inherit_frozen(each), photos, each, transform=move)))
for name, values in both.items():
    print(f"{name}, moviendo: {statistics.mean(values):.1f} (sin mover, {mean[name, 10]:.1f})")
assert statistics.mean(both["ajuste fino"]) > mean["ajuste fino", 10] + 2
still = mean["ajuste fino", 10] - mean["desde cero", 10]
moving = statistics.mean(both["ajuste fino"]) - statistics.mean(augmented)
print(f"lo que da heredar: {still:+.1f} con las fotos quietas, {moving:+.1f} moviéndolas")
assert moving < still

# %% [markdown] tags=["solucion"]
# Mover le sirve a la que ajusta todo, y con las fotos en movimiento heredar da menos ventaja: buena parte de lo que la otra tienda
# sabía era que las prendas se mueven. Una red que aprendió de un millón de fotos sabe cosas que no se enseñan moviendo diez; para saber si te
# hacen falta, mide las dos juntas y por separado, como aquí.

# %% [markdown]
# ## Para seguir
#
# - Las piezas, con cada parámetro: [`replace_head`](../api/transfer.md#cnnhistory.transfer.replace_head),
#   [`freeze`](../api/transfer.md#cnnhistory.transfer.freeze), [`unfreeze`](../api/transfer.md#cnnhistory.transfer.unfreeze),
#   [`discriminative`](../api/transfer.md#cnnhistory.transfer.discriminative) y
#   [`few`](../api/data.md#cnnhistory.data.few).
# - De dónde salen los pesos oficiales y cómo se sabe que son los mismos: [Fidelidad](../resultados/fidelidad.py).
# - Si tus fotos son pocas, prueba también a [moverlas](aumentacion.py).
#
# ## Referencias
#
# - [Donahue y otros (2013)](../referencia/bibliografia.md#donahue2013): la red cortada como descriptor de uso general.
# - [Girshick y otros (2013)](../referencia/bibliografia.md#girshick2013): preentrenar y ajustar.
# - [Razavian y otros (2014)](../referencia/bibliografia.md#razavian2014): el punto de partida que asombró.
# - [Yosinski y otros (2014)](../referencia/bibliografia.md#yosinski2014): qué capas se transfieren.
# - [Howard y Ruder (2018)](../referencia/bibliografia.md#howard2018): las tasas discriminativas y el 2.6.
# - [Kornblith, Shlens y Le (2018)](../referencia/bibliografia.md#kornblith2018): si las mejores de ImageNet transfieren mejor.
# - [He, Girshick y Dollár (2018)](../referencia/bibliografia.md#he2018): desde cero, con paciencia.
# - [Maennel y otros (2020)](../referencia/bibliografia.md#maennel2020): qué se aprende de etiquetas al azar.
# - [Kumar y otros (2022)](../referencia/bibliografia.md#kumar2022): primero la cabeza.
