"""Data sets: classes, training and test images, and what is wrong with either."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from advcli.data.class_names import class_index
from advcli.data.class_order import ClassOrder
from advcli.data.split import Split
from advcli.errors import UsageError


@dataclass(frozen=True)
class ClassFault:
    """What is wrong with one class of a data set; it does not matter where the class is left out.

    Args:
        label: the class.
        message: what is wrong.
        hint: what to do.
        training: whether it matters for training only.
    """

    label: str
    message: str
    hint: str = ""
    training: bool = False


@dataclass(frozen=True)
class LeftOut:
    """Files of a data set that are not read.

    Args:
        where: the folder.
        reason: why they are not read.
        suffixes: how many there are of each suffix.
    """

    where: str
    reason: str
    suffixes: Mapping[str, int]

    @property
    def files(self) -> int:
        """How many files there are."""
        return sum(self.suffixes.values())


@dataclass(frozen=True)
class Given:
    """Images that were corrupted before, in the order of the test images.

    Args:
        corruption: the name of the corruption.
        severity: how strong it is, from 1 to 5.
        split: the corrupted images.
    """

    corruption: str
    severity: int
    split: Split


@dataclass(frozen=True)
class Dataset:
    """A named set of labelled images in two splits.

    Args:
        name: the name in records.
        labels: the class names, in the order of their indices.
        train: the training images, including those for validation.
        test: the test images, never used for training or model selection.
        edge: the default image size in pixels.
        channels: 3 for colour, 1 if every image is grey.
        eps: the usual linf radius for this data, in units of [0, 1].
        augment: the default augmentations for training, which preserve the class of an image.
        order: the sort order of the folder names that numbers the classes; None if the data defines the numbers.
        whole: all images in their order, if ``test`` is a part of them that was set aside here.
        identity: a hash that the same files have wherever they are; empty if it is not known.
        faults: what is wrong with some of the classes.
        left_out: the files that are not read.
        given: corrupted versions of the test images.
        has_clean: whether the test images are the clean ones; else they are the first of the given ones.
        indexed: whether the class names are indices of a model's outputs, where the model has other names.
        among: the names of all classes, if only some of them were chosen.
    """

    name: str
    labels: tuple[str, ...]
    train: Split
    test: Split
    edge: int
    channels: int = 3
    eps: float = 8 / 255
    augment: tuple[str, ...] = ("flip", "crop", "jitter")
    order: ClassOrder | None = None
    whole: Split | None = None
    identity: str = ""
    faults: tuple[ClassFault, ...] = ()
    left_out: tuple[LeftOut, ...] = ()
    given: tuple[Given, ...] = ()
    has_clean: bool = True
    indexed: bool = False
    among: tuple[str, ...] = ()

    def measured_whole(self) -> "Dataset":
        """Return the data set with all its images for testing, if a part of them was set aside."""
        if self.whole is None:
            return self
        return replace(self, train=self.whole.take(np.arange(0)), test=self.whole, whole=None)

    def refuse_faults(self, *, training: bool = False) -> None:
        """Refuse classes with which something is wrong.

        Raises:
            UsageError: there is one.
        """
        for fault in self.faults:
            if training or not fault.training:
                raise UsageError(fault.message, fault.hint)

    def _with_splits(self, change: Callable[[Split], Split]) -> "Dataset":
        return replace(
            self,
            train=change(self.train),
            test=change(self.test),
            whole=None if self.whole is None else change(self.whole),
            given=tuple(replace(each, split=change(each.split)) for each in self.given),
        )

    def in_order(self, order: ClassOrder) -> "Dataset":
        """Renumber the classes by the order of their names; the images and their order are unchanged."""
        labels = order.arrange(self.labels)
        number = np.array([labels.index(label) for label in self.labels], dtype=np.int32)

        def renumbered(split: Split) -> Split:
            return replace(split, labels=number[split.labels])

        return replace(self._with_splits(renumbered), labels=labels, order=order)

    def restrict(self, classes: Sequence[str]) -> "Dataset":
        """Return the data set with a subset of the classes, given by name or index.

        Raises:
            UsageError: there is no such class, or fewer than two remain.
        """
        kept = list(dict.fromkeys(class_index(self.labels, value) for value in classes))
        if len(kept) < 2:
            raise UsageError("fewer than two classes are left", "give --classes at least two")
        number = np.full(len(self.labels), -1, dtype=np.int32)
        number[kept] = np.arange(len(kept))

        def restricted(split: Split) -> Split:
            chosen = split.take(np.flatnonzero(number[split.labels] >= 0))
            return replace(chosen, labels=number[chosen.labels])

        labels = tuple(self.labels[i] for i in kept)
        faults = tuple(fault for fault in self.faults if fault.label in labels)
        among = self.among or self.labels
        return replace(self._with_splits(restricted), labels=labels, order=None, faults=faults, among=among)


def single_images(whole: Split, names: Sequence[str]) -> tuple[ClassFault, ...]:
    """Name the classes that have one image, where a fifth of the images is set aside."""
    counts = Counter(whole.labels.tolist())
    hint = "two are needed: to train on and to test on"
    return tuple(
        ClassFault(name, f"class '{name}' has only one image", hint, training=True)
        for number, name in enumerate(names)
        if counts[number] == 1
    )
