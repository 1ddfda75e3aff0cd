# %% [markdown]
# # VGG (2014): un solo ladrillo
#
# Te toca diseñar una red. ¿De cuánto la primera ventana? [AlexNet](alexnet.py) puso 11×11; ZFNet, un año
# después, 7×7. ¿Y la segunda? ¿Con qué paso? Cada capa de aquellas redes es una decisión aparte, y no hay
# manera de saber cuál de todas importó. Una red de ocho capas así se ajusta a mano. Una de dieciséis, no.
#
# VGG contesta con una regla que cabe en una línea: **todas las ventanas son de 3×3; lo único que se decide es cuántas
# veces**. En esta página ves por qué dos ventanas pequeñas valen por una grande (y cuándo no salen más baratas, que
# casi nunca se cuenta), armas la familia entera con un bucle, compruebas que es la del artículo, y
# repites en pequeño la comparación que los autores hicieron contra las ventanas de 5×5.
#
# <!-- generado: ficha vgg16 -->

# %% [markdown]
# ## De capas a bloques { #historia }
#
# ### Lo que se creía { #se-creia }
#
# AlexNet había demostrado que una red profunda podía ver. No dejó una receta para hacer la siguiente. Sus cinco
# convoluciones son todas distintas: 11×11 con paso 4, 5×5 con dos grupos, 3×3. En 2013 se ganaban puntos retocando la
# primera, como hizo [ZFNet](zfnet.py). Si una red mejoraba, ¿era por la ventana, por el paso,
# por los canales? Todo cambiaba a la vez.
#
# ### Quién lo cambió { #quien }
#
# Karen Simonyan y Andrew Zisserman, de la Universidad de Oxford. Su grupo se llama *Visual Geometry Group*, y de ahí
# el nombre de la red. Hicieron lo que se hace en un laboratorio: fijaron todo menos una cosa. La ventana, siempre
# la más pequeña que distingue arriba de abajo y un lado del otro. El paso, 1. Los canales, una regla: 64, y el doble
# tras cada reducción, hasta 512. Y variaron solo la **profundidad**, de 11 a 19 capas con pesos.[^articulo]
#
# De paso cambiaron la manera de hablar. Antes se pensaba en neuronas; después, en capas. Desde VGG se piensa en
# **bloques** que se repiten, y una red se escribe con una función y un bucle. Así están escritas casi todas las que vienen
# detrás en este sitio.
#
# ### Segundos, y primeros { #segundos }
#
# En la competencia de 2014 pasó esto:

# %% tags=["oculto"]
from cnnhistory import ilsvrc

print(f"{'red':<18} {'error top-5':>11}  redes  en la competencia")
for result in ilsvrc.results(2014):
    networks = str(result.models or "—")
    official = "sí" if result.is_official else "no"
    print(f"{result.network:<18} {result.top5_error:>10.3f}%  {networks:^5}  {official}")

# %% [markdown]
# Quedaron **segundos en clasificación y primeros en localización**. Localizar es más difícil que clasificar: hay que decir
# qué es y dibujar además el rectángulo donde está. Lo ganaron con 25.3 % de error y la misma red de 16 capas,
# cambiándole la última capa por una que da las cuatro coordenadas del rectángulo.[^localizacion]
#
# Lo que se presentó fueron siete redes promediadas. Las dos filas que dicen «no» son posteriores: con más tiempo, dos
# redes les bastaron para pasar a las siete. Son mejores, pero no son el resultado de la competencia, y a menudo se
# citan como si lo fueran. Y otra aclaración: ninguna de esas redes es la VGG-11, que a veces
# se presenta como «la VGG original». La de 11 es la más corta de las que probaron, la que sirvió de comparación.
#
# ### Con qué { #con-que }
#
# Con cuatro tarjetas NVIDIA Titan Black en una sola máquina, y entre dos y tres semanas por red.[^entrenar] ¿Por qué tanto,
# si AlexNet tardó menos de una con dos tarjetas más viejas?

# %%
from cnnhistory import inspection, plotting
from cnnhistory.models import CATALOG

before, after = CATALOG["alexnet"], CATALOG["vgg16"]
print(f"parámetros, de AlexNet a VGG-16: × {after.parameters / before.parameters:.1f}")
print(f"operaciones por imagen:          × {after.macs / before.macs:.1f}")
assert after.macs / before.macs > 15
assert after.parameters / before.parameters < 2.5

# %% [markdown]
# Apenas el doble de grande y más de veinte veces más cara de calcular. Guarda esa desproporción: vuelve más abajo.

# %% [markdown]
# ## La idea: dos pequeñas ven lo que una grande { #idea }
#
# ### Con una fila y un lápiz { #a-mano }
#
# Toma una fila de píxeles con un solo 1. Pásale una ventana de tres que suma a sus vecinos. Y otra vez.

# %%
import torch
from torch.nn import functional as F

row = torch.tensor([[0.0, 0, 0, 1, 0, 0, 0]])
three = torch.ones(1, 1, 3)
once = F.conv1d(row, three, padding=1)
twice = F.conv1d(once, three, padding=1)
five = F.conv1d(row, torch.tensor([[[1.0, 2, 3, 2, 1]]]), padding=2)
for name, values in {"la fila": row, "una vez": once, "dos veces": twice}.items():
    print(f"{name:<10}", values[0].int().tolist())
assert torch.equal(twice, five)

# %% [markdown]
# El 1 llegó dos lugares a cada lado: cada número de la última línea ha visto **cinco** píxeles. Dos ventanas de tres
# seguidas son una ventana de cinco, con los pesos 1, 2, 3, 2, 1. Con tres seguidas se ven siete. Cada convolución de 3×3
# añade un píxel por lado. Lo que ve una posición es su campo receptivo, y el paquete lo cuenta:

