"""A plain convolutional network of about 0.2 million weights, for small images and quick trials."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.backbones import _options, _weights
from advcli.backend import keras
from advcli.errors import UsageError


@dataclass(frozen=True)
class Small:
    """Three pairs of 3 x 3 convolutions, halving the map between them, then the mean over the map.

    Args:
        width: channels of the first pair; the later pairs have two and four times as many.
        bn_momentum: how slowly BatchNorm's moving statistics follow the batches, in [0, 1).
    """

    width: int = 28
    bn_momentum: float = 0.9

    def __post_init__(self) -> None:
        _options.check(self)
        if self.width < 1:
            raise UsageError(f"width is at least 1, not {self.width}")

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options: none depends on the edge."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> Any:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        file = _weights.find("small", weights)
        size = _weights.own_head("small", classes, file)
        inputs = x = keras.Input((edge, edge, channels), name="image")
        for stage in range(3):
            for step in range(2):
                name = f"stage{stage}_conv{step}"
                stride = 2 if stage and not step else 1
                width = self.width * 2**stage
                x = keras.layers.Conv2D(width, 3, stride, padding="same", use_bias=False, name=name)(x)
                x = keras.layers.BatchNormalization(momentum=self.bn_momentum, name=f"{name}_bn")(x)
                x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(x)
        logits = keras.layers.Dense(size, dtype="float32", name="logits")(x)
        model = keras.Model(inputs, logits, name="small")
        return _weights.load(model, file, new_head=classes is not None)


COMPONENT = Small
