"""A new head that is fitted to features in place of the steps of its epoch."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from test_from_a_model import data, request_for

import foreign
from advcli.backend import keras, tf
from advcli.data.decoded import Images
from advcli.model.classifier import Classifier
from advcli.model.load import load, wrap
from advcli.records import Epoch
from advcli.tasks.train.fitted_head import fit_head, linear_head
from advcli.tasks.train.request import Execution, Request
from advcli.tasks.train.run import make_job
from tiny_runs import TINY, data_for, trainer_for


def of_digits() -> tuple[Classifier, Images, Images]:
    classifier = trainer_for(replace(TINY, backbone="small:width=8")).classifier
    images = data_for(TINY)
    return classifier, images.train, images.validation


def test_the_head_is_the_penalised_logistic_regression_and_nothing_else_moves() -> None:
    classifier, train, validation = of_digits()
    head = linear_head(classifier, validation)
    assert head is not None
    before = {weight.path: weight.numpy() for weight in classifier.model.weights}
    fitted = fit_head(classifier, head, train, validation, (), seed=0)
    moved = {weight.path for weight in classifier.model.weights if (weight.numpy() != before[weight.path]).any()}
    assert moved == {weight.path for weight in head.weights}
    logits = classifier.logits_of(train.at(slice(None))[0]).astype(np.float64)
    losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(len(train)), train.labels]
    assert fitted.loss == pytest.approx(losses.mean(), rel=1e-3)
    assert fitted.accuracy == pytest.approx((logits.argmax(axis=1) == train.labels).mean())
    features = keras.Model(classifier.model.input, head.input)(train.at(slice(None))[0]).numpy()
    spread = features.std(axis=0)
    features = (features - features.mean(axis=0))[:, spread > 0] / spread[spread > 0]
    regressions = [
        LogisticRegression(C=penalty, max_iter=200).fit(features, train.labels) for penalty in (0.001, 0.01, 0.1)
    ]
    answers = [regression.predict_proba(features) for regression in regressions]
    found = tf.nn.softmax(logits).numpy()
    assert min(np.abs(found - answer).max() for answer in answers) < 2e-2


@pytest.mark.parametrize("option", [{"class_weights": "balanced"}, {"sampler": "balanced"}])
def test_a_balanced_run_fits_a_balanced_head(option: dict[str, Any], tmp_path: Path) -> None:
    """Of 90 images of a class and 10 of another that overlap, a head without weights predicts the former only."""
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(2, dtype=np.int32), (180, 20))
    shades = np.clip(rng.normal(0.45 + 0.1 * labels, 0.1), 0, 1)
    pixels = np.round(255 * shades[:, None, None, None] * np.ones((1, 8, 8, 3))).astype(np.uint8)
    np.savez(tmp_path / "uneven.npz", x_train=pixels, y_train=labels, x_test=pixels, y_test=labels)
    image = keras.Input((8, 8, 3))
    x = keras.layers.Dense(4)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(image)))
    keras.Model(image, keras.layers.Dense(3)(x)).save(tmp_path / "three.keras")
    recall = {}
    runs: dict[str, dict[str, Any]] = {"plain": {}, "balanced": option}
    for name, options in runs.items():
        request = Request(
            model=str(tmp_path / "three.keras"), data=str(tmp_path / "uneven.npz"), objective="clean", augment=(),
            epochs=2, learning_rate=0.0, unfreeze="head", robust_images=5, **options,
        )  # fmt: skip
        list(make_job(request, Execution(out=tmp_path / name)).events())
        found = load(tmp_path / name / "model.keras", name).predict(pixels / np.float32(255)).argmax(axis=1)
        recall[name] = float((found == labels)[labels == 1].mean())
    assert recall["plain"] < 0.2 and recall["balanced"] > 0.5


def test_a_class_without_an_image_is_never_predicted() -> None:
    classifier, train, validation = of_digits()
    head = linear_head(classifier, validation)
    assert head is not None
    some = train.take(np.flatnonzero(train.labels != 3))
    fit_head(classifier, head, some, validation, (), seed=0)
    assert 3 not in classifier.predict(train.at(slice(None))[0]).argmax(axis=1)


def test_two_classes_of_one_score() -> None:
    keras.utils.set_random_seed(3)
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Flatten()(keras.layers.Conv2D(4, 3, activation="relu")(inputs))
    model = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(x))
    classifier = wrap(model, "two", labels=("dark", "bright"), input_range=(0.0, 1.0))
    rng = np.random.default_rng(0)
    labels = np.arange(60, dtype=np.int32) % 2
    images = Images((labels[:, None, None, None] * 0.5 + rng.uniform(0, 0.5, (60, 8, 8, 3))).astype(np.float32), labels)
    head = linear_head(classifier, images)
    assert head is not None
    fitted = fit_head(classifier, head, images, images, (), seed=0)
    assert fitted.accuracy == 1.0
    assert (classifier.predict(images.pixels).argmax(axis=1) == labels).all()


def test_a_head_that_is_no_dense_layer_of_features_is_left_to_steps() -> None:
    inputs = keras.Input((8, 8, 3))
    scores = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 1)(inputs))
    classifier = wrap(keras.Model(inputs, scores), "pooled", labels=("a", "b", "c", "d"), input_range=(0.0, 1.0))
    images = Images(np.zeros((4, 8, 8, 3), np.float32), np.arange(4, dtype=np.int32))
    assert linear_head(classifier, images) is None


def epochs_from_seven_classes(folder: Path, **options: Any) -> list[Epoch]:
    """Train a model of seven classes on photos of three, whose brightness is their class."""
    keras.utils.set_random_seed(5)
    inputs = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    x = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(8, 3, activation="relu")(inputs))
    keras.Model(inputs, keras.layers.Dense(7, activation="softmax")(x)).save(folder / "seven.keras")
    request = request_for(folder / "seven.keras", data(folder, 3), objective="clean", eps=None, **options)
    events = make_job(replace(request, input_range=(0.0, 1.0)), Execution(out=folder / "run")).events()
    return [event for event in events if isinstance(event, Epoch) and not event.guard]


def test_a_run_fits_its_new_head_in_the_first_epoch_and_unfreezes_then(tmp_path: Path) -> None:
    epochs = epochs_from_seven_classes(tmp_path, epochs=3, ema=0.9)
    assert [(epoch.stage, epoch.stages) for epoch in epochs] == [(1, 2), (2, 2), (2, 2)]
    # Brightness is the class, so that the mean colour decides it.
    assert epochs[0].clean == epochs[0].ema_clean == 1.0


@pytest.mark.parametrize(
    ("options", "fitted"),
    [
        ({"epochs": 1}, True),
        ({"epochs": 2, "unfreeze": "all"}, True),
        ({"epochs": 1, "new_head": "steps"}, False),
        ({"epochs": 2, "unfreeze": "all", "new_head": "steps"}, False),
    ],
)
def test_where_all_layers_learn_from_the_start_the_head_is_fitted_before(
    options: dict[str, Any], fitted: bool, tmp_path: Path
) -> None:
    # Steps that change nothing show what was there before them.
    epochs = epochs_from_seven_classes(tmp_path, learning_rate=1e-9, ema=0.9, **options)
    assert [(epoch.stage, epoch.stages) for epoch in epochs] == [(1, 1)] * options["epochs"]
    assert (epochs[0].clean == epochs[0].ema_clean == 1.0) is fitted
