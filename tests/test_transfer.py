"""La transferencia: lo congelado no cambia ni un bit, y la cabeza nueva es la que debe ser."""

import copy
import math
import pickle

import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from cnnhistory import data, inspection, models, training, transfer, weights
from cnnhistory.checkpoints import Checkpoints
from cnnhistory.models.googlenet import AuxiliaryHead

torch.set_num_threads(1)

MINIS = [name for name in models.names() if name.endswith("_mini")]
QUICK = ["lenet5", "lenet5_modern", "lenet5_bn", *MINIS]


def small_net(name: str = "lenet5_bn", seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return models.create(name)


def dataset(name: str, num_classes: int = 4, count: int = 12) -> data.Dataset:
    return data.synthetic(count, models.CATALOG[name].input_shape, num_classes, seed=1)


def fit(model: nn.Module, images: data.Dataset, **options) -> list[training.Epoch]:
    batches = data.Batches(images, 6, shuffle=True, seed=2)
    return training.train(model, batches, batches, **{"epochs": 2, "lr": 0.01} | options)


def state_of(model: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], model: nn.Module) -> set[str]:
    after = model.state_dict()
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}


# --- La cabeza -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", models.names())
def test_every_net_of_the_catalogue_becomes_the_one_created_for_those_classes(name):
    """Las formas son las de la red que se habría creado así; lo que no es cabeza, ni se toca."""
    classes = 7
    with torch.device("meta"):
        model = models.create(name)
        expected = models.create(name, num_classes=classes)
    before = dict(model.named_parameters())
    transfer.replace_head(model, classes)
    after = dict(model.named_parameters())
    if name == "lenet5":  # sus códigos fijos se cambian por una densa
        assert after["output.weight"].shape == (classes, 84)
        assert {key for key in after if key not in before} == {"output.weight", "output.bias"}
        return
    assert {k: v.shape for k, v in after.items()} == {
        k: v.shape for k, v in expected.named_parameters()
    }
    fresh = {key for key in after if after[key] is not before[key]}
    sized = {key for key in after if before[key].shape != after[key].shape}
    assert fresh == sized
    assert all(parameter.device.type == "meta" for parameter in after.values())


@pytest.mark.parametrize("name", QUICK)
def test_the_new_head_scores_the_new_classes_from_the_same_features(name):
    model = small_net(name)
    before = state_of(model)
    transfer.replace_head(model, 3)
    image = torch.randn(2, *models.CATALOG[name].input_shape)
    assert model.eval()(image).shape == (2, 3)
    kept = model.state_dict()
    same = [key for key in before if key in kept and before[key].shape == kept[key].shape]
    assert all(torch.equal(before[key], kept[key]) for key in same)
    assert len(same) >= len(before) - 2


def test_the_auxiliary_heads_of_googlenet_change_too():
    torch.manual_seed(0)
    model = models.create("googlenet_bn_aux")
    transfer.replace_head(model, 3)
    scores = model.train()(torch.randn(2, 3, 64, 64))
    assert [tuple(score.shape) for score in scores] == [(2, 3)] * 3
    assert sum(isinstance(module, AuxiliaryHead) for module in model.modules()) == 2


@pytest.mark.parametrize("name", ["resnet_mini", "lenet5_modern", "nin_mini", "allcnn_mini"])
def test_the_new_head_is_born_like_those_of_the_package(name):
    """Misma semilla y mismos sorteos: la capa nueva es la que tendría la red recién creada."""
    model = small_net(name)
    old = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    with torch.no_grad():
        old.weight.fill_(9)
    transfer.replace_head(model, 1000)
    new = [layer for layer in model.modules() if isinstance(layer, nn.Linear | nn.Conv2d)][-1]
    expected = 0.01 if isinstance(new, nn.Linear) else math.sqrt(2 / new.in_channels)
    assert new is not old
    assert new.weight.std().item() == pytest.approx(expected, rel=0.05)
    assert not new.bias.any()


def test_the_head_keeps_the_device_and_type_of_the_old_one():
    model = small_net("resnet_mini").double()
    transfer.replace_head(model, 3)
    assert model(torch.randn(2, 1, 28, 28, dtype=torch.float64)).dtype == torch.float64


@pytest.mark.parametrize("count", [1, 0, -3, 2.0, True, "5"])
def test_fewer_than_two_classes_are_refused_and_nothing_changes(count):
    model = small_net()
    before = state_of(model)
    with pytest.raises(ValueError, match="al menos dos clases"):
        transfer.replace_head(model, count)
    assert not changed(before, model)


def test_a_net_without_layers_has_no_head():
    with pytest.raises(ValueError, match="no hay última capa"):
        transfer.replace_head(nn.Sequential(nn.ReLU()), 3)


