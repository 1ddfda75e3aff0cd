"""Al servir, una página que no cambió no se vuelve a convertir.

MkDocs convierte el sitio entero en cada guardado, y lo más caro es pasar de Markdown a HTML y de HTML
al índice de búsqueda. Aquí se recuerdan los dos mientras no cambien ni el texto de la página ni lo
que la rodea: los archivos a los que puede enlazar, el glosario, la configuración y, en las páginas de
la API, el paquete y sus plantillas. Solo se repiten las que avisan de algo, que deben volver a avisar.
Las plantillas del tema, ya compiladas, se guardan en `.cache/`, también al construir.
"""

import copy
import functools
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemBytecodeCache
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import Files
from mkdocs.structure.pages import Page
from mkdocs.utils import CountHandler

API = re.compile(r"^[ \t]*:::", re.MULTILINE)
# De lo que sale una página de la API, además de su texto.
API_SOURCES = (("cnnhistory", "*.py"), ("docs/_mkdocstrings", "*.jinja"))
# Lo que `Page.render` deja en la página, además de los enlaces a anclas.
RESULTS = ("content", "toc", "_title_from_render", "present_anchor_ids")


@dataclass
class State:
    """Lo que se recuerda entre una construcción y la siguiente."""

    serving: bool = False
    surroundings: frozenset[tuple[str, int]] = frozenset()
    package: frozenset[tuple[str, int]] = frozenset()
    converted: dict[str, tuple[object, dict[str, Any]]] = field(default_factory=dict)
    indexed: dict[str, tuple[object, list[dict[str, Any]]]] = field(default_factory=dict)


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
        root = Path(config.config_file_path).parent
        state.package = frozenset(
            (str(path), path.stat().st_mtime_ns)
            for folder, pattern in API_SOURCES
            for path in (root / folder).rglob(pattern)
        )


@event_priority(-100)
def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> None:
    """Cuando el texto ya es definitivo, decide si hay que convertirlo."""
    if not state.serving:
        return
    key = (markdown, state.surroundings, state.package if API.search(markdown) else None)
    remembered, results = state.converted.get(page.file.src_uri, (None, {}))
    if remembered == key:
        page.render = functools.partial(recall, page, results)
    else:
        page.render = functools.partial(convert, page, key, page.render)


def on_env(env: Environment, config: MkDocsConfig, files: Files) -> None:
    """Antes de indexar: que ni las plantillas se compilen ni el índice se saque otra vez."""
    compiled = Path(config.config_file_path).parent / ".cache/plantillas"
    compiled.mkdir(parents=True, exist_ok=True)
    env.bytecode_cache = FileSystemBytecodeCache(str(compiled))
    if state.serving:
        index = config.plugins["material/search"].search_index  # type: ignore[attr-defined]
        add = index.add_entry_from_context
        index.add_entry_from_context = functools.partial(remember_entries, index, add)


def remember_entries(index: Any, add: Callable[[Page], None], page: Page) -> None:
    """Las entradas de una página en el índice, recordadas si su contenido es el mismo."""
    key = (page.content, page.title, repr(page.meta))
    remembered, entries = state.indexed.get(page.file.src_uri, (None, []))
    if remembered != key:
        start = len(index.entries)
        add(page)
        state.indexed[page.file.src_uri] = key, copy.deepcopy(index.entries[start:])
    else:
        index.entries += copy.deepcopy(entries)


def convert(page: Page, key: object, render: Any, config: MkDocsConfig, files: Files) -> None:
    """Convierte una página y recuerda el resultado, si no hubo avisos."""
    anchors: list[tuple[tuple, dict[str, Any]]] = []
    autorefs = config.plugins.get("autorefs")
    if autorefs:
        register = autorefs.register_anchor  # type: ignore[attr-defined]

        def record(page: Page, *arguments: Any, **options: Any) -> None:
            anchors.append((arguments, options))
            register(page, *arguments, **options)

        autorefs.register_anchor = record  # type: ignore[attr-defined]
    logger, warnings = logging.getLogger("mkdocs"), CountHandler()
    warnings.setLevel(logging.WARNING)
    logger.addHandler(warnings)
    try:
        render(config, files)
    finally:
        logger.removeHandler(warnings)
        if autorefs:
            autorefs.register_anchor = register  # type: ignore[attr-defined]
    if not warnings.get_counts():
        results = {name: getattr(page, name) for name in RESULTS}
        links = page.links_to_anchors or {}
        results["links"] = {file.src_uri: targets for file, targets in links.items()}
        results["anchors"] = anchors
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
    if results["anchors"]:
        # mkdocstrings solo publica sus estilos si su manejador llegó a existir en esta construcción.
        config.plugins["mkdocstrings"].get_handler("python")  # type: ignore[attr-defined]
    for arguments, options in results["anchors"]:
        config.plugins["autorefs"].register_anchor(page, *arguments, **options)  # type: ignore[attr-defined]
