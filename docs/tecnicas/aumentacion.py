# %% [markdown]
# # Aumentación: la misma foto, nunca dos veces
#
# Tienes mil fotos y una red. Se las muestras una y otra vez, y a la décima vuelta las acierta casi todas. No
# aprendió a mirar: se las aprendió de memoria. Haría falta otro millón de fotos, y no lo hay.
#
# Ahora mira una de las mil. Si la reflejas, si la corres dos píxeles, si le tapas una esquina, sigues viendo lo
# mismo. Para la red es otra imagen. **¿Cuántas fotos hay escondidas en una foto?** Y la pregunta incómoda: ¿quién
# te dijo que al cambiarla sigue siendo lo mismo?
#
# Sacarlas de ahí se llama *aumentación de datos* (*data augmentation*). En esta página la haces a mano con nueve
# números, se la haces a una gata, lees el código por lotes del paquete y mides qué da y qué quita. Al final,
# cinco maneras publicadas de hacerla mal.

# %%
import math
import random
import statistics
import time

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torchvision.transforms import v2

from cnnhistory import augmentation, data, inspection, plotting, training

seed = 0

# %% [markdown]
# ## Nueve píxeles y un lápiz { #nueve-pixeles }
#
# Una imagen de 3×3. Reflejarla es leer cada fila al revés. Para moverla, rodéala de ceros, un píxel por lado, y
# recorta otra vez una ventana de 3×3: con un píxel de margen la ventana cabe en $3 \times 3$ lugares.

# %%
tiny = torch.arange(1, 10).view(3, 3)
padded = F.pad(tiny, (1, 1, 1, 1))
moved = padded[0:3, 2:5]  # la ventana, arriba a la derecha
print("original   reflejada   movida")
for rows in zip(tiny.tolist(), tiny.flip(1).tolist(), moved.tolist(), strict=True):
    print("      ".join(" ".join(map(str, row)) for row in rows))
print()

windows = padded.unfold(0, 3, 1).unfold(1, 3, 1).reshape(-1, 3, 3)
print(f"recortes: {len(windows.unique(dim=0))}")
assert tiny.flip(1).tolist() == [[3, 2, 1], [6, 5, 4], [9, 8, 7]]
assert moved.tolist() == [[0, 0, 0], [2, 3, 0], [5, 6, 0]]
assert len(windows.unique(dim=0)) == 9

# %% [markdown]
# La cuenta general: con un margen de $m$ píxeles hay $(2m + 1)^2$ recortes. Con $m = 2$, que es lo que usamos en
# imágenes de 28×28, son 25; si además se refleja o no, 50. Nadie guarda esas 50 imágenes en el disco: cada vez
# que la red pide una foto, se sortea una versión. Con este botín, cinco mil sorteos encuentran todas:

# %%
train_set, _ = data.fashion_mnist("mini")
boot = train_set.images[train_set.labels == train_set.classes.index("botín")][:1].float() / 255

torch.manual_seed(seed)
draws = nn.Sequential(augmentation.batched("crop"), augmentation.batched("flip"))(
    boot.expand(5000, -1, -1, -1)
)
versions = len(draws.flatten(1).unique(dim=0))
print(f"versiones distintas: {versions}")
assert versions == 25 * 2

# %% [markdown]
# ## La gata { #gata }
#
# Esta es Chelsea. La fotografió Stéfan van der Walt, que la cedió al dominio público, y viaja dentro del paquete.
# `apply` muestra varias veces una misma imagen, cada vez con otro sorteo. **Cada receta es una afirmación sobre el
# mundo**: dice qué puede cambiar en una foto sin que cambie su nombre. Léelas así.
#
# **Reflejar.** «Una gata que mira a la izquierda es la misma gata».

# %% alt="Ocho copias de la cara de una gata parda de ojos verdes; en unas mira a la derecha y en otras a la izquierda." caption="`flip`: cada vez, una moneda."
cat = v2.functional.resize(data.cat(), [72, 72], antialias=True)
torch.manual_seed(seed)
augmentation.apply(cat, augmentation.recipe("flip", 72), rows=2, cols=4)

# %% [markdown]
# **Mover.** «Da igual en qué lugar de la foto esté». La receta `crop` mueve dos píxeles, que en una imagen de 28
# se notan y en esta no, así que aquí usamos la transformación de torchvision con un margen mayor. A `apply` le
# sirve cualquiera.

# %% alt="Cuatro copias de la gata, cada una corrida hacia un lado distinto; por donde se corrió entra una banda negra." caption="`RandomCrop` con diez píxeles de margen. Lo que entra por el borde es negro: un cero."
augmentation.apply(cat, v2.RandomCrop(72, padding=10), rows=1, cols=4)

# %% [markdown]
# **Recortar y agrandar** (*resized crop*). «También da igual de qué tamaño se vea, y un pedazo basta». Es la que
# más arriesga: si el recorte cae en el fondo, la etiqueta es falsa.

# %% alt="Cuatro recortes ampliados de la gata: en unos se ve casi toda la cara, en otros solo los ojos y la nariz." caption="`resized_crop`: entre el 40 y el 100 % del área, vuelto a su tamaño."
augmentation.apply(cat, augmentation.recipe("resized_crop", 72), rows=1, cols=4)

# %% [markdown]
# **Cambiar el color.** «Da igual la luz». Brillo, contraste, saturación y tono.

# %% alt="Cuatro copias de la gata con otra luz: más oscura, más clara, más pálida, con el pelo rosado o verdoso." caption="`color`: cuatro perillas, giradas al azar."
augmentation.apply(cat, augmentation.recipe("color", 72), rows=1, cols=4)

