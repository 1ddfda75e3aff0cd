"""El sitio construido: sus archivos, y sus páginas abiertas en un Chromium de verdad.

`CNNHISTORY_SITE` nombra un sitio ya construido; sin ella, se construye aquí.
"""

import functools
import html
import importlib
import inspect
import json
import os
import pkgutil
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import jupytext
import pytest
from playwright.sync_api import Browser, Page, Request

import cnnhistory
from cnnhistory.models import CATALOG

ROOT = Path(__file__).parents[1]
# En el código, todo lo que lleva una misma clase se ve igual: a axe le basta un trozo de cada una.
ONE_TOKEN_OF_EACH_KIND = r"""document.querySelectorAll(".highlight code").forEach(code => {
    const seen = new Set();
    code.innerHTML = code.innerHTML.replace(
        /<span class="(\w+)">([^<]*)<\/span>/g,
        (all, kind, text) => seen.has(kind) ? text : (seen.add(kind), all),
    );
})"""
AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text(encoding="utf-8")  # 4.14.1
DESKTOP = {"width": 1366, "height": 900}
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """La carpeta del sitio construido."""
    if built := os.environ.get("CNNHISTORY_SITE"):
        return (ROOT / built).resolve()
    folder = tmp_path_factory.mktemp("sitio")
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> list[str]:
    """La ruta de cada página, relativa al sitio."""
    found = [str(path.relative_to(site)) for path in site.rglob("*.html")]
    return sorted(set(found) - {"404.html"})


@pytest.fixture(scope="session")
def server(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Un servidor de archivos que publica el sitio bajo una subcarpeta, como GitHub Pages."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    root = tmp_path_factory.mktemp("servidor")
    (root / "repo").symlink_to(site, target_is_directory=True)
    http = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=root))
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{http.server_port}/repo/"
    http.shutdown()
    thread.join()
    http.server_close()


