# %% [markdown]
# # El bucle de entrenamiento, línea por línea
#
# Acabas de crear una red. Le muestras una zapatilla y dice «vestido». Dentro tiene decenas de miles de
# números. **¿Cuáles cambias, hacia dónde y cuánto?**
#
# La respuesta son cuatro líneas de código, y todas las redes de este sitio aprenden con ellas. Aquí las
# hacemos primero a mano, con dos pesos. Después leemos, línea por línea, el bucle real del paquete. Por el
# camino mediremos cada precaución: qué se pierde cuando falta.
#
# Solo necesitas saber qué es pasar una imagen por una red y obtener una puntuación por clase.

# %%
import math
import tempfile
import time
import weakref
from collections import Counter
from itertools import pairwise
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from cnnhistory import data, distributed, inspection, models, plotting  # noqa: F401
from cnnhistory.checkpoints import Checkpoints
from cnnhistory.training import (  # noqa: F401
    DivergedError,
    TrainingError,
    check_batches,
    check_recipe,
    explaining,
)

seed = 0

# %% [markdown]
# Todo el azar de la página sale de `seed`. Cámbiala y ejecuta otra vez: los números se moverán, las
# conclusiones no. Casi todas están comprobadas con un `assert`.
#
# ## Dos pesos y un lápiz
#
# La red más pequeña que se puede entrenar: dos entradas, dos pesos, una salida. La entrada es $(1, 2)$, los
# pesos son $(1, 0.5)$ y queremos que la salida sea $4$.
#
# 1. **Hacia adelante.** La salida es $1 \cdot 1 + 2 \cdot 0.5 = 2$. Se queda corta.
# 2. **Pérdida.** ¿Cuánto duele? La distancia al cuadrado: $(2 - 4)^2 = 4$.
# 3. **Gradiente.** Sube un poquito el primer peso, digamos $0.001$. La salida pasa a $2.001$ y la pérdida a
#    $3.996$: bajó cuatro milésimas, cuatro veces lo que subió el peso. Su derivada es $-4$. El segundo peso
#    multiplica una entrada el doble de grande y pesa el doble: $-8$.
# 4. **Paso.** Mueve cada peso en contra de su derivada, en proporción a ella. La proporción es la *tasa de
#    aprendizaje*. Con $0.05$, los pesos pasan a $1 + 0.05 \cdot 4 = 1.2$ y $0.5 + 0.05 \cdot 8 = 0.9$.
#
# Otra vez hacia adelante: $1.2 + 2 \cdot 0.9 = 3$. La pérdida era $4$ y ahora es $1$. Eso es aprender.
# Nadie eligió qué peso tocar: se movieron todos, cada uno según su parte de culpa.
#
# Ahora que lo haga PyTorch. `backward()` calcula las derivadas y las deja en `grad`:

# %%
inputs, target = torch.tensor([1.0, 2.0]), 4.0
weights = torch.tensor([1.0, 0.5], requires_grad=True)

output = weights @ inputs  # 1. hacia adelante
loss = (output - target) ** 2  # 2. pérdida
loss.backward()  # 3. gradiente
print("salida", output.item(), "· pérdida", loss.item(), "· gradiente", weights.grad.tolist())

with torch.no_grad():  # el paso no forma parte de lo que se deriva
    weights -= 0.05 * weights.grad  # 4. paso
output = weights @ inputs
print(f"salida {output:.2f} · pérdida {(output - target) ** 2:.2f}")

assert weights.grad.tolist() == [-4.0, -8.0]
assert torch.allclose(weights, torch.tensor([1.2, 0.9]))

# %% [markdown]
# ### ¿Cuánto es mucho?
#
# El gradiente dice hacia dónde. No dice cuánto: eso lo pones tú. En este juguete se puede calcular qué
# pasa con cada tasa $\eta$. El gradiente es $2 \, (\text{salida} - 4)$ por cada entrada, así que un paso mueve la
# salida $-2\eta \, (\text{salida} - 4)(1^2 + 2^2)$. Es decir: **cada paso multiplica el error por ${1 - 10\eta}$**.
#
# | Tasa | El error se multiplica por | Qué se ve |
# | ---: | ---: | --- |
# | $0.01$ | $0.9$ | avanza, a paso de tortuga |
# | $0.05$ | $0.5$ | la mitad en cada paso |
# | $0.1$ | $0$ | acierta a la primera |
# | $0.2$ | $-1$ | salta de un lado al otro, para siempre |
# | $0.21$ | $-1.1$ | cada salto es mayor que el anterior |
#
# Entre la mejor tasa y el desastre hay solo un factor de dos.


# %% alt="Tres parábolas iguales de pérdida según la salida, con el mínimo en 4. Con tasa 0.01, ocho puntos apretados que apenas bajan por la izquierda. Con tasa 0.05, puntos que llegan al fondo. Con tasa 0.21, puntos que saltan de un lado al otro y suben." caption="Ocho pasos desde el mismo punto, con tres tasas. Cada punto es la salida y su pérdida después de un paso."
def walk(rate, steps=8):
    """Las salidas del juguete, paso a paso."""
    weights, outputs = torch.tensor([1.0, 0.5]), []
    for _ in range(steps + 1):
        outputs.append((weights @ inputs).item())
        weights = weights - rate * 2 * (outputs[-1] - target) * inputs
    return outputs


with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.5), sharey=True)
    grid = torch.linspace(-0.6, 8.6, 100)
    for index, (axis, rate) in enumerate(zip(axes, (0.01, 0.05, 0.21), strict=True)):
        outputs = torch.tensor(walk(rate))
        axis.plot(grid, (grid - target) ** 2, color=plotting.INK, linewidth=1, alpha=0.6)
        axis.plot(outputs, (outputs - target) ** 2, "o-", color=plotting.PALETTE[index], ms=4, lw=1)
        axis.set(title=f"tasa {rate}", xlabel="salida", ylim=(-1, 22))
    axes[0].set_ylabel("pérdida")
    figure.tight_layout()

for rate in (0.01, 0.05, 0.21):  # el factor 1 − 10η, comprobado
    errors = [output - target for output in walk(rate)]
    assert all(
        math.isclose(after, before * (1 - 10 * rate), rel_tol=1e-3, abs_tol=1e-5)
        for before, after in pairwise(errors)
    )

# %% [markdown]
# ## De dos pesos a decenas de miles
#
# El resto de la página usa la [LeNet-5](../arquitecturas/lenet-5.py) moderna y prendas de Fashion-MNIST. Los
# datos se reparten en tres montones: **entrenamiento**, de donde salen los gradientes; **validación**, para
# tomar decisiones; y **prueba**, que se mira una sola vez, al final. La media y la desviación con que se
# normaliza salen solo del primero.

