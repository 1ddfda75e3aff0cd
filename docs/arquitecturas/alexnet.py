# %% [markdown]
# # AlexNet (2012): aprender a ver con un millón de fotos
#
# En 1998, [LeNet-5](lenet-5.py) ya leía cheques. En 2012, una red hecha con las mismas piezas ganó
# ImageNet por unos diez puntos y jubiló a toda una manera de trabajar. Entre las dos pasaron catorce años.
#
# Si las piezas eran las mismas, ¿qué faltaba? La respuesta fácil es «datos y tarjetas gráficas».
# Es verdad a medias. Con los datos y las tarjetas en la mano, una LeNet agrandada se rompe por tres
# lados: **no aprende, memoriza y no cabe**. AlexNet es la lista de los tres arreglos. En esta página
# los construyes uno por uno, compruebas que el código es la red del artículo, y mides cuáles de ellos
# se notan cuando los datos son pocos.
#
# <!-- generado: ficha alexnet -->

# %% [markdown]
# ## Dos tarjetas de videojuegos y un millón de fotos { #historia }
#
# ### Lo que se creía { #se-creia }
#
# En 2011 un sistema de visión tenía dos mitades. La primera describía la foto con medidas inventadas
# por personas, como [SIFT](../referencia/bibliografia.md#lowe2004) y los
# [vectores de Fisher](../referencia/bibliografia.md#perronnin2010). La segunda, un clasificador lineal,
# era la única que aprendía. El progreso venía de la primera mitad. Las redes convolucionales existían
# y eran imbatibles con dígitos, pero eso era un problema pequeño: 60 mil imágenes limpias de 28×28,
# frente a más de un millón de fotos de cualquier cosa, en mil clases.
#
# ### Quién lo cambió { #quien }
#
# Alex Krizhevsky, Ilya Sutskever y Geoffrey Hinton, de la Universidad de Toronto, se presentaron a la
# competencia de 2012 con el nombre de SuperVision. Esto es lo que publicaron los organizadores, más la
# fila que da el [artículo](../referencia/bibliografia.md#krizhevsky2012):

# %% tags=["oculto"]
from cnnhistory import ilsvrc

print(f"{'equipo':<13} {'error top-5':>11}  redes  datos          medido en")
for result in ilsvrc.results(2012):
    networks = str(result.models or "—")
    extra = "y otros" if result.extra_data else "del desafío"
    where = "prueba" if result.is_official else "validación"
    print(f"{result.team:<13} {result.top5_error:>10.3f}%  {networks:^5}  {extra:<13}  {where}")

# %% [markdown]
# Las tres primeras filas son la misma red, y por eso verás dos cifras para «el error de AlexNet». La
# menor promedia siete redes, dos de ellas entrenadas antes con fotos que los demás no usaron. La
# segunda promedia cinco, solo con los datos del desafío: es la que conviene comparar con otros años.
# Y una sola red, sin promediar nada, ya dejaba atrás al segundo. [La carrera](../historia/la-carrera.py#2012)
# cuenta qué significó ese salto.
#
# ### Con qué { #con-que }
#
# Con dos tarjetas de videojuegos, dos GTX 580 de 3 GB de memoria cada una. Con 1 281 167 fotos
# etiquetadas, recorridas unas noventa veces, lo que tomó entre cinco y seis días. Y con un programa.
# CUDA, el lenguaje para calcular en esas tarjetas, ya tenía unos años; lo que no había era una
# biblioteca de convoluciones que instalar. Krizhevsky escribió la suya y la publicó: se llamó
# *cuda-convnet*. Por eso otros pudieron repetir el resultado al año siguiente.
#
# ¿Cuánto más grande que LeNet-5 es lo que entrenaron ahí? Se puede calcular.

# %%
from cnnhistory import inspection, plotting
from cnnhistory.models import CATALOG

before, after = CATALOG["lenet5"], CATALOG["alexnet"]
print(f"parámetros:              × {after.parameters / before.parameters:.0f}")
print(f"operaciones por imagen:  × {after.macs / before.macs:.0f}")
print(f"imágenes para entrenar:  × {1_281_167 / 60_000:.0f}")

# %% [markdown]
# Mira la primera línea y la última. La red creció mucho más que los datos: unas cincuenta veces más.
# Ahí está escrito el problema. Una red con sesenta millones de parámetros tiene de sobra dónde
# aprenderse de memoria un millón de fotos.

# %% [markdown]
# ## La idea: que aprenda, que no memorice y que quepa { #idea }
#
# ### Que aprenda: la neurona equivocada y muy segura { #relu }
#
# Una neurona recibe un 1, lo multiplica por su peso $w$ y aplica una activación. Debería responder 0.
# Por mala suerte su peso vale 3. Está equivocada y, con la tangente hiperbólica que usaba LeNet, además
# está *muy segura*: $\tanh(3) = 0.995$, pegada a su techo.
#
# Haz la cuenta del primer paso. El gradiente del error $\tfrac{1}{2}y^2$ es el error por la pendiente de
# la activación. Para tanh, la pendiente en 3 es $1 - 0.995^2 \approx 0.01$: la corrección se encoge cien
# veces antes de llegar al peso. Para ReLU, $\max(0, w)$, la pendiente es 1 y la corrección llega entera.

# %%
import torch
from torch.nn import functional as F


def steps_to_learn(activation, weight=3.0, lr=0.5):
    """Pasos de descenso hasta que la neurona que debe responder 0 baja de 0.1."""
    steps = 0
    while True:
        w = torch.tensor(weight, requires_grad=True)
        output = activation(w)
        if output.abs() < 0.1:
            return steps
        (output**2 / 2).backward()
        weight, steps = weight - lr * w.grad.item(), steps + 1


patience = {f.__name__: steps_to_learn(f) for f in (torch.tanh, torch.relu)}
print("pasos:", patience)
assert patience["relu"] == 5  # 3 → 1.5 → 0.75 → 0.375 → 0.1875 → 0.09375
assert patience["tanh"] > 20 * patience["relu"]

