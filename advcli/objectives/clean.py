"""Cross-entropy on the images as they are: the base model, with no defence."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.backend import Tensor, tf


@dataclass(frozen=True)
class Clean:
    """``CE(f(x), y)``; one forward and one backward pass."""

    robust: ClassVar[bool] = False

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, adversary: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits: (N, H, W, C), (N,) -> (N,), (N, K)."""
        logits = model(images, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = Clean
