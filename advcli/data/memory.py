"""The memory limit for decoded images."""

import os


def half_of_free_memory() -> int | None:
    """Return half of the free memory in bytes; None if the system does not report it."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None
