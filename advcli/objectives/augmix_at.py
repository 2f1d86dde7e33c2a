"""Adversarial training with AugMix: an adversarial image and two mixtures of it must be predicted alike.

Kireev, Andriushchenko and Flammarion 2022, https://arxiv.org/abs/2103.02325, on adversarial training with a small
radius against corruptions, and its combination with AugMix
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.errors import UsageError
from advcli.objectives import Objective
from advcli.objectives._augmix import mixtures, refuse_bad_mixtures
from advcli.objectives._divergence import jensen_shannon
from advcli.threat.gradient import loss_gradient, projected_step, refuse_bad_steps
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class AugMixAdversarialTraining(Objective):
    """``CE(f(x'), y) + jsd * JS(f(x'), f(x1), f(x2))``, x' adversarial, x1 and x2 mixtures of the clean image.

    ``x' = project(x + u + step * sign(gradient at x + u))``, u uniform in the ball, in inference mode. The paper takes
    the ball of a learned perceptual distance, this the ball of the command. Give it a small eps, such as 1/255 for
    photos: a small radius helps against corruptions such as noise, a large one costs clean accuracy and contrast. Cost:
    one forward and one backward pass for the input gradient, and one of each over three times the batch, in which
    BatchNorm normalises adversarial and mixed images together.

    Args:
        width: number of chains of operations in a mixture.
        depth: number of operations in a chain; 0 means random, from one to three.
        severity: maximum strength of an operation, from 1 to 10.
        jsd: weight of the divergence.
        step: length of the step, in the units of eps; 0 means 1.25 eps.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    width: int = 3
    depth: int = 0
    severity: int = 3
    jsd: float = 12.0
    step: float = 0.0

    def __post_init__(self) -> None:
        refuse_bad_mixtures(self.width, self.depth, self.severity)
        if self.jsd < 0:
            raise UsageError(f"jsd is negative: {self.jsd:g}")
        refuse_bad_steps(1, self.step)

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Return an adversarial image and two mixtures for each image: (N, H, W, C), (N,) -> (N, 3, H, W, C)."""
        threat = inner.threat
        start = threat.sample(images, inner.rng)
        gradient, _ = loss_gradient(inner.logits, start, labels, threat)
        adversarial = projected_step(start, gradient, threat.length(self.step, 1.25), images, threat)
        mixed = mixtures(images, inner.rng, versions=2, width=self.width, depth=self.depth, severity=self.severity)
        return tf.concat([adversarial[:, None], mixed], axis=1)

    def adversarial(self, perturbed: Tensor) -> Tensor:
        """Return the first of the three versions: (N, 3, H, W, C) -> (N, H, W, C)."""
        return perturbed[:, 0]

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the adversarial images: (N, 3, H, W, C), (N,) -> (N,), (N, K)."""
        together = tf.concat(tf.unstack(perturbed, num=3, axis=1), axis=0)
        logits = tf.split(model(together, training=True), 3)
        adversarial = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits[0])
        return adversarial + self.jsd * jensen_shannon(logits), logits[0]


COMPONENT = AugMixAdversarialTraining
