"""The application, and the options that commands share."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import typer

from advcli import __version__, registry
from advcli.threat import Norm

app = typer.Typer(
    name="advcli",
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


def listing(*families: str) -> str:
    """List components with their options and summaries, for a command's help; nothing is imported."""
    paragraphs = []
    for family in families:
        paragraphs.append(f"[bold]{family.capitalize()}[/bold]")
        for name in registry.names(family):
            options = ",".join(f"{key}={value}" for key, value in registry.options(family, name).items())
            shown = f"{name}:{options}" if options else name
            lengths = registry.lengths(family, name)
            unit = f" ({', '.join(lengths)}: pixel values in \\[0, 1])" if lengths else ""
            paragraphs.append(f"  [cyan]{shown}[/cyan]  {registry.summary(family, name)}{unit}")
    return "\n\n".join(paragraphs)


def components(family: str) -> Callable[[str], list[tuple[str, str]]]:
    """Complete a component's name on the shell's command line."""

    def complete(incomplete: str) -> list[tuple[str, str]]:
        found = [name for name in registry.names(family) if name.startswith(incomplete)]
        return [(name, registry.summary(family, name)) for name in found]

    return complete


def radius(text: str) -> float:
    """Read ``--eps``: 0.03 or 8/255."""
    return registry.number(text, "--eps")


def _offline(asked: bool) -> None:
    if asked:
        os.environ["ADVCLI_OFFLINE"] = "1"


DATA_HELP = "A named data set, a folder of class folders, a Tiny ImageNet folder or .zip, an .npz file."
WHAT, THREAT, OUTPUT, RUN = "What", "Threat", "Output", "Run"

Files = Annotated[
    list[Path], typer.Argument(metavar="IMAGE...", help="Image files, or folders that hold some.", show_default=False)
]
Model = Annotated[
    str,
    typer.Option(
        "--model",
        "-m",
        envvar="ADVCLI_MODEL",
        metavar="RUN|FILE|BACKBONE",
        rich_help_panel=WHAT,
        help="A run folder, a .keras or .h5 file, or a backbone with ImageNet weights.",
    ),
]
ModelWeights = Annotated[
    str,
    typer.Option(
        "--weights", metavar="imagenet|FILE", rich_help_panel=WHAT, help="For a backbone: where its weights come from."
    ),
]
Labels = Annotated[
    Path | None,
    typer.Option("--labels", metavar="FILE", rich_help_panel=WHAT, help="Class names: one a line, or Keras' JSON."),
]
InputRange = Annotated[
    str | None,
    typer.Option(
        "--input-range",
        metavar="LOW,HIGH",
        rich_help_panel=WHAT,
        help="For a model made elsewhere: its values for black and white, such as 0,255 or -1,1.",
    ),
]
Edge = Annotated[
    int | None,
    typer.Option("--edge", min=8, metavar="PIXELS", rich_help_panel=WHAT, help="Side of the model's square input."),
]
UnsafeLoad = Annotated[
    bool,
    typer.Option(
        "--unsafe-load",
        rich_help_panel=WHAT,
        help="Run code a model file asks for: Lambda layers, your classes on PYTHONPATH.",
    ),
]
Data = Annotated[
    str,
    typer.Option(
        "--data",
        "-d",
        metavar="NAME|PATH",
        rich_help_panel=WHAT,
        autocompletion=components("datasets"),
        help=DATA_HELP,
    ),
]
Classes = Annotated[
    str | None,
    typer.Option("--classes", metavar="A,B,...", rich_help_panel=WHAT, help="Only these classes, by name or index."),
]
Limit = Annotated[
    int | None,
    typer.Option("--limit", min=1, metavar="N", rich_help_panel=WHAT, help="Only a seeded stratified sample."),
]
First = Annotated[
    int | None,
    typer.Option("--first", min=1, metavar="N", rich_help_panel=WHAT, help="Only the first ones in the data's order."),
]
SkipBad = Annotated[
    bool, typer.Option("--skip-bad", rich_help_panel=WHAT, help="Go on if more than 1% of the images are unreadable.")
]
AttackSpec = Annotated[
    str,
    typer.Option(
        "--attack",
        "-a",
        metavar="SPEC",
        rich_help_panel=THREAT,
        autocompletion=components("attacks"),
        help="An attack and its options, such as pgd:steps=40.",
    ),
]
AttackOption = Annotated[
    str | None,
    typer.Option(
        "--attack",
        "-a",
        metavar="SPEC",
        rich_help_panel=THREAT,
        show_default="pgd",
        autocompletion=components("attacks"),
        help="An attack and its options, such as pgd:steps=40.",
    ),
]
NormOption = Annotated[
    Norm | None,
    typer.Option(
        "--norm",
        rich_help_panel=THREAT,
        show_default="what the model was trained for, or linf",
        help="The norm perturbations are measured in.",
    ),
]
Eps = Annotated[
    float | None,
    typer.Option(
        "--eps",
        parser=radius,
        metavar="RADIUS",
        rich_help_panel=THREAT,
        show_default="what the model was trained for; 8/255, in l2 0.5, in l1 12",
        help="How far a perturbation may go, in units of [0, 1]: 0.03 or 8/255.",
    ),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", rich_help_panel=OUTPUT, help="Replace existing outputs.")]
Json = Annotated[
    bool, typer.Option("--json", rich_help_panel=OUTPUT, help="Write JSON Lines to standard output, nothing else.")
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", rich_help_panel=OUTPUT, help="No progress and no notes.")]
Seed = Annotated[int, typer.Option("--seed", min=0, max=2**31 - 1, rich_help_panel=RUN, help="For all random draws.")]
Batch = Annotated[int, typer.Option("--batch", min=1, metavar="N", rich_help_panel=RUN, help="Images at once.")]
Offline = Annotated[
    bool,
    typer.Option(
        "--offline", envvar="ADVCLI_OFFLINE", callback=_offline, rich_help_panel=RUN, help="Never use the network."
    ),
]
