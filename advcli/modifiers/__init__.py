"""Modifiers of any objective: one file a penalty term or a perturbation of the weights."""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, runtime_checkable

from advcli.backend import Tensor
from advcli.threat.inner_maximization import InnerMaximization


@runtime_checkable
class Penalty(Protocol):
    """A term that is added to the loss of each image.

    The class attributes are those of an objective: ``uses`` contains "eps" if the modifier uses the ball, and ``norms``
    lists the supported norms.
    """

    uses: ClassVar[tuple[str, ...]]

    def penalty(self, model: Any, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the term, differentiable with respect to the weights: (N, H, W, C) in [0, 1], (N,) -> (N,)."""
        ...


@runtime_checkable
class WeightPerturbation(Protocol):
    """A perturbation of the weights at which the gradient is taken; the update is applied to the original weights."""

    uses: ClassVar[tuple[str, ...]]

    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the perturbation of each weight, given the gradient of the loss at the original weights."""
        ...
