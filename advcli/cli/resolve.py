"""Options that stand for something once the model is known."""

import json
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import typer

from advcli import png, registry
from advcli.attacks import refuse_pattern as refuse_pattern
from advcli.attacks import refuse_radius as refuse_radius
from advcli.errors import UsageError, nearest
from advcli.threat import USUAL_RADIUS, Norm, Threat

# Where looking for the smallest radius ends: there a picture is hardly itself any more.
_GREATEST = {Norm.LINF: 128 / 255, Norm.L2: 32.0, Norm.L1: 1024.0}


def threat_for(recipe: Mapping[str, Any], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the threat: what was asked for, else what the model was trained for, else linf 8/255.

    Raises:
        UsageError: the radius is none.
    """
    trained = Norm(recipe.get("norm", Norm.LINF))
    norm = norm or trained
    if eps is None:
        eps = float(recipe["eps"]) if norm is trained and "eps" in recipe else USUAL_RADIUS[norm]
    return Threat(norm, eps)


def widest(recipe: Mapping[str, Any], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the greatest ball in which the smallest radius is looked for: what was asked for, or a very large one.

    Raises:
        UsageError: there is no step of 1/255 in it.
    """
    norm = norm or Norm(recipe.get("norm", Norm.LINF))
    if eps is not None and eps * 255 + 1e-6 < 1:
        raise UsageError(f"there is no radius up to {eps:g}: the smallest is 1/255", "give a larger --eps")
    return Threat(norm, _GREATEST[norm] if eps is None else eps)


def with_queries(spec: str, queries: int | None) -> str:
    """Add a budget of queries to an attack's spec.

    Raises:
        UsageError: the attack does not count queries, or the spec has a budget already.
    """
    if queries is None:
        return spec
    counting = [name for name in registry.names("attacks") if "queries" in registry.options("attacks", name)]
    name = registry.canonical(spec)
    if name in registry.names("attacks") and name not in counting:
        raise UsageError(f"'{name}' has no budget of queries", f"these have: {', '.join(counting)}")
    return f"{spec},queries={queries}" if ":" in spec else f"{spec}:queries={queries}"


def pattern_of(
    file: Path, attack: str | None, norm: Norm | None, eps: float | None, target: str | None
) -> dict[str, Any]:
    """Read what a pattern's file says of itself: its attack, norm, radius and target.

    Raises:
        UsageError: the file is no pattern, or something else was asked for than it is.
    """
    if not file.is_file():
        raise UsageError(f"no such file: '{file}'", "--apply takes the .pattern.png that an attack has written")
    text = png.text_in(file, "advcli")
    if text is None or png.text_in(file, "advcli-kind") != "pattern":
        raise UsageError(f"'{file}' is no pattern", "--apply takes the .pattern.png that an attack has written")
    content = json.loads(text)
    made = content["attack"]
    if attack is not None and registry.canonical(attack) != registry.canonical(made):
        raise UsageError(f"'{file}' was crafted by {made}, not by {attack}", "leave --attack out")
    if norm or eps is not None:
        raise UsageError(f"'{file}' has its own radius", "leave --norm and --eps out")
    if target is not None and target != content["target"]:
        raise UsageError(f"'{file}' was crafted towards {content['target'] or 'any wrong class'}", "leave --target out")
    return content


def read_choices(text: str, known: Collection[str], option: str) -> tuple[str, ...]:
    """Read a list of which every item must be known.

    Raises:
        UsageError: an item is not, or there is none.
    """
    chosen = read_list(text)
    for item in chosen:
        if item not in known:
            raise UsageError(f"{option} has no '{item}'", nearest(item, known))
    if not chosen:
        raise UsageError(f"{option} is empty", nearest("", known))
    return tuple(dict.fromkeys(chosen))


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
