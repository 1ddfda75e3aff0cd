"""La búsqueda: qué no se indexa, a dónde llevan sus resultados, y que sirva desde el disco.

El plegado de tildes y plurales está en el navegador, en
`docs/_theme/assets/javascripts/lunr/min/lunr.es.min.js`.
"""

import json
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority

# Salidas de celdas y dibujos: nadie los busca, y sus números tapan la prosa.
_EXCLUDED = re.compile(r'<(svg\b|div class="[^"]*\bsalida\b[^"]*"|\w+ class="procedencia")')


def on_page_content(html: str, **_: object) -> str:
    """Marca lo que el índice no debe leer (Material quita la marca al indexar)."""
    return _EXCLUDED.sub(r'<\1 data-search-exclude="1"', html)


def point_to_files(location: str) -> str:
    """La dirección de un resultado con su `index.html`, que también sirve con `file://`."""
    path, hash_, anchor = location.partition("#")
    if not path or path.endswith("/"):
        path += "index.html"
    return path + hash_ + anchor


@event_priority(-100)  # después de que Material escriba el índice
def on_post_build(config: MkDocsConfig) -> None:
    """Corrige las direcciones y copia el índice como JavaScript: desde el disco no hay `fetch`."""
    path = Path(config.site_dir) / "search" / "search_index.json"
    index = json.loads(path.read_text(encoding="utf-8"))
    for entry in index["docs"]:
        entry["location"] = point_to_files(entry["location"])
    text = json.dumps(index, ensure_ascii=False, separators=(",", ":"))
    path.write_text(text, encoding="utf-8")
    path.with_suffix(".js").write_text(f"var __index = {text}", encoding="utf-8")
