"""Whether an attack fools fewer images at a larger radius, whose ball contains the smaller one."""

import itertools
from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._scores import ball_of, left_correct, more_than_chance, searches
from advcli.model.black_box import Access
from advcli.records import Score
from advcli.report.wording import count_noun


@dataclass(frozen=True)
class RisesWithEps:
    """Suspect if an attack leaves more images correct at a larger radius.

    Args:
        images: fewer more than this are chance: even if all are on one side, 0.5^4 is 6%.
        points: so many percentage points more are chance, too, where there are many images.
    """

    after: ClassVar[bool] = True
    needs: ClassVar[Access | None] = None

    images: int = 5
    points: float = 0.2

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare each attack's score with its lowest at any smaller radius."""

        def curve(score: Score) -> tuple[str, str]:
            return score.perturbation, str(score.norm)

        pairs = []
        scores = sorted(searches(evidence.scores), key=lambda score: (curve(score), score.eps))
        for _, group in itertools.groupby(scores, key=curve):
            lowest, *larger = group
            for score in larger:
                pairs.append((lowest, score))
                lowest = min(lowest, score, key=lambda each: each.correct)
        if not pairs:
            return None
        lowest, score = max(pairs, key=lambda pair: pair[1].correct - pair[0].correct)
        if not more_than_chance(lowest.correct, score.correct, score.images, self.images, self.points):
            return Finding(
                False, f"no attack leaves more images correct at a larger radius ({len(pairs)} pairs of radii compared)"
            )
        rising = {
            curve(score)
            for lowest, score in pairs
            if more_than_chance(lowest.correct, score.correct, score.images, self.images, self.points)
        }
        return Finding(
            True,
            f"{left_correct(lowest)} at {ball_of(lowest)}, but {score.correct} at {ball_of(score)}",
            "report the smaller number at both radii, and give the attack more and smaller steps"
            + also_run(evidence, "pgd"),
            count_noun(len(rising), "attack"),
        )


COMPONENT = RisesWithEps
