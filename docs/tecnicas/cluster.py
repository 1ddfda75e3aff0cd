# %% [markdown]
# # De una GPU a un clúster
#
# Quieres entrenar una ResNet-50 con ImageNet. Es la red de 2015 y el conjunto de siempre: 1 281 167 fotos,
# noventa vueltas. **En la máquina que tienes delante, ¿cuándo terminaría?** No hace falta esperar para
# saberlo: medimos un paso y multiplicamos.

# %%
import json
import math
import os
import re
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from PIL import Image
from torch import nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LambdaLR
from torch.utils.data import DistributedSampler

from cnnhistory import checkpoints, data, experiment, imagefolder, inspection, models, plotting
from cnnhistory.training import TrainingError, make_optimizer, train, train_one_epoch

seed = 0
torch.set_num_threads(1)  # aquí, cada proceso calcula con un hilo

TRAIN, VALIDATION, EPOCHS = 1_281_167, 50_000, 90


# %% tags=["tiempos"]
def images_per_second(net, batches):
    """Imágenes que esta máquina entrena por segundo: adelante, atrás y paso."""
    optimizer = make_optimizer(net, lr=0.01, weight_decay=0.0)
    start = time.perf_counter()
    _, images = train_one_epoch(net, batches, optimizer)
    return images / (time.perf_counter() - start)


noise = data.synthetic(4, shape=(3, 224, 224), num_classes=1000)
rate = images_per_second(models.create("resnet50"), data.Batches(noise, 4))
print(f"esta máquina, con un hilo: {rate:.1f} imágenes por segundo")
print(f"noventa épocas: {TRAIN * EPOCHS / rate / 86_400 / 365:.1f} años")

# %% [markdown]
# En 2012 no había ResNet-50, pero el problema era el mismo. AlexNet tardó «entre cinco y seis días» en dos
# tarjetas de videojuegos [(Krizhevsky y otros, 2012)](../referencia/bibliografia.md#krizhevsky2012). En 2017
# una ResNet-50 tomaba 29 horas en ocho GPU, y un equipo de Facebook lo dejó en una hora con 256
# [(Goyal y otros, 2017)](../referencia/bibliografia.md#goyal2017). Entre tu máquina y esa hora hay dos cosas:
# procesadores más rápidos y **muchos trabajando a la vez en la misma red**. Esta página trata de la segunda.
#
# Aquí no hay ninguna GPU. No importa: repartir un entrenamiento es lo mismo con dos procesos en dos núcleos
# que con 256 tarjetas. Todo lo que sigue se ejecuta con procesos de verdad, que se hablan de verdad; uno morirá
# a la mitad. Solo necesitas haber leído [el bucle de entrenamiento](bucle-de-entrenamiento.py), y Linux o macOS.
#
# ## La media de dos mitades { #mitades }
#
# Una red con un solo peso, $w = 1$, que responde $w x$. Cuatro ejemplos, y la pérdida es el error al cuadrado.
# La derivada de cada uno es $2x(wx - t)$:
#
# | Ejemplo | Entrada $x$ | Objetivo $t$ | Error $wx - t$ | Derivada |
# | :-: | --: | --: | --: | --: |
# | a | $1$ | $2$ | $-1$ | $-2$ |
# | b | $2$ | $1$ | $1$ | $4$ |
# | c | $1$ | $4$ | $-3$ | $-6$ |
# | d | $2$ | $3$ | $-1$ | $-4$ |
#
# El gradiente del lote es la media: $(-2 + 4 - 6 - 4)/4 = -2$. Ahora reparte. Un proceso se queda con a y b, y
# su media es $1$. Otro se queda con c y d: $-5$. La media de las dos medias es $(1 - 5)/2 = -2$. **El mismo
# gradiente.** Si los dos dan el mismo paso con ese $-2$, sus redes siguen siendo iguales, y son la que habría
# salido de uno solo. En eso consiste entrenar con un clúster.
#
# ¿Siempre? Reparte tres y uno: $(-2 + 4 - 6)/3 = -4/3$ y $-4$. La media es $-8/3$, que no es $-2$: la d pesó
# tanto como las otras tres juntas. Las partes deben ser **iguales**, o pesar según su tamaño.

# %%
x, t = torch.tensor([1.0, 2, 1, 2]), torch.tensor([2.0, 1, 4, 3])


def slope(part):
    """La derivada de la pérdida media de una parte, en w = 1."""
    w = torch.ones((), requires_grad=True)
    (w * x[part] - t[part]).square().mean().backward()
    return w.grad.item()


whole = slope([0, 1, 2, 3])
print(f"lote entero {whole:.2f}")
print(f"dos y dos   {(slope([0, 1]) + slope([2, 3])) / 2:.2f}")
print(f"tres y uno  {(slope([0, 1, 2]) + slope([3])) / 2:.2f}")
assert whole == (slope([0, 1]) + slope([2, 3])) / 2 == -2
assert math.isclose((slope([0, 1, 2]) + slope([3])) / 2, -8 / 3, rel_tol=1e-6)

# %% [markdown]
# Con una red entera, lo mismo. Comparamos el gradiente de un lote de 120 prendas con la media de los de sus
# partes, y anotamos qué fracción cambió:

# %%
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
normalize = data.normalization(train_set)
val_batches = data.Batches(val_set, 500, transform=normalize)
images, labels = next(
    iter(data.Batches(train_set, 120, shuffle=True, seed=seed, transform=normalize))
)


def gradient(net, part):
    """El gradiente de una parte del lote, todo en un vector."""
    net.zero_grad()
    F.cross_entropy(net(images[part]), labels[part]).backward()
    return torch.cat([p.grad.flatten() for p in net.parameters()])


def shared(name, *sizes):
    """Cuánto se aparta la media de los gradientes de las partes del gradiente del lote."""
    torch.manual_seed(seed)
    net = models.create(name, num_classes=10, in_channels=1)
    reference = gradient(net, torch.arange(120))
    parts = [gradient(net, part) for part in torch.arange(120).split(sizes)]
    return ((sum(parts) / len(parts) - reference).norm() / reference.norm()).item()


even, four, uneven = (shared("lenet5_modern", *s) for s in ((60, 60), (30,) * 4, (110, 10)))
normalized = shared("lenet5_bn", 60, 60)
print(f"LeNet-5, 60 + 60:                             {even:.0e}")
print(f"LeNet-5, 30 + 30 + 30 + 30:                   {four:.0e}")
print(f"LeNet-5, 110 + 10:                            {uneven:.2f}")
print(f"LeNet-5 con normalización por lotes, 60 + 60: {normalized:.2f}")
assert max(even, four) < 1e-4
assert uneven > 0.05
assert normalized > 0.02

# %% [markdown]
# Las dos primeras cifras son redondeo. La tercera es el error de las partes desiguales. La cuarta es otra cosa:
# la [normalización por lotes](../referencia/bibliografia.md#ioffe2015) resta la media *del lote que ve*, y cada
# proceso ve el suyo. Al repartir, cambia la función. Volveremos a ella.
#
# ## Repartir la red o repartir el lote { #dos-maneras }
#
# AlexNet también usaba dos tarjetas, pero no así. Su problema no era el tiempo sino el espacio: la red no cabía en
# los 3 GB de una GTX 580. Así que cada tarjeta guardaba **media red** y las dos miraban las mismas fotos. Eso es
# *paralelismo de modelo* (*model parallelism*). Lo de la sección anterior, cada proceso con la red entera y
# parte del lote, es *paralelismo de datos* (*data parallelism*).


