"""Cross-entropy on clean images: standard training, without a defence.

Label smoothing: Szegedy, Vanhoucke, Ioffe, Shlens and Wojna 2016, https://arxiv.org/abs/1512.00567
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class Clean(Objective):
    """``CE(f(x), y)``; one forward and one backward pass.

    Known failure: label smoothing masks gradients, so that weak attacks fail and robustness is overestimated.

    Args:
        smoothing: probability mass of each label that is spread uniformly over all classes, in [0, 1).
    """

    standard: ClassVar[bool] = True

    smoothing: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.smoothing < 1:
            raise UsageError(f"smoothing is not a fraction below one: {self.smoothing:g}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return the images unchanged."""
        return images

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits: (N, H, W, C), (N,) -> (N,), (N, K)."""
        logits = model(images, training=True)
        if not self.smoothing:
            return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits
        classes = logits.shape[-1]
        targets = (1 - self.smoothing) * tf.one_hot(labels, classes) + self.smoothing / classes
        return tf.nn.softmax_cross_entropy_with_logits(targets, logits), logits


COMPONENT = Clean
