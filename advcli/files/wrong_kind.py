"""Refuse files of another kind than an option takes, by what they are and what can be done about it."""

import os
from collections.abc import Collection
from pathlib import Path

from advcli.errors import UsageError
from advcli.files.address import address_in
from advcli.files.kinds import READER, FileKind, Use, kind_of


def refuse_other_kind(path: Path, takes: Collection[Use], wanted: str, hint: str = "") -> None:
    """Refuse what is known to be of another kind than an option takes; what is not known is left to its reader.

    Args:
        path: what was given.
        takes: the uses that are right.
        wanted: what was wanted, with its article.
        hint: what to give instead, for a kind that cannot be made usable.

    Raises:
        UsageError: it is of another kind.
    """
    kind = kind_of(path)
    if kind is not None and kind.use not in takes:
        use = next(iter(takes), None) or "none"
        raise other_kind(path, kind, use, wanted, hint)


def refuse_missing(path: Path, use: Use, wanted: str, hint: str = "") -> None:
    """Refuse a path where no file is.

    Raises:
        UsageError: there is none; if it is a folder or an address, this is said.
    """
    if os.path.isfile(path):  # noqa: PTH113  a Path's method fails where a name is too long
        return
    kind = kind_of(path)
    if kind is not None:
        raise other_kind(path, kind, use, wanted, hint)
    raise UsageError(f"no such file: '{path}'", hint)


def refuse_no_weights(file: Path) -> None:
    """Refuse what is no file of weights; a whole model in HDF5 holds some.

    Raises:
        UsageError: it is not there, or is something else.
    """
    hint = "--weights is imagenet or a weights file, .weights.h5 or .h5, as Keras writes them"
    refuse_missing(file, "weights", "a weights file", hint)
    kind = kind_of(file)
    if kind is not None and kind.use == "model" and ".h5" not in kind.suffixes:
        raise other_kind(file, kind, "weights", "a weights file", f"a whole model needs no backbone: --model {file}")
    if kind is not None and kind.use not in ("model", "weights"):
        raise other_kind(file, kind, "weights", "a weights file", hint)


def other_kind(path: Path, kind: FileKind, use: Use, wanted: str, hint: str = "") -> UsageError:
    """Return the error for a path of another kind than what was wanted.

    Args:
        path: what was given.
        kind: what it is.
        use: what it was to be used as.
        wanted: the same in words, with an article.
        hint: what to give instead, where the kind cannot be made usable for this.
    """
    helps = kind.after in ("none", use) or (kind.after == "image" and use == "data")
    what = kind.text if kind.advice == READER and helps else f"{kind.text}, not {wanted}"
    return UsageError(f"'{address_in(path) or path}' is {what}", kind.advice if kind.advice and helps else hint)