# %%
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
normalize = data.normalization(train_set)
val_batches = data.Batches(val_set, 500, transform=normalize)


def new_net(seed):
    """Una LeNet-5 moderna, con los pesos que le tocan a esa semilla."""
    torch.manual_seed(seed)
    return models.create("lenet5_modern", num_classes=10, in_channels=1)


def new_batches(seed=seed):
    """Lotes de 128 imágenes de entrenamiento, en un orden al azar."""
    return data.Batches(train_set, 128, shuffle=True, seed=seed, transform=normalize)


net = new_net(seed)
print("parámetros:", inspection.thousands(inspection.count_parameters(net)))
print("imágenes:", len(train_set), "entrenan,", len(val_set), "validan,", len(test_set), "prueban")
print("lotes por época:", len(new_batches()))

# %% alt="Diez prendas en gris en dos filas, cada una con el nombre que le da la red sin entrenar; casi ninguno corresponde." caption="Diez imágenes de validación y, encima, lo que dice de ellas la red recién creada."
with torch.inference_mode():
    images, labels = next(iter(val_batches))
    logits = net(images)
    guesses = [val_set.classes[guess] for guess in logits[:10].argmax(1)]
plotting.image_grid(val_set.images[:10], titles=guesses, columns=5)

# %% [markdown]
# Para medir cuánto se equivoca una red que clasifica se usa la **entropía cruzada**. *Softmax* convierte las
# diez puntuaciones en probabilidades, y la pérdida es $-\ln p$, donde $p$ es la probabilidad que le tocó a la
# clase correcta. Si la red está segura y acierta ($p = 1$), no paga nada. Si duda entre dos ($p = 1/2$), paga
# $0.69$. Si estaba segura de otra cosa ($p = 0.01$), paga $4.6$: lo que más cuesta no es dudar, es mentir con
# aplomo.
#
# De ahí sale **la primera prueba de cordura**, y es gratis. Quien no sabe nada y lo admite reparte la
# probabilidad por igual: con diez clases paga $-\ln(1/10) = \ln 10$. Una red sin entrenar debería andar cerca.

# %%
first_loss = F.cross_entropy(logits, labels).item()
print(f"ln 10 = {math.log(10):.3f}")
print(f"la red recién creada paga {first_loss:.3f}")

with torch.no_grad():
    loud = new_net(seed)
    nn.init.kaiming_normal_(loud.classifier[-1].weight)  # la última capa, como las demás
    loud_loss = F.cross_entropy(loud(images), labels).item()
print(f"si su última capa naciera como las demás, pagaría {loud_loss:.3f}")

assert abs(first_loss - math.log(10)) < 0.05
assert loud_loss > math.log(10) + 0.2

# %% [markdown]
# La nuestra paga lo justo, y no es casualidad: su última capa nace casi en cero, y unas puntuaciones diminutas
# reparten la probabilidad por igual. Si naciera con el tamaño de las demás, las puntuaciones serían grandes, y
# una puntuación grande es una opinión firme: la red empezaría **convencida de disparates**. Ese exceso se
# olvida en unos pasos. Pero si un día lees 30 donde esperabas $2.3$, detente: hay algo mal en la
# inicialización, en la normalización o en la pérdida, y ningún entrenamiento lo va a arreglar por ti.
#
# ## Quién da el paso
#
# El paso a mano era `weights -= 0.05 * weights.grad`. Con muchos parámetros lo da un *optimizador*. Este es
# el de todas las redes del sitio:

# %% tags=["fuente"]
from cnnhistory.training import make_optimizer

# %% [markdown]
# Línea por línea:
#
# - `p.requires_grad`: un parámetro congelado no entra. Así se puede entrenar solo una parte de la red.
# - `p.ndim > 1`: los pesos de convoluciones y densas son tensores de dos dimensiones o más; los sesgos, de
#   una. El *decaimiento* encoge un poco los primeros en cada paso, para que ninguno crezca sin necesidad. A
#   los sesgos se los deja en paz.
# - `momentum=0.9`: en lugar de seguir el gradiente de este lote, que es ruidoso, se sigue una suma que recuerda
#   los anteriores y olvida un 10 % en cada paso. `nesterov=True` es una variante que mira un poco
#   más adelante.
# - `fused=True`: la misma cuenta en una sola pasada por la memoria. Es solo velocidad.
#
# ¿Qué hace el momento? Si el gradiente es siempre el mismo, los pasos se acumulan: $1 + 0.9 + 0.9^2 + \dots = 10$.
# Si cambia de signo en cada paso, casi se anulan. El optimizador corre por los valles largos y no rebota
# entre sus paredes.

# %%
for name, gradients in {"siempre igual": [1.0] * 60, "cambia de signo": [1.0, -1.0] * 30}.items():
    parameter = nn.Parameter(torch.zeros(1, 1))
    optimizer = make_optimizer(nn.ParameterList([parameter]), lr=1.0, weight_decay=0.0)
    for gradient in gradients:
        before = parameter.item()
        parameter.grad = torch.full((1, 1), gradient)
        optimizer.step()
    moved = abs(parameter.item() - before)
    print(f"gradiente que {name}: el último paso mide {moved:.2f} veces la tasa")
    assert (9.9 < moved < 10.1) if name == "siempre igual" else moved < 2

# %% [markdown]
# Ojo con la consecuencia: con momento $0.9$, una tasa de $0.02$ empuja tanto como una de $0.2$ sin él. Por
# eso una tasa copiada de otro sitio no significa nada sin su optimizador.
#
# ## Con qué precisión se calcula

# %% tags=["fuente"]
from cnnhistory.training import _short_type, loss_scaler, mixed_precision  # noqa: F401

# %% [markdown]
# Un `float32` gasta 32 bits por número. Un `bfloat16` gasta la mitad: conserva el mismo rango de tamaños y
# pierde decimales, le quedan dos o tres cifras. Para multiplicar matrices suele sobrar, y el
# hardware que lo trae de fábrica va bastante más rápido. En el que no lo trae se emula, y sale peor: por eso la
# función pregunta antes de activarlo. Las GPU de 2017 a 2019 (Volta y Turing) tienen `float16`, que guarda más cifras
# y menos rango: un gradiente de una cienmillonésima ya es cero. `loss_scaler` multiplica la pérdida antes de
# derivar y divide los gradientes antes del paso; donde no hace falta, no hace nada. Dentro del contexto, PyTorch convierte al vuelo las operaciones que lo
# soportan bien; **los pesos siguen en `float32`**, porque un paso pequeño sumado a un peso en `bfloat16` se
# perdería en el redondeo:

