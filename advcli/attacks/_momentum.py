"""Gradient ascent with momentum, shared by the transfer attacks."""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import ascend, refuse_bad_steps
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted


@dataclass(frozen=True)
class Pace:
    """Number and length of the steps, and decay of the momentum.

    Args:
        steps: number of steps.
        length: length of a step, in the units of eps.
        decay: factor of the accumulated gradient at each step.
    """

    steps: int
    length: float | Tensor
    decay: float


def check(steps: int, step: float, decay: float = 0.0) -> None:
    """Refuse options out of range.

    Raises:
        UsageError: one of them is out of range.
    """
    refuse_bad_steps(steps, step)
    if decay < 0:
        raise UsageError(f"decay is negative: {decay:g}", "give a number such as 1, or 0 for no momentum")


@as_written
def accumulate(momentum: Tensor, gradient: Tensor, decay: float, threat: Threat) -> Tensor:
    """Return ``decay * momentum + gradient / (mean(|gradient|) * ||1||)``, 1 being the image of ones.

    The papers divide by the L1 norm of the gradient. The constant factor between the two changes no step, because a
    step depends on the direction only. But the look-ahead of nifgsm needs a momentum of about unit length.
    """
    ones = threat.restrict(tf.ones_like(gradient))
    flat = threat.size(ones)[:, None, None, None]
    mean = tf.reduce_mean(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    mean = tf.math.divide_no_nan(mean, tf.reduce_mean(ones, axis=(1, 2, 3), keepdims=True))
    return decay * momentum + tf.math.divide_no_nan(gradient, mean * flat)


@as_written
def climb(gradient: Callable[[Tensor, Tensor, Tensor], Tensor], images: Tensor, threat: Threat, pace: Pace) -> Tensor:
    """Take projected steps along the accumulated gradient: (N, H, W, C) -> (N, H, W, C).

    Args:
        gradient: (images, momentum, index of the step) -> the gradient to add to the momentum.
        images: the start of the ascent and the centres of the balls.
        threat: the ball.
        pace: number and length of the steps, and decay.
    """
    added = converted(gradient)

    @as_written
    def direction(point: Tensor, momentum: Tensor, index: Tensor) -> Tensor:
        return accumulate(momentum, added(point, momentum, index), pace.decay, threat)

    return ascend(direction, images, images, threat, [pace.length] * pace.steps)
