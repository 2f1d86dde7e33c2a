"""Measure the sweeps of an evaluation between their points, where a required accuracy makes it necessary."""

from collections.abc import Callable, Iterator

from advcli.errors import UsageError
from advcli.records import Progress, Score, Swept, Tolerance
from advcli.tasks.benchmark.perturbations import Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.scores import score_model
from advcli.tasks.benchmark.sweeps import Sweep
from advcli.tasks.benchmark.tolerance import next_value, tolerance_fields

# Measures what is missing of one model under one perturbation.
Measure = Callable[[Subject, Perturbation], Iterator[Progress]]


def find_tolerances(plan: Plan, results: Results, measure: Measure) -> Iterator[Score | Swept | Tolerance | Progress]:
    """Describe the sweeps of every model, and find the tolerances if an accuracy is required.

    Which values are measured between the points depends only on the accuracies so far, so that an evaluation that is
    resumed measures the same ones.

    Args:
        plan: what was measured, the points of the sweeps among it.
        results: the predictions so far.
        measure: adds those that are missing.

    Yields:
        The score of each further value, then of each sweep its points and its tolerance.
    """
    for sweep in plan.sweeps:
        for subject in plan.subjects:
            yield from _find(plan, results, sweep, subject, measure)


def _find(
    plan: Plan, results: Results, sweep: Sweep, subject: Subject, measure: Measure
) -> Iterator[Score | Swept | Tolerance | Progress]:
    def score(perturbation: Perturbation) -> Score:
        return score_model(plan, results, subject, perturbation)

    found = {value: score(sweep.perturbation(value)) for value in sweep.values}
    without = score(CLEAN)
    clean = without.low, without.high
    bounds = {value: (each.low, each.high) for value, each in found.items()}
    if plan.required is not None:
        while (value := next_value(sweep, clean, bounds, plan.required)) is not None:
            perturbation = sweep.perturbation(value)
            yield from measure(subject, perturbation)
            found[value] = score(perturbation)
            bounds[value] = found[value].low, found[value].high
            yield found[value]
    points = sorted(found.items(), key=lambda item: sweep.position(item[0]))
    yield Swept(
        model=subject.name,
        data=plan.data,
        seed=plan.seed,
        perturbation=sweep.title,
        parameter=sweep.parameter,
        unit=sweep.unit,
        log=sweep.log,
        values=tuple(value for value, _ in points),
        perturbations=tuple(each.perturbation for _, each in points),
        accuracies=tuple(each.accuracy for _, each in points),
        lows=tuple(each.low for _, each in points),
        highs=tuple(each.high for _, each in points),
    )
    if plan.required is not None:
        fields = tolerance_fields(sweep, clean, bounds, plan.required)
        yield Tolerance(model=subject.name, data=plan.data, seed=plan.seed, **fields)


def nothing_measured(plan: Plan, results: Results) -> Measure:
    """Return what refuses to measure, for results without their models.

    Raises:
        UsageError: on the first prediction that is missing.
    """

    def refuse(subject: Subject, perturbation: Perturbation) -> Iterator[Progress]:
        if len(results.missing(subject.name, perturbation, plan.rows)):
            raise UsageError(
                f"the tolerance needs '{subject.name}' under '{perturbation.spec}', which is not in the results",
                f"merge without --require into --out FILE, then: --resume FILE --require {plan.required}",
            )
        yield from ()

    return refuse
