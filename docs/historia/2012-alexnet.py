# %% [markdown]
# # 2012: AlexNet lo cambia todo
#
# Estás en otoño de 2012. Llevas dos años mejorando el mejor sistema del mundo para reconocer objetos, y en el
# primero conseguiste que se equivocara {ilsvrc:2010:nec-uiuc - 2011:xrce} menos. Se publican los resultados de este año. Tu
# sistema y los demás rondan el {ilsvrc:2012:isi:0}. Y arriba de la lista, un nombre que no conocías:
# {ilsvrc:2012:supervision:0}.
#
# Lo raro no es que alguien ganara. Lo raro es *con qué*: una red convolucional, una idea de los años ochenta
# que se daba por bonita y pequeña. Leía dígitos mejor que nadie, pero a leer dígitos ya llegaba casi
# cualquiera. Si la receta estaba publicada desde 1998, **¿por qué nadie la había
# cocinado antes?** La respuesta se puede calcular, y es lo primero que haremos.

# %%
import math
import time

import matplotlib.pyplot as plt
import torch
from sklearn.svm import LinearSVC
from torch.nn import functional as F

from cnnhistory import data, ilsvrc, inspection, models, plotting, training
from cnnhistory.classic import HOG
from cnnhistory.models import CATALOG

seed = 0

# %% tags=["oculto"] alt="Barras horizontales de error top-5. En gris, los ganadores de 2010 y 2011, con 28 y 26 por ciento, y tres equipos de 2012, entre 26 y 27. En azul, SuperVision en 2012, con 16: mucho más corta que todas." caption="Error top-5 de los ganadores de 2010 y 2011 y de los primeros de 2012, con los datos del desafío. Cifras del libro de cuentas."
shown = [winner for winner in ilsvrc.winners() if winner.year < 2012]
shown += [entry for entry in ilsvrc.results(2012) if entry.is_official and not entry.extra_data]
shown.sort(key=lambda entry: -entry.top5_error)
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 2.6))
    bars = axis.barh(
        [f"{entry.team} {entry.year}" for entry in shown],
        [entry.top5_error for entry in shown],
        color=[
            plotting.PALETTE[0] if entry.team == "SuperVision" else plotting.INK for entry in shown
        ],
        height=0.62,
    )
    axis.bar_label(bars, [f"{entry.top5_error:.1f} %" for entry in shown], padding=4)
    axis.set(xlim=(0, 33), xlabel="error top-5 (%)")
    axis.tick_params(axis="y", length=0)
    figure.tight_layout()

second = ilsvrc.find(2012, "isi").top5_error
assert second - ilsvrc.find(2012, "supervision").top5_error > 9

# %% [markdown]
# ## La cuenta que nadie podía pagar { #la-cuenta }
#
# Primero a mano, con números redondos. Para clasificar una foto, AlexNet hace unos 700 millones de
# multiplicaciones con su suma: **1.4 mil millones de operaciones**. Para aprender de esa foto hay que hacer eso
# hacia adelante y el doble hacia atrás: por tres, unos 4 mil millones. Por 1.3 millones de fotos, unos
# $5 \cdot 10^{15}$ por época. Por las noventa vueltas que dieron, $5 \cdot 10^{17}$: un cinco con diecisiete ceros.
#
# Ahora, exacto, con la cuenta del catálogo. Y divídelo entre lo que hacía cada tarjeta *como máximo*, que sale de
# multiplicar sus núcleos por su reloj por dos (una multiplicación y una suma por ciclo):

# %%
CARDS = {  # año, núcleos, reloj en MHz
    "GeForce 8800 GTX": (2006, 128, 1350),
    "GeForce GTX 580": (2010, 512, 1544),
    "GeForce GTX TITAN X": (2015, 3072, 1089),
    "A100": (2020, 6912, 1410),
    "H100": (2022, 16896, 1980),
}
IMAGES, EPOCHS = 1_281_167, 90

