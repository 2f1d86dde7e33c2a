"""Read a SavedModel folder as a Keras model of one layer, with gradients."""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from advcli.backend import Graph, Tensor, keras, tf
from advcli.errors import AdvcliError
from advcli.files.bounded import refuse_special
from advcli.model import graph_safety
from advcli.model.final_activation import final_activation

_FILES = ("saved_model.pb", "saved_model.pbtxt")
_SERVING = "serving_default"


def is_saved_model(path: Path) -> bool:
    """Return whether a path is a SavedModel folder."""
    return any((path / name).is_file() for name in _FILES)


def digest(folder: Path) -> str:
    """Return a hash of a file, or of all files of a folder."""
    total = hashlib.sha256()
    files = [folder] if folder.is_file() else [path for path in folder.rglob("*") if path.is_file()]
    for path in sorted(files):
        total.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            total.update(hashlib.file_digest(file, "sha256").digest())
    return total.hexdigest()[:16]


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


def read(folder: Path, *, unsafe: bool = False, source: Path | None = None) -> Graph:
    """Read a SavedModel as a Keras model; several outputs are a dictionary by name.

    The endpoint is the one that Keras exports, else the signature for serving, else the only one, else the object
    itself, called with ``training=False``.

    Args:
        folder: the SavedModel.
        unsafe: whether operations may run that read or write files, or run Python code.
        source: the file that the folder was made of, named in messages; None if it is the model itself.

    Raises:
        AdvcliError: the folder contains no SavedModel that maps one image to scores.
    """
    for file in folder.rglob("*"):
        refuse_special(file)
    if not unsafe:
        graph_safety.check(folder)
    try:
        loaded = tf.saved_model.load(str(folder))
    except Exception as error:
        message = f"cannot load SavedModel '{folder}': {_reason(error)}"
        raise AdvcliError(
            message, f"it must have been saved whole; the installed TensorFlow is {tf.__version__}"
        ) from error
    return _model(_chosen(loaded, source or folder), loaded, digest(source or folder))


def _chosen(loaded: Graph, folder: Path) -> Endpoint:
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


def _model(endpoint: Endpoint, loaded: Graph, fingerprint: str) -> Graph:
    shape = endpoint.image.shape
    # A model of unknown rank is one of any size.
    shape = (None, None, 3) if shape.rank is None else tuple(shape[1:])
    image = keras.Input(shape, dtype=endpoint.image.dtype.name, name="image")
    return keras.Model(image, _layer_class()(endpoint, loaded, fingerprint)(image))


@cache
def _layer_class() -> Graph:
    """Define the layer at its first use: it needs Keras."""

    class SavedModelLayer(keras.Layer):
        """An endpoint of a SavedModel as a layer; what it consists of stays hidden."""

        def __init__(self, endpoint: Endpoint, loaded: Graph, fingerprint: str) -> None:
            super().__init__(autocast=False, name="saved_model")
            # Keras would track a loaded object's lists and dictionaries.
            self._hold: Callable[[], tuple[Endpoint, Graph]] = lambda: (endpoint, loaded)
            self.fingerprint = fingerprint
            final = final_activation(endpoint.concrete)
            # The output head replaces it by the linear activation.
            self.activation = final and final.function
            self._without_activation = final and final.without
            self.built = True

        @property
        def variables(self) -> list[Graph]:
            """Return the variables of the SavedModel, which are TensorFlow's."""
            return list(self._hold()[0].concrete.variables)

        def call(self, inputs: Tensor, training: bool = False) -> Graph:
            if self._without_activation is not None and self.activation is keras.activations.linear:
                return self._without_activation(inputs)
            return self._hold()[0](inputs)

        def compute_output_spec(self, inputs: Graph, training: bool = False) -> Graph:
            return tf.nest.map_structure(
                lambda spec: keras.KerasTensor(_shape(spec), dtype=spec.dtype.name), self._hold()[0].outputs
            )

    return SavedModelLayer


def _shape(spec: Graph) -> tuple[int | None, ...]:
    return (None, None) if spec.shape.rank is None else (None, *spec.shape[1:])


def hides_layers(layers: list[Graph]) -> bool:
    """Return whether a SavedModel is among some layers."""
    return any(isinstance(layer, (_layer_class(), keras.layers.TFSMLayer)) for layer in layers)


def fingerprints(layers: list[Graph]) -> list[str]:
    """Return the hashes of the SavedModels among some layers."""
    folders = [layer.filepath for layer in layers if isinstance(layer, keras.layers.TFSMLayer)]
    own = [layer.fingerprint for layer in layers if isinstance(layer, _layer_class())]
    return own + [digest(Path(folder)) for folder in folders]


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines or [type(error).__name__])[0][:300]
