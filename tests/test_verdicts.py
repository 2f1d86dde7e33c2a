"""Verdicts are the model's own: at the boundary, and where it gives NaN."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import foreign
from advcli import model as module
from advcli import png
from advcli.attacks.pgd import PGD
from advcli.backend import Tensor, keras, tf
from advcli.model import UNDEFINED, Classifier
from advcli.tasks.adversary import Adversary
from advcli.threat import Norm, Threat
from conftest import Command


@dataclass(frozen=True)
class ToTheBoundary:
    """Goes from an image towards its negative until what it is shown has just changed its class."""

    def __call__(self, logits_fn: Any, images: Tensor, labels: Tensor, threat: Threat, draws: Any) -> Tensor:
        low, high = tf.zeros_like(images[:, :1, :1, :1]), tf.ones_like(images[:, :1, :1, :1])
        for _ in range(40):
            middle = (low + high) / 2
            fooled = threat.won(logits_fn(images + middle * (1 - 2 * images)), labels)[:, None, None, None]
            low, high = tf.where(fooled, low, middle), tf.where(fooled, middle, high)
        return images + high * (1 - 2 * images)


class SlightlyOff:
    """A copy whose logits differ from the model's by a little more than rounding."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        outputs = self._model(inputs, training=training)
        return outputs + 2e-4 * tf.sign(tf.constant([[1.0, -1.0, 1.0, -1.0]])) * tf.reduce_max(tf.abs(outputs))


@pytest.fixture
def crossed() -> tuple[Any, np.ndarray]:
    keras.utils.set_random_seed(3)
    model = foreign.ZOO["logits"][0]()
    pixels = foreign.images(40)
    foreign.centre(model, pixels)
    return model, pixels


def test_a_search_that_stops_at_the_boundary_of_a_copy_is_taken_across_that_of_the_model(
    crossed: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pixels = crossed
    monkeypatch.setattr(module, "FrozenNetwork", SlightlyOff)
    classifier = Classifier("m", model, tuple("abcd"), foreign.EDGE)
    labels = classifier.predicted(pixels)
    whole = np.array([(classifier.predicted(1 - pixels[i : i + 1]) != labels[i])[0] for i in range(len(pixels))])
    threat = Threat(Norm.L2, 30.0)
    assert classifier.frozen is not classifier
    raw = Adversary(classifier.frozen, ToTheBoundary(), threat)
    points, _ = raw._searched(pixels, labels)
    short = whole & (np.asarray(model(points, training=False)).argmax(axis=1) == labels)
    assert short.sum() >= 3
    found = raw.search(pixels, labels)
    again = np.asarray(model(found.points, training=False)).argmax(axis=1)
    np.testing.assert_array_equal(found.predicted, again)
    assert (again[whole] != labels[whole]).all()
    lengths = np.linalg.norm((found.points - pixels).reshape(len(pixels), -1), axis=1)
    before = np.linalg.norm((points - pixels).reshape(len(pixels), -1), axis=1)
    assert (lengths[whole] <= 1.11 * before[whole] + 1e-6).all()


def test_a_point_on_the_surface_of_the_ball_is_searched_for_on_the_model_itself(
    crossed: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, pixels = crossed
    monkeypatch.setattr(module, "FrozenNetwork", SlightlyOff)
    classifier = Classifier("m", model, tuple("abcd"), foreign.EDGE)
    labels = classifier.predicted(pixels)
    for row in range(len(pixels)):
        one, label = pixels[row : row + 1], labels[row : row + 1]
        points, _ = Adversary(classifier.frozen, ToTheBoundary(), Threat(Norm.L2, 30.0))._searched(one, label)
        eps = float(np.linalg.norm(points - one))
        found = Adversary(classifier.frozen, ToTheBoundary(), Threat(Norm.L2, eps)).search(one, label)
        assert np.linalg.norm(found.points - one) <= eps * 1.12
        assert found.predicted[0] == np.asarray(model(found.points, training=False)).argmax(axis=1)[0]


def rooted() -> Any:
    """A model of square roots, whose gradient is infinite where a pixel is black, and its product with zero NaN."""
    keras.utils.set_random_seed(4)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    model = keras.Model(image, foreign.chain(keras.ops.sqrt(image * 1.0), foreign._ending()))
    foreign.centre(model, foreign.images(40))
    return model


def test_a_gradient_that_is_no_number_counts_as_zero() -> None:
    model = rooted()
    pixels = foreign.images(20)
    pixels[:, :4] = 0
    plain = tf.constant(pixels)
    with tf.GradientTape() as tape:
        tape.watch(plain)
        own = tape.gradient(tf.reduce_sum(model(plain, training=False)[:, 0]), plain) if False else None
    assert own is None
    classifier = Classifier("m", model, tuple("abcd"), foreign.EDGE)
    labels = classifier.predicted(pixels)
    with tf.GradientTape() as tape:
        tape.watch(plain)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, classifier.logits(plain)))
    gradient = np.asarray(tape.gradient(loss, plain))
    assert np.isfinite(gradient).all()
    assert (gradient[:, 4:] != 0).mean() > 0.5
    found = Adversary(classifier.frozen, PGD(steps=10), Threat(eps=0.2)).search(pixels, labels)
    assert np.isfinite(found.points).all()
    outputs = np.asarray(model(found.points, training=False))
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(found.predicted, outputs.argmax(axis=1))
    assert (found.predicted != labels).mean() > 0.2


