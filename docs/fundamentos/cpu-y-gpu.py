# %% [markdown]
# # CPU y GPU: por qué tarda lo que tarda
#
# La misma red, los mismos datos. Una persona la entrena mientras toma un café; otra la deja para mañana. **¿Qué tiene la máquina
# rápida que no tenga la tuya? ¿Y cuánto de eso depende de cómo escribas el código?**
#
# En esta página contamos con lápiz cuánto trabajo hay en una convolución y cuántos bytes mueve. Después lo medimos en la
# máquina que construyó este sitio, que no tiene GPU. Y al final ponemos, al lado, lo que publican los fabricantes. Los tiempos
# cambian en cada ejecución y en cada máquina, así que casi ninguno se afirma: se afirman las cuentas y las proporciones que
# son grandes de verdad.

# %%
import os
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory import inspection, models, plotting

seed = 0
torch.manual_seed(seed)
torch.set_num_threads(1)  # medimos la capa, no cómo se reparte entre núcleos

# %% [markdown]
# ## Cuánto trabajo hay { #trabajo }
#
# Tomemos la segunda convolución de [la CNN pequeña](cnn-pequena.py): 64 filtros sobre 64 mapas de 16×16, con relleno. Para
# **un** número de la salida hacen falta $3 \cdot 3 \cdot 64 = 576$ multiplicaciones, cada una con su suma. Salen
# $64 \cdot 16 \cdot 16 = 16\,384$ números por imagen. Entonces:
#
# $$ 576 \cdot 16\,384 = 9\,437\,184 \text{ MACs} = 18\,874\,368 \text{ operaciones} $$
#
# Una MAC son dos operaciones de punto flotante (**FLOP**, *floating-point operation*): multiplicar y sumar. Con mayúscula al final,
# FLOPS, es una velocidad: operaciones por segundo.

# %%
convolution = nn.Conv2d(64, 64, kernel_size=3, padding=1)
dense = nn.Linear(64 * 8 * 8, 128)
conv_flop = 2 * inspection.count_macs(convolution, (64, 16, 16))
dense_flop = 2 * inspection.count_macs(dense, (4096,))
print(inspection.thousands(conv_flop), "operaciones por imagen, la convolución")
print(inspection.thousands(dense_flop), "operaciones por imagen, la densa que viene después")

assert conv_flop == 2 * 576 * 16_384 == 18_874_368
assert dense_flop == 2 * 4096 * 128

# %% [markdown]
# ## La misma cuenta, dos maneras { #bucles }
#
# Escribamos la convolución como se explica, con bucles, y comparémosla con la de PyTorch. Un caso diminuto, porque
# la primera manera no da para más. El resultado es el mismo; el tiempo, no. (`best_seconds` mide tiempo de *procesador* y no de reloj, repite y
# se queda con el menor: [al final](#errores) se ve por qué hace falta tanto cuidado.)


# %%
def by_loops(image, weight):
    """Una convolución sin relleno, número por número: listas de Python, nada más."""
    channels, side, window = len(image), len(image[0]), len(weight[0][0])
    size = side - window + 1
    output = []
    for kernel in weight:
        plane = [[0.0] * size for _ in range(size)]
        for row in range(size):
            for column in range(size):
                total = 0.0
                for channel in range(channels):
                    for y in range(window):
                        for x in range(window):
                            total += image[channel][row + y][column + x] * kernel[channel][y][x]
                plane[row][column] = total
        output.append(plane)
    return output


def best_seconds(function, repeats=5):
    """El menor de varios tiempos de procesador, tras una llamada que no se cuenta."""
    function()
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


small, kernels = torch.randn(1, 8, 16, 16), torch.randn(16, 8, 3, 3)
looped = torch.tensor(by_loops(small[0].tolist(), kernels.tolist()))
with torch.inference_mode():
    assert torch.allclose(looped, F.conv2d(small, kernels)[0], atol=1e-4)
print("mismo resultado")

