"""Mean gradient over noisy copies of the image, which reduces the noise of the gradient.

Smilkov et al. 2017, https://arxiv.org/abs/1706.03825: mean over n of ds/dx(x + e_n), summed over the channels,
where e_n is Gaussian with a standard deviation of noise * (max x - min x).
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.errors import UsageError
from advcli.explainers import Explainer
from advcli.explainers._perturbed import each
from advcli.explainers._scores import batch_size, gradients
from advcli.model.classifier import Classifier
from advcli.threat.rng import image_generator


@dataclass(frozen=True)
class SmoothGrad(Explainer):
    """The gradient, averaged with its sign over copies of the image with Gaussian noise, summed over the channels.

    Args:
        samples: the number of copies.
        noise: standard deviation of the noise, as a share of the range of the image's values.
    """

    is_derivative: ClassVar[bool] = True

    samples: int = 25
    noise: float = 0.15

    def __post_init__(self) -> None:
        if self.samples < 1:
            raise UsageError(f"samples is less than one: {self.samples}")
        if self.noise < 0:
            raise UsageError(f"noise is less than zero: {self.noise:g}")

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, H, W) signed relevance."""
        size = batch_size(classifier.image_size)
        relevance = np.zeros(images.shape[:3], np.float32)
        for i, (image, explained, other) in enumerate(each(images, classes, against)):
            random = image_generator(image, seed)
            for start in range(0, self.samples, size):
                count = min(size, self.samples - start)
                noise = random.standard_normal((count, *image.shape), np.float32) * (self.noise * np.ptp(image))
                others = None if other is None else np.full(count, other)
                found = gradients(classifier, image + noise, np.full(count, explained), others)
                relevance[i] += found.sum(axis=(0, -1)) / self.samples
        return relevance


COMPONENT = SmoothGrad
