"""Qué enciende a una unidad: sus ventanas contra el gradiente, y sus dibujos contra la fórmula."""

import pytest
import torch
from looking import SMALL, Breaks, Unfolded, last_maps, network, state_of
from torch import nn

from cnnhistory import excitation, inspection, models
from cnnhistory.fields import ReceptiveField

torch.set_num_threads(1)


def touched(model: nn.Module, image: torch.Tensor, row: int, column: int) -> tuple[int, ...]:
    """El rectángulo de la imagen que mueve a una posición, según el gradiente."""
    pixels = image.clone().requires_grad_()
    maps = model(pixels)
    (gradient,) = torch.autograd.grad(maps[0, :, row, column].sum(), pixels)
    moved = gradient[0].abs().sum(0) > 0
    rows, columns = moved.any(1).nonzero()[:, 0], moved.any(0).nonzero()[:, 0]
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@pytest.mark.parametrize(
    "name",
    [
        *("nin_mini", "googlenet_mini", "resnet_mini", "resnext_mini", "densenet_mini"),
        *("senet_mini", "allcnn_mini"),
    ],
)
def test_the_window_of_a_position_is_what_the_gradient_says(name):
    torch.manual_seed(0)
    model, side = models.create(name), 90
    channels = models.CATALOG[name].input_shape[0]
    rows = inspection.shape_table(model, (channels, side, side))
    layers = [row.name for row in rows if "Conv" in row.kind and row.output_shape[1] > 1]
    fields = {
        layer: excitation.receptive_field(model, (channels, side, side), layer)
        for layer in (layers[0], layers[len(layers) // 2], layers[-1])
    }
    sizes = {row.name: row.output_shape for row in rows}
    for layer, field in fields.items():
        twin = Unfolded(models.create(name), layer)
        image = torch.rand(1, channels, side, side, dtype=torch.float64)
        _, height, width = sizes[layer]
        for row, column in ((0, 0), (height // 2, width // 3), (1, width // 2)):
            box = tuple(min(max(edge, 0), side) for edge in field.box(row, column))
            assert touched(twin, image, row, column) == box, (layer, row, column)
        # Al final, el paso o el relleno pueden dejar píxeles de la ventana sin mirar.
        top, left, bottom, right = field.box(height - 1, width - 1)
        seen = touched(twin, image, height - 1, width - 1)
        assert top <= seen[0] < seen[2] <= min(bottom, side)
        assert left <= seen[1] < seen[3] <= min(right, side)


def test_the_windows_of_the_papers_lenet():
    model = models.create("lenet5")
    fields = {
        layer: excitation.receptive_field(model, (1, 32, 32), layer) for layer in ("c1", "s2", "c3")
    }
    assert fields == {
        "c1": ReceptiveField(5, 1, 0),
        "s2": ReceptiveField(6, 2, 0),
        "c3": ReceptiveField(14, 2, 0),
    }
    assert fields["c3"].box(2, 9) == (4, 18, 18, 32)


@pytest.mark.parametrize(("padding", "start"), [("same", -2), ("valid", 0), (1, -1), ((2, 2), -2)])
def test_padding_moves_the_first_window(padding, start):
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=padding, dilation=2))
    assert excitation.receptive_field(model, (1, 12, 12), "0") == ReceptiveField(5, 1, start)


def unpadded() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 3, 3, stride=2), nn.Flatten()
    )


def test_the_patch_alone_excites_the_unit_as_much():
    """Sin relleno, al trozo recortado le responde la unidad lo mismo que a la imagen entera."""
    model, images = unpadded(), torch.randn(20, 1, 23, 23)
    maps = inspection.feature_maps(model, images, "3")
    for found in excitation.top_patches(model, images, "3", [2, 0], count=5, batch_size=7):
        alone = model[:4](found.crops)
        assert alone.shape == (5, 3, 1, 1)
        torch.testing.assert_close(alone[:, found.channel, 0, 0], found.activations)
        best = maps[:, found.channel].amax((1, 2)).topk(5)
        torch.testing.assert_close(found.activations, best.values)
        assert torch.equal(found.images, best.indices)


