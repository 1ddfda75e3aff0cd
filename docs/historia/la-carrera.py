# %% [markdown]
# # La carrera (2010–2017)
#
# Imagina que llevas diez años afinando a mano las piezas de un sistema que reconoce objetos en fotos.
# El año pasado ganaste la competencia de tu campo. Este año tres personas que vienen de otro sitio se
# presentan con algo distinto, y te sacan **{ilsvrc:2012:isi - 2012:supervision:0}**. ¿Qué haces el lunes?
#
# Esa escena ocurrió en octubre de 2012, y la respuesta de casi todos fue la misma: tirar lo que tenían y
# empezar de nuevo. Esta página cuenta los ocho años de la competencia en que pasó. Cada cifra sale de un
# [libro de cuentas](#cifras) que dice de dónde viene, y de lo que *no* significan esas cifras se habla
# tanto como de ellas.

# %%
import math
from itertools import pairwise

import torch

from cnnhistory import ilsvrc

seed = 0

# %% [markdown]
# <!-- generado: grafico-ilsvrc -->
#
# ## Cinco intentos para acertar { #top-5 }
#
# [ImageNet](imagenet-y-el-desafio.py) reunió millones de fotos y les puso nombre con la ayuda de miles de
# personas por internet. El desafío, ILSVRC, tomó de ahí mil clases y pidió algo fácil de decir: *qué hay en
# la foto*.
# En la edición de 2012 había 1 281 167 fotos para entrenar, 50 000 para validar y 100 000 para la
# prueba, cuyas respuestas solo tenían los organizadores.[^datos]
#
# Pero una foto rara vez tiene una sola cosa. Si aparece un perro mordiendo una pelota y la etiqueta dice
# «pelota», ¿se equivocó quien dijo «perro»? Para no castigar esas respuestas se permiten **cinco**: el
# sistema propone cinco clases y acierta si la correcta es una de ellas. El *error top-5* es la proporción
# de fotos en que ni siquiera así acertó. Con cuatro fotos se calcula de cabeza:
#
# | Etiqueta | Lo que propone el sistema, de más a menos seguro | ¿Acierta a la primera? | ¿Y con cinco? |
# | --- | --- | :---: | :---: |
# | pelota de tenis | perro, **pelota de tenis**, césped, raqueta, gato | no | sí |
# | gato atigrado | **gato atigrado**, gato persa, lince, zorro, cojín | sí | sí |
# | teclado | ratón, pantalla, **teclado**, mesa, taza | no | sí |
# | violín | guitarra, banjo, arpa, piano, silla | no | no |
#
# Haz la cuenta de los dos errores antes de seguir. Después, compruébala:

# %%
answers = {
    "pelota de tenis": ["perro", "pelota de tenis", "césped", "raqueta", "gato"],
    "gato atigrado": ["gato atigrado", "gato persa", "lince", "zorro", "cojín"],
    "teclado": ["ratón", "pantalla", "teclado", "mesa", "taza"],
    "violín": ["guitarra", "banjo", "arpa", "piano", "silla"],
}


def error(attempts):
    """Proporción de fotos en que la etiqueta no está entre los primeros intentos."""
    missed = sum(label not in proposed[:attempts] for label, proposed in answers.items())
    return missed / len(answers)


print(f"error top-1: {error(1):.0%}; error top-5: {error(5):.0%}")
assert (error(1), error(5)) == (0.75, 0.25)

