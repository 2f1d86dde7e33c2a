"""Build a Keras 3 model of the configuration and the weights in an .h5 file of Keras 2.

Every weight of the file is used once, at its place: the layer, the name and the shape agree. Anything for which no
equal in Keras 3 is known is refused.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np

from advcli.backend import KerasLayer, Nest, Tensor, keras
from advcli.files.bounded import parse_json
from advcli.model import keras2_functions, keras2_layers
from advcli.model.keras2_functions import Unknown
from advcli.records.base import Json

_MODELS = ("Functional", "Model", "Sequential")
# Weights of DepthwiseConv2D and of LayerScale.
_OTHER_NAMES = {"depthwise_kernel": "kernel", "gamma": "variable"}
_CALLS = ("TFOpLambda", "SlicingOpLambda")


def configuration(path: Path) -> dict[str, Json] | None:
    """Return the configuration of the model in an .h5 file of Keras 2; None if it is another file."""
    return _stored(path, newest=2)


def stored_configuration(path: Path) -> dict[str, Json] | None:
    """Return the configuration of the model in an .h5 file of any Keras; None if it is another file."""
    return _stored(path, newest=1000)


def _stored(path: Path, newest: int) -> dict[str, Json] | None:
    try:
        with h5py.File(path) as file:
            version, config = file.attrs.get("keras_version"), file.attrs.get("model_config")
        if version is None or config is None or int(_text(version).partition(".")[0]) > newest:
            return None
        return parse_json(_text(config))
    except (OSError, RuntimeError, ValueError):
        # A damaged file: the reader of Keras 3 says what is wrong.
        return None


def _text(value: Json) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)


def build_model(config: Mapping[str, Json], path: Path) -> KerasLayer:
    """Build the model of a configuration, with the weights of a file.

    Raises:
        Unknown: something in it has no known equal in Keras 3, or its weights do not fit.
    """
    parts: dict[str, KerasLayer] = {}
    try:
        model = _model(config, parts)
        with h5py.File(path) as file:
            _load(file["model_weights"], parts)
    except (KeyError, IndexError, TypeError, ValueError) as error:
        raise Unknown(f"a part that does not fit: {str(error).partition(chr(10))[0][:200]}") from error
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.Normalization):
            layer.finalize_state()
    return model


def _model(config: Mapping[str, Json], parts: dict[str, KerasLayer]) -> KerasLayer:
    """Build a model, nested ones too; the layers of the outermost are added to ``parts`` by their name in the file."""
    kind, inside = config["class_name"], config["config"]
    if kind == "Sequential":
        return _sequential(inside, parts)
    if kind not in _MODELS:
        raise Unknown(f"the model class '{kind}'")
    return _functional(inside, parts)


def _layer(config: Mapping[str, Json]) -> KerasLayer:
    if config["class_name"] in _MODELS:
        return _model(config, {})
    return keras2_layers.layer(config["class_name"], config["config"])


def _input(config: Mapping[str, Json]) -> KerasLayer:
    shape = config.get("batch_input_shape") or config["batch_shape"]
    return keras.Input(batch_shape=tuple(shape), dtype=config.get("dtype") or "float32")


def _sequential(inside: Json, parts: dict[str, KerasLayer]) -> KerasLayer:
    # Before Keras 2.2.3 the configuration was the list of the layers.
    layers = inside if isinstance(inside, list) else inside["layers"]
    first = layers[0]
    start = _first_input(first)
    if start is None:
        raise Unknown("a Sequential model without the shape of its input")
    image = tensor = _input(start)
    for one in layers:
        if one["class_name"] != "InputLayer":
            parts[_name(one)] = _layer(one)
            tensor = parts[_name(one)](tensor)
    name = inside.get("name") if isinstance(inside, dict) else None
    return keras.Model(image, tensor, name=name and name.replace("/", "_"))


def _first_input(first: Mapping[str, Json]) -> Mapping[str, Json] | None:
    """Return the configuration that holds the input shape of a Sequential model."""
    if first["class_name"] in _MODELS:
        inside = first["config"]
        return _first_input((inside if isinstance(inside, list) else inside["layers"])[0])
    config = first["config"]
    return config if config.get("batch_input_shape") or config.get("batch_shape") else None


def _name(config: Mapping[str, Json]) -> str:
    inside = config["config"]
    return config.get("name") or (inside["name"] if isinstance(inside, dict) else config["class_name"].lower())


def _functional(inside: Mapping[str, Json], parts: dict[str, KerasLayer]) -> KerasLayer:
    configs = {config["name"]: config for config in inside["layers"]}
    firsts = _first_nodes(inside, configs)
    outputs: dict[tuple[str, int], Tensor] = {}

    def tensor(reference: Sequence[Json]) -> KerasLayer:
        name, node, index = reference[:3]
        if (name, node) not in outputs:
            compute(name, node)
        found = outputs[name, node]
        return found[index] if isinstance(found, list | tuple) else found

    def resolved(value: Json) -> KerasLayer:
        if _is_reference(value, configs):
            return tensor(value)
        if isinstance(value, list):
            return [resolved(one) for one in value]
        return {key: resolved(one) for key, one in value.items()} if isinstance(value, dict) else value

    def compute(name: str, node: int) -> None:
        config = configs[name]
        kind = config["class_name"]
        if kind == "InputLayer":
            outputs[name, node] = _input(config["config"])
            return
        inbound = config["inbound_nodes"][node - firsts[name]]
        arguments = _arguments(inbound)
        first = _first(inbound, resolved, kind in _CALLS)
        given = {key: resolved(value) for key, value in arguments.items()}
        if kind == "TFOpLambda":
            result = keras2_functions.call(config["config"]["function"], first, given)
            outputs[name, node] = _renamed(result, name, node)
        elif kind == "SlicingOpLambda":
            outputs[name, node] = _renamed(keras2_functions.sliced(first, given["slice_spec"]), name, node)
        else:
            layer = parts[name] if name in parts else parts.setdefault(name, _layer(config))
            outputs[name, node] = layer(first, **{key: value for key, value in given.items() if value is not None})

    # In the order of the file a layer mostly follows its inputs.
    for name, config in configs.items():
        for node in range(len(config["inbound_nodes"])):
            if (name, firsts[name] + node) not in outputs:
                compute(name, firsts[name] + node)
    images = [tensor(reference) for reference in _references(inside["input_layers"])]
    results = [tensor(reference) for reference in _references(inside["output_layers"])]
    name = inside.get("name")
    return keras.Model(_only(images), _only(results), name=name and name.replace("/", "_"))


def _renamed(outputs: Nest, name: str, node: int) -> KerasLayer:
    """Name an operation as the file does: Keras' own names may be those of layers."""
    for output in outputs if isinstance(outputs, list | tuple) else [outputs]:
        output._keras_history.operation.name = f"{name}_{node}" if node else name
    return outputs


