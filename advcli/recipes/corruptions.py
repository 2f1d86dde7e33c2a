"""PRIME and PixMix on every image, and averaged weights: for corruptions that training never saw."""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class Corruptions(TrainingRecipe):
    """Diverse augmentations of clean training."""

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {"objective": "clean", "augment": "flip,crop,prime,pixmix", "epochs": epochs or 8, "ema": 0.99}


COMPONENT = Corruptions
