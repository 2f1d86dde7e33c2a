"""The tolerance: the strongest value of a sweep at which the accuracy is still known to meet a requirement.

At each value r the accuracy has a Wilson 95% interval [low(r), high(r)]. The tolerance is the strongest measured value
up to which low(r) >= q at every measured value, and so on the clean images. Its 95% interval inverts that of the
accuracy: it holds the values r with low(r) <= q <= high(r). It begins at the tolerance, and ends where high(r) first
falls below q, interpolated between two measured values.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from advcli.records.base import Fields
from advcli.tasks.benchmark.sweeps import Sweep

# The lower and the upper bound of an accuracy.
Bounds = tuple[float, float]
# Further values of a sweep that are measured at most, for each model.
MOST_FURTHER = 8
# Of the range: a crossing is not looked for more closely.
_RESOLUTION = 0.01
_LOW, _HIGH = 0, 1


@dataclass(frozen=True)
class _Crossing:
    """Where a bound of the accuracy falls below the requirement.

    Args:
        above: the strongest value before it; None if there is none.
        below: the first value after it; None if there is none.
    """

    above: float | None
    below: float | None


def next_value(sweep: Sweep, clean: Bounds, bounds: Mapping[float, Bounds], required: float) -> float | None:
    """Return the value to measure next, by bisection; None if the tolerance is known.

    The lower bound comes first, as it gives the tolerance itself; the further values that are left are spent on the
    upper bound.

    Args:
        sweep: the sweep, all of whose planned values are measured.
        clean: the bounds of the clean accuracy.
        bounds: value -> the bounds of the accuracy there.
        required: the accuracy that must be met.
    """
    first = _crossing(sweep, bounds, required, _LOW)
    if clean[_LOW] < required or first.above is None or _further(sweep, bounds) >= MOST_FURTHER:
        return None
    hold = sweep.hold
    if hold is not None and _between(sweep, first, hold):
        # So that its own accuracy decides.
        return hold
    for crossing in (first, _crossing(sweep, bounds, required, _HIGH)):
        if crossing.above is None or crossing.below is None:
            continue
        ends = sweep.position(crossing.above), sweep.position(crossing.below)
        middle = sweep.value_at(sum(ends) / 2)
        if ends[1] - ends[0] > _RESOLUTION and middle not in bounds:
            return middle
    return None


def tolerance_fields(sweep: Sweep, clean: Bounds, bounds: Mapping[float, Bounds], required: float) -> Fields:
    """Return the fields of a tolerance's record.

    Args:
        sweep: the sweep.
        clean: the bounds of the clean accuracy.
        bounds: value -> the bounds of the accuracy there.
        required: the accuracy that must be met.
    """
    first, last = (_crossing(sweep, bounds, required, end) for end in (_LOW, _HIGH))
    value = None if clean[_LOW] < required else first.above
    beyond = sweep.values[0] if clean[_HIGH] < required else _interpolated(sweep, bounds, required, last)
    low, high = (value, beyond) if sweep.increasing else (beyond, value)
    censored = value is not None and first.below is None
    met = value is not None and sweep.hold is not None and sweep.position(value) >= sweep.position(sweep.hold)
    return {
        "perturbation": sweep.title,
        "parameter": sweep.parameter,
        "unit": sweep.unit,
        "value": value,
        "low": low,
        "high": high,
        "required": required,
        "censored": censored,
        "evaluations": _further(sweep, bounds),
        "hold": sweep.hold,
        "met": None if sweep.hold is None else met,
        "statement": _statement(sweep, clean, bounds, value, required, censored),
    }


def _crossing(sweep: Sweep, bounds: Mapping[float, Bounds], required: float, end: int) -> _Crossing:
    above = None
    for value in sorted(bounds, key=sweep.position):
        if bounds[value][end] < required:
            return _Crossing(above, value)
        above = value
    return _Crossing(above, None)


def _interpolated(sweep: Sweep, bounds: Mapping[float, Bounds], required: float, crossing: _Crossing) -> float | None:
    """Return where the upper bound falls below the requirement; None if it does not."""
    above, below = crossing.above, crossing.below
    if above is None or below is None or sweep.whole:
        return below
    start, end = sweep.position(above), sweep.position(below)
    share = (bounds[above][_HIGH] - required) / (bounds[above][_HIGH] - bounds[below][_HIGH])
    return sweep.value_at(start + share * (end - start))


def _further(sweep: Sweep, bounds: Mapping[float, Bounds]) -> int:
    return len(bounds.keys() - set(sweep.values))


def _between(sweep: Sweep, crossing: _Crossing, value: float) -> bool:
    above, below = crossing.above, crossing.below
    if above is None or below is None:
        return False
    return sweep.position(above) < sweep.position(value) < sweep.position(below)


def _statement(
    sweep: Sweep, clean: Bounds, bounds: Mapping[float, Bounds], value: float | None, required: float, censored: bool
) -> str:
    if clean[_LOW] < required:
        return f"has no tolerance: the lower bound of the clean accuracy is {clean[_LOW]:.1%}, less than {required:.4g}"
    if value is None:
        weakest = sweep.values[0]
        bound = f"the lower bound of the accuracy is {bounds[weakest][_LOW]:.1%}, less than {required:.4g}"
        return f"does not hold to {_spell(sweep, weakest)}, where the sweep begins: {bound}"
    return f"holds to {_spell(sweep, value)}" + (" at least, where the sweep ends" if censored else "")


def _spell(sweep: Sweep, value: float) -> str:
    unit = sweep.parameter if sweep.unit.startswith(sweep.parameter) else sweep.unit
    if " " in unit or not unit:
        return f"{sweep.title} with {sweep.parameter} {value:.10g}"
    return f"{value:.10g} {unit} of {sweep.title}"
