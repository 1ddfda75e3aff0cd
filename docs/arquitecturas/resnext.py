# %% [markdown]
# # ResNeXt (2016): más ramas por el mismo precio
#
# Quieres que un bloque de [ResNet](resnet.py) aprenda más. Tienes dos perillas. Más capas: cada una se
# calcula después de la anterior, y hay que guardar sus mapas. O más canales: si doblas los que entran y los que
# salen, la convolución cuesta **cuatro** veces más, porque cada uno de los que salen mira a todos los que entran.
#
# ¿Y si no hiciera falta que todos miren a todos? ResNeXt pone una tercera perilla: en cuántos caminos
# independientes se parte el bloque. Se llama cardinalidad (*cardinality*). En esta página la giras sin cambiar
# el precio, demuestras que tres dibujos distintos son la misma red, y aprendes a no confundir el número de
# caminos con su ancho, un error que se repite de copia en copia.
#
# <!-- generado: ficha resnext50_32x4d -->

# %% [markdown]
# ## Dos herencias { #historia }
#
# En 2016 había dos maneras de diseñar un bloque. La de [GoogLeNet](googlenet.py): repartir el dato en
# ramas, transformarlo en cada una y juntar el resultado. Rendía mucho por cada operación, pero las
# ramas eran todas distintas, y cada filtro de cada rama se había elegido a mano. ¿Cómo se adapta eso a otro
# problema? Y la de VGG y ResNet: una receta simple que se repite. Pocas decisiones, fáciles de
# trasladar.
#
# Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu y Kaiming He, de la Universidad de California en San Diego
# y de Facebook AI Research, juntaron las dos. Ramas como las de Inception, pero **todas iguales**: así la
# única decisión es cuántas. La herramienta la había dejado [AlexNet](alexnet.py#torres) en 2012, sin querer: la convolución
# en grupos, que usó para repartirse en dos tarjetas.
#
# Con esa red quedaron segundos en el desafío de 2016. El artículo se publicó en el congreso CVPR de 2017.

# %% tags=["oculto"]
from cnnhistory import ilsvrc

for result in ilsvrc.results(2016):
    print(f"{result.team:<15} {result.network:<28} {result.top5_error:.2f}% de error top-5")

# %% [markdown]
# Segundos, por centésimas, detrás de un conjunto de redes ya conocidas. Más que el puesto importa la comparación con su
# madre, que los autores publicaron junto con su
# [código](https://github.com/facebookresearch/ResNeXt). Es el porcentaje de error top-1 en la validación de ImageNet, con un solo
# recorte por foto. En cada fila las dos redes cuestan lo mismo:
#
# | Capas | ResNet | ResNeXt, 32 caminos |
# | --- | ---: | ---: |
# | 50 | 23.9 | **22.2** |
# | 101 | 22.0 | **21.2** |

# %% [markdown]
# ## La idea: no todos tienen que mirar a todos { #idea }
#
# ### Una matriz, o varias más pequeñas { #matriz }
#
# Mira un solo píxel. Una convolución de 1×1 con 8 canales de entrada y 8 de salida es una matriz de 8×8: 64 pesos. En dos
# grupos, los cuatro primeros canales de salida solo miran a los cuatro primeros de entrada, y los otros cuatro, a
# los otros. Son dos matrices de 4×4: 32 pesos. Con cuatro grupos, cuatro de 2×2: 16. Con $g$ grupos, el
# costo se divide entre $g$.

# %% alt="Cuatro matrices de 8 por 8 cuadritos. En la primera están todos pintados. En las siguientes solo se pintan los bloques de la diagonal: dos de 4×4, cuatro de 2×2 y ocho de 1×1." caption="Qué canal de entrada (columna) mira cada canal de salida (fila), según el número de grupos. Lo vacío son pesos que no existen."
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import inspection, plotting


def seen_by_each(layers, channels):
    """Matriz de ceros y unos: qué canal de entrada llega a cada canal de salida."""
    x = torch.rand(1, channels, 1, 1, requires_grad=True)
    outputs = layers(x).flatten()
    return torch.stack(
        [torch.autograd.grad(y, x, retain_graph=True)[0].flatten().abs() > 0 for y in outputs]
    )


