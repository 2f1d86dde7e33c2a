"""Atomic writes: a file exists with its complete content, or it does not exist."""

import contextlib
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from advcli.errors import AdvcliError
from advcli.files.lock import lock
from advcli.files.paths import cut_name

# Of the final name in the temporary one, which is longer.
_MOST_OF_NAME = 200
_SUFFIX = ".tmp"
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp", re.DOTALL)


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to ``path`` once it is completely written.

    Raises:
        AdvcliError: the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _opened(path) as file:
            temporary = file.name
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def remove_leftovers(outputs: Iterable[Path]) -> None:
    """Remove the temporary files that a killed process left beside its outputs, but none that is being written."""
    names: dict[Path, set[str]] = {}
    for output in outputs:
        names.setdefault(output.parent, set()).add(cut_name(output.name, _MOST_OF_NAME))
    for folder, wanted in names.items():
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                found = _TEMPORARY.fullmatch(file.name)
                if found and found[1] in wanted:
                    _remove_unlocked(file)


def _remove_unlocked(temporary: Path) -> None:
    with contextlib.suppress(OSError):
        if temporary.is_symlink() or not temporary.is_file():
            return
        with temporary.open("rb") as file:
            if lock(file):
                # Keras writes a model beside it, under a name that tells its format.
                temporary.with_name(f"{temporary.name}.keras").unlink(missing_ok=True)
                temporary.unlink(missing_ok=True)


def _opened(path: Path) -> BinaryIO:
    """Open a new temporary file beside ``path``, locked as long as it is open."""
    while True:
        file = tempfile.NamedTemporaryFile(  # noqa: SIM115  the caller closes it
            dir=path.parent, prefix=f".{cut_name(path.name, _MOST_OF_NAME)}.", suffix=_SUFFIX, delete=False
        )
        # Not every file system has locks; without one, no other process removes it either.
        with contextlib.suppress(OSError):
            lock(file)
        # Another process may have removed it before it was locked.
        if Path(file.name).exists():
            return cast(BinaryIO, file)
        file.close()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
