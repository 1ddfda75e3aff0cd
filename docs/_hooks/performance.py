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
    "words_28": ("SIFT denso y palabras visuales, 28×28", "opencv"),
    "grad_cam_28": ("Grad-CAM en una ResNet mini, 28×28", "captum"),
}
SCORES = {"lenet_28_top1": "LeNet, 28×28", "resnet18_96_top1": "ResNet-18, 96×96"}


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


def scores(src_uri: str) -> str:
    """El acierto de los dos bucles tras las mismas épocas, desde los mismos pesos."""
    log = json.loads(LOG.read_text(encoding="utf-8"))
    lines = [
        "| Red | Imágenes | Épocas | d2l | `cnnhistory` |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    for key, label in SCORES.items():
        row = log[key]
        lines.append(
            f"| {label} | {thousands(row['images'])} | {row['epochs']} "
            f"| {charts.percent(100 * row['d2l'])} | {charts.percent(100 * row['cnnhistory'])} |"
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
