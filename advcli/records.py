"""Records: the only thing that leaves a task, and the public interface of ``--json``."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from advcli import __version__


@dataclass(frozen=True)
class Progress:
    """How far a task is; shown while it works, never part of its result."""

    what: str
    done: int
    of: int


@dataclass(frozen=True)
class Prediction:
    """One class a classifier gave an image, and the probability it gave it."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every record says: the model, the data, the seed and the version."""

    type: ClassVar[str] = ""

    model: str
    data: str
    seed: int
    version: str = __version__

    def to_json(self) -> str:
        """Return the record as one line of JSON; numbers that are not finite become null."""
        return json.dumps(self._content(), ensure_ascii=False)

    def to_text(self) -> str:
        """Return the record as a file carries it: in ASCII, without the time, so that equal calls write equal bytes."""
        return json.dumps({key: value for key, value in self._content().items() if key != "seconds"})

    def _content(self) -> dict[str, Any]:
        return _finite({"type": self.type} | dataclasses.asdict(self))


@dataclass(frozen=True, kw_only=True)
class Attacked(Record):
    """One image attacked; predictions and sizes are measured on the 8-bit pixels of ``output``.

    ``norm`` and ``eps`` are null for an attack that has no radius; with ``minimal`` the radius is the
    smallest that fooled. ``queries`` counts how often the model was asked about this image.
    """

    type: ClassVar[str] = "attacked"

    image: str
    output: str | None
    attack: str
    norm: str | None
    eps: float | None
    minimal: bool
    target: str | None
    target_index: int | None
    label: str
    before: Prediction
    after: Prediction
    before_top: tuple[Prediction, ...]
    after_top: tuple[Prediction, ...]
    fooled: bool
    linf: float
    l2: float
    l1: float
    pattern: str | None
    clean_output: str | None
    difference_output: str | None
    difference_times: float | None
    queries: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Crafted(Record):
    """One pattern crafted over many images, and the file that holds it."""

    type: ClassVar[str] = "crafted"

    output: str
    attack: str
    norm: str | None
    eps: float | None
    target: str | None
    images: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Failed(Record):
    """One image that could not be worked on; the others were."""

    type: ClassVar[str] = "failed"

    image: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Score(Record):
    """How many images of a data set a model still gets right under one perturbation.

    ``accuracy`` is of all images, with its Wilson 95% interval ``low`` to ``high``;
    ``accuracy_of_clean_correct`` is of those that are right without any perturbation.
    """

    type: ClassVar[str] = "score"

    perturbation: str
    protocol: str
    norm: str | None
    eps: float | None
    severity: int | None
    images: int
    correct: int
    accuracy: float
    low: float
    high: float
    accuracy_of_clean_correct: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Epoch(Record):
    """One pass over the training data.

    ``clean``, ``robust`` (under PGD-10) and ``single_step`` (under FGSM) are validation accuracies,
    ``zero_gradients`` the share of validation images without any gradient, ``ema_...`` the same of the
    averaged weights; ``eps`` is the radius at the epoch's end, ``guard`` the alarms it gave, ``rollbacks``
    how often the run had been taken back before.
    """

    type: ClassVar[str] = "epoch"

    epoch: int
    of: int
    stage: int
    stages: int
    loss: float
    train_accuracy: float
    clean: float
    robust: float
    single_step: float
    zero_gradients: float
    ema_clean: float | None
    ema_robust: float | None
    learning_rate: float
    eps: float
    guard: tuple[str, ...]
    rollbacks: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Planned(Record):
    """What a run would take, estimated from a few steps; memory and disk are in bytes."""

    type: ClassVar[str] = "planned"

    parameters: int
    images: int
    steps_an_epoch: int
    epochs: int
    seconds_to_begin: float
    seconds_a_step: float
    seconds_a_validation: float
    seconds_an_epoch: float
    seconds: float
    memory: int
    disk: int
    cheaper: str | None
    cheaper_seconds_a_step: float | None


@dataclass(frozen=True, kw_only=True)
class Trained(Record):
    """A finished run: where it is, and which epoch's weights its model has."""

    type: ClassVar[str] = "trained"

    output: str
    backbone: str
    objective: str
    norm: str
    eps: float
    best_epoch: int
    clean: float
    robust: float
    validation_images: int
    robust_images: int
    best_clean_epoch: int
    ema_epoch: int | None
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Explained(Record):
    """One map of what one class of one image rests on; ``layer`` is the one shown, if not the pixels."""

    type: ClassVar[str] = "explained"

    image: str
    view: str
    method: str
    layer: str | None
    label: str
    index: int
    confidence: float
    maximum: float
    output: str
    sheet: str
    top: tuple[Prediction, ...]
    seconds: float


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
