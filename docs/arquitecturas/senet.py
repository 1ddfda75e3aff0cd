# %% [markdown]
# # SENet (2017): a qué canal hacer caso
#
# Un canal de una red responde a las plumas. Otro, a las ruedas. Llega la foto de un ganso junto a una bicicleta.
# ¿Cuál de los dos hay que escuchar? Depende de todo lo demás que haya en la foto. Pero un filtro no puede
# saberlo: mira una ventana de 3×3 y suma sus canales con unos pesos fijos, los mismos para cualquier foto, en
# cualquier lugar.
#
# SENet le da a la red un control de volumen por canal, y deja que **cada imagen mueva los suyos**. Con eso ganó la
# última edición del desafío ImageNet. En esta página construyes esos controles, cuentas lo que cuestan, los ves
# moverse con cada clase y mides qué parte de lo que hacen depende de verdad de la imagen.
#
# <!-- generado: ficha seresnet50 -->

# %% [markdown]
# ## El último ganador { #historia }
#
# En 2017, mejorar un clasificador de ImageNet quería decir casi siempre mirar mejor *en el plano*: filtros de
# varios tamaños, más profundidad, atajos, grupos. Cómo se combinan los canales se daba por resuelto: los suma
# la convolución.
#
# Jie Hu, Li Shen y Gang Sun, de la empresa Momenta y de la Universidad de Oxford, se preguntaron por lo otro.
# Su pieza no es una red nueva, sino un módulo que cabe en cualquiera: lo metieron en Inception, en ResNet y
# en ResNeXt, y todas mejoraron.[^hu] Con el nombre de equipo WMW ganaron la clasificación de ILSVRC 2017, la
# última:

# %% tags=["oculto"]
from cnnhistory import ilsvrc

for year in (2015, 2016, 2017):
    for result in ilsvrc.results(year):
        if result.is_official:
            mark = "gana" if result.is_winner else ""
            print(f"{year}  {result.team:<15} {result.top5_error:.3f} %  {mark}")

# %%
before, last = ilsvrc.find(2016, "trimps-soushen"), ilsvrc.find(2017, "senet")
relative = 1 - last.top5_error / before.top5_error
print(f"de {before.top5_error} % a {last.top5_error} %: un {relative:.0%} menos de error")
assert round(100 * relative) == 25

# %% [markdown]
# ### ¿Qué red ganó? { #senet-154 }
#
# No fue la de la ficha de arriba. Ese {ilsvrc:2017:senet:3} es de un **conjunto** de redes SE. Una de las
# mejores que llevaba es la SENet-154: una ResNeXt de 152 capas, con 64 grupos, un tronco de tres 3×3 y una
# compuerta por bloque. Por eso su ficha lleva el error del equipo, con la advertencia al lado.
#
# <!-- generado: ficha senet154 -->
#
# ¿Cuánto vale ella sola? Sus autores publican, con un solo recorte de 224×224 y en *validación*, un error
# top-5 de 4.47 %.[^repositorio] Casi el doble. No se contradicen: miden cosas distintas. Uno es la nota del
# equipo y el otro, la de la red que descargas.
#
# Fue el final. El 26 de julio de 2017 los organizadores pasaron el testigo a Kaggle; [la
# carrera](../historia/la-carrera.py#2017) cuenta qué se puede decir, y qué no, de por qué paró.

# %% [markdown]
# ## La idea: resumir, decidir, multiplicar { #idea }
#
# Tres canales de 2×2: plumas, ruedas y cielo. El módulo hace tres cosas. **Comprime** (*squeeze*) cada canal
# a su promedio. **Excita** (*excitation*): con esos tres números, dos capas densas pequeñas deciden tres
# factores entre 0 y 1. Y **multiplica** cada canal por el suyo.

# %%
import torch

maps = torch.tensor([[[4.0, 2], [2, 0]], [[0.0, 1], [1, 0]], [[1.0, 1], [1, 1]]])
names = ["plumas", "ruedas", "cielo"]
reduce = torch.tensor([[1.0, -1, 0]])  # una neurona: ¿más plumas que ruedas?
expand = torch.tensor([[2.0], [-2], [0]])  # si sí, sube las plumas y baja las ruedas


def gates_of(maps):
    squeezed = maps.mean(dim=(1, 2))
    return squeezed, torch.sigmoid(expand @ torch.relu(reduce @ squeezed))


