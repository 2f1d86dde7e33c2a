"""An .npz file with the arrays x_train, y_train, x_test, y_test and, if you like, labels (class names)."""

from dataclasses import dataclass

from advcli.data.dataset import Dataset
from advcli.datasets._arrays import read_npz
from advcli.datasets._files import existing, title
from advcli.datasets._layout import Layout
from advcli.errors import UsageError


@dataclass(frozen=True)
class Npz:
    """Images are uint8 in 0..255 or floats in 0..1, grey or RGB; labels are class numbers or one-hot.

    Args:
        path: the file; x_val and y_val may stand for x_test and y_test.
    """

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether this is an .npz file."""
        return layout.source == "npz"

    def __call__(self) -> Dataset:
        """Return the data set; its images are uint8 or float32 in [0, 1], grey or RGB as in the file."""
        path = existing(self.path)
        train, test, names = read_npz(path)
        height, width, channels = train.read(0).shape
        if test.read(0).shape[-1] != channels:
            raise UsageError(f"only one of the two splits in '{path}' is in colour", "save both in the same way")
        classes = max(int(train.labels.max()), int(test.labels.max())) + 1
        if names is None:
            names = tuple(str(i) for i in range(classes))
        if len(names) < classes or len(set(names)) < len(names):
            raise UsageError(f"labels in '{path}' are not {classes} different class names")
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
        )


COMPONENT = Npz
