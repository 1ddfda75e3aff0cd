"""Descriptores: contra la fuerza bruta, la cuenta a mano y otras implementaciones."""

import copy
import itertools
import math

import pytest
import torch
from sklearn.metrics import average_precision_score
from torch import nn
from torch.nn import functional as F

from cnnhistory import descriptors, inspection, models

torch.set_num_threads(1)


def cloud(count: int, width: int = 5, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed)).double()


def distance(first: torch.Tensor, second: torch.Tensor, metric: str) -> float:
    """La fórmula, con bucles."""
    pairs = list(zip(first.tolist(), second.tolist(), strict=True))
    if metric == "euclidean":
        return math.sqrt(sum((a - b) ** 2 for a, b in pairs))
    lengths = [math.sqrt(sum(value**2 for value in side)) for side in zip(*pairs, strict=True)]
    return 1 - sum(a * b for a, b in pairs) / math.prod(lengths)


@pytest.mark.parametrize("metric", descriptors.METRICS)
def test_nearest_is_brute_force(metric):
    gallery, queries = cloud(30), cloud(7, seed=1)
    found = descriptors.nearest(gallery, 4, queries, metric)
    assert found.indices.shape == found.distances.shape == (7, 4)
    for query, indices, distances in zip(queries, found.indices, found.distances, strict=True):
        expected = sorted((distance(query, row, metric), i) for i, row in enumerate(gallery))[:4]
        assert indices.tolist() == [index for _, index in expected]
        assert distances.tolist() == pytest.approx([value for value, _ in expected])


def test_the_two_metrics_disagree():
    gallery = torch.tensor([[10.0, 0.5], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.0]])
    assert descriptors.nearest(gallery, 1, query, "cosine").indices.item() == 0
    assert descriptors.nearest(gallery, 1, query, "euclidean").indices.item() == 1


@pytest.mark.parametrize("metric", descriptors.METRICS)
def test_without_queries_nobody_is_its_own_neighbor(metric):
    gallery = cloud(20)
    gallery[7] = gallery[3]  # un duplicado: sí es vecino, a distancia cero
    found = descriptors.nearest(gallery, 19, metric=metric)
    for row, indices in enumerate(found.indices.tolist()):
        assert sorted(indices) == [i for i in range(20) if i != row]
    assert found.indices[3, 0] == 7
    assert found.indices[7, 0] == 3
    asked = descriptors.nearest(gallery, 1, gallery, metric)
    assert (asked.distances.abs() < 1e-7).all()  # con consultas, cada una se encuentra a sí misma


def test_the_order_under_cosine_does_not_depend_on_length():
    gallery, queries = cloud(30), cloud(5, seed=1)
    stretched = gallery * torch.linspace(0.1, 50, 30)[:, None]
    same = [descriptors.nearest(each, 6, queries).indices for each in (gallery, stretched)]
    assert torch.equal(*same)
    unit = descriptors.nearest(F.normalize(stretched), 6, F.normalize(queries), "euclidean")
    assert torch.equal(unit.indices, same[0])


def test_descriptors_of_a_network_are_accepted_as_they_come():
    net = models.create("lenet5_modern")
    gallery = inspection.embed(net, torch.rand(6, 1, 28, 28), "classifier.4")
    found = descriptors.nearest(gallery.to(torch.bfloat16), 2, gallery.to(torch.bfloat16))
    assert found.indices[:, 0].tolist() == list(range(6))
    assert not gallery.requires_grad
    assert descriptors.nearest(gallery.clone().requires_grad_(), 2).distances.shape == (6, 2)


def test_precision_by_hand():
    neighbors = torch.tensor([[1, 0, 1], [2, 2, 0]])
    assert descriptors.precision_at_k(neighbors, torch.tensor([1, 2])) == pytest.approx(4 / 6)
    assert descriptors.precision_at_k(neighbors, torch.tensor([5, 5])) == 0
    # A la primera consulta le salen el 1.º y el 3.º; a la segunda, los dos primeros.
    expected = ((1 / 1 + 2 / 3) / 2 + 1) / 2
    got = descriptors.mean_average_precision(neighbors, torch.tensor([1, 2]))
    assert got == pytest.approx(expected)


def test_mean_average_precision_is_scikit_learns():
    gallery, labels = cloud(40), torch.arange(40) % 4
    queries, asked = cloud(9, seed=1), torch.arange(9) % 4
    found = descriptors.nearest(gallery, 40, queries)
    ours = descriptors.mean_average_precision(labels[found.indices], asked)
    theirs = [
        average_precision_score((labels[row] == label).numpy(), -distances.numpy())
        for row, distances, label in zip(found.indices, found.distances, asked, strict=True)
    ]
    assert ours == pytest.approx(sum(theirs) / len(theirs))


