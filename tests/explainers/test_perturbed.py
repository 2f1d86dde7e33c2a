"""Occlusion and RISE by hand."""

import numpy as np
import pytest

from advcli.explainers._perturbed import hidden
from advcli.explainers.occlusion import Occlusion
from advcli.explainers.rise import RISE
from advcli.model.classifier import Classifier
from conftest import weights_of

CLASSES = np.array([1, 3, 0, 2, 1])


def test_what_is_hidden_has_the_mean_colour() -> None:
    image = np.random.default_rng(0).random((4, 4, 3), dtype=np.float32)
    keep = np.ones((2, 4, 4), np.float32)
    keep[0, 1, 2], keep[1] = 0, 0.25
    first, second = hidden(image, keep, "mean")
    np.testing.assert_allclose(first[1, 2], image.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(first[0], image[0], rtol=1e-5)
    np.testing.assert_allclose(second, 0.25 * image + 0.75 * image.mean(axis=(0, 1)), rtol=1e-5)
    np.testing.assert_allclose(hidden(image, keep, "black")[1], 0.25 * image, rtol=1e-5)


@pytest.mark.parametrize("fill", ["black", "mean"])
def test_occlusion_of_a_linear_model_pixel_by_pixel(fill: str, linear: Classifier, pictures: np.ndarray) -> None:
    change = pictures if fill == "black" else pictures - pictures.mean(axis=(1, 2), keepdims=True)
    expected = (weights_of(linear, CLASSES) * change).sum(axis=-1)
    relevance = Occlusion(window=1, fill=fill)(linear, pictures, CLASSES, 0)
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=2e-4)


def test_occlusion_of_a_linear_model_with_overlapping_windows(linear: Classifier, pictures: np.ndarray) -> None:
    part = (weights_of(linear, CLASSES) * pictures).sum(axis=-1)
    # Windows of three at 0, 2, 4 and, at the border, 5.
    places = (0, 2, 4, 5)
    expected = np.zeros_like(part)
    for row in range(8):
        for column in range(8):
            falls = [
                part[:, top : top + 3, left : left + 3].sum(axis=(1, 2))
                for top in places
                if top <= row < top + 3
                for left in places
                if left <= column < left + 3
            ]
            expected[:, row, column] = np.mean(falls, axis=0)
    relevance = Occlusion(window=3, stride=2, fill="black")(linear, pictures, CLASSES, 0)
    np.testing.assert_allclose(relevance, expected, rtol=1e-3, atol=2e-4)


def test_occlusion_hides_a_quarter_by_default_and_never_more_than_all(linear: Classifier, pictures: np.ndarray) -> None:
    default = Occlusion()(linear, pictures, CLASSES, 0)
    np.testing.assert_array_equal(default, Occlusion(window=2, stride=1)(linear, pictures, CLASSES, 0))
    whole = Occlusion(window=99)(linear, pictures, CLASSES, 0)
    assert np.ptp(whole, axis=(1, 2)).max() == 0


def test_a_contrast_is_hidden_too(linear: Classifier, pictures: np.ndarray) -> None:
    others = np.array([0, 0, 1, 1, 2])
    difference = weights_of(linear, CLASSES) - weights_of(linear, others)
    relevance = Occlusion(window=1, fill="black")(linear, pictures, CLASSES, 0, others)
    np.testing.assert_allclose(relevance, (difference * pictures).sum(axis=-1), rtol=1e-3, atol=2e-4)


def test_masks_keep_their_share_and_move_by_less_than_a_cell() -> None:
    masks = RISE(keep=0.25, cells=4).draw(np.random.default_rng(0), 2000, (30, 30))
    assert masks.shape == (2000, 30, 30)
    assert masks.min() == 0
    assert masks.max() == 1
    assert masks.mean() == pytest.approx(0.25, abs=0.01)
    # Every place is kept as often as any other, at the border too.
    np.testing.assert_allclose(masks.mean(axis=0), 0.25, atol=0.06)
    # From one pixel to the next a mask changes by an eighth, one cell being eight pixels.
    assert np.abs(np.diff(masks, axis=1)).max() == pytest.approx(1 / 8, rel=1e-4)


def one_pixel() -> Classifier:
    """Return a classifier whose first class is the brightness of the pixel at (6, 2)."""
    from advcli.backend import keras

    image = keras.Input((8, 8, 1))
    bright = 8 * image[:, 6, 2, :] - 4
    return Classifier(
        "one", keras.Model(image, keras.ops.concatenate([bright, 0 * bright], axis=-1)), ("a", "b"), (8, 8), 1
    )


def test_rise_finds_the_pixel_that_decides() -> None:
    picture = np.full((1, 8, 8, 1), 0.9, np.float32)
    relevance = RISE(masks=2000, cells=8, fill="black")(one_pixel(), picture, np.array([0]), 0)[0]
    assert np.unravel_index(relevance.argmax(), relevance.shape) == (6, 2)
    # A cell is a pixel. Kept, the probability is that of 8 * 0.9 - 4; on average it is between that and the other.
    kept, hidden_ = (1 / (1 + np.exp(-(8 * value - 4))) for value in (0.9, 0.0))
    assert relevance[6, 2] == pytest.approx((kept - hidden_) / 2, rel=0.05)
    others = np.delete(relevance.ravel(), 6 * 8 + 2)
    assert np.abs(others).max() < 0.1 * relevance.max()


def test_rise_of_the_other_class_is_the_opposite() -> None:
    picture = np.full((1, 8, 8, 1), 0.9, np.float32)
    first, second = (RISE(masks=50, fill="black")(one_pixel(), picture, np.array([label]), 0) for label in (0, 1))
    np.testing.assert_allclose(first, -second, atol=1e-6)
    # With two classes, the chance of one among the two is its probability.
    ahead = RISE(masks=50, fill="black")(one_pixel(), picture, np.array([0]), 0, np.array([1]))
    np.testing.assert_allclose(ahead, first, atol=1e-6)
