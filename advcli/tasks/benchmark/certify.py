"""Certify the remaining images of an evaluation, and save each batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from advcli.records import Certified, Progress, Smoothed
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.plan import Plan
from advcli.tasks.benchmark.predictions import UNKNOWN, Results
from advcli.tasks.benchmark.randomized_smoothing import Certificate, certified, certify

# A certificate takes a thousand passes, so an interruption must lose few images.
_KEPT_TOGETHER = 8


def smooth(
    plan: Plan, models: Sequence[EvaluatedModel], results: Results, keep: Callable[[Smoothed], None], batch: int
) -> Iterator[Certified | Progress]:
    """Certify every model on every image, if certificates are requested."""
    if plan.smoothing is None:
        return
    for model in models:
        known, _ = results.smoothed(model.name)
        for places in model.parts(model.rows, _KEPT_TOGETHER):
            if (known[model.rows[places]] != UNKNOWN).all():
                continue
            found: list[Certificate] = []
            for event in certify(
                model.classifier, model.images, plan.smoothing, rows=places.tolist(), batch=batch, seed=plan.seed
            ):
                if isinstance(event, Certificate):
                    found.append(event)
                else:
                    yield Progress(event.what, int(places[0]) + event.done, len(model.rows))
            record = Smoothed(
                model=model.name,
                data=plan.data,
                seed=plan.seed,
                indices=tuple(model.rows[[item.index for item in found]].tolist()),
                predicted=tuple(item.predicted for item in found),
                radii=tuple(item.radius for item in found),
                seconds=sum(item.seconds for item in found),
            )
            keep(record)
            results.add(record)
            model.end_batch()
        yield from certificates(plan, results, model.name)


def certificates(plan: Plan, results: Results, model: str) -> Iterator[Certified]:
    """Count the certified images of one model, if certificates are requested."""
    if plan.smoothing is None:
        return
    predicted, radii = results.smoothed(model)
    rows = plan.rows.tolist()
    found = [Certificate(row, int(predicted[row]), float(radii[row])) for row in rows]
    counted = certified(found, results.labels(model), plan.smoothing, model=model, data=plan.data, seed=plan.seed)
    for record in counted:
        yield replace(record, seconds=results.seconds_smoothed(model))
