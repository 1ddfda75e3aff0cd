"""La carrera: cada corrida queda escrita, nada se repite y divergir también es un resultado."""

import json
import re

import pytest
import torch
from PIL import Image

from cnnhistory import cli, data, experiment, inspection, models, race, training

torch.set_num_threads(1)
TEMPLATE = experiment.Experiment("softmax", epochs=2, batch_size=60)


@pytest.fixture
def few(monkeypatch):
    """Los datos de verdad, pero pocos; y cuántas veces se leyeron."""
    train, test = data.fashion_mnist()
    asked = []

    def fashion(subset):
        asked.append(subset)
        return train[:200], test[:60]

    monkeypatch.setattr(experiment, "SOURCES", {"fashion": fashion})
    return asked


def test_the_runners_are_all_the_minis_and_the_first_ones():
    assert set(models.names()) >= set(race.RUNNERS)
    assert {name for name in models.names() if name.endswith("_mini")} < set(race.RUNNERS)


def test_every_run_is_written_with_what_identifies_it(few, tmp_path):
    told = []
    names = ["softmax", "lenet5_modern"]
    runs = race.run_all(tmp_path / "c", names, range(2), TEMPLATE, "cpu", on_run=told.append)
    assert told == runs
    assert [(run.recipe["name"], run.recipe["seed"]) for run in runs] == [
        *(("softmax", 0), ("lenet5_modern", 0)),
        *(("softmax", 1), ("lenet5_modern", 1)),
    ]
    assert {path.name for path in (tmp_path / "c").iterdir()} == {
        *("softmax-0.json", "softmax-1.json", "lenet5_modern-0.json", "lenet5_modern-1.json"),
        "resumen.json",
    }  # ni puntos de control ni archivos a medias
    run = runs[1]
    assert run.parameters == 61_706
    assert run.macs == models.CATALOG["lenet5_modern"].macs
    assert run.recipe["lr"] == models.CATALOG["lenet5_modern"].lr
    assert [epoch.number for epoch in run.history] == [1, 2]
    assert run.seconds == pytest.approx(sum(epoch.seconds for epoch in run.history))
    assert run.versions["torch"] == torch.__version__
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", run.date)
    assert run.machine.endswith(", 1 hilo")
    assert runs[0].memory is None or runs[0].memory > 2**26
    assert [each.memory for each in runs[1:]] == [None] * 3  # reusan la de la primera
    summary = json.loads((tmp_path / "c/resumen.json").read_text())
    assert [race.Standing(**row) for row in summary] == race.standings(runs)
    assert run.error == ""
    assert sorted(race.load(tmp_path / "c"), key=str) == sorted(runs, key=str)


def test_what_is_counted_is_the_network_that_ran(few, tmp_path):
    smaller = experiment.Experiment("resnet_mini", epochs=1, batch_size=60, side=20)
    (run,) = race.run_all(tmp_path, ["resnet_mini"], [0], smaller, "cpu")
    card = models.CATALOG["resnet_mini"]
    assert run.parameters == card.parameters
    assert run.macs == inspection.count_macs(models.create("resnet_mini"), (1, 20, 20))
    assert run.macs < 0.6 * card.macs
    plain = experiment.Experiment("resnet20", epochs=1, batch_size=60)  # la de la ficha ve color
    (run,) = race.run_all(tmp_path, ["resnet20"], [0], plain, "cpu")
    assert run.parameters == models.CATALOG["resnet20"].parameters - 2 * 16 * 9


def test_the_same_seed_repeats_and_is_that_of_train(few, tmp_path, capsys):
    (run,) = race.run_all(tmp_path / "a", ["lenet5_modern"], [4], TEMPLATE, "cpu")
    (again,) = race.run_all(tmp_path / "b", ["lenet5_modern"], [4], TEMPLATE, "cpu")
    assert run.test == again.test
    arguments = ["train", "lenet5_modern", "--epochs", "2", "--batch-size", "60", "--seed", "4"]
    assert cli.main(arguments) == 0
    assert f"top-1 {run.test.top1:.2%}" in capsys.readouterr().out.splitlines()[-1]