# %% [markdown]
# El error top-1 es 3 de 4 y el error top-5, 1 de 4. En adelante, mientras no se diga otra cosa, «error» es el top-5, y
# menos es mejor.
#
# ## 2010 y 2011: describir a mano { #2010 }
#
# Los primeros ganadores no aprendían a *ver*. Aprendían a *clasificar* lo que otros habían decidido
# mirar. La receta, con variantes, tenía tres pasos:
#
# 1. recorrer la foto y resumir cada parche con un descriptor local, como SIFT, inventado por una persona;
# 2. reunir miles de descriptores en un solo vector: contarlos contra un vocabulario visual, o medir cómo
#    se apartan de un modelo, que es lo que hace un vector de Fisher;
# 3. entrenar sobre ese vector un clasificador sencillo, una máquina de vectores de soporte.
#
# Solo el tercer paso aprendía del millón de fotos. (Esa receta, construida y medida contra las redes, está en
# [Antes de ImageNet](antes-de-imagenet.py).) Con ella, NEC-UIUC ganó en 2010 con un error de
# {ilsvrc:2010:nec-uiuc}, y XRCE en 2011 con {ilsvrc:2011:xrce}.[^dospruebas] Fueron
# {ilsvrc:2010:nec-uiuc - 2011:xrce} de mejora a cambio de un año de trabajo de los mejores grupos del
# mundo, y con sistemas cada vez más enredados. Parecía que así iba a seguir: un par de puntos por año.
#
# ## 2012: de {ilsvrc:2011:xrce:0} a {ilsvrc:2012:supervision:0} { #2012 }
#
# Alex Krizhevsky, Ilya Sutskever y Geoffrey Hinton se presentaron como SuperVision, con la red que hoy
# llamamos AlexNet. Del píxel a la clase, todo se aprendía. La idea no era nueva: es la de
# [LeNet-5](../arquitecturas/lenet-5.py), de 1998. Lo nuevo era poder alimentarla: un millón de fotos
# etiquetadas, dos tarjetas de videojuegos de 3 GB en las que el entrenamiento tardaba entre cinco y seis
# días, y un código de convoluciones escrito para ellas, porque no había nada hecho.[^alexnet] Por qué
# tuvo que ser entonces, y con esas tarjetas, [se puede calcular](2012-alexnet.py#la-cuenta).
#
# El error bajó a {ilsvrc:2012:supervision}. El mejor sistema de los de antes, el del equipo ISI, se quedó
# en {ilsvrc:2012:isi}: casi donde estaba el ganador del año anterior.
#
# ### ¿{ilsvrc:2012:supervision-extra} o {ilsvrc:2012:supervision}? { #dos-numeros }
#
# Verás las dos cifras, y a veces en el mismo texto. Las dos son oficiales y las dos son de SuperVision:
#
# | Cifra | Qué es |
# | ---: | --- |
# | {ilsvrc:2012:supervision:3} | promedio de cinco redes, entrenadas solo con los datos del desafío |
# | {ilsvrc:2012:supervision-extra:3} | las mismas más dos redes que antes habían visto el ImageNet completo de otoño de 2011 |
# | {ilsvrc:2012:alexnet-una} | **una** sola red, y medida en validación, no en la prueba |
#
# La segunda es la que da el resumen del artículo. La primera es la que conviene comparar con los demás
# años, porque usa los mismos datos que todos; es la que une la línea del gráfico. Y la tercera es la que
# más enseña: lo que llamamos «el resultado de AlexNet» es el de un conjunto de redes. Pero fíjate en que
# una sola ya dejaba atrás a todos los demás.
#
# ### Por qué cambiaron todos en un año { #por-que }
#
# Una mejora grande no basta para que un campo entero abandone lo que sabe hacer. Hubo algo más:
#
# - **No se podía discutir.** Mismas fotos, mismas reglas, respuestas en poder de un tercero. Nadie podía
#   decir que el experimento estaba arreglado.
# - **No quedaba camino por el otro lado.** Los {ilsvrc:2012:isi - 2012:supervision} de distancia con el
#   segundo eran varios años del progreso de antes.
# - **Se podía repetir.** El artículo contaba casi todo, el código se publicó, y las tarjetas se vendían en
#   cualquier tienda.
# - **Crecía.** La receta anterior apenas mejoraba con más cálculo. Esta pedía más capas, más datos y más
#   tarjetas, y las tres cosas iban a llegar.
#
# ## 2013: entender por qué { #2013 }
#
# Un año después casi todos traían redes convolucionales. Ganó **Clarifai**, la empresa recién fundada de
# Matthew Zeiler, con {ilsvrc:2013:clarifai} ({ilsvrc:2013:clarifai-extra} si se cuenta la presentación
# con datos adicionales).
#
# Y aquí hay que deshacer un malentendido muy repetido. Zeiler y Rob Fergus escribieron ese año el
# artículo de la red que llamamos ZFNet. Con sus iniciales también se presentaron, y sacaron
# {ilsvrc:2013:zf}; el artículo da {ilsvrc:2013:zfnet-articulo} para un conjunto de seis redes.[^zfnet]
# **ZFNet no ganó en 2013; ganó Clarifai.**
#
# Lo que [ZFNet](../arquitecturas/zfnet.py) ganó fue más duradero. La pregunta de ese año no era cómo bajar otro punto, sino *por qué
# funciona esto*. Ellos construyeron una manera de proyectar lo que excita a cada unidad de vuelta a los
# píxeles, y miraron: bordes y colores en la primera capa, esquinas y texturas después, luego partes, y al
# final perros y ruedas. Mirando vieron también qué estaba mal en AlexNet, cuyos primeros filtros eran
# demasiado grandes y saltaban demasiado, y lo corrigieron. Entender sirvió para mejorar.
#
# ## 2014: dos maneras de ir más hondo { #2014 }
#
# AlexNet tenía ocho capas con pesos. En 2014, dos equipos fueron mucho más lejos por caminos opuestos.
#
# [**GoogLeNet**](../arquitecturas/googlenet.py) ganó en clasificación con {ilsvrc:2014:googlenet:2}. En vez de elegir el tamaño de los
# filtros, puso varios en paralelo y dejó que el entrenamiento decidiera: ese es el bloque Inception. Con
# 22 capas, tiene unos siete millones de parámetros, frente a los sesenta de AlexNet.[^doce]
#
# [**VGG**](../arquitecturas/vgg.py), de Oxford, quedó segunda con {ilsvrc:2014:vgg:2} (y primera en localización) haciendo lo
# contrario: nada de ingenio, solo filtros de 3×3, uno tras otro, hasta 16 o 19 capas. Es enorme, con 138
# millones de parámetros (más de 500 MB en disco), y tan regular que se dibuja en una línea. Esa sencillez hizo que durante años
# fuera la red de la que muchos sacaban sus descriptores.[^vgg]
#
# ## 2015: Santiago de Chile { #2015 }
#
# ¿Y si seguimos apilando? Se probó, y pasó algo raro: pasado cierto punto, una red simple más honda se
# equivocaba *más*, incluso con las fotos de entrenamiento. No era sobreajuste: era que no sabíamos
# entrenarla.
#
# [**ResNet**](../arquitecturas/resnet.py), de Microsoft Research Asia, cambió la pregunta. Cada bloque deja pasar su entrada intacta y
# le suma una corrección; si no hace falta corregir nada, basta con que la corrección sea cero. Con eso
# entrenaron redes de **152 capas** y ganaron con {ilsvrc:2015:msra:2}, un conjunto de seis redes. Una
# sola ResNet-152 estaba en {ilsvrc:2015:resnet-152-una:2}, medido en validación.[^resnet]
#
# ¿Por qué 152 y no más? Se cuenta que era lo máximo que cabía en la memoria de sus ocho tarjetas. Es
# verosímil, porque cada capa añade mapas que hay que guardar hasta que vuelva el gradiente, y en eso se va casi
# toda la memoria; pero el artículo no lo dice. Lo que sí cuenta es que con imágenes pequeñas, las de CIFAR-10,
# pasaron de mil capas, y que esa red, que aprendía sin dificultad las de entrenamiento, en la prueba se
# equivocaba más que otra de 110. La profundidad había dejado de ser el obstáculo, y también de ser la
# respuesta.
#
# Los resultados se presentaron el 17 de diciembre de 2015, en el taller del desafío dentro del congreso
# ICCV, que ese año fue en Santiago de Chile.[^santiago] El artículo salió publicado al año siguiente.
#
# ### ¿Mejor que una persona? { #nivel-humano }
#
# Ese año se leyó en todas partes que las máquinas ya veían mejor que nosotros. Veamos qué se había medido
# de verdad.[^humano] Dos anotadores expertos se sentaron a hacer la prueba:
#
# <!-- generado: tabla-humanos -->
#
# El «nivel humano» del que se habla, {ilsvrc:humano:a1}, es el de **una** persona, que había practicado
# con 500 fotos, en una muestra de 1500. A la otra, con menos práctica, le fue mucho peor:
# {ilsvrc:humano:a2}. Distinguir más de cien razas de perro no es *ver*, es un oficio. Y contando como
# acierto que atinara cualquiera de los dos, el error habría sido {ilsvrc:humano:a1-o-a2}.
#
# Con esas salvedades, esta fue la cronología. En febrero de 2015 un artículo anunció por primera vez un
# error menor que {ilsvrc:humano:a1}: PReLU-net, con {ilsvrc:2015:prelu:2}. Era un conjunto; una sola de
# sus redes se quedaba en {ilsvrc:2015:prelu-una:2}. Lo siguió BN-Inception, con
# {ilsvrc:2015:bn-inception:2}. En la competencia, la primera fue ResNet. Lo que ninguna de las tres
# probó es que una red entienda una foto: probaron que, con mil clases conocidas de antemano y cinco
# intentos, ya no era esta prueba la que podía distinguirlas de un experto.
#
# ## 2016 y 2017: el final { #2017 }
#
# En 2016, **Trimps-Soushen** combinó redes ya conocidas y bajó a {ilsvrc:2016:trimps-soushen:2}, apenas
# por delante de [ResNeXt](../arquitecturas/resnext.py), con {ilsvrc:2016:resnext:2}. En 2017, [**SENet**](../arquitecturas/senet.py) dejó que cada red aprendiera a
# qué canales hacer caso según la foto, y cerró la cuenta en {ilsvrc:2017:senet:2}.
#
# Fue la última edición. El 26 de julio de 2017 los organizadores pasaron el testigo a Kaggle.[^fin] Suele
# decirse que paró porque el problema estaba resuelto; es una interpretación razonable, aunque no la
# encontrarás firmada por ellos. Sí es verdad que el interés ya estaba en otra parte: encontrar *todos* los
# objetos de una foto, recortarlos píxel a píxel, seguirlos en un video. Y casi todo eso se construyó
# encima de las redes de esta carrera: lo cuenta [Después de ImageNet](despues-de-imagenet.py).
#
# !!! warning "Lo que el gráfico no dice"
#
#     - **Desde 2012, toda cifra ganadora es de un conjunto de redes.** La red que descargas es una sola y
#       se equivoca más.
#     - **Hay datos adicionales** en las mejores cifras de 2012 y de 2013. La línea une las que no los usan.
#     - **Las fotos de prueba cambiaron.** Las de 2010 eran 150 000; las de 2011 eran otras; desde 2012
#       fueron 100 000. Entre ediciones distintas, no compares decimales.
#     - **De 2014 a 2016** la cifra es la columna de clasificación de una tarea que pedía también localizar.
#       **En 2017** ya no hubo tarea de clasificación: quedó esa columna.
#     - **Un punto hueco es la cifra de un artículo**, medida después y sin reloj. No es un puesto en la
#       competencia.
#     - **El nivel humano** es de dos personas, con práctica distinta, en muestras pequeñas.

