# %% [markdown]
# # La carrera justa
#
# Los gráficos del desafío ImageNet comparan equipos, no ideas. El de 2015 tenía mejores GPU que el de 2012,
# otra receta de entrenamiento y, casi siempre, un conjunto de varias redes. Entonces, **¿cuánto de la bajada se
# debe a la arquitectura?**
#
# Una carrera justa deja fijo todo lo demás: las mismas imágenes, la misma receta, las mismas épocas y varias
# semillas. Aquí corren las minis, que guardan la idea de cada red en menos de 300 000 parámetros, junto con
# LeNet-5, su versión moderna y la regresión softmax, que no tiene ninguna capa oculta. Primero está la carrera
# grabada, con Fashion-MNIST entero (54 000 imágenes para entrenar y 6000 para validar); después, una corta que se corre al construir esta página.
#
# ## El resultado { #resultado }
#
# <!-- generado: grafico-carrera-por-anio -->
#
# <!-- generado: tabla-carrera -->
#
# <!-- generado: condiciones-carrera -->
#
# ### Qué muestra { #que-muestra }
#
# - **El progreso no es cronológico.** La LeNet-5 moderna, un diseño de 1998 con ReLU y pooling máximo, gana
#   a las minis de AlexNet, NiN y All-CNN, todas posteriores.
# - **Con poco tiempo, las tres primeras llevan normalización por lotes y atajos.** Son ResNet, DenseNet y SENet, y entre
#   ellas hay empate: sus medias distan menos que dos semillas de una misma ResNet. Pero ResNeXt también los lleva, y empata con VGG, que no
#   tiene ninguno de los dos. Y [con cuarenta épocas](#largas), VGG las alcanza. Lo que se ve aquí es quién aprende
#   más rápido, no quién llega más alto.
# - **La mejora cabe en pocos puntos.** Sin ninguna convolución, softmax ya acierta más del 84 %. Todo lo que se
#   inventó después se reparte los ocho puntos que siguen.
# - **Más caro no es mejor.** La más cara, la mini de AlexNet, hace más de veinte veces las multiplicaciones de la
#   LeNet-5 moderna y acierta menos. DenseNet y ResNet hacen doce y trece veces las de esa misma
#   LeNet-5 por menos de dos puntos más.
# - **Menos multiplicaciones no es menos tiempo.** ResNeXt hace menos que VGG y tarda casi el doble; la LeNet-5 de 1998 hace menos que
#   la moderna y también tarda más. Cuánto tarda una multiplicación depende de
#   [cómo se repartan](../fundamentos/cpu-y-gpu.py).
#
# <!-- generado: grafico-carrera-por-macs -->
#
# ### Qué no muestra { #que-no-muestra }
#
# - **No dice qué red es mejor en ImageNet.** Las prendas miden 28×28 y son diez. NiN, GoogLeNet y las que vinieron
#   se pensaron para fotos de 224×224, mil clases y días de GPU. Lo que resuelven, entrenar decenas de capas o pagar
#   menos por cada una, aquí casi no hace falta.
# - **No dice a dónde llegaría cada una.** Pocas épocas favorecen a las que aprenden rápido. Con otro presupuesto, otras
#   distancias: la carrera viva lo muestra.
# - **No dice que la receta dé igual.** Es la misma para todas salvo por la tasa de aprendizaje, que es la de la ficha
#   de cada red: se eligió en validación, antes de la carrera. Con una sola tasa para todas, la carrera la ganaría
#   quien tuviera la suerte de llevarse bien con ella. Más abajo se mide.
# - **Una mini no es la red.** Cada ficha dice en qué se aparta.
#
# ## La carrera viva { #viva }
#
# Esta corre ahora, con las 10 000 imágenes que trae el paquete, dos épocas y dos semillas.
# [`run_all`][cnnhistory.race.run_all] deja un archivo por corrida: si se interrumpe, sigue por donde iba.

# %% tags=["tiempos"]
import dataclasses
import tempfile
from pathlib import Path

from cnnhistory import experiment, race

NETWORKS = ["softmax", "lenet5_modern", "vgg_mini"]
template = experiment.Experiment("softmax", epochs=2, batch_size=64)
folder = Path(tempfile.mkdtemp())
runs = race.run_all(folder, NETWORKS, range(2), template, "cpu")

rows = race.standings(runs)
print("red            acierto ± desviación   parámetros   segundos")
for row in rows:
    print(
        f"{row.name:<14} {row.top1:8.1%} ± {row.deviation:.1%} {row.parameters:18} {row.seconds:10.1f}"
    )

