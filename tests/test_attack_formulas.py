"""The attacks by the papers' formulas in NumPy, step by step, on models whose gradients have a formula."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import ndimage

from advcli import registry
from advcli.attacks.hopskipjump import HopSkipJump, _forward
from advcli.attacks.patch import Patch
from advcli.attacks.universal import UniversalPerturbation
from advcli.backend import Tensor, tf
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

LINF, L2 = Threat(eps=0.05), Threat(Norm.L2, 0.5)
by_threat = pytest.mark.parametrize("threat", [LINF, L2, Threat(eps=0.05, target=2)], ids=["linf", "l2", "target"])


class Logistic:
    """Logistic regression in NumPy, beside the classifier that has the same weights."""

    def __init__(self) -> None:
        self.classifier = make_classifier("linear")
        kernel, bias = self.classifier.model.trainable_variables
        generator = np.random.default_rng(8)
        kernel.assign(generator.normal(0, 0.25, kernel.shape))
        bias.assign(generator.normal(0, 0.5, bias.shape))
        self.kernel, self.bias = (weight.numpy().astype(np.float64) for weight in (kernel, bias))

    def logits(self, images: np.ndarray) -> np.ndarray:
        return images.reshape(len(images), -1).astype(np.float64) @ self.kernel + self.bias

    def loss(self, images: np.ndarray, labels: np.ndarray, threat: Threat) -> np.ndarray:
        logits, aim, sign = self.logits(images), *self._aim(labels, threat)
        shifted = logits - logits.max(axis=1, keepdims=True)
        return sign * (np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(aim)), aim])

    def slope(self, images: np.ndarray, labels: np.ndarray, threat: Threat = LINF) -> np.ndarray:
        """The gradient of what the adversary increases."""
        logits, aim, sign = self.logits(images), *self._aim(labels, threat)
        odds = np.exp(logits - logits.max(axis=1, keepdims=True))
        errors = odds / odds.sum(axis=1, keepdims=True) - np.eye(4)[aim]
        return sign * (errors @ self.kernel.T).reshape(images.shape)

    def is_adversarial(self, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        return self.logits(images).argmax(axis=1) != labels

    @staticmethod
    def _aim(labels: np.ndarray, threat: Threat) -> tuple[np.ndarray, int]:
        return (labels, 1) if threat.target is None else (np.full_like(labels, threat.target), -1)


@pytest.fixture(scope="module")
def logistic() -> Logistic:
    return Logistic()


@pytest.fixture
def labels(logistic: Logistic, pictures: np.ndarray) -> np.ndarray:
    return logistic.logits(pictures).argmax(axis=1)


def run(spec: str, classifier: Classifier, pictures: np.ndarray, labels: np.ndarray, threat: Threat) -> np.ndarray:
    return CompiledAttack(classifier, registry.build("attacks", spec), threat)(pictures, labels)[0]


def own_draws(pictures: np.ndarray) -> ImageRng:
    return ImageRng(tf.constant(image_seeds(pictures, 0)))


def length(values: np.ndarray) -> np.ndarray:
    return np.sqrt((values**2).sum(axis=(1, 2, 3), keepdims=True))


def by_mean(gradient: np.ndarray) -> np.ndarray:
    return gradient / np.abs(gradient).mean(axis=(1, 2, 3), keepdims=True)


def ahead(gradient: np.ndarray, threat: Threat) -> np.ndarray:
    return np.sign(gradient) if threat.norm is Norm.LINF else gradient / length(gradient)


def project(point: np.ndarray, centre: np.ndarray, threat: Threat) -> np.ndarray:
    delta = point - centre
    if threat.norm is Norm.LINF:
        delta = np.clip(delta, -threat.eps, threat.eps)
    else:
        delta = delta * np.minimum(1, threat.eps / length(delta))
    return np.clip(centre + delta, 0, 1)


def compare(found: np.ndarray, expected: np.ndarray) -> None:
    """Compare points: where a gradient is next to nothing, float32 may see another sign."""
    assert (np.abs(found - expected) < 5e-5).mean() > 0.995


Slope = Callable[[np.ndarray], np.ndarray]


def climb(
    slope: Slope, images: np.ndarray, threat: Threat, steps: int, share: float, momentum: float = 0.0
) -> np.ndarray:
    """Steps of a share of eps along the gradients' sum, each of them divided by its mean absolute value."""
    point, total = images, np.zeros(images.shape)
    for _ in range(steps):
        total = momentum * total + by_mean(slope(point))
        point = project(point + share * threat.eps * ahead(total, threat), images, threat)
    return point


