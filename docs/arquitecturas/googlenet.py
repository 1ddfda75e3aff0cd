# %% [markdown]
# # GoogLeNet (2014): no elijas el tamaño del filtro
#
# AlexNet abre con filtros de 11×11. ZFNet los bajó a 7×7, VGG los dejó todos en 3×3 y *Network in Network* metió
# capas de 1×1. ¿Quién tiene razón? Un botón es pequeño y un abrigo es grande, así que quizá ninguno.
#
# GoogLeNet contesta con una pregunta mejor: **¿y si no hay que elegir?** Pon los tamaños uno junto a otro, deja
# que el entrenamiento decida a cuál escuchar, y gasta el ingenio en que la cuenta salga barata. Aquí construyes
# ese bloque, lo cuentas como es debido (en muchos cursos está mal contado), compruebas que es la red del artículo
# y mides dos cosas que se dan por sabidas: si las ramas ayudan y si las cabezas auxiliares hacen llegar el
# gradiente.
#
# <!-- generado: ficha googlenet -->

# %% [markdown]
# ## Un presupuesto, no un récord { #historia }
#
# ### Lo que se creía { #se-creia }
#
# En 2014 la receta para mejorar era crecer: más capas y más anchas. Tenía dos precios, que el
# [artículo](../referencia/bibliografia.md#szegedy2014) nombra al empezar: más parámetros, que memorizan, y más
# operaciones. Duplicar los canales de dos convoluciones seguidas multiplica por cuatro el trabajo de la segunda.
#
# El equipo de Google se puso un tope: unos 1500 millones de multiplicaciones con suma por imagen, para que la red
# sirviera también fuera de un centro de datos. Y cambió la pregunta: ¿cómo se reparte ese presupuesto?
#
# ### Quién lo cambió y con qué { #quien }
#
# Christian Szegedy y otros ocho autores, en Google. El nombre del equipo, GoogLeNet, con esa L mayúscula, es un
# homenaje a [LeNet-5](lenet-5.py). El del bloque, **Inception**, viene de *Network in Network* y de un meme con
# una frase de la película *Inception*: *we need to go deeper*, «hay que ir más hondo». Los dos se citan en el
# artículo.
#
# No la entrenaron con tarjetas gráficas. Usaron DistBelief, el sistema de Google que repartía el entrenamiento
# entre muchos procesadores corrientes; calculaban que unas pocas tarjetas de gama alta lo habrían hecho en una
# semana.
#
# Ganó la clasificación de 2014 con {ilsvrc:2014:googlenet:2} de error top-5, con siete redes promediadas y 144
# recortes de cada foto. [VGG](vgg.py) quedó segunda, con {ilsvrc:2014:vgg:2}.
#
# Verás escrito que Inception hizo las redes «más anchas en vez de más profundas». Son las dos cosas:

# %%
import torch
from torch import nn

from cnnhistory import inspection, models, plotting

SEED = 0
contenders = ("alexnet", "vgg16", "vgg19", "googlenet")
with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    tables = {
        name: inspection.shape_table(models.create(name), models.CATALOG[name].input_shape)
        for name in contenders
    }
print(f"{'':<11} capas con pesos   parámetros   millones de MACs")
for name, table in tables.items():
    card = models.CATALOG[name]
    weighted = sum(row.parameters > 0 for row in table)
    # En GoogLeNet las ramas van en paralelo: cada bloque Inception suma dos capas al camino, no seis.
    depth = weighted - 9 * (6 - 2) if name == "googlenet" else weighted
    print(
        f"{card.label:<11} {depth:>15}   {inspection.thousands(card.parameters):>10}   "
        f"{card.macs / 1e6:>16.0f}"
    )
weighted = sum(row.parameters > 0 for row in tables["googlenet"])
assert weighted - 9 * (6 - 2) == 22  # nueve módulos de seis convoluciones, dos de hondo
parameters = {name: models.CATALOG[name].parameters for name in contenders}
macs = {name: models.CATALOG[name].macs for name in contenders}
assert macs["vgg16"] > 9 * macs["googlenet"] > 9 * macs["alexnet"]

# %% [markdown]
# Veintidós capas con pesos en el camino más largo, más que VGG-19. El doble de operaciones que AlexNet, y la
# décima parte que VGG-16. Y muy pocos parámetros. ¿Cuántos menos que AlexNet? El artículo dice doce veces; lo
# [contaremos](#doce).

# %% [markdown]
# ## La idea: todos los tamaños, y barato { #idea }
#
# ### Cada tamaño ve lo suyo { #tamanos }
#
# Una fila de píxeles con dos cosas que detectar: un punto brillante de un píxel y una mancha tenue de cinco.
# Encima hay ruido. Un filtro que suma $k$ píxeles vecinos acumula señal, pero también ruido, que crece como
# $\sqrt{k}$; por eso dividimos la suma entre $\sqrt{k}$. Con eso el ruido vale lo mismo para todos los filtros, y
# lo que queda se puede comparar.

# %%
from torch.nn import functional as F

