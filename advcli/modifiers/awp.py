"""Adversarial weight perturbation: the gradient is taken at weights perturbed to increase the loss.

Wu, Xia and Wang 2020, https://arxiv.org/abs/2004.05884
"""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.modifiers import WeightPerturbation
from advcli.tracing import as_written


@as_written
@dataclass(frozen=True)
class AdversarialWeightPerturbation(WeightPerturbation):
    """Perturb each weight w by ``gamma * ||w|| * g / ||g||``, g = d loss / d w; biases are unchanged.

    Cost: one more forward and backward pass for each update, about a tenth more with ten steps of PGD. The published
    code computes g on a copy of the network; here too the pass for g does not change the statistics of BatchNorm. Known
    failure: with a large gamma, or from the first epoch of a difficult training on, the loss does not decrease.

    Args:
        gamma: norm of the perturbation as a fraction of the weight's norm; the paper uses 0.005 for TRADES and 0.01 for
        PGD adversarial training.
    """

    gamma: float = 0.005

    def __post_init__(self) -> None:
        if self.gamma <= 0:
            raise UsageError(f"gamma is not positive: {self.gamma:g}")

    def displacement(self, weights: Sequence[Tensor], gradients: Sequence[Tensor]) -> list[Tensor]:
        """Return the perturbation of each weight; zero for rank 0 and 1, which are biases and BatchNorm's weights."""
        return [
            self._along(tf.convert_to_tensor(weight), gradient) if len(weight.shape) > 1 else tf.zeros_like(gradient)
            for weight, gradient in zip(weights, gradients, strict=True)
        ]

    def _along(self, weight: Tensor, gradient: Tensor) -> Tensor:
        return self.gamma * tf.norm(weight) * tf.math.divide_no_nan(gradient, tf.norm(gradient))


COMPONENT = AdversarialWeightPerturbation
