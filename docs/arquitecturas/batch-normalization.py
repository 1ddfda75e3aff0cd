# %% [markdown]
# # Batch Normalization (2015): que cada capa empiece de cero
#
# Toma una red que aprende bien y multiplica su tasa de aprendizaje por diez. La pérdida salta a $\ln 10$ y se
# queda ahí: la red está muerta. Ahora inserta entre sus capas una operación de cuatro líneas, que resta una media
# y divide entre una desviación. La misma tasa, los mismos datos. Y aprende.
#
# **¿Qué hace esa operación, y por qué funciona?** A la primera pregunta se contesta con lápiz. A la segunda, sus
# inventores dieron en 2015 una respuesta que tres años después se puso a prueba y no resistió. En esta página la
# construyes desde cero, la comparas con la de PyTorch, repites los experimentos de los dos bandos y mides cinco
# maneras muy usadas de estropearla.
#
# <!-- generado: ficha lenet5_bn -->

# %% [markdown]
# ## Un truco viejo, en un sitio nuevo { #historia }
#
# ### Lo que se creía { #se-creia }
#
# Que las *entradas* de una red conviene estandarizarlas, a media cero y varianza uno, se sabía desde los noventa.
# Con los píxeles de este sitio lo hacemos siempre. Así todos los pesos de la primera capa trabajan a la misma
# escala, y una sola tasa de aprendizaje les sirve a todos.
#
# Pero las entradas de la *segunda* capa son las salidas de la primera, y esas cambian en cada paso. Nadie las
# estandariza. Si las activaciones de una capa son cien veces mayores que las de otra, la tasa que le va bien a
# una es un desastre para la otra. En 2014 aquello se trataba con paciencia: tasas pequeñas, una inicialización
# cuidada, dropout, la [normalización de respuesta local](alexnet.py#lrn) de AlexNet, las [cabezas
# auxiliares](googlenet.py#auxiliares) de GoogLeNet. Otro camino era adaptar la tasa a cada parámetro, como
# Adagrad o [Adam](../referencia/bibliografia.md#kingma2014).
#
# ### Quién lo cambió { #quien }
#
# Sergey Ioffe y Christian Szegedy, de Google; el segundo acababa de firmar [GoogLeNet](googlenet.py). Su
# propuesta, de febrero de 2015, fue hacer la estandarización **dentro** de la red, en cada paso y como una capa
# más. La probaron en una variante de Inception. Según el [artículo](../referencia/bibliografia.md#ioffe2015):
#
# - con la normalización y una tasa cinco veces mayor, llegaron al mismo acierto en **catorce veces menos pasos**. La red original, con
#   esa tasa, se iba a infinito;
# - con una tasa treinta veces mayor, aprendía algo más despacio al principio y terminaba mejor;
# - pudieron quitar la LRN y el dropout;
# - hasta una Inception de sigmoides, que sin normalizar no pasa de adivinar al azar, aprendía;
# - un conjunto de seis de esas redes bajó a 4.82 % de error top-5 en la prueba de ImageNet.
#
# Esa última cifra se anunció como mejor que la humana, que se había medido en {ilsvrc:humano:a1}. Conviene leer
# [qué se midió](../historia/la-carrera.py) exactamente, y saber que una [red de
# Microsoft](../referencia/bibliografia.md#he2015prelu) había llegado a 4.94 % unos días antes.

# %% [markdown]
# ## La idea: cuatro números y un lápiz { #idea }
#
# Un canal, y un lote (*batch*) de cuatro imágenes. Sus valores son 0, 0, 4 y 4. La media es 2. La desviación es
# 2. Resta y divide: −1, −1, 1, 1. Eso es normalizar por lotes. Después se multiplica por una escala $\gamma$ y se
# suma un desplazamiento $\beta$, dos números **que se aprenden**:
#
# $$ y = \gamma \, \frac{x - \mu}{\sqrt{\sigma^2 + \epsilon}} + \beta $$

# %%
import copy

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import data, inspection, models, plotting, training
from cnnhistory.models.initialization import he_normal

SEED = 0
x = torch.tensor([0.0, 0, 4, 4])
mean, deviation = x.mean(), x.std(correction=0)
normalized = (x - mean) / deviation
print("media", mean.item(), "· desviación", deviation.item(), "→", normalized.tolist())
print("con γ = 3 y β = 10:   ", (3 * normalized + 10).tolist())
print("con γ = 2 y β = 2:    ", (2 * normalized + 2).tolist(), "(los de antes)")
assert normalized.tolist() == [-1, -1, 1, 1]
assert torch.equal(deviation * normalized + mean, x)

# %% [markdown]
# ¿Para qué quitar la media y la escala si luego dejas que la red las ponga? Mira la última línea: con $\gamma =
# \sigma$ y $\beta = \mu$ la capa no hace nada. La red conserva la libertad de antes. Lo que cambia es **quién
# decide**: antes, la media de un canal dependía de todos los pesos de todas las capas de abajo; ahora es un solo
# número, $\beta$, con su propio gradiente. El $\epsilon$, de una cienmilésima, está para no dividir entre cero.
#
# ### Lo primero que compra: la escala deja de importar { #escala }
#
# Multiplica por 100 los pesos de una capa. Su salida se hace 100 veces mayor, y su desviación también: al
# dividir, **no ha pasado nada**. ¿Y el gradiente? Una capa de pesos grandes lo recibe 100 veces menor.

