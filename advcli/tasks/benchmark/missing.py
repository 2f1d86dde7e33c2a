"""Which predictions of an evaluation are missing."""

import numpy as np

from advcli.tasks.benchmark.perturbations import Kind
from advcli.tasks.benchmark.plan import CLEAN, Plan
from advcli.tasks.benchmark.predictions import UNKNOWN, Results


def first_unknown(plan: Plan, results: Results, rows: np.ndarray) -> str:
    """Name the first model and perturbation with missing predictions for these images; empty if there is none."""
    for subject in plan.subjects:
        for perturbation in plan.perturbations:
            title = f"'{subject.name}' under '{perturbation.spec}'"
            if perturbation.kind is Kind.TRANSFER:
                crafted_on = [other.name for other in plan.subjects]
                known = [results.predicted(subject.name, perturbation, other)[rows] for other in crafted_on]
                if (np.stack(known) == UNKNOWN).any():
                    return title
                continue
            unknown = results.predicted(subject.name, perturbation)[rows] == UNKNOWN
            if perturbation.kind is Kind.ATTACK:
                # Images that are wrong when clean are not attacked.
                unknown &= results.correct(subject.name, CLEAN)[rows]
            if unknown.any():
                return title
        if plan.smoothing is not None and (results.smoothed(subject.name)[0][rows] == UNKNOWN).any():
            return f"'{subject.name}', certified"
    return ""
