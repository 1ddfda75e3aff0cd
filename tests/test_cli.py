"""La línea de comandos, por dentro y como proceso."""

import argparse
import json
import os
import re
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import cnnhistory
from cnnhistory import cli, data, experiment, models, training

torch.set_num_threads(1)

NARROW = "\N{NARROW NO-BREAK SPACE}"


@pytest.fixture
def few(monkeypatch):
    """Los datos de verdad, pero pocos."""
    train, test = data.fashion_mnist()
    asked = []

    def fashion_mnist(subset):
        asked.append(subset)
        return train[:300], test[:100]

    monkeypatch.setattr(experiment, "SOURCES", {"fashion": fashion_mnist})
    return asked


def lines(path) -> list[dict]:
    """El registro, sin lo que depende del reloj."""
    epochs = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return [
        {k: v for k, v in epoch.items() if k not in ("seconds", "images_per_second")}
        for epoch in epochs
    ]


# --- list y show ---------------------------------------------------------------------------------


def test_list_shows_every_network_aligned(capsys):
    assert cli.main(["list"]) == 0
    header, *rows = capsys.readouterr().out.splitlines()
    assert header.split() == ["red", "año", "parámetros", "MACs", "MB", "entrada", "desviaciones"]
    assert [row.split()[0] for row in rows] == models.names()
    alexnet = next(row for row in rows if row.startswith("alexnet "))
    assert re.split(r" +", alexnet) == [
        "alexnet",
        "2012",
        f"60{NARROW}965{NARROW}224",
        f"724{NARROW}406{NARROW}816",
        "243.9",
        "3×227×227",
        "2",
    ]
    assert {len(row) for row in rows} == {len(header)}  # las columnas, alineadas


def test_list_stops_quietly_when_its_reader_does():
    command = f'"{sys.executable}" -m cnnhistory.cli list | head -1'
    ended = subprocess.run(
        ["bash", "-o", "pipefail", "-c", command], capture_output=True, text=True, check=False
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("red ")


@pytest.mark.parametrize("name", models.names())
def test_show_tells_the_card_and_the_layers(name, capsys):
    assert cli.main(["show", name]) == 0
    output, card = capsys.readouterr().out, models.CATALOG[name]
    for text in (card.label, str(card.year), card.idea, card.authors, f"«{card.title}»", card.url):
        assert text in output
    for deviation in card.deviations:
        assert f"· {deviation}" in output
    assert ("Se aparta del artículo" in output) == bool(card.deviations)
    exact = [
        f"{n:,}".replace(",", NARROW if n >= 10_000 else "") for n in (card.parameters, card.macs)
    ]
    assert f"{exact[0]} parámetros ({card.parameters / 250_000:.1f} MB) y {exact[1]} MACs" in output
    total = next(line for line in output.splitlines() if line.startswith("total"))
    # Las cabezas auxiliares solo trabajan al entrenar: la tabla no las atraviesa.
    assert (exact[0] in total) != name.endswith("_aux")
    assert exact[1] in total


@pytest.mark.parametrize("command", ["show", "train"])
def test_an_unknown_network_suggests_and_fails(command, capsys, few):
    assert cli.main([command, "alexnt"]) == 1
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("cnnhistory: la red «alexnt» no está en el catálogo; ¿quisiste")
    assert few == []  # antes de leer los datos


# --- Hablar español ------------------------------------------------------------------------------

MISTAKES = {
    "": "cnnhistory: falta ORDEN",
    "foo": "ORDEN: no existe «foo»; hay list, show, train, evaluate, race y export",
    "show": "cnnhistory show: falta RED",
    "list sobra": "no conozco el argumento sobra",
    "show lenet5 --verbose": "no conozco el argumento --verbose",
    "train lenet5 --epochs": "--epochs: falta su valor",
    "train lenet5 --epochs 0": "--epochs: debe ser un entero positivo; llegó «0»",
    "train lenet5 --epochs -3": "--epochs: debe ser un entero positivo; llegó «-3»",
    "train lenet5 --epochs 2.5": "--epochs: debe ser un entero positivo; llegó «2.5»",
    "train lenet5 --batch-size -1": "--batch-size: debe ser un entero positivo; llegó «-1»",
    "train lenet5 --lr -0.1": "--lr: debe ser un número positivo, con punto decimal; llegó «-0.1»",
    "train lenet5 --lr 0,1": "--lr: debe ser un número positivo, con punto decimal; llegó «0,1»",
    "train lenet5 --lr nan": "--lr: debe ser un número positivo, con punto decimal; llegó «nan»",
    "train lenet5 --lr inf": "llegó «inf»",
    "train lenet5 --seed -1": "--seed: debe ser un entero de 0 en adelante",
    "train lenet5 --seed 99999999999999999999": "de hasta 18 cifras",
    "train lenet5 --subset medio": "--subset: debe ser mini o full; llegó «medio»",
    "train lenet5 --device nada": "--device: torch no puede usar aquí el dispositivo «nada»",
    "train lenet5 --device meta": "--device: torch no puede usar aquí el dispositivo «meta»",
    "race r --as-published --recipe-of vgg_mini": "--recipe-of: no se lleva con --as-published",
    "race r --recipe-of softmax": "--recipe-of: debe ser lenet5 o ",
    "train lenet5 --se 1 --s 2": "--s es ambigua: puede ser --subset, --seed, --schedule",
    "train lenet5 --resume=3": "--resume: no lleva valor, y llegó '3'",
}


@pytest.mark.parametrize("arguments", MISTAKES)
def test_badly_written_arguments_exit_with_2_and_explain(arguments, capsys, few):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments.split())
    assert stopped.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("uso: cnnhistory")
    assert MISTAKES[arguments] in captured.err
    assert few == []
    english = r"usage|error|argument\b|expected|invalid|required|unrecognized|option"
    assert not re.search(english, captured.err)


