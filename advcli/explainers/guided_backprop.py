"""Gradient with only positive values propagated back through each ReLU: fine edges, whatever the class.

Springenberg, Dosovitskiy, Brox and Riedmiller 2015, https://arxiv.org/abs/1412.6806: ds/dx, in which a
ReLU y = max(z, 0) passes the gradient g back as g * [z > 0] * [g > 0], summed over the channels. It shows what
excites a network rather than what decides: it hardly changes with the class.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from advcli.backend import KerasLayer, KerasModel, Tensor, TracedFunction, keras, tf
from advcli.errors import AdvcliError
from advcli.explainers import Explainer
from advcli.explainers._scores import in_batches, score, traced
from advcli.model.classifier import Classifier
from advcli.model.introspection import operations, replaced
from advcli.model.saved_model import hides_layers
from advcli.tracing import custom_gradient

_SCOPE = "one_way_rectifier"


@dataclass(frozen=True)
class GuidedBackprop(Explainer):
    """The sum over the channels of a gradient that passes a ReLU where its input and the gradient are positive."""

    is_derivative: ClassVar[bool] = True

    def __call__(
        self,
        classifier: Classifier,
        images: np.ndarray,
        classes: np.ndarray,
        seed: int,
        against: np.ndarray | None = None,
    ) -> np.ndarray:
        """Explain: (N, H, W, C) in [0, 1], (N,) -> (N, H, W) signed relevance."""
        self.shown(classifier)

        def gradient(pixels: Tensor, labels: Tensor, others: Tensor) -> tuple[Tensor]:
            with tf.GradientTape(watch_accessed_variables=False) as tape, _guided(classifier.model):
                tape.watch(pixels)
                values = score(classifier.logits(pixels), labels, others)
            return (tape.gradient(values, pixels, unconnected_gradients=tf.UnconnectedGradients.ZERO),)

        function = traced(classifier, "guided gradient", gradient)
        return np.concatenate([part.sum(axis=-1) for (part,) in in_batches(function, images, classes, against)])

    def shown(self, classifier: Classifier) -> None:
        """Return None: the relevance is that of the pixels.

        Raises:
            AdvcliError: the network has no ReLU.
        """
        parts = operations(classifier.model)
        hint = "try --method smoothgrad"
        if hides_layers(parts):
            message = f"'{classifier.name}' is or contains a SavedModel, whose ReLU guided backpropagation cannot reach"
            raise AdvcliError(message, hint)
        if not any(_rectifier(part) for part in parts):
            found = Counter(name for part in parts if (name := _activation(part)))
            names = ", ".join(f"{count} {name}" for name, count in found.most_common()) or "no activation layer"
            raise AdvcliError(
                f"guided backpropagation is defined for networks of ReLU, '{classifier.name}' has {names}", hint
            )
        left = classifier.once("unguided", lambda: _unguided(classifier))
        if left:
            raise AdvcliError(
                f"'{classifier.name}' has {left} ReLU inside other layers, which guided backpropagation cannot reach",
                hint,
            )


def _unguided(classifier: Classifier) -> int:
    """Count the ReLU that are in a layer's own Python code, and no layer or operation of the model."""
    signature = [tf.TensorSpec((1, *classifier.image_size, classifier.channels), tf.float32)]
    with _guided(classifier.model):
        function = tf.function(classifier.logits, input_signature=signature, autograph=False)
        nodes = function.get_concrete_function().graph.get_operations()
    return sum(node.type in ("Relu", "Relu6") and _SCOPE not in node.name for node in nodes)


@contextlib.contextmanager
def _guided(model: KerasModel) -> Iterator[None]:
    """Let only positive gradients pass back through every ReLU of a model, nested ones too."""
    with contextlib.ExitStack() as stack:
        for part in operations(model):
            if found := _rectifier(part):
                name, most = found
                stack.enter_context(replaced(part, name, _one_way(getattr(part, name), most)))
        yield


def _rectifier(part: KerasLayer) -> tuple[str, float | None] | None:
    """Return the attribute of a layer or operation that is a ReLU, and the ReLU's maximum."""
    kind = type(part).__name__
    if isinstance(part, keras.layers.ReLU):
        return ("call", part.max_value) if not part.negative_slope and not part.threshold else None
    # By name: what keras.ops.relu and relu6 become in a functional model.
    if kind in ("Relu", "Relu6"):
        return "call", 6.0 if kind == "Relu6" else None
    function = getattr(part, "activation", None)
    if function in (keras.activations.relu, keras.ops.relu, tf.nn.relu):
        return "activation", None
    if function in (keras.activations.relu6, keras.ops.relu6, tf.nn.relu6):
        return "activation", 6.0
    return None


def _one_way(function: TracedFunction, most: float | None) -> TracedFunction:
    @custom_gradient
    def rectified(x: Tensor) -> tuple[Tensor, TracedFunction]:
        def back(gradient: Tensor) -> Tensor:
            open_ = (x > 0) & (gradient > 0)
            if most is not None:
                open_ &= x < most
            return tf.where(open_, gradient, tf.zeros_like(gradient))

        with tf.name_scope(_SCOPE):
            return function(x), back

    return lambda x, *_, **__: rectified(x)


def _activation(part: KerasLayer) -> str:
    """Name the activation that a layer or an operation is or holds; nothing if it has none."""
    function = getattr(part, "activation", None)
    if function is not None:
        return "" if function is keras.activations.linear else getattr(function, "__name__", type(function).__name__)
    name = type(part).__name__.lower()
    return name if name in {one.replace("_", "") for one in dir(keras.activations)} | {"prelu"} else ""


COMPONENT = GuidedBackprop
