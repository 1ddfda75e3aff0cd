"""El bucle de entrenamiento: tres funciones que reciben datos y devuelven datos.

El dispositivo es aquel donde está el modelo. Las métricas se acumulan en él y se leen una sola
vez por época, porque cada lectura obliga a esperar a la GPU. Los promedios son sumas divididas
entre las imágenes vistas, así que un último lote más corto no los sesga. Con `Checkpoints`, un
entrenamiento interrumpido sigue donde iba y termina en los mismos bits.
"""

import dataclasses
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

__all__ = [
    "Checkpoints",
    "Epoch",
    "Loader",
    "Metrics",
    "TrainingError",
    "evaluate",
    "make_optimizer",
    "mixed_precision",
    "train",
    "train_one_epoch",
]


class Loader(Protocol):
    """Lo que el bucle pide a los datos: recorrerlos en lotes y saber cuántos son."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Da pares ``(imágenes (B, C, H, W), etiquetas (B,))``."""
        ...

    def __len__(self) -> int:
        """Cantidad de lotes."""
        ...


class TrainingError(RuntimeError):
    """El entrenamiento no puede seguir; el mensaje dice dónde se detuvo y qué probar."""


@dataclass(frozen=True)
class Metrics:
    """Lo que mide `evaluate`.

    Attributes:
        loss: Entropía cruzada media, en nats.
        top1: Fracción de imágenes cuya clase es la más votada.
        top5: Fracción de imágenes cuya clase está entre las cinco más votadas.
    """

    loss: float
    top1: float
    top5: float


@dataclass(frozen=True)
class Epoch:
    """Lo que pasó en una época.

    Attributes:
        number: Número de época, desde 1.
        train_loss: Pérdida media vista al entrenar, con los pesos de cada momento.
        val_loss: Pérdida media en validación, al terminar la época.
        val_top1: Acierto en validación, entre 0 y 1.
        val_top5: Acierto entre las cinco primeras, entre 0 y 1.
        seconds: Duración del entrenamiento de la época, sin la validación.
        images_per_second: Imágenes entrenadas por segundo.
    """

    number: int
    train_loss: float
    val_loss: float
    val_top1: float
    val_top5: float
    seconds: float
    images_per_second: float


def train(
    model: nn.Module,
    train_batches: Loader,
    val_batches: Loader,
    *,
    epochs: int,
    lr: float,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.0,
    checkpoints: "Checkpoints | None" = None,
    on_epoch: Callable[[Epoch], None] | None = None,
) -> list[Epoch]:
    """Entrena y valida, época por época.

    La receta es la misma para todas las redes del sitio: descenso estocástico con momento de
    Nesterov, y una tasa que sube durante el primer 30 % de los pasos y baja después hasta cero
    (Smith y Topin, «Super-Convergence», https://arxiv.org/abs/1708.07120).

    Args:
        model: La red, ya en su dispositivo; se modifica.
        train_batches: Lotes de entrenamiento.
        val_batches: Lotes de validación: nunca los de prueba.
        epochs: Vueltas completas a los datos.
        lr: Tasa de aprendizaje máxima.
        weight_decay: Decaimiento de los pesos (no de sesgos ni normalizaciones).
        label_smoothing: Suavizado de etiquetas, entre 0 y 1.
        checkpoints: Dónde guardar el estado al final de cada época y, si se pide, desde dónde
            seguir.
        on_epoch: Se llama con cada época terminada, también con las recuperadas al reanudar.

    Returns:
        Una `Epoch` por época.

    Raises:
        ValueError: Si ``epochs`` o ``lr`` no son positivos o no hay lotes.
        TrainingError: Si la pérdida deja de ser un número finito, o no se puede reanudar.
    """
    if epochs < 1 or not 0 < lr < math.inf:
        raise ValueError(f"epochs y lr deben ser positivos; llegaron {epochs} y {lr}")
    if not len(train_batches) or not len(val_batches):
        raise ValueError("no hay lotes: los de entrenamiento o los de validación están vacíos")
    optimizer = make_optimizer(model, lr, weight_decay)
    steps = epochs * len(train_batches)
    schedule = OneCycleLR(optimizer, lr, steps, pct_start=0.3, cycle_momentum=False)
    history = checkpoints.load(model, optimizer, schedule, train_batches) if checkpoints else []
    if on_epoch:
        for epoch in history:
            on_epoch(epoch)
    for number in range(len(history) + 1, epochs + 1):
        start = time.perf_counter()
        loss, images = train_one_epoch(model, train_batches, optimizer, schedule, label_smoothing)
        seconds = time.perf_counter() - start
        if not math.isfinite(loss):
            raise TrainingError(
                f"la pérdida dejó de ser finita en la época {number} ({loss}), con tasa máxima "
                f"{lr}: prueba con una diez veces menor o revisa que las imágenes no traigan NaN"
            )
        scores = evaluate(model, val_batches)
        history.append(
            Epoch(number, loss, scores.loss, scores.top1, scores.top5, seconds, images / seconds)
        )
        if checkpoints:
            checkpoints.save(history, model, optimizer, schedule, train_batches)
        if on_epoch:
            on_epoch(history[-1])
    return history


