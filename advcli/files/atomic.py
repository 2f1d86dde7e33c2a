"""Atomic writes: a file exists with its complete content, or it does not exist."""

import contextlib
import os
import re
import secrets
import string
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO

from advcli.errors import AdvcliError
from advcli.files.lock import lock
from advcli.files.paths import cut_name

# Of the final name in the temporary one, which is longer.
_MOST_OF_NAME = 200
_SUFFIX = ".tmp"
_LETTERS = string.ascii_lowercase + string.digits
_TEMPORARY = re.compile(r"\.(.+)\.[a-z0-9_]{8}\.tmp", re.DOTALL)


class _Taken(Exception):
    """There is a file where a new one was to be."""


@contextlib.contextmanager
def whole_file(path: Path, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to ``path`` once it is completely written.

    Args:
        path: the file.
        overwrite: whether it may replace a file that another process wrote in the meantime.

    Raises:
        AdvcliError: the file cannot be written, or may not be replaced.
    """
    # The name is known before there is a file, so that an interrupt at any moment leaves none.
    temporary = _new_name(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while (file := _opened(temporary)) is None:
            temporary = _new_name(path)
        with file:
            yield file
        os.chmod(temporary, 0o666 & ~_umask())
        (os.replace if overwrite else _rename_to_new)(temporary, path)
    except _Taken as error:
        raise AdvcliError(f"another process has written '{path}' in the meantime") from error
    except OSError as error:
        raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink()


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename a file.

    Raises:
        _Taken: there is a file of the new name.
    """
    try:
        path.hardlink_to(temporary)
    except FileExistsError as error:
        raise _Taken from error
    except OSError:
        # Not every file system has links; without them, a file of the same instant is not seen.
        if path.exists():
            raise _Taken from None
        os.replace(temporary, path)


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


def _new_name(path: Path) -> Path:
    """Return a name beside ``path`` that no file has."""
    while True:
        code = "".join(secrets.choice(_LETTERS) for _ in range(8))
        found = path.with_name(f".{cut_name(path.name, _MOST_OF_NAME)}.{code}{_SUFFIX}")
        if not os.path.exists(found):  # noqa: PTH110  a Path's method fails where a name is too long
            return found


def _opened(temporary: Path) -> BinaryIO | None:
    """Create a temporary file that only this user may read, locked as long as it is open; None if it was removed."""
    file = open(str(temporary), "x+b", opener=partial(os.open, mode=0o600))  # noqa: SIM115  the caller closes it
    # Not every file system has locks; without one, no other process removes it either.
    with contextlib.suppress(OSError):
        lock(file)
    # Another process may have removed it before it was locked.
    if temporary.exists():
        return file
    file.close()
    return None


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
