"""How a model lays out the image that it takes."""

import math
from dataclasses import dataclass

from advcli.errors import AdvcliError

_CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class InputLayout:
    """How a model lays out an image.

    Args:
        height: in pixels; None for any.
        width: in pixels; None for any.
        channels: 1, 3, or 4 with opacity.
        shape: the axes without the batch, where (H, W, C) is reshaped to them; else empty.
        channels_first: whether the axes are (C, H, W).
    """

    height: int | None
    width: int | None
    channels: int
    shape: tuple[int, ...] = ()
    channels_first: bool = False

    @property
    def note(self) -> str:
        """Say what is converted; empty if nothing is."""
        if self.channels_first:
            return "takes channels first: images are transposed for it"
        if self.shape:
            return f"takes {_shown(self.shape)} numbers: images of {self.height} x {self.width} are reshaped for it"
        return ""


def input_layout(shape: tuple[int | None, ...], name: str) -> InputLayout:
    """Read (batch, ...) as an image: channels last, channels first, grey without a channel, or one vector.

    Raises:
        AdvcliError: it is none of these.
    """
    axes = shape[1:]
    if len(axes) == 3 and axes[2] in _CHANNELS:
        return InputLayout(axes[0], axes[1], axes[2])
    if len(axes) == 3 and axes[0] in _CHANNELS:
        return InputLayout(axes[1], axes[2], axes[0], channels_first=True)
    if len(axes) == 2 and axes[0] and axes[1]:
        return InputLayout(axes[0], axes[1], 1, shape=(axes[0], axes[1]))
    if len(axes) == 1 and axes[0]:
        for channels in (1, 3):
            side = math.isqrt(axes[0] // channels)
            if side > 1 and channels * side * side == axes[0]:
                return InputLayout(side, side, channels, shape=(axes[0],))
    raise AdvcliError(
        f"model '{name}' takes no image: its input is {_shown(axes)}",
        "advcli reads (H, W, C), (C, H, W) and (H, W) with 1, 3 or 4 channels, and vectors of square images",
    )


def _shown(axes: tuple[int | None, ...]) -> str:
    return " x ".join("any" if axis is None else str(axis) for axis in axes)
