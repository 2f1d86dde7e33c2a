"""Random points of the ball: the baseline that every attack must exceed.

Fawzi, Moosavi-Dezfooli and Frossard 2016, https://arxiv.org/abs/1608.08967, compare random and worst-case noise.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._rounds import pick_images
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Noise(Attack):
    """The point of greatest loss among points sampled uniformly from the ball.

    Args:
        queries: number of points.
    """

    kind: ClassVar[str] = "random"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1", "l0")

    queries: int = 10

    def __post_init__(self) -> None:
        if self.queries < 1:
            raise UsageError(f"queries is less than one: {self.queries}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the point of greatest loss: (N, H, W, C), (N,) -> (N, H, W, C)."""
        best = images
        greatest = tf.fill(tf.shape(labels), -float("inf"))
        for i in tf.range(self.queries):
            point = threat.sample(images, rng.fold(i))
            loss = threat.loss(logits_fn(point), labels)
            best = pick_images(loss > greatest, point, best)
            greatest = tf.maximum(loss, greatest)
        return best


COMPONENT = Noise
