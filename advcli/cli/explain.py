"""``advcli explain``: options, task, output."""

from pathlib import Path

from advcli.cli import app as shared
from advcli.cli import explain_options as options
from advcli.cli.app import app, listing


@app.command(epilog=listing("explainers", "attacks"))
def explain(
    files: options.Images = None,
    model: shared.Model = "mobilenetv2",
    compare: options.Compare = None,
    weights: shared.ModelWeights = "imagenet",
    labels: shared.Labels = None,
    input_range: shared.InputRange = None,
    edge: shared.Edge = None,
    unsafe_load: shared.UnsafeLoad = False,
    method: options.Method = None,
    classes: options.Class = None,
    top: options.Top = None,
    contrast: options.Contrast = None,
    label: options.Label = None,
    layer: options.LayerName = None,
    list_layers: options.ListLayers = False,
    attack: options.Attack = None,
    adversarial: options.Adversarial = None,
    norm: shared.NormOption = None,
    eps: shared.Eps = None,
    out: options.Out = Path("maps"),
    scale: options.Scale = "own",
    separate: options.Separate = False,
    raw: options.Raw = False,
    report: options.Report = None,
    skip_existing: options.SkipExisting = False,
    overwrite: shared.Overwrite = False,
    json: shared.Json = False,
    quiet: shared.Quiet = False,
    batch: shared.Batch = 8,
    check: options.Check = False,
    seed: shared.Seed = 0,
    offline: shared.Offline = False,
) -> int:
    """Show what a prediction rests on: advcli explain img.jpg --out maps/."""
    from advcli import registry
    from advcli.cli.output import Output
    from advcli.cli.resolve import common_threat, read_range
    from advcli.tasks.explain import run as task
    from advcli.tasks.explain import validate
    from advcli.tasks.explain.check_cache import check_cache
    from advcli.tasks.explain.default_methods import list_layers as layers_of
    from advcli.tasks.explain.default_methods import suitable
    from advcli.tasks.explain.explain_model import ExplainedModel
    from advcli.tasks.explain.request import Request
    from advcli.tasks.models import ModelChoice, load_all

    values = read_range(input_range)
    choices = [ModelChoice(model, weights, labels, values, edge, unsafe_load)]
    choices += [validate.comparison_model(value, labels, values, edge, unsafe_load) for value in compare or ()]
    if list_layers:
        with Output(json, quiet) as output:
            return output.show(event for each in load_all(choices) for event in layers_of(each, seed))
    explainers = validate.build_explainers(method, layer)
    search = None if attack is None else registry.build("attacks", attack)
    threat = common_threat([choice.recipe for choice in choices], norm, eps)
    validate.refuse_attack(search, attack, adversarial, norm, eps, threat)
    request = Request(
        classes=tuple(classes or ()),
        top=top or 0,
        contrast=validate.read_contrast(contrast),
        label=label,
        attack=attack,
        threat=threat,
        given=adversarial is not None,
        shared_scale=validate.is_shared(scale),
        separate=separate,
        raw=raw,
        batch=batch,
        seed=seed,
    )
    with Output(json, quiet) as output:
        outputs = validate.output_paths(
            files or [],
            out,
            request,
            explainers,
            [choice.name for choice in choices],
            report,
            overwrite,
            skip_existing,
        )
        pairs = validate.adversarial_files(outputs, adversarial)
        if not outputs:
            return 0
        output.status("loading the model")
        models = []
        for classifier in load_all(choices):
            validate.check_classes(classifier, request, outputs)
            chosen = explainers if method else suitable(explainers, classifier)
            models.append(ExplainedModel(classifier, chosen, request, search, pairs))
        caches = [check_cache(choice, seed) for choice in choices] if check else []
        return output.show(task.explain(models, outputs, request, caches=caches, report=report))
