# %% [markdown]
# # Después de ImageNet
#
# El concurso acabó en 2017. Casi nadie lo echó de menos: clasificar mil clases con cinco intentos ya no distinguía un
# sistema de otro. Y sin embargo, abre hoy cualquier programa que encuentre peatones, recorte fondos, siga una
# pelota o le ponga el estilo de Van Gogh a tu foto: dentro, muy probablemente, hay una red de esta historia.
#
# **¿Cómo hace una red que solo sabe decir «perro» para decir *dónde* está el perro?** Lo construirás en esta
# página con un clasificador que ya conoces, sin volver a escribirlo. Después verás qué pasó con la convolución
# cuando llegaron los transformers, y qué se encontró al volver, con lupa, sobre las etiquetas de ImageNet.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import data, inspection, models, plotting, training

seed = 0

# %% [markdown]
# ## Una capa densa es una convolución { #densa-convolucion }
#
# Empieza con lo más pequeño. Un clasificador mira una imagen de 2×2 y su capa densa tiene cuatro pesos:
#
# $$\text{imagen} = \begin{pmatrix} 1 & 2 \\ 3 & 4 \end{pmatrix}, \qquad
# \text{pesos} = \begin{pmatrix} 1 & 0 \\ 0 & -1 \end{pmatrix}, \qquad
# \text{salida} = 1 \cdot 1 + 4 \cdot (-1) = -3$$
#
# Ahora dale una imagen de 2×3. La densa protesta: esperaba cuatro números y llegaron seis. Pero esos cuatro pesos
# son también **un filtro de 2×2**, y un filtro se puede deslizar. En la primera posición da lo mismo que antes, y
# en la segunda da la respuesta del clasificador sobre el recorte de al lado. Una imagen más grande no rompe nada:
# da un *mapa* de respuestas.

# %%
weights = torch.tensor([[1.0, 0], [0, -1]])
wide = torch.tensor([[1.0, 2, 5], [3, 4, 1]])
answers = F.conv2d(wide[None, None], weights[None, None])[0, 0]
print("densa sobre el primer recorte: ", (wide[:, :2] * weights).sum().item())
print("densa sobre el segundo recorte:", (wide[:, 1:] * weights).sum().item())
print("el mismo filtro, deslizado:    ", answers.tolist())
assert answers.tolist() == [[-3.0, 1.0]]

# %% [markdown]
# ## De clasificar a encontrar { #encontrar }
#
# Hagámoslo con una red de verdad. La [LeNet-5 moderna](../arquitecturas/lenet-5.py) clasifica prendas de 28×28.
# Le añadimos una clase más, **«nada»**: recortes vacíos o que muestran una prenda solo a medias. Enseguida verás por
# qué hace falta.
#
# Primero, las escenas: un lienzo negro con varias prendas puestas en lugares al azar, sin que se toquen.

# %%
SIDE, ITEM = 112, 28
NOTHING = 10


def scene(dataset, count, generator):
    """Un lienzo (1, SIDE, SIDE) con `count` prendas sin solapar, y dónde quedó cada una.

    Returns:
        El lienzo uint8, y una lista de (fila, columna, clase) con la esquina de cada prenda.
    """
    canvas, placed = torch.zeros(1, SIDE, SIDE, dtype=torch.uint8), []
    free = torch.ones(SIDE - ITEM + 1, SIDE - ITEM + 1, dtype=torch.bool)  # esquinas donde cabe
    while len(placed) < count:
        corners = free.nonzero()
        if not len(corners):  # mal repartidas, ya no cabe otra: se empieza de nuevo
            return scene(dataset, count, generator)
        chosen = int(torch.randint(len(corners), (1,), generator=generator))
        row, column = corners[chosen].tolist()
        index = int(torch.randint(len(dataset), (1,), generator=generator))
        canvas[:, row : row + ITEM, column : column + ITEM] = dataset.images[index]
        placed.append((row, column, int(dataset.labels[index])))
        free[max(0, row - ITEM + 1) : row + ITEM, max(0, column - ITEM + 1) : column + ITEM] = False
    return canvas, placed


