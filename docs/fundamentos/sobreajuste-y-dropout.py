# %% [markdown]
# # Subajuste, sobreajuste y dropout
#
# Tu red acierta el 100 % de las imágenes con que se entrenó. **¿Sabe, o se las aprendió de memoria?** Con la pantalla delante no se
# distingue: la pérdida baja igual. Un estudiante que memoriza las respuestas del examen pasado también saca un diez, hasta que
# cambian las preguntas.
#
# En esta página haremos que pasen las tres cosas que pueden pasar: que la red no llegue, que llegue y que se pase. Después
# mediremos los remedios que se recetan, con varias semillas, y contaremos lo que salió, también cuando no es lo que se esperaba.
#
# Vienes de [una CNN pequeña](cnn-pequena.py), donde casi todos los parámetros estaban en la parte densa. Aquí trabajamos solo con
# esa parte: dos capas densas sobre los píxeles, que se entrenan en un segundo y se pasan de listas con facilidad. Lo que
# aprendas vale para el resto de la red.

# %%
import math
import statistics
from itertools import product

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import data, inspection, plotting
from cnnhistory.training import evaluate, make_optimizer, train_one_epoch

seed = 0

# %% [markdown]
# ## Cuatro puntos y un lápiz { #lapiz }
#
# Alguien midió cuatro veces algo que crece de uno en uno, con un poco de ruido: en 0, 1, 2 y 3 obtuvo **0, 2, 1 y 3**. ¿Cuánto valdrá en
# 4? La verdad, que tú no conoces, es 4. Prueba tres explicaciones, de la más simple a la más flexible:
#
# - **Una constante.** El promedio: $(0 + 2 + 1 + 3)/4 = 1.5$. Falla casi en todas partes, también en los puntos que vio.
# - **Una recta.** La que menos se equivoca es $0.3 + 0.8x$. No pasa por ningún punto. En 4 dice $3.5$.
# - **Una curva de grado tres.** Hay una que pasa *exactamente* por los cuatro, y para saber qué dice en 4 basta restar. Escribe las diferencias
#   entre vecinos, luego las diferencias de las diferencias, y completa la última columna de abajo hacia arriba:
#
# $$
# \begin{array}{lrrrrr}
# \text{valores} & 0 & 2 & 1 & 3 & \mathbf{14} \\
# \text{diferencias} & & 2 & -1 & 2 & \mathbf{11} \\
# \text{de las diferencias} & & & -3 & 3 & \mathbf{9} \\
# \text{otra vez} & & & & 6 & \mathbf{6}
# \end{array}
# $$
#
# Dice **14**. La que no se equivocó en nada de lo que vio es la que más se equivoca en lo que no vio.

# %% alt="Tres paneles con los mismos cuatro puntos y una cruz en la verdad, en 4. En el primero, una recta horizontal en 1.5. En el segundo, una recta inclinada que pasa entre los puntos y cerca de la cruz. En el tercero, una curva que pasa por los cuatro puntos y sale disparada hacia 14." caption="Subajuste, un buen ajuste y sobreajuste. La cruz es la verdad, que nadie había visto."
places, values = torch.arange(4.0), torch.tensor([0.0, 2, 1, 3])
answers = {}
with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.4), sharey=True)
    grid = torch.linspace(-0.2, 4.1, 80)
    for axis, (name, degree) in zip(
        axes, {"constante": 0, "recta": 1, "grado 3": 3}.items(), strict=True
    ):
        powers = places[:, None] ** torch.arange(degree + 1)
        weights = torch.linalg.lstsq(powers, values[:, None]).solution
        curve = (grid[:, None] ** torch.arange(degree + 1)) @ weights
        answers[name] = (4.0 ** torch.arange(degree + 1) @ weights).item()
        axis.plot(grid, curve[:, 0], color=plotting.PALETTE[0])
        axis.plot(places, values, "o", color=plotting.PALETTE[1])
        axis.plot(4, 4, "X", color=plotting.PALETTE[2], markersize=8)
        axis.set(title=f"{name}: {answers[name]:.1f}", xlabel="x", ylim=(-1, 15))
    figure.tight_layout()

