"""The corruptions of scenes and of codecs, each beside its closed form or the codec itself."""

import io
import math
from itertools import pairwise

import numpy as np
import pytest
from PIL import Image, features
from scipy import stats
from skimage import data

from advcli.corruptions import PhysicalCorruption, build_corruption, chosen, corrupted
from advcli.corruptions._linear_light import to_linear, to_srgb
from advcli.corruptions._parameters import table
from advcli.errors import UsageError

NAMES = chosen("scene,codec")
SCENE = ("glare", "haze", "occluder", "shadow", "water_drops")
CHAINS = ("jpeg_chain", "webp_chain")


def generators(count: int, seed: int = 0) -> list[np.random.Generator]:
    return [np.random.default_rng((seed, i)) for i in range(count)]


def raw(spec: str, images: np.ndarray, severity: int = 0, seed: int = 0) -> np.ndarray:
    """Corrupt without cutting off to 8 bits."""
    return build_corruption(spec)(images, severity, generators(len(images), seed))


def physical(name: str) -> PhysicalCorruption:
    corruption = build_corruption(name)
    assert isinstance(corruption, PhysicalCorruption)
    return corruption


def flat(value: float, count: int = 2, side: int = 64, channels: int = 3) -> np.ndarray:
    return np.full((count, side, side, channels), value, np.float32)


def pictures(side: int) -> np.ndarray:
    """A cat, an astronaut and a cup of coffee, in 8 bits."""
    whole = (data.chelsea()[:300, 75:375], data.astronaut(), data.coffee()[:, 100:500])
    small = [np.asarray(Image.fromarray(each).resize((side, side), Image.Resampling.BICUBIC)) for each in whole]
    return np.array(small).astype(np.float32) / np.float32(255)


@pytest.fixture(scope="module")
def photos() -> np.ndarray:
    return pictures(64)


# The sRGB curve


def by_hand(value: float) -> float:
    return value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4


def test_light_is_that_of_the_srgb_standard() -> None:
    levels = np.arange(256, dtype=np.float32) / np.float32(255)
    between = np.random.default_rng(0).random(1000, np.float32)
    for values in (levels, between, np.array([0.04045, 0.0404, 0.0405], np.float32)):
        np.testing.assert_allclose(to_linear(values), [by_hand(float(value)) for value in values], rtol=2e-6)
        np.testing.assert_allclose(to_srgb(to_linear(values)), values, atol=1e-6)
        assert to_linear(values).dtype == to_srgb(values).dtype == np.float32
    assert to_srgb(np.array([0.5], np.float32))[0] == pytest.approx(0.735357, abs=1e-6)
    # The table of 8-bit values does not change them.
    mixed = np.concatenate([levels, between])
    np.testing.assert_array_equal(to_linear(mixed)[:256], to_linear(levels))


# All of them


def test_the_groups_hold_their_corruptions() -> None:
    assert chosen("scene") == SCENE
    assert chosen("codec") == ("bit_errors", *CHAINS)


@pytest.mark.parametrize("name", NAMES)
def test_a_severity_is_a_value_of_the_parameter(name: str, photos: np.ndarray) -> None:
    corruption = physical(name)
    assert corruption.unit and corruption.has_severities
    for severity in (1, 5):
        (value,) = table(64, severity, corruption.levels)
        spec = f"{name}:{corruption.parameter}={value}"
        assert not build_corruption(spec).has_severities
        np.testing.assert_array_equal(raw(spec, photos), raw(name, photos, severity))
    changed = corrupted(spec, photos, None, 0)
    np.testing.assert_array_equal(changed, corrupted(spec, photos, None, 0))
    levels = changed * 255
    np.testing.assert_allclose(levels, np.rint(levels), atol=1e-4)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("side", [32, 64, pytest.param(224, marks=pytest.mark.slow)])
