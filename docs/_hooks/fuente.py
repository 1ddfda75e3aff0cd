"""Celdas `fuente`: el código del paquete entra en la página, cortado del archivo que lo define.

En git, una celda `fuente` solo importa, y el tutorial sigue siendo un script que se ejecuta:

    # %% tags=["fuente"]
    from cnnhistory.models.vgg import VGG, vgg_block

Al construir, ese import se cambia por el texto exacto de `vgg_block` y `VGG`, precedido de los
imports que usan. Quien lee ve, copia y ejecuta el mismo código del paquete: hay una sola fuente.
Todo aquí es texto que entra y texto que sale; nada importa el paquete ni escribe en disco.
"""

import ast
import builtins
import itertools
import re
import symtable
import sys
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = "cnnhistory"
CELL = re.compile(r"^# %%.*$", re.MULTILINE)
TAGGED = re.compile(r"\btags=\[[^\]]*[\"']fuente[\"']")
# Nombres que existen en todo módulo sin que nadie los defina.
ALWAYS_DEFINED = frozenset(dir(builtins)) | {"__name__", "__file__", "__doc__"}


class FuenteError(ValueError):
    """Una celda `fuente` que no se puede expandir; el mensaje dice dónde y qué hacer."""


@dataclass(frozen=True)
class Module:
    """Un módulo del paquete, visto desde fuera: qué texto define cada nombre y qué importa."""

    name: str
    definitions: dict[str, tuple[int, str]]  # nombre → (primera línea, texto exacto)
    imports: dict[str, str]  # nombre → el import que lo trae, en forma absoluta


@dataclass
class Notebook:
    """Los nombres que la página ya tiene antes de una celda, y de dónde salió cada uno."""

    names: dict[str, str] = field(default_factory=dict)  # nombre → su import, o "" si es propio

    def run(self, code: str) -> None:
        """Anota lo que una celda corriente define o importa."""
        tree = ast.parse(code)
        top = symtable.symtable(code, "celda", "exec")
        self.names |= {s.get_name(): "" for s in top.get_symbols() if s.is_assigned()}
        self.names |= {name: text for node in tree.body for name, text in imported(node)}


def expand(script: str, page: str, root: Path) -> str:
    """Devuelve el script con cada celda `fuente` cambiada por las definiciones que importa.

    Args:
        script: el tutorial, en formato percent.
        page: su nombre, para los mensajes de error.
        root: la carpeta que contiene al paquete.

    Raises:
        FuenteError: si una celda pide algo que no se puede mostrar o que quedaría incompleto.
    """
    if not TAGGED.search(script):
        return script
    notebook = Notebook()
    starts = [match.start() for match in CELL.finditer(script)] + [len(script)]
    pieces = [script[: starts[0]]]
    for number, (start, end) in enumerate(itertools.pairwise(starts), start=1):
        header, _, body = script[start:end].partition("\n")
        where = f"{page}, celda {number}"
        if TAGGED.search(header):
            text = source_of_cell(body, where, notebook, root)
            pieces.append(f"{header}\n{text}{trailing_blank(body)}")
            continue
        pieces.append(script[start:end])
        if "[markdown]" not in header and "[raw]" not in header:
            try:
                notebook.run(body)
            except SyntaxError as error:
                raise FuenteError(f"{where}: no es Python válido: {error}") from error
    return "".join(pieces)


def source_of_cell(body: str, where: str, notebook: Notebook, root: Path) -> str:
    """El texto que reemplaza a una celda `fuente`: imports necesarios y definiciones."""
    blocks: list[tuple[Module, list[str]]] = []
    for module_name, names in requested(body, where).items():
        module = read_module(root, module_name, where)
        for name in names:
            if name not in module.definitions:
                raise FuenteError(f"{where}: {module_name} no define «{name}» en su archivo.")
        blocks.append((module, sorted(names, key=lambda name: module.definitions[name][0])))

    here = {name for _, names in blocks for name in names}
    needed: dict[str, str] = {}
    texts: list[str] = []
    for module, names in blocks:
        # Varias constantes pueden compartir una sentencia (`A, B = 1, 2`): se muestra una vez.
        for text in dict.fromkeys(module.definitions[name][1] for name in names):
            texts.append(text)
            for used in sorted(global_names(text) - here - ALWAYS_DEFINED):
                if used in module.imports:
                    if notebook.names.get(used) != module.imports[used]:
                        needed[used] = module.imports[used]
                elif used not in notebook.names:
                    raise FuenteError(
                        f"{where}: lo que se muestra usa «{used}», de {module.name}, que la página "
                        "no tiene. Agrégalo a la celda o muéstralo en una anterior."
                    )
        notebook.names |= {name: f"from {module.name} import {name}" for name in names}
    notebook.names |= needed
    definitions = "\n\n\n".join([*texts[:-1], without_docstring(texts[-1])])
    return "\n\n\n".join(filter(None, [join_imports(needed), definitions])) + "\n"


