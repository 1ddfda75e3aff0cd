"""El sitio se construye y se sirve: un sitio diminuto, con las piezas de verdad."""

import json
import logging
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import fuente
import jupytext
import links
import markdown
import pytest
import rendering
import repository
from mkdocs.commands.build import build as mkdocs_build
from mkdocs.config import load_config
from mkdocs.exceptions import Abort, PluginError

HOOKS = Path(fuente.__file__).parent
CONFIG = f"""
site_name: Prueba
site_url: https://ejemplo.org/sub/
theme: {{name: material, language: es, font: false}}
hooks: [{HOOKS / "tutorials.py"}, {HOOKS / "links.py"}, {HOOKS / "search.py"}]
plugins:
  - search
  - mkdocs-jupyter: {{include: ["*.py"], cache: false}}
markdown_extensions: [admonition, attr_list, pymdownx.details, pymdownx.superfences]
nav: [index.md, tecnicas/uno.py]
validation: {{links: {{anchors: warn, unrecognized_links: warn}}}}
"""
INDEX = (
    "# Inicio\n\n[Uno](tecnicas/uno.py), [abajo](tecnicas/uno.py#final), [fuera](https://a.b/c/)."
)
PAGE = """\
# %% [markdown]
# # Uno
#
# Prosa. [Inicio](../index.md)

# %%
shown = 6 * 7
shown

# %% alt="una recta"
import matplotlib.pyplot as plt

fig, ax = plt.subplots()
ax.plot([1, 2]);

# %% tags=["tiempos"]
import time

print(time.perf_counter())

# %% [markdown]
# ## Final
"""
SHOWN = re.compile(r'class="salida no-copy highlight">.*?<code>42\n', re.DOTALL)
MODULE = "def seven():\n    return 7\n"


