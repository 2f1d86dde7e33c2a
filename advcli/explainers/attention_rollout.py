"""Attention of a transformer, multiplied over its layers: where information comes from, whatever the class.

Abnar and Zuidema 2020, https://arxiv.org/abs/2005.00928: the product over the layers of A' = 0.5 A + 0.5 I, where A
(T, T) is the mean attention over the heads, I stands for the shortcut around the attention, and the rows of A' are
normalised. Shown is the row of the class token, or the mean of all rows where there is none, at the patches.
"""

import contextlib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import KerasLayer, Nest, Tensor, TracedFunction, keras, tf
from advcli.errors import AdvcliError
from advcli.explainers import Explainer, MapKind, ShownLayer
from advcli.explainers._scores import in_batches, traced
from advcli.model.classifier import Classifier
from advcli.model.feature_map import token_grid
from advcli.model.introspection import operations, replaced
from advcli.model.token_grid import TokenGrid

_ASK = "return_attention_scores"
_HINT = "try --method layercam or --method smoothgrad"


@dataclass(frozen=True)
class AttentionRollout(Explainer):
    """The share of each patch in what the class token, or the mean token, has attended to; the same for every class."""

    signed: ClassVar[bool] = False
    kind: ClassVar[MapKind] = "map"
    needs_attention: ClassVar[bool] = True

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, h, w) relevance from 0 up, one value a patch."""
        grid = _examined(classifier)[0]

        def rollout(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor]:
            with _attention(classifier) as calls:
                classifier.logits(pixels)
            unit = tf.eye(grid.tokens)
            product = unit
            for _, scores in calls:
                mixed = 0.5 * tf.reduce_mean(tf.cast(scores, tf.float32), axis=1) + 0.5 * unit
                product = tf.matmul(mixed / tf.reduce_sum(mixed, axis=-1, keepdims=True), product)
            row = tf.reduce_mean(product, axis=1) if grid.class_token is None else product[:, grid.class_token]
            return (grid.patches(row[..., None])[..., 0],)

        function = traced(classifier, "attention rollout", rollout)
        return np.concatenate([part for (part,) in in_batches(function, images, classes, against)])

    def shown(self, classifier: Classifier) -> ShownLayer:
        """Return the last attention layer.

        Raises:
            AdvcliError: the network has no attention among the patches of the image.
        """
        grid, layers, heads = _examined(classifier)
        reason = f"the attention of {len(layers)} {'layer' if len(layers) == 1 else 'layers'}, multiplied"
        return ShownLayer(layers[-1], grid.rows, grid.columns, heads, reason)


def _examined(classifier: Classifier) -> tuple[TokenGrid, list[str], int]:
    """Return the grid of the tokens that attend to one another, the layers' names, and the last one's heads."""
    return classifier.once("attention", lambda: _examine(classifier))


def _examine(classifier: Classifier) -> tuple[TokenGrid, list[str], int]:
    names, shapes = [], []

    def note(pixels: Tensor) -> Tensor:
        with _attention(classifier) as calls:
            logits = classifier.logits(pixels)
        names.extend(layer.name for layer, _ in calls)
        shapes.extend(tuple(scores.shape) for _, scores in calls)
        return logits

    # An image alone could not be told from its windows.
    signature = [tf.TensorSpec((2, *classifier.image_size, classifier.channels), tf.float32)]
    tf.function(note, input_signature=signature, autograph=False).get_concrete_function()
    if not shapes:
        message = f"'{classifier.name}' has no MultiHeadAttention layer whose attention could be shown"
        raise AdvcliError(message, _HINT)
    tokens = shapes[-1][-1]
    for name, shape in zip(names, shapes, strict=True):
        if shape[0] != 2 or shape[2:] != (tokens, tokens):
            message = (
                f"layer '{name}' of '{classifier.name}' attends {_text(shape)}, not among the same tokens as the last"
            )
            raise AdvcliError(f"{message}: attention rollout is defined for these", _HINT)
    grid = token_grid(classifier, tokens)
    if grid is None:
        message = (
            f"the {tokens} tokens of '{classifier.name}' are not the patches of the image with at most a class token"
        )
        raise AdvcliError(message, _HINT)
    return grid, names, shapes[-1][1]


def _text(shape: tuple[int | None, ...]) -> str:
    return f"from {shape[2]} to {shape[3]} tokens" + ("" if shape[0] == 2 else " in parts of an image")


@contextlib.contextmanager
def _attention(classifier: Classifier) -> Iterator[list[tuple[KerasLayer, Tensor]]]:
    """Record the attention of every layer that is called, nested ones too: the layer, and (N, heads, T, S)."""
    kinds = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)
    calls: list[tuple[KerasLayer, Tensor]] = []

    def asking(layer: KerasLayer, call: TracedFunction) -> TracedFunction:
        signature = inspect.signature(call)

        def wrapped(*args: object, **kwargs: object) -> Nest:
            given = signature.bind(*args, **kwargs).arguments
            # Without being asked, a layer may compute its output and never the attention.
            output, scores = call(**{**given, _ASK: True})
            calls.append((layer, scores))
            return (output, scores) if given.get(_ASK) else output

        return wrapped

    with contextlib.ExitStack() as stack:
        for layer in operations(classifier.model):
            if isinstance(layer, kinds):
                stack.enter_context(replaced(layer, "call", asking(layer, layer.call)))
        yield calls


COMPONENT = AttentionRollout
