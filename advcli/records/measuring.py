"""Results files of ``advcli benchmark``: the protocol, and the predictions batch by batch."""

from dataclasses import dataclass, field
from typing import ClassVar

from advcli.records.base import Json, Record


@dataclass(frozen=True, kw_only=True)
class Measurement(Record):
    """A record about one perturbation, with its strength.

    ``norm`` and ``eps`` are null for a perturbation without a ball; ``severity`` is null except for a corruption.
    """

    perturbation: str
    norm: str | None
    eps: float | None
    severity: int | None

    @property
    def place(self) -> dict[str, Json]:
        """The fields that identify the perturbation."""
        return {"perturbation": self.perturbation, "norm": self.norm, "eps": self.eps, "severity": self.severity}


@dataclass(frozen=True, kw_only=True)
class MeasuredModel:
    """What a protocol says of a model, as far as it is read back; ``width`` is null if images are square."""

    name: str
    fingerprint: str
    edge: int
    width: int | None = None
    channels: int
    labels: tuple[str, ...]
    recipe: dict[str, Json]
    class_order: str | None = None
    outputs: tuple[int, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Protocol(Record):
    """The protocol of an evaluation: the first line of a results file, checked on ``--resume``.

    ``models`` and ``perturbations`` hold everything that the results depend on. ``sample`` is a hash of all
    images of the evaluation, ``pixels`` of the images of this ``shard`` at each model's size. ``options``
    are the options of the command, from which the evaluation can be repeated. ``surrogate`` is the model that attacks
    see, if it is another one. ``requirements`` is the SHA-256 of the file of requirements, if there is one.
    ``repeats`` is the number of predictions for each image, of which the first wrong one is recorded.
    """

    type: ClassVar[str] = "protocol"

    models: tuple[dict[str, Json], ...]
    classes: tuple[str, ...]
    images: int
    sample: str
    pixels: dict[str, str]
    perturbations: tuple[dict[str, Json], ...]
    certify: str | None
    shard: str | None
    options: dict[str, Json]
    environment: dict[str, str]
    surrogate: dict[str, str] | None = None
    requirements: str | None = None
    repeats: int = 1


@dataclass(frozen=True, kw_only=True)
class Verdicts(Measurement):
    """The predictions for one finished batch; only in results files.

    ``indices`` are the images' indices in the whole sample, not in the shard. ``labels`` are the true classes as
    indices of the model's outputs, recorded with the clean images only; so are ``columns``, what the data says of each
    image besides its class. ``crafted_on`` is the model that the
    images were perturbed against, in a transfer evaluation. ``members`` is recorded for a suite of attacks: the
    index of the member that fooled each image, -1 where none did. ``queries`` counts the different images that a
    remote model was asked about for this batch; null for other models. ``confidence``, ``log_loss`` and
    ``squared_error`` are what the model believes of each image (as in ``Calibration``), to six significant digits (a
    confidence near 1 to six of its distance to 1), null for NaN; empty for a model that returns classes alone.
    """

    type: ClassVar[str] = "verdicts"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    labels: tuple[int, ...] = ()
    columns: dict[str, tuple[str, ...]] = field(default_factory=dict)
    crafted_on: str | None = None
    members: tuple[int, ...] = ()
    queries: int | None = None
    confidence: tuple[float | None, ...] = ()
    log_loss: tuple[float | None, ...] = ()
    squared_error: tuple[float | None, ...] = ()
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Smoothed(Record):
    """The certificates of one finished batch; -1 where the smoothed model abstains; only in results files."""

    type: ClassVar[str] = "smoothed"

    indices: tuple[int, ...]
    predicted: tuple[int, ...]
    radii: tuple[float, ...]
    seconds: float