def test_severities_are_ordered(name: str, side: int) -> None:
    corruption = physical(name)
    values = [corruption.strength(side, severity) for severity in (1, 2, 3, 4, 5)]
    assert values == sorted(values, reverse=not corruption.increasing)
    assert len(set(values)) == 5
    images = pictures(side)
    changed = [raw(name, images, severity) for severity in (1, 2, 3, 4, 5)]
    distances = [np.abs(each - images).mean() for each in changed]
    assert distances == sorted(distances)
    # Those of ImageNet-C's corruptions are between 0.01 and 0.3.
    assert distances[0] > 0.008
    assert 0.02 < distances[4] < 0.3
    # What is left of the image still tells it from others.
    for image, own in zip(images, changed[4], strict=True):
        assert np.corrcoef(image.ravel(), own.ravel())[0, 1] > 0.4


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("channels", [1, 3])
def test_values_stay_pixel_values_and_the_input_stays(name: str, channels: int) -> None:
    images = np.random.default_rng(0).random((3, 32, 32, channels), np.float32)
    before = images.copy()
    for severity in (1, 5):
        changed = raw(name, images, severity)
        assert changed.shape == images.shape
        assert changed.dtype == np.float32
        assert changed.min() >= 0
        assert changed.max() <= 1
        np.testing.assert_array_equal(changed, raw(name, images, severity))
        np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("spec", ["haze:beta=0", "glare:peak=0", "shadow:depth=0", "water_drops:share=0"])
def test_nothing_of_it_changes_nothing(spec: str, photos: np.ndarray) -> None:
    np.testing.assert_array_equal(corrupted(spec, photos, None, 0), photos)
    np.testing.assert_array_equal(corrupted("occluder:share=0+bit_errors:rate=0", photos, None, 0), photos)


@pytest.mark.parametrize(("first", "second"), [("haze:beta=1", "jpeg_chain:quality=20"), ("shadow", "bit_errors")])
def test_a_plus_sign_is_one_after_the_other(first: str, second: str, photos: np.ndarray) -> None:
    source = generators(len(photos))
    half = np.clip(build_corruption(first)(photos, 3, source), 0, 1)
    expected = build_corruption(second)(half, 3, source)
    np.testing.assert_array_equal(raw(f"{first}+{second}", photos, 3), expected)


@pytest.mark.parametrize("name", [*SCENE, "bit_errors"])
def test_the_strength_does_not_change_what_follows(name: str) -> None:
    corruption = physical(name)
    ends = set()
    for severity in (1, 5):
        (generator,) = source = generators(1)
        corruption(flat(0.5, 1), severity, source)
        ends.add(generator.random())
    assert len(ends) == 1


@pytest.mark.parametrize(
    "spec",
    [
        *("haze:beta=-1", "haze:airlight=1.1", "haze:airlight=-0.1", "glare:peak=-0.1", "glare:radius=0"),
        *("water_drops:share=1", "water_drops:share=-0.1", "water_drops:radius=0", "water_drops:radius=0.6"),
        *("shadow:depth=1.5", "shadow:penumbra=-0.1", "occluder:share=1.1", "occluder:share=-0.1"),
        *("occluder:fill=blak", "bit_errors:rate=0.6", "bit_errors:rate=-0.1"),
        *(f"{name}:{option}" for name in CHAINS for option in ("quality=0", "quality=101", "passes=0")),
        *(f"{name}:{option}" for name in CHAINS for option in ("scale=0", "scale=1.1", "passes=101")),
    ],
)
def test_values_out_of_range_are_refused(spec: str) -> None:
    option, _, value = spec.partition(":")[2].partition("=")
    with pytest.raises(UsageError, match=option) as caught:
        build_corruption(spec)
    assert value in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", NAMES)
def test_values_that_are_not_finite_are_refused(name: str, value: float) -> None:
    cls = type(physical(name))
    with pytest.raises(UsageError):
        cls(**{cls.parameter: value})


# Scenes


