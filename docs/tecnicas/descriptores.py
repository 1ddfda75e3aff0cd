# %% [markdown]
# # Descriptores y similitud: comparar en lugar de clasificar
#
# Compras un teléfono, lo miras una vez y desde entonces se abre contigo y con nadie más. Nadie entrenó una
# red con tu cara. **¿Cómo sabe que eres tú, si solo te vio una vez?**
#
# Un clasificador no puede. Para él, el mundo son las clases con que se entrenó, y tú no eres ninguna. El
# teléfono hace otra cosa: usa una red ya entrenada para convertir la foto en una lista de números, un
# **descriptor**, y la guarda. La próxima vez saca el de la cara que tiene delante y lo compara con el guardado. Si
# están cerca, eres tú.
#
# Aquí haremos lo mismo con ropa: una red que nunca vio un bolso tendrá que reconocerlo con una sola foto. Y
# mediremos cada paso contra lo más simple que hay, que es comparar los píxeles.

# %%
import copy
import math

import matplotlib.pyplot as plt
import numpy as np
import torch
from skimage import data as pictures
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import RepeatedStratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch.nn import functional as F

from cnnhistory import data, descriptors, inspection, models, plotting, training, verification
from cnnhistory.classic import HOG

seed = 0

# %% [markdown]
# ## Tres flechas y una regla { #idea }
#
# Un descriptor es una flecha. ¿Cuándo se parecen dos? Aquí hay tres, en el plano: $q = (3, 4)$,
# $a = (6, 8)$ y $b = (4, 3)$. ¿A cuál se parece más $q$?
#
# - **Con la regla.** De $q$ a $a$ hay $\sqrt{3^2 + 4^2} = 5$. De $q$ a $b$ hay $\sqrt{1 + 1} \approx 1.41$. Gana $b$.
# - **Con el ángulo.** El coseno es el producto de las dos flechas dividido entre sus largos. Con $a$:
#   $(18 + 32) / (5 \cdot 10) = 1$, apuntan igual. Con $b$: $(12 + 12) / (5 \cdot 5) = 0.96$. Gana $a$.
#
# Las dos tienen razón: $a$ es *lo mismo* que $q$, con el doble de intensidad. Si el largo no te importa, y con una foto más o menos
# contrastada no suele importar, usa el ángulo. La *distancia del coseno* es uno menos el coseno: 0 si apuntan
# igual, 1 si son perpendiculares.

# %%
q, a, b = torch.tensor([[3.0, 4.0], [6.0, 8.0], [4.0, 3.0]])
print(f"regla:  a {torch.dist(q, a):.2f}, b {torch.dist(q, b):.2f}")
cosines = [F.cosine_similarity(q, other, dim=0).item() for other in (a, b)]
print(f"coseno: a {cosines[0]:.2f}, b {cosines[1]:.2f}")

gallery = torch.stack([a, b])
by_ruler = descriptors.nearest(gallery, 1, q[None], "euclidean").indices.item()
by_angle = descriptors.nearest(gallery, 1, q[None], "cosine").indices.item()
assert (by_ruler, by_angle) == (1, 0)
assert math.isclose(cosines[0], 1, abs_tol=1e-6)
assert math.isclose(cosines[1], 0.96, abs_tol=1e-6)

# %% [markdown]
# Hay una manera de que regla y ángulo digan lo mismo: **normalizar**, es decir, dividir cada flecha entre su largo. Todas
# acaban en la circunferencia de radio 1, y ahí estar cerca es apuntar parecido. Lo comprobarás en el
# [primer ejercicio](#ejercicios).
#
# ## De dónde sale el descriptor { #fc7 }
#
# Una red que clasifica termina en una capa densa con una salida por clase. Lo que entra en ella es la última
# opinión de la red *antes* de decidirse: un vector en el que las clases ya se separan con un plano. Ese es el
# descriptor.
#
# En los artículos lo verás llamado **fc7**. AlexNet tiene cinco convoluciones y tres capas densas: conv1 a conv5, y después
# fc6, fc7 y fc8. La última clasifica, así que fc7 es la penúltima, con 4096 números. VGG puso varias
# convoluciones donde AlexNet tenía una y conservó los nombres: conv1_1 y conv1_2 son las dos del primer
# bloque, conv5_3 la última de VGG-16, y detrás siguen fc6, fc7 y fc8. Por eso fc7 se llama fc7 también
# en una red de 16 capas.
#
# La nuestra es pequeña: una LeNet-5 con normalización por lotes. Su penúltima capa densa da 84 números. Y la
# entrenamos con **siete de las diez clases**. Las otras tres no las verá nunca: una prenda, un calzado y un bolso.

# %%
train_set, test_set = data.fashion_mnist("mini")
unseen = [test_set.classes.index(name) for name in ("vestido", "zapatilla", "bolso")]
seen = [label for label in range(10) if label not in unseen]


def only(dataset, labels):
    """Las imágenes de esas clases, renumeradas desde cero."""
    kept = dataset[torch.isin(dataset.labels, torch.tensor(labels))]
    numbers = torch.searchsorted(torch.tensor(labels), kept.labels)
    return data.Dataset(kept.images, numbers, tuple(dataset.classes[label] for label in labels))


fit_set, val_set = data.split(only(train_set, seen), fraction=0.1, seed=seed)
normalize = data.normalization(fit_set)


def prepared(images):
    """Las imágenes como las espera la red."""
    return normalize(images.float() / 255)


