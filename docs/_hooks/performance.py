"""Las tablas de Rendimiento, tomadas de lo que midió `make bench` en dos procesadores.

Cada registro de `resultados` es la última línea de una corrida: uno, en un procesador con
instrucciones de bfloat16, y el otro, en uno sin ellas.
"""

import json
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

import charts

from cnnhistory.inspection import thousands

RESULTS = Path(__file__).parent.parent / "resultados"
LOGS = {"con": "rendimiento-con-bf16.json", "sin": "rendimiento-sin-bf16.json"}
MEASURES = {
    "lenet_28": ("Entrenar LeNet, 28×28", "d2l"),
    "resnet18_96": ("Entrenar ResNet-18, 96×96", "d2l"),
    "compose_28": ("Aumentar: mover, reflejar y borrar, 28×28", "torchvision"),
    "color_28": ("Aumentar: brillo y contraste, 28×28", "torchvision"),
    "crop_flip_32": ("Aumentar: mover y reflejar, 32×32 a color", "torchvision"),
    "color_32": ("Aumentar: brillo, contraste y color, 32×32", "torchvision"),
    "words_28": ("SIFT denso y palabras visuales, 28×28", "opencv"),
    "grad_cam_28": ("Grad-CAM en una ResNet mini, 28×28", "captum"),
}
SCORES = {"lenet_28_top1": "LeNet, 28×28", "resnet18_96_top1": "ResNet-18, 96×96"}
SETTINGS = {
    "lenet_28_compiled": ("`torch.compile`, LeNet, 28×28", "sin compilar"),
    "resnet18_96_compiled": ("`torch.compile`, ResNet-18, 96×96", "sin compilar"),
    "alexnet_227_memory": ("guardar la memoria, AlexNet, 227×227", "devolviéndola"),
}


@cache
def log(kind: str) -> dict[str, Any]:
    """Lo medido en el procesador «con» bfloat16, o en el «sin»."""
    return json.loads((RESULTS / LOGS[kind]).read_text(encoding="utf-8"))


def table(src_uri: str) -> str:
    """Imágenes por segundo de cada medida, y la razón con la menor y la mayor de las vueltas."""
    return "\n\n".join(
        f"**En un procesador {kind} bfloat16:**\n\n{_speeds(kind)}\n\n{_conditions(kind)}"
        for kind in LOGS
    )


def scores(src_uri: str) -> str:
    """El acierto de los dos bucles tras las mismas épocas, desde los mismos pesos."""
    lines = [
        "| Red | bfloat16 | Imágenes | Épocas | d2l | `cnnhistory` |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    for key, label in SCORES.items():
        for kind in LOGS:
            row = log(kind)[key]
            lines.append(
                f"| {label} | {kind} | {thousands(row['images'])} | {row['epochs']} "
                f"| {charts.percent(100 * row['d2l'])} | {charts.percent(100 * row['cnnhistory'])} |"
            )
    return "\n".join(lines)


def settings(src_uri: str) -> str:
    """Nuestro bucle sin y con cada ajuste, en el procesador con bfloat16."""
    lines = [
        "| Ajuste | Razón | Entre | Sin él, imágenes/s | Con él, imágenes/s |",
        "| --- | ---: | --- | ---: | ---: |",
    ]
    for key, (label, without) in SETTINGS.items():
        row = log("con")[key]
        lines.append(
            f"| {label} | {_ratio(row, 2)} | {thousands(row[without])} "
            f"| {thousands(row['cnnhistory'])} |"
        )
    return "\n".join(lines)


def _ratio(row: dict[str, float], decimals: int = 1) -> str:
    """Las celdas de la razón y de la menor y la mayor de sus vueltas."""
    ratio, low, high = (
        charts.number(row[key], decimals) for key in ("ratio", "ratio_min", "ratio_max")
    )
    return f"{ratio} | {low}\u00a0y\u00a0{high}"


def _speeds(kind: str) -> str:
    lines = [
        "| Qué | Razón | Entre | El otro | Sus imágenes/s | Las nuestras |",
        "| --- | ---: | --- | --- | ---: | ---: |",
    ]
    for key, (label, other) in MEASURES.items():
        row = log(kind).get(key)
        if row is None:  # `make bench` creció después de ese registro
            continue
        lines.append(
            f"| {label} | {_ratio(row)} | {other} | {thousands(row[other])} "
            f"| {thousands(row['cnnhistory'])} |"
        )
    return "\n".join(lines)


def _conditions(kind: str) -> str:
    """Con qué se midió, y cuándo."""
    record = log(kind)
    versions = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"Medido el {escape(record['date'])} en {escape(record['machine'])}, en lotes de "
        f"{record['batch_size']}; medianas de {record['rounds']} vueltas alternadas. Versiones: "
        f"{escape(versions)}. [El registro]({LOGS[kind]}) tiene todo." + _missing(record)
    )


def _missing(record: dict[str, Any]) -> str:
    """Si el registro es anterior a alguna fila, lo dice."""
    if all(key in record for key in MEASURES):
        return ""
    return " Es anterior a las filas que aquí no están y a la aumentación por lotes de ahora."
