"""Merge the results of all shards into those of the whole evaluation."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.errors import UsageError
from advcli.records import Progress, Protocol, Record, Score
from advcli.tasks.benchmark.certify import certificates
from advcli.tasks.benchmark.evidence import REPORT, begin_evidence, finish_evidence
from advcli.tasks.benchmark.find_tolerances import find_tolerances, nothing_measured
from advcli.tasks.benchmark.junit import write_junit
from advcli.tasks.benchmark.missing import first_unknown
from advcli.tasks.benchmark.numbering import refuse_mixed
from advcli.tasks.benchmark.per_class import transfer_matrix
from advcli.tasks.benchmark.plan import Plan, Subject
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import models_of, read_contents, read_protocol
from advcli.tasks.benchmark.report import ReportFiles, write_report
from advcli.tasks.benchmark.request import Execution, Request, Shard
from advcli.tasks.benchmark.results_file import Journal
from advcli.tasks.benchmark.same_protocol import refuse_different
from advcli.tasks.benchmark.scores import scores
from advcli.tasks.benchmark.summary import Summary, summarized


def merge(files: Sequence[Path], request: Request, how: Execution) -> Iterator[Record | Progress]:
    """Merge results files and compute the scores.

    Args:
        files: of all shards.
        request: the options of the summary.
        how: the output files.

    Raises:
        UsageError: they do not belong together, one is missing, or one is not finished.
    """
    protocol = replace(_common(files), options=request.to_json())
    results = Results(protocol.images)
    batches = []
    for number, file in enumerate(files):
        yield Progress("reading results", number, len(files))
        batches += read_contents(file, protocol).batches
    for batch in batches:
        results.add(batch)
    plan = plan_of(protocol, results)
    refuse_mixed(plan.subjects, request.summary.baseline)
    if len(plan.rows) == 0:
        raise UsageError(f"'{files[0]}' holds no results yet", "continue it: --resume FILE")
    if unknown := first_unknown(plan, results, plan.rows):
        raise UsageError(f"there are no results of {unknown} for all images", "continue each file: --resume FILE")
    # First, as it refuses tolerances that need more than the results.
    tolerances = list(find_tolerances(plan, results, nothing_measured(plan, results)))
    final: list[Record] = []
    for record in _summed_up(plan, results, request.summary, tolerances, protocol.sample):
        final.append(record)
        yield record
    file = how.results_file
    if file is not None:
        Journal.begin(file, protocol).append(*batches, *final)
    page = how.evidence / REPORT if how.evidence else None
    if file is not None and how.evidence is not None:
        required = request.requirements_file
        begin_evidence(how.evidence, file, protocol, required.text if required else None)
    yield from write_report(ReportFiles(how.report, how.figure, page), protocol, final, results=results, plan=plan)
    if how.junit is not None:
        write_junit(how.junit, protocol, final)
    if file is not None and how.evidence is not None:
        finish_evidence(how.evidence, file)


def plan_of(protocol: Protocol, results: Results) -> Plan:
    """Return the plan of the evaluation that a protocol describes."""
    request = Request.from_json(protocol.options)
    subjects = tuple(
        Subject(
            model.name,
            model.labels,
            (model.edge, model.edge if model.width is None else model.width),
            model.channels,
            model.recipe,
            model.fingerprint,
            model.class_order,
            len(model.outputs) or None,
        )
        for model in models_of(protocol)
    )
    rows = np.flatnonzero(results.labels(subjects[0].name) >= 0)
    return Plan(
        protocol.data,
        protocol.classes,
        protocol.seed,
        protocol.images,
        rows,
        subjects,
        request.perturbations,
        request.smoothing,
        request.ranges,
        request.require,
        request.repeats,
    )


def _summed_up(
    plan: Plan, results: Results, summary: Summary, tolerances: Sequence[Record | Progress], sample: str
) -> Iterator[Record]:
    found: list[Score] = []
    for score in scores(plan, results):
        found.append(score)
        yield score
    yield from (record for record in tolerances if isinstance(record, Record))
    yield from transfer_matrix(plan, results)
    for subject in plan.subjects:
        yield from certificates(plan, results, subject.name)
    yield from summarized(plan, results, found, summary, sample)


def _common(files: Sequence[Path]) -> Protocol:
    """Return the protocol of the whole evaluation.

    Raises:
        UsageError: the files are not all shards of one evaluation.
    """
    protocols = [read_protocol(file) for file in files]
    shards: dict[int, Path] = {}
    for file, protocol in zip(files, protocols, strict=True):
        refuse_different(protocols[0], protocol, file, free=("shard", "pixels"))
        shard = Shard() if protocol.shard is None else Shard.read(protocol.shard)
        if shard.number in shards:
            raise UsageError(f"'{shards[shard.number]}' and '{file}' are the same shard {shard}", "leave one out")
        shards[shard.number] = file
    of = {(Shard.read(protocol.shard).of if protocol.shard else 1) for protocol in protocols}
    if len(of) > 1:
        raise UsageError(f"the files are of {' and of '.join(map(str, sorted(of)))} shards", "take those of one call")
    missing = [str(number) for number in range(1, of.pop() + 1) if number not in shards]
    if missing:
        raise UsageError(f"shards are missing: {', '.join(missing)}", "measure them with --shard")
    pixels = {
        size: f"{sum(int(protocol.pixels[size], 16) for protocol in protocols) % 2**64:016x}"
        for size in protocols[0].pixels
    }
    return replace(protocols[0], shard=None, pixels=pixels)
