"""An attack made ready for one classifier, as attacking, benchmarking and validating need it."""

import zlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from advcli.attacks import Attack
from advcli.backend import Tensor, tf
from advcli.draws import Draws
from advcli.model import Classifier
from advcli.threat import Threat


@dataclass(frozen=True)
class Adversary:
    """An attack on a classifier under a threat, traced once for batches of every size.

    Args:
        classifier: what is attacked, in inference mode.
        attack: the search.
        threat: the ball it searches.
        seed: together with an image's own pixels it determines the image's random draws.
    """

    classifier: Classifier
    attack: Attack
    threat: Threat
    seed: int = 0

    def __call__(self, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, int]:
        """Search: (N, H, W, C) in [0, 1], (N,) -> (N, H, W, C), and the model passes each image took."""
        own_size = pixels.shape[1:3] == (self.classifier.edge, self.classifier.edge)
        search = self._at_model_size if own_size else self._at_any_size
        self._passes.assign(0)
        seeds = image_seeds(pixels, self.seed)
        adversarial = search(tf.constant(pixels, tf.float32), tf.constant(labels, tf.int32), tf.constant(seeds))
        return adversarial.numpy(), int(self._passes.numpy())

    @cached_property
    def _passes(self) -> Any:
        return tf.Variable(0, trainable=False)

    @cached_property
    def _at_model_size(self) -> Any:
        return self._traced(self.classifier.edge)

    @cached_property
    def _at_any_size(self) -> Any:
        return self._traced(None)

    def _traced(self, edge: int | None) -> Any:
        def counted(images: Tensor) -> Tensor:
            self._passes.assign_add(1)
            return self.classifier.logits(images)

        def search(images: Tensor, labels: Tensor, seeds: Tensor) -> Tensor:
            return self.attack(counted, images, labels, self.threat, Draws(seeds))

        signature = [
            tf.TensorSpec((None, edge, edge, self.classifier.channels), tf.float32),
            tf.TensorSpec((None,), tf.int32),
            tf.TensorSpec((None, 2), tf.int32),
        ]
        return tf.function(search, input_signature=signature)


def image_seeds(images: np.ndarray, seed: int) -> np.ndarray:
    """Give each image its seed, from its own pixels: (N, H, W, C) -> (N, 2) int32."""
    rows = [(zlib.crc32(np.ascontiguousarray(image).tobytes()), seed) for image in images]
    return np.array(rows, dtype=np.uint32).reshape(-1, 2).astype(np.int32)
