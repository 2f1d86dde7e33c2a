"""A budget of time: what it is spent on, and that what it says is an upper bound."""

from pathlib import Path

import pytest

from advcli.records import Progress, Score
from advcli.tasks.benchmark import time_budget as spending
from advcli.tasks.benchmark.request import Execution
from advcli.tasks.benchmark.run import run
from evaluations import IMAGES, lines, records, request


def worst(found: list) -> dict[str, Score]:
    return {record.model: record for record in found if isinstance(record, Score) and record.perturbation == "worst"}


@pytest.fixture(scope="module")
def unbounded(evaluated: Path) -> dict[str, Score]:
    asked = request(evaluated, threats=(("linf", 0.03),), noises=(), corruptions=())
    return worst(records(asked))


def test_with_time_enough_the_worst_case_is_that_without_a_budget(
    evaluated: Path, unbounded: dict[str, Score], tmp_path: Path
) -> None:
    asked = request(evaluated, threats=(("linf", 0.03),), noises=(), corruptions=())
    file = tmp_path / "spent.jsonl"
    found = worst(records(asked, budget=1000.0, out=file))
    for model, score in found.items():
        assert (score.correct, score.searched) == (unbounded[model].correct, None)
    # An image that has fallen is left alone.
    attacked = [line for line in lines(file) if line["type"] == "verdicts" and line["norm"]]
    fooled: set[tuple[str, int]] = set()
    labels = {
        (line["model"], row): label
        for line in lines(file)
        if line["type"] == "verdicts" and line["labels"]
        for row, label in zip(line["indices"], line["labels"], strict=True)
    }
    for line in attacked:
        for row, predicted in zip(line["indices"], line["predicted"], strict=True):
            assert (line["model"], row) not in fooled
            if predicted != labels[line["model"], row]:
                fooled.add((line["model"], row))
    assert fooled


def test_without_time_everything_is_an_upper_bound(
    evaluated: Path, unbounded: dict[str, Score], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ticks = iter(range(100000))
    monkeypatch.setattr(spending.time, "perf_counter", lambda: next(ticks))
    asked = request(evaluated, threats=(("linf", 0.03),), noises=(), corruptions=())
    events = list(run(asked, Execution(budget=12.0)))
    found = worst(events)
    for model, score in found.items():
        assert score.images == IMAGES
        assert score.correct >= unbounded[model].correct
    assert "of --budget 12 s: a batch that has begun is finished" in caplog.text
    assert found["first"].searched is not None
    assert 0 < found["first"].searched < IMAGES
    assert found["first"].correct > unbounded["first"].correct
    said = [event.what for event in events if isinstance(event, Progress)]
    assert any("first: at most" in what and f"of {IMAGES}" in what for what in said)


def test_the_first_batch_with_its_tracing_is_no_estimate_once_there_is_another() -> None:
    candidate = spending._Candidate(None, None, None)  # pyright: ignore[reportArgumentType]  only counted
    candidate.count(8, 2, 10.0)
    assert candidate.seconds_per_image == 1.25
    candidate.count(8, 1, 1.0)
    candidate.count(16, 1, 2.0)
    assert candidate.seconds_per_image == 0.125
    assert (candidate.tried, candidate.fooled) == (32, 4)
    assert candidate.promise == pytest.approx(5 / 34 / 0.125)


def test_time_goes_where_most_images_fall(evaluated: Path, tmp_path: Path) -> None:
    models = (str(evaluated / "first.keras"),)
    asked = request(
        evaluated, models=models, threats=(("linf", 0.05),), noises=(), corruptions=(), attacks=("noise", "pgd:steps=3")
    )
    file = tmp_path / "spent.jsonl"
    records(asked, budget=1000.0, out=file)
    attacked = [line for line in lines(file) if line["type"] == "verdicts" and line["norm"]]
    # Each is tried once; then all that is left goes to the one that breaks images, and at last to the other.
    order = [line["perturbation"] for line in attacked]
    assert sorted(order[:2]) == ["noise", "pgd:steps=3"]
    second = [i for i, name in enumerate(order) if name == "pgd:steps=3" and i > 1]
    others = [i for i, name in enumerate(order) if name == "noise" and i > 1]
    assert second
    assert not others or max(second) < min(others)
