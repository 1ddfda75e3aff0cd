"""Pesos oficiales para nuestras redes: los de torchvision y, para SENet, los de timm.

Nuestras redes nombran sus capas con palabras (`stem`, `stages`, `head`); las de referencia, con
números. Aquí está la traducción, nombre por nombre, y la descarga con su huella.
"""

import pickle
import re
from collections.abc import Callable, Mapping

import torch
from torch import Tensor
from torchvision.models import get_model_weights
from torchvision.transforms import v2

from cnnhistory import models

__all__ = ["WeightsError", "convert", "download", "normalization", "published"]

_CADENE = "https://github.com/rwightman/pytorch-image-models/releases/download/v0.1-cadene"
# Nombre nuestro → nombre en torchvision, o dirección del archivo que usa timm.
_SOURCES = {
    "alexnet_owt": "alexnet",
    **{f"vgg{depth}": f"vgg{depth}" for depth in (11, 13, 16, 19)},
    **{f"vgg{depth}_bn": f"vgg{depth}_bn" for depth in (11, 13, 16, 19)},
    "googlenet_bn": "googlenet",
    "googlenet_bn_aux": "googlenet",
    **{f"resnet{depth}": f"resnet{depth}" for depth in (18, 34, 50, 101, 152)},
    "resnext50_32x4d": "resnext50_32x4d",
    "resnext101_32x8d": "resnext101_32x8d",
    **{f"densenet{depth}": f"densenet{depth}" for depth in (121, 161, 169, 201)},
    "seresnet50": f"{_CADENE}/se_resnet50-ce0d4300.pth",
    "seresnext50_32x4d": f"{_CADENE}/se_resnext50_32x4d-a260b3a4.pth",
    "senet154": f"{_CADENE}/senet154-c7b49a05.pth",
}


class WeightsError(RuntimeError):
    """Los pesos no se pudieron obtener o no son de la red; el mensaje dice qué hacer."""


def published() -> list[str]:
    """Las redes del catálogo con pesos de ImageNet publicados."""
    return list(_SOURCES)