torch.manual_seed(0)
with plotting.style():
    figure, axes = plt.subplots(1, 4, figsize=(7.2, 2.1))
    for axis, groups in zip(axes, (1, 2, 4, 8), strict=True):
        layer = nn.Conv2d(8, 8, 1, groups=groups, bias=False)
        looks = seen_by_each(layer, 8)
        assert looks.sum() == layer.weight.numel() == 64 // groups
        for row, column in looks.nonzero().tolist():
            axis.add_patch(plt.Rectangle((column, 7 - row), 0.9, 0.9, color=plotting.PALETTE[0]))
        word = "grupo" if groups == 1 else "grupos"
        axis.set(xlim=(0, 8), ylim=(0, 8), aspect="equal", xticks=[], yticks=[])
        axis.set_title(f"{groups} {word}: {layer.weight.numel()} pesos", fontsize=9)
    figure.tight_layout()
plt.close(figure)
figure

# %% [markdown]
# Para una ventana de $k \times k$ la cuenta es la misma: $k^2 \cdot c_{entran} \cdot c_{salen} / g$. Sin grupos, el doble de
# canales cuesta el cuádruple. Con el doble de canales **y** el doble de grupos, solo el doble. Con lo que
# ahorras puedes pagar más canales.
#
# ### El precio: los grupos no se hablan { #mezclar }
#
# Pon dos convoluciones en grupos, una tras otra. Los canales de un grupo nunca llegan a saber qué vieron los del otro,
# por más capas que apiles. Son redes distintas que viajan juntas. Una convolución de 1×1 sin grupos lo arregla:
# mezcla todo.


# %%
def grouped():
    return nn.Conv2d(8, 8, 1, groups=4)


for name, layers in (
    ("en grupos, en grupos", nn.Sequential(grouped(), grouped())),
    ("1×1, en grupos, 1×1", nn.Sequential(nn.Conv2d(8, 8, 1), grouped(), nn.Conv2d(8, 8, 1))),
):
    looks = seen_by_each(layers, 8).sum(1)
    print(f"{name:<21} cada salida se entera de {int(looks.min())} de las 8 entradas")
    assert looks.unique().tolist() == ([2] if name.startswith("en") else [8])

# %% [markdown]
# El cuello de botella de ResNet ya tiene esas dos 1×1: una baja los canales y otra los sube. Basta con poner los
# grupos en la de en medio. Las 1×1 hacen dos trabajos por el mismo precio, cambiar el número de canales y mezclarlos. Eso es
# ResNeXt.
#
# ### Repartir, transformar, juntar { #repartir }
#
# El artículo lo mira de otra manera, que empieza por la neurona más simple. Un producto escalar, $\sum_i w_i x_i$, ya es
# eso: **reparte** $x$ en números sueltos, **transforma** cada uno multiplicándolo por su peso y **junta** todo sumando.
# Ahora cambia «multiplicar por un peso» por «pasar por una pequeña red» $T_i$:
#
# $$ y = x + \sum_{i=1}^{C} T_i(x) $$
#
# $C$ es la cardinalidad. Todas las $T_i$ tienen la misma forma: una 1×1 que baja a $d$ canales, una 3×3 y una 1×1 que sube.
# La red se nombra por esos dos números: 32×4d son 32 caminos de 4 canales. Con $C = 1$ es una ResNet.

# %% [markdown]
# ## El código: cambia un argumento { #codigo }
#
# ### El bloque { #bloque }
#
# `conv_bn` y `residual_stages` son las de [ResNet](resnet.py#codigo). Lo nuevo es `groups=cardinality`.

# %%
from cnnhistory.models.initialization import he_normal
from cnnhistory.models.resnet import conv_bn, residual_stages

# %% tags=["fuente"]
from cnnhistory.models.resnext import ResNeXtBlock

# %% alt="Dos bloques casi iguales, con tres convoluciones y la identidad que se juntan en un signo más. En el de ResNet, los canales son 64, 64 y 256. En el de ResNeXt son 128, 128 en 32 grupos, y 256." caption="El bloque de la primera etapa en la ResNet-50 y en la ResNeXt-50: el doble de canales por dentro, y la de en medio en 32 grupos."
plotting.blocks(
    {
        "ResNet-50": plotting.Block(
            [["convolución 1×1, 64", "convolución 3×3, 64", "convolución 1×1, 256"], []], "+"
        ),
        "ResNeXt-50": plotting.Block(
            [
                [
                    "convolución 1×1, 128",
                    "convolución 3×3, 128,\n32 grupos",
                    "convolución 1×1, 256",
                ],
                [],
            ],
            "+",
        ),
    }
)

# %%
images = torch.rand(4, 32, 96, 96)
same = ResNeXtBlock(32, 32, cardinality=4, bottleneck_width=64)
halved = ResNeXtBlock(32, 32, stride=2, cardinality=4, bottleneck_width=64)
assert same(images).shape == (4, 32, 96, 96)  # la misma forma: se puede sumar
assert halved(images).shape == (4, 32, 48, 48)  # con paso 2, la mitad, y 1×1 en el atajo
print(type(same.shortcut).__name__, "y", type(halved.shortcut).__name__)

