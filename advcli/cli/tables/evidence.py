"""Requirements, and the verification of an evidence folder, as rich tables."""

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from advcli.cli.tables.style import new_table, title
from advcli.records import Requirement, Verified


def requirements_table(records: Sequence[Requirement]) -> Table:
    """Show which requirements are met."""
    table = new_table(
        "Requirements",
        "lower95: the Clopper-Pearson lower bound of the accuracy: at the bound or below it a model passes with "
        "probability 2.5% at most; supports: evidence for these terms, not compliance (see --report)",
    )
    for heading in ("requirement", "model", "perturbation", "correct", "required", "value", "met", "supports"):
        table.add_column(heading, justify="right" if heading in ("correct", "value") else "left", overflow="fold")
    for record in records:
        table.add_row(
            *map(Text, (record.id, record.model, title(record))),
            f"{record.correct} of {record.images}",
            f"{record.statistic} >= {bound_text(record.bound)}",
            f"{100 * record.value:.2f}%",
            Text("yes", "green") if record.met else Text("no", "bold red"),
            Text(", ".join(support.term for support in record.supports)),
        )
    return table


def verified_table(records: Sequence[Verified]) -> Table:
    """Show which files of an evidence folder are intact."""
    damaged = sum(not record.intact for record in records)
    table = new_table("Evidence", f"{damaged} of {len(records)} not intact" if damaged else "all files are intact")
    for heading in ("file", "SHA-256", "intact", "problem"):
        table.add_column(heading, overflow="fold")
    for record in records:
        verdict = Text("yes", "green") if record.intact else Text("no", "bold red")
        table.add_row(Text(record.file), record.sha256 or "", verdict, Text(record.problem))
    return table


def bound_text(share: float) -> str:
    """Write a share in percent with all its digits: 80%, 99.5%."""
    return f"{100 * share:.10g}%"
