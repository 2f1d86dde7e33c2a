"""Randomized smoothing, against the closed form of a linear model and by-hand numbers."""

from dataclasses import replace
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from advcli.backend import Tensor, keras, tf
from advcli.data.decoded import Images
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.tasks.benchmark.randomized_smoothing import (
    ABSTAINED,
    Certificate,
    Smoothing,
    certified,
    certify,
    read_smoothing,
)
from conftest import make_classifier

EDGE = 6


@pytest.fixture(scope="module")
def halves() -> Classifier:
    """Two classes apart at a hyperplane: sum of w * x + b, w of length one."""
    classifier = make_classifier("linear", edge=EDGE, classes=2)
    generator = np.random.default_rng(0)
    kernel, bias = classifier.model.weights
    normal = generator.normal(size=kernel.shape[0])
    normal /= np.linalg.norm(normal)
    kernel.assign(np.stack([np.zeros_like(normal), normal], axis=1))
    bias.assign([0.0, -0.5 * normal.sum()])
    return classifier


@pytest.fixture(scope="module")
def images(halves: Classifier) -> Images:
    """Images up to one l2 unit away from the hyperplane, on both sides, and one on it."""
    generator = np.random.default_rng(1)
    pixels = generator.uniform(0.4, 0.6, (25, EDGE, EDGE, 3)).astype(np.float32)
    normal = halves.model.weights[0].numpy()[:, 1].reshape(EDGE, EDGE, 3)
    wanted = np.linspace(-1, 1, 25).astype(np.float32)
    pixels += (wanted - distances(halves, pixels))[:, None, None, None] * normal
    return Images(pixels, (wanted > 0).astype(np.int32))


def distances(halves: Classifier, pixels: np.ndarray) -> np.ndarray:
    logits = halves.logits(tf.constant(pixels)).numpy()
    return logits[:, 1] - logits[:, 0]


def certificates(classifier: Classifier, images: Images, smoothing: Smoothing, **options: Any) -> list[Certificate]:
    events = certify(classifier, images, smoothing, **options)
    return [event for event in events if isinstance(event, Certificate)]


@pytest.mark.parametrize("sigma", [0.25, 0.5])
def test_radii_are_the_distances_to_a_hyperplane_but_for_chance(
    halves: Classifier, images: Images, sigma: float
) -> None:
    smoothing = Smoothing(sigma, n=2000)
    found = certificates(halves, images, smoothing)
    exact = np.abs(distances(halves, images.pixels))
    radii = np.array([certificate.radius for certificate in found])
    assert (radii <= exact).all()
    for certificate, distance in zip(found, exact, strict=True):
        # What so probable a class gets, give or take four standard deviations of its votes.
        probability = NormalDist().cdf(distance / sigma)
        votes = smoothing.n * probability
        spread = 4 * np.sqrt(votes * (1 - probability)) + 1
        assert certificate.radius <= max(0, smoothing.radius(min(smoothing.n, round(votes + spread))))
        assert certificate.radius >= smoothing.radius(round(votes - spread)) - 1e-12
        if certificate.predicted != ABSTAINED:
            assert certificate.predicted == images.labels[certificate.index]
        else:
            assert certificate.radius == 0
    # The one on the hyperplane is too close to call. The farthest lose little to chance.
    assert found[12].predicted == ABSTAINED
    assert sum(certificate.predicted != ABSTAINED for certificate in found) > 20
    assert radii[0] > 0.8 * min(1.0, smoothing.reach)


def test_the_radius_by_hand() -> None:
    smoothing = Smoothing(0.5, n=100, alpha=0.001)
    # All hundred: p >= 0.001^(1/100) = 0.933254, whose normal quantile is 1.5005.
    assert smoothing.reach == pytest.approx(0.5 * 1.5005, abs=1e-4)
    assert smoothing.radius(50) == -1
    # 65 of 100 are not surely more than half at one in a thousand, 66 are: P(at least 66 at p = 1/2) = 0.0009.
    assert smoothing.radius(65) == -1
    assert 0 < smoothing.radius(66) < 0.01
    assert smoothing.radii == (0, 0.25, 0.5, 0.75)


def test_votes_depend_on_the_image_and_the_seed_alone(halves: Classifier, images: Images) -> None:
    smoothing = Smoothing(0.3, n=50, n0=10)
    all_at_once = certificates(halves, images, smoothing, batch=1000)
    in_sevens = certificates(halves, images, smoothing, batch=7)
    part = certificates(halves, images, smoothing, batch=7, rows=[20, 4])
    assert [replace(found, seconds=0) for found in all_at_once] == [replace(found, seconds=0) for found in in_sevens]
    assert [found.index for found in part] == [20, 4]
    assert [found.radius for found in part] == [in_sevens[20].radius, in_sevens[4].radius]
    other = certificates(halves, images, smoothing, seed=1)
    assert [found.radius for found in other] != [found.radius for found in in_sevens]


