"""PixMix: its weights and mixings beside their closed forms, its rounds, and the fractals."""

import numpy as np
import pytest
from scipy import stats
from skimage import data, transform

from advcli import registry
from advcli.augmentations import _fractals
from advcli.augmentations.pixmix import added, multiplied_by, weights
from advcli.backend import tf
from advcli.threat.rng import ImageRng


def rng(count: int, epoch: int = 0) -> ImageRng:
    return ImageRng(tf.constant(np.stack([np.arange(count), np.full(count, epoch)], axis=1), tf.int32))


def applied(spec: str, images: np.ndarray) -> np.ndarray:
    return registry.build("augmentations", spec)(tf.constant(images, tf.float32), rng(len(images))).numpy()


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """The same photo 400 times, in eight bits."""
    small = np.asarray(transform.resize(data.chelsea(), (24, 20), anti_aliasing=True))
    return (np.rint(255 * small[None].repeat(400, axis=0)) / 255).astype(np.float32)


# Weights and mixings


@pytest.mark.parametrize("beta", [1.5, 3.0, 4.0])
def test_weights_follow_the_beta_distributions(beta: float) -> None:
    uniform = rng(6000).scalars(3)
    first, second = (weight.numpy().ravel() for weight in weights(uniform, beta))
    positive = second >= 0
    np.testing.assert_array_equal(positive, uniform[:, 0] < 0.5)
    assert stats.kstest(first[positive], stats.beta(beta, 1).cdf).pvalue > 1e-3
    assert stats.kstest(second[positive], stats.beta(1, beta).cdf).pvalue > 1e-3
    assert stats.kstest(first[~positive] - 1, stats.beta(1, beta).cdf).pvalue > 1e-3
    assert stats.kstest(-second[~positive], stats.beta(1, beta).cdf).pvalue > 1e-3
    for chosen in (positive, ~positive):
        assert abs(np.corrcoef(first[chosen], second[chosen])[0, 1]) < 0.06


def test_mixings_are_those_of_the_paper() -> None:
    generator = np.random.default_rng(1)
    x, z = generator.uniform(0.05, 1, (2, 6, 4, 4, 3)).astype(np.float32)
    a, b = generator.uniform(0.2, 1.8, 6), generator.uniform(-0.8, 0.8, 6)
    first, second = (tf.constant(weight[:, None, None, None], tf.float32) for weight in (a, b))
    sums = ((first.numpy() * (2 * x - 1) + second.numpy() * (2 * z - 1)) + 1) / 2
    products = (2 * x) ** first.numpy() * (2 * z) ** second.numpy() / 2
    np.testing.assert_allclose(added(tf.constant(x), tf.constant(z), first, second), sums.clip(0, 1), atol=1e-6)
    np.testing.assert_allclose(
        multiplied_by(tf.constant(x), tf.constant(z), first, second), products.clip(0, 1), atol=1e-6
    )
    assert 0 < (sums > 1).mean() < 1


def test_weights_one_and_zero_leave_the_image() -> None:
    x = np.linspace(0, 1, 256, dtype=np.float32).reshape(1, 16, 16, 1)
    one, zero = tf.ones((1, 1, 1, 1)), tf.zeros((1, 1, 1, 1))
    for mixing in (added, multiplied_by):
        np.testing.assert_allclose(mixing(tf.constant(x), tf.constant(1 - x), one, zero), x, atol=1e-6)


def test_black_stays_finite() -> None:
    black = tf.zeros((4, 2, 2, 1))
    first, second = (tf.constant(each, tf.float32)[:, None, None, None] for each in ([0, 1, 2, 1], [0, 1, -1, -0.5]))
    changed = multiplied_by(black, black, first, second).numpy()
    assert np.isfinite(changed).all()


# Rounds


