"""The models of an evaluation, each with the images at its own size and what they are called in its words."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from advcli.data.class_names import class_named
from advcli.data.class_order import ClassOrder, has_names
from advcli.data.dataset import Dataset, Images
from advcli.errors import AdvcliError, nearest
from advcli.model.classifier import Classifier
from advcli.tasks.benchmark.plan import Subject


@dataclass(frozen=True)
class EvaluatedModel:
    """A model, ready to be measured.

    Args:
        classifier: the model.
        images: the images at its size.
        labels: (N,) their classes as the model counts them.
        rows: (N,) their places among all images, whatever the shard.
        orders: the order of the folders that its classes are taken for, if another order would be different.
    """

    classifier: Classifier
    images: Images
    labels: np.ndarray
    rows: np.ndarray
    orders: "Orders | None" = None

    @property
    def name(self) -> str:
        """What the model is called in records."""
        return self.classifier.name

    @property
    def size(self) -> tuple[int, int]:
        """The side and the channels of its images."""
        return self.classifier.edge, self.classifier.channels

    def parts(self, rows: np.ndarray, batch: int) -> Iterator[np.ndarray]:
        """Part some images into batches, whose places in ``images`` are given: each of (n,)."""
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
        """What is said of the model."""
        return Subject(
            self.name,
            self.classifier.labels,
            *self.size,
            dict(self.classifier.recipe),
            fingerprint(self.classifier),
            self.orders.taken.value if self.orders else None,
        )


@dataclass(frozen=True)
class Orders:
    """The order of class folders that a model without class names is measured with, and the other possible one.

    Args:
        taken: the order.
        names: the folders in this order.
        other: (K,) the number of each of these classes in the other order.
        chosen: whether the order was asked for.
    """

    taken: ClassOrder
    names: tuple[str, ...]
    other: np.ndarray
    chosen: bool = False


def measured(
    classifiers: Sequence[Classifier],
    dataset: Dataset,
    images: Sequence[Images],
    rows: np.ndarray,
    *,
    order_chosen: bool = False,
) -> list[EvaluatedModel]:
    """Put models and images together.

    Args:
        classifiers: the models.
        dataset: what the images are of.
        images: for each model, the images at its size.
        rows: (N,) their places among all images; of those that could not be read, too.
        order_chosen: whether the order of the data's class folders was asked for.

    Raises:
        AdvcliError: a model and the data do not have their classes in common.
    """
    return [
        EvaluatedModel(
            _named(classifier, dataset),
            own,
            class_indices(classifier, dataset)[own.labels],
            rows if own.places is None else rows[own.places],
            None if has_names(classifier.labels) else _orders(dataset, order_chosen),
        )
        for classifier, own in zip(classifiers, images, strict=True)
    ]


def _named(classifier: Classifier, dataset: Dataset) -> Classifier:
    """Call the classes of a model that has no names for them as the data does, if there are as many."""
    if not has_names(classifier.labels) and len(classifier.labels) == len(dataset.labels):
        return replace(classifier, labels=dataset.labels)
    return classifier


def _orders(dataset: Dataset, chosen: bool) -> Orders | None:
    """Compare the order that numbers the classes with the other one; None if they are the same, or are no question."""
    if dataset.order is None:
        return None
    other = dataset.order.other.arrange(dataset.labels)
    if other == dataset.labels:
        return None
    return Orders(dataset.order, dataset.labels, np.array([other.index(label) for label in dataset.labels]), chosen)


def fingerprint(classifier: Classifier) -> str:
    """Return a hash of all that a model's answers depend on, but for code of its own."""
    told = (classifier.edge, classifier.channels, classifier.input_range, classifier.head.name, classifier.labels)
    digest = hashlib.sha256(repr(told).encode())
    for weight in classifier.model.weights:
        digest.update(f"{weight.path} {weight.shape}".encode())
        digest.update(np.ascontiguousarray(weight).data)
    return digest.hexdigest()[:16]


def class_indices(classifier: Classifier, dataset: Dataset) -> np.ndarray:
    """Find each class of a data set in a classifier: -> (classes of the data,) indices.

    Raises:
        AdvcliError: they do not have these classes in common.
    """
    if not has_names(classifier.labels):
        if len(dataset.labels) == len(classifier.labels):
            return np.arange(len(classifier.labels))
        raise AdvcliError(
            f"'{classifier.name}' has {len(classifier.labels)} classes without names, "
            f"'{dataset.name}' has {len(dataset.labels)}",
            "give the model's class names with --labels",
        )
    indices = []
    for label in dataset.labels:
        index = class_named(classifier.labels, label)
        if index is None:
            raise AdvcliError(
                f"'{classifier.name}' has no class '{label}' of '{dataset.name}'", nearest(label, classifier.labels)
            )
        indices.append(index)
    if len(set(indices)) < len(indices):
        raise AdvcliError(f"two classes of '{dataset.name}' are one class of '{classifier.name}'")
    return np.array(indices)