row = torch.tensor([[[0, 0, 3.0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 0, 0]]])  # el punto y la mancha
print("filtro   en el punto   en la mancha")
answers = {}
for size in (1, 3, 5):
    answer = F.conv1d(row, torch.ones(1, 1, size) / size**0.5, padding=size // 2)[0, 0]
    answers[size] = answer[2].item(), answer[9].item()  # el centro de cada cosa
    print(f"{size:>6}   {answers[size][0]:>11.2f}   {answers[size][1]:>12.2f}")
assert answers[1][0] == 3  # 3 ÷ √1
assert abs(answers[5][1] - 5 / 5**0.5) < 1e-6
assert answers[1][0] > answers[3][0] > answers[5][0]
assert answers[1][1] < answers[3][1] < answers[5][1]

# %% [markdown]
# Compruébalo a mano: en la mancha, el filtro de 5 suma cinco unos y divide entre 2.24. El punto lo ve mejor el
# pequeño y la mancha el grande; el de 3 queda segundo en las dos. Si solo puedes tener uno, siempre pierdes en
# algo. Un bloque Inception los tiene todos y **concatena** las respuestas: la capa siguiente pesa cada una como
# quiera.
#
# ### El precio de no elegir { #precio }
#
# Hagámoslo sin más con los números del primer bloque de la red. Llegan 192 canales y queremos 64 mapas de 1×1,
# 128 de 3×3 y 32 de 5×5. La cuarta rama es un pooling máximo de 3×3 con paso 1, porque el pooling siempre había
# ayudado. A la derecha, lo que propone el artículo: antes de cada filtro caro, una convolución de 1×1 que reduce
# los canales. Es un **cuello de botella** (*bottleneck*).

# %% alt="Dos bloques. El ingenuo tiene cuatro ramas de una sola capa: convolución 1×1 de 64, 3×3 de 128, 5×5 de 32 y pooling 3×3. El del artículo añade una convolución 1×1 antes de la 3×3, de 96, y antes de la 5×5, de 16, y otra de 32 después del pooling. En los dos, las ramas se concatenan." caption="El mismo bloque, ingenuo y con cuellos de botella. Los números son los canales del primero de la red, 3a."
plotting.blocks(
    {
        "ingenuo: salen 416 canales": plotting.Block(
            paths=[
                ["convolución 1×1, 64"],
                ["convolución 3×3, 128"],
                ["convolución 5×5, 32"],
                ["pooling 3×3"],
            ],
            merge="concatenar",
        ),
        "del artículo: salen 256": plotting.Block(
            paths=[
                ["convolución 1×1, 64"],
                ["convolución 1×1, 96", "convolución 3×3, 128"],
                ["convolución 1×1, 16", "convolución 5×5, 32"],
                ["pooling 3×3", "convolución 1×1, 32"],
            ],
            merge="concatenar",
        ),
    }
)

# %% [markdown]
# ¿Cuánto ahorra? La rama de 5×5 se cuenta con lápiz. Directa, cada salida multiplica $25 \cdot 192$ números. Por
# el cuello, primero se hacen 16 mapas y después la 5×5 mira solo esos 16.

# %%
direct = 32 * (25 * 192 + 1)  # + 1: el sesgo, uno por filtro
narrow = 16 * (192 + 1) + 32 * (25 * 16 + 1)
print(f"5×5 directa: {inspection.thousands(direct)}; por el cuello: {inspection.thousands(narrow)}")
print(f"{direct / narrow:.1f} veces menos")
assert (direct, narrow) == (153_632, 15_920)

# %% [markdown]
# Casi diez veces menos. Y hay un segundo gasto, menos visible: el pooling no puede cambiar de canales, así que el
# bloque ingenuo devuelve sus 192 además de los otros 224. El siguiente bloque recibe 416, y el otro, más aún.
# Estos son los canales de los nueve bloques, copiados de la tabla del artículo:

# %% tags=["fuente"]
from cnnhistory.models.googlenet import INCEPTION

# %% [markdown]
# Apilémoslos con los mismos filtros y sin cuellos:


# %%
def naive_macs(channels, widths, side):
    """MACs de un bloque sin cuellos, y los canales que salen: los del pooling se suman."""
    one, (_, three), (_, five), _ = widths
    return channels * (one + 9 * three + 25 * five) * side**2, channels + one + three + five


channels, total, paper_total = 192, 0, 0
rows = {row.name.split(".branch")[0]: 0 for row in tables["googlenet"] if "branch" in row.name}
for row in tables["googlenet"]:
    if "branch" in row.name:
        rows[row.name.split(".branch")[0]] += row.macs
print("bloque   canales que salen   millones de MACs   (el del artículo)")
for (name, widths), paper_macs in zip(INCEPTION.items(), rows.values(), strict=True):
    side = {"3": 28, "4": 14, "5": 7}[name[0]]
    used, channels = naive_macs(channels, widths, side)
    total, paper_total = total + used, paper_total + paper_macs
    print(f"{name:<8} {channels:>17}   {used / 1e6:>16.0f}   {paper_macs / 1e6:>17.0f}")
print(f"en total, {total / paper_total:.0f} veces más operaciones sin cuellos")
assert channels == 192 + sum(w[0] + w[1][1] + w[2][1] for w in INCEPTION.values())
assert total > 5 * paper_total

# %% [markdown]
# El artículo lo llama una explosión del cálculo en unas pocas etapas, y ahí la tienes. Los cuellos hacen posible
# lo demás. Y no son gratis: comprimir 192 canales en 16 obliga a tirar información. El artículo apuesta a que no
# se echa de menos, y de paso cada 1×1 trae su ReLU, que es una capa más con la que pensar.

# %% [markdown]
# ## El código, de la rama a la red { #codigo }
#
# Todas las convoluciones de GoogLeNet llevan su ReLU detrás. El paquete tiene dos versiones de esa pieza: la del
# artículo y la que usa torchvision, con [normalización por lotes](batch-normalization.py), que necesitaremos para
# comparar.

# %% tags=["fuente"]
from cnnhistory.models.googlenet import Convolution, conv_bn_relu, conv_relu  # noqa: F401

# %%
for piece in (conv_relu(3, 64, 7, stride=2), conv_bn_relu(3, 64, 7, stride=2)):
    print([type(layer).__name__ for layer in piece], inspection.count_parameters(piece))
    assert piece(torch.zeros(2, 3, 32, 32)).shape == (2, 64, 16, 16)

# %% [markdown]
# El bloque. Cuatro ramas que no se hablan, con el relleno justo para que todas devuelvan mapas del mismo tamaño,
# y un `torch.cat`.

# %% tags=["fuente"]
from cnnhistory.models.googlenet import Inception

# %%
block = Inception(192, INCEPTION["3a"])
maps = torch.randn(2, 192, 28, 28)
parts = [branch(maps).shape[1] for branch in block.children()]
print("canales de cada rama:", parts)
assert parts == [64, 128, 32, 32]
assert block(maps).shape == (2, 256, 28, 28)

# %% [markdown]
# Las cabezas auxiliares. Son clasificadores pequeños que se cuelgan en mitad de la red mientras se entrena y
# después se tiran. [Más abajo](#auxiliares) medimos para qué sirven.

# %% tags=["fuente"]
from cnnhistory.models.googlenet import AuxiliaryHead

# %%
spare = AuxiliaryHead(512, 1000, conv_relu, nn.AvgPool2d(5, stride=3))
assert spare(torch.zeros(2, 512, 14, 14)).shape == (2, 1000)
print(inspection.thousands(inspection.count_parameters(spare)), "parámetros, para tirarlos")

# %% [markdown]
# Y la red. Tiene tres partes, y desde entonces casi todas las tienen. El **tronco** (*stem*) achica la foto
# deprisa y saca bordes y texturas, como LeNet y AlexNet. El **cuerpo** (*body*) son los nueve bloques en tres
# etapas, separadas por pooling máximo. La **cabeza** (*head*) promedia cada mapa en un número, como en *Network in
# Network*, y acaba en una sola capa densa. Cambia la cabeza y la misma red detecta o segmenta.

# %% tags=["fuente"]
from cnnhistory.models.googlenet import GoogLeNet

# %%
with torch.device("meta"):
    googlenet = GoogLeNet()
table = inspection.shape_table(googlenet, (3, 224, 224), whole=(Inception,))
table

# %% alt="GoogLeNet dibujada como bloques apilados. La foto de 224×224 se estrecha enseguida a 28 en el tronco; nueve bloques Inception la llevan de 192 a 1024 canales mientras el mapa baja a 14 y a 7; al final, un promedio la deja en 1×1 y una capa densa da las mil clases. El corchete de lo que ve una posición alcanza el ancho de la foto a medio camino." caption="El viaje de una foto por GoogLeNet. Cada bloque Inception es una fila."
plotting.data_flow(table, (3, 224, 224))

# %% [markdown]
# El tronco sigue igual de bien con fotos de otro tamaño, y como la cabeza promedia, la red entera también. Los
# cursos que la entrenan con Fashion-MNIST suelen agrandar las prendas a 96×96 para que les quede algo que mirar a
# los últimos bloques:

# %%
small_table = inspection.shape_table(googlenet, (3, 96, 96), whole=(Inception,))
for name, part in (
    ("tronco", "stem"),
    ("etapa 3", "stage3"),
    ("etapa 4", "stage4"),
    ("etapa 5", "stage5"),
):
    big, small = ([r for r in t if r.name.startswith(part)][-1] for t in (table, small_table))
    print(
        f"{name:<8} {'×'.join(map(str, big.output_shape)):>10} {'×'.join(map(str, small.output_shape)):>10}"
    )
ratio = sum(row.macs for row in table) / sum(row.macs for row in small_table)
print(f"con 96×96, {ratio:.1f} veces menos operaciones")
assert small_table[-5].output_shape == (1024, 3, 3)

# %% [markdown]
# ### ¿Quién decidió esos números? { #numeros }
#
# El tercer bloque de la tabla tiene 208 filtros de 3×3 y no 200. ¿Por qué? El artículo no lo explica, y admite
# que la forma exacta influye poco. Mira qué parte de cada bloque se lleva cada rama.

# %% tags=["oculto"] alt="Nueve barras apiladas, de 3a a 5b. En todas la parte mayor es la de la rama de 3×3, de un 38 a un 55 %, salvo en 5b, donde empata con la de 1×1; la de 1×1 baja de un 38 % en 4a a un 21 % en 4d y vuelve a subir; la de 5×5 y la del pooling se quedan entre el 9 y el 20 %." caption="Qué parte de los canales que salen de cada bloque pone cada rama."
import matplotlib.pyplot as plt

shares = torch.tensor([(a, b, c, d) for a, (_, b), (_, c), d in INCEPTION.values()]).double()
shares = 100 * shares / shares.sum(1, keepdim=True)
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 3))
    bottom = torch.zeros(9)
    for branch, color, hatch, share in zip(
        ("1×1", "3×3", "5×5", "pooling"),
        plotting.PALETTE,
        ("", "///", "...", "xxx"),
        shares.T,
        strict=False,
    ):
        axis.bar(
            list(INCEPTION),
            share,
            bottom=bottom,
            label=branch,
            color=color,
            alpha=0.75,
            hatch=hatch,
            edgecolor=plotting.INK,
        )
        bottom = bottom + share
    axis.set(ylabel="% de los canales", ylim=(0, 100))
    axis.legend(ncols=4, loc="lower center", bbox_to_anchor=(0.5, 1))
    figure.tight_layout()

