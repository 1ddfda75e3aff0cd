"""Verificación: parejas sin trampa, la ROC de scikit-learn y un umbral que se puede contar."""

import collections

import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch.nn import functional as F

from cnnhistory import descriptors, verification

LABELS = torch.tensor([2, 0, 1, 0, 2, 2, 1, 0, 7])  # el 7, solo


def as_sets(pairs: verification.Pairs) -> list[frozenset[int]]:
    return [
        frozenset(pair) for pair in zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    ]


@pytest.mark.parametrize("seed", range(5))
def test_pairs_are_balanced_distinct_and_true(seed):
    pairs = verification.make_pairs(LABELS, 12, seed)
    assert pairs.same.tolist() == [True] * 6 + [False] * 6
    assert torch.equal(LABELS[pairs.first] == LABELS[pairs.second], pairs.same)
    sets = as_sets(pairs)
    assert all(len(each) == 2 for each in sets)  # nadie consigo mismo
    assert len(set(sets)) == 12  # ninguna repetida, tampoco al revés


def test_all_the_pairs_there_are_can_be_drawn():
    # Iguales: 3 + 3 + 1. Distintas: 36 − 7 = 29, así que el tope lo ponen las iguales.
    sets = as_sets(verification.make_pairs(LABELS, 14))
    same = {frozenset((i, j)) for i in range(9) for j in range(i) if LABELS[i] == LABELS[j]}
    assert set(sets[:7]) == same
    two = torch.tensor([0, 0, 0, 0, 1])  # aquí las distintas: 6 iguales y 4 distintas
    assert len(set(as_sets(verification.make_pairs(two, 8)))) == 8
    with pytest.raises(ValueError, match="5 parejas de clases distintas y solo hay 4"):
        verification.make_pairs(two, 10)


def test_every_pair_is_as_likely_as_any_other():
    counts = collections.Counter(
        each for seed in range(1500) for each in as_sets(verification.make_pairs(LABELS, 2, seed))
    )
    for kind, possible in ((True, 7), (False, 29)):
        drawn = [
            n for pair, n in counts.items() if (len(set(LABELS[list(pair)].tolist())) == 1) == kind
        ]
        assert len(drawn) == possible
        expected = 1500 / possible
        assert sum((n - expected) ** 2 / expected for n in drawn) < 3 * possible  # χ², muy holgado


def test_pairs_depend_on_the_seed_and_scale():
    assert as_sets(verification.make_pairs(LABELS, 6, 1)) == as_sets(
        verification.make_pairs(LABELS, 6, 1)
    )
    assert as_sets(verification.make_pairs(LABELS, 6, 1)) != as_sets(
        verification.make_pairs(LABELS, 6, 2)
    )
    many = torch.arange(60_000) % 10  # 1800 millones de parejas, sin enumerarlas
    pairs = verification.make_pairs(many, 6000)
    assert torch.equal(many[pairs.first] == many[pairs.second], pairs.same)
    assert len(set(as_sets(pairs))) == 6000
    assert len(pairs.first.unique()) > 5000


def test_pair_distances_are_the_ones_of_torch():
    x = torch.randn(9, 4, generator=torch.Generator().manual_seed(0))
    pairs = verification.make_pairs(LABELS, 12)
    first, second = x[pairs.first], x[pairs.second]
    got = {metric: verification.pair_distances(x, pairs, metric) for metric in descriptors.METRICS}
    torch.testing.assert_close(got["euclidean"], (first - second).norm(dim=1))
    torch.testing.assert_close(got["cosine"], 1 - F.cosine_similarity(first, second))
    # Entre vectores de norma 1, la euclidiana al cuadrado es el doble de la del coseno.
    unit = verification.pair_distances(F.normalize(x), pairs, "euclidean")
    torch.testing.assert_close(unit.square(), 2 * got["cosine"], atol=1e-5, rtol=1e-5)


