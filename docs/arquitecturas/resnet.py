# %% [markdown]
# # ResNet (2015): que más hondo no sea peor
#
# Tienes una red de 20 capas que funciona. Le agregas 36 más. ¿Puede salir peor?
#
# Parece imposible. En el peor de los casos, las 36 nuevas podrían copiar lo que reciben y no hacer nada: la
# red quedaría igual que antes. Y sin embargo, sale peor. No porque memorice: se equivoca más **con las mismas
# fotos con que aprendió**. Una solución tan buena como la anterior está ahí, y el entrenamiento no la encuentra.
#
# En esta página provocas esa falla, mides qué le pasa por dentro a la red y la arreglas con una suma. La
# suma es de una línea. Es, quizá, la línea más copiada de esta historia.
#
# <!-- generado: ficha resnet50 -->

# %% [markdown]
# ## Santiago de Chile, diciembre de 2015 { #historia }
#
# ### Lo que se creía { #se-creia }
#
# Que la profundidad era el camino. La cuenta por años lo decía sola: 8 capas en 2012, hasta 19 en
# [VGG](vgg.py) y 22 en GoogLeNet, dos años después. Lo que frenaba a las redes hondas
# parecía conocido: el gradiente se apagaba camino de las primeras capas. Para eso ya había dos
# remedios, nacer con pesos de la [escala justa](../referencia/bibliografia.md#he2015prelu) y la
# [normalización por lotes](../referencia/bibliografia.md#ioffe2015). Con ellos, a seguir apilando.
#
# ### Quién lo cambió { #quien }
#
# Kaiming He, Xiangyu Zhang, Shaoqing Ren y Jian Sun, de Microsoft Research Asia. Apilaron, y vieron que una
# red simple de 34 capas se equivocaba más que otra de 18. El porcentaje de error top-1 en la validación de
# ImageNet, según la tabla 2 del [artículo](../referencia/bibliografia.md#he2015resnet):
#
# | Red | 18 capas | 34 capas |
# | --- | ---: | ---: |
# | Plana | 27.94 | **28.54** |
# | Residual | 27.88 | 25.03 |
#
# La primera fila es el problema. La segunda es el arreglo. Entre la red plana y la residual de 34 capas hay una
# diferencia de una suma cada dos convoluciones. Nada más.
#
# El 17 de diciembre de 2015, en un taller del congreso ICCV, en Santiago de Chile, se presentaron los resultados
# del desafío. El artículo salió publicado en 2016. Estas son las cifras de ese año, con las de las
# dos redes que se adelantaron:

# %% tags=["oculto"]
from cnnhistory import ilsvrc

print(f"{'equipo':<22} {'red':<24} {'error top-5':>11}  medido en")
for result in ilsvrc.results(2015):
    where = "prueba" if result.test_set == "2012+" else "validación"
    network = result.network + (" (conjunto)" if result.is_ensemble else "")
    print(f"{result.team:<22} {network:<24} {result.top5_error:>10.2f}%  {where}")
print()
for human in ilsvrc.human_level():
    print(f"{human.label:<47} {human.top5_error:>10.1f}%  {human.test_images} fotos")

# %% [markdown]
# ### ¿Mejor que una persona? { #nivel-humano }
#
# De las filas de abajo salió el «nivel humano» de los titulares. Léelas enteras. Era **una** persona, que había
# practicado con 500 fotos, medida en una muestra; a la segunda le fue más del doble de mal. Y la cifra que se
# le puso enfrente era de seis redes promediadas. Lo que ResNet ganó fue la competencia, con holgura. Lo
# demás se discute en [la carrera](../historia/la-carrera.py#nivel-humano). Lo cierto es que
# desde entonces la clasificación de ImageNet empezó a verse como un problema resuelto.
#
# ### ¿Por qué 152 y no más? { #por-que-152 }
#
# Se cuenta que era lo que cabía en la memoria de sus ocho tarjetas. El artículo no lo dice, pero podemos ver si es
# creíble. Para retropropagar hay que guardar los mapas de cada capa. Sumemos solo los que salen de
# convoluciones y normalizaciones, en `float32`. El lote del artículo es de 256 fotos: repartido en ocho
# tarjetas, 32 por tarjeta.

# %%
import math

import torch

from cnnhistory import inspection, models, plotting

for depth in (50, 101, 152):
    with torch.device("meta"):  # solo formas: ni memoria ni cálculo
        table = inspection.shape_table(models.create(f"resnet{depth}"), (3, 224, 224))
    kept = [row for row in table if row.kind in ("Conv2d", "BatchNorm2d")]
    maps_gb = 4 * 32 * sum(math.prod(row.output_shape) for row in kept) / 1e9
    weights_gb = 3 * 4 * sum(row.parameters for row in table) / 1e9
    print(
        f"ResNet-{depth}: mapas {maps_gb:.1f} GB, pesos con su gradiente y momento {weights_gb:.1f} GB"
    )
assert 5 < maps_gb < 7
assert maps_gb > 5 * weights_gb

# %% [markdown]
# Eso es una cota inferior: faltan los gradientes de los mapas, las sumas, el lote y el espacio de trabajo. Una
# tarjeta grande de 2015 tenía [12 GB](../historia/2012-alexnet.py). La historia es verosímil: la
# profundidad se pagaba en mapas guardados, no en pesos.

# %% [markdown]
# ## La idea: dejar pasar { #idea }
#
# ### Más grande no es más cerca { #familias }
#
# Una arquitectura es una **familia de funciones**: todas las que sus pesos pueden formar. Entrenar es
# buscar, dentro de ella, la más cercana a la que quieres. ¿Una familia más grande llega más cerca? Solo si
# **contiene** a la anterior.
#
# Míralo con una función que se calcula a mano, $e^x - 1$. La familia número $k$ tiene $k$ pesos. En la
# primera escalera son las potencias $x, x^2, \dots, x^k$: cada familia contiene a la de antes, basta poner el
# peso nuevo en cero. En la segunda son $x^k, \dots, x^{2k-1}$: también crece, pero cada vez suelta lo que
# tenía. La distancia es la menor que se puede lograr en cada familia.

