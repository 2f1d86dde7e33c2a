"""A folder with one sub-folder of image files for each class, with train/ and test/ on top or without.

Without them a fifth of each class is set aside to test on, always the same one. An archive (.zip) is read as it is.
"""

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from advcli.data.class_order import ClassOrder
from advcli.data.dataset import ClassFault, Dataset, LeftOut, single_images
from advcli.data.split import Split, set_aside
from advcli.datasets._files import Tree, existing, open_tree, title
from advcli.datasets._layout import Layout, layout_of
from advcli.datasets._pictures import by_part, class_name, describe, edge_of, identity_of, others, picture_split
from advcli.datasets._splits import TEST, TRAIN, VALIDATION, split_of
from advcli.errors import UsageError, nearest
from advcli.files import paths
from advcli.parsing import read_index

log = logging.getLogger(__name__)

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
            learnt, measured = set_aside(split)
            faults += single_images(split, tuple(number))
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
            _refuse_likely_splits(visible, top)
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
    classes: dict[str, set[str]] = {}
    for top, below in _folders_below(names).items():
        folder, part = top, _part(top)
        if part and len(below) == 1 and _part(*below) == part:
            # Packed twice: seg_train/seg_train/cats.
            folder = f"{top}/{next(iter(below))}"
            below = _folders_below(name.removeprefix(f"{top}/") for name in names if name.startswith(f"{top}/"))
            below = next(iter(below.values()))
        classes[folder] = below
    # Names that say nothing else come first, test images before those for validation.
    parts = {folder: _part(folder) for folder in sorted(classes, key=lambda folder: (not split_of(folder), folder))}
    training = [folder for folder, part in parts.items() if part == TRAIN]
    measured = [folder for wanted in (TEST, VALIDATION) for folder, part in parts.items() if part == wanted]
    # The test images of many competitions are unlabelled: then the validation images are what can be measured on.
    pairs = [(train, test) for train in training for test in measured if classes[train] & classes[test]]
    if pairs:
        return pairs[0]
    plain = [next((folder for folder in folders if split_of(folder)), None) for folders in (training, measured)]
    if plain[0] is not None and plain[1] is not None:
        # No class in common, which is reported.
        return plain[0], plain[1]
    if measured and len(measured) == len(classes) and (len(measured) == 1 or set.intersection(*classes.values())):
        # There are only test images.
        return measured[0], measured[0]
    return None, None


def _folders_below(names: Iterable[str]) -> dict[str, set[str]]:
    """List the folders at the top, and the class folders in each."""
    found: dict[str, set[str]] = {}
    for name in names:
        top, *rest = name.split("/")
        if rest:
            found.setdefault(top, set()).update([class_name(rest[0])] if len(rest) > 1 else ())
    return found


def _part(folder: str) -> str:
    return split_of(folder.rpartition("/")[2], whatever_beside=True)


def _refuse_likely_splits(names: Sequence[str], top: Path) -> None:
    """Refuse folders with the same class folders in each, one of which is called like a split; else warn of them.

    Raises:
        UsageError: they are more likely splits than classes.
    """
    below = _folders_below(name for name in names if paths.is_image(PurePosixPath(name)))
    first = next(iter(below.values()), set())
    if len(below) < 2 or len(first) < 2 or any(each != first for each in below.values()):
        return
    folders, classes = _few(below), _few(first)
    hint = "call them train and test, or give one of them alone"
    if any(map(_part, below)):
        raise UsageError(f"the folders in '{top}' are {folders}, each with {classes}: splits with unknown names?", hint)
    log.warning(
        "'%s': the classes are %s; each has the folders %s: if those are the classes, %s", top, folders, classes, hint
    )


def _few(names: Iterable[str]) -> str:
    listed = sorted(names)
    return ", ".join(listed[:4]) + (f" and {len(listed) - 4} more" if len(listed) > 4 else "")


def _unused(names: Sequence[str], top: Path, train: str, test: str | None) -> list[LeftOut]:
    """Count the files beside the folders of the two splits."""
    found = []
    beside: dict[str, list[PurePosixPath]] = {}
    used = [None if folder is None else folder.partition("/")[0] for folder in (train, test)]
    for name in names:
        first = name.partition("/")[0] if "/" in name else ""
        if first not in used:
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
        table = "; or a table metadata.csv beside the images, with the columns file_name and label" if loose else ""
        raise UsageError(f"no classes in folder '{top}': {where}", _LAYOUT + table)
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
