"""Downloads, verified by their hash and stored in a cache folder."""

import hashlib
import http.client
import logging
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from advcli.errors import AdvcliError

log = logging.getLogger(__name__)

_TIMEOUT = 30
_BLOCK = 1 << 20


def offline() -> bool:
    """Return whether the network must not be used (``--offline`` sets the environment variable)."""
    return os.environ.get("ADVCLI_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def cache_folder() -> Path:
    """Return the cache folder for downloads."""
    own = os.environ.get("ADVCLI_CACHE")
    if own:
        return Path(own).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "advcli"


def fetch(url: str, filename: str, checksum: str, size: str, instead: str) -> Path:
    """Return a file from the cache, after downloading it if necessary.

    Args:
        url: where the file is.
        filename: its path below the cache folder.
        checksum: its hash, as ``sha256:...`` or ``md5:...``.
        size: the size of the file, for messages.
        instead: a hint for users without a network.

    Raises:
        AdvcliError: the download failed, is forbidden, or has a wrong hash.
    """
    # Imported here, because it imports NumPy, which offline() must not need.
    from advcli.files.atomic import whole_file

    algorithm, _, expected = checksum.partition(":")
    path = cache_folder() / filename
    if path.is_file():
        with path.open("rb") as cached:
            if hashlib.file_digest(cached, lambda: _digest(algorithm)).hexdigest() == expected:
                return path
        log.warning("'%s' is damaged and has to be downloaded again", path)
    if offline():
        raise AdvcliError(f"'{filename}' is not in the cache, and --offline forbids downloading it", instead)
    log.info("downloading %s (%s) to %s", url, size, path)
    digest = _digest(algorithm)
    with whole_file(path) as file:
        for block in _blocks(url, instead):
            digest.update(block)
            file.write(block)
        if digest.hexdigest() != expected:
            raise AdvcliError(f"cannot download '{url}': the hash of the downloaded file is wrong", instead)
    return path


def _digest(algorithm: str) -> "hashlib._Hash":
    # Some systems allow MD5 only if it is declared as not used for security.
    return hashlib.new(algorithm, usedforsecurity=False)


def _blocks(url: str, instead: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=_TIMEOUT) as response:
            while block := response.read(_BLOCK):
                yield block
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        raise AdvcliError(f"cannot download '{url}': {reason}", instead) from error