# %%
from torch import nn

for count in range(1, 6):
    stack = nn.Sequential(*(nn.Conv2d(1, 1, kernel_size=3, padding=1) for _ in range(count)))
    field = inspection.shape_table(stack, (1, 32, 32))[-1].receptive_field
    print(f"{count} de 3×3: ve {field}×{field}")
    assert field == 2 * count + 1

# %% [markdown]
# ### ¿Y qué se gana? { #que-se-gana }
#
# El artículo da dos razones. La primera: **entre una y otra cabe una ReLU**. Sin ella, ya lo viste, dos convoluciones son
# una sola convolución disfrazada. Con ella, la segunda trabaja sobre algo que ya no es una suma de píxeles.
#
# La segunda: **cuestan menos parámetros**. Si entran $C$ canales y salen $C$ canales, una ventana de 3×3 tiene
# $9C^2$ pesos; una de 5×5, $25C^2$; una de 7×7, $49C^2$.

# %%
print("ven lo mismo       pesos/C²   una grande cuesta")
for count in (2, 3):
    side = 2 * count + 1
    print(
        f"{count} de 3×3, 1 de {side}×{side}   {9 * count:>2} y {side**2:>2}"
        f"    {side**2 / (9 * count) - 1:>6.0%} más"
    )
assert round(100 * (49 / 27 - 1)) == 81  # la cifra del artículo

# %% [markdown]
# De otra manera: tres de 3×3 cuestan $27C^2$, casi lo mismo que **una** de 5×5. Por el precio de mirar cinco píxeles una
# vez, miras siete y piensas tres veces.
#
# ### La letra pequeña { #letra-pequena }
#
# Esa cuenta supone que entran tantos canales como salen. Pero VGG duplica los canales al empezar casi cada bloque, y ahí la
# primera de las dos convoluciones recibe la mitad. Haz la cuenta con $C$ de entrada y $2C$ de salida: las dos de 3×3 tienen
# $9 \cdot C \cdot 2C + 9 \cdot 2C \cdot 2C = 54C^2$; la de 5×5, $25 \cdot C \cdot 2C = 50C^2$.

# %%
print("entran → salen   dos de 3×3   una de 5×5")
counted = {}
for entering in (3, 64, 128):
    leaving = 64 if entering == 3 else 2 * entering
    pair = 9 * entering * leaving + 9 * leaving * leaving
    single = 25 * entering * leaving
    counted[entering] = pair, single
    numbers = (inspection.thousands(number) for number in (pair, single))
    print(f"{entering:>6} → {leaving:<6}", "  ".join(f"{number:>11}" for number in numbers))
assert all(pair > single for pair, single in counted.values())

# %% [markdown]
# ¡Salen más caras! Donde los canales crecen, el ahorro se esfuma; en el primer bloque, con solo tres canales
# de entrada, se vuelve lo contrario. La ventaja aparece en las convoluciones **de más**, las que van de $2C$ a $2C$. Que
# 3×3 sea más barato es cierto, pero depende de dónde. Guarda la duda para [el experimento](#experimento).
#
# ### ¿Cuántas caben? { #cuantas-caben }
#
# Queda un estorbo. En LeNet, detrás de cada convolución venía una reducción que partía el mapa a la mitad; en AlexNet, detrás de tres
# de las cinco. ¿Cuántas veces puedes partir 224?

# %%
side, halves = 224, 0
while side > 1:
    side, halves = side // 2, halves + 1
    print(side, end=" ")
print(f"→ {halves} veces")
assert halves == 7

# %% [markdown]
# Si cada convolución trae su pooling, con siete se acabó la imagen: no hay red de dieciséis. La salida es
# **separar las dos cosas**: varias convoluciones que conservan el tamaño, con un píxel de relleno, y un solo
# pooling al final. Eso es el bloque VGG.

# %% alt="Dos bloques dibujados uno junto al otro. El de 2012 tiene una convolución de 5×5 y un pooling. El bloque VGG, dos convoluciones de 3×3 y un pooling." caption="A la izquierda, como la segunda capa de AlexNet: una convolución y su pooling. A la derecha, un bloque VGG."
plotting.blocks(
    {
        "como en AlexNet": plotting.Block([["convolución 5×5", "pooling 3×3, paso 2"]]),
        "bloque VGG": plotting.Block(
            [["convolución 3×3", "convolución 3×3", "pooling 2×2, paso 2"]]
        ),
    }
)

# %% [markdown]
# ## El código: una función y un bucle { #codigo }
#
# El bloque, tal como está en el paquete. Sus argumentos son lo único que se decide: cuántas convoluciones y cuántos
# canales.

# %% tags=["fuente"]
from cnnhistory.models.vgg import vgg_block

# %%
block = vgg_block(num_convs=3, in_channels=4, out_channels=8)
assert block(torch.zeros(2, 4, 28, 28)).shape == (2, 8, 14, 14)  # la mitad de alto y de ancho
assert sum(isinstance(layer, nn.Conv2d) for layer in block) == 3

# %% [markdown]
# Y la red: cinco bloques y tres capas densas, que son las de AlexNet. Las cuatro tablas son la tabla 1 del artículo,
# con un par por bloque: convoluciones y canales.

# %% tags=["fuente"]
from cnnhistory.models.vgg import VGG, VGG11, VGG13, VGG16, VGG19

# %%
with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    vgg16 = VGG(VGG16)
full_table = inspection.shape_table(vgg16, (3, 224, 224))
table = inspection.ShapeTable(
    row for row in full_table if row.parameters or row.kind == "MaxPool2d"
)
table

# %% [markdown]
# Son las capas con pesos y los cinco pooling. El mapa va de 224 a 7, de mitad en mitad, y los canales de 64 a 512. Mira el
# campo receptivo: al final de los bloques, cada posición ve casi toda la foto, y nunca hubo una ventana mayor que 3×3.

