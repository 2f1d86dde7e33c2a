"""A dataclass field that is an option of a command, too: its default, bounds, flags and panel are written once."""

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, get_args, get_origin, get_type_hints

from advcli.errors import UsageError, nearest

# The parts of a command's help, in their order.
PANELS = WHAT, THREAT, LEARNING, SUMMARY, OUTPUT, RUN = "What", "Threat", "Learning", "Summary", "Output", "Run"


@dataclass(frozen=True)
class Option:
    """What the command line knows of a field beside its name, type, default and help.

    Args:
        flags: how it is written, the long form first; the field's name if there are none.
        panel: the part of the help it stands in.
        metavar: what stands for its value in the help.
        shown: what the help calls the default.
        min: the least value.
        max: the greatest value.
        family: the components that a shell completes it to.
        parse: makes the value of what was typed.
        several: it may be given several times, and ``parse`` is given all of them.
        alias: an older flag, which is not in the help.
        argument: it is written without a flag.
        eager: it is read before all others.
        callback: called by the command line once it is read.
        env: the environment variable that it is read from.
        of_results: it says how results are summed up, and may be said anew of those that a file holds.
    """

    flags: tuple[str, ...] = ()
    panel: str = RUN
    metavar: str | None = None
    shown: str | bool | None = None
    min: float | None = None
    max: float | None = None
    family: str | None = None
    parse: Callable[[Any], Any] | None = None
    several: bool = False
    alias: str | None = None
    argument: bool = False
    eager: bool = False
    callback: Callable[..., Any] | None = None
    env: str | None = None
    of_results: bool = False


def option(default: Any, *flags: str, **known: Any) -> Any:
    """Declare a field that is an option: its default, its flags, and what else ``Option`` says."""
    return field(default=default, metadata={"option": Option(flags, **known)})


def options_of(request: Any) -> dict[str, Option]:
    """List the options of a dataclass or of one of its values: field -> option."""
    return {each.name: each.metadata["option"] for each in fields(request) if "option" in each.metadata}


def name_of(field_name: str, given: Option) -> str:
    """Return what a person calls an option: ``--per-class``."""
    return given.flags[0].partition("/")[0] if given.flags else f"--{field_name.replace('_', '-')}"


def helps_of(request: type) -> dict[str, str]:
    """Read what the ``Args:`` sections of a dataclass and of those it is made of say: field -> sentence."""
    found: dict[str, str] = {}
    for part in reversed(request.__mro__):
        text = inspect.cleandoc(part.__dict__.get("__doc__") or "")
        for name, first, more in re.findall(r"^    (\w+): (.+)((?:\n {8}.+)*)$", text, re.MULTILINE):
            found[name] = " ".join([first, *more.split()])
    return found


def changed_options(*parts: Any) -> set[str]:
    """Name the fields that have another value than their default."""
    return {
        each.name
        for part in parts
        for each in fields(part)
        if each.default is not MISSING and getattr(part, each.name) != each.default
    }


def choices_of(kind: Any) -> tuple[str, ...]:
    """List the values of a ``Literal`` or a ``StrEnum``, also of one that may be None or comes several times."""
    for each in (kind, *get_args(kind)):
        if get_origin(each) is Literal:
            return get_args(each)
        if isinstance(each, type) and issubclass(each, StrEnum):
            return tuple(each)
    return ()


def read_choice(text: str, choices: tuple[str, ...], name: str) -> str:
    """Return the one of some values that a text is.

    Raises:
        UsageError: it is none.
    """
    if text not in choices:
        raise UsageError(f"{name} has no '{text}'", nearest(text, choices))
    return choices[choices.index(text)]


def refuse_out_of_bounds(request: Any) -> None:
    """Refuse values that are not between an option's bounds, or not one of its choices.

    Raises:
        UsageError: there is one.
    """
    hints = get_type_hints(type(request))
    for field_name, given in options_of(request).items():
        value: Any = getattr(request, field_name)
        name = name_of(field_name, given)
        if value is None:
            continue
        if choices := choices_of(hints[field_name]):
            several = value if isinstance(value, tuple) else (value,)
            for each in several:
                read_choice(each, choices, name)
            continue
        if given.min is not None and not float(value) >= given.min:
            raise UsageError(f"{name} is less than {given.min:g}: {value}")
        if given.max is not None and not float(value) <= given.max:
            raise UsageError(f"{name} is more than {given.max:g}: {value}")
