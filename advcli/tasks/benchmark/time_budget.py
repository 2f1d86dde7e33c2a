"""Spend a given time on the attacks that fool most images."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from advcli.model.classifier import UNDEFINED
from advcli.records import Progress
from advcli.tasks.benchmark.measure import Keep, Store, add, decided
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturb import Searched, searched
from advcli.tasks.benchmark.perturbations import Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, Worst
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.scores import correct_under
from advcli.threat.spelling import spell_spec

# Small enough that the first batch of a slow attack does not use up the time.
_FIRST = 8
# So many times the given time are worth a warning.
_LONGER = 1.2

log = logging.getLogger(__name__)


@dataclass
class _Candidate:
    """An attack on a model, and its success so far.

    The time of the first batch includes tracing: it counts only until there is another.
    """

    model: EvaluatedModel
    attack: Perturbation
    worst: Worst
    tried: int = 0
    fooled: int = 0
    batches: int = 0
    timed: int = 0
    seconds: float = 0.0
    search: Searched | None = field(default=None, repr=False)

    @property
    def promise(self) -> float:
        """The expected number of fooled images a second: infinite before the first batch."""
        return (self.fooled + 1) / (self.tried + 2) / self.seconds_per_image if self.tried else np.inf

    @property
    def seconds_per_image(self) -> float:
        """The time that the attack takes for an image."""
        return self.seconds / self.timed

    def count(self, images: int, fooled: int, seconds: float) -> None:
        """Count a batch."""
        if self.batches == 1:
            self.timed, self.seconds = 0, 0.0
        self.batches += 1
        self.timed += images
        self.seconds += seconds
        self.tried += images
        self.fooled += fooled

    def left(self, results: Results) -> np.ndarray:
        """List the images that are still correct and that this attack has not tried."""
        rows = self.model.rows
        stands = correct_under(results, self.model.name, self.worst)[rows]
        unknown = results.predicted(self.model.name, self.attack)[rows] == UNKNOWN
        return rows[stands & unknown]


def spend(
    plan: Plan,
    models: Sequence[EvaluatedModel],
    results: Results,
    keep: Keep,
    batch: int,
    seconds: float,
    store: Store | None = None,
) -> Iterator[Progress]:
    """Attack until the time is over or all attacks are complete.

    An image that is fooled counts as wrong in the worst case and is not attacked again. The accuracy at the end
    is an upper bound of the accuracy under all attacks.

    Args:
        plan: what is measured.
        models: the models; each gets the same time.
        results: the predictions so far; new ones are added.
        keep: writes a finished batch.
        batch: the batch size.
        seconds: the time budget.
        store: writes the adversarial images of a batch, if they are kept.
    """
    begin = time.perf_counter()
    for number, model in enumerate(models):
        # Unused time of a model is shared by those after it.
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
                fits = int((end - now) / best.seconds_per_image)
                size = max(1, min(size, fits))
            yield from _try(plan, best, rows[:size], results, keep, batch, store)
    spent = time.perf_counter() - begin
    if spent > _LONGER * seconds:
        log.warning("the attacks took %.0f s of --budget %.0f s: a batch that has begun is finished", spent, seconds)


def _try(
    plan: Plan,
    candidate: _Candidate,
    rows: np.ndarray,
    results: Results,
    keep: Keep,
    batch: int,
    store: Store | None,
) -> Iterator[Progress]:
    start = time.perf_counter()
    model, attack = candidate.model, candidate.attack
    if candidate.search is None:
        correct = model.rows[results.correct(model.name, CLEAN)[model.rows]]
        candidate.search = yield from searched(model, attack, correct, batch, plan.seed)
    (places,) = model.parts(rows, len(rows))
    pixels, labels = model.images.at(places)[0], model.labels[places]
    found = candidate.search(pixels, labels)
    found = decided(plan, model, found, labels)
    predicted = found.predicted
    spent = time.perf_counter() - start
    if store is not None:
        store(model, attack, places, labels, found)
    add(plan, model, attack, rows, labels, found.scores, results, keep, spent, members=found.members)
    candidate.count(len(rows), int(((predicted != labels) & (predicted != UNDEFINED)).sum()), spent)


def _progress(results: Results, candidate: _Candidate, spent: float, seconds: float) -> Progress:
    model = candidate.model
    stands = correct_under(results, model.name, candidate.worst)[model.rows]
    what = f"{model.name}: at most {stands.mean():.1%} of {len(stands)}, {spell_spec(candidate.attack.spec)} next"
    return Progress(what, int(spent), int(np.ceil(seconds)))
