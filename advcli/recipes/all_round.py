"""Adversarial regularization at a small step on images changed by PRIME and PixMix: for attacks and corruptions."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class AllRound(TrainingRecipe):
    """The loss of the article with a step of 2/255, on the augmentations for corruptions, with averaged weights."""

    default: ClassVar[bool] = True
    measured: ClassVar[Mapping[str, float]] = {
        "clean": 92.8,
        "15 corruptions": 86.9,
        "10 unseen": 86.0,
        "PGD-20 2/255": 76.4,
        "PGD-20 4/255": 47.4,
        "AutoAttack 4/255": 40.0,
    }

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {
            "objective": "nsl:adv_step_size=0.00784,multiplier=0.5",
            "augment": "flip,crop,prime,pixmix",
            "epochs": epochs or 12,
            "learning_rate": 0.002,
            "ema": 0.99,
        }


COMPONENT = AllRound
