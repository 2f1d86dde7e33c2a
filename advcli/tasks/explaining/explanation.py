"""All that one model says of one image: its views, their maps, how these moved and why."""

from dataclasses import dataclass

import numpy as np

from advcli.explainers import Shown, is_evidence
from advcli.model import Classifier
from advcli.records import Shift
from advcli.tasks.explaining.flip import Flip
from advcli.tasks.explaining.perturbed import Pair
from advcli.tasks.explaining.views import Question, View

LEAST_SIDE = 8


@dataclass(frozen=True)
class Map:
    """The map of one question by one method.

    Args:
        question: what it explains.
        method: the method's name.
        kind: ``pixels``, ``map`` or ``picture``.
        signed: whether negative values speak against the class.
        shown: the layer it is computed on; None if on the pixels.
        relevance: (edge, edge), raw; a picture is (edge, edge, C) in [0, 1].
        moved: how far it is from the clean image's map; None where that says nothing.
        floor: how far noise of the same size moves that map.
        completeness: how much of the score's change its sum misses, where it should be that.
        seconds: what it took.
        clean: (edge, edge) the clean image's map of the same class; None if it was not computed.
    """

    question: Question
    method: str
    kind: str
    signed: bool
    shown: Shown | None
    relevance: np.ndarray
    moved: Shift | None
    floor: Shift | None
    completeness: float | None
    seconds: float
    clean: np.ndarray | None = None

    @property
    def evidence(self) -> bool:
        """Whether the map tells pixels apart at all."""
        return bool(is_evidence(self.relevance[None])[0])


@dataclass(frozen=True)
class Explanation:
    """What one model says of one image.

    Args:
        classifier: the model.
        views: the image as it is, and the adversarial one if there is one.
        true: the true class, where it is known.
        pair: the pixels of both.
        maps: a map a question and method.
        flip: why the adversarial image fools, if it does.
        flip_seconds: what finding that out took.
    """

    classifier: Classifier
    views: tuple[View, ...]
    true: int | None
    maps: tuple[Map, ...]
    pair: Pair | None = None
    flip: Flip | None = None
    flip_seconds: float = 0.0

    @property
    def origin(self) -> int:
        """The class the image is of: the true one, or what the model takes the clean image for."""
        return self.views[0].predicted if self.true is None else self.true

    @property
    def group(self) -> str:
        """``right`` if the prediction holds, ``fooled`` if it does until the attack, ``wrong`` if it never does."""
        if self.views[0].predicted != self.origin:
            return "wrong"
        return "right" if self.views[-1].predicted == self.origin else "fooled"

    def view(self, name: str) -> View:
        """Return the view of a name."""
        return next(view for view in self.views if view.name == name)
