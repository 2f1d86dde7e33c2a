"""The records of an evaluation as rich tables."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.tables import evidence
from advcli.cli.tables import findings as finding
from advcli.cli.tables.calibration import EXPLANATION, HEADINGS, calibration_cells, calibration_table
from advcli.cli.tables.style import new_table, title
from advcli.cli.tables.sweeps import sweep_tables, tolerances_table
from advcli.records import (
    Calibration,
    Certified,
    Change,
    Checked,
    ClassScore,
    Compared,
    Confused,
    CorruptionError,
    Exported,
    Gate,
    Group,
    Record,
    Requirement,
    Score,
    SliceScore,
    Swept,
    Tolerance,
    Transferred,
    Verified,
)
from advcli.threat.spelling import spell_spec, spell_threat

# A row is a model if there are more models than this and than perturbations, otherwise a perturbation.
_SIDE_BY_SIDE = 3


def benchmark_tables(records: Sequence[Record]) -> Iterator[Table]:
    """Yield the tables that show an evaluation."""
    scores = [record for record in records if isinstance(record, Score)]
    sweeps = [record for record in records if isinstance(record, Swept)]
    # They have tables of their own.
    swept = {spec for sweep in sweeps for spec in sweep.perturbations}
    calibrations = [
        record for record in records if isinstance(record, Calibration) and record.perturbation not in swept
    ]
    plain = [score for score in scores if score.severity is None and score.perturbation not in swept]
    if plain:
        # With a single attack the worst case is the same.
        attacks = {score.perturbation for score in plain if score.norm or score.perturbation == "worst"}
        shown = [score for score in plain if score.perturbation != "worst" or len(attacks) > 2]
        yield _scores(shown, calibrations)
        if len({score.model for score in shown}) == 1:
            calibrations = [record for record in calibrations if record.severity is not None]
        if len(attacks) <= 2:
            calibrations = [record for record in calibrations if record.perturbation != "worst"]
    corrupted = [score for score in scores if score.severity is not None]
    for model in dict.fromkeys(score.model for score in corrupted):
        yield _corruptions([score for score in corrupted if score.model == model])
    yield from sweep_tables(sweeps, [record for record in records if isinstance(record, Tolerance)])
    if calibrations:
        yield calibration_table(calibrations)
    yield from _drawn(records, _BEFORE)
    yield from finding.compared_tables([record for record in records if isinstance(record, Compared)], swept)
    yield from finding.classes_tables([record for record in records if isinstance(record, ClassScore)])
    yield from _drawn(records, _AFTER)


def _drawn(records: Sequence[Record], tables: Mapping[type[Record], Callable[..., Table]]) -> Iterator[Table]:
    for kind, draw in tables.items():
        found = [record for record in records if isinstance(record, kind)]
        if found:
            yield draw(found)


def _scores(records: Sequence[Score], calibrations: Sequence[Calibration]) -> Table:
    """Show the accuracies; of a single model with its calibration."""
    threats = list(dict.fromkeys(spell_threat(record.norm, record.eps) for record in records if record.norm))
    titles = list(dict.fromkeys(_heading(record, threats) for record in records))
    models = list(dict.fromkeys(record.model for record in records))
    by_place = {(record.model, _heading(record, threats)): record for record in records}
    best = {
        heading: max(record.accuracy for (_, other), record in by_place.items() if other == heading)
        for heading in titles
    }
    believed = {(each.model, _heading(each, threats)): each for each in calibrations if each.severity is None}
    calibrated = len(models) == 1 and bool(believed)
    table = new_table(
        f"Accuracy on {records[0].data}" + (f", {threats[0]}" if len(threats) == 1 else ""),
        _caption(records, models) + (f"; {EXPLANATION}" if calibrated else ""),
    )
    if len(models) <= max(_SIDE_BY_SIDE, len(titles)):
        table.add_column("perturbation", overflow="fold")
        for model in models:
            table.add_column(Text(model, "bold"), justify="right", no_wrap=True)
        for heading in HEADINGS if calibrated else ():
            table.add_column(heading, justify="right", no_wrap=True)
        for heading in titles:
            cells = [_score(by_place.get((model, heading)), best[heading], len(models) > 1, " ") for model in models]
            beside = calibration_cells(believed.get((models[0], heading))) if calibrated else ()
            table.add_row(Text(heading), *cells, *beside)
        return table
    table.add_column("model", overflow="fold")
    table.add_column("images", justify="right")
    for heading in titles:
        table.add_column(heading, justify="right", no_wrap=True)
    for model in models:
        rows = [by_place.get((model, heading)) for heading in titles]
        cells = [_score(row, best[heading], len(models) > 1) for row, heading in zip(rows, titles, strict=True)]
        table.add_row(Text(model, "bold"), str(max(row.images for row in rows if row)), *cells, end_section=True)
    return table


def _heading(record: Score | Calibration, threats: Sequence[str]) -> str:
    return title(record) if len(threats) > 1 else spell_spec(record.perturbation)


def _caption(records: Sequence[Score], models: Sequence[str]) -> str:
    caption = f"{records[0].images} images; accuracy on all images [Wilson 95% interval] "
    caption += "(of the images classified correctly without attack)"
    if any(record.searched is not None for record in records):
        caption += "; <=: an upper bound, because the time budget ended"
    return caption + ("; bold: best" if len(models) > 1 else "")


def _score(record: Score | None, best: float, several: bool, between: str = "\n") -> Text:
    if record is None:
        return Text("")
    style = "bold" if not several or record.accuracy == best else ""
    bound = "" if record.searched is None else "<= "
    interval = f" [{100 * record.low:.1f}, {100 * record.high:.1f}]"
    text = Text.assemble((f"{bound}{record.accuracy:.1%}", style), interval)
    if record.norm and record.accuracy_of_clean_correct is not None:
        text.append(f"{between}({record.accuracy_of_clean_correct:.1%})", "dim")
        if record.searched is not None:
            text.append(f"{between}{record.searched} of {record.images} searched", "yellow")
    return text


def _corruptions(records: Sequence[Score]) -> Table:
    severities = sorted({record.severity for record in records if record.severity})
    first = records[0]
    table = new_table(f"Accuracy of {first.model} on {first.data}, corrupted", f"{first.images} images; by severity")
    table.add_column("corruption")
    for severity in severities:
        table.add_column(str(severity), justify="right")
    if len(severities) > 1:
        table.add_column("mean", justify="right")
    for name in dict.fromkeys(record.perturbation for record in records):
        found = {record.severity: record.accuracy for record in records if record.perturbation == name}
        cells = [f"{found[severity]:.1%}" if severity in found else "" for severity in severities]
        mean = [Text(f"{sum(found.values()) / len(found):.1%}", "bold")] if len(severities) > 1 else []
        table.add_row(name, *cells, *mean)
    return table


def _groups(records: Sequence[Group]) -> Table:
    table = new_table(
        "Perturbations the model was trained with (seen), and others (unseen)", "mean accuracy at the same strength"
    )
    for heading in ("model", "group", "strength", "accuracy", "perturbations"):
        table.add_column(heading, justify="right" if heading == "accuracy" else "left", overflow="fold")
    for record in records:
        accuracy = Text(f"{record.accuracy:.1%}", "bold")
        members = Text(", ".join(map(spell_spec, record.perturbations)))
        table.add_row(Text(record.model), record.group, _strength(record), accuracy, members)
    return table


def _strength(record: Group) -> str:
    if record.severities:
        return f"severity {', '.join(map(str, record.severities))}"
    return spell_threat(record.norm, record.eps) or record.kind


def _corruption_errors(records: Sequence[CorruptionError]) -> Table:
    table = new_table(
        "Corruption error",
        "mean over corruptions of the mean over severities; without corruptions whose options set their strength",
    )
    compared = any(record.relative_to for record in records)
    headings = ("model", "mean", "relative to", "relative", "relative to clean") if compared else ("model", "mean")
    for heading in headings:
        table.add_column(heading, justify="left" if heading in ("model", "relative to") else "right", overflow="fold")
    for record in records:
        if not compared:
            table.add_row(Text(record.model), Text(f"{record.mean:.1%}", "bold"))
            continue
        table.add_row(
            Text(record.model),
            Text(f"{record.mean:.1%}", "bold"),
            Text(record.relative_to or ""),
            "" if record.relative is None else f"{record.relative:.1%}",
            "" if record.relative_to_clean is None else f"{record.relative_to_clean:.1%}",
        )
    return table


_BEFORE = {
    Tolerance: tolerances_table,
    Group: _groups,
    CorruptionError: _corruption_errors,
}
_AFTER = {
    SliceScore: finding.slices_table,
    Confused: finding.confused_table,
    Transferred: finding.transfer_table,
    Certified: finding.certified_table,
    Exported: finding.exported_table,
    Checked: finding.checks_table,
    Change: finding.changes_table,
    Gate: finding.gates_table,
    Requirement: evidence.requirements_table,
    Verified: evidence.verified_table,
}
