"""The calibration of models, as cells of other tables and as a table of its own."""

from collections.abc import Sequence
from statistics import fmean

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.style import new_table, title
from advcli.records import Calibration

HEADINGS = ("ECE", "confidence\nwhen wrong")
EXPLANATION = "ECE: expected calibration error [95% interval of the error without its bias]"


def calibration_cells(record: Calibration | None) -> tuple[str, str]:
    """Return the calibration error with its interval, and the mean confidence of wrong predictions."""
    if record is None:
        return "", ""
    return f"{record.ece:.3f} [{record.ece_low:.2f}, {record.ece_high:.2f}]", _when_wrong([record])


def calibration_table(records: Sequence[Calibration]) -> Table:
    """Show a row for each model and perturbation; the severities of a corruption are averaged."""
    several = len({record.model for record in records}) > 1
    first = records[0]
    heading = f"Calibration on {first.data}" if several else f"Calibration of {first.model} on {first.data}"
    averaged = any(record.severity is not None for record in records)
    table = new_table(heading, EXPLANATION + ("; means over the severities of a corruption" if averaged else ""))
    for name in (*(("model",) if several else ()), "perturbation"):
        table.add_column(name, overflow="fold")
    for name in HEADINGS:
        table.add_column(name, justify="right", no_wrap=True)
    groups: dict[tuple[str, ...], list[Calibration]] = {}
    for record in records:
        name = title(record) if record.severity is None else record.perturbation
        groups.setdefault((record.model, name), []).append(record)
    for (model, name), found in groups.items():
        shown = title(found[0]) if len(found) == 1 else name
        cells = calibration_cells(found[0]) if len(found) == 1 else (_mean_error(found), _when_wrong(found))
        table.add_row(*((Text(model),) if several else ()), Text(shown), *cells)
    return table


def _mean_error(records: Sequence[Calibration]) -> str:
    return f"{fmean(record.ece for record in records):.3f}"


def _when_wrong(records: Sequence[Calibration]) -> str:
    known = [record.confidence_when_wrong for record in records if record.confidence_when_wrong is not None]
    return f"{fmean(known):.2f}" if known else "-"
