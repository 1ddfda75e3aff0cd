"""La carrera justa: sus tablas y sus gráficos, tomados de las corridas de `resultados/carrera`."""

import math
from collections.abc import Callable
from functools import cache
from html import escape
from pathlib import Path

import cards
import charts
import networks
from mkdocs.utils import get_relative_url

from cnnhistory import race
from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG

FOLDER = Path(__file__).parent.parent / "resultados/carrera"
HEADS = (
    *("Año", "Red", "Acierto (%)", "±", "Parámetros", "MACs (millones)"),
    *("Segundos", "Tasa", "Registros"),
)
WIDE = ("Segundos", "Tasa", "Registros")  # no caben en un teléfono

# El dibujo, en unidades de su propio cuadro: cabe sin encogerse en un teléfono.
WIDTH, ROW, LABELS, VALUES, TOP, BOTTOM = 400.0, 26.0, 150.0, 62.0, 6.0, 30.0


@cache
def _runs() -> tuple[race.Run, ...]:
    return tuple(race.load(FOLDER))


def table(src_uri: str) -> str:
    """Una fila por red, con sus registros; `redes.js` la ordena por la columna que se pida."""
    wide = {True: ' class="amplia"', False: ""}
    heads = "".join(f'<th scope="col"{wide[head in WIDE]}>{head}</th>' for head in HEADS)
    ordered = sorted(race.standings(_runs()), key=_age)
    rows = "".join(_row(row, src_uri) for row in ordered)
    return (
        '<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="Tabla de la carrera" '
        'data-search-exclude><table class="cifras redes">'
        "<caption>Acierto en las 10\u202f000 imágenes de prueba: media y desviación estándar entre "
        "semillas. Segundos de entrenamiento, en promedio</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(row: race.Standing, src_uri: str) -> str:
    card = CATALOG[row.name]
    score = 100 * row.top1
    own = [run.recipe for run in _runs() if run.recipe["name"] == row.name]
    here = get_relative_url(".", src_uri.rsplit(".", 1)[0] + "/")
    logs = " ".join(
        f'<a href="{here}/resultados/carrera/{row.name}-{seed}.json"'
        f' aria-label="registro de {row.name}, semilla {seed}">{seed}</a>'
        for seed in sorted(recipe["seed"] for recipe in own)
    )
    label = f"{cards.link(card, src_uri)} <code>{escape(row.name)}</code>"
    return (
        f'<tr><td data-valor="{card.year}">{card.year}</td><th scope="row">{label}</th>'
        f'<td data-valor="{score}">{charts.number(score, 2)}</td>'
        f'<td data-valor="{row.deviation}">{charts.number(100 * row.deviation, 2)}</td>'
        f'<td data-valor="{row.parameters}">{thousands(row.parameters)}</td>'
        f'<td data-valor="{row.macs}">{networks.millions(row.macs)}</td>'
        f'<td class="amplia" data-valor="{row.seconds}">{thousands(round(row.seconds))}</td>'
        f'<td class="amplia" data-valor="{own[0]["lr"]}">{own[0]["lr"]:g}</td>'
        f'<td class="amplia">{logs}</td></tr>'
    )


def by_year(src_uri: str) -> str:
    """El acierto de cada red, de la más vieja a la más nueva."""
    caption = (
        "Acierto en prueba de cada red, por año. El trazo va de la peor a la mejor semilla. Si el "
        "progreso fuera cronológico, los puntos bajarían hacia la derecha."
    )
    return _dots(_age, _year, caption)


def by_macs(src_uri: str) -> str:
    """El acierto de cada red, de la más barata a la más cara."""
    caption = (
        "Lo mismo, por el costo de clasificar una imagen, en millones de multiplicaciones con "
        "acumulación (M)."
    )
    return _dots(lambda row: (row.macs,), lambda row: f"{networks.millions(row.macs)} M", caption)


def _age(row: race.Standing) -> tuple[float, ...]:
    """El orden de la historia; dentro de un año, de la más barata a la más cara."""
    return CATALOG[row.name].year, row.macs


def _year(row: race.Standing) -> str:
    return str(CATALOG[row.name].year)


def _dots(
    order: Callable[[race.Standing], tuple[float, ...]],
    head: Callable[[race.Standing], str],
    caption: str,
) -> str:
    rows = sorted(race.standings(_runs()), key=order)
    scores = {
        row.name: [
            100 * run.test.top1 for run in _runs() if run.recipe["name"] == row.name and run.test
        ]
        for row in rows
    }
    low = math.floor(min(map(min, scores.values())))
    high = math.ceil(max(map(max, scores.values())))
    height = TOP + ROW * len(rows) + BOTTOM

    def x(score: float) -> float:
        return LABELS + (WIDTH - LABELS - VALUES) * (score - low) / (high - low)

    shapes = []
    for tick in range(low, high + 1, 2):
        shapes.append(
            f'<path class="rejilla" d="M{x(tick):.1f} {TOP}V{height - BOTTOM:.1f}"/>'
            f'<text class="eje" text-anchor="middle" x="{x(tick):.1f}" '
            f'y="{height - 10:.1f}">{charts.percent(tick, 0)}</text>'
        )
    for index, row in enumerate(rows):
        y = TOP + ROW * (index + 0.5)
        first, last = min(scores[row.name]), max(scores[row.name])
        shapes.append(
            f'<text x="0" y="{y + 4:.1f}"><tspan class="eje">{head(row)}</tspan></text>'
            f'<text x="52" y="{y + 4:.1f}">{escape(_short(row.name))}</text>'
            f'<path class="linea" d="M{x(first):.1f} {y:.1f}H{x(last):.1f}"/>'
            f'<circle class="marca ganador" cx="{x(100 * row.top1):.1f}" cy="{y:.1f}" r="4"/>'
            f'<text x="{WIDTH}" y="{y + 4:.1f}" text-anchor="end">'
            f"{charts.percent(100 * row.top1)}</text>"
        )
    spoken = "; ".join(
        f"{head(row)}, {_short(row.name)}, {charts.percent(100 * row.top1)}" for row in rows
    )
    return (
        f'<figure class="ilsvrc carrera" data-search-exclude=""><svg viewBox="0 0 {WIDTH:g} '
        f'{height:g}" role="img" aria-label="{escape(spoken, quote=True)}">{"".join(shapes)}</svg>'
        f"<figcaption>{caption}</figcaption></figure>"
    )


def _short(name: str) -> str:
    """El nombre que cabe: «resnet_mini» es ResNet; las que no son mini, su nombre del paquete."""
    return name.removesuffix("_mini")


def conditions(src_uri: str) -> str:
    """La receta, la máquina y las versiones: las mismas en todas las corridas."""
    runs = _runs()
    recipe = runs[0].recipe
    seeds = sorted({run.recipe["seed"] for run in runs})
    dates = sorted({run.date for run in runs})
    machines = sorted({run.machine for run in runs})
    versions = ", ".join(f"{name} {version}" for name, version in runs[0].versions.items())
    return (
        f"{len(runs)} corridas: {len({run.recipe['name'] for run in runs})} redes, semillas "
        f"{seeds[0]} a {seeds[-1]}, {recipe['epochs']} épocas, lotes de {recipe['batch_size']}, "
        f"decaimiento {recipe['weight_decay']:g}. Máquina: {escape(', '.join(machines))}, con otros "
        f"trabajos en el otro núcleo. Versiones: {escape(versions)}. Fecha: {', '.join(dates)}."
    )


@cache
def _recorded() -> dict[str, tuple[race.Standing, race.Run]]:
    """Por red, su resumen y una de sus corridas: las de la carrera y, si no corrió, las completas."""
    full = FOLDER.with_name("completas")
    found = {}
    for folder in (full, FOLDER):
        runs = race.load(folder)
        for row in race.standings(runs):
            found[row.name] = row, next(run for run in runs if run.recipe["name"] == row.name)
    return found


def names() -> list[str]:
    """Las redes con corridas grabadas."""
    return sorted(_recorded())


def recorded(name: str, src_uri: str) -> str:
    """Lo que una red consiguió con el conjunto entero, al lado de lo que se entrena en su página."""
    row, run = _recorded()[name]
    part = "resultado" if (FOLDER / f"{name}-0.json").exists() else "completas"
    deviation = charts.number(100 * row.deviation)
    return (
        f"> **Grabado con el conjunto entero**, `{name}`: {charts.number(100 * row.top1)} ± "
        f"{deviation}\u00a0% de acierto en las 10\u202f000 de prueba. Son {row.runs} semillas y "
        f"{run.recipe['epochs']} épocas, en {escape(run.machine)}, el {escape(run.date)}; la receta y los "
        f"registros están en [La carrera justa](../resultados/carrera-justa.py#{part})."
    )
