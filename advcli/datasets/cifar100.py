"""CIFAR-100: 60,000 colour images of 32 x 32 pixels in 100 classes, downloaded (169 MB).

Krizhevsky 2009, https://www.cs.toronto.edu/~kriz/cifar.html. The classes are the 100 fine ones.
"""

from dataclasses import dataclass

from advcli.data.dataset import Dataset
from advcli.datasets._cifar import URL, members, split
from advcli.datasets._files import local_or_fetched
from advcli.errors import UsageError

_FILE = "cifar-100-binary.tar.gz"
_SHA256, _SIZE = "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec", 168_513_733


@dataclass(frozen=True)
class Cifar100:
    """The usual split: 50,000 images to train on, 10,000 to test on.

    Args:
        path: the archive cifar-100-binary.tar.gz; downloaded if none is given.
    """

    path: str = ""

    def __call__(self) -> Dataset:
        """Return the data set; its images are (32, 32, 3) uint8."""
        hint = f"give a local copy: --data cifar100:path={_FILE}"
        archive = local_or_fetched(self.path, URL + _FILE, _FILE, _SHA256, _SIZE, hint)
        train, test, names = members(archive, ["train.bin", "test.bin", "fine_label_names.txt"])
        labels = tuple(name.replace("_", " ") for name in names.decode("ascii", errors="replace").split())
        if len(labels) != 100:
            raise UsageError(f"{len(labels)} class names in '{archive}', not 100", hint)
        return Dataset(
            name="cifar100",
            labels=labels,
            train=split(train, label_bytes=2, classes=100),
            test=split(test, label_bytes=2, classes=100),
            edge=32,
        )


COMPONENT = Cifar100
