"""Whether measured images are also among the training images: the model may have memorized them."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding
from advcli.model.black_box import Access
from advcli.report.wording import count_noun


@dataclass(frozen=True)
class Duplicates:
    """Suspect if evaluated images are also training images, pixel for pixel.

    Args:
        share: share of duplicates that is tolerated, as published data sets have a few.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = None

    share: float = 0.001

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare the images with all training images."""
        overlap = evidence.overlap
        if overlap is None or overlap.images == 0 or overlap.train_images == 0:
            return None
        said = (
            f"{overlap.equal} of {overlap.images} measured images are also among the training images, pixel for pixel "
            f"(all {overlap.train_images} training images compared)"
        )
        if overlap.unreadable:
            said = said.removesuffix(")") + f"; {overlap.unreadable} others cannot be read)"
        if overlap.equal <= self.share * overlap.images:
            return Finding(False, said)
        return Finding(
            True,
            said,
            "remove these images from the training data and train again, or measure on other images",
            f"{overlap.equal} of {count_noun(overlap.images, 'image')}",
        )


COMPONENT = Duplicates
