"""Las redes completas contra las curvas de d2l.

`resultados/d2l.csv` tiene el último punto de cada curva publicada, y `resultados/completas`,
nuestras corridas.
"""

import csv
from functools import cache
from pathlib import Path

import charts

from cnnhistory import race

RESULTS = Path(__file__).parent.parent / "resultados"


@cache
def theirs() -> tuple[dict[str, str], ...]:
    """Las filas de d2l, en el orden de la historia."""
    with (RESULTS / "d2l.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


@cache
def ours(folder: str) -> dict[str, race.Standing]:
    """Nuestras corridas de una carpeta de `resultados`, resumidas por red."""
    return {row.name: row for row in race.standings(race.load(RESULTS / folder))}


def against_d2l(src_uri: str) -> str:
    """Una fila por red de d2l: su acierto, el nuestro, o que no se ha corrido."""
    lines = [
        "| Red | Resolución | Épocas | d2l | `cnnhistory` | Corridas |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in theirs():
        own = ours("completas").get(row["red"])
        cells = (
            f"[{row['capitulo']}]({row['fuente']})",
            f"{row['resolucion']}×{row['resolucion']}",
            row["epocas"],
            charts.percent(100 * float(row["acierto"])),
            _score(own) if own else "",
            f"`{row['red']}`, {own.runs} semillas" if own else "sin correr",
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _score(row: race.Standing) -> str:
    deviation = f" ± {charts.number(100 * row.deviation)}" if row.runs > 1 else ""
    return f"{charts.number(100 * row.top1)}{deviation}\u00a0%"
