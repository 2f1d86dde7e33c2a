"""Adversarial training with a growing radius and averaged weights: the strongest under attack."""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.recipes import TrainingRecipe, warm_up


@dataclass(frozen=True)
class Robust(TrainingRecipe):
    """N-FGSM."""

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        epochs = epochs or 8
        return {
            "objective": "n-fgsm",
            "augment": "flip,crop",
            "epochs": epochs,
            "eps_warmup": warm_up(epochs, 2),
            "learning_rate": 0.002,
            "ema": 0.99,
        }


COMPONENT = Robust