# %%
wide, narrow = torch.ones((), dtype=torch.float32), torch.ones((), dtype=torch.bfloat16)
print(f"float32:  {wide + 0.001:.6f}")
print(f"bfloat16: {narrow + 0.001:.6f}  ← el paso se perdió")
assert (narrow + 0.001).item() == 1.0 < (wide + 0.001).item()

# %% [markdown]
# ## Una época
#
# Con miles de imágenes no se calcula el gradiente de todas para dar un paso: se toma un *lote*, se da el
# paso y se pasa al siguiente. El gradiente del lote es una estimación ruidosa, pero cuesta poco y da muchos
# pasos. Una *época* es una vuelta completa a los datos. Las cuatro líneas del juguete están aquí dentro;
# búscalas.
#
# `Loader` es lo que el bucle pide a los datos: que se puedan recorrer en lotes y que digan cuántos son. Los
# `Batches` del paquete cumplen. Una lista de lotes, también.

# %% tags=["fuente"]
from cnnhistory.training import Loader, _mean_loss, train_one_epoch  # noqa: F401

# %% [markdown]
# | Línea | Qué hace | Si falta |
# | --- | --- | --- |
# | `model.train()` | pone en modo de entrenamiento dropout y normalización por lotes | la red entrena sin dropout y sin actualizar sus estadísticas |
# | `device = next(model.parameters()).device` | pregunta a la red dónde vive | hay que pasar el dispositivo a mano a todas partes |
# | `images.to(device, memory_format=…)` | lleva el lote adonde está la red, con los canales juntos en memoria: la forma no cambia y muchas convoluciones van más rápido | error, si están en dispositivos distintos |
# | `with mixed_precision(device)` | calcula en `bfloat16` o `float16` donde conviene | más lento, nada más |
# | `outputs = model(images)` | **1. hacia adelante**; de paso, PyTorch guarda lo que necesitará para derivar | |
# | `logits, *auxiliary = …` | separa la salida principal; casi todas las redes dan solo esa, y entonces `objective` es `loss` | |
# | `F.cross_entropy(logits.float(), …)` | **2. pérdida**, en `float32`: aquí los decimales sí importan | la pérdida pierde cifras |
# | `optimizer.zero_grad(…)` | borra los gradientes del lote anterior | [se acumulan](#sin-zero-grad) |
# | `scaler.scale(objective).backward()` | **3. gradiente**: recorre las operaciones al revés y llena `grad` | los pesos no cambian |
# | `scaler.unscale_(optimizer)` | devuelve los gradientes a su tamaño, para medirlos | se recortarían los agrandados |
# | `clip_grad_norm_(…)` | si el gradiente es más largo que `clip_norm`, lo encoge hasta esa longitud | [un solo paso puede romper la red](#recorte) |
# | `scaler.step(optimizer)` | **4. paso**; si un gradiente agrandado se desbordó, no lo da | los pesos no cambian |
# | `scaler.update()` | si se desbordó, agranda menos la próxima vez | con `float16`, perdería todos los pasos |
# | `steps.append((loss.detach(), …))` | apunta la pérdida, sin arrastrar el grafo de derivadas | [la memoria crece](#grafo) |
# | `schedule.step()` | ajusta la tasa para el lote siguiente | la tasa queda fija |
# | `on_batch(loss.detach(), …)` | avisa del lote a quien pregunte, como la barra de `cnnhistory train` | nada cambia en la red |
# | `_mean_loss(steps)` | la media por imagen; el bucle no lee ninguna pérdida antes de aquí | |
#
# Un detalle más de la última línea. Una GPU recibe órdenes y trabaja por su cuenta mientras Python prepara
# las siguientes. `.tolist()` pide números, y para darlos hay que **esperar** a que termine todo lo anterior. Con
# una lectura por lote, la GPU se queda ociosa en cada lote. Aquí las pérdidas se quedan en el dispositivo y
# se leen todas al final: una espera por época. El precio es que, si una deja de ser un número, se sabe al
# terminar la vuelta; a cambio se sabe en qué lote fue y con qué tasa. La barra de la terminal lee una
# por segundo, como mucho. (`distributed.summed` suma lo de todos los
# procesos cuando [son varios](cluster.py); aquí hay uno.)
#
# Fíjate también en que `train_loss` promedia pérdidas de *redes distintas*: la del primer lote no es la misma
# que la del último. Por eso al principio suele salir peor que la de validación, que se mide al terminar
# la época.
#
# ### Segunda prueba de cordura: memorizar 64 imágenes
#
# Antes de gastar una hora, gasta unos segundos. Una red sana debe poder aprenderse de memoria un solo lote. Si
# no puede, el error está en el código o en la tasa: no son los datos, ni hace falta una red mayor.

# %%
few = data.Batches(train_set[:64], 64, transform=normalize)
memorizer = new_net(seed)
optimizer = make_optimizer(memorizer, lr=0.01, weight_decay=0.0)
for step in range(1, 81):
    loss, _ = train_one_epoch(memorizer, few, optimizer)  # una «época» de un solo lote
    if step in (1, 5, 10, 20, 40, 80):
        print(f"paso {step:2}: pérdida {loss:.4f}")
assert loss < 0.3

# %% [markdown]
# ### ¿En qué se van los segundos?
#
# Repetimos la época con un cronómetro entre línea y línea. En una CPU basta con mirar el reloj; en una GPU
# habría que llamar a `torch.cuda.synchronize()` antes de cada lectura, o el reloj mediría lo que se tarda
# en *pedir* el trabajo.

# %% tags=["tiempos"]
seconds = dict.fromkeys(("datos", "hacia adelante", "hacia atrás", "paso"), 0.0)
net = new_net(seed)
optimizer = make_optimizer(net, lr=0.01, weight_decay=0.0)
device = torch.device("cpu")
moments = [time.perf_counter()]
for images, labels in new_batches():
    moments.append(time.perf_counter())
    with mixed_precision(device):
        logits = net(images.to(memory_format=torch.channels_last))
    loss = F.cross_entropy(logits.float(), labels)
    moments.append(time.perf_counter())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    moments.append(time.perf_counter())
    optimizer.step()
    moments.append(time.perf_counter())
    for name, (start, end) in zip(seconds, pairwise(moments), strict=True):
        seconds[name] += end - start
    moments = moments[-1:]

whole = sum(seconds.values())
for name, spent in seconds.items():
    print(f"{name:14}  {spent:5.2f} s  {spent / whole:4.0%}")
