"""Atomic writes: a file exists with its complete content, or it does not exist."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from advcli.errors import AdvcliError
from advcli.files.paths import cut_name

# Of the final name in the temporary one, which is longer.
_MOST_OF_NAME = 200


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open a temporary file that is renamed to ``path`` once it is completely written.

    Raises:
        AdvcliError: the file cannot be written.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{cut_name(path.name, _MOST_OF_NAME)}.", delete=False
        ) as file:
            temporary = file.name
            yield file  # type: ignore[misc]
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except OSError as error:
        raise AdvcliError(f"cannot write '{path}': {error.strerror or error}") from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
