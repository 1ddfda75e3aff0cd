"""Enlaces que también funcionan desde el disco.

Con `use_directory_urls` los enlaces internos apuntan a carpetas (`../lenet-5/`), y abrir una carpeta
desde `file://` muestra su contenido. Aquí todos terminan en `index.html`. Los externos, las anclas
y los archivos quedan como están; del índice de búsqueda se ocupa `search.py`.
"""

import re
from urllib.parse import urlsplit, urlunsplit

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.pages import Page

ANCHOR = re.compile(r'(<a\b[^>]*?\shref=")([^"]*)"', re.IGNORECASE)


def to_file(url: str) -> str:
    """Un enlace a una carpeta del sitio, vuelto enlace a su `index.html`."""
    scheme, host, path, query, fragment = urlsplit(url)
    if scheme or host or not path:
        return url
    folder, slash, last = path.rpartition("/")
    if last not in {"", ".", ".."}:
        return url
    folder = f"{folder}{slash}../" if last == ".." else f"{folder}{slash}"
    return urlunsplit(("", "", folder.removeprefix("./") + "index.html", query, fragment))


def rewrite(content: str) -> str:
    """El HTML con todos sus enlaces internos vueltos enlaces a archivos."""
    return ANCHOR.sub(lambda link: f'{link[1]}{to_file(link[2])}"', content)


@event_priority(-100)
def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Después de todos: el HTML de la página ya no cambia."""
    return rewrite(output)


@event_priority(-100)
def on_post_template(output_content: str, template_name: str, config: MkDocsConfig) -> str:
    """La página 404 también enlaza; el mapa del sitio se deja como está."""
    return rewrite(output_content) if template_name.endswith(".html") else output_content
