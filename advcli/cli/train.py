"""``advcli train``: options, task, output."""

from dataclasses import dataclass
from pathlib import Path

import typer

from advcli.cli.config import given, read_config, refuse_options
from advcli.cli.options import Display, command
from advcli.options import option
from advcli.tasks.train.request import Execution, Request

_EXAMPLES = """
train --backbone mobilenetv2
train --data photos/ --weights imagenet --recipe robust
train --model mine.keras --data photos/ --objective n-fgsm --eps 4/255
train --resume runs/digits-mobilenetv2-nsl
"""


@dataclass(frozen=True, kw_only=True)
class ConfigFile:
    """Options from a file.

    Args:
        config: take options from a .toml file or a run.json; the command line goes first.
    """

    config: Path | None = option(None, metavar="FILE", eager=True, callback=read_config)


@command(
    "recipes",
    "datasets",
    "backbones",
    "objectives",
    "modifiers",
    "augmentations",
    "schedules",
    "attacks",
    examples=_EXAMPLES,
)
def train(context: typer.Context, request: Request, how: Execution, display: Display, config: ConfigFile) -> int:
    """Train a classifier, by default an adversarially regularized one: advcli train --backbone mobilenetv2."""
    from advcli.cli.output import Output
    from advcli.errors import Interrupted
    from advcli.tasks.train.average import make_average
    from advcli.tasks.train.run import make_job
    from advcli.tasks.train.validate import WITH_RESUME
    from advcli.tasks.train.workers import find_workers

    if how.resume is not None:
        refuse_options(context, WITH_RESUME, "--resume keeps the run's options")
    # One of several workers speaks for all.
    silent = not find_workers(request.strategy).writes
    with Output(display.json, display.quiet, silent=silent) as output:
        job = (make_average if how.average else make_job)(request, how, given(context))
        try:
            return output.show(job.events())
        except KeyboardInterrupt:
            if how.plan or not job.run.checkpoints.exist:
                raise
            message = f"interrupted; the state at the last checkpoint is saved in '{job.run.folder}'"
            raise Interrupted(message, f"continue with: advcli train --resume {job.run.folder}") from None
