import numpy as np
import pytest

from advcli.backend import tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

# Balls that are convex; what holds in l0 is in test_l0.py.
EVERY = pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2, Norm.L1])


def rng(count: int, seed: int = 0) -> ImageRng:
    return ImageRng(tf.constant([[i, seed] for i in range(count)], tf.int32))


@EVERY
def test_projection_ends_in_ball_and_box_and_keeps_what_is_inside(norm: Norm) -> None:
    threat = Threat(norm, 0.2)
    generator = np.random.default_rng(0)
    original = tf.constant(generator.random((6, 4, 4, 3)), tf.float32)
    far = tf.constant(generator.normal(size=(6, 4, 4, 3)), tf.float32)
    near = tf.clip_by_value(original + 0.004 * tf.sign(far), 0, 1)
    projected = threat.project(far, original)
    assert threat.size(projected - original).numpy().max() <= 0.2 + 1e-6
    assert projected.numpy().min() >= 0
    assert projected.numpy().max() <= 1
    np.testing.assert_allclose(threat.project(near, original), near, atol=1e-7)


@EVERY
def test_a_radius_that_grows_is_a_tensor(norm: Norm) -> None:
    generator = np.random.default_rng(0)
    original, far = (tf.constant(generator.random((6, 4, 4, 3)), tf.float32) for _ in range(2))
    fixed, growing = Threat(norm, 0.25), Threat(norm, tf.constant(0.25))
    np.testing.assert_allclose(growing.project(far, original), fixed.project(far, original), atol=1e-6)
    np.testing.assert_allclose(growing.sample(original, rng(6)), fixed.sample(original, rng(6)), atol=1e-6)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_the_steepest_step_has_length_one_and_gains_most(norm: Norm) -> None:
    threat = Threat(norm, 1e-3)
    gradient = tf.constant(np.random.default_rng(0).normal(size=(3, 4, 4, 1)), tf.float32)
    step = threat.steepest(gradient)
    np.testing.assert_allclose(threat.size(step), 1, atol=1e-6)
    dual = (
        tf.reduce_sum(tf.abs(gradient), (1, 2, 3))
        if norm is Norm.LINF
        else tf.norm(tf.reshape(gradient, (3, -1)), axis=1)
    )
    np.testing.assert_allclose(tf.reduce_sum(step * gradient, (1, 2, 3)), dual, rtol=1e-5)


def test_the_l1_step_goes_along_few_of_the_greatest_coordinates() -> None:
    gradient = np.random.default_rng(0).normal(size=(2, 16, 16, 2)).astype(np.float32)
    step = Threat(Norm.L1).steepest(tf.constant(gradient)).numpy()
    for slopes, moves in zip(gradient, step, strict=True):
        # A hundredth of 512, rounded up.
        greatest = np.argsort(-np.abs(slopes).ravel())[:6]
        assert set(np.flatnonzero(moves)) == set(greatest)
        np.testing.assert_allclose(moves.ravel()[greatest], np.sign(slopes.ravel()[greatest]) / 6)
    small = Threat(Norm.L1).steepest(tf.constant(gradient[:, :4, :4])).numpy()
    assert (np.count_nonzero(small, axis=(1, 2, 3)) == 3).all()


def test_the_l1_step_passes_over_coordinates_without_room() -> None:
    gradient = tf.reshape(tf.constant([9.0, -8.0, 7.0, -6.0, 5.0, 4.0]), (1, 6, 1, 1))
    point = tf.reshape(tf.constant([1.0, 0.0, 0.0, 1.0, 0.97, 0.5]), (1, 6, 1, 1))
    step = Threat(Norm.L1).steepest(gradient, point).numpy().ravel()
    np.testing.assert_allclose(step, [0, 0, 1 / 3, -1 / 3, 0, 1 / 3])


@EVERY
def test_a_tiny_gradient_is_no_zero_gradient(norm: Norm) -> None:
    gradient = tf.fill((1, 2, 2, 1), 1e-30)
    np.testing.assert_allclose(Threat(norm).size(Threat(norm).steepest(gradient)), 1, rtol=1e-5)
    assert not Threat(norm).steepest(tf.zeros((1, 2, 2, 1))).numpy().any()