# %%
torch.manual_seed(SEED)
inputs = torch.randn(64, 20)
weight, readout = torch.randn(5, 20), torch.randn(64, 5)


def output_and_gradient(scale, normalize):
    w = (scale * weight).requires_grad_()
    z = inputs @ w.T
    if normalize:
        z = (z - z.mean(0)) / z.std(0, correction=0)
    (gradient,) = torch.autograd.grad((z * readout).sum(), w)
    return z.std().item(), gradient.norm().item()


print("          pesos    tamaño de la salida    gradiente")
measured = {}
for normalize in (False, True):
    for scale in (1, 100):
        measured[normalize, scale] = output_and_gradient(scale, normalize)
        size, gradient = measured[normalize, scale]
        print(f"{'con' if normalize else 'sin'} BN  × {scale:<7} {size:>18.2f}   {gradient:>10.3f}")
assert abs(measured[True, 100][0] / measured[True, 1][0] - 1) < 1e-4
assert abs(100 * measured[True, 100][1] / measured[True, 1][1] - 1) < 1e-3
assert measured[False, 100][0] > 99 * measured[False, 1][0]

# %% [markdown]
# Es un freno automático. Si un paso demasiado grande hace crecer los pesos, los pasos siguientes se encogen
# solos. Guárdalo: explica buena parte de lo que mediremos.
#
# ### Lo que cuesta: nadie va solo { #lote }
#
# La media es la del lote. La salida de *tu* imagen depende de cuáles le tocaron al lado. ¿Y si el lote es de una
# sola?

