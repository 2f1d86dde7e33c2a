"""Training objectives: one file a loss."""

from typing import Any, ClassVar, Protocol, runtime_checkable

from advcli.backend import Tensor
from advcli.threat.inner_maximization import InnerMaximization


class Objective(Protocol):
    """A loss of a model on labelled images, in two parts: the inner maximization, and the loss on its result.

    ``perturb`` computes the perturbed images; the weights get no gradient through it. ``__call__`` computes the loss
    that the optimizer minimises. Class attributes describe the objective; they are read before TensorFlow is imported.
    ``robust: ClassVar[bool]`` says whether the objective trains for robustness: then the best epoch is the one with the
    greatest robust accuracy, else the one with the greatest clean accuracy.
    ``uses: ClassVar[tuple[str, ...]]`` lists what it uses of "eps" (the ball of the command) and "attack" (its attack).
    ``norms: ClassVar[tuple[str, ...]]`` lists the supported norms, if "eps" is used.
    ``lengths: ClassVar[tuple[str, ...]]`` names the options that are lengths in the units of eps.
    """

    robust: ClassVar[bool]
    uses: ClassVar[tuple[str, ...]]

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the perturbed images: (N, H, W, C) in [0, 1], (N,) -> any tensor whose first axis is N."""
        ...

    def __call__(self, model: Any, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each image, and the logits for the training accuracy.

        Args:
            model: the network that is trained; called with ``training=True``.
            images: (N, H, W, C) float32 in [0, 1].
            perturbed: the result of ``perturb``.
            labels: (N,) int32.

        Returns:
            (N,) loss and (N, K) logits.
        """
        ...


@runtime_checkable
class Replaying(Protocol):
    """An objective that trains on each batch several times and keeps the perturbation for the next batch.

    One backward pass computes the gradients of the weights and of the images. ``perturb`` adds ``inner.kept`` to the
    images.
    """

    @property
    def replays(self) -> int:
        """Return the number of updates for each batch."""
        ...

    def climb(self, inner: InnerMaximization, images: Tensor, gradient: Tensor) -> Tensor:
        """Return the next perturbation, given the gradient at the perturbed images: (N, H, W, C) each."""
        ...
