"""Las tablas de Rendimiento, tomadas de lo que midió `make bench`: `resultados/rendimiento.json`."""

import json
from html import escape
from pathlib import Path

import charts

from cnnhistory.inspection import thousands

LOG = Path(__file__).parent.parent / "resultados/rendimiento.json"
MEASURES = {
    "lenet_28": ("Entrenar LeNet, 28×28", "d2l"),
    "resnet18_96": ("Entrenar ResNet-18, 96×96", "d2l"),
    "compose_28": ("Aumentar: espejo, recorte y color, 28×28", "torchvision"),
}


def table(src_uri: str) -> str:
    """Imágenes por segundo de cada medida, y la razón con la menor y la mayor de las vueltas."""
    log = json.loads(LOG.read_text(encoding="utf-8"))
    lines = [
        "| Qué | El otro | Imágenes/s | `cnnhistory`, imágenes/s | Razón | Entre |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for key, (label, other) in MEASURES.items():
        row = log[key]
        low, high = charts.number(row["ratio_min"]), charts.number(row["ratio_max"])
        lines.append(
            f"| {label} | {other} | {thousands(row[other])} | {thousands(row['cnnhistory'])} "
            f"| {charts.number(row['ratio'])} | {low}\u00a0y\u00a0{high} |"
        )
    return "\n".join(lines)


def conditions(src_uri: str) -> str:
    """Con qué se midió, y cuándo."""
    log = json.loads(LOG.read_text(encoding="utf-8"))
    bf16 = "con" if log["bf16"] else "sin"
    versions = ", ".join(f"{name} {version}" for name, version in log["versions"].items())
    return (
        f"Medido el {escape(log['date'])} en {escape(log['machine'])}, {bf16} bfloat16, en lotes de "
        f"{log['batch_size']}; medianas de {log['rounds']} vueltas alternadas. Versiones: "
        f"{escape(versions)}. [El registro](rendimiento.json) tiene todo."
    )
