"""The class names of ImageNet, from the file that Keras downloads."""

import contextlib
import logging
import os
from pathlib import Path

from advcli.data.class_order import generic_names
from advcli.data.labels_file import read_labels
from advcli.errors import AdvcliError
from advcli.files.download import fetch, keras_folder, offline

log = logging.getLogger(__name__)

_CLASS_INDEX = (
    "imagenet_class_index.json",
    "https://storage.googleapis.com/download.tensorflow.org/data/imagenet_class_index.json",
    "a1e7a966a1f601d39e4b43e119b3e7dd4a2ad3ea08cf69847cbaf021013767bc",
    35_363,
)


def imagenet_labels(classes: int, weights: str) -> tuple[str, ...]:
    """Return the class names of a network with ImageNet weights, or numbered classes, with a warning.

    Args:
        classes: the number of classes.
        weights: ``imagenet``, whose class names may be downloaded, or a file.
    """
    cached = class_index_file()
    if classes == 1000:
        # Class names are downloaded only if the weights were: a local weights file must not need the network.
        if not cached.is_file() and weights == "imagenet" and not offline():
            _fetch_class_index()
        if cached.is_file():
            return read_labels(cached)
    log.warning("no class names are available: classes are named by their index (see --labels)")
    return generic_names(classes)


def class_index_file() -> Path:
    """Return where Keras keeps the class names of ImageNet."""
    return Path(os.environ.get("KERAS_HOME", "~/.keras")).expanduser() / "models" / _CLASS_INDEX[0]


def _fetch_class_index() -> None:
    name, url, sha256, size = _CLASS_INDEX
    with contextlib.suppress(AdvcliError):
        fetch(url, name, sha256, size, "give class names with --labels", keras_folder())
