"""La Historia: sus libros, sus gráficos y lo que cada página tiene que contar."""

import ast
import itertools
import math
import re
import xml.etree.ElementTree as etree
from pathlib import Path

import generated
import history
import logdots
import pytest

from cnnhistory import ilsvrc
from cnnhistory.inspection import thousands

DOCS = Path(__file__).parents[1] / "docs"
PAGES = {
    "imagenet-y-el-desafio.py": ("conjuntos-grafico", "conjuntos-tabla"),
    "2012-alexnet.py": ("tarjetas-velocidad", "tarjetas-memoria", "tarjetas-tabla"),
    "despues-de-imagenet.py": ("despues-grafico", "despues-tabla"),
    "la-carrera.py": ("grafico-ilsvrc", "tabla-ilsvrc"),
}
CHARTS = ["tarjetas-velocidad", "tarjetas-memoria", "conjuntos-grafico", "despues-grafico"]
BOOKS = {"tarjetas": "tarjetas-tabla", "conjuntos": "conjuntos-tabla", "despues": "despues-tabla"}


def prose(name: str) -> str:
    """El texto de una página, con sus cifras escritas y sus miles con espacio corriente."""
    text = (DOCS / "historia" / name).read_text(encoding="utf-8")
    text = re.sub(r"^# ?", "", text, flags=re.MULTILINE) if name.endswith(".py") else text
    text = generated.expand(text, f"historia/{name}")
    return re.sub(r"\s+", " ", text).replace("\u202f", " ").replace("\u00a0", " ")


# Lo que traen los documentos de origen, y no se puede perder


@pytest.mark.parametrize(
    ("name", "terms"),
    [
        (
            "imagenet-y-el-desafio.py",
            [
                *("WordNet", "synset", "Mechanical Turk", "buscadores", "al español"),
                *("14 197 122", "21 841", "1 281 167", "732", "1300", "mil clases"),
                *("CIFAR", "Tiny Images", "UCI", "LAION-5B", "Caltech-101", "PASCAL VOC"),
                *("top-5", "28.2 %", "25.8 %", "NEC-UIUC", "XRCE", "150 000", "100 000"),
                *("**120**", "Stanford Dogs", "costo jerárquico"),
            ],
        ),
        (
            "2012-alexnet.py",
            [
                *("16 %", "26 %", "GeForce 256", "GTX 580", "TITAN Z", "TITAN X", "A100", "H100"),
                *("3 GB", "cinco y seis días", "cuda-convnet", "CUDA", "Theano", "Torch7", "Caffe"),
                *("480 millones", "codebooks", "US$ 499", "problemas convexos", "se publican los"),
            ],
        ),
        (
            "la-carrera.py",
            [
                *("Clarifai", "ZFNet", "GoogLeNet", "VGG", "Santiago de Chile", "SENet"),
                *("152 capas", "memoria", "nivel humano", "5.1 %", "12.0 %", "Kaggle"),
                *("entender", "problema estaba resuelto", "2.251 %"),
            ],
        ),
        (
            "despues-de-imagenet.py",
            [
                *("R-CNN", "FCN", "SiamFC", "Gatys", "VGG-Face", "Mask R-CNN", "OverFeat"),
                *("ViT", "88.55 %", "ConvNeXt", "87.8 %", "Swin"),
                *("entre 11 y 14 puntos", "3.3 %", "**6 %**", "ResNet-18", "2832", "1593", "158"),
            ],
        ),
    ],
)
def test_a_page_tells_what_the_source_documents_bring(name, terms):
    text = prose(name)
    missing = [term for term in terms if term.lower() not in text.lower()]
    assert not missing


@pytest.mark.parametrize("name", PAGES)
def test_a_page_carries_its_figures_and_its_exercises(name):
    raw = (DOCS / "historia" / name).read_text(encoding="utf-8")
    assert all(f"<!-- generado: {block} -->" in raw for block in PAGES[name])
    exercises = re.findall(r"^(?:# )?\*\*(\d)\.", raw, re.MULTILINE)
    assert exercises == [str(number) for number in range(1, len(exercises) + 1)]
    assert 3 <= len(exercises) <= 5


