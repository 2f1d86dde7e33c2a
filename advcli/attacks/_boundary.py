"""Walks along the decision boundary towards the image: FAB's steps, with which other searches end, too.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044; the constants are those of their code.
"""

from dataclasses import dataclass
from typing import NamedTuple

from advcli.attacks._minimal import to_hyperplane
from advcli.attacks._rounds import Batch, Network, best_other, by_image, of_class, pick_images, until_adversarial
from advcli.backend import Tensor, tf
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.threat import Threat
from advcli.tracing import as_written


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    target: Tensor
    point: Tensor
    size: Tensor
    answer: Tensor


@as_written
@dataclass(frozen=True)
class Walk:
    """Project onto the linearised boundary with a bias towards the image; step back towards the image once across.

    Args:
        steps: number of steps.
        alpha_max: upper bound of alpha, the weight of the step that starts at the image.
        eta: length of a step as a multiple of the distance to the hyperplane; 1 ends on it.
        beta: after an adversarial point x', continue at ``x + beta * (x' - x)``; 0 is the image x.
        stop: an image stops at the first adversarial point inside the ball.
    """

    steps: int
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    stop: bool = False

    def __call__(self, logits_fn: Network, threat: Threat, batch: Batch, start: Tensor) -> Tensor:
        """Return the nearest adversarial point found, or the last iterate: -> (N, H, W, C)."""

        @as_written
        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            lead, gradient = _boundary(network, threat, state)
            point = self._towards(state, lead, gradient, threat)
            is_adversarial = threat.is_adversarial(network(point), state.label)
            size = threat.size(point - state.image)
            nearer = is_adversarial & (size < state.size)
            # Until a first point is across, the answer is where the search stands.
            update = nearer | ~tf.math.is_finite(state.size)
            state = state._replace(
                point=pick_images(is_adversarial, state.image + self.beta * (point - state.image), point),
                size=tf.where(nearer, size, state.size),
                answer=pick_images(update, point, state.answer),
            )
            return state, (state.size <= threat.eps) & self.stop

        size = tf.zeros_like(batch.labels, tf.float32) + float("inf")
        state = _State(batch.images, batch.labels, batch.targets, start, size, start)
        return until_adversarial(step, logits_fn, threat, lambda state: state.answer, state, self.steps)

    def _towards(self, state: _State, lead: Tensor, gradient: Tensor, threat: Threat) -> Tensor:
        """Return ``(1 - alpha) * (point + eta * d1) + alpha * (image + eta * d2)``; d1, d2 reach the hyperplane."""
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


def _boundary(logits_fn: Network, threat: Threat, state: _State) -> tuple[Tensor, Tensor]:
    """Return the lead of the target class, (N,), and its gradient with respect to the image, (N, H, W, C).

    Untargeted: ``z_candidate - z_label``. Targeted: ``z_target - max of the other logits``.
    """

    def lead(point: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits_fn(point)
        other = of_class(logits, state.label) if threat.target is None else best_other(logits, state.target)
        ahead = of_class(logits, state.target) - other
        return ahead, ahead

    gradient, ahead = gradient_and_aux(lead, state.point)
    return ahead, threat.restrict(gradient)
