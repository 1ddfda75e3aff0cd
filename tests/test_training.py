"""El bucle: métricas a mano, una red que no se altera al medirla, y reanudar sin que se note."""

import copy
import dataclasses
import math
import re
import warnings

import pandas
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.data import DataLoader, TensorDataset

from cnnhistory import data, models, training
from cnnhistory.checkpoints import Checkpoints

torch.set_num_threads(1)


class Fixed(nn.Module):
    """Una red de mentira: su salida es la propia entrada, aplanada."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return x.flatten(1) * self.scale


class Little(nn.Module):
    """Chica y con todo lo que un modo cambia: normalización por lotes y dropout."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(1, 4, 3, stride=2), nn.BatchNorm2d(4), nn.ReLU())
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.3), nn.Linear(4 * 9, 3))

    def forward(self, x):
        return self.head(self.features(x))


def little(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return Little()


def dataset(count: int = 50) -> data.Dataset:
    """Tres clases fáciles: una mancha en otro lugar."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 60, (count, 1, 8, 8), dtype=torch.uint8, generator=generator)
    labels = torch.arange(count) % 3
    for image, label in zip(images, labels, strict=True):
        image[0, 2 * int(label) : 2 * int(label) + 3] += 150
    return data.Dataset(images, labels, ("a", "b", "c"))


def batches(count: int = 50, *, shuffle: bool = False) -> data.Batches:
    return data.Batches(dataset(count), 16, shuffle=shuffle, seed=1)


def fixed_batches(logits: list[list[float]], labels: list[int], size: int) -> list:
    images = torch.tensor(logits)[:, :, None, None]
    return [*zip(images.split(size), torch.tensor(labels).split(size), strict=True)]


def same_state(one: nn.Module, other: nn.Module) -> bool:
    pair = one.state_dict(), other.state_dict()
    return all(torch.equal(pair[0][name], pair[1][name]) for name in pair[0] | pair[1])


# --- Métricas ------------------------------------------------------------------------------------


def test_metrics_by_hand_with_an_uneven_last_batch():
    logits = [[0.0, 0.0], [math.log(3), 0.0], [0.0, math.log(3)]]
    labels = [0, 0, 0]
    # Probabilidad de la clase correcta: 1/2, 3/4 y 1/4.
    expected = -(math.log(1 / 2) + math.log(3 / 4) + math.log(1 / 4)) / 3
    for size in (1, 2, 3):
        metrics = training.evaluate(Fixed(), fixed_batches(logits, labels, size))
        assert metrics.loss == pytest.approx(expected, rel=1e-6)
        assert metrics.top5 == 1  # con dos clases, las cinco primeras son todas
    top1 = training.evaluate(Fixed(), fixed_batches(logits[1:], [0, 0], 2)).top1
    assert top1 == 0.5


def test_top5_by_hand():
    logits = [[float(10 - i) for i in range(8)]] * 8  # gana siempre la clase 0
    metrics = training.evaluate(Fixed(), fixed_batches(logits, [*range(8)], 3))
    assert metrics.top1 == pytest.approx(1 / 8)
    assert metrics.top5 == pytest.approx(5 / 8)


def test_the_training_loss_averages_over_images_not_over_batches():
    logits, labels = [[0.0, 2.0], [0.0, 1.0], [0.0, -1.0]], [0, 1, 0]
    model = Fixed()
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-12)  # no se mueve
    pairs = fixed_batches(logits, labels, 2)
    loss, seen = training.train_one_epoch(model, pairs, optimizer)
    expected = F.cross_entropy(torch.tensor(logits), torch.tensor(labels)).item()
    assert seen == 3
    assert loss == pytest.approx(expected, rel=1e-6)
    smooth, _ = training.train_one_epoch(model, pairs, optimizer, label_smoothing=0.2)
    expected = F.cross_entropy(torch.tensor(logits), torch.tensor(labels), label_smoothing=0.2)
    assert smooth == pytest.approx(expected.item(), rel=1e-6)


@pytest.fixture
def in_float32(monkeypatch):
    """Sin precisión mixta aunque el procesador la tenga: aquí se comparan cifras exactas."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)


@pytest.mark.usefixtures("in_float32")
def test_one_step_is_the_step_of_plain_torch():
    model, twin = little(), little()
    images, labels = next(iter(batches()))
    optimizer = training.make_optimizer(model, lr=0.1, weight_decay=0.01)
    torch.manual_seed(5)  # el mismo dropout
    training.train_one_epoch(model, [(images, labels)], optimizer)
    torch.manual_seed(5)
    F.cross_entropy(twin(images), labels).backward()
    for parameter in twin.parameters():
        decay = 0.01 * parameter.data if parameter.ndim > 1 else 0
        gradient = parameter.grad + decay
        parameter.data -= 0.1 * (gradient + 0.9 * gradient)  # Nesterov, primer paso
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


class Auxiliary(Little):
    """Con dos cabezas auxiliares al entrenar, como GoogLeNet."""

    def __init__(self):
        super().__init__()
        self.head[1] = nn.Identity()
        self.early, self.late = (nn.Linear(4 * 9, 3) for _ in range(2))

    def forward(self, x):
        maps = self.features(x)
        if not self.training:
            return self.head(maps)
        return self.head(maps), self.early(maps.flatten(1)), self.late(maps.flatten(1))


def test_auxiliary_heads_weigh_three_tenths_in_the_gradient_and_nothing_in_the_loss():
    torch.manual_seed(0)
    model = Auxiliary()
    twin = copy.deepcopy(model)
    images, labels = next(iter(batches()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    loss, _ = training.train_one_epoch(model, [(images, labels)], optimizer)
    main, *others = (F.cross_entropy(scores, labels) for scores in twin(images))
    (main + 0.3 * sum(others)).backward()
    assert loss == pytest.approx(main.item(), rel=0.02)  # puede calcularse en bfloat16
    for ours, theirs in zip(model.parameters(), twin.parameters(), strict=True):
        expected = theirs - 0.5 * theirs.grad
        torch.testing.assert_close(ours, expected, rtol=0.02, atol=0.01)
        assert theirs.grad.any()
    assert training.evaluate(model, [(images, labels)]).loss > 0


def test_decay_is_only_for_weights():
    model = little()
    model.head[2].weight.requires_grad_(False)
    decayed, free = training.make_optimizer(model, 0.1, 0.03).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.03, 0)
    assert [id(p) for p in decayed["params"]] == [id(model.features[0].weight)]
    assert {id(p) for p in free["params"]} == {
        id(p)
        for p in (
            model.features[0].bias,
            model.features[1].weight,
            model.features[1].bias,
            model.head[2].bias,
        )
    }


# --- Medir no altera -----------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [True, False])
def test_evaluate_leaves_everything_as_it_was(mode):
    model = little().train(mode)
    model.features[1].eval()  # una capa congelada
    before, modes = copy.deepcopy(model), [m.training for m in model.modules()]
    rng = torch.get_rng_state()
    first = training.evaluate(model, batches())
    assert training.evaluate(model, batches()) == first  # sin dropout ni estadísticas del lote
    assert same_state(model, before)
    assert [m.training for m in model.modules()] == modes
    assert torch.equal(torch.get_rng_state(), rng)
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_evaluate_restores_the_mode_even_if_the_network_fails():
    model = little().train()
    with pytest.raises(RuntimeError):
        training.evaluate(model, [(torch.zeros(2, 5, 8, 8), torch.zeros(2).long())])
    assert all(module.training for module in model.modules())


def test_evaluate_refuses_no_batches():
    with pytest.raises(ValueError, match="no hay lotes"):
        training.evaluate(little(), [])


# --- Entrenar ------------------------------------------------------------------------------------


def test_training_lowers_the_loss_and_tells_each_epoch():
    model, told = little(), []
    history = training.train(
        model, batches(shuffle=True), batches(20), epochs=6, lr=0.1, on_epoch=told.append
    )
    assert told == history
    assert [epoch.number for epoch in history] == [1, 2, 3, 4, 5, 6]
    assert history[-1].train_loss < 0.5 * history[0].train_loss
    assert history[-1].val_top1 > 0.9
    assert all(epoch.val_top5 == 1 for epoch in history)
    for epoch in history:
        assert epoch.images_per_second == pytest.approx(50 / epoch.seconds)
    scores = training.evaluate(model, batches(20))
    assert scores == training.Metrics(
        history[-1].val_loss, history[-1].val_top1, history[-1].val_top5
    )


def test_the_same_seed_gives_the_same_bits_and_another_does_not():
    runs = []
    for seed in (3, 3, 4):
        model = little(seed)
        history = training.train(model, batches(shuffle=True), batches(20), epochs=2, lr=0.1)
        runs.append((model, [(e.train_loss, e.val_loss) for e in history]))
    assert same_state(runs[0][0], runs[1][0])
    assert runs[0][1] == runs[1][1]
    assert not same_state(runs[0][0], runs[2][0])


def test_a_torch_dataloader_is_a_loader_too():
    whole = dataset()
    loader = DataLoader(TensorDataset(whole.images.float() / 255, whole.labels), batch_size=16)
    models_ = [little(), little()]
    histories = []
    for model, source in zip(models_, (batches(), loader), strict=True):
        torch.manual_seed(9)
        history = training.train(model, source, source, epochs=1, lr=0.1)
        histories.append(history[0].val_loss)
    # El DataLoader gasta un número del azar global al empezar: solo cambia el dropout.
    assert histories[0] == pytest.approx(histories[1], rel=0.2)


@pytest.mark.parametrize("epochs", [0, -1])
def test_no_epochs_are_refused(epochs):
    with pytest.raises(ValueError, match=f"positivos; llegaron {epochs} y 0.1"):
        training.train(little(), batches(), batches(), epochs=epochs, lr=0.1)


@pytest.mark.parametrize("lr", [0, -0.1, math.nan, math.inf])
def test_an_impossible_rate_is_refused(lr):
    with pytest.raises(ValueError, match=f"llegaron 1 y {lr}"):
        training.train(little(), batches(), batches(), epochs=1, lr=lr)


@pytest.mark.parametrize("empty", [0, 1])
def test_empty_loaders_are_refused(empty):
    loaders = [batches(), batches()]
    loaders[empty] = []
    with pytest.raises(ValueError, match="no hay lotes"):
        training.train(little(), *loaders, epochs=1, lr=0.1)


class Poisoned(list):
    """Lotes buenos hasta la cuarta vuelta (las dos primeras son la revisión), cuyo lote 2 trae NaN."""

    passes = 0

    def __iter__(self):
        self.passes += 1
        for index, (images, labels) in enumerate(super().__iter__()):
            bad = self.passes == 4 and index == 1
            yield (images * math.nan if bad else images), labels


def test_a_loss_that_is_not_finite_stops_and_says_where_and_keeps_the_last_checkpoint(tmp_path):
    told = []
    model = little()
    with pytest.raises(
        training.TrainingError,
        match=r"^época 2: .*en el lote 2 de 4 \(nan\), con tasa 0\.0\d+: prueba con .*clip_norm"
        r".*; la época 1 está a salvo en ",
    ):
        training.train(
            model,
            Poisoned(batches()),
            batches(),
            epochs=3,
            lr=0.1,
            checkpoints=Checkpoints(tmp_path, {}),
            on_epoch=told.append,
        )
    assert [epoch.number for epoch in told] == [1]
    assert not all(p.isfinite().all() for p in model.parameters())
    saved = load_file(tmp_path / "last.safetensors")
    assert all(value.isfinite().all() for value in saved.values())


def test_weights_that_the_last_step_broke_are_not_kept(tmp_path):
    """Con un solo lote, la pérdida de la época se mide antes del paso que lo rompe todo."""
    one = data.Batches(dataset(), 50)
    keeper = Checkpoints(tmp_path, {})
    with pytest.raises(
        training.DivergedError,
        match=r"^época 1: la pérdida de validación dejó de ser finita \(nan\)",
    ):
        training.train(little(), one, one, epochs=1, lr=1e30, schedule=constant, checkpoints=keeper)
    assert not (tmp_path / "last.safetensors").exists()
    assert training.train(little(), one, one, epochs=1, lr=0.1, schedule=constant)


def constant(optimizer, steps):
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1.0)


def test_a_rate_that_diverges_says_the_rate_of_that_step():
    with pytest.raises(training.TrainingError, match=r"la pérdida dejó de ser finita") as error:
        training.train(little(), batches(), batches(), epochs=30, lr=1e30)
    epoch, batch, rate = re.search(
        r"época (\d+).* lote (\d+) de 4 .*tasa ([\d.e+]+):", str(error.value)
    ).groups()
    model = little()
    plan = training.one_cycle(training.make_optimizer(model, 1e30, 0), 120)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # avanza el plan sin dar pasos
        for _ in range(4 * (int(epoch) - 1) + int(batch) - 1):
            plan.step()
    assert float(rate) == pytest.approx(plan.get_last_lr()[0], rel=0.01)


class Greedy(nn.Module):
    """No cabe en memoria con más de ``fits`` imágenes por lote."""

    def __init__(self, fits: int, error: Exception):
        super().__init__()
        self.net, self.fits, self.error, self.sizes = little(), fits, error, []

    def forward(self, x):
        if self.training:
            self.sizes.append(len(x))
            if len(x) > self.fits:
                raise self.error
        return self.net(x)


@pytest.mark.parametrize(
    ("fits", "advice"),
    [
        (8, "probablemente cabe un lote de 8"),
        (7, "probablemente cabe un lote de 4"),
        (0, "no cabe ni una"),
    ],
)
@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory"),
    ],
)
def test_out_of_memory_says_a_batch_that_was_seen_to_fit(fits, advice, error):
    model = Greedy(fits, error)
    with pytest.raises(training.TrainingError, match=f"época 1: no alcanza la memoria; {advice}"):
        training.train(model, batches(), batches(), epochs=1, lr=0.1)
    assert model.sizes[:3] == [16, 8, 4][: len(model.sizes)]


