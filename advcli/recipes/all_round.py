"""Adversarial training at a small radius on images changed by PRIME: for attacks and corruptions."""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.recipes import TrainingRecipe, warm_up


@dataclass(frozen=True)
class AllRound(TrainingRecipe):
    """N-FGSM in the ball of 2/255, which costs less clean accuracy than a larger one."""

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        epochs = epochs or 6
        return {
            "objective": "n-fgsm",
            "eps": 2 / 255,
            "augment": "flip,crop,prime",
            "epochs": epochs,
            "eps_warmup": warm_up(epochs, 1),
            "learning_rate": 0.002,
            "ema": 0.99,
        }


COMPONENT = AllRound