def write(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def new_site(folder, page=PAGE):
    write(folder / "mkdocs.yml", CONFIG)
    write(folder / "docs/index.md", INDEX)
    write(folder / "docs/tecnicas/uno.py", page)
    return folder


def build(folder, *, strict=True):
    """Construye en este proceso y devuelve el HTML del tutorial."""
    config = load_config(str(folder / "mkdocs.yml"), strict=strict)
    config.plugins.on_startup(command="build", dirty=False)
    try:
        mkdocs_build(config)
    finally:
        config.plugins.on_shutdown()
    return (folder / "site/tecnicas/uno/index.html").read_text(encoding="utf-8")


def executed(caplog):
    return [r.getMessage() for r in caplog.records if r.getMessage().startswith("Se ejecuta")]


def edit(path, old, new):
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


@pytest.fixture(autouse=True)
def same_conditions(monkeypatch, caplog):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1500000000")
    monkeypatch.delenv("GITHUB_REPOSITORY", raising=False)
    caplog.set_level(logging.INFO, "mkdocs")


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """Un sitio ya construido, para copiar: ejecutar una vez alcanza para casi todo."""
    folder = new_site(tmp_path_factory.mktemp("sitio"))
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("GITHUB_REPOSITORY", raising=False)
        build(folder)
    return folder


@pytest.fixture
def site(built, tmp_path):
    return shutil.copytree(built, tmp_path / "sitio")


def test_a_tutorial_is_a_page_like_any_other(built):
    html = (built / "site/tecnicas/uno/index.html").read_text(encoding="utf-8")
    assert SHOWN.search(html)
    assert 'role="img" aria-label="una recta"' in html
    assert 'class="procedencia"' in html
    assert '<h2 id="final">' in html
    assert "jp-" not in html  # nada del dibujo de nbconvert


def test_what_is_downloaded_is_what_was_executed(built):
    folder = built / "site/tecnicas/uno"
    script = (folder / "uno.py").read_text(encoding="utf-8")
    assert script == PAGE
    notebook = json.loads((folder / "uno.ipynb").read_text(encoding="utf-8"))
    expected = jupytext.reads(script, fmt="py:percent")
    assert [cell["source"] for cell in notebook["cells"]] == [c.source for c in expected.cells]
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    stored = json.loads((built / ".cache/tutoriales/tecnicas/uno.json").read_text("utf-8"))
    assert [cell["source"] for cell in stored["cells"]] == [cell["source"] for cell in code]


def test_every_internal_link_is_a_file_that_exists(built):
    found = []
    for page in (built / "site").rglob("*.html"):
        for url in re.findall(r'<a\b[^>]*\bhref="([^"#]+)', page.read_text(encoding="utf-8")):
            if not re.match(r"https?:|mailto:", url):
                base = built / "site" if url.startswith("/sub/") else page.parent
                target = base / url.removeprefix("/sub/")
                assert target.is_file(), f"{page}: {url}"
                found.append(url)
    assert {"../../index.html", "tecnicas/uno/index.html", "/sub/index.html", "uno.ipynb"} <= set(
        found
    )


def test_prose_and_descriptions_do_not_execute_again(site, caplog):
    page = site / "docs/tecnicas/uno.py"
    edit(page, "Prosa.", "Otra prosa.")
    edit(page, 'alt="una recta"', 'alt="la recta" caption="Pie."')
    html = build(site)
    assert executed(caplog) == []
    assert "Otra prosa." in html
    assert 'aria-label="la recta"' in html
    assert "Pie." in html
    assert SHOWN.search(html)


def test_code_and_the_package_it_reaches_do(site, tmp_path, monkeypatch, caplog):
    write(tmp_path / "cnnhistory/seven.py", MODULE)
    hook = sys.modules[str(HOOKS / "tutorials.py")]
    monkeypatch.setattr(hook, "package_root", lambda: tmp_path)
    shown = '# %% tags=["fuente"]\nfrom cnnhistory.seven import seven\n\n# %%\n6 * seven()\n'
    write(site / "docs/tecnicas/uno.py", f"# %% [markdown]\n# # Uno\n# ## Final\n\n{shown}")

    assert SHOWN.search(build(site))
    assert len(executed(caplog)) == 1
    assert MODULE in (site / "site/tecnicas/uno/uno.py").read_text(encoding="utf-8")
    build(site)
    assert len(executed(caplog)) == 1
    write(tmp_path / "cnnhistory/seven.py", MODULE.replace("7", "8"))
    assert not SHOWN.search(build(site))
    assert len(executed(caplog)) == 2


def test_a_failing_cell_stops_the_build_and_is_not_kept(site, caplog):
    page = site / "docs/tecnicas/uno.py"
    stored = site / ".cache/tutoriales/tecnicas/uno.json"
    before = stored.read_text(encoding="utf-8")
    edit(page, "6 * 7", "6 / 0")
    with pytest.raises(Abort) as error:
        build(site, strict=False)
    assert error.value.code == 1
    assert "tecnicas/uno.py, celda 2 («shown = 6 / 0»): ZeroDivisionError" in caplog.text
    assert stored.read_text(encoding="utf-8") == before


def test_a_figure_without_text_only_passes_without_strict(site, caplog):
    edit(site / "docs/tecnicas/uno.py", ' alt="una recta"', "")
    build(site, strict=False)
    assert "tecnicas/uno.py, celda 3: falta describir la figura 1" in caplog.text
    with pytest.raises(Abort):
        build(site)


def test_a_broken_link_in_a_tutorial_fails_the_strict_build(site):
    edit(site / "docs/tecnicas/uno.py", "../index.md", "../index.md#nada")
    with pytest.raises(Abort):
        build(site)


def test_a_fuente_cell_that_cannot_be_shown_stops_the_build(site, caplog):
    edit(site / "docs/tecnicas/uno.py", "# %%\nshown", '# %% tags=["fuente"]\nshown')
    with pytest.raises(Abort):
        build(site, strict=False)
    assert "tecnicas/uno.py, celda 2: una celda «fuente» solo lleva" in caplog.text


def test_with_a_repository_the_downloads_say_how_to_install(site, monkeypatch, caplog):
    monkeypatch.setenv("GITHUB_REPOSITORY", "alguien/redes")
    build(site)
    assert executed(caplog) == []
    folder = site / "site/tecnicas/uno"
    cells = json.loads((folder / "uno.ipynb").read_text(encoding="utf-8"))["cells"]
    wanted = '"cnnhistory @ git+https://github.com/alguien/redes"'
    assert cells[0]["source"] == f"%pip install -q {wanted}"
    assert cells[0]["metadata"]["tags"] == ["instalar"]
    script = (folder / "uno.py").read_text(encoding="utf-8")
    comment, _, rest = script.partition("\n\n")
    assert comment == f"# Antes: pip install {wanted}"
    assert rest == PAGE
    colab = (
        "https://colab.research.google.com/github/alguien/redes/blob/cuadernos/tecnicas/uno.ipynb"
    )
    assert f'href="{colab}"' in (folder / "index.html").read_text(encoding="utf-8")


def test_the_repository_comes_from_the_environment_or_does_not_appear(monkeypatch):
    def configured():
        return repository.on_config(load_config(str(HOOKS.parents[1] / "mkdocs.yml")))

    plain = configured()
    assert not plain.repo_url
    assert not plain.edit_uri
    assert not plain.site_url
    assert "content.action.edit" not in plain.theme["features"]
    monkeypatch.setenv("GITHUB_REPOSITORY", "alguien/redes")
    known = configured()
    assert known.repo_url == "https://github.com/alguien/redes"
    assert known.edit_uri == "edit/main/docs/"
    assert known.site_url == "https://alguien.github.io/redes/"
    assert "content.action.edit" in known.theme["features"]
    monkeypatch.setenv("GITHUB_REPOSITORY", "redes")
    with pytest.raises(PluginError, match="debe ser «dueño/nombre»; llegó «redes»"):
        configured()


def test_pages_that_are_gone_leave_the_cache(site):
    orphan = site / ".cache/tutoriales/historia/otra.json"
    write(orphan, "{}")
    build(site)
    assert not orphan.exists()
    assert (site / ".cache/tutoriales/tecnicas/uno.json").exists()


def test_a_rebuild_while_serving_converts_only_what_changed(site, monkeypatch, caplog):
    edit(site / "mkdocs.yml", "search.py]", f"search.py, {HOOKS / 'rebuild.py'}]")
    converted = []
    convert = markdown.Markdown.convert
    monkeypatch.setattr(
        markdown.Markdown, "convert", lambda md, text: converted.append(text) or convert(md, text)
    )

    def rebuild():
        converted.clear()
        config = load_config(str(site / "mkdocs.yml"), site_dir=str(site / "site"))
        config.plugins.on_startup(command="serve", dirty=False)
        mkdocs_build(config, serve_url="http://x/")
        pages = [site / "site" / name for name in ("index.html", "tecnicas/uno/index.html")]
        return [page.read_text(encoding="utf-8") for page in pages]

    first = rebuild()
    assert len(converted) == 2
    assert rebuild() == first
    assert converted == []
    edit(site / "docs/tecnicas/uno.py", "Prosa.", "Otra prosa.")
    assert "Otra prosa." in rebuild()[1]
    assert len(converted) == 1
    # El ancla a la que enlaza la portada ya no está: la portada no cambió y aun así se avisa.
    caplog.clear()
    edit(site / "docs/tecnicas/uno.py", "## Final", "## Fin")
    rebuild()
    assert len(converted) == 1
    assert "tecnicas/uno.py#final" in caplog.text
    write(site / "docs/nueva.md", "# Nueva")  # otro archivo al que enlazar: todo de nuevo
    rebuild()
    assert len(converted) == 3


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("..", "../index.html"),
        (".", "index.html"),
        ("./", "index.html"),
        ("../lenet-5/", "../lenet-5/index.html"),
        ("../lenet-5/#final", "../lenet-5/index.html#final"),
        ("./?q=x", "index.html?q=x"),
        ("/sub/", "/sub/index.html"),
        ("/sub/.", "/sub/index.html"),
        ("#final", "#final"),
        ("", ""),
        ("uno.py", "uno.py"),
        ("../assets/a.css", "../assets/a.css"),
        ("https://a.b/c/", "https://a.b/c/"),
        ("mailto:a@b.c", "mailto:a@b.c"),
    ],
)
def test_links_to_folders_become_links_to_files(url, expected):
    assert links.to_file(url) == expected


