# %% [markdown]
# # All-CNN (2014): ¿y si todo fueran convoluciones?
#
# AlexNet, VGG y casi todas las redes de entonces resumen igual: parten el mapa en cuadritos y de cada uno se quedan con el mayor.
# ¿Quién decidió que había que quedarse con el mayor? Nadie lo aprendió de los datos. Es una regla
# escrita a mano en medio de una red en la que todo lo demás se aprende.
#
# En diciembre de 2014, cuatro investigadores se preguntaron cuántas piezas de una red hacen falta de verdad. Quitaron el
# pooling, las capas densas, la normalización y los trucos de moda, y se quedaron con una sola: la convolución. En esta
# página haces lo mismo. Verás que resumir también se puede aprender, cuánto cuesta, recorrerás fila por fila una red famosa por
# su sencillez, y la medirás contra las que conservan el pooling.
#
# <!-- generado: ficha allcnn_c -->

# %% [markdown]
# ## Quitar hasta que falle { #historia }
#
# ### Lo que se creía { #se-creia }
#
# La plantilla era la de siempre: convolución y pooling máximo, alternados, y unas capas densas al final. Lo que se
# publicaba eran añadidos: activaciones nuevas, maneras nuevas de hacer pooling, regularizaciones, aumentación. Cada uno
# bajaba el error unas décimas **encima** de todo lo demás. ¿Cuáles de las piezas de abajo seguían haciendo falta? Nadie las
# estaba quitando.
#
# ### Quién lo cambió { #quien }
#
# Jost Tobias Springenberg, Alexey Dosovitskiy, Thomas Brox y Martin Riedmiller. Su artículo se titula *Striving for
# Simplicity*, algo así como «en busca de la sencillez», y es un experimento de ablación: una red base y tres versiones que solo cambian la manera de
# reducir el mapa. La probaron en CIFAR-10, que son fotos de 32×32 en diez clases: un conjunto mucho más pequeño que
# ImageNet, y por eso la red también lo es.[^articulo]
#
# | Red | Cómo reduce el mapa | Error en CIFAR-10 |
# | --- | --- | ---: |
# | C, la base | pooling máximo | 9.74 % |
# | *Strided-CNN-C* | la convolución de antes da pasos de 2, sin pooling | 10.19 % |
# | *ConvPool-CNN-C* | una convolución más, y pooling máximo | 9.31 % |
# | **All-CNN-C** | una convolución más, que da pasos de 2 | **9.08 %** |
#
# Son los errores sin aumentar los datos; con recortes y reflejos, All-CNN-C baja a 7.25 %. Lee la tabla con cuidado, porque
# está mejor diseñada de lo que parece. Si solo compararas la primera fila con la última, la ganancia podría
# venir de la convolución añadida y no de quitar el pooling. Para eso está la tercera: tiene las mismas convoluciones que
# All-CNN **y además** pooling. Y no gana. Esa es la conclusión, y es modesta: en estos datos, el pooling
# *se puede sustituir sin perder acierto*. No que estorbe.

# %% [markdown]
# ## La idea: resumir también se aprende { #idea }
#
# ### El promedio ya era una convolución { #promedio }
#
# Seis píxeles. Resumamos cada pareja en un número, de tres maneras.

# %%
import torch
from torch.nn import functional as F

row = torch.tensor([[3.0, 7, 4, 0, 5, 1]])


def stride2(weights, pixels=row):
    """Una ventana de dos pesos que avanza de dos en dos."""
    return F.conv1d(pixels, torch.tensor([[weights]]), stride=2)[0].tolist()


print("fila:           ", row[0].int().tolist())
print("máximo:         ", F.max_pool1d(row, 2)[0].tolist())
print("promedio:       ", F.avg_pool1d(row, 2)[0].tolist())
print("pesos ½ y ½:    ", stride2([0.5, 0.5]))
print("pesos −1 y 1:   ", stride2([-1.0, 1.0]))
assert stride2([0.5, 0.5]) == F.avg_pool1d(row, 2)[0].tolist()

# %% [markdown]
# Una convolución que avanza de dos en dos también reduce a la mitad. Con los pesos ½ y ½ **es** el pooling promedio. Con −1 y 1
# dice otra cosa: dónde sube y dónde baja. Y si los pesos se aprenden, dirá lo que convenga.
#
# ¿Y el máximo? No es una suma de píxeles, así que una convolución sola no puede. Con una ReLU y otra
# convolución, sí:
#
# $$ \max(a, b) = a + \mathrm{ReLU}(b - a) $$
#
# Si $b$ es mayor, el segundo término pone lo que falta; si no, pone cero. Con la primera pareja: $3 + \mathrm{ReLU}(7 - 3) = 7$.

