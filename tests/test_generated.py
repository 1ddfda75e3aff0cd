"""Lo generado desde los datos: cifras, gráfico, tabla, línea de tiempo, glosario y enlaces."""

import csv
import datetime
import itertools
import math
import re
import xml.etree.ElementTree as etree
from pathlib import Path

import charts
import fullsize
import generated
import glossary
import history
import networks
import pytest
from markdown import Markdown
from mkdocs.exceptions import PluginError

from cnnhistory import eras, ilsvrc
from cnnhistory.models import CATALOG

DOCS = Path(__file__).parents[1] / "docs"
STORY = (DOCS / "historia" / "la-carrera.py").read_text(encoding="utf-8")
EXTENSIONS = ["abbr", "admonition", "attr_list", "def_list", "footnotes", "md_in_html", "tables"]
EXTENSIONS += ["pymdownx.details", "pymdownx.highlight", "pymdownx.superfences"]


# Cifras y bloques


@pytest.mark.parametrize(
    ("token", "text"),
    [
        ("{ilsvrc:2012:supervision}", "16.4\u00a0%"),
        ("{ilsvrc:2012:supervision:3}", "16.422\u00a0%"),
        ("{ilsvrc:2012:supervision:0}", "16\u00a0%"),
        ("{ilsvrc:2010:xrce}", "33.7\u00a0%"),  # 33.65: el 5 redondea hacia arriba
        ("{ilsvrc:2011:xrce - 2012:supervision}", "9.3\u00a0puntos"),
        ("{ilsvrc:2012:isi - 2012:supervision:0}", "10\u00a0puntos"),
        ("{ilsvrc:humano:a1}", "5.1\u00a0%"),
    ],
)
def test_a_figure_comes_from_the_ledger(token, text):
    assert generated.expand(f"antes {token} después", "a.md") == f"antes {text} después"


@pytest.mark.parametrize(
    ("token", "message"),
    [
        ("{ilsvrc:2012:supervison}", "historia/a.md: .*«supervison» en 2012.*supervision"),
        ("{ilsvrc:2019:senet}", "de 2010 a 2017: no hay resultados de 2019"),
        ("{ilsvrc:humano:a9}", "ninguna cifra humana «a9»: a1, a2"),
        ("{ilsvrc:doce:a}", "se esperaba año:fila"),
        ("<!-- generado: grafico-ilvsrc -->", "bloque generado «grafico-ilvsrc».*grafico-ilsvrc"),
        ("<!-- generado: -->", "ningún bloque generado «»"),
    ],
)
def test_an_unknown_name_stops_the_build(token, message):
    with pytest.raises(PluginError, match=message):
        generated.expand(token, "historia/a.md")


@pytest.mark.parametrize(
    "code",
    [
        "`{ilsvrc:2012:no}`",
        "``{ilsvrc:2012:no} ` {ilsvrc:x}``",
        "```md\n<!-- generado: nada -->\n{ilsvrc:x}\n```",
        "    ~~~\n    {ilsvrc:x}\n    ~~~",
        "Una línea con <!-- generado: nada --> en medio.",
    ],
)
def test_code_is_left_alone(code):
    assert generated.expand(code, "a.md") == code


def test_a_stray_backtick_does_not_hide_what_follows():
    text = "Un acento ` suelto.\n\n{ilsvrc:2012:supervision} y otro `."
    assert "16.4" in generated.expand(text, "a.md")


def test_a_tutorial_carries_its_figures_into_the_script_that_is_downloaded():
    script = '# El {ilsvrc:2012:supervision}\n# <!-- generado: glosario -->\nprint(f"{2012:>6}")\n'
    written = generated.figures(script, "historia/a.py")
    assert written == script.replace("{ilsvrc:2012:supervision}", "16.4\u00a0%")
    with pytest.raises(PluginError, match=r"historia/a.py: .*supervision"):
        generated.figures("# {ilsvrc:2012:supervison}", "historia/a.py")


def test_a_block_keeps_the_indentation_of_its_line():
    text = generated.expand('??? note "x"\n\n    <!-- generado: tabla-humanos -->\n', "a.md")
    lines = [line for line in text.splitlines()[1:] if line]
    assert len(lines) == 2 + 3
    assert all(line.startswith("    |") for line in lines)


def test_html_blocks_survive_markdown():
    html = Markdown(extensions=EXTENSIONS).convert(
        generated.expand(
            "Uno.\n\n<!-- generado: grafico-ilsvrc -->\n\nDos.\n\n"
            "<!-- generado: tabla-ilsvrc -->\n\nTres.",
            "a.md",
        )
    )
    assert charts.chart() in html
    assert "<p>Dos.</p>" in html
    assert html.count("<table") == 1
    assert not re.search(r"<p>\s*<(figure|div|svg)", html)


