"""``advcli attack``: options, task, output."""

from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import app, listing


@app.command(epilog=listing("attacks"))
def attack(
    files: shared.Files,
    model: shared.Model = "mobilenetv2",
    weights: shared.ModelWeights = "imagenet",
    labels: shared.Labels = None,
    input_range: shared.InputRange = None,
    edge: shared.Edge = None,
    unsafe_load: shared.UnsafeLoad = False,
    attack: shared.AttackSpec = "pgd",
    norm: shared.NormOption = None,
    eps: shared.Eps = None,
    target: Annotated[
        str | None,
        typer.Option("--target", metavar="CLASS", rich_help_panel=shared.THREAT, help="The class to reach."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--label",
            metavar="CLASS",
            rich_help_panel=shared.THREAT,
            show_default="what the model sees",
            help="The true class, to move away from.",
        ),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", rich_help_panel=shared.WHAT, help="Bring images to the model's size first.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", rich_help_panel=shared.OUTPUT, help="Where PNG files go.")
    ] = Path(),
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    batch: shared.Batch = 16,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Make images that fool a classifier: advcli attack img.jpg --eps 0.03."""
    from dataclasses import replace

    from advcli import images, registry
    from advcli.attacks import refuse_unsupported
    from advcli.cli.output import Output
    from advcli.cli.resolve import read_range, threat_for
    from advcli.tasks import attack as task
    from advcli.tasks.models import ModelChoice

    search = registry.build("attacks", attack)
    choice = ModelChoice(model, weights, labels, read_range(input_range), edge, unsafe_load)
    threat = threat_for(choice.recipe, norm, eps)
    refuse_unsupported(search, threat if target is None else replace(threat, target=0))
    outputs = images.plan(images.find(files), out, [task.ENDING], overwrite)
    with Output(json, quiet) as output:
        output.status("loading the model")
        classifier = choice.load()
        if target is not None:
            threat = replace(threat, target=classifier.index(target))
        return output.show(
            task.attack(
                classifier,
                outputs,
                search,
                threat,
                spec=attack,
                label=None if label is None else classifier.index(label),
                resize=resize,
                batch=batch,
                seed=seed,
            )
        )
