"""TRADES: the loss on the image, and how far the prediction can be moved from that of the image.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan 2019, https://arxiv.org/abs/1901.08573
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.objectives._ascent import ascend_from_beside
from advcli.objectives._divergence import divergence
from advcli.threat.gradient import refuse_bad_steps
from advcli.threat.inner_maximization import InnerMaximization


@dataclass(frozen=True)
class Trades(Objective):
    """``CE(f(x), y) + beta * KL(p(x) || p(x'))`` with the ``x'`` of the ball that maximises the same divergence.

    The search starts beside the image (normal noise of 0.001), for at the image the divergence has no slope, and
    runs in inference mode; the loss in training mode, one pass for x and one for x', each with BatchNorm's
    statistics of its own. The gradient goes through both predictions. Cost with k steps: k passes to the input and
    two to the weights. Known failure: robust overfitting; the published results stop early.

    Args:
        beta: how much robustness counts against accuracy; the paper has 1 for MNIST, 6 for CIFAR-10.
        steps: number of steps of the search.
        step: length of a step, in the units of eps; 0 means that all together are 2.5 eps long.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    beta: float = 6.0
    steps: int = 10
    step: float = 0.0

    def __post_init__(self) -> None:
        refuse_bad_steps(self.steps, self.step)
        if self.beta < 0:
            raise UsageError(f"beta is negative: {self.beta:g}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Search for the prediction farthest from that of the image: (N, H, W, C), (N,) -> (N, H, W, C)."""
        clean = inner.logits(images)
        return ascend_from_beside(
            lambda point: divergence(clean, inner.logits(point)), inner, images, self.steps, self.step
        )

    def __call__(self, model: Any, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the logits of the images as they are: -> (N,), (N, K)."""
        logits = model(images, training=True)
        moved = model(perturbed, training=True)
        clean = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return clean + self.beta * divergence(logits, moved), logits


COMPONENT = Trades
