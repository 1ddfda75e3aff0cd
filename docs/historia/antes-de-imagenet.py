# %% [markdown]
# # Antes de ImageNet: describir a mano
#
# Tienes que explicarle un botín por teléfono a una máquina que nunca ha visto uno. Solo puedes dictarle números.
# **¿Cuáles le dictas?**
#
# Los píxeles no sirven de mucho: basta con que alguien encienda una luz para que cambien todos. Quieres números que
# digan «aquí hay un borde que baja» y que no se muevan cuando cambia la luz, el lugar o el tamaño. Durante
# una década, la visión por computadora fue, en buena parte, la búsqueda de esos números. Los elegía una
# persona; después venía un clasificador, que era lo único que aprendía.
#
# Esta página construye ese mundo, lo pone a correr y lo mide contra las redes, con las mismas imágenes. Adelanto: **con
# pocas imágenes y pequeñas, no pierde.**

# %%
import time

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.collections import LineCollection
from sklearn import datasets
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVC
from torch.nn import functional as F

from cnnhistory import data, inspection, models, plotting, training
from cnnhistory.classic import (  # noqa: F401
    DenseSIFT,
    Pixels,
    _check_positive,
    _checked_descriptors,
    _chunks,
    _ImageTransformer,
)

seed = 0
torch.manual_seed(seed)
cv2.setNumThreads(1)  # los tiempos de la página son de un solo núcleo

# %% [markdown]
# ## Dos campos que casi no se hablaban { #historia }
#
# Hacia 2008, la respuesta a «¿por qué mejora el reconocimiento de imágenes?» dependía de a quién le preguntaras.
#
# - **En aprendizaje automático** te hablaban de teoría: problemas convexos, con un solo mínimo, y garantías sobre lo que un
#   clasificador haría con datos nuevos. La estrella era la máquina de vectores de soporte.[^svm] Una red
#   neuronal, con sus muchos mínimos y su receta de cocina, parecía un paso atrás.
# - **En visión** te hablaban de lo que había antes del clasificador: descriptores, geometría, un conjunto de fotos más
#   limpio. Un descriptor un poco mejor valía más puntos que cualquier clasificador nuevo.
#
# Los dos tenían razones, y los dos compartían un supuesto: **las características las diseña una persona**. El
# sistema era una línea de montaje de tres estaciones, y solo la última se entrenaba con las etiquetas:
#
# | Estación | Qué hace | Quién la decide |
# | --- | --- | --- |
# | 1. Describir | de cada parche salen unos cuantos números | una persona: SIFT (2004)[^sift], HOG (2005)[^hog], SURF (2006)[^surf] |
# | 2. Resumir | de muchos parches, un solo vector | k-medias, sin mirar las etiquetas: palabras visuales (2003[^videogoogle], 2004[^csurka]), pirámide (2006)[^piramide] |
# | 3. Clasificar | del vector, una clase | aprende de las etiquetas: una SVM |
#
# Con líneas de montaje de este tipo, mucho más refinadas, se ganó ImageNet en 2010 (error de {ilsvrc:2010:nec-uiuc}) y en 2011
# ({ilsvrc:2011:xrce}). Lo que pasó en 2012 está en [su página](2012-alexnet.py). Aquí se trata de entender qué se tiró.
#
# ## Un parche y un lápiz { #lapiz }
#
# Este parche de 4×4 tiene una esquina clara sobre fondo oscuro. En cada uno de los cuatro píxeles del centro, resta
# el de la derecha menos el de la izquierda, y el de abajo menos el de arriba:
#
# | Píxel (fila, columna) | derecha − izquierda | abajo − arriba | Módulo | Ángulo |
# | --- | ---: | ---: | ---: | ---: |
# | (1, 1) | 0 | 0 | 0 | |
# | (1, 2) | 0 | 4 | 4 | 90° |
# | (2, 1) | 4 | 0 | 4 | 0° |
# | (2, 2) | 4 | 4 | 5.66 | 45° |
#
# Cada píxel vota por su ángulo con tantos votos como su módulo. Quedan tres números: 4 a 0°, 5.66 a 45° y 4 a 90°. Eso
# es un **histograma de gradientes orientados**, y todo lo demás son detalles. Ahora sube el brillo 100 niveles: las restas no se
# enteran. Duplica el contraste: los votos se duplican, y al dividir entre la norma vuelven a ser los mismos.