# %% [markdown]
# ## Errores comunes { #errores-comunes }
#
# ### Dar el error de un conjunto como si fuera el de una red { #conjunto }
#
# «AlexNet: {ilsvrc:2012:supervision-extra}». «ResNet-152: {ilsvrc:2015:msra:2}». Las dos frases están en muchos cursos y las
# dos son falsas: ninguna red sola sacó eso. El libro de cuentas tiene las dos cifras cuando se publicaron:

# %%
alone = [result for result in ilsvrc.results() if result.models == 1]
for one in alone:
    together = [
        other for other in ilsvrc.results(one.year) if other.team == one.team and other.is_ensemble
    ]
    many = min(together, key=lambda result: result.top5_error)
    more = one.top5_error / many.top5_error - 1
    print(
        f"{one.year} {many.network:<10} el conjunto {many.top5_error:5.2f} %, "
        f"una red {one.top5_error:5.2f} %: {more:.0%} más errores"
    )
    assert more > 0.02
validated = sum(one.test_set == "validación" for one in alone)
print(f"medidas en validación, y no en la prueba: {validated} de {len(alone)}")
assert (validated, len(alone)) == (3, 5)

# %% [markdown]
# Quien descarga una de esas redes y espera la cifra del cartel cree que cargó mal los pesos. Además, tres de las cinco redes
# solas se midieron en validación, que tampoco es la prueba. El arreglo es decir siempre qué se midió: cuántas redes, con
# qué datos, en qué fotos.
#
# ### Leer más decimales de los que hay { #decimales }
#
# En 2016, Trimps-Soushen quedó por delante de ResNeXt: {ilsvrc:2016:trimps-soushen:3} contra {ilsvrc:2016:resnext:2}. ¿Era mejor?
# La prueba tenía 100 000 fotos: muchas, pero no infinitas. Supón que las dos se equivocan *exactamente* lo mismo, y
# repite el desafío mil veces con fotos nuevas:

# %%
first, second = ilsvrc.find(2016, "trimps-soushen"), ilsvrc.find(2016, "resnext")


def typical_gap(error, photos=100_000, rounds=1000):
    """Las diferencias, en puntos, entre dos sistemas iguales que ven fotos distintas."""
    generator = torch.Generator().manual_seed(seed)
    misses = torch.binomial(
        torch.full((rounds, 2), float(photos)), torch.full((rounds, 2), error / 100), generator
    )
    return 100 * (misses[:, 0] - misses[:, 1]).abs() / photos


for winner, other in [
    (first, second),
    (ilsvrc.find(2012, "supervision"), ilsvrc.find(2012, "isi")),
]:
    gap = other.top5_error - winner.top5_error
    by_chance = (typical_gap(winner.top5_error) >= gap).float().mean().item()
    print(
        f"{winner.year}: {gap:.2f} puntos; entre dos iguales se ven tantos o más "
        f"en {by_chance:.0%} de las veces"
    )
    assert (by_chance > 0.3) == (winner.year == 2016)
    assert winner.year == 2016 or by_chance == 0

# %% [markdown]
# La diferencia de 2016 sale a menudo entre dos sistemas iguales. La de 2012 no sale nunca. (Los dos vieron las mismas
# fotos, y comparar foto por foto distingue más; pero para eso hacen falta las respuestas, no los porcentajes.) Ganar un puesto
# y ser mejor no son lo mismo.
#
# ### Unir puntos de pruebas distintas { #unir }
#
# El gráfico une con una línea los ganadores de ocho años, y tres pruebas distintas. Entre 2010 y 2011 cambiaron las fotos, y
# también entre 2011 y 2012:

