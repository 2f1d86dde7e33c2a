"""A classifier: a Keras model that maps images in [0, 1] to logits."""

import json
import logging
import zipfile
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from advcli.backend import ArrayLike, KerasModel, Tensor, TracedFunction, tf
from advcli.data.class_names import class_index, class_named
from advcli.data.images import Fit, crop_window
from advcli.errors import AdvcliError, UsageError
from advcli.files import atomic
from advcli.model import output_head
from advcli.model.answer_format import CLASSES_ONLY
from advcli.model.black_box import Access, BlackBox
from advcli.model.inference import InferenceCopy, TrainingInferenceCopy, disagreement
from advcli.model.input_adapter import Adapted
from advcli.model.input_gradient import clip_to_range, with_finite_gradient
from advcli.model.output_head import LOGITS, Head
from advcli.model.own_content import OWN_CONTENT
from advcli.model.smaller_batches import SmallerBatches
from advcli.records import Prediction
from advcli.records.base import Json
from advcli.tracing import numpy_function

log = logging.getLogger(__name__)

# Folding BatchNorm changes the order of roundings: by 1e-6 of the largest logit in most networks, by 1e-4 in the worst.
_ROUNDING = 1e-3
_COMPARED = 8

UNDEFINED = -1

_Made = TypeVar("_Made")


class NotNumbers(AdvcliError):
    """A model returns NaN."""


