"""A folder with one sub-folder of image files for each class, with train/ and test/ on top or without.

Without them a fifth of each class is set aside to test on, always the same one.
"""

import logging
import statistics
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.data.class_order import ClassOrder
from advcli.data.dataset import Dataset, Split, split_off
from advcli.datasets._files import existing, has_tiny_imagenet, title
from advcli.errors import UsageError, nearest
from advcli.files import paths

log = logging.getLogger(__name__)

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")
_LAYOUT = "one sub-folder a class is needed: FOLDER/cat/1.jpg, or FOLDER/train/cat/1.jpg and FOLDER/test/cat/2.jpg"


@dataclass(frozen=True)
class Folder:
    """Classes are the sub-folders in sorted order, whatever folders are further down.

    Args:
        path: the folder.
        order: alphabetical (1, 10, 2), as Keras sorts folders, or natural (1, 2, 10); the test images are the same.
    """

    path: str
    order: str = "alphabetical"

    def __post_init__(self) -> None:
        if self.order not in list(ClassOrder):
            raise UsageError(f"folder has no order '{self.order}'", nearest(self.order, list(ClassOrder)))

    @staticmethod
    def claims(path: Path) -> bool:
        """Tell whether this is a folder without the layout of Tiny ImageNet."""
        return path.is_dir() and not has_tiny_imagenet(path)

    def __call__(self) -> Dataset:
        """Return the data set; its images are (H, W, 3) uint8 of any size."""
        top = existing(self.path)
        if not top.is_dir():
            raise UsageError(f"'{self.path}' is not a folder", _LAYOUT)
        train_folder, test_folder = _splits(top)
        classes = _classes(train_folder)
        if len(classes) == 1:
            (only,) = classes
            nested = len(_folders(train_folder / only)) > 1
            hint = f"if its sub-folders are the classes, give '{train_folder / only}'" if nested else _LAYOUT
            raise UsageError(f"only one class, '{only}', in folder '{train_folder}'", hint)
        labels = tuple(classes)
        train = _split(classes, labels)
        if test_folder == train_folder:
            train, test = train.take(np.arange(0)), train
        elif test_folder is None:
            small = min(classes, key=lambda label: len(classes[label]))
            if len(classes[small]) < 2:
                raise UsageError(f"class '{small}' has only one image", "two are needed: to train on and to test on")
            rest, part = split_off(train.labels, 0.2, seed=0)
            train, test = train.take(rest), train.take(part)
        else:
            tested = _classes(test_folder)
            for label in tested:
                if label not in classes:
                    raise UsageError(f"class '{label}' is in '{test_folder}' but not in '{train_folder}'", _LAYOUT)
            test = _split(tested, labels)
        files = [file for members in classes.values() for file in members]
        dataset = Dataset(name=title(top), labels=labels, train=train, test=test, edge=_edge(files))
        # The classes are numbered last: which images are set aside to test on depends on the numbers before.
        return dataset.in_order(ClassOrder(self.order))


def _folders(path: Path) -> dict[str, Path]:
    return {folder.name: folder for folder in sorted(path.iterdir()) if folder.is_dir() and folder.name[0] != "."}


def _splits(top: Path) -> tuple[Path, Path | None]:
    """Find the folders to train and to test on; without any the top holds the classes itself."""
    by_name = {name.lower(): folder for name, folder in _folders(top).items()}
    train = next((by_name[name] for name in _TRAIN if name in by_name), None)
    candidates = [by_name[name] for name in _TEST if name in by_name]
    if train is None and candidates and len(by_name) == 1:
        # There are only test images.
        return candidates[0], candidates[0]
    if train is None or not candidates:
        return top, None
    # The test images of many competitions are unlabelled: then the validation images are what can be measured on.
    test = next((folder for folder in candidates if _folders(folder).keys() & _folders(train).keys()), candidates[0])
    for folder in by_name.values():
        if folder not in (train, test):
            log.warning("'%s' is left out: '%s' is trained on and '%s' tested on", folder, train.name, test.name)
    return train, test


def _classes(path: Path) -> dict[str, list[Path]]:
    """List the images of each class.

    Raises:
        UsageError: there is no class with images.
    """
    classes: dict[str, list[Path]] = {}
    for name, folder in _folders(path).items():
        files = paths.inside(folder)
        if files:
            classes[name] = files
        else:
            log.warning("'%s' is left out: no images in it", folder)
    loose = sum(paths.is_image(file) for file in path.iterdir() if file.is_file())
    if not classes:
        where = "images lie directly in it" if loose else "no images in it"
        raise UsageError(f"no classes in folder '{path}': {where}", _LAYOUT)
    if loose:
        log.warning("%d images directly in '%s' have no class and are left out", loose, path)
    return classes


def _split(classes: dict[str, list[Path]], labels: tuple[str, ...]) -> Split:
    files = [file for members in classes.values() for file in members]
    numbers = [labels.index(label) for label, members in classes.items() for _ in members]
    return Split(np.array(numbers, dtype=np.int32), lambda i: images.read(files[i]), lambda i: str(files[i]))


def _edge(files: list[Path]) -> int:
    """Choose a size from some of the images: that of photographs, or the images' own if they are small."""
    chosen = np.linspace(0, len(files) - 1, num=min(20, len(files)), dtype=int)
    # A damaged image is reported when it is decoded.
    sides = [side for side in (min(images.size(files[index])) for index in chosen) if side]
    middle = statistics.median(sides) if sides else 224
    return 224 if middle >= 160 else max(32, int(middle))


COMPONENT = Folder
