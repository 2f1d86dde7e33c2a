"""``advcli explain``: options, task, output."""

from advcli.cli.options import Display, command
from advcli.tasks.explain.request import Request


@command("explainers", "attacks")
def explain(request: Request, display: Display) -> int:
    """Show which pixels a prediction depends on: advcli explain img.jpg --out maps/."""
    from advcli.cli.output import Output
    from advcli.tasks.explain.start import start

    with Output(display.json, display.quiet) as output:
        return output.show(start(request))
