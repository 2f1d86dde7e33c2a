"""Fast adversarial training: one gradient step from a random point of the ball.

Wong, Rice and Kolter 2020, https://arxiv.org/abs/2001.03994
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.objectives import Objective
from advcli.threat.gradient import loss_gradient, projected_step, refuse_bad_steps
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class FastAdversarialTraining(Objective):
    """``CE(f(x'), y)`` with ``x' = project(x + u + step * sign(gradient at x + u))``, u uniform in the ball.

    Cost: one forward and one backward pass for the input gradient, and one of each for the weights. The step uses the
    model in inference mode; the published code uses training mode. Known failure: catastrophic overfitting; with a
    large eps or a long training, accuracy under PGD falls to zero within one epoch while accuracy under FGSM rises.

    Args:
        step: length of the step, in the units of eps; 0 means 1.25 eps, the paper's choice.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    step: float = 0.0

    def __post_init__(self) -> None:
        refuse_bad_steps(1, self.step)

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the images after the step: (N, H, W, C), (N,) -> (N, H, W, C)."""
        threat = inner.threat
        start = threat.sample(images, inner.rng)
        gradient, _ = loss_gradient(inner.logits, start, labels, threat)
        return projected_step(start, gradient, threat.length(self.step, 1.25), images, threat)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the perturbed images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = FastAdversarialTraining