def _only(tensors: list[Tensor]) -> KerasLayer:
    return tensors[0] if len(tensors) == 1 else tensors


def _references(value: Json) -> list[KerasLayer]:
    return [value] if value and isinstance(value[0], str) else list(value)


def _is_reference(value: Json, configs: Mapping[str, Json]) -> bool:
    if not (isinstance(value, list) and len(value) in (3, 4) and isinstance(value[0], str)):
        return False
    return value[0] in configs and isinstance(value[1], int) and isinstance(value[2], int)


def _first_nodes(inside: Mapping[str, Json], configs: Mapping[str, Json]) -> dict[str, int]:
    """Return the number of each layer's first call: 1 for a nested model that was called when it was made, else 0."""
    used: dict[str, set[int]] = {name: set() for name in configs}

    def look(value: Json) -> None:
        if _is_reference(value, configs):
            used[value[0]].add(value[1])
        for one in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
            look(one)

    look([inside["output_layers"], [config["inbound_nodes"] for config in configs.values()]])
    return {name: min(nodes, default=0) for name, nodes in used.items()}


def _arguments(inbound: Json) -> dict[str, Json]:
    """Return the keyword arguments of a call: they are listed with each of its tensors."""
    while isinstance(inbound, list) and inbound and isinstance(inbound[0], list):
        inbound = inbound[0]
    return inbound[3] if len(inbound) > 3 else {}


def _first(inbound: Json, resolved: Json, keep: bool) -> KerasLayer:
    """Return the first argument of a call: a tensor, a constant or a list of them."""
    if isinstance(inbound[0], str):
        return inbound[2] if inbound[0] == "_CONSTANT_VALUE" else resolved(inbound[:3])
    given = [_first(one, resolved, keep) for one in inbound]
    return given if keep or len(given) > 1 else given[0]


def _load(group: KerasLayer, parts: Mapping[str, KerasLayer]) -> None:
    """Assign the weights of a file.

    Raises:
        Unknown: a layer, name or shape differs.
    """
    left = {name: _weights(part) for name, part in parts.items()}
    for name in map(_text, group.attrs["layer_names"]):
        names = [_text(one) for one in _attribute(group[name], "weight_names")]
        own = left.pop(name, [])
        if len(own) != len(names):
            raise Unknown(f"{len(names)} weights of the layer '{name}', of which Keras 3 has {len(own)}")
        for variable, saved in zip(own, names, strict=True):
            values = np.asarray(group[name][saved])
            if tuple(variable.shape) != values.shape or not _same_name(variable.name, saved):
                raise Unknown(f"the weight '{saved}', where Keras 3 has '{variable.path}'")
            variable.assign(values)
    missing = [name for name, own in left.items() if own]
    if missing:
        raise Unknown(f"the layer '{missing[0]}', of which the file has no weights")


def _attribute(group: KerasLayer, name: str) -> Iterator[Json]:
    """Yield an attribute that Keras splits into several where it is long."""
    if name in group.attrs:
        yield from group.attrs[name]
    chunk = 0
    while f"{name}{chunk}" in group.attrs:
        yield from group.attrs[f"{name}{chunk}"]
        chunk += 1


def _weights(part: KerasLayer) -> list[KerasLayer]:
    return [*part.trainable_weights, *part.non_trainable_weights]


def _same_name(own: str, saved: str) -> bool:
    """Return whether the names of a weight agree: ``kernel`` and ``block/conv/kernel:0``."""
    last = saved.rpartition("/")[2].partition(":")[0].rstrip("_0123456789")
    return own.rstrip("_0123456789") in (last, _OTHER_NAMES.get(last))