def test_any_other_error_of_the_network_is_left_alone():
    model = Greedy(0, RuntimeError("otra cosa"))
    with pytest.raises(RuntimeError, match=r"^otra cosa$"):
        training.train(model, batches(), batches(), epochs=1, lr=0.1)


# --- Lo que se revisa antes del primer paso ------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label_smoothing": 1.0}, "label_smoothing va de 0 a 1"),
        ({"label_smoothing": -0.1}, "llegó -0.1"),
        ({"clip_norm": 0}, "clip_norm debe ser positivo"),
        ({"clip_norm": math.nan}, "clip_norm debe ser positivo"),
    ],
)
def test_numbers_out_of_range_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        training.train(little(), batches(), batches(), epochs=1, lr=0.1, **options)


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize(
    ("label", "message"),
    [(3, "van de 0 a 3 y la red tiene 3 clases.*num_classes=4"), (-1, "van de -1 a 2")],
)
def test_labels_outside_the_classes_are_refused_wherever_they_are(place, label, message):
    loaders = [batches(), batches()]
    loaders[place].labels[-1] = label  # en el último lote: no basta mirar el primero
    model = little()
    untouched = copy.deepcopy(model)
    with pytest.raises(ValueError, match=message):
        training.train(model, *loaders, epochs=1, lr=0.1)
    assert same_state(model, untouched)