# El gráfico


def parse(svg: str) -> etree.Element:
    return etree.fromstring(svg)


@pytest.mark.parametrize("draw", [charts.wide_chart, charts.narrow_chart])
def test_every_figure_is_a_point_that_the_keyboard_reaches_and_a_reader_hears(draw):
    points = [g for g in parse(draw()).iter("g") if g.get("class") == "punto"]
    assert len(points) == len(ilsvrc.results())
    for point, result in zip(points, ilsvrc.results(), strict=True):
        spoken = point.get("aria-label") or ""
        assert point.get("tabindex") == "0"
        assert point.get("role") == "img"
        assert point.findtext("title") == spoken
        assert spoken.startswith(f"{result.year}, {result.team}; ")
        assert f"error top-5 de {result.top5_error}\u00a0%" in spoken
        assert ("con datos adicionales" in spoken) == result.extra_data
        assert ("cifra de un artículo" in spoken) == (not result.is_official)
        assert ("ganador del año" in spoken) == result.is_winner
        assert result.source_title in spoken


def test_each_distinction_has_a_shape_of_its_own():
    def commands(result):
        mark = parse(f"<g>{charts.mark(result, 0, 0)}</g>")
        return [re.sub(r"[^a-zA-Z]", "", path.get("d") or "") for path in mark.iter("path")]

    ensemble = commands(ilsvrc.find(2014, "vgg"))
    single = commands(ilsvrc.find(2014, "vgg-una"))
    unknown = commands(ilsvrc.find(2012, "isi"))
    extra = commands(ilsvrc.find(2012, "supervision-extra"))
    assert len({tuple(ensemble), tuple(single), tuple(unknown), tuple(extra)}) == 4
    assert len(extra) == 2
    assert 'class="marca conjunto articulo"' in charts.mark(ilsvrc.find(2015, "prelu"), 0, 0)


def test_points_are_where_their_error_says():
    svg = parse(charts.wide_chart())
    halos = [c for c in svg.iter("circle") if c.get("class") == "halo"]
    heights = [float(c.get("cy") or 0) for c in halos]
    errors = [r.top5_error for r in ilsvrc.results()]
    slope = (heights[0] - heights[-1]) / (errors[0] - errors[-1])
    assert slope < 0  # más error, más arriba
    for height, error in zip(heights, errors, strict=True):
        assert height == pytest.approx(heights[0] + slope * (error - errors[0]), abs=0.2)
    line = next(svg.iter("polyline")).get("points") or ""
    winners = ilsvrc.winners()
    assert len(line.split()) == len(winners) == 8


def boxes(svg: etree.Element, width: float) -> list[tuple[str, float, float, float, float]]:
    """Los rótulos con su caja, con un ancho de letra medido en el navegador con holgura."""
    found = []
    for text in svg.iter("text"):
        if "rotulo" not in (text.get("class") or ""):
            continue
        x, y = float(text.get("x") or 0), float(text.get("y") or 0)
        length = len(text.text or "") * width
        x -= {"start": 0, "middle": length / 2, "end": length}[text.get("text-anchor") or ""]
        found.append((text.text or "", x, y - 9, x + length, y + 3))
    return found


@pytest.mark.parametrize("draw", [charts.wide_chart, charts.narrow_chart])
def test_labels_do_not_overlap_nor_leave_the_drawing(draw):
    svg = parse(draw())
    _, _, width, _ = map(float, (svg.get("viewBox") or "").split())
    labels = boxes(svg, 5.6)
    assert len(labels) >= len(ilsvrc.results())
    for name, left, _, right, _ in labels:
        assert left >= 0, name
        assert right <= width, name
    for one, other in itertools.combinations(labels, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, (one, other)


def test_points_do_not_cover_each_other():
    svg = parse(charts.wide_chart())
    centers = [
        (float(c.get("cx") or 0), float(c.get("cy") or 0))
        for c in svg.iter("circle")
        if c.get("class") == "halo"
    ]
    for one, other in itertools.combinations(centers, 2):
        assert math.dist(one, other) >= 11.5


def test_the_chart_is_the_same_in_every_build_and_has_no_color_of_its_own():
    assert charts.chart() == charts.chart()
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|(fill|stroke)=", charts.chart())


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ([], []),
        ([5.0], [5.0]),
        ([0.0, 100.0], [0.0, 100.0]),
        ([10.0, 10.0], [5.0, 15.0]),
        ([0.0, 1.0, 2.0], [-9.0, 1.0, 11.0]),
        ([0.0, 0.0, 50.0, 50.0], [-5.0, 5.0, 45.0, 55.0]),
    ],
)
def test_spread_moves_as_little_as_possible(wanted, expected):
    assert charts.spread(wanted, 10) == pytest.approx(expected)


