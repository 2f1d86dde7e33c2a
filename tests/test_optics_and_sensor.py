"""The corruptions of optics and sensors beside closed forms: transfer functions, photon transfer, colours of light."""

from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from scipy import ndimage, optimize, special, stats
from skimage import data, transform

from advcli import registry
from advcli.corruptions import PhysicalCorruption, build_corruption, chosen, corrupted
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._parameters import table
from advcli.corruptions._photons import photon_counts
from advcli.errors import UsageError

OPTICS = ("defocus", "diffraction", "distortion", "jitter", "motion", "turbulence")
SENSOR = ("bayer", "fixed_pattern", "gain", "low_light", "night", "rolling_bands", "white_balance")
NAMES = OPTICS + SENSOR
SIDE = 64


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return photos_of(SIDE)


@cache
def photos_of(side: int) -> np.ndarray:
    """A cat, an astronaut and a cup, in 8 bits."""
    pictures = (data.chelsea()[:300, 75:375], data.astronaut(), data.coffee()[:400, 100:500])
    small = [transform.resize(picture, (side, side), anti_aliasing=True) for picture in pictures]
    return (np.rint(np.array(small) * 255) / 255).astype(np.float32)


def generators(count: int, seed: int = 4) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, i)) for i in range(count)]


def raw(spec: str, images: np.ndarray, severity: int = 0, seed: int = 4) -> np.ndarray:
    """Corrupt without cutting off to 8 bits."""
    return build_corruption(spec)(images, severity, generators(len(images), seed))


def changed_light(spec: str, light: np.ndarray, seed: int = 4) -> np.ndarray:
    """Corrupt light: (N, H, W, C) -> (N, H, W, C) float64."""
    return to_linear(raw(spec, to_srgb(light.astype(np.float32)), seed=seed)).astype(np.float64)


def flat(value: float, count: int = 1, side: int = SIDE, channels: int = 3) -> np.ndarray:
    return np.full((count, side, side, channels), value, np.float32)


def physical(name: str) -> type[PhysicalCorruption]:
    cls = registry.component("corruptions", name)
    assert issubclass(cls, PhysicalCorruption)
    return cls


# All of them


def test_the_groups() -> None:
    assert chosen("optics") == OPTICS
    assert chosen("sensor") == SENSOR


