"""Universal perturbations and their files: craft one over image files, read one back."""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli import registry
from advcli.attacks import Universal
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.files.bounded import refuse_special
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind
from advcli.model.classifier import Classifier
from advcli.records import Crafted, Progress
from advcli.records.base import Fields
from advcli.records.read_back import read_back
from advcli.search.image_batches import groups
from advcli.search.universal import craft
from advcli.tasks.attack.request import Resolved
from advcli.threat.threat import Norm, Threat

log = logging.getLogger(__name__)


def crafted(
    classifier: Classifier,
    search: Universal,
    threat: Threat,
    files: Sequence[Path],
    request: Resolved,
    pattern: Path,
    common: Fields,
) -> Iterator[Crafted | Progress]:
    """Craft a universal perturbation over image files at the classifier's size and write it."""
    start = time.perf_counter()
    labels: dict[Path, int] = {}

    def batches() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for group in groups(files, classifier, resize=True, batch=request.batch):
            if isinstance(group, tuple):
                continue
            pixels = to_float(np.stack([picture.pixels for picture in group]))
            if group[0].file not in labels:
                seen = (
                    classifier.predict(pixels).argmax(axis=1) if request.away is None else [request.away] * len(group)
                )
                labels.update({picture.file: int(label) for picture, label in zip(group, seen, strict=True)})
            yield pixels, np.array([labels[picture.file] for picture in group])

    pixels = yield from craft(classifier, search, threat, batches, request.seed)
    if not labels:
        raise AdvcliError("there is no image to craft a perturbation over", "none of the files could be read")
    record = Crafted(
        output=str(pattern),
        attack=request.spec,
        norm=str(threat.norm) if search.bounded else None,
        eps=request.threat.eps if search.bounded else None,
        target=None if threat.target is None else classifier.labels[threat.target],
        images=len(labels),
        seconds=time.perf_counter() - start,
        **common,
    )
    # The file does not depend on the folder that it is written to.
    png.write(pattern, pixels, replace(record, output=pattern.name), "pattern")
    yield record


def read_pattern(classifier: Classifier, search: Universal, threat: Threat, file: Path) -> np.ndarray:
    """Read a universal perturbation and check that it fits the classifier's images."""
    pixels = png.read(file)
    start = search.pattern(search.start(classifier.image_size, classifier.channels))
    wanted = search.to_png(np.asarray(start), threat).shape[2]
    if pixels.shape[2] != wanted:
        message = f"'{file}' has {pixels.shape[2]} channels, a perturbation for '{classifier.name}' has {wanted}"
        raise AdvcliError(message, "apply it against a model of the same kind of images")
    made_for = png.record_in(file).get("model", classifier.name)
    if made_for != classifier.name:
        log.warning("'%s' was crafted against '%s', not against '%s'", file, made_for, classifier.name)
    return pixels


def pattern_of(file: Path, attack: str | None, norm: Norm | None, eps: float | None, target: str | None) -> Crafted:
    """Read the record that a universal perturbation's file carries: its attack, norm, radius and target.

    Raises:
        UsageError: the file is no universal perturbation, or does not match the requested options.
        AdvcliError: its record is damaged.
    """
    hint = "--apply takes the .pattern.png that an attack has written"
    refuse_missing(refuse_special(file), "image", "a universal perturbation", hint)
    refuse_other_kind(file, ("image",), "a universal perturbation", hint)
    content = png.record_in(file)
    if not content or png.kind_in(file) != "pattern":
        message = f"'{file}' is not a universal perturbation"
        raise UsageError(message, hint)
    record = read_back(Crafted, {"seconds": 0.0} | content, f"the record in '{file}'")
    made = record.attack
    if not isinstance(registry.build("attacks", made), Universal) or (record.norm or Norm.LINF) not in list(Norm):
        raise AdvcliError(f"the record in '{file}' is damaged: it names no universal attack in a norm")
    if attack is not None and registry.canonical(attack) != registry.canonical(made):
        raise UsageError(f"'{file}' was crafted by {made}, not by {attack}", "leave --attack out")
    if norm or eps is not None:
        raise UsageError(f"'{file}' has its own radius", "leave --norm and --eps out")
    if target is not None and target != record.target:
        raise UsageError(f"'{file}' was crafted towards {record.target or 'any incorrect class'}", "leave --target out")
    return record