# %% alt="VGG-16 dibujada de arriba abajo. Los bloques se estrechan en cinco saltos, de 224 a 7, y engordan de 3 a 512 canales. Entre salto y salto hay dos o tres convoluciones iguales. Al final, dos capas densas de 4096 y la salida de 1000. El corchete bajo cada bloque, lo que ve una posición, crece sin saltos, de 3 píxeles a 212." caption="El viaje de una foto por VGG-16. Compáralo con el de AlexNet, dibujado a la misma escala en su página: aquí todo es regular."
plotting.data_flow(table, (3, 224, 224))

# %% [markdown]
# ### conv1_1, conv5_3, fc7: los nombres { #nombres }
#
# En otros lugares leerás «la salida de conv4_3» o «el fc7 de VGG». Vienen de aquí. VGG se pensó como una AlexNet en la
# que cada convolución se subdivide, así que conservaron sus nombres: siguen siendo cinco, conv1 a conv5, y la segunda de la
# primera es conv1_2. Las densas siguen siendo fc6, fc7 y fc8 (de *fully connected*), aunque delante ya no haya cinco capas sino
# trece. Con la tabla a la vista, los nombres salen solos:

# %%
names = [
    f"conv{block}_{index}"
    for block, (num_convs, _channels) in enumerate(VGG16, start=1)
    for index in range(1, num_convs + 1)
] + ["fc6", "fc7", "fc8"]
ours = [row.name for row in table if row.parameters]
assert len(names) == len(ours) == 16  # por eso se llama VGG-16
for start in range(0, 16, 4):
    pairs = zip(names[start : start + 4], ours[start : start + 4], strict=True)
    print("   ".join(f"{name:<7} {place:<12}" for name, place in pairs))
places = dict(zip(names, ours, strict=True))

# %% [markdown]
# A la derecha de cada uno, su nombre en el paquete. El **fc7** es la penúltima capa, con 4096 números: el descriptor
# que durante años se sacó de esta red para todo lo demás. De eso trata
# [Descriptores y similitud](../tecnicas/descriptores.py#fc7).
#
# ### La familia { #familia }
#
# VGG no es una red, son varias, y esa fue otra costumbre que dejó: publicar una **familia**, para elegir entre
# velocidad y acierto. El artículo las llama por letras y da sus millones de parámetros. Contemos los nuestros.

# %%
letters = {"A": VGG11, "B": VGG13, "D": VGG16, "E": VGG19}
paper_millions = {"A": 133, "B": 133, "D": 138, "E": 144}
family = {}
print("letra   capas   parámetros   MACs (miles de millones)")
for letter, blocks in letters.items():
    with torch.device("meta"):
        net = VGG(blocks)
    rows = inspection.shape_table(net, (3, 224, 224))
    layers = sum(row.parameters > 0 for row in rows)
    count, macs = inspection.count_parameters(net), sum(row.macs for row in rows)
    family[layers] = count, macs
    print(f"{letter:>3} {layers:>9}   {inspection.thousands(count):>11}   {macs / 1e9:>6.1f}")
    assert round(count / 1e6) == paper_millions[letter]
assert [family[layers][0] for layers in (11, 16, 19)] == [132_863_336, 138_357_544, 143_667_240]

# %%
growth = [family[19][kind] / family[11][kind] - 1 for kind in (0, 1)]
print(f"de 11 a 19 capas: {growth[0]:.0%} más parámetros y {growth[1]:.0%} más operaciones")
assert growth[0] < 0.1
assert growth[1] > 1.5

# %% [markdown]
# Ocho capas más casi no pesan. Lo que cuestan es cálculo. La profundidad que probaba el artículo era, en parámetros, casi
# gratis: por eso la comparación es limpia. ¿Y qué encontraron? Que el error baja de 11 a 19 capas y ahí se estanca;
# y que la normalización de respuesta local de AlexNet no mejoraba nada, así que la quitaron.[^resultados] Un año después,
# ResNet preguntará por qué se estanca.
#
# ### «Pesa 500 megas» { #memoria }
#
# Se oye siempre que se habla de VGG. ¿De dónde sale?


# %%
def megabytes(count):
    """Lo que ocupan esos parámetros en float32, cuatro bytes cada uno."""
    return 4 * count / 1e6


sizes = {
    "VGG-16": inspection.count_parameters(vgg16),
    "sus tres densas": sum(row.parameters for row in table if row.kind == "Linear"),
    "solo la matriz 25 088 × 4096": 25088 * 4096,
    "sus trece convoluciones": sum(row.parameters for row in table if row.kind == "Conv2d"),
    "AlexNet": CATALOG["alexnet"].parameters,
}
for name, count in sizes.items():
    print(f"{name:<28} {megabytes(count):>5.0f} MB   ({4 * count / 2**20:>3.0f} MiB)")
ratio = sizes["VGG-16"] / sizes["AlexNet"]
print(f"VGG-16 entre AlexNet: {ratio:.1f}")
assert 550 < megabytes(sizes["VGG-16"]) < 556
assert sizes["sus tres densas"] > 0.88 * sizes["VGG-16"]
assert 2.2 < ratio < 2.4

# %% [markdown]
# Son 553 MB, o 528 si el programa cuenta de 1024 en 1024: las dos cifras circulan y son la misma. Casi todo está en las capas densas. Una
# sola matriz, la que une el último mapa con fc6, pasa de 400 MB, y está igual en la VGG-11. Un teléfono de
# 2011, el iPhone 4S, tenía 512 MB de memoria para todo:[^telefono] esa matriz no cabía con nada más. También oirás que VGG es «cinco veces» AlexNet. Ya ves que no: poco más del
# doble.
#
# Eso, para guardarla. Para usarla hay que sumar los mapas, y al entrenar se guardan todos hasta que vuelve el gradiente:

