"""La tabla que compara las redes del catálogo, tomada de sus fichas."""

import math
from html import escape

import cards

from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG

# Las que un teléfono no muestra se deducen de otra (los megabytes) o están en la ficha.
HEADS = {
    "Año": "",
    "Red": "",
    "Parámetros": "",
    "MACs (millones)": "",
    "MB": "amplia",
    "Entrada": "amplia",
    "Top-5 (%)": "",
}


def table(src_uri: str) -> str:
    """Todas las redes, en orden histórico; `redes.js` la ordena por la columna que se pida.

    Los megabytes son los de los pesos en `float32`; el error, el del equipo en ILSVRC.
    """
    heads = "".join(f'<th scope="col"{_class(kind)}>{head}</th>' for head, kind in HEADS.items())
    rows = "".join(_row(name, src_uri) for name in CATALOG)
    return (
        '<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="Tabla de las redes" '
        'data-search-exclude><table class="cifras redes">'
        f"<caption>Las {len(CATALOG)} redes del catálogo</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(name: str, src_uri: str) -> str:
    card = CATALOG[name]
    label = f"{cards.link(card, src_uri)} <code>{escape(name)}</code>"
    cells = (
        (card.year, str(card.year)),
        (card.parameters, thousands(card.parameters)),
        (card.macs, millions(card.macs)),
        (card.parameters, f"{card.megabytes:.1f}"),
        (math.prod(card.input_shape), "×".join(map(str, card.input_shape))),
        (card.top5_error or "", str(card.top5_error or "")),
    )
    kinds = [kind for head, kind in HEADS.items() if head != "Red"]
    year, *rest = (
        f'<td data-valor="{value}"{_class(kind)}>{text}</td>'
        for (value, text), kind in zip(cells, kinds, strict=True)
    )
    return f'<tr>{year}<th scope="row">{label}</th>{"".join(rest)}</tr>'


def millions(count: int) -> str:
    """Una cantidad en millones, con tres cifras o las de su parte entera."""
    value = count / 1e6
    if value >= 100:
        return thousands(round(value))
    return f"{value:.{2 - math.floor(math.log10(value))}f}"


def _class(kind: str) -> str:
    return f' class="{kind}"' if kind else ""
