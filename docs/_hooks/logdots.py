"""Un punto por renglón en una escala logarítmica: el gráfico de los libros de la Historia.

Cabe sin encogerse en un teléfono, hereda los colores de la hoja de estilo y dice en una frase,
para quien no lo ve, lo mismo que dibuja.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, ROW, LABELS, VALUES, TOP, BOTTOM = 400.0, 25.0, 168.0, 58.0, 6.0, 30.0


@dataclass(frozen=True)
class Dot:
    """Un renglón.

    Attributes:
        head: lo que va delante, normalmente el año.
        label: de qué es el dato.
        value: el dato, en la unidad del gráfico, positivo; `None` si no se puede medir.
        text: el dato, como se lee.
        is_strong: si es de los que cuenta la página; los demás van en gris.
    """

    head: str
    label: str
    value: float | None
    text: str
    is_strong: bool = False


def figure(
    dots: Sequence[Dot], every: int, tick: Callable[[int], str], summary: str, caption: str
) -> str:
    """El gráfico.

    Args:
        dots: los renglones, en su orden.
        every: cada cuántas potencias de diez hay una línea de la rejilla.
        tick: cómo se escribe la potencia de diez de ese exponente.
        summary: lo que se oye antes de los datos.
        caption: el pie, en HTML.

    Raises:
        ValueError: ningún renglón tiene dato, o alguno no es positivo.
    """
    values = [dot.value for dot in dots if dot.value is not None]
    if not values or min(values) <= 0:
        raise ValueError("una escala logarítmica necesita datos, y todos mayores que cero")
    low, high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
    bottom = TOP + ROW * len(dots)

    def x(value: float) -> float:
        return LABELS + (WIDTH - LABELS - VALUES) * (math.log10(value) - low) / (high - low)

    shapes = []
    for exponent in range(low, high + 1, every):
        place = x(10.0**exponent)
        shapes.append(
            f'<path class="rejilla" d="M{place:.1f} {TOP}V{bottom:.1f}"/>'
            f'<text class="eje" text-anchor="middle" x="{place:.1f}" '
            f'y="{bottom + 18:.1f}">{tick(exponent)}</text>'
        )
    for index, dot in enumerate(dots):
        y = TOP + ROW * (index + 0.5)
        strong = " ganador" if dot.is_strong else ""
        bold = ' class="rotulo fuerte"' if dot.is_strong else ""
        shapes.append(
            f'<text x="0" y="{y + 4:.1f}" class="eje">{escape(dot.head)}</text>'
            f'<text x="34" y="{y + 4:.1f}"{bold}>{escape(dot.label)}</text>'
            f'<text x="{WIDTH}" y="{y + 4:.1f}" text-anchor="end"{bold}>{escape(dot.text)}</text>'
        )
        if dot.value is not None:
            shapes.append(
                f'<path class="guia" d="M{LABELS} {y:.1f}H{x(dot.value):.1f}"/>'
                f'<circle class="marca{strong}" cx="{x(dot.value):.1f}" cy="{y:.1f}" r="4.5"/>'
            )
    spoken = f"{summary} " + "; ".join(f"{dot.head}, {dot.label}, {dot.text}" for dot in dots)
    return (
        f'<figure class="ilsvrc carrera" data-search-exclude=""><svg viewBox="0 0 {WIDTH:g} '
        f'{bottom + BOTTOM:g}" role="img" aria-label="{escape(spoken, quote=True)}.">'
        f"{''.join(shapes)}</svg><figcaption>{caption}</figcaption></figure>"
    )