def classifier(seed):
    """La red, entrenada para distinguir las siete clases."""
    torch.manual_seed(seed)
    net = models.create("lenet5_bn", num_classes=len(seen))
    batches = data.Batches(fit_set, 128, shuffle=True, seed=seed, transform=normalize)
    val_batches = data.Batches(val_set, 500, transform=normalize)
    history = training.train(net, batches, val_batches, epochs=2, lr=0.1)
    return net, history[-1].val_top1


net, accuracy = classifier(seed)
print("clases vistas:", ", ".join(fit_set.classes))
print(f"acierto en validación, entre esas siete: {accuracy:.1%}")
assert accuracy > 0.75

# %% [markdown]
# Sacar el descriptor es una línea. `"classifier.6"` es la ReLU que sigue a la penúltima densa, y
# [`embed`][cnnhistory.inspection.embed] pone la red en modo de evaluación, guarda lo que sale de ahí y la deja como estaba.

# %%
LAYER = "classifier.6"
test_images = prepared(test_set.images)
by_net = inspection.embed(net, test_images, LAYER)
print("un descriptor por fila:", tuple(by_net.shape))
assert by_net.shape == (len(test_set), 84)

# %% [markdown]
# ## Buscar los que se parecen { #vecinos }
#
# La *recuperación* (*retrieval*) es la prueba más directa. Cada imagen de prueba pregunta por sus diez vecinas entre todas
# las demás, de las diez clases. La **precisión en 10** es la fracción que salió de su clase. De la red probamos tres sitios:
# lo que sale de las convoluciones, fc7 y las siete puntuaciones. Como suelo, dos descriptores que no aprenden nada:
# los píxeles tal cual y [HOG](../api/classic.md#cnnhistory.classic.HOG), que cuenta orientaciones de bordes en celdas de 7×7 píxeles.


# %%
new = torch.isin(test_set.labels, torch.tensor(unseen))  # las que la red no vio nunca


def precision(rows, k=10):
    """Precisión en k de las consultas de clases vistas y de clases nuevas."""
    labels = test_set.labels
    found = labels[descriptors.nearest(rows, k).indices]
    return [descriptors.precision_at_k(found[group], labels[group]) for group in (~new, new)]


table = {
    "píxeles": test_images.flatten(1),
    "HOG": torch.from_numpy(HOG(cell_size=7).fit_transform(test_set.images)),
    "convoluciones": inspection.embed(net, test_images, "classifier.0"),
    "fc7": by_net,
    "puntuaciones": inspection.embed(net, test_images, "classifier.7"),
}
scores = {name: precision(rows) for name, rows in table.items()}
print("precisión en 10  números  vistas  nuevas")
for name, (old_score, new_score) in scores.items():
    print(f"{name:<16}{table[name].shape[1]:>8}{old_score:>8.1%}{new_score:>8.1%}")
assert max(scores, key=lambda name: scores[name][0]) == "fc7"
assert max(scores, key=lambda name: scores[name][1]) == "convoluciones"

# %% [markdown]
# Lee las dos columnas por separado.
#
# En las clases **vistas** gana fc7. Para los píxeles, una camisa y un abrigo se parecen porque ocupan lo mismo; la red
# aprendió qué mirar para separarlos, y le basta con un vector nueve veces más corto.
#
# En las clases **nuevas** funciona: la red no ha visto un bolso y aun así los junta. Pero el orden
# se invierte. Cuanto más cerca de la decisión, **peor**: ganan las convoluciones, fc7 pierde contra los píxeles
# y las siete puntuaciones se quedan muy atrás. Tiene su lógica. Cada capa guarda lo que sirve para separar *esas siete clases* y tira
# lo demás, y en lo demás estaba lo que distingue a un bolso. Las primeras capas todavía no saben a qué
# pregunta van a responder.
#
# ¿Y entonces el teléfono? Su red no se entrenó con siete clases, sino con miles de personas. El argumento es que lo que
# sirve para separar a miles tiene que servir para separar a casi cualquiera, y los resultados con caras que [verás más
# abajo](#caras) le dan la razón. Aquí no podemos comprobarlo: diez clases no dan para tanto. Lo que sí se puede medir, en el
# [último ejercicio](#ejercicios), es cuánto puso el entrenamiento, y la respuesta es una cura de humildad.

# %%
old, fresh = ({name: pair[side] for name, pair in scores.items()} for side in (0, 1))
assert old["fc7"] > old["píxeles"] + 0.03
assert old["fc7"] > old["convoluciones"]
assert fresh["convoluciones"] > fresh["fc7"] + 0.03
assert fresh["píxeles"] > fresh["fc7"]
assert fresh["fc7"] > fresh["puntuaciones"] + 0.03
assert fresh["fc7"] > 0.5  # al azar sería 0.1

# %% alt="Cinco filas de siete prendas. La primera de cada fila es la consulta: vestido, zapatilla, bolso, camisa y suéter. Le siguen sus seis vecinas, cada una con una marca de acierto o, si es de otra clase, con una equis y el nombre de lo que era." caption="Cinco consultas y sus seis vecinas según fc7. ✓: es de la misma clase; ✗: no, y dice de cuál es. Las tres primeras clases no estaban en el entrenamiento."
queries = [
    int((test_set.labels == test_set.classes.index(name)).nonzero()[3])
    for name in ("vestido", "zapatilla", "bolso", "camisa", "suéter")
]
neighbors = descriptors.nearest(by_net, 6).indices
shown, titles = [], []
for query in queries:
    shown += [query, *neighbors[query].tolist()]
    name = test_set.classes[test_set.labels[query]]
    found = [test_set.classes[label] for label in test_set.labels[neighbors[query]]]
    titles += [name.upper(), *("✓" if each == name else f"✗ {each}" for each in found)]
