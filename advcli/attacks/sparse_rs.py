"""Sparse-RS: random search over sets of pixels and their colours; queries the scores only; l0.

Croce, Andriushchenko, Singh, Flammarion and Hein 2022, https://arxiv.org/abs/2006.12834; the schedule is that of their
code. Each image has its own random pixels; the authors' code uses the same places in the lists of all images.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._minimal import margin
from advcli.attacks._rounds import Batch, Network, in_rounds, pick_images, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat import l0_ball
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# After these iterations, of 10,000, the share of the pixels that are exchanged is divided by the second number.
SCHEDULE = ((0, 2), (50, 4), (200, 5), (500, 6), (1000, 8), (2000, 10), (4000, 12), (6000, 15), (8000, 20))


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    seeds: Tensor
    free: Tensor
    chosen: Tensor
    best: Tensor
    loss: Tensor


@dataclass(frozen=True)
class SparseRS(Attack):
    """Exchange some of the k changed pixels for others of random corner colours, and keep what lowers the loss.

    Args:
        queries: number of candidate changes in a run.
        p: twice the fraction of the k pixels that the first changes exchange.
        restarts: number of runs; a run skips images that are already adversarial.
        stop: an image stops at its first adversarial point; false: the loss is lowered to the end.
    """

    kind: ClassVar[str] = "score"
    norms: ClassVar[tuple[str, ...]] = ("l0",)

    queries: int = 5000
    p: float = 0.8
    restarts: int = 1
    stop: bool = True

    def __post_init__(self) -> None:
        for option in ("queries", "restarts"):
            if getattr(self, option) < 1:
                raise UsageError(f"{option} is less than one: {getattr(self, option)}")
        if not 0 < self.p <= 1:
            raise UsageError(f"p is not a fraction of the pixels: {self.p:g}", "give a number above 0, up to 1")

    @property
    def most_queries(self) -> int:
        """How often it asks the model about an image at most: also at the start and at the end of each run."""
        return 1 + self.restarts * (self.queries + 2)

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the best point of the random search: (N, H, W, C), (N,) -> (N, H, W, C)."""

        def run(network: Network, threat: Threat, restart: Tensor, batch: Batch) -> Tensor:
            return self._run(network, threat, batch)

        return in_rounds(run, logits_fn, images, labels, threat, rng, restarts=self.restarts)

    def exchanged(self, pixels: float) -> list[int]:
        """Return how many of a number of pixels each query exchanges."""
        counts = []
        for query in range(1, self.queries + 1):
            place = query * 10_000 // self.queries
            divisor = next(divisor for start, divisor in reversed(SCHEDULE) if place > start or start == 0)
            counts.append(max(int(self.p / divisor * pixels), 1))
        return counts

    def _run(self, logits_fn: Callable[[Tensor], Tensor], threat: Threat, batch: Batch) -> Tensor:
        counts = tf.constant(self.exchanged(threat.eps))

        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            rng = ImageRng(state.seeds).numbered(index)
            chosen, point = _exchange(state, counts[index], rng)
            loss, is_adversarial = _loss(network(point), state.label, threat)
            better = is_adversarial | (loss < state.loss)
            state = state._replace(
                chosen=tf.where(better[:, None, None], chosen, state.chosen),
                best=pick_images(better, point, state.best),
                loss=tf.where(better, loss, state.loss),
            )
            return state, is_adversarial & self.stop

        free = threat.restrict(tf.ones_like(batch.images))[..., 0] > 0
        first = batch.rng.named("first pixels")
        chosen = l0_ball.greatest(tf.where(free, _uniform(free, first), -1.0), threat.eps) & free
        colours = tf.round(_uniform(batch.images, batch.rng.named("first colours")))
        start = tf.where(chosen[..., None], colours, batch.images)
        loss, _ = _loss(logits_fn(start), batch.labels, threat)
        state = _State(batch.images, batch.labels, batch.seeds, free, chosen, start, loss)
        return until_adversarial(step, logits_fn, threat, lambda state: state.best, state, self.queries)


def _exchange(state: _State, count: Tensor, rng: ImageRng) -> tuple[Tensor, Tensor]:
    """Set some changed pixels back and change as many others; if there are too few others, the same again."""
    keys = _uniform(state.free, rng.named("pixels"))
    back = l0_ball.greatest(tf.where(state.chosen, keys, -1.0), count) & state.chosen
    others = state.free & ~state.chosen
    leaving = tf.reduce_sum(tf.cast(back, tf.int32), axis=(1, 2))
    # What is set back comes last, and fills the number up where all pixels are changed.
    fresh = l0_ball.greatest(tf.where(others, keys, tf.where(back, keys - 1.0, -2.0)), leaving) & (others | back)
    sampled = tf.round(_uniform(state.image, rng.named("colours")))
    # A single pixel must change: where the image has this colour, it is any of the other corners.
    same = tf.reduce_all(sampled == state.image, axis=-1, keepdims=True)
    channels = state.image.shape[-1]
    other = 1 + tf.cast(_uniform(state.free, rng.named("other")) * (2**channels - 1), tf.int32)
    turned = tf.bitwise.bitwise_and(tf.bitwise.right_shift(other[..., None], tf.range(channels)), 1)
    colours = tf.where(same & (count == 1), tf.abs(sampled - tf.cast(turned, tf.float32)), sampled)
    chosen = (state.chosen & ~back) | fresh
    point = tf.where(back[..., None], state.image, state.best)
    return chosen, tf.where(fresh[..., None], colours, point)


def _uniform(like: Tensor, rng: ImageRng) -> Tensor:
    """Sample uniform numbers of the shape of a batch."""
    shape = tf.shape(like)
    return tf.reshape(rng.scalars(tf.reduce_prod(shape[1:])), shape)


def _loss(logits: Tensor, labels: Tensor, threat: Threat) -> tuple[Tensor, Tensor]:
    """Return the loss to minimise, which is the margin or the target's cross-entropy, and ``is_adversarial``: (N,)."""
    loss = margin(logits, labels, threat) if threat.target is None else -threat.loss(logits, labels)
    return loss, threat.is_adversarial(logits, labels)


COMPONENT = SparseRS
