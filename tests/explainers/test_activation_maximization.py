import numpy as np
import pytest

from advcli.explainers.activation_maximization import ActivationMaximization, _roughening
from advcli.model import Classifier

BLANK = np.zeros((2, 8, 8, 3), np.float32)


def roughness(picture: np.ndarray) -> float:
    return float(np.abs(np.diff(picture, axis=0)).sum() + np.abs(np.diff(picture, axis=1)).sum())


def test_a_linear_model_sees_most_of_a_class_where_its_weights_say(linear: Classifier) -> None:
    classes = np.array([1, 3])
    pictures = ActivationMaximization(steps=200, rate=0.02, smoothness=0, jitter=0)(linear, BLANK, classes, 0)
    assert pictures.shape == BLANK.shape
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    kernel = linear.model.weights[0].numpy()
    kernel = (kernel - kernel.mean(axis=1, keepdims=True)).T[classes].reshape(BLANK.shape)
    strong = np.abs(kernel) > 0.1
    np.testing.assert_allclose(pictures[strong], (kernel > 0)[strong], atol=0.15)


def test_the_class_is_seen_in_its_picture(small: Classifier) -> None:
    for label in range(4):
        picture = ActivationMaximization(steps=60)(small, BLANK[:1], np.array([label]), 0)
        assert small.predict(picture)[0].argmax() == label


def test_a_contrast_raises_one_class_above_the_other(small: Classifier) -> None:
    picture = ActivationMaximization(steps=40)(small, BLANK[:1], np.array([0]), 0, np.array([1]))
    grey = small.predict(np.full_like(BLANK[:1], 0.5))[0]
    seen = small.predict(picture)[0]
    assert seen[0] / seen[1] > 1.2 * grey[0] / grey[1]


def test_the_picture_does_not_depend_on_the_image(small: Classifier) -> None:
    method = ActivationMaximization(steps=5)
    first = method(small, BLANK, np.array([2, 2]), 0)
    np.testing.assert_array_equal(first[0], first[1])
    np.testing.assert_array_equal(first, method(small, BLANK + 1, np.array([2, 2]), 0))
    both = method(small, BLANK, np.array([1, 2]), 0)
    np.testing.assert_allclose(both[1], first[0], atol=1e-5)


def test_smoothness_makes_the_picture_smoother(small: Classifier) -> None:
    rough, smooth = (
        ActivationMaximization(steps=40, smoothness=weight)(small, BLANK[:1], np.array([1]), 0)[0]
        for weight in (0.0, 1.0)
    )
    assert roughness(smooth) < 0.7 * roughness(rough)


def test_the_penalty_is_the_slope_of_total_variation() -> None:
    picture = np.random.default_rng(0).random((1, 5, 6, 2))

    def variation(values: np.ndarray) -> float:
        down = np.diff(values, axis=1, append=values[:, -1:])
        right = np.diff(values, axis=2, append=values[:, :, -1:])
        return float(np.sqrt(down**2 + right**2 + 1e-6).sum())

    slope = _roughening(picture)
    for place in ((0, 0, 0, 0), (0, 2, 3, 1), (0, 4, 5, 0), (0, 4, 2, 1)):
        up, below = picture.copy(), picture.copy()
        up[place] += 1e-6
        below[place] -= 1e-6
        assert slope[place] == pytest.approx((variation(up) - variation(below)) / 2e-6, rel=1e-4, abs=1e-6)
