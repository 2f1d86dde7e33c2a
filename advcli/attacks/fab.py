"""Fast adaptive boundary attack: the smallest perturbation that reaches one of the likely other classes.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044, in its targeted form; the constants are those of their code.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

from advcli.attacks._rounds import Batch, best_other, by_image, in_rounds, of_class, on_the_surface, until_broken
from advcli.backend import Tensor, tf
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.threat import Norm, Threat


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

        def run(restart: Tensor, batch: Batch) -> Tensor:
            return self._run(logits_fn, threat, batch, restart)

        return in_rounds(run, logits_fn, images, labels, threat, draws, restarts=self.restarts, targets=self.targets)

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch, restart: Tensor) -> Tensor:
        def step(index: Tensor, state: _State) -> tuple[_State, Tensor]:
            lead, gradient = self._boundary(logits_fn, threat, state)
            point = self._towards(state, lead, gradient, threat)
            won = threat.won(logits_fn(point), state.label)
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
        found = until_broken(step, lambda state: state.answer, state, self.steps)
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
        from_point = to_hyperplane(state.point, gradient, lead, threat.norm)
        from_image = to_hyperplane(state.image, gradient, lead_of_image, threat.norm)
        near = tf.maximum(threat.size(from_point), 1e-8)
        far = tf.maximum(threat.size(from_image), 1e-8)
        alpha = by_image(tf.minimum(near / (near + far), self.alpha_max))
        ahead = (state.point + self.eta * from_point) * (1 - alpha) + (state.image + self.eta * from_image) * alpha
        return tf.clip_by_value(ahead, 0.0, 1.0)


def to_hyperplane(points: Tensor, normal: Tensor, height: Tensor, norm: Norm) -> Tensor:
    """Return the smallest steps that reach ``height + <normal, step> = 0`` inside [0, 1].

    A coordinate moves as far as all others (linf), or in proportion to its weight (l2), until it
    is at its end of [0, 1]. The height removed by a reach is therefore piecewise linear, with
    bends where coordinates stop; sorting those finds the reach that removes all of it. Where
    none does, every coordinate goes to its end.

    Args:
        points: (N, H, W, C).
        normal: (N, H, W, C).
        height: (N,).
        norm: what is smallest.
    """
    shape = tf.shape(points)
    downhill = -tf.sign(by_image(height)) * normal
    room = tf.where(downhill > 0, 1 - points, points)
    weight = tf.abs(normal)
    pace = tf.ones_like(weight) if norm is Norm.LINF else weight
    bends = tf.reshape(tf.math.divide_no_nan(room, pace), [shape[0], -1])
    slopes = tf.reshape(weight * pace, [shape[0], -1])
    order = tf.argsort(bends, axis=1)
    sorted_bends = tf.gather(bends, order, batch_dims=1)
    sorted_slopes = tf.gather(slopes, order, batch_dims=1)
    stopped = tf.cumsum(sorted_bends * sorted_slopes, axis=1, exclusive=True)
    moving = tf.cumsum(sorted_slopes, axis=1, reverse=True)
    removed = stopped + sorted_bends * moving
    wanted = tf.abs(height)[:, None]
    bend = tf.reduce_sum(tf.cast(removed < wanted, tf.int32), axis=1)
    last = tf.shape(bends)[1] - 1
    at = tf.minimum(bend, last)
    reach = tf.math.divide_no_nan(wanted[:, 0] - of_class(stopped, at), of_class(moving, at))
    reach = tf.where(bend > last, sorted_bends[:, -1], reach)
    return tf.sign(downhill) * tf.minimum(by_image(tf.maximum(reach, 0.0)) * pace, room)


COMPONENT = FAB
