"""Explain image files: relevance maps of classes, clean and adversarial, and a contact sheet."""

import contextlib
import logging
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import isfinite
from pathlib import Path

from advcli.errors import AdvcliError
from advcli.model.black_box import end_batch
from advcli.model.classifier import Classifier
from advcli.model.failures import failure_of_image, reporting_failures
from advcli.records import Explained, Failed, Flipped, Progress, Queried, Shifted, Trusted
from advcli.records.base import Fields
from advcli.report.explanations import Entry, ExplanationPage, Outcome
from advcli.report.sheet import Sheet
from advcli.report.wording import radius
from advcli.search.image_batches import Picture, by_size
from advcli.tasks.explain.check_cache import CheckCache
from advcli.tasks.explain.explain_model import ExplainedModel, explain_images
from advcli.tasks.explain.explanation import Explanation
from advcli.tasks.explain.output_files import write_files
from advcli.tasks.explain.read_images import read_chunks
from advcli.tasks.explain.request import Request, model_suffixes
from advcli.tasks.explain.sanity_check import check_explainers, verdict_line
from advcli.tasks.explain.sheet_numbers import share_of_error
from advcli.tasks.explain.statistics import Statistics
from advcli.tasks.explain.views import true_class
from advcli.tasks.query_budget import queried

log = logging.getLogger(__name__)

# A sum that misses more of the score's change than this is worth a warning.
_MOST_MISSING = 0.05

Event = Explained | Flipped | Shifted | Trusted | Failed | Queried | Progress


def explain_files(
    models: Sequence[ExplainedModel],
    outputs: Mapping[Path, Path],
    request: Request,
    *,
    caches: Sequence[CheckCache] = (),
    report: Path | None = None,
) -> Iterator[Event]:
    """Explain image files: a contact sheet an image, and the other requested files.

    Args:
        models: the models, the first one first.
        outputs: image file -> its outputs' path without the ending.
        request: how images are explained.
        caches: the earlier checks of each model; if given, its explainers are checked.
        report: an HTML page to write.

    Yields:
        The records of the checks, one for each map and each fooled image, then the statistics.
    """
    classifiers = [model.classifier for model in models]
    with reporting_failures([classifier.model for classifier in classifiers]):
        yield from _explain_files(models, outputs, request, caches, report)
    yield from queried(classifiers, "files", request.seed)


def _explain_files(
    models: Sequence[ExplainedModel],
    outputs: Mapping[Path, Path],
    request: Request,
    caches: Sequence[CheckCache],
    report: Path | None,
) -> Iterator[Event]:
    common: Fields = {"model": models[0].classifier.name, "data": "files", "seed": request.seed}
    _log_true_classes(models[0].classifier, list(outputs), request)
    trusted: list[Trusted] = []
    for model, cache in zip(models, caches, strict=bool(caches)):
        for event in check_explainers(model, list(outputs), cache, common | {"model": model.classifier.name}):
            if isinstance(event, Trusted):
                trusted.append(event)
            yield event
    notes = [verdict_line(record) for record in trusted]
    suffixes = model_suffixes([model.classifier.name for model in models])
    statistics = [Statistics() for _ in models]
    groups: list[Counter[str]] = [Counter() for _ in models]
    shown = 0
    missing: dict[tuple[str, str], float] = {}
    # The files of one chunk are written while the next one is explained.
    with ExplanationPage(report) if report else contextlib.nullcontext() as pages, ThreadPoolExecutor(1) as writer:
        done = 0
        waiting: list[_Written] = []
        for chunk in read_chunks(by_size(outputs), request.batch):
            yield Progress("explaining", done, len(outputs))
            if isinstance(chunk, tuple):
                shown += yield from _finished(waiting, pages, common)
                waiting = []
                yield Failed(image=str(chunk[0]), error=chunk[1], **common)
                done += 1
                continue
            found = [_explain_apart(model, chunk) for model in models]
            for model in models:
                end_batch(model.classifier.model)
            shown += yield from _finished(waiting, pages, common)
            waiting = []
            for picture, *outcomes in zip(chunk, *found, strict=True):
                explanations: dict[str, Explanation] = {}
                failed: list[Failed] = []
                columns = zip(models, suffixes, statistics, groups, outcomes, strict=True)
                for model, suffix, numbers, group, outcome in columns:
                    if isinstance(outcome, str):
                        fields = {**common, "model": model.classifier.name}
                        failed.append(Failed(image=str(picture.file), error=outcome, **fields))
                    else:
                        numbers.add(outcome)
                        group[outcome.group] += 1
                        _note_missing(missing, outcome)
                        explanations[suffix] = outcome
                arguments = (outputs[picture.file], request, explanations, notes, common)
                future = writer.submit(write_files, *arguments) if explanations else None
                waiting.append(_Written(picture.file, failed, list(explanations.values()), future))
            done += len(chunk)
        shown += yield from _finished(waiting, pages, common)
        yield Progress("explaining", len(outputs), len(outputs))
        _warn_of_missing(missing)
        shifted: list[Shifted] = []
        if shown > 1:
            for model, numbers in zip(models, statistics, strict=True):
                shifted += numbers.records(common | {"model": model.classifier.name})
            yield from shifted
        if pages is not None and shown:
            names = [model.classifier.name for model in models]
            title = f"Explanations of {' and '.join(names)}"
            pages.finish(title, _facts(models, request, groups, shown), shifted, trusted)
            log.info("page: '%s'", report)


