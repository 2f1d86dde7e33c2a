"""Training from end to end, and the article's promise on real data."""

import csv
import json
import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from advcli import registry
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError
from advcli.model.load import load
from advcli.records import Epoch, Progress, Score, Trained
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.tasks.train import overfitting_guard as guard
from advcli.tasks.train.recipe import Recipe, prepare
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run import make_job, train_model
from advcli.tasks.train.run_folder import Run
from conftest import make_classifier
from tiny_runs import RECIPE, TINY, data_for, run, trainer_for


def epochs_of(records: list[Epoch | Trained]) -> list[Epoch]:
    return [record for record in records if isinstance(record, Epoch)]


def without_time(records: list[Epoch]) -> list[Epoch]:
    return [replace(record, seconds=0.0) for record in records]


def rows(folder: Path) -> list[dict[str, str]]:
    with (folder / "history.csv").open() as file:
        return [{key: value for key, value in row.items() if key != "seconds"} for row in csv.DictReader(file)]


def state(folder: Path) -> dict[str, Any]:
    """Return all variables of a run's checkpoint."""
    with np.load(folder / "checkpoint" / "state.npz") as stored:
        return {name: stored[name] for name in stored.files if name != "state"}


def assert_same_end(one: Path, other: Path) -> None:
    assert rows(one) == rows(other)
    first, second = state(one), state(other)
    assert first.keys() == second.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(value, second[name], err_msg=name)


# The promise


def robust_accuracy(folder: Path) -> dict[str, float]:
    classifier = load(folder / "model.keras", "model")
    dataset = find("digits")()
    images = decode(dataset.test, classifier.image_size, classifier.channels)
    attacks = {"pgd": registry.build("attacks", "pgd:steps=20")}
    events = quick_scores(classifier, dataset, images, attacks, [RECIPE.threat])
    return {event.perturbation: event.accuracy for event in events if isinstance(event, Score)}


def test_adversarial_training_keeps_its_promise_on_digits(tmp_path: Path) -> None:
    found = {}
    for objective in ("clean", "nsl", "pgd-at"):
        run(replace(RECIPE, objective=objective, edge=16), tmp_path / objective)
        found[objective] = robust_accuracy(tmp_path / objective)
    for objective in ("nsl", "pgd-at"):
        assert found[objective]["pgd"] > found["clean"]["pgd"] + 0.3, found
        assert found[objective]["clean"] > found["clean"]["clean"] - 0.03, found


# What a run leaves

RICH = replace(
    TINY,
    objective="pgd-at",
    attack="pgd:steps=2",
    eps=0.03,
    epochs=4,
    ema=0.7,
    unfreeze="plateau",
    stages=2,
    adv_start_epoch=2,
    eps_warmup=1.0,
    augment=("crop",),
    learning_rate=0.1,
    batch=16,
)


@pytest.fixture(scope="module")
def rich(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Epoch], Trained]:
    """A run with most of what there is: its folder, its epochs, and its last record."""
    folder = tmp_path_factory.mktemp("rich") / "run"
    *epochs, trained = run(RICH, folder)
    assert isinstance(trained, Trained)
    return folder, epochs_of(epochs), trained


Rich = tuple[Path, list[Epoch], Trained]


def test_a_run_folder_holds_what_made_it(rich: Rich) -> None:
    folder, epochs, _ = rich
    assert {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()} == {
        *("model.keras", "best-robust.keras", "best-clean.keras", "last.keras", "ema.keras"),
        *("history.csv", "curves.png", "run.json", "checkpoint/lock", "checkpoint/state.npz"),
    }
    description = json.loads((folder / "run.json").read_text())
    assert Recipe.from_json(description["recipe"]) == RICH
    resolved = description["resolved"]
    assert resolved["backbone"] == {"width": 4}
    assert resolved["attack"]["steps"] == 2
    assert [augmentation["name"] for augmentation in resolved["augment"]] == ["crop"]
    assert (resolved["schedule"]["name"], resolved["objective"]["name"], resolved["stages"]) == ("cosine", "pgd-at", 2)
    assert resolved["train"]["images"] + resolved["validation"]["images"] == 120
    assert description["versions"].keys() >= {"advcli", "tensorflow", "keras", "python"}
    assert [{key: float(row[key]) for key in ("epoch", "loss", "robust", "eps")} for row in rows(folder)] == [
        {"epoch": epoch.epoch, "loss": epoch.loss, "robust": epoch.robust, "eps": epoch.eps} for epoch in epochs
    ]
    with Image.open(folder / "curves.png") as curves:
        assert curves.size == (1000, 550)


