"""1,797 real handwritten digits of 8 x 8 pixels that ship inside scikit-learn: no download.

The test set of the UCI Optical Recognition of Handwritten Digits data (Alpaydin and Kaynak 1998).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from advcli.data.dataset import Dataset
from advcli.data.split import Split, set_aside


@dataclass(frozen=True)
class Digits:
    """A fixed stratified split: 1,438 images to train on, 359 to test on."""

    def __call__(self) -> Dataset:
        """Return the data set; its images are (8, 8, 1) uint8."""
        from sklearn.datasets import load_digits

        bunch: Any = load_digits()
        pixels = (bunch["images"] * (255 / 16)).round().astype(np.uint8)[..., None]
        labels = bunch["target"].astype(np.int32)
        everything = Split(labels, pixels.__getitem__, "digit {}".format)
        train, test = set_aside(everything)
        return Dataset(
            name="digits",
            labels=tuple("0123456789"),
            train=train,
            test=test,
            edge=32,
            channels=1,
            eps=0.1,
            # All digits are centred: shifted digits are harder to learn and do not occur in the test data.
            augment=(),
        )


COMPONENT = Digits