# %%
first = torch.tensor([[[1.0, 0.0]], [[-1.0, 1.0]]])  # dos filtros: «a» y «b − a»
second = torch.ones(1, 2, 1)  # una de 1: los suma
hidden = F.relu(F.conv1d(row[None], first, stride=2))
print(F.conv1d(hidden, second)[0, 0].tolist())
assert torch.equal(F.conv1d(hidden, second)[0], F.max_pool1d(row, 2))

# %% [markdown]
# La red puede aprender el máximo si le conviene (vale porque $a$ viene de una ReLU y no es negativo). También puede aprender algo
# mejor, y algo peor. Eso es todo el artículo en una línea: cambiar una regla fija por pesos.
#
# ### Lo que cuesta { #lo-que-cuesta }
#
# Una convolución con paso 2 hace la misma cuenta que una normal, y después tira tres de cada cuatro posiciones. Mejor
# dicho: no llega a calcularlas.

# %%
torch.manual_seed(0)
maps, kernel = torch.randn(1, 4, 8, 8), torch.randn(4, 4, 3, 3)
every = F.conv2d(maps, kernel, padding=1)
half = F.conv2d(maps, kernel, padding=1, stride=2)
print(tuple(every.shape), "→ una de cada dos, en cada eje →", tuple(half.shape))
assert torch.allclose(every[..., ::2, ::2], half, atol=1e-5)

# %% [markdown]
# Por eso hay dos maneras de quitar un pooling, y no son la misma. Puedes darle paso 2 a la convolución que ya tenías: sale
# más barato y se mira menos. O puedes poner una convolución nueva en el lugar del pooling: se mira igual y se paga.

# %% alt="Cuatro columnas de cajas. La base: convolución y pooling. Strided: una sola convolución de paso 2. ConvPool: dos convoluciones y pooling. All-CNN: una convolución y otra de paso 2." caption="Las cuatro maneras de reducir un mapa a la mitad que compara el artículo. Las de la familia C llevan delante una convolución de 3×3 más."
from cnnhistory import inspection, plotting

plotting.blocks(
    {
        "base": plotting.Block([["convolución 3×3", "pooling 3×3, paso 2"]]),
        "Strided": plotting.Block([["convolución, paso 2"]]),
        "ConvPool": plotting.Block([["convolución 3×3"] * 2 + ["pooling 3×3, paso 2"]]),
        "All-CNN": plotting.Block([["convolución 3×3", "convolución, paso 2"]]),
    }
)

# %% [markdown]
# ### Ni densas: que vote cada posición { #votos }
#
# Quedan las capas densas del final. All-CNN toma la salida de *Network in Network*: una convolución de 1×1 con tantos
# mapas como clases. Cada posición da su opinión sobre cada clase, y se promedian las opiniones. Ese promedio de un mapa entero se llama **pooling
# global promedio** (*global average pooling*). Con tres clases y un mapa de 2×2:

# %%
votes = torch.tensor([[[4.0, 2], [3, 3]], [[0, 1], [0, 3]], [[1, 1], [1, 1]]])  # (clases, 2, 2)
for name, each in zip(("gato", "perro", "pato"), votes, strict=True):
    print(f"{name:<6} {each.flatten().int().tolist()} → {each.mean().item()}")
assert votes.mean(dim=(1, 2)).tolist() == [3.0, 1.0, 1.0]

# %% [markdown]
# No tiene ni un peso. ¿Cuánto se ahorra? Pongamos en su lugar lo que se habría puesto en 2012: una densa oculta, aunque
# sea pequeña, de 512.

# %%
from torch import nn

from cnnhistory.models import CATALOG

dense_head = nn.Sequential(nn.Flatten(), nn.Linear(192 * 6 * 6, 512), nn.Linear(512, 10))
dense_count = inspection.count_parameters(dense_head)
whole = CATALOG["allcnn_c"].parameters
print(f"esa cabeza densa:     {inspection.thousands(dense_count)} parámetros")
print(f"All-CNN-C, completa:  {inspection.thousands(whole)}")
print(f"VGG-16 entre All-CNN: {CATALOG['vgg16'].parameters / whole:.0f}")
assert dense_count > 2 * whole
assert round(CATALOG["vgg16"].parameters / whole) == 101

# %% [markdown]
# La cabeza sola pesaría más del doble que la red. Y con eso se entiende lo que se suele decir de ella, que es mucho más pequeña que
# [VGG](vgg.py): unas cien veces. Es verdad, con una advertencia. VGG separa mil clases en fotos de 224×224, y esta, diez en
# 32×32.
#
# Hay otro regalo. Una capa densa exige un tamaño de imagen. Un promedio, no: All-CNN acepta la imagen que le des. Lo aprovecharás
# en el [segundo ejercicio](#ejercicios).

# %% [markdown]
# ## El código: una tabla y un bucle { #codigo }
#
# Las tres redes del artículo son tres tablas: canales, lado del filtro y paso. La clase las recorre.

