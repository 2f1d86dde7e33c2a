"""Fashion-MNIST: 70,000 grey images of clothes, 28 x 28 pixels, in 10 classes, downloaded (30 MB).

Xiao, Rasul and Vollgraf 2017, https://arxiv.org/abs/1708.07747.
"""

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data.dataset import Dataset, Split
from advcli.datasets._arrays import grey_28, labelled, read_npz
from advcli.datasets._files import existing, local_or_fetched
from advcli.errors import UsageError

_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/"
_LOCAL = "give a local copy: --data fashion-mnist:path=fashion-mnist.npz, or =FOLDER with the four .gz files"
# The file of the images and that of the labels, with what each hashes to.
_TRAIN = (
    ("train-images-idx3-ubyte.gz", "md5:8d4fb7e6c68d591d4c3dfef9ec88bf0d", "26 MB"),
    ("train-labels-idx1-ubyte.gz", "md5:25c81989df183df01b3e8a0aad5dffbe", "29 kB"),
)
_TEST = (
    ("t10k-images-idx3-ubyte.gz", "md5:bef4ecab320f06d8554ea6380940ec79", "4.3 MB"),
    ("t10k-labels-idx1-ubyte.gz", "md5:bb300cfdad3c16e7a12a480ee83cd310", "5 kB"),
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
            train, test, _ = read_npz(local)
        else:
            train, test = self._split(_TRAIN), self._split(_TEST)
        return grey_28("fashion-mnist", _LABELS, train, test, eps=0.1, augment=("flip", "crop"))

    def _split(self, files: tuple[tuple[str, str, str], ...]) -> Split:
        arrays = []
        for name, checksum, size in files:
            local = str(Path(self.path) / name) if self.path else ""
            path = local_or_fetched(local, _URL + name, f"fashion-mnist/{name}", checksum, size, _LOCAL)
            arrays.append(_read_idx(path))
        return labelled(*arrays, *(name for name, _, _ in files))


def _read_idx(path: Path) -> np.ndarray:
    """Read an array of bytes: two zeros, the type 8, the number of dimensions, their lengths, the values."""
    try:
        content = gzip.decompress(path.read_bytes())
        dimensions = content[3] if content[:3] == b"\0\0\x08" else 0
        shape = np.frombuffer(content, ">u4", count=dimensions, offset=4)
        if not dimensions:
            raise ValueError("not an array of bytes")
        return np.frombuffer(content, np.uint8, offset=4 + 4 * dimensions).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UsageError(f"'{path}' is not a readable .gz file of MNIST's kind: {error}", _LOCAL) from error


COMPONENT = FashionMnist
