"""Sweeps and tolerances as rich tables."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.style import new_table
from advcli.records import Swept, Tolerance
from advcli.threat.spelling import name_parameter


def sweep_tables(records: Sequence[Swept]) -> Iterator[Table]:
    """Show the accuracy over each parameter, a table for each corruption, a column for each model."""
    for place in dict.fromkeys((record.perturbation, record.parameter) for record in records):
        yield _sweep([record for record in records if (record.perturbation, record.parameter) == place])


def _sweep(records: Sequence[Swept]) -> Table:
    first = records[0]
    table = new_table(
        f"Accuracy on {first.data} over the {first.parameter} of {first.perturbation}",
        "accuracy on all images [Wilson 95% interval]",
    )
    table.add_column(name_parameter(first.parameter, first.unit), justify="right")
    cells: dict[tuple[str, float], str] = {}
    for record in records:
        for value, accuracy, low, high in zip(record.values, record.accuracies, record.lows, record.highs, strict=True):
            cells[record.model, value] = f"{accuracy:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
    models = list(dict.fromkeys(record.model for record in records))
    for model in models:
        table.add_column(Text(model, "bold"), justify="right", no_wrap=True)
    values = {value for record in records for value in record.values}
    # The weakest first, as in the records.
    for value in sorted(values, reverse=first.values[0] > first.values[-1]):
        table.add_row(f"{value:.10g}", *(cells.get((model, value), "") for model in models))
    return table


def tolerances_table(records: Sequence[Tolerance]) -> Table:
    """Show how far each model tolerates each corruption."""
    table = new_table(
        f"Tolerances at a required accuracy of {records[0].required:.4g}",
        "the strongest value up to which the lower bound of the accuracy meets it [95% interval]",
    )
    judged = any(record.met is not None for record in records)
    for heading in ("model", "corruption", "parameter", "tolerance", *(("held", "met") if judged else ()), "result"):
        table.add_column(heading, justify="right" if heading in ("tolerance", "held") else "left", overflow="fold")
    for record in records:
        gate = []
        if judged:
            met = Text("") if record.met is None else Text("yes", "green") if record.met else Text("no", "bold red")
            gate = ["" if record.hold is None else f"{record.hold:.10g}", met]
        table.add_row(
            Text(record.model),
            Text(record.perturbation),
            Text(name_parameter(record.parameter, record.unit)),
            Text(_interval(record), "bold"),
            *gate,
            Text(record.statement),
        )
    return table


def _interval(record: Tolerance) -> str:
    if record.value is None:
        return "none"
    low, high = ("" if end is None else f"{end:.10g}" for end in (record.low, record.high))
    return f"{'at least ' if record.censored else ''}{record.value:.10g}" + f" [{low or '...'}, {high or '...'}]"
