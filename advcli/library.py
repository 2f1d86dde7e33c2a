"""The four commands as functions of Python.

Each takes the options of its command by the names of the request's fields (``advcli.tasks.*.request``), with the same
defaults and checks, or a request. Texts are read as on the command line: ``eps="8/255"``, ``input_range="0,255"``.
"""

import tempfile
from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from inspect import isfunction
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

from advcli import registry
from advcli.backend import KerasModel, keras
from advcli.data import images as image_files
from advcli.errors import UsageError
from advcli.keywords import request_from, separated
from advcli.model.classifier import Classifier
from advcli.model.model_choice import load_all
from advcli.plugins import named_file
from advcli.records import Progress, Record
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.ensemble import ensemble_of
from advcli.search.image_batches import read_mask
from advcli.search.threat_defaults import threat_for
from advcli.tasks.attack.request import Request as AttackRequest
from advcli.tasks.benchmark.request import Execution as BenchmarkExecution
from advcli.tasks.benchmark.request import Request as BenchmarkRequest
from advcli.tasks.explain.request import Request as ExplainRequest
from advcli.tasks.request import DEFAULT_ATTACKS, ModelOptions
from advcli.tasks.train.request import Execution as TrainExecution
from advcli.tasks.train.request import Request as TrainRequest

if TYPE_CHECKING:
    import pandas as pd

# A run folder, a model file, an endpoint, a backbone's name, or a Keras model.
Model = str | Path | KerasModel
Files = str | Path | Sequence[str | Path]
# The class of each image: whole numbers, which may be floats; or names too.
Indices = np.ndarray | Sequence[float] | Sequence[np.integer]
Labels = Indices | Sequence[str]
Reported = Callable[[Progress], None]
_Kind = TypeVar("_Kind")