for title, picture in {"el ganso": maps, "la bicicleta": maps[[1, 0, 2]]}.items():
    squeezed, gates = gates_of(picture)
    print(title)
    for name, mean, gate in zip(names, squeezed.tolist(), gates.tolist(), strict=True):
        print(f"  {name:<7} promedio {mean:.1f} → factor {gate:.3f}")

squeezed, gates = gates_of(maps)
assert squeezed.tolist() == [2, 0.5, 1]
assert abs(gates[0] - 1 / (1 + torch.tensor(-3.0).exp())) < 1e-6  # σ(2 · 1.5)
assert gates[2] == 0.5

# %% [markdown]
# Hazlo a mano. En la primera foto la neurona vale $2 - 0.5 = 1.5$; las plumas reciben $\sigma(3) = 0.953$ y
# las ruedas $\sigma(-3) = 0.047$. En la segunda, la misma neurona da negativo, la ReLU la apaga y todo queda
# en $\sigma(0) = 0.5$. **Los pesos son los mismos; los factores, no.** Un filtro normal no puede hacer eso:
# sus coeficientes no dependen de la foto.
#
# Fíjate en otra cosa. El promedio recorre *todo* el mapa. Un filtro de la primera etapa ve unos pocos
# píxeles, pero su factor ya sabe qué hay en toda la imagen.
#
# ¿Por qué dos capas, y la de en medio más angosta? Una sola de $C$ a $C$ costaría $C^2$ pesos. Con una
# cintura $r$ veces más estrecha son $2C^2/r$. Ese $r$ es la **reducción** (*reduction ratio*), y el artículo
# usa 16.

# %%
channels = 256
for reduction in (1, 4, 16, 64):
    print(f"r = {reduction:>2}: {2 * channels**2 // reduction:>6} pesos para {channels} canales")

# %% tags=["oculto"] alt="Dos bloques, uno junto al otro. El de ResNet tiene dos caminos: a la izquierda, tres convoluciones, 1×1, 3×3 y 1×1; a la derecha, la identidad; se juntan con un más. El de SE-ResNet tiene además, al final del camino izquierdo, una caja que dice compuerta." caption="El bloque de ResNet-50 y el mismo con la compuerta, que actúa antes de la suma: el atajo pasa sin que nadie lo toque."
from cnnhistory import inspection, plotting

bottleneck = ["convolución 1×1, 64", "convolución 3×3, 64", "convolución 1×1, 256"]
plotting.blocks(
    {
        "ResNet": plotting.Block(paths=[bottleneck, []], merge="+"),
        "SE-ResNet": plotting.Block(paths=[[*bottleneck, "compuerta SE"], []], merge="+"),
    }
)

# %% [markdown]
# ## El código: dos capas y una multiplicación { #codigo }

# %% tags=["fuente"]
from cnnhistory.models.senet import SqueezeExcitation

# %%
module = SqueezeExcitation(256)
assert module(torch.zeros(2, 256, 7, 7)).shape == (2, 256, 7, 7)
by_hand = 2 * 256 * 16 + 16 + 256  # dos capas densas, con sus sesgos
assert inspection.count_parameters(module) == by_hand
print(inspection.count_parameters(module), "parámetros con 256 canales y r = 16")

# %% [markdown]
# Cabe en un bloque residual añadiendo una línea al final de su camino. Los de SE-ResNet-50 y de la red que ganó:

# %% tags=["fuente"]
from cnnhistory.models.senet import SEBottleneck, SENet154Block

# %%
x = torch.zeros(2, 128, 14, 14)
assert SEBottleneck(128, 256, stride=2)(x).shape == (2, 256, 7, 7)
assert SENet154Block(128, 256, stride=2)(x).shape == (2, 256, 7, 7)

# %% [markdown]
# Y las redes. SE-ResNet-50 es la ResNet con otro bloque; SENet-154 trae además su propio tronco.

# %% tags=["fuente"]
from cnnhistory.models.resnet import RESNET50
from cnnhistory.models.senet import SENet154, SEResNet

# %%
with torch.device("meta"):  # solo formas
    seresnet50, senet154 = SEResNet(SEBottleneck, RESNET50), SENet154()
table = inspection.shape_table(seresnet50, (3, 224, 224), whole=(SEBottleneck,))
table