forward = 2 * CATALOG["alexnet"].macs
total = 3 * forward * IMAGES * EPOCHS
print(f"una foto, hacia adelante: {forward / 1e9:.2f} mil millones de operaciones")
print(f"el entrenamiento entero:  {total:.1e} operaciones")
assert 4e17 < total < 6e17


def peak(cores, clock_mhz):
    """Operaciones por segundo en float32: dos por núcleo y ciclo."""
    return 2 * cores * clock_mhz * 1e6


days = {}
for name, (year, cores, clock) in CARDS.items():
    days[name] = total / peak(cores, clock) / 86_400
    speed = f"{peak(cores, clock) / 1e12:6.2f} billones/s"
    print(f"{year} {name:<20} {speed}: {days[name]:7.2f} días, si rindiera al máximo")

# %% [markdown]
# Con la tarjeta de 2006, la primera que se podía programar cómodamente, eran semanas *en el mejor de los
# casos*, que nunca se da. En 2010 ya eran días. Por eso ocurrió entonces, y no antes. ¿Y lo que de verdad
# tardaron?

# %%
two_cards = 2 * peak(*CARDS["GeForce GTX 580"][1:])
for real_days in (5, 6):
    print(
        f"en {real_days} días: {total / (real_days * 86_400) / two_cards:.0%} del máximo de las dos"
    )
used = [total / (real_days * 86_400) / two_cards for real_days in (5, 6)]
assert all(0.2 < share < 0.4 for share in used)

# %% [markdown]
# Entre cinco y seis días: alrededor de un tercio de lo que prometía la caja. Para un código escrito desde cero
# por una persona, es mucho.
#
# ¿Y sin tarjeta? Midamos este procesador, con un solo hilo y la misma red. Un paso de entrenamiento con cuatro fotos
# al azar basta para saber cuántas fotos por segundo da.

# %% tags=["tiempos"]
torch.manual_seed(seed)
alexnet = models.create("alexnet")
images, labels = torch.rand(4, 3, 227, 227), torch.randint(1000, (4,))
for _ in range(2):  # el primero calienta
    start = time.perf_counter()
    F.cross_entropy(alexnet(images), labels).backward()
    seconds = time.perf_counter() - start
print(f"{4 / seconds:.1f} fotos por segundo: {IMAGES * EPOCHS / (4 / seconds) / 86_400:.0f} días")

# %% [markdown]
# Y es un solo hilo, pero de un procesador de hoy.
#
# ## Por qué una tarjeta de videojuegos { #por-que-una-gpu }
#
# Un juego calcula el color de millones de píxeles por segundo, y el color de cada uno no depende del de al lado.
# Así que la tarjeta no tiene pocos núcleos listos, como un procesador, sino cientos de núcleos tontos que hacen
# **la misma cuenta a la vez con datos distintos**. Una convolución es justamente eso: la misma suma de productos en
# cada posición. NVIDIA y ATI, los dos fabricantes, llevaban unos años abriendo sus tarjetas al cálculo general
# (*GPGPU*); hacía falta alguien que las llenara. Escribamos la convolución de tres maneras, de la más ingenua a la que se usa.

# %%
image = torch.rand(1, 3, 24, 24, generator=torch.Generator().manual_seed(seed))
filters = torch.rand(16, 3, 5, 5, generator=torch.Generator().manual_seed(seed + 1))


def one_at_a_time(image, filters):
    """Cuatro bucles, como se cuenta en la pizarra: un número de salida cada vez."""
    count, size = len(filters), image.shape[-1] - 4
    output = torch.zeros(1, count, size, size)
    for channel in range(count):
        for row in range(size):
            for column in range(size):
                patch = image[0, :, row : row + 5, column : column + 5]
                output[0, channel, row, column] = (patch * filters[channel]).sum()
    return output


def as_one_product(image, filters):
    """Todos los parches en una matriz, todos los filtros en otra, y un solo producto."""
    patches = F.unfold(image, 5)  # (1, 75, posiciones): cada columna es un parche
    size = image.shape[-1] - 4
    return (filters.flatten(1) @ patches).view(1, len(filters), size, size)


