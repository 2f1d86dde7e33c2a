"""One picture as one model sees it, and the classes of it that are to be explained."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from advcli.class_order import has_names
from advcli.data import class_named, to_eight_bits, to_float
from advcli.errors import AdvcliError, UsageError
from advcli.model import Classifier
from advcli.tasks.explaining.request import PREDICTED, SECOND, TRUE, Request, Wanted

ORIGINAL = "original"


@dataclass(frozen=True)
class View:
    """A picture as a model sees it.

    Args:
        name: ``clean``, ``adversarial`` or ``noisy``.
        seen: (edge, edge, C) in [0, 1].
        probabilities: (K,) of all classes.
        size: rows and columns of the picture itself.
    """

    name: str
    seen: np.ndarray
    probabilities: np.ndarray
    size: tuple[int, int]

    @property
    def predicted(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def picture(self) -> np.ndarray:
        """What the model sees as 8-bit pixels."""
        return to_eight_bits(self.seen)


@dataclass(frozen=True)
class Question:
    """What is explained: a class of a view, or its lead over another.

    Args:
        wanted: the row that asks.
        role: why this class: ``predicted``, ``true``, ``original`` ...
        index: the class.
        against: the other class, if the lead over it is meant.
    """

    wanted: Wanted
    role: str
    index: int
    against: int | None = None


def look(classifier: Classifier, name: str, pictures: list[np.ndarray]) -> list[View]:
    """Show pictures of any sizes to a classifier: (H, W, C) uint8 or float32 each."""
    if not pictures:
        return []
    seen = np.concatenate([np.asarray(classifier.fit(to_float(pixels)[None])) for pixels in pictures])
    probabilities = classifier.predict(seen)
    sizes = [(pixels.shape[0], pixels.shape[1]) for pixels in pictures]
    return [View(name, *parts) for parts in zip(seen, probabilities, sizes, strict=True)]


def true_class(classifier: Classifier, file: Path, label: str | None) -> int | None:
    """Find the true class of an image: the one that was named, or the name of its folder if that is a class."""
    if label is not None:
        return classifier.index(label)
    if not has_names(classifier.labels):
        # A folder called "class 1" may hold the class of another number.
        return None
    return class_named(classifier.labels, file.resolve().parent.name)


def questions(
    classifier: Classifier, request: Request, clean: View, adversarial: View | None, true: int | None
) -> list[Question]:
    """List what is explained of one image; what would be explained twice is left out.

    Raises:
        AdvcliError: its true class is asked for, and not known.
    """
    origin = clean.predicted if true is None else true
    found: dict[tuple[str, int, int | None], Question] = {}
    for wanted in request.wanted:
        view = clean if wanted.view == "clean" else adversarial
        if view is None:
            continue
        index = _index(classifier, wanted.word, view, origin, true)
        if index is None:
            continue
        against = None if wanted.against is None else _index(classifier, wanted.against, view, origin, true)
        role = TRUE if wanted.word == ORIGINAL and true is not None else wanted.word
        if wanted.word not in (PREDICTED, TRUE, SECOND, ORIGINAL) and not wanted.word.startswith("top "):
            role = "chosen" if against is None else "contrast"
        found.setdefault((view.name, index, against), Question(wanted, role, index, against))
    return list(found.values())


def check_words(classifier: Classifier, request: Request, files: Iterable[Path]) -> None:
    """Refuse a class that a model does not have, and the true class where it is known of no image.

    Raises:
        UsageError: there is no such class.
    """
    words = [word for wanted in request.wanted for word in (wanted.word, wanted.against) if word is not None]
    for word in words:
        if not _is_word(word):
            classifier.index(word)
    if request.label is not None:
        classifier.index(request.label)
    elif TRUE in words and all(true_class(classifier, file, None) is None for file in files):
        raise UsageError(
            "the true class is known of no image", "give --label, or images in folders that are named after classes"
        )


def _is_word(word: str) -> bool:
    return word in (PREDICTED, TRUE, SECOND, ORIGINAL) or word.startswith("top ")


def _index(classifier: Classifier, word: str, view: View, origin: int, true: int | None) -> int | None:
    order = np.argsort(-view.probabilities, kind="stable")
    if word.startswith("top "):
        place = int(word.removeprefix("top ")) - 1
        return int(order[place]) if place < len(order) else None
    if word in (PREDICTED, SECOND):
        return int(order[int(word == SECOND)])
    if word == TRUE and true is None:
        raise AdvcliError("its true class is not known: its folder is not named after a class, and there is no --label")
    if word in (TRUE, ORIGINAL):
        return origin
    return classifier.index(word)
