"""Find image files, and choose output paths."""

import logging
import os
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path, PurePath

from advcli.errors import UsageError
from advcli.files.bounded import refuse_special
from advcli.files.formats import FORMATS
from advcli.files.kinds import kind_of
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind

log = logging.getLogger(__name__)

# Suffixes of images that a package of the extra "heif" reads.
EXTRA_SUFFIXES: Mapping[str, str] = {".heic": "pillow_heif", ".heif": "pillow_heif", ".jxl": "pillow_jxl"}
SUFFIXES = frozenset(FORMATS) - EXTRA_SUFFIXES.keys()

_KNOWN = f"known suffixes: {' '.join(sorted(SUFFIXES))}"
_RENAME = "give shorter names, or another folder"
# A temporary file in the same folder has a few more characters.
_TEMPORARY = 20


def find_images(paths: Sequence[Path]) -> list[Path]:
    """List the given image files and those in the given folders.

    Raises:
        UsageError: a path does not exist or is no regular file, or a folder contains no image.
    """
    found: dict[Path, None] = {}
    for path in paths:
        if path.is_dir():
            files = inside(path)
            others = [file for file in path.rglob("*") if file.is_file() and not is_hidden(file.relative_to(path))]
            if not files:
                held = suffixes_of(others)
                raise UsageError(f"no images in folder '{path}': {describe_content(path, held)}", _KNOWN)
            if unknown := suffixes_of(file for file in others if not is_image(file)):
                log.warning("%s", describe_unknown(path, unknown))
            found.update(dict.fromkeys(files))
        elif path.exists():
            found[refuse_special(path)] = None
        else:
            refuse_missing(path, "image", "an image", _sibling_hint(path))
    # One bad file among many is reported when it is read.
    if found and not any(path.is_dir() for path in paths) and all(_is_other(file) for file in found):
        refuse_other_kind(next(iter(found)), ("image",), "an image", _KNOWN)
    return list(found)


def _is_other(file: Path) -> bool:
    kind = kind_of(file)
    return kind is not None and kind.use != "image"


def inside(folder: Path) -> list[Path]:
    """List the image files in a folder and its subfolders, without hidden ones."""
    return sorted(
        file
        for file in folder.rglob("*")
        if is_image(file) and not is_hidden(file.relative_to(folder)) and file.is_file()
    )


def is_image(path: PurePath) -> bool:
    """Return whether a file's suffix is that of an image which can be read here."""
    suffix = path.suffix.lower()
    known = suffix in SUFFIXES or (suffix in EXTRA_SUFFIXES and _is_installed(EXTRA_SUFFIXES[suffix]))
    return known and not path.name.startswith(".")


def is_hidden(path: PurePath) -> bool:
    """Return whether a file or a folder that it is in is hidden."""
    return any(part.startswith(".") or part == "__MACOSX" for part in path.parts)


def suffixes_of(files: Iterable[PurePath]) -> Counter[str]:
    """Count files by their suffix in lower case."""
    return Counter(file.suffix.lower() or "none" for file in files)


def describe_unknown(where: object, suffixes: Mapping[str, int]) -> str:
    """Say how many files of a folder are not read as images, by suffix."""
    counts = ", ".join(f"{suffix} {count}" for suffix, count in sorted(suffixes.items(), key=lambda each: each[0]))
    missing = sorted(set(suffixes) & EXTRA_SUFFIXES.keys())
    hint = f'; {", ".join(missing)} can be read after: pip install "advcli[heif]"' if missing else ""
    total = sum(suffixes.values())
    return f"{total} {'file' if total == 1 else 'files'} in '{where}' of no known kind: {counts}{hint}"


def describe_content(path: Path, suffixes: Mapping[str, int]) -> str:
    """Say what a folder without images is, or which files it holds."""
    kind = kind_of(path)
    if kind is not None and (kind.use == "model" or kind.advice or not suffixes):
        return f"it is {kind.text}"
    return _held(suffixes)


def count_suffixes(files: Iterable[PurePath]) -> str:
    """Say which files there are, by their suffixes."""
    return _held(suffixes_of(files))


def _held(suffixes: Mapping[str, int]) -> str:
    counts = ", ".join(f"{suffix} {count}" for suffix, count in sorted(suffixes.items()))
    return f"it holds {counts}" if counts else "it is empty"


@cache
def _is_installed(package: str) -> bool:
    return find_spec(package) is not None


