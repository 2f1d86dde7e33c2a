"""Default threats, and checks of the options of a threat."""

from collections.abc import Mapping, Sequence

from advcli import registry
from advcli.errors import UsageError
from advcli.parsing import read_radii
from advcli.records.base import Json
from advcli.threat.threat import USUAL_RADIUS, Norm, Threat

# The maximum radius of a minimum-norm search: at this radius an image is hardly recognisable.
_GREATEST = {Norm.LINF: 128 / 255, Norm.L2: 32.0, Norm.L1: 1024.0, Norm.L0: 1024.0}


def threat_for(recipe: Mapping[str, Json], norm: Norm | None, eps: float | None) -> Threat:
    """Choose the threat: the options, else the threat that the model was trained for, else Linf 8/255.

    Raises:
        UsageError: eps is not a radius.
    """
    trained = Norm(recipe.get("norm", Norm.LINF))
    norm = norm or trained
    if eps is None:
        eps = float(recipe["eps"]) if norm is trained and "eps" in recipe else USUAL_RADIUS[norm]
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
    threats = {threat_for(recipe, norm, eps) for recipe in recipes if "eps" in recipe}
    if not threats:
        return threat_for({}, norm, eps)
    if len(threats) > 1:
        listed = " and ".join(sorted(f"{threat.norm} {threat.eps:.4g}" for threat in threats))
        raise UsageError(f"the models were trained for different threats: {listed}", "choose one with --norm and --eps")
    return threats.pop()


def read_threats(
    recipes: Sequence[Mapping[str, Json]], norms: Sequence[Norm] | None, radii: Sequence[str] | None
) -> tuple[Threat, ...]:
    """Read ``--norm`` and ``--eps``: every radius in every norm, or ``l2=0.5,1`` in one of them only.

    Args:
        recipes: the training recipes of the models, for the defaults.
        norms: the values of ``--norm``.
        radii: lists such as ``0,2/255``.

    Raises:
        UsageError: a value is not a radius, or belongs to a norm that is not selected.
    """
    general: list[float] = []
    own: dict[Norm, list[float]] = {}
    for text in radii or ():
        name, found = read_radii(text, list(Norm))
        (general if name is None else own.setdefault(Norm(name), [])).extend(found)
    wanted = list(dict.fromkeys([*(norms or ()), *own]))
    if norms and (extra := [norm for norm in own if norm not in norms]):
        raise UsageError(f"--eps has radii in {extra[0]}, which --norm leaves out", f"add --norm {extra[0]}")
    threats: list[Threat] = []
    for norm in wanted or [None]:
        values = own.get(norm, general) if norm is not None else general
        threats += [common_threat(recipes, norm, eps) for eps in (values or [None])]
    return tuple(dict.fromkeys(threats))


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
