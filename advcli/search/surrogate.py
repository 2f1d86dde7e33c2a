"""Craft adversarial images on a model with gradients, to attack another one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from advcli.data.class_names import class_named
from advcli.data.class_order import has_names
from advcli.errors import AdvcliError, nearest
from advcli.model.classifier import Classifier
from advcli.threat.threat import Threat


@dataclass(frozen=True)
class Surrogate:
    """The model that attacks see instead of the attacked one.

    Args:
        classifier: the model.
        indices: (K,) its class for each class of the attacked model.
    """

    classifier: Classifier
    indices: np.ndarray

    def threat(self, threat: Threat) -> Threat:
        """Return a threat to the attacked model with this model's index of the target class."""
        return threat if threat.target is None else replace(threat, target=int(self.indices[threat.target]))


def surrogate_for(classifier: Classifier, surrogate: Classifier, role: str = "surrogate") -> Surrogate:
    """Match the classes of a surrogate with those of the attacked model.

    Args:
        classifier: the attacked model.
        surrogate: the other model.
        role: what messages call it.

    Raises:
        AdvcliError: the surrogate does not have these classes, or takes images of other channels.
    """
    if classifier.channels != surrogate.channels:
        kinds = {1: "grey", 3: "colour"}
        message = f"'{surrogate.name}' takes {kinds[surrogate.channels]} images"
        raise AdvcliError(f"{message}, '{classifier.name}' {kinds[classifier.channels]} ones", f"take another {role}")
    return Surrogate(surrogate, _indices(classifier, surrogate, role))


def _indices(classifier: Classifier, surrogate: Classifier, role: str) -> np.ndarray:
    if not (has_names(classifier.labels) and has_names(surrogate.labels)):
        if len(classifier.labels) == len(surrogate.labels):
            return np.arange(len(classifier.labels))
        counts = f"{len(surrogate.labels)} classes, '{classifier.name}' has {len(classifier.labels)}"
        raise AdvcliError(f"the {role} '{surrogate.name}' has {counts}", "give the class names with --labels")
    return np.array([_index(surrogate.labels, label, f"{role} '{surrogate.name}'") for label in classifier.labels])


def _index(labels: Sequence[str], label: str, name: str) -> int:
    index = class_named(labels, label)
    if index is None:
        raise AdvcliError(f"the {name} has no class '{label}'", nearest(label, labels))
    return index
