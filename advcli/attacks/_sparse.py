"""How APGD steps in an l1 ball: along few coordinates, ever fewer as its best points get sparser.

Croce and Hein 2021, https://arxiv.org/abs/2103.01208; the constants are those of their code.
"""

from typing import NamedTuple

from advcli.attacks._rounds import by_image
from advcli.backend import Tensor, tf
from advcli.threat import l1_ball

# The radii that a run may begin with, as multiples of eps, and their shares of the steps.
LARGER = ((3, 0.3), (2, 0.3))


class Sparse(NamedTuple):
    """The next step of each image, and what the last checkpoint has seen.

    Attributes:
        length: (N,) the step's l1 length.
        share: (N,) the share of the coordinates that it moves.
        moved: (N,) how many coordinates of the best point differed from the image's.
    """

    length: Tensor
    share: Tensor
    moved: Tensor

    def checked(self, check: Tensor, perturbation: Tensor, eps: float) -> tuple["Sparse", Tensor]:
        """At a checkpoint, adapt the step to the best points' perturbations: -> the step, (N,) who starts anew there.

        A best point that got sparser deserves long steps again, along fewer coordinates; else they get shorter.
        """
        moved, share = _sparsity(perturbation)
        sparser = moved < 0.95 * self.moved
        length = tf.where(sparser, eps, tf.clip_by_value(self.length / 1.5, eps / 10, eps))
        adapted = Sparse(length, share, moved)
        return Sparse(*(tf.where(check, new, old) for new, old in zip(adapted, self, strict=True))), check & sparser

    def step(self, gradient: Tensor) -> Tensor:
        """Return the step along the gradient's greatest coordinates: (N, H, W, C) -> (N, H, W, C)."""
        return by_image(self.length) * l1_ball.sparse_step(gradient, self.share)


def at_first(images: Tensor, eps: float) -> Sparse:
    """Return the first step of a run from a random point."""
    every = tf.ones(tf.shape(images)[:1])
    coordinates = tf.cast(tf.reduce_prod(tf.shape(images)[1:]), tf.float32)
    return Sparse(eps * every, 0.2 * every, coordinates * every)


def going_on(perturbation: Tensor, eps: float) -> Sparse:
    """Return the first step of a run from a point that another run has found."""
    moved, share = _sparsity(perturbation)
    return Sparse(eps * tf.ones_like(moved), share, moved)


def checkpoints_of(steps: int) -> list[int]:
    """Return, for each step from 0 on, over how many steps it looks back if it is a checkpoint, else 0."""
    window = max(int(0.04 * steps), 1)
    return [window if step and step % window == 0 else 0 for step in range(steps + 1)]


def stages_of(eps: float, steps: int) -> list[tuple[float, int]]:
    """Return the radii of a run that begins with larger ones, and the steps in each."""
    first = [(factor * eps, int(share * steps)) for factor, share in LARGER]
    return [*first, (eps, steps - sum(taken for _, taken in first))]


def _sparsity(perturbation: Tensor) -> tuple[Tensor, Tensor]:
    """Count the coordinates that moved, and say along which share of all to step: -> (N,), (N,)."""
    moved = tf.reduce_sum(tf.cast(perturbation != 0, tf.float32), axis=(1, 2, 3))
    return moved, moved / tf.cast(tf.reduce_prod(tf.shape(perturbation)[1:]), tf.float32) / 1.5
