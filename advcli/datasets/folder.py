"""A folder with one sub-folder of image files for each class, with train/ and test/ on top or without.

Without them a fifth of each class is set aside to test on, always the same one. An archive (.zip) is read as it is.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from advcli.data.class_order import ClassOrder
from advcli.data.dataset import ClassFault, Dataset, LeftOut, Split, split_off
from advcli.datasets._files import Tree, existing, open_tree, title
from advcli.datasets._layout import Layout, layout_of
from advcli.datasets._pictures import by_part, class_name, describe, edge_of, identity_of, others, picture_split
from advcli.errors import UsageError, nearest
from advcli.files import paths
from advcli.parsing import read_index

log = logging.getLogger(__name__)

_TRAIN = ("train", "training")
_TEST = ("test", "testing", "val", "valid", "validation")
_LAYOUT = "one sub-folder a class is needed: FOLDER/cat/1.jpg, or FOLDER/train/cat/1.jpg and FOLDER/test/cat/2.jpg"


@dataclass(frozen=True)
class Folder:
    """Classes are the sub-folders in sorted order, whatever folders are further down.

    Args:
        path: the folder, or a .zip archive of it.
        order: alphabetical (1, 10, 2), as Keras sorts folders, or natural (1, 2, 10); the test images are the same.
    """

    path: str
    order: str = "alphabetical"

    def __post_init__(self) -> None:
        if self.order not in list(ClassOrder):
            raise UsageError(f"folder has no order '{self.order}'", nearest(self.order, list(ClassOrder)))

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether these are class folders, as far as no other layout shows."""
        return layout.source == "folder"

    def __call__(self) -> Dataset:
        """Return the data set; its images are (H, W, 3) uint8 of any size."""
        path = existing(self.path)
        if not path.is_dir() and path.suffix.lower() != ".zip":
            raise UsageError(f"'{self.path}' is not a folder", _LAYOUT)
        layout = layout_of(path)
        tree = open_tree(path).below(layout.top)
        top = path / layout.top
        listing = _Listing.of(tree, top)
        train, test = listing.train, listing.test
        labels = tuple(train)
        number = {
            label: index
            for index, label in enumerate((*labels, *(label for label in test or () if label not in train)))
        }
        faults = [
            ClassFault(label, f"class '{label}' is in '{listing.test_name}' but not in '{listing.train_name}'", _LAYOUT)
            for label in test or ()
            if label not in train
        ]
        split, whole, identity = _split(tree, top, train, number), None, ""
        if test is None:
            whole, identity = split, identity_of(tree, [name for members in train.values() for name in members])
            rest, part = split_off(split.labels, 0.2, seed=0)
            learnt, measured = split.take(rest), split.take(part)
            faults += [
                ClassFault(
                    label, f"class '{label}' has only one image", "two are needed: to train on and to test on", True
                )
                for label, members in train.items()
                if len(members) < 2
            ]
        elif listing.only_test:
            learnt, measured = split.take(np.arange(0)), split
        else:
            learnt, measured = split, _split(tree, top, test, number)
        files = [name for members in train.values() for name in members]
        for each in listing.left_out:
            log.warning("%s", describe(each))
        dataset = Dataset(
            name=title(path),
            labels=tuple(number),
            train=learnt,
            test=measured,
            edge=edge_of(tree, files),
            whole=whole,
            identity=identity,
            faults=tuple(faults),
            left_out=listing.left_out,
            indexed=all(read_index(label) is not None for label in labels),
        )
        # The classes are numbered last: which images are set aside to test on depends on the numbers before.
        return dataset.in_order(ClassOrder(self.order))


@dataclass(frozen=True)
class _Listing:
    """The images of each class to train on and to test on, and the files that are neither."""

    train: Mapping[str, Sequence[str]]
    test: Mapping[str, Sequence[str]] | None
    left_out: tuple[LeftOut, ...]
    train_name: str
    test_name: str
    only_test: bool = False

    @classmethod
    def of(cls, tree: Tree, top: Path) -> "_Listing":
        """List class folders.

        Raises:
            UsageError: there are no classes, or only one.
        """
        visible = [name for name in tree.names if not paths.is_hidden(PurePosixPath(name))]
        hidden = [name for name in tree.names if paths.is_hidden(PurePosixPath(name))]
        train_folder, test_folder = _splits(visible)
        gone = others(hidden, top)
        if train_folder is None:
            train, missed = _classes(visible, top)
            return cls(_two(train, visible, top), None, (*gone, *missed), str(top), "")
        gone += _unused(visible, top, train_folder, test_folder)
        train, missed = _classes(tree.below(train_folder).names, top / train_folder, f"{train_folder}/")
        gone += missed
        train_name = str(top / train_folder)
        _two(train, tree.below(train_folder).names, top / train_folder)
        if test_folder is None or test_folder == train_folder:
            return cls(train, train, tuple(gone), train_name, train_name, only_test=True)
        test, missed = _classes(tree.below(test_folder).names, top / test_folder, f"{test_folder}/")
        return cls(train, test, (*gone, *missed), train_name, str(top / test_folder))


