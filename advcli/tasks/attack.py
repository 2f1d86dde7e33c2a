"""Attack image files: what is reported is measured on the 8-bit pixels that are written."""

import itertools
import logging
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images
from advcli.attacks import Attack, Suite, Universal, is_bounded
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.model import Classifier
from advcli.records import Attacked, Crafted, Failed, Progress, Record
from advcli.tasks.adversary import Adversary
from advcli.tasks.crafting import Applied, craft
from advcli.tasks.lattice import fooled, settled
from advcli.tasks.smallest import SmallestRadius
from advcli.threat import Threat

log = logging.getLogger(__name__)

# What can be written of an image -> the ending of its file.
ENDINGS = {"adversarial": ".adv.png", "clean": ".clean.png", "difference": ".diff.png"}
PATTERN_ENDING = ".pattern.png"

# Searching takes some ten copies of the images it works on together.
_PIXELS_AT_ONCE = 16_000_000
_GREY = 128


@dataclass(frozen=True)
class Picture:
    """An image file and its pixels: (H, W, C) uint8."""

    file: Path
    pixels: np.ndarray


@dataclass(frozen=True)
class Found:
    """What an attack made of images of one size: uint8 pixels, and for each image its queries and its radius."""

    pixels: np.ndarray
    queries: np.ndarray
    radii: Sequence[float | None]


Search = Callable[[np.ndarray, np.ndarray], Found]


@dataclass(frozen=True)
class Request:
    """How an attack on files is asked for.

    Args:
        spec: what the attack is called in records.
        threat: the ball; it is narrowed to 8-bit values.
        label: the class to move away from; None means what the classifier sees in each image.
        resize: bring the images to the classifier's size first.
        minimal: search for the smallest radius that fools, up to that of the threat.
        save: which of ``ENDINGS`` are written.
        batch: how many images of one size are attacked together.
        seed: for the attack's random draws.
    """

    spec: str
    threat: Threat
    label: int | None = None
    resize: bool = False
    minimal: bool = False
    save: Collection[str] = ("adversarial",)
    batch: int = 16
    seed: int = 0


def attack(
    classifier: Classifier,
    outputs: Mapping[Path, Path],
    search: Attack | Suite | Universal,
    request: Request,
    *,
    pattern: Path | None = None,
    apply: bool = False,
) -> Iterator[Attacked | Crafted | Failed | Progress]:
    """Attack image files at their own resolution and write each result as an 8-bit PNG.

    Args:
        classifier: what is attacked.
        outputs: image file -> its output's path without the ending.
        search: the attack.
        request: how it is used.
        pattern: for an attack with one pattern for all images: the pattern's file.
        apply: take the pattern from its file instead of crafting it.

    Yields:
        A record an image, those of one size together.
    """
    classifier = classifier.frozen
    common = {"model": classifier.name, "data": "files", "seed": request.seed}
    threat = request.threat.on_lattice()
    if isinstance(search, Universal):
        assert pattern is not None
        if not apply:
            yield from _crafted(classifier, search, threat, list(outputs), request, pattern, common)
        adversary: Any = Applied(search, threat, _pattern(classifier, search, threat, pattern), request.seed)
    else:
        adversary = Adversary(classifier, search, threat, request.seed)
    if request.minimal:
        find: Search = partial(_search_smallest, SmallestRadius(adversary))
    else:
        find = partial(_search, classifier, adversary, request.threat if is_bounded(search) else None, threat)
    done = 0
    for group in _groups(_by_size(outputs), classifier, request.resize, request.batch):
        yield Progress("attacking", done, len(outputs))
        if isinstance(group, tuple):
            yield Failed(image=str(group[0]), error=group[1], **common)
            done += 1
            continue
        for record in _attack_group(classifier, find, group, outputs, request, pattern, common):
            yield record
            done += 1
    yield Progress("attacking", done, len(outputs))


def _search(
    classifier: Classifier,
    adversary: Adversary | Applied,
    asked: Threat | None,
    threat: Threat,
    originals: np.ndarray,
    labels: np.ndarray,
) -> Found:
    adversarial, queries = adversary(to_float(originals), labels)
    pixels = settled(classifier, originals, adversarial, threat, labels, bounded=asked is not None)
    return Found(pixels, queries, [asked and asked.eps] * len(originals))


def _search_smallest(smallest: SmallestRadius, originals: np.ndarray, labels: np.ndarray) -> Found:
    pixels, queries, steps = smallest(originals, labels)
    return Found(pixels, queries, [float(step) / 255 for step in steps])


def _crafted(
    classifier: Classifier,
    search: Universal,
    threat: Threat,
    files: Sequence[Path],
    request: Request,
    pattern: Path,
    common: Mapping[str, Any],
) -> Iterator[Crafted | Progress]:
    """Craft a pattern over files at the classifier's size and write it."""
    start = time.perf_counter()
    labels: dict[Path, int] = {}

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for group in _groups(files, classifier, resize=True, batch=request.batch):
            if isinstance(group, tuple):
                continue
            pixels = to_float(np.stack([picture.pixels for picture in group]))
            if group[0].file not in labels:
                seen = (
                    classifier.predict(pixels).argmax(axis=1) if request.label is None else [request.label] * len(group)
                )
                labels.update({picture.file: int(label) for picture, label in zip(group, seen, strict=True)})
            yield pixels, np.array([labels[picture.file] for picture in group])

    pixels = yield from craft(classifier, search, threat, batches, request.seed)
    if not labels:
        raise AdvcliError("there is no image to craft a pattern over", "none of the files could be read")
    record = Crafted(
        output=str(pattern),
        attack=request.spec,
        norm=str(threat.norm) if is_bounded(search) else None,
        eps=request.threat.eps if is_bounded(search) else None,
        target=None if threat.target is None else classifier.labels[threat.target],
        images=len(labels),
        seconds=time.perf_counter() - start,
        **common,
    )
    images.write_png(pattern, pixels, _described("pattern", record))
    yield record


