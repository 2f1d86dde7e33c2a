"""Verdicts are the model's own: at the boundary, and where it gives NaN."""

import importlib.util
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

import foreign
from advcli.attacks import Attack
from advcli.attacks.pgd import PGD
from advcli.backend import Tensor, keras, tf
from advcli.files import png
from advcli.model import classifier as module
from advcli.model.classifier import UNDEFINED, Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat
from conftest import Command


@dataclass(frozen=True)
class ToTheBoundary(Attack):
    """Goes from an image towards its negative until what it is shown has just changed its class."""

    kind: ClassVar[str] = "decision"

    def __call__(self, logits_fn: Any, images: Tensor, labels: Tensor, threat: Threat, rng: Any) -> Tensor:
        low, high = tf.zeros_like(images[:, :1, :1, :1]), tf.ones_like(images[:, :1, :1, :1])
        for _ in range(40):
            middle = (low + high) / 2
            fooled = threat.is_adversarial(logits_fn(images + middle * (1 - 2 * images)), labels)[:, None, None, None]
            low, high = tf.where(fooled, low, middle), tf.where(fooled, middle, high)
        return images + high * (1 - 2 * images)


class SlightlyOff:
    """A copy whose logits differ from the model's by a little more than rounding."""

    def __init__(self, model: Any) -> None:
        self._model = model

    def __call__(self, inputs: Any, training: bool = False) -> Any:
        outputs = self._model(inputs, training=training)
        return outputs + 2e-4 * tf.sign(tf.constant([[1.0, -1.0, 1.0, -1.0]])) * tf.reduce_max(
            tf.abs(outputs), axis=1, keepdims=True
        )


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
    monkeypatch.setattr(module, "InferenceCopy", SlightlyOff)
    classifier = Classifier("m", model, tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    labels = classifier.predicted(pixels)
    whole = np.array([(classifier.predicted(1 - pixels[i : i + 1]) != labels[i])[0] for i in range(len(pixels))])
    threat = Threat(Norm.L2, 30.0)
    assert classifier.inference_copy is not classifier
    raw = CompiledAttack(classifier.inference_copy, ToTheBoundary(), threat)
    points, _ = raw._traced_search(pixels, labels)
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
    monkeypatch.setattr(module, "InferenceCopy", SlightlyOff)
    classifier = Classifier("m", model, tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    labels = classifier.predicted(pixels)
    for row in range(2):
        one, label = pixels[row : row + 1], labels[row : row + 1]
        points, _ = CompiledAttack(classifier.inference_copy, ToTheBoundary(), Threat(Norm.L2, 30.0))._traced_search(
            one, label
        )
        eps = float(np.linalg.norm(points - one))
        found = CompiledAttack(classifier.inference_copy, ToTheBoundary(), Threat(Norm.L2, eps)).search(one, label)
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
    classifier = Classifier("m", model, tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    labels = classifier.predicted(pixels)
    with tf.GradientTape() as tape:
        tape.watch(plain)
        loss = tf.reduce_sum(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, classifier.logits(plain)))
    gradient = np.asarray(tape.gradient(loss, plain))
    assert np.isfinite(gradient).all()
    assert (gradient[:, 4:] != 0).mean() > 0.5
    found = CompiledAttack(classifier.inference_copy, PGD(steps=10), Threat(eps=0.2)).search(pixels, labels)
    assert np.isfinite(found.points).all()
    outputs = np.asarray(model(found.points, training=False))
    assert np.isfinite(outputs).all()
    np.testing.assert_array_equal(found.predicted, outputs.argmax(axis=1))
    assert (found.predicted != labels).mean() > 0.2


def unanswering() -> Any:
    """A model that gives NaN for images that are darker than they should be."""
    keras.utils.set_random_seed(4)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    logits = foreign.chain(image, foreign._ending())
    brightness = keras.layers.AveragePooling2D(foreign.EDGE, name="brightness")(image)
    dark = keras.layers.Flatten()(brightness)[:, :1] < 0.45
    return keras.Model(image, keras.ops.where(dark, float("nan"), logits))


@dataclass(frozen=True)
class Darken(Attack):
    """Makes every image dark."""

    kind: ClassVar[str] = "random"

    def __call__(self, logits_fn: Any, images: Tensor, labels: Tensor, threat: Threat, rng: Any) -> Tensor:
        return threat.project(images - threat.eps, images)


def test_a_model_that_gives_nan_is_not_fooled() -> None:
    classifier = Classifier("m", unanswering(), tuple("abcd"), (foreign.EDGE, foreign.EDGE))
    pixels = np.clip(foreign.images(8) + 0.05, 0, 1)
    labels = classifier.predicted(pixels)
    found = CompiledAttack(classifier.inference_copy, Darken(), Threat(eps=0.2)).search(pixels, labels)
    assert (found.predicted == UNDEFINED).all()
    assert not Threat(eps=0.2).is_adversarial_class(found.predicted, labels).any()
    logits = tf.constant([[np.nan, 1.0], [0.0, 1.0]])
    assert Threat().is_adversarial(logits, tf.constant([1, 0])).numpy().tolist() == [False, True]


LAYER = """
import keras


@keras.saving.register_keras_serializable("verdicts")
class NoAnswerToFlatImages(keras.layers.Layer):
    def call(self, logits, image):
        flat = keras.ops.std(image, axis=(1, 2, 3))[:, None] < 0.2
        return keras.ops.where(flat, float("nan"), logits)
"""


def saved(folder: Path) -> tuple[Any, dict[str, str]]:
    """Save a model that gives NaN for flat images: the model, and the environment in which its file can be read."""
    (folder / "verdict_layers.py").write_text(LAYER)
    specification = importlib.util.spec_from_file_location("verdict_layers", folder / "verdict_layers.py")
    assert specification is not None
    assert specification.loader is not None
    layers = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(layers)
    keras.utils.set_random_seed(4)
    image = keras.Input((foreign.EDGE, foreign.EDGE, 3))
    model = keras.Model(image, layers.NoAnswerToFlatImages()(foreign.chain(image, foreign._ending()), image))
    model.save(folder / "m.keras")
    return model, {"PYTHONPATH": f"{folder}{os.pathsep}{Path(__file__).parents[1]}"}


def test_benchmark_counts_answers_that_are_no_numbers(tmp_path: Path, advcli: Command) -> None:
    """Under a corruption such an answer is wrong."""
    model, environment = saved(tmp_path)
    pixels = np.rint(foreign.images(20) * 255).astype(np.uint8)
    labels = np.asarray(model(pixels / np.float32(255), training=False)).argmax(axis=1)
    np.savez(tmp_path / "data.npz", x_train=pixels, y_train=np.arange(20) % 4, x_test=pixels, y_test=labels)
    done = advcli(
        *("benchmark", "m.keras", "--data", "data.npz", "--input-range", "0,1", "--unsafe-load", "--eps", "0.1"),
        *("--attack", "pgd:steps=5", "--corruptions", "defocus_blur", "--severity", "5", "--no-checks", "--json"),
        env=environment,
    )
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    scores = {line["perturbation"]: line for line in lines if line["type"] == "score"}
    assert scores["clean"]["correct"] == 20
    assert scores["clean"]["not_a_number"] == 0
    assert scores["defocus_blur"]["not_a_number"] == 20
    assert scores["defocus_blur"]["correct"] == 0


def test_attack_reports_an_image_for_which_the_model_has_no_answer(tmp_path: Path, advcli: Command) -> None:
    _, environment = saved(tmp_path)
    for row, pixels in enumerate(foreign.images(3)):
        flat = 0.4 + 0.2 * pixels if row == 1 else pixels
        png.write(tmp_path / f"{row}.png", np.rint(flat * 255).astype(np.uint8))
    done = advcli(
        *("attack", "0.png", "1.png", "2.png", "--model", "m.keras", "--input-range", "0,1", "--unsafe-load", "--json"),
        env=environment,
    )
    assert done.returncode == 1, done.stderr
    records = {Path(line["image"]).name: line for line in map(json.loads, done.stdout.splitlines())}
    assert records["1.png"]["type"] == "failed"
    assert "NaN" in records["1.png"]["error"]
    assert records["0.png"]["type"] == records["2.png"]["type"] == "attacked"
    assert not (tmp_path / "1.adv.png").exists()