# %%
import math

outputs = sum(math.prod(row.output_shape) for row in table)
first = sum(math.prod(row.output_shape) for row in table if row.name.startswith("blocks.0"))
print(f"mapas por imagen: {4 * outputs / 1e6:.0f} MB, y {first / outputs:.0%} en el primer bloque")
print(f"con lotes de 64:  {64 * 4 * outputs / 1e9:.1f} GB, sin contar sus gradientes")
assert first > 0.4 * outputs

# %% [markdown]
# Los parámetros están al final y los mapas al principio. Casi la mitad de los mapas sale del primer bloque, que tiene
# unos cuarenta mil parámetros de los 138 millones.

# %%
block1 = sum(row.parameters for row in table if row.name.startswith("blocks.0"))
print(f"conv1_1 y conv1_2: {inspection.thousands(block1)} parámetros")
assert 38_000 < block1 < 40_000

# %% [markdown]
# ### La misma red, con caras { #vgg-face }
#
# En 2015, el mismo grupo entrenó esta arquitectura con 2.6 millones de fotos de 2622 personas y la llamó
# **VGG-Face**.[^face] En el código es la VGG-16 con otra última capa:

# %%
with torch.device("meta"):
    face = VGG(VGG16, num_classes=2622)
without_last = inspection.count_parameters(face) - inspection.count_parameters(face.classifier[-1])
print(f"con la última capa: {inspection.thousands(inspection.count_parameters(face))}")
print(f"sin ella:           {inspection.thousands(without_last)}")
assert inspection.count_parameters(face) == 145_002_878
assert without_last == 134_260_544

# %% [markdown]
# La última capa reconoce solo a esas personas. Se quita, y queda un fc7 que describe cualquier cara: dos
# fotos son de la misma persona si sus descriptores se parecen. Llegó a 98.95 % de acierto en parejas de LFW. Cómo se mide
# eso, cómo se elige el umbral y qué significa para la gente está en
# [Descriptores y similitud](../tecnicas/descriptores.py#caras).

# %% [markdown]
# ## Prueba de fidelidad: contra torchvision { #fidelidad }
#
# Tomamos la VGG-16 de torchvision, le ponemos pesos y sesgos al azar, se los pasamos a la nuestra y les enseñamos la
# misma imagen. Los tensores son los mismos objetos, así que los 553 MB se pagan una vez.

# %%
from torchvision.models import vgg16 as torchvision_vgg16

from cnnhistory import models, weights

with torch.device("meta"):
    reference, ours = torchvision_vgg16(), models.create("vgg16")
reference = reference.to_empty(device="cpu").eval()
generator = torch.Generator().manual_seed(0)
for value in reference.state_dict().values():
    spread = math.sqrt(2 / value[0].numel()) if value.ndim > 1 else 0.1
    value.normal_(0, spread, generator=generator)
ours.load_state_dict(weights.convert("vgg16", reference.state_dict()), assign=True)
ours.eval()
with torch.inference_mode():
    image = torch.randn(1, 3, 224, 224, generator=generator)
    expected, answer = reference(image), ours(image)
difference = (answer - expected).abs().max() / expected.std()
print(f"mayor diferencia, en desviaciones de los logits: {difference:.0e}")
assert expected.std() > 0.1  # si todos los logits fueran iguales, coincidir no probaría nada
assert difference < 1e-4
del reference, ours

# %% [markdown]
# Hicieron las mismas cuentas. Las otras siete (la familia entera, con y sin normalización por lotes) están en
# [Fidelidad](../resultados/fidelidad.py).

# %% [markdown]
# ## Entrenamiento: un comienzo lento { #entrenamiento }
#
# Quince mil millones de operaciones por imagen no caben en una página. `VGGMini` lleva la idea a 28×28: tres bloques de dos
# convoluciones y tres densas.
#
# <!-- generado: ficha vgg_mini -->

# %% tags=["fuente"]
from cnnhistory.models.vgg import VGGMini

