"""The layer whose feature map a class activation map shows."""

from typing import Any

from advcli.backend import keras
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model import Classifier


def feature_layer(classifier: Classifier, name: str = "") -> Any:
    """Choose the layer: the one named, or the deepest fine enough that every path passes through.

    Raises:
        UsageError: there is no such layer, or its output is no map.
        AdvcliError: the model is not a flat one, or it has no feature map.
    """
    model = classifier.model
    layers = list(getattr(model, "layers", []))
    if not getattr(model, "inputs", None) or any(isinstance(layer, keras.Model) for layer in layers):
        raise AdvcliError(
            f"Grad-CAM needs a functional or Sequential model without models inside; '{classifier.name}' is not one",
            "explain it with --method saliency",
        )
    cells = {layer: _cells(layer) for layer in layers}
    if name:
        if name not in (layer.name for layer in layers):
            raise UsageError(f"'{classifier.name}' has no layer '{name}'", nearest(name, [x.name for x in layers]))
        layer = model.get_layer(name)
        if cells[layer] < 2:
            raise UsageError(f"the output of layer '{name}' is no map of 2 x 2 cells or more")
        return layer
    passed = [layer for layer in _bottlenecks(layers) if not isinstance(layer, keras.layers.InputLayer)]
    for least in (7, 4, 2):
        fine = [layer for layer in passed if cells[layer] >= least and _follows_convolution(layer, layers)]
        if fine:
            return fine[-1]
    raise AdvcliError(f"'{classifier.name}' has no feature map to show", "explain it with --method saliency")


def _cells(layer: Any) -> int:
    shape = getattr(getattr(layer, "output", None), "shape", ())
    return min(shape[1:3]) if len(shape) == 4 and None not in shape[1:3] else 0


def _consumers(layer: Any) -> list[Any]:
    return [node.operation for node in layer._outbound_nodes]


def _bottlenecks(layers: list[Any]) -> list[Any]:
    """Keep the layers that no connection leads around."""
    place = {layer: i for i, layer in enumerate(layers)}
    reach = 0
    kept = []
    for i, layer in enumerate(layers):
        if reach <= i:
            kept.append(layer)
        reach = max([reach, *(place.get(consumer, 0) for consumer in _consumers(layer))])
    return kept


def _follows_convolution(layer: Any, layers: list[Any]) -> bool:
    before = layers[: layers.index(layer) + 1]
    return any("Conv" in type(earlier).__name__ for earlier in before)
