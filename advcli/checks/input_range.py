"""Whether the input range fits the model: accuracy at chance level, or higher with another input range."""

from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding
from advcli.checks._chance import beyond_chance
from advcli.checks._scores import more_than_chance
from advcli.model.black_box import Access
from advcli.model.classifier import NotNumbers
from advcli.report.wording import count_noun

# The usual input ranges.
_RANGES = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0))


@dataclass(frozen=True)
class InputRange:
    """Suspect if clean accuracy is hardly better than guessing, or much better with another ``--input-range``.

    Args:
        share: of the way from guessing to perfect that clean accuracy must have come.
        images: fewer more correct images with another range are chance: even if all are on one side, 0.5^4 is 6%.
        points: so many percentage points more are chance, too.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = "class"

    share: float = 0.05
    images: int = 5
    points: float = 10.0

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare clean accuracy with guessing, and the range of the model with the usual others."""
        images, accuracy, guessing = len(evidence.labels), evidence.clean_accuracy, 1 / evidence.classes
        if images == 0:
            return None
        said = f"{accuracy:.1%} of {images} clean images are classified correctly; guessing would give {guessing:.1%}"
        own, other, values = self._other_range(evidence)
        # A model at chance level is also correct more often in one range than in another.
        least = max(own, round(guessing * len(evidence.pixels)))
        if more_than_chance(least, other, len(evidence.pixels), self.images, self.points):
            low, high = values
            said += (
                f"; of {len(evidence.pixels)} images, {own} are correct with this input range, "
                f"and {other} with values from {low:g} to {high:g}"
            )
            return Finding(
                True,
                said,
                f"the model seems to expect other pixel values: try --input-range {low:g},{high:g}",
                count_noun(len(evidence.pixels), "image"),
            )
        if len(evidence.pixels) > 1 and len(set(_seen(evidence))) == 1:
            said += f"; all of {len(evidence.pixels)} images are predicted as the same class"
        above = accuracy > guessing + self.share * (1 - guessing)
        if above and beyond_chance(round(accuracy * images), images, evidence.classes):
            return Finding(False, said)
        return Finding(
            True,
            said,
            "check --input-range, and that the classes are in the order of --labels or --class-order",
            count_noun(images, "image"),
        )

    def _other_range(self, evidence: Evidence) -> tuple[int, int, tuple[float, float]]:
        """Count the correct images in the model's own range and in the best other range, which is returned too."""
        own = evidence.classifier.input_range
        correct = {values: _right(evidence, values) for values in {own, *_RANGES}}
        best = max(correct.keys() - {own}, key=lambda values: (correct[values], values))
        return correct[own], correct[best], best


def _seen(evidence: Evidence) -> list[int]:
    return evidence.classifier.predict(evidence.pixels).argmax(axis=1).tolist()


def _right(evidence: Evidence, values: tuple[float, float]) -> int:
    if len(evidence.pixels) == 0:
        return 0
    try:
        probabilities = replace(evidence.classifier.itself, input_range=values).predict(evidence.pixels)
    except NotNumbers:
        return 0
    return int(np.sum(probabilities.argmax(axis=1) == evidence.indices))


COMPONENT = InputRange
