"""DenseNet-121: every layer of a block sees the output of all before it; 7 million weights.

Huang, Liu, van der Maaten, Weinberger. Densely Connected Convolutional Networks. CVPR 2017.
arXiv:1608.06993. The layers are those of Keras Applications.
"""

from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _options
from advcli.backbones._applications import IMAGENET_MEAN, IMAGENET_STD, Application
from advcli.backbones._weights import Published
from advcli.backend import KerasModel

_NETWORK = Application("densenet121", "DenseNet121", IMAGENET_MEAN, IMAGENET_STD)
_PUBLISHED = Published(
    "https://storage.googleapis.com/tensorflow/keras-applications/densenet/"
    "densenet121_weights_tf_dim_ordering_tf_kernels.h5",
)


@dataclass(frozen=True)
class DenseNet121:
    """DenseNet-121 with its head.

    Args:
        stem_stride: stride of the first convolution, 1 or 2; 0 means 1 for image sizes up to 64, else 2.
        bn_momentum: momentum of BatchNorm's moving statistics, in [0, 1).
    """

    stem_stride: int = 0
    bn_momentum: float = 0.9

    def __post_init__(self) -> None:
        _options.check(self)

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options with the stem's stride for an input size."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        return _NETWORK.build(self, classes, edge, channels, weights, _PUBLISHED)


COMPONENT = DenseNet121
