"""What training minimises: one file a loss."""

from collections.abc import Callable
from typing import Any, ClassVar, Protocol

from advcli.backend import Tensor


class Objective(Protocol):
    """A loss of a model on labelled images.

    ``robust`` says whether it is meant to make the model robust: then the best epoch is the one
    with the best accuracy under attack, and else the one with the best clean accuracy.
    """

    robust: ClassVar[bool]

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, adversary: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss of each image and the logits it was trained on.

        Args:
            model: the network being trained; called with ``training=True``.
            images: (N, H, W, C) float32 in [0, 1].
            labels: (N,) int32.
            adversary: (images, labels) -> adversarial images, with the model in inference mode.

        Returns:
            (N,) loss and (N, K) logits.
        """
        ...
