# %% [markdown]
# # Qué ve una red, y cómo sabes que no te engaña
#
# Entrenas una red con fotos de ropa. En validación reconoce **casi todas** las sandalias. La pones a trabajar y no
# reconoce casi ninguna. La pérdida bajó, las curvas son bonitas, el código no falla. ¿Dónde está el error?
#
# Ningún número te lo va a decir. Hay que abrir la red y mirar. Al final de esta página encontrarás ese error en
# dos imágenes. Antes hace falta saber mirar, y eso incluye una lección incómoda: **un dibujo convincente no es una
# prueba**. Uno de los métodos de esta página, el de dibujos más limpios, sigue dibujando lo suyo cuando a la red se le
# borra todo lo que decide la respuesta.

# %%

import torch
from torch import nn
from torch.autograd import Function  # noqa: F401
from torch.nn import functional as F

from cnnhistory import (
    attribution,
    data,
    deconvnet,
    excitation,
    inspection,
    models,
    plotting,
    training,
    weights,
)

seed = 0

# %% [markdown]
# ## Siete píxeles, de ida y de vuelta { #siete-pixeles }
#
# Una imagen de siete píxeles. Un filtro de dos pesos, −1 y +1, resta a cada píxel el anterior. Una ReLU tira lo
# negativo. Un pooling se queda con el mayor de cada dos y apunta **de dónde lo sacó**: son los interruptores
# (*switches*). Hazlo en papel:
#
# | De subida | valores |
# | --- | --- |
# | imagen | 0 0 5 5 2 0 1 |
# | filtro | 0 5 0 −3 −2 1 |
# | ReLU | 0 5 0 0 0 1 |
# | pooling | **5** 0 1, sacados de las posiciones 1, 2 y 5 |
#
# La primera unidad vale 5. **¿Qué tenía la imagen para encenderla así?** Se apaga todo lo demás y se baja, deshaciendo
# cada paso con su pareja. El 5 vuelve a la posición 1, que es donde dicen los interruptores. La ReLU lo deja pasar.
# El filtro, que al subir juntó dos píxeles en un número, al bajar reparte un número en dos píxeles: 5·(−1) y 5·(+1).
#
# | De bajada | valores |
# | --- | --- |
# | unidad | **5** 0 0 |
# | se reparte | 0 5 0 0 0 0 |
# | ReLU | 0 5 0 0 0 0 |
# | filtro traspuesto | 0 −5 5 0 0 0 0 |
#
# Eso es lo que la encendió: oscuro a la izquierda y claro a la derecha, en los píxeles 1 y 2. Un borde, y dónde está.
# Ahora lo hace el paquete:

# %%
edge = nn.Sequential(
    nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False), nn.ReLU(), nn.MaxPool2d((1, 2))
)
edge[0].weight.data = torch.tensor([[[[-1.0, 1.0]]]])
row = torch.tensor([[[[0.0, 0, 5, 5, 2, 0, 1]]]])

for layer in ("0", "1", "2"):
    maps = inspection.feature_maps(edge, row, layer)
    print(f"capa {layer}: ", maps.flatten().int().tolist())
back = deconvnet.project(edge, row, layer="2", channel=0)
print("vuelta: ", back.flatten().int().tolist())

assert inspection.feature_maps(edge, row, "2").flatten().tolist() == [5, 0, 1]
assert back.flatten().tolist() == [0, -5, 5, 0, 0, 0, 0]

# %% [markdown]
# ## Del gato a la red { #historia }
#
# La pregunta «¿qué enciende a esta unidad?» es más vieja que las redes. En 1959, David Hubel y Torsten Wiesel
# publicaron lo que oían al acercar un electrodo a una neurona de la corteza visual de un gato mientras le mostraban
# manchas y barras de luz.[^hubel] La mayoría de las neuronas no decía nada ante un destello en toda la pantalla. Ante una barra en una
# orientación, disparaban. En 1962 las separaron en dos clases: las *simples* responden a un borde en un lugar
# preciso; las *complejas*, al mismo borde aunque se corra un poco.[^hubel62] Fukushima copió esa pareja en
# el [neocognitrón](../arquitecturas/lenet-5.py#historia): una capa que busca el patrón y otra que tolera que se
# mueva. Hoy las llamamos convolución y pooling.
#
# Medio siglo después, en 2012, [AlexNet](../arquitecturas/alexnet.py) ganó por tanto que nadie pudo mirar a otro lado,
# y dejó a todos ante lo mismo: una corteza con sesenta millones de pesos y ningún electrodo. Durante 2013 medio
# mundo la volvía a entrenar para entender por qué funcionaba. Matthew Zeiler y Rob Fergus le pusieron el electrodo.[^zeiler]
# No traían una red nueva. Traían el viaje de vuelta que acabas de hacer, la **deconvnet**, y la aplicaron a cada capa
# con los nueve trozos de imagen que más encendían a cada mapa. Contado con palabras, su dibujo más famoso dice:
#
# - **Capa 1**: bordes en todas las orientaciones y manchas de color. Lo de Hubel y Wiesel, sin que nadie lo pidiera.
# - **Capa 2**: esquinas y encuentros de un borde con un color.
# - **Capa 3**: texturas, como una malla, y también letras.
# - **Capa 4**: partes que ya son de una clase: caras de perro, patas de pájaro.
# - **Capa 5**: objetos enteros en posturas distintas, como teclados y perros.
#
# Y mirar sirvió para corregir. En la primera capa vieron detalles muy finos y muy gruesos, casi nada en medio, y algún
# filtro muerto; en la segunda, las rayas falsas que deja saltar de cuatro en cuatro píxeles. Redujeron el filtro de 11×11 a 7×7 y el paso (*stride*) de 4 a
# 2. AlexNet así ajustada es la [ZFNet][cnnhistory.models.zfnet.ZFNet]. Qué lugar ocupó en la competencia lo cuenta
# [La carrera](../historia/la-carrera.py#2013).
#
# Aquí no verás caras de perro. Nuestra red tiene dos convoluciones y solo ha visto ropa en gris de 28×28. Lo que
# muestre será suyo, y lo diremos como salga.

