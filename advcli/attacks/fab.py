"""Fast adaptive boundary attack: the minimum-norm perturbation towards each of the likeliest other classes.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044, in its targeted form; the constants are those of their code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._boundary import BISECTIONS, Walk
from advcli.attacks._minimal import bisected, project_outside
from advcli.attacks._rounds import Batch, Network, in_rounds, on_the_surface
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class FAB(Attack):
    """Project onto the linearised boundary with a bias towards the image; step back towards the image once across.

    If no adversarial point inside the ball is found, the nearest adversarial point is projected onto the ball.

    Args:
        steps: number of steps of a run.
        restarts: number of runs towards each class, the first from the image; a run skips adversarial images.
        targets: number of target classes, from the second likeliest onwards.
        alpha_max: upper bound of alpha, the weight of the step that starts at the image.
        eta: length of a step as a multiple of the distance to the hyperplane; 1 ends on it.
        beta: after an adversarial point x', continue at ``x + beta * (x' - x)``; 0 is the image x.
        stop: an image stops at its first adversarial point inside the ball; false: all classes are searched to the end,
        and the smallest perturbation is returned.
    """

    kind: ClassVar[str] = "minimum-norm"

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    stop: bool = False

    def __post_init__(self) -> None:
        for option in ("steps", "restarts", "targets"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        for option in ("alpha_max", "beta"):
            if not 0 <= getattr(self, option) <= 1:
                raise UsageError(f"{option} is not between 0 and 1: {getattr(self, option):g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Run towards each target class: (N, H, W, C), (N,) -> (N, H, W, C)."""

        def run(network: Network, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch, restart)

        rounds = {"restarts": self.restarts, "targets": self.targets, "nearest": not self.stop}
        found = in_rounds(run, logits_fn, images, labels, threat, rng, **rounds)
        if self.stop:
            return found
        closer = bisected(
            lambda points: threat.is_adversarial(logits_fn(points), labels), images, found, BISECTIONS, threat
        )
        return project_outside(closer, images, threat)

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch, restart: Tensor) -> Tensor:
        start = batch.images
        if self.restarts > 1:
            delta = on_the_surface(threat, start, batch.rng) / 2
            start = tf.clip_by_value(start + tf.where(restart == 0, 0.0, delta), 0.0, 1.0)
        found = Walk(self.steps, self.alpha_max, self.eta, self.beta, self.stop)(logits_fn, threat, batch, start)
        return found if not self.stop else project_outside(found, batch.images, threat)


COMPONENT = FAB
