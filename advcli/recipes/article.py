"""The article: adversarial regularization with all six augmentations.

Kept: nsl's loss and its infinity norm, the augmentations, and that the head learns before the layers below it.
Changed: the step is 4/255 in place of 0.2, which costs clean accuracy and gains none against smaller perturbations; its
loss counts as much as the clean one; the optimizer and the mode of BatchNorm are those for pretrained weights; the
weights are averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class Article(TrainingRecipe):
    """The article's training, with what it takes to keep its promise."""

    measured: ClassVar[Mapping[str, float]] = {
        "clean": 90.2,
        "15 corruptions": 80.0,
        "10 unseen": 82.2,
        "PGD-20 2/255": 75.4,
        "PGD-20 4/255": 56.6,
    }

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {
            "objective": "nsl:adv_step_size=0.0157,multiplier=1",
            "augment": "article",
            "epochs": epochs or 8,
            "learning_rate": 0.002,
            "ema": 0.99,
        }


COMPONENT = Article
