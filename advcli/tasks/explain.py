"""Explain image files: maps of what a class rests on, clean and adversarial, and a contact sheet."""

import contextlib
import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images
from advcli.data import to_float
from advcli.errors import AdvcliError, UsageError
from advcli.explainers import Explainer
from advcli.feature_map import feature_map, listed
from advcli.model import Classifier
from advcli.records import Explained, Failed, Flipped, Layer, Progress, Shifted, Trusted
from advcli.report.explanations import Entry, Pages
from advcli.report.sheet import Sheet
from advcli.report.wording import radius
from advcli.tasks.explaining.explanation import Explanation, Subject
from advcli.tasks.explaining.reading import chunks
from advcli.tasks.explaining.remembered import Remembered
from advcli.tasks.explaining.request import Request, model_suffixes
from advcli.tasks.explaining.results import Files
from advcli.tasks.explaining.statistics import Statistics
from advcli.tasks.explaining.trust import MOST_IMAGES, check, trust_line
from advcli.tasks.explaining.views import true_class
from advcli.tasks.pictures import by_size

log = logging.getLogger(__name__)

_FINE = 7

Event = Explained | Flipped | Shifted | Trusted | Failed | Progress


def applicable(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep the methods that can explain this classifier, and say which cannot."""
    kept = {}
    for method, explainer in explainers.items():
        try:
            explainer.shown(classifier)
        except UsageError:
            # Its layer was named by the user.
            raise
        except AdvcliError as error:
            log.warning("left out %s: %s", method, error.message)
        else:
            kept[method] = explainer
    return kept


def usual(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep what suits a classifier if nothing is asked for: gradcam where its last map is fine enough, else layercam.

    Where the map has to be taken from further up, weights for whole channels rank pixels worse than
    weights for cells do.
    """
    maps = listed(classifier)
    coarse = bool(maps) and min(maps[-1].rows, maps[-1].columns) < _FINE
    left_out = "gradcam" if coarse else "layercam"
    return applicable({method: one for method, one in explainers.items() if method != left_out}, classifier)


def layers(classifier: Classifier, seed: int = 0) -> Iterator[Layer]:
    """List the layers that a class activation map can show, and say which is shown unless told otherwise."""
    try:
        chosen = feature_map(classifier).shown
    except AdvcliError as error:
        log.warning("none is shown unless named: %s", error.message)
        chosen = None
    for shown in listed(classifier):
        ours = chosen is not None and shown.layer == chosen.layer
        yield Layer(
            model=classifier.name,
            data="",
            seed=seed,
            layer=shown.layer,
            kind="" if shown.only_way else "one of several ways",
            rows=shown.rows,
            columns=shown.columns,
            channels=shown.channels,
            chosen=ours,
            reason=chosen.reason if ours and chosen is not None else "",
        )


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
        for event in _checked(subject, list(outputs), known, common | {"model": subject.classifier.name}):
            if isinstance(event, Trusted):
                trusted.append(event)
            yield event
    notes = [trust_line(record) for record in trusted]
    suffixes = model_suffixes([subject.classifier.name for subject in subjects])
    statistics = [Statistics() for _ in subjects]
    groups: Counter[str] = Counter()
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
                for subject, suffix, numbers, outcome in zip(subjects, suffixes, statistics, outcomes, strict=True):
                    if isinstance(outcome, str):
                        yield Failed(
                            image=str(picture.file), error=outcome, **common | {"model": subject.classifier.name}
                        )
                    else:
                        numbers.add(outcome)
                        explained.append((outcome, suffix))
                if explained:
                    explanations, its = zip(*explained, strict=True)
                    groups[explanations[0].group] += 1
                    files = Files(outputs[picture.file], request, its)
                    made, records = files.write(picture.file, explanations, notes, common)
                    if pages is not None:
                        pages.add(_entry(picture.file, made, explanations[0]))
                    yield from records
                done += 1
        yield Progress("explaining", len(outputs), len(outputs))
        shifted: list[Shifted] = []
        if sum(groups.values()) > 1:
            for subject, numbers in zip(subjects, statistics, strict=True):
                shifted += numbers.records(common | {"model": subject.classifier.name})
            yield from shifted
        if pages is not None and groups:
            names = [subject.classifier.name for subject in subjects]
            title = f"What {' and '.join(names)} look{'s' if len(names) == 1 else ''} at"
            pages.finish(title, _facts(subjects, request, groups), shifted, trusted)
            log.info("page: '%s'", report)


def _checked(
    subject: Subject, files: Sequence[Path], known: Remembered, common: dict[str, Any]
) -> Iterator[Trusted | Progress]:
    """Check a model's explainers on the first images; what is known already is not checked again."""
    seen: list[np.ndarray] = []
    for file in files:
        with contextlib.suppress(AdvcliError, OSError):
            pixels = images.read(file, subject.classifier.channels)
            seen.append(np.asarray(subject.classifier.fit(to_float(pixels)[None]))[0])
        if len(seen) == MOST_IMAGES:
            break
    methods = {method: one for method, one in subject.explainers.items() if one.kind != "picture"}
    for done, (method, explainer) in enumerate(methods.items() if seen else ()):
        yield Progress("checking", done, len(methods))
        # A frozen component writes itself with all its options.
        record = known.get(repr(explainer), len(seen), common)
        if record is None:
            record = check(subject.classifier, explainer, method, np.stack(seen), subject.request.seed, common)
            known.put(repr(explainer), record)
        yield record


def _say_truth(classifier: Classifier, files: Sequence[Path], request: Request) -> None:
    if request.label is not None:
        return
    known = sum(true_class(classifier, file, None) is not None for file in files)
    if known:
        log.info("true classes: the names of the images' folders, for %d of %d images", known, len(files))


def _entry(file: Path, made: Sheet, explanation: Explanation) -> Entry:
    clean, last = explanation.views[0], explanation.views[-1]
    labels = explanation.classifier.labels
    moved = [found.moved.spearman for found in explanation.maps if found.moved is not None]
    return Entry(
        str(file),
        made,
        explanation.group,
        labels[clean.predicted],
        labels[last.predicted] if explanation.pair is not None else None,
        float(clean.probabilities.max()),
        explanation.flip.share if explanation.flip is not None else None,
        moved[0] if moved else None,
    )


def _facts(subjects: Sequence[Subject], request: Request, groups: Mapping[str, int]) -> list[tuple[str, Sequence[str]]]:
    facts: list[tuple[str, Sequence[str]]] = [
        ("models", [subject.classifier.name for subject in subjects]),
        ("images", [str(sum(groups.values()))]),
        ("maps", list(dict.fromkeys(method for subject in subjects for method in subject.explainers))),
        ("seed", [str(request.seed)]),
    ]
    if request.attacked:
        attack = request.attack or "adversarial images from files"
        ball = radius(request.threat.eps, str(request.threat.norm)) if request.attack else ""
        facts.insert(2, ("attack", [attack, *filter(None, [ball])]))
        facts.insert(3, ("outcome", [f"{count} {group}" for group, count in groups.items()]))
    return facts
