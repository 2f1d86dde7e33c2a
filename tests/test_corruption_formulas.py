"""The corruptions of several stages by their published formulas, pixel by pixel or by another library."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from skimage import data, transform

from advcli import registry
from advcli.corruptions import _edges, _motion
from advcli.corruptions.elastic_transform import sheared
from advcli.corruptions.fog import plasma
from advcli.corruptions.glass_blur import displaced

SIDE = 64


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """A cat and an astronaut, in 8 bits."""
    pictures = (data.chelsea()[:300, 75:375], data.astronaut())
    small = [transform.resize(picture, (SIDE, SIDE), anti_aliasing=True) for picture in pictures]
    return (np.rint(np.array(small) * 255) / 255).astype(np.float32)


def generators(count: int = 2) -> list[np.random.Generator]:
    return [np.random.default_rng((4, i)) for i in range(count)]


def raw(name: str, images: np.ndarray, severity: int, source: Sequence[np.random.Generator] = ()) -> np.ndarray:
    return registry.build("corruptions", name)(images, severity, source or generators(len(images)))


def blurred(image: np.ndarray, sigma: float) -> np.ndarray:
    """Blur the two first axes of one image, whose border pixels go on for ever."""
    return ndimage.gaussian_filter(image.astype(np.float64), (sigma, sigma, 0)[: image.ndim], mode="nearest")


def tells(found: np.ndarray, expected: np.ndarray, *wrong: np.ndarray, atol: float = 2e-6) -> None:
    np.testing.assert_allclose(found, expected, atol=atol)
    for other in wrong:
        assert np.abs(other - expected).max() > 10 * atol


def test_noise_value_by_value(photos: np.ndarray) -> None:
    image = photos[:1].astype(np.float64)

    def drawn(draw: Any) -> np.ndarray:
        return draw(generators()[0])[None].astype(np.float64)

    normal = drawn(lambda generator: generator.standard_normal(photos.shape[1:], np.float32))
    even = drawn(lambda generator: generator.random(photos.shape[1:], np.float32))
    tells(
        raw("gaussian_noise", photos[:1], 3), np.clip(image + 0.12 * normal, 0, 1), np.clip(image - 0.12 * normal, 0, 1)
    )
    tells(raw("speckle_noise", photos[:1], 3), np.clip(image * (1 + 0.25 * normal), 0, 1), image + 0.25 * normal)
    lost = np.where(even < 0.025, 1.0, np.where(even < 0.05, 0.0, image))
    tells(raw("impulse_noise", photos[:1], 3), lost, np.where(even < 0.05, 0.5, image))
    counts = drawn(lambda generator: generator.poisson(photos[0].astype(np.float64) * 50))
    tells(raw("shot_noise", photos[:1], 3), np.clip(counts / 50, 0, 1), counts / 50)


@pytest.mark.parametrize("name", registry.names("corruptions"))
def test_nothing_leaves_the_box(name: str) -> None:
    # Halves of black and white, whose noise and light would lead out of it.
    images = np.zeros((2, 32, 32, 3), np.float32)
    images[:, :, 16:] = 1
    changed = raw(name, images, 5)
    assert changed.min() >= 0
    assert changed.max() <= 1


@pytest.mark.parametrize("decay", [1.5, 3.0])
def test_plasma_pixel_by_pixel(decay: float) -> None:
    side = 16
    noise = np.random.default_rng(0).uniform(-1, 1, (2, side, side)).astype(np.float32)
    expected = []
    for own in noise.astype(np.float64):
        heights, step, strength = np.zeros((side, side)), side, 100.0

        def at(row: int, column: int, heights: np.ndarray = heights) -> float:
            return heights[row % side, column % side]

        while step >= 2:
            half, places = step // 2, range(0, side, step)
            rough = strength**2 * own
            for i in places:
                for j in places:
                    corners = at(i, j) + at(i + step, j) + at(i, j + step) + at(i + step, j + step)
                    heights[i + half, j + half] = corners / 4 + rough[i + half, j + half]
            for i in places:
                for j in places:
                    above = at(i - half, j + half) + at(i + half, j + half) + at(i, j) + at(i, j + step)
                    beside = at(i + half, j - half) + at(i + half, j + half) + at(i, j) + at(i + step, j)
                    heights[i, j + half] = above / 4 + rough[i, j + half]
                    heights[i + half, j] = beside / 4 + rough[i + half, j]
            step, strength = half, strength / decay
        expected.append((heights - heights.min()) / np.ptp(heights))
    np.testing.assert_allclose(plasma(noise, decay), expected, atol=1e-5)


def test_fog_pixel_by_pixel() -> None:
    # 48 pixels are the corner of a haze of 64.
    images = np.random.default_rng(1).uniform(0.1, 0.8, (2, 48, 48, 3)).astype(np.float32)
    noise = np.stack([generator.random((64, 64), np.float32) for generator in generators()])
    found = raw("fog", images, 2)
    share = (np.log(48) - np.log(32)) / np.log(2)
    amount, decay = 0.5 + share * (0.7 - 0.5), 3
    haze = plasma(2 * noise - 1, decay)[:, :48, :48, None].astype(np.float64)
    largest = images.max(axis=(1, 2, 3), keepdims=True)
    expected = (images + amount * haze) * largest / (largest + amount)
    tells(found, expected, images + amount * haze, (images + amount * haze) * images.max() / (images.max() + amount))


def test_glass_is_blur_displacement_and_blur(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos, generators(), strict=True):
        levels = np.floor(blurred(image, 0.6) * 255 + 1e-3).reshape(SIDE * SIDE, 3)
        moved = levels[displaced(SIDE, 1, 2, generator)].reshape(image.shape) / 255
        expected.append(blurred(moved, 0.6))
    tells(raw("glass_blur", photos, 3), np.stack(expected), photos)


def test_motion_of_up_to_45_degrees(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos, generators(), strict=True):
        angle = np.radians(generator.uniform(-45, 45))
        weights = np.exp(-(np.arange(21) ** 2) / (2 * 2.5**2))
        total = np.zeros(image.shape)
        for i, weight in enumerate(weights / weights.sum()):
            rows = np.clip(np.arange(SIDE) + int(np.ceil(i * np.sin(angle) - 0.5)), 0, SIDE - 1)
            columns = np.clip(np.arange(SIDE) + int(np.ceil(i * np.cos(angle) - 0.5)), 0, SIDE - 1)
            total += weight * image[rows][:, columns]
        expected.append(total)
    tells(raw("motion_blur", photos, 4), np.stack(expected))


def test_a_line_is_twice_its_radius_long_and_the_first_pixel() -> None:
    image = np.zeros((9, 30), np.float32)
    image[4, 20] = 1
    weights = np.exp(-(np.arange(7) ** 2) / 32)
    expected = np.zeros_like(image)
    expected[4, 20:13:-1] = weights / weights.sum()
    tells(_motion.moved(image, 3, 4.0, 0), expected, expected[:, ::-1])


def luma(images: np.ndarray) -> np.ndarray:
    return (images * [0.299, 0.587, 0.114]).sum(axis=-1, keepdims=True)


@pytest.mark.parametrize(
    ("severity", "parameters"), [(2, (0.1, 0.2, 1, 0.5, 10, 4, 0.8)), (4, (0.25, 0.3, 2.25, 0.6, 12, 6, 0.65))]
)
def test_snow_stage_by_stage(severity: int, parameters: Any, photos: np.ndarray) -> None:
    mean, std, factor, least, radius, sigma, kept = parameters
    expected = []
    for image, generator in zip(photos.astype(np.float64), generators(), strict=True):
        noise = mean + std * generator.standard_normal((SIDE, SIDE), np.float32)
        middle = int(np.ceil(SIDE / factor))
        start = (SIDE - middle) // 2
        whole = np.asarray(ndimage.zoom(noise[start : start + middle, start : start + middle], factor, order=1))
        cut = (len(whole) - SIDE) // 2
        flakes = whole[cut : cut + SIDE, cut : cut + SIDE]
        flakes = np.where(flakes < least, 0, flakes)
        flakes = np.floor(np.clip(flakes, 0, 1) * 255).astype(np.float32)
        layer = np.rint(_motion.moved(flakes, radius, sigma, generator.uniform(-135, -45)))[..., None] / 255
        white = kept * image + (1 - kept) * np.maximum(image, luma(image) * 1.5 + 0.5)
        expected.append(np.clip(white + layer + np.rot90(layer, 2), 0, 1))
    # A value that float32 puts on the other side of a whole number is a level higher or lower.
    found = raw("snow", photos, severity)
    assert (np.abs(found - np.stack(expected)) < 1e-5).mean() > 0.98
    assert np.abs(found - np.stack(expected)).max() < 2.5 / 255


def test_elastic_transform_shears_and_then_displaces(photos: np.ndarray) -> None:
    expected, wrong = [], []
    for image, generator in zip(photos, generators(), strict=True):
        source = np.broadcast_arrays(*sheared(SIDE, 0.06 * SIDE, generator))
        noise = generator.uniform(-1, 1, (2, SIDE, SIDE)).astype(np.float32).astype(np.float64)
        smooth = [
            0.1 * SIDE * ndimage.gaussian_filter(field, 0.08 * SIDE, mode="reflect", truncate=3) for field in noise
        ]
        rows, columns = np.mgrid[:SIDE, :SIDE]

        def read(picture: np.ndarray, places: Any, mode: Any) -> np.ndarray:
            channels = [ndimage.map_coordinates(picture[..., c], places, order=1, mode=mode) for c in range(3)]
            return np.stack(channels, axis=-1)

        turned = read(image, source, "mirror")
        expected.append(read(turned, (rows + smooth[1], columns + smooth[0]), "reflect"))
        wrong.append(read(turned, (rows + smooth[0], columns + smooth[1]), "reflect"))
    tells(raw("elastic_transform", photos, 3), np.stack(expected), np.stack(wrong), atol=2e-5)


def lit(drops: np.ndarray) -> np.ndarray:
    """How bright water is, as the published code has it: (H, W) whole numbers -> (H, W) in [0, 1]."""
    rim = _edges.edges(drops[None], 50, 150)[0]
    assert rim.any()
    far = np.minimum(np.asarray(ndimage.distance_transform_edt(~rim)), 20)
    far = np.floor(ndimage.uniform_filter(far, 3, mode="mirror") + 1e-3).astype(int)
    counts = np.bincount(far.ravel(), minlength=256)
    first = np.flatnonzero(counts)[0]
    levels = np.rint((np.cumsum(counts) - counts[first]) * 255 / (far.size - counts[first]))
    equal = np.pad(levels[far], 1, mode="reflect")
    relief = np.zeros(far.shape)
    for row, weights in enumerate([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]):
        for column, weight in enumerate(weights):
            relief += weight * equal[row : row + SIDE, column : column + SIDE]
    light = drops * np.rint(ndimage.uniform_filter(np.clip(relief, 0, 255), 3, mode="mirror"))
    return light / light.max()


def test_water_stage_by_stage(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos, generators(), strict=True):
        liquid = blurred(0.65 + 0.3 * generator.standard_normal((SIDE, SIDE), np.float32), 1)
        drops = np.floor(np.where(liquid < 0.69, 0, np.minimum(liquid, 1)) * 255)
        colour = np.array([175, 238, 238]) / 255
        expected.append(np.clip(image + 0.6 * lit(drops)[..., None] * colour, 0, 1))
    # A level more or less of a drop moves its rim by a pixel, and what is lit by it.
    assert (np.abs(raw("spatter", photos, 3) - np.stack(expected)) < 1e-3).mean() > 0.97


def test_mud_stage_by_stage(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos, generators(), strict=True):
        liquid = blurred(0.65 + 0.1 * generator.standard_normal((SIDE, SIDE), np.float32), 0.7)
        cover = blurred((liquid > 0.68).astype(float), 0.6)
        cover = np.where(cover < 0.8, 0, cover)[..., None]
        expected.append(image * (1 - cover) + cover * np.array([63, 42, 20]) / 255)
    assert (np.abs(raw("spatter", photos, 4) - np.stack(expected)) < 1e-5).mean() > 0.995


def test_one_channel_gets_the_brightness_of_water_and_mud(photos: np.ndarray) -> None:
    # Dark enough that no channel is cut at white.
    grey = 0.3 * photos[..., :1]
    for severity in (3, 4):
        wide, one = (raw("spatter", np.repeat(grey, count, axis=3), severity) for count in (3, 1))
        assert (np.abs(one - grey).max(axis=-1) > 0.02).mean() > 0.05
        np.testing.assert_allclose(one, luma(wide.astype(np.float64)), atol=1e-5)


def test_ice_is_as_bright_and_as_varied_as_the_published_photos() -> None:
    side, many = 32, 120
    black = np.zeros((many, side, side, 3), np.float32)
    ice = raw("frost", black, 5) / 0.45
    bright = luma(ice.astype(np.float64))[..., 0]
    # Evenly between .48 and .82, with a standard deviation of .11, somewhat less where it is cut at white.
    assert bright.mean() == pytest.approx(0.65, abs=0.03)
    assert bright.mean(axis=(1, 2)).std() == pytest.approx(0.34 / np.sqrt(12), abs=0.015)
    assert bright.std(axis=(1, 2)).mean() == pytest.approx(0.11, abs=0.012)
    # The colour is that of (148, 167, 178), moved along the greys.
    offset = np.array([148, 167, 178]) / 255
    np.testing.assert_allclose(np.median(ice - bright[..., None], axis=(0, 1, 2)), offset - luma(offset), atol=2e-3)
    # A few veins are much brighter than the ground: the distribution leans to the right.
    centred = bright - bright.mean(axis=(1, 2), keepdims=True)
    assert (centred**3).mean() / (centred**2).mean() ** 1.5 > 0.4


def test_edges_follow_the_definition() -> None:
    """Sobel's gradient, thinned across its direction in four sectors, kept where it leads to a strong one."""
    pictures = np.floor(ndimage.gaussian_filter(np.random.default_rng(2).normal(size=(2, 40, 40)), (0, 2, 2)) * 500)
    pictures = np.clip(128 + pictures, 0, 255)
    expected = []
    for picture in pictures:
        wide = np.pad(picture, 1, mode="edge")
        across = ndimage.correlate(wide, np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]))[1:-1, 1:-1]
        down = ndimage.correlate(wide, np.array([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]))[1:-1, 1:-1]
        size = np.pad(np.abs(across) + np.abs(down), 1)
        likely = np.zeros((40, 40), bool)
        for i in range(40):
            for j in range(40):
                x, y, here = across[i, j], down[i, j], size[i + 1, j + 1]
                if abs(y) < np.tan(np.pi / 8) * abs(x):
                    most = here > size[i + 1, j] and here >= size[i + 1, j + 2]
                elif abs(x) < np.tan(np.pi / 8) * abs(y):
                    most = here > size[i, j + 1] and here >= size[i + 2, j + 1]
                elif x * y > 0:
                    most = here > size[i, j] and here > size[i + 2, j + 2]
                else:
                    most = here > size[i, j + 2] and here > size[i + 2, j]
                likely[i, j] = most and here > 50
        parts, count = ndimage.label(likely, np.ones((3, 3)))  # pyright: ignore[reportGeneralTypeIssues]  without an output it returns both
        strong = [part for part in range(1, count + 1) if (size[1:-1, 1:-1][parts == part] > 150).any()]
        expected.append(np.isin(parts, strong))
        assert 0 < len(strong) < count
    np.testing.assert_array_equal(_edges.edges(pictures, 50, 150), expected)
