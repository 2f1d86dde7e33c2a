"""The optimizer of a run, and its learning rate at every step."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from advcli import registry
from advcli.backend import Optimizer, Variable, keras
from advcli.errors import UsageError, nearest
from advcli.schedules import Schedule
from advcli.tasks.train.recipe import Recipe

OPTIMIZERS = ("sgd", "adamw", "scaled-adam")


def refuse_unknown_optimizer(name: str) -> None:
    """Refuse an unknown optimizer.

    Raises:
        UsageError: the optimizer is not in ``OPTIMIZERS``.
    """
    if name not in OPTIMIZERS:
        raise UsageError(f"unknown optimizer '{name}'", nearest(name, OPTIMIZERS))


def make_optimizer(
    recipe: Recipe,
    weights: Sequence[Variable],
    filters: Mapping[str, tuple[int, ...]] = MappingProxyType({}),
) -> Optimizer:
    """Build the optimizer on all weights, including those frozen at first, so that it is never rebuilt.

    Args:
        recipe: the optimizer and its options.
        weights: the weights.
        filters: the axes of one filter of each depthwise kernel, by the path of the kernel.
    """
    if recipe.optimizer == "sgd":
        optimizer = keras.optimizers.SGD(recipe.learning_rate, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    else:
        if recipe.optimizer == "adamw":
            optimizer = keras.optimizers.AdamW(recipe.learning_rate, weight_decay=recipe.weight_decay)
        else:
            from advcli.tasks.train.scaled_adam import make_scaled_adam

            optimizer = make_scaled_adam(recipe.learning_rate, recipe.weight_decay, filters)
        optimizer.exclude_from_weight_decay(var_list=[weight for weight in weights if not decays(weight)])
    optimizer.build(weights)
    return optimizer


def decays(weight: Variable) -> bool:
    """Return whether weight decay applies to this weight: kernels, not biases or BatchNorm's scales and shifts."""
    return len(weight.shape) > 1


@dataclass(frozen=True)
class LearningRate:
    """The rate of every step: a linear warm-up, then the schedule.

    Args:
        highest: the highest rate, which the schedule's fractions multiply.
        schedule: the schedule after the warm-up.
        warm_up: the steps of the warm-up.
        steps: all steps of the run.
        restart: the steps in which the rate rises again when more layers begin to learn.
    """

    highest: float
    schedule: Schedule
    warm_up: int
    steps: int
    restart: int = 0

    @classmethod
    def of(cls, recipe: Recipe, steps_an_epoch: int) -> "LearningRate":
        """Read the recipe; unless it says otherwise, the warm-up is an epoch, and at most a tenth of the run."""
        schedule: Schedule = registry.build("schedules", recipe.schedule)
        steps = recipe.epochs * steps_an_epoch
        if recipe.warmup is not None:
            warm_up = round(recipe.warmup * steps_an_epoch)
        else:
            warm_up = 0 if schedule.rises else min(steps_an_epoch, max(1, steps // 10))
        return cls(recipe.learning_rate, schedule, min(warm_up, steps), steps, max(1, steps_an_epoch // 2))

    def at(self, step: int, losses: Sequence[float], stage_began: int = 0) -> float:
        """Return the rate of a step.

        Args:
            step: from 0.
            losses: the training losses of the whole epochs before.
            stage_began: the first step of the stage; after the first stage the rate rises from zero again.
        """
        risen = min(1.0, (step - stage_began + 1) / self.restart) if stage_began else 1.0
        return risen * self._scheduled(step, losses)

    def _scheduled(self, step: int, losses: Sequence[float]) -> float:
        if step < self.warm_up:
            return self.highest * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.highest * self.schedule(progress, losses)
