"""Whether the model returns logits, not probabilities or other bounded scores: those saturate."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._network import logits_of
from advcli.model import output_head
from advcli.model.black_box import Access
from advcli.report.wording import count_noun

# Far enough from the pixel range that every bounded output reaches its bound.
_SCALES = (30.0, 1000.0, -30.0, -1000.0)
_SCALED = 6


@dataclass(frozen=True)
class Probabilities:
    """Suspect if the outputs are probabilities or bounded, so that their gradient vanishes at the bound.

    Args:
        tolerance: how far from one the sums of an image's probabilities may be.
        near: outputs are equal to a bound within this part of the range of the images' outputs.
        share: of all outputs must be equal to a bound.
    """

    after: ClassVar[bool] = False
    needs: ClassVar[Access | None] = "gradient"

    tolerance: float = 1e-5
    near: float = 1e-3
    share: float = 0.1

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Look at the model's head, and at its outputs for the images, for noise and far outside the pixel range."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        remedy = (
            "save the model without its last activation, so that it ends in logits: gradients vanish where an output "
            "reaches its bound" + also_run(evidence, "square")
        )
        every = count_noun(count, "image")
        logits = logits_of(evidence.classifier, evidence.pixels)
        if evidence.classifier.head == output_head.LOGARITHM:
            sure = int((logits.max(axis=1) >= 0).sum())
            reached = f"{sure} of {count} images have" if sure else f"none of {count} images has yet"
            said = f"the model returns probabilities, and their logarithms are attacked: {reached} a probability of 1, "
            return Finding(True, f"{said}where the loss is flat", remedy, every)
        low, high, sums = float(logits.min()), float(logits.max()), logits.sum(axis=1, dtype=np.float64)
        between = f"the outputs for {count} images lie between {low:.3g} and {high:.3g}"
        if output_head.are_probabilities(logits, self.tolerance / 10):
            return Finding(True, f"{between} and sum to one: they are probabilities, not logits", remedy, every)
        bound = self._bound(evidence, logits)
        if bound:
            return Finding(True, f"{between}; {bound}", remedy, every)
        return Finding(
            False, f"{between}, and their sums between {sums.min():.3g} and {sums.max():.3g}: they are logits"
        )

    def _bound(self, evidence: Evidence, logits: np.ndarray) -> str:
        """Describe the bound that the outputs of several classes reach and never exceed; empty if there is none."""
        span = float(np.ptp(logits[np.isfinite(logits)])) if np.isfinite(logits).any() else 0.0
        if span == 0:
            return ""
        noise = np.random.default_rng(0).random((_SCALED, *evidence.pixels.shape[1:]), dtype=np.float32)
        far = [0.5 + scale * (part[:_SCALED] - 0.5) for scale in _SCALES for part in (evidence.pixels, noise)]
        inputs = np.concatenate([noise, *far]).astype(np.float32)
        outputs = np.concatenate([logits, logits_of(evidence.classifier, inputs)])
        outputs = outputs[np.isfinite(outputs).all(axis=1)]
        for side, extreme in (("above", outputs.max(initial=-np.inf)), ("below", outputs.min(initial=np.inf))):
            at_bound = np.abs(outputs - extreme) <= self.near * span
            # A single class may end at its own largest value, as where the layers before the last are bounded.
            if at_bound.mean() >= self.share and at_bound.any(axis=0).sum() > 1:
                return (
                    f"no output is {side} {extreme:.3g}, even for images far outside the pixel range, and "
                    f"{at_bound.mean():.0%} of all outputs are equal to it: the head is bounded"
                )
        return ""


COMPONENT = Probabilities