@dataclass(frozen=True)
class _Written:
    """An image whose files are being written: what failed, what was found, and the sheet and the records to come."""

    file: Path
    failed: Sequence[Failed]
    explanations: Sequence[Explanation]
    result: Future[tuple[Sheet, list[Explained | Flipped]]] | None


def _finished(
    images: Sequence[_Written], pages: ExplanationPage | None, common: Fields
) -> Generator[Explained | Flipped | Failed, None, int]:
    """Wait for the files of some images, add the images to the page, and yield their records; return their number."""
    count = 0
    for each in images:
        yield from each.failed
        if each.result is None:
            continue
        try:
            sheet, records = each.result.result()
        except AdvcliError as error:
            yield Failed(image=str(each.file), error=error.message, **common)
            continue
        count += 1
        if pages is not None:
            pages.add(_entry(each.file, sheet, each.explanations))
        yield from records
    return count


def _explain_apart(model: ExplainedModel, pictures: Sequence[Picture]) -> list[Explanation | str]:
    """Explain some images together; if that fails, one by one; for one that cannot be explained return the reason."""
    try:
        return explain_images(model, pictures)
    except Exception as error:
        reason = failure_of_image(error, [model.classifier.model])
        if reason is None:
            raise
        if len(pictures) == 1:
            return [reason]
    return [each for picture in pictures for each in _explain_apart(model, [picture])]


def _log_true_classes(classifier: Classifier, files: Sequence[Path], request: Request) -> None:
    if request.label is not None:
        return
    known = sum(true_class(classifier, file, None) is not None for file in files)
    if known:
        log.info("true classes: the names of the images' folders, for %d of %d images", known, len(files))


def _note_missing(missing: dict[tuple[str, str], float], explanation: Explanation) -> None:
    """Keep the largest share of the score's change that the sum of a method's map misses."""
    for found in explanation.maps:
        if found.completeness is not None:
            key = (explanation.classifier.name, found.method)
            missing[key] = max(found.completeness, missing.get(key, 0.0))


def _warn_of_missing(missing: Mapping[tuple[str, str], float]) -> None:
    for (model, method), share in missing.items():
        if share > _MOST_MISSING:
            off = (
                f"off by {share_of_error(share)} of the score's change" if isfinite(share) else "not zero as the change"
            )
            log.warning("%s of '%s': sum %s; more steps reduce it", method, model, off)


def _entry(file: Path, sheet: Sheet, explanations: Sequence[Explanation]) -> Entry:
    return Entry(str(file), sheet, [_outcome(explanation) for explanation in explanations])


def _outcome(explanation: Explanation) -> Outcome:
    clean, last = explanation.views[0], explanation.views[-1]
    labels = explanation.classifier.labels
    moved = [found.moved.spearman for found in explanation.maps if found.moved is not None]
    return Outcome(
        explanation.classifier.name,
        explanation.group,
        labels[explanation.origin],
        labels[clean.predicted],
        labels[last.predicted] if explanation.pair is not None else None,
        float(clean.probabilities.max()),
        explanation.margin.share if explanation.margin is not None else None,
        moved[0] if moved else None,
    )


def _facts(
    models: Sequence[ExplainedModel], request: Request, groups: Sequence[Mapping[str, int]], shown: int
) -> list[tuple[str, Sequence[str]]]:
    facts: list[tuple[str, Sequence[str]]] = [
        ("models", [model.classifier.name for model in models]),
        ("images", [str(shown)]),
        ("maps", list(dict.fromkeys(method for model in models for method in model.explainers))),
        ("seed", [str(request.seed)]),
    ]
    if request.attacked:
        attack = request.attack or "adversarial images from files"
        ball = radius(str(request.threat.norm), request.threat.eps) if request.attack else ""
        facts.insert(2, ("attack", [attack, *filter(None, [ball])]))
        facts[3:3] = [
            (
                f"outcome of {model.classifier.name}" if len(models) > 1 else "outcome",
                [f"{count} {group}" for group, count in counted.items()],
            )
            for model, counted in zip(models, groups, strict=True)
        ]
    return facts
