# %% [markdown]
# # La capa densa: una suma por clase
#
# En [la primera página](clasificar-imagenes.py#a-mano), nueve pesos aprendieron a distinguir un aspa de una cruz. Ahora son
# diez clases de ropa y 784 píxeles. **Si solo puedes multiplicar y sumar, ¿hasta dónde llegas? ¿Y quién elige los
# pesos?**
#
# Las dos respuestas caben en un papel. Con ellas armamos el clasificador más sencillo que hay, lo entrenamos sin ayuda de
# nadie, miramos lo que aprendió y después lo rompemos con muy poco. De cómo se rompe sale la idea de todo lo demás.
#
# ## La cuenta, con dos píxeles y tres clases { #cuenta }
#
# La imagen tiene dos píxeles, $x = (1, 2)$, y las clases son tres. A cada clase le toca un peso por píxel y un número que
# se suma al final, el **sesgo** (*bias*):
#
# | Clase | Pesos | Sesgo | La suma |
# | --- | --- | ---: | --- |
# | camiseta | $0, 1$ | $0$ | $0 \cdot 1 + 1 \cdot 2 + 0 = 2$ |
# | pantalón | $-1, 1$ | $0$ | $-1 \cdot 1 + 1 \cdot 2 + 0 = 1$ |
# | bolso | $1, -1$ | $1$ | $1 \cdot 1 - 1 \cdot 2 + 1 = 0$ |
#
# Gana la camiseta, con 2. Cada suma es una **neurona** (*neuron*), y el grupo, en que cada salida mira *todas* las
# entradas, una **capa densa** (*dense layer*, *fully connected layer*). Escrita de una vez es $z = Wx + b$: la tabla de
# pesos $W$ por la imagen, más los sesgos. Los números que salen, $z$, se llaman **logits**.

# %%
import math

import torch
from torch import nn
from torch.nn import functional as F

from cnnhistory.training import evaluate, train

x = torch.tensor([1.0, 2.0])
W = torch.tensor([[0.0, 1.0], [-1.0, 1.0], [1.0, -1.0]], requires_grad=True)
b = torch.tensor([0.0, 0.0, 1.0], requires_grad=True)
z = W @ x + b
print("logits:", z.tolist())

assert z.tolist() == [2, 1, 0]

# %% [markdown]
# ## De puntos a probabilidades: softmax { #softmax }
#
# «Camiseta, 2 puntos» no dice si está segura. Queremos probabilidades: positivas y que sumen 1. **Softmax** las da en dos
# pasos. Primero, la exponencial de cada logit, que es siempre positiva; después, dividir entre el total:
#
# $$ p_j = \frac{e^{z_j}}{e^{z_1} + e^{z_2} + e^{z_3}} $$
#
# Con $e \approx 2.718$ y una calculadora:
#
# | Clase | Puntos, $z$ | Exponencial, $e^z$ | Probabilidad, $p$ |
# | --- | ---: | ---: | ---: |
# | camiseta | 2 | 7.389 | 7.389 / 11.107 = 0.665 |
# | pantalón | 1 | 2.718 | 2.718 / 11.107 = 0.245 |
# | bolso | 0 | 1 | 1 / 11.107 = 0.090 |
# | | | suma 11.107 | suma 1 |
#
# ¿Por qué la exponencial? Convierte una *diferencia* de puntos en un *cociente* de probabilidades: un punto más es siempre
# $2.718$ veces más probable. Si sumas 1000 a los tres logits, nada cambia. Solo importan las diferencias.

# %%
p = F.softmax(z, dim=0)
print("probabilidades:", [round(value, 3) for value in p.tolist()])

assert [round(value, 3) for value in p.tolist()] == [0.665, 0.245, 0.09]
assert torch.allclose(F.softmax(z + 1000, dim=0), p)

# %% [markdown]
# ## Cuánto duele: la entropía cruzada { #perdida }
#
# La imagen era un pantalón. La red le dio $0.245$. Hace falta un número que diga cuán mal está eso, y que baje al mejorar:
# la **pérdida** (*loss*). La de clasificar es la **entropía cruzada** (*cross-entropy*), que solo mira la probabilidad de la
# clase verdadera:
#
# $$ L = -\ln p_{\text{verdadera}} $$
#
# Aquí, $-\ln 0.245 = 1.41$. Si hubiera sido una camiseta, $-\ln 0.665 = 0.41$. Quien no sabe nada y reparte por igual paga
# $-\ln \tfrac{1}{3} = 1.10$: la nuestra está peor que quien no sabe, porque estaba segura de otra cosa.

