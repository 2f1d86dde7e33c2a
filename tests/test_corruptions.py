"""Every corruption of the folder, and each beside its formula or another library."""

import colorsys
import io
import subprocess
import sys
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage, stats
from skimage import color, data, feature, filters, transform

from advcli import registry
from advcli.corruptions import GROUPS, PUBLISHED, _edges, _motion, _separable, chosen, corrupted
from advcli.corruptions._parameters import table
from advcli.corruptions.defocus_blur import disk
from advcli.corruptions.elastic_transform import sampled, sheared
from advcli.corruptions.fog import plasma
from advcli.corruptions.glass_blur import displaced
from advcli.corruptions.spatter import glitter
from advcli.errors import UsageError

NAMES = tuple(name.replace("-", "_") for name in registry.names("corruptions"))
DRAWN_AT_RANDOM = set(NAMES) - {
    *("defocus_blur", "zoom_blur", "brightness", "contrast", "pixelate", "jpeg_compression"),
    *("gaussian_blur", "saturate"),
    *("haze", "jpeg_chain", "webp_chain"),
}
# The pattern of a sensor is the same for all images and seeds.
DRAWN_AT_RANDOM -= {*chosen("optics"), "bayer", "fixed_pattern", "gain", "white_balance"} - {"motion"}
# What treats colours in its own way.
COLOURED = {"saturate", "jpeg_compression", "bayer", "fixed_pattern", "white_balance", "jpeg_chain", "webp_chain"}
# Their parameters for 64 pixels are stronger at severity 1 than at 5, or strong in another way; how bright ice is
# is drawn.
NOT_ORDERED = {"elastic_transform", "saturate", "frost"}


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, i)) for i in range(count)]


def raw(name: str, images: np.ndarray, severity: int, source: Sequence[np.random.Generator] = ()) -> np.ndarray:
    """Corrupt without cutting off to 8 bits."""
    return registry.build("corruptions", name)(images, severity, source or generators(len(images)))


def eight_bits(images: np.ndarray) -> np.ndarray:
    return (np.rint(images * 255) / 255).astype(np.float32)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    """A cat and an astronaut, 64 x 64, in 8 bits."""
    pictures = (data.chelsea()[:300, 75:375], data.astronaut())
    return eight_bits(np.array([transform.resize(picture, (64, 64), anti_aliasing=True) for picture in pictures]))


# All of them


def test_the_folder_holds_the_published_ones() -> None:
    assert len(PUBLISHED) == 15
    assert set(NAMES) == {
        *PUBLISHED,
        "speckle_noise",
        "gaussian_blur",
        "spatter",
        "saturate",
        *chosen("bar,optics,sensor,scene,codec"),
    }
    assert all(registry.component("corruptions", name).group in GROUPS for name in NAMES)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [8, 28, 32, 47, 64, 224])
def test_any_size_and_both_kinds_of_images(name: str, side: int) -> None:
    for channels in (1, 3):
        images = np.random.default_rng(1).uniform(size=(2, side, side, channels)).astype(np.float32)
        before = images.copy()
        for severity in (1, 2, 3, 4, 5) if side < 224 else (5,):
            changed = corrupted(name, images, severity, 0)
            assert changed.shape == images.shape
            assert changed.dtype == np.float32
            levels = changed * 255
            np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)
            assert levels.min() >= 0
            assert levels.max() <= 255
            np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("value", [0, 1])
def test_black_and_white_images(name: str, value: int) -> None:
    changed = corrupted(name, np.full((1, 16, 16, 3), value, np.float32), 5, 0)
    assert np.isfinite(changed).all()
    blurs = ("blur", "digital")
    if registry.component("corruptions", name).group in blurs or name == "gaussian_blur":
        np.testing.assert_allclose(changed, value, atol=(1.01 if name == "jpeg_compression" else 0) / 255)


@pytest.mark.parametrize("name", NAMES)
def test_each_severity_changes_the_image(name: str, photos: np.ndarray) -> None:
    distances = [np.abs(corrupted(name, photos, severity, 0) - photos).mean() for severity in (1, 2, 3, 4, 5)]
    assert min(distances) > 0.003
    if name not in NOT_ORDERED:
        assert distances[4] > 1.2 * distances[0]


