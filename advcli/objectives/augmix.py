"""AugMix: the clean loss plus the divergence between predictions for an image and two mixtures of it.

Hendrycks, Mu, Cubuk, Zoph, Gilmer and Lakshminarayanan 2020, https://arxiv.org/abs/1912.02781
"""

from dataclasses import dataclass

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.objectives._augmix import mixtures, refuse_bad_mixtures
from advcli.objectives._divergence import jensen_shannon
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class AugMix(Objective):
    """``CE(f(x), y) + jsd * JS(f(x), f(x1), f(x2))`` with two mixtures of each image.

    JS is the Jensen-Shannon divergence of the three predicted distributions. Cost: one forward and one backward pass
    over three times the batch, in which BatchNorm normalises clean and mixed images together, as in the authors' code.
    It improves robustness to corruptions such as blur and noise; it is no defence against attacks.

    Args:
        width: number of chains of operations in a mixture.
        depth: number of operations in a chain; 0 means random, from one to three.
        severity: maximum strength of an operation, from 1 to 10.
        jsd: weight of the divergence.
    """

    width: int = 3
    depth: int = 0
    severity: int = 3
    jsd: float = 12.0

    def __post_init__(self) -> None:
        refuse_bad_mixtures(self.width, self.depth, self.severity)
        if self.jsd < 0:
            raise UsageError(f"jsd is negative: {self.jsd:g}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return two mixtures of each image: (N, H, W, C) -> (N, 2, H, W, C)."""
        return mixtures(images, inner.rng, versions=2, width=self.width, depth=self.depth, severity=self.severity)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the clean logits: (N, H, W, C), (N, 2, H, W, C), (N,) -> (N,), (N, K)."""
        together = tf.concat([images, *tf.unstack(perturbed, num=2, axis=1)], axis=0)
        logits = tf.split(model(together, training=True), 3)
        clean = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits[0])
        return clean + self.jsd * jensen_shannon(logits), logits[0]


COMPONENT = AugMix
