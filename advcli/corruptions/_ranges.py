"""Ranges of the options of corruptions."""

import math

from advcli.errors import UsageError


def require_within(option: str, value: float | None, low: float, high: float = math.inf) -> None:
    """Refuse a value outside of a closed range, or one that is not finite; None, which a severity replaces, is allowed.

    Raises:
        UsageError: the value is refused.
    """
    if value is None or (math.isfinite(value) and low <= value <= high):
        return
    wanted = f"at least {low:g}" if high == math.inf else f"from {low:g} to {high:g}"
    raise UsageError(f"{option} is out of range: {value:g}", f"give a number {wanted}")
