"""El gráfico del desafío ImageNet: SVG escrito a mano, sin dependencias, igual en cada build.

Hay dos dibujos de los mismos puntos y la hoja de estilo muestra uno: el ancho, con el tiempo hacia
la derecha, y el angosto, una línea por cifra, para teléfonos. Los colores son variables CSS.
"""

import math
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal
from html import escape

from cnnhistory import ilsvrc
from cnnhistory.ilsvrc import Result

TEXT_WIDTH = 0.56  # ancho medio de una letra, en tamaños de letra
SHAPES = {True: "conjunto", False: "una-red", None: "no-consta"}


def percent(value: float, decimals: int = 1) -> str:
    """Un porcentaje en español: `16.422` → «16.4 %», con espacio de no separación."""
    return number(value, decimals) + "\u00a0%"


def number(value: float, decimals: int = 1) -> str:
    """Un número con punto decimal; el 5 redondea hacia arriba, como se hace a mano."""
    exact = Decimal(str(value)).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    return str(exact)


def exact_percent(value: float) -> str:
    """Un porcentaje con todas las cifras publicadas: `28.191` → «28.191 %»."""
    return f"{value}\u00a0%"


def label(result: Result) -> str:
    """El nombre que cabe en el gráfico: el de la red si es uno solo; si no, el del equipo."""
    network = result.network.removesuffix(", una sola red")
    return network if network and " " not in network else result.team


def description(result: Result) -> str:
    """Todo lo que hay que saber de un punto, en una línea: lo que oye quien no ve el gráfico."""
    networks = {
        True: f"conjunto de {result.models} redes" if result.models else "conjunto de redes",
        False: "una sola red",
        None: "no consta si es un conjunto",
    }[result.is_ensemble]
    parts = [
        f"{result.year}, {result.team}",
        *([result.network] if result.network and result.network != result.team else []),
        f"error top-5 de {exact_percent(result.top5_error)}",
        networks,
        "con datos adicionales" if result.extra_data else "con los datos del desafío",
        *(["ganador del año"] if result.is_winner else []),
        *([] if result.is_official else ["cifra de un artículo, no de la competencia"]),
        f"medido en {ilsvrc.TEST_SETS[result.test_set]}",
        f"fuente: {result.source_title}",
    ]
    return "; ".join(parts) + "."


def mark(result: Result, x: float, y: float) -> str:
    """Un punto: su forma dice cuántas redes; el relleno, si compitió; la cruz, datos de más."""
    radius = 6.5 if result.is_winner and not result.extra_data else 5.0
    classes = ["marca", SHAPES[result.is_ensemble]]
    classes += ["ganador"] if result.is_winner else []
    classes += [] if result.is_official else ["articulo"]
    cross = (
        f'<path class="extra" d="M{x - 2.6:.1f} {y:.1f}h5.2M{x:.1f} {y - 2.6:.1f}v5.2"/>'
        if result.extra_data
        else ""
    )
    return f'<path class="{" ".join(classes)}" d="{_outline(result, x, y, radius)}"/>{cross}'


def _outline(result: Result, x: float, y: float, r: float) -> str:
    if result.is_ensemble:  # círculo
        return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"
    if result.is_ensemble is None:  # cuadrado
        side = r * 0.88
        return f"M{x - side:.1f} {y - side:.1f}h{2 * side:.1f}v{2 * side:.1f}h{-2 * side:.1f}z"
    r *= 1.2  # triángulo
    half = r * math.cos(math.pi / 6)
    return f"M{x:.1f} {y - r:.1f}l{half:.1f} {1.5 * r:.1f}h{-2 * half:.1f}z"


