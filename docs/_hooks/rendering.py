"""De cuaderno ejecutado a Markdown: un paso puro, sin MkDocs, sin disco y sin ejecutar nada.

Lo que sale es Markdown corriente, así que en un tutorial funcionan las mismas referencias
cruzadas, avisos, fórmulas y notas que en cualquier otra página. Las figuras van aparte: en el
Markdown queda una marca por figura, y quien publica la cambia por el SVG ya convertido a HTML.
"""

import html
import itertools
import re
import textwrap
from dataclasses import dataclass, field
from typing import Any

import figures
from cache import Entry
from nbformat import NotebookNode

TITLE = re.compile(r"^# .+$", re.MULTILINE)
# Dentro de una lista o de un aviso, Markdown envuelve la marca en un párrafo.
MARK = re.compile(r"<p>\s*<!--figura:(\d+)-->\s*</p>|<!--figura:(\d+)-->")
# Encierran lo que dos ejecuciones iguales no repiten, para poder compararlas sin eso.
VARYING = ("<!--varía-->", "<!--/varía-->")
VARIES = re.compile(f"{VARYING[0]}.*?{VARYING[1]}", re.DOTALL)
# Material no indexa lo que lleva este atributo. De los textos impresos se ocupa `search.py`.
UNSEARCHED = 'data-search-exclude="1"'


@dataclass
class Page:
    """Una página: su Markdown, sus figuras en HTML y lo que conviene avisar."""

    markdown: str = ""
    figures: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def with_figures(self, content: str) -> str:
        """El HTML con cada figura en el lugar de su marca."""
        return MARK.sub(lambda mark: self.figures[int(mark[1] or mark[2])], content)


def render(notebook: NotebookNode, entry: Entry | None, name: str, header: str = "") -> Page:
    """Convierte un cuaderno y sus salidas en una página.

    Args:
        notebook: el cuaderno, tal como se descarga.
        entry: sus salidas; sin ellas, la página muestra solo texto y código.
        name: el nombre de la página, para los avisos.
        header: Markdown que va debajo del título: descargas, estado.
    """
    page = Page()
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    outputs = iter(entry.outputs_for(sources) if entry else [None] * len(sources))
    blocks: list[str] = []
    numbered = enumerate(notebook.cells, start=1)
    for solution, group in itertools.groupby(numbered, lambda item: tagged(item[1], "solucion")):
        parts: list[str] = []
        for number, cell in group:
            if cell.cell_type == "code":
                parts += code_cell(cell, next(outputs), f"{name}, celda {number}", page)
            else:
                parts.append(cell.source)
        blocks += [folded(parts)] if solution else parts
    if entry:
        blocks.append(footer(entry.provenance))
    text = "\n\n".join(blocks) + "\n"
    if header:
        text = TITLE.sub(lambda title: f"{title[0]}\n\n{header}", text, count=1)
    page.markdown = text
    return page


def without_timings(content: str) -> str:
    """El HTML con las tablas de tiempos fuera de la búsqueda, para que el índice no varíe."""
    return VARIES.sub(lambda part: part[0].replace("<table", f"<table {UNSEARCHED}"), content)


def tagged(cell: NotebookNode, tag: str) -> bool:
    """Si la celda lleva una etiqueta."""
    return tag in cell.metadata.get("tags", [])


def code_cell(
    cell: NotebookNode, outputs: list[dict[str, Any]] | None, where: str, page: Page
) -> list[str]:
    """Los bloques de una celda de código: el código, si se muestra, y sus salidas si las hay."""
    first_figure = len(page.figures)
    blocks = []
    for output in outputs or []:
        data = output.get("data", {})
        if "image/svg+xml" in data or "image/png" in data:
            nth = len(page.figures) - first_figure
            alt, caption = (nth_text(cell.metadata.get(key), nth) for key in ("alt", "caption"))
            if not alt:
                page.warnings.append(f'{where}: falta describir la figura {nth + 1} con alt="…".')
            blocks.append(f"<!--figura:{len(page.figures)}-->")
            page.figures.append(figure(data, f"f{len(page.figures)}", alt, caption))
        elif "text/markdown" in data:
            blocks.append(data["text/markdown"])
        else:
            text = output["text"] if output["type"] == "stream" else data.get("text/plain", "")
            if output.get("name") == "stderr":
                page.warnings.append(f"{where}: escribió en stderr:\n{text}")
            if text.strip():
                blocks.append(text_output(text))
    if outputs is not None and "alt" in cell.metadata and len(page.figures) == first_figure:
        page.warnings.append(f'{where}: describe una figura con alt="…" y no dibuja ninguna.')
    if blocks and tagged(cell, "tiempos"):
        blocks = [VARYING[0], *blocks, VARYING[1]]
    if cell.source.strip() and not tagged(cell, "oculto"):
        blocks.insert(0, fenced(cell.source, "python"))
    return blocks


def figure(data: dict[str, str], prefix: str, alt: str, caption: str) -> str:
    """El HTML de una figura, en el mejor de los formatos que trae."""
    if "image/svg+xml" in data:
        return figures.svg_figure(data["image/svg+xml"], prefix, alt, caption)
    return figures.png_figure(data["image/png"], alt, caption)


def nth_text(value: str | list[str] | None, nth: int) -> str:
    """El texto de la figura `nth` de una celda; si dibuja varias, los textos son una lista."""
    texts = [value] if isinstance(value, str) else value or []
    return texts[nth] if nth < len(texts) else ""


def fenced(text: str, header: str) -> str:
    """Un bloque de código con una cerca más larga que cualquiera que haya dentro."""
    longest = max((len(run) for run in re.findall(r"`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{header}\n{text}\n{fence}"


def text_output(text: str) -> str:
    """Lo que imprimió una celda: se ve, no se copia y no se busca."""
    return fenced(text.strip("\n"), "{.text .salida .no-copy}")


def folded(blocks: list[str]) -> str:
    """Una solución, plegada."""
    return '??? solucion "Solución"\n\n' + indented("\n\n".join(blocks))


def indented(text: str) -> str:
    """Contenido de un aviso o de un plegado."""
    return textwrap.indent(text, "    ")


def footer(provenance: dict[str, Any]) -> str:
    """Con qué, dónde y cuándo se ejecutó la página."""
    versions = ", ".join(f"{name} {version}" for name, version in provenance["versions"].items())
    commit = f" sobre el commit {provenance['commit']}" if provenance["commit"] else ""
    text = (
        f"Página ejecutada el {provenance['date']} en {provenance['seconds']:.0f} s{commit}, con "
        f"{versions}, en {provenance['cpu']} ({provenance['cores']} núcleos)."
    )
    note = f'<p class="procedencia">{html.escape(text)}</p>'
    return f"{VARYING[0]}\n\n{note}\n\n{VARYING[1]}"
