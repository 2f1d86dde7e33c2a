"""Whether images that are measured were also trained on: the model may know them by heart."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding


@dataclass(frozen=True)
class Duplicates:
    """Suspect if images that are measured are among those to train on, pixel for pixel.

    Args:
        share: of the images may be, as published data sets have a few.
    """

    after: ClassVar[bool] = False

    share: float = 0.001

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Look for each image's hash among those to train on; nothing is said if there are none."""
        images = len(evidence.test_hashes)
        if images == 0 or not evidence.train_hashes:
            return None
        known = sum(test in evidence.train_hashes for test in evidence.test_hashes)
        said = f"{known} of {images} images are also among the {len(evidence.train_hashes)} different ones to train on"
        if known <= self.share * images:
            return Finding(False, said)
        return Finding(True, said, "take them out of the training data and train anew, or measure on other images")


COMPONENT = Duplicates