plotting.image_grid(test_set.images[shown], titles, columns=7)

# %% [markdown]
# ### Con una sola foto { #una-foto }
#
# Ahora el teléfono. De cada clase nueva se *inscribe* (*enroll*) **una** imagen, al azar, y las demás se reparten según cuál de
# las tres inscritas les quede más cerca. Se repite doscientas veces, porque con una sola foto la suerte pesa mucho.


# %%
def one_photo(rows, shots=1, draws=200):
    """Acierto en las clases nuevas, y su desviación, con `shots` fotos inscritas de cada una."""
    rows, labels = F.normalize(rows[new]), test_set.labels[new]
    generator = torch.Generator().manual_seed(seed)
    hits = []
    for _ in range(draws):
        order = torch.randperm(len(rows), generator=generator)
        enrolled = torch.stack([order[labels[order] == label][:shots] for label in unseen])
        templates = F.normalize(rows[enrolled].mean(1), dim=1)  # (3, D)
        guesses = torch.tensor(unseen)[(rows @ templates.T).argmax(1)]
        others = torch.ones(len(rows), dtype=torch.bool)
        others[enrolled.flatten()] = False
        hits.append((guesses == labels)[others].double().mean().item())
    return float(np.mean(hits)), float(np.std(hits))


single = {name: one_photo(rows) for name, rows in table.items()}
for name, (mean, deviation) in single.items():
    print(f"{name:<15}{mean:.1%} ± {deviation:.1%}")
assert single["HOG"][0] > max(single.values())[0] - 0.03
assert all(mean > 0.55 for mean, _ in single.values())  # a ciegas sería un tercio

# %% [markdown]
# A ciegas se acertaría un tercio: una foto basta para mucho más. Pero HOG, que no aprendió nada, queda a la altura del mejor. Es lo mismo que decía la
# tabla anterior: en lo que no vio, el fc7 de nuestra red apenas lleva ventaja, o ninguna.
#
# Mira también el «±», que dice cuánto depende de *cuál* foto. Es grande, y por eso un teléfono no se conforma con una imagen: al
# configurarlo te pide que muevas la cabeza. En el [tercer ejercicio](#ejercicios) lo harás tú.
#
# ## ¿Son lo mismo? El umbral { #verificacion }
#
# Elegir la más cercana de tres siempre da una respuesta, aunque delante haya un extraño. **Verificar** es otra
# pregunta: estas dos imágenes, ¿son de lo mismo, sí o no? Hace falta un umbral: si la distancia no lo pasa, se
# acepta.
#
# Así se midió VGG-Face: parejas de caras, la mitad de la misma persona, y personas que no estaban en el
# entrenamiento.[^parkhi] Las caras eran las de LFW (*Labeled Faces in the Wild*), fotos de prensa reunidas justo para eso.[^lfw] Con
# nuestras tres clases nuevas:

# %%
new_test = only(test_set, unseen)
test_pairs = verification.make_pairs(new_test.labels, 6000, seed)
distances = {
    name: verification.pair_distances(rows[new], test_pairs) for name, rows in table.items()
}
curves = {name: verification.trace_roc(each, test_pairs.same) for name, each in distances.items()}
for name, curve in curves.items():
    print(f"{name:<15}área {curve.area:.3f}   EER {curve.equal_error_rate:.1%}")
areas = {name: curve.area for name, curve in curves.items()}
assert min(areas.values()) > 0.7
assert max(areas, key=areas.get) == "HOG"

# %% alt="Tres curvas que suben deprisa desde la esquina inferior izquierda y se aplanan al llegar arriba, cerca unas de otras: fc7 con línea continua, los píxeles con trazos y las convoluciones con puntos. Una diagonal descendente las corta." caption="Curva ROC en parejas de clases nuevas. Cada punto es un umbral: hacia la derecha se aceptan más parejas que no debía; hacia arriba, más de las que sí. El EER es el corte con la diagonal descendente."
with plotting.style():
    figure, axis = plt.subplots(figsize=(4.2, 3.8))
    styles = {"fc7": "-", "píxeles": "--", "convoluciones": ":"}
    for name, line in styles.items():
        curve = curves[name]
        axis.plot(curve.false_accepts, curve.true_accepts, line, label=name)
    axis.plot([0, 1], [1, 0], color=plotting.INK, linewidth=0.8, alpha=0.6)
    axis.set(xlabel="aceptadas que no debía", ylabel="aceptadas que sí debía", aspect="equal")
    axis.legend(loc="lower right")
    figure.tight_layout()

# %% [markdown]
# Las tres del dibujo se parecen mucho, y en la lista de arriba gana HOG. Tres clases tan distintas son una prueba fácil.
#
# La curva ROC recorre todos los umbrales. Bajarlo deja fuera a los extraños y también a ti, un día con
# mala luz. Subirlo, lo contrario. No hay umbral bueno en abstracto: el de un álbum de fotos y el de un banco no
# son el mismo. El **EER** (*equal error rate*) es el error donde las dos equivocaciones pesan igual, y sirve para comparar
# sistemas con un solo número.
#
# Para *usar* el sistema hay que elegir uno. La regla es la de siempre: se elige con unas imágenes y se mide con
# otras. Y aquí hay una pregunta más: ¿sirve un umbral elegido con las clases de entrenamiento, que es de las que
# tenemos ejemplos de sobra?

# %%
fit_new = only(train_set, unseen)


