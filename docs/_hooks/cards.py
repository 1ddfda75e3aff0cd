"""La ficha de una red en su página: `<!-- generado: ficha lenet5 -->`, tomada del catálogo."""

import re
from html import escape

import charts
from mkdocs.utils import get_relative_url

from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG, Card

RESULTS = {
    "tamaños y costo": "resultados/",
    "fidelidad": "resultados/fidelidad/",
    "la carrera justa": "resultados/carrera-justa/",
}


def ficha(name: str, src_uri: str) -> str:
    """La ficha de la red `name` para la página `src_uri`: de dónde viene, cuánto mide, qué dejó.

    Lo que la ficha no tiene no aparece: ni error top-5 si no compitió, ni herencia si no la hay.
    """
    card = CATALOG[name]
    paper = f'<cite lang="en">{escape(card.title)}</cite>'
    rows = {
        "Año": str(card.year),
        "Autores": escape(card.authors),
        "Artículo": f'<a href="{escape(card.url)}">{paper}</a>',
        "Nombre en el paquete": f"<code>{name}</code>",
        "Entrada": "×".join(map(str, card.input_shape)),
        "Parámetros": thousands(card.parameters),
        "MACs por imagen": thousands(card.macs),
        "Error top-5": _top5(card),
        "La idea": escape(card.idea),
        "Viene de": ", ".join(link(CATALOG[parent], src_uri) for parent in card.inherits),
        "Dejó": _listed(card.gave),
        "Lo heredaron": ", ".join(link(heir, src_uri) for heir in _heirs(card)),
        "Dónde se aparta del artículo": _listed(card.deviations),
        "Junto a las demás": ", ".join(_anchor(*each, src_uri) for each in RESULTS.items()),
    }
    items = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in rows.items() if text)
    return f'<div class="ficha" data-search-exclude><dl>{items}</dl></div>'


def link(card: Card, src_uri: str) -> str:
    """El nombre de una red, enlazado a su página; sin enlace si no la tiene o es esta misma."""
    label = escape(card.label)
    if card.page in ("", src_uri):
        return label
    return _anchor(card.label, re.sub(r"\.(py|md)$", "/", card.page), src_uri)


def _heirs(card: Card) -> list[Card]:
    """La red principal de cada arquitectura que viene de la de esta ficha, si dice qué dejó.

    La principal de una página es la primera que dice qué dejó.
    """
    family = {name for name, other in CATALOG.items() if other.page == card.page}
    pages = {other.page for other in CATALOG.values() if card.gave and family & set(other.inherits)}
    heirs: dict[str, Card] = {}
    for other in CATALOG.values():
        if other.gave and other.page in pages - {card.page}:
            heirs.setdefault(other.page, other)
    return list(heirs.values())


def _anchor(label: str, target: str, src_uri: str) -> str:
    here = re.sub(r"\.(py|md)$", "/", re.sub(r"(^|/)index\.(py|md)$", r"\1", src_uri)) or "."
    return f'<a href="{escape(get_relative_url(target, here))}">{escape(label)}</a>'


def _top5(card: Card) -> str:
    if card.top5_error is None:
        return ""
    return f"{charts.exact_percent(card.top5_error)} en ILSVRC {card.year} (un conjunto de redes)"


def _listed(texts: tuple[str, ...]) -> str:
    """Un texto suelto va tal cual; varios, en una lista."""
    if len(texts) < 2:
        return escape("".join(texts))
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"
