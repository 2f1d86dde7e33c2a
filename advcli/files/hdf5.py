"""Check HDF5 files before they are read: what they declare must be what they store."""

import math
from pathlib import Path
from typing import BinaryIO

from advcli.errors import AdvcliError
from advcli.files.bounded import MEGA

# Datasets may together declare this, or so many times the bytes that are stored.
_FREE, _EXPANSION = 64 * MEGA, 20
_HINT = "save the model again with Keras"


def check_hdf5(file: Path | BinaryIO, name: str) -> int:
    """Refuse an HDF5 file whose arrays are much larger than what it stores, or lie in other files.

    What is no HDF5 file is left to its reader.

    Returns:
        The bytes that its arrays have in memory.

    Raises:
        AdvcliError: it is such a file, or is damaged.
    """
    import h5py

    declared = stored = 0

    def fault(path: str, link: object) -> str | None:
        nonlocal declared, stored
        if isinstance(link, h5py.ExternalLink | h5py.SoftLink):
            return f"has a link to another place: '{path}'"
        item = opened[path]
        if not isinstance(item, h5py.Dataset):
            return None
        if item.external or item.is_virtual:
            return f"has an array that is stored in another file: '{path}'"
        sizes = [math.prod(shape) * item.dtype.itemsize for shape in (item.shape or (), item.chunks or ())]
        declared, stored = declared + max(sizes), stored + item.id.get_storage_size()
        if declared > max(_FREE, _EXPANSION * stored):
            return f"declares arrays of {declared / MEGA:.0f} MB and stores {stored / MEGA:.1f} MB"
        return None

    try:
        opened = h5py.File(file)
    except (OSError, ValueError, RuntimeError):
        # Its reader says what is wrong.
        return 0
    with opened:
        try:
            found = opened.visititems_links(fault)
        except Exception as error:
            raise AdvcliError(f"'{name}' is damaged: {error}", _HINT) from error
    if found is not None:
        raise AdvcliError(f"'{name}' {found}", _HINT)
    return declared
