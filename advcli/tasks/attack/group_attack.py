"""Attack images of one size together, measure what was found on the pixels that are written, and write them."""

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from advcli.data import images
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError
from advcli.files import png
from advcli.model.classifier import Classifier
from advcli.model.failures import failure_of_image
from advcli.records import Attacked, Failed, MemberVerdict
from advcli.records.base import Fields
from advcli.report.difference import amplification, enlarged, measure_lengths
from advcli.search.ensemble import Ensemble
from advcli.search.image_batches import Picture
from advcli.search.quantize import fooled
from advcli.tasks.attack.request import ENDINGS, Resolved
from advcli.threat.threat import Norm, Threat

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Found:
    """The adversarial images of one size: uint8 pixels, and for each image its queries and its radius."""

    pixels: np.ndarray
    queries: np.ndarray
    radii: Sequence[float | None]


# Images, their classes and their masks -> what was found.
Find = Callable[[np.ndarray, np.ndarray, np.ndarray | None], Found]


@dataclass(frozen=True)
class GroupAttack:
    """What is common to all groups of images of one call.

    Args:
        classifier: the attacked model.
        find: searches for the adversarial images.
        outputs: image file -> its output's path without the ending.
        request: the options of the attack.
        pattern: the file of the perturbation of a universal attack.
        common: the fields of every record.
        ensemble: the models that the attack sees, if they are several.
    """

    classifier: Classifier
    find: Find
    outputs: Mapping[Path, Path]
    request: Resolved
    pattern: Path | None
    common: Fields
    ensemble: Ensemble | None

    def apart(self, pictures: Sequence[Picture]) -> Iterator[Attacked | Failed]:
        """Attack some images together; if that fails, one by one, so that each failure is that of its image."""
        reported = set()
        try:
            for record in self._together(pictures):
                reported.add(record.image)
                yield record
        except Exception as error:
            reason = failure_of_image(error, [self.classifier.model])
            if reason is None:
                raise
            if len(pictures) == 1:
                yield Failed(image=str(pictures[0].file), error=reason, **self.common)
                return
            for picture in pictures:
                if str(picture.file) not in reported:
                    yield from self.apart([picture])

    def _together(self, pictures: Sequence[Picture]) -> Iterator[Attacked | Failed]:
        start = time.perf_counter()
        classifier, request, common = self.classifier, self.request, self.common
        threat = request.threat
        originals = np.stack([picture.pixels for picture in pictures])
        before = classifier.answers(to_float(originals))
        pictures, originals, before = yield from _with_numbers(classifier, pictures, originals, before, common)
        if not pictures:
            return
        labels = before.argmax(axis=1) if request.away is None else np.full(len(pictures), request.away)
        already = [fooled(row, threat, int(away)) for row, away in zip(before, labels, strict=True)]
        for picture, so, row in zip(pictures, already, before, strict=True):
            if so:
                log.warning(
                    "'%s' is classified as '%s' before any attack", picture.file, classifier.labels[row.argmax()]
                )
        of_each = [picture.mask for picture in pictures if picture.mask is not None]
        masks = np.stack(of_each) if of_each else None
        found = self.find(originals, labels, masks)
        after = classifier.answers(to_float(found.pixels))
        verdicts = _verdicts(self.ensemble, originals, found.pixels, labels, threat)
        seconds = (time.perf_counter() - start) / len(pictures)
        for i, picture in enumerate(pictures):
            difference = (found.pixels[i].astype(np.int16) - originals[i]) / 255
            paths = {
                kind: self.outputs[picture.file].with_name(self.outputs[picture.file].name + ENDINGS[kind])
                for kind in ENDINGS
                if kind in request.save
            }
            seen = verdicts[i]
            if not np.isfinite(after[i]).all() or seen is None:
                what = "the model returns NaN or infinity for the adversarial image, which is not written"
                yield Failed(image=str(picture.file), error=what, **common)
                continue
            radius = found.radii[i]
            record = Attacked(
                image=str(picture.file),
                output=_text(paths.get("adversarial")),
                attack=request.spec,
                norm=None if radius is None else str(threat.norm),
                eps=radius,
                minimal=request.minimal,
                target=None if threat.target is None else classifier.labels[threat.target],
                target_index=threat.target,
                label=classifier.labels[labels[i]],
                before=classifier.top(before[i], 1)[0],
                after=classifier.top(after[i], 1)[0],
                before_top=classifier.top(before[i]),
                after_top=classifier.top(after[i]),
                fooled=fooled(after[i], threat, int(labels[i])) and not already[i],
                **measure_lengths(difference, counted=radius is not None and threat.norm is Norm.L0),
                pattern=_text(self.pattern),
                clean_output=_text(paths.get("clean")),
                difference_output=_text(paths.get("difference")),
                difference_times=amplification(difference) if "difference" in paths else None,
                queries=int(found.queries[i]),
                surrogate=request.surrogate,
                ensemble=seen,
                start=_text(request.start),
                mask=None if masks is None else _text(request.mask),
                mask_share=None if masks is None else float(masks[i].mean()),
                seconds=seconds,
                **common,
            )
            try:
                _write(record, paths, originals[i], found.pixels[i], request.replaces_files)
            except AdvcliError as error:
                yield Failed(image=str(picture.file), error=error.message, **common)
            else:
                yield record