def test_a_label_outside_the_classes_is_explained_however_the_batches_come(tmp_path):
    images, labels = dataset().images / 255, dataset().labels.clone()
    labels[-1] = 7
    listed = [*zip(images.split(16), labels.split(16), strict=True)]
    model = little()
    untouched = copy.deepcopy(model)
    with pytest.raises(ValueError, match="van de 0 a 7 y la red tiene"):
        training.train(model, listed, batches(), epochs=1, lr=0.1)
    assert same_state(model, untouched)
    # Un DataLoader solo se conoce recorriéndolo: se dice al llegar.
    loader = DataLoader(TensorDataset(images, labels), 16)
    with pytest.raises(ValueError, match="época 1: hay una etiqueta 7, que no es de ninguna"):
        training.train(model, loader, batches(), epochs=1, lr=0.1)


def test_images_for_another_network_or_not_finite_are_refused():
    model = models.create("lenet5_modern", num_classes=3)
    other = [(torch.zeros(4, 3, 28, 28), torch.zeros(4, dtype=torch.int64))]
    with pytest.raises(ValueError, match=r"\(N, 1, H, W\); llegó \(4, 3, 28, 28\)"):
        training.train(model, other, other, epochs=1, lr=0.1)
    sick = [(torch.full((4, 1, 8, 8), math.nan), torch.zeros(4, dtype=torch.int64))]
    with pytest.raises(ValueError, match="traen NaN o infinitos"):
        training.train(little(), sick, batches(), epochs=1, lr=0.1)


