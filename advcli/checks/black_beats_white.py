"""Whether an attack without gradients breaks more than those with: a sign that the gradient is masked.

Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding
from advcli.checks._scores import balls, left_right, more_than_chance, single_step, strongest


@dataclass(frozen=True)
class BlackBeatsWhite:
    """Suspect if the best attack on scores, on decisions or at random beats the best that follows the gradient.

    A gradient attack of one step is no measure of what gradients can do, so it takes one of several. Those made to
    transfer follow the gradient of the model itself here, so they are not black boxes.

    Args:
        images: fewer more than this are chance: even if all are on one side, 0.5^4 is 6%.
        points: so many percentage points more are chance, too, where there are many images.
    """

    after: ClassVar[bool] = True

    images: int = 5
    points: float = 0.2

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare them in each ball that both searched."""
        pairs = []
        for ball in balls(evidence.scores):
            black = strongest(ball, "score", "decision", "random")
            several = [score for score in ball if not single_step(score)]
            # A suite also has attacks without gradients, so it only stands in for those with.
            white = strongest(several, "gradient", "smallest", "transfer") or strongest(ball, "suite")
            if black and white:
                pairs.append((black, white))
        if not pairs:
            return None
        black, white = max(pairs, key=lambda pair: pair[1].correct - pair[0].correct)
        said = f"at {black.norm} {black.eps:g} {left_right(black)}, {white.perturbation} {white.correct}"
        if not more_than_chance(black.correct, white.correct, black.images, self.images, self.points):
            return Finding(False, said)
        return Finding(
            True,
            said,
            "the gradient is masked, or the gradient attack too short: give it more steps and restarts, "
            "look for rounding or saturation in the model, and count the worst case",
        )


COMPONENT = BlackBeatsWhite
