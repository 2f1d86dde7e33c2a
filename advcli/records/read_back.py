"""Read a dataclass back from the content of a file: each field is checked by the type that the class gives it."""

import dataclasses
import math
import types
from collections.abc import Mapping
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from advcli.errors import AdvcliError
from advcli.records.base import Json

# Larger integers fit in no array, and no number of images, pixels or classes needs them.
_LARGEST = 2**63

_Kind = TypeVar("_Kind")


def read_back(
    kind: type[_Kind], content: Json, source: str, *, finite: bool = True, only_known: bool = False, within: str = ""
) -> _Kind:
    """Make a dataclass from parsed JSON; what it has beside the fields is ignored.

    Args:
        kind: the dataclass.
        content: of the file.
        source: the file in messages, and where in it, such as ``line 3 of 'a.jsonl'``.
        finite: refuse NaN, infinity, and null in their place.
        only_known: refuse what is no field, apart from ``type`` and ``checksum``.
        within: the field of the file that ``content`` is.

    Raises:
        AdvcliError: a field is missing or of another type.
    """
    try:
        return _dataclass(kind, content, within, finite, only_known)
    except _Wrong as error:
        raise AdvcliError(f"{source} is damaged: {error}") from error


class _Wrong(ValueError):
    """A field is missing or of another type."""


@cache
def _types_of(kind: type) -> dict[str, Json]:
    return get_type_hints(kind)


def _dataclass(kind: Json, content: Json, place: str, finite: bool, only_known: bool = False) -> Json:
    if not isinstance(content, dict):
        raise _wrong(place, content, "an object")
    values, inside = {}, f"{place}." if place else ""
    fields = {each.name: each for each in dataclasses.fields(kind) if each.init}
    if only_known and (unknown := sorted(set(content) - set(fields) - {"type", "checksum"})):
        raise _Wrong(f"field '{inside}{unknown[0][:60]}' is unknown")
    for name, each in fields.items():
        if name in content:
            values[name] = _value(_types_of(kind)[name], content[name], inside + name, finite)
        elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
            raise _Wrong(f"field '{inside}{name}' is missing")
    return kind(**values)


def _value(kind: Json, value: Json, place: str, finite: bool) -> Json:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Json:
        return value
    if origin in (Union, types.UnionType):
        return _one_of(arguments, value, place, finite)
    if origin is Literal:
        if not isinstance(value, str) or value not in arguments:
            raise _wrong(place, value, f"one of {', '.join(map(str, arguments))}")
        return value
    if origin is tuple:
        return _tuple(arguments, value, place, finite)
    if origin is dict or origin is Mapping:
        if not isinstance(value, dict):
            raise _wrong(place, value, "an object")
        return {key: _value(arguments[1], item, f"{place}.{key[:60]}", finite) for key, item in value.items()}
    if dataclasses.is_dataclass(kind):
        return _dataclass(kind, value, place, finite)
    return _single(kind, value, place, finite)


def _one_of(kinds: tuple[Json, ...], value: Json, place: str, finite: bool) -> Json:
    if value is None and types.NoneType in kinds:
        return None
    given = [kind for kind in kinds if kind is not types.NoneType]
    for kind in given[:-1]:
        try:
            return _value(kind, value, place, finite)
        except _Wrong:
            continue
    return _value(given[-1], value, place, finite)


def _tuple(kinds: tuple[Json, ...], value: Json, place: str, finite: bool) -> tuple[Json, ...]:
    if not isinstance(value, (list, tuple)):
        raise _wrong(place, value, "a list")
    if kinds[-1] is Ellipsis:
        kinds = (kinds[0],) * len(value)
    if len(kinds) != len(value):
        raise _Wrong(f"field '{place}' has {len(value)} values, not {len(kinds)}")
    return tuple(
        _value(kind, item, f"{place}[{i}]", finite) for i, (kind, item) in enumerate(zip(kinds, value, strict=True))
    )


def _single(kind: Json, value: Json, place: str, finite: bool) -> Json:
    if kind is bool:
        if not isinstance(value, bool):
            raise _wrong(place, value, "true or false")
        return value
    if kind is int or kind is float:
        return _number(kind, value, place, finite)
    if not isinstance(value, str):
        raise _wrong(place, value, "a text")
    if "\0" in value:
        raise _Wrong(f"field '{place}' holds a null character")
    if kind is str:
        return value
    if kind is Path:
        return Path(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        try:
            return kind(value)
        except ValueError:
            raise _wrong(place, value, f"one of {', '.join(str(each.value) for each in kind)}") from None
    raise TypeError(f"fields of type {kind} cannot be read back")


def _number(kind: type, value: Json, place: str, finite: bool) -> Json:
    if value is None and kind is float and not finite:
        return math.nan  # as records write it
    if isinstance(value, bool) or not isinstance(value, int if kind is int else (int, float)):
        raise _wrong(place, value, "a whole number" if kind is int else "a number")
    if isinstance(value, int) and not -_LARGEST <= value < _LARGEST:
        raise _Wrong(f"field '{place}' is too large a number")
    if finite and not math.isfinite(value):
        raise _Wrong(f"field '{place}' is not a finite number")
    return kind(value)


def _wrong(place: str, value: Json, wanted: str) -> _Wrong:
    if value is None or isinstance(value, bool):
        found = {None: "null", True: "true", False: "false"}[value]
    elif isinstance(value, (int, float)):
        # A number of thousands of digits has no text.
        found = f"{value:g}" if isinstance(value, float) or abs(value) < _LARGEST else "too large a number"
    else:
        found = f"'{value[:60]}'" if isinstance(value, str) else "a list" if isinstance(value, list) else "an object"
    return _Wrong(f"field '{place}' is {found}, not {wanted}" if place else f"it is {found}, not {wanted}")
