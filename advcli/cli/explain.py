"""``advcli explain``: options, task, output."""

from advcli.cli.options import Display, command
from advcli.tasks.explain.request import Request

_EXAMPLES = """
explain img.jpg --out maps/
explain img.jpg --model runs/base --attack pgd --eps 0.03
explain photos/ --model runs/base --compare runs/robust --report maps/index.html
"""


@command("explainers", "attacks", examples=_EXAMPLES)
def explain(request: Request, display: Display) -> int:
    """Show which pixels a prediction depends on: advcli explain img.jpg --out maps/."""
    from advcli.cli.output import Output
    from advcli.tasks.explain.start import start

    with Output(display.json, display.quiet) as output:
        return output.show(start(request))
