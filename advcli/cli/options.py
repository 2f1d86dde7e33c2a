"""Make commands of functions that take requests: every field of a request is an option."""

import inspect
import os
from collections.abc import Callable
from dataclasses import MISSING, dataclass, is_dataclass
from functools import partial
from keyword import iskeyword
from operator import itemgetter
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer
from typer.core import TyperCommand

from advcli.cli.app import app
from advcli.cli.completion import COMPLETIONS, complete_spec
from advcli.cli.component_lists import help_options, names_of
from advcli.files.image_file import MAX_PIXELS, allow_pixels
from advcli.options import OUTPUT, PANELS, RUN, Option, choices_of, helps_of, name_of, option, options_of, read_choice
from advcli.records.base import Fields

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


# In narrow help a longer placeholder would be broken.
_SHORT = 14
_CHOICE = "CHOICE"


def _offline(asked: bool) -> None:
    if asked:
        os.environ["ADVCLI_OFFLINE"] = "1"


@dataclass(frozen=True, kw_only=True)
class Display:
    """The options of every command.

    Args:
        json: write only JSON Lines to standard output.
        quiet: show no progress and no notes.
        offline: never use the network.
        max_pixels: refuse images of more pixels than this, before they are decoded.
    """

    json: bool = option(False, panel=OUTPUT)
    quiet: bool = option(False, "--quiet", "-q", panel=OUTPUT)
    offline: bool = option(False, env="ADVCLI_OFFLINE", callback=_offline)
    max_pixels: int = option(MAX_PIXELS, panel=RUN, metavar="N", min=1, env="ADVCLI_MAX_PIXELS", callback=allow_pixels)


def command(*families: str, examples: str = "") -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Register a command; its parameters are requests, and optionally the context.

    Args:
        families: the components that its help lists.
        examples: lines at the end of its help.
    """

    def register(run: Callable[..., int]) -> Callable[..., int]:
        hints = get_type_hints(run)
        requests: dict[str, Any] = {name: kind for name, kind in hints.items() if is_dataclass(kind)}
        aliases: dict[str, str] = {}
        parameters = []
        for kind in requests.values():
            types, helps = get_type_hints(kind), helps_of(kind)
            for name, given in options_of(kind).items():
                default = kind.__dataclass_fields__[name].default
                parameters.append(
                    (PANELS.index(given.panel), _parameter(default, types[name], helps[name], name, given))
                )
                if given.alias:
                    aliases[given.alias.strip("-")] = name_of(name, given).strip("-")
        parameters = [parameter for _, parameter in sorted(parameters, key=itemgetter(0))]
        parameters += help_options(families)

        def called(context: typer.Context, **values: Any) -> int:
            filled = {name: _fill(kind, values) for name, kind in requests.items()}
            return run(context=context, **filled) if "context" in hints else run(**filled)

        context = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)
        called.__signature__ = inspect.Signature([context, *parameters])
        called.__annotations__ = {each.name: each.annotation for each in (context, *parameters)}
        called.__name__, called.__doc__ = run.__name__, run.__doc__
        settings = {"token_normalize_func": lambda token: aliases.get(token, token)}
        app.command(cls=_listing_command(families, examples), context_settings=settings)(called)
        return run

    return register


def _parameter(default: object, kind: Any, text: str, field_name: str, given: Option) -> inspect.Parameter:
    name, choices, required = name_of(field_name, given), choices_of(kind), default is MISSING
    several = given.several or (get_origin(kind) is tuple and given.parse is None)
    if several:
        kind = list[str if choices or given.several else get_args(kind)[0]]
    elif given.parse is not None or choices:
        kind = str
    if not required and (several or given.parse is not None or default is None):
        kind, default = kind | None, None
    text = (text[:1].upper() + text[1:]).replace("[", "\\[") + _bounds(given)
    known: dict[str, Any] = {"metavar": _metavar(kind, given), "help": text}
    if given.family:
        known["autocompletion"] = complete_spec(given.family)
    if given.completes:
        known["autocompletion"] = COMPLETIONS[given.completes]
    if given.argument:
        declared = typer.Argument(**known, show_default=False)
    else:
        known["show_default"] = not several if given.shown is None else given.shown
        known |= {"min": given.min, "max": given.max, "callback": given.callback, "is_eager": given.eager}
        if choices:
            known |= {"metavar": _CHOICE, "parser": partial(read_choice, choices=choices, name=name)}
            known["help"] += f" One of {', '.join(choices)}."
            if len("|".join(choices)) <= _SHORT:
                known |= {"metavar": "|".join(choices), "help": text}
        declared = typer.Option(*(given.flags or (name,)), rich_help_panel=given.panel, envvar=given.env, **known)
    return inspect.Parameter(
        _parameter_name(field_name, given),
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[kind, declared],
        default=inspect.Parameter.empty if required else default,
    )


def _parameter_name(field_name: str, given: Option) -> str:
    name = field_name if given.argument else name_of(field_name, given).strip("-").replace("-", "_")
    return f"{name}_" if iskeyword(name) else name


def _fill(kind: "type[DataclassInstance]", values: Fields) -> Any:
    """Build a request from the given options; the others have the request's default."""
    found = {}
    for field_name, given in options_of(kind).items():
        value = values[_parameter_name(field_name, given)]
        if value is None:
            continue
        if given.several and given.env and os.environ.get(given.env, "").split() == value:
            # A variable holds one value, and was split at its spaces.
            value = [os.environ[given.env]]
        if given.parse is not None:
            value = given.parse(value)
        found[field_name] = tuple(value) if isinstance(value, list) else value
    return kind(**found)


def _metavar(kind: object, given: Option) -> str:
    """Return the placeholder of an option's value; a flag has none."""
    parts = {kind, *get_args(kind)}
    return given.metavar or ("" if bool in parts else "N" if int in parts else "NUMBER" if float in parts else "TEXT")


def _bounds(given: Option) -> str:
    """Write the bounds of a number, where they are not obvious."""
    if given.min is None:
        return ""
    if given.max is None:
        return "" if given.min in (0, 1) else f" At least {given.min:g}."
    return f" From {given.min:g} to {given.max:.10g}."


def _listing_command(families: tuple[str, ...], examples: str) -> type[TyperCommand]:
    class Command(TyperCommand):
        """A command that reads the components' sources only when its help is shown."""

        def format_help(self, ctx: Any, formatter: Any) -> None:
            for parameter in self.get_params(ctx):
                # The type in Python, and bounds in brackets, tell a person nothing that the text does not.
                vars(parameter).update(display_type=lambda ctx: "", _get_number_range_help_str=lambda: None)
            lines = [f"  advcli {line}".replace("[", "\\[") for line in examples.strip().splitlines()]
            self.epilog = "\n\n".join(["[bold]Examples[/bold]", *lines, names_of(families, str(self.name))])
            super().format_help(ctx, formatter)

    return Command
