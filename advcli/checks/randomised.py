"""Whether the model answers the same question the same way: noise inside it misleads attacks that ask once."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding
from advcli.checks._network import logits_of


@dataclass(frozen=True)
class Randomised:
    """Suspect if logits of the same images differ from call to call.

    Args:
        passes: how often the model is asked.
        tolerance: how far an image's logits may be apart, as a fraction of their length; rounding is below it.
    """

    after: ClassVar[bool] = False

    passes: int = 5
    tolerance: float = 1e-4

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Ask the model several times about the same images."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        logits = np.stack([logits_of(evidence.classifier, evidence.pixels) for _ in range(self.passes)])
        lengths = np.maximum(np.linalg.norm(logits, axis=2).max(axis=0), 1e-12)
        apart = float((np.linalg.norm(np.ptp(logits, axis=0), axis=1) / lengths).max())
        if apart <= self.tolerance:
            return Finding(False, f"{self.passes} passes of {count} images agree to {apart:.1e} of the logits' length")
        classes = logits.argmax(axis=2)
        changed = int((classes != classes[0]).any(axis=0).sum())
        return Finding(
            True,
            f"{self.passes} passes of the same {count} images differ by up to {apart:.2g} of the logits' length, "
            f"and {changed} change class",
            "average the gradient over the model's noise: pgd:eot=20, apgd:eot=20 or autoattack:version=rand",
        )


COMPONENT = Randomised