def test_soft_labels_of_other_classes_are_refused():
    soft = [(torch.zeros(4, 1, 8, 8), torch.full((4, 5), 0.2))]
    with pytest.raises(ValueError, match=r"tiene 3 clases y .* entre 5"):
        training.train(little(), soft, batches(), epochs=1, lr=0.1)


def test_the_check_costs_nothing_in_bits():
    """Mirar un lote antes de empezar no cambia ni el orden ni el dropout ni las estadísticas."""
    runs = []
    for checked in (True, False):
        torch.manual_seed(3)
        model, source = little(), batches(shuffle=True)
        torch.manual_seed(4)
        if checked:
            training.train(model, source, batches(), epochs=1, lr=0.1)
        else:
            optimizer = training.make_optimizer(model, 0.1, 5e-4)
            training.train_one_epoch(model, source, optimizer, training.one_cycle(optimizer, 4))
        runs.append(model)
    assert same_state(*runs)


# --- La receta -----------------------------------------------------------------------------------


@pytest.mark.usefixtures("in_float32")
def test_clipping_is_torchs_and_bounds_the_step():
    source = [*batches(16)]
    clipped, plain = little(), little()
    torch.manual_seed(5)
    training.train_one_epoch(
        clipped, source, torch.optim.SGD(clipped.parameters(), 1.0), clip_norm=0.1
    )
    torch.manual_seed(5)
    F.cross_entropy(plain(source[0][0]), source[0][1]).backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
    assert norm > 0.1
    torch.optim.SGD(plain.parameters(), 1.0).step()
    for ours, theirs in zip(clipped.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs)


