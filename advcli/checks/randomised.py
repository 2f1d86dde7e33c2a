"""Whether the model returns the same logits for the same images: randomness misleads most attacks."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._network import logits_of, random_layers
from advcli.model.black_box import Access
from advcli.report.wording import count_noun


@dataclass(frozen=True)
class Randomised:
    """Suspect if logits of the same images differ from call to call.

    Args:
        passes: how often the model is called.
        tolerance: allowed difference of an image's logits, relative to their length; rounding is below it.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = "scores"

    passes: int = 5
    tolerance: float = 1e-4

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Call the model several times on the same images."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        logits = np.stack([logits_of(evidence.classifier, evidence.pixels) for _ in range(self.passes)])
        lengths = np.maximum(np.linalg.norm(logits, axis=2).max(axis=0), 1e-12)
        apart = float((np.linalg.norm(np.ptp(logits, axis=0), axis=1) / lengths).max())
        if apart <= self.tolerance:
            return Finding(
                False,
                f"{self.passes} passes over {count} images return the same logits, up to {apart:.1e} of their norm",
            )
        classes = logits.argmax(axis=2)
        changed = int((classes != classes[0]).any(axis=0).sum())
        return Finding(
            True,
            f"{self.passes} passes over the same {count} images return logits that differ by up to {apart:.2g} of "
            f"their norm, and {changed} images change class; {_source(evidence)}",
            f"{_averaged(evidence)}{_repeated(evidence)}",
            f"{changed} of {count_noun(count, 'image')}",
        )


def _averaged(evidence: Evidence) -> str:
    """Advise attacks that average over the randomness."""
    if evidence.classifier.has_gradient:
        specs = ("pgd:eot=20", "apgd:eot=20", "autoattack:version=rand")
        return "average the gradient over the randomness" + (
            also_run(evidence, *specs) or ": read the attacks with eot"
        )
    return "a search cannot tell its progress from chance: ask several times" + also_run(evidence, "square:eot=20")


def _repeated(evidence: Evidence) -> str:
    if any(score.repeats > 1 for score in evidence.scores):
        return ""
    return "; count an image as correct only if several predictions are, with --repeats 10"


def _source(evidence: Evidence) -> str:
    """Name the random layers of the model."""
    if not evidence.classifier.has_gradient:
        return "a black-box model does not show the source of the randomness"
    layers = random_layers(evidence.original, evidence.pixels[:4])
    if not layers:
        return "no single layer is random, so the source is the code of the model itself"
    named = [f"'{layer.name}' ({type(layer).__name__})" for layer in layers]
    return f"random: {'layer' if len(named) == 1 else 'layers'} {', '.join(named)}"


COMPONENT = Randomised
