"""Al servir, una página que no cambió no se vuelve a convertir.

MkDocs convierte el sitio entero en cada guardado, y lo más caro es pasar de Markdown a HTML. Aquí se
recuerda esa conversión mientras no cambien ni el texto de la página ni lo que la rodea: los archivos
a los que puede enlazar, el glosario y la configuración. Quedan fuera las páginas de la API, cuya
conversión registra las anclas de cada objeto, y las que avisan de algo, que deben volver a avisar.
"""

import copy
import functools
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.utils import CountHandler

REGISTERS = re.compile(r"^[ \t]*:::|\[\]\(\)\{", re.MULTILINE)
# Lo que `Page.render` deja en la página, además de los enlaces a anclas.
RESULTS = ("content", "toc", "_title_from_render", "present_anchor_ids")


@dataclass
class State:
    """Lo que se recuerda entre una construcción y la siguiente."""

    serving: bool = False
    surroundings: frozenset[tuple[str, int]] = frozenset()
    converted: dict[str, tuple[object, dict[str, Any]]] = field(default_factory=dict)


state = State()


def on_startup(command: str, dirty: bool) -> None:
    """Recuerda si se sirve o se construye."""
    state.serving = command == "serve"


@event_priority(-100)
def on_files(files: Files, config: MkDocsConfig) -> None:
    """Toma nota de lo que rodea a las páginas; de las propias páginas, solo que existen."""
    if state.serving:
        paths = {
            file.src_uri: None if file.is_documentation_page() else file.abs_src_path
            for file in files
        }
        paths["mkdocs.yml"] = config.config_file_path
        state.surroundings = frozenset(
            (name, Path(path).stat().st_mtime_ns if path else 0) for name, path in paths.items()
        )


@event_priority(-100)
def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Cuando el texto ya es definitivo, decide si hay que convertirlo."""
    if not state.serving or REGISTERS.search(markdown):
        return
    key = (markdown, state.surroundings)
    remembered, results = state.converted.get(page.file.src_uri, (None, {}))
    if remembered == key:
        page.render = functools.partial(recall, page, results)
    else:
        page.render = functools.partial(convert, page, key, page.render)


def convert(page: Page, key: object, render: Any, config: MkDocsConfig, files: Files) -> None:
    """Convierte una página y recuerda el resultado, si no hubo avisos."""
    logger, warnings = logging.getLogger("mkdocs"), CountHandler()
    warnings.setLevel(logging.WARNING)
    logger.addHandler(warnings)
    try:
        render(config, files)
    finally:
        logger.removeHandler(warnings)
    if not warnings.get_counts():
        results = {name: getattr(page, name) for name in RESULTS}
        links = page.links_to_anchors or {}
        results["links"] = {file.src_uri: anchors for file, anchors in links.items()}
        state.converted[page.file.src_uri] = (key, copy.deepcopy(results))


def recall(page: Page, results: dict[str, Any], config: MkDocsConfig, files: Files) -> None:
    """Deja la página como si se hubiera convertido."""
    results = copy.deepcopy(results)
    targets = {uri: files.get_file_from_path(uri) for uri in results["links"]}
    page.links_to_anchors = {
        target: results["links"][uri] for uri, target in targets.items() if target is not None
    }
    for name in RESULTS:
        setattr(page, name, results[name])