# %% tags=["tiempos"]
lists = small[0].tolist(), kernels.tolist()
with torch.inference_mode():
    slow = best_seconds(lambda: by_loops(*lists), repeats=1)
    fast = best_seconds(lambda: F.conv2d(small, kernels), repeats=20)
small_flop = 2 * 16 * 14 * 14 * 8 * 9
print(f"bucles de Python: {slow * 1e3:8.2f} ms, {small_flop / slow / 1e6:8.0f} MFLOPS")
print(f"PyTorch:          {fast * 1e3:8.2f} ms, {small_flop / fast / 1e6:8.0f} MFLOPS")
print(f"{slow / fast:.0f} veces")
assert slow > 20 * fast

# %% [markdown]
# El mismo procesador, las mismas multiplicaciones. La diferencia son tres cosas, y las tres reaparecen en una GPU, en grande:
#
# - **Sin intérprete en medio.** Python gasta más en decidir qué multiplicar que en multiplicar.
# - **Varios números por instrucción.** Un procesador actual multiplica 8 o 16 pares de una vez, si los encuentra juntos en la memoria
#   (se llama *SIMD*: una instrucción, muchos datos).
# - **Los datos, cerca.** Se procesan por bloques que caben en la memoria pequeña y rápida del procesador, la *caché*.
#
# ### Una convolución es un producto de matrices
#
# ¿Cómo se hace una convolución sin bucles? Se copia cada ventana en una fila y se multiplica esa matriz por la de los
# filtros. Así lo pidieron las primeras bibliotecas para GPU, porque multiplicar matrices grandes es lo que mejor hace cualquier
# máquina.[^cudnn] En PyTorch, la función que estira las ventanas se llama `unfold`:

# %%
images = torch.randn(2, 64, 16, 16)
columns = F.unfold(images, kernel_size=3, padding=1)  # (2, 576, 256): una columna por ventana
product = convolution.weight.flatten(1) @ columns + convolution.bias[:, None]
print("de", tuple(images.shape), "a", tuple(columns.shape), "y a", tuple(product.shape))

with torch.no_grad():
    assert torch.allclose(product.view(2, 64, 16, 16), convolution(images), atol=1e-4)
assert columns.numel() == 9 * images.numel()

# %% [markdown]
# Es la misma convolución, y la entrada ocupa nueve veces más: cada píxel aparece en nueve ventanas. Las bibliotecas de hoy hacen ese
# estirado por trozos, sin guardarlo entero.
#
# ## Calcular o esperar: la intensidad aritmética { #intensidad }
#
# Para multiplicar hay que traer los números. Si se tarda más en traerlos que en multiplicarlos, el procesador espera, y comprar
# uno que multiplique más deprisa no sirve de nada. Lo que decide es cuántas operaciones se hacen con cada byte que se mueve: la
# **intensidad aritmética**.[^roofline] Cuéntala en la convolución, con números de 4 bytes (`float32`) y una imagen:
#
# - entran $64 \cdot 16 \cdot 16 \cdot 4 = 65\,536$ bytes, y salen otros tantos;
# - los pesos son $36\,928 \cdot 4 = 147\,712$ bytes;
# - $18\,874\,368 / (2 \cdot 65\,536 + 147\,712) \approx 68$ operaciones por byte.
#
# Y en la densa de $4096 \times 128$: los pesos son $(4096 + 1) \cdot 128 \cdot 4 \approx 2.1$ millones de bytes, para un millón de
# operaciones. **Media operación por byte.** Cada peso se trae, se usa una vez y se tira.
#
# ¿Cómo se arregla? Con un lote. Si entran 128 imágenes a la vez, cada peso que se trae se usa 128 veces.


# %%
def intensity(flop, weights, moved, batch, width=4):
    """Operaciones por byte: los pesos viajan una vez por lote; los mapas, una vez por imagen."""
    return flop * batch / (width * (weights + moved * batch))


layers = {
    "convolución": (conv_flop, inspection.count_parameters(convolution), 2 * 64 * 16 * 16),
    "densa": (dense_flop, inspection.count_parameters(dense), 4096 + 128),
    "ReLU": (16_384, 0, 2 * 16_384),
}
for name, counts in layers.items():
    print(
        f"{name:<12}" + "  ".join(f"lote {n}: {intensity(*counts, n):6.2f}" for n in (1, 16, 128))
    )

