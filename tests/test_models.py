"""Las redes: contra los artículos, contra otras implementaciones y contra otros contadores."""

import copy
import dataclasses
import math
from types import MappingProxyType

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from cnnhistory import data, ilsvrc, inspection, models, training
from cnnhistory.models.alexnet import AlexNet, LocalResponseNorm
from cnnhistory.models.lenet import (
    C3_TABLE,
    DIGITS,
    LeNet5,
    RBFOutput,
    ScaledTanh,
    SparseConv2d,
    Subsampling,
)

torch.set_num_threads(1)

# Operaciones que el contador de torch ve y la ficha no cuenta, porque no son del artículo: C3 se
# calcula como convolución llena (36 filtros de ceros) y la LRN como convolución de 1×1.
C3_ZEROS = 36 * 25 * 10 * 10
LRN = 96**2 * 55**2 + 256**2 * 27**2
LRN_MINI = 32**2 * 13**2 + 64**2 * 6**2

# Nombre → parámetros (artículo o fuente publicada), MACs y operaciones de más del contador.
TABLE = {
    "lenet5": (60_000, 117_600 + 150_000 + 48_000 + 10_080, C3_ZEROS),
    "lenet5_modern": (61_706, 117_600 + 240_000 + 48_000 + 10_080 + 840, 0),
    "alexnet": (60_965_224, 724_406_816, LRN),
    "alexnet_single": (62_378_344, 1_135_256_096, LRN),
    "alexnet_owt": (61_100_840, 714_188_480, 0),
    "alexnet_mini": (285_322, 9_566_208, LRN_MINI),
}
SMALL = [name for name in models.names() if models.CATALOG[name].parameters < 1_000_000]
MINIS = [name for name in models.names() if name.endswith("_mini")]
# La distancia a los dibujos da gradientes mucho mayores, y sin dropout AlexNet mini es inestable.
LEARNING_RATE = {"lenet5": 0.005, "alexnet_mini": 0.01}
HE = ("lenet5_modern", "alexnet_owt", "alexnet_mini")


def on_meta(name: str, **sizes) -> nn.Module:
    with torch.device("meta"):
        return models.create(name, **sizes)


def images_for(name: str, count: int = 2, channels: int | None = None) -> torch.Tensor:
    own, *side = models.CATALOG[name].input_shape
    generator = torch.Generator().manual_seed(0)
    return torch.randn(count, channels or own, *side, generator=generator)


# --- El catálogo ---------------------------------------------------------------------------------


def test_every_network_of_the_catalogue_is_in_the_table():
    assert set(models.CATALOG) == set(TABLE)
    assert models.names() == list(models.CATALOG)


def test_the_catalogue_cannot_be_changed():
    assert isinstance(models.CATALOG, MappingProxyType)
    with pytest.raises(TypeError):
        models.CATALOG["otra"] = models.CATALOG["lenet5"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        models.CATALOG["lenet5"].year = 2000


@pytest.mark.parametrize("name", TABLE)
def test_a_card_is_complete(name):
    card = models.CATALOG[name]
    assert 1998 <= card.year <= 2017
    assert card.url.startswith("https://")
    for text in (card.label, card.authors, card.title, card.idea):
        assert text.strip() == text != ""
    assert card.idea.endswith(".")
    assert set(card.inherits) <= set(models.CATALOG) - {name}
    assert all(models.CATALOG[parent].year <= card.year for parent in card.inherits)
    assert all(text and not text.endswith(".") for text in (*card.gave, *card.deviations))
    assert card.page == "" or card.page.endswith(".py")
    assert len(card.input_shape) == 3
    assert 0 < card.lr < 1


def test_official_errors_are_the_ledgers():
    errors = {n: c.top5_error for n, c in models.CATALOG.items() if c.top5_error is not None}
    assert errors == {"alexnet": ilsvrc.find(2012, "supervision").top5_error}
    official = {result.top5_error for result in ilsvrc.results(2012) if result.is_official}
    assert set(errors.values()) <= official


@pytest.mark.parametrize("name", MINIS)
def test_a_mini_is_small_and_lists_its_deviations(name):
    card = models.CATALOG[name]
    assert card.parameters <= 300_000
    assert card.input_shape == (1, 28, 28)
    assert card.num_classes == 10
    assert card.deviations
    assert name.removesuffix("_mini") in card.inherits


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("alexnt", "¿quisiste decir alexnet"),
        ("LeNet5", "¿quisiste decir lenet5"),
        ("zzz", "hay: lenet5, lenet5_modern, alexnet"),
    ],
)
def test_an_unknown_name_suggests(name, expected):
    with pytest.raises(ValueError, match=rf"«{name}» no está en el catálogo; .*{expected[1:]}"):
        models.create(name)