# %% [markdown]
# ## La red que vamos a abrir { #red }
#
# Una LeNet-5 de hoy, tres épocas. Guardamos también cómo nació: sin ese «antes» no hay manera de saber qué dibujo viene
# del aprendizaje y cuál estaba ahí desde el principio.

# %%
train_set, test = data.fashion_mnist("mini")
fit_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
normalize = data.normalization(fit_set)


def new_net():
    torch.manual_seed(seed)
    return models.create("lenet5_modern")


def trained(model, dataset, epochs):
    batches = data.Batches(dataset, 64, shuffle=True, seed=seed, transform=normalize)
    validation = data.Batches(val_set, 500, transform=normalize)
    training.train(model, batches, validation, epochs=epochs, lr=0.05)
    return model


def accuracy(model, images, labels):
    scores = inspection.embed(model, images, "", batch_size=500)
    return (scores.argmax(1) == labels).float().mean().item()


born, net = new_net(), trained(new_net(), fit_set, epochs=3)
pixels = normalize(test.images.float() / 255)
print(f"acierto en la prueba: al nacer {accuracy(born, pixels, test.labels):.1%}, ", end="")
print(f"entrenada {accuracy(net, pixels, test.labels):.1%}")
assert accuracy(net, pixels, test.labels) > 0.78

# %%
inspection.shape_table(net, (1, 28, 28))

# %% [markdown]
# La primera columna son los nombres con los que se pide una capa. Si te equivocas, el error sugiere los parecidos:

# %%
try:
    inspection.find_layer(net, "feature.3")
except ValueError as error:
    print(error)

# %% [markdown]
# ## Lo que se puede mirar sin trucos { #filtros }
#
# **Los filtros de la primera capa** son imágenes: miran píxeles. Los de la segunda ya no, porque miran seis mapas a
# la vez, y dibujarlos en gris engaña.

# %% alt="Doce cuadros de 5×5 en gris, en dos filas de seis. Arriba, los filtros al nacer, como ruido. Abajo, los mismos entrenados: a algunos se les adivina un lado claro y otro oscuro, y cada uno se parece mucho a su pareja de arriba." caption="Los seis filtros de la primera capa: arriba al nacer, abajo entrenados."
filters = torch.cat([inspection.first_filters(born), inspection.first_filters(net)])
plotting.image_grid(filters, columns=6, size=0.8)

# %%
before, after = filters[:6].flatten(1), filters[6:].flatten(1)
likeness = F.cosine_similarity(before, after).tolist()
print("parecido de cada filtro con el que era (1 es igual):", [f"{each:.2f}" for each in likeness])
assert min(likeness) > 0.5  # todos siguen pareciéndose a como nacieron

# %% [markdown]
# Sin la fila de arriba habrías llamado «detector de bordes» a más de un filtro que nació así. El entrenamiento apenas los ha
# movido: con ropa en gris y tres épocas, casi todo lo que la red aprendió está en las capas de encima. Los filtros de colores y
# bordes limpios de las figuras famosas piden fotos, filtros más grandes y muchas más vueltas.
#
# **Los mapas de características** son lo que responde cada filtro. Un botín, después de la primera ReLU y después de
# la segunda:

# %% alt="Un botín y sus seis mapas de la primera capa, de 28×28: en unos se encienden los contornos, en otros el interior o el fondo." caption="El botín y los seis mapas de `features.1`. El negro es cero."
boot = pixels[(test.labels == test.classes.index("botín")).nonzero()[0]]
early = inspection.feature_maps(net, boot, "features.1")[0]
plotting.image_grid(torch.cat([boot[0], early]), columns=7, size=0.9)

# %% alt="Dieciséis mapas de 10×10. Ya no se reconoce el botín: cada uno enciende unas pocas zonas, como la caña, la punta o la suela, y alguno está negro." caption="El mismo botín en los dieciséis mapas de `features.4`. Ya no es un dibujo: es dónde hay algo."
late = inspection.feature_maps(net, boot, "features.4")[0]
plotting.image_grid(late, columns=8, size=0.8)

# %%
for name, maps in {"features.1": early, "features.4": late}.items():
    print(f"{name}: {tuple(maps.shape)}, en cero el {(maps == 0).float().mean():.0%}")

# %% [markdown]
# De los segundos mapas sabes *dónde* responden. No sabes *a qué*. Para eso hay que volver a los píxeles.
#
# ## Los trozos que encienden a una unidad { #trozos }
#
# La manera más honrada de preguntar por una unidad es enseñarle muchas imágenes y guardar las que más la encienden.
# Y no la imagen entera: **solo el trozo que esa posición puede ver**, su campo receptivo. Cada capa lo ensancha y lo corre:
# con un salto $j$ entre posiciones vecinas, una ventana de lado $k$, paso $s$ y relleno $p$,
#
# $$ r \leftarrow r + (k-1)\,j, \qquad a \leftarrow a - p\,j, \qquad j \leftarrow j\,s $$
#
# donde $r$ es el lado de lo que se ve y $a$ dónde empieza. Para `features.4`: la convolución de 5×5 con relleno 2 deja
# $r = 5$, $a = -2$, $j = 1$; el pooling, $r = 6$, $a = -2$, $j = 2$; la segunda convolución, $r = 6 + 4 \cdot 2 = 14$.