# %% alt="SE-ResNet-50 en bloques apilados: la foto de 224×224, un tronco que baja a 56×56, y dieciséis bloques en cuatro etapas de 56, 28, 14 y 7 de lado con 256, 512, 1024 y 2048 canales, hasta las mil clases. El corchete de lo que ve una posición alcanza el ancho de la foto en la tercera etapa." caption="El viaje de una foto por SE-ResNet-50. Tiene la silueta de la ResNet-50: las compuertas no cambian ninguna forma."
plotting.data_flow(table, (3, 224, 224))

# %% [markdown]
# ### El precio { #precio }
#
# Se oye decir que la compuerta «no requiere más parámetros». Contemos. Quitamos los módulos de la
# SE-ResNet-50, y lo que queda debe ser, exactamente, la ResNet-50.

# %%
from torch import nn

from cnnhistory import models


def without_gates(model):
    """Cambia cada módulo SE por la identidad."""
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SqueezeExcitation):
                setattr(parent, name, nn.Identity())
    return model


with torch.device("meta"):
    bare = without_gates(SEResNet(SEBottleneck, RESNET50))
price = {}
for name, model in {"con compuertas": seresnet50, "sin ellas": bare}.items():
    macs = inspection.count_macs(model, (3, 224, 224))
    price[name] = inspection.count_parameters(model), macs
    count = inspection.thousands(price[name][0])
    print(f"{name:<15}{count:>11} parámetros, {macs / 1e9:.3f} mil millones de MACs")
more, more_macs = (a / b - 1 for a, b in zip(*price.values(), strict=True))
print(f"de más:        {more:>10.1%}                {more_macs:.2%}")
assert price["sin ellas"][0] == models.CATALOG["resnet50"].parameters == 25_557_032
assert price["con compuertas"][0] == 28_088_024
assert 0.09 < more < 0.11
assert more_macs < 0.001

# %% [markdown]
# Casi no cuesta operaciones: la compuerta trabaja una vez por imagen y no una vez por posición. Pero
# parámetros sí: uno de cada diez. Y el artículo da la fórmula, con $N_s$ bloques de $C_s$ canales en cada
# etapa: $\frac{2}{r}\sum_s N_s C_s^2$, más los sesgos.

