"""Run an evaluation: measure, check, summarize and save."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from advcli.errors import UsageError
from advcli.model.black_box import BlackBox
from advcli.model.failures import reporting_failures
from advcli.plugins import refuse_recorded_permission
from advcli.records import Progress, Record, Score, Smoothed, Verdicts
from advcli.tasks.benchmark.adversarial_files import AdversarialFiles
from advcli.tasks.benchmark.certify import smooth
from advcli.tasks.benchmark.evidence import REPORT, begin_evidence, finish_evidence
from advcli.tasks.benchmark.export import export
from advcli.tasks.benchmark.find_tolerances import find_tolerances
from advcli.tasks.benchmark.junit import write_junit
from advcli.tasks.benchmark.load import Prepared, prepare_evaluation
from advcli.tasks.benchmark.measure import classify_shared, evaluate_attacks, evaluate_shared
from advcli.tasks.benchmark.merge_shards import merge
from advcli.tasks.benchmark.most_queries import most_queries
from advcli.tasks.benchmark.numbering import refuse_mixed
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import Subject
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.read_results import models_of, read_protocol
from advcli.tasks.benchmark.report import ReportFiles, write_report
from advcli.tasks.benchmark.request import Execution, Request, Shard
from advcli.tasks.benchmark.results_file import Journal
from advcli.tasks.benchmark.same_protocol import refuse_changed
from advcli.tasks.benchmark.sanity_checks import checks
from advcli.tasks.benchmark.summary import summarized
from advcli.tasks.benchmark.time_budget import spend
from advcli.tasks.benchmark.transfer import evaluate_transfers
from advcli.tasks.benchmark.validate import (
    check_export,
    check_files,
    check_new,
    check_verify,
    check_whole,
    refuse_blind_attacks,
)
from advcli.tasks.benchmark.verify_evidence import verify_evidence
from advcli.tasks.query_budget import announce_queries, queried
from advcli.tasks.request import bytes_of

log = logging.getLogger(__name__)


def evaluate(request: Request, how: Execution | None = None) -> Iterator[Record | Progress]:
    """Start the requested evaluation: a new one, a resumed one, or merged shards.

    Raises:
        UsageError: the request is invalid; before anything is measured.
    """
    how = how or Execution()
    if how.verify is not None:
        check_verify(request, how)
        return verify_evidence(how.verify)
    check_files(request, how)
    if how.merge:
        return _merged(request, how)
    if how.resume is not None and not request.models:
        return _resumed(how.resume, request, how)
    check_new(request, how)
    note = request.note
    request = request.with_requirements().resolved()
    if how.resume is not None:
        refuse_changed(read_protocol(how.resume), request.requirements_file, how.resume)
    check_whole(request, how)
    check_export(request, how)
    if request.models or how.export is None:
        return run(request, how, note)
    return export(request, how.export, how.shard, bytes_of(how.memory))


def _resumed(file: Path, summary: Request, how: Execution) -> Iterator[Record | Progress]:
    protocol = read_protocol(file)
    refuse_recorded_permission(protocol.options, summary.unsafe_load, file)
    request = Request.from_json(protocol.options, f"line 1 of '{file}'").summed_up_as(summary)
    asked = summary.requirements or request.requirements
    request = replace(request, requirements=asked, requirements_text="")
    refuse_changed(protocol, request.requirements_file, file)
    request = request.with_requirements()
    # The data may have moved; that they are the same is checked.
    request = replace(request, data=summary.data or request.data, given=summary.given or request.given)
    how = replace(how, shard=Shard() if protocol.shard is None else Shard.read(protocol.shard))
    check_whole(request, how)
    check_export(request, how)
    return run(request, how, data=protocol.data)


def _merged(summary: Request, how: Execution) -> Iterator[Record | Progress]:
    files = [Path(file) for file in summary.models]
    if not files:
        raise UsageError("no file of results is given", "advcli benchmark --merge shards/*.jsonl")
    protocols = [read_protocol(file) for file in files]
    refuse_recorded_permission(protocols[0].options, summary.unsafe_load, files[0])
    request = Request.from_json(protocols[0].options, f"line 1 of '{files[0]}'").summed_up_as(summary)
    refuse_changed(protocols[0], request.requirements_file, files[0])
    check_whole(request, how, [model.name for model in models_of(protocols[0])])
    return merge(files, request, how)


def run(request: Request, how: Execution, note: str = "", data: str = "") -> Iterator[Record | Progress]:
    """Run an evaluation.

    Args:
        request: the options of the evaluation.
        how: the options of this call.
        note: what to say at the start.
        data: the name of the data in earlier results; empty for its own.

    Yields:
        Each score as soon as it is measured, then the summary.
    """
    if note:
        log.info("%s", note)
    prepared = yield from prepare_evaluation(request, how.shard, bytes_of(how.memory), data)
    files = _adversarial_files(prepared, how)
    if request.surrogate is None:
        refuse_blind_attacks(request, [(model.classifier.access, model.name) for model in prepared.models])
    refuse_mixed(prepared.plan.subjects, request.summary.baseline)
    if request.repeats > 1:
        log.info("an image counts as correct if all of %d predictions are", request.repeats)
    results = Results(prepared.plan.images)
    journal = None
    if how.resume is not None:
        journal, known = Journal.resume(how.resume, prepared.protocol)
        for record in known:
            results.add(record)
    elif how.results_file is not None:
        journal = Journal.begin(how.results_file, prepared.protocol)
    if files is not None and how.resume is not None:
        files.find_stored(results)
    if how.export is not None:
        yield from _export(prepared, how.export, bytes_of(how.memory))
    if journal is not None and how.evidence is not None:
        file = prepared.request.requirements_file
        begin_evidence(how.evidence, journal.path, prepared.protocol, file.text if file else None)
    for model in prepared.models:
        announce_queries(model.classifier, most_queries(prepared.plan, results, model, exported=files is not None))
        if journal is not None and isinstance(model.classifier.model, BlackBox):
            model.classifier.model.keep_answers(journal.answers(model.subject.fingerprint, anew=how.resume is None))
    final: list[Record] = []
    with reporting_failures([model.classifier.model for model in prepared.models]):
        for event in _measured(prepared, results, how, journal, files):
            if isinstance(event, Record):
                final.append(event)
            yield event
    if files is not None:
        yield from files.exported()
    if journal is not None:
        journal.remove_answers()
    for event in queried([model.classifier for model in prepared.models], prepared.plan.data, prepared.plan.seed):
        final.append(event)
        yield event
    if journal is not None:
        journal.append(*final)
    page = how.evidence / REPORT if how.evidence else None
    pages = ReportFiles(how.report, how.figure, page)
    yield from write_report(pages, prepared.protocol, final, prepared, results)
    if how.junit is not None:
        write_junit(how.junit, prepared.protocol, final)
    if journal is not None and how.evidence is not None:
        finish_evidence(how.evidence, journal.path)


def _export(prepared: Prepared, folder: Path, memory: int | None) -> Iterator[Record | Progress]:
    first, *others = prepared.models
    if not prepared.request.corruptions:
        return
    if any(model.size != first.size for model in others):
        height, width = first.size[0]
        log.info("the exported images are of %d x %d pixels, as '%s' takes them", height, width, first.name)
    yield from export(prepared.request, folder, prepared.shard, memory, first.size)


def _adversarial_files(prepared: Prepared, how: Execution) -> AdversarialFiles | None:
    """Return where adversarial images are written; None if none are."""
    if how.export is None or not prepared.plan.of_kind(Kind.ATTACK):
        return None
    files = AdversarialFiles(how.export, prepared.plan, prepared.sample)
    if how.resume is None:
        files.remove_old()
    return files


def _measured(
    prepared: Prepared, results: Results, how: Execution, journal: Journal | None, files: AdversarialFiles | None
) -> Iterator[Record | Progress]:
    plan, models, batch = prepared.plan, prepared.models, prepared.request.batch
    store = None if files is None else files.store

    def keep(record: Verdicts | Smoothed) -> None:
        if journal is not None:
            journal.append(record)

    # The checks need all images, not a shard.
    checked = prepared.request.checks and how.shard.of == 1
    found: list[Score] = []
    if how.ray is not None:
        from advcli.tasks.benchmark.ray_cluster import measure_on_ray

        # The cluster has measured everything: nothing is left to measure below.
        yield from measure_on_ray(prepared, results, keep, how.ray)
    for event in evaluate_shared(plan, models, results, keep, batch):
        if isinstance(event, Score):
            found.append(event)
        yield event

    def measure(subject: Subject, perturbation: Perturbation) -> Iterator[Progress]:
        model = next(model for model in models if model.name == subject.name)
        return classify_shared(plan, [model], perturbation, results, keep, batch)

    # Their further values are known only now, so that no gate or comparison is about them.
    yield from find_tolerances(plan, results, measure)
    if checked:
        yield from checks(prepared, results, found, after=False)
    if how.budget is not None:
        yield from spend(plan, models, results, keep, batch, how.budget, store)
    for event in evaluate_attacks(plan, models, results, keep, batch, search=how.budget is None, store=store):
        if isinstance(event, Score):
            found.append(event)
        yield event
    yield from evaluate_transfers(plan, models, results, keep, batch)
    yield from smooth(plan, models, results, keep, batch)
    if checked:
        yield from checks(prepared, results, found, after=True)
    summary = prepared.request.summary
    # A part of the images does not decide: --merge judges all of them.
    summary = summary if how.shard.of == 1 else replace(summary, requirements=None)
    yield from summarized(plan, results, found, summary, prepared.protocol.sample)