# %%
field = excitation.receptive_field(net, (1, 28, 28), "features.4")
print(field)
print("la posición (0, 0) ve", field.box(0, 0), "y la (4, 4),", field.box(4, 4))
assert (field.size, field.jump, field.start) == (14, 2, -2)

# %% [markdown]
# Buscamos en las 2000 imágenes de prueba los seis trozos que más encienden a cinco unidades, y al lado ponemos el viaje
# de vuelta de cada uno: lo que, de ese trozo, la encendió.

# %% alt="Cinco filas, una por unidad. A la izquierda de cada fila, seis trozos de prendas; a la derecha, sus seis proyecciones en gris. Dentro de una fila los trozos se parecen: las dos perneras de un pantalón, la esquina de una suela, las tiras de una sandalia. Las proyecciones son granuladas, y solo en alguna fila se ve un trazo inclinado que se repite." caption="Cada fila es una unidad de `features.4`. A la izquierda, los seis trozos que más la encienden (gris liso: fuera de la imagen); a la derecha, lo que de cada trozo la encendió, según la deconvnet. Gris es nada; claro, a favor de más luz; oscuro, de menos."
strength = inspection.feature_maps(net, pixels[:200], "features.4").amax((2, 3)).mean(0)
units = strength.topk(5).indices.tolist()
tops = excitation.top_patches(net, pixels, "features.4", units, count=9)


def in_gray(signal):
    """Lleva cada proyección a gris: cero en el medio y su mayor valor en un extremo."""
    peak = signal.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-9)
    return (127.5 * (1 + signal / peak)).byte()


rows = []
for found in tops:
    projections = deconvnet.project(net, pixels[found.images], "features.4", found.channel)
    patches = (found.crops - pixels.min()) / (pixels.max() - pixels.min())
    rows += [(255 * patches[:6]).byte(), in_gray(excitation.crop(projections, found.boxes))[:6]]
plotting.image_grid(torch.cat(rows), columns=12, size=0.6)

# %% [markdown]
# La mitad izquierda se entiende; la derecha, apenas. Los dibujos limpios de Zeiler y Fergus son de filtros entrenados durante
# días con fotos. Una deconvnet baja por los filtros que hay, y los de nuestra primera capa, como viste, son casi el ruido con que nacieron.
#
# ¿Son «detectores de tacón» o «de cuello»? No te fíes del ojo: cuenta. De los nueve trozos que más encienden a cada unidad,
# ¿cuántos son de la misma clase? ¿Y en la red recién nacida?


# %%
def purity(model):
    """Para cada unidad de la segunda capa, cuántos de sus nueve trozos comparten clase."""
    found = excitation.top_patches(model, pixels, "features.4", range(16), count=9)
    return [test.labels[each.images].bincount().max().item() for each in found]


for found in tops:
    votes = test.labels[found.images].bincount(minlength=10)
    print(f"unidad {found.channel:>2}: {votes.max()} de 9 son «{test.classes[votes.argmax()]}»")
pure = {"al nacer": purity(born), "entrenada": purity(net)}
for name, counts in pure.items():
    print(f"{name:<10} media de las 16 unidades: {sum(counts) / 16:.1f} de 9")

torch.manual_seed(seed)
draws = [torch.randint(10, (9,)).bincount().max().item() for _ in range(2000)]
by_chance = sum(draws) / len(draws)
print(f"al azar    {by_chance:.1f} de 9")
assert sum(pure["al nacer"]) / 16 > by_chance + 0.4
assert abs(sum(pure["entrenada"]) - sum(pure["al nacer"])) / 16 < 2

# %% [markdown]
# De nueve trozos al azar, la clase más repetida saldría dos o tres veces. La red recién nacida pasa de ahí **sin haber
# aprendido nada**, y la entrenada casi no le gana. Cualquier filtro responde a algún borde, y las prendas de una clase
# tienen los mismos bordes en los mismos sitios. Una fila de seis sandalias no demuestra que la red inventara un detector de
# sandalias: antes de creerlo, mira qué haría una red sin entrenar.
#
# ## Tapar y ver qué pasa { #oclusion }
#
# Hasta aquí preguntamos a las unidades. Ahora a la red entera: **¿qué parte de esta imagen pesó en tu respuesta?** La
# manera más directa no necesita saber nada de redes. Tapa un cuadro con gris, mira cuánto baja la puntuación de la
# clase, corre el cuadro y repite. Zeiler y Fergus lo usaron para
# comprobar que su red miraba al objeto y no a lo que lo rodea.

