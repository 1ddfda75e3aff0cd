"""Los estimadores de antes de 2012, contra OpenCV, scikit-image y cuentas hechas a mano."""

import json
import math
import pickle

import classics
import cv2
import generated
import numpy as np
import pytest
import standings
import torch
from scipy.spatial.distance import cdist
from skimage.feature import hog as skimage_hog
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.svm import LinearSVC

from cnnhistory import classic, data, race
from cnnhistory.classic import HOG, BagOfVisualWords, DenseSIFT, Pixels


@pytest.fixture(scope="module")
def fashion() -> tuple[data.Dataset, data.Dataset]:
    train, test = data.fashion_mnist("mini")
    return train[:400], test[:200]


@pytest.fixture(scope="module")
def images(fashion) -> np.ndarray:
    return fashion[0].images[:40].numpy()


@pytest.fixture(scope="module")
def descriptors(images) -> np.ndarray:
    return DenseSIFT().fit_transform(images)


def slow_hog(image: np.ndarray, cell: int, orientations: int, block: int, signed: bool):
    """Dalal y Triggs, píxel por píxel: el voto de cada uno, repartido entre ocho casillas."""
    height, width = image.shape
    turn = 360 if signed else 180
    cells = np.zeros((height // cell, width // cell, orientations))
    for y in range(height):
        for x in range(width):
            dy = float(image[y + 1, x]) - float(image[y - 1, x]) if 0 < y < height - 1 else 0.0
            dx = float(image[y, x + 1]) - float(image[y, x - 1]) if 0 < x < width - 1 else 0.0
            angle = math.degrees(math.atan2(dy, dx)) % turn
            spots = [(y + 0.5) / cell - 0.5, (x + 0.5) / cell - 0.5]
            spots.append(angle / turn * orientations - 0.5)
            for corner in np.ndindex(2, 2, 2):
                where = [math.floor(s) + c for s, c in zip(spots, corner, strict=True)]
                share = math.prod(1 - abs(s - w) for s, w in zip(spots, where, strict=True))
                if 0 <= where[0] < cells.shape[0] and 0 <= where[1] < cells.shape[1]:
                    vote = share * math.hypot(dx, dy)
                    cells[where[0], where[1], where[2] % orientations] += vote
    blocks = []
    for row in range(cells.shape[0] - block + 1):
        for column in range(cells.shape[1] - block + 1):
            values = cells[row : row + block, column : column + block].ravel()
            values = np.minimum(values / math.sqrt((values**2).sum() + 1e-10), 0.2)
            blocks.append(values / math.sqrt((values**2).sum() + 1e-10))
    return np.concatenate(blocks)


@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize(("cell", "orientations", "block"), [(4, 9, 2), (6, 8, 2), (3, 4, 3)])
def test_hog_is_the_paper_pixel_by_pixel(images, cell, orientations, block, signed):
    ours = HOG(cell, orientations, block, signed).fit_transform(images[:3])
    theirs = [slow_hog(image[0], cell, orientations, block, signed) for image in images[:3]]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_hog_agrees_with_skimage_where_no_vote_is_split():
    # Un borde vertical vota en el ángulo 0; con nueve casillas cae justo entre dos, y con las
    # celdas de 1 píxel el voto no se reparte en el plano: solo se compara cuánto hay en cada una.
    image = np.zeros((1, 1, 12, 12), np.uint8)
    image[..., 6:] = 200
    ours = HOG(cell_size=1, orientations=2, block_size=1).fit_transform(image)
    theirs = skimage_hog(
        image[0, 0].astype(float), orientations=2, pixels_per_cell=(1, 1), cells_per_block=(1, 1)
    )
    assert ours.shape[1] == theirs.size
    energy = [each.reshape(-1, 2).sum(axis=1) > 0 for each in (ours[0], theirs)]
    assert energy[0].sum() == 24  # dos columnas de doce píxeles
    np.testing.assert_array_equal(*energy)


def test_hog_ignores_brightness_and_contrast():
    image = np.random.default_rng(0).integers(0, 60, (2, 1, 24, 24)).astype(np.uint8)
    plain = HOG().fit_transform(image)
    np.testing.assert_allclose(HOG().fit_transform(image + 80), plain, atol=1e-5)
    np.testing.assert_allclose(HOG().fit_transform(3 * image), plain, atol=1e-4)


def test_signed_gradients_tell_a_negative_apart(images):
    negative = 255 - images
    for signed in (False, True):
        plain, inverted = (HOG(signed=signed).fit_transform(each) for each in (images, negative))
        assert np.allclose(plain, inverted, atol=1e-4) is not signed


def test_in_color_the_strongest_channel_votes(images):
    gray = images[:5]
    color = np.concatenate([gray // 3, gray, gray // 2], axis=1)
    np.testing.assert_allclose(HOG().fit_transform(color), HOG().fit_transform(gray), atol=1e-5)


@pytest.mark.parametrize("patch", [8, 12])
def test_dense_sift_is_that_of_opencv_at_the_same_points(images, patch):
    dense = DenseSIFT(step=7, patch_sizes=(patch,))
    ours = dense.fit_transform(images)
    rows, columns = dense.grid(28, 28)
    assert rows.tolist() == columns.tolist() == [3, 10, 17, 24]
    for image, found in zip(images, ours[:, 0], strict=True):
        points = [cv2.KeyPoint(x, y, patch / 6, 0) for y in rows for x in columns]
        theirs = cv2.SIFT_create(sigma=patch / 12).compute(image[0], points)[1]
        np.testing.assert_array_equal(found.reshape(-1, 128), theirs)


def test_a_patch_of_sift_tells_where_its_edge_is():
    image = np.zeros((1, 1, 28, 28), np.uint8)
    image[..., 14:] = 255
    found = DenseSIFT(step=28, patch_sizes=(24,)).fit_transform(image)[0, 0, 0, 0]
    cells = found.reshape(4, 4, 8).astype(int)
    assert cells[:, 1:3].sum() > 20 * cells[:, [0, 3]].sum()  # el borde pasa por el centro
    assert (cells[:, 1:3].argmax(axis=-1) == 0).all()  # y crece hacia la derecha


def test_tiny_images_are_enlarged():
    digits = np.random.default_rng(0).integers(0, 256, (3, 1, 8, 8)).astype(np.uint8)
    dense = DenseSIFT(step=4, patch_sizes=(8,), min_side=28)
    assert dense.fit_transform(digits).shape == (3, 1, 8, 8, 128)  # agrandadas cuatro veces
    enlarged = np.stack([cv2.resize(each[0], (32, 32)) for each in digits])[:, None]
    np.testing.assert_array_equal(dense.transform(digits), dense.fit_transform(enlarged))


def test_color_is_described_by_its_luminance(images):
    color = np.repeat(images[:3], 3, axis=1)
    np.testing.assert_array_equal(
        DenseSIFT().fit_transform(color), DenseSIFT().fit_transform(images[:3])
    )


def test_two_words_counted_by_hand():
    flat = np.array([[0, 0], [1, 0], [9, 9], [10, 10], [9, 10], [10, 9]], np.float32)
    grid = flat.reshape(1, 1, 2, 3, 2)
    bag = BagOfVisualWords(num_words=2, random_state=0).fit(grid)
    order = np.argsort(bag.codebook_[:, 0])
    np.testing.assert_allclose(bag.codebook_[order], [[0.5, 0], [9.5, 9.5]], atol=0.6)
    np.testing.assert_allclose(bag.transform(grid)[0, order], [2 / 6, 4 / 6])


@pytest.mark.parametrize("sigma", [0.0, 100.0])
def test_the_first_level_of_the_pyramid_is_the_plain_bag(descriptors, sigma):
    plain = BagOfVisualWords(32, sigma=sigma, random_state=0).fit(descriptors)
    pyramid = BagOfVisualWords(32, levels=3, sigma=sigma, random_state=0).fit(descriptors)
    bags, parts = plain.transform(descriptors), pyramid.transform(descriptors)
    assert parts.shape == (len(descriptors), 32 * (1 + 4 + 16))
    first, second, third = np.split(parts, [32, 32 * 5], axis=1)
    np.testing.assert_allclose(first, bags / 4, atol=1e-6)
    np.testing.assert_allclose(second.reshape(-1, 4, 32).sum(axis=1), bags / 4, atol=1e-6)
    np.testing.assert_allclose(third.reshape(-1, 16, 32).sum(axis=1), bags / 2, atol=1e-6)
    np.testing.assert_allclose(parts.sum(axis=1), 1, atol=1e-5)


def test_a_region_counts_only_its_own_descriptors():
    grid = np.zeros((1, 1, 4, 4, 2), np.float32)
    grid[0, 0, :2, :2] = 5  # una palabra arriba a la izquierda, otra en el resto
    bag = BagOfVisualWords(2, levels=2, random_state=0).fit(grid)
    corner = int(bag.codebook_[:, 0].argmax())
    regions = bag.transform(grid)[0, 2:].reshape(2, 2, 2)
    expected = np.full((2, 2, 2), 0.0)
    expected[..., 1 - corner] = 1 / 8
    expected[0, 0] = [0, 0]
    expected[0, 0, corner] = 1 / 8
    np.testing.assert_allclose(regions, expected)


def test_hard_assignment_is_the_nearest_word(descriptors):
    bag = BagOfVisualWords(50, random_state=0).fit(descriptors)
    flat = descriptors.reshape(len(descriptors), -1, 128)
    for found, own in zip(bag.transform(descriptors), flat, strict=True):
        nearest = cdist(own, bag.codebook_).argmin(axis=1)
        np.testing.assert_allclose(found, np.bincount(nearest, minlength=50) / len(own), atol=1e-6)


def test_soft_assignment_is_the_formula_and_tends_to_hard(descriptors):
    bag = BagOfVisualWords(20, sigma=120.0, random_state=0).fit(descriptors)
    own = descriptors[0].reshape(-1, 128)
    weights = np.exp(-(cdist(own, bag.codebook_) ** 2) / (2 * 120.0**2))
    expected = (weights / weights.sum(axis=1, keepdims=True)).mean(axis=0)
    np.testing.assert_allclose(bag.transform(descriptors[:1])[0], expected, atol=1e-4)
    hard = bag.set_params(sigma=0.0).transform(descriptors)
    np.testing.assert_allclose(bag.set_params(sigma=2.0).transform(descriptors), hard, atol=5e-3)
    spread = bag.set_params(sigma=1e6).transform(descriptors)
    np.testing.assert_allclose(spread, 1 / 20, atol=1e-4)


def test_the_same_seed_gives_the_same_bits(fashion):
    train, test = (DenseSIFT(7, (8,)).fit_transform(part.images[:100]) for part in fashion)
    one, same, other = (
        BagOfVisualWords(32, random_state=seed).fit(train).transform(test) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def test_tensors_and_arrays_give_the_same(images):
    for transformer in (Pixels(), HOG(), DenseSIFT()):
        np.testing.assert_array_equal(
            transformer.fit_transform(torch.from_numpy(images)), transformer.fit_transform(images)
        )


def test_pixels_are_a_row_from_0_to_1(images):
    rows = Pixels().fit_transform(images)
    assert rows.dtype == np.float32
    np.testing.assert_allclose(rows, images.reshape(40, 784) / 255, rtol=1e-6)


@pytest.mark.parametrize(
    "estimator", [Pixels(), HOG(6, 8), DenseSIFT(7, (9,)), BagOfVisualWords(7)]
)
def test_estimators_are_cloned_with_their_parameters(estimator):
    copy = clone(estimator)
    assert copy is not estimator
    assert copy.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError, match="fit"):
        copy.transform(np.zeros((1, 1, 28, 28), np.uint8))


def test_a_grid_search_reaches_every_step(fashion):
    train, test = fashion
    pipeline = make_pipeline(
        DenseSIFT(7, (8,)), BagOfVisualWords(20, random_state=0), LinearSVC(random_state=0)
    )
    grid = {"bagofvisualwords__levels": [1, 2], "densesift__step": [7]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise")
    search.fit(train.images, train.labels)  # tensores: la búsqueda los reparte ella
    assert search.best_params_["bagofvisualwords__levels"] in (1, 2)
    assert search.score(test.images.numpy(), test.labels.numpy()) > 0.4


@pytest.mark.lento
def test_every_recipe_learns_and_says_what_it_cost(fashion):
    train, test = fashion
    for name, pipeline in classic.recipes(seed=0).items():
        measured = classic.measure(name, pipeline, train, test)
        assert measured.name == name
        assert 0.6 < measured.accuracy == pipeline.score(test.images, test.labels)
        assert measured.kilobytes == len(pickle.dumps(pipeline)) / 1000
        assert min(measured.fit_seconds, measured.predict_seconds) > 0


def test_too_few_images_or_classes_are_said_before_describing_them(fashion):
    train, test = fashion
    recipe = classic.recipes()["HOG + SVM RBF"]
    alone = train[train.labels == train.labels[0]]
    with pytest.raises(ValueError, match="de una sola clase: hacen falta dos"):
        classic.measure("HOG", recipe, alone, test)
    with pytest.raises(ValueError, match="en 200 números y solo hay 150 imágenes"):
        classic.measure("HOG", recipe, train[:150], test)


@pytest.mark.parametrize("transformer", [Pixels(), HOG(), DenseSIFT()])
@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (np.zeros((2, 1, 28, 28), np.float32), "uint8"),
        (np.zeros((2, 28, 28), np.uint8), r"\(2, 28, 28\)"),
        (np.zeros((2, 4, 28, 28), np.uint8), "uno o tres canales"),
        (np.zeros((0, 1, 28, 28), np.uint8), "no hay imágenes"),
        (torch.zeros(2, 1, 28, 28), "uint8"),
        ([["a"]], "uint8"),
    ],
)
def test_what_is_not_an_image_is_said_early(transformer, wrong, said):
    with pytest.raises(ValueError, match=said):
        clone(transformer).fit(wrong)


def test_images_of_another_size_are_said(images):
    fitted = HOG().fit(images)
    with pytest.raises(ValueError, match="deben medir lo mismo"):
        fitted.transform(images[..., :24])


@pytest.mark.parametrize(
    ("transformer", "said"),
    [
        (HOG(cell_size=4), "reduce cell_size"),
        (HOG(cell_size=0), "cell_size debe ser un entero positivo"),
        (HOG(orientations=2.5), "orientations debe ser un entero positivo"),
        (DenseSIFT(min_side=1), "redúcelos o sube min_side"),
        (DenseSIFT(step=0), "step debe ser un entero positivo"),
        (DenseSIFT(patch_sizes=8), "patch_sizes"),
        (DenseSIFT(patch_sizes=(2,)), "al menos 4"),
    ],
)
def test_parameters_that_do_not_fit_the_images_are_said(transformer, said):
    with pytest.raises(ValueError, match=said):
        transformer.fit(np.zeros((1, 1, 7, 7), np.uint8))


@pytest.mark.parametrize(
    ("bag", "shape", "said"),
    [
        (BagOfVisualWords(5), (2, 1, 7, 7), "descriptores"),
        (BagOfVisualWords(5), (0, 1, 4, 4, 8), "no hay descriptores"),
        (BagOfVisualWords(5, levels=4), (2, 1, 4, 4, 8), "8×8 regiones"),
        (BagOfVisualWords(40), (2, 1, 4, 4, 8), "40 descriptores distintos, y hay 32"),
        (BagOfVisualWords(0), (2, 1, 4, 4, 8), "num_words"),
        (BagOfVisualWords(5, sigma=-1.0), (2, 1, 4, 4, 8), "sigma"),
        (BagOfVisualWords(5, sigma=math.inf), (2, 1, 4, 4, 8), "sigma"),
    ],
)
def test_a_vocabulary_that_cannot_be_made_is_said(bag, shape, said):
    values = np.random.default_rng(0).random(shape, dtype=np.float32)
    with pytest.raises(ValueError, match=said):
        bag.fit(values)


def test_repeated_descriptors_do_not_make_more_words():
    with pytest.raises(ValueError, match="hay 1 entre los 32"):
        BagOfVisualWords(5).fit(np.ones((2, 1, 4, 4, 8)))


def test_descriptors_of_another_length_are_said(descriptors):
    bag = BagOfVisualWords(5, random_state=0).fit(descriptors)
    with pytest.raises(ValueError, match="llegaron de 64"):
        bag.transform(descriptors[..., :64])


@pytest.fixture(scope="module")
def recorded() -> dict:
    return json.loads(classics.LOG.read_text(encoding="utf-8"))


def test_the_recorded_run_says_how_it_was_made(recorded):
    assert (recorded["train"], recorded["test"], recorded["seed"]) == (60_000, 10_000, 0)
    assert {"python", "cnnhistory", "scikit-learn"} <= set(recorded["versions"])
    assert recorded["machine"]
    assert recorded["date"]
    assert {row["name"] for row in recorded["rows"]} == set(classic.recipes())


def test_hog_reaches_what_the_data_set_reports(recorded):
    scores = {row["name"]: row["accuracy"] for row in recorded["rows"]}
    assert scores["HOG + SVM lineal"] < 0.926 <= scores["HOG + SVM RBF"]
    recorded_nets = race.standings(race.load(standings.FOLDER))
    ours = [row.top1 for row in recorded_nets if row.name in classics.NETWORKS]
    assert len(ours) == len(classics.NETWORKS)
    # Lo que dice la página.
    assert max(ours) < scores["HOG + SVM RBF"]
    words = [score for name, score in scores.items() if name.startswith("palabras")]
    pixels = [score for name, score in scores.items() if name.startswith("píxeles")]
    assert max(pixels) < min(words) < max(words) < scores["HOG + SVM lineal"]


def test_the_table_has_a_row_for_each_recipe_and_network(recorded):
    text = generated.block("tabla-antes", "historia/antes-de-imagenet.py")
    for row in recorded["rows"]:
        assert f"| {row['name']} | {100 * row['accuracy']:.1f} |" in text
    for name in classics.NETWORKS:
        assert f"`{name}` |" in text
