"""A run's folder: what is written, and that what is read back is the same."""

import csv
import errno
import json
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from PIL import Image

from advcli.backend import keras, tf
from advcli.errors import AdvcliError, UsageError
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.run_folder import Run
from conftest import make_classifier
from tiny_runs import epoch_record

HISTORY = (
    epoch_record(1, loss=0.1 + 0.2, guard=("zero gradients", "the loss does not fall")),
    epoch_record(2, ema_clean=1 / 3, ema_robust=0.0, stage=2, stages=3),
)


def values(*numbers: float) -> list:
    return [tf.Variable(number) for number in numbers]


# Checkpoints


def test_a_checkpoint_is_read_as_it_was_written(tmp_path: Path) -> None:
    checkpoint = Checkpoint(HISTORY, rollbacks=2)
    Run(tmp_path).checkpoints.save(checkpoint, values(1 / 3, 2.5))
    variables = values(0.0, 0.0)
    assert Run(tmp_path).checkpoints.restore(variables) == checkpoint
    assert [float(variable) for variable in variables] == [np.float32(1 / 3), 2.5]


def test_dropout_and_momentum_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    model(tf.ones((1, 3)), training=True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    Run(tmp_path).checkpoints.save(Checkpoint(), variables)
    expected = model(tf.ones((4, 3)), training=True).numpy()
    model(tf.ones((4, 3)), training=True)
    Run(tmp_path).checkpoints.restore(variables)
    np.testing.assert_array_equal(model(tf.ones((4, 3)), training=True), expected)


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).checkpoints.save(Checkpoint(), make_classifier().model.variables)
    with pytest.raises(AdvcliError, match="another network"):
        Run(tmp_path).checkpoints.restore(make_classifier("linear").model.variables)


def test_a_checkpoint_in_the_middle_of_an_epoch_is_gone_on_from(tmp_path: Path) -> None:
    run, variables = Run(tmp_path), values(0.0)
    whole = Checkpoint(HISTORY)
    middle = whole.advanced(1.5, 3)
    run.checkpoints.save(whole, values(1.0))
    run.checkpoints.save(middle, values(2.0))
    assert (run.checkpoints.restore(variables), float(variables[0])) == (middle, 2.0)
    # But a rollback goes to the end of an epoch: its middle may be where it went wrong.
    assert (run.checkpoints.restore(variables, whole=True), float(variables[0])) == (whole, 1.0)


@pytest.mark.parametrize("later", [Checkpoint(HISTORY), Checkpoint(HISTORY[:1], rollbacks=1)], ids=["epoch", "back"])
def test_the_middle_of_an_epoch_that_is_over_is_not_gone_back_to(later: Checkpoint, tmp_path: Path) -> None:
    run, variables = Run(tmp_path), values(0.0)
    run.checkpoints.save(Checkpoint(HISTORY[:1]), values(1.0))
    run.checkpoints.save(Checkpoint(HISTORY[:1]).advanced(1.5, 3), values(2.0))
    left_over = (tmp_path / "checkpoint" / "midway.npz").read_bytes()
    run.checkpoints.save(later, values(3.0))
    assert not (tmp_path / "checkpoint" / "midway.npz").exists()
    # As if the process had been killed before that was removed.
    (tmp_path / "checkpoint" / "midway.npz").write_bytes(left_over)
    assert (run.checkpoints.restore(variables), float(variables[0])) == (later, 3.0)


def test_going_on_from_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no readable run\.json"):
        Run(tmp_path).description.read_recipe()
    with pytest.raises(AdvcliError, match="no checkpoint to resume from"):
        Run(tmp_path).checkpoints.restore([])
    assert not Run(tmp_path).checkpoints.exist


# What else is in the folder


def test_the_history_is_a_table_of_every_column(tmp_path: Path) -> None:
    Run(tmp_path).write_history(HISTORY)
    with (tmp_path / "history.csv").open() as file:
        first, second = csv.DictReader(file)
    assert list(first) == [
        *("epoch", "stage", "loss", "train_accuracy", "clean", "robust", "single_step", "zero_gradients"),
        *("ema_clean", "ema_robust", "learning_rate", "eps", "guard", "rollbacks", "seconds"),
    ]
    assert float(first["loss"]) == 0.1 + 0.2
    assert first["guard"] == "zero gradients; the loss does not fall"
    assert (first["ema_clean"], second["guard"]) == ("", "")
    assert float(second["ema_clean"]) == 1 / 3
    assert [first["stage"], second["stage"]] == ["1", "2"]


