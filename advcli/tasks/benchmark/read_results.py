"""Read files of results."""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advcli.errors import UsageError
from advcli.files.bounded import refuse_special
from advcli.records import Protocol, Score, Smoothed, Verdicts
from advcli.records.base import Fields

# The records of finished batches, by their types.
BATCHES = {kind.type: kind for kind in (Verdicts, Smoothed)}


def read_protocol(path: Path) -> Protocol:
    """Read the protocol of a results file.

    Raises:
        UsageError: there is no such file, or it is no results file.
    """
    try:
        with refuse_special(path).open(encoding="utf-8") as file:
            content = json.loads(file.readline())
        if content.get("type") != Protocol.type:
            raise ValueError("its first line is not a protocol")
        return _record(Protocol, content)
    except FileNotFoundError:
        raise UsageError(f"no such file: '{path}'", "write one with --out FILE, then go on with it") from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        reason = getattr(error, "strerror", None) or "its first line is not a protocol"
        raise UsageError(f"'{path}' is not a file of results: {reason}", "benchmark --out FILE writes one") from error


def read_batches(path: Path) -> Iterator[Verdicts | Smoothed]:
    """Read the finished batches of a results file, up to the first incomplete line.

    Raises:
        UsageError: an earlier line is damaged.
    """
    with refuse_special(path).open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                return
            try:
                if json.loads(line)["type"] in BATCHES:
                    yield read_line(line)
            except (ValueError, TypeError, KeyError) as error:
                raise UsageError(f"line {number} of '{path}' is damaged: {error}", "measure anew with --out") from error


def read_line(line: str | bytes) -> Verdicts | Smoothed:
    """Read one finished batch."""
    content = json.loads(line)
    return _record(BATCHES[content["type"]], content)


def read_scores(path: Path) -> list[Score]:
    """Read the scores of a results file, or of the output of ``--json``.

    Raises:
        UsageError: there are no scores.
    """
    try:
        lines = refuse_special(path).read_text(encoding="utf-8").splitlines()
        found = [_record(Score, item) for item in map(json.loads, lines) if item.get("type") == "score"]
    except FileNotFoundError:
        raise UsageError(
            f"no such file: '{path}'", "--baseline names a file of results, or what --json wrote"
        ) from None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}", "--baseline names a file of results") from error
    if not found:
        raise UsageError(f"'{path}' holds no scores", "--baseline names a file of results that is finished")
    return found


def _record(kind: type, content: Fields) -> Any:
    known = {field.name for field in dataclasses.fields(kind)}
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in content.items() if key in known}
    return kind(**values)