def point(result: Result, x: float, y: float) -> str:
    """Un punto que se alcanza con el teclado, con su nombre accesible y su título sin JavaScript."""
    text = escape(description(result), quote=True)
    return (
        f'<g class="punto" tabindex="0" role="img" aria-label="{text}">'
        f'<title>{text}</title><circle class="halo" cx="{x:.1f}" cy="{y:.1f}" r="11"/>'
        f"{mark(result, x, y)}</g>"
    )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Separa alturas crecientes al menos `gap`, moviéndolas lo mínimo (mínimos cuadrados).

    Restar `gap` por cada puesto convierte el problema en una regresión monótona, que se resuelve
    uniendo los bloques vecinos que no están en orden.
    """
    blocks: list[tuple[float, int]] = []  # media y cantidad
    for index, height in enumerate(wanted):
        mean, count = height - gap * index, 1
        while blocks and blocks[-1][0] > mean:
            other_mean, other = blocks.pop()
            mean = (mean * count + other_mean * other) / (count + other)
            count += other
        blocks.append((mean, count))
    flat = [mean for mean, count in blocks for _ in range(count)]
    return [height + gap * index for index, height in enumerate(flat)]


def dodge(points: Sequence[tuple[Result, float]], distance: float) -> list[float]:
    """Cuánto correr a la derecha cada punto de un año para que ninguno tape a otro.

    El ganador se queda en su sitio, para que la línea que une a los ganadores pase por él.
    """
    placed: list[tuple[float, float]] = []
    offsets = [0.0] * len(points)
    order = sorted(
        range(len(points)),
        key=lambda i: (not (points[i][0].is_winner and not points[i][0].extra_data), points[i][1]),
    )
    for index in order:
        offset = 0.0
        height = points[index][1]
        while any(math.hypot(offset - x, height - y) < distance for x, y in placed):
            offset += 1.0
        placed.append((offset, height))
        offsets[index] = offset
    return offsets


# Dibujo ancho: el tiempo hacia la derecha y el error hacia arriba.
WIDTH, HEIGHT = 814, 590
LEFT, RIGHT, TOP, BOTTOM = 98.0, 134.0, 24.0, 40.0
MAX_ERROR = 36.0
ROTULO = 13.5  # alto de una línea de rótulo
STEP = (WIDTH - LEFT - RIGHT) / (len(ilsvrc.YEARS) - 1)


def _x(year: int) -> float:
    return LEFT + STEP * (year - ilsvrc.YEARS[0])


def _y(error: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * error / MAX_ERROR


def wide_chart() -> str:
    """El dibujo para pantallas anchas."""
    human = {person.entry: person for person in ilsvrc.human_level()}
    best, worst = human["a1"], human["a2"]
    left, right = 44.0, WIDTH - 4.0
    parts = [
        f'<rect class="humano" x="{left}" y="{_y(worst.top5_error):.1f}" '
        f'width="{right - left:.0f}" '
        f'height="{_y(best.top5_error) - _y(worst.top5_error):.1f}"/>',
    ]
    for error in range(0, 36, 5):
        parts.append(
            f'<path class="rejilla" d="M{left} {_y(error):.1f}H{right}"/>'
            f'<text class="eje" x="{left - 8}" y="{_y(error) + 4:.1f}" text-anchor="end">'
            f"{error}{' %' if error else ''}</text>"
        )
    for person in (best, worst):
        parts.append(f'<path class="persona" d="M{left} {_y(person.top5_error):.1f}H{right}"/>')
    parts += [
        _text(left + 8, _y(worst.top5_error) + 17, "nota-humano", "Personas, según su práctica:"),
        _text(
            left + 8,
            _y(worst.top5_error) + 33,
            "nota-humano",
            f"{percent(worst.top5_error)} con {worst.training_images} imágenes,",
        ),
        _text(
            left + 8,
            _y(worst.top5_error) + 49,
            "nota-humano",
            f"{percent(best.top5_error)} con {best.training_images}",
        ),
    ]
    for year in ilsvrc.YEARS:
        parts.append(_text(_x(year), HEIGHT - 16, "eje anio", str(year), "middle"))
    line = " ".join(f"{_x(w.year):.1f},{_y(w.top5_error):.1f}" for w in ilsvrc.winners())
    parts.append(f'<polyline class="linea" points="{line}"/>')
    labels, points = [], []
    for year in ilsvrc.YEARS:
        year_labels, year_points = _year_column(year)
        labels += year_labels
        points += year_points
    return (
        f'<svg class="ilsvrc-ancho" viewBox="0 0 {WIDTH} {HEIGHT}" role="group" '
        f'aria-label="{escape(_summary(), quote=True)}">'
        + "".join(parts)
        + "".join(labels)
        + "".join(points)
        + "</svg>"
    )


def _year_column(year: int) -> tuple[list[str], list[str]]:
    """Los rótulos y los puntos de un año, de menor a mayor error."""
    column = _x(year)
    rows = [(result, _y(result.top5_error)) for result in ilsvrc.results(year)]
    offsets = dodge(rows, 12.0)
    placed = [(result, column + dx, y) for (result, y), dx in zip(rows, offsets, strict=True)]
    winner = next(result for result in ilsvrc.winners() if result.year == year)
    others = [row for row in reversed(placed) if row[0] != winner]  # de arriba abajo
    wanted = [y for _, _, y in others]
    if winner.top5_error < 10:  # abajo no caben: se apilan encima, donde el gráfico está vacío
        top = min(y for _, _, y in placed) - 17
        wanted = [top - ROTULO * (len(others) - 1 - index) for index in range(len(others))]
    labels = []
    for (result, x, y), height in zip(others, spread(wanted, ROTULO), strict=True):
        near = [other_x for _, other_x, other_y in placed if abs(other_y - y) < 30]
        text_x = max(near) + 14
        if text_x - x > 16 or abs(height - y) > 3:
            labels.append(
                f'<path class="guia" d="M{x + 7:.1f} {y:.1f}L{text_x - 3:.1f} {height:.1f}"/>'
            )
        text = f"{label(result)} {number(result.top5_error, _decimals(result))}"
        labels.append(_text(text_x, height + 3.8, "rotulo", text))
    name = label(winner)
    # Un nombre largo a la izquierda chocaría con el año anterior: va debajo.
    x, anchor = (column - 8, "middle") if len(name) > 12 else (column - 9, "end")
    bottom = _y(winner.top5_error)
    error = percent(winner.top5_error, _decimals(winner))
    labels.append(_text(x, bottom + 17, "rotulo fuerte", name, anchor))
    labels.append(_text(x, bottom + 31, "rotulo fuerte", error, anchor))
    return labels, [point(*row) for row in placed]


def _decimals(result: Result) -> int:
    return 1 if result.top5_error >= 5 else 2


def _text(x: float, y: float, classes: str, text: str, anchor: str = "start") -> str:
    return (
        f'<text class="{classes}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">'
        f"{escape(text)}</text>"
    )


# Dibujo angosto: una línea por cifra, el error hacia la derecha y el tiempo hacia abajo.
NARROW = 328
NARROW_LEFT, NARROW_RIGHT = 108.0, 38.0
ROW, YEAR_GAP = 23.0, 30.0


def _narrow_x(error: float) -> float:
    return NARROW_LEFT + (NARROW - NARROW_LEFT - NARROW_RIGHT) * error / 35


def narrow_chart() -> str:
    """El dibujo para teléfonos: cada cifra tiene su línea, así que nada se pisa."""
    labels, points, line = [], [], []
    y = 30.0
    for year in ilsvrc.YEARS:
        y += YEAR_GAP
        labels.append(_text(0, y, "eje anio", str(year)))
        labels.append(f'<path class="rejilla" d="M36 {y - 4.5:.1f}H{NARROW}"/>')
        for result in ilsvrc.results(year):
            y += ROW
            x = _narrow_x(result.top5_error)
            on_line = result.is_winner and not result.extra_data
            strong = " fuerte" if on_line else ""
            if on_line:
                line.append(f"{x:.1f},{y:.1f}")
            labels.append(_text(0, y + 4, f"rotulo{strong}", label(result)))
            error = percent(result.top5_error, _decimals(result))
            labels.append(_text(x + 11, y + 4, f"rotulo{strong}", error))
            points.append(point(result, x, y))
    bottom = y + 14
    human = {person.entry: person for person in ilsvrc.human_level()}
    start, end = (_narrow_x(human[entry].top5_error) for entry in ("a1", "a2"))
    frame = [
        f'<rect class="humano" x="{start:.1f}" y="24" width="{end - start:.1f}" '
        f'height="{bottom - 24:.1f}"/>',
        _text(start - 2, 14, "nota-humano", "personas"),
    ]
    for x in (start, end):
        frame.append(f'<path class="persona" d="M{x:.1f} 24V{bottom:.1f}"/>')
    for error in range(0, 36, 10):
        x = _narrow_x(error)
        frame.append(f'<path class="rejilla" d="M{x:.1f} 24V{bottom:.1f}"/>')
        frame.append(_text(x, bottom + 16, "eje", f"{error}{' %' if error else ''}", "middle"))
    return (
        f'<svg class="ilsvrc-angosto" viewBox="0 0 {NARROW} {bottom + 22:.0f}" role="group" '
        f'aria-label="{escape(_summary(), quote=True)}">'
        + "".join(frame)
        + f'<polyline class="linea" points="{" ".join(line)}"/>'
        + "".join(labels)
        + "".join(points)
        + "</svg>"
    )


def _summary() -> str:
    first, *_, last = ilsvrc.winners()
    return (
        f"Error top-5 en ILSVRC por año. El ganador baja de {percent(first.top5_error)} en "
        f"{first.year} a {percent(last.top5_error, 2)} en {last.year}, con el mayor salto en 2012. "
        "Cada punto se alcanza con el tabulador o las flechas; los mismos datos están en la tabla."
    )


def legend() -> str:
    """Qué significa cada forma, con las mismas formas del gráfico."""
    samples = [
        (ilsvrc.find(2012, "supervision"), "ganador con los datos del desafío"),
        (ilsvrc.find(2012, "supervision-extra"), "con datos adicionales"),
        (ilsvrc.find(2014, "vgg"), "conjunto de redes"),
        (ilsvrc.find(2014, "vgg-una"), "una sola red"),
        (ilsvrc.find(2012, "isi"), "no consta si es un conjunto"),
        (ilsvrc.find(2015, "prelu"), "hueco: cifra de un artículo, no de la competencia"),
    ]
    items = "".join(
        f'<li><svg viewBox="0 0 18 18" aria-hidden="true">{mark(sample, 9, 9)}</svg> {text}</li>'
        for sample, text in samples
    )
    return f'<ul class="ilsvrc-leyenda">{items}</ul>'


def chart() -> str:
    """El gráfico entero: los dos dibujos, la leyenda y el pie."""
    return (
        '<figure class="ilsvrc" data-search-exclude="">'
        f"{wide_chart()}{narrow_chart()}"
        '<div class="ilsvrc-detalle" hidden></div>'
        f"{legend()}"
        "<figcaption>Error top-5 en clasificación, ILSVRC 2010–2017: la proporción de imágenes "
        "cuya clase no está entre las cinco que el sistema propone. La línea une a los ganadores "
        "con los datos del desafío. La franja es lo que se equivocaron dos personas: no es una "
        "constante de la especie, y abajo se cuenta cómo se midió.</figcaption></figure>"
    )