# %% alt="Dos líneas contra el número de pesos, de 1 a 5, con la distancia en escala logarítmica. Las familias anidadas bajan sin parar, varios órdenes de magnitud. Las no anidadas bajan de 1 a 2 pesos y desde ahí suben un poco con cada peso." caption="Distancia de la mejor función de cada familia a la buscada. Anidar garantiza que agregar un peso no empeora; no anidar no garantiza nada."
import itertools

import matplotlib.pyplot as plt

x = torch.linspace(0, 1, 50, dtype=torch.float64)
target = (torch.exp(x) - 1)[:, None]


def closest(powers):
    """Distancia entre la función buscada y la mejor combinación de esas potencias."""
    basis = torch.stack([x**power for power in powers], dim=1)
    return (basis @ torch.linalg.lstsq(basis, target).solution - target).norm().item()


sizes = range(1, 6)
nested = [closest(range(1, k + 1)) for k in sizes]
loose = [closest(range(k, 2 * k)) for k in sizes]
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.4, 2.9))
    axis.semilogy(
        sizes,
        nested,
        "o-",
        color=plotting.PALETTE[0],
        label="anidadas: cada una contiene a la anterior",
    )
    axis.semilogy(sizes, loose, "s--", color=plotting.PALETTE[1], label="no anidadas")
    axis.set(xlabel="pesos de la familia", ylabel="distancia", xticks=sizes)
    axis.legend(loc="lower left")
plt.close(figure)
figure

# %%
assert all(after < before for before, after in itertools.pairwise(nested))
assert loose[2] > loose[1]  # más pesos y, aun así, más lejos
assert loose[4] > loose[1]

# %% [markdown]
# ¿Y las redes? Si una capa nueva puede ser la **identidad**, la red más honda contiene a la anterior. En teoría
# puede: una convolución de 3×3 con un 1 en el centro copia su mapa. Pero tiene que encontrarla. Con 64 canales
# hay que acertar 64 unos y poner a cero los demás pesos.

# %%
from torch import nn
from torch.nn import functional as F

copy = nn.Conv2d(64, 64, 3, padding=1, bias=False)
nn.init.dirac_(copy.weight)
maps = torch.rand(1, 64, 7, 7)
assert torch.equal(copy(maps), maps)
ones, zeros = int((copy.weight == 1).sum()), int((copy.weight == 0).sum())
print(f"para copiar 64 mapas: {ones} unos en su sitio y {inspection.thousands(zeros)} ceros")

# %% [markdown]
# ### Que aprenda la diferencia { #diferencia }
#
# El arreglo es preguntar otra cosa. Si lo que quieres de un bloque es $H(x)$, no le pidas $H(x)$. Pídele solo lo que
# **falta**, $F(x) = H(x) - x$, y súmaselo a la entrada:
#
# $$ H(x) = F(x) + x $$
#
# $F$ es el residuo (*residual*), y el camino por el que pasa $x$ sin tocarse, el atajo (*shortcut*). Ahora copiar es
# lo más fácil del mundo: todos los pesos de $F$ en cero, que es hacia donde ya empuja el decaimiento de los
# pesos. Un bloque que no hace falta se apaga y el dato pasa de largo.
#
# Hay un segundo efecto, hacia atrás. Pon diez capas de un solo peso, $w = 0.1$. En la red plana la salida es
# $w^{10}x$; en la residual, $(1 + w)^{10}x$. La pendiente de la salida respecto de la entrada es lo que
# multiplica a $x$: $0.1^{10}$, una décima de milmillonésima, contra $1.1^{10} \approx 2.6$.

# %%
for name, layer in (("plana", lambda x: 0.1 * x), ("residual", lambda x: 0.1 * x + x)):
    start = torch.tensor(1.0, requires_grad=True)
    output = start
    for _ in range(10):
        output = layer(output)
    output.backward()
    print(f"{name:<9} pendiente con 10 capas: {start.grad:.2g}")
assert abs(start.grad - 1.1**10) < 1e-4

# %% [markdown]
# Por el atajo, el gradiente llega entero: la derivada de $F(x) + x$ es $F'(x) + 1$. Ese 1 no depende de ningún
# peso.
#
# ## El código: una suma cada dos convoluciones { #codigo }
#
# ### El bloque { #bloque }
#
# Dos convoluciones de 3×3, como las de VGG, cada una con su normalización por lotes. ReLU entre las dos y, al final,
# **después** de la suma. Es el código del paquete.

# %% tags=["fuente"]
from cnnhistory.models.resnet import PlainBlock, ResidualBlock, conv_bn

# %% alt="Tres bloques, cada uno de arriba abajo. El plano es una sola columna de tres cajas. El residual tiene la columna de las convoluciones y otra vacía, la identidad, que se juntan en un signo más seguido de ReLU. El cuello de botella tiene tres convoluciones, de 1×1, 3×3 y 1×1, y también la identidad." caption="Los tres bloques del artículo. Todos terminan en una ReLU, que en los residuales va después de la suma; el cuello de botella lleva otra tras cada una de sus dos primeras convoluciones."
plotting.blocks(
    {
        "plano": plotting.Block([["convolución 3×3", "ReLU", "convolución 3×3"]]),
        "residual": plotting.Block([["convolución 3×3", "ReLU", "convolución 3×3"], []], "+"),
        "cuello de botella": plotting.Block(
            [["convolución 1×1, ÷4", "convolución 3×3", "convolución 1×1, ×4"], []], "+"
        ),
    }
)

