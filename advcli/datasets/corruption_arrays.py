"""Arrays of corrupted images, as CIFAR-10-C is: labels.npy and one .npy for each corruption.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261. Each array holds the same images five times,
once for each severity.
"""

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from advcli.data.dataset import Dataset, Given
from advcli.data.split import Split
from advcli.datasets._corrupted import CLEAN, corrupted_dataset
from advcli.datasets._files import existing, title
from advcli.datasets._layout import Layout, layout_of
from advcli.datasets._pictures import describe, others
from advcli.errors import UsageError
from advcli.files.archives import DAMAGED

log = logging.getLogger(__name__)

_SEVERITIES = 5


@dataclass(frozen=True)
class CorruptionArrays:
    """Classes are numbers, the indices of a model's outputs.

    Args:
        path: the folder with labels.npy; clean.npy may hold the images before.
    """

    gives_perturbations: ClassVar[bool] = True

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether this is a folder of arrays, one for each corruption."""
        return layout.source == "corruption-arrays"

    def __call__(self) -> Dataset:
        """Return the data set; the arrays stay on disk, and images are read one by one."""
        path = existing(self.path)
        folder = path / layout_of(path).top
        numbers = _load(folder / "labels.npy")
        if numbers.ndim != 1 or numbers.dtype.kind not in "iu" or not len(numbers) or numbers.min() < 0:
            raise UsageError(
                f"'{folder / 'labels.npy'}' contains no class numbers", "give one number an image, from 0 on"
            )
        files = [file for file in sorted(folder.glob("*.npy")) if file.stem not in ("labels", CLEAN)]
        given = [each for file in files for each in _given(file, numbers)]
        images = len(given[0].split)
        clean = folder / f"{CLEAN}.npy"
        before = _split(_pixels(clean), 0, numbers[:images], clean) if clean.is_file() else None
        labels = tuple(str(i) for i in range(int(numbers.max()) + 1))
        height, width = given[0].split.read(0).shape[:2]
        left_out = others([file.name for file in folder.iterdir() if file.suffix != ".npy" and file.is_file()], folder)
        for each in left_out:
            log.warning("%s", describe(each))
        return corrupted_dataset(
            title(path), labels, before, given, max(28, height, width), left_out=left_out, indexed=True
        )


def _given(file: Path, numbers: np.ndarray) -> list[Given]:
    """Take one array apart, severity by severity.

    Raises:
        UsageError: the labels do not fit.
    """
    pixels = _pixels(file)
    images, rest = divmod(len(pixels), _SEVERITIES)
    if rest or len(numbers) not in (images, len(pixels)):
        hint = "each array holds all images at severity 1, then at 2, up to 5"
        raise UsageError(f"'{file}' holds {len(pixels)} images, and labels.npy {len(numbers)} labels", hint)
    labels = numbers[:images]
    if len(numbers) == len(pixels) and (numbers.reshape(_SEVERITIES, images) != labels).any():
        raise UsageError(f"labels.npy beside '{file}' has other labels at other severities", "they must be the same")
    return [
        Given(file.stem, severity, _split(pixels, (severity - 1) * images, labels, file))
        for severity in range(1, _SEVERITIES + 1)
    ]


def _split(pixels: np.ndarray, start: int, labels: np.ndarray, file: Path) -> Split:
    if len(pixels) < start + len(labels):
        raise UsageError(f"'{file}' holds {len(pixels)} images, and there are {len(labels)} labels")
    return Split(labels.astype(np.int32), lambda i: np.array(pixels[start + i]), lambda i: f"{file}[{start + i}]")


def _pixels(file: Path) -> np.ndarray:
    array = _load(file)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[-1] not in (1, 3) or array.dtype != np.uint8:
        shape = "(N, H, W), (N, H, W, 1) or (N, H, W, 3)"
        raise UsageError(f"'{file}' has shape {array.shape} of {array.dtype}, not {shape} of uint8")
    return array


def _load(file: Path) -> np.ndarray:
    try:
        # Pickled objects in a file could run any code: they are refused.
        return np.load(file, mmap_mode="r", allow_pickle=False)
    except DAMAGED as error:
        raise UsageError(f"'{file}' is not a readable .npy array: {error}", "download it again") from error


COMPONENT = CorruptionArrays