def test_the_pages_are_in_the_order_of_the_story():
    nav = (DOCS.parent / "mkdocs.yml").read_text(encoding="utf-8")
    order = re.findall(r"historia/([\w-]+)\.(?:py|md)", nav)
    wanted = ["imagenet-y-el-desafio", "2012-alexnet", "la-carrera", "despues-de-imagenet"]
    assert [name for name in order if name in wanted] == wanted


# Los libros


@pytest.mark.parametrize("book", BOOKS)
def test_a_book_is_sorted_and_every_row_has_its_source(book):
    rows = history.load(book)
    assert len(rows) >= 7
    assert [row["year"] for row in rows] == sorted(row["year"] for row in rows)
    for row in rows:
        assert history.sources(row)
        assert row["source_title"]
        assert 1998 <= int(row["year"]) <= 2026


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text.replace("https://arxiv", "http://arxiv", 1), "línea 2: la fuente debe"),
        (lambda text: text.replace("2013,detectar", "2031,detectar"), "las filas deben ir por año"),
        (lambda text: text.replace(",artículo,", ",rumor,", 1), "línea 2: evidence debe ser una"),
        (lambda text: text.replace("R-CNN,AlexNet", ",AlexNet", 1), "línea 2: faltan o sobran"),
    ],
)
def test_a_spoilt_book_says_where(tmp_path, monkeypatch, change, message):
    text = (DOCS / "historia/despues.csv").read_text(encoding="utf-8")
    (tmp_path / "despues.csv").write_text(change(text), encoding="utf-8")
    monkeypatch.setattr(history, "FOLDER", tmp_path)
    history.load.cache_clear()
    try:
        with pytest.raises(ValueError, match=message):
            history.load("despues")
    finally:
        history.load.cache_clear()


def test_the_peak_of_a_card_is_two_operations_per_core_and_cycle():
    peaks = {row["name"]: history.peak_tflops(row) for row in history.load("tarjetas")}
    published = {"GeForce GTX 580": 1.58, "Tesla V100": 15.7, "A100": 19.5, "H100": 66.9}
    for name, tflops in published.items():
        assert peaks[name] == pytest.approx(tflops, rel=0.005)
    assert peaks["GeForce 256"] is None


def test_the_page_of_2012_uses_the_cards_of_the_book():
    tree = ast.parse((DOCS / "historia/2012-alexnet.py").read_text(encoding="utf-8"))
    (cards,) = (
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "CARDS"
    )
    book = {
        row["name"]: (int(row["year"]), int(row["cores"]), int(row["clock_mhz"]))
        for row in history.load("tarjetas")
        if row["cores"]
    }
    assert cards.items() <= book.items()
    text = prose("2012-alexnet.py")
    for row in history.load("tarjetas"):
        if row["price_usd"]:
            assert f"({row['price_usd']}, peak({row['cores']}, {row['clock_mhz']}))" in text


def test_imagenet_and_the_challenge_are_the_same_numbers_everywhere():
    images = {row["name"]: int(row["images"]) for row in history.load("conjuntos")}
    ratio = images["ImageNet completo"] / images["ILSVRC 2012"]
    assert round(ratio) == 11
    assert "unas once veces menor" in prose("imagenet-y-el-desafio.py")
    assert f"IMAGES, EPOCHS = {images['ILSVRC 2012']:_}, 90" in prose("2012-alexnet.py")
    assert thousands(images["ImageNet completo"]).replace("\u202f", " ") in prose(
        "imagenet-y-el-desafio.py"
    )


# Los gráficos y las tablas


def svg_of(block: str) -> etree.Element:
    figure = etree.fromstring(generated.block(block, "historia/a.py"))
    svg = figure.find("svg")
    assert svg is not None
    return svg


@pytest.mark.parametrize("block", CHARTS)
def test_a_chart_says_aloud_what_it_draws_and_has_no_color_of_its_own(block):
    svg = svg_of(block)
    spoken = svg.get("aria-label") or ""
    assert svg.get("role") == "img"
    names = [row["work" if block.startswith("despues") else "name"] for row in rows_of(block)]
    for name in names:
        assert name.replace("GeForce GTX ", "") in spoken
    html = generated.block(block, "historia/a.py")
    assert html == generated.block(block, "historia/a.py")
    assert not re.search(r"#[0-9a-fA-F]{3,6}\b|rgb\(|(fill|stroke)=", html)


