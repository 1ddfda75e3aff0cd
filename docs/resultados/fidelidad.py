# %% [markdown]
# # Fidelidad: las mismas cuentas que la referencia
#
# Este sitio muestra una ResNet-50 de cien líneas. **¿Cómo sabes que es la ResNet-50 y no algo que se le
# parece?** Contar parámetros ayuda, pero no basta: un paso de más, un relleno de menos o una ReLU cambiada
# de lugar dejan la cuenta igual y la red es otra.
#
# La prueba que no deja dudas es otra. Tomamos la red de referencia, la de torchvision o la de timm, con
# pesos al azar. Pasamos esos mismos pesos a la nuestra. Les mostramos la misma imagen. Si las dos redes
# hacen las mismas cuentas, las salidas coinciden.
#
# ## La prueba, una vez y despacio
#
# Con la ResNet-18. Los pesos de torchvision llegan con sus nombres (`layer1.0.conv1.weight`);
# [`convert`][cnnhistory.weights.convert] los traduce a los nuestros (`stages.0.0.residual.0.0.weight`). Si copias esta
# página, te harán falta timm e IPython, que no vienen con el paquete: `pip install timm` y `pip install IPython`.

# %%
import math
import time
import warnings

warnings.filterwarnings("ignore", message="IProgress not found")  # timm: no hay barra que dibujar

import timm
import torch
import torchvision
from torch import nn

from cnnhistory import inspection, models, weights

theirs = torchvision.models.resnet18().eval()
ours = models.create("resnet18").eval()
ours.load_state_dict(weights.convert("resnet18", theirs.state_dict()), strict=True)

image = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
with torch.inference_mode():
    a, b = ours(image), theirs(image)
print("las tres primeras salidas, las nuestras:", [f"{x:.4f}" for x in a[0, :3]])
print("y las de torchvision:                   ", [f"{x:.4f}" for x in b[0, :3]])
print("mayor diferencia:", (a - b).abs().max().item())
assert torch.allclose(a, b, rtol=1e-5)

# %% [markdown]
# `strict=True` es la mitad de la prueba: no sobra ni falta un solo tensor. La otra mitad son las salidas.
#
# ## Todas
#
# Los pesos recién inicializados son demasiado cómodos: las medias son 0 y las varianzas 1, y un error en la
# normalización por lotes pasaría inadvertido. Por eso cada red de referencia recibe aquí pesos,
# sesgos, medias y varianzas al azar. AlexNet, VGG y GoogLeNet reciben imágenes de 224×224, y se comparan en
# precisión simple. Las demás terminan en un promedio global y aceptan imágenes de 48×48; son tan hondas que
# el redondeo se acumula, así que se comparan en doble precisión: la diferencia es la de las redes. Y todas, en
# sus dos modos: el de evaluación y el de entrenamiento, sin dropout.

# %%
TIMM = {
    "seresnet50": "legacy_seresnet50",
    "seresnext50_32x4d": "legacy_seresnext50_32x4d",
    "senet154": "legacy_senet154",
}


def reference(name):
    """La red de referencia, sin gastar tiempo en pesos que se van a sustituir."""
    with torch.device("meta"):
        if name in TIMM:
            model, source = timm.create_model(TIMM[name]), f"timm, `{TIMM[name]}`"
        elif name.startswith("googlenet"):
            model = torchvision.models.GoogLeNet(
                aux_logits=name.endswith("aux"), init_weights=False, transform_input=False
            )
            source = "torchvision, `googlenet`" + (" con auxiliares" if model.aux_logits else "")
        else:
            known = name.removesuffix("_owt")
            model, source = torchvision.models.get_model(known), f"torchvision, `{known}`"
    return model.to_empty(device="cpu"), source


def randomize(model, seed=7):
    """Pesos y estadísticas al azar, de un tamaño que no apague la señal."""
    generator = torch.Generator().manual_seed(seed)
    for key, value in model.state_dict().items():
        if value.ndim > 1:
            value.normal_(0, math.sqrt(2 / math.prod(value.shape[1:])), generator=generator)
        elif key.endswith("num_batches_tracked"):
            value.zero_()
        elif key.endswith(("running_var", "weight")):
            value.uniform_(0.5, 1.5, generator=generator)
        else:
            value.normal_(0, 0.1, generator=generator)
    model.drop_rate = 0.0  # el dropout de timm es una función, no una capa