# %% tags=["fuente"]
from cnnhistory.models.allcnn import ALLCNN_A, ALLCNN_B, ALLCNN_C, AllCNN

# %%
with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    allcnn = AllCNN()
table = inspection.shape_table(allcnn, (3, 32, 32))
assert allcnn(torch.zeros(2, 3, 32, 32, device="meta")).shape == (2, 10)
inspection.ShapeTable(row for row in table if row.kind not in ("ReLU", "Flatten"))

# %% alt="All-CNN-C dibujada de arriba abajo: nueve convoluciones y, al final, un pooling global. El mapa pasa de 32 a 16 y a 8 en las dos convoluciones de paso 2, y a 6 en una sin relleno. Los canales van de 3 a 96, a 192 y a 10. El corchete bajo cada bloque, lo que ve una posición, crece de 3 a 27 píxeles." caption="El viaje de una imagen por All-CNN-C. No hay más que un color, salvo el promedio del final, que no tiene pesos."
plotting.data_flow(table, (3, 32, 32))

# %% [markdown]
# ### Fila por fila { #fila-por-fila }
#
# Si la encuentras en unas diapositivas o en un cuaderno de Keras, verás una tabla como esta. Cada número se puede hacer con
# lápiz: un filtro tiene $k \times k$ pesos por cada canal que entra, y un sesgo.

# %%
slide = (2688, 83_040, 83_040, 166_080, 331_968, 331_968, 331_968, 37_056, 1930)
convolutions = [layer for layer in allcnn.modules() if isinstance(layer, nn.Conv2d)]
rows = [row for row in table if row.kind == "Conv2d"]
print("capa       salida       la cuenta              parámetros")
for number, (conv, shape_row, printed) in enumerate(
    zip(convolutions, rows, slide, strict=True), start=1
):
    side, entering, leaving = conv.kernel_size[0], conv.in_channels, conv.out_channels
    by_hand = leaving * (side * side * entering + 1)
    assert by_hand == printed == shape_row.parameters
    shape = "×".join(map(str, shape_row.output_shape))
    formula = f"{leaving} × ({side}·{side}·{entering} + 1)"
    mark = "  paso 2" if conv.stride == (2, 2) else ""
    print(f"conv {number}   {shape:<10}   {formula:<21}  {inspection.thousands(by_hand):>9}{mark}")
print("pooling    10                                          0")
print(f"{'total':<47} {inspection.thousands(sum(slide)):>9}")
assert sum(slide) == inspection.count_parameters(allcnn) == 1_369_738

# %% [markdown]
# Fíjate en el total, exacto, y en dos detalles que esas tablas no dejan ver.
#
# **Los 8×8 que eran 6×6.** Muchas versiones ponen relleno en todas las capas y su último mapa mide 8×8. En el artículo, la última
# de 3×3 va sin relleno y deja 6×6. Los parámetros son los mismos: contar no distingue una red de la otra.

# %%
with torch.device("meta"):
    padded = AllCNN()
    padded.features[-4].padding = (1, 1)
assert inspection.count_parameters(padded) == inspection.count_parameters(allcnn)
for name, net in {"como el artículo": allcnn, "con relleno": padded}.items():
    maps = net.head[0](net.features(torch.zeros(1, 3, 32, 32, device="meta")))
    macs = inspection.count_macs(net, (3, 32, 32)) / 1e6
    print(f"{name:<17} mapa de clases {tuple(maps.shape[1:])}, {macs:.0f} millones de MACs")
assert maps.shape[1:] == (10, 8, 8)

# %% [markdown]
# **El dropout que no se ve.** No tiene parámetros, y en una tabla de parámetros es fácil olvidarlo. La red lleva tres: apaga el
# 20 % de la imagen de entrada, y el 50 % de lo que sale de cada convolución de paso 2, que es donde antes estaba el pooling.

# %%
dropouts = [(name, part.p) for name, part in allcnn.named_modules() if isinstance(part, nn.Dropout)]
print(dropouts)
assert [p for _name, p in dropouts] == [0.2, 0.5, 0.5]

# %% [markdown]
# ### Las hermanas A y B { #hermanas }
#
# La A usa filtros de 5×5 y ninguna convolución intermedia. La B les añade una de 1×1, como *Network in Network*. La C cambia cada
# 5×5 por dos de 3×3, como [VGG](vgg.py#idea).

# %%
family = {}
print("red   convoluciones   parámetros    MACs      campo receptivo")
for letter, layers in {"A": ALLCNN_A, "B": ALLCNN_B, "C": ALLCNN_C}.items():
    with torch.device("meta"):
        net = AllCNN(layers)
    net_rows = inspection.shape_table(net, (3, 32, 32))
    field = next(row.receptive_field for row in reversed(net_rows) if row.kind == "Conv2d")
    family[letter] = sum(row.parameters for row in net_rows), field
    print(
        f"{letter:<5} {len(layers) + 1:>13}   {inspection.thousands(family[letter][0]):>10}"
        f"   {sum(row.macs for row in net_rows) / 1e6:>4.0f} M   {field:>10}×{field}"
    )