@pytest.mark.parametrize("arguments", ["-h", "list --help", "show -h", "train -h"])
def test_help_is_in_spanish(arguments, capsys, monkeypatch):
    for columns in ("40", "100"):
        monkeypatch.setenv("COLUMNS", columns)
        with pytest.raises(SystemExit) as stopped:
            cli.main(arguments.split())
        assert stopped.value.code == 0
        output = capsys.readouterr().out
        assert output.startswith("uso: cnnhistory")
        assert "opciones:" in output
        assert not re.search(r"usage|options|positional|show this|default\b|exit", output)


def test_version(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["--version"])
    assert stopped.value.code == 0
    assert capsys.readouterr().out.strip() == cnnhistory.__version__


# --- train ---------------------------------------------------------------------------------------


def test_train_writes_weights_log_and_stable_lines(few, tmp_path, capsys):
    log = tmp_path / "registros" / "run.jsonl"
    arguments = ["train", "lenet5_modern", "--epochs", "2", "--seed", "3", "--subset", "full"]
    arguments += ["--checkpoints", str(tmp_path / "pesos"), "--log", str(log)]
    assert cli.main(arguments) == 0
    captured = capsys.readouterr()
    assert few == ["full"]
    assert captured.err == ""  # sin terminal no hay barra
    first, second, test, where = captured.out.splitlines()
    pattern = r"época {}/2  pérdida [\d.]+  validación [\d.]+  top-1 [\d.]+%  \d+ imágenes/s"
    assert re.fullmatch(pattern.format(1), first)
    assert re.fullmatch(pattern.format(2), second)
    assert re.fullmatch(r"prueba: top-1 [\d.]+%, top-5 [\d.]+%, pérdida [\d.]+", test)
    path = tmp_path / "pesos" / "last.safetensors"
    assert where == f"pesos en {path}"

    epochs = [training.Epoch(**json.loads(line)) for line in log.read_text().splitlines()]
    assert [epoch.number for epoch in epochs] == [1, 2]
    assert f"{epochs[1].val_loss:.4f}" in second

    model = models.create("lenet5_modern", num_classes=10, in_channels=1)
    model.load_state_dict(load_file(path), strict=True)
    train, test_set = experiment.SOURCES["fashion"]("mini")
    kept, _ = data.split(train, 0.1, seed=3)
    batches = data.Batches(test_set, 128, transform=data.normalization(kept))
    assert f"{training.evaluate(model, batches).loss:.4f}" in test


