"""The report of a benchmark: all its records on one page."""

from collections.abc import Mapping, Sequence
from typing import TypeVar

from advcli.records import (
    Calibration,
    Certified,
    Change,
    Checked,
    ClassScore,
    Compared,
    Confused,
    CorruptionError,
    Failed,
    Gate,
    Group,
    Measurement,
    Protocol,
    Record,
    Requirement,
    Score,
    SliceScore,
    Support,
    Swept,
    Tolerance,
    Transferred,
)
from advcli.report import class_scores, heat_map, protocol, reliability, score_table, wording
from advcli.report import gallery as pictures
from advcli.report.accuracy_curves import curves, inline_curves, inline_sweep
from advcli.report.confusion import Confusion, confusion_section
from advcli.report.cross_table import cross_table, parted
from advcli.report.gallery import Example
from advcli.report.page import Section, page
from advcli.report.verdict import suspect_checks, suspicion, verdict
from advcli.threat.spelling import name_parameter

Kind = TypeVar("Kind", bound=Record)
_STYLES = ("benchmark.css",)


def benchmark_page(
    records: Sequence[Record], gallery: Sequence[Example] = (), confusion: Sequence[Confusion] = ()
) -> str:
    """Draw the report of a benchmark as HTML; each section is present if there are records for it.

    Args:
        records: all that the benchmark reported, in its order.
        gallery: images to show with their adversarial images.
        confusion: tables of true and predicted classes.
    """

    def of(kind: type[Kind]) -> list[Kind]:
        return [record for record in records if isinstance(record, kind)]

    scores, checks = of(Score), of(Checked)
    suspect = suspect_checks(checks)
    passed = [check for check in checks if not check.is_suspect]
    parts = [
        _suspect(suspect, several=len({check.model for check in checks}) > 1),
        score_table.summary_table(_without_sweeps(scores, of(Swept)), of(Group)),
        _simple("tolerances", "Tolerances", tolerances=of(Tolerance)),
        _simple("gates", "Required accuracies", gates=of(Gate)),
        _simple("requirements", "Requirements", requirements=of(Requirement), terms=_terms(of(Requirement))),
        _simple("changes", "Changes since the earlier results", changes=of(Change)),
        _reading(records),
        _curves(scores),
        _sweeps(of(Swept), of(Tolerance)),
        heat_map.corruptions(scores, of(CorruptionError)),
        reliability.calibration(of(Calibration)),
        _simple("comparison", "Comparison of models", compared=of(Compared)),
        heat_map.transfer(of(Transferred)),
        _certified(of(Certified)),
        class_scores.classes(of(ClassScore), of(Confused)),
        confusion_section(confusion),
        _simple("slices", "Accuracy by value", slices=of(SliceScore)),
        pictures.gallery(gallery),
        _simple("checks", "Checks that passed", checks=passed),
        protocol.protocol(of(Protocol), scores),
        protocol.environment(of(Protocol)),
        _simple("failed", "Images that could not be read", failed=of(Failed)),
    ]
    data = ", ".join(dict.fromkeys(record.data for record in records))
    models = list(dict.fromkeys(record.model for record in records if isinstance(record, Measurement | Certified)))
    return page(
        f"Benchmark on {data}",
        verdict(records) or f"The accuracy of {wording.count_noun(len(models), 'model')}.",
        _facts(records, models, scores, checks, suspect),
        [part for part in parts if part],
        _STYLES,
    )


def _simple(anchor: str, title: str, **content: Sequence[object]) -> Section | None:
    """Return a section that shows records, if there are any."""
    return Section(anchor, title, f"benchmark/{anchor}.html.j2", content) if any(content.values()) else None


def _suspect(checks: Mapping[str, Sequence[Checked]], several: bool) -> Section | None:
    """Show a line for each suspect check, whose evidence is folded; equal results of several models stand together."""
    if not checks:
        return None
    lines = [
        (check, found, list(parted(found, lambda each: (each.evidence, each.remedy)).values()))
        for check, found in checks.items()
    ]
    content = {"suspicion": suspicion(len(checks)), "checks": lines, "several": several}
    return Section("suspect", "Suspect", "benchmark/suspect.html.j2", content)


