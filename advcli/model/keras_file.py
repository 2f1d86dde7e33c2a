"""Read a model from a Keras file, with clear errors for files that cannot be read."""

import errno
import importlib
import logging
import re
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from advcli.backend import KerasLayer, KerasModel, keras
from advcli.errors import AdvcliError, first_line
from advcli.files.archives import Archive
from advcli.files.bounded import TEXT, open_file, parse_json
from advcli.files.hdf5 import check_hdf5
from advcli.files.wrong_kind import refuse_other_kind
from advcli.model import keras2_functions, keras2_layers, keras2_model, keras2_process, saved_model
from advcli.model.named_code import reaching_name
from advcli.model.variable_limit import limited_variables
from advcli.records.base import Json

log = logging.getLogger(__name__)

_CONFIG = "config.json"
_HDF5 = b"\x89HDF\r\n\x1a\n"
# Keras unpacks the weights into a temporary file.
_UNWRITABLE = (errno.ENOSPC, errno.EFBIG, errno.EDQUOT, errno.EROFS)
_TRUST = "if you trust the file, give --unsafe-load"
_WHOLE_MODEL = "give a Keras 3 .keras file or a legacy .h5 file of a whole model"


def read(path: Path, *, unsafe: bool = False) -> KerasModel:
    """Read a model from a .keras or .h5 file, or a SavedModel folder.

    Args:
        path: the file or folder.
        unsafe: whether Python code may run: Lambda layers in the file, and the modules on the Python path that a
        .keras file names for its custom classes.

    Raises:
        AdvcliError: the file contains no usable model.
    """
    if saved_model.is_saved_model(path):
        return saved_model.read(path, unsafe=unsafe)
    stored = _check_kind(path)
    old = keras2_model.configuration(path)
    with limited_variables(path, stored):
        return _read_keras_3(path, unsafe) if old is None else _read_keras_2(old, path, unsafe)


def _read_keras_2(config: Mapping[str, Json], path: Path, unsafe: bool) -> KerasLayer:
    """Read an .h5 file of Keras 2: built with the layers of Keras 3, or by Keras 2 itself in a second process."""
    code = keras2_layers.code_in(config)
    if code and not unsafe:
        raise AdvcliError(f"cannot load model '{path}': it contains {code}", _trusting(_TRUST, config))
    try:
        return keras2_model.build_model(config, path)
    except keras2_functions.Unknown as error:
        unknown = str(error)
    if not keras2_process.is_available():
        if code:
            return _read_keras_3(path, unsafe)
        message = f"cannot load model '{path}': it was saved by Keras 2 and has {unknown}, unknown to Keras 3"
        hint = f"{keras2_process.INSTALL}: advcli then reads the file by Keras 2, in another process"
        raise AdvcliError(message, hint)
    log.info("'%s' has %s, unknown to Keras 3: tf-keras reads it in a second process", path, unknown)
    try:
        with keras2_process.exported(path) as folder:
            return saved_model.read(folder, unsafe=unsafe, source=path)
    except keras2_process.Keras2Error as error:
        message = f"cannot load model '{path}': it has {unknown}, and Keras 2 cannot read it: {first_line(error)}"
        hint = "save it as a SavedModel, with model.export(folder) or model.save(folder), where its code is"
        raise AdvcliError(message, hint) from error


def _read_keras_3(path: Path, unsafe: bool) -> KerasLayer:
    _check_saved_models(path, unsafe)
    # Import Keras first, with its messages suppressed; else a module of custom classes imports it.
    load = keras.models.load_model
    classes = _own_classes(path) if unsafe and zipfile.is_zipfile(path) else {}
    try:
        model = load(path, custom_objects=classes, compile=False, safe_mode=not unsafe)
    except Exception as error:
        raise _explained(error, path, unsafe) from error
    if not getattr(model, "built", True):
        raise AdvcliError(f"model '{path}' has no weights", "call the model on an image once before saving it")
    return model


def _check_kind(path: Path) -> int:
    """Refuse what is no Keras file; return the bytes of the arrays of one."""
    refuse_other_kind(path, ("model",), "a Keras model", _WHOLE_MODEL)
    with open_file(path, 1 << 62) as file:
        start = file.read(len(_HDF5))
    endings = (".keras",) if zipfile.is_zipfile(path) else (".h5", ".hdf5") if start == _HDF5 else ()
    if not endings:
        raise AdvcliError(f"'{path}' is not a Keras model, or is incomplete", _WHOLE_MODEL)
    if not path.name.endswith(endings):
        raise AdvcliError(
            f"the suffix of '{path}' does not match its format", f"rename it to '{path.stem}{endings[0]}'"
        )
    return check_hdf5(path, str(path)) if start == _HDF5 else _check_archive(path)


def _check_archive(path: Path) -> int:
    """Refuse a .keras file that unpacks to much more than it is; return the bytes of its arrays.

    Raises:
        AdvcliError: it is such a file.
    """
    with Archive(path) as archive:
        archive.check()
        if _CONFIG in archive.names:
            archive.read(_CONFIG, TEXT)
        stored = 0
        for name in archive.names:
            if name.endswith((".h5", ".hdf5")):
                stored += check_hdf5(archive.random_access(name), f"{path}: {name}")
            elif name.endswith(".npz"):
                with Archive(path / name, archive.random_access(name)) as inner:
                    inner.check()
                    stored += sum(map(inner.size, inner.names))
    return stored