def requested(body: str, where: str) -> dict[str, list[str]]:
    """Lo que pide la celda: por cada módulo, los nombres que se quieren ver."""
    wanted: dict[str, list[str]] = {}
    for node in ast.parse(body).body:
        match node:
            case ast.ImportFrom(module=str(module), names=names, level=0) if all(
                alias.name != "*" and alias.asname is None for alias in names
            ):
                wanted.setdefault(module, []).extend(alias.name for alias in names)
            case _:
                raise FuenteError(
                    f"{where}: una celda «fuente» solo lleva `from paquete.módulo import nombre`; "
                    f"sobra «{ast.unparse(node)}»."
                )
    if not wanted:
        raise FuenteError(f"{where}: la celda «fuente» no importa nada.")
    return wanted


def module_path(root: Path, name: str) -> Path | None:
    """El archivo de un módulo del paquete, sin importarlo."""
    base = root.joinpath(*name.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)


def read_module(root: Path, name: str, where: str) -> Module:
    """Lee un módulo: el texto de cada definición (con decoradores y comentarios) y sus imports."""
    path = module_path(root, name)
    if path is None:
        raise FuenteError(f"{where}: no existe el módulo {name} en el paquete instalado.")
    text = path.read_text(encoding="utf-8")
    lines = text.splitlines()
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    definitions: dict[str, tuple[int, str]] = {}
    imports: dict[str, str] = {}
    body = ast.parse(text).body
    for node, following in itertools.zip_longest(body, body[1:]):
        imports |= dict(imported(node, package))
        names = defined(node)
        if names:
            decorators = getattr(node, "decorator_list", [])
            first = min(item.lineno for item in [node, *decorators])
            while first > 1 and lines[first - 2].startswith("#"):
                first -= 1  # el comentario pegado a la definición va con ella
            # Una cadena suelta tras una constante es su docstring.
            last = following if documents(node, following) else node
            block = "\n".join(lines[first - 1 : last.end_lineno])
            definitions |= dict.fromkeys(names, (first, block))
    return Module(name, definitions, imports)


def defined(node: ast.stmt) -> list[str]:
    """Los nombres que define una sentencia de módulo: funciones, clases y constantes."""
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign | ast.AnnAssign):
        targets = node.targets if isinstance(node, ast.Assign) else [node.target]
        found = [name for target in targets for name in ast.walk(target)]
        return [name.id for name in found if isinstance(name, ast.Name)]
    return []


def documents(node: ast.stmt, following: ast.stmt | None) -> bool:
    """Si la sentencia que sigue a una constante es su docstring."""
    return (
        isinstance(node, ast.Assign | ast.AnnAssign)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    )


def without_docstring(text: str) -> str:
    """Una constante sin su docstring, que al final de una celda saldría como su resultado."""
    node, *following = ast.parse(text).body
    return "\n".join(text.splitlines()[: node.end_lineno]) if following else text


def imported(node: ast.stmt, package: str = "") -> list[tuple[str, str]]:
    """Los nombres que trae un import, cada uno con el import que lo trae a él solo."""
    if isinstance(node, ast.Import):
        # `import a.b` deja el nombre `a`; `import a.b as c` deja `c`.
        return [
            (alias.asname or alias.name.partition(".")[0], f"import {ast.unparse(alias)}")
            for alias in node.names
        ]
    if isinstance(node, ast.ImportFrom) and node.module != "__future__":
        module = absolute(node, package)
        return [
            (alias.asname or alias.name, f"from {module} import {ast.unparse(alias)}")
            for alias in node.names
        ]
    return []


def absolute(node: ast.ImportFrom, package: str) -> str:
    """El módulo de un `from … import`, sin puntos relativos."""
    if node.level == 0:
        return node.module or ""
    parts = package.split(".")
    base = ".".join(parts[: len(parts) - node.level + 1])
    return f"{base}.{node.module}" if node.module else base


def global_names(code: str) -> set[str]:
    """Los nombres que un trozo de código toma de fuera de sí mismo."""

    def walk(table: symtable.SymbolTable, top: bool) -> set[str]:
        found = {
            symbol.get_name()
            for symbol in table.get_symbols()
            if symbol.is_referenced() and (top or symbol.is_global())
        }
        return found.union(*(walk(child, False) for child in table.get_children()))

    top = symtable.symtable(code, "definición", "exec")
    own = {symbol.get_name() for symbol in top.get_symbols() if symbol.is_assigned()}
    return walk(top, True) - own


def join_imports(needed: dict[str, str]) -> str:
    """Los imports como en cualquier archivo: estándar, terceros y el paquete; uno por módulo."""
    modules: dict[str, list[str]] = {}
    for text in sorted(set(needed.values()), key=lambda text: (text.startswith("from"), text)):
        start, _, name = text.partition(" import ")
        modules.setdefault(start, []).extend([name] if name else [])
    groups: dict[int, list[str]] = {0: [], 1: [], 2: []}
    for start, names in modules.items():
        top = start.split()[1].partition(".")[0]
        kind = 0 if top in sys.stdlib_module_names else 2 if top == PACKAGE else 1
        groups[kind].append(f"{start} import {', '.join(names)}" if names else start)
    return "\n\n".join("\n".join(lines) for lines in groups.values() if lines)


def trailing_blank(body: str) -> str:
    """Las líneas en blanco que separaban a la celda de la siguiente."""
    return body[len(body.rstrip()) :].removeprefix("\n") if body.strip() else ""
