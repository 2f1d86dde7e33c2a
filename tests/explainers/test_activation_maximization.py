import numpy as np
import pytest

from advcli.explainers.activation_maximization import ActivationMaximization, _coarsened, _roughening
from advcli.model.classifier import Classifier

BLANK = np.zeros((2, 8, 8, 3), np.float32)


def roughness(picture: np.ndarray) -> float:
    return float(np.abs(np.diff(picture, axis=0)).sum() + np.abs(np.diff(picture, axis=1)).sum())


@pytest.mark.parametrize("against", [None, np.array([0, 2])])
def test_a_step_is_along_the_weights_of_a_linear_model(against: np.ndarray | None, linear: Classifier) -> None:
    classes = np.array([1, 3])
    start, end = (
        ActivationMaximization(steps=1, rate=rate, smoothness=0)(linear, BLANK, classes, 0, against)
        for rate in (0, 0.01)
    )
    kernel = linear.model.weights[0].numpy()
    other = kernel.mean(axis=1, keepdims=True) if against is None else kernel[:, against]
    direction = _coarsened((kernel[:, classes] - other).T.reshape(BLANK.shape))
    change = end - start
    np.testing.assert_allclose(np.sqrt((change**2).mean(axis=(1, 2, 3))), 0.01, rtol=1e-4)
    expected = direction / np.sqrt((direction**2).mean(axis=(1, 2, 3), keepdims=True)) * 0.01
    np.testing.assert_allclose(change, expected, atol=1e-5)


def test_the_class_is_seen_in_its_picture(linear: Classifier) -> None:
    pictures = ActivationMaximization()(linear, BLANK[:1].repeat(4, axis=0), np.arange(4), 0)
    assert pictures.min() >= 0
    assert pictures.max() <= 1
    assert np.ptp(pictures) > 0.9
    np.testing.assert_array_equal(linear.predict(pictures).argmax(axis=1), np.arange(4))


def test_a_contrast_raises_one_class_above_the_other(linear: Classifier) -> None:
    picture = ActivationMaximization(steps=40)(linear, BLANK[:1], np.array([0]), 0, np.array([1]))
    margins = np.log(linear.predict(np.concatenate([np.full_like(picture, 0.5), picture])))
    assert (margins[1, 0] - margins[1, 1]) > (margins[0, 0] - margins[0, 1]) + 5


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


def test_long_waves_count_more_than_short_ones() -> None:
    places = np.arange(16) * 2 * np.pi / 16
    long, short = (np.cos(frequency * places)[None, :, None, None] + np.zeros((1, 16, 16, 1)) for frequency in (1, 4))
    coarsened = _coarsened((long + short).astype(np.float32))
    # Weights are 16 over the number of waves along the image.
    np.testing.assert_allclose(coarsened, 16 * long + 4 * short, atol=1e-4)
    assert coarsened.dtype == np.float32
    # The mean counts as much as the longest wave, and a wave is as long upright as on its side.
    np.testing.assert_allclose(_coarsened(np.ones((1, 16, 16, 1), np.float32)), 16, rtol=1e-5)
    turned = np.swapaxes(long + short, 1, 2).astype(np.float32)
    np.testing.assert_allclose(_coarsened(turned), np.swapaxes(coarsened, 1, 2), atol=1e-4)