def _pattern(classifier: Classifier, search: Universal, threat: Threat, file: Path) -> np.ndarray:
    """Read a pattern's file and see that it is one for images of the classifier's kind."""
    pixels = images.read_exactly(file)
    start = search.pattern(search.start(classifier.edge, classifier.channels))
    wanted = search.to_png(np.asarray(start), threat).shape[2]
    if pixels.shape[2] != wanted:
        message = f"'{file}' has {pixels.shape[2]} channels, a pattern for '{classifier.name}' has {wanted}"
        raise AdvcliError(message, "apply it against a model of the same kind of images")
    return pixels


def _by_size(files: Iterable[Path]) -> list[Path]:
    """Put files of one size next to each other; nothing but their headers is read."""
    files = list(files)
    return sorted(files, key=lambda file: images.size(file)) if len(files) > 1 else files


def _groups(
    files: Iterable[Path], classifier: Classifier, resize: bool, batch: int
) -> Iterator[list[Picture] | tuple[Path, str]]:
    """Read files and group neighbours of one size; a file that cannot be read comes with the reason."""

    def read() -> Iterator[Picture | tuple[Path, str]]:
        for file in files:
            try:
                pixels = images.read(file, classifier.channels)
            except (AdvcliError, OSError) as error:
                yield file, str(error)
            else:
                yield Picture(file, images.resize(pixels, classifier.edge) if resize else pixels)

    def shape(item: Picture | tuple[Path, str]) -> tuple[int, ...]:
        return item.pixels.shape if isinstance(item, Picture) else ()

    for size, group in itertools.groupby(read(), key=shape):
        if not size:
            yield from group  # type: ignore[misc]
            continue
        together = min(batch, max(1, _PIXELS_AT_ONCE // (size[0] * size[1])))
        while pictures := list(itertools.islice(group, together)):
            yield pictures  # type: ignore[misc]


def _attack_group(
    classifier: Classifier,
    find: Search,
    pictures: Sequence[Picture],
    outputs: Mapping[Path, Path],
    request: Request,
    pattern: Path | None,
    common: Mapping[str, Any],
) -> Iterator[Attacked]:
    start = time.perf_counter()
    threat = request.threat
    originals = np.stack([picture.pixels for picture in pictures])
    before = classifier.predict(to_float(originals))
    labels = before.argmax(axis=1) if request.label is None else np.full(len(pictures), request.label)
    already = [fooled(row, threat, int(away)) for row, away in zip(before, labels, strict=True)]
    for picture, so, row in zip(pictures, already, before, strict=True):
        if so:
            log.warning("'%s' is '%s' before any attack", picture.file, classifier.labels[row.argmax()])
    found = find(originals, labels)
    after = classifier.predict(to_float(found.pixels))
    seconds = (time.perf_counter() - start) / len(pictures)
    for i, picture in enumerate(pictures):
        difference = (found.pixels[i].astype(np.int16) - originals[i]) / 255
        paths = {
            kind: outputs[picture.file].with_name(outputs[picture.file].name + ENDINGS[kind])
            for kind in ENDINGS
            if kind in request.save
        }
        radius = found.radii[i]
        record = Attacked(
            image=str(picture.file),
            output=_text(paths.get("adversarial")),
            attack=request.spec,
            norm=None if radius is None else str(threat.norm),
            eps=radius,
            minimal=request.minimal,
            target=None if threat.target is None else classifier.labels[threat.target],
            label=classifier.labels[labels[i]],
            before=classifier.top(before[i], 1)[0],
            after=classifier.top(after[i], 1)[0],
            before_top=classifier.top(before[i]),
            after_top=classifier.top(after[i]),
            fooled=fooled(after[i], threat, int(labels[i])) and not already[i],
            linf=float(np.abs(difference).max()),
            l2=float(np.linalg.norm(difference)),
            l1=float(np.abs(difference).sum()),
            pattern=_text(pattern),
            clean_output=_text(paths.get("clean")),
            difference_output=_text(paths.get("difference")),
            difference_times=amplification(difference) if "difference" in paths else None,
            queries=int(found.queries[i]),
            seconds=seconds,
            **common,
        )
        _write(record, paths, originals[i], found.pixels[i])
        yield record


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)


def amplification(difference: np.ndarray) -> int:
    """Choose how many times a difference, in units of [0, 1], is enlarged so that it fills the range about grey."""
    return max(int(127 / max(255 * np.abs(difference).max(), 1) + 1e-6), 1)


def _write(record: Attacked, paths: Mapping[str, Path], original: np.ndarray, adversarial: np.ndarray) -> None:
    """Write what is wanted of an image; each file says of itself what it is and carries the record."""
    for kind, path in paths.items():
        pixels = {"adversarial": adversarial, "clean": original}.get(kind)
        if pixels is None:
            change = adversarial.astype(np.int16) - original
            pixels = (_GREY + change * (record.difference_times or 1)).clip(0, 255).astype(np.uint8)
        images.write_png(path, pixels, _described(kind, record))
        if not np.array_equal(images.read(path, pixels.shape[-1]), pixels):
            raise AdvcliError(f"'{path}' does not hold what was written to it")


def _described(kind: str, record: Record) -> dict[str, str]:
    """Return the texts by which a file found later says what it is."""
    return {"advcli": record.to_text(), "advcli-kind": kind}
