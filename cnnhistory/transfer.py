"""Transferencia: empezar por una red que ya aprendió otra cosa.

Tres piezas que se componen con `cnnhistory.training.train`: cambiar la última capa por una para las
clases nuevas, congelar lo que no debe cambiar y aprender más despacio en las primeras capas. La
receta es de J. Donahue y otros, «DeCAF» (https://arxiv.org/abs/1310.1531), y de R. Girshick y
otros, «R-CNN» (https://arxiv.org/abs/1311.2524).
"""

import difflib
import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

from torch import nn
from torch.optim import Optimizer

from cnnhistory.models.googlenet import AuxiliaryHead
from cnnhistory.models.initialization import he_normal
from cnnhistory.models.lenet import RBFOutput
from cnnhistory.training import make_optimizer

__all__ = ["discriminative", "freeze", "replace_head", "unfreeze"]


def replace_head(model: nn.Module, num_classes: int) -> None:
    """Cambia, en su sitio, la última capa por una recién nacida para otras clases.

    La última capa es la densa del final o, en NiN y All-CNN, la convolución de 1×1. Con cabezas
    auxiliares, como las de GoogLeNet, se cambia también la última de cada una. La nueva nace como
    todas las del paquete (`cnnhistory.models.initialization.he_normal`), en el mismo dispositivo.

    Nota histórica: la salida de LeNet-5 compara con dibujos fijos de dígitos y no aprende; en su
    lugar queda una densa, que sirve para cualquier clase.

    Args:
        model: La red; todo lo demás queda igual.
        num_classes: Cantidad de clases nuevas, dos o más.

    Raises:
        ValueError: Si hay menos de dos clases, o la red no tiene ni densas ni convoluciones.
    """
    if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 2:
        raise ValueError(f"para clasificar hacen falta al menos dos clases; llegó {num_classes!r}")
    heads = _heads(model)
    fresh = nn.ModuleList(_like(model.get_submodule(name), num_classes) for name in heads)
    he_normal(fresh)
    for name, layer in zip(heads, fresh, strict=True):
        parent, _, child = name.rpartition(".")
        old = model.get_submodule(name)
        place = next(iter(old.state_dict().values()))
        setattr(model.get_submodule(parent), child, layer.to(place.device, place.dtype))


def freeze(model: nn.Module, upto: str | None = None) -> None:
    """Congela, en su sitio, el principio de la red: ni sus pesos ni sus estadísticas cambian.

    Quitar los gradientes no basta. La normalización por lotes actualiza sus promedios en cada paso
    que se da en modo de entrenamiento, sin gradiente alguno, y normaliza con las estadísticas del
    lote. Aquí toda capa congelada que guarda *buffers* se queda en modo de evaluación, aunque
    después se llame a ``model.train()``. El dropout no guarda nada y sigue activo al entrenar.

    Args:
        model: La red.
        upto: Nombre de la última capa que se congela, como en `torch.nn.Module.named_modules`. Sin
            él se congela todo menos la última capa, la que cambia `replace_head`.

    Raises:
        ValueError: Si no hay una capa con ese nombre (el mensaje sugiere las parecidas), o si no
            quedaría nada que entrenar. La red queda entonces como estaba.
    """
    if upto is None:
        heads = _heads(model)
        chosen = [name for name, _ in model.named_modules() if name not in heads]
    else:
        chosen = _through(model, upto)
    layers = [model.get_submodule(name) for name in chosen]
    frozen = {p for layer in layers for p in layer.parameters(recurse=False)}
    if not any(p.requires_grad and p not in frozen for p in model.parameters()):
        raise ValueError(
            f"al congelar hasta «{upto or 'el final'}» no queda nada que entrenar: congela menos "
            "capas, o cambia antes la última con replace_head"
        )
    for layer in layers:
        for parameter in layer.parameters(recurse=False):
            parameter.requires_grad_(False)
        if any(True for _ in layer.buffers(recurse=False)):
            layer.training = False
            # En la instancia y no en la clase: así, model.train() pasa por aquí y no la despierta.
            vars(layer)["train"] = partial(_stay_in_evaluation, layer)


def unfreeze(model: nn.Module) -> None:
    """Deshace `freeze`, en su sitio: todo vuelve a entrenarse, en el modo en que esté la red.

    El optimizador que ya exista no se entera: crea otro después, o llama otra vez a
    `cnnhistory.training.train`, que lo crea.

    Args:
        model: La red.
    """
    for layer in model.modules():
        vars(layer).pop("train", None)
    model.train(model.training)
    model.requires_grad_(True)


