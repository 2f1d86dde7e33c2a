"""What is measured after every epoch, on models whose robust accuracy can be worked out."""

import numpy as np
import pytest

from advcli.backend import keras, tf
from advcli.data.decoded import Images
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.validation import Validator
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

EPS = 0.02


def validator(classifier: Classifier, images: Images, part: int = 1000, seed: int = 0) -> Validator:
    return Validator(classifier, images, part, [Threat(Norm.LINF, EPS)], seed, find_devices("one"))


def greys(count: int, seed: int = 0) -> np.ndarray:
    """Make images that no perturbation takes out of [0, 1]."""
    return np.random.default_rng(seed).uniform(0.2, 0.8, (count, 8, 8, 1)).astype(np.float32)


@pytest.fixture(scope="module")
def half_plane() -> Classifier:
    """Two classes parted by a plane through the middle of all images, whose distance to it is known."""
    classifier = make_classifier("linear", channels=1, classes=2)
    kernel, bias = classifier.model.weights
    slope = np.random.default_rng(1).normal(size=64)
    kernel.assign(np.stack([slope, -slope], axis=1))
    bias.assign([-slope.sum() / 2, slope.sum() / 2])
    return classifier


def margins(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, float]:
    """Return how far on the right side each image is, and how far a perturbation of one can move it."""
    kernel, bias = (weight.numpy().astype(np.float64) for weight in classifier.model.weights)
    logits = pixels.reshape(len(pixels), -1) @ kernel + bias
    return (logits[:, 0] - logits[:, 1]) * np.where(labels == 0, 1, -1), np.abs(kernel[:, 0] - kernel[:, 1]).sum()


def test_accuracies_are_those_of_the_distances(half_plane: Classifier) -> None:
    pixels, labels = greys(100), np.arange(100, dtype=np.int32) % 2
    margin, most = margins(half_plane, pixels, labels)
    found = validator(half_plane, Images(pixels, labels))()
    expected = (margin > EPS * most).mean()
    assert 0.1 < expected < (margin > 0).mean() - 0.1
    assert found.clean == (margin > 0).mean()
    assert found.robust == found.single_step == expected
    assert found.zero_gradients == 0


def test_a_part_is_attacked_and_all_are_looked_at(half_plane: Classifier) -> None:
    pixels, labels = greys(100), np.arange(100, dtype=np.int32) % 2
    whole, part = (validator(half_plane, Images(pixels, labels), count)() for count in (100, 10))
    assert part.clean == whole.clean
    assert part.robust * 10 == pytest.approx(round(part.robust * 10))
    assert part.robust != whole.robust


def test_the_weights_are_those_of_the_moment() -> None:
    classifier = make_classifier("small:width=4", channels=1)
    images = Images(greys(30), np.zeros(30, np.int32))
    measure = validator(classifier, images)
    classifier.model.get_layer("logits").bias.assign([100.0, 0, 0, 0])
    first = measure()
    classifier.model.get_layer("logits").bias.assign([0.0, 100, 0, 0])
    assert (first.clean, first.robust, measure().clean, measure().robust) == (1, 1, 0, 0)


def test_the_same_network_gives_the_same_numbers() -> None:
    classifier = make_classifier("small:width=4", channels=1)
    usual = classifier.logits(tf.constant(greys(60))).numpy().mean(axis=0)
    classifier.model.get_layer("logits").bias.assign(-usual)
    images = Images(greys(60), classifier.predict(greys(60)).argmax(axis=1).astype(np.int32))
    measure = validator(classifier, images)
    found = [measure(), measure(), validator(classifier, images)()]
    assert found[0] == found[1] == found[2]
    assert 0 < found[0].robust < found[0].clean


@pytest.fixture(scope="module")
def wave() -> Classifier:
    """The class turns with the cosine of an image's brightness: a long step leads astray and back again."""
    inputs = keras.Input((8, 8, 1))
    phase = keras.layers.Rescaling(250.0)(keras.layers.GlobalAveragePooling2D()(inputs))
    cosine = keras.ops.cos(phase)
    model = keras.Model(inputs, keras.layers.Concatenate()([cosine, -cosine]))
    return Classifier("wave", model, ("up", "down"), (8, 8), 1)


def with_phases(*phases: float) -> np.ndarray:
    brightness = (np.array(phases) + 40 * np.pi) / 250
    return np.broadcast_to(brightness[:, None, None, None], (len(phases), 8, 8, 1)).astype(np.float32)


def test_an_image_that_is_wrong_is_not_robust_whatever_an_attack_makes_of_it(wave: Classifier) -> None:
    # A step of EPS is one of 5 in the phase: it takes the first image from right to right, the second from wrong
    # to right.
    right, wrong = with_phases(0.4), with_phases(np.pi / 2 + 0.4)
    labels = np.zeros(1, np.int32)
    assert wave.predict(right).argmax() == wave.predict(right + EPS).argmax() == 0
    assert (wave.predict(wrong).argmax(), wave.predict(wrong + EPS).argmax()) == (1, 0)
    assert validator(wave, Images(right, labels))().single_step == 1
    found = validator(wave, Images(wrong, labels))()
    assert (found.clean, found.single_step, found.robust) == (0, 0, 0)


def test_a_network_that_rounds_its_input_has_no_gradient_anywhere() -> None:
    inputs = keras.Input((8, 8, 1))
    rounded = keras.ops.round(inputs)
    model = keras.Model(inputs, keras.layers.Dense(3)(keras.layers.Flatten()(rounded)))
    found = validator(
        Classifier("rounding", model, ("a", "b", "c"), (8, 8), 1), Images(greys(6), np.zeros(6, np.int32))
    )()
    assert found.zero_gradients == 1
    assert found.robust == found.single_step == found.clean


def test_images_of_which_the_network_is_certain_have_no_gradient(half_plane: Classifier) -> None:
    pixels = greys(50)
    labels = half_plane.predict(pixels).argmax(axis=1).astype(np.int32)
    labels[:10] = 1 - labels[:10]
    kernel, bias = half_plane.model.weights
    before = kernel.numpy(), bias.numpy()
    try:
        kernel.assign(before[0] * 1e6)
        bias.assign(before[1] * 1e6)
        found = validator(half_plane, Images(pixels, labels))()
    finally:
        kernel.assign(before[0])
        bias.assign(before[1])
    assert found.zero_gradients == 0.8
    # That PGD finds nothing is what the alarm is for.
    assert found.robust == found.clean == 0.8


def test_values_that_are_no_numbers_are_no_accuracy() -> None:
    classifier = make_classifier("linear", channels=1, classes=2)
    classifier.model.get_layer("logits").bias.assign([np.inf, np.inf])
    with pytest.raises(AdvcliError, match="returns NaN"):
        validator(classifier, Images(greys(4), np.zeros(4, np.int32)))()