assert [round(answer, 3) for answer in answers.values()] == [1.5, 3.5, 14]

# %% [markdown]
# Los tres tienen nombre. **Subajuste** (*underfitting*): el modelo es tan rígido que no puede ni con lo que vio.
# **Sobreajuste** (*overfitting*): es tan flexible que se aprende también el ruido. Y en medio, la zona en que sirve, que en inglés
# llaman *Goldilocks*, por la niña que no quería la sopa ni fría ni caliente. Con puntos se ve en un dibujo. Con imágenes hay que
# medir con un **conjunto de validación** que la red no usa para aprender, como en
# [su página](entrenamiento-validacion-prueba.py).
#
# ## Primera perilla: la capacidad { #capacidad }
#
# En una red, la flexibilidad es cuántas neuronas tiene. Tomamos solo 500 prendas para entrenar, 1000 para
# validar, y cinco redes iguales en todo menos en el ancho de sus dos capas ocultas.


# %%
class Noise(nn.Module):
    """Suma ruido a lo que pasa, solo al entrenar."""

    def __init__(self, spread):
        super().__init__()
        self.spread = spread

    def forward(self, x):
        """Misma forma a la salida."""
        return x + self.spread * torch.randn_like(x) if self.training else x


def dense_net(width, drop=0.0, noise=0.0, run=seed):
    """Dos capas ocultas sobre los píxeles; `drop` y `noise` los usaremos más adelante."""
    torch.manual_seed(run)
    return nn.Sequential(
        *(nn.Flatten(), Noise(noise)),
        *(nn.Linear(784, width), nn.ReLU(), nn.Dropout(drop)),
        *(nn.Linear(width, width), nn.ReLU(), nn.Dropout(drop)),
        nn.Linear(width, 10),
    )


def draw(count, run=seed):
    """Un sorteo: `count` imágenes para entrenar y 1000 para validar."""
    everything = data.fashion_mnist("mini")[0]
    order = torch.randperm(len(everything), generator=torch.Generator().manual_seed(run))
    return everything[order[:count]], everything[order[-1000:]]


def learn(net, seen, unseen, epochs=30, weight_decay=0.0, run=seed):
    """Entrena y mide, época por época, con lo visto y con lo no visto."""
    normalize = data.normalization(seen)
    lots = data.Batches(seen, 50, shuffle=True, seed=run, transform=normalize)
    same, other = (data.Batches(part, 1000, transform=normalize) for part in (seen, unseen))
    optimizer = make_optimizer(net, 0.02, weight_decay)
    history = []
    for _ in range(epochs):
        train_one_epoch(net, lots, optimizer)
        history.append((evaluate(net, same), evaluate(net, other)))
    return history


seen, unseen = draw(500)
widths = {}
print(f"{'ancho':>5}{'parámetros':>12}{'visto':>8}{'no visto':>10}")
for width in (1, 2, 4, 16, 128):
    net = dense_net(width)
    widths[width] = learn(net, seen, unseen)[-1]
    own, new = widths[width]
    count = inspection.thousands(inspection.count_parameters(net))
    print(f"{width:>5}{count:>12}{own.top1:>8.1%}{new.top1:>10.1%}")

assert widths[1][0].top1 < 0.6  # subajuste: no puede ni con lo que vio
assert widths[128][0].top1 > 0.98  # se aprendió casi todo
assert widths[128][0].top1 - widths[128][1].top1 > 0.12  # y no le sirve igual con lo nuevo
assert widths[1][0].top1 - widths[1][1].top1 < 0.12
assert widths[128][1].top1 > widths[4][1].top1 - 0.02  # pero más ancho no es peor

