"""``advcli train``: options, task, output."""

from pathlib import Path

import typer

from advcli.cli import app as shared
from advcli.cli import train_options as options
from advcli.cli.app import app, listing
from advcli.cli.config import given
from advcli.threat import USUAL_RADIUS, Norm

# What may be said beside --resume: how far to go, and how to show it.
_WITH_RESUME = ("resume", "epochs", "strategy", "memory", "tensorboard", "json", "quiet", "offline")


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
    backbone: options.Backbone = "mobilenetv2",
    weights: options.Weights = "none",
    objective: options.Objective = "nsl",
    attack: shared.AttackSpec = "pgd:steps=7",
    norm: options.NormOption = Norm.LINF,
    eps: options.Eps = None,
    modifier: options.Modifier = None,
    augment: options.Augment = "auto",
    unfreeze: options.UnfreezeOption = None,
    stages: options.Stages = None,
    patience: options.Patience = 1,
    epochs: options.Epochs = 6,
    batch: options.Batch = 32,
    optimizer: options.Optimizer = "sgd",
    learning_rate: options.LearningRate = None,
    schedule: options.Schedule = "cosine",
    warmup: options.Warmup = None,
    momentum: options.Momentum = 0.9,
    weight_decay: options.WeightDecay = 0.0,
    clip_norm: options.ClipNorm = 0.0,
    ema: options.Ema = 0.0,
    eps_warmup: options.EpsWarmup = 0.0,
    adv_start_epoch: options.AdvStartEpoch = 1,
    validation: options.Validation = 0.15,
    robust_images: options.RobustImages = 256,
    guard: options.GuardOption = options.Guard.WARN,
    strategy: options.StrategyOption = options.Strategy.AUTO,
    twin: options.Twin = False,
    against: options.Against = None,
    amp: options.Amp = False,
    deterministic: options.Deterministic = False,
    memory: options.Memory = None,
    plan: options.Plan = False,
    config: options.Config = None,
    resume: options.Resume = None,
    out: options.Out = None,
    tensorboard: options.Tensorboard = False,
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
    from advcli.cli.recipes import refuse_contradictions, refuse_unknown
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
            unfreeze=str(unfreeze or ("plateau" if pretrained and epochs > 1 else "all")),
            stages=min(4, max(epochs, 2)) if stages is None else stages,
            patience=patience,
            validation=validation,
            robust_images=robust_images,
            guard=str(guard),
            strategy=str(strategy),
            twin=twin,
            against=str(against) if against else None,
            amp=amp,
            deterministic=deterministic,
            seed=seed,
        )
        refuse_unknown(recipe)
        refuse_contradictions(recipe, given(context), out)
        writes = find_workers(recipe.strategy).writes
        dataset = source()
        recipe = replace(
            recipe,
            eps=eps if eps is not None else dataset.eps if norm is Norm.LINF else USUAL_RADIUS[norm],
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