# %% [markdown]
# A la de ReLU puedes seguirla con lápiz: cada paso la deja en la mitad. La de tanh pasa casi todo el
# tiempo quieta, saturada: está tan lejos de la verdad que ya no siente el error.
#
# Ahora apila capas. La corrección se multiplica por la pendiente de cada una que atraviesa (y por los pesos,
# que aquí dejamos en 1). Con una entrada de 2 en todas, que ni siquiera es exagerado:

# %%
print("capas   pendiente con tanh   con ReLU")
for layers in (1, 2, 4, 8):
    slope = 1 - torch.tanh(torch.tensor(2.0)) ** 2
    print(f"{layers:>5}   {slope**layers:>18.2g}   {1.0**layers:>8.0f}")

# %% [markdown]
# Ocho son las capas de AlexNet. ReLU no es gratis: si la entrada es negativa, su pendiente es 0, y una
# neurona que siempre reciba negativos no se mueve nunca más. Por eso el artículo hace nacer con un 1 los
# sesgos de varias capas: para que arranquen encendidas. Lo verás en el código.
#
# ### Que resuma sin perder: pooling con traslape { #traslape }
#
# LeNet resumía cada cuadrito de 2×2 sin pisar el siguiente. AlexNet usa ventanas de 3×3 que avanzan de 2
# en 2: comparten una fila y una columna. En una dimensión se ve de un vistazo.

# %%
row = torch.tensor([[1.0, 0, 9, 2, 0, 3, 4]])
apart = F.max_pool1d(row, kernel_size=2, stride=2)
overlapped = F.max_pool1d(row, kernel_size=3, stride=2)
print("fila:        ", row[0].int().tolist())
print("sin traslape:", apart[0].int().tolist())
print("con traslape:", overlapped[0].int().tolist())
assert overlapped.tolist() == [[9, 9, 4]]
assert apart.tolist() == [[1, 9, 3]]

# %% [markdown]
# El 9 cae en la frontera y dos ventanas lo ven: si se corriera un lugar, el resumen cambiaría menos. Y el
# último 4, que sin traslape quedaba fuera, ahora cuenta. Es un detalle, y el artículo lo vende como
# detalle: cuatro décimas menos de error top-1.
#
# ### Que compitan: la normalización de respuesta local { #lrn }
#
# En la misma posición de la foto, cada canal mira a sus dos vecinos de cada lado y se divide según
# cuánto gritan entre todos:
#
# $$ b_i = \frac{a_i}{\left(2 + 10^{-4} \sum_{j=i-2}^{i+2} a_j^2\right)^{0.75}} $$
#
# Cinco canales, y nos fijamos en el del medio. Los cuadrados suman 7400; la división es entre
# $2.74^{0.75}$.

# %%
loud = torch.tensor([10.0, 20, 80, 20, 10])
for name, a in (
    ("tal cual", loud),
    ("vecinos en 0", loud * (loud == 80)),
    ("todo ÷ 100", loud / 100),
):
    divisor = (2 + 1e-4 * a.square().sum()) ** 0.75
    print(f"{name:<13} {a[2]:>5g} ÷ {divisor:.3f} = {a[2] / divisor:.3f}")
assert abs(divisor - 2**0.75) < 1e-3  # con números pequeños, la suma ya no pinta nada

# %% [markdown]
# La tercera línea dice algo que casi ninguna explicación cuenta. El $10^{-4}$ es tan pequeño que los
# vecinos solo pesan si las activaciones llegan a las decenas. En AlexNet llegaban: a sus fotos solo se les
# restaba la media, así que entraban píxeles de −128 a 128. Hoy las imágenes se normalizan a valores
# cercanos a 1, y entonces la LRN es dividir todo entre 1.68. Recuérdalo cuando la midamos.
#
# ### Que no memorice: dropout { #dropout }
#
# En cada paso del entrenamiento, cada neurona de las capas densas se apaga al azar con probabilidad 0.5.
# Nadie puede confiar en que un compañero concreto esté. Las que quedan se multiplican por 2, para que la
# suma que esperan las de arriba sea la misma.

# %%
SEED = 0
torch.manual_seed(SEED)
neurons = torch.ones(8)
draws = torch.stack([F.dropout(neurons, p=0.5) for _ in range(10_000)])
for draw in draws[:3]:
    print(draw.int().tolist(), "  suma:", int(draw.sum()))
print(f"media de {len(draws)} sumas: {draws.sum(1).mean():.2f}")
assert abs(draws.sum(1).mean() - 8) < 0.2

# %% [markdown]
# En promedio nada cambia; en cada paso, todo. Con 8 neuronas hay $2^8$ redes distintas que comparten
# pesos. Con las 4096 de AlexNet el número no cabe en esta línea. Entrenar con dropout se parece a
# entrenarlas todas un poco, y usar la red sin dropout, a promediarlas.[^escala]
#
# A esto AlexNet le sumó [aumentación](../tecnicas/aumentacion.py#historia): recortes de 224×224 al azar, reflejos y cambios de color, para que
# la red no viera dos veces la misma foto.
#
# ### Que quepa: dos torres { #torres }
#
# La red se parte por la mitad, a lo largo. Cada tarjeta guarda la mitad de los canales y trabaja con
# los suyos. Como pasar datos de una a otra es lento, solo se hablan donde más rinde: en la tercera
# convolución y en las capas densas. Eso tiene un nombre moderno, convolución en grupos, y un regalo: si cada
# filtro mira la mitad de los canales, tiene la mitad de los pesos.

# %%
import math

from torch import nn

with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    conv2 = {groups: nn.Conv2d(96, 256, kernel_size=5, groups=groups) for groups in (1, 2)}
for groups, layer in conv2.items():
    print(f"groups={groups}: pesos {tuple(layer.weight.shape)}, {layer.weight.numel()} en total")
assert conv2[1].weight.numel() == 2 * conv2[2].weight.numel()