assert round(intensity(*layers["convolución"], batch=1)) == 68
assert round(intensity(*layers["densa"], batch=1), 1) == 0.5
assert intensity(*layers["densa"], batch=128) > 50 * intensity(*layers["densa"], batch=1)
assert intensity(*layers["ReLU"], 1) == intensity(*layers["ReLU"], 128) == 1 / 8

# %% [markdown]
# La ReLU no tiene arreglo: trae un número, lo compara, lo devuelve. Por eso las bibliotecas la hacen *de paso*, pegada a la
# convolución anterior. Y hay que comparar con lo que la máquina puede: sus operaciones por segundo entre sus bytes por segundo es el
# **equilibrio** de esa máquina. Por debajo de él, espera.
#
# ### Medido: el lote
#
# Las dos capas, con lotes cada vez mayores, y el tiempo *por imagen*.

# %% tags=["tiempos"] alt="Microsegundos por imagen según el tamaño del lote, de 1 a 256, en escala logarítmica. La línea de la densa empieza alta y cae mucho al crecer el lote; la de la convolución baja un poco al principio y luego es casi plana." caption="Lo que tarda cada imagen, según con cuántas viaje."
per_image = {}
with torch.inference_mode():
    for name, layer, shape in (
        ("convolución", convolution, (64, 16, 16)),
        ("densa", dense, (4096,)),
    ):
        per_image[name] = {}
        for batch in (1, 4, 16, 64, 256):
            images = torch.randn(batch, *shape)
            seconds = best_seconds(lambda f=layer, x=images: f(x))
            per_image[name][batch] = seconds / batch
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.4, 2.8))
    for (name, times), marker in zip(per_image.items(), "os", strict=True):
        axis.loglog(times.keys(), [1e6 * t for t in times.values()], marker=marker, label=name)
    axis.set_xticks((1, 4, 16, 64, 256), ("1", "4", "16", "64", "256"))
    axis.minorticks_off()
    axis.set(xlabel="imágenes por lote", ylabel="µs por imagen")
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()
gains = {name: times[1] / times[256] for name, times in per_image.items()}
speed = conv_flop / per_image["convolución"][256] / 1e9
for name, gain in gains.items():
    print(f"{name}: con 256, cada imagen tarda {gain:.1f} veces menos que sola")
print(f"la convolución va a {speed:.0f} GFLOPS")
assert gains["densa"] > 2

# %% [markdown]
# La densa gana mucho con el lote, como decía la cuenta. La convolución gana menos: con una imagen ya reutilizaba cada peso 256
# veces, una por posición. Por eso, al entrenar, el lote no es solo una cuestión de gradientes. También es lo que llena la máquina.
#
# ## Con la mitad de los bits { #bf16 }
#
# Un `float32` tiene 1 bit de signo, 8 de exponente y 23 de decimales. El **bfloat16** tiene 1, 8 y **7**: el mismo rango, la mitad de
# bytes y solo dos o tres cifras. ¿Qué se pierde? Con 7 bits, entre 256 y 512 solo caben los pares. Luego $256 + 1$ es… 256.
# Y π, en binario, se corta en 3.140625.

# %%
pi = torch.tensor(3.14159265).bfloat16()
print("π:", pi.item(), "· 256 + 1:", (torch.tensor(256.0).bfloat16() + 1).item())
assert pi.item() == 3.140625
assert (torch.tensor(256.0).bfloat16() + 1).item() == 256

with torch.no_grad():
    images = torch.randn(16, 64, 16, 16)
    exact = convolution(images)
    rounded = convolution.bfloat16()(images.bfloat16()).float()
convolution.float()
torch.manual_seed(seed)
convolution.reset_parameters()  # volver de bfloat16 no devuelve los decimales perdidos
error = ((rounded - exact).norm() / exact.norm()).item()
print(f"error relativo de la convolución en bfloat16: {error:.2%}")
assert 0.0005 < error < 0.02