# %% alt="A la izquierda, un parche de 4 por 4 oscuro con la esquina inferior derecha clara y tres flechas: una hacia abajo, otra hacia la derecha y otra en diagonal. A la derecha, tres barras de altura parecida a 0, 45 y 90 grados, la del medio mayor, y ninguna a los demás ángulos." caption="El parche con sus gradientes, que apuntan de lo oscuro a lo claro, y el histograma de ocho orientaciones."
def gradients(patch):
    """Los gradientes de los píxeles que tienen vecinos por los cuatro lados."""
    across = patch[1:-1, 2:] - patch[1:-1, :-2]
    down = patch[2:, 1:-1] - patch[:-2, 1:-1]
    return across, down


def histogram(patch, bins=8):
    """Votos por orientación, divididos entre su norma."""
    across, down = gradients(patch)
    angle = np.degrees(np.arctan2(down, across)) % 360
    votes = np.zeros(bins)
    np.add.at(votes, (angle / (360 / bins)).astype(int), np.hypot(across, down))
    return votes, votes / np.linalg.norm(votes)


patch = np.zeros((4, 4))
patch[2:, 2:] = 4
votes, unit = histogram(patch)
print("votos:   ", votes.round(2).tolist())
print("entre su norma:", unit.round(2).tolist())

assert np.allclose(votes[:3], [4, 32**0.5, 4])
assert np.allclose(histogram(2 * patch + 100)[1], unit)  # más brillo y el doble de contraste

with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.2, 2.5))
    left.imshow(patch, cmap="gray", vmin=-2, vmax=8)
    across, down = gradients(patch)
    for row, column in np.argwhere(np.hypot(across, down)):
        tail, step = (column + 1, row + 1), (across[row, column] / 6, down[row, column] / 6)
        left.arrow(*tail, *step, color=plotting.PALETTE[1], width=0.06, length_includes_head=True)
    left.set(xticks=range(4), yticks=range(4))
    right.bar(range(8), votes, color=plotting.PALETTE[0])
    right.set_xticks(range(8), [45 * index for index in range(8)])
    right.set(xlabel="ángulo (grados)", ylabel="votos")
    figure.tight_layout()

# %% [markdown]
# Fíjate en lo que se conserva y en lo que se tira. Se conserva hacia dónde cambia la luz. Se tira cuánta luz había y
# *dónde exactamente* estaba cada borde dentro del parche. Esas dos decisiones las tomó una persona, y son buenas.
#
# ## HOG: la imagen entera, celda por celda { #hog }
#
# Dalal y Triggs buscaban peatones. Parten la imagen en celdas, hacen el histograma de cada una y normalizan por
# bloques de celdas vecinas. Este es el código del paquete, completo:

# %% tags=["fuente"]
from cnnhistory.classic import HOG, _gradients, _triangles, _unit  # noqa: F401

# %% [markdown]
# Tres detalles que el lápiz no tenía:
#
# - **Nadie vota entero.** Un gradiente de 44° y otro de 46° casi son el mismo. Si cada uno cayera en una casilla distinta, un
#   giro de dos grados cambiaría el descriptor de golpe. Por eso cada voto se reparte entre las dos orientaciones y las
#   cuatro celdas más cercanas. Lo [mediremos](#errores).
# - **Cada celda aparece en varios bloques**, dividida cada vez entre una norma distinta. Parece redundante; el artículo
#   lo probó con y sin traslape, y así acierta más.
# - **El recorte en 0.2** impide que un solo borde muy fuerte se lleve todo el vector.


