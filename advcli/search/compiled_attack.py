"""An attack compiled for one classifier."""

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from advcli import registry
from advcli.attacks import Attack, Suite
from advcli.backend import tf
from advcli.model.classifier import Classifier, predicted_classes
from advcli.search.boundary import Boundary
from advcli.search.traced_search import TracedSearch
from advcli.threat.threat import Threat

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
        points, queries = self.classifier.batches(self._traced_search, *given)
        scores = self.classifier.answers(points)
        # A search without a ball has no way to go further along.
        if self.attack.bounded:
            self._cross(points, scores, pixels, labels, masks)
        return SearchResult(points, queries, scores)

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
        boundary = Boundary(self.classifier, self.threat)
        left = left[boundary.adversarial_for_the_copy(points[left], labels[left])]
        left = boundary.lengthen(points, scores, pixels, labels, left, points[left])
        if len(left):
            found = self._on_the_model.search(pixels[left], labels[left], _rows(masks, left)).points
            boundary.lengthen(points, scores, pixels, labels, left, found)

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
        return self._traced_search.traces

    @cached_property
    def _traced_search(self) -> TracedSearch:
        if isinstance(self.attack, Suite):
            raise TypeError("the members of a suite are traced one by one")
        return TracedSearch(self.classifier, self.attack, self.threat, self.seed, self.start)

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


def _rows(masks: np.ndarray | None, rows: np.ndarray) -> np.ndarray | None:
    return None if masks is None else masks[rows]
