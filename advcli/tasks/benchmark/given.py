"""Images that were corrupted before, brought into the order of the clean images."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.data.class_names import label_key
from advcli.data.dataset import Dataset, Given
from advcli.data.split import Split
from advcli.errors import UsageError
from advcli.tasks.benchmark.perturbations import Kind, Perturbation


def given_perturbations(sets: tuple[tuple[str, int], ...]) -> list[Perturbation]:
    """Describe perturbations that are given as images, by name and severity."""
    return [Perturbation(name, Kind.GIVEN, severity=severity) for name, severity in sets]


def with_given(clean: Dataset, corrupted: Dataset) -> Dataset:
    """Return clean data with the corrupted versions of its test images.

    The images are matched by class and file name; where the names do not match, by their order, if they are as many
    and have the same classes.

    Args:
        clean: the data set.
        corrupted: a data set with given perturbations.

    Raises:
        UsageError: an image has no corrupted version.
    """
    numbers = _numbers(clean, corrupted)
    first = corrupted.given[0].split
    labels = numbers[first.labels]
    order = _by_name(clean.test, labels, first)
    if order is None:
        if len(first) != len(clean.test) or (labels != clean.test.labels).any():
            raise UsageError(
                f"the {len(first)} images of '{corrupted.name}' are not those of '{clean.name}', {len(clean.test)}",
                "names and classes, or number and order of the images, must be the same",
            )
        order = np.arange(len(first))

    def ordered(each: Given) -> Given:
        return replace(each, split=replace(each.split, labels=numbers[each.split.labels]).take(order))

    return replace(clean, given=tuple(ordered(each) for each in corrupted.given))


def _numbers(clean: Dataset, corrupted: Dataset) -> np.ndarray:
    """Find the number of each class of the corrupted data in the clean data; -1 for one that it does not have."""
    if corrupted.indexed and not clean.indexed:
        return np.array([int(label) if int(label) < len(clean.labels) else -1 for label in corrupted.labels])
    known = {label_key(label): index for index, label in enumerate(clean.labels)}
    return np.array([known.get(label_key(label), -1) for label in corrupted.labels])


def _by_name(clean: Split, labels: np.ndarray, corrupted: Split) -> np.ndarray | None:
    places = {(int(label), Path(corrupted.name(i)).stem): i for i, label in enumerate(labels)}
    found = [places.get((int(label), Path(clean.name(i)).stem)) for i, label in enumerate(clean.labels)]
    return None if None in found else np.array(found, dtype=np.int64)
