"""Las corridas largas: las redes completas contra las curvas de d2l, y las minis con más épocas.

`resultados/d2l.csv` tiene el último punto de cada curva publicada; `resultados/fashion-mnist.csv`,
filas de la lista que acompaña al conjunto; y `resultados/completas` y `resultados/largas`, nuestras
corridas.
"""

import csv
import statistics
from functools import cache
from html import escape
from pathlib import Path

import charts

from cnnhistory import models, race
from cnnhistory.inspection import thousands

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
    """Una fila por red de d2l: su acierto, el nuestro y con qué corrió."""
    lines = [
        "| Red | d2l | La nuestra | Épocas | Semillas | Lado | Tasa | Minutos |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in theirs():
        own = ours("completas")[row["red"]]
        cells = (
            f"[{row['capitulo']}]({row['fuente']}), `{row['red']}`",
            charts.percent(100 * float(row["acierto"])),
            *_effort(own, row["resolucion"]),
        )
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n\n" + _conditions()


def _conditions() -> str:
    """La receta que comparten, dónde corrieron y sus registros."""
    runs = race.load(RESULTS / "completas")
    recipe = runs[0].recipe
    clipped = ", ".join(
        f"`{name}`" for name in sorted({r.recipe["name"] for r in runs if r.recipe["clip_norm"]})
    )
    cosine = ", ".join(
        f"`{name}`"
        for name in sorted({r.recipe["name"] for r in runs if r.recipe["schedule"] == "cosine"})
    )
    machines = "; ".join(sorted({run.machine for run in runs}))
    dates = ", ".join(sorted({run.date for run in runs}))
    names = (f"{run.recipe['name']}-{run.recipe['seed']}" for run in runs)
    links = "; ".join(f"[{name}](completas/{name}.json)" for name in names)
    return (
        f"Receta: lotes de {recipe['batch_size']}, decaimiento {recipe['weight_decay']:g}, sin aumentar; "
        f"con el gradiente recortado a norma 1: {clipped}; con el plan `cosine` y no con "
        f"`one_cycle`: {cosine}. Minutos de entrenamiento de una corrida, en un "
        f"núcleo y con otros trabajos al lado. Máquinas: {escape(machines)}. Fechas: {dates}. "
        f"Registros: {links}."
    )


@cache
def listed() -> tuple[dict[str, str], ...]:
    """Las filas de la lista de Fashion-MNIST que tienen una red nuestra con que compararse."""
    with (RESULTS / "fashion-mnist.csv").open(encoding="utf-8", newline="") as file:
        return tuple(csv.DictReader(file))


def against_list(src_uri: str) -> str:
    """Cada una con la nuestra más parecida, y cómo corrió."""
    lines = [
        "| En la lista | Acierto | El nuestro | Nuestra red | Épocas | Lado | Aumentada |",
        "| --- | ---: | ---: | --- | ---: | ---: | --- |",
    ]
    for row in listed():
        own = ours(row["carpeta"])[row["red"]]
        recipe = next(
            run.recipe
            for run in race.load(RESULTS / row["carpeta"])
            if run.recipe["name"] == own.name
        )
        theirs = charts.percent(100 * float(row["acierto"]))
        side = recipe["side"] or models.find(own.name).input_shape[1]
        augmented = f"`{recipe['augment']}`" if recipe["augment"] else "no"
        lines.append(
            f"| {row['nombre']} | {theirs} | {_score(own)} | `{own.name}` | {recipe['epochs']} "
            f"| {side} | {augmented} |"
        )
    return "\n".join(lines) + "\n\n" + _only_listed()


def _only_listed() -> str:
    """Las corridas que solo están en esta tabla: dónde, con qué tasa y sus registros."""
    each = []
    for run in race.load(RESULTS / "lista"):
        name, minutes = run.recipe["name"], sum(epoch.seconds for epoch in run.history) / 60
        each.append(
            f"[{name}](lista/{name}-{run.recipe['seed']}.json), tasa {run.recipe['lr']:g}, "
            f"{'gradiente recortado a norma 1, ' if run.recipe['clip_norm'] else ''}"
            f"{minutes:.0f} minutos en {escape(run.machine)}, {run.date}"
        )
    return f"Los registros son los de las tablas anteriores, salvo {'; '.join(each)}, con otros trabajos al lado."


def long_runs(src_uri: str) -> str:
    """Las minis entrenadas más épocas: de las que menos a las que más y, en cada grupo, la mejor primero."""
    lines = [
        "| Red | Épocas | Prueba | Validación | Semillas | Parámetros |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    links = []
    for folder in sorted((RESULTS / "largas").iterdir()):
        for row in ours(f"largas/{folder.name}").values():
            runs = [run for run in race.load(folder) if run.recipe["name"] == row.name]
            chosen = statistics.mean(run.history[-1].val_top1 for run in runs)
            lines.append(
                f"| `{row.name}` | {runs[0].recipe['epochs']} | {_score(row, 2)} "
                f"| {charts.percent(100 * chosen)} | {row.runs} | {thousands(row.parameters)} |"
            )
        links += [
            f"[{path.stem}, {runs[0].recipe['epochs']}](largas/{folder.name}/{path.name})"
            for path in sorted(folder.glob("*.json"))
        ]
    run = runs[0]
    return "\n".join(lines) + (
        f"\n\nReceta: lotes de {run.recipe['batch_size']}, aumentación `{run.recipe['augment']}`. Máquina: "
        f"{escape(run.machine)}, con otros trabajos al lado. Fecha: {run.date}. "
        f"Registros, con sus épocas: {'; '.join(links)}."
    )


def _effort(row: race.Standing, side: str) -> tuple[str, ...]:
    """El acierto, las épocas, las semillas, el lado, la tasa y los minutos de una corrida."""
    runs = race.load(RESULTS / "completas")
    recipe = next(run.recipe for run in runs if run.recipe["name"] == row.name)
    minutes = f"{row.seconds / 60:.0f}"
    epochs, rate = str(recipe["epochs"]), f"{recipe['lr']:g}"
    return _score(row), epochs, str(row.runs), side, rate, minutes


def _score(row: race.Standing, decimals: int = 1) -> str:
    deviation = f" ± {charts.number(100 * row.deviation, decimals)}" if row.runs > 1 else ""
    return f"{charts.number(100 * row.top1, decimals)}{deviation}\u00a0%"