def rows_of(block: str):
    return history.load(block.split("-")[0])


@pytest.mark.parametrize("block", CHARTS)
def test_labels_do_not_overlap_nor_leave_the_drawing(block):
    svg = svg_of(block)
    _, _, width, height = map(float, (svg.get("viewBox") or "").split())
    boxes = []
    for text in svg.iter("text"):
        x, y = float(text.get("x") or 0), float(text.get("y") or 0)
        length = len(text.text or "") * 6.0
        x -= {"start": 0, "middle": length / 2, "end": length}[text.get("text-anchor") or "start"]
        boxes.append((text.text, x, y - 8, x + length, y + 2))
        assert x >= -1
        assert x + length <= width + 6
        assert y <= height
    for one, other in itertools.combinations(boxes, 2):
        apart = one[3] <= other[1] or other[3] <= one[1] or one[4] <= other[2] or other[4] <= one[2]
        assert apart, (one, other)


def test_dots_are_where_their_logarithm_says():
    dots = [logdots.Dot("", str(value), value, "") for value in (0.01, 1.0, 100.0)]
    dots.append(logdots.Dot("", "sin dato", None, "—"))
    figure = etree.fromstring(logdots.figure(dots, 1, str, "", ""))
    places = [float(circle.get("cx") or 0) for circle in figure.iter("circle")]
    assert len(places) == 3
    assert places[1] - places[0] == pytest.approx(places[2] - places[1], abs=0.2)


@pytest.mark.parametrize("values", [[], [None], [1.0, 0.0], [-3.0]])
def test_a_logarithmic_scale_needs_positive_data(values):
    dots = [logdots.Dot("", "", value, "") for value in values]
    with pytest.raises(ValueError, match="todos mayores que cero"):
        logdots.figure(dots, 1, str, "", "")


def test_the_strong_dots_are_the_ones_of_the_story():
    strong = [
        circle
        for circle in svg_of("tarjetas-velocidad").iter("circle")
        if "ganador" in (circle.get("class") or "")
    ]
    assert len(strong) == 1
    places = [float(c.get("cx") or 0) for c in svg_of("tarjetas-velocidad").iter("circle")]
    expected = []
    for row in history.load("tarjetas"):
        expected += [peak] if (peak := history.peak_tflops(row)) else []
        expected += [float(row["matrix_tflops"])] if row["matrix_tflops"] else []
    slope = (places[-1] - places[0]) / math.log10(expected[-1] / expected[0])
    for place, value in zip(places, expected, strict=True):
        assert place == pytest.approx(places[0] + slope * math.log10(value / expected[0]), abs=0.3)


def test_each_work_stands_on_its_networks():
    svg = svg_of("despues-grafico")
    heads = {
        text.text: float(text.get("x") or 0)
        for text in svg.iter("text")
        if text.text in history.BACKBONES
    }
    drawn = [float(circle.get("cx") or 0) for circle in svg.iter("circle")]
    wanted = [heads[name] for row in history.load("despues") for name in row["backbones"].split()]
    assert drawn == wanted


@pytest.mark.parametrize(("book", "block"), BOOKS.items())
def test_a_table_has_every_row_with_its_source(book, block):
    table = etree.fromstring(generated.block(block, "historia/a.py"))
    heads, *body = table.iter("tr")
    assert all(th.get("scope") == "col" for th in heads)
    assert table.find(".//caption") is not None
    for row, line in zip(history.load(book), body, strict=True):
        assert len(line) == len(heads)
        assert next(line.iter("th")).get("scope") == "row"
        assert {a.get("href") for a in line.iter("a")} >= {
            url for url in history.sources(row) if url
        }
        assert row["evidence"] in "".join(line.itertext())


def test_the_winners_of_the_first_years_are_in_the_story():
    text = prose("imagenet-y-el-desafio.py")
    for winner in ilsvrc.winners()[:2]:
        assert winner.team in text