def test_networks_of_other_sizes_get_resized_images(few, capsys):
    assert cli.main(["train", "lenet5", "--epochs", "4"]) == 0
    output = capsys.readouterr().out
    # Con la tasa de las demás, LeNet-5 no aprende: por eso cada ficha trae la suya.
    losses = [float(loss) for loss in re.findall(r"época .*?pérdida ([\d.]+)", output)]
    assert len(losses) == 4
    assert losses[-1] < losses[0] < 4


def test_resume_continues_bit_for_bit_weights_and_log(few, tmp_path, capsys, monkeypatch):
    def arguments(run: str, *more: str) -> list[str]:
        place = ["--checkpoints", str(tmp_path / run), "--log", str(tmp_path / f"{run}.jsonl")]
        return ["train", "alexnet_mini", "--epochs", "3", "--seed", "5", *place, *more]

    assert cli.main(arguments("entera", "--resume")) == 0  # carpeta vacía: simplemente empieza
    expected = capsys.readouterr().out

    real, calls = training.evaluate, []

    def interrupted(model, batches):
        calls.append(model)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return real(model, batches)

    with monkeypatch.context() as patch:
        patch.setattr(training, "evaluate", interrupted)
        assert cli.main(arguments("cortada")) == 130
    assert capsys.readouterr().err.endswith("cnnhistory: interrumpido\n")
    assert len(lines(tmp_path / "cortada.jsonl")) == 1

    assert cli.main(arguments("cortada", "--resume")) == 0
    output = capsys.readouterr().out
    clock = r"\d+ imágenes/s|pesos en .*"
    assert re.sub(clock, "", output) == re.sub(clock, "", expected)
    assert lines(tmp_path / "cortada.jsonl") == lines(tmp_path / "entera.jsonl")
    paths = [tmp_path / run / "last.safetensors" for run in ("entera", "cortada")]
    assert paths[0].read_bytes() == paths[1].read_bytes()

    lr = models.CATALOG["alexnet_mini"].lr
    for key, change in (
        ("seed era 5 y ahora es 6", ["--seed", "6"]),
        ("subset era mini y ahora es full", ["--subset", "full"]),
        ("epochs era 3 y ahora es 4", ["--epochs", "4"]),
        (f"lr era {lr:g} y ahora es 0.1", ["--lr", "0.1"]),
        ("batch_size era 128 y ahora es 64", ["--batch-size", "64"]),
    ):
        assert cli.main(arguments("entera", "--resume", *change)) == 1
        assert key in capsys.readouterr().err
    other = ["train", "lenet5_modern", "--epochs", "3", "--seed", "5", "--resume"]
    assert cli.main([*other, "--checkpoints", str(tmp_path / "entera")]) == 1
    assert "name era alexnet_mini y ahora es lenet5_modern" in capsys.readouterr().err


def test_resume_needs_a_folder(few, capsys):
    assert cli.main(["train", "lenet5", "--resume"]) == 1
    assert "agrega --checkpoints CARPETA" in capsys.readouterr().err
    assert few == []


@pytest.mark.parametrize("option", ["--checkpoints", "--log"])
def test_an_unwritable_place_is_refused_before_training(option, few, tmp_path, capsys):
    (tmp_path / "archivo").write_text("no soy una carpeta")
    place = tmp_path / "archivo" / "dentro"
    assert cli.main(["train", "lenet5", option, str(place / "x")]) == 1
    captured = capsys.readouterr()
    assert captured.err.startswith("cnnhistory: no se puede escribir en la carpeta")
    assert str(place) in captured.err
    assert few == []


