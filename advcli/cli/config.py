"""``--config``: options of a command from a file, below those of the command line."""

import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import typer

from advcli.errors import AdvcliError, UsageError, nearest
from advcli.files.bounded import parse_json, read_text
from advcli.records.base import Json
from advcli.records.read_back import read_back

_WHOLE = "advcli.whole"

# Options that a file may not set: its own path, and options of a single call.
_NOT_IN_A_FILE = ("config", "resume", "plan", "overwrite", "verify", "json", "quiet", "help")

# Fields of a recipe that follow from its options, and the name whose values it holds already.
_RESULTS = ("model_sha256", "data_identity", "recipe", "threats")


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Make a file's values the defaults of the command; a callback of the option, called before all others.

    Args:
        context: of the command.
        path: a TOML file whose keys are option names, or the ``run.json`` of a run.

    Raises:
        UsageError: the file cannot be read, or has a key that is no option.
    """
    if path is None:
        return None
    known = {
        parameter.name: parameter
        for parameter in context.command.params
        if parameter.name and parameter.name not in _NOT_IN_A_FILE
    }
    found: dict[str, object] = {}
    for key, value in _content(path).items():
        name = _normal(context, key)
        if isinstance(value, dict):
            raise UsageError(f"'{key}' in '{path}' is a table, not a value", "write the options at the top of the file")
        if name not in known:
            options = [option.replace("_", "-") for option in sorted(known)]
            raise UsageError(f"'{path}' has '{key}', which is not an option", nearest(name.replace("_", "-"), options))
        try:
            found[name] = _as_typed(
                value, getattr(known[name], "multiple", False), getattr(known[name], "is_flag", False)
            )
        except ValueError as error:
            raise UsageError(f"'{key}' in '{path}' {error}") from error
    context.default_map = {**(context.default_map or {}), **found}
    # A run.json holds every option, also those that the user did not give.
    context.meta[_WHOLE] = path.suffix == ".json"
    return path


def refuse_options(context: typer.Context, allowed: Collection[str], reason: str) -> None:
    """Refuse options that would be ignored.

    Raises:
        UsageError: one that is not allowed was given.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in allowed and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.replace('_', '-')} has no effect here: {reason}", "leave it out")


def given(context: typer.Context) -> set[str]:
    """Return the options that the user gave, on the command line or in a configuration file."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    asked = ("COMMANDLINE", "ENVIRONMENT", "PROMPT", *(() if context.meta.get(_WHOLE) else ("DEFAULT_MAP",)))
    return {name for name, source in sources.items() if source is not None and source.name in asked}


def _normal(context: typer.Context, key: str) -> str:
    """Return the name of the parameter that a key in a file sets."""
    flag = key.replace("_", "-")
    return (context.token_normalize_func or str)(flag).replace("-", "_")


def _content(path: Path) -> dict[str, object]:
    try:
        text = read_text(path)
    except AdvcliError as error:
        raise UsageError(error.message, error.hint or "--config names a .toml file or a run.json") from error
    try:
        if path.suffix != ".json":
            return tomllib.loads(text)
        recipe = dict(read_back(_WithRecipe, parse_json(text), f"'{path}'").recipe)
        threats = read_back(_WithThreats, recipe, f"'{path}'", within="recipe").threats
    except AdvcliError as error:
        raise UsageError(error.message, "--config names a .toml file or a run.json") from error
    except (ValueError, TypeError, RecursionError) as error:
        raise UsageError(f"'{path}' cannot be read: {error}", "--config names a .toml file or a run.json") from error
    if threats:
        recipe["norm"] = [norm for norm, _ in threats]
        recipe["eps"] = [f"{norm}={eps!r}" for norm, eps in threats]
    empty = {"augment": "none"}
    found = {key: value if value != [] else empty.get(key) for key, value in recipe.items() if key not in _RESULTS}
    return {key: value for key, value in found.items() if value is not None}


@dataclass(frozen=True)
class _WithRecipe:
    """What is read of a ``run.json``."""

    recipe: dict[str, Json]


@dataclass(frozen=True)
class _WithThreats:
    """The balls of a recipe, if there are several: ``norm`` and ``eps`` are the first of them."""

    threats: tuple[tuple[str, float], ...] = ()


def _as_typed(value: object, several: bool, flag: bool) -> object:
    """Return a value as it would be typed on the command line.

    Raises:
        ValueError: it cannot be typed.
    """
    if isinstance(value, list):
        items = [_text(item) for item in value]
        return items if several else ",".join(items)
    if isinstance(value, bool) and flag:
        return value
    return [_text(value)] if several else _text(value)


def _text(value: object) -> str:
    if isinstance(value, (list, dict)):
        raise ValueError("holds a list or a table, not values")
    if isinstance(value, int) and abs(value) >= 2**63:
        raise ValueError("is too large a number")
    text = str(value)
    if "\0" in text:
        raise ValueError("holds a null character")
    return text
