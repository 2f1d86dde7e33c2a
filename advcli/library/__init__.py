"""The four commands as functions of Python.

Each takes the options of its command by the names of the request's fields (``advcli.tasks.*.request``), with the same
defaults and checks, or a request. Texts are read as on the command line: ``eps="8/255"``, ``input_range="0,255"``.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, overload

import numpy as np

from advcli.errors import UsageError
from advcli.keywords import request_from, separated
from advcli.library.arrays import Adversarial, Labels, attack_array, explain_array
from advcli.library.in_memory import Model, save_arrays, save_models
from advcli.model.classifier import Classifier
from advcli.records import Progress, Record
from advcli.tasks.attack.request import Request as AttackRequest
from advcli.tasks.benchmark.request import Execution as BenchmarkExecution
from advcli.tasks.benchmark.request import Request as BenchmarkRequest
from advcli.tasks.explain.request import Request as ExplainRequest
from advcli.tasks.request import ModelOptions
from advcli.tasks.train.request import Execution as TrainExecution
from advcli.tasks.train.request import Request as TrainRequest

if TYPE_CHECKING:
    import pandas as pd

Files = str | Path | Sequence[str | Path]
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


def load(model: Model, **options: object) -> Classifier:
    """Load a classifier.

    Args:
        model: a run folder, a model file, an endpoint, a backbone's name, or a Keras model.
        options: ``labels``, ``input_range``, ``edge``, ``output``, ``fit``, ``weights`` and ``unsafe_load``.

    Raises:
        AdvcliError: the model cannot be read, or an option is not valid.
    """
    with ExitStack() as stack:
        (name,), own = save_models([model], options, stack)
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
            ``start``, ``mask``, ``queries``, ``seed`` and those of the model.

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
        names, options = save_models(model if isinstance(model, list | tuple) else [model], options, stack)
        if isinstance(images, np.ndarray):
            request = request_from(AttackRequest, {"files": (Path("array"),), "model": names, **options})
            return attack_array(request, images, labels)
        if labels is not None:
            raise UsageError("labels go with an array of images", "for files give label=, one class for all")
        files = [images] if isinstance(images, str | Path) else images
        request = request_from(AttackRequest, {"files": tuple(map(Path, files)), "model": names, **options})
        return _kept(run(request), progress)


def benchmark(
    *models: Model | BenchmarkRequest,
    data: str | Path | tuple[np.ndarray, Labels] | list[Labels] = "",
    progress: Reported | None = None,
    **options: object,
) -> Records:
    """Measure accuracy, clean, corrupted and under attack.

    Args:
        models: the models, or a whole request.
        data: a named data set, a path, or two arrays: (N, H, W, C) images, uint8 or floats in [0, 1], and (N,) classes,
            as indices of the models' outputs or as their names.
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
        names, options = save_models(given, options, stack)
        if isinstance(data, tuple | list):
            if len(data) != 2:
                raise UsageError(f"data of {len(data)} parts", "give (images, labels)")
            pixels, labels = data
            data = save_arrays(np.asarray(pixels), labels, names, options, stack)
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
        (name,), options = save_models([model], options, stack)
        if isinstance(images, np.ndarray):
            return explain_array(request_from(ExplainRequest, {"model": name, **options}), images)
        files = [images] if isinstance(images, str | Path) else images
        request = request_from(ExplainRequest, {"files": tuple(map(Path, files)), "model": name, **options})
        return _kept(start(request), progress)


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