# %%
alone = torch.tensor([7.0])
print("un lote de una imagen:", (alone - alone.mean()).tolist())
print("lotes de   la media del lote se equivoca en")
population = torch.randn(100_000, generator=torch.Generator().manual_seed(SEED))
errors = {}
for size in (2, 8, 32, 128):
    batch_means = population[: 100_000 // size * size].view(-1, size).mean(1)
    errors[size] = batch_means.std().item()
    print(f"{size:>8}   {errors[size]:.2f} desviaciones   (1 ÷ √{size} = {size**-0.5:.2f})")
    assert abs(errors[size] * size**0.5 - 1) < 0.1

# %% [markdown]
# Con una sola imagen, cada valor menos su media es 0: la capa borra todo. Con dos, la media baila; con 128 casi
# no. Ese baile es ruido, y un poco de ruido regulariza, igual que dropout. Demasiado destruye la señal. Con esta
# capa, el tamaño del lote deja de ser una cuestión de memoria y pasa a ser parte del modelo.
#
# ### En una convolución, por canal { #canal }
#
# En un mapa, el mismo filtro pasa por todas las posiciones. Normalizar cada posición por su cuenta rompería eso,
# así que el canal entero comparte una media y una desviación, tomadas sobre las imágenes *y* las posiciones. De
# paso hay más números que promediar: con un lote de 32 y mapas de 14×14 son 6272 por canal.

# %%
maps = torch.randn(32, 6, 14, 14) * 5 + 3
per_channel = maps.mean((0, 2, 3)), maps.var((0, 2, 3), correction=0)
print("medias:", per_channel[0].shape, "· valores por media:", 32 * 14 * 14)
assert per_channel[0].shape == (6,)
assert 32 * 14 * 14 == 6272

# %% [markdown]
# ### Al predecir, otra cosa { #predecir }
#
# Cuando la red ya está entrenada quieres que una foto tenga una sola respuesta, venga con quien venga. Lo ideal
# sería usar la media de *todo* el conjunto de entrenamiento, pero cambia en cada paso. La solución es llevar la
# cuenta mientras se entrena, con un **promedio móvil** (*running mean*): en cada paso, nueve décimas de lo que
# había y una de lo nuevo. Al predecir se usa esa cuenta, fija. Es la misma dualidad de dropout: la capa hace una
# cosa al entrenar y otra al predecir.

# %% [markdown]
# ## El código, desde cero { #codigo }
#
# La matemática son tres líneas. Lo demás es contabilidad: formas, promedios móviles, dónde se guardan.

# %% tags=["fuente"]
from cnnhistory.models.batchnorm import BatchNorm

# %%
layer = BatchNorm(6)
output = layer(maps)
print("al entrar: media", f"{maps.mean():.2f}", "desviación", f"{maps.std():.2f}")
print("al salir:  media", f"{output.mean():.2f}", "desviación", f"{output.std():.2f}")
assert output.mean((0, 2, 3)).abs().max() < 1e-5
assert (output.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-3
assert torch.allclose(layer.running_mean, 0.1 * per_channel[0])  # una décima de lo nuevo
assert sorted(layer.state_dict()) == [
    *("bias", "num_batches_tracked", "running_mean", "running_var", "weight"),
]

# %% [markdown]
# Fíjate en tres decisiones. `weight` es $\gamma$ y `bias` es $\beta$: son parámetros, les llega gradiente. Los
# promedios móviles son *buffers*: no les llega gradiente, pero viajan con el modelo, se mueven con él de la CPU a
# la GPU y se guardan con él. Y lo que decide entre entrenar y predecir es `self.training`, lo que cambian
# `train()` y `eval()`. Cada una de las tres, mal tomada, es un [error común](#errores).
#
# ### Dónde se pone { #donde }
#
# En la LeNet-5 moderna, después de cada convolución y de cada densa, **antes** de la ReLU. Así lo hizo el
# artículo: lo que sale de una suma de muchos términos se parece más a una campana que lo que sale de una ReLU.
# Otros probaron después a ponerla detrás de la ReLU.

# %% alt="Dos columnas de cajas. En la LeNet-5 moderna, convolución de 5×5, ReLU y pooling. Con BN hay una caja más, la normalización, entre la convolución y la ReLU." caption="El bloque que se repite, sin normalización y con ella."
plotting.blocks(
    {
        "moderna": plotting.Block([["convolución 5×5", "ReLU", "pooling 2×2/2"]]),
        "con BN": plotting.Block([["convolución 5×5", "normalización", "ReLU", "pooling 2×2/2"]]),
    }
)

# %% tags=["fuente"]
from cnnhistory.models.batchnorm import LeNet5BN

# %%
assert LeNet5BN()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
table = inspection.shape_table(LeNet5BN(), (1, 28, 28))
table

# %% alt="LeNet-5 con normalización, dibujada como bloques apilados: entrada de 28×28, convolución y normalización de 6 canales, pooling a 14, convolución y normalización de 16 canales a 10, pooling a 5, y tres densas de 120, 84 y 10, las dos primeras con su normalización. El corchete de lo que ve una posición crece de 5 píxeles a 16; las normalizaciones no lo cambian." caption="La LeNet-5 moderna con una normalización, en morado, después de cada capa con pesos salvo la última."
plotting.data_flow(table, (1, 28, 28))

# %%
plain = inspection.count_parameters(models.create("lenet5_modern"))
total = inspection.count_parameters(LeNet5BN())
channels = (6, 16, 120, 84)
print(f"{inspection.thousands(plain)} + 2 × {sum(channels)} = {inspection.thousands(total)}")
assert total == plain + 2 * sum(channels) == 62_158

# %% [markdown]
# Dos números por canal: menos de un uno por ciento más.
#
# ### Y ahora, concisa { #concisa }
#
# En la práctica usarás la de PyTorch, que es la misma cuenta en una sola operación. Es la que usaremos en los
# experimentos. `BatchNorm2d` es para mapas y `BatchNorm1d` para vectores; hay que decirles el número de canales.


# %%
def lenet(norm2d=nn.BatchNorm2d, norm1d=nn.BatchNorm1d):
    """La misma LeNet-5, con la normalización que se le pida."""
    net = nn.Sequential(
        *(nn.Conv2d(1, 6, 5, padding=2), norm2d(6), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 16, 5), norm2d(16), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(400, 120), norm1d(120), nn.ReLU()),
        *(nn.Linear(120, 84), norm1d(84), nn.ReLU(), nn.Linear(84, 10)),
    )
    he_normal(net)
    return net


def no_norm(_channels):
    return nn.Identity()


assert inspection.count_parameters(lenet()) == total
assert inspection.count_parameters(lenet(no_norm, no_norm)) == plain

# %% [markdown]
# ## Prueba de fidelidad: la nuestra contra la de PyTorch { #fidelidad }
#
# Que dos capas den lo mismo con una entrada no basta: hay que comparar también los gradientes, los promedios
# móviles y el modo de predicción. Entrenamos las dos redes enteras, con los mismos pesos iniciales y los mismos
# lotes, y comparamos todo lo que guardan.

# %%
torch.manual_seed(SEED)
ours, theirs = LeNet5BN().double(), lenet().double()
theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
images, labels = torch.randn(5, 16, 1, 28, 28).double(), torch.randint(0, 10, (5, 16))
for net in (ours, theirs):
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    for batch, target in zip(images, labels, strict=True):
        optimizer.zero_grad()
        F.cross_entropy(net(batch), target).backward()
        optimizer.step()
saved = zip(ours.state_dict().values(), theirs.state_dict().values(), strict=True)
worst = max((a - b).abs().max().item() for a, b in saved)
with torch.inference_mode():
    logits = ours.eval()(images[0]), theirs.eval()(images[0])
print(f"después de cinco pasos, la mayor diferencia en pesos y promedios: {worst:.0e}")
print(f"y al predecir: {(logits[0] - logits[1]).abs().max():.0e}")
assert worst < 1e-10
assert (logits[0] - logits[1]).abs().max() < 1e-10
assert logits[0].std() > 0.1

# %% [markdown]
# Un detalle que solo se ve así. Para normalizar se divide entre $n$; en el promedio móvil se guarda la varianza
# dividida entre $n - 1$. El artículo lo dice, PyTorch lo hace, y quien se lo salta no cuadra en la tercera cifra.

# %% [markdown]
# ## Entrenamiento: dos LeNet, una tasa { #entrenamiento }

# %%
full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=SEED)
val = val[::2]  # 500 imágenes: aquí se valida muchas veces
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)


def fit(model, part, *, lr, size=32, seed=SEED, epochs=2):
    batches = data.Batches(part, size, shuffle=True, seed=seed, transform=normalize)
    return training.train(model, batches, val_batches, epochs=epochs, lr=lr)


