"""The article: adversarial regularization with all six augmentations.

Kept: the multiplier and the step of 0.2 in the infinity norm, all six augmentations, one more stage at each plateau.
Changed, because pretrained weights do not survive it otherwise: the optimizer and BatchNorm's mode, by the defaults
for pretrained weights.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class Article(TrainingRecipe):
    """The article's training."""

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {"objective": "nsl", "augment": "article", "epochs": epochs or 8}


COMPONENT = Article
