"""Fast adaptive boundary attack: the minimum-norm perturbation towards each of the likeliest other classes.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044, in its targeted form; the constants are those of their code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

from advcli.attacks import Attack
from advcli.attacks._boundary import Walk
from advcli.attacks._minimal import none_found, project_outside
from advcli.attacks._refinement import PULLS, refined
from advcli.attacks._rounds import Batch, Network, by_image, in_rounds, on_the_surface
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat
from advcli.tracing import as_written


@dataclass(frozen=True)
class FAB(Attack):
    """Project onto the linearised boundary with a bias towards the image; step back towards the image once across.

    If no adversarial point inside the ball is found, the nearest adversarial point is projected onto the ball.

    Args:
        steps: number of steps of a run.
        restarts: runs towards each class, the first from the image; for images not fooled yet.
        targets: how many classes, from the second likeliest on.
        alpha_max: the greatest weight of the step that starts from the image.
        eta: how far a step goes, 1 being to the boundary.
        beta: where to go on after a point across the boundary, 0 being the image.
        stop: an image is done at the first adversarial point; false: each class is searched to the end, and the
            least of all perturbations found is returned.
        refine: without stop: steps of each of the searches that come after, for this one ends in local minima: walks
            that are drawn more towards the image and the descents of fmn and, in l2, ddn; 0: the paper's search alone.
    """

    kind: ClassVar[str] = "minimum-norm"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")

    steps: int = 100
    restarts: int = 1
    targets: int = 9
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    stop: bool = False
    refine: int = 100

    def __post_init__(self) -> None:
        for option in ("steps", "restarts", "targets"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if self.refine < 0:
            raise UsageError(f"refine is negative: {self.refine}", "give 0 for the paper's search alone")
        for option in ("alpha_max", "beta"):
            if not 0 <= getattr(self, option) <= 1:
                raise UsageError(f"{option} is not between 0 and 1: {getattr(self, option):g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Run towards each target class: (N, H, W, C), (N,) -> (N, H, W, C)."""

        @as_written
        def run(network: Network, threat: Threat, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch, restart)

        rounds = {"restarts": self.restarts, "targets": self.targets, "nearest": not self.stop}
        found = in_rounds(run, logits_fn, images, labels, threat, rng, **rounds)
        if self.stop:
            return found
        best = none_found(images).updated(found, threat.is_adversarial(logits_fn(found), labels), images, threat)
        pulls = tuple(pull for pull in PULLS if pull != self.alpha_max)
        best = refined(best, logits_fn, images, labels, threat, rng, self.refine, pulls=pulls)
        return best.within(images, threat, otherwise=found)

    @as_written
    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch, restart: Tensor) -> Tensor:
        start = batch.images
        if self.restarts > 1:
            # As in the paper no farther than half of the way to what was found before.
            share = by_image(tf.minimum(batch.size / threat.eps, 1.0)) / 2
            delta = share * on_the_surface(threat, start, batch.rng)
            start = tf.clip_by_value(start + tf.where(restart == 0, 0.0, delta), 0.0, 1.0)
        found = Walk(self.steps, self.alpha_max, self.eta, self.beta, self.stop)(logits_fn, threat, batch, start)
        return found if not self.stop else project_outside(found, batch.images, threat)


COMPONENT = FAB
