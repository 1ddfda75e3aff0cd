"""La carrera justa: las mismas imágenes y la misma receta para todas las redes, varias semillas.

Cada corrida deja un archivo JSON con todo lo que la identifica: la receta, la máquina, las
versiones, la curva y lo que costó. Una carrera interrumpida sigue por donde iba: lo que ya está
no se repite, y la corrida que quedó a medias continúa desde su último punto de control.
"""

import dataclasses
import datetime
import json
import platform
import shutil
import statistics
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torchvision

import cnnhistory
from cnnhistory import experiment, inspection, models, training
from cnnhistory.checkpoints import Checkpoints

__all__ = ["RUNNERS", "Run", "Standing", "load", "machine", "run_all", "standings", "versions"]

RUNNERS = (
    "softmax",
    "lenet5",
    "lenet5_modern",
    *(name for name in models.CATALOG if name.endswith("_mini")),
)
"""Las que corren: la regresión softmax, las dos LeNet-5 y todas las minis."""

_UNSAID = {"optimizer": "nesterov", "initialization": None, "side": None}


@dataclass(frozen=True)
class Run:
    """Una corrida: una red con una semilla.

    Attributes:
        recipe: La descripción del entrenamiento, la de `Experiment.recipe`.
        machine: El procesador o la GPU, y los hilos.
        versions: Las de Python y los paquetes de los que dependen los números.
        commit: El de git con que se corrió, con «+» si había cambios; ``None`` fuera de git.
        date: Fecha en que terminó, ``AAAA-MM-DD``.
        parameters: Parámetros de la red que corrió, con las clases y los canales de sus datos.
        macs: Sus multiplicaciones con acumulación por imagen, al lado en que corrió.
        history: Las épocas.
        test: Lo medido en prueba, una vez y al final; ``None`` si no terminó.
        memory: Memoria máxima en bytes: la de la GPU o, en Linux, la del proceso entero. En la CPU
            solo la primera corrida de un proceso la sabe: las demás usan la que quedó.
        error: Por qué no terminó; vacío si terminó.
    """

    recipe: dict[str, Any]
    machine: str
    versions: dict[str, str]
    commit: str | None
    date: str
    parameters: int
    macs: int
    history: list[training.Epoch]
    test: training.Metrics | None
    memory: int | None
    error: str = ""

    @property
    def seconds(self) -> float:
        """Lo que tardó en entrenar, sin las validaciones."""
        return sum(epoch.seconds for epoch in self.history)


@dataclass(frozen=True)
class Standing:
    """El lugar de una red: el resumen de sus corridas.

    Attributes:
        name: Red del catálogo.
        top1: Acierto medio en prueba.
        deviation: Desviación estándar entre semillas; cero si hay una sola.
        runs: Corridas que terminaron.
        failed: Corridas que no.
        parameters: Parámetros de la red.
        macs: Multiplicaciones con acumulación por imagen.
        seconds: Segundos de entrenamiento, en media.
        images_per_second: Imágenes entrenadas por segundo, en mediana.
    """

    name: str
    top1: float
    deviation: float
    runs: int
    failed: int
    parameters: int
    macs: int
    seconds: float
    images_per_second: float


def run_all(
    folder: Path,
    names: Iterable[str],
    seeds: Iterable[int],
    template: experiment.Experiment,
    device: str,
    *,
    as_published: bool = False,
    on_run: Callable[[Run], object] | None = None,
) -> list[Run]:
    """Corre cada red con cada semilla, y guarda cada corrida en cuanto termina.

    Deja también ``resumen.json``, lo que dicen `standings` de todas las de la carpeta.

    Args:
        folder: Donde quedan los archivos ``red-semilla.json``.
        names: Redes del catálogo.
        seeds: Semillas.
        template: La receta común; su ``name`` y su ``seed`` no importan.
        device: Dispositivo.
        as_published: Si cada red usa la receta de su artículo en lugar de la común.
        on_run: Se llama con cada corrida, también con las que ya estaban.

    Returns:
        Las corridas, en el orden pedido.

    Raises:
        ValueError: Si una red no existe o no tiene receta de época, o en la carpeta hay una
            corrida con otra receta.
    """
    pairs = [(name, seed) for seed in seeds for name in names]
    planned = [dataclasses.replace(template, name=name, seed=seed) for name, seed in pairs]
    if as_published:
        planned = [described.as_published() for described in planned]
    recipes = [described.recipe() for described in planned]  # una red que no existe se dice ya
    runs, first = [], True
    for described, recipe in zip(planned, recipes, strict=True):
        path = folder / f"{described.name}-{described.seed}.json"
        if path.exists():
            run = _read(path)
            if run.recipe != recipe:
                changed = sorted(key for key in recipe if recipe[key] != run.recipe.get(key))
                raise ValueError(
                    f"{path} es de otra carrera (cambia {', '.join(changed)}): elige otra carpeta"
                )
        else:
            scratch = folder / f".{path.stem}"
            run = _run(described, device, scratch)
            if not first and not device.startswith("cuda"):
                run = dataclasses.replace(run, memory=None)
            first = False
            _write(path, dataclasses.asdict(run))
            rows = [dataclasses.asdict(row) for row in standings(load(folder))]
            _write(folder / "resumen.json", rows)
            shutil.rmtree(scratch, ignore_errors=True)  # ahora que lo que costó está a salvo
        runs.append(run)
        if on_run:
            on_run(run)
    return runs


