"""Loading pretrained weights into a network."""

from pathlib import Path
from typing import Any

from advcli.errors import UsageError


def refuse_imagenet(name: str, weights: str | Path | None) -> None:
    """Refuse ImageNet weights for a network that has none.

    Raises:
        UsageError: they were asked for.
    """
    if weights == "imagenet":
        raise UsageError(f"there are no ImageNet weights for '{name}'", "use --weights none")


def load_file(model: Any, weights: str | Path | None) -> Any:
    """Load a weights file that fits the whole model, if one is given."""
    if weights is not None:
        model.load_weights(weights)
    return model
