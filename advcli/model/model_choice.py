"""Choose a model: a run folder, a model file, or a backbone with pretrained weights."""

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Self

from advcli import registry
from advcli.data.class_order import has_names
from advcli.data.images import Fit
from advcli.data.labels_file import read_labels, read_wordnet_ids
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.files.bounded import refuse_special
from advcli.files.kinds import kind_of
from advcli.files.wrong_kind import other_kind, refuse_missing, refuse_no_weights, refuse_other_kind
from advcli.model.black_box import Access
from advcli.model.black_box_formats import Format, black_box_format, open_black_box
from advcli.model.choice_options import read_options, split_options
from advcli.model.classifier import Classifier
from advcli.model.imagenet_labels import class_index_file, imagenet_labels
from advcli.model.load import UniformSize, load
from advcli.model.own_content import labels_of, recipe_of
from advcli.model.saved_model import is_saved_model
from advcli.records.base import Json

IMAGENET_SIZE = 224
# What --model opens, for errors.
WANTED = "a model that advcli opens"
OPENED = (
    "--model opens a run folder, a .keras or .h5 file of a whole model, a SavedModel folder, a .tflite or .onnx file, "
    "an endpoint's address or .toml file, or a backbone's name"
)
_LABELS = "--labels names a file with one class name a line"


@dataclass(frozen=True)
class ModelChoice:
    """The value of ``--model`` and its related options, checked before TensorFlow is imported.

    Args:
        value: a run folder, a .keras or .h5 file, a SavedModel folder, a backbone's spec, or a black box.
        weights: for a backbone: ``imagenet`` or a weights file.
        labels: a file of class names.
        input_range: for a model not saved by advcli: the input values of black and white.
        image_size: for a backbone or a model of any size: the input size in pixels.
        unsafe: whether Python code inside a model file may run.
        output: for a model of several outputs: the name of the one to use.
        fit: how images of other sizes are brought to the model's.
        given_name: the name in records; empty for one made of the value.
        text: the value with the options behind it, as the user wrote it.
    """

    value: str
    weights: str = "imagenet"
    labels: Path | None = None
    input_range: tuple[float, float] | None = None
    image_size: int | None = None
    unsafe: bool = False
    output: str | None = None
    fit: Fit = "squash"
    given_name: str = ""
    text: str = ""

    def __post_init__(self) -> None:
        for file in (self.labels, Path(self.value).expanduser(), Path(self.weights)):
            if file is not None:
                refuse_special(file)
        if self.labels is not None:
            refuse_missing(self.labels, "text", "a file of class names", _LABELS)
            refuse_other_kind(self.labels, ("text",), "a file of class names", _LABELS)
        if self.black_box is not None:
            if self.weights != "imagenet":
                raise UsageError(f"'{self.value}' is a model with weights", "--weights goes with a backbone's name")
            return
        if self.path is not None and self.weights != "imagenet":
            raise UsageError(f"'{self.value}' is a model file with weights", "--weights goes with a backbone's name")
        if self.path is not None:
            _refuse_no_model(self.path)
        if self.path is None:
            if self.output is not None:
                raise UsageError(f"backbone '{self.value}' has one output", "leave --output out")
            if self.input_range is not None:
                raise UsageError(f"backbone '{self.value}' has its own input range", "leave --input-range out")
            registry.build("backbones", self.value)
            if self.weights != "imagenet":
                refuse_no_weights(Path(self.weights))

    @classmethod
    def read(cls, text: str, *, unsafe: bool = False, **options: object) -> Self:
        """Read a model and the options that stand behind it: ``a.keras:range=-1,1,name=base``.

        Args:
            text: the model; its own options override the others.
            unsafe: whether Python code inside a model file may run.
            options: the other fields of the choice.

        Raises:
            UsageError: there is no such model, or an option is not valid.
        """
        value, given = (text, {}) if Path(text).expanduser().exists() else split_options(text)
        own = read_options(given)
        return replace(cls(value, text=text, unsafe=unsafe), **{**options, **own})

    @cached_property
    def black_box(self) -> Format | None:
        """Return the format of a model that is no Keras model; None if it is one.

        Raises:
            UsageError: there is no such model, or it cannot be used.
        """
        return black_box_format(self.value, self.unsafe)

    @property
    def access(self) -> Access:
        """Return what an attack can learn from the model, as far as that is known before it is loaded."""
        return "gradient" if self.black_box is None else self.black_box.access

    @property
    def path(self) -> Path | None:
        """Return the Keras model file; None for a backbone or a black box.

        Raises:
            UsageError: there is no such file, folder or backbone.
        """
        if self.black_box is not None:
            return None
        path = Path(self.value).expanduser()
        if path.is_dir():
            return _in_folder(path)
        if path.is_file():
            return path
        name = registry.canonical(self.value)
        if name in registry.names("backbones") and os.sep not in self.value:
            return None
        kind = kind_of(path)
        if kind is not None:
            raise other_kind(path, kind, "model", WANTED, OPENED)
        known = [*registry.names("backbones"), *(str(run.parent) for run in Path("runs").glob("*/model.keras"))]
        hint = nearest(self.value, known)
        is_path = os.sep in self.value or bool(path.suffix)
        raise UsageError(f"no model '{self.value}'", OPENED if is_path and hint.startswith("choose from") else hint)

    @property
    def name(self) -> str:
        """Return the name of the model in records."""
        if self.given_name:
            return self.given_name
        if self.black_box is not None:
            return self.black_box.name
        if self.path is None:
            return registry.canonical(self.value)
        folder = self.path.parent.resolve().name
        if self.path.is_dir():
            own = self.path.resolve().name
            # TensorFlow Serving and TF Hub number the versions of a model: name/1.
            return f"{self.path.resolve().parent.name}/{own}" if own.isdigit() else own
        if self.path.name == "model.keras":
            return folder
        return f"{folder}/{self.path.stem}" if (self.path.parent / "run.json").is_file() else self.path.stem

    @property
    def recipe(self) -> Mapping[str, Json]:
        """Return the training recipe of the model; empty if advcli did not train it."""
        return {} if self.path is None else recipe_of(self.path)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Return the class names that are known without the model being loaded; empty if there are none.

        Raises:
            AdvcliError: their file cannot be read, or there is no such model.
        """
        if self.labels is not None:
            return read_labels(self.labels)
        if self.path is not None:
            return labels_of(self.path) if self.path.is_file() else ()
        cached = class_index_file()
        known = self.black_box is None and self.weights == "imagenet" and cached.is_file()
        return read_labels(cached) if known else ()

    def load(self, uniform_size: UniformSize | None = None) -> Classifier:
        """Read the model, or build the backbone and load its weights.

        Args:
            uniform_size: of the images that it will get, for a model file of any size.

        Raises:
            AdvcliError: the model cannot be read.
        """
        found = replace(self._loaded(uniform_size), name=self.name, fitting=self.fit)
        ids = read_wordnet_ids(self.labels) if self.labels else ()
        return replace(found, wordnet_ids=ids) if len(ids) == len(found.labels) else found

    def _loaded(self, uniform_size: UniformSize | None) -> Classifier:
        labels = read_labels(self.labels) if self.labels else ()
        if self.black_box is not None:
            return open_black_box(
                self.black_box, labels=labels, input_range=self.input_range, image_size=self.image_size
            )
        if self.path is not None:
            return load(
                self.path,
                self.name,
                labels=labels,
                input_range=self.input_range,
                image_size=self.image_size,
                output=self.output,
                unsafe=self.unsafe,
                uniform_size=uniform_size,
            )
        size = self.image_size or IMAGENET_SIZE
        weights = "imagenet" if self.weights == "imagenet" else Path(self.weights)
        model = registry.build("backbones", self.value)(None, size, 3, weights)
        classes = model.output_shape[-1]
        labels = labels or imagenet_labels(classes, self.weights)
        if len(labels) != classes:
            raise AdvcliError(
                f"{len(labels)} class names for the {classes} classes of '{self.value}'",
                f"'{self.labels}' must hold one name a class",
            )
        known = class_index_file()
        named = not self.labels and known.is_file() and has_names(labels) and read_labels(known) == tuple(labels)
        ids = read_wordnet_ids(known) if named else ()
        return Classifier(self.name, model, tuple(labels), (size, size), wordnet_ids=ids)


def _in_folder(folder: Path) -> Path:
    """Return the model of a folder: a run's, or the folder itself if it is a SavedModel."""
    if (folder / "model.keras").is_file():
        return folder / "model.keras"
    if is_saved_model(folder):
        return folder
    kind = kind_of(folder)
    if kind is not None and kind.advice:
        raise other_kind(folder, kind, "model", WANTED, OPENED)
    what = "a folder" if any(folder.iterdir()) else "an empty folder"
    message = f"'{folder}' is {what}, neither a run folder (it has no model.keras) nor a SavedModel (no saved_model.pb)"
    inside = [path for path in sorted(folder.iterdir()) if path.is_dir() and is_saved_model(path)]
    kept = [path for path in sorted(folder.iterdir()) if path.suffix in (".keras", ".h5")]
    if inside or kept:
        raise UsageError(message, f"did you mean '{(inside + kept)[-1]}'?")
    raise UsageError(message, "train one with advcli train, or save one with model.export(folder)")


