"""La clave de la caché, la caché y la ejecución de cuadernos."""

import os
import time

import cache
import execution
import jupytext
import pytest
import reach

MODULES = {
    "__init__.py": "VERSION = 1\n",
    "data.py": '"""Lee `ledger.csv`."""\nMINI = "_data/mini"\n',
    "ledger.py": 'PATH = ("_data", "ledger.csv")\n',
    "anything.py": 'def read(name):\n    return f"_data/{name}"\n',
    "training.py": (
        '"""Entrena."""\nfrom . import layers\n\n\ndef train():\n    "Una época."\n    return 1\n'
    ),
    "layers.py": "def late():\n    from cnnhistory.plotting import draw\n    return draw\n",
    "plotting.py": "def draw(): ...\n",
    "models/__init__.py": "from cnnhistory.models import vgg\n",
    "models/vgg.py": "class VGG: ...\n",
    "models/resnet.py": "from cnnhistory.models.vgg import VGG\n",
    "_data/mini/images.gz": "imágenes",
    "_data/ledger.csv": "2012",
}


@pytest.fixture
def root(tmp_path):
    for name, text in MODULES.items():
        path = tmp_path / "cnnhistory" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path


def edit(root, name, text):
    path = root / "cnnhistory" / name
    path.write_text(text, encoding="utf-8")
    os.utime(path, ns=(time.time_ns(), time.time_ns()))


@pytest.mark.parametrize(
    ("code", "modules"),
    [
        ("import torch", set()),
        ("from cnnhistory import training", {"training", "layers", "plotting"}),
        ("import cnnhistory.training as t", {"training", "layers", "plotting"}),
        ("from cnnhistory.training import train", {"training", "layers", "plotting"}),
        ("def f():\n    from cnnhistory.plotting import draw", {"plotting"}),
        ("from cnnhistory.models.resnet import VGG", {"models.resnet", "models.vgg"}),
        ("from cnnhistory import models", {"models", "models.vgg"}),
        ("from cnnhistory import VERSION", {""}),
        ("import cnnhistory_extra", set()),
    ],
)
def test_a_page_reaches_what_it_imports_and_what_that_imports(root, code, modules):
    names = {f"cnnhistory.{name}".rstrip(".") for name in modules}
    assert set(reach.reached_modules([code], root)) == names


CELLS = ["from cnnhistory import training, data", "training.train()"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("training.py", MODULES["training.py"].replace("return 1", "return 2")),
        ("layers.py", MODULES["layers.py"] + "x = 1\n"),  # lo importa training
        ("plotting.py", "def draw(): return 1\n"),  # lo importa una función de layers
        ("_data/mini/images.gz", "otras"),
    ],
)
def test_editing_what_a_page_reaches_changes_its_key(root, name, text):
    before = reach.key(CELLS, root, "modo")
    edit(root, name, text)
    assert reach.key(CELLS, root, "modo") != before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("models/vgg.py", "class VGG: x = 1\n"),
        ("_data/ledger.csv", "2013"),  # solo lo nombra una docstring
        (
            "training.py",
            '"""Otra prosa."""\n# nota\nfrom . import layers\n\ndef train():\n    return 1\n',
        ),
    ],
)
def test_editing_anything_else_does_not(root, name, text):
    before = reach.key(CELLS, root, "modo")
    edit(root, name, text)
    assert reach.key(CELLS, root, "modo") == before


def test_code_settings_and_versions_change_the_key(root, monkeypatch):
    before = reach.key(CELLS, root, "modo")
    assert reach.key([*CELLS, "2"], root, "modo") != before
    assert reach.key(CELLS, root, "otro") != before
    installed = reach.versions()
    for name in ("Python", "torch", "ipykernel"):
        monkeypatch.setattr(reach, "versions", lambda name=name: {**installed, name: "0"})
        assert reach.key(CELLS, root, "modo") != before


@pytest.mark.parametrize(
    ("module", "files"),
    [
        ("data", ["mini/images.gz"]),
        ("ledger", ["ledger.csv"]),
        ("anything", ["ledger.csv", "mini/images.gz"]),  # no se sabe cuál: todos
        ("training", []),
    ],
)
def test_the_data_of_a_page_is_what_its_modules_name(root, module, files):
    modules = reach.reached_modules([f"import cnnhistory.{module}"], root)
    expected = [root / "cnnhistory/_data" / name for name in files]
    assert reach.reached_data(modules, root) == expected


def test_versions_are_those_of_python_the_dependencies_and_the_kernel():
    assert {"Python", "torch", "numpy", "ipykernel", "matplotlib-inline"} <= set(reach.versions())
    assert "mkdocs" not in reach.versions()


ENTRY = cache.Entry("clave", [{"source": "1", "outputs": [{"type": "x"}]}], {"seconds": 1})


