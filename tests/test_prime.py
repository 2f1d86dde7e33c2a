"""PRIME: its three primitives beside their closed forms, and the mixture of chains."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import data, transform

from advcli import registry
from advcli.augmentations import _prime
from advcli.backend import Tensor, tf
from advcli.threat.rng import ImageRng


def rng(count: int, epoch: int = 0) -> ImageRng:
    return ImageRng(tf.constant(np.stack([np.arange(count), np.full(count, epoch)], axis=1), tf.int32))


def in_graph(function: Callable[..., Tensor], images: np.ndarray, *options: float) -> np.ndarray:
    """Apply a function of images, random numbers and options; many images take long without a graph."""
    return tf.function(lambda: function(tf.constant(images, tf.float32), rng(len(images)), *options))().numpy()


def applied(spec: str, images: np.ndarray) -> np.ndarray:
    return in_graph(registry.build("augmentations", spec), images)


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """A photo in eight bits, 40 x 32."""
    small = np.asarray(transform.resize(data.chelsea(), (40, 32), anti_aliasing=True))
    return (np.rint(255 * small) / 255).astype(np.float32)


# Displacement


def fields(count: int, height: int, width: int, cut: float, temperature: float) -> np.ndarray:
    def sample() -> Tensor:
        shape = tf.constant([count, height, width, 3])
        return _prime.displacement(rng(count), shape, tf.fill([count], cut), tf.fill([count], temperature))

    return tf.function(sample)().numpy()


@pytest.mark.parametrize(("cut", "temperature"), [(2.0, 1e-4), (6.0, 1e-4), (6.0, 4e-4), (12.0, 1e-4)])
def test_energy_of_a_displacement_is_that_of_its_modes(cut: float, temperature: float) -> None:
    count, height, width = 3000, 16, 20
    found = (fields(count, height, width, cut, temperature) ** 2).mean(axis=0)
    numbers = np.arange(1, 21)
    radius = np.hypot(numbers[:, None], numbers)
    energy = (radius <= cut + 0.5) / radius**2
    rows, columns = (np.sin(math.pi * np.linspace(0, 1, size)[:, None] * numbers) ** 2 for size in (height, width))
    expected = temperature * rows @ energy @ columns.T
    for component, size in zip(found, (width, height), strict=True):
        inside = (slice(2, -2), slice(2, -2))
        np.testing.assert_allclose(component[inside], (size**2 * expected)[inside], rtol=0.15)
        assert abs(component.mean() / (size**2 * expected).mean() - 1) < 0.04


def test_the_border_stays_where_it_is() -> None:
    found = fields(5, 16, 20, 10.0, 1e-2)
    for border in (found[..., 0, :], found[..., -1, :], found[..., :, 0], found[..., :, -1]):
        np.testing.assert_allclose(border, 0, atol=1e-4)
    assert np.abs(found).max() > 1


def test_a_displacement_is_at_least_half_a_pixel_and_does_not_fold() -> None:
    for size in (32, 64):
        for cut in (4.0, 12.0):
            coldest, hottest = _prime.temperatures(tf.constant([size, size], tf.float32), tf.constant([cut]))
            # The typical displacement in the centre, from the paper: n / 2 sqrt(pi T log cut).
            assert size / 2 * math.sqrt(math.pi * coldest[0] * math.log(cut)) == pytest.approx(0.5, rel=1e-5)
            middle = fields(2000, size, size, cut, float(coldest[0]))[
                :, 0, size // 4 : -size // 4, size // 4 : -size // 4
            ]
            assert 0.3 < np.sqrt((middle**2).mean()) < 0.8
            steep = np.diff(fields(200, size, size, cut, float(hottest[0]))[:, 0], axis=2)
            # The derivatives along the axes have the mean square T pi^3 cut^2 / 32.
            assert np.sqrt((steep**2).mean()) == pytest.approx(math.sqrt(1 / (8 * math.log(cut))), rel=0.2)


def test_pixels_are_read_bilinearly_where_the_field_says(photo: np.ndarray) -> None:
    generator = np.random.default_rng(1)
    offsets = generator.normal(0, 3, (2, 40, 32)).astype(np.float32)
    moved = _prime._displaced(tf.constant(photo[None]), tf.constant(offsets[None])).numpy()[0]
    rows, columns = np.mgrid[:40, :32].astype(float)
    places = [np.clip(rows + offsets[1], 0, 39), np.clip(columns + offsets[0], 0, 31)]
    expected = np.stack([ndimage.map_coordinates(photo[..., i], places, order=1) for i in range(3)], axis=-1)
    np.testing.assert_allclose(moved, expected, atol=1e-5)


def test_frequencies_beyond_the_pixels_are_left_out() -> None:
    images = tf.constant(np.random.default_rng(2).uniform(size=(6, 1, 4, 3)), tf.float32)
    assert np.isfinite(_prime.deformed(images, rng(6), 500)).all()


# Filter


def test_a_filter_of_no_deviation_is_the_identity(photo: np.ndarray) -> None:
    for kernel in (1, 3, 5):
        np.testing.assert_array_equal(in_graph(_prime.filtered, photo[None], kernel, 0.0), photo[None])


@pytest.mark.parametrize("kernel", [3, 5])
def test_filters_are_random_about_the_identity_in_its_place(kernel: int) -> None:
    # A dot on grey: what a filter adds to a grey pixel is the sum of the weights, to the dot's neighbours one weight.
    sigma, count = 0.02, 6000
    image = np.full((count, 9, 9, 1), 0.4, np.float32)
    image[:, 4, 4] = 0.8
    changed = in_graph(_prime.filtered, image, kernel, sigma)
    change = (changed - image)[..., 0]
    assert np.abs(change.mean(axis=0)).max() < 4 * sigma * 0.8 * kernel / math.sqrt(count)
    # Var = E[s^2] * sum of squares, s uniform in [0, sigma].
    reach = kernel // 2
    expected = ndimage.correlate(image[0, ..., 0].astype(float) ** 2, np.ones((kernel, kernel)), mode="constant")
    np.testing.assert_allclose(change.var(axis=0), sigma**2 / 3 * expected, rtol=0.12)
    weights = change[:, 4 - reach, 4 - reach] - change[:, 2 - reach, 2 - reach] if reach == 1 else None
    if weights is not None:
        assert weights.std() == pytest.approx(0.4 * sigma / math.sqrt(3), rel=0.06)


def test_all_channels_have_one_filter() -> None:
    grey = np.random.default_rng(3).uniform(size=(4, 8, 8, 1)).astype(np.float32).repeat(3, axis=3)
    changed = in_graph(_prime.filtered, grey, 3, 4.0)
    np.testing.assert_array_equal(changed, changed[..., :1].repeat(3, axis=3))
    assert changed.min() == 0
    assert changed.max() == 1


# Tone curve


def test_a_tone_curve_is_a_sum_of_sines() -> None:
    count, frequencies, bandwidth, temperature = 30, 60, 7, 1e-3
    values = np.arange(64, 192, dtype=np.float32).reshape(1, 8, 16, 1) / 255
    images = np.broadcast_to(values, (count, 8, 16, 3))
    streams = rng(count)
    changed = in_graph(_prime.recoloured, images, frequencies, bandwidth, temperature) - images
    limit, lowest, variance = streams.named("series").scalars(3).numpy().astype(float).T
    limit = 1 + np.floor(limit * frequencies)
    lowest = 1 + np.floor(lowest * limit)
    normal = streams.normal([3, bandwidth]).numpy()
    terms = 0
    for image in range(count):
        for channel in range(3):
            expected = np.zeros((8, 16))
            for term in range(bandwidth):
                number = lowest[image] + term
                if number <= limit[image]:
                    deviation = math.sqrt(temperature * variance[image])
                    expected += deviation * normal[image, channel, term] * np.sin(number * math.pi * values[0, ..., 0])
                    terms += 1
            np.testing.assert_allclose(changed[image, ..., channel], expected, atol=2e-5)
    assert 3 * count < terms < 3 * count * bandwidth


def test_a_tone_curve_between_two_values_of_eight_bits() -> None:
    images = np.linspace(0.3, 0.7, 1000, dtype=np.float32).reshape(1, 20, 50, 1)
    exact = in_graph(_prime.recoloured, images, 1, 1, 0.05) - images
    np.testing.assert_allclose(
        exact / exact[0, 10, 0, 0], np.sin(math.pi * images) / np.sin(math.pi * images[0, 10, 0, 0]), rtol=1e-3
    )


def test_black_and_white_stay(photo: np.ndarray) -> None:
    images = np.zeros((50, 2, 2, 3), np.float32)
    images[:, 0] = 1
    changed = in_graph(_prime.recoloured, images, 500, 20, 0.05)
    np.testing.assert_allclose(changed, images, atol=1e-5)
    np.testing.assert_array_equal(in_graph(_prime.recoloured, photo[None], 500, 20, 0.0), photo[None])


def test_the_variance_of_a_coefficient_is_even_up_to_the_temperature() -> None:
    images = np.full((6000, 1, 1, 3), 0.5, np.float32)
    change = in_graph(_prime.recoloured, images, 1, 1, 0.01) - images
    assert change.var() == pytest.approx(0.01 / 2, rel=0.06)
    assert abs(np.corrcoef(change[:, 0, 0, 0], change[:, 0, 0, 1])[0, 1]) < 0.05


# Mixture


@pytest.mark.parametrize(("depth", "chance"), [(1, 1 / 6), (3, 91 / 216), (0, (1 / 6 + 11 / 36 + 91 / 216) / 3)])
def test_a_share_even_in_its_range_is_a_chain(depth: int, chance: float) -> None:
    # White changes only by a filter, a third of the primitives, of a negative sum: then it is black, and stays so.
    images = np.ones((2500, 33, 33, 1), np.float32)
    middle = applied(f"prime:width=1,depth={depth},sigma=1e6", images)[:, 16, 16, 0]
    changed = middle[middle < 0.9999]
    assert abs(len(changed) / 2500 - chance) < 4 * math.sqrt(chance * (1 - chance) / 2500)
    assert stats.kstest(changed, "uniform").pvalue > 1e-3


def test_three_chains_have_even_weights() -> None:
    images = np.ones((2500, 33, 33, 1), np.float32)
    middle = applied("prime:depth=1,sigma=1e6", images)[:, 16, 16, 0]
    chance = 1 - (5 / 6) ** 3
    assert abs((middle < 0.9999).mean() - chance) < 4 * math.sqrt(chance * (1 - chance) / 2500)
    assert middle.mean() == pytest.approx(1 - 1 / 2 * 1 / 6, abs=0.01)


def test_the_result_is_within_the_range(photo: np.ndarray) -> None:
    changed = applied("prime", photo[None].repeat(60, axis=0))
    assert changed.min() >= 0
    assert changed.max() <= 1
    distance = np.abs(changed - photo).mean(axis=(1, 2, 3))
    assert 0.03 < distance.mean() < 0.3
