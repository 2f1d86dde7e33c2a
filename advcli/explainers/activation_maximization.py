"""Image of a class: the image that maximises the logit of the class, by gradient ascent from grey noise.

Simonyan, Vedaldi and Zisserman 2014, https://arxiv.org/abs/1312.6034: gradient ascent of z_c(x) - mean of z(x) over the
image x. Steps have one length and their low frequencies are amplified (Olah, Mordvintsev and Schubert 2017,
https://distill.pub/2017/feature-visualization), the image is shifted before each, and total variation is penalised
(Mahendran and Vedaldi 2015, https://arxiv.org/abs/1412.0035); without these the result is noise.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.explainers import Explainer, MapKind
from advcli.explainers._scores import in_batches, score, traced
from advcli.model.classifier import Classifier
from advcli.threat.gradient import gradient


@dataclass(frozen=True)
class ActivationMaximization(Explainer):
    """An image in the model's own range that raises the class's logit above the mean of all, whatever image is given.

    Args:
        steps: of the ascent.
        rate: length of a step, as the mean change of a value, in units of [0, 1].
        smoothness: weight of total variation beside the score, both as directions of length one.
        jitter: the most pixels that the image is shifted by before a step, around its border; at most a
            sixteenth of its side.
    """

    signed: ClassVar[bool] = False
    kind: ClassVar[MapKind] = "picture"

    steps: int = 128
    rate: float = 0.02
    smoothness: float = 0.2
    jitter: int = 4

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise UsageError(f"steps is less than one: {self.steps}")
        for option in ("rate", "smoothness", "jitter"):
            if getattr(self, option) < 0:
                raise UsageError(f"{option} is less than zero: {getattr(self, option)}")

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Make a picture of each class: (N, H, W, C) of any values, (N,) -> (N, H, W, C) in [0, 1]."""
        others = np.full(len(classes), -1) if against is None else against
        pairs, places = np.unique(np.stack([classes, others], axis=1), axis=0, return_inverse=True)
        return self._climbed(classifier, pairs[:, 0], pairs[:, 1], seed)[places.reshape(-1)]

    def _climbed(self, classifier: Classifier, classes: np.ndarray, others: np.ndarray, seed: int) -> np.ndarray:
        shape = (*classifier.image_size, classifier.channels)
        noise = [
            np.random.default_rng([seed, pair[0], pair[1] + 1]).random(shape)
            for pair in zip(classes, others, strict=True)
        ]
        pictures = (0.45 + 0.1 * np.stack(noise)).astype(np.float32)
        most = min(self.jitter, min(classifier.image_size) // 16)
        shifts = np.random.default_rng(seed).integers(-most, most + 1, (self.steps, 2))
        length = self.rate * float(np.sqrt(np.prod(shape)))
        function = traced(classifier, "ascent", lambda *batch: (_ascent(classifier, *batch),))
        for shift in shifts:
            moved = np.roll(pictures, shift, axis=(1, 2))
            ascent = np.concatenate([part for (part,) in in_batches(function, moved, classes, others)])
            ascent = np.roll(ascent, -shift, axis=(1, 2))
            direction = _of_length_one(_coarsened(ascent)) - self.smoothness * _of_length_one(_roughening(pictures))
            pictures = np.clip(pictures + length * _of_length_one(direction), 0, 1)
        return pictures


def _ascent(classifier: Classifier, pixels: Tensor, classes: Tensor, others: Tensor) -> Tensor:
    def lead(point: Tensor) -> Tensor:
        logits = classifier.logits(point)
        # The logit alone is most easily raised together with all the others.
        return score(logits - tf.reduce_mean(logits, axis=1, keepdims=True), classes, others)

    return gradient(lead, pixels)


def _coarsened(ascent: np.ndarray) -> np.ndarray:
    """Weigh the waves that gradients are made of by their lengths, as they are in photos: (N, H, W, C) -> the same."""
    height, width = ascent.shape[1:3]
    frequencies = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width))
    weights = 1 / np.maximum(frequencies, 1 / max(height, width))
    waves = np.fft.rfft2(ascent, axes=(1, 2)) * weights[..., None]
    return np.fft.irfft2(waves, s=ascent.shape[1:3], axes=(1, 2)).astype(np.float32)


def _roughening(pictures: np.ndarray) -> np.ndarray:
    """Return the gradient of total variation: the sum of the lengths of the differences to the next row and column."""
    down = np.diff(pictures, axis=1, append=pictures[:, -1:])
    right = np.diff(pictures, axis=2, append=pictures[:, :, -1:])
    length = np.sqrt(down**2 + right**2 + 1e-6)
    zero = np.float32(0)
    return -np.diff(down / length, axis=1, prepend=zero) - np.diff(right / length, axis=2, prepend=zero)


def _of_length_one(values: np.ndarray) -> np.ndarray:
    length = np.sqrt((values**2).sum(axis=(1, 2, 3), keepdims=True))
    return np.divide(values, length, out=np.zeros_like(values), where=length > 0)


COMPONENT = ActivationMaximization