def pair_by_name(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Find the image of a folder that has the name of each file, whatever their suffixes are: file -> its pair.

    Raises:
        UsageError: one is missing, or there are several.
    """
    pairs: dict[str, list[Path]] = {}
    for candidate in inside(folder):
        pairs.setdefault(candidate.stem, []).append(candidate)
    for file in files:
        found = pairs.get(file.stem, [])
        if not found:
            raise UsageError(f"'{folder}' holds no image called '{file.stem}'", f"it needs one for each, as '{file}'")
        if len(found) > 1:
            raise UsageError(f"'{found[0]}' and '{found[1]}' are both for '{file}'", "leave one of them")
    return {file: pairs[file.stem][0] for file in files}


def plan_outputs(files: Sequence[Path], out: Path, endings: Sequence[str], overwrite: bool) -> dict[Path, Path]:
    """Choose each file's output path: file -> output path without its suffix.

    Raises:
        UsageError: two files would have the same output, a name is too long, or an output exists and ``overwrite``
        is false.
    """
    refuse_long_name(out / "x")
    for folder in (out, *out.parents):
        if folder.exists() and not folder.is_dir():
            raise UsageError(f"'{folder}' is a file, not a folder", "--out names the folder for the outputs")
    if out.suffix.lower() in SUFFIXES:
        raise UsageError(f"'{out}' looks like a file", "--out names a folder; files in it are named after their input")
    # All that share a stem are told apart in the same way, so that no name depends on the order.
    shared = _shared_stems(file.stem for file in files)
    names = {file: f"{file.parent.name}.{file.name}" if file.stem.casefold() in shared else file.stem for file in files}
    clashing = _shared_stems(names.values())
    clash = [str(file) for file, name in names.items() if name.casefold() in clashing]
    if clash:
        raise UsageError(f"'{clash[0]}' and '{clash[1]}' would have the same output", "give them in two calls")
    stems = {file: out / name for file, name in names.items()}
    inputs = {file.resolve() for file in files}
    made_from: dict[str, Path] = {}
    for file, stem in stems.items():
        for ending in endings:
            output = refuse_existing_file(stem.with_name(stem.name + ending), overwrite)
            if output.resolve() in inputs:
                raise UsageError(f"output '{output}' is one of the inputs", "give another folder with --out")
            other = made_from.setdefault(output.name.casefold(), file)
            if other is not file:
                raise UsageError(f"'{other}' and '{file}' would have the same output", "give them in two calls")
        if len({ending.casefold() for ending in endings}) < len(endings):
            raise UsageError(f"two outputs of '{file}' would have the same name", "request them in two calls")
    refuse_unwritable(out)
    return stems


def without_existing(outputs: Mapping[Path, Path], endings: Sequence[str]) -> dict[Path, Path]:
    """Leave out the files whose outputs, each with one of these endings, are all there."""
    return {
        file: stem
        for file, stem in outputs.items()
        if not all(stem.with_name(stem.name + ending).exists() for ending in endings)
    }


def refuse_two_ways(overwrite: bool, skip_existing: bool) -> None:
    """Refuse ``--overwrite`` together with ``--skip-existing``.

    Raises:
        UsageError: both are given.
    """
    if overwrite and skip_existing:
        raise UsageError("--overwrite and --skip-existing contradict each other", "leave one of them out")


def refuse_unwritable(folder: Path) -> None:
    """Refuse a folder in which no file can be made; it need not exist yet, and is not made.

    Raises:
        UsageError: it is one.
    """
    existing = next((each for each in (folder.absolute(), *folder.absolute().parents) if _is_there(each)), Path())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        raise UsageError(f"cannot write into '{folder}': {error.strerror}", "give another folder") from error


def refuse_long_name(output: Path) -> Path:
    """Return a path whose names the file system can hold.

    Raises:
        UsageError: one is too long.
    """
    existing = next((folder for folder in output.absolute().parents if _is_there(folder)), Path())
    most, whole = _limit(existing, "PC_NAME_MAX", 255), _limit(existing, "PC_PATH_MAX", 4096)
    for name in output.parts:
        size = len(os.fsencode(name))
        if size > most:
            raise UsageError(f"an output name has {size} bytes, and at most {most} are possible: '{name}'", _RENAME)
    if len(os.fsencode(output.absolute())) + _TEMPORARY >= whole:
        raise UsageError(f"an output path is too long: '{output}'", _RENAME)
    return output


def _is_there(folder: Path) -> bool:
    try:
        return folder.is_dir()
    except OSError:
        return False


def _limit(folder: Path, name: str, usual: int) -> int:
    try:
        return os.pathconf(folder, name)
    except (AttributeError, OSError, ValueError):
        return usual


def cut_name(name: str, most: int) -> str:
    """Return the first characters of a file name that take at most so many bytes."""
    name = name[:most]
    while len(os.fsencode(name)) > most:
        name = name[:-1]
    return name


def refuse_existing_file(output: Path, overwrite: bool) -> Path:
    """Return a path that can be written.

    Raises:
        UsageError: the file exists and ``overwrite`` is false, or its name is too long.
    """
    refuse_long_name(output)
    if output.exists() and not overwrite:
        raise UsageError(f"output exists: '{output}'", "give --overwrite to replace it, or another --out")
    return output


def _shared_stems(names: Iterable[str]) -> set[str]:
    """Return the names that occur more than once, ignoring case, as the file system of macOS does."""
    return {name for name, count in Counter(name.casefold() for name in names).items() if count > 1}


def _sibling_hint(path: Path) -> str:
    from advcli.errors import nearest

    parent = path.parent
    if not parent.is_dir():
        return f"the folder '{parent}' does not exist either"
    siblings = [file.name for file in parent.iterdir() if is_image(file)]
    return nearest(path.name, siblings) if siblings else f"there are no images in '{parent}'"
