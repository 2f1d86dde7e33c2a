"""Searches for adversarial images: one file a method."""

from collections.abc import Callable
from typing import Protocol

from advcli.backend import Tensor
from advcli.draws import Draws
from advcli.threat import Threat


class Attack(Protocol):
    """A search inside the ball of a threat."""

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        """Search for adversarial images: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C).

        Args:
            logits_fn: (N, H, W, C) -> (N, K) logits, each image for itself.
            images: where the search starts; the centres of the balls.
            labels: the classes to move away from.
            threat: the ball, and the class to reach if there is one.
            draws: the only source of randomness.
        """
        ...


def ascent(
    logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat
) -> tuple[Tensor, Tensor]:
    """Return the gradient of the threat's loss, and the logits: (N, H, W, C) -> (N, H, W, C), (N, K)."""
    from advcli.backend import tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(images)
        logits = logits_fn(images)
        # The sum, not the mean: an image's gradient must not depend on its batch.
        loss = tf.reduce_sum(threat.loss(logits, labels))
    return tape.gradient(loss, images), logits
