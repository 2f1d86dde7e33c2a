"""Spend a given time on attacks where most images fall."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from advcli.model.classifier import UNDEFINED
from advcli.records import Progress
from advcli.tasks.benchmark.measure import Keep, add
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturb import Searched, searched
from advcli.tasks.benchmark.perturbations import Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Worst
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.scores import correct_under

# So few that the first batch of a slow attack does not take the whole time.
_FIRST = 8


@dataclass
class _Candidate:
    """An attack on a model, and what it has brought so far."""

    model: EvaluatedModel
    attack: Perturbation
    worst: Worst
    tried: int = 0
    fooled: int = 0
    seconds: float = 0.0
    search: Searched | None = field(default=None, repr=False)

    @property
    def promise(self) -> float:
        """How many images may fall a second: without end before the first try."""
        return (self.fooled + 1) / (self.tried + 2) * self.tried / self.seconds if self.tried else np.inf

    def left(self, results: Results) -> np.ndarray:
        """List the images that stand, and that this attack has not searched."""
        rows = self.model.rows
        stands = correct_under(results, self.model.name, self.worst)[rows]
        unknown = results.predicted(self.model.name, self.attack)[rows] == UNKNOWN
        return rows[stands & unknown]


def spend(
    plan: Plan, models: Sequence[EvaluatedModel], results: Results, keep: Keep, batch: int, seconds: float
) -> Iterator[Progress]:
    """Attack until the time is over or nothing is left to do.

    An image that an attack has broken counts as wrong in the worst case, whatever the others would do, and
    is left alone: so what is right at the end is never less than what is right under all attacks.

    Args:
        plan: what is measured.
        models: the models; each gets the same time.
        results: what is known already; what is found is added.
        keep: is given each finished batch.
        batch: how many images are worked on together.
        seconds: how much time there is.
    """
    begin = time.perf_counter()
    for number, model in enumerate(models):
        # What a model did not need is shared by those after it.
        end = begin + seconds * (number + 1) / len(models)
        candidates = [_Candidate(model, attack, worst) for worst in plan.worsts for attack in worst.attacks]
        while (now := time.perf_counter()) < end:
            waiting = [candidate for candidate in candidates if len(candidate.left(results))]
            if not waiting:
                break
            best = max(waiting, key=lambda candidate: candidate.promise)
            yield _progress(results, best, now - begin, seconds)
            rows = best.left(results)
            size = batch if best.tried else min(_FIRST, batch)
            if best.tried:
                fits = int((end - now) / (best.seconds / best.tried))
                size = max(1, min(size, fits))
            yield from _try(plan, best, rows[:size], results, keep, batch)


def _try(
    plan: Plan, candidate: _Candidate, rows: np.ndarray, results: Results, keep: Keep, batch: int
) -> Iterator[Progress]:
    start = time.perf_counter()
    model, attack = candidate.model, candidate.attack
    if candidate.search is None:
        correct = model.rows[results.correct(model.name, CLEAN)[model.rows]]
        candidate.search = yield from searched(model, attack, correct, batch, plan.seed)
    (places,) = model.parts(rows, len(rows))
    pixels, labels = model.images.at(places)[0], model.labels[places]
    found = candidate.search(pixels, labels)
    predicted = found.predicted
    spent = time.perf_counter() - start
    add(plan, model.name, attack, rows, predicted, results, keep, spent, members=found.members)
    # The first batch is traced, which says nothing of those that follow.
    candidate.tried += len(rows)
    candidate.fooled += int(((predicted != labels) & (predicted != UNDEFINED)).sum())
    candidate.seconds += spent


def _progress(results: Results, candidate: _Candidate, spent: float, seconds: float) -> Progress:
    model = candidate.model
    stands = correct_under(results, model.name, candidate.worst)[model.rows]
    what = f"{model.name}: at most {stands.mean():.1%} of {len(stands)}, {candidate.attack.spec} next"
    return Progress(what, int(spent), int(np.ceil(seconds)))
