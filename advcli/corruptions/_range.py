"""The range of an option."""

from advcli.errors import UsageError


def refuse_outside(name: str, value: float | None, least: float, most: float, unit: str = "") -> None:
    """Refuse a value outside a range, and one that is not finite; None is not given, and stays.

    Raises:
        UsageError: it is outside.
    """
    if value is not None and not least <= value <= most:
        raise UsageError(f"{name} is not between {least:g} and {most:g}{unit and ' '}{unit}: {value:g}")
