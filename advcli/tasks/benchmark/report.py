"""The report of an evaluation with a gallery, and the figure of its accuracy curves."""

import logging
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from advcli.data.decoded import to_eight_bits
from advcli.errors import UsageError
from advcli.files import atomic
from advcli.records import Progress, Protocol, Record, Score, Swept, Tolerance
from advcli.tasks.benchmark.load import Prepared
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.per_class import confusion_tables
from advcli.tasks.benchmark.perturb import searched
from advcli.tasks.benchmark.perturbations import Kind, Perturbation
from advcli.tasks.benchmark.plan import CLEAN, Plan, above_zero
from advcli.tasks.benchmark.predictions import Results
from advcli.threat.spelling import spell_perturbation

if TYPE_CHECKING:
    from advcli.report.gallery import Example

log = logging.getLogger(__name__)

_EXAMPLES = 6


@dataclass(frozen=True)
class ReportFiles:
    """The requested report files.

    Args:
        report: the HTML page.
        figure: the curves, as .png or .svg.
        evidence: the HTML page once more, in an evidence folder.
    """

    report: Path | None = None
    figure: Path | None = None
    evidence: Path | None = None

    def __post_init__(self) -> None:
        if self.figure is not None and self.figure.suffix.lower() not in (".png", ".svg"):
            raise UsageError(f"--figure is neither .png nor .svg: '{self.figure}'", "write --figure curves.png")
        if self.report is not None and self.report.suffix.lower() not in (".html", ".htm"):
            raise UsageError(f"--report is no .html file: '{self.report}'", "write --report report.html")


def write_report(
    pages: ReportFiles,
    protocol: Protocol,
    records: Sequence[Record],
    prepared: Prepared | None = None,
    results: Results | None = None,
    plan: Plan | None = None,
) -> Iterator[Progress]:
    """Write the report and the figure.

    Args:
        pages: the files to write.
        protocol: the protocol of the evaluation.
        records: its records.
        prepared: the models and images, for the gallery.
        results: the predictions, for the gallery and the confusion tables.
        plan: what was measured; that of ``prepared`` without it.
    """
    reports = [page for page in (pages.report, pages.evidence) if page is not None]
    atomic.remove_leftovers([*reports, *([pages.figure] if pages.figure else [])])
    if pages.figure is not None:
        from advcli.report.accuracy_curves import accuracy_curves, curves

        scores = [record for record in records if isinstance(record, Score)]
        sweeps = [record for record in records if isinstance(record, Swept)]
        tolerances = [record for record in records if isinstance(record, Tolerance)]
        if not sweeps and not curves(scores):
            log.warning("nothing was measured at several radii or swept: '%s' shows nothing", pages.figure)
        with atomic.whole_file(pages.figure) as file:
            format = "svg" if pages.figure.suffix.lower() == ".svg" else "png"
            accuracy_curves(scores, file, format, sweeps, tolerances)
    if reports:
        from advcli.report.benchmark import benchmark_page

        yield Progress("drawing the report", 0, 0)
        gallery: list[Example] = []
        if prepared is not None and results is not None:
            gallery = yield from _gallery(prepared, results)
        plan = plan or (prepared.plan if prepared else None)
        confusion = list(confusion_tables(plan, results)) if plan is not None and results is not None else []
        content = benchmark_page([protocol, *records], gallery, confusion).encode()
        for page in reports:
            with atomic.whole_file(page) as file:
                file.write(content)


def _gallery(prepared: Prepared, results: Results) -> "Generator[Progress, None, list[Example]]":
    from advcli.report.gallery import Example

    found: list[Example] = []
    for model in prepared.models:
        for attack in _shown(prepared):
            rows = _fooled_images(model, results, attack)
            if len(rows) == 0:
                continue
            # The same attack on the same image has the same result.
            search = yield from searched(model, attack, rows, prepared.request.batch, prepared.plan.seed)
            (places,) = model.parts(rows, len(rows))
            pixels, labels = model.images.at(places)[0], model.labels[places]
            adversarial = search(pixels, labels).points
            names, fit = model.classifier.labels, model.classifier.fitting
            for number, place in enumerate(places):
                found.append(
                    Example(
                        clean=to_eight_bits(pixels[number]),
                        adversarial=to_eight_bits(adversarial[number]),
                        label=names[model.labels[place]],
                        predicted_clean=names[results.predicted(model.name, CLEAN)[rows[number]]],
                        predicted_adversarial=names[results.predicted(model.name, attack)[rows[number]]],
                        perturbation=spell_perturbation(**attack.place),
                        model=model.name,
                        # What is cut out of an image has its proportions.
                        proportions=_proportions(prepared, int(rows[number])) if fit == "squash" else None,
                    )
                )
    return found


def _proportions(prepared: Prepared, row: int) -> tuple[int, int]:
    """Return the height and width of an image before it had the model's size."""
    height, width = prepared.sample.read(row).shape[:2]
    return height, width


def _shown(prepared: Prepared) -> list[Perturbation]:
    """Choose the attack of the gallery: the first one with a radius above zero."""
    return above_zero(prepared.plan.of_kind(Kind.ATTACK))[:1]


def _fooled_images(model: EvaluatedModel, results: Results, attack: Perturbation) -> np.ndarray:
    """Choose images for which an attack fooled the model, of as many classes as possible."""
    fooled = np.flatnonzero(results.fooled(model.name, CLEAN, attack)[model.rows])
    _, first = np.unique(model.labels[fooled], return_index=True)
    chosen = [*np.sort(first), *np.setdiff1d(np.arange(len(fooled)), first)][:_EXAMPLES]
    return model.rows[fooled[np.array(chosen, dtype=np.int64)]]