def test_what_is_done_is_not_done_again_and_what_was_cut_goes_on(few, tmp_path):
    (whole,) = race.run_all(tmp_path / "entera", ["lenet5_modern"], [0], TEMPLATE, "cpu")
    race.run_all(tmp_path / "c", ["softmax"], [0], TEMPLATE, "cpu")

    real, calls = training.evaluate, []

    def interrupted(model, batches):
        calls.append(model)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(model, batches)

    patch = pytest.MonkeyPatch()
    patch.setattr(training, "evaluate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        race.run_all(tmp_path / "c", ["softmax", "lenet5_modern"], [0], TEMPLATE, "cpu")
    patch.undo()
    assert (tmp_path / "c/.lenet5_modern-0/checkpoint.safetensors").exists()
    few.clear()
    runs = race.run_all(tmp_path / "c", ["softmax", "lenet5_modern"], [0], TEMPLATE, "cpu")
    assert len(few) == 1  # softmax ya estaba
    assert runs[1].test == whole.test
    losses = [[epoch.train_loss for epoch in run.history] for run in (runs[1], whole)]
    assert losses[0] == losses[1]


def test_another_recipe_is_another_race(few, tmp_path):
    race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    other = experiment.Experiment("softmax", epochs=3, batch_size=60, augment="flip")
    with pytest.raises(ValueError, match=r"softmax-0.json es de otra .*cambia augment, epochs"):
        race.run_all(tmp_path, ["softmax"], [0], other, "cpu")


def test_diverging_is_a_result(few, tmp_path, capsys):
    arguments = ["--networks", "softmax,lenet5_modern", "--seeds", "2", "--epochs", "1"]
    assert cli.main(["race", str(tmp_path), *arguments, "--lr", "1e30", "--batch-size", "60"]) == 0
    output = capsys.readouterr().out
    assert output.count("lenet5_modern, semilla") == 2
    assert "no terminó: época 1: la pérdida dejó de ser finita" in output
    runs = race.load(tmp_path)
    assert all(run.error and run.test is None and run.history == [] for run in runs)
    assert race.standings(runs) == []


def test_the_commit_is_the_one_it_started_with(few, tmp_path, monkeypatch):
    train = training.train

    def train_while_someone_commits(*arguments, **options):
        monkeypatch.setattr(race, "_commit", lambda: "después")
        return train(*arguments, **options)

    monkeypatch.setattr(race, "_commit", lambda: "antes")
    monkeypatch.setattr(training, "train", train_while_someone_commits)
    (run,) = race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    assert run.commit == "antes"


def test_a_full_disk_is_not_a_result(few, tmp_path, monkeypatch):
    """Lo que no es de la red detiene la carrera, que sigue donde iba cuando se arregla."""

    def full(*_arguments):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("cnnhistory.checkpoints.save_file", full)
        with pytest.raises(training.TrainingError, match="libera espacio"):
            race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    assert not (tmp_path / "softmax-0.json").exists()
    (run,) = race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    assert run.test
    assert not run.error


def test_two_races_at_once_do_not_share_a_run(few, tmp_path, monkeypatch):
    train = training.train

    def train_while_another_race_starts(*arguments, **options):
        monkeypatch.setattr(training, "train", train)
        with pytest.raises(training.TrainingError, match=r"otro entrenamiento .*softmax-0"):
            race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
        race.run_all(tmp_path, ["softmax"], [1], TEMPLATE, "cpu")  # otra corrida, sí
        return train(*arguments, **options)

    monkeypatch.setattr(training, "train", train_while_another_race_starts)
    race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    assert {path.name for path in tmp_path.iterdir()} == {
        *("softmax-0.json", "softmax-1.json", "resumen.json")
    }


def test_what_the_last_network_does_not_admit_is_said_before_training_the_first(
    monkeypatch, tmp_path, capsys
):
    monkeypatch.setattr(experiment.Experiment, "parts", lambda *_: pytest.fail("leyó los datos"))
    asked = ["race", str(tmp_path), "--seeds", "1", "--lr", "0.1"]
    assert cli.main([*asked, "--networks", "resnet_mini,alexnet", "--side", "32"]) == 1
    assert "alexnet admite imágenes de lado de 227" in capsys.readouterr().err
    described = experiment.Experiment("softmax", str(tmp_path), epochs=1)
    with pytest.raises(ValueError, match=r"ya se aumenta.*crop_flip"):
        race.run_all(*(tmp_path, ["lenet5", "vgg_mini"], [0], described, "cpu"), as_published=True)


def test_a_cut_race_does_not_go_on_with_another_recipe(few, tmp_path, monkeypatch):
    def cut(run):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(race, "_write", lambda path, run: cut(run))
        patch.setattr(race.shutil, "rmtree", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            race.run_all(tmp_path, ["softmax"], [0], TEMPLATE, "cpu")
    other = experiment.Experiment("softmax", epochs=3, batch_size=60)
    with pytest.raises(training.TrainingError, match="epochs era"):
        race.run_all(tmp_path, ["softmax"], [0], other, "cpu")
    assert (tmp_path / ".softmax-0").exists()
    assert not (tmp_path / "softmax-0.json").exists()


def test_a_race_needs_a_test_set_and_a_single_process(tmp_path, monkeypatch, capsys):
    for part, count in (("train", 4), ("val", 2)):
        for label in ("ave", "pez"):
            folder = tmp_path / "fotos" / part / label
            folder.mkdir(parents=True)
            for number in range(count):
                Image.effect_noise((40, 40), 50).convert("RGB").save(folder / f"{number}.jpg")
    photos = experiment.Experiment("lenet5_modern", str(tmp_path / "fotos"), epochs=1, batch_size=4)
    with pytest.raises(ValueError, match=r"la carrera mide en prueba.*le falta test/"):
        race.run_all(tmp_path / "r", ["lenet5_modern"], [0], photos, "cpu")
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert cli.main(["race", str(tmp_path / "r")]) == 1
    assert "la carrera va en un solo proceso" in capsys.readouterr().err


def test_the_table_is_ordered_and_counts(few, tmp_path, capsys):
    arguments = ["--networks", "softmax, lenet5_modern", "--seeds", "2", "--epochs", "2"]
    assert cli.main(["race", str(tmp_path), *arguments]) == 0
    header, *rows = capsys.readouterr().out.split("\n\n")[1].splitlines()
    assert header.split() == [
        "red",
        *["top-1", "en", "prueba", "corridas", "parámetros", "MACs", "segundos"],
    ]
    scores = [float(re.search(r"([\d.]+)% ±", row)[1]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert all("2 de 2" in row for row in rows)
    row = next(row for row in race.standings(race.load(tmp_path)) if row.name == "softmax")
    tops = [run.test.top1 for run in race.load(tmp_path) if run.recipe["name"] == "softmax"]
    assert row.top1 == pytest.approx(sum(tops) / 2)
    assert row.deviation == pytest.approx(abs(tops[0] - tops[1]) / 2**0.5)
    assert (row.parameters, row.runs, row.failed) == (7850, 2, 0)


def test_one_seed_has_no_deviation():
    metrics = training.Metrics(1.0, 0.5, 0.9)
    epoch = training.Epoch(1, 1.0, 1.0, 0.5, 0.9, 2.0, 100.0)
    recipe = {"name": "softmax", "seed": 0}
    run = race.Run(recipe, "m", {}, None, "2026-01-01", 1, 2, [epoch], metrics, None)
    (row,) = race.standings([run])
    assert (row.top1, row.deviation, row.seconds, row.images_per_second) == (0.5, 0.0, 2.0, 100.0)


def test_a_network_that_does_not_exist_is_said_before_running_any(few, tmp_path, capsys):
    assert cli.main(["race", str(tmp_path), "--networks", "softmax,lenet6"]) == 1
    assert "¿quisiste decir" in capsys.readouterr().err
    assert few == []
    with pytest.raises(SystemExit):
        cli.main(["race", str(tmp_path), "--networks", ","])
    assert "debe nombrar al menos una red" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "{}", json.dumps({"history": [], "test": None})])
def test_a_file_that_is_not_a_run_is_explained(tmp_path, content):
    (tmp_path / "softmax-0.json").write_text(content)
    with pytest.raises(ValueError, match=r"softmax-0.json no es una corrida: bórralo"):
        race.load(tmp_path)


def test_an_empty_folder_says_how_to_race(tmp_path):
    with pytest.raises(ValueError, match="se hacen con cnnhistory race"):
        race.load(tmp_path)


def test_out_of_git_there_is_no_commit(monkeypatch, tmp_path):
    monkeypatch.setattr(race, "__file__", str(tmp_path / "race.py"))
    assert race._commit() is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert race._commit() is None


def test_the_gpu_says_its_name_and_its_memory(monkeypatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"GPU de {device}")
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda device: None)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 123)
    assert race.machine("cuda:0") == "GPU de cuda:0"
    race._reset_peak("cuda:0")
    assert race._peak("cuda:0") == 123
