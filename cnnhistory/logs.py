"""El registro de un entrenamiento: lo que `on_epoch` puede hacer con cada época."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

from cnnhistory.training import Epoch

__all__ = ["json_lines", "tensorboard"]


def json_lines(path: Path) -> Callable[[Epoch], None]:
    """Escribe cada época en una línea de JSON; ``pandas.read_json(path, lines=True)`` la lee.

    Args:
        path: El archivo; empieza de nuevo con la primera época. Al reanudar se le vuelven a
            escribir las recuperadas, así que queda igual que si no se hubiera interrumpido.

    Returns:
        La función, para el ``on_epoch`` de `cnnhistory.training.train`.
    """
    path.open("a").close()  # si no se puede escribir, que se sepa ya
    mode = "w"

    def write(epoch: Epoch) -> None:
        nonlocal mode
        with path.open(mode, encoding="utf-8") as file:
            file.write(json.dumps(dataclasses.asdict(epoch)) + "\n")
        mode = "a"

    return write


def tensorboard(folder: Path) -> Callable[[Epoch], None]:
    """Dibuja las curvas en TensorBoard, si está instalado.

    Args:
        folder: La carpeta del registro, la de ``tensorboard --logdir``.

    Returns:
        La función, para el ``on_epoch`` de `cnnhistory.training.train`.

    Raises:
        ValueError: Si falta el paquete ``tensorboard``.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise ValueError("falta TensorBoard: instálalo con pip install tensorboard") from None
    # Al reanudar se repiten las épocas recuperadas: las de antes se descartan.
    writer = SummaryWriter(str(folder), purge_step=0)

    def write(epoch: Epoch) -> None:
        values = dataclasses.asdict(epoch)
        number = values.pop("number")
        for name, value in values.items():
            writer.add_scalar(name, value, number)
        writer.flush()

    return write
