"""El bucle de entrenamiento: tres funciones que reciben datos y devuelven datos.

El dispositivo es aquel donde está el modelo. Las pérdidas quedan en él y se leen una sola vez por
época, porque cada lectura obliga a esperar a la GPU. Los promedios son sumas divididas entre las
imágenes vistas, así que un último lote más corto no los sesga. Lo opcional se compone desde fuera:
el optimizador y el plan de la tasa son funciones que se pueden cambiar; la aumentación va en los
lotes; los puntos de control, el registro y los demás procesos, en sus módulos.
"""

import ctypes
import math
import re
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR

from cnnhistory import distributed

if TYPE_CHECKING:
    from cnnhistory.checkpoints import Checkpoints

__all__ = [
    "DivergedError",
    "Epoch",
    "Loader",
    "Metrics",
    "TrainingError",
    "check_batches",
    "check_recipe",
    "evaluate",
    "explaining",
    "is_out_of_memory",
    "loss_scaler",
    "make_optimizer",
    "mixed_precision",
    "one_cycle",
    "train",
    "train_one_epoch",
    "warmup_cosine",
]


class Loader(Protocol):
    """Lo que el bucle pide a los datos: recorrerlos en lotes y saber cuántos son."""

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Da pares ``(imágenes (B, C, H, W), etiquetas (B,))``.

        Las etiquetas de entrenamiento pueden ser también probabilidades, ``(B, clases)``, como
        las que dan MixUp y CutMix.
        """
        ...

    def __len__(self) -> int:
        """Cantidad de lotes."""
        ...


class TrainingError(RuntimeError):
    """El entrenamiento no puede seguir; el mensaje dice dónde se detuvo y qué probar."""


class DivergedError(TrainingError):
    """La pérdida dejó de ser un número finito."""


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

    Raises:
        ValueError: Si todos los parámetros están congelados.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    if not parameters:
        raise ValueError("no queda nada que entrenar: todos los parámetros están congelados")
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=lr, momentum=0.9, nesterov=True, fused=True)


def one_cycle(optimizer: Optimizer, steps: int) -> LRScheduler:
    """La tasa sube durante el primer 30 % de los pasos y baja después hasta casi cero.

    L. Smith y N. Topin, «Super-Convergence», https://arxiv.org/abs/1708.07120.

    Args:
        optimizer: El optimizador, con la tasa máxima.
        steps: Pasos de todo el entrenamiento.

    Returns:
        El plan, que avanza una vez por lote.
    """
    peaks = [group["lr"] for group in optimizer.param_groups]
    return OneCycleLR(optimizer, peaks, steps, pct_start=0.3, cycle_momentum=False)


def warmup_cosine(optimizer: Optimizer, steps: int) -> LRScheduler:
    """La tasa sube en línea recta durante el primer 5 % de los pasos y baja con un coseno.

    El calentamiento es de P. Goyal y otros, https://arxiv.org/abs/1706.02677; el coseno, de
    I. Loshchilov y F. Hutter, https://arxiv.org/abs/1608.03983.

    Args:
        optimizer: El optimizador, con la tasa máxima.
        steps: Pasos de todo el entrenamiento.

    Returns:
        El plan, que avanza una vez por lote.
    """
    warmup = max(1, round(0.05 * steps))

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        return 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1, steps - warmup)))

    return LambdaLR(optimizer, share)


def train(
    model: nn.Module,
    train_batches: Loader,
    val_batches: Loader,
    *,
    epochs: int,
    lr: float,
    weight_decay: float = 5e-4,
    label_smoothing: float = 0.0,
    clip_norm: float | None = None,
    optimizer: Callable[[nn.Module, float, float], Optimizer] = make_optimizer,
    schedule: Callable[[Optimizer, int], LRScheduler] = one_cycle,
    checkpoints: "Checkpoints | None" = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    on_batch: Callable[[Tensor, int], None] | None = None,
) -> list[Epoch]:
    """Entrena y valida, época por época.

    Si no se pide otra, la receta es la misma para todas las redes del sitio: `make_optimizer` y
    `one_cycle`.

    Args:
        model: La red, ya en su dispositivo; se modifica.
        train_batches: Lotes de entrenamiento.
        val_batches: Lotes de validación: nunca los de prueba.
        epochs: Vueltas completas a los datos.
        lr: Tasa de aprendizaje máxima.
        weight_decay: Decaimiento de los pesos (no de sesgos ni normalizaciones).
        label_smoothing: Suavizado de etiquetas, entre 0 y 1.
        clip_norm: Norma máxima del gradiente: si la pasa, se encoge hasta ella.
        optimizer: De la red, la tasa y el decaimiento al optimizador.
        schedule: Del optimizador y el número de pasos al plan de la tasa.
        checkpoints: Dónde guardar el estado al final de cada época y, si se pide, desde dónde
            seguir.
        on_epoch: Se llama con cada época terminada, también con las recuperadas al reanudar.
        on_batch: Como en `train_one_epoch`.

    Returns:
        Una `Epoch` por época.

    Raises:
        ValueError: Antes del primer paso, si un argumento está fuera de su rango, no hay lotes, o
            las imágenes o las etiquetas no son para esta red.
        DivergedError: Si la pérdida, al entrenar o al validar, deja de ser un número finito. Esa
            época no se guarda.
        TrainingError: Si no alcanza la memoria, o no se puede guardar o reanudar.
    """
    check_recipe(epochs, lr, label_smoothing, clip_norm, weight_decay)
    with explaining(1, model, train_batches):
        check_batches(model, train_batches)
        check_batches(model, val_batches, mixed=False)
    rule = optimizer(model, lr, weight_decay)
    plan = schedule(rule, epochs * len(train_batches))
    history = checkpoints.load(model, rule, plan, train_batches) if checkpoints else []
    if on_epoch:
        for epoch in history:
            on_epoch(epoch)
    for number in range(len(history) + 1, epochs + 1):
        with explaining(number, model, train_batches, checkpoints):
            start = time.perf_counter()
            loss, images = train_one_epoch(
                model, train_batches, rule, plan, label_smoothing, clip_norm, on_batch
            )
            seconds = time.perf_counter() - start
            distributed.share_buffers(model)
            scores = evaluate(model, val_batches)
            _check_finite(scores)
        history.append(
            Epoch(number, loss, scores.loss, scores.top1, scores.top5, seconds, images / seconds)
        )
        if checkpoints:
            checkpoints.save(history, model, rule, plan, train_batches)
        if on_epoch:
            on_epoch(history[-1])
    return history


def train_one_epoch(
    model: nn.Module,
    batches: Loader,
    optimizer: Optimizer,
    schedule: LRScheduler | None = None,
    label_smoothing: float = 0.0,
    clip_norm: float | None = None,
    on_batch: Callable[[Tensor, int], None] | None = None,
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
        clip_norm: Norma máxima del gradiente; ``None`` no lo recorta.
        on_batch: Se llama tras cada lote con su pérdida media, todavía en el dispositivo, y con
            cuántas imágenes llevaba en este proceso. Leer esa pérdida obliga a esperar a la GPU: no
            conviene en todos los lotes.

    Returns:
        El par ``(pérdida media, imágenes vistas)``, sumando las de todos los procesos.

    Raises:
        ValueError: Si no hay lotes.
        DivergedError: Al final de la vuelta, si la pérdida dejó de ser finita en algún lote.
    """
    model.train()
    device = next(model.parameters()).device
    scaler = loss_scaler(device)
    steps = []
    for images, labels in batches:
        images, labels = images.to(device, memory_format=torch.channels_last), labels.to(device)
        with mixed_precision(device):
            outputs = model(images)
        # GoogLeNet da, además, las puntuaciones de sus cabezas auxiliares, que pesan 0.3.
        logits, *auxiliary = outputs if isinstance(outputs, tuple) else (outputs,)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=label_smoothing)
        objective = loss
        for extra in auxiliary:
            extra_loss = F.cross_entropy(extra.float(), labels, label_smoothing=label_smoothing)
            objective = objective + 0.3 * extra_loss
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(objective).backward()
        if clip_norm is not None:
            scaler.unscale_(optimizer)
            nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
        scaler.step(optimizer)
        scaler.update()
        steps.append((loss.detach(), len(labels), optimizer.param_groups[0]["lr"]))
        if schedule:
            schedule.step()
        if on_batch:
            on_batch(loss.detach(), len(labels))
    return _mean_loss(steps)


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Loader) -> Metrics:
    """Mide la red sin modificarla: ni gradientes, ni dropout, ni estadísticas de lotes.

    Args:
        model: La red; queda en el modo en que estaba.
        batches: Los lotes.

    Returns:
        Pérdida, top-1 y top-5, promediados sobre las imágenes de todos los procesos. Con menos
        de cinco clases, el top-5 cuenta todas.

    Raises:
        ValueError: Si no hay lotes.
    """
    model = distributed.unwrapped(model)
    device = next(model.parameters()).device
    totals = torch.zeros(4, dtype=torch.float64, device=device)
    with _evaluating(model):
        for images, labels in batches:
            images = images.to(device, memory_format=torch.channels_last)
            labels = labels.to(device)
            with mixed_precision(device):
                logits = model(images)
            loss = F.cross_entropy(logits.float(), labels, reduction="sum")
            ranking = logits.topk(min(5, logits.shape[1])).indices
            hits = ranking == labels[:, None]
            count = torch.full_like(loss, len(labels))
            totals += torch.stack([loss, hits[:, 0].sum(), hits.sum(), count])
    *sums, seen = distributed.summed(totals).tolist()
    if not seen:
        raise ValueError("no hay lotes con que evaluar")
    return Metrics(*(each / seen for each in sums))


