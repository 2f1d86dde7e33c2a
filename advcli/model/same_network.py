"""Whether two classifiers are the same network with other weights."""

from collections.abc import Iterator

from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.records.base import Json

# What a layer's configuration says besides what it computes.
_IRRELEVANT = ("name", "trainable", "seed", "build_config", "registered_name", "module")


def refuse_other_network(first: Classifier, other: Classifier) -> None:
    """Refuse two classifiers whose weights mean different things.

    Raises:
        UsageError: they differ in layers, classes, or the input they take; the message says in what.
    """
    hint = "average runs of one network, with the same classes and input"
    compared = {
        "classes": (first.labels, other.labels),
        "image size": (first.image_size, other.image_size),
        "channels": (first.channels, other.channels),
        "input range": (first.input_range, other.input_range),
        "output head": (first.head.name, other.head.name),
    }
    for what, (one, two) in compared.items():
        if one != two:
            shown = _first_difference(one, two) if what == "classes" else f"{one} and {two}"
            raise UsageError(f"'{first.name}' and '{other.name}' differ in their {what}: {shown}", hint)
    layers, others = list(_layers(first)), list(_layers(other))
    for number, ((name, one), (_, two)) in enumerate(zip(layers, others, strict=False)):
        if one != two:
            part = next((key for key in one if one.get(key) != two.get(key)), "its options")
            message = f"layer {number} ('{name}'), {part}: {one.get(part)} and {two.get(part)}"
            raise UsageError(f"'{first.name}' and '{other.name}' are not the same network: {message}", hint)
    if len(layers) != len(others):
        message = f"{len(layers)} and {len(others)} layers"
        raise UsageError(f"'{first.name}' and '{other.name}' are not the same network: {message}", hint)


def _first_difference(one: tuple[str, ...], two: tuple[str, ...]) -> str:
    if len(one) != len(two):
        return f"{len(one)} and {len(two)}"
    number = next(i for i, (label, other) in enumerate(zip(one, two, strict=True)) if label != other)
    return f"class {number} is '{one[number]}' and '{two[number]}'"


def _layers(classifier: Classifier) -> Iterator[tuple[str, dict[str, Json]]]:
    """Yield name and description of each layer that is no model of layers itself."""
    for layer in classifier.model._flatten_layers():
        if hasattr(layer, "layers"):
            continue
        described = {"kind": type(layer).__name__, "weights": [tuple(weight.shape) for weight in layer.weights]}
        yield layer.name, described | _without_names(layer.get_config())


def _without_names(config: Json) -> Json:
    if isinstance(config, dict):
        return {key: _without_names(value) for key, value in config.items() if key not in _IRRELEVANT}
    return [_without_names(value) for value in config] if isinstance(config, list | tuple) else config
