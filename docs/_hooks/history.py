"""Los libros de la Historia: tarjetas gráficas, conjuntos de imágenes y lo que vino después.

Cada uno es un CSV junto a sus páginas, con la fuente de cada fila. Aquí se leen, se validan, se
dibujan y se ponen en tablas. El libro del desafío, que también se usa desde Python, está en
`cnnhistory.ilsvrc`.
"""

import csv
from collections.abc import Mapping, Sequence
from functools import cache
from html import escape
from pathlib import Path

import charts
import logdots

from cnnhistory.inspection import thousands

FOLDER = Path(__file__).parent.parent / "historia"

EVIDENCE = {
    "artículo": "la dan sus autores en el artículo",
    "prensa": "leída en la prensa que presentó la tarjeta",
    "citada": "del fabricante o de los autores, leída en páginas que los citan y coinciden",
}
"""Cómo se comprobó cada fila."""

BACKBONES = ("AlexNet", "VGG", "GoogLeNet", "ResNet", "ResNeXt")
"""Las redes de clasificar sobre las que se construyó, de la más antigua a la más nueva."""

OPTIONAL = {
    *("cores", "matrix_tflops", "price_usd", "price_source_title", "price_source_url"),
    *("classes", "note"),
}

Row = Mapping[str, str]


@cache
def load(name: str) -> tuple[Row, ...]:
    """Las filas de `docs/historia/NAME.csv`, por año.

    Raises:
        ValueError: falta una celda, la fuente no empieza por https:// o no están por año.
    """
    with (FOLDER / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        rows = tuple(csv.DictReader(file))
    for line, row in enumerate(rows, start=2):
        empty = [key for key, cell in row.items() if not cell and key not in OPTIONAL]
        if empty or None in row:
            raise ValueError(f"{name}.csv, línea {line}: faltan o sobran celdas {empty}")
        if row["evidence"] not in EVIDENCE:
            raise ValueError(f"{name}.csv, línea {line}: evidence debe ser una de {[*EVIDENCE]}")
        if not all(url.startswith("https://") for url in sources(row)):
            raise ValueError(f"{name}.csv, línea {line}: la fuente debe empezar por https://")
    if [row["year"] for row in rows] != sorted(row["year"] for row in rows):
        raise ValueError(f"{name}.csv: las filas deben ir por año")
    return rows


def sources(row: Row) -> list[str]:
    """Las direcciones que cita una fila."""
    return [row[key] for key in ("source_url", "price_source_url") if row.get(key)]


def peak_tflops(row: Row) -> float | None:
    """Billones de operaciones por segundo en float32: dos por núcleo y por ciclo.

    Dos, porque una multiplicación con acumulación cuenta como dos. Sin núcleos, `None`.
    """
    return 2 * int(row["cores"]) * int(row["clock_mhz"]) / 1e6 if row["cores"] else None


def card_speeds(src_uri: str) -> str:
    """Operaciones por segundo de cada tarjeta, con sus unidades de matrices aparte."""
    dots = []
    for row in load("tarjetas"):
        peak = peak_tflops(row)
        text = "no se mide así" if peak is None else _tflops(peak)
        strong = row["name"].endswith("580")
        dots.append(logdots.Dot(row["year"], _short(row), peak, text, strong))
        if row["matrix_tflops"]:
            matrix = float(row["matrix_tflops"])
            dots.append(logdots.Dot("", f"{_short(row)}, matrices", matrix, _tflops(matrix)))
    return logdots.figure(
        dots,
        1,
        lambda exponent: f"{10.0**exponent:g} T",
        "Operaciones por segundo, en billones, escala logarítmica:",
        "Operaciones por segundo de cada tarjeta, en billones (T), según su ficha; cada línea de la "
        "rejilla es diez veces la anterior. «Matrices» son las unidades que multiplican matrices en "
        "16 bits. En azul, la de AlexNet: usó dos.",
    )


def card_memories(src_uri: str) -> str:
    """La memoria de cada tarjeta."""
    dots = [
        logdots.Dot(
            row["year"],
            _short(row),
            float(row["memory_gb"]),
            _memory(row),
            row["name"].endswith("580"),
        )
        for row in load("tarjetas")
    ]
    return logdots.figure(
        dots,
        2,
        lambda exponent: f"{10.0**exponent:g} GB",
        "Memoria de cada tarjeta, escala logarítmica:",
        "Memoria de cada tarjeta. La GTX 580 salió con 1.5 GB; las dos de AlexNet eran de una variante "
        "con 3 GB.",
    )


def card_table(src_uri: str) -> str:
    """Las tarjetas, con su fuente: los datos de los dos gráficos."""
    heads = ("Año", "Tarjeta", "Núcleos × MHz", "float32", "Matrices", "Memoria", "GB/s", "Precio")
    body = [
        (
            row["year"],
            row["name"],
            f"{thousands(int(row['cores']))} × {row['clock_mhz']}" if row["cores"] else "—",
            "—" if (peak := peak_tflops(row)) is None else _tflops(peak),
            _tflops(float(row["matrix_tflops"])) if row["matrix_tflops"] else "—",
            _memory(row),
            f"{float(row['bandwidth_gb_s']):g}",
            _price(row),
        )
        for row in load("tarjetas")
    ]
    return _table("tarjetas", heads, body, "Las tarjetas de los gráficos, con su fuente")


def dataset_sizes(src_uri: str) -> str:
    """Cuántas imágenes tiene cada conjunto."""
    dots = [
        logdots.Dot(
            row["year"],
            row["name"],
            float(row["images"]),
            _count(int(row["images"])),
            row["name"].startswith(("ImageNet", "ILSVRC")),
        )
        for row in load("conjuntos")
    ]
    return logdots.figure(
        dots,
        2,
        lambda exponent: _count(10**exponent),
        "Imágenes de cada conjunto, escala logarítmica:",
        "Imágenes de cada conjunto; cada línea de la rejilla es cien veces la anterior. En azul, las "
        "tres cosas que se llaman ImageNet.",
    )


def dataset_table(src_uri: str) -> str:
    """Los conjuntos, con su fuente: los datos del gráfico."""
    heads = ("Año", "Conjunto", "Imágenes", "Clases", "Tamaño en píxeles")
    body = [
        (
            row["year"],
            row["name"],
            thousands(int(row["images"])),
            thousands(int(row["classes"])) if row["classes"].isdigit() else row["classes"] or "—",
            row["resolution"],
        )
        for row in load("conjuntos")
    ]
    return _table("conjuntos", heads, body, "Los conjuntos del gráfico, con su fuente")


def backbone_chart(src_uri: str) -> str:
    """Qué trabajo se apoyó en qué red: un renglón por trabajo, una columna por red."""
    left, column, row_height, top, width = 208.0, 42.0, 30.0, 44.0, 400.0
    rows = load("despues")
    bottom = top + row_height * len(rows)
    centers = {name: left + column * index for index, name in enumerate(BACKBONES)}
    shapes, spoken = [], []
    for index, (name, x) in enumerate(centers.items()):
        shapes.append(
            f'<path class="rejilla" d="M{x:.1f} {top - 10:.1f}V{bottom:.1f}"/>'
            f'<text class="eje" text-anchor="middle" x="{x:.1f}" '
            f'y="{14 if index % 2 else 28}">{name}</text>'
        )
    for index, row in enumerate(rows):
        y = top + row_height * (index + 0.5)
        used = row["backbones"].split()
        shapes.append(
            f'<text x="0" y="{y - 2:.1f}" class="rotulo fuerte">{escape(row["work"])}</text>'
            f'<text x="0" y="{y + 11:.1f}" class="eje">{row["year"]}, {escape(row["task"])}</text>'
            f'<path class="guia" d="M128 {y:.1f}H{max(centers[name] for name in used):.1f}"/>'
        )
        shapes += [
            f'<circle class="marca ganador" cx="{centers[name]:.1f}" cy="{y:.1f}" r="5"/>'
            for name in used
        ]
        spoken.append(f"{row['year']}, {row['work']}, para {row['task']}: {', '.join(used)}")
    label = escape("Sobre qué red se construyó cada trabajo: " + "; ".join(spoken), quote=True)
    return (
        f'<figure class="ilsvrc carrera" data-search-exclude=""><svg viewBox="0 0 {width:g} '
        f'{bottom + 6:g}" role="img" aria-label="{label}.">{"".join(shapes)}</svg>'
        "<figcaption>Qué red de clasificar hay debajo de cada trabajo. Ninguno se queda en decir qué hay "
        "en la foto.</figcaption></figure>"
    )


def backbone_table(src_uri: str) -> str:
    """Los trabajos, con lo que informan y su fuente."""
    heads = ("Año", "Trabajo", "Para", "Sobre", "Lo que informa")
    body = [
        (row["year"], row["work"], row["task"], ", ".join(row["backbones"].split()), row["reports"])
        for row in load("despues")
    ]
    return _table("despues", heads, body, "Los trabajos del gráfico, con su fuente")


def _table(name: str, heads: Sequence[str], body: Sequence[Sequence[str]], caption: str) -> str:
    """Una tabla con la columna de la fuente al final; el segundo dato de cada fila la nombra."""
    rows = load(name)
    cells = "".join(f'<th scope="col">{head}</th>' for head in (*heads, "Fuente"))
    lines = []
    for row, (first, second, *rest) in zip(rows, body, strict=True):
        note = escape(row.get("note", "")).replace(" %", "\u00a0%")
        lines.append(
            f'<tr><td>{first}</td><th scope="row">{escape(second)}'
            + (f'<p class="nota">{note}</p>' if note else "")
            + "</th>"
            + "".join(f"<td>{_cell(cell)}</td>" for cell in rest)
            + f"<td>{_link(row['source_url'], row['source_title'])} <em>{row['evidence']}</em></td>"
            "</tr>"
        )
    used = {row["evidence"] for row in rows}
    kinds = "; ".join(f"<em>{kind}</em>, {text}" for kind, text in EVIDENCE.items() if kind in used)
    return (
        '<details class="note" markdown="0"><summary>Las cifras, con su fuente</summary>'
        f'<p class="cifras-nota">Cómo se comprobó cada una: {kinds}. '
        f'<a href="../{name}.csv">Los datos, en CSV</a>.</p>'
        f'<div class="ilsvrc-tabla" role="region" tabindex="0" aria-label="{caption}" '
        f'data-search-exclude=""><table class="cifras libro"><caption>{caption}</caption>'
        f"<thead><tr>{cells}</tr></thead><tbody>{''.join(lines)}</tbody></table></div></details>"
    )


def _cell(text: str) -> str:
    """Un texto de una celda; el precio ya viene con su enlace."""
    return text if text.startswith("<a ") else escape(text).replace(" %", "\u00a0%")


def _link(url: str, title: str) -> str:
    return f'<a href="{escape(url, quote=True)}">{escape(title)}</a>'


def _short(row: Row) -> str:
    """El nombre que cabe junto al punto."""
    return row["name"].replace("GeForce GTX ", "").replace("580", "GTX 580")


def _tflops(value: float) -> str:
    """Con tres cifras: 0.346 T, 1.58 T, 989 T."""
    digits = 3 if value < 1 else 2 if value < 10 else 1 if value < 100 else 0
    return f"{charts.number(value, digits)}\u00a0T"


def _memory(row: Row) -> str:
    size = float(row["memory_gb"])
    return f"{size:g}\u00a0GB" if size >= 1 else f"{1000 * size:g}\u00a0MB"


def _price(row: Row) -> str:
    if not row["price_usd"]:
        return "—"
    price = f"US$\u00a0{thousands(int(row['price_usd']))}"
    return _link(row["price_source_url"], price)


def _count(number: int) -> str:
    """En letra corta: 9146, 60 mil, 1.3 M, 5850 M."""
    if number < 10_000:
        return str(number)
    if number < 1_000_000:
        return f"{number / 1e3:.3g}\u00a0mil"
    return f"{number / 1e6:.1f}\u00a0M" if number < 10_000_000 else f"{number / 1e6:.0f}\u00a0M"
