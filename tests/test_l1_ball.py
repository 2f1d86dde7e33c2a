"""The projection onto the l1 ball inside the box, against what defines it."""

import numpy as np
import pytest
from scipy.optimize import minimize

from advcli.backend import tf
from advcli.threat import l1_ball


def project(adversarial: np.ndarray, original: np.ndarray, eps: float) -> np.ndarray:
    return l1_ball.project(tf.constant(adversarial), tf.constant(original), eps).numpy()


def images(shape: tuple[int, ...], spread: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Originals, some at the box's faces, and points around them."""
    generator = np.random.default_rng(seed)
    original = generator.uniform(-0.1, 1.1, shape).clip(0, 1).astype(np.float32)
    return (original + generator.normal(0, spread, shape)).astype(np.float32), original


@pytest.mark.parametrize("eps", [0.05, 0.7, 2.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_solver_finds_the_same_point(eps: float, seed: int) -> None:
    adversarial, original = images((1, 2, 3, 1), 0.8, seed)
    start, target = original.ravel().astype(float), adversarial.ravel().astype(float)
    # Two halves of the perturbation, up and down, make the problem smooth.
    found = minimize(
        lambda halves: np.square(start + halves[:6] - halves[6:] - target).sum(),
        np.zeros(12),
        bounds=[*((0, 1 - pixel) for pixel in start), *((0, pixel) for pixel in start)],
        constraints={"type": "ineq", "fun": lambda halves: eps - halves.sum()},
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    np.testing.assert_allclose(
        project(adversarial, original, eps).ravel(), start + found.x[:6] - found.x[6:], atol=2e-5
    )


@pytest.mark.parametrize("shape", [(7, 1, 1, 1), (5, 3, 4, 3), (4, 40, 50, 3)])
@pytest.mark.parametrize("spread", [0.001, 0.1, 3.0])
@pytest.mark.parametrize("eps", [0.0, 0.01, 1.0, 12.0, 1e5])
def test_the_conditions_of_optimality_hold(shape: tuple[int, ...], spread: float, eps: float) -> None:
    adversarial, original = images(shape, spread)
    projected = project(adversarial, original, eps)
    for point, centre, end in zip(adversarial.astype(float), original.astype(float), projected, strict=True):
        moved, wanted = end - centre, point - centre
        room = np.where(wanted > 0, 1 - centre, centre)
        length = np.abs(moved).sum()
        assert length <= eps * (1 + 1e-12)
        assert (moved * wanted >= 0).all()
        # All pixels that are neither full nor back at the centre gave up the same.
        given_up = np.abs(wanted) - np.abs(moved)
        inner = (np.abs(moved) < room) & (moved != 0)
        shrink = given_up[inner].mean() if inner.any() else 0.0
        np.testing.assert_allclose(given_up[inner], shrink, atol=1.3e-7)
        if inner.any():
            assert (given_up[(np.abs(moved) == room) & (room > 0)] >= shrink - 1.3e-7).all()
            assert (given_up[(moved == 0) & (room > 0)] <= shrink + 1.3e-7).all()
            # It gave up nothing unless the ball was full; rounding to float32 goes towards the centre.
            assert shrink < 1.3e-7 or length >= eps - 1.3e-7 * inner.sum()


def test_what_is_inside_is_unchanged_to_the_last_bit() -> None:
    adversarial, original = images((6, 9, 9, 3), 0.01)
    inside = adversarial.clip(0, 1)
    eps = float(np.abs(inside.astype(float) - original).sum(axis=(1, 2, 3)).max())
    assert project(inside, original, eps).tobytes() == inside.tobytes()
    assert project(original, original, 0.0).tobytes() == original.tobytes()
    surface = project(adversarial, original, 0.5)
    assert project(surface, original, 0.5).tobytes() == surface.tobytes()


def test_a_radius_of_zero_leaves_the_original() -> None:
    adversarial, original = images((6, 9, 9, 3), 1.0)
    assert project(adversarial, original, 0.0).tobytes() == original.tobytes()


def test_images_without_room_do_not_move() -> None:
    white = np.ones((2, 3, 3, 1), np.float32)
    np.testing.assert_array_equal(project(white + 2, white, 1.0), white)
    np.testing.assert_array_equal(project(-white, 0 * white, 1.0), 0 * white)


def test_an_image_is_projected_for_itself() -> None:
    adversarial, original = images((4, 6, 6, 3), 1.0)
    adversarial[1], adversarial[2] = original[1], original[2] + 1e-4
    together = project(adversarial, original, 1.5)
    for index in range(4):
        alone = project(adversarial[index : index + 1], original[index : index + 1], 1.5)
        assert alone.tobytes() == together[index : index + 1].tobytes()


def test_no_images_are_no_error() -> None:
    none = np.zeros((0, 4, 4, 3), np.float32)
    assert project(none, none, 1.0).shape == none.shape
    assert l1_ball.sparse_step(tf.constant(none), 0.1).shape == none.shape


def test_each_image_may_have_its_own_sparsity() -> None:
    gradient = tf.constant(np.random.default_rng(0).normal(size=(3, 10, 10, 1)), tf.float32)
    step = l1_ball.sparse_step(gradient, tf.constant([0.0, 0.05, 1.0])).numpy()
    assert np.count_nonzero(step, axis=(1, 2, 3)).tolist() == [1, 5, 100]
    np.testing.assert_allclose(np.abs(step).sum(axis=(1, 2, 3)), 1, rtol=1e-6)
    assert not l1_ball.sparse_step(tf.zeros_like(gradient), 0.5).numpy().any()
