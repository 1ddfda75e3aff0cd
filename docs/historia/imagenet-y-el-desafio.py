# %% [markdown]
# # ImageNet y el desafío
#
# Piensa en cómo aprendió un niño lo que es un perro. Nadie le dio una definición: vio perros en la calle,
# en cuentos, debajo de la mesa, dormidos, de espaldas, a medias detrás de una puerta. Ahora imagina que
# solo le hubieras enseñado un álbum de cien fotos, todas de frente y con el fondo limpio.
#
# Con álbumes así se entrenaban los programas. Hacia 2006 casi todo el campo afinaba algoritmos, y **casi
# nadie se preguntaba si el problema era el álbum**. Fei-Fei Li, que había reunido uno de los más usados,
# [Caltech-101](../referencia/bibliografia.md#feifei2004), se hizo esa pregunta y decidió construir otro: fotos de todas las cosas que tienen nombre.
#
# Esta página cuenta qué hubo que resolver para eso, cómo de ahí salió una competencia y qué mide
# exactamente el número del que se habla en todas las demás: el **error top-5**. Lo calcularás a mano,
# después con una red, y verás lo que ese número esconde.

# %%
import math

import matplotlib.pyplot as plt
import torch
from torchvision.models import ResNet50_Weights

from cnnhistory import data, ilsvrc, models, plotting, training

seed = 0

# %% [markdown]
# ## Una palabra no es una cosa { #wordnet }
#
# Para juntar fotos de «todo» hace falta una lista de todo. Un diccionario no sirve, porque las palabras
# engañan. En inglés, *crane* es un ave y es también la máquina que levanta vigas; un *cardigan* es un
# suéter con botones y es una raza de perro. Si pides fotos de *crane*, te llegan las dos mezcladas.
#
# La lista ya existía, y venía de la lingüística. **WordNet**, empezado en los ochenta en Princeton por
# George Miller, no ordena palabras sino *significados*. Cada uno se llama *synset* (conjunto de
# sinónimos), y reúne las palabras que lo nombran: {alsaciano, pastor alemán, perro policía}. Y cada
# significado cuelga de otro más general: pastor alemán, perro pastor, perro de trabajo, perro, cánido,
# carnívoro, mamífero, animal. Sustantivos hay unos ochenta mil.[^deng]
#
# ImageNet es WordNet con fotos en cada nodo. Las mil clases del desafío son mil de esos nodos, y la lista
# viene dentro de torchvision. Vamos a leerla: ¿quedaron palabras repetidas?

# %%
classes = ResNet50_Weights.DEFAULT.meta["categories"]
print(len(classes), "clases; la primera es", repr(classes[0]), "y la última", repr(classes[-1]))
for word in ("crane", "cardigan"):
    same = [index for index, name in enumerate(classes) if word in name.lower().split()]
    print(f"{word}: clases", ", ".join(f"{index} ({classes[index]})" for index in same))
    assert len(same) == 2  # dos clases distintas con la misma palabra

# %% [markdown]
# Dos clases por palabra, cada una con sus fotos: lo que identifica a una clase es su nodo, no su nombre.
# (Torchvision le puso apellido al ave, *crane bird*, para que no choquen. Los dos *cardigan* se distinguen
# solo por una mayúscula.)
#
# ### Qué hay en las mil clases { #clases }
#
# La lista está ordenada por el identificador de WordNet, así que los parientes quedan juntos. Eso permite
# ver de un vistazo qué le importaba a quien la hizo. Los animales van del principio hasta *puffer*, el pez
# globo, y los perros, de *Chihuahua* a *Mexican hairless*, el xoloitzcuintle:

# %%
animals = range(classes.index("puffer") + 1)
dogs = range(classes.index("Chihuahua"), classes.index("Mexican hairless") + 1)
print("animales:", len(animals), "· razas de perro:", len(dogs))
print("los que siguen:", ", ".join(classes[dogs.stop : dogs.stop + 7]))
print("después de los animales:", ", ".join(classes[animals.stop : animals.stop + 5]))
assert (len(animals), len(dogs)) == (398, 118)

