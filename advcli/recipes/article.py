"""The article: adversarial regularization with all six augmentations.

Kept: nsl's loss and its infinity norm, the augmentations, and that the head learns before the layers below it.
Changed: the step is 3/255 in place of 0.2, which costs clean accuracy and gains none against smaller perturbations; its
loss counts half as much as the clean one, in place of a fifth; the optimizer and the mode of BatchNorm are those for
pretrained weights; the weights are averaged.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from advcli.recipes import TrainingRecipe


@dataclass(frozen=True)
class Article(TrainingRecipe):
    """The article's training, with what it takes to keep its promise."""

    measured: ClassVar[Mapping[str, float]] = {
        "clean": 92.4,
        "15 corruptions": 83.5,
        "10 unseen": 83.4,
        "PGD-20 2/255": 77.6,
        "PGD-20 4/255": 55.8,
        "AutoAttack 4/255": 49.0,
    }

    def __call__(self, epochs: int | None) -> Mapping[str, object]:
        """Return the values of the options."""
        return {
            "objective": "nsl:adv_step_size=0.01176,multiplier=0.5",
            "augment": "article",
            "epochs": epochs or 12,
            "learning_rate": 0.002,
            "ema": 0.99,
        }


COMPONENT = Article