# %% [markdown]
# Mira el residual con ojos de 2014: es un bloque [Inception](googlenet.py) de dos ramas, una de
# ellas vacía, que suma en vez de concatenar.
#
# Para poder sumar, $F(x)$ y $x$ deben tener la misma forma. Cuando el bloque cambia los canales o parte el mapa a la
# mitad, el atajo lleva una convolución de 1×1 que lo adapta.

# %%
images = torch.rand(4, 3, 6, 6)
same, halved = ResidualBlock(3, 3), ResidualBlock(3, 6, stride=2)
for name, block in (("misma forma", same), ("la mitad", halved)):
    layers = inspection.count_parameters(block.shortcut)
    print(f"{name:<12} {tuple(block(images).shape)}, parámetros del atajo: {layers}")
assert same(images).shape == (4, 3, 6, 6)
assert halved(images).shape == (4, 6, 3, 3)

for block in (same, halved):
    nn.init.zeros_(block.residual[2][1].weight)  # la última normalización: F(x) = 0
assert torch.equal(same(images), images)  # se apagó, y el dato pasa
assert not torch.allclose(PlainBlock(3, 3)(images), images)

# %% [markdown]
# ### El cuello de botella { #cuello }
#
# En las redes de 50 capas o más, el bloque baja primero los canales a la cuarta parte, convoluciona ahí y los vuelve a
# subir.

# %% tags=["fuente"]
from cnnhistory.models.resnet import Bottleneck

# %%
with torch.device("meta"):
    for label, block, channels in (
        ("básico, 64 canales", ResidualBlock, 64),
        ("básico, 256 canales", ResidualBlock, 256),
        ("cuello, 256 canales", Bottleneck, 256),
    ):
        count = inspection.count_parameters(block(channels, channels))
        print(f"{label:<20} {inspection.thousands(count):>10} parámetros")

# %% [markdown]
# Cuatro veces más canales por el precio de un bloque básico angosto, y con tres capas en lugar de dos. El básico con
# 256 costaría dieciséis veces más.
#
# ### La red { #red }
#
# Un tronco, cuatro etapas, un promedio. Se parece a GoogLeNet en el principio y el final: convolución de
# 7×7 con paso 2, pooling, y al terminar un promedio global y una sola capa densa. En medio es mucho más simple: el
# mismo bloque, repetido. En cada etapa nueva, la mitad de lado y el doble de canales.

# %%
from cnnhistory.models.initialization import he_normal

# %% tags=["fuente"]
from cnnhistory.models.resnet import RESNET18, RESNET34, RESNET50, Block, ResNet, residual_stages  # noqa: F401

# %%
with torch.device("meta"):
    resnet34, plain34 = ResNet(ResidualBlock, RESNET34), ResNet(PlainBlock, RESNET34)
residual_table = inspection.shape_table(resnet34, (3, 224, 224), whole=(ResidualBlock,))
residual_table

# %% alt="La ResNet-34 como bloques apilados: la foto de 224×224, el tronco que baja a 112 y a 56, y dieciséis bloques residuales que se estrechan de 56 a 28, 14 y 7 mientras engordan de 64 a 512 canales; al final, el promedio global y las mil clases. El corchete de lo que ve una posición alcanza el ancho de la foto en la tercera etapa." caption="El viaje de una foto por la ResNet-34. Cada bloque residual es una fila: dos convoluciones y una suma."
plotting.data_flow(residual_table, (3, 224, 224))

# %% [markdown]
# ¿Dónde están las 34 capas? Se cuentan las que tienen pesos en el camino principal: la del tronco, dos por
# bloque y la densa. Las de 1×1 de los atajos no se cuentan.

# %%
for name, stages, per_block in (("18", RESNET18, 2), ("34", RESNET34, 2), ("50", RESNET50, 3)):
    blocks = sum(depth for depth, _ in stages)
    print(f"ResNet-{name}: 1 + {per_block} × {blocks} + 1 = {1 + per_block * blocks + 1}")
    assert 1 + per_block * blocks + 1 == int(name)

# %% [markdown]
# ### Plana 34 contra residual 34 { #plana-34 }
#
# Las dos redes de la tabla del principio, contadas. Y la familia entera, contra las cifras conocidas.

# %%
plain_table = inspection.shape_table(plain34, (3, 224, 224))
extra = sum(r.parameters for r in residual_table) - sum(r.parameters for r in plain_table)
extra_macs = sum(r.macs for r in residual_table) / sum(r.macs for r in plain_table) - 1
projections = sum(64 * 2**i * 128 * 2**i + 2 * 128 * 2**i for i in range(3))
print(
    f"la residual tiene {inspection.thousands(extra)} parámetros más, los de sus tres atajos de 1×1"
)
print(f"y hace un {extra_macs:.1%} más de operaciones")
assert extra == projections
with torch.device("meta"):
    counts = {
        n: inspection.count_parameters(models.create(f"resnet{n}")) for n in (18, 34, 50, 101, 152)
    }
for depth, count in counts.items():
    print(f"ResNet-{depth:<4} {inspection.thousands(count):>10} parámetros")
assert list(counts.values()) == [11_689_512, 21_797_672, 25_557_032, 44_549_160, 60_192_808]

# %% [markdown]
# Nadie puede decir que gana porque es más grande: es la misma red con tres convoluciones diminutas de más. Y ni siquiera
# eso hace falta. Las residuales de la tabla del principio no las llevaban. Sus atajos, como los de CIFAR-10, no tienen
# ningún parámetro: donde el mapa se parte, toman una posición de cada dos y rellenan con ceros los canales que
# faltan. Es la opción A del artículo; la de las 1×1, que es la de torchvision y resultó algo mejor, es la B. Con la A
# haremos los experimentos.