# %% [markdown]
# ### El mismo precio { #precio }
#
# ¿Cuánto cuesta un bloque de 256 canales con $C$ caminos de $d$? Cada camino tiene tres convoluciones:
#
# $$ C \cdot (256 \cdot d + 3 \cdot 3 \cdot d \cdot d + d \cdot 256) $$
#
# La ResNet-50 es $C = 1$, $d = 64$. Para cada cardinalidad, el artículo busca el ancho que deja el precio igual:

# %%
EQUAL_COST = ((1, 64), (2, 40), (4, 24), (8, 14), (32, 4))

print("  C    d   canales por dentro   pesos")
for cardinality, width in EQUAL_COST:
    weights_count = cardinality * (256 * width + 9 * width * width + width * 256)
    block = ResNeXtBlock(256, 256, cardinality=cardinality, bottleneck_width=width)
    counted = sum(p.numel() for p in block.parameters() if p.ndim > 1)
    print(
        f"{cardinality:>3}  {width:>3}   {cardinality * width:>18}   {inspection.thousands(counted)}"
    )
    assert counted == weights_count
    assert abs(counted / 69_632 - 1) < 0.03

# %% [markdown]
# Todas valen lo mismo, con un 3 % de margen. Lo que cambia es el reparto: con 32 caminos el bloque tiene el doble
# de canales por dentro, y cada uno mira a 4 en vez de a 64.
#
# ### La red { #red }
#
# Es la clase `ResNet`, con este bloque en lugar del cuello de botella. No hay que escribir nada más.

# %%
from cnnhistory import models
from cnnhistory.models.resnet import RESNET50, Bottleneck, ResNet

with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    resnet50, resnext50 = ResNet(Bottleneck, RESNET50), ResNet(ResNeXtBlock, RESNET50)
table = inspection.shape_table(resnext50, (3, 224, 224), whole=(ResNeXtBlock,))
table

# %% alt="La ResNeXt-50 como bloques apilados: el tronco baja de 224 a 56 y siguen dieciséis bloques que se estrechan de 56 a 28, 14 y 7 mientras engordan de 256 a 2048 canales; después, el promedio global y las mil clases. El corchete de lo que ve una posición alcanza el ancho de la foto en la tercera etapa." caption="El viaje de una foto por la ResNeXt-50. Por fuera es la ResNet-50."
plotting.data_flow(table, (3, 224, 224))

# %%
parameters = {
    "ResNet-50": inspection.count_parameters(resnet50),
    "ResNeXt-50 32×4d": inspection.count_parameters(resnext50),
}
macs = {
    "ResNet-50": inspection.count_macs(resnet50, (3, 224, 224)),
    "ResNeXt-50 32×4d": sum(row.macs for row in table),
}
for name, count in parameters.items():
    print(
        f"{name:<17} {inspection.thousands(count)} parámetros, {macs[name] / 1e9:.2f} mil millones de MACs"
    )
assert parameters == {"ResNet-50": 25_557_032, "ResNeXt-50 32×4d": 25_028_904}
assert abs(macs["ResNeXt-50 32×4d"] / macs["ResNet-50"] - 1) < 0.05

# %% [markdown]
# ## Prueba de fidelidad: tres dibujos, una red { #fidelidad }
#
# ### La figura 3 del artículo { #tres-formas }
#
# El artículo dibuja el bloque de tres maneras y afirma que son equivalentes. Aquí, con 2 caminos de 4 canales:

# %% alt="Tres diagramas. En el «a», dos columnas de tres convoluciones, 1×1, 3×3 y 1×1, que se juntan en un signo más. En el «b», dos columnas de dos convoluciones que se juntan con «concatenar». En el «c», una sola columna: 1×1, 3×3 en 2 grupos y 1×1." caption="Las tres formas, sin el atajo. La «b» termina, después de concatenar, con una sola 1×1 que ve los 8 canales."
paths = 2
plotting.blocks(
    {
        "a: sumar": plotting.Block(
            [["convolución 1×1, 4", "convolución 3×3, 4", "convolución 1×1"]] * 2, "+"
        ),
        "b: concatenar": plotting.Block(
            [["convolución 1×1, 4", "convolución 3×3, 4"]] * 2, "concatenar"
        ),
        "c: en grupos": plotting.Block(
            [["convolución 1×1, 8", "convolución 3×3, 8,\n2 grupos", "convolución 1×1"]]
        ),
    }
)

