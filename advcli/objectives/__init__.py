"""Training objectives: one file a loss."""

from abc import ABC, abstractmethod
from typing import ClassVar, Protocol, runtime_checkable

from advcli import registry
from advcli.backend import KerasModel, Tensor
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.lengths import HasLengths
from advcli.threat.threat import Threat


class Objective(HasLengths, ABC):
    """A loss of a model on labelled images, in two parts: what the images become, and the loss on it.

    The first part is a search, through which no weight gets a gradient; the second is what the weights
    descend. What an objective is it says in attributes of its class, read before TensorFlow is imported. A
    subclass sets what differs from these values:

    ``robust``: it is meant to make the model robust: the best epoch is the one with the best accuracy under
        attack, else the one with the best clean accuracy.
    ``uses``: which of "eps" (the ball of the command) and "attack" (its attack) mean anything to it.
    ``norms``: the balls it knows, if "eps" is used.
    ``lengths``: which options are lengths in the units of eps.
    ``searches_in_training_pass``: it searches with the very pass that trains, and so would in float16.
    ``covers``: the noises and corruptions that do to test images what it does to training images.
    ``standard``: it is training without a defence: the twin of a robust run, and the epochs before it is robust.
    ``economical``: it is the robust one with the shortest step; a cost estimate compares the others with it.
    """

    robust: ClassVar[bool] = False
    uses: ClassVar[tuple[str, ...]] = ()
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    searches_in_training_pass: ClassVar[bool] = False
    covers: ClassVar[tuple[str, ...]] = ()
    standard: ClassVar[bool] = False
    economical: ClassVar[bool] = False

    def own_threat(self) -> Threat | None:
        """Return the ball of the perturbations that it trains on if that is not the ball of the command."""
        return None

    @abstractmethod
    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the perturbed images: (N, H, W, C) in [0, 1], (N,) -> any tensor whose first axis is N."""

    def adversarial(self, perturbed: Tensor) -> Tensor:
        """Return the adversarial images in the result of ``perturb``: -> (N, H, W, C)."""
        return perturbed

    @abstractmethod
    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss of each image, and the logits for the training accuracy.

        Args:
            model: the network that is trained; called with ``training=True``.
            images: (N, H, W, C) float32 in [0, 1].
            perturbed: the result of ``perturb``.
            labels: (N,) int32.

        Returns:
            (N,) loss and (N, K) logits.
        """


def standard_objective() -> str:
    """Return the name of the objective without a defence."""
    return next(name for name in registry.names("objectives") if registry.component("objectives", name).standard)


def economical_objective(norm: str) -> str | None:
    """Return the name of the robust objective with the shortest step; None if there is none for the norm."""
    found = {name: registry.component("objectives", name) for name in registry.names("objectives")}
    return next((name for name, each in found.items() if each.economical and norm in each.norms), None)


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