# %% [markdown]
# Un error de décimas por ciento, en una red que de todos modos aprende de lotes al azar, no se nota. La ganancia depende del
# hardware: mitad de bytes siempre; más operaciones por segundo, solo si el procesador trae instrucciones para eso. **Si no las trae, se
# emula, y sale peor.** Pregunta antes:


# %% tags=["tiempos"]
def seconds_as(kind, layout):
    """La convolución con un tipo de número y un orden de la memoria."""
    layer = nn.Conv2d(64, 64, kernel_size=3, padding=1).to(kind, memory_format=layout)
    batch = torch.randn(64, 64, 16, 16).to(kind).to(memory_format=layout)
    with torch.inference_mode():
        return best_seconds(lambda: layer(batch), repeats=3)


native = torch.cpu._is_avx512_bf16_supported()
print("juego de instrucciones:", torch.backends.cpu.get_cpu_capability())
print("¿bfloat16 de fábrica?", "sí" if native else "no: PyTorch lo emula")
baseline = seconds_as(torch.float32, torch.contiguous_format)
for kind in (torch.float32, torch.bfloat16):
    for layout in (torch.contiguous_format, torch.channels_last):
        seconds = seconds_as(kind, layout)
        label = f"{str(kind).removeprefix('torch.')}, {str(layout).removeprefix('torch.')}"
        print(f"{label:<29} {1e3 * seconds:7.2f} ms, {baseline / seconds:5.2f} veces la primera")

# %% [markdown]
# Mira qué dice la segunda línea antes de leer los tiempos de `bfloat16`. [El bucle del paquete](../tecnicas/bucle-de-entrenamiento.py) hace
# esta misma pregunta, y solo lo usa donde gana.
#
# ### Los canales, juntos o separados
#
# La tabla tiene otra variante, `channels_last`. La memoria es una fila larga de números, y una imagen de 2 canales y 2×2 píxeles
# se puede guardar de dos maneras: primero todo el canal A y después todo el B (**AAAA BBBB**), o los dos valores de cada píxel
# juntos (**AB AB AB AB**). Una convolución, en cada píxel, necesita *todos los canales*. En el segundo orden los encuentra juntos. La forma
# del tensor no cambia, solo los saltos (*strides*) entre vecinos:

# %%
planes = torch.arange(8).view(1, 2, 2, 2)  # canal A: 0 1 2 3; canal B: 4 5 6 7
together = planes.contiguous(memory_format=torch.channels_last)
print("forma", tuple(planes.shape), "y", tuple(together.shape))
print("saltos", planes.stride(), "y", together.stride())
in_memory = together.as_strided((8,), (1,)).tolist()
print("en memoria:", planes.flatten().tolist(), "y", in_memory)

assert torch.equal(planes, together)
assert in_memory == [0, 4, 1, 5, 2, 6, 3, 7]

# %% [markdown]
# ## Cuánta memoria pide entrenar { #memoria }
#
# La CNN de dos convoluciones, lote de 128, `float32`. Con lápiz:
#
# - pesos: $564\,426 \cdot 4 \approx 2.3$ MB; sus gradientes, otro tanto; el momento del optimizador, otro tanto. Unos **7 MB**;
# - mapas. Para calcular gradientes hay que *guardar* lo que salió de cada capa. La primera convolución saca $64 \cdot 32 \cdot 32 = 65\,536$
#   números por imagen; por 4 bytes y 128 imágenes son 34 MB. Y es una capa.
#
# Sumemos las salidas de la tabla y comparemos con lo que PyTorch guarda de verdad, que se puede espiar:


