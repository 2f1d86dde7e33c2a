"""What ``advcli train`` refuses before it reads an image or imports TensorFlow."""

import math
from pathlib import Path

from advcli import registry
from advcli.attacks import Suite, is_bounded, refuse_unsupported
from advcli.cli.resolve import refuse_pattern
from advcli.errors import UsageError
from advcli.tasks.training.optimizer import refuse_unknown as refuse_unknown_optimizer
from advcli.tasks.training.precision import SEARCHES_WHILE_TRAINING
from advcli.tasks.training.recipe import Recipe


def refuse_unknown(recipe: Recipe) -> None:
    """Build every component once, and look whether files are there.

    Raises:
        UsageError: there is no such component, option or file.
    """
    registry.build("backbones", recipe.backbone)
    registry.build("objectives", recipe.objective)
    registry.build("schedules", recipe.schedule)
    for spec in recipe.modifier:
        registry.build("modifiers", spec)
    refuse_unknown_optimizer(recipe.optimizer)
    search = registry.build("attacks", recipe.attack)
    if isinstance(search, Suite):
        raise UsageError(
            f"'{recipe.attack}' is a suite: too much for every step of training", "give one of its attacks"
        )
    refuse_pattern(search, recipe.attack, "training needs an attack on each image, such as pgd")
    if not is_bounded(search):
        raise UsageError(f"'{recipe.attack}' searches no ball to be robust in", "give an attack such as pgd")
    if recipe.weights not in ("none", "imagenet") and not Path(recipe.weights).is_file():
        raise UsageError(f"no such file: '{recipe.weights}'", "--weights is none, imagenet or a weights file")
    if recipe.against is not None and not (Path(recipe.against) / "model.keras").is_file():
        raise UsageError(
            f"'{recipe.against}' is no run folder: it has no model.keras", "--against names a finished run"
        )


def refuse_contradictions(recipe: Recipe, asked: set[str], out: Path | None) -> None:
    """Refuse options that would be ignored, or that do not go together.

    Args:
        recipe: all options.
        asked: the names of those that were given.
        out: the run's folder, if it was named.

    Raises:
        UsageError: one was asked for.
    """
    for option in ("learning_rate", "warmup", "weight_decay", "clip_norm", "eps_warmup"):
        if getattr(recipe, option) == math.inf:
            raise UsageError(f"--{option.replace('_', '-')} is infinite", "give a number")
    objective = registry.build("objectives", recipe.objective)
    name = registry.canonical(recipe.objective)
    if "attack" in asked and "attack" not in objective.uses:
        raise UsageError(f"'{name}' does not train with --attack", "leave it out; pgd-at does")
    names = [registry.canonical(spec) for spec in recipe.modifier]
    for modifier in names:
        if names.count(modifier) > 1:
            raise UsageError(f"modifier '{modifier}' is given twice", "leave one out")
    losses = {name: objective} | {
        registry.canonical(spec): registry.build("modifiers", spec) for spec in recipe.modifier
    }
    if recipe.eps_warmup and not any("eps" in loss.uses for loss in losses.values()):
        raise UsageError(f"'{name}' does not train in the ball of --eps, so nothing can grow", "leave --eps-warmup out")
    if "attack" in objective.uses:
        refuse_unsupported(registry.build("attacks", recipe.attack), recipe.threat)
    for part, loss in losses.items():
        norms = getattr(loss, "norms", ("linf", "l2", "l1"))
        if "eps" in loss.uses and recipe.norm not in norms:
            raise UsageError(f"'{part}' does not train in {recipe.norm} balls", f"its norms: {', '.join(norms)}")
    inside = [part for part in losses if part in SEARCHES_WHILE_TRAINING]
    if recipe.amp and inside:
        raise UsageError(
            f"'{inside[0]}' searches with the pass that trains, and would with --amp search in float16",
            "leave --amp out, or take another such as n-fgsm",
        )
    if recipe.adv_start_epoch > 1 and name == "clean":
        raise UsageError("'clean' is clean from the first epoch", "leave --adv-start-epoch out")
    if recipe.adv_start_epoch > recipe.epochs:
        raise UsageError(f"there are only {recipe.epochs} epochs", "give a lower --adv-start-epoch or more --epochs")
    if recipe.unfreeze != "plateau" and asked & {"stages", "patience"}:
        raise UsageError(
            "--stages and --patience are of --unfreeze plateau", "leave them out, or unfreeze on a plateau"
        )
    if recipe.unfreeze != "all" and recipe.weights == "none":
        raise UsageError(
            "a head on untrained features learns little", f"give --weights, or leave --unfreeze {recipe.unfreeze} out"
        )
    if recipe.unfreeze == "plateau" and recipe.stages > recipe.epochs:
        raise UsageError(
            f"{recipe.stages} stages do not fit into {recipe.epochs} epochs", "give fewer --stages or more --epochs"
        )
    if recipe.optimizer == "adamw" and "momentum" in asked:
        raise UsageError("adamw has no --momentum", "leave it out, or take --optimizer sgd")
    if recipe.warmup is not None and recipe.warmup > recipe.epochs:
        raise UsageError(f"there are only {recipe.epochs} epochs", "give a shorter --warmup or more --epochs")
    if recipe.learning_rate <= 0:
        raise UsageError("--learning-rate must be above 0")
    if recipe.against is not None and out is not None and Path(recipe.against).resolve() == out.resolve():
        raise UsageError(f"'{out}' cannot be compared with itself", "give another --out")
    if recipe.twin and recipe.against:
        raise UsageError("--twin trains what --against has already", "give one of them")
    if recipe.twin and name == "clean" and not recipe.modifier:
        raise UsageError("a clean run is its own twin", "leave --twin out")
