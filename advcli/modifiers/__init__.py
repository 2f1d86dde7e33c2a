"""Modifiers of any objective: one file a penalty term or a perturbation of the weights."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from advcli.backend import KerasModel, Tensor
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.lengths import HasLengths


class Modifier(HasLengths, ABC):
    """What every modifier says of itself, as an objective does; a subclass sets what differs from these values.

    ``uses``: whether "eps", the ball of the command, means anything to it.
    ``norms``: the balls it knows, if so.
    ``lengths``: which options are lengths in the units of eps.
    ``searches_in_training_pass``: it searches with the very pass that trains, and so would in float16.
    """

    uses: ClassVar[tuple[str, ...]] = ()
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    searches_in_training_pass: ClassVar[bool] = False


class Penalty(Modifier):
    """A term that is added to the loss of each image."""

    @abstractmethod
    def penalty(self, model: KerasModel, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the term, differentiable with respect to the weights: (N, H, W, C) in [0, 1], (N,) -> (N,)."""


class WeightPerturbation(Modifier):
    """A perturbation of the weights at which the gradient is taken; the update is applied to the original weights."""

    @abstractmethod
    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the perturbation of each weight, given the gradient of the loss at the original weights."""