def _terms(requirements: Sequence[Requirement]) -> list[tuple[Support, list[str]]]:
    """List the terms that results support, each with its requirements."""
    pairs = [(support, record.id) for record in requirements for support in record.supports]
    grouped = parted(pairs, lambda pair: pair[0])
    return [(support, list(dict.fromkeys(name for _, name in found))) for support, found in grouped.items()]


def _facts(
    records: Sequence[Record],
    models: Sequence[str],
    scores: Sequence[Score],
    checks: Sequence[Checked],
    suspect: Mapping[str, Sequence[Checked]],
) -> list[tuple[str, list[str]]]:
    kinds = len({check.check for check in checks})
    facts = {
        "data": dict.fromkeys(record.data for record in records),
        "images": dict.fromkeys(f"{score.images:,}" for score in scores),
        "models": models,
        "checks": [f"{len(suspect)} of {kinds} suspect" if suspect else f"all {kinds} passed"] * bool(checks),
        "seed": dict.fromkeys(str(record.seed) for record in records),
        "advcli": dict.fromkeys(record.version for record in records),
    }
    return [(what, list(values)) for what, values in facts.items() if values]


def _reading(records: Sequence[Record]) -> Section:
    kinds = {record.type for record in records}
    bounded = any(isinstance(record, Score) and record.norm for record in records)
    upper = any(isinstance(record, Score) and record.searched is not None for record in records)
    return Section(
        "reading", "How to read this", "benchmark/reading.html.j2", {"kinds": kinds, "bounded": bounded, "upper": upper}
    )


def _curves(scores: Sequence[Score]) -> Section | None:
    panels = []
    for norm, members in parted(curves(scores), lambda curve: curve.norm).items():
        points = [(curve, score) for curve in members for score in curve.scores]
        table = cross_table(points, lambda point: point[1].eps, lambda point: (point[0].model, point[0].attack))
        rows = sorted(table.rows, key=lambda row: row[0] or 0.0)
        measured = [score for score in scores if score.norm in (None, norm)]
        models = parted(members, lambda curve: curve.model)
        panels.append((norm, inline_curves(measured, f"curves-{norm}"), members, models, rows))
    return _simple("curves", "Accuracy over the radius", panels=panels)


def _without_sweeps(scores: Sequence[Score], sweeps: Sequence[Swept]) -> list[Score]:
    """Exclude the points of sweeps, which have tables of their own."""
    points = {spec for sweep in sweeps for spec in sweep.perturbations}
    return [score for score in scores if score.perturbation not in points]


def _sweeps(sweeps: Sequence[Swept], tolerances: Sequence[Tolerance]) -> Section | None:
    panels = []
    for number, members in enumerate(parted(sweeps, lambda sweep: (sweep.perturbation, sweep.parameter)).values()):
        first = members[0]
        place = (first.perturbation, first.parameter)
        found = [tolerance for tolerance in tolerances if (tolerance.perturbation, tolerance.parameter) == place]
        points = [
            (sweep.model, value, accuracy, low, high)
            for sweep in members
            for value, accuracy, low, high in zip(sweep.values, sweep.accuracies, sweep.lows, sweep.highs, strict=True)
        ]
        table = cross_table(points, lambda point: point[1], lambda point: point[0])
        rows = sorted(table.rows, key=lambda row: row[0], reverse=first.values[0] > first.values[-1])
        heading = name_parameter(first.parameter, first.unit)
        panels.append((f"sweep-{number}", heading, first, inline_sweep(members, found, f"sweep-{number}"), table, rows))
    return _simple("sweeps", "Accuracy over the parameter", panels=panels)


def _certified(records: Sequence[Certified]) -> Section | None:
    tables = [
        (found[0], cross_table(found, lambda record: record.radius, lambda record: record.model))
        for found in parted(records, lambda record: (record.sigma, record.samples, record.alpha)).values()
    ]
    return _simple("certified", "Certified accuracy", tables=tables)