# %% alt="Dos dibujos de la segunda convolución. En una torre, una sola caja de 256 filtros de 5×5 recibe todos los mapas. En dos torres, la entrada se parte en dos caminos; en cada uno, una caja de 128 filtros de 5×5 y su pooling; los dos se juntan al final." caption="La segunda convolución, entera y partida. Cada camino es una tarjeta: recibe la mitad de los mapas y no sabe nada de la otra mitad hasta la tercera convolución."
plotting.blocks(
    {
        "una torre": plotting.Block([["convolución 5×5, 256", "pooling 3×3/2"]]),
        "dos torres": plotting.Block(
            [["convolución 5×5, 128", "pooling 3×3/2"]] * 2, merge="concatenar"
        ),
    }
)

# %% [markdown]
# ## El código: la red de dos tarjetas { #codigo }
#
# Esto no es una versión para la página: es el archivo del paquete, que se copia aquí al construirla. Primero
# la única pieza que PyTorch no trae tal como la escribe el artículo.

# %% tags=["fuente"]
from cnnhistory.models.alexnet import LocalResponseNorm

# %%
maps = torch.rand(2, 96, 55, 55)
assert LocalResponseNorm()(maps).shape == maps.shape
middle = LocalResponseNorm()(loud.view(1, 5, 1, 1))[0, 2].item()
print(f"el canal del medio, el de antes: {middle:.3f}")
assert abs(middle - 80 / 2.74**0.75) < 1e-4

# %% [markdown]
# Y la red. Léela con la lista en la mano: ReLU tras cada capa, LRN en las dos primeras, pooling 3 con paso
# 2, `groups=2` donde las torres no se hablan, dropout en las densas.

# %% tags=["fuente"]
from cnnhistory.models.alexnet import AlexNet

# %%
with torch.device("meta"):
    alexnet, single_tower = AlexNet(), AlexNet(groups=1)
table = inspection.shape_table(alexnet, (3, 227, 227))
table

# %% alt="AlexNet dibujada como bloques apilados, de la foto de 227×227 arriba a las mil clases abajo. Los mapas se estrechan en tres saltos, de 55 a 27, de 27 a 13 y de 13 a 6, y engordan de 3 a 384 canales; después siguen dos capas densas de 4096 y la salida. Un corchete bajo cada bloque, lo que ve una posición, se ensancha de 11 píxeles en la primera convolución a 195 en el último mapa, y a la foto entera en las densas." caption="El viaje de una foto por AlexNet. El ancho de cada bloque crece con la raíz del lado del mapa, y el grosor, con el logaritmo de sus canales: la misma escala en todas las redes. A la derecha, la forma y los parámetros de cada capa."
plotting.data_flow(table, (3, 227, 227))

# %% [markdown]
# ### ¿Es la del artículo? Las cuentas { #cuentas }
#
# El artículo redondea: 60 millones de parámetros y 650 mil neuronas. Contemos los nuestros, y los de las
# otras dos redes que circulan con el mismo nombre: la de una sola torre, que se usa cuando la memoria ya
# no es problema, y la de torchvision, que viene de
# [otro artículo](../referencia/bibliografia.md#krizhevsky2014) de Krizhevsky, de 2014.

# %%
from cnnhistory import models

with torch.device("meta"):
    counts = {
        name: inspection.count_parameters(models.create(name))
        for name in ("alexnet", "alexnet_single", "alexnet_owt")
    }
for name, count in counts.items():
    print(f"{models.CATALOG[name].label:<24} {inspection.thousands(count):>10}")
neurons = sum(math.prod(row.output_shape) for row in table if row.parameters)
print(f"{'neuronas de la primera':<24} {inspection.thousands(neurons):>10}")
assert counts == {"alexnet": 60_965_224, "alexnet_single": 62_378_344, "alexnet_owt": 61_100_840}
assert round(neurons, -4) == 660_000

# %% [markdown]
# Los parámetros cuadran. Las neuronas, casi: el artículo redondea a 650 mil y no dice cómo las contó.
#
# ¿Y dónde están los parámetros? Casi ninguno, en las convoluciones.

# %%
dense = [layer for layer in single_tower.modules() if isinstance(layer, nn.Linear)]
dense_count = sum(inspection.count_parameters(layer) for layer in dense)
link = dense[0].weight.numel()
total = inspection.count_parameters(single_tower)
dense_macs = sum(row.macs for row in table if row.kind == "Linear")
print(f"capas densas:     {dense_count / total:.1%} de los parámetros de la red de una torre")
print(
    f"                  {dense_macs / sum(row.macs for row in table):.1%} de las operaciones de la de dos"
)
print(f"solo 9216 × 4096: {link / 1e6:.1f} millones")
print(f"memoria:          {4 * dense_count / 1e6:.1f} MB en float32, para las tres densas")
assert link == 9216 * 4096
assert round(100 * dense_count / total, 1) == 94.0
assert 234e6 < 4 * dense_count < 235e6

# %% [markdown]
# Grábate esa asimetría, porque manda en los cinco años siguientes. **Los parámetros están en las capas
# densas y el cálculo en las convoluciones.** Un solo enlace, el que une el último mapa con la primera capa
# densa, pesa más que todo lo demás. [GoogLeNet](googlenet.py) se quitará las densas casi
# por completo. Y una aclaración: se lee a menudo que esas capas ocupan «casi 1 GB». Ya ves que no. Ni
# siquiera al entrenar, con el gradiente y el momento, se llega: son tres copias.
#
# ### ¿224 o 227? { #227 }
#
# El artículo dice que las fotos entran de 224×224 y dibuja un primer mapa de 55×55. Prueba con un filtro
# de 11 que avanza de 4 en 4:

# %%
for side, padding in ((224, 0), (227, 0), (224, 2)):
    exact = (side + 2 * padding - 11) / 4 + 1
    with torch.device("meta"):
        conv1 = nn.Conv2d(3, 96, kernel_size=11, stride=4, padding=padding)
        real = conv1(torch.empty(1, 3, side, side)).shape[-1]
    print(f"lado {side}, relleno {padding}: {exact:<5} posiciones → PyTorch da {real}")
    assert real == math.floor(exact)