@pytest.mark.parametrize("value", [0, -1, 2.5, True, "10"])
@pytest.mark.parametrize("size", ["num_classes", "in_channels"])
def test_bad_sizes_are_refused(size, value):
    with pytest.raises(ValueError, match=f"{size} debe ser un entero positivo; llegó {value!r}"):
        models.create("lenet5_modern", **{size: value})


# --- Cuentas exactas -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_parameters_are_exactly_the_published_ones(name):
    model = on_meta(name)
    expected = TABLE[name][0]
    assert sum(p.numel() for p in model.parameters()) == expected
    assert inspection.count_parameters(model) == models.CATALOG[name].parameters == expected


@pytest.mark.parametrize("name", TABLE)
def test_macs_are_the_cards_and_those_of_an_independent_counter(name):
    card, (_, macs, extra) = models.CATALOG[name], TABLE[name]
    model = on_meta(name).eval()
    assert inspection.count_macs(model, card.input_shape) == card.macs == macs
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(torch.empty(1, *card.input_shape, device="meta"))
    assert counter.get_total_flops() == 2 * (macs + extra)  # una MAC son dos operaciones


# --- Formas, gradientes, estado ------------------------------------------------------------------


@pytest.mark.parametrize("name", TABLE)
def test_output_shapes_with_other_classes_channels_and_batches(name):
    card = models.CATALOG[name]
    for count in (1, 3):
        images = images_for(name, count).to("meta")
        assert on_meta(name)(images).shape == (count, card.num_classes)
    model = on_meta(name, num_classes=7, in_channels=2)
    assert model(images_for(name, 1, channels=2).to("meta")).shape == (1, 7)


