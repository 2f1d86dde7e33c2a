"""What a run would take, from a few steps of it."""

import sys
import time
from collections.abc import Generator, Iterator
from dataclasses import replace
from itertools import chain, islice

from advcli import registry
from advcli.backend import keras
from advcli.objectives import economical_objective
from advcli.recipes import TrainingRecipe
from advcli.records import Planned, Progress
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.named_recipe import values_of
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.trainer import Trainer

_TIMED = 2

# Weights are kept four times as models, with the averages five, and once more in the checkpoint with the optimizer's.
_COPIES = 4


def plan(recipe: Recipe, data: TrainingData, name: str) -> Iterator[Planned | Progress]:
    """Time the first step, two more, and a validation, on one device with everything unfrozen; write nothing.

    With several norms, a step is timed in each, and all count alike.

    Args:
        recipe: the recipe of the run.
        data: the images.
        name: the name of the run.
    """
    yield Progress("timing", 0, 0)
    keras.utils.set_random_seed(recipe.seed)
    expected = expected_accuracies(recipe)
    # The fit of a new head takes no longer than the epoch whose place it takes.
    named, recipe = recipe.recipe, replace(recipe, unfreeze="all", new_head="steps", adv_start_epoch=1)
    trainer = Trainer(recipe, data, find_devices("one"))
    first, each = yield from _timed(trainer)
    yield Progress("timing the validation", 0, 0)
    trainer.validate()
    start = time.perf_counter()
    trainer.validate()
    validation = (time.perf_counter() - start) * (2 if recipe.ema else 1)
    epoch = each * trainer.batches.steps + validation
    cheaper = None
    economical = _economical(recipe) if trainer.objective.robust else None
    if economical is not None and registry.canonical(recipe.objective) != economical:
        _, cheaper = yield from _timed(
            Trainer(replace(recipe, objective=economical, modifier=()), data, find_devices("one"))
        )
    weights = sum(int(variable.numpy().nbytes) for variable in trainer.model.variables)
    kept = sum(int(variable.numpy().nbytes) for variable in trainer.variables)
    yield Planned(
        model=name,
        data=data.dataset.name,
        seed=recipe.seed,
        parameters=trainer.model.count_params(),
        images=len(data.train),
        steps_an_epoch=trainer.batches.steps,
        epochs=recipe.epochs,
        seconds_to_begin=first - each,
        seconds_a_step=each,
        seconds_a_validation=validation,
        seconds_an_epoch=epoch,
        seconds=first - each + recipe.epochs * epoch,
        memory=_peak_memory(),
        disk=weights * (_COPIES + bool(recipe.ema)) + kept,
        cheaper=economical if cheaper is not None and cheaper < each else None,
        cheaper_seconds_a_step=cheaper if cheaper is not None and cheaper < each else None,
        recipe=named,
        expected=expected,
    )


def expected_accuracies(recipe: Recipe) -> dict[str, float] | None:
    """Return what the named recipe has reached; None if an option that it sets has another value."""
    if recipe.recipe is None:
        return None
    named: TrainingRecipe = registry.build("recipes", recipe.recipe)
    if any(getattr(recipe, option) != value for option, value in values_of(named).items()):
        return None
    return dict(named.measured) or None


def _economical(recipe: Recipe) -> str | None:
    """Return the objective with the shortest step that trains in every norm of the run; None if there is none."""
    names = {economical_objective(ball.norm) for ball in recipe.balls}
    return names.pop() if len(names) == 1 else None


def _timed(trainer: Trainer) -> Generator[Progress, None, tuple[float, float]]:
    """Return the seconds of the first step, tracing included, and of each of the next, a mean over the norms."""
    begun = each = 0.0
    count = len(trainer.recipe.balls)
    for ball in range(count):
        first, one = yield from _timed_in(trainer, ball)
        begun, each = begun + first - one, each + one / count
    return begun + each, each


def _timed_in(trainer: Trainer, ball: int) -> Generator[Progress, None, tuple[float, float]]:
    """Return the seconds of the first step, tracing included, and of each of the next in one of the balls."""
    times = [time.perf_counter()]
    epochs = (trainer.epoch(Checkpoint(), ball) for _ in range(1 + _TIMED))
    for _ in islice(chain.from_iterable(epochs), 1 + _TIMED):
        times.append(time.perf_counter())
        yield Progress("timing", 0, 0)
    return times[1] - times[0], (times[-1] - times[1]) / _TIMED


def _peak_memory() -> int:
    """Return the peak memory of this process in bytes."""
    # Not on Windows.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
