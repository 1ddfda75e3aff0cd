# %% [markdown]
# # Network in Network (2013): una red en cada píxel y ninguna al final
#
# Pesa a [AlexNet](alexnet.py#cuentas): 94 de cada 100 parámetros están en sus tres últimas capas, las densas. Para
# guardarlas hacen falta cientos de megabytes, memorizan con tanta facilidad que hay que apagarles la mitad de las
# neuronas al azar, y la red queda atada a un solo tamaño de foto. Todo el mundo las usaba porque alguien tiene que decidir
# al final.
#
# ¿Y si las borras? En 2013, tres investigadores de Singapur hicieron dos preguntas que parecen pequeñas. **¿Por qué poner la
# red densa al final, y no una muy chica en cada píxel? ¿Y por qué no promediar, y ya?** Las dos respuestas siguen
# dentro de casi todas las redes que se usan hoy.
#
# <!-- generado: ficha nin -->

# %% [markdown]
# ## El final pesaba demasiado { #historia }
#
# De LeNet a AlexNet, y lo seguiría haciendo VGG, una red convolucional era dos redes pegadas. Las convoluciones y el pooling
# sacan características sin perder de vista *dónde* está cada cosa. Después todo se aplana en una lista y las capas
# densas deciden. Las mejoras consistían en agrandar la primera parte. La segunda nadie la tocaba, y tenía tres problemas:
#
# - **El peso.** El enlace entre las dos partes de VGG-11, ya en 2014, sería una matriz de 25 088×4096. Abajo
#   la calculamos: más de 400 MB. El iPhone 4S, un teléfono de 2011, tenía 512 MB de memoria para todo.[^telefono]
# - **El lugar.** No puedes arreglarlo metiendo las densas antes, para que la red decida más hondo: aplanar destruye la
#   estructura espacial, y con los mapas todavía grandes la matriz sería aún mayor.
# - **El sobreajuste.** Dropout existía, en buena medida, para que esas capas no se aprendieran las fotos de memoria.
#
# Min Lin, Qiang Chen y Shuicheng Yan, de la Universidad Nacional de Singapur, publicaron
# *Network In Network* en diciembre de 2013.[^articulo] No era una red para ganar ImageNet: el artículo no trae ninguna de ese tamaño. La
# probaron con imágenes pequeñas. En CIFAR-10, diez clases de fotos de 32×32, erró en un 10.41 %, y en un 8.81 % con
# aumentación, con menos de un millón de parámetros. Un equipo de su misma universidad, NUS, había quedado segundo en el
# [desafío de ese año](../historia/la-carrera.py#2013).

# %%
weights = 25_088 * 4096
print(f"VGG-11, solo el primer enlace denso: {weights / 1e6:.1f} millones de pesos")
print(f"en float32: {4 * weights / 1e6:.0f} MB")
assert 400e6 < 4 * weights < 512e6

# %% [markdown]
# ## La idea, en dos partes { #idea }
#
# ### Primera: el filtro piensa poco { #uno-por-uno }
#
# Dos mapas de una capa anterior: uno dice si hay un borde horizontal y el otro, si hay uno vertical. Cuatro píxeles, con
# las cuatro combinaciones. Queremos una unidad que se encienda con **uno o el otro, pero no con los dos**: un borde,
# y no una esquina.
#
# | píxel | horizontal | vertical | ¿encender? |
# | --- | ---: | ---: | ---: |
# | 1 | 0 | 0 | 0 |
# | 2 | 0 | 1 | 1 |
# | 3 | 1 | 0 | 1 |
# | 4 | 1 | 1 | **0** |
#
# Un filtro hace una suma con pesos y luego ReLU: $\max(0, w_h h + w_v v + b)$. Inténtalo. El píxel 1 pide $b \le 0$. El 2
# pide $w_v = 1 - b$, y el 3, $w_h = 1 - b$. Entonces en el 4 la suma vale $2 - b$, que es 2 por lo menos, y tenía que
# apagarse. **No se puede**, con ningunos pesos. Con dos capas es fácil: dos neuronas cuentan los bordes con distinto
# umbral, y una tercera las resta.

# %%
import torch

horizontal = torch.tensor([0.0, 0, 1, 1])
vertical = torch.tensor([0.0, 1, 0, 1])

some_edge = (horizontal + vertical).relu()  # 0 1 1 2
corner = (horizontal + vertical - 1).relu()  # 0 0 0 1
either = (some_edge - 2 * corner).relu()
print("algún borde:", some_edge.int().tolist())
print("esquina:    ", corner.int().tolist())
print("uno u otro: ", either.int().tolist())
assert either.tolist() == [0, 1, 1, 0]