def test_data_and_disk_problems_are_one_line(few, monkeypatch, tmp_path, capsys):
    (tmp_path / "carpeta").mkdir()
    assert cli.main(["train", "lenet5", "--log", str(tmp_path / "carpeta")]) == 1
    assert capsys.readouterr().err.startswith(
        f"cnnhistory: no se pudo usar {tmp_path / 'carpeta'}: "
    )

    def broken(_subset):
        raise data.DataError("falta el archivo x")

    monkeypatch.setattr(experiment, "SOURCES", {"fashion": broken})
    assert cli.main(["train", "lenet5"]) == 1
    assert capsys.readouterr().err == "cnnhistory: falta el archivo x\n"


def test_a_divergence_is_one_line(few, capsys):
    assert cli.main(["train", "lenet5_modern", "--epochs", "2", "--lr", "1e30"]) == 1
    assert "época 1: la pérdida dejó de ser finita en el lote 2 de 3" in capsys.readouterr().err


class Terminal:
    """Un stderr que dice ser una terminal."""

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_speed_loss_and_remaining_time(few, monkeypatch, capsys):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(cli.tqdm, "__init__", _always_drawing(cli.tqdm.__init__, terminal))
    arguments = ["train", "lenet5_modern", "--epochs", "2", "--batch-size", "100"]
    assert cli.main(arguments) == 0
    drawn = terminal.text.split("\r")
    assert re.search(r"542/542 \[\d+:\d+<\d+:\d+, .*imágenes/s, pérdida \d", drawn[-1])
    shown = {
        images: re.findall(
            rf" {images}/542 .*pérdida (\d\.\d{{4}})", terminal.text.replace("\r", "\n")
        )
        for images in (100, 200, 271)
    }  # desde el primer lote, y la de cada uno
    assert len({losses[-1] for losses in shown.values()}) == 3
    assert "época 2/2" in capsys.readouterr().out


class Unread:
    """Una pérdida que cuenta cuántas veces la leen."""

    def __init__(self):
        self.times = 0

    def item(self):
        self.times += 1
        return 2.5


def test_a_loss_is_read_only_when_the_bar_is_drawn(few, monkeypatch):
    terminal, loss, drawn = Terminal(), Unread(), iter([None, True, None])

    def run(*_parts, on_batch, **_options):
        for _ in range(3):
            on_batch(loss, 10)
        return experiment.Result(torch.nn.Identity(), [], None)

    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(experiment, "run", run)
    monkeypatch.setattr(cli.tqdm, "update", lambda bar, images: next(drawn))
    assert cli.main(["train", "lenet5_modern", "--epochs", "1"]) == 0
    assert loss.times == 1
    assert "pérdida 2.5000" in terminal.text


def _always_drawing(real, terminal):
    def init(self, **settings):
        real(self, **settings | {"file": terminal, "mininterval": 0, "miniters": 1})

    return init


def test_as_a_process():
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "cnnhistory.cli", "show", "lenet5"],
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Gradient-Based Learning" in done.stdout


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_without_our_letters_does_not_stop_anything(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    command = [sys.executable, "-m", "cnnhistory.cli", "list"]
    ended = subprocess.run(command, capture_output=True, env=environment, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert b"resnet18" in ended.stdout


def test_a_refused_run_keeps_the_log_of_the_other(tmp_path, capsys):
    log = tmp_path / "registro.jsonl"
    log.write_text("otra\n")
    assert cli.main(["train", "softmax", "--dataset", "fahsion", "--log", str(log)]) == 1
    assert log.read_text() == "otra\n"


def test_a_device_that_cannot_add_in_float64_is_refused(monkeypatch):
    """Las GPU de Apple: mejor al leer los argumentos que al validar la primera época."""
    real = torch.zeros

    def zeros(*size, dtype=None, device=None):
        if device == "mps" and dtype is torch.float64:
            raise TypeError("Cannot convert a MPS Tensor to float64 dtype")
        return real(*size, dtype=dtype, device="cpu")

    monkeypatch.setattr(torch, "zeros", zeros)
    with pytest.raises(argparse.ArgumentTypeError, match="no puede usar aquí el dispositivo «mps»"):
        cli._device("mps")
    assert cli._device("cpu") == "cpu"
