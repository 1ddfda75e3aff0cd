"""Los puntos de control: reanudar da los mismos bits, y nada de lo guardado se pierde."""

import copy
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from test_training import batches, dataset, little, same_state

from cnnhistory import data, experiment, models, training
from cnnhistory.checkpoints import Checkpoints

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
        checkpoints=folder and Checkpoints(folder, recipe, resume),
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
        "previous.safetensors",
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
        checkpoints=Checkpoints(tmp_path / "nueva" / "carpeta", RECIPE, resume=True),
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
            checkpoints=Checkpoints(tmp_path, RECIPE | {key: value}, resume=True),
        )
    assert same_state(model, untouched)
    assert (tmp_path / "checkpoint.safetensors").read_bytes() == before


def damage(path):
    """Las maneras de estropear un archivo: truncarlo, vaciarlo, poner otro en su lugar."""
    content = path.read_bytes()
    for bad in (content[:-10], b"", b"\x80\x04pickle", content[:7]):
        path.write_bytes(bad)
        yield
    for metadata in (None, {"otra": "cosa"}, {"cnnhistory": "{"}):
        save_file({"a": torch.zeros(1)}, path, metadata)
        yield
    path.unlink(missing_ok=True)
    path.mkdir()
    yield


def test_a_damaged_checkpoint_falls_back_to_the_previous_one_and_says_so(tmp_path, caplog):
    whole, expected = run(None)
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=3)
    previous = (tmp_path / "previous.safetensors").read_bytes()
    for _ in damage(path := tmp_path / "checkpoint.safetensors"):
        (tmp_path / "damaged.safetensors").unlink(missing_ok=True)
        caplog.clear()
        model = little().to(memory_format=torch.channels_last)
        keeper = Checkpoints(tmp_path, RECIPE, resume=True)
        optimizer = training.make_optimizer(model, 0.1, 5e-4)
        history = keeper.load(model, optimizer, training.one_cycle(optimizer, 16), batches())
        assert [epoch.number for epoch in history] == [1, 2]
        assert caplog.messages == [f"{path} está dañado: se busca el punto de control anterior"]
        assert not path.exists()  # al guardar, no toma el lugar del anterior
    assert (tmp_path / "previous.safetensors").read_bytes() == previous
    (tmp_path / "damaged.safetensors").rmdir()
    path.write_bytes(previous[:100])
    with pytest.raises(InterruptedError):
        run(tmp_path, resume=True, stop_at=3)
    assert (tmp_path / "previous.safetensors").read_bytes() == previous
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert same_state(resumed, whole)


def test_one_changed_bit_is_damage(tmp_path, caplog):
    """safetensors no lleva suma de control: la huella es nuestra."""
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=3)
    path = tmp_path / "checkpoint.safetensors"
    content = bytearray(path.read_bytes())
    content[-5] ^= 1
    path.write_bytes(content)
    assert run(tmp_path, resume=True)[1] == run(None)[1]
    assert caplog.messages == [f"{path} está dañado: se busca el punto de control anterior"]


@pytest.mark.parametrize("name", experiment.SCHEDULES)
def test_every_schedule_goes_on_where_it_was(tmp_path, name):
    def cut(epoch):
        if epoch.number == 1:
            raise InterruptedError

    def rates(folder, *, resume=False, on_epoch=None):
        plans = []

        def noting(optimizer, steps):
            plans.append(experiment.SCHEDULES[name](optimizer, steps))
            return plans[0]

        class Noting(data.Batches):
            def __iter__(self):
                for batch in super().__iter__():
                    yield batch
                    rates.append(plans[0].get_last_lr()[0])

        rates: list[float] = []
        keeper = Checkpoints(folder, {}, resume=resume)
        training.train(
            little(),
            Noting(dataset(), 16),
            batches(20),
            epochs=4,
            lr=0.1,
            schedule=noting,
            checkpoints=keeper,
            on_epoch=on_epoch,
        )
        return rates

    whole = rates(tmp_path / "entera")
    with pytest.raises(InterruptedError):
        rates(tmp_path / "cortada", on_epoch=cut)
    assert rates(tmp_path / "cortada", resume=True) == whole[len(whole) // 4 :]


def test_with_no_sound_checkpoint_it_refuses_to_guess(tmp_path):
    run(tmp_path)
    paths = [tmp_path / name for name in ("checkpoint.safetensors", "previous.safetensors")]
    for path in paths:
        path.write_bytes(b"roto")
    with pytest.raises(training.TrainingError, match=rf"{paths[0]} y {paths[1]}: dañado.*bórralo"):
        run(tmp_path, resume=True)


def test_killed_between_the_two_renames_it_goes_on_from_the_previous_one(tmp_path, caplog):
    whole, expected = run(None)
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=3)
    (tmp_path / "checkpoint.safetensors").replace(tmp_path / "previous.safetensors")
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert same_state(resumed, whole)
    assert not caplog.messages