expected = F.conv2d(image, filters)
assert torch.allclose(one_at_a_time(image, filters), expected, atol=1e-4)
assert torch.allclose(as_one_product(image, filters), expected, atol=1e-4)
print("las tres dan lo mismo:", tuple(expected.shape))

# %% tags=["tiempos"]
times = {}
for way in (one_at_a_time, as_one_product, F.conv2d):
    start = time.perf_counter()
    repeats = 1 if way is one_at_a_time else 50
    for _ in range(repeats):
        way(image, filters)
    times[way.__name__] = (time.perf_counter() - start) / repeats
    print(f"{way.__name__:<15} {1000 * times[way.__name__]:8.2f} ms")
assert times["one_at_a_time"] > 20 * times["as_one_product"]

# %% [markdown]
# La segunda hace exactamente las mismas operaciones que la primera. Solo cambió el orden: en vez de miles de
# cuentas pequeñas, una multiplicación de matrices grande, que es lo que el hardware sabe hacer rápido. Convertir
# la convolución en algo que llene la máquina es el trabajo que hizo Alex Krizhevsky, y que en 2012 **no se podía
# instalar**.
#
# ### Sin nada hecho { #sin-nada }
#
# Se cuenta a veces que hubo que disfrazar la convolución de sombreado de píxeles (*shaders*), como en los
# primeros experimentos de los años 2000. No fue así: el lenguaje para calcular en estas tarjetas, CUDA, tenía ya
# unos cinco años. Lo que faltaba era todo lo de encima:
#
# | Qué | Cuándo | ¿Servía en 2012? |
# | --- | --- | --- |
# | CUDA | 2007 | sí: es el lenguaje en que se escribió todo |
# | [Theano](../referencia/bibliografia.md#bergstra2010) y [Torch7](../referencia/bibliografia.md#collobert2011) | 2010 y 2011 | sí, para derivar y para correr en GPU; ellos no las usaron |
# | **cuda-convnet** | en el artículo, 2012 | es el código de AlexNet: lo escribió Krizhevsky, y el artículo da su dirección |
# | [Caffe](../referencia/bibliografia.md#jia2014) y [cuDNN](../referencia/bibliografia.md#chetlur2014) | 2014 | no existían |
# | TensorFlow y PyTorch | 2015 y 2017 | no existían |
#
# Lo que hoy es `nn.Conv2d` y una línea para mover la red eran entonces miles de líneas de C++ y CUDA, más el
# reparto a mano entre dos tarjetas. Y las publicó: quien quisiera repetirlo no tenía que empezar de cero.
#
# ## Las tarjetas, con cifras { #tarjetas }
#
# <!-- generado: tarjetas-velocidad -->
#
# Tres cosas que conviene saber antes de mirar un gráfico así:
#
# - **Es un máximo de folleto.** Sale de multiplicar núcleos por reloj. Ya viste cuánto de eso se aprovecha.
# - **La GeForce 256 no tiene punto, y es lo correcto.** Verás escrito que hacía «480 millones de operaciones por
#   segundo». Son 480 millones de *píxeles* por segundo, cuatro por ciclo de reloj. No se podía programar:
#   dibujaba triángulos.
# - **Desde 2017 hay dos números.** Los chips llevan unidades que solo multiplican matrices, en 16 bits. Ahí está
#   el salto: los «300 billones» que se citan de la A100 son de esas unidades, no de `float32`.
#
# <!-- generado: tarjetas-memoria -->
#
# <!-- generado: tarjetas-tabla -->
#
# ### ¿Cabía en una? { #dos-tarjetas }
#
# La partieron en dos tarjetas. ¿Cuánta memoria pide entrenarla? Los pesos, su gradiente y su momento; y las salidas de cada capa para las 128 fotos
# del lote, que hay que guardar hasta que vuelva el gradiente, con otro tanto para ese gradiente.

# %%
with torch.device("meta"):  # solo formas: ni memoria ni cálculo
    single = models.create("alexnet_single")