# %% [markdown]
# Con 224 no sale: sobran píxeles y queda un mapa de 54. Salen 55 con 227, que es lo que hicieron casi todas
# las réplicas, o con 224 y un relleno de 2, que es lo que hace torchvision. Aquí usamos 227. Es una
# errata de hace más de diez años que aún hace perder tardes.

# %% [markdown]
# ## Prueba de fidelidad: tres comparaciones { #fidelidad }
#
# Contar parámetros no basta: dos redes distintas pueden tener los mismos. Comparamos resultados.
#
# ### Contra dos torres de verdad { #dos-torres }
#
# ¿Es cierto que `groups=2` hace la misma cuenta que dos tarjetas? Escribamos las dos tarjetas: dos listas
# de mapas que van por separado, con los mismos pesos cortados por la mitad, y que solo se juntan en conv3
# y al llegar a las densas.


# %%
def half(tensor, tower):
    """La mitad de los canales que guarda cada tarjeta."""
    return tensor.chunk(2)[tower]


@torch.inference_mode()
def two_cards(net, x, normalize):
    """AlexNet, con cada torre en su tarjeta."""
    towers = [x, x]  # las dos ven la foto entera
    for index, layer in enumerate(net.features):
        if isinstance(layer, nn.Conv2d):
            if index == 8:  # conv3: aquí las tarjetas se hablan
                towers = [torch.cat(towers, 1)] * 2
            towers = [
                F.conv2d(t, half(layer.weight, k), half(layer.bias, k), layer.stride, layer.padding)
                for k, t in enumerate(towers)
            ]
        elif isinstance(layer, LocalResponseNorm):
            towers = normalize(layer, towers)
        else:
            towers = [layer(tower) for tower in towers]
    return net.classifier(torch.cat(towers, 1))


torch.manual_seed(SEED)
alexnet = AlexNet().eval()
photos = torch.randint(-128, 128, (2, 3, 227, 227)).float()  # la escala del artículo
with torch.inference_mode():
    logits = alexnet(photos)

own_maps = two_cards(alexnet, photos, lambda lrn, towers: [lrn(tower) for tower in towers])
all_maps = two_cards(alexnet, photos, lambda lrn, towers: lrn(torch.cat(towers, 1)).chunk(2, 1))
scale = logits.std()
print(f"LRN con los mapas de su tarjeta: {(own_maps - logits).abs().max() / scale:.0e}")
print(f"LRN con los mapas de las dos:    {(all_maps - logits).abs().max() / scale:.0e}")

# %% [markdown]
# Son diferencias relativas al tamaño de los logits. La segunda es cero, o redondeo. La primera no.
#
# La LRN mira dos canales a cada lado. En la costura entre las torres, la red con grupos mira al otro lado, y
# una tarjeta de 2012 no podía sin pedir los datos. El artículo no aclara qué hacía ahí; dice en qué
# capas se hablaban las tarjetas, y la LRN no está entre ellas. La nuestra, como la de Caffe, cruza la
# costura. Afecta a cuatro canales de cada LRN y ya sabes cuánto cambia el resultado. Salvo por eso, `groups=2`
# **es** la red de dos tarjetas.

# %%
assert (all_maps - logits).abs().max() < 1e-4 * scale
assert 1e-5 * scale < (own_maps - logits).abs().max() < 1e-2 * scale

# %% [markdown]
# ### Contra torchvision y contra PyTorch { #torchvision }
#
# La AlexNet que casi todo el mundo ha usado es la de torchvision. Le damos sus pesos a la nuestra y les
# enseñamos las mismas imágenes. Y la LRN, contra la de PyTorch, que divide el coeficiente entre el tamaño
# de la vecindad; por eso aquí se le pasa multiplicado por 5.

# %%
from torchvision.models import alexnet as torchvision_alexnet

del alexnet
reference = torchvision_alexnet(weights=None).eval()
ours = models.create("alexnet_owt").eval()
ours.load_state_dict(reference.state_dict())
with torch.inference_mode():
    images = torch.randn(2, 3, 224, 224)
    expected = reference(images)
    difference = (ours(images) - expected).abs().max() / expected.std()

lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
lrn_difference = (LocalResponseNorm()(100 * maps) - lrn(100 * maps)).abs().max()
print(f"logits, contra torchvision: {difference:.0e}")
print(f"LRN, contra PyTorch:        {lrn_difference:.0e} (las entradas llegan a 100)")
assert difference < 1e-4
assert lrn_difference < 1e-3
del reference, ours

# %% [markdown]
# ## Entrenamiento: gana la LeNet-5 moderna { #entrenamiento }
#
# La AlexNet del artículo no cabe en una página: ni en tiempo ni en memoria. La `AlexNetMini` lleva cada una de
# sus ideas a imágenes de 28×28 y diez clases: cinco convoluciones y tres densas, ReLU, pooling con traslape,
# LRN, dos torres y dropout. Su ficha dice en qué se aparta.
#
# <!-- generado: ficha alexnet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.alexnet import AlexNetMini

# %%
assert AlexNetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %% [markdown]
# La entrenamos con 4000 imágenes de Fashion-MNIST, y a su lado, con los mismos lotes, épocas y receta, la
# LeNet-5 moderna: ReLU también, dos convoluciones, sin dropout.

# %%
from cnnhistory import data, training

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=SEED)
train = train[:4000]
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)


def train_here(build):
    torch.manual_seed(SEED)
    model = build()
    batches = data.Batches(train, 32, shuffle=True, seed=SEED, transform=normalize)
    return model, training.train(model, batches, val_batches, epochs=3, lr=0.03)


alexnet_mini, history = train_here(AlexNetMini)

# %%
lenet, lenet_history = train_here(lambda: models.create("lenet5_modern"))

# %% alt="Dos gráficos de la AlexNet mini en tres épocas. A la izquierda, la pérdida de entrenamiento baja y se mantiene siempre por encima de la de validación. A la derecha, el acierto en validación sube en cada época." caption="La AlexNet mini. La pérdida de entrenamiento queda por encima de la de validación: se mide con la mitad de las neuronas densas apagadas."
plotting.curves(history, "AlexNet mini")

