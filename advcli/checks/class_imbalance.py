"""Whether the sample has all classes, and none far more often than the others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding


@dataclass(frozen=True)
class ClassImbalance:
    """Suspect if classes are missing that a random sample would have, or if few classes make up most of it.

    Args:
        share: the sample must be as even as this part of all classes would be, by the inverse Simpson index.
    """

    after: ClassVar[bool] = False

    share: float = 0.7

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Count the images of each class."""
        images, classes = len(evidence.labels), evidence.classes
        if images == 0:
            return None
        counts = np.bincount(evidence.labels, minlength=classes)
        shares = counts / images
        missing = int((counts == 0).sum())
        even = 1 / float((shares**2).sum())
        # A small sample cannot have all of many classes, nor as many of each: a fair draw of its size is the measure.
        fair = 1 / (1 / classes + (1 - 1 / classes) / images)
        lacks = missing > 0 and classes * (1 - 1 / classes) ** images < 0.05
        said = (
            f"{images} images of {classes - missing} of {classes} classes, {shares.max():.1%} of them of one class; "
            f"as varied as {even:.1f} classes of equal size, where a fair sample is as {fair:.1f}"
        )
        if not lacks and even >= self.share * fair:
            return Finding(False, said)
        return Finding(True, said, "take a stratified sample with --limit instead of --first, and see --per-class")


COMPONENT = ClassImbalance
