"""Whether two results files have the same protocol, and what differs."""

import json
from collections.abc import Iterable
from pathlib import Path

from advcli.errors import UsageError
from advcli.records import Protocol
from advcli.tasks.benchmark.requirements import RequirementsFile

# The fields that may differ between two calls with the same protocol.
_FREE = ("options", "environment", "version", "type")


def refuse_different(before: Protocol, now: Protocol, path: Path, free: Iterable[str] = ()) -> None:
    """Refuse to combine results of different protocols.

    Args:
        before: the protocol of the file.
        now: the requested protocol.
        path: the file.
        free: further fields that may differ.

    Raises:
        UsageError: the protocols differ.
    """
    was, are = (json.loads(protocol.to_json()) for protocol in (before, now))
    differences = [
        _difference(key, was.get(key), are.get(key))
        for key in are
        if key not in (*_FREE, *free) and was.get(key) != are.get(key)
    ]
    if differences:
        raise UsageError(
            f"'{path}' is of another evaluation: {'; '.join(differences)}",
            "give the same options, or another --out",
        )


def refuse_changed(before: Protocol, file: RequirementsFile | None, path: Path) -> None:
    """Refuse to go on with other requirements than those that were laid down before anything was measured.

    Raises:
        UsageError: the file of requirements was changed, left out or added.
    """
    now = file.sha256 if file else None
    if before.requirements != now:
        was = "no requirements" if before.requirements is None else f"requirements of SHA-256 {before.requirements}"
        are = "there are none" if now is None else f"these have {now}"
        raise UsageError(
            f"'{path}' was started with {was}, and {are}",
            "requirements are stated before the measurement: give the unchanged file, or measure with another --out",
        )


def _difference(key: str, was: object, now: object) -> str:
    if isinstance(was, list) and isinstance(now, list):
        gone = [_short(item) for item in was if item not in now]
        new = [_short(item) for item in now if item not in was]
        if gone or new:
            return f"{key}: {', '.join(gone) or 'nothing'} there, {', '.join(new) or 'nothing'} here"
        return f"{key}: the order differs"
    return f"{key}: {_short(was)} there, {_short(now)} here"


def _short(value: object) -> str:
    if isinstance(value, dict):
        shown = {name: item for name, item in value.items() if item not in (None, [], "") and name != "labels"}
        return " ".join(f"{name} {_short(item)}" for name, item in shown.items())
    return str(value)
