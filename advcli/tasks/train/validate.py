"""Validation of a training request before images are read or TensorFlow is imported."""

import math
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path

from advcli import registry
from advcli.attacks import Suite
from advcli.augmentations import read as read_augmentations
from advcli.errors import UsageError
from advcli.files.wrong_kind import refuse_no_weights
from advcli.objectives import Objective, Replaying
from advcli.options import changed_options
from advcli.search.refusals import refuse_universal, refuse_unsupported
from advcli.tasks.train.optimizer import refuse_unknown_optimizer
from advcli.tasks.train.recipe import Recipe, draft
from advcli.tasks.train.request import AUTO, Execution, Request
from advcli.tasks.train.start_choice import choose_start
from advcli.threat.lengths import HasLengths

# The options allowed with --resume.
WITH_RESUME = (
    "resume",
    "data",
    "epochs",
    "strategy",
    "memory",
    "tensorboard",
    "unsafe_load",
    "json",
    "quiet",
    "offline",
    "max_pixels",
)


# The options allowed with --average.
WITH_AVERAGE = (
    *("average", "runs", "select", "norm", "eps", "robust_images", "calibrate"),
    *("unsafe_load", "memory", "out", "overwrite", "json", "quiet", "offline", "max_pixels"),
)


def check(request: Request) -> None:
    """Validate a request independently of the data.

    Raises:
        UsageError: the request is invalid.
    """
    if request.augment and request.augment != (AUTO,):
        read_augmentations(",".join(request.augment), ())
    if request.model is not None:
        refuse_two_starts(request, ())
    recipe = draft(request)
    refuse_unknown(recipe)
    # A named recipe is to fill in what the user left open, before options are compared with each other.
    if request.recipe is None:
        refuse_contradictions(recipe)


def check_execution(request: Request, how: Execution, asked: Collection[str] | None) -> None:
    """Refuse options without effect, and options that contradict those of the execution.

    Args:
        request: the request.
        how: the options of the execution.
        asked: the options that the user gave; None means those that differ from their default.

    Raises:
        UsageError: there is such an option.
    """
    if how.tensorboard and find_spec("tensorboard") is None:
        raise UsageError("tensorboard is not installed", 'pip install "advcli[tensorboard]"')
    if how.runs and not how.average:
        raise UsageError(
            f"'{how.runs[0]}' is given without an option", "--average averages runs, --model starts from one"
        )
    if how.select is not None and not how.average:
        raise UsageError("--select is for --average", "leave it out")
    given = changed_options(request, how) if asked is None else asked
    if how.resume is not None:
        for name in sorted(changed_options(request, how) - set(WITH_RESUME)) if asked is None else ():
            raise UsageError(
                f"{name} has no effect here: --resume continues the run with its own options", "leave it out"
            )
        return
    refuse_two_starts(request, given)
    recipe = draft(request)
    refuse_contradictions(recipe)
    refuse_without_effect(recipe, given)
    if request.against is not None and how.out is not None and Path(request.against).resolve() == how.out.resolve():
        raise UsageError(f"'{how.out}' cannot be compared with itself", "give another --out")


def check_average(request: Request, how: Execution, asked: Collection[str] | None) -> set[str]:
    """Refuse too few runs to average, and options that are read from them; return the options that were given.

    Raises:
        UsageError: there is such an option, or less than two runs.
    """
    given = changed_options(request, how) | set(asked or ())
    for name in sorted(given - set(WITH_AVERAGE)):
        option = f"--{name.replace('_', '-')}"
        raise UsageError(
            f"{option} has no effect here: --average trains nothing, and the options are those of the runs",
            "leave it out",
        )
    if len(how.runs) < 2:
        raise UsageError(f"{len(how.runs)} runs are too few to average", "--average takes two or more run folders")
    return given