# %%
def saved_bytes(net, batch):
    """Bytes que quedan guardados para derivar, sin contar los pesos ni repetir memoria."""
    own = {parameter.untyped_storage().data_ptr() for parameter in net.parameters()}
    kept = {}

    def note(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            kept[storage.data_ptr()] = tensor  # vivo: su dirección no se repite
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        output = net(batch)
    total = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    del output
    return total


net = models.create("two_conv")
rows = inspection.shape_table(net, (3, 32, 32))
outputs = sum(torch.Size(row.output_shape).numel() for row in rows if row.kind != "Flatten")
weights_mb = 3 * 4 * inspection.count_parameters(net) / 1e6
by_table = 4 * 128 * outputs / 1e6
measured = saved_bytes(net, torch.randn(128, 3, 32, 32)) / 1e6
print(f"pesos, gradientes y momento: {weights_mb:6.1f} MB")
print(f"mapas, según la tabla:       {by_table:6.1f} MB")
print(f"mapas, lo que guarda:        {measured:6.1f} MB")

assert 6 < weights_mb < 7.5
assert 0.5 < measured / by_table < 1.5
assert measured > 5 * weights_mb

# %% [markdown]
# Los mapas pesan mucho más que la red, y crecen con el lote. La cuenta de la tabla acierta el tamaño y no el detalle: la ReLU guarda
# su salida, no su entrada; el pooling guarda además *dónde* estaba cada máximo, con enteros de 8 bytes. Si un día no alcanza la memoria,
# ya sabes qué achicar primero: el lote.
#
# ## Qué cambia con una GPU { #gpu }
#
# Una CPU tiene pocos núcleos muy listos. Una **GPU** (procesador gráfico) tiene miles muy simples, hechos para aplicar la misma cuenta a
# millones de píxeles, y una memoria mucho más ancha. Es justo lo que pide una convolución. Lo que promete cada tarjeta se calcula
# con lápiz: núcleos, por ciclos por segundo, por 2 (multiplica y suma).
#
# En las diapositivas de las que parte este curso hay una ficha de la «NVIDIA GTX TITAN Z»: 12 GB de GDDR5 con interfaz de 384 bits, 336.5 GB/s, 3072
# procesadores, PCI Express 3.0 x16, 7.0 GB/s, 250 W, 6691 GFLOPS y 1100 dólares. Pongámosla a prueba:
#
# - $3072 \cdot 1.089 \text{ GHz} \cdot 2 = 6691$ GFLOPS: cuadra con un reloj de 1089 MHz;
# - 384 bits, a 7.0 **Gb/s por cada bit** de la interfaz, son $384 \cdot 7.0 / 8 = 336$ GB/s: cuadra, y de paso dice qué era el «7.0 GB/s».
#
# Las cuentas salen, y la tarjeta no: esos números son de la GTX TITAN **X**, de 2015. La Z, un año anterior, eran dos chips en una placa: 5760
# núcleos entre los dos, y 6 GB para cada uno. Las fichas, con sus fuentes, están en [la página de 2012](../historia/2012-alexnet.py#titan). Aquí
# usamos las mismas cifras.

# %%
CARDS = {  # núcleos, reloj máximo (MHz), GB/s, billones de operaciones por segundo en matrices
    "GTX TITAN X (2015)": (3072, 1089, 336.5, None),
    "A100 (2020)": (6912, 1410, 1555, 312),
    "H100 (2022)": (16_896, 1980, 3350, 989.4),
}
print(f"{'':<20}{'float32':>14}{'matrices':>12}{'memoria':>12}{'equilibrio':>14}")
balance = {}
for name, (cores, clock, bandwidth, matrix) in CARDS.items():
    plain = 2 * cores * clock / 1e6  # TFLOPS
    balance[name] = 1e3 * (matrix or plain) / bandwidth
    tensor = f"{matrix:.0f} TFLOPS" if matrix else "—"
    print(
        f"{name:<20}{plain:>7.1f} TFLOPS{tensor:>12}{bandwidth:>7.0f} GB/s"
        f"{balance[name]:>5.0f} FLOP/byte"
    )

assert round(2 * 3072 * 1089 / 1e3) == 6691
assert 384 * 7.0 / 8 == 336
assert balance["GTX TITAN X (2015)"] < balance["A100 (2020)"] < balance["H100 (2022)"]

# %% [markdown]
# La columna «matrices» es de las unidades que solo multiplican matrices, en `bfloat16`. Fíjate en la última: en siete años la velocidad
# de cálculo creció mucho más que la de la memoria, y por eso **cada vez cuesta más no hacerlas esperar**. Comparemos ese equilibrio con
# nuestras dos capas:

# %% alt="Intensidad aritmética según el lote, en escala logarítmica. La curva de la convolución empieza por encima de 100 y se aplana cerca de 290. La de la densa empieza en 1, sube casi en línea recta y se va aplanando hacia 120. Dos líneas horizontales marcan el equilibrio de la A100, en 201, y de la H100, en 295. La convolución cruza la primera y roza la segunda; la densa no llega a ninguna." caption="Operaciones por byte en bfloat16 según el lote. Debajo de la línea de una tarjeta, la tarjeta espera a su memoria."
batches = [2**power for power in range(11)]
with plotting.style():
    figure, axis = plt.subplots(figsize=(6.4, 3.1))
    for name, marker in (("convolución", "o"), ("densa", "s")):
        values = [intensity(*layers[name], batch, width=2) for batch in batches]
        axis.loglog(batches, values, marker=marker, markersize=4, label=name)
    for name in ("A100 (2020)", "H100 (2022)"):
        axis.axhline(balance[name], color=plotting.INK, linestyle=":", linewidth=1)
        axis.text(1, balance[name] * 1.05, name, size=7, va="bottom")
    axis.set(xlabel="imágenes por lote", ylabel="operaciones por byte", ylim=(0.7, 600))
    axis.legend(loc="lower right")
    figure.tight_layout()

enough = next(  # la TITAN X no tenía bfloat16: sus números son de 4 bytes
    batch
    for batch in range(1, 5000)
    if intensity(*layers["densa"], batch) > balance["GTX TITAN X (2015)"]
)
print("lote con que la densa deja de esperar en una TITAN X:", enough)
assert 40 < enough < 80
assert intensity(*layers["densa"], 10**6, width=2) < balance["A100 (2020)"]
assert intensity(*layers["convolución"], 128, width=2) > balance["A100 (2020)"]

# %% [markdown]
# A la TITAN X le bastaba un lote mediano para no esperar por esa densa. A una A100 no le basta **ninguno**: traer y devolver los mapas ya cuesta más
# que la cuenta. La misma capa cambió de lado sin que nadie la tocara.

# %% [markdown]
# ### Lo que prometen y lo que dan
#
# Nadie entrena a la velocidad de la ficha. NVIDIA publica que una A100 entrena [2470 imágenes por segundo de
# ResNet-50](https://github.com/NVIDIA/DeepLearningExamples/blob/master/PyTorch/Classification/ConvNets/resnet50v1.5/README.md) con precisión mixta.
# Con nuestro catálogo eso se convierte en operaciones: las MACs de la red, por 2, y por 3, porque derivar cuesta el doble que
# calcular hacia adelante.

# %%
resnet_flop = 3 * 2 * models.CATALOG["resnet50"].macs
achieved = 2470 * resnet_flop / 1e12
print(f"{achieved:.0f} TFLOPS de 312: el {achieved / 312:.0%} de lo que promete la ficha")
assert 0.1 < achieved / 312 < 0.3

# %% tags=["tiempos"]
print(f"esta CPU, en nuestra convolución: {speed / 1e3:.3f} TFLOPS, en un hilo")
print(f"la A100 entrenando, según esas cifras: {1e3 * achieved / speed:.0f} veces más")
assert 1e3 * achieved / speed > 50

# %% [markdown]
# No son la misma prueba, y de este lado hay un solo hilo y del otro una tarjeta entera, así que esa última proporción es un orden de
# magnitud, nada más. Pero es el que separa una noche de un minuto.
#
# ¿Y cómo se usa? Con dos líneas: `net.to("cuda")` y cada lote `.to("cuda")`. Lo demás no cambia; el bucle del paquete pregunta a
# la red dónde vive. Lo que sí cambia es qué estorba: [leer los datos](../tecnicas/cluster.py), porque una GPU
# se los come más deprisa de lo que un disco los da.

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Cronometrar la primera llamada
#
# La primera vez hay que elegir el algoritmo, pedir memoria y cargar código. Si tu cronómetro la incluye, mides otra cosa. Con una red nueva y
# un tamaño que nadie había pedido antes, en un proceso recién arrancado:

# %% tags=["tiempos"]
script = """
import time, torch
net, batch = torch.nn.Conv2d(64, 64, 3), torch.randn(1, 64, 16, 16)
times = []
with torch.inference_mode():
    for _ in range(20):
        start = time.perf_counter()
        net(batch)
        times.append(time.perf_counter() - start)
print(times[0], min(times[1:]))
"""
done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
cold, warm = map(float, done.stdout.split())
print(f"antes   {1e3 * cold:.2f} ms, la primera llamada")
print(f"después {1e3 * warm:.2f} ms, ya en caliente: {cold / warm:.0f} veces menos")
assert cold > 2 * warm

# %% [markdown]
# ### Cronometrar sin esperar
#
# Una GPU recibe órdenes y trabaja por su cuenta. Cuando `net(batch)` vuelve, el cálculo *no ha terminado*: apenas está encargado. Quien mide
# ahí mide lo que se tarda en pedir, y publica redes imposiblemente rápidas. Hay que llamar a `torch.cuda.synchronize()` antes de cada lectura del reloj.
# Aquí no hay GPU, pero el mismo error se puede cometer con un hilo que trabaja aparte:

# %% tags=["tiempos"]
batch = torch.randn(128, 64, 16, 16)
with ThreadPoolExecutor(max_workers=1) as worker, torch.inference_mode():
    worker.submit(convolution, batch).result()  # en caliente
    start = time.perf_counter()
    order = worker.submit(convolution, batch)
    asked = time.perf_counter() - start
    order.result()  # esto es lo que hace synchronize()
    finished = time.perf_counter() - start
print(f"antes   {1e3 * asked:7.2f} ms, sin esperar")
print(f"después {1e3 * finished:7.2f} ms, esperando el resultado")
assert finished > asked

# %% [markdown]
# ### Medir en compañía
#
# El reloj de pared cuenta también el tiempo en que otro programa usó tu procesador. Obliguemos a otro proceso a compartir nuestro
# núcleo (esto se puede en Linux) y comparemos el reloj con el tiempo que de verdad nos dieron:

# %% tags=["tiempos"]
if hasattr(os, "sched_setaffinity"):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})  # el otro proceso lo hereda
    rival = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        time.sleep(0.3)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.inference_mode():
            for _ in range(4):
                convolution(batch)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    finally:
        rival.kill()
        rival.wait()
        os.sched_setaffinity(0, allowed)
    print(f"reloj de pared {wall:.2f} s; procesador usado {cpu:.2f} s; {wall / cpu:.1f} veces")
    assert wall > 1.2 * cpu

