"""Accuracy over a physical parameter, and how much of it a model tolerates."""

from dataclasses import dataclass
from typing import ClassVar

from advcli.records.base import Record


@dataclass(frozen=True, kw_only=True)
class Swept(Record):
    """The accuracy of a model over the physical parameter of a corruption, from its weakest value to its strongest.

    ``perturbation`` is the corruption's spec without ``parameter``. The lists are parallel: at ``values[i]``, in
    ``unit``, the spec is ``perturbations[i]``, of which there is a score, too, and the accuracy ``accuracies[i]``, with
    its Wilson 95% interval ``lows[i]`` to ``highs[i]``. ``log`` is whether the values are on a logarithmic scale.
    """

    type: ClassVar[str] = "sweep"

    perturbation: str
    parameter: str
    unit: str
    log: bool
    values: tuple[float, ...]
    perturbations: tuple[str, ...]
    accuracies: tuple[float, ...]
    lows: tuple[float, ...]
    highs: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Tolerance(Record):
    """The strongest value of a corruption's parameter up to which a model meets a required accuracy.

    Up to ``value`` the lower bound of the accuracy's Wilson 95% interval is at least ``required`` at every measured
    value; null if it is not on the clean images, or not where the sweep begins. ``censored`` is whether it still is
    where the sweep ends: ``value`` is then that end. ``low`` to ``high`` is the 95% interval of the value at which the
    accuracy itself falls below ``required``: its weak end is ``value``, its strong end the value at which the upper
    bound falls below ``required``; an end is null where the sweep does not reach it. ``evaluations`` counts the values
    that were measured beside the points of the sweep. ``met`` is whether the tolerance reaches ``hold``; both are null
    without ``--hold``. ``statement`` says the result in words, after the model's name.
    """

    type: ClassVar[str] = "tolerance"

    perturbation: str
    parameter: str
    unit: str
    value: float | None
    low: float | None
    high: float | None
    required: float
    censored: bool
    evaluations: int
    hold: float | None
    met: bool | None
    statement: str
