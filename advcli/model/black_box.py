"""A model that only answers: the scores or the classes of images, without gradients, layers or weights."""

import contextlib
import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from advcli.backend import KerasModel, Tensor, Variable, tf
from advcli.errors import AdvcliError
from advcli.model.answer_cache import AnswerCache
from advcli.model.answer_format import AnswerFormat, Scores, recognize
from advcli.model.output_head import Head
from advcli.tracing import numpy_function

# What an attack may see of a model, the most first: gradients and layers (white box), the scores of the classes
# (score-based attacks), the predicted class (decision-based attacks).
Access = Literal["gradient", "scores", "class"]
ACCESS_LEVELS: tuple[Access, ...] = ("gradient", "scores", "class")

_PATIENCE = 0.1


@dataclass(frozen=True)
class ScoreFunction:
    """A function from images to scores, and what its format says of it.

    Args:
        predict: (N, H, W, C) float32 in the range of its input -> (N, K) scores, or (N,) or (N, 1) classes.
        identity: all that its answers depend on, as far as that is known.
        image_size: the image size in pixels; None if it is not known.
        channels: 3, or 1 for grey images.
        input_range: the values for black and white; None if they are not known.
        max_batch: the most images in one call.
        scores: what it returns; empty if that is not known.
        labels: the class names, if they are known.
        tolerance: how far from the truth a score may be: the step of a quantised output.
        remote: a call may cost money and time, so its results are kept and used again.
        seconds_per_image: the least time for an image, where the rate of calls is limited.
    """

    predict: Callable[[np.ndarray], object]
    identity: bytes
    image_size: int | None
    channels: int = 3
    input_range: tuple[float, float] | None = None
    max_batch: int = 1 << 30
    scores: Scores = ""
    labels: tuple[str, ...] = ()
    tolerance: float = 1e-5
    remote: bool = False
    seconds_per_image: float = 0.0