def test_soft_labels_are_the_mixture_of_the_losses():
    torch.manual_seed(0)
    images, labels, others = torch.rand(6, 1, 8, 8), torch.arange(6) % 3, (torch.arange(6) + 1) % 3
    soft = 0.7 * F.one_hot(labels, 3) + 0.3 * F.one_hot(others, 3)
    model = little().eval()
    model.train = lambda mode=True: model  # sin dropout, las pérdidas se pueden sumar
    losses = [
        training.train_one_epoch(
            copy.copy(model), [(images, target)], torch.optim.SGD(model.parameters(), 0.0)
        )[0]
        for target in (soft, labels, others)
    ]
    assert losses[0] == pytest.approx(0.7 * losses[1] + 0.3 * losses[2])


def test_one_cycle_and_warmup_cosine_by_hand():
    model = little()
    rates = {}
    for schedule in (training.one_cycle, training.warmup_cosine):
        optimizer = training.make_optimizer(model, 0.2, 0)
        plan, rates[schedule] = schedule(optimizer, 100), []
        for _ in range(100):
            assert optimizer.param_groups[0]["lr"] == optimizer.param_groups[1]["lr"]
            rates[schedule].append(optimizer.param_groups[0]["lr"])
            optimizer.step()
            plan.step()
    cycle, cosine = rates.values()
    assert max(cycle) == pytest.approx(0.2)
    assert cycle.index(max(cycle)) == 29  # al 30 %
    assert cycle[0] == pytest.approx(0.2 / 25)
    assert cycle[-1] < 1e-4
    assert cosine[:5] == pytest.approx([0.04, 0.08, 0.12, 0.16, 0.2])
    assert cosine[5] == pytest.approx(0.2)
    assert cosine[5 + 95 // 2] == pytest.approx(0.1, abs=0.003)
    assert cosine[-1] == pytest.approx(0.2 * 0.5 * (1 + math.cos(math.pi * 94 / 95)))


def test_another_optimizer_and_another_plan_are_used():
    called = []

    def adam(model, lr, weight_decay):
        called.append((lr, weight_decay))
        return torch.optim.AdamW(model.parameters(), lr, weight_decay=weight_decay)

    def constant(optimizer, steps):
        called.append(steps)
        return torch.optim.lr_scheduler.ConstantLR(optimizer, 1.0)

    history = training.train(
        little(), batches(), batches(), epochs=3, lr=0.01, weight_decay=0.1,
        optimizer=adam, schedule=constant,
    )  # fmt: skip
    assert called == [(0.01, 0.1), 12]
    assert history[-1].train_loss < history[0].train_loss


def test_pandas_eats_the_history():
    history = training.train(little(), batches(), batches(), epochs=2, lr=0.1)
    table = pandas.DataFrame(history)
    assert [*table.columns] == [field.name for field in dataclasses.fields(training.Epoch)]
    assert table["number"].tolist() == [1, 2]


def test_mixed_precision_only_where_the_hardware_helps(monkeypatch):
    for supported in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda s=supported: s)
        with training.mixed_precision(torch.device("cpu")):
            kind = (torch.ones(2, 2) @ torch.ones(2, 2)).dtype
        assert kind == (torch.bfloat16 if supported else torch.float32)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: True)
    loss, _ = training.train_one_epoch(
        model := little(), batches(), training.make_optimizer(model, 0.1, 0)
    )
    assert math.isfinite(loss)
    assert all(p.dtype == torch.float32 for p in model.parameters())
    half, brain = torch.float16, torch.bfloat16
    for capability, dtype, enabled in (
        ((6, 1), brain, False),
        ((7, 5), half, True),
        ((8, 0), brain, True),
        ((9, 0), brain, True),
    ):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _d, c=capability: c)
        seen = {}

        class Recorder:
            def __init__(self, device, dtype, enabled, seen=seen):
                seen.update(device=device, dtype=dtype, enabled=enabled)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "autocast", Recorder)
            training.mixed_precision(torch.device("cuda"))
        assert seen == {"device": "cuda", "dtype": dtype, "enabled": enabled}


