"""Small vision transformers: with and without a class token, whose patches are 4 x 4 pixels."""

from typing import Any

import numpy as np

from advcli.backend import keras, tf
from advcli.model.classifier import Classifier

PATCH, WIDTH, CLASSES = 4, 32, 4


class ClassToken(keras.layers.Layer):
    """Add a learnt token before or behind the patches."""

    def __init__(self, last: bool = False, **options: Any) -> None:
        super().__init__(**options)
        self.last = last

    def build(self, shape: Any) -> None:
        self.token = self.add_weight(shape=(1, 1, shape[-1]), initializer="random_normal")

    def call(self, tokens: Any) -> Any:
        token = tf.tile(self.token, (tf.shape(tokens)[0], 1, 1))
        return tf.concat([tokens, token] if self.last else [token, tokens], axis=1)


class Positions(keras.layers.Layer):
    """Add a learnt vector to each token."""

    def build(self, shape: Any) -> None:
        self.positions = self.add_weight(shape=shape[1:], initializer=keras.initializers.RandomNormal(stddev=0.5))

    def call(self, tokens: Any) -> Any:
        return tokens + self.positions


def transformer(
    token: str = "none", size: tuple[int, int] = (32, 32), depth: int = 2, heads: int = 4, seed: int = 0
) -> Any:
    """Build an untrained transformer with logits; the class token is ``first``, ``last`` or ``none``."""
    layers = keras.layers
    keras.utils.set_random_seed(seed)
    image = keras.Input((*size, 3))
    patches = layers.Conv2D(WIDTH, PATCH, PATCH, name="patches")(image)
    tokens = layers.Reshape((-1, WIDTH), name="tokens")(patches)
    if token != "none":
        tokens = ClassToken(token == "last", name="class_token")(tokens)
    tokens = Positions(name="positions")(tokens)
    for block in range(depth):
        attended = layers.LayerNormalization(name=f"norm{block}")(tokens)
        attention = layers.MultiHeadAttention(heads, WIDTH // heads, name=f"attention{block}")
        tokens = layers.Add(name=f"attended{block}")([tokens, attention(attended, attended)])
        inner = layers.LayerNormalization(name=f"mlp_norm{block}")(tokens)
        inner = layers.Dense(2 * WIDTH, activation="gelu", name=f"mlp{block}")(inner)
        tokens = layers.Add(name=f"block{block}")([tokens, layers.Dense(WIDTH, name=f"mlp_end{block}")(inner)])
    tokens = layers.LayerNormalization(name="norm")(tokens)
    if token == "none":
        read = layers.GlobalAveragePooling1D()(tokens)
    else:
        read = layers.Lambda(lambda x: x[:, -1] if token == "last" else x[:, 0], name="read")(tokens)
    return keras.Model(image, layers.Dense(CLASSES, name="logits")(read))


def classify(model: Any) -> Classifier:
    return Classifier("vit", model, tuple("abcd"), tuple(model.input_shape[1:3]), 3)


def one_quadrant(count: int, size: tuple[int, int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw images of noise whose class is the colour of the upper left quadrant alone: -> images, classes."""
    generator = np.random.default_rng(seed)
    images = generator.uniform(0.3, 0.7, (count, *size, 3))
    colours = np.array([(0.3, 0, 0), (0, 0.3, 0), (0, 0, 0.3), (-0.3, -0.3, -0.3)])
    rows, columns = size[0] // 2 // PATCH * PATCH, size[1] // 2 // PATCH * PATCH
    # The other quadrants have colours too, which have nothing to do with the class.
    quadrants = generator.integers(0, CLASSES, (2, 2, count))
    for i, j in np.ndindex(2, 2):
        part = (
            slice(None),
            slice(rows) if i == 0 else slice(rows, None),
            slice(columns) if j == 0 else slice(columns, None),
        )
        images[part] += colours[quadrants[i, j]][:, None, None]
    return np.clip(images, 0, 1).astype(np.float32), quadrants[0, 0]


def planted(token: str = "none", size: tuple[int, int] = (24, 24)) -> Any:
    """Build a transformer that sees the colour of the upper left quadrant, and nothing else.

    The first block detects a colour (channels 0 to 3) at a position inside the quadrant (channel 4), and writes that to
    channels 8 to 11. The class token, if there is one, gathers them in channels 16 to 19 through the last attention.
    """
    model = transformer(token, size)
    for weight in model.weights:
        if not weight.path.endswith("gamma"):
            weight.assign(tf.zeros(weight.shape))
    rows, columns = size[0] // PATCH, size[1] // PATCH
    kernel, bias = np.zeros((PATCH, PATCH, 3, WIDTH)), np.zeros(WIDTH)
    for channel in range(3):
        kernel[:, :, channel, channel] = 10 / PATCH**2
    kernel[:, :, :, 3] = -10 / 3 / PATCH**2
    bias[:4] = -5, -5, -5, 5
    model.get_layer("patches").set_weights([kernel, bias])
    inside = np.zeros((rows, columns), bool)
    inside[: rows // 2, : columns // 2] = True
    inside = np.insert(inside.ravel(), {"none": [], "first": 0, "last": inside.size}[token], values=False)
    where = np.where(inside, 4.0, -4.0)
    positions = np.zeros((len(where), WIDTH))
    positions[:, 4], positions[:, 5] = where, -where
    model.get_layer("positions").set_weights([positions])
    colours = np.arange(CLASSES)
    first, last = np.zeros((WIDTH, 2 * WIDTH)), np.zeros((2 * WIDTH, WIDTH))
    first[colours, colours] = first[4, colours] = 4
    last[colours, 8 + colours] = 1
    model.get_layer("mlp0").set_weights([first, np.where(np.arange(2 * WIDTH) < CLASSES, -16.0, 0.0)])
    model.get_layer("mlp_end0").set_weights([last, np.zeros(WIDTH)])
    for block in range(2):
        attention = model.get_layer(f"attention{block}")
        query, key, value, end = (np.zeros(weight.shape) for weight in attention.get_weights()[::2])
        inquiry = np.zeros(attention.get_weights()[1].shape)
        # All attend to the quadrant: the key is channel 4, the query a constant.
        inquiry[:, 0], key[4, :, 0] = 4, 1
        if block == 1 and token != "none":
            value[8 + colours, 0, colours] = 1
            end[0, colours, 16 + colours] = 1
        others = [np.zeros(weight.shape) for weight in attention.get_weights()[3::2]]
        attention.set_weights([query, inquiry, key, others[0], value, others[1], end, others[2]])
    logits = np.zeros((WIDTH, CLASSES))
    logits[(8 if token == "none" else 16) + colours, colours] = 5
    model.get_layer("logits").set_weights([logits, np.zeros(CLASSES)])
    return model


def shuffle_weights(model: Any) -> None:
    generator = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(generator.permutation(np.asarray(weight).ravel()).reshape(weight.shape))
