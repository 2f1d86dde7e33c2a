"""The search of objectives whose loss is highest where a prediction is farthest from that of the image."""

from collections.abc import Callable

from advcli.backend import Tensor, tf
from advcli.threat.gradient import ascend, gradient
from advcli.threat.inner_maximization import InnerMaximization


def ascend_from_beside(
    loss: Callable[[Tensor], Tensor], inner: InnerMaximization, images: Tensor, steps: int, step: float
) -> Tensor:
    """Search the ball from a point so near to each image that it looks the same: (N, H, W, C) -> (N, H, W, C).

    A divergence from the image has no gradient at the image itself.

    Args:
        loss: (N, H, W, C) -> (N,) what to increase.
        inner: the ball and the random numbers.
        images: the centres of the balls.
        steps: how many steps.
        step: the length of one, in the units of eps; 0 means that all together are 2.5 eps long.
    """
    start = images + 0.001 * inner.rng.normal(tf.shape(images)[1:])
    lengths = [inner.threat.length(step, 2.5 / steps)] * steps
    return ascend(lambda point, *_: gradient(loss, point), start, images, inner.threat, lengths)
