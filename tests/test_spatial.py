"""The spatial attack: what a move does to an image, and that the worst of the grid is found."""

from collections.abc import Callable

import numpy as np
import pytest

from advcli.attacks._warp import Placement, draw
from advcli.attacks.spatial import Spatial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier

PICTURES = np.random.default_rng(0).uniform(0, 1, (2, 9, 9, 3)).astype(np.float32)
# Two pictures as they could lie in a larger image: turned, one shrunk and inside, one enlarged and cut.
PLACEMENT = Placement(*(tf.constant(values) for values in ([0.3, -2.0], [0.7, 1.6], [9.4, 20.0], [11.2, 2.5])))


def placed(angle: float = 0.0, scale: float = 1.0, row: float = 4.0, column: float = 4.0) -> Placement:
    return Placement(*(tf.constant([value], tf.float32) for value in (angle, scale, row, column)))


def test_a_quarter_turn_is_that_of_numpy() -> None:
    turned = draw(tf.constant(PICTURES), placed(angle=np.pi / 2), 9, 9)
    np.testing.assert_allclose(turned, np.rot90(PICTURES, axes=(1, 2)), atol=1e-5)


def test_pictures_moved_by_whole_pixels_are_copied_and_black_comes_in() -> None:
    moved = draw(tf.constant(PICTURES), placed(row=4.0 + 2, column=4.0 - 3), 9, 9)
    expected = np.zeros_like(PICTURES)
    expected[:, 2:, :-3] = PICTURES[:, :-2, 3:]
    np.testing.assert_array_equal(moved, expected)


def test_between_pixels_is_their_mean() -> None:
    moved = draw(tf.constant(PICTURES), placed(column=4.5), 9, 9).numpy()
    np.testing.assert_allclose(moved[:, :, 1:], (PICTURES[:, :, 1:] + PICTURES[:, :, :-1]) / 2, atol=1e-6)


def test_enlarged_pictures_cover_the_square_of_the_scale_as_much() -> None:
    white = tf.ones([1, 9, 9, 1])
    areas = [float(tf.reduce_sum(draw(white, placed(0.4, scale, 40.0, 50.0), 80, 100))) for scale in (1.0, 3.0)]
    assert areas[0] == pytest.approx(81, rel=0.03)
    assert areas[1] / areas[0] == pytest.approx(9, rel=0.03)


