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


def too_far(ours: int, theirs: int, p: float = 1e-3) -> float:
    """La distancia que dos muestras de lo mismo superan con probabilidad ``p``."""
    return math.sqrt(-math.log(p / 2) / 2 * (ours + theirs) / (ours * theirs))


def probe(side: int = 20) -> torch.Tensor:
    """El rojo crece hacia abajo y el verde hacia la derecha: el color de un píxel es su lugar.

    Ninguno llega a 0, que es lo borrado, y ninguno se satura al cambiarle el color.
    """
    ramp = 0.3 + 0.01 * torch.arange(side)
    red, green = ramp[:, None].expand(side, side), ramp.expand(side, side)
    return torch.stack([red, green, torch.full((side, side), 0.42)])


def measures(images: torch.Tensor) -> dict[str, np.ndarray]:
    """Lo que se ve de una aumentación en cada ``probe`` aumentado, ``(N, 3, H, W)``."""
    middle, side = images.shape[3] // 2, images.shape[3]
    found = {}
    for channel, name in enumerate(("rojo", "verde", "azul")):
        values = images[:, channel]
        found |= {
            f"media del {name}": values.mean((1, 2)),
            f"desviación del {name}": values.std((1, 2)),
            f"{name} en el centro": values[:, middle, middle],
            f"{name} en la primera esquina": values[:, 0, 0],
            f"{name} en la última esquina": values[:, -1, -1],
            f"{name} de arriba abajo": values[:, -1, middle] - values[:, 0, middle],
            f"{name} de lado a lado": values[:, middle, -1] - values[:, middle, 0],
        }
    empty = (images == 0).all(1)
    for name, own in (("alto", empty.any(2)), ("ancho", empty.any(1))):
        found[f"{name} de lo borrado"] = own.sum(1)
        found[f"comienzo a lo {name}"] = own.int().argmax(1)
    found["parte borrada"] = empty.float().mean((1, 2))
    # El hueco solo, sin los márgenes de hasta dos píxeles que deja mover la imagen.
    inner = empty[:, 2 : side - 2, 2 : side - 2]
    for name, own in (("alto", inner.any(2)), ("ancho", inner.any(1))):
        found[f"comienzo del hueco a lo {name}"] = own.int().argmax(1)
    found["parte cambiada"] = (images - probe(side)).abs().amax(1).gt(1e-3).float().mean((1, 2))
    # El tono no depende de los otros tres cambios; al dividir por la media se va el brillo, y al
    # dividir lo vivo del color por la desviación del gris se va también el contraste.
    top, low = images.amax(1), images.amin(1)
    red, green, blue = images[:, :, 0, -1].unbind(1)
    found["tono"] = torch.atan2(math.sqrt(3) * (green - blue), 2 * red - green - blue)
    gray = v2.functional.rgb_to_grayscale(images)[:, 0]
    found["contraste"] = gray.std((1, 2)) / gray.mean((1, 2))
    found["viveza"] = (top - low).mean((1, 2)) / gray.std((1, 2)).clamp(min=1e-6)
    return {name: values.double().numpy().round(3) for name, values in found.items()}


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


@pytest.mark.parametrize("name", augmentation.RECIPES)
def test_a_recipe_in_batches_is_drawn_as_image_by_image(name):
    """Con una de cada cien mil por umbral: hay unas treinta medidas en cada receta."""
    image, each = probe(), augmentation.recipe(name, 20)
    apart = measures(torch.stack([each(image) for _ in range(800)]))
    together = measures(augmentation.batched(name)(image.expand(4000, -1, -1, -1)))
    far = {what: distance(together[what], apart[what]) for what in apart}
    limit = too_far(800, 4000, p=1e-5)
    assert {what: gap for what, gap in far.items() if gap > limit} == {}


