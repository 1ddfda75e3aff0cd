"""Cómo se entrenaba entonces: la receta del artículo de cada red, para medirla contra la de hoy.

Una receta es la inicialización, el optimizador, el plan de la tasa, el decaimiento y la
aumentación. Las desviaciones de los pesos se eligieron para redes más anchas: aquí se escalan, para
que la señal sea la misma. Los planes que esperaban a que la validación dejara de mejorar se llevan
a un presupuesto fijo: la tasa se divide entre diez a la mitad y a los tres cuartos. El dropout es
parte de cada red, y las minis llevan el suyo.
"""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, MultiStepLR

from cnnhistory import models
from cnnhistory.models.initialization import gaussian, xavier_uniform

__all__ = ["ERAS", "INITIALIZATIONS", "Era", "constant", "momentum", "plain", "steps_down"]


def plain(model: nn.Module, lr: float, weight_decay: float) -> Optimizer:
    """Descenso estocástico sin momento, y decaimiento en todos los parámetros.

    Args:
        model: La red.
        lr: Tasa de aprendizaje.
        weight_decay: Decaimiento.

    Returns:
        El optimizador.
    """
    return torch.optim.SGD(model.parameters(), lr=lr, weight_decay=weight_decay, fused=True)


def momentum(model: nn.Module, lr: float, weight_decay: float) -> Optimizer:
    """Descenso estocástico con momento clásico de 0.9, y decaimiento en todos los parámetros.

    Args:
        model: La red.
        lr: Tasa de aprendizaje.
        weight_decay: Decaimiento.

    Returns:
        El optimizador.
    """
    return torch.optim.SGD(
        model.parameters(), lr=lr, momentum=0.9, weight_decay=weight_decay, fused=True
    )


def constant(optimizer: Optimizer, steps: int) -> LRScheduler:
    """La tasa no cambia.

    Args:
        optimizer: El optimizador.
        steps: Pasos de todo el entrenamiento.

    Returns:
        El plan, que avanza una vez por lote.
    """
    return LambdaLR(optimizer, lambda step: 1.0)


def steps_down(optimizer: Optimizer, steps: int) -> LRScheduler:
    """La tasa se divide entre diez a la mitad de los pasos y otra vez a los tres cuartos.

    Args:
        optimizer: El optimizador.
        steps: Pasos de todo el entrenamiento.

    Returns:
        El plan, que avanza una vez por lote.
    """
    return MultiStepLR(optimizer, [steps // 2, 3 * steps // 4], gamma=0.1)


def _as_in(full: str, std: float) -> Callable[[nn.Module], None]:
    def initialize(model: nn.Module) -> None:
        with torch.device("meta"):
            like = models.create(full)
        gaussian(model, std, like)

    return initialize


def _alexnet(model: nn.Module) -> None:
    """Sección 5: N(0, 0.01²); las ReLU de conv2, conv4, conv5 y las densas, encendidas."""
    _as_in("alexnet", 0.01)(model)
    layers = [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for layer, bias in zip(layers, (0, 1, 0, 1, 1, 1, 1, 0), strict=True):
        assert layer.bias is not None
        nn.init.constant_(layer.bias, bias)


INITIALIZATIONS: Mapping[str, Callable[[nn.Module], None]] = MappingProxyType(
    {
        "alexnet": _alexnet,
        "zfnet": _as_in("zfnet", 0.01),
        "nin": _as_in("nin", 0.05),
        "xavier": xavier_uniform,
    }
)
"""Las inicializaciones, por su nombre; sin nombre, la red queda como nace en el catálogo."""


@dataclass(frozen=True)
class Era:
    """La receta de un artículo.

    Attributes:
        lr: Tasa inicial.
        source: De dónde sale: la sección del artículo de la red, u otra fuente.
        initialization: Nombre en `INITIALIZATIONS`; ``None`` es la del catálogo, que es la suya.
        optimizer: Nombre en `cnnhistory.experiment.OPTIMIZERS`.
        schedule: Nombre en `cnnhistory.experiment.SCHEDULES`.
        weight_decay: Decaimiento de los pesos.
        augment: Nombre en `cnnhistory.augmentation.RECIPES`; ``None`` no aumenta.
    """

    lr: float
    source: str
    initialization: str | None = None
    optimizer: str = "momentum"
    schedule: str = "steps"
    weight_decay: float = 5e-4
    augment: str | None = "crop_flip"


_LENET = Era(
    lr=0.05,
    source="apéndice C, sin su segunda derivada: la tasa es diez veces la de la ficha, que lleva "
    "momento 0.9",
    optimizer="plain",
    weight_decay=0.0,
    augment=None,
)

ERAS: Mapping[str, Era] = MappingProxyType(
    {
        "lenet5": _LENET,
        "lenet5_modern": dataclasses.replace(
            _LENET, source="no es de ningún artículo: es la de LeNet-5; nace con la de He"
        ),
        "alexnet_mini": Era(0.01, "sección 5", "alexnet"),
        "zfnet_mini": Era(
            0.01, "sección 3.1, que no menciona decaimiento", "zfnet", weight_decay=0.0
        ),
        "nin_mini": Era(
            0.01,
            "los archivos de Caffe del autor, "
            "https://gist.github.com/mavenlin/d802a5849de39225bcc6",
            "nin",
        ),
        "vgg_mini": Era(
            0.01, "sección 3.1, con la inicialización de Glorot que recomienda", "xavier"
        ),
        "googlenet_mini": Era(
            0.01,
            "sección 6: la tasa baja 4 % cada ocho épocas, que aquí es nada; la inicialización, la "
            "tasa y el decaimiento, que el artículo calla, son los de la réplica de Caffe",
            "xavier",
            schedule="constant",
            weight_decay=2e-4,
        ),
        "allcnn_mini": Era(
            0.05,
            "sección 3.1: la tasa, una de las cuatro que probaron; la inicialización no se dice",
            "xavier",
            weight_decay=1e-3,
            augment=None,
        ),
        "resnet_mini": Era(0.1, "sección 4.2", weight_decay=1e-4),
        "resnext_mini": Era(0.1, "sección 5.3"),
        "densenet_mini": Era(
            0.1, "sección 4.2", optimizer="nesterov", weight_decay=1e-4, augment=None
        ),
        "senet_mini": Era(
            0.6 * 64 / 1024,
            "sección 5: 0.6 para lotes de 1024, llevada a lotes de 64",
            weight_decay=1e-4,
        ),
    }
)
"""La receta de cada corredora de `cnnhistory.race.RUNNERS`, menos softmax."""