def test_an_entry_comes_back_as_it_was_written(tmp_path):
    assert cache.read(tmp_path, "a/b.py") is None
    cache.write(tmp_path, "a/b.py", ENTRY)
    assert cache.read(tmp_path, "a/b.py") == ENTRY
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_write_that_fails_leaves_what_there_was(tmp_path):
    cache.write(tmp_path, "b.py", ENTRY)
    with pytest.raises(TypeError):
        cache.write(tmp_path, "b.py", cache.Entry("otra", [], {"seconds": object()}))
    assert cache.read(tmp_path, "b.py") == ENTRY
    assert [path.name for path in tmp_path.iterdir()] == ["b.json"]


@pytest.mark.parametrize("text", ["", '{"key": "a"', "[]", '{"key": "a"}'])
def test_an_unreadable_entry_is_no_entry(tmp_path, text):
    (tmp_path / "b.json").write_text(text)
    assert cache.read(tmp_path, "b.py") is None


def test_outputs_follow_their_code_when_cells_move():
    cells = [{"source": source, "outputs": [n]} for n, source in enumerate(["a", "b", "a"])]
    entry = cache.Entry("", cells, {})
    assert entry.outputs_for(["b", "a", "nueva", "a", "a"]) == [[1], [0], None, [2], None]


def test_entries_of_pages_that_are_gone_are_deleted(tmp_path):
    cache.write(tmp_path, "a/b.py", ENTRY)
    cache.write(tmp_path, "c.py", ENTRY)
    cache.prune(tmp_path, ["c.py"])
    assert cache.read(tmp_path, "a/b.py") is None
    assert cache.read(tmp_path, "c.py") == ENTRY


def notebook(*cells):
    return jupytext.reads("\n".join(f"# %%\n{cell}\n" for cell in cells), fmt="py:percent")


def run(*cells, limit=30):
    runner = execution.Runner()
    try:
        return runner.submit(notebook(*cells), "p.py", "clave", limit).result(timeout=60)
    finally:
        runner.close()


FIGURE = "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);"
CONDITIONS = """import os, sys
print(os.listdir("."), hash("a"), os.environ["OMP_NUM_THREADS"], "startup" in globals())
sys.executable"""


def test_kernels_run_apart_in_the_same_conditions(tmp_path, monkeypatch):
    # Una configuración personal que rompería los tutoriales si se leyera.
    startup = tmp_path / "profile_default" / "startup"
    startup.mkdir(parents=True)
    (startup / "00.py").write_text("startup = 1")
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONHASHSEED", "5")
    own = "x = {}\nimport time; time.sleep(0.3)\nopen('x', 'w').close()"
    runner = execution.Runner(parallel=2)
    jobs = [notebook(CONDITIONS, own.format(n), "x", FIGURE) for n in range(2)]
    entries = [runner.submit(job, "p.py", "clave") for job in jobs]
    entries = [entry.result(timeout=60) for entry in entries]
    runner.close()

    outputs = [[cell["outputs"] for cell in entry.cells] for entry in entries]
    assert [output[2] for output in outputs] == [
        [{"type": "data", "data": {"text/plain": str(n)}}] for n in range(2)
    ]
    assert outputs[0][0] == outputs[1][0]
    printed, python = outputs[0][0]
    assert printed["text"].startswith("[] ")
    assert printed["text"].endswith(" 1 False\n")
    assert python["data"]["text/plain"] == repr(execution.sys.executable)
    assert outputs[0][3] == outputs[1][3]  # el mismo SVG, byte por byte
    svg = outputs[0][3][0]["data"]["image/svg+xml"]
    assert "<text" in svg
    assert "dc:date" not in svg
    assert entries[0].provenance["versions"] == reach.versions()
    assert entries[0].provenance["seconds"] > 0


def test_a_failing_cell_says_file_cell_and_traceback():
    with pytest.raises(execution.ExecutionError) as error:
        run("y = 1", "# primero esto\nraise RuntimeError('así no')")
    message = str(error.value)
    assert message.startswith("p.py, celda 2 («# primero esto»): RuntimeError: así no\n")
    assert "----> 2 raise RuntimeError" in message
    assert "\x1b" not in message


def test_a_slow_cell_is_stopped_and_named():
    with pytest.raises(execution.ExecutionError, match=r"celda 1 \(«import time»\): tardó más"):
        run("import time\ntime.sleep(60)", limit=1)


def test_a_kernel_that_dies_is_reported():
    with pytest.raises(execution.ExecutionError, match=r"celda 1 .*el kernel murió"):
        run("import os\nos._exit(1)")


def test_closing_stops_what_runs(tmp_path):
    pid = tmp_path / "pid"
    code = f"import os, time\nopen({str(pid)!r}, 'w').write(str(os.getpid()))\ntime.sleep(60)"
    runner = execution.Runner()
    future = runner.submit(notebook(code), "p.py", "clave")
    deadline = time.monotonic() + 20
    while not (pid.exists() and pid.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    runner.close()
    assert future.cancelled()
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_outputs_do_not_keep_what_changes_from_run_to_run():
    warning = "/tmp/ipykernel_4321/998877.py:3: UserWarning: \x1b[31mojo\x1b[0m"
    assert execution.normalize(warning) == "<celda>:3: UserWarning: ojo"
