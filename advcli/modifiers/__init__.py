"""What can be added to any objective: one file a modification of the loss or of the weights it is taken at."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

from advcli.backend import Tensor
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
    def penalty(self, model: Any, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the term, differentiable by the weights: (N, H, W, C) in [0, 1], (N,) -> (N,)."""


class WeightPerturbation(Modifier):
    """Other weights at which the gradient is taken, before it is applied to the real ones."""

    @abstractmethod
    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return how far to move each weight, from the gradient of the loss at the real weights."""
