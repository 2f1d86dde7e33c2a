"""Classifiers as other people build them, in every shape and with every kind of head."""

from typing import Any

import numpy as np

from advcli.backend import keras
from advcli.model.introspection import recorded, replaced

EDGE = 12
CLASSES = 4
SHAPES = (
    "flat",
    "nested",
    "nested whole",
    "sequential",
    "sequential without input",
    "subclassed",
    "subclassed in order",
)
HEADS = ("dense", "activation", "layer", "function")


class Subclassed(keras.Model):
    """A model that only its own Python code knows the order of; its layers are made last to first."""

    def __init__(self, head: list[Any], body: list[Any], in_order: bool = False, **options: Any) -> None:
        super().__init__(**options)
        if in_order:
            self.body = body
        self.head = head
        self.body = body

    def call(self, inputs: Any) -> Any:
        for layer in [*self.body, *self.head]:
            inputs = layer(inputs)
        return inputs


def body(width: int = 6) -> list[Any]:
    """Return the layers up to the features."""
    layers = keras.layers
    return [
        layers.Conv2D(width, 3, padding="same", name="conv"),
        layers.ReLU(name="relu"),
        layers.GlobalAveragePooling2D(name="mean"),
    ]


def head(kind: str) -> list[Any]:
    """Return the layers from the features to the probabilities, or for ``logits`` to the logits."""
    layers = keras.layers
    # Confident enough for the gradient of a probability to vanish.
    options: dict[str, Any] = {
        "kernel_initializer": keras.initializers.RandomNormal(stddev=40.0, seed=5),
        "name": "scores",
    }
    if kind == "dense":
        return [layers.Dense(CLASSES, activation="softmax", **options)]
    last = {
        "logits": [],
        "activation": [layers.Activation("softmax")],
        "layer": [layers.Softmax()],
        "function": [keras.ops.softmax],
    }[kind]
    return [layers.Dense(CLASSES, **options), *last]


def chain(tensor: Any, layers: list[Any]) -> Any:
    """Call layers one after another."""
    for layer in layers:
        tensor = layer(tensor)
    return tensor


def build(shape: str = "flat", kind: str = "dense", channels: int = 3, before: Any = None) -> Any:
    """Build a classifier whose weights depend on nothing but the number of channels.

    Args:
        shape: one of SHAPES.
        kind: one of HEADS, or ``logits``.
        channels: of the images.
        before: a layer in front of it all.
    """
    keras.utils.set_random_seed(7)
    size = (EDGE, EDGE, channels)
    image = keras.Input(size)
    first = [before] if before is not None else []
    features, scores = body(), head(kind)
    if shape == "flat":
        return keras.Model(image, chain(image, [*first, *features, *scores]))
    if shape in ("nested", "nested whole"):
        inside = keras.Input(size)
        parts = features[:2] if shape == "nested" else [*features, *scores]
        inner = keras.Model(inside, chain(inside, parts), name="inner")
        rest = [features[2], *scores] if shape == "nested" else []
        return keras.Model(image, chain(image, [*first, inner, *rest]))
    if shape.startswith("sequential"):
        scores = [layer if isinstance(layer, keras.layers.Layer) else keras.layers.Softmax() for layer in scores]
        start = [keras.Input(size)] if shape == "sequential" else []
        model = keras.Sequential([*start, *first, *features, *scores])
    else:
        model = Subclassed(scores, [*first, *features], in_order=shape.endswith("order"))
    model(np.zeros((1, *size), np.float32))
    return model


def images(count: int = 3, channels: int = 3, edge: int = EDGE) -> np.ndarray:
    """Make random images in [0, 1]."""
    return np.random.default_rng(11).random((count, edge, edge, channels), dtype=np.float32)


