"""The function of a SavedModel that maps a batch of images to scores."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from advcli.backend import Graph, Tensor, tf
from advcli.errors import AdvcliError

_SERVING = "serving_default"


@dataclass(frozen=True)
class Endpoint:
    """A function of a SavedModel that maps one tensor to scores.

    Args:
        name: the name of the signature or attribute.
        function: what is called.
        concrete: its trace for inference.
    """

    name: str
    function: Graph
    concrete: Graph

    @property
    def inputs(self) -> list[Graph]:
        """Return the tensors that it takes, without a flag for training."""
        return [spec for spec in _specs(self.concrete.structured_input_signature) if not _is_flag(spec)]

    @property
    def image(self) -> Graph:
        """Return the tensor that it takes."""
        return self.inputs[0]

    def __call__(self, images: Tensor) -> Graph:
        """Compute one tensor, or a dictionary of several by name."""

        def given(spec: Graph) -> Graph:
            if not isinstance(spec, tf.TypeSpec):
                return spec
            return tf.constant(False) if _is_flag(spec) else images

        args, kwargs = tf.nest.map_structure(given, self.concrete.structured_input_signature)
        return _named(self.function(*args, **kwargs))

    @property
    def outputs(self) -> Graph:
        """Return the type of the result."""
        return _named(self.concrete.structured_outputs)


def choose_endpoint(loaded: Graph, folder: Path) -> Endpoint:
    """Return the endpoint that maps images to scores.

    It is the one that Keras exports, else the signature for serving, else the only one, else the object itself.

    Args:
        loaded: the SavedModel.
        folder: its name in messages.

    Raises:
        AdvcliError: none of them maps one image to scores, or there are several signatures and none of these.
    """
    endpoints = list(_endpoints(loaded))
    if not endpoints:
        hint = "save the model with model.export(folder), or with a tf.function of one image batch as a signature"
        raise AdvcliError(f"SavedModel '{folder}' contains no signature and no function to call", hint)
    signatures = [one for one in endpoints if one.name in loaded.signatures]
    order = ["serve", _SERVING, *(one.name for one in signatures if len(signatures) == 1), "__call__"]
    preferred = sorted((one for one in endpoints if one.name in order), key=lambda one: order.index(one.name))
    if not preferred:
        message = f"SavedModel '{folder}' has no signature '{_SERVING}', and several others: {_list(endpoints)}"
        raise AdvcliError(message, f"save it again with one signature, '{_SERVING}'")
    usable = [one for one in preferred if _takes_images(one)]
    if not usable:
        raise _unusable(preferred[0], endpoints, folder)
    return usable[0]


def _endpoints(loaded: Graph) -> Iterator[Endpoint]:
    """List what can be called: attributes first, whose results are as the model wrote them."""
    for name in ("serve", "__call__"):
        function = getattr(loaded, name, None)
        traces = [one for one in getattr(function, "concrete_functions", ()) if not _is_training(one)]
        if traces:
            # The trace that says training=False is preferred to one that leaves it open.
            yield Endpoint(name, function, max(traces, key=_says_inference))
    for name, function in loaded.signatures.items():
        yield Endpoint(name, function, function)


def _leaves(concrete: Graph) -> list[Graph]:
    return tf.nest.flatten(concrete.structured_input_signature)


def _is_training(concrete: Graph) -> bool:
    return any(leaf is True for leaf in _leaves(concrete))


def _says_inference(concrete: Graph) -> bool:
    return any(leaf is False for leaf in _leaves(concrete))


def _specs(structure: Graph) -> list[Graph]:
    return [leaf for leaf in tf.nest.flatten(structure) if isinstance(leaf, tf.TypeSpec)]


def _is_flag(spec: Graph) -> bool:
    return spec.dtype == tf.bool and spec.shape.rank == 0


def _takes_images(endpoint: Endpoint) -> bool:
    if len(endpoint.inputs) != 1 or not isinstance(endpoint.image, tf.TensorSpec):
        return False
    shape = endpoint.image.shape
    is_number = endpoint.image.dtype.is_floating or endpoint.image.dtype.is_integer
    return is_number and (shape.rank is None or (shape.rank == 4 and shape[0] is None))


def _unusable(endpoint: Endpoint, endpoints: list[Endpoint], folder: Path) -> AdvcliError:
    what = f"endpoint '{endpoint.name}' of SavedModel '{folder}'"
    if len(endpoint.inputs) > 1:
        names = ", ".join(f"'{spec.name}'" for spec in endpoint.inputs)
        return AdvcliError(
            f"{what} has {len(endpoint.inputs)} inputs: {names}", "advcli needs a model with one image as its input"
        )
    if endpoint.inputs and endpoint.image.dtype == tf.string:
        return AdvcliError(
            f"{what} takes encoded files or examples (string)", "save it with a signature that takes pixels"
        )
    if endpoint.inputs and endpoint.image.shape.rank == 4:
        hint = "save it with an input shape whose first number is None"
        return AdvcliError(f"{what} takes batches of {endpoint.image.shape[0]} images only", hint)
    return AdvcliError(
        f"{what} does not take a batch of images: {_list(endpoints)}",
        "save it for a batch of the shape (None, height, width, 3)",
    )


def _list(endpoints: list[Endpoint]) -> str:
    """Describe endpoints: name and inputs of each."""

    def described(one: Endpoint) -> str:
        return ", ".join(f"{spec.dtype.name} {spec.shape}" for spec in one.inputs)

    return "; ".join(f"'{one.name}' takes {described(one) or 'nothing'}" for one in endpoints)


def _named(outputs: Graph) -> Graph:
    """Return one tensor as it is, several by name."""
    if isinstance(outputs, dict):
        flat = dict(outputs)
    else:
        flat = {f"output_{i}": output for i, output in enumerate(tf.nest.flatten(outputs))}
    return next(iter(flat.values())) if len(flat) == 1 else flat
