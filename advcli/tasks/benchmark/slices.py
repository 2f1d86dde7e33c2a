"""Accuracy of each value of a column of the data, and whether it is lower than that of the other images."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from scipy.stats import fisher_exact

from advcli.errors import UsageError, nearest
from advcli.records import SliceScore
from advcli.tasks.benchmark.intervals import counted
from advcli.tasks.benchmark.perturbations import Kind
from advcli.tasks.benchmark.plan import Plan, above_zero
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.scores import correct_under

_MOST_VALUES = 100


def refuse_unknown_columns(by: Sequence[str], columns: Mapping[str, np.ndarray]) -> None:
    """Refuse a column that the data does not have, or that has too many values to compare.

    Raises:
        UsageError: there is one.
    """
    for column in by:
        if column not in columns:
            known = nearest(column, columns) if columns else "the data has no columns: give a manifest (.csv, .jsonl)"
            raise UsageError(f"--by names no column of the data: '{column}'", known)
        values = len(set(columns[column]))
        if values > _MOST_VALUES:
            raise UsageError(f"column '{column}' has {values} values: too many to compare", "give another --by")


def by_value(plan: Plan, results: Results, by: Sequence[str]) -> Iterator[SliceScore]:
    """Score each value of some columns, clean, under every attack and in the worst case, the lowest accuracy first.

    The accuracy on the images with a value is compared with that on all others by Fisher's exact test; the p-values of
    one column under one perturbation are corrected by Holm's method, so that one below 0.05 is beyond chance. Two
    values are one test.
    """
    columns = results.columns()
    refuse_unknown_columns(by, columns)
    for subject in plan.subjects:
        for measured in (*plan.unattacked, *above_zero(plan.of_kind(Kind.ATTACK)), *above_zero(plan.combined)):
            correct = correct_under(results, subject.name, measured)[plan.rows]
            for column in by:
                values = columns[column][plan.rows]
                names = sorted(set(values.tolist()))
                groups = [correct[values == name] for name in names]
                p_values = [_lower_or_higher(group, correct) for group in groups]
                # Two values are compared with each other: one test, seen from both sides.
                corrected = p_values if len(names) == 2 else holm(p_values)
                order = sorted(range(len(names)), key=lambda i: (groups[i].mean(), names[i]))
                for i in order:
                    yield SliceScore(
                        model=subject.name,
                        data=plan.data,
                        seed=plan.seed,
                        **measured.place,
                        by=column,
                        value=names[i],
                        **counted(groups[i]),
                        p_value=p_values[i],
                        corrected_p_value=corrected[i],
                        worst=i == order[0],
                    )


def holm(p_values: Sequence[float]) -> list[float]:
    """Correct p-values of several tests by Holm's step-down method.

    With the p-values in rising order p_1, ..., p_m, the corrected one is max over j <= i of min(1, (m - j + 1) p_j).
    """
    corrected = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda i: p_values[i])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        corrected[index] = highest
    return corrected


def _lower_or_higher(group: np.ndarray, every: np.ndarray) -> float:
    """Return the p-value of Fisher's exact test on [[correct, wrong] of a group, [correct, wrong] of all others]."""
    right, all_right = int(group.sum()), int(every.sum())
    others = len(every) - len(group)
    table = [[right, len(group) - right], [all_right - right, others - (all_right - right)]]
    return float(fisher_exact(table).pvalue)  # pyright: ignore[reportAttributeAccessIssue]  a field of its result
