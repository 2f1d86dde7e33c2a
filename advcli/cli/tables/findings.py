"""Results of an evaluation other than its scores, as rich tables."""

from collections.abc import Collection, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.style import new_table, title
from advcli.records import (
    Certified,
    Change,
    Checked,
    ClassScore,
    Compared,
    Confused,
    Exported,
    Gate,
    SliceScore,
    Transferred,
)
from advcli.report.cross_table import parted
from advcli.report.verdict import suspect_checks, suspicion
from advcli.report.wording import count_noun

_SURE = 0.05
# With more comparisons, those of each corruption are only in --json and the report.
_FEW = 20


def compared_tables(records: Sequence[Compared], swept: Collection[str] = ()) -> Iterator[Table]:
    """Show how each model differs from the first, image by image.

    Args:
        records: the comparisons.
        swept: the points of sweeps, whose comparisons are only in --json and the report.
    """
    shown = [record for record in records if record.perturbation not in swept]
    if len(shown) > _FEW:
        shown = [record for record in shown if record.severity is None]
    caption = f"McNemar's exact test; *: p < {_SURE}; only: images that only one model predicts correctly"
    if len(shown) < len(records):
        caption += "; --json and --report have all comparisons"
    pairs = list(parted(shown, lambda record: (record.model, record.against)).values())
    for pair in pairs:
        yield _compared(pair, caption if pair is pairs[-1] else "")


def _compared(records: Sequence[Compared], caption: str) -> Table:
    model, against = records[0].model, records[0].against
    table = new_table(f"{model} compared with {against}, image by image", caption)
    for heading in ("perturbation", "difference", f"only {model}", f"only {against}", "p"):
        table.add_column(Text(heading), justify="left" if heading == "perturbation" else "right", overflow="fold")
    for record in records:
        sure = record.p_value < _SURE
        table.add_row(
            Text(title(record)),
            Text(f"{100 * record.difference:+.1f}", "bold" if sure else ""),
            str(record.only_model),
            str(record.only_against),
            p_value_text(record.p_value) + (" *" if sure else ""),
        )
    return table


def classes_tables(records: Sequence[ClassScore]) -> Iterator[Table]:
    """Show the accuracy of each class, a table for each model."""
    models = list(dict.fromkeys(record.model for record in records))
    for model in models:
        of = f" of {model}" if len(models) > 1 else ""
        yield _classes(f"Accuracy by class{of}", [record for record in records if record.model == model])


def _classes(heading: str, records: Sequence[ClassScore]) -> Table:
    perturbations = list(dict.fromkeys(title(record) for record in records))
    table = new_table(heading, "[Wilson 95% interval]")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for perturbation in perturbations:
        table.add_column(Text(perturbation), justify="right", overflow="fold")
    by_place = {(title(record), record.label): record for record in records}
    for label in dict.fromkeys(record.label for record in records):
        row = [by_place.get((perturbation, label)) for perturbation in perturbations]
        images = max(record.images for record in row if record)
        cells = ["" if r is None else f"{r.accuracy:.0%} [{100 * r.low:.0f}, {100 * r.high:.0f}]" for r in row]
        table.add_row(Text(label), str(images), *cells)
    return table


def slices_table(records: Sequence[SliceScore]) -> Table:
    """Show the accuracy of each value of a column."""
    table = new_table(
        "Accuracy by value, the lowest first",
        f"[Wilson 95% interval]; p: Fisher's exact test against all other images, corrected by Holm; *: p < {_SURE}",
    )
    for heading in ("model", "perturbation", "column", "value", "images", "accuracy", "p"):
        right = heading in ("images", "accuracy", "p")
        table.add_column(heading, justify="right" if right else "left", overflow="fold")
    for record in records:
        sure = record.worst and record.corrected_p_value < _SURE
        table.add_row(
            *map(Text, (record.model, title(record), record.by, record.value)),
            str(record.images),
            Text(
                f"{record.accuracy:.1%} [{100 * record.low:.1f}, {100 * record.high:.1f}]", "bold red" if sure else ""
            ),
            p_value_text(record.corrected_p_value) + (" *" if sure else ""),
            end_section=record is not records[-1] and _next_is_other(records, record),
        )
    return table


def _next_is_other(records: Sequence[SliceScore], record: SliceScore) -> bool:
    after = records[records.index(record) + 1]
    return (after.model, title(after), after.by) != (record.model, title(record), record.by)


def confused_table(records: Sequence[Confused]) -> Table:
    """Show the most frequent confusions."""
    table = new_table("Most frequent confusions")
    for heading in ("model", "perturbation", "class", "predicted", "images"):
        table.add_column(heading, justify="right" if heading == "images" else "left", overflow="fold")
    for record in records:
        names = (record.model, title(record), record.label, record.taken_for)
        table.add_row(*map(Text, names), str(record.images))
    return table