assert family["A"][1] == family["B"][1] == family["C"][1]
assert family["A"][0] < family["B"][0] < family["C"][0]

# %% [markdown]
# Las tres ven lo mismo: así se sabe que lo que cambia es lo demás. Y, en contra de lo que se repite, cambiar 5×5 por dos de 3×3 no
# abarató nada: la C es la mayor, por la razón que viste en [la letra pequeña](vgg.py#letra-pequena) de VGG, y porque añade capas.

# %% [markdown]
# ## Prueba de fidelidad: la red en una página de NumPy { #fidelidad }
#
# Nadie publica pesos de All-CNN con los que comparar. La escribimos otra vez sin PyTorch y sin paso: cada convolución junta sus
# ventanas en una matriz y multiplica, **en todas las posiciones**, y si el paso es 2 se tiran las que sobran.

# %%
import numpy as np


def slow_conv(maps, weight, bias, padding, stride):
    """Convolución como un producto de matrices; el paso se da al final."""
    side = weight.shape[-1]
    maps = np.pad(maps, ((0, 0), (padding, padding), (padding, padding)))
    windows = np.lib.stride_tricks.sliding_window_view(maps, (side, side), axis=(1, 2))
    result = np.tensordot(weight, windows, axes=((1, 2, 3), (0, 3, 4))) + bias[:, None, None]
    return np.maximum(result[:, ::stride, ::stride], 0)  # y la ReLU


def slow_allcnn_c(image, w):
    """Los diez logits de una imagen (3, 32, 32); pesos y sesgos, en el orden de las capas."""
    strides = (1, 1, 2, 1, 1, 2, 1, 1, 1)
    paddings = (1, 1, 1, 1, 1, 1, 0, 0, 0)
    for k in range(9):
        image = slow_conv(image, w[2 * k], w[2 * k + 1], paddings[k], strides[k])
    return image.mean(axis=(1, 2))


torch.manual_seed(0)
ours = AllCNN().double().eval()
for parameter in ours.parameters():
    if parameter.ndim == 1:
        nn.init.normal_(parameter, std=0.1)  # que los sesgos también se prueben
images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
values = [parameter.detach().numpy() for parameter in ours.parameters()]
with torch.inference_mode():
    fast = ours(images).numpy()
slow = np.stack([slow_allcnn_c(image, values) for image in images.numpy()])
print(f"logits entre {fast.min():.3f} y {fast.max():.3f}")
print(f"mayor diferencia: {np.abs(fast - slow).max():.0e}")
assert fast.std() > 0.1  # si fueran todos iguales, coincidir no probaría nada
assert np.abs(fast - slow).max() < 1e-10

# %% [markdown]
# ## Entrenamiento: sin pooling y con paciencia { #entrenamiento }
#
# La `AllCNNMini` es la C con un sexto de los canales, para imágenes de 28×28.
#
# <!-- generado: ficha allcnn_mini -->

# %% tags=["fuente"]
from cnnhistory.models.allcnn import AllCNNMini

# %%
mini_rows = inspection.shape_table(AllCNNMini(), (1, 28, 28))
assert AllCNNMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
print(f"{inspection.thousands(sum(row.parameters for row in mini_rows))} parámetros")

# %%
from cnnhistory import data, training

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=0)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)


def train_here(model, images=train, epochs=3):
    batches = data.Batches(images, 32, shuffle=True, seed=SEED, transform=normalize)
    return training.train(model, batches, val_batches, epochs=epochs, lr=0.015)


torch.manual_seed(SEED)
mini = AllCNNMini()
history = train_here(mini)

# %% alt="Dos gráficas de la All-CNN mini en tres épocas. La pérdida empieza muy alta y cae en la segunda. El acierto en validación sube con fuerza de la primera a la segunda época y menos en la tercera." caption="La All-CNN mini. Arranca despacio y todavía está bajando cuando se acaba el presupuesto."
plotting.curves(history, "All-CNN mini")

# %%
scores = training.evaluate(mini, test_batches)
print(f"acierto en prueba: {scores.top1:.1%}")
assert scores.top1 > 0.7
assert history[-1].val_loss < history[0].val_loss

# %% tags=["tiempos"]
print(f"{history[-1].images_per_second:.0f} imágenes por segundo")

# %% [markdown]
# Nueve convoluciones seguidas, sin normalización por lotes, que es de unos meses después, y sin densas que atajen: las primeras vueltas se
# van en arrancar. El artículo entrenaba 350 épocas. En la [carrera justa](../resultados/carrera-justa.py), con seis veces más imágenes y una época
# más, es de las que menos parámetros usan, y están sus registros con tres semillas.
#
# <!-- generado: grabada allcnn_mini -->

