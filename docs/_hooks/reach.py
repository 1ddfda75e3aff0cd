"""La clave de la caché: de qué dependen las salidas de un tutorial, y nada más.

Una página se vuelve a ejecutar cuando cambia algo que puede cambiar sus salidas: el código de sus
celdas, los módulos del paquete a los que llega (sin contar comentarios ni docstrings), los datos
que esos módulos nombran, las versiones de las bibliotecas y de Python, o el modo de ejecutar.
La prosa, los textos alternativos y los pies de figura quedan fuera.

El alcance se calcula leyendo los imports, sin ejecutar nada, de módulo en módulo. Importar
`cnnhistory.models.vgg` no cuenta como importar `cnnhistory.models`, que trae todas las redes: los
`__init__` solo se cuentan cuando se usan por sí mismos.
"""

import ast
import functools
import hashlib
import importlib.metadata
import json
import platform
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fuente import PACKAGE, absolute, module_path

DATA = "_data"
# Además de las dependencias del paquete: lo que da forma a las salidas.
KERNEL_DISTRIBUTIONS = ("ipykernel", "ipython", "matplotlib-inline")


def key(cells: list[str], root: Path, settings: object) -> str:
    """Resume en una clave todo de lo que dependen las salidas de unas celdas de código."""
    modules = reached_modules(cells, root)
    depends = {
        "cells": cells,
        "modules": {name: summary(path, name).digest for name, path in modules.items()},
        "data": {p.relative_to(root).as_posix(): digest(p) for p in reached_data(modules, root)},
        "versions": versions(),
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def reached_modules(cells: Iterable[str], root: Path) -> dict[str, Path]:
    """Los módulos del paquete que unas celdas importan, y los que estos importan a su vez."""
    pending = [imported for cell in cells for imported in cell_imports(cell)]
    found: dict[str, Path] = {}
    while pending:
        module, member = pending.pop()
        submodule = f"{module}.{member}"
        name = submodule if member and module_path(root, submodule) else module
        path = module_path(root, name)
        if path is not None and name not in found:
            found[name] = path
            pending += summary(path, name).imports
    return found


def imports(tree: ast.Module, package: str) -> list[tuple[str, str]]:
    """Lo que un código importa del paquete, también dentro de sus funciones.

    Son pares de módulo y nombre: `from cnnhistory import data` puede traer un módulo o un objeto.
    """
    found: list[tuple[str, str]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [(absolute(node, package), alias.name) for alias in node.names]
    return [pair for pair in found if pair[0].partition(".")[0] == PACKAGE]


def reached_data(modules: dict[str, Path], root: Path) -> list[Path]:
    """Los archivos de datos del paquete que unos módulos nombran en sus cadenas.

    Si un módulo usa la carpeta de datos sin nombrar ninguna de sus entradas, cuentan todas.
    """
    folder = root / PACKAGE / DATA
    entries = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    wanted: set[str] = set()
    for name, path in modules.items():
        words = summary(path, name).words
        named = words & entries.keys()
        wanted |= named or (entries.keys() if DATA in words else set())
    files = {
        file
        for name in wanted
        for file in ([entries[name]] if entries[name].is_file() else entries[name].rglob("*"))
        if file.is_file() and "__pycache__" not in file.parts
    }
    return sorted(files)


@functools.cache
def versions() -> dict[str, str]:
    """Versiones de Python, de las dependencias del paquete y del kernel."""
    requirements = importlib.metadata.requires(PACKAGE) or []
    names = [re.split(r"[^\w.-]", each)[0] for each in requirements if "extra ==" not in each]
    found = {"Python": platform.python_version()}
    for name in [*names, *KERNEL_DISTRIBUTIONS]:
        found[name] = importlib.metadata.version(name)
    return found


@dataclass(frozen=True)
class Summary:
    """Lo que importa de un módulo: la huella de su código, qué importa y qué cadenas tiene."""

    digest: str
    imports: list[tuple[str, str]]
    words: frozenset[str]  # sus cadenas, partidas como rutas


# Mientras se sirve, cada guardado pregunta por todas las claves: lo leído de un archivo se
# recuerda hasta que su fecha o su tamaño cambien.


def summary(path: Path, name: str) -> Summary:
    """Lee un módulo del paquete, sin docstrings ni comentarios."""
    return _summary(path, name, *_stamp(path))


def digest(path: Path) -> str:
    """Huella de un archivo de datos."""
    return _digest(path, *_stamp(path))


@functools.lru_cache(maxsize=4096)
def cell_imports(cell: str) -> list[tuple[str, str]]:
    """Lo que una celda importa del paquete."""
    return imports(ast.parse(cell), "")


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.lru_cache(maxsize=256)
def _summary(path: Path, name: str, mtime: int, size: int) -> Summary:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Una cadena suelta no hace nada: es la docstring de algo. Sin ella, el cuerpo podría
            # quedar vacío, que para calcular una huella no importa.
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)]
    return Summary(
        hashlib.sha256(ast.dump(tree).encode()).hexdigest(),
        imports(tree, name if path.name == "__init__.py" else name.rpartition(".")[0]),
        frozenset(word for text in texts if isinstance(text, str) for word in text.split("/")),
    )


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
