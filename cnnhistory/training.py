"""El bucle de entrenamiento: tres funciones que reciben datos y devuelven datos.

El dispositivo es aquel donde está el modelo. Las métricas se acumulan en él y se leen una sola
vez por época, porque cada lectura obliga a esperar a la GPU. Los promedios son sumas divididas
entre las imágenes vistas, así que un último lote más corto no los sesga.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

__all__ = [
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
        on_epoch: Se llama al final de cada época, por ejemplo para mostrarla.

    Returns:
        Una `Epoch` por época.

    Raises:
        ValueError: Si ``epochs`` o ``lr`` no son positivos o no hay lotes.
        TrainingError: Si la pérdida deja de ser un número finito.
    """
    if epochs < 1 or lr <= 0:
        raise ValueError(f"epochs y lr deben ser positivos; llegaron {epochs} y {lr}")
    if not len(train_batches) or not len(val_batches):
        raise ValueError("no hay lotes: los de entrenamiento o los de validación están vacíos")
    optimizer = make_optimizer(model, lr, weight_decay)
    steps = epochs * len(train_batches)
    schedule = OneCycleLR(optimizer, lr, steps, pct_start=0.3, cycle_momentum=False)
    history = []
    for number in range(1, epochs + 1):
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
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
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


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Pone la red en modo de evaluación y, pase lo que pase, la devuelve al que tenía."""
    was_training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
