"""Cada red, igual a la de referencia: mismos pesos, misma entrada, mismas salidas."""

import ast
import dataclasses
import hashlib
import os
import re
import urllib.error
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from cnnhistory import models, weights

torch.set_num_threads(1)

PAGE = Path(__file__).parent.parent / "docs/resultados/fidelidad.py"


def page_definitions() -> dict:
    """Las funciones de la página Fidelidad, sin ejecutar la página: son las mismas de la prueba."""
    kept = (ast.Import, ast.ImportFrom, ast.FunctionDef)
    body = [
        node
        for node in ast.parse(PAGE.read_text(encoding="utf-8")).body
        if isinstance(node, kept)
        or (isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "TIMM")
    ]
    namespace: dict = {}
    exec(compile(ast.Module(body, []), str(PAGE), "exec"), namespace)
    return namespace


largest_difference = page_definitions()["largest_difference"]


@pytest.mark.parametrize("name", weights.published())
def test_same_weights_same_logits(name: str):
    _source, difference = largest_difference(name)
    assert difference < 1e-5


def test_the_proof_can_fail(monkeypatch):
    """Una ReLU de menos no cambia los parámetros, y la comparación la ve."""
    build = models.CATALOG["resnet18"].build

    def wrong(**options):
        model = build(**options)
        model.stages[3][0].residual[1] = torch.nn.Identity()
        return model

    wrong_card = dataclasses.replace(models.CATALOG["resnet18"], build=wrong)
    monkeypatch.setattr(models, "CATALOG", {**models.CATALOG, "resnet18": wrong_card})
    assert largest_difference("resnet18")[1] > 1e-3


def test_published_and_catalogue_agree():
    assert set(weights.published()) <= set(models.names())


def test_other_classes_and_channels_convert():
    theirs = torchvision.models.resnet18(num_classes=7)
    theirs.conv1 = nn.Conv2d(1, 64, 7, 2, 3, bias=False)
    ours = models.create("resnet18", num_classes=7, in_channels=1)
    ours.load_state_dict(weights.convert("resnet18", theirs.state_dict()), strict=True)
    image = torch.randn(1, 1, 64, 64)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image), rtol=1e-5, atol=1e-5)


def test_old_files_without_batch_counters_convert():
    state = torchvision.models.resnet18().state_dict()
    old = {key: value for key, value in state.items() if "num_batches" not in key}
    converted = weights.convert("resnet18", old)
    models.create("resnet18").load_state_dict(converted, strict=True)


def test_old_densenet_names_convert():
    state = torchvision.models.densenet121().state_dict()
    pattern = re.compile(r"(denselayer\d+\.(?:norm|conv))(\d)\.")
    old = {pattern.sub(r"\1.\2.", key): value for key, value in state.items()}
    assert old.keys() != state.keys()
    ours, theirs = weights.convert("densenet121", old), weights.convert("densenet121", state)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


def test_published_googlenet_file_has_heads_that_the_plain_net_ignores():
    state = torchvision.models.GoogLeNet(aux_logits=True, init_weights=False).state_dict()
    models.create("googlenet_bn").load_state_dict(weights.convert("googlenet_bn", state))


@pytest.mark.parametrize("name", ["lenet5", "alexnet", "resnet_mini", "nadie"])
def test_without_reference_it_says_so(name: str):
    with pytest.raises(ValueError, match="publicados"):
        weights.convert(name, {})
    with pytest.raises(ValueError, match="publicados"):
        weights.download(name)


def test_foreign_missing_and_misshapen_weights_are_named():
    state = torchvision.models.resnet18().state_dict()
    with pytest.raises(weights.WeightsError, match=r"«otra\.cosa» no es un peso de resnet18"):
        weights.convert("resnet18", {**state, "otra.cosa": torch.zeros(1)})
    missing = {key: value for key, value in state.items() if key != "layer2.0.conv1.weight"}
    with pytest.raises(weights.WeightsError, match=r"falta «stages\.1\.0\.residual\.0\.0\.weight»"):
        weights.convert("resnet18", missing)
    with pytest.raises(weights.WeightsError, match="mide"):
        weights.convert("resnet18", {**state, "layer2.0.conv1.weight": torch.zeros(3)})


def published_file(folder, monkeypatch, state: dict, tamper: bool = False) -> str:
    """Publica un archivo de pesos en el disco, con su huella en el nombre, como torchvision."""
    path = folder / "pesos.pth"
    torch.save(state, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    final = path.rename(folder / f"pesos-{'00000000' if tamper else digest}.pth")
    monkeypatch.setenv("TORCH_HOME", str(folder / "cache"))
    monkeypatch.setitem(weights._SOURCES, "resnet18", final.as_uri())
    return final.name


def test_download_converts_and_caches(tmp_path, monkeypatch):
    state = torchvision.models.resnet18().state_dict()
    name = published_file(tmp_path, monkeypatch, state)
    model = models.create("resnet18", weights="imagenet")
    assert torch.equal(model.head[2].weight, state["fc.weight"])
    assert (tmp_path / "cache/hub/checkpoints" / name).exists()
    (tmp_path / name).unlink()  # la segunda vez ya no hace falta el origen
    weights.download("resnet18")


def test_tampered_download_is_refused(tmp_path, monkeypatch):
    published_file(tmp_path, monkeypatch, torchvision.models.resnet18().state_dict(), tamper=True)
    with pytest.raises(weights.WeightsError, match="no se pudieron obtener los pesos de resnet18"):
        weights.download("resnet18")


def test_a_file_with_code_is_never_run(tmp_path, monkeypatch):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ejecutado"),))

    published_file(tmp_path, monkeypatch, {"fc.weight": Trap()})
    with pytest.raises(weights.WeightsError, match="resnet18"):
        weights.download("resnet18")
    assert not (tmp_path / "ejecutado").exists()


def test_without_network_it_says_what_to_do(tmp_path, monkeypatch):
    def no_network(*_arguments, **_options):
        raise urllib.error.URLError("sin red")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    with pytest.raises(weights.WeightsError, match="cópialo a"):
        models.create("resnet18", weights="imagenet")


def test_imagenet_weights_need_their_own_classes():
    with pytest.raises(ValueError, match="1000 clases"):
        models.create("resnet18", num_classes=10, weights="imagenet")
    with pytest.raises(ValueError, match="imagenet"):
        models.create("resnet18", weights="cifar")


def test_normalization_of_published_weights():
    white = torch.ones(1, 3, 2, 2)
    assert weights.normalization("googlenet_bn")(white).unique().tolist() == [1.0]
    assert weights.normalization("resnet50")(white)[0, 0, 0, 0] == pytest.approx(
        (1 - 0.485) / 0.229
    )
