"""Formatting of numbers for reports."""

import math

from advcli.threat.spelling import spell_threat

_MINUS, _NONE, _JOINED = "\N{MINUS SIGN}", "\N{EN DASH}", "\N{NO-BREAK SPACE}"


def percent(fraction: float) -> str:
    """Write a fraction in percent, to one decimal place and without the sign."""
    return f"{100 * fraction:.1f}" if math.isfinite(fraction) else _NONE


def points(difference: float) -> str:
    """Write the difference of two fractions in percentage points, always with its sign."""
    text = f"{100 * abs(difference):.1f}"
    sign = "±" if float(text) == 0 else "+" if difference > 0 else _MINUS
    return sign + text


def probability(value: float) -> str:
    """Write a p-value to three places; a smaller one as a bound."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def decimal(value: float) -> str:
    """Write a number to four significant digits, without a power of ten where it can be read without."""
    return f"{value:.4g}"


def count_noun(count: int, one: str, many: str = "") -> str:
    """Write how many there are of what: ``1 image``, ``1,200 images``."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def radius(norm: str | None, eps: float | None) -> str:
    """Write a threat: ``Linf 8/255``, ``L2 0.5``, in one piece; nothing where there is none."""
    return spell_threat(norm, eps).replace(" ", _JOINED)


def short_name(name: str, longest: int) -> str:
    """Cut a long name in the middle: names of runs differ at their ends."""
    half = longest // 2
    return name if len(name) <= longest else f"{name[:half]}...{name[-half:]}"