@contextmanager
def opened(
    browser: Browser, base: str, width: dict[str, int] = DESKTOP, scheme: str = "light"
) -> Iterator[tuple[Page, list[str]]]:
    """Una pestaña y la lista de lo que le pase: errores, y peticiones a otros servidores."""
    problems: list[str] = []
    context = browser.new_context(viewport=width, color_scheme=scheme)
    if base.startswith("http"):
        context.grant_permissions(["clipboard-read", "clipboard-write"], origin=base)
    page = context.new_page()

    def check(request: Request) -> None:
        if not request.url.startswith((base, "data:", "blob:", "about:")):
            problems.append(f"{page.url}: pide {request.url}")

    def failed(request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # lo que queda a medias al cambiar de página
            problems.append(f"{page.url}: falla {request.url}")

    page.on("request", check)
    page.on("requestfailed", failed)
    page.on("pageerror", lambda error: problems.append(f"{page.url}: {error}"))
    page.on(
        "console",
        lambda message: (
            problems.append(f"{page.url}: {message.text}")
            if message.type in ("error", "warning")
            else None
        ),
    )
    try:
        yield page, problems
    finally:
        context.close()


# Archivos ---------------------------------------------------------------------------------


class Parsed(HTMLParser):
    """Anclas, enlaces, recursos e imágenes de una página."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.resources: list[str] = []
        self.images_without_alt: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.ids |= {values[name] for name in ("id", "name") if name in values}
        link = values.get("href", values.get("xlink:href"))
        if tag == "a" and link is not None:
            self.links.append(link)
        elif link is not None and values.get("rel") != "canonical":
            self.resources.append(link)
        if "src" in values:
            self.resources.append(values["src"])
        if tag == "img" and not values.get("alt"):
            self.images_without_alt.append(values.get("src", ""))


@pytest.fixture(scope="session")
def parsed(site: Path, pages: list[str]) -> dict[str, Parsed]:
    return {name: Parsed((site / name).read_text(encoding="utf-8")) for name in pages}


def test_links_and_anchors_resolve_on_disk(site: Path, parsed: dict[str, Parsed]) -> None:
    broken = []
    for name, page in parsed.items():
        for link in page.links + page.resources:
            url = urlsplit(link)
            if url.scheme or url.netloc:
                continue
            target = (site / name).parent / unquote(url.path) if url.path else site / name
            if not target.is_file() and not (target / "index.html").is_file():
                broken.append(f"{name}: {link} no existe")
                continue
            if target.is_dir():
                target /= "index.html"
            key = os.path.relpath(target, site)
            if url.fragment and unquote(url.fragment) not in (
                parsed[key].ids if key in parsed else {}
            ):
                broken.append(f"{name}: {link} no tiene esa ancla")
    assert not broken, "\n".join(broken)


def test_links_name_files_so_they_work_from_disk(site: Path, parsed: dict[str, Parsed]) -> None:
    folders = [
        f"{name}: {link}"
        for name, page in parsed.items()
        for link in page.links
        if (url := urlsplit(link)).path and not url.netloc
        if ((site / name).parent / unquote(url.path)).is_dir()
    ]
    assert not folders, "\n".join(folders)


def test_resources_come_from_this_site(parsed: dict[str, Parsed]) -> None:
    foreign = [
        f"{name}: {resource}"
        for name, page in parsed.items()
        for resource in page.resources
        if urlsplit(resource).netloc
    ]
    assert not foreign, "\n".join(foreign)


def test_images_say_what_they_show(parsed: dict[str, Parsed]) -> None:
    silent = [f"{name}: {src}" for name, page in parsed.items() for src in page.images_without_alt]
    assert not silent, "\n".join(silent)


def test_ids_are_unique(site: Path, pages: list[str]) -> None:
    class Ids(HTMLParser):
        def __init__(self, text: str) -> None:
            super().__init__()
            self.count: Counter[str] = Counter()
            self.feed(text)

        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            self.count.update(value or "" for name, value in attrs if name == "id")

    repeated = {
        name: [
            key for key, times in Ids((site / name).read_text("utf-8")).count.items() if times > 1
        ]
        for name in pages
    }
    assert not {name: ids for name, ids in repeated.items() if ids}


def public_objects() -> list[str]:
    """La ruta de cada objeto público del paquete."""
    found = []
    for module in pkgutil.walk_packages(cnnhistory.__path__, "cnnhistory."):
        if any(part.startswith("_") for part in module.name.split(".")):
            continue
        members = importlib.import_module(module.name)
        names = getattr(members, "__all__", None) or [
            name
            for name, value in vars(members).items()
            if not name.startswith("_") and inspect.getmodule(value) is members
        ]
        found += [f"{module.name}.{name}" for name in names]
    return found


def test_each_public_object_is_documented_once(parsed: dict[str, Parsed]) -> None:
    where = {
        path: [name for name, page in parsed.items() if path in page.ids]
        for path in public_objects()
    }
    assert len(where) > 20
    wrong = {path: names for path, names in where.items() if len(names) != 1}
    assert not wrong
    assert all(name.startswith("api/") for names in where.values() for name in names)


def test_api_labels_are_in_spanish(site: Path) -> None:
    text = (site / "api" / "data" / "index.html").read_text(encoding="utf-8")
    titles = set(re.findall(r'class="doc-section-title">([^<]*)<', text))
    assert titles <= {"Parámetros:", "Devuelve:", "Excepciones:", "Atributos:", "Produce:"}
    assert "Código fuente de" in text


def test_search_index_leaves_outputs_out(site: Path) -> None:
    index = json.loads((site / "search" / "search_index.json").read_text(encoding="utf-8"))
    assert all(entry["location"].split("#")[0].endswith(".html") for entry in index["docs"])
    text = html.unescape(json.dumps(index["docs"], ensure_ascii=False))
    assert "Conv2d" in text
    tutorials = list(site.glob("*/*/*.ipynb"))
    assert len(tutorials) >= 4
    for tutorial in tutorials:
        page = tutorial.with_name("index.html").read_text(encoding="utf-8")
        outputs = re.findall(r'class="language-text salida[^>]*>(.*?)</div>', page, re.DOTALL)
        plain = html.unescape(re.sub(r"<[^>]+>", "", "\n".join(outputs)))
        code = tutorial.with_suffix(".py").read_text(encoding="utf-8")
        lines = {line.strip() for line in plain.splitlines() if len(line.strip()) > 30}
        results = [line for line in lines if line not in code]  # un texto fijo sí se busca
        assert results, tutorial
        assert not [x for x in results if json.dumps(x, ensure_ascii=False)[1:-1] in text]
    assert (site / "search" / "search_index.js").read_text("utf-8").startswith("var __index = {")


# Navegador --------------------------------------------------------------------------------


@pytest.mark.navegador
@pytest.mark.parametrize(
    ("width", "scheme", "rules"),
    [
        pytest.param(DESKTOP, "light", "{}", id="escritorio-claro"),
        # Del esquema solo dependen los colores: lo demás ya se revisó en el claro.
        pytest.param(DESKTOP, "dark", "{runOnly: ['color-contrast']}", id="escritorio-oscuro"),
        pytest.param(PHONE, "light", "{}", id="teléfono"),
    ],
)
def test_every_page_opens_clean_fits_and_is_accessible(
    browser: Browser,
    server: str,
    pages: list[str],
    width: dict[str, int],
    scheme: str,
    rules: str,
) -> None:
    faults = []
    with opened(browser, server, width, scheme) as (page, problems):
        for name in pages:
            page.goto(server + name.removesuffix("index.html"), wait_until="load")
            assert page.locator("body").get_attribute("data-md-color-scheme") == (
                "slate" if scheme == "dark" else "default"
            )
            if width is DESKTOP:  # lo plegado también se revisa
                page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
            content = page.evaluate("document.scrollingElement.scrollWidth")
            if content > width["width"]:
                faults.append(f"{name}: mide {content} px de ancho en {width['width']}")
            # Material atenúa y anima al cargar: axe debe medir los colores finales.
            page.wait_for_function(
                "document.getAnimations().every(it => it.playState !== 'running')"
            )
            page.evaluate(ONE_TOKEN_OF_EACH_KIND)
            page.evaluate(AXE)
            found = page.evaluate(f"axe.run({{resultTypes: ['violations'], ...{rules}}})")
            faults += [
                f"{name}: axe {each['id']}: {node['html'][:200]}"
                for each in found["violations"]
                for node in each["nodes"]
            ]
    assert not problems + faults, "\n".join(problems + faults)


@pytest.mark.navegador
def test_formulas_are_drawn_and_only_their_pages_load_katex(
    browser: Browser, server: str, site: Path, pages: list[str]
) -> None:
    texts = {name: (site / name).read_text(encoding="utf-8") for name in pages}
    with_formulas = {name for name, text in texts.items() if 'class="arithmatex"' in text}
    assert with_formulas == {name for name, text in texts.items() if "katex.min.js" in text}
    with opened(browser, server) as (page, problems):
        for name in sorted(with_formulas):
            page.goto(server + name)
            drawn = page.locator(".arithmatex .katex").count()
            assert drawn == page.locator(".arithmatex").count() > 0
            assert page.locator(".katex-error").count() == 0
    assert not problems


@pytest.mark.navegador
def test_copy_buttons_copy_the_code_and_nothing_else(
    browser: Browser, server: str, site: Path, pages: list[str]
) -> None:
    checked = 0
    with opened(browser, server) as (page, problems):
        for name in pages:
            script = (site / name).parent / f"{Path(name).parent.name}.py"
            if name != "index.html" and not script.exists():
                continue
            page.goto(server + name)
            page.evaluate("document.querySelectorAll('details').forEach(it => it.open = true)")
            assert page.locator(".salida [data-clipboard-target]").count() == 0
            copied = []
            for block in page.locator(".language-python.highlight").all():
                # Sin esperar a que el botón deje de moverse: son miles, y cuesta más que pulsarlos.
                block.locator("[data-clipboard-target]").click(force=True)
                copied.append(page.evaluate("navigator.clipboard.readText()"))
                compile(copied[-1], name, "exec")
            assert copied
            checked += len(copied)
            if script.exists():
                shown = []  # el código de las celdas, y el que el texto solo enseña
                for cell in jupytext.reads(script.read_text("utf-8"), "py:percent").cells:
                    if cell.cell_type == "markdown":
                        shown += re.findall(r"^```python\n(.*?)^```", cell.source, re.M | re.S)
                    elif "oculto" not in cell.metadata.get("tags", []):
                        shown.append(cell.source)
                expected = [code.strip() for code in shown if code.strip()]
                assert [code.strip() for code in copied] == expected
    assert checked
    assert not problems


@pytest.mark.navegador
@pytest.mark.parametrize("protocol", ["http", "file"])
@pytest.mark.parametrize(
    ("typed", "found"),
    [("convolucion", "convolución"), ("Conv2d", "nn.Conv2d"), ("parametro", "parámetros")],
)
def test_search_finds(
    browser: Browser, server: str, site: Path, protocol: str, typed: str, found: str
) -> None:
    base = server if protocol == "http" else f"{site.as_uri()}/"
    with opened(browser, base) as (page, problems):
        page.goto(base + "index.html")
        page.locator("[data-md-component=search-query]").click()
        page.keyboard.type(typed)
        result = page.locator(".md-search-result__link", has_text=found).first
        result.wait_for(state="attached")
        assert "No aparece" not in result.inner_text()
        assert result.locator("mark").count() > 0
        page.goto(result.evaluate("it => it.href"))
        assert found in page.locator("article").inner_text()
    assert not problems


@pytest.mark.navegador
@pytest.mark.parametrize("width", [DESKTOP, PHONE], ids=["escritorio", "teléfono"])
def test_the_table_of_networks_is_sorted_by_its_headings(
    browser: Browser, server: str, width: dict[str, int]
) -> None:
    with opened(browser, server, width) as (page, problems):
        page.goto(server + "resultados/index.html")
        rows = page.locator("table.redes tbody tr")
        names = page.locator("table.redes tbody th code")
        assert names.all_inner_texts() == list(CATALOG)  # tal como viene: por historia
        head = page.get_by_role("columnheader", name="Parámetros")
        button = head.get_by_role("button")
        button.focus()
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "ascending"
        assert page.locator("table.redes [aria-sort]").count() == 1
        smallest = sorted(CATALOG, key=lambda name: CATALOG[name].parameters)
        assert names.all_inner_texts() == smallest
        page.keyboard.press("Enter")
        assert head.get_attribute("aria-sort") == "descending"
        assert names.first.inner_text() == smallest[-1]
        page.get_by_role("columnheader", name="Red").get_by_role("button").click()
        assert rows.first.locator("th").inner_text().startswith("AlexNet")
        for _ in range(2):  # lo que no compitió va al final en los dos sentidos
            page.get_by_role("columnheader", name="Top-5").get_by_role("button").click()
            errors = rows.locator("td:last-child").all_inner_texts()
            assert errors[0]
            assert not errors[-1]
        table = page.locator(".ilsvrc-tabla")
        assert table.evaluate("it => it.scrollWidth <= it.clientWidth")  # cabe sin desplazarla
    assert not problems


@pytest.mark.navegador
def test_search_opens_from_the_keyboard_on_a_phone(browser: Browser, server: str) -> None:
    with opened(browser, server, PHONE) as (page, problems):
        page.goto(server)
        page.get_by_role("button", name="Abrir la búsqueda").focus()
        page.keyboard.press("Enter")
        page.keyboard.type("redes")
        page.wait_for_selector(".md-search-result__link")
        page.keyboard.press("Escape")
        page.get_by_role("button", name="Abrir el menú").focus()
        page.keyboard.press("Enter")
        assert page.locator("#__drawer").is_checked()
    assert not problems


@pytest.mark.navegador
def test_theme_toggles_from_the_keyboard_and_is_remembered(browser: Browser, server: str) -> None:
    with opened(browser, server) as (page, problems):
        page.goto(server)
        page.get_by_role("button", name="Cambiar a modo oscuro").focus()
        page.keyboard.press("Enter")
        assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
        page.reload()
        assert page.locator("body").get_attribute("data-md-color-scheme") == "slate"
        page.get_by_role("button", name="Cambiar a modo claro").focus()
        page.keyboard.press("Space")
        assert page.locator("body").get_attribute("data-md-color-scheme") == "default"
    assert not problems


@pytest.mark.navegador
def test_skip_link_is_first_and_leads_to_the_content(browser: Browser, server: str) -> None:
    with opened(browser, server) as (page, problems):
        page.goto(server + "api/data/")
        page.keyboard.press("Tab")
        assert page.locator(":focus").inner_text().strip() == "Saltar al contenido"
        page.keyboard.press("Enter")
        assert page.url.endswith("#cnnhistory.data")
        assert page.locator("html").get_attribute("lang") == "es"
    assert not problems


@pytest.mark.navegador
def test_site_works_from_disk(browser: Browser, site: Path) -> None:
    base = f"{site.as_uri()}/"
    with opened(browser, base) as (page, problems):
        page.goto(base + "index.html")
        font = page.evaluate("getComputedStyle(document.querySelector('h1')).fontFamily")
        assert font.startswith('"Source Serif 4"')
        page.locator("article a", has_text="la referencia").click()
        assert page.url == base + "api/index.html"
        page.locator("article a", has_text="cnnhistory.data").click()
        assert page.url == base + "api/data/index.html"
        page.locator(".md-footer__link--next").click()
        assert page.url.endswith("index.html")
    assert not problems
