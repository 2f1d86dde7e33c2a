"""Worst case over a grid of rotations and translations: the whole image is moved, without additive perturbation.

Engstrom, Tran, Tsipras, Schmidt and Madry 2019, https://arxiv.org/abs/1712.02779. Pixels from outside the image are
black, as in the paper, which rotates by up to 30 degrees and shifts by up to 3 pixels of 32 or 24 of 224.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import Network, headway, pick_images, until_adversarial
from advcli.attacks._warp import Placement, draw, middle
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    best: Tensor
    loss: Tensor
    was_adversarial: Tensor


@dataclass(frozen=True)
class Spatial(Attack):
    """Rotate and shift the image by each point of a grid, in the order of increasing movement.

    The unchanged image comes first, so that the result has a greater loss than the image, or is adversarial.

    Args:
        degrees: maximum rotation in degrees, in both directions.
        shift: maximum shift in both directions, as a fraction of the height and of the width.
        angles: number of evenly spaced angles.
        places: number of evenly spaced shifts along each axis.
        stop: an image stops at the first adversarial transformation; false: the whole grid is searched.
    """

    kind: ClassVar[str] = "spatial"
    bounded: ClassVar[bool] = False

    degrees: float = 30.0
    shift: float = 0.1
    angles: int = 31
    places: int = 5
    stop: bool = True

    def __post_init__(self) -> None:
        if not 0 <= self.degrees <= 180:
            raise UsageError(f"degrees is not between 0 and 180: {self.degrees:g}")
        if not 0 <= self.shift <= 1:
            raise UsageError(f"shift is not a fraction of the image: {self.shift:g}", "give a number from 0 to 1")
        for option in ("angles", "places"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")

    @property
    def most_queries(self) -> int:
        """How often it asks the model about an image at most."""
        return len(self.moves())

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the image under the first adversarial transformation, or that of greatest loss: -> (N, H, W, C)."""
        moves = self.moves()
        grid = tf.constant(moves, tf.float32)

        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            moved = tf.ensure_shape(self._move(state.image, grid[index]), state.image.shape)
            logits = network(moved)
            is_adversarial = threat.is_adversarial(logits, state.label)
            loss = headway(threat, logits, state.label)
            better = (is_adversarial & ~state.was_adversarial) | (
                (is_adversarial == state.was_adversarial) & (loss > state.loss)
            )
            state = state._replace(
                best=pick_images(better, moved, state.best),
                loss=tf.where(better, loss, state.loss),
                was_adversarial=is_adversarial | state.was_adversarial,
            )
            return state, is_adversarial & self.stop

        number = tf.zeros_like(labels, tf.float32)
        state = _State(images, labels, images, loss=number - math.inf, was_adversarial=number != 0)
        return until_adversarial(step, logits_fn, threat, lambda state: state.best, state, len(moves))

    def moves(self) -> list[tuple[float, float, float]]:
        """Return (angle, shift down, shift right) as fractions of their maxima; the first is (0, 0, 0)."""
        turns, shifts = _spread(self.angles), _spread(self.places)
        return sorted({(0.0, 0.0, 0.0), *product(turns, shifts, shifts)}, key=lambda move: (math.hypot(*move), move))

    def _move(self, images: Tensor, move: Tensor) -> Tensor:
        height, width = tf.shape(images)[1], tf.shape(images)[2]
        placement = Placement(
            angle=move[0:1] * math.radians(self.degrees),
            scale=tf.ones([1]),
            row=middle(height) + move[1:2] * self.shift * tf.cast(height, tf.float32),
            column=middle(width) + move[2:3] * self.shift * tf.cast(width, tf.float32),
        )
        return draw(images, placement, height, width)


def _spread(count: int) -> list[float]:
    """Return evenly spaced numbers from -1 to 1; a single number is 0."""
    return [(2 * i - count + 1) / (count - 1) for i in range(count)] if count > 1 else [0.0]


COMPONENT = Spatial
