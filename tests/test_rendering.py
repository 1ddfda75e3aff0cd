"""De cuaderno ejecutado a Markdown, y de SVG de matplotlib a figura de la página."""

import base64
import io
import re

import figures
import jupytext
import markdown
import numpy as np
import pytest
import rendering
from cache import Entry
from PIL import Image

from cnnhistory.data import cat

EXTENSIONS = ["admonition", "attr_list", "pymdownx.details", "pymdownx.superfences", "tables"]
PROVENANCE = {
    "commit": "abc1234+cambios",
    "versions": {"Python": "3.11.7", "torch": "2.15.0"},
    "cpu": "Xeon <x>",
    "cores": 2,
    "date": "2026-11-21",
    "seconds": 4.6,
}
SVG = """<?xml version="1.0" encoding="utf-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/svg11.dtd">
<svg width="300pt" height="75pt" viewBox="0 0 300 75" version="1.1">
 <metadata><x/></metadata>
 <defs>
  <style type="text/css">*{stroke-linejoin: round; stroke-linecap: butt}</style>
 </defs>
 <g id="axes_1">
  <path d="M 1.23456 -2.00001
L 3 4
" clip-path="url(#pabc)" style="stroke: #5B6472"/>
  <text style="font: 10px 'DejaVu Sans', 'Bitstream Vera Sans', sans-serif" x="7.12345">0.12345</text>
  <use xlink:href="#m1" style="fill: #e07b39"/>
 </g>
 <defs><clipPath id="pabc"><rect x="0" y="0"/></clipPath></defs>
</svg>"""


def data(kind, content):
    return {"type": "data", "data": {"text/plain": "<Objeto>", kind: content}}


def printed(text, name="stdout"):
    return {"type": "stream", "name": name, "text": text}


def render(script, *outputs, header=""):
    """La página de un script cuyas celdas de código dieron esas salidas, en orden."""
    notebook = jupytext.reads(script, fmt="py:percent")
    code = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    cells = [
        {"source": source, "outputs": given} for source, given in zip(code, outputs, strict=True)
    ]
    return rendering.render(notebook, Entry("", cells, PROVENANCE), "p.py", header)


def to_html(page):
    content = markdown.markdown(page.markdown, extensions=EXTENSIONS)
    return page.with_figures(rendering.without_timings(content))


def test_prose_passes_as_it_is():
    prose = "# Título\n\nVe [la red][cnnhistory.models.lenet] y $x^2$.[^1]\n\n!!! note\n    Ojo."
    script = "# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in prose.splitlines())
    assert render(script).markdown.startswith(prose + "\n\n")


def test_the_front_matter_stays_first():
    script = "# ---\n# description: Una red\n# ---\n\n# %% [markdown]\n# # Título\n"
    assert render(script).markdown.startswith("---\ndescription: Una red\n---\n\n# Título")


@pytest.mark.parametrize("solution", [False, True])
def test_code_and_what_it_prints_survive_exactly(solution):
    code = 's = """\n```python\n$a_b_c$ <b> & [x](y) {: .z }\n    ````\n"""\nprint(s)'
    tags = ' tags=["solucion"]' if solution else ""
    text = "  *uno*\n\n```\n<b>$dos$</b>"
    html = to_html(render(f"# %%{tags}\n{code}\n", [printed(text + "\n")]))
    blocks = re.findall(r"<pre>(?:<span></span>)?<code>(.*?)</code></pre>", html, re.DOTALL)
    plain = [re.sub(r"<[^>]+>", "", block) for block in blocks]
    escaped = [text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
               for text in (code, text)]  # fmt: skip
    assert [block.replace("&quot;", '"').rstrip("\n") for block in plain] == escaped
    assert html.count('class="salida no-copy highlight"') == 1


def test_hidden_code_shows_only_its_outputs():
    page = render('# %% tags=["oculto"]\nprint(1)\n', [printed("1\n")])
    assert "print(1)" not in page.markdown
    assert "```{.text .salida .no-copy}\n1\n```" in page.markdown


