"""The methods that are used by default, those that can explain a model, and the layers they can show."""

import logging
from collections.abc import Iterator, Mapping

from advcli.errors import AdvcliError, UsageError
from advcli.explainers import Explainer
from advcli.model.classifier import Classifier
from advcli.model.feature_map import feature_map, listed
from advcli.records import Layer

log = logging.getLogger(__name__)

# Saliency, and the class activation map that suits the model.
DEFAULT_METHODS = ("saliency", "gradcam", "layercam")
DEFAULT_OF_BLACK_BOXES = ("occlusion", "rise")
_FINE = 7


def applicable(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep the methods that can explain this classifier; warn of the others."""
    kept = {}
    for method, explainer in explainers.items():
        try:
            explainer.shown(classifier)
        except UsageError:
            # Its layer was named by the user.
            raise
        except AdvcliError as error:
            log.warning("left out %s: %s", method, error.message)
        else:
            kept[method] = explainer
    return kept


def suitable(explainers: Mapping[str, Explainer], classifier: Classifier) -> dict[str, Explainer]:
    """Keep the default methods that suit a classifier: the last map decides between those for fine and coarse maps.

    In a map of an earlier layer, one weight a channel ranks pixels worse than one weight a cell.
    """
    if not classifier.has_gradient:
        return dict(explainers)
    maps = listed(classifier)
    coarse = bool(maps) and min(maps[-1].rows, maps[-1].columns) < _FINE
    unsuitable = "fine" if coarse else "coarse"
    return applicable({method: one for method, one in explainers.items() if one.suits != unsuitable}, classifier)


def list_layers(classifier: Classifier, seed: int = 0) -> Iterator[Layer]:
    """List the layers that a class activation map can show, and which one is shown by default."""
    try:
        chosen = feature_map(classifier).shown
    except AdvcliError as error:
        log.warning("none is shown unless named: %s", error.message)
        chosen = None
    for shown in listed(classifier):
        ours = chosen is not None and shown.layer == chosen.layer
        yield Layer(
            model=classifier.name,
            data="",
            seed=seed,
            layer=shown.layer,
            kind="" if shown.only_way else "one of several ways",
            rows=shown.rows,
            columns=shown.columns,
            channels=shown.channels,
            chosen=ours,
            reason=chosen.reason if ours and chosen is not None else "",
        )