def chosen_with(dataset, count=2000):
    """El mejor umbral para las parejas de ese conjunto."""
    rows = inspection.embed(net, prepared(dataset.images), LAYER)
    pairs = verification.make_pairs(dataset.labels, count, seed)
    return verification.best_threshold(verification.pair_distances(rows, pairs), pairs.same)


thresholds = {
    "otras imágenes de las clases nuevas": chosen_with(fit_new),
    "imágenes de las clases vistas": chosen_with(val_set),
}
transferred = {
    origin: verification.accuracy_at(distances["fc7"], test_pairs.same, threshold)
    for origin, threshold in thresholds.items()
}
for origin, threshold in thresholds.items():
    print(f"umbral {threshold:.3f}, de {origin}: acierta {transferred[origin]:.1%} de las parejas")

assert min(transferred.values()) > 0.65
assert abs(np.subtract(*transferred.values())) < 0.05

# %% [markdown]
# Sirve: los dos umbrales aciertan casi lo mismo. Es una buena noticia para quien inscribe caras que no estaban en el
# entrenamiento, pero es una medida de estas clases, no una ley: el umbral se vuelve a medir con cada población
# a la que se aplica. Más abajo verás [por qué importa](#personas).

# %% [markdown]
# ## Un mapa de lo que la red cree parecido { #mapa }
#
# Ochenta y cuatro números no se dibujan. Para verlos hay que llevarlos a un plano, y todo mapa miente en algo.
#
# **PCA** (análisis de componentes principales) proyecta sobre las dos direcciones en que más varían los datos. Es una sombra: lo que está lejos en el mapa estaba
# lejos, pero dos cosas separadas pueden tener la misma sombra. **t-SNE** hace lo contrario: mueve los
# puntos hasta que las vecinas de cada uno sean, en lo posible, las mismas que antes.[^tsne] Cuarenta imágenes de cada clase:

# %% alt="Prendas pequeñas repartidas en forma de L. Por el brazo vertical, de arriba abajo, pantalones, vestidos y ropa de torso; por el horizontal, a la derecha, el calzado. En color, lo que la red no vio: los vestidos, entre los pantalones y las camisas; las zapatillas, entre sandalias y botines; los bolsos, a medio camino entre la ropa y el calzado." caption="PCA. En color, las clases que la red no vio nunca; en gris, las siete con que se entrenó."
chosen = torch.cat([(test_set.labels == label).nonzero()[:40, 0] for label in range(10)])
some = test_set[chosen]
flat = descriptors.project(by_net[chosen], "pca")
plotting.image_map(flat, some.images, some.labels, some.classes, highlight=unseen)

# %% alt="Las mismas prendas, en dos islas. A la derecha, el calzado: las zapatillas juntas, entre sandalias y botines. A la izquierda, la ropa: pantalones arriba, vestidos debajo en dos grupos, y abajo lo que se pone en el torso. Casi todos los bolsos forman un grupo propio, pegado a la ropa." caption="t-SNE de los mismos descriptores. Las vecinas son de fiar; los huecos, no."
layout = descriptors.project(by_net[chosen], "tsne", seed=seed)
plotting.image_map(layout, some.images, some.labels, some.classes, highlight=unseen)

# %%
print("de las cinco vecinas, cuántas son de la misma clase")
nearby = {}
for name, rows in {"PCA": flat, "t-SNE": layout, "los 84 números": by_net[chosen]}.items():
    metric = "cosine" if name == "los 84 números" else "euclidean"
    found = some.labels[descriptors.nearest(rows, 5, metric=metric).indices]
    nearby[name] = descriptors.precision_at_k(found, some.labels)
    print(f"{name:<16}{nearby[name]:.1%}")
assert nearby["t-SNE"] > nearby["PCA"] + 0.03

# %% [markdown]
# ### Lo que t-SNE no dice { #tsne }
#
# Míralo con datos de los que sabemos la verdad: tres nubes de puntos. Dos están cerca, la
# tercera diez veces más lejos, y una es cinco veces más ancha que las otras.

# %% alt="Dos mapas de las mismas tres nubes. En el de PCA, dos nubes casi se tocan a la izquierda, una mucho más ancha que la otra, y la tercera queda muy lejos, a la derecha. En el de t-SNE, tres manchas de tamaño parecido; la tercera está apartada, pero solo unas pocas veces más que las otras dos entre sí." caption="Tres nubes de verdad conocida, con un símbolo cada una. t-SNE encoge las distancias entre grupos e iguala sus tamaños."
generator = torch.Generator().manual_seed(seed)
centers = torch.zeros(3, 10)
centers[1, 0], centers[2, 1] = 20, 200
cloud_labels = torch.arange(150) % 3
widths = torch.tensor([1.0, 5.0, 1.0])[cloud_labels, None]
points = centers[cloud_labels] + widths * torch.randn(150, 10, generator=generator)
drawn = {"PCA": descriptors.project(points), "t-SNE": descriptors.project(points, "tsne")}

with plotting.style():
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 3))
    for axis, (name, positions) in zip(axes, drawn.items(), strict=True):
        for label, marker in enumerate("os^"):
            group = positions[cloud_labels == label]
            axis.plot(group[:, 0], group[:, 1], marker, markersize=4, alpha=0.7)
        axis.set(title=name, xticks=[], yticks=[])
        axis.set_aspect("equal", adjustable="datalim")
    figure.tight_layout()

ratios = {}
for name, positions in {"verdad": points, **drawn}.items():
    middle = torch.stack([positions[cloud_labels == label].mean(0) for label in range(3)])
    spread = [(positions[cloud_labels == i] - middle[i]).norm(dim=1).mean() for i in (0, 1)]
    far = torch.dist(middle[0], middle[2]) / torch.dist(middle[0], middle[1])
    ratios[name] = (far.item(), (spread[1] / spread[0]).item())
    print(f"{name:<7} la lejana está {ratios[name][0]:.1f} veces más lejos; "
          f"la ancha es {ratios[name][1]:.1f} veces más ancha")  # fmt: skip