# %% tags=["oculto"] alt="Dos esquemas. A la izquierda, paralelismo de modelo: el mismo lote entra en dos GPU; cada una tiene la mitad de cada una de las ocho capas de AlexNet, y entre ellas hay flechas de ida y vuelta en conv3, fc6, fc7 y fc8. A la derecha, paralelismo de datos: cada GPU recibe medio lote y tiene las ocho capas enteras, sin flechas entre ellas; al final, una sola flecha doble que dice: media de los gradientes." caption="Dos maneras de usar dos GPU. A la izquierda, la de AlexNet: media red en cada una, y se hablan en medio del cálculo. A la derecha, la de hoy: la red entera en cada una, y se hablan al final de cada paso."
def scheme(axis, title, width, crossings, batch):
    """Dos columnas de ocho capas, una por GPU, con las flechas que las comunican."""
    layers = ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8"]
    for gpu, center in enumerate((-1.25, 1.25)):
        color = plotting.PALETTE[gpu]
        axis.text(center, 9.1, f"GPU {gpu}", ha="center", color=color, size=9, weight="bold")
        axis.text(center, -0.55, batch, ha="center", va="top", size=8)
        for level, name in enumerate(layers):
            box = plt.Rectangle((center - width / 2, level + 0.1), width, 0.72, color=color, lw=0)
            box.set_alpha(0.85)
            axis.add_patch(box)
            axis.text(center, level + 0.46, name, ha="center", va="center", size=7, color="white")
    arrow = {"arrowstyle": "<->", "color": plotting.INK, "lw": 1.3, "shrinkA": 0, "shrinkB": 0}
    for name in crossings:
        level, edge = layers.index(name) - 0.04, 1.25 - width / 2
        axis.annotate("", (edge, level), (-edge, level), arrowprops=arrow)
    if not crossings:
        axis.annotate("", (1.25, 8.5), (-1.25, 8.5), arrowprops=arrow)
        axis.text(0, 9.9, "media de los gradientes", ha="center", size=8)
    axis.set(xlim=(-2.6, 2.6), ylim=(-1.5, 10.4))
    axis.set_title(title, size=10)
    axis.axis("off")


with plotting.style():
    figure, (left, right) = plt.subplots(1, 2, figsize=(6.4, 3.9))
    scheme(left, "Repartir la red", 1.0, ["conv3", "fc6", "fc7", "fc8"], "las 128 fotos")
    scheme(right, "Repartir el lote", 2.0, [], "64 fotos")
    figure.tight_layout()

# %% [markdown]
# ¿Cuál conviene? La que obligue a hablar menos. Repartir la red cuesta pasar *mapas*: en cada cruce, la mitad
# que le falta a la otra tarjeta, por cada foto, y al volver sus gradientes. Repartir el lote cuesta pasar
# *gradientes*: uno por parámetro, sean cuantas sean las fotos. Contemos los números que envía cada tarjeta en un
# paso con 128 fotos:

# %%
with torch.device("meta"):
    tables = {
        name: inspection.shape_table(models.create(name), models.CATALOG[name].input_shape)
        for name in ("alexnet", "resnet50")
    }
entering = {"conv3": (256, 13, 13), "fc6": (256, 6, 6), "fc7": (4096,), "fc8": (4096,)}
seen_shapes = {row.output_shape for row in tables["alexnet"]}
assert set(entering.values()) <= seen_shapes  # son mapas de la red, no números de memoria

maps = sum(math.prod(shape) for shape in entering.values())
split_net = 128 * maps  # media ida y media vuelta por foto
split_batch = models.CATALOG["alexnet"].parameters  # ahora veremos por qué, con dos, es justo eso
print(f"AlexNet, repartir la red:  {split_net / 1e6:5.1f} millones de números")
print(f"AlexNet, repartir el lote: {split_batch / 1e6:5.1f} millones")
print(f"ResNet-50, el lote:        {models.CATALOG['resnet50'].parameters / 1e6:5.1f} millones")
assert split_batch > 5 * split_net

# %% [markdown]
# En 2012, repartir la red no era solo la manera de que cupiera: con dos tarjetas, era la que menos hablaba. La
# culpa la tienen las capas densas, que guardan casi todos los parámetros de AlexNet y hacen muy poco cálculo.
# Dos años después, [Krizhevsky (2014)](../referencia/bibliografia.md#krizhevsky2014) combinó las dos: el lote
# repartido en las convoluciones, y la red repartida en las densas. Después, GoogLeNet y ResNet se deshicieron de
# las densas, y en visión el paralelismo de datos se quedó solo. Es el que usan todas las recetas de aquí en adelante. Con los modelos de
# lenguaje, que no caben en una GPU, volvió la otra idea: se reparten también los pesos, los gradientes y lo que recuerda el
# optimizador ([ZeRO](https://deepspeed.readthedocs.io/en/stable/zero3.html) y, en PyTorch, FSDP). A las redes de este
# sitio no les hace falta.
#
# ## Sumar entre todos { #suma }
#
# Con dos procesos, se mandan los gradientes y listo. Con 256, ¿quién los suma? Si todos los mandan a uno, ese
# uno recibe 255 copias y devuelve 255: su cable se atasca. La operación que lo hace bien se llama
# *all-reduce*: todos ponen un vector y todos terminan con la suma. Una manera de hacerla es un **anillo**. Cada
# proceso parte su vector en tantos trozos como procesos hay, y solo le habla a su vecino de la derecha.
#
# En la primera vuelta los trozos viajan *sumándose*: al terminar, cada proceso tiene un trozo con lo de todos. En
# la segunda viajan *copiándose*. Para que se vea quién puso qué, el proceso 0 pone unidades, el 1 decenas, el 2
# centenas y el 3 millares:


# %%
def ring(vectors, show=False):
    """All-reduce en anillo, simulado: lo que tiene cada uno al final y los números que envió."""
    n = len(vectors)
    parts = [list(vector.chunk(n)) for vector in vectors]
    sent = [0] * n
    for lap, combine in enumerate((torch.add, lambda mine, message: message)):
        for step in range(n - 1):
            moving = [(r, (r + lap - step) % n) for r in range(n)]  # quién envía qué trozo
            messages = [parts[r][chunk].clone() for r, chunk in moving]  # todos a la vez
            for (r, chunk), message in zip(moving, messages, strict=True):
                right = (r + 1) % n
                parts[right][chunk] = combine(parts[right][chunk], message)
                sent[r] += message.numel()
        if show:
            print("\nprimera vuelta, sumando:" if lap == 0 else "\nsegunda vuelta, copiando:")
            for r in range(n):
                print(f"  proceso {r}:", *(f"{int(part):5}" for part in parts[r]))
    return [torch.cat(part) for part in parts], sent


vectors = [10**r * torch.tensor([1.0, 2, 3, 4]) for r in range(4)]
print("al empezar:")
for r, vector in enumerate(vectors):
    print(f"  proceso {r}:", *(f"{int(value):5}" for value in vector))
ends, sent = ring(vectors, show=True)
print("\nnúmeros que envió cada uno:", sent)
assert all(torch.equal(end, torch.tensor([1111.0, 2222, 3333, 4444])) for end in ends)
assert sent == [6] * 4

# %% [markdown]
# Tras la primera vuelta hay un 1111, un 2222, un 3333 y un 4444, cada uno en otro proceso. Tras la
# segunda, los tienen todos. Cada proceso envió seis números para un vector de cuatro: en cada vuelta manda
# $n - 1$ trozos de $1/n$, y son dos vueltas, así que envía $2(n-1)/n$ veces su vector. Con dos procesos es una
# vez; con mil, ni siquiera dos. **Lo que pasa por cada cable casi no depende de cuántos sean.**

