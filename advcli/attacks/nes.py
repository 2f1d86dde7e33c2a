"""Natural evolution strategies: steps along a gradient estimated from the scores of random neighbours.

Ilyas, Engstrom, Athalye and Lin 2018, https://arxiv.org/abs/1804.08598
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import Network, by_image, pick_images, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    seeds: Tensor
    point: Tensor


@dataclass(frozen=True)
class NES(Attack):
    """Projected steps along ``sum (loss(x + sigma u) - loss(x - sigma u)) u`` over Gaussian ``u``.

    Args:
        queries: maximum number of forward passes for each image; it stops at its first adversarial point.
        samples: number of forward passes for one estimate of the gradient, an even number.
        sigma: distance of the neighbours: standard deviation of a pixel value in [0, 1].
        step: length of a step, in the units of eps; 0 means 0.2 eps.
    """

    kind: ClassVar[str] = "score"
    lengths: ClassVar[tuple[str, ...]] = ("sigma", "step")

    queries: int = 5000
    samples: int = 50
    sigma: float = 0.001
    step: float = 0.0

    def __post_init__(self) -> None:
        if self.samples < 2 or self.samples % 2:
            raise UsageError(f"samples is not a number of pairs: {self.samples}", "give an even number")
        if self.queries <= self.samples:
            raise UsageError(f"queries is too small for one step: {self.queries}", f"a step takes {self.samples + 1}")
        if self.sigma <= 0:
            raise UsageError(f"sigma is not positive: {self.sigma:g}")
        if self.step < 0:
            raise UsageError(f"step is negative: {self.step:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the first adversarial point, or the last iterate: (N, H, W, C), (N,) -> (N, H, W, C)."""

        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            is_adversarial = threat.is_adversarial(network(state.point), state.label)
            gradient = self._estimate(network, state, threat, ImageRng(state.seeds).fold(index))
            moved = state.point + threat.length(self.step, 0.2) * threat.steepest(gradient)
            moved = threat.project(moved, state.image)
            return state._replace(point=pick_images(is_adversarial, state.point, moved)), is_adversarial

        steps = self.queries // (self.samples + 1)
        return until_adversarial(
            step, logits_fn, threat, lambda state: state.point, _State(images, labels, rng.seeds, images), steps
        )

    def _estimate(self, network: Network, state: _State, threat: Threat, rng: ImageRng) -> Tensor:
        total = tf.zeros_like(state.point)
        for i in tf.range(self.samples // 2):
            way = threat.restrict(rng.fold(i).normal(tf.shape(state.point)[1:]))
            up = threat.loss(network(state.point + self.sigma * way), state.label)
            down = threat.loss(network(state.point - self.sigma * way), state.label)
            total += by_image(up - down) * way
        return total / (self.sigma * self.samples)


COMPONENT = NES