def mixed_precision(device: torch.device) -> torch.autocast:
    """Contexto que calcula con 16 bits donde el hardware lo hace más rápido.

    En CUDA, bfloat16 desde Ampere y float16, con `loss_scaler`, en Volta y Turing. En la CPU,
    bfloat16 solo si tiene instrucciones para ello (AVX-512 BF16 o AMX): en las demás se emula, y
    es más lento que float32.

    Args:
        device: Dispositivo del cálculo.

    Returns:
        El contexto; sin soporte, no cambia nada.
    """
    dtype = _short_type(device)
    return torch.autocast(device.type, dtype or torch.bfloat16, enabled=dtype is not None)


def loss_scaler(device: torch.device) -> torch.amp.GradScaler:
    """Agranda la pérdida para que los gradientes pequeños quepan en float16.

    Solo hace algo donde `mixed_precision` usa float16. Nace de nuevo en cada época, y así no hay
    que guardarlo en los puntos de control. Su escala empieza en 1024 y no en las 65 536 de torch:
    con esas, el primer gradiente suele desbordarse y perder el paso, y una época puede tener uno
    solo.

    Args:
        device: Dispositivo del cálculo.

    Returns:
        El escalador; con otro tipo de número, deja todo como está.
    """
    enabled = _short_type(device) is torch.float16
    return torch.amp.GradScaler(device.type, init_scale=1024.0, enabled=enabled)