def refuse_unknown(recipe: Recipe) -> None:
    """Build every component once, and check that files exist.

    Raises:
        UsageError: there is no such component, option or file.
    """
    if choose_start(recipe) is None:
        registry.build("backbones", recipe.backbone)
    if recipe.recipe is not None:
        registry.build("recipes", recipe.recipe)
    registry.build("objectives", recipe.objective)
    registry.build("schedules", recipe.schedule)
    for spec in recipe.modifier:
        registry.build("modifiers", spec)
    refuse_unknown_optimizer(recipe.optimizer)
    search = registry.build("attacks", recipe.attack)
    if isinstance(search, Suite):
        raise UsageError(
            f"'{recipe.attack}' is a suite: too slow for every step of training", "give one of its attacks"
        )
    refuse_universal(search, recipe.attack, "training needs an attack on each image, such as pgd")
    if not search.bounded:
        raise UsageError(f"'{recipe.attack}' does not search a ball", "give an attack such as pgd")
    if recipe.weights not in ("none", "imagenet"):
        refuse_no_weights(Path(recipe.weights))
    if recipe.against is not None and not (Path(recipe.against) / "model.keras").is_file():
        raise UsageError(
            f"'{recipe.against}' is not a run folder: it has no model.keras", "--against names a finished run"
        )


def refuse_two_starts(request: Request, given: Collection[str]) -> None:
    """Refuse ``--model`` together with a backbone, and without it the options that read it.

    Args:
        request: all options.
        given: the names of the options that the user gave.

    Raises:
        UsageError: there are such options.
    """
    changed = changed_options(request) | set(given)
    if request.model is None:
        for name in ("labels", "input_range", "unsafe_load"):
            if name in changed:
                raise UsageError(
                    f"--{name.replace('_', '-')} is for a model to start from", "give one with --model, or leave it out"
                )
        return
    for name in ("backbone", "weights"):
        if name in changed and getattr(request, name):
            raise UsageError(f"--model and --{name} are two networks to start from", "give one of them")


def refuse_without_effect(recipe: Recipe, given: Collection[str]) -> None:
    """Refuse options that would be ignored.

    Args:
        recipe: all options.
        given: the names of the options that the user gave.

    Raises:
        UsageError: a given option has no effect.
    """
    if "attack" in given and "attack" not in registry.build("objectives", recipe.objective).uses:
        name = registry.canonical(recipe.objective)
        raise UsageError(f"'{name}' does not train with --attack", "leave it out; pgd-at does")
    if recipe.unfreeze != "plateau" and {"stages", "patience"} & set(given):
        raise UsageError(
            "--stages and --patience are for --unfreeze plateau", "leave them out, or give --unfreeze plateau"
        )
    if recipe.optimizer != "sgd" and "momentum" in given:
        raise UsageError(f"{recipe.optimizer} has no --momentum", "leave it out, or take --optimizer sgd")
    if "new_head" in given and not recipe.pretrained:
        raise UsageError("--new-head is for the new head of a pretrained network", "give --weights")


def _refuse_several_norms(recipe: Recipe, objective: Objective, losses: Mapping[str, HasLengths]) -> None:
    """Refuse several norms if the steps cannot alternate between them.

    Raises:
        UsageError: the objective has no ball of the command or keeps its perturbation, or a length fits one norm only.
    """
    name, norms = registry.canonical(recipe.objective), " and ".join(ball.norm for ball in recipe.balls)
    if "eps" not in objective.uses:
        raise UsageError(
            f"'{name}' does not train in the ball of --norm, so it cannot alternate between {norms}",
            "give one --norm, or take another objective such as pgd-at",
        )
    if isinstance(objective, Replaying):
        raise UsageError(
            f"'{name}' keeps its perturbation for the next step, which would have another norm: {norms}",
            "give one --norm, or take another objective such as pgd-at",
        )
    parts = dict(losses)
    if "attack" in objective.uses:
        parts[registry.canonical(recipe.attack)] = registry.build("attacks", recipe.attack)
    for part, component in parts.items():
        for length in component.lengths:
            if getattr(component, length):
                raise UsageError(
                    f"{length} {getattr(component, length):g} of '{part}' is a length in one norm, not in {norms}",
                    f"leave {length} out: it is then in proportion to the radius of each norm",
                )


