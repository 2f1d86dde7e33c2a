"""Averages of runs: the weights, the scores of the mixes, what is saved and what is refused."""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.backend import keras
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import Classifier
from advcli.model.load import load
from advcli.model.same_network import refuse_other_network
from advcli.records import Averaged, Mixed, Trained
from advcli.tasks.train.average import make_average
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run import make_job
from conftest import Command, make_classifier

OPTIONS: dict[str, Any] = {"data": "digits", "limit": 300, "batch": 32, "eps": 0.1, "robust_images": 32}


def train(out: Path, **options: Any) -> Trained:
    *_, trained = make_job(Request(**OPTIONS | options), Execution(out=out)).events()
    assert isinstance(trained, Trained)
    return trained


Runs = Mapping[str, Path]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """Three fine-tunings of one start, two of them clean and one robust."""
    folder = tmp_path_factory.mktemp("runs")
    layers = keras.layers
    keras.utils.set_random_seed(2)
    start = folder / "start.keras"
    network = [
        keras.Input((8, 8, 1)),
        *(layers.Conv2D(8, 3, padding="same"), layers.BatchNormalization(momentum=0.8), layers.ReLU()),
        *(layers.Flatten(), layers.Dense(10)),
    ]
    keras.Sequential(network).save(start)
    common = {"model": str(start), "input_range": (0.0, 1.0), "batchnorm": "training", "learning_rate": 0.05}
    train(folder / "clean", objective="clean", epochs=3, **common)
    train(folder / "short", objective="clean", epochs=1, **common)
    train(folder / "robust", objective="n-fgsm", epochs=3, **common)
    return {path.stem: path for path in folder.iterdir()}


def averaged(runs: Runs, names: str, out: Path, how: dict[str, Any] | None = None, **options: Any) -> tuple[Any, ...]:
    """Average runs; return the records of the mixes and of the saved one."""
    paths = tuple(str(runs[name]) for name in names.split())
    execution = Execution(average=True, runs=paths, out=out, **how or {})
    events = list(make_average(Request(**options), execution).events())
    mixes = [event for event in events if isinstance(event, Mixed)]
    assert isinstance(events[-1], Averaged)
    return mixes, events[-1]


def values(path: Path) -> list[np.ndarray]:
    return [np.array(variable) for variable in load(path / "model.keras", "any").model.variables]


def test_two_runs_are_mixed_in_eleven_shares(runs: Runs, tmp_path: Path) -> None:
    mixes, best = averaged(runs, "clean robust", tmp_path / "out")
    assert [mix.weights for mix in mixes] == [(step / 10, (10 - step) / 10) for step in range(10, -1, -1)]
    scores = {mix.weights: (mix.robust, mix.clean) for mix in mixes}
    assert scores[best.weights] == max(scores.values()) == (best.robust, best.clean)
    assert best.select == "robust"
    content = json.loads((tmp_path / "out" / "run.json").read_text())
    said = content["resolved"]["average"]
    assert said["weights"] == list(best.weights)
    assert [mix["robust"] for mix in said["mixes"]] == [mix.robust for mix in mixes]
    assert [Path(each["path"]).parent.name for each in said["runs"]] == ["clean", "robust"]


def test_the_ends_are_the_runs_themselves(runs: Runs, tmp_path: Path) -> None:
    mixes, _ = averaged(runs, "clean robust", tmp_path / "out")
    for mix, name in ((mixes[0], "clean"), (mixes[-1], "robust")):
        lines = (runs[name] / "history.csv").read_text().splitlines()
        columns = lines[0].split(",")
        history = [dict(zip(columns, line.split(","), strict=True)) for line in lines[1:]]
        assert (mix.clean, mix.robust) in [(float(epoch["clean"]), float(epoch["robust"])) for epoch in history]


