"""¿Arquitectura o receta?: la tabla de las corridas de `resultados/recetas`.

Cada red corrió con la receta de su artículo (`articulo`), con la del de VGG (`vgg`) y con la de hoy
(`hoy`), con las mismas imágenes, épocas y semillas.
"""

import statistics
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path

import cards
import charts
from mkdocs.utils import get_relative_url

from cnnhistory import eras, race
from cnnhistory.models import CATALOG

FOLDER = Path(__file__).parent.parent / "resultados/recetas"
RECIPES = {"articulo": "su receta", "vgg": "la de VGG", "hoy": "la de hoy"}


@dataclass(frozen=True)
class Pair:
    """Una red con las tres recetas; aciertos entre 0 y 1."""

    name: str
    paper: race.Standing
    vgg: race.Standing
    today: race.Standing

    @property
    def gain(self) -> float:
        """Lo que dio cambiar su receta por la de hoy, y dejar la red."""
        return self.today.top1 - self.paper.top1


@cache
def runs() -> dict[str, tuple[race.Run, ...]]:
    """Las corridas de cada receta."""
    return {name: tuple(race.load(FOLDER / name)) for name in RECIPES}


@cache
def pairs() -> tuple[Pair, ...]:
    """Las redes con sus tres recetas, por año."""
    paper, vgg, today = (
        {row.name: row for row in race.standings(runs()[name])} for name in RECIPES
    )
    found = [Pair(name, paper[name], vgg[name], today[name]) for name in paper]
    return tuple(sorted(found, key=lambda pair: (CATALOG[pair.name].year, pair.paper.macs)))


def spread(recipe: str) -> float:
    """Cuánto se separan las redes con una misma receta: la desviación de sus medias."""
    return statistics.stdev(getattr(pair, recipe).top1 for pair in pairs())


def table(src_uri: str) -> str:
    """Una fila por red: su acierto con cada receta, y lo que va de la suya a la de hoy."""
    heads = ("Año", "Red", "Su receta (%)", "La de VGG (%)", "La de hoy (%)", "De la suya a hoy")
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    head += '<th scope="col" class="amplia">Registros</th>'
    rows = "".join(_row(pair, src_uri) for pair in pairs())
    return (
        '<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="Tabla de las recetas" '
        'data-search-exclude><table class="cifras">'
        "<caption>Acierto en prueba: media y desviación estándar entre semillas</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(pair: Pair, src_uri: str) -> str:
    card = CATALOG[pair.name]
    label = f"{cards.link(card, src_uri)} <code>{escape(pair.name)}</code>"
    cells = "".join(f"<td>{_score(row)}</td>" for row in (pair.paper, pair.vgg, pair.today))
    here = get_relative_url(".", src_uri.rsplit(".", 1)[0] + "/")
    logs = " · ".join(
        " ".join(
            f'<a href="{here}/resultados/recetas/{recipe}/{pair.name}-{seed}.json" aria-label='
            f'"registro de {pair.name}, {RECIPES[recipe]}, semilla {seed}">{seed}</a>'
            for seed in sorted(r.recipe["seed"] for r in own if r.recipe["name"] == pair.name)
        )
        for recipe, own in runs().items()
    )
    return (
        f'<tr><td>{card.year}</td><th scope="row">{label}</th>{cells}<td>{_signed(100 * pair.gain)}</td>'
        f'<td class="amplia">{logs}</td></tr>'
    )


def _signed(points: float) -> str:
    return ("+" if points >= 0 else "−") + charts.number(abs(points))


def _score(row: race.Standing) -> str:
    return f"{charts.number(100 * row.top1)} ± {charts.number(100 * row.deviation)}"


def papers(src_uri: str) -> str:
    """Qué dice cada artículo de cómo entrenar su red, y de dónde sale lo que no dice."""
    lines = []
    for pair in pairs():
        era = eras.ERAS[pair.name]
        rate = f"tasa {era.lr:g}" + ("" if era.schedule == "constant" else ", entre diez dos veces")
        parts = (
            {None: "nace como en el catálogo", "xavier": "nace con la uniforme de Glorot"}.get(
                era.initialization, "nace con una normal igual en todas las capas"
            ),
            _OPTIMIZERS[era.optimizer],
            rate,
            f"decaimiento {era.weight_decay:g}" if era.weight_decay else "sin decaimiento",
            "recortes y espejos" if era.augment else "sin aumentación",
        )
        source = era.source
        if not source.startswith("no es de ningún artículo"):
            source = f"[artículo]({CATALOG[pair.name].url}), {source}"
        lines.append(f"- `{pair.name}`: {'; '.join(parts)} ({source}).")
    return "\n".join(lines)


_OPTIMIZERS = {"plain": "SGD sin momento", "momentum": "momento 0.9", "nesterov": "Nesterov 0.9"}


def summary(src_uri: str) -> str:
    """Las medidas que responden la pregunta, y cómo se tomaron."""
    gains = [pair.gain for pair in pairs()]
    recipe = next(iter(runs()["hoy"])).recipe
    seeds = sorted({run.recipe["seed"] for each in runs().values() for run in each})
    machines = sorted({run.machine for each in runs().values() for run in each})
    dates = sorted({run.date for each in runs().values() for run in each})
    low, high = (_signed(100 * value) for value in (min(gains), max(gains)))
    paper, vgg, today, median = (
        charts.number(100 * value)
        for value in (
            *(spread("paper"), spread("vgg"), spread("today")),
            statistics.median(gains),
        )
    )
    return (
        "**Cambiar la red y dejar la receta:** la desviación entre las medias es de "
        f"{today} puntos con la receta de hoy, y de {vgg} con la de VGG. **Cambiar la receta y dejar la red:** de la "
        f"suya a la de hoy, cada red se movió entre {low} y {high} puntos; en la mediana, {median}. "
        f"**Cambiar las dos,** como en los gráficos del desafío: {paper} puntos de desviación.\n\n"
        f"{sum(map(len, runs().values()))} corridas: {len(gains)} redes, tres recetas, semillas "
        f"{seeds[0]} a {seeds[-1]}, {recipe['epochs']} épocas de 9000 de las 10\u202f000 imágenes del "
        f"paquete (las demás validan), lotes de {recipe['batch_size']}. Máquinas: {escape('; '.join(machines))}. "
        f"Fechas: {', '.join(dates)}."
    )