# %% alt="Matriz de confusión de la All-CNN mini. La diagonal es oscura en pantalón, bolso, sandalia y botín. Camisa es la fila más repartida: va a camiseta, suéter, abrigo y vestido." caption="De cada clase verdadera (fila), qué dijo la All-CNN mini (columna), en %."
with torch.inference_mode():
    predictions = torch.cat([mini.eval()(x).argmax(1) for x, _ in test_batches])
hits = (predictions == test.labels).double()
recall = {name: hits[test.labels == k].mean().item() for k, name in enumerate(test.classes)}
assert min(recall, key=recall.get) == "camisa"
plotting.confusion_matrix(test.labels, predictions, test.classes)

# %% [markdown]
# ## Lo que aprendió: dónde está lo que ve { #aprendio }
#
# La última convolución de All-CNN da un mapa por clase, y el voto de la red es su promedio. No hace falta ninguna técnica para saber
# *dónde* vio la red lo que dice: está escrito en el mapa. Tomamos cinco prendas, el mapa de la clase que eligió para cada una, y lo
# ponemos encima.


# %% alt="Cinco prendas en gris con manchas de color encima. Lo naranja, que es lo que vota a favor de la clase elegida, cae sobre partes de la prenda y de su contorno, muy marcado en pantalón y bolso y apenas visible en el suéter; lo azul, que vota en contra, sobre otras partes." caption="En naranja, las posiciones que votan por la clase elegida; en azul, las que votan en contra. Cada mapa es de 5×5, estirado a 28×28."
@torch.inference_mode()
def class_maps(images):
    """Los mapas de clases, ``(N, 10, 5, 5)``."""
    return mini.head[0](mini.eval().features(normalize(images.float() / 255)))


chosen = [
    int((predictions.eq(test.labels) & test.labels.eq(k)).nonzero()[0]) for k in (1, 5, 8, 9, 2)
]
garments = test.images[chosen]
evidence = class_maps(garments)
with torch.inference_mode():
    logits = mini(normalize(garments.float() / 255))
assert torch.allclose(evidence.mean(dim=(2, 3)), logits, atol=1e-4)  # el voto es el promedio
winner = evidence[torch.arange(5), logits.argmax(1)]
stretched = F.interpolate(winner[:, None], size=(28, 28), mode="bilinear")[:, 0]
titles = [test.classes[k] for k in logits.argmax(1)]
plotting.heatmaps(garments, stretched, titles, columns=5, size=1.4)

# %% [markdown]
# El promedio de cada mapa es, decimal a decimal, la puntuación de su clase. Mira que no toda la prenda vota a favor: le basta con
# unas partes. Esta idea, leer el mapa antes del promedio, se volvió una herramienta, y su descendiente es
# [Grad-CAM](../tecnicas/que-ve-una-red.py). El artículo dejó otra: como sin pooling no hay máximos que recordar, la deconvnet no sirve
# tal cual, y los autores la cambiaron por la *retropropagación guiada*, que está en la misma página.
#
# ### ¿Aprendió a promediar? { #reductoras }
#
# Dos convoluciones ocuparon el lugar del pooling. ¿Se parecen a él? Un pooling promedio tiene dos señas: sus nueve pesos son iguales,
# y cada canal sale de sí mismo, no de los demás. Midamos cuánta de la energía (los pesos al cuadrado) cumple cada una, y comparémosla con la de
# los filtros recién nacidos.


# %%
def average_like(weight):
    """Qué parte de la energía es constante en la ventana, y cuál une cada canal consigo mismo."""
    energy = weight.square().sum()
    flat = (weight.sum(dim=(2, 3)) ** 2 / 9).sum()
    own = weight.diagonal(dim1=0, dim2=1).square().sum()
    return (flat / energy).item(), (own / energy).item()


torch.manual_seed(SEED)
newborn = AllCNNMini()
looks = {}
for when, net in {"al nacer": newborn, "entrenada": mini}.items():
    reducers = [part for part in net.modules() if getattr(part, "stride", None) == (2, 2)]
    looks[when] = [average_like(part.weight.detach()) for part in reducers]
    for number, (flat, own) in enumerate(looks[when], start=1):
        print(f"{when:<10} reductora {number}: constante {flat:.0%}, de su propio canal {own:.0%}")
ideal = torch.eye(4)[:, :, None, None].expand(4, 4, 3, 3) / 9
assert min(average_like(ideal)) > 0.999  # un pooling promedio las cumple del todo
assert max(flat for flat, _own in looks["entrenada"]) < 0.5
assert max(own for _flat, own in looks["entrenada"]) < 0.3

