"""El libro de cuentas del desafío ImageNet (ILSVRC), de 2010 a 2017.

Cada fila es una cifra publicada: quién, con qué red, cuánto error top-5, con una red o con un
conjunto, con los datos del desafío o con más, en qué imágenes se midió y dónde se lee. Los datos
están en `_data/ilsvrc.csv` y `_data/ilsvrc_human.csv`; aquí se validan y se sirven.

Fuentes: las páginas oficiales de resultados (<https://image-net.org/challenges/LSVRC/>) y los
artículos de cada red. El desafío y el nivel humano se describen en Russakovsky et al., «ImageNet
Large Scale Visual Recognition Challenge», <https://arxiv.org/abs/1409.0575>.
"""

import csv
import difflib
import functools
import importlib.resources
import io
from collections.abc import Iterator
from dataclasses import dataclass

YEARS = range(2010, 2018)
"""Los años en que se celebró el desafío."""

TEST_SETS = {
    "2010": "prueba de 2010, 150 000 imágenes",
    "2011": "prueba de 2011",
    "2012+": "prueba de 2012 en adelante, 100 000 imágenes",
    "validación": "validación de 2012, 50 000 imágenes",
}
"""En qué imágenes se midió el error. Cifras de conjuntos distintos no se comparan al decimal."""

EVIDENCE = {
    "oficial": "leída en la página oficial de resultados",
    "artículo": "leída en el artículo de sus autores",
    "secundaria": "tomada de recopilaciones que citan esa fuente y coinciden entre sí",
}
"""Cómo se comprobó cada cifra."""


@dataclass(frozen=True)
class Result:
    """Una cifra del desafío, o de un artículo que se mide con él.

    Attributes:
        year: año de la competencia, o del artículo si la cifra no es oficial.
        entry: nombre corto de la fila, único dentro de su año.
        team: equipo o autores.
        network: red o método; vacío si no consta.
        top5_error: error top-5, en porcentaje.
        is_ensemble: si combina varias redes; `None` si no consta.
        models: cuántas redes combina; `None` si no consta.
        extra_data: si usó datos ajenos al desafío.
        is_winner: si es una presentación del equipo que ganó ese año en clasificación.
        is_official: si se presentó a la competencia; si no, es la cifra de un artículo.
        test_set: clave de `TEST_SETS`.
        evidence: clave de `EVIDENCE`.
        source_title: nombre de la fuente.
        source_url: dirección de la fuente.
        note: lo que hay que saber para no malinterpretarla; puede estar vacía.
    """

    year: int
    entry: str
    team: str
    network: str
    top5_error: float
    is_ensemble: bool | None
    models: int | None
    extra_data: bool
    is_winner: bool
    is_official: bool
    test_set: str
    evidence: str
    source_title: str
    source_url: str
    note: str


@dataclass(frozen=True)
class HumanLevel:
    """Lo que se equivoca una persona en el desafío (Russakovsky et al. 2015, tabla 6).

    Attributes:
        entry: nombre corto de la fila.
        label: a quién se midió.
        top5_error: error top-5, en porcentaje.
        training_images: imágenes con que practicó antes; `None` si no consta.
        test_images: imágenes en que se midió: una muestra, no el conjunto entero.
        googlenet_error: error top-5 de GoogLeNet en esas mismas imágenes; `None` si no consta.
        note: qué significa la cifra.
    """

    entry: str
    label: str
    top5_error: float
    training_images: int | None
    test_images: int
    googlenet_error: float | None
    note: str


def results(year: int | None = None) -> list[Result]:
    """Las cifras del desafío, por año y, dentro de cada año, de menor a mayor error.

    Args:
        year: solo las de ese año; sin él, todas.

    Raises:
        ValueError: el desafío no se celebró ese año.
    """
    if year is None:
        return list(_ledger())
    if year not in YEARS:
        raise ValueError(
            f"ILSVRC se celebró de {YEARS[0]} a {YEARS[-1]}: no hay resultados de {year}"
        )
    return [result for result in _ledger() if result.year == year]


def winners() -> list[Result]:
    """El ganador de cada año con los datos del desafío, sin datos adicionales.

    En 2012 y 2013 el equipo ganador presentó además otra cifra, mejor, con datos adicionales:
    está en `results`. Aquí se deja fuera para comparar cosas comparables.
    """
    return [result for result in _ledger() if result.is_winner and not result.extra_data]


def find(year: int, entry: str) -> Result:
    """La fila de un año por su nombre corto, como `find(2012, "supervision")`.

    Raises:
        ValueError: no hay tal año o tal fila; el mensaje sugiere las que más se parecen.
    """
    by_entry = {result.entry: result for result in results(year)}
    if entry not in by_entry:
        near = difflib.get_close_matches(entry, by_entry, n=3, cutoff=0.4) or sorted(by_entry)
        raise ValueError(
            f"no hay ninguna cifra «{entry}» en {year}; ¿quisiste decir {', '.join(near)}?"
        )
    return by_entry[entry]