# %%
scores = training.evaluate(alexnet_mini, test_batches)
lenet_scores = training.evaluate(lenet, test_batches)
print("                 pérdida al entrenar  en validación  acierto en prueba")
for name, past, metrics in (
    ("AlexNet mini", history, scores),
    ("LeNet-5 moderna", lenet_history, lenet_scores),
):
    print(
        f"{name:<16} {past[-1].train_loss:>19.3f}  {past[-1].val_loss:>13.3f}  {metrics.top1:>16.1%}"
    )

# %% tags=["tiempos"]
print(f"AlexNet mini: {history[-1].images_per_second:.0f} imágenes por segundo")
print(f"LeNet-5:      {lenet_history[-1].images_per_second:.0f} imágenes por segundo")

# %% [markdown]
# AlexNet mini perdió. La idea que ganó ImageNet queda detrás de un plano de 1998 puesto al día, y encima es varias veces más lenta. No lo
# escondemos, porque enseña más que una victoria.
#
# Mira las dos columnas de pérdida. LeNet-5 falla casi lo mismo en lo que vio que en lo que no: con más vueltas
# empezaría a memorizar. AlexNet mini está lejos de eso: su pérdida al entrenar es *mayor*. Dropout le apaga la
# mitad de cada capa densa, y con tan pocas vueltas no le sobra nada que memorizar. Le pusimos un freno a quien
# no corría. Los autores daban noventa vueltas a más de un millón de fotos; ahí el freno salva.
#
# La lección vale para todo este sitio: **una arquitectura no es mejor en abstracto**. Es mejor para una
# cantidad de datos y de cálculo. En Fashion-MNIST el progreso no es cronológico.
#
# <!-- generado: grabada alexnet_mini -->

# %%
assert scores.top1 > 0.7  # aprende
assert lenet_scores.top1 > scores.top1  # y pierde
assert history[-1].train_loss > history[-1].val_loss  # frenada
assert lenet_history[-1].train_loss < 1.05 * lenet_history[-1].val_loss  # sin freno

# %% [markdown]
# ¿En qué se equivoca? Estos son los cinco errores de los que está más segura.

# %% alt="Cinco prendas en blanco y negro, cada una con lo que era y lo que dijo la red: casi todas, calzado que tomó por otro calzado." caption="Arriba de cada una, lo que era y lo que dijo la red, entre paréntesis."
alexnet_mini.eval()
with torch.inference_mode():
    probabilities = torch.cat([alexnet_mini(x).softmax(1) for x, _ in test_batches])
confidence, said = probabilities.max(1)
wrong = (said != test.labels).nonzero().squeeze(1)
worst = wrong[confidence[wrong].argsort(descending=True)[:5]]
plotting.image_grid(
    test.images[worst],
    [f"{test.classes[test.labels[i]]}\n({test.classes[said[i]]})" for i in worst],
    columns=5,
    size=1.3,
)

# %% [markdown]
# ## Los experimentos del artículo, en pequeño { #experimentos }
#
# La figura 1 del artículo es su argumento más citado: una red de cuatro capas con ReLU llega a un 25 % de error
# de entrenamiento, en CIFAR-10, seis veces más rápido que la misma con tanh. Repitámosla con una red de
# cuatro capas y la tasa que mejor le va a cada activación, como hicieron ellos. De paso quitamos y ponemos
# las demás piezas, una a la vez. Y cada cosa tres veces, con tres semillas, porque con una sola no se puede
# distinguir una mejora de la suerte.


# %%
def small_net(
    activation=nn.ReLU, window=3, normalization=nn.Identity, dropout=0.0, groups=1, maps=(6, 16)
):
    """Cuatro capas con pesos; los argumentos son lo que se prueba."""
    first, second = maps
    side = {3: 6, 2: 7}[window]
    net = nn.Sequential(
        *(nn.Conv2d(1, first, 5, padding=2), activation()),
        *(nn.MaxPool2d(window, 2), normalization()),
        *(nn.Conv2d(first, second, 5, padding=2, groups=groups), activation()),
        *(nn.MaxPool2d(window, 2), normalization()),
        *(nn.Flatten(), nn.Dropout(dropout), nn.Linear(second * side * side, 64), activation()),
        nn.Linear(64, 10),
    )
    for layer in net:
        if isinstance(layer, nn.Conv2d | nn.Linear):
            # He para ReLU; para tanh, lo mismo sin el √2: cada una nace con la señal sana.
            nonlinearity = "relu" if activation is nn.ReLU else "linear"
            nn.init.kaiming_normal_(layer.weight, nonlinearity=nonlinearity)
            nn.init.zeros_(layer.bias)
    return net


variants = {
    "base": {},
    "tanh": {"activation": nn.Tanh},
    "sin traslape": {"window": 2},
    "con LRN": {"normalization": LocalResponseNorm},
    "con dropout": {"dropout": 0.5},
    "dos torres": {"groups": 2},
    "media torre": {"maps": (3, 8)},
}
few = train[::3]
runs = {}
for name, arguments in variants.items():
    runs[name] = []
    for seed in range(SEED, SEED + 3):
        torch.manual_seed(seed)
        net = small_net(**arguments)
        batches = data.Batches(few, 32, shuffle=True, seed=seed, transform=normalize)
        lr = 0.05 if name == "tanh" else 0.02
        runs[name].append(training.train(net, batches, val_batches, epochs=2, lr=lr))

print(f"{'':<13} pérdida al entrenar    acierto en validación")
for name, results in runs.items():
    losses = [past[-1].train_loss for past in results]
    hits = [past[-1].val_top1 for past in results]
    print(
        f"{name:<13} {sum(losses) / 3:>19.3f}    {sum(hits) / 3:.1%}"
        f"  (de {min(hits):.1%} a {max(hits):.1%})"
    )

