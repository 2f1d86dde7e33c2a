"""Gaussian noise: cross-entropy on noisy images, the training of networks for randomized smoothing.

Cohen, Rosenfeld and Kolter 2019, https://arxiv.org/abs/1902.02918
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
class GaussianNoise(Objective):
    """``CE(f(x + sigma * n), y)``, n standard normal, not clipped to [0, 1]; one forward and one backward pass.

    Known failure: the network alone is not robust, only the majority vote over many noisy copies is; and only for noise
    of this sigma.

    Args:
        sigma: standard deviation of the noise: pixel values in [0, 1].
    """

    lengths: ClassVar[tuple[str, ...]] = ("sigma",)
    covers: ClassVar[tuple[str, ...]] = ("gaussian", "gaussian-noise")

    sigma: float = 0.25

    def __post_init__(self) -> None:
        if self.sigma <= 0:
            raise UsageError(f"sigma is not positive: {self.sigma:g}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Add the noise: (N, H, W, C), (N,) -> (N, H, W, C), some of it outside [0, 1]."""
        return images + self.sigma * inner.rng.normal(tf.shape(images)[1:])

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the noisy images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = GaussianNoise
