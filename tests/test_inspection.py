"""Mirar una red por dentro: contra el gradiente y contra cuentas a mano."""

import copy
import re

import pytest
import torch
from looking import SMALL, Breaks, Unfolded, last_maps, network, state_of
from torch import nn

from cnnhistory import inspection, models
from cnnhistory.models.resnet import Bottleneck

torch.set_num_threads(1)

NARROW = "\N{NARROW NO-BREAK SPACE}"


def small() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.Conv2d(6, 8, 3, groups=2, bias=False),
        nn.Flatten(),
        nn.Dropout(),
        nn.Linear(8 * 6 * 6, 5),
    )


def test_shape_table_by_hand():
    rows = inspection.shape_table(small(), (2, 16, 16))
    assert [(r.name, r.kind, r.output_shape, r.parameters, r.macs) for r in rows] == [
        ("0", "Conv2d", (6, 8, 8), 2 * 9 * 6 + 6, 2 * 9 * 6 * 64),
        ("1", "BatchNorm2d", (6, 8, 8), 12, 0),
        ("2", "ReLU", (6, 8, 8), 0, 0),
        ("3", "Conv2d", (8, 6, 6), 3 * 9 * 8, 3 * 9 * 8 * 36),
        ("4", "Flatten", (288,), 0, 0),
        ("5", "Dropout", (288,), 0, 0),
        ("6", "Linear", (5,), 288 * 5 + 5, 288 * 5),
    ]
    assert [(r.kernel_size, r.stride) for r in rows[:4]] == [(3, 2), (1, 1), (1, 1), (3, 1)]
    assert [r.receptive_field for r in rows] == [3, 3, 3, 7, None, None, None]
    assert inspection.count_parameters(small()) == sum(r.parameters for r in rows)
    assert inspection.count_macs(small(), (2, 16, 16)) == sum(r.macs for r in rows)


def test_a_block_counted_whole_adds_up_what_it_has_inside():
    model = models.create("resnet50")
    layers = inspection.shape_table(model, (3, 224, 224))
    rows = inspection.shape_table(model, (3, 224, 224), whole=(Bottleneck,))
    blocks = [row for row in rows if row.kind == "Bottleneck"]
    assert len(blocks) == 3 + 4 + 6 + 3
    assert blocks[0].name == "stages.0.0"
    assert blocks[-1].output_shape == (2048, 7, 7)
    first = [row for row in layers if row.name.startswith("stages.0.0.")]
    assert blocks[0].parameters == sum(row.parameters for row in first) == 75_008
    assert blocks[0].macs == sum(row.macs for row in first)
    assert blocks[0].receptive_field == 11 + 2 * 4
    assert sum(row.macs for row in rows) == sum(row.macs for row in layers)
    assert [row for row in rows if row.name == "head.2"] == [layers[-1]]
    with pytest.raises(ValueError, match="LeNet5 no tiene bloques Bottleneck"):
        inspection.shape_table(models.create("lenet5"), (1, 32, 32), whole=(Bottleneck,))


def test_frozen_and_shared_parameters_are_counted_as_they_should():
    model = small()
    model[0].weight.requires_grad_(False)
    assert inspection.count_parameters(model) == inspection.count_parameters(small()) - 108
    shared = nn.Linear(4, 4)
    assert inspection.count_parameters(nn.Sequential(shared, nn.ReLU(), shared)) == 20


def seen_by_the_centre(layers: list[nn.Module], shape: tuple[int, ...]) -> tuple[int, int]:
    """Lado de lo que mueve a la posición central, según el gradiente (otra vía que la fórmula)."""
    image = torch.rand(1, *shape, dtype=torch.float64).requires_grad_()
    maps = image
    for layer in layers:
        maps = layer(maps)
    row, column = maps.shape[2] // 2, maps.shape[3] // 2
    maps[0, :, row, column].sum().backward()
    touched = image.grad[0].abs().sum(0) > 0
    return int(touched.any(1).sum()), int(touched.any(0).sum())


def linear_twin(layer: nn.Module) -> nn.Module:
    """La misma geometría sin huecos en el gradiente: medias en vez de máximos, pesos positivos."""
    if isinstance(layer, nn.MaxPool2d):
        return nn.AvgPool2d(layer.kernel_size, layer.stride, layer.padding)
    if isinstance(layer, nn.ReLU):
        return nn.Identity()
    twin = copy.deepcopy(layer).double()
    for parameter in twin.parameters():
        parameter.data.abs_().add_(0.01)
    return twin


