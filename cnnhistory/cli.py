"""La línea de comandos: `cnnhistory list`, `show`, `train`, `evaluate`, `race` y `export`."""

import argparse
import dataclasses
import io
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import nn
from torchvision.transforms import v2
from tqdm import tqdm

import cnnhistory
from cnnhistory import (
    augmentation,
    checkpoints,
    data,
    distributed,
    eras,
    experiment,
    export,
    inspection,
    logs,
    models,
    race,
    training,
)

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ejecuta la orden y devuelve el código de salida.

    Args:
        arguments: Los argumentos; por omisión, los del proceso.

    Returns:
        0 si todo fue bien, 1 si la orden no se pudo cumplir, 130 si se interrumpió. Los
        argumentos mal escritos salen con 2, como en cualquier programa.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # una consola sin «é» no detiene nada
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except BrokenPipeError:  # quien leía, como `head`, ya tiene lo que quería
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except _EXPECTED as error:
        print(f"cnnhistory: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        what = error.filename or "la salida"
        print(f"cnnhistory: no se pudo usar {what}: {error.strerror or error}", file=sys.stderr)
        return 1
    except (RuntimeError, MemoryError) as error:
        if not training.is_out_of_memory(error):
            raise
        print("cnnhistory: no alcanza la memoria para los datos o la red", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncnnhistory: interrumpido", file=sys.stderr)
        return 130
    return 0


# Lo que puede salir mal sin que sea culpa del programa; sus mensajes dicen qué hacer.
_EXPECTED = (ValueError, data.DataError, training.TrainingError, distributed.DistributedError)


def _list(_options: argparse.Namespace) -> None:
    rows = [("red", "año", "parámetros", "MACs", "MB", "entrada", "desviaciones")]
    for name, card in models.CATALOG.items():
        parameters, macs = map(inspection.thousands, (card.parameters, card.macs))
        shape, size = "×".join(map(str, card.input_shape)), f"{card.megabytes:.1f}"
        deviations = str(len(card.deviations) or "—")
        rows.append((name, str(card.year), parameters, macs, size, shape, deviations))
    _print_table(rows)


def _print_table(rows: Sequence[tuple[str, ...]]) -> None:
    """Columnas alineadas: la primera a la izquierda y las demás a la derecha."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, *cells in rows:
        aligned = (f"{cell:>{width}}" for cell, width in zip(cells, widths[1:], strict=True))
        print(f"{name:<{widths[0]}}", *aligned, sep="  ")


def _show(options: argparse.Namespace) -> None:
    with torch.device("meta"):
        model = models.create(options.name)
    card = models.CATALOG[options.name]
    print(f"{card.label} ({card.year})\n{card.idea}\n")
    print(f"{card.authors}\n«{card.title}»\n{card.url}\n")
    parameters, macs = map(inspection.thousands, (card.parameters, card.macs))
    print(f"{parameters} parámetros ({card.megabytes:.1f} MB) y {macs} MACs por imagen;")
    print("las capas que usa al predecir:\n")
    print(inspection.shape_table(model, card.input_shape))
    if card.deviations:
        print("\nSe aparta del artículo en:")
        for deviation in card.deviations:
            print(f"  · {deviation}")


def _train(options: argparse.Namespace) -> None:
    together = distributed.session(options.device) if distributed.launched() else None
    with together or nullcontext(options.device) as device:
        try:
            _train_on(device, options)
        except RuntimeError as error:
            if not type(error).__module__.startswith(("torch._dynamo", "torch._inductor")):
                raise
            raise ValueError(
                f"torch.compile no pudo con la red aquí ({str(error).splitlines()[0]}): instala un "
                "compilador de C++, en Debian g++, o quita --compile"
            ) from None


def _train_on(device: str, options: argparse.Namespace) -> None:
    """Entrena en este proceso; con `torchrun`, junto con los demás, y solo habla el 0."""
    described = _described(options)
    models.find(described.name)
    _check_checkpoints(options)
    speaks = distributed.rank() == 0
    reports = _reports(options) if speaks else []
    parts = described.parts(device)
    recipe = described.recipe() | {"device": options.device} | parts.identity()
    keeper = (
        checkpoints.Checkpoints(options.checkpoints, recipe, options.resume, parts.inputs())
        if options.checkpoints
        else None
    )
    with tqdm(
        total=described.epochs * parts.images,
        unit=" imágenes",
        unit_scale=True,
        disable=None if speaks else True,  # sin terminal no hay barra: solo las líneas
        dynamic_ncols=True,
        mininterval=1,  # cada vez que se dibuja, se lee una pérdida y se espera a la GPU
    ) as progress:

        def advance(loss: torch.Tensor, images: int) -> None:
            if progress.update(images * distributed.shard()[1]):
                progress.set_postfix_str(f"pérdida {loss.item():.4f}")

        def report(epoch: training.Epoch) -> None:
            done = epoch.number * parts.images
            if progress.n < done:  # recuperada al reanudar: no cuenta para la velocidad
                progress.initial = progress.n = progress.last_print_n = done
            progress.set_postfix_str(f"pérdida {epoch.train_loss:.4f}")
            if speaks:
                progress.write(_line(epoch, described.epochs), file=sys.stdout)
            for write in reports:
                write(epoch)

        result = experiment.run(
            described,
            parts,
            device,
            checkpoints=keeper,
            on_epoch=report,
            on_batch=advance,
        )
    if speaks and result.test:
        print(f"prueba: {_scores(result.test)}")
    if speaks and keeper:
        print(f"pesos en {keeper.folder / 'last.safetensors'}")


def _evaluate(options: argparse.Namespace) -> None:
    _check_alone("la evaluación")
    weights, trained, _ = _weights(options.weights)
    described = experiment.Experiment(
        options.name,
        options.dataset,
        options.subset,
        seed=trained.get("seed", 0),
        batch_size=options.batch_size,
        side=options.side or trained.get("side"),
        workers=options.workers,
    )
    parts = described.parts(options.device)
    model = _restored(options.name, parts.channels, parts.num_classes, weights, options.weights)
    model = model.to(options.device).to(memory_format=torch.channels_last)
    # La de un árbol está en su carpeta; la de los demás se aparta con la semilla del entrenamiento.
    same = all(trained.get(key) == getattr(described, key) for key in ("dataset", "subset"))
    if same or Path(described.dataset).is_dir():
        print(f"validación: {_scores(training.evaluate(model, parts.validation))}")
    else:
        print("validación: no se mide; estos pesos no dicen si la vieron al entrenar")
    if parts.test is not None:
        print(f"prueba: {_scores(training.evaluate(model, parts.test))}")


def _restored(
    name: str, channels: int, num_classes: int, weights: dict[str, torch.Tensor], path: Path
) -> nn.Module:
    """La red para esos datos, con los pesos de un archivo."""
    model = models.create(name, num_classes=num_classes, in_channels=channels)
    try:
        model.load_state_dict(weights)
    except RuntimeError:
        colors = "un canal" if channels == 1 else f"{channels} canales"
        raise ValueError(
            f"los pesos de {path} no son de {name} con {num_classes} clases y {colors}: revisa la "
            "red y los datos"
        ) from None
    return model


def _weights(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any], dict[str, Any]]:
    """Los pesos de un archivo y, si las lleva, la receta con que se entrenaron y sus entradas."""
    if path.is_dir():
        raise ValueError(f"{path} es una carpeta: los pesos están en {path / 'last.safetensors'}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get("cnnhistory", "{}"))
        weights = load_file(path)
    except FileNotFoundError:
        raise ValueError(f"no existe {path}: revisa la ruta de los pesos") from None
    except SafetensorError:
        raise ValueError(f"{path} está dañado o no es un archivo safetensors") from None
    if "history" in metadata:
        raise ValueError(
            f"{path} es un punto de control: los pesos están en {path.parent / 'last.safetensors'}"
        )
    return weights, metadata.get("recipe", {}), metadata.get("inputs", {})


def _export(options: argparse.Namespace) -> None:
    """Escribe en ONNX la red de unos pesos, con la normalización de los datos que vio."""
    if options.file.suffix != ".onnx" or options.file.is_dir():
        raise ValueError(
            f"el archivo que se escribe debe terminar en .onnx; llegó «{options.file}»"
        )
    weights, trained, inputs = _weights(options.weights)
    if not inputs:
        raise ValueError(
            f"{options.weights} no dice qué red es ni qué clases distingue: usa el "
            "last.safetensors que deja cnnhistory train --checkpoints"
        )
    _check_writable(options.file.parent)
    described = experiment.Experiment(trained["name"], side=trained["side"])
    channels, classes = len(inputs["mean"]), inputs["classes"]
    model = nn.Sequential(
        v2.Normalize(inputs["mean"], inputs["std"]),
        _restored(described.name, channels, len(classes), weights, options.weights),
    )
    shape = (channels, *described.card().input_shape[1:])
    export.to_onnx(model, options.file, shape, classes)
    size = "×".join(map(str, shape))
    print(f"{options.file}: imágenes, N×{size} en [0, 1] → logits, N×{len(classes)}")


def _race(options: argparse.Namespace) -> None:
    _check_alone("la carrera")
    _check_writable(options.folder)
    networks = options.networks or (tuple(eras.ERAS) if options.as_published else race.RUNNERS)
    template = _described(options, name=networks[0])
    if options.as_published or options.recipe_of:
        _check_no_recipe(template)
    if options.recipe_of:
        template = dataclasses.replace(template, name=options.recipe_of).as_published()

    def report(run: race.Run) -> None:
        name, seed = run.recipe["name"], run.recipe["seed"]
        said = _scores(run.test) if run.test else f"no terminó: {run.error}"
        print(f"{name}, semilla {seed}: {said}, {run.seconds:.0f} s", flush=True)

    runs = race.run_all(
        options.folder,
        networks,
        range(options.seeds),
        template,
        options.device,
        as_published=options.as_published,
        on_run=report,
    )
    rows = [("red", "top-1 en prueba", "corridas", "parámetros", "MACs", "segundos")]
    for row in race.standings(runs):
        parameters, macs = map(inspection.thousands, (row.parameters, row.macs))
        score = f"{row.top1:.2%} ± {row.deviation:.2%}"
        done = f"{row.runs} de {row.runs + row.failed}"
        rows.append((row.name, score, done, parameters, macs, f"{row.seconds:.0f}"))
    print()
    _print_table(rows)


def _check_no_recipe(template: experiment.Experiment) -> None:
    """Con la receta de un artículo, comprueba que no se pida otra además."""
    plain = experiment.Experiment(template.name)
    given = [
        f"--{name.replace('_', '-')}"
        for name in (
            *("lr", "weight_decay", "schedule", "label_smoothing"),
            *("clip_norm", "augment", "mix"),
        )
        if getattr(template, name) != getattr(plain, name)
    ]
    if given:
        raise ValueError(
            f"la receta del artículo ya dice lo demás: quita {' y '.join(given)}, o corre sin "
            "--as-published ni --recipe-of"
        )


def _described(options: argparse.Namespace, **more) -> experiment.Experiment:
    """El experimento que piden los argumentos."""
    fields = {field.name for field in dataclasses.fields(experiment.Experiment)}
    chosen = {key: value for key, value in vars(options).items() if key in fields}
    return experiment.Experiment(**chosen, **more)


def _scores(scores: training.Metrics) -> str:
    return f"top-1 {scores.top1:.2%}, top-5 {scores.top5:.2%}, pérdida {scores.loss:.4f}"


def _reports(options: argparse.Namespace) -> list[Callable[[training.Epoch], None]]:
    """A dónde va cada época, además de la pantalla."""
    reports = []
    if options.log:
        _check_writable(options.log.parent)
        reports.append(logs.json_lines(options.log))
    if options.tensorboard:
        _check_writable(options.tensorboard)
        reports.append(logs.tensorboard(options.tensorboard))
    return reports


def _check_checkpoints(options: argparse.Namespace) -> None:
    """Comprueba, antes de leer los datos, que habrá dónde guardar y desde dónde seguir."""
    if options.checkpoints:
        _check_writable(options.checkpoints)
    elif options.resume:
        raise ValueError("--resume necesita saber desde dónde: agrega --checkpoints CARPETA")


def _check_alone(what: str) -> None:
    if distributed.launched():
        raise ValueError(f"{what} va en un solo proceso: lánzala sin torchrun")


def _check_writable(folder: Path) -> None:
    """Comprueba, antes de entrenar, que los resultados se podrán guardar."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # Cada proceso prueba con un archivo propio y sin nombre fijo: todos comparten la carpeta.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError:
        raise ValueError(
            f"no se puede escribir en la carpeta {folder}: elige otra o revisa sus permisos"
        ) from None


def _line(epoch: training.Epoch, epochs: int) -> str:
    return (
        f"época {epoch.number}/{epochs}  pérdida {epoch.train_loss:.4f}  "
        f"validación {epoch.val_loss:.4f}  top-1 {epoch.val_top1:.2%}  "
        f"{epoch.images_per_second:.0f} imágenes/s"
    )


def _parser() -> argparse.ArgumentParser:
    parser = _SpanishParser(prog="cnnhistory", description=cnnhistory.__doc__)
    parser.add_argument(
        "--version", action="version", version=cnnhistory.__version__, help="muestra la versión"
    )
    commands = parser.add_subparsers(title="órdenes", required=True, metavar="ORDEN")

    listing = commands.add_parser("list", help="las redes del catálogo")
    listing.set_defaults(run=_list)

    show = commands.add_parser("show", help="la ficha y las capas de una red")
    show.add_argument("name", metavar="RED", help="nombre en el catálogo")
    show.set_defaults(run=_show)

    train = commands.add_parser("train", help="entrena una red, por omisión en Fashion-MNIST")
    train.add_argument("name", metavar="RED", help="nombre en el catálogo")
    _add_data(train)
    text = "semilla de pesos, lotes y reparto (por omisión, %(default)s)"
    train.add_argument("--seed", metavar="N", type=_seed, default=0, help=text)
    _add_recipe(train)
    for flag, metavar, meaning in (
        ("--checkpoints", "CARPETA", "donde dejar last.safetensors y poder reanudar"),
        ("--log", "ARCHIVO", "JSON, una línea por época"),
        ("--tensorboard", "CARPETA", "curvas para TensorBoard, si está instalado"),
    ):
        train.add_argument(flag, metavar=metavar, type=Path, help=meaning)
    train.add_argument("--resume", action="store_true", help="sigue lo que haya en CARPETA")
    train.set_defaults(run=_train)

    evaluate = commands.add_parser("evaluate", help="mide una red con los pesos de un archivo")
    evaluate.add_argument("name", metavar="RED", help="nombre en el catálogo")
    _add_data(evaluate)
    text = "lado de las imágenes (por omisión, el de los pesos o el de la ficha de la red)"
    evaluate.add_argument("--side", metavar="PÍXELES", type=_positive_integer, help=text)
    text = "los pesos, como los que deja train en last.safetensors"
    evaluate.add_argument("--weights", metavar="ARCHIVO", type=Path, required=True, help=text)
    evaluate.set_defaults(run=_evaluate)

    racing = commands.add_parser("race", help="entrena todas las redes con la misma receta")
    racing.add_argument("folder", metavar="CARPETA", type=Path, help="donde queda cada corrida")
    text = (
        "redes del catálogo, separadas por comas (por omisión, las minis, LeNet-5 y softmax; "
        "softmax no tiene receta de artículo)"
    )
    racing.add_argument("--networks", metavar="REDES", type=_list_of_names, help=text)
    text = "semillas, desde 0 (por omisión, %(default)s)"
    racing.add_argument("--seeds", metavar="N", type=_positive_integer, default=3, help=text)
    _add_data(racing)
    _add_recipe(racing)
    recipes = racing.add_mutually_exclusive_group()
    text = "cada red, con la receta de su artículo en lugar de la común"
    recipes.add_argument("--as-published", action="store_true", help=text)
    text = "todas, con la receta del artículo de esa red"
    recipes.add_argument("--recipe-of", metavar="RED", type=_one_of(eras.ERAS), help=text)
    racing.set_defaults(run=_race)

    exporting = commands.add_parser("export", help="escribe en ONNX una red entrenada")
    text = "los pesos, el last.safetensors que deja train"
    exporting.add_argument("weights", metavar="PESOS", type=Path, help=text)
    exporting.add_argument(
        "file", metavar="ARCHIVO", type=Path, help="el archivo .onnx que escribe"
    )
    exporting.set_defaults(run=_export)
    return parser


def _add_recipe(command: argparse.ArgumentParser) -> None:
    """La receta: lo que comparten entrenar una red y correr con todas."""
    for flag, metavar, kind, default, meaning in (
        ("--epochs", "N", _positive_integer, 5, "vueltas a los datos"),
        ("--weight-decay", "DECAIMIENTO", _number, 5e-4, "decaimiento de los pesos"),
        ("--label-smoothing", "FRACCIÓN", _fraction, 0.0, "suavizado de etiquetas"),
        ("--schedule", "PLAN", _one_of(experiment.SCHEDULES), "one_cycle", "plan de la tasa"),
    ):
        text = f"{meaning} (por omisión, %(default)s)"
        command.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
    for flag, metavar, kind, meaning in (
        ("--lr", "TASA", _positive_number, "tasa máxima (por omisión, la de la ficha de la red)"),
        ("--side", "PÍXELES", _positive_integer, "lado de las imágenes (el de la ficha de la red)"),
        ("--clip-norm", "NORMA", _positive_number, "norma máxima del gradiente"),
        ("--augment", "RECETA", _one_of(augmentation.RECIPES), "aumentación de las imágenes"),
        ("--mix", "MEZCLA", _one_of(("mixup", "cutmix")), "mezcla imágenes y etiquetas"),
    ):
        command.add_argument(flag, metavar=metavar, type=kind, help=meaning)
    command.add_argument("--compile", action="store_true", help="compila la red con torch.compile")


def _add_data(command: argparse.ArgumentParser) -> None:
    """Los datos y dónde se calcula: lo que comparten todas."""
    sources = ", ".join([*experiment.SOURCES, "synthetic"])
    for flag, metavar, kind, default, meaning in (
        ("--dataset", "DATOS", str, "fashion", f"{sources}, o una carpeta con train y val"),
        ("--subset", "mini|full", _one_of(("mini", "full")), "mini", "cuánto de Fashion-MNIST"),
        ("--batch-size", "N", _positive_integer, 128, "imágenes por lote"),
        ("--device", "DISPOSITIVO", _device, _best_device(), "dispositivo de torch"),
        ("--workers", "N", _natural, 0, "procesos que leen las fotos de una carpeta"),
    ):
        text = f"{meaning} (por omisión, %(default)s)"
        command.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)


class _SpanishParser(argparse.ArgumentParser):
    """Un analizador que habla español, también cuando se queja."""

    def __init__(self, **settings) -> None:
        super().__init__(**settings, add_help=False, formatter_class=_SpanishFormatter)
        self._positionals.title = "argumentos"
        self._optionals.title = "opciones"
        self.add_argument("-h", "--help", action="help", help="muestra esta ayuda")

    def error(self, message: str) -> NoReturn:
        """Muestra el uso y el error, y termina con 2."""
        for english, spanish in _ERRORS:
            message = re.sub(english, spanish, message)
        self.print_usage(sys.stderr)
        self.exit(2, f"{self.prog}: {message}\n")


class _SpanishFormatter(argparse.HelpFormatter):
    def add_usage(self, usage, actions, groups, prefix=None) -> None:
        super().add_usage(usage, actions, groups, "uso: " if prefix is None else prefix)


# Los errores que argparse redacta por su cuenta; los de los valores los redactamos abajo.
_ERRORS = (
    (r"^the following arguments are required: (.*)", r"falta \1"),
    (r"^unrecognized arguments: (.*)", r"no conozco el argumento \1"),
    (r"^ambiguous option: (\S+) could match (.*)", r"\1 es ambigua: puede ser \2"),
    (r"^argument ([^:]+): ", r"\1: "),
    (r"not allowed with argument (.*)", r"no se lleva con \1"),
    (r"expected one argument", "falta su valor"),
    (r"ignored explicit argument (.*)", r"no lleva valor, y llegó \1"),
    (
        r"invalid choice: '(.*?)'.*",
        "no existe «\\1»; hay list, show, train, evaluate, race y export",
    ),
)


def _positive_integer(text: str) -> int:
    if not re.fullmatch(r"\+?\d{1,12}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"debe ser un entero positivo; llegó «{text}»")
    return int(text)


def _positive_number(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(
            f"debe ser un número positivo, con punto decimal; llegó «{text}»"
        )
    return number


def _seed(text: str) -> int:
    if not re.fullmatch(r"\d{1,18}", text):
        raise argparse.ArgumentTypeError(
            f"debe ser un entero de 0 en adelante, de hasta 18 cifras; llegó «{text}»"
        )
    return int(text)


def _list_of_names(text: str) -> tuple[str, ...]:
    listed = tuple(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    if not listed:
        raise argparse.ArgumentTypeError(f"debe nombrar al menos una red; llegó «{text}»")
    return listed


def _natural(text: str) -> int:
    if not re.fullmatch(r"\d{1,4}", text):
        raise argparse.ArgumentTypeError(f"debe ser un entero de 0 a 9999; llegó «{text}»")
    return int(text)


def _number(text: str) -> float:
    return 0.0 if re.fullmatch(r"0+(\.0*)?", text) else _positive_number(text)


def _fraction(text: str) -> float:
    number = _number(text)
    if number >= 1:
        raise argparse.ArgumentTypeError(f"debe ser menor que 1; llegó «{text}»")
    return number


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f"debe ser {' o '.join(choices)}; llegó «{text}»")
        return text

    return check


def _device(text: str) -> str:
    try:
        # En float64, como las sumas del bucle: las GPU de Apple no lo tienen, y dan TypeError.
        torch.zeros(1, dtype=torch.float64, device=text).item()
    except (RuntimeError, AssertionError, TypeError):
        raise argparse.ArgumentTypeError(
            f"torch no puede usar aquí el dispositivo «{text}»; prueba con cpu"
        ) from None
    return text


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
