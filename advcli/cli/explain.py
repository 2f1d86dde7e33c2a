"""``advcli explain``: options, task, output."""

from advcli.cli.options import Display, command
from advcli.tasks.explaining.request import Request


@command("explainers", "attacks")
def explain(request: Request, display: Display) -> int:
    """Show what a prediction rests on: advcli explain img.jpg --out maps/."""
    from dataclasses import replace

    from advcli import registry
    from advcli.cli import explaining
    from advcli.cli.output import Output
    from advcli.search.threat_defaults import common_threat
    from advcli.tasks import explain as task
    from advcli.tasks.explaining import choosing
    from advcli.tasks.explaining.subject import Subject
    from advcli.tasks.explaining.views import check_words
    from advcli.tasks.models import load_all

    choices = [request.choose(request.model)]
    choices += [
        explaining.compared(value, request.labels, request.input_range, request.edge, request.unsafe_load)
        for value in request.compare
    ]
    if request.list_layers:
        with Output(display.json, display.quiet) as output:
            return output.show(event for each in load_all(choices) for event in choosing.layers(each, request.seed))
    explainers = explaining.methods(request.methods, request.layer)
    search = None if request.attack is None else registry.build("attacks", request.attack)
    request = replace(request, threat=common_threat([choice.recipe for choice in choices], request.norm, request.eps))
    explaining.refuse_attack(search, request.attack, request.adversarial, request.norm, request.eps, request.threat)
    with Output(display.json, display.quiet) as output:
        outputs = explaining.plan(
            request.files,
            request.out,
            request,
            list(explainers),
            [choice.name for choice in choices],
            request.report,
            request.overwrite,
            request.skip_existing,
        )
        pairs = explaining.pairs(outputs, request.adversarial)
        if not outputs:
            return explaining.nothing_left()
        output.status("loading the model")
        subjects = []
        for classifier in load_all(choices):
            check_words(classifier, request, outputs)
            chosen = explainers if request.methods else choosing.usual(explainers, classifier)
            subjects.append(Subject(classifier, chosen, request, search, pairs))
        known = [explaining.remembered(choice, request.seed) for choice in choices] if request.check else []
        return output.show(task.explain(subjects, outputs, request, remembered=known, report=request.report))
