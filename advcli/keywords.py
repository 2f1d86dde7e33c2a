"""Requests from keyword arguments of Python: texts are read as on the command line, other values by their types."""

import math
import types
from collections.abc import Mapping
from dataclasses import fields
from enum import Enum
from numbers import Integral, Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from advcli.errors import UsageError, nearest
from advcli.options import Option, options_of

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Request = TypeVar("_Request", bound="DataclassInstance")

_WANTED = {bool: "True or False", int: "a whole number", float: "a number", str: "a text", Path: "a path"}


def separated(
    kind: "type[DataclassInstance]", options: Mapping[str, object]
) -> tuple[dict[str, object], dict[str, object]]:
    """Separate the options of a dataclass from the others."""
    own = set(options_of(kind))
    return (
        {name: value for name, value in options.items() if name in own},
        {name: value for name, value in options.items() if name not in own},
    )


def request_from(kind: type[_Request], options: Mapping[str, object]) -> _Request:
    """Build a request from options; lists become tuples.

    Raises:
        UsageError: there is no such option, or a value is of another type.
    """
    known = {each.name: each.default for each in fields(kind)}
    declared = options_of(kind)
    hints = get_type_hints(kind)
    values = {}
    for name, value in options.items():
        if name not in known:
            raise UsageError(f"there is no option '{name}'", nearest(name, known))
        if value is None and known[name] is not None:
            # Not given.
            continue
        values[name] = _read(name, value, declared.get(name), hints[name])
    return kind(**values)


def _read(name: str, value: object, option: Option | None, hint: object) -> object:
    kinds = _alternatives(hint)
    parse = None if option is None else option.parse
    several = option is not None and option.several
    value = [_number(each) for each in value] if isinstance(value, list | tuple) else _number(value)
    if isinstance(value, int) and not isinstance(value, bool) and str in kinds:
        # A class or a device may be named by its number.
        value = str(value)
    if isinstance(value, Path) and str in kinds:
        value = str(value)
    if parse is not None and not several and isinstance(value, str):
        return _checked(name, parse(value), kinds)
    if value is not None and tuple[str, ...] in kinds:
        items = value if isinstance(value, list | tuple) else [value]
        value = [str(item) if isinstance(item, int | float | Path) else item for item in items]
    if parse is not None and several:
        value = parse([_single(each, kinds) for each in (value if isinstance(value, list | tuple) else [value])])
    elif isinstance(value, str):
        value = _read_text(name, value, kinds)
    return _checked(name, tuple(value) if isinstance(value, list) else value, kinds)


def _number(value: object) -> object:
    """Make a number one of Python's own: those of NumPy cannot be written as JSON."""
    if isinstance(value, bool) or not isinstance(value, Real):
        return value
    return int(value) if isinstance(value, Integral) else float(value)


def _read_text(name: str, text: str, kinds: tuple[object, ...]) -> object:
    if str in kinds:
        return text
    if Path in kinds:
        return Path(text)
    member = _single(text, kinds)
    if member is not text:
        return member
    if any(get_origin(kind) is tuple for kind in kinds):
        return (text,)
    for kind in (int, float):
        if kind in kinds:
            try:
                return kind(text)
            except ValueError:
                raise UsageError(f"{name} is not {_WANTED[kind]}: '{text}'") from None
    return text


def _single(value: object, kinds: tuple[object, ...]) -> object:
    """Read a text as a member of the enumeration among the types of an option, if there is one."""
    kind = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Enum)), None)
    if kind is None or not isinstance(value, str) or isinstance(value, kind):
        return value
    by_value = {str(each.value): each for each in kind}
    if value not in by_value:
        raise UsageError(f"'{value}' is none of {', '.join(by_value)}", nearest(value, by_value))
    return by_value[value]


def _checked(name: str, value: object, kinds: tuple[object, ...]) -> object:
    """Refuse a value that is of none of the types of its option; one value stands for a list of one."""
    for each in (value, (value,)):
        if any(_is_of(each, kind) for kind in kinds):
            return each
    words = [_WANTED[kind] for kind in kinds if isinstance(kind, type) and kind in _WANTED]
    names = [str(each) for kind in kinds if get_origin(kind) is Literal for each in get_args(kind)]
    wanted = " or ".join([*words, *([f"one of {', '.join(names)}"] if names else [])])
    shown = repr(value) if isinstance(value, str | int | float) else f"of type {type(value).__name__}"
    hint = "save it to a file, and give the path" if Path in kinds or str in kinds else ""
    raise UsageError(f"{name} is {shown}" + (f", not {wanted}" if wanted else ""), hint)


def _is_of(value: object, kind: object) -> bool:
    if kind is types.NoneType:
        return value is None
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) is tuple:
        parts = get_args(kind)
        if not isinstance(value, tuple):
            return False
        each = parts[:1] * len(value) if parts[-1] is Ellipsis else parts
        return len(each) == len(value) and all(map(_is_one_of, value, each))
    if kind is bool or isinstance(value, bool):
        return kind is bool and isinstance(value, bool)
    if kind is int:
        return isinstance(value, Integral)
    if kind is float:
        return isinstance(value, Real) and not math.isnan(value)
    return isinstance(value, kind) if isinstance(kind, type) else True


def _is_one_of(value: object, hint: object) -> bool:
    return any(_is_of(value, kind) for kind in _alternatives(hint))


def _alternatives(hint: object) -> tuple[object, ...]:
    """Return the types that a type is a union of."""
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)
