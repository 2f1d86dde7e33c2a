"""The square attack: its schedule, its shapes, and that it never asks for a gradient."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.attacks.square import Square, bump_of, side_of
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier
from test_attacks import check

SIDES = {0: 57, 10: 57, 11: 40, 50: 40, 51: 29, 200: 29, 201: 20, 500: 20, 501: 14, 1000: 14, 1001: 10, 2000: 10}
SIDES |= {2001: 7, 4000: 7, 4001: 5, 4999: 5}


def sides(attack: Square, least: int = 1, height: int = 64, width: int = 64) -> list[int]:
    shape = tf.constant([1, height, width, 3])
    shares, where = np.unique(attack.shares().numpy(), return_inverse=True)
    return np.array([int(side_of(share, shape, least)) for share in shares])[where].tolist()


def test_schedule_at_64_pixels() -> None:
    found = sides(Square())
    assert len(found) == 5000
    assert {query: found[query] for query in SIDES} == SIDES
    assert found == sorted(found, reverse=True)


def test_schedule_stretched_over_few_queries() -> None:
    shares = Square(queries=100, rescale=True).shares().numpy()
    assert shares[0] == pytest.approx(0.8)
    assert shares[99] == pytest.approx(0.8 / 512)
    assert (np.diff(shares) <= 0).all()


def test_l2_windows_are_odd_and_fit_the_image() -> None:
    found = set(sides(Square(), least=3))
    assert all(side % 2 for side in found)
    assert min(found) == 5
    assert max(sides(Square(), least=3, height=20, width=13)) == 13
    assert set(sides(Square(), least=3, height=2, width=2)) == {2}


def test_a_bump_by_hand() -> None:
    hill = np.array([[0.25, 1.25, 0.25], [0, 0, 0], [0, 0, 0]])
    valley = np.array([[0, 0, 0], [0.25, 0.25, 0.25], [0.25, 1.25, 0.25]])
    expected = (hill / np.linalg.norm(hill) - valley / np.linalg.norm(valley)) / np.sqrt(2)
    np.testing.assert_allclose(bump_of(tf.constant(3)), expected, atol=1e-6)


@pytest.mark.parametrize("side", [1, 2, 5, 12])
def test_bumps_have_length_one(side: int) -> None:
    bump = bump_of(tf.constant(side)).numpy()
    assert np.linalg.norm(bump) == pytest.approx(1, abs=1e-6)
    assert (bump[: side // 2] > 0).all()
    assert (bump[side // 2 :] < 0).all()


def run(attack: Square, logits_fn: Any, pictures: np.ndarray, labels: np.ndarray, threat: Threat) -> np.ndarray:
    seeds = tf.constant(image_seeds(pictures, 0))
    search = tf.function(
        lambda images: attack(logits_fn, images, tf.constant(labels, tf.int32), threat, ImageRng(seeds))
    )
    return search(tf.constant(pictures)).numpy()


def test_unbroken_images_have_every_pixel_on_a_face(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    adversarial, queries = CompiledAttack(linear, Square(queries=50), Threat(eps=1e-4))(pictures, labels)
    np.testing.assert_allclose(np.abs(adversarial - pictures), 1e-4, atol=1e-7)
    # The image itself, the start, the queries, and a look at what came out.
    assert (queries == 1 + 1 + 50 + 1).all()


def test_the_start_has_vertical_stripes(pictures: np.ndarray) -> None:
    seen = []

    def logits_fn(images: Tensor) -> Tensor:
        seen.append(images.numpy())
        return tf.tile([[1.0, 0.0]], [len(images), 1])

    images = tf.constant(pictures)
    Square(queries=1)(
        logits_fn, images, tf.zeros(5, tf.int32), Threat(eps=0.1), ImageRng(tf.constant(image_seeds(pictures, 0)))
    )
    stripes = seen[1] - pictures
    np.testing.assert_allclose(np.abs(stripes), 0.1, atol=1e-6)
    np.testing.assert_allclose(stripes, np.broadcast_to(stripes[:, :1], stripes.shape), atol=1e-6)
    assert len({stripe.tobytes() for stripe in np.sign(stripes)}) == 5


@pytest.mark.parametrize("shape", [(8, 8), (20, 13), (3, 9)])
def test_l2_uses_the_whole_radius(shape: tuple[int, int]) -> None:
    pictures = np.random.default_rng(0).uniform(0.4, 0.6, (4, *shape, 3)).astype(np.float32)
    kernel = tf.constant(np.random.default_rng(1).normal(size=(pictures[0].size, 2)), tf.float32)

    def logits_fn(images: Tensor) -> Tensor:
        return tf.reshape(images, [-1, pictures[0].size]) @ kernel

    labels = logits_fn(tf.constant(pictures)).numpy().argmax(axis=1)
    adversarial = run(Square(queries=200), logits_fn, pictures, labels, Threat(Norm.L2, 1e-3))
    sizes = np.linalg.norm((adversarial - pictures).reshape(4, -1), axis=1)
    np.testing.assert_allclose(sizes, 1e-3, rtol=1e-3)


@pytest.mark.parametrize(("norm", "share"), [(Norm.LINF, 0.75), (Norm.L2, 0.45)])
def test_queries_bring_it_near_to_the_optimum(norm: Norm, share: float, linear: Classifier) -> None:
    """On a linear model the greatest fall of the margin is eps times the dual norm of its gradient."""
    pictures = np.random.default_rng(0).uniform(0.4, 0.6, (4, 8, 8, 3)).astype(np.float32)
    kernel, _ = (weights.numpy() for weights in linear.model.weights)
    eps = 1e-3 if norm is Norm.LINF else 1e-2
    logits = linear.logits(tf.constant(pictures)).numpy()
    second, label = np.argsort(logits, axis=1)[:, -2:].T
    adversarial, _ = CompiledAttack(linear, Square(queries=1500), Threat(norm, eps))(pictures, label)
    moved = linear.logits(tf.constant(adversarial)).numpy()
    fall = (logits - moved)[np.arange(4), label] - (logits - moved)[np.arange(4), second]
    most = eps * np.linalg.norm(kernel[:, label] - kernel[:, second], 1 if norm is Norm.LINF else 2, axis=0)
    assert (fall > share * most).all()
    assert (fall <= 1.01 * most).all()


class Quantising:
    """A model that rounds its input, so that its gradient is zero everywhere."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        return self.inner(tf.round(images * 32) / 32, training=training)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_a_masked_gradient_stops_pgd_and_not_square(linear: Classifier, pictures: np.ndarray, norm: Norm) -> None:
    masked = replace(linear, model=Quantising(linear.model))
    labels = masked.predict(pictures).argmax(axis=1)
    threat = Threat(norm, {Norm.LINF: 0.1, Norm.L2: 1.3}[norm])

    def right(spec: str) -> int:
        adversarial, _ = CompiledAttack(masked, registry.build("attacks", spec), threat)(pictures, labels)
        return int((masked.predict(adversarial).argmax(axis=1) == labels).sum())

    assert right("pgd:steps=100") >= 4
    assert right("square:queries=1000") == 0