table = inspection.shape_table(single, (3, 227, 227))
kept = ("Conv2d", "LocalResponseNorm", "MaxPool2d", "Linear")
outputs = sum(math.prod(row.output_shape) for row in table if row.kind in kept)
weights_gb = 3 * 4 * inspection.count_parameters(single) / 1e9


def training_gb(batch_size):
    """GB en float32 para entrenar con ese lote, por lo bajo."""
    return weights_gb + 2 * 4 * batch_size * outputs / 1e9


for batch_size in (1, 128, 256):
    print(f"lote de {batch_size:>3}: al menos {training_gb(batch_size):.2f} GB")
assert 1.5 < training_gb(128) < 3 < training_gb(256)

# %% [markdown]
# Con el lote de 128, la tarjeta normal de 1.5 GB quedaba descartada. En la de 3 GB, según esta cuenta, cabía; pero es una
# cuenta por lo bajo: le faltan las fotos, el espacio de trabajo de las convoluciones y lo que ocupa la pantalla. El
# artículo no da la suya. Dice que 3 GB limitaban el tamaño, que con 1.2 millones de ejemplos se podían entrenar
# redes que no caben en una tarjeta, y que por eso la repartieron en dos. De paso, calculaban a la vez. La
# [página de AlexNet](../arquitecturas/alexnet.py) recorre esa red partida, con su código.
#
# ## Qué se creía, y por qué no era una tontería { #que-se-creia }
#
# En 2011 había dos campos que se miraban con desconfianza.
#
# - Quien venía del **aprendizaje automático** quería problemas convexos: un solo mínimo, garantías, teoremas. Una
#   red profunda no ofrecía nada de eso, y una máquina de vectores de soporte sí.
# - Quien venía de la **visión** sabía que lo que movía la aguja eran las características: un descriptor mejor valía
#   más que cualquier clasificador. Y con los datos de entonces, era verdad.
#
# Compruébalo. A un lado, **HOG**, un descriptor hecho a mano que cuenta hacia dónde van los bordes en cada rincón
# (lo construimos pieza por pieza en [Antes de ImageNet](antes-de-imagenet.py#hog)), con una máquina de vectores de
# soporte lineal. Al otro, una red pequeña que parte de los píxeles. Las mismas prendas, cada vez más.

# %%
train_set, test_set = data.fashion_mnist("mini")
hog = HOG()
train_hog, test_hog = hog.fit_transform(train_set.images), hog.transform(test_set.images)
order = torch.randperm(len(train_set), generator=torch.Generator().manual_seed(seed))
sizes = (100, 1000, 3000, 10_000)


def with_hog(chosen):
    """Acierto en prueba de una SVM lineal sobre HOG."""
    labels = train_set.labels[chosen].numpy()
    classifier = LinearSVC(C=0.1, dual=False, tol=0.01).fit(train_hog[chosen], labels)
    return classifier.score(test_hog, test_set.labels.numpy())


by_hand = [with_hog(order[:size]) for size in sizes]


# %%
def with_network(part):
    """Acierto en prueba de una LeNet-5 moderna, con más vueltas cuantas menos imágenes hay."""
    normalize = data.normalization(part)
    torch.manual_seed(seed)
    net = models.create("lenet5_modern")
    batches = data.Batches(part, 64, shuffle=True, seed=seed, transform=normalize)
    seen = data.Batches(part[:500], 500, transform=normalize)  # nada se elige con ellas
    epochs = max(5, min(30, 12_000 // len(part)))
    training.train(net, batches, seen, epochs=epochs, lr=0.03)
    return training.evaluate(net, data.Batches(test_set, 500, transform=normalize)).top1


learned = [with_network(train_set[order[:size]]) for size in sizes[:-1]]

# %%
learned.append(with_network(train_set[order]))
print("imágenes   a mano   aprendido   ventaja de HOG")
for size, hand, net in zip(sizes, by_hand, learned, strict=True):
    print(
        f"{inspection.thousands(size):>8}   {hand:>6.1%}   {net:>9.1%}   {100 * (hand - net):>7.1f} puntos"
    )

# %% alt="Dos curvas de acierto según el número de imágenes de entrenamiento, de cien a diez mil. La de HOG va siempre por encima y sube cada vez menos. La de la red empieza bastante más abajo, sube más, y con diez mil casi la alcanza." caption="Acierto en prueba según cuántas imágenes hay para entrenar. El eje horizontal es logarítmico."
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.6, 2.9))
    axis.semilogx(sizes, [100 * each for each in by_hand], "o-", ms=4, label="HOG y SVM")
    axis.semilogx(
        sizes, [100 * each for each in learned], "s-", ms=4, label="red, desde los píxeles"
    )
    axis.set(xlabel="imágenes de entrenamiento", ylabel="acierto (%)")
    axis.set_xticks(sizes, [inspection.thousands(size) for size in sizes])
    axis.minorticks_off()
    axis.legend(loc="lower right")
    figure.tight_layout()

