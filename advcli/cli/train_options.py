"""The options that only ``advcli train`` has."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import components
from advcli.cli.config import read_config
from advcli.threat import Norm

_LEARNING = "Learning"


class Unfreeze(StrEnum):
    """What learns."""

    PLATEAU = "plateau"
    ALL = "all"
    HEAD = "head"


class Guard(StrEnum):
    """What is done on an alarm."""

    WARN = "warn"
    ROLLBACK = "rollback"
    STOP = "stop"


class Strategy(StrEnum):
    """What the work is spread over."""

    AUTO = "auto"
    ONE = "one"
    MIRRORED = "mirrored"
    MULTIWORKER = "multiworker"


Backbone = Annotated[
    str,
    typer.Option(
        "--backbone",
        "-b",
        metavar="SPEC",
        rich_help_panel=shared.WHAT,
        autocompletion=components("backbones"),
        help="The network and its options.",
    ),
]
Weights = Annotated[
    str,
    typer.Option(
        "--weights", metavar="none|imagenet|FILE", rich_help_panel=shared.WHAT, help="Where training starts from."
    ),
]
Objective = Annotated[
    str,
    typer.Option(
        "--objective",
        metavar="SPEC",
        rich_help_panel=shared.WHAT,
        autocompletion=components("objectives"),
        help="What training minimises.",
    ),
]
NormOption = Annotated[
    Norm, typer.Option("--norm", rich_help_panel=shared.THREAT, help="The norm perturbations are measured in.")
]
Eps = Annotated[
    float | None,
    typer.Option(
        "--eps",
        parser=shared.radius,
        metavar="RADIUS",
        rich_help_panel=shared.THREAT,
        show_default="what is usual for the data; in l2 0.5, in l1 12",
        help="How far perturbations go, in units of [0, 1]: 0.03 or 8/255.",
    ),
]
Modifier = Annotated[
    list[str] | None,
    typer.Option(
        "--modifier",
        metavar="SPEC",
        rich_help_panel=shared.WHAT,
        show_default=False,
        autocompletion=components("modifiers"),
        help="What is added to the objective; may be given several times.",
    ),
]
Augment = Annotated[
    str,
    typer.Option(
        "--augment",
        metavar="auto|article|none|SPEC,...",
        rich_help_panel=shared.WHAT,
        autocompletion=components("augmentations"),
        help="Random changes of the training images: what suits the data, all six of the article, or a list.",
    ),
]
UnfreezeOption = Annotated[
    Unfreeze | None,
    typer.Option(
        "--unfreeze",
        rich_help_panel=_LEARNING,
        show_default="plateau with pretrained weights, else all",
        help="What learns: all at once, the head only, or the head first and a part more at each plateau.",
    ),
]
Stages = Annotated[
    int | None,
    typer.Option(
        "--stages",
        min=2,
        metavar="N",
        rich_help_panel=_LEARNING,
        show_default="4, or as many as there are epochs",
        help="Parts that 'plateau' unfreezes one by one.",
    ),
]
Patience = Annotated[
    int,
    typer.Option(
        "--patience",
        min=1,
        metavar="EPOCHS",
        rich_help_panel=_LEARNING,
        help="How long the training loss may stand still before the next part is unfrozen.",
    ),
]
Epochs = Annotated[
    int, typer.Option("--epochs", "-e", min=1, rich_help_panel=_LEARNING, help="Passes over the training images.")
]
Batch = Annotated[int, typer.Option("--batch", min=1, metavar="N", rich_help_panel=_LEARNING, help="Images in a step.")]
Optimizer = Annotated[
    str, typer.Option("--optimizer", metavar="sgd|adamw", rich_help_panel=_LEARNING, help="How weights are moved.")
]
LearningRate = Annotated[
    float | None,
    typer.Option(
        "--learning-rate",
        min=0,
        rich_help_panel=_LEARNING,
        show_default="0.05, or 0.01 with pretrained weights; a fiftieth with adamw",
        help="The highest rate.",
    ),
]
Schedule = Annotated[
    str,
    typer.Option(
        "--schedule",
        metavar="SPEC",
        rich_help_panel=_LEARNING,
        autocompletion=components("schedules"),
        help="How the rate goes after the warm-up.",
    ),
]
Warmup = Annotated[
    float | None,
    typer.Option(
        "--warmup",
        min=0,
        metavar="EPOCHS",
        rich_help_panel=_LEARNING,
        show_default="1, at most a tenth of the run; 0 if the schedule itself rises",
        help="How long the rate rises from zero.",
    ),
]
Momentum = Annotated[
    float,
    typer.Option("--momentum", min=0, max=1, rich_help_panel=_LEARNING, help="Of sgd, in Nesterov's form."),
]
WeightDecay = Annotated[
    float,
    typer.Option(
        "--weight-decay",
        min=0,
        rich_help_panel=_LEARNING,
        help="Of kernels: coupled with sgd, decoupled with adamw.",
    ),
]
ClipNorm = Annotated[
    float, typer.Option("--clip-norm", min=0, rich_help_panel=_LEARNING, help="Longest gradient; 0: any.")
]
Ema = Annotated[
    float,
    typer.Option(
        "--ema",
        min=0,
        max=0.99999,
        metavar="DECAY",
        rich_help_panel=_LEARNING,
        help="Average the weights over the steps, such as 0.995, and validate and keep them, too.",
    ),
]
EpsWarmup = Annotated[
    float,
    typer.Option(
        "--eps-warmup", min=0, metavar="EPOCHS", rich_help_panel=shared.THREAT, help="How long eps grows from zero."
    ),
]
AdvStartEpoch = Annotated[
    int,
    typer.Option(
        "--adv-start-epoch",
        min=1,
        metavar="EPOCH",
        rich_help_panel=shared.THREAT,
        help="The first epoch of the objective; those before it are clean.",
    ),
]
Validation = Annotated[
    float,
    typer.Option(
        "--validation",
        min=0.01,
        max=0.9,
        rich_help_panel=shared.RUN,
        help="The fraction of the training images that chooses the best epoch.",
    ),
]
RobustImages = Annotated[
    int,
    typer.Option(
        "--robust-images",
        min=1,
        metavar="N",
        rich_help_panel=shared.RUN,
        help="How many validation images PGD-10 attacks after each epoch.",
    ),
]
GuardOption = Annotated[
    Guard,
    typer.Option(
        "--guard",
        rich_help_panel=shared.RUN,
        help="On an alarm: say it; go back an epoch and on with half the rate, where that can help; or stop.",
    ),
]
StrategyOption = Annotated[
    Strategy,
    typer.Option(
        "--strategy",
        rich_help_panel=shared.RUN,
        help="Devices: one, all of this machine, those of the workers in TF_CONFIG, or as many as there are.",
    ),
]
Twin = Annotated[
    bool,
    typer.Option(
        "--twin",
        rich_help_panel=shared.RUN,
        help="Train the clean twin on the same data in the same order, too, and compare the two on test images.",
    ),
]
Against = Annotated[
    Path | None,
    typer.Option(
        "--against",
        metavar="RUN",
        rich_help_panel=shared.RUN,
        help="Compare with this run on test images at the end.",
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic", rich_help_panel=shared.RUN, help="Only operations that give the same bits every time."
    ),
]
Amp = Annotated[
    bool,
    typer.Option(
        "--amp",
        rich_help_panel=shared.RUN,
        help="On a GPU: train in float16, with weights and attacks in float32.",
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
Plan = Annotated[
    bool,
    typer.Option(
        "--plan",
        rich_help_panel=shared.RUN,
        help="Only time a few steps, and say what the run would take; nothing is written.",
    ),
]
Config = Annotated[
    Path | None,
    typer.Option(
        "--config",
        metavar="FILE",
        is_eager=True,
        callback=read_config,
        rich_help_panel=shared.RUN,
        help="Take options from a .toml file or a run.json; the command line goes first.",
    ),
]
Resume = Annotated[
    Path | None,
    typer.Option(
        "--resume",
        metavar="RUN",
        rich_help_panel=shared.RUN,
        help="Go on with a run from its checkpoint; what to do is read from the run.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        "--out",
        "-o",
        metavar="DIR",
        rich_help_panel=shared.OUTPUT,
        show_default="runs/DATA-BACKBONE-OBJECTIVE",
        help="The run's folder.",
    ),
]
Tensorboard = Annotated[
    bool,
    typer.Option(
        "--tensorboard",
        rich_help_panel=shared.OUTPUT,
        help="Write event files into the run's folder (needs advcli\\[tensorboard]).",
    ),
]
