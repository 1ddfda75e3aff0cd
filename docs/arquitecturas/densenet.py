# %% [markdown]
# # DenseNet (2016): no tires nada de lo que ya calculaste
#
# Una red de cien capas calcula en la segunda unos bordes. ¿Qué pasa si los necesita la capa noventa? En una
# red en fila, alguien tendría que copiarlos casi noventa veces, capa por capa, gastando en copiar los
# filtros que harían falta para aprender. ResNet alivió el problema: suma lo nuevo a lo viejo y lo deja pasar.
# Pero una suma no se puede deshacer. Si te digo que dos números suman 7, ya no sabes cuáles eran.
#
# DenseNet hace la pregunta más ingenua posible: **¿y si no se suma nada, y cada capa recibe, tal cual, lo que
# hicieron todas las anteriores?** En esta página ves por qué eso permite capas muy delgadas, cuánto cuesta
# guardarlo todo, medido byte por byte, y qué usa de verdad la red de todo lo que guardó.
#
# <!-- generado: ficha densenet121 -->

# %% [markdown]
# ## Después de los atajos { #historia }
#
# En diciembre de 2015, [ResNet](resnet.py) ganó la clasificación de ILSVRC con 152 capas
# y una idea: sumar a la salida de cada bloque su entrada. El año siguiente fue el de las variaciones sobre el
# atajo. ¿Por qué ayuda? ¿Hace falta que sea una suma? ¿Cuántos se pueden poner?
#
# Gao Huang, Zhuang Liu, Laurens van der Maaten y Kilian Weinberger llevaron la idea a su extremo lógico: dentro
# de un bloque, **todas** las capas se conectan con **todas** las que siguen, y lo que llega se concatena.[^huang]
# De ahí el nombre: el dibujo de quién depende de quién se vuelve denso. El artículo ganó el premio al mejor de
# CVPR 2017.[^premio]
#
# DenseNet no compitió en ILSVRC: no hay ningún año suyo en [la carrera](../historia/la-carrera.py). Lo que
# ofrecía no era un récord, sino el mismo acierto con menos. Según sus autores, en ImageNet iguala a ResNet con
# menos de la mitad de los parámetros y más o menos la mitad de las operaciones. Estos son sus números en
# CIFAR-10, con la aumentación de siempre:[^premio]
#
# | Red | Parámetros (millones) | Error |
# | --- | ---: | ---: |
# | DenseNet, 40 capas, crecimiento 12 | 1.0 | 5.24 % |
# | DenseNet-BC, 100 capas, crecimiento 12 | 0.8 | 4.51 % |
# | DenseNet-BC, 250 capas, crecimiento 24 | 15.3 | 3.62 % |
# | DenseNet-BC, 190 capas, crecimiento 40 | 25.6 | 3.46 % |
#
# Mira las dos primeras filas: más del doble de capas, menos parámetros y menos error. Para entender cómo es
# posible hay que ver qué cambia al concatenar.

# %% [markdown]
# ## La idea: guardar los términos, no la suma { #idea }
#
# ### Un desvío por Taylor { #taylor }
#
# La expansión de Taylor escribe una función como suma de términos cada vez de mayor orden. Alrededor de cero:
#
# $$ f(x) = f(0) + f'(0)\,x + \frac{f''(0)}{2!}\,x^2 + \frac{f'''(0)}{3!}\,x^3 + \dots $$
#
# ResNet se parece a quedarse con dos: $f(x) = x + g(x)$, un término sencillo y uno complicado. ¿Y si queremos
# más de dos? Podemos seguir sumando. O podemos **no sumar todavía** y guardar la lista. Veamos la diferencia con
# la exponencial en $x = 1$, cuyos términos son $x^n/n!$.

# %%
import math

terms = [1 / math.factorial(n) for n in range(5)]  # 1, x, x²/2, x³/6, x⁴/24, con x = 1
print("lista:", [round(term, 4) for term in terms])
print(f"suma:  {sum(terms):.4f}            e = {math.e:.4f}")

# La misma lista, con otros pesos, da otras funciones:
signs = {"e⁻¹": [1, -1, 1, -1, 1], "cos 1": [1, 0, -1, 0, 1], "sen 1": [0, 1, 0, -1, 0]}
truth = {"e⁻¹": math.exp(-1), "cos 1": math.cos(1), "sen 1": math.sin(1)}
for name, weights in signs.items():
    value = sum(w * term for w, term in zip(weights, terms, strict=True))
    print(f"{name}: {value:.4f}, y vale {truth[name]:.4f}")
    assert abs(value - truth[name]) < 0.01

# %% [markdown]
# Con la suma en la mano, 2.7083, solo tienes $e$. Con la lista tienes $e$, y también su inversa, el coseno y el
# seno: basta con que **cada lector ponga sus propios pesos**. Nadie tuvo que volver a calcular las potencias.
#
# Eso es un bloque denso. Cada capa calcula un término nuevo mirando todos los anteriores, y lo agrega a la lista:
#
# $$ x \;\to\; [\,x,\; f_1(x),\; f_2([x, f_1(x)]),\; f_3([x, f_1(x), f_2(\cdot)]),\; \dots\,] $$
#
# ### La tasa de crecimiento { #crecimiento }
#
# ¿De qué tamaño es la lista? Si cada capa agrega $k$ canales, después de $n$ capas hay $k_0 + n k$. Ese $k$ se
# llama **tasa de crecimiento** (*growth rate*). Dos capas que agregan 10 canales a una imagen de 3 dan 23:

# %%
import torch

from cnnhistory.models.densenet import DenseBlock, Transition

x = torch.randn(4, 3, 8, 8)
block = DenseBlock(depth=2, in_channels=3, growth_rate=10)
y = block(x)
print(tuple(x.shape), "→", tuple(y.shape))
assert y.shape == (4, 3 + 2 * 10, 8, 8)
assert torch.equal(y[:, :3], x)  # la entrada sigue ahí, intacta

