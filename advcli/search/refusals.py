"""What an attack cannot do: refused before any work."""

from advcli import registry
from advcli.attacks import DecisionAttack, Search, Universal
from advcli.errors import UsageError
from advcli.model.black_box import ACCESS_LEVELS, Access
from advcli.threat.threat import Norm, Threat


def refuse_unsupported(attack: Search, threat: Threat, started: bool = False) -> None:
    """Refuse a threat that the attack does not support.

    Args:
        attack: the attack.
        threat: the ball, and the target class if there is one.
        started: whether there is an image to start from.

    Raises:
        UsageError: the attack does not support the norm or a target class, or it must start from an image that is
            missing, or does not start from one.
    """
    name = type(attack).__module__.rpartition(".")[2].replace("_", "-")
    norms = attack.searchable_norms
    if attack.bounded and threat.norm not in norms:
        hint = f"its norms: {', '.join(norms)}; for {threat.norm}: {', '.join(_of_norm(threat.norm))}"
        raise UsageError(f"'{name}' does not search {threat.norm} balls", hint)
    if threat.target is not None and not attack.targeted:
        raise UsageError(
            f"'{name}' cannot be targeted at a class", "leave the target out: it searches for any incorrect class"
        )
    starts = isinstance(attack, DecisionAttack)
    if started and not (starts and threat.target is not None):
        able = [
            each for each in registry.names("attacks") if isinstance(registry.build("attacks", each), DecisionAttack)
        ]
        message = "--start needs a --target, whose image it is" if starts else f"'{name}' starts from the image itself"
        raise UsageError(message, f"leave --start out; with --target these start from another image: {', '.join(able)}")
    if starts and threat.target is not None and not started:
        raise UsageError(
            f"'{name}' reaches a target from an image of that class",
            "give one with --start FILE, or leave the target out",
        )


def refuse_blind(search: Search, spec: str, access: Access, model: str, threat: Threat | None = None) -> None:
    """Refuse an attack that must see more of a model than it shows.

    Args:
        search: the attack.
        spec: its spec.
        access: what the attack may see of the model: gradients (white box), scores, or the predicted class only.
        model: its name in the message.
        threat: the ball; the hint lists the attacks that search it.

    Raises:
        UsageError: the attack needs gradients that the model does not have, or scores where it returns classes.
    """

    def suffices(attack: Search) -> bool:
        return ACCESS_LEVELS.index(attack.needs) >= ACCESS_LEVELS.index(access)

    if suffices(search):
        return
    attacks = {name: registry.build("attacks", name) for name in registry.names("attacks")}
    left = {name: each for name, each in attacks.items() if suffices(each)}
    names = [
        name
        for name, each in left.items()
        if threat is None or not each.bounded or threat.norm in each.searchable_norms
    ]
    shows = "only scores" if access == "scores" else "only classes"
    needs = "gradients" if search.needs == "gradient" else "scores"
    raise UsageError(
        f"'{registry.canonical(spec)}' needs {needs}, and '{model}' returns {shows}",
        f"these need none: {', '.join(names)}; or craft on a model of your own with --surrogate RUN",
    )


def _of_norm(norm: Norm) -> list[str]:
    """Name the attacks that search balls of a norm."""
    attacks = {name: registry.build("attacks", name) for name in registry.names("attacks")}
    return [name for name, attack in attacks.items() if attack.bounded and norm in attack.searchable_norms]


def refuse_radius(search: Search, spec: str, norm: Norm | None, eps: float | None, minimal: bool = False) -> None:
    """Refuse a radius for an attack that has none, and the smallest one for a pattern of many images.

    Raises:
        UsageError: one of them was asked for.
    """
    name = registry.canonical(spec)
    if not search.bounded and (minimal or norm or eps is not None):
        raise UsageError(
            f"'{name}' does not search a ball, so it has no radius", "leave --eps, --norm and --minimal out"
        )
    if minimal and isinstance(search, Universal):
        raise UsageError(
            f"'{name}' is one perturbation for all images, not the smallest for each", "leave --minimal out"
        )


def refuse_mask(search: Search, spec: str) -> None:
    """Refuse a mask for an attack that does not change each pixel of each image for itself.

    Raises:
        UsageError: the attack moves pixels about, or is one perturbation for many images.
    """
    if not search.masked:
        what = "is one perturbation for many images" if isinstance(search, Universal) else "moves all pixels"
        raise UsageError(f"'{registry.canonical(spec)}' {what}: it has no mask", "leave --mask out")


def refuse_universal(search: Search, spec: str, hint: str) -> None:
    """Refuse an attack that computes one perturbation for many images.

    Raises:
        UsageError: the attack is universal.
    """
    if isinstance(search, Universal):
        raise UsageError(f"'{registry.canonical(spec)}' is one perturbation for many images", hint)