def mkdocs(folder, *arguments, **options):
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    del environment["SOURCE_DATE_EPOCH"]
    command = [sys.executable, "-m", "mkdocs", *arguments]
    return subprocess.Popen(command, cwd=folder, env=environment, **options)


def steady(path):
    content = path.read_bytes()
    return rendering.VARIES.sub("", content.decode()) if path.suffix == ".html" else content


def test_two_cold_builds_of_a_commit_give_the_same_bytes(tmp_path):
    one = new_site(tmp_path / "uno")
    write(one / ".gitignore", "site/\n.cache/\n")
    identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
    for command in (["init", "-q"], ["add", "."], [*identity, "commit", "-qm", "x"]):
        subprocess.run(["git", *command], cwd=one, check=True)
    two = shutil.copytree(one, tmp_path / "dos")
    first = mkdocs(one, "build", "--strict", "-q")
    time.sleep(1.1)  # las fechas de los .gz van en segundos
    second = mkdocs(two, "build", "--strict", "-q")
    assert first.wait(60) == 0
    assert second.wait(60) == 0

    def tree(folder):
        files = sorted(path for path in (folder / "site").rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): steady(path) for path in files}

    trees = tree(one), tree(two)
    assert list(trees[0]) == list(trees[1])
    assert [name for name in trees[0] if trees[0][name] != trees[1][name]] == []
    assert "una recta" in trees[0]["site/tecnicas/uno/index.html"]