# %% [markdown]
# La última línea es toda la idea: los tres canales de la entrada están en la salida, idénticos. Como cada capa
# puede leer todo lo anterior, no necesita copiarlo, y le basta con aportar **poco**. Por eso las capas de DenseNet
# son tan delgadas: 32 canales en la DenseNet-121, donde una ResNet tiene hasta 2048.
#
# ### Las transiciones { #transiciones }
#
# Una lista que solo crece acaba por no caber, y mapas de distinto tamaño no se pueden concatenar. Entre bloque y
# bloque hay una **capa de transición** (*transition layer*): una convolución de 1×1 que deja la mitad de los
# canales y un pooling promedio que deja la mitad del lado.

# %%
print(tuple(y.shape), "→", tuple(Transition(23)(y).shape))
assert Transition(23)(y).shape == (4, 11, 4, 4)

# %% tags=["oculto"] alt="Dos dibujos. A la izquierda, el bloque de ResNet: dos convoluciones de 3×3 y, al lado, un camino sin capas; se juntan con un signo más. A la derecha, la capa de DenseNet: una convolución de 1×1 y otra de 3×3, y al lado un camino sin capas; se juntan con la palabra concatenar." caption="El mismo dibujo con otra palabra al final. En ResNet la salida tiene tantos canales como la entrada; en DenseNet, los de la entrada y k más. La normalización y la ReLU van antes de cada convolución."
from cnnhistory import inspection, plotting

plotting.blocks(
    {
        "ResNet: bloque básico": plotting.Block(
            paths=[["convolución 3×3, 64", "convolución 3×3, 64"], []], merge="+"
        ),
        "DenseNet: una capa del bloque": plotting.Block(
            paths=[
                [
                    "normalización",
                    "convolución 1×1, 4k",
                    "normalización",
                    "convolución 3×3, k",
                ],
                [],
            ],
            merge="concatenar",
        ),
    }
)

# %% [markdown]
# ### Y el gradiente, por la puerta directa { #gradiente }
#
# Concatenar tiene otro efecto. El clasificador ve la salida de la primera capa sin intermediarios, así que el
# error le llega también sin intermediarios. Midámoslo con 24 convoluciones pequeñas, recién nacidas y sin
# normalización, unidas de tres maneras. ¿Qué gradiente recibe la primera?


# %%
from torch import nn
from torch.nn import functional as F


def first_gradient(union, layers=24, width=8):
    """Norma del gradiente que recibe la primera de varias capas, antes de entrenar."""
    torch.manual_seed(0)
    features = nn.Conv2d(1, width, 3, padding=1)(torch.randn(16, 1, 12, 12))
    chain = []
    for _ in range(layers):
        chain.append(nn.Conv2d(features.shape[1], width, 3, padding=1))
        new = chain[-1](F.relu(features))
        features = union(features, new)
    logits = nn.Linear(features.shape[1], 10)(F.relu(features).mean((2, 3)))
    F.cross_entropy(logits, torch.arange(16) % 10).backward()
    return chain[0].weight.grad.norm().item()


gradients = {
    "en fila": first_gradient(lambda old, new: new),
    "sumando": first_gradient(lambda old, new: old + new),
    "concatenando": first_gradient(lambda old, new: torch.cat([old, new], dim=1)),
}
for union, norm in gradients.items():
    print(f"{union:<13}{norm:.0e}")
assert gradients["en fila"] < 1e-6
assert min(gradients["sumando"], gradients["concatenando"]) > 1e-3

# %% [markdown]
# En fila, a la primera capa no le llega nada: es el desvanecimiento del gradiente. Las otras dos lo evitan, cada
# una con su puerta. No leas más de lo que dice: sumar ya bastaba. La ventaja propia de concatenar no es esta; es
# que cada capa elige qué leer.

# %% [markdown]
# ## El código, del bloque a la red { #codigo }
#
# Cada capa del bloque denso lleva la normalización y la ReLU **antes** de cada convolución, y empieza por una
# 1×1 que reduce lo acumulado a $4k$ canales. (Ojo con la palabra: nada de esto es una capa densa, *fully
# connected*. Denso es el dibujo de las conexiones.) Sin ese cuello de botella, la 3×3 leería cientos de
# canales. Esa variante se llama DenseNet-B; con la compresión de las transiciones, DenseNet-BC.

# %% tags=["fuente"]
from cnnhistory.models.densenet import DenseLayer

# %%
layer = DenseLayer(in_channels=256, growth_rate=32)
assert layer(torch.zeros(2, 256, 7, 7)).shape == (2, 288, 7, 7)
direct = 9 * 256 * 32  # una 3×3 sin cuello de botella
with_bottleneck = sum(p.numel() for p in layer.parameters() if p.ndim == 4)
print(f"con 256 canales: 3×3 directa {direct}, con cuello {with_bottleneck}")
print(f"con 992:         3×3 directa {9 * 992 * 32}, con cuello {992 * 128 + 9 * 128 * 32}")
assert with_bottleneck == 256 * 128 + 9 * 128 * 32

# %% [markdown]
# Con pocos canales acumulados apenas se gana; con los 992 que ve la última capa de la DenseNet-121, menos de
# un 60 % de los pesos. Y ahora lo que se repite:

# %% tags=["fuente"]
from cnnhistory.models.densenet import DenseBlock, Transition

# %%
block = DenseBlock(depth=6, in_channels=64, growth_rate=32)
assert block(torch.zeros(2, 64, 14, 14)).shape == (2, 64 + 6 * 32, 14, 14)
assert Transition(256)(torch.zeros(2, 256, 14, 14)).shape == (2, 128, 7, 7)

# %% tags=["fuente"]
from cnnhistory.models.densenet import DenseNet

# %%
with torch.device("meta"):  # formas sin memoria ni cálculo
    densenet121 = DenseNet((6, 12, 24, 16), growth_rate=32)
table = inspection.shape_table(densenet121, (3, 224, 224), whole=(DenseBlock, Transition))
table

