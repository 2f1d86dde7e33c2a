"""Noise-FGSM: one gradient step from an image with strong noise, without projection onto the ball.

de Jorge, Bibi, Volpi, Sanyal, Torr, Rogez and Dokania 2022, https://arxiv.org/abs/2202.01181
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.threat.gradient import loss_gradient, refuse_bad_steps
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class NoiseFGSM(Objective):
    """``CE(f(x'), y)`` with ``x' = x + u + step * sign(gradient at x + u)``, u uniform in noise_ratio * [-eps, eps].

    Cost: one forward and one backward pass for the input gradient, and one of each for the weights. Both points are
    clipped to [0, 1] but not projected: ``||x' - x||_inf <= noise_ratio * eps + step``. The step uses the model in
    inference mode; the published code uses training mode. Known failure: catastrophic overfitting where eps is large
    for the data; more noise delays it.

    Args:
        noise_ratio: bound of the noise as a ratio of eps (the paper's k).
        step: length of the step, in the units of eps; 0 means eps, the paper's choice.
    """

    robust: ClassVar[bool] = True
    economical: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf",)
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    noise_ratio: float = 2.0
    step: float = 0.0

    def __post_init__(self) -> None:
        if self.noise_ratio < 0:
            raise UsageError(f"noise_ratio is negative: {self.noise_ratio:g}")
        refuse_bad_steps(1, self.step)

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the images after noise and step: (N, H, W, C), (N,) -> (N, H, W, C)."""
        threat = inner.threat
        noise = threat.within(tf.shape(images)[1:], inner.rng)
        start = tf.clip_by_value(images + self.noise_ratio * threat.eps * noise, 0.0, 1.0)
        gradient, _ = loss_gradient(inner.logits, start, labels, threat)
        return tf.clip_by_value(start + threat.length(self.step, 1.0) * threat.steepest(gradient), 0.0, 1.0)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the perturbed images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = NoiseFGSM