histories, nets = {}, {"LeNet-5 con BN": LeNet5BN, "sin BN": models.CATALOG["lenet5_modern"].build}
for name, build in nets.items():
    torch.manual_seed(SEED)
    nets[name] = build()
    histories[name] = fit(nets[name], train[::3], lr=0.05)
    for epoch in histories[name]:
        print(
            f"{name:<15} época {epoch.number}: pérdida {epoch.train_loss:.3f}, "
            f"validación {epoch.val_loss:.3f}, acierto {epoch.val_top1:.1%}"
        )
normed = nets["LeNet-5 con BN"]
scores = {name: training.evaluate(net, test_batches).top1 for name, net in nets.items()}
print("prueba:", {name: f"{score:.1%}" for name, score in scores.items()})
assert scores["LeNet-5 con BN"] > 0.75
assert histories["LeNet-5 con BN"][-1].val_loss < histories["sin BN"][-1].val_loss

# %% alt="Dos gráficos de la LeNet-5 con BN en dos épocas. La pérdida de entrenamiento baja de la primera a la segunda, y la de validación también; el acierto en validación sube por encima del 80 %." caption="LeNet-5 con BN. Casi todo lo que baja, lo baja en la primera vuelta."
plotting.curves(histories["LeNet-5 con BN"], "LeNet-5 con BN")

# %% [markdown]
# Con la misma tasa, la normalizada llega más lejos: al acabar las dos vueltas, su pérdida de validación es menor.
#
# <!-- generado: grabada lenet5_bn -->
#
# <!-- generado: grabada lenet5_modern -->
#
# Ojo: la segunda de esas cifras es de la carrera, con menos épocas; a igual número, en
# [Las redes completas](../resultados/carrera-justa.py#completas), la ventaja de BN se queda en décimas.
#
# ¿En qué se equivoca?

# %% alt="Matriz de confusión de diez por diez. La diagonal domina; la camisa es la fila peor, repartida entre camiseta, suéter y abrigo." caption="De cada clase verdadera (fila), qué dijo la LeNet-5 con BN (columna), en %."
with torch.inference_mode():
    said = torch.cat([normed.eval()(batch).argmax(1) for batch, _ in test_batches])
plotting.confusion_matrix(test.labels, said, test.classes)

# %% [markdown]
# En lo mismo que todas: las prendas que se ponen arriba. Normalizar no enseña nada nuevo sobre las camisas. Hace
# que se aprenda antes.

# %% [markdown]
# ## Los experimentos { #experimento }
#
# ### Diez veces la tasa { #diez-veces }
#
# El del principio, con dos semillas por casilla.

# %%
few = train[::7]


def average(build, *, lr, part=few, size=32):
    """Pérdida al entrenar y acierto en validación de la última época, en dos semillas."""
    ends = []
    for seed in (SEED, SEED + 1):
        torch.manual_seed(seed)
        try:
            end = fit(build(), part, lr=lr, size=size, seed=seed)[-1]
            ends.append((end.train_loss, end.val_top1))
        except training.TrainingError:  # la pérdida se fue a infinito: es contestar al azar
            ends.append((float("inf"), 0.1))
    return [sum(values) / 2 for values in zip(*ends, strict=True)]


def without():
    return lenet(no_norm, no_norm)


results = {}
print("tasa    sin BN              con BN")
for lr in (0.005, 0.05, 0.5):
    results[lr] = average(without, lr=lr), average(lenet, lr=lr)
    print(f"{lr:<7} " + "   ".join(f"{loss:.3f}, {hit:>5.1%}   " for loss, hit in results[lr]))
assert results[0.5][0][1] < 0.15  # sin BN: al azar
assert results[0.5][1][1] > 0.65  # con BN: aprende
assert results[0.05][1][1] > results[0.05][0][1] - 0.01
assert results[0.05][1][1] - results[0.5][1][1] < 0.1
assert results[0.005][1][0] > results[0.005][0][0]  # con la tasa pequeña, BN aprende menos

# %% [markdown]
# Con la tasa grande, la red sin BN contesta al azar y la normalizada aprende. Ese es el regalo práctico: el
# margen. Los autores multiplicaron su tasa por treinta.
#
# Mira también la primera fila, que se cuenta menos. Con la tasa *pequeña*, BN va **peor**. No acelera por sí
# sola: permite ir deprisa. El artículo lo dice a su manera: añadirla sin tocar nada más no aprovecha el método.
#
# ### El lote pequeño { #lotes }
#
# Los mismos datos y las mismas vueltas, con lotes de 2, 8 y 32, y una tasa proporcional al lote.

# %%
tiny = train[::18]
print("lote   sin BN   con BN")
by_size = {}
for size in (2, 8, 32):
    lr = 0.05 * size / 32
    by_size[size] = [average(build, lr=lr, part=tiny, size=size)[1] for build in (without, lenet)]
    print(f"{size:>4}   {by_size[size][0]:>6.1%}   {by_size[size][1]:>6.1%}")
assert by_size[2][1] < by_size[2][0] - 0.1  # con lotes de dos, BN estorba
assert by_size[32][1] > by_size[32][0] - 0.05
assert by_size[2][1] < by_size[8][1]