@pytest.mark.parametrize("beta", [0.5, 2.0])
def test_haze_is_the_law_of_koschmieder(beta: float) -> None:
    passed = np.array([math.exp(-beta * (63.5 - row) / 64) for row in range(64)])
    for value in (0, 1, 0.5):
        rows = to_linear(raw(f"haze:beta={beta},airlight=0.7", flat(value))).mean(axis=(0, 2, 3))
        np.testing.assert_allclose(rows, by_hand(value) * passed + 0.7 * (1 - passed), atol=1e-5)
    # At a great depth only the airlight is left.
    np.testing.assert_allclose(to_linear(raw("haze:beta=5000,airlight=0.3", flat(1)))[:, :-1], 0.3, atol=1e-5)


def test_haze_keeps_the_ratios_of_light_within_a_row(photos: np.ndarray) -> None:
    light, hazy = to_linear(photos), to_linear(raw("haze:beta=1", photos))
    contrast = np.ptp(hazy, axis=(2, 3)) / np.ptp(light, axis=(2, 3))
    np.testing.assert_allclose(contrast, np.tile(np.exp((np.arange(64) - 63.5) / 64), (3, 1)), rtol=1e-3)


@pytest.mark.parametrize("value", [0, 0.4])
def test_glare_adds_its_peak_and_falls_with_the_square_of_the_distance(value: float) -> None:
    added = to_linear(raw("glare:peak=0.3,radius=0.1", flat(value, 20))) - by_hand(value)
    np.testing.assert_allclose(added.max(axis=(1, 2, 3)), 0.3, atol=1e-5)
    places = np.arange(64)
    centres = set()
    for light in added[..., 0]:
        row, column = np.unravel_index(light.argmax(), light.shape)
        centres.add((int(row), int(column)))
        squared = (places[:, None] - row) ** 2 + (places - column) ** 2
        np.testing.assert_allclose(light, 0.3 / (1 + squared / 6.4**2), atol=1e-5)
    assert len(centres) > 15
    np.testing.assert_array_equal(raw("glare:peak=5", flat(0.5)).max(axis=(1, 2, 3)), 1)


def test_a_shadow_takes_its_share_of_the_light(photos: np.ndarray) -> None:
    light, shaded = to_linear(photos), to_linear(raw("shadow:depth=0.7,penumbra=0.1", photos))
    ratio = np.where(light > 0.01, shaded / np.maximum(light, 0.01), np.nan)
    assert np.nanmin(ratio) == pytest.approx(0.3, rel=1e-4)
    assert np.nanmax(ratio) == pytest.approx(1, rel=1e-4)
    white = to_linear(raw("shadow:depth=0.7,penumbra=0.1", flat(1, 40)))[..., 0]
    full, none = np.isclose(white, 0.3, atol=1e-4), np.isclose(white, 1, atol=1e-4)
    shares = full.mean(axis=(1, 2))
    assert 0.02 < shares.min() < 0.3 < shares.mean() < 0.6
    assert none.mean(axis=(1, 2)).min() > 0.02
    # The edge: a straight strip of 6.4 pixels, from 64 to 90 pixels long, across which the light is linear.
    edge = ~(full | none)
    assert 6.4 * 30 < edge.sum(axis=(1, 2)).min() < edge.sum(axis=(1, 2)).max() < 6.4 * 92
    for light in white:
        down, right = np.gradient(light)
        inside = np.isclose(np.hypot(down, right), 0.7 / 6.4, rtol=1e-3)
        assert inside.sum() > 60
        angles = np.arctan2(down[inside], right[inside])
        np.testing.assert_allclose(np.cos(angles - angles[0]), 1, atol=1e-4)


@pytest.mark.parametrize("share", [0.01, 0.25, 0.5, 1])
@pytest.mark.parametrize("side", [16, 33, 64])
def test_an_occluder_hides_exactly_its_share(share: float, side: int) -> None:
    changed = raw(f"occluder:share={share},fill=black", flat(1, 8, side))
    hidden = (changed == 0).all(axis=3)
    np.testing.assert_array_equal(hidden.sum(axis=(1, 2)), round(share * side * side))
    np.testing.assert_array_equal(changed[~hidden], 1)