# Las tablas y la línea de tiempo


def test_the_table_has_every_figure_with_its_source():
    html = generated.results_table("historia/la-carrera.py")
    div = html[html.index("<div") :]
    table = parse(div.replace("<br>", "<br/>"))
    rows = list(table.iter("tr"))
    heads, body = rows[0], rows[1:]
    assert all(th.get("scope") == "col" for th in heads)
    assert table.find("table/caption") is not None
    for row, result in zip(body, ilsvrc.results(), strict=True):
        text = "".join(row.itertext())
        assert len(row) == len(heads)
        assert next(row.iter("th")).get("scope") == "row"
        assert next(row.iter("a")).get("href") == result.source_url
        assert f"{result.top5_error}\u00a0%" in text
        assert result.evidence in text
        assert (row.get("class") == "ganador") == result.is_winner


def test_the_timeline_goes_from_lenet_to_senet_and_links_the_nets_that_have_a_page():
    figure = parse(generated.timeline("index.md"))
    items = ["".join(li.itertext()) for li in figure.iter("li")]
    assert [text[:4] for text in items] == sorted({text[:4] for text in items})
    assert items[0].startswith("1998")
    assert "LeNet-5" in items[0]
    assert items[-1].startswith("2017error del ganador: 2.3\u00a0%")
    assert "SENet" in items[-1]
    families = "LeNet-5 AlexNet ZFNet NiN VGG GoogLeNet All-CNN ResNet ResNeXt DenseNet SENet"
    names = [node.text for li in figure.iter("li") for node in li.find("span[@class='redes']")]
    assert set(families.split()) <= set(names)
    assert len(names) == len(set(names))
    links = {a.text: a.get("href") for a in figure.iter("a")}
    assert links["AlexNet"] == "arquitecturas/alexnet/"
    assert not any("mini" in label or "moderna" in label for label in links)
    nested = parse(generated.timeline("historia/la-carrera.py"))
    assert next(nested.iter("a")).get("href") == "../../arquitecturas/lenet-5/"


def test_the_table_of_networks_has_a_row_for_each_one():
    rows = re.findall(r"<tr>(.*?)</tr>", generated.block("tabla-redes", "index.md"))[1:]
    assert [re.search(r"<code>(.*?)</code>", row)[1] for row in rows] == list(CATALOG)
    (row,) = (row for row in rows if "<code>alexnet</code>" in row)
    assert '<td data-valor="60965224">60\u202f965\u202f224</td>' in row
    assert ">243.9</td>" in row
    assert (
        'href="arquitecturas/alexnet/index.html"' in row or 'href="arquitecturas/alexnet/"' in row
    )


@pytest.mark.parametrize(
    ("count", "text"),
    [(7_840, "0.00784"), (325_680, "0.326"), (9_566_208, "9.57"), (99_960_000, "100.0"),
     (724_406_816, "724"), (20_688_363_520, "20\u202f688")],
)  # fmt: skip
def test_millions_keep_three_figures(count, text):
    assert networks.millions(count) == text


def test_a_card_says_the_same_error_as_the_ledger():
    published = {(r.year, r.top5_error) for r in ilsvrc.results()}
    for name, card in CATALOG.items():
        if card.top5_error is not None:
            assert (card.year, card.top5_error) in published, name


# La página de la carrera


@pytest.mark.parametrize(
    "name",
    ["la-carrera.py", "imagenet-y-el-desafio.py", "2012-alexnet.py", "despues-de-imagenet.py"],
)
def test_no_figure_of_the_ledger_is_typed_by_hand(name):
    text = (DOCS / "historia" / name).read_text(encoding="utf-8")
    if name.endswith(".py"):
        text = "".join(line for line in text.splitlines(True) if line.startswith("# "))
    prose = re.sub(r"\{ilsvrc:[^}]*\}|```.*?```", "", text, flags=re.DOTALL)
    typed = set(re.findall(r"\d+\.\d+(?=[ \u00a0]%)", prose))
    values = [r.top5_error for r in ilsvrc.results()]
    values += [person.top5_error for person in ilsvrc.human_level()]
    known = {charts.number(value, decimals) for value in values for decimals in (1, 2, 3)}
    assert not typed & known


# El glosario