def discriminative(
    factor: float = 2.6, groups: int = 4
) -> Callable[[nn.Module, float, float], Optimizer]:
    """Tasas de aprendizaje distintas por profundidad: lo general, cerca de la entrada, cambia poco.

    La última capa aprende con la tasa que se pida, y cada grupo anterior con la del siguiente
    dividida entre ``factor``. Lo demás es la receta de `cnnhistory.training.make_optimizer`. Las
    capas congeladas no cuentan; las otras se reparten, en orden, en grupos lo más parejos posible.

    J. Howard y S. Ruder, «Universal Language Model Fine-tuning for Text Classification», 2018,
    https://arxiv.org/abs/1801.06146; el 2.6 es suyo.

    Args:
        factor: Entre cuánto se divide la tasa de un grupo al anterior; al menos 1.
        groups: Cantidad de grupos, con el de la última capa; al menos dos.

    Returns:
        La función que `cnnhistory.training.train` recibe en ``optimizer``. Da `ValueError` si no
        quedan tantas capas que entrenar como grupos.

    Raises:
        ValueError: Si ``factor`` o ``groups`` están fuera de su rango.
    """
    if not 1 <= factor < math.inf:
        raise ValueError(
            f"factor debe ser un número finito, 1 o mayor; llegó {factor}: con menos de 1, las "
            "primeras capas aprenderían más deprisa que la última"
        )
    if not isinstance(groups, int) or groups < 2:
        raise ValueError(f"groups debe ser un entero, 2 o mayor; llegó {groups!r}")

    def build(model: nn.Module, lr: float, weight_decay: float) -> Optimizer:
        last, *earlier = _by_depth(model, groups)
        optimizer = make_optimizer(last, lr, weight_decay)
        for steps_back, layers in enumerate(earlier, start=1):
            slower = make_optimizer(layers, lr / factor**steps_back, weight_decay)
            for group in slower.param_groups:
                optimizer.add_param_group(group)
        return optimizer

    return build


def _stay_in_evaluation(layer: nn.Module, mode: bool = True) -> nn.Module:
    """El `torch.nn.Module.train` de una capa congelada: obedecen sus hijas, ella no."""
    nn.Module.train(layer, mode)
    layer.training = False
    return layer


def _heads(model: nn.Module) -> list[str]:
    """Los nombres de las capas que puntúan clases: las auxiliares, si hay, y al final la principal.

    Las capas se recorren en el orden en que la red las declara, que es el de la imagen.
    """
    scorers = [
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear | nn.Conv2d | RBFOutput)
    ]
    if not scorers:
        raise ValueError(
            f"{type(model).__name__} no tiene ninguna capa densa ni convolución: no hay última capa"
        )
    auxiliary = [
        [name for name in scorers if name.startswith(f"{branch}.")][-1]
        for branch, module in model.named_modules()
        if isinstance(module, AuxiliaryHead)
    ]
    return [*auxiliary, scorers[-1]]


def _like(old: nn.Module, num_classes: int) -> nn.Module:
    """Una capa como esa, con otra cantidad de clases."""
    if isinstance(old, nn.Conv2d):
        return nn.Conv2d(old.in_channels, num_classes, kernel_size=1, bias=old.bias is not None)
    if isinstance(old, nn.Linear):
        return nn.Linear(old.in_features, num_classes, bias=old.bias is not None)
    assert isinstance(old, RBFOutput)
    return nn.Linear(old.codes.shape[1], num_classes)


def _through(model: nn.Module, upto: str) -> list[str]:
    """Los módulos que la red declara desde el principio hasta el final de ``upto``."""
    names = [name for name, _ in model.named_modules()]
    if not upto or upto not in names:
        near = difflib.get_close_matches(upto, names[1:], n=3, cutoff=0.4)
        children = [name for name, _ in model.named_children()]
        hint = f"¿quisiste decir {' o '.join(near)}?" if near else f"hay: {', '.join(children)}"
        raise ValueError(f"la red no tiene una capa «{upto}»; {hint}")
    inside = [index for index, name in enumerate(names) if f"{name}.".startswith(f"{upto}.")]
    return names[: inside[-1] + 1]


def _by_depth(model: nn.Module, groups: int) -> list[nn.ParameterList]:
    """Los parámetros que se entrenan, de la última capa a la primera, en grupos.

    Una capa son sus pesos y lo que los sigue hasta los pesos siguientes: sesgos, normalización.
    """
    heads = {p for name in _heads(model) for p in model.get_submodule(name).parameters()}
    trainable = [p for p in model.parameters() if p.requires_grad]
    layers: list[list[nn.Parameter]] = []
    for parameter in trainable:
        if parameter in heads:
            continue
        if parameter.ndim > 1 or not layers:
            layers.append([])
        layers[-1].append(parameter)
    if len(layers) < groups - 1 or not any(p in heads for p in trainable):
        raise ValueError(
            f"{groups} grupos necesitan la última capa y al menos {groups - 1} más por entrenar, y "
            f"quedan {len(layers)}: pide menos grupos o congela menos"
        )
    cuts = [round(index * len(layers) / (groups - 1)) for index in range(groups)]
    tiers = [layers[start:end] for start, end in pairwise(cuts)]
    return [
        nn.ParameterList([p for p in trainable if p in heads]),
        *(nn.ParameterList([p for layer in tier for p in layer]) for tier in reversed(tiers)),
    ]