def test_what_is_saved_is_the_mean_of_the_weights_and_the_statistics(runs: Runs, tmp_path: Path) -> None:
    _, best = averaged(runs, "clean robust", tmp_path / "out", {"select": "both"})
    first, second = best.weights
    saved, one, two = (values(path) for path in (tmp_path / "out", runs["clean"], runs["robust"]))
    statistics = 0
    model = load(tmp_path / "out" / "model.keras", "any").model
    for variable, mean, a, b in zip(model.variables, saved, one, two, strict=True):
        np.testing.assert_allclose(mean, first * a + second * b, rtol=1e-5, atol=1e-6)
        statistics += "moving" in variable.path and bool(np.abs(a - b).max() > 1e-4)
    assert statistics > 0
    assert best.select == "both"


def test_a_mix_of_calibrated_runs_has_a_temperature_of_its_own(runs: Runs, tmp_path: Path) -> None:
    paths = {}
    for name, objective in (("one", "clean"), ("two", "n-fgsm")):
        start = {"model": str(runs["start"]), "input_range": (0.0, 1.0), "batchnorm": "training"}
        train(tmp_path / name, objective=objective, epochs=3, learning_rate=0.05, calibrate=True, **start)
        paths[name] = tmp_path / name
    _, best = averaged(paths, "one two", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "run.json").read_text())["calibration"] == asdict(best.calibration)
    # The scores of plain mixes, divided by the temperature that was reported.
    _, plain = averaged(runs, "clean robust", tmp_path / "plain")
    _, fitted = averaged(runs, "clean robust", tmp_path / "fitted", calibrate=True)
    assert plain.calibration is None and plain.weights == fitted.weights
    pixels = np.random.default_rng(0).random((20, 8, 8, 1)).astype(np.float32)
    before, after = (load(tmp_path / name / "model.keras", "any").logits_of(pixels) for name in ("plain", "fitted"))
    assert abs(fitted.calibration.temperature - 1) > 0.01
    np.testing.assert_allclose(after * fitted.calibration.temperature, before, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("select", ["clean", "robust", "both"])
def test_the_best_mix_has_most_of_what_is_asked_for(select: str, runs: Runs, tmp_path: Path) -> None:
    mixes, best = averaged(runs, "clean robust", tmp_path / "out", {"select": select})
    score = {
        "clean": lambda mix: (mix.clean, mix.robust),
        "robust": lambda mix: (mix.robust, mix.clean),
        "both": lambda mix: mix.clean + mix.robust,
    }[select]
    assert score(best) == max(map(score, mixes))


def test_clean_runs_are_compared_by_their_clean_accuracy(runs: Runs, tmp_path: Path) -> None:
    mixes, best = averaged(runs, "clean short", tmp_path / "out")
    assert best.select == "clean"
    assert best.clean == max(mix.clean for mix in mixes)


def test_a_soup_grows_by_the_runs_that_do_not_make_it_worse(runs: Runs, tmp_path: Path) -> None:
    mixes, best = averaged(runs, "clean short robust", tmp_path / "out", {"select": "clean"})
    found = {tuple(np.round(mix.weights, 6)): (mix.clean, mix.robust) for mix in mixes}
    assert len(found) == len(mixes)
    alone = {i: found[tuple(float(i == j) for j in range(3))] for i in range(3)}
    third = round(1 / 3, 6)
    assert (third, third, third) in found
    order = sorted(range(3), key=alone.__getitem__, reverse=True)
    kept = order[:1]
    for i in order[1:]:
        trial, now = (
            found[tuple(round(1 / len(part), 6) if j in part else 0.0 for j in range(3))] for part in ([*kept, i], kept)
        )
        kept += [i] if trial >= now else []
    assert (best.clean, best.robust) == max(found.values())
    assert len(found) <= 3 + 1 + 2


def test_the_command_shows_the_mixes_and_the_result_is_a_run(advcli: Command, runs: Runs, tmp_path: Path) -> None:
    paths = [runs["clean"], runs["robust"]]
    result = advcli("train", "--average", *paths, "--out", "average", "--json")
    assert result.returncode == 0, result.stderr
    records = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["type"] for record in records] == [*["mixed"] * 11, "averaged"]
    table = advcli("train", "--average", *paths, "--out", "again", "--overwrite")
    assert "share of robust" in " ".join(table.stdout.split())
    assert table.stdout.count("saved") == 1
    scored = advcli("benchmark", "average", "--limit", "20", "--attack", "fgsm", "--json")
    assert scored.returncode == 0, scored.stderr
    resumed = advcli("train", "--resume", "average", "--epochs", "9")
    assert resumed.returncode == 2
    assert "is an average of runs" in resumed.stderr
    taken = advcli("train", "--average", *paths, "--out", "average")
    assert taken.returncode == 2
    assert "run folder exists" in taken.stderr
    other = advcli("train", "--average", runs["clean"], runs["robust"] / "last.keras", "--out", "files", "--json")
    assert other.returncode == 0, other.stderr


