"""Options that stand for something once the model is known."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import typer

from advcli import registry
from advcli.errors import UsageError
from advcli.threat import Norm, Threat


def threat_for(recipe: Mapping[str, Any], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the threat: what was asked for, else what the model was trained for, else linf 8/255.

    Raises:
        UsageError: the radius is none.
    """
    trained = Norm(recipe.get("norm", Norm.LINF))
    norm = norm or trained
    if eps is None:
        if norm is trained and "eps" in recipe:
            eps = float(recipe["eps"])
        else:
            # The field's usual radii; that of l1 is for images of 32 pixels.
            eps = {Norm.LINF: 8 / 255, Norm.L2: 0.5, Norm.L1: 12.0}[norm]
    return Threat(norm, eps)


def common_threat(recipes: Sequence[Mapping[str, Any]], norm: Norm | None, eps: float | None) -> Threat:
    """Choose one threat for several models.

    Raises:
        UsageError: it was not asked for, and they were trained for different ones.
    """
    threats = {threat_for(recipe, norm, eps) for recipe in recipes if "eps" in recipe}
    if not threats:
        return threat_for({}, norm, eps)
    if len(threats) > 1:
        listed = " and ".join(sorted(f"{threat.norm} {threat.eps:.4g}" for threat in threats))
        raise UsageError(f"the models were trained for different threats: {listed}", "say which with --norm and --eps")
    return threats.pop()


def read_range(text: str | None) -> tuple[float, float] | None:
    """Read ``--input-range``: two numbers, such as 0,255.

    Raises:
        UsageError: it is not two different numbers.
    """
    if text is None:
        return None
    try:
        low, high = (registry.number(part.strip(), "--input-range") for part in text.split(","))
    except (ValueError, UsageError):
        low = high = 0.0
    if low >= high:
        raise UsageError(f"--input-range is not two rising numbers: '{text}'", "write 0,1 or 0,255 or -1,1")
    return low, high


def read_list(text: str | None) -> tuple[str, ...]:
    """Read a list with commas between its items."""
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def refuse_options(context: typer.Context, allowed: Collection[str], reason: str) -> None:
    """Refuse options that would be ignored.

    Raises:
        UsageError: one that is not allowed was given.
    """
    for name in context.params:
        source = context.get_parameter_source(name)
        if name not in allowed and source is not None and source.name == "COMMANDLINE":
            raise UsageError(f"--{name.replace('_', '-')} has no effect here: {reason}", "leave it out")