class Records(list[Record]):
    """The records of a call, in their order."""

    def of(self, kind: type[_Kind]) -> list[_Kind]:
        """Return the records of one type: ``records.of(Score)``."""
        return [record for record in self if isinstance(record, kind)]

    def to_pandas(self) -> "pd.DataFrame":
        """Return a table with a row for each record and a column for each field.

        Raises:
            UsageError: pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise UsageError("pandas is not installed", "pip install pandas") from None
        return pd.DataFrame([{"type": record.type} | vars(record) for record in self])


@dataclass(frozen=True)
class Adversarial:
    """The adversarial images of an array.

    Args:
        images: (N, H, W, C) float32 in [0, 1].
        predicted: (N,) the class that the model itself predicts for each.
        fooled: (N,) whether the attack succeeded; false for images that were wrong without it.
        queries: (N,) the number of queries of the model for each image.
    """

    images: np.ndarray
    predicted: np.ndarray
    fooled: np.ndarray
    queries: np.ndarray

    def __repr__(self) -> str:
        """Say how many images were fooled, not all of their pixels."""
        return f"Adversarial({int(self.fooled.sum())} of {len(self.fooled)} images fooled)"


def load(model: Model, **options: object) -> Classifier:
    """Load a classifier.

    Args:
        model: a run folder, a model file, an endpoint, a backbone's name, or a Keras model.
        options: ``labels``, ``input_range``, ``edge``, ``output``, ``fit``, ``weights`` and ``unsafe_load``.

    Raises:
        AdvcliError: the model cannot be read, or an option is not valid.
    """
    with ExitStack() as stack:
        (name,), own = _saved([model], options, stack)
        return request_from(ModelOptions, own).choose(name).load()


@overload
def attack(
    images: np.ndarray,
    labels: Labels | None = None,
    *,
    model: Model | Sequence[Model] = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> Adversarial: ...
@overload
def attack(
    images: Files,
    labels: None = None,
    *,
    model: Model | Sequence[Model] = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> Records: ...
@overload
def attack(images: AttackRequest, *, progress: Reported | None = None) -> Records: ...
def attack(
    images: Files | np.ndarray | AttackRequest,
    labels: Labels | None = None,
    *,
    model: Model | Sequence[Model] = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> Records | Adversarial:
    """Make images that fool a classifier.

    Args:
        images: image files or folders; or an array, (N, H, W, C) uint8 or floats in [0, 1]; or a whole request.
        labels: of an array: (N,) the true classes, indices or names; None means the predicted ones.
        model: the attacked model; several are attacked together, and an array's verdicts are those of the first.
        progress: called with the progress.
        options: the other options of ``advcli attack``; of an array ``attack``, ``norm``, ``eps``, ``target``,
            ``start``, ``mask``, ``seed`` and those of the model.

    Returns:
        The records of the files that are written; of an array the adversarial images.

    Raises:
        AdvcliError: something is not valid, or cannot be read.
    """
    from advcli.tasks.attack.run import run

    if isinstance(images, AttackRequest):
        _refuse_beside_request(options)
        return _kept(run(images), progress)
    with ExitStack() as stack:
        names, options = _saved(model if isinstance(model, list | tuple) else [model], options, stack)
        if isinstance(images, np.ndarray):
            request = request_from(AttackRequest, {"files": (Path("array"),), "model": names, **options})
            return _attack_array(request, images, labels)
        if labels is not None:
            raise UsageError("labels go with an array of images", "for files give label=, one class for all")
        files = [images] if isinstance(images, str | Path) else images
        request = request_from(AttackRequest, {"files": tuple(map(Path, files)), "model": names, **options})
        return _kept(run(request), progress)


def _attack_array(request: AttackRequest, images: np.ndarray, labels: Labels | None) -> Adversarial:
    pixels = _in_unit_range(images)
    choice = request.choose(request.models[0])
    classifiers = load_all(request.choose_models(), lambda: pixels.shape[1:3])
    classifier = classifiers[0]
    if not len(pixels) or pixels.shape[-1] != classifier.channels:
        shown = "x".join(map(str, images.shape)) or "no"
        wanted = f"(N, H, W, {classifier.channels})"
        raise UsageError(
            f"an array of shape {shown} holds no images for '{classifier.name}', which takes {wanted}",
            "one image is image[None]",
        )
    crafted_on = classifier if len(classifiers) == 1 else ensemble_of(classifiers)
    spec = request.attack or DEFAULT_ATTACKS[choice.access]
    threat = threat_for(choice.recipe, request.norm, request.eps)
    if request.target is not None:
        threat = replace(threat, target=classifier.index(request.target))
    before = classifier.predicted(pixels) if labels is None else classifier.classes(pixels)
    true = before if labels is None else _classes(labels, classifier, len(pixels))
    start = None if request.start is None else image_files.read(request.start, classifier.channels)
    compiled = CompiledAttack(crafted_on.inference_copy, registry.build("attacks", spec), threat, request.seed, start)
    found = compiled.search(pixels, true, _masks(request.mask, pixels))
    predicted = found.predicted if crafted_on is classifier else classifier.classes(found.points)
    # What the model gets wrong without an attack is fooled by none.
    wrong, now = (np.asarray(threat.is_adversarial_class(each, true)) for each in (before, predicted))
    return Adversarial(found.points, predicted, now & ~wrong, found.queries)


def _classes(labels: Labels, classifier: Classifier, count: int) -> np.ndarray:
    """Return the true classes of an array's images as indices: (N,) indices or names -> (N,) int.

    Raises:
        UsageError: they are of another number or shape, or a class does not exist.
    """
    given = np.asarray(labels)
    if given.shape != (count,):
        shown = "x".join(map(str, given.shape)) or "one value"
        raise UsageError(f"labels of shape {shown} for {count} images", f"give {count}, the class of each image")
    if given.dtype.kind in "US":
        return np.array([classifier.index(str(name)) for name in given])
    known = len(classifier.labels)
    whole = given.dtype.kind in "biu" or (given.dtype.kind == "f" and bool((given == np.round(given)).all()))
    if not whole or given.min() < 0 or given.max() >= known:
        raise UsageError(
            f"labels from {given.min()} to {given.max()} of type {given.dtype} for {known} classes",
            f"give whole numbers from 0 to {known - 1}, or names",
        )
    return given.astype(np.int64)


def _masks(file: Path | None, pixels: np.ndarray) -> np.ndarray | None:
    """Read the mask of all images of an array.

    Raises:
        UsageError: it is a folder, or leaves no pixel to change.
    """
    if file is None:
        return None
    if file.is_dir():
        raise UsageError(f"'{file}' is a folder, whose masks go by file names", "give one mask for all images")
    mask = read_mask(file, pixels.shape[1:3])
    if not mask.any():
        raise UsageError(f"the mask leaves no pixel to change: '{file}'")
    return np.repeat(mask[None], len(pixels), axis=0)


def benchmark(
    *models: Model | BenchmarkRequest,
    data: str | Path | tuple[np.ndarray, Indices] = "",
    progress: Reported | None = None,
    **options: object,
) -> Records:
    """Measure accuracy, clean, corrupted and under attack.

    Args:
        models: the models, or a whole request.
        data: a named data set, a path, or two arrays: (N, H, W, C) images, uint8 or floats in [0, 1], and (N,) classes
            as indices of the models' outputs.
        progress: called with the progress.
        options: the other options of ``advcli benchmark``, such as ``attacks=["pgd"]``, ``eps=["8/255"]``,
            ``corruptions="all"``, ``out="results.jsonl"``.

    Raises:
        AdvcliError: something is not valid, or cannot be read.
    """
    from advcli.tasks.benchmark.run import evaluate

    if len(models) == 1 and isinstance(models[0], BenchmarkRequest):
        return _kept(evaluate(models[0], request_from(BenchmarkExecution, options)), progress)
    how, options = separated(BenchmarkExecution, options)
    with ExitStack() as stack:
        given = [model for model in models if not isinstance(model, BenchmarkRequest)]
        names, options = _saved(given, options, stack)
        if isinstance(data, tuple):
            data = _saved_arrays(*data, names, options, stack)
        request = request_from(BenchmarkRequest, {"models": names, "data": str(data), **options})
        return _kept(evaluate(request, request_from(BenchmarkExecution, how)), progress)


@overload
def explain(
    images: np.ndarray,
    *,
    model: Model = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> dict[str, np.ndarray]: ...
@overload
def explain(
    images: Files,
    *,
    model: Model = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> Records: ...
@overload
def explain(images: ExplainRequest, *, progress: Reported | None = None) -> Records: ...
def explain(
    images: Files | np.ndarray | ExplainRequest,
    *,
    model: Model = "mobilenetv2",
    progress: Reported | None = None,
    **options: object,
) -> Records | dict[str, np.ndarray]:
    """Show which pixels a prediction depends on.

    Args:
        images: image files or folders; or an array, (N, H, W, C) uint8 or floats in [0, 1]; or a whole request.
        model: the explained model.
        progress: called with the progress.
        options: the other options of ``advcli explain``; of an array ``methods``, ``layer``, ``seed`` and those of the
            model.

    Returns:
        The records of the files that are written; of an array the maps of each method, (N, H, W) at the size of the
        model's input, for the predicted class of each image.

    Raises:
        AdvcliError: something is not valid, or cannot be read.
    """
    from advcli.tasks.explain.start import start

    if isinstance(images, ExplainRequest):
        _refuse_beside_request(options)
        return _kept(start(images), progress)
    with ExitStack() as stack:
        (name,), options = _saved([model], options, stack)
        if isinstance(images, np.ndarray):
            return _explain_array(request_from(ExplainRequest, {"model": name, **options}), images)
        files = [images] if isinstance(images, str | Path) else images
        request = request_from(ExplainRequest, {"files": tuple(map(Path, files)), "model": name, **options})
        return _kept(start(request), progress)


def _explain_array(request: ExplainRequest, images: np.ndarray) -> dict[str, np.ndarray]:
    from advcli.explainers import enlarge_maps
    from advcli.tasks.explain.default_methods import suitable
    from advcli.tasks.explain.validate import build_explainers

    choice = request.choose(request.model)
    black_box = None if choice.access == "gradient" else choice.name
    explainers = build_explainers(request.methods, request.layer, black_box)
    pixels = _in_unit_range(images)
    classifier = choice.load(lambda: pixels.shape[1:3])
    chosen = explainers if request.methods else suitable(explainers, classifier)
    pixels = np.asarray(classifier.fit(pixels))
    classes = classifier.predict(pixels).argmax(axis=1)
    found = {}
    for method, explainer in chosen.items():
        maps = explainer(classifier, pixels, classes, request.seed, None)
        found[method] = maps if explainer.kind == "picture" else enlarge_maps(maps, classifier.image_size)
    return found


def train(request: TrainRequest | None = None, *, progress: Reported | None = None, **options: object) -> Records:
    """Train a classifier; the last record, ``Trained``, names the run folder.

    Args:
        request: a whole request; its execution is given by options.
        progress: called with the progress.
        options: the options of ``advcli train``, such as ``data="digits"``, ``backbone="small"``, ``epochs=3``,
            ``out="runs/mine"``.

    Raises:
        AdvcliError: something is not valid, or cannot be read.
    """
    from advcli.tasks.train.average import make_average
    from advcli.tasks.train.run import make_job

    how, options = separated(TrainExecution, options)
    if request is not None:
        _refuse_beside_request(options)
    request = request or request_from(TrainRequest, options)
    execution = request_from(TrainExecution, how)
    job = (make_average if execution.average else make_job)(request, execution, {*options, *how} or None)
    return _kept(job.events(), progress)


def _refuse_beside_request(options: dict[str, object]) -> None:
    if options:
        raise UsageError(f"{min(options)} is an option of the request", "give it to the request")


def _kept(events: Iterable[Record | Progress], progress: Reported | None) -> Records:
    found = Records()
    for event in events:
        if isinstance(event, Record):
            found.append(event)
        elif progress is not None and isinstance(event, Progress):
            progress(event)
    return found


def _saved(
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


def _saved_arrays(
    images: np.ndarray, labels: Indices, models: Sequence[str], options: dict[str, object], stack: ExitStack
) -> str:
    """Save arrays as a data set for the time of the call, with the classes of the first model."""
    if not models:
        raise UsageError("no model is given")
    own, _ = separated(ModelOptions, options)
    names = request_from(ModelOptions, own).choose(models[0]).load().labels
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    path = Path(folder) / "arrays.npz"
    # The file has a training set, which a benchmark does not read.
    np.savez(
        path,
        x_train=images[:1],
        y_train=labels[:1],
        x_test=images,
        y_test=labels,
        labels=np.array(names),
    )
    return str(path)


def _in_unit_range(images: np.ndarray) -> np.ndarray:
    """Return images as float32 in [0, 1]: (N, H, W, C) or (N, H, W) -> (N, H, W, C).

    Raises:
        UsageError: they are of another shape, type or range.
    """
    if images.ndim == 3:
        images = images[..., None]
    if images.ndim != 4:
        raise UsageError(f"images of shape {images.shape}", "give (N, H, W, C)")
    if images.dtype == np.uint8:
        return images.astype(np.float32) / 255
    found = np.asarray(images, np.float32)
    if not (np.isfinite(found).all() and found.min(initial=0) >= 0 and found.max(initial=0) <= 1):
        raise UsageError("images have values outside of [0, 1]", "divide by 255, or give uint8")
    return found