# %% [markdown]
# Fíjate en que esa red de tres neuronas no miró ningún vecino. Trabajó dentro de cada píxel, mezclando sus
# **canales**, y con los mismos pesos en los cuatro. Eso es una **convolución de 1×1**: un filtro cuya ventana es un solo píxel y que
# ve todos sus canales. Y es también una capa densa, la de siempre, aplicada a cada píxel por separado.
#
# Cuesta verlo porque las formas no coinciden. Una densa recibe `(lote, características)`. Un mapa es
# `(lote, canal, alto, ancho)`. Pero si juntas el lote, el alto y el ancho, lo que queda es una lista larga de píxeles,
# y las características de cada uno son sus canales:

# %%
from torch import nn

torch.manual_seed(0)
maps = torch.randn(2, 96, 27, 27)  # (lote, canal, alto, ancho)
pointwise = nn.Conv2d(96, 160, kernel_size=1)

dense = nn.Linear(96, 160)
dense.load_state_dict({"weight": pointwise.weight.flatten(1), "bias": pointwise.bias})
list_of_pixels = maps.permute(0, 2, 3, 1).reshape(-1, 96)  # (lote · alto · ancho, canal)

with torch.inference_mode():
    by_pixel = dense(list_of_pixels).view(2, 27, 27, 160).permute(0, 3, 1, 2)
    difference = (by_pixel - pointwise(maps)).abs().max().item()
print(f"{len(list_of_pixels)} píxeles de {list_of_pixels.shape[1]} características")
print(f"mayor diferencia entre la densa y la convolución de 1×1: {difference:.0e}")
assert difference < 1e-5

# %% [markdown]
# Ahí está el título. Detrás de cada convolución se ponen dos de 1×1 con sus ReLU, y lo que recorre la imagen ya no es un
# filtro sino **una red pequeña**: una red dentro de la red. Agrega pensamiento sin agregar ventana, y no destruye ningún
# lugar. El artículo llama a esa pieza *mlpconv*.
#
# ### Segunda: para decidir basta promediar { #promedio }
#
# La última capa de la red da un mapa por clase: dónde hay botín, dónde hay bolso. Para saber si hay botín en alguna parte, ¿hace
# falta una matriz de millones de pesos? Promedia el mapa. Es el **pooling global promedio** (*global average pooling*).
#
# Este es el mapa de «botín» para un botín en el centro, y para el mismo botín un lugar a la izquierda:

# %%
center = torch.tensor([[0.0, 0, 0], [0, 9, 0], [0, 0, 0]])
left = center.roll(-1, dims=1)
dense_weights = torch.tensor(
    [0.0, 0, 0, 0, 1, 0, 0, 0, 0]
)  # una densa que aprendió a mirar el centro
print("           centro  izquierda")
print(f"promedio   {center.mean():>6.0f}  {left.mean():>9.0f}")
print(f"densa      {dense_weights @ center.flatten():>6.0f}  "
      f"{dense_weights @ left.flatten():>9.0f}")  # fmt: skip
assert center.mean() == left.mean() == 1
assert dense_weights @ left.flatten() == 0

# %% [markdown]
# El promedio no tiene pesos. No puede memorizar, no le importa el lugar ni el tamaño de la foto, y **obliga** a que el mapa de cada
# clase signifique algo, porque nadie vendrá después a interpretarlo. Cuenta lo que se ahorra:

# %%
from cnnhistory import inspection, models

with torch.device("meta"):
    heads = {
        "AlexNet": nn.Sequential(
            nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)
        ),
        "VGG-11": nn.Sequential(
            nn.Linear(25_088, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)
        ),
        "NiN": nn.AdaptiveAvgPool2d(1),
    }
for name, head in heads.items():
    print(
        f"{name:<8} parámetros para decidir: {inspection.thousands(inspection.count_parameters(head)):>11}"
    )
assert inspection.count_parameters(heads["AlexNet"]) == 58_631_144
assert inspection.count_parameters(heads["VGG-11"]) > 2 * inspection.count_parameters(
    heads["AlexNet"]
)
assert inspection.count_parameters(heads["NiN"]) == 0

# %% [markdown]
# ## El código: el bloque y la red { #codigo }
#
# El bloque es una convolución con ventana y dos sin ella. Es el código del paquete:

# %% tags=["fuente"]
from cnnhistory.models.nin import NiNBlock

# %%
block = NiNBlock(3, (192, 160, 96), kernel_size=5)
assert block(torch.zeros(2, 3, 32, 32)).shape == (2, 96, 32, 32)
window, first, second = (inspection.count_parameters(block[index]) for index in (0, 2, 4))
print(f"5×5: {window}   1×1: {first} y {second}")
assert window == 192 * (5 * 5 * 3 + 1)
assert first == 160 * (192 + 1)