@pytest.mark.parametrize(
    ("name", "shape"),
    [("lenet5_modern", (1, 48, 48)), ("alexnet_mini", (1, 96, 96)), ("alexnet_owt", (3, 447, 447))],
)
def test_receptive_field_is_what_the_gradient_says(name, shape):
    torch.manual_seed(0)
    model = models.create(name, num_classes=2)
    rows = [
        row
        for row in inspection.shape_table(model, models.CATALOG[name].input_shape)
        if row.name.startswith("features")
    ]
    # La LRN no mira posiciones vecinas.
    layers = [layer for layer in model.features if "Norm" not in type(layer).__name__]
    fields = [row.receptive_field for row in rows if "Norm" not in row.kind]
    twins = [linear_twin(layer) for layer in layers]
    for depth, field in enumerate(fields, start=1):
        if isinstance(layers[depth - 1], nn.ReLU):
            continue
        assert seen_by_the_centre(twins[:depth], shape) == (field, field), rows[depth - 1]


def test_dilated_windows_see_further():
    torch.manual_seed(0)
    layers = [nn.Conv2d(1, 2, 3, dilation=2), nn.Conv2d(2, 2, 3, stride=2, dilation=3)]
    rows = inspection.shape_table(nn.Sequential(*layers), (1, 30, 30))
    dense = [nn.Conv2d(1, 1, 5), nn.Conv2d(1, 1, 7, stride=2)]
    for layer in dense:
        layer.weight.data.fill_(1)
    for depth in (1, 2):
        seen = seen_by_the_centre([layer.double() for layer in dense[:depth]], (1, 30, 30))
        assert seen == (rows[depth - 1].receptive_field,) * 2


def test_the_fields_of_the_papers_lenet():
    rows = inspection.shape_table(models.create("lenet5"), (1, 32, 32))
    fields = {row.name: row.receptive_field for row in rows}
    assert {n: fields[n] for n in ("c1", "s2", "c3", "s4", "c5")} == {
        "c1": 5,
        "s2": 6,
        "c3": 14,
        "s4": 16,
        "c5": 32,
    }


@pytest.mark.parametrize("fails", [False, True])
@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(fails, training):
    torch.manual_seed(0)
    model = small().train(training)
    model[1].eval()
    before, modes = copy.deepcopy(model.state_dict()), [m.training for m in model.modules()]
    rng, parameters = torch.get_rng_state(), [*model.parameters()]
    if fails:
        with pytest.raises(ValueError, match="Sequential no acepta una imagen de 2×9×9"):
            inspection.shape_table(model, (2, 9, 9))
    else:
        inspection.shape_table(model, (2, 16, 16))
    after = model.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert all(a is b for a, b in zip(model.parameters(), parameters, strict=True))
    assert [m.training for m in model.modules()] == modes
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize("shape", [(3, 16, 16), (2, 1, 1), (2, 16), (16,)])
def test_an_impossible_shape_is_refused_in_spanish(shape):
    with pytest.raises(ValueError, match="no acepta una imagen de " + "×".join(map(str, shape))):
        inspection.shape_table(small(), shape)


def test_it_costs_no_memory_for_a_big_network():
    with torch.device("meta"):
        model = models.create("alexnet")
    rows = inspection.shape_table(model, (3, 227, 227))
    assert sum(row.parameters for row in rows) == 60_965_224


def test_markdown_table():
    text = inspection.shape_table(models.create("lenet5_modern"), (1, 28, 28))._repr_markdown_()
    head, rule, first, *_, last = text.splitlines()
    assert head == "| capa | tipo | salida | parámetros | MACs | campo receptivo |"
    assert rule == "| --- | --- | --- | --: | --: | --: |"
    assert first == f"| `features.0` | Conv2d | 6×28×28 | 156 | 117{NARROW}600 | 5×5 |"
    assert [cell.strip() for cell in last.split("|")[1:-1]] == [
        "**total**",
        "",
        "",
        f"**61{NARROW}706**",
        f"**416{NARROW}520**",
        "",
    ]
    assert len({line.count("|") for line in text.splitlines()}) == 1