def refuse_contradictions(recipe: Recipe) -> None:
    """Refuse options that contradict each other.

    Raises:
        UsageError: two options contradict each other.
    """
    for option in ("learning_rate", "warmup", "weight_decay", "clip_norm", "eps_warmup"):
        if getattr(recipe, option) == math.inf:
            raise UsageError(f"--{option.replace('_', '-')} is infinite", "give a number")
    objective = registry.build("objectives", recipe.objective)
    name = registry.canonical(recipe.objective)
    names = [registry.canonical(spec) for spec in recipe.modifier]
    for modifier in names:
        if names.count(modifier) > 1:
            raise UsageError(f"modifier '{modifier}' is given twice", "leave one out")
    losses = {name: objective} | {
        registry.canonical(spec): registry.build("modifiers", spec) for spec in recipe.modifier
    }
    if recipe.eps_warmup and not any("eps" in loss.uses for loss in losses.values()):
        raise UsageError(
            f"'{name}' does not train in the ball of --eps, so the radius cannot grow", "leave --eps-warmup out"
        )
    if len(recipe.balls) > 1:
        _refuse_several_norms(recipe, objective, losses)
    if any(ball.norm == "l0" for ball in recipe.balls):
        raise UsageError("training does not search l0 balls", "train in linf, l2 or l1, and attack in l0")
    for ball in recipe.balls:
        if "attack" in objective.uses:
            refuse_unsupported(registry.build("attacks", recipe.attack), ball)
        for part, loss in losses.items():
            if "eps" in loss.uses and ball.norm not in loss.norms:
                raise UsageError(f"'{part}' does not train in {ball.norm} balls", f"its norms: {', '.join(loss.norms)}")
    inside = [part for part, loss in losses.items() if loss.searches_in_training_pass]
    if recipe.amp and inside:
        raise UsageError(
            f"'{inside[0]}' searches in the pass that also trains, which --amp would run in float16",
            "leave --amp out, or take another such as n-fgsm",
        )
    if recipe.adv_start_epoch > 1 and objective.standard:
        raise UsageError(f"'{name}' is clean from the first epoch", "leave --adv-start-epoch out")
    if recipe.adv_start_epoch > recipe.epochs:
        raise UsageError(f"there are only {recipe.epochs} epochs", "give a lower --adv-start-epoch or more --epochs")
    if recipe.unfreeze != "all" and not recipe.pretrained:
        raise UsageError(
            "a head on untrained features learns little", f"give --weights, or leave --unfreeze {recipe.unfreeze} out"
        )
    if recipe.unfreeze == "plateau" and recipe.stages > recipe.epochs:
        raise UsageError(
            f"{recipe.stages} stages do not fit into {recipe.epochs} epochs", "give fewer --stages or more --epochs"
        )
    at_radius = recipe.epochs - recipe.adv_start_epoch + 1
    if recipe.eps_warmup > at_radius:
        raise UsageError(
            f"the radius grows for {recipe.eps_warmup:g} epochs, but only {at_radius} train with it",
            "give a shorter --eps-warmup or more --epochs",
        )
    if recipe.warmup is not None and recipe.warmup > recipe.epochs:
        raise UsageError(f"there are only {recipe.epochs} epochs", "give a shorter --warmup or more --epochs")
    # Rate 0 returns the model that a run starts from, and a network without training from scratch.
    if recipe.learning_rate < 0 or (recipe.learning_rate == 0 and recipe.model is None):
        raise UsageError("--learning-rate must be above 0")
    if recipe.class_weights != "none" and recipe.sampler != "shuffle":
        raise UsageError("--class-weights and --sampler balance the classes twice", "give one of them")
    if recipe.twin and recipe.against:
        raise UsageError("--twin and --against are both a comparison", "give one of them")
    if recipe.twin and objective.standard and not recipe.modifier:
        raise UsageError("a clean run is the same as its twin", "leave --twin out")
