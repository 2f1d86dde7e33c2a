"""Attack image files: what is reported is read back from the files that were written."""

import itertools
import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images
from advcli.attacks import Attack
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.model import Classifier
from advcli.records import Attacked, Failed, Progress
from advcli.tasks.adversary import Adversary
from advcli.tasks.lattice import fooled, settled
from advcli.threat import Threat

log = logging.getLogger(__name__)

ENDING = ".adv.png"


@dataclass(frozen=True)
class _Picture:
    file: Path
    pixels: np.ndarray


def attack(
    classifier: Classifier,
    outputs: Mapping[Path, Path],
    search: Attack,
    threat: Threat,
    *,
    spec: str,
    label: int | None = None,
    resize: bool = False,
    batch: int = 16,
    seed: int = 0,
) -> Iterator[Attacked | Failed | Progress]:
    """Attack image files at their own resolution and write each result as an 8-bit PNG.

    Args:
        classifier: what is attacked.
        outputs: image file -> its output's path without the ending.
        search: the attack.
        threat: the ball; it is narrowed to 8-bit values.
        spec: what the attack is called in records.
        label: the class to move away from; None means what the classifier sees in each image.
        resize: bring the images to the classifier's size first.
        batch: how many images of one size are attacked together.
        seed: for the attack's random draws.

    Yields:
        A record an image, in the order of ``outputs``.
    """
    classifier = classifier.frozen
    adversary = Adversary(classifier, search, threat.on_lattice(), seed)
    common = {"model": classifier.name, "data": "files", "seed": seed}
    done = 0
    for group in _groups(list(outputs), classifier, resize, batch):
        if isinstance(group, tuple):
            yield Failed(image=str(group[0]), error=group[1], **common)
            done += 1
        else:
            yield Progress("attacking", done, len(outputs))
            for record in _attack_group(adversary, group, outputs, spec, threat, label, common):
                yield record
                done += 1
    yield Progress("attacking", done, len(outputs))


def _groups(
    files: Sequence[Path], classifier: Classifier, resize: bool, batch: int
) -> Iterator[list[_Picture] | tuple[Path, str]]:
    """Read files and group neighbours of one size; a file that cannot be read comes with the reason."""

    def read() -> Iterator[_Picture | tuple[Path, str]]:
        for file in files:
            try:
                pixels = images.read(file, classifier.channels)
            except (AdvcliError, OSError) as error:
                yield file, str(error)
            else:
                yield _Picture(file, images.resize(pixels, classifier.edge) if resize else pixels)

    def shape(item: _Picture | tuple[Path, str]) -> tuple[int, ...]:
        return item.pixels.shape if isinstance(item, _Picture) else ()

    for size, group in itertools.groupby(read(), key=shape):
        if not size:
            yield from group  # type: ignore[misc]
        else:
            while pictures := list(itertools.islice(group, batch)):
                yield pictures  # type: ignore[misc]


def _attack_group(
    adversary: Adversary,
    pictures: Sequence[_Picture],
    outputs: Mapping[Path, Path],
    spec: str,
    threat: Threat,
    label: int | None,
    common: dict[str, Any],
) -> Iterator[Attacked]:
    start = time.perf_counter()
    classifier = adversary.classifier
    originals = np.stack([picture.pixels for picture in pictures])
    before = classifier.predict(to_float(originals))
    labels = before.argmax(axis=1) if label is None else np.full(len(pictures), label)
    already = [fooled(row, threat, int(away)) for row, away in zip(before, labels, strict=True)]
    for picture, so, row in zip(pictures, already, before, strict=True):
        if so:
            log.warning("'%s' is '%s' before any attack", picture.file, classifier.labels[row.argmax()])
    found, queries = adversary(to_float(originals), labels)
    written = []
    rounded = settled(classifier, originals, found, threat, labels)
    for picture, pixels in zip(pictures, rounded, strict=True):
        output = outputs[picture.file].with_name(outputs[picture.file].name + ENDING)
        description = {"image": picture.file.name, "attack": spec, "norm": str(threat.norm), "eps": threat.eps}
        images.write_png(output, pixels, {"advcli": json.dumps(description | common)})
        written.append(output)
    reread = np.stack([images.read(output, classifier.channels) for output in written])
    after = classifier.predict(to_float(reread))
    seconds = (time.perf_counter() - start) / len(pictures)
    for i, picture in enumerate(pictures):
        difference = (reread[i].astype(np.int16) - originals[i]) / 255
        yield Attacked(
            image=str(picture.file),
            output=str(written[i]),
            attack=spec,
            norm=str(threat.norm),
            eps=threat.eps,
            target=None if threat.target is None else classifier.labels[threat.target],
            label=classifier.labels[labels[i]],
            before=classifier.top(before[i], 1)[0],
            after=classifier.top(after[i], 1)[0],
            before_top=classifier.top(before[i]),
            after_top=classifier.top(after[i]),
            fooled=fooled(after[i], threat, int(labels[i])) and not already[i],
            linf=float(np.abs(difference).max()),
            l2=float(np.linalg.norm(difference)),
            queries=queries,
            seconds=seconds,
            **common,
        )
