"""An .npz file with the arrays x_train, y_train, x_test and y_test, or fewer; class_names if you like."""

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data.dataset import Dataset, single_images
from advcli.data.split import Split, set_aside
from advcli.datasets._arrays import WHOLE, read_npz
from advcli.datasets._files import existing, identity, title
from advcli.datasets._layout import Layout
from advcli.errors import UsageError


@dataclass(frozen=True)
class Npz:
    """Images are uint8 in 0..255 or floats in 0..1, grey or RGB; labels are class numbers or one-hot.

    Args:
        path: the file; x_val and y_val may stand for x_test and y_test, which are enough for an evaluation. Of x and y
            alone, a fifth is set aside to test what was trained on the rest.
    """

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether this is an .npz file."""
        return layout.source == "npz"

    def __call__(self) -> Dataset:
        """Return the data set; its images are uint8 or float32 in [0, 1], grey or RGB as in the file."""
        path = existing(self.path)
        parts, names = read_npz(path)
        train, test, whole = _splits(parts)
        shapes = [split.read(0).shape for split in parts.values()]
        if len({channels for _, _, channels in shapes}) > 1:
            raise UsageError(f"only one of the two splits in '{path}' is in colour", "save both in the same way")
        height, width, channels = shapes[0]
        classes = 1 + max(int(split.labels.max()) for split in parts.values())
        indexed = names is None
        if names is None:
            names = tuple(str(i) for i in range(classes))
        if len(names) < classes or len(set(names)) < len(names):
            raise UsageError(f"'{path}' does not have {classes} different class names")
        if len(names) < 2:
            raise UsageError(f"only one class in '{path}'", "two are needed")
        return Dataset(
            name=title(path),
            labels=names,
            train=train,
            test=test,
            edge=max(28, height, width),
            channels=channels,
            # It is unknown which augmentations preserve the classes of this data.
            augment=(),
            whole=whole,
            identity="" if whole is None else _identity(path),
            indexed=indexed,
            faults=() if whole is None else single_images(whole, names),
        )


def _splits(parts: Mapping[str, Split]) -> tuple[Split, Split, Split | None]:
    """Return the images to train on, to test on, and all of them if those to test on are set aside here."""
    if WHOLE in parts:
        whole = parts[WHOLE]
        return *set_aside(whole), whole
    *learnt, measured = parts.values()
    return (learnt[0] if learnt else measured.take(np.arange(0))), measured, None


def _identity(path: Path) -> str:
    """Return a hash of the names of the arrays and of the checksums that the file has of them."""
    with zipfile.ZipFile(path) as packed:
        return identity((entry.filename, entry.CRC) for entry in packed.infolist())


COMPONENT = Npz
