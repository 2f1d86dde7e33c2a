"""An image in its own proportions, and the part of it that a model sees, for maps to lie on."""

from dataclasses import dataclass

import numpy as np

from advcli.data import images
from advcli.report.maps import stretched

# A picture of a very long image is smaller than its map.
_LONGEST = 2048
_DIMMED = 0.35


@dataclass(frozen=True, eq=False)
class WholeImage:
    """An image in its own proportions.

    Args:
        picture: (H, W, C) uint8.
        top: the first row that the model sees.
        left: the first column.
        height: how many rows the model sees.
        width: how many columns.
    """

    picture: np.ndarray
    top: int
    left: int
    height: int
    width: int

    @property
    def is_seen(self) -> bool:
        """Whether the model sees all of it."""
        return self.picture.shape[:2] == (self.height, self.width)

    @property
    def seen(self) -> np.ndarray:
        """The part that the model sees: (h, w, C) uint8."""
        return self.picture[self._window]

    def stretch(self, values: np.ndarray) -> np.ndarray:
        """Bring a map to the size of the part that the model sees: (H, W) -> (h, w)."""
        return stretched(values, (self.height, self.width))

    def lay(self, pixels: np.ndarray) -> np.ndarray:
        """Put pixels in the place of the part that the model sees, and dim the rest: (h, w, C) -> (H, W, C) uint8."""
        if self.is_seen:
            return pixels
        laid = np.rint(_DIMMED * images.to_channels(self.picture, pixels.shape[-1])).astype(np.uint8)
        laid[self._window] = pixels
        return laid

    def clear_around(self, film: np.ndarray) -> np.ndarray:
        """Make a film as large as the image, clear outside of what the model sees: (h, w, 3 or 4) -> (H, W, 4)."""
        if self.is_seen:
            return film
        clear = np.zeros((*self.picture.shape[:2], 4), np.uint8)
        clear[self._window] = 255
        clear[(*self._window, slice(film.shape[-1]))] = film
        return clear

    @property
    def _window(self) -> tuple[slice, slice]:
        return slice(self.top, self.top + self.height), slice(self.left, self.left + self.width)


def whole_image(
    image: np.ndarray, size: tuple[int, int], fit: images.Fit, seen: np.ndarray | None = None
) -> WholeImage:
    """Scale an image so that a model's input is not larger than the part of it that the model sees.

    Args:
        image: (H, W, C) uint8.
        size: height and width of the model's input.
        fit: how the model's input is made of the image.
        seen: (h, w, C) uint8 that the model sees in place of its part of the image, if it is another.
    """
    shape = image.shape[:2]
    top = left = 0
    if fit == "squash":
        scale = max(size[0] / shape[0], size[1] / shape[1])
        height, width = scaled = (round(shape[0] * scale), round(shape[1] * scale))
    else:
        scaled, (top, left) = images.crop_window(shape, size)
        height, width = size
    shrink = max(_LONGEST, *size) / max(scaled)
    if shrink < 1:
        scaled = _scaled(scaled, shrink)
        top, left = int(top * shrink), int(left * shrink)
        height, width = _scaled((height, width), shrink)
        height, width = min(height, scaled[0] - top), min(width, scaled[1] - left)
    picture = images.resize(image, scaled)
    if seen is not None:
        picture = picture.copy()
        picture[top : top + height, left : left + width] = images.resize(seen, (height, width))
    return WholeImage(picture, top, left, height, width)


def _scaled(size: tuple[int, int], scale: float) -> tuple[int, int]:
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