# %%
for before, after in pairwise(ilsvrc.winners()):
    same = before.test_set == after.test_set
    print(f"{before.year} → {after.year}: {'las mismas fotos' if same else 'otras fotos'}")
changes = [b.year for a, b in pairwise(ilsvrc.winners()) if a.test_set != b.test_set]
assert changes == [2011, 2012]
isi, supervision = ilsvrc.find(2012, "isi"), ilsvrc.find(2012, "supervision")
assert isi.test_set == supervision.test_set
print(f"en las mismas fotos, en 2012: {isi.top5_error - supervision.top5_error:.2f} puntos")

# %% [markdown]
# El salto «de {ilsvrc:2011:xrce:0} a {ilsvrc:2012:supervision:0}» cruza una de esas costuras. No lo inventa: medido contra ISI, en
# el mismo año y en las mismas fotos, es casi igual. Cuando puedas elegir, elige esa comparación.
#
# ## Ejercicios { #ejercicios }
#
# **1. Comprueba.** El salto de 2012 es el más famoso. ¿Es también el mayor? Calcula para cada año cuántos puntos bajó
# el error del ganador y qué parte del error que quedaba eliminó.

# %% tags=["solucion"]
points, shares = {}, {}
for before, after in pairwise(ilsvrc.winners()):
    points[after.year] = before.top5_error - after.top5_error
    shares[after.year] = points[after.year] / before.top5_error
    print(
        f"{after.year} {after.team:<16} {points[after.year]:4.1f} puntos, {shares[after.year]:.0%}"
    )
