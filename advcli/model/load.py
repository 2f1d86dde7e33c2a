"""Read a classifier from a Keras file, or make one of any Keras model: find its input size, range, head and classes."""

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from advcli.backend import KerasModel, tf
from advcli.data.class_order import generic_names
from advcli.errors import AdvcliError, UsageError, first_line
from advcli.model import keras_file
from advcli.model.classifier import Classifier
from advcli.model.inference import switched_off
from advcli.model.input_adapter import Adapted, adapt, takes_integers
from advcli.model.input_range import BYTES, first_resizing, infer_range
from advcli.model.linear_output import make_linear
from advcli.model.output_head import LOGITS, ONE_LOGIT
from advcli.model.own_content import OWN_CONTENT, read_own_content

log = logging.getLogger(__name__)

# Of the images that a model of any size was probably trained on.
_USUAL_SIZE = 224

# Of the images that a model is about to get, if they have one: asked for where the model does not say its own.
UniformSize = Callable[[], tuple[int, int] | None]


def load(
    path: Path,
    name: str,
    *,
    labels: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    image_size: int | None = None,
    output: str | None = None,
    unsafe: bool = False,
    uniform_size: UniformSize | None = None,
) -> Classifier:
    """Read a classifier from a .keras or .h5 file, made by advcli or by anyone.

    Raises:
        AdvcliError: the file is not a Keras image classifier, or its labels do not match it.
    """
    model = keras_file.read(path, unsafe=unsafe)
    own = read_own_content(path)
    if own is not None:
        if input_range is not None or image_size is not None or output is not None:
            raise UsageError(
                f"'{name}' was saved by advcli with its input range, size and output",
                "leave --input-range, --image-size and --output out; for another model, write them behind its file: "
                "a.keras:range=-1,1",
            )
        names = tuple(labels) or own.labels
        ids = () if labels else own.wordnet_ids
        size = (own.edge, own.edge if own.width is None else own.width)
        if own.head != LOGITS.name or own.adapted:
            wrapped = wrap(
                model,
                name,
                labels=names,
                input_range=own.input_range,
                image_size=own.edge if size[0] == size[1] else None,
                output=own.output,
                uniform_size=lambda: size,
            )
            return replace(wrapped, recipe=own.recipe, wordnet_ids=ids)
        _refuse_other_shapes(model, (*size, own.channels), path)
        classifier = Classifier(
            name, model, names, size, own.channels, own.input_range, recipe=own.recipe, wordnet_ids=ids
        )
        check_labels(classifier, model.output_shape[-1])
        return classifier
    return wrap(
        model,
        name,
        labels=labels,
        input_range=input_range,
        image_size=image_size,
        output=output,
        uniform_size=uniform_size,
    )


def wrap(
    model: KerasModel,
    name: str,
    *,
    labels: Sequence[str] = (),
    input_range: tuple[float, float] | None = None,
    image_size: int | None = None,
    output: str | None = None,
    uniform_size: UniformSize | None = None,
) -> Classifier:
    """Return a classifier for any Keras model: find its input size, adapt its input, and remove its last activation.

    Raises:
        AdvcliError: the model does not map one image to the scores of two or more classes.
    """
    range_given = input_range is not None
    if input_range is None:
        input_range = _own_range(model, name)
    else:
        _warn_of_other_range(model, name, input_range)
    low, high = input_range
    adapted = adapt(model, name, high, output)
    for note in adapted.notes:
        log.warning("'%s' %s", name, note)
    model, channels = adapted.model, adapted.channels
    height, width = size = _image_size(adapted, name, image_size, uniform_size)
    probe = np.random.default_rng(0).random((4, *size, channels), dtype=np.float32) * (high - low) + low
    classes = _class_count(model, name, probe)
    head = make_linear(model, probe, name)
    log.info("'%s': input %g to %g, %d x %d x %d; head: %s", name, low, high, height, width, channels, head.name)
    if head.name == ONE_LOGIT:
        log.warning("'%s' has one output: it is used as a logit, above 0 for the second of two classes", name)
    for layer in switched_off(model):
        log.warning("'%s': layer '%s' is called with training=True; advcli measures the model without it", name, layer)
    names = tuple(labels) or generic_names(classes)
    classifier = Classifier(
        name,
        model,
        names,
        size,
        channels,
        input_range,
        head,
        range_given=range_given,
        adapted=None if model is adapted.original else adapted,
    )
    check_labels(classifier, classes)
    return classifier


