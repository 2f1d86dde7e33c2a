"""Options of ``advcli benchmark`` that stand for several values: radii, severities, a time."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from advcli import registry
from advcli.cli.resolve import common_threat, read_list
from advcli.errors import UsageError
from advcli.threat import Norm, Threat

_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}


def read_threats(
    recipes: Sequence[Mapping[str, Any]], norms: Sequence[Norm] | None, radii: Sequence[str] | None
) -> tuple[Threat, ...]:
    """Read ``--norm`` and ``--eps``: every radius in every norm, or ``l2=0.5,1`` in one of them only.

    Args:
        recipes: how the models were made, for what is not said.
        norms: what was asked for.
        radii: lists such as ``0,2/255``.

    Raises:
        UsageError: a radius is none, or belongs to a norm that is not asked for.
    """
    general: list[float] = []
    own: dict[Norm, list[float]] = {}
    for text in radii or ():
        name, separator, values = text.rpartition("=")
        if separator and name not in list(Norm):
            raise UsageError(f"--eps is for no norm called '{name}'", f"write one of {', '.join(Norm)}: l2=0.5")
        found = [registry.number(value, "--eps") for value in read_list(values)]
        if not found:
            raise UsageError(f"--eps holds no radius: '{text}'", "write 8/255 or 0,2/255,4/255")
        (own.setdefault(Norm(name), []) if separator else general).extend(found)
    wanted = list(dict.fromkeys([*(norms or ()), *own]))
    if norms and (extra := [norm for norm in own if norm not in norms]):
        raise UsageError(f"--eps has radii in {extra[0]}, which --norm leaves out", f"add --norm {extra[0]}")
    threats: list[Threat] = []
    for norm in wanted or [None]:
        values = own.get(norm, general) if norm is not None else general
        threats += [common_threat(recipes, norm, eps) for eps in (values or [None])]
    return tuple(dict.fromkeys(threats))


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
        raise UsageError(f"--budget is no time: '{text}'", "write 90s, 10m or 1h30m")
    seconds = sum(float(number) * _UNITS[unit or "s"] for number, unit in parts)
    if seconds <= 0:
        raise UsageError(f"--budget leaves no time: '{text}'", "write 90s, 10m or 1h30m")
    return seconds