AUGMENTATIONS: dict[str, Any] = {
    "AugMix": lambda: keras.layers.AugMix(value_range=(0, 1)),
    "AutoContrast": lambda: keras.layers.AutoContrast(value_range=(0, 1)),
    "CutMix": lambda: keras.layers.CutMix(),
    "GaussianDropout": lambda: keras.layers.GaussianDropout(0.4),
    "GaussianNoise": lambda: keras.layers.GaussianNoise(0.3),
    "MixUp": lambda: keras.layers.MixUp(),
    "RandAugment": lambda: keras.layers.RandAugment(value_range=(0, 1)),
    "RandomBrightness": lambda: keras.layers.RandomBrightness(0.5, value_range=(0, 1)),
    "RandomColorDegeneration": lambda: keras.layers.RandomColorDegeneration(0.9),
    "RandomColorJitter": lambda: keras.layers.RandomColorJitter(
        value_range=(0, 1), brightness_factor=0.5, contrast_factor=0.5, saturation_factor=0.5, hue_factor=0.3
    ),
    "RandomContrast": lambda: keras.layers.RandomContrast(0.5, value_range=(0, 1)),
    "RandomCrop": lambda: keras.layers.RandomCrop(EDGE, EDGE),
    "RandomElasticTransform": lambda: keras.layers.RandomElasticTransform(value_range=(0, 1)),
    "RandomErasing": lambda: keras.layers.RandomErasing(value_range=(0, 1)),
    "RandomFlip": lambda: keras.layers.RandomFlip(),
    "RandomGaussianBlur": lambda: keras.layers.RandomGaussianBlur(value_range=(0, 1)),
    "RandomGrayscale": lambda: keras.layers.RandomGrayscale(0.7),
    "RandomHue": lambda: keras.layers.RandomHue(0.5, value_range=(0, 1)),
    "RandomInvert": lambda: keras.layers.RandomInvert(0.7, value_range=(0, 1)),
    "RandomPerspective": lambda: keras.layers.RandomPerspective(),
    "RandomPosterization": lambda: keras.layers.RandomPosterization(2, value_range=(0, 1)),
    "RandomRotation": lambda: keras.layers.RandomRotation(0.3),
    "RandomSaturation": lambda: keras.layers.RandomSaturation(0.9, value_range=(0, 1)),
    "RandomSharpness": lambda: keras.layers.RandomSharpness(0.9, value_range=(0, 1)),
    "RandomShear": lambda: keras.layers.RandomShear(0.5, 0.5),
    "RandomTranslation": lambda: keras.layers.RandomTranslation(0.3, 0.3),
    "RandomZoom": lambda: keras.layers.RandomZoom(0.4),
    "Solarization": lambda: keras.layers.Solarization(value_range=(0, 1)),
    "SpatialDropout2D": lambda: keras.layers.SpatialDropout2D(0.5),
}


@keras.saving.register_keras_serializable("foreign")
class InCall(keras.Model):
    """A model whose last activation is in its own code, where nobody can take it off."""

    def __init__(self, activation: str = "softmax", outputs: int = CLASSES, **options: Any) -> None:
        super().__init__(**options)
        self.activation_name = activation
        self.outputs_count = outputs
        self.conv = keras.layers.Conv2D(6, 3, activation="relu")
        self.mean = keras.layers.GlobalAveragePooling2D()
        self.scores = keras.layers.Dense(
            outputs, kernel_initializer=keras.initializers.RandomNormal(stddev=8.0, seed=5)
        )

    def call(self, inputs: Any) -> Any:
        return getattr(keras.ops, self.activation_name)(self.scores(self.mean(self.conv(inputs))))

    def get_config(self) -> dict[str, Any]:
        return {"activation": self.activation_name, "outputs": self.outputs_count}


def _ending(*last: Any, outputs: int = CLASSES, stddev: float = 8.0, **options: Any) -> list[Any]:
    initializer = keras.initializers.RandomNormal(stddev=stddev, seed=5)
    return [*body(), keras.layers.Dense(outputs, kernel_initializer=initializer, **options), *last]


def _functional(*layers: Any, size: int = EDGE, channels: int = 3) -> Any:
    image = keras.Input((size, size, channels))
    return keras.Model(image, chain(image, list(layers)))


def _adapted() -> Any:
    layer = keras.layers.Normalization()
    layer.adapt(np.random.default_rng(0).normal(0.4, 0.2, (64, EDGE, EDGE, 3)).astype(np.float32))
    return layer


def _always(layer: Any) -> Any:
    return lambda tensor: layer(tensor, training=True)


def _tokens(tensor: Any) -> Any:
    """A small vision transformer, up to its features."""
    layers = keras.layers
    tensor = layers.Conv2D(8, 4, strides=4)(tensor)
    tensor = layers.Reshape((9, 8))(tensor)
    tensor = tensor + layers.Embedding(9, 8)(keras.ops.arange(9))
    attended = layers.MultiHeadAttention(2, 4)(layers.LayerNormalization()(tensor), tensor)
    tensor = layers.Add()([tensor, attended])
    return layers.GlobalAveragePooling1D()(layers.Dense(8, activation="gelu")(tensor))


@keras.saving.register_keras_serializable("foreign")
class ClassToken(keras.layers.Layer):
    """Puts a learned token before all others."""

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="ones", name="token")

    def call(self, inputs: Any) -> Any:
        return keras.ops.concatenate([keras.ops.repeat(self.token, keras.ops.shape(inputs)[0], axis=0), inputs], axis=1)