# %% alt="Dos columnas de cajas. El bloque de VGG son dos convoluciones de 3×3 y un pooling. El de NiN, una convolución de 5×5, dos convoluciones de 1×1 y un pooling." caption="Un bloque de VGG y uno de NiN. El primero repite la ventana; el segundo mira una vez y piensa dos."
from cnnhistory import plotting

plotting.blocks(
    {
        "bloque de VGG": plotting.Block([["convolución 3×3", "convolución 3×3", "pooling 2×2/2"]]),
        "bloque de NiN": plotting.Block(
            [["convolución 5×5", "convolución 1×1", "convolución 1×1", "pooling 3×3/2"]]
        ),
    }
)

# %% [markdown]
# Y la red del artículo, la de CIFAR-10. La última convolución tiene tantos canales como clases, y después no hay nada que
# aprender.

# %% tags=["fuente"]
from cnnhistory.models.nin import NiN

# %%
with torch.device("meta"):
    nin = NiN()
table = inspection.shape_table(nin, (3, 32, 32), whole=(NiNBlock,))
table

# %% alt="NiN dibujada como bloques apilados, de la imagen de 32×32 a las diez clases. Tres bloques, con mapas de 32, 16 y 8 y dos pooling entre ellos; el último tiene diez canales, uno por clase, y un promedio lo deja en diez números. El corchete bajo cada bloque, lo que ve una posición, se ensancha mientras el bloque se estrecha." caption="El viaje de una imagen por NiN. No hay capas densas: diez mapas y diez promedios."
plotting.data_flow(table, (3, 32, 32))

# %%
assert inspection.count_parameters(nin) == 966_986
assert not any(isinstance(layer, nn.Linear) for layer in nin.modules())
ones = sum(
    layer.weight.numel() + layer.bias.numel()
    for layer in nin.modules()
    if isinstance(layer, nn.Conv2d) and layer.kernel_size == (1, 1)
)
print(f"las seis convoluciones de 1×1: {ones / 966_986:.0%} de los parámetros")
assert ones < 0.25 * 966_986

# %% [markdown]
# ### La de ImageNet, y la que encontrarás en los cursos { #imagenet }
#
# Si buscas NiN verás otra, con filtros de 11×11, 5×5 y 3×3 y los canales de AlexNet. No está en el artículo: sus
# autores la publicaron después, para la biblioteca Caffe. Es AlexNet con un bloque donde había una convolución, un pooling de 3×3
# con paso 2 tras cada bloque, y el promedio donde estaban las densas.

# %% tags=["fuente"]
from cnnhistory.models.nin import NiNImageNet

# %%
with torch.device("meta"):
    nin_imagenet, alexnet = NiNImageNet(), models.create("alexnet_single")
large_table = inspection.shape_table(nin_imagenet, (3, 224, 224), whole=(NiNBlock,))
large_table

# %%
import math

rivals = {
    "AlexNet, una torre": inspection.shape_table(alexnet, (3, 227, 227)),
    "NiN de ImageNet": inspection.shape_table(nin_imagenet, (3, 224, 224)),
}
print(f"{'':<19} parámetros  operaciones  números en los mapas")
costs = {}
for name, rows in rivals.items():
    parameters, macs = sum(row.parameters for row in rows), sum(row.macs for row in rows)
    stored = sum(math.prod(row.output_shape) for row in rows if row.parameters)
    costs[name] = parameters, macs, stored
    print(f"{name:<19} {parameters / 1e6:>8.1f} M  {macs / 1e9:>9.2f} G  {stored / 1e6:>18.2f} M")

ours, theirs = costs["NiN de ImageNet"], costs["AlexNet, una torre"]
assert ours[0] == 7_595_176
assert ours[0] < theirs[0] / 8
assert 0.9 < ours[1] / theirs[1] < 1.1
assert ours[2] > 2 * theirs[2]

# %% [markdown]
# La octava parte de los parámetros y **casi las mismas operaciones**. Es la asimetría que viste en AlexNet, por el otro
# lado: los parámetros estaban en las densas, el cálculo en las convoluciones, y NiN solo quitó lo primero. Lo que paga es otra
# cosa: cada bloque deja tres mapas donde había uno, hay que guardarlos todos para retropropagar, y con doce capas cuesta
# más arrancar. Menos parámetros no quiere decir entrenar más rápido.

# %% [markdown]
# ## Prueba de fidelidad: una red chica que recorre la imagen { #fidelidad }
#
# No hay una NiN en torchvision. Así que tomamos el artículo al pie de la letra: una red de tres capas **densas**, `nn.Linear`,
# que recibe un recorte de la imagen como una lista de números y se mueve por todas las posiciones. Sin ninguna
# convolución, y con los mismos pesos.

# %%
from torch.nn import functional as F