# %% tags=["fuente"]
from cnnhistory.models.resnet import CifarResidualBlock

# %%
assert inspection.count_parameters(CifarResidualBlock(8, 16, 2)) == inspection.count_parameters(
    PlainBlock(8, 16, 2)
)

# %% [markdown]
# ## Prueba de fidelidad: las cuentas de torchvision { #fidelidad }
#
# Le damos a nuestra red los pesos de la de torchvision y las mismas imágenes. Las medias y varianzas de la
# normalización se ponen al azar: recién nacidas son 0 y 1, y taparían un error.

# %%
import torchvision

from cnnhistory import weights

torch.manual_seed(0)
photos = torch.randn(2, 3, 48, 48, dtype=torch.float64)
for name in ("resnet18", "resnet50"):
    reference = torchvision.models.get_model(name, weights=None).double().eval()
    for module in reference.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    with torch.device("meta"):
        ours = models.create(name)
    ours.load_state_dict(weights.convert(name, reference.state_dict()), strict=True, assign=True)
    with torch.inference_mode():
        expected, got = reference(photos), ours.eval()(photos)
    difference = ((got - expected).abs().max() / expected.std()).item()
    print(f"{name}: diferencia relativa {difference:.0e}")
    assert difference < 1e-9
del reference, ours

# %% [markdown]
# Con una salvedad que está en la ficha. El artículo pone el paso 2 en la primera 1×1 del cuello de botella;
# torchvision, y nosotros, en la 3×3. Por qué importa lo verás en un ejercicio. La tabla con toda la familia
# está en [Fidelidad](../resultados/fidelidad.py).

# %% [markdown]
# ## Entrenamiento en miniatura { #entrenamiento }
#
# <!-- generado: ficha resnet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.resnet import CifarResNet, ResNetMini  # noqa: F401

# %%
assert ResNetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %%
from cnnhistory import data, training

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=0)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)

torch.manual_seed(SEED)
resnet_mini = ResNetMini()
batches = data.Batches(train, 64, shuffle=True, seed=SEED, transform=normalize)
history = training.train(resnet_mini, batches, val_batches, epochs=2, lr=0.1)
scores = training.evaluate(resnet_mini, test_batches)
print(f"parámetros: {inspection.thousands(inspection.count_parameters(resnet_mini))}")
print(f"pérdida al entrenar: {history[-1].train_loss:.3f}")
print(f"acierto en prueba, tras {len(history)} épocas: {scores.top1:.1%}")
assert scores.top1 > 0.78

# %% tags=["tiempos"]
print(f"{history[-1].images_per_second:.0f} imágenes por segundo")

# %% alt="Dos gráficas de la ResNet mini en dos épocas. La pérdida de entrenamiento y la de validación bajan, y el acierto en validación sube." caption="La ResNet mini, época por época."
plotting.curves(history, "ResNet mini")

# %% alt="Matriz de confusión de diez prendas. La diagonal domina; la fila de la camisa reparte sus errores entre camiseta, suéter y abrigo, y las prendas de calzado se confunden entre sí." caption="Lo que dijo la ResNet mini, en porcentaje de cada clase verdadera."
resnet_mini.eval()
with torch.inference_mode():
    said = torch.cat([resnet_mini(x).argmax(1) for x, _ in test_batches])
plotting.confusion_matrix(test.labels, said, test.classes)

# %%
right = torch.stack([(said[test.labels == k] == k).float().mean() for k in range(10)])
print("la que peor reconoce:", test.classes[int(right.argmin())])

# %% [markdown]
# Eso es con el subconjunto que cabe en esta página. La misma red con Fashion-MNIST entero, cuatro épocas y tres
# semillas está en [la carrera justa](../resultados/carrera-justa.py), al lado de todas las demás.
#
# <!-- generado: grabada resnet_mini -->

# %% [markdown]
# ## El experimento: las planas se degradan { #experimento }
#
# El del artículo, en pequeño. Cuatro redes: plana y residual, de 10 y de 38 capas. Los mismos lotes, la misma
# tasa, la misma inicialización. Plana y residual tienen exactamente los mismos parámetros. Entrenamos poco y
# miramos la pérdida **de entrenamiento**, la que no puede culpar al sobreajuste.


# %%
def deep_net(block, depth, width=8):
    """Una red de 4·depth + 2 capas, con dos etapas de `depth` bloques."""
    net = nn.Sequential(
        *(conv_bn(1, width, 3, stride=2), nn.ReLU(), nn.MaxPool2d(2)),  # (N, 8, 7, 7)
        residual_stages(block, width, ((depth, width), (depth, 2 * width))),  # (N, 16, 4, 4)
        *(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2 * width, 10)),
    )
    he_normal(net)
    return net


few = train[torch.arange(2000)]
few_val = data.Batches(val[torch.arange(500)], 500, transform=normalize)


def train_few(block, depth):
    torch.manual_seed(SEED)
    net = deep_net(block, depth)
    lots = data.Batches(few, 32, shuffle=True, seed=SEED, transform=normalize)
    return net, training.train(net, lots, few_val, epochs=3, lr=0.1)


kinds = {"plana": PlainBlock, "residual": CifarResidualBlock}
plural = {"plana": "planas", "residual": "residuales"}
runs = {(kind, depth): train_few(kinds[kind], depth) for kind in kinds for depth in (2, 9)}