def test_no_gradient_is_asked_for(linear: Classifier, pictures: np.ndarray) -> None:
    kernel, bias = (tf.constant(weights.numpy()) for weights in linear.model.weights)

    @tf.custom_gradient
    def forward_only(images: Tensor) -> Any:
        def backward(upstream: Tensor) -> Tensor:
            raise AssertionError("a gradient was asked for")

        return tf.reshape(images, [-1, kernel.shape[0]]) @ kernel + bias, backward

    labels = linear.predict(pictures).argmax(axis=1)
    for norm, eps in ((Norm.LINF, 0.1), (Norm.L2, 1.3)):
        assert np.isfinite(run(Square(queries=20), forward_only, pictures, labels, Threat(norm, eps))).all()
    seeds = ImageRng(tf.constant(image_seeds(pictures, 0)))
    with pytest.raises(AssertionError, match="a gradient was asked for"):
        registry.build("attacks", "pgd")(forward_only, tf.constant(pictures), labels, Threat(eps=0.1), seeds)


def test_leaving_the_batch_does_not_change_the_verdict(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    for norm, eps in ((Norm.LINF, 0.04), (Norm.L2, 0.5)):
        verdicts = []
        for stop in (True, False):
            adversarial, _ = CompiledAttack(linear, Square(queries=200, stop=stop), Threat(norm, eps))(pictures, labels)
            verdicts.append((linear.predict(adversarial).argmax(axis=1) == labels).tolist())
        assert verdicts[0] == verdicts[1]


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_a_given_target_is_reached(linear: Classifier, pictures: np.ndarray, norm: Norm) -> None:
    target = 2
    labels = linear.predict(pictures).argmax(axis=1)
    threat = Threat(norm, {Norm.LINF: 0.25, Norm.L2: 3.0}[norm], target)
    adversarial, _ = CompiledAttack(linear, Square(queries=500), threat)(pictures, labels)
    assert (linear.predict(adversarial).argmax(axis=1) == target).all()


def test_single_channel_images_and_restarts() -> None:
    grey = np.random.default_rng(3).uniform(0.3, 0.7, (5, 8, 8, 1)).astype(np.float32)
    classifier = make_classifier("small:width=8", channels=1)
    for norm, eps in ((Norm.LINF, 0.05), (Norm.L2, 0.5)):
        check(Square(queries=50, restarts=2), classifier, grey, Threat(norm, eps))


@pytest.mark.parametrize("options", ["queries=0", "restarts=0", "p=0", "p=1.5"])
def test_nonsense_is_refused(options: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", f"square:{options}")


def test_headway_is_seen_where_cross_entropy_is_rounded_to_zero() -> None:
    confident = make_classifier("linear", classes=2)
    kernel, bias = confident.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    bias.assign([200.0, 0.0])
    pictures = np.full((2, 8, 8, 3), 0.5, np.float32)
    labels = confident.predict(pictures).argmax(axis=1)
    adversarial, _ = CompiledAttack(confident, Square(queries=20), Threat(eps=1e-3))(pictures, labels)
    assert np.abs(adversarial - pictures).max() > 0.9e-3