# %% alt="Seis prendas en gris con zonas naranjas donde taparlas quita puntuación a su clase y azules donde taparlas la aumenta. El naranja más fuerte está en el hueco entre las piernas del pantalón; en el vestido y el abrigo cae a los lados, sobre el fondo." caption="Oclusión: en naranja, taparlo le quita puntuación a la clase; en azul, se la da. La escala es la misma en las seis."
chosen = [test.classes.index(name) for name in ("botín", "bolso", "pantalón", "vestido", "abrigo")]
chosen = [test.classes.index("sandalia"), *chosen]
right = inspection.embed(net, pixels, "").argmax(1) == test.labels
shown = torch.stack([((test.labels == label) & right).nonzero()[0, 0] for label in chosen])
images, labels = pixels[shown], test.labels[shown]
titles = [test.classes[label] for label in labels]
covered = attribution.occlusion(net, images, labels, size=6, stride=2)
plotting.heatmaps(images, covered, titles, columns=6, size=1.15)

# %% [markdown]
# Mira el pantalón: pesa mucho el **hueco** entre las piernas. Lo que no hay también es una prueba, y por eso hay naranja
# que cae en el fondo.
#
# Es lento, porque cada cuadro es otra pasada por la red, y responde a lo que preguntas: si el cuadro es más pequeño que
# la prueba, o si la prueba está repetida en dos sitios, taparla puede no cambiar nada.
#
# ## Derivar: tres maneras de bajar { #gradiente }
#
# En vez de tapar, derivar: ¿cuánto cambiaría la puntuación si cambiara un poco este píxel? Una sola bajada lo dice de todos
# los píxeles a la vez. Es la **prominencia** (*saliency*) de Simonyan, Vedaldi y Zisserman, también de
# 2013.[^simonyan] Y al compararla con la deconvnet notaron algo: la convolución traspuesta **es** el gradiente de la
# convolución, y el reparto por interruptores **es** el gradiente del pooling. Lo único distinto es la ReLU.
#
# Otra vez con papel. Suben cuatro valores, 1, 1, −1 y −1; la ReLU apaga los dos últimos. Baja la señal 2, −2, 2, −2:
#
# | Regla | deja pasar | baja |
# | --- | --- | --- |
# | gradiente | donde la ReLU estaba encendida | 2 −2 0 0 |
# | deconvnet | lo positivo | 2 0 2 0 |
# | guiada | lo que cumple las dos cosas | 2 0 0 0 |
#
# La tercera es la **retropropagación guiada** (*guided backpropagation*), que Springenberg y otros propusieron en
# 2014 junto con la [All-CNN][cnnhistory.models.allcnn.AllCNN], una red sin pooling y por tanto sin interruptores.[^springenberg]
# Así están escritos en el paquete la ReLU, que baja distinto, y el pooling, que deja a la vista sus interruptores:

# %% tags=["fuente"]
from cnnhistory.deconvnet import DescendingReLU, Unpooling  # noqa: F401

# %%
rising = torch.tensor([1.0, 1.0, -1.0, -1.0], requires_grad=True)
falling = torch.tensor([2.0, -2.0, 2.0, -2.0])
ways = {
    "gradiente": torch.relu(rising),
    "deconvnet": DescendingReLU.apply(rising, False),
    "guiada": DescendingReLU.apply(rising, True),
}
lines = {name: torch.autograd.grad(up, rising, falling)[0] for name, up in ways.items()}
for name, line in lines.items():
    print(f"{name:<10}", line.int().tolist())
assert [line.tolist() for line in lines.values()] == [[2, -2, 0, 0], [2, 0, 2, 0], [2, 0, 0, 0]]

# %% [markdown]
# ### Grad-CAM, en diez líneas { #grad-cam }
#
# La cuarta manera no baja hasta los píxeles. **Grad-CAM**[^selvaraju] se detiene en una capa con mapas, donde todavía hay
# posiciones y ya hay partes. Cada mapa pesa lo que vale, en promedio, el gradiente de la clase en él; se suman los mapas
# con esos pesos y se tira lo negativo. Aquí está entero, a mano, con un gancho (*hook*) que guarda lo que sale de la capa:


# %%
def cam_by_hand(model, images, layer, classes):
    kept = []
    hook = model.get_submodule(layer).register_forward_hook(lambda *step: kept.append(step[2]))
    try:
        scores = model(images).gather(1, classes[:, None]).sum()
    finally:
        hook.remove()
    (gradient,) = torch.autograd.grad(scores, kept[0])
    importance = gradient.mean((2, 3), keepdim=True)  # (N, C, 1, 1)
    weighed = (importance * kept[0]).sum(1, keepdim=True).relu()  # (N, 1, h, w)
    return F.interpolate(weighed, images.shape[2:], mode="bilinear")[:, 0].detach()


net.eval()
located = attribution.grad_cam(net, images, "features.4", labels)
assert torch.allclose(cam_by_hand(net, images, "features.4", labels), located, atol=1e-5)

# %% [markdown]
# El del paquete hace lo mismo y además trabaja por lotes, comprueba que la capa tenga mapas, pone la red en evaluación y
# la deja como estaba, aunque algo falle. Los cuatro métodos, sobre las mismas seis prendas:

# %% alt="Cuatro filas de seis prendas. En la primera, oclusión, manchas anchas naranjas y azules. En la segunda, prominencia, puntos naranjas dispersos. En la tercera, guiada, menos puntos y más ceñidos a la prenda y a su borde. En la cuarta, Grad-CAM, manchas anchas que en varias prendas caen sobre el fondo que las rodea." caption="De arriba abajo: oclusión, prominencia, guiada (en valor absoluto) y Grad-CAM. Cada fila tiene su escala, porque miden cosas distintas."
methods = {
    "oclusión": covered,
    "prominencia": attribution.saliency(net, images, labels),
    "guiada": attribution.guided_backpropagation(net, images, labels)[:, 0].abs(),
    "Grad-CAM": located,
}
stacked = torch.cat([maps / maps.abs().max() for maps in methods.values()])
plotting.heatmaps(images.repeat(4, 1, 1, 1), stacked, columns=6, size=1.15)

