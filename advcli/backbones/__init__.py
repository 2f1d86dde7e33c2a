"""Networks to train: one file a network; its options are its architecture."""

from pathlib import Path
from typing import Protocol

from advcli.backend import KerasModel


class Backbone(Protocol):
    """A classifier network that includes its preprocessing."""

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build a flat functional Keras model: images in [0, 1] -> logits.

        Args:
            classes: the number of classes of a new, untrained head; None keeps the head of the weights.
            edge: the input size in pixels.
            channels: 3, or 1 for grey images (only without ImageNet weights).
            weights: None, ``"imagenet"`` (downloaded once by Keras) or a weights file.
        """
        ...

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options with all automatic values resolved for an input size; a run records them."""
        ...
