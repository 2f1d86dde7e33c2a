"""Twins, noise and the table that compares them; plans; TensorBoard."""

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from advcli.backend import tf
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.records import Epoch, Planned, Score
from advcli.tasks.benchmark.perturbations import noise_on_all
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.tasks.train.cost_estimate import plan
from advcli.tasks.train.recipe import Recipe, prepare
from advcli.tasks.train.run import train_model
from advcli.tasks.train.run_folder import Run
from advcli.tasks.train.twin_comparison import ATTACKS
from advcli.threat.threat import Threat
from conftest import make_classifier

NOISES = ("gaussian", "poisson", "salt-pepper")

TINY = Recipe(
    data="digits",
    backbone="small:width=4",
    objective="n-fgsm",
    attack="pgd:steps=7",
    eps=0.1,
    edge=8,
    weights="none",
    epochs=2,
    batch=32,
    learning_rate=0.05,
    momentum=0.9,
    validation=0.15,
    robust_images=8,
    seed=0,
    limit=120,
)


def test_a_twin_is_trained_without_a_defence_and_stands_beside_it(tmp_path: Path) -> None:
    recipe = replace(TINY, twin=True, modifier=("awp",), eps_warmup=1.0, augment=("crop",))
    events = list(train_model(recipe, prepare(recipe, find("digits")()), Run(tmp_path / "run")))
    epochs = [event for event in events if isinstance(event, Epoch)]
    assert [(epoch.model, epoch.epoch) for epoch in epochs] == [
        ("run", 1), ("run", 2), ("run-twin", 1), ("run-twin", 2)
    ]  # fmt: skip
    twin = Run(tmp_path / "run-twin").description.read_recipe()
    assert twin["objective"] == "clean"
    assert not twin["modifier"]
    assert {key: twin[key] for key in ("seed", "batch", "augment", "epochs")} == {
        "seed": 0, "batch": 32, "augment": ["crop"], "epochs": 2
    }  # fmt: skip
    alone = replace(recipe.twin_recipe, epochs=2)
    again = [
        event
        for event in train_model(alone, prepare(alone, find("digits")()), Run(tmp_path / "alone"))
        if isinstance(event, Epoch)
    ]
    assert [epoch.loss for epoch in again] == [epoch.loss for epoch in epochs[2:]]
    scores = [event for event in events if isinstance(event, Score)]
    assert [(score.model, score.perturbation) for score in scores] == [
        (model, perturbation) for model in ("run-twin", "run") for perturbation in ("clean", *NOISES, *ATTACKS, "worst")
    ]
    assert {score.images for score in scores} == {359}


def test_a_run_is_compared_with_an_earlier_one(tmp_path: Path) -> None:
    base = replace(TINY, objective="clean", epochs=1)
    list(train_model(base, prepare(base, find("digits")()), Run(tmp_path / "base")))
    recipe = replace(TINY, epochs=1, against=str(tmp_path / "base"))
    events = list(train_model(recipe, prepare(recipe, find("digits")()), Run(tmp_path / "run")))
    assert {event.model for event in events if isinstance(event, Score)} == {"base", "run"}


def test_a_run_of_other_classes_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    digits = make_classifier("linear", channels=1, classes=3)
    (tmp_path / "base").mkdir()
    replace(digits, labels=("0", "1", "three")).save(tmp_path / "base" / "model.keras")
    recipe = replace(TINY, against=str(tmp_path / "base"))
    with pytest.raises(UsageError, match=r"it has no class '2' of 'digits'"):
        next(iter(train_model(recipe, prepare(recipe, find("digits")()), Run(tmp_path / "run"))))
    assert not (tmp_path / "run").exists()


def test_noise_falls_on_every_image_and_counts_all_of_them(small: Classifier) -> None:
    dataset = find("digits")()
    classifier = replace(small, image_size=(8, 8), labels=("0", "1", "2", "3"))
    chosen = dataset.restrict(("0", "1", "2", "3"))
    images = decode(chosen.test, (8, 8), 3)
    noises = {spec: noise_on_all(spec) for spec in ("gaussian:std=0", "gaussian:std=0.8", "salt-pepper:amount=1")}
    assert {asdict(noise)["probability"] for noise in noises.values()} == {1.0}
    scores = [
        event
        for event in quick_scores(classifier, chosen, images, {}, [Threat()], noises=noises, batch=50)
        if isinstance(event, Score)
    ]
    found = {score.perturbation: score for score in scores}
    assert found["gaussian:std=0"].correct == found["clean"].correct
    assert found["gaussian:std=0.8"].correct != found["clean"].correct
    assert found["gaussian:std=0.8"].protocol == "gaussian:std=0.8,probability=1.0"
    assert {score.images for score in scores} == {len(images)}


@pytest.mark.parametrize("spec", ["flip", "jitter"])
def test_what_is_no_noise_is_refused(spec: str) -> None:
    with pytest.raises(UsageError, match="is not a noise") as caught:
        noise_on_all(spec)
    assert "gaussian, poisson, salt-pepper" in caught.value.hint


def test_a_plan_times_the_method_and_names_a_cheaper_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = replace(TINY, objective="trades:steps=30", epochs=7)
    *_, planned = plan(recipe, prepare(recipe, find("digits")()), "run")
    assert isinstance(planned, Planned)
    assert planned.parameters > 1000
    assert planned.steps_an_epoch == 3
    assert planned.seconds_an_epoch == pytest.approx(3 * planned.seconds_a_step + planned.seconds_a_validation)
    assert planned.seconds == pytest.approx(planned.seconds_to_begin + 7 * planned.seconds_an_epoch)
    assert planned.cheaper == "n-fgsm"
    assert planned.cheaper_seconds_a_step is not None
    assert planned.cheaper_seconds_a_step < planned.seconds_a_step
    assert not list(tmp_path.iterdir())


def test_tensorboard_reads_the_history(tmp_path: Path) -> None:
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    events = train_model(TINY, prepare(TINY, find("digits")()), Run(tmp_path / "run"), tensorboard=True)
    epochs = [event for event in events if isinstance(event, Epoch)]
    found = {}
    for file in sorted((tmp_path / "run" / "tensorboard").iterdir()):
        for event in loader.EventFileLoader(str(file)).Load():
            for value in event.summary.value:
                found[event.step, value.tag] = float(tf.make_ndarray(value.tensor))
    for epoch in epochs:
        for name in ("loss", "clean", "robust", "learning_rate", "single_step"):
            np.testing.assert_allclose(found[epoch.epoch, name], getattr(epoch, name), rtol=1e-6)
    assert (1, "ema_clean") not in found