print(f"{'total':14}  {whole:5.2f} s  {len(train_set) / whole:.0f} imágenes por segundo")

assert seconds["hacia adelante"] + seconds["hacia atrás"] > seconds["datos"] + seconds["paso"]

# %% [markdown]
# Casi todo se va en calcular, y eso es una buena noticia: los datos no estorban. Caben en memoria, así que un
# lote es una indexación y no hace falta ningún proceso auxiliar. Pero ¿en calcular *qué*? Toda operación de
# PyTorch, hacia adelante o hacia atrás, pasa por un despachador, y ahí se puede poner el reloj:


# %% tags=["tiempos"]
class Stopwatch(TorchDispatchMode):
    """Cronometra cada operación que se ejecuta dentro del `with`."""

    def __init__(self):
        super().__init__()
        self.seconds = Counter()

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        start = time.perf_counter()
        result = operation(*args, **(kwargs or {}))
        self.seconds[operation.overloadpacket.__name__] += time.perf_counter() - start
        return result


net = new_net(seed)
with Stopwatch() as watch:
    train_one_epoch(net, new_batches(), make_optimizer(net, lr=0.01, weight_decay=0.0))
whole = watch.seconds.total()
for name, spent in watch.seconds.most_common(8):
    print(f"{name:34} {spent / whole:4.0%}")

share = Counter()
for name, spent in watch.seconds.items():
    kind = next((kind for kind in ("convolution", "pool", "sgd") if kind in name), "lo demás")
    share[kind] += spent / whole
assert share["convolution"] > max(0.3, share["pool"])
assert share["sgd"] < 0.1

# %% [markdown]
# Las dos convoluciones son lo que más se lleva; el *pooling*, que no tiene ni un parámetro, más de lo que se
# esperaría; el optimizador, casi nada. La cuenta hacia atrás de una convolución cuesta cerca del doble que hacia
# adelante, porque son dos: el gradiente de sus pesos y el de su entrada. Cuando el entrenamiento sea lento, mide
# antes de cambiar nada: acelerar el optimizador de esta red no serviría para nada.
#
# ## Medir sin tocar

# %% tags=["fuente"]
from cnnhistory.training import Metrics, _evaluating, evaluate  # noqa: F401

# %% [markdown]
# Es el mismo recorrido, con cuatro diferencias:
#
# - `@torch.inference_mode()`: no se guarda nada para derivar. Menos memoria y más velocidad.
# - `with _evaluating(model)`: pone la red en modo de evaluación y al salir la deja como estaba, incluso si
#   algo falla.
# - `reduction="sum"`: se suman pérdidas y se divide al final entre las imágenes vistas. Ahora verás por qué.
# - `logits.topk(5)`: las cinco clases con más puntos. Si la correcta es la primera, cuenta para el
#   top-1; si está entre las cinco, para el top-5. Las sumas y la cuenta de imágenes viajan en un solo tensor y
#   se leen juntas.
#
# ### El promedio de los promedios miente
#
# Tienes 260 imágenes en lotes de 128: salen 128, 128 y 4. La red acierta todas las de los dos primeros lotes y
# ninguna de las cuatro últimas. Acertó $256$ de $260$. Pero si promedias el acierto de cada lote obtienes
# $(1 + 1 + 0)/3$:

# %%
hits, sizes = [128, 128, 0], [128, 128, 4]
of_batches = sum(hit / size for hit, size in zip(hits, sizes, strict=True)) / len(sizes)
print(f"promedio de los lotes: {of_batches:.1%}")
print(f"aciertos entre imágenes: {sum(hits) / sum(sizes):.1%}")
assert math.isclose(of_batches, 2 / 3)
assert math.isclose(sum(hits) / sum(sizes), 256 / 260)

# %% [markdown]
# Cada imagen del último lote pesó 32 veces más que las otras. Aquí es un caso extremo; en los datos reales el
# sesgo es pequeño, cambia con el tamaño del lote y nadie lo ve. Suma, y divide al final.
#
# Con ese `evaluate` podemos cerrar la prueba anterior: ¿memorizó de verdad las 64 imágenes?

# %%
memory, elsewhere = evaluate(memorizer, few), evaluate(memorizer, val_batches)
print(f"en las 64 que vio: {memory.top1:.1%} · en validación: {elsewhere.top1:.1%}")
assert memory.top1 >= 0.95
assert elsewhere.top1 < 0.8

# %% [markdown]
# Se las sabe de memoria y con las demás falla a menudo: eso es sobreajuste en estado puro, y la razón de que
# exista la validación.
#
# ### Dos modos, una red
#
# Algunas capas hacen una cosa al entrenar y otra al medir. *Dropout* es la más clara. Al entrenar apaga la
# mitad de los valores, al azar, y dobla los que quedan para que la suma esperada no cambie. Al medir, no hace
# nada:

# %%
torch.manual_seed(seed)
layer = nn.Dropout(p=0.5)
print("train():", layer.train()(torch.ones(12)).int().tolist())
print("eval(): ", layer.eval()(torch.ones(12)).int().tolist())

# %% [markdown]
# `train()` y `eval()` solo cambian una bandera en cada capa. No apagan los gradientes, y `inference_mode()` no
# cambia el modo de las capas: **son dos cosas distintas y hacen falta las dos**.
#
# ### Por qué la validación no es la prueba
#
# Imagina cien redes que responden *al azar*. Las mides con cien imágenes de validación y te quedas con la
# mejor:

# %%
generator = torch.Generator().manual_seed(seed)
truth = torch.randint(10, (100,), generator=generator)
answers = torch.randint(10, (100, 100), generator=generator)  # red, imagen
scores = (answers == truth).float().mean(dim=1)
best = scores.max().item()
fresh_truth, fresh_answers = torch.randint(10, (2, 10_000), generator=generator)
fresh = (fresh_truth == fresh_answers).float().mean().item()
print(f"media de las cien: {scores.mean():.1%}")
print(f"la mejor: {best:.0%} · esa misma, con imágenes nuevas: {fresh:.1%}")
assert best >= 0.14
assert 0.09 < fresh < 0.11

# %% [markdown]
# La mejor parecía saber algo. No sabía nada: ganó un sorteo. Cada vez que eliges con una medida (la tasa, la
# época, la red), esa medida queda inflada para lo que elegiste. **Elegir también es entrenar.** Por eso
# hacen falta otras imágenes que no hayan decidido nada, y por eso se miran una sola vez.
#
# ## El plan de la tasa
#
# La tasa no es fija. Con `one_cycle` sube durante el primer 30 % de los pasos y baja después hasta casi cero. Subir
# poco a poco protege a la red recién nacida: al principio el gradiente cambia mucho de un paso al siguiente, y un paso
# largo puede dejarla donde ya no aprende. Bajar deja que se asiente: con tasa
# grande, el ruido de los lotes la hace rebotar alrededor del mínimo. `warmup_cosine` hace lo mismo con una
# subida más corta.

