"""ResNeXt-50 (32x4d): a residual network whose blocks add up 32 narrow paths; 25 million weights.

Xie, Girshick, Dollar, Tu, He. Aggregated Residual Transformations for Deep Neural Networks.
CVPR 2017. arXiv:1611.05431, table 1.
"""

from dataclasses import dataclass
from pathlib import Path

from advcli.backbones import _options, _weights
from advcli.backbones._applications import IMAGENET_MEAN, IMAGENET_STD, rescaling
from advcli.backend import KerasModel, Tensor, keras

_PATHS = 32
_BLOCKS = (3, 4, 6, 3)
_EPSILON = 1e-5


@dataclass(frozen=True)
class ResNeXt50:
    """ResNeXt-50 with its head.

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
        file = _weights.find_weights("resnext50", weights)
        size = _weights.own_head("resnext50", classes, file)
        layers = keras.layers
        inputs = keras.Input((edge, edge, channels), name="image")
        x = rescaling(IMAGENET_MEAN, IMAGENET_STD, channels)(inputs)
        x = layers.ZeroPadding2D(3, name="stem_pad")(x)
        x = self._convolution(x, 64, "stem", kernel=7, stride=_options.stem_stride(self, edge))
        x = layers.ReLU(name="stem_relu")(x)
        x = layers.ZeroPadding2D(1, name="pool_pad")(x)
        x = layers.MaxPooling2D(3, 2, name="pool")(x)
        for stage, blocks in enumerate(_BLOCKS):
            for block in range(blocks):
                x = self._block(x, 128 * 2**stage, 2 if stage and not block else 1, f"stage{stage}_block{block}")
        x = layers.GlobalAveragePooling2D(name="avg_pool")(x)
        logits = layers.Dense(size, dtype="float32", name="logits")(x)
        model = keras.Model(inputs, logits, name="resnext50")
        return _weights.load_weights(model, file, new_head=classes is not None)

    def _block(self, x: Tensor, width: int, stride: int, name: str) -> Tensor:
        """Add a residual block: width -> 32 paths of width / 32 -> 2 width channels."""
        layers = keras.layers
        shortcut = x
        if x.shape[-1] != 2 * width:
            shortcut = self._convolution(x, 2 * width, f"{name}_shortcut", stride=stride)
        x = self._convolution(x, width, f"{name}_narrow")
        x = layers.ReLU(name=f"{name}_narrow_relu")(x)
        x = _paths(x, stride, f"{name}_paths")
        x = layers.BatchNormalization(momentum=self.bn_momentum, epsilon=_EPSILON, name=f"{name}_paths_bn")(x)
        x = layers.ReLU(name=f"{name}_paths_relu")(x)
        x = self._convolution(x, 2 * width, f"{name}_wide")
        x = layers.Add(name=f"{name}_add")([x, shortcut])
        return layers.ReLU(name=f"{name}_relu")(x)

    def _convolution(self, x: Tensor, channels: int, name: str, kernel: int = 1, stride: int = 1) -> Tensor:
        x = keras.layers.Conv2D(
            channels, kernel, stride, use_bias=False, kernel_initializer="he_normal", name=f"{name}_conv"
        )(x)
        return keras.layers.BatchNormalization(momentum=self.bn_momentum, epsilon=_EPSILON, name=f"{name}_bn")(x)


def _paths(x: Tensor, stride: int, name: str) -> Tensor:
    """Convolve 3 x 3 within each of 32 groups of channels.

    ``Conv2D(groups=32)`` is the same thing, but on a CPU TensorFlow takes its gradient a hundred times
    slower (2.65 s against 29 ms for 32 channels of width 4, 32 x 32 pixels, batch 8). So every channel
    gives its share to every channel of its group, and the shares are summed: as many weights, and
    the same function of them.
    """
    width = x.shape[-1]
    group = width // _PATHS
    x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
    x = keras.layers.DepthwiseConv2D(
        3,
        stride,
        depth_multiplier=group,
        use_bias=False,
        # He's, for the 9 * group inputs that a sum has; Keras would count those of one share.
        depthwise_initializer=keras.initializers.RandomNormal(stddev=(2 / (9 * group)) ** 0.5),
        name=f"{name}_conv",
    )(x)
    height, breadth = x.shape[1:3]
    x = keras.layers.Reshape((height, breadth, _PATHS, group, group), name=f"{name}_shares")(x)
    x = keras.ops.sum(x, axis=-2)
    return keras.layers.Reshape((height, breadth, width), name=f"{name}_sum")(x)


COMPONENT = ResNeXt50
