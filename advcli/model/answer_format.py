"""What the answers of a black box are: logits, probabilities, or classes by number or name."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from advcli.data.class_names import class_named
from advcli.errors import AdvcliError
from advcli.model import output_head
from advcli.model.output_head import LOGITS, Head

# What a function is declared to return; empty if that is not known.
Scores = Literal["", "logits", "probabilities", "classes"]

# The answer is a class: the scores are one for it and zero for the others.
CLASSES_ONLY = Head("classes without scores", "softmax")
_SIGMOIDS = Head("inverse of its sigmoid", "sigmoid")
_ONE_SIGMOID = Head("inverse of its sigmoid", "sigmoid", single=True)


@dataclass(frozen=True)
class AnswerFormat:
    """The format of all answers, as the first ones show it.

    Args:
        name: the model in messages.
        width: the number of scores for an image.
        labels: the class names, if the answers are classes.
    """

    name: str
    width: int
    labels: Sequence[str] | None = None

    @property
    def no_scores(self) -> np.ndarray:
        """The scores of no image: (0, K)."""
        return np.zeros((0, self.width), np.float32)

    def scores(self, answers: np.ndarray) -> np.ndarray:
        """Return answers as scores: (N, K), or classes as (N,) or (N, 1) -> (N, K) float32.

        Raises:
            AdvcliError: they are of another format.
        """
        if self.labels is not None:
            return self._of_classes(answers, self.labels)
        if answers.ndim != 2 or answers.shape[1] != self.width or answers.dtype.kind not in "fiub":
            message = f"'{self.name}' returns scores of the shape {answers.shape[1:]}, and ({self.width},) before"
            raise AdvcliError(message)
        return answers.astype(np.float32)

    def head(self, answers: np.ndarray, declared: Scores, tolerance: float) -> Head:
        """Return how scores become logits.

        Args:
            answers: the first ones.
            declared: what they are declared to be.
            tolerance: how far from the truth a score may be.
        """
        scores = self.scores(answers).astype(np.float64)
        if self.labels is not None:
            return CLASSES_ONLY
        bounded = bool(scores.min() >= 0 and scores.max() <= 1)
        if self.width == 1:
            is_probability = declared == "probabilities" or (bounded and not declared)
            return _ONE_SIGMOID if is_probability else Head(output_head.ONE_LOGIT, single=True)
        if declared == "logits":
            return LOGITS
        sums = scores.sum(axis=1)
        if scores.min() >= 0 and np.abs(sums - 1).max() <= 10 * tolerance * self.width:
            return output_head.LOGARITHM
        return _SIGMOIDS if declared == "probabilities" or bounded else LOGITS

    def _of_classes(self, answers: np.ndarray, labels: Sequence[str]) -> np.ndarray:
        flat = answers.reshape(len(answers), -1)
        if flat.shape[1] != 1:
            raise AdvcliError(f"'{self.name}' returns {flat.shape[1]} values an image instead of a class")
        named = flat.dtype.kind in "US"
        indices = []
        for value in flat[:, 0].tolist():
            place = class_named(labels, value) if named else value
            if place is None or not 0 <= place < len(labels) or place != int(place):
                raise AdvcliError(
                    f"'{self.name}' returns the class {value}, which is not one of the {len(labels)} classes"
                )
            indices.append(int(place))
        return np.eye(len(labels), dtype=np.float32)[indices]


def recognize(name: str, labels: Sequence[str], declared: Scores, answers: np.ndarray) -> AnswerFormat:
    """Recognize the format of a model's first answers.

    Args:
        name: the model in messages.
        labels: the class names, if they are known.
        declared: what the answers are declared to be.
        answers: the first ones.

    Raises:
        AdvcliError: they are not scores or classes of the images, or there are no names of the classes.
    """
    whole = answers.dtype.kind in "iu" and declared == ""
    if declared == "classes" or answers.dtype.kind in "US" or whole:
        if not labels:
            message = f"'{name}' returns classes without scores, and their number is not known"
            raise AdvcliError(message, "give the class names with --labels")
        return AnswerFormat(name, len(labels), labels)
    if answers.ndim != 2 or answers.shape[1] < 1:
        message = f"'{name}' is not a classifier: its output for an image has the shape {answers.shape[1:]}"
        raise AdvcliError(message, "it must return one value a class")
    return AnswerFormat(name, answers.shape[1])
