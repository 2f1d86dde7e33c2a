"""A plain convolutional network of about 0.2 million weights, for small images and quick trials."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.backbones._weights import refuse_imagenet, load_file
from advcli.backend import keras


@dataclass(frozen=True)
class Small:
    """Three pairs of 3 x 3 convolutions, halving the map between them, then the mean over the map.

    Args:
        width: channels of the first pair; the later pairs have two and four times as many.
        bn_momentum: how slowly BatchNorm's moving statistics follow the batches, in [0, 1).
    """

    width: int = 24
    bn_momentum: float = 0.9

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> Any:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        refuse_imagenet("small", weights)
        inputs = x = keras.Input((edge, edge, channels), name="image")
        for stage in range(3):
            for step in range(2):
                name = f"stage{stage}_conv{step}"
                stride = 2 if stage and not step else 1
                x = keras.layers.Conv2D(
                    self.width * 2**stage, 3, stride, padding="same", use_bias=False, name=name
                )(x)
                x = keras.layers.BatchNormalization(momentum=self.bn_momentum, name=f"{name}_bn")(x)
                x = keras.layers.ReLU(name=f"{name}_relu")(x)
        x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
        outputs = keras.layers.Dense(classes or 10, name="logits")(x)
        return load_file(keras.Model(inputs, outputs, name="small"), weights)


COMPONENT = Small