# %% [markdown]
# **Borrar** (*random erasing*). «Un ojo tapado no deja de ser una gata». Obliga a no apostarlo todo a un detalle.

# %% alt="Cuatro copias de la gata; sobre tres o cuatro de ellas hay un rectángulo negro de otro tamaño y en otro lugar." caption="Borrar un rectángulo, aquí siempre. La receta `erasing` lo hace la mitad de las veces."
augmentation.apply(cat, v2.RandomErasing(p=1.0), rows=1, cols=4)

# %% [markdown]
# **Componer.** Las recetas se encadenan, y los sorteos se multiplican. `compose` mueve, refleja y borra.

# %% alt="Ocho versiones de la gata, todas distintas: unas reflejadas, otras con un rectángulo negro, otras con las dos cosas." caption="`compose`: mover, reflejar y borrar, una tras otra."
augmentation.apply(cat, augmentation.recipe("compose", 72), rows=2, cols=4)

# %% [markdown]
# ### Las que también cambian la etiqueta { #mezclas }
#
# *MixUp* suma dos fotos, un tanto de cada una. *CutMix* pega un rectángulo de una sobre otra. El resultado no es
# ninguna de las dos, y la etiqueta lo dice: deja de ser una clase y pasa a ser un reparto. La entropía cruzada
# acepta repartos, así que el bucle de entrenamiento no se entera.

# %% alt="Dos filas de cinco mezclas de prendas. Arriba, MixUp: dos prendas superpuestas como en una doble exposición. Abajo, CutMix: una prenda con un rectángulo de otra. Sobre cada una, sus dos clases con su porcentaje." caption="Arriba, MixUp; abajo, CutMix. En torchvision todo el lote comparte una misma proporción, y cada imagen se mezcla con su vecina."
torch.manual_seed(seed)
first = torch.stack([(train_set.labels == label).nonzero()[0, 0] for label in (9, 8, 0, 1, 5)])
images, labels = train_set.images[first].float() / 255, train_set.labels[first]
mixed, titles = [], []
for name in ("mixup", "cutmix"):
    mix = augmentation.mixing(name, num_classes=10)
    pictures, shares = mix(images, labels)
    while not 0.25 < shares.max() < 0.75:  # que se vea la mezcla
        pictures, shares = mix(images, labels)
    mixed.append(pictures)
    for share in shares:
        best = share.topk(2)
        pairs = zip(best.values, best.indices, strict=True)
        titles.append("\n".join(f"{part:.0%} {train_set.classes[which]}" for part, which in pairs))
    assert torch.allclose(shares.sum(1), torch.ones(5))
plotting.image_grid(torch.cat(mixed), titles, columns=5, size=1.1)

# %% [markdown]
# ## De dónde salió cada una { #historia }
#
# | Año | Quién | Qué hizo |
# | ---: | --- | --- |
# | 1998 | LeNet-5[^lenet] | Entrenada con dígitos deformados, su error en MNIST baja de 0.95 a 0.8 %. |
# | 2003 | Simard y otros[^simard] | Su resumen lo dice sin rodeos: la práctica más importante es tener todos los datos posibles, y para eso deforman los que hay. |
# | 2012 | AlexNet[^alexnet] | Recortes de 224×224 de fotos de 256×256, y sus reflejos; y un cambio de color. |
# | 2014 | VGG[^vgg] | *Scale jittering*: antes de recortar, la foto se reescala al azar, con el lado menor entre 256 y 512. |
# | 2014 | GoogLeNet[^googlenet] | Recortes de entre el 8 y el 100 % del área, con razón entre 3/4 y 4/3. Sus autores lo comprobaron ya pasada la competencia. Son todavía los valores por omisión de torchvision. |
# | 2017 | Random Erasing[^erasing] | Borra un rectángulo. Con una red residual ancha, el error en Fashion-MNIST baja de 4.01 a 3.65 %. |
# | 2017 | MixUp[^mixup] | Mezcla dos fotos y sus etiquetas. |
# | 2019 | CutMix[^cutmix] | Pega un pedazo. Con una ResNet-50, el error top-1 en ImageNet baja de 23.68 a 21.40 %. |
#
# Detente en AlexNet. Tenía sesenta millones de parámetros y poco más de un millón de fotos. El artículo dice que
# sin los recortes la red sobreajusta tanto que habría que haberla hecho mucho más pequeña, y que con ellos el
# conjunto crece 2048 veces, aunque esas copias se parezcan mucho entre sí. El color se cambia sumando a toda la
# foto un poco de cada dirección en que varían los colores de ImageNet (sus componentes principales), y eso solo
# quita más de un punto de error top-1. El truco que casi nadie cuenta está al final: **también aumenta al
# responder**. Pasa diez recortes de la foto y promedia las diez respuestas. Todo esto lo harás
# [en los ejercicios](#ejercicios).

# %% tags=["oculto"] alt="La cara de la gata en una foto cuadrada de 256 píxeles de lado, con tres cuadrados de 224 dibujados encima: uno pegado a la esquina de arriba a la izquierda, otro en el centro y otro abajo a la derecha." caption="La foto entera mide 256×256, como las de AlexNet. Cada cuadrado es un recorte de 224×224: se parecen mucho, y para la red no hay dos iguales."
with plotting.style():
    figure, axis = plt.subplots(figsize=(3, 3))
    axis.imshow(data.cat().permute(1, 2, 0).numpy(), interpolation="none")
    for corner, line in zip((1, 16, 30), ("-", "--", ":"), strict=True):
        square = plt.Rectangle((corner, corner), 224, 224, fill=False, edgecolor="w", ls=line, lw=2)
        axis.add_patch(square)
    axis.axis("off")
    figure.tight_layout(pad=0)