lead = [hand - net for hand, net in zip(by_hand, learned, strict=True)]
assert all(each > 0 for each in lead)
assert lead[0] > lead[-1] + 0.02

# %% [markdown]
# Gana el descriptor, y con pocas imágenes gana de largo: alguien ya le contó qué mirar. La red tiene que descubrirlo, y
# para eso necesita verlo muchas veces. Pero mira la última columna, de la primera fila a la última: la ventaja se
# encoge. La red sube más, porque lo que HOG tira nadie lo recupera. **Los de antes no estaban equivocados: con los
# datos que tenían, tenían razón.** Con diez mil prendas, todavía la tienen.
#
# ¿Y más allá? En la lista de resultados enviados a Fashion-MNIST, con las 60 000, HOG y una SVM llegan a 0.926, una
# red de dos convoluciones, a 0.925, y las mejores redes residuales pasan de 0.96.[^lista] ImageNet, con su millón de fotos, pasó a
# todos al otro lado de ese cruce a la vez, y no por décimas: por {ilsvrc:2012:isi - 2012:supervision:0}.
#
# ## Un año { #un-ano }
#
# La costumbre en ciencia es que un resultado así se discuta durante años. Este no se discutió. En la edición de 2013
# casi todos los de arriba llevaban una red convolucional, y los vocabularios visuales (*codebooks*) de los ganadores de
# 2010 y 2011 desaparecieron. ¿Por qué tan rápido?
#
# - **Las respuestas estaban bajo llave.** Nadie pudo haberlas visto. Eso cierra la discusión más larga.
# - **La distancia era absurda.** Un año de trabajo de los mejores había dado {ilsvrc:2010:nec-uiuc - 2011:xrce}.
#   Esto dio {ilsvrc:2011:xrce - 2012:supervision} de golpe, y ninguna mejora de un vocabulario iba a cerrarla.
# - **No hacía falta ser quienes eran.** Dos tarjetas que se compraban en una tienda, código publicado, un artículo de
#   nueve páginas. Quien quisiera dudar podía repetirlo.
# - **Servía para otra cosa.** Los mapas que la red había aprendido, puestos en el lugar de los descriptores de siempre,
#   mejoraban problemas que no tenían que ver con ImageNet. Eso fue lo que convenció a los que no competían:
#   lo cuenta [Después de ImageNet](despues-de-imagenet.py).
#
# Y una salvedad. El cálculo y los datos no eran lo único que faltaba en los noventa: faltaba también saber
# entrenar. [Cómo inicializar](../referencia/bibliografia.md#glorot2010) una red honda se entendió en 2010, las ReLU se
# probaron en esos mismos años y [dropout](../referencia/bibliografia.md#hinton2012) es del verano de 2012. Lo que aporta
# cada uno está medido en la [página de AlexNet](../arquitecturas/alexnet.py); el resto de la competencia,
# en [la carrera](la-carrera.py).
#
# ## Errores comunes { #errores-comunes }
#
# ### Copiar la ficha de otra tarjeta { #titan }
#
# Circula una ficha de la «GTX TITAN Z» con 3072 procesadores, 12 GB a 336.5 GB/s, 250 W y 6691 gigaflops. Apliquémosle
# la cuenta de esta página: ¿de qué tarjeta son esos números?

