"""Adversarial regularization of neural-structured-learning: loss(x) + multiplier * loss(x').

Goodfellow, Shlens and Szegedy 2015, https://arxiv.org/abs/1412.6572, as the library generalises it
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from advcli.backend import Tensor, neural_structured_learning, tf
from advcli.errors import UsageError, nearest

NORMS = ("infinity", "l2", "l1")


@dataclass(frozen=True)
class NSL:
    """``CE(f(x), y) + multiplier * CE(f(x'), y)`` with the library's own adversarial neighbour x'.

    Two forward passes, one backward pass to the input and two to the weights. BatchNorm is in
    training mode in all of them, as in the library. Known failure: a single large step without a
    random start can teach the network to mask its gradient.

    Args:
        multiplier: weight of the adversarial loss.
        adv_step_size: length of the step, in units of [0, 1].
        adv_grad_norm: infinity, l2 or l1: the norm in which the step has that length.
    """

    multiplier: float = 0.2
    adv_step_size: float = 0.2
    adv_grad_norm: str = "infinity"

    robust: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.adv_grad_norm not in NORMS:
            raise UsageError(f"unknown adv_grad_norm '{self.adv_grad_norm}'", nearest(self.adv_grad_norm, NORMS))
        if self.multiplier < 0 or self.adv_step_size < 0:
            raise UsageError("multiplier and adv_step_size of 'nsl' must not be negative")

    def __call__(
        self, model: Any, images: Tensor, labels: Tensor, adversary: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """Return the loss and the clean logits: (N, H, W, C), (N,) -> (N,), (N, K)."""
        nsl = neural_structured_learning()
        config = nsl.configs.make_adv_reg_config(
            multiplier=self.multiplier,
            adv_step_size=self.adv_step_size,
            adv_grad_norm=self.adv_grad_norm,
            # Given for the plain tensor, not through the library's Keras wrapper, which ignores it.
            clip_value_min=0.0,
            clip_value_max=1.0,
        )
        with tf.GradientTape() as tape:
            tape.watch(images)
            logits = model(images, training=True)
            clean = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
            mean = tf.reduce_mean(clean)
        neighbour, _ = nsl.lib.gen_adv_neighbor(images, mean, config=config.adv_neighbor_config, gradient_tape=tape)
        perturbed = model(tf.stop_gradient(neighbour), training=True)
        adversarial = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, perturbed)
        return clean + config.multiplier * adversarial, logits


COMPONENT = NSL