assert ratios["verdad"][0] > 8
assert ratios["t-SNE"][0] < 0.5 * ratios["verdad"][0]
assert ratios["t-SNE"][1] < 0.6 * ratios["verdad"][1]

# %% [markdown]
# Un hueco grande en un t-SNE no significa que dos grupos sean muy distintos, ni una mancha grande que sea variada. Tampoco
# hay un solo mapa: cambia con la semilla y con la **perplejidad** (*perplexity*), que es más o menos cuántas vecinas intenta
# conservar cada punto. Úsalo para encontrar cosas que mirar, y compruébalas después con los descriptores enteros, como
# acabamos de hacer con las cinco vecinas.
#
# ## Entrenar para comparar: las tripletas { #tripletas }
#
# Nuestra red aprendió a clasificar, y lo de comparar le salió de rebote. ¿Y si se entrena para eso? Toma tres imágenes: un
# **ancla**, otra de su clase (el **positivo**) y una de otra clase (el **negativo**). La pérdida pide que el
# positivo quede más cerca que el negativo, con un margen:
#
# $$ \max(0,\; d(\text{ancla}, \text{positivo}) - d(\text{ancla}, \text{negativo}) + \text{margen}) $$
#
# Con margen $0.2$: si el positivo está a $0.5$ y el negativo a $0.6$, paga $0.1$. Si el negativo está a $0.8$, no
# paga nada, y esa tripleta ya no enseña. Casi todas acaban así, de modo que lo que importa es *cuáles* se eligen.
# FaceNet, en 2015, buscaba negativos **semidifíciles**: más lejos que el positivo, pero lo menos posible.[^facenet] Otra
# receta toma de cada lote lo más difícil de todo.[^hermans]

# %% tags=["fuente"]
from cnnhistory.descriptors import _check_choice, _check_rows, triplet_loss  # noqa: F401

# %%
line = torch.tensor([[0.0], [0.5], [0.6]])  # ancla, positivo y negativo en una recta
pay = triplet_loss(line, torch.tensor([0, 0, 1]), margin=0.2)
# Cada una de las dos primeras es ancla una vez: 0.5 − 0.6 + 0.2 y 0.5 − 0.1 + 0.2.
print(f"{pay:.2f}")
assert math.isclose(pay.item(), (0.1 + 0.6) / 2, abs_tol=1e-6)

# %% [markdown]
# En el [bucle de entrenamiento](bucle-de-entrenamiento.py) solo cambia la línea de la pérdida. La red ya no da siete
# puntuaciones, sino un descriptor de 64 números que se normaliza. Las clases que compiten en cada lote salen solas: en 128
# imágenes hay unas dieciocho de cada una.


# %%
def metric_learner(seed, epochs=2, mining="semi_hard"):
    """La misma red, entrenada con tripletas: su salida es el descriptor."""
    torch.manual_seed(seed)
    net = models.create("lenet5_bn", num_classes=64).train()
    batches = data.Batches(fit_set, 128, shuffle=True, seed=seed, transform=normalize)
    optimizer = training.make_optimizer(net, lr=0.1, weight_decay=5e-4)
    plan = training.one_cycle(optimizer, epochs * len(batches))
    for _ in range(epochs):
        for images, labels in batches:
            rows = F.normalize(net(images))
            loss = triplet_loss(rows, labels, margin=0.2, mining=mining)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            plan.step()
    return net


rounds = {"entropía cruzada": [scores["fc7"]], "tripletas": []}
for each in range(seed, seed + 3):
    if each > seed:  # la primera ya está entrenada
        rows = inspection.embed(classifier(each)[0], test_images, LAYER)
        rounds["entropía cruzada"].append(precision(rows))
    by_triplets = inspection.embed(metric_learner(each), test_images, "classifier.7")
    rounds["tripletas"].append(precision(by_triplets))

print("precisión en 10, tres semillas   vistas          nuevas")
summary = {}
for name, values in rounds.items():
    values = np.array(values)
    summary[name] = values.mean(0)
    cells = [f"{m:.1%} ± {s:.1%}" for m, s in zip(values.mean(0), values.std(0), strict=True)]
    print(f"{name:<31}{cells[0]:>14}{cells[1]:>16}")

assert summary["tripletas"][0] < summary["entropía cruzada"][0]
assert summary["tripletas"][1] < summary["entropía cruzada"][1] - 0.05

# %% [markdown]
# Pierden, y sobre todo en lo nuevo. No es lo que cuenta FaceNet, y conviene entender por qué antes de culpar a la
# pérdida. Aquí hay siete clases, dos épocas y la misma receta para las dos; las tripletas se pensaron para
# miles de identidades con pocas fotos cada una, donde una última capa con una salida por persona sería enorme, y para
# entrenamientos largos. Una explicación que encaja con la tabla de antes: con siete clases, la pérdida se contenta con
# siete montones, y lo que nunca vio cae en el que le quede más cerca. Es lo que les pasaba a las siete puntuaciones.
#
# ## Caras { #caras }
#
# En 2015, el grupo de Oxford que había hecho VGG tomó su red de 16 capas y la entrenó con 2.6 millones de fotos de
# 2622 personas. La llamaron VGG-Face. La última capa clasifica entre esas 2622, pero no
# es lo que interesa: se quita, y la penúltima describe *cualquier* cara. Su sistema, que además afinaba el descriptor con
# tripletas, llegó al 98.95 % en las parejas de LFW.[^parkhi] Un año antes, DeepFace, de Facebook, entrenada para
# clasificar a más de 4000 personas, había llegado al 97.35 %;[^deepface] el mismo 2015, FaceNet, entrenada solo con tripletas, al
# 99.63 %.[^facenet]