@pytest.mark.parametrize("history", [HISTORY[:1], HISTORY, tuple(epoch_record(n) for n in range(1, 50))], ids=len)
def test_the_curves_are_a_picture_whatever_the_history(history: tuple, tmp_path: Path) -> None:
    Run(tmp_path).write_history(history)
    with Image.open(tmp_path / "curves.png") as curves:
        assert curves.size == (1000, 550)
        assert np.asarray(curves.convert("L")).min() < 100


def test_the_curves_show_stages_averages_and_alarms(tmp_path: Path) -> None:
    pictures = set()
    for i, change in enumerate(
        ({}, {"stage": 2, "stages": 2}, {"ema_clean": 0.5, "ema_robust": 0.4}, {"guard": ("x",)})
    ):
        run = Run(tmp_path / str(i) / "run")
        run.write_history((epoch_record(1), epoch_record(2, **change)))
        pictures.add((run.folder / "curves.png").read_bytes())
    assert len(pictures) == 4


def test_the_chosen_model_is_a_copy(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.save_model(make_classifier("linear"), "best-clean")
    run.choose_model("best-clean")
    assert (tmp_path / "model.keras").read_bytes() == (tmp_path / "best-clean.keras").read_bytes()


def test_a_description_is_read_back(tmp_path: Path) -> None:
    Run(tmp_path).description.write({"data": "digits", "augment": ["crop"]}, {"train": {"fingerprint": "a"}})
    assert Run(tmp_path).description.read_recipe() == {"data": "digits", "augment": ["crop"]}
    versions = json.loads((tmp_path / "run.json").read_text())["versions"]
    assert versions.keys() >= {"advcli", "tensorflow", "keras", "numpy", "python"}


def test_other_images_are_refused(tmp_path: Path) -> None:
    images = {"images": 3, "fingerprint": "a"}
    Run(tmp_path).description.write({}, {"train": images, "validation": images})
    Run(tmp_path).description.refuse_other_data({"train": images, "validation": images})
    with pytest.raises(AdvcliError, match=r"the validation images of .* have changed"):
        Run(tmp_path).description.refuse_other_data({"train": images, "validation": {"images": 3, "fingerprint": "b"}})


def test_what_is_there_is_not_overwritten(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.refuse_existing()
    (tmp_path / "run").mkdir()
    run.refuse_existing()
    run.checkpoints.save(Checkpoint(), [])
    with pytest.raises(UsageError, match="run folder exists") as caught:
        run.refuse_existing()
    assert f"--resume {run.folder}" in caught.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file"):
        Run(tmp_path / "file").refuse_existing()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"'.*file' is a file"):
        Run(tmp_path / "file" / "run").refuse_existing()
    with (
        pytest.raises(AdvcliError, match=r"cannot write in '.*run': Not a directory"),
        Run(tmp_path / "file" / "run").locked(),
    ):
        pass
    refuse = mock.Mock(side_effect=OSError(errno.EROFS, "Read-only file system"))
    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(UsageError, match=r"cannot write into '.*run': Read-only file system") as caught:
        Run(tmp_path / "new" / "run").refuse_existing()
    assert "another folder" in caught.value.hint


def test_clearing_removes_what_a_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    run = Run(tmp_path)
    run.write_history(HISTORY)
    run.description.write({}, {})
    run.checkpoints.save(Checkpoint(), [])
    run.checkpoints.save(Checkpoint().advanced(1.0, 1), [])
    for name in ("model", "best-robust", "best-clean", "last", "ema"):
        (tmp_path / f"{name}.keras").write_text("")
    for name in ("notes.txt", ".notes"):
        (tmp_path / name).write_text("mine")
    # What is left of files that were being written when the process was killed.
    for name in (".curves.png.7jgir_en", ".ema.keras.x2k.keras", "checkpoint/.state.npz.abc"):
        (tmp_path / name).write_text("")
    run.clear()
    assert {path.name for path in tmp_path.rglob("*") if path.is_file()} == {"notes.txt", ".notes"}