def nothings(dataset, count, generator):
    """Recortes (count, 1, 28, 28) que no encuadran ninguna prenda: a más de 8 píxeles de todas."""
    crops = []
    while len(crops) < count:
        canvas, placed = scene(dataset, 5, generator)
        for row, column in torch.randint(0, SIDE - ITEM + 1, (40, 2), generator=generator).tolist():
            if all(max(abs(row - r), abs(column - c)) > 8 for r, c, _ in placed):
                crops.append(canvas[:, row : row + ITEM, column : column + ITEM])
    return torch.stack(crops[:count])


train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
generator = torch.Generator().manual_seed(seed)
names = (*train_set.classes, "nada")


def shifted(images):
    """Cada imagen corrida hasta dos píxeles: una ventana casi nunca encuadra justo."""
    padded = F.pad(images, (2, 2, 2, 2))
    places = torch.randint(0, 5, (len(images), 2), generator=generator).tolist()
    pairs = zip(padded, places, strict=True)
    return torch.stack([image[:, r : r + ITEM, c : c + ITEM] for image, (r, c) in pairs])


def with_nothings(dataset, count):
    """Las prendas, corridas un poco, más `count` recortes de la clase «nada»."""
    images = torch.cat([shifted(dataset.images), nothings(dataset, count, generator)])
    labels = torch.cat([dataset.labels, torch.full((count,), NOTHING)])
    return data.Dataset(images, labels, names)


normalize = data.normalization(train_set)


def trained(train_part, val_part):
    """Una LeNet-5 moderna con tantas salidas como clases, entrenada cuatro épocas."""
    torch.manual_seed(seed)
    net = models.create("lenet5_modern", num_classes=len(train_part.classes), in_channels=1)
    batches = data.Batches(train_part, 128, shuffle=True, seed=seed, transform=normalize)
    val_batches = data.Batches(val_part, 500, transform=normalize)
    last = training.train(net, batches, val_batches, epochs=4, lr=0.05)[-1]
    print(f"{len(train_part.classes)} clases: acierta {last.val_top1:.1%} de la validación")
    return net.eval()


net = trained(with_nothings(train_set, 4000), with_nothings(val_set, 400))

# %% [markdown]
# Hasta aquí, un clasificador como cualquiera. Ahora, sin tocar un peso, cambiamos sus tres capas densas por
# convoluciones. La primera densa recibe un mapa de 16×5×5: es una convolución de 5×5. Las otras dos miran un solo
# punto: son de 1×1.


# %%
def fully_convolutional(net):
    """La misma red, con cada densa vuelta convolución: admite imágenes de cualquier tamaño."""
    layers, channels = list(net.features), 16
    for module in net.classifier:
        if isinstance(module, nn.Linear):
            size = round((module.in_features / channels) ** 0.5)
            layer = nn.Conv2d(channels, module.out_features, size)
            with torch.no_grad():
                layer.weight.copy_(module.weight.view_as(layer.weight))
                layer.bias.copy_(module.bias)
            layers.append(layer)
            channels = module.out_features
        elif not isinstance(module, nn.Flatten):
            layers.append(module)
    return nn.Sequential(*layers).eval()


finder = fully_convolutional(net)
crops = normalize(test_set.images[:100].float() / 255)
with torch.inference_mode():
    assert torch.allclose(finder(crops)[:, :, 0, 0], net(crops), atol=1e-4)
    canvas, placed = scene(test_set, 5, torch.Generator().manual_seed(seed))
    maps = finder(normalize(canvas[None].float() / 255))[0].softmax(0)
own, searching = (inspection.count_parameters(each) for each in (net, finder))
print("parámetros:", inspection.thousands(own), "y", inspection.thousands(searching))
print("de un lienzo", tuple(canvas.shape), "salen mapas", tuple(maps.shape))
assert own == searching

# %% [markdown]
# Los mismos parámetros y, en un recorte, las mismas respuestas. Pero de un lienzo entero sale un mapa por clase.
# Cada celda del mapa es la opinión de la red sobre una ventana de 28×28, y la red corre la ventana de 4 en 4
# píxeles: el paso de sus dos poolings. Las convoluciones que comparten dos ventanas se calculan una sola vez.
#
# Para pasar de mapas a objetos se quedan los picos: las celdas donde «algo» es más probable que «nada» y más que
# en sus vecinas, de mayor a menor, descartando las que caen encima de una ya elegida.


