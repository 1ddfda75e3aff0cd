"""Los puntos de control: lo que hace falta para seguir un entrenamiento sin que se note.

Son archivos safetensors, tensores y JSON sin código. Cada uno se escribe aparte, se lleva al disco
y se renombra: pase lo que pase, nunca queda uno a medias, y el anterior se conserva.
"""

import dataclasses
import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from cnnhistory import distributed
from cnnhistory.training import Epoch, Loader, TrainingError

__all__ = ["Checkpoints"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoints:
    """Los puntos de control de un entrenamiento, en una carpeta.

    Al final de cada época deja en ella ``last.safetensors``, los pesos y la receta, para usar la
    red; y ``checkpoint.safetensors``, con los pesos, el estado del optimizador, la tasa, la
    historia y los generadores de azar. El de la época anterior queda en ``previous.safetensors``:
    si el último se daña, se aparta como ``damaged.safetensors``, se sigue desde el anterior y se
    avisa en el registro ``cnnhistory.checkpoints``.

    Con varios procesos escribe el 0, y todos leen: la carpeta debe ser común.

    Attributes:
        folder: La carpeta; se crea si no existe.
        recipe: Lo que identifica al entrenamiento (red, datos, semilla, épocas…), con valores
            de JSON. Solo se reanuda uno que tenga la misma receta.
        resume: Si se sigue desde lo que haya en la carpeta; si no hay nada, se empieza.
        inputs: Lo que necesita quien use los pesos sin los datos (las clases, la normalización),
            con valores de JSON; va con los pesos.
    """

    folder: Path
    recipe: Mapping[str, object]
    resume: bool = False
    inputs: Mapping[str, object] = field(default_factory=dict)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Reserva la carpeta: dos entrenamientos a la vez en ella se pisarían.

        El sistema la libera también si el proceso muere.

        Raises:
            TrainingError: Si otro entrenamiento la está usando.
        """
        if distributed.rank() > 0:
            yield
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        lock = nullcontext()
        try:
            lock = FileLock(self.folder / "lock").acquire(timeout=0)
        except Timeout:
            raise TrainingError(
                f"otro entrenamiento está usando {self.folder}: espera a que termine, o elige otra "
                "carpeta"
            ) from None
        except OSError as error:  # hay discos de red que no saben reservar
            _log.warning("%s no se puede reservar (%s): que nadie más la use", self.folder, error)
        with lock:
            yield

    def save(
        self,
        history: list[Epoch],
        model: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler,
        batches: Loader,
    ) -> None:
        """Guarda el estado con que empezará la época siguiente.

        Args:
            history: Las épocas terminadas.
            model: La red.
            optimizer: El optimizador.
            schedule: El plan de la tasa de aprendizaje.
            batches: Los lotes de entrenamiento.

        Raises:
            TrainingError: Si no se puede escribir; lo guardado antes sigue intacto.
        """
        random = distributed.gathered(
            {name: state for name, (state, _) in _generators(batches).items()}
        )
        if distributed.rank() > 0:
            return
        model = distributed.unwrapped(model)
        weights = model.state_dict()
        tensors = {f"model/{name}": value for name, value in weights.items()}
        for name, slot, value in _optimizer_state(model, optimizer):
            tensors[f"optimizer/{name}/{slot}"] = value
        for rank, states in enumerate(random):
            tensors |= {f"random/{rank}/{name}": state for name, state in states.items()}
        recipe = {"recipe": dict(self.recipe)}
        state = json.dumps(
            recipe
            | {
                "history": [dataclasses.asdict(epoch) for epoch in history],
                "schedule": schedule.state_dict(),
                "lr": [group["lr"] for group in optimizer.param_groups],
            }
        )
        metadata = {"cnnhistory": state, "sha256": _digest(tensors, state)}
        self.folder.mkdir(parents=True, exist_ok=True)
        # Primero los pesos: si algo corta aquí, al reanudar se repite la época y se reescriben.
        described = json.dumps(recipe | {"inputs": dict(self.inputs)})
        _write(self.folder / "last.safetensors", weights, {"cnnhistory": described})
        _write(self._paths()[0], tensors, metadata, self._paths()[1])

    def load(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler,
        batches: Loader,
    ) -> list[Epoch]:
        """Devuelve todo al estado guardado; sin ``resume``, o sin nada guardado, no toca nada.

        Args:
            model: La red, recién creada.
            optimizer: El optimizador, recién creado.
            schedule: El plan de la tasa de aprendizaje, recién creado.
            batches: Los lotes de entrenamiento, sin recorrer.

        Returns:
            Las épocas ya terminadas.

        Raises:
            TrainingError: Si no queda ningún archivo sano, no se puede leer, es de un entrenamiento
                con otra receta u otra cantidad de procesos, o no todos encuentran el mismo.
        """
        if not self.resume:
            return []
        history, damaged = self._load(model, optimizer, schedule, batches)
        found = distributed.gathered(len(history))
        if len(set(found)) > 1:
            raise TrainingError(
                f"los procesos encontraron puntos de control de épocas distintas ({found}) en "
                f"{self.folder}: la carpeta debe ser la misma para todas las máquinas"
            )
        if damaged and distributed.rank() == 0:
            # Si no, al guardar tomaría el lugar del que sí está sano.
            damaged.replace(self.folder / "damaged.safetensors")
        return history

    def _load(
        self,
        model: nn.Module,
        optimizer: Optimizer,
        schedule: LRScheduler,
        batches: Loader,
    ) -> tuple[list[Epoch], Path | None]:
        """Las épocas recuperadas, y el archivo dañado que hubo que saltar."""
        damaged = None
        present = [path for path in self._paths() if path.exists()]
        if not present:
            return [], None
        for path in present:
            loaded = _read(path)
            if loaded is None:
                _log.warning("%s está dañado: se busca el punto de control anterior", path)
                damaged = path
                continue
            state, tensors = loaded
            self._check_recipe(state["recipe"])
            self._restore(tensors, path, model, optimizer, batches)
            schedule.load_state_dict(_with_the_keys_of(schedule.state_dict(), state["schedule"]))
            for group, lr in zip(optimizer.param_groups, state["lr"], strict=True):
                group["lr"] = lr
            return [Epoch(**epoch) for epoch in state["history"]], damaged
        raise TrainingError(
            f"{' y '.join(map(str, present))}: dañado o no es un punto de control; bórralo para "
            "empezar de nuevo"
        )

    def _paths(self) -> tuple[Path, Path]:
        return self.folder / "checkpoint.safetensors", self.folder / "previous.safetensors"

    def _restore(
        self,
        tensors: Mapping[str, Tensor],
        path: Path,
        model: nn.Module,
        optimizer: Optimizer,
        batches: Loader,
    ) -> None:
        generators = _generators(batches)
        random = _part(tensors, "random/")
        rank, processes = distributed.shard()
        if random.keys() != {f"{each}/{name}" for each in range(processes) for name in generators}:
            raise TrainingError(
                f"{path} se guardó con otros procesos, en otra clase de máquina o con otra clase "
                "de lotes: reanuda como empezaste"
            )
        model = distributed.unwrapped(model)
        model.load_state_dict(_part(tensors, "model/"))
        parameters = dict(model.named_parameters())
        state = optimizer.state_dict()
        order = [p for group in optimizer.param_groups for p in group["params"]]
        positions = {parameter: index for index, parameter in enumerate(order)}
        for key, value in _part(tensors, "optimizer/").items():
            name, slot = key.rsplit("/", 1)
            parameter = parameters[name]
            if value.shape == parameter.shape:
                # empty_like copia el orden en memoria del peso, del que depende el paso «fused».
                value = torch.empty_like(parameter).copy_(value)
            state["state"].setdefault(positions[parameter], {})[slot] = value
        optimizer.load_state_dict(state)
        for name, (_, restore) in generators.items():
            restore(random[f"{rank}/{name}"])

    def _check_recipe(self, saved: Mapping[str, object]) -> None:
        different = [
            f"{key} era {saved.get(key)} y ahora es {self.recipe.get(key)}"
            for key in sorted(saved.keys() | self.recipe.keys())
            if saved.get(key) != self.recipe.get(key)
        ]
        if different:
            raise TrainingError(
                f"en {self.folder} hay otro entrenamiento ({'; '.join(different)}): elige otra "
                "carpeta, o no pidas reanudar y se empezará de nuevo"
            )


def _optimizer_state(model: nn.Module, optimizer: Optimizer) -> list[tuple[str, str, Tensor]]:
    """Lo que el optimizador recuerda: nombre del parámetro, nombre de lo recordado y su valor."""
    return [
        (name, slot, value)
        for name, parameter in model.named_parameters()
        for slot, value in optimizer.state.get(parameter, {}).items()
        if isinstance(value, Tensor)
    ]


def _generators(batches: Loader) -> dict[str, tuple[Tensor, Callable[[Tensor], object]]]:
    """El estado de cada generador de azar que interviene, y la función que lo repone."""
    generators: dict[str, tuple[Tensor, Callable[[Tensor], object]]] = {
        "cpu": (torch.get_rng_state(), torch.set_rng_state)
    }
    if torch.cuda.is_available():
        generators["cuda"] = (torch.cuda.get_rng_state(), torch.cuda.set_rng_state)
    own = getattr(batches, "generator", None)
    if own is not None:
        generators["batches"] = (own.get_state(), own.set_state)
    return generators


def _with_the_keys_of(live: dict[str, Any], saved: dict[str, Any]) -> dict[str, Any]:
    """JSON vuelve texto las llaves enteras, como las épocas de `MultiStepLR`: aquí se reponen."""
    restored = dict(saved)
    for name, value in live.items():
        if isinstance(value, dict):
            keys = {str(key): key for key in value}
            pairs = {keys.get(key, key): each for key, each in saved[name].items()}
            restored[name] = type(value)(pairs)
    return restored


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Tensor]] | None:
    """El estado y los tensores de un archivo; ``None`` si está dañado."""
    try:
        path.open("rb").close()
    except PermissionError:
        raise TrainingError(f"no se puede leer {path}: revisa sus permisos") from None
    except OSError:
        return None
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata()
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if metadata["sha256"] != _digest(tensors, metadata["cnnhistory"]):
            return None
        return json.loads(metadata["cnnhistory"]), tensors
    except (SafetensorError, OSError, RuntimeError, TypeError, KeyError, ValueError):
        return None


def _digest(tensors: Mapping[str, Tensor], state: str) -> str:
    """La huella de todo lo guardado: un bloque de ceros o un bit cambiado no la dan."""
    digest = hashlib.sha256(state.encode())
    for name, value in sorted(tensors.items()):
        digest.update(name.encode())
        flat = value.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _write(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: dict[str, str],
    previous: Path | None = None,
) -> None:
    """Escribe aparte y renombra: quien lea ``path`` ve lo de antes o lo de ahora, entero."""
    partial = path.with_name(path.name + ".partial")
    try:
        partial.unlink(missing_ok=True)  # el de un proceso que murió ya no tiene sus permisos
        partial.touch()
        mode = partial.stat().st_mode
        save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
        partial.chmod(mode)  # safetensors lo deja solo para su dueño
        with partial.open("rb+") as file:
            os.fsync(
                file.fileno()
            )  # sin esto, un corte de luz puede dejar el nombre y no el contenido
    except (SafetensorError, OSError) as error:
        partial.unlink(missing_ok=True)
        raise TrainingError(
            f"no se pudo escribir {path} ({error}): libera espacio o revisa el disco, y sigue con "
            "la misma carpeta; lo guardado antes está intacto"
        ) from None
    if previous and path.exists():
        path.replace(previous)
    partial.replace(path)