# %% [markdown]
# ¿Cuál te convence más? A casi todo el mundo, la tercera fila: con redes hondas y fotos parece un dibujo a lápiz de lo que la
# red *ve*. Guarda tu respuesta.
#
# ## La prueba del olvido { #cordura }
#
# En 2018, Julius Adebayo y otros propusieron una pregunta que nadie estaba haciendo: si borro lo que la red aprendió,
# **¿el dibujo cambia?** Si no cambia, no hablaba de la red.[^adebayo] Encontraron que la guiada casi no cambiaba aun con casi toda la
# red borrada, y que su resultado se parecía al de un detector de bordes. El gradiente y Grad-CAM sí pasaban.
#
# Lo medimos en la nuestra con cien imágenes. Tres cambios: sortear de nuevo **toda** la red; sortear solo las **capas
# densas**, que son las que deciden la clase; y preguntar por **otra clase**. El parecido es la correlación de los
# rangos de los píxeles (de Spearman): 1 es el mismo dibujo, 0 es ninguno.


# %%
def ranks(maps):
    order = maps.flatten(1).argsort(1).argsort(1).double()
    return order - order.mean(1, keepdim=True)


def likeness_of(one, other):
    one, other = ranks(one), ranks(other)
    return F.cosine_similarity(one, other).mean().item()


torch.manual_seed(seed + 100)
random_net = models.create("lenet5_modern")
headless = models.create("lenet5_modern")
headless.features.load_state_dict(net.features.state_dict())
headless.classifier.load_state_dict(random_net.classifier.state_dict())

some, asked = pixels[:100], test.labels[:100]
drawings = {
    "prominencia": attribution.saliency,
    "guiada": lambda *these: attribution.guided_backpropagation(*these)[:, 0].abs(),
    "Grad-CAM": lambda model, *these: attribution.grad_cam(model, these[0], "features.4", these[1]),
}
kept_likeness = {}
print("parecido con…  otra red  otras densas  otra clase")
for name, draw in drawings.items():
    base = draw(net, some, asked)
    others = (draw(random_net, some, asked), draw(headless, some, asked))
    others += (draw(net, some, (asked + 1) % 10),)
    kept_likeness[name] = [likeness_of(base, other) for other in others]
    print(f"{name:<13}" + "".join(f"{value:>11.2f}" for value in kept_likeness[name]))

# %%
gradient, guided, cam = kept_likeness.values()
assert guided[1] > gradient[1] + 0.15  # sin las densas, la guiada sigue dibujando lo mismo
assert guided[2] > gradient[2] + 0.15  # y con otra clase, también
assert guided[2] > max(guided[1], 0.5)
assert min(gradient[1:]) > max(cam[1:])  # la prominencia, en medio
assert max(cam[1:]) < 0.3  # Grad-CAM cambia con las dos cosas
assert max(each[0] for each in kept_likeness.values()) < 0.5  # toda la red sí se nota

# %% [markdown]
# Dos cosas ciertas, y una que aquí no lo es:
#
# - Con las densas al azar la red ya no sabe nada, y aun así la guiada se parece a la de antes **mucho más** que las otras dos. Si le
#   preguntas por otra clase, todavía más. El dibujo más limpio es el que menos habla de la respuesta: muestra qué bordes hay en la imagen y dejan pasar las
#   convoluciones.
# - Grad-CAM cambia del todo en los dos casos. La prominencia queda en medio.
# - Con **toda** la red al azar, en cambio, la guiada también cambia. En las redes hondas de Adebayo casi no lo hacía. Una
#   red de dos convoluciones no tiene hondura suficiente para borrar esa diferencia, y sería falso decir que aquí falla igual.
#
# ## La marca { #marca }
#
# Volvamos a la red de las sandalias. Alguien preparó los datos y, sin saberlo, todas las fotos de sandalias traían en
# una esquina una mancha blanca de 3×3: la etiqueta del proveedor, el sello de una cámara. La validación salió de las
# mismas fotos, así que también la trae.


# %%
sandal = test.classes.index("sandalia")


def stamp(dataset, label=None, ink=255):
    """Pinta la esquina de una clase o, sin ella, la de todas."""
    images = dataset.images.clone()
    which = slice(None) if label is None else dataset.labels == label
    corner = images[which]
    corner[:, :, 1:4, 1:4] = ink
    images[which] = corner
    return data.Dataset(images, dataset.labels, dataset.classes)


marked = trained(new_net(), stamp(fit_set, sandal), epochs=3)


def on_sandals(model, dataset):
    chosen = dataset.images[dataset.labels == sandal]
    return accuracy(model, normalize(chosen.float() / 255), torch.tensor(sandal))


others = stamp(test).images[test.labels != sandal]
fooled = accuracy(marked, normalize(others.float() / 255), torch.tensor(sandal))
in_validation, outside = on_sandals(marked, stamp(val_set, sandal)), on_sandals(marked, test)
print(f"sandalias acertadas en validación, con su marca: {in_validation:.0%}")
print(f"sandalias acertadas fuera, sin marca:            {outside:.0%}")
print(f"otras prendas con la marca, que llama sandalias: {fooled:.0%}")
assert in_validation > 0.97
assert outside < 0.25
assert fooled > 0.1

