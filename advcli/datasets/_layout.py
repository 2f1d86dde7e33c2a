"""Which layout a folder, an archive or a file of images has: found from the paths of its files alone."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from advcli.datasets._files import folder_holding, list_files
from advcli.datasets._splits import split_of
from advcli.files import paths

# The tables that a folder of images may have.
MANIFESTS = ("metadata.jsonl", "metadata.csv", "labels.csv", "labels.jsonl")
_SEVERITIES = frozenset("12345")
# The adversarial images that advcli exports beside corrupted ones: adversarial/MODEL/ATTACK/FILE.
_EXPORTED = re.compile(r"(^|/)adversarial/[^/]+/[^/]+/[^/]+(\.adv\.png|\.npz)$")
_TABLES = {".parquet": "parquet", ".npz": "npz", ".csv": "manifest", ".tsv": "manifest", ".jsonl": "manifest"}


@dataclass(frozen=True)
class Layout:
    """The layout of data.

    Args:
        path: the file or folder.
        source: the data source that reads this layout; empty if there is none.
        evidence: the file that shows the layout; empty if none does.
        top: the folder below the path that holds the data.
    """

    path: Path
    source: str
    evidence: str = ""
    top: str = ""


def layout_of(path: Path) -> Layout:
    """Find the layout of a file or folder that exists."""
    suffix = path.suffix.lower()
    if path.is_file() and suffix != ".zip":
        source = "tfrecord" if ".tfrecord" in path.name else _TABLES.get(suffix, "")
        return Layout(path, source, path.name if source else "")
    names = list_files(path)
    # An archive that cannot be read is reported where it is opened.
    if names is None:
        return Layout(path, "tiny-imagenet", path.name)
    return detect(path, names)


def detect(path: Path, names: Sequence[str]) -> Layout:
    """Find the layout of a folder or an archive.

    Args:
        path: what holds the files.
        names: their paths below it, with a slash between the parts.
    """
    names = [name for name in names if not paths.is_hidden(PurePosixPath(name))]
    top = folder_holding("wnids.txt", [name for name in names if name.endswith("wnids.txt")])
    if top is not None:
        return Layout(path, "tiny-imagenet", _join(top, "wnids.txt"), top)
    for found in (_records(path, names), _arrays(path, names), _manifest(path, names), _corrupted(path, names)):
        if found is not None:
            return found
    top = _only_folder(names) if path.is_file() else ""
    evidence = next((name for name in names if paths.is_image(PurePosixPath(name))), "")
    return Layout(path, "folder", evidence, top)


def _records(path: Path, names: Sequence[str]) -> Layout | None:
    for ending, source in ((".parquet", "parquet"), (".tfrecord", "tfrecord")):
        found = sorted(name for name in names if ending in _base(name) and name.count("/") <= 2)
        if found and path.is_dir():
            return Layout(path, source, found[0], found[0].rpartition("/")[0])
    return None


def _arrays(path: Path, names: Sequence[str]) -> Layout | None:
    """Find CIFAR-10-C's arrays: labels.npy beside one array for each corruption."""
    for name in names:
        top = name.removesuffix("labels.npy").rstrip("/")
        if _base(name) == "labels.npy" and name.count("/") <= 1 and path.is_dir():
            others = [each for each in names if each.endswith(".npy") and each.rpartition("/")[0] == top]
            if len(others) > 1:
                return Layout(path, "corruption-arrays", name, top)
    return None


def _manifest(path: Path, names: Sequence[str]) -> Layout | None:
    """Find a manifest at the top, in the only folder of an archive, or in the folder of a split."""
    only = _only_folder(names) if path.is_file() else ""
    for top in dict.fromkeys(("", only)):
        inside = [name.removeprefix(f"{top}/" if top else "") for name in names if name.startswith(top)]
        for manifest in MANIFESTS:
            found = [name for name in inside if _base(name) == manifest]
            near = [name for name in found if "/" not in name or split_of(name.split("/")[0])]
            near = [name for name in near if name.count("/") <= 1]
            if near:
                return Layout(path, "manifest", _join(top, min(near)), top)
    return None


def _corrupted(path: Path, names: Sequence[str]) -> Layout | None:
    depth = severity_depth(names)
    if depth is None:
        return None
    return Layout(path, "corruption-folder", next(name for name in names if is_severity(name.split("/"), depth)))


def severity_depth(names: Sequence[str]) -> int | None:
    """Find the depth of the severities in corruption/severity/class/image, maybe below other folders; else None."""
    parts = [name.split("/") for name in without_adversarial(names) if paths.is_image(PurePosixPath(name))]
    for depth in (1, 2, 3):
        # A numbered class folder may look like a severity: then others do not.
        found = [is_severity(each, depth) for each in parts]
        if any(found) and all(a or "clean" in each[:depth] for a, each in zip(found, parts, strict=True)):
            return depth
    return None


def without_adversarial(names: Sequence[str]) -> list[str]:
    """Leave out the adversarial images of an export: data are the images before, which every model gets."""
    return [name for name in names if not _EXPORTED.search(name)]


def is_severity(parts: Sequence[str], depth: int) -> bool:
    """Return whether an image lies in corruption/severity/class, with the severity at this depth."""
    if len(parts) < depth + 3 or parts[depth] not in _SEVERITIES:
        return False
    return not parts[depth - 1].isdigit() and not split_of(parts[depth - 1])


def _only_folder(names: Sequence[str]) -> str:
    """Return the folder that holds all images, unless it is that of a split."""
    pictures = [name for name in names if paths.is_image(PurePosixPath(name))]
    first = {name.partition("/")[0] if "/" in name else "" for name in pictures}
    only = first.pop() if len(first) == 1 else ""
    return "" if split_of(only) else only


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _base(name: str) -> str:
    return re.sub(r".*/", "", name)
