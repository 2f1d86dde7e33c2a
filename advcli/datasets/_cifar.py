"""The binary form of CIFAR: plain bytes, where the Python form is pickles, which could run any code."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advcli.data.split import Split
from advcli.datasets._arrays import labelled
from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import read_tar
from advcli.files.bounded import MEGA

URL = "https://www.cs.toronto.edu/~kriz/"
_PIXELS = 3 * 32 * 32
_MOST_UNPACKED = 256 * MEGA


def members(path: Path, names: Sequence[str]) -> list[bytes]:
    """Read some files of an archive, whatever folder they are in.

    Raises:
        UsageError: it is no such archive, or a file is missing.
    """
    try:
        contents = read_tar(path, names, _MOST_UNPACKED)
    except AdvcliError as error:
        raise UsageError(error.message, error.hint) from error
    for name in names:
        if name not in contents:
            raise UsageError(f"no {name} in '{path}'", "the binary version is needed: cifar-...-binary.tar.gz")
    return [contents[name] for name in names]


def split(content: bytes, label_bytes: int, classes: int) -> Split:
    """Take records apart: labels, of which the last is the finest, then the red, green and blue pixels.

    Raises:
        UsageError: the bytes are no such records.
    """
    length = label_bytes + _PIXELS
    if not content or len(content) % length:
        raise UsageError(f"{len(content)} bytes are not records of CIFAR, {length} bytes each")
    records = np.frombuffer(content, np.uint8).reshape(-1, length)
    labels = records[:, label_bytes - 1]
    if labels.max() >= classes:
        raise UsageError(f"a label is {labels.max()}, and there are {classes} classes")
    return labelled(records[:, label_bytes:].reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1), labels)
