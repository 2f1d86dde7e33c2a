"""The gradient of a loss by the images, and the projected steps along it that attacks and objectives share."""

from collections.abc import Callable, Sequence

from advcli.backend import Nest, Tensor, tf
from advcli.errors import UsageError
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted, repeated


@as_written
def gradient_and_aux(loss: Callable[[Tensor], tuple[Tensor, Nest]], images: Tensor) -> tuple[Tensor, Nest]:
    """Return the gradient of each image's own loss, and what else the function returns.

    Args:
        loss: (N, ...) -> the loss of each image (N,), and anything else.
        images: (N, ...), where the gradient is taken.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        losses, aux = loss(images)
        # The sum, not the mean: an image's gradient must not depend on its batch.
        total = tf.reduce_sum(losses)
    # A model that rounds its input has no gradient, which is no reason to fail.
    return tape.gradient(total, images, unconnected_gradients=tf.UnconnectedGradients.ZERO), aux


@as_written
def mean_gradient_and_aux(
    loss: Callable[[Tensor], tuple[Tensor, Nest]], images: Tensor, passes: int
) -> tuple[Tensor, Nest]:
    """Return the mean of several gradients, of a randomised model, and what else the function returns the last time."""
    total, aux = gradient_and_aux(loss, images)
    if passes == 1:
        return total, aux

    def again(_: Tensor, total: Tensor, aux: Nest) -> tuple[Tensor, Nest]:
        gradient, aux = gradient_and_aux(loss, images)
        return total + gradient, aux

    total, aux = repeated(passes - 1, again, (total, aux))
    return total / passes, aux


@as_written
def gradient(loss: Callable[[Tensor], Tensor], images: Tensor) -> Tensor:
    """Return the gradient of each image's own loss: (N, ...) -> (N, ...)."""
    return gradient_and_aux(lambda point: (loss(point), None), images)[0]


@as_written
def loss_gradient(
    logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, passes: int = 1
) -> tuple[Tensor, Tensor]:
    """Return the gradient of the threat's loss, and the logits: (N, H, W, C) -> (N, H, W, C), (N, K).

    The gradient is zero where pixels may not change. Of several passes it is the mean, and the logits are the last
    one's.
    """

    def loss(point: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits_fn(point)
        return threat.loss(logits, labels), logits

    gradients, logits = mean_gradient_and_aux(loss, images, passes)
    return threat.restrict(gradients), logits


@as_written
def projected_step(point: Tensor, direction: Tensor, length: float | Tensor, images: Tensor, threat: Threat) -> Tensor:
    """Return ``project(x + length * d)``, d the step of length one that ascends most along a direction.

    Args:
        point: (N, H, W, C), where the step begins.
        direction: (N, H, W, C), the gradient or what stands for it.
        length: of the step, in the units of eps.
        images: (N, H, W, C), the centres of the balls.
        threat: the ball.
    """
    return threat.project(point + length * threat.steepest(direction, point), images)


@as_written
def ascend(
    direction: Callable[[Tensor, Tensor, Tensor], Tensor],
    start: Tensor,
    images: Tensor,
    threat: Threat,
    lengths: Sequence[float | Tensor],
) -> Tensor:
    """Take projected steps: (N, H, W, C) -> (N, H, W, C), the last point.

    Args:
        direction: the point, the direction of the step before (zero at first) and the step's number -> the
            direction of the step, (N, H, W, C).
        start: where to begin; need not be inside the ball.
        images: the centres of the balls.
        threat: the ball.
        lengths: the length of each step, in the units of eps.
    """
    each = tf.stack([tf.cast(length, tf.float32) for length in lengths])
    steepest = converted(direction)

    def step(index: Tensor, point: Tensor, along: Tensor) -> tuple[Tensor, Tensor]:
        along = steepest(point, along, index)
        return projected_step(point, along, each[index], images, threat), along

    return repeated(len(lengths), step, (start, tf.zeros_like(start)))[0]


def refuse_bad_steps(steps: int, step: float) -> None:
    """Refuse a search without steps, or with steps that go back.

    Raises:
        UsageError: one of the two is too small.
    """
    if steps < 1:
        raise UsageError(f"steps is less than one: {steps}")
    if step < 0:
        raise UsageError(f"step is negative: {step:g}", "give a length in the units of eps, or 0 for the usual one")