# %% [markdown]
# Con lotes de dos, la normalización hace daño: cada canal se mide contra una sola compañera. La red sin BN, con
# los mismos lotes, aprende tan campante. Con lotes mayores, BN se recupera. Si tu memoria solo admite lotes de
# una o dos imágenes, que es lo normal al detectar objetos o segmentar, esta no es tu capa.
#
# ### Lo que se discute: el «cambio interno» { #disputa }
#
# ¿*Por qué* funciona? El título del artículo lo afirma: porque reduce el **cambio interno de la distribución**
# (*internal covariate shift*). Cada capa aprende de lo que le dan las de abajo; si lo que le dan cambia a cada
# paso, persigue un blanco móvil. BN fija la media y la varianza, y el blanco se queda quieto. La prueba que dan
# es una figura: en una red de tres capas de cien sigmoides, los percentiles 15, 50 y 85 de lo que recibe una
# neurona, a lo largo del entrenamiento. Repitámosla.


# %% alt="Dos paneles con tres líneas cada uno, los percentiles 15, 50 y 85 de la entrada de una neurona, durante 140 pasos. Sin BN las tres líneas van juntas, casi pegadas, y se van desplazando. Con BN están separadas, una por encima de cero, otra cerca de cero y otra por debajo." caption="Lo que recibe una neurona de la última capa oculta, paso a paso: los percentiles 15, 50 y 85 de un lote fijo."
def sigmoids(normalized):
    """La red de la figura 1 del artículo: tres capas densas de cien sigmoides."""
    layers = [nn.Flatten()]
    for inputs in (784, 100, 100):
        layers += [nn.Linear(inputs, 100), nn.BatchNorm1d(100) if normalized else nn.Identity()]
        layers += [nn.Sigmoid()]
    net = nn.Sequential(*layers, nn.Linear(100, 10))
    for layer in net:
        if isinstance(layer, nn.Linear):
            nn.init.normal_(layer.weight, std=0.05)
            nn.init.zeros_(layer.bias)
    return net


probe = next(iter(val_batches))[0][:200]
paths, ends = {}, {}
for normalized in (False, True):
    torch.manual_seed(SEED)
    net = sigmoids(normalized)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    path = []
    for _epoch in range(2):
        for batch, target in data.Batches(
            train[::2], 64, shuffle=True, seed=SEED, transform=normalize
        ):
            net.train()
            optimizer.zero_grad()
            F.cross_entropy(net(batch), target).backward()
            optimizer.step()
            with torch.no_grad():  # lo que recibe la última capa de sigmoides
                received = net[:9](probe)[:, 0]
            path.append(received.quantile(torch.tensor([0.15, 0.5, 0.85])))
    paths[normalized], ends[normalized] = torch.stack(path), training.evaluate(net, val_batches)
with plotting.style():
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.8))
    for axis, (normalized, path) in zip(axes, paths.items(), strict=True):
        for line, dash, label in zip(path.T, ("--", "-", ":"), (15, 50, 85), strict=True):
            axis.plot(
                line, dash, color=plotting.PALETTE[int(normalized)], label=f"percentil {label}"
            )
        axis.set(xlabel="paso", title="con BN" if normalized else "sin BN")
    axes[0].legend()
    figure.tight_layout()
for normalized, end in ends.items():
    print(f"{'con' if normalized else 'sin'} BN: acierto en validación {end.top1:.1%}")

# %%
assert ends[True].top1 > ends[False].top1 + 0.2

# %% [markdown]
# Coincide con lo que vieron: la normalizada aprende y la otra no. Y ahora la objeción. En 2018, cuatro
# investigadores del MIT hicieron algo muy simple, [ensuciar lo que BN
# limpia](../referencia/bibliografia.md#santurkar2018). Después de cada normalización añadieron ruido, con una
# media y una escala al azar, distintas en cada paso. Ahora el blanco se mueve más que sin BN. Si la explicación
# era buena, la ventaja debería desaparecer.
#
# Lo hacemos igual, con nuestra LeNet y la tasa grande. Para saber cuánto se mueve el blanco, anotamos la media de
# cada canal que sale de la primera normalización y cuánto cambia de un paso al siguiente.


# %%
def shaken(kind):
    """Una normalización a la que en cada paso se le mueven la media y la escala."""

    class Shaken(kind):
        def forward(self, x):
            x = super().forward(x)
            if self.training:
                each_channel = (1, x.shape[1], *[1] * (x.ndim - 2))
                x = x * (0.5 + torch.rand(each_channel)) + 0.5 * torch.randn(each_channel)
            return x

    return Shaken


def movement(net, lr, seed):
    """Pérdida final, y cuánto cambia la media de un canal de un paso al siguiente."""
    seen = []

    def note(_layer, inputs, _output):
        if net.training:
            channels = inputs[0].detach().transpose(0, 1).flatten(1)
            seen.append(channels.mean(1))

    handle = net[2].register_forward_hook(note)  # lo que recibe la primera ReLU
    end = fit(net, few, lr=lr, seed=seed)[-1]
    handle.remove()
    return end.train_loss, torch.stack(seen).diff(dim=0).abs().mean().item()


print(f"{'':<20} pérdida al entrenar   movimiento por paso")
disputed = {}
for name, (build, lr) in {
    "sin BN, tasa 0.05": (without, 0.05),
    "BN, tasa 0.5": (lenet, 0.5),
    "BN sucia, tasa 0.5": (lambda: lenet(shaken(nn.BatchNorm2d), shaken(nn.BatchNorm1d)), 0.5),
}.items():
    pairs = []
    for seed in (SEED, SEED + 1):
        torch.manual_seed(seed)
        pairs.append(movement(build(), lr, seed))
    disputed[name] = [sum(values) / 2 for values in zip(*pairs, strict=True)]
    print(f"{name:<20} {disputed[name][0]:>19.3f}   {disputed[name][1]:>19.3f}")

