"""Gradient ascent with momentum, which the transfer family shares."""

from collections.abc import Callable
from dataclasses import dataclass

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import ascend, refuse_bad_steps
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Pace:
    """How many steps are taken, how long, and how much of the past they remember.

    Args:
        steps: number of steps.
        length: length of a step, in the units of eps.
        decay: how much of the accumulated gradient is kept from step to step.
    """

    steps: int
    length: float
    decay: float


def check(steps: int, step: float, decay: float = 0.0) -> None:
    """Refuse options that no attack of the family can use.

    Raises:
        UsageError: one of them is out of range.
    """
    refuse_bad_steps(steps, step)
    if decay < 0:
        raise UsageError(f"decay is negative: {decay:g}", "give 0 for no momentum, 1 for all of it")


def accumulate(momentum: Tensor, gradient: Tensor, decay: float, threat: Threat) -> Tensor:
    """Add a gradient to the decayed sum of those before it, each scaled to the same L1 norm.

    The papers divide by the L1 norm. Here the result is multiplied by the L1 norm of a flat image of
    size one, which changes no step: so scaled, the sum is as long as a step, which is what a look
    ahead along it needs.
    """
    flat = threat.size(tf.ones_like(gradient))[:, None, None, None]
    mean = tf.reduce_mean(tf.abs(gradient), axis=(1, 2, 3), keepdims=True)
    return decay * momentum + tf.math.divide_no_nan(gradient, mean * flat)


def climb(gradient: Callable[[Tensor, Tensor, Tensor], Tensor], images: Tensor, threat: Threat, pace: Pace) -> Tensor:
    """Take steps along the accumulated gradient, each projected back: (N, H, W, C) -> (N, H, W, C).

    Args:
        gradient: the images, the sum so far and the step's number -> the gradient to add to the sum.
        images: where the ascent starts.
        threat: the ball.
        pace: how the steps are taken.
    """

    def direction(point: Tensor, momentum: Tensor, index: Tensor) -> Tensor:
        return accumulate(momentum, gradient(point, momentum, index), pace.decay, threat)

    return ascend(direction, images, images, threat, [pace.length] * pace.steps)