@pytest.mark.parametrize("side", [32, 64, pytest.param(224, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", NAMES)
def test_each_severity_is_stronger_and_none_destroys_the_image(name: str, side: int) -> None:
    images = photos_of(side)
    changed = [raw(name, images, severity) for severity in (1, 2, 3, 4, 5)]
    distances = [np.abs(each - images).mean() for each in changed]
    assert (np.diff(distances) > 0).all()
    # Those of ImageNet-C are from 0.006 to 0.25; a loss of all colours is 0.12.
    assert 0.005 < distances[0] < 0.13
    assert 0.035 < distances[4] < 0.3
    for image, each in zip(images, changed[4], strict=True):
        assert name == "distortion" or np.corrcoef(image.mean(axis=2).ravel(), each.mean(axis=2).ravel())[0, 1] > 0.5


@pytest.mark.parametrize("name", NAMES)
def test_levels_lead_in_the_direction_that_the_component_says(name: str) -> None:
    cls = physical(name)
    for rows in cls.levels.values():
        assert len(rows) == 5
        assert list(rows) == sorted(rows, reverse=not cls.increasing)


@pytest.mark.parametrize("name", NAMES)
def test_a_value_is_the_severity_with_this_level(name: str, photos: np.ndarray) -> None:
    cls = physical(name)
    (value,) = table(SIDE, 4, cls.levels)
    spec = f"{name}:{cls.parameter}={value!r}"
    assert not build_corruption(spec).has_severities
    np.testing.assert_array_equal(raw(spec, photos), raw(name, photos, 4))
    assert (raw(name, photos, 4) != raw(name, photos, 3)).any()


@pytest.mark.parametrize("name", NAMES)
def test_the_curve_over_the_parameter_is_not_ragged(name: str, photos: np.ndarray) -> None:
    cls = physical(name)
    levels = cls.levels[64 if 64 in cls.levels else 224]
    values = np.linspace(levels[1], levels[3], 9)
    # As in a sweep: with the random numbers of the spec, and in 8 bits.
    distances = [
        np.abs(corrupted(f"{name}:{cls.parameter}={value}", photos, None, 0) - photos).mean() for value in values
    ]
    steps = np.diff(distances)
    # The pitch of a sensor moves its colours about.
    assert (steps > (-0.004 if name == "bayer" else 0)).all()


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("defocus:radius=2", "low_light:photons=50"),
        ("motion", "night"),
        ("low_light", "jitter:std=1"),
        ("gain", "bayer"),
    ],
)
def test_two_are_one_after_the_other(first: str, second: str, photos: np.ndarray) -> None:
    source = generators(len(photos))
    expected = build_corruption(second)(build_corruption(first)(photos, 2, source), 2, source)
    np.testing.assert_array_equal(raw(f"{first}+{second}", photos, 2), expected)


@pytest.mark.parametrize(
    "spec",
    [
        *("defocus:radius=0", "diffraction:radius=0", "jitter:std=0", "motion:length=0", "turbulence:seeing=0"),
        *("distortion:k1=0", "gain:factor=1", "rolling_bands:depth=0", "fixed_pattern:prnu=0,dsnu=0"),
        "white_balance:kelvin=6504",
    ],
)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_strength_of_nothing_changes_nothing(spec: str, channels: int, photos: np.ndarray) -> None:
    np.testing.assert_array_equal(corrupted(spec, photos[..., :channels], None, 0), photos[..., :channels])


@pytest.mark.parametrize(
    ("name", "option", "values"),
    [
        ("defocus", "radius", (-0.1, 1001)),
        ("diffraction", "radius", (-0.1, 1001)),
        ("jitter", "std", (-0.1, 1001)),
        ("motion", "length", (-0.1, 1001)),
        ("motion", "angle", (361,)),
        ("turbulence", "seeing", (-0.1, 1001)),
        ("distortion", "k1", (-1 / 3, 2.1)),
        ("low_light", "photons", (0, -1)),
        ("low_light", "read_noise", (-1,)),
        ("night", "photons", (0, -1)),
        ("night", "read_noise", (-1,)),
        ("fixed_pattern", "prnu", (-0.1,)),
        ("fixed_pattern", "dsnu", (-0.1, 1.1)),
        ("fixed_pattern", "pattern", (-1,)),
        ("gain", "factor", (-1,)),
        ("bayer", "pitch", (0.9,)),
        ("rolling_bands", "depth", (-0.1, 1.1)),
        ("rolling_bands", "bands", (-1,)),
        ("white_balance", "kelvin", (1999, 25001, 0)),
    ],
)
def test_values_out_of_range_are_refused(name: str, option: str, values: tuple[float, ...]) -> None:
    for value in (*values, float("nan"), float("inf")):
        with pytest.raises(UsageError, match=option):
            registry.component("corruptions", name)(**{option: value})


# Transfer functions

Transfer = Callable[[np.ndarray], np.ndarray]


def disk(radius: float) -> Transfer:
    return lambda f: 2 * special.j1(2 * np.pi * radius * f) / (2 * np.pi * radius * f)


def airy(radius: float) -> Transfer:
    """The overlap of two pupils: a pupil of diameter 1 at a distance of the share of the cutoff frequency."""
    cutoff = special.jn_zeros(1, 1)[0] / np.pi / radius

    def overlap(f: np.ndarray) -> np.ndarray:
        half = np.arccos(np.minimum(f / cutoff, 1))
        return (2 * half - np.sin(2 * half)) / np.pi

    return overlap


def gaussian(std: float) -> Transfer:
    return lambda f: np.exp(-2 * np.pi**2 * std**2 * f**2)


def kolmogorov(seeing: float) -> Transfer:
    """Half the structure function of the wave, 6.88 (distance / r0)^(5/3), at a distance of wavelength times f."""
    return lambda f: np.exp(-0.5 * 6.88 * (seeing * f) ** (5 / 3))


@pytest.mark.parametrize(
    ("spec", "transfer"),
    [
        *((f"defocus:radius={value}", disk(value)) for value in (0.3, 1, 2.5, 6)),
        *((f"diffraction:radius={value}", airy(value)) for value in (0.5, 1.5, 4)),
        *((f"jitter:std={value}", gaussian(value)) for value in (0.2, 0.8, 2)),
        *((f"turbulence:seeing={value}", kolmogorov(value)) for value in (0.3, 1.5, 4)),
    ],
)
def test_waves_are_weakened_by_the_transfer_function(spec: str, transfer: Transfer) -> None:
    place = (np.arange(SIDE) + 0.5) / SIDE
    # Half waves a side: those of a whole number are not disturbed by the reflection at the borders.
    for down, across in ((0, 1), (3, 0), (5, 5), (12, 30), (40, 2), (50, 62)):
        wave = np.cos(np.pi * down * place)[:, None] * np.cos(np.pi * across * place)
        light = (0.5 + 0.4 * wave)[None, :, :, None]
        found = ((changed_light(spec, light) - 0.5)[0, :, :, 0] * wave).sum() / (0.4 * wave**2).sum()
        assert found == pytest.approx(transfer(np.hypot(down, across) / (2 * SIDE)), abs=1e-3), (down, across)


@pytest.mark.parametrize(("length", "angle"), [(3, 0), (3, 90), (5.5, 30), (5.5, 150), (8, -45), (2, 77)])
def test_motion_is_the_mean_over_a_line(length: float, angle: float) -> None:
    place = np.arange(SIDE) + 0.5
    steps = (np.arange(400) + 0.5) / 400 - 0.5
    right, up = length * np.cos(np.radians(angle)) * steps, length * np.sin(np.radians(angle)) * steps
    for down, across in ((0, 7), (9, 0), (11, 25)):
        rows = np.cos(np.pi * down * (place[:, None] - up) / SIDE)
        columns = np.cos(np.pi * across * (place[:, None] + right) / SIDE)
        light = 0.5 + 0.4 * np.cos(np.pi * down * place / SIDE)[:, None] * np.cos(np.pi * across * place / SIDE)
        found = changed_light(f"motion:length={length},angle={angle}", light[None, :, :, None])[0, :, :, 0]
        np.testing.assert_allclose(found, 0.5 + 0.4 * rows @ columns.T / len(steps), atol=1e-3)


def test_motion_along_the_rows_has_the_transfer_function_of_a_slit() -> None:
    place = (np.arange(SIDE) + 0.5) / SIDE
    for across in (4, 20, 45):
        wave = np.broadcast_to(np.cos(np.pi * across * place), (SIDE, SIDE))
        found = changed_light("motion:length=4.5,angle=0", (0.5 + 0.4 * wave)[None, :, :, None])[0, :, :, 0]
        turns = np.pi * 4.5 * across / (2 * SIDE)
        assert ((found - 0.5) * wave).sum() / (0.4 * wave**2).sum() == pytest.approx(np.sin(turns) / turns, abs=1e-3)


def test_motion_goes_in_a_random_direction_for_each_image() -> None:
    point = np.zeros((12, 33, 33, 1), np.float32)
    point[:, 16, 16] = 1
    places = np.arange(33) - 16
    light = changed_light("motion:length=12", point)[..., 0]
    mixed = (light * places[:, None] * places).sum(axis=(1, 2))
    assert len(np.unique(np.round(mixed, 3))) == 12
    assert (mixed > 0).any() and (mixed < 0).any()


@pytest.mark.parametrize("spec", ["defocus:radius=3", "diffraction:radius=3", "jitter:std=2", "turbulence:seeing=3"])
def test_a_point_spreads_round_and_no_light_is_lost(spec: str) -> None:
    point = np.full((1, 41, 41, 3), 0.1)
    point[:, 20, 20] = 1
    light = changed_light(spec, point)
    assert light.sum() == pytest.approx(point.sum(), rel=1e-4)
    for same in (light[:, ::-1], light[:, :, ::-1], light.transpose(0, 2, 1, 3)):
        np.testing.assert_allclose(light, same, atol=1e-5)


def test_the_light_of_a_point_falls_to_one_half_at_half_the_seeing() -> None:
    f = np.linspace(0, 3, 20001)
    weight = kolmogorov(1)(f) * f

    def spread(distance: float) -> float:
        return float((weight * special.j0(2 * np.pi * distance * f)).sum())

    half = optimize.brentq(lambda distance: spread(distance) - spread(0) / 2, 0.1, 1)
    assert 2 * half == pytest.approx(0.976, abs=2e-3)


def test_the_first_dark_ring_of_diffraction() -> None:
    # At the radius 1.22 wavelength times f-number over the pitch: here pixels of half a wavelength times f-number.
    f = np.linspace(1e-6, 0.5, 20001)
    ring = (airy(2.44)(f) * f * special.j0(2 * np.pi * 2.44 * f)).sum() / (airy(2.44)(f) * f).sum()
    assert ring == pytest.approx(0, abs=1e-4)
    assert airy(2.44)(np.array([0.4999, 0.5001])) == pytest.approx([0, 0], abs=1e-4)


@pytest.mark.parametrize("k1", [-0.25, -0.1, 0.1, 0.6])
def test_distortion_reads_where_browns_model_says(k1: float) -> None:
    middle = (SIDE - 1) / 2
    axis = (np.arange(SIDE) - middle) / middle / np.sqrt(2)
    # Light that rises evenly is read between pixels without error.
    light = np.stack(np.broadcast_arrays(0.5 + 0.6 * axis[:, None], 0.5 + 0.6 * axis[None], 0.5), axis=2)[None]
    radius = np.hypot(axis[:, None], axis)
    seen = radius * (1 + k1 * radius**2)
    zoom = seen.max() if k1 > 0 else np.sqrt(0.5) * (1 + k1 / 2) / np.sqrt(0.5)
    factor = seen / radius / zoom
    found = changed_light(f"distortion:k1={k1}", light)[0]
    np.testing.assert_allclose(found[..., 0], 0.5 + 0.6 * factor * axis[:, None], atol=1e-4)
    np.testing.assert_allclose(found[..., 1], 0.5 + 0.6 * factor * axis, atol=1e-4)
    # The picture touches its borders, and none is read beyond.
    assert found[..., 0].max() == pytest.approx(light[..., 0].max(), abs=1e-3)


# Photons


@pytest.mark.parametrize("name", ["low_light", "night"])
@pytest.mark.parametrize(("photons", "read_noise"), [(400, 0), (400, 6), (40, 1.5)])
def test_photon_transfer_curve(name: str, photons: float, read_noise: float) -> None:
    means, variances = [], []
    for level in (0.2, 0.35, 0.5):
        channels, side = (3, 64) if name == "low_light" else (1, 96)
        light = changed_light(f"{name}:photons={photons},read_noise={read_noise}", flat(level, 24, side, channels))
        means.append(light.mean())
        variances.append(light.var())
        assert means[-1] == pytest.approx(level, rel=0.01)
        # Of 200,000 values the variance is known to 0.3%.
        assert variances[-1] * photons**2 == pytest.approx(photons * level + read_noise**2, rel=0.01)
    if read_noise == 0:
        np.testing.assert_allclose(np.array(variances) / means * photons, 1, rtol=0.01)


@pytest.mark.parametrize("mean", [0.4, 2.5, 3.9, 4.1, 9, 70])
def test_counts_are_those_of_poisson(mean: float) -> None:
    normal = np.random.default_rng(0).standard_normal(20000, np.float32)
    counts = photon_counts(np.full(normal.shape, mean, np.float32), normal)
    expected = stats.poisson.ppf(special.ndtr(normal[:2000].astype(float)), float(np.float32(mean)))
    assert (counts[:2000] != expected).mean() <= (0 if mean < 4 else 0.005)
    observed = np.bincount(counts.astype(int))
    chances = stats.poisson.pmf(np.arange(len(observed)), mean) * len(counts)
    large = chances > 10
    assert stats.chisquare(observed[large], chances[large] * observed[large].sum() / chances[large].sum())[1] > 1e-3


def test_more_photons_are_never_fewer_counts() -> None:
    light = np.random.default_rng(1).random((1, 32, 32, 3), np.float32) * 0.5
    counts = [changed_light(f"low_light:photons={n},read_noise=0", light) * n for n in (5, 10, 11, 30, 200)]
    assert (np.diff(np.rint(counts), axis=0) >= 0).all()
    errors = [changed_light(f"low_light:photons={n},read_noise=0", light) - light for n in (100, 110)]
    assert np.corrcoef(errors[0].ravel(), errors[1].ravel())[0, 1] > 0.95


def test_night_has_no_colours(photos: np.ndarray) -> None:
    seen = raw("night:photons=1e6,read_noise=0", photos)
    np.testing.assert_array_equal(seen, np.repeat(seen[..., :1], 3, axis=3))
    light = to_linear(photos) @ np.array([0.2126, 0.7152, 0.0722])
    np.testing.assert_allclose(to_linear(seen)[..., 0], light, atol=0.006)
    noise = changed_light("night:photons=50", flat(0.4)) - 0.4
    assert noise[..., 0].std() > 0.05
    grey = photos[..., :1]
    np.testing.assert_array_equal(raw("night:photons=50", grey), raw("low_light:photons=50", grey))


# Sensors


def test_the_pattern_of_a_sensor_is_the_same_in_every_image() -> None:
    levels = np.array([0.2, 0.3, 0.4])[:, None, None, None]
    light = np.broadcast_to(levels, (3, 96, 96, 3))
    gains = changed_light("fixed_pattern:prnu=0.05,dsnu=0", light) / light
    np.testing.assert_allclose(gains[0], gains[2], atol=1e-5)
    assert gains.mean() == pytest.approx(1, abs=2e-3)
    assert gains[0].std() == pytest.approx(0.05, rel=0.02)
    np.testing.assert_array_equal(changed_light("fixed_pattern:prnu=0.05,dsnu=0", light, seed=9) / light, gains)
    twice = changed_light("fixed_pattern:prnu=0.1,dsnu=0", light) / light
    np.testing.assert_allclose(twice - 1, 2 * (gains - 1), atol=1e-5)
    other = changed_light("fixed_pattern:prnu=0.05,dsnu=0,pattern=1", light) / light
    assert abs(np.corrcoef(other[0].ravel(), gains[0].ravel())[0, 1]) < 0.05
    assert abs(np.corrcoef(gains[0, ..., 0].ravel(), gains[0, ..., 1].ravel())[0, 1]) < 0.05
    offsets = changed_light("fixed_pattern:prnu=0,dsnu=0.02", light) - light
    np.testing.assert_allclose(offsets[0], offsets[2], atol=1e-5)
    assert offsets[0].std() == pytest.approx(0.02, rel=0.02)


def test_gain_saturates() -> None:
    light = np.linspace(0, 1, SIDE)[None, None, :, None] * np.ones((1, SIDE, 1, 3))
    np.testing.assert_allclose(changed_light("gain:factor=2.5", light), np.minimum(2.5 * light, 1), atol=1e-5)
    np.testing.assert_allclose(changed_light("gain:factor=0.5", light), light / 2, atol=1e-5)


def demosaiced(light: np.ndarray) -> np.ndarray:
    """Take one colour a pixel, and average its nearest neighbours of the same colour: (S, S, 3), pixel by pixel."""
    side = len(light)
    colours = np.array([[0, 1], [1, 2]])
    seen = np.zeros_like(light)
    for row in range(side):
        for column in range(side):
            for colour in range(3):
                nearby: dict[int, list[float]] = {}
                for i in range(max(row - 1, 0), min(row + 2, side)):
                    for j in range(max(column - 1, 0), min(column + 2, side)):
                        if colours[i % 2, j % 2] == colour:
                            nearby.setdefault((i - row) ** 2 + (j - column) ** 2, []).append(light[i, j, colour])
                seen[row, column, colour] = np.mean(nearby[min(nearby)])
    return seen


def test_bayer_is_bilinear_demosaicing() -> None:
    light = np.random.default_rng(0).random((1, 16, 16, 3))
    found, expected = changed_light("bayer:pitch=1", light)[0], demosaiced(light[0])
    np.testing.assert_allclose(found[1:-1, 1:-1], expected[1:-1, 1:-1], atol=1e-5)
    # Red and blue at the borders are the nearest ones; green is reflected.
    np.testing.assert_allclose(found[..., [0, 2]], expected[..., [0, 2]], atol=1e-5)
    assert found[0, 0, 1] == pytest.approx((light[0, 0, 1, 1] + light[0, 1, 0, 1]) / 2, abs=1e-5)


def test_a_coarse_sensor_averages_light() -> None:
    light = np.random.default_rng(0).random((1, 32, 32, 3))
    small = light.reshape(1, 16, 2, 16, 2, 3).mean(axis=(2, 4))[0]
    seen = changed_light("bayer:pitch=1", small[None])[0]
    expected = np.asarray(ndimage.zoom(seen, (2, 2, 1), order=1, mode="nearest", grid_mode=True))
    np.testing.assert_allclose(changed_light("bayer:pitch=2", light)[0], expected, atol=1e-5)
    # A pitch that is no divisor of the size: pixels of the image are counted in parts.
    light = np.random.default_rng(0).random((1, 30, 30, 3))
    quarters = light.repeat(4, axis=1).repeat(4, axis=2)
    small = quarters.reshape(1, 24, 5, 24, 5, 3).mean(axis=(2, 4))
    seen = changed_light("bayer:pitch=1", small)[0]
    expected = np.asarray(ndimage.zoom(seen, (1.25, 1.25, 1), order=1, mode="nearest", grid_mode=True))
    np.testing.assert_allclose(changed_light("bayer:pitch=1.25", light)[0], expected, atol=1e-5)


def test_a_grey_scene_gets_false_colours_but_keeps_its_mean(photos: np.ndarray) -> None:
    grey = np.repeat(photos[..., 1:2], 3, axis=3)
    seen = raw("bayer:pitch=1", grey)
    assert np.ptp(seen, axis=3).max() > 0.1
    one = raw("bayer:pitch=1", grey[..., :1])
    np.testing.assert_allclose(one[..., 0], seen @ np.array([0.299, 0.587, 0.114]), atol=1e-5)
    np.testing.assert_allclose(changed_light("bayer:pitch=2", flat(0.3)), 0.3, atol=1e-5)


def test_bands_are_of_the_row_and_of_a_random_phase() -> None:
    light = flat(0.8, 4)
    found = changed_light("rolling_bands:depth=0.6,bands=4", light) / 0.8
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :, :1, :1], found.shape), atol=1e-5)
    rows = found[:, :, 0, 0]
    times = (np.arange(SIDE) + 0.5) / SIDE
    waves = np.stack([np.ones(SIDE), np.sin(8 * np.pi * times), np.cos(8 * np.pi * times)], axis=1)
    fitted, left, *_ = np.linalg.lstsq(waves, rows.T, rcond=None)
    assert left.max() < 1e-6
    np.testing.assert_allclose(fitted[0], 0.7, atol=1e-4)
    np.testing.assert_allclose(np.hypot(*fitted[1:]), 0.3, atol=1e-4)
    phases = np.arctan2(fitted[2], fitted[1])
    assert len(np.unique(np.round(phases, 3))) == 4
    # The phase is that of every depth.
    deeper = changed_light("rolling_bands:depth=1,bands=4", light)[:, :, 0, 0] / 0.8
    np.testing.assert_allclose((1 - deeper) * 0.6, 1 - rows, atol=1e-4)


# From tables of black bodies, CIE 1931.
CHROMATICITY = {
    2856: (0.4476, 0.4074),
    4000: (0.3805, 0.3768),
    5000: (0.3451, 0.3516),
    6504: (0.3135, 0.3236),
    10000: (0.2807, 0.2884),
}


@pytest.mark.parametrize("kelvin", [2856, 4000, 5000, 10000])
def test_the_colour_of_light_is_that_of_a_black_body(kelvin: int) -> None:
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    lights = {}
    for each in (kelvin, 6504):
        x, y = CHROMATICITY[each]
        lights[each] = np.linalg.solve(to_xyz, [x / y, 1, (1 - x - y) / y])
    expected = lights[kelvin] / lights[6504]
    found = changed_light(f"white_balance:kelvin={kelvin}", flat(0.3))[0, 0, 0] / 0.3
    # The luminance stays.
    assert found @ to_xyz[1] == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(found, expected / (expected @ to_xyz[1]), rtol=0.01)
    assert (found[0] > found[2]) == (kelvin < 6504)


def test_one_channel_has_no_colour(photos: np.ndarray) -> None:
    grey = photos[..., :1]
    np.testing.assert_array_equal(corrupted("white_balance", grey, 5, 0), grey)
