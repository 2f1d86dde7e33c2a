"""The options of ``advcli explain``."""

from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import components

Images = Annotated[
    list[Path] | None,
    typer.Argument(metavar="IMAGE...", help="Image files, or folders that hold some.", show_default=False),
]
Compare = Annotated[
    list[str] | None,
    typer.Option(
        "--compare",
        metavar="RUN|FILE",
        rich_help_panel=shared.WHAT,
        help="Another model to explain the same images by, beside the first; may be given several times.",
    ),
]
Method = Annotated[
    list[str] | None,
    typer.Option(
        "--method",
        metavar="SPEC",
        rich_help_panel=shared.WHAT,
        autocompletion=components("explainers"),
        show_default="saliency, and gradcam or layercam where the model has a map",
        help="A method and its options; may be given several times.",
    ),
]
Class = Annotated[
    list[str] | None,
    typer.Option(
        "--class",
        metavar="predicted|true|second|CLASS",
        rich_help_panel=shared.WHAT,
        show_default="predicted; of an adversarial image the original one too",
        help="The class to explain, by name or index too; may be given several times.",
    ),
]
Top = Annotated[
    int | None,
    typer.Option(
        "--top", min=1, metavar="N", rich_help_panel=shared.WHAT, help="Explain each of the N likeliest classes."
    ),
]
Contrast = Annotated[
    str | None,
    typer.Option(
        "--contrast", metavar="A,B", rich_help_panel=shared.WHAT, help="Explain why class A rather than class B."
    ),
]
Label = Annotated[
    str | None,
    typer.Option(
        "--label",
        metavar="CLASS",
        rich_help_panel=shared.WHAT,
        show_default="the name of an image's folder, if it is a class",
        help="The true class of the images.",
    ),
]
LayerName = Annotated[
    str | None,
    typer.Option(
        "--layer", metavar="NAME", rich_help_panel=shared.WHAT, help="The layer that class activation maps show."
    ),
]
ListLayers = Annotated[
    bool, typer.Option("--list-layers", rich_help_panel=shared.WHAT, help="List the layers that have a map, and stop.")
]
Attack = Annotated[
    str | None,
    typer.Option(
        "--attack",
        "-a",
        metavar="SPEC",
        rich_help_panel=shared.THREAT,
        autocompletion=components("attacks"),
        help="Explain the adversarial image of this attack beside the clean one.",
    ),
]
Adversarial = Annotated[
    Path | None,
    typer.Option(
        "--adversarial",
        metavar="FILE|DIR",
        rich_help_panel=shared.THREAT,
        help="The adversarial image that advcli attack made of IMAGE, or the folder where those of all images are.",
    ),
]
Check = Annotated[
    bool,
    typer.Option(
        "--check",
        rich_help_panel=shared.RUN,
        help="Find out on up to 16 images whether the maps are to be believed; kept in a run's folder.",
    ),
]
Scale = Annotated[
    str,
    typer.Option(
        "--scale",
        metavar="own|shared",
        rich_help_panel=shared.OUTPUT,
        help="Brightness of a map: its own, or that of its method's maps.",
    ),
]
Out = Annotated[Path, typer.Option("--out", "-o", metavar="DIR", rich_help_panel=shared.OUTPUT, help="Where files go.")]
Separate = Annotated[bool, typer.Option("--separate", rich_help_panel=shared.OUTPUT, help="Write a PNG a map too.")]
Raw = Annotated[
    bool, typer.Option("--raw", rich_help_panel=shared.OUTPUT, help="Write the maps' values too, as .npz files.")
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE.html", rich_help_panel=shared.OUTPUT, help="Write a page with everything in it."
    ),
]
SkipExisting = Annotated[
    bool,
    typer.Option("--skip-existing", rich_help_panel=shared.OUTPUT, help="Leave out images that have a contact sheet."),
]