# %%
label = 1  # pantalón
loss = -p[label].log()
print(f"pérdida: {loss.item():.3f} · la de quien no sabe nada: {math.log(3):.3f}")

assert round(loss.item(), 2) == 1.41
assert torch.allclose(loss, F.cross_entropy(z[None], torch.tensor([label])))

# %% [markdown]
# ## Hacia dónde mover cada peso: *p* − *y* { #gradiente }
#
# El **gradiente** (*gradient*) dice cuánto cambia la pérdida si cada número sube un poquito. Para los logits tiene una forma
# que conviene recordar siempre. Se deduce en dos líneas. El logaritmo de un cociente es una resta:
#
# $$ L = -\ln \frac{e^{z_v}}{\sum_j e^{z_j}} = -z_v + \ln \sum_j e^{z_j} $$
#
# donde $v$ es la clase verdadera. Al derivar respecto de $z_j$, el segundo término da $e^{z_j} / \sum_k e^{z_k}$, que es
# $p_j$. El primero da $-1$ si $j$ es la verdadera, y nada si no. Escribe $y$ para «1 en la verdadera, 0 en las demás»
# (*one-hot*):
#
# $$ \frac{\partial L}{\partial z} = p - y $$
#
# **Lo que creíste menos lo que era.** Con lápiz: $(0.665,\ 0.245,\ 0.090) - (0,\ 1,\ 0) = (0.665,\ -0.755,\ 0.090)$. La
# camiseta debe bajar, el pantalón debe subir, el bolso apenas moverse. Siempre suma cero.
#
# ¿Y los pesos? Cada uno multiplicaba un píxel, así que su gradiente es el de su clase *por ese píxel*. El sesgo multiplicaba
# a 1. ¿Te suena? El aspa y la cruz sumaban o restaban el dibujo entero. Aquí se suma o se resta **el dibujo, en proporción a
# lo equivocada que estaba cada clase**.

# %%
y = torch.tensor([0.0, 1.0, 0.0])
by_hand = (p - y).detach()
loss.backward()  # PyTorch deriva por su cuenta: es la retropropagación
print("p − y:            ", [round(value, 3) for value in by_hand.tolist()])
print("PyTorch, sesgos:  ", [round(value, 3) for value in b.grad.tolist()])
print("PyTorch, pesos:   ", [[round(value, 3) for value in row] for row in W.grad.tolist()])

assert torch.allclose(b.grad, by_hand)
assert torch.allclose(W.grad, by_hand[:, None] * x)  # cada clase, por cada píxel
assert abs(by_hand.sum().item()) < 1e-6

# %% [markdown]
# Falta dar el paso: restar a cada número su gradiente, multiplicado por una **tasa de aprendizaje** (*learning rate*), que
# dice cuánto nos atrevemos a movernos. Con $0.1$:

# %%
with torch.no_grad():
    after = (W - 0.1 * W.grad) @ x + (b - 0.1 * b.grad)
    new_loss = F.cross_entropy(after[None], torch.tensor([label])).item()
print(
    "logits:",
    [round(value, 2) for value in z.tolist()],
    "→",
    [round(value, 2) for value in after.tolist()],
)
print(f"pérdida: {loss.item():.2f} → {new_loss:.2f}")

assert new_loss < loss.item() - 0.3

# %% [markdown]
# Un paso, y el pantalón casi alcanza a la camiseta. Eso es todo lo que hace un entrenamiento: esto mismo, muchas veces, con
# muchas imágenes. El caso general, con más capas, es la *retropropagación*,[^retropropagacion] y el bucle completo está en
# [su propia página](../tecnicas/bucle-de-entrenamiento.py).
#
# ## De dos píxeles a 784, sin ayuda { #desde-cero }
#
# Con lo que ya sabes se entrena un clasificador de ropa. Ni una línea de PyTorch deriva nada por nosotros: el gradiente es
# $p - y$ por los píxeles, promediado en un **lote** de 128 imágenes. Una **época** (*epoch*) es una vuelta a todas.

# %%
from cnnhistory import data, inspection, plotting

