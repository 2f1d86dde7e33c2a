"""The rows and columns of a transformer's tokens: (N, T, K) with T = h * w, or one more for a class token.

The number of tokens says which grids are possible, and not whether the class token is the first or the last; that is
measured on images with a spot, see ``spatial_axes``.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from advcli.backend import Tensor, tf
from advcli.model.spatial_axes import alignment, is_spatial

# Of the mean alignment with the spot over the layers: how far the best of several grids must be ahead. With the class
# token taken for the one at the other end, all patches are off by a cell. Measured on networks with random and with
# trained weights: at least 0.09 ahead for grids of 3 x 5 to 16 x 16 patches.
_LEAST_LEAD = 0.01


@dataclass(frozen=True)
class TokenGrid:
    """Where the patches of an image are among the tokens.

    Args:
        rows: patches from top to bottom.
        columns: patches from left to right.
        tokens: their number with the class token, if there is one.
        first: position of the first patch: 1 if the class token comes before it.
    """

    rows: int
    columns: int
    tokens: int
    first: int

    @property
    def class_token(self) -> int | None:
        """Return the position of the class token; None if there is none."""
        return None if self.tokens == self.rows * self.columns else (0 if self.first else self.tokens - 1)

    def patches(self, tokens: Tensor) -> Tensor:
        """Drop the class token and restore rows and columns: (N, T, K) -> (N, h, w, K)."""
        kept = tokens[:, self.first : self.first + self.rows * self.columns]
        return tf.reshape(kept, (-1, self.rows, self.columns, tokens.shape[-1]))


def possible_grids(tokens: int | None, size: tuple[int, int]) -> list[TokenGrid]:
    """Return the grids of at least 2 x 2 square patches of an image that have this number of tokens."""
    if tokens is None:
        return []
    height, width = size
    sides = range(1, min(size) // 2 + 1)
    # Patches that do not fit are left out or filled up.
    shapes = {(height // side, width // side) for side in sides} | {
        (-(-height // side), -(-width // side)) for side in sides
    }
    grids = []
    for rows, columns in sorted(shapes):
        if tokens == rows * columns:
            grids.append(TokenGrid(rows, columns, tokens, 0))
        elif tokens == rows * columns + 1:
            grids += [TokenGrid(rows, columns, tokens, first) for first in (1, 0)]
    return grids


def proven_grid(changes: Mapping[TokenGrid, Sequence[np.ndarray]], size: tuple[int, int]) -> TokenGrid | None:
    """Choose the grid on which the change moves with the spot, and to where the spot is.

    Args:
        changes: for each possible grid, the result of ``spatial_axes.change`` of every layer with its number of tokens.
        size: height and width of the images in pixels.

    Returns:
        The grid; None if the change moves with the spot on no grid, or on several equally well.
    """
    scores = {
        grid: float(np.mean([alignment(each, size) if is_spatial(each, size) else 0.0 for each in layers]))
        for grid, layers in changes.items()
    }
    best, *others = sorted(scores, key=lambda grid: -scores[grid])
    lead = scores[best] - max((scores[other] for other in others), default=0.0)
    return best if lead >= _LEAST_LEAD else None
