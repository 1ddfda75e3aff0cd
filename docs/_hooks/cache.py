"""Las salidas guardadas de cada tutorial: un archivo JSON por página, escrito de una vez.

El archivo de una página guarda la clave con que se ejecutó, el código y las salidas de cada celda,
y la procedencia. Si la clave ya no es la de hoy, las salidas están atrasadas: al servir se muestran
con un aviso mientras llegan las nuevas. Se escribe aparte y se cambia de nombre, así que nadie, ni
otro `mkdocs` sobre la misma carpeta, ve nunca un archivo a medias.
"""

import json
import os
import tempfile
from collections import defaultdict, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Entry:
    """Lo que dejó una ejecución: por cada celda de código, su texto y sus salidas."""

    key: str
    cells: list[dict[str, Any]]  # {"source": …, "outputs": […]}
    provenance: dict[str, Any]

    def outputs_for(self, sources: Iterable[str]) -> list[list[dict[str, Any]] | None]:
        """Las salidas de unas celdas, aunque cambien de lugar; `None` si no se han ejecutado."""
        stored = defaultdict(deque)
        for cell in self.cells:
            stored[cell["source"]].append(cell["outputs"])
        return [stored[source].popleft() if stored[source] else None for source in sources]


def path_for(folder: Path, page: str) -> Path:
    """El archivo de una página: `arquitecturas/lenet-5.py` → `arquitecturas/lenet-5.json`."""
    return (folder / page).with_suffix(".json")


def read(folder: Path, page: str) -> Entry | None:
    """Lo último que se guardó de una página; nada si no hay o no se entiende."""
    try:
        return Entry(**json.loads(path_for(folder, page).read_text(encoding="utf-8")))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def write(folder: Path, page: str, entry: Entry) -> None:
    """Guarda la entrada de una página, entera o nada."""
    path = path_for(folder, page)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".tmp")
    try:
        with open(handle, "w", encoding="utf-8") as file:
            json.dump(asdict(entry), file, ensure_ascii=False, indent=1)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def prune(folder: Path, pages: Iterable[str]) -> None:
    """Borra las entradas de páginas que ya no existen."""
    alive = {path_for(folder, page) for page in pages}
    for path in folder.rglob("*.json"):
        if path not in alive:
            path.unlink(missing_ok=True)