@dataclass(frozen=True)
class Classifier:
    """A Keras model with its class names, input format and output head.

    Args:
        name: the name in records.
        model: the Keras model.
        labels: the class names.
        image_size: height and width of the input in pixels; images of other sizes are resized.
        channels: 3, or 1 for grey images.
        input_range: the input values of black and white.
        head: how the output becomes logits.
        recipe: the training recipe; ``norm`` and ``eps`` are the threat that the model was trained for.
        fitting: how images of other sizes are brought to the input size: squashed, or their centre is cut out.
        range_given: whether the user, or advcli's own file, gave the input range; else it was inferred or assumed.
        adapted: how the model as it was read became ``model``; None if it is the same.
        source: for an inference copy: the classifier that it is a copy of, whose predictions count.
        wordnet_ids: the WordNet id of each class, if known.
        only: the indices of the model's outputs that are classes; empty if all are.
    """

    name: str
    model: KerasModel
    labels: tuple[str, ...]
    image_size: tuple[int, int]
    channels: int = 3
    input_range: tuple[float, float] = (0.0, 1.0)
    head: Head = LOGITS
    recipe: Mapping[str, Json] = field(default_factory=dict)
    fitting: Fit = "squash"
    range_given: bool = True
    adapted: Adapted | None = field(default=None, compare=False, repr=False)
    source: "Classifier | None" = None
    wordnet_ids: tuple[str, ...] = ()
    only: tuple[int, ...] = ()

    def restricted_to(self, indices: Sequence[int]) -> "Classifier":
        """Return the classifier with some of its classes: the other outputs are left out of every decision.

        Args:
            indices: of the classes, in their new order.

        Raises:
            UsageError: the model returns its class alone.
        """
        if self.access == "class":
            raise UsageError(
                f"'{self.name}' returns classes without scores: none of its classes can be left out", "leave it out"
            )
        return replace(
            self,
            labels=tuple(self.labels[i] for i in indices),
            wordnet_ids=tuple(self.wordnet_ids[i] for i in indices) if self.wordnet_ids else (),
            only=tuple(self.only[i] if self.only else int(i) for i in indices),
        )

    def fit(self, pixels: ArrayLike) -> Tensor:
        """Resize images to the model's input size: (N, H, W, C) -> (N, h, w, C)."""
        if tuple(pixels.shape[1:3]) == self.image_size:
            return pixels  # pyright: ignore[reportReturnType]  an array does what callers do with a tensor
        if self.fitting == "squash":
            resized = tf.image.resize(pixels, self.image_size, tf.image.ResizeMethod.BICUBIC, antialias=True)
            return clip_to_range(resized)
        return tf.ensure_shape(self._cropped(pixels), (None, *self.image_size, self.channels))

    def _cropped(self, pixels: ArrayLike) -> Tensor:
        """Scale images and cut out their centre, also where their size is known only when a traced function runs."""

        def window(height: np.ndarray, width: np.ndarray) -> np.ndarray:
            scaled, corner = crop_window((int(height), int(width)), self.image_size)
            return np.array([*scaled, *corner], np.int32)

        _, height, width, _ = tf.unstack(tf.shape(pixels))
        rows, columns, top, left = tf.unstack(tf.ensure_shape(numpy_function(window, [height, width], tf.int32), (4,)))
        resized = tf.image.resize(pixels, (rows, columns), tf.image.ResizeMethod.BICUBIC, antialias=True)
        part = resized[:, top : top + self.image_size[0], left : left + self.image_size[1]]
        return clip_to_range(part)

    def to_input(self, pixels: ArrayLike) -> Tensor:
        """Bring images to the model's input size and range: (N, H, W, C) in [0, 1] -> (N, h, w, C)."""
        return self.to_range(self.fit(pixels))

    def to_range(self, pixels: Tensor) -> Tensor:
        """Bring images to the model's input range: (N, H, W, C) in [0, 1] -> (N, H, W, C)."""
        low, high = self.input_range
        return pixels if (low, high) == (0.0, 1.0) else pixels * (high - low) + low

    def logits(self, pixels: ArrayLike, finite_gradient: bool = True) -> Tensor:
        """Classify images in inference mode: (N, H, W, C) in [0, 1] -> (N, K) logits.

        Entries of the gradient with respect to the pixels that are not finite are replaced by zero.
        """
        pixels = with_finite_gradient(pixels) if finite_gradient else pixels
        logits = self.head.logits(self.model(self.to_input(pixels), training=False))
        return tf.gather(logits, self.only, axis=1) if self.only else logits

    def scores(self, pixels: Tensor) -> Tensor:
        """Return the model's own score of each class: (N, H, W, C) in [0, 1] -> (N, K) in [0, 1]."""
        if self.source is not None:
            return self.source.scores(pixels)
        with self.head.put_back():
            scores = self.head.scores(self.model(self.to_input(pixels), training=False))
        if not self.only:
            return scores
        scores = tf.gather(scores, self.only, axis=1)
        if self.head.activation not in ("", "softmax"):
            return scores
        return tf.math.divide_no_nan(scores, tf.reduce_sum(scores, axis=1, keepdims=True))

    @cached_property
    def inference_copy(self) -> "Classifier":
        """Return an inference copy with the current weights, for attacks; it cannot be trained or explained."""
        with tf.init_scope():
            return self.current_copy()

    @cached_property
    def training_copy(self) -> "Classifier":
        """Return an inference copy that reads the weights at each call: no new trace is needed after training."""
        return replace(self, model=TrainingInferenceCopy(self.model), source=self) if self._has_proven_copy else self

    def current_copy(self) -> "Classifier":
        """Return an inference copy with the weights at the point of this call.

        In a traced function that also trains the model, these are the weights at this point of each execution. Called
        before the loop of an attack, it reads and folds the weights once; ``training_copy`` does so at each step.
        """
        return replace(self, model=InferenceCopy(self.model), source=self) if self._has_proven_copy else self

    @property
    def has_gradient(self) -> bool:
        """Return whether the model has gradients; a black box only answers, and a model of integers may have none."""
        return not isinstance(self.model, BlackBox) and (self.adapted is None or self.adapted.differentiable)

    @property
    def access(self) -> Access:
        """Return what an attack can learn from the model."""
        return "gradient" if self.has_gradient else "class" if self.head == CLASSES_ONLY else "scores"

    @property
    def itself(self) -> "Classifier":
        """Return the classifier whose predictions count: the source of an inference copy, or this one."""
        return self.source or self

    def proven_on(self, pixels: np.ndarray) -> "Classifier":
        """Return this copy if its logits agree with its source's on these images, else the source.

        Args:
            pixels: (N, H, W, C) in [0, 1].
        """
        if self.source is None:
            return self
        pixels = pixels[:_COMPARED]
        apart = _apart(self, self.source, tf.constant(pixels, tf.float32))
        return self if apart <= _ROUNDING else _without_copy(self.source, apart)

    @cached_property
    def _has_proven_copy(self) -> bool:
        """Return whether the logits of the inference copy agree with the model's on random images."""
        if self.source is not None or not self.has_gradient:
            return False
        with tf.init_scope():
            size = (_COMPARED // 2, *self.image_size, self.channels)
            noise = np.random.default_rng(0).random(size, dtype=np.float32)
            flat = np.linspace(0, 1, size[0], dtype=np.float32)[:, None, None, None] + 0.1 * (noise - 0.5)
            try:
                copy = replace(self, model=InferenceCopy(self.model), source=self)
                apart = _apart(copy, self, tf.constant(np.concatenate([noise, flat.clip(0, 1)])))
            except (tf.errors.OpError, AttributeError, TypeError, ValueError) as error:
                # A layer in a configuration that its copy does not know; what fails in the model itself, fails again.
                log.warning("no inference copy of '%s' is used: %s", self.name, str(error).partition("\n")[0])
                return False
        if apart > _ROUNDING:
            _without_copy(self, apart)
        return apart <= _ROUNDING

    @property
    def batches(self) -> SmallerBatches:
        """Return what divides batches that do not fit into memory, for a model and its copies together."""
        return self.itself._own_batches

    @cached_property
    def _own_batches(self) -> SmallerBatches:
        # A black box has batches of its own, and reports its own failures.
        return SmallerBatches(can_halve=not isinstance(self.model, BlackBox))

    @cached_property
    def _made(self) -> dict[Hashable, Any]:
        return {}

    def once(self, what: Hashable, make: Callable[[], _Made]) -> _Made:
        """Return ``make()``, computed at the first call and cached for the lifetime of the classifier."""
        if what not in self._made:
            self._made[what] = make()
        return self._made[what]

    @cached_property
    def _traced_logits(self) -> TracedFunction:
        return tf.function(self.logits, input_signature=self._any_images, autograph=False)

    @cached_property
    def _traced_scores(self) -> TracedFunction:
        return tf.function(self.scores, input_signature=self._any_images, autograph=False)

    @property
    def _any_images(self) -> list[object]:
        return [tf.TensorSpec((None, None, None, self.channels), tf.float32)]

    @cached_property
    def proven_head(self) -> Head:
        """Return the head, after a check on random images that outputs taken as logits are not probabilities.

        Other heads were verified when the classifier was loaded.

        Raises:
            AdvcliError: the outputs are taken as logits, but are probabilities.
        """
        if self.head == LOGITS and self.has_gradient:
            size = (4, *self.image_size, self.channels)
            probe = tf.constant(np.random.default_rng(0).random(size, dtype=np.float32))
            if output_head.are_probabilities(self._traced_logits(probe).numpy()):
                message = f"model '{self.name}' returns probabilities instead of logits"
                raise AdvcliError(message, "save it with its softmax as its last layer, in a file of its own")
        return self.head

    def predict(self, pixels: np.ndarray) -> np.ndarray:
        """Return the model's own score of each class: (N, H, W, C) in [0, 1] -> (N, K) in [0, 1].

        The scores are probabilities with sum one, except for models with one sigmoid for each class.

        Raises:
            NotNumbers: the model returns NaN.
        """
        scores = self.answers(pixels)
        if not np.isfinite(scores).all():
            raise NotNumbers(f"model '{self.name}' returns NaN or infinity")
        return scores

    def classes(self, pixels: np.ndarray) -> np.ndarray:
        """Return the predicted classes, ``UNDEFINED`` where the model returns NaN: (N, H, W, C) in [0, 1] -> (N,)."""
        return predicted_classes(self.answers(pixels))

    def predicted(self, pixels: np.ndarray) -> np.ndarray:
        """Return the predicted classes: (N, H, W, C) in [0, 1] -> (N,).

        Raises:
            NotNumbers: the model returns NaN.
        """
        return self.predict(pixels).argmax(axis=1)

    def logits_of(self, pixels: np.ndarray) -> np.ndarray:
        """Return logits: (N, H, W, C) in [0, 1] -> (N, K)."""
        (logits,) = self.batches(lambda part: (self._traced_logits(tf.constant(part, tf.float32)).numpy(),), pixels)
        return logits

    def answers(self, pixels: np.ndarray) -> np.ndarray:
        """Return the model's own score of each class, which may be NaN: (N, H, W, C) in [0, 1] -> (N, K)."""
        if self.source is not None:
            return self.source.answers(pixels)
        (scores,) = self.batches(lambda part: (self._traced_scores(tf.constant(part, tf.float32)).numpy(),), pixels)
        return scores

    def top(self, probabilities: np.ndarray, count: int = 5) -> tuple[Prediction, ...]:
        """Return the ``count`` likeliest classes of one image: (K,) -> predictions."""
        order = np.argsort(-probabilities, kind="stable")[:count]
        return tuple(self.prediction(probabilities, int(i)) for i in order)

    def prediction(self, probabilities: np.ndarray, index: int) -> Prediction:
        """Return the prediction for one class of one image: (K,) -> label, index and probability."""
        return Prediction(self.labels[index], index, float(probabilities[index]))

    def index(self, value: str) -> int:
        """Find a class by name or index.

        Raises:
            UsageError: the model has no such class.
        """
        if value in self.wordnet_ids:
            return self.wordnet_ids.index(value)
        return class_index(self.labels, value)

    def class_named(self, name: str) -> int | None:
        """Return the index of a class by its name or its WordNet id; None if there is none."""
        return class_named(self.labels, name, self.wordnet_ids)

    def save(self, path: Path) -> None:
        """Write the model as it was read, with its own output, its labels and its recipe as one .keras file."""
        height, width = self.image_size
        content = {
            "labels": self.labels,
            "edge": height,
            "channels": self.channels,
            "input_range": self.input_range,
            "head": self.head.name,
            "recipe": dict(self.recipe),
        }
        if self.wordnet_ids:
            content["wordnet_ids"] = self.wordnet_ids
        if width != height:
            content["width"] = width
        if self.adapted is not None:
            content["output"] = self.adapted.output
        model = self.model if self.adapted is None else self.adapted.original
        with atomic.whole_file(path) as file:
            temporary = Path(file.name)
            named = temporary.with_name(f"{temporary.name}.keras")
            try:
                with self.head.put_back():
                    model.save(named)
                with zipfile.ZipFile(named, "a") as archive:
                    archive.writestr(OWN_CONTENT, json.dumps(content, ensure_ascii=False))
                named.replace(temporary)
            finally:
                named.unlink(missing_ok=True)


def predicted_classes(scores: np.ndarray) -> np.ndarray:
    """Return the classes with the highest score, ``UNDEFINED`` where scores are not finite: (N, K) -> (N,)."""
    return np.where(np.isfinite(scores).all(axis=1), scores.argmax(axis=1), UNDEFINED)


def _apart(copy: Classifier, model: Classifier, pixels: Tensor) -> float:
    """Return the largest difference between a copy's logits and the model's, relative to the largest logit."""

    def logits(classifier: Classifier) -> np.ndarray:
        return classifier.batches(lambda part: (np.asarray(classifier.logits(tf.constant(part))),), np.asarray(pixels))[
            0
        ]

    return disagreement(lambda: logits(copy), lambda: logits(model))


def _without_copy(classifier: Classifier, apart: float) -> Classifier:
    log.warning(
        "no inference copy of '%s' is used: its logits differ from the model's by %.1e of the largest",
        classifier.name,
        apart,
    )
    return classifier
