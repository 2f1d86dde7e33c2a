"""Data that have moved: a run or an evaluation goes on where they are the same, and is refused where not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli.cli.config import _content
from advcli.errors import AdvcliError, UsageError
from advcli.records import Epoch, Score
from advcli.tasks.benchmark.request import Execution, Request
from advcli.tasks.benchmark.run import evaluate
from advcli.tasks.train.request import Execution as TrainExecution
from advcli.tasks.train.request import Request as TrainRequest
from advcli.tasks.train.run import make_job
from evaluations import records, request, untimed


def pets(top: Path, seed: int = 0) -> Path:
    draw = np.random.default_rng(seed)
    for label in ("cat", "dog"):
        (top / label).mkdir(parents=True)
        for number in range(10):
            Image.fromarray(draw.integers(0, 256, (8, 8, 3), dtype=np.uint8)).save(top / label / f"{number}.png")
    return top


QUICK: dict[str, Any] = {"backbone": "linear", "objective": "clean", "augment": (), "edge": 8, "epochs": 1, "batch": 8}


def train(how: TrainExecution, **options: Any) -> list[int]:
    job = make_job(TrainRequest(**options), how)
    return [event.epoch for event in job.events() if isinstance(event, Epoch)]


def test_training_goes_on_with_data_that_moved(tmp_path: Path) -> None:
    data, run = pets(tmp_path / "here" / "pets"), tmp_path / "here" / "run"
    assert train(TrainExecution(out=run), data=str(data), **QUICK) == [1]
    relative = json.loads((run / "run.json").read_text())["relative"]
    assert relative == {"data": "../pets"}
    data.rename(tmp_path / "animals")
    with pytest.raises(UsageError, match="no data set called"):
        train(TrainExecution(resume=run), epochs=2)
    assert train(TrainExecution(resume=run), epochs=2, data=str(tmp_path / "animals")) == [2]
    other = pets(tmp_path / "others", seed=1)
    with pytest.raises(AdvcliError, match=r"images of .* have changed"):
        train(TrainExecution(resume=run), epochs=3, data=str(other))
    content = json.loads((run / "run.json").read_text())
    assert "data_identity" not in _content(run / "run.json")
    # Both moved together: the path relative to the run finds them.
    (tmp_path / "animals").rename(tmp_path / "here" / "animals")
    content["relative"] = {"data": "../animals"}
    (run / "run.json").write_text(json.dumps(content))
    (tmp_path / "here").rename(tmp_path / "there")
    job = make_job(TrainRequest(epochs=3), TrainExecution(resume=tmp_path / "there" / "run"))
    assert Path(job.recipe.data).resolve() == (tmp_path / "there" / "animals").resolve()
    assert len(job.dataset.train) == 16


def test_an_evaluation_goes_on_with_data_that_moved(evaluated: Path, tmp_path: Path) -> None:
    shutil.copy(evaluated / "data.npz", tmp_path / "data.npz")
    asked = replace(request(evaluated, corruptions=(), noises=()), data=str(tmp_path / "data.npz"))
    whole = records(asked, out=tmp_path / "r.jsonl")
    (tmp_path / "data.npz").rename(tmp_path / "moved.npz")
    with pytest.raises(UsageError):
        list(evaluate(Request(), Execution(resume=tmp_path / "r.jsonl")))
    again = list(evaluate(Request(data=str(tmp_path / "moved.npz")), Execution(resume=tmp_path / "r.jsonl")))
    scores = [each for each in again if isinstance(each, Score)]
    assert untimed(scores) == untimed(each for each in whole if isinstance(each, Score))
    with np.load(tmp_path / "moved.npz") as content:
        changed = {key: content[key] for key in content.files}
    changed["x_test"] = 255 - changed["x_test"]
    np.savez(tmp_path / "moved.npz", **changed)
    with pytest.raises(UsageError, match="is of another evaluation: pixels"):
        list(evaluate(Request(data=str(tmp_path / "moved.npz")), Execution(resume=tmp_path / "r.jsonl")))