# %% [markdown]
# El remedio: máquina libre, varias repeticiones y **decir el mínimo o la mediana y cuánto varían**, nunca una sola medida. Si el reloj y el tiempo
# de procesador no se parecen, alguien más estaba ahí.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** Una convolución de 1×1 con 64 canales de entrada y 64 de salida, sobre mapas de 16×16. ¿Cuántas operaciones por byte con una
# imagen en `float32`? ¿Espera más o menos que la de 3×3?

# %% [markdown] tags=["solucion"]
# Nueve veces menos operaciones y los mismos mapas: la intensidad baja. Las redes con muchas convoluciones de 1×1 tienen pocas MACs y no son tan
# rápidas como esas MACs prometen.

# %% tags=["solucion"]
pointwise = nn.Conv2d(64, 64, kernel_size=1)
flop = 2 * inspection.count_macs(pointwise, (64, 16, 16))
thin = intensity(flop, inspection.count_parameters(pointwise), 2 * 64 * 16 * 16, batch=1)
print(f"{thin:.0f} operaciones por byte")
assert flop * 9 == conv_flop
assert thin < intensity(*layers["convolución"], batch=1) / 4

# %% [markdown]
# **2. Calcular.** Sumando las salidas de su tabla, ¿cuántos MB de mapas guarda una VGG-16 por cada imagen de 224×224 al entrenar en `float32`? ¿Con qué lote
# los mapas ocupan más que los pesos, sus gradientes y el momento?