# %% alt="Megabytes que envía por paso el proceso más ocupado, según cuántos procesos hay, de 2 a 256, con las dos escalas logarítmicas. Si uno suma lo de todos, la recta sube sin parar, de unos cien a decenas de miles. En anillo, la curva empieza en el mismo lugar y se aplana cerca de los doscientos." caption="Lo que envía el proceso más ocupado en cada paso de una ResNet-50 en `float32`, según cómo se sume."
megabytes = 4 * models.CATALOG["resnet50"].parameters / 1e6
counts = [2, 4, 8, 16, 32, 64, 128, 256]
by_ring = []
for n in counts:
    _, sent = ring([torch.ones(1024)] * n)
    assert set(sent) == {1024 * 2 * (n - 1) // n}
    by_ring.append(megabytes * max(sent) / 1024)

with plotting.style():
    figure, axis = plt.subplots(figsize=(5.2, 2.7))
    axis.loglog(
        counts, [megabytes * (n - 1) for n in counts], "s--", ms=4, label="uno suma y reparte"
    )
    axis.loglog(counts, by_ring, "o-", ms=4, label="en anillo")
    axis.set(xlabel="procesos", ylabel="MB por paso", xticks=counts)
    axis.set_xticklabels(counts)
    axis.minorticks_off()
    axis.legend()
    figure.tight_layout()

print(f"gradientes de una ResNet-50: {megabytes:.0f} MB")
print(f"enviados con 256 procesos:   {by_ring[-1]:.0f} MB por paso")
print(f"si hay que hacerlo en 0.12 s: {8 * by_ring[-1] / 0.12 / 1e3:.1f} Gbit/s")
assert by_ring[-1] < 2 * megabytes

# %% [markdown]
# Esos $0.12$ segundos son lo que tardaba el paso hacia atrás en una P100, según Goyal y otros. Ellos estiran la
# cuenta hasta unos 15 Gbit/s para cubrirse, y por eso les bastó una red Ethernet de 50. ¿Por qué el plazo es el paso
# hacia atrás? Porque **la suma no espera a que termine**: el gradiente de la última capa está listo mucho antes
# que el de la primera, y viaja mientras se calculan los demás. PyTorch los junta en paquetes y los manda en cuanto se
# llenan [(Li y otros, 2020)](../referencia/bibliografia.md#li2020).
#
# El anillo no es la única manera. Da $2(n-1)$ pasos, y con muchos procesos y vectores pequeños pesa más el número
# de pasos que los bytes. En el [ejercicio 4](#ejercicios) programarás la que Goyal y otros usaron entre
# servidores: los mismos bytes en $2\log_2 n$ pasos. Las bibliotecas eligen por ti: NCCL entre GPU, gloo entre CPU.
#
# ## A mano, con cuatro procesos { #a-mano }
#
# Hora de hacerlo de verdad. Este programa entrena una red pequeña sin nada que lo oculte: sin
# `DistributedDataParallel` y sin nuestro paquete. Busca las dos líneas que lo hacen distribuido. Las tres opciones
# están para estropearlo después.

# %%
Path("a_mano.py").write_text(
    '''
import json
import os

import torch
from torch import distributed as dist
from torch import nn
from torch.nn import functional as F


def train(rank=0, world=1, own_part=True, same_order=True, same_weights=True):
    """Dos épocas en lotes de 120: las pérdidas, las imágenes vistas y los pesos."""
    images, labels, seed = torch.load("datos.pt")
    torch.manual_seed(seed if same_weights else seed + rank)
    net = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    order = torch.Generator().manual_seed(seed if same_order else seed + rank)
    losses, seen = [], 0
    for _ in range(2):
        for batch in torch.randperm(len(labels), generator=order).split(120):
            part = batch.chunk(world)[rank] if own_part else batch  # ← cada uno, su parte
            loss = F.cross_entropy(net(images[part]), labels[part])
            net.zero_grad()
            loss.backward()
            for parameter in net.parameters():
                parameter.grad = mean(parameter.grad, world)  # ← y la media, entre todos
                parameter.data -= 0.1 * parameter.grad
            losses.append(mean(loss.detach(), world).item())
            seen += len(part)
    return losses, seen, torch.cat([p.detach().flatten() for p in net.parameters()])


def mean(value, world):
    if world > 1:
        dist.all_reduce(value)  # la suma
    return value / world


if __name__ == "__main__":
    dist.init_process_group("gloo")
    rank, world = dist.get_rank(), dist.get_world_size()
    results = {}
    for name, mistakes in {
        "bien": {},
        "sin repartir": {"own_part": False, "same_order": False},
        "otros pesos": {"same_weights": False},
    }.items():
        losses, seen, weights = train(rank, world, **mistakes)
        copies = [torch.empty_like(weights) for _ in range(world)]
        dist.all_gather(copies, weights)
        apart = max((copy - copies[0]).norm().item() for copy in copies)
        results[name] = [losses, seen * world, apart / weights.norm().item(), copies[0].tolist()]
        with open("todos.txt", "a") as file:  # escriben los cuatro
            print(name, file=file)
        if rank == 0:
            with open("uno.txt", "a") as file:
                print(name, file=file)
    if rank == 0:
        with open("a_mano.json", "w") as file:
            json.dump(results, file)
    dist.destroy_process_group()
'''.lstrip(),
    encoding="utf-8",
)
few = train_set[torch.arange(0, 7200, 3)]
torch.save((normalize(few.images / 255).flatten(1), few.labels, seed), "datos.pt")
print(len(few), "imágenes,", len(few) // 120, "lotes por época")

# %% [markdown]
# Hacen falta cuatro copias del programa que se encuentren. Cada una se entera de quién es por cuatro variables de
# entorno: `RANK`, su número; `WORLD_SIZE`, cuántas son; `MASTER_ADDR` y `MASTER_PORT`, dónde encontrarse.
# `init_process_group` las lee y las reúne. No hay más magia:


# %%
def launch(processes, *program):
    """Arranca varias copias de un programa que sabrán encontrarse."""
    with socket.socket() as free:  # un puerto libre
        free.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free.getsockname()[1])}
    meeting |= {"WORLD_SIZE": str(processes), "OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [
        subprocess.Popen(
            [sys.executable, *program], env=os.environ | meeting | {"RANK": str(each)}, **pipes
        )
        for each in range(processes)
    ]


for path in ("todos.txt", "uno.txt"):
    Path(path).unlink(missing_ok=True)
for process in launch(4, "a_mano.py"):
    _, complaint = process.communicate(timeout=240)
    assert process.returncode == 0, complaint
together = json.loads(Path("a_mano.json").read_text())

import a_mano  # el mismo programa, en este proceso: uno solo

alone_losses, alone_seen, alone_weights = a_mano.train()
losses, seen, apart, weights = together["bien"]
weights = torch.tensor(weights)
difference = ((weights - alone_weights).norm() / alone_weights.norm()).item()
print(
    f"un proceso:      pérdida {alone_losses[0]:.4f} → {alone_losses[-1]:.4f}, {alone_seen} imágenes"
)
print(f"cuatro procesos: pérdida {losses[0]:.4f} → {losses[-1]:.4f}, {seen} imágenes entre todos")
scale = 10 ** round(-math.log10(max(difference, 1e-12)))
print("pesos finales: se apartan una parte en", inspection.thousands(scale))
print("las cuatro copias son", "idénticas" if apart == 0 else "distintas")
assert torch.allclose(torch.tensor(losses), torch.tensor(alone_losses), rtol=1e-3)
assert difference < 1e-3
assert apart == 0
assert seen == alone_seen
assert losses[-1] < losses[0] / 2

# %% [markdown]
# Cuatro procesos siguieron el mismo camino que uno. No con los mismos bits, porque $(a + b) + c$ no es
# $a + (b + c)$ cuando se redondea; pero entre ellos **sí**, hasta el último bit: todos restaron el mismo vector a
# los mismos pesos.
#
# ## El código de verdad { #codigo }
#
# Lo que agrega el paquete a esas dos líneas. Primero, reunirse y despedirse. Con GPU, cada proceso
# usa una; sin ellas, gloo. Todo lo demás es explicar, en español, qué pasó si alguien falta:

# %% tags=["fuente"]
from cnnhistory.distributed import (  # noqa: F401
    _PATIENCE,
    DistributedError,
    _first_line,
    _lost,
    _together,
    rank,
    session,
)

# %%
print(
    "aquí no hay torchrun: soy el proceso", rank(), "y", "hay" if _together() else "no hay", "grupo"
)
assert not _together()

# %% [markdown]
# Después, lo que usa el bucle. Fíjate en que sin `torchrun` cada función hace lo de siempre: por eso el
# programa es el mismo con un proceso que con muchos.

# %% tags=["fuente"]
from cnnhistory.distributed import (  # noqa: F401
    replicated,
    shard,
    share_buffers,
    summed,
    unwrapped,
)

# %%
net = nn.Linear(2, 2)
print("mi parte:", shard())
assert replicated(net) is net
assert summed(torch.ones(2)).tolist() == [1, 1]

# %% [markdown]
# | Función | Qué hace | Dónde se usa |
# | --- | --- | --- |
# | `replicated` | copia en todos los pesos del proceso 0 y promedia los gradientes durante `backward()` | una vez, antes de entrenar |
# | `shard` | «soy el 3 de 8»: con eso se toma la parte propia de cada lote | al crear los lotes |
# | `summed` | suma entre todos la pérdida, los aciertos y las imágenes vistas | al final de la época y de la evaluación |
# | `share_buffers` | deja en todos las estadísticas de la normalización por lotes del proceso 0 | antes de evaluar y guardar |
#
# Y el reparto. Todos sortean **el mismo orden**, con la misma semilla, y de cada lote cada uno toma su tramo:

# %% tags=["fuente"]
from cnnhistory.data import BatchPlan

# %% [markdown]
# Diez imágenes, lotes de cuatro y tres procesos. Al entrenar los tramos deben ser iguales, así que algo sobra; al
# evaluar hay que contar cada imagen una vez, así que los tramos pueden no serlo:

