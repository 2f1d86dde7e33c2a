"""Images as a model sees them, and the classes of each that are explained."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from advcli.data.class_order import has_names
from advcli.data.decoded import to_float
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.tasks.explain.explanation import Target, View
from advcli.tasks.explain.request import PREDICTED, SECOND, TRUE, Request
from advcli.tasks.explain.whole_image import WholeImage, whole_image

ORIGINAL = "original"


def view_images(
    classifier: Classifier,
    names: Sequence[str],
    pictures: Sequence[np.ndarray],
    originals: Sequence[np.ndarray] = (),
) -> list[View]:
    """Classify images of any sizes.

    Args:
        classifier: the model.
        names: the name of each view.
        pictures: (H, W, C) uint8 each.
        originals: the images that these were made of, which may have other sizes; by default these themselves.
    """
    if not pictures:
        return []
    pixels = np.concatenate([np.asarray(classifier.fit(to_float(picture)[None])) for picture in pictures])
    probabilities = classifier.predict(pixels)
    sizes = [(picture.shape[0], picture.shape[1]) for picture in pictures]
    pairs = zip(originals or pictures, pictures, strict=True)
    wholes = [_whole(classifier, original, picture) for original, picture in pairs]
    return [View(*parts) for parts in zip(names, pixels, probabilities, sizes, wholes, strict=True)]


def _whole(classifier: Classifier, original: np.ndarray, picture: np.ndarray) -> WholeImage:
    size, fit = classifier.image_size, classifier.fitting
    if original.shape == picture.shape:
        return whole_image(picture, size, fit)
    return whole_image(original, size, fit, seen=picture)


def true_class(classifier: Classifier, file: Path, label: str | None) -> int | None:
    """Return the true class of an image: the one named, or the name of its folder if that is a class."""
    if label is not None:
        return classifier.index(label)
    if not has_names(classifier.labels):
        # A folder called "class 1" may hold the class of another number.
        return None
    return classifier.class_named(file.resolve().parent.name)


def is_word(word: str) -> bool:
    """Tell whether a word stands for a class that depends on the image, and is no class's name."""
    return word in (PREDICTED, TRUE, SECOND, ORIGINAL) or word.startswith("top ")


def targets_of(
    classifier: Classifier, request: Request, clean: View, adversarial: View | None, true: int | None
) -> tuple[Target, ...]:
    """List what is explained of one image, each target once.

    Raises:
        AdvcliError: its true class is requested, and not known.
    """
    origin = clean.predicted if true is None else true
    found: dict[Target, Target] = {}
    for wanted in request.wanted:
        view = clean if wanted.view == "clean" else adversarial
        if view is None:
            continue
        index = _index(classifier, wanted.word, view, origin, true)
        if index is None:
            continue
        against = None if wanted.against is None else _index(classifier, wanted.against, view, origin, true)
        role = TRUE if wanted.word == ORIGINAL and true is not None else wanted.word
        if not is_word(wanted.word):
            role = "chosen" if against is None else "contrast"
        target = Target(view.name, index, against, role, wanted.suffix)
        found.setdefault(target, target)
    return tuple(found.values())


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