def convert(name: str, state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Traduce un diccionario de pesos de torchvision (o timm) al de nuestra red.

    Args:
        name: Nombre de la red en `cnnhistory.models.CATALOG`.
        state_dict: Pesos de la red de referencia, con cualquier número de clases y canales.

    Returns:
        Los mismos tensores con nuestros nombres, listos para ``load_state_dict(strict=True)``.

    Raises:
        ValueError: Si la red no tiene referencia publicada.
        WeightsError: Si sobran o faltan pesos o alguno tiene otra forma.
    """
    if name not in _SOURCES:
        raise ValueError(
            f"«{name}» no tiene pesos publicados que convertir; los hay para: {', '.join(_SOURCES)}"
        )
    with torch.device("meta"):
        expected = models.create(name).state_dict()
    rename = _renamer(name)
    converted = {}
    for key, value in state_dict.items():
        if name == "googlenet_bn" and key.startswith("aux"):
            continue  # los pesos publicados traen las cabezas auxiliares; esta red no las tiene
        new = rename(key)
        if new not in expected:
            raise WeightsError(f"«{key}» no es un peso de {name}: ¿es de otra red?")
        # timm guarda las densas de SE como convoluciones de 1×1.
        converted[new] = value.flatten(1) if expected[new].ndim == 2 else value
    for key in expected.keys() - converted.keys():
        if key.endswith("num_batches_tracked"):  # los archivos de antes de 2018 no lo guardan
            converted[key] = torch.tensor(0)
        else:
            raise WeightsError(f"a los pesos les falta «{key}» de {name}: ¿están incompletos?")
    first, last = _ends(expected)
    for key, value in converted.items():
        if value.shape != expected[key].shape and key not in (first, *last):
            raise WeightsError(
                f"«{key}» mide {tuple(value.shape)} y en {name} mide {tuple(expected[key].shape)}"
            )
    return {key: converted[key] for key in expected}


def download(name: str) -> dict[str, Tensor]:
    """Descarga los pesos de ImageNet, comprueba su huella y los convierte.

    Quedan en la caché de torch (``TORCH_HOME``), y la segunda vez no hace falta red. El archivo
    se lee solo como tensores: no puede ejecutar código.

    Args:
        name: Nombre de la red en `cnnhistory.models.CATALOG`.

    Returns:
        El diccionario de pesos de nuestra red.

    Raises:
        ValueError: Si la red no tiene pesos publicados.
        WeightsError: Si no hay red, o lo descargado no tiene la huella esperada.
    """
    if name not in _SOURCES:
        raise ValueError(
            f"«{name}» no tiene pesos de ImageNet publicados; los hay para: {', '.join(_SOURCES)}"
        )
    source = _SOURCES[name]
    url = source if "://" in source else get_model_weights(source)["IMAGENET1K_V1"].url
    try:
        state_dict = torch.hub.load_state_dict_from_url(
            url, map_location="cpu", check_hash=True, weights_only=True
        )
    except (OSError, RuntimeError, pickle.UnpicklingError) as error:
        raise WeightsError(
            f"no se pudieron obtener los pesos de {name} desde {url} ({error}). Con red, vuelve a "
            "intentarlo; sin ella, descarga ese archivo en otra máquina y cópialo a "
            f"{torch.hub.get_dir()}/checkpoints"
        ) from None
    return convert(name, state_dict)


def normalization(name: str) -> v2.Normalize:
    """La normalización con que se entrenaron los pesos publicados de una red.

    Args:
        name: Nombre de la red en `cnnhistory.models.CATALOG`.

    Returns:
        Una transformación de imágenes flotantes en [0, 1], ``(N, 3, H, W)``.
    """
    if name.startswith("googlenet"):
        return v2.Normalize(mean=[0.5, 0.5, 0.5], std=[0.5, 0.5, 0.5])
    return v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])


def _ends(expected: Mapping[str, Tensor]) -> tuple[str, tuple[str, ...]]:
    """La primera capa y las últimas: las que cambian con los canales y con las clases."""
    keys = [key for key in expected if key.endswith(("weight", "bias"))]
    heads = [key for key in keys if key.startswith("auxiliary") and ".classifier.4." in key]
    return keys[0], (*keys[-2:], *heads)


def _renamer(name: str) -> Callable[[str], str]:
    """La función que traduce un nombre de la referencia al nuestro."""
    if name.startswith("vgg"):
        return _vgg_renamer(name)
    family = re.match("alexnet|googlenet|seres|senet|resne|densenet", name)
    rules = _RULES[family[0]] if family else ()

    def rename(key: str) -> str:
        for pattern, replacement in rules:
            key = re.sub(pattern, replacement, key)
        return key

    return rename


def _vgg_renamer(name: str) -> Callable[[str], str]:
    # torchvision numera las capas de corrido; aquí se cuentan dentro de su bloque.
    with torch.device("meta"):
        blocks = models.create(name).get_submodule("blocks")
    assert isinstance(blocks, torch.nn.Sequential)
    places = [
        f"blocks.{b}.{i}" for b, block in enumerate(blocks) for i, _ in enumerate(block.children())
    ]

    def rename(key: str) -> str:
        part, index, kind = key.split(".")
        if part == "features":
            return f"{places[int(index)]}.{kind}"
        return f"classifier.{int(index) + 1}.{kind}"  # la nuestra empieza por aplanar

    return rename


def _offset(template: str, *shifts: int) -> Callable[[re.Match[str]], str]:
    """Reemplazo que escala y corre los números capturados: n → escala·n + corrimiento."""
    pairs = list(zip(shifts[::2], shifts[1::2], strict=True))

    def replace(match: re.Match[str]) -> str:
        numbers = [int(text) for text in match.groups()]
        return template.format(*(a * n + b for (a, b), n in zip(pairs, numbers, strict=True)))

    return replace


_RESIDUAL = (
    (r"^layer(\d)\.(\d+)\.", _offset("stages.{}.{}.", 1, -1, 1, 0)),
    (r"\.conv(\d)\.", _offset(".residual.{}.0.", 2, -2)),
    (r"\.bn(\d)\.", _offset(".residual.{}.1.", 2, -2)),
    (r"\.downsample\.", ".shortcut."),
)
_SQUEEZE = (
    (r"^layer0\.conv(\d)\.", _offset("stem.{}.0.", 2, -2)),
    (r"^layer0\.bn(\d)\.", _offset("stem.{}.1.", 2, -2)),
    *_RESIDUAL,
    (r"\.se_module\.fc(\d)\.", _offset(".residual.5.excite.{}.", 2, -2)),
)
_RULES: dict[str, tuple] = {
    "alexnet": (),
    "resne": (
        (r"^conv1\.", "stem.0.0."),
        (r"^bn1\.", "stem.0.1."),
        *_RESIDUAL,
        (r"^fc\.", "head.2."),
    ),
    "seres": (*_SQUEEZE, (r"^last_linear\.", "head.2.")),
    "senet": (*_SQUEEZE, (r"^last_linear\.", "head.3.")),
    "densenet": (
        (r"\.(norm|conv)\.(\d)\.", r".\1\2."),  # los archivos publicados usan la forma vieja
        (r"^features\.conv0\.", "stem.0."),
        (r"^features\.norm0\.", "stem.1."),
        (
            r"^features\.denseblock(\d)\.denselayer(\d+)\.",
            _offset("stages.{}.{}.layers.", 2, -2, 1, -1),
        ),
        (r"^features\.transition(\d)\.", _offset("stages.{}.", 2, -1)),
        (r"\.layers\.norm1\.", ".layers.0."),
        (r"\.layers\.conv1\.", ".layers.2."),
        (r"\.layers\.norm2\.", ".layers.3."),
        (r"\.layers\.conv2\.", ".layers.5."),
        (r"^(stages\.\d\.)norm\.", r"\g<1>0."),
        (r"^(stages\.\d\.)conv\.", r"\g<1>2."),
        (r"^features\.norm5\.", "head.0."),
        (r"^classifier\.", "head.4."),
    ),
    "googlenet": (
        (r"^conv1\.", "stem.0."),
        (r"^conv2\.", "stem.3."),
        (r"^conv3\.", "stem.4."),
        (r"^inception3([ab])\.", lambda m: f"stage3.{'ab'.index(m[1])}."),
        (r"^inception4a\.", "stage4a."),
        (r"^inception4([bcd])\.", lambda m: f"stage4bcd.{'bcd'.index(m[1])}."),
        (r"^inception4e\.", "stage4e.0."),
        (r"^inception5([ab])\.", lambda m: f"stage5.{'ab'.index(m[1])}."),
        (r"^aux(\d)\.", _offset("auxiliary.{}.", 1, -1)),
        (r"\.fc1\.", ".classifier.1."),
        (r"\.fc2\.", ".classifier.4."),
        (r"^fc\.", "head.3."),
        (r"\.conv\.weight$", ".0.weight"),
        (r"\.bn\.", ".1."),
    ),
}
