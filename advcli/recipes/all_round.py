"""Small-radius adversarial training with AugMix: for attacks and corruptions together."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class AllRound(TrainingRecipe):
    """A small radius and consistent predictions."""

    default: ClassVar[bool] = True

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {"objective": "augmix-at", "augment": "flip,crop", "epochs": epochs or 8, "ema": 0.99}


COMPONENT = AllRound