@pytest.mark.parametrize(
    ("name", "steps"), [("crop_flip", ["crop", "flip"]), ("compose", ["crop", "flip", "erasing"])]
)
def test_a_composed_recipe_is_its_steps_one_after_another(name, steps):
    images = photos(8)
    together = augmentation.batched(name)(images)
    torch.manual_seed(0)
    photos(8)
    one_by_one = v2.Compose([augmentation.batched(step) for step in steps])
    assert torch.equal(one_by_one(images), together)


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
    for bad in ({"alpha": 0}, {"alpha": -1.0}, {"alpha": math.inf}, {"num_classes": 0}):
        with pytest.raises(ValueError, match="num_classes y alpha deben ser positivos"):
            augmentation.mixing(name, **{"num_classes": 3} | bad)


def kept_shares(name: str, alpha: float, count: int, side: int) -> np.ndarray:
    """Cuánto queda de cada imagen según el artículo, sorteado aparte con numpy."""
    generator = np.random.default_rng(0)
    share = generator.beta(alpha, alpha, count)
    if name == "mixup":
        return share
    half = (0.5 * np.sqrt(1 - share) * side).astype(int)
    centre = generator.integers(side, size=(2, count))
    height, width = np.minimum(centre + half, side) - np.maximum(centre - half, 0)
    return 1 - height * width / side**2


@pytest.mark.parametrize("name", ["mixup", "cutmix"])
@pytest.mark.parametrize("alpha", [None, 0.2, 4.0])
def test_mixed_images_are_what_their_labels_say_and_alpha_decides_how_much(name, alpha):
    images, labels = photos(5, 3, 16, 16), torch.arange(5)
    settings = {} if alpha is None else {"alpha": alpha}  # sin decirlo, 1
    mix = augmentation.mixing(name, num_classes=5, **settings)
    kept = []
    for mixed, soft in augmentation.Mixed(600 * [(images, labels)], mix):
        share = soft[0, 0].item()
        kept.append(share)
        other = soft[0].clone().index_fill_(0, labels[:1], 0).argmax()  # con cuál se mezcló
        shift = int(other) if share < 1 else 0
        partner = images.roll(-shift, 0)
        expected = share * torch.eye(5) + (1 - share) * torch.eye(5).roll(-shift, 0)
        torch.testing.assert_close(soft, expected)
        if name == "mixup":
            torch.testing.assert_close(mixed, share * images + (1 - share) * partner)
        else:
            own, pasted = ((mixed == each).all(1) for each in (images, partner))
            assert (own | pasted).all()
            torch.testing.assert_close(own.float().mean((1, 2)), torch.full((5,), share))
    theory = kept_shares(name, alpha or 1.0, 4000, 16)
    assert distance(np.round(kept, 4), np.round(theory, 4)) < too_far(600, 4000, p=1e-4)


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


@pytest.mark.parametrize("make", [lambda: augmentation.batched("flip"), BatchColorJitter])
def test_every_batch_is_checked_and_not_only_the_first(make):
    layer, images = make(), photos()
    layer(images)
    for bad, error, message in (
        (images * 255, ValueError, "deben estar en"),
        (images * math.nan, ValueError, "deben estar en"),
        ((images * 255).byte(), TypeError, "llegaron de torch.uint8"),
        (images[0], ValueError, r"llegó \(3, 12, 10\)"),
    ):
        with pytest.raises(error, match=message):
            layer(bad)
    layer(torch.ones_like(images) + 1e-6)  # el redondeo de la aumentación anterior
    layer(images[:0])
    layer(images.half())


def test_outside_the_cpu_the_range_is_read_once_and_the_type_always(monkeypatch):
    """El dispositivo «meta», que no tiene valores, hace de GPU."""
    read = []
    monkeypatch.setattr(
        augmentation, "_check_range", lambda images: read.append(images.device.type)
    )
    door = augmentation._Door()
    images = torch.zeros(2, 3, 4, 4, device="meta")
    for _ in range(3):
        door(images)
    assert read == ["meta"]
    with pytest.raises(TypeError, match=r"llegaron de torch.uint8"):
        door(images.byte())


