"""La tabla que compara las redes del catálogo, tomada de sus fichas."""

from html import escape

import cards
import charts

from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG

HEADS = ("Año", "Red", "Parámetros", "MACs", "MB", "Entrada", "Error top-5")


def table(src_uri: str) -> str:
    """Todas las redes, en orden histórico; los megabytes son los de sus pesos en float32."""
    heads = "".join(f'<th scope="col">{head}</th>' for head in HEADS)
    rows = "".join(_row(name, src_uri) for name in CATALOG)
    return (
        '<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="Tabla de las redes">'
        '<table class="cifras redes"><caption>Las redes del catálogo</caption>'
        f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(name: str, src_uri: str) -> str:
    card = CATALOG[name]
    error = "" if card.top5_error is None else charts.exact_percent(card.top5_error)
    cells = [
        (card.year, str(card.year)),
        (None, f"{cards.link(card, src_uri)} <code>{escape(name)}</code>"),
        (card.parameters, thousands(card.parameters)),
        (card.macs, thousands(card.macs)),
        (card.parameters, f"{4 * card.parameters / 1e6:.1f}"),
        (None, "×".join(map(str, card.input_shape))),
        (card.top5_error, error),
    ]
    values = (
        f"<td>{text}</td>" if value is None else f'<td data-valor="{value}">{text}</td>'
        for value, text in cells
    )
    return f"<tr>{''.join(values)}</tr>"