SEED = 0
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=SEED)


def rows(dataset):
    """Las imágenes en fila, (N, 784), entre 0 y 1."""
    return dataset.images.float().flatten(1) / 255


pixels, truth = rows(train_set), F.one_hot(train_set.labels, 10).float()
weights, biases = torch.zeros(10, 784), torch.zeros(10)
generator = torch.Generator().manual_seed(SEED)
for epoch in range(1, 11):
    for batch in torch.randperm(len(pixels), generator=generator).split(128):
        error = F.softmax(pixels[batch] @ weights.T + biases, dim=1) - truth[batch]  # p − y
        weights -= 0.1 * error.T @ pixels[batch] / len(batch)
        biases -= 0.1 * error.mean(0)
    if epoch in (1, 2, 5, 10):
        validated = (rows(val_set) @ weights.T + biases).argmax(1) == val_set.labels
        print(f"época {epoch:2}: acierto en validación {validated.float().mean():.1%}")

hand_made = (
    ((rows(test_set) @ weights.T + biases).argmax(1) == test_set.labels).float().mean().item()
)
print(f"prueba: {hand_made:.1%}")
assert 0.78 < hand_made < 0.88

# %% [markdown]
# Más de tres de cada cuatro, con diez sumas y sin saber qué es una manga. En el paquete, la misma red se escribe así. Se llama
# **regresión softmax**; `he_normal` sortea los pesos iniciales, que aquí daría igual que fueran ceros.

# %% tags=["fuente"]
from cnnhistory.models.small_cnn import SoftmaxRegression

# %%
normalize = data.normalization(train_set)


def fit(net, lr, dataset=train_set, epochs=4, transform=normalize, shuffle=True):
    """Entrena la red con la receta del sitio."""
    batches = data.Batches(dataset, 128, shuffle=shuffle, seed=SEED, transform=transform)
    return train(
        net, batches, data.Batches(val_set, 500, transform=transform), epochs=epochs, lr=lr
    )


def accuracy(net, dataset=test_set, transform=normalize):
    """Acierto, por defecto en la prueba."""
    return evaluate(net, data.Batches(dataset, 500, transform=transform)).top1


torch.manual_seed(SEED)
softmax_net = SoftmaxRegression()
fit(softmax_net, lr=0.01)
baseline = accuracy(softmax_net)
count = inspection.count_parameters(softmax_net)
print(f"{count} parámetros = 784 × 10 pesos + 10 sesgos · prueba: {baseline:.1%}")

assert count == 784 * 10 + 10 == 7850
assert baseline > hand_made - 0.03  # la misma red, con mejor receta

# %% [markdown]
# A los pesos y los sesgos juntos, los números que se aprenden, se los llama **parámetros** (*parameters*).
#
# ## Lo que aprendió: diez plantillas { #plantillas }
#
# Cada clase tiene 784 pesos: uno por píxel. Se pueden poner otra vez en su sitio y **mirarlos como una imagen**. Es la ventaja
# de esta red sobre todas las que vienen: no esconde nada.

# %% alt="Diez cuadros de 28 por 28, uno por clase, con manchas azules y naranjas. En pantalón hay dos franjas azules verticales con una naranja entre ellas. En vestido, una franja azul central. En suéter y camisa, azul en los costados, donde van las mangas. En sandalia, zapatilla y botín, el azul está abajo." caption="Los pesos de cada clase en su lugar. Azul: tinta ahí suma puntos. Naranja: los resta. Sin color: da igual."
import matplotlib.pyplot as plt
from matplotlib.colors import LinearSegmentedColormap

templates = weights.view(10, 28, 28)
faded = LinearSegmentedColormap.from_list(
    "",
    [
        plotting.PALETTE[1],
        plotting.PALETTE[1] + "00",
        plotting.PALETTE[0] + "00",
        plotting.PALETTE[0],
    ],
)
with plotting.style():
    figure, axes = plt.subplots(2, 5, figsize=(7, 3.2))
    for axis, template, name in zip(axes.flat, templates, train_set.classes, strict=True):
        reach = template.abs().max().item()
        axis.imshow(template.numpy(), cmap=faded, vmin=-reach, vmax=reach, interpolation="none")
        axis.set(title=name, xticks=[], yticks=[])
        axis.spines[:].set_visible(True)
    figure.tight_layout()