# %% [markdown]
# Mira la de VGG. En la grabada le gana a la LeNet-5 moderna; aquí queda por debajo de ella (si la diferencia se
# distingue del azar, lo ve el [ejercicio 2](#ejercicios)) y a la altura de softmax, que no tiene capas ocultas. No cambió
# la arquitectura: cambió el presupuesto, de doce veces menos imágenes vistas. La curva de validación de cada corrida dice
# que ninguna había terminado de subir:

# %%
for run in runs:
    curve = " → ".join(f"{epoch.val_top1:.1%}" for epoch in run.history)
    print(f"{run.recipe['name']:<14} semilla {run.recipe['seed']}: {curve}")

scores = {row.name: row.top1 for row in rows}
assert scores["vgg_mini"] < scores["lenet5_modern"] - 0.005
assert abs(scores["vgg_mini"] - scores["softmax"]) < 0.03
assert all(row.failed == 0 and row.top1 > 0.75 for row in rows)
assert all(run.history[1].val_top1 > run.history[0].val_top1 for run in runs)

# %% [markdown]
# Para correr la grabada hace falta el conjunto entero y, en un solo núcleo, unas dos horas y media:
#
# ```console
# $ cnnhistory race mi-carrera --subset full --batch-size 64 --epochs 4 --seeds 3
# ```
#
# ## ¿Arquitectura o receta? { #arquitectura-o-receta }
#
# Arriba todas corren con la receta de hoy, que en su tiempo no existía. AlexNet nacía con pesos casi nulos, una
# tasa que se bajaba a mano y ningún calentamiento. Entonces, **de lo que separa a 1998 de 2017, ¿cuánto puso la red y
# cuánto la manera de entrenarla?**
#
# Para medirlo, cada una corre de tres maneras, con las mismas imágenes, épocas y semillas. Una, con la receta de su
# artículo. Otra, todas con la misma de 2014, la del artículo de VGG, de antes de la normalización por lotes. Y otra, todas con
# una de hoy: la inicialización de He (la LeNet-5 de 1998 conserva la suya), momento de Nesterov, la tasa de su ficha, que sube y baja en un
# ciclo, decaimiento solo en los pesos, recortes y espejos, y etiquetas suavizadas.
#
# <!-- generado: tabla-recetas -->
#
# <!-- generado: resumen-recetas -->
#
# - **Con recetas distintas, la carrera mide recetas.** Con la de su artículo, las redes se separan varias veces más que con
#   la de hoy. Y con una sola receta, cuánto las separa la arquitectura depende de cuál: con la de VGG, también varias veces
#   más que con la de hoy.
# - **Nacer bien puede valer más que todo lo demás.** La receta de AlexNet y la de VGG solo se distinguen en los pesos con que nace
#   la red. Con la suya, la mini de AlexNet no sale del azar; con la de VGG acierta más de dos tercios.
# - **Las recetas viejas suponían paciencia.** Con la suya, AlexNet y ZFNet nacen casi apagadas, y en
#   cinco épocas de 9000 imágenes no despiertan. Sus autores daban decenas de vueltas a más de un millón. No es que
#   la receta no funcione: es que cuesta tiempo, y ese tiempo es lo que la de hoy ahorra. La LeNet-5 de 1998, con la suya, va
#   del 16 al 53 % según la semilla.
# - **Hay redes que perdonan la receta.** Con la misma de 2014 para todas, las cinco primeras son las cuatro con normalización por
#   lotes (ResNet, DenseNet, SENet y ResNeXt) y la LeNet-5 moderna, que no la lleva, pero es poco profunda. Son también las que
#   menos pierden al volver de la receta de hoy a aquella: de tres a seis puntos. Las demás pierden de casi siete a cerca de
#   cincuenta. **Esto sí es de la arquitectura.**
# - **Lo nuevo no siempre suma.** DenseNet acierta más con su receta de 2016, sin espejos ni suavizado, y es el mejor resultado
#   de la tabla: quizá porque, con tan pocas épocas, regularizar estorba.
#
# Unas advertencias. Las minis no son las redes de sus artículos: las desviaciones de los pesos iniciales, pensadas para capas más
# anchas, se escalaron para que la señal fuera la misma. La receta de hoy juega con ventaja, porque su tasa se eligió
# para cada mini, y las otras no. El lote es de 64 para todas, y solo la tasa de SENet, que su artículo da para lotes de 1024, se
# ajustó a él. Y los planes que esperaban a que la validación se estancara
# se llevaron a un presupuesto fijo: bajan a la mitad y a los tres cuartos, que es el plan de DenseNet. Esto es lo que dice cada artículo,
# y lo que se tomó de otro lado:
#
# <!-- generado: recetas-de-articulo -->
#
# Se repite con tres órdenes; las dos últimas corren también softmax, que no tiene artículo:
#
# ```console
# $ cnnhistory race articulo --as-published --batch-size 64 --seeds 3
# $ cnnhistory race vgg --recipe-of vgg_mini --batch-size 64 --seeds 3
# $ cnnhistory race hoy --augment crop_flip --label-smoothing 0.1 --batch-size 64 --seeds 3
# ```
#
# ## Con más tiempo { #largas }
#
# Cuatro épocas favorecen a quien aprende rápido. ¿Y si hay tiempo? Tres de las minis corrieron cuarenta, y dos de ellas,
# ochenta, con recorte y espejo:
#
# <!-- generado: tabla-largas -->
#
# Para comparar: en la lista de resultados que acompaña a
# [Fashion-MNIST](https://github.com/zalandoresearch/fashion-mnist), que sus autores no verifican, la mejor red de unos 500 000
# parámetros llega a 0.934, y una VGG-16 de 26 millones, a 0.935. Las minis tienen menos de 200 000. Con cuarenta épocas, la
# media de ninguna llega, y entre las tres no hay diferencia que se distinga: la de VGG, que en la carrera iba detrás, las alcanzó. **Con
# ochenta, VGG pasa de las dos con sus dos semillas; SENet, con la única que corrió.** No cambió
# la red ni la receta: la tasa sube y baja igual, pero en el doble de tiempo. En la lista las hay mejores, como una DenseNet
# de 768 000, con 0.954. Si a esa se llega con más épocas o hace falta más red, no lo medimos.
#
# ## Las redes completas { #completas }
#
# ¿Y sin encoger? El libro [Dive into Deep Learning](https://d2l.ai) entrena varias de estas redes con Fashion-MNIST, diez
# épocas cada una. No imprime los números, pero sus curvas se pueden leer: la columna d2l es el último punto de cada una,
# con un error de media centésima y una sola semilla.
#
# <!-- generado: tabla-completas -->
#
# La comparación no es entre redes: es entre dos maneras de entrenarlas. El libro enseña descenso estocástico con la tasa fija; aquí hay
# momento, y una tasa que sube y baja. La LeNet, además, no es la misma: la de d2l lleva sigmoides y promedios, y la nuestra, ReLU y
# máximos, con los mismos 61 706 parámetros. Más de la mitad de su ventaja es de la receta: con la nuestra, la red de d2l
# [gana más de diez puntos](rendimiento.md#acierto).
#
# La VGG es la del libro, con la cuarta parte de los canales: en cuatro épocas pasa de su curva de diez. La GoogLeNet también la pasó en
# cuatro; la ResNet-18 y la AlexNet, en tres; y la DenseNet-121, que es mayor que la del libro, en una. La AlexNet es la de
# torchvision, que nace con la inicialización de He: la del artículo, como viste arriba, necesita más tiempo del que
# hay aquí. NiN es la de ImageNet, y fue la que más costó. [En cuatro épocas](completas/cuatro-epocas/nin_imagenet-0.json), con el plan de
# las demás, se quedó a un punto. En cinco, con el plan [`warmup_cosine`](../tecnicas/bucle-de-entrenamiento.py#el-plan-de-la-tasa), que sube antes a la tasa máxima, queda por encima, pero por menos que el error de leer la curva: es un empate.
#
# La lista de Fashion-MNIST pide más. Cada red, con la nuestra que más se le parece:
#
# <!-- generado: tabla-lista -->
#
# Llegan dos: la mini, con ochenta épocas, y la AlexNet, por poco y con una sola semilla, con cinco. La ResNet-18, con
# dieciocho, recortes y espejos, se queda a un punto. Corrió con las imágenes agrandadas a 64×64, y no a 96×96, para que
# cupieran más épocas en el mismo tiempo. Las demás corrieron de una a cuatro, sin aumentar, en una hora o menos de un solo núcleo. Faltan las de muchas épocas, que piden una GPU, o mucha paciencia. Quien la
# tenga puede llenar la tabla:
#
# ```console
# $ cnnhistory race lista --device cuda --networks resnet18 --subset full --epochs 80 --seeds 3 \
#     --side 64 --lr 0.05 --augment crop_flip
# ```
#
# ## Errores comunes { #errores }
#
# ### La misma tasa para todas { #misma-tasa }
#
# Parece lo justo, y es lo contrario. Cada red tiene su escala: la tasa que le conviene a una deja a otra sin
# aprender. La LeNet-5 moderna, con la de su ficha y con la vigésima parte:

# %%
lenet = dataclasses.replace(template, name="lenet5_modern")
slow = dataclasses.replace(lenet, lr=lenet.recipe()["lr"] / 20)
fast = next(run for run in runs if run.recipe == lenet.recipe())  # ya corrió: es la semilla 0
starved = experiment.run(slow, slow.parts("cpu"), "cpu")
print(f"la de su ficha     tasa {lenet.recipe()['lr']:<8g} {fast.test.top1:.1%}")
print(f"la vigésima parte  tasa {slow.lr:<8g} {starved.test.top1:.1%}")
assert starved.test.top1 < fast.test.top1 - 0.03

# %% [markdown]
# Una carrera así no mide arquitecturas: mide quién tuvo suerte con la tasa.
#
# ### Una sola semilla { #una-semilla }
#
# La columna ± de la tabla dice cuánto cambia una red consigo misma. Una diferencia menor que eso no es un
# resultado. En la grabada, las medias de LeNet-5 moderna y GoogLeNet están más cerca que dos semillas de una misma
# GoogLeNet.
#
# ### Elegir con la prueba { #elegir-con-la-prueba }
#
# Si de cada red se informa la época que mejor salió *en prueba*, todas suben un poco, y suben más las que más oscilan.
# Aquí la prueba se mide una vez, al final; la tasa se eligió con la validación. Por eso cada registro tiene la curva de
# validación de todas las épocas, y un solo número de prueba.
#
# ## Ejercicios { #ejercicios }
#
# **1. La otra justicia.** Las mismas épocas no son el mismo tiempo: una época de la mini de VGG le cuesta al
# procesador lo que varias de LeNet. Dale a la LeNet-5 moderna cuatro veces más épocas que en la carrera viva.
# ¿Qué pasa con el podio?