assert disputed["BN sucia, tasa 0.5"][1] > 3 * disputed["sin BN, tasa 0.05"][1]
assert disputed["BN sucia, tasa 0.5"][0] < 1.6
assert results[0.5][0][0] > 2.2  # la de antes: sin BN, con esta tasa
assert disputed["BN, tasa 0.5"][0] < disputed["BN sucia, tasa 0.5"][0]

# %% [markdown]
# La sucia recibe un blanco que se mueve mucho más que el de la red sin BN que mejor entrena. Y aprende, con una
# tasa que mata a la red sin BN. Algo pierde frente a la limpia, porque tanto ruido no sale gratis. Pero la
# ventaja grande, la de sobrevivir a la tasa, sigue en pie. Tener las distribuciones quietas **no es** lo que la
# explica.
#
# ¿Entonces? Los autores de 2018 proponen que BN alisa el paisaje: el gradiente cambia menos al dar un paso, y por
# eso se pueden dar pasos más largos. Encaja con la [cuenta de antes](#escala), la del freno automático. Lo
# honesto es separar:
#
# | Se sabe, y lo has medido | Se discute |
# | --- | --- |
# | Permite tasas mucho mayores y perdona una mala elección | Que sea por reducir el cambio interno: el experimento de 2018 dice que no |
# | Hace que la escala de los pesos no importe | Que sea por alisar el paisaje: es la respuesta de 2018, y no la única |
# | Mete un ruido que depende del lote | Cuánto regulariza ese ruido, y cuándo conviene |
# | Con lotes muy pequeños estorba | |

# %% [markdown]
# ## Lo que aprendió: escalas y desplazamientos { #aprendio }
#
# Todas las $\gamma$ nacen en 1 y todas las $\beta$ en 0. ¿Dónde acaban las de la red que entrenamos?

# %% alt="Nube de puntos con la escala gamma en horizontal y el desplazamiento beta en vertical, una marca distinta para cada una de las cuatro normalizaciones. Las de las capas densas forman un racimo alrededor de gamma 1 y beta 0; las de las convoluciones se alejan más." caption="Cada punto es un canal, y la cruz, donde nacieron todos."
norms = [layer for layer in normed.modules() if isinstance(layer, BatchNorm)]
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.2, 3.2))
    for layer, marker, color, name in zip(
        norms, "os^D", plotting.PALETTE, ("conv 1", "conv 2", "densa 1", "densa 2"), strict=False
    ):
        axis.scatter(
            layer.weight.detach(),
            layer.bias.detach(),
            s=18,
            marker=marker,
            color=color,
            alpha=0.7,
            label=name,
        )
    axis.plot(1, 0, "x", color=plotting.INK, markersize=10, markeredgewidth=2)
    axis.set(xlabel="escala γ", ylabel="desplazamiento β")
    axis.legend(ncols=2)
    figure.tight_layout()
moved = [(layer.weight - 1).abs().mean().item() for layer in norms]
print("lo que se movió γ, de media:", [f"{value:.2f}" for value in moved])
assert max(moved[:2]) > max(moved[2:])

# %% [markdown]
# Se mueven poco: la red usa la libertad que le dejamos, pero sin prisa. Más en las convoluciones, que tienen
# menos canales y en las que cada $\gamma$ recibe el gradiente de todas las posiciones del mapa. Nadie volvió a
# poner la media y la varianza que había antes de normalizar; quedarse cerca de lo normalizado resultó ser un buen
# sitio.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### No llamar a `eval()` { #sin-eval }
#
# La red sigue normalizando con el lote que le das. Si los lotes vienen mezclados, casi no se nota, y por eso el
# error sobrevive. Hasta que alguien ordena los datos.

# %%
ordered = data.Batches(test[test.labels.argsort()], 20, transform=normalize)
mixed = data.Batches(test, 100, transform=normalize)


def accuracy(net, batches):
    """Acierto en el modo en que esté la red, sin cambiarlo."""
    with torch.no_grad():
        hits = [(net(batch).argmax(1) == target).float().mean().item() for batch, target in batches]
    return sum(hits) / len(hits)


forgetful = copy.deepcopy(normed)  # para no estropear la nuestra: enseguida verás por qué
outcome = {}
for mode in ("eval", "train"):
    getattr(forgetful, mode)()
    outcome[mode] = accuracy(forgetful, mixed), accuracy(forgetful, ordered)
    print(
        f"{mode + '()':<8} mezcladas {outcome[mode][0]:.1%}, ordenadas por clase {outcome[mode][1]:.1%}"
    )
assert abs(outcome["eval"][0] - outcome["eval"][1]) < 1e-3
assert outcome["train"][0] > outcome["eval"][0] - 0.05
assert outcome["train"][1] < 0.5

# %% [markdown]
# En un lote donde todo son botines, lo que hace botín a un botín *es* la media, y se resta. En producción los
# datos casi nunca vienen mezclados: llegan de uno en uno, o todos los de la misma cámara.
#
# ### Alimentar las estadísticas con la prueba { #prueba }
#
# Lo de arriba tiene una segunda víctima. `no_grad()` impide que se muevan los pesos, pero no los promedios
# móviles: mientras la red esté en modo de entrenamiento, **cada imagen que pasa los actualiza**. La red que
# acabamos de medir mal ya no es la misma.

