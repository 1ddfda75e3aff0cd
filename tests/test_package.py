"""El paquete como conjunto: lo que promete en público existe, se explica y no arrastra nada."""

import ast
import importlib
import inspect
import pkgutil
import re
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points, version
from pathlib import Path

import pytest

import cnnhistory

ROOT = Path(cnnhistory.__file__).parent
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages([str(ROOT)], "cnnhistory.")
    if not module.name.startswith("cnnhistory._")
)
PYPROJECT = ROOT.parent / "pyproject.toml"


def test_the_version_is_written_once():
    assert re.fullmatch(r"\d+\.\d+\.\d+", cnnhistory.__version__)
    assert version("cnnhistory") == cnnhistory.__version__
    if PYPROJECT.exists():
        project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
        assert project.get("version", cnnhistory.__version__) == cnnhistory.__version__


def test_the_console_command_is_the_main_of_the_cli():
    (command,) = entry_points(group="console_scripts", name="cnnhistory")
    assert command.value == "cnnhistory.cli:main"


@pytest.mark.parametrize("name", MODULES)
def test_every_public_name_exists_and_is_documented(name):
    module = importlib.import_module(name)
    assert module.__doc__
    public = getattr(module, "__all__", None)
    if public is None:
        public = [n for n, v in vars(module).items() if getattr(v, "__module__", "") == name]
        public = [n for n in public if not n.startswith("_")]
    for item in public:
        value = getattr(module, item)
        if inspect.isclass(value) or inspect.isfunction(value):
            assert value.__doc__, f"{name}.{item}"
            assert value.__module__ == name, f"{item} no es de {name}"
            assert item != name.rsplit(".", 1)[-1]  # ninguna función lleva el nombre de su módulo


@pytest.mark.parametrize("path", sorted(ROOT.rglob("*.py")), ids=lambda p: p.stem)
def test_the_library_knows_nothing_of_the_site(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "los imports son absolutos"
            names = [node.module or ""]
        roots = {name.split(".")[0] for name in names}
        assert not roots & {"mkdocs", "jupytext", "nbclient", "docs", "tests", "IPython"}


def test_networks_do_not_depend_on_the_rest_of_the_package():
    for path in (ROOT / "models").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            module = getattr(node, "module", None) or ""
            if module.startswith("cnnhistory"):
                # El catálogo pide los pesos oficiales solo a quien los quiere, dentro de `create`.
                download = (path.name, module) == ("__init__.py", "cnnhistory.weights")
                assert download or module.startswith("cnnhistory.models"), path.name


def test_importing_is_silent_and_needs_no_screen():
    code = "import cnnhistory.data, cnnhistory.models, cnnhistory.plotting, cnnhistory.cli"
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_embedded_data_travels_with_the_package():
    files = {path.name for path in (ROOT / "_data/fashion-mnist-mini").iterdir()}
    assert {"LICENSE", "manifest.json", "train-images-idx3-ubyte.gz"} <= files
    total = sum(path.stat().st_size for path in (ROOT / "_data/fashion-mnist-mini").iterdir())
    assert total < 6_000_000
    assert {"chelsea.jpg", "chelsea.json"} <= {path.name for path in (ROOT / "_data").iterdir()}
