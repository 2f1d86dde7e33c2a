"""Read a SavedModel folder as a Keras model of one layer, with gradients."""

import hashlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

from advcli.backend import Graph, Tensor, keras, tf
from advcli.errors import AdvcliError
from advcli.files.bounded import refuse_special
from advcli.model import graph_safety
from advcli.model.final_activation import final_activation
from advcli.model.saved_model_endpoint import Endpoint, choose_endpoint

_FILES = ("saved_model.pb", "saved_model.pbtxt")


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
    return _model(choose_endpoint(loaded, source or folder), loaded, digest(source or folder))


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
