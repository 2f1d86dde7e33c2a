"""What a task says of a black box: how many queries it will take at most, and how many it took."""

import logging
from collections.abc import Iterable, Iterator, Mapping

from advcli.model.black_box import BlackBox
from advcli.model.classifier import Classifier
from advcli.records import Queried

log = logging.getLogger(__name__)


def announce_queries(classifier: Classifier, most: Mapping[str, int | None]) -> None:
    """Say how many images a black box will be asked about at most, and how long that may take.

    Args:
        classifier: the model.
        most: the number of queries by what they are for; None where there is no limit.
    """
    box = classifier.model
    if not isinstance(box, BlackBox):
        return
    parts = ", ".join(f"{what} {'without limit' if count is None else f'{count:,}'}" for what, count in most.items())
    known = sum(count for count in most.values() if count is not None)
    if known == 0:
        return
    each = max(box.seconds / max(box.images, 1), box.function.seconds_per_image)
    bound = f"at most {known:,} queries" if None not in most.values() else f"{known:,} queries or more"
    log.info(
        "'%s': %s (%s); up to %s of its time, %s each", classifier.name, bound, parts, _time(known * each), _time(each)
    )


def queried(classifiers: Iterable[Classifier], data: str, seed: int) -> Iterator[Queried]:
    """Report what each remote model was asked."""
    for classifier in classifiers:
        box = classifier.model
        if isinstance(box, BlackBox) and box.function.remote:
            yield Queried(
                model=classifier.name, data=data, seed=seed, images=box.images, requests=box.calls, seconds=box.seconds
            )


def _time(seconds: float) -> str:
    for unit, length in (("h", 3600.0), ("min", 60.0), ("s", 1.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}"
    return f"{1000 * seconds:.1f} ms"
