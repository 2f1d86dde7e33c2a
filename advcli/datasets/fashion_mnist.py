"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, in 10 classes, downloaded (30 MB).

Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data.dataset import Dataset
from advcli.data.split import Split
from advcli.datasets._arrays import grey_28, labelled, read_two_splits
from advcli.datasets._files import existing, local_or_fetched
from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import gunzip
from advcli.files.bounded import MEGA

_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_MOST_UNPACKED = 64 * MEGA
_LOCAL = "give a local copy: --data fashion-mnist:path=fashion-mnist.npz, or =FOLDER with the four .gz files"
# The file of the images and that of the labels, with the SHA-256 and the size of each.
_TRAIN = (
    ("train-images-idx3-ubyte.gz", "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84", 26_421_880),
    ("train-labels-idx1-ubyte.gz", "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845", 29_515),
)
_TEST = (
    ("t10k-images-idx3-ubyte.gz", "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073", 4_422_102),
    ("t10k-labels-idx1-ubyte.gz", "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5", 5_148),
)
_LABELS = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


@dataclass(frozen=True)
class FashionMnist:
    """The usual split: 60,000 images to train on, 10,000 to test on.

    Args:
        path: an .npz file, or a folder with the four files of the data; downloaded if none is given.
    """

    path: str = ""

    def __call__(self) -> Dataset:
        """Return the data set; its images are (28, 28, 1) uint8."""
        local = existing(self.path, _LOCAL) if self.path else None
        if local and local.is_file():
            train, test = read_two_splits(local)
        else:
            train, test = self._split(_TRAIN), self._split(_TEST)
        return grey_28("fashion-mnist", _LABELS, train, test, eps=0.1, augment=("flip", "crop"))

    def _split(self, files: tuple[tuple[str, str, int], ...]) -> Split:
        arrays = []
        for name, sha256, size in files:
            local = str(Path(self.path) / name) if self.path else ""
            path = local_or_fetched(local, _URL + name, f"fashion-mnist/{name}", sha256, size, _LOCAL)
            arrays.append(_read_idx(path))
        return labelled(*arrays, *(name for name, _, _ in files))


def _read_idx(path: Path) -> np.ndarray:
    """Read an array of bytes: two zeros, the type 8, the number of dimensions, their lengths, the values."""
    try:
        content = gunzip(path, _MOST_UNPACKED)
        dimensions = content[3] if content[:3] == b"\0\0\x08" else 0
        shape = np.frombuffer(content, ">u4", count=dimensions, offset=4)
        if not dimensions:
            raise ValueError("not an array of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (AdvcliError, ValueError) as error:
        raise UsageError(f"'{path}' is not a readable .gz file of MNIST's kind: {error}", _LOCAL) from error


COMPONENT = FashionMnist