def without_dropout(model):
    """La misma red, con sus capas de dropout apagadas."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def outputs(result):
    """Todas las salidas, en un mismo orden: torchvision da las auxiliares al revés."""
    if hasattr(result, "aux_logits1"):
        return result.logits, result.aux_logits1, result.aux_logits2
    return result if isinstance(result, tuple) else (result,)


def largest_difference(name):
    """La mayor diferencia relativa entre la red de referencia y la nuestra, en los dos modos."""
    theirs, source = reference(name)
    randomize(theirs)
    with torch.device("meta"):
        ours = models.create(name)
    ours.load_state_dict(weights.convert(name, theirs.state_dict()), strict=True, assign=True)
    full = name.startswith(("alexnet", "vgg", "googlenet"))
    side, dtype = (224, torch.float32) if full else (48, torch.float64)
    ours, theirs = without_dropout(ours).to(dtype), without_dropout(theirs).to(dtype)
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(3)).to(dtype)
    worst = 0.0
    with torch.inference_mode():
        for training in (False, True):
            pairs = zip(
                outputs(ours.train(training)(images)),
                outputs(theirs.train(training)(images)),
                strict=True,
            )
            worst = max(worst, *(float((a - b).abs().max() / b.abs().max()) for a, b in pairs))
    return source, worst


proofs = {}


def compare(*families):
    """Compara las redes de unas familias y anota el resultado."""
    start = time.perf_counter()
    names = [name for name in weights.published() if name.startswith(families)]
    proofs.update((name, largest_difference(name)) for name in names)
    print(f"{len(names)} redes comparadas en {time.perf_counter() - start:.0f} segundos")


# %% [markdown]
# Primero, AlexNet y las VGG, que tienen más parámetros; después, GoogLeNet y las residuales; al final, las
# densas y las SE.

# %% tags=["tiempos"]
compare("alexnet", "vgg")

# %% tags=["tiempos"]
compare("googlenet", "resnet", "resnext")

# %% tags=["tiempos"]
compare("densenet", "se")
assert list(proofs) == weights.published()

# %% [markdown]
# La tabla sale de esas tres corridas y de las fichas del catálogo. Un cero quiere decir que las dos redes dieron
# los mismos bits; lo que no es cero es el redondeo de sumar en otro orden.

# %%
from IPython.display import Markdown, display

rows = [
    "| Red | Referencia | Parámetros | MACs | Mayor diferencia |",
    "| --- | --- | --: | --: | --: |",
]
for name, (source, difference) in proofs.items():
    card = models.CATALOG[name]
    counts = map(inspection.thousands, (card.parameters, card.macs))
    rows.append(f"| `{name}` | {source} | {' | '.join(counts)} | {difference:.0e} |")
    assert difference < 1e-5, (name, difference)
display(Markdown("\n".join(rows).replace("0e+00", "0")))

# %% [markdown]
# El de `senet154` parece grande para la doble precisión. Con estos pesos, la señal crece bloque tras bloque hasta los
# millones, y el redondeo crece con ella. La red de timm se aparta otro tanto de sí misma si a la imagen se le cambia
# la última cifra:

# %%
theirs, _ = reference("senet154")
randomize(theirs)
theirs = without_dropout(theirs).double().eval()
images = torch.randn(2, 3, 48, 48, generator=torch.Generator().manual_seed(3)).double()
with torch.inference_mode():
    exact, nudged = theirs(images), theirs(images * (1 + 2**-52))
change = float((exact - nudged).abs().max() / exact.abs().max())
print(f"la mayor salida: {exact.abs().max():.0e}; al tocar la última cifra cambia {change:.0e}")
assert exact.abs().max() > 1e6
assert change > proofs["senet154"][1] / 10

# %% [markdown]
# ## Y las que no tienen referencia
#
# Ni torchvision ni timm traen la LeNet-5 de 1998, la AlexNet de dos torres, ZFNet, NiN, All-CNN ni la GoogLeNet sin
# normalización. Esas se prueban de otra manera, cada una en la sección «Prueba de fidelidad» de su página: por ejemplo,
# contra otra implementación, escrita aparte a partir del artículo, como en
# [LeNet-5](../arquitecturas/lenet-5.py) y en [AlexNet](../arquitecturas/alexnet.py). Los parámetros de todas
# se comparan con los del artículo en las pruebas del paquete.
#
# ## Para qué sirve
#
# Para creer en el código de las páginas, y para algo más práctico: si las cuentas son las mismas, los pesos
# oficiales de ImageNet sirven en nuestras redes. Con conexión, esto los descarga, comprueba su huella y los
# traduce:
#
# ```text
# model = models.create("resnet50", weights="imagenet")
# normalize = weights.normalization("resnet50")
# ```
