"""The style of all tables."""

from rich.table import Table
from rich.text import Text

from advcli.records import Measurement


def new_table(title: str, caption: str = "") -> Table:
    """Return an empty table with its title above and a caption below, both on the left."""
    return Table(title=Text(title), caption=Text(caption), title_justify="left", caption_justify="left")


def radius(norm: str | None, eps: float | None) -> str:
    """Spell out a threat: ``linf 0.0314 (8/255)``."""
    if norm is None or eps is None:
        return ""
    return f"{norm} {eps:.4g}" + (f" ({eps * 255:.3g}/255)" if norm == "linf" else "")


def title(record: Measurement) -> str:
    """Name a perturbation with its strength: ``pgd, linf 0.0314 (8/255)``, ``fog 3``."""
    strength = radius(record.norm, record.eps)
    severity = f" {record.severity}" if record.severity else ""
    return f"{record.perturbation}{severity}" + (f", {strength}" if strength else "")