# %% [markdown]
# En 3a las cuatro ramas van en proporción 2, 4, 1 y 1, y en 3b, 4, 6, 3 y 2. Los cuellos también varían: en 3a la rama de
# 3×3 recibe la mitad de los canales y la de 5×5 una doceava parte; en 3b, la mitad y una octava. El artículo
# esperaba que los filtros grandes pesaran más al subir. Compruébalo: los números que eligieron no lo hacen.

# %%
assert INCEPTION["3a"][0] == 64 == 192 // 3
assert [int(x) for x in torch.tensor([64, 128, 32, 32]) // 32] == [2, 4, 1, 1]
assert [int(x) for x in torch.tensor([128, 192, 96, 64]) // 32] == [4, 6, 3, 2]
assert (192 // 96, 192 // 16) == (2, 12)
assert (256 // 128, 256 // 32) == (2, 8)
assert shares[0, 1:3].sum() > shares[-1, 1:3].sum()  # 3×3 y 5×5: menos al final que al principio
assert shares[0, 2] == shares[-1, 2] == 12.5  # la rama de 5×5, al principio y al final

# %% [markdown]
# Es la parte incómoda de GoogLeNet: decenas de números elegidos a mano y probando, cuando cada prueba era un
# entrenamiento entero. En aquellas herramientas ni siquiera se deducían solas las formas de las capas. De ahí
# nació la pregunta siguiente, si no podría elegir los números un programa.
#
# ### ¿Es la del artículo? Su tabla, fila por fila { #cuentas }
#
# El artículo publica parámetros y operaciones de cada bloque. Comparemos.

# %%
PAPER = {  # parámetros, en K, y operaciones, en millones
    "3a": (159, 128), "3b": (380, 304), "4a": (364, 73), "4b": (437, 88), "4c": (463, 100),
    "4d": (580, 119), "4e": (840, 170), "5a": (1072, 54), "5b": (1388, 71),
}  # fmt: skip
ours = dict(zip(PAPER, (row for row in table if row.kind == "Inception"), strict=True))
print("bloque   K parámetros (artículo)   millones de MACs (artículo)")
for name, row in ours.items():
    size, work = PAPER[name]
    print(
        f"{name:<8} {row.parameters / 1024:>12.0f} {f'({size})':>10} "
        f"{row.macs / 1e6:>18.0f} {f'({work})':>10}"
    )
matching = [name for name, row in ours.items() if abs(row.macs / 1e6 - PAPER[name][1]) < 1]
print("operaciones que coinciden:", ", ".join(matching))
assert [name for name in PAPER if name not in matching] == ["5a"]
assert all(abs(row.parameters / 1024 / PAPER[name][0] - 1) < 0.08 for name, row in ours.items())

# %% [markdown]
# Las operaciones coinciden en ocho filas de nueve. Eso prueba dos cosas: que los bloques son esos y que, cuando
# el artículo dice «operaciones», cuenta multiplicaciones con suma. Los parámetros van en miles de 1024, y aun así
# hay filas que se apartan varios puntos: 4c, 5a. La tabla tiene erratas, y la de 5a es un [buen
# ejercicio](#ejercicios).
#
# ### ¿Doce veces menos parámetros? { #doce }
#
# Lo dice el artículo, y desde entonces lo repite todo el mundo. Contemos de todas las maneras razonables:

# %%
dense = inspection.count_parameters(googlenet.head)
ways = {
    "completa": parameters["googlenet"],
    "sin la última capa densa": parameters["googlenet"] - dense,
    "como se entrenó, con auxiliares": models.CATALOG["googlenet_aux"].parameters,
}
for way, count in ways.items():
    print(
        f"{way:<32} {inspection.thousands(count):>10}   AlexNet tiene × {parameters['alexnet'] / count:.1f}"
    )
assert list(ways.values()) == [6_998_552, 5_973_552, 13_378_280]
assert max(parameters["alexnet"] / count for count in ways.values()) < 10.5

# %% [markdown]
# Con la red completa salen casi nueve, no doce. Sin la capa densa, unas diez. Y durante el entrenamiento, con las
# cabezas auxiliares puestas, ni cinco. No sabemos de dónde sale el doce. Fíjate en lo otro: casi todo el ahorro
# está en **la cabeza**. El cuerpo de GoogLeNet tiene más parámetros que las cinco convoluciones de AlexNet; lo
# que no tiene son las densas.

# %%
with torch.device("meta"):
    alexnet = models.create("alexnet")
convolutions = inspection.count_parameters(alexnet.features)
print(f"sin contar capas densas: AlexNet {inspection.thousands(convolutions)}, "
      f"GoogLeNet {inspection.thousands(ways['sin la última capa densa'])}")  # fmt: skip
assert ways["sin la última capa densa"] > 2 * convolutions

# %% [markdown]
# ## Prueba de fidelidad: contra torchvision, y un 5×5 hecho de 3×3 { #fidelidad }
#
# La GoogLeNet que casi todos han usado es la de torchvision. Le damos a la nuestra sus pesos, con estadísticas y
# escalas al azar para que la normalización no pase inadvertida, y comparamos las salidas.

# %%
from torchvision.models import GoogLeNet as TorchvisionGoogLeNet

from cnnhistory import weights

torch.manual_seed(SEED)
reference = TorchvisionGoogLeNet(aux_logits=False, init_weights=False).eval().double()
for layer in reference.modules():
    if isinstance(layer, nn.BatchNorm2d):
        for values in (layer.weight, layer.running_var):
            nn.init.uniform_(values, 0.5, 1.5)
        for values in (layer.bias, layer.running_mean):
            nn.init.normal_(values, std=0.1)
replica = GoogLeNet(torchvision=True).double().eval()
replica.load_state_dict(weights.convert("googlenet_bn", reference.state_dict()))
images = torch.randn(2, 3, 64, 64, dtype=torch.float64)
with torch.inference_mode():
    expected = reference(images)
    difference = ((replica(images) - expected).abs().max() / expected.std()).item()
print(f"mayor diferencia, relativa al tamaño de los logits: {difference:.0e}")
assert difference < 1e-9

# %% [markdown]
# ### El 5×5 que es 3×3 { #torchvision }
#
# Esa red tiene una historia. Su tercera rama, que en el artículo es de 5×5, es de 3×3. El error venía del código
# de TensorFlow del que se portaron los pesos; se [denunció en
# 2019](https://github.com/pytorch/vision/issues/906), y se quedó, porque corregirlo habría obligado a entrenar de
# nuevo. ¿Son redes distintas? Un filtro de 3×3 es uno de 5×5 con un borde de ceros. Pongámosle el borde a los
# nueve:

# %%
for module in replica.modules():
    if isinstance(module, Inception):
        small = module.branch3[1][0]
        large = nn.Conv2d(small.in_channels, small.out_channels, 5, padding=2, bias=False).double()
        large.weight.data = F.pad(
            small.weight.data, (1, 1, 1, 1)
        )  # dos filas y dos columnas de ceros
        module.branch3[1][0] = large
with torch.inference_mode():
    difference = ((replica(images) - expected).abs().max() / expected.std()).item()
true_count = inspection.count_parameters(replica)
false_count = models.CATALOG["googlenet_bn"].parameters
print(f"con filtros de 5×5 y borde de ceros, la diferencia sigue siendo {difference:.0e}")
print(f"parámetros: {inspection.thousands(false_count)} → {inspection.thousands(true_count)}")
assert difference < 1e-9
assert (false_count, true_count) == (6_624_904, 7_005_832)

# %% [markdown]
# La red de torchvision es un caso particular de la verdadera, con 380 928 pesos clavados en cero. No puede
# aprender a ver de 5×5 en un solo paso. Si comparas tu GoogLeNet con la de torchvision y no te cuadran los
# parámetros, empieza a buscar por aquí. Nuestra red del artículo usa el mismo código con otras dos opciones, y
# sus cuentas son las de la tabla de arriba.

# %% [markdown]
# ## Entrenamiento: una prenda por cuatro ramas { #entrenamiento }
#
# La mini lleva la misma idea a 28×28: un tronco corto y cuatro bloques Inception.
#
# <!-- generado: ficha googlenet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.googlenet import GoogLeNetMini

# %%
assert GoogLeNetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %% [markdown]
# La entrenamos con la mitad del subconjunto del paquete, dos vueltas. Es poco; es lo que cabe en una página.

# %%
from cnnhistory import data, training

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=SEED)
val = val[::2]  # 500 imágenes: aquí se valida muchas veces
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)


def fit(model, part, lr, seed=SEED):
    batches = data.Batches(part, 32, shuffle=True, seed=seed, transform=normalize)
    return training.train(model, batches, val_batches, epochs=2, lr=lr)


torch.manual_seed(SEED)
mini = GoogLeNetMini()
history = fit(mini, train[::2], lr=0.02)
scores = training.evaluate(mini, test_batches)
for epoch in history:
    print(f"época {epoch.number}: pérdida {epoch.train_loss:.3f}, validación {epoch.val_top1:.1%}")
print(f"prueba: {scores.top1:.1%}")
assert scores.top1 > 0.65
assert history[1].val_loss < history[0].val_loss

# %% alt="Dos gráficos de dos puntos cada uno. A la izquierda, la pérdida de entrenamiento y la de validación bajan mucho de la primera a la segunda época. A la derecha, el acierto en validación sube." caption="Dos vueltas. La pérdida de entrenamiento es la media de toda la vuelta; la de validación se mide al terminarla, y por eso va por debajo."
plotting.curves(history, "GoogLeNet mini")

# %% alt="Matriz de confusión de diez por diez. La diagonal domina en pantalón, bolso y los tres calzados. La camisa es la fila más repartida: entre camiseta, suéter y abrigo." caption="De cada clase verdadera (fila), qué dijo la red (columna), en %."
with torch.inference_mode():
    said = torch.cat([mini.eval()(images).argmax(1) for images, _ in test_batches])
plotting.confusion_matrix(test.labels, said, test.classes)

# %% [markdown]
# Con todas las imágenes y cuatro vueltas llega bastante más lejos: el resultado grabado, con tres semillas, su
# receta y su máquina, está en [La carrera justa](../resultados/carrera-justa.py). Allí GoogLeNet mini y la
# LeNet-5 moderna quedan tan cerca que la semilla decide. En fotos de mil clases no hay empate posible; en prendas
# de 28×28, dieciséis años de historia casi no se ven.
#
# <!-- generado: grabada googlenet_mini -->

# %% [markdown]
# ## Lo que aprendió: a qué ramas escucha { #aprendio }
#
# La promesa era que el entrenamiento decide. ¿Y qué decidió? Apaguemos las ramas una a una, poniendo a cero su
# salida, y veamos cuánto acierto se pierde en validación.

# %% alt="Tabla de colores de cuatro filas, los bloques, por cuatro columnas, las ramas. Cada casilla dice cuántos puntos de acierto se pierden al apagar esa rama; unas pocas casillas son algo más intensas, con pérdidas de una o dos decenas de puntos, y otras son casi cero." caption="Puntos de acierto que se pierden en validación al apagar una rama (columna) de un bloque (fila), sin volver a entrenar."
blocks = [module for module in mini.modules() if isinstance(module, Inception)]
whole = training.evaluate(mini, val_batches).top1
lost = torch.zeros(4, 4)
for i, block in enumerate(blocks):
    for j, branch in enumerate(block.children()):
        handle = branch.register_forward_hook(lambda _module, _inputs, output: 0 * output)
        lost[i, j] = 100 * (whole - training.evaluate(mini, val_batches).top1)
        handle.remove()
branches = ("1×1", "3×3", "5×5", "pooling")
with plotting.style():
    figure, axis = plt.subplots(figsize=(4.4, 3))
    axis.imshow(lost, cmap="Blues", vmin=-60, vmax=120, alpha=0.45)
    for i, j in ((i, j) for i in range(4) for j in range(4)):
        axis.text(j, i, round(lost[i, j].item()), ha="center", va="center")
    axis.set_xticks(range(4), branches)
    axis.set_yticks(range(4), [f"bloque {i + 1}" for i in range(4)])
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    figure.tight_layout()

# %%
print(
    "media de los cuatro bloques:",
    dict(zip(branches, [f"{x:.1f}" for x in lost.mean(0)], strict=True)),
)
assert lost.max() > 10  # apagar alguna sale caro
assert (lost.amax(0) > 0).all()  # y ninguna rama sobra en todos los bloques

# %% [markdown]
# Ninguna rama sobra en todas partes, y ninguna manda en todas. Cuidado con leer más: una rama apagada deja un
# hueco que las demás no tuvieron ocasión de cubrir. Esto mide de quién *depende* esta red, no quién *haría falta*
# si se entrenara sin ella. Eso es otro experimento, y es el siguiente.

# %% [markdown]
# ## Los experimentos: ramas y cabezas { #experimento }
#
# ### ¿Ayudan las ramas, a igual precio? { #ramas }
#
# Un tronco pequeño, dos bloques y una cabeza. Cambiamos solo los bloques: todo 3×3; todo 5×5; un cuello de 1×1 y
# una 3×3, para que haya tantas capas como en Inception, y por último Inception. Los canales están elegidos para
# que **ninguna tenga menos operaciones ni menos parámetros que Inception**. Y la última, Inception con una cabeza
# auxiliar en medio. Tres semillas.


# %%
from cnnhistory.models.initialization import he_normal


class SmallNet(nn.Module):
    """Tronco, dos bloques y cabeza; con `auxiliary`, otra cabeza después del primer bloque."""

    def __init__(self, first, second, channels, auxiliary=False):
        super().__init__()
        self.stem = nn.Sequential(conv_relu(1, 24, 5, stride=2), nn.MaxPool2d(2))
        self.first, self.second = first, second
        self.head = self.classifier(channels)
        he_normal(self)
        self.auxiliary = self.classifier(channels) if auxiliary else None

    @staticmethod
    def classifier(channels):
        return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))

    def forward(self, x):
        middle = self.first(self.stem(x))
        logits = self.head(self.second(middle))
        return (logits, self.auxiliary(middle)) if self.training and self.auxiliary else logits


