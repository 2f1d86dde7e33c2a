"""What was measured, how, and on what: enough to do it again."""

from collections.abc import Sequence
from dataclasses import dataclass

from advcli.records import Protocol, Score
from advcli.report import wording
from advcli.report.cross_table import parted
from advcli.report.page import Section


@dataclass(frozen=True)
class Measurement:
    """One perturbation with all its options: how strong it was, and the seconds it took for each model."""

    perturbation: str
    protocol: str
    strengths: Sequence[str]
    seconds: dict[str, float]


def protocol(protocols: Sequence[Protocol], scores: Sequence[Score]) -> Section | None:
    """Spell out the whole measurement; parts of it that were measured apart come one after the other."""
    if not protocols and not scores:
        return None
    measurements = []
    for members in parted(scores, lambda score: (score.perturbation, score.protocol)).values():
        seconds = {
            str(model): sum(score.seconds for score in found)
            for model, found in parted(members, lambda score: score.model).items()
        }
        strengths = dict.fromkeys(filter(None, map(_strength, members)))
        measurements.append(Measurement(members[0].perturbation, members[0].protocol, list(strengths), seconds))
    content = {"protocols": protocols, "measurements": measurements}
    return Section("protocol", "Protocol", "benchmark/protocol.html.j2", content)


def environment(protocols: Sequence[Protocol]) -> Section | None:
    """Tell of the machine and the versions; those of several machines one after the other."""
    environments = [found[0].environment for found in parted(protocols, _environment).values()]
    content = {"environments": environments}
    return Section("environment", "Environment", "benchmark/environment.html.j2", content) if environments else None


def _strength(score: Score) -> str:
    return wording.radius(score.eps, score.norm) if score.severity is None else f"severity {score.severity}"


def _environment(protocol: Protocol) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(protocol.environment.items()))
