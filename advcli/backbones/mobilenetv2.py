"""MobileNetV2: inverted residuals with linear bottlenecks; 2.3 million weights, quick on a CPU.

Sandler, Howard, Zhu, Zhmoginov, Chen. MobileNetV2: Inverted Residuals and Linear Bottlenecks.
CVPR 2018. arXiv:1801.04381. The layers are those of Keras Applications.
"""

from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _options
from advcli.backbones._applications import Application
from advcli.backbones._weights import Published
from advcli.backend import KerasModel
from advcli.errors import UsageError

_NETWORK = Application("mobilenetv2", "MobileNetV2", mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
# Those of the other widths and of smaller images have no hash that is known.
_PUBLISHED = Published(
    "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet_v2/"
    "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224.h5",
    sha256="3e195a2857356cfc092cbbb460beb2a5bce279015d7792598b8d3d9e451902e3",
    size=14_536_120,
)


@dataclass(frozen=True)
class MobileNetV2:
    """MobileNetV2 with its head.

    Args:
        alpha: width: how many channels the layers have, as a multiple of the paper's.
        stem_stride: stride of the first convolution, 1 or 2; 0 means 1 for image sizes up to 64, else 2.
        bn_momentum: momentum of BatchNorm's moving statistics, in [0, 1). Keras'
            own 0.999 leaves them near their start in short runs, and evaluation at chance.
    """

    alpha: float = 1.0
    stem_stride: int = 0
    bn_momentum: float = 0.9

    def __post_init__(self) -> None:
        _options.check(self)
        if not self.alpha > 0:
            raise UsageError(f"alpha is above 0, not {self.alpha}")

    def resolved(self, edge: int) -> dict[str, object]:
        """Return the options with the stem's stride for an input size."""
        return _options.resolved(self, edge)

    def __call__(self, classes: int | None, edge: int, channels: int, weights: str | Path | None) -> KerasModel:
        """Build the network: (N, edge, edge, channels) in [0, 1] -> (N, classes) logits."""
        if weights == "imagenet" and self.alpha != 1:
            hint = "there are some for alpha 1.0; of others, give a file with --weights"
            raise UsageError(f"no ImageNet weights for mobilenetv2 with alpha {self.alpha}", hint)
        return _NETWORK.build(self, classes, edge, channels, weights, _PUBLISHED, alpha=self.alpha)


COMPONENT = MobileNetV2
