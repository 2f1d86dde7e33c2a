"""Give a classifier a new, untrained head for other classes."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from advcli.backend import KerasLayer, KerasModel, keras
from advcli.errors import AdvcliError
from advcli.model.classifier import Classifier
from advcli.model.introspection import called
from advcli.model.load import wrap
from advcli.records.base import Fields

_WHY = "give data with the classes of the model, or save it without its head inside a model of your own"


def with_new_head(classifier: Classifier, labels: Sequence[str]) -> Classifier:
    """Return a copy of a classifier whose last layer with weights is a new one, with an output for each label.

    All other layers keep their weights. One sigmoid for two classes becomes a softmax if there are more.

    Args:
        classifier: the classifier; it cannot be used afterwards.
        labels: the new classes.

    Raises:
        AdvcliError: the last layer with weights is no dense layer or convolution, or the model is a subclass.
    """
    outputs = 1 if classifier.head.single and len(labels) == 2 else len(labels)
    with classifier.head.put_back():
        model = classifier.model
        last = _last_layer(classifier)
        was = 1 if classifier.head.single else len(classifier.labels)
        key = "units" if isinstance(last, keras.layers.Dense) else "filters"
        if not isinstance(last, (keras.layers.Dense, keras.layers.Conv2D)) or getattr(last, key) != was:
            raise _refused(classifier, f"its last layer with weights, '{last.name}', does not return the class scores")
        changes: dict[int, Fields] = {id(last): {key: outputs}}
        removed = classifier.head.removed
        if classifier.head.single and outputs > 1 and classifier.head.activation:
            if removed is None or removed.attribute != "activation":
                raise _refused(classifier, "its sigmoid is no layer of its own")
            changes.setdefault(id(removed.operation), {})["activation"] = "softmax"
        copy = _copied(classifier, changes)
        for old, new in zip(model.variables, copy.variables, strict=True):
            if old.shape == new.shape and not any(old is weight for weight in last.weights):
                new.assign(old)
    height, width = classifier.image_size
    square = height if height == width else None
    found = wrap(copy, classifier.name, labels=labels, input_range=classifier.input_range, image_size=square)
    return replace(found, recipe=classifier.recipe)


def _last_layer(classifier: Classifier) -> KerasModel:
    """Return the layer with weights of its own that is called last."""
    layers = [layer for layer in classifier.model._flatten_layers() if _own_weights(layer)]
    size = (1, *classifier.image_size, classifier.channels)
    with called(layers) as order:
        classifier.model(np.zeros(size, np.float32), training=False)
    return order[-1]


def _own_weights(layer: KerasLayer) -> bool:
    return bool(layer._trainable_variables or layer._non_trainable_variables)


def _copied(classifier: Classifier, changes: dict[int, Fields]) -> KerasModel:
    """Clone a model with changes in the configuration of some layers."""

    def copied(layer: KerasLayer) -> KerasModel:
        if not isinstance(layer, keras.Layer):
            return layer
        return type(layer).from_config(layer.get_config() | changes.get(id(layer), {}))

    if not isinstance(classifier.model, keras.Sequential) and type(classifier.model).__name__ != "Functional":
        raise _refused(classifier, f"its own Python class, '{type(classifier.model).__name__}', determines its layers")
    try:
        return keras.models.clone_model(classifier.model, clone_function=copied, recursive=True)
    except Exception as error:
        raise _refused(classifier, str(error).partition("\n")[0]) from error


def _refused(classifier: Classifier, reason: str) -> AdvcliError:
    return AdvcliError(f"'{classifier.name}' cannot get a new head: {reason}", _WHY)
