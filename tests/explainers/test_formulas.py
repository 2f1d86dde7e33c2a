"""The explainers by the papers' formulas in NumPy, on scores that are curved and images that differ in range."""

import zlib
from typing import Any

import numpy as np
import pytest

from advcli.backend import keras
from advcli.explainers.activation_maximization import ActivationMaximization, _coarsened, _roughening
from advcli.explainers.gradcam import GradCAM
from advcli.explainers.gradcam_plus_plus import GradCAMPlusPlus
from advcli.explainers.integrated_gradients import IntegratedGradients
from advcli.explainers.layercam import LayerCAM
from advcli.explainers.rise import RISE
from advcli.explainers.saliency import Saliency
from advcli.explainers.scorecam import ScoreCAM
from advcli.explainers.smoothgrad import SmoothGrad
from advcli.model.classifier import Classifier
from conftest import make_classifier, weights_of

WEIGHTS = np.random.default_rng(1).normal(size=(3, 6, 6, 2))
CLASSES = np.array([2, 0])
AGAINST = np.array([0, 1])


@pytest.fixture(scope="module")
def cubic() -> Classifier:
    """A classifier whose logits are weighted sums of the pixels' cubes: the slope of one is 3 w x^2."""
    image = keras.Input((6, 6, 2))
    flat = keras.layers.Flatten()(image)
    dense = keras.layers.Dense(3, use_bias=False, name="weights")
    model = keras.Model(image, dense(flat * flat * flat))
    dense.set_weights([WEIGHTS.reshape(3, -1).T])
    return Classifier("cubic", model, ("a", "b", "c"), (6, 6), 2)


@pytest.fixture
def uneven() -> np.ndarray:
    """One pale image and one of strong contrast."""
    generator = np.random.default_rng(2)
    pale, strong = generator.uniform(0.5, 0.6, (6, 6, 2)), generator.uniform(0.0, 0.8, (6, 6, 2))
    return np.stack([pale, strong]).astype(np.float32)


def weights(against: np.ndarray | None) -> np.ndarray:
    return WEIGHTS[CLASSES] - (0 if against is None else WEIGHTS[against])


either = pytest.mark.parametrize("against", [None, AGAINST], ids=["class", "contrast"])


@either
def test_saliency(against: np.ndarray | None, cubic: Classifier, uneven: np.ndarray) -> None:
    slopes = 3 * weights(against) * uneven.astype(np.float64) ** 2
    found = Saliency()(cubic, uneven, CLASSES, 0, against)
    np.testing.assert_allclose(found, slopes.sum(axis=-1), atol=1e-5)
    for wrong in (np.abs(slopes).sum(axis=-1), slopes.max(axis=-1), slopes.mean(axis=-1)):
        assert np.abs(wrong - found).max() > 1e-2


@either
def test_smoothgrad(against: np.ndarray | None, cubic: Classifier, uneven: np.ndarray) -> None:
    def mean(spreads: Any, samples: int = 6) -> np.ndarray:
        maps = []
        for image, weight, spread in zip(uneven, weights(against), spreads, strict=True):
            random = np.random.default_rng([7, zlib.crc32(image.tobytes())])
            noise = random.standard_normal((6, *image.shape), np.float32).astype(np.float64)
            slopes = 3 * weight * (image + 0.2 * spread * noise) ** 2
            maps.append(slopes.sum(axis=(0, -1)) / samples)
        return np.stack(maps)

    found = SmoothGrad(samples=6, noise=0.2)(cubic, uneven, CLASSES, 7, against)
    ranges = [np.ptp(image) for image in uneven]
    np.testing.assert_allclose(found, mean(ranges), atol=1e-5)
    wrong = {
        "not scaled": mean([1, 1]),
        "by the largest value": mean([image.max() for image in uneven]),
        "by the standard deviation": mean([image.std() for image in uneven]),
        "by the range of the batch": mean([np.ptp(uneven)] * 2),
        "summed": mean(ranges, samples=1),
        "no noise": mean([0, 0]),
    }
    for name, other in wrong.items():
        assert np.abs(other - found).max() > 1e-3, name


@either
def test_integrated_gradients(against: np.ndarray | None, cubic: Classifier, uneven: np.ndarray) -> None:
    def shares(places: np.ndarray) -> np.ndarray:
        start = uneven.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        slopes = [3 * weights(against) * (start + place * (uneven - start)) ** 2 for place in places]
        return (np.mean(slopes, axis=0) * (uneven - start)).sum(axis=-1)

    found = IntegratedGradients(steps=3, baseline="mean")(cubic, uneven, CLASSES, 0, against)
    np.testing.assert_allclose(found, shares((np.arange(3) + 0.5) / 3), atol=1e-5)
    for wrong in (np.arange(3) / 3, (np.arange(3) + 1) / 3, np.linspace(0, 1, 3), np.array([1.0])):
        assert np.abs(shares(wrong) - found).max() > 1e-3