# %% [markdown]
# Se parecen poco a un pooling: ni reparten por igual ni respetan los canales. Siguen cerca de como nacieron, mezclando
# todos los canales, que es lo que hace cualquier convolución. En tres épocas, y pudiendo resumir de cualquier manera, la red no fue hacia
# la nuestra. Para acertar no le hizo falta.

# %% [markdown]
# ## El experimento: paso contra pooling { #experimento }
#
# Las cuatro redes de la tabla del artículo, en pequeño y con tres semillas. Cada una tiene dos reducciones, hechas a su manera, y lo
# demás es igual: una convolución más, los mapas de clases y el promedio. Las imágenes van a 14×14 para que quepan las doce.


# %%
from cnnhistory.models.initialization import he_normal


def conv(entering, leaving, stride=1):
    return [nn.Conv2d(entering, leaving, kernel_size=3, stride=stride, padding=1), nn.ReLU()]


def small_net(kind, channels=(8, 16)):
    """Dos reducciones a la manera de cada red del artículo, y la cabeza de All-CNN sin su ReLU."""
    net, entering = nn.Sequential(), 1
    for leaving in channels:
        net.extend(conv(entering, leaving, stride=2 if kind == "Strided" else 1))
        if kind == "ConvPool":
            net.extend(conv(leaving, leaving))
        if kind == "All-CNN":
            net.extend(conv(leaving, leaving, stride=2))
        if kind in ("base", "ConvPool"):
            net.append(nn.MaxPool2d(3, stride=2, padding=1))
        entering = leaving
    net.extend([*conv(entering, entering), nn.Conv2d(entering, 10, kernel_size=1)])
    net.extend([nn.AdaptiveAvgPool2d(1), nn.Flatten()])
    he_normal(net)
    return net


def shrink(images):
    return F.avg_pool2d(normalize(images), 2)


kinds = ("base", "Strided", "ConvPool", "All-CNN")
small_val = data.Batches(val, 500, transform=shrink)
some = train[::3]
runs = {}
for kind in kinds:
    runs[kind] = []
    for run in range(3):
        torch.manual_seed(3 * SEED + run)
        net = small_net(kind)
        batches = data.Batches(some, 32, shuffle=True, seed=3 * SEED + run, transform=shrink)
        runs[kind].append(training.train(net, batches, small_val, epochs=3, lr=0.05))

print("           parámetros   MACs     pérdida al entrenar   acierto en validación")
score = {}
for kind, results in runs.items():
    net_rows = inspection.shape_table(small_net(kind), (1, 14, 14))
    final = [past[-1].val_top1 for past in results]
    score[kind] = sum(final) / 3
    loss = sum(past[-1].train_loss for past in results) / 3
    print(
        f"{kind:<10} {inspection.thousands(sum(row.parameters for row in net_rows)):>10}"
        f"   {sum(row.macs for row in net_rows) / 1e6:.2f} M   {loss:>19.3f}"
        f"   {score[kind]:.1%}  (de {min(final):.1%} a {max(final):.1%})"
    )

# %% [markdown]
# Mira las semillas de cada red antes que las medias. Con tres por red **no alcanza para ordenarlas**: son tres entrenamientos de
# segundos. Lo que sí se ve es que, sin un solo pooling, All-CNN aprende, y se queda a pocos puntos de la que lo conserva con sus mismas
# convoluciones. All-CNN tiene los mismos pesos que *ConvPool* y hace la mitad de
# las operaciones; contra la base, en cambio, lleva casi el doble de pesos, y por eso esa comparación no vale.
#
# ¿Y las diferencias del artículo, que son de décimas? Cada error se midió en 10 000 fotos, y eso solo ya tiene un error estándar:

# %%
import math

paper = {"base": 9.74, "Strided": 10.19, "ConvPool": 9.31, "All-CNN": 9.08}
luck = math.sqrt(0.09 * 0.91 / 10_000)
print(f"error estándar de un 9 % en 10 000 fotos: {100 * luck:.2f} puntos")
for kind in ("ConvPool", "base", "Strided"):
    gap = paper[kind] - paper["All-CNN"]
    print(
        f"{kind:<9} {gap:.2f} puntos más que All-CNN: "
        f"{gap / (100 * luck * math.sqrt(2)):.1f} veces el error estándar de una resta"
    )

# %% [markdown]
# La ventaja de All-CNN sobre *ConvPool* cabe en la suerte. La de verdad, la que pasa de dos veces, es sobre *Strided*: no es lo mismo cambiar el
# pooling por una convolución que limitarse a dar pasos más largos. La frase que aguanta es la que los autores
# pusieron en el resumen: se puede sustituir **sin perder**.

# %%
with torch.device("meta"):
    cost = {kind: inspection.count_macs(small_net(kind), (1, 14, 14)) for kind in kinds}
