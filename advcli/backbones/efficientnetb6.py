"""EfficientNet-B6: depth, width and resolution scaled together, for 528 pixels; 41 million weights.

Tan, Le. EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks. ICML 2019.
arXiv:1905.11946. The layers are those of Keras Applications.
"""

from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _efficientnet, _options
from advcli.backend import KerasModel

_NETWORK = _efficientnet.network("b6")
_PUBLISHED = _efficientnet.published("b6", md5="165f6e37dce68623721b423839de8be5", megabytes=166)


@dataclass(frozen=True)
class EfficientNetB6:
    """EfficientNet-B6 with its head.

    Args:
        dropout: dropout rate of the head's input in training, in [0, 1).
        stem_stride: stride of the first convolution, 1 or 2; 0 means 1 for image sizes up to 64, else 2.
        bn_momentum: momentum of BatchNorm's moving statistics, in [0, 1).
    """

    dropout: float = 0.5
    stem_stride: int = 0
    bn_momentum: float = 0.9

    def __post_init__(self) -> None:
        _options.check(self)

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options with the stem's stride for an input size."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        model = _NETWORK.build(self, classes, edge, channels, weights, _PUBLISHED)
        return _efficientnet.normalised(model, pretrained=weights is not None)


COMPONENT = EfficientNetB6
