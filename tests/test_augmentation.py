"""La aumentación por lotes, contra la de torchvision imagen por imagen."""

import math

import numpy as np
import pytest
import torch
from matplotlib.figure import Figure
from torchvision.transforms import v2

from cnnhistory import augmentation, data, models, training
from cnnhistory.augmentation import (
    BatchColorJitter,
    BatchCrop,
    BatchErasing,
    BatchFlip,
    BatchResizedCrop,
)

torch.set_num_threads(1)

BATCHED = [BatchFlip(), BatchCrop(), BatchResizedCrop(), BatchColorJitter(), BatchErasing(p=1)]


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def photos(count: int = 4, channels: int = 3, height: int = 12, width: int = 10) -> torch.Tensor:
    return torch.rand(count, channels, height, width)


def distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """El estadístico de Kolmogórov-Smirnov: la mayor distancia entre dos distribuciones."""
    points = np.concatenate([ours, theirs])
    shares = [np.searchsorted(np.sort(x), points, side="right") / len(x) for x in (ours, theirs)]
    return float(np.abs(shares[0] - shares[1]).max())


def too_far(ours: int, theirs: int) -> float:
    """La distancia que dos muestras de lo mismo superan una vez de cada mil."""
    return 1.95 * math.sqrt((ours + theirs) / (ours * theirs))


# --- El mismo resultado, dado el mismo sorteo ----------------------------------------------------


def test_a_flip_is_the_image_or_its_mirror_half_of_the_times():
    images = photos(2000, 1, 3, 4)
    result = BatchFlip()(images)
    mirrored = (result == v2.functional.horizontal_flip(images)).flatten(1).all(1)
    same = (result == images).flatten(1).all(1)
    assert torch.equal(mirrored, ~same)
    assert abs(mirrored.float().mean() - 0.5) < 4 * 0.5 / math.sqrt(2000)
    assert torch.equal(BatchFlip(p=0)(images), images)
    assert torch.equal(BatchFlip(p=1)(images), images.flip(3))


def test_a_crop_is_each_of_the_possible_ones_as_often():
    image = photos(1, 2, 6, 5)
    result = BatchCrop(padding=2)(image.expand(5000, -1, -1, -1))
    padded = v2.functional.pad(image, [2])
    seen = []
    for top in range(5):
        for left in range(5):
            crop = v2.functional.crop(padded, top, left, 6, 5)
            seen.append((result == crop).flatten(1).all(1).sum().item())
    assert sum(seen) == 5000
    assert sum((count - 200) ** 2 / 200 for count in seen) < 52  # χ² de 24 grados: una en mil


@pytest.mark.parametrize("channels", [1, 3])
def test_a_resized_crop_is_torchvisions(channels, monkeypatch):
    images = photos(6, channels)
    boxes = [(12, 10), (3, 4), (7, 2), (1, 1), (5, 10), (12, 3)]
    heights, widths = (torch.tensor([float(box[i]) for box in boxes]) for i in (0, 1))
    fits = torch.ones(6, dtype=torch.bool)
    monkeypatch.setattr(augmentation, "_boxes", lambda *_: (heights, widths, fits))
    corner = torch.rand(2, 6)
    monkeypatch.setattr(torch, "rand", lambda *_, **__: corner)
    result = BatchResizedCrop()(images)
    for i, (height, width) in enumerate(boxes):
        top, left = int(corner[0, i] * (13 - height)), int(corner[1, i] * (11 - width))
        expected = v2.functional.resized_crop(
            images[i], top, left, height, width, [12, 10], antialias=False
        )
        torch.testing.assert_close(result[i], expected, atol=2e-5, rtol=0)


def test_when_no_box_fits_the_largest_of_the_centre_is_taken():
    images = photos(3, 3, 4, 40)  # ningún rectángulo casi cuadrado tiene 90 % del área
    theirs = v2.RandomResizedCrop([4, 40], scale=(0.9, 1), antialias=False)
    torch.testing.assert_close(
        BatchResizedCrop(scale=(0.9, 1))(images), theirs(images), atol=2e-5, rtol=0
    )


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        ("_brighten", lambda image, x: v2.functional.adjust_brightness(image, 1 + x)),
        ("_contrast", lambda image, x: v2.functional.adjust_contrast(image, 1 + x)),
        ("_saturate", lambda image, x: v2.functional.adjust_saturation(image, 1 + x)),
        ("_turn_hue", lambda image, x: v2.functional.adjust_hue(image, x)),
    ],
)
def test_each_change_of_colour_is_torchvisions(ours, theirs, channels):
    images = photos(6, channels)
    images[0] = 0.5  # gris: sin tono
    images[1, :, :6] = 0  # negro
    changes = torch.tensor([-0.4, -0.1, 0, 0.1, 0.3, 0.45])
    result = getattr(augmentation, ours)(images, changes[:, None, None, None])
    for image, change, changed in zip(images, changes.tolist(), result, strict=True):
        torch.testing.assert_close(changed, theirs(image, change), atol=1e-5, rtol=0)


