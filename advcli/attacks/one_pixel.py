"""One-pixel attack: differential evolution of places and colours of a few pixels; queries the scores only; l0.

Su, Vargas and Sakurai 2019, https://arxiv.org/abs/1710.08864
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

from advcli.attacks import Attack
from advcli.attacks._rounds import Network, headway, until_adversarial
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Threat

# Candidates that the network is asked about at once, over all images.
_AT_ONCE = 64


class _State(NamedTuple):
    image: Tensor
    label: Tensor
    seeds: Tensor
    free: Tensor
    places: Tensor
    genes: Tensor
    fitness: Tensor
    best: Tensor


@dataclass(frozen=True)
class OnePixel(Attack):
    """A child is ``x1 + scale * (x2 - x3)`` of three random candidates and replaces another one if it is better.

    A candidate is a row, a column and a colour for each of the k pixels. What leaves the image, the mask or [0, 1] is
    sampled anew. An image stops after the generation that fools.

    Args:
        queries: maximum number of forward passes for each image.
        population: number of candidates.
        scale: the factor of the difference.
    """

    kind: ClassVar[str] = "score"
    norms: ClassVar[tuple[str, ...]] = ("l0",)

    queries: int = 40_400
    population: int = 400
    scale: float = 0.5

    def __post_init__(self) -> None:
        if self.population < 4:
            raise UsageError(f"population is too small: {self.population}", "a child has three parents: give 4 or more")
        if self.queries < self.population:
            raise UsageError(
                f"queries is too small for one generation: {self.queries}", f"one takes {self.population}: population"
            )
        if self.scale <= 0:
            raise UsageError(f"scale is not positive: {self.scale:g}")

    def __call__(
        self, logits_fn: Callable[[Tensor], Tensor], images: Tensor, labels: Tensor, threat: Threat, rng: ImageRng
    ) -> Tensor:
        """Return the best candidate: (N, H, W, C), (N,) -> (N, H, W, C)."""
        if threat.eps == 0:
            return images

        def step(network: Network, threat: Threat, index: Tensor, state: _State) -> tuple[_State, Tensor]:
            rng = ImageRng(state.seeds).numbered(index)
            fresh = self._sampled(state, rng)
            genes = fresh if index == 0 else self._valid(state, self._children(state, rng), fresh)
            genes = tf.ensure_shape(genes, state.genes.shape)
            fitness = self._fitness(network, threat, state, genes)
            better = fitness > state.fitness
            genes = tf.where(better[..., None, None], genes, state.genes)
            fitness = tf.where(better, fitness, state.fitness)
            fittest = tf.gather(genes, tf.argmax(fitness, axis=1), axis=1, batch_dims=1)
            state = state._replace(genes=genes, fitness=fitness, best=_drawn(state.image, fittest))
            return state, tf.reduce_any(tf.math.is_inf(fitness) & (fitness > 0), axis=1)

        count, channels = tf.shape(images)[0], images.shape[-1]
        free = tf.reshape(threat.restrict(tf.ones_like(images))[..., 0] > 0, (count, -1))
        # The places of pixels that may change come first.
        places = tf.argsort(tf.cast(free, tf.int32), axis=1, direction="DESCENDING", stable=True)
        genes = tf.zeros([count, self.population, int(threat.eps), 2 + channels])
        fitness = tf.fill([count, self.population], -float("inf"))
        state = _State(images, labels, rng.seeds, free, places, genes, fitness, images)
        return until_adversarial(
            step, logits_fn, threat, lambda state: state.best, state, self.queries // self.population
        )

    def _sampled(self, state: _State, rng: ImageRng) -> Tensor:
        """Sample candidates: any pixel that may change, colours from a normal distribution, as in the paper."""
        shape = tf.shape(state.genes)
        width = tf.shape(state.image)[2]
        numbers = tf.reshape(rng.named("places").scalars(shape[1] * shape[2]), (shape[0], -1))
        free = tf.reduce_sum(tf.cast(state.free, tf.float32), axis=1, keepdims=True)
        place = tf.gather(state.places, tf.cast(numbers * free, tf.int32), axis=1, batch_dims=1)
        place = tf.reshape(place, shape[:3])
        # A pixel is a square, in which the difference of two candidates moves by parts.
        within = tf.reshape(rng.named("inside").scalars(shape[1] * shape[2] * 2), (*tf.unstack(shape[:3]), 2))
        corner = tf.cast(tf.stack([place // width, place % width], axis=-1), tf.float32)
        colours = tf.reshape(
            rng.named("colours").scalars(shape[1] * shape[2] * (shape[3] - 2)), (*tf.unstack(shape[:3]), shape[3] - 2)
        )
        colours = tf.clip_by_value((128 + 127 * tf.math.ndtri(colours)) / 255, 0.0, 1.0)
        return tf.concat([corner + 0.999 * within, colours], axis=-1)

    def _children(self, state: _State, rng: ImageRng) -> Tensor:
        """Cross three different candidates for each place in the population."""
        size = self.population
        numbers = tf.reshape(rng.named("parents").scalars(3 * size), (-1, 3, size))
        first = tf.cast(numbers[:, 0] * size, tf.int32)
        second = 1 + tf.cast(numbers[:, 1] * (size - 1), tf.int32)
        third = 1 + tf.cast(numbers[:, 2] * (size - 2), tf.int32)
        third += tf.cast(third >= second, tf.int32)
        parents = [tf.gather(state.genes, (first + shift) % size, axis=1, batch_dims=1) for shift in (0, second, third)]
        return parents[0] + self.scale * (parents[1] - parents[2])

    def _valid(self, state: _State, genes: Tensor, fresh: Tensor) -> Tensor:
        """Replace places that may not change and colours outside [0, 1] by others."""
        place, colours = genes[..., :2], genes[..., 2:]
        bounds = tf.cast(tf.shape(state.image)[1:3], tf.float32)
        inside = tf.reduce_all((place >= 0) & (place < bounds), axis=-1)
        index = tf.where(inside, _index(place, state.image), 0)
        shape = tf.shape(index)
        allowed = tf.gather(state.free, tf.reshape(index, (shape[0], -1)), axis=1, batch_dims=1)
        allowed = inside & tf.reshape(allowed, shape)
        in_range = (colours >= 0) & (colours <= 1)
        return tf.concat(
            [tf.where(allowed[..., None], place, fresh[..., :2]), tf.where(in_range, colours, fresh[..., 2:])], axis=-1
        )

    def _fitness(self, network: Network, threat: Threat, state: _State, genes: Tensor) -> Tensor:
        """Return the loss of each candidate, infinite if it fools: (n, P, k, 2 + C) -> (n, P)."""
        count = tf.shape(genes)[0]
        fitness = tf.zeros([self.population, count])
        each = tf.clip_by_value(_AT_ONCE // tf.maximum(count, 1), 1, self.population)
        for start in tf.range(0, self.population, each):
            some = tf.minimum(each, self.population - start)
            part = tf.transpose(genes[:, start : start + some], [1, 0, 2, 3])
            images = tf.tile(state.image, [some, 1, 1, 1])
            points = _drawn(images, tf.reshape(part, (some * count, -1, genes.shape[-1])))
            labels = tf.tile(state.label, [some])
            logits = network(tf.ensure_shape(points, (None, *state.image.shape[1:])))
            # Rises with the cross-entropy, which is zero for all candidates of a confident network.
            loss = headway(threat, logits, labels)
            loss = tf.where(tf.math.is_nan(loss), -float("inf"), loss)
            loss = tf.where(threat.is_adversarial(logits, labels), float("inf"), loss)
            rows = tf.range(start, start + some)[:, None]
            fitness = tf.tensor_scatter_nd_update(fitness, rows, tf.reshape(loss, (some, count)))
        return tf.transpose(fitness)


def _index(place: Tensor, images: Tensor) -> Tensor:
    """Number the pixels at rows and columns: (..., 2) -> (...) int32."""
    place = tf.cast(tf.floor(place), tf.int32)
    return place[..., 0] * tf.shape(images)[2] + place[..., 1]


def _drawn(images: Tensor, genes: Tensor) -> Tensor:
    """Change the pixels of one candidate an image: (N, H, W, C), (N, k, 2 + C) -> (N, H, W, C)."""
    shape = tf.shape(images)
    index = _index(genes[..., :2], images)
    pixels = tf.shape(index)[1]
    # Of genes at one place the last counts, in whatever order they are written.
    same = index[:, :, None] == index[:, None, :]
    last = tf.reduce_max(tf.where(same, tf.range(pixels), -1), axis=2)
    colours = tf.gather(genes[..., 2:], last, axis=1, batch_dims=1)
    rows = tf.repeat(tf.range(shape[0])[:, None], pixels, axis=1)
    flat = tf.reshape(images, (shape[0], -1, images.shape[-1]))
    flat = tf.tensor_scatter_nd_update(flat, tf.stack([rows, index], axis=-1), colours)
    return tf.ensure_shape(tf.reshape(flat, shape), images.shape)


COMPONENT = OnePixel
