"""Logistic regression on the pixels: the linear model that explains adversarial examples.

Goodfellow, Shlens, Szegedy. Explaining and Harnessing Adversarial Examples. ICLR 2015.
arXiv:1412.6572, section 5.
"""

import dataclasses
from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _weights
from advcli.backend import KerasModel, keras


@dataclass(frozen=True)
class Linear:
    """One weight a pixel and class."""

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options: there are none."""
        return dataclasses.asdict(self)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        file = _weights.find_weights("linear", weights)
        inputs = keras.Input((edge, edge, channels), name="image")
        x = keras.layers.Flatten(name="pixels")(inputs)
        size = _weights.own_head("linear", classes, file)
        # The problem is convex, so the start does not matter, and from zero the weights show the data alone.
        logits = keras.layers.Dense(size, kernel_initializer="zeros", dtype="float32", name="logits")(x)
        # The weights are the head: there is nothing else to load.
        return _weights.load_weights(keras.Model(inputs, logits, name="linear"), file, new_head=False)


COMPONENT = Linear
