"""La deconvnet: pieza por pieza contra torch, y entera contra una escrita al pie de la letra."""

import copy

import pytest
import torch
from looking import SMALL, Breaks, last_maps, network, state_of
from torch import nn
from torch.nn import functional as F

from cnnhistory import attribution, deconvnet, excitation, inspection, models

torch.set_num_threads(1)


@pytest.mark.parametrize("padding", [0, (1, 2)])
@pytest.mark.parametrize("stride", [1, 2, (3, 1)])
@pytest.mark.parametrize(("dilation", "groups"), [(1, 1), (2, 2), ((1, 3), 1)])
@pytest.mark.parametrize("side", [14, 15])
def test_the_transposed_filter_is_the_gradient_of_the_convolution(
    padding, stride, dilation, groups, side
):
    torch.manual_seed(0)
    layer = nn.Conv2d(4, 6, (3, 4), stride, padding, dilation, groups)
    maps = torch.randn(2, 4, side, side + 1, requires_grad=True)
    output = layer(maps)
    signal = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, maps, signal)
    with deconvnet.Descent():
        again = layer(maps)
    assert torch.equal(again, output)
    (ours,) = torch.autograd.grad(again, maps, signal)
    torch.testing.assert_close(ours, expected)


@pytest.mark.parametrize("padding", ["same", "valid"])
def test_named_paddings_go_down_too(padding):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3, padding=padding), nn.Flatten(), nn.LazyLinear(2))
    image = torch.rand(1, 1, 6, 6)
    model(image)
    assert deconvnet.project(model, image, "2", 0).shape == image.shape


@pytest.mark.parametrize(("window", "stride"), [(2, 2), (3, 3), (2, 3)])
def test_unpooling_is_torchs_where_windows_do_not_overlap(window, stride):
    torch.manual_seed(0)
    maps = torch.randn(2, 3, 12, 12, requires_grad=True)
    with deconvnet.Descent():
        pooled = F.max_pool2d(maps, window, stride)
    expected, switches = F.max_pool2d(maps, window, stride, return_indices=True)
    assert torch.equal(pooled, expected)
    signal = torch.randn_like(pooled)
    (ours,) = torch.autograd.grad(pooled, maps, signal)
    assert torch.equal(ours, F.max_unpool2d(signal, switches, window, stride, 0, maps.shape[2:]))


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 3, "stride": 2},
        {"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True},
        {"kernel_size": 2, "stride": 1, "dilation": 2},
    ],
)
def test_overlapping_windows_add_up(options):
    torch.manual_seed(0)
    layer, maps = nn.MaxPool2d(**options), torch.randn(2, 3, 12, 12, requires_grad=True)
    signal = torch.randn_like(layer(maps))
    (expected,) = torch.autograd.grad(layer(maps), maps, signal)
    with deconvnet.Descent():
        pooled = layer(maps)
    torch.testing.assert_close(torch.autograd.grad(pooled, maps, signal)[0], expected)


def test_the_relu_on_the_way_down_by_hand():
    maps = torch.tensor([1.0, 1.0, -1.0, -1.0], requires_grad=True)
    signal = torch.tensor([2.0, -2.0, 2.0, -2.0])
    for masked, expected in ((False, [2, 0, 2, 0]), (True, [2, 0, 0, 0])):
        with deconvnet.Descent(masked):
            output = torch.relu(maps)
        assert output.tolist() == [1, 1, 0, 0]
        assert torch.autograd.grad(output, maps, signal)[0].tolist() == expected


def literal(layers: list[nn.Module], image: torch.Tensor, channel: int) -> torch.Tensor:
    """La deconvnet como la cuenta el artículo: una lista de capas, y la pareja de cada una."""
    sizes, switches, maps = [], [], image
    for layer in layers:
        sizes.append(maps.shape)
        place = None
        if isinstance(layer, nn.MaxPool2d):
            maps, place = F.max_pool2d(maps, layer.kernel_size, layer.stride, return_indices=True)
        else:
            maps = layer(maps)
        switches.append(place)
    peak = maps[0, channel].argmax()
    signal = torch.zeros_like(maps)
    signal[0, channel].view(-1)[peak] = maps[0, channel].view(-1)[peak].clamp(min=0)
    for layer, size, place in zip(*map(reversed, (layers, sizes, switches)), strict=True):
        if isinstance(layer, nn.MaxPool2d):
            signal = F.max_unpool2d(signal, place, layer.kernel_size, layer.stride, 0, size)
        elif isinstance(layer, nn.ReLU):
            signal = signal.relu()
        else:
            extra = [
                side - ((s - 1) * layer.stride[0] - 2 * layer.padding[0] + layer.kernel_size[0])
                for side, s in zip(size[2:], signal.shape[2:], strict=True)
            ]
            signal = F.conv_transpose2d(
                signal, layer.weight, None, layer.stride, layer.padding, extra, layer.groups
            )
    return signal


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("lenet5_modern", "features.5"),
        ("vgg_mini", "blocks.2.4"),
        ("vgg_mini", "blocks.2.2"),
        ("allcnn_mini", "features.15"),
    ],
)
def test_the_projection_is_that_of_a_literal_deconvnet(name, layer):
    model, images = network(name)
    order = [row.name for row in inspection.shape_table(model, images.shape[1:])]
    kinds = (nn.Conv2d, nn.ReLU, nn.MaxPool2d)
    upto = [model.get_submodule(each) for each in order[: order.index(layer) + 1]]
    upto = [each for each in upto if isinstance(each, kinds)]
    found = 0.0
    with torch.no_grad():
        for channel in range(5):
            ours = deconvnet.project(model, images, layer, channel)
            for image, projection in zip(images, ours, strict=True):
                expected = literal(upto, image[None], channel)[0]
                torch.testing.assert_close(projection, expected, rtol=1e-4, atol=1e-6)
                found = max(found, projection.abs().max().item())
    assert found > 0.01


