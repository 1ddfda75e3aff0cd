"""La línea de comandos: `cnnhistory list`, `show` y `train`."""

import argparse
import dataclasses
import json
import math
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import torch
from torch import Tensor
from torchvision.transforms import v2
from tqdm import tqdm

import cnnhistory
from cnnhistory import data, inspection, models, training

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Ejecuta la orden y devuelve el código de salida.

    Args:
        arguments: Los argumentos; por omisión, los del proceso.

    Returns:
        0 si todo fue bien, 1 si la orden no se pudo cumplir, 130 si se interrumpió. Los
        argumentos mal escritos salen con 2, como en cualquier programa.
    """
    options = _parser().parse_args(arguments)
    try:
        options.run(options)
        sys.stdout.flush()
    except BrokenPipeError:  # quien leía, como `head`, ya tiene lo que quería
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (ValueError, data.DataError, training.TrainingError) as error:
        print(f"cnnhistory: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"cnnhistory: no se pudo usar {error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncnnhistory: interrumpido", file=sys.stderr)
        return 130
    return 0


def _list(_options: argparse.Namespace) -> None:
    rows = [("red", "año", "parámetros", "MACs", "MB", "entrada", "desviaciones")]
    for name, card in models.CATALOG.items():
        parameters, macs = map(inspection.thousands, (card.parameters, card.macs))
        shape, size = "×".join(map(str, card.input_shape)), f"{card.megabytes:.1f}"
        deviations = str(len(card.deviations) or "—")
        rows.append((name, str(card.year), parameters, macs, size, shape, deviations))
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
    torch.manual_seed(options.seed)
    model = models.create(options.name, num_classes=10, in_channels=1).to(options.device)
    model = model.to(memory_format=torch.channels_last)
    options.lr = options.lr or models.CATALOG[options.name].lr
    checkpoints = _checkpoints(options)
    if options.log:
        _check_writable(options.log.parent)
        options.log.write_text("", encoding="utf-8")
    train, test = data.fashion_mnist(options.subset)
    train, validation = data.split(train, fraction=0.1, seed=options.seed)
    size = models.CATALOG[options.name].input_shape[1:]
    normalize = data.normalization(train)
    fits = size == tuple(train.images.shape[2:])
    transform = normalize if fits else v2.Compose([v2.Resize(size, antialias=True), normalize])
    train_batches, val_batches, test_batches = (
        _WatchedBatches(
            part,
            options.batch_size,
            shuffle=part is train,
            seed=options.seed,
            transform=transform,
            device=options.device,
        )
        for part in (train, validation, test)
    )

    with tqdm(
        total=options.epochs * len(train),
        unit=" imágenes",
        unit_scale=True,
        disable=None,  # sin terminal no hay barra: solo las líneas de cada época
        dynamic_ncols=True,
    ) as progress:

        def report(epoch: training.Epoch) -> None:
            done = epoch.number * len(train)
            if progress.n < done:  # recuperada al reanudar: no cuenta para la velocidad
                progress.initial = progress.n = progress.last_print_n = done
            progress.set_postfix_str(f"pérdida {epoch.train_loss:.4f}")
            progress.write(_line(epoch, options.epochs), file=sys.stdout)
            if options.log:
                with options.log.open("a", encoding="utf-8") as log:
                    log.write(json.dumps(dataclasses.asdict(epoch)) + "\n")

        train_batches.on_batch = progress.update
        training.train(
            model,
            train_batches,
            val_batches,
            epochs=options.epochs,
            lr=options.lr,
            checkpoints=checkpoints,
            on_epoch=report,
        )
    scores = training.evaluate(model, test_batches)
    print(f"prueba: top-1 {scores.top1:.2%}, top-5 {scores.top5:.2%}, pérdida {scores.loss:.4f}")
    if checkpoints:
        print(f"pesos en {checkpoints.folder / 'last.safetensors'}")


def _checkpoints(options: argparse.Namespace) -> training.Checkpoints | None:
    """Los puntos de control que piden los argumentos, en una carpeta donde se puede escribir."""
    if not options.checkpoints:
        if options.resume:
            raise ValueError("--resume necesita saber desde dónde: agrega --checkpoints CARPETA")
        return None
    _check_writable(options.checkpoints)
    keys = ("name", "subset", "seed", "epochs", "lr", "batch_size", "device")
    recipe = {key: getattr(options, key) for key in keys}
    return training.Checkpoints(options.checkpoints, recipe, options.resume)


def _check_writable(folder: Path) -> None:
    """Comprueba, antes de entrenar, que los resultados se podrán guardar."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".cnnhistory"
        probe.touch()
        probe.unlink()
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


class _WatchedBatches(data.Batches):
    """Lotes que avisan a la barra de progreso de las imágenes que ya pasaron."""

    on_batch: Callable[[int], object] | None = None

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for images, labels in super().__iter__():
            yield images, labels
            if self.on_batch:
                self.on_batch(len(labels))


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

    train = commands.add_parser("train", help="entrena una red en Fashion-MNIST")
    train.add_argument("name", metavar="RED", help="nombre en el catálogo")
    for flag, metavar, kind, default, meaning in (
        ("--epochs", "N", _positive_integer, 5, "vueltas a los datos"),
        ("--batch-size", "N", _positive_integer, 128, "imágenes por lote"),
        ("--seed", "N", _seed, 0, "semilla de pesos, lotes y reparto"),
        ("--subset", "mini|full", _subset, "mini", "10\u202f000 imágenes, o las 60\u202f000"),
        ("--device", "DISPOSITIVO", _device, _best_device(), "dispositivo de torch"),
    ):
        text = f"{meaning} (por omisión, %(default)s)"
        train.add_argument(flag, metavar=metavar, type=kind, default=default, help=text)
    text = "tasa de aprendizaje máxima (por omisión, la de la ficha de la red)"
    train.add_argument("--lr", metavar="TASA", type=_positive_number, help=text)
    train.add_argument(
        "--checkpoints", metavar="CARPETA", type=Path, help="donde dejar last.safetensors"
    )
    train.add_argument("--resume", action="store_true", help="sigue lo que haya en CARPETA")
    train.add_argument("--log", metavar="ARCHIVO", type=Path, help="JSON, una línea por época")
    train.set_defaults(run=_train)
    return parser


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
    (r"expected one argument", "falta su valor"),
    (r"ignored explicit argument (.*)", r"no lleva valor, y llegó \1"),
    (r"invalid choice: '(.*?)'.*", "no existe «\\1»; hay list, show y train"),
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


def _subset(text: str) -> str:
    if text not in ("mini", "full"):
        raise argparse.ArgumentTypeError(f"debe ser mini o full; llegó «{text}»")
    return text


def _device(text: str) -> str:
    try:
        torch.zeros(1, device=text).item()
    except (RuntimeError, AssertionError):
        raise argparse.ArgumentTypeError(
            f"torch no puede usar aquí el dispositivo «{text}»; prueba con cpu"
        ) from None
    return text


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    sys.exit(main())
