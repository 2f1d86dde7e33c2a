"""How much memory decoded images may take."""

import os


def half_of_free_memory() -> int | None:
    """Return half of the bytes that are free now; None where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None
