"""Tiny ImageNet: 110,000 colour images of 64 x 64 pixels in 200 classes, downloaded (248 MB).

Le and Yang 2015, Stanford CS231n, https://cs231n.stanford.edu/tiny-imagenet-200.zip. Its test images
have no labels, so the validation images are the ones to test on. Their labels are in
``val/val_annotations.txt`` only, or in the folders of the widespread layout ``val/<wnid>/``.
"""

import io
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.data.dataset import Dataset
from advcli.data.split import Split
from advcli.datasets._files import Tree, folder_holding, local_or_fetched, open_tree, title
from advcli.datasets._layout import Layout
from advcli.errors import UsageError
from advcli.files import paths

_URL = "https://cs231n.stanford.edu/tiny-imagenet-200.zip"
_SHA256, _SIZE = "6198c8ae015e2b3e007c7841da39ec069199b9aa3bfa943a462022fe5e43c821", 248_100_043
_LOCAL = "give a local copy: --data tiny-imagenet-200.zip, or the folder it was unpacked to"
_WHOLE = "unpack tiny-imagenet-200.zip again, or give the .zip itself"


@dataclass(frozen=True)
class TinyImageNet:
    """Classes in the order of their WordNet ids, called by the first word for each.

    Args:
        path: a folder or a .zip with the data; downloaded if none is given.
    """

    path: str = ""

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether this is a folder or an archive with the layout of Tiny ImageNet."""
        return layout.source == "tiny-imagenet"

    def __call__(self) -> Dataset:
        """Return the data set; its images are (64, 64, 3) uint8."""
        path = local_or_fetched(self.path, _URL, "tiny-imagenet-200.zip", _SHA256, _SIZE, _LOCAL)
        tree = open_tree(path)
        top = folder_holding("wnids.txt", tree.names)
        if top is None:
            hint = "give other data by its path alone: its layout is recognised"
            raise UsageError(f"no wnids.txt in '{path}', so this is not Tiny ImageNet", hint)
        tree = tree.below(top)
        # The file is unsorted; sorted, the order is that of a directory listing, which other tools go by.
        wnids = sorted(set(_text(tree, "wnids.txt").split()))
        if len(wnids) < 2:
            raise UsageError(f"fewer than two classes in wnids.txt of '{path}'", _WHOLE)
        return Dataset(
            name=title(path) if self.path else "tiny-imagenet",
            labels=_readable(tree, wnids),
            train=_split(tree, wnids, _training(tree, set(wnids))),
            test=_split(tree, wnids, _validation(tree, set(wnids))),
            edge=64,
            eps=4 / 255,
        )


def _text(tree: Tree, name: str) -> str:
    return tree.read(name).decode("utf-8", errors="replace") if name in tree.names else ""


def _pictures(tree: Tree, folder: str) -> list[str]:
    return [name for name in tree.names if name.startswith(f"{folder}/") and paths.is_image(Path(name))]


def _readable(tree: Tree, wnids: list[str]) -> tuple[str, ...]:
    """Call each class by the first of its synonyms, told apart where two classes share it."""
    rows = (line.partition("\t") for line in _text(tree, "words.txt").splitlines())
    words = {wnid: synonyms for wnid, _, synonyms in rows}
    first = [words.get(wnid, wnid).partition(",")[0].strip() or wnid for wnid in wnids]
    count = Counter(first)
    return tuple(f"{word} ({wnid})" if count[word] > 1 else word for word, wnid in zip(first, wnids, strict=True))


def _training(tree: Tree, wnids: set[str]) -> dict[str, str]:
    """Find the training images: name -> wnid."""
    found = {name: name.split("/")[1] for name in _pictures(tree, "train")}
    _check_known(found, wnids)
    for wnid in sorted(wnids - set(found.values())):
        raise UsageError(f"no training images of class '{wnid}'", _WHOLE)
    return found


def _validation(tree: Tree, wnids: set[str]) -> dict[str, str]:
    """Find the validation images: name -> wnid."""
    pictures = _pictures(tree, "val")
    if not pictures:
        raise UsageError("no validation images in val/", _WHOLE)
    pictures.sort(key=_base)
    in_folders = {name: name.split("/")[1] for name in pictures}
    rows = [line.split("\t")[:2] for line in _text(tree, "val/val_annotations.txt").splitlines() if "\t" in line]
    if not rows:
        if any(folder in ("images", _base(name)) for name, folder in in_folders.items()):
            raise UsageError("no labels in val/val_annotations.txt, or no such file", _WHOLE)
        _check_known(in_folders, wnids)
        return in_folders
    labels = dict(rows)
    _check_known(labels, wnids)
    names = {_base(name): name for name in pictures}
    if len(names) < len(pictures) or len(labels) < len(rows):
        raise UsageError("some validation images are in val/ or in val_annotations.txt twice", _WHOLE)
    for what, missing in (("no image", labels.keys() - names.keys()), ("no label", names.keys() - labels.keys())):
        if missing:
            raise UsageError(f"{what} for '{min(missing)}', one of {len(missing)} in val/", _WHOLE)
    for name, folder in in_folders.items():
        if folder in wnids and folder != labels[_base(name)]:
            raise UsageError(f"'{name}' has another label in val_annotations.txt", _WHOLE)
    return {name: labels[_base(name)] for name in pictures}


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _check_known(labels: dict[str, str], wnids: set[str]) -> None:
    for name, wnid in labels.items():
        if wnid not in wnids:
            raise UsageError(f"'{name}' is of class '{wnid}', which is not in wnids.txt", _WHOLE)


def _split(tree: Tree, wnids: list[str], labels: dict[str, str]) -> Split:
    number = {wnid: index for index, wnid in enumerate(wnids)}
    names = list(labels)
    return Split(
        np.array([number[wnid] for wnid in labels.values()], dtype=np.int32),
        lambda i: images.read(io.BytesIO(tree.read(names[i]))),
        names.__getitem__,
    )


COMPONENT = TinyImageNet