def _splits(names: Sequence[str]) -> tuple[str | None, str | None]:
    """Find the folders to train and to test on; None for a top that holds the classes itself."""
    folders: dict[str, set[str]] = {}
    for name in names:
        parts = name.split("/")
        if len(parts) > 1:
            folders.setdefault(parts[0], set()).add(class_name(parts[1]) if len(parts) > 2 else "")
    by_name = {folder.lower(): folder for folder in sorted(folders)}
    train = next((by_name[name] for name in _TRAIN if name in by_name), None)
    candidates = [by_name[name] for name in _TEST if name in by_name]
    if train is None and candidates and len(by_name) == 1:
        # There are only test images.
        return candidates[0], candidates[0]
    if train is None or not candidates:
        return None, None
    # The test images of many competitions are unlabelled: then the validation images are what can be measured on.
    known = folders[train] - {""}
    return train, next((folder for folder in candidates if (folders[folder] - {""}) & known), candidates[0])


def _unused(names: Sequence[str], top: Path, train: str, test: str | None) -> list[LeftOut]:
    """Count the files beside the folders of the two splits."""
    found = []
    beside: dict[str, list[PurePosixPath]] = {}
    for name in names:
        first = name.partition("/")[0] if "/" in name else ""
        if first not in (train, test):
            beside.setdefault(first, []).append(PurePosixPath(name))
    for folder, files in beside.items():
        place = str(top / folder) if folder else str(top)
        if folder:
            log.warning("'%s' is left out: '%s' is trained on and '%s' tested on", place, train, test)
        found.append(LeftOut(place, "other", paths.suffixes_of(files)))
    return found


def _classes(names: Sequence[str], top: Path, prefix: str = "") -> tuple[dict[str, list[str]], list[LeftOut]]:
    """List the images of each class, and the files that are no images of a class.

    Raises:
        UsageError: there is no class with images.
    """
    names = [name for name in names if not paths.is_hidden(PurePosixPath(name))]
    classes: dict[str, list[str]] = {}
    loose = []
    for name in by_part(names):
        if not paths.is_image(PurePosixPath(name)):
            continue
        folder, separator, _ = name.partition("/")
        if separator:
            classes.setdefault(class_name(folder), []).append(prefix + name)
        else:
            loose.append(PurePosixPath(name))
    for folder in dict.fromkeys(name.partition("/")[0] for name in names if "/" in name):
        if class_name(folder) not in classes:
            log.warning("'%s' is left out: no images in it", top / folder)
    if not classes:
        held = paths.count_suffixes(PurePosixPath(name) for name in names)
        where = "images lie directly in it" if loose else f"no images in it, {held}"
        raise UsageError(f"no classes in folder '{top}': {where}", _LAYOUT)
    left_out = others(names, top)
    if loose:
        log.warning("%d images directly in '%s' have no class and are left out", len(loose), top)
        left_out.append(LeftOut(str(top), "unlabelled", paths.suffixes_of(loose)))
    return dict(sorted(classes.items())), left_out


def _two(classes: Mapping[str, Sequence[str]], names: Sequence[str], top: Path) -> Mapping[str, Sequence[str]]:
    if len(classes) == 1:
        (only,) = classes
        below = {name.split("/")[1] for name in names if name.count("/") > 1 and class_name(name.split("/")[0]) == only}
        hint = f"if its sub-folders are the classes, give '{top / only}'" if len(below) > 1 else _LAYOUT
        raise UsageError(f"only one class, '{only}', in folder '{top}'", hint)
    return classes


def _split(tree: Tree, top: Path, classes: Mapping[str, Sequence[str]], number: Mapping[str, int]) -> Split:
    names = [name for members in classes.values() for name in members]
    return picture_split(tree, top, names, [number[label] for label, members in classes.items() for _ in members])


COMPONENT = Folder
