"""Read image files lazily, in groups of equal size."""

import itertools
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier

# An attack needs memory for about ten copies of the images of a batch.
PIXELS_AT_ONCE = 16_000_000


@dataclass(frozen=True)
class Picture:
    """An image file and its pixels: (H, W, C) uint8; (H, W, 1) bool: which of them may change, None for all."""

    file: Path
    pixels: np.ndarray
    mask: np.ndarray | None = None


def by_size(files: Iterable[Path]) -> list[Path]:
    """Sort files so that equal sizes are adjacent; only headers are read."""
    files = list(files)
    return sorted(files, key=lambda file: images.size(file)) if len(files) > 1 else files


def groups(
    files: Iterable[Path],
    classifier: Classifier,
    resize: bool,
    batch: int,
    masks: Mapping[Path, Path] | None = None,
) -> Iterator[list[Picture] | tuple[Path, str]]:
    """Read files and group adjacent files of equal size; yield an unreadable file with the reason.

    Args:
        files: image files.
        classifier: the model that they are for.
        resize: bring them to its size.
        batch: the most images of a group.
        masks: image file -> the image that is white where its pixels may change.
    """

    def read() -> Iterator[Picture | tuple[Path, str]]:
        for file in files:
            try:
                pixels = images.read(file, classifier.channels)
                mask = None if masks is None else read_mask(masks[file], pixels.shape[:2])
                if resize:
                    pixels = images.resize(pixels, classifier.image_size, classifier.fitting)
                    mask = None if mask is None else _fitted(mask, classifier)
                if mask is not None and not mask.any():
                    raise AdvcliError(f"the mask leaves no pixel to change: '{masks and masks[file]}'")
            except (AdvcliError, OSError) as error:
                yield file, str(error)
            else:
                yield Picture(file, pixels, mask)

    def shape(item: Picture | tuple[Path, str]) -> tuple[int, ...]:
        return item.pixels.shape if isinstance(item, Picture) else ()

    for size, group in itertools.groupby(read(), key=shape):
        if not size:
            yield from (item for item in group if not isinstance(item, Picture))
            continue
        together = min(batch, max(1, PIXELS_AT_ONCE // (size[0] * size[1])))
        while pictures := [item for item in itertools.islice(group, together) if isinstance(item, Picture)]:
            yield pictures


def read_mask(file: Path, size: tuple[int, ...]) -> np.ndarray:
    """Read which pixels of an image may change: those that are white, or nearer to white than to black, in a file.

    Args:
        file: an image, read as every image is; its proportions need not be those of the result.
        size: height and width of the image that it is for.

    Returns:
        (H, W, 1) bool.

    Raises:
        AdvcliError: the file is not an image.
    """
    try:
        grey = images.read(file, channels=1)
    except AdvcliError as error:
        raise AdvcliError(f"the mask '{file}': {error.message}", error.hint) from error
    return images.resize_nearest(grey, (size[0], size[1])) >= 128


def _fitted(mask: np.ndarray, classifier: Classifier) -> np.ndarray:
    """Bring a mask to the classifier's size as its image is: squashed, or cut out of the centre."""
    if classifier.fitting == "squash":
        return images.resize_nearest(mask, classifier.image_size)
    scaled, (top, left) = images.crop_window(mask.shape[:2], classifier.image_size)
    height, width = classifier.image_size
    return images.resize_nearest(mask, scaled)[top : top + height, left : left + width]