def _short_type(device: torch.device) -> torch.dtype | None:
    """El tipo de 16 bits que conviene; ``None`` si ninguno."""
    if device.type == "cuda":
        major, _ = torch.cuda.get_device_capability(device)
        return torch.bfloat16 if major >= 8 else torch.float16 if major == 7 else None
    fast = device.type == "cpu" and torch.cpu._is_avx512_bf16_supported()
    return torch.bfloat16 if fast else None


def _mean_loss(steps: Sequence[tuple[Tensor, int, float]]) -> tuple[float, int]:
    """De la pérdida, las imágenes y la tasa de cada lote, a la media y el total de imágenes."""
    if not steps:
        raise ValueError("no hay lotes con que entrenar")
    losses = torch.stack([loss for loss, _, _ in steps]).tolist()  # la única espera de la época
    total = sum(loss * images for loss, (_, images, _) in zip(losses, steps, strict=True))
    seen = sum(images for _, images, _ in steps)
    sums = torch.tensor([total, seen], dtype=torch.float64, device=steps[0][0].device)
    total, seen = distributed.summed(sums).tolist()
    if math.isfinite(total):
        return total / seen, round(seen)
    for number, (loss, (_, _, rate)) in enumerate(zip(losses, steps, strict=True), 1):
        if not math.isfinite(loss):
            raise DivergedError(
                f"la pérdida dejó de ser finita en el lote {number} de {len(steps)} ({loss}), con "
                f"tasa {rate:.3g}: prueba con una tasa máxima diez veces menor, con clip_norm=1, o "
                "revisa que las imágenes no traigan NaN"
            )
    raise DivergedError("la pérdida dejó de ser finita en otro proceso, que dice dónde")


