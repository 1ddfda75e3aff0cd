"""Varios procesos dan lo mismo que uno, y si uno muere no se pierde nada."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cnnhistory import checkpoints, data, distributed, experiment, models, training

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows no tiene fork")
TOGETHER = Path(__file__).with_name("together.py")
RECIPE = ["train", "lenet5_modern", "--epochs", "3", "--batch-size", "120", "--seed", "1"]


def together(
    processes: int,
    folder: Path,
    *arguments: str,
    kill: tuple[int, int] | None = None,
    test: int = 50,
):
    """Los códigos de salida de los procesos, y lo que dijo cada uno."""
    options = ["--kill", *map(str, kill)] if kill else []
    command = [
        sys.executable,
        str(TOGETHER),
        *options,
        "--test",
        str(test),
        str(processes),
        str(folder),
        "--",
        *arguments,
    ]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    said = [
        [(folder / f"{rank}.{name}").read_text() for name in ("out", "err")]
        for rank in range(processes)
    ]
    return json.loads(ended.stdout), said


def curve(path: Path) -> list[tuple[float, float, float]]:
    epochs = map(json.loads, path.read_text().splitlines())
    return [(e["train_loss"], e["val_loss"], e["val_top1"]) for e in epochs]


def test_two_and_four_processes_follow_the_curve_of_one(tmp_path):
    curves, said = {}, {}
    for processes in (1, 2, 4):
        log = tmp_path / f"{processes}.jsonl"
        codes, said[processes] = together(
            processes, tmp_path / str(processes), *RECIPE, "--log", str(log)
        )
        assert codes == [0] * processes
        curves[processes] = curve(log)
    assert curves[1][-1][0] < curves[1][0][0]  # aprende: no se comparan tres constantes
    for processes in (2, 4):
        assert torch.allclose(
            torch.tensor(curves[processes]), torch.tensor(curves[1]), rtol=1e-4, atol=1e-5
        )
        # Solo habla el 0; las 50 imágenes de prueba no se reparten exactas, y no sobra ninguna.
        (out, err), *others = said[processes]
        assert err == ""
        assert out.splitlines()[-1].split(",")[:2] == said[1][0][0].splitlines()[-1].split(",")[:2]
        assert others == [["", ""]] * (processes - 1)


def test_a_dead_process_ends_the_others_and_resuming_gives_the_same_bits(tmp_path):
    """Con normalización por lotes y aumentación: cada proceso tiene su azar."""
    processes = 2  # con tres, la suma de los gradientes cambia de orden al reanudar
    recipe = ["train", "lenet5_bn", "--epochs", "3", "--batch-size", "120", "--augment", "compose"]

    def keep(name: str) -> list[str]:
        return [
            *recipe,
            "--checkpoints",
            str(tmp_path / name),
            "--log",
            str(tmp_path / f"{name}.l"),
        ]

    assert together(processes, tmp_path / "a", *keep("entera"))[0] == [0] * processes
    codes, said = together(processes, tmp_path / "b", *keep("cortada"), kill=(1, 2))
    assert codes == [1, -9, 1][:processes]
    error = said[0][1].strip().splitlines()[-1]
    assert error.startswith("cnnhistory: el proceso 0 perdió la conexión con otro (")
    assert error.endswith("sigue con --resume desde el último punto de control")
    assert len(curve(tmp_path / "cortada.l")) == 1

    codes, said = together(1, tmp_path / "c", *keep("cortada"), "--resume")
    assert codes == [1]
    assert f"processes era {processes} y ahora es 1" in said[0][1]
    codes, _ = together(processes, tmp_path / "d", *keep("cortada"), "--resume")
    assert codes == [0] * processes
    assert curve(tmp_path / "cortada.l") == curve(tmp_path / "entera.l")
    whole, resumed = (
        (tmp_path / name / "last.safetensors").read_bytes() for name in ("entera", "cortada")
    )
    assert whole == resumed


@pytest.fixture
def few(monkeypatch):
    """Los datos de together.py, y su precisión, también en este proceso."""
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    from together import few

    monkeypatch.setattr(experiment, "SOURCES", {"fashion": few})
    return few


class Even(data.BatchPlan):
    """Los lotes de un solo proceso, sin la imagen que sobra si son impares."""

    def parts(self, order: torch.Tensor):
        for batch in order.split(self.batch_size):
            yield batch[: len(batch) // 2 * 2]


@pytest.mark.usefixtures("few")
def test_what_does_not_divide_is_left_out_and_the_rest_is_as_with_one(tmp_path):
    """De 360 imágenes en lotes de 69, y uno de 15, dos procesos entrenan con los de 68 y 14."""
    log = tmp_path / "log.jsonl"
    recipe = ["train", "lenet5_modern", "--epochs", "2", "--batch-size", "69", "--seed", "1"]
    codes, said = together(2, tmp_path, *recipe, "--log", str(log))
    assert codes == [0, 0], said
    epochs = [*map(json.loads, log.read_text().splitlines())]
    seen = [epoch["seconds"] * epoch["images_per_second"] for epoch in epochs]
    assert seen == pytest.approx([5 * 68 + 14] * 2)

    described = experiment.Experiment("lenet5_modern", epochs=2, batch_size=69, seed=1)
    parts = described.parts("cpu")
    parts.train.plan = Even(360, 69, equal=True)
    history = experiment.run(described, parts, "cpu").history
    expected = [(epoch.train_loss, epoch.val_loss, epoch.val_top1) for epoch in history]
    assert torch.allclose(torch.tensor(curve(log)), torch.tensor(expected), rtol=1e-4, atol=1e-5)


def test_all_end_with_one_network_and_draw_on_their_own(tmp_path, few, monkeypatch):
    """Con normalización por lotes, y una sola imagen de prueba: al 1 no le toca ninguna."""
    log = tmp_path / "log.jsonl"
    recipe = ["train", "lenet5_bn", "--epochs", "2", "--batch-size", "120", "--augment", "compose"]
    codes, said = together(2, tmp_path, *recipe, "--log", str(log), test=1)
    assert codes == [0, 0], said
    assert said[1] == ["", ""]
    (drawn, state), (other, also) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert not torch.equal(drawn, other)  # de ahí salen la aumentación y el dropout
    assert any(name.endswith("running_mean") and value.any() for name, value in state.items())
    assert state.keys() == also.keys()
    assert all(torch.equal(state[name], also[name]) for name in state)

    # Lo medido es de esa red: las estadísticas se igualan antes de validar, y no después.
    monkeypatch.setattr(experiment, "SOURCES", {"fashion": lambda subset: few(subset, 1)})
    parts = experiment.Experiment("lenet5_bn", batch_size=120).parts("cpu")
    model = models.create("lenet5_bn").to(memory_format=torch.channels_last)
    model.load_state_dict(state)
    assert training.evaluate(model, parts.validation).loss == pytest.approx(
        curve(log)[-1][1], rel=1e-5
    )
    loss = training.evaluate(model, parts.test).loss
    told = said[0][0].splitlines()[-1]
    assert float(told.split("pérdida ")[1]) == pytest.approx(loss, abs=2e-4)


def test_only_the_first_process_needs_images_to_validate(monkeypatch):
    model, (train, _) = models.create("softmax"), data.fashion_mnist()
    empty = data.Batches(train[:1], 8, shard=(1, 2))
    assert len(empty) == 0
    with pytest.raises(ValueError, match="no hay lotes"):
        training.check_batches(model, empty)
    monkeypatch.setattr(distributed, "rank", lambda: 1)
    training.check_batches(model, empty)


def test_processes_that_find_other_checkpoints_do_not_go_on(tmp_path, monkeypatch):
    """La carpeta no es común: la del proceso 0 tiene una época, y la del otro está vacía."""
    train, _ = data.fashion_mnist()

    def go_on(folder: Path, *, resume: bool) -> list[training.Epoch]:
        batches = data.Batches(train[:32], 16, shuffle=True)
        keeper = checkpoints.Checkpoints(folder, {}, resume)
        model = models.create("softmax")
        return training.train(model, batches, batches, epochs=1, lr=0.01, checkpoints=keeper)

    go_on(tmp_path / "0", resume=False)
    saved = {path: path.read_bytes() for path in (tmp_path / "0").iterdir()}
    (tmp_path / "1").mkdir()
    for rank, found in enumerate((1, 0)):
        told = []
        with monkeypatch.context() as patch:
            patch.setattr(
                distributed, "gathered", lambda own, told=told: told.append(own) or [1, 0]
            )
            folder = tmp_path / str(rank)
            with pytest.raises(
                training.TrainingError,
                match=rf"épocas distintas \(\[1, 0\]\) en {re.escape(str(folder))}: .*la misma",
            ):
                go_on(folder, resume=True)
        assert told == [found]
    assert {path: path.read_bytes() for path in (tmp_path / "0").iterdir()} == saved
    assert not [*(tmp_path / "1").iterdir()]


def accumulate(rank: int, folder: str) -> None:
    """Un proceso que ve imágenes de media ``rank`` y guarda lo que acumuló, antes y después."""
    where = f"file://{folder}/cita"
    torch.distributed.init_process_group("gloo", init_method=where, rank=rank, world_size=2)
    model = distributed.replicated(nn.BatchNorm1d(1))
    for _ in range(50):
        model(torch.tensor([[rank - 1.0], [rank + 1.0]]))
    (mean, *_) = distributed.unwrapped(model).buffers()
    own = mean.clone()
    distributed.share_buffers(model)
    torch.save((own, mean), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_the_statistics_are_those_of_the_first_process_after_sharing(tmp_path):
    """Se separan en la última pasada, por el momento de 0.1, y compartirlas las iguala."""
    torch.multiprocessing.spawn(accumulate, (str(tmp_path),), nprocs=2)
    (own, shared), (other, also) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert abs(own) < 0.01
    assert abs(other - 0.1) < 0.01
    assert torch.equal(shared, own)
    assert torch.equal(also, own)


def test_torchrun_runs_the_same_command(tmp_path):
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    command += ["-m", "cnnhistory.cli", "train", "softmax", "--epochs", "1"]
    command += ["--checkpoints", str(tmp_path)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    ended = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert ended.returncode == 0, ended.stderr
    first, test, where = ended.stdout.splitlines()
    assert first.startswith("época 1/1 ")
    assert float(test.split("top-1 ")[1].split("%")[0]) > 50
    assert where == f"pesos en {tmp_path / 'last.safetensors'}"
    models.create("softmax").load_state_dict(load_file(tmp_path / "last.safetensors"))


def test_alone_everything_stays_as_it_was():
    model = nn.Linear(2, 2)
    values = torch.ones(3)
    assert not distributed.launched()
    assert distributed.shard() == (0, 1)
    assert distributed.replicated(model) is model
    assert distributed.unwrapped(model) is model
    assert distributed.summed(values) is values
    assert distributed.gathered("a") == ["a"]
    distributed.share_buffers(model)


def test_processes_that_do_not_meet_and_gpus_that_do_not_exist_are_explained(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    with (
        pytest.raises(distributed.DistributedError, match=r"no se encontraron .*misma dirección"),
        distributed.session("cpu"),
    ):
        pass
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setenv("LOCAL_RANK", "1")
    with (
        pytest.raises(ValueError, match=r"aquí hay 1 para el proceso 1 .*baja --nproc-per-node"),
        distributed.session("cuda"),
    ):
        pass


RESTARTED = """
import os, sys
sys.path.insert(0, {tests!r})
import together
from cnnhistory import cli, experiment
experiment.SOURCES = {{"fashion": together.few}}
if os.environ["RANK"] == "1" and os.environ["TORCHELASTIC_RESTART_COUNT"] == "0":
    together.kill_at(2)
sys.exit(cli.main(sys.argv[1:]))
"""


def test_torchrun_restarts_all_when_one_dies_and_resume_brings_them_back(tmp_path):
    """Con la variable que da la página: sin ella, los nuevos pueden esperar a los muertos."""
    script = tmp_path / "uno.py"
    script.write_text(RESTARTED.format(tests=str(TOGETHER.parent)))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    command += ["--nproc-per-node", "2", "--max-restarts", "1", "--", str(script), *RECIPE]
    log = tmp_path / "épocas.jsonl"
    saving = ["--checkpoints", str(tmp_path / "puntos"), "--resume", "--log", str(log)]
    ended = subprocess.run(
        [*command, *saving],
        env=os.environ | {"TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert "exitcode: -9" in ended.stderr
    together(2, tmp_path / "seguido", *RECIPE, "--log", str(tmp_path / "seguido.jsonl"))
    assert curve(log) == curve(tmp_path / "seguido.jsonl")
