"""Los tutoriales, como los vive quien los copia."""

import ast
import os
import re
import shutil
import site
import subprocess
import sys
import tomllib
import venv
from pathlib import Path

import fuente
import pytest

ROOT = Path(__file__).parents[1]
TUTORIALS = [
    path
    for path in sorted((ROOT / "docs").rglob("*.py"))
    if not path.relative_to(ROOT / "docs").parts[0].startswith("_")
]
QUICKEST = ROOT / "docs/tecnicas/bucle-de-entrenamiento.py"


@pytest.fixture(scope="module")
def clean_python(tmp_path_factory) -> Path:
    """Un entorno nuevo con el paquete instalado desde su wheel y, de este, solo lo que necesita."""
    folder = tmp_path_factory.mktemp("limpio")
    source = folder / "fuente"  # una copia: empaquetar deja restos que ensuciarían el siguiente
    shutil.copytree(ROOT / "cnnhistory", source / "cnnhistory")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", folder, source]
    done = subprocess.run(build, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    venv.create(folder / "venv", with_pip=False, symlinks=True)
    python = folder / "venv/bin/python"
    ask = [python, "-c", "import site; print(site.getsitepackages()[0])"]
    packages = Path(subprocess.run(ask, capture_output=True, text=True).stdout.strip())
    # torch pesa gigabytes: se toma prestado de este entorno, donde el paquete está en modo editable
    # y por eso no se hereda (los .pth de una carpeta prestada no se leen).
    (packages / "prestado.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    (wheel,) = folder.glob("*.whl")
    install = [sys.executable, "-m", "pip", "install", "--no-deps", "--target", packages, wheel]
    done = subprocess.run(install, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return python


def test_the_wheel_runs_the_quickest_tutorial_from_an_empty_folder(clean_python, tmp_path):
    script = fuente.expand(QUICKEST.read_text("utf-8"), QUICKEST.name, ROOT)
    path = tmp_path / QUICKEST.name
    path.write_text(
        script + "\nimport cnnhistory\nprint('paquete:', cnnhistory.__file__)\n", encoding="utf-8"
    )
    environment = {**os.environ, "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "TQDM_DISABLE": "1"}
    done = subprocess.run(
        [clean_python, path], cwd=tmp_path, env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    used = re.search(r"^paquete: (.+)$", done.stdout, re.MULTILINE)
    assert used
    assert Path(used[1]).is_relative_to(clean_python.parents[1])
    assert [item.name for item in tmp_path.iterdir()] == [QUICKEST.name]


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_asks_only_for_the_package_or_says_what_else(path):
    """Con `pip install .` corre; lo que no venga con el paquete, la página dice cómo instalarlo."""
    text = path.read_text("utf-8")
    imported = {
        name.split(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    names = {"PIL": "pillow", "cv2": "opencv-python-headless", "sklearn": "scikit-learn"}
    names |= {"skimage": "scikit-image"}
    wanted = {names.get(name, name) for name in imported - sys.stdlib_module_names}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    given = {re.match(r"[\w-]+", line)[0] for line in project["dependencies"]}
    # scipy viene con scikit-learn, y a_mano.py lo escribe la propia página.
    missing = wanted - given - {"cnnhistory", "scipy", "a_mano"}
    told = re.sub(r"^# ", "", text, flags=re.MULTILINE)
    assert all(f"`pip install {name}`" in told for name in missing), missing


@pytest.mark.parametrize("path", TUTORIALS, ids=lambda path: path.stem)
def test_a_tutorial_in_git_is_a_plain_script(path):
    """Se puede leer, formatear y ejecutar sin construir el sitio; su título es lo primero."""
    text = path.read_text("utf-8")
    compile(text, str(path), "exec")
    assert text.startswith("# %% [markdown]\n# # ")
    expanded = fuente.expand(text, path.name, ROOT)
    compile(expanded, str(path), "exec")
    assert ('tags=["fuente"]' in text) == (expanded != text)
