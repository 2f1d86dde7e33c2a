"""CIFAR-10: 60,000 colour images of 32 x 32 pixels in 10 classes, downloaded (170 MB).

Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html.
"""

from dataclasses import dataclass

from advcli.data.dataset import Dataset
from advcli.datasets._cifar import URL, members, split
from advcli.datasets._files import local_or_fetched

_FILE = "cifar-10-binary.tar.gz"
_SHA256, _SIZE = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd", 170_052_171
_LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")


@dataclass(frozen=True)
class Cifar10:
    """The usual split: 50,000 images to train on, 10,000 to test on.

    Args:
        path: the archive cifar-10-binary.tar.gz; downloaded if none is given.
    """

    path: str = ""

    def __call__(self) -> Dataset:
        """Return the data set; its images are (32, 32, 3) uint8."""
        hint = f"give a local copy: --data cifar10:path={_FILE}"
        archive = local_or_fetched(self.path, URL + _FILE, _FILE, _SHA256, _SIZE, hint)
        *train, test = members(archive, [*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin"])
        return Dataset(
            name="cifar10",
            labels=_LABELS,
            train=split(b"".join(train), label_bytes=1, classes=10),
            test=split(test, label_bytes=1, classes=10),
            edge=32,
        )


COMPONENT = Cifar10