# %% [markdown]
# ¿Por qué? Dos pasos. De la «c» a la «b»: una convolución en grupos es, por definición, cortar los canales,
# convolucionar cada trozo con los suyos y concatenar. De la «b» a la «a»: multiplicar una matriz por algo concatenado es
# sumar los productos por trozos.
#
# $$ \begin{pmatrix} A & B \end{pmatrix} \begin{pmatrix} u \\ v \end{pmatrix} = Au + Bv $$
#
# No hay que creerlo. Escribamos las formas «a» y «b» a mano, con los pesos de nuestro bloque cortados por caminos, y
# comparemos. Las medias y varianzas de la normalización van al azar, para que no haya nada cómodo.

# %%
torch.manual_seed(0)
block = ResNeXtBlock(16, 64, cardinality=paths, bottleneck_width=16).double().eval()
for layer in block.modules():
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
(reduce, norm1), _, (transform, norm2), _, (restore, norm3) = block.residual


def part(norm, maps, own):
    """La normalización y la ReLU de los canales de un camino."""
    mean, variance = norm.running_mean[own], norm.running_var[own]
    return F.relu(F.batch_norm(maps, mean, variance, norm.weight[own], norm.bias[own]))


def one_path(x, own):
    """La 1×1 que baja y la 3×3, con los pesos de un camino."""
    maps = part(norm1, F.conv2d(x, reduce.weight[own]), own)
    return part(norm2, F.conv2d(maps, transform.weight[own], padding=1), own)


def form_a(x):
    summed = sum(F.conv2d(one_path(x, own), restore.weight[:, own]) for own in channels)
    return F.relu(norm3(summed) + block.shortcut(x))


def form_b(x):
    together = torch.cat([one_path(x, own) for own in channels], dim=1)
    return F.relu(norm3(F.conv2d(together, restore.weight)) + block.shortcut(x))


channels = [slice(4 * path, 4 * path + 4) for path in range(paths)]
maps = torch.randn(2, 16, 7, 7, dtype=torch.float64)
with torch.inference_mode():
    form_c = block(maps)
    for name, form in (("a", form_a), ("b", form_b)):
        difference = (form(maps) - form_c).abs().max().item()
        print(
            f"forma «{name}» contra la «c»: {difference:.0e}, con salidas de hasta {form_c.max():.1f}"
        )
        assert difference < 1e-12

# %% [markdown]
# Son la misma función. La «a» explica la idea, la «b» la emparenta con Inception y la «c» es la que se programa,
# porque es una sola llamada.
#
# Un detalle que da el artículo: la equivalencia solo tiene gracia si el camino tiene tres capas. Con el bloque
# básico de dos, la suma de caminos no es más que un bloque más ancho y sin grupos. Lo comprobarás en un ejercicio.
#
# ### Contra torchvision { #torchvision }

# %%
import torchvision

from cnnhistory import weights

reference = torchvision.models.resnext50_32x4d(weights=None).double().eval()
for layer in reference.modules():
    if isinstance(layer, nn.BatchNorm2d):
        layer.running_mean.normal_(0, 0.1)
        layer.running_var.uniform_(0.5, 1.5)
with torch.device("meta"):
    ours = models.create("resnext50_32x4d")
state = weights.convert("resnext50_32x4d", reference.state_dict())
ours.load_state_dict(state, strict=True, assign=True)
photos = torch.randn(2, 3, 48, 48, dtype=torch.float64)
with torch.inference_mode():
    expected, got = reference(photos), ours.eval()(photos)
difference = ((got - expected).abs().max() / expected.std()).item()
print(f"diferencia relativa con torchvision: {difference:.0e}")
assert difference < 1e-9
del reference, ours

# %% [markdown]
# ## Entrenamiento en miniatura { #entrenamiento }
#
# <!-- generado: ficha resnext_mini -->

# %% tags=["fuente"]
from cnnhistory.models.resnext import ResNeXtMini

# %%
assert ResNeXtMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %%
from cnnhistory import data, training

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=0)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)

torch.manual_seed(SEED)
resnext_mini = ResNeXtMini()
half = train[::2]
batches = data.Batches(half, 64, shuffle=True, seed=SEED, transform=normalize)
history = training.train(resnext_mini, batches, val_batches, epochs=2, lr=0.1)
scores = training.evaluate(resnext_mini, test_batches)
card, parent = models.CATALOG["resnext_mini"], models.CATALOG["resnet_mini"]
print(
    f"parámetros: {inspection.thousands(card.parameters)}; ResNet mini tiene {inspection.thousands(parent.parameters)}"
)
print(f"operaciones: {card.macs / parent.macs:.2f} veces las de ResNet mini")
print(f"acierto en prueba, tras {len(history)} épocas de {len(half)} fotos: {scores.top1:.1%}")
assert scores.top1 > 0.7
assert 0.9 < card.macs / parent.macs < 1
assert 1 / 3 < card.parameters / parent.parameters < 0.4