def test_markdown_outputs_are_tables_of_the_page():
    html = to_html(render("# %%\ntable\n", [data("text/markdown", "| a |\n| - |\n| 1 |")]))
    assert "<td>1</td>" in html
    assert "Objeto" not in html


def test_consecutive_solution_cells_are_one_fold():
    script = (
        '# %% [markdown] tags=["solucion"]\n# Así:\n\n# %% tags=["solucion"]\n1\n\n'
        '# %% [markdown]\n# Otro.\n\n# %% tags=["solucion"]\n2\n'
    )
    html = to_html(render(script, [printed("uno\n")], []))
    folds = re.findall(r'<details class="solucion">(.*?)</details>', html, re.DOTALL)
    assert len(folds) == 2
    assert all("<summary>Solución</summary>" in fold for fold in folds)
    assert folds[0].index("Así:") < folds[0].index("salida")
    assert "Otro." not in "".join(folds)


def test_figures_are_inline_with_their_text_and_caption():
    page = render(
        '# %% alt="una recta < otra" caption="La *recta*."\n1\n\n# %% tags=["solucion"] alt="dos"\n2\n',
        [data("image/svg+xml", SVG)],
        [data("image/png", "aW1n\nYWdl\n")],
    )
    html = to_html(page)
    assert page.warnings == []
    assert 'role="img" aria-label="una recta &lt; otra"' in html
    assert "<figcaption>La <em>recta</em>.</figcaption>" in html
    assert '<img src="data:image/png;base64,aW1nYWdl" alt="dos">' in html
    assert "<p><figure" not in html
    assert "<!--figura" not in html


def test_several_figures_of_a_cell_take_a_list_of_texts():
    outputs = [data("image/svg+xml", SVG)] * 2
    page = render('# %% alt=["una", "otra"]\n1\n', outputs)
    assert page.warnings == []
    assert [re.findall('aria-label="(.*?)"', figure) for figure in page.figures] == [
        ["una"], ["otra"]
    ]  # fmt: skip
    assert 'id="f0-axes_1"' in page.figures[0]
    assert 'id="f1-axes_1"' in page.figures[1]


def test_describing_a_figure_that_is_not_drawn_is_a_warning():
    script = '# %% alt="una recta"\n1\n'
    page = render(script, [])
    assert page.warnings == ['p.py, celda 1: describe una figura con alt="…" y no dibuja ninguna.']
    notebook = jupytext.reads(script, fmt="py:percent")
    assert not rendering.render(notebook, None, "p.py").warnings  # sin ejecutar no se sabe


@pytest.mark.parametrize(("alt", "nth"), [("", 1), (' alt="una"', 2)])
def test_a_figure_without_text_is_a_warning(alt, nth):
    outputs = [data("image/svg+xml", SVG)] * nth
    page = render(f"# %% [markdown]\n# x\n\n# %%{alt}\n1\n", outputs)
    assert page.warnings == [f'p.py, celda 2: falta describir la figura {nth} con alt="…".']


def test_writing_to_stderr_is_a_warning():
    page = render("# %%\n1\n", [printed("<celda>:1: UserWarning: ojo\n", "stderr")])
    assert page.warnings == ["p.py, celda 1: escribió en stderr:\n<celda>:1: UserWarning: ojo\n"]


def test_what_varies_is_between_marks():
    page = render('# %% tags=["tiempos"]\n1\n\n# %%\n2\n', [printed("0.3 s\n")], [printed("b\n")])
    steady = rendering.VARIES.sub("", page.markdown)
    assert "0.3 s" in page.markdown
    assert "2026" in page.markdown
    assert "0.3 s" not in steady
    assert "2026" not in steady
    assert "\nb\n" in steady


def test_tables_of_timings_are_not_searched():
    table = data("text/markdown", "| s |\n| - |\n| 0.3 |")
    html = to_html(render('# %% tags=["tiempos"]\n1\n\n# %%\n2\n', [table], [table]))
    assert html.count('<table data-search-exclude="1">') == 1
    assert html.count("<table>") == 1