# %% alt="DenseNet-121 en bloques apilados, de la foto de 224×224 arriba a las mil clases abajo. El tronco baja a 56×56. Después se alternan cuatro bloques densos, que engordan sin cambiar de lado, y tres transiciones, que adelgazan a la mitad y bajan el lado: 56, 28, 14 y 7. El corchete de lo que ve una posición ya es tan ancho como la foto antes de acabar el segundo bloque denso." caption="El viaje de una foto por DenseNet-121. Cada bloque denso engorda; cada transición parte a la mitad los canales y el lado."
plotting.data_flow(table, (3, 224, 224))

# %% [markdown]
# El detalle de la lista que crece se ve mejor capa por capa:

# %% alt="Gráfica de escalera con los canales acumulados a lo largo de las 58 capas de los bloques densos de DenseNet-121. Sube de 32 en 32 cuatro veces: de 64 a 256, de 128 a 512, de 256 a 1024 y de 512 a 1024. Entre un tramo y el siguiente cae a la mitad." caption="Canales que ve cada capa de los bloques densos de DenseNet-121. Las caídas son las transiciones."
import matplotlib.pyplot as plt

lists = [
    [dense.layers[0].num_features for dense in stage] + [stage[-1].layers[0].num_features + 32]
    for stage in densenet121.stages
    if isinstance(stage, DenseBlock)
]
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    start = 0
    for number, seen in enumerate(lists):
        positions = range(start, start + len(seen))
        axis.step(positions, seen, where="post", color=plotting.PALETTE[number])
        axis.text(start + len(seen) / 2, seen[-1] + 30, f"bloque {number + 1}", ha="center", size=8)
        start += len(seen) - 1
    axis.set(xlabel="capa de los bloques densos", ylabel="canales", ylim=(0, 1150))
    axis.grid(alpha=0.25, color=plotting.INK)
    figure.tight_layout()
ends = [seen[-1] for seen in lists]
print("al final de cada bloque:", ends)
assert ends == [256, 512, 1024, 1024]

# %% [markdown]
# ### Las cuentas { #cuentas }
#
# El número del nombre son las capas con pesos: dos por cada capa de los bloques, una por transición, la del
# tronco y la de salida. Y los parámetros, contra los que se publican con los pesos oficiales:

# %%
from cnnhistory import models

published = {"densenet121": 7_978_856, "densenet169": 14_149_480, "densenet201": 20_013_928}
for name, expected in published.items():
    with torch.device("meta"):
        model = models.create(name)
    count = inspection.count_parameters(model)
    depth = sum(isinstance(module, nn.Conv2d | nn.Linear) for module in model.modules())
    print(f"{name}: {depth} capas, {inspection.thousands(count)} parámetros")
    assert count == expected
    assert depth == int(name.removeprefix("densenet"))

# %% [markdown]
# ## Prueba de fidelidad: contra torchvision { #fidelidad }
#
# Una DenseNet-121 de torchvision con pesos y estadísticas al azar le pasa sus tensores a la nuestra, y las
# dos ven las mismas imágenes. Comparamos en doble precisión, con la red en evaluación y en entrenamiento.

# %%
from torchvision.models import densenet121 as torchvision_densenet121

from cnnhistory import weights

generator = torch.Generator().manual_seed(7)
with torch.device("meta"):
    theirs, ours = torchvision_densenet121(), models.create("densenet121")
theirs = theirs.to_empty(device="cpu").double()
for key, value in theirs.state_dict().items():
    if value.ndim > 1:
        value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
    elif key.endswith("num_batches_tracked"):
        value.zero_()
    else:  # escalas, sesgos, medias y varianzas
        value.uniform_(0.5, 1.5, generator=generator)
converted = weights.convert("densenet121", theirs.state_dict())
ours.load_state_dict(converted, strict=True, assign=True)

images = torch.randn(2, 3, 48, 48, generator=generator, dtype=torch.float64)
with torch.inference_mode():
    for mode in (False, True):
        expected = theirs.train(mode)(images)
        difference = ((ours.train(mode)(images) - expected).abs().max() / expected.std()).item()
        print(f"{'entrenamiento' if mode else 'evaluación'}: diferencia relativa {difference:.0e}")
        assert difference < 1e-9
del theirs, ours, converted

# %% [markdown]
# ### Y contra la definición { #definicion }
#
# El código concatena sobre la marcha: cada capa devuelve lo que recibió y lo suyo. El artículo lo escribe de otra
# manera: la capa $\ell$ recibe la lista de *todas* las salidas anteriores. Escribamos esa versión, con la lista a la
# vista, y comprobemos que es la misma.


# %%
def by_definition(block, x):
    features = [x]
    for dense in block:
        features.append(dense.layers(torch.cat(features, dim=1)))
    return torch.cat(features, dim=1)


torch.manual_seed(0)
block = DenseBlock(depth=6, in_channels=24, growth_rate=12).eval()
x = torch.randn(2, 24, 9, 9)
assert torch.equal(by_definition(block, x), block(x))
connections = sum(range(1, 6 + 1))
print(f"{connections} conexiones en 6 capas; en fila serían 6")
assert connections == 6 * (6 + 1) // 2

# %% [markdown]
# ## Entrenamiento con imágenes de verdad { #entrenamiento }
#
# La mini lleva las mismas piezas a 28×28: tres bloques de dos, cuatro y seis capas, crecimiento 12 y dos
# transiciones.
#
# <!-- generado: ficha densenet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.densenet import DenseNetMini

# %%
assert DenseNetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %%
from cnnhistory import data, training

SEED = 0

train, test = data.fashion_mnist("mini")
train, validation = data.split(train, fraction=0.1, seed=SEED)
normalize = data.normalization(train)


def batches(part, size=500, shuffle=False):
    return data.Batches(part, size, shuffle=shuffle, seed=SEED, transform=normalize)


