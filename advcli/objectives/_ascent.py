"""Steps uphill inside the ball, on whatever loss an objective searches with."""

from collections.abc import Callable

from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


def check(steps: int, step: float) -> None:
    """Refuse a search without steps, or with steps that go back.

    Raises:
        UsageError: one of the two is too small.
    """
    if steps < 1:
        raise UsageError(f"steps is less than one: {steps}")
    if step < 0:
        raise UsageError(f"step is negative: {step:g}")


@as_written
def beside(images: Tensor, rng: ImageRng) -> Tensor:
    """Return a point so near to each image that it looks the same: a divergence from the image has no slope there."""
    return images + 0.001 * rng.normal(tf.shape(images)[1:])


@as_written
def slope(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    """Return the gradient of each image's own loss: (N, H, W, C) -> (N, H, W, C)."""
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(point)
        # The sum, not the mean: an image's gradient must not depend on how many there are in its batch.
        total = tf.reduce_sum(loss(point))
    return tape.gradient(total, point, unconnected_gradients=tf.UnconnectedGradients.ZERO)


def ascend(
    loss: Callable[[Tensor], Tensor], start: Tensor, images: Tensor, threat: Threat, steps: int, step: float
) -> Tensor:
    """Take steepest steps, each projected into the ball: (N, H, W, C) -> (N, H, W, C).

    Args:
        loss: (N, H, W, C) -> (N,) what to increase.
        start: where to begin; need not be inside the ball.
        images: the centres of the balls.
        threat: the ball.
        steps: how many steps.
        step: the length of one, in the units of eps; 0 means that all together are 2.5 eps long.
    """
    length = threat.length(step, 2.5 / steps)
    point = start
    for _ in tf.range(steps):
        gradient = slope(loss, point)
        point = threat.project(point + length * threat.steepest(gradient, point), images)
    return point
