"""``advcli train``: options, task, output."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import app, components, listing
from advcli.cli.config import read_config
from advcli.threat import Norm

# What may be said beside --resume: how far to go, and how to show it.
_WITH_RESUME = ("resume", "epochs", "strategy", "memory", "tensorboard", "json", "quiet", "offline")
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


@app.command(
    epilog=listing("datasets", "backbones", "objectives", "modifiers", "augmentations", "schedules", "attacks")
)
def train(
    context: typer.Context,
    data: shared.Data = "digits",
    classes: shared.Classes = None,
    limit: shared.Limit = None,
    first: shared.First = None,
    skip_bad: shared.SkipBad = False,
    edge: shared.Edge = None,
    backbone: Annotated[
        str,
        typer.Option(
            "--backbone",
            "-b",
            metavar="SPEC",
            rich_help_panel=shared.WHAT,
            autocompletion=components("backbones"),
            help="The network and its options.",
        ),
    ] = "mobilenetv2",
    weights: Annotated[
        str,
        typer.Option(
            "--weights", metavar="none|imagenet|FILE", rich_help_panel=shared.WHAT, help="Where training starts from."
        ),
    ] = "none",
    objective: Annotated[
        str,
        typer.Option(
            "--objective",
            metavar="SPEC",
            rich_help_panel=shared.WHAT,
            autocompletion=components("objectives"),
            help="What training minimises.",
        ),
    ] = "nsl",
    attack: shared.AttackSpec = "pgd:steps=7",
    norm: Annotated[
        Norm, typer.Option("--norm", rich_help_panel=shared.THREAT, help="The norm perturbations are measured in.")
    ] = Norm.LINF,
    eps: Annotated[
        float | None,
        typer.Option(
            "--eps",
            parser=shared.radius,
            metavar="RADIUS",
            rich_help_panel=shared.THREAT,
            show_default="what is usual for the data",
            help="How far perturbations go, in units of [0, 1]: 0.03 or 8/255.",
        ),
    ] = None,
    modifier: Annotated[
        list[str] | None,
        typer.Option(
            "--modifier",
            metavar="SPEC",
            rich_help_panel=shared.WHAT,
            show_default=False,
            autocompletion=components("modifiers"),
            help="What is added to the objective; may be given several times.",
        ),
    ] = None,
    augment: Annotated[
        str,
        typer.Option(
            "--augment",
            metavar="auto|article|none|SPEC,...",
            rich_help_panel=shared.WHAT,
            autocompletion=components("augmentations"),
            help="Random changes of the training images: what suits the data, all six of the article, or a list.",
        ),
    ] = "auto",
    unfreeze: Annotated[
        Unfreeze | None,
        typer.Option(
            "--unfreeze",
            rich_help_panel=_LEARNING,
            show_default="plateau with pretrained weights, else all",
            help="What learns: all at once, the head only, or the head first and a part more at each plateau.",
        ),
    ] = None,
    stages: Annotated[
        int,
        typer.Option(
            "--stages", min=2, metavar="N", rich_help_panel=_LEARNING, help="Parts that 'plateau' unfreezes one by one."
        ),
    ] = 4,
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=1,
            metavar="EPOCHS",
            rich_help_panel=_LEARNING,
            help="How long the training loss may stand still before the next part is unfrozen.",
        ),
    ] = 1,
    epochs: Annotated[
        int, typer.Option("--epochs", "-e", min=1, rich_help_panel=_LEARNING, help="Passes over the training images.")
    ] = 6,
    batch: Annotated[
        int, typer.Option("--batch", min=1, metavar="N", rich_help_panel=_LEARNING, help="Images in a step.")
    ] = 32,
    optimizer: Annotated[
        str, typer.Option("--optimizer", metavar="sgd|adamw", rich_help_panel=_LEARNING, help="How weights are moved.")
    ] = "sgd",
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            min=0,
            rich_help_panel=_LEARNING,
            show_default="0.05, or 0.01 with pretrained weights; a fiftieth with adamw",
            help="The highest rate.",
        ),
    ] = None,
    schedule: Annotated[
        str,
        typer.Option(
            "--schedule",
            metavar="SPEC",
            rich_help_panel=_LEARNING,
            autocompletion=components("schedules"),
            help="How the rate goes after the warm-up.",
        ),
    ] = "cosine",
    warmup: Annotated[
        float | None,
        typer.Option(
            "--warmup",
            min=0,
            metavar="EPOCHS",
            rich_help_panel=_LEARNING,
            show_default="1, at most a tenth of the run; 0 if the schedule itself rises",
            help="How long the rate rises from zero.",
        ),
    ] = None,
    momentum: Annotated[
        float,
        typer.Option("--momentum", min=0, max=1, rich_help_panel=_LEARNING, help="Of sgd, in Nesterov's form."),
    ] = 0.9,
    weight_decay: Annotated[
        float,
        typer.Option(
            "--weight-decay",
            min=0,
            rich_help_panel=_LEARNING,
            help="Of kernels: coupled with sgd, decoupled with adamw.",
        ),
    ] = 0.0,
    clip_norm: Annotated[
        float, typer.Option("--clip-norm", min=0, rich_help_panel=_LEARNING, help="Longest gradient; 0: any.")
    ] = 0.0,
    ema: Annotated[
        float,
        typer.Option(
            "--ema",
            min=0,
            max=0.99999,
            metavar="DECAY",
            rich_help_panel=_LEARNING,
            help="Average the weights over the steps, such as 0.995, and validate and keep them, too.",
        ),
    ] = 0.0,
    eps_warmup: Annotated[
        float,
        typer.Option(
            "--eps-warmup", min=0, metavar="EPOCHS", rich_help_panel=shared.THREAT, help="How long eps grows from zero."
        ),
    ] = 0.0,
    adv_start_epoch: Annotated[
        int,
        typer.Option(
            "--adv-start-epoch",
            min=1,
            metavar="EPOCH",
            rich_help_panel=shared.THREAT,
            help="The first epoch of the objective; those before it are clean.",
        ),
    ] = 1,
    validation: Annotated[
        float,
        typer.Option(
            "--validation",
            min=0.01,
            max=0.9,
            rich_help_panel=shared.RUN,
            help="The fraction of the training images that chooses the best epoch.",
        ),
    ] = 0.15,
    robust_images: Annotated[
        int,
        typer.Option(
            "--robust-images",
            min=1,
            metavar="N",
            rich_help_panel=shared.RUN,
            help="How many validation images PGD-10 attacks after each epoch.",
        ),
    ] = 256,
    guard: Annotated[
        Guard,
        typer.Option(
            "--guard",
            rich_help_panel=shared.RUN,
            help="On an alarm: say it, go back an epoch and on with half the rate, or stop.",
        ),
    ] = Guard.WARN,
    strategy: Annotated[
        Strategy,
        typer.Option(
            "--strategy",
            rich_help_panel=shared.RUN,
            help="Devices: one, all of this machine, those of the workers in TF_CONFIG, or as many as there are.",
        ),
    ] = Strategy.AUTO,
    twin: Annotated[
        bool,
        typer.Option(
            "--twin",
            rich_help_panel=shared.RUN,
            help="Train the clean twin on the same data in the same order, too, and compare the two on test images.",
        ),
    ] = False,
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            metavar="RUN",
            rich_help_panel=shared.RUN,
            help="Compare with this run on test images at the end.",
        ),
    ] = None,
    deterministic: Annotated[
        bool,
        typer.Option(
            "--deterministic", rich_help_panel=shared.RUN, help="Only operations that give the same bits every time."
        ),
    ] = False,
    memory: Annotated[
        float | None,
        typer.Option(
            "--memory",
            min=0,
            metavar="GB",
            rich_help_panel=shared.RUN,
            show_default="half of what is free",
            help="Decoded images that take more are kept on disk.",
        ),
    ] = None,
    plan: Annotated[
        bool,
        typer.Option(
            "--plan",
            rich_help_panel=shared.RUN,
            help="Only time a few steps, and say what the run would take; nothing is written.",
        ),
    ] = False,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            is_eager=True,
            callback=read_config,
            rich_help_panel=shared.RUN,
            help="Take options from a .toml file or a run.json; the command line goes first.",
        ),
    ] = None,
    resume: Annotated[
        Path | None,
        typer.Option(
            "--resume",
            metavar="RUN",
            rich_help_panel=shared.RUN,
            help="Go on with a run from its checkpoint; what to do is read from the run.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            "-o",
            metavar="DIR",
            rich_help_panel=shared.OUTPUT,
            show_default="runs/DATA-BACKBONE-OBJECTIVE",
            help="The run's folder.",
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            rich_help_panel=shared.OUTPUT,
            help="Write event files into the run's folder (needs advcli[tensorboard]).",
        ),
    ] = False,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Train a classifier, by default an adversarially regularized one: advcli train --backbone mobilenetv2."""
    from dataclasses import replace
    from importlib.util import find_spec

    from advcli import registry
    from advcli.augmentations import read as read_augmentations
    from advcli.cli.output import Output
    from advcli.cli.recipes import given, refuse_contradictions, refuse_unknown
    from advcli.cli.resolve import read_list, refuse_options
    from advcli.datasets import find
    from advcli.errors import Interrupted, UsageError
    from advcli.tasks.train import train as run_training
    from advcli.tasks.training.plan import half_of_free_memory
    from advcli.tasks.training.plan import plan as plan_training
    from advcli.tasks.training.recipe import Recipe, prepare
    from advcli.tasks.training.run import Run
    from advcli.tasks.training.workers import find_workers

    if tensorboard and find_spec("tensorboard") is None:
        raise UsageError("tensorboard is not installed", 'pip install "advcli[tensorboard]"')
    if resume is not None:
        refuse_options(context, _WITH_RESUME, "--resume reads it from the run")
        run = Run(resume)
        recipe = Recipe.from_json(run.read_recipe())
        if "epochs" in given(context):
            recipe = replace(recipe, epochs=epochs)
        if "strategy" in given(context):
            recipe = replace(recipe, strategy=str(strategy))
        writes = find_workers(recipe.strategy).writes
        dataset = find(recipe.data)()
    else:
        source = find(data)
        pretrained = weights != "none"
        usual_rate = (0.01 if pretrained else 0.05) / (50 if optimizer == "adamw" else 1)
        # What only the data knows is filled in below, once all that needs no data has been checked.
        recipe = Recipe(
            data=data,
            classes=read_list(classes),
            limit=limit,
            first=first,
            skip_bad=skip_bad,
            backbone=backbone,
            weights=weights,
            objective=objective,
            modifier=tuple(modifier or ()),
            augment=read_augmentations(augment, ()),
            attack=attack,
            norm=str(norm),
            eps=eps or 0.0,
            eps_warmup=eps_warmup,
            adv_start_epoch=adv_start_epoch,
            edge=edge or 0,
            epochs=epochs,
            batch=batch,
            optimizer=optimizer,
            learning_rate=usual_rate if learning_rate is None else learning_rate,
            schedule=schedule,
            warmup=warmup,
            momentum=momentum,
            weight_decay=weight_decay,
            clip_norm=clip_norm,
            ema=ema,
            unfreeze=str(unfreeze or ("plateau" if pretrained else "all")),
            stages=stages,
            patience=patience,
            validation=validation,
            robust_images=robust_images,
            guard=str(guard),
            strategy=str(strategy),
            twin=twin,
            against=str(against) if against else None,
            deterministic=deterministic,
            seed=seed,
        )
        refuse_unknown(recipe)
        refuse_contradictions(recipe, given(context))
        writes = find_workers(recipe.strategy).writes
        dataset = source()
        recipe = replace(
            recipe,
            eps=dataset.eps if eps is None else eps,
            edge=edge or dataset.edge,
            augment=read_augmentations(augment, dataset.augment),
        )
        parts = (dataset.name, registry.canonical(backbone), registry.canonical(objective))
        run = Run(out or Path("runs") / "-".join(parts))
        if writes and not overwrite and not plan:
            run.refuse_existing()
            if twin:
                run.twin.refuse_existing()
    with Output(json, quiet, silent=not writes) as output:
        output.status("reading the images")
        prepared = prepare(recipe, dataset, half_of_free_memory() if memory is None else int(min(memory, 1e9) * 1e9))
        if plan:
            return output.show(plan_training(recipe, prepared, run.name))
        try:
            events = run_training(recipe, prepared, run, resume=resume is not None, tensorboard=tensorboard)
            return output.show(events)
        except KeyboardInterrupt:
            if not run.can_resume():
                raise
            message = f"interrupted; what was done until the last checkpoint is kept in '{run.folder}'"
            raise Interrupted(message, f"go on with: advcli train --resume {run.folder}") from None