def test_a_perfect_order_has_precision_one():
    labels = torch.tensor([0, 0, 0, 1, 1, 1])
    gallery = torch.eye(2)[labels] + 0.01 * cloud(6, 2)
    found = descriptors.nearest(gallery, 5)
    assert descriptors.mean_average_precision(labels[found.indices], labels) == 1
    assert descriptors.precision_at_k(labels[found.indices], labels) == pytest.approx(2 / 5)


def by_loops(x: torch.Tensor, labels: list[int], margin: float, mining: str) -> float:
    """La pérdida de tripletas, tal como se cuenta, una tripleta tras otra."""
    count, losses = len(labels), []
    for anchor in range(count):
        mates = [i for i in range(count) if i != anchor and labels[i] == labels[anchor]]
        others = [i for i in range(count) if labels[i] != labels[anchor]]
        if not mates or not others:
            continue
        to = [distance(x[anchor], x[i], "euclidean") for i in range(count)]
        if mining == "batch_hard":
            chosen = [(max(to[i] for i in mates), min(to[i] for i in others))]
        else:
            beyond = [[to[i] for i in others if to[i] > to[mate]] for mate in mates]
            far = max(to[i] for i in others)
            chosen = [(to[m], min(b) if b else far) for m, b in zip(mates, beyond, strict=True)]
        losses += [max(0.0, positive - negative + margin) for positive, negative in chosen]
    return sum(losses) / len(losses)


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
@pytest.mark.parametrize("seed", range(4))
def test_triplet_loss_is_the_definition(mining, seed):
    x, labels = cloud(14, 3, seed), [0, 0, 1, 1, 1, 2, 3, 0, 1, 2, 3, 3, 0, 4]  # el 4, solo
    for margin in (0.2, 1.5):
        loss = descriptors.triplet_loss(x, torch.tensor(labels), margin, mining)
        assert loss.item() == pytest.approx(by_loops(x, labels, margin, mining))


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_triplet_loss_is_torchs_where_there_is_only_one_choice(mining):
    # Dos de una clase y uno de otra: cada ancla con pareja tiene una sola tripleta. El otro es el
    # más lejano, así que también es semidifícil.
    x = torch.tensor([[0.0, 0.0], [3.0, 4.0], [6.0, -8.0]], dtype=torch.float64)
    reference = nn.TripletMarginLoss(margin=7.0, eps=0)
    expected = reference(x[[0, 1]], x[[1, 0]], x[[2, 2]])
    loss = descriptors.triplet_loss(x, torch.tensor([5, 5, 9]), 7.0, mining)
    assert loss.item() == pytest.approx(expected.item())
    # A mano: d(a, p) = 5 y d(a, n) = 10 desde el primero; √153 desde el segundo.
    assert loss.item() == pytest.approx(((5 - 10 + 7) + max(0, 5 - math.sqrt(153) + 7)) / 2)


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_the_gradient_is_the_one_of_finite_differences(mining):
    x, labels = cloud(9, 3), torch.tensor([0, 0, 1, 1, 2, 2, 0, 1, 2])

    def loss(points):
        return descriptors.triplet_loss(points, labels, 1.0, mining)

    assert torch.autograd.gradcheck(loss, copy.deepcopy(x).requires_grad_())


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_collapsed_descriptors_pay_the_margin_without_nan(mining):
    x = torch.ones(6, 4, requires_grad=True)
    loss = descriptors.triplet_loss(x, torch.tensor([0, 0, 1, 1, 2, 2]), 0.2, mining)
    loss.backward()
    assert loss.item() == pytest.approx(0.2)
    assert x.grad.isfinite().all()


@pytest.mark.parametrize("mining", ["batch_hard", "semi_hard"])
def test_descending_separates_the_classes(mining):
    labels = torch.arange(12) % 3
    x = cloud(12).requires_grad_()
    optimizer = torch.optim.SGD([x], lr=0.5)
    before = descriptors.nearest(x, 3)
    for _ in range(100):
        optimizer.zero_grad()
        descriptors.triplet_loss(x, labels, 0.5, mining).backward()
        optimizer.step()
    after = descriptors.nearest(x, 3, metric="euclidean")
    assert descriptors.precision_at_k(labels[before.indices], labels) < 0.8
    assert descriptors.precision_at_k(labels[after.indices], labels) == 1


def test_pca_keeps_the_two_directions_that_vary_most():
    basis = torch.linalg.qr(cloud(5, 5))[0]
    points = cloud(50, 5, seed=1) * torch.tensor([5.0, 3.0, 0.01, 0.01, 0.01])
    positions = descriptors.project(points @ basis.T)
    assert positions.shape == (50, 2)
    flat = points[:, :2] - points[:, :2].mean(0)
    assert torch.allclose(torch.cdist(positions.double(), positions.double()),
                          torch.cdist(flat, flat), atol=0.1)  # fmt: skip
    assert torch.equal(positions, descriptors.project(points @ basis.T))