# %% tags=["fuente"]
from cnnhistory.training import one_cycle, warmup_cosine

# %% alt="Dos curvas de la tasa según el paso. La de one_cycle nace cerca de cero, sube en forma de S hasta 0.05 en el paso 30 y baja en forma de S más larga hasta cero en el paso 100. La de warmup_cosine sube en cinco pasos, en línea recta, y baja todo el resto." caption="La tasa en un entrenamiento de cien pasos con `lr=0.05`, con los dos planes: el número que das es la cumbre."
rates = {}
for plan in (one_cycle, warmup_cosine):
    optimizer = make_optimizer(nn.ParameterList([nn.Parameter(torch.zeros(1, 1))]), 0.05, 0.0)
    schedule, name = plan(optimizer, 100), plan.__name__
    rates[name] = []
    for _ in range(100):
        rates[name].append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()

with plotting.style():
    figure, axis = plt.subplots(figsize=(5, 2.4))
    for (name, values), line in zip(rates.items(), ("-", "--"), strict=True):
        axis.plot(range(1, 101), values, line, label=name)
    axis.set(xlabel="paso", ylabel="tasa", ylim=(0, None))
    axis.legend()
    figure.tight_layout()

for name, peak in (("one_cycle", 29), ("warmup_cosine", 4)):
    assert abs(max(rates[name]) - 0.05) < 1e-6
    assert abs(rates[name].index(max(rates[name])) - peak) <= 1
    assert rates[name][-1] < 1e-4

# %% [markdown]
# ## El bucle entero

# %% tags=["fuente"]
from cnnhistory.training import Epoch, _check_finite, train  # noqa: F401

# %% [markdown]
# Ya conoces casi todas las piezas:
#
# - [`check_recipe`](../api/training.md#cnnhistory.training.check_recipe) y
#   [`check_batches`](../api/training.md#cnnhistory.training.check_batches) fallan *antes* de entrenar, no dentro de
#   una hora: números fuera de rango, imágenes que no son de esta red, etiquetas que no tienen clase.
# - `optimizer` y `schedule` son funciones, y puedes pasar las tuyas. El plan de la tasa recibe los pasos de
#   todo el entrenamiento: sabe desde el principio cuándo va a terminar.
# - `checkpoints`, si se da, [guarda el estado](#seguir) al final de cada época, y deja seguir un entrenamiento que
#   se cortó.
# - El reloj mide solo el entrenamiento. La validación es tiempo aparte.
# - [`explaining`](../api/training.md#cnnhistory.training.explaining) se queda con los errores que se pueden explicar. Si la pérdida deja de ser un número o no
#   alcanza la memoria, el entrenamiento se detiene y dice en qué época y qué probar.
# - `evaluate(model, val_batches)`: validación, nunca prueba.
# - `_check_finite(scores)`: el último paso de la época puede romper los pesos, y la pérdida de cada lote se midió antes de
#   su paso. Sin esto, se guardarían unos pesos que ya no sirven.
# - `history` es una lista de `Epoch`, datos sin más: `pandas.DataFrame(history)` la entiende. Quien quiera
#   curvas, que las dibuje.
#
# ### La cumbre: pequeña, buena, enorme
#
# ¿Y cuál es la cumbre? Hagamos con la red lo del juguete: una época con tasa fija y tres valores muy
# distintos. Para ver la pérdida de cada paso damos a `train_one_epoch` «épocas» de un solo lote. Eso lee un
# número por lote, así que sirve para mirar, no para entrenar rápido.


# %% alt="Pérdida por paso con tres tasas, y una línea de puntos en ln 10. Con 0.0001 baja despacio y termina lejos de la buena. Con 0.02 cae en pocos pasos y sigue bajando. Con 0.5 se sale de la gráfica enseguida y, si vuelve, queda pegada a la línea de ln 10." caption="La misma red, los mismos lotes, tres tasas fijas. La línea de puntos es ln 10: lo que paga quien no sabe nada."
def losses_by_step(model, batches, optimizer):
    """La pérdida de cada lote, justo antes de dar su paso; se detiene si deja de ser un número."""
    losses = []
    for batch in batches:
        try:
            losses.append(train_one_epoch(model, [batch], optimizer)[0])
        except TrainingError:
            break
    return losses


runs = {}
for rate in (0.0001, 0.02, 0.5):
    net = new_net(seed)
    runs[rate] = losses_by_step(net, new_batches(), make_optimizer(net, rate, 0.0))

with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 2.9))
    for (rate, losses), line in zip(runs.items(), ("--", "-", "-."), strict=True):
        axis.plot(range(1, len(losses) + 1), losses, line, label=f"tasa {rate:g}")
    axis.axhline(math.log(10), color=plotting.INK, linestyle=":", linewidth=1)
    axis.set(xlabel="paso", ylabel="pérdida del lote", ylim=(0, 6))
    axis.legend()
    figure.tight_layout()

last = {rate: sum(losses[-10:]) / 10 for rate, losses in runs.items()}
print({rate: round(loss, 3) for rate, loss in last.items()})
assert last[0.02] < 1.0 < 1.3 < last[0.0001]
assert last[0.5] > 2.2 or len(runs[0.5]) < len(runs[0.02])  # atascada, o ya no es un número

# %% [markdown]
# Con la tasa enorme, el primer paso lanza los pesos tan lejos que las ReLU se apagan: la red responde lo mismo
# a todo, o la pérdida deja de ser un número. Si ves un 10 % de acierto que no se mueve, este es el primer
# sospechoso. La regla práctica: busca la tasa más grande que no explota y usa algo menos.
#
# ### Un freno para los pasos enormes { #recorte }
#
# El daño lo hacen unos pocos pasos, casi siempre los primeros. Recortar el gradiente (*gradient clipping*) los
# frena: `clip_norm=1` mide la longitud del gradiente entero, como si todos los parámetros formaran un solo vector,
# y si pasa de 1 lo encoge hasta 1, sin cambiarle la dirección: el mismo paso, más corto. Con una cumbre
# seis veces mayor que la nuestra, una época:

# %%
clipped = {}
for clip_norm in (None, 1.0):
    net = new_net(seed)
    epoch = train(net, new_batches(), val_batches, epochs=1, lr=0.3, clip_norm=clip_norm)[-1]
    clipped[clip_norm] = epoch.val_top1
    print(f"clip_norm={clip_norm}: {epoch.val_top1:.1%}")