torch.manual_seed(SEED)
mini = DenseNetMini()
history = training.train(mini, batches(train, 64, True), batches(validation), epochs=2, lr=0.1)
for epoch in history:
    print(
        f"época {epoch.number}: pérdida {epoch.train_loss:.3f}, "
        f"validación {epoch.val_loss:.3f}, acierto {epoch.val_top1:.1%}"
    )
score = training.evaluate(mini, batches(test)).top1
size = inspection.thousands(inspection.count_parameters(mini))
print(f"prueba: {score:.1%}, con {size} parámetros")
assert score > 0.78

# %% alt="Dos gráficas con dos épocas de DenseNet mini. La pérdida de entrenamiento y la de validación bajan juntas y el acierto en validación sube." caption="Dos vueltas a nueve mil imágenes: la mini apenas ha empezado."
plotting.curves(history, "DenseNet mini")

# %% alt="Matriz de confusión de diez por diez. La diagonal es oscura en pantalón, sandalia, zapatilla, bolso y botín. La fila de camisa es la más repartida, entre camiseta, suéter y abrigo." caption="De cada clase verdadera (fila), qué dijo la red (columna), en %."
mini.eval()
with torch.inference_mode():
    predictions = torch.cat([mini(x).argmax(1) for x, _ in batches(test)])
hits = (predictions == test.labels).double()
recall = {name: hits[test.labels == label].mean().item() for label, name in enumerate(test.classes)}
print("las tres más difíciles:", ", ".join(sorted(recall, key=recall.get)[:3]))
assert "camisa" in sorted(recall, key=recall.get)[:3]
plotting.confusion_matrix(test.labels, predictions, test.classes)

# %% tags=["tiempos"]
print(f"{history[-1].images_per_second:.0f} imágenes por segundo")

# %% [markdown]
# <!-- generado: grabada densenet_mini -->
#
# ¿Y con más tiempo? En la carrera grabada, con las 60 000 imágenes, cuatro épocas y tres semillas, la
# [DenseNet mini](../resultados/carrera-justa.py#resultado) empata con la ResNet mini en acierto, y lo hace
# con bastantes menos parámetros. Es la promesa del artículo, en pequeño. La otra mitad de la cuenta está en
# la columna de segundos:

# %%
for name in ("densenet_mini", "resnet_mini"):
    card = models.CATALOG[name]
    count = inspection.thousands(card.parameters)
    print(f"{card.label:<14} {count:>7} parámetros, {card.macs / 1e6:.1f} millones de MACs")
assert models.CATALOG["densenet_mini"].parameters < 0.6 * models.CATALOG["resnet_mini"].parameters

# %% [markdown]
# Con algo menos de multiplicaciones, DenseNet tardó más. Multiplicar no es lo único que cuesta: también hay
# que mover memoria, y esa la medimos más abajo.

# %% [markdown]
# ## Lo que aprendió: quién lee a quién { #aprendio }
#
# La figura 5 del artículo es un mapa de calor. Cada columna es una capa, cada fila es una fuente (la entrada
# del bloque o una capa anterior), y el color es el promedio del valor absoluto de los pesos con que la columna lee
# la fila. Los autores vieron que las capas reparten sus pesos entre muchas fuentes, viejas y nuevas, y lo tomaron
# como prueba de reutilización.
#
# Dibujemos el mismo mapa con nuestra red. La última columna de cada bloque es quien lo lee entero: la
# transición o, al final, el clasificador.


# %%
def readers(model):
    """De cada bloque, sus lectores: la normalización por la que leen, sus pesos y sus fuentes."""
    first = [(stage[0].layers[0].num_features, stage) for stage in model.stages[::2]]
    after = [(stage[0], stage[2]) for stage in model.stages[1::2]]
    after.append((model.head[0], model.head[4]))
    for (entry, block), last in zip(first, after, strict=True):
        pairs = [(dense.layers[0], dense.layers[2]) for dense in block] + [last]
        yield [
            (norm, layer.weight.detach().flatten(1), [entry] + [12] * position)
            for position, (norm, layer) in enumerate(pairs)
        ]


def strengths(model):
    """|peso| medio de cada conexión, en el orden de `readers`."""
    return [
        [[w.abs().mean().item() for w in weight.split(sizes, 1)] for _, weight, sizes in block]
        for block in readers(model)
    ]


def draw_map(values, label, logarithmic=False):
    """Un mapa por bloque: fuentes en las filas, lectores en las columnas."""
    top = max(max(column) for block in values for column in block)
    color = plotting.PALETTE[0]
    with plotting.style():
        figure, axes = plt.subplots(1, 3, figsize=(7.4, 3.0), width_ratios=[3, 5, 7])
        for number, (axis, block) in enumerate(zip(axes, values, strict=True), start=1):
            for column, cells in enumerate(block):
                for row, value in enumerate(cells):
                    share = max(value, 0) / top
                    if logarithmic:
                        share = max(0.0, 1 + math.log10(max(share, 1e-9)) / 3)
                    cell = plt.Rectangle((column, row), 1, 1, color=color, alpha=share, lw=0)
                    axis.add_patch(cell)
            size = len(block)
            axis.set(xlim=(0, size), ylim=(size, 0), aspect="equal", title=f"bloque {number}")
            names = [str(position + 1) for position in range(size - 1)]
            last = "sale" if number < 3 else "clase"
            axis.set_xticks([c + 0.5 for c in range(size)], [*names, last], size=8)
            axis.set_yticks([r + 0.5 for r in range(size)], ["entra", *names], size=8)
            axis.tick_params(length=0)
        axes[0].set_ylabel("fuente")
        axes[1].set_xlabel(f"quien lee ({label})")
        figure.tight_layout()
    plt.close(figure)
    return figure


# %% alt="Tres mapas triangulares, de tres, cinco y siete columnas. En cada columna todas las casillas tienen casi el mismo azul; las columnas de la derecha son algo más pálidas que las de la izquierda." caption="El mapa de la figura 5, en la DenseNet mini: el promedio del valor absoluto de los pesos. Casi todo es del mismo color."
learned = strengths(mini)
draw_map(learned, "|peso| medio")