# %% tags=["oculto"] alt="Acierto según el ancho, de 1 a 128. La línea de lo visto sube de abajo hasta el 100 %. La de lo no visto sube con ella al principio y después se queda en una meseta, más de diez puntos por debajo, sin caer." caption="Con 500 imágenes. A la izquierda no puede; a la derecha se las sabe de memoria."
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.2, 2.8))
    for index, (name, marker) in enumerate({"visto": "o", "no visto": "s"}.items()):
        axis.plot(
            range(5),
            [100 * pair[index].top1 for pair in widths.values()],
            marker=marker,
            label=name,
        )
    axis.set_xticks(range(5), widths)
    axis.set(xlabel="neuronas por capa", ylabel="acierto (%)", ylim=(0, 103))
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()

# %% [markdown]
# A la izquierda, el subajuste: con una o dos neuronas no hay por dónde pasar diez clases. A la derecha, la red se sabe las 500 de memoria, y
# la distancia entre las dos líneas es lo que esa memoria no vale.
#
# Ahora lo que muchos dibujos no cuentan: **la línea de abajo no cae**. La red más ancha tiene más de doscientos parámetros por imagen, podría
# hacer como la curva de grado tres, y no lo hace. Las redes grandes entrenadas con gradiente suelen memorizar
# sin dejar de acertar con lo nuevo, y explicar por qué sigue siendo una pregunta abierta.[^zhang] El daño está en otra parte.
#
# ## Segunda perilla: el tiempo { #tiempo }
#
# Mira la misma red ancha, época por época.

# %% alt=["Pérdida por época: la de lo visto baja hasta casi cero; la de lo no visto baja unas pocas épocas, toca fondo y vuelve a subir sin parar."] caption=["La red más ancha. A la derecha de su mínimo, la pérdida de validación solo crece."]
clean = learn(dense_net(128), seen, unseen, epochs=40)


def loss_curves(history):
    """Pérdida por época con lo visto y lo no visto."""
    with plotting.style():
        figure, axis = plt.subplots(figsize=(5.2, 2.6))
        epochs = range(1, len(history) + 1)
        for index, (name, dashes) in enumerate({"visto": "-", "no visto": "--"}.items()):
            axis.plot(epochs, [pair[index].loss for pair in history], dashes, label=name)
        axis.set(xlabel="época", ylabel="pérdida")
        axis.legend()
        figure.tight_layout()


loss_curves(clean)
new = [pair[1] for pair in clean]
lowest = min(range(len(new)), key=lambda epoch: new[epoch].loss)
print(f"menor pérdida: época {lowest + 1}, {new[lowest].loss:.2f}, acierto {new[lowest].top1:.1%}")
print(f"al final:      época {len(new)}, {new[-1].loss:.2f}, acierto {new[-1].top1:.1%}")

assert lowest < 15
assert new[-1].loss > 1.2 * new[lowest].loss
assert new[-1].top1 > new[lowest].top1 - 0.03

# %% [markdown]
# La pérdida con lo nuevo toca fondo en pocas épocas y después **sube**, mientras el acierto apenas se mueve. No es contradicción. La
# entropía cruzada castiga la seguridad: la red se equivoca en las mismas prendas que antes, pero cada vez *más convencida*. Si solo miras
# aciertos, no te enteras. Si alguien va a usar sus probabilidades, importa mucho.
#
# ## Cuando las etiquetas mienten { #mentiras }
#
# Las 500 etiquetas de arriba son correctas. En la vida real, no siempre. Cambiemos el 40 % por otra al azar (a veces, por
# casualidad, la misma). Las de validación, intactas.


# %%
def spoil(dataset, share, run=seed):
    """Sustituye una parte de las etiquetas por otras al azar; devuelve también cuáles."""
    generator = torch.Generator().manual_seed(run)
    chosen = torch.rand(len(dataset), generator=generator) < share
    lies = torch.randint(10, (len(dataset),), generator=generator)
    labels = torch.where(chosen, lies, dataset.labels)
    return data.Dataset(dataset.images, labels, dataset.classes), labels != dataset.labels


