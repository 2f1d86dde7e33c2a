"""How attacks and threats are written where a person reads them: ``pgd, Linf 8/255``, ``L2 0.5``, ``L1 12``."""

from functools import cache

from advcli import registry
from advcli.plugins import named_file

_NORMS = {"linf": "Linf", "l2": "L2", "l1": "L1", "l0": "L0"}


def spell_norm(norm: str) -> str:
    """Write a norm: ``Linf``, ``L2``."""
    return _NORMS.get(norm, norm)


def spell_threat(norm: str | None, eps: float | None) -> str:
    """Write a ball: ``Linf 8/255``, ``Linf 0.1``, ``L2 0.5``, ``L0 5 pixels``; nothing where there is none."""
    if norm is None or eps is None:
        return ""
    if norm == "l0":
        return f"{spell_norm(norm)} {eps:g} {'pixel' if eps == 1 else 'pixels'}"
    steps = 255 * eps
    # A short decimal number is what was asked for, even if it is a whole number of grey levels: 0.2 is 51/255.
    in_steps = norm == "linf" and eps != round(eps, 2) and abs(steps - round(steps)) < 1e-3
    return f"{spell_norm(norm)} {f'{round(steps)}/255' if in_steps else f'{eps:.4g}'}"


def typed_radius(eps: float) -> str:
    """Write a radius as it is typed, so that reading it gives the same number: ``0.1``, ``8/255``."""
    short, steps = f"{eps:g}", f"{round(255 * eps)}/255"
    return short if float(short) == eps else steps if round(255 * eps) / 255 == eps else repr(eps)


def name_parameter(parameter: str, unit: str) -> str:
    """Name a parameter with its unit: ``radius, pixels``; ``photons at full scale``."""
    return unit if unit.startswith(parameter) else f"{parameter}, {unit}" if unit else parameter


@cache
def own_name(spec: str) -> str:
    """Return the name of an attack whose options make it another one than its component; empty if they do not.

    The class attribute ``own_names`` of the component lists them: ``{"version=fast": "fast search"}``.
    """
    name, _, text = spec.partition(":")
    if named_file(spec) or registry.canonical(name) not in registry.names("attacks"):
        return ""
    known = registry.class_value("attacks", name, "own_names")
    given = {"".join(item.split()).replace("-", "_") for item in text.split(",")}
    return next((title for option, title in known.items() if option in given), "") if isinstance(known, dict) else ""


def spell_spec(spec: str) -> str:
    """Write a spec, behind the attack's own name if it has one: ``fast search (NAME:version=fast)``."""
    name, _, text = spec.partition(":")
    return f"{own_name(spec)} ({registry.canonical(name)}:{text})" if own_name(spec) else spec


def spell_perturbation(perturbation: str, norm: str | None, eps: float | None, severity: int | None) -> str:
    """Write a perturbation with its strength: ``pgd, Linf 8/255``, ``fog 3``."""
    strength = spell_threat(norm, eps)
    return spell_spec(perturbation) + (f" {severity}" if severity else "") + (f", {strength}" if strength else "")
