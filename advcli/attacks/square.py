"""Square attack: random search with squares (linf) or bumps (l2 and l1); queries the scores only.

Andriushchenko, Croce, Flammarion and Hein 2020, https://arxiv.org/abs/1912.00049; for l1 Croce and Hein 2021,
https://arxiv.org/abs/2103.01208, the constants being those of their code. Each image has its own random squares; the
authors' code uses one square for all images of a batch.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import (
    Batch,
    Network,
    averaged,
    best_other,
    by_image,
    in_rounds,
    of_class,
    pick_images,
    until_adversarial,
)
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat
from advcli.tracing import as_written

# The share of the image that a square covers is halved after these iterations.
HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
# The rings of a bump have weights 1, 1 / 2**power, 1 / 3**power ... from its centre: in l1 it is pointed.
POWERS = {Norm.L2: 2, Norm.L1: 4}


class _State(NamedTuple):
    row: Tensor
    image: Tensor
    low: Tensor
    high: Tensor
    label: Tensor
    best: Tensor
    loss: Tensor


@as_written
@dataclass(frozen=True)
class Square(Attack):
    """A random search without gradients, so that masked gradients are no defence against it.

    Args:
        queries: number of forward passes for candidate changes in a run.
        p: the initial fraction of the image that a change covers.
        restarts: number of runs; a run skips images that are already adversarial.
        rescale: scale the schedule of p, defined for 10,000 queries, to the number of queries.
        stop: an image stops at its first adversarial point; false: the loss is increased to the end.
        eot: number of forward passes whose mean logits count at each point, for a randomised model.
    """

    kind: ClassVar[str] = "score"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2", "l1")

    queries: int = 5000
    p: float = 0.8
    restarts: int = 1
    rescale: bool = False
    stop: bool = True
    eot: int = 1

    def __post_init__(self) -> None:
        for option in ("queries", "restarts", "eot"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if self.queries < self.eot:
            raise UsageError(f"queries {self.queries} is less than eot {self.eot}", "give at least as many")
        if not 0 < self.p <= 1:
            raise UsageError(f"p is not a fraction of the image: {self.p:g}", "give a number above 0, up to 1")

    @property
    def most_queries(self) -> int:
        """How often it asks the model about an image at most: also at the start and at the end of each run."""
        return self.eot * (1 + self.restarts * (self._steps + 2))

    @property
    def _steps(self) -> int:
        return self.queries // self.eot

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the best point of the random search: (N, H, W, C), (N,) -> (N, H, W, C)."""

        @as_written
        def run(network: Network, threat: Threat, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch)

        network = averaged(logits_fn, self.eot)
        return in_rounds(run, network, images, labels, threat, rng, restarts=self.restarts)

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch) -> Tensor:
        shares = self.shares()
        # Two places, a sign for each channel and a coin: sampled at once, because sampling costs more than using.
        numbers = tf.transpose(batch.rng.uniform([self._steps, 5 + batch.images.shape[-1]]), [1, 0, 2])

        @as_written
        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            sampled = tf.gather(numbers[index], state.row)
            change = _square if threat.norm is Norm.LINF else _bump
            proposal = change(state, threat, shares[index], sampled)
            loss, is_adversarial = _loss(network(proposal), state.label, threat)
            better = is_adversarial | (loss < state.loss)
            state = state._replace(
                best=pick_images(better, proposal, state.best), loss=tf.where(better, loss, state.loss)
            )
            return state, is_adversarial & self.stop

        first = _stripes if threat.norm is Norm.LINF else _bumps
        start = first(batch.images, threat, batch.rng.fold(1))
        loss, _ = _loss(logits_fn(start), batch.labels, threat)
        rows = tf.range(tf.shape(batch.images)[0])
        low, high = (threat.project(batch.images + way * threat.eps, batch.images) for way in (-1, 1))
        state = _State(rows, batch.images, low, high, batch.labels, start, loss)
        return until_adversarial(step, logits_fn, threat, lambda state: state.best, state, self._steps)

    def shares(self) -> Tensor:
        """Return the fraction of the image that each candidate changes: -> (candidates,)."""
        index = tf.range(self._steps, dtype=tf.int64)
        if self.rescale:
            index = index * 10_000 // self._steps
        halvings = tf.reduce_sum(tf.cast(index[:, None] > tf.constant(HALVINGS, tf.int64), tf.float32), axis=1)
        return self.p / 2**halvings


