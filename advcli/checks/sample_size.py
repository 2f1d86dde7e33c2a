"""Whether there are enough images: how wide the 95% interval of an accuracy will be."""

from dataclasses import dataclass
from typing import ClassVar

from scipy.stats import binomtest

from advcli.checks import Evidence, Finding
from advcli.model.black_box import Access
from advcli.report.wording import count_noun


@dataclass(frozen=True)
class SampleSize:
    """Suspect if the Wilson 95% interval of the most uncertain accuracy is too wide.

    Args:
        points: the largest accepted half-width, in percentage points.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = None

    # That takes 263 images; 5 points take 381, and 1 point 9,600.
    points: float = 6.0

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compute the half-width at the accuracy nearest to one half that an attack can reach."""
        images = len(evidence.labels)
        if images == 0:
            return None
        correct = round(min(evidence.clean_accuracy, 0.5) * images)
        interval = binomtest(correct, images).proportion_ci(method="wilson")
        half = 50 * (interval.high - interval.low)
        said = f"with {images} images, an accuracy is uncertain by up to {half:.1f} points (95% interval)"
        if half <= self.points:
            return Finding(False, said)
        return Finding(
            True,
            said,
            "measure more images (a larger --limit, or other data): four times as many halve the uncertainty",
            count_noun(images, "image"),
        )


COMPONENT = SampleSize
