"""Las redes, fuera de Python: el grafo de `torch.export`, ONNX, el compilador y `to_onnx`."""

import io
import shutil
import sys

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torchvision.transforms import v2

from cnnhistory import cli, data, experiment, models
from cnnhistory.export import to_onnx

torch.set_num_threads(1)

MINIS = [name for name in models.names() if name.endswith("_mini")]
# Además de las minis, una red fiel de cada familia.
FAITHFUL = [
    *("lenet5", "lenet5_modern", "lenet5_bn", "two_conv", "alexnet", "zfnet", "nin", "vgg11"),
    *("googlenet_aux", "allcnn_c", "resnet18", "resnet20", "resnext50_32x4d"),
    *("densenet121", "seresnet50"),
]


def images_for(name: str, count: int = 2) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, *models.CATALOG[name].input_shape, generator=generator)


@pytest.mark.parametrize("name", models.names())
def test_every_network_exports_for_any_batch(name):
    """Con tensores de mentira: se comprueba el grafo, y no cuesta memoria."""
    card = models.CATALOG[name]
    with FakeTensorMode():
        model, images = models.create(name).eval(), torch.empty(2, *card.input_shape)
    graph = torch.export.export(model, (images,), dynamic_shapes=({0: torch.export.Dim("N")},))
    (output,) = graph.graph.output_node().args[0]
    count, classes = output.meta["val"].shape
    assert classes == card.num_classes
    assert not isinstance(count, int)  # un símbolo: el lote no quedó fijo


@pytest.mark.parametrize("name", [*MINIS, *FAITHFUL])
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_onnx_gives_the_same_logits(name):
    torch.manual_seed(0)
    model, images = models.create(name).eval(), images_for(name)
    file = io.BytesIO()
    # Sin su optimizador, que tarda tanto como exportar y no cambia las cuentas.
    torch.onnx.export(model, (images,), file, dynamo=True, verbose=False, optimize=False)
    session = onnxruntime.InferenceSession(file.getvalue(), providers=["CPUExecutionProvider"])
    (logits,) = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    with torch.inference_mode():
        expected = model(images)
    assert expected.std() > 0
    difference = (torch.from_numpy(logits) - expected).abs().max() / expected.abs().max()
    assert difference < 1e-4  # otros núcleos, que suman en otro orden y en precisión simple


@pytest.mark.parametrize("name", [*MINIS, *FAITHFUL])
def test_the_network_compiles_in_one_piece(name):
    """Hasta donde no hace falta un compilador de C++: `inductor` parte de este grafo."""
    torch.manual_seed(0)
    model, images = models.create(name).eval(), images_for(name)
    torch._dynamo.reset()
    backend = "aot_eager" if name in MINIS else "eager"  # las grandes, sin el segundo trazado
    compiled = torch.compile(model, fullgraph=True, backend=backend)
    with torch.inference_mode():
        torch.testing.assert_close(compiled(images), model(images))


# --- to_onnx --------------------------------------------------------------------------------------


@pytest.fixture
def small() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(v2.Normalize([0.3], [0.2]), models.create("lenet5_bn"))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_the_file_is_the_network_with_its_normalization_and_its_classes(small, tmp_path):
    first = next(small.parameters()).requires_grad_(False)
    state = torch.get_rng_state()
    to_onnx(small, tmp_path / "red.onnx", (1, 28, 28), ("camiseta", "botín"))
    assert torch.equal(torch.get_rng_state(), state)  # exportar no mueve el azar de nadie
    assert small.training
    assert not first.requires_grad
    session = onnxruntime.InferenceSession(tmp_path / "red.onnx")
    assert session.get_modelmeta().custom_metadata_map["classes"] == "camiseta\nbotín"
    for count in (1, 5):
        images = torch.rand(count, 1, 28, 28)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), small.eval()(images))
    assert [path.name for path in tmp_path.iterdir()] == ["red.onnx"]


def test_what_is_not_for_the_file_is_said(small, tmp_path):
    with pytest.raises(ValueError, match=r"lenet5_bn recibe imágenes \(N, 1, H, W\)"):
        to_onnx(small, tmp_path / "red.onnx", (3, 28, 28))
    with pytest.raises(ValueError, match="no pudo con imágenes de 1×28×28"):
        to_onnx(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten()), tmp_path / "red.onnx", (1, 28, 28))
    with pytest.raises(ValueError, match="un solo tensor"):
        to_onnx(nn.Conv2d(1, 4, 3), str(tmp_path / "red.onnx"), (1, 28, 28))
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_its_packages_it_says_which_to_install(small, tmp_path, monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match="pip install onnx onnxscript"):
        to_onnx(small, tmp_path / "red.onnx", (1, 28, 28))


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_failed_export_keeps_the_file_that_was_there(small, tmp_path, monkeypatch):
    path = tmp_path / "red.onnx"
    path.write_text("la de antes")

    def full(_program, destination):
        destination.write_text("media")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch.onnx.ONNXProgram, "save", full)
    with pytest.raises(OSError, match="No space"):
        to_onnx(small, path, (1, 28, 28))
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [
        ("red.onnx", "la de antes")
    ]