# --- Congelar ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUICK)
def test_what_is_frozen_is_bit_for_bit_the_same_after_training(name):
    model = small_net(name)
    transfer.replace_head(model, 4)
    transfer.freeze(model)
    before = state_of(model)
    fit(model, dataset(name))
    head = {f"{transfer._heads(model)[-1]}.{part}" for part in ("weight", "bias")}
    assert changed(before, model) == head


@pytest.mark.parametrize("name", [name for name in QUICK if name != "lenet5"])
def test_freezing_half_way_leaves_the_rest_learning(name):
    model = small_net(name)
    rows = inspection.shape_table(model, models.CATALOG[name].input_shape)
    weighted = [row.name for row in rows if row.parameters]
    upto = weighted[len(weighted) // 2]
    transfer.freeze(model, upto)
    names = [key for key, _ in model.named_modules()]
    first = set(names[: names.index(upto) + 1])
    before = state_of(model)
    fit(model, dataset(name, 10))
    moved = {key.rpartition(".")[0] for key in changed(before, model)}
    assert moved
    assert not moved & first
    trainable = {key.rpartition(".")[0] for key, p in model.named_parameters() if p.requires_grad}
    assert moved <= trainable | set(names) - first
    assert weighted[-1] in moved


@pytest.mark.parametrize("name", ["lenet5_bn", "resnet_mini", "densenet_mini"])
def test_without_freezing_the_statistics_those_of_a_still_net_would_move(name):
    """La trampa: sin gradientes, la normalización por lotes cambia igual."""
    careless, careful = small_net(name), small_net(name)
    for parameter in careless.parameters():
        parameter.requires_grad_(False)
    transfer.freeze(careful)
    images = torch.randn(8, *models.CATALOG[name].input_shape)
    for model in (careless, careful):
        before = state_of(model)
        model.train()
        with torch.no_grad():
            model(images)
        assert bool(changed(before, model)) == (model is careless)


def test_frozen_normalization_does_not_depend_on_its_companions_in_the_batch():
    model = small_net("lenet5_bn")
    transfer.freeze(model)
    model.train()
    images = torch.randn(8, 1, 28, 28)
    together, alone = model(images), model(images[:1])
    torch.testing.assert_close(together[:1], alone, rtol=1e-4, atol=1e-5)


def test_train_and_eval_go_through_the_frozen_layers_and_dropout_stays_alive():
    model = small_net("alexnet_mini")
    transfer.freeze(model)
    assert all(m.training for m in model.train().modules() if isinstance(m, nn.Dropout))
    assert not any(m.training for m in model.eval().modules())
    model = small_net("lenet5_bn")
    transfer.freeze(model, upto="features.1")
    model.train()
    assert not model.features[1].training
    assert model.features[5].training


def test_a_container_with_statistics_of_its_own_freezes_them_and_not_its_children():
    class Centered(nn.Module):
        """Resta una media que acumula, y clasifica con dropout."""

        def __init__(self):
            super().__init__()
            self.register_buffer("mean", torch.zeros(()))
            self.features = nn.Linear(2, 3)
            self.head = nn.Sequential(nn.Dropout(0.5), nn.Linear(3, 2))

        def forward(self, x):
            if self.training:
                self.mean += x.mean()
            return self.head(self.features(x - self.mean))

    model = Centered()
    transfer.freeze(model)
    before = state_of(model)
    model.train()(torch.ones(4, 2))
    assert not changed(before, model)
    assert model.head[0].training
    transfer.unfreeze(model)
    model.train()(torch.ones(4, 2))
    assert changed(before, model) == {"mean"}


def test_copies_and_files_of_a_frozen_net_are_frozen():
    model = small_net("lenet5_bn")
    transfer.freeze(model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        before = state_of(twin)
        twin.train()(torch.randn(4, 1, 28, 28))
        assert not changed(before, twin)
        transfer.unfreeze(twin)
        twin.train()(torch.randn(4, 1, 28, 28))
        assert changed(before, twin)
    before = state_of(model)
    model.train()(torch.randn(4, 1, 28, 28))
    assert not changed(before, model)  # descongelar la copia no descongela el original


def test_unfreeze_gives_back_the_net_it_found():
    model = small_net("resnet_mini")
    transfer.freeze(model)
    transfer.unfreeze(model)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.modules())
    assert not any("train" in vars(module) for module in model.modules())
    before = state_of(model)
    fit(model, dataset("resnet_mini", 10))
    assert changed(before, model) == set(before)
    model.eval()
    transfer.freeze(model)
    transfer.unfreeze(model)
    assert not any(module.training for module in model.modules())


def test_evaluating_a_frozen_net_leaves_it_frozen():
    model = small_net("lenet5_bn")
    transfer.freeze(model)
    training.evaluate(model, data.Batches(dataset("lenet5_bn"), 6))
    before = state_of(model)
    model.train()(torch.randn(4, 1, 28, 28))
    assert not changed(before, model)


def test_upto_a_container_includes_all_that_is_inside():
    model = small_net("resnet_mini")
    transfer.freeze(model, upto="stages.0")
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    expected = {n for n, _ in model.named_parameters() if n.startswith(("stem.", "stages.0."))}
    assert frozen == expected


def test_an_unknown_layer_suggests_the_nearest_or_lists_what_there_is():
    model = small_net("resnet_mini")
    with pytest.raises(ValueError, match=r"no tiene una capa «stage\.0»; ¿quisiste decir .*stages"):
        transfer.freeze(model, upto="stage.0")
    with pytest.raises(ValueError, match=r"«xyzxyz»; hay: stem, stages, head"):
        transfer.freeze(model, upto="xyzxyz")
    with pytest.raises(ValueError, match="no tiene una capa «»"):
        transfer.freeze(model, upto="")
    assert all(parameter.requires_grad for parameter in model.parameters())


@pytest.mark.parametrize("upto", ["head", "head.2"])
def test_freezing_everything_is_refused_and_nothing_is_frozen(upto):
    model = small_net("resnet_mini")
    with pytest.raises(ValueError, match="no queda nada que entrenar"):
        transfer.freeze(model, upto=upto)
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert all(module.training for module in model.train().modules())


def test_the_original_lenet_has_no_head_that_learns_until_it_is_replaced():
    model = small_net("lenet5")
    with pytest.raises(ValueError, match="replace_head"):
        transfer.freeze(model)
    transfer.replace_head(model, 4)
    transfer.freeze(model)


# --- Tasas discriminativas -----------------------------------------------------------------------


def rates(model: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, float]:
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {names[p]: group["lr"] for group in optimizer.param_groups for p in group["params"]}


def test_rates_by_hand():
    model = small_net("lenet5_modern")
    found = rates(model, transfer.discriminative(factor=2.0, groups=3)(model, 0.8, 0.0))
    expected = {
        "features.0": 0.2,
        "features.3": 0.2,
        "classifier.1": 0.4,
        "classifier.3": 0.4,
        "classifier.5": 0.8,
    }
    assert {key.rpartition(".")[0]: pytest.approx(rate) for key, rate in found.items()} == expected
    assert len(found) == 10


@pytest.mark.parametrize("name", [name for name in QUICK if name != "lenet5"])
@pytest.mark.parametrize("groups", [2, 4])
def test_rates_grow_with_depth_and_every_parameter_is_in_one_group(name, groups):
    model = small_net(name)
    optimizer = transfer.discriminative(3.0, groups)(model, 0.1, 1e-3)
    found = rates(model, optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"]]
    assert len(parameters) == len(set(parameters)) == len(list(model.parameters()))
    in_order = [found[key] for key, _ in model.named_parameters()]
    assert in_order == sorted(in_order)
    assert sorted(set(in_order)) == pytest.approx([0.1 / 3**k for k in reversed(range(groups))])
    head = transfer._heads(model)[-1]
    assert {k for k in found if found[k] == 0.1} == {f"{head}.weight", f"{head}.bias"}
    for group in optimizer.param_groups:  # lo demás, como make_optimizer
        assert group["momentum"] == 0.9
        assert group["nesterov"]
        assert all(p.ndim > 1 for p in group["params"]) or group["weight_decay"] == 0
        assert all(p.ndim <= 1 for p in group["params"]) or group["weight_decay"] == 1e-3


def test_a_factor_of_one_is_the_ordinary_recipe_bit_for_bit():
    ordinary, discriminative = small_net("resnet_mini"), small_net("resnet_mini")
    fit(ordinary, dataset("resnet_mini", 10))
    options = {"optimizer": transfer.discriminative(factor=1, groups=3)}
    fit(discriminative, dataset("resnet_mini", 10), **options)
    assert not changed(state_of(ordinary), discriminative)


def test_the_plan_respects_the_rate_of_each_group():
    model = small_net("lenet5_modern")
    optimizer = transfer.discriminative(2.0, 3)(model, 0.8, 0.0)
    plan = training.one_cycle(optimizer, 20)
    peaks = {id(group): 0.0 for group in optimizer.param_groups}
    for _ in range(20):
        for group in optimizer.param_groups:
            peaks[id(group)] = max(peaks[id(group)], group["lr"])
        optimizer.step()
        plan.step()
    assert sorted(set(peaks.values())) == pytest.approx([0.2, 0.4, 0.8])


def test_frozen_layers_do_not_count():
    model = small_net("lenet5_modern")
    transfer.freeze(model, upto="features")
    found = rates(model, transfer.discriminative(10, groups=3)(model, 1.0, 0.0))
    layers = {key.rpartition(".")[0]: pytest.approx(rate) for key, rate in found.items()}
    assert layers == {"classifier.1": 0.01, "classifier.3": 0.1, "classifier.5": 1.0}


def test_resuming_with_these_rates_gives_the_same_bits(tmp_path):
    def run(folder, *, stop_at=None, resume=False):
        model = small_net("lenet5_bn")
        transfer.replace_head(model, 4)
        transfer.freeze(model, upto="features.4")

        def stop(epoch):
            if epoch.number == stop_at:
                raise InterruptedError

        history = fit(
            model,
            dataset("lenet5_bn"),
            epochs=4,
            optimizer=transfer.discriminative(groups=3),
            checkpoints=folder and Checkpoints(folder, {"red": "lenet5_bn"}, resume),
            on_epoch=stop,
        )
        return model, [(epoch.train_loss, epoch.val_loss) for epoch in history]

    whole, expected = run(None)
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=2)
    torch.manual_seed(99)
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert not changed(state_of(whole), resumed)
    last = load_file(tmp_path / "last.safetensors")
    assert all(torch.equal(last[key], value) for key, value in whole.state_dict().items())


@pytest.mark.parametrize("factor", [0.5, 0, -2.6, math.inf, math.nan])
def test_a_wrong_factor_is_refused_before_there_is_a_net(factor):
    with pytest.raises(ValueError, match="factor"):
        transfer.discriminative(factor)


@pytest.mark.parametrize("groups", [1, 0, -1, 2.5, "3"])
def test_wrong_groups_are_refused_before_there_is_a_net(groups):
    with pytest.raises(ValueError, match="groups"):
        transfer.discriminative(groups=groups)


def test_more_groups_than_layers_are_refused():
    model = small_net("lenet5_modern")
    transfer.freeze(model)
    with pytest.raises(ValueError, match=r"4 grupos necesitan .* quedan 0"):
        fit(model, dataset("lenet5_modern", 10), optimizer=transfer.discriminative())


def test_training_with_nothing_left_to_train_says_so():
    model = small_net("lenet5_modern").requires_grad_(False)
    with pytest.raises(ValueError, match="no queda nada que entrenar"):
        fit(model, dataset("lenet5_modern", 10))


# --- Los pesos de ImageNet -----------------------------------------------------------------------


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "googlenet_bn_aux"])
def test_from_torchvision_to_a_new_task(name):
    """Lo que hace quien parte de ImageNet, con pesos al azar en lugar de descargados."""
    torch.manual_seed(0)
    build = getattr(torchvision.models, name.split("_")[0])
    options = {"aux_logits": True, "init_weights": False} if "googlenet" in name else {}
    theirs = build(weights=None, **options)
    model = models.create(name)
    model.load_state_dict(weights.convert(name, theirs.state_dict()))
    photos = data.synthetic(8, (3, 64, 64), 3)
    normalize = weights.normalization(name)

    transfer.replace_head(model, 3)
    transfer.freeze(model)
    before = state_of(model)
    batches = data.Batches(photos, 4, shuffle=True, transform=normalize)
    (epoch,) = training.train(model, batches, batches, epochs=1, lr=0.01)
    heads = {f"{head}.{part}" for head in transfer._heads(model) for part in ("weight", "bias")}
    assert changed(before, model) == heads
    assert math.isfinite(epoch.val_loss)

    # Lo congelado es, todavía, la red de torchvision: las mismas características.
    images = normalize(photos.images.float() / 255)
    head = transfer._heads(model)[-1].rpartition(".")[0]
    seen = {}
    model.get_submodule(head)[-1].register_forward_pre_hook(lambda _, x: seen.update(ours=x[0]))
    last = getattr(theirs, "fc", None) or theirs.classifier
    last.register_forward_pre_hook(lambda _, x: seen.update(theirs=x[0]))
    with torch.inference_mode():
        model.eval()(images)
        theirs.eval()(images)
    torch.testing.assert_close(seen["ours"], seen["theirs"], rtol=1e-4, atol=1e-5)


def test_transfer_learns_what_the_frozen_features_allow():
    """Con características que separan las clases, basta la cabeza: pérdida de la mitad."""
    model = small_net("lenet5_modern")
    images = dataset("lenet5_modern", 2, 20)
    flat = images.images.clone()
    flat[images.labels == 0] //= 8  # unas oscuras y otras no
    easy = data.Dataset(flat, images.labels, images.classes)
    transfer.replace_head(model, 2)
    transfer.freeze(model)
    history = fit(model, easy, epochs=10, lr=0.1)
    assert history[-1].val_top1 == 1
    assert history[-1].val_loss < F.cross_entropy(torch.zeros(1, 2), torch.zeros(1).long()) / 2
