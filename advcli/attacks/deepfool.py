"""DeepFool: steps onto the nearest decision boundary of the linearised network, untargeted.

Moosavi-Dezfooli, Fawzi and Frossard 2016, https://arxiv.org/abs/1511.04599
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._minimal import dual_size, project_outside, to_hyperplane
from advcli.attacks._rounds import Network, by_image, of_class, pick_images, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# As a share of the largest perturbation that there is: robust networks bend on the way to a far hyperplane.
_LONGEST = 0.03


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    classes: Tensor
    moved: Tensor
    point: Tensor


@dataclass(frozen=True)
class DeepFool(Attack):
    """Step past the nearest of the hyperplanes on which a wrong class has the logit of the label.

    The distance to a hyperplane is the minimum inside [0, 1]: a pixel at 0 or 1 can move in one direction only.

    Args:
        steps: maximum number of steps; an image stops when it is misclassified.
        candidates: number of wrong classes to consider, the likeliest first; each needs one gradient a step.
        overshoot: length of a step beyond the boundary, as a fraction of the distance to it.
    """

    kind: ClassVar[str] = "minimum-norm"
    targeted: ClassVar[bool] = False

    steps: int = 100
    candidates: int = 9
    overshoot: float = 0.02

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        if self.candidates < 1:
            raise UsageError(f"candidates is less than one: {self.candidates}")
        if self.overshoot < 0:
            raise UsageError(f"overshoot is negative: {self.overshoot:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the first misclassified iterate, projected onto the ball: (N, H, W, C), (N,) -> (N, H, W, C)."""

        def step(network: Network, threat: Threat, _: Tensor, state: _State) -> tuple[_State, Tensor]:
            way, is_adversarial = self._way_to_nearest(network, state, threat)
            moved = state.moved + way
            point = tf.clip_by_value(state.image + (1 + self.overshoot) * moved, 0.0, 1.0)
            return state._replace(moved=moved, point=pick_images(is_adversarial, state.point, point)), is_adversarial

        logits = logits_fn(images)
        own = tf.one_hot(labels, logits.shape[1], on_value=True, off_value=False, dtype=tf.bool)
        wrong = tf.where(own, -float("inf"), logits)
        classes = tf.math.top_k(wrong, min(self.candidates, logits.shape[1] - 1)).indices
        state = _State(images, labels, classes, tf.zeros_like(images), images)
        return project_outside(
            until_adversarial(step, logits_fn, threat, lambda state: state.point, state, self.steps), images, threat
        )

    def _way_to_nearest(self, network: Network, state: _State, threat: Threat) -> tuple[Tensor, Tensor]:
        """Return the step to the nearest hyperplane, and which images are misclassified: (n, H, W, C), (n,)."""
        way = tf.zeros_like(state.point)
        least = tf.fill(tf.shape(state.label), float("inf"))
        is_adversarial = tf.zeros_like(state.label, tf.bool)

        def lead(point: Tensor, rivals: Tensor) -> tuple[Tensor, tuple[Tensor, Tensor]]:
            logits = network(point)
            behind = of_class(logits, state.label) - of_class(logits, rivals)
            return -behind, (logits, behind)

        for i in tf.range(tf.shape(state.classes)[1]):
            gradient, (logits, behind) = gradient_and_aux(partial(lead, rivals=state.classes[:, i]), state.point)
            gradient = threat.restrict(gradient)
            # Aiming at the boundary itself, float32 may stop short of it for ever.
            height = tf.abs(behind) + 1e-6 * tf.reduce_max(tf.abs(logits), axis=1)
            step = to_hyperplane(state.point, gradient, -height, threat.norm)
            gain = tf.reduce_sum(gradient * step, axis=(1, 2, 3))
            # What no point of [0, 1] reaches counts by how much of the way is left.
            size = threat.size(step)
            distance = tf.math.divide_no_nan(size, tf.minimum(gain / height, 1.0))
            # The linearisation is not trusted farther than without [0, 1]: a network is not linear as far as that.
            trusted = tf.math.divide_no_nan(height, dual_size(gradient, threat))
            trusted = tf.minimum(trusted, _LONGEST * threat.size(tf.ones_like(step)))
            step *= by_image(tf.minimum(1.0, tf.math.divide_no_nan(trusted, size)))
            nearer = (gain > 0) & (distance < least)
            way = pick_images(nearer, step, way)
            least = tf.where(nearer, distance, least)
            is_adversarial = threat.is_adversarial(logits, state.label)
        return way, is_adversarial


COMPONENT = DeepFool
