"""``advcli benchmark``: options, task, output."""

from typing import Annotated

import typer

from advcli.cli import app as shared
from advcli.cli.app import app, components, listing


@app.command(epilog=listing("attacks", "augmentations", "datasets"))
def benchmark(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Run folders, model files or backbones.", show_default=False),
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            "-d",
            metavar="NAME|PATH",
            rich_help_panel=shared.WHAT,
            autocompletion=components("datasets"),
            show_default="what the first model was trained on",
            help=shared.DATA_HELP,
        ),
    ] = None,
    classes: shared.Classes = None,
    limit: shared.Limit = None,
    first: shared.First = None,
    skip_bad: shared.SkipBad = False,
    weights: shared.ModelWeights = "imagenet",
    labels: shared.Labels = None,
    input_range: shared.InputRange = None,
    edge: shared.Edge = None,
    unsafe_load: shared.UnsafeLoad = False,
    attack: Annotated[
        list[str],
        typer.Option(
            "--attack",
            "-a",
            metavar="SPEC",
            rich_help_panel=shared.THREAT,
            autocompletion=components("attacks"),
            help="An attack and its options; may be given several times.",
        ),
    ] = ["fgsm", "pgd"],  # noqa: B006  typer copies it
    noise: Annotated[
        list[str] | None,
        typer.Option(
            "--noise",
            metavar="SPEC",
            rich_help_panel=shared.THREAT,
            show_default=False,
            autocompletion=components("augmentations"),
            help="Random noise and its options, such as gaussian:std=0.2; may be given several times.",
        ),
    ] = None,
    norm: shared.NormOption = None,
    eps: shared.Eps = None,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    batch: shared.Batch = 64,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Measure accuracy, clean and under attack: advcli benchmark RUN RUN --attack pgd --eps 8/255."""
    from functools import cache, partial

    from advcli import registry
    from advcli.attacks import refuse_unsupported
    from advcli.cli.output import Output
    from advcli.cli.resolve import common_threat, read_list, read_range
    from advcli.data import decode
    from advcli.datasets import find
    from advcli.errors import UsageError
    from advcli.tasks import benchmark as task
    from advcli.tasks.models import ModelChoice, load_all

    if len(set(models)) < len(models):
        raise UsageError("a model is given twice", "leave one out")
    attacks = {spec: registry.build("attacks", spec) for spec in attack}
    noises = {spec: task.noise_on_all(spec) for spec in noise or ()}
    choices = [ModelChoice(model, weights, labels, read_range(input_range), edge, unsafe_load) for model in models]
    threat = common_threat([choice.recipe for choice in choices], norm, eps)
    for search in attacks.values():
        refuse_unsupported(search, threat)
    trained_on = choices[0].recipe
    if data is None and "data" not in trained_on:
        raise UsageError(f"'{models[0]}' does not say what it was trained on", "say what to measure on with --data")
    kept = trained_on.get("classes", ()) if data is None and classes is None else read_list(classes)
    source = find(data or trained_on["data"])
    with Output(json, quiet) as output:
        output.status("loading the data")
        dataset = source()
        if kept:
            dataset = dataset.restrict(kept)
        test = dataset.test.sample(limit, first, seed)
        output.status("loading the models")
        classifiers = load_all(choices)
        read = cache(partial(decode, test, skip_bad=skip_bad))
        for classifier in classifiers:
            output.status(f"{classifier.name}: reading the images")
            images = read(classifier.edge, classifier.channels)
            events = task.benchmark(classifier, dataset, images, attacks, threat, noises=noises, batch=batch, seed=seed)
            output.show(events)
        return 0