def test_in_float16_the_first_step_of_an_epoch_is_not_lost(monkeypatch):
    """Con la escala de torch, 65 536, esta época de un solo lote se desborda y no mueve nada."""
    monkeypatch.setattr(training, "_short_type", lambda _device: torch.float16)
    torch.manual_seed(0)
    train, _ = data.fashion_mnist()
    images, labels = data.normalization(train)(train.images[:64] / 255), train.labels[:64]
    model = models.create("lenet5_modern")
    optimizer = training.make_optimizer(model, 0.05, 0.0)
    losses = [training.train_one_epoch(model, [(images, labels)], optimizer)[0] for _ in range(6)]
    assert len(set(losses)) == 6
    assert losses[-1] < 0.8 * losses[0]


@pytest.mark.parametrize("fused", [True, False])
def test_in_float16_the_clipped_norm_is_that_of_the_gradient_not_that_of_the_scaled_one(
    monkeypatch, fused
):
    source = [*batches(16)]
    model, plain, before = little(), little(), little()
    torch.manual_seed(5)
    F.cross_entropy(plain(source[0][0]), source[0][1]).backward()
    norm = torch.nn.utils.clip_grad_norm_(plain.parameters(), 0.1)
    assert norm > 0.2
    monkeypatch.setattr(training, "_short_type", lambda _device: torch.float16)
    optimizer = torch.optim.SGD(model.parameters(), 1.0, fused=fused)
    torch.manual_seed(5)
    training.train_one_epoch(model, source, optimizer, clip_norm=0.1)
    step, expected = (
        torch.cat([each.flatten() for each in parts])
        for parts in (
            [old - new for old, new in zip(before.parameters(), model.parameters(), strict=True)],
            [parameter.grad for parameter in plain.parameters()],
        )
    )
    assert step.norm().item() == pytest.approx(0.1, rel=1e-3)
    assert F.cosine_similarity(step, expected, dim=0) > 0.99


