"""An attack compiled for one classifier."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from advcli import registry
from advcli.attacks import Attack, DecisionAttack, Suite
from advcli.backend import Tensor, TracedFunction, Variable, tf
from advcli.data.decoded import to_float
from advcli.data.images import resize
from advcli.errors import AdvcliError
from advcli.model.black_box import asking_anew
from advcli.model.classifier import Classifier, predicted_classes
from advcli.threat.rng import ImageRng, hash_pixels
from advcli.threat.threat import Threat
from advcli.tracing import as_written, converted

# So near the boundary, as a part of the score, a point may be across it for a copy of the model and not for the model.
_AT_THE_BOUNDARY = 1e-3
_ROUNDING = 1e-6
_LENGTHENED = (1.0003, 1.001, 1.003, 1.01, 1.03, 1.1)

NO_MEMBER = -1


class SearchResult(NamedTuple):
    """The result of an attack.

    Args:
        points: (N, H, W, C) float32 in [0, 1], all of them finite.
        queries: (N,) the number of queries for each image.
        scores: (N, K) the model's own score of each class for each point, which may be NaN.
        members: for a suite: (N,) the index of the member that fooled the model, ``NO_MEMBER`` if none did.
    """

    points: np.ndarray
    queries: np.ndarray
    scores: np.ndarray
    members: np.ndarray | None = None

    @property
    def predicted(self) -> np.ndarray:
        """The class that the model itself predicts for each point, -1 for NaN: (N,)."""
        return predicted_classes(self.scores)


@dataclass(frozen=True)
class CompiledAttack:
    """An attack on a classifier under a threat, traced once for batches of every size.

    The attack may use a faster inference copy of the model, but the model itself decides whether an image is
    adversarial. A point just short of the model's boundary is moved across it, inside the ball.

    Args:
        classifier: the classifier to attack, in inference mode: a model, or an inference copy of one.
        attack: the attack, or a suite of attacks.
        threat: the ball.
        seed: together with an image's pixels it determines the image's random numbers.
        start: (H, W, C) uint8, the image of the target class that a decision-based attack starts from.
    """

    classifier: Classifier
    attack: Attack | Suite
    threat: Threat
    seed: int = 0
    start: np.ndarray | None = field(default=None, compare=False)

    def __call__(
        self, pixels: np.ndarray, labels: np.ndarray, masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Attack images: (N, H, W, C) in [0, 1], (N,) labels -> (N, H, W, C), (N,) number of queries."""
        found = self.search(pixels, labels, masks)
        return found.points, found.queries

    def search(self, pixels: np.ndarray, labels: np.ndarray, masks: np.ndarray | None = None) -> SearchResult:
        """Attack images, and classify the results with the model itself.

        Args:
            pixels: (N, H, W, C) in [0, 1].
            labels: (N,) the classes to move away from.
            masks: (N, H, W, 1) bool, which pixels of each image may change; None means all of them.
        """
        if self._members:
            return self._in_turn(pixels, labels, masks)
        if self._proven_copy(pixels) is not self.classifier:
            return self._on_the_model.search(pixels, labels, masks)
        given = (pixels, labels) if masks is None else (pixels, labels, masks)
        points, queries = self.classifier.batches(self._searched, *given)
        scores = self.classifier.answers(points)
        # A search without a ball has no way to go further along.
        if self.attack.bounded:
            self._cross(points, scores, pixels, labels, masks)
        return SearchResult(points, queries, scores)

    def _searched(
        self, pixels: np.ndarray, labels: np.ndarray, masks: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
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

    def _cross(
        self,
        points: np.ndarray,
        scores: np.ndarray,
        pixels: np.ndarray,
        labels: np.ndarray,
        masks: np.ndarray | None,
    ) -> None:
        """Move points near the model's boundary across it; changes ``points`` and ``scores`` in place."""
        left = np.flatnonzero(~self.threat.is_adversarial_class(predicted_classes(scores), labels))
        if len(left) == 0 or self.threat.eps == 0 or self.classifier.source is None:
            return
        left = left[self._adversarial_for_the_copy(points[left], labels[left])]
        left = self._lengthen(points, scores, pixels, labels, left, points[left])
        if len(left):
            found = self._on_the_model.search(pixels[left], labels[left], _rows(masks, left)).points
            self._lengthen(points, scores, pixels, labels, left, found)

    def _lengthen(
        self,
        points: np.ndarray,
        scores: np.ndarray,
        pixels: np.ndarray,
        labels: np.ndarray,
        left: np.ndarray,
        found: np.ndarray,
    ) -> np.ndarray:
        """Go a little further to points found for some rows until the model is fooled: -> the rows that are left."""
        for factor in (1.0, *_LENGTHENED):
            if len(left) == 0:
                break
            longer = tf.constant(pixels[left] + factor * (found - pixels[left]), tf.float32)
            tried = self.threat.project(longer, tf.constant(pixels[left], tf.float32)).numpy()
            rest = self._take(points, scores, labels, left, tried)
            found, left = found[np.isin(left, rest)], rest
        return left

    def _take(
        self, points: np.ndarray, scores: np.ndarray, labels: np.ndarray, rows: np.ndarray, tried: np.ndarray
    ) -> np.ndarray:
        """Replace points by candidates that fool the model itself, in place, and return the remaining rows."""
        found = self.classifier.answers(tried)
        across = self.threat.is_adversarial_class(predicted_classes(found), labels[rows])
        points[rows[across]] = tried[across]
        scores[rows[across]] = found[across]
        return rows[~across]

    def _adversarial_for_the_copy(self, points: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return which points near the model's boundary are adversarial for the copy, up to rounding: -> (N,) bool."""
        near = self._leads(self.classifier.itself.logits_of(points), labels) >= -_AT_THE_BOUNDARY
        if near.any():
            near[near] = self._leads(self.classifier.logits_of(points[near]), labels[near]) >= -_ROUNDING
        return near

    def _leads(self, scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return how far the adversary's class leads, as a part of the largest score: (N, K), (N,) -> (N,)."""
        scores = np.array(scores, np.float64)
        largest = np.abs(scores).max(axis=1)
        if self.threat.target is not None:
            lead = scores[:, self.threat.target] - scores.max(axis=1)
        else:
            rows = np.arange(len(scores))
            own = scores[rows, labels]
            scores[rows, labels] = -np.inf
            lead = scores.max(axis=1) - own
        return lead / np.maximum(largest, 1e-30)

    def _proven_copy(self, pixels: np.ndarray) -> Classifier:
        """Compare the inference copy with the model on the first images, and return the model if they differ."""
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
        """The number of traces; more than one for one image size is an error."""
        if self._members:
            return max(member.traces for member in self._members)
        return sum(function.experimental_get_tracing_count() for function in vars(self).get("_functions", {}).values())

    def _in_turn(self, pixels: np.ndarray, labels: np.ndarray, masks: np.ndarray | None) -> SearchResult:
        """Run each member on the images that no earlier member fooled, and keep each image's best point."""
        fooled_by = np.full(len(pixels), NO_MEMBER)
        found = np.array(pixels, np.float32)
        scores = self.classifier.answers(found)
        fooled = self.threat.is_adversarial_class(predicted_classes(scores), labels)
        loss = self._losses(found, labels)
        queries = np.ones(len(pixels), np.int32)
        for number, member in enumerate(self._members):
            left = np.flatnonzero(~fooled)
            if len(left) == 0:
                break
            points, asked, answers, _ = member.search(pixels[left], labels[left], _rows(masks, left))
            reached = self.threat.is_adversarial_class(predicted_classes(answers), labels[left])
            losses = self._losses(points, labels[left])
            better = reached | (losses > loss[left])
            found[left[better]] = points[better]
            scores[left[better]] = answers[better]
            loss[left[better]] = losses[better]
            fooled[left] = reached
            fooled_by[left[reached]] = number
            queries[left] += asked + 1
        return SearchResult(found, queries, scores, fooled_by)

    def _losses(self, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
        """Return the loss that the attack maximises: (N, H, W, C), (N,) -> (N,)."""
        logits = tf.constant(self.classifier.logits_of(pixels), tf.float64)
        return self.threat.loss(logits, tf.constant(labels, tf.int32)).numpy()

    @cached_property
    def _members(self) -> "tuple[CompiledAttack, ...]":
        specs = self.attack.members_in(self.threat.norm) if isinstance(self.attack, Suite) else ()
        return tuple(replace(self, attack=registry.build("attacks", spec)) for spec in specs)

    @cached_property
    def _queries(self) -> Variable:
        return tf.Variable(np.zeros(0, np.int32), shape=(None,), trainable=False)

    @cached_property
    def _functions(self) -> "dict[tuple[int | bool | None, ...], TracedFunction]":
        return {}

    def _traced(self, size: tuple[int | None, int | None], masked: bool) -> TracedFunction:
        """Return the function for images of one size, or of any size, with masks or without."""
        key = (*size, masked)
        if key not in self._functions:
            self._functions[key] = self._new_function(size, masked)
        return self._functions[key]

    def _new_function(self, size: tuple[int | None, int | None], masked: bool) -> TracedFunction:
        attack = self.attack
        if isinstance(attack, Suite):
            raise TypeError("the members of a suite are compiled one by one")

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


def _rows(masks: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if masks is None else masks[rows]


def image_seeds(images: np.ndarray, seed: int) -> np.ndarray:
    """Return a seed for each image, computed from its pixels and ``seed``: (N, H, W, C) -> (N, 2) int32."""
    rows = [(hash_pixels(image), seed) for image in images]
    return np.array(rows, dtype=np.uint32).reshape(-1, 2).astype(np.int32)
