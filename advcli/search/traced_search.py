"""The search of one attack, traced for batches of every size."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import methodcaller

import numpy as np

from advcli.attacks import Attack, DecisionAttack
from advcli.backend import Tensor, TracedFunction, Variable, tf
from advcli.data.decoded import to_float
from advcli.data.images import resize
from advcli.errors import AdvcliError
from advcli.model.black_box import asking_anew
from advcli.model.classifier import Classifier
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted


@dataclass(frozen=True)
class TracedSearch:
    """An attack on a classifier or a copy of one: one trace for each image size, with masks and without.

    Args:
        classifier: what the attack asks.
        attack: the attack.
        threat: the ball.
        seed: together with an image's pixels it determines the image's random numbers.
        start: (H, W, C) uint8, the image of the target class that a decision-based attack starts from.
    """

    classifier: Classifier
    attack: Attack
    threat: Threat
    seed: int
    start: np.ndarray | None = field(default=None, compare=False)

    def __call__(
        self, pixels: np.ndarray, labels: np.ndarray, masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Search a batch: (N, H, W, C) in [0, 1], (N,), (N, H, W, 1) bool -> points (N, H, W, C), queries (N,).

        Raises:
            AdvcliError: the model does not see the target class in the image to start from.
        """
        size = self.classifier.image_size if pixels.shape[1:3] == self.classifier.image_size else (None, None)
        search = self._traced(size, masks is not None)
        self._queries.assign(np.zeros(len(pixels), np.int32))
        seeds = image_seeds(pixels, self.seed)
        given = (tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32), tf.constant(seeds))
        if self.start is not None:
            given = (*given, tf.constant(self._start_at(pixels.shape[1:3]), tf.float32))
        if masks is not None:
            given = (*given, tf.constant(masks))
        with asking_anew(self.classifier.model) if self.attack.passes > 1 else nullcontext():
            found = search(*given).numpy()
        usable = np.isfinite(found).all(axis=(1, 2, 3), keepdims=True)
        # Not every attack keeps the values of other pixels to the last bit.
        usable = usable if masks is None else usable & masks
        return np.where(usable, found, pixels), self._queries.numpy()

    @property
    def traces(self) -> int:
        """The number of traces; more than one for one image size is an error."""
        return sum(map(methodcaller("experimental_get_tracing_count"), self._functions.values()))

    def _start_at(self, size: tuple[int, int]) -> np.ndarray:
        """Return the image to start from at a size: -> (1, H, W, C) in [0, 1].

        Raises:
            AdvcliError: the model does not see the target class in it.
        """
        if self.start is None or self.threat.target is None:
            raise ValueError("there is no image of a target class")
        start = to_float(resize(self.start, size))[None]
        if size not in self._starts:
            self._starts[size] = int(self.classifier.classes(start)[0])
        if self._starts[size] != self.threat.target:
            labels = self.classifier.labels
            seen, target = labels[self._starts[size]], labels[self.threat.target]
            raise AdvcliError(
                f"the model sees '{seen}' in the image to start from, at {size[1]} x {size[0]} pixels, not '{target}'",
                "give another --start",
            )
        return start

    @cached_property
    def _starts(self) -> dict[tuple[int, int], int]:
        return {}

    @cached_property
    def _queries(self) -> Variable:
        return tf.Variable(np.zeros(0, np.int32), shape=(None,), trainable=False)

    @cached_property
    def _functions(self) -> dict[tuple[int | bool | None, ...], TracedFunction]:
        return {}

    def _traced(self, size: tuple[int | None, int | None], masked: bool) -> TracedFunction:
        """Return the function for images of one size, or of any size, with masks or without."""
        key = (*size, masked)
        if key not in self._functions:
            self._functions[key] = self._new_function(size, masked)
        return self._functions[key]

    def _new_function(self, size: tuple[int | None, int | None], masked: bool) -> TracedFunction:
        attack = self.attack

        @as_written
        def search(images: Tensor, labels: Tensor, seeds: Tensor, *others: Tensor) -> Tensor:
            start, masks = others[: len(others) - masked], others[-1] if masked else None
            threat = replace(self.threat, mask=masks)
            attacked = converted(attack)
            every = tf.range(tf.shape(images)[0])
            network = _Counted(self.classifier.logits, self._queries, every)
            if start and isinstance(attack, DecisionAttack):
                starts = tf.ensure_shape(tf.broadcast_to(start[0], tf.shape(images)), images.shape)
                return attacked(network, images, labels, threat, ImageRng(seeds), starts)
            return attacked(network, images, labels, threat, ImageRng(seeds))

        picture = tf.TensorSpec((None, *size, self.classifier.channels), tf.float32)
        signature = [
            picture,
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
            *([] if self.start is None else [picture]),
        ]
        return tf.function(search, input_signature=signature + [tf.TensorSpec((None, *size, 1), tf.bool)] * masked)


@as_written
class _Counted:
    """A network that counts the queries for each image.

    Args:
        logits: the network.
        queries: (N,) the numbers of queries of all images.
        rows: (n,) the rows of the images that are queried.
    """

    def __init__(self, logits: Callable[[Tensor], Tensor], queries: Variable, rows: Tensor) -> None:
        self._logits = logits
        self._queries = queries
        self._rows = rows

    def __call__(self, images: Tensor) -> Tensor:
        each = tf.shape(images)[0] // tf.maximum(tf.size(self._rows), 1)
        self._queries.scatter_add(tf.IndexedSlices(tf.fill(tf.shape(self._rows), each), self._rows))
        return self._logits(images)

    def of(self, rows: Tensor) -> "_Counted":
        """Return the network restricted to some of these images."""
        return _Counted(self._logits, self._queries, tf.gather(self._rows, rows))