def micro_network(block):
    """Las tres densas de un bloque, con sus pesos, y el lado de su recorte."""
    layers = []
    for convolution in list(block)[::2]:
        weight = convolution.weight.flatten(1)
        layer = nn.Linear(weight.shape[1], weight.shape[0])
        layer.load_state_dict({"weight": weight, "bias": convolution.bias})
        layers += [layer, nn.ReLU()]
    return nn.Sequential(*layers), block[0].kernel_size[0]


def slide(network, side, x):
    """Pone la red en cada posición: (C, H, W) → (C', H, W)."""
    height, width = x.shape[1:]
    patches = F.unfold(x[None], side, padding=side // 2)[0].T  # (H · W, C · side²)
    return network(patches).T.view(-1, height, width)


def shrink(x, summary):
    """Resume ventanas de 3×3 con paso 2; las del borde se quedan con lo que hay."""
    x = F.pad(x, (0, 1, 0, 1), value=torch.nan)
    return summary(x.unfold(1, 3, 2).unfold(2, 3, 2).flatten(3))  # (C, H/2, W/2, 9)


torch.manual_seed(0)
nin = NiN().eval()
picture = torch.randn(1, 3, 32, 32)
blocks = [layer for layer in nin if isinstance(layer, NiNBlock)]
with torch.inference_mode():
    x = slide(*micro_network(blocks[0]), picture[0])
    x = shrink(x, lambda windows: windows.nan_to_num(-torch.inf).amax(-1))
    x = slide(*micro_network(blocks[1]), x)
    x = shrink(x, lambda windows: windows.nanmean(-1))
    x = slide(*micro_network(blocks[2]), x)
    by_hand = torch.stack([class_map.mean() for class_map in x])
    logits = nin(picture)[0]
    error = ((by_hand - logits).abs().max() / logits.std()).item()
print(f"diferencia, relativa a los logits: {error:.0e}")
assert logits.std() > 0.01  # si todos fueran iguales, coincidir no probaría nada
assert error < 1e-4

# %% [markdown]
# Los dos programas dan lo mismo. La red del artículo **es** una red densa chica paseando por la imagen.

# %% [markdown]
# ## Entrenamiento: la mini, y su rival con cabeza densa { #entrenamiento }
#
# `NiNMini` es lo mismo a 28×28: tres bloques y el promedio. Quita la última ReLU; en [los errores](#ultima-relu) verás por qué.
#
# <!-- generado: ficha nin_mini -->

# %% tags=["fuente"]
from cnnhistory.models.nin import NiNMini

# %%
assert NiNMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %% [markdown]
# El experimento del artículo es este: la misma red con dos finales, el promedio y una capa densa sobre los mismos diez mapas.
# Los pesos del tronco nacen iguales y los lotes son los mismos.

# %%
from cnnhistory import data, training
from cnnhistory.models.initialization import he_normal

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=SEED)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
few = train[::4]


def new_mini():
    torch.manual_seed(SEED)
    return NiNMini()


def dense_ending():
    """NiNMini hasta sus diez mapas de 7×7; después, una capa densa en lugar del promedio."""
    trunk = list(new_mini())[:-2]
    ending = nn.Sequential(nn.Flatten(), nn.Linear(10 * 7 * 7, 10))
    he_normal(ending)
    return nn.Sequential(*trunk, *ending)


nets, histories = {"promedio": new_mini(), "densa": dense_ending()}, {}
for name, net in nets.items():
    batches = data.Batches(few, 32, shuffle=True, seed=SEED, transform=normalize)
    histories[name] = training.train(net, batches, val_batches, epochs=3, lr=0.03)
mini = nets["promedio"]

# %% alt="Dos gráficos de la NiN mini en tres épocas. A la izquierda, la pérdida de entrenamiento baja desde muy arriba y acaba pegada a la de validación. A la derecha, el acierto en validación sube deprisa y todavía no se ha aplanado." caption="NiN mini, con el promedio global. Tarda en arrancar, y al terminar sigue subiendo."
plotting.curves(histories["promedio"], "NiN mini")

# %% alt="Matriz de confusión de diez clases. La diagonal domina en pantalón, bolso, sandalia y botín; camisa, camiseta, suéter, vestido y abrigo se reparten entre sí." caption="Lo que dijo la NiN mini de las 2000 imágenes de prueba."
pixels = normalize(test.images.float() / 255)
said = {
    name: inspection.embed(net, pixels, "", batch_size=500).argmax(1) for name, net in nets.items()
}
hits = {name: (answer == test.labels).double().mean().item() for name, answer in said.items()}
plotting.confusion_matrix(test.labels, said["promedio"], test.classes)

