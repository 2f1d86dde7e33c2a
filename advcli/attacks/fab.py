"""Fast adaptive boundary attack: the smallest perturbation that reaches one of the likely other classes.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044, in its targeted form; the constants are those of their code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks._minimal import to_hyperplane
from advcli.attacks._rounds import (
    Batch,
    Network,
    best_other,
    by_image,
    in_rounds,
    of_class,
    on_the_surface,
    until_broken,
)
from advcli.backend import Tensor, tf
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.threat import Threat


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    target: Tensor
    point: Tensor
    size: Tensor
    answer: Tensor


@dataclass(frozen=True)
class FAB:
    """Steps onto the linearised boundary, drawn towards the image, and back inside once across.

    An image that nothing in the ball breaks is returned at the nearest adversarial point found,
    brought back into the ball.

    Args:
        steps: number of steps of a run.
        restarts: runs towards each class, the first from the image; for images not broken yet.
        targets: how many classes, from the second likeliest on.
        alpha_max: the greatest weight of the step that starts from the image.
        eta: how far a step goes, 1 being to the boundary.
        beta: where to go on after a point across the boundary, 0 being the image.
        stop: an image is done at the first point that breaks it; false: it goes on to a smaller perturbation.
    """

    kind: ClassVar[str] = "smallest"

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
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, draws: Draws
    ) -> Tensor:
        """Search towards each target: (N, H, W, C), (N,) -> (N, H, W, C)."""

        def run(network: Network, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch, restart)

        rounds = {"restarts": self.restarts, "targets": self.targets, "nearest": not self.stop}
        return in_rounds(run, logits_fn, images, labels, threat, draws, **rounds)

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch, restart: Tensor) -> Tensor:
        def step(network: Network, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            lead, gradient = self._boundary(network, threat, state)
            point = self._towards(state, lead, gradient, threat)
            won = threat.won(network(point), state.label)
            size = threat.size(point - state.image)
            nearer = won & (size < state.size)
            # Until a first point is across, the answer is where the search stands.
            update = nearer | ~tf.math.is_finite(state.size)
            state = state._replace(
                point=tf.where(by_image(won), state.image + self.beta * (point - state.image), point),
                size=tf.where(nearer, size, state.size),
                answer=tf.where(by_image(update), point, state.answer),
            )
            return state, (state.size <= threat.eps) & self.stop

        start = batch.images
        if self.restarts > 1:
            delta = on_the_surface(threat, start, batch.draws) / 2
            start = tf.clip_by_value(start + tf.where(restart == 0, 0.0, delta), 0.0, 1.0)
        size = tf.zeros_like(batch.labels, tf.float32) + float("inf")
        state = _State(batch.images, batch.labels, batch.targets, start, size, start)
        found = until_broken(step, logits_fn, lambda state: state.answer, state, self.steps)
        inside = threat.size(found - batch.images) <= threat.eps
        return tf.where(by_image(inside), found, threat.project(found, batch.images))

    def _boundary(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, state: _State) -> tuple[Tensor, Tensor]:
        """Return by how much the target's logit leads, and the gradient of that."""
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(state.point)
            logits = logits_fn(state.point)
            if threat.target is None:
                lead = of_class(logits, state.target) - of_class(logits, state.label)
            else:
                lead = of_class(logits, state.target) - best_other(logits, state.target)
            total = tf.reduce_sum(lead)
        return lead, tape.gradient(total, state.point, unconnected_gradients=tf.UnconnectedGradients.ZERO)

    def _towards(self, state: _State, lead: Tensor, gradient: Tensor, threat: Threat) -> Tensor:
        """Mean of two steps past the hyperplane, from where the search stands and from the image."""
        # The hyperplane's equation holds at the image too: only the distance to it differs.
        lead_of_image = lead + tf.reduce_sum(gradient * (state.image - state.point), axis=(1, 2, 3))
        both = to_hyperplane(
            tf.concat([state.point, state.image], 0),
            tf.tile(gradient, [2, 1, 1, 1]),
            tf.concat([lead, lead_of_image], 0),
            threat.norm,
        )
        from_point, from_image = tf.split(both, 2)
        near = tf.maximum(threat.size(from_point), 1e-8)
        far = tf.maximum(threat.size(from_image), 1e-8)
        alpha = by_image(tf.minimum(near / (near + far), self.alpha_max))
        ahead = (state.point + self.eta * from_point) * (1 - alpha) + (state.image + self.eta * from_image) * alpha
        return tf.clip_by_value(ahead, 0.0, 1.0)


COMPONENT = FAB
