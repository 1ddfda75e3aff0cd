# %% [markdown]
# # ZFNet (2013): mirar la red, encontrar el defecto, corregirlo
#
# En las películas del oeste, las ruedas de las carretas giran al revés. La carreta avanza, pero entre una foto
# y la siguiente cada radio casi llega al lugar del que tiene delante, y el ojo cree que retrocedió. La cámara
# mira demasiado pocas veces por segundo.
#
# AlexNet miraba sus fotos así: una vez cada cuatro píxeles. Ganó ImageNet, y nadie se dio cuenta. El error no
# estaba en la pérdida, ni en las curvas, ni en el código. **¿Cómo encuentras un defecto que no da ningún
# mensaje?** Mirando adentro. En 2013 dos personas construyeron con qué mirar, vieron el defecto y lo
# corrigieron cambiando el principio de la red. Esta página repite las tres cosas: mirar, diagnosticar y cambiar. Y mide
# cuánto se nota con pocos datos.
#
# <!-- generado: ficha zfnet -->

# %% [markdown]
# ## El año de entender { #historia }
#
# En octubre de 2012, [AlexNet](alexnet.py) había ganado por una distancia que nadie esperaba. Los grupos que
# llevaban años afinando descriptores a mano los dejaron, y durante 2013 medio mundo entrenó su propia copia.
# Con una incomodidad: nadie sabía decir *por qué* funcionaba. Los mejores ajustes se encontraban probando.
#
# Matthew Zeiler y Rob Fergus, de la Universidad de Nueva York, hicieron primero lo mismo que los demás: replicar AlexNet, en una
# sola tarjeta y por tanto en una sola torre. Lo distinto vino después. Zeiler traía de su trabajo anterior la
# **deconvnet**, un camino de vuelta que lleva una unidad encendida hasta los píxeles que la encendieron, y la
# conectó a cada capa. [Qué ve una red](../tecnicas/que-ve-una-red.py#siete-pixeles) te enseña a hacer ese viaje
# con lápiz y papel. Aquí importa lo que encontraron:[^articulo]
#
# | Dónde | Qué vieron | Qué cambiaron |
# | --- | --- | --- |
# | Capa 1 | Filtros de detalle muy fino o muy grueso, casi ninguno intermedio; algunos, muertos | Filtros de 7×7 en lugar de 11×11 |
# | Capa 2 | Rayas y cuadrículas que no están en las fotos: **solapamiento** (*aliasing*) | Paso 2 en lugar de 4 |
# | Al entrenar | Unos pocos filtros de la capa 1 acaban dominando | Encoger el filtro cuyo valor cuadrático medio pase de 0.1 |
#
# Nada más. No hay una capa nueva ni una idea nueva de arquitectura: es AlexNet mejor ajustada, porque
# alguien entendió qué le pasaba. Sobre su propia réplica, el cambio bajó el error top-5 de una sola red de
# 18.1 % a cerca de 16.5 %.[^tabla] El artículo trae además los dibujos por los que se le recuerda, de los
# bordes de la primera capa a los perros de la quinta; los verás [más abajo](#aprendio).
#
# ### ¿Ganó en 2013? No { #quien-gano }
#
# Lo leerás en muchos cursos: «ZFNet, ganadora de 2013». Estas son las cifras:

# %% tags=["oculto"]
from cnnhistory import ilsvrc

print(f"{'equipo':<16} {'error top-5':>11}  {'datos':<12}  ¿de la competencia?")
for result in ilsvrc.results(2013):
    extra = "y otros" if result.extra_data else "del desafío"
    official = "sí" if result.is_official else "no, del artículo"
    print(f"{result.team:<16} {result.top5_error:>10.3f}%  {extra:<12}  {official}")

# %%
scores_2013 = [result for result in ilsvrc.results(2013) if result.is_official]
assert min(scores_2013, key=lambda result: result.top5_error).team == "Clarifai"
assert ilsvrc.find(2013, "zf").top5_error > ilsvrc.find(2013, "nus").top5_error

# %% [markdown]
# Ganó Clarifai, la empresa que Zeiler acababa de fundar, y de ahí la confusión. Con el nombre ZF se presentó otro conjunto de
# redes, que quedó detrás de Clarifai y de NUS. Lo que Clarifai presentó no es la red de esta página, y del artículo sale una
# tercera cifra, la de seis redes promediadas fuera de la competencia. Cuando alguien te dé «el
# resultado de ZFNet», pregunta cuál. [La carrera](../historia/la-carrera.py#2013) cuenta el año completo.

# %% [markdown]
# ## La idea: no saltes más que lo que miras { #idea }
#
# Una rampa que sube de 0 a 5 y vuelve a empezar, como los dientes de una sierra. Mírala cada dos píxeles y
# luego cada cuatro. Hazlo con el dedo antes de leer la salida.

# %%
import torch

