"""AugMix with its divergence on images that PRIME has changed: for corruptions that training never saw."""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class Corruptions(TrainingRecipe):
    """Diverse augmentations and consistent predictions."""

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {"objective": "augmix", "augment": "flip,crop,prime", "epochs": epochs or 8, "ema": 0.99}


COMPONENT = Corruptions
