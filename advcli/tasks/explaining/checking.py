"""Check the explainers of a model on the first images, or remember what was found."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from advcli import images
from advcli.data import to_float
from advcli.errors import AdvcliError
from advcli.records import Progress, Trusted
from advcli.tasks.explaining.remembered import Remembered
from advcli.tasks.explaining.subject import Subject
from advcli.tasks.explaining.trust import check

MOST_IMAGES = 16


def checked(
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