def _class_token(tensor: Any) -> Any:
    """A vision transformer with a class token, whose features are what becomes of the token."""
    layers = keras.layers
    tensor = ClassToken()(layers.Reshape((9, 8))(layers.Conv2D(8, 4, strides=4, name="patches")(tensor)))
    normal = layers.LayerNormalization()(tensor)
    tensor = layers.Add()([tensor, layers.MultiHeadAttention(2, 4, dropout=0.1)(normal, normal)])
    return layers.LayerNormalization()(tensor)[:, 0]


def frozen_normalization(frozen: bool = True) -> Any:
    """A network with BatchNorm whose statistics are unusual, saved frozen, and a dropout."""
    layers = keras.layers
    normal = layers.BatchNormalization(name="normal")
    normal.trainable = not frozen
    model = _functional(
        layers.Conv2D(6, 3, name="stem"), normal, layers.ReLU(), layers.Dropout(0.3), *_ending(activation="softmax")
    )
    normal.set_weights([np.full(6, value, np.float32) for value in (1.5, 0.2, 0.1, 0.7)])
    return model


def centre(model: Any, inputs: np.ndarray) -> None:
    """Set the bias of the last dense layer so that no class is preferred on some images."""
    last = [layer for layer in model._flatten_layers() if isinstance(layer, keras.layers.Dense)][-1]
    with recorded([last]) as calls, replaced(last, "activation", keras.activations.linear):
        model(inputs, training=False)
    outputs = np.asarray(calls[-1].output, np.float32)
    last.bias.assign(last.bias - np.median(outputs, axis=0))


def _with_policy(policy: str, build: Any) -> Any:
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_global_policy(policy)
    try:
        return build()
    finally:
        keras.mixed_precision.set_global_policy(before)


def _dense(outputs: int = CLASSES, **options: Any) -> Any:
    initializer = keras.initializers.RandomNormal(stddev=8.0, seed=9)
    return keras.layers.Dense(outputs, kernel_initializer=initializer, **options)


def _mirrored(tensor: Any) -> Any:
    layers = keras.layers
    tensor = layers.BatchNormalization()(layers.Conv2D(6, 3, use_bias=False, strides=2, padding="same")(tensor))
    left = layers.DepthwiseConv2D(3, padding="same")(layers.ReLU(6.0)(tensor))
    tensor = layers.Concatenate()([left, layers.SeparableConv2D(6, 3, padding="same", activation="relu")(tensor)])
    return layers.GlobalAveragePooling2D()(layers.GroupNormalization(4)(tensor))


_255 = (0.0, 255.0)
_01 = (0.0, 1.0)

