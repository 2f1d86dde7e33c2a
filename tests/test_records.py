import json
import math
from dataclasses import replace

from rich.table import Table

from advcli import __version__
from advcli.cli.tables import attack_and_train as tables
from advcli.records import Epoch, Explained, Prediction, Score
from tiny_runs import epoch_record

SCORE = Score(
    model="m",
    data="d",
    seed=0,
    perturbation="clean",
    protocol="",
    norm=None,
    eps=None,
    severity=None,
    images=2,
    correct=1,
    accuracy=0.5,
    low=0.1,
    high=0.9,
    accuracy_of_clean_correct=1.0,
    seconds=0.0,
)


def test_a_record_is_one_line_of_json_with_the_common_fields() -> None:
    line = replace(SCORE, model="naïve\n模型").to_json()
    assert "\n" not in line
    content = json.loads(line)
    assert {
        "type": "score",
        "model": "naïve\n模型",
        "data": "d",
        "seed": 0,
        "version": __version__,
    }.items() <= content.items()


def test_what_is_not_finite_becomes_null() -> None:
    assert json.loads(replace(SCORE, accuracy=math.nan).to_json())["accuracy"] is None


def test_nested_records_are_written_out() -> None:
    record = Explained(
        model="m", data="d", seed=0, image="cat.png", view="clean", method="saliency", layer=None, label="cat",
        index=3, confidence=0.5, maximum=1.0, output="o", sheet="s", top=(Prediction("cat", 3, 0.5),), seconds=1.0,
    )  # fmt: skip
    assert json.loads(record.to_json())["top"] == [{"label": "cat", "index": 3, "confidence": 0.5}]


def test_an_epoch_tells_what_was_measured_and_what_went_wrong() -> None:
    content = json.loads(epoch_record(3, guard=("zero gradients",), stage=2, ema_robust=0.25).to_json())
    assert (content["type"], content["epoch"], content["stage"], content["robust"]) == ("epoch", 3, 2, 0.5)
    assert (content["guard"], content["ema_clean"], content["ema_robust"]) == (["zero gradients"], None, 0.25)


def test_the_line_of_an_epoch_shows_stage_averages_and_alarms_only_where_there_are_any() -> None:
    plain = str(tables.epoch_line(epoch_record(1)))
    assert plain == "epoch   1/20  loss 1.0000  train 50.0%  clean 80.0%  robust 50.0%  1.0 s"
    rich = epoch_record(2, stage=2, stages=3, ema_clean=0.7, ema_robust=0.4, guard=("zero gradients", "y"))
    line = str(tables.epoch_line(rich))
    assert line.startswith("epoch   2/20  stage 2/3  loss 0.5000")
    assert line.endswith("robust 50.0%  ema 70.0%/40.0%  1.0 s  zero gradients, y")


def test_the_table_of_epochs_has_no_empty_columns() -> None:
    def headings(*records: Epoch) -> list[str]:
        (table,) = tables.tables(records)
        assert isinstance(table, Table)
        return [str(column.header) for column in table.columns]

    usual = ["epoch", "loss", "train", "clean", "robust", "one step", "learning rate", "seconds"]
    assert headings(epoch_record(1), epoch_record(2)) == usual
    rich = epoch_record(2, stage=2, stages=3, ema_clean=0.7, ema_robust=0.4, guard=("zero gradients",))
    assert {*headings(epoch_record(1), rich)} == {*usual, "stage", "EMA clean", "EMA robust", "guard"}
