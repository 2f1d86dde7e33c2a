"""Read a model from a Keras file, or say clearly what keeps it from being read."""

import importlib
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from advcli.backend import keras
from advcli.errors import AdvcliError

_HDF5 = b"\x89HDF\r\n\x1a\n"
_WHOLE_MODEL = "give a Keras 3 .keras file or a legacy .h5 file of a whole model"


def read(path: Path, *, unsafe: bool = False) -> Any:
    """Read a model from a .keras or .h5 file.

    Args:
        path: the file.
        unsafe: whether Python code may run: what the file holds (a Lambda layer), and the modules
            on the Python path that a .keras file names as the homes of its own classes.

    Raises:
        AdvcliError: the file holds no model that can be used.
    """
    _check_kind(path)
    # First of all, or else the module of somebody's classes imports Keras, and not quietly.
    load = keras.models.load_model
    classes = _own_classes(path) if unsafe and zipfile.is_zipfile(path) else {}
    try:
        model = load(path, custom_objects=classes, compile=False, safe_mode=not unsafe)
    except Exception as error:
        raise _explained(error, path, unsafe) from error
    if not getattr(model, "built", True):
        raise AdvcliError(f"model '{path}' has no weights", "call the model on an image once before saving it")
    return model


def first_line(error: Exception | str) -> str:
    """Return what an error says first, without the whole configuration that Keras adds."""
    text = str(error.args[0] if isinstance(error, KeyError) else error).partition("Full object config")[0]
    lines = [re.sub(r"\x1b\[\d*m", "", line).strip() for line in text.splitlines()]
    said = (line for line in lines if line and not line.startswith("Exception encountered when calling"))
    return next(said, type(error).__name__)[:300]


def _check_kind(path: Path) -> None:
    if path.is_dir():
        hint = "Keras 3 reads no SavedModel folder: save the model as a .keras file"
        raise AdvcliError(f"'{path}' is a folder, not a model file", hint)
    try:
        with path.open("rb") as file:
            start = file.read(len(_HDF5))
    except OSError as error:
        raise AdvcliError(f"cannot read model '{path}': {error.strerror or error}") from error
    endings = (".keras",) if zipfile.is_zipfile(path) else (".h5", ".hdf5") if start == _HDF5 else ()
    if not endings:
        raise AdvcliError(f"'{path}' is no Keras model, or only a part of one", _WHOLE_MODEL)
    if not path.name.endswith(endings):
        raise AdvcliError(f"'{path}' has not the ending of what it is", f"rename it to '{path.stem}{endings[0]}'")


def _own_classes(path: Path) -> dict[str, Any]:
    """Import the classes and functions that a .keras file names; Keras itself does not."""
    found = {}
    for module, name, registered in _named(_member(path, "config.json")):
        try:
            found[registered] = getattr(importlib.import_module(module), name, None)
        except Exception as error:
            message = f"model '{path}' needs '{name}' of the Python module '{module}': {first_line(error)}"
            raise AdvcliError(message, f"put the folder of {module} on PYTHONPATH") from error
    return {name: value for name, value in found.items() if value is not None}


def _named(config: Any) -> Iterator[tuple[str, str, str]]:
    """Find the objects that are not Keras' own in a configuration: module, name, registered name."""
    if isinstance(config, list):
        for item in config:
            yield from _named(item)
    elif isinstance(config, dict):
        module, name = config.get("module"), config.get("class_name")
        if isinstance(module, str) and isinstance(name, str) and module.partition(".")[0] not in ("keras", "builtins"):
            yield module, name, config.get("registered_name") or name
        for key, value in config.items():
            # A loss of one's own matters for training only.
            if key != "compile_config":
                yield from _named(value)


def _member(path: Path, name: str) -> Any:
    """Read a JSON member of a .keras file; None if there is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            return json.loads(archive.read(name))
    except (zipfile.BadZipFile, KeyError, ValueError):
        return None


def _explained(error: Exception, path: Path, unsafe: bool) -> AdvcliError:
    text = str(error)
    missing = re.search(r"(?:Could not (?:locate|deserialize) \w+|Unknown [\w ]+:) '([^']+)'", text)
    if "is a Python lambda" in text and not unsafe:
        message, hint = "it contains Python code (a Lambda layer)", "if you trust the file, give --unsafe-load"
    elif missing:
        message = f"it needs the Python class or function '{missing[1]}'"
        homes = [module for module, name, _ in _named(_member(path, "config.json")) if name == missing[1]]
        if homes and homes[0] != "__main__" and not unsafe:
            hint = f"if you trust it, put the folder of {homes[0]} on PYTHONPATH and give --unsafe-load"
        else:
            # An .h5 file names no modules, and no file names those of functions.
            hint = "save the model as .keras, with what is not Keras' own as classes that are imported from a module"
    elif "No model config found" in text:
        message, hint = "it holds weights only", "save the whole model, or give a backbone with --weights FILE"
    else:
        # Keras wraps what went wrong into one message for every level of nesting.
        message = first_line(text.rpartition("Exception encountered: ")[2] or type(error).__name__)
        version = (_member(path, "metadata.json") or {}).get("keras_version", keras.__version__)
        hint = _WHOLE_MODEL
        if version != keras.__version__:
            hint += f"; this one was saved by Keras {version}, here is {keras.__version__}"
    return AdvcliError(f"cannot load model '{path}': {message}", hint)
