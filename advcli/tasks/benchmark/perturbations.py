"""The perturbations of an evaluation: none, noise, a corruption or an attack."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from advcli import corruptions, registry
from advcli.attacks import Search, Suite, Universal
from advcli.augmentations import Augmentation
from advcli.corruptions import Corruption
from advcli.errors import UsageError
from advcli.records.base import Json
from advcli.threat.lengths import HasLengths
from advcli.threat.threat import Norm, Threat


class Kind(StrEnum):
    """The kind of a perturbation.

    ``CLEAN``, ``NOISE``, ``CORRUPTION`` and ``GIVEN`` (images corrupted before) do not depend on the model; the
    images of an ``ATTACK`` are classified by the model that was attacked, those of a ``TRANSFER`` by every model.
    """

    CLEAN = "clean"
    NOISE = "noise"
    CORRUPTION = "corruption"
    GIVEN = "given"
    ATTACK = "attack"
    TRANSFER = "transfer"


# In which an evaluation measures.
_ORDER = (Kind.CLEAN, Kind.GIVEN, Kind.NOISE, Kind.CORRUPTION, Kind.ATTACK, Kind.TRANSFER)


@dataclass(frozen=True)
class Perturbation:
    """One perturbation of all images.

    Args:
        spec: its name in records.
        kind: its kind.
        method: the component that computes it.
        threat: the ball of an attack.
        severity: how strong a corruption is, from 1 to 5.
        surrogate: the model that an attack sees, if it is another one.
    """

    spec: str
    kind: Kind
    method: Search | Augmentation | Corruption | None = None
    threat: Threat | None = None
    severity: int | None = None
    surrogate: str | None = None

    @property
    def bounded(self) -> bool:
        """Whether it is an attack that searches the ball of its threat."""
        return isinstance(self.method, Search) and self.method.bounded

    @property
    def members(self) -> tuple[str, ...]:
        """The specs of the attacks that a suite runs in the ball of the threat; of other methods none."""
        return self.method.members_in(self.threat.norm) if isinstance(self.method, Search) and self.threat else ()

    @property
    def place(self) -> dict[str, Json]:
        """What every record of it says."""
        ball = self.threat if self.bounded else None
        return {
            "perturbation": self.spec,
            "norm": str(ball.norm) if ball else None,
            "eps": ball.eps if ball else None,
            "severity": self.severity,
        }

    def protocol(self, classes: int) -> str:
        """Write its spec with all options, a suite with all its members."""
        if self.kind is Kind.GIVEN:
            return f"given images, severity {self.severity}"
        if self.method is None:
            return "no perturbation"
        spelled = protocol_of(self.spec, self.method, classes, self.threat.norm if self.threat else None)
        spelled += f", crafted on {self.surrogate}" if self.surrogate else ""
        return f"{spelled}, severity {self.severity}" if self.severity else spelled

    def description(self) -> dict[str, Json]:
        """Return all that its results depend on, except the model."""
        members = list(self.members)
        return {"kind": str(self.kind), **self.place, "protocol": self.protocol(1000), "members": members}


def noises_of(specs: Sequence[str]) -> list[Perturbation]:
    """Build noises from their specs.

    Raises:
        UsageError: a spec is not a noise.
    """
    return [Perturbation(spec, Kind.NOISE, noise_on_all(spec)) for spec in specs]


def corruptions_of(names: Sequence[str], severities: Sequence[int]) -> list[Perturbation]:
    """Build corruptions, each at several severities, or once where its options set its strength."""
    built = {name: corruptions.build_corruption(name) for name in names}
    return [
        Perturbation(name, Kind.CORRUPTION, corruption, severity=severity)
        for name, corruption in built.items()
        for severity in (severities if corruption.has_severities else (None,))
    ]


def attacks_under(
    methods: Mapping[str, Search], threats: Sequence[Threat], surrogate: str | None = None, repeats: int = 1
) -> list[Perturbation]:
    """Combine attacks with several threats; an attack without a ball occurs once.

    On a surrogate an attack does not stop at the first success, which is none against the attacked model yet. Nor does
    it for several predictions of a randomised model, where the first success may be chance.
    """
    to_the_end = surrogate is not None or repeats > 1
    return [
        Perturbation(spec, Kind.ATTACK, method if to_the_end else method.verdict_only(), threat, surrogate=surrogate)
        for number, threat in enumerate(threats)
        for spec, method in methods.items()
        if number == 0 or method.bounded
    ]


def transfers_under(methods: Mapping[str, Search], threats: Sequence[Threat]) -> list[Perturbation]:
    """Combine attacks with threats for a transfer evaluation, where an attack does not stop at the first success."""
    return [
        Perturbation(spec, Kind.TRANSFER, method, threat)
        for number, threat in enumerate(threats)
        for spec, method in methods.items()
        if not isinstance(method, Universal) and (threat.eps > 0 if method.bounded else number == 0)
    ]


def with_required(asked: Sequence[Perturbation], required: Sequence[Perturbation]) -> tuple[Perturbation, ...]:
    """Add the perturbations of requirements to others, each once, in the order in which an evaluation measures."""
    found = list(asked)
    for each in required:
        if each.place not in [other.place for other in found if other.kind is not Kind.TRANSFER]:
            found.append(each)
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.kind)))


def noise_on_all(spec: str) -> Augmentation:
    """Build the noise of a spec with probability 1; in training some images stay clean.

    Raises:
        UsageError: the spec is not a noise.
    """
    noise = registry.build("augmentations", spec)
    if noise.stage != "noise":
        known = [
            name
            for name in registry.names("augmentations")
            if registry.component("augmentations", name).stage == "noise"
        ]
        raise UsageError(f"'{registry.canonical(spec)}' is not a noise", f"these are: {', '.join(known)}")
    return noise.on_all()


def protocol_of(spec: str, method: Any, classes: int, norm: Norm | None = None) -> str:
    """Write a perturbation's spec with all options, a suite with all its members in balls of the norm."""
    if isinstance(method, Suite) and norm:
        members = (protocol_of(each, registry.build("attacks", each), classes) for each in method.members_in(norm))
        return f"{method.title(classes)}: {'; '.join(members)}"
    if isinstance(method, corruptions.Composed):
        parts = zip(corruptions.spec_parts(spec), method.parts, strict=True)
        return "+".join(protocol_of(part, corruption, classes) for part, corruption in parts)
    values = dataclasses.asdict(method)
    if isinstance(method, corruptions.PhysicalCorruption) and method.has_severities:
        # The severity sets it.
        values.pop(method.parameter)
    options = ",".join(f"{key}={value}" for key, value in values.items())
    name = spec.partition(":")[0]
    lengths = ", ".join(method.lengths) if isinstance(method, HasLengths) else ""
    unit = f" ({lengths} in pixel values of [0, 1])" if lengths else ""
    return f"{name}:{options}{unit}" if options else name