def test_text_table_is_aligned():
    table = inspection.shape_table(models.create("lenet5_modern"), (1, 28, 28))
    lines = str(table).splitlines()
    assert len(lines) == len(table) + 2
    assert lines[0].split() == [
        "capa",
        "tipo",
        "salida",
        "parámetros",
        "MACs",
        "campo",
        "receptivo",
    ]
    assert re.split(" {2,}", lines[-1]) == ["total", f"61{NARROW}706", f"416{NARROW}520"]
    column = lines[0].index("tipo")
    assert [line[column - 1] for line in lines[:-1]] == [" "] * (len(lines) - 1)
    assert {len(line) for line in lines[:-1]} == {len(lines[0])}
    assert lines[-2].endswith("todo")


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (999, "999"),
        (9_999, "9999"),
        (10_000, f"10{NARROW}000"),
        (60_965_224, f"60{NARROW}965{NARROW}224"),
    ],
)
def test_thousands(number, text):
    assert inspection.thousands(number) == text


class Joined(nn.Module):
    """Dos caminos que se suman y después otros dos que se concatenan."""

    def __init__(self):
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, 5, padding=2)
        self.left = nn.Conv2d(2, 2, 3, padding=1, stride=2)
        self.right = nn.Conv2d(2, 2, 7, padding=3, stride=2)
        self.last = nn.Conv2d(4, 1, 3)

    def forward(self, x):
        x = self.narrow(x) + self.wide(x)
        return self.last(torch.cat([self.left(x), self.right(x)], 1))


def test_where_paths_join_the_longest_counts():
    model = Joined().double()
    for parameter in model.parameters():
        parameter.data.fill_(1)
    fields = {row.name: row.receptive_field for row in inspection.shape_table(model, (1, 40, 40))}
    assert fields["narrow"] == 1
    assert fields["last"] == 15
    assert seen_by_the_centre([model], (1, 40, 40)) == (15, 15)


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("googlenet_mini", 168),
        ("resnet_mini", 160),
        ("resnext_mini", 120),
        ("densenet_mini", 240),
        ("senet_mini", 160),
        ("resnet20", 160),
        ("resnet18", 640),
    ],
)
def test_the_fields_of_branching_networks_are_what_the_gradient_says(name, side):
    torch.manual_seed(0)
    model = models.create(name)
    channels = models.CATALOG[name].input_shape[0]
    field, last = max(
        (row.receptive_field, index, row.name)
        for index, row in enumerate(inspection.shape_table(model, (channels, 224, 224)))
        if row.receptive_field
    )[::2]
    assert field < side - 40  # cabe, y sobra para el centro
    seen = seen_by_the_centre([Unfolded(model, last)], (channels, side, side))
    assert seen == (field, field)


@pytest.mark.parametrize(
    ("name", "field"),
    # A. Araujo, W. Norris y J. Sim, «Computing Receptive Fields of Convolutional Neural Networks»,
    # Distill 2019, https://doi.org/10.23915/distill.00021: `alexnet_v2` y `vgg_16`.
    [("alexnet_owt", 195), ("vgg16", 212)],
)
def test_the_fields_are_the_published_ones(name, field):
    with torch.device("meta"):
        model = models.create(name)
    rows = inspection.shape_table(model, models.CATALOG[name].input_shape)
    assert max(row.receptive_field or 0 for row in rows) == field


@pytest.mark.parametrize("look", [inspection.feature_maps, inspection.embed])
@pytest.mark.parametrize("shape", [(5, 2, 16, 16), (5, 2, 9, 9)])
def test_looking_leaves_the_model_as_it_was_even_on_error(look, shape):
    torch.manual_seed(0)
    model = small().train()
    model[1].eval()
    model[3].weight.requires_grad_(False)
    model(torch.rand(2, 2, 16, 16)).sum().backward()
    images, before = torch.rand(shape), state_of(model)
    if shape[-1] == 9:
        with pytest.raises(ValueError, match="Sequential no pudo con imágenes de 2×9×9"):
            look(model, images, "3")
    else:
        look(model, images, "3")
    assert state_of(model) == before