@keras.saving.register_keras_serializable()
class CountOutside(keras.layers.Layer):
    """Gives class 1 where any pixel is outside [0, 1], else class 0."""

    def call(self, inputs: Tensor) -> Tensor:
        outside = tf.reduce_any((inputs < 0) | (inputs > 1), axis=(1, 2, 3))
        return tf.one_hot(tf.cast(outside, tf.int32), 2)


def test_noise_is_not_clipped() -> None:
    image = keras.Input((EDGE, EDGE, 3))
    classifier = Classifier("outside", keras.Model(image, CountOutside()(image)), ("in", "out"), (EDGE, EDGE))
    black = Images(np.zeros((1, EDGE, EDGE, 3), np.float32), np.zeros(1, np.int32))
    assert certificates(classifier, black, Smoothing(0.1, n=50))[0].predicted == 1


def test_noise_is_standard_normal_and_new_in_every_copy(halves: Classifier) -> None:
    # The votes of many copies at a known distance are binomial with the normal distribution's probability.
    pixels = np.full((1, EDGE, EDGE, 3), 0.5, np.float32)
    image = Images(pixels, np.zeros(1, np.int32))
    distance = float(distances(halves, pixels)[0])
    normal = halves.model.weights[0].numpy()[:, 1].reshape(EDGE, EDGE, 3)
    image = Images(pixels + (0.25 - distance) * normal, np.ones(1, np.int32))
    smoothing = Smoothing(0.25, n=10_000)
    radius = certificates(halves, image, smoothing, batch=2000)[0].radius
    # Phi(1) = 0.841345: 8413 votes, standard deviation 36.5.
    assert smoothing.radius(8413 - 146) <= radius <= smoothing.radius(8413 + 146)


def test_certified_accuracy_by_radius() -> None:
    found = [
        Certificate(0, 1, 0.6, 0.5),
        Certificate(2, 0, 0.25, 0.5),
        Certificate(1, 1, 0.9),  # sure and wrong
        Certificate(3, ABSTAINED, 0.0),
    ]
    smoothing = Smoothing(0.5, n=100)
    classes = np.array([1, 0, 0, 1])
    records = list(certified(found, classes, smoothing, model="m", data="d", seed=3))
    assert [(record.radius, record.correct) for record in records] == [(0, 2), (0.25, 2), (0.5, 1), (0.75, 0)]
    first = records[0]
    assert (first.accuracy, first.images, first.abstained, first.seconds) == (0.5, 4, 1, 1.0)
    assert (first.low, first.high) == pytest.approx((0.150039, 0.849961), abs=1e-6)
    assert (first.sigma, first.samples, first.alpha, first.seed) == (0.5, 100, 0.001, 3)


def test_an_abstention_is_never_right() -> None:
    found = [Certificate(0, ABSTAINED, 0.0)]
    for label in (0, 1):
        record = next(certified(found, np.array([label]), Smoothing(0.5), model="m", data="d", seed=0))
        assert record.correct == 0


def test_the_option_is_read() -> None:
    assert read_smoothing("sigma=0.25,n=500") == Smoothing(0.25, 500, 100, 0.001)
    assert read_smoothing(" sigma = 1/4 , n0=7, alpha=0.01") == Smoothing(0.25, 1000, 7, 0.01)


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "'--certify' needs its option 'sigma'", "write --certify sigma=VALUE"),
        ("n=100", "'--certify' needs its option 'sigma'", "write --certify sigma=VALUE"),
        ("0.25", "'--certify' has no option '0.25'", "sigma"),
        ("sgma=0.25", "'--certify' has no option 'sgma'", "did you mean 'sigma'?"),
        ("sigma=0", "sigma is not positive: 0", "sigma=0.25"),
        ("sigma=wide", "is not a number: 'wide'", "0.03"),
        ("sigma=1,sigma=2", "given twice in '--certify sigma=1,sigma=2'", ""),
        ("sigma=1,n=0", "n is less than one: 0", ""),
        ("sigma=1,n=9", "n=9 cannot certify anything at alpha 0.001", "n=10 or more"),
        ("sigma=1,alpha=1", "alpha is not a probability between 0 and 1: 1", "0.001"),
    ],
)
def test_a_wrong_option_says_what_is_wrong(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        read_smoothing(text)
    assert message in caught.value.message
    assert hint in caught.value.hint
