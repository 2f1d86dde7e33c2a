"""Web addresses as users write them."""

import re
from urllib.parse import SplitResult, urlsplit

from advcli.errors import UsageError

# Web addresses that name a file or a page about a model, not an endpoint that answers.
_FILE_ADDRESS = re.compile(
    r"\.(keras|h5|hdf5|tflite|onnx|pt|pth|ckpt|safetensors|pb|zip|tar|gz|tgz|npz|npy|png|jpe?g)$", re.IGNORECASE
)
_HUBS = ("tfhub.dev", "huggingface.co", "kaggle.com", "www.kaggle.com", "github.com", "drive.google.com")
_UNSAFE = re.compile(r"[^\x21-\x7e]")


def split_address(text: str) -> SplitResult:
    """Split a web address into its parts.

    Raises:
        UsageError: its host or port is invalid, or it holds a space or another character that must be encoded.
    """
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        raise UsageError(f"'{text}' is not a valid web address: {error}", "https://HOST:PORT/PATH") from error
    if found := _UNSAFE.search(text):
        raise UsageError(f"'{text}' has {found[0]!r} in it", "encode it: a space is %20")
    return parts


def address_in(value: object) -> str:
    """Return the web address that a value is, also one that became a path; empty if it is none."""
    found = re.fullmatch(r"([A-Za-z][A-Za-z0-9+.-]+):/{1,2}([^/].*)", str(value), re.DOTALL)
    return f"{found[1]}://{found[2]}" if found else ""


def refuse_file_address(address: str) -> None:
    """Refuse an address that cannot be an endpoint, because it names a file or a page of a hub.

    Raises:
        UsageError: it is one.
    """
    parts = split_address(address)
    file = _FILE_ADDRESS.search(parts.path)
    if parts.scheme not in ("http", "https") or file or parts.hostname in _HUBS:
        what = "the web address of a file" if file else "a web address of models, not of an endpoint"
        raise UsageError(f"'{address}' is {what}", "download the model, and give the file or folder")
