"""FAB against exact projections and closed forms on linear models."""

import numpy as np
import pytest

from advcli import registry
from advcli.attacks._minimal import to_hyperplane
from advcli.attacks.fab import FAB
from advcli.backend import tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier
from test_apgd import distances
from test_attacks import check
from test_minimal_attacks import distances as nearest_boundaries

WIDE = {Norm.LINF: 0.4, Norm.L2: 5.0}


@pytest.fixture(scope="module")
def two() -> Classifier:
    """Logistic regression of two classes."""
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return classifier


def search(attack: FAB, classifier: Classifier, pictures: np.ndarray, threat: Threat) -> np.ndarray:
    """Search without tracing first, which takes longer than a few steps on a tiny model."""
    labels = tf.constant(classifier.predict(pictures).argmax(axis=1), tf.int32)
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    return attack(classifier.logits, tf.constant(pictures), labels, threat, rng).numpy()


def bisected(point: np.ndarray, normal: np.ndarray, height: float, norm: Norm) -> np.ndarray:
    """Find the smallest step in the box the slow way: by halving the interval of the multiplier."""
    downhill = -np.sign(height) * normal

    def step(reach: float) -> np.ndarray:
        free = reach * (np.sign(downhill) if norm is Norm.LINF else downhill)
        return np.clip(point + free, 0, 1) - point

    low, high = 0.0, 1e4
    for _ in range(100):
        middle = (low + high) / 2
        low, high = (middle, high) if abs(normal @ step(middle)) < abs(height) else (low, middle)
    return step(high)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.9, 0.999, 1.0, 1.5])
def test_projections_are_exact(norm: Norm, share: float) -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 1, (6, 4, 5, 3)).astype(np.float32)
    points[:, 0] = generator.integers(0, 2, points[:, 0].shape)
    normals = generator.normal(size=points.shape).astype(np.float32)
    normals[:, :, 0] = 0
    signs = np.where(np.arange(6) % 2, -1, 1)[:, None, None, None]
    room = np.where(-signs * normals > 0, 1 - points, points)
    heights = (signs[:, 0, 0, 0] * share * (np.abs(normals) * room).sum(axis=(1, 2, 3))).astype(np.float32)
    steps = to_hyperplane(tf.constant(points), tf.constant(normals), tf.constant(heights), norm).numpy()
    assert (points + steps).min() >= -1e-6
    assert (points + steps).max() <= 1 + 1e-6
    for point, normal, height, step in zip(points, normals, heights, steps, strict=True):
        expected = bisected(point.ravel().astype(float), normal.ravel().astype(float), float(height), norm)
        np.testing.assert_allclose(step.ravel(), expected, atol=3e-4 if share >= 0.999 else 1e-5)
        if share <= 1:
            assert height + (normal * step).sum() == pytest.approx(0, abs=1e-4)


def test_a_flat_function_is_not_moved_on() -> None:
    points = tf.fill([2, 3, 3, 1], 0.5)
    for norm in (Norm.LINF, Norm.L2):
        steps = to_hyperplane(points, tf.zeros_like(points), tf.constant([1.0, 0.0]), norm)
        np.testing.assert_array_equal(steps, np.zeros((2, 3, 3, 1)))


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_the_smallest_perturbation_of_a_linear_model(norm: Norm, two: Classifier, pictures: np.ndarray) -> None:
    labels = two.predict(pictures).argmax(axis=1)
    adversarial = search(FAB(steps=20, refine=0), two, pictures, Threat(norm, WIDE[norm]))
    assert (two.predict(adversarial).argmax(axis=1) != labels).all()
    sizes = Threat(norm).size(tf.constant(adversarial - pictures)).numpy()
    ratio = sizes / distances(two, pictures, norm)
    # Steps go 5% past the boundary.
    assert ratio.min() >= 1
    assert ratio.max() <= 1.051


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_the_boundary_is_inside_the_ball_or_not(norm: Norm, two: Classifier, pictures: np.ndarray) -> None:
    labels = two.predict(pictures).argmax(axis=1)
    for picture, label, distance in zip(pictures, labels, distances(two, pictures, norm), strict=True):
        for factor, broken in ((0.98, False), (1.06, True)):
            threat = Threat(norm, factor * distance)
            adversarial = search(FAB(steps=20, refine=0), two, picture[None], threat)
            assert (two.predict(adversarial).argmax(axis=1)[0] != label) == broken
            # One that fails has gone as far as it may.
            size = threat.size(tf.constant(adversarial - picture)).numpy()[0]
            assert size == pytest.approx(threat.eps, rel=1e-4) or (broken and size < threat.eps)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_leaving_the_batch_does_not_change_the_verdict(norm: Norm, linear: Classifier) -> None:
    pictures = np.random.default_rng(5).uniform(0.3, 0.7, (12, 8, 8, 3)).astype(np.float32)
    labels = linear.predict(pictures).argmax(axis=1)
    threat = Threat(norm, {Norm.LINF: 0.005, Norm.L2: 0.05}[norm])
    stopped, whole = (search(FAB(steps=10, stop=stop, refine=0), linear, pictures, threat) for stop in (True, False))
    verdicts = [linear.predict(images).argmax(axis=1) != labels for images in (stopped, whole)]
    assert verdicts[0].tolist() == verdicts[1].tolist()
    assert 0 < verdicts[0].sum() < 12
    sizes = [threat.size(tf.constant(images - pictures)).numpy()[verdicts[0]] for images in (stopped, whole)]
    assert (sizes[1] <= sizes[0] + 1e-7).all()


