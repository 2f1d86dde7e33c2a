"""Validation of an attack request before TensorFlow is imported, and the choice of attack and ball."""

from dataclasses import dataclass, replace

from advcli import registry
from advcli.attacks import Attack, Suite, Universal, refuse_blind, refuse_mask, refuse_radius, refuse_unsupported
from advcli.errors import UsageError
from advcli.model.black_box import Access
from advcli.parsing import read_choices
from advcli.search.threat_defaults import threat_for, widest, with_queries
from advcli.tasks.attack.request import ENDINGS, Request
from advcli.tasks.attack.universal_files import pattern_of
from advcli.tasks.request import DEFAULT_ATTACKS
from advcli.threat.threat import Norm, Threat


@dataclass(frozen=True)
class Chosen:
    """The attack that a request describes.

    Args:
        spec: the attack with all its options, as records name it.
        search: the attack itself.
        threat: the ball, without the target's index.
        target: the name of the target class.
    """

    spec: str
    search: Attack | Suite | Universal
    threat: Threat
    target: str | None


def choose(request: Request, shown: Access | None = None) -> Chosen:
    """Choose the attack and the ball; with ``--apply`` from the file of the universal perturbation.

    Args:
        request: the options.
        shown: what the model shows of itself, once it is loaded.

    Raises:
        UsageError: there is no such attack, or it does not support the options.
    """
    choice = request.choose(request.model)
    norm, eps = request.norm, request.eps
    crafted = None
    if request.apply is not None:
        crafted = pattern_of(request.apply, request.attack, norm, eps, request.target)
    surrogate = request.choose_surrogate()
    access = (shown or choice.access) if surrogate is None else surrogate.access
    spec = with_queries(
        request.attack or (DEFAULT_ATTACKS[access] if crafted is None else crafted.attack), request.queries
    )
    search = registry.build("attacks", spec)
    if request.apply is None:
        refuse_blind(search, spec, access, choice.name, threat_for({}, norm, eps))
    if surrogate is not None and (request.minimal or request.apply is not None):
        option = "--minimal" if request.minimal else "--apply"
        raise UsageError(f"{option} needs no surrogate: it asks the attacked model itself", "leave --surrogate out")
    refuse_radius(search, spec, norm, eps, request.minimal)
    if crafted is not None and crafted.eps:
        threat = threat_for({}, Norm(crafted.norm or Norm.LINF), crafted.eps)
    elif request.minimal:
        threat = widest(choice.recipe, norm, eps)
    else:
        threat = threat_for(choice.recipe, norm, eps)
    target = request.target if crafted is None or request.target is not None else crafted.target
    refuse_unsupported(search, threat if target is None else replace(threat, target=0))
    return Chosen(spec, search, threat, target)


def check(request: Request) -> None:
    """Validate a request.

    Raises:
        UsageError: the request is invalid.
    """
    chosen = choose(request)
    if request.overwrite and request.skip_existing:
        raise UsageError("--overwrite and --skip-existing are opposites", "leave one of them out")
    if request.mask is not None:
        refuse_mask(chosen.search, chosen.spec)
    if request.skip_existing and isinstance(chosen.search, Universal) and request.apply is None:
        raise UsageError(
            f"'{chosen.spec}' crafts one perturbation over all images: none can be left out",
            "apply the one that is there with --apply FILE, or leave --skip-existing out",
        )
    read_choices(",".join(request.save), ENDINGS, "--save")
