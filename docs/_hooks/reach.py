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
        "modules": {name: code_digest(path) for name, path in modules.items()},
        "data": {p.relative_to(root).as_posix(): digest(p) for p in reached_data(modules, root)},
        "versions": versions(),
        "settings": settings,
    }
    return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]


def reached_modules(cells: Iterable[str], root: Path) -> dict[str, Path]:
    """Los módulos del paquete que unas celdas importan, y los que estos importan a su vez."""
    pending = [name for cell in cells for name in imports(ast.parse(cell), "", root)]
    found: dict[str, Path] = {}
    while pending:
        name = pending.pop()
        path = module_path(root, name)
        if path is not None and name not in found:
            found[name] = path
            package = name if path.name == "__init__.py" else name.rpartition(".")[0]
            pending += imports(parsed(path), package, root)
    return found


def imports(tree: ast.Module, package: str, root: Path) -> list[str]:
    """Los módulos del paquete que nombra un código, también dentro de sus funciones."""
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = absolute(node, package)
            for alias in node.names:
                submodule = f"{module}.{alias.name}"
                found.append(submodule if module_path(root, submodule) else module)
    return [name for name in found if name.partition(".")[0] == PACKAGE]


def reached_data(modules: dict[str, Path], root: Path) -> list[Path]:
    """Los archivos de datos del paquete que unos módulos nombran en sus cadenas.

    Si un módulo usa la carpeta de datos sin nombrar ninguna de sus entradas, cuentan todas.
    """
    folder = root / PACKAGE / DATA
    entries = {path.name: path for path in folder.iterdir()} if folder.is_dir() else {}
    wanted: set[str] = set()
    for path in modules.values():
        words = {
            word
            for node in ast.walk(parsed(path))
            if isinstance(node, ast.Constant) and isinstance(node.value, str)
            for word in node.value.split("/")
        }
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


def parsed(path: Path) -> ast.Module:
    """El árbol de un módulo sin docstrings ni comentarios."""
    return _parsed(path, *_stamp(path))


def code_digest(path: Path) -> str:
    """Huella del código de un módulo: cambia solo si cambia lo que hace."""
    return _code_digest(path, *_stamp(path))


def digest(path: Path) -> str:
    """Huella de un archivo de datos."""
    return _digest(path, *_stamp(path))


# Mientras se sirve, cada guardado pregunta por todas las claves: lo leído de un archivo se
# recuerda hasta que su fecha o su tamaño cambien.


def _stamp(path: Path) -> tuple[int, int]:
    stat = path.stat()
    return stat.st_mtime_ns, stat.st_size


@functools.lru_cache(maxsize=256)
def _parsed(path: Path, mtime: int, size: int) -> ast.Module:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            # Una cadena suelta no hace nada: es la docstring de algo. Sin ella, el cuerpo podría
            # quedar vacío, que para calcular una huella no importa.
            node.body = [item for item in body if not _is_text(item)]  # type: ignore[attr-defined]
    return tree


@functools.lru_cache(maxsize=256)
def _code_digest(path: Path, mtime: int, size: int) -> str:
    return hashlib.sha256(ast.dump(_parsed(path, mtime, size)).encode()).hexdigest()


@functools.lru_cache(maxsize=256)
def _digest(path: Path, mtime: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _is_text(node: ast.stmt) -> bool:
    return (
        isinstance(node, ast.Expr)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    )