def bottleneck(channels):
    return nn.Sequential(conv_relu(channels, 32, 1), conv_relu(32, 56, 3))


WIDTHS = (24, (24, 32), (8, 16), 16)  # 88 canales
variants = {
    "todo 3×3": lambda: SmallNet(conv_relu(24, 48, 3), conv_relu(48, 48, 3), 48),
    "todo 5×5": lambda: SmallNet(conv_relu(24, 30, 5), conv_relu(30, 30, 5), 30),
    "1×1 y 3×3": lambda: SmallNet(bottleneck(24), bottleneck(56), 56),
    "Inception": lambda: SmallNet(Inception(24, WIDTHS), Inception(88, WIDTHS), 88),
    "con auxiliar": lambda: SmallNet(
        Inception(24, WIDTHS), Inception(88, WIDTHS), 88, auxiliary=True
    ),
}
few = train[::7]
runs, seconds = {}, {}
for name, build in variants.items():
    runs[name] = []
    for seed in range(SEED, SEED + 3):
        torch.manual_seed(seed)
        runs[name].append(fit(build(), few, lr=0.05, seed=seed)[-1])
    seconds[name] = sum(epoch.seconds for epoch in runs[name])

print(f"{'':<13} parámetros  miles de MACs  pérdida al entrenar  acierto en validación")
loss, hit = {}, {}
for name, results in runs.items():
    net = variants[name]()
    loss[name] = sum(epoch.train_loss for epoch in results) / 3
    hits = [epoch.val_top1 for epoch in results]
    hit[name] = sum(hits) / 3
    print(
        f"{name:<13} {inspection.thousands(inspection.count_parameters(net)):>10}  "
        f"{inspection.count_macs(net, (1, 28, 28)) / 1e3:>13.0f}  {loss[name]:>19.3f}  "
        f"{hit[name]:.1%} (de {min(hits):.1%} a {max(hits):.1%})"
    )

