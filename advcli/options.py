"""A dataclass field that is an option of a command, too: its default, bounds, flags and panel are written once."""

import inspect
import re
from collections.abc import Callable
from dataclasses import MISSING, dataclass, field, fields
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Literal, get_args, get_origin, get_type_hints

from advcli.errors import UsageError, nearest

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# The panels of a command's help, in their order.
PANELS = WHAT, THREAT, LEARNING, SUMMARY, OUTPUT, RUN = "What", "Threat", "Learning", "Summary", "Output", "Run"

# The default of a field in its class body: assignable to every type that a field can have.
FieldDefault = Any

# What the shell completes beside the names of components.
Completed = Literal["models", "runs", "classes"]


@dataclass(frozen=True)
class Option:
    """The command-line properties of a field, apart from its name, type, default and help.

    Args:
        flags: the flags, the long form first; empty means the field's name.
        panel: the panel of the help.
        metavar: the placeholder for the value in the help.
        shown: the default in the help.
        min: the minimum.
        max: the maximum.
        family: the family of components for shell completion.
        completes: what else the shell completes: models, run folders or classes of the model.
        parse: converts the text of the option to its value.
        several: the option can be repeated; ``parse`` gets all texts.
        alias: an older flag, hidden in the help.
        argument: a positional argument, without a flag.
        eager: processed before all other options.
        callback: called by the command line after the option is read.
        env: the environment variable for the value.
        of_results: the option affects only the summary of results, and can be changed for stored results.
    """

    flags: tuple[str, ...] = ()
    panel: str = RUN
    metavar: str | None = None
    shown: str | bool | None = None
    min: float | None = None
    max: float | None = None
    family: str | None = None
    completes: Completed | None = None
    parse: Callable[..., object] | None = None
    several: bool = False
    alias: str | None = None
    argument: bool = False
    eager: bool = False
    callback: Callable[..., object] | None = None
    env: str | None = None
    of_results: bool = False


def option(default: object, *flags: str, **known: Any) -> FieldDefault:
    """Declare a field that is an option: its default, its flags, and what else ``Option`` says."""
    return field(default=default, metadata={"option": Option(flags, **known)})


def options_of(request: "DataclassInstance | type[DataclassInstance]") -> dict[str, Option]:
    """List the options of a dataclass or of one of its values: field -> option."""
    return {each.name: each.metadata["option"] for each in fields(request) if "option" in each.metadata}


def name_of(field_name: str, given: Option) -> str:
    """Return the long flag of an option: ``--per-class``."""
    return given.flags[0].partition("/")[0] if given.flags else f"--{field_name.replace('_', '-')}"


def helps_of(request: type) -> dict[str, str]:
    """Read the ``Args:`` sections of a dataclass and of its nested dataclasses: field -> sentence."""
    found: dict[str, str] = {}
    for part in reversed(request.__mro__):
        text = inspect.cleandoc(part.__dict__.get("__doc__") or "")
        for name, first, more in re.findall(r"^    (\w+): (.+)((?:\n {8}.+)*)$", text, re.MULTILINE):
            found[name] = " ".join([first, *more.split()])
    return found


def changed_options(*parts: "DataclassInstance") -> set[str]:
    """Return the names of the fields whose value differs from the default."""
    return {
        each.name
        for part in parts
        for each in fields(part)
        if each.default is not MISSING and getattr(part, each.name) != each.default
    }


def choices_of(kind: object) -> tuple[str, ...]:
    """List the values of a ``Literal`` or a ``StrEnum``, also of one that may be None or comes several times."""
    for each in (kind, *get_args(kind)):
        if get_origin(each) is Literal:
            return get_args(each)
        if isinstance(each, type) and issubclass(each, StrEnum):
            return tuple(each)
    return ()


def read_choice(text: str, choices: tuple[str, ...], name: str) -> str:
    """Return the choice that a text names.

    Raises:
        UsageError: the text is not one of the choices.
    """
    if text not in choices:
        raise UsageError(f"{name} has no '{text}'", nearest(text, choices))
    return choices[choices.index(text)]


def refuse_out_of_bounds(request: "DataclassInstance") -> None:
    """Refuse values outside an option's bounds, or not among its choices.

    Raises:
        UsageError: a value is out of bounds, or not one of the choices.
    """
    hints = get_type_hints(type(request))
    for field_name, given in options_of(request).items():
        value: Any = getattr(request, field_name)
        name = name_of(field_name, given)
        if value is None:
            continue
        if isinstance(value, int) and abs(value) >= 2**63:
            raise UsageError(f"{name} is too large a number")
        if choices := choices_of(hints[field_name]):
            several = value if isinstance(value, tuple) else (value,)
            for each in several:
                read_choice(str(each), choices, name)
            continue
        if given.min is not None and not float(value) >= given.min:
            raise UsageError(f"{name} is less than {given.min:g}: {value}")
        if given.max is not None and not float(value) <= given.max:
            raise UsageError(f"{name} is more than {given.max:g}: {value}")
