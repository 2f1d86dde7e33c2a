"""A data set from labelled images that say themselves in which split they are."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advcli.data.class_order import ClassOrder
from advcli.data.dataset import ClassFault, Dataset, LeftOut, single_images
from advcli.data.split import Split, set_aside
from advcli.datasets._splits import NAMES, TEST, TRAIN, VALIDATION, split_of
from advcli.errors import UsageError
from advcli.parsing import read_index

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Labelled:
    """Images with the names of their classes.

    Args:
        images: the images; their labels do not count.
        labels: the class name of each, empty for an image without a class.
        splits: the split of each, empty for one that says none.
        evidence: the file that says so, for messages.
        names: all class names in the order of their numbers, if the data says it.
    """

    images: Split
    labels: Sequence[str]
    splits: Sequence[str]
    evidence: str
    names: tuple[str, ...] = ()


def assemble(name: str, found: Labelled, *, edge: int, identity: str, left_out: Sequence[LeftOut] = ()) -> Dataset:
    """Make a data set, with a fifth for testing where the images say no splits.

    Args:
        name: the name in records.
        found: the images.
        edge: the default image size in pixels.
        identity: a hash of the files.
        left_out: files that are not read.

    Raises:
        UsageError: there are fewer than two classes, or nothing to test on has a class.
    """
    splits = [each.strip() for each in found.splits]
    unknown = sorted({each for each in splits if each and not split_of(each)})
    if unknown:
        raise UsageError(f"'{found.evidence}' has a split '{unknown[0]}'", f"the splits are: {', '.join(NAMES)}")
    part = np.array([split_of(each) for each in splits])
    known = np.array([bool(label) for label in found.labels])
    if not known.all():
        count, what = int((~known).sum()), "images" if (~known).sum() > 1 else "image"
        first = found.images.name(int(np.flatnonzero(~known)[0]))
        log.warning("'%s' has no class for %d %s, left out: %s", found.evidence, count, what, first)
    labels = found.names or ordered(set(found.labels) - {""})
    if len(labels) < 2:
        only = f"only one class, '{labels[0]}'," if labels else "no classes"
        raise UsageError(f"{only} in '{found.evidence}'", "two are needed")
    number = {label: index for index, label in enumerate(labels)}
    every = replace(found.images, labels=np.array([number.get(label, -1) for label in found.labels], dtype=np.int32))
    gone = [*left_out]
    kinds = [each for each in (TEST, VALIDATION) if (known & (part == each)).any()]
    if not kinds:
        whole = every.take(np.flatnonzero(known))
        gone += _unused(found, ~known, "unlabelled")
        train, test = set_aside(whole)
        faults = single_images(whole, labels)
    else:
        whole, identity = None, ""
        learnt, measured = known & ((part == TRAIN) | (part == "")), known & (part == kinds[0])
        train, test = every.take(np.flatnonzero(learnt)), every.take(np.flatnonzero(measured))
        gone += _unused(found, ~known, "unlabelled")
        gone += _unused(found, known & ~learnt & ~measured, "validation (test images are measured)")
        faults = _untrained(found, train, test, labels)
    return Dataset(
        name=name,
        labels=labels,
        train=train,
        test=test,
        edge=edge,
        whole=whole,
        identity=identity,
        faults=faults,
        left_out=tuple(gone),
        indexed=all(read_index(label) is not None for label in labels),
    )


def ordered(labels: set[str]) -> tuple[str, ...]:
    """Sort class names: numbers by their value, others alphabetically."""
    numbers = all(read_index(label) is not None for label in labels)
    return (ClassOrder.NATURAL if numbers else ClassOrder.ALPHABETICAL).arrange(labels)


def _unused(found: Labelled, rows: np.ndarray, reason: str) -> list[LeftOut]:
    count = int(rows.sum())
    return [LeftOut(found.evidence, reason, {"images": count})] if count else []


def _untrained(found: Labelled, train: Split, test: Split, labels: Sequence[str]) -> tuple[ClassFault, ...]:
    if len(train) == 0:
        return ()
    missing: list[int] = sorted(set(test.labels.tolist()) - set(train.labels.tolist()))
    hint = "train on images of each class that is tested"
    return tuple(
        ClassFault(labels[i], f"class '{labels[i]}' of '{found.evidence}' has no training images", hint, training=True)
        for i in missing
    )