def test_the_glossary_is_in_spanish_order_with_one_anchor_a_term():
    terms = glossary.load()
    assert len(terms) >= 45
    anchors = [term.anchor for term in terms]
    assert len(set(anchors)) == len(anchors)
    assert all(re.fullmatch(r"[a-z0-9-]+", anchor) for anchor in anchors)
    assert all(term.definition.endswith(".") for term in terms)
    forms = [form.lower() for term in terms for form in term.forms]
    assert len(set(forms)) == len(forms)
    words = ["zeta", "ñandú", "nube", "épocas", "epoca", "número"]
    ordered = ["epoca", "épocas", "nube", "número", "ñandú", "zeta"]
    assert sorted(words, key=glossary.collation) == ordered


def test_the_glossary_page_shows_every_term_and_its_anchor():
    markdown = generated.expand("<!-- generado: glosario -->", "referencia/glosario.md")
    html = Markdown(extensions=EXTENSIONS).convert(markdown)
    for term in glossary.load():
        assert f'<dt id="{term.anchor}">{term.es}</dt>' in html
        assert f'<em lang="en">{term.en}</em>' in html


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('[[termino]]\nes = "a"\nen = "b"', "término «a»: falta def"),
        ('[[termino]]\nes = "a"\nen = "b"\ndef = "c."\nforma = []', "«a»: sobra forma"),
        ('[[termino]]\nes = "a"\nen = "b"\ndef = "c."\n' * 2, "«a» está repetido"),
    ],
)
def test_a_spoilt_glossary_says_where(tmp_path, text, message):
    path = tmp_path / "glosario.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(PluginError, match=message):
        glossary.load(path)


@pytest.fixture
def convert():
    """Convierte Markdown con los recuadros de un glosario pequeño."""
    terms = [
        glossary.Term("convolución", "", "Desliza.", ("convolución", "convoluciones"), False),
        glossary.Term("1×1", "", "Un píxel.", ("convolución de 1×1",), False),
        glossary.Term("ReLU", "", 'max(0, x) y "ya".', ("ReLU",), True),
        glossary.Term("MAC", "", "Producto y suma.", ("MAC", "MACs"), True),
    ]

    def render(text: str, src_uri: str = "a.md") -> str:
        extension = glossary.GlossaryExtension(terms)
        extension.start_page(src_uri)
        return Markdown(extensions=[*EXTENSIONS, "toc", extension]).convert(text)

    return render


def explained(html: str) -> list[str]:
    return re.findall(r"<abbr [^>]*>([^<]*)</abbr>", html)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Una convolución y otra convolución; dos convoluciones.", ["convolución"]),
        ("Convolución al empezar.", ["Convolución"]),
        ("Una convolución de 1×1 y una convolución.", ["convolución de 1×1", "convolución"]),
        ("ReLU tras convolución, MACs y ReLU.", ["ReLU", "convolución", "MACs"]),
        ("**Una convolución** y *otra ReLU*.", ["convolución", "ReLU"]),
        ("relu, mac, Mac, PReLU, PReLU-net, ReLU6 y deconvolución", []),
        ("`ReLU` y\n\n    ReLU()\n\n```\nconvolución\n```\n", []),
        ("# La convolución\n\nTexto.", []),
        ("[La convolución](x.md) enlazada; luego ReLU.", ["ReLU"]),
        ("| ReLU |\n| --- |\n| convolución |", []),
        ('<figure markdown="span">convolución</figure>', []),
        ("*convolución*{ lang=en }", []),
        ("- una ReLU\n- una convolución", ["ReLU", "convolución"]),
        ("Nota.[^1]\n\n[^1]: Una convolución.", ["convolución"]),
    ],
)
def test_the_first_use_of_a_term_is_explained_and_nothing_else_is_touched(convert, text, expected):
    assert explained(convert(text)) == expected


def test_a_tooltip_keeps_the_text_around_it_and_escapes_its_own(convert):
    html = convert("Antes ReLU en medio, convolución después.")
    assert re.sub(r"</?abbr[^>]*>", "", html) == "<p>Antes ReLU en medio, convolución después.</p>"
    assert 'title="max(0, x) y &quot;ya&quot;."' in html


@pytest.mark.parametrize("page", ["referencia/glosario.md", "referencia/bibliografia.md"])
def test_the_glossary_does_not_explain_itself(convert, page):
    assert explained(convert("Una convolución.", page)) == []


# Bibliografía y enlaces


