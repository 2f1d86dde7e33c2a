"""Text forms of values that options take: lists, ranges, radii, severities, times."""

import csv
import math
import re
from collections.abc import Collection

from advcli import registry
from advcli.errors import UsageError, nearest

# Python refuses to read thousands of digits.
_MOST_DIGITS = 10
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def read_index(text: str) -> int | None:
    """Read a whole number that counts classes or places; None where the text is none, or of ten digits or more."""
    return int(text) if text.isdecimal() and len(text) < _MOST_DIGITS else None


def read_list(text: str | None) -> tuple[str, ...]:
    """Read a list with commas between its items; an item that has one itself stands in double quotes."""
    if not text:
        return ()
    if '"' not in text:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    try:
        (items,) = csv.reader([text], skipinitialspace=True, strict=True)
    except (csv.Error, ValueError) as error:
        raise UsageError(f"a quote is not closed in '{text}'", "write it as '\"crane, a bird\",dog'") from error
    return tuple(item.strip() for item in items if item.strip())


def read_choices(text: str, known: Collection[str], option: str) -> tuple[str, ...]:
    """Read a list of which every item must be known.

    Raises:
        UsageError: an item is not, or there is none.
    """
    chosen = read_list(text)
    for item in chosen:
        if item not in known:
            raise UsageError(f"{option} has no '{item}'", nearest(item, known))
    if not chosen:
        raise UsageError(f"{option} is empty", nearest("", known))
    return tuple(dict.fromkeys(chosen))


def read_range(text: str) -> tuple[float, float]:
    """Read ``--input-range``: two numbers, such as 0,255.

    Raises:
        UsageError: it is not two different numbers.
    """
    try:
        low, high = (registry.number(part.strip(), "--input-range") for part in text.split(","))
    except (ValueError, UsageError):
        low = high = 0.0
    if low >= high:
        raise UsageError(f"--input-range is not two rising numbers: '{text}'", "write 0,1 or 0,255 or -1,1")
    return low, high


def read_radius(text: str) -> float:
    """Read ``--eps``: 0.03 or 8/255.

    Raises:
        UsageError: it is no number.
    """
    return registry.number(text, "--eps")


def read_radii(text: str, norms: Collection[str]) -> tuple[str | None, tuple[float, ...]]:
    """Read one ``--eps`` of several: ``0,2/255``, or ``l2=0.5,1``; -> its norm, if it is for one only, and the radii.

    Raises:
        UsageError: it holds no radius, or is for no norm.
    """
    name, separator, values = text.rpartition("=")
    if separator and name not in norms:
        raise UsageError(f"--eps names an unknown norm: '{name}'", f"write one of {', '.join(norms)}: l2=0.5")
    found = tuple(registry.number(value, "--eps") for value in read_list(values))
    if not found:
        raise UsageError(f"--eps holds no radius: '{text}'", "write 8/255 or 0,2/255,4/255")
    return (name if separator else None), found


def read_accuracy(text: str, option: str) -> float:
    """Read an accuracy: 0.9 or 90%.

    Raises:
        UsageError: it is not from 0 to 1.
    """
    value = registry.number(text.strip().removesuffix("%"), option)
    accuracy = value / 100 if text.strip().endswith("%") else value
    if not 0 <= accuracy <= 1:
        raise UsageError(f"{option} is not an accuracy from 0 to 1: '{text}'", "write 40% as 0.40")
    return accuracy


def read_severities(text: str) -> tuple[int, ...]:
    """Read ``--severity``: ``3``, ``1,3,5`` or ``1-5``.

    Raises:
        UsageError: it is not from 1 to 5.
    """
    found: set[int] = set()
    for part in read_list(text):
        match = re.fullmatch(r"([1-5])(?:\s*-\s*([1-5]))?", part)
        if match is None or int(match[2] or match[1]) < int(match[1]):
            raise UsageError(f"--severity is not from 1 to 5: '{text}'", "write 3, 1,3,5 or 1-5")
        found.update(range(int(match[1]), int(match[2] or match[1]) + 1))
    if not found:
        raise UsageError("--severity is empty", "write 3, 1,3,5 or 1-5")
    return tuple(sorted(found))


def read_duration(text: str) -> float:
    """Read ``--budget``: ``90``, ``90s``, ``10m`` or ``1h30m``; -> seconds.

    Raises:
        UsageError: it is no time.
    """
    parts = re.findall(r"(\d+(?:\.\d+)?)([smh]?)", text.strip().lower())
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lower():
        raise UsageError(f"--budget is not a time: '{text}'", "write 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if not 0 < seconds < math.inf:
        raise UsageError(f"--budget leaves no time: '{text}'", "write 90s, 10m or 1h30m")
    return seconds