# %% [markdown]
# Repartido, como dice el artículo. Demasiado repartido. Antes de creerle, comparemos con la red **recién
# nacida**, que no sabe nada: en cada columna sus pesos salen todos de la misma distribución. ¿Cuánto más pesa, en una
# columna, la fuente que más pesa que la que menos?


# %%
def contrasts(values):
    """En cada columna con varias fuentes, el mayor valor entre el menor."""
    columns = [column for block in values for column in block if len(column) > 1]
    return sorted(max(column) / min(column) for column in columns)


torch.manual_seed(SEED)
at_birth = strengths(DenseNetMini())
for name, values in {"recién nacida": at_birth, "entrenada": learned}.items():
    spread = contrasts(values)
    print(f"{name}: de {spread[0]:.2f} a {spread[-1]:.2f} veces")
assert contrasts(learned)[-1] < 2

# %% [markdown]
# La red entrenada reparte sus pesos más o menos tan por igual como la que no sabe nada. Los autores entrenaron
# cientos de épocas, con un decaimiento que encoge los pesos que no se usan; nosotros, dos. La lección no es
# que su figura esté mal, sino que **un peso grande no es lo mismo que un peso que se usa**. Para saber si
# algo se usa, quítalo.
#
# Apaguemos las conexiones una por una: en la normalización por la que lee una capa, ponemos a cero la escala y el
# sesgo de los canales de *una* fuente. Esa capa deja de verla; las demás la siguen viendo. ¿Cuánto sube la pérdida
# en validación?


# %% alt="Los mismos tres mapas triangulares. Ahora hay contraste: en el primer bloque casi todas las casillas son de un azul intenso. En el segundo destacan la fila de arriba y la última columna. El tercero casi no tiene color en el medio; solo lo toman el comienzo de la fila de arriba y la última columna." caption="Cuánto sube la pérdida al apagar cada conexión, en escala logarítmica: cuanto más azul, más cuesta; sin color, una milésima del máximo o menos."
@torch.inference_mode()
def costs(model, images, labels):
    """Lo que sube la pérdida al apagar cada conexión, en el orden de `readers`."""
    model.eval()
    parts, result = list(model.stages), []
    features = model.stem(images)
    whole = F.cross_entropy(model(images), labels).item()
    for number, block in enumerate(readers(model)):
        if number:
            features = parts[2 * number - 1](parts[2 * number - 2](features))
        rest = nn.Sequential(*parts[2 * number :], model.head)
        result.append([])
        for norm, _, sizes in block:
            column = []
            saved = norm.weight.clone(), norm.bias.clone()
            for scale, bias in zip(norm.weight.split(sizes), norm.bias.split(sizes), strict=True):
                scale.zero_(), bias.zero_()
                column.append(F.cross_entropy(rest(features), labels).item() - whole)
                norm.weight.copy_(saved[0]), norm.bias.copy_(saved[1])
            result[-1].append(column)
    return result


images, labels = next(iter(batches(validation)))
used = costs(mini, images, labels)
draw_map(used, "nats que se pierden", logarithmic=True)

# %%
harm = torch.tensor([value for block in used for column in block for value in column])
entry = [column[0] for block in used for column in block]
oldest = sum(entry) / len(entry)
others = [value for block in used for column in block for value in column[1:]]
print(f"apagar una conexión cuesta de {harm.min():.3f} a {harm.max():.3f} nats")
print(f"  las que leen la entrada del bloque: {oldest:.3f} en promedio")
print(f"  las demás:                          {sum(others) / len(others):.3f}")
print(f"conexiones que cuestan menos de 0.01: {(harm < 0.01).sum()} de {len(harm)}")
outlet = [sum(block[-1]) / len(block[-1]) for block in used]
inside = [sum(map(sum, block[1:-1])) / sum(map(len, block[1:-1])) for block in used]
print("lo que cuesta, por bloque: ", [f"{value:.3f}" for value in outlet], "en la salida")
print("                           ", [f"{value:.3f}" for value in inside], "dentro")
assert oldest > 2 * sum(others) / len(others)
assert harm.max() > 50 * harm.median()
assert outlet[1] > inside[1]
assert outlet[2] > inside[2]

# %% [markdown]
# Ahora sí hay un dibujo:
#
# - **Lo viejo se usa, y mucho.** La fila de arriba, la entrada de cada bloque, es lo que más duele perder en
#   promedio. Eso sí es reutilización: capas de muy adentro que leen algo calculado mucho antes.
# - **Quien resume lee de todo.** La columna de salida, la transición o el clasificador, sufre más que las
#   capas de dentro: ahí se juntan los términos de la lista.
# - **Hay conexiones que sobran.** Varias no cuestan casi nada, sobre todo en el último bloque. Que la red
#   *pueda* leerlo todo no quiere decir que lo lea.
#
# Quitar una sola conexión tampoco es la última palabra: dos fuentes parecidas se tapan una a la otra, y quitar cada
# una por separado no cuesta nada. El ejercicio 4 lo prueba.

# %% [markdown]
# ## El experimento: qué compra la tasa de crecimiento { #experimento }
#
# Si cada capa lo ve todo, ¿cuánto necesita agregar? Entrenamos tres DenseNet que solo difieren en $k$, con pocas
# imágenes y la misma receta.


# %%
from cnnhistory.models.initialization import he_normal


def growing(k):
    """La DenseNet mini con otra tasa de crecimiento."""
    torch.manual_seed(SEED)
    model = DenseNet((2, 4, 6), growth_rate=k, num_classes=10, in_channels=1)
    model.stem = nn.Conv2d(1, 2 * k, kernel_size=3, stride=2, padding=1, bias=False)
    he_normal(model)
    return model


