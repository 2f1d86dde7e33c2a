"""What is known so far: which class each model sees in each image under each perturbation."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np

from advcli.model.classifier import UNDEFINED
from advcli.records import Smoothed, Verdicts
from advcli.tasks.benchmark.perturbations import Kind, Perturbation

UNKNOWN = -2


class Results:
    """The verdicts of an evaluation, as far as they are known.

    Args:
        images: how many images there are in all, whatever the shard.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self._labels: dict[str, np.ndarray] = defaultdict(self._unknown)
        self._predicted: dict[tuple[Any, ...], np.ndarray] = defaultdict(self._unknown)
        self._members: dict[tuple[Any, ...], np.ndarray] = defaultdict(self._unknown)
        self._seconds: dict[tuple[Any, ...], float] = defaultdict(float)
        self._radii: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(images))

    def add(self, record: Verdicts | Smoothed) -> None:
        """Take in a finished batch."""
        rows = np.array(record.indices, dtype=np.int64)
        if isinstance(record, Smoothed):
            key = (record.model, "smoothed")
            self._radii[record.model][rows] = record.radii
        else:
            key = (record.model, *record.place.values(), record.crafted_on)
            if record.members:
                self._members[key][rows] = record.members
            if record.labels:
                self._labels[record.model][rows] = record.labels
        self._predicted[key][rows] = record.predicted
        self._seconds[key] += record.seconds

    def labels(self, model: str) -> np.ndarray:
        """Return the images' classes as a model counts them: -> (N,)."""
        return self._labels[model]

    def predicted(self, model: str, perturbation: Perturbation, crafted_on: str | None = None) -> np.ndarray:
        """Return the class a model sees in each image: -> (N,), ``UNKNOWN`` where that is not known yet."""
        return self._predicted[(model, *perturbation.place.values(), crafted_on)]

    def members(self, model: str, perturbation: Perturbation) -> np.ndarray:
        """Return which member of a suite fooled each image: -> (N,) numbers, ``UNKNOWN`` where not known."""
        return self._members[(model, *perturbation.place.values(), None)]

    def smoothed(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        """Return what a smoothed model certifies: -> (N,) classes, -1 where it abstains, and (N,) radii."""
        return self._predicted[(model, "smoothed")], self._radii[model]

    def seconds(self, model: str, perturbation: Perturbation, crafted_on: str | None = None) -> float:
        """Return how long a model was measured under a perturbation."""
        return self._seconds[(model, *perturbation.place.values(), crafted_on)]

    def seconds_smoothed(self, model: str) -> float:
        """Return how long a smoothed model was measured."""
        return self._seconds[(model, "smoothed")]

    def correct(
        self, model: str, clean: Perturbation, perturbation: Perturbation | None = None, crafted_on: str | None = None
    ) -> np.ndarray:
        """Tell which images a model gets right: -> (N,) bool.

        Under an attack an image that is wrong when clean is wrong, and one that was not searched is right; so is
        one for which the model gave NaN, which is no class that the attack could have reached.
        """
        labels = self.labels(model)
        correct = self.predicted(model, clean) == labels
        if perturbation is None or perturbation is clean:
            return correct
        predicted = self.predicted(model, perturbation, crafted_on)
        if perturbation.kind is Kind.ATTACK:
            return correct & ((predicted == labels) | (predicted == UNKNOWN) | (predicted == UNDEFINED))
        return predicted == labels

    def undefined(self, model: str, perturbation: Perturbation, rows: np.ndarray) -> int:
        """Count the images for which a model gave NaN."""
        return int((self.predicted(model, perturbation)[rows] == UNDEFINED).sum())

    def missing(self, model: str, perturbation: Perturbation, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Keep the images that are not known yet."""
        rows = np.asarray(rows)
        return rows[self.predicted(model, perturbation)[rows] == UNKNOWN]

    def _unknown(self) -> np.ndarray:
        return np.full(self.images, UNKNOWN, dtype=np.int32)
