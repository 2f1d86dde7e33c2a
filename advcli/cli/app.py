"""The application, and its option that belongs to no command."""

from typing import Annotated

import typer
from typer.core import TyperGroup

from advcli import __version__


class _Commands(TyperGroup):
    def get_params(self, ctx):
        """Return the options; those that take no value, as those of completion, have no placeholder for one."""
        found = super().get_params(ctx)
        for parameter in found:
            if getattr(parameter, "is_flag", False):
                parameter.metavar = ""
        return found


app = typer.Typer(
    name="advcli",
    cls=_Commands,
    help="Train, attack, benchmark and explain image classifiers.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"advcli {__version__}")
        raise typer.Exit


@app.callback(epilog="Start with: advcli train  |  advcli attack IMAGE --eps 0.03  |  advcli COMMAND --help")
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    pass
