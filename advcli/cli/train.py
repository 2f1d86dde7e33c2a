"""``advcli train``: options, task, output."""

from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import app, components, listing
from advcli.threat import Norm

# What may be said beside --resume: how far to go, and how to show it.
_WITH_RESUME = ("resume", "epochs", "json", "quiet", "offline")


@app.command(epilog=listing("datasets", "backbones", "objectives", "attacks"))
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
    epochs: Annotated[
        int, typer.Option("--epochs", "-e", min=1, rich_help_panel=shared.RUN, help="Passes over the training images.")
    ] = 6,
    batch: Annotated[
        int, typer.Option("--batch", min=1, metavar="N", rich_help_panel=shared.RUN, help="Images in a step.")
    ] = 32,
    learning_rate: Annotated[
        float | None,
        typer.Option(
            "--learning-rate",
            rich_help_panel=shared.RUN,
            show_default="0.05, or 0.01 with pretrained weights",
            help="The highest rate; it warms up to it and falls to zero along a cosine.",
        ),
    ] = None,
    momentum: Annotated[
        float, typer.Option("--momentum", min=0, max=1, rich_help_panel=shared.RUN, help="Of SGD, in Nesterov's form.")
    ] = 0.9,
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
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Train a classifier, by default an adversarially regularized one: advcli train --backbone mobilenetv2."""
    from dataclasses import replace

    from advcli import registry
    from advcli.attacks import Suite, is_bounded, refuse_unsupported
    from advcli.cli.output import Output
    from advcli.cli.resolve import read_list, refuse_options, refuse_pattern
    from advcli.datasets import find
    from advcli.errors import Interrupted, UsageError
    from advcli.tasks.recipe import Recipe, prepare
    from advcli.tasks.run import Run
    from advcli.tasks.train import train as run_training

    if resume is not None:
        refuse_options(context, _WITH_RESUME, "--resume reads it from the run")
        run = Run(resume)
        recipe = Recipe.from_json(run.read_recipe())
        if context.get_parameter_source("epochs").name != "DEFAULT":  # type: ignore[union-attr]
            recipe = replace(recipe, epochs=epochs)
        dataset = find(recipe.data)()
    else:
        registry.build("backbones", backbone)
        registry.build("objectives", objective)
        search = registry.build("attacks", attack)
        if isinstance(search, Suite):
            raise UsageError(f"'{attack}' is a suite: too much for every step of training", "give one of its attacks")
        refuse_pattern(search, attack, "training needs an attack on each image, such as pgd")
        if not is_bounded(search):
            raise UsageError(f"'{attack}' searches no ball to be robust in", "give an attack such as pgd")
        if weights not in ("none", "imagenet") and not Path(weights).is_file():
            raise UsageError(f"no such file: '{weights}'", "--weights is none, imagenet or a weights file")
        dataset = find(data)()
        parts = (dataset.name, registry.canonical(backbone), registry.canonical(objective))
        run = Run(out or Path("runs") / "-".join(parts))
        if not overwrite:
            run.refuse_existing()
        recipe = Recipe(
            data=data,
            classes=read_list(classes),
            limit=limit,
            first=first,
            skip_bad=skip_bad,
            backbone=backbone,
            weights=weights,
            objective=objective,
            attack=attack,
            norm=str(norm),
            eps=dataset.eps if eps is None else eps,
            edge=edge or dataset.edge,
            epochs=epochs,
            batch=batch,
            learning_rate=learning_rate or (0.05 if weights == "none" else 0.01),
            momentum=momentum,
            validation=validation,
            robust_images=robust_images,
            seed=seed,
        )
        refuse_unsupported(search, recipe.threat)
    with Output(json, quiet) as output:
        output.status("reading the images")
        prepared = prepare(recipe, dataset)
        try:
            return output.show(run_training(recipe, prepared, run, resume=resume is not None))
        except KeyboardInterrupt:
            if not run.can_resume():
                raise
            message = f"interrupted; the last whole epoch is kept in '{run.folder}'"
            raise Interrupted(message, f"go on with: advcli train --resume {run.folder}") from None