# %%
single = ("todo 3×3", "todo 5×5", "1×1 y 3×3")
for name in single:
    net, inception = variants[name](), variants["Inception"]()
    assert inspection.count_parameters(net) > inspection.count_parameters(inception)
    assert inspection.count_macs(net, (1, 28, 28)) > inspection.count_macs(inception, (1, 28, 28))
    assert loss["Inception"] < loss[name]
    assert hit["Inception"] > hit[name] - 0.01
assert abs(hit["con auxiliar"] - hit["Inception"]) < 0.05

# %% [markdown]
# Aquí las ramas ayudan. Con menos parámetros y menos operaciones, Inception aprende más en los mismos pasos que
# cualquiera de las otras tres, y no es por tener más capas, porque la tercera tiene las mismas. Pero mira ahora
# el reloj:

# %% tags=["tiempos"]
for name, spent in seconds.items():
    print(f"{name:<13} {spent:5.1f} s")

# %% [markdown]
# Las operaciones no son segundos. Cuatro ramas pequeñas son cuatro veces más llamadas, con menos trabajo cada
# una, y además hay que copiar para concatenar. En una máquina paralela, una convolución grande se aprovecha mejor
# que cuatro chicas. La eficiencia de GoogLeNet es real cuando se cuentan multiplicaciones; cuando se mide el
# tiempo, hay que medirlo.
#
# ### Cabezas auxiliares: ¿llega el gradiente? { #auxiliares }
#
# Veintidós capas eran muchas en 2014, y los autores temían que el gradiente se apagara por el camino. Por eso
# colgaron dos cabezas en mitad de la red, después de 4a y de 4d, cuya pérdida se suma con peso 0.3. La última
# línea de la tabla anterior, «con auxiliar», dice que en una red de dos bloques no cambian nada. Es lo esperable:
# ahí no hay camino que acortar.
#
# Vamos a la red entera, recién nacida. Separamos las tres pérdidas y medimos cuánto gradiente deja cada una en la
# primera convolución. Con tres inicializaciones: la normal de desviación 0.01 que usó AlexNet, la de Glorot y
# Bengio, de 2010, y la de He, que se publicó meses *después* de GoogLeNet.