def _check_saved_models(path: Path, unsafe: bool) -> None:
    """Check the SavedModel folders that the TFSMLayers of a .keras file name; they are not in the file.

    Raises:
        AdvcliError: a folder is missing, or may not be loaded.
    """
    for folder in _saved_models_in(_member(path, _CONFIG)):
        inside = f"cannot load model '{path}': its TFSMLayer reads the SavedModel '{folder}'"
        if not saved_model.is_saved_model(Path(folder)):
            beside = saved_model.is_saved_model(path.parent / folder)
            start = (
                f"run advcli in the folder '{path.parent}'" if beside else "run advcli in the folder that contains it"
            )
            # Keras stores the path as it was given, so that a relative one depends on the working directory.
            raise AdvcliError(f"{inside}, which is not there", start)
        if not unsafe:
            hint = f"if you trust both, give --unsafe-load; or give the SavedModel itself: --model {folder}"
            raise AdvcliError(f"{inside}, which can contain code", _trusting(hint, _member(path, _CONFIG)))


def _saved_models_in(config: Json) -> Iterator[str]:
    if isinstance(config, list):
        for item in config:
            yield from _saved_models_in(item)
    elif isinstance(config, dict):
        if config.get("class_name") == "TFSMLayer" and isinstance(config.get("config"), dict):
            yield str(config["config"].get("filepath"))
        yield from _saved_models_in(list(config.values()))


def _own_classes(path: Path) -> dict[str, object]:
    """Import the custom classes and functions that a .keras file names; Keras does not import them."""
    found = {}
    for module, name, registered in _named(_member(path, _CONFIG)):
        try:
            found[registered] = getattr(importlib.import_module(module), name, None)
        except Exception as error:
            message = f"model '{path}' needs '{name}' of the Python module '{module}': {first_line(error)}"
            raise AdvcliError(message, f"put the folder of {module} on PYTHONPATH") from error
    return {name: value for name, value in found.items() if value is not None}


def _named(config: Json) -> Iterator[tuple[str, str, str]]:
    """Yield the custom objects in a configuration: module, name, registered name."""
    if isinstance(config, list):
        for item in config:
            yield from _named(item)
    elif isinstance(config, dict):
        module, name = config.get("module"), config.get("class_name")
        if isinstance(module, str) and isinstance(name, str) and module.partition(".")[0] not in ("keras", "builtins"):
            yield module, name, config.get("registered_name") or name
        for key, value in config.items():
            # A custom loss matters for training only.
            if key != "compile_config":
                yield from _named(value)


def _member(path: Path, name: str) -> Json:
    """Read a JSON member of a .keras file; None if there is none."""
    try:
        with Archive(path) as archive:
            return parse_json(archive.read(name, TEXT))
    except (AdvcliError, KeyError, ValueError):
        return None


def _whole_config(path: Path) -> Json:
    """Return the configuration of the model in a .keras or .h5 file; None if it cannot be read."""
    return _member(path, _CONFIG) if zipfile.is_zipfile(path) else keras2_model.stored_configuration(path)


def _trusting(hint: str, config: Json) -> str:
    """Return a hint that advises to run the code in a file, unless that names what reaches beyond a model."""
    name = reaching_name(config)
    return f"it names '{name}', which has effects outside a model: do not load it" if name else hint


def _explained(error: Exception, path: Path, unsafe: bool) -> AdvcliError:
    text = str(error)
    missing = re.search(r"(?:Could not (?:locate|deserialize) \w+|Unknown [\w ]+:) '([^']+)'", text)
    if isinstance(error, OSError) and error.errno in _UNWRITABLE:
        return AdvcliError(
            f"cannot load model '{path}': no temporary file can be written: {error.strerror}",
            f"free space in '{tempfile.gettempdir()}', or name another folder by TMPDIR",
        )
    if "is a Python lambda" in text and not unsafe:
        message, hint = "it contains Python code (a Lambda layer)", _trusting(_TRUST, _whole_config(path))
    elif missing:
        message = f"it needs the Python class or function '{missing[1]}'"
        homes = [module for module, name, _ in _named(_member(path, _CONFIG)) if name == missing[1]]
        if homes and homes[0] != "__main__" and not unsafe:
            hint = f"if you trust it, put the folder of {homes[0]} on PYTHONPATH and give --unsafe-load"
            hint = _trusting(hint, _whole_config(path))
        else:
            # An .h5 file does not name modules, and no format names the modules of functions.
            hint = "save the model as .keras, with custom layers as classes that are imported from a module"
    elif "No model config found" in text:
        message, hint = "it contains weights only", "save the whole model, or give a backbone with --weights FILE"
    else:
        # Keras wraps the original error in one message for each level of nesting.
        message = first_line(text.rpartition("Exception encountered: ")[2] or type(error).__name__)
        metadata = _member(path, "metadata.json")
        version = metadata.get("keras_version", keras.__version__) if isinstance(metadata, dict) else keras.__version__
        hint = _WHOLE_MODEL
        if version != keras.__version__:
            hint += f"; the file was saved by Keras {version}, the installed version is {keras.__version__}"
    return AdvcliError(f"cannot load model '{path}': {message}", hint)