@pytest.mark.parametrize("name", TABLE)
def test_a_real_forward_reaches_every_parameter_backwards(name):
    torch.manual_seed(0)
    model = models.create(name, num_classes=10)
    assert model.training
    images, labels = images_for(name), torch.tensor([3, 8])
    F.cross_entropy(model(images), labels).backward()
    for parameter, value in model.named_parameters():
        assert value.grad is not None, parameter
        assert value.grad.isfinite().all(), parameter
        assert value.grad.any(), parameter
    # De paso, con la red ya hecha: un lote de uno da lo mismo, y channels-last también.
    model.eval()
    with torch.no_grad():
        both = model(images)
        torch.testing.assert_close(model(images[:1]), both[:1], atol=1e-4, rtol=1e-4)
        last = images.to(memory_format=torch.channels_last)
        moved = model.to(memory_format=torch.channels_last)(last)
        torch.testing.assert_close(moved, both, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", SMALL)
def test_state_dict_round_trip_and_bfloat16(name):
    torch.manual_seed(0)
    model, other = models.create(name).eval(), models.create(name).eval()
    images = images_for(name)
    with torch.no_grad():
        expected = model(images)
        assert not torch.equal(other(images), expected)
        other.load_state_dict(copy.deepcopy(model.state_dict()), strict=True)
        assert torch.equal(other(images), expected)
        half = other.to(torch.bfloat16)(images.bfloat16())
        assert half.dtype == torch.bfloat16
        error = (half.float() - expected).norm() / expected.norm()
        assert error < 0.05
        with torch.autocast("cpu", torch.bfloat16):
            assert (model(images).float() - expected).norm() / expected.norm() < 0.05


@pytest.mark.parametrize("name", SMALL)
def test_the_network_compiles_to_an_exported_graph(name):
    model, images = models.create(name).eval(), images_for(name)
    exported = torch.export.export(model, (images,)).module()
    torch.testing.assert_close(exported(images), model(images))


@pytest.mark.parametrize("name", SMALL)
def test_a_small_network_learns_64_images_by_heart(name):
    torch.manual_seed(0)
    train, _ = data.fashion_mnist()
    side = models.CATALOG[name].input_shape[1]
    pad = torchvision.transforms.v2.Pad((side - 28) // 2)
    normalize = data.normalization(train)
    batches = data.Batches(train[:64], 64, transform=lambda images: pad(normalize(images)))
    model = models.create(name)
    for layer in model.modules():
        if isinstance(layer, nn.Dropout):
            layer.p = 0.0  # se trata de memorizar
    optimizer = training.make_optimizer(model, LEARNING_RATE.get(name, 0.02), weight_decay=0)
    for _ in range(30):
        for _ in range(15):
            training.train_one_epoch(model, batches, optimizer)
        if training.evaluate(model, batches).top1 == 1:
            break
    assert training.evaluate(model, batches).top1 == 1


# --- Inicialización ------------------------------------------------------------------------------


def weighted(model: nn.Module) -> list[nn.Module]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


@pytest.mark.parametrize("name", HE)
def test_he_networks_start_with_variance_two_over_fan_in(name):
    torch.manual_seed(0)
    *hidden, last = weighted(models.create(name))
    deviations = [math.sqrt(2 / math.prod(layer.weight.shape[1:])) for layer in hidden]
    # La última nace casi en cero, para no preferir ninguna clase.
    for layer, expected in zip([*hidden, last], [*deviations, 0.01], strict=True):
        weight = layer.weight.detach()
        spread = 5 / math.sqrt(2 * weight.numel())  # cinco errores estándar
        assert weight.std().item() == pytest.approx(expected, rel=spread)
        assert abs(weight.mean()) < 5 * expected / math.sqrt(weight.numel())
        assert not layer.bias.any()


@pytest.mark.parametrize("name", ["alexnet", "alexnet_single"])
def test_alexnet_starts_as_the_paper_says(name):
    torch.manual_seed(0)
    layers = weighted(models.create(name))
    for layer in layers:
        spread = 5 / math.sqrt(2 * layer.weight.numel())
        assert layer.weight.std().item() == pytest.approx(0.01, rel=spread)
    biases = [layer.bias.unique().tolist() for layer in layers]
    assert biases == [[0], [1], [0], [1], [1], [1], [1], [0]]


def test_lenet5_starts_uniform_in_its_fan_in():
    torch.manual_seed(0)
    model = models.create("lenet5")
    fans = {"c1": 25, "s2": 4, "s4": 4, "c5": 400, "f6": 120}
    for name, fan_in in fans.items():
        weight = getattr(model, name).weight.detach()
        assert weight.abs().max() <= 2.4 / fan_in
        assert weight.abs().max() > 0.5 * 2.4 / fan_in
        if weight.numel() > 100:
            assert weight.std().item() == pytest.approx(2.4 / fan_in / math.sqrt(3), rel=0.15)
    filters = iter(model.c3.weight.detach())
    for sources in C3_TABLE:
        bound = 2.4 / (25 * len(sources))
        for _ in sources:
            weight = next(filters).abs()
            assert 0.5 * bound < weight.max() <= bound
    assert not any(m.bias.any() for m in model.children() if hasattr(m, "bias"))


@pytest.mark.parametrize(
    ("name", "margin"),
    # Con N(0, 0.01) y sesgos 1 los logits de AlexNet nacen con desviación de 0.7, y la pérdida
    # sube en media varianza. Las demás empiezan sin preferir ninguna clase.
    [("lenet5", 0.05), ("alexnet", 0.4), ("alexnet_mini", 0.05), ("lenet5_modern", 0.05)],
)
def test_the_first_loss_is_near_that_of_guessing(name, margin):
    torch.manual_seed(0)
    model = models.create(name).eval()
    train, _ = data.fashion_mnist()
    channels, *side = models.CATALOG[name].input_shape
    images = data.normalization(train)(train.images[: 2 if channels == 3 else 256].float() / 255)
    images = F.interpolate(images, side, mode="bilinear").expand(-1, channels, -1, -1)
    with torch.no_grad():
        logits = model(images)
    classes = logits.shape[1]
    loss = F.cross_entropy(logits, torch.full_like(logits, 1 / classes)).item()
    assert math.log(classes) <= loss < math.log(classes) + margin


# --- LeNet-5 contra el artículo, cuenta por cuenta -----------------------------------------------


def test_c3_table_is_table_one_of_the_paper():
    """Copiada por columnas de la tabla I: qué mapas de C3 miran cada mapa de S2."""
    columns = (
        (0, 4, 5, 6, 9, 10, 11, 12, 14, 15),
        (0, 1, 5, 6, 7, 10, 11, 12, 13, 15),
        (0, 1, 2, 6, 7, 8, 11, 13, 14, 15),
        (1, 2, 3, 6, 7, 8, 9, 12, 14, 15),
        (2, 3, 4, 7, 8, 9, 10, 12, 13, 15),
        (3, 4, 5, 8, 9, 10, 11, 13, 14, 15),
    )
    ours = tuple(
        tuple(out for out, sources in enumerate(C3_TABLE) if source in sources)
        for source in range(6)
    )
    assert ours == columns
    assert sum(map(len, C3_TABLE)) == 60


def test_lenet5_layer_by_layer_counts():
    model = models.create("lenet5")
    counts = {name: inspection.count_parameters(layer) for name, layer in model.named_children()}
    expected = {"c1": 156, "s2": 12, "c3": 1_516, "s4": 32, "c5": 48_120, "f6": 10_164}
    assert {name: count for name, count in counts.items() if count} == expected
    assert sum(expected.values()) == 60_000
    assert model.output.codes.numel() == 840  # fijos: no se entrenan
    assert "output.codes" in model.state_dict()


def test_lenet5_has_340908_connections():
    shapes = {row.name: row for row in inspection.shape_table(LeNet5(), (1, 32, 32))}
    connections = 0
    for name, row in shapes.items():
        if name in ("c1", "c3", "c5", "f6"):  # cada parámetro trabaja en cada posición
            connections += row.parameters * math.prod(row.output_shape[1:])
        elif name in ("s2", "s4"):  # cuatro entradas y un sesgo
            connections += 5 * math.prod(row.output_shape)
    connections += 840
    assert connections == 340_908


def slow_lenet5(model: LeNet5, image: np.ndarray) -> np.ndarray:
    """La LeNet-5 del artículo, con bucles: solo los números vienen del modelo."""
    values = {name: p.detach().double().numpy() for name, p in model.named_parameters()}

    def squash(x):
        return 1.7159 * (np.exp(4 / 3 * x) - 1) / (np.exp(4 / 3 * x) + 1)

    def convolve(maps, kernel, bias):
        side, k = maps.shape[1], kernel.shape[-1]
        out = np.full((side - k + 1, side - k + 1), bias)
        for row in range(len(out)):
            for column in range(len(out)):
                out[row, column] += (maps[:, row : row + k, column : column + k] * kernel).sum()
        return out

    def subsample(maps, weight, bias):
        return np.stack(
            [
                w * (m[::2, ::2] + m[1::2, ::2] + m[::2, 1::2] + m[1::2, 1::2]) + b
                for m, w, b in zip(maps, weight, bias, strict=True)
            ]
        )

    c1 = [convolve(image, values["c1.weight"][i], values["c1.bias"][i]) for i in range(6)]
    s2 = squash(subsample(squash(np.stack(c1)), values["s2.weight"], values["s2.bias"]))
    c3, used = [], 0
    for out, sources in enumerate(C3_TABLE):
        kernel = values["c3.weight"][used : used + len(sources)]
        c3.append(convolve(s2[list(sources)], kernel, values["c3.bias"][out]))
        used += len(sources)
    s4 = squash(subsample(squash(np.stack(c3)), values["s4.weight"], values["s4.bias"]))
    c5 = squash(np.tensordot(values["c5.weight"], s4, axes=3) + values["c5.bias"])
    f6 = squash(values["f6.weight"] @ c5 + values["f6.bias"])
    return -np.array([sum((f6 - code) ** 2) for code in model.output.codes.numpy()])


def test_lenet5_equals_a_slow_implementation_of_the_paper():
    torch.manual_seed(0)
    model = models.create("lenet5")
    for parameter in model.parameters():  # también sesgos distintos de cero
        parameter.data += 0.05 * torch.randn_like(parameter)
    images = images_for("lenet5")
    expected = np.stack([slow_lenet5(model, image.double().numpy()) for image in images])
    result = model(images).detach().numpy()
    np.testing.assert_allclose(result, expected, rtol=1e-5)
    assert expected.std() > 1


def test_scaled_tanh_passes_through_one():
    ones = ScaledTanh()(torch.tensor([1.0, -1.0, 0.0, 100.0]))
    torch.testing.assert_close(ones, torch.tensor([1.0, -1.0, 0.0, 1.7159]), atol=1e-4, rtol=0)


def test_subsampling_by_hand():
    layer = Subsampling(1)
    layer.weight.data.fill_(0.5)
    layer.bias.data.fill_(1)
    result = layer(torch.tensor([[[[1.0, 2, 0, 0], [3, 4, 0, 8]]]]))
    assert result.tolist() == [[[[6, 5]]]]


def test_a_sparse_convolution_with_a_full_table_is_a_convolution():
    torch.manual_seed(0)
    sparse = SparseConv2d(((0, 1), (0, 1), (0, 1)), kernel_size=3)
    dense = nn.Conv2d(2, 3, 3)
    dense.weight.data, dense.bias.data = sparse.weight.data.view(3, 2, 3, 3), sparse.bias.data
    images = torch.randn(2, 2, 6, 6)
    torch.testing.assert_close(sparse(images), dense(images))


def test_the_output_is_the_distance_to_each_drawing():
    output = RBFOutput(10)
    assert output.codes.shape == (10, 84)
    assert output.codes.unique().tolist() == [-1, 1]
    distances = output(output.codes)
    assert torch.equal(distances.diagonal(), torch.zeros(10))
    assert (distances[~torch.eye(10, dtype=torch.bool)] <= -16).all()  # al menos cuatro píxeles
    assert torch.equal(distances.argmax(1), torch.arange(10))
    first = output.codes[0].view(12, 7)
    rows = [line.split()[0] for line in DIGITS.strip().splitlines()]
    drawn = ["".join("#" if x > 0 else "." for x in row) for row in first]
    assert drawn == rows


def test_lenet5_has_no_drawing_for_an_eleventh_class():
    assert models.create("lenet5", num_classes=3)(images_for("lenet5")).shape == (2, 3)
    with pytest.raises(ValueError, match=r'no puede tener 11 clases: usa "lenet5_modern"'):
        models.create("lenet5", num_classes=11)


# --- AlexNet contra otras implementaciones -------------------------------------------------------


@pytest.mark.parametrize("size", [3, 5])
def test_lrn_is_torchs_with_alpha_times_size_forwards_and_backwards(size):
    torch.manual_seed(0)
    theirs = nn.LocalResponseNorm(size, alpha=1e-4 * size, beta=0.75, k=2)
    inputs = [(100 * torch.randn(2, 9, 4, 5)).requires_grad_()]
    inputs.append(inputs[0].detach().clone().requires_grad_())
    results = [LocalResponseNorm(size)(inputs[0]), theirs(inputs[1])]
    torch.testing.assert_close(*results)
    assert results[0].abs().max() < 0.9 * inputs[0].abs().max() * 2**-0.75  # sí normaliza
    upstream = torch.randn_like(results[0])
    for result in results:
        result.backward(upstream)
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)


def test_alexnet_is_two_towers_that_meet_where_the_paper_says():
    """Dos torres con la mitad de los canales, que se juntan en conv3 y en las densas.

    La LRN es la única que además mira al otro lado de la frontera, como dice la ficha.
    """
    torch.manual_seed(0)
    model = models.create("alexnet", num_classes=10).eval()
    for parameter in model.parameters():
        parameter.data *= 3  # señales de tamaño visible hasta la salida
    convolutions = [m for m in model.features if isinstance(m, nn.Conv2d)]

    def tower(which: int, layer: int, maps: torch.Tensor) -> torch.Tensor:
        conv = convolutions[layer]
        weight, bias = conv.weight.chunk(2)[which], conv.bias.chunk(2)[which]
        return F.relu(F.conv2d(maps, weight, bias, conv.stride, conv.padding))

    def normalize(towers: list[torch.Tensor]) -> list[torch.Tensor]:
        lrn = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
        return [F.max_pool2d(maps, 3, 2) for maps in lrn(torch.cat(towers, 1)).chunk(2, 1)]

    with torch.no_grad():
        image = images_for("alexnet", 1)
        towers = normalize([tower(t, 0, image) for t in (0, 1)])
        towers = normalize([tower(t, 1, towers[t]) for t in (0, 1)])
        towers = [tower(t, 2, torch.cat(towers, 1)) for t in (0, 1)]
        towers = [tower(t, 3, towers[t]) for t in (0, 1)]
        towers = [tower(t, 4, towers[t]) for t in (0, 1)]
        assert [maps.shape[1] for maps in towers] == [128, 128]
        maps = torch.cat([F.max_pool2d(maps, 3, 2) for maps in towers], 1)
        torch.testing.assert_close(model.features(image), maps, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(model(image), model.classifier(maps), rtol=1e-4, atol=1e-4)
        # Cortar la LRN por la frontera solo cambia dos canales de cada lado.
        maps = 100 * torch.randn(1, 96, 3, 3)
        norm = LocalResponseNorm()
        apart = torch.cat([norm(half) for half in maps.chunk(2, 1)], 1)
        changed = (norm(maps) - apart).abs().amax((0, 2, 3)) > 0
        assert changed.nonzero()[:, 0].tolist() == [46, 47, 48, 49]


def test_one_tower_is_groups_one():
    single, double = on_meta("alexnet_single"), on_meta("alexnet")
    groups = [
        [m.groups for m in net.features if isinstance(m, nn.Conv2d)] for net in (single, double)
    ]
    assert groups == [[1, 1, 1, 1, 1], [1, 2, 1, 2, 2]]
    assert AlexNet.__init__.__defaults__ == (1000, 3, 2)


def test_alexnet_owt_is_torchvisions():
    torch.manual_seed(0)
    theirs = torchvision.models.alexnet().eval()
    ours = models.create("alexnet_owt").eval()
    ours.load_state_dict(theirs.state_dict(), strict=True)
    images = images_for("alexnet_owt")
    with torch.no_grad():
        expected = theirs(images)
        torch.testing.assert_close(ours(images), expected)
    assert expected.std() > 1e-3


def test_the_224_of_the_paper_does_not_give_55():
    with pytest.raises(ValueError, match="AlexNet no acepta una imagen de 3×224×224"):
        inspection.shape_table(on_meta("alexnet"), (3, 224, 224))
    rows = inspection.shape_table(on_meta("alexnet"), (3, 227, 227))
    assert rows[0].output_shape == (96, 55, 55)
