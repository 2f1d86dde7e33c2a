"""The style of all tables."""

from rich.table import Table
from rich.text import Text

from advcli.records import Measurement
from advcli.threat.spelling import spell_perturbation


def new_table(title: str, caption: str = "") -> Table:
    """Return an empty table with its title above and a caption below, both on the left."""
    return Table(title=Text(title), caption=Text(caption), title_justify="left", caption_justify="left")


def title(record: Measurement) -> str:
    """Name a perturbation with its strength: ``pgd, Linf 8/255``, ``fog 3``."""
    return spell_perturbation(**record.place)
