"""An attack made ready for one classifier, as attacking, benchmarking and validating need it."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from advcli import registry
from advcli.attacks import Attack, Suite
from advcli.backend import Tensor, as_written, tf
from advcli.model.classifier import Classifier
from advcli.threat.rng import ImageRng, hash_pixels
from advcli.threat.threat import Threat

# So near the boundary, as a part of the score, a point may be across it for a copy of the model and not for the model.
_AT_THE_BOUNDARY = 1e-3
_LENGTHENED = (1.0003, 1.001, 1.003, 1.01, 1.03, 1.1)

NO_MEMBER = -1


class SearchResult(NamedTuple):
    """What a search found.

    Args:
        points: (N, H, W, C) float32 in [0, 1], all of them finite.
        queries: (N,) how often the model was asked about each image.
        predicted: (N,) the class that the model itself sees in each point, -1 where it gives NaN.
        members: of a suite: (N,) the number of the member that fooled each image, ``NO_MEMBER`` if none did.
    """

    points: np.ndarray
    queries: np.ndarray
    predicted: np.ndarray
    members: np.ndarray | None = None


@dataclass(frozen=True)
class CompiledAttack:
    """An attack on a classifier under a threat, traced once for batches of every size.

    A faster copy of the model may be what is searched; whether an image is adversarial is the answer of the model
    itself. A search that stops just short of the model's boundary is taken across it, inside the ball.

    Args:
        classifier: what is attacked, in inference mode: a model, or a copy of one that is made to be searched.
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
        found = self.search(pixels, labels)
        return found.points, found.queries

    def search(self, pixels: np.ndarray, labels: np.ndarray) -> SearchResult:
        """Search, and have the model itself say what it sees: (N, H, W, C) in [0, 1], (N,) -> what was found."""
        if self._members:
            return self._in_turn(pixels, labels)
        if self._proven_copy(pixels) is not self.classifier:
            return self._on_the_model.search(pixels, labels)
        points, queries = self._searched(pixels, labels)
        predicted = self.classifier.classes(points)
        # A search without a ball has no way to go further along.
        if self.attack.bounded:
            self._cross(points, predicted, pixels, labels)
        return SearchResult(points, queries, predicted)

    def _searched(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        own_size = pixels.shape[1:3] == (self.classifier.edge, self.classifier.edge)
        search = self._at_model_size if own_size else self._at_any_size
        self._queries.assign(np.zeros(len(pixels), np.int32))
        seeds = image_seeds(pixels, self.seed)
        found = search(tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32), tf.constant(seeds)).numpy()
        finite = np.isfinite(found).all(axis=(1, 2, 3), keepdims=True)
        return np.where(finite, found, pixels), self._queries.numpy()

    def _cross(self, points: np.ndarray, predicted: np.ndarray, pixels: np.ndarray, labels: np.ndarray) -> None:
        """Take points that lie at the model's boundary across it: changes them, and what the model sees in them."""
        left = np.flatnonzero(~self.threat.is_adversarial_class(predicted, labels))
        if len(left) == 0 or self.threat.eps == 0 or self.classifier.source is None:
            return
        left = left[self._adversarial_for_the_copy(points[left], labels[left])]
        for factor in _LENGTHENED:
            if len(left) == 0:
                return
            longer = pixels[left] + factor * (points[left] - pixels[left])
            tried = self.threat.project(tf.constant(longer, tf.float32), tf.constant(pixels[left], tf.float32)).numpy()
            left = self._take(points, predicted, labels, left, tried)
        if len(left):
            tried = self._on_the_model.search(pixels[left], labels[left]).points
            self._take(points, predicted, labels, left, tried)

    def _take(
        self, points: np.ndarray, predicted: np.ndarray, labels: np.ndarray, rows: np.ndarray, tried: np.ndarray
    ) -> np.ndarray:
        """Take what the model itself is fooled by in the place of some points, and return the rows that are left."""
        classes = self.classifier.classes(tried)
        across = self.threat.is_adversarial_class(classes, labels[rows])
        points[rows[across]] = tried[across]
        predicted[rows[across]] = classes[across]
        return rows[~across]

    def _adversarial_for_the_copy(self, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Tell which points near the boundary are adversarial for the copy that is searched: -> (N,) bool."""
        scores = self.classifier.answers(points)
        if self.threat.target is not None:
            aim, other = scores[:, self.threat.target], scores.max(axis=1)
        else:
            rows = np.arange(len(scores))
            other = scores[rows, labels]
            scores[rows, labels] = -np.inf
            aim = scores.max(axis=1)
        near = aim >= other - _AT_THE_BOUNDARY * np.abs(other)
        if near.any():
            predicted = self.classifier.logits_of(points[near]).argmax(axis=1)
            near[near] = self.threat.is_adversarial_class(predicted, labels[near])
        return near

    def _proven_copy(self, pixels: np.ndarray) -> Classifier:
        """Compare what is searched with the model on the first images, and return the model if they differ."""
        if "true copy" not in self._kept:
            self._kept["true copy"] = self.classifier.proven_on(pixels)
        return self._kept["true copy"]

    @cached_property
    def _kept(self) -> dict[str, Classifier]:
        return {}

    @cached_property
    def _on_the_model(self) -> "CompiledAttack":
        return replace(self, classifier=self.classifier.source)

    @property
    def traces(self) -> int:
        """How often the search was traced; more than once for images of one size is a mistake."""
        if self._members:
            return max(member.traces for member in self._members)
        traced = (self.__dict__.get(name) for name in ("_at_model_size", "_at_any_size"))
        return sum(function.experimental_get_tracing_count() for function in traced if function is not None)

    def _in_turn(self, pixels: np.ndarray, labels: np.ndarray) -> SearchResult:
        """Let each member search for the images that none before it fooled, and keep each image's best point."""
        fooled_by = np.full(len(pixels), NO_MEMBER)
        found = np.array(pixels, np.float32)
        predicted = self.classifier.classes(found)
        fooled, loss = self.threat.is_adversarial_class(predicted, labels), self._losses(found, labels)
        queries = np.ones(len(pixels), np.int32)
        for number, member in enumerate(self._members):
            left = np.flatnonzero(~fooled)
            if len(left) == 0:
                break
            points, asked, classes, _ = member.search(pixels[left], labels[left])
            reached = self.threat.is_adversarial_class(classes, labels[left])
            losses = self._losses(points, labels[left])
            better = reached | (losses > loss[left])
            found[left[better]] = points[better]
            predicted[left[better]] = classes[better]
            loss[left[better]] = losses[better]
            fooled[left] = reached
            fooled_by[left[reached]] = number
            queries[left] += asked + 1
        return SearchResult(found, queries, predicted, fooled_by)

    def _losses(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return what the adversary increases: (N, H, W, C), (N,) -> (N,)."""
        logits = tf.constant(self.classifier.logits_of(pixels), tf.float64)
        return self.threat.loss(logits, tf.constant(labels, tf.int32)).numpy()

    @cached_property
    def _members(self) -> "tuple[CompiledAttack, ...]":
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
            return self.attack(network, images, labels, self.threat, ImageRng(seeds))

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
    rows = [(hash_pixels(image), seed) for image in images]
    return np.array(rows, dtype=np.uint32).reshape(-1, 2).astype(np.int32)