def train_one_epoch(
    model: nn.Module,
    batches: Loader,
    optimizer: torch.optim.Optimizer,
    schedule: LRScheduler | None = None,
    label_smoothing: float = 0.0,
) -> tuple[float, int]:
    """Una vuelta a los datos, un paso del optimizador por lote.

    Si la red da varias salidas, como GoogLeNet con sus cabezas auxiliares, la primera es la
    principal. Las demás entran en el gradiente con peso 0.3, pero no en la pérdida que se informa.

    Args:
        model: La red; se deja en modo de entrenamiento.
        batches: Los lotes.
        optimizer: Actualiza los parámetros.
        schedule: Si se da, avanza un paso por lote.
        label_smoothing: Suavizado de etiquetas, entre 0 y 1.

    Returns:
        El par ``(pérdida media, imágenes vistas)``.
    """
    model.train()
    device = next(model.parameters()).device
    total, seen = torch.zeros((), device=device), 0
    for images, labels in batches:
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        with mixed_precision(device):
            outputs = model(images)
        # GoogLeNet da, además, las puntuaciones de sus cabezas auxiliares.
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        objective = loss
        for scores in auxiliary:  # pesan 0.3, como en su artículo
            objective = objective + 0.3 * F.cross_entropy(
                scores.float(), labels, label_smoothing=label_smoothing
            )
        optimizer.zero_grad(set_to_none=True)
        objective.backward()
        optimizer.step()
        if schedule:
            schedule.step()
        total += loss.detach() * len(labels)
        seen += len(labels)
    return total.item() / seen, seen


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Loader) -> Metrics:
    """Mide la red sin modificarla: ni gradientes, ni dropout, ni estadísticas de lotes.

    Args:
        model: La red; queda en el modo en que estaba.
        batches: Los lotes.

    Returns:
        Pérdida, top-1 y top-5, promediados sobre las imágenes. Con menos de cinco clases, el
        top-5 cuenta todas.

    Raises:
        ValueError: Si no hay lotes.
    """
    device = next(model.parameters()).device
    totals, seen = torch.zeros(3, dtype=torch.float64, device=device), 0
    with _evaluating(model):
        for images, labels in batches:
            images = images.to(device, memory_format=torch.channels_last)
            labels = labels.to(device)
            with mixed_precision(device):
                logits = model(images)
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
            ranking = logits.topk(min(5, logits.shape[1])).indices
            hits = ranking == labels[:, None]
            totals += torch.stack([loss, hits[:, 0].sum(), hits.sum()])
            seen += len(labels)
    if not seen:
        raise ValueError("no hay lotes con que evaluar")
    return Metrics(*(totals / seen).tolist())


