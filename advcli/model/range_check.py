"""Compare the input ranges that a model may want on labelled images."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.stats import binomtest

from advcli.errors import UsageError
from advcli.model.classifier import Classifier

_CANDIDATES = ((0.0, 1.0), (0.0, 255.0), (-1.0, 1.0))
# Another range fits better if it is correct on so much more of the images, by so many images.
_SHARE = 0.1
_IMAGES = 8
# And by McNemar's exact test: a network that has hardly learned is better in one range or another by chance.
_SIGNIFICANCE = 0.005
# And if its mean accuracy over the classes is so far above that of guessing: one answer for all images has the latter.
_ABOVE_GUESSING = 0.15
_BATCH = 32


def refuse_other_range(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Refuse an input range that nobody gave, if another one gives a far higher accuracy.

    Args:
        classifier: a classifier; nothing is compared if the user or advcli's own file gave its range.
        pixels: (N, H, W, C) in [0, 1], some of the images.
        labels: (N,) their true classes.

    Raises:
        UsageError: another range fits far better.
    """
    if classifier.range_given or len(labels) == 0:
        return
    own = _correct(classifier, pixels, labels)
    others = {
        values: _correct(replace(classifier, input_range=values), pixels, labels)
        for values in _CANDIDATES
        if values != classifier.input_range
    }
    # A network without offsets classifies all multiples of an image alike: prefer the least.
    best = max(others, key=lambda values: (others[values].sum(), values[0] - values[1]))
    gained, lost = int((others[best] & ~own).sum()), int((own & ~others[best]).sum())
    if gained - lost < max(_SHARE * len(labels), _IMAGES) or binomtest(gained, gained + lost).pvalue >= _SIGNIFICANCE:
        return
    classes = np.unique(labels)
    over_classes = np.mean([others[best][labels == each].mean() for each in classes])
    if len(classes) > 1 and over_classes < 1 / len(classes) + _ABOVE_GUESSING * (1 - 1 / len(classes)):
        return
    shown = [
        f"{found.sum()} of {len(labels)} with {_text(values)}"
        for values, found in [(classifier.input_range, own), (best, others[best])]
    ]
    raise UsageError(
        f"the input range {_text(classifier.input_range)} of '{classifier.name}' seems wrong: clean images classified "
        f"correctly: {shown[0]}, {shown[1]}",
        f"give --input-range {_text(best)}; to keep the range, give --input-range {_text(classifier.input_range)}; "
        "classes in another order than those of the data (--labels, --class-order) are wrong with any range",
    )


def sample_rows(count: int, most: int) -> np.ndarray:
    """Return at most ``most`` indices spread evenly over ``count`` images: -> (n,)."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).round().astype(int)) if count else np.zeros(0, int)


def _correct(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return which images are classified correctly: (N,) bool."""
    parts = [slice(start, start + _BATCH) for start in range(0, len(labels), _BATCH)]
    return np.concatenate([classifier.classes(pixels[part]) == labels[part] for part in parts])


def _text(values: Sequence[float]) -> str:
    return f"{values[0]:g},{values[1]:g}"
