"""Default threats, and how the options of a threat are read."""

from collections.abc import Mapping, Sequence

from advcli import registry
from advcli.errors import UsageError
from advcli.parsing import read_radii
from advcli.records.base import Json
from advcli.threat.threat import USUAL_RADIUS, Norm, Threat

# The maximum radius of a minimum-norm search: at this radius an image is hardly recognisable.
_GREATEST = {Norm.LINF: 128 / 255, Norm.L2: 32.0, Norm.L1: 1024.0, Norm.L0: 1024.0}


def trained_threats(recipe: Mapping[str, Json]) -> tuple[Threat, ...]:
    """List the balls that a model was trained for, the first of them first; none if its recipe has no radius."""
    if recipe.get("threats"):
        return tuple(Threat(Norm(norm), float(eps)) for norm, eps in recipe["threats"])
    return (Threat(Norm(recipe.get("norm", Norm.LINF)), float(recipe["eps"])),) if "eps" in recipe else ()


def threat_for(recipe: Mapping[str, Json], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the threat: the options, else the first threat that the model was trained for, else Linf 8/255.

    Raises:
        UsageError: eps is not a radius.
    """
    norm = norm or Norm(recipe.get("norm", Norm.LINF))
    if eps is None:
        trained = {threat.norm: threat.eps for threat in trained_threats(recipe)}
        eps = trained.get(norm, USUAL_RADIUS[norm])
    return Threat(norm, eps)


def widest(recipe: Mapping[str, Json], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the largest ball of a minimum-norm search: the option, or a very large default.

    Raises:
        UsageError: eps is smaller than 1/255, in l0 than one pixel.
    """
    norm = norm or Norm(recipe.get("norm", Norm.LINF))
    least, spelled = (1.0, "1 pixel") if norm is Norm.L0 else (1 / 255, "1/255")
    if eps is not None and eps + 1e-6 < least:
        what = f"eps {eps:g} is smaller than {spelled}, the smallest radius of the search"
        raise UsageError(what, "give a larger --eps")
    return Threat(norm, _GREATEST[norm] if eps is None else eps)


def common_threat(recipes: Sequence[Mapping[str, Json]], norm: Norm | None, eps: float | None) -> Threat:
    """Choose one threat for several models.

    Raises:
        UsageError: no threat is given, and the models were trained for different ones.
    """
    (threat,) = _agreed([(threat_for(recipe, norm, eps),) for recipe in recipes if "eps" in recipe]) or (
        threat_for({}, norm, eps),
    )
    return threat


def _agreed(threats: Sequence[tuple[Threat, ...]]) -> tuple[Threat, ...]:
    """Return the threats of all models if they are the same; none if there is no model."""
    different = dict.fromkeys(threats)
    if len({frozenset(each) for each in different}) > 1:
        listed = " and ".join(sorted(", ".join(f"{ball.norm} {ball.eps:.4g}" for ball in each) for each in different))
        raise UsageError(f"the models were trained for different threats: {listed}", "choose one with --norm and --eps")
    return next(iter(different), ())


def read_threats(
    recipes: Sequence[Mapping[str, Json]], norms: Sequence[Norm] | None, radii: Sequence[str] | None
) -> tuple[Threat, ...]:
    """Read ``--norm`` and ``--eps``: every radius in every norm, or ``l2=0.5,1`` in one of them only.

    Without either, the threats are all those that the models were trained for.

    Args:
        recipes: the training recipes of the models, for the defaults.
        norms: the values of ``--norm``.
        radii: lists such as ``0,2/255``.

    Raises:
        UsageError: a value is not a radius, or belongs to a norm that is not selected.
    """
    general, own, wanted = _read_norms_and_radii(norms, radii)
    if not wanted and not general:
        trained = _agreed([trained_threats(recipe) for recipe in recipes if "eps" in recipe])
        return trained or (threat_for({}, None, None),)
    threats: list[Threat] = []
    for norm in wanted or [None]:
        values = own.get(norm, general) if norm is not None else general
        threats += [common_threat(recipes, norm, eps) for eps in (values or [None])]
    return tuple(dict.fromkeys(threats))


def read_training_radii(
    norms: Norm | Sequence[Norm] | None, eps: float | Sequence[str] | None
) -> dict[Norm, float | None]:
    """Read ``--norm`` and ``--eps`` of training: the norms in their order, each with its radius; None: the usual one.

    Args:
        norms: one norm, or several; None means linf, or those that ``eps`` names.
        eps: one radius, or texts such as ``l1=12``.

    Raises:
        UsageError: a norm has no radius of its own, or several.
    """
    norms = (norms,) if isinstance(norms, str) else norms
    one = isinstance(eps, (int, float))
    general, own, wanted = _read_norms_and_radii(norms, None if one else eps)
    general, wanted = [eps] if one else general, wanted or [Norm.LINF]
    if general and len(wanted) > 1:
        known = {norm: [USUAL_RADIUS[norm]] for norm in wanted} | {wanted[0]: general} | own
        example = " ".join(f"--eps {norm}={known[norm][0]:.4g}" for norm in wanted)
        message = f"--eps {general[0]:.4g} is no radius for both {wanted[0]} and {wanted[1]}"
        raise UsageError(message, f"write {example}")
    found = {norm: own.get(norm, general) for norm in wanted}
    for norm, values in found.items():
        if len(values) > 1:
            listed = " and ".join(f"{value:.4g}" for value in values)
            raise UsageError(f"--eps has several radii in {norm}: {listed}", "training takes one radius a norm")
    return {norm: values[0] if values else None for norm, values in found.items()}


def _read_norms_and_radii(
    norms: Sequence[Norm] | None, radii: Sequence[str] | None
) -> tuple[list[float], dict[Norm, list[float]], list[Norm]]:
    """Read the radii for every norm, those of single norms, and the norms in their order."""
    general: list[float] = []
    own: dict[Norm, list[float]] = {}
    for text in radii or ():
        name, found = read_radii(text, list(Norm))
        (general if name is None else own.setdefault(Norm(name), [])).extend(found)
    wanted = [Norm(norm) for norm in dict.fromkeys([*(norms or ()), *own])]
    if general and own and own.keys() >= set(wanted):
        named = next(iter(own))
        raise UsageError(
            f"--eps {general[0]:.4g} names no norm beside --eps {named}={own[named][0]:.4g}",
            f"write --eps {'l2' if named is Norm.LINF else 'linf'}={general[0]:.4g}, or name its norm with --norm",
        )
    if norms and (extra := [norm for norm in own if norm not in norms]):
        raise UsageError(f"--eps has radii in {extra[0]}, which --norm leaves out", f"add --norm {extra[0]}")
    return general, own, wanted


def with_queries(spec: str, queries: int | None) -> str:
    """Add a query budget to an attack's spec.

    Raises:
        UsageError: the attack has no query budget, or the spec already sets one.
    """
    if queries is None:
        return spec
    counting = [name for name in registry.names("attacks") if "queries" in registry.options("attacks", name)]
    name = registry.canonical(spec)
    if name in registry.names("attacks") and name not in counting:
        raise UsageError(f"'{name}' has no query budget", f"attacks with one: {', '.join(counting)}")
    return f"{spec},queries={queries}" if ":" in spec else f"{spec}:queries={queries}"
