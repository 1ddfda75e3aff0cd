"""Antes de ImageNet: la tabla de la corrida grabada, `historia/antes-de-imagenet.json`.

Las redes de la tabla son las de la carrera justa, que tienen sus propios registros.
"""

import json
from html import escape
from pathlib import Path

import cards
import charts
import standings

from cnnhistory import race
from cnnhistory.inspection import thousands
from cnnhistory.models import CATALOG

LOG = Path(__file__).parent.parent / "historia/antes-de-imagenet.json"
NETWORKS = ("softmax", "lenet5_modern", "alexnet_mini", "resnet_mini")


def table(src_uri: str) -> str:
    """Recetas y redes, de la que más acierta a la que menos, y con qué se midieron."""
    log = json.loads(LOG.read_text(encoding="utf-8"))
    rows = [
        (
            row["accuracy"],
            escape(row["name"]),
            row["fit_seconds"],
            row["predict_seconds"],
            row["kilobytes"],
        )
        for row in log["rows"]
    ]
    ran = {row.name: row for row in race.standings(race.load(standings.FOLDER))}
    for name in NETWORKS:
        link = f"{cards.link(CATALOG[name], src_uri)} `{name}`"
        rows.append((ran[name].top1, link, ran[name].seconds, None, ran[name].parameters / 250))
    lines = [
        "| Receta o red | Acierto (%) | Ajustar (s) | Predecir (s) | Modelo (kB) |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for accuracy, label, fit, predict, kilobytes in sorted(rows, key=lambda row: -row[0]):
        cells = [charts.number(100 * accuracy), thousands(round(fit))]
        cells += [thousands(round(predict)) if predict is not None else ""]
        lines.append(f"| {label} | {' | '.join(cells)} | {thousands(round(kilobytes))} |")
    versions = ", ".join(f"{name} {version}" for name, version in log["versions"].items())
    return (
        "\n".join(lines) + "\n\n"
        f"Recetas: {thousands(log['train'])} imágenes para ajustar, {thousands(log['test'])} de "
        f"prueba y semilla {log['seed']}; segundos de procesador en {escape(log['machine'])}, el "
        f"{escape(log['date'])}; {escape(versions)}. [El registro](antes-de-imagenet.json) tiene "
        "todo. Redes: las de [la carrera justa](../resultados/carrera-justa.py), con sus cuatro "
        f"épocas, sus tres semillas y {thousands(log['train'] * 9 // 10)} imágenes, porque la décima "
        "parte se aparta para validar; segundos de reloj de entrenarlas, en la misma clase de máquina, y cuatro "
        "bytes por parámetro."
    )
