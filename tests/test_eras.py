"""Las recetas de época: lo que dice cada artículo, y no otra cosa."""

import dataclasses
import statistics

import pytest
import torch
from torch import nn

from cnnhistory import augmentation, cli, data, eras, experiment, models, race
from cnnhistory.models import initialization

torch.set_num_threads(1)


def weighted(model: nn.Module) -> list[nn.Conv2d | nn.Linear]:
    return [m for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def test_every_runner_has_the_recipe_of_its_paper():
    assert set(eras.ERAS) == set(race.RUNNERS) - {"softmax"}
    for era in eras.ERAS.values():
        assert era.source
        assert era.optimizer in experiment.OPTIMIZERS
        assert era.schedule in experiment.SCHEDULES
        assert era.initialization is None or era.initialization in eras.INITIALIZATIONS
        assert era.augment is None or era.augment in augmentation.RECIPES


@pytest.mark.parametrize(("name", "std"), [("alexnet", 0.01), ("zfnet", 0.01), ("nin", 0.05)])
def test_the_signal_of_a_mini_is_that_of_the_whole_network(name, std):
    """La varianza de lo que suma una unidad, F·σ², es la de su capa en la red del artículo."""
    torch.manual_seed(0)
    mini = models.create(f"{name}_mini")
    eras.INITIALIZATIONS[name](mini)
    with torch.device("meta"):
        whole = models.create(name)
    for layer, full in zip(weighted(mini), weighted(whole), strict=True):
        signal = layer.weight[0].numel() * layer.weight.var().item()
        assert signal == pytest.approx(full.weight[0].numel() * std**2, rel=0.35)


def test_the_same_layer_keeps_its_deviation_and_other_layers_are_refused():
    torch.manual_seed(0)
    layer = nn.Sequential(nn.Linear(400, 300))
    initialization.gaussian(layer, 0.03, like=layer)
    assert layer[0].weight.std().item() == pytest.approx(0.03, rel=0.02)
    assert not layer[0].bias.any()
    with pytest.raises(ValueError, match=r"shorter|longer"):
        initialization.gaussian(layer, 0.03, like=nn.Sequential())


def test_alexnet_is_born_with_its_relus_on():
    model = models.create("alexnet_mini")
    eras.INITIALIZATIONS["alexnet"](model)
    biases = [layer.bias for layer in weighted(model)]
    assert [bias.unique().item() for bias in biases if bias is not None] == [0, 1, 0, 1, 1, 1, 1, 0]


def test_xavier_is_the_uniform_of_glorot():
    layer = nn.Sequential(nn.Conv2d(8, 16, 3))
    initialization.xavier_uniform(layer)
    bound = (6 / (8 * 9 + 16 * 9)) ** 0.5
    weight = layer[0].weight
    assert weight.abs().max().item() <= bound
    assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.1)
    assert not layer[0].bias.any()


def rates(schedule, steps: int) -> list[float]:
    optimizer = eras.plain(nn.Linear(1, 1), 1.0, 0.0)
    plan, seen = schedule(optimizer, steps), []
    for _ in range(steps):
        seen.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        plan.step()
    return seen


def test_the_rate_falls_by_ten_at_the_middle_and_at_three_quarters():
    assert rates(eras.steps_down, 8) == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.01, 0.01])
    assert rates(eras.constant, 5) == [1] * 5


@pytest.mark.parametrize(("optimizer", "moved"), [(eras.plain, 0.1), (eras.momentum, 0.19)])
def test_the_old_optimizers_by_hand(optimizer, moved):
    """Dos pasos con el mismo gradiente y tasa 0.1; con momento, el segundo recuerda el 90 %."""
    model = nn.Linear(1, 1, bias=True)
    rule = optimizer(model, 0.1, 0.0)
    for _ in range(2):
        before = model.bias.item()
        model.bias.grad, model.weight.grad = torch.ones(1), torch.zeros(1, 1)
        rule.step()
    assert before - model.bias.item() == pytest.approx(moved)
    decayed = optimizer(nn.Linear(1, 1), 0.1, 0.5).param_groups
    assert [group["weight_decay"] for group in decayed] == [0.5]  # también los sesgos


