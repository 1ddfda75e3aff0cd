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
# caminos con su ancho, que es el error más repetido sobre esta red.
#
# <!-- generado: ficha resnext50_32x4d -->

# %% [markdown]
# ## Dos herencias { #historia }
#
# En 2016 había dos maneras de diseñar un bloque. La de [GoogLeNet](../historia/la-carrera.md#2014): repartir el dato en
# ramas, transformarlo en cada una y juntar el resultado. Rendía mucho por cada operación, pero las
# ramas eran todas distintas, y cada filtro de cada rama se había elegido a mano. ¿Cómo se adapta eso a otro
# problema? Y la de VGG y ResNet: una receta simple que se repite. Pocas decisiones, fáciles de
# trasladar.
#
# Saining Xie, Ross Girshick, Piotr Dollár, Zhuowen Tu y Kaiming He, de la Universidad de California en San Diego
# y de Facebook AI Research, juntaron las dos. Ramas como las de Inception, pero **todas iguales**: así la
# única decisión es cuántas. La herramienta la había dejado [AlexNet](alexnet.py#torres) en 2012, sin querer: la convolución
# en grupos, que inventó para repartirse en dos tarjetas.
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

# %% alt="La ResNeXt-50 como bloques apilados: el tronco baja de 224 a 56 y siguen dieciséis bloques que se estrechan de 56 a 28, 14 y 7 mientras engordan de 256 a 2048 canales; después, el promedio global y las mil clases." caption="El viaje de una foto por la ResNeXt-50. Por fuera es la ResNet-50."
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
# El artículo dibuja el bloque de tres maneras y afirma que son equivalentes. Aquí, con 4 caminos de 2 canales:

# %% alt="Tres diagramas. En el «a», cuatro columnas de tres convoluciones, 1×1, 3×3 y 1×1, que se juntan en un signo más. En el «b», cuatro columnas de dos convoluciones que se juntan con «concatenar». En el «c», una sola columna: 1×1, 3×3 en 4 grupos y 1×1." caption="Las tres formas, sin el atajo. La «b» termina, después de concatenar, con una sola 1×1 que ve los 8 canales."
paths = 4
plotting.blocks(
    {
        "a: sumar": plotting.Block(
            [["convolución 1×1, 2", "convolución 3×3, 2", "convolución 1×1"]] * 4, "+"
        ),
        "b: concatenar": plotting.Block(
            [["convolución 1×1, 2", "convolución 3×3, 2"]] * 4, "concatenar"
        ),
        "c: en grupos": plotting.Block(
            [["convolución 1×1, 8", "convolución 3×3, 8,\n4 grupos", "convolución 1×1"]]
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
block = ResNeXtBlock(16, 64, cardinality=paths, bottleneck_width=8).double().eval()
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


channels = [slice(2 * path, 2 * path + 2) for path in range(paths)]
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
batches = data.Batches(train, 64, shuffle=True, seed=SEED, transform=normalize)
history = training.train(resnext_mini, batches, val_batches, epochs=2, lr=0.1)
scores = training.evaluate(resnext_mini, test_batches)
card, parent = models.CATALOG["resnext_mini"], models.CATALOG["resnet_mini"]
print(
    f"parámetros: {inspection.thousands(card.parameters)}; ResNet mini tiene {inspection.thousands(parent.parameters)}"
)
print(f"operaciones: {card.macs / parent.macs:.2f} veces las de ResNet mini")
print(f"acierto en prueba, tras {len(history)} épocas: {scores.top1:.1%}")
assert scores.top1 > 0.78

# %% tags=["tiempos"]
print(f"{history[-1].images_per_second:.0f} imágenes por segundo")

# %% alt="Matriz de confusión de diez prendas. La diagonal domina; los errores se concentran entre camisa, camiseta, suéter y abrigo, y entre los calzados." caption="Lo que dijo la ResNeXt mini, en porcentaje de cada clase verdadera."
resnext_mini.eval()
with torch.inference_mode():
    said = torch.cat([resnext_mini(x).argmax(1) for x, _ in test_batches])
plotting.confusion_matrix(test.labels, said, test.classes)

# %% [markdown]
# El mismo cálculo que la ResNet mini con poco más de un tercio de los parámetros. La carrera completa, con las 60 000 imágenes y
# tres semillas, está en [la carrera justa](../resultados/carrera-justa.py).

# %% [markdown]
# ## El experimento: caminos contra ancho { #experimento }
#
# El del artículo: mismas capas, mismo precio, distinto reparto. Usamos sus mismas parejas $(C, d)$ en bloques de 64 y 128
# canales, donde los anchos se dividen entre 4 y entre 2. Cada una, con tres semillas.


# %%
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
    lots = data.Batches(few, 32, shuffle=True, seed=seed, transform=normalize)
    return training.train(net, lots, val_batches, epochs=3, lr=0.1)[-1]


seeds = range(3 * SEED, 3 * SEED + 3)
contest = {}
print("  C    d   parámetros   pérdida al entrenar   acierto en validación")
for cardinality, width in ((1, 64), (2, 40), (4, 24), (32, 4)):
    last = [train_few(lambda: small_net(cardinality, width), seed) for seed in seeds]  # noqa: B023
    losses, hits = [e.train_loss for e in last], [e.val_top1 for e in last]
    contest[cardinality] = losses, hits
    size = inspection.count_parameters(small_net(cardinality, width))
    print(
        f"{cardinality:>3}  {width:>3}   {inspection.thousands(size):>10}   {sum(losses) / 3:>19.3f}   "
        f"{sum(hits) / 3:.1%} (de {min(hits):.1%} a {max(hits):.1%})"
    )