# %%
def initialized(kind):
    """La red entera, con sus dos cabezas; las tres capas de salida nacen iguales."""
    torch.manual_seed(SEED)
    net = models.create("googlenet_aux")  # nace con la de He
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            if kind == "N(0, 0.01)":
                nn.init.normal_(layer.weight, std=0.01)
            elif kind == "Glorot":
                nn.init.xavier_uniform_(layer.weight)
    for output in (net.head[-1], *(head.classifier[-1] for head in net.auxiliary)):
        nn.init.normal_(output.weight, std=0.01)
    return net.train()


reach = {}
photos, classes = torch.randn(2, 3, 224, 224), torch.tensor([0, 1])
print("gradiente que deja cada cabeza en la primera convolución")
print(f"{'inicialización':<15} {'principal':>10} {'4d':>10} {'4a':>10}   4a ÷ principal")
for kind in ("N(0, 0.01)", "Glorot", "He"):
    net = initialized(kind)
    first = net.stem[0][0].weight
    norms = []
    for logits in net(photos):
        gradient = torch.autograd.grad(F.cross_entropy(logits, classes), first, retain_graph=True)
        norms.append(gradient[0].norm().item())
    main, at_4a, at_4d = norms
    reach[kind] = main, at_4a / main
    print(f"{kind:<15} {main:>10.0e} {at_4d:>10.0e} {at_4a:>10.0e}   × {reach[kind][1]:.0f}")

assert reach["N(0, 0.01)"][0] < 1e-9
assert reach["N(0, 0.01)"][1] > 1000
assert reach["Glorot"][1] > 3
assert reach["He"][0] > 0.01
assert reach["He"][1] < reach["Glorot"][1]

