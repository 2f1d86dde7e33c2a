"""Saliency, SmoothGrad, integrated gradients and guided backpropagation by numbers that are known without them."""

from typing import Any

import numpy as np
import pytest

import foreign
from advcli.backend import keras, tf
from advcli.errors import AdvcliError
from advcli.explainers._path import integrated_gradient
from advcli.explainers.guided_backprop import GuidedBackprop
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.explainers.saliency import Saliency
from advcli.explainers.smoothgrad import SmoothGrad
from advcli.model.classifier import Classifier
from advcli.model.load import wrap
from conftest import make_classifier, weights_of

RANGE = (0.0, 1.0)
CLASSES = np.array([1, 3, 0, 2, 1])


@pytest.mark.parametrize("method", [Saliency(), SmoothGrad(samples=3)])
@pytest.mark.parametrize("against", [None, np.array([0, 0, 1, 1, 2])])
def test_the_gradient_of_a_linear_model_is_its_weights(
    method: Any, against: np.ndarray | None, linear: Classifier, pictures: np.ndarray
) -> None:
    expected = weights_of(linear, CLASSES)
    if against is not None:
        expected = expected - weights_of(linear, against)
    relevance = method(linear, pictures, CLASSES, 0, against)
    np.testing.assert_allclose(relevance, expected.sum(axis=-1), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("baseline", ["black", "mean", "blur"])
@pytest.mark.parametrize("steps", [1, 5])
def test_integrated_gradients_of_a_linear_model_are_weights_times_change(
    baseline: str, steps: int, linear: Classifier, pictures: np.ndarray
) -> None:
    method = IntegratedGradients(steps, baseline)
    change = pictures - method.start(pictures)
    expected = (weights_of(linear, CLASSES) * change).sum(axis=-1)
    relevance = method(linear, pictures, CLASSES, 0)
    np.testing.assert_allclose(relevance, expected, rtol=1e-4, atol=1e-5)
    assert method.completeness(linear, pictures, CLASSES, relevance).max() < 1e-3


def test_what_a_way_starts_at() -> None:
    pictures = foreign.images(2, edge=16)
    assert not IntegratedGradients(baseline="black").start(pictures).any()
    mean = IntegratedGradients(baseline="mean").start(pictures)
    np.testing.assert_allclose(mean[1, 3, 4], pictures[1].mean(axis=(0, 1)), rtol=1e-6)
    np.testing.assert_array_equal(mean[1, 0, 0], mean[1, 15, 7])
    from scipy.ndimage import gaussian_filter

    blurred = IntegratedGradients().start(pictures)
    # In the middle, where the border is four standard deviations away, it is anyone's Gaussian.
    expected = np.stack([gaussian_filter(picture, (2, 2, 0), truncate=6) for picture in pictures])
    np.testing.assert_allclose(blurred[:, 8, 8], expected[:, 8, 8], atol=2e-4)
    grey = np.full((1, 16, 16, 3), 0.3, np.float32)
    np.testing.assert_allclose(IntegratedGradients().start(grey), grey, rtol=1e-6)


@pytest.fixture(scope="module")
def curved() -> Classifier:
    """A classifier of images of 8 x 8, whose scores are the squares and the products of two pixels."""
    image = keras.Input((8, 8, 1))
    first, second = image[:, 0, 0, :], image[:, 7, 7, :]
    scores = keras.ops.concatenate([first * first, first * second, second], axis=-1)
    return Classifier("curved", keras.Model(image, scores), ("a", "b", "c"), (8, 8), 1)


def test_integrated_gradients_by_hand(curved: Classifier) -> None:
    pictures = np.zeros((2, 8, 8, 1), np.float32)
    pictures[:, 0, 0], pictures[:, 7, 7] = 0.8, 0.5
    method = IntegratedGradients(4, "black")
    relevance = method(curved, pictures, np.array([0, 1]), 0)
    # Of x^2 all is the first pixel's; of xy each has a half.
    assert relevance[0, 0, 0] == pytest.approx(0.64)
    assert relevance[0, 7, 7] == pytest.approx(0)
    assert (relevance[1, 0, 0], relevance[1, 7, 7]) == pytest.approx((0.2, 0.2))
    assert np.count_nonzero(relevance) == 3
    ahead = method(curved, pictures[:1], np.array([0]), 0, np.array([2]))
    assert (ahead[0, 0, 0], ahead[0, 7, 7]) == pytest.approx((0.64, -0.5))


def test_the_way_between_two_images_sums_up_to_the_change_of_the_margin(curved: Classifier) -> None:
    start, end = np.zeros((2, 1, 8, 8, 1), np.float32)
    start[:, 0, 0], end[:, 0, 0], end[:, 7, 7] = 0.2, 0.6, 0.3
    relevance = integrated_gradient(curved, start, end, np.array([0]), np.array([2]), steps=3)
    assert relevance.sum() == pytest.approx(0.36 - 0.3 - 0.04)


def test_how_incomplete_a_sum_is(curved: Classifier) -> None:
    pictures = np.zeros((3, 8, 8, 1), np.float32)
    pictures[:2, 0, 0] = 0.8
    relevance = np.zeros((3, 8, 8), np.float32)
    relevance[0, 2, 2] = 0.48
    method = IntegratedGradients(1, "black")
    classes = np.array([0, 1, 0])
    # A quarter of 0.64 is missing; nothing of nothing.
    assert method.completeness(curved, pictures, classes, relevance).tolist() == pytest.approx([0.25, 0, 0])
    relevance[1, 0, 0] = 1
    assert method.completeness(curved, pictures, classes, relevance)[1] == np.inf
    against = np.array([2, 2, 2])
    relevance[0, 2, 2] = 0.64
    assert method.completeness(curved, pictures, classes, relevance, against)[0] == pytest.approx(0, abs=1e-6)


def test_more_steps_are_more_complete() -> None:
    classifier = wrap(foreign.build("flat", "dense", before=keras.layers.Activation("tanh")), "m", input_range=RANGE)
    classes = CLASSES[:3]
    errors = []
    for steps in (2, 200):
        method = IntegratedGradients(steps, "black")
        relevance = method(classifier, foreign.images(), classes, 0)
        errors.append(method.completeness(classifier, foreign.images(), classes, relevance))
    assert (errors[1] < 0.1 * errors[0]).all()
    assert errors[1].max() < 0.01


def gradient(function: Any, pictures: np.ndarray, classes: np.ndarray) -> np.ndarray:
    """Differentiate scores by the pixels in plain TensorFlow."""
    inputs = tf.constant(pictures)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        score = tf.gather(function(inputs), classes, axis=1, batch_dims=1)
    return tape.gradient(score, inputs).numpy().sum(axis=-1)


def test_smoothgrad_is_the_mean_of_gradients_at_noisy_images() -> None:
    model = foreign.build("flat", "logits")
    classifier = wrap(model, "m", input_range=RANGE)
    picture = foreign.images(1)
    noise = np.random.default_rng(0).standard_normal((4000, *picture.shape[1:]), np.float32)
    copies = picture + 0.15 * np.ptp(picture) * noise
    expected = gradient(model, copies, np.full(4000, 1))
    relevance = SmoothGrad(4000)(classifier, picture, CLASSES[:1], 0)[0]
    error = expected.std(axis=0) * np.sqrt(2 / 4000)
    assert np.abs(relevance - expected.mean(axis=0)).max() < 6 * error.max()
    plain = SmoothGrad(2, noise=0)(classifier, picture, CLASSES[:1], 0)
    np.testing.assert_allclose(plain, Saliency()(classifier, picture, CLASSES[:1], 0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", foreign.HEADS)
@pytest.mark.parametrize("low_high", [(0.0, 255.0), (-1.0, 1.0)])
def test_saliency_is_that_of_logits_and_of_pixels_from_0_to_1(low_high: tuple[float, float], kind: str) -> None:
    low, high = low_high
    scaling = keras.layers.Rescaling(1 / (high - low), -low / (high - low))
    classifier = wrap(foreign.build("flat", kind, before=scaling), "m", input_range=low_high)
    assert classifier.head.name == "softmax removed"
    twin = foreign.build("flat", "logits")
    expected = gradient(lambda x: twin(x, training=False), foreign.images(), CLASSES[:3])
    relevance = Saliency()(classifier, foreign.images(), CLASSES[:3], 0)
    # The twin's weights are the same, the pixels' way to 0 .. 255 and back is rounded.
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max())


def test_saliency_is_the_slope_of_the_logit() -> None:
    classifier = wrap(foreign.build("nested", "layer"), "m", input_range=RANGE)
    twin = foreign.build("flat", "logits").get_weights()
    picture = foreign.images(1).astype(np.float64)

    def logit(pixels: np.ndarray) -> float:
        padded = np.pad(pixels, ((1, 1), (1, 1), (0, 0)))
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        features = np.maximum(np.einsum("hwcij,ijck->hwk", windows, twin[0]) + twin[1], 0).mean(axis=(0, 1))
        return float((features @ twin[2] + twin[3])[1])

    relevance = Saliency()(classifier, picture.astype(np.float32), CLASSES[:1], 0)[0]
    for row, column in ((0, 0), (5, 7), (11, 3)):
        up, down = picture[0].copy(), picture[0].copy()
        up[row, column] += 1e-6
        down[row, column] -= 1e-6
        assert relevance[row, column] == pytest.approx((logit(up) - logit(down)) / 2e-6, rel=1e-3, abs=1e-5)


def two_layers(first: Any, second: Any = None) -> Classifier:
    """Return a network that multiplies the four pixels of an image by a matrix, twice, with a ReLU after each."""
    image = keras.Input((2, 2, 1))
    x = first(keras.layers.Dense(3, name="first")(keras.layers.Flatten()(image)))
    x = (second or keras.layers.Activation("relu"))(keras.layers.Dense(3, name="second")(x))
    model = keras.Model(image, keras.layers.Dense(2, name="last")(x))
    matrices = {
        "first": [[1, -1, 2], [0, 1, 1], [1, 0, -1], [-1, 2, 6]],
        "second": [[1, -1, 1], [2, 1, 0], [-1, 1, 1]],
        "last": [[1, 0], [-1, 1], [2, -1]],
    }
    for name, matrix in matrices.items():
        layer = model.get_layer(name)
        layer.set_weights([np.array(matrix, np.float32), np.zeros(layer.units, np.float32)])
    return Classifier("two", model, ("a", "b"), (2, 2), 1)


PICTURE = np.array([0.5, 1.0, 0.25, 0.75], np.float32).reshape(1, 2, 2, 1)


@pytest.mark.parametrize(
    "first",
    [
        lambda: keras.layers.Activation("relu"),
        lambda: keras.layers.ReLU(),
        lambda: keras.ops.relu,
        lambda: keras.layers.Activation(tf.nn.relu),
        lambda: keras.Sequential([keras.layers.ReLU()]),
    ],
    ids=["activation", "layer", "operation", "function of TensorFlow", "nested"],
)
def test_guided_backpropagation_by_hand(first: Any) -> None:
    # Forward: [0, 2, 6.25] after the first (0.5 + 0.25 - 0.75 = 0; -0.5 + 1 + 1.5; 1 + 1 - 0.25 + 4.5),
    # 2 * 2 - 6.25 < 0, 2 + 6.25 and 6.25 after the second.
    # Back from class a, [1, -1, 2]: the first is closed, the second negative, so [0, 0, 2]; by the second
    # matrix [2, 0, 2], of which the first is closed: [0, 0, 2]; by the first matrix 2 * [2, 1, -1, 6].
    relevance = GuidedBackprop()(two_layers(first()), PICTURE, np.array([0]), 0)
    assert relevance[0].ravel().tolist() == [4, 2, -2, 12]
    # From class b, [0, 1, -1]: [0, 1, 0]; [-1, 1, 1], the first closed: [-1 + 2, 1 + 1, 0 - 1, 2 + 6].
    relevance = GuidedBackprop()(two_layers(first()), PICTURE, np.array([1]), 0)
    assert relevance[0].ravel().tolist() == [1, 2, -1, 8]


@pytest.mark.parametrize(
    "first",
    [lambda: keras.layers.ReLU(max_value=6), lambda: keras.layers.Activation("relu6"), lambda: keras.ops.relu6],
    ids=["layer", "activation", "operation"],
)
def test_a_relu6_is_closed_above_six_too(first: Any) -> None:
    # The third is 6.25 before the ReLU6: of [-1, 1, 1] only the second is left, [-1, 1, 0, 2].
    relevance = GuidedBackprop()(two_layers(first()), PICTURE, np.array([1]), 0)
    assert relevance[0].ravel().tolist() == [-1, 1, 0, 2]


def test_guided_backpropagation_is_no_plain_gradient_and_leaves_the_model_as_it_was() -> None:
    classifier = two_layers(keras.layers.ReLU(max_value=6))
    before = Saliency()(classifier, PICTURE, np.array([0]), 0)
    logits = classifier.predict(PICTURE)
    guided = GuidedBackprop()(classifier, PICTURE, np.array([0]), 0)
    assert not np.allclose(guided, before)
    np.testing.assert_array_equal(classifier.predict(PICTURE), logits)
    again = Classifier("again", classifier.model, ("a", "b"), (2, 2), 1)
    np.testing.assert_array_equal(Saliency()(again, PICTURE, np.array([0]), 0), before)


class _Hidden(keras.layers.Layer):
    def call(self, inputs: Any) -> Any:
        return tf.nn.relu(inputs)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("silu", "gelu", "'two' has 1 silu, 1 gelu"),
        ("silu", "silu", "'two' has 2 silu"),
        ("linear", "linear", "'two' has no activation layer"),
        (keras.layers.LeakyReLU, "elu", "'two' has 1 leakyrelu, 1 elu"),
        (_Hidden, "relu", "'two' has 1 ReLU inside other layers"),
    ],
)
def test_guided_backpropagation_refuses_what_it_is_not_defined_for(first: Any, second: str, message: str) -> None:
    layer = keras.layers.Activation(first) if isinstance(first, str) else first()
    classifier = two_layers(layer, keras.layers.Activation(second))
    for call in (
        lambda: GuidedBackprop().shown(classifier),
        lambda: GuidedBackprop()(classifier, PICTURE, np.array([0]), 0),
    ):
        with pytest.raises(AdvcliError, match=message) as caught:
            call()
        assert "smoothgrad" in caught.value.hint


def test_guided_backpropagation_refuses_logistic_regression() -> None:
    with pytest.raises(AdvcliError, match="no activation layer"):
        GuidedBackprop().shown(make_classifier("linear"))