# %% alt="Un botín en gris y, al lado, una cuadrícula de siete por siete estrellas de trazos: en el contorno del botín los trazos siguen el borde, horizontales en la suela y verticales en la caña; fuera del botín no hay ninguno." caption="Un botín de 28×28 y lo que HOG guarda de él: en cada celda de 4×4, un trazo por orientación, a lo largo del borde y tan opaco como sus votos."
def draw_hog(axis, image, cell):
    """Dibuja el histograma de cada celda como una estrella de trazos."""
    histograms = HOG(cell, block_size=1).fit_transform(image[None])
    rows, columns = (side // cell for side in image.shape[1:])
    strokes, opacities = [], []
    for index, values in enumerate(histograms.reshape(rows * columns, 9)):
        center = cell * (np.array([index % columns, index // columns]) + 0.5)
        for orientation, value in enumerate(values):
            edge = np.radians((orientation + 0.5) * 20 + 90)  # perpendicular a su gradiente
            half = cell / 2 * np.array([np.cos(edge), np.sin(edge)])
            if value > 0.1:
                strokes.append([center - half, center + half])
                opacities.append(min(1, value))
    axis.add_collection(LineCollection(strokes, colors=plotting.INK, alpha=opacities, lw=1.2))
    axis.set(xlim=(0, image.shape[2]), ylim=(image.shape[1], 0), aspect="equal")


whole_train, whole_test = data.fashion_mnist("mini")
boot = whole_test.images[whole_test.labels == data.FASHION_CLASSES.index("botín")][0]
with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6, 3))
    left.imshow(boot[0], cmap="gray")
    draw_hog(right, boot.numpy(), cell=4)
    for axis in (left, right):
        axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# ## SIFT: puntos que se dejan encontrar { #sift }
#
# HOG describe una imagen centrada. ¿Y si el objeto está girado, lejos o en una esquina? La respuesta de David Lowe fue
# no describirlo todo, sino **buscar puntos que cualquiera volvería a encontrar**: manchas que destacan de su
# entorno a alguna escala. El tamaño de la mancha dice el tamaño del parche; su gradiente dominante, cómo está
# girado. El parche se endereza y se describe con 4×4 histogramas de ocho orientaciones: 128 números.

# %% alt="La cara de la gata con círculos de distintos tamaños sobre los dos ojos, la nariz, la boca y las rayas de la frente; cada uno tiene un radio que indica su orientación." caption="Los sesenta puntos de SIFT que más destacan. El tamaño del círculo es la escala del punto (el parche que se describe es tres veces más ancho), y el radio, su orientación."
cat = data.cat()
gray = cv2.cvtColor(np.ascontiguousarray(cat.permute(1, 2, 0).numpy()), cv2.COLOR_RGB2GRAY)
sift = cv2.SIFT_create()
keypoints, descriptors = sift.detectAndCompute(gray, None)
strongest = sorted(keypoints, key=lambda point: -point.response)[:60]
print(len(keypoints), "puntos, cada uno con", descriptors.shape[1], "números")

with plotting.style():
    figure, axis = plt.subplots(figsize=(4.6, 4.6))
    axis.imshow(gray, cmap="gray")
    for point in strongest:
        (x, y), radius, angle = point.pt, point.size, np.radians(point.angle)
        color = plotting.PALETTE[1]
        axis.add_patch(plt.Circle((x, y), radius, fill=False, color=color, lw=1.2))
        axis.plot(
            [x, x + radius * np.cos(angle)], [y, y + radius * np.sin(angle)], color=color, lw=1.2
        )
    axis.set(xlim=(0, 255), ylim=(255, 0))
    axis.axis("off")
    figure.tight_layout()

# %% [markdown]
# Hagamos la prueba que lo hizo famoso. Giramos la foto 40°, la achicamos y le quitamos la mitad de la luz. De cada punto de la
# original buscamos en la otra el de descriptor más parecido, y nos quedamos con los casos claros: el mejor debe estar
# bastante más cerca que el segundo. ¿Cae donde el giro lo mandó?

# %%
turn = cv2.getRotationMatrix2D((128, 128), 40, 0.8)
moved = (cv2.warpAffine(gray, turn, (256, 256)) * 0.5).astype(np.uint8)
moved_points, moved_descriptors = sift.detectAndCompute(moved, None)

pairs = cv2.BFMatcher().knnMatch(descriptors, moved_descriptors, k=2)
clear = [best for best, second in pairs if best.distance < 0.75 * second.distance]
before = np.array([[*keypoints[match.queryIdx].pt, 1] for match in clear])
after = np.array([moved_points[match.trainIdx].pt for match in clear])
right_place = np.linalg.norm(before @ turn.T - after, axis=1) < 3
print(f"{len(clear)} parejas claras; {right_place.mean():.0%}, a menos de 3 píxeles de su lugar")

assert len(clear) > 30
assert right_place.mean() > 0.8

# %% [markdown]
# Sin aprender nada y con media luz. Por eso SIFT sirvió para unir fotos en panorámicas, reconstruir edificios y reconocer
# portadas. Pero reconocer *esta* gata no es reconocer *un gato*: para eso, las manchas de su pelo estorban.
#
# Para clasificar se hizo un cambio: en vez de puntos elegidos, **una rejilla** que lo describe todo por igual, como la de
# [`DenseSIFT`](../api/classic.md#cnnhistory.classic.DenseSIFT). De fábrica da dos parches por punto, de 8 y de 12 píxeles; para
# mirar los descriptores uno por uno basta con el de 8.
#
# ## Palabras visuales { #palabras }
#
# Ahora de cada imagen salen cien descriptores de 128 números. ¿Cómo se comparan dos imágenes? La idea vino de los
# buscadores de texto. Un texto se describe bastante bien contando sus palabras, sin mirar el orden. Falta inventar las
# palabras: se juntan miles de descriptores, se agrupan con k-medias, y cada centro es una **palabra visual**.
#
# Con dos palabras se hace a mano. Descriptores de dos números; palabras en (0, 0) y en (10, 10):
#
# | Descriptor | Distancia² a la palabra A, (0, 0) | a la B, (10, 10) | Cuenta en |
# | --- | ---: | ---: | :---: |
# | (1, 0) | 1 | 181 | A |
# | (0, 2) | 4 | 164 | A |
# | (9, 9) | 162 | 2 | B |
# | (6, 5) | 61 | 41 | B |
#
# La bolsa es (2/4, 2/4). El último descriptor está casi en medio, y aun así todo su voto va a B: es la asignación *dura*. La
# *suave* lo reparte según la distancia, con una σ que dice hasta dónde llega cada palabra. El código hace las dos:

# %% tags=["fuente"]
from cnnhistory.classic import BagOfVisualWords

# %%
toy = np.array([[1, 0], [0, 2], [9, 9], [6, 5]], np.float32).reshape(1, 1, 2, 2, 2)
bag = BagOfVisualWords(num_words=2).fit(toy)
bag.codebook_ = np.array(
    [[0, 0], [10, 10]], np.float32
)  # las de la tabla, en vez de las de k-medias
hard = bag.transform(toy)[0]
soft = bag.set_params(sigma=5.0).transform(toy)[0]
print("dura: ", hard.round(3).tolist())
print("suave:", [round(share, 3) for share in soft.tolist()])

expected = 1 / (1 + np.exp((np.array([1, 4, 162, 61]) - [181, 164, 2, 41]) / (2 * 5**2)))
assert hard.tolist() == [0.5, 0.5]
assert np.allclose(soft[0], expected.mean())

# %% [markdown]
# Con prendas de verdad, un vocabulario de 256 palabras. ¿Qué dicen? Estas son doce de ellas, y siete parches de cada una:

# %% alt="Doce filas de siete parches diminutos en gris. En casi todas las filas los parches se parecen: bordes verticales a un lado, bordes inclinados, esquinas, franjas, texturas; en alguna no se ve qué tienen en común." caption="Doce palabras del vocabulario, una por fila, y siete parches de 8×8 que cuentan como ella."
chosen = torch.randperm(len(whole_train), generator=torch.Generator().manual_seed(seed))
train, test = whole_train[chosen[:2000]], whole_test[:1000]

dense = DenseSIFT(step=4, patch_sizes=(8,))
found = dense.fit_transform(train.images[:1000])
words = BagOfVisualWords(256, random_state=seed).fit(found)

corners = [int(place - 3.5) for place in dense.grid(28, 28)[0] if 4 <= place <= 24]
inner = slice(1, 1 + len(corners))  # los parches que caben enteros
flat = found[:, 0, inner, inner].reshape(-1, 128)
nearest = words.transform(flat.reshape(-1, 1, 1, 1, 128)).argmax(axis=1)  # un parche, una imagen
crops = (
    train.images[:1000, 0]
    .unfold(1, 8, 1)
    .unfold(2, 8, 1)[:, corners][:, :, corners]
    .reshape(-1, 8, 8)
)
count = np.bincount(nearest, minlength=256)
frequent = count.argsort()[::-1][:144:12]  # del más común a los raros, de doce en doce
examples = torch.cat(
    [crops[np.flatnonzero(nearest == word)[:: count[word] // 7][:7]] for word in frequent]
)
plotting.image_grid(examples, columns=7, size=0.45)

# %% [markdown]
# Ninguna palabra es «suela» ni «cuello»: casi todas son trozos de borde con cierta inclinación, o zonas lisas. Una bolsa dice
# *cuántos* hay, no *dónde*. La **pirámide espacial** lo arregla a medias, y a lo bruto: además de la imagen entera, cuenta cada
# cuadrante por separado. Es el parámetro `levels`.
#
# ¿Cuánto da cada cosa? El mismo vocabulario y la misma SVM lineal, con mil imágenes; cambia cómo se cuenta:

# %%
from sklearn.svm import LinearSVC

pairs = DenseSIFT().fit(train.images)
seen, unseen = pairs.transform(train.images[:1000]), pairs.transform(test.images)
pyramid = BagOfVisualWords(256, random_state=seed).fit(seen)
counted = {}
for levels in (1, 2):
    for sigma in (0.0, 80.0):
        pyramid.set_params(levels=levels, sigma=sigma)
        learn, answer = (np.sqrt(pyramid.transform(part)) for part in (seen, unseen))
        machine = LinearSVC(C=1, random_state=seed).fit(learn, train.labels[:1000])
        counted[levels, sigma] = machine.score(answer, test.labels)
        kind = "suave" if sigma else "dura"
        place = "en cuadrantes" if levels == 2 else "la imagen entera"
        print(f"asignación {kind:<5}, {place:<16} {counted[levels, sigma]:.1%}")
assert counted[2, 80.0] > counted[1, 0.0] + 0.01

# %% [markdown]
# Las dos ayudan, y juntas, más. Ninguna aprendió nada: son maneras mejores de contar, pensadas por personas.

# %% [markdown]
# ## La carrera: a mano contra aprendido { #carrera }
#
# Las mismas 2000 imágenes para todos, y 1000 de prueba. Cada receta es un `Pipeline` de scikit-learn: recibe
# imágenes y predice clases.

# %% tags=["fuente"]
from cnnhistory.classic import Measurement, measure, recipes

# %% [markdown]
# Enfrente, tres que aprenden de los píxeles: softmax, que no tiene capas ocultas; la LeNet-5 moderna; y `alexnet_mini`, AlexNet a
# esta escala. Sus segundos son, como los demás, de un núcleo.


# %% tags=["tiempos"]
def measure_network(name, epochs, train, test):
    """Entrena una red y la mide como a las demás recetas."""
    torch.manual_seed(seed)
    network = models.create(name, num_classes=10, in_channels=1)
    normalize = data.normalization(train)
    batches = data.Batches(train, 32, shuffle=True, seed=seed, transform=normalize)
    held_out = data.Batches(test, 500, transform=normalize)
    start = time.process_time()
    training.train(network, batches, data.Batches(test[:100], 100, transform=normalize),
                   epochs=epochs, lr=models.CATALOG[name].lr)  # fmt: skip
    middle = time.process_time()
    top1 = training.evaluate(network, held_out).top1
    end = time.process_time()
    size = 4 * inspection.count_parameters(network) / 1000
    return Measurement(f"{name}, {epochs} épocas", top1, middle - start, end - middle, size)


def show(rows):
    """La tabla, del que más acierta al que menos."""
    print(f"{'receta':<32}{'acierto':>8}{'ajustar':>10}{'predecir':>10}{'modelo':>12}")
    for row in sorted(rows, key=lambda row: -row.accuracy):
        print(f"{row.name:<32}{row.accuracy:8.1%}{row.fit_seconds:8.1f} s{row.predict_seconds:8.1f} s"
              f"{inspection.thousands(round(row.kilobytes)):>9} kB")  # fmt: skip


NETWORKS = {"softmax": 10, "lenet5_modern": 10, "alexnet_mini": 3}
rows = [measure(name, recipe, train, test) for name, recipe in recipes(seed).items()]
rows += [measure_network(name, epochs, train, test) for name, epochs in NETWORKS.items()]
show(rows)

# %%
accuracy = {row.name.split(",")[0]: row.accuracy for row in rows}
best_network = max(accuracy[name] for name in NETWORKS)
gains = {
    "lo que HOG agrega a la SVM lineal": accuracy["HOG + SVM lineal"]
    - accuracy["píxeles + SVM lineal"],
    "lo que el núcleo RBF agrega a HOG": accuracy["HOG + SVM RBF"] - accuracy["HOG + SVM lineal"],
    "lo que HOG con RBF aventaja a la mejor red": accuracy["HOG + SVM RBF"] - best_network,
}
for gain, points in gains.items():
    print(f"{gain}: {100 * points:+.1f} puntos")
assert accuracy["HOG + SVM RBF"] > best_network + 0.01
assert accuracy["HOG + SVM RBF"] > accuracy["píxeles + SVM lineal"] + 0.02
assert accuracy["HOG + SVM RBF"] > accuracy["píxeles + vecino más cercano"] + 0.02

# %% [markdown]
# Con 2000 imágenes gana lo hecho a mano, y se entiende: una red recién creada no sabe qué es un borde y tiene que
# averiguarlo con esos ejemplos. HOG lo sabe desde 2005, porque se lo dijo una persona. (A AlexNet, la más cara, solo le tocan
# tres épocas: su fila dice más del presupuesto que de la red.)
#
# No todo es acierto. Mira la última columna: el vecino más cercano y las SVM con núcleo **guardan ejemplos**. Su modelo crece con
# los datos, y también lo que tardan en responder. Una red pesa lo mismo haya visto mil imágenes o un millón. Con ImageNet, esa
# diferencia decide: por eso los ganadores de 2010 y 2011 usaron clasificadores lineales sobre vectores enormes.[^lineales]
#
# ### Y en dígitos { #digitos }
#
# Los 1797 dígitos de scikit-learn miden 8×8. HOG necesita celdas más pequeñas; `DenseSIFT` los agranda solo, y a las
# redes se los agrandamos nosotros. AlexNet corre más épocas que arriba, porque aquí cada una son muy pocos pasos. Se quedan
# fuera, por tiempo, las palabras visuales con núcleo.

# %% tags=["tiempos"]
digits = datasets.load_digits()
pixels = torch.from_numpy((digits.images * 255 / 16).astype(np.uint8))[:, None]
labels = torch.from_numpy(digits.target).long()
train_digits, test_digits = data.split(data.Dataset(pixels, labels, data.MNIST_CLASSES), 0.3, seed)


def enlarged(dataset):
    """Los dígitos, de 8×8 a 28×28."""
    images = F.interpolate(dataset.images.float(), size=28, mode="bilinear").byte()
    return data.Dataset(images, dataset.labels, dataset.classes)


digit_recipes = recipes(seed)
del digit_recipes["palabras visuales + SVM RBF"]
for recipe in digit_recipes.values():
    if "hog" in recipe.named_steps:
        recipe.set_params(hog__cell_size=2)
digit_rows = [
    measure(name, recipe, train_digits, test_digits) for name, recipe in digit_recipes.items()
]
digit_rows += [
    measure_network(name, epochs, enlarged(train_digits), enlarged(test_digits))
    for name, epochs in (NETWORKS | {"alexnet_mini": 10}).items()
]
print(f"{len(train_digits)} imágenes para ajustar, {len(test_digits)} de prueba")
show(digit_rows)

# %%
on_digits = {row.name.split(",")[0]: row.accuracy for row in digit_rows}
assert on_digits["píxeles + vecino más cercano"] > max(on_digits.values()) - 0.012

# %% [markdown]
# Aquí los píxeles tal cual, con el vecino más cercano, ganan o casi. Los dígitos vienen centrados y recortados, y no hay luz ni
# lugar que descontar: describir a mano no aporta donde no hay nada que ignorar.
#
# ## Con las 60 000 { #grabada }
#
# Lo mismo con el conjunto entero tarda demasiado para una página, así que está grabado:
#
# <!-- generado: tabla-antes -->
#
# HOG con una SVM de núcleo RBF pasa de lo que el propio conjunto de datos informa para HOG con SVM, .926;[^tabla] con una lineal,
# como la de 2005, se queda por debajo. Con cuatro épocas, ninguna de estas redes alcanza a la primera. Con treinta veces más
# imágenes acierta más que en la tabla de arriba, porque su clasificador aprende. Sus características, no: con cien imágenes o con un millón son las mismas. En esa lista de resultados,
# redes más grandes, entrenadas más tiempo y con imágenes aumentadas, pasan de .95 y llegan a .967. Las palabras visuales quedan
# entre los píxeles y HOG: se hicieron para fotos, y en 28 píxeles de lado caben pocos parches distintos. **Las características
# hechas a mano acertaban. Lo que no podían era mejorar ellas.**
#
# Para repetir la corrida:
#
# ```python
# from cnnhistory import classic, data
#
# train, test = data.fashion_mnist("full")
# for name, recipe in classic.recipes(seed=0).items():
#     print(classic.measure(name, recipe, train, test))
# ```
#
# ## Errores comunes { #errores }
#
# ### Votos enteros { #votos-enteros }
#
# Muchas versiones de HOG, entre ellas la de scikit-image, dan el voto entero a una orientación y a una celda. Movemos
# unas prendas un solo píxel: ¿cuánto cambia cada descriptor?

# %%
from skimage.feature import hog as hog_of_skimage

originals = test.images[:200].numpy()
shifted = np.roll(originals, 1, axis=-1)


def whole_votes(images):
    """HOG como lo hace scikit-image, con las mismas celdas y bloques."""
    return np.stack([
        hog_of_skimage(image[0].astype(float), 9, pixels_per_cell=(4, 4), cells_per_block=(2, 2))
        for image in images
    ])  # fmt: skip


def change(describe):
    """Cuánto se aparta el descriptor, en proporción a lo que mide."""
    before, after = describe(originals), describe(shifted)
    return (np.linalg.norm(after - before, axis=1) / np.linalg.norm(before, axis=1)).mean()


whole, shared = change(whole_votes), change(HOG().fit_transform)
print(f"votos enteros:    cambia un {whole:.0%}")
print(f"votos repartidos: cambia un {shared:.0%}")
assert shared < 0.9 * whole

# %% [markdown]
# ### Una SVM con los píxeles de 0 a 255 { #escala }
#
# El núcleo RBF compara con $e^{-\gamma d^2}$. Con píxeles de 0 a 255, $d^2$ vale millones, y con
# $\gamma = 1/784$, que fue durante años el valor de fábrica, el resultado es cero salvo con uno mismo. La SVM memoriza:

# %%
few, few_test = train[:1000], test[:500]
raw = few.images.flatten(1).numpy().astype(np.float32)
raw_test = few_test.images.flatten(1).numpy().astype(np.float32)
for title, scale in (("de 0 a 255", 1), ("de 0 a 1", 255)):
    machine = SVC(C=5, gamma=1 / 784).fit(raw / scale, few.labels)
    learned = machine.score(raw / scale, few.labels)
    result = machine.score(raw_test / scale, few_test.labels)
    print(f"{title:<11} acierta {learned:.0%} de lo que vio y {result:.0%} de lo que no")
    if scale == 1:
        assert learned == 1
        assert result < 0.3
    else:
        assert result > 0.7

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Gira el parche del principio un cuarto de vuelta con `np.rot90`. ¿Qué le pasa al histograma?
# ¿Qué hace SIFT con eso?

# %% tags=["solucion"]
turned = histogram(np.rot90(patch))[0]
print(votes.round(2).tolist(), "→", turned.round(2).tolist())
assert np.allclose(turned, np.roll(votes, -2))  # −90° son dos casillas de 45°

# %% [markdown] tags=["solucion"]
# Es el mismo, corrido dos casillas. SIFT busca la casilla mayor y gira el parche para que quede en el cero: así el descriptor no
# depende del giro.

# %% [markdown]
# **2. Calcular.** ¿Cuántos números da HOG con una imagen de 28×28, celdas de 4 y bloques de 2×2? ¿Y con la ventana de
# 128×64 del artículo, con celdas de 8?

# %% tags=["solucion"]
for shape, cell in (((28, 28), 4), ((128, 64), 8)):
    rows_of_blocks, columns_of_blocks = (side // cell - 1 for side in shape)
    numbers = rows_of_blocks * columns_of_blocks * 2 * 2 * 9
    print(f"{rows_of_blocks}×{columns_of_blocks} bloques × 4 celdas × 9 orientaciones = {numbers}")
    assert HOG(cell).fit_transform(np.zeros((1, 1, *shape), np.uint8)).shape == (1, numbers)

# %% [markdown]
# **3. Romper.** Desordena los parches de cada imagen, los mismos para todas. ¿Qué nota la bolsa simple? ¿Y la pirámide?

# %% tags=["solucion"]
shuffled = found.reshape(len(found), 1, -1, 1, 128)
shuffled = shuffled[:, :, np.random.default_rng(seed).permutation(shuffled.shape[2])].reshape(
    found.shape
)
for levels in (1, 3):
    words.set_params(levels=levels)
    moved_by = (
        np.abs(words.transform(found[:200]) - words.transform(shuffled[:200])).sum(axis=1).mean()
    )
    print(
        f"{levels} {'nivel' if levels == 1 else 'niveles'}: los vectores se apartan {moved_by:.2f}"
    )
    assert (moved_by < 1e-6) == (levels == 1)

# %% [markdown] tags=["solucion"]
# La bolsa simple no nota nada: por eso se llama bolsa. Un botín recortado y pegado al azar es, para ella, el mismo botín.

# %% [markdown]
# **4. Elegir.** ¿El signo del gradiente ayuda con los dígitos? ¿Y cuánto conviene apretar la SVM? Que lo diga una
# búsqueda en rejilla con validación cruzada, sin mirar la prueba.

# %% tags=["solucion"]
search = GridSearchCV(
    make_pipeline(HOG(cell_size=2), SVC()),
    {"hog__signed": [False, True], "svc__C": [0.1, 10]},
    cv=3,
)
search.fit(train_digits.images.numpy(), train_digits.labels.numpy())
for parameters, score in zip(
    search.cv_results_["params"], search.cv_results_["mean_test_score"], strict=True
):
    print(f"{score:.1%} con {parameters}")
best = search.score(test_digits.images.numpy(), test_digits.labels.numpy())
print(f"la mejor, en la prueba: {best:.1%}")
assert search.best_params_ == {"hog__signed": True, "svc__C": 10}
assert best > 0.96

# %% [markdown] tags=["solucion"]
# Las dos cosas ayudan. Apretar la SVM da varios puntos; el signo, uno o dos más: dice de qué lado del borde está la tinta.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Los estimadores de esta página, con cada parámetro: [`HOG`](../api/classic.md#cnnhistory.classic.HOG),
#   [`DenseSIFT`](../api/classic.md#cnnhistory.classic.DenseSIFT) y
#   [`BagOfVisualWords`](../api/classic.md#cnnhistory.classic.BagOfVisualWords).
# - Lo que ya se sabía hacer sin diseñar características, en 1998: [LeNet-5](../arquitecturas/lenet-5.py).
# - De dónde salió el millón de fotos: [ImageNet y el desafío](imagenet-y-el-desafio.py).
# - El año en que se tiraron los vocabularios: [2012](2012-alexnet.py), [La carrera](la-carrera.py) y [AlexNet](../arquitecturas/alexnet.py).
#
# ## Referencias { #referencias }
#
# [^svm]: [Schölkopf y Smola (2002)](../referencia/bibliografia.md#scholkopf2002) es el libro de esa época sobre métodos de núcleo.
# [^sift]: [Lowe (2004)](../referencia/bibliografia.md#lowe2004).
# [^lineales]: [Lin y otros (2011)](../referencia/bibliografia.md#lin2011), los de 2010; [Perronnin, Sánchez y Mensink
#     (2010)](../referencia/bibliografia.md#perronnin2010), la técnica de los de 2011.
# [^tabla]: La del archivo LEEME del conjunto de datos, con resultados que enviaron sus usuarios, sin verificar:
#     [Xiao, Rasul y Vollgraf (2017)](../referencia/bibliografia.md#xiao2017).
# [^hog]: [Dalal y Triggs (2005)](../referencia/bibliografia.md#dalal2005).
# [^surf]: [Bay, Tuytelaars y Van Gool (2006)](../referencia/bibliografia.md#bay2006): la idea de SIFT, con sumas más rápidas.
# [^videogoogle]: [Sivic y Zisserman (2003)](../referencia/bibliografia.md#sivic2003), para encontrar objetos en películas.
# [^csurka]: [Csurka y otros (2004)](../referencia/bibliografia.md#csurka2004), para decir de qué clase es una foto.
# [^piramide]: [Lazebnik, Schmid y Ponce (2006)](../referencia/bibliografia.md#lazebnik2006). La asignación suave es de
#     [van Gemert y otros (2010)](../referencia/bibliografia.md#vangemert2010).