# %%
order = torch.arange(10)
for purpose, equal in (("entrenar", True), ("evaluar", False)):
    plans = [BatchPlan(10, 4, equal, shard=(each, 3)) for each in range(3)]
    parts = [[part.tolist() for part in plan.parts(order)] for plan in plans]
    for each, mine in enumerate(parts):
        print(f"{purpose}, proceso {each}:", mine)
    taken = sorted(index for mine in parts for part in mine for index in part)
    assert len(taken) == len(set(taken)) == (6 if equal else 10)

# %% [markdown]
# Con lotes que se dividen bien no sobra nada. Y lo que sobra hoy no es lo que sobrará mañana: en la siguiente
# época el orden es otro. Por eso `--batch-size` es, en nuestro paquete, **el lote de todos**. Con 256 y ocho
# procesos, cada uno ve 32. Si cambias el número de procesos, el entrenamiento es el mismo, salvo por las pocas imágenes
# que sobren, la normalización por lotes y el azar de dropout y de la aumentación: lo [veremos después](#que-cambia).
#
# ### Un proceso y dos, con el paquete { #uno-y-dos }
#
# Un programa de verdad: la red, los datos, los puntos de control y el registro. Lo distribuido es `session`; del
# resto se ocupan las funciones de arriba, que llama `experiment.run`. El `--muere` es nuestro, para más adelante.

# %%
Path("entrenar.py").write_text(
    """
import os
import signal
import sys
from pathlib import Path

from cnnhistory import distributed, experiment, logs
from cnnhistory.checkpoints import Checkpoints

folder, seed, *options = sys.argv[1:]
described = experiment.Experiment("lenet5_modern", epochs=2, batch_size=500, seed=int(seed))


def report(epoch):
    if distributed.rank() == 0:  # habla y anota uno solo
        print(f"época {epoch.number}: validación {epoch.val_top1:.1%}")
        write(epoch)
    elif "--muere" in options:
        os.kill(os.getpid(), signal.SIGKILL)  # sin despedirse


try:
    with distributed.session("cpu") as device:
        write = logs.json_lines(Path(folder + ".jsonl")) if distributed.rank() == 0 else None
        keeper = Checkpoints(Path(folder), described.recipe(), resume="--resume" in options)
        parts = described.parts(device)
        experiment.run(described, parts, device, checkpoints=keeper, on_epoch=report)
except distributed.DistributedError as error:
    sys.exit(str(error))
""".lstrip(),
    encoding="utf-8",
)


def curve(log):
    """La pérdida de entrenamiento, la de validación y el acierto de cada época de un registro."""
    epochs = map(json.loads, Path(log).read_text(encoding="utf-8").splitlines())
    return [(e["train_loss"], e["val_loss"], e["val_top1"]) for e in epochs]


# %% [markdown]
# De arrancar las copias se encarga `torchrun`, que viene con PyTorch. Hace lo de `launch`, vigila y, si una muere,
# termina con las demás. En una terminal:
#
# ```bash
# torchrun --standalone --nproc-per-node 2 entrenar.py dos 0
# ```
#
# Aquí, lo mismo; y el mismo entrenamiento en este proceso, para comparar:

# %%
command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
done = subprocess.run(
    [*command, "entrenar.py", "dos", str(seed)],
    capture_output=True,
    text=True,
    timeout=280,
    env=os.environ | {"OMP_NUM_THREADS": "1"},
)
assert done.returncode == 0, done.stderr
two = curve("dos.jsonl")

described = experiment.Experiment("lenet5_modern", epochs=2, batch_size=500, seed=seed)
parts = described.parts("cpu")
history = experiment.run(described, parts, "cpu").history
one = [(epoch.train_loss, epoch.val_loss, epoch.val_top1) for epoch in history]

print("lo que salió por pantalla con dos procesos:")
print(done.stdout)
for number, (a, b) in enumerate(zip(one, two, strict=True), 1):
    print(f"época {number}: pérdida {a[0]:.4f} con un proceso, {b[0]:.4f} con dos")
assert math.isclose(one[0][0], two[0][0], rel_tol=0.02)
assert math.isclose(one[1][0], two[1][0], rel_tol=0.1)
assert one[1][0] < one[0][0]
assert len(done.stdout.splitlines()) == 2

# %% [markdown]
# La misma curva, y cada línea salió **una vez**: habla y escribe solo el proceso 0. Si las pérdidas no coinciden hasta
# la última cifra es porque una diferencia de redondeo en el primer paso crece en los siguientes. ¿Es mucho? Compárala
# con cambiar de semilla:

# %%
other = experiment.Experiment("lenet5_modern", epochs=1, batch_size=500, seed=seed + 1)
other_loss = experiment.run(other, other.parts("cpu"), "cpu").history[0].train_loss
by_processes = abs(one[0][0] - two[0][0])
by_seed = abs(one[0][0] - other_loss)
print(f"primera época, otra cantidad de procesos: {by_processes:.1e}")
print(f"primera época, otra semilla:              {by_seed:.1e}")
assert by_processes < by_seed / 2

# %% [markdown]
# ## Uno muere a la mitad { #muerte }
#
# En un entrenamiento de horas con cientos de procesos, alguno se va a caer: una GPU que falla, un cable, alguien
# que apaga lo que no debe. Y la suma entre todos necesita a todos. Matémoslo nosotros. Al terminar la primera época, el
# proceso 1 se manda a sí mismo un `SIGKILL`, la señal que no se puede atender. Los arrancamos con `launch`,
# para ver qué dice cada uno:

# %%
first, second = launch(2, "entrenar.py", "cortada", str(seed), "--muere")
_, complaint = first.communicate(timeout=240)
second.communicate(timeout=240)
print("códigos de salida:", first.returncode, "y", second.returncode)
print("épocas terminadas:", len(curve("cortada.jsonl")), "de 2")
complaint = re.sub(r"\(.*\): ", "(…): ", complaint.strip().splitlines()[-1])
print(textwrap.fill(complaint, 76))
assert (first.returncode, second.returncode) == (1, -9)
assert len(curve("cortada.jsonl")) == 1

# %% [markdown]
# El que quedó vivo no se cuelga: dice que perdió a otro, y qué hacer. Lo hacemos. El mismo programa, con `--resume`:

# %%
for process in launch(2, "entrenar.py", "cortada", str(seed), "--resume"):
    _, complaint = process.communicate(timeout=240)
    assert process.returncode == 0, complaint

whole, resumed = (Path(name, "last.safetensors").read_bytes() for name in ("dos", "cortada"))
print("pesos finales:", "los mismos bits" if whole == resumed else "distintos")
assert whole == resumed
assert curve("cortada.jsonl") == curve("dos.jsonl")

# %% [markdown]
# Los pesos del entrenamiento que murió son, byte por byte, los del que nunca se interrumpió. (Con más de dos procesos, al
# reanudar la suma puede hacerse en otro orden: es el mismo entrenamiento, salvo el redondeo.) Para eso el punto de
# control guarda el azar **de cada proceso**, y por eso no se puede seguir con otra cantidad:

# %%
keeper = checkpoints.Checkpoints(Path("dos"), described.recipe(), resume=True)
try:
    experiment.run(described, parts, "cpu", checkpoints=keeper)
except TrainingError as error:
    refusal = str(error)
print(textwrap.fill(refusal, 76))
assert "processes era 2 y ahora es 1" in refusal

# %% [markdown]
# Es una elección. Con otra cantidad de procesos el resultado sería *parecido*, pero ya no sería el mismo, y
# preferimos decirlo.
#
# ## Qué cambia y qué no { #que-cambia }
#
# | No cambia | Cambia |
# | --- | --- |
# | la red, la pérdida, el optimizador | el tiempo |
# | el lote, si cada proceso toma su parte | el lote, si cada proceso mantiene el suyo: con $k$ procesos es $k$ veces mayor |
# | el orden de las imágenes | el azar de dropout y de la aumentación: es de cada proceso |
# | los pesos, iguales en todos | las estadísticas de la normalización por lotes: cada uno normaliza con las de sus imágenes |
# | el resultado de evaluar | quién mide qué: una parte cada uno, y se suma |
#
# ### El lote crece: ¿y la tasa? { #tasa }
#
# Una GPU quiere lotes grandes para no aburrirse. Si das 32 imágenes a cada una y tienes 256, el lote es de
# 8192, y en cada época hay 32 veces menos pasos que con 256. Si la tasa no cambia, la red avanza 32 veces menos. La
# *regla lineal* (*linear scaling rule*) de Goyal y otros: **si multiplicas el lote por $k$, multiplica la tasa por $k$**.
# Un paso largo en la dirección media de $k$ lotes, en lugar de $k$ pasos cortos. Vale mientras los $k$ pasos
# habrían ido hacia el mismo sitio, y al principio, cuando todo cambia deprisa, no es así. Por eso añaden un
# *calentamiento* (*warm-up*): la tasa sube poco a poco durante las cinco primeras épocas.
#
# Estas son sus cifras, ResNet-50 en ImageNet, error top-1 en validación, media y desviación de cinco corridas:
#
# | Lote | Tasa | Calentamiento | Error (%) |
# | --: | --: | --- | --: |
# | 256 | 0.1 | no | 23.60 ± 0.12 |
# | 8192 | 0.1 | no | 41.67 ± 0.10 |
# | 8192 | 3.2 | no | 24.84 ± 0.37 |
# | 8192 | 3.2 | poco a poco | 23.74 ± 0.09 |
# | 65 536 | 25.6 | poco a poco | 33.96 ± 0.80 |
#
# ¿Se ve en pequeño? Probemos con el clasificador más simple, `softmax`, la tasa constante y el lote 16 veces mayor.