def test_the_models_are_those_of_their_epochs(rich: Rich) -> None:
    folder, epochs, trained = rich
    pixels, labels = data_for(RICH).validation.at(slice(None))

    def clean(name: str) -> float:
        classifier = load(folder / f"{name}.keras", name)
        assert classifier.labels == tuple("0123456789")
        assert Recipe.from_json(classifier.recipe) == RICH
        return float((classifier.predict(pixels).argmax(axis=1) == labels).mean())

    by_number = {epoch.epoch: epoch for epoch in epochs}
    best = max(epochs, key=lambda epoch: (epoch.robust, epoch.clean))
    average = max(epochs, key=lambda epoch: (epoch.ema_robust, epoch.ema_clean))
    assert trained.best_clean_epoch == max(epochs, key=lambda epoch: (epoch.clean, epoch.robust)).epoch
    assert clean("best-robust") == best.clean
    assert clean("best-clean") == by_number[trained.best_clean_epoch].clean
    assert clean("last") == epochs[-1].clean
    assert trained.ema_epoch == average.epoch
    assert clean("ema") == average.ema_clean
    averaged = (average.ema_robust or 0, average.ema_clean or 0) > (best.robust, best.clean)
    assert trained.averaged is averaged
    expected = (average.epoch, average.ema_clean, average.ema_robust) if averaged else (
        best.epoch, best.clean, best.robust
    )  # fmt: skip
    assert (trained.best_epoch, trained.clean, trained.robust) == expected
    chosen = "ema" if averaged else "best-robust"
    assert (folder / "model.keras").read_bytes() == (folder / f"{chosen}.keras").read_bytes()


def test_the_records_tell_stage_radius_and_averages(rich: Rich) -> None:
    _, epochs, trained = rich
    assert [epoch.stage for epoch in epochs] == [1, 1, 2, 2]
    assert {epoch.stages for epoch in epochs} == {2}
    assert [epoch.eps for epoch in epochs] == pytest.approx([0, 0.03, 0.03, 0.03])
    assert all(epoch.ema_clean is not None and epoch.ema_robust is not None for epoch in epochs)
    assert [(epoch.epoch, epoch.of) for epoch in epochs] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    rate = trainer_for(RICH).rate
    assert [epoch.learning_rate for epoch in epochs] == [rate.at(last, []) for last in (5, 11, 17, 23)]
    assert (trained.objective, trained.validation_images) == ("pgd-at", 18)


