"""Los tutoriales como páginas: el hook que une expandir, ejecutar, guardar y mostrar.

mkdocs-jupyter es dueño de los `.py` como páginas: los descubre, los pone en la navegación y valida
los enlaces a ellos. Lo único que se le quita es el dibujo: aquí se le da a MkDocs el cuaderno
ejecutado como Markdown (`on_page_read_source`) y se retira el `render` que el plugin puso en la
página (`on_pre_page`, con la última prioridad).

Al construir se ejecuta antes lo que falte, y una celda que falla detiene todo. Al servir nada
espera: cada página muestra lo último que hay, dice si está atrasado, y lo que falta se ejecuta por
detrás; cuando la caché cambia, MkDocs vuelve a construir y el navegador se recarga.
"""

import functools
import importlib.util
import json
import logging
import os
from collections.abc import Iterable
from concurrent.futures import Future, as_completed
from dataclasses import dataclass, field
from pathlib import Path

import cache
import execution
import fuente
import generated
import jupytext
import reach
import rendering
import repository
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.livereload import LiveReloadServer
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from nbformat import NotebookNode

log = logging.getLogger("mkdocs.hooks.tutorials")


@dataclass(frozen=True)
class Tutorial:
    """Un tutorial listo para ejecutar y mostrar."""

    name: str  # su ruta dentro de docs, `arquitecturas/lenet-5.py`
    script: str  # lo que se ejecuta y se descarga
    notebook: NotebookNode
    key: str
    entry: cache.Entry | None  # lo último que se ejecutó

    @property
    def is_current(self) -> bool:
        """Si las salidas guardadas son las de este código."""
        return self.entry is not None and self.entry.key == self.key


@dataclass
class State:
    """Lo que un proceso de `mkdocs` recuerda entre una construcción y la siguiente."""

    serving: bool = False
    watching: bool = False
    runner: execution.Runner | None = None
    tutorials: dict[str, Tutorial] = field(default_factory=dict)
    pages: dict[str, rendering.Page] = field(default_factory=dict)
    running: dict[str, tuple[str, Future[cache.Entry]]] = field(default_factory=dict)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)  # página → clave y error


state = State()


def on_startup(command: str, dirty: bool) -> None:
    """Recuerda si se sirve o se construye."""
    state.serving = command == "serve"


def on_config(config: MkDocsConfig) -> None:
    """Fecha la construcción con el último commit: dos construcciones iguales dan bytes iguales."""
    if "SOURCE_DATE_EPOCH" not in os.environ and (
        date := execution.git("log", "-1", "--format=%ct")
    ):
        os.environ["SOURCE_DATE_EPOCH"] = date


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Prepara los tutoriales, agrega sus descargas y ejecuta (o encarga) lo que falte."""
    names = [file.src_uri for file in files.documentation_pages() if is_tutorial(file)]
    state.tutorials = {name: prepare(name, config) for name in names}
    state.pages.clear()
    for tutorial in state.tutorials.values():
        for file in downloads(tutorial, config):
            files.append(file)
    missing = [each for each in state.tutorials.values() if not each.is_current]
    if not state.serving:
        execute_now(missing, config)
    elif state.watching:
        execute_behind(missing, config)
    return files


def on_serve(server: LiveReloadServer, config: MkDocsConfig, builder: object) -> None:
    """Vigila la caché, y solo entonces empieza a ejecutar: ningún cambio pasa inadvertido."""
    folder = cache_folder(config)
    folder.mkdir(parents=True, exist_ok=True)
    server.watch(str(folder))
    state.watching = True
    execute_behind((each for each in state.tutorials.values() if not each.is_current), config)


@event_priority(-100)
def on_pre_page(page: Page, config: MkDocsConfig, files: Files) -> None:
    """Quita el `render` de mkdocs-jupyter: un tutorial se dibuja como cualquier página."""
    if page.file.src_uri in state.tutorials:
        vars(page).pop("render", None)


def on_page_read_source(page: Page, config: MkDocsConfig) -> str | None:
    """El cuaderno ejecutado, como Markdown."""
    tutorial = state.tutorials.get(page.file.src_uri)
    if tutorial is None:
        return None
    header = "\n\n".join(filter(None, [download_line(tutorial), notice(tutorial)]))
    rendered = rendering.render(tutorial.notebook, tutorial.entry, tutorial.name, header)
    state.pages[tutorial.name] = rendered
    if tutorial.is_current:
        for warning in rendered.warnings:
            log.warning(warning)
    return rendered.markdown


def on_page_content(html: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Aparta de la búsqueda lo que cambia de una ejecución a otra."""
    return rendering.without_timings(html) if page.file.src_uri in state.pages else html