assert max(points, key=points.get) == 2012
assert min(shares[2014], shares[2015]) > shares[2012]

# %% [markdown] tags=["solucion"]
# En puntos, sí: ningún año bajó tanto como 2012. En proporción, no: en 2014 y en 2015 se eliminó una parte mayor del
# error que quedaba. Lo de 2012 no fue la mejora más eficaz. Fue la que cambió el método.

# %% [markdown]
# **2. Calcula.** El {ilsvrc:humano:a1} humano se midió en 1500 fotos. ¿Con qué precisión? ¿Basta para decir que PReLU-net, con
# {ilsvrc:2015:prelu:2}, supera a esa persona? ¿Y para ResNet, con {ilsvrc:2015:msra:2}?

# %% [markdown] tags=["solucion"]
# Una proporción $p$ medida en $n$ fotos tiene un error estándar de $\sqrt{p(1-p)/n}$, y el intervalo del 95 % son unos dos
# errores estándar a cada lado.

# %% tags=["solucion"]
person = next(person for person in ilsvrc.human_level() if person.entry == "a1")
share = person.top5_error / 100
error_of_mean = math.sqrt(share * (1 - share) / person.test_images)
low, high = 100 * (share - 1.96 * error_of_mean), 100 * (share + 1.96 * error_of_mean)
print(f"error estándar {error_of_mean:.4f}; intervalo de {low:.1f} % a {high:.1f} %")
assert low < ilsvrc.find(2015, "prelu").top5_error < high
assert ilsvrc.find(2015, "msra").top5_error < low

# %% [markdown] tags=["solucion"]
# PReLU-net cae dentro: con esa muestra **no** se distingue de la persona. ResNet cae fuera. Y todo esto vale para *esa*
# persona; con la otra, el punto de partida sería {ilsvrc:humano:a2}.

# %% [markdown]
# **3. Mide.** ¿Qué error top-5 tiene quien responde al azar cinco clases distintas, con las mil clases de ImageNet? ¿Y con
# las diez de Fashion-MNIST? ¿Qué consecuencia tiene para los experimentos de este sitio?

# %% tags=["solucion"]
generator = torch.Generator().manual_seed(seed)
for classes in (1000, 10):
    guesses = torch.rand(20_000, classes, generator=generator).topk(5).indices
    labels = torch.randint(classes, (20_000, 1), generator=generator)
    missed = (guesses != labels).all(dim=1).float().mean().item()
    print(f"{classes} clases: exacto {1 - 5 / classes:.3f}, simulado {missed:.3f}")
    assert abs(missed - (1 - 5 / classes)) < 0.02

# %% [markdown] tags=["solucion"]
# Con diez clases el top-5 casi no distingue una red buena de una mala. Por eso en los experimentos de este sitio miramos
# sobre todo el top-1, aunque la historia de ImageNet se cuente en top-5.

# %% [markdown]
# **4. Predice.** Estás a finales de 2011 y solo tienes las dos primeras cifras. ¿Qué error esperas para 2012 si el progreso
# sigue igual en puntos? ¿Y si sigue igual en proporción? ¿En qué año llegaría cada cuenta al error de AlexNet?