def noisy(count: int = 400, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    same = torch.rand(count, generator=generator) < 0.5
    return torch.randn(count, generator=generator) + 1.5 * ~same, same


def test_the_roc_is_the_one_one_can_count():
    distances, same = noisy()
    curve = verification.trace_roc(distances, same)
    assert curve.area == pytest.approx(roc_auc_score(same.numpy(), -distances.numpy()))
    assert (curve.thresholds.diff() > 0).all()
    for threshold, false, true in zip(
        curve.thresholds, curve.false_accepts, curve.true_accepts, strict=True
    ):
        accepted = distances <= threshold
        assert (accepted & ~same).sum() / (~same).sum() == pytest.approx(false.item())
        assert (accepted & same).sum() / same.sum() == pytest.approx(true.item())
    wins = (distances[same][:, None] < distances[~same][None, :]).double().mean().item()
    assert curve.area == pytest.approx(wins)  # sin empates, es esa probabilidad


def test_the_equal_error_rate_by_hand():
    # Iguales a 1, 2, 3 y 6; distintas a 4, 5, 7 y 8. Con umbral 4 se acepta de más 1 de 4 y se
    # rechaza de más 1 de 4.
    distances = torch.tensor([1.0, 2, 3, 6, 4, 5, 7, 8])
    same = torch.tensor([True] * 4 + [False] * 4)
    curve = verification.trace_roc(distances, same)
    assert curve.equal_error_rate == pytest.approx(0.25)
    assert verification.best_threshold(distances, same) == pytest.approx(3.5)
    assert verification.accuracy_at(distances, same, 3.5) == pytest.approx(7 / 8)
    assert verification.accuracy_at(distances, same, 3) == pytest.approx(7 / 8)  # «no lo pasa»
    assert verification.accuracy_at(distances, same, -1) == 0.5


def test_a_perfect_verification():
    distances, same = torch.tensor([0.1, 0.2, 0.8, 0.9]), torch.tensor([True, True, False, False])
    curve = verification.trace_roc(distances, same)
    assert (curve.area, curve.equal_error_rate) == (1, 0)
    assert verification.best_threshold(distances, same) == pytest.approx(0.5)


@pytest.mark.parametrize("seed", range(3))
def test_no_threshold_beats_the_best_one(seed):
    distances, same = noisy(120, seed)
    best = verification.accuracy_at(distances, same, verification.best_threshold(distances, same))
    tried = [*distances.tolist(), -9.0, 9.0]
    assert best == max(verification.accuracy_at(distances, same, each) for each in tried)


def test_the_best_may_be_to_accept_none_or_all():
    upside_down = torch.tensor([1.0, 2.0]), torch.tensor([False, True])
    assert verification.best_threshold(*upside_down) == -torch.inf
    assert verification.accuracy_at(*upside_down, -torch.inf) == 0.5
    mostly_same = torch.tensor([1.0, 2.0, 3.0]), torch.tensor([False, True, True])
    assert verification.best_threshold(*mostly_same) == 3
    assert verification.accuracy_at(*mostly_same, 3) == pytest.approx(2 / 3)


PAIRS = verification.make_pairs(LABELS, 4)
D, S = torch.tensor([0.1, 0.9]), torch.tensor([True, False])
ERRORS = {
    "impar": (lambda: verification.make_pairs(LABELS, 3), "par y positivo; llegó 3"),
    "ninguna": (lambda: verification.make_pairs(LABELS, 0), "par y positivo; llegó 0"),
    "sin imágenes": (lambda: verification.make_pairs(LABELS[:0], 2), r"N > 0; llegó \(0,\)"),
    "una de cada": (lambda: verification.make_pairs(torch.arange(5), 2), "solo hay 0 posibles"),
    "una clase": (
        lambda: verification.make_pairs(torch.zeros(5), 2), "clases distintas y solo hay 0"
    ),
    "pocas": (lambda: verification.make_pairs(LABELS, 16), "8 parejas .* y solo hay 7"),
    "otras imágenes": (lambda: verification.pair_distances(torch.ones(3, 2), PAIRS), "hay 3 desc"),
    "NaN": (lambda: verification.pair_distances(torch.full((9, 2), torch.nan), PAIRS), "NaN"),
    "métrica": (
        lambda: verification.pair_distances(torch.ones(9, 2), PAIRS, "euclidea"), "«euclidean»"
    ),
    "largos": (lambda: verification.trace_roc(D, S[:1]), r"\(P,\) con P > 0; llegaron"),
    "enteros": (lambda: verification.trace_roc(D, S.long()), "booleanos; llegó torch.int64"),
    "todas iguales": (lambda: verification.trace_roc(D, S | True), "todas son iguales"),
    "todas distintas": (lambda: verification.best_threshold(D, S & False), "son distintas"),
    "no finitas": (lambda: verification.accuracy_at(D / 0, S, 1.0), "no son finitas"),
}  # fmt: skip


@pytest.mark.parametrize("case", ERRORS)
def test_what_cannot_be_verified_is_said_early(case):
    action, message = ERRORS[case]
    with pytest.raises(ValueError, match=message):
        action()