@pytest.mark.parametrize("layer", [BatchResizedCrop(), BatchErasing(value=0.5)])
def test_a_layer_that_computes_values_wants_floats(layer):
    with pytest.raises(TypeError, match=r"flotantes; llegaron de torch.uint8"):
        layer(torch.zeros(2, 1, 4, 4, dtype=torch.uint8))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_colors_of_other_precisions_stay_in_their_range(dtype):
    """Los grises y los negros no tienen tono, y en float16 no hay 1e-12 con que dividirlos."""
    torch.manual_seed(0)
    images = torch.rand(8, 3, 6, 6).to(dtype)
    images[:2], images[2:4] = 0.0, images[2:4, :1]
    changed = BatchColorJitter()(images)
    assert changed.dtype == dtype
    assert (changed >= 0).all()
    assert (changed <= 1).all()


@pytest.mark.parametrize("layer", [BatchFlip(p=1), BatchCrop()])
def test_a_layer_that_only_moves_pixels_takes_any_type(layer):
    assert layer(torch.ones(2, 1, 4, 4, dtype=torch.uint8)).dtype == torch.uint8


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BatchFlip(p=7), "p es una probabilidad, entre 0 y 1; llegó 7"),
        (lambda: BatchFlip(p=math.nan), "p es una probabilidad"),
        (lambda: BatchErasing(p=-0.1), "p es una probabilidad"),
        (lambda: BatchErasing(scale=(0.5, 0.2)), r"scale va de menor a mayor.*\(0.5, 0.2\)"),
        (lambda: BatchErasing(ratio=(0, 1)), "ratio va de menor a mayor, desde más de 0"),
        (lambda: BatchResizedCrop(scale=(-0.1, 1)), "scale va de menor a mayor, entre 0 y 1"),
        (lambda: BatchResizedCrop(scale=(0.1, 2)), "scale va de menor a mayor, entre 0 y 1"),
        (lambda: BatchResizedCrop(ratio=(2, 1)), "ratio va de menor a mayor"),
        (lambda: BatchCrop(padding=-1), "padding son píxeles enteros, cero o más; llegó -1"),
        (lambda: BatchCrop(padding=1.5), "padding son píxeles enteros"),
        (lambda: BatchColorJitter(brightness=-1), "brightness va de 0 a 1; llegó -1"),
        (lambda: BatchColorJitter(contrast=1.5), "contrast va de 0 a 1"),
        (lambda: BatchColorJitter(saturation=-0.1), "saturation va de 0 a 1"),
        (lambda: BatchColorJitter(hue=0.6), "hue va de 0 a 0.5; llegó 0.6"),
        (lambda: augmentation.recipe("flip", 0), "el lado debe ser de un píxel o más; llegó 0"),
    ],
)
def test_a_setting_without_sense_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_the_recipe_of_colour_refuses_what_it_would_saturate():
    change, image = augmentation.recipe("color", 28), photos(1)[0]
    for good in (image, (255 * image).byte(), v2.functional.to_pil_image(image)):
        change(good)
    with pytest.raises(ValueError, match=r"deben estar en .0, 1. y van de"):
        change(image * 255)


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


@pytest.mark.parametrize("counts", [{"rows": 0}, {"cols": -1}, {"rows": 1.5}])
def test_apply_wants_rows_and_columns(counts):
    with pytest.raises(ValueError, match="rows y cols deben ser enteros positivos; llegaron"):
        augmentation.apply(photos(1)[0], augmentation.recipe("flip", 12), **counts)


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda image: image * 3 - 1, ValueError, r"no se puede mostrar: .* clamp\(0, 1\)"),
        (lambda image: image[0], ValueError, r"no se puede mostrar: .*llegó \(12, 10\)"),
        (lambda image: (255 * image).long(), TypeError, "no se puede mostrar: .*torch.int64"),
        (v2.ToPILImage(), TypeError, "no se puede mostrar: .*llegó Image"),
        (
            lambda image: image[:, int(torch.randint(4, ())) :],
            ValueError,
            r"siempre la misma forma, y devolvió \(3, .* y \(3, .*v2.Resize",
        ),
    ],
)
def test_apply_refuses_an_augmentation_that_does_not_give_images(change, error, message):
    with pytest.raises(error, match=message):
        augmentation.apply(photos(1)[0], change)


def test_apply_draws_white_what_rounding_left_over_one():
    figure = augmentation.apply(torch.ones(3, 4, 4), lambda image: image * 1.0005, rows=1, cols=1)
    assert figure.axes[0].get_images()[0].get_array().min() == 1


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