# %% [markdown]
# Ahí está el miedo, con números. Si los pesos nacen como en AlexNet, el gradiente de la salida principal llega a
# la primera capa convertido en nada, y la cabeza de 4a lo multiplica por miles. Con Glorot, la cabeza ayuda. Con
# He, la salida principal llega sola, y la cabeza añade poco. **Las cabezas arreglaban un problema que también
# arregla nacer bien**, y que un año después la [normalización por lotes](batch-normalization.py) y los atajos de
# ResNet quitaron de en medio.
#
# ¿Y servían? Los propios autores volvieron a mirarlo al [año
# siguiente](../referencia/bibliografia.md#szegedy2015). Su conclusión: al principio del entrenamiento, con
# cabezas y sin ellas, las curvas son casi iguales; solo al final la red con cabezas queda un poco por encima.
# Quitar la de abajo no empeoraba nada. Creen que regularizan, que no es para lo que se pusieron. Es raro, y muy
# sano, ver a alguien corregirse así.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### La 5×5 que es 3×3 { #rama-encogida }
#
# Es el error más copiado. [Ya viste](#torchvision) lo que cuesta en pesos: 380 928 que nunca estuvieron. ¿Y en
# acierto? Repetimos el experimento de las ramas con la tercera encogida a 3×3, sin cambiar nada más, con las mismas
# tres semillas:


# %%
def shrunk_inception(channels):
    return Inception(
        channels, WIDTHS, conv_relu, 3
    )  # el 3 es el lado de la rama que debía ser de 5


shrunk = []
for seed in range(SEED, SEED + 3):
    torch.manual_seed(seed)
    wrong = SmallNet(shrunk_inception(24), shrunk_inception(88), 88)
    shrunk.append(fit(wrong, few, lr=0.05, seed=seed)[-1])

sizes = [inspection.count_parameters(net) for net in (variants["Inception"](), wrong)]
for name, results, size in zip(
    ("de 5×5", "de 3×3"), (runs["Inception"], shrunk), sizes, strict=True
):
    hits = [epoch.val_top1 for epoch in results]
    print(
        f"tercera rama {name}: {inspection.thousands(size)} parámetros, {sum(hits) / 3:.1%} "
        f"(de {min(hits):.1%} a {max(hits):.1%})"
    )
assert sizes == [30_042, 25_946]
gain = sum(epoch.val_top1 for epoch in runs["Inception"]) - sum(epoch.val_top1 for epoch in shrunk)
assert gain / 3 > -0.03  # encoger la rama no mejora nada

# %% [markdown]
# Se va uno de cada siete pesos, y una de las ramas pasa a ver lo mismo que su vecina. El acierto no mejora, y lo que baja es del
# tamaño de lo que cambia una semilla. Por eso el error duró años: la red aprende, y ninguna curva lo delata. Lo delata
# contar los parámetros y compararlos con los del artículo.
#
# ### Contar el sesgo *k*² veces { #sesgo }
#
# ¿Cuánto ahorra un bloque Inception frente a una sola convolución que dé también 256 canales? La cuenta está
# publicada con esta fórmula: $k \cdot k \cdot (c_{\text{entra}} + 1) \cdot c_{\text{sale}}$. Parece correcta; el
# $+1$ es el sesgo. Pero está *dentro* del $k^2$. Hay un sesgo por filtro, no uno por píxel del filtro.


# %%
def published(window, inputs, outputs):
    return window * window * (inputs + 1) * outputs


def right(window, inputs, outputs):
    return (window * window * inputs + 1) * outputs


def inception_count(formula):
    parts = ((1, 192, 64), (1, 192, 96), (3, 96, 128), (1, 192, 16), (5, 16, 32), (1, 192, 32))
    return sum(formula(*part) for part in parts)


print(f"{'':<20} {'publicado':>10} {'correcto':>10}")
counts = {}
for name, count in {
    "Inception 3a": inception_count,
    "una sola 3×3": lambda formula: formula(3, 192, 256),
    "una sola 5×5": lambda formula: formula(5, 192, 256),
}.items():
    counts[name] = count(published), count(right)
    print(f"{name:<20} " + " ".join(f"{inspection.thousands(n):>10}" for n in counts[name]))

assert list(zip(*counts.values(), strict=True)) == [
    (165_488, 444_672, 1_235_200),
    (163_696, 442_624, 1_229_056),
]
assert counts["Inception 3a"][1] == inspection.count_parameters(Inception(192, INCEPTION["3a"]))
assert counts["una sola 5×5"][1] == inspection.count_parameters(nn.Conv2d(192, 256, 5))

# %% [markdown]
# El error es de un uno por ciento y la conclusión no cambia: Inception cuesta casi tres veces menos que una 3×3 y
# más de siete veces menos que una 5×5. Lo que cambia es que ahora puedes fiarte. La defensa es la última línea:
# **pregúntale al código** antes de publicar una fórmula.
#
# ### Olvidar el relleno del pooling { #relleno }
#
# En la misma publicación, las operaciones del bloque salen 127 385 600. Su rama de pooling produce mapas de
# 26×26, porque se contó $28 - 3 + 1$. Pero entonces no se podría concatenar. Con relleno 1, el mapa sigue siendo
# de 28×28.

# %%
reduced = 192 * 64 + 192 * 96 + 9 * 96 * 128 + 192 * 16 + 25 * 16 * 32
without_padding = reduced * 28**2 + 192 * 32 * 26**2
correct = (reduced + 192 * 32) * 28**2
print(
    f"publicado {inspection.thousands(without_padding)}, correcto {inspection.thousands(correct)}"
)
assert (without_padding, correct) == (127_385_600, 128_049_152)
assert correct == ours["3a"].macs

forgotten = Inception(192, INCEPTION["3a"])
forgotten.branch4[0].padding = 0
try:
    forgotten(maps)
except RuntimeError as error:
    message = str(error)
    print(message)
assert "Expected size 28 but got size 26" in message

# %% [markdown]
# Aquí PyTorch te salva: se niega a concatenar mapas de tamaños distintos. A un papel no hay quien lo pare.
#
# ### Tratar tres salidas como si fueran una { #tupla }
#
# Con auxiliares, la red devuelve una tupla mientras entrena y un tensor cuando predice. El mismo código funciona
# en un modo y falla en el otro.

# %%
with torch.device("meta"):
    three = models.create("googlenet_aux")
    batch, target = torch.empty(2, 3, 224, 224), torch.empty(2, dtype=torch.long)
    print("eval: ", type(three.eval()(batch)).__name__)
    print("train:", type(three.train()(batch)).__name__)
    try:
        F.cross_entropy(three(batch), target)
    except TypeError as error:
        problem = str(error)
        print(problem.splitlines()[0])
assert "tuple" in problem