def make_optimizer(model: nn.Module, lr: float, weight_decay: float) -> torch.optim.SGD:
    """Descenso estocástico con momento de Nesterov de 0.9.

    El decaimiento se aplica solo a los pesos de convoluciones y densas: encoger un sesgo o la
    escala de una normalización no regulariza nada.

    Args:
        model: La red.
        lr: Tasa de aprendizaje.
        weight_decay: Decaimiento de los pesos.

    Returns:
        El optimizador.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True)


def mixed_precision(device: torch.device) -> torch.autocast:
    """Contexto que calcula en bfloat16 donde el hardware lo hace más rápido.

    En CUDA, desde Ampere; en la CPU, solo si tiene instrucciones para ello (AVX-512 BF16 o AMX):
    en las demás se emula, y es más lento que float32.

    Args:
        device: Dispositivo del cálculo.

    Returns:
        El contexto; sin soporte, no cambia nada.
    """
    if device.type == "cuda":
        enabled = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        enabled = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.autocast(device.type, torch.bfloat16, enabled=enabled)


@dataclass(frozen=True)
class Checkpoints:
    """Los puntos de control de un entrenamiento: lo que hace falta para seguirlo sin que se note.

    Al final de cada época deja en la carpeta dos archivos safetensors, que son tensores y JSON,
    sin código: ``last.safetensors``, solo los pesos, para usar la red; y
    ``checkpoint.safetensors``, con los pesos, el momento del optimizador, la tasa, la historia y
    los generadores de azar. Cada uno se escribe aparte y se renombra: nunca queda a medias.

    Attributes:
        folder: La carpeta; se crea si no existe.
        recipe: Lo que identifica al entrenamiento (red, datos, semilla, épocas…), con valores
            de JSON. Solo se reanuda uno que tenga la misma receta.
        resume: Si se sigue desde lo que haya en la carpeta; si no hay nada, se empieza.
    """

    folder: Path
    recipe: Mapping[str, object]
    resume: bool = False

    def save(
        self,
        history: list[Epoch],
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        batches: Loader,
    ) -> None:
        """Guarda el estado con que empezará la época siguiente.

        Args:
            history: Las épocas terminadas.
            model: La red.
            optimizer: El de `make_optimizer`.
            schedule: El plan de la tasa de aprendizaje.
            batches: Los lotes de entrenamiento.
        """
        weights = model.state_dict()
        tensors = {f"model/{name}": value for name, value in weights.items()}
        for name, parameter in model.named_parameters():
            if parameter in optimizer.state:
                tensors[f"momentum/{name}"] = optimizer.state[parameter]["momentum_buffer"]
        tensors |= {f"random/{name}": state for name, (state, _) in _generators(batches).items()}
        state = {
            "recipe": dict(self.recipe),
            "history": [dataclasses.asdict(epoch) for epoch in history],
            "schedule": schedule.state_dict(),
            "lr": [group["lr"] for group in optimizer.param_groups],
        }
        self.folder.mkdir(parents=True, exist_ok=True)
        # Primero los pesos: si algo corta aquí, al reanudar se repite la época y se reescriben.
        _write(self.folder / "last.safetensors", weights, {})
        _write(self.folder / "checkpoint.safetensors", tensors, {"cnnhistory": json.dumps(state)})

    def load(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        schedule: LRScheduler,
        batches: Loader,
    ) -> list[Epoch]:
        """Devuelve todo al estado guardado; sin ``resume``, o sin nada guardado, no toca nada.

        Args:
            model: La red, recién creada.
            optimizer: El de `make_optimizer`, recién creado.
            schedule: El plan de la tasa de aprendizaje, recién creado.
            batches: Los lotes de entrenamiento, sin recorrer.

        Returns:
            Las épocas ya terminadas.

        Raises:
            TrainingError: Si el archivo está dañado o es de un entrenamiento con otra receta.
        """
        path = self.folder / "checkpoint.safetensors"
        if not (self.resume and path.exists()):
            return []
        try:
            with safe_open(path, framework="pt") as file:
                state = json.loads(file.metadata()["cnnhistory"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError, TypeError, KeyError):
            raise TrainingError(
                f"{path} está dañado o no es un punto de control: bórralo para empezar de nuevo"
            ) from None
        self._check_recipe(state["recipe"])
        generators = _generators(batches)
        if generators.keys() != _part(tensors, "random/").keys():
            raise TrainingError(f"{path} se guardó en otra máquina o con otra clase de lotes")
        model.load_state_dict(_part(tensors, "model/"))
        parameters = dict(model.named_parameters())
        for name, momentum in _part(tensors, "momentum/").items():
            # empty_like copia el orden en memoria del peso, del que depende el paso «fused».
            buffer = torch.empty_like(parameters[name]).copy_(momentum)
            optimizer.state[parameters[name]]["momentum_buffer"] = buffer
        schedule.load_state_dict(state["schedule"])
        for group, lr in zip(optimizer.param_groups, state["lr"], strict=True):
            group["lr"] = lr
        for name, random in _part(tensors, "random/").items():
            _, restore = generators[name]
            restore(random)
        return [Epoch(**epoch) for epoch in state["history"]]

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


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _write(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Escribe aparte y renombra: quien lea ``path`` ve lo de antes o lo de ahora, entero."""
    partial = path.with_name(path.name + ".partial")
    save_file({name: value.contiguous() for name, value in tensors.items()}, partial, metadata)
    partial.replace(path)


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Pone la red en modo de evaluación y, pase lo que pase, deja cada capa como estaba."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
