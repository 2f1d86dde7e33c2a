"""Accuracy over the parameter of a corruption, and the tolerance at a required accuracy."""

import json
import math
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.datasets import find
from advcli.errors import UsageError
from advcli.records import Score, Swept, Tolerance
from advcli.tasks.benchmark.intervals import wilson
from advcli.tasks.benchmark.request import Execution, Request, Shard
from advcli.tasks.benchmark.run import evaluate
from advcli.tasks.benchmark.sweeps import Sweep, read_sweep, with_holds
from advcli.tasks.benchmark.tolerance import MOST_FURTHER, Bounds, next_value, tolerance_fields
from conftest import Command, make_classifier
from evaluations import lines, records, request, untimed

RADIUS = read_sweep("defocus:radius=0..6/7")
PHOTONS = read_sweep("low_light:photons=1000..10/7,log")
CLEAN = (0.97, 0.99)


def search(
    sweep: Sweep, measure: Callable[[float], Bounds], required: float, clean: Bounds = CLEAN
) -> tuple[dict, dict[float, Bounds]]:
    """Find a tolerance: the fields of its record, and the bounds at every value that was measured."""
    bounds = {value: measure(value) for value in sweep.values}
    while (value := next_value(sweep, clean, bounds, required)) is not None:
        assert value not in bounds, "no value is measured twice"
        bounds[value] = measure(value)
    return tolerance_fields(sweep, clean, bounds, required), bounds


def around(accuracy: float, half: float = 0.02) -> Bounds:
    return accuracy - half, accuracy + half