def on_post_page(output: str, page: Page, config: MkDocsConfig) -> str:
    """Pone las figuras en su lugar: tan tarde que el índice de búsqueda no tiene que leerlas."""
    rendered = state.pages.get(page.file.src_uri)
    return rendered.with_figures(output) if rendered else output


def on_post_build(config: MkDocsConfig) -> None:
    """Olvida las páginas que ya no existen."""
    if not state.serving:
        cache.prune(cache_folder(config), state.tutorials)


def on_shutdown() -> None:
    """Apaga los kernels que queden."""
    close_runner()


def is_tutorial(file: File) -> bool:
    """Un `.py` que mkdocs-jupyter convirtió en página."""
    return file.src_uri.endswith(".py")


def prepare(name: str, config: MkDocsConfig) -> Tutorial:
    """Lee un tutorial: lo expande, calcula su clave y busca sus salidas."""
    text = generated.figures(Path(config.docs_dir, name).read_text(encoding="utf-8"), name)
    root = package_root()
    try:
        script = fuente.expand(text, name, root)
    except fuente.FuenteError as error:
        raise PluginError(str(error)) from error
    notebook = read_notebook(script)
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    try:
        key = reach.key(cells, root, execution.SETTINGS)
    except SyntaxError as error:
        raise PluginError(f"{name}: una celda no es Python válido: {error}") from error
    return Tutorial(name, script, notebook, key, cache.read(cache_folder(config), name))


@functools.lru_cache(maxsize=128)
def read_notebook(script: str) -> NotebookNode:
    """El cuaderno de un script, siempre el mismo para el mismo texto."""
    notebook = jupytext.reads(script, fmt="py:percent")
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}
    }
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"celda-{number}"
        cell.metadata.pop("lines_to_next_cell", None)
    return notebook