def external_links() -> set[str]:
    """Los enlaces externos de las páginas y de los datos que acaban en ellas."""
    links = {result.source_url for result in ilsvrc.results()}
    links |= {card.url for card in CATALOG.values()}
    links |= {row["fuente"] for row in fullsize.theirs()}
    links |= {url for era in eras.ERAS.values() for url in re.findall(r"https?://\S+", era.source)}
    for book in ("tarjetas", "conjuntos", "despues"):
        links |= {url for row in history.load(book) for url in history.sources(row) if url}
    for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.py")]:
        if path.parent.name != "_hooks":
            text = re.sub(r"```.*?```|`[^`\n]+`", "", path.read_text(encoding="utf-8"), flags=re.S)
            links |= set(re.findall(r"(?:\]\(|<|href=\")(https?://[^)\s>\"]+)", text))
    return links


def test_every_external_link_is_listed_with_how_and_when_it_was_checked():
    with (DOCS / "referencia" / "enlaces.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    listed = [row["url"] for row in rows]
    assert listed == sorted(set(listed))
    missing = external_links() - set(listed)
    assert not missing, f"faltan en docs/referencia/enlaces.csv: {sorted(missing)}"
    unused = set(listed) - external_links()
    assert not unused, f"sobran en docs/referencia/enlaces.csv: {sorted(unused)}"
    for row in rows:
        assert row["comprobado"]
        assert datetime.date.fromisoformat(row["fecha"]).year >= 2026


def test_every_citation_exists_in_the_bibliography():
    bibliography = (DOCS / "referencia" / "bibliografia.md").read_text(encoding="utf-8")
    anchors = re.findall(r"^\{ #(\w+)", bibliography, re.MULTILINE)
    assert len(anchors) == len(set(anchors)) >= 30
    for path in [*DOCS.rglob("*.md"), *DOCS.rglob("*.py")]:
        cited = re.findall(r"bibliografia\.md#([\w-]+)", path.read_text(encoding="utf-8"))
        assert set(cited) <= set(anchors), path
    paragraphs = bibliography.split("\n\n")
    entries = [text for text in paragraphs if "{ #" in text]
    assert len(entries) == len(anchors)
    for entry in entries:
        assert len(re.findall(r"\(\d{4}\)\. \*.+?\*\{ lang=en \}", entry)) == 1, entry
        assert "](https://" in entry, entry


# En el navegador


@pytest.fixture
def page(browser, tmp_path):
    css = (DOCS / "assets" / "css" / "ilsvrc.css").read_text(encoding="utf-8")
    script = (DOCS / "assets" / "js" / "ilsvrc.js").read_text(encoding="utf-8")
    html = tmp_path / "grafico.html"
    html.write_text(
        "<!doctype html><html lang=es><meta charset=utf-8><title>x</title>"
        "<style>:root{--md-default-bg-color:#fff;--md-default-fg-color:#111}</style>"
        f"<style>{css}</style><body style='margin:16px'>{charts.chart()}<script>{script}</script>",
        encoding="utf-8",
    )
    tab = browser.new_page(viewport={"width": 1000, "height": 900})
    errors: list[str] = []
    tab.on("pageerror", lambda error: errors.append(str(error)))
    tab.goto(html.as_uri())
    yield tab
    tab.close()
    assert errors == []


@pytest.mark.navegador
def test_the_chart_with_the_keyboard_and_the_mouse(page):
    detail = page.locator(".ilsvrc-detalle")
    focused = "document.activeElement.getAttribute('aria-label')"
    assert detail.is_hidden()
    page.keyboard.press("Tab")
    assert page.evaluate(focused).startswith("2010, NEC-UIUC")
    assert detail.is_visible()
    assert "28.191" in detail.inner_text()
    page.keyboard.press("ArrowRight")
    assert page.evaluate(focused).startswith("2010, XRCE")
    page.keyboard.press("End")
    assert page.evaluate(focused).startswith("2017, Trimps-Soushen")
    page.keyboard.press("ArrowDown")  # ya está en el último
    assert page.evaluate(focused).startswith("2017, Trimps-Soushen")
    page.keyboard.press("Home")
    assert page.evaluate(focused).startswith("2010, NEC-UIUC")
    page.keyboard.press("Escape")
    assert detail.is_hidden()
    page.locator(".ilsvrc-ancho .punto").nth(4).hover()
    assert detail.is_visible()
    box, frame = detail.bounding_box(), page.locator("figure").bounding_box()
    assert box["x"] >= frame["x"] - 1
    assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1


@pytest.mark.navegador
def test_each_screen_shows_one_drawing_and_none_overflows(page):
    wide, narrow = page.locator(".ilsvrc-ancho"), page.locator(".ilsvrc-angosto")
    assert wide.is_visible()
    assert narrow.is_hidden()
    page.set_viewport_size({"width": 360, "height": 700})
    assert narrow.is_visible()
    assert wide.is_hidden()
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
