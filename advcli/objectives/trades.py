"""TRADES: the clean loss plus the maximum divergence of the prediction inside the ball.

Zhang, Yu, Jiao, Xing, El Ghaoui and Jordan 2019, https://arxiv.org/abs/1901.08573
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.objectives._ascent import ascend_from_beside
from advcli.objectives._divergence import divergence
from advcli.threat.gradient import refuse_bad_steps
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class Trades(Objective):
    """``CE(f(x), y) + beta * KL(p(x) || p(x'))``; x' maximises the same divergence in the ball.

    The inner maximization starts near the image (normal noise of 0.001), because the divergence has no gradient at the
    image itself, and runs in inference mode. The loss is computed in training mode, with one pass for x and one for
    x', each with its own BatchNorm statistics; the gradient flows through both predictions. Cost with k steps: k passes
    for the input gradient and two for the weights. Known failure: robust overfitting; the published results use early
    stopping.

    Args:
        beta: weight of robustness against accuracy; the paper uses 1 for MNIST and 6 for CIFAR-10.
        steps: number of steps of the inner maximization.
        step: length of a step, in the units of eps; 0 means 2.5 eps / steps.
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
        """Maximise the divergence from the prediction for the image: (N, H, W, C), (N,) -> (N, H, W, C)."""
        clean = inner.logits(images)
        return ascend_from_beside(
            lambda point: divergence(clean, inner.logits(point)), inner, images, self.steps, self.step
        )

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the logits of the clean images: -> (N,), (N, K)."""
        logits = model(images, training=True)
        moved = model(perturbed, training=True)
        clean = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        return clean + self.beta * divergence(logits, moved), logits


COMPONENT = Trades
