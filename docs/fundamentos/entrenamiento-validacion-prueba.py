# %% [markdown]
# # Entrenamiento, validación y prueba: cuánto creerle a un porcentaje
#
# Alguien te ofrece dos clasificadores. Los probó con cien imágenes: el primero acertó 92 y el segundo, 90.
# **¿Con cuál te quedas?**
#
# Piénsalo un momento, y después mira este experimento. Un *mismo* clasificador, que acierta nueve de cada diez veces,
# se mide dos veces, cada una con cien imágenes nuevas:

# %%
import torch

SEED = 0
generator = torch.Generator().manual_seed(SEED)
first, second = (torch.rand(2, 100_000, 100, generator=generator) < 0.9).sum(dim=2)
print("diez pares de medidas:", *(f"{a}/{b}" for a, b in zip(first[:10], second[:10], strict=True)))
apart = ((first - second).abs() >= 2).float().mean().item()
print(f"veces en que una medida le saca dos puntos o más a la otra: {apart:.0%}")

assert 0.6 < apart < 0.8

# %% [markdown]
# La mayoría de las veces, *el mismo programa* se gana o se pierde a sí mismo por dos puntos o más. El 92 y el 90 de
# antes no dicen cuál es mejor. No dicen casi nada.
#
# Esta página trata de eso: cuánto tiembla un porcentaje, con qué imágenes hay que medirlo y de cuántas maneras se puede
# hacer trampa sin querer. Cada trampa, medida.
#
# ## Tres montones { #tres-montones }
#
# El **vecino más cercano**, que contesta copiando la etiqueta del ejemplo más parecido, hace un examen perfecto si le
# preguntas por los mismos ejemplos que guardó: el más parecido a cada imagen es ella misma.

# %%
from cnnhistory import data, inspection, plotting

train_set, test_set = data.fashion_mnist("mini")


def flat(images):
    """Los píxeles entre 0 y 1, en fila: (N, 784)."""
    return images.float().flatten(1) / 255


def nearest(known, labels, asked):
    """La etiqueta del ejemplo conocido más parecido a cada imagen."""
    return labels[torch.cdist(asked, known).argmin(1)]


known, labels = flat(train_set.images[:3000]), train_set.labels[:3000]
memory = (nearest(known, labels, known) == labels).float().mean().item()
honest = (nearest(known, labels, flat(test_set.images)) == test_set.labels).float().mean().item()
print(f"con las imágenes que guardó: {memory:.1%} · con imágenes nuevas: {honest:.1%}")

assert memory > 0.999
assert honest < 0.85

# %% [markdown]
# El primer número no mide nada. Lo que importa es acertar con lo que *no* se ha visto: **generalizar**
# (*generalize*). Por eso los datos se reparten en tres montones, que no comparten ni una imagen:
#
# | Montón | Para qué | Como si fuera |
# | --- | --- | --- |
# | **entrenamiento** (*training*) | de él aprende el modelo | los ejercicios de clase |
# | **validación** (*validation*) | con él se elige entre variantes del modelo | el simulacro |
# | **prueba** (*test*) | con él se mide la variante elegida, una vez | el examen |
#
# ¿Por qué no bastan dos? Porque elegir también es aprender. Lo veremos [más abajo](#elegir), con números. Antes, lo
# primero: cuánto vale una medida.
#
# ## Cuánto tiembla un porcentaje { #error-estandar }
#
# Supón que tu clasificador acierta una fracción $p$ de *todas* las imágenes del mundo. Nadie conoce $p$. Tú tomas $n$
# imágenes al azar, cuentas los aciertos y divides entre $n$. Con otras $n$ imágenes saldría otro número. Cuánto se
# apartan de $p$ esos números, en promedio, es el **error estándar** (*standard error*), y tiene fórmula:
#
# $$ e = \sqrt{\frac{p\,(1-p)}{n}} $$
#
# Con lápiz. Si $p = 0.9$, entonces $p(1-p) = 0.9 \times 0.1 = 0.09$, cuya raíz es $0.3$. Así que $e = 0.3/\sqrt{n}$:
#
# | Imágenes de prueba, $n$ | Raíz, $\sqrt{n}$ | Error estándar, $e$ | Casi siempre entre ($p \pm 2e$) |
# | ---: | ---: | ---: | --- |
# | 25 | 5 | 0.06 | 78 % y 102 %: ni siquiera es posible |
# | 100 | 10 | 0.03 | 84 % y 96 % |
# | 2500 | 50 | 0.006 | 88.8 % y 91.2 % |
# | 10 000 | 100 | 0.003 | 89.4 % y 90.6 % |
#
# «Casi siempre» es 95 de cada 100 veces. Fíjate en el precio: **para temblar la mitad hacen falta cuatro veces más
# imágenes**. Y en lo que dice de las cien imágenes del principio: 90 y 92 caben de sobra en el mismo intervalo.
#
# La fórmula es de papel. Comprobémosla con un clasificador de verdad: uno con un peso por píxel y por clase, como el de
# la [página anterior](clasificar-imagenes.py). Lo entrenamos, lo medimos con las 2000 imágenes de prueba, y después con
# muchas muestras al azar de esas mismas imágenes.