# %% [markdown]
# ## Imagen por imagen, o el lote entero { #dos-maneras }
#
# Hasta aquí aumentamos una imagen cada vez. Es lo natural cuando las fotos se leen del disco: unos procesos
# auxiliares leen y aumentan mientras la red trabaja. Pero un conjunto pequeño vive entero en la memoria, y
# entonces Python hace mil llamadas para mover mil imágenes diminutas. La alternativa es **aumentar el lote de una
# vez, donde ya está, con un sorteo para cada imagen**. El reflejo son dos líneas:

# %% tags=["fuente"]
from cnnhistory.augmentation import BatchFlip

# %%
assert torch.equal(BatchFlip(p=1.0)(boot), boot.flip(3))

# %% [markdown]
# Fíjate en la forma de `flipped`: `(N, 1, 1, 1)`. Son $N$ monedas, una por imagen, y `where` elige para cada una
# entre su reflejo y ella misma. Se calculan los dos y se tira uno: cuesta menos que preguntar.
#
# Mover es más interesante. Cada imagen tiene su propio corrimiento, así que no sirve un corte como `[2:30]`. En la
# imagen rodeada de ceros, de 32×32, caben 25 ventanas de 28×28. `unfold` las da todas y no copia ninguna: es la
# misma memoria, vista de 25 maneras. A cada imagen le toca una, y solo esa se copia.

# %% tags=["fuente"]
from cnnhistory.augmentation import BatchCrop

# %%
assert torch.equal(BatchCrop(padding=0)(boot), boot)
assert BatchCrop(padding=2)(boot).shape == boot.shape
windows = F.pad(boot, [2] * 4).unfold(2, 28, 1).unfold(3, 28, 1)
print("ventanas", tuple(windows.shape), "en", windows.untyped_storage().nbytes(), "bytes")
assert windows.untyped_storage().nbytes() == 4 * 32 * 32

# %% [markdown]
# Y borrar. `_boxes` sortea el área y la razón entre los lados de diez rectángulos por imagen y se queda con el
# primero que cabe. Después, cada píxel pregunta si está dentro.

# %% tags=["fuente"]
from cnnhistory.augmentation import BatchErasing, _boxes  # noqa: F401

# %%
torch.manual_seed(seed)
white = torch.ones(5000, 1, 28, 28)
holes = (BatchErasing(p=0.5)(white) == 0).float().mean((1, 2, 3))
print(f"borradas: {(holes > 0).float().mean():.1%}")
print(f"área borrada, en ellas: del {holes[holes > 0].min():.0%} al {holes.max():.0%}")
assert 0.45 < (holes > 0).float().mean() < 0.55
assert 0.01 < holes[holes > 0].min() < holes.max() < 0.36

# %% [markdown]
# ### ¿Sortean lo mismo? { #mismo-sorteo }
#
# Dos programas distintos solo son la misma aumentación si sus sorteos tienen la misma distribución. Se puede
# comprobar: en una imagen negra encendemos solo el píxel del centro. Adonde va el píxel, fue la imagen. Las 25
# posiciones deberían salir por igual, y la prueba $\chi^2$ mide cuánto se apartan. Con 25 casillas y un sorteo
# justo, ronda el 24, y pasa de 60 menos de una vez entre diez mil.

# %%
point = torch.zeros(1, 28, 28)
point[0, 14, 14] = 1
one, many = augmentation.recipe("crop", 28), augmentation.batched("crop")
torch.manual_seed(seed)
places = {
    "imagen por imagen": torch.stack([one(point) for _ in range(2000)]),
    "por lotes": many(point.expand(2000, -1, -1, -1)),
}
for name, pictures in places.items():
    counts = pictures.sum((0, 1))[12:17, 12:17]
    chi2 = ((counts - 80) ** 2 / 80).sum()
    print(f"{name:<18} entre {counts.min():.0f} y {counts.max():.0f} veces; χ² = {chi2:.1f}")
    assert counts.sum() == 2000  # ninguna cayó fuera
    assert chi2 < 60

# %% [markdown]
# ### ¿Cuánto se gana? { #velocidad }

# %% tags=["tiempos"]
batch = train_set.images[:500].float() / 255
one, many = augmentation.recipe("compose", 28), augmentation.batched("compose")


def seconds(action):
    """El mejor de tres intentos."""
    spent = []
    for _ in range(3):
        start = time.perf_counter()
        action()
        spent.append(time.perf_counter() - start)
    return min(spent)


slow = seconds(lambda: torch.stack([one(image) for image in batch]))
fast = seconds(lambda: many(batch))
print(f"imagen por imagen: {500 / slow:8.0f} por segundo")
print(f"por lotes:         {500 / fast:8.0f} por segundo")
print(f"razón: {slow / fast:.0f}")
assert slow > 3 * fast

# %% [markdown]
# Y si el lote vive en una GPU, no tiene que salir de ella. Con fotos grandes, en cambio, lo que tarda es leer y
# descomprimir el archivo, y aumentar imagen por imagen en los procesos que leen vuelve a ser lo natural:
# [`imagefolder`](../api/imagefolder.md#cnnhistory.imagefolder) lo hace así.
#
# ## ¿Sirve? Mil prendas, tres semillas { #medida }
#
# A medir. Mil prendas de Fashion-MNIST para entrenar (cien por clase) y otras para validar. Una red de dos
# convoluciones y una densa, que se aprende mil imágenes sin esfuerzo. Seis recetas, y ninguna, con tres semillas
# cada una: otras mil prendas, otros pesos y otros sorteos cada vez.


# %%
def new_net(num_classes=10):
    """Dos convoluciones con paso 2 y una densa."""
    return nn.Sequential(
        *(nn.Conv2d(1, 16, kernel_size=5, stride=2, padding=2), nn.ReLU()),
        *(nn.Conv2d(16, 32, kernel_size=3, stride=2, padding=1), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(32 * 7 * 7, num_classes)),
    )


