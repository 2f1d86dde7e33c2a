"""Scores of an image with hidden parts, computed in batches of bounded memory."""

from collections.abc import Callable, Iterator

import numpy as np

from advcli.errors import UsageError
from advcli.explainers._scores import asked, batch_size
from advcli.model.classifier import Classifier

FILLS = ("mean", "black")


def check_fill(fill: str) -> None:
    """Refuse an unknown fill.

    Raises:
        UsageError: it is none of FILLS.
    """
    if fill not in FILLS:
        raise UsageError(f"unknown fill '{fill}'", f"choose from: {', '.join(FILLS)}")


def hidden(image: np.ndarray, keep: np.ndarray, fill: str) -> np.ndarray:
    """Hide parts of an image: (H, W, C), (M, H, W) shares that are kept -> (M, H, W, C)."""
    colour = image.mean(axis=(0, 1)) if fill == "mean" else np.zeros(image.shape[-1], np.float32)
    return colour + (image - colour) * keep[..., None]


def answers(
    classifier: Classifier,
    image: np.ndarray,
    explained: int,
    against: int | None,
    fill: str,
    masks: int,
    make: Callable[[slice], np.ndarray],
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Classify an image under many masks, which are made as they are needed.

    Args:
        classifier: the model.
        image: (H, W, C).
        explained: the class.
        against: another class, or None.
        fill: the value of hidden pixels.
        masks: how many there are.
        make: some of the masks -> (M, edge, edge), the share of each pixel that is kept.

    Yields:
        Masks, their scores and their probabilities.
    """
    size = batch_size(classifier.image_size)
    for start in range(0, masks, size):
        keep = make(slice(start, min(start + size, masks)))
        classes = np.full(len(keep), explained)
        others = None if against is None else np.full(len(keep), against)
        yield keep, *asked(classifier, hidden(image, keep, fill), classes, others)


def each(
    images: np.ndarray, classes: np.ndarray, against: np.ndarray | None
) -> Iterator[tuple[np.ndarray, int, int | None]]:
    """Go through images one by one, with the class that is explained and the other one."""
    for i, image in enumerate(images):
        yield image, int(classes[i]), None if against is None else int(against[i])