saw = torch.arange(24) % 6
print("todos:     ", *saw.tolist())
print("cada 2:    ", *(f"{value}  " for value in saw[::2].tolist()))
print("cada 4:    ", *(f"{value}      " for value in saw[::4].tolist()))

assert saw[::2].tolist() == [0, 2, 4] * 4  # sigue subiendo
assert saw[::4].tolist() == [0, 4, 2] * 2  # ahora baja

# %% [markdown]
# Cada dos, la rampa sube. Cada cuatro, **baja**: es la rueda de la carreta. No es que falte detalle. Es que
# aparece algo que no existe, y ninguna capa de encima puede saber que es mentira. La regla es vieja
# (Nyquist): para ver una onda hay que mirarla más de dos veces por periodo. Con paso 4, todo lo que se repita
# en menos de 8 píxeles llega falseado. Con paso 2, solo lo que se repita en menos de 4.
#
# En dos dimensiones se ve mejor. Estos anillos son cada vez más finos hacia afuera, hasta repetirse cada 4.5
# píxeles. Los filtramos con el detector de bordes más pequeño que hay, −1 y +1, con tres pasos distintos.

# %% alt="Cuatro cuadros. El primero son anillos concéntricos que se afinan hacia afuera. El segundo y el tercero, sus bordes verticales con paso 1 y 2, conservan los mismos anillos, el tercero más pixelado. En el cuarto, con paso 4, el centro se parece, pero en los lados aparecen otros juegos de anillos que no existen en la imagen." caption="Anillos, y sus bordes con paso 1, 2 y 4. Los anillos que aparecen a los lados en el último cuadro no existen."
from torch.nn import functional as F

from cnnhistory import plotting

RADIUS = 64
axis = torch.arange(-RADIUS, RADIUS).float()
square = axis[:, None] ** 2 + axis**2
rings = torch.cos(torch.pi * square / (4.5 * RADIUS)) * (square < RADIUS**2)

edge = torch.tensor([[[[-1.0, 1.0]]]])
padded = F.pad(rings[None, None], (0, 1))
seen = {stride: F.conv2d(padded, edge, stride=stride) for stride in (1, 2, 4)}
pictures = [rings, *(F.interpolate(maps, (128, 128))[0, 0] for maps in seen.values())]
plotting.image_grid(torch.stack(pictures), ["anillos", "paso 1", "paso 2", "paso 4"], 4, size=1.75)

# %% [markdown]
# No te fíes del ojo: cuenta. A lo largo de la fila del centro, ¿cuántas veces cambia de signo el mapa?


# %%
def sign_changes(row):
    return int((row[1:].sign() * row[:-1].sign() < 0).sum())


