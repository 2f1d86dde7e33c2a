"""The fast gradient sign family, against the papers' formulas on logistic regression."""

import numpy as np
import pytest
from scipy import ndimage

from advcli import registry
from advcli.attacks.difgsm import DIFGSM
from advcli.attacks.tifgsm import TIFGSM
from advcli.backend import tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat

LINF = Threat(eps=0.05)
L2 = Threat(Norm.L2, 0.5)


def run(spec: str, classifier: Classifier, pictures: np.ndarray, threat: Threat = LINF) -> tuple[np.ndarray, int]:
    labels = classifier.predict(pictures).argmax(axis=1)
    found, queries = CompiledAttack(classifier, registry.build("attacks", spec), threat)(pictures, labels)
    return found, int(queries.max())


def ascent(linear: Classifier, at: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The gradient of cross-entropy by the pixels: W (softmax - onehot)."""
    errors = linear.predict(at.astype(np.float32)) - np.eye(4)[labels]
    return (errors @ linear.model.weights[0].numpy().T).reshape(at.shape)


def by_l1(gradient: np.ndarray) -> np.ndarray:
    return gradient / np.abs(gradient).sum(axis=(1, 2, 3), keepdims=True)


def unit(gradient: np.ndarray) -> np.ndarray:
    return gradient / np.sqrt(np.square(gradient).sum(axis=(1, 2, 3), keepdims=True))


def own_draws(pictures: np.ndarray) -> ImageRng:
    return ImageRng(tf.constant(image_seeds(pictures, 0)))


def uniform(rng: ImageRng) -> np.ndarray:
    return rng.uniform((8, 8, 3), -1.0, 1.0).numpy()


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_bim_is_pgd_from_the_image(threat: Threat, small: Classifier, pictures: np.ndarray) -> None:
    found, queries = run("bim:steps=6", small, pictures, threat)
    expected, _ = run(f"pgd:steps=6,step={1.25 / 6 * threat.eps},random_start=false", small, pictures, threat)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert queries == 6


def test_bims_default_is_the_papers_for_eps_8() -> None:
    """Ten steps of 1/255 for eps 8/255."""
    bim = registry.build("attacks", "bim")
    assert bim.steps == 10
    assert 1.25 / bim.steps == 1 / 8


def test_rfgsm_steps_at_random_then_along_the_gradient(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    found, queries = run("rfgsm", linear, pictures)
    begun = pictures + 0.025 * np.sign(own_draws(pictures).normal((8, 8, 3)).numpy())
    np.testing.assert_allclose(found, begun + 0.025 * np.sign(ascent(linear, begun, labels)), atol=1e-6)
    assert queries == 1


def test_rfgsm_without_a_start_is_fgsm(small: Classifier, pictures: np.ndarray) -> None:
    np.testing.assert_array_equal(run("rfgsm:start_ratio=0", small, pictures)[0], run("fgsm", small, pictures)[0])


def test_mifgsm_by_hand(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    momentum = by_l1(ascent(linear, pictures, labels))
    first = pictures + 0.01 * np.sign(momentum)
    momentum = 0.7 * momentum + by_l1(ascent(linear, first, labels))
    found, queries = run("mifgsm:steps=2,step=0.01,decay=0.7", linear, pictures)
    np.testing.assert_allclose(found, first + 0.01 * np.sign(momentum), atol=1e-6)
    assert queries == 2


def test_mifgsm_in_l2_by_hand(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    momentum = by_l1(ascent(linear, pictures, labels))
    first = pictures + 0.1 * unit(momentum)
    momentum = 0.7 * momentum + by_l1(ascent(linear, first, labels))
    found, _ = run("mifgsm:steps=2,step=0.1,decay=0.7", linear, pictures, L2)
    np.testing.assert_allclose(found, first + 0.1 * unit(momentum), atol=1e-5)


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
def test_nifgsm_by_hand(threat: Threat, linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    length = 0.2 * threat.eps
    direction = np.sign if threat.norm is Norm.LINF else unit
    flat = 1.0 if threat.norm is Norm.LINF else np.sqrt(192)
    momentum = by_l1(ascent(linear, pictures, labels)) * 192 / flat
    first = pictures + length * direction(momentum)
    ahead = first + length * 0.7 * momentum
    momentum = 0.7 * momentum + by_l1(ascent(linear, ahead, labels)) * 192 / flat
    found, queries = run(f"nifgsm:steps=2,step={length},decay=0.7", linear, pictures, threat)
    np.testing.assert_allclose(found, first + length * direction(momentum), atol=2e-5)
    assert queries == 2


@pytest.mark.parametrize("threat", [LINF, L2], ids=["linf", "l2"])
@pytest.mark.parametrize(
    ("spec", "plain"),
    [
        ("nifgsm:steps=4,decay=0", "mifgsm:steps=4,decay=0"),
        ("difgsm:steps=4,probability=0", "mifgsm:steps=4"),
        ("difgsm:steps=4,probability=1,smallest=1", "mifgsm:steps=4"),
        ("tifgsm:steps=4,kernel=1", "mifgsm:steps=4"),
        ("vmifgsm:steps=4,samples=2,radius_ratio=0", "mifgsm:steps=4"),
        ("bsr:steps=4,samples=2,blocks=1,angle=0", "mifgsm:steps=4"),
    ],
)
def test_without_its_own_part_it_is_mifgsm(
    spec: str, plain: str, threat: Threat, small: Classifier, pictures: np.ndarray
) -> None:
    np.testing.assert_allclose(run(spec, small, pictures, threat)[0], run(plain, small, pictures, threat)[0], atol=2e-5)


@pytest.mark.parametrize("spec", ["nifgsm", "difgsm", "tifgsm:kernel=3", "vmifgsm:samples=2", "bsr:samples=2"])
def test_its_own_part_makes_a_difference(spec: str, small: Classifier, pictures: np.ndarray) -> None:
    assert not np.allclose(run(spec, small, pictures, L2)[0], run("mifgsm", small, pictures, L2)[0], atol=1e-4)


def test_vmifgsm_by_hand(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    gradient = ascent(linear, pictures, labels)
    momentum = by_l1(gradient)
    first = pictures + 0.01 * np.sign(momentum)
    rng = own_draws(pictures).fold(0)
    neighbours = [pictures + 1.5 * 0.05 * uniform(rng.fold(i)) for i in range(3)]
    variance = np.mean([ascent(linear, at, labels) for at in neighbours], axis=0) - gradient
    momentum = momentum + by_l1(ascent(linear, first, labels) + variance)
    found, queries = run("vmifgsm:steps=2,step=0.01,samples=3", linear, pictures)
    np.testing.assert_allclose(found, first + 0.01 * np.sign(momentum), atol=1e-6)
    assert queries == 2 + 3


def test_the_translation_kernel_sums_to_one() -> None:
    for side in (1, 3, 15):
        weights = TIFGSM(kernel=side).weights().numpy()
        assert weights.shape == (side,)
        np.testing.assert_allclose(weights.sum(), 1, atol=1e-6)
        np.testing.assert_allclose(weights, weights[::-1], atol=1e-7)
    # Three standard deviations from the middle to the edge: exp(-9 / 2).
    np.testing.assert_allclose(weights[0] / weights[7], np.exp(-4.5), rtol=1e-5)


def test_tifgsm_convolves_the_gradient(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    gradient = ascent(linear, pictures, labels)
    weights = np.exp(-np.square(np.linspace(-3, 3, 5)) / 2)
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    smooth = ndimage.convolve(gradient, kernel[None, :, :, None], mode="constant")
    found, _ = run("tifgsm:steps=1,kernel=5", linear, pictures, L2)
    np.testing.assert_allclose(found, pictures + 0.5 * unit(smooth), atol=1e-5)


def test_diversity_shrinks_and_places() -> None:
    white = tf.ones((64, 20, 12, 3))
    rng = ImageRng(tf.stack([tf.range(64), tf.zeros(64, tf.int32)], axis=1))
    seen = DIFGSM(probability=1, smallest=0.5).diversify(white, rng).numpy()
    heights, widths = seen.any(axis=(2, 3)).sum(axis=1), seen.any(axis=(1, 3)).sum(axis=1)
    assert set(np.unique(seen)) == {0, 1}
    np.testing.assert_array_equal(seen.sum(axis=(1, 2, 3)), heights * widths * 3)
    assert heights.min() == 10
    assert heights.max() == 20
    # One size for both sides, places of their own.
    np.testing.assert_allclose(widths / 12, heights / 20, atol=0.08)
    tops = seen.any(axis=(2, 3)).argmax(axis=1)
    assert len(np.unique(tops)) > 5
    assert (tops + heights).max() == 20


def test_half_of_the_images_are_diversified() -> None:
    white = tf.ones((400, 20, 20, 1))
    rng = ImageRng(tf.stack([tf.range(400), tf.zeros(400, tf.int32)], axis=1))
    seen = DIFGSM(smallest=0.5).diversify(white, rng).numpy()
    assert 0.4 < (seen.min(axis=(1, 2, 3)) == 0).mean() < 0.55


@pytest.mark.parametrize(
    "spec",
    [
        "bim:steps=0",
        "bim:step=-1",
        "rfgsm:start_ratio=1",
        "mifgsm:decay=-1",
        "nifgsm:steps=0",
        "difgsm:probability=2",
        "difgsm:smallest=0",
        "tifgsm:kernel=4",
        "tifgsm:deviations=0",
        "vmifgsm:samples=0",
        "vmifgsm:radius_ratio=-1",
        "bsr:samples=0",
        "bsr:blocks=0",
        "bsr:angle=181",
    ],
)
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", spec)