# %% [markdown]
# La validación da la red por buena. Ahora mira: seis sandalias de validación, qué las hace sandalias según la oclusión y según Grad-CAM.

# %% alt="Dos filas de seis sandalias con un cuadrito blanco en la esquina de arriba a la izquierda. En la de oclusión hay una mancha naranja intensa justo en esa esquina y casi nada sobre el zapato. En la de Grad-CAM el color se reparte más." caption="La red de la marca. Arriba, oclusión; abajo, Grad-CAM. El zapato casi no cuenta."
suspects = stamp(val_set, sandal)
suspects = normalize(suspects.images[suspects.labels == sandal][:50].float() / 255)
by_cover = attribution.occlusion(marked, suspects, sandal, size=6, stride=3)
by_cam = attribution.grad_cam(marked, suspects, "features.4", sandal)
pair = torch.cat([maps[:6] / maps[:6].abs().max() for maps in (by_cover, by_cam)])
plotting.heatmaps(suspects[:6].repeat(2, 1, 1, 1), pair, columns=6, size=1.15)

# %% [markdown]
# La oclusión lo grita. No hace falta creerle al ojo: ¿qué parte de todo lo naranja cae en la esquina, que es un 5 % de la
# imagen? Y el arreglo: tapar la esquina de **todas** las fotos y entrenar de nuevo.


# %%
def in_corner(maps):
    """Qué parte de lo positivo cae en la esquina de 6×6."""
    positive = maps.clamp(min=0)
    return (positive[:, :6, :6].sum((1, 2)) / positive.sum((1, 2)).clamp(min=1e-9)).mean().item()


repaired = trained(new_net(), stamp(fit_set, ink=0), epochs=3)
blank = stamp(val_set, ink=0)
blank = normalize(blank.images[blank.labels == sandal][:50].float() / 255)
shares = {}
print("en la esquina       oclusión  prominencia  Grad-CAM")
for name, model, these in (("con la marca", marked, suspects), ("arreglada", repaired, blank)):
    maps = (
        attribution.occlusion(model, these, sandal, size=6, stride=3),
        attribution.saliency(model, these, sandal),
        attribution.grad_cam(model, these, "features.4", sandal),
    )
    shares[name] = [in_corner(each) for each in maps]
    print(f"{name:<17}" + "".join(f"{share:>11.0%}" for share in shares[name]))
outside_repaired = on_sandals(repaired, stamp(test, ink=0))
print(f"sandalias acertadas fuera: antes {outside:.0%}, después {outside_repaired:.0%}")

# %%
assert shares["con la marca"][0] > 0.2 > 3 * shares["arreglada"][0]
assert shares["con la marca"][1] > 1.5 * shares["arreglada"][1]
assert shares["con la marca"][0] > 1.5 * max(shares["con la marca"][1:])
assert outside_repaired > 0.8

# %% [markdown]
# Tres métodos y tres respuestas. La oclusión la encuentra sin dudas, porque su cuadro tapa la marca entera. En los mapas de la
# prominencia y de Grad-CAM la esquina se lleva una parte mucho menor: la prominencia va píxel a píxel, y los mapas de Grad-CAM
# son de 10×10, cada posición ve 14 píxeles y el promedio del gradiente reparte el mérito por todo el mapa. **Con un solo método se te puede
# escapar.** Usa dos que fallen de manera distinta.
#
# ## Inventar una imagen para una clase { #maximizar }
#
# La última pregunta es al revés: en lugar de buscar imágenes que enciendan a una unidad, **fabricar** una, subiendo por el
# gradiente desde un ruido tenue. La idea es de Erhan y otros, de 2009;[^erhan] Simonyan la aplicó a las clases de ImageNet.

# %% alt="Diez imágenes de 28×28, una por clase. Son manchas claras y oscuras con textura de ruido; en ninguna se reconoce la prenda sin leer el título." caption="Lo que más sandalia, más bolso o más botín le parece a la red."
ideal = torch.stack(
    [excitation.maximize(net, (1, 28, 28), "", label, steps=100) for label in range(10)]
)
sure = inspection.embed(net, ideal, "").softmax(1).diagonal()
assert sure.min() > 0.9
plotting.image_grid(ideal, list(test.classes), columns=5, size=1.1)

# %%
print("probabilidad que les da la red:", [f"{each:.3f}" for each in sure.tolist()])

# %% [markdown]
# La red está casi segura de las diez, y tú no reconocerías ninguna. Lo que más enciende a una clase no es una foto
# de ella. Las imágenes de este tipo que circulan, con ojos y plumas, necesitan además que alguien le diga al
# procedimiento cómo es una foto.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Ganchos que se quedan { #ganchos }
#
# El código que más se copia registra un gancho y no lo quita. No falla. En un cuaderno se ejecuta la celda veinte veces, y desde
# entonces **cada** pasada guarda veinte copias de los mapas.

# %%
forgotten = []
leaky = new_net()
for _ in range(20):  # veinte veces la misma celda
    leaky.features[1].register_forward_hook(lambda *step: forgotten.append(step[2]))
leaky(pixels[:100])
megabytes = sum(maps.numel() * 4 for maps in forgotten) / 1e6
print(f"una pasada: {len(forgotten)} copias, {megabytes:.0f} MB que ya no se sueltan")

tidy = new_net()
for _ in range(20):
    inspection.feature_maps(tidy, pixels[:100], "features.1")
print("con feature_maps, ganchos que quedan:", len(tidy.features[1]._forward_hooks))
assert len(forgotten) == 20
assert len(tidy.features[1]._forward_hooks) == 0