@pytest.mark.parametrize("name", NAMES)
def test_an_image_does_not_depend_on_its_batch_or_place(name: str, photos: np.ndarray) -> None:
    images = np.concatenate([photos, photos[:, ::-1], photos[:, :, ::-1]])
    every = corrupted(name, images, 5, 0)
    for places in ([0], [5, 2], [5, 4, 3, 2, 1, 0]):
        np.testing.assert_array_equal(corrupted(name, images[places], 5, 0), every[places])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_drawn_depends_on_seed_image_and_severity(name: str, photos: np.ndarray) -> None:
    first = corrupted(name, photos, 3, 0)
    np.testing.assert_array_equal(corrupted(name, photos, 3, 0), first)
    assert (corrupted(name, photos, 3, 1) != first).any() == (name in DRAWN_AT_RANDOM)
    if name in DRAWN_AT_RANDOM and name != "glass_blur":
        # Two greys that differ by one level: what differs by more was drawn anew.
        greys = np.full((2, 64, 64, 3), 128 / 255, np.float32) + np.array([0, 1 / 255], np.float32)[:, None, None, None]
        greys[:, ::4, ::3] = 0.2
        changed = corrupted(name, greys, 5, 0)
        assert np.abs(changed[0] - changed[1]).max() > 4 / 255


@pytest.mark.parametrize("name", sorted(set(NAMES) - DRAWN_AT_RANDOM - COLOURED))
def test_grey_images_of_one_channel_and_of_three_are_the_same(name: str, photos: np.ndarray) -> None:
    grey = photos[..., :1]
    wide = corrupted(name, np.repeat(grey, 3, axis=3), 3, 0)
    np.testing.assert_allclose(wide, np.repeat(corrupted(name, grey, 3, 0), 3, axis=3), atol=1.01 / 255)


def test_saturation_means_nothing_to_one_channel(photos: np.ndarray) -> None:
    np.testing.assert_array_equal(corrupted("saturate", photos[..., :1], 5, 0), photos[..., :1])


def test_eight_bits_are_cut_off_and_not_rounded() -> None:
    # Contrast to 0.4 about the mean 0.5: 51/255 becomes 0.38, which is 96.9/255.
    images = np.tile(np.array([[51, 204], [204, 51]], np.float32)[None, :, :, None] / 255, (1, 32, 32, 1))
    np.testing.assert_array_equal(np.unique(np.rint(corrupted("contrast", images, 1, 0) * 255)), [96, 158])
    flat = np.arange(256, dtype=np.float32)[:, None, None, None].repeat(8, 1).repeat(8, 2) / np.float32(255)
    np.testing.assert_array_equal(corrupted("contrast", flat, 5, 0), flat)


def test_no_images_are_no_images() -> None:
    assert corrupted("fog", np.zeros((0, 8, 8, 3), np.float32), 1, 0).shape == (0, 8, 8, 3)


def test_tensorflow_is_not_needed() -> None:
    code = "import sys; from advcli.corruptions import chosen; chosen('all'); assert 'tensorflow' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Names


