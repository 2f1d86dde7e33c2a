"""Validation of an attack request before TensorFlow is imported, and the choice of attack and ball."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from advcli import registry
from advcli.attacks import Attack, Suite, Universal
from advcli.errors import UsageError
from advcli.files import paths
from advcli.files.bounded import refuse_special
from advcli.files.wrong_kind import refuse_missing, refuse_other_kind
from advcli.model.black_box import Access
from advcli.model.model_choice import ModelChoice
from advcli.parsing import read_choices
from advcli.search.refusals import refuse_blind, refuse_mask, refuse_radius, refuse_unsupported
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
    choice, *others = choices = request.choose_models()
    if others:
        _refuse_alone(request, choices)
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
        raise UsageError(f"{option} needs no surrogate: it queries the attacked model itself", "leave --surrogate out")
    if others and isinstance(search, Universal):
        raise UsageError(f"'{spec}' crafts one perturbation on one model", "give one --model")
    refuse_radius(search, spec, norm, eps, request.minimal)
    if crafted is not None and crafted.eps:
        threat = threat_for({}, Norm(crafted.norm or Norm.LINF), crafted.eps)
    elif request.minimal:
        threat = widest(choice.recipe, norm, eps)
    else:
        threat = threat_for(choice.recipe, norm, eps)
    target = request.target if crafted is None or request.target is not None else crafted.target
    refuse_unsupported(search, threat if target is None else replace(threat, target=0), request.start is not None)
    return Chosen(spec, search, threat, target)


def _refuse_alone(request: Request, choices: Sequence[ModelChoice]) -> None:
    """Refuse what is possible with one model only.

    Raises:
        UsageError: an option needs one model, a model has no gradients, or is given twice.
    """
    asked = {"--minimal": request.minimal, "--apply": request.apply, "--surrogate": request.surrogate}
    for name, value in asked.items():
        if value:
            raise UsageError(f"{name} needs one model", "give one --model, or leave it out")
    for choice in choices:
        if choice.access != "gradient":
            raise UsageError(f"'{choice.name}' has no gradients to craft with", "craft on the others alone")
    if len(set(request.models)) < len(request.models):
        raise UsageError("a model is given twice", "leave one out")


def check(request: Request) -> None:
    """Validate a request.

    Raises:
        UsageError: the request is invalid.
    """
    chosen = choose(request)
    if request.start is not None:
        hint = "--start takes an image of the target class"
        refuse_missing(refuse_special(request.start), "image", "an image", hint)
        refuse_other_kind(request.start, ("image",), "an image", hint)
    paths.refuse_two_ways(request.overwrite, request.skip_existing)
    if request.mask is not None:
        refuse_mask(chosen.search, chosen.spec)
    if request.skip_existing and isinstance(chosen.search, Universal) and request.apply is None:
        raise UsageError(
            f"'{chosen.spec}' crafts one perturbation over all images: none can be left out",
            "apply the one that is there with --apply FILE, or leave --skip-existing out",
        )
    read_choices(",".join(request.save), ENDINGS, "--save")