# %% tags=["tiempos"]
print(f"{history[-1].images_per_second:.0f} imágenes por segundo")

# %% alt="Dos gráficas de la ResNeXt mini en dos épocas. La pérdida de entrenamiento y la de validación bajan, y el acierto en validación sube." caption="La ResNeXt mini, época por época."
plotting.curves(history, "ResNeXt mini")

# %% alt="Matriz de confusión de diez prendas. La diagonal domina; los errores se concentran entre camisa, camiseta, suéter y abrigo, y entre los calzados." caption="Lo que dijo la ResNeXt mini, en porcentaje de cada clase verdadera."
resnext_mini.eval()
with torch.inference_mode():
    said = torch.cat([resnext_mini(x).argmax(1) for x, _ in test_batches])
plotting.confusion_matrix(test.labels, said, test.classes)

# %% [markdown]
# Casi el mismo cálculo que la ResNet mini con poco más de un tercio de los parámetros. La carrera completa, con Fashion-MNIST entero y
# tres semillas, está en [la carrera justa](../resultados/carrera-justa.py).
#
# <!-- generado: grabada resnext_mini -->

# %% [markdown]
# ## El experimento: caminos contra ancho { #experimento }
#
# El del artículo: mismas capas, mismo precio, distinto reparto. Usamos sus mismas parejas $(C, d)$ en bloques de 64 y 128
# canales, donde los anchos se dividen entre 4 y entre 2. Cada una, con tres semillas.


# %%
from functools import partial


def small_net(cardinality, width):
    """Dos etapas de un bloque: los dos argumentos son lo que se prueba."""

    def build(in_channels, out_channels, stride):
        return ResNeXtBlock(in_channels, out_channels, stride, cardinality, width)

    net = nn.Sequential(
        *(conv_bn(1, 32, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2)),  # (N, 32, 7, 7)
        residual_stages(build, 32, ((1, 64), (1, 128))),  # (N, 128, 4, 4)
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )
    he_normal(net)
    return net


few = train[torch.arange(2000)]


def train_few(build, seed):
    torch.manual_seed(seed)
    net = build()
    lots = data.Batches(few, 64, shuffle=True, seed=seed, transform=normalize)
    return training.train(net, lots, val_batches, epochs=3, lr=0.1)[-1]


seeds = range(3 * SEED, 3 * SEED + 3)
contest = {}
print("  C    d   parámetros   pérdida al entrenar   acierto en validación")
for cardinality, width in ((1, 64), (4, 24), (32, 4)):
    last = [train_few(partial(small_net, cardinality, width), seed) for seed in seeds]
    losses, hits = [e.train_loss for e in last], [e.val_top1 for e in last]
    contest[cardinality] = losses, hits
    size = inspection.count_parameters(small_net(cardinality, width))
    print(
        f"{cardinality:>3}  {width:>3}   {inspection.thousands(size):>10}   {sum(losses) / 3:>19.3f}   "
        f"{sum(hits) / 3:.1%} (de {min(hits):.1%} a {max(hits):.1%})"
    )

# %% [markdown]
# ### No se repite, y está bien que lo veas { #no-se-repite }
#
# En el artículo gana la de 32 caminos. Aquí no: queda igual o por debajo de la de uno, y termina con más pérdida al entrenar. Con
# mil fotos de validación, un acierto del 75 % tiene un error estándar de 1.4 puntos, así que las tres casi se confunden;
# pero desde luego no hay rastro de la ventaja.
#
# ¿Contradice al artículo? No. Allí la red tiene cincuenta capas y más de un millón de fotos: sobran datos para que cada
# camino se especialice. Aquí hay dos bloques y 2000 fotos, y al partir por 32 cada filtro de la 3×3 ve uno o dos canales. La cardinalidad
# es una manera de **gastar**, y solo se nota si tienes en qué.

# %%
mean_hit = {cardinality: sum(hits) / 3 for cardinality, (_, hits) in contest.items()}
assert mean_hit[32] < mean_hit[1] + 0.02  # ni rastro de la ventaja
assert max(mean_hit.values()) - min(mean_hit.values()) < 0.06