def _refuse_no_model(path: Path) -> None:
    """Refuse a file that is no Keras model, or whose suffix Keras does not read.

    Raises:
        UsageError: it is one.
    """
    refuse_other_kind(path, ("model",), WANTED, OPENED)
    kind = kind_of(path)
    if kind is not None and kind.suffixes and not path.name.endswith(kind.suffixes):
        hint = f"rename it to '{path.stem}{kind.suffixes[0]}'"
        raise UsageError(f"the suffix of '{path}' does not match its format: it is {kind.text}", hint)


def load_all(choices: Sequence[ModelChoice], uniform_size: UniformSize | None = None) -> list[Classifier]:
    """Load several models; models with equal names are named by what the user wrote.

    Args:
        choices: the models.
        uniform_size: of the images that they will get, for model files of any size.

    Raises:
        UsageError: the user gave one name to two models.
    """
    names = Counter(choice.name for choice in choices)
    given = Counter(choice.given_name for choice in choices if choice.given_name)
    if given and given.most_common(1)[0][1] > 1:
        raise UsageError(f"two models have the name '{given.most_common(1)[0][0]}'", "give each a name of its own")
    return [
        classifier if names[choice.name] == 1 else replace(classifier, name=choice.text or choice.value)
        for choice, classifier in ((choice, choice.load(uniform_size)) for choice in choices)
    ]