def test_as_published_changes_the_recipe_and_nothing_else():
    today = experiment.Experiment("vgg_mini", seed=3, epochs=2, label_smoothing=0.1, mix="mixup")
    old = today.as_published()
    assert (old.name, old.seed, old.epochs, old.batch_size) == ("vgg_mini", 3, 2, 128)
    assert (old.lr, old.weight_decay, old.initialization) == (0.01, 5e-4, "xavier")
    assert (old.label_smoothing, old.mix, old.schedule) == (0.0, None, "steps")
    with pytest.raises(ValueError, match=r"receta de época para «softmax».*lenet5"):
        dataclasses.replace(today, name="softmax").as_published()


def test_a_race_as_published_runs_with_each_recipe(monkeypatch, tmp_path, capsys):
    train, test = data.fashion_mnist()
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda _: (train[:200], test[:60])})
    asked = ["--networks", "lenet5,vgg_mini", "--seeds", "1", "--epochs", "1"]
    assert cli.main(["race", str(tmp_path), *asked, "--as-published"]) == 0
    runs = {run.recipe["name"]: run for run in race.load(tmp_path)}
    assert runs["lenet5"].recipe["optimizer"] == "plain"
    assert runs["vgg_mini"].recipe["initialization"] == "xavier"
    assert all(run.test for run in runs.values())
    # La misma carpeta no mezcla recetas.
    assert cli.main(["race", str(tmp_path), *asked]) == 1
    assert "es de otra carrera (cambia" in capsys.readouterr().err


def test_a_race_as_published_takes_no_other_recipe(tmp_path, capsys):
    asked = ["race", str(tmp_path), "--as-published", "--networks", "lenet5"]
    assert cli.main([*asked, "--lr", "0.1", "--schedule", "cosine"]) == 1
    assert "quita --lr y --schedule" in capsys.readouterr().err
    assert [*tmp_path.iterdir()] == []


def test_all_may_race_with_the_recipe_of_one_paper(monkeypatch, tmp_path):
    train, test = data.fashion_mnist()
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda _: (train[:200], test[:60])})
    asked = ["--networks", "softmax,resnet_mini", "--seeds", "1", "--epochs", "1"]
    assert cli.main(["race", str(tmp_path), *asked, "--recipe-of", "vgg_mini"]) == 0
    own = experiment.Experiment("vgg_mini", epochs=1).as_published().recipe()
    for run in race.load(tmp_path):
        assert run.recipe == own | {"name": run.recipe["name"]}


def test_as_published_all_that_have_a_paper_race(monkeypatch, tmp_path):
    raced = []
    monkeypatch.setattr(race, "run_all", lambda _folder, names, *_, **__: raced.extend(names) or [])
    assert cli.main(["race", str(tmp_path), "--as-published"]) == 0
    assert raced == [*eras.ERAS]


def test_the_initialization_is_applied_before_training(monkeypatch):
    train, test = data.fashion_mnist()
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda _: (train[:200], test[:60])})
    described = experiment.Experiment("vgg_mini", epochs=1, lr=1e-12, initialization="xavier")
    model = experiment.run(described, described.parts("cpu"), "cpu").model
    for layer in weighted(model):
        outs, ins = layer.weight.shape[0], layer.weight[0].numel()
        outs *= layer.weight[0, 0].numel()
        spread = (2 / (ins + outs)) ** 0.5
        assert layer.weight.std().item() == pytest.approx(spread, rel=0.25)
    born = statistics.mean(
        layer.weight.std().item() for layer in weighted(models.create("vgg_mini"))
    )
    assert born != pytest.approx(
        statistics.mean(layer.weight.std().item() for layer in weighted(model)), rel=0.1
    )