@pytest.mark.parametrize(("edge", "sigma"), [(20, 2.0), (112, 5.0)])
def test_the_blur_that_a_way_starts_at(edge: int, sigma: float) -> None:
    # At 20 pixels the standard deviation is the least, where its square is its double.
    image = np.zeros((1, edge, edge, 1), np.float32)
    image[0, edge // 2, edge // 2] = 1
    places = np.arange(edge) - edge // 2
    bell = np.exp(-(places**2) / (2 * sigma**2))
    expected = np.outer(bell, bell) / bell.sum() ** 2
    found = IntegratedGradients().start(image)[0, :, :, 0]
    near = np.abs(places) < 2
    np.testing.assert_allclose(found[near][:, near], expected[near][:, near], rtol=1e-3)


def test_rise(cubic: Classifier, uneven: np.ndarray) -> None:
    method = RISE(masks=30, cells=3, keep=0.3)
    found = method(cubic, uneven, CLASSES, 7)
    for image, label, relevance in zip(uneven, CLASSES, found, strict=True):
        # The masks have a test of their own.
        masks = method.draw(np.random.default_rng([7, zlib.crc32(image.tobytes())]), 30, (6, 6)).astype(np.float64)
        colour = image.mean(axis=(0, 1), dtype=np.float64)
        seen = colour + (image - colour) * masks[..., None]
        logits = np.einsum("mhwc,khwc->mk", seen**3, WEIGHTS)
        chances = (np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))[:, label]
        kept = np.einsum("m,mhw->hw", chances, masks)
        expected = kept / masks.sum(axis=0) - chances.mean()
        np.testing.assert_allclose(relevance, expected, atol=1e-5)
        for wrong in (kept / 30 / 0.3 - chances.mean(), kept / masks.sum(axis=0), kept / 30):
            assert np.abs(wrong - expected).max() > 1e-3


def test_the_weights_of_the_activation_maps() -> None:
    """Two images, two channels of 2 x 3 cells, gradients of both signs."""
    generator = np.random.default_rng(3)
    feature, gradient = generator.normal(0.5, 1, (2, 2, 3, 2)), generator.normal(0, 1, (2, 2, 3, 2))
    gradcam, plus_plus, layercam = np.zeros((3, 2, 2, 3))
    for i in range(2):
        for k in range(2):
            channel, slope = feature[i, :, :, k], gradient[i, :, :, k]
            gradcam[i] += slope.sum() / 6 * channel
            layercam[i] += np.maximum(slope, 0) * channel
            # Equation 19 of Grad-CAM++, whose second and third derivatives are powers of the first.
            shares = slope**2 / (2 * slope**2 + max(channel.sum(), 0) * slope**3)
            plus_plus[i] += (shares * np.maximum(slope, 0)).sum() * channel
    np.testing.assert_allclose(GradCAM().combined(feature, gradient), gradcam)
    np.testing.assert_allclose(LayerCAM().combined(feature, gradient), layercam)
    np.testing.assert_allclose(GradCAMPlusPlus().combined(feature, gradient), plus_plus)


def test_scorecam_takes_the_channels_that_vary_most_in_their_order() -> None:
    generator = np.random.default_rng(4)
    feature = generator.normal(size=(4, 5, 4)) * [1, 0, 3, 2]
    feature[..., 1] = 7
    np.testing.assert_array_equal(ScoreCAM(channels=2)._chosen(feature), feature[..., [2, 3]])
    np.testing.assert_array_equal(ScoreCAM(channels=0)._chosen(feature), feature[..., [0, 2, 3]])
    np.testing.assert_array_equal(ScoreCAM(channels=4)._chosen(feature), feature[..., [0, 2, 3]])


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt((values**2).sum())


@pytest.mark.parametrize(("edge", "jitter", "most"), [(16, 4, 1), (47, 4, 2), (48, 2, 2)])
def test_the_steps_of_activation_maximization(edge: int, jitter: int, most: int) -> None:
    classifier = make_classifier("linear", edge=edge)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(6).normal(size=kernel.shape))
    weights = weights_of(classifier, np.arange(4))
    slope = weights[2] - weights.mean(axis=0)
    picture = 0.45 + 0.1 * np.random.default_rng([5, 2, 0]).random((edge, edge, 3))
    shifts = np.random.default_rng(5).integers(-most, most + 1, (3, 2))
    for shift in shifts:
        # What is shifted is the image; the gradient is shifted back.
        back = np.roll(slope, -shift, axis=(0, 1)).astype(np.float32)
        direction = unit(_coarsened(back[None])[0]) - 0.3 * unit(_roughening(picture[None].astype(np.float32))[0])
        picture = np.clip(picture + 0.04 * np.sqrt(picture.size) * unit(direction), 0, 1)
    method = ActivationMaximization(steps=3, rate=0.04, smoothness=0.3, jitter=jitter)
    images = np.zeros((1, edge, edge, 3), np.float32)
    np.testing.assert_allclose(method(classifier, images, np.array([2]), 5)[0], picture, atol=1e-4)
    assert np.abs(shifts).max() == most
