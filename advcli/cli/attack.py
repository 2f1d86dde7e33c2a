"""``advcli attack``: options, task, output."""

from advcli.cli.options import Display, command
from advcli.tasks.attack.request import Request

_EXAMPLES = """
attack img.jpg --eps 0.03
attack photos/ --model mine.keras --attack autoattack --out adversarial/
attack img.jpg --target "school bus" --save clean,adversarial,difference
attack img.jpg --minimal
"""


@command("attacks", examples=_EXAMPLES)
def attack(request: Request, display: Display) -> int:
    """Make images that fool a classifier: advcli attack img.jpg --eps 0.03."""
    from advcli.cli.output import Output
    from advcli.tasks.attack.run import run

    with Output(display.json, display.quiet) as output:
        return output.show(run(request))
