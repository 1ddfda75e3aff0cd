"""Un entrenamiento descrito con datos, de la descripción a la medida en prueba."""

import json
import platform
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from cnnhistory import augmentation, cli, data, distributed, experiment, models, training
from cnnhistory.experiment import Experiment

torch.set_num_threads(1)


@pytest.fixture
def few(monkeypatch):
    """Los datos de verdad, pero pocos."""
    train, test = data.fashion_mnist()
    monkeypatch.setattr(
        experiment, "SOURCES", {"fashion": lambda _subset: (train[:200], test[:60])}
    )


@pytest.fixture
def photos(tmp_path):
    """Un árbol de fotos: rojas y azules, con val y test."""
    generator = torch.Generator().manual_seed(0)
    for part, count in (("train", 24), ("val", 8), ("test", 8)):
        for name, channel in (("azul", 2), ("rojo", 0)):
            folder = tmp_path / "fotos" / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                pixels = torch.randint(0, 90, (40, 48, 3), dtype=torch.uint8, generator=generator)
                pixels[..., channel] += 150
                Image.fromarray(pixels.numpy()).save(folder / f"{index}.jpg")
    return tmp_path / "fotos"


def run(described: Experiment, **options) -> experiment.Result:
    return experiment.run(described, described.parts("cpu"), "cpu", **options)


def test_the_recipe_is_json_and_has_the_rate_of_the_card():
    recipe = Experiment("lenet5").recipe()
    assert json.loads(json.dumps(recipe)) == recipe
    assert recipe["lr"] == 0.005
    assert Experiment("lenet5", lr=0.5).recipe()["lr"] == 0.5
    assert recipe == Experiment("lenet5", workers=3).recipe()  # no cambian los bits
    with pytest.raises(ValueError, match="¿quisiste decir"):
        Experiment("lenet6").recipe()


def test_a_run_is_the_loop_with_that_recipe(few):
    counted = []
    described = Experiment("lenet5_modern", seed=3, epochs=2, batch_size=50, lr=0.1)
    result = run(described, on_batch=lambda loss, images: counted.append((loss.item(), images)))
    assert [images for _, images in counted] == [50, 50, 50, 29] * 2  # la revisión previa no cuenta
    first = sum(loss * images for loss, images in counted[:4]) / 179
    assert first == pytest.approx(result.history[0].train_loss)

    train, test = experiment.SOURCES["fashion"]("mini")
    train, validation = data.split(train, 0.1, seed=3)
    normalize = data.normalization(train)
    torch.manual_seed(3)
    model = models.create("lenet5_modern").to(memory_format=torch.channels_last)
    history = training.train(
        model,
        data.Batches(train, 50, shuffle=True, seed=3, transform=normalize),
        data.Batches(validation, 50, transform=normalize),
        epochs=2,
        lr=0.1,
    )
    assert [e.val_loss for e in result.history] == [e.val_loss for e in history]
    assert result.test == training.evaluate(model, data.Batches(test, 50, transform=normalize))


def test_every_choice_changes_the_run(few):
    plain = Experiment("lenet5_modern", epochs=1, batch_size=60)
    choices = {
        "schedule": "cosine",
        "augment": "flip",
        "mix": "cutmix",
        "label_smoothing": 0.1,
        "clip_norm": 0.01,
        "weight_decay": 0.5,
        "seed": 1,
        "lr": 0.2,
    }
    losses = {"": run(plain).history[0].train_loss}
    for name, value in choices.items():
        described = Experiment(**{**vars(plain), name: value})
        losses[name] = run(described).history[0].train_loss
    assert len(set(losses.values())) == len(losses)


def test_only_training_images_are_augmented(few):
    parts = Experiment("lenet5_modern", augment="erasing", mix="mixup").parts("cpu")
    assert isinstance(parts.train, augmentation.Mixed)
    images, labels = next(iter(parts.train))
    assert labels.shape == (len(images), 10)
    for batches in (parts.validation, parts.test):
        assert torch.equal(next(iter(batches))[0], next(iter(batches))[0])


def test_noise_measures_the_loop_at_the_size_of_the_network():
    parts = Experiment("alexnet_mini", dataset="synthetic").parts("cpu")
    images, _ = next(iter(parts.train))
    assert images.shape[1:] == (1, 28, 28)
    assert parts.images == pytest.approx(4500, abs=10)
    assert parts.num_classes == 10


def test_the_side_asked_for_is_the_side_that_the_network_sees(few):
    for name, side in (("resnet_mini", 40), ("resnet_mini", 28), ("resnet20", None)):
        parts = Experiment(name, side=side).parts("cpu")
        expected = side or models.CATALOG[name].input_shape[1]
        for batches in (parts.train, parts.validation, parts.test):
            assert next(iter(batches))[0].shape[1:] == (1, expected, expected)
    result = run(Experiment("resnet_mini", epochs=1, side=20))
    assert 0 <= result.test.top1 <= 1


