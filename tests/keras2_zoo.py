"""Makes .h5 files with Keras 2, in a process of its own: ``python tests/keras2_zoo.py FOLDER``.

Beside each file stand images and what Keras 2 says of them.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

SIZE = 32
NAMES = (
    "mobilenet",
    "transfer",
    "frozen",
    "sequential",
    "twice nested",
    "operators",
    "torch mode",
    "caffe mode",
    "names",
    "activations",
    "vision transformer",
    "shared",
    "normalization",
    "thresholded",
    "lambda",
    "own layer",
)


def zoo(keras: Any) -> dict[str, Callable[[], Any]]:
    """Return how each model is built, of the layers of Keras 2."""
    layers, applications = keras.layers, keras.applications

    class Own(layers.Layer):
        def call(self, inputs: Any) -> Any:
            return inputs * 2

    def model(body: Callable[[Any], Any]) -> Any:
        image = layers.Input((SIZE, SIZE, 3))
        return keras.Model(image, body(image))

    def head(tensor: Any) -> Any:
        return layers.Dense(5)(layers.Dropout(0.2)(layers.GlobalAveragePooling2D()(tensor)))

    def block(tensor: Any, name: str = "block") -> Any:
        tensor = layers.Conv2D(6, 3, strides=2, use_bias=False, name=f"{name}/conv")(tensor)
        tensor = layers.BatchNormalization(name=f"{name}/bn")(tensor)
        return layers.DepthwiseConv2D(3, name=f"{name}/depthwise")(layers.ReLU(6.0)(tensor))

    def base(size: int = SIZE, frozen: int = 0) -> Any:
        image = layers.Input((size, size, 3))
        made = keras.Model(image, block(layers.SeparableConv2D(3, 3, padding="same")(block(image, "a")[..., :3]), "b"))
        for layer in made.layers[:frozen]:
            layer.trainable = False
        return made

    def augmentation() -> Any:
        return keras.Sequential([layers.RandomFlip(), layers.RandomRotation(0.2), layers.RandomZoom(0.1)])

    def patches(image: Any) -> Any:
        tokens = layers.Reshape((16, 8))(layers.Conv2D(8, 8, 8)(image))
        tokens = tokens + layers.MultiHeadAttention(2, 4)(tokens, tokens)
        return layers.Dense(5)(layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(tokens)))

    def operators(image: Any) -> Any:
        features = layers.Conv2D(4, 3)(tf.abs(1 - image * 2) ** 2 / 0.5)
        features = features * tf.sigmoid(features) + tf.concat([features[..., 2:], features[..., :2]], -1)
        return layers.Dense(5)(tf.reduce_mean(tf.image.resize(features, (9, 9)), [1, 2]))

    def shared(image: Any) -> Any:
        twice = keras.Sequential([layers.Conv2D(3, 3, padding="same"), layers.BatchNormalization()])
        once = layers.Conv2D(3, 3, padding="same")
        return head(layers.Conv2D(6, 3)(once(once(twice(twice(image))))))

    def normalized(image: Any) -> Any:
        layer = layers.Normalization()
        layer.adapt(np.random.default_rng(0).normal(0.4, 0.2, (16, SIZE, SIZE, 3)))
        return head(layers.Conv2D(6, 3)(layer(image)))

    def products(image: Any) -> Any:
        features = layers.Conv2D(4, 3)(image)
        return head(layers.Multiply(name="multiply")([features, features * 0.5 + 1]))

    return {
        "mobilenet": lambda: applications.MobileNet(
            weights=None, alpha=0.25, input_shape=(SIZE, SIZE, 3), classes=5, classifier_activation=None
        ),
        "transfer": lambda: model(
            lambda image: head(
                base()(applications.mobilenet_v2.preprocess_input(augmentation()(image)), training=False)
            )
        ),
        "frozen": lambda: model(lambda image: head(base(frozen=4)(layers.Rescaling(1 / 127.5, -1)(image)))),
        "sequential": lambda: keras.Sequential([base(), layers.GlobalAveragePooling2D(), layers.Dense(5)]),
        "twice nested": lambda: model(lambda image: model(lambda inner: head(base()(inner)))(image)),
        "operators": lambda: model(operators),
        "torch mode": lambda: model(lambda image: head(block(applications.densenet.preprocess_input(image)))),
        "caffe mode": lambda: model(lambda image: head(block(applications.resnet50.preprocess_input(image)))),
        "names": lambda: model(products),
        "activations": lambda: model(
            lambda image: head(
                layers.PReLU(shared_axes=[1, 2])(
                    layers.LeakyReLU(0.1)(
                        layers.Activation("swish")(layers.Conv2D(6, 3, activation="hard_sigmoid")(image))
                    )
                )
            )
        ),
        "vision transformer": lambda: model(patches),
        "shared": lambda: model(shared),
        "normalization": lambda: model(normalized),
        "thresholded": lambda: model(lambda image: head(layers.ThresholdedReLU(0.1)(block(image)))),
        "lambda": lambda: model(lambda image: head(block(layers.Lambda(lambda x: x / 2)(image)))),
        "own layer": lambda: model(lambda image: head(block(Own()(image)))),
    }


def main(folder: Path) -> None:
    keras: Any = tf.keras
    assert "tf_keras" in keras.Model.__module__, "TF_USE_LEGACY_KERAS is not set"
    rng = np.random.default_rng(0)
    brightness = rng.uniform(0, 1, (4, 1, 1, 3))
    images = 255 * (brightness + rng.normal(0, 0.2, (4, SIZE, SIZE, 3))).clip(0, 1).astype(np.float32)
    for name, build in zoo(keras).items():
        keras.backend.clear_session()
        keras.utils.set_random_seed(1)
        model = build()
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = 0.0
        model(images, training=True)
        for weight in model.weights:
            if "kernel" not in weight.name and weight.dtype.is_floating:
                weight.assign(weight * rng.uniform(0.8, 1.2, weight.shape) + rng.uniform(0, 0.05, weight.shape))
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.Normalization):
                layer.finalize_state()
        model.compile("adam", "mse")
        np.savez(folder / name, images=images, outputs=model.predict(images, verbose=0))
        model.save(folder / f"{name}.h5", save_format="h5")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