def test_a_patch_at_the_edge_by_hand():
    model = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1, bias=False))
    model[0].weight.data.fill_(1)
    images = torch.zeros(2, 1, 4, 5)
    images[1, 0, 0, 4] = 5.0  # un punto en la esquina de arriba a la derecha
    images[0, 0, 2, 2] = 1.0
    (found,) = excitation.top_patches(model, images, "0", [0], count=2)
    assert found.images.tolist() == [1, 0]
    assert found.activations.tolist() == [5, 1]
    top, left, bottom, right = found.boxes[0].tolist()
    assert (bottom - top, right - left) == (3, 3)
    assert top <= 0 < bottom
    assert left <= 4 < right
    assert found.crops[0].sum() == 5  # lo de fuera, ceros
    assert found.crops[0, 0, 0 - top, 4 - left] == 5


@pytest.mark.parametrize("name", SMALL)
def test_every_network_shows_its_patches_and_stays_as_it_was(name):
    model, images = network(name)
    layer, before = last_maps(name), state_of(model)
    maps = inspection.feature_maps(model, images, layer)
    (found,) = excitation.top_patches(model, images, layer, [1], count=2)
    torch.testing.assert_close(found.activations, maps[:, 1].amax((1, 2)).topk(2).values)
    for index, box, crop in zip(found.images, found.boxes.tolist(), found.crops, strict=True):
        top, left, bottom, right = box
        size = images.shape[2]
        kept = crop[:, max(-top, 0) : size - top, max(-left, 0) : size - left]
        inside = images[index, :, max(top, 0) : bottom, max(left, 0) : right]
        assert torch.equal(kept, inside)
        assert torch.isclose(crop.abs().sum(), inside.abs().sum())
    assert state_of(model) == before


def test_the_image_that_most_excites_a_filter_is_the_filter():
    """Con w·x − λ|x|², el máximo está en w/2λ: el filtro mismo, dibujado donde mira."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 3, 5))
    image = excitation.maximize(model, (2, 9, 9), "0", 1, steps=600, lr=0.05, decay=0.1)
    expected = torch.zeros(2, 9, 9)
    expected[:, 2:7, 2:7] = model[0].weight[1].detach() / (2 * 0.1)
    torch.testing.assert_close(image, expected, atol=2e-3, rtol=0)


def test_a_class_is_drawn_and_the_network_stays_as_it_was():
    model, images = network("lenet5_modern")
    before = state_of(model)
    plain = torch.zeros(1, 1, 28, 28)
    drawn = excitation.maximize(model, (1, 28, 28), "", 4, steps=30)
    scores = inspection.embed(model, torch.cat([plain, drawn[None]]), "")[:, 4]
    assert scores[1] > scores[0] + 0.1
    assert state_of(model) == before
    started = excitation.maximize(model, (1, 28, 28), "", 4, steps=1, start=images[0])
    assert 0 < (started - images[0]).abs().max() < 0.2


def test_a_network_that_breaks_is_left_as_it_was():
    model = Breaks()
    images, before = torch.rand(4, 1, 8, 8), state_of(model)
    for look in (
        lambda: excitation.top_patches(model, images, "first", [0], 1, batch_size=2),
        lambda: excitation.maximize(model, (1, 8, 8), "first", 0),
    ):
        with pytest.raises(KeyError, match="a propósito"):
            look()
        assert state_of(model) == before
    with pytest.raises(ValueError, match="Breaks no acepta una imagen de 2×8×8"):
        excitation.receptive_field(model, (2, 8, 8), "first")
    assert state_of(model) == before


@pytest.mark.parametrize(
    ("layer", "channels", "count", "message"),
    [
        ("blocks.0.0", [16], 1, "tiene los canales 0 a 15; llegó 16"),
        ("blocks.0.0", [0], 4, "se pueden pedir de 1 a 3 trozos, uno por imagen: 4"),
        ("blocks.0.0", [0], 0, "se pueden pedir de 1 a 3"),
        ("classifier.1", [0], 1, "«classifier.1» no tiene posiciones"),
        ("blocks.9", [0], 1, "no tiene la capa «blocks.9»"),
    ],
)
def test_impossible_patches_are_refused(layer, channels, count, message):
    model, images = network("vgg_mini")
    with pytest.raises(ValueError, match=message):
        excitation.top_patches(model, images, layer, channels, count)


def test_a_layer_used_many_times_has_no_window():
    with pytest.raises(ValueError, match="pasa 6 veces por la capa «squash»"):
        excitation.receptive_field(models.create("lenet5"), (1, 32, 32), "squash")
