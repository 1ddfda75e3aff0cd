"""El registro de las épocas: JSON que pandas lee, y TensorBoard si está."""

import dataclasses
import sys

import pandas
import pytest

from cnnhistory import logs
from cnnhistory.training import Epoch

EPOCHS = [Epoch(1, 2.3, 2.2, 0.1, 0.5, 1.5, 100.0), Epoch(2, 1.3, 1.25, 0.5, 0.9, 1.25, 120.0)]


def test_json_lines_are_the_epochs_and_start_empty(tmp_path):
    path = tmp_path / "registro.jsonl"
    path.write_text("de otra vez\n")
    write = logs.json_lines(path)
    assert path.read_text() == "de otra vez\n"  # si nada llega a entrenarse, nada se pierde
    for epoch in EPOCHS:
        write(epoch)
    table = pandas.read_json(path, lines=True)
    assert [Epoch(**row) for row in table.to_dict("records")] == EPOCHS


# TensorBoard usa llamadas de NumPy y de protobuf que avisan de su edad.
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_tensorboard_draws_every_field_and_forgets_what_a_resumed_run_repeats(tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    first = logs.tensorboard(tmp_path)
    first(EPOCHS[0])
    again = logs.tensorboard(tmp_path)  # al reanudar se cuentan otra vez las recuperadas
    for epoch in EPOCHS:
        again(epoch)
    read = EventAccumulator(str(tmp_path))
    read.Reload()
    names = [field.name for field in dataclasses.fields(Epoch) if field.name != "number"]
    assert set(read.Tags()["scalars"]) == set(names)
    for name in names:
        points = [(point.step, point.value) for point in read.Scalars(name)]
        assert points == [(e.number, pytest.approx(getattr(e, name))) for e in EPOCHS]


def test_without_tensorboard_it_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(ValueError, match="pip install tensorboard"):
        logs.tensorboard(tmp_path)