trousers = templates[train_set.classes.index("pantalón"), 12:26]
gap, legs = trousers[:, 13:15].mean().item(), trousers[:, [11, 12, 16, 17]].mean().item()
print(f"pantalón: entre las piernas {gap:+.2f}, en las piernas {legs:+.2f}")
assert gap < 0 < legs

# %% [markdown]
# La del pantalón quiere dos piernas y castiga que haya tela en medio. Nadie le habló de piernas: salió de sumar y restar
# dibujos. Por eso se dice que una capa densa sobre los píxeles aprende **plantillas** (*templates*). Una sola por clase, fija en
# un lugar. Guarda esas dos palabras, *una* y *fija*: por ahí se va a romper.
#
# ## El experimento: ¿y si antes hay una convolución? { #experimento }
#
# En muchos cursos se cuenta con MNIST, 60 000 dígitos escritos a mano: los píxeles en bruto dan un acierto de 0.93 en la
# prueba, y al poner delante **una** capa de convolución con 64 filtros de 3×3, 0.98. Qué es una convolución lo verás en
# [la página siguiente](convolucion.py); de momento, una capa que mira la imagen por ventanas. No nos creamos los números:
# repitamos el experimento.
#
# Con dos conjuntos que están a mano sin conexión: los dígitos de 8×8 de scikit-learn y Fashion-MNIST. Y con un control que
# casi nunca se pone. La red con convolución no solo tiene ventanas: tiene muchos más parámetros. Así que añadimos un tercer
# competidor, con **una capa densa oculta** (*hidden layer*) y la misma cantidad de parámetros. Entre sus dos capas va una
# **ReLU**, que cambia los negativos por cero; sin ella, dos capas densas seguidas equivaldrían a una.
#
# !!! note "Con MNIST"
#
#     El código es el mismo: `load("MNIST")` lo descarga con torchvision la primera vez. Aquí no se ejecuta porque esta
#     página se construye sin conexión. Agrega `("MNIST", 1)` al bucle y compara con 0.93 y 0.98.


# %%
from sklearn.datasets import load_digits


def load(name):
    """Entrenamiento y prueba."""
    if name == "MNIST":
        return data.mnist()
    if name == "Fashion-MNIST mini":
        return train_set[:3000], test_set
    images = torch.tensor(load_digits().images * 255 / 16).to(torch.uint8)[:, None]
    labels = torch.tensor(load_digits().target)
    digits = data.Dataset(images, labels, data.MNIST_CLASSES)
    return data.split(digits, fraction=0.3, seed=SEED)


def contenders(side):
    """Las tres redes para imágenes de ese lado, con sus tasas."""
    convolution = nn.Sequential(
        *(nn.Conv2d(1, 64, kernel_size=3), nn.ReLU(), nn.Flatten()),
        nn.Linear(64 * (side - 2) ** 2, 10),
    )
    hidden = (inspection.count_parameters(convolution) - 10) // (side**2 + 11)
    return {
        "píxeles": (nn.Sequential(nn.Flatten(), nn.Linear(side**2, 10)), 0.01),
        "densa oculta": (
            nn.Sequential(
                nn.Flatten(), nn.Linear(side**2, hidden), nn.ReLU(), nn.Linear(hidden, 10)
            ),
            0.02,
        ),
        "una convolución": (convolution, 0.02),
    }


trained = {}
for name, epochs in (("dígitos de 8×8", 15), ("Fashion-MNIST mini", 3)):
    learned, asked = load(name)
    scale = data.normalization(learned)
    print(f"{name}: {len(learned)} para aprender, {len(asked)} de prueba")
    torch.manual_seed(SEED)
    for kind, (net, lr) in contenders(learned.images.shape[-1]).items():
        batches = data.Batches(learned, 64, shuffle=True, seed=SEED, transform=scale)
        train(net, batches, [next(iter(batches))], epochs=epochs, lr=lr)
        trained[name, kind] = net, *(accuracy(net, part, scale) for part in (learned, asked))
        _, seen, tested = trained[name, kind]
        size = inspection.thousands(inspection.count_parameters(net))
        print(f"  {kind:<17}{size:>8} parámetros   aprendido {seen:6.1%}   prueba {tested:.1%}")

