"""La línea de comandos: `cnnhistory list`, `show` y `train`."""

import argparse
import dataclasses
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
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
    except (ValueError, data.DataError, training.TrainingError, OSError) as error:
        print(f"cnnhistory: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\ncnnhistory: interrumpido", file=sys.stderr)
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="cnnhistory", description=cnnhistory.__doc__)
    parser.add_argument("--version", action="version", version=cnnhistory.__version__)
    commands = parser.add_subparsers(required=True, metavar="orden")

    listing = commands.add_parser("list", help="las redes del catálogo")
    listing.set_defaults(run=_list)

    show = commands.add_parser("show", help="la ficha y las capas de una red")
    show.add_argument("name", metavar="RED", help="nombre en el catálogo")
    show.set_defaults(run=_show)

    train = commands.add_parser(
        "train",
        help="entrena una red en Fashion-MNIST",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    train.add_argument("name", metavar="RED", help="nombre en el catálogo")
    train.add_argument("--epochs", type=int, default=5, help="vueltas a los datos")
    train.add_argument("--lr", type=float, default=0.05, help="tasa de aprendizaje máxima")
    train.add_argument("--batch-size", type=int, default=128, help="imágenes por lote")
    train.add_argument("--seed", type=int, default=0, help="semilla de pesos, lotes y reparto")
    train.add_argument("--subset", choices=("mini", "full"), default="mini", help="datos")
    train.add_argument("--device", default=_best_device(), help="dispositivo de torch")
    train.add_argument("--checkpoints", type=Path, help="carpeta para last.safetensors")
    train.add_argument("--log", type=Path, help="archivo JSON Lines, una línea por época")
    train.set_defaults(run=_train)
    return parser


def _best_device() -> str:
    return "cuda" if torch.cuda.is_available() else "cpu"


def _list(_options: argparse.Namespace) -> None:
    rows = [("red", "año", "parámetros", "MACs", "entrada")]
    for name, card in models.CATALOG.items():
        counts = map(inspection.thousands, (card.parameters, card.macs))
        rows.append((name, str(card.year), *counts, "×".join(map(str, card.input_shape))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for name, year, parameters, macs, shape in rows:
        print(
            f"{name:<{widths[0]}}  {year:<{widths[1]}}  {parameters:>{widths[2]}}  "
            f"{macs:>{widths[3]}}  {shape}"
        )


def _show(options: argparse.Namespace) -> None:
    with torch.device("meta"):
        model = models.create(options.name)
    card = models.CATALOG[options.name]
    print(f"{card.label} ({card.year})\n{card.idea}\n")
    print(f"{card.authors}\n«{card.title}»\n{card.url}\n")
    print(inspection.shape_table(model, card.input_shape))
    if card.deviations:
        print("\nSe aparta del artículo en:")
        for deviation in card.deviations:
            print(f"  · {deviation}")


def _train(options: argparse.Namespace) -> None:
    torch.manual_seed(options.seed)
    model = models.create(options.name, num_classes=10, in_channels=1).to(options.device)
    model = model.to(memory_format=torch.channels_last)
    train, test = data.fashion_mnist(options.subset)
    train, validation = data.split(train, fraction=0.1, seed=options.seed)
    size = models.CATALOG[options.name].input_shape[1:]
    steps = [data.normalization(train)]
    if size != tuple(train.images.shape[2:]):
        steps.insert(0, v2.Resize(size, antialias=True))
    transform = v2.Compose(steps)

    def batches(part: data.Dataset, *, shuffle: bool = False) -> data.Batches:
        return data.Batches(
            part,
            options.batch_size,
            shuffle=shuffle,
            seed=options.seed,
            transform=transform,
            device=options.device,
        )

    train_batches = batches(train, shuffle=True)
    if options.log:
        options.log.write_text("", encoding="utf-8")

    def report(epoch: training.Epoch) -> None:
        progress.write(
            f"época {epoch.number}/{options.epochs}  pérdida {epoch.train_loss:.4f}  "
            f"validación {epoch.val_loss:.4f}  top-1 {epoch.val_top1:.2%}  "
            f"{epoch.images_per_second:.0f} imágenes/s",
            file=sys.stdout,
        )
        if options.log:
            with options.log.open("a", encoding="utf-8") as log:
                log.write(json.dumps(dataclasses.asdict(epoch)) + "\n")

    total = options.epochs * len(train_batches)
    with tqdm(total=total, unit="lote", disable=None, dynamic_ncols=True) as progress:
        training.train(
            model,
            _Watched(train_batches, progress),
            batches(validation),
            epochs=options.epochs,
            lr=options.lr,
            on_epoch=report,
        )
    scores = training.evaluate(model, batches(test))
    print(f"prueba: top-1 {scores.top1:.2%}, top-5 {scores.top5:.2%}, pérdida {scores.loss:.4f}")
    if options.checkpoints:
        path = _save(model.state_dict(), options.checkpoints)
        print(f"pesos en {path}")


class _Watched:
    """Los mismos lotes, avisando a la barra de progreso de cada uno."""

    def __init__(self, batches: data.Batches, progress: tqdm) -> None:
        self.batches, self.progress = batches, progress

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self):
        for batch in self.batches:
            yield batch
            self.progress.update()


def _save(weights: dict[str, Tensor], folder: Path) -> Path:
    """Guarda los pesos sin dejar nunca un archivo a medias: escribe aparte y renombra."""
    folder.mkdir(parents=True, exist_ok=True)
    path, partial = folder / "last.safetensors", folder / "last.safetensors.partial"
    save_file({name: value.contiguous() for name, value in weights.items()}, partial)
    partial.replace(path)
    return path


if __name__ == "__main__":
    sys.exit(main())
