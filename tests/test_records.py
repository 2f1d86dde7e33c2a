import json
import math
from dataclasses import replace

from advcli import __version__
from advcli.records import Epoch, Prediction, Score

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
    record = Epoch(
        model="m", data="d", seed=0, epoch=1, of=2, loss=1.0, train_accuracy=0.5, clean=0.5, robust=0.25,
        learning_rate=0.1, seconds=1.0,
    )  # fmt: skip
    assert json.loads(record.to_json())["robust"] == 0.25
    assert Prediction("cat", 3, 0.5).label == "cat"