@functools.cache
def package_root() -> Path:
    """La carpeta que contiene al paquete instalado en este Python, sin importarlo."""
    spec = importlib.util.find_spec(fuente.PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise PluginError(f"{fuente.PACKAGE} no está instalado en este entorno: pip install -e .")
    return Path(spec.submodule_search_locations[0]).parent


def cache_folder(config: MkDocsConfig) -> Path:
    """Donde se guardan las salidas, junto a `mkdocs.yml`."""
    return Path(config.config_file_path).parent / ".cache" / "tutoriales"


def execute_now(missing: list[Tutorial], config: MkDocsConfig) -> None:
    """Ejecuta lo que falta y espera; si algo falla, la construcción se detiene."""
    if not missing:
        return
    log.info("Se ejecutan %d tutoriales: %s", len(missing), ", ".join(t.name for t in missing))
    futures = {runner().submit(t.notebook, t.name, t.key): t for t in missing}
    errors: list[str] = []
    try:
        for future in as_completed(futures):
            try:
                finish(futures[future], future.result(), config)
            except execution.ExecutionError as error:
                errors.append(str(error))
    finally:
        close_runner()
    if errors:
        raise PluginError("\n\n".join(errors))


def finish(tutorial: Tutorial, entry: cache.Entry, config: MkDocsConfig) -> None:
    """Guarda las salidas de un tutorial y las deja a mano para mostrarlas."""
    cache.write(cache_folder(config), tutorial.name, entry)
    log.info("%s: ejecutado en %.0f s", tutorial.name, entry.provenance["seconds"])
    if not state.serving:
        state.tutorials[tutorial.name] = Tutorial(
            tutorial.name, tutorial.script, tutorial.notebook, tutorial.key, entry
        )


def execute_behind(missing: Iterable[Tutorial], config: MkDocsConfig) -> None:
    """Encarga lo que falta sin esperar; lo que ya corría con otro código se cancela."""
    for tutorial in missing:
        key, future = state.running.get(tutorial.name, ("", None))
        if tutorial.key in (key, state.failed.get(tutorial.name, ("", ""))[0]):
            continue
        if future is not None:
            future.cancel()
        future = runner().submit(tutorial.notebook, tutorial.name, tutorial.key)
        state.running[tutorial.name] = (tutorial.key, future)
        future.add_done_callback(functools.partial(done_behind, tutorial, config))


def done_behind(tutorial: Tutorial, config: MkDocsConfig, future: Future[cache.Entry]) -> None:
    """Guarda lo ejecutado por detrás, o recuerda por qué falló; ambas cosas tocan la caché."""
    if future.cancelled():
        return
    state.running.pop(tutorial.name, None)
    error = future.exception()
    if error is None:
        finish(tutorial, future.result(), config)
    else:
        log.error(str(error))
        state.failed[tutorial.name] = (tutorial.key, str(error))
        (cache_folder(config) / "aviso").touch()


def runner() -> execution.Runner:
    """El ejecutor de este proceso."""
    if state.runner is None:
        state.runner = execution.Runner()
    return state.runner


def close_runner() -> None:
    """Cancela lo que corra y suelta el ejecutor."""
    if state.runner is not None:
        state.runner.close()
        state.runner = None


def notice(tutorial: Tutorial) -> str:
    """El aviso de una página cuyas salidas no son las de su código."""
    if tutorial.is_current:
        return ""
    key, error = state.failed.get(tutorial.name, ("", ""))
    if key == tutorial.key:
        return '!!! failure "La ejecución falló"\n\n' + rendering.indented(
            rendering.fenced(error, "text")
        )
    shown = "Las salidas que ves son de antes." if tutorial.entry else "Aún no tiene salidas."
    return (
        '!!! info "Esta página se está ejecutando"\n\n'
        f"    {shown} Se recargará sola cuando termine."
    )


def download_line(tutorial: Tutorial) -> str:
    """Los enlaces de descarga, en una línea discreta."""
    stem = Path(tutorial.name).stem
    links = [
        f"[script de Python]({stem}/{stem}.py){{ download }}",
        f"[cuaderno de Jupyter]({stem}/{stem}.ipynb){{ download }}",
    ]
    line = f"Descárgalo como {' o '.join(links)}"
    if repo := repository.name():
        path = Path(tutorial.name).with_suffix(".ipynb").as_posix()
        base = "https://colab.research.google.com/github"
        line += f", o [ábrelo en Colab]({base}/{repo}/blob/{repository.NOTEBOOKS}/{path})"
    return f"{line}.\n{{: .descargas }}"


def downloads(tutorial: Tutorial, config: MkDocsConfig) -> list[File]:
    """El script y el cuaderno que acompañan a la página, como se ejecutaron."""
    path = Path(tutorial.name)
    script, notebook = tutorial.script, tutorial.notebook
    if repo := repository.name():
        source = f'"{fuente.PACKAGE} @ git+https://github.com/{repo}"'
        script = f"# Antes: pip install {source}\n\n{script}"
        install = {
            "cell_type": "code",
            "execution_count": None,
            "id": "instalar",
            "metadata": {"tags": ["instalar"]},
            "outputs": [],
            "source": f"%pip install -q {source}",
        }
        notebook = {**notebook, "cells": [install, *notebook.cells]}
    contents = {
        ".py": script,
        ".ipynb": json.dumps(notebook, ensure_ascii=False, indent=1) + "\n",
    }
    return [
        File.generated(config, str(path.parent / path.stem / (path.stem + suffix)), content=content)
        for suffix, content in contents.items()
    ]