# %%
def flat(optimizer, steps):
    """La misma tasa siempre."""
    return LambdaLR(optimizer, lambda step: 1.0)


def gradual(optimizer, steps):
    """De un dieciseisavo de la tasa a la tasa entera en el primer 30 % de los pasos."""
    return LambdaLR(optimizer, lambda step: min(1.0, 1 / 16 + step / (0.3 * steps) * 15 / 16))


def final_loss(batch_size, lr, schedule=flat):
    """La pérdida de la cuarta y última época."""
    torch.manual_seed(seed)
    net = models.create("softmax", num_classes=10, in_channels=1)
    batches = data.Batches(train_set, batch_size, shuffle=True, seed=seed, transform=normalize)
    return train(net, batches, val_batches, epochs=4, lr=lr, schedule=schedule)[-1].train_loss


small = final_loss(32, 0.002)
same = final_loss(512, 0.002)
scaled = final_loss(512, 0.032)
warmed = final_loss(512, 0.032, gradual)
broken = final_loss(1024, 0.32)
print(f"lote   32, tasa 0.002:                    {small:.3f}")
print(f"lote  512, tasa 0.002:                    {same:.3f}")
print(f"lote  512, tasa 0.032:                    {scaled:.3f}")
print(f"lote  512, tasa 0.032, con calentamiento: {warmed:.3f}")
print(f"lote 1024, tasa 0.32:                     {broken:.3f}")
assert same > small + 0.1
assert abs(scaled - small) < 0.05
assert abs(warmed - small) < 0.05
assert broken > small + 0.5

# %% [markdown]
# La regla se ve muy bien: con el lote grande y la tasa de antes, la red se queda a medio camino; con la tasa
# multiplicada, llega adonde llegaba. Y se ve que tiene un límite. **El calentamiento, aquí, no aporta**: con una red de
# una capa no hay un principio turbulento que suavizar. Su ventaja es de redes profundas y de tasas enormes; la cifra
# que cuenta es la de la tabla, y es de sus autores. Nuestro `--schedule cosine` lo trae puesto, durante el 5 % de los
# pasos.
#
# ### Las estadísticas, de cada uno { #bn }
#
# Con normalización por lotes, cada proceso normaliza con sus imágenes. Goyal y otros defienden que así debe ser: el
# tamaño con que se calculan las estadísticas forma parte de lo que la red aprende, y conviene dejarlo fijo, 32
# imágenes por GPU, aunque cambie el número de GPU. La consecuencia es que **dividir 256 entre ocho no es la misma
# corrida que 256 en una**, aunque los pesos partan iguales y las imágenes sean las mismas. Tras una pasada, las
# estadísticas acumuladas tampoco son las mismas:

# %%
torch.manual_seed(seed)
copies = [models.create("lenet5_bn", num_classes=10, in_channels=1) for _ in range(2)]
copies[1].load_state_dict(copies[0].state_dict())
for copy, half in zip(copies, images.split(60), strict=True):
    copy.train()(half)
buffer = next(name for name, _ in copies[0].named_buffers() if name.endswith("running_mean"))
means = [copy.get_buffer(buffer) for copy in copies]
for each, mean in enumerate(means):
    print(f"medias acumuladas en el proceso {each}:", " ".join(f"{value:+.4f}" for value in mean))
assert not torch.equal(*means)

# %% [markdown]
# `DistributedDataParallel` copia las del proceso 0 a los demás antes de cada pasada. Tras la última de la época vuelven a
# ser distintas, y de ahí `share_buffers`: antes de medir y de guardar, todos toman las del proceso 0. Si no, cada uno
# evaluaría su parte con una red ligeramente distinta. Las imágenes de los demás no cuentan en ellas. Hay una alternativa, `torch.nn.SyncBatchNorm`, que calcula las
# estadísticas entre todos. Habla más, y cambia la función otra vez; se usa cuando en cada GPU caben muy pocas imágenes.
#
# ### El azar, de cada uno { #azar }
#
# Los pesos iniciales y el orden salen de la misma semilla en todos. Dropout y aumentación, no: si dos procesos
# apagaran siempre las mismas neuronas, sus dos mitades del lote se parecerían más de la cuenta. Nuestro código crea
# la red con la semilla común y después, en cada proceso menos el 0, la cambia por `seed + rank`.
#
# ## Un millón de fotos { #imagenet }
#
# Todo lo anterior supone que los datos llegan a tiempo. Fashion-MNIST vive en memoria. ImageNet son 1 281 167 JPEG de
# tamaños distintos, en carpetas:
#
# ```text
# imagenet/
# ├── train/
# │   ├── n01440764/          una carpeta por clase: mil
# │   │   ├── n01440764_10026.JPEG
# │   │   └── …
# │   └── …
# └── val/
#     ├── n01440764/
#     └── …
# ```
#
# Cada foto se lee, se decodifica, se recorta al azar y se reduce a 224×224, **en cada época**. ¿Cuánto cuesta? Fabricamos
# un árbol pequeño con la misma forma: 64 fotos de 500×375, de manchas y ruido.

# %%
generator = torch.Generator().manual_seed(seed)


def picture():
    """Una «foto» de 500×375: manchas grandes, medianas y grano."""
    layers = [
        Image.fromarray(
            torch.randint(256, (s * 3, s * 4, 3), dtype=torch.uint8, generator=generator).numpy()
        ).resize((500, 375), Image.Resampling.BILINEAR)
        for s in (2, 12, 100)
    ]
    return Image.blend(Image.blend(layers[0], layers[1], 0.4), layers[2], 0.2)


for part, count in (("train", 12), ("val", 4)):
    for label in ("gato", "perro", "tren", "taza"):
        folder = Path("fotos", part, label)
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            picture().save(folder / f"{number:03}.jpg", quality=90)
paths = sorted(Path("fotos/train").rglob("*.jpg"))
size = sum(path.stat().st_size for path in paths) / len(paths)
print(f"{len(paths)} fotos de entrenamiento, de {size / 1e3:.0f} kB cada una")
ratio = 3 * 224 * 224 / size
print(f"ya decodificada y recortada, cada una ocupa {ratio:.1f} veces lo que en el disco")

# %% alt="Cuatro cuadrados de 96 por 96 píxeles, llenos de manchas de colores borrosas y de grano. Sobre cada uno, el nombre de su clase." caption="Cuatro de las fotos, ya recortadas y reducidas a 96×96, una por clase. El decodificador no sabe que son ruido."
examples = [
    imagefolder.read_image(Path("fotos/train", name, "000.jpg"))
    for name in ("gato", "perro", "taza", "tren")
]
plotting.image_grid(
    torch.stack([imagefolder.evaluation_pipeline(96)(example) for example in examples]),
    titles=["gato", "perro", "taza", "tren"],
    size=1.2,
)

# %% [markdown]
# Leerlas con cero procesos auxiliares (lee el mismo que entrena) o con dos. Y un lote que ya está en memoria, para
# comparar. Lo primero que hay que comprobar no es la velocidad: es que **salen las mismas imágenes**, con los mismos recortes.


# %%
def tree(workers, part=(0, 1)):
    """Los lotes del árbol."""
    return imagefolder.ImageFolderBatches(
        "fotos/train", 16, train=True, seed=seed, workers=workers, shard=part
    )


def all_of(batches):
    """Todas las imágenes de un recorrido."""
    return torch.cat([images for images, _ in batches])