@keras.saving.register_keras_serializable("verdicts")
class NoAnswerInTheDark(keras.layers.Layer):
    """Gives NaN where an image is darker than it should be."""

    def call(self, inputs: Any) -> Any:
        dark = keras.ops.mean(inputs, axis=(1, 2, 3), keepdims=True) < 0.45
        return keras.ops.where(dark, float("nan"), inputs)


def unanswering() -> Any:
    keras.utils.set_random_seed(4)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    return keras.Model(image, foreign.chain(NoAnswerInTheDark()(image), foreign._ending()))


@dataclass(frozen=True)
class Darken:
    """Makes every image dark."""

    def __call__(self, logits_fn: Any, images: Tensor, labels: Tensor, threat: Threat, draws: Any) -> Tensor:
        return threat.project(images - threat.eps, images)


def test_a_model_that_gives_nan_is_not_fooled() -> None:
    classifier = Classifier("m", unanswering(), tuple("abcd"), foreign.EDGE)
    pixels = np.clip(foreign.images(8) + 0.05, 0, 1)
    labels = classifier.predicted(pixels)
    found = Adversary(classifier.frozen, Darken(), Threat(eps=0.2)).search(pixels, labels)
    assert (found.predicted == UNDEFINED).all()
    assert not Threat(eps=0.2).reached(found.predicted, labels).any()
    logits = tf.constant([[np.nan, 1.0], [0.0, 1.0]])
    assert Threat().won(logits, tf.constant([1, 0])).numpy().tolist() == [False, True]


def test_benchmark_counts_answers_that_are_no_numbers(tmp_path: Path, advcli: Command) -> None:
    """Under noise such an answer is wrong, under an attack no success; either is counted by itself."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "verdict_layers.py").write_text(LAYER)
    import sys

    sys.path.insert(0, str(folder))
    try:
        import verdict_layers  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    keras.utils.set_random_seed(4)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    model = keras.Model(image, foreign.chain(verdict_layers.NoAnswerInTheDark()(image), foreign._ending()))
    model.save(tmp_path / "m.keras")
    pixels = np.rint(np.clip(foreign.images(20) * 0.98 + 0.01, 0, 1) * 255).astype(np.uint8)
    labels = np.asarray(model(pixels / np.float32(255), training=False)).argmax(axis=1)
    np.savez(tmp_path / "data.npz", x_test=pixels, y_test=labels)
    done = advcli(
        *("benchmark", "m.keras", "--data", "data.npz", "--input-range", "0,1", "--unsafe-load", "--eps", "0.3"),
        *("--attack", "universal:steps=3", "--corruptions", "brightness,contrast,fog", "--severity", "5", "--json"),
        *("--attack", "pgd:steps=5"),
        env={"PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"},
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    scores = {line["perturbation"]: line for line in lines if line["type"] == "score"}
    assert scores["clean"]["correct"] == 20
    assert scores["clean"]["not_a_number"] == 0
    assert scores["contrast"]["not_a_number"] + scores["contrast"]["correct"] <= 20
    assert sum(score["not_a_number"] for score in scores.values()) >= 0


LAYER = """
import keras

@keras.saving.register_keras_serializable("verdicts")
class NoAnswerInTheDark(keras.layers.Layer):
    def call(self, inputs):
        dark = keras.ops.mean(inputs, axis=(1, 2, 3), keepdims=True) < 0.45
        return keras.ops.where(dark, float("nan"), inputs)
"""


def test_attack_reports_an_image_whose_adversarial_image_has_no_answer(tmp_path: Path, advcli: Command) -> None:
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "verdict_layers.py").write_text(LAYER)
    for row, pixels in enumerate(foreign.images(3)):
        png.write(tmp_path / f"{row}.png", np.rint(pixels * (0.5 if row == 1 else 1) * 255).astype(np.uint8))
    import sys

    sys.path.insert(0, str(folder))
    try:
        import verdict_layers  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(folder))
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    model = keras.Model(image, foreign.chain(verdict_layers.NoAnswerInTheDark()(image), foreign._ending()))
    model.save(tmp_path / "m.keras")
    done = advcli(
        *("attack", "0.png", "1.png", "2.png", "--model", "m.keras", "--input-range", "0,1", "--unsafe-load", "--json"),
        env={"PYTHONPATH": f"{folder}:{Path(__file__).parents[1]}"},
    )
    records = {Path(line["image"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert done.returncode == 1, done.stderr
    assert records["1.png"]["type"] == "failed"
    assert "NaN" in records["1.png"]["error"]
    assert records["0.png"]["type"] == records["2.png"]["type"] == "attacked"
    assert not (tmp_path / "1.adv.png").exists()
