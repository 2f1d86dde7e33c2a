"""EfficientNet: a small network's depth, width and resolution scaled together, in three sizes.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
arXiv:1905.11946. The layers are those of Keras Applications.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from advcli.backbones import _options
from advcli.backbones._applications import IMAGENET_MEAN, IMAGENET_STD, Application
from advcli.backbones._weights import Published
from advcli.backend import KerasModel, keras

_URL = "https://storage.googleapis.com/keras-applications/efficientnet{size}.h5"


@dataclass(frozen=True)
class EfficientNet:
    """An EfficientNet with its head.

    Args:
        dropout: dropout rate of the head's input in training, in [0, 1).
        stem_stride: stride of the first convolution, 1 or 2; 0 means 1 for image sizes up to 64, else 2.
        bn_momentum: momentum of BatchNorm's moving statistics, in [0, 1).
    """

    dropout: float
    stem_stride: int = 0
    bn_momentum: float = 0.9

    size: ClassVar[str]

    def __post_init__(self) -> None:
        _options.check(self)

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options with the stem's stride for an input size."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        # The layers take values from 0 to 255.
        network = Application(
            f"efficientnet{self.size}",
            f"EfficientNet{self.size.upper()}",
            mean=(0.0, 0.0, 0.0),
            std=(1 / 255, 1 / 255, 1 / 255),
        )
        published = Published(_URL.format(size=self.size))
        model = network.build(self, classes, edge, channels, weights, published)
        return normalised(model, pretrained=weights is not None)


@dataclass(frozen=True)
class EfficientNetB2(EfficientNet):
    """EfficientNet-B2: depth, width and resolution scaled together, for 260 pixels; 8 million weights."""

    dropout: float = 0.3
    size: ClassVar[str] = "b2"


@dataclass(frozen=True)
class EfficientNetB4(EfficientNet):
    """EfficientNet-B4: depth, width and resolution scaled together, for 380 pixels; 18 million weights."""

    dropout: float = 0.4
    size: ClassVar[str] = "b4"


@dataclass(frozen=True)
class EfficientNetB6(EfficientNet):
    """EfficientNet-B6: depth, width and resolution scaled together, for 528 pixels; 41 million weights."""

    dropout: float = 0.5
    size: ClassVar[str] = "b6"


def normalised(model: KerasModel, pretrained: bool) -> KerasModel:
    """Set the network's Normalization layer to ImageNet's means and standard deviations.

    The layer is a part of Keras' EfficientNet, and its mean and variance are weights. The published
    weights have the standard deviations where the variances belong. ``keras.applications`` makes up for
    that with one more division by their roots, but only for ``weights="imagenet"``: the same weights
    from a file are normalised wrongly (tensorflow/tensorflow#49930). Squared in place they are right,
    wherever they came from. Statistics that someone has trained with are left as they are.
    """
    layer = next(layer for layer in model.layers if isinstance(layer, keras.layers.Normalization))
    mean, variance, count = layer.get_weights()
    std = np.array(IMAGENET_STD)
    if not pretrained:
        # One channel gets the averages over the colours.
        mean = np.array(IMAGENET_MEAN) if len(mean) == len(std) else np.full_like(mean, np.mean(IMAGENET_MEAN))
        variance = std**2 if len(mean) == len(std) else np.full_like(variance, std.mean() ** 2)
    elif np.allclose(variance, std, rtol=1e-3):
        variance = std**2
    layer.set_weights([mean, variance, count])
    layer.finalize_state()
    return model


COMPONENTS = {"efficientnetb2": EfficientNetB2, "efficientnetb4": EfficientNetB4, "efficientnetb6": EfficientNetB6}
