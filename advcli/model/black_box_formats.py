"""Models that are not Keras models: which format a value of ``--model`` names, and the classifier made of one."""

import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from advcli.data.class_order import generic_names
from advcli.errors import AdvcliError, UsageError
from advcli.files.address import refuse_file_address
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind
from advcli.model.black_box import Access, BlackBox, ScoreFunction
from advcli.model.classifier import Classifier
from advcli.model.http_endpoint import HttpEndpoint
from advcli.model.litert_file import LiteRTFile
from advcli.model.load import check_labels
from advcli.model.onnx_file import OnnxFile
from advcli.model.python_function import PREFIX, PythonFunction

log = logging.getLogger(__name__)

_PROBED = 4


class Format(Protocol):
    """A model that is checked, but not opened."""

    @property
    def name(self) -> str:
        """The name in records."""
        ...

    @property
    def access(self) -> Access:
        """What an attack may see of it, as far as that is known."""
        ...

    def open(self) -> ScoreFunction:
        """Open the model."""
        ...


_FILES: Mapping[str, Callable[[Path], Format]] = {
    ".tflite": LiteRTFile,
    ".onnx": OnnxFile,
    ".toml": HttpEndpoint.read,
}


def black_box_format(value: str, unsafe: bool = False) -> Format | None:
    """Return the format of a value of ``--model``; None if it is no black box.

    Raises:
        UsageError: it is a black box that cannot be used.
    """
    if value.startswith(PREFIX):
        return PythonFunction(value, unsafe)
    if "://" in value:
        refuse_file_address(value)
        return HttpEndpoint.of_address(value)
    path = Path(value).expanduser()
    made = _FILES.get(path.suffix.lower())
    if made is None or path.is_dir():
        return None
    refuse_missing(path, "model", "a model", "--model names a file")
    refuse_other_kind(path, ("model", "text"), "a model that advcli opens", "--model names a file")
    return made(path)


def open_black_box(
    source: Format, *, labels: Sequence[str], input_range: tuple[float, float] | None, image_size: int | None
) -> Classifier:
    """Open a black box, ask it about a few images, and make a classifier of it.

    Raises:
        AdvcliError: it is no classifier, or its image size or its classes are not known.
        UsageError: an option contradicts it.
    """
    function, name = source.open(), source.name
    if function.image_size and image_size and image_size != function.image_size:
        raise UsageError(
            f"'{name}' takes images of {function.image_size} pixels a side, not {image_size}", "leave --image-size out"
        )
    image_size = function.image_size or image_size
    if image_size is None:
        message = f"the image size of '{name}' is not known"
        raise AdvcliError(message, "give it with --image-size, for example --image-size 224")
    low, high = _range(function, name, input_range)
    labels = tuple(labels) or function.labels
    box = BlackBox(function, name, labels)
    noise = np.random.default_rng(0).random((_PROBED - 1, image_size, image_size, function.channels), dtype=np.float32)
    probe = np.concatenate([noise, np.full_like(noise[:1], 0.5)]) * (high - low) + low
    head, classes = box.open(probe)
    log.info(
        "'%s': input %g to %g, %d x %d x %d; head: %s",
        name,
        low,
        high,
        image_size,
        image_size,
        function.channels,
        head.name,
    )
    names = labels or generic_names(classes)
    classifier = Classifier(name, box, names, (image_size, image_size), function.channels, (low, high), head)
    check_labels(classifier, classes)
    return classifier


def _range(function: ScoreFunction, name: str, chosen: tuple[float, float] | None) -> tuple[float, float]:
    if chosen is not None:
        return chosen
    if function.input_range is None:
        log.warning("the input range of '%s' is unknown: 0 to 1 is assumed (see --input-range)", name)
    return function.input_range or (0.0, 1.0)