def test_maps_are_those_of_the_layer_in_evaluation_mode():
    torch.manual_seed(0)
    model, images = small().train(), torch.rand(7, 2, 16, 16)
    expected = copy.deepcopy(model).eval()[:4](images)
    for batch_size in (2, 256):
        maps = inspection.feature_maps(model, images, "3", batch_size=batch_size)
        torch.testing.assert_close(maps, expected)
    torch.testing.assert_close(inspection.embed(model, images, "3"), expected.flatten(1))
    assert inspection.embed(model, images, "6").shape == (7, 5)


def test_a_relu_in_place_does_not_write_on_what_was_kept():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True))
    assert inspection.feature_maps(model, torch.randn(2, 1, 8, 8), "0").min() < 0


def test_a_descriptor_can_feed_another_training():
    head = nn.Linear(288, 2)
    head(inspection.embed(small(), torch.rand(3, 2, 16, 16), "4")).sum().backward()
    assert head.weight.grad is not None


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("7", "Sequential no tiene la capa «7»; hay: 0, 1, 2"),
        ("6", r"de la capa «6» no salen mapas \(C, H, W\), sino \(5,\)"),
    ],
)
def test_a_layer_without_maps_is_refused(layer, message):
    with pytest.raises(ValueError, match=message):
        inspection.feature_maps(small(), torch.rand(1, 2, 16, 16), layer)


def test_near_layer_names_are_suggested():
    with pytest.raises(ValueError, match=r"ResNetMini no tiene la capa «stage.1»; .*stages.1 o"):
        inspection.find_layer(models.create("resnet_mini"), "stage.1")


@pytest.mark.parametrize(
    ("images", "message"),
    [
        (torch.rand(2, 16, 16), r"se esperaban imágenes \(N, C, H, W\)"),
        (torch.rand(0, 2, 16, 16), r"con N > 0; llegó \(0, 2, 16, 16\)"),
    ],
)
def test_what_is_not_a_batch_of_images_is_refused(images, message):
    with pytest.raises(ValueError, match=message):
        inspection.embed(small(), images, "3")


def test_a_layer_used_many_times_or_never_is_refused():
    image = torch.rand(1, 1, 32, 32)
    with pytest.raises(ValueError, match="pasa 6 veces por la capa «squash»"):
        inspection.embed(models.create("lenet5"), image, "squash")
    model = small()
    model.spare = nn.Linear(2, 2)
    model.forward = lambda x: x
    with pytest.raises(ValueError, match="ninguna vez por la capa «spare»"):
        inspection.embed(model, image, "spare")


def test_bytes_are_refused():
    with pytest.raises(TypeError, match=r"de punto flotante, y llegaron de torch.uint8"):
        inspection.embed(small(), torch.zeros(1, 2, 16, 16, dtype=torch.uint8), "3")


def test_first_filters_are_a_copy_of_the_first_convolution():
    model = models.create("alexnet_mini")
    filters = inspection.first_filters(model)
    assert torch.equal(filters, model.features[0].weight)
    filters.zero_()
    assert model.features[0].weight.abs().max() > 0
    with pytest.raises(ValueError, match="Sequential no tiene convoluciones"):
        inspection.first_filters(nn.Sequential(nn.Linear(2, 2)))


@pytest.mark.parametrize("name", SMALL)
def test_every_network_shows_its_maps_and_stays_as_it_was(name):
    model, images = network(name)
    layer, before = last_maps(name), state_of(model)
    maps = inspection.feature_maps(model, images, layer)
    row = next(r for r in inspection.shape_table(model, images.shape[1:]) if r.name == layer)
    assert maps.shape == (3, *row.output_shape)
    torch.testing.assert_close(inspection.embed(model, images, layer), maps.flatten(1))
    assert inspection.embed(model, images, "").shape == (3, 7)
    assert state_of(model) == before


def test_a_network_that_breaks_is_left_as_it_was():
    model = Breaks()
    images, before = torch.rand(4, 1, 8, 8), state_of(model)
    with pytest.raises(KeyError, match="a propósito"):
        inspection.embed(model, images, "first", batch_size=2)
    assert state_of(model) == before


def test_a_layer_with_two_outputs_is_refused():
    class Pair(nn.Module):
        def forward(self, x):
            return x, x

    with pytest.raises(ValueError, match="de Pair no sale un tensor, sino tuple"):
        inspection.embed(nn.Sequential(Pair()), torch.rand(1, 1, 4, 4), "0")
