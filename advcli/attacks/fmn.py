"""Fast minimum-norm attack: gradient steps in a ball whose radius follows the distance to the boundary.

Pintor, Roli, Brendel and Biggio 2021, https://arxiv.org/abs/2102.12827
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._descent import Descent
from advcli.attacks._refinement import refined
from advcli.backend import Tensor
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class FMN(Attack):
    """Steps on the difference of logits; the ball shrinks if the iterate is adversarial and grows otherwise.

    Args:
        steps: number of gradient steps.
        step: l2 length of the first step, in pixel values of [0, 1]; it falls to a hundredth. 0 means the paper's: 1 in
            l2, 10 in linf.
        gamma: by which fraction the radius changes at first; it falls to 0.001.
        refine: steps of each of the searches that come after, for this one ends in a local minimum: walks along the
            boundary towards nine likely classes and, in l2, ddn's descent; 0: the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 300
    step: float = 0.0
    gamma: float = 0.05
    refine: int = 100

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.step < 0:
            raise UsageError(f"step is negative: {self.step:g}")
        if not 0 < self.gamma < 1:
            raise UsageError(f"gamma is not between 0 and 1: {self.gamma:g}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Search: (N, H, W, C), (N,) -> (N, H, W, C), the smallest found, brought into the ball."""
        best, point = Descent(self.steps, self.step, self.gamma)(logits_fn, images, labels, threat)
        best = refined(best, logits_fn, images, labels, threat, rng, self.refine, own=Descent)
        return best.within(images, threat, otherwise=point)


COMPONENT = FMN
