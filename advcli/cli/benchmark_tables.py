"""The records of an evaluation as rich tables."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.drawing import new_table, radius
from advcli.records import (
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
    Measured,
    Record,
    Score,
    Transferred,
)

# More columns than these do not fit a line: then a row is a perturbation, not a model.
_COLUMNS = 6
_SURE = 0.05
# Of more comparisons than these, those of each corruption are left to --json and the report.
_FEW = 20


def benchmark_tables(records: Sequence[Record]) -> Iterator[Table]:
    """Yield the tables that show an evaluation."""
    scores = [record for record in records if isinstance(record, Score)]
    plain = [score for score in scores if score.severity is None]
    if plain:
        # Beside a single attack the worst case says nothing new.
        attacks = {score.perturbation for score in plain if score.norm or score.protocol.startswith("right under")}
        shown = [score for score in plain if score.perturbation != "worst" or len(attacks) > 2]
        yield _scores(shown)
    corrupted = [score for score in scores if score.severity is not None]
    for model in dict.fromkeys(score.model for score in corrupted):
        yield _corruptions([score for score in corrupted if score.model == model])
    for kind, draw in _TABLES.items():
        found = [record for record in records if isinstance(record, kind)]
        if found:
            yield draw(found)


def title(record: Measured) -> str:
    """Name a perturbation with its strength: ``pgd, linf 0.0314 (8/255)``, ``fog 3``."""
    strength = radius(record.norm, record.eps)
    severity = f" {record.severity}" if record.severity else ""
    return f"{record.perturbation}{severity}" + (f", {strength}" if strength else "")


def _scores(records: Sequence[Score]) -> Table:
    threats = list(dict.fromkeys(radius(record.norm, record.eps) for record in records if record.norm))
    titles = list(dict.fromkeys(_heading(record, threats) for record in records))
    models = list(dict.fromkeys(record.model for record in records))
    by_place = {(record.model, _heading(record, threats)): record for record in records}
    best = {
        heading: max(record.accuracy for (_, other), record in by_place.items() if other == heading)
        for heading in titles
    }
    table = new_table(
        f"Accuracy on {records[0].data}" + (f", {threats[0]}" if len(threats) == 1 else ""), _caption(records, models)
    )
    if len(titles) > _COLUMNS + 2:
        table.add_column("perturbation", overflow="fold")
        for model in models:
            table.add_column(Text(model, "bold"), justify="right", overflow="fold")
        for heading in titles:
            cells = [_score(by_place.get((model, heading)), best[heading], len(models) > 1, " ") for model in models]
            table.add_row(Text(heading), *cells)
        return table
    table.add_column("model", overflow="fold")
    table.add_column("images", justify="right")
    for heading in titles:
        table.add_column(heading, justify="right", overflow="fold")
    for model in models:
        rows = [by_place.get((model, heading)) for heading in titles]
        cells = [_score(row, best[heading], len(models) > 1) for row, heading in zip(rows, titles, strict=True)]
        table.add_row(Text(model, "bold"), str(max(row.images for row in rows if row)), *cells, end_section=True)
    return table


def _heading(record: Score, threats: Sequence[str]) -> str:
    return title(record) if len(threats) > 1 else record.perturbation


def _caption(records: Sequence[Score], models: Sequence[str]) -> str:
    images = f"{records[0].images} images; " if len(models) > 0 else ""
    caption = f"{images}still right of all images [Wilson 95% interval] (of those right when clean)"
    if any(record.searched is not None for record in records):
        caption += "; <=: an upper bound, for the time was over first"
    return caption + ("; bold: best" if len(models) > 1 else "")


def _score(record: Score | None, best: float, several: bool, between: str = "\n") -> Text:
    if record is None:
        return Text("")
    style = "bold" if not several or record.accuracy == best else ""
    bound = "" if record.searched is None else "<= "
    interval = f" [{100 * record.low:.1f}, {100 * record.high:.1f}]"
    text = Text.assemble((f"{bound}{record.accuracy:.1%}", style), interval)
    if record.norm:
        text.append(f"{between}({record.accuracy_of_clean_correct:.1%} of clean-correct)", "dim")
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
    table = new_table("Perturbations the model was trained with (seen), and others (unseen)", "mean accuracy of each")
    for heading in ("model", "group", "accuracy", "perturbations"):
        table.add_column(heading, justify="right" if heading == "accuracy" else "left", overflow="fold")
    for record in records:
        table.add_row(
            Text(record.model), record.group, Text(f"{record.accuracy:.1%}", "bold"), ", ".join(record.perturbations)
        )
    return table


def _corruption_errors(records: Sequence[CorruptionError]) -> Table:
    table = new_table("Corruption error", "mean over corruptions of the mean over severities")
    for heading in ("model", "mean", "relative to", "relative", "of what is lost"):
        table.add_column(heading, justify="left" if heading in ("model", "relative to") else "right", overflow="fold")
    for record in records:
        table.add_row(
            Text(record.model),
            Text(f"{record.mean:.1%}", "bold"),
            Text(record.relative_to or ""),
            "" if record.relative is None else f"{record.relative:.1%}",
            "" if record.relative_to_clean is None else f"{record.relative_to_clean:.1%}",
        )
    return table


def _compared(records: Sequence[Compared]) -> Table:
    against = records[0].against
    table = new_table(
        f"Compared with {against}, image by image",
        f"McNemar's exact test; *: p < {_SURE}; only: images that only the one gets right",
    )
    for heading in ("model", "perturbation", "difference", "only it", f"only {against}", "p"):
        table.add_column(heading, justify="left" if heading in ("model", "perturbation") else "right", overflow="fold")
    for record in records:
        if record.severity is not None and len(records) > _FEW:
            continue
        sure = record.p_value < _SURE
        table.add_row(
            Text(record.model),
            Text(title(record)),
            Text(f"{100 * record.difference:+.1f}", "bold" if sure else ""),
            str(record.only_model),
            str(record.only_against),
            probability(record.p_value) + (" *" if sure else ""),
        )
    return table


def _classes(records: Sequence[ClassScore]) -> Table:
    headings = list(dict.fromkeys((record.model, title(record)) for record in records))
    several = len({record.model for record in records}) > 1
    table = new_table("Accuracy by class", "[Wilson 95% interval]")
    table.add_column("class", overflow="fold")
    table.add_column("images", justify="right")
    for model, heading in headings:
        table.add_column(Text(f"{model}\n{heading}" if several else heading), justify="right", overflow="fold")
    by_place = {(record.model, title(record), record.label): record for record in records}
    for label in dict.fromkeys(record.label for record in records):
        row = [by_place.get((*heading, label)) for heading in headings]
        images = max(record.images for record in row if record)
        cells = ["" if r is None else f"{r.accuracy:.0%} [{100 * r.low:.0f}, {100 * r.high:.0f}]" for r in row]
        table.add_row(Text(label), str(images), *cells)
    return table


def _confused(records: Sequence[Confused]) -> Table:
    table = new_table("Most frequent confusions")
    for heading in ("model", "perturbation", "class", "taken for", "images"):
        table.add_column(heading, justify="right" if heading == "images" else "left", overflow="fold")
    for record in records:
        names = (record.model, title(record), record.label, record.taken_for)
        table.add_row(*map(Text, names), str(record.images))
    return table


def _transfer(records: Sequence[Transferred]) -> Table:
    models = list(dict.fromkeys(record.model for record in records))
    several = len({title(record) for record in records}) > 1
    table = new_table(
        "Transfer" if several else f"Transfer, {title(records[0])}",
        "accuracy of each column's model on what was crafted on each row's",
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


def _certified(records: Sequence[Certified]) -> Table:
    first = records[0]
    table = new_table(
        f"Certified accuracy, sigma {first.sigma:g}, {first.samples} samples",
        f"right within an l2 radius, each wrong with probability {first.alpha:g} at most [Wilson 95% interval]",
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


def _checks(records: Sequence[Checked]) -> Table:
    suspect = sum(record.verdict == "SUSPECT" for record in records)
    table = new_table(
        "Checks of the evaluation", f"{suspect} of {len(records)} suspect" if suspect else "nothing is suspect"
    )
    for heading in ("model", "check", "verdict", "evidence"):
        table.add_column(heading, overflow="fold")
    for record in records:
        bad = record.verdict == "SUSPECT"
        evidence = Text(record.evidence)
        if bad and record.remedy:
            evidence.append(f"\n{record.remedy}", "cyan")
        verdict = Text(record.verdict, "bold yellow" if bad else "green")
        table.add_row(Text(record.model), record.check, verdict, evidence)
    return table


def _gates(records: Sequence[Gate]) -> Table:
    table = new_table("Asked for")
    for heading in ("model", "perturbation", "accuracy", "least", "met"):
        table.add_column(heading, justify="right" if heading in ("accuracy", "least") else "left", overflow="fold")
    for record in records:
        met = Text("yes", "green") if record.met else Text("no", "bold red")
        table.add_row(Text(record.model), Text(title(record)), f"{record.accuracy:.1%}", f"{record.least:.1%}", met)
    return table


def _changes(records: Sequence[Change]) -> Table:
    regressions = sum(record.regression for record in records)
    table = new_table(
        "Since the baseline", f"{regressions} regressions: worse, with p < {_SURE} by Fisher's exact test"
    )
    for heading in ("model", "perturbation", "before", "now", "difference", "p", ""):
        table.add_column(heading, justify="left" if heading in ("model", "perturbation", "") else "right")
    for record in records:
        table.add_row(
            Text(record.model),
            Text(title(record)),
            f"{record.before:.1%}",
            f"{record.after:.1%}",
            f"{100 * record.difference:+.1f}",
            probability(record.p_value),
            Text("regression", "bold red") if record.regression else "",
        )
    return table


def _exported(records: Sequence[Exported]) -> Table:
    table = new_table(f"Corrupted images of {records[0].data}")
    for heading in ("corruption", "images", "folder"):
        table.add_column(heading, justify="right" if heading == "images" else "left", overflow="fold")
    for record in records:
        table.add_row(title(record), str(record.images), Text(record.output))
    return table


def probability(value: float) -> str:
    """Write a p-value."""
    return "<0.001" if value < 0.001 else f"{value:.3f}"


_TABLES = {
    Group: _groups,
    CorruptionError: _corruption_errors,
    Compared: _compared,
    ClassScore: _classes,
    Confused: _confused,
    Transferred: _transfer,
    Certified: _certified,
    Exported: _exported,
    Checked: _checks,
    Change: _changes,
    Gate: _gates,
}