def wait_for(condition, what, seconds=30):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if result := condition():
            return result
        time.sleep(0.1)
    raise AssertionError(f"no llegó a tiempo: {what}")


QUICK = """\
# %% [markdown]
# # Uno
#
# Prosa.
#
# ## Final

# %%
import os, time

print("lo de siempre")

# %%
6 * 7
"""


@pytest.mark.skipif(os.name == "nt", reason="la señal de Ctrl-C es otra en Windows")
def test_serving_never_waits_and_stops_clean(tmp_path):
    folder = new_site(tmp_path, QUICK)
    page = folder / "docs/tecnicas/uno.py"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def html():
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/sub/tecnicas/uno/") as answer:
                return answer.read().decode()
        except OSError:
            return ""

    with open(tmp_path / "log", "w") as log:
        server = mkdocs(
            folder,
            *("serve", "-a", f"127.0.0.1:{port}"),
            stdout=log,
            stderr=log,
            # Lo que una consola lanza en segundo plano hereda Ctrl-C ignorado.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
    try:
        first = wait_for(html, "la primera página")
        assert "Aún no tiene salidas." in first
        ready = wait_for(lambda: SHOWN.search(html()) and html(), "las salidas")
        assert "se está ejecutando" not in ready

        stored = folder / ".cache/tutoriales/tecnicas/uno.json"
        before = stored.stat().st_mtime_ns
        edit(page, "Prosa.", "Otra prosa.")
        edited = wait_for(lambda: "Otra prosa." in html() and html(), "la prosa")
        assert SHOWN.search(edited)
        assert "se está ejecutando" not in edited

        edit(page, "6 * 7", "6 / 0")
        failed = wait_for(lambda: "La ejecución falló" in html() and html(), "el fallo")
        assert "ZeroDivisionError" in failed
        assert "lo de siempre</code>" in failed.replace(
            "\n", ""
        )  # lo que no cambió se sigue viendo
        assert stored.stat().st_mtime_ns == before

        pid = tmp_path / "pid"
        sleeping = f"open({str(pid)!r}, 'w').write(str(os.getpid())), time.sleep(60)"
        edit(page, "6 / 0", sleeping)
        kernel = int(wait_for(lambda: pid.exists() and pid.read_text(), "el kernel"))
        assert "Las salidas que ves son de antes." in html()
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0  # con la máquina ocupada también
        with pytest.raises(ProcessLookupError):
            os.kill(kernel, 0)
    finally:
        server.kill()
        server.wait()