def test_the_four_changes_come_in_any_order(monkeypatch):
    """Cada cambio anota su número: la imagen termina con el orden en que le tocaron."""
    marks = [lambda x, _, d=d: 10 * x + d for d in (1, 2, 3, 4)]
    monkeypatch.setattr(augmentation, "_COLOR", tuple(marks))
    orders = BatchColorJitter()(torch.zeros(2400, 1, 1, 1, dtype=torch.float64)).flatten()
    found, counts = orders.unique(return_counts=True)
    assert len(found) == 24
    assert all(sorted(str(int(order))) == list("1234") for order in found)
    assert ((counts - 100) ** 2 / 100).sum() < 50  # χ² de 23 grados: una en mil


# --- La misma distribución -----------------------------------------------------------------------


def test_the_boxes_of_a_resized_crop_are_drawn_as_torchvision_draws_them():
    images, theirs = torch.zeros(4000, 1, 28, 20), v2.RandomResizedCrop(28)
    heights, widths, fits = augmentation._boxes(images, (0.08, 1.0), (3 / 4, 4 / 3))
    drawn = [theirs.make_params([images[0]]) for _ in range(4000)]
    inside = torch.stack([heights, widths])[:, fits].numpy()
    limit = too_far(inside.shape[1], 4000) + (~fits).float().mean().item()
    for own, side in zip(inside, ("height", "width"), strict=True):
        assert distance(own, np.array([box[side] for box in drawn], dtype=float)) < limit
    area = np.array([box["height"] * box["width"] for box in drawn], dtype=float)
    assert distance(inside[0] * inside[1], area) < limit


def test_what_is_erased_is_drawn_as_torchvision_draws_it():
    def measures(images):
        holes = images[:, 0] == 0
        return torch.stack(
            [holes.any(2).sum(1), holes.any(1).sum(1), holes.float().argmax(2).amax(1)]
        ).numpy()

    ones, theirs = torch.ones(4000, 1, 20, 24), v2.RandomErasing(p=0.5)
    ours = measures(BatchErasing(p=0.5)(ones))
    other = measures(torch.stack([theirs(image) for image in ones]))
    for own, its in zip(ours, other, strict=True):  # alto, ancho y lugar del hueco
        assert distance(own, its) < too_far(4000, 4000)
    assert BatchErasing(p=1, value=0.5)(ones).unique().tolist() == [0.5, 1]


def test_the_factor_of_brightness_is_drawn_as_torchvision_draws_it():
    images, theirs = torch.full((4000, 1, 1, 1), 0.5), v2.ColorJitter(brightness=0.4)
    ours = BatchColorJitter(0.4, 0, 0, 0)(images).flatten().numpy()
    other = torch.stack([theirs(image) for image in images]).flatten().numpy()
    assert distance(ours, other) < too_far(4000, 4000)


# --- Por lotes -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", BATCHED, ids=lambda layer: type(layer).__name__)
def test_each_image_has_its_own_draw_and_the_seed_repeats_it(layer):
    images = photos(1).expand(16, -1, -1, -1)
    torch.manual_seed(1)
    first = layer(images)
    assert first.shape == images.shape
    assert first.dtype == images.dtype
    assert len({tuple(image.flatten().tolist()) for image in first}) > 1
    torch.manual_seed(1)
    assert torch.equal(layer(images), first)
    assert not torch.equal(layer(images), first)
    assert torch.equal(images, images[:1].expand(16, -1, -1, -1))  # no toca lo que recibe