assert clipped[1.0] - clipped[None] > 0.3

# %% [markdown]
# No es una licencia para usar cualquier tasa: es un cinturón de seguridad.
#
# ### A entrenar

# %%
net = new_net(seed)


def report(epoch):
    """Una línea por época."""
    print(
        f"época {epoch.number}: entrenamiento {epoch.train_loss:.3f}, "
        f"validación {epoch.val_loss:.3f}, top-1 {epoch.val_top1:.1%}"
    )


history = train(net, new_batches(), val_batches, epochs=4, lr=0.05, on_epoch=report)
assert history[-1].val_top1 > 0.8
assert history[-1].train_loss < history[0].train_loss / 1.5
assert history[-1].train_loss < history[-1].val_loss

# %% alt="Dos gráficas por época. A la izquierda, la pérdida de entrenamiento y la de validación bajan, y la primera termina por debajo. A la derecha, el acierto en validación sube." caption="Cuatro épocas con una cumbre de 0.05. La pérdida de entrenamiento termina por debajo: es la de las imágenes que la red ya vio."
plotting.curves(history, "LeNet-5 moderna, Fashion-MNIST mini")

# %% [markdown]
# Y ahora que ya no queda nada que decidir, la prueba. Una vez.

# %%
final = evaluate(net, data.Batches(test_set, 500, transform=normalize))
print(f"prueba: pérdida {final.loss:.3f}, top-1 {final.top1:.1%}, top-5 {final.top5:.1%}")
assert final.top1 > 0.78

# %% [markdown]
# ## Cuando algo va mal
#
# Una tasa absurda, otra vez, pero ahora con el bucle entero. No hay que mirar gráficas: el error trae la época, el
# lote y la tasa de ese paso.

# %%
try:
    train(new_net(seed), new_batches(), val_batches, epochs=2, lr=1e6)
except TrainingError as error:
    message = str(error)
print(message)
assert message.startswith("época 1: ")

# %% [markdown]
# Y antes de gastar un segundo: una red de cinco clases con datos de diez.

# %%
five = models.create("lenet5_modern", num_classes=5, in_channels=1)
try:
    train(five, new_batches(), val_batches, epochs=1, lr=0.05)
except ValueError as error:
    message = str(error)
print(message)
assert "num_classes=10" in message

# %% [markdown]
# ## Seguir donde se quedó { #seguir }
#
# A mitad de la noche se va la luz. Un *punto de control* (*checkpoint*) guarda al final de cada época todo lo
# que el entrenamiento recuerda: los pesos, el momento del optimizador, la tasa y los generadores de azar. Con
# menos que eso se podría seguir, pero no sería el *mismo* entrenamiento. Aquí lo cortamos después de la primera
# época y lo seguimos, como si fuera otro proceso:


# %%
class PowerCut(Exception):
    """Se fue la luz."""


def cut(epoch):
    """Corta después de la primera época."""
    if epoch.number == 1:
        raise PowerCut


def three_epochs(folder, on_epoch=None):
    """Siempre lo mismo: si en la carpeta hay algo de este entrenamiento, sigue desde ahí."""
    net, half = (
        new_net(seed),
        data.Batches(train_set[:2560], 128, shuffle=True, transform=normalize),
    )
    saved = Checkpoints(folder, recipe={"red": "lenet5_modern", "semilla": seed}, resume=True)
    train(net, half, val_batches, epochs=3, lr=0.02, checkpoints=saved, on_epoch=on_epoch)
    return net.state_dict()


with tempfile.TemporaryDirectory() as folder:
    whole = three_epochs(Path(folder, "entera"))
    try:
        three_epochs(Path(folder, "cortada"), on_epoch=cut)
    except PowerCut:
        print("se cortó; quedó:", *sorted(path.name for path in Path(folder, "cortada").iterdir()))
    resumed = three_epochs(Path(folder, "cortada"))

assert all(torch.equal(whole[name], resumed[name]) for name in whole)
print("cortado y seguido, o de un tirón: los mismos bits")

# %% [markdown]
# Los archivos son tensores y JSON: abrir uno no ejecuta código de nadie. Cada uno se escribe aparte y se
# renombra al final, así que un corte a media escritura no estropea el anterior. En la terminal es
# `cnnhistory train lenet5_modern --checkpoints carpeta --resume`.
#
# ## La misma semilla, los mismos bits
#
# En un entrenamiento hay azar en los pesos iniciales, en el orden de los lotes y en dropout. Con la misma
# semilla en la misma máquina, dos entrenamientos deben dar lo mismo. No «parecido»: cada bit. Si no, no podrás
# saber si un cambio de código mejoró algo o solo cambió el sorteo.


# %%
def short_run(seed):
    """Veinte pasos, desde cero."""
    model = new_net(seed)
    batches = data.Batches(train_set[:2560], 128, shuffle=True, seed=seed, transform=normalize)
    history = train(model, batches, val_batches, epochs=1, lr=0.02)
    return model.state_dict(), history[-1].val_top1


(first, score), (second, _) = short_run(seed), short_run(seed)
assert all(torch.equal(first[name], second[name]) for name in first)
print(f"misma semilla: los mismos bits ({score:.1%})")

others = [score] + [short_run(seed + offset)[1] for offset in (1, 2, 3)]
print("otras semillas:", ", ".join(f"{other:.1%}" for other in others[1:]))
print(f"entre la mejor y la peor: {100 * (max(others) - min(others)):.1f} puntos")
assert max(others) > min(others)

# %% [markdown]
# Guarda esa distancia. Si dos redes se diferencian en menos que dos semillas de la *misma* red, todavía no
# sabes cuál es mejor. Y «los mismos bits» vale para la misma máquina y las mismas versiones: otro procesador
# suma en otro orden, y $(a + b) + c$ no es $a + (b + c)$ cuando se redondea.
#
# ## Errores comunes
#
# Todos están sacados de código publicado. Todos se ejecutan sin quejarse.
#
# ### La tasa que nadie usa
#
# La función recibe `lr`. El optimizador no.


# %%
def fit(model, batches, lr):
    """Lo que se publica: acepta la tasa y la ignora."""
    optimizer = torch.optim.Adam(model.parameters())
    return train_one_epoch(model, batches, optimizer)[0]


def fit_fixed(model, batches, lr):
    """Lo que se quería."""
    return train_one_epoch(model, batches, make_optimizer(model, lr, 0.0))[0]


