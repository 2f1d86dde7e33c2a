"""Carry out an evaluation: measure what is not known yet, check it, sum up, and keep all of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from advcli.records import Progress, Record, Score, Smoothed, Verdicts
from advcli.tasks.benchmarking.evaluation import evaluate_attacks, evaluate_shared
from advcli.tasks.benchmarking.evidence import checks
from advcli.tasks.benchmarking.journal import Journal
from advcli.tasks.benchmarking.numbering import refuse_mixed
from advcli.tasks.benchmarking.pages import Pages, write_pages
from advcli.tasks.benchmarking.preparing import Prepared, prepare
from advcli.tasks.benchmarking.request import Request, Shard
from advcli.tasks.benchmarking.results import Results
from advcli.tasks.benchmarking.smoothed import smooth
from advcli.tasks.benchmarking.spending import spend
from advcli.tasks.benchmarking.summary import summarized
from advcli.tasks.benchmarking.transferring import evaluate_transfers


@dataclass(frozen=True)
class Run:
    """How an evaluation is carried out, which its results do not depend on.

    Args:
        out: the file of results.
        resume: whether that file is there already.
        shard: which part of the images.
        budget: how many seconds may be spent on attacks.
        memory: how many bytes of decoded images may be held in memory.
        pages: the report and the figure.
        ray: the address of a cluster to measure on.
    """

    out: Path | None = None
    resume: bool = False
    shard: Shard = field(default_factory=Shard)
    budget: float | None = None
    memory: int | None = None
    pages: Pages = field(default_factory=Pages)
    ray: str | None = None


def run(request: Request, how: Run) -> Iterator[Record | Progress]:
    """Carry out an evaluation.

    Yields:
        A record a score as soon as it is known, and at last what all of them come to.
    """
    prepared = yield from prepare(request, how.shard, how.memory)
    refuse_mixed(prepared.plan.subjects, request.summary.baseline)
    results = Results(prepared.plan.images)
    journal = None
    if how.out is not None and how.resume:
        journal, known = Journal.resume(how.out, prepared.protocol)
        for record in known:
            results.add(record)
    elif how.out is not None:
        journal = Journal.begin(how.out, prepared.protocol)
    final: list[Record] = []
    for event in _measured(prepared, results, how, journal):
        if isinstance(event, Record):
            final.append(event)
        yield event
    if journal is not None:
        journal.append(*final)
    yield from write_pages(how.pages, prepared.protocol, final, prepared, results)


def _measured(prepared: Prepared, results: Results, how: Run, journal: Journal | None) -> Iterator[Record | Progress]:
    plan, models, batch = prepared.plan, prepared.models, prepared.request.batch

    def keep(record: Verdicts | Smoothed) -> None:
        if journal is not None:
            journal.append(record)

    # A part of the images says too little of the whole.
    checked = prepared.request.checks and how.shard.of == 1
    found: list[Score] = []

    def noted(events: Iterator[Record | Progress]) -> Iterator[Record | Progress]:
        for event in events:
            if isinstance(event, Score):
                found.append(event)
            yield event

    if how.ray is not None:
        from advcli.tasks.benchmarking.cluster import measure_on_ray

        # What comes back is all there is to know: nothing is left to measure below.
        yield from measure_on_ray(prepared, results, keep, how.ray)
    yield from noted(evaluate_shared(plan, models, results, keep, batch))
    if checked:
        yield from checks(prepared, results, found, after=False)
    if how.budget is not None:
        yield from spend(plan, models, results, keep, batch, how.budget)
    yield from noted(evaluate_attacks(plan, models, results, keep, batch, search=how.budget is None))
    yield from evaluate_transfers(plan, models, results, keep, batch)
    if plan.smoothing is not None:
        yield from smooth(plan, models, results, keep, batch)
    if checked:
        yield from checks(prepared, results, found, after=True)
    yield from summarized(plan, results, found, prepared.request.summary)
