"""Varios procesos, un entrenamiento: lo poco que cambia entre una máquina y un clúster.

Cada proceso tiene una copia de la red, ve su parte de cada lote y promedia sus gradientes con los
demás: es lo que hace `DistributedDataParallel`. `torchrun` los lanza y les dice quién es cada uno
con variables de entorno; sin ellas, todo aquí es como si hubiera un solo proceso.

Con dos procesos, reanudar da los mismos bits que no haber parado. Con más, la suma de los
gradientes puede cambiar de orden al reanudar, y los bits finales difieren en el redondeo.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn.parallel import DistributedDataParallel

__all__ = [
    "DistributedError",
    "gathered",
    "launched",
    "rank",
    "replicated",
    "session",
    "shard",
    "share_buffers",
    "summed",
    "unwrapped",
]

# Lo que se espera a los demás antes de darlos por perdidos.
_PATIENCE = timedelta(minutes=10)


class DistributedError(RuntimeError):
    """Los procesos no se encuentran o se perdió alguno; el mensaje dice qué revisar."""


def launched() -> bool:
    """Si a este proceso lo lanzó `torchrun`, u otro que ponga sus variables de entorno."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


@contextmanager
def session(device: str) -> Iterator[str]:
    """Reúne a los procesos que lanzó `torchrun` y los despide al terminar.

    Se comunican con NCCL entre GPU, una por proceso, y con gloo entre CPU.

    Args:
        device: Clase de dispositivo, ``"cuda"`` o ``"cpu"``.

    Yields:
        El dispositivo de este proceso, por ejemplo ``"cuda:1"``.

    Raises:
        ValueError: Si hay más procesos que GPU en la máquina.
        DistributedError: Si los procesos no llegan a encontrarse, o se pierde alguno.
    """
    if device.startswith("cuda"):
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise ValueError(
                f"cada proceso usa una GPU, y aquí hay {torch.cuda.device_count()} para el proceso "
                f"{local} de esta máquina (se cuentan desde 0): baja --nproc-per-node"
            )
        torch.cuda.set_device(local)
        device = f"cuda:{local}"
    try:
        backend = "nccl" if device.startswith("cuda") else "gloo"
        dist.init_process_group(backend, timeout=_PATIENCE)
    except (RuntimeError, ValueError) as error:
        raise DistributedError(
            f"los procesos no se encontraron ({_first_line(error)}): revisa que todos arranquen "
            "con la misma dirección y el mismo puerto, y lanza otra vez"
        ) from None
    try:
        yield device
    except dist.DistError as error:
        raise DistributedError(_lost(error)) from None
    except RuntimeError as error:
        # gloo avisa de una conexión cortada con un RuntimeError sin clase propia.
        if type(error) is not RuntimeError or "gloo" not in str(error).lower():
            raise
        raise DistributedError(_lost(error)) from None
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """El número de este proceso, desde 0; sin procesos, 0."""
    return dist.get_rank() if _together() else 0


def shard() -> tuple[int, int]:
    """El par ``(rank, procesos)``: qué parte de cada lote toca a este proceso."""
    return rank(), dist.get_world_size() if _together() else 1


def replicated(model: nn.Module) -> nn.Module:
    """La red, envuelta para promediar gradientes; con un solo proceso, la misma.

    Args:
        model: La red, ya en su dispositivo. Los pesos de todas las copias pasan a ser los del
            proceso 0.

    Returns:
        La que se entrena.
    """
    return DistributedDataParallel(model) if _together() else model


def unwrapped(model: nn.Module) -> nn.Module:
    """La red que hay dentro de lo que dio `replicated`.

    Args:
        model: Envuelta o no.

    Returns:
        La original.
    """
    return model.module if isinstance(model, DistributedDataParallel) else model


def share_buffers(model: nn.Module) -> None:
    """Deja en todas las copias los buffers de la del proceso 0.

    Los gradientes se promedian, pero las estadísticas de la normalización por lotes no. Antes de
    cada pasada, todos reciben las del proceso 0; durante ella, cada uno les suma las de sus
    imágenes. Después de la última hay que igualarlas otra vez, antes de medir o guardar.

    Args:
        model: Envuelta o no.
    """
    if _together():
        for buffer in unwrapped(model).buffers():
            dist.broadcast(buffer, src=0)


def summed(values: Tensor) -> Tensor:
    """Suma entre procesos, elemento a elemento; con uno solo, los mismos valores.

    Args:
        values: Los de este proceso, en su dispositivo; se modifican.

    Returns:
        La suma, igual en todos.
    """
    if _together():
        dist.all_reduce(values)
    return values


def gathered(value: Any) -> list[Any]:
    """Lo que tiene cada proceso, en orden.

    Args:
        value: Lo de este.

    Returns:
        Una lista con lo de todos; igual en todos.
    """
    if not _together():
        return [value]
    values: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(values, value)
    return values


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__


def _lost(error: Exception) -> str:
    return (
        f"el proceso {rank()} perdió la conexión con otro ({_first_line(error)}): mira qué dijo el "
        "que terminó antes, y sigue con --resume desde el último punto de control"
    )