# %%
forgetful.eval()
after = accuracy(forgetful, mixed)
print(f"antes {outcome['eval'][0]:.1%}, después de medirla mal {after:.1%}, ya en modo eval()")
assert after < outcome["eval"][0] - 0.03

# %% [markdown]
# Sus promedios acabaron siendo los de los últimos lotes, todos botines. Y aunque los lotes vengan mezclados sigue
# estando mal: has usado los datos de prueba para ajustar la red.
# [`training.evaluate`][cnnhistory.training.evaluate] hace las dos cosas, `eval()` y nada de gradientes, y deja el
# modo como estaba.
#
# ### El momento, al revés { #momento }
#
# En PyTorch, `momentum=0.1` es el peso de **lo nuevo**. En Keras, `momentum=0.99` es el peso de **lo viejo**.
# Quien traduce una red y copia el 0.99 le dice a PyTorch que olvide todo menos el último lote. Los pesos se
# entrenan igual; lo que se estropea es la cuenta con que se predice.


# %%
def recount(momentum, start):
    """La red, con los promedios vueltos a contar sobre lotes de 16 con ese momento."""
    net = copy.deepcopy(normed).train()
    for layer in net.modules():
        if isinstance(layer, BatchNorm):
            layer.momentum = momentum
    with torch.no_grad():
        for batch, _ in data.Batches(train[start : start + 1600], 16, transform=normalize):
            net(batch)
    return accuracy(net.eval(), val_batches)


spread = {}
for momentum in (0.1, 0.99):
    hits = [recount(momentum, start) for start in (0, 1600, 3200, 4800)]
    spread[momentum] = min(hits), max(hits)
    print(
        f"momentum={momentum:<5} acierto en cuatro cuentas: {', '.join(f'{hit:.1%}' for hit in hits)}"
    )
assert spread[0.99][0] < spread[0.1][0]

# %% [markdown]
# Con el momento al revés, la red predice con las estadísticas de las dieciséis últimas imágenes, y acierta menos.
# El equivalente del 0.99 de Keras es `momentum=0.01`.
#
# ### Dar los canales a `epsilon` { #epsilon }
#
# El segundo argumento de `BatchNorm1d` es $\epsilon$. Quien viene de `Linear(entradas, salidas)` escribe
# `BatchNorm1d(120, 120)`, y PyTorch no protesta: $\epsilon = 120$. A la varianza se le suma 120 antes de dividir.

# %%
vectors = torch.randn(256, 120)
for layer in (nn.BatchNorm1d(120), nn.BatchNorm1d(120, 120)):
    print(f"eps={layer.eps:<6} desviación al salir: {layer(vectors).std():.3f}")
    shrunk = layer(vectors).std().item()
assert abs(shrunk - 121**-0.5) < 0.01


def mistaken():
    return lenet(lambda c: nn.BatchNorm2d(c, c), lambda c: nn.BatchNorm1d(c, c))


wrong, good = average(mistaken, lr=0.05), results[0.05][1]
print(f"pérdida al entrenar: bien {good[0]:.3f}, con los canales en eps {wrong[0]:.3f}")
assert wrong[0] > 2.2  # ln 10 es 2.303

# %% [markdown]
# En esa capa la señal sale once veces menor de lo debido, y capa tras capa se apaga: la red se queda contestando
# al azar. No hay error ni aviso.
#
# ### Promedios que no son *buffers* { #buffers }
#
# Es el fallo típico de la versión escrita en casa: los promedios se guardan en un atributo cualquiera. La capa
# funciona. Entrena, predice bien. Hasta que guardas la red y la cargas en otra.


# %%
class HomeMade(BatchNorm):
    """La misma capa, con los promedios en atributos corrientes."""

    def __init__(self, channels):
        super().__init__(channels)
        for name in ("running_mean", "running_var"):
            values = getattr(self, name)
            delattr(self, name)
            setattr(self, name, values)


torch.manual_seed(SEED)
trained, reloaded = lenet(HomeMade, HomeMade), lenet(HomeMade, HomeMade)
fit(trained, few, lr=0.05)
reloaded.load_state_dict(trained.state_dict())  # ni una queja
before, after = (training.evaluate(net, val_batches).top1 for net in (trained, reloaded))
print(f"antes de guardar {before:.1%}; después de cargar {after:.1%}")
print("en el archivo:", [key for key in trained.state_dict() if key.startswith("1.")])
assert before > 0.7
assert after < before - 0.1

# %% [markdown]
# El archivo no los lleva y `load_state_dict` no los echa de menos, porque para él no existen. Tampoco los mueve
# `.to("cuda")`. El arreglo es `register_buffer`, una línea.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** La convolución que va antes de una normalización tiene un sesgo. ¿Qué gradiente le llega? ¿Qué
# harías con él?

# %% [markdown] tags=["solucion"]
# Ninguno, salvo el redondeo: sumar una constante a todo un canal cambia su media en esa constante, y la media se
# resta. El sesgo sobra, y $\beta$ hace su trabajo. Por eso verás `bias=False` en todas las redes que vienen
# después. La `LeNet5BN` los conserva para que sus parámetros sean los de la LeNet-5 más los de la normalización,
# y nada más.

