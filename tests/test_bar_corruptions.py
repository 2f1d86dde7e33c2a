"""The corruptions of ImageNet-C-bar by their formulas: pixel by pixel, by closed forms, or by another library."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import ndimage, stats
from skimage import data, transform

from advcli import registry
from advcli.corruptions import PUBLISHED, UNSEEN, _random_phase, _rays, chosen

SIDE = 32
BAR = chosen("bar")
Pixel = Callable[[int, int], object]


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """A cat and an astronaut, 32 x 32, in 8 bits."""
    pictures = (data.chelsea()[:300, 75:375], data.astronaut())
    small = [transform.resize(picture, (SIDE, SIDE), anti_aliasing=True) for picture in pictures]
    return (np.rint(np.array(small) * 255) / 255).astype(np.float32)


def generators(count: int, seed: int = 4) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, i)) for i in range(count)]


def raw(name: str, images: np.ndarray, severity: int, seed: int = 4) -> np.ndarray:
    return registry.build("corruptions", name)(images, severity, generators(len(images), seed))


def pixels(at: Pixel, side: int = SIDE) -> np.ndarray:
    """Call a function of the row and the column for each pixel."""
    return np.array([[at(row, column) for column in range(side)] for row in range(side)])


def flat(value: float, count: int = 1, side: int = SIDE, channels: int = 3) -> np.ndarray:
    return np.full((count, side, side, channels), value, np.float32)


# The group


def test_the_ten_are_unseen() -> None:
    assert chosen("unseen") == chosen(UNSEEN) == BAR
    assert chosen("bar") == (
        *("blue_noise_sample", "brownish_noise", "caustic_refraction", "checkerboard_cutout", "cocentric_sine_waves"),
        *("inverse_sparkles", "perlin_noise", "plasma_noise", "single_frequency_greyscale", "sparkles"),
    )
    assert not set(BAR) & set(chosen("all,extra"))
    assert chosen("unseen,extra,all")[:15] == PUBLISHED
    assert chosen("unseen,extra,all")[-10:] == BAR
    for family in ("augmentations", "objectives"):
        for name in registry.names(family):
            covered = {each.replace("-", "_") for each in registry.component(family, name).covers}
            assert not covered & set(BAR), name


@pytest.mark.parametrize("name", BAR)
@pytest.mark.parametrize("side", [32, 64, 128])
def test_a_higher_severity_changes_more(name: str, side: int) -> None:
    picture = transform.resize(data.astronaut(), (side, side), anti_aliasing=True)
    images = np.repeat(np.asarray(picture, np.float32)[None], 6, axis=0)
    # The random numbers are the same at each severity.
    changes = [np.abs(raw(name, images, severity) - images).mean(axis=(1, 2, 3)) for severity in (1, 2, 3, 4, 5)]
    assert (np.diff(changes, axis=0) >= 0).all()
    assert (np.diff(np.mean(changes, axis=1)) > 0).all()
    # Each image is changed in its own way.
    assert len(np.unique(np.round(changes[4], 7))) == 6


@pytest.mark.parametrize("name", BAR)
def test_values_stay_in_the_box(name: str) -> None:
    images = np.zeros((6, 24, 24, 3), np.float32)
    images[:, :, 12:] = 1
    for severity in (1, 5):
        changed = raw(name, images, severity)
        assert changed.dtype == np.float32
        assert changed.min() >= 0 and changed.max() <= 1


@pytest.mark.parametrize("name", BAR)
def test_one_channel_gets_what_is_grey_in_three(name: str, photos: np.ndarray) -> None:
    grey = (0.25 + photos[..., :1] / 2).astype(np.float32)
    one, three = raw(name, grey, 1), raw(name, np.repeat(grey, 3, axis=3), 1)
    if name == "plasma_noise":
        three = three @ np.array([[0.299], [0.587], [0.114]], np.float32)
    # Where a channel of three is independent of the others, the first of one is.
    elif name != "brownish_noise":
        np.testing.assert_allclose(three, np.repeat(three[..., :1], 3, axis=3), atol=1e-6)
    else:
        assert np.abs(three[..., 0] - three[..., 1]).mean() > 0.01
        assert np.abs(one - grey).std() > 0.01
        return
    np.testing.assert_allclose(one, three[..., :1], atol=2e-3 if name == "plasma_noise" else 1e-6)


# Noise with a spectrum


@pytest.mark.parametrize("side", [8, 7])
def test_a_field_is_the_sum_of_its_waves(side: int) -> None:
    amplitude = np.random.default_rng(0).uniform(size=(side, side))
    (found,) = _random_phase.fields(amplitude, 1, np.random.default_rng(3))
    half = 2 * np.pi * np.random.default_rng(3).random((1, side * side // 2), np.float32)[0]
    phases = np.concatenate([half, [0] * (side % 2), half[::-1]]).reshape(side, side)
    expected = np.zeros((side, side))
    for u in range(side):
        for v in range(side):
            # Frequency 0 is in the middle.
            turns = pixels(lambda y, x, u=u, v=v: ((u - side // 2) * y + (v - side // 2) * x) / side, side)
            expected += amplitude[u, v] * np.cos(2 * np.pi * turns + phases[u, v])
    np.testing.assert_allclose(found, expected / expected.std(), atol=1e-4)
    np.testing.assert_array_equal(_random_phase.frequencies(8)[4], [4, 3, 2, 1, 0, 1, 2, 3])


@pytest.mark.parametrize("slope", [1, -2])
def test_a_spectrum_has_its_slope(slope: int) -> None:
    frequencies = _random_phase.frequencies(64)
    amplitude = np.where(frequencies > 0, np.maximum(frequencies, 1.0) ** slope, 0)
    noise = _random_phase.fields(amplitude, 200, np.random.default_rng(0))
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 1, rtol=1e-4)
    power = np.fft.fftshift((np.abs(np.fft.fft2(noise)) ** 2).mean(axis=0))
    rings = [(frequencies >= r - 0.5) & (frequencies < r + 0.5) for r in range(1, 31)]
    found, expected = (
        np.polyfit(np.log(np.arange(1, 31)), [np.log(map_[ring].mean()) for ring in rings], 1)[0]
        for map_ in (power, amplitude**2)
    )
    assert expected == pytest.approx(2 * slope, abs=0.15)
    assert found == pytest.approx(expected, abs=0.03)


def test_brownish_noise_has_the_published_strength_and_spectrum() -> None:
    images = flat(0.5, 200)
    noise = (raw("brownish_noise", images, 2) - 0.5) / (6.4 / 255 * 4)
    np.testing.assert_allclose(noise.std(axis=(1, 2)), 1, atol=1e-2)
    power = (np.abs(np.fft.fft2(noise, axes=(1, 2))) ** 2).mean(axis=(0, 3))
    frequencies = np.fft.ifftshift(_random_phase.frequencies(SIDE))
    for low, high in ((1, 2), (3, 5), (9, 13)):
        for inner, outer in ((low, low + 1), (high, high + 1)):
            ring = (frequencies >= inner) & (frequencies < outer)
            share = (power[ring] * (frequencies[ring] ** 2 + 1) ** 2).mean() / (power[frequencies == 1].mean() * 4)
            assert share == pytest.approx(1, rel=0.25)
    # The mean moves, and the channels are independent.
    assert noise.mean(axis=(1, 2)).std() > 0.3
    assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.15


def test_blue_noise_drops_the_pixels_below_its_threshold(photos: np.ndarray) -> None:
    images = np.concatenate([photos] * 20) * 0.9 + 0.1
    for severity, level in ((1, 0.7), (5, 4.2)):
        changed = raw("blue_noise_sample", images, severity)
        dropped = (changed == 0).all(axis=3)
        np.testing.assert_array_equal(changed[~dropped], images[~dropped])
        # The noise is nearly normal.
        assert dropped.mean() == pytest.approx(stats.norm.cdf(0.3 * level - 2.5), rel=0.15)
    # Neighbours are dropped together less often than at random.
    together = (dropped[:, 1:] & dropped[:, :-1]).mean()
    assert together < 0.6 * dropped.mean() ** 2
    for image, generator in zip(dropped[:2], generators(2), strict=True):
        (noise,) = _random_phase.fields(_random_phase.frequencies(SIDE), 1, generator)
        np.testing.assert_array_equal(image, noise <= 0.3 * 4.2 - 2.5)


# Waves


def test_a_single_frequency_is_one_wave() -> None:
    noise = raw("single_frequency_greyscale", flat(0.5, 400), 1) - 0.5
    np.testing.assert_array_equal(noise[..., 0], noise[..., 2])
    wave = noise[..., 0].astype(np.float64)
    # w(x - 1) + w(x + 1) = 2 cos(u) w(x), along rows and along columns.
    absolute = []
    for axis in (1, 2):
        moved = np.moveaxis(wave, axis, 1)
        sums, middle = moved[:, :-2] + moved[:, 2:], moved[:, 1:-1]
        twice = (sums * middle).sum(axis=(1, 2)) / (middle**2).sum(axis=(1, 2))
        np.testing.assert_allclose(sums, twice[:, None, None] * middle, atol=1e-5)
        absolute.append(np.arccos(np.clip(twice / 2, -1, 1)))
    first, second = np.maximum(*absolute), np.minimum(*absolute)
    assert stats.kstest(first / np.pi, "uniform").pvalue > 1e-3
    assert stats.kstest(second / first, "uniform").pvalue > 1e-3
    assert 0.4 < (absolute[0] > absolute[1]).mean() < 0.6
    # One peak of the spectrum, with its mirror image, has nearly all of the power.
    windowed = np.fft.rfft2(wave[first > 1] * np.outer(*[np.hanning(SIDE)] * 2))
    power = np.sort((np.abs(windowed) ** 2).reshape(len(windowed), -1), axis=1)[:, ::-1]
    assert (power[:, :18].sum(axis=1) / power.sum(axis=1)).min() > 0.9
    assert np.abs(wave).max() == pytest.approx(19.6 / 255 * 0.6, rel=1e-3)


def test_rings_pixel_by_pixel(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos.astype(np.float64), generators(2), strict=True):
        across, down = generator.uniform(0, SIDE, 2)
        petals = generator.uniform(0, 10)
        amplitude, width = (1 - generator.random(2)) * SIDE / 10

        def ring(y: int, x: int, place: tuple[float, ...] = (across, down, petals, amplitude, width)) -> float:
            across, down, petals, amplitude, width = place
            radius = math.hypot(x - across, y - down) + amplitude * math.sin(petals * math.atan2(x - across, y - down))
            return (radius % width) / width - 0.5

        expected.append(np.clip(image + 128 / 255 * 0.4 * pixels(ring)[..., None], 0, 1))
    # At the border of a ring the wave falls by 1.
    assert (np.abs(raw("cocentric_sine_waves", photos, 3) - np.stack(expected)) < 1e-4).mean() > 0.99


def test_plasma_pixel_by_pixel(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos.astype(np.float64), generators(2), strict=True):
        time, rounds = generator.uniform(0, 6 * np.pi), float(generator.integers(4, 7))
        sharpness, scale = generator.uniform(0.5, 1), generator.uniform(0.075, 0.2) * SIDE

        def colour(row: int, column: int, drawn: tuple[float, ...] = (time, rounds, sharpness, scale)) -> list[float]:
            time, rounds, sharpness, scale = drawn
            x, y, frequency, slower, weaker = column / scale, row / scale, 1.0, 1.0, 1.0
            for _ in range(int(rounds)):
                right, down = (math.cos(y * frequency + time / slower), math.sin(x * frequency + time / slower))
                x, y = x + (right - 0.3 * down) / weaker, y + (down + 0.3 * right) / weaker
                frequency, slower, weaker = frequency * 1.93, slower * 1.15, weaker * (2.25 - sharpness)
            return [math.sin(x - time), math.sin((x + y + math.sin(time)) / 2), math.sin(y + time)]

        amount = 64 / 255 * 0.56
        expected.append(np.clip((1 - amount) * image + amount * pixels(colour), 0, 1))
    np.testing.assert_allclose(raw("plasma_noise", photos, 3), np.stack(expected), atol=2e-3)


# Perlin's noise


def test_turbulence_pixel_by_pixel(photos: np.ndarray) -> None:
    generator = np.random.default_rng((4, 0))
    order, gradients = generator.permutation(256), generator.uniform(-1, 1, (2, 256)).T
    gradients /= np.linalg.norm(gradients, axis=1, keepdims=True)

    def smooth(share: float) -> float:
        return share * share * (3 - 2 * share)

    def noise(y: float, x: float) -> float:
        total = 0.0
        for i in (0, 1):
            for j in (0, 1):
                row, column = math.floor(y) + i, math.floor(x) + j
                gradient = gradients[order[(order[row % 256] + column) % 256]]
                weight = smooth(1 - abs(y - row)) * smooth(1 - abs(x - column))
                total += weight * (gradient[0] * (y - row) + gradient[1] * (x - column))
        return 1.5 * total

    def turbulence(row: int, column: int) -> float:
        return sum(abs(noise(f * row * 7 / SIDE, f * column * 7 / SIDE)) / f for f in (1, 2, 4, 8, 16))

    grey = np.clip(0.5 + 0.5 * pixels(turbulence), 0, 1)[..., None]
    np.testing.assert_allclose(raw("perlin_noise", photos[:1], 3)[0], 0.71 * photos[0] + 0.29 * grey, atol=1e-5)


def test_turbulence_is_0_on_the_lattice() -> None:
    changed = raw("perlin_noise", flat(0, 2, 224, 1), 5)
    np.testing.assert_allclose(changed[:, ::32, ::32], 0.44 / 2, atol=1e-6)
    assert changed.min() == pytest.approx(0.44 / 2, abs=1e-6)
    assert (changed > 0.23).mean() > 0.9


# Fields, glows


def test_a_checkerboard_pixel_by_pixel(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos, generators(2), strict=True):
        angle, width = generator.uniform(0, 2 * np.pi), generator.uniform(0.1, 0.25) * SIDE
        count = int(4 * SIDE // width)
        cut = generator.random((count, count)) < 0.3

        def kept(y: int, x: int, place: tuple[float, float] = (angle, width), cut: np.ndarray = cut) -> bool:
            angle, width = place
            row = (math.cos(angle) * y + math.sin(angle) * x) / width
            column = (-math.sin(angle) * y + math.cos(angle) * x) / width
            return int(row % 2) != int(column % 2) or not cut[int(row), int(column)]

        expected.append(np.where(pixels(kept)[..., None], image, np.float32(128 / 255)))
    np.testing.assert_array_equal(raw("checkerboard_cutout", photos, 3), expected)


@pytest.mark.parametrize(("severity", "level"), [(1, 1), (3, 3), (5, 5)])
def test_a_checkerboard_masks_its_share(severity: int, level: int) -> None:
    changed = raw("checkerboard_cutout", flat(0, 500), severity)
    np.testing.assert_array_equal(np.unique(changed), np.array([0, 128 / 255], np.float32))
    # Half of the fields may be grey, and somewhat more near the corner, which always lies in one of them.
    assert (changed > 0).mean() == pytest.approx(level / 20, rel=0.12)
    assert (changed > 0).mean(axis=(1, 2, 3)).std() > 0.02


def light(side: int, centre: np.ndarray, lengths: np.ndarray, power: float) -> np.ndarray:
    def at(y: int, x: int) -> float:
        down, right = y - centre[0], x - centre[1]
        turn = (math.atan2(right, down) + math.pi) / (2 * math.pi) * len(lengths)
        ray = int(turn)
        share = turn - ray
        length = (1 - share) * lengths[ray % len(lengths)] + share * lengths[(ray + 1) % len(lengths)]
        bright = (length**2 / (down**2 + right**2 + 1e-4)) ** power
        return min(1, (1 - (share - 0.5) ** 2) * bright)

    return pixels(at, side)


@pytest.mark.parametrize("power", [1, 0.13, 1.3])
def test_a_glow_pixel_by_pixel(power: float) -> None:
    lengths = np.random.default_rng(0).uniform(2, 6, 51)
    # A centre on a pixel has pixels right at the first ray, and one without a direction.
    for centre in ((3.3, 11.8), (7, 9)):
        found = _rays.glow(16, np.array(centre), lengths, power)
        np.testing.assert_allclose(found, light(16, np.array(centre), lengths, power), atol=2e-4)


def test_sparkles_are_five_glows(photos: np.ndarray) -> None:
    expected = []
    for image, generator in zip(photos.astype(np.float64), generators(2), strict=True):
        centres, counts = generator.uniform(0, SIDE, (5, 2)), generator.integers(50, 200, 5)
        for centre, count in zip(centres, counts, strict=True):
            lengths = np.maximum(1, 0.056 * SIDE * (1 + 0.25 * generator.standard_normal(count)))
            glow = light(SIDE, centre, lengths, 1)[..., None]
            image = image + glow * (1 - image)
        expected.append(image)
    np.testing.assert_allclose(raw("sparkles", photos, 3), np.stack(expected), atol=1e-3)


def test_five_points_sparkle() -> None:
    changed = raw("sparkles", flat(0, 12, 224, 1), 1)[..., 0]
    # Smoothed, the rays of a sparkle are one spot; two that overlap are one.
    smooth = ndimage.gaussian_filter(changed, (0, 2, 2))
    counts = [ndimage.label(image > 0.4)[1] for image in smooth]  # pyright: ignore[reportIndexIssue]  it returns two values
    assert max(counts) == 5
    assert np.mean(counts) > 4.3


def test_inverse_sparkles_keep_rays_and_whiten_the_rest(photos: np.ndarray) -> None:
    for severity, level in ((1, 1), (5, 5)):
        expected = []
        for image, generator in zip(photos.astype(np.float64), generators(2), strict=True):
            centre = generator.uniform(0.25, 0.75, 2) * SIDE
            lengths = SIDE / 4 * (1 + 0.25 * generator.standard_normal(generator.integers(50, 200)))
            expected.append(1 + light(SIDE, centre, lengths, 0.13 * level)[..., None] * (image - 1))
        np.testing.assert_allclose(raw("inverse_sparkles", photos, severity), np.stack(expected), atol=1e-3)
        assert (raw("inverse_sparkles", photos, severity) >= photos - 1e-6).all()


# Refraction


def test_caustics_refract_by_snells_law_and_light_by_their_slope(photos: np.ndarray) -> None:
    level, expected = 2.6, []
    for image, generator in zip(photos.astype(np.float64), generators(2), strict=True):
        time, size = generator.uniform(0.5, 2), generator.uniform(0.75, 1.25) * SIDE

        def caustic(row: int, column: int, time: float = time, size: float = size) -> float:
            p = [place / size % 1 * 2 * math.pi - 250 for place in (row, column)]
            i, total = p, 1.0
            for turn in range(5):
                t = time * (1 - 3.5 / (turn + 1))
                i = [
                    p[0] + math.cos(t - i[0]) + math.sin(t + i[1]),
                    p[1] + math.sin(t - i[1]) + math.cos(t + i[0]),
                ]
                total += 1 / math.hypot(p[0] * 0.005 / math.sin(i[0] + t), p[1] * 0.005 / math.cos(i[1] + t))
            return min(1, abs(1.17 - (total / 5) ** 1.4) ** 8)

        surface = np.pad(ndimage.gaussian_filter(pixels(caustic), 1), 1)
        down, right = surface[2:, 1:-1] - surface[:-2, 1:-1], surface[1:-1, 2:] - surface[1:-1, :-2]
        normal = np.stack([down, right, np.ones_like(down)])
        normal /= np.linalg.norm(normal, axis=0)
        # Snell's law as a sum of the incident vector (0, 0, 1) and the normal.
        within = np.sqrt(1 - (1 - normal[2] ** 2) / 16)
        bent = (within - normal[2] / 4) * normal
        bent[:, normal[2] >= 0.999] = 0
        places = np.mgrid[:SIDE, :SIDE] + 0.05 * level * SIDE * bent[:2]
        read = [ndimage.map_coordinates(image[..., c], places, order=1, mode="grid-constant") for c in range(3)]
        expected.append(np.clip(np.stack(read, axis=-1) + 0.2 * level * (down - right)[..., None], 0, 1))
        assert 0.05 < (normal[2] < 0.999).mean() < 0.95
    # A pixel whose slope is at the limit of refraction may lie on either side of it.
    assert (np.abs(raw("caustic_refraction", photos, 3) - np.stack(expected)) < 1e-3).mean() > 0.995