def test_the_header_goes_under_the_title_and_the_provenance_at_the_foot():
    page = render("# %% [markdown]\n# # Uno\n#\n# Dos.\n", header="Descargas.")
    assert page.markdown.startswith("# Uno\n\nDescargas.\n\nDos.")
    foot = re.search('<p class="procedencia">(.*)</p>', page.markdown)[1]
    assert foot == (
        "Página ejecutada el 2026-11-21 en 5 s sobre el commit abc1234+cambios, con Python 3.11.7, "
        "torch 2.15.0, en Xeon &lt;x&gt; (2 núcleos)."
    )


def test_without_outputs_there_is_text_and_code():
    notebook = jupytext.reads("# %%\nprint(1)\n", fmt="py:percent")
    assert rendering.render(notebook, None, "p.py").markdown == "```python\nprint(1)\n```\n"


def test_equal_images_in_one_figure_do_not_share_an_identifier():
    image = '<image xlink:href="data:image/png;base64,AA==" id="imagen1" width="2" height="2"/>'
    svg = f'<svg viewBox="0 0 8 2"><g id="ejes">{image}{image}</g></svg>'
    html = figures.svg_figure(svg, "f0", "dos iguales", "")
    assert html.count('base64,AA==" width="2"') == 2
    assert "imagen1" not in html
    assert html.count('id="f0-ejes"') == 1


def png(pixels: np.ndarray) -> str:
    """Una imagen como la guarda matplotlib: PNG con transparencia."""
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGBA").save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


def embedded(html: str) -> tuple[str, np.ndarray, int]:
    """Formato, píxeles y bytes de la imagen de una figura."""
    found = re.search(r"data:image/(\w+);base64,([^\"]+)", html)
    assert found
    raw = base64.b64decode(found[2], validate=True)
    return found[1], np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"), float), len(raw)


@pytest.mark.parametrize("wrap", ["svg", "png"])
def test_heavy_images_travel_as_webp(wrap):
    def drawn(image: str) -> str:
        if wrap == "png":
            return figures.png_figure(image, "alt", "")
        svg = f'<svg viewBox="0 0 8 2"><image xlink:href="data:image/png;base64,{image}"/></svg>'
        return figures.svg_figure(svg, "f0", "alt", "")

    photo = cat().permute(1, 2, 0).numpy()[:200, :200]
    kind, pixels, size = embedded(drawn(png(photo)))
    assert kind == "webp"
    assert size < len(png(photo)) / 6
    assert np.abs(pixels - photo).mean() < 5  # de 255: a la vista, la misma

    # Lo que no es una foto queda píxel por píxel.
    flat = np.random.default_rng(0).integers(0, 2, (180, 180, 1), np.uint8).repeat(3, 2) * 200
    kind, pixels, size = embedded(drawn(png(flat)))
    assert kind == "webp"
    assert size < figures.PHOTO
    assert np.array_equal(pixels, flat)

    small = png(photo[:8, :8])
    assert f"data:image/png;base64,{small}" in drawn(small)


def test_svg_follows_the_theme_and_does_not_leak_into_the_page():
    html = figures.svg_figure(SVG, "f3", "alt", "")
    assert html.startswith(
        '<figure class="figura">\n<svg viewBox="0 0 300 75" style="max-width: 400px; '
        'stroke-linejoin: round; stroke-linecap: butt" role="img" aria-label="alt">'
    )
    for gone in ("<?xml", "DOCTYPE", "metadata", "<style", "DejaVu", "5B6472", "figcaption"):
        assert gone not in html
    assert 'style="stroke: currentColor"' in html
    assert "fill: #e07b39" in html
    assert {'id="f3-pabc"', "url(#f3-pabc)", 'xlink:href="#f3-m1"'} <= set(
        re.findall(r'id="f3-pabc"|url\(#f3-pabc\)|xlink:href="#f3-m1"', html)
    )
    assert 'd="M 1.23 -2.00 L 3 4"' in html
    assert 'x="7.12">0.12345</text>' in html  # las cifras de la figura no se redondean


@pytest.mark.parametrize("svg", ["<p>nada</p>", '<svg width="3pt"></svg>'])
def test_an_svg_that_cannot_adapt_is_an_error(svg):
    with pytest.raises(ValueError, match="SVG"):
        figures.svg_figure(svg, "f0", "alt", "")