# %% alt="Dos gráficos de la pérdida de entrenamiento en tres épocas. A la izquierda, las planas: la línea de 38 capas queda muy por encima de la de 10. A la derecha, las residuales: las dos líneas casi se confunden y terminan abajo." caption="Pérdida al entrenar. A la izquierda, agregar capas estorba; a la derecha, no."
with plotting.style():
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.9), sharey=True)
    for axis, kind in zip(axes, kinds, strict=True):
        for (depth, marker), color in zip(((2, "o"), (9, "s")), plotting.PALETTE, strict=False):
            losses = [epoch.train_loss for epoch in runs[kind, depth][1]]
            axis.plot((1, 2, 3), losses, marker=marker, color=color, label=f"{4 * depth + 2} capas")
        axis.set(title=plural[kind], xlabel="época", xticks=(1, 2, 3))
        axis.grid(alpha=0.25, color=plotting.INK)
        axis.legend()
    axes[0].set_ylabel("pérdida al entrenar")
    figure.tight_layout()
plt.close(figure)
figure

# %%
final = {key: past[-1].train_loss for key, (_, past) in runs.items()}
print(f"{'':<9}  capas  pérdida al entrenar  acierto en validación")
for (kind, depth), (_, past) in runs.items():
    print(
        f"{kind:<9}  {4 * depth + 2:>5}  {past[-1].train_loss:>19.3f}  {past[-1].val_top1:>21.1%}"
    )
assert final["plana", 9] > final["plana", 2] + 0.2  # se degrada, y en entrenamiento
assert final["residual", 9] < 1.15 * final["residual", 2]  # la residual, no
assert final["residual", 9] < final["plana", 2]

# %% [markdown]
# Ahí está. La plana de 38 capas contiene de sobra a la de 10, y el mismo entrenamiento la deja mucho más atrás. Con
# el atajo, agregar veintiocho capas no cuesta nada.
#
# Tampoco se gana nada, y hay que decirlo. Con 2000 fotos de 28×28, diez capas ya bastan. En ImageNet sí se
# ganaba: mira la segunda fila de la tabla del principio. Y otro límite de lo que vimos: son tres
# épocas, y aquí no se probó si con muchas más la plana alcanza a la otra. Los propios autores sospechan que esas redes no es que no puedan, sino
# que avanzan con una lentitud que crece mucho con la profundidad.
#
# ### ¿Era el gradiente que se desvanece? { #gradientes }
#
# Es lo que se responde siempre, y el artículo lo niega: sus redes planas llevan normalización por lotes, y
# comprobaron que el gradiente llegaba con normas sanas. Midámoslo. En redes de 38 capas recién nacidas,
# ¿cuánto vale el gradiente a la entrada de cada bloque, comparado con el que recibe el último?


