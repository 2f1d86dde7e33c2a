"""Explain image files: maps of what a class rests on, clean and adversarial, and a contact sheet."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from advcli.model import Classifier
from advcli.records import Explained, Failed, Flipped, Progress, Shifted, Trusted
from advcli.report.explanations import Entry, Outcome, Pages
from advcli.report.sheet import Sheet
from advcli.report.wording import radius
from advcli.tasks.explaining.captions import missed
from advcli.tasks.explaining.checking import checked
from advcli.tasks.explaining.explanation import Explanation
from advcli.tasks.explaining.reading import chunks
from advcli.tasks.explaining.remembered import Remembered
from advcli.tasks.explaining.request import Request, model_suffixes
from advcli.tasks.explaining.results import Files
from advcli.tasks.explaining.statistics import Statistics
from advcli.tasks.explaining.subject import Subject
from advcli.tasks.explaining.trust import trust_line
from advcli.tasks.explaining.views import true_class
from advcli.tasks.pictures import by_size

log = logging.getLogger(__name__)

# A sum that misses more of the score's change than this is worth a warning.
_MOST_MISSING = 0.05

Event = Explained | Flipped | Shifted | Trusted | Failed | Progress


def explain(
    subjects: Sequence[Subject],
    outputs: Mapping[Path, Path],
    request: Request,
    *,
    remembered: Sequence[Remembered] = (),
    report: Path | None = None,
) -> Iterator[Event]:
    """Explain image files: a contact sheet an image, and whatever else the request asks for.

    Args:
        subjects: the models, the first one first.
        outputs: image file -> its outputs' path without the ending.
        request: what is asked.
        remembered: for each model what is known of its explainers; if given, they are checked.
        report: an HTML page to write.

    Yields:
        A record a map and a flip; before them those of the checks, after them the statistics.
    """
    common: dict[str, Any] = {"model": subjects[0].classifier.name, "data": "files", "seed": request.seed}
    _say_truth(subjects[0].classifier, list(outputs), request)
    trusted: list[Trusted] = []
    for subject, known in zip(subjects, remembered, strict=bool(remembered)):
        for event in checked(subject, list(outputs), known, common | {"model": subject.classifier.name}):
            if isinstance(event, Trusted):
                trusted.append(event)
            yield event
    notes = [trust_line(record) for record in trusted]
    suffixes = model_suffixes([subject.classifier.name for subject in subjects])
    statistics = [Statistics() for _ in subjects]
    groups: list[Counter[str]] = [Counter() for _ in subjects]
    shown = 0
    missing: dict[tuple[str, str], float] = {}
    with Pages(report) if report else contextlib.nullcontext() as pages:
        done = 0
        for chunk in chunks(by_size(outputs), request.batch):
            yield Progress("explaining", done, len(outputs))
            if isinstance(chunk, tuple):
                yield Failed(image=str(chunk[0]), error=chunk[1], **common)
                done += 1
                continue
            found = [subject(chunk) for subject in subjects]
            for picture, *outcomes in zip(chunk, *found, strict=True):
                explained = []
                columns = zip(subjects, suffixes, statistics, groups, outcomes, strict=True)
                for subject, suffix, numbers, group, outcome in columns:
                    if isinstance(outcome, str):
                        said = {**common, "model": subject.classifier.name}
                        yield Failed(image=str(picture.file), error=outcome, **said)
                    else:
                        numbers.add(outcome)
                        group[outcome.group] += 1
                        _note_missing(missing, outcome)
                        explained.append((outcome, suffix))
                if explained:
                    explanations, its = zip(*explained, strict=True)
                    shown += 1
                    files = Files(outputs[picture.file], request, its)
                    made, records = files.write(picture.file, explanations, notes, common)
                    if pages is not None:
                        pages.add(_entry(picture.file, made, explanations))
                    yield from records
                done += 1
        yield Progress("explaining", len(outputs), len(outputs))
        _say_missing(missing)
        shifted: list[Shifted] = []
        if shown > 1:
            for subject, numbers in zip(subjects, statistics, strict=True):
                shifted += numbers.records(common | {"model": subject.classifier.name})
            yield from shifted
        if pages is not None and shown:
            names = [subject.classifier.name for subject in subjects]
            title = f"What {' and '.join(names)} look{'s' if len(names) == 1 else ''} at"
            pages.finish(title, _facts(subjects, request, groups, shown), shifted, trusted)
            log.info("page: '%s'", report)


def _say_truth(classifier: Classifier, files: Sequence[Path], request: Request) -> None:
    if request.label is not None:
        return
    known = sum(true_class(classifier, file, None) is not None for file in files)
    if known:
        log.info("true classes: the names of the images' folders, for %d of %d images", known, len(files))


def _note_missing(missing: dict[tuple[str, str], float], explanation: Explanation) -> None:
    """Keep the worst share of the score's change that the sums of a method's maps miss."""
    for found in explanation.maps:
        if found.completeness is not None:
            key = (explanation.classifier.name, found.method)
            missing[key] = max(found.completeness, missing.get(key, 0.0))


def _say_missing(missing: Mapping[tuple[str, str], float]) -> None:
    for (model, method), share in missing.items():
        if share > _MOST_MISSING:
            log.warning("%s of '%s': %s of the score's change; more steps miss less", method, model, missed(share))


def _entry(file: Path, made: Sheet, explanations: Sequence[Explanation]) -> Entry:
    return Entry(str(file), made, [_outcome(explanation) for explanation in explanations])


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
        explanation.flip.share if explanation.flip is not None else None,
        moved[0] if moved else None,
    )


def _facts(
    subjects: Sequence[Subject], request: Request, groups: Sequence[Mapping[str, int]], shown: int
) -> list[tuple[str, Sequence[str]]]:
    facts: list[tuple[str, Sequence[str]]] = [
        ("models", [subject.classifier.name for subject in subjects]),
        ("images", [str(shown)]),
        ("maps", list(dict.fromkeys(method for subject in subjects for method in subject.explainers))),
        ("seed", [str(request.seed)]),
    ]
    if request.attacked:
        attack = request.attack or "adversarial images from files"
        ball = radius(request.threat.eps, str(request.threat.norm)) if request.attack else ""
        facts.insert(2, ("attack", [attack, *filter(None, [ball])]))
        facts[3:3] = [
            (
                f"outcome of {subject.classifier.name}" if len(subjects) > 1 else "outcome",
                [f"{count} {group}" for group, count in counted.items()],
            )
            for subject, counted in zip(subjects, groups, strict=True)
        ]
    return facts
