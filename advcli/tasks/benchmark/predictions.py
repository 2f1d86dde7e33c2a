"""The predicted class of each image by each model under each perturbation, as far as measured."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from advcli.model.classifier import UNDEFINED
from advcli.records import Smoothed, Verdicts
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.calibration import Beliefs

UNKNOWN = -2


class Results:
    """The predictions of an evaluation, as far as measured.

    Args:
        images: the number of images of the whole sample.
    """

    def __init__(self, images: int) -> None:
        self.images = images
        self._labels: dict[str, np.ndarray] = defaultdict(self._unknown)
        self._predicted: dict[tuple[object, ...], np.ndarray] = defaultdict(self._unknown)
        self._members: dict[tuple[object, ...], np.ndarray] = defaultdict(self._unknown)
        self._columns: dict[str, np.ndarray] = defaultdict(lambda: np.full(images, "", dtype=object))
        self._seconds: dict[tuple[object, ...], float] = defaultdict(float)
        self._queries: dict[tuple[object, ...], int] = {}
        self._beliefs: dict[tuple[object, ...], np.ndarray] = defaultdict(lambda: np.full((3, images), np.nan))
        self._radii: dict[str, np.ndarray] = defaultdict(lambda: np.zeros(images))

    def add(self, record: Verdicts | Smoothed) -> None:
        """Add a finished batch."""
        rows = np.array(record.indices, dtype=np.int64)
        if isinstance(record, Smoothed):
            key = (record.model, "smoothed")
            self._radii[record.model][rows] = record.radii
        else:
            key = (record.model, *record.place.values(), record.crafted_on)
            if record.confidence:
                values = (record.confidence, record.log_loss, record.squared_error)
                self._beliefs[key][:, rows] = np.array(values, np.float64)
            if record.members:
                self._members[key][rows] = record.members
            if record.labels:
                self._labels[record.model][rows] = record.labels
            for name, values in record.columns.items():
                self._columns[name][rows] = values
        self._predicted[key][rows] = record.predicted
        self._seconds[key] += record.seconds
        if isinstance(record, Verdicts) and record.queries is not None:
            self._queries[key] = self._queries.get(key, 0) + record.queries

    def labels(self, model: str) -> np.ndarray:
        """Return the true classes as indices of a model's outputs: -> (N,)."""
        return self._labels[model]

    def columns(self) -> dict[str, np.ndarray]:
        """Return what the data says of each image besides its class: name -> (N,) texts."""
        return dict(self._columns)

    def predicted(self, model: str, perturbation: Perturbation, crafted_on: str | None = None) -> np.ndarray:
        """Return the predicted class of each image: -> (N,), ``UNKNOWN`` where not measured yet."""
        return self._predicted[(model, *perturbation.place.values(), crafted_on)]

    def members(self, model: str, perturbation: Perturbation) -> np.ndarray:
        """Return the index of the suite's member that fooled each image: -> (N,), ``UNKNOWN`` where not measured."""
        return self._members[(model, *perturbation.place.values(), None)]

    def beliefs(self, model: str, perturbation: Perturbation) -> Beliefs:
        """Return what a model believes of each image: (N,) each, NaN where it is not known."""
        return Beliefs(*self._beliefs[(model, *perturbation.place.values(), None)])

    def smoothed(self, model: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the certificates of a smoothed model: -> (N,) classes, -1 where it abstains, and (N,) radii."""
        return self._predicted[(model, "smoothed")], self._radii[model]

    def seconds(self, model: str, perturbation: Perturbation, crafted_on: str | None = None) -> float:
        """Return the seconds that a model's evaluation under a perturbation took."""
        return self._seconds[(model, *perturbation.place.values(), crafted_on)]

    def queries(self, model: str, perturbation: Perturbation) -> int | None:
        """Return how many images a remote model was asked about under a perturbation; None for other models."""
        return self._queries.get((model, *perturbation.place.values(), None))

    def seconds_smoothed(self, model: str) -> float:
        """Return the seconds that a smoothed model's certificates took."""
        return self._seconds[(model, "smoothed")]

    def correct(
        self, model: str, clean: Perturbation, perturbation: Perturbation | None = None, crafted_on: str | None = None
    ) -> np.ndarray:
        """Return which images a model predicts correctly: -> (N,) bool.

        Under an attack, on this model or another, an image that is wrong when clean counts as wrong, and one that was
        not attacked as correct; so does one for which the model returned NaN, as the attack reached no other class.
        """
        labels = self.labels(model)
        correct = self.predicted(model, clean) == labels
        if perturbation is None or perturbation is clean:
            return correct
        predicted = self.predicted(model, perturbation, crafted_on)
        if perturbation.kind in (Kind.ATTACK, Kind.TRANSFER):
            return correct & ((predicted == labels) | (predicted == UNKNOWN) | (predicted == UNDEFINED))
        return predicted == labels

    def fooled(self, model: str, clean: Perturbation, attack: Perturbation) -> np.ndarray:
        """Return which images an attack fooled a model on: those that are correct only without it: -> (N,) bool."""
        return self.correct(model, clean) & ~self.correct(model, clean, attack)

    def undefined(self, model: str, perturbation: Perturbation, rows: np.ndarray) -> int:
        """Count the images for which a model returned NaN."""
        return int((self.predicted(model, perturbation)[rows] == UNDEFINED).sum())

    def missing(self, model: str, perturbation: Perturbation, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Return the images without a prediction."""
        rows = np.asarray(rows)
        return rows[self.predicted(model, perturbation)[rows] == UNKNOWN]

    def _unknown(self) -> np.ndarray:
        return np.full(self.images, UNKNOWN, dtype=np.int32)
