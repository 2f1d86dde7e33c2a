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
    attack: shared.AttackOption = None,
    norm: shared.NormOption = None,
    eps: shared.Eps = None,
    minimal: Annotated[
        bool,
        typer.Option(
            "--minimal",
            rich_help_panel=shared.THREAT,
            help="Search for the smallest radius that fools each image, in steps of 1/255, up to --eps if it is given.",
        ),
    ] = False,
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
    queries: Annotated[
        int | None,
        typer.Option(
            "--queries",
            min=1,
            metavar="N",
            rich_help_panel=shared.THREAT,
            help="How often a search without gradients may ask the model about an image (with --minimal: at each "
            "radius); to begin and to check take up to 3 more.",
        ),
    ] = None,
    apply: Annotated[
        Path | None,
        typer.Option(
            "--apply",
            metavar="FILE",
            rich_help_panel=shared.THREAT,
            help="Put on the pattern that an earlier call crafted, with its attack, radius and target.",
        ),
    ] = None,
    resize: Annotated[
        bool, typer.Option("--resize", rich_help_panel=shared.WHAT, help="Bring images to the model's size first.")
    ] = False,
    out: Annotated[
        Path, typer.Option("--out", "-o", metavar="DIR", rich_help_panel=shared.OUTPUT, help="Where PNG files go.")
    ] = Path(),
    save: Annotated[
        str,
        typer.Option(
            "--save",
            metavar="A,B,...",
            rich_help_panel=shared.OUTPUT,
            help="What to write of each image: adversarial, clean, difference (enlarged about grey).",
        ),
    ] = "adversarial",
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
    from advcli.attacks import Universal, refuse_unsupported
    from advcli.cli import resolve
    from advcli.cli.output import Output
    from advcli.errors import UsageError
    from advcli.tasks import attack as task
    from advcli.tasks.models import ModelChoice
    from advcli.tasks.request import ENDINGS, PATTERN_ENDING, Request
    from advcli.threat import Norm

    choice = ModelChoice(model, weights, labels, resolve.read_range(input_range), edge, unsafe_load)
    crafted = resolve.pattern_of(apply, attack, norm, eps, target) if apply else {}
    spec = resolve.with_queries(attack or crafted.get("attack", "pgd"), queries)
    search = registry.build("attacks", spec)
    resolve.refuse_radius(search, spec, norm, eps, minimal)
    if crafted.get("eps"):
        threat = resolve.threat_for({}, Norm(crafted["norm"]), crafted["eps"])
    else:
        threat = resolve.widest(choice.recipe, norm, eps) if minimal else resolve.threat_for(choice.recipe, norm, eps)
    target = crafted.get("target") if target is None else target
    refuse_unsupported(search, threat if target is None else replace(threat, target=0))
    kinds = resolve.read_choices(save, ENDINGS, "--save")
    outputs = images.plan(images.find(files), out, [ENDINGS[kind] for kind in kinds], overwrite)
    pattern = apply
    if isinstance(search, Universal) and not apply:
        pattern = images.free(out / (registry.canonical(spec) + PATTERN_ENDING), overwrite)
    with Output(json, quiet) as output:
        output.status("loading the model")
        classifier = choice.load()
        if target is not None:
            threat = replace(threat, target=classifier.index(target))
            if label is not None and classifier.index(label) == threat.target:
                raise UsageError(f"'{target}' is both the class to reach and the one to move away from")
        request = Request(
            spec,
            threat,
            label=None if label is None else classifier.index(label),
            resize=resize,
            minimal=minimal,
            save=kinds,
            batch=batch,
            seed=seed,
        )
        return output.show(task.attack(classifier, outputs, search, request, pattern=pattern, apply=apply is not None))