# %% [markdown]
# **ReLU contra tanh: empate.** No es que el artículo se equivoque. Es que la ventaja depende de lo que haya
# alrededor. Aquí son cuatro capas, las imágenes están normalizadas y cada peso nace a la escala justa, como
# enseñaron [Glorot y Bengio](../referencia/bibliografia.md#glorot2010) en 2010; con todo eso, tanh no se
# satura. Lo que sigue en pie es la cuenta de la neurona segura: la inicialización evita que se sature al
# nacer, y ReLU, que se sature después.
#
# **Traslape y LRN: no se distinguen de la suerte.** Compara su distancia a la base con lo que va de una semilla
# a otra. No podía ser de otro modo: con mil imágenes de validación, un acierto del 75 % tiene por sí solo un
# error estándar de $\sqrt{0.75 \cdot 0.25 / 1000}$, 1.4 puntos. Las cuatro décimas del artículo no caben ahí. La LRN, además, salía con desventaja: con imágenes normalizadas, ya lo viste, es poco más que
# dividir entre 1.68. [VGG](../referencia/bibliografia.md#simonyan2014) la probó dos años después y la dejó.
#
# **Dos torres: casi gratis, y mejor que media.** Partir la segunda convolución en dos quita la mitad de sus pesos, y en el acierto no se nota.
# El artículo hizo otra comparación: su red de dos tarjetas contra la que cabía en una, con la mitad de los filtros
# en cada convolución. La partida ganaba por 1.7 puntos de error top-1. Aquí se ve en la pérdida al entrenar, donde la media torre queda
# detrás; en el acierto, la distancia es la de unas semillas a otras.
#
# **Dropout: aquí estorba.** Aprende más despacio y en dos vueltas no lo recupera. El artículo lo avisa: con
# dropout hicieron falta más o menos el doble de pasos. Es el precio de no memorizar, y solo conviene pagarlo si
# ibas a memorizar.
#
# Esto es lo que puede decir un experimento de segundos, y hay que decirlo así. Que algo no se note en pequeño
# no prueba que no sirva en grande.

# %%
loss = {name: sum(past[-1].train_loss for past in results) / 3 for name, results in runs.items()}
hit = {name: sum(past[-1].val_top1 for past in results) / 3 for name, results in runs.items()}
assert loss["tanh"] < 1.3 * loss["base"]  # ni rastro de la ventaja de ReLU
assert abs(hit["sin traslape"] - hit["base"]) < 0.05
assert abs(hit["con LRN"] - hit["base"]) < 0.05
assert loss["con dropout"] > loss["base"] + 0.1
assert hit["con dropout"] < hit["base"]
assert abs(hit["dos torres"] - hit["base"]) < 0.03
assert loss["dos torres"] < loss["media torre"]

# %% [markdown]
# ## Lo que aprendió: pocos bordes y un descriptor { #aprendio }
#
# La figura más reproducida del artículo son los 96 filtros de su primera capa: rayas en todas las
# direcciones en una tarjeta, manchas de color en la otra. Nadie les pidió ese reparto. Los nuestros son
# 32, de 5×5, y solo han visto ropa en gris.

# %% alt="Treinta y dos cuadros de 5×5 en gris, cada uno un filtro. Casi todos parecen ruido; en unos pocos se adivina un lado claro y otro oscuro." caption="Los filtros de la primera capa de AlexNet mini. Las dos filas de arriba son de una torre y las dos de abajo, de la otra."
plotting.image_grid(alexnet_mini.features[0].weight.detach(), columns=8, size=0.6)

# %% [markdown]
# Sé estricto al mirarlos. Si buscas bordes, en unos pocos adivinarás un lado claro y otro oscuro. Casi todos se
# parecen todavía al ruido con que nacieron, y con eso ya les alcanza a las capas de encima. Para filtros como los famosos hacen falta fotos en color, filtros de 11×11 y
# más de un millón de imágenes. Lo que sí se ve, con tan poco, es qué hace cada uno con una prenda:

# %% alt="Un botín y dieciséis mapas de 28×28 de la primera capa. En casi todos se encienden solo los contornos o la suela; en uno, el fondo; en otro, el interior del botín." caption="Un botín y lo que responden 16 de los filtros, después de ReLU. Lo negro es cero."
boot = (test.labels == test.classes.index("botín")).nonzero()[0]
with torch.inference_mode():
    maps = alexnet_mini.features[:2](normalize(test.images[boot].float() / 255))[0]
picture = test.images[boot, 0].float() / 255
plotting.image_grid(torch.cat([picture, maps[::2]]), columns=9, size=0.75)

# %% [markdown]
# ### El descriptor { #descriptor }
#
# El artículo termina con otra figura que dejó más herencia que los filtros. Toma lo que dice la última
# capa oculta, 4096 números, y busca qué fotos dan números parecidos. Aparecen elefantes junto a elefantes, en
# otra postura y con otro fondo. La red, sin que se le pidiera, había aprendido a **describir** imágenes: lo
# que antes hacían a mano SIFT y sus parientes.
#
# El nuestro tiene 256 números. Para cada prenda de prueba buscamos las cinco más cercanas del entrenamiento y
# contamos cuántas son de su clase. Lo mismo con los píxeles. Y luego, la pregunta difícil: ¿y si la prenda
# está corrida unos píxeles?


# %% alt="Cinco filas de seis imágenes. La primera de cada fila es una prenda de prueba y las otras cinco, las más parecidas según el descriptor: casi siempre prendas del mismo tipo, con otra forma o textura." caption="A la izquierda, cinco prendas de prueba. A su derecha, las cinco de entrenamiento con el descriptor más cercano."
@torch.inference_mode()
def describe(images):
    parts = (normalize(part.float() / 255) for part in images.split(500))
    return torch.cat([alexnet_mini.classifier[:-1](alexnet_mini.features(x)) for x in parts])


def nearest(queries, database):
    return torch.cdist(queries, database).topk(5, largest=False).indices


def same_class(neighbors):
    return (shelf.labels[neighbors] == test.labels[:, None]).float().mean().item()