# name: how it is built, and the values its input has for black and white.
ZOO: dict[str, tuple[Any, tuple[float, float]]] = {
    "tutorial": (
        lambda: keras.Sequential(
            [
                keras.Input((EDGE, EDGE, 3)),
                keras.layers.RandomFlip("horizontal"),
                keras.layers.RandomRotation(0.2),
                keras.layers.RandomZoom(0.2),
                keras.layers.Rescaling(1 / 255),
                *_ending(activation="softmax"),
            ]
        ),
        _255,
    ),
    "tutorial with logits": (
        lambda: keras.Sequential(
            [
                keras.Input((EDGE, EDGE, 3)),
                keras.Sequential([keras.layers.RandomRotation(0.3), keras.layers.RandomTranslation(0.3, 0.3)]),
                *_ending(),
            ]
        ),
        _01,
    ),
    "functional augmentation": (
        lambda: _functional(
            keras.layers.RandomZoom(0.4), keras.layers.RandomTranslation(0.3, 0.3), *_ending(activation="softmax")
        ),
        _01,
    ),
    "nested augmentation": (
        lambda: _functional(
            keras.Sequential(
                [keras.Input((EDGE, EDGE, 3)), keras.layers.RandomFlip(), keras.layers.RandomRotation(0.4)]
            ),
            keras.layers.Rescaling(1 / 127.5, -1),
            *_ending(),
        ),
        _255,
    ),
    "randaugment": (
        lambda: _functional(keras.layers.RandAugment(value_range=(0, 1)), *_ending(activation="softmax")),
        _01,
    ),
    "augmix": (lambda: _functional(keras.layers.AugMix(value_range=(0, 1)), *_ending()), _01),
    "monte-carlo dropout": (
        lambda: _functional(*body(), _always(keras.layers.Dropout(0.5)), _dense(activation="softmax")),
        _01,
    ),
    "noise in training mode": (
        lambda: _functional(_always(keras.layers.GaussianNoise(0.5)), *_ending()),
        _01,
    ),
    "batch normalization in training mode": (
        lambda: _functional(keras.layers.Conv2D(6, 3), _always(keras.layers.BatchNormalization()), *_ending()),
        _01,
    ),
    "softmax of the last layer": (lambda: _functional(*_ending(activation="softmax")), _01),
    "softmax activation": (lambda: _functional(*_ending(keras.layers.Activation("softmax"))), _01),
    "softmax layer": (lambda: _functional(*_ending(keras.layers.Softmax())), _01),
    "softmax operation": (lambda: _functional(*_ending(keras.ops.softmax)), _01),
    "softmax in its code": (lambda: InCall("softmax"), _01),
    "confident softmax": (lambda: _functional(*_ending(activation="softmax", stddev=150.0)), _01),
    "logits": (lambda: _functional(*_ending()), _01),
    "log-probabilities": (lambda: _functional(*_ending(keras.layers.Activation("log_softmax"))), _01),
    "log-softmax operation": (lambda: _functional(*_ending(keras.ops.log_softmax)), _01),
    "sigmoid a class": (lambda: _functional(*_ending(activation="sigmoid")), _01),
    "sigmoid activation": (lambda: _functional(*_ending(keras.layers.Activation("sigmoid"))), _01),
    "sigmoid operation": (lambda: _functional(*_ending(keras.ops.sigmoid)), _01),
    "sigmoid in its code": (lambda: InCall("sigmoid"), _01),
    "hard sigmoid a class": (lambda: _functional(*_ending(activation="hard_sigmoid", stddev=2.0)), _01),
    "tanh a class": (lambda: _functional(*_ending(activation="tanh", stddev=2.0)), _01),
    "one sigmoid": (lambda: _functional(*_ending(activation="sigmoid", outputs=1)), _01),
    "one sigmoid operation": (lambda: _functional(*_ending(keras.ops.sigmoid, outputs=1)), _01),
    "one sigmoid in its code": (lambda: InCall("sigmoid", 1), _01),
    "one logit": (lambda: _functional(*_ending(outputs=1)), _01),
    "rescaling to [-1, 1]": (
        lambda: _functional(keras.layers.Rescaling(1 / 127.5, -1), *_ending(activation="softmax")),
        _255,
    ),
    "wants [-1, 1]": (lambda: _functional(*_ending(activation="softmax")), (-1.0, 1.0)),
    "normalization": (lambda: _functional(_adapted(), *_ending(activation="softmax")), _01),
    "operations for preprocessing": (lambda: _functional(lambda x: (x - 127.5) / 60.0, *_ending()), _255),
    "resizing and crop inside": (
        lambda: _functional(
            keras.layers.Resizing(16, 16), keras.layers.CenterCrop(12, 12), *_ending(activation="softmax")
        ),
        _01,
    ),
    "nested whole": (lambda: build("nested whole", "dense"), _01),
    "nested base": (lambda: build("nested", "layer"), _01),
    "sequential in sequential": (
        lambda: keras.Sequential(
            [keras.Input((EDGE, EDGE, 3)), keras.Sequential(body()), keras.Sequential([_dense(activation="sigmoid")])]
        ),
        _01,
    ),
    "mixed float16": (lambda: _with_policy("mixed_float16", lambda: _functional(*_ending(activation="softmax"))), _01),
    "mixed bfloat16": (
        lambda: _with_policy(
            "mixed_bfloat16", lambda: _functional(*_ending(), keras.layers.Activation("linear", dtype="float32"))
        ),
        _01,
    ),
    "float64": (lambda: _with_policy("float64", lambda: _functional(*_ending(activation="softmax"))), _01),
    "transformer": (lambda: _functional(_tokens, _dense(activation="softmax")), _01),
    "class token": (lambda: _functional(_class_token, _dense(activation="softmax")), _01),
    "frozen batch normalization": (frozen_normalization, _01),
    "folded branches": (lambda: _functional(_mirrored, _dense()), _01),
    "spectral normalization": (
        lambda: _functional(
            keras.layers.SpectralNormalization(keras.layers.Conv2D(6, 3)), *_ending(activation="softmax")
        ),
        _01,
    ),
    "grey": (lambda: _functional(*_ending(activation="softmax"), channels=1), _01),
    "square roots": (lambda: _functional(keras.ops.sqrt, *_ending(activation="softmax")), _01),
}