def _check_finite(scores: Metrics) -> None:
    """El último paso de la época puede romper los pesos sin que ninguna de sus pérdidas lo note."""
    if not math.isfinite(scores.loss):
        raise DivergedError(
            f"la pérdida de validación dejó de ser finita ({scores.loss}): los últimos pesos no "
            "sirven; prueba con una tasa máxima diez veces menor, con clip_norm=1, o revisa que "
            "las imágenes de validación no traigan NaN"
        )


@contextmanager
def explaining(
    number: int, model: nn.Module, batches: Loader, checkpoints: "Checkpoints | None" = None
) -> Iterator[None]:
    """Contexto que, si la época no puede terminar, dice cuál era y qué probar.

    Cuando no alcanza la memoria, prueba con lotes cada vez más chicos hasta que uno cabe.

    Args:
        number: Número de la época.
        model: La red.
        batches: Los lotes de entrenamiento.
        checkpoints: Si se dan, el mensaje dice dónde quedó lo que sí sirve.

    Yields:
        Nada.

    Raises:
        ValueError: Si aparece una etiqueta que no es de ninguna clase.
        DivergedError: La de la época, con su número.
        TrainingError: En lugar de una memoria que no alcanza; los demás errores pasan como están.
    """
    try:
        yield
    except TrainingError as error:
        safe = ""
        if checkpoints and number > 1:
            safe = f"; la época {number - 1} está a salvo en {checkpoints.folder}"
        raise type(error)(f"época {number}: {error}{safe}") from None
    except IndexError as error:
        wrong = re.search(r"Target (-?\d+) is out of bounds", str(error))
        if not wrong:
            raise
        raise ValueError(
            f"época {number}: hay una etiqueta {wrong[1]}, que no es de ninguna clase de la red: "
            "revisa los datos, o crea la red con más clases"
        ) from None
    except (RuntimeError, MemoryError) as error:
        if not is_out_of_memory(error):
            raise
        traceback.clear_frames(error.__traceback__)  # sueltan los tensores de la época
        fits = _batch_that_fits(model, batches)
        advice = (
            f"probablemente cabe un lote de {fits}" if fits else "no cabe ni una: prueba otra red"
        )
        raise TrainingError(f"época {number}: no alcanza la memoria; {advice}") from None


def is_out_of_memory(error: Exception) -> bool:
    """Si el error es que no alcanza la memoria, de la GPU o de la CPU.

    Args:
        error: El error.

    Returns:
        Si lo es.
    """
    # La CPU no tiene una clase propia: lo dicen torch o, si falta al preparar una capa, oneDNN.
    said = ("can't allocate memory", "could not create a primitive")
    return isinstance(error, torch.OutOfMemoryError | MemoryError) or any(
        text in str(error) for text in said
    )


def _batch_that_fits(model: nn.Module, batches: Loader) -> int:
    """La mitad, la cuarta parte… del lote que ya se pudo derivar; 0 si ninguna."""
    images, labels = next(iter(batches))
    device = next(model.parameters()).device
    model = distributed.unwrapped(model)
    size = len(images) * distributed.shard()[1]  # el lote que se pide es el de todos los procesos
    while len(images) > 1:
        size, images, labels = size // 2, images[: len(images) // 2], labels[: len(images) // 2]
        model.zero_grad(set_to_none=True)
        _give_back(device)
        try:
            with mixed_precision(device):
                outputs = model(images.to(device))
            logits = outputs[0] if isinstance(outputs, tuple) else outputs
            F.cross_entropy(logits.float(), labels.to(device)).backward()
        except ValueError:  # cabe, pero con una imagen la normalización por lotes no puede
            return 0
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
        else:
            return size
    return 0


