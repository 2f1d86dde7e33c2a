"""Corrupted images in folders corruption/severity/class, as ImageNet-C and advcli's own export are.

Hendrycks and Dietterich 2019, https://arxiv.org/abs/1903.12261. Groups of corruptions (blur/defocus_blur/1/...)
may be on top, and a folder ``clean`` may hold the images before.
"""

import json
import logging
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import ClassVar

from advcli.data.dataset import Dataset, Given
from advcli.datasets._corrupted import CLEAN, corrupted_dataset, refuse_different_images
from advcli.datasets._files import Tree, existing, open_tree, title
from advcli.datasets._layout import Layout, is_severity, severity_depth, without_adversarial
from advcli.datasets._pictures import class_name, describe, edge_of, others, picture_split
from advcli.errors import UsageError
from advcli.files import paths

log = logging.getLogger(__name__)

# What advcli writes beside the images: the names of the classes in the order of their numbers.
CLASSES_FILE = "classes.json"

# (corruption, severity) -> (class folder, name without suffix) -> file
_Files = Mapping[tuple[str, int], Mapping[tuple[str, str], str]]


@dataclass(frozen=True)
class CorruptionFolder:
    """All corruptions and severities must be of the same images, told by class and file name.

    Args:
        path: the folder, or a .zip archive of it.
    """

    gives_perturbations: ClassVar[bool] = True

    path: str

    @staticmethod
    def claims(layout: Layout) -> bool:
        """Tell whether these are folders of corruptions."""
        return layout.source == "corruption-folder"

    def __call__(self) -> Dataset:
        """Return the data set, with a split for each corruption and severity; nothing is for training."""
        path = existing(self.path)
        tree = open_tree(path)
        tree = replace(tree, names=tuple(without_adversarial(tree.names)))
        depth = severity_depth(tree.names)
        if depth is None:
            raise UsageError(f"no folders CORRUPTION/SEVERITY/CLASS in '{path}'", "severities are 1 to 5")
        found = _files(tree, depth)
        keys = refuse_different_images({where: files.keys() for where, files in found.items()}, str(path))
        stems = [stem for _, stem in keys]
        # The names of most sets are those of the clean set, in whose order the images then are.
        rows = sorted(keys, key=lambda key: (key[1], key[0]) if len(set(stems)) == len(stems) else key)
        names, folders = _classes(tree, {folder for folder, _ in keys})
        number = {label: index for index, label in enumerate(names)}
        labels = [number[folders[folder]] for folder, _ in rows]
        splits = {
            where: picture_split(tree, path, [files[key] for key in rows], labels) for where, files in found.items()
        }
        clean = splits.pop((CLEAN, 0), None)
        given = [Given(corruption, severity, split) for (corruption, severity), split in sorted(splits.items())]
        left_out = others([name for name in tree.names if name != CLASSES_FILE], path)
        for each in left_out:
            log.warning("%s", describe(each))
        edge = edge_of(tree, [files[rows[0]] for files in found.values()])
        indexed = all(name.isdecimal() for name in names)
        return corrupted_dataset(title(path), names, clean, given, edge, left_out=left_out, indexed=indexed)


def _files(tree: Tree, depth: int) -> _Files:
    """Find the images of each corruption and severity.

    Raises:
        UsageError: two files are the same image.
    """
    found: dict[tuple[str, int], dict[tuple[str, str], str]] = defaultdict(dict)
    for name in tree.names:
        pure = PurePosixPath(name)
        if paths.is_hidden(pure) or not paths.is_image(pure):
            continue
        parts = name.split("/")
        if is_severity(parts, depth):
            where, rest = (parts[depth - 1], int(parts[depth])), parts[depth + 1 :]
        else:
            where, rest = (CLEAN, 0), parts[parts.index(CLEAN) + 1 :]
        if len(rest) < 2:
            raise UsageError(f"'{name}' is in no class folder", "write it as clean/CLASS/IMAGE")
        key = class_name(rest[0]), "/".join([*rest[1:-1], pure.stem])
        if key in found[where]:
            raise UsageError(f"'{found[where][key]}' and '{name}' are the same image twice", "leave one out")
        found[where][key] = name
    return found


def _classes(tree: Tree, folders: set[str]) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """Return the class names in order, and the class of each folder."""
    if CLASSES_FILE not in tree.names:
        names = tuple(sorted(folders, key=lambda name: (int(name) if name.isdecimal() else -1, name)))
        return names, {name: name for name in folders}
    try:
        content = json.loads(tree.read(CLASSES_FILE))
        names = tuple(str(name) for name in content["labels"])
        of_folder = {class_name(folder): str(name) for folder, name in content["folders"].items()}
    except (ValueError, LookupError, AttributeError, TypeError) as error:
        raise UsageError(f"'{CLASSES_FILE}' cannot be read: {error}", "export the images again") from error
    for folder in sorted(folders):
        if of_folder.get(folder) not in names:
            raise UsageError(
                f"'{CLASSES_FILE}' does not name the class of folder '{folder}'", "export the images again"
            )
    return names, of_folder


COMPONENT = CorruptionFolder
