"""The models of an evaluation, each with the images at its own size and its own class indices."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from advcli.data.class_order import has_names
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode
from advcli.data.split import Split
from advcli.errors import AdvcliError
from advcli.model import saved_model
from advcli.model.black_box import BlackBox, end_batch
from advcli.model.classifier import Classifier
from advcli.model.introspection import operations
from advcli.search.surrogate import Surrogate
from advcli.tasks.benchmark.class_matching import (
    Orders,
    class_indices,
    named_by_data,
    names_of_outputs,
    orders_of,
)
from advcli.tasks.benchmark.plan import Subject

log = logging.getLogger(__name__)

# ((height, width), channels).
ImageShape = tuple[tuple[int, int], int]


@dataclass(frozen=True)
class EvaluatedModel:
    """A model with the images it is evaluated on.

    Args:
        classifier: the model.
        images: the images at its size.
        labels: (N,) their true classes as indices of the model's outputs.
        rows: (N,) their indices in the whole sample.
        orders: the order of the class folders of a model without class names, if another order would differ.
        surrogate: the model that attacks see, if it is another one.
        columns: what the data says of each image besides its class: name -> (N,) texts.
        given: (corruption, severity) -> the whole sample under this perturbation, where that is given.
        numbered: for a model without class names, the data's names of its outputs; empty if they are their numbers.
    """

    classifier: Classifier
    images: Images
    labels: np.ndarray
    rows: np.ndarray
    orders: Orders | None = None
    surrogate: Surrogate | None = None
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    given: Mapping[tuple[str, int], Split] = field(default_factory=dict)
    numbered: tuple[str, ...] = ()

    def given_pixels(self, corruption: str, severity: int, rows: np.ndarray) -> np.ndarray:
        """Read given images at the model's size: (n,) indices in the whole sample -> (n, H, W, C) in [0, 1].

        Raises:
            AdvcliError: one cannot be read.
        """
        split = self.given[corruption, severity].take(rows)
        found = decode(split, *self.size, fit=self.classifier.fitting)
        if len(found) < len(rows):
            raise AdvcliError(f"some images of '{corruption}' at severity {severity} are unreadable", "repair them")
        return found.at(slice(None))[0]

    @property
    def queries(self) -> int | None:
        """How many different images a remote model was asked about since the last batch; None for other models."""
        return self.classifier.model.queries if isinstance(self.classifier.model, BlackBox) else None

    def end_batch(self) -> None:
        """End a batch whose results are kept."""
        end_batch(self.classifier.model)

    @property
    def name(self) -> str:
        """The model's name in records."""
        return self.classifier.name

    @property
    def size(self) -> ImageShape:
        """The image size and the channels."""
        return self.classifier.image_size, self.classifier.channels

    def parts(self, rows: np.ndarray, batch: int) -> Iterator[np.ndarray]:
        """Split images into batches of indices into ``images``: (n,) each."""
        places = self._place_of[rows]
        for start in range(0, len(places), batch):
            yield places[start : start + batch]

    @cached_property
    def _place_of(self) -> np.ndarray:
        places = np.zeros(int(self.rows.max()) + 1, dtype=np.int64)
        places[self.rows] = np.arange(len(self.rows))
        return places

    @cached_property
    def subject(self) -> Subject:
        """The description of the model."""
        return Subject(
            self.name,
            self.classifier.labels,
            *self.size,
            dict(self.classifier.recipe),
            fingerprint(self.classifier),
            self.orders.taken.value if self.orders else None,
            len(self.classifier.only) or None,
        )


def measured(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    images: Sequence[Images],
    rows: np.ndarray,
    *,
    order_chosen: bool = False,
    columns: Mapping[str, np.ndarray] | None = None,
) -> list[EvaluatedModel]:
    """Combine models and images.

    Args:
        classifiers: the models.
        dataset: the data set of the images.
        images: for each model, the images at its size.
        rows: (N,) their indices in the whole sample, including unreadable images.
        order_chosen: whether the user chose the order of the class folders.
        columns: what the data says of each of these images besides its class.

    Raises:
        AdvcliError: the classes of a model and of the data differ.
    """
    return [
        EvaluatedModel(
            named_by_data(classifier, dataset),
            own,
            class_indices(classifier, dataset)[own.labels],
            rows if own.places is None else rows[own.places],
            None if has_names(classifier.labels) else orders_of(dataset, order_chosen),
            columns={
                name: values if own.places is None else values[own.places] for name, values in (columns or {}).items()
            },
            numbered=names_of_outputs(classifier, dataset),
        )
        for classifier, own in zip(classifiers, images, strict=True)
    ]


def fingerprint(classifier: Classifier) -> str:
    """Return a hash of all that a model's predictions depend on, except custom code."""
    height, width = classifier.image_size
    size = height if height == width else (height, width)
    told = (size, classifier.channels, classifier.input_range, classifier.head.name, classifier.labels)
    told = (*told, classifier.only) if classifier.only else told
    digest = hashlib.sha256(repr(told).encode())
    if isinstance(classifier.model, BlackBox):
        digest.update(classifier.model.function.identity)
    else:
        digest.update("".join(saved_model.fingerprints(operations(classifier.model))).encode())
    for weight in classifier.model.weights:
        digest.update(f"{weight.path} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()[:16]