some = list(new_batches())[:8]
ignored = [fit(new_net(seed), some, rate) for rate in (0.0001, 0.001, 0.02)]
used = [fit_fixed(new_net(seed), some, rate) for rate in (0.0001, 0.001, 0.02)]
print("antes:  ", [round(loss, 4) for loss in ignored])
print("después:", [round(loss, 4) for loss in used])
assert len(set(ignored)) == 1
assert len(set(used)) == 3

# %% [markdown]
# Tres búsquedas de la mejor tasa, un solo resultado hasta el último decimal. La vacuna: cambia un hiperparámetro
# a un valor absurdo y comprueba que el resultado se arruina.
#
# ### Gradientes que nadie borró { #sin-zero-grad }
#
# `backward()` no escribe en `grad`: *suma*. Sin `zero_grad()`, cada paso sigue la suma de todos los
# gradientes desde el principio. En el juguete se ve con lápiz. La salida va de $2$ a $3$, como antes. En el
# segundo paso el gradiente nuevo es $(-2, -4)$, y sumado al anterior da $(-6, -12)$: la salida salta a $4.5$.
# Ya se pasó, pero la suma aún empuja hacia arriba.

# %%
weights, outputs = torch.tensor([1.0, 0.5], requires_grad=True), []
for _ in range(12):
    output = weights @ inputs
    outputs.append(round(output.item(), 2))
    ((output - target) ** 2).backward()  # se suma a lo que había
    with torch.no_grad():
        weights -= 0.05 * weights.grad
print(outputs)
assert outputs[:3] == [2.0, 3.0, 4.5]
assert max(outputs[6:]) - min(outputs[6:]) > 3  # doce pasos después, sigue oscilando

# %% [markdown]
# Es una bola sin fricción: pasa por el fondo y nunca se detiene. En la red, una época con descenso simple. Para
# no copiar el bucle, al optimizador del error le quitamos la goma de borrar:

# %%
top1 = {}
for name in ("con zero_grad", "sin zero_grad"):
    net = new_net(seed)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    if name == "sin zero_grad":
        optimizer.zero_grad = lambda set_to_none=True: None
    train_one_epoch(net, new_batches(), optimizer)
    top1[name] = evaluate(net, val_batches).top1
    print(f"{name}: {top1[name]:.1%}")
assert top1["con zero_grad"] - top1["sin zero_grad"] > 0.05

# %% [markdown]
# ### Medir sin `eval()`
#
# Una red pequeña con las dos capas que cambian de modo: normalización por lotes y dropout. La entrenamos una
# época y la medimos bien y mal. La normalización por lotes al entrenar usa la media y la desviación
# *del lote*, y de paso actualiza las que usará al medir.


# %%
def careless(model, batches):
    """Lo que se publica: ni eval() ni inference_mode()."""
    model.train()
    return sum((model(images).argmax(1) == labels).sum().item() for images, labels in batches)


torch.manual_seed(seed)
net = nn.Sequential(
    nn.Conv2d(1, 8, kernel_size=3, stride=2, padding=1, bias=False),
    nn.BatchNorm2d(8),
    nn.ReLU(),
    nn.Flatten(),
    nn.Dropout(0.5),
    nn.Linear(8 * 14 * 14, 10),
)
train_one_epoch(net, new_batches(), make_optimizer(net, 0.02, 0.0))

before = evaluate(net, val_batches)
statistics = net[1].running_mean.clone()
sorted_set = val_set[val_set.labels.argsort(stable=True)]
careless_top1 = {
    name: careless(net, data.Batches(part, size, transform=normalize)) / len(val_set)
    for name, part, size in (
        ("lotes de 100, mezclados", val_set, 100),
        ("los mismos, otra vez", val_set, 100),
        ("lotes de 100, por clase", sorted_set, 100),
        ("de una en una", val_set, 1),
    )
}
after = evaluate(net, val_batches)

print(f"{'bien medida':24} {before.top1:.1%}, pérdida {before.loss:.4f}")
for name, score in careless_top1.items():
    print(f"{name:24} {score:.1%}")
print(f"{'bien medida, después':24} {after.top1:.1%}, pérdida {after.loss:.4f}")
assert not torch.equal(statistics, net[1].running_mean)  # medir cambió la red
assert before.loss != after.loss
assert max(careless_top1.values()) < before.top1

# %% [markdown]
# La misma red, con las mismas imágenes, da un número distinto según qué apague dropout y según quién acompañe a
# cada imagen en su lote. Además, la
# medida deja huella: las imágenes con que se mide entran en `running_mean`, y por eso la última línea, medida
# como se debe, ya no coincide con la primera. Si esas imágenes eran las de prueba, la red acaba de mirarlas.
#
# ### La pérdida que arrastra su grafo { #grafo }
#
# `total += loss` suma un tensor que recuerda cómo se calculó. Mientras `total` viva, vive todo lo que
# guardó cada lote para derivar. PyTorch deja ver lo que guarda: contamos los bytes.


# %%
def saved_megabytes(accumulate):
    """Memoria que sigue ocupada por lo guardado para derivar, tras medir la validación."""
    alive = weakref.WeakSet()

    class Saved:
        def __init__(self, tensor):
            self.tensor = tensor.detach()
            alive.add(self)

    net, total = new_net(seed), torch.zeros(())
    with torch.autograd.graph.saved_tensors_hooks(Saved, lambda saved: saved.tensor):
        for images, labels in val_batches:
            loss = F.cross_entropy(net(images), labels, reduction="sum")
            total = accumulate(total, loss)
            del loss
    storages = [saved.tensor.untyped_storage() for saved in alive]
    return sum({each.data_ptr(): each.nbytes() for each in storages}.values()) / 1e6


leak = saved_megabytes(lambda total, loss: total + loss)
clean = saved_megabytes(lambda total, loss: total + loss.detach())
print(f"total += loss:          {leak:.1f} MB, con solo {len(val_set)} imágenes")
print(f"total += loss.detach(): {clean:.1f} MB")
assert leak > 20
assert clean < 1

# %% [markdown]
# Crece con cada lote: con todo ImageNet no habría memoria que alcance. Al entrenar duele menos, porque
# `backward()` libera lo guardado, aunque los nodos del grafo se quedan. Al medir, `inference_mode()` corta el
# problema de raíz: no se guarda nada.
#
# ## Ejercicios
#
# **1. Comprobar.** ¿Cuánto debería pagar al nacer una red con 100 clases? ¿Y con 1000, las de ImageNet?
# Compruébalo con la última capa a cero.

