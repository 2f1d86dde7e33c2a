"""Downloads, verified by their hash and stored in a cache folder."""

import hashlib
import http.client
import logging
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

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


def keras_folder() -> Path:
    """Return the folder in which Keras keeps the weights that it downloads."""
    return (Path(os.environ.get("KERAS_HOME", "~/.keras")) / "models").expanduser()


def fetch(url: str, filename: str, sha256: str, size: int, instead: str, folder: Path | None = None) -> Path:
    """Return a file from the cache, after downloading it if necessary.

    Args:
        url: where the file is; an https address.
        filename: its path below the folder.
        sha256: its hash.
        size: how many bytes it has.
        instead: a hint for users without a network.
        folder: where it is kept; None: the cache folder.

    Raises:
        AdvcliError: the download failed, is forbidden, or has a wrong size or hash.
    """
    # Imported here, because it imports NumPy, which offline() must not need.
    from advcli.files.atomic import remove_leftovers, whole_file

    path = (folder or cache_folder()) / filename
    instead = f"{instead}; or download it elsewhere and save it as '{path}'"
    if path.is_file():
        if path.stat().st_size == size:
            with path.open("rb") as cached:
                if hashlib.file_digest(cached, "sha256").hexdigest() == sha256:
                    return path
        log.warning("'%s' is damaged and has to be downloaded again", path)
    if offline():
        raise AdvcliError(f"'{filename}' is not in the cache, and --offline forbids downloading it", instead)
    log.info("downloading %s (%s) to %s", url, _text(size), path)
    digest, received = hashlib.sha256(), 0
    remove_leftovers([path])
    with whole_file(path) as file:
        for block in _blocks(url, instead):
            digest.update(block)
            received += len(block)
            if received > size:
                raise AdvcliError(f"cannot download '{url}': it has more than {size} bytes", instead)
            file.write(block)
        if received != size or digest.hexdigest() != sha256:
            raise AdvcliError(f"cannot download '{url}': the size or hash of the downloaded file is wrong", instead)
    return path


def _text(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size >= 100_000 else f"{size / 1e3:.1f} kB"


def _blocks(url: str, instead: str) -> Iterator[bytes]:
    try:
        _refuse_insecure(url)
        with urllib.request.build_opener(_SecureRedirects).open(url, timeout=_TIMEOUT) as response:
            while block := response.read(_BLOCK):
                yield block
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or error
        # Without the number that the system gives to the error.
        reason = getattr(reason, "strerror", None) or reason
        raise AdvcliError(f"cannot download '{url}': {reason}", instead) from error


class _SecureRedirects(urllib.request.HTTPRedirectHandler):
    """Follows redirections to https addresses only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Return the request for the new address."""
        _refuse_insecure(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _refuse_insecure(url: str) -> None:
    """Refuse an address that is not https; this machine needs none.

    Raises:
        URLError: it is another one.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        raise urllib.error.URLError(f"'{url}' is not an https address")
