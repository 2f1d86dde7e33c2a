"""Choice of the model that a run starts from, before TensorFlow is imported."""

import hashlib
from dataclasses import replace
from pathlib import Path

from advcli.errors import AdvcliError, UsageError
from advcli.model.model_choice import ModelChoice
from advcli.model.own_content import labels_of
from advcli.tasks.train.request import Request


def choose_start(request: Request) -> ModelChoice | None:
    """Find the model that a request starts from; None if it starts from a backbone.

    Raises:
        UsageError: there is no such model, or it is a backbone's name.
    """
    if request.model is None:
        return None
    read = ModelChoice.read(request.model, unsafe=request.unsafe_load)
    if read.access != "gradient":
        raise UsageError(f"'{request.model}' has no weights that advcli can train", "give a Keras file or a run folder")
    if read.path is None:
        hint = f"give --backbone {request.model} --weights imagenet"
        raise UsageError(f"'{request.model}' is a backbone, not a model file or a run folder", hint)
    choice = ModelChoice.read(
        request.model, labels=request.labels, input_range=request.input_range, unsafe=request.unsafe_load
    )
    if labels_of(_file(choice)):
        if request.input_range is not None:
            raise UsageError(f"'{request.model}' was saved by advcli with its input range", "leave --input-range out")
        own = choice.recipe.get("edge", request.edge)
        if (request.edge or own) != own:
            message = f"'{request.model}' takes images of {own} pixels a side, not {request.edge}"
            raise UsageError(message, "leave --image-size out")
        return choice
    return replace(choice, image_size=request.edge or None)


def data_of(request: Request) -> str:
    """Return the data to train on: what the request says, or what the run that it starts from was trained on.

    Raises:
        UsageError: neither says it.
    """
    choice = choose_start(request)
    known = "digits" if choice is None else choice.recipe.get("data", "")
    if not (request.data or known):
        raise UsageError(f"'{request.model}' does not record its training data", "give the data with --data")
    return request.data or known


def classes_of(request: Request) -> tuple[str, ...]:
    """Return the classes to train on; those of the run that a request starts from if its data is used."""
    choice = choose_start(request)
    if choice is None or request.data or request.classes:
        return request.classes
    return tuple(choice.recipe.get("classes", ()))


def digest_of(choice: ModelChoice) -> str:
    """Return the SHA-256 of a model file."""
    with _file(choice).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def refuse_other_start(request: Request, sha256: str, folder: Path) -> None:
    """Refuse to resume a run if the file of the model that it started from has changed.

    Args:
        request: the run's options.
        sha256: the hash of the file when the run began.
        folder: the run's folder.

    Raises:
        AdvcliError: the file has changed.
    """
    choice = choose_start(request)
    if choice is not None and digest_of(choice) != sha256:
        raise AdvcliError(
            f"'{request.model}', which '{folder}' started from, has changed since",
            "restore the file, or train again with --overwrite",
        )


def refuse_overwriting(choice: ModelChoice, folder: Path) -> None:
    """Refuse a run folder that holds the model to start from.

    Raises:
        UsageError: it does.
    """
    if _file(choice).resolve().parent == folder.resolve():
        raise UsageError(f"'{folder}' holds the model that --model starts from", "give another --out")


def _file(choice: ModelChoice) -> Path:
    if choice.path is None:
        raise ValueError(f"'{choice.value}' is not a file")
    return choice.path


def name_of_run(choice: ModelChoice, data: str, objective: str) -> str:
    """Return the default name of a run: data, model and objective; the data are named once."""
    model = choice.name.replace("/", "-").removeprefix(data).strip("-")
    return "-".join(filter(None, (data, model, objective)))
