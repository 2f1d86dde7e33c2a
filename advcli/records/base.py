"""What every record is, and what is said while a task works."""

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


@dataclass(frozen=True)
class Prediction:
    """One class a classifier gave an image, and the probability it gave it."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Failed(Record):
    """One image that could not be worked on; the others were."""

    type: ClassVar[str] = "failed"

    image: str
    error: str


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
