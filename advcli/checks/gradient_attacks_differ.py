"""Whether one gradient attack fools few images where another fools most: it is too weak to report.

Carlini et al. 2019, https://arxiv.org/abs/1902.06705
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli import registry
from advcli.checks import Evidence, Finding
from advcli.checks._scores import ball_of, balls, single_step
from advcli.model.black_box import Access
from advcli.records import Score
from advcli.report.wording import count_noun
from advcli.threat.spelling import spell_spec

_KINDS = ("gradient", "transfer", "minimum-norm", "suite")


@dataclass(frozen=True)
class GradientAttacksDiffer:
    """Suspect if one gradient attack fools far fewer images than the best one in the same ball.

    Args:
        most: the best one must fool this share of the images that are correct when clean.
        share: of what the best one fools, the other must fool this part.
        single_step: the same for an attack of one gradient step, which is weaker by nature.
        images: so many images more must the best one fool.
    """

    after: ClassVar[bool] = True
    needs: ClassVar[Access | None] = "gradient"

    most: float = 0.5
    share: float = 0.25
    single_step: float = 0.05
    images: int = 5

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Compare all of them with the best one in each ball."""
        compared: list[tuple[Score, Score, int]] = []
        for ball in balls(evidence.scores):
            scores = [score for score in ball if registry.component("attacks", score.perturbation).kind in _KINDS]
            if len(scores) > 1:
                best = min(scores, key=lambda score: score.correct)
                clean = round(evidence.clean_accuracy * best.images)
                compared += [(score, best, clean) for score in scores if score is not best]
        if not compared:
            return None
        suspects = [each for each in compared if self._is_weak(*each)]
        weak, best, clean = max(suspects or compared, key=lambda each: each[0].correct - each[1].correct)
        said = (
            f"at {ball_of(best)}, {spell_spec(weak.perturbation)} fools {clean - weak.correct} of {clean} images, "
            f"{spell_spec(best.perturbation)} fools {clean - best.correct}"
        )
        if not suspects:
            return Finding(False, said)
        return Finding(
            True,
            said,
            f"do not report {spell_spec(weak.perturbation)} alone: its loss or its steps do not fit this model; report "
            "the worst case, and look for saturation or rounding in the model",
            count_noun(len({weak.perturbation for weak, _, _ in suspects}), "attack"),
        )

    def _is_weak(self, score: Score, best: Score, clean: int) -> bool:
        fooled, by_best = clean - score.correct, clean - best.correct
        share = self.single_step if single_step(score) else self.share
        return by_best >= self.most * clean and by_best - fooled >= self.images and fooled <= share * by_best


COMPONENT = GradientAttacksDiffer
