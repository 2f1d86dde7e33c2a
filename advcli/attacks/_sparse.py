"""Sparse steps of APGD in an l1 ball: fewer coordinates as the best points become sparser.

Croce and Hein 2021, https://arxiv.org/abs/2103.01208; the constants are those of their code.
"""

from typing import NamedTuple

from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.threat import l1_ball

# The radii of the stages of a run, as multiples of eps, and each stage's fraction of the steps.
LARGER = ((3, 0.3), (2, 0.3))


class Sparse(NamedTuple):
    """The next step of each image, and the sparsity at the last checkpoint.

    Attributes:
        length: (N,) the l1 length of the step.
        share: (N,) the fraction of the coordinates that the step changes.
        moved: (N,) the number of non-zero coordinates of the best point's perturbation.
    """

    length: Tensor
    share: Tensor
    moved: Tensor

    def checked(self, check: Tensor, perturbation: Tensor, eps: float) -> tuple["Sparse", Tensor]:
        """At a checkpoint, adapt the step to the best points' perturbations: -> the step, (N,) which images restart.

        If the best point became sparser, the step length is reset and the step changes fewer coordinates. Otherwise the
        step becomes shorter.
        """
        moved, share = _sparsity(perturbation)
        sparser = moved < 0.95 * self.moved
        length = tf.where(sparser, eps, tf.clip_by_value(self.length / 1.5, eps / 10, eps))
        adapted = Sparse(length, share, moved)
        return Sparse(*(tf.where(check, new, old) for new, old in zip(adapted, self, strict=True))), check & sparser

    def step(self, gradient: Tensor) -> Tensor:
        """Return the step along the coordinates of greatest absolute gradient: (N, H, W, C) -> (N, H, W, C)."""
        return by_image(self.length) * l1_ball.sparse_step(gradient, self.share)


def at_first(images: Tensor, eps: float) -> Sparse:
    """Return the first step of a run from a random point."""
    every = tf.ones(tf.shape(images)[:1])
    coordinates = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
    return Sparse(eps * every, 0.2 * every, coordinates * every)


def going_on(perturbation: Tensor, eps: float) -> Sparse:
    """Return the first step of a run that starts at the result of another run."""
    moved, share = _sparsity(perturbation)
    return Sparse(eps * tf.ones_like(moved), share, moved)


def checkpoints_of(steps: int) -> list[int]:
    """Return, for each step from 0, the number of steps since the last checkpoint if it is a checkpoint, else 0."""
    window = max(int(0.04 * steps), 1)
    return [window if step and step % window == 0 else 0 for step in range(steps + 1)]


def stages_of(eps: float, steps: int) -> list[tuple[float, int]]:
    """Return the radii of a run that starts in larger balls, and the number of steps in each."""
    first = [(factor * eps, int(share * steps)) for factor, share in LARGER]
    return [*first, (eps, steps - sum(taken for _, taken in first))]


def _sparsity(perturbation: Tensor) -> tuple[Tensor, Tensor]:
    """Return the number of non-zero coordinates, and the fraction of coordinates for the next step: -> (N,), (N,)."""
    moved = tf.reduce_sum(tf.cast(perturbation != 0, tf.float32), axis=(1, 2, 3))
    return moved, moved / tf.cast(tf.reduce_prod(tf.shape(perturbation)[1:]), tf.float32) / 1.5