def test_an_occluder_is_a_rectangle_that_grows() -> None:
    masks = [raw(f"occluder:share={share}", flat(0, 20))[..., 0] > 0 for share in (0.1, 0.2, 0.4)]
    for smaller, larger in pairwise(masks):
        assert not (smaller & ~larger).any()
    for mask in masks[0]:
        # A rectangle, whole or cut by the border, is convex: its rows have no gaps.
        for row in mask:
            (places,) = np.nonzero(row)
            assert len(places) == 0 or len(places) == places[-1] - places[0] + 1
        assert np.ptp(np.nonzero(mask), axis=1).max() < 64
    centres = [np.argwhere(mask).mean(axis=0) for mask in masks[0]]
    assert np.std(centres, axis=0).min() > 8


def test_an_occluder_has_the_fill_that_is_asked_for(photos: np.ndarray) -> None:
    hidden = (raw("occluder:share=0.3,fill=black", np.ones_like(photos)) == 0).all(axis=3)
    filled = {fill: raw(f"occluder:share=0.3,fill={fill}", photos) for fill in ("black", "grey", "noise", "mean")}
    for changed in filled.values():
        np.testing.assert_array_equal(changed[~hidden], photos[~hidden])
    np.testing.assert_array_equal(filled["black"][hidden], 0)
    np.testing.assert_allclose(filled["grey"][hidden], 128 / 255)
    assert stats.kstest(filled["noise"][hidden].ravel(), "uniform").pvalue > 1e-3
    for photo, changed, mask in zip(photos, filled["mean"], hidden, strict=True):
        np.testing.assert_allclose(changed[mask], np.tile(photo.mean(axis=(0, 1)), (mask.sum(), 1)), atol=1e-5)
    # A larger one shows the same noise, and more.
    larger = raw("occluder:share=0.6,fill=noise", photos)
    np.testing.assert_array_equal(larger[hidden], filled["noise"][hidden])


def test_water_drops_cover_their_share_and_leave_the_rest() -> None:
    # On a ramp every ray that turns changes the value, and a drop has a centre where none does.
    side = 64
    down, right = np.meshgrid(np.arange(side), np.arange(side), indexing="ij")
    ramps = np.tile(np.stack([down, right], axis=-1)[None].astype(np.float32) / 100, (6, 1, 1, 1))
    for share in (0.1, 0.4, 0.8):
        covered = (np.abs(raw(f"water_drops:share={share},radius=0.05", ramps) - ramps) > 1e-6).any(axis=3)
        shares = covered.mean(axis=(1, 2))
        # The last drop covers at most 1.8% more; rays at the axis of a drop do not turn.
        assert (shares > share - 0.03).all()
        assert (shares < share + 0.018).all()
    fewer, more = (raw(f"water_drops:share={share}", ramps) != ramps for share in (0.2, 0.5))
    assert not (fewer & ~more).any()


def test_a_drop_shows_the_scene_as_snell_says() -> None:
    side = 201
    places = np.arange(side, dtype=np.float32)
    ramps = np.stack(np.meshgrid(places, places, indexing="ij"), axis=-1)[None] / 500
    # The first drop alone, where it is in the middle, so that no ray leaves the image.
    alone = (raw("water_drops:share=0.0001,radius=0.08", ramps, seed=seed)[0] for seed in range(200))
    masks = ((image, (image != ramps[0]).any(axis=2)) for image in alone)
    image, inside = next(each for each in masks if np.abs(np.argwhere(each[1]).mean(axis=0) - 100).max() < 25)
    moved = (image - ramps[0]) * 500
    rows, columns = np.nonzero(inside)
    radius = math.sqrt(inside.sum() / math.pi)
    assert 0.04 * side <= radius <= 0.12 * side
    centre = rows.mean(), columns.mean()
    tangents, distances = [], []
    for row, column in zip(rows, columns, strict=True):
        distance = math.hypot(row - centre[0], column - centre[1])
        water = math.asin(min(distance / radius, 1) * math.sin(math.radians(40)))
        turn = math.asin(1.33 * math.sin(water)) - water
        tangents.append(0.5 / math.tan(math.radians(30)) * side * math.tan(turn))
        distances.append(distance)
    length = np.hypot(*moved[rows, columns].T)
    middle = (np.array(distances) > 2) & (np.array(distances) < 0.85 * radius)
    np.testing.assert_allclose(length[middle], np.array(tangents)[middle], rtol=0.08)
    # Towards the axis and past it: the scene is upside down.
    offsets = np.stack([rows - centre[0], columns - centre[1]], axis=1)
    seen = moved[rows, columns] + offsets
    assert ((seen * offsets).sum(axis=1)[middle] < 0).all()


