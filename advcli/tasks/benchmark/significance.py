"""Significance tests: McNemar's for two models on the same images, Fisher's for a model now and before."""

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import cast

from scipy.stats import fisher_exact

from advcli.errors import AdvcliError
from advcli.records import Change, Compared, Score
from advcli.tasks.benchmark.earlier_results import Baseline
from advcli.tasks.benchmark.intervals import mcnemar
from advcli.tasks.benchmark.perturbations import Kind
from advcli.tasks.benchmark.plan import Plan, above_zero
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.scores import correct_under
from advcli.threat.spelling import spell_perturbation

log = logging.getLogger(__name__)

_CHANCE = 0.05
# Of the difference of two shares of the same number.
_ROUNDING = 1e-12


def compare_models(plan: Plan, results: Results) -> Iterator[Compared]:
    """Compare every further model with the first one under each perturbation, by McNemar's exact test."""
    first, *others = plan.subjects
    for other in others:
        # At radius 0 the images are the clean ones.
        for measured in (*plan.shared, *above_zero(plan.of_kind(Kind.ATTACK)), *above_zero(plan.combined)):
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


# The model, the model before, and the perturbation -> the p-value of McNemar's exact test; None where not all is known.
Pairs = Callable[[Score, Score], float | None]


def pairs_of(plan: Plan, results: Results, baseline: Baseline, sample: str) -> Pairs | None:
    """Return the test of two models on the same images; None if the baseline has other images, or no predictions."""
    earlier = baseline.results
    if earlier is None or not sample or sample != baseline.sample or earlier.images != plan.images:
        return None
    measured = {tuple(each.place.values()): each for each in (*plan.shared, *plan.of_kind(Kind.ATTACK), *plan.combined)}

    def p_value(now: Score, before: Score) -> float | None:
        each = measured.get(tuple(now.place.values()))
        if each is None or now.images != len(plan.rows) or before.images != now.images:
            return None
        mine, theirs = (
            correct_under(known, score.model, each)[plan.rows] for known, score in ((results, now), (earlier, before))
        )
        if theirs.sum() != before.correct or mine.sum() != now.correct:
            # A batch of the earlier file was damaged, or its worst case is over other attacks.
            return None
        return mcnemar(mine, theirs)[2]

    return p_value


def changes(
    scores: Sequence[Score], baseline: Baseline, pairs: Pairs | None = None, tolerated: float | None = None
) -> Iterator[Change]:
    """Compare each score with the earlier one of the same model under the same perturbation.

    If there is one model now and there was one before, they are compared also if their names differ: a model before
    and after it was trained further. Where only counts are known, the p-value is that of Fisher's exact test on
    the table [[correct, wrong], [correct before, wrong before]].

    Args:
        scores: those of now.
        baseline: those of before.
        pairs: the test on the same images, if both have been measured on the same.
        tolerated: by how much an accuracy may be lower.
    """
    before = baseline.scores
    names, names_before = ({score.model for score in each} for each in (scores, before))
    renamed = {}
    if len(names) == len(names_before) == 1 and names != names_before:
        renamed = dict(zip(names_before, names, strict=True))
        log.info("the baseline is that of '%s'", *names_before)
    earlier = {(renamed.get(score.model, score.model), *score.place.values()): score for score in before}
    alone, elsewhere = [], {}
    for score in scores:
        was = earlier.get((score.model, *score.place.values()))
        # The worst case over other attacks is not comparable.
        if was is None or was.protocol != score.protocol:
            alone.append(f"{score.model} under {spell_perturbation(**score.place)}")
            continue
        counts = [[score.correct, score.images - score.correct], [was.correct, was.images - was.correct]]
        paired = None if pairs is None else pairs(score, was)
        p_value = float(cast(float, fisher_exact(counts)[1])) if paired is None else paired
        if paired is None and (score.data, score.images) != (was.data, was.images):
            elsewhere[f"{was.images} of '{was.data}' before, {score.images} of '{score.data}' now"] = None
        difference = score.accuracy - was.accuracy
        yield Change(
            model=score.model,
            data=score.data,
            seed=score.seed,
            **score.place,
            before_model=was.model,
            before=was.accuracy,
            after=score.accuracy,
            difference=difference,
            p_value=p_value,
            regression=score.accuracy < was.accuracy and p_value < _CHANCE,
            paired=paired is not None,
            tolerated=tolerated,
            met=None if tolerated is None else difference >= -tolerated - _ROUNDING,
        )
    if elsewhere:
        log.warning("the baseline was measured on other images: %s", "; ".join(elsewhere))
    if tolerated is not None and len(alone) == len(scores):
        raise AdvcliError(
            f"the baseline has none of these {len(scores)} accuracies: --fail-worse compares nothing",
            "measure the models, attacks and radii of the baseline, or one model here and there",
        )
    if before and alone:
        shown = ", ".join(alone[:5]) + (", ..." if len(alone) > 5 else "")
        log.warning("the baseline lacks %d of %d accuracies: %s", len(alone), len(scores), shown)