# %%
leaflet = 6691e9
for name, cores, clock in (
    ("GTX TITAN Z", 5760, 706),
    ("GTX TITAN X", 3072, 1089),
):
    print(f"{name}: {cores} núcleos, {peak(cores, clock) / 1e9:.0f} gigaflops")
assert round(peak(3072, 1089) / 1e9) == round(leaflet / 1e9)
assert peak(5760, 706) > 1.2 * leaflet

# %% [markdown]
# Son de la TITAN **X**, hasta la última cifra. La Z, un año anterior, eran dos chips en una placa, con 6 GB *para cada
# uno*: a efectos de una red que no se parte, una tarjeta de 6 GB. Costaba el triple. Antes de comprar, o de
# citar, multiplica.
#
# ### Contar multiplicaciones por operaciones { #mac-flop }
#
# Una MAC son dos operaciones, y entrenar son tres pasadas. Quien divide las MACs de la red entre los FLOPS de la
# tarjeta se queda corto seis veces:

# %%
naive = CATALOG["alexnet"].macs * IMAGES * EPOCHS / two_cards / 86_400
right = total / two_cards / 86_400
print(f"con MACs y una pasada: {naive:.1f} días; bien contado: {right:.1f}; de verdad: 5 o 6")
assert math.isclose(right / naive, 6)

# %% [markdown]
# ### «AlexNet inventó las redes convolucionales» { #no-invento }
#
# La convolución con pesos aprendidos es del [Neocognitrón](../referencia/bibliografia.md#fukushima1980) (sin
# retropropagación) y de [LeCun](../referencia/bibliografia.md#lecun1989); correrla en una GPU también lo habían hecho otros
# antes de 2012. Lo que hizo AlexNet fue juntar todo al tamaño en que se nota.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** La A100 anuncia 19.5 billones de operaciones en `float32` y 312 en sus unidades de matrices. ¿Cuántos
# minutos tardaría AlexNet en cada caso, si rindieran al máximo? ¿Y con el tercio que aprovechaba Krizhevsky?

# %% tags=["solucion"]
for name, speed in {"float32": peak(*CARDS["A100"][1:]), "matrices": 312e12}.items():
    minutes = total / speed / 60
    print(f"{name:<9} {minutes:6.0f} minutos al máximo, {3 * minutes:6.0f} a un tercio")
assert 6 < total / peak(*CARDS["A100"][1:]) / 3600 < 8

# %% [markdown]
# **2. Calcula.** ¿Cuántos días habría tardado VGG-16 en las mismas dos GTX 580, con el mismo aprovechamiento y las
# mismas noventa vueltas? (Su artículo dice que usó cuatro tarjetas más nuevas.)

# %% tags=["solucion"]
vgg_ratio = CATALOG["vgg16"].macs / CATALOG["alexnet"].macs
print(f"{vgg_ratio:.0f} veces más operaciones: de {5 * vgg_ratio:.0f} a {6 * vgg_ratio:.0f} días")
assert vgg_ratio > 15

# %% [markdown]
# **3. Mide.** ¿Qué lote máximo cabe en 1.5, 3 y 6 GB según `training_gb`?

# %% tags=["solucion"]
for memory in (1.5, 3, 6):
    largest = max(size for size in range(1, 1025) if training_gb(size) < memory)
    print(f"{memory} GB: lotes de hasta {largest}")
    assert training_gb(largest) < memory <= training_gb(largest + 1)

# %% [markdown]
# **4. Compara.** ¿A cuántos dólares salía cada billón de operaciones por segundo en las tres tarjetas de la tabla que tienen
# precio? ¿Bajó siempre?

