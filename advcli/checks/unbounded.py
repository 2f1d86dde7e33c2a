"""Whether an attack with a nearly unlimited radius fools every image: if not, the gradient is masked.

Athalye, Carlini and Wagner 2018, https://arxiv.org/abs/1802.00420
"""

from dataclasses import dataclass
from typing import ClassVar

from advcli.checks import Evidence, Finding
from advcli.checks._advice import also_run
from advcli.checks._chance import beyond_chance
from advcli.model.black_box import Access
from advcli.report.wording import count_noun
from advcli.threat.spelling import spell_threat
from advcli.threat.threat import Norm, Threat


@dataclass(frozen=True)
class Unbounded:
    """Suspect if PGD in a ball of nearly all images leaves more images correct than guessing.

    Args:
        eps: radius of the linf ball, in units of [0, 1].
        steps: number of gradient steps.
    """

    after: ClassVar[bool] = True
    needs: ClassVar[Access | None] = "gradient"

    eps: float = 0.99
    steps: int = 100

    def __call__(self, evidence: Evidence) -> Finding | None:
        """Attack the sample with PGD."""
        count = len(evidence.pixels)
        if count == 0:
            return None
        # A random point of so large a ball is misclassified anyway, which would hide a useless gradient.
        spec = f"pgd:steps={self.steps},random_start=false"
        correct = int(evidence.correct_under(spec, Threat(Norm.LINF, self.eps)).sum())
        left = f"{spec} at {spell_threat('linf', self.eps)} leaves {correct} of {count} images correct"
        said = f"{left}; guessing would get 1 in {evidence.classes} correct"
        if not beyond_chance(correct, count, evidence.classes):
            return Finding(False, said)
        return Finding(
            True,
            said,
            "the gradient does not lead to adversarial images even if nearly every change is allowed: images that are "
            "still correct at smaller radii are no evidence of robustness" + also_run(evidence, "square"),
            f"{correct} of {count_noun(count, 'image')}",
        )


COMPONENT = Unbounded
