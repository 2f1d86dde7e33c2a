"""Whether a single-step attack fools more images than iterative ones: a sign of gradient masking.

Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._scores import ball_of, balls, left_correct, more_than_chance, single_step, strongest
from advcli.model.black_box import Access
from advcli.report.wording import count_noun
from advcli.threat.spelling import spell_spec


@dataclass(frozen=True)
class SingleBeatsMulti:
    """Suspect if the best single-step attack leaves fewer images correct than the best gradient attack of many steps.

    Args:
        images: fewer more than this are chance: even if all are on one side, 0.5^4 is 6%.
        points: so many percentage points more are chance, too, where there are many images.
    """

    after: ClassVar[bool] = True
    needs: ClassVar[Access | None] = "gradient"

    images: int = 5
    points: float = 0.2

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare them in each ball that both searched."""
        pairs = []
        for ball in balls(evidence.scores):
            single = strongest(filter(single_step, ball), "gradient")
            several = strongest((score for score in ball if not single_step(score)), "gradient")
            # A suite also has attacks without gradients, so it only stands in for those with.
            several = several or strongest(ball, "suite")
            if single and several:
                pairs.append((single, several))
        if not pairs:
            return None
        single, several = max(pairs, key=lambda pair: pair[1].correct - pair[0].correct)
        said = (
            f"at {ball_of(single)}, {left_correct(single)}, {spell_spec(several.perturbation)} leaves {several.correct}"
        )
        if not more_than_chance(single.correct, several.correct, single.images, self.images, self.points):
            return Finding(False, said)
        beaten = {
            weak.perturbation
            for strong, weak in pairs
            if more_than_chance(strong.correct, weak.correct, strong.images, self.images, self.points)
        }
        return Finding(
            True,
            said,
            "the gradient may be misleading at a distance from the image: run the iterative attack with more and "
            "smaller steps, and with more restarts" + also_run(evidence, "square"),
            count_noun(len(beaten), "attack"),
        )


COMPONENT = SingleBeatsMulti