def transfer_table(records: Sequence[Transferred]) -> Table:
    """Show the transfer matrix."""
    models = list(dict.fromkeys(record.model for record in records))
    several = len({title(record) for record in records}) > 1
    table = new_table(
        "Transfer" if several else f"Transfer, {title(records[0])}",
        "accuracy of the column's model on images crafted on the row's model",
    )
    table.add_column("crafted on", overflow="fold")
    for model in models:
        table.add_column(Text(model), justify="right", overflow="fold")
    by_place = {(title(record), record.crafted_on, record.model): record for record in records}
    for heading, crafted_on in dict.fromkeys((title(record), record.crafted_on) for record in records):
        row = [by_place.get((heading, crafted_on, model)) for model in models]
        cells = ["" if r is None else f"{r.accuracy:.1%} [{100 * r.low:.1f}, {100 * r.high:.1f}]" for r in row]
        table.add_row(Text(f"{crafted_on}: {heading}" if several else crafted_on), *cells)
    return table


def certified_table(records: Sequence[Certified]) -> Table:
    """Show what is certified."""
    first = records[0]
    table = new_table(
        f"Certified accuracy, sigma {first.sigma:g}, {first.samples} samples",
        f"correct within an l2 radius, error probability of an image at most {first.alpha:g} [Wilson 95% interval]",
    )
    for heading in ("model", "l2 radius", "accuracy", "abstained", "images"):
        table.add_column(heading, justify="left" if heading == "model" else "right", overflow="fold")
    for record in records:
        table.add_row(
            Text(record.model),
            f"{record.radius:.3g}",
            f"{record.accuracy:.1%} [{100 * record.low:.1f}, {100 * record.high:.1f}]",
            str(record.abstained),
            str(record.images),
        )
    return table


def checks_table(records: Sequence[Checked]) -> Table:
    """Show each suspect check with its evidence and remedy, and name the checks that passed for all models."""
    suspect = suspect_checks(records)
    several = len({record.model for record in records}) > 1
    table = new_table(
        "Checks of the evaluation",
        f"{suspicion(len(suspect))}; --json and --report have the evidence of all checks"
        if suspect
        else "no check is suspect; --json and --report have the evidence",
    )
    for heading in ("verdict", "check", "evidence"):
        table.add_column(heading, overflow="fold")
    for check, found in suspect.items():
        # A result that several models share is listed once.
        same = parted(found, lambda record: (record.evidence, record.remedy))
        evidence = Text("\n").join(_evidence(said, remedy, of, several) for (said, remedy), of in same.items())
        table.add_row(Text("SUSPECT", "bold yellow"), check, evidence)
    passed = list(dict.fromkeys(record.check for record in records if record.check not in suspect))
    if passed:
        table.add_row(Text("PASS", "green"), count_noun(len(passed), "check"), Text(", ".join(passed)))
    return table


def _evidence(said: str, remedy: str, records: Sequence[Checked], several: bool) -> Text:
    models = ", ".join(record.model for record in records)
    evidence = Text.assemble((f"{models}: ", "bold") if several else "", said)
    return evidence.append(f"\n{remedy}", "cyan") if remedy else evidence


def gates_table(records: Sequence[Gate]) -> Table:
    """Show the accuracies that --fail-under requires."""
    table = new_table("Required accuracies")
    for heading in ("model", "perturbation", "accuracy", "required", "met"):
        table.add_column(heading, justify="right" if heading in ("accuracy", "required") else "left", overflow="fold")
    for record in records:
        met = Text("yes", "green") if record.met else Text("no", "bold red")
        what = title(record) + (f", {record.by} {record.value}" if record.by else "")
        what += "" if record.statistic == "accuracy" else f", {record.statistic}"
        table.add_row(Text(record.model), Text(what), f"{record.accuracy:.1%}", f"{record.least:.1%}", met)
    return table


def changes_table(records: Sequence[Change]) -> Table:
    """Show what has changed since the baseline."""
    regressions = sum(record.regression for record in records)
    tests = " or ".join(dict.fromkeys("McNemar's" if record.paired else "Fisher's" for record in records))
    counted = count_noun(regressions, "regression")
    table = new_table("Since the baseline", f"{counted}: lower accuracy, p < {_SURE} by {tests} exact test")
    for heading in ("model", "perturbation", "before", "now", "difference", "p", ""):
        table.add_column(heading, justify="left" if heading in ("model", "perturbation", "") else "right")
    for record in records:
        table.add_row(
            Text(
                record.model
                if record.before_model in ("", record.model)
                else f"{record.before_model} -> {record.model}"
            ),
            Text(title(record)),
            f"{record.before:.1%}",
            f"{record.after:.1%}",
            f"{100 * record.difference:+.1f}",
            p_value_text(record.p_value),
            Text("regression", "bold red") if record.regression else "",
        )
    return table


def exported_table(records: Sequence[Exported]) -> Table:
    """Show where corrupted and adversarial images are."""
    attacked = any(record.model for record in records)
    table = new_table(f"{'Exported' if attacked else 'Corrupted'} images of {records[0].data}")
    for heading in (*(("model", "perturbation") if attacked else ("corruption",)), "images", "folder"):
        table.add_column(heading, justify="right" if heading == "images" else "left", overflow="fold")
    for record in records:
        named = (Text(record.model),) if attacked else ()
        table.add_row(*named, title(record), str(record.images), Text(record.output))
    return table


def p_value_text(value: float) -> str:
    """Write a p-value."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"
