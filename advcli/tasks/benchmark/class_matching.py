"""Which output of a model is which class of the data."""

import logging
from dataclasses import dataclass, replace

import numpy as np

from advcli.data.class_names import is_wordnet_id
from advcli.data.class_order import ClassOrder, has_names
from advcli.data.dataset import Dataset
from advcli.errors import UsageError, nearest
from advcli.model.classifier import Classifier

log = logging.getLogger(__name__)

_CLASS_INDEX = "give Keras' class index, which holds these names: --labels imagenet_class_index.json"


@dataclass(frozen=True)
class Orders:
    """The order of class folders for a model without class names, and the other possible order.

    Args:
        taken: the order in use.
        names: the folders in this order.
        other: (K,) the index of each of these classes in the other order.
        chosen: whether the user chose the order.
    """

    taken: ClassOrder
    names: tuple[str, ...]
    other: np.ndarray
    chosen: bool = False


def class_indices(classifier: Classifier, dataset: Dataset) -> np.ndarray:
    """Find the index of each class of a data set in a classifier: -> (classes of the data,).

    Raises:
        UsageError: the classifier does not have these classes.
    """
    of_wordnet = all(is_wordnet_id(label) for label in dataset.labels)
    by_index = dataset.indexed and max(map(int, dataset.labels)) < len(classifier.labels)
    if not has_names(classifier.labels):
        names = _names_by_number(classifier, dataset)
        if names and not (by_index and dataset.order is None):
            return np.array([names.index(label) for label in dataset.labels])
        if by_index:
            return _as_indices(classifier, dataset)
        raise UsageError(
            f"'{classifier.name}' has {len(classifier.labels)} classes without names, "
            f"'{dataset.name}' has {len(dataset.labels)}",
            _CLASS_INDEX if of_wordnet else "give the model's class names with --labels",
        )
    found = [classifier.class_named(label) for label in dataset.labels]
    if by_index and not any(index is not None for index in found):
        return _as_indices(classifier, dataset)
    indices = []
    for label, index in zip(dataset.labels, found, strict=True):
        if index is None:
            unknown = of_wordnet and not classifier.wordnet_ids
            raise UsageError(
                f"'{classifier.name}' has no class '{label}' of '{dataset.name}'",
                _CLASS_INDEX if unknown else nearest(label, classifier.labels),
            )
        indices.append(index)
    if len(set(indices)) < len(indices):
        raise UsageError(f"two classes of '{dataset.name}' are one class of '{classifier.name}'")
    return np.array(indices)


def _as_indices(classifier: Classifier, dataset: Dataset) -> np.ndarray:
    log.info("the classes of '%s' are taken as indices of the outputs of '%s'", dataset.name, classifier.name)
    return np.array([int(label) for label in dataset.labels])


def named_by_data(classifier: Classifier, dataset: Dataset) -> Classifier:
    """Give a model without class names the names of the data's classes, if their numbers are equal."""
    names = _names_by_number(classifier, dataset)
    return classifier if has_names(classifier.labels) or not names else replace(classifier, labels=names)


def _names_by_number(classifier: Classifier, dataset: Dataset) -> tuple[str, ...]:
    """Return the class names of the data, all or the chosen ones, if they are as many as the outputs of a model."""
    return next((names for names in (dataset.labels, dataset.among) if len(names) == len(classifier.labels)), ())


def names_of_outputs(classifier: Classifier, dataset: Dataset) -> tuple[str, ...]:
    """Return the data's names of the outputs of a model without class names; empty if they are their numbers."""
    names = () if has_names(classifier.labels) else _names_by_number(classifier, dataset)
    return () if names == tuple(map(str, range(len(names)))) else names


def orders_of(dataset: Dataset, chosen: bool) -> Orders | None:
    """Compare the two orders of the class folders; None if they are the same, or do not matter."""
    if dataset.order is None:
        return None
    other = dataset.order.other.arrange(dataset.labels)
    if other == dataset.labels:
        return None
    return Orders(dataset.order, dataset.labels, np.array([other.index(label) for label in dataset.labels]), chosen)


def only_classes_of(classifier: Classifier, dataset: Dataset) -> Classifier:
    """Return a classifier that decides between the classes of a data set alone."""
    indices = class_indices(classifier, dataset)
    if len(indices) == len(classifier.labels):
        log.info("'%s' has no other classes than '%s': --classes-only changes nothing", classifier.name, dataset.name)
        return classifier
    log.info("'%s' decides between %d of its %d classes", classifier.name, len(indices), len(classifier.labels))
    return replace(classifier.restricted_to(indices.tolist()), labels=dataset.labels)