@pytest.mark.parametrize(("classes", "targets"), [(2, 1), (3, 2), (4, 3), (12, 9)])
def test_each_likely_class_is_a_target_once(classes: int, targets: int, pictures: np.ndarray) -> None:
    classifier = make_classifier("linear", classes=classes)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    labels = classifier.predict(pictures).argmax(axis=1)
    _, queries = CompiledAttack(classifier, FAB(steps=3, refine=0), Threat(eps=1e-5))(pictures, labels)
    # The image itself, then for each target two passes a step and a look at what it returned, and a look at the end.
    assert (queries == 1 + targets * (2 * 3 + 1) + 1).all()


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_the_least_over_all_classes_is_returned(norm: Norm) -> None:
    """The second likeliest class is far, for its logit hardly moves; the least likely one is near."""
    classifier = make_classifier("linear", classes=4)
    kernel, bias = classifier.model.weights
    kernel.assign(np.random.default_rng(4).normal(size=kernel.shape) * [0.2, 0.2, 0.4, 2.0])
    pictures = np.random.default_rng(5).uniform(0.3, 0.7, (5, 8, 8, 3)).astype(np.float32)
    bias.assign(-(pictures.reshape(5, -1) @ kernel.numpy()).mean(axis=0) + [9, 7, 6, 5])
    every = nearest_boundaries(classifier, pictures, norm)
    labels = classifier.predict(pictures).argmax(axis=1)
    likely = np.argsort(-classifier.predict(pictures), axis=1)[:, 1]
    assert (every[np.arange(5), likely] > 1.1 * every.min(axis=1)).any()
    threat = Threat(norm, {Norm.LINF: 0.9, Norm.L2: 13.0}[norm])
    least, first = (search(FAB(steps=30, stop=stop, refine=0), classifier, pictures, threat) for stop in (False, True))
    sizes = [threat.size(tf.constant(points - pictures)).numpy() for points in (least, first)]
    assert (classifier.predict(least).argmax(axis=1) != labels).all()
    assert (sizes[0] <= 1.051 * every.min(axis=1)).all()
    # Where only the verdict counts, the first class to be reached will do.
    assert (sizes[1] > 1.1 * every.min(axis=1)).any()


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_a_given_target_is_reached(norm: Norm, linear: Classifier, pictures: np.ndarray) -> None:
    for target in range(4):
        adversarial = search(FAB(steps=20, refine=0), linear, pictures, Threat(norm, WIDE[norm], target))
        assert (linear.predict(adversarial).argmax(axis=1) == target).all()


def test_restarts_begin_elsewhere(small: Classifier, pictures: np.ndarray) -> None:
    check(FAB(steps=10, restarts=2, refine=0), small, pictures, Threat(eps=0.05))


@pytest.mark.parametrize("options", ["steps=0", "restarts=0", "targets=0", "alpha_max=2", "beta=-1"])
def test_nonsense_is_refused(options: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", f"fab:{options}")
