"""Sources of labelled images: one file a source.

A component is called without arguments and returns a ``Dataset``. One that reads files also
has a ``path`` option and a static ``claims(layout)``, by which ``--data PATH`` finds it.
"""

import dataclasses
from pathlib import Path
from typing import Any, Protocol

from advcli import registry
from advcli.data.class_order import ClassOrder
from advcli.data.dataset import Dataset
from advcli.datasets._layout import Layout, layout_of
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.files.bounded import refuse_special
from advcli.files.kinds import kind_of
from advcli.files.wrong_kind import other_kind, refuse_other_kind

_READ = "give a folder or .zip of images, a manifest (.csv, .jsonl), or an .npz, .parquet or .tfrecord file"


class Source(Protocol):
    """A source of labelled images."""

    def __call__(self) -> Dataset:
        """Return the data set; its images are read on demand."""
        ...


def find(value: str, order: ClassOrder | None = None) -> Source:
    """Choose the source for ``--data``: a name, a spec, or a file or folder that exists.

    A file or folder takes precedence over a source of the same name if that source reads files itself. Otherwise write
    the path with a slash (``./mnist``).

    Args:
        value: what was given.
        order: how names of folders are sorted; None leaves it to the source.

    Raises:
        UsageError: it is none of them, no source can read the file, or the source does not sort names.
    """
    return _chosen(value, order)[0]


def open_dataset(value: str, order: ClassOrder | None = None) -> Dataset:
    """Return the data set for ``--data``; its images are read on demand.

    Args:
        value: what was given (see ``find``).
        order: how names of folders are sorted; None leaves it to the source.

    Raises:
        AdvcliError: it cannot be read; the hint names the layout that was found and the file that shows it.
    """
    source, layout = _chosen(value, order)
    try:
        return source()
    except AdvcliError as error:
        if layout is None:
            raise
        shown = f" because of '{layout.evidence}'" if layout.evidence else ""
        guess = f"'{layout.path}' is read as {layout.source} data{shown}"
        raise type(error)(error.message, "; ".join(filter(None, (error.hint, guess)))) from error


def _chosen(value: str, order: ClassOrder | None) -> tuple[Any, Layout | None]:
    """Return the source and, for a path, the layout that chose it."""
    source, layout = _find(value)
    if order is None:
        return source, layout
    if not hasattr(source, "order"):
        raise UsageError(
            f"--class-order has no effect: '{value}' numbers its classes itself", "it is for folders of class folders"
        )
    return dataclasses.replace(source, order=order.value), layout


def _find(value: str) -> tuple[Any, Layout | None]:
    name = registry.canonical(value)
    known = registry.names("datasets")
    path = refuse_special(Path(value).expanduser())
    if name in known and not (path.exists() and hasattr(registry.component("datasets", name), "claims")):
        return registry.build("datasets", value), None
    if not path.exists():
        kind = kind_of(path)
        if kind is not None:
            raise other_kind(path, kind, "data", "a data set", _READ)
        # The others are layouts: their path has no default.
        hint = nearest(name, [each for each in known if registry.options("datasets", each).get("path", "none") != ""])
        also = f"{hint} or {_READ}" if hint.endswith("?") else f"{hint}, or {_READ}"
        raise UsageError(f"there is no data set called '{value}', and no such file", also)
    layout = layout_of(path)
    if path.is_dir() and not layout.evidence:
        refuse_other_kind(path, ("none",), "a data set", _READ)
    for name in known:
        source = registry.component("datasets", name)
        if hasattr(source, "claims") and source.claims(layout):
            return source(path=str(path)), layout
    kind = kind_of(path)
    if kind is not None:
        raise other_kind(path, kind, "data", "a data set", _READ)
    raise UsageError(f"cannot recognise the layout of '{value}'", _READ)
