"""Adversarial training: cross-entropy on adversarial images of the batch.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018, https://arxiv.org/abs/1706.06083
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.backend import KerasModel, Tensor, tf
from advcli.objectives import Objective
from advcli.threat.inner_maximization import InnerMaximization
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class PGDAdversarialTraining(Objective):
    """``CE(f(x'), y)`` with ``x'`` from the attack of the training command (``pgd:steps=7`` by default).

    Cost with an attack of k steps: k passes for the input gradient and one for the weights. Known failure: robust
    overfitting; robust test accuracy falls late in training while clean accuracy still rises.
    """

    robust: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps", "attack")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Attack the images: (N, H, W, C), (N,) -> (N, H, W, C)."""
        return inner.attack(images, labels)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the adversarial images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits


COMPONENT = PGDAdversarialTraining