def test_chosen_reads_groups_and_names() -> None:
    assert chosen("all") == PUBLISHED
    assert chosen("noise") == ("gaussian_noise", "shot_noise", "impulse_noise")
    assert chosen("Blur") == ("defocus_blur", "glass_blur", "motion_blur", "zoom_blur")
    assert chosen("weather") == ("snow", "frost", "fog", "brightness")
    assert chosen("digital") == ("contrast", "elastic_transform", "pixelate", "jpeg_compression")
    assert set(chosen("extra")) == {"speckle_noise", "gaussian_blur", "spatter", "saturate"}
    assert chosen("fog, noise,jpeg-compression,shot_noise") == (*PUBLISHED[:3], "fog", "jpeg_compression")
    assert len(chosen("extra,all")) == 19


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [("frog", "'frog'", "fog"), ("noise,wether", "'wether'", "weather"), (" , ", "empty", "all")],
)
def test_chosen_refuses(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        chosen(text)
    assert hint in caught.value.hint


# Parameters

SIZES = {224: ((10, 1), (20, 2)), 64: ((4, 1), (5, 1)), 32: ((1, 1), (2, 0))}


def test_parameters_are_published_or_between_published_ones() -> None:
    assert [table(side, 1, SIZES) for side in (224, 64, 32)] == [(10, 1), (4, 1), (1, 1)]
    assert table(8, 2, SIZES) == (2, 0)
    assert table(299, 2, SIZES) == (20, 2)
    halfway = round((224 * 64) ** 0.5)
    assert table(halfway, 1, SIZES) == pytest.approx((7, 1), abs=0.02)


@pytest.mark.parametrize(
    ("name", "constant", "side", "severity", "expected"),
    [
        ("gaussian_noise", "_SIGMA", 224, 5, (0.38,)),
        ("shot_noise", "_PHOTONS", 64, 1, (250,)),
        ("impulse_noise", "_AMOUNT", 32, 5, (0.07,)),
        ("defocus_blur", "_DISK", 64, 4, (2.5, 0.01)),
        ("glass_blur", "_GLASS", 32, 4, (0.25, 1, 2)),
        ("motion_blur", "_LINE", 224, 5, (20, 15)),
        ("zoom_blur", "_ZOOM", 224, 5, (1.31, 0.03)),
        ("snow", "_SNOW", 32, 3, (0.15, 0.3, 1.75, 0.55, 10, 4, 0.9)),
        ("frost", "_FROST", 64, 5, (0.7, 0.55)),
        ("fog", "_FOG", 32, 5, (1.5, 1.75)),
        ("brightness", "_ADDED", 32, 3, (0.15,)),
        ("contrast", "_KEPT", 224, 5, (0.05,)),
        ("elastic_transform", "_ELASTIC", 64, 5, (0.16, 0.03, 0.02)),
        ("elastic_transform", "_ELASTIC", 224, 1, (488 / 224, 170.8 / 224, 24.4 / 224)),
        ("pixelate", "_KEPT", 64, 5, (0.5,)),
        ("jpeg_compression", "_QUALITY", 32, 1, (80,)),
        ("speckle_noise", "_SIGMA", 64, 5, (0.35,)),
        ("gaussian_blur", "_SIGMA", 32, 2, (0.6,)),
        ("spatter", "_SPATTER", 224, 5, (0.67, 0.4, 1, 0.65, 1.5, 1)),
        ("saturate", "_SATURATION", 64, 5, (30, 0.2)),
    ],
)
def test_parameters_are_the_published_ones(
    name: str, constant: str, side: int, severity: int, expected: tuple[float, ...]
) -> None:
    module = sys.modules[registry.component("corruptions", name).__module__]
    published = getattr(module, constant)
    assert {size: len(rows) for size, rows in published.items()} == {224: 5, 64: 5, 32: 5}
    assert table(side, severity, published) == pytest.approx(expected)


# Noise


def test_gaussian_noise_is_normal_and_of_the_published_strength() -> None:
    noise = raw("gaussian_noise", np.full((4, 64, 64, 3), 0.5, np.float32), 3) - 0.5
    assert stats.kstest(noise.ravel(), stats.norm(0, 0.12).cdf).pvalue > 1e-3


def test_speckle_noise_grows_with_brightness() -> None:
    for value in (0.2, 0.4):
        noise = raw("speckle_noise", np.full((4, 64, 64, 3), value, np.float32), 3) - value
        assert stats.kstest(noise.ravel(), stats.norm(0, 0.25 * value).cdf).pvalue > 1e-3


def test_shot_noise_counts_photons() -> None:
    counts = raw("shot_noise", np.full((4, 64, 64, 3), 0.3, np.float32), 3) * 50
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    observed = np.bincount(np.rint(counts).astype(int).ravel(), minlength=60)
    expected = stats.poisson.pmf(np.arange(len(observed)), 15) * counts.size
    large = expected > 10
    assert stats.chisquare(observed[large], expected[large] * observed[large].sum() / expected[large].sum())[1] > 1e-3


def test_impulse_noise_loses_as_many_values_to_black_as_to_white() -> None:
    changed = raw("impulse_noise", np.full((8, 64, 64, 3), 0.5, np.float32), 5)
    parts = [(changed == value).sum() for value in (0, 0.5, 1)]
    assert sum(parts) == changed.size
    assert stats.chisquare(parts, changed.size * np.array([0.07, 0.86, 0.07])).pvalue > 1e-3


# Blur


@pytest.mark.parametrize("radius", [1, 1.5, 2.5, 3, 6])
def test_a_disk_is_a_disk(radius: float) -> None:
    kernel = disk(radius, 0.01)
    middle = len(kernel) // 2
    places = np.arange(-middle, middle + 1)
    inside = places[:, None] ** 2 + places**2 <= radius**2
    np.testing.assert_allclose(kernel, inside / inside.sum(), atol=1e-6)


@pytest.mark.parametrize(("radius", "total"), [(0.3, 1), (3, 1), (6, 1), (8, 1.013), (10, 1.013)])
def test_a_smooth_disk_weighs_one_but_where_the_published_grid_ends(radius: float, total: float) -> None:
    assert disk(radius, 0.5).sum() == pytest.approx(total, abs=0.004 if radius >= 8 else 1e-6)


def test_defocus_blur_is_a_convolution_over_the_mirrored_image(photos: np.ndarray) -> None:
    expected = ndimage.correlate(photos, disk(3, 0.1)[None, :, :, None], mode="mirror")
    np.testing.assert_allclose(raw("defocus_blur", photos, 5), expected, atol=1e-5)


def test_gaussian_blur_is_that_of_scikit_image(photos: np.ndarray) -> None:
    expected = filters.gaussian(photos[0], sigma=1.5, channel_axis=-1)
    np.testing.assert_allclose(raw("gaussian_blur", photos, 5)[0], expected, atol=1e-6)


def test_a_moving_point_leaves_half_a_gaussian() -> None:
    image = np.zeros((41, 41), np.float32)
    image[20, 20] = 1
    for angle, line in ((0, (20, slice(20, None, -1))), (-90, (slice(20, None), 20)), (90, (slice(20, None, -1), 20))):
        moved = _motion.moved(image, 5, 2.0, angle)
        expected = np.exp(-(np.arange(11) ** 2) / 8)
        np.testing.assert_allclose(moved[line][:11], expected / expected.sum(), rtol=1e-5)
        assert moved.sum() == pytest.approx(1)
    assert (_motion.path(4, 45)) == ([0, 1, 1, 2], [0, 1, 1, 2])
    np.testing.assert_allclose(_motion.moved(np.ones((8, 8), np.float32), 20, 15.0, 30), 1, rtol=1e-5)


@pytest.mark.parametrize(("side", "factor"), [(64, 1.0), (64, 1.1), (64, 2.25), (33, 1.26), (8, 3.0), (224, 1.31)])
def test_zooming_is_that_of_scipy(side: int, factor: float) -> None:
    image = np.random.default_rng(0).uniform(size=(side, side))
    kept = int(np.ceil(side / factor))
    start = (side - kept) // 2
    whole = np.asarray(ndimage.zoom(image[start : start + kept, start : start + kept], factor, order=1))
    cut = (len(whole) - side) // 2
    expected = whole[cut : cut + side, cut : cut + side]
    np.testing.assert_allclose(_separable.apply(_separable.zoom(side, factor), image), expected, atol=1e-6)


def test_zoom_blur_is_a_mean_over_factors(photos: np.ndarray) -> None:
    factors = np.arange(1, 1.06, 0.01).tolist()
    layers = [_separable.apply(_separable.zoom(64, factor), photos[0, ..., 0]) for factor in factors]
    expected = (photos[0, ..., 0] + np.sum(layers, axis=0)) / (len(layers) + 1)
    np.testing.assert_allclose(raw("zoom_blur", photos, 1)[0, ..., 0], expected, atol=1e-5)


@pytest.mark.parametrize(("farthest", "times"), [(1, 1), (2, 2), (4, 2)])
def test_glass_takes_pixels_from_nearby(farthest: int, times: int) -> None:
    side = 32
    source = displaced(side, farthest, times, np.random.default_rng(0))
    here = np.arange(side * side)
    moves = np.stack([source // side - here // side, source % side - here % side])
    # The image's border stays, and what was displaced before may be displaced further.
    assert (moves[:, here // side <= farthest] == 0).all()
    assert 0.5 < (moves != 0).any(axis=0)[(here // side > farthest) & (here % side > farthest)].mean() < 1
    assert moves.min() <= -farthest
    assert moves.max() >= farthest - 1


def test_glass_follows_the_loop_over_pixels_that_is_published(photos: np.ndarray) -> None:
    pixels = np.arange(144).reshape(12, 12).copy()
    offsets = np.random.default_rng(5).integers(-2, 2, (2, 8 * 8))
    turn = 0
    for row in range(10, 2, -1):
        for column in range(10, 2, -1):
            pixels[row, column] = pixels[row + offsets[0, turn], column + offsets[1, turn]]
            turn += 1
    np.testing.assert_array_equal(displaced(12, 2, 1, np.random.default_rng(5)), pixels.ravel())
    # Colours stay together.
    image = np.stack([photos[0, ..., 0]] * 3, axis=-1)[None]
    changed = raw("glass_blur", image, 5)
    np.testing.assert_array_equal(changed[..., 0], changed[..., 2])


# Weather


def test_plasma_is_rough_fills_its_range_and_is_smoother_with_more_decay() -> None:
    noise = np.random.default_rng(0).uniform(-1, 1, (6, 64, 64)).astype(np.float32)
    maps = {decay: plasma(noise, decay) for decay in (1.4, 3.0)}
    roughness = {decay: np.abs(np.diff(heights, axis=1)).mean() for decay, heights in maps.items()}
    for heights in maps.values():
        np.testing.assert_array_equal(heights.min(axis=(1, 2)), 0)
        np.testing.assert_array_equal(heights.max(axis=(1, 2)), 1)
    assert roughness[1.4] > 2 * roughness[3.0]


def test_plasma_by_hand() -> None:
    # Two steps are left after the corner: the middle, the middles of the sides.
    noise = np.array([[[0, 0.25], [-0.5, 1]]], np.float32)
    middle = 100**2 * 1.0
    top, left = middle * 2 / 4 + 100**2 * 0.25, middle * 2 / 4 - 100**2 * 0.5
    heights = np.array([[0, top], [left, middle]])
    np.testing.assert_allclose(plasma(noise, 2.0)[0], heights / middle, atol=1e-6)


def test_fog_is_a_mixture_with_a_haze() -> None:
    image = np.full((1, 32, 32, 3), 0.5, np.float32)
    changed = raw("fog", image, 5)
    assert changed.min() == pytest.approx(0.5 * 0.5 / (0.5 + 1.5), abs=1e-5)
    assert changed.max() == pytest.approx((0.5 + 1.5) * 0.5 / (0.5 + 1.5), abs=1e-5)


def test_snow_falls_in_streaks_and_also_upside_down() -> None:
    black = raw("snow", np.zeros((1, 64, 64, 3), np.float32), 3)[0]
    ground = (1 - 0.7) * 0.5
    snow = black[..., 0] - ground
    assert snow.min() == pytest.approx(0, abs=1e-5)
    np.testing.assert_allclose(snow, snow[::-1, ::-1], atol=1e-6)
    assert 0.02 < snow.mean() < 0.6


def test_frost_is_the_image_and_ice(photos: np.ndarray) -> None:
    source = generators(2)
    ice = raw("frost", np.zeros_like(photos), 3, source) / 0.45
    assert (ice.mean(axis=(1, 2, 3)) > 0.4).all()
    assert (ice.mean(axis=(1, 2, 3)) < 0.85).all()
    assert (ice[..., 1].std(axis=(1, 2)) > 0.06).all()
    assert (ice[..., 2].mean(axis=(1, 2)) > ice[..., 0].mean(axis=(1, 2))).all()
    np.testing.assert_allclose(raw("frost", photos, 3), np.clip(0.8 * photos + 0.45 * ice, 0, 1), atol=1e-6)


def test_brightness_is_that_of_hsv(photos: np.ndarray) -> None:
    pixels = color.rgb2hsv(photos)
    pixels[..., 2] = np.clip(pixels[..., 2] + 0.3, 0, 1)
    np.testing.assert_allclose(raw("brightness", photos, 3), color.hsv2rgb(pixels), atol=1e-6)
    black = raw("brightness", np.zeros((1, 64, 64, 3), np.float32), 3)
    np.testing.assert_allclose(black, 0.3, rtol=1e-6)


# Digital and extra


def test_contrast_is_kept_in_part_about_the_mean_of_each_channel(photos: np.ndarray) -> None:
    for severity, kept in ((1, 0.4), (5, 0.05)):
        mean = photos.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        np.testing.assert_allclose(raw("contrast", photos, severity), (photos - mean) * kept + mean, atol=1e-6)


@pytest.mark.parametrize("repeat", [False, True])
def test_reading_between_pixels_is_that_of_scipy(repeat: bool) -> None:
    generator = np.random.default_rng(0)
    image = generator.uniform(size=(9, 9, 2)).astype(np.float32)
    rows, columns = generator.uniform(-20, 30, (2, 9, 9))
    mode = "reflect" if repeat else "mirror"
    expected = [ndimage.map_coordinates(image[..., i], (rows, columns), order=1, mode=mode) for i in (0, 1)]
    np.testing.assert_allclose(sampled(image, rows, columns, repeat), np.stack(expected, axis=-1), atol=1e-5)


def test_corners_that_stay_shear_nothing() -> None:
    rows, columns = np.broadcast_arrays(*sheared(16, 0.0, np.random.default_rng(0)))
    np.testing.assert_allclose(rows, np.arange(16)[:, None].repeat(16, 1), atol=1e-9)
    np.testing.assert_allclose(columns, np.arange(16)[None].repeat(16, 0), atol=1e-9)


def test_corners_are_read_from_where_they_were() -> None:
    rows, columns = sheared(64, 6.0, np.random.default_rng(0))
    drawn = np.random.default_rng(0).uniform(-6, 6, (3, 2))
    for (x, y), (right, down) in zip(((53, 53), (53, 11), (11, 11)), drawn, strict=True):
        for places, expected in ((rows, y), (columns, x)):
            # The planes are linear, so that they can be read between pixels and beyond the border.
            slope_down, slope_right = places[1, 0] - places[0, 0], places[0, 1] - places[0, 0]
            read = places[0, 0] + slope_down * (y + down) + slope_right * (x + right)
            assert read == pytest.approx(expected)


def test_displacements_are_smooth_and_as_strong_as_published() -> None:
    smoothing = _separable.gaussian(64, 5.12, 3.0)
    noise = np.random.default_rng(0).uniform(-1, 1, (64, 64))
    expected = filters.gaussian(noise, 5.12, mode="reflect", truncate=3)
    np.testing.assert_allclose(_separable.apply(smoothing, noise), expected, atol=1e-6)


@pytest.mark.parametrize("side", [28, 32, 64, 128, 224])
@pytest.mark.parametrize("severity", [1, 3, 5])
def test_pixelate_is_that_of_pillow(side: int, severity: int) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (side, side, 3)).astype(np.uint8)
    module = sys.modules[registry.component("corruptions", "pixelate").__module__]
    small = int(side * table(side, severity, module._KEPT)[0])
    picture = Image.fromarray(pixels).resize((small, small), Image.Resampling.BOX)
    expected = np.asarray(picture.resize((side, side), Image.Resampling.BOX))
    changed = corrupted("pixelate", pixels[None].astype(np.float32) / 255, severity, 0)
    np.testing.assert_array_equal(np.rint(changed[0] * 255), expected)


def test_jpeg_is_that_of_pillow(photos: np.ndarray) -> None:
    file = io.BytesIO()
    Image.fromarray(np.rint(photos[1] * 255).astype(np.uint8)).save(file, "JPEG", quality=25)
    expected = np.asarray(Image.open(file))
    np.testing.assert_array_equal(np.rint(corrupted("jpeg_compression", photos, 5, 0)[1] * 255), expected)


@pytest.mark.parametrize(("severity", "factor", "added"), [(1, 0.3, 0), (3, 2, 0), (5, 30, 0.2)])
def test_saturate_is_that_of_hsv(severity: int, factor: float, added: float, photos: np.ndarray) -> None:
    changed = raw("saturate", photos, severity)
    for place in ((0, 0), (20, 30), (40, 10), (63, 63)):
        hue, saturation, value = colorsys.rgb_to_hsv(*photos[(0, *place)].tolist())
        expected = colorsys.hsv_to_rgb(hue, min(1, saturation * factor + added), value)
        np.testing.assert_allclose(changed[(0, *place)], expected, atol=1e-5)
    grey = raw("saturate", np.full((1, 64, 64, 3), 0.5, np.float32), severity)[0, 0, 0]
    np.testing.assert_allclose(grey, colorsys.hsv_to_rgb(0, added, 0.5), atol=1e-6)


def test_edges_are_those_of_canny() -> None:
    picture = np.zeros((1, 40, 40), np.float32)
    picture[0, 10:30, 8:20] = 200
    found = _edges.edges(picture, 50, 150)[0]
    theirs = np.asarray(feature.canny(picture[0], sigma=0.01, low_threshold=50, high_threshold=150))
    # scikit-image takes both pixels at a border, which is as steep at either.
    assert theirs[found].mean() > 0.9
    assert np.asarray(ndimage.distance_transform_edt(~found))[theirs].max() < 1.5
    assert found.sum() < 0.6 * theirs.sum()
    assert not _edges.edges(picture / 10, 50, 150).any()
    # A weak edge counts where it goes on into a strong one, in its own picture.
    ramp = np.zeros((2, 20, 40), np.float32)
    ramp[:, 10:] = np.linspace(16, 80, 40)
    ramp[1] = ramp[1].clip(max=30)
    assert _edges.edges(ramp, 50, 150)[0].any(axis=0)[2:-2].all()
    assert not _edges.edges(ramp, 50, 150)[1].any()


def test_distances_are_those_of_scipy() -> None:
    marked = np.random.default_rng(0).random((3, 30, 50)) < 0.004
    expected = [
        np.minimum(np.asarray(ndimage.distance_transform_edt(~picture)), 20) for picture in marked if picture.any()
    ]
    assert len(expected) == 3
    np.testing.assert_allclose(_edges.distance(marked, 20), expected, rtol=1e-6)
    np.testing.assert_array_equal(_edges.distance(np.zeros((1, 5, 5), bool), 20), 20)


def test_water_glitters_where_drops_are() -> None:
    drops = np.zeros((2, 32, 32), np.float32)
    drops[0, 8:20, 8:20] = 190
    light = glitter(drops)
    assert light[0].max() == 1
    assert (light[drops == 0] == 0).all()
    assert (light[1] == 0).all()


def test_mud_covers_and_water_brightens(photos: np.ndarray) -> None:
    water, mud = raw("spatter", photos, 3), raw("spatter", photos, 4)
    assert (water >= photos - 1e-6).all()
    covered = (mud != photos).any(axis=3)
    assert 0.02 < covered.mean() < 0.8
    white = raw("spatter", np.ones((1, 64, 64, 3), np.float32), 5)
    assert white[0].min(axis=(0, 1)) == pytest.approx([63 / 255, 42 / 255, 20 / 255], abs=0.005)


@pytest.mark.parametrize("name", registry.names("corruptions"))
@pytest.mark.parametrize("shape", [(12, 20), (36, 24)])
def test_images_that_are_not_square_are_corrupted(name: str, shape: tuple[int, int]) -> None:
    images = np.random.default_rng(3).random((2, *shape, 3), dtype=np.float32)
    found = corrupted(name, images, 3, 0)
    assert found.shape == images.shape and found.dtype == np.float32
    assert np.isfinite(found).all() and found.min() >= 0 and found.max() <= 1
    assert (np.abs(found - images).mean(axis=(1, 2, 3)) > 2e-3).all()
    np.testing.assert_array_equal(found[1], corrupted(name, images[1:], 3, 0)[0])


@pytest.mark.parametrize("name", ["brightness", "contrast", "gaussian_noise"])
def test_a_square_part_of_a_wide_image_is_where_it_was(name: str) -> None:
    ramp = np.broadcast_to(np.linspace(0.2, 0.7, 24, dtype=np.float32)[None, None, :, None], (1, 16, 24, 3))
    found = corrupted(name, np.array(ramp), 1, 0)
    assert np.corrcoef(found.mean(axis=(0, 1, 3)), ramp[0, 0, :, 0])[0, 1] > 0.95