# %% alt="Tres histogramas de acierto medido, uno por fila, con muestras de 50, 200 y 800 imágenes. Los tres están centrados en el mismo valor, marcado con una línea vertical; el primero es muy ancho, el segundo la mitad y el tercero la cuarta parte. Una banda sombreada, de dos errores estándar a cada lado, cubre casi todas las barras de cada uno." caption="El mismo clasificador, medido 5000 veces con 50, 200 y 800 imágenes. La banda es lo que predice la fórmula: dos errores estándar a cada lado."
import matplotlib.pyplot as plt
from torch import nn

from cnnhistory.training import train

normalize = data.normalization(train_set)


def linear_net(dataset, seed=SEED, transform=normalize, epochs=4):
    """Un peso por píxel y por clase, entrenado con esas imágenes."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Flatten(), nn.Linear(784, 10))
    batches = data.Batches(dataset, 128, shuffle=True, seed=seed, transform=transform)
    train(net, batches, [next(iter(batches))], epochs=epochs, lr=0.01)
    return net


@torch.inference_mode()
def hits(net, images, labels):
    """Si acierta cada imagen: (N,), con unos y ceros."""
    return (net(images).argmax(1) == labels).float()


net = linear_net(train_set)
correct = hits(net, normalize(test_set.images.float() / 255), test_set.labels)
p = correct.mean().item()
print(f"con las {len(correct)} de prueba: {p:.1%}")

generator = torch.Generator().manual_seed(SEED)
with plotting.style():
    figure, axes = plt.subplots(3, 1, figsize=(6, 4), sharex=True)
    for axis, n in zip(axes, (50, 200, 800), strict=True):
        drawn = torch.randint(len(correct), (5000, n), generator=generator)
        measured = correct[drawn].mean(1)
        formula, seen = (p * (1 - p) / n) ** 0.5, measured.std().item()
        inside = ((measured - p).abs() <= 2 * formula).float().mean().item()
        print(f"n = {n}: fórmula {formula:.4f}, medido {seen:.4f}; en la banda, {inside:.1%}")
        assert abs(seen / formula - 1) < 0.06
        assert 0.92 < inside < 0.985
        edges = (torch.arange(n + 2) - 0.5) / n
        axis.hist(measured.numpy(), bins=edges[:: 1 + n // 160].numpy(), color=plotting.PALETTE[0])
        axis.axvspan(p - 2 * formula, p + 2 * formula, color=plotting.INK, alpha=0.18, linewidth=0)
        axis.axvline(p, color=plotting.INK, linewidth=1)
        axis.set(yticks=[], title=f"{n} imágenes", xlim=(0.64, 1))
    axes[-1].set_xlabel("acierto medido")
    figure.tight_layout()

# %% [markdown]
# La fórmula acierta. Desde ahora, cuando leas «91.3 %», pregunta: **¿con cuántas imágenes?**
#
# ## Cuánto va a cada montón: 70/30, 60/20/20, 98/1/1 { #reparto }
#
# Durante años se enseñó a repartir 70 % para entrenar y 30 % para probar o, si había que elegir entre modelos, 60/20/20.
# Con un millón de imágenes se reparte 98/1/1. ¿Se volvieron descuidados? Haz la cuenta: la fórmula habla de *cuántas*
# imágenes hay en la prueba, no de qué porcentaje son.

# %%
print(f"{'total':>9}  {'reparto':<9}{'entrenan':>9}{'validan':>9}{'prueban':>9}   90 % ±")
margins = {}
for total in (1000, 10_000, 1_000_000):
    for shares in ((70, 0, 30), (60, 20, 20), (98, 1, 1)):
        training, validation, test = (total * share // 100 for share in shares)
        margins[total, shares[-1]] = 2 * (0.9 * 0.1 / test) ** 0.5
        name = "/".join(str(share) for share in shares if share)
        numbers = "".join(f"{inspection.thousands(n):>9}" for n in (training, validation, test))
        print(
            f"{inspection.thousands(total):>9}  {name:<9}{numbers}   {margins[total, shares[-1]]:.1%}"
        )

assert 1_000_000 * 98 // 100 == 980_000
assert margins[1000, 1] > 0.18  # diez imágenes: no mide nada
assert margins[1_000_000, 1] < 0.0061  # diez mil: mide de sobra
assert margins[1_000_000, 30] > margins[1_000_000, 1] / 6  # treinta veces más, ni seis veces mejor

# %% [markdown]
# Lee las dos esquinas. Con mil imágenes, el 1 % son diez, y el margen es de casi veinte puntos: no se mide nada. Con un
# millón, el 1 % son 10 000, y el margen es de medio punto largo. Dar a la prueba otras 290 000 lo bajaría a una décima,
# y esas imágenes hacen más falta aprendiendo. **La prueba necesita un tamaño, no un porcentaje.**
#
# Y con pocas imágenes hay un tira y afloja de verdad: las que se apartan para medir no enseñan. Lo vemos con los dígitos
# escritos a mano de scikit-learn, de 8×8 píxeles. Tomamos mil al azar, las repartimos de las tres maneras, y contesta el
# vecino más cercano. Doscientas veces. Como sobran 797 dígitos que nadie ha tocado, con ellos sabemos el acierto casi
# verdadero de cada uno.

# %% alt="Tres columnas de puntos, una por reparto. En 70/30 y 60/20/20 los puntos forman una nube apretada alrededor de una raya, el acierto con dígitos apartados. En 98/1/1 los puntos caen en unas pocas alturas muy separadas, entre el 80 y el 100 por ciento, con la mayoría en el 100." caption="Mil dígitos, doscientos repartos de cada tipo. Cada punto es un acierto medido; la raya, el acierto medio con los dígitos que nadie tocó."
from sklearn.datasets import load_digits

images, digit_labels = load_digits(return_X_y=True)
images, digit_labels = torch.tensor(images, dtype=torch.float32), torch.tensor(digit_labels)
between = torch.cdist(images, images)  # la distancia entre cada dos dígitos, una sola vez

generator = torch.Generator().manual_seed(SEED)
spread = {}
with plotting.style():
    figure, axis = plt.subplots(figsize=(6, 3))
    for column, (name, training, test) in enumerate(
        (("70/30", 700, 300), ("60/20/20", 600, 200), ("98/1/1", 980, 10))
    ):
        measured, true = [], []
        for _ in range(200):
            order = torch.randperm(len(images), generator=generator)
            learned, asked, untouched = order[:training], order[1000 - test : 1000], order[1000:]
            for group, scores in ((asked, measured), (untouched, true)):
                copied = digit_labels[learned[between[group][:, learned].argmin(1)]]
                scores.append((copied == digit_labels[group]).float().mean().item())
        measured, true = torch.tensor(measured), torch.tensor(true)
        spread[name] = measured.std().item(), true.mean().item()
        print(
            f"{name:<9} medido: {measured.mean():.1%} ± {measured.std():.1%} · verdadero: {true.mean():.1%}"
        )
        jitter = column + 0.5 * (torch.rand(200, generator=generator) - 0.5)
        axis.plot(jitter, 100 * measured, ".", ms=3, alpha=0.6, color=plotting.PALETTE[column])
        axis.hlines(100 * true.mean(), column - 0.35, column + 0.35, color=plotting.INK)
    axis.set_xticks(range(3), spread)
    axis.set_ylabel("acierto (%)")
    figure.tight_layout()

assert spread["98/1/1"][0] > 3 * spread["70/30"][0]  # mide mucho peor…
assert spread["98/1/1"][1] > spread["60/20/20"][1]  # …y aprende algo mejor

# %% [markdown]
# Con 98/1/1 se aprende un poco mejor, porque enseñan más dígitos, pero la medida no sirve: con diez imágenes solo puede
# salir 100 %, 90 %, 80 %… Con 60/20/20 pasa lo contrario. No hay un reparto correcto; hay una pregunta que hacerse:
# **¿qué diferencia necesito distinguir, y cuántas imágenes hacen falta para verla?** Se despeja de la fórmula:
# $n = p(1-p)/e^2$. Para un margen de un punto ($2e = 0.01$) con $p = 0.9$ son $0.09 / 0.005^2 = 3600$ imágenes.
#
# En este sitio, la prueba de Fashion-MNIST mini tiene 2000. Mide con un margen de punto y medio: dos redes separadas por
# medio punto, para nosotros, empatan.
#
# ## Validación y prueba, de la misma fuente { #misma-fuente }
#
# Quieres una aplicación que reconozca gatos en fotos de celular. Fotos de gatos en la web hay millones, así que entrenas
# con ellas. Fotos de celular tienes pocas: las que tomaste tú. ¿Con cuáles validas, y con cuáles pruebas?

# %% alt="Dos fotos de la misma gata. La primera, nítida y bien iluminada. La segunda, más oscura, borrosa, algo corrida y con grano." caption="«De la web» y «de celular»: la misma foto, y la misma después de correrla, desenfocarla, oscurecerla y ensuciarla."
from torch.nn import functional as F


def phone(images, generator, scale=1):
    """Lo que haría un celular con poca luz: mueve, desenfoca, oscurece y ensucia."""
    moved = torch.stack(
        [
            image.roll(tuple(shift), dims=(1, 2))
            for image, shift in zip(
                images,
                (scale * torch.randint(-3, 4, (len(images), 2), generator=generator)).tolist(),
                strict=True,
            )
        ]
    )
    blurred = F.avg_pool2d(moved, 2 * scale + 1, stride=1, padding=scale, count_include_pad=False)
    noise = 0.05 * torch.randn(images.shape, generator=generator)
    return (0.7 * blurred + noise).clamp(0, 1)


generator = torch.Generator().manual_seed(SEED)
web_cat = data.cat()[None].float() / 255
phone_cat = phone(web_cat, generator, scale=3)
both = (255 * torch.cat([web_cat, phone_cat])).to(torch.uint8)
plotting.image_grid(both[..., ::2, ::2], titles=["de la web", "de celular"], size=2.2)

# %% [markdown]
# Hagámoslo con prendas. Entrenamos dos clasificadores con las fotos «de la web». El segundo, además, las ve corridas
# unos píxeles, al azar, en cada vuelta. Uno de los dos hay que elegir, y el elegido trabajará con fotos «de celular».


# %%
def nudged(images):
    """Cada imagen, corrida al azar hasta tres píxeles: una manera de aumentar los datos."""
    shifts = torch.randint(-3, 4, (len(images), 2)).tolist()
    return normalize(
        torch.stack([i.roll(tuple(s), dims=(1, 2)) for i, s in zip(images, shifts, strict=True)])
    )


learning, val_set = data.split(train_set, fraction=0.2, seed=SEED)
candidates = {
    "A, como vienen": linear_net(learning),
    "B, corridas": linear_net(learning, transform=nudged),
}
web_val = val_set.images.float() / 255
piles = {
    "validación web": (web_val, val_set.labels),
    "validación celular": (phone(web_val, generator), val_set.labels),
    "prueba celular": (phone(test_set.images.float() / 255, generator), test_set.labels),
}
print(f"{'':<20}" + "".join(f"{name:>17}" for name in candidates))
scores = {}
for name, (pile, truth) in piles.items():
    scores[name] = [hits(net, normalize(pile), truth).mean().item() for net in candidates.values()]
    print(f"{name:<20}" + "".join(f"{score:>17.1%}" for score in scores[name]))

web, phone_val, phone_test = scores.values()
assert web[0] > web[1] + 0.02  # la validación de la web elige A
assert phone_val[1] > phone_val[0] + 0.05  # la de celular elige B
assert phone_test[1] > phone_test[0] + 0.05  # y la prueba le da la razón
assert web[0] > phone_test[0] + 0.2

# %% [markdown]
# La validación de la web elige A y promete un acierto que el celular no verá nunca. La del celular elige B, y la
# prueba le da la razón. Las reglas que salen de aquí:
#
# - **Validación y prueba, siempre de la misma fuente, y que sea la del uso real.** Son la diana: si la mueves entre el
#   simulacro y el examen, el simulacro no sirvió.
# - El entrenamiento puede ser de otra fuente, si es lo que hay. Aprender con mucho parecido suele ser mejor que
#   aprender con poco exacto.
#
# No es un caso inventado. Una red que reconocía enfermedades de plantas acertaba el 99.35 % con fotos tomadas como las de
# entrenamiento, hojas sueltas sobre fondo liso. Con fotos tomadas en otras condiciones, el 31.4 %.[^hojas]
#
# ## La fuga, medida { #fuga }
#
# Una **fuga** (*leakage*) es cualquier camino por el que lo que se mide llega a lo que se aprende o a lo que se decide.
# No da errores ni avisos. Solo da números demasiado buenos.
#
# ### La misma cosa en los dos montones { #duplicados }
#
# A cada prenda le tomas cinco fotos, barajas *las fotos* y repartes. Suena bien. Pero casi todas las fotos de la prueba
# tienen una hermana en el entrenamiento: la misma prenda, un poco movida. El vecino más cercano no reconoce la clase:
# reconoce *la prenda*.

# %%
generator = torch.Generator().manual_seed(SEED)
garments, takes = 500, 5
pictures = (train_set.images[:garments].float() / 255).repeat_interleave(takes, 0)
pictures = pictures.roll((1, 1), dims=(2, 3)) * 0.5 + pictures * 0.5  # un poco movidas
pictures = (pictures + 0.1 * torch.randn(pictures.shape, generator=generator)).flatten(1)
garment = torch.arange(garments).repeat_interleave(takes)
picture_labels = train_set.labels[:garments].repeat_interleave(takes)


def measure(in_test):
    """Acierto del vecino más cercano con ese reparto."""
    copied = nearest(pictures[~in_test], picture_labels[~in_test], pictures[in_test])
    return (copied == picture_labels[in_test]).float().mean().item()


by_picture = torch.rand(len(pictures), generator=generator) < 0.3
by_garment = (torch.rand(garments, generator=generator) < 0.3)[garment]
leaked, fair = measure(by_picture), measure(by_garment)
print(f"repartiendo fotos: {leaked:.1%} · repartiendo prendas: {fair:.1%}")

assert leaked > 0.98
assert fair < 0.85

# %% [markdown]
# La solución es repartir *aquello que se repite*: prendas, pacientes, calles, días. Ocurre también en los conjuntos
# famosos: alrededor del 3 % de las imágenes de prueba de CIFAR-10 y del 10 % de las de CIFAR-100 tienen un duplicado, o
# casi, en el entrenamiento.[^cifar]
#
# ### Elegir características con todos los datos { #caracteristicas }
#
# Ahora, datos que no significan nada: cien ejemplos, 4000 características al azar y etiquetas a cara o cruz. No hay nada
# que aprender; cualquier clasificador honesto acertará la mitad. Nos quedamos con las veinte características que más se
# parecen a la etiqueta, y entrenamos con la mitad de los ejemplos. La única diferencia entre los dos experimentos es
# *con qué ejemplos* se eligen esas veinte.


# %%
def noise_accuracy(peeking, generator):
    """Acierto en la prueba con puro ruido, eligiendo características con todo o solo con lo de aprender."""
    features = torch.randn(100, 4000, generator=generator)
    signs = torch.randint(2, (100,), generator=generator) * 2.0 - 1  # la etiqueta: −1 o 1
    learned, asked = torch.arange(50), torch.arange(50, 100)
    looked_at = torch.arange(100) if peeking else learned
    likeness = (features[looked_at] * signs[looked_at, None]).mean(0)
    best = likeness.abs().topk(20).indices
    rule = (features[learned][:, best] * signs[learned, None]).mean(0)
    return ((features[asked][:, best] @ rule > 0) == (signs[asked] > 0)).float().mean().item()


generator = torch.Generator().manual_seed(SEED)
noise = {}
for name, peeking in (("con todos los datos", True), ("solo con los de aprender", False)):
    noise[name] = sum(noise_accuracy(peeking, generator) for _ in range(100)) / 100
    print(f"elegir {name:<25} {noise[name]:.1%}")

assert noise["con todos los datos"] > 0.75
assert abs(noise["solo con los de aprender"] - 0.5) < 0.03

# %% [markdown]
# **Un gran acierto con puro ruido.** Entre 4000 características, unas cuantas se parecen a las etiquetas por casualidad,
# y al elegirlas mirando la prueba nos quedamos con las casualidades de la prueba. En biología, donde hay miles de genes y
# pocos pacientes, hay un artículo clásico dedicado a este error.[^genes]
#
# ### Normalizar con todos los datos { #normalizar }
#
# Normalizar es restar la media y dividir entre la desviación. ¿Y si se calculan con todo, prueba incluida? Es fuga, por
# la definición de arriba. ¿Cuánto cuesta?

# %%
generator = torch.Generator().manual_seed(SEED)
differences = []
for _ in range(100):
    order = torch.randperm(len(images), generator=generator)
    learned, asked = order[:200], order[200:300]
    both_accuracies = []
    for source in (learned, order[:300]):
        mean, deviation = images[source].mean(0), images[source].std(0) + 1
        scaled = (images - mean) / deviation
        copied = nearest(scaled[learned], digit_labels[learned], scaled[asked])
        both_accuracies.append((copied == digit_labels[asked]).float().mean().item())
    differences.append(both_accuracies[1] - both_accuracies[0])
differences = torch.tensor(differences)
error = differences.std() / 10  # el error estándar de un promedio de cien
print(
    f"lo que infla: {100 * differences.mean():+.2f} puntos, con un error estándar de {100 * error:.2f}"
)

assert abs(differences.mean()) < 0.005

# %% [markdown]
# Nada que se note. Una media no sabe de etiquetas, y la de 300 dígitos se parece a la de 200. Se evita de todos modos,
# porque evitarlo es gratis y porque el hábito salva cuando lo que se ajusta sí mira las etiquetas, como en el
# experimento anterior. Pero no todas las fugas pesan igual, y conviene saber cuáles. Por eso las medimos.
#
# ### Elegir con la prueba { #elegir }
#
# La fuga más común no está en los datos: está en ti. Pruebas una variante, miras la prueba; pruebas otra, miras la
# prueba; publicas la mejor. Fabricamos 200 variantes: cada una ve solo 40 píxeles de la imagen, elegidos al azar. De
# verdad hay unas mejores que otras. Medimos con cien imágenes y nos quedamos con la mejor de las $k$ primeras. Como
# tenemos otras 1900, sabemos cuánto acierta *de verdad* la elegida.

# %% alt="Dos líneas según el número de variantes probadas, de 1 a 200. Las dos salen del mismo punto. La del acierto medido en las cien imágenes con que se eligió sube sin parar. La del acierto de la elegida con imágenes nuevas sube mucho menos. La distancia entre ambas crece con el número de variantes." caption="Lo que dice la prueba de la variante elegida con ella, y lo que esa variante acierta con imágenes nuevas. Promedio de 300 sorteos."
generator = torch.Generator().manual_seed(SEED)
train_pixels, test_pixels = flat(train_set.images[:3000]), flat(test_set.images)
targets = F.one_hot(train_set.labels[:3000], 10).float()
variant_hits = []
for _ in range(200):
    chosen = torch.randperm(784, generator=generator)[:40]
    inputs = F.pad(train_pixels[:, chosen], (0, 1), value=1.0)
    # Mínimos cuadrados: los pesos que más acercan cada suma a 1 en su clase y a 0 en las demás.
    squares = inputs.T @ inputs + torch.eye(41)
    solution = torch.linalg.solve(squares, inputs.T @ targets)
    answers = (F.pad(test_pixels[:, chosen], (0, 1), value=1.0) @ solution).argmax(1)
    variant_hits.append((answers == test_set.labels).float())
variant_hits = torch.stack(variant_hits)  # (200 variantes, 2000 imágenes)
print(
    f"las variantes aciertan, de verdad, entre {variant_hits.mean(1).min():.1%} y {variant_hits.mean(1).max():.1%}"
)

tried = (1, 2, 5, 10, 20, 50, 100, 200)
claimed, real = torch.zeros(len(tried)), torch.zeros(len(tried))
for _ in range(300):
    rows = variant_hits[torch.randperm(200, generator=generator)]
    pictures_order = torch.randperm(2000, generator=generator)
    seen, fresh = rows[:, pictures_order[:100]].mean(1), rows[:, pictures_order[100:]].mean(1)
    for index, count in enumerate(tried):
        winner = seen[:count].argmax()
        claimed[index] += seen[winner] / 300
        real[index] += fresh[winner] / 300

with plotting.style():
    figure, axis = plt.subplots(figsize=(6, 3))
    axis.semilogx(tried, 100 * claimed, "o-", ms=4, label="en la prueba con que se eligió")
    axis.semilogx(tried, 100 * real, "s--", ms=4, label="con imágenes nuevas")
    axis.set_xticks(tried, tried)
    axis.minorticks_off()
    axis.set(xlabel="variantes probadas", ylabel="acierto de la elegida (%)")
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()
for count, before, after in zip(tried, claimed, real, strict=True):
    print(
        f"{count:>4} variantes: dice {before:.1%}, acierta {after:.1%}, de más {100 * (before - after):.1f} puntos"
    )

inflation = claimed - real
assert abs(inflation[0]) < 0.015
assert inflation[-1] > 0.04
assert inflation[-1] > inflation[3] > inflation[0]
assert (
    real[-1] > real[0] + 0.008
)  # elegir sirve; lo que no sirve es creerle a la medida con que se eligió

# %% [markdown]
# Se llama **la maldición del ganador** (*winner's curse*). Elegir sirvió: la elegida es mejor que una al azar. Lo que no
# vale es *la medida con que ganó*: entre las variantes buenas, gana la que además tuvo suerte con esas cien imágenes. Y
# cuanto más se prueba, más suerte se acumula.
#
# De ahí los tres montones. La validación carga con la suerte: se usa cuanto haga falta y no se publica. La prueba, que no
# eligió nada, dice la verdad.

# %%
generator = torch.Generator().manual_seed(SEED)
gaps = []
for _ in range(300):
    pictures_order = torch.randperm(2000, generator=generator)
    val, test, fresh = pictures_order[:100], pictures_order[100:200], pictures_order[200:]
    winner = variant_hits[:, val].mean(1).argmax()
    row = variant_hits[winner]
    gaps.append((row[val].mean() - row[fresh].mean(), row[test].mean() - row[fresh].mean()))
val_gap, test_gap = torch.tensor(gaps).mean(0).tolist()
print(
    f"de más, según la validación: {100 * val_gap:+.1f} puntos · según la prueba: {100 * test_gap:+.1f}"
)

assert val_gap > 0.04
assert abs(test_gap) < 0.01

# %% [markdown]
# ## Errores comunes { #errores }
#
# ### Cortar sin barajar { #barajar }
#
# Muchos conjuntos vienen ordenados por clase. Cortas: el primer 70 % para entrenar, el último 30 % para probar.

# %%
ordered = train_set[train_set.labels.argsort(stable=True)]
cut = 7 * len(ordered) // 10
unshuffled = linear_net(ordered[slice(0, cut)])
tail = ordered[slice(cut, None)]
sorted_score = hits(unshuffled, normalize(tail.images.float() / 255), tail.labels).mean().item()

mixed, held_out = data.split(train_set, fraction=0.3, seed=SEED)
shuffled = linear_net(mixed)
fair_score = hits(shuffled, normalize(held_out.images.float() / 255), held_out.labels).mean().item()
print(f"clases en la prueba: {tail.labels.unique().tolist()}")
print(f"sin barajar: {sorted_score:.1%} · barajando: {fair_score:.1%}")

assert sorted_score < 0.02
assert fair_score > 0.8

# %% [markdown]
# Las clases de la prueba no estaban en el entrenamiento. Este error, al menos, grita. Su primo callado es barajar lo que
# *no* se debía: si vas a predecir el futuro, entrena con el pasado y prueba con lo que vino después.
#
# [`data.split`][cnnhistory.data.split] baraja y, además, aparta la misma fracción *de cada clase*. Se llama reparto
# **estratificado** (*stratified*), y con clases raras evita que una se quede fuera.
#
# ### Parar cuando la prueba sale bien
#
# «Lo dejé aprender hasta que la prueba dejó de mejorar.» Es elegir con la prueba, con otro nombre. Lo mismo vale para cualquier
# ajuste que se decida mirándola, y para una costumbre peor: quitar *de la prueba* las imágenes «raras», después de ver cuáles
# fallaban.

# %%
generator = torch.Generator().manual_seed(SEED)
pruned = []
for _ in range(200):
    order = torch.randperm(len(correct), generator=generator)[:500]
    wrong = order[correct[order] == 0]
    dropped = wrong[: len(wrong) // 4]  # «estas eran raras»: una de cada cuatro que falló
    kept = len(order) - len(dropped)
    pruned.append((correct[order].sum().item() / kept) - correct[order].mean().item())
print(
    f"quitar una de cada cuatro que falló: +{100 * sum(pruned) / len(pruned):.1f} puntos, sin aprender nada"
)

assert sum(pruned) / len(pruned) > 0.02

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. Comprobar.** La prueba de MNIST tiene 10 000 dígitos. Una red acierta el 98.0 %. ¿Cuál es el error estándar? Otra
# acierta el 98.1 %. ¿Es mejor?

# %% tags=["solucion"]
error = (0.98 * 0.02 / 10_000) ** 0.5
print(f"error estándar: {100 * error:.2f} puntos")
assert abs(error - 0.0014) < 1e-6

# %% [markdown] tags=["solucion"]
# No se sabe: la diferencia, una décima, es menor que un error estándar.

# %% [markdown]
# **2. Calcular.** Esperas un acierto del 95 % y quieres un margen ($2e$) de medio punto. ¿Cuántas imágenes de prueba hacen
# falta? Compruébalo con un sorteo.

# %% tags=["solucion"]
needed = round(0.95 * 0.05 / 0.0025**2)
generator = torch.Generator().manual_seed(SEED)
simulated = (torch.rand(1000, needed, generator=generator) < 0.95).float().mean(1)
inside = ((simulated - 0.95).abs() <= 0.005).float().mean().item()
print(f"{needed} imágenes; dentro del margen, {inside:.1%} de las veces")
assert needed == 7600
assert 0.92 < inside < 0.98

# %% [markdown]
# **3. Comparar mejor.** Mide los candidatos A y B de las fotos de celular de dos maneras: cada uno con su propia muestra
# de 200 imágenes, y los dos con *la misma*. ¿Cuánto tiembla la diferencia en cada caso? ¿Por qué?

# %% tags=["solucion"]
pile, truth = piles["prueba celular"]
a, b = (hits(net, normalize(pile), truth) for net in candidates.values())
generator = torch.Generator().manual_seed(SEED)
mine, yours = torch.randint(len(a), (2, 2000, 200), generator=generator)
separate = (b[mine].mean(1) - a[yours].mean(1)).std().item()
together = (b[mine].mean(1) - a[mine].mean(1)).std().item()
print(f"cada uno con la suya: ±{separate:.1%} · los dos con la misma: ±{together:.1%}")
assert together < separate

# %% [markdown] tags=["solucion"]
# Con la misma muestra tiembla menos: una imagen difícil lo es para los dos, y al restar se cancela. Compara siempre con las
# mismas imágenes.

# %% [markdown]
# **4. Modificar.** Con pocos datos, un solo reparto depende mucho de la suerte. En la **validación cruzada**
# (*cross-validation*) se parte en cinco trozos y cada uno hace de prueba una vez; se promedian los cinco. Toma 150 dígitos
# y compara cuánto tiembla el acierto con un reparto 80/20 y con cinco trozos.

# %% tags=["solucion"]
generator = torch.Generator().manual_seed(SEED)
single, crossed = [], []
for _ in range(200):
    chosen = torch.randperm(len(images), generator=generator)[:150]
    folds = []
    for fold in chosen.split(30):
        rest = chosen[~torch.isin(chosen, fold)]
        copied = digit_labels[rest[between[fold][:, rest].argmin(1)]]
        folds.append((copied == digit_labels[fold]).float().mean())
    single.append(folds[0])
    crossed.append(torch.stack(folds).mean())
single, crossed = torch.stack(single).std().item(), torch.stack(crossed).std().item()
print(f"un reparto: ±{single:.1%} · cinco trozos: ±{crossed:.1%}")
assert crossed < 0.75 * single

# %% [markdown]
# **5. Inventar.** Alguien te da un entrenamiento y una prueba. ¿Cómo buscarías duplicados entre los dos? Esconde veinte
# imágenes de prueba, un poco aclaradas, entre las de entrenamiento, y encuéntralas.

# %% tags=["solucion"]
generator = torch.Generator().manual_seed(SEED)
hidden = torch.randperm(len(test_set), generator=generator)[:20]
suspicious = torch.cat(
    [flat(train_set.images[:3000]), (flat(test_set.images[hidden]) * 0.95) + 0.02]
)


def direction(rows):
    """Sin el brillo ni el contraste: media 0 y longitud 1."""
    centered = rows - rows.mean(1, keepdim=True)
    return centered / centered.norm(dim=1, keepdim=True)


likeness = (direction(flat(test_set.images)) @ direction(suspicious).T).amax(1)
found = (likeness > 0.999).nonzero()[:, 0]
print(f"encontradas: {len(found)}; de las escondidas, {torch.isin(hidden, found).sum()} de 20")
assert torch.isin(hidden, found).all()
assert len(found) < 25

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Antes: [clasificar imágenes](clasificar-imagenes.py). Después: [la capa densa](capa-densa.py), donde por fin se ve cómo
#   se eligen los pesos.
# - En la referencia: [`split`][cnnhistory.data.split], [`normalization`][cnnhistory.data.normalization] y
#   [`evaluate`][cnnhistory.training.evaluate].
# - La validación dentro del entrenamiento: [el bucle, línea por línea](../tecnicas/bucle-de-entrenamiento.py).
#
# ## Referencias { #referencias }
#
# [^hojas]: [Mohanty, Hughes y Salathé (2016)](../referencia/bibliografia.md#mohanty2016).
# [^cifar]: [Barz y Denzler (2019)](../referencia/bibliografia.md#barz2019).
# [^genes]: [Ambroise y McLachlan (2002)](../referencia/bibliografia.md#ambroise2002).
