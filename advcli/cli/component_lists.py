"""Components in a command's help: their names at its end, all about them by ``--help-attacks`` and the like."""

import inspect
import re
import sys
from collections.abc import Callable
from typing import Annotated

import typer

from advcli import registry


def help_options(families: tuple[str, ...]) -> list[inspect.Parameter]:
    """Make an option for each family that lists its components and ends the command."""
    found = []
    for family in families:
        text = f"List the {family} with their options, and exit."
        declared = typer.Option(
            f"--help-{family}", help=text, hidden=True, metavar="", is_eager=True, callback=_listing(family)
        )
        name = f"help_{family}"
        kind = inspect.Parameter.KEYWORD_ONLY
        found.append(inspect.Parameter(name, kind, annotation=Annotated[bool, declared], default=False))
    return found


def _listing(family: str) -> Callable[[bool], None]:
    def show(asked: bool) -> None:
        if asked:
            from advcli.cli.output import console

            console(sys.stdout).print(describe_components(family))
            raise typer.Exit

    return show


def names_of(families: tuple[str, ...], command: str) -> str:
    """Return the names of all components, family by family, and how to learn more."""
    paragraphs = []
    for family in families:
        listed = ", ".join(typed_name(family, name) for name in registry.names(family))
        paragraphs.append(
            f"[bold]{family.capitalize()}[/bold]: {listed}  [dim](advcli {command} --help-{family})[/dim]"
        )
    return "\n\n".join(paragraphs)


def describe_components(family: str) -> str:
    """Describe a family's components: name with options, kind and norms or group, what it is. Nothing is imported."""
    lines = [f"[bold]{family.capitalize()}[/bold]"]
    for name in registry.names(family):
        options = ",".join(f"{key}={value}" for key, value in registry.options(family, name).items())
        typed = typed_name(family, name)
        unbounded = registry.class_value(family, name, "bounded") is False
        kind, norms, group = (_fact(family, name, key) for key in ("kind", "norms", "group"))
        facts = [text for text in (kind, "no norm" if unbounded else norms, group) if text]
        lengths = registry.lengths(family, name)
        facts += [f"{', '.join(lengths)}: pixel values in [0, 1]"] if lengths else []
        behind = f" ({'; '.join(facts)})" if facts else ""
        shown = f"{typed}:{options}" if options else typed
        lines.append(f"  [cyan]{_escaped(shown)}[/cyan]  {_escaped(registry.summary(family, name) + behind)}")
    return "\n".join(lines)


def _fact(family: str, name: str, key: str) -> str:
    value = registry.class_value(family, name, key)
    return ", ".join(value) if isinstance(value, tuple) else value if isinstance(value, str) else ""


def typed_name(family: str, name: str) -> str:
    """Return a component's name as the command line shows it."""
    # As the published sets, and records, write them.
    return name.replace("-", "_") if family == "corruptions" else name


def _escaped(text: str) -> str:
    return re.sub(r"\[", r"\\[", text)
