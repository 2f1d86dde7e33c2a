"""What the EfficientNets share: their preprocessing, and where their weights are."""

import numpy as np

from advcli.backbones._applications import IMAGENET_MEAN, IMAGENET_STD, Application
from advcli.backbones._weights import Published
from advcli.backend import KerasModel, keras

_URL = "https://storage.googleapis.com/keras-applications/efficientnet{size}.h5"


def network(size: str) -> Application:
    """Return the network of a size: ``"b2"``; its layers take values from 0 to 255."""
    return Application(
        f"efficientnet{size}", f"EfficientNet{size.upper()}", mean=(0.0, 0.0, 0.0), std=(1 / 255, 1 / 255, 1 / 255)
    )


def published(size: str, md5: str, megabytes: int) -> Published:
    """Return the ImageNet weights of a size."""
    return Published(_URL.format(size=size), md5, megabytes)


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