class BlackBox:
    """A function from images to scores, with the interface of a Keras model that only answers.

    Args:
        function: the function.
        name: its name in messages.
        labels: the class names, if they are known.
    """

    weights: tuple[Variable, ...] = ()

    def __init__(self, function: ScoreFunction, name: str, labels: tuple[str, ...]) -> None:
        self.function = function
        self.failure: Exception | None = None
        self.images = self.calls = 0
        self.seconds = 0.0
        self._name = name
        self._labels = labels or function.labels
        self._format: AnswerFormat | None = None
        self._cache = AnswerCache() if function.remote else None
        self._anew = False
        self._times: Counter[bytes] = Counter()
        self._lock = threading.Lock()
        self._interrupted: Callable[[], bool] = lambda: False

    def __call__(self, images: Tensor, training: bool = False) -> Tensor:
        """Compute the scores, also inside a traced function: (N, H, W, C) -> (N, K)."""
        scores = numpy_function(self._answer, [tf.cast(images, tf.float32)], tf.float32)
        return tf.ensure_shape(scores, (None, self._opened.width))

    def open(self, probe: np.ndarray) -> tuple[Head, int]:
        """Ask about some images, and return what the answers are and how many classes there are.

        Raises:
            AdvcliError: the answers are not scores or classes of the images.
        """
        answers = np.concatenate([self._call(part) for part in self._parts(probe)])
        self._format = recognize(self._name, self._labels, self.function.scores, answers)
        return self._format.head(answers, self.function.scores, self.function.tolerance), max(self._format.width, 2)

    def ask(self, images: np.ndarray) -> np.ndarray:
        """Return the scores: (N, H, W, C) float32 -> (N, K) float32.

        Raises:
            AdvcliError: the function fails, or returns something else.
        """
        with self._lock:
            if self._cache is None:
                parts = [self._opened.scores(self._call(part)) for part in self._parts(images)]
                return np.concatenate(parts) if parts else self._opened.no_scores
            return self._asked_once(images, self._cache)

    @property
    def _opened(self) -> AnswerFormat:
        if self._format is None:
            raise ValueError("the model is not opened")
        return self._format

    def keep_answers(self, file: Path) -> None:
        """Keep the answers of an unfinished batch in a file, and use those that it has."""
        if self._cache is not None:
            self._cache = AnswerCache(file)

    @property
    def queries(self) -> int | None:
        """How many different images the current batch has asked about, or times anew; None if that costs nothing."""
        return None if self._cache is None else self._cache.queries

    def stop_when(self, interrupted: Callable[[], bool]) -> None:
        """End a question, and a traced loop of questions, once this is true."""
        self._interrupted = interrupted

    def end_batch(self) -> None:
        """End a batch: its answers are not needed any more."""
        self._times.clear()
        if self._cache is not None:
            self._cache.end_batch()

    def _asked_once(self, images: np.ndarray, cache: AnswerCache) -> np.ndarray:
        keys = [self._key(image) for image in images]
        known = {key: scores for key in keys if (scores := cache.get(key)) is not None}
        rows = {key: row for row, key in enumerate(keys) if key not in known}
        for part in self._parts(np.array(list(rows.values()), int)):
            for row, scores in zip(part, self._opened.scores(self._call(images[part])), strict=True):
                cache.put(keys[row], scores)
                known[keys[row]] = scores
            cache.flush()
        found = [known[key] for key in keys]
        return np.stack(found) if found else self._opened.no_scores

    def _key(self, image: np.ndarray) -> bytes:
        key = hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16)
        if self._anew:
            # The number of the question, not chance, so that an evaluation that is resumed finds the answers.
            image_key = key.digest()
            self._times[image_key] += 1
            key.update(str(self._times[image_key]).encode())
        return key.digest()

    @contextlib.contextmanager
    def _asking_anew(self) -> Iterator[None]:
        before, self._anew = self._anew, True
        try:
            yield
        finally:
            self._anew = before

    def _answer(self, images: np.ndarray) -> np.ndarray:
        """Answer TensorFlow, which reports a failure by its text only."""
        try:
            if self._interrupted():
                raise AdvcliError("interrupted")
            return self._interruptibly(images) if self.function.remote else self.ask(images)
        except Exception as error:
            self.failure = error
            raise

    def _interruptibly(self, images: np.ndarray) -> np.ndarray:
        """Ask in another thread, and do not wait for its answer after Ctrl-C."""
        found: list[np.ndarray | Exception] = []

        def ask() -> None:
            try:
                found.append(self.ask(images))
            except Exception as error:  # noqa: BLE001  it is raised again in the thread that waits
                found.append(error)

        thread = threading.Thread(target=ask, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(_PATIENCE)
            if self._interrupted():
                raise AdvcliError("interrupted")
        if isinstance(found[0], Exception):
            raise found[0]
        return found[0]

    def _parts(self, images: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(images), self.function.max_batch):
            yield images[start : start + self.function.max_batch]

    def _call(self, images: np.ndarray) -> np.ndarray:
        start = time.perf_counter()
        try:
            answers = self.function.predict(images)
        finally:
            self.seconds += time.perf_counter() - start
        self.images += len(images)
        self.calls += 1
        try:
            answers = np.asarray(answers)
        except ValueError:  # rows of different lengths
            answers = np.asarray(None)
        if answers.ndim == 0 or len(answers) != len(images):
            count = "something else" if answers.ndim == 0 else f"{len(answers)} answers"
            raise AdvcliError(f"'{self._name}' returns {count} for {len(images)} images", "it must return one an image")
        return answers


def asking_anew(model: KerasModel) -> contextlib.AbstractContextManager[None]:
    """Have a black box asked again about images whose answers it keeps: the answers of a randomised model differ."""
    return model._asking_anew() if isinstance(model, BlackBox) else contextlib.nullcontext()


def end_batch(model: KerasModel) -> None:
    """End a batch of a classifier's model, if it is a black box."""
    if isinstance(model, BlackBox):
        model.end_batch()