speeds, pictures = {}, {}
for workers in (0, 2):
    batches = tree(workers)
    all_of(batches)  # la primera vuelta arranca los procesos auxiliares
    start = time.perf_counter()
    pictures[workers] = all_of(batches)
    speeds[workers] = len(pictures[workers]) / (time.perf_counter() - start)
    del batches
in_memory = data.Batches(data.synthetic(64, shape=(3, 224, 224), num_classes=4), 16)
start = time.perf_counter()
speeds["memoria"] = len(all_of(in_memory)) / (time.perf_counter() - start)

together_pictures = torch.cat([all_of(tree(0, (each, 2))) for each in range(2)])
print(
    "con 0 y con 2 auxiliares:", "los mismos bits" if torch.equal(*pictures.values()) else "otras"
)
assert torch.equal(*pictures.values())
first_pass = all_of(tree(0))
assert torch.isclose(together_pictures.double().sum(), first_pass.double().sum(), rtol=1e-9)
assert speeds["memoria"] > speeds[0]

# %% tags=["tiempos"]
print(f"leyendo el mismo proceso: {speeds[0]:6.0f} imágenes por segundo")
print(f"con dos auxiliares:       {speeds[2]:6.0f}")
print(f"ya en memoria:            {speeds['memoria']:6.0f}")
print(f"una época de ImageNet con un núcleo leyendo: {TRAIN / speeds[0] / 3600:.1f} horas")
print(f"núcleos como este para alimentar 2470 imágenes/s: {math.ceil(2470 / speeds[0])}")

# %% [markdown]
# Las 2470 son las que entrena una sola A100 con precisión mixta, según [NVIDIA](#cuanto). Mira cuántos núcleos hacen
# falta **por cada GPU**, solo para leer; con ocho, ocho veces más. Si no los hay, la GPU espera. De ahí `--workers`. Cada auxiliar es un
# proceso que decodifica por adelantado; ayudan si hay núcleos libres, y con dos núcleos ocupados, como aquí, pueden hasta
# estorbar. Los lotes viajan como `uint8`, cuatro veces más ligeros que en `float32`, y se hacen flotantes ya en la GPU.
#
# ### ¿Quién espera a quién? { #espera }
#
# La prueba cuesta un minuto y casi nadie la hace. Mide por separado: **los datos sin red** y **la red sin datos**, con
# imágenes al azar que no salen de ningún disco (`--dataset synthetic`). El más lento manda. Con dos redes, los dos casos:

# %%
tiny = nn.Sequential(nn.AvgPool2d(32), nn.Flatten(), nn.Linear(3 * 7 * 7, 4))
big = models.create("resnet18", num_classes=4)
noise = data.synthetic(8, shape=(3, 224, 224), num_classes=4)
alone = {
    "red diminuta": images_per_second(tiny, in_memory),
    "ResNet-18": images_per_second(big, data.Batches(noise, 8)),
}
for name, net_speed in alone.items():
    print(f"{name}: esperará", "a los datos" if net_speed > speeds[0] else "a la red")
assert alone["red diminuta"] > speeds[0] > alone["ResNet-18"]

# %% tags=["tiempos"]
reading = images_per_second(tiny, tree(0))
print(f"los datos, sin red:               {speeds[0]:6.0f} imágenes por segundo")
print(f"la red diminuta, sin datos:       {alone['red diminuta']:6.0f}")
print(f"la red diminuta, con los datos:   {reading:6.0f}")
print(f"la ResNet-18, sin datos:          {alone['ResNet-18']:6.1f}")

# %% [markdown]
# La red diminuta, que sola vuela, se arrastra al ritmo de los datos: comprarle una GPU no serviría de nada. La ResNet-18
# en un núcleo es al revés. En una máquina con GPU, `nvidia-smi` da otra pista: si el uso sube y baja, la tarjeta espera.
#
# ### ¿Cabe? { #memoria }
#
# Entrenar una ResNet-50 pide sitio para los pesos, sus gradientes, el momento del optimizador y **lo que se guarda al
# ir hacia adelante** para poder volver. Las tres primeras son fijas. La cuarta crece con el lote. La contamos de dos
# maneras: con la tabla de formas y preguntándole a PyTorch qué guarda.