def test_a_side_that_the_network_refuses_is_said_before_reading_anything(monkeypatch, capsys):
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda _subset: pytest.fail("leyó")})
    with pytest.raises(ValueError, match="alexnet admite imágenes de lado de 227 a 258 píxeles"):
        Experiment("alexnet", side=224).parts("cpu")
    assert cli.main(["train", "lenet5", "--side", "28", "--epochs", "1"]) == 1
    assert "de 32 a 35 píxeles, y se pidió 28" in capsys.readouterr().err


def test_a_tree_of_photos_trains_from_the_terminal_and_is_measured_again(photos, tmp_path, capsys):
    arguments = ["resnet20", "--dataset", str(photos), "--batch-size", "12"]
    keep = tmp_path / "pesos"
    options = ["--epochs", "3", "--workers", "1", "--checkpoints", str(keep)]
    assert cli.main(["train", *arguments, *options]) == 0
    *_, test, where = capsys.readouterr().out.splitlines()
    assert float(test.split("top-1 ")[1].split("%")[0]) > 80  # rojo o azul: es fácil
    weights = where.removeprefix("pesos en ")
    assert cli.main(["evaluate", *arguments, "--weights", weights]) == 0
    validation, again = capsys.readouterr().out.splitlines()
    assert validation.startswith("validación: top-1 ")
    assert again == test

    assert cli.main(["evaluate", "resnet20", "--weights", weights]) == 1
    assert "no son de resnet20 con 10 clases y un canal" in capsys.readouterr().err
    assert cli.main(["train", *arguments, "--augment", "flip"]) == 1
    assert "ya se aumenta" in capsys.readouterr().err


@pytest.mark.parametrize("part", ["val", "test"])
def test_a_damaged_photo_to_measure_with_is_said_before_training(photos, part):
    damaged = photos / part / "rojo" / "7.jpg"
    damaged.write_bytes(damaged.read_bytes()[:-300])
    described = Experiment("resnet20", str(photos), epochs=1, batch_size=8)
    with pytest.raises(data.DataError, match=r"rojo/7\.jpg está truncada o dañada"):
        run(described, on_batch=lambda *_: pytest.fail("ya entrenaba"))


def test_the_normalization_of_a_tree_does_not_depend_on_the_batch(photos):
    """Con lotes de 47, de las 48 fotos el bucle salta la última; la normalización, no."""
    seen = {
        tuple(Experiment("resnet20", str(photos), batch_size=size).parts("cpu").normalize.mean)
        for size in (8, 47)
    }
    assert len(seen) == 1


def test_a_tree_of_one_class_is_refused(photos):
    for part in ("train", "val", "test"):
        shutil.rmtree(photos / part / "rojo")
    with pytest.raises(ValueError, match="una sola clase, «azul»"):
        Experiment("resnet20", dataset=str(photos)).parts("cpu")


def test_every_process_normalizes_a_tree_the_same_way(photos, monkeypatch):
    means = []
    for shard in ((0, 1), (0, 2), (1, 2)):
        monkeypatch.setattr(distributed, "shard", lambda shard=shard: shard)
        parts = Experiment("resnet20", dataset=str(photos), batch_size=16).parts("cpu")
        means.append(parts.train.transform.mean)
        assert parts.train.plan.shard == shard
    assert means[0] == means[1] == means[2]