# %% tags=["solucion"]
with torch.device("meta"):  # solo las formas: no reserva memoria para los pesos
    vgg = models.CATALOG["vgg16"].build(num_classes=1000, in_channels=3)
rows = inspection.shape_table(vgg, (3, 224, 224))
maps_mb = 4 * sum(torch.Size(row.output_shape).numel() for row in rows) / 1e6
fixed_mb = 3 * 4 * inspection.count_parameters(vgg) / 1e6
print(
    f"{maps_mb:.0f} MB por imagen; {fixed_mb:.0f} MB fijos; se igualan con {fixed_mb / maps_mb:.0f}"
)
assert 80 < maps_mb < 140
assert 1600 < fixed_mb < 1700

# %% [markdown]
# **3. Modificar.** En `bfloat16`, ¿cuánto da sumar mil veces 1, de uno en uno? ¿Y de una vez con `sum()`? Explica por qué los
# productos en `bfloat16` se *acumulan* en `float32`.

# %% [markdown] tags=["solucion"]
# De uno en uno se atasca en 256: desde ahí, sumar 1 no llega al siguiente número que existe. `sum()` acumula con más decimales y redondea al final. Si
# cada MAC redondeara, una convolución con 576 sumandos perdería la mitad.

# %% tags=["solucion"]
total = torch.zeros((), dtype=torch.bfloat16)
for _ in range(1000):
    total += 1
