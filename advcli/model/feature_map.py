"""Choice of the feature map for class activation maps."""

from collections.abc import Sequence
from dataclasses import replace

from advcli import registry
from advcli.backend import KerasLayer, keras
from advcli.errors import AdvcliError, UsageError, nearest
from advcli.model.classifier import Classifier
from advcli.model.introspection import Call, operations
from advcli.model.layer_maps import FeatureMap, ShownLayer, verified_maps
from advcli.model.saved_model import hides_layers
from advcli.model.token_grid import TokenGrid

# Networks for 224 pixels end in 7 x 7 cells: with a minimum of 8 a 14 x 14 map in the middle would be chosen.
# A map below 4 x 4 cells has too little resolution (MobileNetV2 at 64 pixels ends in 2 x 2).
_FINE_ENOUGH = (7, 4)
_STEM = 10
# Layers that only pad, crop or pool the map of the layer before.
_NO_STAGE = ("Pad", "Crop", "Pool", "Dropout", "Reshape", "UpSampling")
_KEY = "feature maps"


def feature_map(classifier: Classifier, name: str = "") -> FeatureMap:
    """Choose the layer for class activation maps: the given one, or the deepest suitable one.

    Candidates are the layers that every path from the input to the output passes through, without the first tenth.
    The deepest with a map of at least 7 x 7 cells, or else 4 x 4, determines the map size; of the candidates with this
    size, the last activation is chosen, if there is one. This excludes shortcuts, branches and a convolution in the
    place of the last dense layer. Of a transformer's token layers, the last whose patches reach the scores is chosen.
    A map is an output that was verified to move as the image moves.

    Raises:
        UsageError: there is no such layer, its output is not a feature map, or its patches do not reach the scores.
        AdvcliError: the model has no feature map of 4 x 4 cells or more.
    """
    found = _found(classifier)
    if name:
        return _named(classifier, found, name)
    # The first layers detect no objects yet: the only bottlenecks of NASNet are its stem and its end.
    later = [one for one in found[len(found) // _STEM :] if one.only_way and one.spatial and one.reaches]
    # Preprocessing keeps the one to three channels of the image; the first convolution has more.
    maps = [one for one in later if one.call.output.shape[-1] > 3 and not _only_moves(one.call.layer)]
    for least in _FINE_ENOUGH:
        fine = [one for one in maps if min(one.size) >= least]
        if fine and fine[-1].grid is not None:
            reason = f"the last layer whose patch tokens reach the scores, of at least {least} x {least} patches"
            return replace(fine[-1], reason=reason)
        if fine:
            stage = [one for one in fine if one.size == fine[-1].size]
            activations = [one for one in stage if _is_activation(one.call)]
            kind = "activation" if activations else "layer"
            reason = f"the last {kind} whose map has at least {least} x {least} cells"
            return replace((activations or stage)[-1], reason=reason)
    if hides_layers(operations(classifier.model)):
        message = f"'{classifier.name}' is or contains a SavedModel, whose layers are not accessible"
        raise AdvcliError(message, f"give the model as a .keras file; {_methods_without_map()}")
    hint = _methods_without_map() + ("; or name a layer, see --list-layers" if maps else "")
    raise AdvcliError(f"'{classifier.name}' has no feature map of 4 x 4 cells or more to show", hint)


def listed(classifier: Classifier) -> list[ShownLayer]:
    """List the layers whose output is a map of 2 x 2 cells or more, in the order in which they are computed.

    Token layers whose patches do not reach the scores are left out.
    """
    maps = {one.call.layer.name: one.shown for one in _found(classifier) if one.spatial and one.reaches}
    return list(maps.values())


def token_grid(classifier: Classifier, tokens: int | None) -> TokenGrid | None:
    """Return where the patches are among this number of tokens; None if it was verified of no layer."""
    grids = (one.grid for one in _found(classifier) if one.spatial and one.grid is not None)
    return next((grid for grid in grids if grid.tokens == tokens), None)


def share_feature_maps(source: Classifier, target: Classifier) -> None:
    """Share the feature maps found for a classifier with another one of the same architecture."""
    target.once(_KEY, lambda: _found(source))


def _named(classifier: Classifier, found: Sequence[FeatureMap], name: str) -> FeatureMap:
    named = [one for one in found if one.call.layer.name == name]
    if not named:
        known = [one.call.layer.name for one in found if one.spatial]
        raise UsageError(f"'{classifier.name}' has no layer '{name}'", nearest(name, known))
    last = named[-1]
    if min(last.size) < 2:
        raise UsageError(
            f"the output of layer '{name}' is not a feature map of 2 x 2 cells or more", "see --list-layers"
        )
    if not last.spatial:
        shape = " x ".join(map(str, last.call.output.shape[1:]))
        message = f"the output of layer '{name}' ({shape}) is not a feature map: its axes do not follow the image"
        raise UsageError(message, "see --list-layers")
    if not last.reaches:
        message = f"the scores do not depend on the patch tokens of layer '{name}', only on its class token"
        raise UsageError(message, "name an earlier layer, see --list-layers")
    return replace(last, reason="requested")


def _methods_without_map() -> str:
    explainers = {name: registry.component("explainers", name) for name in registry.names("explainers")}
    needs = {name for name, one in explainers.items() if one.needs_attention}
    names = [name for name in explainers if name not in needs and "layer" not in registry.options("explainers", name)]
    return f"these methods need none: {', '.join(f'--method {name}' for name in names)}"


def _found(classifier: Classifier) -> list[FeatureMap]:
    return classifier.once(_KEY, lambda: verified_maps(classifier))


def _only_moves(layer: KerasLayer) -> bool:
    return any(word in type(layer).__name__ for word in _NO_STAGE)


def _is_activation(call: Call) -> bool:
    function = getattr(call.layer, "activation", keras.activations.linear)
    kind = type(call.layer).__name__.lower()
    known = {name.replace("_", "") for name in dir(keras.activations)} | {"prelu"}
    return function not in (None, keras.activations.linear) or kind in known or "Relu" in call.output.op.type
