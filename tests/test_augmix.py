"""AugMix: its operations beside Pillow's, its mixtures, its loss."""

import numpy as np
import pytest
from PIL import Image, ImageOps
from scipy import special, stats
from scipy.spatial.distance import jensenshannon
from skimage import data, transform

from advcli import registry
from advcli.backend import tf
from advcli.data.image_operations import OPERATIONS, operated
from advcli.errors import UsageError
from advcli.objectives import InnerMaximization
from advcli.objectives._augmix import mixtures
from advcli.objectives._divergence import jensen_shannon
from advcli.threat.rng import ImageRng, dirichlet
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

SPACE = {"versions": 2, "width": 3, "depth": 0, "severity": 3}


def rng(count: int, epoch: int = 0) -> ImageRng:
    return ImageRng(tf.constant(np.stack([np.arange(count), np.full(count, epoch)], axis=1), tf.int32))


def inner(count: int) -> InnerMaximization:
    return InnerMaximization(lambda x: x, lambda x, y: x, Threat(Norm.LINF, 0.1), rng(count))


@pytest.fixture(scope="module")
def cat() -> np.ndarray:
    """A photo in eight bits, 48 x 40."""
    photo = np.asarray(transform.resize(data.chelsea()[:, 60:360], (48, 40), anti_aliasing=True))
    return np.rint(255 * photo).astype(np.uint8)


# Operations


def ours(cat: np.ndarray, name: str, strength: float, sign: int = 1) -> np.ndarray:
    images = tf.constant(cat[None] / 255, tf.float32)
    operation = tf.constant([OPERATIONS.index(name)])
    return operated(images, operation, tf.constant([strength]), tf.constant([float(sign)])).numpy()[0] * 255


def theirs(image: Image.Image) -> np.ndarray:
    return np.asarray(image)