result = {key: tested for key, (_, _, tested) in trained.items()}
for name in ("dígitos de 8×8", "Fashion-MNIST mini"):
    assert result[name, "una convolución"] > result[name, "píxeles"] + 0.01
    assert result[name, "una convolución"] > result[name, "densa oculta"] - 0.01
assert result["dígitos de 8×8", "densa oculta"] > result["dígitos de 8×8", "píxeles"] + 0.008

# %% [markdown]
# La convolución gana a los píxeles en los dos conjuntos, como en los cursos. Pero mira el control: con los dígitos, **buena parte
# de la ganancia la da ya la capa densa oculta**. El experimento famoso mide dos cosas mezcladas, tener dos capas y tener ventanas, y
# no es lo que se suele decir al enseñarlo.
#
# Entonces, ¿qué tiene de especial la convolución? Para verlo hay que salir de las imágenes centradas.
#
# ## Lo que no puede { #limites }
#
# ### Si la imagen se mueve
#
# Corremos las prendas de prueba unos píxeles, en las cuatro direcciones. Para ti no cambia nada. Para una plantilla fija cambia
# todo.

# %% alt="Tres líneas de acierto según los píxeles de corrimiento, de 0 a 4. Las tres caen deprisa y casi juntas, de algo más de ochenta por ciento a menos de la mitad." caption="Acierto en la prueba cuando la prenda se corre, promedio de cuatro direcciones. Nadie volvió a entrenar nada."
scale = data.normalization(train_set[:3000])


def moved(right, down):
    """Corre las imágenes; lo que entra por el borde es negro."""
    return lambda images: scale(F.pad(images, (right, -right, down, -down)))


curves = {}
for kind in ("píxeles", "densa oculta", "una convolución"):
    net = trained["Fashion-MNIST mini", kind][0]
    curves[kind] = [accuracy(net, test_set[:1000], scale)]
    for k in range(1, 5):
        ways = [
            accuracy(net, test_set[:1000], moved(*way))
            for way in ((k, 0), (-k, 0), (0, k), (0, -k))
        ]
        curves[kind].append(sum(ways) / 4)
    print(f"{kind:<17}", "  ".join(f"{value:.1%}" for value in curves[kind]))

with plotting.style():
    figure, axis = plt.subplots(figsize=(5.6, 3))
    for (kind, curve), marker in zip(curves.items(), "^so", strict=True):
        axis.plot(range(5), [100 * value for value in curve], marker=marker, ms=4, label=kind)
    axis.set(xlabel="píxeles de corrimiento", ylabel="acierto (%)", xticks=range(5))
    axis.grid(alpha=0.25, color=plotting.INK)
    axis.legend()
    figure.tight_layout()

for curve in curves.values():
    assert curve[3] < curve[0] - 0.2
assert abs(curves["una convolución"][3] - curves["densa oculta"][3]) < 0.1

# %% [markdown]
# Tres píxeles de 28, y se hunden **las tres**. También la de la convolución, que según se cuenta debería aguantar. Su convolución sí
# encuentra lo mismo en otro lugar, pero detrás lleva una capa densa sobre todas las posiciones, y a esa le importa el lugar. Una
# convolución sola no basta. Hace falta entender qué promete exactamente, que es la página siguiente, y qué ponerle detrás.
#
# ### Si una clase tiene dos caras
#
# Toma el aspa y la cruz, y sus negativos: tinta donde había papel y papel donde había tinta. Un aspa negra sobre blanco sigue
# siendo un aspa. ¿Hay algún peso por píxel que clasifique los cuatro dibujos? No, y se prueba en tres líneas. Un dibujo y su
# negativo suman 1 en cada píxel, así que sus puntos suman lo mismo para cualquier dibujo: la suma de todos los pesos, más dos
# sesgos. Si el aspa y su negativo pasan de cero, esa cantidad es positiva. Si la cruz y el suyo no pasan, no lo es. Es
# la misma cantidad. **Imposible**, con cualesquiera pesos. Con prendas, la mitad de ellas en negativo:

# %%
torch.manual_seed(SEED)


def half_negative(images):
    """La mitad de las imágenes, al azar, en negativo."""
    flipped = torch.rand(len(images), 1, 1, 1) < 0.5
    return normalize(torch.where(flipped, 1 - images, images))


