"""Decoupled direction and norm: l2 steps on a sphere that shrinks while the image is adversarial.

Rony, Hafemann, Oliveira, Ben Ayed, Sabourin and Granger 2019, https://arxiv.org/abs/1811.09600
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._descent import Sphere
from advcli.attacks._refinement import refined
from advcli.backend import Tensor
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class DDN(Attack):
    """Project each iterate onto a sphere around the image, which shrinks if the iterate was adversarial and else grows.

    Args:
        steps: number of gradient steps.
        gamma: relative change of the radius at each step: ``radius * (1 - gamma)`` or ``radius * (1 + gamma)``.
        radius: the first radius, in the units of eps: l2 of pixel values in [0, 1].
        refine: steps of each of the searches that come after, for this one ends in a local minimum: walks along the
            boundary towards nine likely classes and fmn's descent; 0: the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    norms: ClassVar[tuple[str, ...]] = ("l2",)
    lengths: ClassVar[tuple[str, ...]] = ("radius",)

    steps: int = 300
    gamma: float = 0.05
    radius: float = 1.0
    refine: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if not 0 < self.gamma < 1:
            raise UsageError(f"gamma is not between 0 and 1: {self.gamma:g}")
        if self.radius <= 0:
            raise UsageError(f"radius is not positive: {self.radius:g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Search: (N, H, W, C), (N,) -> (N, H, W, C), the smallest found, brought into the ball."""
        best, point = Sphere(self.steps, self.gamma, self.radius)(logits_fn, images, labels, threat)
        best = refined(best, logits_fn, images, labels, threat, rng, self.refine, own=Sphere)
        return best.within(images, threat, otherwise=point)


COMPONENT = DDN
