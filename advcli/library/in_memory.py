"""Models and images in memory as files for the time of a call."""

import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from inspect import isfunction
from pathlib import Path

import numpy as np

from advcli.backend import KerasModel, keras
from advcli.datasets._arrays import labelled
from advcli.errors import UsageError
from advcli.keywords import request_from, separated
from advcli.library.arrays import Labels, indices_of_labels
from advcli.plugins import named_file
from advcli.tasks.request import ModelOptions

# A run folder, a model file, an endpoint, a backbone's name, or a Keras model.
Model = str | Path | KerasModel


def save_models(
    models: Sequence[Model], options: dict[str, object], stack: ExitStack
) -> tuple[tuple[str, ...], dict[str, object]]:
    """Return the texts that name models, and the options; what is in memory is saved for the time of the call.

    Keras models are saved, with their own classes known while they are read again, and so are lists of class names.
    """
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    names = []
    for number, model in enumerate(models):
        if isinstance(model, str | Path):
            names.append(str(model))
            continue
        if not isinstance(model, keras.Model):
            raise UsageError(f"a model is a path, a name or a Keras model, not {type(model).__name__}")
        path = folder / str(number) / f"{model.name}.keras"
        path.parent.mkdir()
        model.save(path)
        stack.enter_context(keras.saving.custom_object_scope(_own_objects(model)))
        names.append(str(path))
    own = [model for model in models if not isinstance(model, str | Path)]
    if len(own) == len(models) and any(map(_holds_code, own)) and not _names_other_code(options):
        # Code that is in memory already; the permission is for the whole call, so nothing else may profit from it.
        options = {"unsafe_load": True, **options}
    labels = options.get("labels")
    if isinstance(labels, list | tuple):
        path = folder / "labels.txt"
        path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
        options = {**options, "labels": path}
    return tuple(names), options


def _holds_code(model: KerasModel) -> bool:
    """Return whether a saved model is read only with ``unsafe_load``."""
    kinds = (keras.layers.Lambda, keras.layers.TFSMLayer)
    return any(isinstance(layer, kinds) for layer in model._flatten_layers(include_self=True, recursive=True))


def _names_other_code(options: dict[str, object]) -> bool:
    """Return whether options name another model or a Python file, which need a permission of their own."""
    values = [each for value in options.values() for each in (value if isinstance(value, list | tuple) else (value,))]
    return bool(options.get("surrogate")) or any(named_file(value) for value in values if isinstance(value, str))


def _own_objects(model: KerasModel) -> dict[str, object]:
    """Return the classes and functions of a model that are not of Keras, by the names that Keras saves."""
    found = {}
    for layer in model._flatten_layers(include_self=True, recursive=True):
        for each in (type(layer), *filter(isfunction, vars(layer).values())):
            if each.__module__.partition(".")[0] != "keras":
                found[keras.saving.get_registered_name(each)] = each
    return found


def save_arrays(
    images: np.ndarray, labels: Labels, models: Sequence[str], options: dict[str, object], stack: ExitStack
) -> str:
    """Save arrays as a data set for the time of the call, with the classes of the first model.

    Raises:
        UsageError: they are no images, or no classes of the model.
    """
    if not models:
        raise UsageError("no model is given")
    own, _ = separated(ModelOptions, options)
    classifier = request_from(ModelOptions, own).choose(models[0]).load()
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = Path(folder) / "arrays.npz"
    classes = indices_of_labels(labels, classifier, len(images))
    # Faults are named here as those of the arrays, later they would be those of the file.
    labelled(images, classes)
    np.savez(path, x_test=images, y_test=classes, labels=np.array(classifier.labels))
    return str(path)