# %%
class BarePlainBlock(PlainBlock):
    """Un bloque plano sin normalización."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        self.plain[0][1] = self.plain[2][1] = nn.Identity()


def gradient_by_depth(block, scale=1.0):
    """Norma del gradiente a la entrada de cada bloque, entre la del último."""
    torch.manual_seed(SEED)
    net = deep_net(block, 9).train()
    images, labels = next(iter(data.Batches(few, 64, transform=normalize)))
    maps, inputs = net[:3](images), []
    for layer in (layer for stage in net[3] for layer in stage):
        for conv in (part for part in layer.modules() if isinstance(part, nn.Conv2d)):
            conv.weight.data *= scale
        maps.retain_grad()
        inputs.append(maps)
        maps = layer(maps)
    F.cross_entropy(net[4:](maps), labels).backward()
    norms = [x.grad.norm().item() for x in inputs]
    return [norm / norms[-1] for norm in norms]


depths = {
    "plana, sin BN, pesos pequeños": gradient_by_depth(BarePlainBlock, scale=0.5),
    "plana": gradient_by_depth(PlainBlock),
    "residual": gradient_by_depth(CifarResidualBlock),
}
for name, norms in depths.items():
    print(f"{name:<30} del último bloque al primero, el gradiente × {norms[0]:.3g}")

# %% alt="Tres líneas en escala logarítmica contra el número de bloque, del 1 al 18. Sin normalización, el gradiente cae muchísimos órdenes de magnitud hacia el primer bloque. En la plana con normalización crece hacia el primero del orden de cien veces. En la residual crece mucho menos." caption="Norma del gradiente a la entrada de cada bloque al nacer, relativa a la del último bloque. Sin normalización se desvanece; con ella, en la red plana, crece hacia las primeras capas."
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.0, 3.0))
    for (name, norms), marker, color in zip(depths.items(), "^so", plotting.PALETTE, strict=False):
        axis.semilogy(range(1, 19), norms, marker=marker, markersize=4, color=color, label=name)
    axis.set(xlabel="bloque", ylabel="gradiente (último bloque = 1)", xticks=range(1, 19, 2))
    axis.legend(loc="lower right")
    figure.tight_layout()
plt.close(figure)
figure

# %%
assert depths["plana, sin BN, pesos pequeños"][0] < 1e-6  # se desvanece
assert depths["plana"][0] > 10  # no se desvanece: crece
assert 1 < depths["residual"][0] < depths["plana"][0] / 4

# %% [markdown]
# Sin normalización y con pesos pequeños, el gradiente se desvanece: es la falla que ya se conocía. La normalización lo
# arregla, y la red plana se degrada *de todos modos*. Su gradiente no se apaga. Al contrario: crece hacia las
# primeras capas, y cada bloque lo amplifica. A una sola tasa de aprendizaje le cuesta más servir a capas con gradientes
# tan desiguales; es una explicación posible, no la única. Con el atajo los tamaños se parecen bastante más.
#
# Así que cuando leas «ResNet resolvió el desvanecimiento del gradiente», desconfía. Eso ya estaba casi
# resuelto. Resolvió lo que quedaba después.

# %% [markdown]
# ## Lo que aprendió: correcciones pequeñas { #aprendio }
#
# ### Cuánto corrige cada bloque { #correcciones }
#
# Si la hipótesis es buena, los bloques deben retocar, no rehacer. En la residual de 38 capas medimos el tamaño de
# $F(x)$ comparado con el de $x$, bloque por bloque. Y lo mismo en la red recién nacida, para no atribuirle al
# aprendizaje lo que ya venía de fábrica.

# %%
deep_residual = runs["residual", 9][0].eval()
chain = [layer for stage in deep_residual[3] for layer in stage]


@torch.inference_mode()
def corrections(net):
    """Norma de F(x) entre la de x, en cada bloque."""
    maps, ratios = net[:3](next(iter(few_val))[0]), []
    for block in (layer for stage in net[3] for layer in stage):
        ratios.append((block.residual(maps).norm() / maps.norm()).item())
        maps = block(maps)
    return ratios


torch.manual_seed(SEED)
newborn, trained = corrections(deep_net(CifarResidualBlock, 9).train()), corrections(deep_residual)
for name, ratios in (("recién nacida", newborn), ("entrenada", trained)):
    for stage in (0, 1):
        row = "  ".join(f"{ratio:.2f}" for ratio in ratios[9 * stage : 9 * stage + 9])
        print(f"{name:<13}  etapa {stage + 1}:  {row}")

# %%
assert max(trained[3:]) < 0.55
assert abs(sum(trained) - sum(newborn)) / 18 < 0.2  # ya era así al nacer

# %% [markdown]
# Los bloques retocan: pasados los tres primeros, lo que suman es la mitad de lo que entraba, o menos. Pero compara
# las filas. La red recién nacida ya era así, y entrenar apenas lo cambió. Tiene una razón simple: $F(x)$ sale
# de una normalización, con un tamaño que no crece, y $x$ va engordando con cada suma. Las correcciones pequeñas no
# son algo que la red descubrió. Se las da la arquitectura.
#
# ### Cortar, de uno en uno { #cortar }
#
# Ahora la cirugía. A esa red, **ya entrenada y sin volver a entrenarla**, le cortamos un bloque de dos maneras.
# Primero le quitamos el residuo: queda el atajo, el dato pasa de largo. Después, al revés: le quitamos el
# atajo y queda solo $F(x)$, o sea, un bloque plano. Uno cada vez, en los dieciocho.


# %%
class OnlyShortcut(nn.Module):
    """Un bloque residual al que se le cortó el residuo."""

    def __init__(self, block):
        super().__init__()
        self.stride, self.missing = block.stride, block.missing

    def forward(self, x):
        kept = x[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, 0, self.missing))  # ya no es negativo: ReLU no cambia nada


def only_residual(block):
    """Un bloque residual al que se le cortó el atajo."""
    return nn.Sequential(*block.residual, nn.ReLU())


def accuracy_without(net, change):
    """Acierto en validación cambiando cada bloque, de uno en uno; la red queda como estaba."""
    hits = []
    for stage in net[3]:
        for index, block in enumerate(stage):
            stage[index] = change(block)
            hits.append(training.evaluate(net, few_val).top1)
            stage[index] = block
    return hits


whole = training.evaluate(deep_residual, few_val).top1
no_residual = accuracy_without(deep_residual, OnlyShortcut)
no_shortcut = accuracy_without(deep_residual, only_residual)
print(f"entera:                 {whole:.1%}")
print(f"sin un residuo, media:  {sum(no_residual) / 18:.1%}")
print(f"sin un atajo, media:    {sum(no_shortcut) / 18:.1%}")

# %% alt="Dos series de dieciocho puntos, una por bloque. Sin el residuo, casi todos los puntos quedan cerca de la línea del acierto de la red entera. Sin el atajo, muchos caen muy por debajo." caption="Acierto en validación al cortar un solo bloque de la red de 38 capas. La línea punteada es la red entera."
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 3.0))
    axis.axhline(100 * whole, color=plotting.INK, linestyle=":", linewidth=1)
    for hits, marker, color, label in (
        (no_residual, "o", plotting.PALETTE[0], "sin su residuo: el dato pasa de largo"),
        (no_shortcut, "s", plotting.PALETTE[1], "sin su atajo: bloque plano"),
    ):
        axis.plot(range(1, 19), [100 * hit for hit in hits], marker, color=color, label=label)
    axis.set(xlabel="bloque cortado", ylabel="acierto (%)", xticks=range(1, 19, 2), ylim=(0, 100))
    axis.legend(loc="center")
    figure.tight_layout()
plt.close(figure)
figure

# %%
assert sum(no_residual) / 18 > sum(no_shortcut) / 18 + 0.1

# %% [markdown]
# El atajo es la columna vertebral; los residuos, retoques. [Veit, Wilber y
# Belongie](../referencia/bibliografia.md#veit2016) hicieron esta cirugía en redes de verdad y propusieron otra
# manera de verlas. Si en cada bloque el dato puede pasar o ser corregido, una red de 18 bloques es la suma de
# $2^{18}$ caminos, casi todos mucho más cortos que 38 capas. Quitar un bloque apaga la mitad de los caminos y deja la otra
# mitad. En una red plana hay un solo camino.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Una etapa que nunca parte el mapa { #nunca-parte }
#
# En una implementación comentada muy leída, el paso de cada bloque se decide así: 2 si la red todavía no tiene ningún
# bloque, 1 si ya los tiene. El comentario que hay encima dice justo lo contrario, y el comentario tenía razón. El mapa se
# parte en el primer bloque de todos y nunca más. Nada falla, porque el promedio global acepta mapas de cualquier lado:
# la red entrena y acierta. Solo que la última etapa, que debía trabajar en 7×7, trabaja en 56×56.


# %%
def stages_that_never_halve(block, in_channels, stages):
    body = nn.Sequential()
    for depth, channels in stages:
        stage = nn.Sequential()
        for position in range(depth):
            stride = 2 if len(body) == 0 and position == 0 else 1  # el error: == por >
            stage.append(block(in_channels, channels, stride))
            in_channels = channels
        body.append(stage)
    return body


with torch.device("meta"):
    wrong = ResNet(ResidualBlock, RESNET34)
    wrong.stages = stages_that_never_halve(ResidualBlock, 64, RESNET34)
    wrong.stem = wrong.stem[:2]  # aquella red, además, no lleva pooling en el tronco
wrong_table = inspection.shape_table(wrong, (3, 224, 224), whole=(ResidualBlock,))
cost = {}
for name, rows in (("bien", residual_table), ("mal", wrong_table)):
    blocks_only = [row for row in rows if row.kind == "ResidualBlock"]
    cost[name] = sum(row.macs for row in rows)
    print(
        f"{name:<5} último mapa {blocks_only[-1].output_shape}, "
        f"{inspection.thousands(sum(row.parameters for row in rows))} parámetros, "
        f"{cost[name] / 1e9:.1f} mil millones de MACs"
    )
print(f"cuesta × {cost['mal'] / cost['bien']:.0f}")
assert cost["mal"] > 15 * cost["bien"]

# %% [markdown]
# Los parámetros casi no lo delatan, porque no dependen del tamaño del mapa. Lo delatan las formas: por eso cada página de este
# sitio imprime la tabla.
#
# ### ReLU antes de la suma { #relu-antes }
#
# ¿Dónde va la última ReLU? El artículo la pone después de sumar. Si la pones antes, sobre $F(x)$, el residuo solo
# puede ser positivo: el bloque puede agregar, nunca quitar. Al cabo de muchos bloques la señal no hace más que
# engordar. La diferencia en el código es un paréntesis.


# %%
class ReluBeforeSum(CifarResidualBlock):
    """El error: `relu(F(x)) + x` en lugar de `relu(F(x) + x)`."""

    def forward(self, x):
        shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.missing))
        return F.relu(self.residual(x)) + shortcut


def growth(block):
    """Media de los mapas al salir del último bloque de la etapa 1, entre la de la entrada."""
    torch.manual_seed(SEED)
    net = deep_net(block, 9).train()
    with torch.inference_mode():
        start = net[:3](next(iter(few_val))[0])
        return (net[3][0](start).mean() / start.mean()).item()


_, early_history = train_few(ReluBeforeSum, 9)
grown = {block: growth(block) for block in (CifarResidualBlock, ReluBeforeSum)}
early = early_history[-1].train_loss
print("              la señal, tras 9 bloques   pérdida al entrenar")
print(f"ReLU después   {grown[CifarResidualBlock]:>22.1f} ×   {final['residual', 9]:>19.3f}")
print(f"ReLU antes     {grown[ReluBeforeSum]:>22.1f} ×   {early:>19.3f}")
assert grown[ReluBeforeSum] > 1.4 * grown[CifarResidualBlock]
assert early > final["residual", 9] + 0.1

# %% [markdown]
# La pérdida lo paga: un paréntesis mal puesto devuelve buena parte de la degradación que el atajo había quitado. Un año
# después los mismos autores estudiaron [dónde poner cada pieza](../referencia/bibliografia.md#he2016) y
# encontraron un orden mejor que el suyo: normalización y ReLU *antes* de cada convolución, y nada después de la suma. Así el
# atajo queda limpio de punta a punta.
#
# ### El atajo con sesgo y sin normalización { #atajo-con-sesgo }
#
# Muchas copias escriben el atajo de 1×1 como una convolución suelta, con sesgo y sin normalizar. Funciona. ¿Qué cambia? El
# residuo sale de una normalización, con varianza 1; el atajo, con la inicialización corriente de
# PyTorch, sale con lo que sea.


# %%
class LooseShortcut(ResidualBlock):
    """El error: un atajo sin normalizar, con el sesgo que la normalización haría inútil."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        if not isinstance(self.shortcut, nn.Identity):
            self.shortcut = nn.Conv2d(in_channels, out_channels, 1, stride)


