"""Las redes, fuera de Python: el grafo de `torch.export`, ONNX y el compilador."""

import io

import onnxruntime
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from cnnhistory import models

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
