"""Lo que las páginas toman de los datos en vez de escribirlo.

- Una línea `<!-- generado: NOMBRE -->` se sustituye por el bloque de ese nombre (`BLOCKS`).
- `{ilsvrc:2012:supervision}` es una cifra del libro de cuentas; `{ilsvrc:2012:supervision:3}`, con
  tres decimales; `{ilsvrc:2011:xrce - 2012:supervision}`, una diferencia en puntos, y
  `{ilsvrc:humano:a1}`, una cifra humana.

Dentro de bloques de código y de `código` en línea no se toca nada. Un nombre desconocido detiene
el build.
"""

import dataclasses
import difflib
import re
import textwrap
from collections.abc import Callable
from functools import partial
from html import escape
from typing import cast

import cards
import charts
import classics
import fullsize
import glossary
import history
import networks
import performance
import recipes
import standings
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page

from cnnhistory import ilsvrc
from cnnhistory.models import CATALOG, Card

TOKEN = re.compile(
    r"^(?P<fence>[ \t]*(?:`{3,}|~{3,}))[^\n]*\n.*?^(?P=fence)[`~]*[ \t]*$"
    r"|(?P<ticks>`+)(?!`)(?:(?!\n[ \t]*\n).)+?(?<!`)(?P=ticks)(?!`)"
    r"|^(?P<indent>[ \t]*)<!--\s*generado:\s*(?P<block>.*?)\s*-->[ \t]*$"
    r"|\{ilsvrc:(?P<figure>[^{}\n]*)\}",
    re.DOTALL | re.MULTILINE,
)
FIGURE = re.compile(r"(?P<where>\d{4}|humano):(?P<entry>[\w-]+)(?::(?P<decimals>\d))?")


_tooltips = glossary.GlossaryExtension([])


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Registra los recuadros del glosario, releído en cada build."""
    global _tooltips
    _tooltips = glossary.GlossaryExtension(glossary.load())
    # MkDocs pasa la lista tal cual a Python-Markdown, que admite también extensiones ya creadas.
    cast(list, config.markdown_extensions).append(_tooltips)
    return config


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Sustituye los bloques y las cifras de una página, y prepara sus recuadros."""
    _tooltips.start_page(page.file.src_uri)
    return expand(markdown, page.file.src_uri)


def expand(markdown: str, src_uri: str) -> str:
    """El Markdown con sus bloques y cifras; `src_uri` es la página, relativa a `docs/`."""

    def replace(match: re.Match[str]) -> str:
        if match["block"] is not None:
            return textwrap.indent(block(match["block"], src_uri), match["indent"])
        if match["figure"] is not None:
            try:
                return figure(match["figure"])
            except ValueError as error:
                raise PluginError(f"{src_uri}: {match[0]}: {error}") from None
        return match[0]

    return TOKEN.sub(replace, markdown)


def figures(text: str, src_uri: str) -> str:
    """Un tutorial con sus cifras escritas, para que también las lleven el script y el cuaderno."""

    def replace(match: re.Match[str]) -> str:
        return expand(match[0], src_uri) if match["figure"] is not None else match[0]

    return TOKEN.sub(replace, text)


def block(name: str, src_uri: str) -> str:
    """El bloque generado de ese nombre, para la página `src_uri`."""
    if name not in BLOCKS:
        near = difflib.get_close_matches(name, BLOCKS, n=3, cutoff=0.4) or sorted(BLOCKS)
        raise PluginError(
            f"{src_uri}: no hay ningún bloque generado «{name}»; ¿quisiste decir {', '.join(near)}?"
        )
    return BLOCKS[name](src_uri)


def figure(text: str) -> str:
    """Una cifra del libro de cuentas, o la diferencia de dos, escrita en español.

    Raises:
        ValueError: la forma no es la esperada, o el año o la fila no existen.
    """
    first, minus, second = text.partition(" - ")
    value, decimals = _value(first)
    if minus:
        other, decimals = _value(second)
        return f"{charts.number(value - other, decimals)}\u00a0puntos"
    return charts.percent(value, decimals)


def _value(text: str) -> tuple[float, int]:
    match = FIGURE.fullmatch(text.strip())
    if not match:
        raise ValueError("se esperaba año:fila, como 2012:supervision, o humano:a1")
    decimals = int(match["decimals"] or 1)
    if match["where"] != "humano":
        return ilsvrc.find(int(match["where"]), match["entry"]).top5_error, decimals
    people = {person.entry: person.top5_error for person in ilsvrc.human_level()}
    if match["entry"] not in people:
        raise ValueError(f"no hay ninguna cifra humana «{match['entry']}»: {', '.join(people)}")
    return people[match["entry"]], decimals