# %% tags=["solucion"]
for num_classes in (100, 1000):
    big = models.create("lenet5_modern", num_classes=num_classes, in_channels=1)
    with torch.no_grad():
        big.classifier[-1].weight.zero_()
        paid = F.cross_entropy(big(images), labels).item()
    print(f"{num_classes} clases: {paid:.3f} (ln {num_classes} = {math.log(num_classes):.3f})")
    assert math.isclose(paid, math.log(num_classes), abs_tol=1e-4)

# %% [markdown]
# **2. Calcular.** Con `label_smoothing=0.1` el objetivo no es 1 para la clase correcta, sino $0.91$, y $0.01$
# para cada una de las otras nueve. ¿Cuál es la menor pérdida posible? ¿Puedes comparar la pérdida de
# entrenamiento con la de validación, que no lleva suavizado?

# %% [markdown] tags=["solucion"]
# La mejor respuesta es dar justo esas probabilidades. La pérdida es entonces
# $-0.91 \ln 0.91 - 9 \cdot 0.01 \ln 0.01$, que no es cero. Las dos pérdidas miden cosas distintas y no se
# comparan; los aciertos sí.

# %% tags=["solucion"]
probabilities = torch.full((1, 10), 0.01)
probabilities[0, 3] = 0.91
least = F.cross_entropy(probabilities.log(), torch.tensor([3]), label_smoothing=0.1).item()
print(f"mínimo: {least:.3f}")
assert math.isclose(least, -0.91 * math.log(0.91) - 0.09 * math.log(0.01), rel_tol=1e-4)

# %% [markdown]
# **3. Aprovechar el error.** Tu memoria solo admite lotes de 64, y la receta pide 128. Usa a tu favor que
# `backward()` suma, y comprueba que el gradiente es el mismo.

# %% [markdown] tags=["solucion"]
# Dos medios lotes, cada pérdida dividida entre dos, y un solo paso al final. Se llama *acumulación de
# gradientes*. Ojo: con normalización por lotes no sería igual, porque cada medio lote tendría sus estadísticas.

# %% tags=["solucion"]
images, labels = next(iter(new_batches()))
whole_net, halves_net = new_net(seed), new_net(seed)
F.cross_entropy(whole_net(images), labels).backward()
for half, half_labels in zip(images.split(64), labels.split(64), strict=True):
    (F.cross_entropy(halves_net(half), half_labels) / 2).backward()
for whole, halves in zip(whole_net.parameters(), halves_net.parameters(), strict=True):
    assert (whole.grad - halves.grad).norm() <= 1e-4 * whole.grad.norm()
print("mismo gradiente, salvo el redondeo")

# %% [markdown]
# **4. Inventar.** Entrenar con muchas tasas para elegir una es caro. ¿Podrías probarlas todas en *una sola*
# época? Pista: a `train_one_epoch` se le puede dar cualquier plan, por ejemplo un
# `torch.optim.lr_scheduler.LambdaLR`.

# %% [markdown] tags=["solucion"]
# Multiplica la tasa por un poco más de uno en cada paso, de $0.0001$ a $1$, y anota la pérdida. Al principio baja
# despacio, luego deprisa, toca fondo y vuelve a subir, o explota. El fondo es un buen lugar donde empezar a buscar la cumbre, no
# una respuesta exacta: cambia la semilla y verás cuánto se mueve.

# %% tags=["solucion"] alt="Pérdida según la tasa, en escala logarítmica: alta con tasas muy pequeñas, cae hasta un mínimo entre una milésima y unas décimas y después vuelve a subir." caption="Una época con la tasa creciendo en cada paso, y la pérdida media de cada cinco lotes seguidos."
net, batches = new_net(seed), new_batches()
optimizer = make_optimizer(net, lr=0.0001, weight_decay=0.0)
growth = 10_000 ** (1 / (len(batches) - 1))
schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: growth**step)
rates, losses = [], []
for batch in batches:
    rates.append(optimizer.param_groups[0]["lr"])
    try:
        losses.append(train_one_epoch(net, [batch], optimizer, schedule)[0])
    except TrainingError:  # ya no es un número: de aquí en adelante, peor imposible
        losses.append(math.inf)
        schedule.step()
smooth = torch.tensor(losses).unfold(0, 5, 1).mean(dim=1)
bottom = rates[smooth.argmin() + 2]

with plotting.style():
    figure, axis = plt.subplots(figsize=(5, 2.5))
    axis.semilogx(rates[2:-2], smooth.clamp(max=20))
    axis.set(xlabel="tasa", ylabel="pérdida", ylim=(0, 5))
    figure.tight_layout()

print(f"toca fondo con una tasa de {bottom:.3f}")
assert 0.003 < bottom < 0.3
assert not losses[-1] < 1.5 * smooth.min()  # vuelve a subir, o ya no es un número

# %% [markdown]
# ## Para seguir
#
# - Las funciones de esta página, con cada parámetro: [`train`](../api/training.md#cnnhistory.training.train),
#   [`train_one_epoch`](../api/training.md#cnnhistory.training.train_one_epoch),
#   [`evaluate`](../api/training.md#cnnhistory.training.evaluate) y
#   [`Batches`](../api/data.md#cnnhistory.data.Batches).
# - El bucle en acción, con su historia: [LeNet-5](../arquitecturas/lenet-5.py).
# - Que la red no vea dos veces la misma imagen: [aumentación](aumentacion.py).
# - El mismo bucle en muchas máquinas: [De una GPU a un clúster](cluster.py).
# - Qué tan rápido va, contra otro: [Rendimiento](../resultados/rendimiento.md).
# - Todas las redes con la misma receta: [La carrera justa](../resultados/carrera-justa.py).
# - La red ya entrenada, en un navegador o en C++: `cnnhistory export` la escribe en ONNX con su normalización dentro;
#   en un cuaderno, [`to_onnx`](../api/export.md#cnnhistory.export.to_onnx).
#
# ## Referencias
#
# - [Robbins y Monro (1951)](../referencia/bibliografia.md#robbins1951): el descenso con gradientes ruidosos.
# - [Rumelhart, Hinton y Williams (1986)](../referencia/bibliografia.md#rumelhart1986): la retropropagación, que es lo
#   que hace `backward()`.
# - [Srivastava y otros (2014)](../referencia/bibliografia.md#srivastava2014): dropout y sus dos modos.
# - [Ioffe y Szegedy (2015)](../referencia/bibliografia.md#ioffe2015): la normalización por lotes y los suyos.
# - [Micikevicius y otros (2017)](../referencia/bibliografia.md#micikevicius2017): la precisión mixta.
# - [Goyal y otros (2017)](../referencia/bibliografia.md#goyal2017): por qué conviene subir la tasa poco a poco.