def load(folder: Path) -> list[Run]:
    """Lee las corridas de una carpeta.

    Args:
        folder: La de `run_all`.

    Returns:
        Las corridas, por nombre de archivo.

    Raises:
        ValueError: Si no hay ninguna, o un archivo no es una corrida.
    """
    paths = sorted(folder.glob("*-*.json"))
    if not paths:
        raise ValueError(f"en {folder} no hay corridas: se hacen con cnnhistory race {folder}")
    return [_read(path) for path in paths]


def standings(runs: Sequence[Run]) -> list[Standing]:
    """Resume las corridas, de la red que más acierta a la que menos.

    Args:
        runs: Las corridas.

    Returns:
        Un `Standing` por red que haya terminado alguna vez.
    """
    names = dict.fromkeys(run.recipe["name"] for run in runs)
    rows = []
    for name in names:
        own = [run for run in runs if run.recipe["name"] == name]
        scores = [run.test.top1 for run in own if run.test]
        done = [run for run in own if run.test]
        if not done:
            continue
        speeds = [epoch.images_per_second for run in done for epoch in run.history]
        rows.append(
            Standing(
                name,
                statistics.mean(scores),
                statistics.stdev(scores) if len(scores) > 1 else 0.0,
                len(done),
                len(own) - len(done),
                done[0].parameters,
                done[0].macs,
                statistics.mean(run.seconds for run in done),
                statistics.median(speeds),
            )
        )
    return sorted(rows, key=lambda row: -row.top1)


def machine(device: str) -> str:
    """Con qué se corrió: la GPU, o el procesador y los hilos.

    Args:
        device: Dispositivo de torch.

    Returns:
        Una línea.
    """
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    names = [platform.processor() or platform.machine()]
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    name = names[0] if names else platform.machine()
    threads = torch.get_num_threads()
    return f"{name}, {threads} {'hilo' if threads == 1 else 'hilos'}"


def versions() -> dict[str, str]:
    """Las versiones de las que dependen los números."""
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "cnnhistory": cnnhistory.__version__,
    }


def _run(described: experiment.Experiment, device: str, scratch: Path) -> Run:
    recipe = described.recipe()
    commit = _commit()  # al empezar: en horas de entrenamiento, el repositorio puede cambiar
    parts = described.parts(device)
    if parts.test is None:
        raise ValueError(f"la carrera mide en prueba, y a {described.dataset} le falta test/")
    keeper = Checkpoints(scratch, recipe | {"device": device} | parts.identity(), resume=True)
    with torch.device("meta"):
        net = models.create(
            described.name, num_classes=parts.num_classes, in_channels=parts.channels
        )
    shape = (parts.channels, *described.card().input_shape[1:])
    history: list[training.Epoch] = []
    test, error = None, ""
    _reset_peak(device)
    try:
        result = experiment.run(
            described, parts, device, checkpoints=keeper, on_epoch=history.append
        )
        test = result.test
    except training.DivergedError as problem:  # también es un resultado
        error = str(problem)
    return Run(
        recipe=recipe,
        machine=machine(device),
        versions=versions(),
        commit=commit,
        date=datetime.date.today().isoformat(),
        parameters=inspection.count_parameters(net),
        macs=inspection.count_macs(net, shape),
        history=history,
        test=test,
        memory=_peak(device),
        error=error,
    )


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    text = json.dumps(content, ensure_ascii=False, indent=1)
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def _read(path: Path) -> Run:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        # Lo que una corrida vieja no dice es lo que entonces no se podía cambiar.
        values["recipe"] = _UNSAID | values["recipe"]
        values["history"] = [training.Epoch(**epoch) for epoch in values["history"]]
        values["test"] = training.Metrics(**values["test"]) if values["test"] else None
        return Run(**values)
    except (ValueError, KeyError, TypeError):
        raise ValueError(f"{path} no es una corrida: bórralo para repetirla") from None


def _commit() -> str | None:
    here = Path(__file__).parent
    command = ["git", "-C", str(here), "describe", "--always", "--abbrev=12", "--dirty=+"]
    try:
        ended = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return ended.stdout.strip() or None


def _reset_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)
    elif Path("/proc/self/clear_refs").exists():
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:  # en un contenedor sin permiso queda el máximo de todo el proceso
            return


def _peak(device: str) -> int | None:
    if device.startswith("cuda"):
        return torch.cuda.max_memory_allocated(device)
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    peaks = [line for line in status.read_text().splitlines() if line.startswith("VmHWM:")]
    return int(peaks[0].split()[1]) * 1024 if peaks else None