at_once = torch.ones(1000, dtype=torch.bfloat16).sum().item()
print("de uno en uno:", total.item(), "· de una vez:", at_once)
assert total.item() == 256
assert abs(at_once - 1000) <= 4

# %% [markdown]
# **4. Inventar.** Escribe un cronómetro que no cometa ninguno de los tres errores: que caliente, que repita, que espere si hay GPU, y que diga la mediana
# y cuánto varía. ¿Qué harías si la variación es mayor que la diferencia que querías medir?

# %% [markdown] tags=["solucion"]
# Si varía más que la diferencia, no hay resultado: repite más, con la máquina libre, y alternando las dos cosas que comparas para
# que el ruido les toque por igual.


# %% tags=["solucion", "tiempos"]
def stopwatch(function, repeats=15, warmup=3):
    """Mediana de los segundos, y distancia entre el primer y el tercer cuartil."""
    wait = torch.cuda.synchronize if torch.cuda.is_available() else lambda: None
    times = []
    for turn in range(warmup + repeats):
        wait()
        start = time.perf_counter()
        function()
        wait()
        if turn >= warmup:
            times.append(time.perf_counter() - start)
    first, median, third = statistics.quantiles(times, n=4)
    return median, third - first


with torch.inference_mode():
    median, spread = stopwatch(lambda: convolution(batch[:16]))
print(f"{1e3 * median:.2f} ms ± {1e3 * spread / 2:.2f}")
assert median > 0
assert spread >= 0

# %% [markdown]
# ## Para seguir { #seguir }
#
# - Con esto termina el curso. La historia empieza en [LeNet-5](../arquitecturas/lenet-5.py), y la de las tarjetas gráficas, en
#   [2012](../historia/2012-alexnet.py).
# - Más de una tarjeta: [de una GPU a un clúster](../tecnicas/cluster.py). Lo que tarda el bucle del paquete, contra otro:
#   [rendimiento](../resultados/rendimiento.md).
# - En la referencia: [`count_macs`](../api/inspection.md#cnnhistory.inspection.count_macs) y
#   [`mixed_precision`](../api/training.md#cnnhistory.training.mixed_precision).
#
# ## Referencias
#
# - [Micikevicius y otros (2017)](../referencia/bibliografia.md#micikevicius2017): entrenar con números de 16 bits.
#
# [^cudnn]: [Chetlur y otros (2014)](../referencia/bibliografia.md#chetlur2014).
# [^roofline]: [Williams, Waterman y Patterson (2009)](../referencia/bibliografia.md#williams2009).
