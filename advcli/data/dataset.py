"""Data sets: labelled images, sampled, split and decoded into arrays."""

import hashlib
import logging
import math
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from advcli.data import images
from advcli.data.class_names import class_index
from advcli.data.class_order import ClassOrder
from advcli.data.uniform_size import uniform_size
from advcli.errors import AdvcliError, UsageError
from advcli.files.download import cache_folder

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Split:
    """Labelled images that are not decoded yet, in the order of the data set.

    Args:
        labels: (N,) int32 class of each image.
        read: index -> (H, W, C) uint8, or float32 in [0, 1].
        name: index -> the image's name in messages.
        columns: what else is known of each image: name of the column -> (N,) texts.
        format: index -> the format of the image's content if its suffix stands for another one, else None.
    """

    labels: np.ndarray
    read: Callable[[int], np.ndarray]
    name: Callable[[int], str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    format: Callable[[int], str | None] = lambda index: None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """Return the images at some indices, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Split(
            self.labels[chosen],
            lambda i: self.read(int(chosen[i])),
            lambda i: self.name(int(chosen[i])),
            {name: values[chosen] for name, values in self.columns.items()},
            lambda i: self.format(int(chosen[i])),
        )

    def uniform_size(self) -> tuple[int, int] | None:
        """Return the height and width that the images have in common; None if they differ or are large."""

        def size_of(index: int) -> tuple[int, int]:
            try:
                return self.read(index).shape[:2]
            except AdvcliError:
                return (0, 0)

        return uniform_size(len(self), size_of)

    def sample(self, limit: int | None, first: int | None, seed: int) -> "Split":
        """Return a seeded stratified sample of ``limit`` images from the ``first`` images of the data set."""
        kept = self if first is None else self.take(np.arange(min(first, len(self))))
        return kept if limit is None else kept.take(stratified(kept.labels, limit, seed))


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
        identity: a hash of the names and sizes of these files, wherever they are.
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


@dataclass(frozen=True)
class Images:
    """Decoded images: pixels (N, H, W, C) uint8 or float32 in [0, 1], labels (N,) int32.

    Args:
        pixels: the pixels.
        labels: the classes.
        places: (N,) the index of each image in the split, if some images could not be read.
    """

    pixels: np.ndarray
    labels: np.ndarray
    places: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def at(self, indices: np.ndarray | slice) -> tuple[np.ndarray, np.ndarray]:
        """Return some images as float32 in [0, 1], with their labels."""
        return to_float(self.pixels[indices]), self.labels[indices]

    def batches(self, size: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield batches of all images in order, as float32 in [0, 1] with their labels."""
        for start in range(0, len(self), size):
            yield self.at(slice(start, start + size))

    def take(self, indices: np.ndarray) -> "Images":
        """Return the images at some indices, in that order."""
        places = np.arange(len(self)) if self.places is None else self.places
        return Images(self.pixels[indices], self.labels[indices], places[indices])

    def parted_fingerprint(self, rows: np.ndarray) -> int:
        """Return a hash of pixels, labels and places; the hash of a whole is the sum over its parts modulo 2^64.

        Args:
            rows: (N,) the images' indices in the whole.
        """
        total = 0
        for start in range(0, len(self), 1024):
            part = zip(rows[start : start + 1024], self.labels[start:], self.pixels[start : start + 1024], strict=False)
            for row, label, image in part:
                digest = hashlib.blake2b(f"{row} {label} {image.shape}".encode(), digest_size=8)
                digest.update(np.ascontiguousarray(image).data)
                total += int.from_bytes(digest.digest(), "little")
        return total % 2**64

    def fingerprint(self) -> str:
        """Return a hash of pixels and labels, to check whether two runs used the same data."""
        digest = hashlib.sha256(f"{self.pixels.shape} {self.pixels.dtype}".encode())
        digest.update(np.ascontiguousarray(self.labels).data)
        for block in np.array_split(self.pixels, max(1, len(self) // 1024)):
            digest.update(np.ascontiguousarray(block).data)
        return digest.hexdigest()[:16]


def to_float(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels to float32 in [0, 1]: uint8 is divided by 255, float32 is unchanged."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.float32) / np.float32(255)
    return pixels.astype(np.float32, copy=False)


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    """Convert pixels in [0, 1] to uint8: round and clip."""
    return np.rint(pixels * 255).clip(0, 255).astype(np.uint8)


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sample images so that the class proportions are preserved: (N,) -> (count,) sorted indices."""
    if count >= len(labels):
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.sort(np.argsort(position, kind="stable")[:count])


def split_off(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split images into the rest and a stratified fraction: (N,) -> two arrays of indices."""
    part = stratified(labels, max(1, round(len(labels) * fraction)), seed)
    return np.setdiff1d(np.arange(len(labels)), part), part


def set_aside(whole: Split) -> tuple[Split, Split]:
    """Split images of no known split into those to train on and a fifth to test on."""
    rest, part = split_off(whole.labels, 0.2, seed=0)
    return whole.take(rest), whole.take(part)


def single_images(whole: Split, names: Sequence[str]) -> tuple[ClassFault, ...]:
    """Name the classes that have one image, where a fifth of the images is set aside."""
    counts = Counter(whole.labels.tolist())
    hint = "two are needed: to train on and to test on"
    return tuple(
        ClassFault(name, f"class '{name}' has only one image", hint, training=True)
        for number, name in enumerate(names)
        if counts[number] == 1
    )


def decode(
    split: Split,
    size: tuple[int, int],
    channels: int,
    skip_bad: bool = False,
    memory: int | None = None,
    fit: images.Fit = "squash",
) -> Images:
    """Decode all images of a split at one size.

    Args:
        split: the images.
        size: height and width of the images in pixels.
        channels: 3, or 1 for grey.
        skip_bad: whether more than 1% may be unreadable.
        memory: maximum number of bytes in memory; larger arrays are memory-mapped files. None: no maximum.
        fit: how images are brought to this size.

    Raises:
        AdvcliError: more than 1% of the images are unreadable, without ``skip_bad``.
    """
    pixels: np.ndarray | None = None
    good: list[int] = []
    others: dict[str, str] = {}
    for index in range(len(split)):
        try:
            if (other := split.format(index)) is not None:
                others[split.name(index)] = other
            image = images.resize(images.to_channels(split.read(index), channels), size, fit)
        except (AdvcliError, OSError) as error:
            name = split.name(index)
            log.warning("unreadable image '%s': %s", name, str(error).removeprefix(f"cannot read '{name}': "))
            continue
        if pixels is None:
            pixels = _room((len(split), *size, channels), image.dtype, memory)
        pixels[len(good)] = image
        good.append(index)
    bad = len(split) - len(good)
    if others:
        first = next(iter(others))
        kinds = ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(others.values()).items()))
        what = "file has" if len(others) == 1 else "files have"
        log.warning("%d %s another format than the suffix says: %s; such as '%s'", len(others), what, kinds, first)
    if pixels is None:
        raise AdvcliError("no readable image in the data" if bad else "no images are left in the data")
    if bad > 0.01 * len(split) and not skip_bad:
        raise AdvcliError(f"{bad} of {len(split)} images are unreadable", "repair or remove them, or give --skip-bad")
    if bad:
        log.warning("%d of %d images are unreadable and left out", bad, len(split))
    return Images(pixels[: len(good)], split.labels[good].astype(np.int32), np.array(good) if bad else None)


def _room(shape: tuple[int, ...], dtype: np.dtype, memory: int | None) -> np.ndarray:
    """Return an empty array, in memory if it is small enough, else in a temporary file that is deleted with it."""
    size = math.prod(shape) * dtype.itemsize
    if memory is None or size <= memory:
        return np.empty(shape, dtype)
    folder = cache_folder()
    folder.mkdir(parents=True, exist_ok=True)
    if shutil.disk_usage(folder).free < size:
        raise AdvcliError(
            f"the decoded images take {size / 1e9:.1f} GB, more than the free space of '{folder}'", "see --memory"
        )
    log.info("decoded images: %.1f GB, kept on disk in '%s'", size / 1e9, folder)
    with tempfile.TemporaryFile(dir=folder) as file:
        return np.memmap(file, dtype, "w+", shape=shape)
