"""MNIST: 70,000 grey images of handwritten digits, 28 x 28 pixels, downloaded (11 MB).

LeCun, Cortes and Burges 1998, http://yann.lecun.com/exdb/mnist/; the file that Keras downloads.
"""

from dataclasses import dataclass

from advcli.data.dataset import Dataset
from advcli.datasets._arrays import grey_28, read_two_splits
from advcli.datasets._files import local_or_fetched

_URL = "https://storage.googleapis.com/tensorflow/tf-keras-datasets/mnist.npz"
_SHA256 = "731c5ac602752760c8e48fbffcf8c3b850d9dc2a2aedcf2cc48468fc17b673d1"
_SIZE = 11_490_434
_LOCAL = "give a local copy: --data mnist:path=mnist.npz"


@dataclass(frozen=True)
class Mnist:
    """The usual split: 60,000 images to train on, 10,000 to test on.

    Args:
        path: an .npz file with the data; downloaded if none is given.
    """

    path: str = ""

    def __call__(self) -> Dataset:
        """Return the data set; its images are (28, 28, 1) uint8."""
        path = local_or_fetched(self.path, _URL, "mnist.npz", _SHA256, _SIZE, _LOCAL)
        train, test = read_two_splits(path)
        return grey_28("mnist", tuple("0123456789"), train, test, eps=0.3)


COMPONENT = Mnist