# %%
with torch.device("meta"):  # solo las formas: no gasta memoria
    vgg_face = models.create("vgg_face")
total = inspection.count_parameters(vgg_face)
last = inspection.count_parameters(inspection.find_layer(vgg_face, "classifier.7"))
print("parámetros:", inspection.thousands(total))
print("sin la capa que se quita:", inspection.thousands(total - last))
assert (total, total - last) == (145_002_878, 134_260_544)

# %% [markdown]
# Aquí no hay 2622 personas, y con tan poco no se puede reconocer a nadie. Sí se puede preguntar algo más modesto: ¿sirve
# el descriptor de una red **de ropa** para decir si hay una cara? scikit-image trae un trozo de LFW: cien caras y cien
# recortes sin cara, de 25×25 píxeles.

# %% alt="Dos filas de diez recortes en gris de 25 por 25 píxeles. En la de arriba, diez caras de frente. En la de abajo, trozos de fondo: bordes, texturas, manchas." caption="Arriba, caras; abajo, recortes sin cara."
crops = torch.from_numpy(pictures.lfw_subset()).float()[:, None]  # (200, 1, 25, 25)
is_face = torch.arange(200) < 100
plotting.image_grid(torch.cat([crops[:10], crops[100:110]]))

# %%
resized = normalize(F.interpolate(crops, size=(28, 28), mode="bilinear", align_corners=False))
face_rows = {
    "píxeles": resized.flatten(1),
    "la red de ropa": inspection.embed(net, resized, LAYER),
}
folds = RepeatedStratifiedKFold(n_splits=5, n_repeats=2, random_state=seed)
linear = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=1000))
face_scores = {
    name: cross_val_score(linear, rows.numpy(), is_face.numpy(), cv=folds).mean()
    for name, rows in face_rows.items()
}
for name, score in face_scores.items():
    print(f"{name:<16}{score:.1%}  con {face_rows[name].shape[1]} números")
assert all(score > 0.88 for score in face_scores.values())
assert abs(face_scores["la red de ropa"] - face_scores["píxeles"]) < 0.06

# %% [markdown]
# La red de ropa encuentra las caras sin haber visto ninguna, con un clasificador lineal encima. Antes de
# celebrarlo, mira los píxeles: van a la par. Recortes de frente, centrados y del mismo tamaño casi se separan solos. Lo que
# la red aporta es que usa nueve veces menos números. Sin esa primera fila, esta tabla habría parecido una proeza.
#
# ### Lo que significa para las personas { #personas }
#
# Un descriptor de ropa que falla devuelve una camisa por un abrigo. Uno de caras que falla cierra una puerta o
# señala a un inocente. Y los fallos no se reparten por igual. En 2018, Buolamwini y Gebru midieron tres sistemas comerciales que
# decían el género a partir de una cara: con mujeres de piel oscura se equivocaban hasta un 34.7 %; con
# hombres de piel clara, un 0.8 % como mucho.[^shades] En 2019, el instituto de normas de Estados Unidos, el NIST, midió
# 189 algoritmos de reconocimiento con 18 millones de fotos y encontró, en muchos, que aceptar a una persona por otra era mucho más
# frecuente en unos grupos que en otros.[^nist] Un umbral elegido para todos no es el mismo umbral para cada uno: un solo
# número de acierto, también el de LFW, lo esconde. Además, una contraseña filtrada se cambia y una cara no, y a quien
# pasa por la calle nadie le preguntó si quería ser un vector. Saber calcularlo no responde si se debe. Esa pregunta
# va antes que el código.
#
# ## Errores comunes { #errores }
#
# ### Elegir el umbral con las parejas de la prueba { #umbral }
#
# Hay pocas parejas anotadas y se usan para todo: con ellas se elige el umbral y con ellas se anuncia el acierto. Lo
# repetimos trescientas veces con veinte parejas, y comparamos lo anunciado con lo que ese umbral acierta de verdad en las demás.

# %%
draw = torch.Generator().manual_seed(seed)
announced, real = [], []
for _ in range(300):
    order = torch.randperm(len(test_pairs.same), generator=draw)
    few, rest = order[:20], order[20:]
    if test_pairs.same[few].all() or not test_pairs.same[few].any():
        continue
    net_distances, same = distances["fc7"], test_pairs.same
    threshold = verification.best_threshold(net_distances[few], same[few])
    announced.append(verification.accuracy_at(net_distances[few], same[few], threshold))
    real.append(verification.accuracy_at(net_distances[rest], same[rest], threshold))
print(f"anunciado: {np.mean(announced):.1%}   de verdad: {np.mean(real):.1%}")
assert np.mean(announced) > np.mean(real) + 0.03

# %% [markdown]
# ### Empezar por lo más difícil { #colapso }
#
# Si enseñan las tripletas difíciles, ¿por qué no tomar siempre la peor de cada ancla? Porque una red recién nacida lo
# tiene todo mal, y hay una salida fácil: poner **todas** las imágenes en el mismo punto. Entonces las dos distancias
# son cero y se paga justo el margen, que es menos de lo que se pagaba. Es un colapso, y se reconoce por eso: la pérdida se clava en el margen.