def _verdicts(
    ensemble: Ensemble | None, originals: np.ndarray, pixels: np.ndarray, labels: np.ndarray, threat: Threat
) -> list[tuple[MemberVerdict, ...] | None]:
    """Return what each model of an ensemble sees in each image; None for an image for which one returns NaN."""
    if ensemble is None:
        return [()] * len(pixels)
    answers = [(each.answers(to_float(originals)), each.answers(to_float(pixels))) for each in ensemble.members]
    verdicts: list[tuple[MemberVerdict, ...] | None] = []
    for i, label in enumerate(labels.tolist()):
        if not all(np.isfinite(scores[i]).all() for pair in answers for scores in pair):
            verdicts.append(None)
            continue
        row = []
        for number, (member, (before, after)) in enumerate(zip(ensemble.members, answers, strict=True)):
            own, aim = ensemble.class_of_member(number, label), ensemble.threat_of_member(number, threat)
            row.append(
                MemberVerdict(
                    model=member.name,
                    before=member.top(before[i], 1)[0],
                    after=member.top(after[i], 1)[0],
                    fooled=fooled(after[i], aim, own) and not fooled(before[i], aim, own),
                )
            )
        verdicts.append(tuple(row))
    return verdicts


def _with_numbers(
    classifier: Classifier,
    pictures: Sequence[Picture],
    originals: np.ndarray,
    answers: np.ndarray,
    common: Fields,
) -> Generator[Failed, None, tuple[list[Picture], np.ndarray, np.ndarray]]:
    """Exclude the images for which the model returns NaN before any attack."""
    finite = np.atleast_1d(np.isfinite(answers).all(axis=1))
    for picture, good in zip(pictures, finite, strict=True):
        if not good:
            what = f"model '{classifier.name}' returns NaN or infinity"
            yield Failed(image=str(picture.file), error=what, **common)
    kept = [picture for picture, good in zip(pictures, finite, strict=True) if good]
    return kept, originals[finite], answers[finite]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def _write(
    record: Attacked, paths: Mapping[str, Path], original: np.ndarray, adversarial: np.ndarray, overwrite: bool
) -> None:
    """Write the requested files of an image; each carries its kind and the record as text."""
    # Files do not depend on the folder that they are written to.
    places = {
        name: getattr(record, name)
        for name in ("output", "clean_output", "difference_output", "pattern", "start", "mask")
    }
    kept = replace(record, **{name: place and Path(place).name for name, place in places.items()})
    for kind, path in paths.items():
        pixels = {"adversarial": adversarial, "clean": original}.get(kind)
        if pixels is None:
            pixels = enlarged(original, adversarial, record.difference_times or 1)
        png.write(path, pixels, kept, kind, overwrite)
        if not np.array_equal(images.read(path, pixels.shape[-1]), pixels):
            raise AdvcliError(f"'{path}' does not hold what was written to it")