@pytest.mark.parametrize("placement", [PLACEMENT, placed(0.4, 1.3, 9.0, 12.0)], ids=["one each", "one for all"])
def test_gradient_of_drawing(placement: Placement) -> None:
    generator = np.random.default_rng(1)
    weights = generator.normal(size=(2, 24, 17, 3)).astype(np.float32)
    direction = generator.normal(size=PICTURES.shape).astype(np.float32)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.float32)])
    def gradient(pictures: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            tape.watch(pictures)
            total = tf.reduce_sum(draw(pictures, placement, 24, 17) * weights)
        return tape.gradient(total, pictures)

    # Drawing is linear, so the difference is no approximation, whatever its length.
    ahead = draw(tf.constant(PICTURES + direction), placement, 24, 17).numpy()
    behind = draw(tf.constant(PICTURES - direction), placement, 24, 17).numpy()
    slope = ((ahead - behind) / 2 * weights).sum(dtype=np.float64)
    assert abs(slope) > 1
    assert (gradient(tf.constant(PICTURES)).numpy() * direction).sum() == pytest.approx(slope, rel=1e-3)


def test_the_grid_is_that_of_the_paper_from_the_image_outwards() -> None:
    moves = Spatial().moves()
    assert len(moves) == len(set(moves)) == 31 * 5 * 5
    assert moves[0] == (0, 0, 0)
    assert sorted({move[1] for move in moves}) == [-1, -0.5, 0, 0.5, 1]
    assert np.allclose(np.diff(sorted({30 * move[0] for move in moves})), 2)
    assert {len(Spatial(angles=angles, places=1).moves()) for angles in (1, 2)} == {1, 3}


def search(
    attack: Spatial, logits_fn: Callable[[Tensor], Tensor], pictures: np.ndarray, labels: list[int], threat: Threat
) -> np.ndarray:
    seeds = tf.constant(image_seeds(pictures, 0))
    traced = tf.function(
        lambda images: attack(logits_fn, images, tf.constant(labels, tf.int32), threat, ImageRng(seeds))
    )
    return traced(tf.constant(pictures, tf.float32)).numpy()


def left_or_right(images: Tensor) -> Tensor:
    """Tell on which half of a picture the light is, as a model does that knows places only."""
    half = images.shape[2] // 2
    return tf.stack([tf.reduce_sum(part, axis=(1, 2, 3)) for part in (images[:, :, :half], images[:, :, half:])], 1)


def test_a_model_of_places_is_broken_by_the_shift_that_does_it() -> None:
    pictures = np.zeros((2, 12, 8, 1), np.float32)
    pictures[:, 4:7, 3] = 1
    pictures[1] = pictures[1, :, ::-1]
    attack = Spatial(degrees=0, angles=1, shift=0.25, places=3)
    moved = search(attack, left_or_right, pictures, [0, 1], Threat())
    np.testing.assert_allclose(moved, np.stack([np.roll(pictures[0], 2, 1), np.roll(pictures[1], -2, 1)]), atol=1e-6)
    aimed = search(attack, left_or_right, pictures, [0, 1], Threat(target=1))
    np.testing.assert_allclose(aimed, np.stack([np.roll(pictures[0], 2, 1), pictures[1]]), atol=1e-6)


def test_the_greatest_loss_is_kept_when_nothing_breaks() -> None:
    def logits_fn(images: Tensor) -> Tensor:
        score = tf.reduce_sum(images * images.shape[2], axis=(1, 2, 3)) - tf.reduce_sum(images[:, :, 5], axis=(1, 2))
        return tf.stack([score, tf.zeros_like(score) - 9], 1)

    pictures = np.zeros((1, 8, 8, 1), np.float32)
    pictures[:, :, 3] = 1
    moved = search(Spatial(degrees=0, angles=1, shift=0.25, places=3), logits_fn, pictures, [0], Threat())
    # Shifted up or down as well, two of the eight rows are black.
    assert moved.sum() == 6
    assert moved[0, :, 5].sum() == 6


@pytest.mark.parametrize("stop", [True, False])
@pytest.mark.parametrize("target", [None, 2])
def test_the_loss_is_never_below_that_of_the_image(target: int | None, stop: bool, small: Classifier) -> None:
    pictures = np.random.default_rng(4).uniform(0, 1, (40, 8, 8, 3)).astype(np.float32)
    labels = small.predict(pictures).argmax(axis=1)
    threat = Threat(target=target)
    attack = Spatial(angles=3, places=3, stop=stop)
    moved, _ = CompiledAttack(small, attack, threat)(pictures, labels)

    def judged(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        logits, classes = small.logits(tf.constant(images)), tf.constant(labels, tf.int32)
        return threat.loss(logits, classes).numpy(), threat.is_adversarial(logits, classes).numpy()

    (before, already), (after, is_adversarial) = judged(pictures), judged(moved)
    assert (after >= before - 1e-6).all()
    assert is_adversarial[already].all()
    assert (is_adversarial | (after > before + 1e-4)).mean() > 0.9


def test_broken_images_are_left_alone_and_leave_at_once() -> None:
    constant = make_classifier("linear")
    for variable in constant.model.weights:
        variable.assign(tf.zeros_like(variable))
    pictures = np.random.default_rng(5).uniform(0, 1, (2, 8, 8, 3)).astype(np.float32)
    moved, queries = CompiledAttack(constant, Spatial(), Threat())(pictures, np.ones(2))
    np.testing.assert_array_equal(moved, pictures)
    assert (queries == 1).all()
    _, queries = CompiledAttack(constant, Spatial(), Threat())(pictures, np.zeros(2))
    assert (queries == 775).all()


def test_norm_and_eps_mean_nothing(small: Classifier, pictures: np.ndarray) -> None:
    labels = small.predict(pictures).argmax(axis=1)
    attack = Spatial(angles=3, places=3)
    threats = (Threat(eps=0.1), Threat(eps=0.0), Threat(Norm.L2, 1.0))
    moved = [CompiledAttack(small, attack, threat)(pictures, labels)[0] for threat in threats]
    assert not np.array_equal(moved[0], pictures)
    np.testing.assert_array_equal(moved[0], moved[1])
    np.testing.assert_array_equal(moved[0], moved[2])


@pytest.mark.parametrize(
    "options", [{"degrees": -1.0}, {"degrees": 181.0}, {"shift": 1.5}, {"angles": 0}, {"places": 0}]
)
def test_options_are_checked(options: dict) -> None:
    with pytest.raises(UsageError):
        Spatial(**options)
