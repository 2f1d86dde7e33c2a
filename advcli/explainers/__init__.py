"""Attribution methods: one file a method."""

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

import numpy as np

from advcli.backend import tf
from advcli.model.classifier import Classifier
from advcli.model.layer_maps import ShownLayer

__all__ = ["Explainer", "MapKind", "ShownLayer", "enlarge_maps", "is_evidence"]

MapKind = Literal["pixels", "map", "picture"]


class Explainer(ABC):
    """A method that computes the relevance of each pixel for a class.

    A subclass sets what differs from these values:

    ``kind``: ``pixels``, a value for each; ``map``, smooth over regions; ``picture``, an image of the class.
    ``signed``: negative values occur, and are against the class.
    ``split_signs``: positive and negative values are drawn as two pictures, on one scale.
    ``needs_network``: it looks at gradients or at a layer; if not, only at the scores of images.
    ``needs_attention``: it reads the attention of a transformer, and refuses a network without.
    ``is_derivative``: a value says what a brighter pixel would change, not what this pixel contributes.

    ``suits``: of the default methods, those for "fine" and for "coarse" feature maps exclude each other.

    A method that shows a layer has the option ``layer``.
    """

    kind: ClassVar[MapKind] = "pixels"
    signed: ClassVar[bool] = True
    split_signs: ClassVar[bool] = False
    is_derivative: ClassVar[bool] = False
    needs_network: ClassVar[bool] = True
    needs_attention: ClassVar[bool] = False
    suits: ClassVar[Literal["any", "fine", "coarse"]] = "any"

    @abstractmethod
    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, h, w) raw relevance.

        The size is that of the images, or that of the layer shown. Relevance is positive for the class and, where
        the method is signed, negative against it. A ``picture`` is (N, H, W, C) in [0, 1] instead. No result
        depends on the other images.

        Args:
            classifier: the model.
            images: at the classifier's input size.
            classes: the class of each image whose logit is explained.
            seed: determines, together with an image's own pixels, the random numbers for that image.
            against: (N,) other classes; then the difference of the two logits is explained.
        """

    def shown(self, classifier: Classifier) -> ShownLayer | None:
        """Return the layer whose output the relevance is computed on; None if it is computed on the pixels.

        Raises:
            AdvcliError: the method cannot explain this classifier.
        """
        return None

    def completeness(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        relevance: np.ndarray,
        against: np.ndarray | None = None,
    ) -> np.ndarray | None:
        """Return the relative difference between the sum of each map and the change of the score: -> (N,).

        None if the method does not satisfy completeness.
        """
        return None

    @classmethod
    def parts(cls, method: str) -> tuple[str, ...]:
        """Return the names of the pictures that a map of this method is drawn as."""
        return (f"{method}-positive", f"{method}-negative") if cls.split_signs else (method,)


def enlarge_maps(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Enlarge maps to the image by linear interpolation, with cells as areas: (N, h, w) -> (N, H, W)."""
    if maps.shape[1:] == size:
        return maps
    # Not as tf-keras-vis does, which aligns the corners and so moves peaks.
    return tf.image.resize(maps[..., None], size)[..., 0].numpy()


def is_evidence(relevance: np.ndarray) -> np.ndarray:
    """Return which maps carry information: (N, H, W) -> (N,) bool; false for constant maps and for NaN."""
    flat = relevance.reshape(len(relevance), -1)
    # Rounding errors carry no information, but would fill an image that is scaled to its own maximum.
    return np.isfinite(flat).all(axis=1) & (np.ptp(flat, axis=1) > 1e-6 * np.abs(flat).max(axis=1))
