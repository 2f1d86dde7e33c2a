"""Recipes of training: one file a recipe, a set of options of ``advcli train`` that were measured together."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

# What is of an objective, and means nothing to another.
OF_OBJECTIVE = ("objective", "attack", "modifier", "eps", "eps_warmup", "adv_start_epoch")


class TrainingRecipe(ABC):
    """Values of options, by the fields of the training request.

    ``measured``: test accuracies in per cent on ten classes of Tiny ImageNet at 64 pixels with MobileNetV2 at stem
        stride 2, by the name of the column: what to expect of a similar network (see docs/results.md).
    ``default``: it is the one for pretrained weights if neither a recipe nor an objective is given.
    """

    measured: ClassVar[Mapping[str, float]] = {}
    default: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options that the recipe sets; augmentations as they are typed.

        Args:
            epochs: the epochs that the user gave; None means those of the recipe.
        """


def warm_up(epochs: int, wanted: float) -> float:
    """Return the epochs in which the radius grows: as many as wanted, at most half of the run."""
    return min(wanted, epochs / 2)
