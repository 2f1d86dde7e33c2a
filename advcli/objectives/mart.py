"""MART: boosted cross-entropy on adversarial images plus a divergence weighted by the error on the clean image.

Wang, Zou, Yi, Bailey, Ma and Gu 2020, https://openreview.net/forum?id=rklOg6EFwS
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
class Mart(Objective):
    """``CE(f(x'), y) - log(1 - max_{j != y} p_j(x')) + beta * KL(p(x) || p(x')) * (1 - p_y(x))``.

    ``x'`` maximises the cross-entropy in the ball, from a start near the image, in inference mode. The loss is computed
    in training mode, with one pass for x and one for x'; no factor is treated as a constant. Cost with k steps: k
    passes for the input gradient and two for the weights. Known failure: PGD overestimates its robustness, use
    AutoAttack; the published weight decay and learning rate differ between networks.

    Args:
        beta: weight of the divergence.
        steps: number of steps of the inner maximization.
        step: length of a step, in the units of eps; 0 means 2.5 eps / steps.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    beta: float = 5.0
    steps: int = 10
    step: float = 0.0

    def __post_init__(self) -> None:
        refuse_bad_steps(self.steps, self.step)
        if self.beta < 0:
            raise UsageError(f"beta is negative: {self.beta:g}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Maximise the cross-entropy in the ball: (N, H, W, C), (N,) -> (N, H, W, C)."""
        threat = inner.threat
        return ascend_from_beside(
            lambda point: threat.loss(inner.logits(point), labels), inner, images, self.steps, self.step
        )

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss, and the logits of the perturbed images: -> (N,), (N, K)."""
        logits = model(images, training=True)
        moved = model(perturbed, training=True)
        own = tf.one_hot(labels, logits.shape[-1])
        rival = tf.reduce_max(tf.nn.softmax(moved) * (1 - own), axis=1)
        # As in the published code: keeps the logarithm finite and the weight of the divergence above zero.
        boosted = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, moved) - tf.math.log(1.0001 - rival)
        doubt = 1.0000001 - tf.reduce_sum(tf.nn.softmax(logits) * own, axis=1)
        return boosted + self.beta * divergence(logits, moved) * doubt, moved


COMPONENT = Mart