# %%
print("final      parámetros   pérdida al entrenar   en validación   acierto en prueba")
for name, net in nets.items():
    last = histories[name][-1]
    print(f"{name:<10} {inspection.count_parameters(net):>10}   {last.train_loss:>19.3f}   "
          f"{last.val_loss:>13.3f}   {hits[name]:>17.1%}")  # fmt: skip

gaps = [abs(past[-1].val_loss - past[-1].train_loss) for past in histories.values()]
smaller = models.CATALOG["alexnet_mini"].parameters / models.CATALOG["nin_mini"].parameters
assert hits["promedio"] > 0.6
assert hits["densa"] > hits["promedio"] + 0.01
assert max(gaps) < 0.15  # ninguna de las dos memoriza
assert 3.5 < smaller < 4

# %% [markdown]
# Gana la densa. Los autores presentan el promedio como un **regularizador**: algo que estorba a quien quiere memorizar. Lo midieron
# con una red grande que recorrió CIFAR-10 muchas veces, y en ese terreno, donde sobra capacidad, el promedio les ganó a la
# densa y a la densa con dropout. Aquí no hay nada que estorbar. Mira las dos pérdidas de cada fila: son casi iguales, ninguna de las dos
# redes está memorizando. Lo que se ve entonces es solo el precio: el mismo gradiente se reparte por igual entre 49
# posiciones, y la red tarda más en arrancar. Es lo que pasó con el [dropout de AlexNet](alexnet.py#experimentos).
#
# En [la carrera justa](../resultados/carrera-justa.py#resultado), con Fashion-MNIST completo, NiN mini tampoco
# alcanza a la AlexNet mini ni a la LeNet-5 moderna. Tiene casi cuatro veces menos parámetros que la primera y un poco más que la
# segunda. El progreso, otra vez, no es cronológico: lo que NiN dejó no fue un récord sino dos piezas.
#
# <!-- generado: grabada nin_mini -->

# %% [markdown]
# ## Lo que aprendió: dónde está cada clase { #aprendio }
#
# Como el logit de una clase *es* el promedio de su mapa, no hace falta ningún método para saber qué zonas contaron. Se abre la
# red y se lee. Es la figura que cierra el artículo.

# %% alt="Seis prendas en gris con manchas naranjas encima. En el suéter y el bolso caen sobre la prenda; en el botín, sobre la caña; en el pantalón y el vestido, en el fondo vacío de los lados. El azul apenas asoma en alguna esquina." caption="El mapa de su propia clase, en seis prendas de prueba. En naranja, lo que sube el logit; en azul, lo que lo baja."
right = said["promedio"] == test.labels
names = ("pantalón", "bolso", "botín", "sandalia", "vestido", "suéter")
chosen = torch.stack(
    [((test.labels == test.classes.index(name)) & right).nonzero()[0, 0] for name in names]
)
maps = inspection.feature_maps(mini, pixels[chosen], "10")
logits = inspection.embed(mini, pixels[chosen], "")
assert maps.shape == (6, 10, 7, 7)
assert torch.allclose(maps.mean((2, 3)), logits, atol=1e-5)
own = maps[torch.arange(6), test.labels[chosen]]
large = F.interpolate(own[:, None], (28, 28), mode="bilinear")[:, 0]
plotting.heatmaps(pixels[chosen], large, names, columns=6, size=1.15)

# %% [markdown]
# Míralas sin cariño. En el pantalón y el vestido, la mancha cae *al lado* de la prenda: a una prenda estrecha la delata el hueco que
# deja. El mapa dice qué zona contó, no dónde está el objeto que tú ves.
#
# ¿Sirve entonces para saber *dónde*? A esta red nadie le enseñó lugares: solo vio prendas centradas y su nombre. Y como no tiene
# capas densas, acepta una imagen de cualquier tamaño. Pongamos cada prenda en uno de los cuatro cuartos de un lienzo de
# 56×56, al azar, y preguntemos en qué cuarto está el punto más alto del mapa de su clase. Al azar acertaría uno de cada cuatro.