@contextmanager
def full_disk(room):
    """Un disco sin espacio: el sistema no deja que un archivo pase de ``room`` bytes."""
    resource = pytest.importorskip("resource", reason="Windows no tiene límites de archivo")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("name", ["last", "checkpoint"])
def test_with_the_disk_full_the_old_checkpoint_survives(tmp_path, name):
    with pytest.raises(InterruptedError):
        run(tmp_path, stop_at=2)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    room = len(before["last.safetensors"]) + (-1 if name == "last" else 100)
    with (
        full_disk(room),
        pytest.raises(training.TrainingError, match=rf"{name}.safetensors .*libera espacio"),
    ):
        run(tmp_path, resume=True)
    assert {path.name for path in tmp_path.iterdir()} == before.keys()  # ni restos a medias
    for kept in ("checkpoint.safetensors", "previous.safetensors"):
        assert (tmp_path / kept).read_bytes() == before[kept]
    assert run(tmp_path, resume=True)[1] == run(None)[1]


def test_other_sources_of_randomness_are_refused(tmp_path):
    run(tmp_path)
    with pytest.raises(
        training.TrainingError, match="otra clase de máquina o con otra clase de lotes"
    ):
        training.train(
            little(),
            [*batches()],
            batches(),
            epochs=4,
            lr=0.1,
            checkpoints=Checkpoints(tmp_path, RECIPE, resume=True),
        )


def test_the_checkpoint_holds_no_code_and_says_what_it_is(tmp_path):
    run(tmp_path)
    with safe_open(tmp_path / "checkpoint.safetensors", framework="pt") as file:
        state = json.loads(file.metadata()["cnnhistory"])
        names = [*file.keys()]
    assert state["recipe"] == RECIPE
    assert [epoch["number"] for epoch in state["history"]] == [1, 2, 3, 4]
    assert {name.split("/")[0] for name in names} == {"model", "optimizer", "random"}


HOLDER = """
import pathlib, sys
from cnnhistory.checkpoints import Checkpoints
with Checkpoints(pathlib.Path({folder!r}), {{}}).held():
    print("reservada", flush=True)
    sys.stdin.read()
"""


def test_a_folder_is_for_one_training_at_a_time_and_the_dead_leave_it(tmp_path):
    code = HOLDER.format(folder=str(tmp_path))
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout.readline() == "reservada\n"
        mine = Checkpoints(tmp_path, RECIPE)
        with pytest.raises(training.TrainingError, match="otro entrenamiento está usando"):
            mine.held().__enter__()
        holder.kill()
    with mine.held():
        pass


@pytest.mark.skipif(os.name == "nt", reason="Windows no tiene esos permisos")
def test_what_is_saved_can_be_read_by_those_who_read_the_folder(tmp_path):
    before = os.umask(0o027)
    try:
        run(tmp_path)
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o640}