assert cost["All-CNN"] < 0.6 * cost["ConvPool"]
assert score["All-CNN"] > score["ConvPool"] - 0.05
assert score["All-CNN"] > score["Strided"] - 0.03
assert paper["ConvPool"] - paper["All-CNN"] < 100 * luck
assert paper["Strided"] - paper["All-CNN"] > 2 * 100 * luck * math.sqrt(2)

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Copiar el dropout y la última ReLU en una red más angosta { #copiar }
#
# La ficha de la mini dice que lleva un décimo del dropout del artículo. ¿Tan importante es? Entrenemos la misma red con el suyo, 20 % y 50 %,
# y otra con la última ReLU, que el artículo también pone y la mini no.


# %%
def with_paper_dropout():
    net = AllCNNMini()
    probabilities = iter((0.2, 0.5, 0.5))
    for part in net.modules():
        if isinstance(part, nn.Dropout):
            part.p = next(probabilities)
    return net


def with_last_relu():
    net = AllCNNMini()
    net.head.insert(1, nn.ReLU())
    return net


costs = {}
for name, build in {
    "la mini": AllCNNMini,
    "con el dropout del artículo": with_paper_dropout,
    "con la última ReLU": with_last_relu,
}.items():
    torch.manual_seed(SEED)
    net = build()
    past = train_here(net, train[:2000], epochs=2)
    with torch.inference_mode():
        answers = torch.cat([net.eval()(x) for x, _ in val_batches])
    silent = (answers == 0).all(0).sum().item()
    costs[name] = past[-1].train_loss, past[-1].val_top1, silent
    print(
        f"{name:<28} pérdida {past[-1].train_loss:.3f}   acierto {past[-1].val_top1:.1%}"
        f"   clases con puntuación 0 siempre: {silent}"
    )
base_loss = costs["la mini"][0]
assert costs["con el dropout del artículo"][0] > base_loss + 0.1
assert costs["la mini"][2] == 0

# %% [markdown]
# El dropout del artículo se pensó para 96 y 192 canales. Apagar la mitad de 16 deja 8, y la red aprende mucho más despacio. Los números de un
# artículo van con su tamaño: al encoger la red, se encogen.
#
# La última ReLU es más traicionera. Los mapas de clases solo pueden votar a favor o abstenerse; si una clase se queda en cero en
# todas las imágenes, su gradiente también es cero, y no vuelve. La última columna cuenta las clases que la red ya no puede nombrar.
# Depende de la semilla: cámbiala y verás que unas veces cuesta mucho acierto y otras nada. Un fallo que solo aparece a veces es el
# que más cuesta encontrar.
#
# ### Saltar sin mirar { #saltar }
#
# Hay otra manera de reducir con una convolución: que la ventana sea de 1×1 y el paso de 2. Es la más barata, y la forma de la salida es la
# misma. ¿Qué parte de la imagen puede influir en ella? Preguntémoselo al gradiente.

# %%
watched = {}
for side in (1, 3):
    reducer = nn.Conv2d(1, 1, kernel_size=side, stride=2, padding=side // 2)
    nn.init.ones_(reducer.weight)
    image = torch.zeros(1, 1, 8, 8, requires_grad=True)
    reducer(image).sum().backward()
    watched[side] = (image.grad > 0).float().mean().item()
    print(f"ventana de {side}×{side}: mira el {watched[side]:.0%} de los píxeles")
assert watched == {1: 0.25, 3: 1.0}

# %% [markdown]
# Tres de cada cuatro píxeles no existen para esa red. No da ningún error: solo pierde detalle. Si el paso es mayor que la ventana, hay
# píxeles que nadie mira. La regla es que el lado de la ventana sea, como poco, el paso.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** La tercera convolución de All-CNN-C ocupa el lugar de un pooling. ¿Qué parte de los parámetros se llevan entre
# ella y la sexta, la otra de paso 2? ¿Y de las operaciones?

# %% tags=["solucion"]
reducers = [rows[2], rows[5]]
parameter_share = sum(row.parameters for row in reducers) / 1_369_738
mac_share = sum(row.macs for row in reducers) / sum(row.macs for row in table)
print(f"{parameter_share:.0%} de los parámetros y {mac_share:.0%} de las operaciones")
assert reducers[0].parameters == 96 * (9 * 96 + 1)
assert 0.29 < parameter_share < 0.31
assert 0.14 < mac_share < 0.17

# %% [markdown] tags=["solucion"]
# Sustituir una regla que no cuesta nada se lleva casi un tercio de los pesos. Es un precio, y con pocos datos puede no valer la pena.

# %% [markdown]
# **2. Cambia el tamaño.** Pasa por la `mini` entrenada una imagen de 56×56 hecha con cuatro prendas de prueba, sin volver a entrenar. ¿Qué
# forma tienen los mapas de clases? ¿Qué clase gana en cada cuadrante?

# %% tags=["solucion"]
four = test.images[chosen[:4]]  # (4, 1, 28, 28)
sheet = torch.cat([torch.cat([four[0], four[1]], 2), torch.cat([four[2], four[3]], 2)], 1)[None]
quadrants = class_maps(sheet)[0]  # (10, 12, 12)
print(tuple(quadrants.shape))
halves = (slice(None, 6), slice(6, None))
found = [
    quadrants[:, vertical, horizontal].mean(dim=(1, 2)).argmax().item()
    for vertical in halves
    for horizontal in halves
]
print(
    [test.classes[k] for k in found], "y eran", [test.classes[k] for k in test.labels[chosen[:4]]]
)
assert quadrants.shape == (10, 12, 12)
assert sum(k == label for k, label in zip(found, test.labels[chosen[:4]], strict=True)) >= 3

# %% [markdown] tags=["solucion"]
# Una red sin densas no sabe de qué tamaño es la imagen: los mapas crecen con ella, y cada zona vota por lo que tiene delante. Es el
# principio de las redes que segmentan, que dan una clase por píxel.

# %% [markdown]
# **3. Demuestra.** Construye con convoluciones y ReLU el pooling máximo de 2×2, exacto, para mapas que no tengan negativos. Pista: primero por
# parejas horizontales y luego por parejas verticales.

# %% tags=["solucion"]
horizontal = torch.tensor([[[[1.0, 0]]], [[[-1.0, 1]]]])  # (2, 1, 1, 2): «a» y «b − a»
vertical = horizontal.transpose(2, 3)
add = torch.ones(1, 2, 1, 1)


def learned_max(maps):
    for window, stride in ((horizontal, (1, 2)), (vertical, (2, 1))):
        maps = F.conv2d(F.relu(F.conv2d(maps, window, stride=stride)), add)
    return maps


maps = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(SEED))
assert torch.allclose(learned_max(maps), F.max_pool2d(maps, 2), atol=1e-6)
print("iguales, en las", F.max_pool2d(maps, 2).numel(), "posiciones")

# %% [markdown]
# **4. Inventa.** Con ventanas de 3×3 y paso 2, ¿cuántas ventanas miran cada píxel? Calcúlalo para una imagen de 8×8, lejos de los bordes. Después
# diseña una ventana de paso 2 que trate igual a todos los píxeles.


# %% tags=["solucion"]
def watchers(side, stride=2, size=8):
    """Cuántas ventanas miran cada píxel."""
    image = torch.zeros(1, 1, size, size, requires_grad=True)
    F.conv2d(image, torch.ones(1, 1, side, side), stride=stride, padding=1).sum().backward()
    return image.grad[0, 0]


for side in (3, 4):
    inner = watchers(side)[2:6, 2:6].int()
    print(f"{side}×{side}:", inner.tolist())
assert set(watchers(3)[2:6, 2:6].flatten().tolist()) == {1.0, 2.0, 4.0}
assert set(watchers(4)[2:6, 2:6].flatten().tolist()) == {4.0}

# %% [markdown] tags=["solucion"]
# Con 3×3 unos píxeles los miran cuatro ventanas, otros dos y otros una, en damero. El gradiente que reciben lleva la misma
# marca. Con 4×4 (o 2×2), un lado múltiplo del paso, todos cuentan igual. Casi todas las redes usan 3×3 y los pesos compensan; al revés,
# en las redes que *dibujan* imágenes agrandándolas, el damero se ve.

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# Que reducir con el paso es una opción como otra: [ResNet](resnet.py) lo hace en todas sus etapas, salvo la primera. El pooling global
# promedio y la red sin densas, que venían de *Network in Network*, se quedaron en casi todas las que vinieron. Y una costumbre mejor que cualquier
# pieza: antes de añadir, quitar y medir.
#
# - [Springenberg, Dosovitskiy, Brox y Riedmiller (2014)](../referencia/bibliografia.md#springenberg2014), el artículo.
# - [Lin, Chen y Yan (2013)](../referencia/bibliografia.md#lin2013), *Network in Network*, de donde viene la cabeza.
# - [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014), de donde vienen los pares de 3×3.
#
# **En el paquete:** [`AllCNN`][cnnhistory.models.allcnn.AllCNN], [`AllCNNMini`][cnnhistory.models.allcnn.AllCNNMini] y
# [`plotting.heatmaps`][cnnhistory.plotting.heatmaps]. Otras maneras de resumir, a mano, en
# [Pooling y ReLU](../fundamentos/pooling-y-relu.py).
#
# **En la historia:** viene de [Network in Network](nin.py) y de [VGG](vgg.py).
#
# [^articulo]: [Springenberg y otros (2014)](../referencia/bibliografia.md#springenberg2014), secciones 2 y 3. Los errores son de sus tablas 3 y 4,
#     leídos en transcripciones que coinciden.
