"""Simple black-box attack: change one random pixel after another, and keep changes that increase the loss.

Guo, Gardner, You, Wilson and Weinberger 2019, https://arxiv.org/abs/1905.07121
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import Network, pick_images, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    order: Tensor
    pixels: Tensor
    point: Tensor
    loss: Tensor
    is_adversarial: Tensor


@dataclass(frozen=True)
class SimBA(Attack):
    """Try plus and minus a step along each pixel and channel, in random order.

    Args:
        queries: maximum number of forward passes for each image; it stops at its first adversarial point.
        step: change of a pixel value in [0, 1]; 0 means eps for linf and the paper's 0.2 for l2.
    """

    kind: ClassVar[str] = "score"
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    queries: int = 5000
    step: float = 0.0

    def __post_init__(self) -> None:
        if self.queries < 3:
            raise UsageError(f"queries is too small for one step: {self.queries}", "the first step takes 3")
        if self.step < 0:
            raise UsageError(f"step is negative: {self.step:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the first adversarial point, or the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        length = self.step or (threat.eps if threat.norm is Norm.LINF else 0.2)
        pixels = tf.reduce_prod(tf.shape(images)[1:])

        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            one_hot = tf.one_hot(tf.gather(state.order, index % state.pixels, axis=1, batch_dims=1), pixels)
            way = length * tf.reshape(one_hot, tf.shape(state.point))
            done = state.is_adversarial
            accepted = state.is_adversarial
            for sign in (1.0, -1.0):
                point = threat.project(state.point + sign * way, state.image)
                logits = network(point)
                loss = threat.loss(logits, state.label)
                better = ~accepted & (loss > state.loss)
                accepted |= better
                state = state._replace(
                    point=pick_images(better, point, state.point),
                    loss=tf.where(better, loss, state.loss),
                    is_adversarial=tf.where(better, threat.is_adversarial(logits, state.label), state.is_adversarial),
                )
            return state, done | state.is_adversarial

        logits = logits_fn(images)
        # Values that may not change come last, and are not tried.
        free = tf.reshape(threat.restrict(tf.ones_like(images)), (-1, pixels))
        count = tf.maximum(tf.cast(tf.reduce_sum(free, axis=1), tf.int32), 1)
        order = tf.argsort(rng.uniform([pixels]) - free, axis=1)
        state = _State(
            images, labels, order, count, images, threat.loss(logits, labels), threat.is_adversarial(logits, labels)
        )
        return until_adversarial(step, logits_fn, threat, lambda state: state.point, state, (self.queries - 1) // 2)


COMPONENT = SimBA