@pytest.mark.parametrize(
    ("text", "values", "specs"),
    [
        ("defocus:radius=0..6/7", (0, 1, 2, 3, 4, 5, 6), ("defocus:radius=0", "defocus:radius=6")),
        ("Defocus: radius = 6 .. 0 / 3", (0, 3, 6), ("defocus:radius=0", "defocus:radius=6")),
        ("defocus:radius=1/2..3/2/2", (0.5, 1.5), ("defocus:radius=0.5", "defocus:radius=1.5")),
        (
            "low-light:photons=10..1000/3,log,read_noise=2",
            (1000, 100, 10),
            ("low_light:photons=1000,read_noise=2", "low_light:photons=10,read_noise=2"),
        ),
        (
            "low_light:read_noise=2,photons=1e3..10/4,LOG",
            (1000, 215.4, 46.4, 10),
            ("low_light:read_noise=2,photons=1000", "low_light:read_noise=2,photons=10"),
        ),
        (
            "defocus:radius=0..1/2+low_light:photons=50",
            (0, 1),
            ("defocus:radius=0+low_light:photons=50", "defocus:radius=1+low_light:photons=50"),
        ),
    ],
)
def test_a_sweep_goes_from_the_weakest_value_to_the_strongest(
    text: str, values: tuple[float, ...], specs: tuple[str, str]
) -> None:
    sweep = read_sweep(text)
    assert sweep.values == values
    assert (sweep.spec_at(values[0]), sweep.spec_at(values[-1])) == specs
    assert [sweep.position(value) for value in (values[0], values[-1])] == [0, 1]
    assert all(sweep.perturbation(value).severity is None for value in values)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "no range"),
        ("defocus", "no range"),
        ("defocus:radius=2", "no range"),
        ("defocus:radius=0..6", "not LOW..HIGH/POINTS"),
        ("defocus:radius=0...6/7", "not LOW..HIGH/POINTS"),
        ("defocus:radius=0..3..6/7", "not LOW..HIGH/POINTS"),
        ("defocus:radius=0../7", "not LOW..HIGH/POINTS"),
        ("defocus:radius=..6/7", "not a number"),
        ("defocus:radius=0..nan/7", "not a number"),
        ("defocus:radius=0..6/7.5", "not LOW..HIGH/POINTS"),
        ("defocus:radius=0..6/1", "2 to 100 points"),
        ("defocus:radius=0..6/101", "2 to 100 points"),
        ("defocus:radius=2..2/7", "is empty"),
        ("defocus:radius=0..6/7,log", "above zero"),
        ("defocus:radius=-1..6/7", "radius"),
        ("defocus:log,radius=0..6/7", "log"),
        ("defocus:rad=0..6/7", "varies 'radius'"),
        ("low_light:read_noise=0..6/7,photons=9", "varies 'photons'"),
        ("low_light:read_noise=0..6/7,photons=9..1/3", "several ranges"),
        ("defocus:radius=0..6/7+low_light", "severity"),
        ("fog:radius=0..6/7", "no physical parameter"),
        ("defocos:radius=0..6/7", "unknown corruption"),
    ],
)
def test_what_is_no_sweep_is_refused(text: str, fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        read_sweep(text)


@pytest.mark.parametrize("sweep", [RADIUS, PHOTONS])
def test_a_value_stands_in_its_spec_as_it_is(sweep: Sweep) -> None:
    for position in np.linspace(0, 1, 57):
        value = sweep.value_at(float(position))
        assert sweep.value_in(sweep.spec_at(value)) == value
        assert sweep.position(value) == pytest.approx(position, abs=1e-3)
        assert len(f"{value:.10g}") <= 5


def test_bisection_finds_where_each_bound_crosses() -> None:
    found, bounds = search(RADIUS, lambda radius: around(1 - radius / 10), 0.7)
    # The lower bound, 0.98 - r / 10, is 0.7 at 2.8; the upper one at 3.2.
    assert 2.8 - 0.06 < found["value"] <= 2.8
    assert found["low"] == found["value"]
    assert found["high"] == pytest.approx(3.2, abs=0.01)
    assert not found["censored"]
    assert found["evaluations"] == len(bounds) - 7 <= MOST_FURTHER
    assert found["statement"] == f"holds to {found['value']:g} pixels of defocus"


def test_where_smaller_is_stronger_the_tolerance_is_the_smallest_value() -> None:
    found, _ = search(PHOTONS, lambda photons: around(min(0.99, 0.3 + 0.25 * np.log10(photons))), 0.8)
    lower, upper = 10 ** ((0.82 - 0.3) / 0.25), 10 ** ((0.78 - 0.3) / 0.25)
    assert lower <= found["value"] < lower * 1.05
    assert found["high"] == found["value"]
    assert found["low"] == pytest.approx(upper, rel=0.01)
    assert found["statement"] == f"holds to {found['value']:g} photons of low_light"


def test_the_tolerance_ends_before_the_first_value_that_fails() -> None:
    # Fails at 2, and meets it again from 3 on.
    found, bounds = search(RADIUS, lambda radius: around(0.5 if 1.7 < radius < 2.5 else 0.95), 0.9)
    assert 1.7 - 0.06 < found["value"] <= found["high"] < 1.7 + 0.06
    assert all(value <= 2 for value in set(bounds) - set(RADIUS.values))


def test_a_model_that_fails_clean_has_no_tolerance() -> None:
    found, bounds = search(RADIUS, lambda radius: around(0.95), 0.9, clean=(0.89, 0.93))
    assert (found["value"], found["low"], found["censored"]) == (None, None, False)
    assert len(bounds) == 7
    assert "clean accuracy is 89.0%, less than 0.9" in found["statement"]


def test_a_model_that_fails_where_the_sweep_begins_has_no_tolerance() -> None:
    sweep = read_sweep("defocus:radius=1..6/6")
    found, _ = search(sweep, lambda radius: around(0.9 - radius / 10), 0.9)
    assert (found["value"], found["low"], found["high"], found["evaluations"]) == (None, None, 1, 0)
    assert "does not hold to 1 pixels of defocus, where the sweep begins" in found["statement"]


def test_a_model_that_holds_where_the_sweep_ends_is_censored() -> None:
    found, bounds = search(RADIUS, lambda radius: around(0.95), 0.9)
    assert (found["value"], found["low"], found["high"], found["censored"]) == (6, 6, None, True)
    assert len(bounds) == 7
    assert found["statement"] == "holds to 6 pixels of defocus at least, where the sweep ends"


def test_the_value_to_hold_is_measured_itself() -> None:
    def measure(radius: float) -> Bounds:
        return around(0.93 if radius <= 2.5 else 0.5)

    # Bisection alone would stop below.
    for value, met in ((2.5, True), (2.501, False), (2, True), (5, False)):
        (sweep,) = with_holds([RADIUS], [f"defocus:radius={value}"])
        found, bounds = search(sweep, measure, 0.9)
        assert found["met"] is met, value
        assert value in bounds
        assert found["evaluations"] <= MOST_FURTHER
    (sweep,) = with_holds([PHOTONS], ["low-light: photons=50"])
    assert search(sweep, lambda photons: around(0.95 if photons > 40 else 0.5), 0.9)[0]["met"] is True
    assert search(sweep, lambda photons: around(0.95 if photons > 60 else 0.5), 0.9)[0]["met"] is False
    assert search(RADIUS, measure, 0.9)[0]["met"] is None


@pytest.mark.parametrize(
    ("texts", "fault"),
    [
        (["defocus:radius=7"], "outside its sweep, 0 to 6"),
        (["low_light:photons=50"], "names no sweep"),
        (["defocus"], "names no sweep"),
        (["defocus:radius=a"], "not a number"),
        (["defocus:radius=1", "defocus:radius=2"], "given twice"),
    ],
)
def test_what_no_sweep_can_hold_is_refused(texts: list[str], fault: str) -> None:
    with pytest.raises(UsageError, match=fault):
        with_holds([RADIUS], texts)


@pytest.mark.parametrize(
    ("text", "images"), [("defocus:radius=0..6/7", 400), ("low_light:photons=1000..10/4,log", 900)]
)
def test_the_interval_covers_the_true_tolerance(text: str, images: int) -> None:
    sweep, generator, required = read_sweep(text), np.random.default_rng(0), 0.8

    def accuracy(position: float) -> float:
        return 0.98 / (1 + math.exp((position - 0.6) / 0.12))

    true = 0.6 + 0.12 * math.log(0.98 / required - 1)
    covered = claimed_too_much = 0
    simulations = 1000
    for _ in range(simulations):
        # An image stays correct up to its own strength, as the random numbers are the same at every value.
        strengths = generator.random(images)

        def measure(value: float, strengths: np.ndarray = strengths) -> Bounds:
            return wilson(int((strengths < accuracy(sweep.position(value))).sum()), images)

        found, _ = search(sweep, measure, required)
        weak, strong = (found["low"], found["high"]) if sweep.increasing else (found["high"], found["low"])
        inside = (weak is None or sweep.position(weak) <= true) and (strong is None or true <= sweep.position(strong))
        covered += inside
        claimed_too_much += found["value"] is not None and sweep.position(found["value"]) > true
    assert covered / simulations == pytest.approx(0.95, abs=0.02)
    assert claimed_too_much / simulations <= 0.035


def of_class_means(name: str, folder: Path, shrink: float) -> None:
    """Write a model that predicts the class with the nearest mean; one that shrinks their length is worse."""
    train = find("digits")().train
    pixels = np.stack([train.read(index)[..., 0] for index in range(len(train))]) / 255
    means = np.stack([pixels[train.labels == label].mean(axis=0).ravel() for label in range(10)])
    classifier = replace(make_classifier("linear", channels=1, classes=10), labels=tuple(map(str, range(10))))
    kernel, bias = classifier.model.weights
    kernel.assign(2 * means.T)
    bias.assign(-shrink * (means**2).sum(axis=1))
    classifier.save(folder / f"{name}.keras")


SWEEPS = ("defocus:radius=0..2/5", "low_light:read_noise=2,photons=1000..1/4,log")


def swept_request(folder: Path, **changes: Any) -> Request:
    usual = {
        "models": (str(folder / "means.keras"), str(folder / "biased.keras")),
        "data": "digits",
        "attacks": (),
        "noises": (),
        "corruptions": ("defocus:radius=1",),
        "sweeps": SWEEPS,
        "require": 0.8,
        "batch": 128,
        "limit": 200,
    }
    return request(folder, **(usual | changes))


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two models of the digits, and what their sweeps found."""
    folder = tmp_path_factory.mktemp("swept")
    of_class_means("means", folder, 1)
    of_class_means("biased", folder, 0.95)
    records(swept_request(folder), out=folder / "results.jsonl", report=folder / "report.html", figure=folder / "a.svg")
    return folder


def found_in(file: Path, kind: str) -> list[dict[str, Any]]:
    return [line for line in lines(file) if line["type"] == kind]


def test_every_image_is_predicted_once_at_every_point(swept: Path) -> None:
    predicted = Counter(
        (line["model"], line["perturbation"], index)
        for line in found_in(swept / "results.jsonl", "verdicts")
        for index in line["indices"]
    )
    assert set(predicted.values()) == {1}
    sweeps = found_in(swept / "results.jsonl", "sweep")
    points = {(line["model"], spec) for line in sweeps for spec in line["perturbations"]}
    assert {(model, spec) for model, spec, _ in predicted if spec != "clean"} == points


def test_the_points_of_a_sweep_are_scores(swept: Path) -> None:
    scores = {(line["model"], line["perturbation"]): line for line in found_in(swept / "results.jsonl", "score")}
    sweeps = found_in(swept / "results.jsonl", "sweep")
    assert [(line["model"], line["perturbation"], line["parameter"]) for line in sweeps] == [
        ("means", "defocus", "radius"),
        ("biased", "defocus", "radius"),
        ("means", "low_light:read_noise=2", "photons"),
        ("biased", "low_light:read_noise=2", "photons"),
    ]
    for line in sweeps:
        points = [scores[line["model"], spec] for spec in line["perturbations"]]
        assert [point["accuracy"] for point in points] == line["accuracies"]
        assert [point["low"] for point in points] == line["lows"]
        assert line["values"] == sorted(line["values"], reverse=line["parameter"] == "photons")
        assert len(line["accuracies"]) >= (5 if line["parameter"] == "radius" else 4)


def test_the_tolerance_is_where_the_lower_bound_last_meets_the_requirement(swept: Path) -> None:
    sweeps = found_in(swept / "results.jsonl", "sweep")
    for tolerance, sweep in zip(found_in(swept / "results.jsonl", "tolerance"), sweeps, strict=True):
        meets = [low >= 0.8 for low in sweep["lows"]]
        assert tolerance["value"] == sweep["values"][meets.index(False) - 1]
        assert tolerance["evaluations"] == len(meets) - (5 if sweep["parameter"] == "radius" else 4)
        assert 1 <= tolerance["evaluations"] <= MOST_FURTHER
        assert tolerance["low"] <= tolerance["value"] <= tolerance["high"]


@pytest.mark.parametrize("kept", [0.4, 0.8])
def test_a_stopped_sweep_goes_on_to_the_same_file(swept: Path, tmp_path: Path, kept: float) -> None:
    content = (swept / "results.jsonl").read_bytes().splitlines(keepends=True)
    batches = [line for line in content if b'"verdicts"' in line]
    stopped = tmp_path / "stopped.jsonl"
    stopped.write_bytes(content[0] + b"".join(batches[: int(kept * len(batches))]) + batches[-1][:30])
    records(swept_request(swept), resume=stopped)
    assert lines(stopped) == lines(swept / "results.jsonl")


def test_another_requirement_goes_on_with_the_same_points(swept: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.jsonl"
    again.write_bytes((swept / "results.jsonl").read_bytes())
    events = list(evaluate(Request(require=0.7, checks=False), Execution(resume=again)))
    anew = records(swept_request(swept, require=0.7))
    kinds = (Score, Swept, Tolerance)
    assert untimed(e for e in events if isinstance(e, kinds)) == untimed(e for e in anew if isinstance(e, kinds))


def test_merged_results_have_the_same_tolerances_or_none(swept: Path, tmp_path: Path) -> None:
    whole = swept / "results.jsonl"
    merged = list(evaluate(Request(models=(str(whole),)), Execution(merge=True, out=tmp_path / "merged.jsonl")))
    assert untimed(e for e in merged if isinstance(e, Tolerance)) == found_in(whole, "tolerance")
    for number in (1, 2):
        records(swept_request(swept, require=None), out=tmp_path / f"{number}.jsonl", shard=Shard(number, 2))
    files = tuple(str(tmp_path / f"{number}.jsonl") for number in (1, 2))
    with pytest.raises(UsageError, match="which is not in the results"):
        list(evaluate(Request(models=files, require=0.8), Execution(merge=True)))
    list(evaluate(Request(models=files), Execution(merge=True, out=tmp_path / "both.jsonl")))
    list(evaluate(Request(require=0.8, checks=False), Execution(resume=tmp_path / "both.jsonl")))
    assert found_in(tmp_path / "both.jsonl", "tolerance") == found_in(whole, "tolerance")


@pytest.mark.parametrize(
    ("changes", "how", "fault"),
    [
        ({}, {"shard": Shard(1, 2)}, "on all images"),
        ({"sweeps": ()}, {}, "about a sweep"),
        ({"models": ()}, {"export": Path("images")}, "no effect without a model"),
        ({"require": None, "hold": ("defocus:radius=1",)}, {}, "needs the accuracy"),
        ({"hold": ("defocus:radius=3",)}, {}, "outside its sweep"),
    ],
)
def test_a_tolerance_that_cannot_be_found_is_refused(
    swept: Path, changes: dict[str, Any], how: dict[str, Any], fault: str
) -> None:
    with pytest.raises(UsageError, match=fault):
        evaluate(swept_request(swept, **changes), Execution(**how))


def test_the_report_and_the_figure_show_sweeps_and_tolerances(swept: Path) -> None:
    page, figure = (swept / "report.html").read_text(), (swept / "a.svg").read_text()
    for tolerance in found_in(swept / "results.jsonl", "tolerance"):
        assert tolerance["statement"] in page
    for text in ("defocus: radius, pixels", "low_light:read_noise=2: photons at full scale", "means", "biased"):
        assert f">{text}</text>" in figure
    summary = page[page.index('id="summary"') : page.index('id="tolerances"')]
    assert "clean" in summary
    assert "defocus" not in summary, "the points have a table of their own"


def test_the_command_says_how_far_models_hold(advcli: Command, swept: Path) -> None:
    command = ("benchmark", "means.keras", "biased.keras", "--data", "digits", "--attack", "none", "--no-checks")
    sweep = ("--sweep", "defocus:radius=0..2/3", "--require", "80%")
    shown = advcli(*command, *sweep, "--hold", "defocus:radius=0", cwd=swept)
    assert shown.returncode == 0, shown.stderr
    assert "Accuracy on digits over the radius of defocus" in shown.stdout
    assert "holds to " in shown.stdout
    accuracies = shown.stdout[: shown.stdout.index("over the radius")]
    assert "clean" in accuracies
    assert "defocus:radius" not in accuracies, "the points have a table of their own"
    failed = advcli(*command, *sweep, "--hold", "defocus:radius=2", "--json", cwd=swept)
    assert failed.returncode == 3
    tolerances = [json.loads(line) for line in failed.stdout.splitlines() if '"tolerance"' in line]
    assert [tolerance["met"] for tolerance in tolerances] == [False, False]
    assert failed.stderr.count("radius 2 is required") == 2