# Codecs


def through(image: np.ndarray, file_format: str, quality: int, scale: float = 1, passes: int = 1) -> np.ndarray:
    """Compress one image with Pillow: (S, S, C) float32 -> (S, S, C) in 0 to 255."""
    pixels = np.rint(image * 255).astype(np.uint8)
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)
    mode, size = picture.mode, picture.size
    for _ in range(passes):
        if scale != 1:
            small = (round(size[0] * scale), round(size[1] * scale))
            picture = picture.resize(small, Image.Resampling.BICUBIC).resize(size, Image.Resampling.BICUBIC)
        file = io.BytesIO()
        picture.save(file, file_format, quality=quality)
        file.seek(0)
        picture = Image.open(file).convert(mode)
    return np.asarray(picture).reshape(pixels.shape)


@pytest.mark.parametrize("file_format", ["JPEG", "WEBP"])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("quality", "scale", "passes"), [(20, 1, 1), (90, 1, 1), (30, 0.5, 1), (40, 0.75, 3)])
def test_a_chain_is_pillows_own(
    file_format: str, channels: int, quality: int, scale: float, passes: int, photos: np.ndarray
) -> None:
    images = photos[..., :channels]
    spec = f"{file_format}_chain:quality={quality},scale={scale},passes={passes}"
    expected = [through(image, file_format, quality, scale, passes) for image in images]
    np.testing.assert_array_equal(np.rint(corrupted(spec, images, None, 0) * 255), expected)


@pytest.mark.parametrize("name", CHAINS)
def test_every_pass_loses_more(name: str, photos: np.ndarray) -> None:
    distances = [
        np.abs(raw(f"{name}:quality=30,scale=0.6,passes={passes}", photos) - photos).mean() for passes in (1, 2, 6)
    ]
    assert distances == sorted(set(distances))


def test_a_pillow_without_webp_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "check", lambda name: False)
    with pytest.raises(UsageError, match="WebP") as caught:
        build_corruption("webp_chain")
    assert "Pillow" in caught.value.hint
    build_corruption("jpeg_chain")


@pytest.mark.parametrize("rate", [0.001, 0.03, 0.5])
@pytest.mark.parametrize("channels", [1, 3])
def test_bits_are_flipped_at_their_rate(rate: float, channels: int) -> None:
    images = np.random.default_rng(3).integers(0, 256, (8, 64, 64, channels)).astype(np.uint8)
    changed = raw(f"bit_errors:rate={rate}", images.astype(np.float32) / np.float32(255))
    flipped = np.unpackbits(np.rint(changed * 255).astype(np.uint8)[..., None] ^ images[..., None], axis=-1)
    for counts in flipped.reshape(-1, 8).sum(axis=0):
        assert stats.binomtest(int(counts), images.size, rate).pvalue > 1e-4
    assert stats.binomtest(int(flipped.sum()), images.size * 8, rate).pvalue > 1e-3
    # Independent: pairs of neighbouring bits of a byte.
    both = int((flipped[..., 1:] & flipped[..., :-1]).sum())
    assert stats.binomtest(both, images.size * 7, rate**2).pvalue > 1e-4


def test_more_errors_are_the_same_and_others() -> None:
    few, many = (raw(f"bit_errors:rate={rate}", flat(0)) * 255 for rate in (0.01, 0.05))
    few, many = np.rint(few).astype(np.uint8), np.rint(many).astype(np.uint8)
    assert few.any()
    np.testing.assert_array_equal(few & many, few)
