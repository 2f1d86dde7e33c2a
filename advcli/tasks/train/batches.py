"""The batches of an epoch, made ready beside the training step."""

import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from advcli.augmentations import augmented
from advcli.backend import Tensor, tf
from advcli.data.dataset import Images
from advcli.threat.rng import ImageRng


class Batches:
    """Training images in an order that seed and epoch determine, augmented, a batch at a time.

    Gathering, augmenting and handing over go on in TensorFlow's own threads while a step is taken.
    Every image's draws come from its index, the seed and the epoch alone.

    Args:
        images: what is trained on.
        batch: how many images a step takes; an epoch leaves out those that fill no batch.
        augment: the specs of the augmentations, in order.
        seed: of the run.
        part: which images of a batch this process works on.
    """

    def __init__(
        self, images: Images, batch: int, augment: Sequence[str], seed: int, part: slice = slice(None)
    ) -> None:
        self.images = images
        self.size = min(batch, len(images))
        self.steps = len(images) // self.size
        self._augment = tuple(augment)
        self._seed = seed
        self._part = part
        self._order = np.arange(len(images))
        self._salt = 0
        self._from_the_start = self._dataset(0)

    def epoch(self, number: int, attempt: int, start: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Yield an epoch's batches: (N, H, W, C) in [0, 1], (N,) labels and (N, 2) seeds.

        Args:
            number: the epoch's, from 1.
            attempt: how often training has been rolled back; each time the order is another.
            start: the first batch, in the middle of an epoch that was begun before.
        """
        self._order = np.random.default_rng([self._seed, number, attempt]).permutation(len(self.images))
        self._salt = zlib.crc32(f"{self._seed} {number} {attempt}".encode()) & 0x7FFFFFFF
        yield from self._dataset(start) if start else self._from_the_start

    def _dataset(self, start: int) -> Any:
        edge, channels = self.images.pixels.shape[1], self.images.pixels.shape[3]

        def gather(step: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            chosen = self._order[step * self.size : (step + 1) * self.size][self._part]
            pixels, labels = self.images.at(chosen)
            seeds = np.stack([chosen, np.full_like(chosen, self._salt)], axis=1)
            return pixels, labels, seeds.astype(np.int32)

        def prepare(step: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            pixels, labels, seeds = tf.numpy_function(gather, [step], [tf.float32, tf.int32, tf.int32])
            count = len(range(*self._part.indices(self.size)))
            pixels = tf.ensure_shape(pixels, (count, edge, edge, channels))
            seeds = tf.ensure_shape(seeds, (count, 2))
            # Not the draws that the attack of the same step makes.
            return augmented(self._augment, pixels, ImageRng(seeds).fold(1)), tf.ensure_shape(labels, (count,)), seeds

        steps = tf.data.Dataset.range(start, self.steps)
        return steps.map(prepare, num_parallel_calls=2, deterministic=True).prefetch(2)
