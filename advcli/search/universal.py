"""Compute a universal perturbation over many images, and apply it to images."""

import itertools
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from advcli.attacks import Universal
from advcli.backend import Tensor, TracedFunction, tf
from advcli.model.classifier import Classifier
from advcli.records import Progress
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Threat

Batches = Callable[[], Iterable[tuple[np.ndarray, np.ndarray]]]


def craft(
    classifier: Classifier, attack: Universal, threat: Threat, batches: Batches, seed: int = 0
) -> Generator[Progress, None, np.ndarray]:
    """Compute a universal perturbation; return the pixels of its file.

    Args:
        classifier: the classifier to attack.
        attack: the universal attack.
        threat: the ball, and the target class if there is one.
        batches: returns a new iterator over (N, H, W, C) images in [0, 1] and (N,) classes to move away from.
        seed: together with an image's pixels it determines the image's random numbers.
    """
    state = attack.start(classifier.image_size, classifier.channels)
    size = (*classifier.image_size, classifier.channels)
    ascend = tf.function(
        lambda state, pixels, labels, seeds: attack.ascend(
            classifier.logits, state, pixels, labels, threat, ImageRng(seeds)
        ),
        input_signature=[
            tf.nest.map_structure(lambda tensor: tf.TensorSpec(tensor.shape, tensor.dtype), state),
            tf.TensorSpec((None, *size), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
        ],
    )
    for step, (pixels, labels) in enumerate(itertools.islice(_repeated(batches), attack.steps)):
        yield Progress("crafting", step, attack.steps)
        seeds = tf.constant(image_seeds(pixels, seed))
        state = ascend(state, tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32), seeds)
    return attack.to_png(np.asarray(attack.pattern(state)), threat)


def _repeated(batches: Batches) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Repeat the batches without end, unless there are none."""
    while True:
        empty = True
        for batch in batches():
            empty = False
            yield batch
        if empty:
            return


@dataclass(frozen=True)
class AppliedPattern:
    """A universal perturbation to apply to images of any size, with the interface of an attack and without queries.

    Args:
        attack: the attack that computed the perturbation.
        threat: the threat that it was optimised for.
        pixels: the pixels of its file.
        seed: together with an image's pixels it determines the image's random numbers.
    """

    attack: Universal
    threat: Threat
    pixels: np.ndarray
    seed: int = 0

    def __call__(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Apply the perturbation: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C), (N,) zero queries."""
        images = tf.constant(pixels, tf.float32)
        adversarial = self._traced(images, tf.constant(image_seeds(pixels, self.seed)))
        return adversarial.numpy(), np.zeros(len(pixels), np.int32)

    @cached_property
    def _traced(self) -> TracedFunction:
        pattern = tf.constant(self.attack.from_png(self.pixels, self.threat))

        def apply(images: Tensor, seeds: Tensor) -> Tensor:
            return self.attack.apply(pattern, images, self.threat, ImageRng(seeds))

        return tf.function(apply, reduce_retracing=True)
