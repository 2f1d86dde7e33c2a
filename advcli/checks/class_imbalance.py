"""Whether all classes occur in the sample, and none far more often than the others."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding
from advcli.model.black_box import Access
from advcli.report.wording import count_noun


@dataclass(frozen=True)
class ClassImbalance:
    """Suspect if classes are missing that a random sample would have, or if few classes make up most of it.

    Args:
        share: the sample must be as even as this part of all classes would be, by the inverse Simpson index.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = None

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
        # A small sample cannot have all of many classes, so it is compared with a random sample of its size.
        fair = 1 / (1 / classes + (1 - 1 / classes) / images)
        lacks = missing > 0 and classes * (1 - 1 / classes) ** images < 0.05
        said = (
            f"{classes - missing} of {classes} classes occur among {images} images, "
            f"the most frequent one with {shares.max():.1%} of them"
        )
        if not lacks and even >= self.share * fair:
            return Finding(False, f"classes are balanced: {said}")
        wrong = "classes are missing" if lacks else "classes are not balanced"
        return Finding(
            True,
            f"{wrong}: {said}",
            "take a stratified sample (--limit) instead of the first images (--first), and read the accuracy of each "
            "class (--per-class)",
            count_noun(images, "image"),
        )


COMPONENT = ClassImbalance
