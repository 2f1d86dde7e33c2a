"""Walks along the decision boundary towards the image: FAB's step, with which other minimum-norm searches end, too.

Croce and Hein 2020, https://arxiv.org/abs/1907.02044; the constants are those of their code.
"""

from dataclasses import dataclass
from typing import NamedTuple

from advcli.attacks._minimal import Smallest, bisected, to_hyperplane
from advcli.attacks._rounds import Batch, Network, best_other, by_image, in_rounds, of_class, until_broken
from advcli.backend import Tensor, tf
from advcli.threat.gradient import gradient_and_aux
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# Halvings of the way from the image to the nearest adversarial point found: the last steps went a little too far.
BISECTIONS = 10


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    target: Tensor
    point: Tensor
    size: Tensor
    answer: Tensor


@dataclass(frozen=True)
class Walk:
    """Steps onto the linearised boundary, drawn towards the image, and back inside once across.

    Args:
        steps: number of steps.
        alpha_max: the greatest weight of the step that starts from the image.
        eta: how far a step goes, 1 being to the boundary.
        beta: where to go on after a point across the boundary, 0 being the image.
        stop: an image is done at the first adversarial point inside the ball.
    """

    steps: int
    alpha_max: float = 0.1
    eta: float = 1.05
    beta: float = 0.9
    stop: bool = False

    def __call__(self, logits_fn: Network, threat: Threat, batch: Batch, start: Tensor) -> Tensor:
        """Return the nearest adversarial point found, or where the walk ends: -> (N, H, W, C)."""

        def step(network: Network, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            lead, gradient = _boundary(network, threat, state)
            point = self._towards(state, lead, gradient, threat)
            is_adversarial = threat.is_adversarial(network(point), state.label)
            size = threat.size(point - state.image)
            nearer = is_adversarial & (size < state.size)
            # Until a first point is across, the answer is where the search stands.
            update = nearer | ~tf.math.is_finite(state.size)
            state = state._replace(
                point=tf.where(by_image(is_adversarial), state.image + self.beta * (point - state.image), point),
                size=tf.where(nearer, size, state.size),
                answer=tf.where(by_image(update), point, state.answer),
            )
            return state, (state.size <= threat.eps) & self.stop

        size = tf.zeros_like(batch.labels, tf.float32) + float("inf")
        state = _State(batch.images, batch.labels, batch.targets, start, size, start)
        return until_broken(step, logits_fn, lambda state: state.answer, state, self.steps)

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


def refined(
    best: Smallest, logits_fn: Network, images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng, steps: int
) -> Smallest:
    """Walk from the image towards each of nine likely classes, and put what is nearer in place of what was found.

    Args:
        best: the nearest adversarial images found by another search.
        logits_fn: the network.
        images: (N, H, W, C).
        labels: (N,).
        threat: the ball, which need not be kept.
        rng: the images' own.
        steps: of each walk; 0 leaves the other search's result as it is.
    """
    if steps == 0:
        return best

    def run(network: Network, restart: Tensor, batch: Batch) -> Tensor:
        return Walk(steps)(network, threat, batch, batch.images)

    found = in_rounds(run, logits_fn, images, labels, threat, rng, restarts=1, targets=9, nearest=True)
    best = best.updated(found, threat.is_adversarial(logits_fn(found), labels), images, threat)
    closer = bisected(
        lambda points: threat.is_adversarial(logits_fn(points), labels), images, best.image, BISECTIONS, threat
    )
    return best.updated(closer, tf.math.is_finite(best.size), images, threat)


def _boundary(logits_fn: Network, threat: Threat, state: _State) -> tuple[Tensor, Tensor]:
    """Return by how much the target's logit leads, and the gradient of that."""

    def lead(point: Tensor) -> tuple[Tensor, Tensor]:
        logits = logits_fn(point)
        other = of_class(logits, state.label) if threat.target is None else best_other(logits, state.target)
        ahead = of_class(logits, state.target) - other
        return ahead, ahead

    gradient, ahead = gradient_and_aux(lead, state.point)
    return ahead, gradient