@pytest.fixture
def trained(tmp_path, monkeypatch, capsys):
    """La carpeta que deja un entrenamiento corto, y los datos que vio."""
    train, test = (part[:200] for part in data.fashion_mnist())
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda _subset: (train, test)})
    arguments = ["train", "resnet_mini", "--epochs", "1", "--seed", "5", "--side", "20"]
    assert cli.main([*arguments, "--checkpoints", str(tmp_path / "pesos")]) == 0
    capsys.readouterr()
    return tmp_path / "pesos", train, test


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_what_was_trained_in_the_terminal_runs_outside(trained, tmp_path, monkeypatch, capsys):
    """De los pesos solos, sin los datos, salen la red, el lado, la normalización y las clases."""
    folder, train, test = trained
    monkeypatch.setattr(experiment, "SOURCES", {})
    weights, file = folder / "last.safetensors", tmp_path / "afuera/red.onnx"
    assert cli.main(["export", str(weights), str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: imágenes, N×1×20×20 en [0, 1] → logits, N×10\n"
    session = onnxruntime.InferenceSession(file)
    assert tuple(session.get_modelmeta().custom_metadata_map["classes"].split("\n")) == test.classes
    pixels = v2.functional.resize(test.images.float() / 255, [20, 20], antialias=True)
    (logits,) = session.run(None, {"images": pixels.numpy()})
    model = models.create("resnet_mini").eval()
    model.load_state_dict(load_file(weights))
    expected = {}
    for seed in (5, 0):
        seen, _ = data.split(train, 0.1, seed=seed)
        with torch.inference_mode():
            expected[seed] = model(data.normalization(seen)(pixels))
    torch.testing.assert_close(torch.from_numpy(logits), expected[5], atol=1e-4, rtol=1e-4)
    assert (expected[5] - expected[0]).abs().max() > 1e-3  # con las de otra semilla se notaría


def test_a_tree_of_photos_is_exported_without_the_photos(tmp_path, capsys):
    for part in ("train", "val"):
        for name in ("azul", "rojo"):
            folder = tmp_path / "fotos" / part / name
            folder.mkdir(parents=True)
            for index in range(4):
                pixels = torch.randint(0, 256, (3, 40, 40), dtype=torch.uint8)
                v2.functional.to_pil_image(pixels).save(folder / f"{index}.png")
    arguments = ["train", "resnet20", "--dataset", str(tmp_path / "fotos"), "--epochs", "1"]
    assert (
        cli.main([*arguments, "--batch-size", "4", "--checkpoints", str(tmp_path / "pesos")]) == 0
    )
    shutil.rmtree(tmp_path / "fotos")
    capsys.readouterr()
    file = tmp_path / "red.onnx"
    assert cli.main(["export", str(tmp_path / "pesos/last.safetensors"), str(file)]) == 0
    assert "N×3×32×32 en [0, 1] → logits, N×2" in capsys.readouterr().out
    session = onnxruntime.InferenceSession(file)
    assert session.get_modelmeta().custom_metadata_map["classes"] == "azul\nrojo"


def test_what_cannot_be_exported_is_said(trained, tmp_path, monkeypatch, capsys):
    folder, *_ = trained
    weights = folder / "last.safetensors"
    before = weights.read_bytes()
    loose = tmp_path / "sueltos.safetensors"
    save_file(models.create("softmax").state_dict(), loose)
    (tmp_path / "carpeta.onnx").mkdir()
    for source, file, message in (
        (weights, weights, "debe terminar en .onnx"),
        (weights, tmp_path, "debe terminar en .onnx"),
        (weights, "", "debe terminar en .onnx"),
        (weights, tmp_path / "carpeta.onnx", "debe terminar en .onnx"),
        (loose, tmp_path / "red.onnx", "no dice qué red es"),
        (tmp_path / "no", tmp_path / "red.onnx", "no existe"),
        (folder, tmp_path / "red.onnx", f"están en {weights}"),
        (folder / "checkpoint.safetensors", tmp_path / "red.onnx", f"están en {weights}"),
    ):
        assert cli.main(["export", str(source), str(file)]) == 1
        assert message in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert cli.main(["export", str(weights), str(tmp_path / "red.onnx")]) == 1
    assert "pip install onnx onnxscript" in capsys.readouterr().err
    assert weights.read_bytes() == before
    assert not (tmp_path / "red.onnx").exists()