torch.manual_seed(SEED)
maps = F.relu(torch.randn(32, 64, 8, 8))
share = {}
for name, block in (("bien", ResidualBlock(64, 128, 2)), ("mal", LooseShortcut(64, 128, 2))):
    with torch.inference_mode():
        through, residual = block.shortcut(maps).var(), block.residual(maps).var()
    share[name] = (through / (through + residual)).item()
    print(f"{name:<5} lo que pone el atajo en la varianza de la suma: {share[name]:.0%}")
assert 0.45 < share["bien"] < 0.55
assert share["mal"] < 0.3

with torch.device("meta"):
    loose18 = ResNet(LooseShortcut, RESNET18)
difference = counts[18] - inspection.count_parameters(loose18)
print(f"y en la ResNet-18, {difference} parámetros menos: los pesos publicados ya no entran")
missing, _ = loose18.load_state_dict(
    models.create("resnet18").state_dict(), strict=False, assign=True
)
assert missing  # faltan los sesgos
assert difference == 128 + 256 + 512

# %% [markdown]
# El camino que debía dejar pasar el dato nace casi cerrado en cada cambio de etapa. Al entrenar
# puede abrirse, y aquí no medimos cuánto cuesta. Lo que pierdes seguro es poder cargar los pesos de los demás.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Cuenta a mano los parámetros del primer bloque de la segunda etapa de la ResNet-18: entra con 64
# canales, sale con 128 y parte el mapa. No olvides que cada normalización tiene dos por canal.

# %% tags=["solucion"]
by_hand = (64 * 128 * 9 + 2 * 128) + (128 * 128 * 9 + 2 * 128) + (64 * 128 + 2 * 128)
print(by_hand)
assert by_hand == inspection.count_parameters(ResidualBlock(64, 128, stride=2))

