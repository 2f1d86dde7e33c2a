"""Free adversarial training: each backward pass updates the weights and the perturbation, several times a batch.

Shafahi, Najibi, Ghiasi, Xu, Dickerson, Studer, Davis, Taylor and Goldstein 2019, https://arxiv.org/abs/1904.12843
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
class FreeAdversarialTraining(Objective):
    """``CE(f(x + d), y)``, then ``d = clip(d + eps * sign(gradient at x + d), -eps, eps)``, kept for the next batch.

    Cost: one forward and one backward pass for each update, as in standard training. BatchNorm is in training mode,
    because the same pass updates the weights. Divide the number of epochs by ``replays``. Known failure: with many
    replays, consecutive updates see the same images and clean accuracy falls.

    Args:
        replays: number of updates for each batch.
    """

    robust: ClassVar[bool] = True
    searches_in_training_pass: ClassVar[bool] = True
    uses: ClassVar[tuple[str, ...]] = ("eps",)
    norms: ClassVar[tuple[str, ...]] = ("linf",)

    replays: int = 8

    def __post_init__(self) -> None:
        if self.replays < 1:
            raise UsageError(f"replays is less than one: {self.replays}")

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        """Add the kept perturbation to the images: (N, H, W, C), (N,) -> (N, H, W, C)."""
        return tf.clip_by_value(images + inner.kept, 0.0, 1.0)

    def __call__(self, model: KerasModel, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the loss and the logits of the perturbed images: -> (N,), (N, K)."""
        logits = model(perturbed, training=True)
        return tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits), logits

    def climb(self, inner: InnerMaximization, images: Tensor, gradient: Tensor) -> Tensor:
        """Return the perturbation after an ascent step of length eps: (N, H, W, C) each."""
        eps = inner.threat.eps
        return tf.clip_by_value(inner.kept + eps * inner.threat.steepest(gradient), -eps, eps)


COMPONENT = FreeAdversarialTraining
