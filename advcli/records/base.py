"""The base of all records, and the progress that a task reports."""

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Any, ClassVar

from advcli import __version__

# A value of a JSON document; its type is checked where it is used.
Json = Any
# Values of a record's fields, by name.
Fields = dict[str, Any]


@dataclass(frozen=True)
class Progress:
    """The progress of a task; shown on a terminal, never part of its result."""

    what: str
    done: int
    of: int


@dataclass(frozen=True, kw_only=True)
class Record:
    """A record with the fields that all records have: the model, the data, the seed and the version."""

    type: ClassVar[str] = ""

    model: str
    data: str
    seed: int
    version: str = __version__

    def to_json(self) -> str:
        """Return the record as one line of JSON; numbers that are not finite become null."""
        return json.dumps(self._content(), ensure_ascii=False)

    def to_text(self) -> str:
        """Return the record as ASCII JSON without the time, so that equal calls write equal files."""
        return json.dumps({key: value for key, value in self._content().items() if key != "seconds"})

    def _content(self) -> dict[str, Json]:
        return _finite({"type": self.type} | dataclasses.asdict(self))


@dataclass(frozen=True)
class Prediction:
    """One class of an image and its predicted probability."""

    label: str
    index: int
    confidence: float


@dataclass(frozen=True, kw_only=True)
class Failed(Record):
    """One image that could not be processed."""

    type: ClassVar[str] = "failed"

    image: str
    error: str


@dataclass(frozen=True, kw_only=True)
class Queried(Record):
    """What a remote model was asked by this call, from its loading to the end.

    ``images`` were sent in ``requests``; images that were asked about twice in a batch were sent once. ``seconds`` is
    the time until its answers had come.
    """

    type: ClassVar[str] = "queried"

    images: int
    requests: int
    seconds: float


def _finite(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