lying, wrong = spoil(seen, 0.4)
noisy = learn(dense_net(128), lying, unseen, epochs=40)
best = max(pair[1].top1 for pair in noisy)
print(f"etiquetas cambiadas de verdad: {wrong.float().mean():.0%}")
print(f"acierta {noisy[-1][0].top1:.1%} de lo que vio, mentiras incluidas")
print(f"con lo nuevo: {best:.1%} en su mejor época, {noisy[-1][1].top1:.1%} al final")

assert noisy[-1][0].top1 > 0.85
assert best - noisy[-1][1].top1 > 0.08

# %% tags=["oculto"] alt="Acierto por época con etiquetas falsas. La línea de lo visto sube despacio del 50 % a más del 90 %. La de lo no visto sube en las primeras épocas, hace una cumbre y después baja de manera sostenida. Una franja vertical marca la cumbre." caption="Tres regímenes en una sola figura: antes de la cumbre, no llega; en la cumbre, lo justo; después, memoriza mentiras."
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.6, 2.8))
    for index, (name, dashes) in enumerate({"visto": "-", "no visto": "--"}.items()):
        axis.plot(range(1, 41), [100 * pair[index].top1 for pair in noisy], dashes, label=name)
    peak = 1 + max(range(40), key=lambda epoch: noisy[epoch][1].top1)
    axis.axvspan(peak - 0.8, peak + 0.8, color=plotting.PALETTE[2], alpha=0.25)
    axis.set(xlabel="época", ylabel="acierto (%)", ylim=(0, 103))
    axis.legend(loc="lower right")
    figure.tight_layout()

# %% [markdown]
# Ahí está el dibujo de los libros, con su cumbre. Primero aprende lo que se repite, que es lo verdadero: las mentiras son todas
# distintas y no se ayudan entre sí. Después, como le sobra capacidad, se aprende las mentiras una por una, y eso sí le cuesta con
# lo nuevo. Guardar los pesos de la época en que la validación iba mejor se llama **parada temprana** (*early stopping*), y es el remedio más
# barato que hay.
#
# ### El extremo: solo mentiras
#
# ¿Y si *todas* las etiquetas son al azar? Ya no hay nada que aprender; solo se puede memorizar. En 2016, Zhang y otros lo hicieron con redes de
# verdad y con ImageNet, y cambiaron lo que se creía sobre por qué las redes generalizan.[^zhang] En pequeño:

# %%
random_labels, _ = spoil(seen, 1.0)
memory = learn(dense_net(128), random_labels, unseen, epochs=60)
print(f"acierta {memory[-1][0].top1:.1%} de unas etiquetas sin sentido")
print(f"con prendas nuevas: {memory[-1][1].top1:.1%} (al azar, 10 %)")


def epochs_to(history, share):
    """La primera época con ese acierto en lo visto; infinito si no llega."""
    return next((n for n, pair in enumerate(history, 1) if pair[0].top1 >= share), math.inf)


print("épocas hasta el 90 % de lo visto:")
print(f"  etiquetas verdaderas {epochs_to(clean, 0.9)}; al azar {epochs_to(memory, 0.9)}")

assert memory[-1][0].top1 > 0.95
assert memory[-1][1].top1 < 0.2
assert 1.5 * epochs_to(clean, 0.9) < epochs_to(memory, 0.9) < math.inf

# %% [markdown]
# La misma red, los mismos píxeles, la misma receta: con etiquetas de verdad generaliza y sin ellas memoriza. Luego **que pueda
# memorizar no dice que lo haga**, y «acierta todo lo que vio» no dice nada por sí solo. Lo único que la delata es que tarda más.
#
# ## Tercera perilla: más imágenes { #mas-imagenes }

