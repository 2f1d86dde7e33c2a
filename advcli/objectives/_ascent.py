"""Projected gradient ascent on any loss of an objective."""

from collections.abc import Callable

from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


def check(steps: int, step: float) -> None:
    """Refuse options out of range.

    Raises:
        UsageError: ``steps`` is less than one, or ``step`` is negative.
    """
    if steps < 1:
        raise UsageError(f"steps is less than one: {steps}")
    if step < 0:
        raise UsageError(f"step is negative: {step:g}")


@as_written
def beside(images: Tensor, rng: ImageRng) -> Tensor:
    """Add Gaussian noise with a standard deviation of 0.001: at the image a divergence from it has no gradient."""
    return images + 0.001 * rng.normal(tf.shape(images)[1:])


@as_written
def slope(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Return the gradient of each image's loss: (N, H, W, C) -> (N, H, W, C)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        # The sum, not the mean: an image's gradient must not depend on the batch size.
        total = tf.reduce_sum(loss(point))
    return tape.gradient(total, point, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def ascend(
    loss: Callable[[Tensor], Tensor], start: Tensor, images: Tensor, threat: Threat, steps: int, step: float
) -> Tensor:
    """Take steepest-ascent steps, each projected onto the ball: (N, H, W, C) -> (N, H, W, C).

    Args:
        loss: (N, H, W, C) -> (N,), the loss to maximise.
        start: the first iterate; it may lie outside the ball.
        images: the centres of the balls.
        threat: the ball.
        steps: number of steps.
        step: length of a step, in the units of eps; 0 means 2.5 eps / steps.
    """
    length = threat.length(step, 2.5 / steps)
    point = start
    for _ in tf.range(steps):
        gradient = slope(loss, point)
        point = threat.project(point + length * threat.steepest(gradient, point), images)
    return point