# %% tags=["solucion"]
net = LeNet5BN().double()
F.cross_entropy(net(images[0]), labels[0]).backward()
useless, useful = net.features[0].bias.grad.abs().max(), net.features[1].bias.grad.abs().max()
print(f"sesgo de la convolución {useless:.0e}; β de la normalización {useful:.0e}")
assert useless < 1e-12 < useful

# %% [markdown]
# **2. Pliega.** Al predecir, la normalización es una recta por canal: $y = a x + b$. Una convolución seguida de
# una recta es otra convolución. Escribe una función que funda las dos en una sola capa y comprueba que la red da
# lo mismo.

# %% [markdown] tags=["solucion"]
# Con $a = \gamma / \sqrt{\sigma^2 + \epsilon}$, los pesos nuevos son $a w$ y el sesgo, $a (b - \mu) + \beta$. Al
# predecir, BN sale gratis.


# %% tags=["solucion"]
def fold(convolution, norm):
    slope = norm.weight / (norm.running_var + norm.eps).sqrt()
    folded = copy.deepcopy(convolution)
    with torch.no_grad():
        folded.weight *= slope.view(-1, *[1] * (folded.weight.ndim - 1))
        folded.bias.copy_(slope * (convolution.bias - norm.running_mean) + norm.bias)
    return folded


light = copy.deepcopy(normed).eval()
for part in (light.features, light.classifier):
    for index in range(1, len(part)):
        if isinstance(part[index], BatchNorm):
            part[index - 1], part[index] = fold(part[index - 1], part[index]), nn.Identity()
with torch.inference_mode():
    difference = (light(probe) - normed.eval()(probe)).abs().max().item()
print(
    f"mayor diferencia: {difference:.0e}, con {inspection.thousands(inspection.count_parameters(light))} parámetros"
)
assert difference < 1e-3
assert inspection.count_parameters(light) == plain

# %% [markdown]
# **3. Cambia.** Sustituye las normalizaciones de `lenet` por `nn.GroupNorm`, que toma las estadísticas de cada
# imagen por separado, en grupos de canales, y repite el experimento de los lotes con lotes de dos. ¿Qué esperas?

# %% [markdown] tags=["solucion"]
# Como no depende del lote, no se entera de que es pequeño. Es una de las familias que nacieron de esta (por capa,
# por imagen, por grupos), cada una con su manera de elegir qué se promedia.


# %% tags=["solucion"]
def grouped():
    return lenet(lambda c: nn.GroupNorm(2, c), lambda c: nn.GroupNorm(2, c))


torch.manual_seed(SEED)
by_group = fit(grouped(), tiny, lr=0.05 / 16, size=2)[-1].val_top1
print(f"lotes de 2: por lotes {by_size[2][1]:.1%}, por grupos {by_group:.1%}")
assert by_group > by_size[2][1] + 0.1

# %% [markdown]
# **4. Inventa.** El promedio móvil es una aproximación. Otra manera: con la red ya entrenada, pasa todo el
# conjunto de entrenamiento y guarda la media *exacta* de las medias de los lotes. Hazlo y compara el acierto en
# validación. (Pista: `momentum = 1 / (número de lote)`.)

# %% [markdown] tags=["solucion"]
# Con peso $1/k$ para el lote $k$, el promedio móvil es el promedio. Aquí da casi lo mismo, porque al final la
# tasa era muy baja y los pesos apenas se movían mientras se contaba. Así lo proponía el artículo: contar al
# terminar, no sobre la marcha.

# %% tags=["solucion"]
exact = copy.deepcopy(normed).train()
with torch.no_grad():
    for number, (batch, _) in enumerate(data.Batches(train, 100, transform=normalize), start=1):
        for layer in exact.modules():
            if isinstance(layer, BatchNorm):
                layer.momentum = 1 / number
        exact(batch)
moving, recounted = (training.evaluate(net, val_batches).top1 for net in (normed, exact))
print(f"promedio móvil {moving:.1%}, exacto {recounted:.1%}")
assert abs(moving - recounted) < 0.03

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# Después de 2015 casi ninguna red de esta historia se entrena sin ella: [ResNet](resnet.py)
# la lleva tras cada convolución, y con ella desaparecieron la LRN, las cabezas auxiliares y buena parte del
# dropout. Dejó también una lección sobre cómo se sabe lo que se sabe: una técnica puede ser correcta y su
# explicación no.
#
# - [Ioffe y Szegedy (2015)](../referencia/bibliografia.md#ioffe2015), el artículo. De ahí salen las cifras de la historia y la figura de los percentiles.
# - [Santurkar y otros (2018)](../referencia/bibliografia.md#santurkar2018), el que ensucia lo que BN limpia.
# - [He y otros (2015)](../referencia/bibliografia.md#he2015prelu), el otro camino: nacer con la escala justa.
# - [LeCun y otros (1998)](../referencia/bibliografia.md#lecun1998), la LeNet-5 que aquí se normaliza.
#
# **En el paquete:** [BatchNorm][cnnhistory.models.batchnorm.BatchNorm] y
# [LeNet5BN][cnnhistory.models.batchnorm.LeNet5BN].
#
# **En la historia:** se probó en una red de la familia de [GoogLeNet](googlenet.py), y meses después
# [ResNet](resnet.py) la llevaba tras cada convolución.