two_faces = {}
for name, net, lr in (
    ("píxeles", nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), 0.01),
    (
        "densa oculta",
        nn.Sequential(nn.Flatten(), nn.Linear(784, 128), nn.ReLU(), nn.Linear(128, 10)),
        0.03,
    ),
):
    fit(net, lr, transform=half_negative)
    two_faces[name] = accuracy(net, transform=half_negative)
    print(f"{name:<14}{two_faces[name]:.1%}")

assert two_faces["píxeles"] < baseline - 0.1
assert two_faces["densa oculta"] > two_faces["píxeles"] + 0.05

# %% [markdown]
# Una plantilla por clase no alcanza cuando la clase tiene dos caras. Una capa oculta puede guardar varias.
#
# ### Si la imagen es grande
#
# Cada salida mira todos los píxeles. La cuenta, para una foto como las de ImageNet, de 224×224 en color y con mil clases:

# %%
sides = {"dígitos, 8×8×1": (64, 10), "MNIST, 28×28×1": (784, 10), "CIFAR-10, 32×32×3": (3072, 10)}
sides["ImageNet, 224×224×3"] = (224 * 224 * 3, 1000)
for name, (inputs, outputs) in sides.items():
    print(f"{name:<22}{inspection.thousands(inputs * outputs + outputs):>12} parámetros")

assert 224 * 224 * 3 * 1000 + 1000 == 150_529_000

# %% [markdown]
# Ciento cincuenta millones, para mil plantillas fijas. Y eso sin ninguna capa oculta.
#
# ## Errores comunes { #errores }
#
# ### Softmax antes de la entropía cruzada
#
# `F.cross_entropy` ya lleva la softmax dentro: espera *logits*. Si la red termina en una softmax, se aplica dos veces.

# %%
torch.manual_seed(SEED)
doubled = nn.Sequential(SoftmaxRegression(), nn.Softmax(dim=1))
history = fit(doubled, lr=0.01)
floor = F.cross_entropy(torch.eye(10)[:1], torch.tensor([0])).item()  # la respuesta perfecta
print(f"prueba: {accuracy(doubled):.1%}, y sin la de más: {baseline:.1%}")
print(f"pérdida final: {history[-1].train_loss:.2f}; ni siendo perfecta bajaría de {floor:.2f}")

assert accuracy(doubled) < baseline - 0.01
assert history[-1].train_loss > floor > 1.4

# %% [markdown]
# El síntoma es ese suelo. La segunda softmax recibe números entre 0 y 1, y con diez clases lo mejor que puede salir de un 1 y
# nueve ceros es $-\ln \frac{e}{e + 9}$.
#
# ### La softmax que se desborda
#
# Escrita tal cual la fórmula, falla con logits grandes: $e^{100}$ no cabe en un `float32`. Infinito entre infinito no es un
# número.

# %%
large = torch.tensor([100.0, 99.0, 98.0])
naive = large.exp() / large.exp().sum()
stable = (large - large.max()).exp() / (large - large.max()).exp().sum()
print("tal cual:           ", naive.tolist())
print("restando el máximo: ", [round(value, 3) for value in stable.tolist()])

assert naive.isnan().all()
assert torch.allclose(stable, p.detach())  # son los logits de antes, más 98

# %% [markdown]
# Restar el máximo no cambia el resultado, porque solo importan las diferencias, y deja el mayor exponente en cero. Usa
# `F.softmax` y `F.cross_entropy`, que lo hacen por ti.
#
# ### Etiquetas que parecen cantidades
#
# Las clases se guardan como números: 0 es camiseta, 9 es botín. Alguien entrena una red con *una* salida que adivine ese
# número y redondea. Pero entonces confundir 0 con 9 cuesta nueve veces más que confundir 0 con 1, y entre «camiseta» y «suéter»
# estaría «pantalón».

# %%
inputs = F.pad(rows(train_set), (0, 1), value=1.0)
squares = inputs.T @ inputs + torch.eye(785)
asked = F.pad(rows(test_set), (0, 1), value=1.0)
as_quantity = torch.linalg.solve(squares, inputs.T @ train_set.labels.float())
as_one_hot = torch.linalg.solve(squares, inputs.T @ truth)
quantity = ((asked @ as_quantity).round() == test_set.labels).float().mean().item()
one_hot = ((asked @ as_one_hot).argmax(1) == test_set.labels).float().mean().item()
print(f"una salida, redondeada: {quantity:.1%} · diez salidas, la mayor: {one_hot:.1%}")