# %% tags=["solucion"]
errors = {winner.year: winner.top5_error for winner in ilsvrc.winners()}
drop, ratio = errors[2010] - errors[2011], errors[2011] / errors[2010]
by_points, by_ratio = errors[2011] - drop, errors[2011] * ratio
print(
    f"para 2012: {by_points:.1f} % en puntos, {by_ratio:.1f} % en proporción; fue {errors[2012]:.1f} %"
)
years_points = (errors[2011] - errors[2012]) / drop
years_ratio = math.log(errors[2012] / errors[2011]) / math.log(ratio)
arrive = [math.ceil(2011 + years) for years in (years_points, years_ratio)]
print(f"al error de AlexNet se llegaría en {arrive[0]} y en {arrive[1]}")
assert min(by_points, by_ratio) > errors[2012] + 5
assert arrive == [2015, 2017]

# %% [markdown] tags=["solucion"]
# Con dos puntos no se ajusta nada: una recta y una exponencial pasan por los dos y llegan con años de diferencia. Y las dos
# suponen que el método no cambia, que es lo que pasó.

# %% [markdown]
# ## Las cifras, una por una { #cifras }
#
# Las mismas que puedes usar en Python con
# [`cnnhistory.ilsvrc.results()`](../api/ilsvrc.md#cnnhistory.ilsvrc.results).
#
# <!-- generado: tabla-ilsvrc -->
#
# ## Para seguir { #para-seguir }
#
# - El año del salto, con sus tarjetas y su cuenta: [2012: AlexNet lo cambia todo](2012-alexnet.py).
# - Cómo se hizo el conjunto y qué mide el top-5: [ImageNet y el desafío](imagenet-y-el-desafio.py).
# - Lo que vino cuando se acabó la carrera: [Después de ImageNet](despues-de-imagenet.py).
# - Las mismas redes, en pequeño y con la misma receta: [La carrera justa](../resultados/carrera-justa.py).
# - En la API: [`ilsvrc`](../api/ilsvrc.md), el libro de cuentas.
#
# [^datos]: [Russakovsky et al. (2015)](../referencia/bibliografia.md#russakovsky2015), la descripción del
#     desafío por sus organizadores. La base de datos se presentó en
#     [Deng et al. (2009)](../referencia/bibliografia.md#deng2009).
# [^dospruebas]: No son las mismas fotos de prueba, así que la resta es orientativa.
# [^alexnet]: [Krizhevsky, Sutskever y Hinton (2012)](../referencia/bibliografia.md#krizhevsky2012). La red
#     se recorre entera en la [página de AlexNet](../arquitecturas/alexnet.py).
# [^zfnet]: [Zeiler y Fergus (2013)](../referencia/bibliografia.md#zeiler2013).
# [^doce]: [Szegedy et al. (2014)](../referencia/bibliografia.md#szegedy2014). El artículo dice «doce veces
#     menos parámetros»; contando los de las dos redes salen unas nueve.
# [^vgg]: [Simonyan y Zisserman (2014)](../referencia/bibliografia.md#simonyan2014). El artículo, posterior
#     a la competencia, da {ilsvrc:2014:vgg-articulo} con dos redes y {ilsvrc:2014:vgg-articulo-una} con
#     una: mejor que lo presentado, pero no es lo presentado.
# [^resnet]: [He et al. (2015)](../referencia/bibliografia.md#he2015resnet).
# [^santiago]: Calendario de la
#     [página oficial de ILSVRC 2015](https://image-net.org/challenges/LSVRC/2015/index.php).
# [^humano]: [Russakovsky et al. (2015)](../referencia/bibliografia.md#russakovsky2015), sección 6.4. Los
#     artículos que se comparan con esa cifra son [He et al. (2015)](../referencia/bibliografia.md#he2015prelu)
#     e [Ioffe y Szegedy (2015)](../referencia/bibliografia.md#ioffe2015).
# [^fin]: Noticias de la [página oficial de ILSVRC 2017](https://image-net.org/challenges/LSVRC/2017/index.php).
#     El artículo de SENet es [Hu et al. (2017)](../referencia/bibliografia.md#hu2017).