def results_table(src_uri: str) -> str:
    """Los datos del gráfico, con su fuente enlazada."""
    heads = ("Año", "Equipo", "Red o método", "Error top-5", "Redes", "Medido en", "Fuente")
    cells = "".join(f'<th scope="col">{head}</th>' for head in heads)
    rows = "".join(_row(result) for result in ilsvrc.results())
    evidence = "; ".join(f"<em>{kind}</em>, {text}" for kind, text in ilsvrc.EVIDENCE.items())
    return (
        '<p class="cifras-nota">En negrita, las del equipo que ganó. Cómo se comprobó cada una: '
        f"{evidence}.</p>"
        '<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="Tabla de las cifras">'
        '<table class="cifras"><caption>Las cifras del gráfico, con su fuente</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(result: ilsvrc.Result) -> str:
    networks = {True: str(result.models or "varias"), False: "1", None: "no consta"}
    extra = " <strong>+</strong> datos adicionales" if result.extra_data else ""
    note = escape(result.note).replace(" %", "\u00a0%")
    url = escape(result.source_url, quote=True)
    cells = [
        (escape(result.network) or "no consta") + (f'<p class="nota">{note}</p>' if note else ""),
        charts.exact_percent(result.top5_error),
        networks[result.is_ensemble] + extra,
        result.test_set if result.is_official else f"{result.test_set}, artículo",
        f'<a href="{url}">{escape(result.source_title)}</a> <em>{result.evidence}</em>',
    ]
    opening = '<tr class="ganador">' if result.is_winner else "<tr>"
    return (
        f'{opening}<td>{result.year}</td><th scope="row">{escape(result.team)}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def human_table(src_uri: str) -> str:
    """Lo que se midió de las personas, y GoogLeNet en las mismas fotos."""
    lines = [
        "| Quién | Fotos de práctica | Fotos de la prueba | Error top-5 | GoogLeNet en esas fotos |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for person in ilsvrc.human_level():
        googlenet = (
            "—" if person.googlenet_error is None else charts.percent(person.googlenet_error)
        )
        lines.append(
            f"| {person.label} | {person.training_images or '—'} | {person.test_images} "
            f"| {charts.percent(person.top5_error)} | {googlenet} |"
        )
    return "\n".join(lines)


def timeline(src_uri: str) -> str:
    """1998–2017 de un vistazo: las redes del catálogo y el error del ganador de cada año."""
    nets = _nets_by_year()
    winners = {winner.year: winner for winner in ilsvrc.winners()}
    items = []
    for year in sorted({*nets, *winners}):
        winner = winners.get(year)
        names = [_name(cards.link(card, src_uri)) for card in nets.get(year, [])]
        if winner and charts.label(winner) not in {card.label for card in nets.get(year, [])}:
            names.append(_name(escape(charts.label(winner))))
        bar = ""
        if winner:
            decimals = 0 if winner.top5_error >= 10 else 1
            bar = (
                '<span class="barra" aria-hidden="true"></span>'
                f'<span class="error"><span class="solo-lectores">error del ganador: </span>'
                f"{charts.percent(winner.top5_error, decimals)}</span>"
            )
        items.append(
            f'<li style="--error:{winner.top5_error if winner else 0:g}">'
            f'<span class="anio">{year}</span>{bar}'
            f'<span class="redes">{" ".join(names)}</span></li>'
        )
    return (
        '<figure class="linea-de-tiempo" data-search-exclude="">'
        f"<ol>{''.join(items)}</ol>"
        "<figcaption>Cada barra es el error top-5 del ganador de ILSVRC de ese año. Los nombres "
        "enlazados tienen página.</figcaption></figure>"
    )


def _name(html: str) -> str:
    """Cada nombre en su elemento, con enlace o sin él, para que la hoja de estilo los separe."""
    return html if html.startswith("<a ") else f"<span>{html}</span>"


def _nets_by_year() -> dict[int, list[Card]]:
    """Una ficha por familia: cada una tiene su mini, que lleva su nombre y su página; y LeNet-5."""
    nets: dict[int, list[Card]] = {}
    for name, card in CATALOG.items():
        if name == "lenet5" or name.endswith("_mini"):
            family = dataclasses.replace(card, label=card.label.removesuffix(" mini"))
            nets.setdefault(card.year, []).append(family)
    return nets


BLOCKS: dict[str, Callable[[str], str]] = {
    "grafico-ilsvrc": lambda src_uri: charts.chart(),
    "tabla-ilsvrc": results_table,
    "tabla-humanos": human_table,
    "linea-de-tiempo": timeline,
    "tabla-redes": networks.table,
    "rendimiento": performance.table,
    "rendimiento-acierto": performance.scores,
    "rendimiento-ajustes": performance.settings,
    "tabla-antes": classics.table,
    "tabla-carrera": standings.table,
    "grafico-carrera-por-macs": standings.by_macs,
    "grafico-carrera-por-anio": standings.by_year,
    "condiciones-carrera": standings.conditions,
    "tabla-recetas": recipes.table,
    "recetas-de-articulo": recipes.papers,
    "resumen-recetas": recipes.summary,
    "tabla-completas": fullsize.against_d2l,
    "tabla-largas": fullsize.long_runs,
    "tabla-lista": fullsize.against_list,
    "tarjetas-velocidad": history.card_speeds,
    "tarjetas-memoria": history.card_memories,
    "tarjetas-tabla": history.card_table,
    "conjuntos-grafico": history.dataset_sizes,
    "conjuntos-tabla": history.dataset_table,
    "despues-grafico": history.backbone_chart,
    "despues-tabla": history.backbone_table,
    "glosario": lambda src_uri: glossary.page(),
    **{f"ficha {name}": partial(cards.ficha, name) for name in CATALOG},
    **{f"grabada {name}": partial(standings.recorded, name) for name in standings.names()},
}