# %%
torch.manual_seed(SEED)
black, count = pixels.min(), 300
quarter = torch.randint(4, (count,))
canvas = black.expand(count, 1, 56, 56).clone()
for picture, garment, where in zip(canvas, pixels, quarter.tolist(), strict=False):
    row, column = 28 * (where // 2), 28 * (where % 2)
    picture[:, row : row + 28, column : column + 28] = garment

class_maps = inspection.feature_maps(mini, canvas, "10")  # (N, 10, 14, 14)
peak = class_maps[torch.arange(count), test.labels[:count]].flatten(1).argmax(1)
found = 2 * (peak // 14 >= 7) + (peak % 14 >= 7)
located = (found == quarter).double().mean().item()
print(f"el punto más alto cae en su cuarto: {located:.0%}")
assert located > 0.75

# %% [markdown]
# Aprendió a localizar sin una sola etiqueta de lugar. De esta observación salieron después los mapas de activación por
# clase y [Grad-CAM](../tecnicas/que-ve-una-red.py#grad-cam), que la extiende a redes que no terminan en un promedio.

# %% [markdown]
# ## El experimento: ¿le da igual el lugar? { #experimento }
#
# El promedio no distingue lugares. ¿Se sigue que la red tampoco? Vamos con cuidado, porque se repite mucho. Primero, el caso en
# que es **exacto**: una prenda en medio de un lienzo grande, lejos de los bordes, que corremos poco a poco.


# %%
def in_the_open(shift):
    """Los logits de veinte prendas en un lienzo de 92×92, corridas `shift` píxeles."""
    wide = black.expand(20, 1, 92, 92).clone()
    wide[:, :, 32:60, 28 + shift : 56 + shift] = pixels[:20]
    return inspection.embed(mini, wide, "")


still, drift = in_the_open(0), {}
for shift in (1, 2, 4, 8):
    drift[shift] = ((in_the_open(shift) - still).abs().max() / still.std()).item()
    print(f"corrida {shift} píxeles: los logits cambian {drift[shift]:.0e}")
assert max(drift[4], drift[8]) < 1e-4
assert min(drift[1], drift[2]) > 1e-3

# %% [markdown]
# Con 4 y con 8, nada: es el redondeo. La red tiene dos pooling de paso 2, así que sus últimos mapas saltan de cuatro en cuatro
# píxeles; si la prenda se corre un número entero de saltos, el mapa se corre con ella y el promedio es el mismo. Con 1 y
# con 2 ya no: es la rueda de la carreta de [ZFNet](zfnet.py#idea).
#
# Ahora el caso de verdad: imágenes de 28×28, donde la prenda toca los bordes. Comparamos con la de cabeza densa.

# %%
print("corrida     promedio   densa")
curve = {name: [] for name in nets}
for shift in range(5):
    moved = F.pad(pixels[:600], (shift, -shift), value=black.item())
    for name, net in nets.items():
        answer = inspection.embed(net, moved, "", batch_size=300).argmax(1)
        curve[name].append((answer == test.labels[:600]).double().mean().item())
    print(f"{shift} píxeles   " + "   ".join(f"{values[-1]:>7.1%}" for values in curve.values()))

# %%
lost = {name: [values[0] - value for value in values] for name, values in curve.items()}
assert lost["densa"][4] - 0.05 > lost["promedio"][4] > 0.03
assert curve["promedio"][4] > curve["densa"][4] - 0.04

# %% [markdown]
# La del promedio empezó perdiendo por varios puntos. A los cuatro píxeles ya **alcanzó a la densa**, que
# se había aprendido en qué posición del mapa mirar. Ahí está la virtud que el acierto de la tabla no enseñaba.
#
# Pero no es inmune: también ella pierde. El promedio olvida el lugar; lo
# que está debajo, no del todo. Cada posición del último mapa ve casi toda la imagen, incluido el borde, que se nota porque más
# allá hay relleno. Y el tronco solo vio prendas centradas. El promedio quita un obstáculo, no regala la invarianza: lo
# que falta se pone en los datos, con [aumentación](../tecnicas/aumentacion.py).

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Olvidar la ReLU entre dos convoluciones de 1×1 { #sin-relu }
#
# Sin ella, la red dentro de la red desaparece. Dos densas seguidas son una densa, y una convolución seguida de una de 1×1 es una
# sola convolución. Podemos calcular cuál:

# %%
torch.manual_seed(0)
window, pointwise = nn.Conv2d(3, 192, 5, padding=2), nn.Conv2d(192, 96, 1)
mixing = pointwise.weight.flatten(1)  # (96, 192)
fused = nn.Conv2d(3, 96, 5, padding=2)
with torch.no_grad():
    fused.weight.copy_((mixing @ window.weight.flatten(1)).view(96, 3, 5, 5))
    fused.bias.copy_(mixing @ window.bias + pointwise.bias)
    x = torch.randn(1, 3, 32, 32)
    without_relu = (pointwise(window(x)) - fused(x)).abs().max().item()
    with_relu = (pointwise(window(x).relu()) - fused(x)).abs().max().item()
pair = sum(inspection.count_parameters(layer) for layer in (window, pointwise))
print(f"sin ReLU: {without_relu:.0e} de diferencia; con ReLU: {with_relu:.1f}")
print(f"parámetros: {pair} los dos, {inspection.count_parameters(fused)} la que hace lo mismo")
assert without_relu < 1e-4 < with_relu
assert pair > 4 * inspection.count_parameters(fused)

# %% [markdown]
# Nada falla y la red entrena. Pagas más de cuatro veces los parámetros por lo mismo.
#
# ### La última ReLU, en una red chica { #ultima-relu }
#
# El bloque del artículo termina en ReLU también el último, justo antes del promedio. Si el mapa de una clase nace negativo en todas partes, la ReLU
# lo deja en cero para todas las imágenes, y su gradiente también es cero: nadie le avisa nunca que está mal. ¿Cuántas
# clases nacen muertas?


# %%
def with_last_relu(seed):
    torch.manual_seed(seed)
    return nn.Sequential(*list(NiNMini())[:-2], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def dead_classes(net):
    """Las clases cuyo logit es cero en cien imágenes."""
    return (inspection.embed(net, pixels[:100], "") == 0).all(0)


dead = [int(dead_classes(with_last_relu(seed)).sum()) for seed in range(20)]
print(f"clases muertas al nacer, en veinte redes: {dead}")
assert sum(dead) >= 10

unlucky = with_last_relu(next(seed for seed, number in enumerate(dead) if number))
silent = dead_classes(unlucky)
F.cross_entropy(unlucky.eval()(pixels[:100]), test.labels[:100]).backward()
last = unlucky[10]
print(f"gradiente de las vivas: {last.weight.grad[~silent].abs().mean():.0e}; "
      f"de las muertas: {last.weight.grad[silent].abs().max():.0f}")  # fmt: skip
assert last.weight.grad[silent].abs().max() == 0
assert last.weight.grad[~silent].abs().mean() > 0

# %% [markdown]
# Ahora el precio. Las mismas imágenes y los mismos pasos, con y sin esa ReLU:

# %%
short = train[torch.arange(1500)]
outcomes = {}
for name, net in {"con la última ReLU": with_last_relu(SEED), "sin ella": new_mini()}.items():
    batches = data.Batches(short, 32, shuffle=True, seed=SEED, transform=normalize)
    outcomes[name] = training.train(net, batches, val_batches, epochs=2, lr=0.03)[-1]
    print(
        f"{name:<19} pérdida {outcomes[name].val_loss:.2f}, acierto {outcomes[name].val_top1:.1%}"
    )
print(f"{'al azar':<19} pérdida {math.log(10):.2f}, acierto 10.0%")
assert outcomes["con la última ReLU"].val_loss > outcomes["sin ella"].val_loss + 0.1

# %% [markdown]
# En la red del artículo, con 192 canales antes de cada mapa y muchas vueltas, se sobrevive. En la mini cuesta demasiado, y por eso la
# quitamos y la ficha lo dice. Si tu NiN se queda clavada cerca del 10 %, empieza por aquí.
#
# ### Promediar con una ventana fija { #ventana-fija }
#
# Si el último mapa mide 7×7, `nn.AvgPool2d(7)` hace lo mismo que el promedio global. Hasta que un día entra una imagen
# más ancha:

# %%
fixed = nn.Sequential(*list(mini)[:-2], nn.AvgPool2d(7), nn.Flatten()).eval()
assert torch.allclose(
    inspection.embed(fixed, pixels[:20], ""), inspection.embed(mini, pixels[:20], ""), atol=1e-5
)
doubled = torch.cat([pixels[:300], pixels[:300]], dim=-1)  # la misma prenda, dos veces
wrong = inspection.embed(fixed, doubled, "").argmax(1)
correct = inspection.embed(mini, doubled, "").argmax(1)
print(f"logits por imagen: {inspection.embed(fixed, doubled[:1], '').shape[1]}")
print(f"acierto: {(wrong == test.labels[:300]).double().mean():.1%} con la ventana fija, "
      f"{(correct == test.labels[:300]).double().mean():.1%} con el promedio global")  # fmt: skip
assert inspection.embed(fixed, doubled[:1], "").shape == (1, 20)
assert (wrong == test.labels[:300]).double().mean() < 0.2
assert (correct == test.labels[:300]).double().mean() > 0.4

# %% [markdown]
# Veinte logits para diez clases, y ninguna queja: ni la red, ni `argmax`, ni siquiera `cross_entropy` comprueban
# cuántas clases tenías. `nn.AdaptiveAvgPool2d(1)` no depende del tamaño.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Cuenta a mano los 966 986 parámetros de NiN. Cada convolución tiene $k^2 \cdot c_\text{ent} + 1$ por canal de
# salida. Después haz lo mismo con la versión que enseñan muchos cursos: la de ImageNet con una imagen en gris y diez clases.


# %% tags=["solucion"]
def count(layers, channels):
    total = 0
    for side, out in layers:
        total += (side**2 * channels + 1) * out
        channels = out
    return total


paper = [(5, 192), (1, 160), (1, 96), (5, 192), (1, 192), (1, 192), (3, 192), (1, 192), (1, 10)]
courses = [(11, 96), (1, 96), (1, 96), (5, 256), (1, 256), (1, 256),
           (3, 384), (1, 384), (1, 384), (3, 10), (1, 10), (1, 10)]  # fmt: skip
print(count(paper, 3), count(courses, 1))
assert count(paper, 3) == 966_986
assert count(courses, 1) == 1_992_166

# %% [markdown]
# **2. Calcula.** Una convolución de 1×1 también sirve para *encoger*. Tienes 256 mapas de 28×28 y quieres 64 con ventana de 5×5. ¿Cuánto
# te ahorras si antes los reduces a 32 con una de 1×1?

# %% tags=["solucion"]
positions = 28 * 28
direct = positions * 256 * 64 * 25
reduced = positions * (256 * 32 + 32 * 64 * 25)
print(f"directo: {direct / 1e6:.0f} millones; con reducción: {reduced / 1e6:.0f}")
assert direct > 6 * reduced

# %% [markdown] tags=["solucion"]
# Casi siete veces menos operaciones. Es el truco con que GoogLeNet y ResNet se hicieron profundas un año y dos años después: el
# cuello de botella.

# %% [markdown]
# **3. Cambia.** Casi todas las redes posteriores terminan distinto: primero promedian los 96 mapas y después ponen *una* capa
# densa de 96 a 10. ¿Es otra red? Compruébalo con la mini entrenada.

# %% [markdown] tags=["solucion"]
# Es la misma. La convolución de 1×1 y el promedio son lineales, y da igual en qué orden se hagan: el promedio de las sumas con
# pesos es la suma con pesos de los promedios. Solo si queda una ReLU entre las dos importa el orden. Por eso la
# lectura de los mapas sirve también para GoogLeNet y ResNet.

# %% tags=["solucion"]
averages = inspection.feature_maps(mini, pixels[:50], "9").mean((2, 3))  # (50, 96)
last = mini[10]
ending = F.linear(averages, last.weight.flatten(1), last.bias).detach()
difference = (ending - inspection.embed(mini, pixels[:50], "")).abs().max().item()
print(f"mayor diferencia: {difference:.0e}")
assert difference < 1e-4

# %% [markdown]
# **4. Inventa.** Pega tres prendas distintas en una tira de 28×84 y, con los mapas de clase, di qué hay en cada tercio sin
# recortar nada. ¿Cuánto acierto pierdes frente a mirar cada prenda por separado?

# %% tags=["solucion"]
strips = torch.cat(list(pixels[:300].view(100, 3, 1, 28, 28).unbind(1)), dim=-1)  # (100, 1, 28, 84)
thirds = inspection.feature_maps(mini, strips, "10").view(100, 10, 7, 3, 7).mean((2, 4))
read = thirds.argmax(1).flatten()
together = (read == test.labels[:300]).double().mean().item()
apart = right[:300].double().mean().item()
print(f"en tira: {together:.1%}; por separado: {apart:.1%}")
assert together > apart - 0.35

# %% [markdown] tags=["solucion"]
# Una sola pasada lee las tres. Lo que se pierde viene de las fronteras: donde antes había relleno, ahora hay otra prenda.

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# De NiN no quedó la red. Quedaron sus dos piezas. La convolución de 1×1 es el cuello de botella de
# [GoogLeNet](googlenet.py) y de [ResNet](resnet.py), y el promedio global es el
# final de casi todo lo que vino después. Hasta el nombre: el artículo de GoogLeNet dice que Inception se llama así por este, y por
# un chiste de internet sobre ir más hondo.
#
# - [Lin, Chen y Yan (2013)](../referencia/bibliografia.md#lin2013), el artículo: diez páginas que se leen de una sentada.
# - [Szegedy y otros (2014)](../referencia/bibliografia.md#szegedy2014), GoogLeNet, que tomó las dos piezas.
# - [Selvaraju y otros (2016)](../referencia/bibliografia.md#selvaraju2016), sobre mirar mapas de clase en cualquier red.
#
# **En el paquete:** [NiN][cnnhistory.models.nin.NiN], [NiNBlock][cnnhistory.models.nin.NiNBlock],
# [NiNImageNet][cnnhistory.models.nin.NiNImageNet] y [NiNMini][cnnhistory.models.nin.NiNMini].
#
# **En la historia:** viene de [AlexNet](alexnet.py), y es del mismo año que [ZFNet](zfnet.py).
#
# [^telefono]: Lo midió iFixit al abrirlo, según [International Business Times](https://ibtimes.com/iphone-4s-teardown-reveals-a5-processor-512-mb-ram-323697).
# [^articulo]: [Lin, Chen y Yan (2013)](../referencia/bibliografia.md#lin2013). De ahí salen la estructura de la red y las cifras de
#     CIFAR-10.