# %%
def saved_bytes(net, images):
    """Lo que guarda autograd para el paso hacia atrás, sin contar los pesos."""
    weights = {p.untyped_storage().data_ptr() for p in net.parameters()}
    saved = {}

    def keep(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss = F.cross_entropy(net(images), torch.zeros(len(images), dtype=torch.long))
    total = sum(saved.values())
    del loss
    return total


resnet = models.create("resnet50")
fixed = 3 * 4 * inspection.count_parameters(resnet)
per_image = saved_bytes(resnet, torch.zeros(2, 3, 224, 224)) - saved_bytes(
    resnet, torch.zeros(1, 3, 224, 224)
)
convolutions = 4 * sum(
    math.prod(row.output_shape) for row in tables["resnet50"] if row.kind == "Conv2d"
)
print(f"pesos + gradientes + momento:   {fixed / 1e6:6.0f} MB")
print(f"salidas de las convoluciones:   {convolutions / 1e6:6.0f} MB por imagen, según la tabla")
print(f"lo que guarda en total:         {per_image / 1e6:6.0f} MB por imagen, según PyTorch")
for batch_size in (32, 64, 128, 256):
    print(f"lote de {batch_size:3}: {(fixed + batch_size * per_image) / 1e9:5.1f} GB en float32")
assert 1.7 < per_image / convolutions < 2.2

# %% [markdown]
# Lo guardado es casi el doble de las salidas de las convoluciones, y tiene sentido: cada normalización guarda la
# salida de su convolución, y cada convolución guarda la salida de la ReLU anterior. Con 32 imágenes, los pesos son una
# minoría: **lo que llena una GPU son los mapas**. Por eso repartir el lote ayuda también a que quepa, y por eso la
# precisión mixta, que guarda casi todos los mapas con 16 bits, permite lotes de cerca del doble. La cuenta es un mínimo:
# las convoluciones piden además memoria de trabajo, y no la contamos.
#
# ## Cuánto cuesta un ImageNet entero { #cuanto }
#
# Lo que publica quien lo hizo. Son cifras **de sus autores**, que aquí no podemos repetir. Las recetas no son idénticas:
# NVIDIA usa suavizado de etiquetas y un plan en coseno; FFCV entrena con imágenes más pequeñas, de 160 a 192 píxeles, y
# al medir promedia cada foto con su reflejo. Compara el costo, no el acierto.
#
# | Quién | GPU | Épocas | Tiempo | Error top-1 (%) |
# | --- | --- | --: | --: | --: |
# | [Goyal y otros, 2017](../referencia/bibliografia.md#goyal2017) | 8 × P100 | 90 | 29 h | 23.60 ± 0.12 |
# | [Goyal y otros, 2017](../referencia/bibliografia.md#goyal2017) | 256 × P100 | 90 | 1 h | 23.74 ± 0.09 |
# | [Akiba y otros, 2017](../referencia/bibliografia.md#akiba2017) | 1024 × P100 | 90 | 15 min | — |
# | [NVIDIA](https://github.com/NVIDIA/DeepLearningExamples/blob/master/PyTorch/Classification/ConvNets/resnet50v1.5/README.md), `float32` | 1 × V100 | 90 | ~92 h | — |
# | NVIDIA, precisión mixta | 8 × V100 | 90 | ~5 h | 23.12 ± 0.16 |
# | NVIDIA, precisión mixta | 8 × A100 | 90 | ~3 h | 22.88 ± 0.11 |
# | [FFCV](https://github.com/libffcv/ffcv-imagenet) | 8 × A100 | 88 | 77 min | 21.6 |
#
# Lo que se paga no son horas, son **horas de GPU**. Y las de NVIDIA se pueden comprobar, porque además publica imágenes por
# segundo:

# %%
published = {  # GPU, horas
    "8 × P100 (2017)": (8, 29),
    "256 × P100 (2017)": (256, 1),
    "1024 × P100 (2017)": (1024, 0.25),
    "1 × V100, float32": (1, 92),
    "8 × V100, mixta": (8, 5),
    "8 × A100, mixta": (8, 3),
    "8 × A100, FFCV": (8, 77.2 / 60),
}
for name, (gpus, hours) in published.items():
    print(f"{name:<19} {gpus * hours:5.0f} horas de GPU")

print()
for name, images_s, hours in (
    ("1 × V100, float32", 367, 92),
    ("8 × V100, mixta", 8322, 5),
    ("1 × A100, mixta", 2470, 14),
    ("8 × A100, mixta", 16_621, 3),
):
    computed = TRAIN * EPOCHS / images_s / 3600
    print(
        f"{name:<18} {inspection.thousands(images_s):>6} imágenes/s: {computed:4.1f} h de cálculo; publican ~{hours} h"
    )
    assert 0.6 < computed / hours <= 1
efficiency = 16_621 / (8 * 2470)
print(f"\nocho A100 rinden como {8 * efficiency:.1f}: una eficiencia del {efficiency:.0%}")

alexnet_rate = 1.2e6 * EPOCHS / (5.5 * 86_400)
print(f"AlexNet, dos GTX 580, cinco días y medio: {alexnet_rate:.0f} imágenes por segundo")

# %% [markdown]
# Entre lo calculado y lo publicado falta lo demás: evaluar, arrancar, guardar. Y no todo se explica: NVIDIA publica horas
# redondeadas, y con ocho A100 falta más de un tercio. Fíjate en las dos primeras
# líneas: ir de ocho a 256 GPU dividió el tiempo por 29 y apenas encareció la corrida. **Un clúster no abarata el
# entrenamiento: lo acorta.** Lo que lo abarató fue el hardware,
# con la precisión mixta; y, en la última línea, tener los datos a tiempo y usar imágenes más pequeñas.
#
# ### Los comandos { #comandos }
#
# Una máquina con ocho GPU, con la receta de Goyal y otros hasta donde la nuestra la sigue: lote de 256 (32 por GPU),
# tasa 0.1, decaimiento de $10^{-4}$, noventa épocas. Ellos dividían la tasa entre diez tres veces; nosotros bajamos con un
# coseno. En este proyecto no hay ocho GPU: **este comando no lo hemos corrido entero**, y por eso no damos su error.
#
# ```bash
# torchrun --standalone --nproc-per-node 8 -m -- cnnhistory.cli \
#     train resnet50 --dataset /datos/imagenet --epochs 90 \
#     --batch-size 256 --lr 0.1 --weight-decay 1e-4 --schedule cosine \
#     --workers 8 --checkpoints /comun/resnet50 --resume --log resnet50.jsonl
# ```
#
# `-m` dice que `cnnhistory.cli` es un módulo: es la orden `cnnhistory`. El `--` separa las opciones de `torchrun` de
# las nuestras; sin él, `torchrun` intenta entender nuestro `--log` y se queja de que es ambiguo.
#
# Cuatro máquinas de ocho: el mismo comando **en cada una**. Cambian la primera línea y, con el lote cuatro veces mayor, la
# tasa. `nodo0` es una de ellas, cualquiera, a la que todas llegan por la red.
#
# ```bash
# export TORCH_DISABLE_SHARE_RDZV_TCP_STORE=1
# torchrun --nnodes 4 --nproc-per-node 8 --max-restarts 3 \
#     --rdzv-id resnet50 --rdzv-backend c10d --rdzv-endpoint nodo0:29400 \
#     -m -- cnnhistory.cli \
#     train resnet50 --dataset /datos/imagenet --epochs 90 \
#     --batch-size 1024 --lr 0.4 --weight-decay 1e-4 --schedule cosine \
#     --workers 8 --checkpoints /comun/resnet50 --resume --log resnet50.jsonl
# ```
#
# - `--workers` es **por proceso**: ocho por GPU son 64 en la máquina, y otros 64 que duermen hasta que toca validar. No
#   pidas más que núcleos.
# - `--checkpoints` debe estar en una carpeta **común**: escribe solo el proceso 0, pero al reanudar leen todos.
# - Las fotos, mejor en un disco de cada máquina: leer un millón de archivos pequeños por la red, en cada época, duele.
# - `--resume` desde el principio: en una carpeta vacía simplemente empieza, y así el mismo comando sirve para seguir.
#
# **Si muere un nodo**, los demás se quedan esperando en la suma, hasta diez minutos, o hasta que la conexión se corta.
# Con gloo terminan con el mensaje que viste; con NCCL, el de las GPU, puede cerrarlos antes su vigilante (*watchdog*), con
# un mensaje suyo. Con `--max-restarts`, `torchrun` vuelve a
# [arrancarlos a todos](https://docs.pytorch.org/docs/stable/elastic/quickstart.html) cuando estén completos, y `--resume`
# los devuelve al final de la última época. Se pierde, como mucho, una época a medias. La variable del principio hace falta
# para eso: sin ella, los procesos nuevos usan el mismo punto de encuentro que los muertos, y
# [pueden quedarse esperándolos](https://github.com/pytorch/pytorch/issues/135712).
#
# ## Errores comunes { #errores }
#
# Ninguno da error. Todos cuestan.
#
# ### No repartir { #sin-repartir }
#
# Se envuelve la red y se deja el `DataLoader` como estaba. Cada proceso recorre **todo** el conjunto, en su orden. Es la
# opción `own_part=False` de `a_mano.py`, que ya corrió con cuatro procesos:

# %%
val_images = normalize(val_set.images / 255).flatten(1)


def val_loss(weights):
    """La pérdida en validación de la red de a_mano.py con esos pesos."""
    net = nn.Sequential(nn.Linear(784, 64), nn.ReLU(), nn.Linear(64, 10))
    nn.utils.vector_to_parameters(torch.tensor(weights), net.parameters())
    with torch.inference_mode():
        return F.cross_entropy(net(val_images), val_set.labels).item()


good, bad, wrong = (together[name] for name in ("bien", "sin repartir", "otros pesos"))
good_loss, bad_loss, wrong_loss = (val_loss(each[3]) for each in (good, bad, wrong))
for name, (_, computed, *_), loss in (
    ("repartiendo", good, good_loss),
    ("sin repartir", bad, bad_loss),
):
    print(
        f"{name:<12} {inspection.thousands(computed):>6} imágenes calculadas, validación {loss:.3f}"
    )
assert bad[1] == 4 * good[1]
assert abs(bad_loss - good_loss) < 0.2

# %% [markdown]
# El cuádruple de trabajo, y la pérdida casi en el mismo sitio. Cuatro GPU tardan lo que una, y nadie lo nota porque la curva
# *se ve bien*: el lote efectivo es cuatro veces mayor y cada «época» son cuatro. La vacuna: compara las imágenes por
# segundo con cuántas GPU tienes, y las imágenes vistas con el tamaño del conjunto.
#
# ### Cada uno con sus pesos { #otros-pesos }
#
# Sumar gradientes a mano y olvidar que todos deben partir del mismo punto. Basta que cada proceso ponga su semilla
# antes de crear la red:

# %%
print(f"mismos pesos: las copias se apartan {good[2]:.0%}; validación {good_loss:.3f}")
print(f"otros pesos:  las copias se apartan {wrong[2]:.0%}; validación {wrong_loss:.3f}")
assert good[2] == 0
assert wrong[2] > 0.5
assert wrong_loss > good_loss + 0.02

# %% [markdown]
# Son cuatro redes distintas, cada una empujada por la media de gradientes que no son suyos. Nunca se juntan: la resta es
# la misma en todas, así que la distancia entre ellas no cambia. `DistributedDataParallel` lo evita copiando los pesos
# del proceso 0 al empezar.
#
# ### Evaluar con repetidos { #repetidos }
#
# El repartidor de PyTorch, `DistributedSampler`, da a todos la misma cantidad. Si no alcanza, **repite** imágenes. Al
# entrenar da igual. Al medir, no: aquí hay cinco imágenes, la red falla solo la primera, y hay cuatro procesos.

# %%
hit = [0, 1, 1, 1, 1]
samplers = [DistributedSampler(hit, num_replicas=4, rank=each, shuffle=False) for each in range(4)]
measured = [index for sampler in samplers for index in sampler]
plans = [BatchPlan(len(hit), 5, equal=False, shard=(each, 4)) for each in range(4)]
exact = [i for plan in plans for part in plan.parts(torch.arange(5)) for i in part.tolist()]
print("DistributedSampler mide:", sorted(measured))
print("BatchPlan mide:         ", sorted(exact))
print(
    f"acierto: {sum(hit[i] for i in measured) / len(measured):.1%} y {sum(hit[i] for i in exact) / len(exact):.1%}"
)
assert sorted(exact) == [0, 1, 2, 3, 4]
assert len(measured) == 8

extra = math.ceil(VALIDATION / 256) * 256 - VALIDATION
print(
    f"\nen ImageNet, con 256 procesos: {extra} de más, hasta {extra / VALIDATION:.2%} de error en la medida"
)

# %% [markdown]
# En ImageNet parece poco, pero es más que la diferencia entre dos filas de la tabla de arriba. Y el número cambia con la
# cantidad de GPU, así que dos personas con los mismos pesos publican aciertos distintos.
#
# ### El mismo lote, otra normalización { #otra-corrida }
#
# «Usé lote 256, como el artículo.» ¿En una GPU o en ocho? Lo medimos al principio: con normalización por lotes, repartir
# 120 imágenes en dos cambió el gradiente. Aquí, según en cuántas partes:

# %%
changes = {parts: shared("lenet5_bn", *(120 // parts,) * parts) for parts in (2, 4, 8)}
for parts_count, change in changes.items():
    print(
        f"{parts_count} procesos de {120 // parts_count:2} imágenes: el gradiente cambia un {change:.0%}"
    )
assert changes[2] < changes[4] < changes[8]

# %% [markdown]
# No es que esté mal: es **otra corrida**. Al publicar, di las dos cifras, el lote total y las imágenes por GPU.
#
# ### Escriben todos { #escriben-todos }
#
# `a_mano.py` anotaba el nombre de cada prueba en dos archivos: en uno escribían todos los procesos, en el otro solo el 0.

# %%
lines = {name: len(Path(name).read_text().splitlines()) for name in ("uno.txt", "todos.txt")}
print(lines)
assert lines == {"uno.txt": 3, "todos.txt": 12}

# %% [markdown]
# Con un registro, líneas repetidas. Con un punto de control es peor: cuatro procesos escriben a la vez *el mismo
# archivo*, y a veces queda uno mezclado que no se puede leer. No lo mostramos porque depende de la suerte, y ese es el
# problema: en las pruebas sale bien.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** ¿Cuántos megabytes envía cada GPU, por paso y en anillo, con ocho GPU y una VGG-16? ¿Y con una
# ResNet-50? ¿Qué red aprovecha mejor un clúster? Mira también cuánto calcula cada una por imagen.

# %% tags=["solucion"]
talk = {}
for name in ("vgg16", "resnet50"):
    card = models.CATALOG[name]
    sent_megabytes = 2 * 7 / 8 * 4 * card.parameters / 1e6
    talk[name] = card.macs / card.parameters
    print(
        f"{name}: {sent_megabytes:.0f} MB por paso; {talk[name]:.0f} operaciones por imagen y parámetro"
    )
assert talk["resnet50"] > talk["vgg16"]
assert models.CATALOG["vgg16"].parameters > 5 * models.CATALOG["resnet50"].parameters

# %% [markdown] tags=["solucion"]
# La VGG-16 habla más de cinco veces más. Calcula también más, pero no en la misma proporción: por cada número que manda, la
# ResNet-50 hace más operaciones. Lo que importa es ese cociente.

# %% [markdown]
# **2. Arreglar.** Con 110 + 10 imágenes, la media de los dos gradientes no era el del lote. ¿Qué media sí lo es?

# %% [markdown] tags=["solucion"]
# La ponderada por el número de imágenes: así cada imagen vuelve a pesar lo mismo.

# %% tags=["solucion"]
torch.manual_seed(seed)
net = models.create("lenet5_modern", num_classes=10, in_channels=1)
reference = gradient(net, torch.arange(120))
weighted = (
    110 * gradient(net, torch.arange(110)) + 10 * gradient(net, torch.arange(110, 120))
) / 120
error = ((weighted - reference).norm() / reference.norm()).item()
print(f"se aparta {error:.0e}")
assert error < 1e-4

# %% [markdown]
# **3. Reconstruir.** `SyncBatchNorm` necesita la media y la varianza de *todo* el lote, y cada proceso solo conoce las de
# su parte. ¿Basta con que compartan media, varianza y cantidad? Hazlo con las partes de 110 y 10.

# %% [markdown] tags=["solucion"]
# Basta, pero no con promediar las varianzas: falta lo que las medias se apartan entre sí. La media de los cuadrados sí se
# promedia, y la varianza es la media de los cuadrados menos el cuadrado de la media.

# %% tags=["solucion"]
halves = images.split((110, 10))
amounts = torch.tensor([half.numel() for half in halves], dtype=torch.float64)
half_means = torch.stack([half.double().mean() for half in halves])
half_vars = torch.stack([half.double().var(correction=0) for half in halves])
share_of = amounts / amounts.sum()
mean = (share_of * half_means).sum()
variance = (share_of * (half_vars + half_means**2)).sum() - mean**2
print(f"reconstruidas: {mean:.4f} y {variance:.4f}")
print(f"del lote:      {images.mean():.4f} y {images.var(correction=0):.4f}")
assert torch.isclose(mean, images.double().mean())
assert torch.isclose(variance, images.double().var(correction=0))

# %% [markdown]
# **4. Inventar.** El anillo da $2(n-1)$ pasos: con 256 procesos, 510 esperas. Con $n$ potencia de dos se puede en
# $2\log_2 n$ y con los mismos bytes. Pista: en el primer paso, cada uno intercambia con su pareja **la mitad** del vector; en
# el segundo, con otra pareja, la cuarta parte.

# %% [markdown] tags=["solucion"]
# Es *recursive halving and doubling*, lo que usaron Goyal y otros entre servidores; con 32 les fue tres veces más rápida que
# el anillo. La pareja está a distancia 1, 2, 4…: se obtiene cambiando un bit del número. A la ida cada uno se queda con una
# mitad sumada; a la vuelta se devuelven las mitades.


# %% tags=["solucion"]
def halving(vectors):
    """All-reduce por mitades: el resultado, los números que envió cada uno y los pasos."""
    n, size = len(vectors), len(vectors[0])
    values = [vector.clone() for vector in vectors]
    mine = [(0, size)] * n  # el tramo del que responde cada uno
    sent, steps = [0] * n, 0
    distances = [2**k for k in range(n.bit_length() - 1)]
    kept = []
    for distance in distances:  # ida: cada uno se queda con media parte, sumada
        before, old = [value.clone() for value in values], list(mine)
        kept.append(old)
        for r in range(n):
            start, end = old[r]
            middle = (start + end) // 2
            mine[r] = (start, middle) if not r & distance else (middle, end)
            part = slice(*mine[r])
            values[r][part] = before[r][part] + before[r ^ distance][part]
            sent[r] += (end - start) // 2
        steps += 1
    for distance, old in zip(reversed(distances), reversed(kept), strict=True):  # vuelta
        before, now = [value.clone() for value in values], list(mine)
        for r in range(n):
            part = slice(*now[r ^ distance])
            values[r][part] = before[r ^ distance][part]
            sent[r] += now[r][1] - now[r][0]
            mine[r] = old[r]
        steps += 1
    return values, sent, steps


vectors = [torch.full((256,), float(r)) for r in range(256)]
ends, sent, steps = halving(vectors)
_, ring_sent = ring(vectors)
print(
    f"mitades: {steps} pasos y {sent[0]} números enviados; anillo: {2 * 255} pasos y {ring_sent[0]}"
)
assert all(torch.equal(end, sum(vectors)) for end in ends)
assert sent == ring_sent
assert steps == 2 * math.log2(256)

# %% [markdown]
# ## Para seguir
#
# - Las funciones de esta página: [`distributed`](../api/distributed.md), [`BatchPlan`](../api/data.md#cnnhistory.data.BatchPlan),
#   [`ImageFolderBatches`](../api/imagefolder.md#cnnhistory.imagefolder.ImageFolderBatches),
#   [`Checkpoints`](../api/checkpoints.md#cnnhistory.checkpoints.Checkpoints) y
#   [`Experiment`](../api/experiment.md#cnnhistory.experiment.Experiment).
# - Las dos tarjetas de 2012, por dentro: [AlexNet](../arquitecturas/alexnet.py#torres).
# - Lo que se reparte: [el bucle de entrenamiento](bucle-de-entrenamiento.py).
#
# ## Referencias
#
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012): media red en cada tarjeta.
# - [Krizhevsky (2014)](../referencia/bibliografia.md#krizhevsky2014): datos para las convoluciones, modelo para las densas.
# - [Ioffe y Szegedy (2015)](../referencia/bibliografia.md#ioffe2015): la normalización que depende del lote.
# - [Goyal y otros (2017)](../referencia/bibliografia.md#goyal2017): la regla lineal, el calentamiento y la hora.
# - [Akiba, Suzuki y Fukuda (2017)](../referencia/bibliografia.md#akiba2017): quince minutos.
# - [Li y otros (2020)](../referencia/bibliografia.md#li2020): `DistributedDataParallel` por dentro.