# %% [markdown]
# **2. Calcula.** La ResNet-34 tiene 16 bloques, y en cada uno el dato pasa por el residuo o de largo. ¿Cuántos caminos hay?
# ¿Cuántas convoluciones de bloques atraviesa el camino medio? ¿Qué parte de los caminos atraviesa 24 o más de las 32?

# %% tags=["solucion"]
paths = [math.comb(16, k) for k in range(17)]  # caminos que pasan por k residuos
mean = sum(2 * k * count for k, count in enumerate(paths)) / sum(paths)
long_share = sum(paths[12:]) / sum(paths)
print(f"{inspection.thousands(sum(paths))} caminos, de {mean:.0f} convoluciones en promedio")
print(f"pasan por 24 o más: {long_share:.1%}")
assert sum(paths) == 2**16
assert mean == 16
assert long_share < 0.04

# %% [markdown]
# **3. Cambia.** En el cuello de botella con paso 2, el artículo pone el paso en la primera 1×1. ¿Qué parte de las posiciones de la
# entrada no llega a mirar nadie en el residuo? Compruébalo con gradientes, contra nuestra versión.

# %% tags=["solucion"]
original = Bottleneck(16, 32, stride=2)
original.residual[0][0].stride, original.residual[2][0].stride = (2, 2), (1, 1)
for name, block in (("paso en la 1×1", original), ("paso en la 3×3", Bottleneck(16, 32, stride=2))):
    maps = torch.randn(2, 16, 8, 8, requires_grad=True)
    block.residual(maps).square().sum().backward()
    unseen = (maps.grad.abs().sum(dim=(0, 1)) == 0).float().mean().item()
    print(f"{name}: sin mirar, {unseen:.0%} de las posiciones")
    assert unseen == (0.75 if block is original else 0)

# %% [markdown]
# **4. Corta más.** Quita varios residuos a la vez, elegidos al azar, de la red de 38 capas ya entrenada. ¿Se derrumba de
# golpe o se va apagando?

# %% tags=["solucion"]
generator = torch.Generator().manual_seed(SEED)
positions = [(stage, index) for stage in range(2) for index in range(9)]
left = {}
for removed in (0, 2, 4, 8):
    hits = []
    for _ in range(5):
        chosen = torch.randperm(18, generator=generator)[:removed].tolist()
        saved = {positions[i]: chain[i] for i in chosen}
        for (stage, index), block in saved.items():
            deep_residual[3][stage][index] = OnlyShortcut(block)
        hits.append(training.evaluate(deep_residual, few_val).top1)
        for (stage, index), block in saved.items():
            deep_residual[3][stage][index] = block
    left[removed] = sum(hits) / 5
    print(f"{removed} residuos menos: acierto medio {left[removed]:.1%}")
assert left[2] > left[8]
assert training.evaluate(deep_residual, few_val).top1 == whole  # quedó como estaba

# %% [markdown] tags=["solucion"]
# Se va apagando, como un conjunto de redes al que se le van quitando miembros.

# %% [markdown]
# **5. Inventa.** [Goyal y otros](../referencia/bibliografia.md#goyal2017) hicieron nacer cada bloque siendo la identidad, con
# un solo cambio en la inicialización. Encuéntralo y mide el gradiente por profundidad: ¿qué debería salir?


# %% tags=["solucion"]
class BornIdentity(CifarResidualBlock):
    """Un bloque que nace dejando pasar: la escala de su última normalización empieza en cero."""

    def __init__(self, in_channels, out_channels, stride=1):
        super().__init__(in_channels, out_channels, stride)
        nn.init.zeros_(self.residual[2][1].weight)


flat = gradient_by_depth(BornIdentity)
print("bloques 1, 5, 9, 14 y 18:", "  ".join(f"{flat[i]:.2f}" for i in (0, 4, 8, 13, 17)))
assert max(flat) - min(flat) < 1e-4  # el mismo gradiente en todos

# %% [markdown]
# ## Referencias { #referencias }
#
# - [He, Zhang, Ren y Sun (2015)](../referencia/bibliografia.md#he2015resnet), el artículo. La sección 4.1 es la del
#   experimento de las redes planas.
# - [He, Zhang, Ren y Sun (2016)](../referencia/bibliografia.md#he2016), dónde poner cada pieza del bloque.
# - [Veit, Wilber y Belongie (2016)](../referencia/bibliografia.md#veit2016), la cirugía y los caminos cortos.
# - [Goyal y otros (2017)](../referencia/bibliografia.md#goyal2017), los bloques que nacen siendo la identidad.
# - [Ioffe y Szegedy (2015)](../referencia/bibliografia.md#ioffe2015), la normalización sin la que nada de esto entrena.
# - [Russakovsky y otros (2015)](../referencia/bibliografia.md#russakovsky2015), de dónde sale el nivel humano.
#
# **En el paquete:** [ResNet][cnnhistory.models.resnet.ResNet],
# [ResidualBlock][cnnhistory.models.resnet.ResidualBlock],
# [PlainBlock][cnnhistory.models.resnet.PlainBlock],
# [Bottleneck][cnnhistory.models.resnet.Bottleneck] y
# [ResNetMini][cnnhistory.models.resnet.ResNetMini].
#
# **En la historia:** viene de [VGG](vgg.py), de quien toma las 3×3, y de la
# [normalización por lotes](batch-normalization.py). No es
# [AlexNet](alexnet.py) con más capas, que así no aprende: es otra manera de apilarlas. Después,
# [ResNeXt](resnext.py) partirá su bloque en ramas, [DenseNet](densenet.py) cambiará la suma por una concatenación y [SENet](senet.py) le
# pondrá compuertas. El atajo salió pronto de la visión: lo llevan los transformers y las redes que trabajan con grafos.