# %% [markdown] tags=["solucion"]
# No se puede decir que bajara siempre: con su reloj base, la TITAN Z sale algo más cara por operación que la 580 de cuatro
# años antes; con el que alcanza en la práctica, que es mayor, quedarían más cerca. Se pagaba por tenerlo todo en una placa. Un año
# después, la TITAN X costaba menos de la mitad que cualquiera de las dos.

# %% tags=["solucion"]
prices = {
    "GTX 580": (499, peak(512, 1544)),
    "TITAN Z": (2999, peak(5760, 706)),
    "TITAN X": (999, peak(3072, 1089)),
}
per_trillion = {name: price / speed * 1e12 for name, (price, speed) in prices.items()}
for name, dollars in per_trillion.items():
    print(f"{name}: {dollars:.0f} dólares por billón de operaciones por segundo")
assert per_trillion["TITAN X"] < 0.5 * min(per_trillion["GTX 580"], per_trillion["TITAN Z"])
assert per_trillion["GTX 580"] < per_trillion["TITAN Z"]

# %% [markdown]
# **5. Inventa.** En el experimento, ¿qué le harías a la red para que alcance a HOG con menos imágenes? Prueba una cosa.

# %% [markdown] tags=["solucion"]
# Cualquier cosa que le cuente algo que no tiene que descubrir: aumentación (un espejo no cambia la prenda), partir de
# pesos aprendidos en otra tarea, o un promedio de varias redes. La más barata de probar es el espejo. Con tan pocas imágenes, un
# solo sorteo no dice nada: probamos con cuatro.

# %% tags=["solucion"]
gains = []
for start in range(0, 400, 100):
    few = train_set[order[start : start + 100]]
    mirrored = data.Dataset(
        torch.cat([few.images, few.images.flip(-1)]), few.labels.repeat(2), few.classes
    )
    gains.append(with_network(mirrored) - with_network(few))
print("lo que agrega el espejo, en puntos:", ", ".join(f"{100 * gain:+.1f}" for gain in gains))
print(f"en promedio: {100 * sum(gains) / len(gains):+.1f}")
assert min(gains) < 0 < max(gains)
assert abs(sum(gains) / len(gains)) < 0.06

# %% [markdown] tags=["solucion"]
# De un sorteo a otro cambia hasta el signo. Fashion-MNIST ya trae las prendas de frente y centradas: un espejo le
# cuenta poco que no sepa. Para HOG, la distancia sigue siendo la misma.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - La red por dentro, pieza por pieza: [AlexNet](../arquitecturas/alexnet.py).
# - Qué pasó los cinco años siguientes: [la carrera](la-carrera.py).
# - De dónde salió el millón de fotos: [ImageNet y el desafío](imagenet-y-el-desafio.py).
# - Entrenar en varias tarjetas, hoy: [De una GPU a un clúster](../tecnicas/cluster.py).
# - En la API: [`CATALOG`](../api/models.md), [`count_macs`](../api/inspection.md#cnnhistory.inspection.count_macs) y
#   [`shape_table`](../api/inspection.md#cnnhistory.inspection.shape_table).
#
# ## Referencias { #referencias }
#
# - [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012): el artículo.
# - [Dalal y Triggs (2005)](../referencia/bibliografia.md#dalal2005): HOG.
# - [Perronnin, Sánchez y Mensink (2010)](../referencia/bibliografia.md#perronnin2010) y
#   [Lin et al. (2011)](../referencia/bibliografia.md#lin2011): los que ganaban antes.
# - [Bergstra et al. (2010)](../referencia/bibliografia.md#bergstra2010),
#   [Collobert et al. (2011)](../referencia/bibliografia.md#collobert2011),
#   [Jia et al. (2014)](../referencia/bibliografia.md#jia2014) y
#   [Chetlur et al. (2014)](../referencia/bibliografia.md#chetlur2014): las herramientas.
# - Cómo se comprobó cada cifra de las tarjetas está en [su tabla](#tarjetas).
#
# [^lista]: [Xiao, Rasul y Vollgraf (2017)](../referencia/bibliografia.md#xiao2017), en la lista de resultados enviados a
#     su repositorio, que dicen no haber verificado.
