"""Varios procesos dan lo mismo que uno, y si uno muere no se pierde nada."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from cnnhistory import distributed, models

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows no tiene fork")
TOGETHER = Path(__file__).with_name("together.py")
RECIPE = ["train", "lenet5_modern", "--epochs", "3", "--batch-size", "120", "--seed", "1"]


def together(processes: int, folder: Path, *arguments: str, kill: tuple[int, int] | None = None):
    """Los códigos de salida de los procesos, y lo que dijo cada uno."""
    options = ["--kill", *map(str, kill)] if kill else []
    command = [
        sys.executable,
        str(TOGETHER),
        str(processes),
        str(folder),
        *options,
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