def test_the_model_of_a_clean_run_is_the_best_clean_one(tmp_path: Path) -> None:
    *epochs, trained = run(replace(TINY, epochs=4, learning_rate=0.2), tmp_path)
    assert isinstance(trained, Trained)
    assert trained.clean == max(epoch.clean for epoch in epochs)
    assert (tmp_path / "model.keras").read_bytes() == (tmp_path / "best-clean.keras").read_bytes()
    assert not (tmp_path / "ema.keras").exists()
    assert {epoch.ema_clean for epoch in epochs_of(epochs)} == {None}


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    first, again, other = (
        epochs_of(run(replace(TINY, seed=seed, augment=("crop",)), tmp_path / name))
        for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert [epoch.loss for epoch in first] == [epoch.loss for epoch in again]
    assert first[0].loss != other[0].loss
    np.testing.assert_equal(state(tmp_path / "a"), state(tmp_path / "b"))


def test_epochs_before_the_first_adversarial_one_are_those_of_clean_training(tmp_path: Path) -> None:
    clean = epochs_of(run(replace(TINY, epochs=3), tmp_path / "clean"))
    late = epochs_of(run(replace(TINY, epochs=3, objective="pgd-at", adv_start_epoch=3), tmp_path / "late"))
    columns = ("loss", "train_accuracy", "clean", "robust", "learning_rate")
    for number in (0, 1):
        assert [getattr(late[number], column) for column in columns] == [
            getattr(clean[number], column) for column in columns
        ]
    assert late[2].loss > clean[2].loss
    assert [epoch.eps for epoch in late] == [0, 0, 0.1]


def test_images_kept_on_disk_give_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADVCLI_CACHE", str(tmp_path / "cache"))
    on_disk = prepare(TINY, find("digits")(), memory=0)
    assert isinstance(on_disk.train.pixels, np.memmap)
    assert not isinstance(data_for(TINY).train.pixels, np.memmap)
    assert list((tmp_path / "cache").iterdir()) == []
    list(train_model(TINY, on_disk, Run(tmp_path / "disk")))
    run(TINY, tmp_path / "memory")
    assert_same_end(tmp_path / "disk", tmp_path / "memory")


# Going on


def test_resuming_extends(tmp_path: Path) -> None:
    run(TINY, tmp_path / "run")
    first = rows(tmp_path / "run")
    records = run(replace(TINY, epochs=3), tmp_path / "run", resume=True)
    assert [type(record) for record in records] == [Epoch, Trained]
    assert rows(tmp_path / "run")[:2] == first
    assert len(rows(tmp_path / "run")) == 3
    assert json.loads((tmp_path / "run" / "run.json").read_text())["recipe"]["epochs"] == 3


def test_a_run_that_is_over_can_be_resumed_to_no_effect(rich: Rich) -> None:
    folder, epochs, trained = rich
    before = rows(folder)
    (again,) = run(RICH, folder, resume=True)
    assert isinstance(again, Trained)
    assert replace(again, seconds=0.0) == replace(trained, seconds=0.0)
    assert again.seconds > sum(epoch.seconds for epoch in epochs)
    assert rows(folder) == before


def stopped_after(steps: int, recipe: Recipe, folder: Path, *, resume: bool = False) -> None:
    """Train until some steps of the whole run are done, and leave, as if the process had been killed."""
    for event in train_model(recipe, data_for(recipe), Run(folder), resume=resume):
        if isinstance(event, Progress) and event.done == steps:
            return


def test_a_run_stopped_in_the_middle_of_an_epoch_goes_on_from_there(
    rich: Rich, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As if every step took as long as is waited for at most.
    monkeypatch.setattr("advcli.tasks.train.training_run._LONGEST", -1)
    # Six steps are an epoch: these end in the second, and at the last step of the third.
    stopped_after(8, RICH, tmp_path / "run")
    with np.load(tmp_path / "run" / "checkpoint" / "midway.npz") as stored:
        assert json.loads(str(stored["state"]))["step"] == 2
    stopped_after(18, RICH, tmp_path / "run", resume=True)
    run(RICH, tmp_path / "run", resume=True)
    assert_same_end(tmp_path / "run", rich[0])


def test_resuming_with_other_images_is_refused(rich: Rich) -> None:
    with pytest.raises(AdvcliError, match="have changed"):
        run(replace(RICH, limit=100), rich[0], resume=True)


# Alarms

# A single long step, with clean images beside it: the network learns to hide its gradient.
COLLAPSING = replace(
    RECIPE,
    backbone="small:width=16",
    edge=16,
    objective="nsl:multiplier=1,adv_step_size=0.4",
    epochs=5,
    learning_rate=0.05,
    schedule="constant",
    validation=0.2,
    robust_images=64,
    guard="rollback",
)


@pytest.fixture(scope="module")
def rolled_back(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Epoch]]:
    folder = tmp_path_factory.mktemp("collapsing") / "run"
    return folder, epochs_of(run(COLLAPSING, folder))


def test_a_collapse_is_told_and_gone_back_from_with_half_the_rate(rolled_back: tuple[Path, list[Epoch]]) -> None:
    folder, epochs = rolled_back
    collapsed = [guard.CATASTROPHIC in epoch.guard for epoch in epochs]
    assert any(collapsed)
    first = collapsed.index(True)
    assert epochs[first].single_step - epochs[first].robust > 0.2
    assert epochs[first + 1].epoch == epochs[first].epoch
    assert epochs[first + 1].learning_rate == epochs[first].learning_rate / 2
    rates = [0.05 / 2 ** min(sum(collapsed[:i]), guard.MOST_ROLLBACKS) for i in range(len(epochs))]
    assert [epoch.learning_rate for epoch in epochs[1:]] == pytest.approx(rates[1:])
    # What was undone is not in the history, and every epoch is.
    kept = [(int(row["epoch"]), float(row["loss"])) for row in rows(folder)]
    assert [number for number, _ in kept] == [1, 2, 3, 4, 5]
    assert (epochs[first].epoch, epochs[first].loss) not in kept


def test_a_run_killed_around_a_rollback_ends_like_one_that_was_not(
    rolled_back: tuple[Path, list[Epoch]], tmp_path: Path
) -> None:
    _, epochs = rolled_back
    first = next(i for i, epoch in enumerate(epochs) if guard.CATASTROPHIC in epoch.guard)
    records: Iterator[Any] = train_model(COLLAPSING, data_for(COLLAPSING), Run(tmp_path / "run"))
    seen = [next(record for record in records if isinstance(record, Epoch)) for _ in range(first + 1)]
    # Here the alarm is told and nothing has been gone back to.
    assert seen[-1].guard == epochs[first].guard
    del records
    records = train_model(COLLAPSING, data_for(COLLAPSING), Run(tmp_path / "run"), resume=True)
    again = next(record for record in records if isinstance(record, Epoch))
    assert without_time([again]) == without_time([epochs[first]])
    # And here it has, and the next epoch is under way.
    for _ in range(5):
        next(records)
    del records
    run(COLLAPSING, tmp_path / "run", resume=True)
    assert_same_end(tmp_path / "run", rolled_back[0])


def test_a_network_without_batchnorm_learns_from_large_coloured_images_by_default(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 800).astype(np.int32)
    patterns = np.kron(rng.random((10, 2, 2, 3)), np.ones((1, 32, 32, 1)))
    spots = np.kron(rng.random((800, 16, 16, 3)), np.ones((1, 4, 4, 1)))
    pixels = np.round(255 * (patterns[labels] + spots) / 2).astype(np.uint8)
    np.savez(tmp_path / "patterns.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    best = {}
    for clip_norm in (None, 0.0):
        request = Request(
            data=str(tmp_path / "patterns.npz"), backbone="small", objective="clean", augment=(), epochs=2, batch=32,
            clip_norm=clip_norm, robust_images=20,
        )  # fmt: skip
        records = make_job(request, Execution(out=tmp_path / f"run-{clip_norm}")).events()
        best[clip_norm] = max(record.clean for record in records if isinstance(record, Epoch))
    # With gradients of any length the first steps end every ReLU: one answer for all images.
    assert best[0.0] < 0.5 < 0.9 < best[None]


# The first epoch is one step at a usual rate, the next has one that leads to infinity.
EXPLODING = replace(TINY, batch=200, learning_rate=1e30, schedule="onecycle:start=1e-31")


def test_a_loss_that_is_no_number_stops_with_advice_and_keeps_what_was(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match=r"not a number|NaN|not finite") as caught:
        run(replace(EXPLODING, epochs=4), tmp_path)
    assert "the weights of epoch 1 are kept" in caught.value.message
    for advice in ("--learning-rate", "1e+30", "--clip-norm", "--guard rollback"):
        assert advice in caught.value.hint
    assert all(np.isfinite(value).all() for value in state(tmp_path).values() if value.dtype.kind == "f")
    assert len(rows(tmp_path)) == 1
    load(tmp_path / "model.keras", "kept")


def test_without_an_epoch_nothing_is_said_to_be_kept(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="not a number any more in epoch 1") as caught:
        run(replace(TINY, learning_rate=1e30), tmp_path)
    assert "kept" not in caught.value.message


def test_a_loss_that_is_no_number_is_gone_back_from_three_times(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), pytest.raises(AdvcliError, match="epoch 1 are kept"):
        run(replace(EXPLODING, epochs=4, guard="rollback"), tmp_path)
    told = [record.getMessage() for record in caplog.records if "rollback" in record.getMessage()]
    assert len(told) == 3
    for number, message in enumerate(told, start=1):
        end = f"back to the end of epoch 1, continuing with half the learning rate (rollback {number} of 3)"
        assert message.endswith(end)


@pytest.fixture(scope="module")
def dead(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Weights of a network of which nothing gets to the head."""
    model = make_classifier("small:width=4", classes=10).model
    model.get_layer("conv2").bias.assign([-1e6] * 16)
    file = tmp_path_factory.mktemp("weights") / "dead.weights.h5"
    model.save_weights(file)
    return str(file)


@pytest.mark.parametrize("action", ["warn", "stop"])
def test_vanished_gradients_and_a_loss_that_stands_still_are_told(
    action: str, dead: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recipe = replace(TINY, epochs=4, learning_rate=1e-30, weights=dead, guard=action)
    with caplog.at_level(logging.WARNING):
        epochs = epochs_of(run(recipe, tmp_path))
    found = {(epoch.epoch, kind) for epoch in epochs for kind in epoch.guard}
    if action == "stop":
        assert found == {(1, guard.NO_GRADIENT)}
        assert "stopped by the guard after epoch 1" in caplog.text
        assert (tmp_path / "last.keras").exists()
        assert len(rows(tmp_path)) == len(epochs) == 1
    else:
        assert found == {*((number, guard.NO_GRADIENT) for number in (1, 2, 3, 4)), (3, guard.NOT_FALLING)}
        assert f"epoch 3: {guard.NOT_FALLING}" in caplog.text
        assert [row["guard"] for row in rows(tmp_path)][2] == f"{guard.NO_GRADIENT}; {guard.NOT_FALLING}"


# Recipes


@pytest.mark.parametrize("change", [{"eps": 8.0}, {"norm": "l7"}])
def test_a_recipe_is_checked_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises((UsageError, ValueError)):
        replace(RECIPE, **change)


def test_the_recipe_of_another_version_is_refused() -> None:
    content = json.loads(json.dumps(RICH.__dict__)) | {"warp": 9}
    with pytest.raises(UsageError, match="options unknown here: warp"):
        Recipe.from_json(content)


def test_a_result_no_better_than_one_answer_for_all_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    usual = {"data": "digits", "edge": 8, "limit": 300, "epochs": 1, "robust_images": 8}
    for backbone, rate, told in (("small:width=4", 1e-9, True), ("linear", 0.5, False)):
        caplog.clear()
        request = Request(**usual, backbone=backbone, objective="clean", learning_rate=rate, augment=())
        list(make_job(request, Execution(out=tmp_path / str(rate))).events())
        assert any("the same answer for all" in record.getMessage() for record in caplog.records) is told