# %%
weights_by_stage = [2 * depth * width**2 // 16 for depth, width in RESNET50]
biases = sum(depth * (width + width // 16) for depth, width in RESNET50)
assert sum(weights_by_stage) + biases == price["con compuertas"][0] - price["sin ellas"][0]
for (depth, width), count in zip(RESNET50, weights_by_stage, strict=True):
    print(f"{depth} bloques de {width:>4} canales: {inspection.thousands(count):>9}")
print(f"la última etapa se lleva el {weights_by_stage[-1] / sum(weights_by_stage):.0%}")
assert weights_by_stage[-1] > 0.6 * sum(weights_by_stage)

# %% [markdown]
# Crece con el cuadrado de los canales, así que el gasto está al final. Las cuentas de las tres redes del
# catálogo, contra las de sus versiones publicadas:

# %%
with torch.device("meta"):
    seresnext50 = models.create("seresnext50_32x4d")
counts = {
    name: inspection.count_parameters(network)
    for name, network in (
        ("SE-ResNet-50", seresnet50),
        ("SE-ResNeXt-50 32×4d", seresnext50),
        ("SENet-154", senet154),
    )
}
for name, count in counts.items():
    print(f"{name:<22}{inspection.thousands(count):>12}")
assert list(counts.values()) == [28_088_024, 27_559_896, 115_088_984]

# %% [markdown]
# ## Prueba de fidelidad: contra timm, y a mano { #fidelidad }
#
# La SE-ResNet-50 de referencia es la de timm, que conserva los pesos de los autores. Le damos pesos y
# estadísticas al azar, los pasamos a la nuestra y comparamos salidas en doble precisión, en los dos modos. Para esta
# celda hace falta timm, que no viene con el paquete: `pip install timm`.

# %%
import math
import warnings

warnings.filterwarnings("ignore", message="IProgress not found")  # timm: no hay barra que dibujar

import timm

from cnnhistory import weights

generator = torch.Generator().manual_seed(7)
with torch.device("meta"):
    theirs = timm.create_model("legacy_seresnet50", drop_rate=0.0)
    ours = models.create("seresnet50")
theirs = theirs.to_empty(device="cpu").double()
for key, value in theirs.state_dict().items():
    if value.ndim > 1:
        value.normal_(0, math.sqrt(2 / value[0].numel()), generator=generator)
    elif key.endswith("num_batches_tracked"):
        value.zero_()
    else:
        value.uniform_(0.5, 1.5, generator=generator)
converted = weights.convert("seresnet50", theirs.state_dict())
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
# Y el módulo, contra la ecuación escrita con bucles, sin una sola operación de redes:

# %%
torch.manual_seed(0)
module = SqueezeExcitation(8, reduction=4).double()
x = torch.randn(2, 8, 5, 5, dtype=torch.float64)
first, second = module.excite[0], module.excite[2]
slow = x.clone()
for n in range(2):
    z = [sum(x[n, c].flatten().tolist()) / 25 for c in range(8)]
    hidden = [
        max(0.0, sum(w * v for w, v in zip(row, z, strict=True)) + bias)
        for row, bias in zip(first.weight.tolist(), first.bias.tolist(), strict=True)
    ]
    for c in range(8):
        total = sum(w * h for w, h in zip(second.weight[c].tolist(), hidden, strict=True))
        slow[n, c] *= 1 / (1 + math.exp(-(total + second.bias[c].item())))
assert torch.allclose(module(x), slow, atol=1e-12)

# %% [markdown]
# ## Entrenamiento con imágenes de verdad { #entrenamiento }
#
# La mini es la ResNet mini con una compuerta en cada uno de sus seis bloques. Con 16, 32 y 64 canales, una
# reducción de 16 dejaría cinturas de una neurona; por eso aquí es de 4.
#
# <!-- generado: ficha senet_mini -->

# %% tags=["fuente"]
from cnnhistory.models.senet import SENetMini, SEResidualBlock

# %%
assert SENetMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)

# %%
from cnnhistory import data, training

SEED = 0

train, test = data.fashion_mnist("mini")
train, validation = data.split(train, fraction=0.1, seed=SEED)
normalize = data.normalization(train)


def batches(part, size=500, shuffle=False):
    return data.Batches(part, size, shuffle=shuffle, seed=SEED, transform=normalize)


torch.manual_seed(SEED)
mini = SENetMini()
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

# %% alt="Dos gráficas con dos épocas de SENet mini: las pérdidas de entrenamiento y de validación bajan y el acierto en validación sube." caption="Dos vueltas a nueve mil imágenes."
plotting.curves(history, "SENet mini")

# %% alt="Diez prendas mal clasificadas; sobre cada una, lo que era y lo que dijo la red: casi todas, prendas de arriba confundidas entre sí o calzado por otro calzado." caption="Los diez errores más seguros: lo que era → lo que dijo la red."
mini.eval()
with torch.inference_mode():
    logits = torch.cat([mini(x) for x, _ in batches(test)])
predictions = logits.argmax(1)
confidence = logits.softmax(1).max(1).values
mistakes = (predictions != test.labels).nonzero().flatten()
mistakes = mistakes[confidence[mistakes].argsort(descending=True)][:10]
titles = [f"{test.classes[test.labels[i]]} → {test.classes[predictions[i]]}" for i in mistakes]
plotting.image_grid(test.images[mistakes], titles, columns=5, size=1.4)

# %% [markdown]
# ¿Ayudaron las compuertas? La [carrera grabada](../resultados/carrera-justa.py#resultado) lo responde con las
# 60 000 imágenes y tres semillas: **no se nota**. SENet mini y ResNet mini empatan, dentro de lo que cambia
# cada una de una semilla a otra. En ImageNet, con mil clases y cientos de canales por bloque, hay más que
# elegir. Con diez prendas y 64 canales, poco. No por eso las compuertas están quietas.
#
# <!-- generado: grabada senet_mini -->

# %% [markdown]
# ## Lo que aprendió: qué hacen las compuertas { #aprendio }
#
# ### Por clase { #por-clase }
#
# El artículo promedia los factores de cada canal sobre las fotos de una clase, en varias profundidades, y los
# dibuja. Hacemos lo mismo con las imágenes de validación.


# %%
@torch.inference_mode()
def gates_by_block(model, part):
    """Los factores de cada compuerta con cada imagen: una lista de tensores (imágenes, canales)."""
    model.eval()
    modules = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    seen = [[] for _ in modules]
    handles = [
        module.excite.register_forward_hook(lambda _, inputs, output, k=k: seen[k].append(output))
        for k, module in enumerate(modules)
    ]
    for x, _ in batches(part):
        model(x)
    for handle in handles:
        handle.remove()
    return [torch.cat(parts) for parts in seen]


gates = gates_by_block(mini, validation)
labels = validation.labels
by_class = [torch.stack([g[labels == c].mean(0) for c in range(10)]) for g in gates]
print([tuple(block.shape) for block in by_class])

# %% alt="Tres paneles con los factores medios de cuatro clases en cada canal. En el bloque 1, las cuatro líneas van casi juntas, cerca de 0.5. En el bloque 4 se separan algo. En el bloque 6, con 64 canales, las líneas se cruzan y van desde cerca de 0 hasta cerca de 1." caption="Factor medio de cada canal para cuatro clases, en el primer bloque, en el cuarto y en el último. Los canales están ordenados por su factor medio."
import matplotlib.pyplot as plt

with plotting.style():
    figure, axes = plt.subplots(1, 3, figsize=(7.4, 2.7), sharey=True, width_ratios=[2, 3, 4])
    for axis, block in zip(axes, (0, 3, 5), strict=True):
        order = by_class[block].mean(0).argsort()
        for name, marker in {"pantalón": "o", "camisa": "s", "bolso": "^", "botín": "D"}.items():
            curve = by_class[block][test.classes.index(name), order]
            axis.plot(curve, marker=marker, markersize=3, linewidth=1, label=name)
        axis.set(title=f"bloque {block + 1}", xlabel="canal", ylim=(0, 1))
        axis.grid(alpha=0.25, color=plotting.INK)
    axes[0].set_ylabel("factor")
    handles, texts = axes[0].get_legend_handles_labels()
    figure.legend(handles, texts, ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.02))
    figure.tight_layout(rect=(0, 0.08, 1, 1))

# %% [markdown]
# ### Por profundidad { #por-profundidad }
#
# Pongámosle número. Para cada canal, cuánto varía su factor **de una clase a otra**, y cuánto de una imagen a
# otra **dentro de una clase**. Promediamos sobre los canales.

# %%
print("bloque   factor medio   entre clases   dentro de una clase")
between, within = [], []
for number, (block, means) in enumerate(zip(gates, by_class, strict=True), start=1):
    between.append(means.std(0).mean().item())
    within.append((block - means[labels]).std(0).mean().item())
    print(f"{number:>6}   {block.mean():>12.2f}   {between[-1]:>12.3f}   {within[-1]:>19.3f}")
early, late = sum(between[:2]) / 2, sum(between[4:]) / 2
assert late > 1.5 * early
assert between[5] > within[5]
assert all(0.3 < block.mean() < 0.7 for block in gates)

# %% [markdown]
# Es lo que cuenta el artículo: en las primeras capas los factores se parecen en todas las clases; en las
# hondas, cada clase tiene los suyos. Tiene sentido. Un borde le sirve a cualquier prenda; un canal del final
# ya casi es una opinión sobre cuál es.
#
# La primera columna desmiente otra imagen fácil: las compuertas no son llaves que dejan pasar o
# apagan. De media están a **medio volumen**. En promedio multiplican por un medio, y el resto de la red se
# acostumbró a eso.

# %% [markdown]
# ## El experimento: ¿hace falta mirar la imagen? { #experimento }
#
# Una compuerta hace dos cosas a la vez. Da a cada canal un volumen *fijo*, su media, y lo mueve con cada
# imagen. Lo primero no tiene nada de especial: lo puede hacer la escala de la normalización. ¿Cuánto vale lo
# segundo? Tomamos la red ya entrenada y cambiamos los factores sin tocar nada más:
#
# - los de **su imagen**, como siempre;
# - los **medios**: cada canal, siempre el suyo;
# - los de **otra imagen** del lote, al azar;
# - todos en **uno**, como si no hubiera compuerta.


# %%
class Replaced(nn.Module):
    """Ocupa el lugar de las dos capas densas y da otros factores."""

    def __init__(self, rule):
        super().__init__()
        self.rule = rule

    def forward(self, squeezed):
        return self.rule(squeezed)


def with_gates(model, rule):
    """Mide en validación con los factores de `rule(bloque, densas)`; la red queda igual."""
    modules = [m for m in model.modules() if isinstance(m, SqueezeExcitation)]
    originals = [module.excite for module in modules]
    for k, module in enumerate(modules):
        module.excite = Replaced(rule(k, originals[k]))
    metrics = training.evaluate(model, batches(validation))
    for module, original in zip(modules, originals, strict=True):
        module.excite = original
    return metrics


torch.manual_seed(SEED)
averages = [block.mean(0).clone() for block in gates]
rules = {
    "su imagen": lambda k, excite: excite,
    "medios": lambda k, excite: lambda z: averages[k].expand(len(z), -1),
    "otra imagen": lambda k, excite: lambda z: excite(z)[torch.randperm(len(z))],
    "uno": lambda k, excite: torch.ones_like,
}
swapped = {name: with_gates(mini, rule) for name, rule in rules.items()}
for name, metrics in swapped.items():
    print(f"{name:<12} pérdida {metrics.loss:.3f}   acierto {metrics.top1:.1%}")
assert swapped["su imagen"].loss < swapped["medios"].loss < swapped["otra imagen"].loss
assert swapped["otra imagen"].loss < swapped["uno"].loss
assert swapped["uno"].top1 < swapped["su imagen"].top1 - 0.03
assert swapped["medios"].top1 > swapped["su imagen"].top1 - 0.08
lost = {name: metrics.loss - swapped["su imagen"].loss for name, metrics in swapped.items()}
assert lost["medios"] < 0.5 * lost["uno"]  # la mayor parte es un volumen fijo

# %% [markdown]
# Léelo de abajo arriba:
#
# - **Uno** rompe la red. No prueba que las compuertas sean sabias: prueba que la red contaba con su medio
#   volumen.
# - **Otra imagen** cuesta: los factores llevan información de la foto, y la de otra estorba.
# - **Medios** pierde poco. La mayor parte de lo que hacen aquí las compuertas es un volumen fijo por
#   canal.
# - Lo que depende de la imagen es el último peldaño. Existe, se mide, y es pequeño. Es coherente con el
#   empate de la carrera.
#
# ¿Y dónde está ese peldaño? Dejemos fijo un solo bloque cada vez.

# %%
alone = []
for block in range(len(gates)):

    def only_here(k, excite, block=block):
        return rules["otra imagen" if k == block else "su imagen"](k, excite)

    metrics = with_gates(mini, only_here)
    alone.append(metrics.loss - swapped["su imagen"].loss)
    print(f"bloque {block + 1} con los factores de otra imagen: {alone[-1]:+.3f} nats")
assert sum(alone[4:]) > sum(alone[1:3])

# %% [markdown]
# Juntos, los dos últimos bloques cuestan más que el segundo y el tercero. Es lo que haría pensar la tabla por
# profundidad. El primer bloque, que apenas distingue clases, va por libre: según la semilla, no cuesta nada o es el
# que más cuesta. Distinguir clases no es lo único que puede hacer una compuerta.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Añadir compuertas a una red ya entrenada { #red-entrenada }
#
# Parece inofensivo: tomas una ResNet entrenada, metes una compuerta por bloque y sigues entrenando. Pero una
# compuerta recién nacida no es neutra: su salida es $\sigma(0) = 0.5$, más o menos, en todos los canales. Le
# bajas el volumen a la mitad a cada bloque.

# %%
from cnnhistory.models.resnet import CifarResidualBlock, ResNetMini

torch.manual_seed(SEED)
resnet = ResNetMini()
few = train[::3]
training.train(resnet, batches(few, 32, True), batches(validation), epochs=2, lr=0.1)


def add_gates(model, bias):
    """Añade una compuerta a cada bloque, con ese sesgo en su última capa."""
    for block in model.modules():
        if isinstance(block, CifarResidualBlock):
            gate = SqueezeExcitation(block.residual[-1][0].out_channels, reduction=4)
            nn.init.constant_(gate.excite[2].bias, bias)
            block.residual.append(gate)
    return model


import copy

torch.manual_seed(SEED)
measured = {"sin compuertas": training.evaluate(resnet, batches(validation))}
for name, bias in {"recién nacidas": 0.0, "con sesgo 4": 4.0}.items():
    measured[name] = training.evaluate(add_gates(copy.deepcopy(resnet), bias), batches(validation))
for name, metrics in measured.items():
    print(f"{name:<15} pérdida {metrics.loss:.3f}   acierto {metrics.top1:.1%}")
assert measured["recién nacidas"].loss > measured["sin compuertas"].loss + 0.1
assert abs(measured["con sesgo 4"].loss - measured["sin compuertas"].loss) < 0.1

# %% [markdown]
# El arreglo es que nazcan abiertas. Con un sesgo de 4 en la última capa, $\sigma(4) = 0.98$: la red es casi
# la de antes y la compuerta aprende a cerrarse donde haga falta.
#
# ### Una cintura de cero neuronas { #cintura }
#
# La división entera no perdona. Con 16 canales y la reducción de 16 del artículo queda una neurona, y si la
# ReLU la apaga, la compuerta ya no mira nada. Con 8 canales no queda ninguna. PyTorch construye la capa
# igual, con apenas un aviso.

# %%
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    excite = nn.Sequential(nn.Linear(8, 8 // 16), nn.ReLU(), nn.Linear(8 // 16, 8), nn.Sigmoid())
print("aviso:", caught[0].message)
with torch.inference_mode():
    answers = excite(torch.randn(1000, 8))
print(f"neuronas en medio: {excite[0].out_features}")
print(f"cuánto cambian los factores con la imagen: {answers.std(0).max():.0f}")
assert excite[0].out_features == 0
assert answers.std(0).max() == 0

try:
    SqueezeExcitation(8, reduction=16)
except ValueError as error:
    refusal = str(error)
    print("la nuestra:", refusal)
assert "ninguna neurona" in refusal

# %% [markdown]
# Mil imágenes distintas, los mismos factores. La red entrena, no falla, y tiene el precio de SENet sin SENet.
# Compruébalo siempre: pasa dos imágenes y mira si los factores cambian. Un mínimo de
# neuronas, como `max(8, channels // reduction)`, lo evita. La nuestra prefiere negarse y decir por qué.
#
# ### Comparar con otra ResNet-50 { #otra-resnet }
#
# Busca en dos tablas las MACs de ResNet-50 y de SE-ResNet-50 y puedes concluir que añadir compuertas
# **abarata** la red:

# %%
for name in ("resnet50", "seresnet50"):
    card = models.CATALOG[name]
    print(f"{card.label:<14}{card.macs / 1e9:.2f} mil millones de MACs")
print(f"{'SE, sin SE':<14}{price['sin ellas'][1] / 1e9:.2f}")
assert models.CATALOG["seresnet50"].macs < models.CATALOG["resnet50"].macs
assert price["sin ellas"][1] < models.CATALOG["seresnet50"].macs

# %% [markdown]
# No son la misma ResNet-50. La de SE lleva el paso en la primera 1×1 de cada etapa, como el artículo de 2015;
# la que casi todos usan hoy, en la 3×3, que ve más posiciones y cuesta más. Para saber lo que cuesta una
# pieza, compara la red con y sin *esa* pieza. Lo mismo vale para el acierto.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** ¿Cuántos parámetros tiene la compuerta del último bloque de SE-ResNet-50, con 2048 canales
# y $r = 16$? ¿Cuántas multiplicaciones hace por imagen? ¿Y la 3×3 del mismo bloque, de 512 a 512 canales
# sobre un mapa de 7×7?

# %% tags=["solucion"]
gate = inspection.count_parameters(SqueezeExcitation(2048))
gate_macs, convolution_macs = 2 * 2048 * 128, 9 * 512 * 512 * 7 * 7
print(f"{gate} parámetros, {gate_macs} MACs; la 3×3, {9 * 512 * 512} y {convolution_macs}")
assert gate == 2 * 2048 * 128 + 128 + 2048
assert convolution_macs > 200 * gate_macs

# %% [markdown]
# **2. Calcula.** ¿Cuánto encarece la ResNet-50, en parámetros, una reducción de 2, 4, 8, 16 y 32? ¿Y si con
# $r = 16$ se quitan las compuertas de la última etapa?

# %% tags=["solucion"]
base = price["sin ellas"][0]
extra = {}
for reduction in (2, 4, 8, 16, 32):
    extra[reduction] = sum(
        depth * (2 * width * (width // reduction) + width // reduction + width)
        for depth, width in RESNET50
    )
    print(f"r = {reduction:>2}: {extra[reduction] / base:+.1%}")
last_stage = 3 * inspection.count_parameters(SqueezeExcitation(2048))
print(f"r = 16 sin las de la última etapa: {(extra[16] - last_stage) / base:+.1%}")
assert extra[16] == price["con compuertas"][0] - base
assert (extra[16] - last_stage) / base < 0.04

# %% [markdown]
# **3. Demuestra.** Dijimos que un volumen fijo por canal lo puede hacer la normalización. Hazlo: quita las
# compuertas de la mini y mete sus factores *medios* en la última normalización de cada bloque. Las salidas
# deben ser las de la fila «medios».

# %% tags=["solucion"]
folded = copy.deepcopy(mini).eval()
blocks = [module for module in folded.modules() if isinstance(module, SEResidualBlock)]
for block, average in zip(blocks, averages, strict=True):
    norm = block.residual[2][1]
    with torch.no_grad():
        norm.weight.mul_(average)
        norm.bias.mul_(average)
    block.residual = block.residual[:3]  # sin la compuerta
result = training.evaluate(folded, batches(validation))
count = inspection.thousands(inspection.count_parameters(folded))
print(f"pérdida {result.loss:.3f}, acierto {result.top1:.1%}, con {count} parámetros")
assert abs(result.loss - swapped["medios"].loss) < 0.01
assert inspection.count_parameters(folded) == models.CATALOG["resnet_mini"].parameters

# %% [markdown] tags=["solucion"]
# Es una ResNet mini, sin un parámetro de más, y pierde muy poco. Así se ve qué parte de SENet es de verdad
# nueva: la que no se puede doblar dentro de los pesos, porque cambia con la imagen.

# %% [markdown]
# **4. Inventa.** Los factores del último bloque son 64 números por imagen que nadie pidió que sirvieran para
# clasificar. Con *solo* esos números, clasifica cada imagen de validación por la clase cuya media de factores
# esté más cerca (calcula las medias con imágenes de entrenamiento). Haz lo mismo con los del primer bloque.

# %% tags=["solucion"]
shelf = train[:2000]
learned = gates_by_block(mini, shelf)
accuracy = {}
for block in (0, 5):
    centers = torch.stack([learned[block][shelf.labels == c].mean(0) for c in range(10)])
    nearest = torch.cdist(gates[block], centers).argmin(1)
    accuracy[block] = (nearest == labels).double().mean().item()
    print(f"bloque {block + 1}: {accuracy[block]:.1%} con {gates[block].shape[1]} factores")
assert accuracy[5] > accuracy[0] + 0.05
assert accuracy[0] > 0.2

# %% [markdown] tags=["solucion"]
# Con los del último bloque se acierta mucho, y hasta los del primero dicen algo: su promedio ya separa una
# prenda clara y ancha de una oscura y estrecha.

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# SENet dejó una pieza que se añade en una línea, y una idea que iba a crecer: que los pesos con que se
# mezclan las cosas **dependan de lo que se está mirando**. Eso es atención, y lo que vino después se cuenta
# en [Después de ImageNet](../historia/despues-de-imagenet.py). Con ella termina la carrera que empezó con
# [AlexNet](alexnet.py). Un año antes, [DenseNet](densenet.py) había hecho la pregunta contraria: no a qué
# hacer caso, sino cómo no perder nada.
#
# **En el paquete:** [`SqueezeExcitation`][cnnhistory.models.senet.SqueezeExcitation],
# [`SEResNet`][cnnhistory.models.senet.SEResNet], [`SENet154`][cnnhistory.models.senet.SENet154] y
# [`ilsvrc.results`][cnnhistory.ilsvrc.results]. La comparación de las tres redes con timm está en
# [Fidelidad](../resultados/fidelidad.py).
#
# [^hu]: [Hu, Shen y otros (2017)](../referencia/bibliografia.md#hu2017).
# [^repositorio]: La tabla de modelos del [repositorio de los autores](https://github.com/hujie-frank/SENet),
#     que la presenta como una de las redes con que ganaron; la volvieron a entrenar para publicarla.
