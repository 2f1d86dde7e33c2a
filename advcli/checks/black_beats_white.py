"""Whether an attack without gradients fools more than those with gradients: a sign of gradient masking.

Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from advcli import registry
from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._scores import ball_of, balls, left_correct, more_than_chance, searches, single_step, strongest
from advcli.model.black_box import Access
from advcli.report.wording import count_noun
from advcli.threat.spelling import spell_spec

_BLACK = ("score", "decision", "random")
_WHITE = ("gradient", "minimum-norm", "transfer")


@dataclass(frozen=True)
class BlackBeatsWhite:
    """Suspect if the best attack without gradients fools more images than the best gradient attack.

    Only gradient attacks of several steps are compared. Transfer attacks use the gradient of the model itself here,
    so they are not black-box attacks. Inside a suite, a member
    without gradients must not fool images that all members with gradients before it left.

    Args:
        images: fewer more than this are chance: even if all are on one side, 0.5^4 is 6%.
        points: so many percentage points more are chance, too, where there are many images.
        suite_images: the same inside a suite, where a member attacks only what those before it left correct.
    """

    after: ClassVar[bool] = True
    needs: ClassVar[Access | None] = "gradient"

    images: int = 5
    points: float = 0.2
    suite_images: int = 3

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare them in each ball that both searched, and the members of each suite."""
        compared = [*self._attacks(evidence), *self._members(evidence)]
        if not compared:
            return None
        found = max(compared, key=lambda each: (each.suspect, each.more))
        if not found.suspect:
            return Finding(False, found.said)
        return Finding(
            True,
            found.said,
            "the gradient may be masked, or the gradient attack too weak: look for rounding, randomness or saturation "
            "in the model, give the gradient attack more steps and restarts, and report the worst case"
            + also_run(evidence, "square"),
            count_noun(sum(each.suspect for each in compared), "comparison of attacks", "comparisons of attacks"),
        )

    def _attacks(self, evidence: Evidence) -> "Iterator[_Compared]":
        for ball in balls(evidence.scores):
            black = strongest(ball, *_BLACK)
            several = [score for score in ball if not single_step(score)]
            # A suite also has attacks without gradients, so it only stands in for those with.
            white = strongest(several, *_WHITE) or strongest(ball, "suite")
            if black and white:
                best = spell_spec(white.perturbation)
                said = f"at {ball_of(black)}, {left_correct(black)}, {best} leaves {white.correct}"
                suspect = more_than_chance(black.correct, white.correct, black.images, self.images, self.points)
                yield _Compared(said, white.correct - black.correct, suspect)

    def _members(self, evidence: Evidence) -> "Iterator[_Compared]":
        for score in searches(evidence.scores):
            if score.eps == 0 or not score.fooled_by:
                continue
            left, whites = score.correct + sum(score.fooled_by.values()), []
            for spec, fooled in score.fooled_by.items():
                kind = registry.component("attacks", spec).kind
                if kind in _BLACK and whites:
                    suite = spell_spec(score.perturbation)
                    said = (
                        f"at {ball_of(score)}, in {suite}, {spec} fools {fooled} of the {left} "
                        f"images that {', '.join(whites)} left correct"
                    )
                    suspect = more_than_chance(left - fooled, left, score.images, self.suite_images, self.points)
                    yield _Compared(said, fooled, suspect)
                elif kind in _WHITE:
                    whites.append(spec)
                left -= fooled


@dataclass(frozen=True)
class _Compared:
    """One comparison: how many more images are fooled without gradients, and whether that is suspect."""

    said: str
    more: int
    suspect: bool


COMPONENT = BlackBeatsWhite
