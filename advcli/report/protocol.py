"""The protocol of a measurement: enough to reproduce it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from advcli.records import Protocol, Score
from advcli.records.base import Json
from advcli.report import wording
from advcli.report.cross_table import parted
from advcli.report.page import Section


@dataclass(frozen=True)
class ProtocolRow:
    """One perturbation with all its options: how strong it was, and the seconds it took for each model."""

    perturbation: str
    protocol: str
    strengths: str
    seconds: dict[str, float]


def protocol(protocols: Sequence[Protocol], scores: Sequence[Score]) -> Section | None:
    """Show the whole protocol; shards come one after the other."""
    if not protocols and not scores:
        return None
    measurements = []
    for (perturbation, spelled), members in parted(scores, _perturbation).items():
        seconds = {
            model: sum(score.seconds for score in found)
            for model, found in parted(members, lambda score: score.model).items()
        }
        measurements.append(ProtocolRow(perturbation, spelled, _strengths(members), seconds))
    content = {
        "protocols": [_description(part) for part in protocols],
        "measurements": measurements,
        "models": list(dict.fromkeys(score.model for score in scores)),
    }
    return Section("protocol", "Protocol", "benchmark/protocol.html.j2", content)


def environment(protocols: Sequence[Protocol]) -> Section | None:
    """Show the machine and the versions; several machines come one after the other."""
    environments = [found[0].environment for found in parted(protocols, _environment).values()]
    content = {"environments": environments}
    return Section("environment", "Environment", "benchmark/environment.html.j2", content) if environments else None


def _description(protocol: Protocol) -> dict[str, Json]:
    """Return the fields of a protocol that no other section shows."""
    shown = {key: value for key, value in asdict(protocol).items() if key not in ("model", "environment")}
    return {key: value for key, value in shown.items() if value is not None}


def _perturbation(score: Score) -> tuple[str, str]:
    return score.perturbation, score.protocol.removesuffix(f", severity {score.severity}")


def _strengths(scores: Sequence[Score]) -> str:
    radii = dict.fromkeys(wording.radius(score.norm, score.eps) for score in scores if score.norm)
    severities = dict.fromkeys(str(score.severity) for score in scores if score.severity is not None)
    return ", ".join(radii) or (f"severity {', '.join(severities)}" if severities else "")


def _environment(protocol: Protocol) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(protocol.environment.items()))