# %%
assert VGGMini()(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
mini_rows = inspection.shape_table(VGGMini(), (1, 28, 28))
print(f"{inspection.thousands(sum(row.parameters for row in mini_rows))} parámetros")

# %%
from cnnhistory import data, training

SEED = 0

full, test = data.fashion_mnist("mini")
train, val = data.split(full, fraction=0.1, seed=0)
normalize = data.normalization(train)
val_batches = data.Batches(val, 500, transform=normalize)
test_batches = data.Batches(test, 500, transform=normalize)


def train_here(build, lr, epochs=3):
    torch.manual_seed(SEED)
    model = build()
    batches = data.Batches(train, 64, shuffle=True, seed=SEED, transform=normalize)
    return model, training.train(model, batches, val_batches, epochs=epochs, lr=lr)


vgg_mini, history = train_here(VGGMini, lr=0.03)

# %%
lenet, lenet_history = train_here(lambda: models.create("lenet5_modern"), lr=0.03)

# %% alt="Dos gráficas de la VGG mini en tres épocas. La pérdida de entrenamiento empieza muy alta y baja deprisa; la de validación va siempre por debajo y se le acerca. El acierto en validación sube en cada época y aún no se aplana." caption="La VGG mini. La pérdida de entrenamiento va por encima porque se mide con dropout, y porque promedia toda la época."
plotting.curves(history, "VGG mini")

# %%
print("                 pérdida de entrenamiento, por época   validación   acierto en prueba")
for name, model, past in (
    ("VGG mini", vgg_mini, history),
    ("LeNet-5 moderna", lenet, lenet_history),
):
    losses = "  ".join(f"{epoch.train_loss:.3f}" for epoch in past)
    score = training.evaluate(model, test_batches).top1
    print(f"{name:<16} {losses:<37} {past[-1].val_loss:<12.3f} {score:.1%}")
assert history[-1].val_top1 > 0.75
assert history[0].train_loss > lenet_history[0].train_loss

# %% tags=["tiempos"]
for name, past in {"VGG mini": history, "LeNet-5 moderna": lenet_history}.items():
    print(f"{name:<16} {past[-1].images_per_second:.0f} imágenes por segundo")

# %% [markdown]
# Compara la primera época. La VGG arranca más despacio que una LeNet de 1998 puesta al día: tiene nueve capas por las que el
# error ha de volver antes de que la primera se entere. Con tan pocas vueltas apenas le da tiempo. En la
# [carrera justa](../resultados/carrera-justa.py), con seis veces más imágenes y una época más, ya la adelanta: ahí están
# sus registros, con tres semillas.
#
# <!-- generado: grabada vgg_mini -->
#
# Sus autores tuvieron el mismo problema, agrandado. Las redes más hondas no arrancaban con pesos al azar, así que primero
# entrenaron la de 11 capas y la usaron para dar los primeros valores a las demás. Después de enviar el artículo vieron que
# no hacía falta: bastaba con sortear los pesos a la escala que
# [Glorot y Bengio](../referencia/bibliografia.md#glorot2010) habían dado en 2010.[^entrenar] Lo vas a sufrir en
# [los errores comunes](#errores).
#
# ¿Y sobreajusta? Al entrenar mide con dropout; midámosla sin él en las mismas imágenes con que aprendió.

# %%
seen = training.evaluate(vgg_mini, data.Batches(train, 500, transform=normalize))
unseen = training.evaluate(vgg_mini, val_batches)
print(f"pérdida en lo que vio: {seen.loss:.3f}; en lo que no: {unseen.loss:.3f}")
assert unseen.loss - seen.loss < 0.1

# %% alt="Matriz de confusión de la VGG mini. La diagonal es oscura en pantalón, sandalia, bolso, zapatilla y botín. La fila más clara es la de camisa, repartida entre camiseta, suéter, abrigo y vestido." caption="De cada clase verdadera (fila), qué dijo la VGG mini (columna), en %."
with torch.inference_mode():
    predictions = torch.cat([vgg_mini.eval()(x).argmax(1) for x, _ in test_batches])
hits = (predictions == test.labels).double()
recall = {name: hits[test.labels == k].mean().item() for k, name in enumerate(test.classes)}
assert min(recall, key=recall.get) == "camisa"
plotting.confusion_matrix(test.labels, predictions, test.classes)

# %% [markdown]
# Casi nada: las dos pérdidas van juntas. Y la clase difícil es la de siempre, la camisa.

# %% [markdown]
# ## Lo que aprendió: del trazo a la prenda { #aprendio }
#
# Un filtro de 3×3 son nueve números: no hay nada que mirar en él. Lo que se puede mirar es qué lo enciende. De cada uno
# de los tres bloques tomamos los dos canales que más se encienden y buscamos los seis trozos de imagen que más los encienden.

# %%
from cnnhistory import excitation

LAYERS = {"primer bloque": "blocks.0.3", "segundo": "blocks.1.3", "tercero": "blocks.2.3"}
gallery = normalize(test.images[:600].float() / 255)
fields = {
    name: excitation.receptive_field(vgg_mini, (1, 28, 28), layer).size
    for name, layer in LAYERS.items()
}
print({name: f"{size}×{size}" for name, size in fields.items()})
assert list(fields.values()) == [5, 14, 32]

# %% tags=["oculto"] alt="Tres filas de figuras, cada una en dos grupos de seis. Arriba, cuadros de 5×5 píxeles con bordes claros y oscuros. En medio, trozos de 14×14 con esquinas, tiras y texturas. Abajo, prendas enteras de 32×32, parecidas entre sí dentro de cada grupo." caption="Cada grupo de seis es un canal. De arriba abajo, los bloques primero, segundo y tercero: el campo receptivo crece, y con él lo que un canal puede distinguir. El gris liso cae fuera de la imagen."
import matplotlib.pyplot as plt

with plotting.style():
    figure, axes = plt.subplots(3, 13, figsize=(7.2, 1.9), width_ratios=[1] * 6 + [0.4] + [1] * 6)
    for line, (name, layer) in enumerate(LAYERS.items()):
        with torch.inference_mode():
            maps = inspection.feature_maps(vgg_mini, gallery, layer)
        strongest = maps.amax(dim=(0, 2, 3)).argsort(descending=True)[:2].tolist()
        patches = excitation.top_patches(vgg_mini, gallery, layer, strongest, count=6)
        crops = torch.cat([each.crops for each in patches])[:, 0]
        axes[line, 6].axis("off")  # el hueco entre un canal y otro
        for axis, crop in zip([*axes[line, :6], *axes[line, 7:]], crops, strict=True):
            axis.imshow(crop, cmap="gray", interpolation="none")
            axis.set(xticks=[], yticks=[])
            axis.spines[:].set_visible(False)
        axes[line, 0].set_ylabel(
            f"{fields[name]}×{fields[name]}", rotation=0, ha="right", va="center"
        )
    figure.subplots_adjust(0.09, 0.01, 1, 0.99, wspace=0.08, hspace=0.1)

# %% [markdown]
# En el primer bloque caben bordes. En el segundo, trozos de prenda. En el tercero ya cabe la prenda entera. ¿Se
# especializan los canales? Contemos qué parte de los seis comparte la clase
# más repetida, en todos los canales de cada bloque.


# %%
def agreement(layer):
    """Qué parte de los seis trozos de un canal son de la clase más frecuente entre ellos."""
    with torch.inference_mode():
        maps = inspection.feature_maps(vgg_mini, gallery, layer)
    alive = (maps.amax(dim=(0, 2, 3)) > 0).nonzero().flatten().tolist()
    shares = []
    for each in excitation.top_patches(vgg_mini, gallery, layer, alive, count=6):
        labels = test.labels[each.images]
        shares.append(labels.bincount().max().item() / len(labels))
    return sum(shares) / len(shares)


agreements = {name: agreement(layer) for name, layer in LAYERS.items()}
for name, share in agreements.items():
    print(f"{name:<14} {share:.0%} de la misma clase")
assert agreements["tercero"] > agreements["primer bloque"]
assert agreements["tercero"] < 0.9

# %% [markdown]
# Sube, y se queda lejos del 100 %. Un canal no es un detector de una clase: la clase la deciden muchos a la vez.

# %% [markdown]
# ## El experimento: dos de 3×3 contra una de 5×5 { #experimento }
#
# Los autores tomaron su red de 13 capas, la B, y cambiaron cada pareja de 3×3 por una sola de 5×5. Ve los mismos píxeles,
# con la mitad de las convoluciones. El error top-1 subió un 7 %.[^resultados]
#
# Repitámoslo en pequeño, con una red más para separar las dos razones del artículo. Las tres ven lo mismo:
#
# - **una de 5×5** por bloque;
# - **dos de 3×3**, cada una con su ReLU, como VGG;
# - **dos de 3×3 sin ReLU en medio**: los mismos pesos que la anterior, pero en el fondo una 5×5 hecha de dos trozos.
#
# Para que quepa, las imágenes van a 14×14 y los bloques son dos.


# %%
from itertools import pairwise

from cnnhistory.models.initialization import he_normal


def small_net(kind, channels=(8, 16)):
    """Dos bloques que ven lo mismo, con las convoluciones que se piden."""
    net, entering = nn.Sequential(), 1
    for leaving in channels:
        if kind == "una de 5×5":
            net.append(nn.Conv2d(entering, leaving, kernel_size=5, padding=2))
        else:
            net.append(nn.Conv2d(entering, leaving, kernel_size=3, padding=1))
            if kind == "dos de 3×3":
                net.append(nn.ReLU())
            net.append(nn.Conv2d(leaving, leaving, kernel_size=3, padding=1))
        net.extend([nn.ReLU(), nn.MaxPool2d(2)])
        entering = leaving
    net.extend([nn.Flatten(), nn.Linear(entering * 3 * 3, 10)])
    he_normal(net)
    for layer, following in pairwise(net):
        if isinstance(following, nn.Conv2d) and isinstance(layer, nn.Conv2d):
            # Sin ReLU detrás no se apaga la mitad de la señal: no hay que duplicarla.
            nn.init.kaiming_normal_(layer.weight, nonlinearity="linear")
    return net


def shrink(images):
    return F.avg_pool2d(normalize(images), 2)


kinds = ("una de 5×5", "dos de 3×3", "sin ReLU en medio")
small_val = data.Batches(val, 500, transform=shrink)
some = train[::2]
runs = {}
for kind in kinds:
    runs[kind] = []
    for run in range(3):
        torch.manual_seed(3 * SEED + run)
        net = small_net(kind)
        batches = data.Batches(some, 32, shuffle=True, seed=3 * SEED + run, transform=shrink)
        runs[kind].append(training.train(net, batches, small_val, epochs=3, lr=0.05))

print(f"{'':<18} parámetros   MACs     acierto en validación, por época")
score = {}
for kind, results in runs.items():
    rows = inspection.shape_table(small_net(kind), (1, 14, 14))
    assert rows[-3].receptive_field == 16  # las tres ven lo mismo
    score[kind] = [sum(past[k].val_top1 for past in results) / 3 for k in range(3)]
    final = [past[-1].val_top1 for past in results]
    print(
        f"{kind:<18} {inspection.thousands(sum(row.parameters for row in rows)):>10}"
        f"   {sum(row.macs for row in rows) / 1e6:.2f} M   "
        + "  ".join(f"{value:.1%}" for value in score[kind])
        + f"  (de {min(final):.1%} a {max(final):.1%})"
    )

# %% [markdown]
# Aquí **no gana la pareja**. La de 5×5 queda a su altura o un poco por delante, y es más barata. Tampoco se nota la ReLU de en medio.
# Es lo contrario de lo que publicaron, y ninguno de los dos experimentos está mal. Son distintos en tres cosas:
#
# - **El ahorro no existe.** En los dos bloques entran menos canales de los que salen. Es [la letra pequeña](#letra-pequena), y
#   la primera columna lo muestra: la pareja lleva más parámetros.
# - **El tiempo.** La red de la pareja es más honda y tarda más en arrancar; mira la primera época. La suya dio 74 vueltas a más de un
#   millón de fotos.
# - **El problema.** Con diez prendas de 14×14, una red pequeña ya tiene funciones de sobra. Lo que escasea son los pasos.
#
# Una idea de arquitectura no es mejor en abstracto. Esta lo es con mucha profundidad, muchos datos y mucha paciencia.

# %%
big, small, linear = score.values()
assert big[-1] > small[-1] - 0.01  # la pareja no gana
assert abs(small[-1] - linear[-1]) < 0.03  # ni se nota la ReLU de en medio

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Inicializar una red que todavía no existe { #perezosas }
#
# Hay cursos que escriben VGG con capas perezosas (`LazyConv2d`), que deciden cuántos canales reciben al ver la primera
# imagen, y que las inicializan en el constructor. Léelo y busca el fallo.


# %%
def init(layer):
    """Pesos a la escala de He en las convoluciones y las densas."""
    if type(layer) in (nn.Conv2d, nn.Linear):
        nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
        nn.init.zeros_(layer.bias)


def lazy_vgg():
    """La VGG mini, capa por capa, sin decir cuántos canales entran."""
    net = nn.Sequential()
    for channels in (16, 32, 64):
        for _ in range(2):
            net.extend([nn.LazyConv2d(channels, kernel_size=3, padding=1), nn.ReLU()])
        net.append(nn.MaxPool2d(2))
    net.append(nn.Flatten())
    for _ in range(2):
        net.extend([nn.LazyLinear(128), nn.ReLU(), nn.Dropout(0.2)])
    net.append(nn.LazyLinear(10))
    return net


def first_batches(model):
    """Dos épocas con las primeras 1600 imágenes."""
    batches = data.Batches(train[:1600], 32, shuffle=True, seed=SEED, transform=normalize)
    return training.train(model, batches, val_batches, epochs=2, lr=0.03)


torch.manual_seed(SEED)
wrong = lazy_vgg()
wrong.apply(init)  # antes de que existan los pesos
wrong(torch.zeros(1, 1, 28, 28))

torch.manual_seed(SEED)
right = lazy_vgg()
right(torch.zeros(1, 1, 28, 28))  # los pesos nacen aquí
right.apply(init)

after = {}
for name, model in {"antes de existir": wrong, "después": right}.items():
    spread = model[2].weight.std().item()
    after[name] = first_batches(model)[-1]
    print(
        f"inicializada {name:<17} pesos de conv1_2 ±{spread:.3f}   "
        f"pérdida {after[name].train_loss:.3f}   acierto {after[name].val_top1:.1%}"
    )
print(f"lo que pide He en conv1_2: ±{math.sqrt(2 / (16 * 9)):.3f};  ln 10 = {math.log(10):.3f}")
assert abs(after["antes de existir"].train_loss - math.log(10)) < 0.03
assert after["después"].train_loss < 1.5

# %% [markdown]
# La primera llamada a `init` no hizo nada, y sin avisar: en ese momento las capas no son `nn.Conv2d`, son `nn.LazyConv2d`, y
# el `if` no se cumple nunca. La red se queda con los pesos que PyTorch da por omisión, unas dos veces y media más chicos de lo
# que pide una ReLU. En una capa no se nota. En nueve seguidas, la señal se apaga, y la red contesta siempre lo mismo: ln 10.
# Por eso en este paquete no hay capas perezosas: los canales se escriben, y los pesos existen desde que existe la red.
#
# ### Darle imágenes de 32×32 a la VGG de torchvision { #32x32 }
#
# La nuestra protesta. La de torchvision, no. Lleva delante de las densas un pooling «adaptable» que entrega siempre 7×7. Y si el
# mapa mide 1×1, que es lo que queda de 32 tras cinco mitades, ¿de dónde saca los otros 48?

# %%
one = torch.rand(1, 512, 1, 1)
seven = nn.AdaptiveAvgPool2d(7)(one)
print(tuple(one.shape), "→", tuple(seven.shape))
assert torch.equal(seven, one.expand(1, 512, 7, 7))

# %% [markdown]
# Copia el mismo número 49 veces. La red entrena y acierta, y fc6 lleva un peso para cada copia: 49 pesos que multiplican lo mismo,
# cuando bastaría su suma. Comprobémoslo y pongámosle precio.

# %%
torch.manual_seed(0)
fc6 = nn.Linear(512 * 49, 64)
short = nn.Linear(512, 64)
with torch.no_grad():
    short.weight.copy_(fc6.weight.view(64, 512, 49).sum(2))
    short.bias.copy_(fc6.bias)
    assert torch.allclose(fc6(seven.flatten(1)), short(one.flatten(1)), atol=1e-5)
needed, paid = 512 * 4096, 25088 * 4096
print(f"pesos de fc6 que hacen falta: {inspection.thousands(needed)}")
print(f"pesos que se pagan:           {inspection.thousands(paid)}")
assert paid == 49 * needed

# %% [markdown]
# Se paga 49 veces lo que hace falta. Con imágenes pequeñas, usa una red hecha para ellas: menos bloques y densas más chicas, como la mini.

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Sin mirar la tabla: ¿cuántos parámetros tienen conv1_1, conv3_1 y fc6 de la VGG-16? No olvides los sesgos.

# %% [markdown] tags=["solucion"]
# Cada filtro de conv1_1 mira 3 canales; los de conv3_1, los 128 que deja el segundo bloque. A fc6 llega un mapa de 7×7 con 512
# canales.

# %% tags=["solucion"]
by_place = {row.name: row.parameters for row in table}
answers = {
    "conv1_1": 64 * (3 * 9 + 1),
    "conv3_1": 256 * (128 * 9 + 1),
    "fc6": 4096 * (512 * 49 + 1),
}
for name, count in answers.items():
    print(f"{name:<8} {inspection.thousands(count):>11}")
    assert count == by_place[places[name]]

# %% [markdown]
# **2. Calcula.** El artículo probó otra red de 16 capas, la C. Es la D con una diferencia: la última convolución de los bloques
# tercero, cuarto y quinto es de 1×1. Dice que tiene 134 millones de parámetros. ¿Le crees? ¿Y hasta dónde ve una posición de su último mapa, comparada con la D?

# %% tags=["solucion"]
with torch.device("meta"):
    config_c = VGG(VGG16)
    for block, channels in ((2, 256), (3, 512), (4, 512)):
        config_c.blocks[block][4] = nn.Conv2d(channels, channels, kernel_size=1)
rows_c = inspection.shape_table(config_c, (3, 224, 224))
count_c = sum(row.parameters for row in rows_c)
fields_of = {
    name: next(row.receptive_field for row in reversed(rows) if row.kind == "MaxPool2d")
    for name, rows in {"C": rows_c, "D": table}.items()
}
print(f"{inspection.thousands(count_c)} parámetros; campos receptivos: {fields_of}")
assert round(count_c / 1e6) == 134
assert fields_of["C"] == 156
assert fields_of["D"] == 212

# %% [markdown] tags=["solucion"]
# La cuenta cuadra. C y D tienen las mismas capas y las mismas ReLU, pero C ve menos. Y acertaba menos que D,
# aunque más que la B, de 13 capas:[^resultados] la capa de más ayuda, y mirar más lejos con ella ayuda otra vez.

# %% [markdown]
# **3. Cambia.** Para medir, los autores no recortaban la foto. Convertían las densas en convoluciones y pasaban la foto
# entera, del tamaño que fuera. Hazlo con la `vgg_mini` entrenada: con 28×28 debe dar lo mismo que antes. ¿Y con una imagen de 28×60 con dos prendas?

# %% [markdown] tags=["solucion"]
# La primera densa recibe un mapa de 3×3: es una convolución de 3×3 con los mismos pesos. Las otras reciben un punto: son de 1×1. Con 60
# de ancho el último mapa mide 3×7, así que hay cinco respuestas, una cada ocho píxeles. La primera cae sobre
# la prenda de la izquierda y la última, que empieza en el píxel 32, sobre la otra.

# %% tags=["solucion"]
convolutional = nn.Sequential(vgg_mini.blocks)
for layer in vgg_mini.eval().classifier:
    if isinstance(layer, nn.Linear):
        window = 3 if layer.in_features == 576 else 1
        conv = nn.Conv2d(layer.in_features // window**2, layer.out_features, window)
        conv.load_state_dict({"weight": layer.weight.view_as(conv.weight), "bias": layer.bias})
        convolutional.append(conv)
    elif isinstance(layer, nn.ReLU):
        convolutional.append(layer)

garments = normalize(test.images[[2, 1]].float() / 255)  # un pantalón y un suéter
gap = garments.new_full((1, 28, 4), garments.min().item())
wide = torch.cat([garments[0], gap, garments[1]], dim=2)[None]  # (1, 1, 28, 60)
with torch.inference_mode():
    assert torch.allclose(convolutional(garments)[:, :, 0, 0], vgg_mini(garments), atol=1e-4)
    strip = convolutional(wide)[0, :, 0].argmax(0)  # (5,)
    alone = vgg_mini(garments).argmax(1)
print([test.classes[k] for k in strip], "y por separado", [test.classes[k] for k in alone])
assert strip.shape == (5,)

# %% [markdown]
# **4. Inventa.** Quítale a la VGG-16 lo que pesa sin tocar lo que calcula: en lugar de las tres densas, un promedio de cada mapa y una
# sola densa de 512 a 1000. ¿Cuántos MB quedan? ¿Qué parte de las operaciones?

# %% tags=["solucion"]
with torch.device("meta"):
    light = nn.Sequential(vgg16.blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 1000))
light_rows = inspection.shape_table(light, (3, 224, 224))
light_mb = megabytes(sum(row.parameters for row in light_rows))
macs_left = sum(row.macs for row in light_rows) / sum(row.macs for row in table)
print(
    f"{light_mb:.0f} MB en lugar de {megabytes(sizes['VGG-16']):.0f}; operaciones: {macs_left:.1%}"
)
assert light_mb < 65
assert macs_left > 0.99

# %% [markdown] tags=["solucion"]
# Nueve veces menos memoria y el mismo cálculo. Es lo que hacía *Network in Network* desde 2013, y lo que harán
# GoogLeNet y ResNet. Que acierte lo mismo es otra pregunta, y se contesta entrenando.

# %% [markdown]
# ## Qué dejó, y referencias { #referencias }
#
# Los bloques repetidos, las familias y la pila de 3×3, que se volvió la manera normal de hacer una red honda: las de más de cien
# capas que vinieron después están hechas con ella. Los detalles han cambiado mucho; agrupar las convoluciones entre reducción y reducción,
# no. Dejó también un problema: las capas densas, que guardan casi todos los parámetros y no dejan crecer. Y una pregunta: ¿por qué a las 19
# capas deja de mejorar?
#
# - [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014), el artículo. Corto y claro: es una sola idea, medida.
# - [Parkhi, Vedaldi y Zisserman (2015)](../referencia/bibliografia.md#parkhi2015), VGG-Face.
# - [Glorot y Bengio (2010)](../referencia/bibliografia.md#glorot2010) y
#   [He y otros (2015)](../referencia/bibliografia.md#he2015prelu): con qué pesos nacer.
#
# **En el paquete:** [`vgg_block`][cnnhistory.models.vgg.vgg_block], [`VGG`][cnnhistory.models.vgg.VGG],
# [`VGGMini`][cnnhistory.models.vgg.VGGMini] y [`excitation.top_patches`][cnnhistory.excitation.top_patches].
#
# **En la historia:** viene de [AlexNet](alexnet.py), y [ResNet](resnet.py) apilará sus 3×3
# hasta 152 capas. Su rival de 2014, [GoogLeNet](googlenet.py), fue por
# el camino contrario.
#
# [^articulo]: [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014), secciones 2.1 a 2.3.
# [^localizacion]: El mismo artículo, apéndice A.
# [^entrenar]: El mismo artículo, secciones 3.1 y 3.3.
# [^resultados]: El mismo artículo, sección 4.1.
# [^telefono]: Lo midió iFixit al abrirlo, según [International Business Times](https://ibtimes.com/iphone-4s-teardown-reveals-a5-processor-512-mb-ram-323697).
# [^face]: [Parkhi, Vedaldi y Zisserman (2015)](../referencia/bibliografia.md#parkhi2015), de donde sale también el acierto en LFW.
