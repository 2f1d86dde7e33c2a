"""Lazy imports of TensorFlow and Keras, with their messages suppressed: the only file that imports them.

Importing TensorFlow takes seconds and writes to standard error at every log level. It is therefore delayed until the
first use, and file descriptor 2 is captured meanwhile.
"""

import contextlib
import importlib
import os
import platform
import sys
import tempfile
import types
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from advcli.errors import AdvcliError

# Warnings of Keras and tf-keras-vis about their own code, which a user cannot fix.
_CHATTER = (
    r"The structure of `inputs` doesn't match the expected structure",
    r"When providing `inputs` as a dict",
    r"Please import `.*` from the `scipy",
    r"The `tf_keras_vis\..*` module is deprecated",
    r"Do not pass an `input_shape`/`input_dim` argument to a layer",
    r"`build\(\)` was called on layer",
    r".*np\.object",
)


# Where oneDNN is up to twice as fast; by itself TensorFlow uses it only if the processor has AVX-512.
_X86 = ("x86_64", "amd64")

# Optional imports of Keras for plots and wrappers that advcli does not use; they take a second.
_UNUSED = ("matplotlib", "sklearn")


@contextlib.contextmanager
def _left_out(names: Sequence[str]) -> Iterator[None]:
    """Make imports of these modules fail, except for modules that are already imported."""
    absent = [name for name in names if name not in sys.modules]
    modules: dict[str, Any] = sys.modules
    modules.update(dict.fromkeys(absent))
    try:
        yield
    finally:
        for name in absent:
            modules.pop(name, None)


@contextlib.contextmanager
def held_back() -> Iterator[None]:
    """Capture the output to file descriptor 2; write it only if the block fails."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as chatter:
        os.dup2(chatter.fileno(), 2)
        try:
            yield
        except Exception:
            os.dup2(kept, 2)
            chatter.seek(0)
            os.write(2, chatter.read())
            raise
        finally:
            os.dup2(kept, 2)
            os.close(kept)


class _Lazy:
    """A module that is imported at the first access to an attribute."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        module = sys.modules.get(self._name)
        if module is None or not hasattr(module, attribute):
            module = _import(self._name)
        return getattr(module, attribute)


def _import(name: str) -> Any:
    os.environ["KERAS_BACKEND"] = "tensorflow"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if platform.machine().lower() in _X86:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    for message in _CHATTER:
        warnings.filterwarnings("ignore", message=message)
    with held_back(), _left_out(_UNUSED):
        module = importlib.import_module(name)
        import tensorflow

        tensorflow.get_logger().setLevel("ERROR")
        from absl import logging

        logging.set_verbosity(logging.ERROR)
    return module


# Not typed as their modules: the stubs of TensorFlow and the annotations of Keras reject many correct calls.
tf: Any = _Lazy("tensorflow")
keras: Any = _Lazy("keras")

if TYPE_CHECKING:
    import numpy as np

    # Not the stubs' tf.Tensor, which lacks operators and whose every dimension may be None.
    class Tensor:
        """A tensor of TensorFlow: eager, symbolic or a variable."""

        shape: Any
        dtype: Any
        name: str
        value_index: int
        ndim: int
        op: Any
        graph: Any

        def __add__(self, other: object) -> "Tensor": ...

        __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = __add__
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = __add__
        __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __lt__ = __le__ = __gt__ = __ge__ = __add__
        __getitem__ = __add__

        def __neg__(self) -> "Tensor": ...

        __invert__ = __abs__ = __neg__

        def __array__(self) -> np.ndarray: ...

        numpy = __array__

        def __len__(self) -> int: ...
        def __iter__(self) -> "Iterator[Tensor]": ...
        def __int__(self) -> int: ...
        def __float__(self) -> float: ...
        def __bool__(self) -> bool: ...

    ArrayLike = Tensor | np.ndarray
else:
    Tensor = ArrayLike = Any

# Keras annotates few attributes of its layers and none of its optimizers; these names document what a value is.
KerasModel = Any
KerasLayer = Any
Variable = Any
Optimizer = Any
Strategy = Any
# A structure for tf.nest: a tensor, or tuples, lists and dictionaries of tensors.
Nest = Any
# A graph of TensorFlow, its functions, nodes and descriptions.
Graph = Any
# The result of tf.function.
TracedFunction = Callable[..., Any]


def neural_structured_learning() -> Any:
    """Import neural-structured-learning.

    Version 1.4.0 imports ``tensorflow.estimator``, which was removed in TensorFlow 2.16. The parts that advcli uses do
    not need that module, so an empty module replaces it during the import.
    """
    if "neural_structured_learning" not in sys.modules:
        tensorflow: Any = importlib.import_module("tensorflow") if tf.__version__ else None
        placeholder: Any = types.ModuleType("tensorflow.estimator")
        placeholder.__getattr__ = lambda name: type(name, (), {})
        sys.modules["tensorflow.estimator"] = tensorflow.estimator = placeholder
        try:
            with held_back():
                importlib.import_module("neural_structured_learning")
        finally:
            del tensorflow.estimator, sys.modules["tensorflow.estimator"]
    return sys.modules["neural_structured_learning"]


def registered_gradients() -> dict[str, dict[str, Callable[..., Nest]]]:
    """Return TensorFlow's own registry of gradients of graphs, by name and field, where it can be reached."""
    registry: Any = importlib.import_module("tensorflow.python.framework.ops").gradient_registry
    return getattr(registry, "_registry", {})


def saved_model_proto(folder: Path) -> Graph:
    """Parse the graph of a SavedModel, and run nothing of it.

    Raises:
        AdvcliError: the file is damaged.
    """
    _import("tensorflow")
    parser: Graph = importlib.import_module("tensorflow.python.saved_model.loader_impl")
    try:
        return parser.parse_saved_model(str(folder))
    except Exception as error:
        raise AdvcliError(f"the graph of SavedModel '{folder}' is damaged", "copy or save it again") from error
