"""The options that only ``advcli benchmark`` has."""

from pathlib import Path
from typing import Annotated

import typer

from advcli.class_order import ClassOrder
from advcli.cli import app as shared
from advcli.cli.app import components
from advcli.threat import Norm

_SUMMARY = "Summary"

Models = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="MODEL...",
        help="Run folders, model files or backbones; with --merge, files of results.",
        show_default=False,
    ),
]
Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        "-d",
        metavar="NAME|PATH",
        rich_help_panel=shared.WHAT,
        autocompletion=components("datasets"),
        show_default="what the first model was trained on",
        help=shared.DATA_HELP,
    ),
]
Order = Annotated[
    ClassOrder | None,
    typer.Option(
        "--class-order",
        rich_help_panel=shared.WHAT,
        show_default="alphabetical, as Keras sorts folders",
        help="How names of class folders number the outputs of a model without class names: 1, 10, 2 or 1, 2, 10.",
    ),
]
Attacks = Annotated[
    list[str] | None,
    typer.Option(
        "--attack",
        "-a",
        metavar="SPEC",
        rich_help_panel=shared.THREAT,
        autocompletion=components("attacks"),
        show_default="fgsm and pgd",
        help="An attack and its options; may be given several times; none for no attack.",
    ),
]
Noises = Annotated[
    list[str] | None,
    typer.Option(
        "--noise",
        metavar="SPEC",
        rich_help_panel=shared.THREAT,
        show_default=False,
        autocompletion=components("augmentations"),
        help="Random noise and its options, such as gaussian:std=0.2; may be given several times.",
    ),
]
Corruptions = Annotated[
    str | None,
    typer.Option(
        "--corruptions",
        metavar="all|GROUP|NAME,...",
        rich_help_panel=shared.THREAT,
        show_default=False,
        help="All 15 of ImageNet-C, the groups noise, blur, weather, digital, extra, or some by name.",
    ),
]
Severity = Annotated[
    str,
    typer.Option("--severity", metavar="1-5", rich_help_panel=shared.THREAT, help="Of corruptions: 3, 1,3,5 or 1-5."),
]
Norms = Annotated[
    list[Norm] | None,
    typer.Option(
        "--norm",
        rich_help_panel=shared.THREAT,
        show_default="what the models were trained for, or linf",
        help="The norm perturbations are measured in; may be given several times.",
    ),
]
Radii = Annotated[
    list[str] | None,
    typer.Option(
        "--eps",
        metavar="RADIUS,...",
        rich_help_panel=shared.THREAT,
        show_default="what the models were trained for; 8/255, in l2 0.5, in l1 12",
        help="How far a perturbation may go: 8/255, or several for a curve: 0,2/255,4/255; of one norm: l2=0.5,1.",
    ),
]
Transfer = Annotated[
    bool,
    typer.Option(
        "--transfer", rich_help_panel=shared.THREAT, help="Craft on each model, score on all: the transfer matrix."
    ),
]
Certify = Annotated[
    str | None,
    typer.Option(
        "--certify",
        metavar="sigma=0.25,n=1000",
        rich_help_panel=shared.THREAT,
        help="Certify l2 radii by randomized smoothing; also n0=100 and alpha=0.001.",
    ),
]
PerClass = Annotated[
    bool,
    typer.Option("--per-class", rich_help_panel=_SUMMARY, help="Accuracy of each class, and what is taken for what."),
]
RelativeTo = Annotated[
    str | None,
    typer.Option(
        "--relative-to",
        metavar="MODEL",
        rich_help_panel=_SUMMARY,
        show_default="the first model, if there are several",
        help="The model whose corruption errors are the measure of the others'.",
    ),
]
FailUnder = Annotated[
    list[str] | None,
    typer.Option(
        "--fail-under",
        metavar="NAME=ACCURACY",
        rich_help_panel=_SUMMARY,
        show_default=False,
        help="Leave with 3 if an accuracy is lower: clean=0.9, pgd=0.40, worst=0.3; may be given several times.",
    ),
]
Baseline = Annotated[
    Path | None,
    typer.Option(
        "--baseline",
        metavar="FILE",
        rich_help_panel=_SUMMARY,
        help="Earlier results: show what has become worse (the exit code stays 0).",
    ),
]
Checks = Annotated[
    bool,
    typer.Option(
        "--checks/--no-checks", rich_help_panel=_SUMMARY, help="Check the evaluation against ways to fool oneself."
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="FILE",
        rich_help_panel=shared.OUTPUT,
        help="Keep every finished batch and the results in this file (JSON Lines).",
    ),
]
Report = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="FILE", rich_help_panel=shared.OUTPUT, help="Write all of it as one HTML page of its own."
    ),
]
Figure = Annotated[
    Path | None,
    typer.Option(
        "--figure", metavar="FILE", rich_help_panel=shared.OUTPUT, help="Draw accuracy over eps as a .png or .svg."
    ),
]
Export = Annotated[
    Path | None,
    typer.Option(
        "--export",
        metavar="DIR",
        rich_help_panel=shared.OUTPUT,
        help="Write the corrupted images as folders: corruption/severity/class/image.png.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="FILE",
        rich_help_panel=shared.RUN,
        help="Go on with a file of results; without models, as the file says.",
    ),
]
ShardOption = Annotated[
    str | None,
    typer.Option("--shard", metavar="K/N", rich_help_panel=shared.RUN, help="Only the K-th of N parts of the images."),
]
Merge = Annotated[
    bool, typer.Option("--merge", rich_help_panel=shared.RUN, help="Join the files of results of all shards.")
]
Ray = Annotated[
    str | None,
    typer.Option(
        "--ray",
        metavar="auto|ADDRESS",
        rich_help_panel=shared.RUN,
        help="Run shards on a Ray cluster (needs advcli\\[ray]); auto: the one there is, or this machine.",
    ),
]
Budget = Annotated[
    str | None,
    typer.Option(
        "--budget",
        metavar="TIME",
        rich_help_panel=shared.RUN,
        help="Spend so long on attacks, where most images fall: 90s, 10m, 1h30m. Gives upper bounds.",
    ),
]
Memory = Annotated[
    float | None,
    typer.Option(
        "--memory",
        min=0,
        metavar="GB",
        rich_help_panel=shared.RUN,
        show_default="half of what is free",
        help="Decoded images that take more are kept on disk.",
    ),
]
