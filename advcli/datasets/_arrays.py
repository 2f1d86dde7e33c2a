"""Arrays of images and labels as people save them, checked and brought to the form used here."""

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from advcli.data.dataset import Dataset
from advcli.data.split import Split
from advcli.datasets._splits import TEST, TRAIN, VALIDATION, split_of, words_of
from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import DAMAGED, Archive
from advcli.files.bounded import refuse_special

_KEYS = "give x_train, y_train, x_test and y_test; x_test and y_test alone; or x and y"
_MOST_CLASSES = 1_000_000
_VALUES = "save them as uint8 in 0..255, or as floats in 0..1"
_PIXELS = ("x", "image", "images", "imgs", "pixels", "data")
_LABELS = ("y", "label", "labels", "target", "targets")
_CLASS_NAMES = ("labels", "class_names", "classes", "label_names")
WHOLE = ""


def read_npz(path: Path) -> tuple[Mapping[str, Split], tuple[str, ...] | None]:
    """Read labelled images from an .npz file: by the part of the data set, and the class names if it has them.

    The parts are those of ``advcli.datasets._splits``, or the whole. Arrays are known by their names: x_train,
    train_images, X_val and so on.

    Raises:
        UsageError: the file is not one, arrays are missing, or they are not labelled images.
    """
    refuse_special(path)
    try:
        if zipfile.is_zipfile(path):
            with Archive(path) as packed:
                packed.check()
        # Pickled objects in a file could run any code: they are refused.
        archive = np.load(path, allow_pickle=False)
        if not isinstance(archive, np.lib.npyio.NpzFile):
            raise UsageError(f"'{path}' holds a single array", _KEYS)
        with archive:
            named_by = _texts(archive)
            found = _pairs([key for key in archive.files if key != named_by], path)
            if not named_by and "labels" in archive and "labels" not in {y for _, y in found.values()}:
                # Beside arrays of classes, numbers too are names.
                named_by = "labels"
            names = tuple(_member(archive, named_by).astype(str).ravel().tolist()) if named_by else None
            # An array is unpacked each time it is asked for, so each is asked for once.
            parts = {part: labelled(_member(archive, x), _member(archive, y), x, y) for part, (x, y) in found.items()}
    except MemoryError as error:
        raise UsageError(f"an array in '{path}' does not fit into memory") from error
    except (AdvcliError, *DAMAGED) as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"'{path}' is not a readable .npz file of plain arrays: {error}", _KEYS) from error
    return parts, names


def read_two_splits(path: Path) -> tuple[Split, Split]:
    """Read the images to train and to test on from an .npz file.

    Raises:
        UsageError: it has no two such splits, or ``read_npz`` refuses it.
    """
    parts, _ = read_npz(path)
    if len(parts) < 2:
        raise UsageError(f"no images to train and to test on in '{path}'", _KEYS)
    train, test = parts.values()
    return train, test


def _texts(archive: np.lib.npyio.NpzFile) -> str:
    """Return the array of class names that are texts; the empty text if there is none."""
    return next((key for key in _CLASS_NAMES if key in archive and _member(archive, key).dtype.kind in "US"), "")


def _pairs(keys: Sequence[str], path: Path) -> dict[str, tuple[str, str]]:
    """Find the images and the labels of each part: -> the names of their arrays, those to learn from first.

    Raises:
        UsageError: one is missing, or there are two.
    """
    found: dict[str, dict[str, str]] = {}
    for key in keys:
        part, kind = _role(key)
        if kind and found.setdefault(part, {}).setdefault(kind, key) != key:
            raise UsageError(f"'{path}' has both {found[part][kind]} and {key}", "leave one of them out")
    if set(found) - {WHOLE}:
        # A pair beside splits belongs to none.
        found.pop(WHOLE, None)
        if TEST in found:
            found.pop(VALIDATION, None)
    elif WHOLE not in found:
        found = {TRAIN: {}, TEST: {}}
    if TRAIN in found and len(found) == 1:
        found[TEST] = {}
    order = [part for part in (WHOLE, TRAIN, TEST, VALIDATION) if part in found]
    missing = [f"{kind}_{part}".rstrip("_") for part in order for kind in "xy" if kind not in found[part]]
    if missing:
        raise UsageError(f"no {', '.join(missing)} in '{path}'", _KEYS)
    return {part: (found[part]["x"], found[part]["y"]) for part in order}


