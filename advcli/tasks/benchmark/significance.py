"""Two models, or a model now and before, on the same images: is the difference more than chance?"""

import logging
from collections.abc import Iterator, Sequence
from typing import cast

from scipy.stats import fisher_exact

from advcli.records import Change, Compared, Score
from advcli.tasks.benchmark.intervals import mcnemar
from advcli.tasks.benchmark.perturbations import Kind
from advcli.tasks.benchmark.plan import Plan, above_zero
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.scores import correct_under

log = logging.getLogger(__name__)

_CHANCE = 0.05


def compare_models(plan: Plan, results: Results) -> Iterator[Compared]:
    """Compare every further model with the first one, under each perturbation, image by image."""
    first, *others = plan.subjects
    for other in others:
        # At no radius there is nothing but the clean images again.
        for measured in (*plan.shared, *above_zero(plan.of_kind(Kind.ATTACK)), *above_zero(plan.worsts)):
            mine = correct_under(results, other.name, measured)[plan.rows]
            theirs = correct_under(results, first.name, measured)[plan.rows]
            only_mine, only_theirs, p_value = mcnemar(mine, theirs)
            yield Compared(
                model=other.name,
                data=plan.data,
                seed=plan.seed,
                **measured.place,
                against=first.name,
                difference=float(mine.mean() - theirs.mean()),
                only_model=only_mine,
                only_against=only_theirs,
                p_value=p_value,
            )


def changes(scores: Sequence[Score], before: Sequence[Score]) -> Iterator[Change]:
    """Compare each score with the earlier one of the same model under the same perturbation.

    Of the earlier one only the counts are known, so what is asked is whether two samples of this size
    differ by so much by chance (Fisher's exact test).
    """
    earlier = {(score.model, *score.place.values()): score for score in before}
    alone = []
    for score in scores:
        was = earlier.get((score.model, *score.place.values()))
        # The worst case of other attacks is another question.
        if was is None or was.protocol != score.protocol:
            alone.append(f"{score.model} under {score.perturbation}")
            continue
        counts = [[score.correct, score.images - score.correct], [was.correct, was.images - was.correct]]
        p_value = float(cast(float, fisher_exact(counts)[1]))
        yield Change(
            model=score.model,
            data=score.data,
            seed=score.seed,
            **score.place,
            before=was.accuracy,
            after=score.accuracy,
            difference=score.accuracy - was.accuracy,
            p_value=p_value,
            regression=score.accuracy < was.accuracy and p_value < _CHANCE,
        )
    if before and alone:
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        log.warning("the baseline says nothing of %d of %d accuracies: %s", len(alone), len(scores), shown)