def _give_back(device: torch.device) -> None:
    """Devuelve al sistema la memoria suelta que guardan torch o la biblioteca de C."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # solo glibc la tiene
        if trim:
            trim(0)


def check_recipe(
    epochs: int,
    lr: float,
    label_smoothing: float = 0.0,
    clip_norm: float | None = None,
    weight_decay: float = 0.0,
) -> None:
    """Rechaza los números con los que no se puede entrenar.

    Args:
        epochs: Vueltas a los datos.
        lr: Tasa máxima.
        label_smoothing: Suavizado de etiquetas.
        clip_norm: Norma máxima del gradiente, o ``None``.
        weight_decay: Decaimiento de los pesos.

    Raises:
        ValueError: Si alguno está fuera de su rango.
    """
    if epochs != int(epochs):
        raise ValueError(f"las épocas van enteras; llegaron {epochs}")
    if not 0 <= weight_decay < math.inf:
        raise ValueError(f"weight_decay no puede ser negativo; llegó {weight_decay}")
    if epochs < 1 or not 0 < lr < math.inf:
        raise ValueError(f"epochs y lr deben ser positivos; llegaron {epochs} y {lr}")
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"label_smoothing va de 0 a 1, sin incluirlo; llegó {label_smoothing}")
    if clip_norm is not None and not clip_norm > 0:
        raise ValueError(f"clip_norm debe ser positivo, o None; llegó {clip_norm}")


def check_batches(model: nn.Module, batches: Loader, *, mixed: bool = True) -> None:
    """Pasa un lote por la red antes de entrenarla, sin que el azar ni el orden lo noten.

    Args:
        model: La red.
        batches: Los lotes. Si son una lista o tienen ``labels``, se revisan todas las etiquetas; si
            no, las del primero.
        mixed: Si las etiquetas pueden ser probabilidades, ``(B, clases)``: solo al entrenar.

    Raises:
        ValueError: Si no hay lotes o no se pueden contar, la red no tiene parámetros o no da un
            tensor, las imágenes no son de esta red o traen NaN, o hay etiquetas sin clase.
    """
    model = distributed.unwrapped(model)
    if not any(True for _ in model.parameters()):
        raise ValueError("la red no tiene parámetros: no hay nada que entrenar")
    if not hasattr(batches, "__len__"):
        raise ValueError(
            "los lotes se cuentan y se recorren en cada época: usa una lista, data.Batches o un "
            "DataLoader, no un generador"
        )
    device = next(model.parameters()).device
    with _peeking(batches, device), _evaluating(model), torch.inference_mode():
        first = next(iter(batches), None) if len(batches) else None
        if first is None and distributed.rank() > 0:
            return  # con pocas imágenes que evaluar, a este proceso puede no tocarle ninguna
        if first is None:
            raise ValueError("no hay lotes: los de entrenamiento o los de validación están vacíos")
        images, labels = first
        if images.ndim != 4 or not len(images) or len(images) != len(labels):
            raise ValueError(
                "cada lote lleva imágenes (B, C, H, W) y B etiquetas; llegaron formas "
                f"{tuple(images.shape)} y {tuple(labels.shape)}"
            )
        with mixed_precision(device):
            logits = model(images.to(device))
    if not isinstance(logits, Tensor) or logits.ndim != 2:
        raise ValueError(
            "al evaluar, la red debe dar un tensor (B, clases); dio "
            f"{tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__}"
        )
    num_classes = logits.shape[1]
    if not images.isfinite().all():
        raise ValueError("las imágenes traen NaN o infinitos: revisa los datos y su normalización")
    if labels.ndim == 2:
        if labels.shape[1] != num_classes:
            raise ValueError(
                f"la red tiene {num_classes} clases y las etiquetas reparten la probabilidad entre "
                f"{labels.shape[1]}"
            )
        if not mixed:
            raise ValueError("se valida con una clase por imagen, enteros (B,), no con mezclas")
        if not torch.allclose(labels.sum(1), torch.ones_like(labels[:, 0]), atol=1e-3):
            raise ValueError("las etiquetas mezcladas de cada imagen deben sumar 1")
        return
    if labels.dtype not in (torch.int64, torch.uint8):
        raise ValueError(f"las etiquetas deben ser enteros int64; llegaron {labels.dtype}")
    labels = getattr(batches, "labels", labels)
    if isinstance(batches, Sequence):
        labels = torch.cat([each.flatten() for _, each in batches])
    low, high = int(labels.min()), int(labels.max())
    if low < 0:
        raise ValueError(f"las etiquetas van de {low} a {high}, y deben contarse desde 0")
    if high >= num_classes:
        raise ValueError(
            f"las etiquetas van de {low} a {high} y la red tiene {num_classes} clases: deben estar "
            f"entre 0 y {num_classes - 1}, o la red crearse con num_classes={high + 1}"
        )


@contextmanager
def _peeking(batches: Loader, device: torch.device) -> Iterator[None]:
    """Deja los generadores de azar como estaban: mirar el primer lote no cambia el orden."""
    own = getattr(batches, "generator", None)
    state = own.get_state() if own is not None else None
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        yield
    if own is not None:
        own.set_state(state)


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