@pytest.mark.parametrize("name", augmentation.RECIPES)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_recipe_works_image_by_image_and_in_batches(name, channels):
    images = photos(5, channels, 28, 28)
    together = augmentation.batched(name)(images)
    apart = torch.stack([augmentation.recipe(name, 28)(image) for image in images])
    for result in (together, apart):
        assert result.shape == images.shape
        assert result.min() >= 0
        assert result.max() <= 1 + 1e-6


def test_a_batched_recipe_feeds_the_training_loop():
    train, _ = data.fashion_mnist()
    steps = v2.Compose([augmentation.batched("compose"), data.normalization(train)])
    batches = data.Batches(train[:64], 32, transform=steps)
    (first, labels), (again, same) = next(iter(batches)), next(iter(batches))
    assert torch.equal(labels, same)
    assert not torch.equal(first, again)
    model = models.create("softmax")
    history = training.train(model, batches, batches, epochs=1, lr=0.01)
    assert math.isfinite(history[0].train_loss)


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_mixing_gives_probabilities_that_the_loss_understands(name):
    images, labels = photos(8), torch.arange(8) % 3
    mixed, targets = augmentation.mixing(name, num_classes=3)(images, labels)
    assert mixed.shape == images.shape
    assert not torch.equal(mixed, images)
    torch.testing.assert_close(targets.sum(1), torch.ones(8))
    assert torch.nn.functional.cross_entropy(torch.zeros(8, 3), targets).item() == pytest.approx(
        math.log(3)
    )
    with pytest.raises(ValueError, match="mixup o cutmix; llegó «mezcla»"):
        augmentation.mixing("mezcla", num_classes=3)


# --- Lo que se rechaza, y lo que se muestra ------------------------------------------------------


@pytest.mark.parametrize("find", [augmentation.batched, lambda name: augmentation.recipe(name, 28)])
def test_an_unknown_recipe_suggests(find):
    with pytest.raises(ValueError, match="ninguna receta «flipp»; ¿quisiste decir flip"):
        find("flipp")
    with pytest.raises(ValueError, match="hay: flip, crop"):
        find("zzz")


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (photos() * 255, ValueError, "deben estar en .0, 1. y van de .* se aumenta antes"),
        (photos() - 0.5, ValueError, "deben estar en"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.uint8), TypeError, "llegaron de torch.uint8"),
        (torch.zeros(2, 2, 4, 4), ValueError, r"1 o 3 canales, \(N, C, H, W\); llegó \(2, 2, 4, 4\)"),
        (torch.zeros(3, 4, 4), ValueError, r"llegó \(3, 4, 4\)"),
        ([0.5], TypeError, "en un tensor; llegó list"),
    ],
)  # fmt: skip
def test_what_is_not_a_batch_of_images_is_refused(images, error, message):
    with pytest.raises(error, match=message):
        augmentation.batched("flip")(images)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_apply_shows_a_grid_of_versions(dtype):
    image = v2.functional.to_dtype(photos(1, 3, 28, 28)[0], dtype, scale=True)
    figure = augmentation.apply(image, augmentation.recipe("color", 28), rows=2, cols=3)
    assert isinstance(figure, Figure)
    pictures = [axis.get_images()[0].get_array() for axis in figure.axes]
    assert len(pictures) == 6
    assert any(not np.array_equal(picture, pictures[0]) for picture in pictures)
    with pytest.raises(ValueError, match="llegó"):
        augmentation.apply(image[None], augmentation.recipe("flip", 28))
    with pytest.raises(TypeError, match="en un tensor"):
        augmentation.apply("gato.png", augmentation.recipe("flip", 28))


def test_mixed_batches_train_with_soft_labels_and_keep_their_order():
    train, _ = data.fashion_mnist()
    plain = data.Batches(train[:40], 16, shuffle=True, seed=3)
    mixed = augmentation.Mixed(
        data.Batches(train[:40], 16, shuffle=True, seed=3), augmentation.mixing("mixup", 10)
    )
    assert len(mixed) == len(plain) == 3
    assert torch.equal(mixed.generator.get_state(), plain.generator.get_state())
    for (images, soft), (_, labels) in zip(mixed, plain, strict=True):
        assert soft.shape == (len(images), 10)
        torch.testing.assert_close(soft.sum(1), torch.ones(len(images)))
        # Cada imagen conserva parte de su clase: la mezcla no baraja.
        assert (soft.gather(1, labels[:, None]) > 0).all()
    assert augmentation.Mixed([], augmentation.mixing("mixup", 10)).generator is None
