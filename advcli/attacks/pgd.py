"""Projected gradient descent: many small steps, each projected onto the ball.

Madry, Makelov, Schmidt, Tsipras and Vladu 2018, https://arxiv.org/abs/1706.06083; in l1 with the
sparse steps of Tramèr and Boneh 2019, https://arxiv.org/abs/1904.13000
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import Batch, Network, in_rounds, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError, nearest
from advcli.threat.gradient import ascend, loss_gradient, projected_step, refuse_bad_steps
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written

SCHEDULES = ("constant", "linear", "cosine")


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    point: Tensor
    answer: Tensor


@as_written
@dataclass(frozen=True)
class PGD(Attack):
    """``x <- project(x + step * sign(gradient))`` for linf; steepest-ascent steps on the loss for other norms.

    Args:
        steps: number of gradient steps.
        step: length of the first step, in the units of eps; 0 means that the lengths of all steps sum to 2.5 eps.
        random_start: start at a random point of the ball, not at the image.
        restarts: number of runs from different random points; a run skips images that are already adversarial.
        schedule: lengths of the steps after the first: constant; or decaying to zero: linear, cosine.
        eot: number of gradients to average at each point, for a randomised model.
        stop: an image stops at its first adversarial point; false: the last iterate is returned.
    """

    kind: ClassVar[str] = "gradient"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")
    lengths: ClassVar[tuple[str, ...]] = ("step",)

    steps: int = 20
    step: float = 0.0
    random_start: bool = True
    restarts: int = 1
    schedule: str = "constant"
    eot: int = 1
    stop: bool = False

    def __post_init__(self) -> None:
        refuse_bad_steps(self.steps, self.step)
        for option in ("restarts", "eot"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if self.schedule not in SCHEDULES:
            raise UsageError(f"pgd has no schedule '{self.schedule}'", nearest(self.schedule, SCHEDULES))
        if self.restarts > 1 and not self.random_start:
            raise UsageError("restarts without a random start are identical", "leave random_start=false out")

    def paces(self, threat: Threat) -> list[float | Tensor]:
        """Return the lengths of the steps, in the units of eps."""
        progress = [index / self.steps for index in range(self.steps)]
        if self.schedule == "constant":
            shares = [1.0] * self.steps
        elif self.schedule == "linear":
            shares = [1 - done for done in progress]
        else:
            shares = [(1 + math.cos(math.pi * done)) / 2 for done in progress]
        return [threat.length(self.step, 2.5 / sum(shares)) * share for share in shares]

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the first adversarial point, or the last iterate of a run: (N, H, W, C), (N,) -> (N, H, W, C)."""
        run = self._until_adversarial if self.stop else self._to_the_end
        if self.restarts == 1:
            return run(logits_fn, images, labels, threat, rng)

        @as_written
        def search(network: Network, threat: Threat, restart: Tensor, batch: Batch) -> Tensor:
            return run(network, batch.images, batch.labels, threat, batch.rng)

        return in_rounds(search, logits_fn, images, labels, threat, rng, restarts=self.restarts)

    def _to_the_end(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        @as_written
        def direction(point: Tensor, *_: Tensor) -> Tensor:
            return loss_gradient(logits_fn, point, labels, threat, self.eot)[0]

        return ascend(direction, self._start(images, threat, rng), images, threat, self.paces(threat))

    def _until_adversarial(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        # The last look needs no step, but has an index.
        lengths = tf.stack([tf.cast(length, tf.float32) for length in (*self.paces(threat), 0.0)])

        @as_written
        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            gradient, logits = loss_gradient(network, state.point, state.label, threat, self.eot)
            ahead = projected_step(state.point, gradient, lengths[index], state.image, threat)
            return state._replace(point=ahead, answer=state.point), threat.is_adversarial(logits, state.label)

        start = self._start(images, threat, rng)
        state = _State(image=images, label=labels, point=start, answer=start)
        # The first look is at the start, so there is one more than steps.
        return until_adversarial(step, logits_fn, threat, lambda state: state.answer, state, self.steps + 1)

    def _start(self, images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
        return threat.sample(images, rng) if self.random_start else images


COMPONENT = PGD
