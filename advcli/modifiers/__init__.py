"""What can be added to any objective: one file a modification of the loss or of the weights it is taken at."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from advcli.backend import Tensor
from advcli.threat.inner_maximization import InnerMaximization


@runtime_checkable
class Penalty(Protocol):
    """A term that is added to the loss of each image.

    A modifier says in attributes of its class what an objective says: ``uses`` names whether "eps" means
    anything to it, and ``norms`` the balls it knows if so.
    """

    uses: ClassVar[tuple[str, ...]]

    def penalty(self, model: Any, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the term, differentiable by the weights: (N, H, W, C) in [0, 1], (N,) -> (N,)."""
        ...


@runtime_checkable
class WeightPerturbation(Protocol):
    """Other weights at which the gradient is taken, before it is applied to the real ones."""

    uses: ClassVar[tuple[str, ...]]

    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return how far to move each weight, from the gradient of the loss at the real weights."""
        ...