def _role(key: str) -> tuple[str, str]:
    """Return the part that an array belongs to, and x for images or y for labels; empty texts if its name says none."""
    words = words_of(key)
    kinds = {kind for kind, known in (("x", _PIXELS), ("y", _LABELS)) for word in words if word in known}
    rest = [word for word in words if word not in (*_PIXELS, *_LABELS)]
    part = split_of(" ".join(rest)) if rest else WHOLE
    return (part, kinds.pop()) if len(kinds) == 1 and bool(part) == bool(rest) else ("", "")


def _member(archive: np.lib.npyio.NpzFile, name: str) -> np.ndarray:
    """Return an array; a member that is none, NumPy returns as bytes.

    Raises:
        ValueError: it is no array.
    """
    array = archive[name]
    if not isinstance(array, np.ndarray):
        raise ValueError(f"'{name}' is not an array")
    return array


def labelled(pixels: np.ndarray, labels: np.ndarray, x: str = "images", y: str = "labels") -> Split:
    """Pair images with their classes.

    Args:
        pixels: (N, H, W), (N, H, W, 1) or (N, H, W, 3) of any type.
        labels: (N,), (N, 1) or one-hot (N, K).
        x: what the images are called in messages.
        y: what the labels are called in messages.

    Raises:
        UsageError: they have other shapes or values.
    """
    classes = class_numbers(labels, y)
    checked = _pixels(pixels, x)
    if len(checked) != len(classes):
        raise UsageError(f"{len(checked)} images in {x}, but {len(classes)} labels in {y}")
    return Split(classes, checked.__getitem__, lambda i: f"{x}[{i}]")


def _pixels(array: np.ndarray, what: str) -> np.ndarray:
    """Bring pixels to uint8, or to float32 in [0, 1]: -> (N, H, W, C)."""
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or 0 in array.shape:
        hint = "the colours come last" if array.ndim == 4 and array.shape[1] in (1, 3) else ""
        raise UsageError(f"{what} has shape {array.shape}, not (N, H, W), (N, H, W, 1) or (N, H, W, 3)", hint)
    if array.dtype.kind not in "buif":
        held = "complex numbers" if array.dtype.kind == "c" else f"{array.dtype}, not numbers"
        raise UsageError(f"{what} holds {held}", _VALUES)
    if array.dtype.kind == "b":
        return array.astype(np.float32)
    low, high = array.min(), array.max()
    # The least and the largest of values with NaN are NaN.
    if np.isnan(low):
        raise UsageError(f"{what} holds NaN", _VALUES)
    if low < 0 or high > 255:
        raise UsageError(f"{what} has values from {low} to {high}", _VALUES)
    if array.dtype.kind == "f":
        array = array.astype(np.float32, copy=False)
        # Resizing and the like leave values a trace above 1, which do not make the range 0..255.
        return array.clip(max=1) if high <= 1.001 else array / np.float32(255)
    if high == 1:
        raise UsageError(f"{what} has whole numbers from 0 to 1, which would be almost black", _VALUES)
    return array.astype(np.uint8, copy=False)


def class_numbers(array: np.ndarray, what: str) -> np.ndarray:
    """Bring labels to class numbers: -> (N,) int32."""
    hint = "give the number of each image's class, counted from 0"
    if array.dtype.kind not in "buif":
        raise UsageError(f"{what} holds {array.dtype}, not numbers", hint)
    if array.ndim == 2 and array.shape[1] > 1:
        if not (np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()):
            raise UsageError(f"{what} has shape {array.shape}, but is not one-hot", hint)
        array = array.argmax(axis=1)
    if array.ndim not in (1, 2):
        raise UsageError(f"{what} has shape {array.shape}, not (N,), (N, 1) or one-hot (N, K)", hint)
    array = array.reshape(-1)
    if not (array == np.floor(array)).all() or array.min(initial=0) < 0 or array.max(initial=0) >= _MOST_CLASSES:
        raise UsageError(f"{what} has labels that are not class numbers", hint)
    return array.astype(np.int32)


def grey_28(
    name: str, names: tuple[str, ...], train: Split, test: Split, eps: float, augment: tuple[str, ...] = ()
) -> Dataset:
    """Make a data set of the kind of MNIST.

    Raises:
        UsageError: the images are not grey ones of 28 x 28 pixels, or there are other classes.
    """
    for split in (train, test):
        if split.read(0).shape != (28, 28, 1):
            raise UsageError(f"this is not {name}: an image has shape {split.read(0).shape}, not (28, 28, 1)")
        if split.labels.max() >= len(names):
            raise UsageError(f"this is not {name}: a label is {split.labels.max()}, and there are {len(names)} classes")
    return Dataset(name=name, labels=names, train=train, test=test, edge=28, channels=1, eps=eps, augment=augment)