# %%
sizes = {}
for count in (50, 200, 800, 3200):
    more, held = draw(count)
    # Los mismos pasos para todas, o la que tiene más imágenes se entrenaría más.
    own, new = learn(dense_net(64), more, held, epochs=max(2, 6400 // count))[-1]
    sizes[count] = own.top1 - new.top1, new.top1
    print(f"{count:>5} imágenes: visto {own.top1:.1%}, no visto {new.top1:.1%}")

assert sizes[50][0] > sizes[200][0] > sizes[3200][0]
assert sizes[50][1] + 0.05 < sizes[800][1]
assert sizes[200][1] < sizes[3200][1]

# %% [markdown]
# Lo nuevo sube y la distancia se cierra, sin tocar la red. Es el mejor remedio, y el más caro. Por eso importa tanto el que lo imita gratis, la
# [aumentación](../tecnicas/aumentacion.py).
#
# ## Dropout, con una moneda { #dropout }
#
# En 2012, Hinton y otros propusieron algo que suena a sabotaje: en cada paso del entrenamiento, **apagar al azar la mitad de las neuronas**.[^dropout]
# Así ninguna puede contar con que la de al lado le corrija el error, y cada una aprende algo útil por sí misma. Al usar la red ya
# entrenada, no se apaga ninguna.
#
# Con lápiz. Cuatro neuronas valen $(2, 4, 6, 8)$. Lanza una moneda por cada una; digamos que sale la *máscara* $(1, 0, 0, 1)$. Quedan
# $(2, 0, 0, 8)$. Pero la capa siguiente estaba acostumbrada a una suma de 20, y ahora recibe 10: en promedio, la mitad. Para que no
# lo note, los que quedan se multiplican por 2: $(4, 0, 0, 16)$. En general, si se apaga una fracción $p$, se divide entre $1 - p$. Esta versión, que corrige al
# entrenar y no al usar, se llama *dropout invertido*, y es la que traen las bibliotecas.
#
# ¿De verdad no lo nota? Cuatro monedas dan 16 máscaras. Son tan pocas que se pueden recorrer **todas**:

# %%
neurons = torch.tensor([2.0, 4, 6, 8])
masks = torch.tensor(list(product((0.0, 1.0), repeat=4)))  # las 16
dropped = neurons * masks / (1 - 0.5)

print("con la máscara (1, 0, 0, 1):", (neurons * torch.tensor([1.0, 0, 0, 1]) * 2).tolist())
print("promedio de las 16:         ", dropped.mean(0).tolist())
print("varianza de las 16:         ", dropped.var(0, correction=0).tolist())

assert torch.equal(dropped.mean(0), neurons)  # el promedio no cambia
assert torch.equal(dropped.var(0, correction=0), neurons**2)  # x²·p/(1−p), con p = 1/2

# %% [markdown]
# El promedio es exacto. Lo que cambia es la **varianza**: un valor $x$ queda en $x/(1-p)$ con probabilidad $1 - p$ y en cero con probabilidad $p$.
# La cuenta da una varianza de $x^2\,p/(1 - p)$. Con $p = 1/2$, la desviación es $x$: *ruido tan grande como la señal*. Dropout es eso, ruido que se
# multiplica, y $p$ dice cuánto.
#
# Ahora el de PyTorch, que tiene dos modos. `train()` apaga; `eval()` no toca nada:

# %%
torch.manual_seed(seed)
layer = nn.Dropout(p=0.5)
layer.train()
print("train():", layer(neurons).tolist(), layer(neurons).tolist())
layer.eval()
print("eval(): ", layer(neurons).tolist())

layer.train()
many = torch.stack([layer(neurons) for _ in range(4000)])
assert set(many.flatten().tolist()) == {0, 4, 8, 12, 16}
assert torch.allclose(many.mean(0), neurons, rtol=0.08)
layer.eval()
assert torch.equal(layer(neurons), neurons)

# %% [markdown]
# ## Los remedios, medidos { #remedios }
#
# A los remedios se los llama **regularización**: todo lo que se hace para que la red acierte mejor con lo nuevo, aunque ajuste peor lo
# visto. Probamos seis en el caso difícil, el de las etiquetas falsas:
#
# - **dropout** con $p = 0.5$ en las dos capas ocultas;
# - **ruido** en los píxeles, de desviación 1, que es lo que miden ellos después de normalizar;
# - **decaimiento de los pesos** (*weight decay*): en cada paso, encoger un poco cada peso, para que ninguno crezca sin necesidad;
# - **red chica**, con 8 neuronas por capa en lugar de 64;
# - **parada temprana**, quedándose con la época de mejor pérdida en validación;
# - **el doble de imágenes**, con la misma proporción de mentiras.
#
# Cada uno, con tres semillas: otro sorteo de imágenes, otras mentiras y otros pesos.

# %%
RUNS = (seed, seed + 1, seed + 2)


def result(run, count=500, width=64, drop=0.0, noise=0.0, weight_decay=0.0):
    """La historia de lo no visto con un remedio y una semilla."""
    own, held = draw(count, run)
    own, _ = spoil(own, 0.4, run)
    net = dense_net(width, drop, noise, run)
    history = learn(net, own, held, 20 * 500 // count, weight_decay, run)
    return history[-1][0], [pair[1] for pair in history]


treatments = {
    "nada": {},
    "dropout": {"drop": 0.5},
    "ruido": {"noise": 1.0},
    "decaimiento": {"weight_decay": 0.03},
    "red chica": {"width": 8},
    "el doble de imágenes": {"count": 1000},
}
outcomes = {name: [result(run, **each) for run in RUNS] for name, each in treatments.items()}
finals = {name: [new[-1].top1 for _own, new in each] for name, each in outcomes.items()}
finals["parada temprana"] = [
    min(new, key=lambda metrics: metrics.loss).top1 for _own, new in outcomes["nada"]
]
for name, tops in finals.items():
    mean, spread = statistics.mean(tops), statistics.stdev(tops)
    gain = mean - statistics.mean(finals["nada"])
    print(f"{name:<21} {mean:.1%} ± {100 * spread:.1f}   {100 * gain:+.1f} puntos")

means = {name: statistics.mean(tops) for name, tops in finals.items()}
assert means["dropout"] > means["nada"] + 0.04
assert means["ruido"] > means["nada"] + 0.03
assert means["el doble de imágenes"] > means["nada"] + 0.01
assert means["parada temprana"] > means["nada"] + 0.06
assert means["parada temprana"] > means["decaimiento"]
assert means["dropout"] > means["red chica"] + 0.05

# %% [markdown]
# Léelo con la segunda columna delante: es la desviación entre semillas, y una diferencia menor que ella no es una diferencia.
#
# - **La parada temprana**, que es gratis, está entre las mejores. Con una salvedad: escoge su época mirando la misma validación con que se
#   mide, y eso la favorece un poco.
# - **Dropout y ruido** ayudan mucho. No son dos ideas distintas: los dos le dan a la red una versión nueva de cada
#   imagen en cada época, y memorizar algo que no se repite es difícil.
# - **El doble de imágenes**, con los mismos pasos, también: cada mentira se ve la mitad de veces, y lo verdadero se repite igual.
# - **El decaimiento**, con la fuerza que probamos, ayuda menos.
# - **Achicar la red** no es el remedio que parece. Con ocho neuronas por capa le queda sitio para aprenderse parte de las mentiras y le falta para lo
#   demás: paga los dos males. Es la lección contraria a la de los cuatro puntos, y por eso hoy se prefiere una red grande y regularizada
#   a una red chica.
#
# Ojo: esto es con el 40 % de las etiquetas cambiadas. Con las verdaderas, la distancia que había que recortar era otra. En la celda
# siguiente hay una red con dropout y etiquetas limpias, y verás que queda cerca de la que no lo lleva.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Medir con dropout encendido
#
# Falta una línea, `net.eval()`, y nadie protesta. La red que mides no es la que entrenaste: es otra distinta en cada lote, con la
# mitad de las neuronas apagadas.

# %%
net = dense_net(64, drop=0.5)
history = learn(net, seen, unseen)
plain = learn(dense_net(64), seen, unseen)[-1][1].top1
images = data.normalization(seen)(unseen.images.float() / 255)


def careless_score():
    """Lo que se publica: medir sin llamar a `eval()`."""
    net.train()
    with torch.inference_mode():
        return (net(images).argmax(1) == unseen.labels).float().mean().item()


tries = [careless_score() for _ in range(5)]
print(f"la misma red sin dropout acierta {plain:.1%}")
print("antes  ", "  ".join(f"{score:.1%}" for score in tries))
print(f"después {history[-1][1].top1:.1%}, siempre")
assert len(set(tries)) > 1
assert max(tries) < history[-1][1].top1
assert abs(history[-1][1].top1 - plain) < 0.05

# %% [markdown]
# El síntoma es inconfundible: **dos medidas seguidas de la misma red dan números distintos**. [`evaluate`](../api/training.md#cnnhistory.training.evaluate) llama a
# `eval()` por ti, y deja la red como estaba.
#
# ### Apagar sin compensar
#
# Un dropout escrito a mano suele quedarse en `x * mask`. Al entrenar, todo vale la mitad; al usar la red, con todas encendidas, las sumas se
# duplican capa tras capa.


# %%
class NoRescue(nn.Module):
    """Apaga la mitad y se olvida de dividir entre 1 − p."""

    def forward(self, x):
        """Misma forma a la salida."""
        return x * (torch.rand_like(x) > 0.5) if self.training else x


broken = dense_net(64, drop=0.5)
broken[4], broken[7] = NoRescue(), NoRescue()
bad = learn(broken, seen, unseen)[-1][1]
good = history[-1][1]
print(f"antes   pérdida {bad.loss:.2f}, acierto {bad.top1:.1%}")
print(f"después pérdida {good.loss:.2f}, acierto {good.top1:.1%}")
assert bad.loss > 1.15 * good.loss

# %% [markdown]
# El acierto aguanta, porque duplicar todas las puntuaciones no cambia cuál es la mayor. Lo que se arruina es la pérdida: la red sale mucho
# más segura de lo que debería.
#
# ### Elegir la época con la prueba
#
# La parada temprana *mira* la validación para decidir, así que el acierto de la época elegida sale un poco inflado en ella. Si esa
# decisión se toma mirando la prueba, la prueba deja de serlo. Cuánto se infla está medido en
# [entrenamiento, validación y prueba](entrenamiento-validacion-prueba.py#elegir).
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Una neurona vale 10 y se apaga con $p = 0.2$. ¿Qué valores puede tomar con dropout invertido? ¿Cuánto valen su promedio y su varianza?
# Hazlo a mano y compruébalo con cien mil sorteos.

# %% [markdown] tags=["solucion"]
# O 0, una de cada cinco veces, o $10/0.8 = 12.5$. Promedio: $0.8 \cdot 12.5 = 10$. Varianza: $10^2 \cdot 0.2/0.8 = 25$.

# %% tags=["solucion"]
torch.manual_seed(seed)
sample = F.dropout(torch.full((100_000,), 10.0), p=0.2, training=True)
print(f"{sample.unique().tolist()}, promedio {sample.mean():.2f}, varianza {sample.var():.2f}")
assert sample.unique().tolist() == [0, 12.5]
assert abs(sample.mean() - 10) < 0.1
assert abs(sample.var() - 25) < 0.5

# %% [markdown]
# **2. Calcular.** En la tabla de las diferencias, cambia el último valor medido, 3, por 4 (una sola medida, un solo punto de más). ¿Qué dice ahora en 4 la curva de
# grado tres? ¿Y la recta? ¿Cuál de las dos es más sensible a un error de medida?

# %% [markdown] tags=["solucion"]
# Las diferencias son 2, −1, 3; −3, 4; 7. La última columna: 7, 11, 14 y **18**. Un punto de más se volvió cuatro. La recta pasa de 3.5
# a 4.5: un punto. Eso es el sobreajuste visto de cerca: exagerar lo que se midió.

# %% tags=["solucion"]
moved = torch.tensor([0.0, 2, 1, 4])
for name, degree, expected in (("grado 3", 3, 18.0), ("recta", 1, 4.5)):
    powers = places[:, None] ** torch.arange(degree + 1)
    weights = torch.linalg.lstsq(powers, moved[:, None]).solution
    answer = (4.0 ** torch.arange(degree + 1) @ weights).item()
    print(f"{name}: {answer:.1f}")
    assert math.isclose(answer, expected, abs_tol=1e-3)

# %% [markdown]
# **3. Modificar.** Si dropout es ruido que se multiplica, ¿hace falta que sea de todo o nada? Cambia la máscara por números al azar con media 1 y la
# misma varianza, $p/(1 - p)$, y compáralo con dropout en el caso de las etiquetas falsas.

# %% [markdown] tags=["solucion"]
# Es el *dropout gaussiano*, del artículo de Srivastava y otros (2014). Con $p = 0.5$ la varianza es 1. Sale parecido: lo que regulariza es el tamaño del
# ruido, más que su forma.


# %% tags=["solucion"]
class GaussianDropout(nn.Module):
    """Multiplica por ruido normal de media 1 y varianza p/(1 − p), con p = 1/2."""

    def forward(self, x):
        """Misma forma a la salida."""
        return x * (1 + torch.randn_like(x)) if self.training else x


gaussian = dense_net(64)
gaussian[4], gaussian[7] = GaussianDropout(), GaussianDropout()
score = learn(gaussian, lying, unseen)[-1][1].top1
print(f"nada {finals['nada'][0]:.1%}, dropout {finals['dropout'][0]:.1%}, gaussiano {score:.1%}")
assert score > finals["nada"][0] - 0.02

# %% [markdown]
# **4. Inventar.** La red aprende antes lo verdadero que las mentiras. Aprovéchalo: entrénala unas pocas épocas con las etiquetas estropeadas y usa la
# pérdida de cada imagen para encontrar las falsas. ¿Qué fracción de las sospechosas lo son de verdad?

# %% [markdown] tags=["solucion"]
# Con pocas épocas, las imágenes que más le cuestan son sobre todo las mal etiquetadas. Así se limpian conjuntos de datos reales: la red señala y una persona
# revisa.

# %% tags=["solucion"]
detective = dense_net(64, drop=0.5)
learn(detective, lying, unseen, epochs=8)
detective.eval()
with torch.inference_mode():
    inputs = data.normalization(lying)(lying.images.float() / 255)
    doubt = F.cross_entropy(detective(inputs), lying.labels, reduction="none")
suspects = doubt.topk(int(wrong.sum())).indices
found = wrong[suspects].float().mean().item()
print(
    f"de {len(suspects)} sospechosas, {found:.0%} son falsas; al azar serían {wrong.float().mean():.0%}"
)
assert found > wrong.float().mean() + 0.25

# %% [markdown]
# ## Para seguir { #seguir }
#
# - Todo esto cuesta cálculo. ¿Cuánto, y en qué? [CPU y GPU](cpu-y-gpu.py).
# - Dropout en la red que lo hizo famoso: [AlexNet](../arquitecturas/alexnet.py). El bucle con su decaimiento, línea por línea:
#   [el bucle de entrenamiento](../tecnicas/bucle-de-entrenamiento.py).
# - En la referencia: [`make_optimizer`](../api/training.md#cnnhistory.training.make_optimizer), que aplica el decaimiento solo a los pesos, y
#   [`evaluate`](../api/training.md#cnnhistory.training.evaluate).
#
# ## Referencias
#
# - [Srivastava y otros (2014)](../referencia/bibliografia.md#srivastava2014): dropout, con su versión gaussiana.
#
# [^dropout]: [Hinton y otros (2012)](../referencia/bibliografia.md#hinton2012).
# [^zhang]: [Zhang y otros (2016)](../referencia/bibliografia.md#zhang2016).
