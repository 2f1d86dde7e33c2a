"""Start explaining: validate the request, load the models, then explain."""

import logging
from collections.abc import Iterator
from dataclasses import replace
from functools import partial

from advcli import registry
from advcli.data.uniform_size import uniform_size_of_files
from advcli.model.model_choice import load_all
from advcli.records import Progress, Record
from advcli.search.refusals import refuse_blind
from advcli.search.threat_defaults import common_threat
from advcli.tasks.explain import validate
from advcli.tasks.explain.check_cache import check_cache
from advcli.tasks.explain.default_methods import list_layers, suitable
from advcli.tasks.explain.explain_model import ExplainedModel
from advcli.tasks.explain.request import Request
from advcli.tasks.explain.run import explain_files

log = logging.getLogger(__name__)


def start(request: Request) -> Iterator[Record | Progress]:
    """Explain image files, or list the layers that have a map.

    Raises:
        UsageError: the request is invalid; before any model is loaded.
    """
    choices = [request.choose(request.model)]
    choices += [validate.comparison_model(request, value) for value in request.compare]
    black_box = next((choice.name for choice in choices if choice.access != "gradient"), None)
    validate.refuse_black_box(request, black_box)
    if request.list_layers:
        return (event for each in load_all(choices) for event in list_layers(each, request.seed))
    explainers = validate.build_explainers(request.methods, request.layer, black_box)
    search = None if request.attack is None else registry.build("attacks", request.attack)
    request = replace(request, threat=common_threat([choice.recipe for choice in choices], request.norm, request.eps))
    validate.refuse_attack(search, request.attack, request.adversarial, request.norm, request.eps, request.threat)
    if search is not None and request.attack is not None:
        for choice in choices:
            refuse_blind(search, request.attack, choice.access, choice.name, request.threat)
    outputs = validate.output_paths(request, explainers, [choice.name for choice in choices])
    pairs = validate.adversarial_files(outputs, request.adversarial)

    def events() -> Iterator[Record | Progress]:
        if not outputs:
            return
        yield Progress("loading the model", 0, 0)
        models = []
        for classifier in load_all(choices, partial(uniform_size_of_files, tuple(outputs))):
            validate.check_classes(classifier, request, outputs)
            chosen = explainers if request.methods else suitable(explainers, classifier)
            models.append(ExplainedModel(classifier, chosen, request, search, pairs))
        caches = [check_cache(choice, request.seed) for choice in choices] if request.check else []
        yield from explain_files(models, outputs, request, caches=caches, report=request.report)

    return events()
