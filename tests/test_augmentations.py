"""Every augmentation of the folder; the noises beside scikit-image's and SciPy's; what --augment reads."""

import numpy as np
import pytest
from scipy import special, stats
from skimage import data, transform, util

from advcli import registry
from advcli.augmentations import ARTICLE, STAGES, augmented, read
from advcli.augmentations.poisson import _BRIGHT, _many
from advcli.backend import tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng

AUGMENTATIONS = registry.names("augmentations")


def rng(count: int, epoch: int = 0) -> ImageRng:
    return ImageRng(tf.constant(np.stack([np.arange(count), np.full(count, epoch)], axis=1), tf.int32))


def applied(spec: str, images: np.ndarray, source: ImageRng | None = None) -> np.ndarray:
    return registry.build("augmentations", spec)(tf.constant(images), source or rng(len(images))).numpy()


@pytest.fixture(scope="module")
def cats() -> np.ndarray:
    """The same photo forty times."""
    photo = np.asarray(transform.resize(data.chelsea(), (24, 20), anti_aliasing=True))
    return np.repeat(photo[None], 40, axis=0).astype(np.float32)


@pytest.mark.parametrize("shape", [(3, 8, 8, 1), (2, 7, 9, 3), (1, 1, 5, 1)])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_shape_and_type_are_kept(name: str, shape: tuple[int, ...]) -> None:
    component = registry.build("augmentations", name)
    assert component.stage in STAGES
    images = np.random.default_rng(1).uniform(size=shape).astype(np.float32)
    changed = applied(name, images)
    assert changed.dtype == np.float32
    assert changed.shape == shape
    assert np.isfinite(changed).all()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_each_image_is_changed_by_itself(name: str, channels: int, cats: np.ndarray) -> None:
    images = cats[..., :channels]
    changed = applied(name, images)
    # What leaves some images as they are changes about half of them; the flip has no other result.
    different = [np.abs(image - original).max() > 1e-3 for image, original in zip(changed, images, strict=True)]
    assert sum(different) >= 12
    assert len(np.unique(changed.reshape(40, -1), axis=0)) >= (2 if name == "flip" else 15)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_image_does_not_depend_on_its_batch_or_place(name: str) -> None:
    images = np.random.default_rng(2).uniform(0, 1, (33, 7, 9, 3)).astype(np.float32) ** 3
    every = applied(name, images)
    for places in ([0], [32, 5], list(range(32, -1, -1))):
        some = applied(name, images[places], ImageRng(tf.gather(rng(33).seeds, places)))
        # Not to the last bit: a processor adds up other numbers at once where there are fewer images.
        np.testing.assert_allclose(some, every[places], rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_seeds_decide(name: str, cats: np.ndarray) -> None:
    np.testing.assert_array_equal(applied(name, cats), applied(name, cats))
    assert np.abs(applied(name, cats) - applied(name, cats, rng(40, epoch=1))).max() > 1e-3


# A steep or broken function of the values, by which the last bit of what an earlier augmentation did can matter.
STEEP = {"pixmix", "prime"}


@pytest.mark.parametrize("steep", [False, True])
@pytest.mark.parametrize("channels", [1, 3])
def test_a_graph_for_any_batch_and_size_does_the_same(channels: int, steep: bool) -> None:
    specs = read(",".join(name for name in AUGMENTATIONS if steep or name not in STEEP), ())
    signature = [tf.TensorSpec((None, None, None, channels), tf.float32), tf.TensorSpec((None, 2), tf.int32)]
    graph = tf.function(lambda images, seeds: augmented(specs, images, ImageRng(seeds)), input_signature=signature)
    for shape in ((5, 8, 8, channels), (2, 13, 11, channels)):
        images = tf.constant(np.random.default_rng(3).uniform(size=shape), tf.float32)
        changed = graph(images, rng(shape[0]).seeds).numpy()
        different = ~np.isclose(changed, augmented(specs, images, rng(shape[0])), atol=1e-6)
        assert different.mean() <= (0.1 if steep else 0)
        assert changed.min() >= 0
        assert changed.max() <= 1
        assert np.abs(changed - images).max() > 0.01


def test_no_augmentation_changes_nothing(cats: np.ndarray) -> None:
    np.testing.assert_array_equal(augmented((), tf.constant(cats), rng(40)), cats)


def test_what_is_drawn_does_not_depend_on_the_others() -> None:
    flat = tf.fill((4, 8, 8, 3), 0.5)
    alone = augmented(("gaussian:probability=1",), flat, rng(4))
    among = augmented(("flip", "gaussian:probability=1"), flat, rng(4))
    np.testing.assert_array_equal(alone, among)


# Geometry


def test_half_of_the_images_are_flipped(cats: np.ndarray) -> None:
    images = np.tile(cats, (25, 1, 1, 1))
    changed = applied("flip", images)
    mirrored = (changed == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (changed == images).all(axis=(1, 2, 3))
    assert (mirrored ^ kept).all()
    assert 430 < mirrored.sum() < 570
    np.testing.assert_array_equal(applied("flip:probability=1", images), images[:, :, ::-1])
    np.testing.assert_array_equal(applied("flip:probability=0", images), images)


@pytest.mark.parametrize(("padding", "border"), [(1 / 16, (2, 2)), (0.2, (5, 4)), (0, (0, 0))])
def test_crops_are_those_of_the_reflected_image(padding: float, border: tuple[int, int], cats: np.ndarray) -> None:
    down, across = border
    padded = np.pad(cats[0], ((down, down), (across, across), (0, 0)), mode="reflect")
    crops = {
        padded[row : row + 24, column : column + 20].tobytes(): (row, column)
        for row in range(2 * down + 1)
        for column in range(2 * across + 1)
    }
    images = np.repeat(cats[:1], 3000, axis=0)
    found = [crops[image.tobytes()] for image in applied(f"crop:padding={padding}", images)]
    counts = np.unique(found, axis=0, return_counts=True)[1]
    assert len(counts) == len(crops)
    if len(crops) > 1:
        assert stats.chisquare(counts).pvalue > 1e-3


def test_a_crop_moves_even_the_smallest_images() -> None:
    images = np.random.default_rng(4).uniform(size=(20, 8, 8, 1)).astype(np.float32)
    assert (applied("crop", images) != images).any()


# Colour


def test_jitter_draws_factors_evenly_around_one() -> None:
    # Black and white on a grey whose mean they do not move: the mean tells brightness, the distance contrast.
    images = np.full((4000, 2, 2, 1), 0.4, np.float32)
    images[:, 0, 0], images[:, 1, 1] = 0.2, 0.6
    changed = applied("jitter:strength=0.5", images)
    brightness = changed.mean(axis=(1, 2, 3)) / 0.4
    contrast = (changed[:, 1, 1, 0] - changed[:, 0, 0, 0]) / 0.4 / brightness
    for factor in (brightness, contrast):
        assert stats.kstest(factor, stats.uniform(0.5, 1).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(brightness, contrast)[0, 1]) < 0.06


def test_jitter_scales_and_turns_colours_about_the_greys() -> None:
    red = np.zeros((4000, 1, 1, 3), np.float32)
    red[..., 0] = 1
    # A single pixel has no contrast with its mean but between its channels: only colours and brightness count.
    turned = applied("jitter:strength=0,hue=0.5", red)[:, 0, 0]
    np.testing.assert_allclose(turned.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(turned - 1 / 3, axis=1), np.sqrt(2 / 3), rtol=1e-5)
    angle = np.arctan2(np.sqrt(3) * (turned[:, 1] - turned[:, 2]), 2 * turned[:, 0] - turned[:, 1] - turned[:, 2])
    assert stats.kstest(angle / (2 * np.pi), stats.uniform(-0.5, 1).cdf).pvalue > 1e-3
    third = turned[np.abs(angle - 2 * np.pi / 3).argmin()]
    np.testing.assert_allclose(third, [0, 1, 0], atol=0.01)


def test_jitter_keeps_grey_images_grey(cats: np.ndarray) -> None:
    grey = np.repeat(cats[..., :1], 3, axis=3)
    changed = applied("jitter", grey)
    np.testing.assert_allclose(changed, changed[..., :1].repeat(3, axis=3), atol=1e-5)
    np.testing.assert_allclose(changed[..., :1], applied("jitter", cats[..., :1]), atol=1e-5)


def test_no_jitter_changes_nothing(cats: np.ndarray) -> None:
    np.testing.assert_allclose(applied("jitter:strength=0,hue=0", cats), cats, atol=1e-6)


# Noise


def same_values(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of the two-sample test of Kolmogorov and Smirnov."""
    return float(np.asarray(stats.ks_2samp(ours.ravel(), theirs.ravel()))[1])


def same_shares(ours: np.ndarray, theirs: np.ndarray) -> float:
    """Return the p-value of the chi-square test on two rows of counts."""
    _, p_value, *_ = stats.chi2_contingency([ours, theirs])
    return float(np.asarray(p_value))


@pytest.fixture(scope="module")
def ramp() -> np.ndarray:
    """Twenty images in which every brightness is equally frequent."""
    return np.linspace(0, 1, 20 * 64 * 64 * 3, dtype=np.float32).reshape(3, 64, 64, 20).transpose(3, 1, 2, 0).copy()


@pytest.mark.parametrize("std", [0.1, 0.25])
def test_gaussian_noise_is_that_of_scikit_image(std: float, ramp: np.ndarray) -> None:
    ours = np.clip(applied(f"gaussian:std={std},probability=1", ramp), 0, 1) - ramp
    theirs = util.random_noise(ramp, "gaussian", var=std**2, rng=5) - ramp
    assert same_values(ours, theirs) > 1e-3
    wrong = np.clip(applied(f"gaussian:std={1.05 * std},probability=1", ramp), 0, 1) - ramp
    assert same_values(wrong, theirs) < 1e-6


def lost(images: np.ndarray, noisy: np.ndarray) -> np.ndarray:
    """Count which values are black, white and as they were."""
    inside = (images > 0) & (images < 1)
    kinds = [noisy == 0, noisy == 1, noisy == images]
    return np.array([(kind & inside).sum() for kind in kinds])


@pytest.mark.parametrize(("amount", "salt"), [(0.05, 0.5), (0.3, 0.2)])
def test_salt_and_pepper_are_those_of_scikit_image(amount: float, salt: float, ramp: np.ndarray) -> None:
    ours = lost(ramp, applied(f"salt-pepper:amount={amount},salt={salt},probability=1", ramp))
    theirs = lost(ramp, util.random_noise(ramp, "s&p", amount=amount, salt_vs_pepper=salt, rng=6))
    assert ours.sum() == theirs.sum()
    assert same_shares(ours, theirs) > 1e-3
    for wrong in (f"amount={1.1 * amount},salt={salt}", f"amount={amount},salt={1.1 * salt}"):
        other = lost(ramp, applied(f"salt-pepper:{wrong},probability=1", ramp))
        assert same_shares(other, theirs) < 1e-4


def test_salt_and_pepper_fall_on_each_channel_by_itself(ramp: np.ndarray) -> None:
    hit = applied("salt-pepper:amount=0.3,probability=1", ramp) != ramp
    assert np.abs(np.corrcoef(hit.reshape(-1, 3).T) - np.eye(3)).max() < 0.02


@pytest.mark.parametrize("peak", [255, 30])
@pytest.mark.parametrize("intensity", [0, 0.001, 1 / 255, 0.0117, 0.0391, 0.0393, 0.2345, 0.5, 1])
def test_poisson_noise_is_that_of_scipy(intensity: float, peak: int) -> None:
    images = np.full((20, 64, 64, 3), intensity, np.float32)
    counts = applied(f"poisson:peak={peak},probability=1", images).ravel() * peak
    whole = np.rint(counts)
    np.testing.assert_allclose(counts, whole, atol=1e-4)
    assert fits_poisson(whole, intensity * peak) > 1e-3
    if intensity:
        assert fits_poisson(whole, intensity * peak * 1.05) < 1e-4 or intensity * peak < 0.3


def fits_poisson(counts: np.ndarray, rate: float) -> float:
    """Return the p-value of a chi-square test with bins of at least ten expected counts."""
    expected = len(counts) * stats.poisson.pmf(np.arange(600), rate)
    observed = np.bincount(counts.astype(int), minlength=600)[:600]
    bins = np.flatnonzero(expected >= 10)
    first, last = bins[0], bins[-1]

    def binned(values: np.ndarray) -> np.ndarray:
        inside = values[first + 1 : last].astype(float)
        return np.array([values[: first + 1].sum(), *inside, len(counts) - values[: first + 1].sum() - inside.sum()])

    observed, expected = binned(observed), binned(expected)
    if len(bins) == 1:
        return float(observed[0] == len(counts))
    return stats.chisquare(observed, expected).pvalue


@pytest.mark.parametrize("rate", [_BRIGHT, 10.5, 13, 30, 100, 255])
def test_bright_pixels_follow_poisson_but_for_one_in_five_thousand(rate: float) -> None:
    levels = np.linspace(-6, 6, 400_001)
    chances = np.diff(special.ndtr(levels))
    middles = tf.constant((levels[1:] + levels[:-1]) / 2, tf.float32)
    counts = _many(tf.fill(tf.shape(middles), tf.constant(rate, tf.float32)), middles).numpy()
    distribution = np.bincount(counts.astype(int), chances, minlength=600)[:600]
    assert np.abs(distribution - stats.poisson.pmf(np.arange(600), rate)).sum() / 2 < 2e-4


def test_poisson_noise_takes_what_is_below_black_for_black() -> None:
    assert (applied("poisson:probability=1", np.full((1, 4, 4, 1), -0.2, np.float32)) == 0).all()


@pytest.mark.parametrize("name", ["gaussian", "poisson", "salt-pepper"])
def test_noise_falls_on_half_of_the_images(name: str) -> None:
    images = np.full((600, 4, 4, 3), 0.5, np.float32)
    noisy = (applied(name, images) != images).any(axis=(1, 2, 3))
    chance = 1 - 0.95**48 if name == "salt-pepper" else 1
    assert 0.43 < noisy.mean() / chance < 0.57
    assert not (applied(f"{name}:probability=0", images) != images).any()


# Options


@pytest.mark.parametrize(
    "spec",
    [
        *("flip:probability=1.5", "crop:padding=0.6", "crop:padding=-0.1", "jitter:strength=2", "jitter:hue=0.7"),
        *("gaussian:std=-1", "gaussian:probability=-1", "poisson:peak=0", "poisson:probability=2"),
        *("salt-pepper:amount=1.2", "salt-pepper:salt=-0.1", "salt-pepper:probability=7"),
        *("prime:width=0", "prime:depth=-1", "prime:cut=2", "prime:kernel=2", "prime:sigma=-1"),
        *("pixmix:rounds=-1", "pixmix:beta=0", "pixmix:severity=0", "pixmix:severity=11", "pixmix:fractals=0"),
        *("prime:frequencies=0", "prime:bandwidth=0", "prime:temperature=-0.1"),
    ],
)
def test_options_that_mean_nothing_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("augmentations", spec)


def test_read_names() -> None:
    assert read("auto", ("crop",)) == ("crop",)
    assert read(" Auto ", ()) == ()
    assert read("none", ("crop",)) == ()
    assert read("article", ()) == ARTICLE
    assert set(ARTICLE) <= set(AUGMENTATIONS)


def test_read_lists_whose_items_have_several_options() -> None:
    assert read("jitter:strength=0.2,hue=0.1,flip", ()) == ("flip", "jitter:strength=0.2,hue=0.1")
    assert read("flip, jitter:strength=0.2, hue=0.1", ()) == ("flip", "jitter:strength=0.2, hue=0.1")
    assert read("crop:padding=1/8", ()) == ("crop:padding=1/8",)


def test_read_puts_geometry_before_colour_before_noise() -> None:
    assert read("salt-pepper,gaussian,jitter,crop,flip", ()) == ("crop", "flip", "jitter", "salt-pepper", "gaussian")
    assert read("salt_pepper,flip", ()) == ("flip", "salt_pepper")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("flip,flip", "given twice", "leave one out"),
        ("salt-pepper,salt_pepper:amount=0.1", "given twice", "leave one out"),
        ("flop", "unknown augmentation 'flop'", "flip"),
        ("flip,jiter:strength=0.2", "unknown augmentation 'jiter'", "jitter"),
        ("jitter:strenth=0.2", "no option 'strenth'", "strength"),
        (" , ", "empty", "none"),
    ],
)
def test_read_refuses(text: str, message: str, hint: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        read(text, ())
    assert hint in (caught.value.hint or "")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_randomness_comes_from_the_draws_alone(name: str) -> None:
    source = registry.component_file("augmentations", name).read_text()
    assert "tf.random" not in source
