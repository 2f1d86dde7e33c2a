"""Components of others: from installed packages by entry points, and from a Python file that a spec names.

A package adds components by entry points of the groups ``advcli.attacks``, ``advcli.corruptions`` and so on. The value
is a module that ends in ``COMPONENT = TheClass``. Its source is read without importing it.
"""

import importlib.util
import os
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, EntryPoints, entry_points
from pathlib import Path

from advcli.errors import UsageError

# The files that may run, by their absolute paths.
_ALLOWED = "ADVCLI_COMPONENT_FILES"
_FILE = re.compile(r"([^:=,]+\.py)(?::|$)")


@dataclass(frozen=True)
class Plugin:
    """A module of another package that holds components.

    Args:
        name: the name of the entry point, which is that of the component if the module has only one.
        module: to import.
        file: its source.
    """

    name: str
    module: str
    file: Path


@cache
def plugins(family: str) -> tuple[Plugin, ...]:
    """List the modules that installed packages add to a family of components."""
    found = ((entry, _source(entry)) for entry in _entries().select(group=f"advcli.{family}"))
    return tuple(Plugin(entry.name, entry.module, file) for entry, file in found if file is not None)


@cache
def _entries() -> EntryPoints:
    """Read the entry points of all installed packages; help asks for many families."""
    return entry_points()  # pyright: ignore[reportReturnType]  in Python 3.11 another class, which selects alike


def _source(entry: EntryPoint) -> Path | None:
    """Find the source of an entry point's module; where the package is installed as files, without importing it."""
    parts = entry.module.split(".")
    if entry.dist is not None:
        for place in (Path(*parts).with_suffix(".py"), Path(*parts, "__init__.py")):
            file = Path(str(entry.dist.locate_file(str(place))))
            if file.is_file():
                return file
    try:
        spec = importlib.util.find_spec(entry.module)
    except ImportError:
        return None
    return Path(spec.origin) if spec and spec.origin else None


def named_file(spec: str) -> str:
    """Return the path of the Python file that a spec such as ``./mine.py:steps=3`` names; empty for a name."""
    found = _FILE.match(spec.strip())
    return found.group(1) if found else ""


@cache
def component_in(file: Path) -> type:
    """Run a file and return its component.

    A spec may come from a model file or from results that a stranger made, so only what was allowed by name runs.

    Raises:
        UsageError: the file was not allowed, does not exist, cannot be run, or has no component.
    """
    if str(file) not in os.environ.get(_ALLOWED, "").split(os.pathsep):
        raise UsageError(f"'{file}' is code that would run", "if you trust it, add --unsafe-load")
    if not file.is_file():
        raise UsageError(f"no file '{file}'", "give a Python file that ends in COMPONENT = TheClass")
    name = f"advcli_file_{file.stem}_{abs(hash(str(file)))}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"'{file}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    # A dataclass looks its module up by name.
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise UsageError(f"'{file}' cannot be run: {type(error).__name__}: {error}") from error
    found = getattr(module, "COMPONENT", None)
    if not isinstance(found, type):
        raise UsageError(f"'{file}' has no component", "end it with COMPONENT = TheClass")
    return found


def allow_files(files: Sequence[str]) -> None:
    """Allow Python files to run as components, also in the processes that this one starts."""
    known = os.environ.get(_ALLOWED, "").split(os.pathsep)
    wanted = [str(Path(file).resolve()) for file in files]
    os.environ[_ALLOWED] = os.pathsep.join(dict.fromkeys(filter(None, [*known, *wanted])))


def refuse_recorded_permission(options: Mapping[str, object], allowed: bool, file: Path) -> None:
    """Refuse a file of earlier options that allows code to run: whoever wrote it must not decide what runs here.

    Raises:
        UsageError: the file allows it, and the user does not.
    """
    if options.get("unsafe_load") and not allowed:
        raise UsageError(
            f"'{file}' would run code that a model or an option names", "if you trust it, add --unsafe-load"
        )
