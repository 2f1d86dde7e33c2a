"""An attack made ready for one classifier, as attacking, benchmarking and validating need it."""

import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from advcli import registry
from advcli.attacks import Attack, Suite
from advcli.backend import Tensor, as_written, tf
from advcli.draws import Draws
from advcli.model import Classifier
from advcli.threat import Threat

NO_MEMBER = -1


@dataclass(frozen=True)
class Adversary:
    """An attack on a classifier under a threat, traced once for batches of every size.

    Args:
        classifier: what is attacked, in inference mode.
        attack: the search, or a suite of searches.
        threat: the ball it searches.
        seed: together with an image's own pixels it determines the image's random draws.
    """

    classifier: Classifier
    attack: Attack | Suite
    threat: Threat
    seed: int = 0

    def __call__(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Search: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C), (N,) how often the model was asked about each image."""
        if self._members:
            return self.in_turn(pixels, labels)[:2]
        own_size = pixels.shape[1:3] == (self.classifier.edge, self.classifier.edge)
        search = self._at_model_size if own_size else self._at_any_size
        self._queries.assign(np.zeros(len(pixels), np.int32))
        seeds = image_seeds(pixels, self.seed)
        adversarial = search(tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32), tf.constant(seeds))
        return adversarial.numpy(), self._queries.numpy()

    @property
    def traces(self) -> int:
        """How often the search was traced; more than once for images of one size is a mistake."""
        if self._members:
            return max(member.traces for member in self._members)
        traced = (self.__dict__.get(name) for name in ("_at_model_size", "_at_any_size"))
        return sum(function.experimental_get_tracing_count() for function in traced if function is not None)

    def in_turn(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Let each member of a suite search for the images that none before it fooled; keep each image's best point.

        Returns:
            What ``__call__`` does, and (N,) the number of the member that fooled each image, ``NO_MEMBER`` if none did.
        """
        fooled_by = np.full(len(pixels), NO_MEMBER)
        found = np.array(pixels, np.float32)
        won, loss = self._judged(found, labels)
        queries = np.ones(len(pixels), np.int32)
        for number, member in enumerate(self._members):
            left = np.flatnonzero(~won)
            if len(left) == 0:
                break
            points, asked = member(pixels[left], labels[left])
            broken, reached = self._judged(points, labels[left])
            better = broken | (reached > loss[left])
            found[left[better]] = points[better]
            loss[left[better]] = reached[better]
            won[left] = broken
            fooled_by[left[broken]] = number
            queries[left] += asked + 1
        return found, queries, fooled_by

    def _judged(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Tell which images are broken, and their losses: (N, H, W, C), (N,) -> (N,), (N,)."""
        classes = tf.constant(labels, tf.int32)
        logits = tf.constant(np.log(np.maximum(self.classifier.predict(pixels), 1e-300)))
        return self.threat.won(logits, classes).numpy(), self.threat.loss(logits, classes).numpy()

    @cached_property
    def _members(self) -> "tuple[Adversary, ...]":
        specs = self.attack.members if isinstance(self.attack, Suite) else ()
        return tuple(replace(self, attack=registry.build("attacks", spec)) for spec in specs)

    @cached_property
    def _queries(self) -> Any:
        return tf.Variable(np.zeros(0, np.int32), shape=(None,), trainable=False)

    @cached_property
    def _at_model_size(self) -> Any:
        return self._traced(self.classifier.edge)

    @cached_property
    def _at_any_size(self) -> Any:
        return self._traced(None)

    def _traced(self, edge: int | None) -> Any:
        def search(images: Tensor, labels: Tensor, seeds: Tensor) -> Tensor:
            assert not isinstance(self.attack, Suite)
            every = tf.range(tf.shape(images)[0])
            network = _Counted(self.classifier.logits, self._queries, every)
            return self.attack(network, images, labels, self.threat, Draws(seeds))

        signature = [
            tf.TensorSpec((None, edge, edge, self.classifier.channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
        ]
        return tf.function(search, input_signature=signature)


@as_written
class _Counted:
    """A network that counts how often it is asked about each image.

    Args:
        logits: the network.
        queries: (N,) the counts of all images.
        rows: (n,) which of them it is asked about.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], queries: Any, rows: Tensor) -> None:
        self._logits = logits
        self._queries = queries
        self._rows = rows

    def __call__(self, images: Tensor) -> Tensor:
        each = tf.shape(images)[0] // tf.maximum(tf.size(self._rows), 1)
        self._queries.scatter_add(tf.IndexedSlices(tf.fill(tf.shape(self._rows), each), self._rows))
        return self._logits(images)

    def of(self, rows: Tensor) -> "_Counted":
        """Return the network as it is asked about some of these images."""
        return _Counted(self._logits, self._queries, tf.gather(self._rows, rows))


def image_seeds(images: np.ndarray, seed: int) -> np.ndarray:
    """Give each image its seed, from its own pixels: (N, H, W, C) -> (N, 2) int32."""
    rows = [(zlib.crc32(np.ascontiguousarray(image).tobytes()), seed) for image in images]
    return np.array(rows, dtype=np.uint32).reshape(-1, 2).astype(np.int32)
