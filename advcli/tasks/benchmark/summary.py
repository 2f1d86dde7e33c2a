"""The summary of an evaluation: group means, corruption errors, comparisons, details, gates."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from advcli.records import Record, Score
from advcli.tasks.benchmark.believed import calibrations
from advcli.tasks.benchmark.corruption_records import corruption_errors
from advcli.tasks.benchmark.earlier_results import Baseline
from advcli.tasks.benchmark.gates import Least, judged
from advcli.tasks.benchmark.per_class import by_class, confusions
from advcli.tasks.benchmark.plan import Plan
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.requirements import RequirementsFile, judged_requirements
from advcli.tasks.benchmark.significance import changes, compare_models, pairs_of
from advcli.tasks.benchmark.slices import by_value
from advcli.tasks.benchmark.training_coverage import group_means


@dataclass(frozen=True)
class Summary:
    """The options of the summary.

    Args:
        per_class: whether each class is scored and the most frequent confusions are listed.
        relative_to: the reference model of the relative corruption errors.
        gates: the accuracies that must be reached.
        baseline: earlier results.
        by: the columns whose values are scored.
        requirements: those that must be met.
        tolerated: by how much an accuracy may be lower than that of the baseline; None if that does not matter.
    """

    per_class: bool = False
    relative_to: str | None = None
    gates: tuple[Least, ...] = ()
    baseline: Baseline | None = None
    by: tuple[str, ...] = ()
    requirements: RequirementsFile | None = None
    tolerated: float | None = None


def summarized(
    plan: Plan, results: Results, scores: Sequence[Score], summary: Summary, sample: str = ""
) -> Iterator[Record]:
    """Summarize the results.

    Args:
        plan: what was measured.
        results: the predictions.
        scores: computed from them.
        summary: the options.
        sample: a hash of the images, to compare the same ones with the baseline.
    """
    yield from calibrations(plan, results)
    yield from group_means(scores)
    yield from corruption_errors(plan, scores, summary.relative_to)
    if len(plan.subjects) > 1:
        yield from compare_models(plan, results)
    if summary.per_class:
        yield from by_class(plan, results)
        yield from confusions(plan, results)
    slices = list(by_value(plan, results, summary.by))
    yield from slices
    if summary.baseline is not None:
        yield from changes(
            scores, summary.baseline, pairs_of(plan, results, summary.baseline, sample), summary.tolerated
        )
    yield from judged(summary.gates, scores, slices)
    yield from judged_requirements(summary.requirements, scores)