few = train[::4]
growth = {}
print(" k   parámetros   acierto en validación")
for k in (2, 4, 8):
    model = growing(k)
    past = training.train(model, batches(few, 32, True), batches(validation), epochs=2, lr=0.1)
    growth[k] = inspection.count_parameters(model), past[-1].val_top1
    print(f"{k:>2}   {growth[k][0]:>10}   {growth[k][1]:.1%}")

assert growing(12).stem.weight.shape == DenseNetMini().stem.weight.shape
assert growth[8][0] > 12 * growth[2][0]
assert growth[8][1] > growth[2][1] + 0.02
assert growth[4][1] - growth[2][1] > growth[8][1] - growth[4][1]

# %% [markdown]
# Doblar $k$ casi cuadruplica los parámetros. De 2 a 4 se nota mucho más de lo que se nota de 4 a 8. Dos
# canales nuevos por capa, en cambio, ya enseñan algo: con los poco más de tres mil parámetros de $k = 2$ la
# red acierta muy por encima del 10 % del azar. Cada capa solo tiene que decir lo que falta.

# %% [markdown]
# ## El precio: la memoria, medida { #memoria }
#
# Los parámetros no son lo que ocupa una red al entrenar. Lo que ocupa son los mapas que hay que **guardar** para la
# retropropagación. PyTorch deja mirar cuáles son: `saved_tensors_hooks` llama a una función por cada tensor que
# la pasada hacia adelante guarda. Sumamos los bytes, sin contar dos veces la misma memoria ni los pesos.


# %%
def saved_megabytes(function, model, x):
    """Lo que queda guardado para retropropagar, en millones de bytes."""
    weights_at = {value.data_ptr() for value in model.state_dict().values()}
    memory, alive = {}, []

    def keep(tensor):
        alive.append(tensor)  # que nadie reutilice esa memoria mientras contamos
        if tensor.data_ptr() not in weights_at:
            memory[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        output = function(x)
    return sum(memory.values()) / 1e6, output


print("capas   guardado (MB)   mapas que existen (MB)")
saved, needed = {}, {}
for depth in (6, 12, 24, 48):
    block = DenseBlock(depth, in_channels=64, growth_rate=32)
    saved[depth], output = saved_megabytes(block, block, torch.randn(1, 64, 14, 14))
    needed[depth] = 4 * output.numel() / 1e6
    print(f"{depth:>5}   {saved[depth]:>13.1f}   {needed[depth]:>22.2f}")

# %% [markdown]
# La tercera columna es lo que de verdad se calculó: la entrada y los $32$ canales de cada capa. Crece en
# línea recta. La segunda crece mucho más deprisa. ¿De dónde sale? Cada capa concatena, y la concatenación es
# una **copia nueva de toda la lista**; después la normalización y la ReLU dan otra lista igual de larga. Se
# puede contar a mano: con $C$ canales en la lista, cada capa guarda $2C$ por la lista y $8k$ por el cuello de
# botella.

# %%
for depth, megabytes in saved.items():
    lengths = [64 + 32 * i for i in range(depth)]  # la lista que lee cada capa
    by_hand = sum(2 * channels + 8 * 32 for channels in lengths) * 14 * 14 * 4 / 1e6
    print(f"{depth:>2} capas: medido {megabytes:.2f}, a mano {by_hand:.2f}")
    assert abs(megabytes / by_hand - 1) < 0.02
assert saved[48] > 3 * saved[24]
assert needed[48] < 2 * needed[24]

# %% [markdown]
# La lista se copia en cada capa: $1 + 2 + 3 + \dots$, otra vez. El doble de capas, casi el **cuádruple** de
# memoria. Los autores lo publicaron un año después: una implementación ingenua de DenseNet crece con el
# cuadrado de la profundidad, y no hace falta.[^pleiss]
#
# ### El arreglo: olvidar y volver a calcular { #recalcular }
#
# Concatenar, normalizar y aplicar la ReLU es barato; lo caro son las convoluciones. Entonces no guardes las
# listas: guarda los trozos y rehaz la lista cuando la retropropagación la pida. PyTorch lo tiene hecho y se
# llama *checkpoint*: la función se corre sin guardar nada por dentro, y se vuelve a correr al ir hacia atrás.


# %%
from torch.utils.checkpoint import checkpoint


def narrow(dense, *features):
    """La lista, su normalización, su ReLU y la 1×1: lo que se olvida."""
    return dense.layers[:3](torch.cat(features, dim=1))


def forgetful(block, x):
    """El mismo bloque denso, sin guardar las listas; devuelve los trozos."""
    features = [x]
    for dense in block:
        bottleneck = checkpoint(narrow, dense, *features, use_reentrant=False)
        features.append(dense.layers[3:](bottleneck))
    return features


print("capas   de siempre (MB)   olvidando (MB)")
light = {}
for depth in saved:
    block = DenseBlock(depth, in_channels=64, growth_rate=32)
    rest, features = saved_megabytes(
        lambda x, block=block: forgetful(block, x), block, torch.randn(1, 64, 14, 14)
    )
    light[depth] = rest + sum(4 * feature.numel() for feature in features) / 1e6  # y los trozos
    print(f"{depth:>5}   {saved[depth]:>15.1f}   {light[depth]:>14.1f}")
assert light[48] < 2.1 * light[24]
assert light[48] < saved[48] / 3

# %% alt="Dos líneas contra el número de capas, de 6 a 48. La de siempre se curva hacia arriba, cada vez más deprisa. La que olvida sube en línea recta y queda muy por debajo." caption="Memoria guardada para retropropagar en un bloque denso de 14×14, con una imagen y crecimiento 32."
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.2, 2.8))
    axis.plot(saved.keys(), saved.values(), marker="o", label="de siempre")
    axis.plot(light.keys(), light.values(), marker="s", label="olvidando las listas")
    axis.set(xlabel="capas del bloque", ylabel="MB por imagen", xticks=list(saved))
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()

# %% [markdown]
# De cuadrado a recta. ¿Y los gradientes son los mismos? Sí, salvo el redondeo. ¿Y el precio? Una segunda
# pasada por lo barato:

# %%
import copy

torch.manual_seed(0)
usual = DenseBlock(12, in_channels=64, growth_rate=32)
sparing = copy.deepcopy(usual)
x = torch.randn(4, 64, 14, 14)
usual(x).square().mean().backward()
torch.cat(forgetful(sparing, x), dim=1).square().mean().backward()
pairs = zip(usual.parameters(), sparing.parameters(), strict=True)
assert all(torch.allclose(a.grad, b.grad, rtol=1e-4, atol=1e-7) for a, b in pairs)

# %% tags=["tiempos"]
import time


def seconds(step, repeats=3):
    step()
    start = time.perf_counter()
    for _ in range(repeats):
        step()
    return (time.perf_counter() - start) / repeats


one = seconds(lambda: usual(x).square().mean().backward())
two = seconds(lambda: torch.cat(forgetful(sparing, x), dim=1).square().mean().backward())
print(f"ida y vuelta: {1000 * one:.0f} ms de siempre, {1000 * two:.0f} ms olvidando")

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### «Tiene menos parámetros, así que ocupa menos» { #menos-parametros }
#
# Es la conclusión que casi todos sacan de la tabla de parámetros. Midamos lo que guarda cada red con **una** foto
# de 224×224.

# %%
measured = {}
print("              parámetros (MB)   guardado por foto (MB)   MACs (miles de millones)")
for name in ("resnet18", "densenet121", "resnet50"):
    card = models.CATALOG[name]
    model = models.create(name)
    measured[name], _ = saved_megabytes(model, model, torch.zeros(2, 3, 224, 224))
    measured[name] /= 2  # dos fotos
    print(
        f"{card.label:<13} {card.megabytes:>15.0f}   {measured[name]:>22.0f}   {card.macs / 1e9:>24.1f}"
    )
    del model
small, large = models.CATALOG["densenet121"], models.CATALOG["resnet18"]
assert small.megabytes < large.megabytes
assert measured["densenet121"] > 3 * measured["resnet18"]

# %% [markdown]
# DenseNet-121 tiene menos parámetros que ResNet-18 y guarda varias veces más memoria por foto. Con un lote de
# 32, la segunda columna se multiplica por 32 y la primera no se mueve. Los parámetros dicen lo que pesa el
# archivo; no dicen lo que cabe en la tarjeta ni lo que tarda.
#
# ### Recalcular dos veces… las estadísticas { #dos-veces }
#
# El arreglo de la memoria tiene una trampa. La normalización que se recalcula está en modo de entrenamiento y
# **vuelve a actualizar** su media y su varianza móviles: dos veces por paso en lugar de una.

# %%
before = DenseBlock(4, in_channels=64, growth_rate=32)
after = copy.deepcopy(before)
for _ in range(3):
    x = 2 + torch.randn(8, 64, 7, 7)
    before(x).mean().backward()
    torch.cat(forgetful(after, x), dim=1).mean().backward()
for name, block in {"de siempre": before, "olvidando": after}.items():
    norm = block[0].layers[0]
    print(f"{name}: {norm.num_batches_tracked} lotes, media {norm.running_mean.mean():.2f}, y es 2")
assert before[0].layers[0].num_batches_tracked == 3
assert after[0].layers[0].num_batches_tracked == 6

# %% [markdown]
# Tres lotes cuentan como seis: es lo mismo que haber puesto otro momento en la normalización, $1 - 0.9^2 =
# 0.19$ en lugar de 0.1. No rompe nada, pero la red que entrenas con y sin *checkpoint* ya no es la misma en
# evaluación. Si necesitas que lo sea, usa `momentum=1 - 0.9 ** 0.5` en las normalizaciones que se recalculan.

# %%
fixed = DenseBlock(4, in_channels=64, growth_rate=32)
for dense in fixed:
    dense.layers[0].momentum = 1 - 0.9**0.5
reference = copy.deepcopy(fixed)
for dense in reference:
    dense.layers[0].momentum = 0.1
for _ in range(3):
    x = 2 + torch.randn(8, 64, 7, 7)
    reference(x).mean().backward()
    torch.cat(forgetful(fixed, x), dim=1).mean().backward()
one, two = (block[0].layers[0].running_mean for block in (reference, fixed))
print(f"con el momento corregido, la mayor diferencia es {(one - two).abs().max():.0e}")
assert torch.allclose(one, two, atol=1e-5)

# %% [markdown]
# ### Inicializar capas que todavía no existen { #perezosas }
#
# Muchos cursos escriben DenseNet con capas perezosas (*lazy*), que averiguan sus canales con la primera
# imagen, y en el constructor llaman a `self.apply(inicializar)`. No hay ningún error, y no inicializa nada:
# en ese momento no hay pesos, y la clase de la capa todavía no es `nn.Conv2d`.


# %%
touched = []


def initialize(layer):
    if type(layer) is nn.Conv2d:
        nn.init.kaiming_normal_(layer.weight)
        touched.append(layer)


lazy = nn.Sequential(
    *(nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(64, kernel_size=3, padding=1)),
    *(nn.LazyBatchNorm2d(), nn.ReLU(), nn.LazyConv2d(64, kernel_size=3, padding=1)),
)
lazy.apply(initialize)
print(f"antes de la primera imagen: {len(touched)} convoluciones inicializadas")
too_early = len(touched)
lazy(torch.zeros(1, 64, 8, 8))  # ahora sí existen
born = lazy[2].weight.std().item()
lazy.apply(initialize)
print(f"después:                    {len(touched)}")
print(f"desviación de los pesos: {born:.3f} la de PyTorch, {lazy[2].weight.std():.3f} la de He")
assert too_early == 0
assert len(touched) == 2
assert lazy[2].weight.std() > 2 * born

