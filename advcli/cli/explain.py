"""``advcli explain``: options, task, output."""

from pathlib import Path
from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import app, components, listing

_METHODS = ("saliency", "gradcam")


@app.command(epilog=listing("explainers", "attacks"))
def explain(
    files: shared.Files,
    model: shared.Model = "mobilenetv2",
    weights: shared.ModelWeights = "imagenet",
    labels: shared.Labels = None,
    input_range: shared.InputRange = None,
    edge: shared.Edge = None,
    unsafe_load: shared.UnsafeLoad = False,
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="SPEC",
            rich_help_panel=shared.WHAT,
            autocompletion=components("explainers"),
            show_default="saliency, and gradcam where the model has a map",
            help="A method and its options; may be given several times.",
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(
            "--class",
            metavar="CLASS",
            rich_help_panel=shared.WHAT,
            show_default="the likeliest one",
            help="The class to explain, by name or index.",
        ),
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option(
            "--attack",
            "-a",
            metavar="SPEC",
            rich_help_panel=shared.THREAT,
            autocompletion=components("attacks"),
            help="Explain the adversarial image of this attack beside the clean one.",
        ),
    ] = None,
    norm: shared.NormOption = None,
    eps: shared.Eps = None,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", rich_help_panel=shared.OUTPUT, help="Where PNG files go.")
    ] = Path("maps"),
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Show what a prediction rests on: advcli explain img.jpg --out maps/."""
    from advcli import images, registry
    from advcli.attacks import refuse_unsupported
    from advcli.cli.output import Output
    from advcli.cli.resolve import read_range, refuse_pattern, refuse_radius, threat_for
    from advcli.tasks import explain as task
    from advcli.tasks.models import ModelChoice

    explainers = {registry.canonical(spec): registry.build("explainers", spec) for spec in method or _METHODS}
    search = None if attack is None else registry.build("attacks", attack)
    choice = ModelChoice(model, weights, labels, read_range(input_range), edge, unsafe_load)
    threat = threat_for(choice.recipe, norm, eps)
    if search is not None and attack is not None:
        refuse_pattern(search, attack, "make the images with 'advcli attack' and explain those")
        refuse_radius(search, attack, norm, eps)
        refuse_unsupported(search, threat)
    outputs = images.plan(images.find(files), out, task.endings(list(explainers), search is not None), overwrite)
    with Output(json, quiet) as output:
        output.status("loading the model")
        classifier = choice.load()
        if method is None:
            explainers = task.applicable(explainers, classifier)
        return output.show(
            task.explain(
                classifier,
                outputs,
                explainers,
                label=None if label is None else classifier.index(label),
                search=search,
                threat=threat,
                seed=seed,
            )
        )