def parts(seed):
    """Mil prendas para entrenar, otras para validar y la normalización de las primeras."""
    rest, few = data.split(train_set, fraction=0.1, seed=seed)
    _, val = data.split(rest, fraction=0.2, seed=seed)
    return few, val, data.normalization(few)


def fit(few, normalize, recipe, seed, epochs, watch=None):
    """Entrena una red nueva con una receta."""
    steps = [augmentation.batched(recipe)] if recipe in augmentation.RECIPES else []
    transform = nn.Sequential(*steps, normalize)  # se aumenta, y después se normaliza
    batches = data.Batches(few, 100, shuffle=True, seed=seed, transform=transform)
    if recipe in ("mixup", "cutmix"):
        batches = augmentation.Mixed(batches, augmentation.mixing(recipe, len(few.classes)))
    torch.manual_seed(seed)
    net = new_net(len(few.classes))
    optimizer = training.make_optimizer(net, lr=0.1, weight_decay=5e-4)
    schedule = training.one_cycle(optimizer, epochs * len(batches))
    for epoch in range(1, epochs + 1):
        training.train_one_epoch(net, batches, optimizer, schedule, clip_norm=1.0)
        if watch:
            watch(epoch, net)
    return net


def exam(net, part, normalize, change=None):
    """Mide la red; si se da un cambio, con las imágenes cambiadas."""
    transform = nn.Sequential(change, normalize) if change else normalize
    return training.evaluate(net, data.Batches(part, 500, transform=transform))


few, val, normalize = parts(3 * seed)
print(f"{len(few)} entrenan, {len(val)} validan")
print(inspection.thousands(inspection.count_parameters(new_net())), "parámetros")

# %% [markdown]
# Cada red se examina en sus mil prendas, sin aumentar, y en las de validación: tal como vienen, y de tres maneras
# en que el mundo podría traerlas (todas reflejadas, movidas al azar, con un rectángulo tapado).

# %%
EPOCHS = 10
SEEDS = range(3 * seed, 3 * seed + 3)
LABELS = {
    "none": "ninguna",
    "flip": "reflejar",
    "crop": "mover",
    "erasing": "borrar",
    "compose": "las tres",
    "mixup": "MixUp",
    "cutmix": "CutMix",
}
EXAMS = {
    "tal cual": None,
    "reflejada": BatchFlip(p=1.0),
    "movida": BatchCrop(padding=2),
    "tapada": BatchErasing(p=1.0),
}

nets, known, found = {}, {}, {}
for recipe in LABELS:
    for number in SEEDS:
        few, val, normalize = parts(number)
        net = nets[recipe, number] = fit(few, normalize, recipe, number, EPOCHS)
        known[recipe, number] = exam(net, few, normalize)
        for name, change in EXAMS.items():
            found[recipe, number, name] = exam(net, val, normalize, change)


def average(recipe, name="tal cual", field="top1"):
    """Media de las tres semillas en un examen."""
    return statistics.mean(getattr(found[recipe, number, name], field) for number in SEEDS)


def spread(values):
    """Media y desviación, en %."""
    values = [100 * value for value in values]
    return f"{statistics.mean(values):5.1f} ± {statistics.stdev(values):.1f}"


gap = {}
print(f"{'receta':<10} {'sus mil (%)':>13} {'validación (%)':>15} {'brecha':>8} {'pérdida':>9}")
for recipe, label in LABELS.items():
    seen = [known[recipe, number].top1 for number in SEEDS]
    unseen = [found[recipe, number, "tal cual"].top1 for number in SEEDS]
    gap[recipe] = statistics.mean(seen) - statistics.mean(unseen)
    loss = average(recipe, field="loss")
    print(
        f"{label:<10} {spread(seen):>13} {spread(unseen):>15} {100 * gap[recipe]:>8.1f} {loss:>9.3f}"
    )

assert gap["crop"] < gap["none"] - 0.03
assert gap["compose"] < gap["none"] - 0.03
assert max(map(average, LABELS)) < average("none") + 0.015  # ninguna gana con claridad
assert max(average("crop"), average("compose")) < average("none") - 0.01

# %% [markdown]
# Léela dos veces, porque no dice lo que se suele prometer.
#
# - **La brecha se cierra.** Sin aumentación la red acierta casi todas las suyas y tropieza con las demás. Con
#   `crop` o `compose`, las dos columnas se acercan.
# - **Pero se acerca la de arriba.** La brecha se cierra porque la red ya no puede memorizar, no porque acierte
#   más: en validación ninguna receta le gana con claridad a no hacer nada.
# - **Las dos que mueven las prendas pierden.** La red ha visto cada prenda pocas veces, y cada vez en otro lugar.
#   Le falta tiempo; enseguida se lo damos.
#
# Y un aviso: con una sola semilla, donde las recetas se separan por menos que su desviación, podrías anunciar la
# ganadora que quisieras.
#
# ¿Y entonces, para qué? Mira los otros tres exámenes.