crossings = {stride: sign_changes(maps[0, 0, maps.shape[2] // 2]) for stride, maps in seen.items()}
for stride, count in crossings.items():
    print(f"paso {stride}: {count} cambios de signo")
assert abs(crossings[2] - crossings[1]) <= 2
assert crossings[4] < 0.8 * crossings[1]

# %% [markdown]
# Hay otra manera de decir lo mismo. Una convolución promete que, si la foto se corre, el mapa se corre con
# ella. Con paso $s$ la promesa solo vale para corrimientos que sean múltiplos de $s$. Mueve la foto dos
# píxeles:

# %%
from torch import nn

torch.manual_seed(0)
photo = torch.rand(1, 3, 64, 64)
moved = photo.roll(2, dims=-1)
for side, stride in ((7, 2), (11, 4)):
    first = nn.Conv2d(3, 8, side, stride)
    with torch.inference_mode():
        before, after = first(photo), first(moved)
    # lo que entra por el borde izquierdo es nuevo: se deja fuera
    gaps = [
        (after[..., 4:] - before[..., 4 - shift : before.shape[-1] - shift]).abs().max().item()
        for shift in (0, 1)
    ]
    print(f"{side}×{side} con paso {stride}: mayor diferencia, {min(gaps):.1g}")
    assert (min(gaps) < 1e-5) == (stride == 2)

# %% [markdown]
# Con paso 2, el mapa es *el mismo*, corrido un lugar. Con paso 4, la misma foto dos píxeles más allá da otro
# mapa, y las capas de encima tendrán que aprender los dos.
#
# ¿Por qué entonces AlexNet saltaba cuatro? Porque mirar cuesta. Esto es lo que cuesta la primera capa de cada
# una:

# %%
first_layers = {
    "AlexNet, 11×11 con paso 4": (nn.Conv2d(3, 96, 11, 4), 227),
    "ZFNet, 7×7 con paso 2": (nn.Conv2d(3, 96, 7, 2, padding=1), 224),
}
multiplications = []
for name, (layer, side) in first_layers.items():
    with torch.inference_mode():
        positions = layer(torch.zeros(1, 3, side, side))[0, 0].numel()
    multiplications.append(positions * layer.weight.numel())
    print(
        f"{name:<26}{layer.weight.numel():>7} pesos × {positions:>6} posiciones = "
        f"{multiplications[-1] / 1e6:.0f} millones"
    )
assert multiplications[1] < 2 * multiplications[0]

# %% [markdown]
# Mirar en cuatro veces más sitios no cuesta cuatro veces más, porque el filtro encogió: de 121 píxeles a 49.
# Los dos cambios van juntos. El filtro chico *paga* el paso corto.

# %% [markdown]
# ## El código: AlexNet con otro comienzo { #codigo }
#
# Lo que se muestra es el archivo del paquete. La normalización es la
# [de AlexNet](alexnet.py#lrn), que ya conoces.

# %% tags=["fuente"]
from cnnhistory.models.zfnet import ZFNet

# %% [markdown]
# Puestas lado a lado, las dos primeras etapas muestran todo lo que cambió: el filtro y el paso de la primera, el paso de la
# segunda, y el orden de pooling y normalización.

# %% alt="Dos columnas de seis cajas. AlexNet: convolución 11×11 con paso 4, normalización, pooling, convolución 5×5 con paso 1, normalización, pooling. ZFNet: convolución 7×7 con paso 2, pooling, normalización, convolución 5×5 con paso 2, pooling, normalización." caption="El comienzo de cada una. «/4» es paso 4. De ahí en adelante son la misma red."
plotting.blocks(
    {
        "AlexNet": plotting.Block(
            [
                [
                    "convolución 11×11/4",
                    "normalización LRN",
                    "pooling 3×3/2",
                    "convolución 5×5/1",
                    "normalización LRN",
                    "pooling 3×3/2",
                ]
            ]
        ),
        "ZFNet": plotting.Block(
            [
                [
                    "convolución 7×7/2",
                    "pooling 3×3/2",
                    "normalización LRN",
                    "convolución 5×5/2",
                    "pooling 3×3/2",
                    "normalización LRN",
                ]
            ]
        ),
    }
)

# %%
from cnnhistory import inspection, models

with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    zfnet, alexnet = ZFNet(), models.create("alexnet_single")
table = inspection.shape_table(zfnet, (3, 224, 224))
table

# %% alt="ZFNet dibujada como bloques apilados, de la foto de 224×224 arriba a las mil clases abajo. Los mapas se estrechan de 110 a 55, de 26 a 13 y de 13 a 6, mientras los canales crecen de 3 a 384; después siguen dos capas densas de 4096 y la salida. El corchete de lo que ve una posición crece de 7 píxeles a 171 en el último mapa." caption="El viaje de una foto por ZFNet, a escala. Compáralo con el de AlexNet: el primer mapa tiene el doble de lado."
plotting.data_flow(table, (3, 224, 224))

# %% [markdown]
# Las cuentas. El artículo dibuja en su figura 3 los lados 110, 55, 26, 13 y 6. Y si de verdad es AlexNet en una
# torre con otro comienzo, la diferencia de parámetros tiene que ser **exactamente** la de encoger 96 filtros de
# tres colores:

# %%
sides = [row.output_shape[1] for row in table if len(row.output_shape) == 3]
drawn = [side for number, side in enumerate(sides) if number == 0 or side != sides[number - 1]]
missing = inspection.count_parameters(alexnet) - inspection.count_parameters(zfnet)
alexnet_table = inspection.shape_table(alexnet, (3, 227, 227))
ratio = sum(row.macs for row in table) / sum(row.macs for row in alexnet_table)
print("lados de los mapas:", drawn)
print(f"parámetros: {inspection.thousands(inspection.count_parameters(zfnet))}, {missing} menos")
print(f"            que AlexNet en una torre: 96·3·(11² − 7²) = {96 * 3 * (11**2 - 7**2)}")
print(f"operaciones: {ratio:.2f} veces las de AlexNet en una torre")

assert drawn == [110, 55, 26, 13, 6]
assert inspection.count_parameters(zfnet) == 62_357_608
assert missing == 96 * 3 * (11**2 - 7**2)
assert 1 < ratio < 1.1

# %% [markdown]
# Un 0.03 % de los parámetros. Si miras solo el tamaño de una red, este cambio no existe.

# %% [markdown]
# ## Prueba de fidelidad: la misma red, sin convoluciones { #fidelidad }
#
# Ni torchvision ni timm traen ZFNet, así que no hay con qué compararla. La escribimos otra vez de una manera que no comparte
# ninguna capa con la primera: la figura 3 del artículo como una lista de números, y una sola operación,
# recortar ventanas. Una convolución es recortar y multiplicar matrices. Un pooling es recortar y quedarse con el
# mayor. La normalización, un bucle sobre los canales.

# %%
PLAN = [  # qué se hace con cada ventana, su lado, su paso y su relleno
    ("filtrar", 7, 2, 1), ("mayor", 3, 2, 1), ("normalizar",),
    ("filtrar", 5, 2, 0), ("mayor", 3, 2, 1), ("normalizar",),
    ("filtrar", 3, 1, 1), ("filtrar", 3, 1, 1), ("filtrar", 3, 1, 1), ("mayor", 3, 2, 0),
]  # fmt: skip


def windows(x, side, step, padding, value):
    """Las ventanas de cada canal: (C, side², posiciones)."""
    x = F.pad(x, [padding] * 4, value=value)
    return F.unfold(x[:, None], side, stride=step)


def by_windows(x, parameters):
    """Los logits de una foto (3, 224, 224), solo con ventanas y matrices."""
    for action, *geometry in PLAN:
        if action == "normalizar":
            energy = torch.zeros_like(x)
            for channel in range(len(x)):
                energy[channel] = x[max(0, channel - 2) : channel + 3].square().sum(0)
            x = x / (2 + 1e-4 * energy) ** 0.75
            continue
        cut = windows(x, *geometry, value=0.0 if action == "filtrar" else -torch.inf)
        if action == "filtrar":
            weight, bias = next(parameters), next(parameters)
            x = (weight.flatten(1) @ cut.flatten(0, 1) + bias[:, None]).clamp(min=0)
        else:
            x = cut.amax(1)
        side = round(x.shape[1] ** 0.5)
        x = x.view(-1, side, side)
    x = x.flatten()
    for last in (False, False, True):
        x = next(parameters) @ x + next(parameters)
        x = x if last else x.clamp(min=0)
    return x


torch.manual_seed(0)
zfnet = ZFNet().eval()
photo = torch.randint(-128, 128, (1, 3, 224, 224)).float()  # la escala del artículo
with torch.inference_mode():
    logits = zfnet(photo)[0]
    other = by_windows(photo[0], zfnet.parameters())
print(f"diferencia, relativa a los logits: {(other - logits).abs().max() / logits.std():.0e}")
assert logits.std() > 1  # si todos fueran iguales, coincidir no probaría nada
assert (other - logits).abs().max() < 1e-4 * logits.std()
del zfnet

# %% [markdown]
# Dos programas distintos, los mismos pesos y el mismo resultado. Lo que no se puede probar es lo que el artículo no
# dice: cómo era exactamente su normalización de contraste. La ficha lo declara.

# %% [markdown]
# ## Entrenamiento: la mini { #entrenamiento }
#
# `ZFNetMini` lleva la idea a 28×28: primera capa de filtro chico y paso corto, y el paso largo en la segunda.
#
# <!-- generado: ficha zfnet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.zfnet import ZFNetMini

# %%
assert ZFNetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %%
from cnnhistory import data, training

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=SEED)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)


def fit(model, dataset, epochs, seed=SEED):
    batches = data.Batches(dataset, 32, shuffle=True, seed=seed, transform=normalize)
    return training.train(model, batches, val_batches, epochs=epochs, lr=0.03)


torch.manual_seed(SEED)
zfnet_mini, born = ZFNetMini(), ZFNetMini()
born.load_state_dict(zfnet_mini.state_dict())  # una copia, para comparar con cómo nació
history = fit(zfnet_mini, train[::3], epochs=3)

# %% alt="Dos gráficos de la ZFNet mini en tres épocas. A la izquierda, las pérdidas de entrenamiento y de validación bajan; la primera empieza muy arriba. A la derecha, el acierto en validación sube en cada época y se aplana." caption="ZFNet mini, con 3000 imágenes."
plotting.curves(history, "ZFNet mini")

# %% alt="Matriz de confusión de diez clases. La diagonal concentra casi todo. Fuera de ella destacan las casillas que cruzan camisa, camiseta, suéter y abrigo." caption="Lo que dijo la ZFNet mini de las 2000 imágenes de prueba."
pixels = normalize(test.images.float() / 255)
said = inspection.embed(zfnet_mini, pixels, "", batch_size=500).argmax(1)
accuracy = (said == test.labels).double().mean().item()
print(f"acierto en la prueba: {accuracy:.1%}")
assert accuracy > 0.74
plotting.confusion_matrix(test.labels, said, test.classes)

# %% [markdown]
# Los fallos no están repartidos: camisas, camisetas, suéteres y abrigos se confunden entre sí. Con 3000 imágenes y
# unos segundos se queda ahí. La que vio el Fashion-MNIST completo está en
# [la carrera justa](../resultados/carrera-justa.py#resultado), con tres semillas. En esa tabla queda por delante de la AlexNet
# mini y de la LeNet-5 moderna. No se lo atribuyas solo a su primera capa: tampoco va partida en torres, y su dropout es más
# suave. Para saber cuánto pone cada cosa hay que cambiar una sola, y es lo que haremos en [el experimento](#experimento).
#
# <!-- generado: grabada zfnet_mini -->

# %% [markdown]
# ## Lo que aprendió: de los bordes a las cosas { #aprendio }
#
# El dibujo que hizo famoso al artículo va capa por capa. Para cada unidad busca los trozos de foto que más la encienden
# y, con la deconvnet, qué parte de cada trozo la encendió. Lo que se ve en él es una escalera:
#
# 1. **Capa 1:** bordes en todas las orientaciones y manchas de color.
# 2. **Capa 2:** combinaciones de los anteriores, como esquinas, círculos y encuentros de un borde con un color.
# 3. **Capa 3:** texturas, como una malla o un panal.
# 4. **Capa 4:** partes que ya son de una clase, como caras de perro o patas de pájaro.
# 5. **Capa 5:** objetos enteros, en posturas distintas.
#
# Aquí están los de la nuestra, para una unidad de cada convolución. Fíjate en el tamaño del trozo: es lo que esa
# unidad alcanza a ver. Las proyecciones son toscas, porque los filtros son de 3×3 y vieron poco: no esperes las del artículo.

# %% alt="Cinco filas de diez cuadros, una por convolución. A la izquierda, cinco trozos de prendas; a la derecha, sus proyecciones en gris. En la primera fila son trocitos de 3×3 con un borde; en la segunda, fragmentos de prenda; de la tercera en adelante, prendas enteras rodeadas de fondo gris, bolsos y calzado sobre todo, con proyecciones granuladas en las que apenas se adivina el contorno." caption="Una unidad de cada convolución, de la primera (arriba) a la quinta. A la izquierda, los cinco trozos que más la encienden; a la derecha, lo que de cada uno la encendió. Cada cuadro está llevado al mismo tamaño."
from cnnhistory import deconvnet, excitation

LAYERS = [f"features.{index}" for index in (1, 5, 9, 11, 13)]  # tras la ReLU de cada convolución
some = pixels[:500]


def in_gray(signal):
    """Lleva cada proyección a gris: cero en el medio y su mayor valor en un extremo."""
    peak = signal.abs().amax((1, 2, 3), keepdim=True).clamp(min=1e-9)
    return (127.5 * (1 + signal / peak)).byte()


rows = []
for layer in LAYERS:
    unit = inspection.feature_maps(zfnet_mini, some[:100], layer).amax((2, 3)).mean(0).argmax()
    (found,) = excitation.top_patches(zfnet_mini, some, layer, [int(unit)], count=5)
    down = deconvnet.project(zfnet_mini, some[found.images], layer, int(unit))
    crops = (255 * (found.crops - some.min()) / (some.max() - some.min())).byte()
    pair = torch.cat([crops, in_gray(excitation.crop(down, found.boxes))])
    rows.append(F.interpolate(pair, (48, 48)))
    field = excitation.receptive_field(zfnet_mini, (1, 28, 28), layer)
    print(f"{layer}: cada posición ve {field.size}×{field.size} píxeles")
plotting.image_grid(torch.cat(rows), columns=10, size=0.7)

# %% [markdown]
# ¿Es una escalera hacia las clases, o lo parece? Cuéntalo. De los nueve trozos que más encienden a cada unidad,
# ¿cuántos son de la clase más repetida? Al azar saldrían dos o tres. Y la pregunta de control: ¿qué da una red
# **recién nacida**?


# %%
def purity(model, layer):
    """Media, sobre las unidades, de cuántos de sus nueve mejores comparten clase."""
    strength = inspection.feature_maps(model, some, layer, batch_size=250).amax((2, 3))  # (N, C)
    alive = strength.amax(0) > 0
    best = test.labels[strength[:, alive].topk(9, dim=0).indices]  # (9, C)
    return sum(column.bincount().max().item() for column in best.T) / best.shape[1]


climb = {name: [purity(net, layer) for layer in LAYERS] for name, net in
         (("al nacer", born), ("entrenada", zfnet_mini))}  # fmt: skip
print("convolución      1     2     3     4     5")
for name, values in climb.items():
    print(f"{name:<13}", *(f"{value:>5.1f}" for value in values))

# %% [markdown]
# La escalera existe, y esta vez **es del aprendizaje**. En la primera capa, la red entrenada y la recién nacida
# no se distinguen: un borde es de cualquiera. De ahí en adelante la entrenada sube escalón por escalón, y la recién nacida se queda
# abajo: mira trozos más grandes, pero no los reúne por clase. Zeiler y Fergus lo contaron con fotos; aquí lo dice una
# cuenta.
#
# Un detalle de nuestra escala: desde la tercera convolución cada unidad ya ve la prenda entera. Con fotos de
# 224 píxeles hay sitio para texturas y partes antes de llegar a los objetos. Con 28, no.

# %%
learned, untrained = climb["entrenada"], climb["al nacer"]
assert learned[4] > learned[0] + 1
assert learned[4] > untrained[4] + 0.5
assert abs(learned[0] - untrained[0]) < 1

# %% [markdown]
# ## El experimento: cambiar la primera capa y nada más { #experimento }
#
# ¿Y en el acierto, se nota? Dos redes, con **los mismos números del artículo** en las dos primeras capas, sobre
# imágenes de 28×28. Del segundo mapa en adelante miden lo mismo.


# %%
from cnnhistory.models.initialization import he_normal


def two_numbers(side, stride, second_stride):
    """Una red corta; solo cambian el filtro de la primera capa y los pasos de las dos primeras."""
    net = nn.Sequential(
        nn.Conv2d(1, 24, side, stride, padding=(side - stride + 1) // 2),
        nn.ReLU(),
        nn.Conv2d(24, 48, 5, second_stride, padding=2),  # (N, 48, 7, 7)
        nn.ReLU(),
        nn.MaxPool2d(3, stride=2, padding=1),  # (N, 48, 4, 4)
        *(nn.Flatten(), nn.Linear(48 * 4 * 4, 64), nn.ReLU(), nn.Linear(64, 10)),
    )
    he_normal(net)
    return net


DESIGNS = {"11×11/4": (11, 4, 1), "7×7/2": (7, 2, 2)}
few = train[torch.arange(2000)]
hits, steady = {}, {}
for name, design in DESIGNS.items():
    hits[name], steady[name] = [], []
    for seed in range(SEED, SEED + 3):
        torch.manual_seed(seed)
        net = two_numbers(*design)
        assert net[:3](some[:1]).shape == (1, 48, 7, 7)
        hits[name].append(fit(net, few, epochs=2, seed=seed)[-1].val_top1)
        still, shifted = (inspection.embed(net, x, "").argmax(1) for x in (some, some.roll(1, -1)))
        steady[name].append((still == shifted).double().mean().item())

print("primera capa   acierto (tres semillas)       no cambia al correr 1 píxel")
for name in DESIGNS:
    each = "  ".join(f"{hit:.1%}" for hit in hits[name])
    print(f"{name:<14} {each}   {sum(steady[name]) / 3:>22.1%}")

# %%
mean_hits = [sum(values) / 3 for values in hits.values()]
mean_steady = [sum(values) / 3 for values in steady.values()]
assert abs(mean_hits[0] - mean_hits[1]) < 0.04
assert abs(mean_steady[0] - mean_steady[1]) < 0.08

# %% [markdown]
# **No se nota.** La diferencia entre los dos diseños es como la que hay entre dos semillas, en el acierto y en lo que cambia de
# opinión cuando la prenda se corre un píxel. El defecto está: lo has visto con anillos y con una igualdad
# exacta. Pero aquí no hace daño, y hay dos razones para que sea así.
#
# Una es de los datos. En una prenda de 28 píxeles lo que decide es la silueta, que es gruesa; casi nada de lo
# que la distingue se repite cada pocos píxeles. En una foto de 224 hay pelo, plumas, tela y césped.
#
# La otra es de la regla de medir. La mejora del artículo es de un punto y medio, sobre 50 000 imágenes de
# validación. Las nuestras son mil, y con un acierto del 76 % su error estándar es
# $\sqrt{0.76 \cdot 0.24 / 1000}$, 1.4 puntos: el efecto cabría entero dentro del ruido. Un experimento
# que no puede ver el efecto no lo desmiente. Tampoco lo confirma.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Dibujar cada filtro en su propia escala { #escala }
#
# Casi todo el código que dibuja filtros estira cada uno de su mínimo a su máximo, y nuestra `image_grid` también si le pasas
# números con decimales. Así cualquier filtro se ve lleno de vida. Apaguemos los 16 filtros que más responden de la red entrenada,
# dividiéndolos entre mil, y dibujemos los de antes y los de después de las dos maneras.

# %% alt="Cuatro filas de ocho filtros de 3×3. Las dos primeras, antes y después de apagarlos, cada filtro en su escala: son idénticas. Las dos últimas, todos en la misma escala: la tercera fila tiene contrastes distintos y la cuarta es un gris liso." caption="Ocho de los filtros apagados. Arriba, cada uno en su escala, antes y después. Abajo, antes y después con una sola escala para todos."
import copy

answers = inspection.feature_maps(zfnet_mini, some[:200], "features.1").mean((0, 2, 3))
loudest = answers.topk(16).indices
faint = copy.deepcopy(zfnet_mini)
with torch.no_grad():
    faint.features[0].weight[loudest] /= 1000
    faint.features[0].bias[loudest] /= 1000

before, after = (inspection.first_filters(net)[loudest] for net in (zfnet_mini, faint))
biggest = before.abs().max()


def stretched(filters):
    low, high = filters.amin((2, 3), keepdim=True), filters.amax((2, 3), keepdim=True)
    return (255 * (filters - low) / (high - low)).round().byte()


def one_scale(filters):
    return (127.5 * (1 + filters / biggest)).round().byte()


shown = [draw(each[:8]) for draw in (stretched, one_scale) for each in (before, after)]
plotting.image_grid(torch.cat(shown), columns=8, size=0.6)

# %%
dimmed = inspection.embed(faint, pixels, "", batch_size=500).argmax(1)
dimmed_accuracy = (dimmed == test.labels).double().mean().item()
print(f"acierto en la prueba: {accuracy:.1%} → {dimmed_accuracy:.1%}")
gap = (shown[0].int() - shown[1].int()).abs().max().item()
print(f"mayor diferencia entre los dos dibujos, en su escala: {gap} de 255")
assert gap <= 2
assert dimmed_accuracy < accuracy - 0.1

# %% [markdown]
# El dibujo no se entera y la red se hunde. Si Zeiler y Fergus hubieran mirado así, no habrían visto ni los
# filtros muertos ni los que dominaban a los demás. Para comparar, **una sola escala para todos**.
#
# ### Olvidar el relleno { #relleno }
#
# El artículo dibuja un primer mapa de 110×110 y no dice con qué relleno. Sin ninguno, nada falla hasta la primera
# capa densa:

# %%
with torch.device("meta"):
    careless = ZFNet()
    for layer in careless.features:
        if isinstance(layer, nn.MaxPool2d) or layer is careless.features[0]:
            layer.padding = 0
    maps = careless.features(torch.empty(1, 3, 224, 224))
    try:
        careless.classifier(maps)
    except RuntimeError as error:
        print(error)
print("último mapa:", tuple(maps.shape[1:]))
assert maps.shape[1:] == (256, 5, 5)

# %% [markdown]
# Hasta aquí, un error con mensaje. Lo malo es el arreglo que circula: poner delante un
# `AdaptiveAvgPool2d(6)`, que acepta cualquier cosa. Ya no falla. Fabrica 36 números por mapa a partir de 25:

# %%
with torch.inference_mode():
    patch = nn.AdaptiveAvgPool2d(6)(torch.eye(25).view(25, 1, 5, 5)).flatten(1)
rank = int(torch.linalg.matrix_rank(patch))
wasted = (36 - rank) * 256 * 4096
print(f"36 números por mapa, {rank} independientes: {wasted / 1e6:.1f} millones de pesos de sobra")
assert rank == 25
assert wasted == 11_534_336

# %% [markdown]
# ### Cambiar un paso y olvidar el otro { #otro-paso }
#
# Si acortas el paso de la primera capa y dejas la segunda como en AlexNet, los mapas llegan abajo el doble de
# anchos. La red funciona. Mira lo que cuesta:

# %%
with torch.device("meta"):
    wide = ZFNet()
    wide.features[4].stride = (1, 1)
    side = wide.features(torch.empty(1, 3, 224, 224)).shape[-1]
    wide.classifier[2] = nn.Linear(256 * side * side, 4096)
wide_table = inspection.shape_table(wide, (3, 224, 224))
more_parameters = inspection.count_parameters(wide) / 62_357_608
more_macs = sum(row.macs for row in wide_table) / sum(row.macs for row in table)
print(f"último mapa de {side}×{side}: {more_parameters:.1f} veces los parámetros y "
      f"{more_macs:.1f} veces las operaciones")  # fmt: skip
assert more_parameters > 2.5
assert more_macs > 2.5

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Sin código, recorre la red con la fórmula $\lfloor (n + 2p - k)/s \rfloor + 1$ y llega de 224 a 6.
# ¿En qué pasos sobra medio píxel?

# %% [markdown] tags=["solucion"]
# En la primera convolución y en los dos primeros pooling: 110.5, 55.5 y 13.5. El redondeo hacia abajo tira la última
# fila y la última columna. En la segunda convolución y en el último pooling la división es exacta.

# %% tags=["solucion"]
sizes, exact = [224], []
for action, *geometry in PLAN:
    if action != "normalizar":
        k, s, p = geometry
        exact.append((sizes[-1] + 2 * p - k) / s + 1)
        sizes.append(int(exact[-1]))
print(exact)
assert sizes[-1] == 6
assert [value for value in exact if value % 1] == [110.5, 55.5, 13.5]

# %% [markdown]
# **2. Calcula.** El artículo también quitó capas para ver cuáles hacían falta. Sin las densas 6 y 7, o sin las convoluciones 3 y 4,
# el error subía poco; sin las cuatro, mucho. ¿Qué parte de los parámetros quita cada recorte? ¿Qué te dice eso de dónde está el
# mérito?

# %% tags=["solucion"]
by_layer = [row.parameters for row in table if row.parameters]  # conv1 … conv5, fc6, fc7, fc8
whole = sum(by_layer)
without_dense = sum(by_layer[:5]) + 256 * 6 * 6 * 1000 + 1000  # la salida, directa del último mapa
without_convolutions = whole - by_layer[2] - by_layer[3] + (256 - 384) * 256 * 9  # conv5 mira 256
for name, count in {"las densas 6 y 7": without_dense,
                    "las convoluciones 3 y 4": without_convolutions}.items():  # fmt: skip
    print(f"sin {name:<24} quedan {count / whole:.0%} de los parámetros")
assert without_dense < 0.25 * whole
assert without_convolutions > 0.95 * whole

# %% [markdown] tags=["solucion"]
# Quitar cuatro quintos de los parámetros y quitar casi ninguno cuesta parecido. El mérito no está en el tamaño de ninguna capa
# sino en que haya varias, una sobre otra: lo que hunde a la red es quedarse con poca **profundidad**. Esa pista la seguirán VGG, GoogLeNet
# y ResNet.

# %% [markdown]
# **3. Cambia.** El artículo cambió filtro y paso a la vez. Calcula las operaciones de la primera capa en las cuatro
# combinaciones de 11×11 o 7×7 con paso 4 o 2, y también 7×7 con paso 1. ¿Cuál de las dos decisiones es la cara?

# %% tags=["solucion"]
costs = {}
for side, stride in ((11, 4), (7, 4), (11, 2), (7, 2), (7, 1)):
    positions = ((224 + 2 - side) // stride + 1) ** 2
    costs[side, stride] = positions * 96 * 3 * side**2 / 1e6
    print(f"{side}×{side}/{stride}: {costs[side, stride]:>4.0f} millones")
others = sum(row.macs for row in table[1:]) / 1e6
print(f"el resto de la red: {others:.0f} millones")
assert costs[11, 2] > 3.8 * costs[11, 4]
assert costs[7, 1] > 0.6 * others

# %% [markdown] tags=["solucion"]
# El paso: a la mitad de paso, cuatro veces el trabajo. Achicar el filtro lo devuelve a menos del doble. Con paso 1, la
# primera capa sola costaría más de la mitad de lo que cuesta todo lo demás. En 2013 no se podía pagar.

# %% [markdown]
# **4. Inventa.** Hay otro remedio: si vas a mirar cada cuatro píxeles, **desenfoca antes**, para que lo fino se borre en vez de
# disfrazarse. Hazlo con los anillos y mide cuánto se encogen los fantasmas y cuánto pierde el centro, que era de verdad.

# %% tags=["solucion"]
binomial = torch.tensor([1.0])
for _ in range(12):  # doce promedios de dos píxeles vecinos
    binomial = F.conv1d(binomial.view(1, 1, -1), torch.full((1, 1, 2), 0.5), padding=1).flatten()
kernel = (binomial[:, None] * binomial).view(1, 1, 13, 13)
blurred = F.conv2d(F.conv2d(rings[None, None], kernel, padding=6), edge, stride=4)[0, 0]
sharp = F.conv2d(rings[None, None], edge, stride=4)[0, 0]
distance = square[::4, :-1:4].sqrt()
left = {}
for name, zone in {"centro": distance < 16, "orilla": (distance > 48) & (distance < 60)}.items():
    left[name] = (blurred[zone].std() / sharp[zone].std()).item()
    print(f"{name}: queda {left[name]:.0%} de la señal")
assert left["centro"] > 0.7
assert left["orilla"] < 0.2

# %% [markdown] tags=["solucion"]
# Los fantasmas casi desaparecen y el centro se conserva. Es lo que hace cualquier cámara antes de reducir una foto. Las redes
# tardaron en aprenderlo: Richard Zhang mostró en 2019 que poner ese desenfoque antes de cada paso las vuelve más estables y más
# precisas.[^zhang]

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# La red de ZFNet duró un año: en 2014, [VGG](vgg.py) y [GoogLeNet](googlenet.py) la dejaron atrás. Su manera
# de trabajar se quedó. Antes de ella se probaba y se miraba la curva. Después, cuando una red va mal, se abre.
#
# - [Zeiler y Fergus (2013)](../referencia/bibliografia.md#zeiler2013), el artículo. Las figuras 2 y 6 son las de la escalera
#   y el diagnóstico.
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012), la red que miraron.
# - [Zhang (2019)](../referencia/bibliografia.md#zhang2019), sobre el solapamiento y su remedio.
#
# **En el paquete:** [ZFNet][cnnhistory.models.zfnet.ZFNet], [ZFNetMini][cnnhistory.models.zfnet.ZFNetMini],
# [deconvnet.project][cnnhistory.deconvnet.project] y
# [excitation.top_patches][cnnhistory.excitation.top_patches].
#
# **En la historia:** viene de [AlexNet](alexnet.py). El mismo año, otra idea pequeña iba a llegar más lejos:
# [Network in Network](nin.py).
#
# [^articulo]: [Zeiler y Fergus (2013)](../referencia/bibliografia.md#zeiler2013), secciones 3 y 4 y figura 6.
# [^tabla]: Tabla 2 del artículo, en validación. Según la versión, la red corregida da 16.4 o 16.5 %.
# [^zhang]: [Zhang (2019)](../referencia/bibliografia.md#zhang2019).