def test_tsne_keeps_who_is_near_and_depends_only_on_its_seed():
    labels = torch.arange(60) % 3
    points = 20 * torch.eye(3, 8)[labels] + cloud(60, 8)
    positions = descriptors.project(points, "tsne", perplexity=10, seed=3)
    again = descriptors.project(points, "tsne", perplexity=10, seed=3)
    assert torch.equal(positions, again)
    found = descriptors.nearest(positions, 5, metric="euclidean")
    assert descriptors.precision_at_k(labels[found.indices], labels) == 1


def broken(value: float) -> torch.Tensor:
    rows = torch.ones(4, 3)
    rows[2, 1] = value
    return rows


GOOD, LABELS = torch.ones(4, 3), torch.tensor([0, 0, 1, 1])
ERRORS = {
    "anchos": (lambda: descriptors.nearest(GOOD, 1, torch.ones(2, 5)), "5 números .* galería 3"),
    "k": (lambda: descriptors.nearest(GOOD, 5, GOOD), "k = 5 .* hay 4: k va de 1 a 4"),
    "k propio": (lambda: descriptors.nearest(GOOD, 4), "hay 3, sin contar a cada uno"),
    "k cero": (lambda: descriptors.nearest(GOOD, 0), "k va de 1 a 3"),
    "métrica": (lambda: descriptors.nearest(GOOD, 1, metric="coseno"), "decir «cosine»"),
    "otra métrica": (lambda: descriptors.nearest(GOOD, 1, metric="xy"), "elige cosine o euclid"),
    "galería vacía": (lambda: descriptors.nearest(torch.ones(0, 3), 1), r"la galería: .*\(0, 3\)"),
    "mapas": (lambda: descriptors.nearest(torch.ones(2, 3, 4, 4), 1), r"llegó \(2, 3, 4, 4\)"),
    "NaN": (lambda: descriptors.nearest(broken(math.nan), 1), "la galería: la fila 2 tiene NaN"),
    "infinito": (lambda: descriptors.nearest(GOOD, 1, broken(math.inf)), "las consultas: la fila 2"),
    "ceros": (lambda: descriptors.nearest(torch.zeros(4, 3), 1), "fila 0 es todo ceros.*4 así"),
    "clases de vecinos": (
        lambda: descriptors.precision_at_k(LABELS, LABELS), r"\(M, k\) y .*llegaron \(4,\)"
    ),
    "sin consultas": (
        lambda: descriptors.precision_at_k(torch.ones(0, 3), torch.ones(0)), "con M y k positivos"
    ),
    "clase sin galería": (
        lambda: descriptors.mean_average_precision(torch.zeros(4, 2), LABELS),
        r"consulta 2, de la clase 1, .*\(2 así",
    ),
    "mapa de un punto": (lambda: descriptors.project(torch.ones(1, 3)), r"llegó \(1, 3\)"),
    "método": (lambda: descriptors.project(GOOD, "t-sne"), "el método «t-sne» .* «tsne»"),
    "perplejidad": (lambda: descriptors.project(GOOD, "tsne"), "entre 0 y .* 4, .*llegó 30"),
    "minería": (
        lambda: descriptors.triplet_loss(GOOD, LABELS, mining="batch-hard"), "decir «batch_hard»"
    ),
    "margen": (lambda: descriptors.triplet_loss(GOOD, LABELS, 0.0), "el margen .* llegó 0.0"),
    "etiquetas": (lambda: descriptors.triplet_loss(GOOD, LABELS[:3]), r"4 descr.*\(3,\)"),
    "tripletas con NaN": (
        lambda: descriptors.triplet_loss(broken(math.nan), LABELS), "fila 2 tiene NaN"
    ),
    "todas solas": (
        lambda: descriptors.triplet_loss(GOOD, torch.arange(4)), "no hay ninguna tripleta"
    ),
    "una sola clase": (
        lambda: descriptors.triplet_loss(GOOD, torch.zeros(4)), "no hay ninguna tripleta"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_compared_is_said_early(case):
    action, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        action()


def test_zero_descriptors_have_a_distance_but_no_angle():
    zero = torch.zeros(1, 3)
    found = descriptors.nearest(GOOD, 1, zero, "euclidean")
    assert found.distances.item() == pytest.approx(math.sqrt(3))
    with pytest.raises(ValueError, match="las consultas: la fila 0 es todo ceros"):
        descriptors.nearest(GOOD, 1, zero, "cosine")


def test_lengths_that_the_dot_product_confuses():
    """El producto punto sin normalizar prefiere al más largo, no al más parecido."""
    gallery = torch.tensor([[1.0, 0.1], [9.0, 9.0]])
    query = torch.tensor([[1.0, 0.0]])
    assert (query @ gallery.T).argmax().item() == 1
    for metric in descriptors.METRICS:
        assert descriptors.nearest(gallery, 1, query, metric).indices.item() == 0


def test_every_pair_of_public_errors_is_distinct():
    """Ningún caso de la tabla pasa por el mensaje de otro."""
    said = []
    for action, _ in ERRORS.values():
        with pytest.raises(ValueError) as caught:
            action()
        said.append(str(caught.value))
    assert all(a != b for a, b in itertools.combinations(said[:14], 2))