# %% tags=["oculto"] alt="Tabla de colores de siete filas, las recetas, por cuatro columnas, los exámenes. En la columna tal cual todas las filas son oscuras y parecidas. En las otras tres, casi todo es claro salvo donde la receta coincide con el examen: reflejar en reflejada, mover en movida, borrar en tapada. La fila de las tres es oscura en todas." caption="Acierto en validación (%), media de tres semillas, según cómo llegan las prendas. Ninguna red volvió a entrenarse."
table = torch.tensor([[100 * average(recipe, name) for name in EXAMS] for recipe in LABELS])
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.2, 3.6))
    for row, scores in enumerate(table):
        for column, score in enumerate(scores):
            alpha = ((score - 50) / 35).clamp(0, 1).item()
            axis.add_patch(plt.Rectangle((column, row), 1, 1, color="#2f5db0", alpha=alpha, lw=0))
            ink = "white" if alpha > 0.55 else plotting.INK
            axis.text(column + 0.5, row + 0.5, f"{score:.0f}", ha="center", va="center", color=ink)
    axis.set(xlim=(0, 4), ylim=(7, 0))
    axis.set_xticks([column + 0.5 for column in range(4)], EXAMS)
    axis.set_yticks([row + 0.5 for row in range(7)], LABELS.values())
    axis.tick_params(length=0)
    axis.xaxis.tick_top()
    axis.spines[:].set_visible(False)
    figure.tight_layout()

# %%
for recipe, name in {"flip": "reflejada", "crop": "movida", "erasing": "tapada"}.items():
    assert average(recipe, name) > average("none", name) + 0.06
    assert average("compose", name) > average("none", name) + 0.02
    assert average("none", name) < average("none") - 0.1  # sin la receta, el cambio tumba la red

# %% [markdown]
# Ahí está. Reflejar las prendas tumba a todas las redes menos a las que entrenaron con reflejos. Moverlas dos
# píxeles, lo mismo. **Con estas pocas épocas, una receta no da acierto: da la tolerancia que lleva dentro.**
# En Fashion-MNIST todas las prendas vienen centradas y todos los zapatos apuntan al mismo lado, así que la
# validación «tal cual» no la premia. Tus fotos no vendrán así.
#
# ### Darle tiempo { #tiempo }
#
# Falta la otra mitad: ¿qué pasa si se le da tiempo? Las mismas mil prendas, con más épocas, sin aumentar y
# moviéndolas.

# %%
LONG = 50
curves, long_run = {}, {}
for recipe in ("none", "crop"):
    for number in SEEDS:
        few, val, normalize = parts(number)
        curve = curves[recipe, number] = []

        def watch(epoch, net, few=few, val=val, normalize=normalize, curve=curve):
            if epoch in (2, 5, 10, 20, 30, 40, LONG):
                curve.append((epoch, exam(net, few, normalize), exam(net, val, normalize)))

        fit(few, normalize, recipe, number, LONG, watch)
        long_run[recipe, number] = curve[-1][2]

for recipe in ("none", "crop"):
    scores = [long_run[recipe, number].top1 for number in SEEDS]
    loss = statistics.mean(long_run[recipe, number].loss for number in SEEDS)
    print(
        f"{LABELS[recipe]:<8} {EPOCHS} épocas: {100 * average(recipe):.1f} %, "
        f"pérdida {average(recipe, field='loss'):.3f}; "
        f"{LONG} épocas: {spread(scores)} %, pérdida {loss:.3f}"
    )

final = {
    recipe: {
        field: statistics.mean(getattr(long_run[recipe, number], field) for number in SEEDS)
        for field in ("top1", "loss")
    }
    for recipe in ("none", "crop")
}
assert final["crop"]["top1"] > average("crop") + 0.01  # a la que aumenta, el tiempo le sirve
assert final["none"]["top1"] < average("none") + 0.01  # a la otra, no
assert final["crop"]["top1"] > final["none"]["top1"]
assert final["crop"]["loss"] < 0.7 * final["none"]["loss"]

# %% tags=["oculto"] alt="Dos gráficas según la época, con dos curvas cada una en validación y otras dos, punteadas, en las mil prendas. A la izquierda, la pérdida: sin aumentar, la de validación baja, toca fondo pronto y sube hasta pasar de uno; moviendo, baja y se queda abajo. A la derecha, el acierto: sin aumentar, el de las mil llega al 100 % y el de validación se estanca; moviendo, el de validación sube más despacio y termina por encima." caption="Media de tres semillas. En línea continua, la validación; punteadas, las mil prendas de entrenamiento, sin aumentar."
with plotting.style():
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3))
    for index, recipe in enumerate(("none", "crop")):
        runs = [curves[recipe, number] for number in SEEDS]
        epochs = [point[0] for point in runs[0]]
        for axis, field, scale in zip(axes, ("loss", "top1"), (1, 100), strict=True):
            for place, line in ((1, ":"), (2, "-")):
                mean = [
                    scale * statistics.mean(getattr(run[step][place], field) for run in runs)
                    for step in range(len(epochs))
                ]
                label = LABELS[recipe] if line == "-" else None
                marker = "os"[index] if line == "-" else ""
                axis.plot(
                    epochs,
                    mean,
                    line,
                    color=plotting.PALETTE[index],
                    marker=marker,
                    ms=4,
                    label=label,
                )
    axes[0].set(xlabel="época", ylabel="entropía cruzada (nats)", title="Pérdida")
    axes[1].set(xlabel="época", ylabel="%", title="Acierto")
    axes[0].legend()
    for axis in axes:
        axis.grid(alpha=0.25, color=plotting.INK)
    figure.tight_layout()

# %% [markdown]
# La curva de sobreajuste de manual, y la misma curva sin ella. Sin aumentar, la red se aprende las mil y las
# épocas de más solo la hacen más arrogante: el acierto no se mueve y la pérdida en validación sube. La que entrena
# con prendas movidas todavía está aprendiendo, y acaba por delante. **La aumentación no es gratis: se paga en
# épocas.** Si la pruebas con el mismo presupuesto que antes y no mejora, no has probado nada.
#
# ## Cuando un reflejo miente { #mentiras }
#
# ### b, d, p, q { #letras }
#
# Una receta es una afirmación, y puede ser falsa. Cuatro letras, dibujadas con las fuentes que trae matplotlib, en
# varios tamaños y lugares:

# %% alt="Doce letras blancas sobre negro, be, de, pe y cu minúsculas, de distinto grosor, tamaño y posición." caption="Un conjunto de letras con cuatro clases. Refleja mentalmente cada una."
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

FONTS = [
    font_manager.findfont(font_manager.FontProperties(family=family, weight=weight))
    for family in ("DejaVu Sans", "DejaVu Sans Mono")
    for weight in ("normal", "bold")
]


def letters(count, seed):
    """Letras en 28×28, con su clase."""
    chance, pictures, labels = random.Random(seed), [], []
    for index in range(count):
        picture = Image.new("L", (28, 28))
        font = ImageFont.truetype(chance.choice(FONTS), chance.randint(14, 20))
        place = 14 + chance.randint(-4, 4), 14 + chance.randint(-3, 3)
        ImageDraw.Draw(picture).text(place, "bdpq"[index % 4], fill=255, font=font, anchor="mm")
        pictures.append(v2.functional.pil_to_tensor(picture))
        labels.append(index % 4)
    return data.Dataset(torch.stack(pictures), torch.tensor(labels), tuple("bdpq"))


alphabet, unseen = letters(600, seed=2 * seed), letters(600, seed=2 * seed + 1)
plotting.image_grid(alphabet.images[:12], titles=list("bdpq" * 3), columns=12, size=0.6)

# %%
reading = {}
for recipe in ("none", "crop", "flip"):
    own = data.normalization(alphabet)
    reader = fit(alphabet, own, recipe, seed, epochs=12)
    reading[recipe] = exam(reader, unseen, own)
    if recipe == "flip":
        logits = torch.cat([reader(batch) for batch, _ in data.Batches(unseen, 500, transform=own)])
    print(f"{LABELS[recipe]:<9} {reading[recipe].top1:.1%}, pérdida {reading[recipe].loss:.3f}")

b_or_d = logits.softmax(1)[:, :2].sum(1) > 0.5  # sin decir cuál de las dos
upright = (b_or_d == (unseen.labels < 2)).float().mean().item()
print(f"la que entrenó con reflejos, al separar b y d de p y q: {upright:.1%}")
assert reading["none"].top1 > 0.9
assert reading["crop"].top1 > 0.9
assert 0.35 < reading["flip"].top1 < 0.7
assert reading["flip"].loss > math.log(2) - 0.03
assert upright > 0.9

# %% [markdown]
# Una b reflejada es una d. La receta le enseñó a la red imágenes idénticas con etiquetas contrarias, y la red
# hizo lo único honesto: decir «b o d, mitad y mitad». Sabe si el palo sube o baja; de qué lado está, le dijimos que
# no importa. Nada falló, nada avisó, y no hay época que lo arregle: la pérdida no puede bajar de $\ln 2 = 0.693$,
# que es lo que paga quien duda entre dos.
#
# Pasa con dígitos, con texto, con señales de tránsito que dicen «a la izquierda», con la mano derecha, con
# radiografías (el corazón está a un lado). Antes de usar una receta, mírala en tus imágenes y pregúntate **si tú
# le pondrías la misma etiqueta**.
#
# ### Una moneda para todo el lote { #una-moneda }
#
# Las transformaciones de torchvision aceptan lotes, así que parece buena idea pasarles uno. Funciona, y tira *una
# sola moneda*:

# %%
torch.manual_seed(seed)
batch = train_set.images[:100].float() / 255


def how_many(flip):
    """Cuántas del lote salieron reflejadas."""
    return int((flip(batch) != batch).flatten(1).any(1).sum())


COINS = {"una por lote": v2.RandomHorizontalFlip(), "una por imagen": BatchFlip()}
for name, flip in COINS.items():
    counts = [how_many(flip) for _ in range(8)]
    print(f"{name:<15} reflejadas, de 100: {counts}")
    assert set(counts) <= {0, 100} if name == "una por lote" else min(counts) > 20

# %% [markdown]
# En promedio da lo mismo, y por eso nadie lo nota. Pero el gradiente de un paso ya no promedia cien sorteos
# independientes: depende de uno. ¿Cuánto más tiembla? Tomamos una red que apenas empezó y un lote fijo, y
# calculamos el gradiente con muchos sorteos.

# %%
few, val, normalize = parts(SEEDS[0])
net = fit(few, normalize, "none", SEEDS[0], epochs=1)
images, labels = few.images[:100].float() / 255, few.labels[:100]


def trembling(flip, draws=40):
    """Cuánto varía el gradiente de un sorteo a otro, en relación con su media."""
    gradients = []
    for _ in range(draws):
        net.zero_grad()
        F.cross_entropy(net(normalize(flip(images))), labels).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in net.parameters()]))
    gradients = torch.stack(gradients)
    return (gradients.std(0).norm() / gradients.mean(0).norm()).item()


torch.manual_seed(seed)
noise = {name: trembling(flip) for name, flip in COINS.items()}
for name, amount in noise.items():
    print(f"{name:<15} el gradiente varía un {amount:.0%}")
print(f"razón: {noise['una por lote'] / noise['una por imagen']:.1f}")
assert noise["una por lote"] > 1.5 * noise["una por imagen"]

# %% [markdown]
# El mismo código sirve para una imagen y para un lote, y hace cosas distintas. La vacuna es la de arriba: aumenta
# un lote y cuenta.
#
# ### Aumentar la validación { #aumentar-validacion }
#
# Se escribe un solo `transform` y se usa en los dos lados. El examen deja de ser el examen: la misma red, con
# las mismas prendas, da una nota distinta cada vez, y siempre peor.