def test_runs_of_other_images_are_refused(runs: Runs, tmp_path: Path) -> None:
    train(tmp_path / "few", model=str(runs["clean"] / "model.keras"), objective="clean", epochs=1, limit=200)
    with pytest.raises(UsageError, match="differ in --limit: 300 and 200"):
        averaged({**runs, "few": tmp_path / "few"}, "clean few", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_runs_of_other_radii_need_one_to_validate_with(runs: Runs, tmp_path: Path) -> None:
    start = str(runs["clean"] / "model.keras")
    train(tmp_path / "far", model=start, objective="n-fgsm", epochs=1, eps=0.2)
    both = {**runs, "far": tmp_path / "far"}
    with pytest.raises(UsageError, match=r"differ in --eps: 0\.1 in 'robust', 0\.2 in 'far'"):
        averaged(both, "robust far", tmp_path / "out")
    _, best = averaged(both, "robust far", tmp_path / "out", eps=0.15)
    assert best.eps == 0.15
    # A clean run has no radius of its own.
    _, best = averaged(both, "clean far", tmp_path / "other")
    assert best.eps == 0.2


def test_changed_images_are_refused(runs: Runs, tmp_path: Path) -> None:
    shutil.copytree(runs["clean"], tmp_path / "old")
    file = tmp_path / "old" / "run.json"
    content = json.loads(file.read_text())
    content["resolved"]["validation"]["fingerprint"] = "0" * 16
    file.write_text(json.dumps(content))
    with pytest.raises(AdvcliError, match="validation images of 'old' have changed"):
        averaged({**runs, "old": tmp_path / "old"}, "robust old", tmp_path / "out")


def test_a_result_is_not_written_over_a_run_that_is_averaged(runs: Runs) -> None:
    with pytest.raises(UsageError, match="is to be averaged"):
        averaged(runs, "clean robust", runs["clean"], {"overwrite": True})
    assert (runs["clean"] / "history.csv").exists()


# One network


def renamed(classifier: Classifier, **changes: Any) -> Classifier:
    return replace(classifier, name="other", **changes)


def test_other_weights_are_the_same_network() -> None:
    refuse_other_network(make_classifier(), renamed(make_classifier()))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (lambda: make_classifier("small:width=4"), r"not the same network: layer \d+ \('.+'\), \w+: .*8.* and .*4"),
        (lambda: make_classifier("linear"), "not the same network"),
        (lambda: make_classifier(classes=5), "differ in their classes: 4 and 5"),
        (lambda: make_classifier(channels=1), "differ in their channels: 3 and 1"),
        (lambda: make_classifier(edge=16), "differ in their image size"),
        (lambda: replace(make_classifier(), input_range=(0.0, 255.0)), "differ in their input range"),
        (
            lambda: replace(make_classifier(), labels=("kind 1", "kind 0", "kind 2", "kind 3")),
            "differ in their classes: class 0 is 'kind 0' and 'kind 1'",
        ),
    ],
)
def test_another_network_is_refused_by_its_difference(other: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        refuse_other_network(make_classifier(), renamed(other()))


def test_a_difference_without_weights_is_found() -> None:
    one, two = (make_classifier(f"mobilenetv2:stem_stride={stride}", edge=32) for stride in (1, 2))
    assert [weight.shape for weight in one.model.weights] == [weight.shape for weight in two.model.weights]
    with pytest.raises(UsageError, match="strides"):
        refuse_other_network(one, renamed(two))