def check_labels(classifier: Classifier, classes: int) -> None:
    """Refuse class names that are not as many as the outputs.

    Raises:
        AdvcliError: their numbers differ.
    """
    if len(classifier.labels) != classes:
        raise AdvcliError(
            f"{len(classifier.labels)} class names for the {classes} classes of '{classifier.name}'",
            "give a --labels file with one name a class",
        )


def _refuse_other_shapes(model: KerasModel, shape: tuple[int, int, int], path: Path) -> None:
    """Refuse a model that does not take the images that its file says.

    Raises:
        AdvcliError: it takes others.
    """
    takes, returns = getattr(model, "input_shape", None), getattr(model, "output_shape", None)
    one_of_each = isinstance(takes, tuple) and isinstance(returns, tuple) and len(returns) == 2
    size = takes[1:] if takes is not None and one_of_each else ()
    if len(size) != 3 or any(own not in (None, said) for own, said in zip(size, shape, strict=True)):
        raise AdvcliError(f"'{OWN_CONTENT}' in '{path}' is damaged: the model does not take images of {shape}")


def _image_size(adapted: Adapted, name: str, wanted: int | None, uniform_size: UniformSize | None) -> tuple[int, int]:
    """Return the height and width of a model's input.

    For a model of any size that is the wanted size, or the size that it resizes images to first, or that of the images,
    or 224.
    """
    height, width = adapted.height or adapted.width or wanted, adapted.width or adapted.height or wanted
    if height is None or width is None:
        first = first_resizing(adapted.original)
        uniform = None if first or uniform_size is None else uniform_size()
        level = logging.WARNING
        if first and first.keeps:
            note = f"squashed; the model itself keeps their proportions ({first.keeps}): give images of this size"
        elif first or uniform:
            level, note = logging.INFO, "as it resizes them itself" if first else "the size that these images have"
        else:
            note = "which is usual (see --image-size)"
        height, width = first[:2] if first else uniform or (_USUAL_SIZE, _USUAL_SIZE)
        log.log(level, "'%s' takes images of any size: they are resized to %d x %d, %s", name, height, width, note)
    if wanted and (height, width) != (wanted, wanted):
        own = f"{height} pixels a side" if height == width else f"{height} x {width} pixels"
        raise UsageError(f"'{name}' takes images of {own}, not {wanted}", "leave --image-size out")
    return height, width


def _own_range(model: KerasModel, name: str) -> tuple[float, float]:
    """Infer the values that a model wants for black and white, and report it; 0 to 1 if nothing shows it."""
    inferred = infer_range(model)
    if inferred is None and takes_integers(model):
        log.info("'%s': input range 0 to 255, because it takes integers", name)
        return BYTES
    if inferred is None:
        log.warning("the input range of '%s' is unknown: 0 to 1 is assumed (see --input-range)", name)
        return 0.0, 1.0
    (low, high), layer = inferred
    log.info("'%s': input range %g to %g, as its layer '%s' shows", name, low, high, layer)
    return low, high


def _warn_of_other_range(model: KerasModel, name: str, given: tuple[float, float]) -> None:
    inferred = infer_range(model)
    if inferred is not None and inferred[0] != given:
        (low, high), layer = inferred
        said = "'%s': input range %g to %g, as given, although its layer '%s' shows %g to %g"
        log.warning(said, name, *given, layer, low, high)


def _class_count(model: KerasModel, name: str, probe: np.ndarray) -> int:
    try:
        outputs = model(probe, training=False)
    except Exception as error:
        message = first_line(error)
        raise AdvcliError(f"model '{name}' cannot classify an image of {probe.shape[1:]}: {message}") from error
    if not tf.is_tensor(outputs):
        message = f"model '{name}' returns a {type(outputs).__name__} of {len(outputs)} outputs, not one tensor"
        raise AdvcliError(message, "advcli needs a model that returns class scores only")
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[1] < 1:
        message = f"model '{name}' is not a classifier of two or more classes: its output has the shape {shape[1:]}"
        raise AdvcliError(message, "its last layer must return one value a class")
    return max(shape[1], 2)