# %% tags=["oculto"] alt="Una cuadrícula de mil cuadros, de veinte filas y cincuenta columnas. Casi las ocho primeras filas son animales y, dentro de ellas, dos filas y un tercio seguidas son razas de perro. El resto son objetos, lugares, comidas y plantas." caption="Las mil clases de ILSVRC, un cuadro cada una, en el orden de WordNet."
with plotting.style():
    figure, axis = plt.subplots(figsize=(7.2, 3.2))
    groups = {
        "razas de perro": (dogs, 1, 1.0),
        "otros animales": (sorted({*animals} - {*dogs}), 0, 0.55),
        "objetos, lugares, comidas, plantas": (range(animals.stop, 1000), 2, 0.35),
    }
    for label, (indices, color, alpha) in groups.items():
        axis.scatter(
            [index % 50 for index in indices],
            [index // 50 for index in indices],
            marker="s",
            s=34,
            linewidths=0,
            color=plotting.PALETTE[color],
            alpha=alpha,
            label=f"{label}: {len(indices)}",
        )
    axis.set(xlim=(-1, 50), ylim=(20, -1))
    axis.axis("off")
    axis.legend(loc="upper center", bbox_to_anchor=(0.5, 0), ncols=3, handletextpad=0.2)
    figure.tight_layout()

# %% [markdown]
# Más de una de cada diez clases es una raza de perro. Se hizo a propósito: en 2012 se cambiaron noventa
# clases por otras tantas razas, para que hubiera distinciones finas.[^russakovsky] Verás escrito por todas partes que son **120**. Es la cuenta de
# *Stanford Dogs*, un conjunto hecho con fotos de ImageNet que incluye al dingo, al cuón y al licaón,
# parientes silvestres que en la lista aparecen un poco después, y al que le falta el dálmata: 118 + 3 − 1. Contando lo que hay en las mil
# clases de 2012, las razas son las que imprimió el programa.
#
# ## Llenar cada nodo { #llenar }
#
# **Primero, buscar.** Para cada significado se pidieron fotos a varios buscadores: con todos sus
# sinónimos, añadiendo la palabra del nodo superior y traduciendo la consulta al chino, al español, al
# neerlandés y al italiano. Llegaban unas diez mil candidatas por nodo, y servía **una de cada
# diez**.[^vss]
#
# **Después, mirar.** Alguien tenía que ver cada foto y decir si aquello era o no un pastor alemán. A mano,
# con unos cuantos estudiantes, eran años de trabajo. La salida fue *Mechanical Turk*, un mercado de Amazon
# donde miles de personas hacen tareas de un minuto por unos centavos. Se les daba la definición, un
# puñado de fotos y la pregunta.
#
# La gente se equivoca y se cansa. Por eso cada foto la juzgan varios y se cuenta el voto. ¿Cuántos hacen
# falta? Supón que cada persona acierta 8 de cada 10 veces, por su cuenta. Con tres, la mayoría acierta si
# aciertan las tres, $0.8^3 = 0.512$, o exactamente dos, $3 \cdot 0.8^2 \cdot 0.2 = 0.384$. En total, $0.896$:
# **tres personas mediocres ya son una buena**.


# %% alt="Dos curvas de acierto de la mayoría según cuántas personas votan, de una a veintiuna. La de personas que aciertan 8 de cada 10 sube rápido y pasa de 99 % con trece. La de personas que aciertan 6 de cada 10 sube despacio y con veintiuna apenas llega a 83 %." caption="Acierto de la mayoría, si cada uno vota por su cuenta."
def majority(people, accuracy):
    """Probabilidad de que acierte la mayoría de un número impar de personas independientes."""
    needed = people // 2 + 1
    return sum(
        math.comb(people, right) * accuracy**right * (1 - accuracy) ** (people - right)
        for right in range(needed, people + 1)
    )


assert math.isclose(majority(3, 0.8), 0.896)

with plotting.style():
    figure, axis = plt.subplots(figsize=(5.4, 2.7))
    people = range(1, 22, 2)
    for accuracy in (0.8, 0.6):
        axis.plot(
            people,
            [100 * majority(count, accuracy) for count in people],
            "o-",
            ms=4,
            label=f"cada uno acierta {accuracy:.0%}",
        )
    axis.set(xlabel="personas", ylabel="acierto de la mayoría (%)", ylim=(55, 101))
    axis.set_xticks(people)
    axis.legend()
    figure.tight_layout()

# %% [markdown]
# Fíjate en la segunda curva: distinguir un gato cualquiera es fácil, pero distinguir un gato birmano no, y
# ahí no bastan ni veinte votos. Por eso en ImageNet **el número de votos no era fijo**: para cada nodo se
# medía cuánto discrepaba la gente en una muestra, y se seguía preguntando hasta alcanzar la confianza
# deseada.[^deng]
#
# Lo que el voto confirma es que en la foto hay un pastor alemán. No dice que sea *lo único* que hay. Guarda
# ese detalle.
#
# ## Cuánto es mucho { #tamano }
#
# El artículo de 2009 presentó doce ramas con 3.2 millones de fotos. Pocos años después la portada
# anunciaba 14 197 122 imágenes en 21 841 synsets, y ahí se quedó. Contra lo que había, era otra escala:
#
# <!-- generado: conjuntos-grafico -->
#
# Tiny Images, de un año antes, era más grande, y de ella salió CIFAR; pero no cambió el campo. ¿Por
# qué? Sus fotos medían 32×32, el tamaño de un ícono, y su etiqueta era la palabra con que se habían buscado:
# nadie las había mirado. ImageNet tenía fotos de verdad, de cientos de píxeles por lado, con un objeto que
# alguien había confirmado. **No ganó la cantidad sola: ganó la cantidad con etiquetas fiables.** Los
# repositorios de antes, como el de UCI, tenían lo segundo sin lo primero, y no por descuido: en 1994, una cámara
# digital de consumo, la QuickTake 100 de Apple, costaba 749 dólares y guardaba ocho fotos de 640×480.[^quicktake] Y LAION-5B, trece años después,
# volvió a lo primero, con una red en el papel del que mira.
#
# <!-- generado: conjuntos-tabla -->
#
# ## Un concurso con respuestas bajo llave { #desafio }
#
# Al principio casi nadie lo usó. Para que lo usaran, el equipo organizó en 2010 una competencia, al lado de
# la que ya existía ([PASCAL VOC](../referencia/bibliografia.md#everingham2010), con veinte clases). Se llamó *ImageNet Large Scale Visual Recognition
# Challenge*, **ILSVRC**, y sus reglas caben en cuatro líneas:
#
# 1. Mil clases de ImageNet, elegidas de modo que ninguna contenga a otra.
# 2. Más de un millón de fotos para entrenar, con etiqueta. Desde 2012 son 1 281 167: entre 732 y 1300
#    por clase, no mil.[^clases]
# 3. Otras para la prueba, recogidas aparte y sin publicar las respuestas: 150 000 en 2010, 100 000
#    desde 2012. Quien compite entrega sus predicciones y los organizadores las corrigen.
# 4. De cada foto se entregan **hasta cinco clases**, de la más segura a la menos.
#
# En 2010 ganó NEC-UIUC con un error de {ilsvrc:2010:nec-uiuc}, y en 2011, XRCE con {ilsvrc:2011:xrce}.
# Bajar {ilsvrc:2010:nec-uiuc - 2011:xrce} costó un año, con técnicas cada vez más complicadas, y ni siquiera se
# midió en las mismas fotos: cada una de las tres primeras ediciones tuvo las suyas. Son sistemas de los
# [descriptores hechos a mano](antes-de-imagenet.py). Lo que pasó después está en
# [2012: AlexNet lo cambia todo](2012-alexnet.py).
#
# ## Por qué cinco { #top-5 }
#
# Aquí vuelve aquel detalle. La etiqueta dice qué se *confirmó* en la foto, pero en la foto hay más cosas.
# Si aparece un perro con una pelota y la etiqueta es «pelota», quien responde «perro» no se equivoca: se
# equivoca el examen. Aceptar cinco respuestas es la manera barata de no castigar eso.
#
# Hagámoslo a mano. Seis clases y tres fotos; cada fila son las puntuaciones que una red dio a una foto:
#
# | Etiqueta | pelota | perro | césped | gato | raqueta | taza |
# | --- | ---: | ---: | ---: | ---: | ---: | ---: |
# | pelota | 2 | **5** | 4 | 1 | 0 | −1 |
# | gato | −1 | 3 | 0 | **6** | 1 | 2 |
# | taza | 4 | 2 | 1 | 3 | **5** | 0 |
#
# El primer lugar acierta solo en la segunda foto: error top-1, 2 de 3. La pelota quedó tercera, dentro de las
# cinco. La taza quedó **sexta**: fuera. Error top-5, 1 de 3. En código son dos líneas:

# %%
names = ["pelota", "perro", "césped", "gato", "raqueta", "taza"]
scores = torch.tensor(
    [[2.0, 5, 4, 1, 0, -1], [-1, 3, 0, 6, 1, 2], [4, 2, 1, 3, 5, 0]],
)
labels = torch.tensor([names.index(name) for name in ("pelota", "gato", "taza")])


def top_error(scores, labels, k):
    """Fracción de imágenes cuya clase no está entre las k de mayor puntuación."""
    best = scores.topk(k).indices  # (N, k), de mayor a menor
    return 1 - (best == labels[:, None]).any(dim=1).float().mean().item()


for k in (1, 5):
    print(f"error top-{k}: {top_error(scores, labels, k):.3f}")
assert math.isclose(top_error(scores, labels, 1), 2 / 3, rel_tol=1e-6)
assert math.isclose(top_error(scores, labels, 5), 1 / 3, rel_tol=1e-6)

# %% [markdown]
# ### Con una red de verdad { #con-una-red }
#
# No tenemos aquí un millón de fotos, así que entrenamos una [LeNet-5](../arquitecturas/lenet-5.py) con
# prendas de Fashion-MNIST. Son diez clases, y conviene decir ya lo que va a pasar: **con diez clases, cinco
# intentos son la mitad de la lista**. Quien responde al azar acierta la mitad de las veces.

# %%
train_set, test_set = data.fashion_mnist("mini")
train_set, val_set = data.split(train_set, fraction=0.1, seed=seed)
normalize = data.normalization(train_set)
val_batches = data.Batches(val_set, 500, transform=normalize)
test_batches = data.Batches(test_set, 500, transform=normalize)

torch.manual_seed(seed)
net = models.create("lenet5_modern", num_classes=10, in_channels=1)
batches = data.Batches(train_set, 128, shuffle=True, seed=seed, transform=normalize)
training.train(net, batches, val_batches, epochs=4, lr=0.05)
measured = training.evaluate(net, test_batches)

with torch.inference_mode():
    net.eval()
    logits = torch.cat([net(images).float() for images, _ in test_batches])
print(f"con training.evaluate: error top-1 {1 - measured.top1:.1%}, top-5 {1 - measured.top5:.2%}")
for k in (1, 5):  # bfloat16 puede cambiar algún desempate
    given = measured.top1 if k == 1 else measured.top5
    assert abs(top_error(logits, test_set.labels, k) - (1 - given)) < 0.005

# %% alt="Dos curvas de error según cuántos intentos se permiten, de uno a diez. La de quien responde al azar baja en línea recta de 90 % a cero. La de la red empieza por debajo de 20 %, cae casi a cero con tres intentos y ahí sigue." caption="Error top-k en Fashion-MNIST, en la prueba, según k."
tries = range(1, 11)
errors = [100 * top_error(logits, test_set.labels, k) for k in tries]
with plotting.style():
    figure, axis = plt.subplots(figsize=(5.4, 2.7))
    axis.plot(tries, errors, "o-", ms=4, label="LeNet-5 moderna")
    axis.plot(tries, [100 - 10 * k for k in tries], "--", label="al azar")
    axis.set(xlabel="intentos permitidos, k", ylabel="error top-k (%)", ylim=(-3, 95))
    axis.set_xticks(tries)
    axis.legend()
    figure.tight_layout()

assert errors[0] > 8
assert errors[2] < errors[0] / 4
assert errors[4] < 1

# %% [markdown]
# Con cinco intentos casi no queda error, y no porque la red sea extraordinaria: es que la pregunta se volvió
# fácil. Con mil clases, cinco intentos al azar aciertan 5 de cada 1000. Por eso **la historia de ImageNet
# se cuenta en top-5 y los experimentos de este sitio, en top-1**.
#
# ## Qué le hace la jerarquía a la dificultad { #jerarquia }
#
# No todos los errores son iguales. Confundir un husky con un malamute no es como confundirlo con una taza,
# y el desafío de 2010 lo tuvo en cuenta: además del error plano medía un **costo jerárquico**. El costo de una
# respuesta es cuánto hay que subir desde la clase verdadera hasta el primer antepasado común con la respuesta.
# En un árbol de dos pisos, acertar cuesta 0, quedarse dentro del grupo cuesta 1 y salirse, 2.
#
# Fashion-MNIST no trae jerarquía, pero le podemos poner una, como haría cualquiera en una tienda:

# %%
groups = {
    "de arriba": ("camiseta", "suéter", "abrigo", "camisa"),
    "calzado": ("sandalia", "zapatilla", "botín"),
    "pantalón": ("pantalón",),
    "vestido": ("vestido",),
    "bolso": ("bolso",),
}
group_names = list(groups)
group_of = torch.tensor(
    [
        next(index for index, names in enumerate(groups.values()) if name in names)
        for name in test_set.classes
    ]
)

predictions, labels = logits.argmax(dim=1), test_set.labels
wrong = predictions != labels
outside = group_of[predictions] != group_of[labels]
share_inside = 1 - outside[wrong].float().mean().item()
# Si los errores cayeran al azar entre las otras nueve clases:
siblings = torch.tensor([(group_of == group).sum() - 1 for group in group_of])
chance = (siblings[labels[wrong]] / 9).mean().item()

print(f"error por clase: {wrong.float().mean():.1%}; por grupo: {outside.float().mean():.1%}")
print(f"costo jerárquico medio: {(wrong.float() + outside.float()).mean():.3f}, entre 0 y 2")
print(f"errores que se quedan en el grupo: {share_inside:.0%}; al azar sería {chance:.0%}")
for index, name in enumerate(group_names):
    inside = group_of[labels] == index
    print(f"  {name:<10} error por clase {wrong[inside].float().mean():6.1%}")

assert share_inside > 0.6 > chance + 0.2
assert outside.float().mean() < 0.55 * wrong.float().mean()
top = wrong[group_of[labels] == 0].float().mean()
assert top > 2 * wrong[group_of[labels] != 0].float().mean()

# %% [markdown]
# La mayoría de los errores son entre parientes, muchos más de los que daría el azar, y las cuatro prendas de arriba
# se confunden más del doble que las demás. Ahora vuelve a mirar el cuadro de las mil clases. Las razas de perro son ese
# grupo de arriba, multiplicado por treinta. De ahí salen dos consecuencias que seguirán toda la historia:
#
# - **Parte del error de ImageNet mide cuánto sabes de perros.** Cuando una persona
#   [hizo la prueba](la-carrera.py#nivel-humano), buena parte de su trabajo fue aprender razas.
# - **Cinco intentos perdonan a los parientes.** Quien sabe que es un terrier puede nombrar cinco. El top-1
#   es mucho más severo, y por eso los dos números de una misma red se parecen tan poco.
#
# ## Errores comunes { #errores-comunes }
#
# ### Contar los empates a favor { #empates }
#
# Hay otra manera de escribir el top-5: la clase verdadera acierta si **hay menos de cinco puntuaciones
# mayores**. Parece lo mismo. Lo es hasta que hay empates, y los hay: una red que termina en ReLU, una que se
# murió y da siempre cero, una cuantizada a pocos bits.


# %%
def top_error_with_ties(scores, labels, k):
    """La cuenta equivocada: un empate con el quinto vale como acierto."""
    true = scores.gather(1, labels[:, None])
    return 1 - ((scores > true).sum(dim=1) < k).float().mean().item()


dead = torch.zeros_like(logits)
clipped = (logits - logits.quantile(0.7, dim=1, keepdim=True)).relu()  # quedan tres positivas
for name, outputs in {"sana": logits, "con ReLU al final": clipped, "muerta": dead}.items():
    before = top_error_with_ties(outputs, test_set.labels, 5)
    after = top_error(outputs, test_set.labels, 5)
    print(
        f"red {name:<18} error top-5: con la cuenta mala {before:6.2%}, con la buena {after:6.2%}"
    )

assert top_error_with_ties(logits, test_set.labels, 5) == top_error(logits, test_set.labels, 5)
assert top_error_with_ties(dead, test_set.labels, 1) == 0  # la red muerta «acierta» siempre
assert 0.4 < top_error(dead, test_set.labels, 5) < 0.6
assert (
    top_error_with_ties(clipped, test_set.labels, 5) == 0 < top_error(clipped, test_set.labels, 5)
)

# %% [markdown]
# Una red muerta con un error del 0 %. Con `topk` los empates se resuelven de alguna manera, pero nunca hay
# más de cinco intentos. Antes de creer un resultado, pásale a tu medida una red que no sepa nada: debe
# salir el azar.
#
# ### Comparar números que no miden lo mismo { #comparar }
#
# Los cuatro que más se ven:
#
# - **Top-1 contra top-5.** La red de esta página «se equivoca» lo que imprimió antes o casi nada, según cuál
#   cites. Un porcentaje sin decir cuál no dice nada.
# - **«ImageNet» a secas.** Puede ser la base entera o el recorte de mil clases del desafío, que es unas once
#   veces menor. Casi siempre es el segundo.
# - **«Mil fotos de cada clase».** No son iguales las clases: mira la regla 2.
# - **Años distintos.** La prueba de 2010 no es la de 2012. El [gráfico de la carrera](la-carrera.py) dice en qué
#   se midió cada punto.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** Cambia una sola puntuación de la tabla de seis clases para que el error top-5 sea cero, y
# otra para que el top-1 sea el 100 %. Verifícalo con `top_error`.

# %% [markdown] tags=["solucion"]
# A la taza de la tercera foto le basta pasar del césped, que tiene 1. Y para que no acierte nadie a la primera,
# el gato de la segunda foto tiene que perder con el perro, que tiene 3.

# %% tags=["solucion"]
small_labels = torch.tensor([names.index(name) for name in ("pelota", "gato", "taza")])
edited = scores.clone()
edited[2, names.index("taza")] = 1.5
assert top_error(edited, small_labels, 5) == 0
edited[1, names.index("gato")] = 2.5
assert top_error(edited, small_labels, 1) == 1
print("top-5:", top_error(edited, small_labels, 5), "· top-1:", top_error(edited, small_labels, 1))

# %% [markdown]
# **2. Calcula.** ¿Qué error top-5 tiene quien responde al azar cinco clases distintas, con mil clases? Y con
# diez clases, ¿cuántos intentos habría que dar para que fuera igual de difícil?

# %% [markdown] tags=["solucion"]
# Acierta 5 de cada 1000: error del 99.5 %. Con diez clases, un solo intento ya acierta 1 de cada 10, así que
# no hay ningún número de intentos que lo iguale: el top-1 de diez clases es veinte veces más generoso que el
# top-5 de mil.

# %% tags=["solucion"]
generator = torch.Generator().manual_seed(seed)
guesses = torch.rand(20_000, 1000, generator=generator)
any_label = torch.randint(1000, (20_000,), generator=generator)
simulated = top_error(guesses, any_label, 5)
print(f"exacto {1 - 5 / 1000:.3f}, simulado {simulated:.4f}; razón {(1 / 10) / (5 / 1000):.0f}")
assert abs(simulated - 0.995) < 0.003

# %% [markdown]
# **3. Decide.** Cada voto cuesta un centavo y cada persona acierta 8 de cada 10. ¿Cuánto cuesta por foto llegar
# al 99 % con un número fijo de votos? ¿Y si paras en cuanto una respuesta le saca cuatro votos a la otra?

# %% [markdown] tags=["solucion"]
# Con número fijo hay que ir subiendo hasta pasar de 99 %. Parando antes, las fotos fáciles se resuelven con
# cuatro votos y solo las dudosas siguen: por eso ImageNet lo hizo así. Es una *ruina del jugador*: con
# ventaja 4 y probabilidad 0.8, la respuesta correcta gana con probabilidad $1/(1 + (0.2/0.8)^4)$.

# %% tags=["solucion"]
fixed = next(people for people in range(1, 99, 2) if majority(people, 0.8) >= 0.99)
generator = torch.Generator().manual_seed(seed)
steps = torch.where(torch.rand(20_000, 200, generator=generator) < 0.8, 1, -1).cumsum(dim=1)
stop = (steps.abs() == 4).int().argmax(dim=1)  # el primer voto en que la ventaja llega a cuatro
right = steps.gather(1, stop[:, None]) == 4
votes = (stop + 1).float().mean().item()
print(f"fijo: {fixed} votos y acierta {majority(fixed, 0.8):.1%}")
print(f"hasta sacar cuatro: {votes:.1f} votos en promedio y acierta {right.float().mean():.1%}")
assert votes < 0.6 * fixed
assert abs(right.float().mean().item() - 1 / (1 + 0.25**4)) < 0.005

# %% [markdown]
# **4. Mide.** El costo jerárquico que calculamos mira solo la primera respuesta. Define el de cinco respuestas
# como el menor de los cinco costos, como en 2010. ¿Baja mucho?

# %% [markdown] tags=["solucion"]
# Baja casi a cero, por lo mismo que el top-5: con cinco de diez clases, casi siempre está la correcta.

# %% tags=["solucion"]
five = logits.topk(5).indices  # (N, 5)
true_groups = group_of[test_set.labels][:, None]
costs = (five != test_set.labels[:, None]).int() + (group_of[five] != true_groups).int()
first, best = costs[:, 0].float().mean().item(), costs.min(dim=1).values.float().mean().item()
print(f"con la primera respuesta, {first:.3f}; con la mejor de cinco, {best:.4f}")
assert best < first / 10

# %% [markdown]
# **5. Inventa.** El libro de cuentas del desafío está en el paquete. ¿Qué años se midieron en fotos de prueba
# distintas? Escribe una función que, dadas dos filas, diga si sus errores se pueden restar sin más.

# %% [markdown] tags=["solucion"]
# Hace falta el mismo conjunto de prueba y, para que la comparación sea justa, los mismos datos de entrenamiento.


# %% tags=["solucion"]
def comparable(one, other):
    """Si dos cifras se midieron en las mismas fotos y con los mismos datos."""
    return one.test_set == other.test_set and one.extra_data == other.extra_data


by_test = {}
for winner in ilsvrc.winners():
    by_test.setdefault(ilsvrc.TEST_SETS[winner.test_set], []).append(winner.year)
for test, years in by_test.items():
    print(f"{test}: {', '.join(map(str, years))}")
assert not comparable(ilsvrc.find(2010, "nec-uiuc"), ilsvrc.find(2011, "xrce"))
assert comparable(ilsvrc.find(2012, "supervision"), ilsvrc.find(2012, "isi"))

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Lo que pasó cuando alguien trajo una red al concurso: [2012: AlexNet lo cambia todo](2012-alexnet.py).
# - Año por año, con cada cifra y su fuente: [la carrera](la-carrera.py).
# - Las etiquetas, revisadas diez años después: [Después de ImageNet](despues-de-imagenet.py#critica).
# - En la API: [`evaluate`](../api/training.md#cnnhistory.training.evaluate), que mide top-1 y top-5;
#   [`ilsvrc.results`](../api/ilsvrc.md#cnnhistory.ilsvrc.results), el libro de cuentas;
#   [`imagefolder`](../api/imagefolder.md), para carpetas de fotos del tamaño de ImageNet.
#
# ## Referencias { #referencias }
#
# - [Miller (1995)](../referencia/bibliografia.md#miller1995): WordNet.
# - [Deng et al. (2009)](../referencia/bibliografia.md#deng2009): ImageNet, y cómo se hizo.
# - [Russakovsky et al. (2015)](../referencia/bibliografia.md#russakovsky2015): el desafío, contado por quienes lo
#   organizaron.
# - [Khosla et al. (2011)](../referencia/bibliografia.md#khosla2011): Stanford Dogs y sus 120 clases.
# - [Torralba et al. (2008)](../referencia/bibliografia.md#torralba2008) y
#   [Krizhevsky (2009)](../referencia/bibliografia.md#krizhevsky2009): Tiny Images y CIFAR.
# - [Schuhmann et al. (2022)](../referencia/bibliografia.md#schuhmann2022): LAION-5B.
#
# [^deng]: [Deng et al. (2009)](../referencia/bibliografia.md#deng2009).
# [^vss]: La cifra es de una [presentación previa del
#     proyecto](https://jov.arvojournals.org/article.aspx?articleid=2135307), en 2009.
# [^quicktake]: [CNET (2009)](https://www.cnet.com/culture/the-icamera-a-look-back-at-apples-first-digital-camera/), que da
#     el precio y la resolución; y [Vice](https://www.vice.com/en/article/wnzdq5/a-quick-take-on-apples-quicktake-100-the-first-digital-camera-to-fail),
#     que da además las ocho fotos.
# [^russakovsky]: [Russakovsky et al. (2015)](../referencia/bibliografia.md#russakovsky2015).
# [^clases]: Lo dice el archivo que acompaña a los datos del desafío;
#     [Russakovsky et al. (2015)](../referencia/bibliografia.md#russakovsky2015) da los totales.