# --- La velocidad --------------------------------------------------------------------------------


class Watched(TorchDispatchMode):
    """Anota cada operación que llega a torch, y con qué tipos se convoluciona.

    Leer un número de un tensor, con ``item``, ``float`` o un ``if``, es una operación más.
    """

    def __init__(self):
        super().__init__()
        self.names, self.kinds = [], set()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = func.overloadpacket.__name__
        self.names.append(name)
        if name.startswith(("convolution", "conv2d")):
            self.kinds |= {each.dtype for each in args[:2]}  # la imagen y el peso, o el gradiente
        return func(*args, **kwargs or {})

    @property
    def reads(self):
        return self.names.count("_local_scalar_dense")


def colors(count: int, channels: int = 3) -> list:
    """Lotes de cuatro imágenes en el orden de siempre, (C, H, W)."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(4 * count, channels, 8, 8, generator=generator)
    return [*zip(images.split(4), (torch.arange(4 * count) % 3).split(4), strict=True)]


@pytest.mark.parametrize("kind", [None, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("options", [{}, {"clip_norm": 0.1, "label_smoothing": 0.1}])
def test_the_device_is_not_waited_for_in_each_batch(monkeypatch, kind, options):
    """Lo que se lee no depende de cuántos lotes hay: al final, las pérdidas y su suma."""
    monkeypatch.setattr(training, "_short_type", lambda _device: kind)
    brought = []
    for name in ("tolist", "cpu", "numpy"):  # otras maneras de leer, que no son una operación
        method = getattr(torch.Tensor, name)

        def bringing(self, *arguments, method=method, **named):
            brought.append(self)
            return method(self, *arguments, **named)

        monkeypatch.setattr(torch.Tensor, name, bringing)
    read = {}
    for count in (3, 9):
        model, source = little(), colors(count, channels=1)
        optimizer = training.make_optimizer(model, 0.1, 5e-4)
        plan = training.one_cycle(optimizer, count)
        for work in (
            lambda m=model, s=source, o=optimizer, p=plan: training.train_one_epoch(
                m, s, o, p, **options
            ),
            lambda m=model, s=source: training.evaluate(m, s),
        ):
            brought.clear()
            with Watched() as seen:
                work()
            read.setdefault(count, []).append((seen.reads, len(brought)))
    assert read[3] == read[9]
    assert all(sum(each) <= 2 for each in read[3])


def test_both_training_and_evaluation_compute_with_the_short_type(monkeypatch):
    for kind in (torch.bfloat16, None):
        monkeypatch.setattr(training, "_short_type", lambda _device, kind=kind: kind)
        model = little()
        optimizer = training.make_optimizer(model, 0.1, 5e-4)
        for work in (
            lambda m=model, o=optimizer: training.train_one_epoch(m, batches(), o),
            lambda m=model: training.evaluate(m, batches()),
        ):
            with Watched() as seen:
                work()
            assert seen.kinds == {kind or torch.float32}


class Witness(nn.Module):
    """Anota cómo le llega cada lote: el orden en memoria, y si hay que recordar para derivar."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.seen = []

    def forward(self, x):
        last = x.is_contiguous(memory_format=torch.channels_last) and not x.is_contiguous()
        self.seen.append((last, torch.is_inference_mode_enabled()))
        return self.net(x)