def human_level() -> list[HumanLevel]:
    """Las tres cifras publicadas de personas que hicieron la prueba, con sus salvedades."""
    return list(_human())


@functools.cache
def _ledger() -> tuple[Result, ...]:
    return _parse_results(_read("ilsvrc.csv"), "ilsvrc.csv")


@functools.cache
def _human() -> tuple[HumanLevel, ...]:
    return _parse_human(_read("ilsvrc_human.csv"), "ilsvrc_human.csv")


def _read(name: str) -> str:
    return (importlib.resources.files("cnnhistory") / "_data" / name).read_text(encoding="utf-8")


def _parse_results(text: str, file: str) -> tuple[Result, ...]:
    """Lee y valida la tabla; cualquier fallo nombra el archivo, la línea y la columna."""
    parsed = []
    for row in _rows(text, file, Result):
        result = Result(
            year=row.whole("year"),
            entry=row.text("entry"),
            team=row.text("team"),
            network=row.text("network", empty=True),
            top5_error=row.percent("top5_error"),
            is_ensemble=row.yes_or_no("is_ensemble") if row.text("is_ensemble", True) else None,
            models=row.whole("models") if row.text("models", empty=True) else None,
            extra_data=row.yes_or_no("extra_data"),
            is_winner=row.yes_or_no("is_winner"),
            is_official=row.yes_or_no("is_official"),
            test_set=row.one_of("test_set", TEST_SETS),
            evidence=row.one_of("evidence", EVIDENCE),
            source_title=row.text("source_title"),
            source_url=row.text("source_url"),
            note=row.text("note", empty=True),
        )
        if result.year not in YEARS:
            raise row.error("year", f"el desafío fue de {YEARS[0]} a {YEARS[-1]}")
        if not result.source_url.startswith("https://"):
            raise row.error("source_url", "la dirección debe empezar por https://")
        if result.is_winner and not result.is_official:
            raise row.error("is_winner", "una cifra que no se presentó no puede ganar")
        if result.models is not None and result.is_ensemble != (result.models > 1):
            raise row.error("models", "no concuerda con is_ensemble")
        if any((result.year, result.entry) == (other.year, other.entry) for other in parsed):
            raise row.error("entry", f"ya hay una fila «{result.entry}» en {result.year}")
        parsed.append(result)
    return tuple(sorted(parsed, key=lambda result: (result.year, result.top5_error)))


def _parse_human(text: str, file: str) -> tuple[HumanLevel, ...]:
    return tuple(
        HumanLevel(
            entry=row.text("entry"),
            label=row.text("label"),
            top5_error=row.percent("top5_error"),
            training_images=(
                row.whole("training_images") if row.text("training_images", empty=True) else None
            ),
            test_images=row.whole("test_images"),
            googlenet_error=(
                row.percent("googlenet_error") if row.text("googlenet_error", empty=True) else None
            ),
            note=row.text("note"),
        )
        for row in _rows(text, file, HumanLevel)
    )


def _rows(text: str, file: str, record: type) -> Iterator["_Row"]:
    columns = list(record.__dataclass_fields__)
    reader = csv.DictReader(io.StringIO(text), restkey="", restval=None)
    if reader.fieldnames != columns:
        raise ValueError(f"{file}: se esperaban las columnas {', '.join(columns)}")
    for cells in reader:
        if "" in cells or None in cells.values():
            raise ValueError(f"{file}, línea {reader.line_num}: se esperaban {len(columns)} celdas")
        yield _Row(file, reader.line_num, cells)


@dataclass(frozen=True)
class _Row:
    """Una línea del archivo, que sabe convertir sus celdas y decir dónde está el fallo."""

    file: str
    line: int
    cells: dict[str, str]

    def error(self, column: str, reason: str) -> ValueError:
        value = self.cells[column]
        return ValueError(f"{self.file}, línea {self.line}, {column} «{value}»: {reason}")

    def text(self, column: str, empty: bool = False) -> str:
        value = self.cells[column].strip()
        if not value and not empty:
            raise self.error(column, "no puede quedar vacía")
        return value

    def whole(self, column: str) -> int:
        value = self.text(column)
        if not value.isascii() or not value.isdigit() or int(value) == 0:
            raise self.error(column, "debe ser un entero positivo")
        return int(value)

    def percent(self, column: str) -> float:
        try:
            value = float(self.text(column))
        except ValueError:
            raise self.error(column, "debe ser un número, con punto decimal") from None
        if not 0 < value < 100:
            raise self.error(column, "un porcentaje de error está entre 0 y 100")
        return value

    def one_of(self, column: str, allowed: dict[str, str]) -> str:
        value = self.text(column)
        if value not in allowed:
            raise self.error(column, f"debe ser una de: {', '.join(allowed)}")
        return value

    def yes_or_no(self, column: str) -> bool:
        return self.one_of(column, {"sí": "", "no": ""}) == "sí"
