"""AutoAttack in l1 and its members, against linear programmes and closed forms on linear models."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import linprog

from advcli import registry
from advcli.attacks._descent import Descent
from advcli.attacks._minimal import dual_size, to_hyperplane
from advcli.attacks._rounds import on_the_surface
from advcli.attacks.autoattack import AutoAttack
from advcli.attacks.square import Square, _bump, _State, bump_of
from advcli.backend import Tensor, tf
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.perturbations import protocol_of
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

L1 = Threat(Norm.L1, 1.0)


def least(point: np.ndarray, normal: np.ndarray, height: float) -> float:
    """The least l1 norm of d for which ``height + <normal, d> = 0`` and the point stays in the box: by a solver."""
    point, normal = point.ravel().astype(float), normal.ravel().astype(float)
    found = linprog(
        np.ones(2 * point.size),
        A_eq=np.concatenate([normal, -normal])[None],
        b_eq=[-height],
        bounds=[*((0, 1 - pixel) for pixel in point), *((0, pixel) for pixel in point)],
    )
    assert found.success
    return float(found.fun)


def most(point: np.ndarray, slope: np.ndarray, eps: float) -> float:
    """The greatest ``<slope, d>`` in the ball and the box: the budget goes to the steepest pixels that have room."""
    room = np.where(slope > 0, 1 - point, point).ravel()
    order = np.argsort(-np.abs(slope), axis=None)
    before = np.cumsum(room[order]) - room[order]
    return float((np.clip(eps - before, 0, room[order]) * np.abs(slope).ravel()[order]).sum())


@pytest.fixture(scope="module")
def two() -> Classifier:
    """Logistic regression of two classes."""
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return classifier


@pytest.fixture(scope="module")
def bright() -> np.ndarray:
    """Images of which every third pixel is black or white, so that a step meets the box."""
    generator = np.random.default_rng(8)
    images = generator.uniform(0, 1, (4, 8, 8, 3))
    images[:, ::3] = generator.integers(0, 2, images[:, ::3].shape)
    return images.astype(np.float32)


def distances(two: Classifier, images: np.ndarray) -> list[float]:
    kernel, bias = (weights.numpy() for weights in two.model.weights)
    normal = kernel[:, 1] - kernel[:, 0]
    return [least(image, normal, float(image.ravel() @ normal + bias[1] - bias[0])) for image in images]


def search(spec: str, classifier: Classifier, images: np.ndarray, threat: Threat) -> np.ndarray:
    """Search without tracing first, which takes longer than a few steps on a tiny model."""
    labels = tf.constant(classifier.predict(images).argmax(axis=1), tf.int32)
    rng = ImageRng(tf.constant(image_seeds(images, 0)))
    attack = registry.build("attacks", spec)
    return attack(classifier.logits, tf.constant(images), labels, threat, rng).numpy()


# The projection onto a hyperplane.


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_the_projection_is_as_short_as_a_solvers(share: float) -> None:
    generator = np.random.default_rng(0)
    points = generator.uniform(0, 1, (4, 9, 10, 3)).astype(np.float32)
    points[:, 0] = generator.integers(0, 2, points[:, 0].shape)
    normals = generator.normal(size=points.shape).astype(np.float32)
    normals[:, :, 0] = 0
    normals[:, 1, :, 0] = 0.5
    signs = np.where(np.arange(4) % 2, -1, 1)
    room = np.where(-signs[:, None, None, None] * normals > 0, 1 - points, points)
    heights = (signs * share * (np.abs(normals) * room).sum(axis=(1, 2, 3))).astype(np.float32)
    steps = to_hyperplane(tf.constant(points), tf.constant(normals), tf.constant(heights), Norm.L1).numpy()
    assert (points + steps).min() >= -1e-6
    assert (points + steps).max() <= 1 + 1e-6
    for point, normal, height, step in zip(points, normals, heights, steps, strict=True):
        assert height + (normal * step).sum() == pytest.approx(0, abs=1e-4)
        assert np.abs(step).sum() == pytest.approx(least(point, normal, height), rel=1e-5)
        # All but one of the pixels that it moves are black or white in the end.
        between = (step != 0) & (np.abs(point + step - 0.5) < 0.5 - 1e-6)
        assert between.sum() <= 1


def test_a_hyperplane_out_of_reach_and_a_flat_function() -> None:
    points = tf.fill([2, 3, 3, 1], 0.25)
    normals = tf.reshape(tf.constant([1.0, -1.0, 0.0] * 6), [2, 3, 3, 1])
    steps = to_hyperplane(points, normals, tf.constant([-100.0, 100.0]), Norm.L1).numpy()
    np.testing.assert_array_equal(steps[0].ravel(), [0.75, -0.25, 0] * 3)
    np.testing.assert_array_equal(steps[1].ravel(), [-0.25, 0.75, 0] * 3)
    flat = to_hyperplane(points, tf.zeros_like(points), tf.constant([1.0, 0.0]), Norm.L1)
    np.testing.assert_array_equal(flat, np.zeros((2, 3, 3, 1)))


def test_the_other_rows_of_a_batch_do_not_change_a_projection() -> None:
    points, normals = (
        tf.random.stateless_uniform([2, 20, 20, 3], (1, 2)),
        tf.random.stateless_normal([2, 20, 20, 3], (3, 4)),
    )
    together = to_hyperplane(points, normals, tf.constant([0.1, 300.0]), Norm.L1)
    alone = to_hyperplane(points[:1], normals[:1], tf.constant([0.1]), Norm.L1)
    np.testing.assert_array_equal(together[:1], alone)


def test_the_dual_of_l1_is_the_greatest_entry() -> None:
    gradient = tf.reshape(tf.constant([3.0, -4.0, 0.0, 1.0]), [1, 2, 2, 1])
    assert dual_size(gradient, L1).numpy().tolist() == [4.0]


# FAB.


def test_fab_finds_the_least_perturbation_of_a_linear_model(two: Classifier, bright: np.ndarray) -> None:
    labels = two.predict(bright).argmax(axis=1)
    adversarial = search("fab:steps=30,refine=0", two, bright, replace(L1, eps=50.0))
    assert (two.predict(adversarial).argmax(axis=1) != labels).all()
    ratio = L1.size(tf.constant(adversarial - bright)).numpy() / distances(two, bright)
    # Steps go 5% past the boundary.
    assert ratio.min() >= 1
    assert ratio.max() <= 1.051


def test_the_boundary_is_inside_the_ball_or_not(two: Classifier, bright: np.ndarray) -> None:
    image, distance = bright[:1], distances(two, bright[:1])[0]
    for factor, broken in ((0.98, False), (1.06, True)):
        threat = replace(L1, eps=factor * distance)
        adversarial = search("fab:steps=20,stop=true", two, image, threat)
        assert (two.predict(adversarial).argmax() != two.predict(image).argmax()) == broken
        assert L1.size(tf.constant(adversarial - image)).numpy()[0] <= threat.eps * (1 + 1e-6)


def test_the_descent_that_follows_stays_in_l1_balls(two: Classifier, bright: np.ndarray) -> None:
    images, labels = tf.constant(bright[:2]), tf.constant(two.predict(bright[:2]).argmax(axis=1), tf.int32)
    found, point = Descent(40)(two.logits, images, labels, L1)
    ratio = found.size.numpy() / distances(two, bright[:2])
    assert ratio.min() >= 0.9999
    assert ratio.max() < 1.2
    # A ball of another norm would let every pixel move.
    assert (point.numpy() != bright[:2]).mean() < 0.5


def test_restarts_begin_on_the_surface_in_every_pixel(pictures: np.ndarray) -> None:
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    delta = on_the_surface(replace(L1, eps=3.0), tf.constant(pictures), rng).numpy()
    np.testing.assert_allclose(np.abs(delta).sum(axis=(1, 2, 3)), 3.0, rtol=1e-5)
    assert (delta != 0).mean() > 0.99


# Square.


def test_a_pointed_bump_by_hand() -> None:
    hill = np.array([[1, 17, 1], [0, 0, 0], [0, 0, 0]]) / 19
    valley = np.array([[0, 0, 0], [1, 1, 1], [1, 17, 1]]) / 22
    np.testing.assert_allclose(bump_of(tf.constant(3), Norm.L1), (hill - valley) / 2, atol=1e-6)
    for side in (2, 5, 12):
        assert np.abs(bump_of(tf.constant(side), Norm.L1)).sum() == pytest.approx(1, abs=1e-5)


def test_the_mass_of_one_window_goes_to_the_other() -> None:
    """Two windows of 3 x 3: both are emptied, and their mass and the rest of the budget form a bump in the first."""
    images = np.full((1, 9, 9, 2), 0.5, np.float32)
    delta = np.zeros_like(images)
    delta[0, 1, 1], delta[0, 7, 7], delta[0, 4, 0] = (0.1, -0.05), (0.03, 0.02), (0.04, 0.0)
    threat = replace(L1, eps=0.3)
    coin = 0.25
    sampled = tf.constant([[0.0, 0.0, 0.99, 0.99, coin, 0.7, 0.2]])
    fixed = tf.constant(images)
    state = _State(tf.range(1), fixed, fixed, fixed, tf.zeros(1, tf.int32), tf.constant(images + delta), tf.zeros(1))
    found = _bump(state, threat, tf.constant(9 / 81), sampled).numpy() - images
    bump = bump_of(tf.constant(3), Norm.L1).numpy()
    expected = np.zeros_like(images)
    expected[0, 4, 0] = delta[0, 4, 0]
    for channel, sign in ((0, 1.0), (1, -1.0)):
        old = delta[0, :3, :3, channel]
        fresh = sign * bump + old / np.abs(old).sum()
        mass = (0.3 - 0.24) + 2 * (np.abs(old).sum() + np.abs(delta[0, 6:, 6:, channel]).sum())
        expected[0, :3, :3, channel] = mass * fresh / np.abs(fresh).sum()
    expected = threat.project(tf.constant(images + expected), images).numpy() - images
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert np.abs(found).sum() == pytest.approx(0.3, abs=1e-5)


def test_random_search_approaches_the_optimum_without_gradients(two: Classifier, bright: np.ndarray) -> None:
    kernel, bias = (tf.constant(weights.numpy()) for weights in two.model.weights)

    @tf.custom_gradient
    def forward_only(images: Tensor) -> Any:
        def backward(upstream: Tensor) -> Tensor:
            raise AssertionError("a gradient was asked for")

        return tf.reshape(images, [-1, kernel.shape[0]]) @ kernel + bias, backward

    label = two.predict(bright).argmax(axis=1)
    threat, attack = replace(L1, eps=0.5), Square(queries=1500)
    rng = ImageRng(tf.constant(image_seeds(bright, 0)))
    traced = tf.function(lambda images: attack(forward_only, images, tf.constant(label, tf.int32), threat, rng))
    adversarial = traced(tf.constant(bright)).numpy()
    np.testing.assert_allclose(L1.size(tf.constant(adversarial - bright)), 0.5, rtol=1e-4)
    slope = (kernel[:, 1] - kernel[:, 0]).numpy()
    for image, point, away in zip(bright, adversarial, label, strict=True):
        towards = slope if away == 0 else -slope
        gained = float((point - image).ravel() @ towards)
        assert 0.4 < gained / most(image.ravel(), towards, 0.5) <= 1.001


# The suite.


def test_members_in_l1_are_those_of_the_paper() -> None:
    standard = AutoAttack()
    specs = standard.members_in(Norm.L1)
    ce, targeted, fab, square = (registry.build("attacks", spec) for spec in specs)
    assert (ce.loss, ce.steps, ce.restarts, ce.larger_eps) == ("ce", 100, 5, True)
    assert (targeted.loss, targeted.steps, targeted.restarts) == ("dlr-targeted", 100, 1)
    assert (targeted.targets, targeted.larger_eps) == (5, True)
    assert (fab.targets, fab.steps, fab.restarts, square.queries) == (9, 100, 1, 5000)
    for norm in (Norm.LINF, Norm.L2):
        assert standard.members_in(norm)[:2] == ("apgd:loss=ce", "apgd:loss=dlr-targeted")
    for version in ("plus", "rand"):
        assert AutoAttack(version).members_in(Norm.L1) == AutoAttack(version).members_in(Norm.L2)
    protocol = protocol_of("autoattack", standard, 10, Norm.L1)
    assert protocol.startswith("AutoAttack standard: apgd:loss=ce,steps=100,restarts=5,")
    assert "larger_eps=True; apgd:loss=dlr-targeted,steps=100,restarts=1,targets=5," in protocol


def test_the_suite_runs_the_members_of_its_norm(two: Classifier, bright: np.ndarray) -> None:
    image, distance = bright[:1], distances(two, bright[:1])[0]
    compiled_attack = CompiledAttack(two, AutoAttack(), replace(L1, eps=1.02 * distance))
    adversarial, _ = compiled_attack(image, two.predict(image).argmax(axis=1))
    assert (two.predict(adversarial).argmax(axis=1) != two.predict(image).argmax(axis=1)).all()
    assert compiled_attack._members[0].attack == registry.build("attacks", "apgd:restarts=5,larger_eps=true")
    assert [member.traces for member in compiled_attack._members] == [1, 0, 0, 0]


def test_an_integer_radius_is_a_number_like_any_other(two: Classifier, bright: np.ndarray) -> None:
    threat = Threat(Norm.L1, 12)
    assert isinstance(threat.eps, float)
    search("apgd:steps=2", two, bright[:1], threat)