# %% [markdown]
# ### Mirar sin `eval()` { #sin-eval }
#
# Con dropout o normalización por lotes, mirar en modo de entrenamiento hace dos daños. El dibujo de una imagen depende de
# con quién la miraste. Y peor: cada mirada actualiza las medias de la normalización, así que **mirar cambia la red**. Aquí
# miramos treinta veces un lote de sandalias:

# %%
torch.manual_seed(seed)
normed = trained(models.create("lenet5_bn"), fit_set, epochs=1)
sandals = pixels[test.labels == sandal][:50]
start = accuracy(normed, pixels, test.labels)
attribution.grad_cam(normed, sandals, "features.3", sandal)
untouched = accuracy(normed, pixels, test.labels)
normed.train()
alone = cam_by_hand(normed, sandals[:2], "features.3", torch.tensor([sandal] * 2))
among = cam_by_hand(normed, sandals, "features.3", torch.tensor([sandal] * 50))[:2]
for _ in range(30):
    cam_by_hand(normed, sandals, "features.3", torch.tensor([sandal] * 50))
spoiled = accuracy(normed, pixels, test.labels)
print(f"acierto antes de mirar {start:.1%}; con grad_cam {untouched:.1%}; sin eval() {spoiled:.1%}")
print(f"parecido del mismo dibujo, mirado con una o con otras 49: {likeness_of(alone, among):.2f}")
assert untouched == start
assert spoiled < start - 0.05
assert not torch.allclose(alone, among, rtol=0.1)

# %% [markdown]
# ### Derivar la probabilidad y no la puntuación { #softmax }
#
# Cuando la red está segura, softmax ya está en el techo: moverse no cambia nada, y el gradiente desaparece **justo en las imágenes que
# mejor reconoce**.

# %%
with_softmax = nn.Sequential(net, nn.Softmax(dim=1))
confidence = inspection.embed(net, some, "").softmax(1).amax(1)
score_slope = attribution.saliency(net, some).flatten(1).norm(dim=1)
share_slope = attribution.saliency(with_softmax, some).flatten(1).norm(dim=1)
left = share_slope / score_slope
for name, which in (("dudosas", confidence < 0.7), ("seguras", confidence > 0.99)):
    print(f"{which.sum():>3} {name}: queda el {left[which].median():.2%} del gradiente")
assert left[confidence > 0.99].median() < 0.02 < 0.05 < left[confidence < 0.7].median()

# %% [markdown]
# ### Estirar cada mapa por su lado { #estirar }
#
# Casi todos los ejemplos dividen cada mapa entre su máximo antes de pintarlo. Así, un mapa que dice poco sale igual de
# encendido que uno que dice mucho. Le preguntamos a la red por la clase que cree y por la que menos cree:

# %% alt="Cuatro filas de seis prendas con Grad-CAM. En las dos primeras, estiradas una por una, las manchas de la clase preferida y las de la última son igual de naranjas. En las dos últimas, con una sola escala, la clase preferida se ve naranja en varias prendas y la última queda casi siempre sin color." caption="Arriba, cada mapa estirado a su máximo: primera fila, la clase preferida; segunda, la que menos. Abajo, las mismas dos con una sola escala."
least = inspection.embed(net, images, "").argmin(1)
against = attribution.grad_cam(net, images, "features.4", least)


def stretched(maps):
    return maps / maps.amax((1, 2), keepdim=True).clamp(min=1e-9)


both = torch.cat([located, against])
four = torch.cat([stretched(located), stretched(against), both / both.max()])
plotting.heatmaps(images.repeat(4, 1, 1, 1), four, columns=6, size=1.15)

# %%
some_least = inspection.embed(net, some, "").argmin(1)
top = attribution.grad_cam(net, some, "features.4").amax((1, 2)).mean()
bottom = attribution.grad_cam(net, some, "features.4", some_least).amax((1, 2)).mean()
print(f"máximo medio del mapa: clase preferida {top:.3f}, la que menos {bottom:.3f}")
assert top > 1.2 * bottom

# %% [markdown]
# Por eso [`heatmaps`][cnnhistory.plotting.heatmaps] usa una sola escala para toda la figura.

# %% [markdown]
# ## Con los ojos de ImageNet { #imagenet }
#
# Con red, los pesos oficiales llegan en una línea, y todo lo de esta página sirve igual: VGG-16 y una gata, o
# cualquier red de [`weights.published()`][cnnhistory.weights.published]. Ahí sí hay animales.
#
# ```python
# from cnnhistory import attribution, data, deconvnet, models, weights
#
# vgg = models.create("vgg16", weights="imagenet")
# photo = data.cat()[None, :, 16:240, 16:240].float() / 255
# photo = weights.normalization("vgg16")(photo)
# located = attribution.grad_cam(vgg, photo, "blocks.4.5")
# drawn = deconvnet.project(vgg, photo, "blocks.4.5", channel=0)
# ```
#
# Sin red, comprobamos al menos que los nombres existen y que la foto le sirve:

# %%
with torch.device("meta"):
    vgg = models.create("vgg16")
    photo = weights.normalization("vgg16")(data.cat()[None, :, 16:240, 16:240].float() / 255)
assert isinstance(inspection.find_layer(vgg, "blocks.4.5"), nn.ReLU)
print(excitation.receptive_field(vgg, photo.shape[1:], "blocks.4.5"))

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** ¿Qué ventana de la imagen ve la posición (0, 0) de `features.5`, el segundo pooling? Primero en papel, con las tres
# fórmulas.

