"""Networks of Keras Applications with preprocessing, logits, and a stem for small images."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from advcli.backbones import _options, _weights
from advcli.backend import KerasLayer, KerasModel, keras
from advcli.errors import UsageError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# The normalisation of the inputs of Keras Applications.
_SMALLEST = 32


@dataclass(frozen=True)
class Application:
    """A network of Keras Applications.

    Args:
        name: the backbone's name.
        function: its name in ``keras.applications``.
        mean: the mean that the preprocessing subtracts from an RGB pixel in [0, 1].
        std: the standard deviation that it then divides by.
        padded_stem: whether the first convolution is padded, so that stride 1 keeps the map's size.
    """

    name: str
    function: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    padded_stem: bool = True

    def build(
        self,
        options: Any,
        classes: int | None,
        edge: int,
        channels: int,
        weights: str | Path | None,
        published: _weights.Published,
        **arguments: object,
    ) -> KerasModel:
        """Build the network and load its weights.

        Args:
            options: the component, with ``stem_stride``, ``bn_momentum`` and perhaps ``dropout``.
            classes: as for every backbone, like the next three.
            edge: side of the input.
            channels: of the input.
            weights: None, ``"imagenet"`` or a file.
            published: what ``"imagenet"`` means.
            **arguments: more for the function in ``keras.applications``.
        """
        file = _weights.find_weights(self.name, weights, channels, published)
        size = _weights.own_head(self.name, classes, file)
        features = self._features(_options.stem_stride(options, edge), edge, channels, arguments)
        for layer in features.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = options.bn_momentum
        x = keras.layers.GlobalAveragePooling2D(name="avg_pool")(features.output)
        if getattr(options, "dropout", 0):
            x = keras.layers.Dropout(options.dropout, name="top_dropout")(x)
        logits = keras.layers.Dense(size, dtype="float32", name="logits")(x)
        model = keras.Model(features.inputs[0], logits, name=self.name)
        return _weights.load_weights(model, file, new_head=classes is not None)

    def _features(self, stride: int, edge: int, channels: int, arguments: dict[str, object]) -> KerasModel:
        # Keras' layers pad and branch by the size of their maps, so a stem of stride 1 wants the layers
        # that an image of twice the size would get. A stem without a border loses the outermost
        # pixels, as many at either stride, so there the larger image has to be that much smaller.
        lost = 0 if self.padded_stem else 2
        like = edge if stride == 2 else 2 * edge - lost
        if like < _SMALLEST:
            smallest = _SMALLEST if stride == 2 else (_SMALLEST + lost) // 2
            hint = "choose a larger image size, or the backbone small"
            raise UsageError(f"{self.name} needs at least {smallest} pixels a side, not {edge}", hint)
        features = self._application(like, channels, arguments)
        return features if stride == 2 else _with_whole_stem(features, edge)

    def _application(self, edge: int, channels: int, arguments: dict[str, object]) -> KerasModel:
        inputs = keras.Input((edge, edge, channels), name="image")
        images = rescaling(self.mean, self.std, channels)(inputs)
        function = getattr(keras.applications, self.function)
        return function(include_top=False, weights=None, input_tensor=images, **arguments)


def rescaling(mean: tuple[float, ...], std: tuple[float, ...], channels: int) -> KerasLayer:
    """Return the layer (pixels - mean) / std; for grey images both are averaged over the colours."""
    if channels != len(mean):
        mean, std = (sum(mean) / len(mean),), (sum(std) / len(std),)
    scale = [1 / deviation for deviation in std]
    offset = [-centre / deviation for centre, deviation in zip(mean, std, strict=True)]
    return keras.layers.Rescaling(scale, offset, name="preprocess")


def _with_whole_stem(features: KerasModel, edge: int) -> KerasModel:
    """Copy a network onto a smaller input, with its first convolution's stride turned from 2 to 1."""
    layers = features.layers
    stem = next(index for index, layer in enumerate(layers) if isinstance(layer, keras.layers.Conv2D))
    changes = {layers[stem].name: {"strides": (1, 1)}}
    if isinstance(layers[stem - 1], keras.layers.ZeroPadding2D):
        # Padding that centres a stride of 2 is lopsided for a stride of 1.
        changes[layers[stem - 1].name] = {"padding": tuple(side // 2 for side in layers[stem].kernel_size)}

    def copied(layer: KerasLayer) -> KerasLayer:
        return type(layer).from_config(layer.get_config() | changes.get(layer.name, {}))

    inputs = keras.Input((edge, edge, features.inputs[0].shape[-1]), name="image")
    return keras.models.clone_model(features, input_tensors=[inputs], clone_function=copied)