@EVERY
def test_samples_fill_the_ball(norm: Norm) -> None:
    threat = Threat(norm, 0.1)
    images = tf.fill((500, 2, 2, 1), 0.5)
    sizes = threat.size(threat.sample(images, rng(500)) - images).numpy() / 0.1
    assert sizes.max() <= 1 + 1e-5
    # In d dimensions the median of a uniform point's size is 2 ** (-1 / d) of the radius.
    assert np.median(sizes) == pytest.approx(2 ** (-1 / 4), abs=0.03)


def test_a_norm_may_be_given_by_its_name() -> None:
    for norm in Norm:
        assert Threat(norm.value, 1.0 if norm is Norm.L0 else 0.5).norm is norm  # pyright: ignore[reportArgumentType]  a plain text is what the library passes


def test_an_images_draws_do_not_depend_on_its_batch() -> None:
    together = rng(4).uniform([2, 2, 1]).numpy()
    alone = ImageRng(tf.constant([[2, 0]], tf.int32)).uniform([2, 2, 1]).numpy()
    np.testing.assert_array_equal(together[2], alone[0])
    assert not np.array_equal(together[0], together[1])
    assert not np.array_equal(together, rng(4, seed=1).uniform([2, 2, 1]).numpy())
    assert not np.array_equal(together, rng(4).fold(1).uniform([2, 2, 1]).numpy())


def test_what_counts_as_won() -> None:
    logits, labels = tf.constant([[3.0, 1.0, 0.0], [0.0, 1.0, 3.0]]), tf.constant([0, 0])
    assert Threat().is_adversarial(logits, labels).numpy().tolist() == [False, True]
    assert Threat(target=2).is_adversarial(logits, labels).numpy().tolist() == [False, True]
    assert Threat(target=1).is_adversarial(logits, labels).numpy().tolist() == [False, False]


def test_the_loss_rises_towards_the_aim() -> None:
    labels = tf.constant([0])
    assert Threat().loss(tf.constant([[0.0, 1.0]]), labels) > Threat().loss(tf.constant([[1.0, 0.0]]), labels)
    target = Threat(target=1)
    assert target.loss(tf.constant([[0.0, 1.0]]), labels) > target.loss(tf.constant([[1.0, 0.0]]), labels)


@pytest.mark.parametrize("eps", [-0.1, float("nan"), float("inf")])
def test_eps_must_be_a_radius(eps: float) -> None:
    with pytest.raises(UsageError, match="not a finite number from 0 up"):
        Threat(eps=eps)


def test_eps_in_units_of_pixels_is_refused_with_a_hint() -> None:
    with pytest.raises(UsageError) as caught:
        Threat(eps=8)
    assert "8/255" in caught.value.hint
    assert Threat(Norm.L2, eps=2.0).eps == 2.0
    assert Threat(Norm.L1, eps=12.0).eps == 12.0


def test_the_lattice_narrows_and_never_widens() -> None:
    assert Threat(eps=0.03).quantized().eps == 7 / 255
    assert Threat(eps=8 / 255).quantized().eps == 8 / 255
    assert Threat(eps=0.003).quantized().eps == 0
    assert Threat(Norm.L2, 0.5).quantized().eps == 0.5
    assert Threat(Norm.L1, 0.5).quantized().eps == 0.5


@pytest.mark.parametrize(("norm", "largest"), [(Norm.L2, 28.0), (Norm.L1, 784.0)], ids=["l2", "l1"])
def test_a_radius_that_no_image_can_reach_is_refused(norm: Norm, largest: float) -> None:
    Threat(norm, largest).refuse_impossible((28, 28, 1))
    Threat(norm, largest * 1.5).refuse_impossible((56, 56, 1))
    with pytest.raises(UsageError) as refused:
        Threat(norm, largest * 1.01).refuse_impossible((28, 28, 1))
    assert f"did you mean {largest * 1.01:g}/255?" in refused.value.hint
    assert Threat(norm, 1.0).largest((28, 28, 1)) == pytest.approx(largest)


def test_a_length_is_absolute_and_zero_is_a_ratio_of_eps() -> None:
    assert Threat(eps=0.3).length(0.01, 0.25) == 0.01
    assert Threat(eps=0.3).length(0.0, 0.25) == pytest.approx(0.075)