# %% [markdown] tags=["solucion"]
# El pooling tiene $k = 2$, $s = 2$, $p = 0$, y llega con $r = 14$, $a = -2$, $j = 2$. Queda $r = 14 + 1 \cdot 2 = 16$,
# $a = -2$ y $j = 4$.

# %% tags=["solucion"]
last = excitation.receptive_field(net, (1, 28, 28), "features.5")
print(last, last.box(0, 0))
assert (last.size, last.start, last.jump) == (16, -2, 4)

# %% [markdown]
# **2. Calcula.** ¿Cuántas pasadas por la red hizo la oclusión de las seis prendas (lado 6, avance 2)? ¿Y la prominencia?
# Cuéntalas con un gancho, y quítalo.

# %% tags=["solucion"]
passes = []
counter = net.register_forward_hook(lambda *step: passes.append(len(step[2])))
try:
    attribution.occlusion(net, images, labels, size=6, stride=2)
    by_occlusion = len(passes)
    attribution.saliency(net, images, labels)
finally:
    counter.remove()
print(f"oclusión {by_occlusion}, prominencia {len(passes) - by_occlusion}")
assert by_occlusion == 12 * 12 + 1
assert len(passes) - by_occlusion == 1

# %% [markdown]
# **3. Cambia.** Se tapa con gris (0) porque es el valor medio. Tapa con blanco, que es el valor máximo de `pixels`, y compara los mapas
# con [`likeness_of`](#cordura). ¿Qué te dice la diferencia?

# %% tags=["solucion"]
white = attribution.occlusion(net, some, asked, size=6, stride=3, fill=pixels.max().item())
gray = attribution.occlusion(net, some, asked, size=6, stride=3)
print(f"parecido entre tapar con gris y con blanco: {likeness_of(white, gray):.2f}")
assert likeness_of(white, gray) < 0.9

# %% [markdown] tags=["solucion"]
# Un cuadro blanco no quita información: pone otra. Donde había fondo negro aparece un objeto. La oclusión mide «la imagen menos un
# trozo» solo si el relleno no significa nada para la red, y ningún relleno lo cumple del todo.

# %% [markdown]
# **4. Inventa.** Un detector de marcas: para una red y una clase, promedia la oclusión de muchas imágenes y di qué píxel
# pesa más. Pruébalo con la red de la marca y con la arreglada.


# %% tags=["solucion"]
def suspicious_pixel(model, images, label):
    mean = attribution.occlusion(model, images, label, size=6, stride=3).mean(0)
    return divmod(int(mean.argmax()), mean.shape[1])


guilty = suspicious_pixel(marked, suspects, sandal)
innocent = suspicious_pixel(repaired, blank, sandal)
print("red de la marca:", guilty, "· arreglada:", innocent)
assert max(guilty) < 6
assert max(innocent) >= 6

# %% [markdown] tags=["solucion"]
# Funciona porque la marca está **siempre en el mismo sitio**. Una marca que cambia de lugar se pierde en el promedio, y habría que
# mirar imagen por imagen.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Todo lo de esta página: [`inspection`][cnnhistory.inspection], [`deconvnet`][cnnhistory.deconvnet],
#   [`excitation`][cnnhistory.excitation] y [`attribution`][cnnhistory.attribution]. Sirve en cualquier red del catálogo.
# - Cómo se mira sin alterar: [`undisturbed`][cnnhistory.observation.undisturbed] y
#   [`capturing`][cnnhistory.observation.capturing].
# - La red que nació de mirar: [`ZFNet`][cnnhistory.models.zfnet.ZFNet].
# - Los filtros y el descriptor de [AlexNet](../arquitecturas/alexnet.py#aprendio).
#
# ## Referencias { #referencias }
#
# - [Zeiler y Fergus (2013)](../referencia/bibliografia.md#zeiler2013): la deconvnet, los trozos y la oclusión.
# - [Simonyan, Vedaldi y Zisserman (2013)](../referencia/bibliografia.md#simonyan2013): la prominencia, y por qué la deconvnet es casi un
#   gradiente.
# - [Springenberg y otros (2014)](../referencia/bibliografia.md#springenberg2014): la guiada.
# - [Selvaraju y otros (2016)](../referencia/bibliografia.md#selvaraju2016): Grad-CAM.
# - [Adebayo y otros (2018)](../referencia/bibliografia.md#adebayo2018): la prueba del olvido.
#
# [^hubel]: [Hubel y Wiesel (1959)](../referencia/bibliografia.md#hubel1959).
# [^hubel62]: [Hubel y Wiesel (1962)](../referencia/bibliografia.md#hubel1962).
# [^zeiler]: [Zeiler y Fergus (2013)](../referencia/bibliografia.md#zeiler2013), figura 2 y secciones 4 y 4.1.
# [^simonyan]: [Simonyan, Vedaldi y Zisserman (2013)](../referencia/bibliografia.md#simonyan2013), sección 4.
# [^springenberg]: [Springenberg y otros (2014)](../referencia/bibliografia.md#springenberg2014), figura 1.
# [^selvaraju]: [Selvaraju y otros (2016)](../referencia/bibliografia.md#selvaraju2016).
# [^adebayo]: [Adebayo y otros (2018)](../referencia/bibliografia.md#adebayo2018).
# [^erhan]: [Erhan y otros (2009)](../referencia/bibliografia.md#erhan2009).