assert quantity < one_hot - 0.3

# %% [markdown]
# Los dos son el mismo ajuste, por mínimos cuadrados; solo cambia cómo se escribió la etiqueta. Y con la entropía cruzada pasa lo
# contrario: hay quien le da la tabla *one-hot* de enteros. `F.cross_entropy` quiere el número de la clase, y esta vez sí avisa:

# %%
try:
    F.cross_entropy(torch.zeros(4, 10), torch.eye(10, dtype=torch.long)[:4])
except RuntimeError as error:
    message = str(error)
print(message)
assert F.cross_entropy(torch.zeros(4, 10), torch.arange(4)).item() > 0

# %% [markdown]
# ### Entrenar sin barajar
#
# Los ejemplos llegan ordenados por clase. La red ve novecientas camisetas seguidas, luego novecientos pantalones… y cada
# clase va borrando las anteriores.

# %%
ordered = train_set[train_set.labels.argsort(stable=True)]
unshuffled = {}
for name, shuffle in (("barajando", True), ("sin barajar", False)):
    torch.manual_seed(SEED)
    net = SoftmaxRegression()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.02)
    for images, labels in data.Batches(
        ordered, 128, shuffle=shuffle, seed=SEED, transform=normalize
    ):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
    unshuffled[name] = accuracy(net)
    print(f"{name:<12}{unshuffled[name]:.1%} después de una época")

assert unshuffled["barajando"] > unshuffled["sin barajar"] + 0.15

# %% [markdown]
# ## Ejercicios { #ejercicios }
#
# **1. De cabeza.** ¿Qué probabilidades dan los logits $(\ln 6, \ln 3, \ln 1)$? ¿Y $(\ln 6 + 5, \ln 3 + 5, 5)$? ¿Cuánto vale $p - y$
# si la clase verdadera es la primera?

# %% [markdown] tags=["solucion"]
# La exponencial deshace el logaritmo: 6, 3 y 1, que suman 10. Las probabilidades son $0.6$, $0.3$ y $0.1$; sumar 5 a todos no
# cambia nada. El gradiente es $(-0.4, 0.3, 0.1)$.

# %% tags=["solucion"]
simple = torch.tensor([6.0, 3.0, 1.0]).log().requires_grad_()
F.cross_entropy(simple[None], torch.tensor([0])).backward()
print(
    "probabilidades:",
    F.softmax(simple.detach() + 5, dim=0).tolist(),
    "· gradiente:",
    simple.grad.tolist(),
)
assert torch.allclose(F.softmax(simple.detach() + 5, dim=0), torch.tensor([0.6, 0.3, 0.1]))
assert torch.allclose(simple.grad, torch.tensor([-0.4, 0.3, 0.1]), atol=1e-6)

# %% [markdown]
# **2. Comprobar sin derivar.** Verifica el gradiente de los tres logits del principio subiendo cada uno en una milésima y mirando
# cuánto cambia la pérdida.

# %% tags=["solucion"]
logits = torch.tensor([2.0, 1.0, 0.0], dtype=torch.float64)
target, nudge = torch.tensor([1]), 1e-3
slopes = []
for index in range(3):
    up = logits.clone()
    up[index] += nudge
    change = F.cross_entropy(up[None], target) - F.cross_entropy(logits[None], target)
    slopes.append((change / nudge).item())
print([round(slope, 3) for slope in slopes])
assert torch.allclose(torch.tensor(slopes), by_hand, atol=1e-3)

# %% [markdown]
# **3. Calcular.** Una red densa para CIFAR-10 con una capa oculta de 32 neuronas: ¿cuántos parámetros? ¿Y si la capa oculta
# recibe, en vez de los 3072 píxeles, 57 600 números?

# %% tags=["solucion"]
for inputs_count in (3072, 57_600):
    total = (inputs_count * 32 + 32) + (32 * 10 + 10)
    print(
        f"{inspection.thousands(inputs_count)} entradas: {inspection.thousands(total)} parámetros"
    )
assert 57_600 * 32 + 32 == 1_843_232
assert 32 * 10 + 10 == 330

# %% [markdown] tags=["solucion"]
# De dónde salen esos 57 600 números se ve en la página siguiente, y qué hacer con tantos, dos páginas después.

