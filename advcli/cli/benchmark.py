"""``advcli benchmark``: options, task, output."""

import typer

from advcli.cli.config import given, refuse_options
from advcli.cli.options import Display, command
from advcli.tasks.benchmark.request import Execution, Request

_EXAMPLES = """
benchmark runs/base runs/robust --attack pgd:steps=40 --eps 4/255
benchmark mine.keras --data photos/ --corruptions all --severity 3
benchmark runs/robust --attack autoattack --out results.jsonl --report report.html
benchmark runs/robust --fail-under clean=0.9 --fail-under pgd=0.40
"""


@command("attacks", "corruptions", "augmentations", "checks", "datasets", examples=_EXAMPLES)
def benchmark(context: typer.Context, request: Request, how: Execution, display: Display) -> int:
    """Measure accuracy, clean, corrupted and under attack: advcli benchmark RUN RUN --attack pgd --eps 8/255."""
    from advcli.cli.output import Output
    from advcli.errors import Interrupted
    from advcli.tasks.benchmark.requirements import refuse_other_seed
    from advcli.tasks.benchmark.run import evaluate
    from advcli.tasks.benchmark.validate import WITH_MERGE, WITH_RESUME, WITH_VERIFY

    if how.verify is not None:
        refuse_options(context, WITH_VERIFY, "--verify reads a folder")
    if "seed" in given(context):
        refuse_other_seed(request.requirements_file, request.seed)
    if how.merge:
        refuse_options(context, WITH_MERGE, "--merge reads it from the files")
    elif how.resume is not None and not request.models and how.out is None:
        refuse_options(context, WITH_RESUME, "--resume reads it from the file")
    with Output(display.json, display.quiet) as output:
        try:
            return output.show(evaluate(request, how))
        except KeyboardInterrupt:
            file = how.results_file
            if file is None or not file.is_file():
                raise
            message = f"interrupted; every finished batch is saved in '{file}'"
            finish = f" --evidence {how.evidence}" if how.evidence else ""
            raise Interrupted(message, f"continue with: advcli benchmark --resume {file}{finish}") from None
