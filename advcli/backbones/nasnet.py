"""NASNet-A: cells found by search, stacked in two sizes.

Zoph, Vasudevan, Shlens, Le. Learning Transferable Architectures for Scalable Image Recognition.
CVPR 2018. arXiv:1707.07012. The layers are those of Keras Applications.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from advcli.backbones import _options
from advcli.backbones._applications import Application
from advcli.backbones._weights import Published
from advcli.backend import KerasModel

_URL = "https://storage.googleapis.com/tensorflow/keras-applications/nasnet/NASNet-{size}.h5"


@dataclass(frozen=True)
class NASNet:
    """A NASNet-A with its head.

    Args:
        stem_stride: stride of the first convolution, 1 or 2; 0 means 1 for image sizes up to 64, else 2.
        bn_momentum: momentum of BatchNorm's moving statistics, in [0, 1).
    """

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
        network = Application(
            f"nasnet{self.size}",
            f"NASNet{self.size.capitalize()}",
            mean=(0.5, 0.5, 0.5),
            std=(0.5, 0.5, 0.5),
            padded_stem=False,
        )
        published = Published(_URL.format(size=self.size))
        return network.build(self, classes, edge, channels, weights, published)


@dataclass(frozen=True)
class NASNetLarge(NASNet):
    """NASNet-A (6 @ 4032): cells found by search, in the large size; 85 million weights, for a GPU."""

    size: ClassVar[str] = "large"


@dataclass(frozen=True)
class NASNetMobile(NASNet):
    """NASNet-A (4 @ 1056): cells found by search, in the size for phones; 4 million weights."""

    size: ClassVar[str] = "mobile"


COMPONENTS = {"nasnetlarge": NASNetLarge, "nasnetmobile": NASNetMobile}
