"""Keep other processes from a file while it is written."""

from typing import IO

try:
    import fcntl
except ImportError:  # Windows has another way, and no need here
    fcntl = None


def lock(file: IO[bytes] | IO[str]) -> bool:
    """Lock an open file until it is closed; of a process that is killed, the system lets go.

    Returns:
        Whether no other process holds the lock; always true where the system has no such locks.
    """
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
