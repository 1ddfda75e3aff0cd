"""El mapa de las páginas: qué de los documentos de partida lleva cada una, para que nada se pierda.

El `page_map.csv` tiene una fila por cosa: la página, el documento (C y S, las diapositivas; N, el
cuaderno; T, la transcripción; M, el mapa del sitio), qué es y el texto con que aparece en la página.
"""

import csv
import itertools
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
ROWS = [
    row
    for path in sorted(Path(__file__).parent.glob("page_map.csv"))
    for row in csv.DictReader(path.read_text("utf-8").splitlines())
]
PAGES = sorted({row["página"] for row in ROWS})


def normalized(text):
    """Sin diferencias de espacios, saltos de línea, marcas de comentario ni énfasis."""
    text = re.sub(r"^# ?", "", text, flags=re.MULTILINE).replace("*", "")
    return re.sub(r"\s+", " ", text.replace("\N{NARROW NO-BREAK SPACE}", " ")).casefold()


@pytest.mark.parametrize("page", PAGES)
def test_the_page_carries_what_the_map_says(page):
    text = normalized((DOCS / page).read_text("utf-8"))
    rows = [row for row in ROWS if row["página"] == page]
    missing = [row["qué"] for row in rows if normalized(row["texto"]) not in text]
    assert not missing


def test_the_map_is_complete_and_in_order():
    for row in ROWS:
        assert all(row.values()), row
        assert row["documento"] in "CMNST", row
    listed = [row["página"] for row in ROWS]
    assert [page for page, _ in itertools.groupby(listed)] == list(dict.fromkeys(listed))
    pairs = [(row["página"], row["texto"]) for row in ROWS]
    assert len(set(pairs)) == len(pairs)
    nav = (ROOT / "mkdocs.yml").read_text("utf-8").partition("\nnav:\n")[2]
    nav = re.split(r"^\w", nav, maxsplit=1, flags=re.MULTILINE)[0]  # hasta la clave siguiente
    told = dict.fromkeys(re.findall(r"([\w/-]+\.(?:py|md))$", nav, re.MULTILINE))
    # Los índices de las habitaciones solo enlazan, y la API sale de las docstrings.
    own = [page for page in told if not re.match(r"(?!resultados)\w+/index\.md|api/", page)]
    assert list(dict.fromkeys(listed)) == own  # todas, y en el orden de la navegación


def test_the_map_does_not_shrink():
    """Quitar una fila es decidir que algo se pierde: se hace aquí también, a sabiendas."""
    assert len(ROWS) == 377


def test_a_page_that_drops_something_is_noticed():
    assert normalized("# da **980 000**\n# imágenes") == normalized("da 980 000 imágenes")
    assert normalized("3·3·3·64 + 64") not in normalized("3·3·3·64")


def test_no_heading_has_a_formula():
    """En el índice de la página no hay KaTeX: se leerían los signos de LaTeX."""
    pages = [path for path in DOCS.rglob("*.*") if path.suffix in (".md", ".py")]
    headings = [
        line
        for path in pages
        for line in re.findall(
            r"^# #{1,4} .*" if path.suffix == ".py" else r"^#{1,4} .*",
            path.read_text("utf-8"),
            re.MULTILINE,
        )
    ]
    assert len(headings) > 500
    assert not [line for line in headings if "$" in line]


@pytest.mark.parametrize(
    "path", sorted({*(DOCS / "api").glob("*.md")} - {DOCS / "api/index.md"}), ids=lambda p: p.stem
)
def test_every_module_leads_to_the_page_that_tells_it(path):
    text = path.read_text("utf-8")
    module = re.search(r"^::: (\S+)", text)[1]
    (target,) = re.findall(r"\]\(\.\./([\w/-]+\.(?:py|md))\)", text)[:1]
    story = (DOCS / target).read_text("utf-8")
    if module.startswith("cnnhistory.models."):
        assert module in story or f"api/{path.name}" in story  # y de vuelta