# %%
net = nets["none", SEEDS[0]]
torch.manual_seed(seed)
right = exam(net, val, normalize).top1
wrong = [exam(net, val, normalize, augmentation.batched("compose")).top1 for _ in range(5)]
print(f"sin aumentar: {right:.1%}, las veces que quieras")
print("aumentando:  ", ", ".join(f"{score:.1%}" for score in wrong))
assert exam(net, val, normalize).top1 == right
assert len(set(wrong)) > 1
assert max(wrong) < right - 0.05

# %% [markdown]
# Examinar con imágenes cambiadas *a propósito*, como hicimos en la tabla, es otra cosa: ahí se dice qué cambio, y
# es la pregunta.
#
# ### Aumentar después de normalizar { #despues-de-normalizar }
#
# Normalizar es restar la media y dividir por la desviación, así que el negro deja de ser cero. Si entonces se mueve
# la imagen, los ceros que entran por el borde son *grises*; y el color, que supone valores entre 0 y 1, hace
# cualquier cosa. Las recetas por lotes miran los valores (en una GPU, solo los del primer lote) y se niegan:

# %%
black, gray = normalize(torch.zeros(1, 1, 1, 1)).item(), normalize.mean[0]
print(f"normalizado, el negro vale {black:.2f}, y un cero es un gris de {gray:.2f}")
try:
    augmentation.batched("crop")(normalize(images))
except ValueError as error:
    print("ValueError:", error)
else:
    raise AssertionError("debía negarse")
assert black < -0.5

# %% [markdown]
# ### Aumentar antes de repartir { #fuga }
#
# El más caro. «Primero fabrico el conjunto grande, después separo la validación». De cada prenda hay ocho copias
# parecidas, y casi siempre alguna quedó en cada lado: la red contesta de memoria. Es una fuga de datos.

# %%
few, val, normalize = parts(SEEDS[0])
base = few[torch.randperm(len(few), generator=torch.Generator().manual_seed(seed))[:200]]
torch.manual_seed(seed)
crop = augmentation.batched("crop")
copies = torch.cat([crop(base.images.float() / 255) for _ in range(8)])
grown = data.Dataset((255 * copies).round().byte(), base.labels.repeat(8), base.classes)

rest, held_out = data.split(grown, fraction=0.25, seed=seed)
leaky = fit(rest, normalize, "none", seed, epochs=15)
promised, true = exam(leaky, held_out, normalize).top1, exam(leaky, val, normalize).top1
print(f"lo que prometía esa validación: {promised:.1%}")
print(f"lo que pasa con prendas nuevas: {true:.1%}")
assert promised > true + 0.08

# %% [markdown]
# Primero se reparte, después se aumenta, y solo el entrenamiento.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** AlexNet recorta ventanas de 224×224 de fotos de 256×256, las refleja o no, y dice que eso
# multiplica los datos por 2048. ¿Te salen las cuentas? Recuerda los nueve píxeles del principio.

# %% [markdown] tags=["solucion"]
# $2048 = 32 \times 32 \times 2$: el artículo cuenta $256 - 224 = 32$ corrimientos por lado. Pero una ventana que
# puede correrse 32 lugares tiene 33 posiciones, contando la de no moverse: $33^2 \times 2 = 2178$. Es el error de
# los postes y la valla, y no le cambia el resultado a nadie.

# %% tags=["solucion"]
positions = data.cat()[0].unfold(0, 224, 1).unfold(1, 224, 1).shape[:2]
print(f"{positions[0]} × {positions[1]} × 2 = {2 * math.prod(positions)}")
assert 2 * math.prod(positions) == 2 * 33**2 == 2178
assert 2 * (256 - 224) ** 2 == 2048

# %% [markdown]
# **2. Calcular.** Con MixUp, una imagen es 70 % botín y 30 % bolso. ¿Cuánto es lo menos que puede pagar la red en
# esa imagen? ¿Sirve de algo comparar la pérdida de entrenamiento de MixUp con la de validación?

# %% [markdown] tags=["solucion"]
# Lo mejor es responder justo ese reparto, y cuesta su entropía: $-0.7 \ln 0.7 - 0.3 \ln 0.3$. No es cero, así que
# con MixUp la pérdida de entrenamiento es más alta que la de validación sin que haya nada mal. Compara
# aciertos, y en imágenes sin mezclar.

# %% tags=["solucion"]
shares = torch.tensor([[0.7, 0.3]])
least = F.cross_entropy(shares.log(), shares).item()
print(f"mínimo: {least:.3f}")
assert math.isclose(least, -0.7 * math.log(0.7) - 0.3 * math.log(0.3), rel_tol=1e-5)
assert F.cross_entropy(torch.tensor([[9.0, 0.0]]), shares).item() > least  # estar segura sale caro

# %% [markdown]
# **3. Responder diez veces.** AlexNet promediaba las respuestas a diez versiones de la foto. Promedia tú las de la
# prenda y su reflejo, en una red que entrenó con reflejos y en una que no. Antes de ejecutarlo, apuesta.

# %% [markdown] tags=["solucion"]
# Se llama *aumentación al probar* (*test-time augmentation*). A la que conoce los reflejos no le hace daño, y puede
# ganar algo: son dos opiniones sensatas. A la otra la hunde, porque la segunda opinión es casi un invento. Solo
# puedes promediar sobre cambios que la red aprendió a ignorar.

# %% tags=["solucion"]
few, val, normalize = parts(SEEDS[0])
pixels = normalize(val.images.float() / 255)
gain = {}
for recipe in ("none", "flip"):
    net = nets[recipe, SEEDS[0]]
    with torch.inference_mode():
        straight, mirrored = net(pixels).softmax(1), net(pixels.flip(3)).softmax(1)
    alone, both = (
        (answer.argmax(1) == val.labels).float().mean().item()
        for answer in (straight, straight + mirrored)
    )
    gain[recipe] = both - alone
    print(f"{LABELS[recipe]:<9} sola {alone:.1%}, con su reflejo {both:.1%}")