def test_each_file_reaches_the_disk_whole_before_it_takes_its_name(tmp_path, monkeypatch):
    done, sync, rename = [], os.fsync, Path.replace

    def fsync(descriptor):
        sync(descriptor)
        status = os.fstat(descriptor)
        done.append(("disco", status.st_ino, status.st_size))

    def replace(path, target):
        status = path.stat()
        done.append((target.name, status.st_ino, status.st_size))
        return rename(path, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", replace)
    run(tmp_path, epochs=1)
    expected = []
    for name in ("last.safetensors", "checkpoint.safetensors"):
        status = (tmp_path / name).stat()
        expected += [(step, status.st_ino, status.st_size) for step in ("disco", name)]
    assert done == expected


KILLED = """
import os, pathlib, signal, sys
sys.path.insert(0, {tests!r})
import test_checkpoints
real, writes = pathlib.Path.replace, []
def replace(path, target):
    writes.append(target)
    if len(writes) == {kill_at}:
        os.kill(os.getpid(), signal.SIGKILL)  # con el archivo escrito a medio poner
    return real(path, target)
pathlib.Path.replace = replace
test_checkpoints.run(pathlib.Path({folder!r}))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="Windows no tiene SIGKILL")
# Al poner nombre al punto de control de la segunda época, o a los pesos de la tercera.
@pytest.mark.parametrize("kill_at", [5, 6])
def test_killed_while_saving_and_resumed_is_bit_for_bit_uninterrupted(tmp_path, kill_at):
    code = KILLED.format(tests=os.path.dirname(__file__), folder=str(tmp_path), kill_at=kill_at)
    killed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    whole, expected = run(None)
    resumed, history = run(tmp_path, resume=True)
    assert history == expected
    assert same_state(resumed, whole)
    assert not [*tmp_path.glob("*.partial")]


@pytest.mark.lento
@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows no tiene fork")
def test_killed_twenty_times_it_ends_in_the_same_bits(tmp_path):
    """Con normalización por lotes, aumentación y mezcla: estadísticas y azar que reponer."""
    script = [sys.executable, os.path.join(os.path.dirname(__file__), "killing.py")]
    recipe = ["train", "lenet5_bn", "--epochs", "90", "--seed", "2", "--batch-size", "120"]
    recipe += ["--augment", "compose", "--mix", "cutmix", "--clip-norm", "1"]
    said = {}
    for name, times in (("entera", 0), ("muerta", 20)):
        (tmp_path / name).mkdir()
        command = [*script, str(times), "7", str(tmp_path / name), "--", *recipe]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=600)
        assert ended.returncode == 0, ended.stderr
        said[name] = json.loads(ended.stdout.splitlines()[-1])
    assert len(said["muerta"]) == 20
    when, halves = zip(*said["muerta"], strict=True)
    assert len(set(when)) >= 10  # en momentos de verdad distintos, y de principio a fin
    thirds = Counter(epochs // 30 for epochs in when)
    assert min(thirds[third] for third in range(3)) >= 2
    # Algunas, mientras se escribían los pesos, y otras, mientras el punto de control.
    assert min(map(halves.count, ("last.safetensors", "checkpoint.safetensors"))) >= 2
    logs = [
        [
            {**json.loads(line), "seconds": 0, "images_per_second": 0}
            for line in (tmp_path / name / "log.jsonl").read_text().splitlines()
        ]
        for name in said
    ]
    assert len(logs[0]) == 90
    assert logs[0] == logs[1]
    weights = [(tmp_path / name / "last.safetensors").read_bytes() for name in said]
    assert weights[0] == weights[1]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="necesita CUDA")
def test_it_trains_and_resumes_on_the_gpu(tmp_path):
    model = models.create("lenet5_modern", num_classes=3).cuda()
    images = torch.randint(0, 256, (64, 1, 28, 28), dtype=torch.uint8)
    part = data.Batches(data.Dataset(images, torch.arange(64) % 3, tuple("abc")), 32, device="cuda")
    keeper = Checkpoints(tmp_path, RECIPE, resume=True)
    for epochs in (1, 1):
        history = training.train(model, part, part, epochs=epochs, lr=0.01, checkpoints=keeper)
        assert len(history) == 1