# %% [markdown]
# ## Lo que aprendió: caminos que se reparten el trabajo { #aprendio }
#
# ¿Hacen todos los caminos lo mismo? Dos preguntas a la ResNeXt mini entrenada, que tiene ocho. Primera: ¿qué responde
# cada uno a la misma prenda? Esta es la salida de la 3×3 en grupos del primer bloque, con los canales de cada camino
# en una fila.

# %% alt="Un botín y treinta y dos mapas pequeños en ocho filas de cuatro, una por camino. Algunos marcan el contorno, otros la suela, otros el interior o el fondo; dentro de una misma fila los mapas no se parecen más entre sí que con los de otras." caption="Un botín y lo que responden los 8 caminos del primer bloque, uno por fila, después de ReLU."
first_block = resnext_mini.stages[0][0]
boot = (test.labels == test.classes.index("botín")).nonzero()[0]
with torch.inference_mode():
    stem = resnext_mini.stem(normalize(test.images[boot].float() / 255))
    maps = first_block.residual[:4](stem)[0]
plotting.image_grid(maps[:, None], columns=len(maps) // 8, size=0.7)

# %% [markdown]
# Segunda: ¿cuánto se pierde si se apaga un camino entero? Ponemos a cero la salida de uno, sin volver a entrenar, en el
# primer bloque y en el último.


# %%
def hits_without(block, path):
    """Acierto en validación con un camino apagado; la red queda como estaba."""
    norm = block.residual[2][1]
    own = slice(path * len(norm.weight) // 8, (path + 1) * len(norm.weight) // 8)
    scale, shift = norm.weight.data.clone(), norm.bias.data.clone()
    norm.weight.data[own] = norm.bias.data[own] = 0  # ReLU(0) = 0: ese camino calla
    hit = training.evaluate(resnext_mini, few_val).top1
    norm.weight.data, norm.bias.data = scale, shift
    return hit


few_val = data.Batches(val[torch.arange(500)], 500, transform=normalize)
whole = training.evaluate(resnext_mini, few_val).top1
print(f"entera: {whole:.1%}")
lost = {}
for name, block in (("primero", first_block), ("último", resnext_mini.stages[1][1])):
    lost[name] = [100 * (whole - hits_without(block, path)) for path in range(8)]
    print(f"{name:<8} puntos que se pierden:", "  ".join(f"{drop:+5.1f}" for drop in lost[name]))
assert training.evaluate(resnext_mini, few_val).top1 == whole
assert max(lost["primero"]) > 4 + sorted(lost["primero"])[2]  # muy desiguales

# %% [markdown]
# Los caminos son iguales en forma y muy distintos en lo que hacen. En el primer bloque hay alguno cuya falta
# cuesta muchos puntos y otros que apenas se echan de menos. Nadie les repartió papeles: salieron del azar con que nacieron y del
# entrenamiento.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Llamar «grupos» al ancho { #grupos-por-ancho }
#
# Lo tiene un libro muy leído, [*Dive into Deep Learning*](https://d2l.ai/chapter_convolutional-modern/resnet.html), y los
# cuadernos que lo copian; hay una [corrección propuesta](https://github.com/d2l-ai/d2l-en/pull/2730). El bloque recibe un
# argumento `groups` y escribe la 3×3 así: `groups=bot_channels // groups`. Léelo despacio. Si pides 32, no obtienes 32
# grupos: obtienes los que salgan de dividir los canales entre 32. O sea, grupos **de 32 canales**. El argumento es el
# ancho con nombre de cardinalidad.


# %%
class WidthCalledGroups(ResNeXtBlock):
    """El error: `groups` se usa como ancho de cada grupo."""

    def __init__(self, in_channels, out_channels, stride=1, groups=32):
        super().__init__(in_channels, out_channels, stride)
        old = self.residual[2][0]
        self.residual[2][0] = nn.Conv2d(
            *(old.in_channels, old.out_channels, 3, stride, 1),
            groups=old.in_channels // groups,
            bias=False,
        )


with torch.device("meta"):
    mistaken = ResNet(WidthCalledGroups, RESNET50)
print("etapa   canales de la 3×3   grupos: bien   mal   pesos: bien      mal")
for stage, (good, bad) in enumerate(zip(resnext50.stages, mistaken.stages, strict=True), 1):
    good3, bad3 = good[1].residual[2][0], bad[1].residual[2][0]
    print(
        f"{stage:>5}   {good3.in_channels:>17}   {good3.groups:>12}   {bad3.groups:>3}   "
        f"{inspection.thousands(good3.weight.numel()):>11}  {inspection.thousands(bad3.weight.numel()):>7}"
    )
more = inspection.count_parameters(mistaken) - inspection.count_parameters(resnext50)
mistaken_macs = inspection.count_macs(mistaken, (3, 224, 224))
print(
    f"la red entera: +{inspection.thousands(more)} parámetros, {mistaken_macs / macs['ResNeXt-50 32×4d'] - 1:+.0%} de operaciones"
)
assert [stage[1].residual[2][0].groups for stage in mistaken.stages] == [4, 8, 16, 32]
try:
    mistaken.load_state_dict(state, assign=True)
    raise AssertionError("los pesos publicados no deberían entrar")
except RuntimeError as error:
    print("y al cargar los pesos:", str(error).splitlines()[1].strip()[:72], "…")

# %% [markdown]
# Nada falla al construirla ni al entrenarla. La cardinalidad, que debía ser constante, cambia en cada etapa. Y fíjate en la última:
# ahí hay 1024 canales, $1024 / 32 = 32$, y sale bien **por casualidad**. Si solo pruebas ese caso, el error es invisible. Con 32
# canales y `groups=16`, salen 2 grupos.

# %%
middle = WidthCalledGroups(256, 256, groups=16).residual[2][0]
print(f"con {middle.in_channels} canales, pides 16 grupos y obtienes {middle.groups}")
assert middle.groups == 8
assert ResNeXtBlock(256, 256, cardinality=16).residual[2][0].groups == 16

# %% [markdown]
# Aquí los argumentos se llaman `cardinality` y `bottleneck_width`, y ninguno de los dos se divide para obtener el otro.
#
# ### Poner grupos en todas partes { #grupos-en-todas }
#
# Si partir la 3×3 ahorra, ¿por qué no partir también las 1×1? Porque ya no mezcla nadie. Ocho caminos que no se hablan desde el
# tronco hasta el final son ocho redes angostas. Midámoslo: la misma red, con ocho caminos, mezclando y sin mezclar.


# %%
def eight_paths(groups):
    """La red del experimento con 8 caminos; `groups`, los de las 1×1: 1 es lo correcto."""

    def build(in_channels, out_channels, stride):
        block = ResNeXtBlock(in_channels, out_channels, stride, 8, 16)
        width = block.residual[2][0].in_channels
        block.residual[0] = conv_bn(in_channels, width, 1, groups=groups)
        block.residual[4] = conv_bn(width, out_channels, 1, groups=groups)
        block.shortcut = conv_bn(in_channels, out_channels, 1, stride, groups=groups)
        return block

    net = nn.Sequential(
        *(conv_bn(1, 32, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2)),
        residual_stages(build, 32, ((1, 64), (1, 128))),
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(128, 10)),
    )
    he_normal(net)
    return net


mixing = {}
for name, groups in (("1×1 enteras", 1), ("1×1 en grupos", 8)):
    mixing[name] = train_few(partial(eight_paths, groups), SEED).train_loss
    reached = seen_by_each(eight_paths(groups).eval()[3], 32).sum(1)
    print(
        f"{name:<14} {inspection.thousands(inspection.count_parameters(eight_paths(groups))):>7} parámetros, "
        f"cada salida ve {int(reached.max())} de 32 canales, pérdida al entrenar {mixing[name]:.3f}"
    )
assert mixing["1×1 en grupos"] > mixing["1×1 enteras"]

# %% [markdown]
# ### Creer que menos operaciones es menos tiempo { #tiempo }
#
# Las MACs se dividen entre $g$; el reloj, no. Una convolución en grupos son muchas multiplicaciones pequeñas, y las
# máquinas prefieren pocas y grandes. Dos convoluciones de 3×3 con los mismos canales, en la máquina que construyó esta página:

# %% tags=["tiempos"]
import time

maps = torch.randn(16, 128, 28, 28)
for groups in (1, 32):
    layer = nn.Conv2d(128, 128, 3, padding=1, groups=groups)
    laps = []
    with torch.inference_mode():
        for _ in range(6):
            start = time.perf_counter()
            layer(maps)
            laps.append(time.perf_counter() - start)
    print(f"{groups:>2} grupos: {128 * 128 * 9 // groups:>6} pesos, {1000 * min(laps):.1f} ms")

# %% [markdown]
# Compara la razón entre los pesos con la razón entre los tiempos. Cuando leas «32 veces menos cálculo», pregunta en qué
# máquina y con qué reloj.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Cuenta a mano los pesos de las tres convoluciones de un bloque 32×4d de la segunda etapa de la
# ResNeXt-50: entran y salen 512 canales y dentro hay 256.

# %% tags=["solucion"]
by_hand = 512 * 256 + 9 * 256 * 256 // 32 + 256 * 512
with torch.device("meta"):
    second = resnext50.stages[1][1]
print(by_hand)
assert by_hand == sum(p.numel() for p in second.residual.parameters() if p.ndim > 1)

# %% [markdown]
# **2. Calcula.** El artículo no prueba $C = 16$. ¿Qué ancho entero $d$ deja el bloque de 256 canales más cerca del precio de la
# ResNet-50? Resuelve la ecuación y compruébalo por fuerza bruta.

# %% tags=["solucion"]
target = 512 * 64 + 9 * 64 * 64  # una ResNet: C = 1, d = 64
exact = (-512 + (512**2 + 4 * 9 * target / 16) ** 0.5) / 18  # 9d² + 512d = precio / C
best = min(range(1, 65), key=lambda d: abs(16 * (512 * d + 9 * d * d) - target))
price = 16 * (512 * best + 9 * best * best)
print(f"d = {exact:.2f}; el entero más cercano en precio es {best}, a {price / target - 1:+.1%}")
assert best == round(exact)

# %% [markdown]
# **3. Demuestra.** El bloque básico tiene dos capas de 3×3. Parte sus canales en caminos y suma: comprueba que sale una
# convolución sin grupos. ¿Por qué ahí la cardinalidad no sirve?

# %% tags=["solucion"]
first, last = torch.randn(8, 16, 3, 3).double(), torch.randn(16, 8, 3, 3).double()
x = torch.randn(1, 16, 6, 6).double()
dense = F.conv2d(F.relu(F.conv2d(x, first, padding=1)), last, padding=1)
summed = sum(
    F.conv2d(F.relu(F.conv2d(x, first[own], padding=1)), last[:, own], padding=1)
    for own in channels
)
print(f"diferencia: {(dense - summed).abs().max():.0e}")
assert torch.allclose(dense, summed)

# %% [markdown] tags=["solucion"]
# La primera capa de todos los caminos, junta, es una convolución corriente; la segunda, sumada, también. No queda ninguna
# capa en medio donde los caminos estén separados, así que no hay nada que agrupar.

# %% [markdown]
# **4. Inventa.** Sin 1×1 que mezclen, dos convoluciones en grupos seguidas no se hablan. Encuentra una manera de que cada salida
# se entere de todas las entradas **sin agregar ni un peso**.


# %% tags=["solucion"]
class Shuffle(nn.Module):
    """Baraja los canales: reparte los de cada grupo entre todos los grupos siguientes."""

    def forward(self, x):
        n, c, h, w = x.shape
        return x.view(n, 4, c // 4, h, w).transpose(1, 2).reshape(n, c, h, w)


def sixteen():
    return nn.Conv2d(16, 16, 1, groups=4)


torch.manual_seed(SEED)
for name, layers in (
    ("sin barajar", nn.Sequential(sixteen(), sixteen())),
    ("barajando", nn.Sequential(sixteen(), Shuffle(), sixteen())),
):
    looks = seen_by_each(layers, 16).sum(1)
    print(f"{name:<12} cada salida se entera de {int(looks.min())} de 16 entradas")
    assert looks.unique().tolist() == ([4] if name == "sin barajar" else [16])

# %% [markdown] tags=["solucion"]
# Con 4 grupos de 4 canales, cada grupo de la segunda capa recibe uno de cada grupo de la primera. Barajar no cuesta operaciones,
# solo mover datos.

# %% [markdown]
# ## Referencias { #referencias }
#
# - [Xie, Girshick, Dollár, Tu y He (2016)](../referencia/bibliografia.md#xie2016), el artículo. La figura 3 es la de las tres
#   formas.
# - [He, Zhang, Ren y Sun (2015)](../referencia/bibliografia.md#he2015resnet), ResNet.
# - [Szegedy y otros (2014)](../referencia/bibliografia.md#szegedy2014), las ramas de Inception.
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012), la primera convolución en grupos.
#
# **En el paquete:** [ResNeXtBlock][cnnhistory.models.resnext.ResNeXtBlock],
# [ResNeXtMini][cnnhistory.models.resnext.ResNeXtMini] y [ResNet][cnnhistory.models.resnet.ResNet].
#
# **En la historia:** viene de [ResNet](resnet.py), de [GoogLeNet](googlenet.py) y, por los grupos, de [AlexNet](alexnet.py). Al año siguiente,
# [SENet](senet.py) ganó el último desafío poniendo sus compuertas sobre una ResNeXt.