assert gain["none"] < -0.01
assert gain["flip"] > -0.01

# %% [markdown]
# **4. Reconstruir.** Escribe el cambio de color de AlexNet. Los colores de los píxeles tienen una covarianza de
# 3×3, con vectores propios $p_i$ y valores propios $\lambda_i$. A toda la foto se le suma $\sum_i \alpha_i
# \lambda_i \, p_i$, con $\alpha_i$ normal de media 0 y desviación 0.1, uno por foto. (En el artículo la
# covarianza es la de todo ImageNet; aquí, la de la gata. Y para que se vea, prueba también con 8.)

# %% tags=["solucion"] alt="Ocho copias de la gata en dos filas. Arriba, con desviación 0.1, todas parecen iguales. Abajo, con una mayor, unas son más claras y otras más oscuras, con el mismo tono pardo." caption="Arriba, desviación 0.1; abajo, exagerada. El primer componente es casi gris: es la luz."
colors = data.cat().flatten(1).double() / 255  # (3, píxeles)
values, vectors = torch.linalg.eigh(colors.cov())
strongest = vectors[:, -1].abs()
print(f"λ = {[round(value, 4) for value in values.tolist()]}")
print(f"el componente mayor, en rojo, verde y azul: {[round(v, 2) for v in strongest.tolist()]}")


def alexnet_color(image, spread):
    """Suma a toda la foto un mismo desplazamiento de color."""
    alpha = spread * torch.randn(3, dtype=torch.float64)
    shift = vectors @ (alpha * values)
    return (image / 255 + shift[:, None, None]).clamp(0, 1).float()


torch.manual_seed(seed)
versions = [alexnet_color(cat, spread) for spread in (0.1, 8.0) for _ in range(4)]
assert torch.allclose(vectors @ values.diag() @ vectors.T, colors.cov())
assert strongest.min() > 0.4  # los tres canales suben y bajan juntos
plotting.image_grid((255 * torch.stack(versions)).round().byte(), columns=4)

# %% [markdown] tags=["solucion"]
# Con 0.1 el cambio no se ve: los valores propios de una foto con píxeles entre 0 y 1 son de centésimas, y el
# desplazamiento, de milésimas. Para verlo hay que exagerarlo mucho. Si mides los píxeles de 0 a 255, los valores
# propios crecen con el cuadrado de la escala y el desplazamiento en proporción es 255 veces mayor: quien copia el
# 0.1 sin copiar la escala no está haciendo lo mismo.

# %% [markdown]
# **5. Inventar.** Las letras no admiten reflejos sueltos, pero hay una manera de usarlos sin mentir: si la
# refleja, que cambie también la etiqueta (b ↔ d, p ↔ q). Con veinte letras de cada clase, ¿gana algo? Compáralo con no
# aumentar, y da a las dos los mismos pasos.

# %% [markdown] tags=["solucion"]
# El reflejo honesto dobla los datos: cada b enseña también cómo es una d. MixUp y CutMix hacen lo mismo, decir la
# verdad sobre lo que muestran.

# %% tags=["solucion"]
swap = torch.tensor([1, 0, 3, 2])  # b ↔ d, p ↔ q
scarce = letters(80, seed=2 * seed)
honest = data.Dataset(
    torch.cat([scarce.images, scarce.images.flip(3)]),
    torch.cat([scarce.labels, swap[scarce.labels]]),
    scarce.classes,
)
lying = data.Dataset(honest.images, scarce.labels.repeat(2), scarce.classes)
scores = {}
for name, part in {"sin aumentar": scarce, "honesto": honest, "mentiroso": lying}.items():
    epochs = 4800 // len(part)  # las mismas imágenes vistas
    runs = [exam(fit(part, own, "none", number, epochs), unseen, own).top1 for number in SEEDS]
    scores[name] = statistics.mean(runs)
    print(f"{name:<13} {spread(runs)} %")
assert scores["honesto"] > scores["sin aumentar"] + 0.08
assert scores["sin aumentar"] > scores["mentiroso"] + 0.08

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Todas las recetas, con sus parámetros: [`RECIPES`][cnnhistory.augmentation.RECIPES],
#   [`batched`][cnnhistory.augmentation.batched], [`mixing`][cnnhistory.augmentation.mixing],
#   [`apply`][cnnhistory.augmentation.apply] y la gata, [`data.cat`][cnnhistory.data.cat].
# - Dónde encaja en el entrenamiento: [el bucle, línea por línea](bucle-de-entrenamiento.py).
# - La red que, sin ella, habría tenido que ser mucho más pequeña: [AlexNet](../arquitecturas/alexnet.py#dropout).
#
# [^lenet]: [LeCun, Bottou, Bengio y Haffner (1998)](../referencia/bibliografia.md#lecun1998); su tabla está en
#     [LeNet-5](../arquitecturas/lenet-5.py#historia).
# [^simard]: [Simard, Steinkraus y Platt (2003)](../referencia/bibliografia.md#simard2003).
# [^alexnet]: [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012), sección 4.1.
# [^vgg]: [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014).
# [^googlenet]: [Szegedy y otros (2014)](../referencia/bibliografia.md#szegedy2014).
# [^erasing]: [Zhong y otros (2017)](../referencia/bibliografia.md#zhong2017).
# [^mixup]: [Zhang y otros (2017)](../referencia/bibliografia.md#zhang2017).
# [^cutmix]: [Yun y otros (2019)](../referencia/bibliografia.md#yun2019).