# %% [markdown]
# Los pesos quedan con menos de la mitad de la desviación que se pidió. En una red con normalización el daño
# es pequeño, y por eso el error sobrevive en los libros; en una [AlexNet](alexnet.py#inicializacion) es la
# diferencia entre aprender y no. Aquí no usamos capas perezosas: los canales van escritos, y se ven.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Sin correr nada: un bloque denso recibe 64 canales, tiene cuatro capas y crecimiento 32.
# ¿Cuántos canales agrega? ¿Cuántos salen? ¿Y después de la transición?

# %% tags=["solucion"]
x = torch.zeros(1, 64, 8, 8)
x = DenseBlock(depth=4, in_channels=64, growth_rate=32)(x)
print(x.shape[1] - 64, "agregados,", x.shape[1], "salen,", Transition(192)(x).shape[1], "después")
assert x.shape[1] == 64 + 128 == 192
assert Transition(192)(x).shape == (1, 96, 4, 4)

# %% [markdown]
# **2. Calcula.** ¿Cuántos parámetros tendría la DenseNet-121 si las transiciones no redujeran los canales?
# Escribe una transición que solo cambie el lado y cuenta en el dispositivo `meta`.


# %% tags=["solucion"]
def without_compression(depths=(6, 12, 24, 16), k=32):
    stages, channels = nn.Sequential(), 2 * k
    for index, depth in enumerate(depths):
        if index:
            same = nn.Conv2d(channels, channels, kernel_size=1, bias=False)
            stages.append(nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU(), same, nn.AvgPool2d(2)))
        stages.append(DenseBlock(depth, channels, k))
        channels += depth * k
    return stages, channels


with torch.device("meta"):
    stages, channels = without_compression()
    final = nn.Sequential(nn.BatchNorm2d(channels), nn.Linear(channels, 1000))
more = sum(map(inspection.count_parameters, (densenet121.stem, stages, final)))
print(f"{more / 1e6:.1f} millones en lugar de {published['densenet121'] / 1e6:.1f}")
assert more > 1.7 * published["densenet121"]

# %% [markdown]
# **3. Demuestra.** Concatenar y después pasar una 1×1 es lo mismo que pasar una 1×1 *distinta* por cada
# fuente y sumar. Compruébalo con tres fuentes. ¿Qué tendrían que cumplir esas 1×1 para que fuera la suma de
# ResNet?

# %% tags=["solucion"]
torch.manual_seed(0)
sources = [torch.randn(2, 8, 5, 5) for _ in range(3)]
mix = nn.Conv2d(24, 16, kernel_size=1, bias=False)
together = mix(torch.cat(sources, dim=1))
parts = mix.weight.detach().clone().split(8, dim=1)
apart = sum(F.conv2d(source, part) for source, part in zip(sources, parts, strict=True))
assert torch.allclose(together, apart, atol=1e-5)

with torch.no_grad():
    mix.weight.copy_(torch.cat([parts[0]] * 3, dim=1))  # la misma para las tres
tied = mix(torch.cat(sources, dim=1))
assert torch.allclose(tied, F.conv2d(sum(sources), parts[0]), atol=1e-5)

# %% [markdown] tags=["solucion"]
# Si las tres son la misma, da igual sumar antes o después: es leer una suma, como en ResNet. ResNet es una
# DenseNet cuyos lectores están obligados a leer todas las fuentes con los mismos pesos. Lo que compra
# concatenar es exactamente esa libertad.

# %% [markdown]
# **4. Inventa.** Apagamos las conexiones de una en una. Apaga ahora, en el último bloque de la mini,
# **todas** las que leen algo que no sea la capa inmediatamente anterior o la entrada del bloque, salvo las
# del clasificador. ¿Se parece el costo a la suma de los costos de una en una?

# %% tags=["solucion"]
mutilated = copy.deepcopy(mini).eval()
alone = 0.0
for position, dense in enumerate(mutilated.stages[4]):
    entry = dense.layers[0].num_features - 12 * position
    for source in range(position - 1):  # ni la entrada ni la última
        channels = slice(entry + 12 * source, entry + 12 * (source + 1))
        with torch.no_grad():
            dense.layers[0].weight[channels] = 0
            dense.layers[0].bias[channels] = 0
        alone += used[2][position][1 + source]
images, labels = next(iter(batches(validation)))
with torch.inference_mode():
    whole, cut = (F.cross_entropy(net(images), labels).item() for net in (mini.eval(), mutilated))
print(f"de una en una suman {alone:.3f} nats; todas a la vez cuestan {cut - whole:.3f}")
assert cut > whole

# %% [markdown] tags=["solucion"]
# No tienen por qué coincidir, y la distancia cambia con la semilla: hay fuentes que se tapan unas a otras y
# errores que se compensan. Por eso una tabla de «importancias» de una en una no se puede sumar.

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# DenseNet mostró que una capa puede ser muy delgada si no tiene que recordar por las demás. La idea de
# conectar de lejos y concatenar pasó, por ejemplo, a la segmentación; los autores enlazan esa y otras redes
# desde su repositorio. Su precio también enseñó algo: contar parámetros no es contar memoria, ni tiempo. Un
# año después, [SENet](senet.py) preguntó lo contrario: no qué más guardar, sino a qué hacer caso.
#
# **En el paquete:** [`DenseLayer`][cnnhistory.models.densenet.DenseLayer],
# [`DenseBlock`][cnnhistory.models.densenet.DenseBlock],
# [`Transition`][cnnhistory.models.densenet.Transition], [`DenseNet`][cnnhistory.models.densenet.DenseNet] y
# [`weights.convert`][cnnhistory.weights.convert]. La comparación con torchvision de las cuatro DenseNet está
# en [Fidelidad](../resultados/fidelidad.py).
#
# [^huang]: [Huang, Liu, van der Maaten y Weinberger (2016)](../referencia/bibliografia.md#huang2016).
# [^premio]: El premio, las cifras de CIFAR-10 y la comparación con ResNet, en el
#     [repositorio de los autores](https://github.com/liuzhuang13/DenseNet).
# [^pleiss]: [Pleiss y otros (2017)](../referencia/bibliografia.md#pleiss2017).