def affine(cat: np.ndarray, *matrix: float) -> np.ndarray:
    image = Image.fromarray(cat)
    return theirs(image.transform(image.size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


@pytest.mark.parametrize("strength", [0.5, 2.6, 9.9])
def test_tables_are_those_of_pillow(strength: float, cat: np.ndarray) -> None:
    dull = (cat // 2 + 30).astype(np.uint8)
    for photo in (cat, dull, dull[:16, :16]):
        image = Image.fromarray(photo)
        bits, threshold = 4 - int(strength * 4 / 10), 256 - int(strength * 256 / 10)
        expected = {
            "autocontrast": ImageOps.autocontrast(image),
            "equalize": ImageOps.equalize(image),
            "posterize": ImageOps.posterize(image, bits),
            "solarize": ImageOps.solarize(image, threshold),
        }
        for name, by_pillow in expected.items():
            # Pillow cuts off what its scale, a rounded fraction, makes a little less than a whole number.
            tolerance = 1.001 if name == "autocontrast" else 1e-3
            np.testing.assert_allclose(ours(photo, name, strength), theirs(by_pillow), atol=tolerance, err_msg=name)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("strength", [1.1, 2.9])
def test_movements_are_those_of_pillow(strength: float, sign: int, cat: np.ndarray) -> None:
    degrees, shear = sign * int(strength * 3), sign * strength * 0.03
    right, below = (sign * int(strength * size / 3 / 10) for size in (40, 48))
    expected = {
        "rotate": theirs(Image.fromarray(cat).rotate(degrees, Image.Resampling.BILINEAR)),
        "shear-x": affine(cat, 1, shear, 0, 0, 1, 0),
        "shear-y": affine(cat, 1, 0, 0, shear, 1, 0),
        "translate-x": affine(cat, 1, 0, right, 0, 1, 0),
        "translate-y": affine(cat, 1, 0, 0, 0, 1, below),
    }
    for name, by_pillow in expected.items():
        moved = ours(cat, name, strength, sign)
        assert np.abs(moved - cat).max() > 20
        # Along a border Pillow repeats the last pixel where TensorFlow fades to black.
        both = np.abs(moved - by_pillow)[2:-2, 2:-2]
        assert np.quantile(both, 0.95) <= 1.1, name


@pytest.mark.parametrize(("name", "axis"), [("translate-x", 1), ("translate-y", 0)])
def test_what_moves_in_is_black(name: str, axis: int) -> None:
    moved = ours(np.full((30, 30, 3), 200, np.uint8), name, 5.0)
    lines = moved.mean(axis=(1 - axis, 2))
    np.testing.assert_allclose(lines, [200] * 25 + [0] * 5, atol=1e-3)


def test_flat_images_stay_finite() -> None:
    for value in (0.0, 0.5, 1.0):
        images = tf.fill((len(OPERATIONS), 8, 8, 1), value)
        strengths = tf.fill((len(OPERATIONS),), 3.0)
        changed = operated(images, tf.range(len(OPERATIONS)), strengths, tf.ones_like(strengths)).numpy()
        assert changed.min() >= 0
        assert changed.max() <= 1


def test_no_operation_changes_nothing(cat: np.ndarray) -> None:
    images = tf.constant(cat[None].repeat(3, axis=0) / 255.0, tf.float32)
    none = tf.fill((3,), len(OPERATIONS))
    np.testing.assert_array_equal(operated(images, none, tf.ones(3), tf.ones(3)), images)


# Mixtures


@pytest.mark.parametrize("shape", [(40, 24, 20, 3), (40, 28, 28, 1), (40, 8, 8, 3)])
def test_mixtures_differ_for_each_image_and_version(shape: tuple[int, ...], cat: np.ndarray) -> None:
    photo = np.asarray(transform.resize(cat, shape[1:3], anti_aliasing=True))[..., : shape[3]]
    images = tf.constant(photo[None].repeat(40, axis=0), tf.float32)
    mixed = mixtures(images, rng(40), **SPACE).numpy()
    assert mixed.shape == (40, 2, *shape[1:])
    assert mixed.dtype == np.float32
    assert mixed.min() >= 0
    assert mixed.max() <= 1
    assert len(np.unique(mixed.reshape(80, -1), axis=0)) == 80
    changes = np.abs(mixed - images[:, None]).mean(axis=(2, 3, 4))
    assert changes.max() > 0.02
    assert changes.mean() < 0.2


def test_mixtures_do_not_depend_on_batch_or_place() -> None:
    images = tf.constant(np.random.default_rng(1).uniform(size=(9, 11, 7, 3)), tf.float32)
    every = mixtures(images, rng(9), **SPACE).numpy()
    np.testing.assert_array_equal(mixtures(images, rng(9), **SPACE), every)
    for places in ([0], [8, 3], [8, 7, 6, 5, 4, 3, 2, 1, 0]):
        some = mixtures(tf.gather(images, places), ImageRng(tf.gather(rng(9).seeds, places)), **SPACE)
        np.testing.assert_array_equal(some, every[places])
    assert np.abs(mixtures(images, rng(9, epoch=1), **SPACE) - every).max() > 0.05


@pytest.mark.parametrize("channels", [1, 3])
def test_a_graph_for_any_batch_does_the_same(channels: int) -> None:
    signature = [tf.TensorSpec((None, 12, 9, channels), tf.float32), tf.TensorSpec((None, 2), tf.int32)]
    graph = tf.function(lambda images, seeds: mixtures(images, ImageRng(seeds), **SPACE), input_signature=signature)
    assert graph.get_concrete_function().output_shapes == (None, 2, 12, 9, channels)
    for count in (1, 6):
        images = tf.constant(np.random.default_rng(2).uniform(size=(count, 12, 9, channels)), tf.float32)
        expected = mixtures(images, rng(count), **SPACE)
        np.testing.assert_allclose(graph(images, rng(count).seeds), expected, atol=1e-6)


def test_mixtures_are_between_the_image_and_its_chains() -> None:
    # Of the operations, only two change the middle of a flat grey: solarize most of the time, posterize always.
    images = tf.fill((8000, 3, 3, 1), 200 / 255)
    space = {"versions": 1, "width": 1, "depth": 1, "severity": 10}
    middle = mixtures(images, rng(8000), **space).numpy()[:, 0, 1, 1, 0] * 255
    changed = np.abs(middle - 200) > 1e-3
    assert abs(changed.mean() - (1 + (10 - 56 / 25.6) / 9.9) / len(OPERATIONS)) < 0.02
    # What is darker than any posterized grey is a share, even in [0, 1], of the way to the negative.
    way = (200 - middle[middle < 127.9]) / (200 - 55)
    assert stats.kstest(way, stats.uniform(72.1 / 145, 72.9 / 145).cdf).pvalue > 1e-3


def test_dirichlet_weights_are_even_over_the_simplex() -> None:
    weights = dirichlet(rng(5000).scalars(3)).numpy()
    np.testing.assert_allclose(weights.sum(axis=1), 1, rtol=1e-6)
    for column in weights.T:
        assert stats.kstest(column, stats.beta(1, 2).cdf).pvalue > 1e-3


# Loss


def test_divergence_is_that_of_jensen_and_shannon() -> None:
    logits = np.random.default_rng(3).normal(0, 3, (3, 20, 7)).astype(np.float32)
    answers = special.softmax(logits.astype(float), axis=2)
    mean = answers.mean(axis=0)
    expected = special.rel_entr(answers, mean).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(jensen_shannon(list(logits)), expected, rtol=1e-4, atol=1e-6)
    distances = [jensenshannon(*pair) for pair in answers[:2].transpose(1, 0, 2)]
    np.testing.assert_allclose(jensen_shannon(list(logits[:2])), np.square(distances), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(jensen_shannon([logits[0]] * 3), 0, atol=1e-6)


def test_divergence_is_finite_where_answers_are_certain() -> None:
    certain = 500 * tf.eye(3)
    with tf.GradientTape() as tape:
        tape.watch(certain)
        value = jensen_shannon([certain, certain[::-1], certain])
    assert np.isfinite(value).all()
    assert np.isfinite(tape.gradient(value, certain)).all()


def test_loss_is_the_clean_one_and_twelve_divergences(pictures: np.ndarray) -> None:
    classifier = make_classifier()
    images, labels = tf.constant(pictures), tf.constant([0, 1, 2, 3, 0])
    objective = registry.build("objectives", "augmix")
    perturbed = objective.perturb(inner(5), images, labels)
    assert perturbed.shape == (5, 2, 8, 8, 3)
    # BatchNorm sees all three versions in one batch.
    together = classifier.model(tf.concat([images, perturbed[:, 0], perturbed[:, 1]], axis=0), training=True)
    loss, logits = objective(classifier.model, images, perturbed, labels)
    np.testing.assert_allclose(logits, together[:5], atol=1e-5)
    answers = special.softmax(together.numpy().astype(float).reshape(3, 5, 4), axis=2)
    clean = -np.log(answers[0, np.arange(5), labels])
    apart = special.rel_entr(answers, answers.mean(axis=0)).sum(axis=2).mean(axis=0)
    assert apart.min() > 0
    np.testing.assert_allclose(loss, clean + 12 * apart, rtol=1e-3, atol=1e-5)
    weightless, _ = registry.build("objectives", "augmix:jsd=0")(classifier.model, images, perturbed, labels)
    np.testing.assert_allclose(weightless, clean, rtol=1e-3)


def test_loss_falls(pictures: np.ndarray) -> None:
    classifier = make_classifier()
    images, labels = tf.constant(pictures), tf.constant([0, 1, 2, 3, 0])
    objective = registry.build("objectives", "augmix")
    perturbed = objective.perturb(inner(5), images, labels)
    optimizer = tf.keras.optimizers.SGD(0.01)
    values = []
    for _ in range(4):
        with tf.GradientTape() as tape:
            loss, _ = objective(classifier.model, images, perturbed, labels)
            mean = tf.reduce_mean(loss)
        weights = classifier.model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(mean, weights), weights, strict=True))
        values.append(float(mean))
    assert values[-1] < values[0]


@pytest.mark.parametrize("name", ["augmix", "augmix-at"])
@pytest.mark.parametrize("option", ["width=0", "depth=-1", "severity=0", "severity=11", "jsd=-1"])
def test_options_that_mean_nothing_are_refused(option: str, name: str) -> None:
    with pytest.raises(UsageError):
        registry.build("objectives", f"{name}:{option}")


def test_adversarial_training_perturbs_the_image_and_mixes_the_clean_one(pictures: np.ndarray) -> None:
    classifier = make_classifier()
    images, labels = tf.constant(pictures), tf.constant([0, 1, 2, 3, 0])
    ball = Threat(Norm.LINF, 0.02)
    search = InnerMaximization(classifier.logits, lambda x, y: x, ball, rng(5))
    perturbed = registry.build("objectives", "augmix-at").perturb(search, images, labels)
    assert perturbed.shape == (5, 3, 8, 8, 3)
    fast = registry.build("objectives", "fgsm-rs").perturb(search, images, labels)
    np.testing.assert_array_equal(perturbed[:, 0], fast)
    np.testing.assert_array_equal(
        perturbed[:, 1:], registry.build("objectives", "augmix").perturb(search, images, labels)
    )


def test_the_adversarial_image_takes_the_place_of_the_clean_one(pictures: np.ndarray) -> None:
    classifier = make_classifier()
    images, labels = tf.constant(pictures), tf.constant([0, 1, 2, 3, 0])
    perturbed = tf.constant(np.random.default_rng(4).uniform(size=(5, 3, 8, 8, 3)), tf.float32)
    found = registry.build("objectives", "augmix-at")(classifier.model, images, perturbed, labels)
    expected = registry.build("objectives", "augmix")(classifier.model, perturbed[:, 0], perturbed[:, 1:], labels)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("option", ["width=1", "depth=1", "depth=4", "severity=10"])
def test_options_change_the_mixtures(option: str, pictures: np.ndarray) -> None:
    usual, other = (
        registry.build("objectives", spec).perturb(inner(5), tf.constant(pictures), None)
        for spec in ("augmix", f"augmix:{option}")
    )
    assert np.abs(usual - other).max() > 0.01