def test_several_processes_may_check_the_same_folder_at_once(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        checks = [pool.submit(cli._check_writable, tmp_path) for _ in range(400)]
    assert [check.result() for check in checks] == [None] * 400
    assert [*tmp_path.iterdir()] == []


def test_a_tree_without_test_is_only_validated(photos, capsys):
    for name in ("azul", "rojo"):
        for path in (photos / "test" / name).iterdir():
            path.unlink()
        (photos / "test" / name).rmdir()
    (photos / "test").rmdir()
    described = Experiment("resnet20", dataset=str(photos), epochs=1, batch_size=16)
    assert run(described).test is None


def test_a_last_batch_of_one_image_is_skipped(few):
    """180 imágenes en lotes de 179: con una sola, la normalización de la densa no puede."""
    counted = []
    run(
        Experiment("lenet5_bn", epochs=1, batch_size=179),
        on_batch=lambda _, images: counted.append(images),
    )
    assert counted == [179]


@pytest.mark.skipif(sys.platform != "linux", reason="solo Linux limita la memoria de un proceso")
def test_memory_that_is_really_not_enough_is_explained(tmp_path):
    code = (
        "import resource, sys, torch\n"
        "from cnnhistory import cli\n"
        "torch.set_num_threads(1)\n"
        "used = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "limit = used + int(sys.argv[1]) * 2**20\n"
        "resource.setrlimit(resource.RLIMIT_AS, (limit, limit))\n"
        "sys.exit(cli.main(sys.argv[2:]))\n"
    )
    asked = ["train", "resnet_mini", "--side", "96", "--batch-size", "1024", "--epochs", "1"]
    ended = subprocess.run(
        [sys.executable, "-c", code, "700", *asked], capture_output=True, text=True
    )
    assert ended.returncode == 1, ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert re.search(
        r"no alcanza la memoria; probablemente cabe un lote de (512|256|128|64)$", last
    )


def test_the_weights_remember_which_images_validate_and_at_which_side(few, tmp_path, capsys):
    arguments = ["resnet_mini", "--batch-size", "50"]
    recipe = ["--seed", "7", "--side", "20", "--epochs", "1", "--checkpoints", str(tmp_path)]
    assert cli.main(["train", *arguments, *recipe]) == 0
    epoch, test, _ = capsys.readouterr().out.splitlines()
    weights = tmp_path / "last.safetensors"
    assert cli.main(["evaluate", *arguments, "--weights", str(weights)]) == 0
    validation, again = capsys.readouterr().out.splitlines()
    assert again == test
    assert re.search(r"top-1 [\d.]+%", validation)[0] in epoch
    assert cli.main(["evaluate", *arguments, "--weights", str(weights), "--side", "28"]) == 0
    assert capsys.readouterr().out.splitlines()[1] != test

    # Unos pesos sin receta pudieron entrenarse con cualquier imagen que no sea de prueba.
    save_file(load_file(weights), weights)
    assert cli.main(["evaluate", *arguments, "--weights", str(weights), "--side", "20"]) == 0
    validation, again = capsys.readouterr().out.splitlines()
    assert "no se mide" in validation
    assert again.split(",")[0] == test.split(",")[0]  # la pérdida cambia: normaliza con otra parte


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "no existe"), (b"roto", "está dañado o no es un archivo safetensors")],
)
def test_bad_weights_are_explained(few, tmp_path, capsys, content, message):
    path = tmp_path / "pesos.safetensors"
    if content:
        path.write_bytes(content)
    assert cli.main(["evaluate", "softmax", "--weights", str(path)]) == 1
    assert message in capsys.readouterr().err


def test_compiling_changes_the_speed_and_not_the_names(few, monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, mode: calls.append((type(self).__name__, mode))
    )
    calls = []
    keep = ["--checkpoints", str(tmp_path)]
    assert cli.main(["train", "softmax", "--epochs", "1", "--compile", *keep]) == 0
    assert calls == [("SoftmaxRegression", "default")]


def test_without_a_compiler_it_says_what_to_install(few, monkeypatch, capsys):
    monkeypatch.setattr("torch._inductor.config.cpp.cxx", ("/no/hay",))
    monkeypatch.setattr("torch._inductor.config.force_disable_caches", True)
    assert cli.main(["train", "softmax", "--epochs", "1", "--compile"]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("cnnhistory: torch.compile no pudo con la red aquí (")
    assert error.endswith("en Debian g++, o quita --compile")


def test_on_cuda_the_same_seed_asks_for_the_same_bits(monkeypatch):
    asked = {}
    monkeypatch.setattr(
        torch, "use_deterministic_algorithms", lambda mode, warn_only: asked.update(mode=mode)
    )
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":16:8")
    monkeypatch.setattr(torch, "set_float32_matmul_precision", lambda kind: asked.update(kind=kind))
    experiment._make_repeatable("cpu")
    assert asked == {}
    experiment._make_repeatable("cuda:0")
    assert asked == {"mode": True, "kind": "high"}
    assert torch.backends.cudnn.benchmark is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="es un ajuste de glibc")
def test_the_kept_memory_is_not_asked_for_again():
    """Las páginas que el sistema entrega con cada tensor de 128 MB, antes y después del ajuste."""
    code = (
        "import resource, torch\n"
        "from cnnhistory import experiment\n"
        "def asked():\n"
        "    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
        "    torch.ones(2**25)\n"
        "    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before\n"
        "asked()\n"
        "usual = asked()\n"
        "experiment.keep_memory()\n"
        "print(usual, min(asked() for _ in range(5)))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    usual, kept = map(int, ended.stdout.split())
    assert kept < usual / 20


def test_other_photos_under_the_same_path_are_another_training(photos):
    described = Experiment("lenet5_modern", str(photos), epochs=1, batch_size=4)
    before = described.parts("cpu").identity()
    assert before == described.parts("cpu").identity()
    (folder, *_) = sorted((photos / "train").iterdir())
    next(folder.iterdir()).unlink()
    fewer = described.parts("cpu").identity()
    assert fewer["images"] == before["images"] - 1
    for part in ("train", "val", "test"):
        (photos / part / folder.name).rename(photos / part / f"z{folder.name}")
    assert described.parts("cpu").identity()["classes"] != before["classes"]


def test_a_photo_in_the_place_of_another_is_another_training(photos):
    described = Experiment("lenet5_modern", str(photos), epochs=1, batch_size=4)
    before = described.parts("cpu").identity()
    shutil.copy(photos / "train/azul/0.jpg", photos / "train/rojo/1.jpg")
    changed = described.parts("cpu").identity()
    assert {key for key in before if before[key] != changed[key]} == {"photos"}
