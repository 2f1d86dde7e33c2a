"""Noise-FGSM: one gradient step from an image with much noise, which is not brought back into the ball.

de Jorge, Bibi, Volpi, Sanyal, Torr, Rogez and Dokania 2022, https://arxiv.org/abs/2202.01181
"""

from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.backend import Tensor, as_written, tf
from advcli.errors import UsageError
from advcli.objectives._ascent import slope
from advcli.opponent import Opponent


@dataclass(frozen=True)
class NoiseFGSM:
    """``CE(f(x'), y)`` with ``x' = x + u + step * eps * sign(gradient at x + u)``, u uniform in [-k eps, k eps].

    One forward and one backward pass to the input, then one of each to the weights. Both points are cut to
    [0, 1] but not to the ball: x' may be (k + step) eps away. The step is taken in inference mode, the
    published code took it in training mode. Known failure: catastrophic overfitting where eps is large
    for the data; more noise puts it off.

    Args:
        k: reach of the noise as a multiple of eps.
        step: length of the step as a fraction of eps.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf",)

    k: float = 2.0
    step: float = 1.0

    def __post_init__(self) -> None:
        if self.k < 0:
            raise UsageError(f"k is negative: {self.k:g}")
        if self.step <= 0:
            raise UsageError(f"step is not positive: {self.step:g}")

    @as_written
    def perturb(self, opponent: Opponent, images: Tensor, labels: Tensor) -> Tensor:
        """Add the noise and take the step: (N, H, W, C), (N,) -> (N, H, W, C)."""
        threat = opponent.threat
        noise = threat.within(tf.shape(images)[1:], opponent.draws)
        start = tf.clip_by_value(images + self.k * threat.eps * noise, 0.0, 1.0)
        gradient = slope(lambda point: threat.loss(opponent.logits(point), labels), start)
        return tf.clip_by_value(start + self.step * threat.eps * threat.steepest(gradient), 0.0, 1.0)

    def __call__(self, model: Any, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits, both of the perturbed images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = NoiseFGSM
