"""Where labelled images come from: one file a source.

A component is called without arguments and returns a ``Dataset``. One that reads files also
has a ``path`` option and a static ``claims(path)``, by which ``--data PATH`` finds it.
"""

from pathlib import Path
from typing import Protocol

from advcli import registry
from advcli.data import Dataset
from advcli.errors import UsageError, nearest


class Source(Protocol):
    """A place that labelled images come from."""

    def __call__(self) -> Dataset:
        """Return the data set; its images are read later."""
        ...


def find(value: str) -> Source:
    """Choose the source for ``--data``: a file or folder that exists, else a name.

    Raises:
        UsageError: it is neither, or no source can read the file.
    """
    name = registry.canonical(value)
    if name in registry.names("datasets") and not hasattr(registry.component("datasets", name), "claims"):
        return registry.build("datasets", value)
    path = Path(value).expanduser()
    if path.exists():
        for name in registry.names("datasets"):
            source = registry.component("datasets", name)
            if hasattr(source, "claims") and source.claims(path):
                return source(path=str(path))
        raise UsageError(f"cannot tell what data '{value}' is", "give a folder, a Tiny ImageNet .zip or an .npz file")
    raise UsageError(f"no data called '{value}', and no such file", nearest(name, registry.names("datasets")))