def test_without_rounds_half_of_the_images_are_unchanged_and_none_is_mixed(photos: np.ndarray) -> None:
    changed = applied("pixmix:rounds=0", photos)
    unchanged = (changed == photos).all(axis=(1, 2, 3))
    # At this strength some of the operations change nothing.
    assert 0.45 < unchanged.mean() < 0.85
    np.testing.assert_array_equal(applied("pixmix:rounds=0,fractals=5", photos), changed)
    assert (applied("pixmix:rounds=1,fractals=5", photos) != applied("pixmix:rounds=1,fractals=6", photos)).any()


@pytest.mark.parametrize("rounds", [1, 4])
def test_the_number_of_rounds_is_even_from_zero_on(rounds: int) -> None:
    # So weak an operation leaves the middle of this grey as it is, but a mixing changes it.
    images = np.full((1500, 9, 9, 3), 240 / 255, np.float32)
    middle = applied(f"pixmix:rounds={rounds},severity=0.1", images)[:, 4, 4]
    unchanged = (np.abs(middle - 240 / 255) < 1e-6).all(axis=1).mean()
    chance = 1 / (rounds + 1)
    assert abs(unchanged - chance) < 4 * np.sqrt(chance * (1 - chance) / 1500)


def test_sums_and_products_with_fractals_and_copies_are_as_frequent() -> None:
    # A copy of a grey image is grey; a fractal is not.
    images = np.full((3000, 9, 9, 3), 128 / 255, np.float32)
    middle = applied("pixmix:rounds=1,severity=0.1", images)[:, 4, 4]
    coloured = (np.ptp(middle, axis=1) > 1e-4).mean()
    assert abs(coloured - 1 / 4) < 4 * np.sqrt(3 / 16 / 3000)


def test_a_great_beta_preserves_the_image(photos: np.ndarray) -> None:
    changed = applied("pixmix:beta=1e7", photos)
    close = np.abs(changed - photos).max(axis=(1, 2, 3)) < 1e-4
    assert close.mean() > 0.4
    distances = [np.abs(applied(f"pixmix:beta={beta}", photos) - photos).mean() for beta in (1, 4, 16)]
    assert distances[0] > distances[1] > distances[2] > 0


def test_the_result_is_within_the_range_and_another_for_each_image(photos: np.ndarray) -> None:
    changed = applied("pixmix", photos)
    assert changed.min() >= 0
    assert changed.max() <= 1
    assert len(np.unique(changed.reshape(400, -1), axis=0)) > 250


# Fractals


def test_fractals_are_always_the_same_and_differ_from_each_other() -> None:
    first = _fractals.fractals(20)
    assert first.shape == (20, _fractals.SIZE, _fractals.SIZE, 3)
    assert first.dtype == np.uint8
    _fractals.fractals.cache_clear()
    np.testing.assert_array_equal(_fractals.fractals(20), first)
    np.testing.assert_array_equal(_fractals.fractals(3), first[:3])
    assert len(np.unique(first.reshape(20, -1), axis=0)) == 20


def test_fractals_have_detail_at_every_scale() -> None:
    pictures = _fractals.fractals(32).astype(float)
    for factor in (1, 4, 16):
        side = _fractals.SIZE // factor
        small = pictures.reshape(32, side, factor, side, factor, 3).mean(axis=(2, 4))
        steps = np.abs(np.diff(small, axis=1)).mean(axis=(1, 2, 3))
        assert np.median(steps) > 10


def test_the_maps_of_a_system_contract() -> None:
    matrices, _, chances = _fractals._systems(np.random.default_rng(2), 50)
    greatest = np.linalg.svd(matrices, compute_uv=False)
    assert greatest.max() <= 0.9 + 1e-9
    used = greatest[..., 0] > 0
    assert set(used.sum(axis=1)) == {2, 3, 4, 5, 6}
    assert (np.diff(chances, axis=1) >= 0).all()
    assert (chances[:, -1] == 2).all()
    # No map that is not part of the system is ever chosen: the last of it has all the chance that is left.
    last = used.sum(axis=1) - 1
    assert (chances[np.arange(50), last] == 2).all()