# %% tags=["solucion"]
longer = dataclasses.replace(lenet, epochs=8)
result = experiment.run(longer, longer.parts("cpu"), "cpu")
seconds = sum(epoch.seconds for epoch in result.history)
print(f"LeNet-5 moderna, 8 épocas: {result.test.top1:.1%} en {seconds:.0f} segundos")
for row in rows:
    print(f"{row.name:<14} {row.top1:.1%} en {row.seconds:.0f} segundos")
assert result.test.top1 > rows[0].top1

# %% [markdown] tags=["solucion"]
# La distancia crece: con ocho épocas gana a todas las que corrieron dos, en un tiempo del mismo orden que el de VGG. Qué es lo
# justo depende de la pregunta: las mismas épocas comparan cuánto aprende cada red de los mismos datos; el mismo
# tiempo, qué conviene entrenar hoy en esta máquina.

# %% [markdown]
# **2. ¿Hay empate?** Con las corridas de la carrera viva, calcula para cada par de redes la diferencia de sus medias
# y compárala con la mayor de sus dos desviaciones. ¿Qué pares no se distinguen?

# %% tags=["solucion"]
import itertools

verdicts = []
for one, other in itertools.combinations(rows, 2):
    difference, noise = one.top1 - other.top1, max(one.deviation, other.deviation)
    verdict = "se distinguen" if difference > 2 * noise else "no se distinguen"
    verdicts.append(verdict)
    print(f"{one.name:<14} {other.name:<14} {difference:5.1%} contra ±{noise:.1%}: {verdict}")
assert "no se distinguen" in verdicts

# %% [markdown] tags=["solucion"]
# Dos semillas dan una idea muy gruesa de la desviación: la regla de «dos desviaciones» es un aviso, no una prueba
# estadística. Con más semillas el aviso mejora; por eso la grabada tiene tres, y un artículo debería tener más.

# %% [markdown]
# ## Para seguir { #para-seguir }
#
# - Cada red, con su ficha y su artículo: [Arquitecturas](../arquitecturas/index.md).
# - Qué da la aumentación, medido aparte: [Aumentación de imágenes](../tecnicas/aumentacion.py).
# - Las cifras del desafío de verdad: [La carrera (2010–2017)](../historia/la-carrera.py).