# %%
width = {}
for name, mining in {"semidifíciles": "semi_hard", "las más difíciles": "batch_hard"}.items():
    rows = inspection.embed(metric_learner(seed, 1, mining), test_images, "classifier.7")
    some_rows = F.normalize(rows[:500])
    width[name] = torch.pdist(some_rows).mean().item()
    pays = triplet_loss(some_rows, test_set.labels[:500], 0.2, "batch_hard")
    print(f"{name:<18} distancia media entre dos imágenes {width[name]:.3f}, pérdida {pays:.3f}")
assert width["las más difíciles"] < 0.3 * width["semidifíciles"]
assert abs(pays - 0.2) < 0.1  # la de las más difíciles, que es la última: el margen

# %% [markdown]
# Por eso FaceNet buscaba las semidifíciles.[^facenet] Quien prefiera lo más difícil, como Hermans y otros,[^hermans] tiene
# que vigilar ese número.
#
# ### La misma imagen, en la pregunta y en la respuesta { #misma }
#
# Si la consulta está en la galería, la primera vecina es ella misma. La precisión en 1 sale perfecta con cualquier descriptor, hasta
# con uno que no sirva para nada:

# %%
noise = torch.randn(len(test_set), 8, generator=torch.Generator().manual_seed(seed))
honest, leaked = {}, {}
for name, rows in {"la red": by_net, "puro azar": noise}.items():
    for scores_of, asked in ((leaked, rows), (honest, None)):
        found = test_set.labels[descriptors.nearest(rows, 1, asked).indices]
        scores_of[name] = descriptors.precision_at_k(found, test_set.labels)
    print(f"{name:<10} con la misma imagen {leaked[name]:.1%}, sin ella {honest[name]:.1%}")
assert min(leaked.values()) > 0.99
assert honest["puro azar"] < 0.15

# %% [markdown]
# Sin consultas, [`nearest`][cnnhistory.descriptors.nearest] busca cada fila entre las *demás*. No quita los duplicados de verdad: dos copias del
# mismo archivo, o dos fotogramas seguidos de un video, son otra fuga con otro nombre.
#
# ### Comparar con el producto punto, sin normalizar { #producto }
#
# El producto punto mezcla ángulo y largo. Con él, una imagen de descriptor muy largo es vecina de todo el
# mundo.

# %%
products = by_net @ by_net.T
products.fill_diagonal_(-torch.inf)
by_product = products.topk(10).indices
labels = test_set.labels
dot_score = descriptors.precision_at_k(labels[by_product], labels)
found = descriptors.nearest(by_net, 10).indices
cosine_score = descriptors.precision_at_k(labels[found], labels)
most = {
    "producto": by_product.flatten().bincount().max().item(),
    "coseno": found.flatten().bincount().max().item(),
}
print(f"producto punto: {dot_score:.1%}; una imagen sale en {most['producto']} respuestas")
print(f"coseno:         {cosine_score:.1%}; la que más, en {most['coseno']}")
assert dot_score < cosine_score - 0.02
assert most["producto"] > 2 * most["coseno"]

# %% [markdown]
# ### Sacar descriptores en modo de entrenamiento { #modo }
#
# Con normalización por lotes, en modo de entrenamiento el descriptor de una imagen depende de **quién la acompaña**: cada lote se
# normaliza con su propia media. Pasa la prueba ordenada por clases, como la dejaría una carpeta por persona, y busca
# sus vecinas entre los descriptores buenos:

# %%
careless = copy.deepcopy(net).train()  # alguien olvidó eval()
with torch.no_grad():
    bad = torch.empty_like(by_net)
    for label in range(10):
        members = test_set.labels == label
        bad[members] = careless.classifier[:7](careless.features(test_images[members]))
mode_scores = {}
for name, rows in {"en evaluación": by_net, "entrenando": bad}.items():
    halves = torch.arange(len(test_set)) % 2 == 0
    found = labels[~halves][descriptors.nearest(by_net[~halves], 10, rows[halves]).indices]
    mode_scores[name] = descriptors.precision_at_k(found, labels[halves])
    print(f"{name:<14}{mode_scores[name]:.1%}")
assert mode_scores["entrenando"] < mode_scores["en evaluación"] - 0.1

# %% [markdown]
# No da ningún error, y probado con una imagen cada vez o con lotes bien mezclados puede pasar inadvertido. Con dropout sería
# peor de otra manera: la misma imagen tendría cada vez un descriptor distinto.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Demuestra que entre flechas de largo 1 la distancia de la regla al cuadrado es el doble de la del coseno, y comprueba
# que las vecinas de una y otra son entonces las mismas.

# %% [markdown] tags=["solucion"]
# $\lVert u - v \rVert^2 = \lVert u \rVert^2 + \lVert v \rVert^2 - 2\, u \cdot v = 2 - 2\cos = 2\,(1 - \cos)$. Una crece con la
# otra, así que el orden no cambia.

# %% tags=["solucion"]
unit = F.normalize(by_net.double())
by_ruler = descriptors.nearest(unit, 10, metric="euclidean")
by_angle = descriptors.nearest(by_net.double(), 10)
assert torch.allclose(by_ruler.distances.square(), 2 * by_angle.distances, atol=1e-9)
same_order = (by_ruler.indices == by_angle.indices).double().mean().item()
print(f"vecinas iguales, en el mismo orden: {same_order:.1%}")
assert same_order > 0.999

# %% [markdown]
# **2. Calcular.** Un banco acepta, como mucho, una pareja de extraños de cada cien. ¿Cuántas parejas legítimas rechazará con
# nuestro descriptor? Usa la curva.