def _loss(logits: Tensor, labels: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """Return the loss to minimise, which is the margin or the target's cross-entropy, and ``is_adversarial``: (N,)."""
    if threat.target is None:
        return of_class(logits, labels) - best_other(logits, labels), threat.is_adversarial(logits, labels)
    return -threat.loss(logits, labels), threat.is_adversarial(logits, labels)


def side_of(share: Tensor, shape: Tensor, least: int) -> Tensor:
    """Return the side in pixels of the square that covers a fraction of an image of shape (N, H, W, C)."""
    area = tf.cast(shape[1] * shape[2], tf.float32)
    side = tf.maximum(tf.cast(tf.round(tf.sqrt(share * area)), tf.int32), least)
    if least == 3:
        side += 1 - side % 2
    return tf.minimum(side, tf.minimum(shape[1], shape[2]))


def _offsets(side: Tensor, shape: Tensor, sampled: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """Place a window on each image: (N, 2) in [0, 1) -> each row's and column's offset in it, (N, H), (N, W)."""
    first, last = tf.zeros_like(shape[1:3]), shape[1:3] - side
    if threat.mask is not None:
        # A window that misses all pixels that may change would cost a query for nothing.
        first, last = _reach(threat.mask, side, shape)
    corner = first + tf.cast(sampled * tf.cast(last - first + 1, tf.float32), tf.int32)
    return tf.range(shape[1]) - corner[:, :1], tf.range(shape[2]) - corner[:, 1:]


def _reach(mask: Tensor, side: Tensor, shape: Tensor) -> tuple[Tensor, Tensor]:
    """Return the first and last corner of windows that meet the bounding box of the mask: -> (N, 2), (N, 2)."""
    bounds = []
    for axis, across in ((1, 2), (2, 1)):
        used = tf.reduce_any(mask, axis=(across, 3))
        places = tf.range(shape[axis])[None]
        lowest = tf.reduce_min(tf.where(used, places, shape[axis] - 1), axis=1)
        highest = tf.reduce_max(tf.where(used, places, 0), axis=1)
        most = shape[axis] - side
        bounds.append((tf.clip_by_value(lowest - side + 1, 0, most), tf.clip_by_value(highest, 0, most)))
    (top, bottom), (left, right) = bounds
    return tf.stack([top, left], axis=1), tf.stack([bottom, right], axis=1)


def _inside(rows: Tensor, columns: Tensor, side: Tensor) -> Tensor:
    """Return the mask of the window: (N, H), (N, W) -> (N, H, W, 1)."""
    down = (rows >= 0) & (rows < side)
    across = (columns >= 0) & (columns < side)
    return down[:, :, None, None] & across[:, None, :, None]


def _signs(sampled: Tensor) -> Tensor:
    return tf.where(sampled < 0.5, -1.0, 1.0)


def _stripes(images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
    shape = tf.shape(images)
    return threat.project(images + threat.eps * _signs(rng.uniform([1, shape[2], shape[3]])), images)


def _square(state: _State, threat: Threat, share: Tensor, sampled: Tensor) -> Tensor:
    """Set one square of each image to ``x + eps`` or ``x - eps``, with a random sign for each channel."""
    shape = tf.shape(state.best)
    side = side_of(share, shape, least=1)
    window = tf.cast(_inside(*_offsets(side, shape, sampled[:, :2], threat), side), tf.float32)
    upwards = tf.cast(sampled[:, None, None, 5:] >= 0.5, tf.float32)
    # Products with 0 and 1 are exact, and take a third of the time of tf.where.
    return state.best * (1 - window) + state.low * (window * (1 - upwards)) + state.high * (window * upwards)


def _bumps(images: Tensor, threat: Threat, rng: ImageRng) -> Tensor:
    """Tile each image with 5 x 5 bumps of random signs and directions."""
    shape = tf.shape(images)
    side = tf.maximum(tf.minimum(shape[1], shape[2]) // 5, 1)
    count = shape[1:3] // side
    margin = (shape[1:3] - count * side) // 2
    rows, columns = tf.range(shape[1]) - margin[0], tf.range(shape[2]) - margin[1]
    sampled = rng.uniform([count[0], count[1], 1 + shape[3]])
    sampled = tf.gather(sampled, tf.clip_by_value(rows // side, 0, count[0] - 1), axis=1)
    sampled = tf.gather(sampled, tf.clip_by_value(columns // side, 0, count[1] - 1), axis=2)
    bumps = _shaped(rows[None] % side, columns[None] % side, side, sampled[..., 0], threat.norm)
    tiled = ((rows >= 0) & (rows < count[0] * side))[:, None] & ((columns >= 0) & (columns < count[1] * side))
    return _onto(bumps * tf.cast(tiled[..., None], tf.float32) * _signs(sampled[..., 1:]), images, threat)


def _bump(state: _State, threat: Threat, share: Tensor, sampled: Tensor) -> Tensor:
    """Move the norm of one window of each image to another window, and add the remaining budget of the ball."""
    images = state.image
    shape = tf.shape(images)
    side = side_of(share, shape, least=3)
    rows, columns = _offsets(side, shape, sampled[:, :2], threat)
    window = tf.cast(_inside(rows, columns, side), tf.float32)
    emptied = tf.cast(_inside(*_offsets(side, shape, sampled[:, 2:4], threat), side), tf.float32)
    delta = state.best - images
    bump = _shaped(rows, columns, side, sampled[:, 4, None, None], threat.norm)
    bump *= window * _signs(sampled[:, None, None, 5:])
    fresh = threat.restrict(bump + delta * window / (_length(delta * window, threat.norm) + 1e-12))
    channels = tf.cast(shape[3], tf.float32)
    within = _length(delta * tf.maximum(window, emptied), threat.norm)
    if threat.norm is Norm.L1:
        # With several channels that is more than the budget: the projection takes the excess from all pixels alike.
        length = tf.maximum(threat.eps - by_image(threat.size(delta)), 0.0) + channels * within
    else:
        unused = tf.maximum(threat.eps**2 - by_image(threat.size(delta)) ** 2, 0.0) / channels
        length = tf.sqrt(unused + within**2)
    fresh *= length / (_length(fresh, threat.norm) + 1e-12)
    return _onto(delta * (1 - window) * (1 - emptied) + fresh, images, threat)


def _onto(delta: Tensor, images: Tensor, threat: Threat) -> Tensor:
    """Scale perturbations onto the l2 sphere; in l1 project them, which makes them sparse."""
    delta = threat.restrict(delta)
    if threat.norm is Norm.L2:
        delta = threat.eps * delta / (by_image(threat.size(delta)) + 1e-12)
    return threat.project(images + delta, images)


def _length(delta: Tensor, norm: Norm) -> Tensor:
    """Return the norm of each channel, l2 or l1: (N, H, W, C) -> (N, 1, 1, C)."""
    if norm is Norm.L1:
        return tf.reduce_sum(tf.abs(delta), axis=(1, 2), keepdims=True)
    return tf.sqrt(tf.reduce_sum(delta**2, axis=(1, 2), keepdims=True))


def _shaped(rows: Tensor, columns: Tensor, side: Tensor, coin: Tensor, norm: Norm) -> Tensor:
    """Place the bump, or its transpose, in the windows: (N, H), (N, W) -> (N, H, W, 1)."""
    down = tf.clip_by_value(rows, 0, side - 1)[:, :, None]
    across = tf.clip_by_value(columns, 0, side - 1)[:, None, :]
    place = tf.where(coin < 0.5, down * side + across, across * side + down)
    return tf.gather(tf.reshape(bump_of(side, norm), [-1]), place)[..., None]


def bump_of(side: Tensor, norm: Norm = Norm.L2) -> Tensor:
    """Return a positive bump above a negative one, with an l2 or l1 norm of one: (side, side)."""
    order = 1 if norm is Norm.L1 else 2
    half, middle = side // 2, side // 2
    rows, columns = tf.range(side)[:, None], tf.range(side)[None, :]
    upper = rows < half
    centre = tf.where(upper, half // 2, half + (side - half) // 2)
    distance = tf.maximum(tf.abs(rows - centre), tf.abs(columns - middle))
    # The rings lie one over the other, the smallest at the centre.
    rings = 1.0 / tf.cast(tf.range(1, middle + 2), tf.float32) ** POWERS[norm]
    height = tf.gather(tf.cumsum(rings, reverse=True), distance)
    hill, valley = tf.where(upper, height, 0.0), tf.where(upper, 0.0, height)
    hill, valley = (tf.math.divide_no_nan(half, tf.norm(half, order)) for half in (hill, valley))
    return (hill - valley) / tf.norm(hill - valley, order)


COMPONENT = Square