def test_in_a_linear_network_it_is_the_gradient():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 6, 3, stride=2, padding=1, groups=2),
        nn.AvgPool2d(2),
        nn.Conv2d(6, 4, 2, dilation=2),
    ).double()
    image = torch.randn(1, 2, 17, 17, dtype=torch.float64)
    ours = deconvnet.project(model, image, "2", 3)
    pixels = image.clone().requires_grad_()
    peak = model(pixels)[0, 3].max()
    assert peak > 0
    (gradient,) = torch.autograd.grad(peak, pixels)
    torch.testing.assert_close(ours, peak.detach() * gradient)


def positive(model: nn.Module) -> nn.Module:
    """Con pesos y sesgos positivos ninguna ReLU hace nada, ni al subir ni al bajar."""
    for parameter in model.parameters():
        parameter.data.abs_()
    return model


def test_where_nothing_is_negative_the_three_ways_down_agree():
    model, images = network("lenet5_modern")
    images = images.abs()
    positive(model)
    guided = attribution.guided_backpropagation(model, images, 3)
    torch.testing.assert_close(guided[:, 0], attribution.saliency(model, images, 3))
    peaks = inspection.embed(model, images, "")[:, 3]
    ours = deconvnet.project(model, images, "", 3)
    torch.testing.assert_close(ours, guided * peaks[:, None, None, None], rtol=1e-4, atol=1e-5)


def test_guided_and_deconvnet_differ_only_where_a_relu_was_off():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 49, 1))
    model[3].bias.data.fill_(10)  # para que la unidad esté encendida
    images = torch.randn(2, 1, 9, 9)
    peaks = inspection.embed(model, images, "")[:, 0, None, None, None]
    for bias, agree in ((100.0, True), (0.0, False)):
        model[0].bias.data.fill_(bias)
        peaks = inspection.embed(model, images, "")[:, 0, None, None, None]
        model[3].bias.data += 1 - peaks.min()
        peaks = inspection.embed(model, images, "")[:, 0, None, None, None]
        guided = attribution.guided_backpropagation(model, images, 0) * peaks
        ours = deconvnet.project(model, images, "", 0)
        assert torch.allclose(ours, guided, rtol=1e-3, atol=1e-5) is agree


def test_the_projection_stays_inside_the_receptive_field():
    model, images = network("resnet18")
    for layer in ("stem.0.0", "stem", "stages.0.0"):
        (found,) = excitation.top_patches(model, images, layer, [2], count=3)
        projections = deconvnet.project(model, images, layer, 2)[found.images]
        assert projections.abs().max() > 0
        for projection, (top, left, bottom, right) in zip(
            projections, found.boxes.clamp(min=0).tolist(), strict=True
        ):
            projection[:, top:bottom, left:right] = 0
            assert projection.abs().max() == 0


def test_a_unit_that_is_off_projects_nothing():
    model, images = network("vgg_mini")
    model.blocks[0][0].bias.data[3] = -100
    assert deconvnet.project(model, images, "blocks.0.1", 3).abs().max() == 0
    assert deconvnet.project(model, images, "blocks.0.0", 3).abs().max() == 0


@pytest.mark.parametrize("name", SMALL)
def test_every_network_is_projected_and_left_as_it_was(name):
    model, images = network(name)
    layer, before = last_maps(name), state_of(model)
    for place, channel in ((layer, 1), ("", 6)):
        projection = deconvnet.project(model, images, place, channel, batch_size=2)
        assert projection.shape == images.shape
        assert projection.isfinite().all()
        assert state_of(model) == before


def test_a_network_that_breaks_is_left_as_it_was():
    model = Breaks()
    images, before = torch.rand(4, 1, 8, 8), state_of(model)
    with pytest.raises(KeyError, match="a propósito"):
        deconvnet.project(model, images, "first", 0, batch_size=2)
    assert state_of(model) == before
    # Y fuera del contexto, una ReLU vuelve a bajar como siempre.
    maps = torch.tensor([1.0], requires_grad=True)
    assert torch.autograd.grad(torch.relu(maps), maps, torch.tensor([-2.0]))[0] == -2


@pytest.mark.parametrize("inplace", [True, False])
def test_a_relu_in_place_gives_the_same(inplace):
    torch.manual_seed(0)
    model = models.create("vgg_mini")
    image = torch.randn(1, 1, 28, 28)
    expected = deconvnet.project(model, image, "blocks.1.2", 5)
    twin = copy.deepcopy(model)
    for layer in twin.modules():
        if isinstance(layer, nn.ReLU):
            layer.inplace = inplace
    assert torch.equal(deconvnet.project(twin, image, "blocks.1.2", 5), expected)


@pytest.mark.parametrize(
    ("layer", "channel", "message"),
    [
        ("blocks.0.0", 16, "la capa «blocks.0.0» tiene los canales 0 a 15; llegó 16"),
        ("blocks.0.0", -1, "llegó -1"),
        ("classifier.1", 128, "tiene los canales 0 a 127"),
        ("bloks.0.0", 0, "no tiene la capa «bloks.0.0»; ¿quisiste decir blocks.0.0"),
    ],
)
def test_unknown_units_are_refused(layer, channel, message):
    model, images = network("vgg_mini")
    with pytest.raises(ValueError, match=message):
        deconvnet.project(model, images, layer, channel)