@by_threat
@pytest.mark.parametrize(
    ("spec", "steps", "share", "momentum"),
    [
        ("fgsm", 1, 1.0, 0.0),
        ("bim", 10, 0.125, 0.0),
        ("pgd:random_start=false", 20, 0.125, 0.0),
        ("mifgsm", 10, 0.1, 1.0),
        ("mifgsm:steps=7,decay=0.5", 7, 1 / 7, 0.5),
    ],
)
def test_steps_along_the_gradient(
    spec: str,
    steps: int,
    share: float,
    momentum: float,
    threat: Threat,
    logistic: Logistic,
    pictures: np.ndarray,
    labels: np.ndarray,
) -> None:
    expected = climb(lambda at: logistic.slope(at, labels, threat), pictures, threat, steps, share, momentum)
    compare(run(spec, logistic.classifier, pictures, labels, threat), expected)


@by_threat
def test_the_random_start_of_pgd(threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    rng = own_draws(pictures)
    within = rng.uniform((8, 8, 3), -1.0, 1.0).numpy()
    if threat.norm is Norm.L2:
        # Normal numbers point anywhere; the 192nd root fills the ball evenly.
        way = rng.normal((8, 8, 3)).numpy()
        within = way / length(way) * rng.fold(1).uniform((1, 1, 1)).numpy() ** (1 / 192)
    point = pictures + threat.eps * within
    for _ in range(3):
        point = project(
            point + threat.eps * 2.5 / 3 * ahead(logistic.slope(point, labels, threat), threat), pictures, threat
        )
    compare(run("pgd:steps=3", logistic.classifier, pictures, labels, threat), point)


@by_threat
def test_the_two_steps_of_rfgsm(threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    begun = pictures + threat.eps / 2 * ahead(own_draws(pictures).normal((8, 8, 3)).numpy(), threat)
    moved = begun + threat.eps / 2 * ahead(logistic.slope(begun, labels, threat), threat)
    compare(run("rfgsm", logistic.classifier, pictures, labels, threat), project(moved, pictures, threat))


@by_threat
def test_nifgsm_looks_ahead(threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    flat = 1.0 if threat.norm is Norm.LINF else np.sqrt(192)
    point, total = pictures, np.zeros(pictures.shape)
    for _ in range(10):
        there = point + 0.1 * threat.eps * total / flat
        total = total + by_mean(logistic.slope(there, labels, threat))
        point = project(point + 0.1 * threat.eps * ahead(total, threat), pictures, threat)
    compare(run("nifgsm", logistic.classifier, pictures, labels, threat), point)


@by_threat
def test_vmifgsm_adds_the_variance_of_the_step_before(
    threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray
) -> None:
    point, total, variance = pictures, np.zeros(pictures.shape), 0.0
    for i in range(4):
        slope = logistic.slope(point, labels, threat)
        total = total + by_mean(slope + variance)
        around = []
        for j in range(2):
            rng = own_draws(pictures).fold(i).fold(j)
            within = rng.uniform((8, 8, 3), -1.0, 1.0).numpy()
            if threat.norm is Norm.L2:
                way = rng.normal((8, 8, 3)).numpy()
                within = way / length(way) * rng.fold(1).uniform((1, 1, 1)).numpy() ** (1 / 192)
            around.append(logistic.slope(point + 1.5 * threat.eps * within, labels, threat))
        variance = np.mean(around, axis=0) - slope
        point = project(point + threat.eps / 4 * ahead(total, threat), pictures, threat)
    compare(run("vmifgsm:steps=4,samples=2", logistic.classifier, pictures, labels, threat), point)


@by_threat
def test_tifgsm_smooths_before_it_sums(
    threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray
) -> None:
    weights = np.exp(-(np.linspace(-3, 3, 5) ** 2) / 2)
    kernel = np.outer(weights, weights)[None, :, :, None] / weights.sum() ** 2

    def slope(at: np.ndarray) -> np.ndarray:
        return ndimage.convolve(logistic.slope(at, labels, threat), kernel, mode="constant")

    expected = climb(slope, pictures, threat, steps=10, share=0.1, momentum=1.0)
    compare(run("tifgsm:kernel=5", logistic.classifier, pictures, labels, threat), expected)


@by_threat
def test_difgsm_takes_the_gradient_through_the_shrunk_image(
    threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray
) -> None:
    step, shrunk = iter(range(10)), 0

    def slope(at: np.ndarray) -> np.ndarray:
        nonlocal shrunk
        drawn = own_draws(pictures).fold(next(step)).uniform((4, 1)).numpy().astype(np.float64)[..., 0]
        # A row of the matrix is where a pixel of the shrunk image is read from, by nearest neighbours; zero is black.
        matrices = np.stack([np.eye(8)] * 10).reshape(2, 5, 8, 8)
        for row in np.flatnonzero(drawn[:, 0] < 0.5):
            side = int(np.round(8 * (0.5 + 0.5 * drawn[row, 1])))
            shrunk += side < 8
            for axis in range(2):
                start = int(drawn[row, 2 + axis] * (8 - side + 1))
                matrices[axis, row] = 0
                for place in range(side):
                    matrices[axis, row, start + place, int((place + 0.5) * 8 / side)] = 1
        seen = np.einsum("nij,njlc,nkl->nikc", matrices[0], at, matrices[1])
        return np.einsum("nij,nikc,nkl->njlc", matrices[0], logistic.slope(seen, labels, threat), matrices[1])

    expected = climb(slope, pictures, threat, steps=10, share=0.1, momentum=1.0)
    assert shrunk > 10
    compare(run("difgsm:smallest=0.5", logistic.classifier, pictures, labels, threat), expected)


def test_pgd_in_l1_moves_three_coordinates(logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    # A hundredth of 192 is less than three. Each goes a third of 2.5 eps, and comes back to a third of eps.
    expected = pictures.astype(np.float64).reshape(5, -1)
    for row, slope in zip(expected, logistic.slope(pictures, labels).reshape(5, -1), strict=True):
        greatest = np.argsort(-np.abs(slope))[:3]
        row[greatest] += 0.2 / 3 * np.sign(slope[greatest])
    spec = "pgd:random_start=false,steps=1"
    found = run(spec, logistic.classifier, pictures, labels, Threat(Norm.L1, 0.2))
    np.testing.assert_allclose(found.reshape(5, -1), expected, atol=1e-6)


# Of a bowl for each pixel: the gradient changes from step to step, unlike that of a line, so that moments tell.
CURVATURES = np.array([2.0, 5.0, 1.0, 8.0]).reshape(1, 2, 2, 1)
BOTTOMS = np.array([0.2, 0.55, 0.9, 0.4]).reshape(1, 2, 2, 1)
BOWL = np.array([[0.5, 0.5, 0.6, 0.45], [0.3, 0.7, 0.4, 0.6]], np.float32).reshape(2, 2, 2, 1)


def bowl(images: Tensor) -> Tensor:
    """Two logits, the first always ahead, by the least at the bottoms."""
    depth = tf.reduce_sum(tf.constant(CURVATURES, tf.float32) * (images - BOTTOMS) ** 2, axis=(1, 2, 3))
    return tf.stack([3 + depth, 0 * depth], axis=1)


def adam(mean: Any, square: Any, gradient: np.ndarray, time: int, corrected: bool = True) -> tuple[Any, Any, Any]:
    """Kingma and Ba's algorithm 1: -> the step, and the moments."""
    mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
    first, second = (1 - 0.9**time, 1 - 0.999**time) if corrected else (1, 1)
    return (mean / first) / (np.sqrt(square / second) + 1e-8), mean, square


def test_the_steps_of_cw() -> None:
    def descend(c: float, corrected: bool = True) -> np.ndarray:
        w, mean, square = np.arctanh((2 * BOWL.astype(np.float64) - 1) * 0.999999), 0.0, 0.0
        for time in range(1, 6):
            point = (np.tanh(w) + 1) / 2
            by_point = 2 * (point - BOWL) + c * 2 * CURVATURES * (point - BOTTOMS)
            step, mean, square = adam(mean, square, by_point * (1 - np.tanh(w) ** 2) / 2, time, corrected)
            w = w - 0.1 * step
        return (np.tanh(w) + 1) / 2

    attack = registry.build("attacks", "cw:steps=6,binary_steps=1,c=0.5,learning_rate=0.1")
    labels = tf.zeros(2, tf.int32)
    found = attack(bowl, tf.constant(BOWL), labels, Threat(Norm.L2, 10.0), own_draws(BOWL)).numpy()
    np.testing.assert_allclose(found, descend(0.5), atol=1e-5)
    assert np.abs(descend(0.5, corrected=False) - found).max() > 1e-3
    assert np.abs(descend(1.0) - found).max() > 1e-3


def test_the_steps_of_ddn(logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    steps, gamma = 8, 0.1
    point, delta, radius = pictures.astype(np.float64), np.zeros(pictures.shape), np.full((5, 1, 1, 1), 0.3)
    best, least = pictures.astype(np.float64), np.full(5, np.inf)

    def keep() -> None:
        nearer = logistic.is_adversarial(point, labels) & (length(point - pictures).ravel() < least)
        best[nearer], least[nearer] = point[nearer], length(point - pictures).ravel()[nearer]

    for i in range(steps):
        keep()
        slope = logistic.slope(point, labels)
        delta = delta + (0.01 + 0.99 * (1 + np.cos(np.pi * i / steps)) / 2) * slope / length(slope)
        radius = radius * np.where(logistic.is_adversarial(point, labels), 1 - gamma, 1 + gamma)[:, None, None, None]
        point = np.clip(pictures + radius * delta / length(delta), 0, 1)
        delta = point - pictures
    keep()
    assert np.isfinite(least).any()
    expected = np.where(np.isfinite(least)[:, None, None, None], best, point)
    spec = f"ddn:steps={steps},gamma={gamma},radius=0.3,refine=0"
    compare(run(spec, logistic.classifier, pictures, labels, Threat(Norm.L2, 10.0)), expected)


@pytest.mark.parametrize("threat", [L2, Threat(Norm.L2, 0.5, target=2)], ids=["away", "target"])
def test_the_estimate_of_nes(threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    estimate = np.zeros(pictures.shape)
    for i in range(3):
        way = own_draws(pictures).fold(0).fold(i).normal((8, 8, 3)).numpy().astype(np.float64)
        up, down = (logistic.loss(pictures + sign * 0.1 * way, labels, threat) for sign in (1, -1))
        estimate += (up - down)[:, None, None, None] * way
    assert threat.target not in labels, "an image that is won already takes no step"
    found = run("nes:queries=7,samples=6,sigma=0.1", logistic.classifier, pictures, labels, threat)
    # One step, whatever its length.
    moved = found - pictures
    np.testing.assert_allclose(moved / length(moved), estimate / length(estimate), atol=2e-3)


@pytest.mark.parametrize("threat", [Threat(eps=0.01), Threat(Norm.L2, 0.1)], ids=["linf", "l2"])
def test_nes_stays_in_the_ball_and_reaches_its_surface(
    threat: Threat, logistic: Logistic, pictures: np.ndarray, labels: np.ndarray
) -> None:
    found = run("nes:queries=36,samples=2,sigma=0.1", logistic.classifier, pictures, labels, threat)
    assert not logistic.is_adversarial(found, labels).any(), "an image that is won takes fewer steps"
    size = threat.size(tf.constant(found - pictures)).numpy()
    assert size.max() <= threat.eps * (1 + 1e-5)
    assert size.max() > 0.6 * threat.eps


def test_simba_keeps_what_raises_the_loss(logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    threat = Threat(Norm.L2, 0.7)
    order = np.argsort(own_draws(pictures).uniform([192]).numpy(), axis=1)
    point, loss = pictures.astype(np.float64), logistic.loss(pictures, labels, threat)
    is_adversarial = np.zeros(5, bool)
    for k in range(40):
        for row in np.flatnonzero(~is_adversarial):
            for sign in (1, -1):
                moved = point[row : row + 1].copy()
                moved.flat[order[row, k]] += sign * 0.2
                moved = project(moved, pictures[row : row + 1], threat)
                raised = logistic.loss(moved, labels[row : row + 1], threat)[0]
                if raised > loss[row]:
                    point[row], loss[row], is_adversarial[row] = (
                        moved[0],
                        raised,
                        logistic.is_adversarial(moved, labels[row : row + 1])[0],
                    )
                    break
    compare(run("simba:queries=81", logistic.classifier, pictures, labels, threat), point)


def test_simba_goes_up_before_it_goes_down() -> None:
    # From the top of a hill both ways raise the loss by as much.
    images = tf.fill((2, 2, 2, 1), 0.5)

    def hill(points: Tensor) -> Tensor:
        height = 3 - tf.reduce_sum(tf.square(points - 0.5), axis=(1, 2, 3))
        return tf.stack([height, 0 * height], axis=1)

    attack = registry.build("attacks", "simba:queries=9")
    found = attack(hill, images, tf.zeros(2, tf.int32), Threat(Norm.L2, 10.0), own_draws(images.numpy()))
    np.testing.assert_allclose(found, 0.7, atol=1e-6)


def test_the_normal_that_hopskipjump_estimates(logistic: Logistic, pictures: np.ndarray) -> None:
    plane = np.random.default_rng(4).normal(size=(8, 8, 3))
    point = np.roll(pictures, 1, axis=0)
    # A third of the neighbours or so is on the other side.
    edge = (point * plane).sum(axis=(1, 2, 3)) + 0.005 * np.arange(5) * length(point - pictures).ravel()

    def is_adversarial(points: Tensor) -> Tensor:
        return tf.reduce_sum(points * tf.constant(plane, tf.float32), axis=(1, 2, 3)) > tf.constant(edge, tf.float32)

    rng = own_draws(pictures)
    found = (
        HopSkipJump()
        ._normal(is_adversarial, tf.constant(pictures), tf.constant(point), tf.constant(20), Threat(Norm.L2, 1.0), rng)
        .numpy()
    )
    reach = 0.01 * length(point - pictures)
    ways = np.stack([rng.fold(i).normal((8, 8, 3)).numpy() for i in range(20)])
    ways = ways / np.sqrt((ways**2).sum(axis=(2, 3, 4), keepdims=True))
    votes = np.where(((point + reach * ways) * plane).sum(axis=(2, 3, 4)) > edge, 1.0, -1.0)
    assert (np.abs(votes.mean(axis=0)) > 0.2).sum() > 1
    # Where all agree, their mean is not taken off: nothing would be left.
    share = np.where(np.abs(votes.mean(axis=0)) < 1, votes.mean(axis=0), 0)
    expected = ((votes - share)[..., None, None, None] * ways).sum(axis=0)
    np.testing.assert_allclose(found, expected, atol=2e-3)
    assert np.abs((votes[..., None, None, None] * ways).sum(axis=0) - expected).max() > 0.1


def test_hopskipjump_halves_a_step_until_it_stays_wrong() -> None:
    # The first image is wrong up to .1 away, the second never, the third anywhere.
    start = np.full((3, 2, 2, 1), 0.2, np.float32)
    limits = tf.constant([0.1, -1.0, 9.0])
    seen = []

    def is_adversarial(points: Tensor) -> Tensor:
        distance = tf.reduce_max(points - start, axis=(1, 2, 3))
        seen.append(distance.numpy())
        return distance < limits

    moved = _forward(is_adversarial, tf.constant(start), tf.ones_like(start), tf.constant([0.64, 0.64, 0.5])).numpy()
    np.testing.assert_allclose((moved - start).max(axis=(1, 2, 3)), [0.08, 0, 0.5], atol=1e-6)
    np.testing.assert_allclose(np.stack(seen)[:, 1], 0.64 / 2.0 ** np.arange(10), rtol=1e-3)


def test_the_steps_of_a_patch(logistic: Logistic, pictures: np.ndarray, labels: np.ndarray) -> None:
    # A square as large as the image and never turned is what the network sees.
    attack = Patch(size=1.0, scale=0.0, degrees=0.0, shape="square", learning_rate=0.1)
    threat, state = Threat(target=2), attack.start((8, 8), 3)
    texture, mean, square = np.full((8, 8, 3), 0.5), 0.0, 0.0
    for time in range(1, 5):
        tensors = tf.constant(pictures), tf.constant(labels, tf.int32)
        state = attack.ascend(logistic.classifier.logits, state, *tensors, threat, own_draws(pictures))
        seen = np.broadcast_to(texture, pictures.shape)
        gradient = logistic.slope(seen, labels, threat).sum(axis=0)
        step, mean, square = adam(mean, square, gradient, time)
        texture = np.clip(texture + 0.1 * step, 0, 1)
        np.testing.assert_allclose(attack.pattern(state)[..., :3], texture, atol=2e-4)


@pytest.mark.parametrize(("size", "side"), [(0.01, 1), (0.2, 2), (0.5, 4), (1.0, 8)])
def test_the_pixels_of_a_patch(size: float, side: int) -> None:
    assert Patch(size=size).start((8, 8), 3).texture.shape == (side, side, 3)


@pytest.mark.parametrize("threat", [Threat(eps=0.1), Threat(Norm.L2, 1.0), Threat(eps=0.1, target=2)])
def test_the_steps_of_a_universal_perturbation(threat: Threat, logistic: Logistic) -> None:
    attack, state = UniversalPerturbation(clip=0.3), UniversalPerturbation().start((8, 8), 3)
    generator = np.random.default_rng(1)
    delta, velocity = np.zeros((8, 8, 3)), np.zeros((8, 8, 3))
    stopped = 0
    for _ in range(12):
        images = generator.uniform(0, 1, (6, 8, 8, 3)).astype(np.float32)
        labels = logistic.logits(images).argmax(axis=1)
        tensors = tf.constant(images), tf.constant(labels, tf.int32)
        state = attack.ascend(logistic.classifier.logits, state, *tensors, threat, own_draws(images))
        seen = np.clip(images + delta, 0, 1)
        counts = logistic.loss(seen, labels, threat) < 0.3
        stopped += int((~counts).sum())
        velocity = 0.9 * velocity + logistic.slope(seen, labels, threat)[counts].sum(axis=0)
        moved = delta[None] + 0.1 * threat.eps * ahead(velocity[None], threat)
        if threat.norm is Norm.LINF:
            delta = np.clip(moved[0], -threat.eps, threat.eps)
        else:
            delta = (moved * np.minimum(1, threat.eps / length(moved)))[0]
        compare(attack.pattern(state).numpy(), delta)
    assert (stopped > 0) == (threat.target is None)
