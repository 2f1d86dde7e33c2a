"""Sweeps and tolerances as rich tables."""

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.style import new_table
from advcli.records import Swept, Tolerance
from advcli.threat.spelling import name_parameter

# Of sweeps without tolerances this many values are shown.
_MOST = 10


def sweep_tables(records: Sequence[Swept], tolerances: Sequence[Tolerance] = ()) -> Iterator[Table]:
    """Show the accuracy over each parameter, a table for each corruption, a column for each model.

    Args:
        records: the sweeps.
        tolerances: what the sweeps decide: of these only the values that decide, the first and the last are shown.
    """
    for place in dict.fromkeys((record.perturbation, record.parameter) for record in records):
        decided = [found.value for found in tolerances if (found.perturbation, found.parameter) == place]
        yield _sweep([record for record in records if (record.perturbation, record.parameter) == place], decided)


def _sweep(records: Sequence[Swept], tolerances: Sequence[float | None]) -> Table:
    first = records[0]
    cells: dict[tuple[str, float], str] = {}
    for record in records:
        for value, accuracy, low, high in zip(record.values, record.accuracies, record.lows, record.highs, strict=True):
            cells[record.model, value] = f"{accuracy:.1%} [{100 * low:.1f}, {100 * high:.1f}]"
    # The weakest first, as in the records.
    values = sorted({value for _, value in cells}, reverse=first.values[0] > first.values[-1])
    shown = _shown(values, tolerances)
    table = new_table(
        f"Accuracy on {first.data} over the {first.parameter} of {first.perturbation}",
        "accuracy on all images [Wilson 95% interval]"
        + (
            f"; {len(shown)} of {len(values)} values, all are in --json and --report"
            if len(shown) < len(values)
            else ""
        ),
    )
    table.add_column(name_parameter(first.parameter, first.unit), justify="right")
    models = list(dict.fromkeys(record.model for record in records))
    for model in models:
        table.add_column(Text(model, "bold"), justify="right", no_wrap=True)
    for value in shown:
        table.add_row(f"{value:.10g}", *(cells.get((model, value), "") for model in models))
    return table


def _shown(values: Sequence[float], tolerances: Sequence[float | None]) -> list[float]:
    """Choose the first and the last value, and each tolerance with the next one; without tolerances, ten at most."""
    last = len(values) - 1
    if tolerances:
        held = [values.index(value) for value in tolerances if value is not None and value in values]
        places = {0, last, *held, *(min(place + 1, last) for place in held)}
    else:
        count = min(_MOST, len(values))
        places = {round(number * last / max(count - 1, 1)) for number in range(count)}
    return [values[place] for place in sorted(places)]


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
