"""A sweep: one corruption at several values of its physical parameter, from the weakest to the strongest."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import get_args, get_type_hints

from advcli import registry
from advcli.corruptions import PhysicalCorruption, build_corruption, spec_parts
from advcli.errors import UsageError, nearest
from advcli.tasks.benchmark.perturbations import Perturbation, corruptions_of

_MOST_POINTS = 100
_EXAMPLE = "write LOW..HIGH/POINTS, such as defocus:radius=0..6/7 or low_light:photons=1000..10/7,log"
# Values are rounded to this part of the range, so that specs stay short.
_GRAIN = 1e-3
_PLACE = "\0"


@dataclass(frozen=True)
class Sweep:
    """A corruption at several values of its parameter. A position is 0 at the weakest value and 1 at the strongest.

    Args:
        title: its spec without the parameter.
        before: its spec before the value.
        after: its spec behind the value.
        parameter: the name of the parameter.
        unit: the unit of the parameter.
        weakest: the value where the corruption is weakest.
        strongest: the value where it is strongest.
        points: the number of values.
        log: whether the values are equally spaced on a logarithmic scale.
        whole: whether the values are whole numbers.
        hold: the value that the tolerance must reach, if one is required.
    """

    title: str
    before: str
    after: str
    parameter: str
    unit: str
    weakest: float
    strongest: float
    points: int
    log: bool = False
    whole: bool = False
    hold: float | None = None

    @property
    def increasing(self) -> bool:
        """Whether a greater value is stronger."""
        return self.strongest > self.weakest

    @cached_property
    def values(self) -> tuple[float, ...]:
        """The planned values, the weakest first."""
        steps = range(self.points)
        return tuple(dict.fromkeys(self.value_at(step / (self.points - 1)) for step in steps))

    def position(self, value: float) -> float:
        """Return the position of a value."""
        low, at, high = (math.log(v) if self.log else v for v in (self.weakest, value, self.strongest))
        return (at - low) / (high - low)

    def value_at(self, position: float) -> float:
        """Return the value at a position, rounded to a thousandth of the range there."""
        if position in (0, 1):
            return self.strongest if position else self.weakest
        if self.log:
            ratio = math.log(self.strongest / self.weakest)
            value = self.weakest * math.exp(position * ratio)
            grain = _GRAIN * value * abs(ratio)
        else:
            value = self.weakest + position * (self.strongest - self.weakest)
            grain = _GRAIN * abs(self.strongest - self.weakest)
        return float(round(value, 0 if self.whole else math.ceil(-math.log10(grain))))

    def spec_at(self, value: float) -> str:
        """Return the spec of the corruption at a value."""
        return f"{self.before}{value:.10g}{self.after}"

    def perturbation(self, value: float) -> Perturbation:
        """Return the perturbation at a value."""
        (found,) = corruptions_of([self.spec_at(value)], ())
        return found

    def value_in(self, spec: str) -> float | None:
        """Return the value in a spec of this corruption whose other options are the same; None for another spec."""
        if not (spec.startswith(self.before) and spec.endswith(self.after)):
            return None
        inside = spec[len(self.before) : len(spec) - len(self.after)]
        return None if set(inside) & set(",+:") else registry.number(inside, "--hold")


def read_sweep(text: str) -> Sweep:
    """Read ``--sweep``: the spec of a corruption with a range in the place of its parameter's value.

    A range is ``LOW..HIGH/POINTS``, with ``,log`` behind it for a logarithmic scale; either end may be the weaker one.

    Raises:
        UsageError: there is no such corruption, its parameter has no range, or a value of the range is invalid.
    """
    parts = [_Part.read(part) for part in spec_parts(text)]
    ranges = [(part, item) for part in parts for item in part.items if ".." in item]
    if len(ranges) != 1:
        raise UsageError(f"--sweep has {'several ranges' if ranges else 'no range'}: '{text}'", _EXAMPLE)
    ((swept, item),) = ranges
    component = registry.component("corruptions", swept.name)
    key, _, span = item.partition("=")
    if not issubclass(component, PhysicalCorruption):
        raise UsageError(f"'{swept.name}' has no physical parameter to sweep", _sweepable())
    if key.replace("-", "_") != component.parameter:
        hint = f"write {swept.name}:{component.parameter}=LOW..HIGH/POINTS"
        raise UsageError(f"a sweep varies '{component.parameter}' of '{swept.name}', not '{key}'", hint)
    low, high, points = _read_range(span, text)
    log = swept.is_log(item)
    if log and min(low, high) <= 0:
        raise UsageError(f"a logarithmic sweep is of numbers above zero: '{text}'", "leave ,log out")
    weakest, strongest = sorted((low, high), reverse=not component.increasing)
    marked = "+".join(part.spell({item: f"{key}={_PLACE}"}) for part in parts)
    before, _, after = marked.partition(_PLACE)
    whole = int in get_args(get_type_hints(component)[component.parameter])
    title = "+".join(part.spell({item: ""}) for part in parts)
    sweep = Sweep(
        title, before, after, component.parameter, component.unit, weakest, strongest, points, log=log, whole=whole
    )
    for value in sweep.values:
        if build_corruption(sweep.spec_at(value)).has_severities:
            raise UsageError(f"a severity sets the strength of a part of '{title}'", "give each part its parameter")
    return sweep


def with_holds(sweeps: Sequence[Sweep], holds: Sequence[str]) -> tuple[Sweep, ...]:
    """Add the values that the tolerances must reach, from ``--hold``: each the spec of a sweep at that value.

    Raises:
        UsageError: a spec is of no sweep, outside its range, or the second one of a sweep.
    """
    found = list(sweeps)
    for text in holds:
        spec = "+".join(_Part.read(part).spell() for part in spec_parts(text))
        known = [sweep.spec_at(sweep.strongest) for sweep in sweeps]
        places = [(place, value) for place, sweep in enumerate(found) if (value := sweep.value_in(spec)) is not None]
        if not places:
            raise UsageError(f"--hold names no sweep: '{text}'", nearest(spec, known) if known else "give --sweep, too")
        for place, value in places:
            sweep = found[place]
            if not 0 <= sweep.position(value) <= 1:
                span = f"{sweep.weakest:.10g} to {sweep.strongest:.10g}"
                raise UsageError(f"--hold is outside its sweep, {span}: '{text}'", "widen the range of --sweep")
            if sweep.hold is not None:
                raise UsageError(f"--hold is given twice for '{sweep.title}'", "leave the weaker one out")
            found[place] = replace(sweep, hold=value)
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Part:
    """One corruption of a spec, spelled as ``--corruptions`` spells it.

    Args:
        name: its name.
        items: its options, each as ``key=value``.
        logs: the options that ``log`` stands behind.
    """

    name: str
    items: tuple[str, ...]
    logs: tuple[str, ...]

    @classmethod
    def read(cls, spec: str) -> "_Part":
        name, _, options = spec.partition(":")
        items: list[str] = []
        logs: list[str] = []
        for item in filter(None, ("".join(each.split()) for each in options.split(","))):
            if item.lower() == "log" and items and ".." in items[-1]:
                logs.append(items[-1])
            else:
                items.append(item)
        return cls(name.strip().lower().replace("-", "_"), tuple(items), tuple(logs))

    def is_log(self, item: str) -> bool:
        return item in self.logs

    def spell(self, instead: Mapping[str, str] | None = None) -> str:
        """Return the spec with some options replaced; an empty one is left out."""
        options = ",".join(filter(None, ((instead or {}).get(item, item) for item in self.items)))
        return f"{self.name}:{options}" if options else self.name


def _read_range(span: str, text: str) -> tuple[float, float, int]:
    low, _, rest = span.partition("..")
    high, _, count = rest.rpartition("/")
    if not high or not count.isdecimal() or ".." in rest or rest.startswith("."):
        raise UsageError(f"the range of --sweep is not LOW..HIGH/POINTS: '{text}'", _EXAMPLE)
    ends = registry.number(low, "the range of --sweep"), registry.number(high, "the range of --sweep")
    points = int(count[:9])
    if not 2 <= points <= _MOST_POINTS:
        raise UsageError(f"--sweep is at 2 to {_MOST_POINTS} points, not {count}: '{text}'", _EXAMPLE)
    if ends[0] == ends[1]:
        raise UsageError(f"the range of --sweep is empty: '{text}'", _EXAMPLE)
    return *ends, points


def _sweepable() -> str:
    known = registry.names("corruptions")
    found = [name for name in known if issubclass(registry.component("corruptions", name), PhysicalCorruption)]
    return f"these have one: {', '.join(found)}"
