"""The batches of an epoch, prepared while the training step runs."""

import zlib
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from advcli.augmentations import augmented
from advcli.backend import Tensor, tf
from advcli.data.decoded import Images
from advcli.threat.rng import ImageRng
from advcli.tracing import numpy_function


class Batches:
    """Training images in an order that seed and epoch determine, augmented, a batch at a time.

    Gathering and augmenting run in TensorFlow's threads while a step is taken. The random numbers of an
    image depend on its index, the seed and the epoch only.

    Args:
        images: the training images.
        batch: the batch size; an epoch drops an incomplete last batch.
        augment: the specs of the augmentations, in order.
        seed: of the run.
        part: the images of a batch that this process uses.
        balanced: whether each epoch has equally many images of each class, instead of each image once.
    """

    def __init__(
        self,
        images: Images,
        batch: int,
        augment: Sequence[str],
        seed: int,
        part: slice = slice(None),
        *,
        balanced: bool = False,
    ) -> None:
        self.images = images
        self.size = min(batch, len(images))
        self.steps = len(images) // self.size
        self._augment = tuple(augment)
        self._seed = seed
        self._part = part
        self._balanced = balanced
        self._order = np.arange(len(images))
        # How often each image of the order came before in it.
        self._before = np.zeros(len(images), np.int64)
        self._salt = 0
        self._from_the_start = self._dataset(0)

    def epoch(self, number: int, attempt: int, start: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield an epoch's batches: (N, H, W, C) in [0, 1], (N,) labels and (N, 2) seeds.

        Args:
            number: the epoch's, from 1.
            attempt: the number of rollbacks; each changes the order.
            start: the first batch, to continue an epoch.
        """
        rng = np.random.default_rng([self._seed, number, attempt])
        if self._balanced:
            self._order, self._before = balanced_order(self.images.labels, rng)
        else:
            self._order = rng.permutation(len(self.images))
        self._salt = zlib.crc32(f"{self._seed} {number} {attempt}".encode()) & 0x7FFFFFFF
        if start:
            yield from self._dataset(start)
        else:
            yield from self._from_the_start

    def _dataset(self, start: int) -> Iterable[tuple[Tensor, Tensor, Tensor]]:
        def prepare(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            gathered = [tf.float32, tf.int32, tf.int32]
            pixels, labels, seeds = numpy_function(self._gather, [step], gathered)
            count = len(range(*self._part.indices(self.size)))
            pixels = tf.ensure_shape(pixels, (count, *self.images.pixels.shape[1:]))
            seeds = tf.ensure_shape(seeds, (count, 2))
            # Random numbers independent of those of the same step's attack.
            return augmented(self._augment, pixels, ImageRng(seeds).fold(1)), tf.ensure_shape(labels, (count,)), seeds

        steps = tf.data.Dataset.range(start, self.steps)
        return steps.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)

    def _gather(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        places = (int(step) * self.size + np.arange(self.size))[self._part]
        chosen = self._order[places]
        pixels, labels = self.images.at(chosen)
        # An image that comes again is augmented in another way.
        own = chosen + len(self.images) * self._before[places]
        seeds = np.stack([own, np.full_like(own, self._salt)], axis=1)
        return pixels, labels, seeds.astype(np.int32)


def balanced_order(labels: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Draw as many images as there are, equally many of each class, each image of a class before any comes again.

    Args:
        labels: (N,) the classes.
        rng: the random numbers.

    Returns:
        (N,) indices in random order, and (N,) how often each came before.
    """
    classes = np.unique(labels)
    each = -(-len(labels) // len(classes))
    order, before = [], []
    for label in classes:
        members = np.flatnonzero(labels == label)
        rounds = -(-each // len(members))
        order.append(np.concatenate([rng.permutation(members) for _ in range(rounds)])[:each])
        before.append(np.repeat(np.arange(rounds), len(members))[:each])
    shuffled = rng.permutation(each * len(classes))[: len(labels)]
    return np.concatenate(order)[shuffled], np.concatenate(before)[shuffled]


def balanced_weights(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the weight N / (K n_c) of each class c, with K the number of classes that occur: -> (classes,) float32."""
    counts = np.bincount(labels, minlength=classes)
    return (len(labels) / (np.count_nonzero(counts) * np.maximum(counts, 1))).astype(np.float32)
