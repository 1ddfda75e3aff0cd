"""El bucle: métricas a mano, una red que no se altera al medirla, y reanudar sin que se note."""

import copy
import json
import math
import os
import signal
import subprocess
import sys

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from cnnhistory import data, models, training

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


def test_a_loss_that_is_not_finite_stops_and_says_where():
    class Poisoned(list):
        passes = 0

        def __iter__(self):
            self.passes += 1
            for images, labels in super().__iter__():
                yield (images * math.nan if self.passes == 2 else images), labels

    told = []
    with pytest.raises(training.TrainingError, match=r"en la época 2 \(nan\).*tasa máxima 0\.1"):
        training.train(
            little(), Poisoned(batches()), batches(), epochs=3, lr=0.1, on_epoch=told.append
        )
    assert [epoch.number for epoch in told] == [1]


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
    for capability, enabled in (((7, 5), False), ((8, 0), True), ((9, 0), True)):
        monkeypatch.setattr(torch.cuda, "get_device_capability", lambda _d, c=capability: c)
        seen = {}

        class Recorder:
            def __init__(self, device, dtype, enabled, seen=seen):
                seen.update(device=device, dtype=dtype, enabled=enabled)

        with monkeypatch.context() as patch:
            patch.setattr(torch, "autocast", Recorder)
            training.mixed_precision(torch.device("cuda"))
        assert seen == {"device": "cuda", "dtype": torch.bfloat16, "enabled": enabled}


# --- Puntos de control ---------------------------------------------------------------------------

RECIPE = {"name": "chica", "seed": 0, "epochs": 4}


def run(folder, *, resume=False, recipe=RECIPE, stop_at=None, epochs=4):
    """Un entrenamiento con azar en los pesos, el orden y el dropout."""
    model = little().to(memory_format=torch.channels_last)

    def stop(epoch):
        if epoch.number == stop_at:
            raise InterruptedError

    history = training.train(
        model,
        batches(shuffle=True),
        batches(20),
        epochs=epochs,
        lr=0.1,
        checkpoints=folder and training.Checkpoints(folder, recipe, resume),
        on_epoch=stop,
    )
    return model, [(e.number, e.train_loss, e.val_loss, e.val_top1) for e in history]


@pytest.mark.parametrize("stop_at", [1, 2, 3])
def test_interrupted_and_resumed_is_bit_for_bit_uninterrupted(tmp_path, stop_at):
    whole, expected = run(None)
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=stop_at)
    torch.manual_seed(99)  # el azar del proceso nuevo no importa
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert same_state(resumed, whole)
    last = load_file(tmp_path / "last.safetensors")
    assert all(torch.equal(last[name], value) for name, value in whole.state_dict().items())
    assert {path.name for path in tmp_path.iterdir()} == {
        "last.safetensors",
        "checkpoint.safetensors",
    }


def test_resuming_tells_the_recovered_epochs_and_a_finished_run_only_repeats_them(tmp_path):
    whole, expected = run(tmp_path / "nueva" / "carpeta", resume=True)  # vacía: simplemente empieza
    told = []
    model = little()
    history = training.train(
        model,
        batches(shuffle=True),
        batches(20),
        epochs=4,
        lr=0.1,
        checkpoints=training.Checkpoints(tmp_path / "nueva" / "carpeta", RECIPE, resume=True),
        on_epoch=told.append,
    )
    assert told == history
    assert [(e.number, e.train_loss, e.val_loss, e.val_top1) for e in history] == expected
    assert same_state(model, whole)


def test_without_resume_it_starts_again(tmp_path):
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=2)
    _, again = run(tmp_path)
    assert again == run(None)[1]


@pytest.mark.parametrize(
    ("key", "value"), [("name", "otra"), ("seed", 1), ("epochs", 5), ("subset", "full")]
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, key, value):
    run(tmp_path, epochs=4)
    before = (tmp_path / "checkpoint.safetensors").read_bytes()
    model = little(7)
    untouched = copy.deepcopy(model)
    with pytest.raises(
        training.TrainingError, match=rf"{key} era {RECIPE.get(key)} y ahora es {value}"
    ):
        training.train(
            model,
            batches(),
            batches(),
            epochs=4,
            lr=0.1,
            checkpoints=training.Checkpoints(tmp_path, RECIPE | {key: value}, resume=True),
        )
    assert same_state(model, untouched)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def test_a_damaged_checkpoint_is_refused(tmp_path):
    run(tmp_path)
    path = tmp_path / "checkpoint.safetensors"
    content = path.read_bytes()
    for bad in (content[:-10], b"", b"\x80\x04pickle", content[:7]):
        path.write_bytes(bad)
        with pytest.raises(training.TrainingError, match=rf"{path} está dañado .*bórralo"):
            run(tmp_path, resume=True)
    for metadata in (None, {"otra": "cosa"}):
        save_file({"a": torch.zeros(1)}, path, metadata)
        with pytest.raises(training.TrainingError, match="no es un punto de control"):
            run(tmp_path, resume=True)
    path.unlink()
    path.mkdir()
    with pytest.raises(training.TrainingError, match="no es un punto de control"):
        run(tmp_path, resume=True)


def test_other_sources_of_randomness_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(training.TrainingError, match="otra máquina o con otra clase de lotes"):
        training.train(
            little(),
            [*batches()],
            batches(),
            epochs=4,
            lr=0.1,
            checkpoints=training.Checkpoints(tmp_path, RECIPE, resume=True),
        )


def test_the_checkpoint_holds_no_code_and_says_what_it_is(tmp_path):
    run(tmp_path)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        state = json.loads(file.metadata()["cnnhistory"])
        names = [*file.keys()]
    assert state["recipe"] == RECIPE
    assert [epoch["number"] for epoch in state["history"]] == [1, 2, 3, 4]
    assert {name.split("/")[0] for name in names} == {"model", "momentum", "random"}


KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
import test_training
real, writes = pathlib.Path.replace, []
def replace(path, target):
    writes.append(target)
    if len(writes) == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)  # con el archivo escrito a medio poner
    return real(path, target)
pathlib.Path.replace = replace
test_training.run(pathlib.Path({folder!r}))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows no tiene SIGKILL")
@pytest.mark.parametrize("kill_at", [5, 6])  # los pesos o el punto de control de la tercera época
def test_killed_while_saving_and_resumed_is_bit_for_bit_uninterrupted(tmp_path, kill_at):
    code = KILLED.format(tests=os.path.dirname(__file__), folder=str(tmp_path), kill_at=kill_at)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole, expected = run(None)
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert same_state(resumed, whole)
    assert not [*tmp_path.glob("*.partial")]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="necesita CUDA")
def test_it_trains_and_resumes_on_the_gpu(tmp_path):
    model = models.create("lenet5_modern", num_classes=3).cuda()
    images = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8)
    part = data.Batches(data.Dataset(images, torch.arange(64) % 3, tuple("abc")), 32, device="cuda")
    checkpoints = training.Checkpoints(tmp_path, RECIPE, resume=True)
    for epochs in (1, 1):
        history = training.train(model, part, part, epochs=epochs, lr=0.01, checkpoints=checkpoints)
        assert len(history) == 1