shelf = train[::2]  # donde se busca
pixels, descriptors = shelf.images.flatten(1).float(), describe(shelf.images)
print("de las cinco vecinas, son de su clase:")
print("corrida   con 784 píxeles   con 256 del descriptor")
found = {}
for shift in (0, 2):
    moved = test.images.roll(shift, dims=-1)
    by_descriptor = nearest(describe(moved), descriptors)
    by_pixels = nearest(moved.flatten(1).float(), pixels)
    found[shift] = same_class(by_pixels), same_class(by_descriptor)
    print(f"{shift:>4} px   {found[shift][0]:>15.1%}   {found[shift][1]:>22.1%}")

shown = nearest(describe(test.images[:5]), descriptors)
rows = [torch.cat([test.images[i : i + 1], shelf.images[shown[i]]]) for i in range(5)]
plotting.image_grid(torch.cat(rows), columns=6, size=0.75)

# %%
assert abs(found[0][1] - found[0][0]) < 0.06  # quietas, poca diferencia
assert found[2][1] > found[2][0] + 0.02  # corridas, gana el descriptor

# %% [markdown]
# Con las prendas en su sitio, la diferencia es pequeña: en Fashion-MNIST todas están centradas, y ahí comparar píxeles funciona
# bien. Basta correrlas dos píxeles para que los píxeles se pierdan más. La convolución y el pooling han hecho
# su trabajo. Ninguno de los dos aguanta del todo: la red tampoco vio nunca una prenda descentrada, porque
# aquí no hubo recortes al azar. Los del artículo servían justo para eso.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Medir sin `eval()` { #sin-eval }
#
# Si al medir no pones la red en modo de evaluación, dropout sigue tirando la moneda. No hay ningún error a
# la vista: solo un acierto algo menor y una red que se contradice. Midámosla dos veces seguidas.


# %%
@torch.inference_mode()
def answers(model):
    images, _ = next(iter(test_batches))
    return model(images).argmax(1)


torch.manual_seed(SEED)
for mode in ("train", "eval"):
    getattr(alexnet_mini, mode)()
    first, second = answers(alexnet_mini), answers(alexnet_mini)
    changed = (first != second).float().mean().item()
    right = (first == test.labels[: len(first)]).double().mean().item()
    print(f"model.{mode + '()':<7} acierto {right:.1%}, y cambia de opinión en el {changed:.1%}")
    assert (changed > 0.03) if mode == "train" else (changed == 0)

# %% [markdown]
# `training.evaluate` pone la red en evaluación y luego la deja como estaba: ese olvido no se puede cometer
# con ella.
#
# ### Copiar la inicialización sin copiar la escala { #inicializacion }
#
# El artículo dice que los pesos nacen de una normal de desviación 0.01. Quien lo copia en una red pequeña
# obtiene una red muerta: el acierto se queda en 10 %. ¿Por qué a ellos les servía? Compara 0.01 con lo que pide
# cada capa para que la señal no se apague, que según [He](../referencia/bibliografia.md#he2015prelu) es
# $\sqrt{2/n}$, con $n$ entradas por neurona.


# %%
def paper_init(model):
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)
    return model


def healthy_stds(model):
    weights = [p for p in model.parameters() if p.ndim > 1]
    return [math.sqrt(2 / weight[0].numel()) for weight in weights]


with torch.device("meta"):
    rows = zip(healthy_stds(AlexNet()), healthy_stds(AlexNetMini()), strict=True)
print("capa   AlexNet   mini      (√(2/n), frente a 0.01)")
for number, (large, small) in enumerate(rows, start=1):
    print(f"{number:>4}   {large:.3f}     {small:.3f}")

# %%
start = train[torch.arange(1600)]
after_start = {}
for name, change in (("He", nn.Identity()), ("N(0, 0.01)", paper_init)):
    torch.manual_seed(SEED)
    model = change(AlexNetMini())
    optimizer = training.make_optimizer(model, lr=0.01, weight_decay=5e-4)
    batches = data.Batches(start, 32, shuffle=True, seed=SEED, transform=normalize)
    training.train_one_epoch(model, batches, optimizer)
    after_start[name] = training.evaluate(model, val_batches)
    with torch.inference_mode():
        spread = model(next(iter(val_batches))[0]).std(0).mean()
    print(
        f"{name:<11} pérdida {after_start[name].loss:.3f}, acierto {after_start[name].top1:.1%}, "
        f"los logits varían ±{spread:.0e} de una imagen a otra"
    )
print(f"al azar     pérdida {math.log(10):.3f}, acierto 10.0%")
assert abs(after_start["N(0, 0.01)"].loss - math.log(10)) < 0.02
assert after_start["He"].loss < 2.0

# %% [markdown]
# En AlexNet, 0.01 se queda corto entre una vez y media y siete veces, porque cada neurona tiene cientos o miles de entradas, que además
# eran píxeles sin normalizar; y los sesgos en 1 empujaban. En la mini se queda corto hasta veintiocho veces, en
# cada una de ocho capas: todas las imágenes salen iguales. Cuando una red «no aprende», mira primero si la
# pérdida es $\ln 10$ y no se mueve.
#
# ### Agrandar las imágenes para que quepa la red { #agrandar }
#
# Muchos cursos hacen lo contrario de la mini: llevan Fashion-MNIST de 28×28 a 224×224 para poder usar la red
# grande. No se añade ni un detalle que no estuviera. Este es el precio:

# %%
cost = {name: CATALOG[name].macs for name in ("lenet5_modern", "alexnet_mini", "alexnet_owt")}
for name, macs in cost.items():
    print(f"{CATALOG[name].label:<22} {macs / 1e6:>6.1f} millones de operaciones por imagen")
print(f"de la mini a la grande: × {cost['alexnet_owt'] / cost['alexnet_mini']:.0f}")
assert cost["alexnet_owt"] > 50 * cost["alexnet_mini"]

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Sin mirar la tabla, calcula a mano los parámetros de conv2 y conv3 de la AlexNet de dos
# torres. Una tiene grupos y la otra no.

# %% [markdown] tags=["solucion"]
# En conv2, cada uno de los 256 filtros mira 48 canales con ventana de 5×5, y tiene un sesgo. En conv3 las
# tarjetas se hablan: cada uno de los 384 mira los 256 canales, con ventana de 3×3.

