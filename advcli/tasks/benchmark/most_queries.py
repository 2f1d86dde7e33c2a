"""How many queries an evaluation takes at most of a black box."""

from advcli.attacks import Search
from advcli.search.quantize import MOST_CHECKS
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.tolerance import MOST_FURTHER
from advcli.threat.spelling import spell_spec

# The classes of an exported image.
_BEFORE_AND_AFTER = 2


def most_queries(
    plan: Plan, results: Results, model: EvaluatedModel, *, exported: bool = False
) -> dict[str, int | None]:
    """Return the most queries that are left, by what they are for; None where there is no limit.

    Args:
        plan: what is measured.
        results: the predictions so far.
        model: the model.
        exported: whether adversarial images are exported: those in 8 bits are classified as well.
    """
    most: dict[str, int | None] = {}
    for perturbation in plan.perturbations:
        each = _most_of_an_image(perturbation, len(plan.subjects), plan.repeats)
        if perturbation.kind is Kind.TRANSFER:
            images = len(model.rows)
        else:
            images = len(results.missing(model.name, perturbation, model.rows))
        if perturbation.kind is Kind.ATTACK and not len(results.missing(model.name, CLEAN, model.rows)):
            images = int((results.correct(model.name, CLEAN)[model.rows]).sum())
        if exported and perturbation.kind is Kind.ATTACK:
            own = 0 if perturbation.surrogate or not perturbation.bounded else MOST_CHECKS
            each = None if each is None else each + own + _BEFORE_AND_AFTER
        if images:
            name = "corruptions" if perturbation.kind is Kind.CORRUPTION else spell_spec(perturbation.spec)
            so_far = most.get(name, 0)
            most[name] = None if each is None or so_far is None else so_far + each * images
    if plan.required is not None and plan.sweeps:
        most["tolerances"] = len(plan.sweeps) * MOST_FURTHER * len(model.rows)
    if plan.smoothing is not None:
        left = int((results.smoothed(model.name)[0][model.rows] == UNKNOWN).sum())
        most["certificates"] = left * (plan.smoothing.n0 + plan.smoothing.n)
    return most


def _most_of_an_image(perturbation: Perturbation, models: int, repeats: int) -> int | None:
    if not isinstance(perturbation.method, Search) or perturbation.surrogate or perturbation.place["eps"] == 0:
        return repeats
    most = perturbation.method.most_queries
    # The search classifies its result; the verdict is the model's, or that of all models.
    verdicts = models * repeats if perturbation.kind is Kind.TRANSFER else repeats if repeats > 1 else 0
    return None if most is None else most + 1 + verdicts