# %% [markdown] tags=["solucion"]
# El umbral es el mayor que no pasa de una de cada cien. El precio de esa seguridad es rechazar a buena parte de los que
# sí eran: por eso los sistemas de verdad no se anuncian con el acierto, sino con lo que rechazan a una tasa fija de falsas
# aceptaciones.

# %% tags=["solucion"]
curve = curves["fc7"]
allowed = int((curve.false_accepts <= 0.01).nonzero()[-1])
rejected = 1 - curve.true_accepts[allowed].item()
print(f"umbral {curve.thresholds[allowed]:.3f}: rechaza el {rejected:.0%} de las legítimas")
assert rejected > 2 * curve.equal_error_rate

# %% [markdown]
# **3. Medir.** Inscribe cinco fotos de cada clase en lugar de una, y usa su promedio. ¿Qué pasa con el acierto? ¿Y con su
# desviación?

# %% [markdown] tags=["solucion"]
# Sube el acierto y, sobre todo, deja de depender de la suerte: el promedio se parece a lo que las cinco tienen en
# común, y lo raro de cada una se cancela.

# %% tags=["solucion"]
five = one_photo(by_net, shots=5)
print(f"una foto:    {single['fc7'][0]:.1%} ± {single['fc7'][1]:.1%}")
print(f"cinco fotos: {five[0]:.1%} ± {five[1]:.1%}")
assert five[0] > single["fc7"][0] + 0.02
assert five[1] < single["fc7"][1]

# %% [markdown]
# **4. Desconfiar.** De lo que fc7 acierta en las clases nuevas, ¿cuánto se debe a lo que aprendió con las siete? Compárala con la
# misma red entrenada solo con dos clases, y con la red recién creada, que no aprendió nada. Predice antes de medir.

# %% [markdown] tags=["solucion"]
# Menos de lo que parece. Una red recién creada ya junta bien la mayoría: una convolución al azar, con su pooling,
# conserva lo que los píxeles dicen. El entrenamiento suma sobre todo en la otra columna, la de las clases vistas. Sin
# este suelo habríamos contado como aprendido lo que la arquitectura traía de nacimiento. Compara también la fila de dos clases con
# la primera.


# %% tags=["solucion"]
def trained_with(labels):
    """Precisión de fc7, vistas y nuevas, si la red solo aprendió a separar las clases `labels`."""
    torch.manual_seed(seed)
    other = models.create("lenet5_bn", num_classes=max(2, len(labels)))
    if labels:
        part = only(fit_set, labels)
        batches = data.Batches(part, 128, shuffle=True, seed=seed, transform=normalize)
        training.train(other, batches, batches, epochs=2, lr=0.1)
    return precision(inspection.embed(other, test_images, LAYER))


learned = {"ninguna": trained_with([]), "dos": trained_with([0, 1]), "siete": scores["fc7"]}
for name, (old_score, new_score) in learned.items():
    print(f"clases aprendidas: {name:<8} vistas {old_score:.1%}   nuevas {new_score:.1%}")
assert learned["siete"][0] > learned["ninguna"][0] + 0.05
gain = [after - before for before, after in zip(learned["ninguna"], learned["siete"], strict=True)]
assert gain[1] < gain[0] - 0.02
assert learned["ninguna"][1] > 0.5  # al azar sería 0.1

# %% [markdown]
# ## Para seguir
#
# - Las funciones de esta página: [`nearest`][cnnhistory.descriptors.nearest],
#   [`precision_at_k`][cnnhistory.descriptors.precision_at_k], [`project`][cnnhistory.descriptors.project] y
#   [`triplet_loss`][cnnhistory.descriptors.triplet_loss]; [`make_pairs`][cnnhistory.verification.make_pairs],
#   [`trace_roc`][cnnhistory.verification.trace_roc] y [`best_threshold`][cnnhistory.verification.best_threshold];
#   [`embed`][cnnhistory.inspection.embed] y [`image_map`][cnnhistory.plotting.image_map].
# - La red que acaba siendo un descriptor de caras es [`VGG`][cnnhistory.models.vgg.VGG].
#
# ## Referencias
#
# - [van der Maaten y Hinton (2008)](../referencia/bibliografia.md#maaten2008): t-SNE.
# - [Parkhi, Vedaldi y Zisserman (2015)](../referencia/bibliografia.md#parkhi2015): VGG-Face.
# - [Schroff, Kalenichenko y Philbin (2015)](../referencia/bibliografia.md#schroff2015): FaceNet y las tripletas.
# - [Buolamwini y Gebru (2018)](../referencia/bibliografia.md#buolamwini2018): quién paga los errores.
#
# [^parkhi]: [Parkhi, Vedaldi y Zisserman (2015)](../referencia/bibliografia.md#parkhi2015).
# [^lfw]: [Huang y otros (2007)](../referencia/bibliografia.md#huang2007).
# [^tsne]: [van der Maaten y Hinton (2008)](../referencia/bibliografia.md#maaten2008).
# [^facenet]: [Schroff, Kalenichenko y Philbin (2015)](../referencia/bibliografia.md#schroff2015).
# [^hermans]: [Hermans, Beyer y Leibe (2017)](../referencia/bibliografia.md#hermans2017).
# [^deepface]: [Taigman y otros (2014)](../referencia/bibliografia.md#taigman2014).
# [^shades]: [Buolamwini y Gebru (2018)](../referencia/bibliografia.md#buolamwini2018), del resumen.
# [^nist]: [Grother, Ngan y Hanaoka (2019)](../referencia/bibliografia.md#grother2019), del resumen ejecutivo.