# %%
STRIDE = 4


def found_in(maps, has_nothing=True, threshold=0.5):
    """Las prendas que ve un mapa (clases, filas, columnas): lista de (fila, columna, clase)."""
    garments = maps[:NOTHING] if has_nothing else maps
    best, kind = garments.max(dim=0)
    picked = []
    for cell in best.flatten().argsort(descending=True).tolist():
        row, column = divmod(cell, best.shape[1])
        if best[row, column] < threshold:
            break
        row, column = row * STRIDE, column * STRIDE
        if all(max(abs(row - r), abs(column - c)) >= ITEM * 0.7 for r, c, _ in picked):
            picked.append((row, column, int(kind[row // STRIDE, column // STRIDE])))
    return picked


# %% alt="A la izquierda, un lienzo negro con cinco prendas dispersas, cada una dentro de un recuadro con su nombre. A la derecha, el mapa de «algo hay»: cinco manchas claras, una donde está cada prenda, sobre fondo oscuro." caption="Lo que encuentra la red en el lienzo (izquierda) y su mapa de «aquí hay algo» (derecha), una celda cada 4 píxeles."
with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(7.2, 3.5))
    left.imshow(canvas[0], cmap="gray")
    for row, column, kind in found_in(maps):
        frame = plt.Rectangle((column, row), ITEM, ITEM, fill=False, color="#e08a3c", linewidth=1.6)
        left.add_patch(frame)
        tag = {"facecolor": "black", "edgecolor": "none", "alpha": 0.75, "pad": 0.6}
        left.text(column + 1, row + 4.5, names[kind], color="#ffc48a", fontsize=7.5, bbox=tag)
    right.imshow(1 - maps[NOTHING], cmap="magma", vmin=0, vmax=1)
    for axis in (left, right):
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout()

# %% [markdown]
# Midámoslo en escenas nuevas. Una prenda está *encontrada* si hay un recuadro a 6 píxeles o menos de su esquina, y
# *acertada* si además dice bien qué es. Un recuadro lejos de toda prenda es una *falsa alarma*.


# %%
def measure(finder, has_nothing, scenes=60):
    """Fracción de prendas encontradas, fracción acertadas, y falsas alarmas por escena."""
    generator = torch.Generator().manual_seed(1000 + seed)
    total = located = correct = alarms = 0
    for _ in range(scenes):
        canvas, placed = scene(test_set, 5, generator)
        with torch.inference_mode():
            maps = finder(normalize(canvas[None].float() / 255))[0].softmax(0)
        found = found_in(maps, has_nothing)
        for row, column, label in placed:
            near = [k for r, c, k in found if max(abs(r - row), abs(c - column)) <= 6]
            total, located, correct = total + 1, located + bool(near), correct + (label in near)
        alarms += sum(
            all(max(abs(r - row), abs(c - column)) > 6 for row, column, _ in placed)
            for r, c, _ in found
        )
    return located / total, correct / total, alarms / scenes


located, correct, alarms = measure(finder, has_nothing=True)
print(f"encontradas {located:.0%}, acertadas {correct:.0%}, falsas alarmas por escena {alarms:.2f}")

# %% [markdown]
# Nadie le enseñó a buscar: aprendió a clasificar recortes. Esa es la idea con la que OverFeat participó en 2013
# y con la que las *redes totalmente convolucionales* (FCN) empezaron a recortar objetos píxel a píxel en
# 2014. Y hay una idea más, que es la que de verdad pobló los años siguientes: **lo que se aprovecha no es la
# respuesta, son las capas de en medio**. Se cambia el final, se ajusta, y las convoluciones que aprendieron bordes,
# texturas y partes con ImageNet sirven para otra cosa. A esa parte se le llama *columna* (*backbone*).
#
# ## Quién vive sobre quién { #columnas }
#
# <!-- generado: despues-grafico -->
#
# - **Detectar.** R-CNN proponía unas dos mil regiones por foto y pasaba AlexNet por cada una. La mejora fue tan
#   grande que repitió en la detección lo de 2012. Después, [Fast R-CNN](../referencia/bibliografia.md#girshick2015)
#   calculó las convoluciones una sola vez por foto, y Faster R-CNN dejó que la propia red propusiera las regiones.
# - **Segmentar.** Una clase para cada píxel. Es lo que acabas de hacer, con un mapa más fino.
# - **Seguir.** Dos copias de la misma red, una mira el objeto y otra el cuadro siguiente: donde sus mapas se parecen
#   más, ahí está.
# - **Transferir estilo.** Gatys y sus colegas vieron que las capas hondas de VGG guardan *qué* hay en la imagen, y que
#   las correlaciones entre sus mapas guardan *cómo* está pintada. Se puede buscar la imagen que tenga lo primero
#   de una foto y lo segundo de un cuadro.
# - **Reconocer caras.** La misma VGG, entrenada con caras, da un descriptor que se compara con distancias.
#
# <!-- generado: despues-tabla -->
#
# En [Transferencia](../tecnicas/transferencia.py) se mide cuánto ahorra partir de una red ya entrenada.
#
# ## Llegan los transformers { #transformers }
#
# En 2020 el *Vision Transformer*, **ViT**, se presentó casi sin convoluciones: parte la foto en cuadros de 16×16, trata
# cada cuadro como una palabra y deja que todos se miren con todos. ¿Casi? El primer paso, convertir cada cuadro en un
# vector con una capa densa, ya sabes lo que es: **una convolución cuyo paso es igual al tamaño del filtro**.

# %%
photo = data.cat()[None].float() / 255  # (1, 3, 256, 256)
torch.manual_seed(seed)
dense = nn.Linear(3 * 16 * 16, 32)
patches = F.unfold(photo, 16, stride=16).transpose(1, 2)  # (1, 256 cuadros, 768 números)
words = dense(patches)

as_convolution = nn.Conv2d(3, 32, kernel_size=16, stride=16)
with torch.no_grad():
    as_convolution.weight.copy_(dense.weight.view(32, 3, 16, 16))
    as_convolution.bias.copy_(dense.bias)
same = as_convolution(photo).flatten(2).transpose(1, 2)
print(f"{patches.shape[1]} cuadros de {patches.shape[2]} números → {tuple(words.shape)}")
print(f"diferencia máxima con la convolución: {(words - same).abs().max():.1e}")
assert torch.allclose(words, same, atol=1e-4)

# %% [markdown]
# Lo que ViT no trae de fábrica es lo que una convolución da gratis: que lo cercano importa más y que un ojo es un ojo
# en cualquier esquina. Tiene que aprenderlo. Sus autores lo dicen sin rodeos: entrenado solo con ImageNet quedaba unos
# puntos por debajo de una ResNet comparable, y preentrenado con un conjunto privado cientos de veces mayor
# llegó al 88.55 % de acierto top-1.[^vit] **Con datos de sobra, la suposición ya no hace falta; con pocos, es lo
# que te salva.**
#
# En 2022 llegó la contraprueba. **ConvNeXt** tomó una ResNet-50 y le fue cambiando, de una en una, lo que los
# transformers hacían distinto: la receta de entrenamiento, las proporciones, filtros de 7×7 por canal, menos
# activaciones, otra normalización. Sin atención en ninguna parte llegó al 87.8 % y, según su artículo,
# superó a [Swin](../referencia/bibliografia.md#liu2021), el transformer de referencia, en detección y segmentación.[^convnext] Buena parte de la ventaja
# no estaba en la atención, sino en todo lo demás que había cambiado con ella.
#
# Fíjate en que estas cifras son de acierto **top-1**, con una sola red y a menudo con datos adicionales. No se
# pueden poner en el mismo gráfico que las de la [carrera](la-carrera.py).
#
# ## Volver sobre ImageNet con lupa { #critica }
#
# Un examen que miles de artículos usan durante diez años merece que alguien lo examine.
#
# ### ¿Nos aprendimos el examen? { #recht }
#
# Si mil equipos prueban ideas contra las mismas 50 000 fotos de validación y publican las que mejor salen, algo de
# esa mejora es suerte. Mira cuánta puede ser. Tomemos dos mil «clasificadores» que responden *al azar* entre diez clases, y
# quedémonos con el mejor:

# %%
generator = torch.Generator().manual_seed(seed)
print("fotos de la prueba   el mejor de 2000   ese mismo, con fotos nuevas")
for size in (100, 1000, 10_000):
    old = torch.randint(10, (2000, size), generator=generator) == 0  # 1 de cada 10 acierta
    new = torch.randint(10, (2000, size), generator=generator) == 0
    best = old.float().mean(dim=1).argmax()
    luck, truth = old[best].float().mean().item(), new[best].float().mean().item()
    print(f"{size:>18}   {luck:>16.1%}   {truth:>27.1%}")
    assert luck > truth
    if size == 100:
        assert luck > 0.17
        assert truth < 0.17
    if size == 10_000:
        assert luck < 0.115

# %% [markdown]
# Con pocas fotos, elegir es hacer trampa sin querer; con muchas, casi no hay premio. En 2019, Recht y sus colegas
# quisieron saber cuál era el caso de ImageNet. Repitieron, paso por paso, el proceso con que se hizo la prueba y
# reunieron **otra nueva**. El acierto de los modelos cayó entre 11 y 14 puntos.[^recht]
#
# Parece la confesión del crimen, pero no. Si se hubieran aprendido la prueba, los que más habían exprimido la vieja
# deberían caer más en la nueva. Pasó al revés: cada punto ganado en la vieja valía *más* de un punto en la
# nueva. Su conclusión: no fue trampa. Las fotos nuevas eran un poco más difíciles, y los modelos
# generalizan peor de lo que creíamos a fotos un poco distintas.
#
# ### ¿Y si el que se equivoca es el examen? { #etiquetas }
#
# Supón que un modelo acierta el 95 %, y que el 6 % de las etiquetas están mal. Donde la etiqueta está bien (94 %) el
# examen le da la razón 95 de cada 100 veces; donde está mal, casi nunca. Se lee 89 %, y la diferencia entre
# dos modelos buenos se pierde en ese ruido. Comprobémoslo con nuestra red, cambiando al azar una parte de las
# etiquetas de la prueba:

# %%
with torch.inference_mode():
    logits = net(normalize(test_set.images.float() / 255))[:, :NOTHING]
hits = (logits.argmax(dim=1) == test_set.labels).float().mean().item()


def spoilt(labels, share, generator):
    """Las etiquetas, con una fracción cambiada por otra clase al azar."""
    wrong = torch.rand(len(labels), generator=generator) < share
    other = (labels + torch.randint(1, 10, labels.shape, generator=generator)) % 10
    return torch.where(wrong, other, labels)


generator = torch.Generator().manual_seed(seed)
print("etiquetas mal   se mide   se esperaba")
for share in (0.0, 0.03, 0.06, 0.12):
    given = (logits.argmax(dim=1) == spoilt(test_set.labels, share, generator)).float()
    expected = hits * (1 - share) + (1 - hits) * share / 9
    print(f"{share:>13.0%}   {given.mean():>7.1%}   {expected:>11.1%}")
    assert abs(given.mean().item() - expected) < 0.02

# %% [markdown]
# No es un ejemplo inventado. En 2021, Northcutt, Athalye y Mueller revisaron diez conjuntos de prueba famosos y
# estimaron que, en promedio, al menos un 3.3 % de las etiquetas estaban mal, y en la validación de ImageNet, al menos un **6 %**. No
# es un detalle: con las etiquetas corregidas, ResNet-18 pasa por delante de ResNet-50 si la proporción de
# ejemplos mal etiquetados sube apenas un 6 %.[^northcutt] Un año antes, Beyer y otros habían vuelto a
# etiquetar la validación admitiendo varias respuestas por foto, y con esas etiquetas las mejoras de los últimos
# modelos resultaron bastante menores que las publicadas. A la pregunta de su título, si ya hemos terminado
# con ImageNet, contestan: sí y no.[^beyer]
#
# Ahora vuelve al {ilsvrc:2017:senet} de SENet, o al {ilsvrc:humano:a1} «humano», y piensa cuánto de eso son
# etiquetas.
#
# ### Las personas no son synsets { #personas }
#
# El desafío usaba mil clases de cosas, pero el ImageNet completo heredó de WordNet también el subárbol **«persona»**: 2832
# categorías, muchas de ellas insultos o juicios que ninguna foto puede mostrar. ¿De qué color es un deudor? En
# 2019 su propio equipo las revisó y marcó 1593 como potencialmente ofensivas. De las demás, solo 158 se podían
# ver en una imagen.[^yang] La lista venía de un diccionario de los ochenta, y las etiquetas, de personas pagadas por
# foto a las que se pidió confirmar, no opinar. El año siguiente, los autores de Tiny Images retiraron el suyo por lo mismo.
#
# Un conjunto de datos es una decisión de alguien. Conviene leerlo como tal.
#
# ## Errores comunes { #errores-comunes }
#
# ### Un clasificador sin «nada» { #sin-nada }
#
# Es el error de quien desliza su clasificador tal cual sobre una foto. *Softmax* reparte el 100 % entre las clases que
# conoce: delante de una pared, o de media manga, algo tiene que decir, y lo dice con aplomo. Midamos cuánto
# cuesta, con la misma red sin la clase «nada»:

# %%
plain_parts = [
    data.Dataset(shifted(part.images), part.labels, part.classes) for part in (train_set, val_set)
]
plain = trained(*plain_parts)
plain_finder = fully_convolutional(plain)
for name, (finds, right, false) in {
    "con «nada»": (located, correct, alarms),
    "sin «nada»": measure(plain_finder, has_nothing=False),
}.items():
    print(f"{name}: encontradas {finds:.0%}, acertadas {right:.0%}, falsas alarmas {false:.1f}")
    if name == "sin «nada»":
        assert false > alarms + 3
        assert right < correct - 0.2
assert located > 0.75
assert correct > 0.55

with torch.inference_mode():
    guesses = plain(normalize(test_set.images.float() / 255)).argmax(dim=1)
plain_hits = (guesses == test_set.labels).float().mean().item()
print(f"en recortes bien encuadrados: con «nada» {hits:.1%}, sin «nada» {plain_hits:.1%}")
assert abs(hits - plain_hits) < 0.06

# %% [markdown]
# Clasificando recortes bien encuadrados, las dos se parecen. Buscando, la segunda no sirve. El acierto en
# recortes no decía nada de esto: **medía otra tarea**.
#
# ### Creer que «nivel humano» es ver { #nivel-humano }
#
# Lo que se igualó fue una prueba de mil clases con cinco intentos, y [contra una persona](la-carrera.py#nivel-humano). Las
# secciones de arriba son la lista de lo que esa frase esconde: fotos un poco distintas, etiquetas malas, y todo lo que no
# es poner un nombre.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Un lienzo de 112×112 da un mapa de 22×22. Explica ese 22 y di, sin ejecutarlo, de qué tamaño es el mapa
# de un lienzo de 28×56.

# %% [markdown] tags=["solucion"]
# La primera convolución conserva el tamaño y el primer pooling lo divide entre dos; la segunda, sin relleno, quita 4;
# el segundo pooling divide entre dos otra vez, y la densa hecha convolución, de 5×5, quita 4 más. De 112 quedan
# 56, 52, 26 y 22. De 28×56: un lado da 1; el otro, 28, 24, 12 y 8.

# %% tags=["solucion"]
with torch.inference_mode():
    small = finder(torch.zeros(1, 1, 28, 56))
print(tuple(maps.shape[1:]), tuple(small.shape[2:]))
assert tuple(maps.shape[1:]) == (22, 22)
assert tuple(small.shape[2:]) == (1, 8)

# %% [markdown]
# **2. Calcula.** ¿Cuántas veces más MACs costaría pasar la red por las 22×22 ventanas por separado que por el lienzo de
# una vez?

# %% tags=["solucion"]
once = inspection.count_macs(finder, (1, SIDE, SIDE))
apart = 22 * 22 * inspection.count_macs(net, (1, ITEM, ITEM))
print(
    f"de una vez {once / 1e6:.1f} millones; por separado {apart / 1e6:.0f}: {apart / once:.0f} veces"
)
assert apart > 5 * once

# %% [markdown]
# **3. Razona.** Con un 6 % de etiquetas mal y repartidas al azar, ¿puede un modelo perfecto sacar más de un 94 %? ¿Y uno
# entrenado con etiquetas que tienen *los mismos* errores sistemáticos?

# %% [markdown] tags=["solucion"]
# El perfecto saca el 94 %: pierde justo donde la etiqueta miente. El segundo puede sacar más, si aprende a
# equivocarse igual que quien etiquetó. Es lo que vieron Northcutt y los demás: los modelos grandes imitan mejor los
# errores del conjunto, y por eso con las etiquetas corregidas a veces ganan los pequeños.

# %% tags=["solucion"]
truth = test_set.labels
bags = truth == test_set.classes.index("bolso")
systematic = torch.where(
    bags, test_set.classes.index("camisa"), truth
)  # quien etiquetó los confunde
perfect = (truth == systematic).float().mean().item()
imitator = (systematic == systematic).float().mean().item()
print(f"el perfecto saca {perfect:.0%}; el que imita el error, {imitator:.0%}")
assert perfect < imitator == 1

# %% [markdown]
# **4. Inventa.** La red desliza su ventana, pero solo de un tamaño. ¿Cómo encontrarías prendas del doble de grandes sin
# entrenar nada nuevo?

# %% [markdown] tags=["solucion"]
# Reduciendo el lienzo. Una prenda de 56×56 en una imagen a la mitad mide 28×28. Recorrer varias escalas y juntar lo
# encontrado es la *pirámide de imágenes*, que ya usaban los detectores de antes de 2012.

# %% tags=["solucion"]
big = F.interpolate(test_set.images[:200].float(), scale_factor=2, mode="bilinear")
canvases = F.pad(big, (28, 28, 28, 28))  # una prenda grande en el centro de 112×112
half = F.interpolate(canvases, scale_factor=0.5, mode="area") / 255  # (200, 1, 56, 56)
with torch.inference_mode():
    centers = {
        "a su tamaño": finder(normalize(canvases / 255))[:, :NOTHING, 10:12, 10:12],
        "a la mitad": finder(normalize(half))[:, :NOTHING, 3:5, 3:5],
    }
shares = {
    name: (maps.mean(dim=(2, 3)).argmax(dim=1) == test_set.labels[:200]).float().mean().item()
    for name, maps in centers.items()
}
print(", ".join(f"{name}: acierta {share:.0%}" for name, share in shares.items()))
assert shares["a la mitad"] > shares["a su tamaño"] + 0.2

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - De dónde salieron las etiquetas: [ImageNet y el desafío](imagenet-y-el-desafio.py).
# - Las redes que hay debajo, una por una: [Arquitecturas](../arquitecturas/index.md).
# - Lo que distingue a la persona de la máquina en la prueba: [el nivel humano](la-carrera.py#nivel-humano).
# - En la API: [`count_macs`](../api/inspection.md#cnnhistory.inspection.count_macs),
#   [`Dataset`](../api/data.md#cnnhistory.data.Dataset) y [`data.cat`](../api/data.md#cnnhistory.data.cat).
#
# ## Referencias { #referencias }
#
# - [Sermanet et al. (2013)](../referencia/bibliografia.md#sermanet2013): OverFeat.
# - [Girshick et al. (2013)](../referencia/bibliografia.md#girshick2013): R-CNN.
# - [Long et al. (2014)](../referencia/bibliografia.md#long2014): FCN, la densa que se volvió convolución.
# - [Ren et al. (2015)](../referencia/bibliografia.md#ren2015) y [He et al. (2017)](../referencia/bibliografia.md#he2017):
#   Faster R-CNN y Mask R-CNN.
# - [Gatys et al. (2015)](../referencia/bibliografia.md#gatys2015): el estilo.
# - [Bertinetto et al. (2016)](../referencia/bibliografia.md#bertinetto2016): SiamFC.
# - [Parkhi et al. (2015)](../referencia/bibliografia.md#parkhi2015): VGG-Face.
#
# [^vit]: [Dosovitskiy et al. (2020)](../referencia/bibliografia.md#dosovitskiy2020).
# [^convnext]: [Liu et al. (2022)](../referencia/bibliografia.md#liu2022).
# [^recht]: [Recht et al. (2019)](../referencia/bibliografia.md#recht2019).
# [^northcutt]: [Northcutt et al. (2021)](../referencia/bibliografia.md#northcutt2021).
# [^beyer]: [Beyer et al. (2020)](../referencia/bibliografia.md#beyer2020).
# [^yang]: [Yang et al. (2019)](../referencia/bibliografia.md#yang2019) y la
#     [nota del equipo de ImageNet](https://image-net.org/update-sep-17-2019).
