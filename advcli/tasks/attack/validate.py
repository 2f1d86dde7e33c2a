"""What an attack on image files refuses before TensorFlow is imported, and which attack and ball are meant."""

from dataclasses import dataclass, replace

from advcli import registry
from advcli.attacks import Attack, Suite, Universal, refuse_radius, refuse_unsupported
from advcli.parsing import read_choices
from advcli.search.threat_defaults import threat_for, widest, with_queries
from advcli.tasks.attack.request import ENDINGS, Request
from advcli.tasks.attack.universal_files import pattern_of
from advcli.threat.threat import Norm, Threat


@dataclass(frozen=True)
class Chosen:
    """What a request stands for.

    Args:
        spec: the attack with all its options, and what it is called in records.
        search: the same, built.
        threat: the ball, with no class to reach yet.
        target: the name of that class.
    """

    spec: str
    search: Attack | Suite | Universal
    threat: Threat
    target: str | None


def choose(request: Request) -> Chosen:
    """Find the attack and the ball, in the pattern's file if one is applied.

    Raises:
        UsageError: there is no such attack, or it cannot do what is asked of it.
    """
    choice = request.choose(request.model)
    norm, eps = request.norm, request.eps
    crafted = {}
    if request.apply is not None:
        crafted = pattern_of(request.apply, request.attack, norm, eps, request.target)
    spec = with_queries(request.attack or crafted.get("attack", "pgd"), request.queries)
    search = registry.build("attacks", spec)
    refuse_radius(search, spec, norm, eps, request.minimal)
    if crafted.get("eps"):
        threat = threat_for({}, Norm(crafted["norm"]), crafted["eps"])
    elif request.minimal:
        threat = widest(choice.recipe, norm, eps)
    else:
        threat = threat_for(choice.recipe, norm, eps)
    target = crafted.get("target") if request.target is None else request.target
    refuse_unsupported(search, threat if target is None else replace(threat, target=0))
    return Chosen(spec, search, threat, target)


def check(request: Request) -> None:
    """Refuse a request that cannot be carried out.

    Raises:
        UsageError: it is one.
    """
    choose(request)
    read_choices(",".join(request.save), ENDINGS, "--save")