# %% tags=["solucion"]
by_name = {row.name: row.parameters for row in table}
print(conv2_count := 256 * (48 * 5 * 5 + 1), conv3_count := 384 * (256 * 3 * 3 + 1))
assert (conv2_count, conv3_count) == (by_name["features.4"], by_name["features.8"])

# %% [markdown]
# **2. Calcula.** ¿Cabía la red de una torre en una GTX 580 de 3 GB? Cuenta, en float32 y con lotes de 128: los
# pesos, su gradiente y su momento; las salidas de convoluciones, LRN, pooling y densas, que hay que guardar
# para la retropropagación; y otro tanto para los gradientes de esas salidas.

# %% tags=["solucion"]
single_table = inspection.shape_table(single_tower, (3, 227, 227))
kept = ("Conv2d", "LocalResponseNorm", "MaxPool2d", "Linear")
outputs = sum(math.prod(row.output_shape) for row in single_table if row.kind in kept)
weights_gb = 3 * 4 * inspection.count_parameters(single_tower) / 1e9
maps_gb = 2 * 4 * 128 * outputs / 1e9
print(f"pesos, gradientes y momento: {weights_gb:.2f} GB")
print(f"mapas y sus gradientes:      {maps_gb:.2f} GB")
print(f"total:                       {weights_gb + maps_gb:.2f} GB")
assert 1.9 < weights_gb + maps_gb < 2.2

# %% [markdown] tags=["solucion"]
# Sale menos de 3 GB, y no es un error. Es una cota inferior: faltan el lote de fotos y el que se prepara
# mientras tanto, el espacio de trabajo de las convoluciones y lo que ocupa la propia pantalla. El artículo no
# publica su cuenta; solo dice que 3 GB limitaban el tamaño. Y partir la red daba otra cosa: el doble de
# tarjetas calculando a la vez. Lo que más ocupa, fíjate, no son los pesos: son los mapas.

# %% [markdown]
# **3. Cambia.** Quita a la AlexNet de una torre sus tres capas densas. En su lugar, promedia cada uno de los
# 256 mapas finales hasta dejar un número y pon una sola densa de 256 a 1000. ¿Qué parte de los parámetros
# queda? ¿Y de las operaciones?

# %% tags=["solucion"]
with torch.device("meta"):
    light = nn.Sequential(
        single_tower.features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, 1000)
    )
light_table = inspection.shape_table(light, (3, 227, 227))
parameters_left = sum(row.parameters for row in light_table) / total
macs_left = sum(row.macs for row in light_table) / sum(row.macs for row in single_table)
print(f"quedan {parameters_left:.1%} de los parámetros y {macs_left:.1%} de las operaciones")
assert parameters_left < 0.07
assert macs_left > 0.9

# %% [markdown] tags=["solucion"]
# Casi todo el cálculo y casi ningún parámetro. Es lo que propondrán *Network in Network* en 2013 y GoogLeNet
# en 2014.

# %% [markdown]
# **4. Inventa.** Dijimos que medir sin dropout se parece a promediar muchas redes. Compruébalo: con la red
# entrenada, deja dropout encendido, pasa las primeras 500 imágenes de prueba diez veces y promedia las
# probabilidades. Compara con una sola pasada y con `eval()`.

# %% tags=["solucion"]
images, labels = next(iter(test_batches))
torch.manual_seed(SEED)
with torch.inference_mode():
    alexnet_mini.train()
    passes = torch.stack([alexnet_mini(images).softmax(1) for _ in range(10)])
    alexnet_mini.eval()
    whole = alexnet_mini(images).softmax(1)


def accuracy(probabilities):
    return (probabilities.argmax(-1) == labels).float().mean().item()


print(f"una pasada con dropout:  {accuracy(passes):.1%} (media de las diez)")
print(f"promedio de diez:        {accuracy(passes.mean(0)):.1%}")
print(f"sin dropout:             {accuracy(whole):.1%}")
agreement = (passes.mean(0).argmax(1) == whole.argmax(1)).float().mean().item()
print(f"el promedio y la red sin dropout coinciden en el {agreement:.1%}")
assert agreement > 0.88
assert accuracy(passes.mean(0)) > accuracy(passes) - 0.005

# %% [markdown] tags=["solucion"]
# El promedio y la red entera dicen casi siempre lo mismo, y la red entera cuesta una sola pasada. Ese es el
# truco: un conjunto de redes al precio de una.

# %% [markdown]
# ## Referencias { #referencias }
#
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012), el artículo. Se lee
#   en una tarde y casi cada párrafo es una decisión.
# - [Krizhevsky (2014)](../referencia/bibliografia.md#krizhevsky2014), de donde viene la red de torchvision.
# - [Hinton y otros (2012)](../referencia/bibliografia.md#hinton2012) y
#   [Srivastava y otros (2014)](../referencia/bibliografia.md#srivastava2014), sobre dropout.
# - [Glorot y Bengio (2010)](../referencia/bibliografia.md#glorot2010) y
#   [He y otros (2015)](../referencia/bibliografia.md#he2015prelu), sobre cómo deben nacer los pesos.
# - [Russakovsky y otros (2015)](../referencia/bibliografia.md#russakovsky2015), el desafío contado por quienes lo
#   organizaron.
#
# **En el paquete:** [AlexNet][cnnhistory.models.alexnet.AlexNet],
# [AlexNetMini][cnnhistory.models.alexnet.AlexNetMini],
# [AlexNetOWT][cnnhistory.models.alexnet.AlexNetOWT] y
# [LocalResponseNorm][cnnhistory.models.alexnet.LocalResponseNorm].
#
# **En la historia:** viene de [LeNet-5](lenet-5.py). La primera en mirarla por dentro fue
# [ZFNet](zfnet.py); lo que abrió lo cuenta [La carrera](../historia/la-carrera.py#2013).
#
# [^escala]: El artículo hacía lo mismo al revés: no multiplicaba por 2 al entrenar, sino por 0.5 al usar la red. El
#     valor esperado es igual, y la versión de hoy deja la red lista para usarse.
