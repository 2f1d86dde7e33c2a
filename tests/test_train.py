"""Training, and the article's promise on real data."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from advcli.tasks.recipe import Recipe, prepare
from advcli.tasks.run import Checkpoint, Run
from advcli.tasks.trainer import Trainer
from PIL import Image

from advcli import registry
from advcli.backend import keras, tf
from advcli.data import decode
from advcli.datasets import find
from advcli.errors import AdvcliError, UsageError
from advcli.model import load
from advcli.records import Epoch, Score, Trained
from advcli.tasks.benchmark import benchmark
from advcli.tasks.train import train
from conftest import make_classifier

RECIPE = Recipe(
    data="digits",
    backbone="small",
    objective="clean",
    attack="pgd:steps=7",
    norm="linf",
    eps=0.1,
    edge=32,
    weights="none",
    epochs=4,
    batch=32,
    learning_rate=0.05,
    momentum=0.9,
    validation=0.15,
    robust_images=32,
    seed=0,
)
TINY = replace(RECIPE, backbone="small:width=4", edge=8, limit=120, epochs=2)


def run(recipe: Recipe, folder: Path, **options: bool) -> list[Epoch | Trained]:
    events = train(recipe, prepare(recipe, find("digits")()), Run(folder), **options)
    return [event for event in events if isinstance(event, (Epoch, Trained))]


def robust_accuracy(folder: Path) -> dict[str, float]:
    classifier = load(folder / "model.keras", "model")
    dataset = find("digits")()
    images = decode(dataset.test, classifier.edge, classifier.channels)
    attacks = {"pgd": registry.build("attacks", "pgd:steps=20")}
    events = benchmark(classifier, dataset, images, attacks, RECIPE.threat)
    return {event.perturbation: event.accuracy for event in events if isinstance(event, Score)}


def test_adversarial_training_keeps_its_promise_on_digits(tmp_path: Path) -> None:
    found = {}
    for objective in ("clean", "nsl", "pgd-at"):
        run(replace(RECIPE, objective=objective), tmp_path / objective)
        found[objective] = robust_accuracy(tmp_path / objective)
    for objective in ("nsl", "pgd-at"):
        assert found[objective]["pgd"] > found["clean"]["pgd"] + 0.3, found
        assert found[objective]["clean"] > found["clean"]["clean"] - 0.03, found


def test_a_run_folder_holds_what_made_it(tmp_path: Path) -> None:
    *epochs, trained = run(TINY, tmp_path / "run")
    description = json.loads((tmp_path / "run" / "run.json").read_text())
    assert Recipe.from_json(description["recipe"]) == TINY
    assert description["resolved"]["backbone"] == {"width": 4}
    assert description["resolved"]["train"]["images"] + description["resolved"]["validation"]["images"] == 120
    assert description["versions"].keys() >= {"advcli", "tensorflow", "keras", "python"}
    rows = list(csv.DictReader((tmp_path / "run" / "history.csv").open()))
    assert [float(row["clean"]) for row in rows] == [epoch.clean for epoch in epochs]
    with Image.open(tmp_path / "run" / "curves.png") as curves:
        assert curves.size == (1000, 400)
    assert isinstance(trained, Trained)
    assert trained.best_epoch in (1, 2)
    classifier = load(tmp_path / "run" / "model.keras", "run")
    assert classifier.labels == tuple("0123456789")
    assert Recipe.from_json(classifier.recipe) == TINY


def test_the_same_seed_gives_the_same_run(tmp_path: Path) -> None:
    first, again, other = (
        run(replace(TINY, seed=seed), tmp_path / name) for name, seed in (("a", 0), ("b", 0), ("c", 1))
    )
    assert [epoch.loss for epoch in first[:-1]] == [epoch.loss for epoch in again[:-1]]  # type: ignore[union-attr]
    assert first[0].loss != other[0].loss  # type: ignore[union-attr]


def test_resuming_extends(tmp_path: Path) -> None:
    run(TINY, tmp_path / "run")
    records = run(replace(TINY, epochs=3), tmp_path / "run", resume=True)
    assert [type(record) for record in records] == [Epoch, Trained]
    assert len((tmp_path / "run" / "history.csv").read_text().splitlines()) == 4


def test_resuming_with_other_images_is_refused(tmp_path: Path) -> None:
    run(TINY, tmp_path / "run")
    with pytest.raises(AdvcliError, match="have changed"):
        run(replace(TINY, limit=100), tmp_path / "run", resume=True)


def test_resuming_what_never_ran_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no readable run\.json"):
        Run(tmp_path).read_recipe()


def test_the_best_epoch_is_the_robust_one_or_the_clean_one() -> None:
    def epoch(number: int, clean: float, robust: float) -> Epoch:
        return Epoch(
            model="m", data="d", seed=0, epoch=number, of=3, loss=1, train_accuracy=1, clean=clean, robust=robust,
            learning_rate=0, seconds=0,
        )  # fmt: skip

    epochs = [epoch(1, 0.5, 0.4), epoch(2, 0.9, 0.1), epoch(3, 0.6, 0.4)]
    for robust, best in ((True, 3), (False, 2)):
        checkpoint = Checkpoint()
        for record in epochs:
            checkpoint = checkpoint.extended(record, robust)
        assert checkpoint.best == best


def test_the_learning_rate_warms_up_and_ends_at_zero(tmp_path: Path) -> None:
    trainer = Trainer(TINY, prepare(TINY, find("digits")()))
    steps = TINY.epochs * trainer.steps_an_epoch
    rates = [trainer.learning_rate(step) for step in range(steps)]
    assert max(rates) == pytest.approx(0.05)
    assert rates[-1] < 0.01
    assert trainer.learning_rate(steps) == pytest.approx(0, abs=1e-9)


def test_a_loss_that_is_no_number_stops_with_advice(tmp_path: Path) -> None:
    with pytest.raises(AdvcliError, match="not a number any more") as caught:
        run(replace(TINY, learning_rate=1e30), tmp_path / "run")
    assert "--learning-rate" in caught.value.hint


def test_dropout_and_momentum_are_part_of_the_checkpoint(tmp_path: Path) -> None:
    model = keras.Sequential([keras.layers.Dropout(0.5), keras.layers.Dense(2)])
    model(tf.ones((1, 3)), training=True)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    variables = [*model.variables, *optimizer.variables]
    Run(tmp_path).save(Checkpoint(), variables)
    expected = model(tf.ones((4, 3)), training=True).numpy()
    model(tf.ones((4, 3)), training=True)
    Run(tmp_path).restore(variables)
    np.testing.assert_array_equal(model(tf.ones((4, 3)), training=True), expected)


def test_the_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    Run(tmp_path).save(Checkpoint(), make_classifier().model.variables)
    with pytest.raises(AdvcliError, match="another network"):
        Run(tmp_path).restore(make_classifier("linear").model.variables)


@pytest.mark.parametrize("change", [{"eps": 8.0}, {"norm": "l7"}])
def test_a_recipe_is_checked_when_it_is_made(change: dict[str, Any]) -> None:
    with pytest.raises((UsageError, ValueError)):
        replace(RECIPE, **change)