def test_images_go_channels_last_and_nothing_is_remembered_when_evaluating():
    model = Witness()
    training.train_one_epoch(model, colors(2), training.make_optimizer(model, 0.1, 0))
    training.evaluate(model, colors(2))
    assert model.seen == [(True, False)] * 2 + [(True, True)] * 2


def test_all_the_weights_are_moved_at_once():
    """Un optimizador «fused» recorre los pesos una vez; los demás, una por cada cuenta."""
    model = little()
    optimizer = training.make_optimizer(model, 0.1, 5e-4)
    assert optimizer.defaults["fused"] is True
    with Watched() as seen:
        training.train_one_epoch(model, [*batches(16)], optimizer)
    assert seen.names.count("_fused_sgd_") == len(optimizer.param_groups)


class Answers(nn.Module):
    """Da lo que se le pida, con una capa que entrenar."""

    def __init__(self, answer):
        super().__init__()
        self.layer = nn.Linear(1, 3)
        self.answer = answer

    def forward(self, x):
        return self.answer(self.layer(x.mean((1, 2, 3))[:, None]))


IMAGES, LABELS = torch.rand(4, 1, 8, 8), torch.arange(4) % 3


@pytest.mark.parametrize(
    ("model", "train", "val", "said"),
    [
        (nn.Flatten(), [(IMAGES, LABELS)], None, "la red no tiene parámetros"),
        (None, (pair for pair in [(IMAGES, LABELS)]), None, "no un generador"),
        (Answers(lambda x: {"logits": x}), [(IMAGES, LABELS)], None, r"dio dict"),
        (Answers(lambda x: x[:, :, None]), [(IMAGES, LABELS)], None, r"dio \(4, 3, 1\)"),
        (None, [(IMAGES[:, 0], LABELS)], None, r"imágenes \(B, C, H, W\)"),
        (None, [(IMAGES[:0], LABELS[:0])], None, r"llegaron formas \(0, 1, 8, 8\)"),
        (None, [(IMAGES, LABELS[:3])], None, r"y \(3,\)"),
        (None, [(IMAGES, LABELS.float())], None, "enteros int64; llegaron torch.float32"),
        (None, [(IMAGES, 2 * F.one_hot(LABELS, 3).float())], None, "deben sumar 1"),
        (None, [(IMAGES, LABELS)], [(IMAGES, F.one_hot(LABELS, 3).float())], "no con mezclas"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_the_first_step(model, train, val, said):
    model = model or little()
    before = copy.deepcopy(model.state_dict())
    with pytest.raises(ValueError, match=said):
        training.train(model, train, val or [(IMAGES, LABELS)], epochs=1, lr=0.1)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("wrong", "said"),
    [({"epochs": 1.5}, "enteras; llegaron 1.5"), ({"weight_decay": -1.0}, "no puede ser negativo")],
)
def test_a_recipe_that_makes_no_sense_is_refused(wrong, said):
    with pytest.raises(ValueError, match=said):
        training.train(little(), batches(), batches(), **({"epochs": 1, "lr": 0.1} | wrong))


class GreedyAlways(Greedy):
    """Tampoco cabe al evaluar, que es lo primero que se hace."""

    def forward(self, x):
        if len(x) > self.fits:
            raise self.error
        return self.net(x)


def test_memory_that_is_not_enough_for_the_first_look_is_explained():
    model = GreedyAlways(8, MemoryError())
    with pytest.raises(
        training.TrainingError, match="no alcanza la memoria; probablemente cabe un lote de 8"
    ):
        training.train(model, batches(), batches(), epochs=1, lr=0.1)