# %% [markdown]
# El bucle del paquete, [`train_one_epoch`][cnnhistory.training.train_one_epoch], reconoce la tupla y suma las
# auxiliares con el peso 0.3 del artículo. Un error más callado es quedarse solo con la primera: la red entrena, y
# las cabezas, la mitad de los parámetros, no aprenden nada ni enseñan nada.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Sin mirar la tabla, calcula a mano los parámetros del bloque 3b: entran 256 canales; las ramas
# son 128; 128 → 192; 32 → 96, y 64.

# %% [markdown] tags=["solucion"]
# Cada convolución tiene $k^2 c_{\text{entra}} + 1$ por canal que sale. La del pooling es una 1×1 sobre los 256
# canales.

# %% tags=["solucion"]
by_hand = (
    128 * (256 + 1)
    + (128 * (256 + 1) + 192 * (9 * 128 + 1))
    + (32 * (256 + 1) + 96 * (25 * 32 + 1))
    + 64 * (256 + 1)
)
print(inspection.thousands(by_hand))
assert by_hand == ours["3b"].parameters == 388_736

# %% [markdown]
# **2. Investiga.** La fila 5a del artículo dice 54 millones de operaciones y a nosotros nos salen 51. La tabla da
# los canales: 256; 160 → 320; 32 → 128, y 128. ¿Qué único cuello de botella habría que cambiar, y a cuánto, para
# que salgan 54? Una pista: mira el bloque siguiente.

# %% [markdown] tags=["solucion"]
# Con 48 en el cuello de la 5×5, que es lo que tiene 5b, salen los 54 millones. No prueba que la red de la
# competencia lo tuviera: puede que la tabla se corrigiera a medias. Pero la red que publica torchvision usa 32, y
# la nuestra también, porque es lo que está escrito.


# %% tags=["solucion"]
def operations(reduce5):
    with torch.device("meta"):
        candidate = Inception(832, (256, (160, 320), (reduce5, 128), 128))
    return inspection.count_macs(candidate, (832, 7, 7)) / 1e6


for reduce5 in (16, 24, 32, 48, 64):
    print(f"{reduce5:>3} canales: {operations(reduce5):.1f} millones")
assert round(operations(32)) == 51
assert round(operations(48)) == 54

# %% [markdown]
# **3. Cambia.** Al año siguiente, los mismos autores sustituyeron la 5×5 por dos 3×3 seguidas, que ven lo mismo.
# ¿Ahorra? Haz la cuenta para una capa que conserva sus canales, y después para la rama de 3a, 16 → 32, con 32
# canales en medio.

# %% [markdown] tags=["solucion"]
# Con los mismos canales, 18 pesos en lugar de 25: un 28 % menos. En la rama de 3a, en cambio, sale *más caro*,
# porque la segunda 3×3 mira 32 canales y no los 16 del cuello. Un cuello de botella y una factorización compiten
# por el mismo ahorro.


# %% tags=["solucion"]
def pair(inputs, middle, outputs):
    return right(3, inputs, middle) + right(3, middle, outputs)


print("64 → 64:", right(5, 64, 64), "o", pair(64, 64, 64))
print("16 → 32:", right(5, 16, 32), "o", pair(16, 32, 32))
assert pair(64, 64, 64) < 0.73 * right(5, 64, 64)
assert pair(16, 32, 32) > right(5, 16, 32)

# %% [markdown]
# **4. Inventa.** Concatenar ramas de 1×1, 3×3 y 5×5 sin cuellos se puede hacer con **una sola** convolución de
# 5×5. ¿Cómo? Constrúyela y comprueba que da lo mismo. ¿Qué parte de sus pesos son ceros?

# %% [markdown] tags=["solucion"]
# Los filtros pequeños se rodean de ceros y se apilan con los grandes. Es el fondo de la idea del artículo: una
# capa grande y *rala*, con casi todo en cero, escrita como unas pocas capas densas y pequeñas, que es lo que las
# máquinas calculan deprisa.

# %% tags=["solucion"]
torch.manual_seed(SEED)
filters = [
    nn.Conv2d(192, outputs, size, padding=size // 2, bias=False)
    for size, outputs in ((1, 64), (3, 128), (5, 32))
]
one = torch.cat([F.pad(f.weight, [2 - f.padding[0]] * 4) for f in filters])
zeros = (one == 0).double().mean().item()
with torch.inference_mode():
    apart, together = torch.cat([f(maps) for f in filters], 1), F.conv2d(maps, one, padding=2)
print(f"mayor diferencia: {(apart - together).abs().max():.0e}; ceros: {zeros:.0%}")
assert torch.allclose(apart, together, atol=1e-4)
assert 0.6 < zeros < 0.7

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# Dejó las ramas, los cuellos de botella y una costumbre: contar las operaciones antes de entrenar.
# [ResNet](resnet.py) tomará el cuello, y su bloque puede verse como un Inception de dos
# ramas, una de ellas la identidad. [ResNeXt](resnext.py) tomará las ramas, todas iguales, para no tener que elegir tantos
# números.
#
# - [Szegedy y otros (2014)](../referencia/bibliografia.md#szegedy2014), el artículo. De ahí salen la tabla, el presupuesto, el homenaje y el meme.
# - [Lin, Chen y Yan (2013)](../referencia/bibliografia.md#lin2013), *Network in Network*: la 1×1 y el promedio global.
# - [Szegedy y otros (2015)](../referencia/bibliografia.md#szegedy2015), la revisión: dos 3×3 por una 5×5 y el papel de las cabezas.
# - [Glorot y Bengio (2010)](../referencia/bibliografia.md#glorot2010) y [He y otros (2015)](../referencia/bibliografia.md#he2015prelu), sobre cómo
#   deben nacer los pesos.
#
# **En el paquete:** [GoogLeNet][cnnhistory.models.googlenet.GoogLeNet],
# [Inception][cnnhistory.models.googlenet.Inception], [AuxiliaryHead][cnnhistory.models.googlenet.AuxiliaryHead] y
# [GoogLeNetMini][cnnhistory.models.googlenet.GoogLeNetMini].
#
# **En la historia:** viene de [Network in Network](nin.py) y compitió el mismo año que [VGG](vgg.py). La
# [normalización por lotes](batch-normalization.py) se probó en una red de su familia, y sus ramas vuelven en [ResNeXt](resnext.py).
