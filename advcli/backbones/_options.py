"""Checks of the common options of the networks, and their values for an input size."""

import dataclasses
from typing import TYPE_CHECKING, Any

from advcli.errors import UsageError

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

# Networks made for 224 pixels halve the map five times. Up to this edge the stem leaves it whole,
# or the last maps would be a pixel or two wide.
_WHOLE_UP_TO = 64


def check(options: "DataclassInstance") -> None:
    """Check the options that several networks have.

    Raises:
        UsageError: a value is out of range.
    """
    values = dataclasses.asdict(options)
    stride = values.get("stem_stride", 0)
    if stride not in (0, 1, 2):
        raise UsageError(f"stem_stride is 0, 1 or 2, not {stride}", "0 chooses by the image size")
    for name in ("bn_momentum", "dropout"):
        value = values.get(name, 0)
        if not 0 <= value < 1:
            raise UsageError(f"{name} is at least 0 and below 1, not {value}")


def stem_stride(options: Any, edge: int) -> int:
    """Return the stride of the first convolution; for the option 0 it depends on the input size."""
    return options.stem_stride or (1 if edge <= _WHOLE_UP_TO else 2)


def resolved(options: Any, edge: int) -> dict[str, object]:
    """Return the options with all automatic values resolved."""
    values = dataclasses.asdict(options)
    if "stem_stride" in values:
        values["stem_stride"] = stem_stride(options, edge)
    return values