# %% [markdown]
# **4. Demostrar.** Baraja los 784 píxeles de todas las imágenes, siempre igual. Para ti quedan ilegibles. ¿Cuánto pierde la red
# densa? Demuéstralo entrenando dos con los pesos iniciales barajados del mismo modo.

# %% tags=["solucion"]
order = torch.randperm(784, generator=torch.Generator().manual_seed(SEED))
final = []
for arrange in (torch.arange(784), order):
    learned_weights, inputs = (
        torch.zeros(10, 784, dtype=torch.float64),
        rows(train_set)[:, arrange].double(),
    )
    for batch in torch.arange(len(inputs)).split(128):
        error = F.softmax(inputs[batch] @ learned_weights.T, dim=1) - truth[batch]
        learned_weights -= 0.1 * error.T @ inputs[batch] / len(batch)
    final.append(learned_weights)
print("los mismos pesos, barajados:", torch.allclose(final[0][:, order], final[1]))
assert torch.allclose(final[0][:, order], final[1])

# %% [markdown] tags=["solucion"]
# Nada: aprende exactamente los mismos pesos, en otro orden. Para una capa densa los píxeles no tienen vecinos. Tira la
# información más valiosa de una imagen: qué está al lado de qué.

# %% [markdown]
# **5. Inventar.** Con una capa oculta, los cuatro dibujos imposibles (aspa, cruz y sus negativos) dejan de serlo. Encuentra los
# pesos de dos neuronas con ReLU, a mano. Pista: llama $c$ a la tinta de las esquinas, $s$ a la de los lados y $m$ a la del centro, y
# haz una tabla.

# %% [markdown] tags=["solucion"]
# | Dibujo | Esquinas, $c$ | Lados, $s$ | Centro, $m$ | Primera, $\text{ReLU}(c - s + 4m - 4)$ | Segunda, $\text{ReLU}(s - c - 4m)$ |
# | --- | ---: | ---: | ---: | ---: | ---: |
# | aspa | 4 | 0 | 1 | 4 | 0 |
# | aspa en negativo | 0 | 4 | 0 | 0 | 4 |
# | cruz | 0 | 4 | 1 | 0 | 0 |
# | cruz en negativo | 4 | 0 | 0 | 0 | 0 |
#
# Cada neurona reconoce una cara del aspa, y la salida las suma. Es lo que una sola plantilla no podía hacer.

# %% tags=["solucion"]
saltire = torch.tensor([[1.0, 0, 1], [0, 1, 0], [1, 0, 1]])
cross = torch.tensor([[0.0, 1, 0], [1, 1, 1], [0, 1, 0]])
drawings = torch.stack([saltire, 1 - saltire, cross, 1 - cross]).flatten(1)
corners_minus_sides = torch.tensor([1.0, -1, 1, -1, 0, -1, 1, -1, 1])
center = torch.tensor([0.0, 0, 0, 0, 1, 0, 0, 0, 0])
hidden_weights = torch.stack([corners_minus_sides + 4 * center, -corners_minus_sides - 4 * center])
hidden = F.relu(drawings @ hidden_weights.T + torch.tensor([-4.0, 0.0]))
print("neuronas ocultas:", hidden.tolist(), "· suma:", hidden.sum(1).tolist())
assert (hidden.sum(1) > 0).tolist() == [True, True, False, False]

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - La página siguiente: [la convolución, a mano](convolucion.py). ¿Y si la misma plantilla, pequeña, pasara por todos los lugares?
# - Antes: [entrenamiento, validación y prueba](entrenamiento-validacion-prueba.py).
# - En la referencia: [`SoftmaxRegression`][cnnhistory.models.small_cnn.SoftmaxRegression], [`train`][cnnhistory.training.train] y
#   [`mnist`][cnnhistory.data.mnist].
# - El experimento de los filtros fijos y aprendidos, en [LeNet-5](../arquitecturas/lenet-5.py#experimento).
#
# ## Referencias { #referencias }
#
# - [LeCun, Bottou, Bengio y Haffner (1998)](../referencia/bibliografia.md#lecun1998): de aquí sale MNIST.
# - [Xiao, Rasul y Vollgraf (2017)](../referencia/bibliografia.md#xiao2017): Fashion-MNIST.
#
# [^retropropagacion]: [Rumelhart, Hinton y Williams (1986)](../referencia/bibliografia.md#rumelhart1986).
