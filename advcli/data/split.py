"""Labelled images that are not decoded yet: sampled and divided by class."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from advcli.data.uniform_size import uniform_size
from advcli.errors import AdvcliError


@dataclass(frozen=True)
class Split:
    """Labelled images that are not decoded yet, in the order of the data set.

    Args:
        labels: (N,) int32 class of each image.
        read: index -> (H, W, C) uint8, or float32 in [0, 1].
        name: index -> the image's name in messages.
        columns: what else is known of each image: name of the column -> (N,) texts.
        format: index -> the format of the image's content if its suffix stands for another one, else None.
    """

    labels: np.ndarray
    read: Callable[[int], np.ndarray]
    name: Callable[[int], str]
    columns: Mapping[str, np.ndarray] = field(default_factory=dict)
    format: Callable[[int], str | None] = lambda index: None

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: np.ndarray) -> "Split":
        """Return the images at some indices, in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        return Split(
            self.labels[chosen],
            lambda i: self.read(int(chosen[i])),
            lambda i: self.name(int(chosen[i])),
            {name: values[chosen] for name, values in self.columns.items()},
            lambda i: self.format(int(chosen[i])),
        )

    def uniform_size(self) -> tuple[int, int] | None:
        """Return the height and width that the images have in common; None if they differ or are large."""

        def size_of(index: int) -> tuple[int, int]:
            try:
                return self.read(index).shape[:2]
            except AdvcliError:
                return (0, 0)

        return uniform_size(len(self), size_of)

    def sample(self, limit: int | None, first: int | None, seed: int) -> "Split":
        """Return a seeded stratified sample of ``limit`` images from the ``first`` images of the data set."""
        kept = self if first is None else self.take(np.arange(min(first, len(self))))
        return kept if limit is None else kept.take(stratified(kept.labels, limit, seed))


def stratified(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Sample images so that the class proportions are preserved: (N,) -> (count,) sorted indices."""
    if count >= len(labels):
        return np.arange(len(labels))
    generator = np.random.default_rng(seed)
    shuffled = generator.permutation(len(labels))
    position = np.empty(len(labels))
    for label in np.unique(labels):
        members = shuffled[labels[shuffled] == label]
        position[members] = (np.arange(len(members)) + generator.random()) / len(members)
    return np.sort(np.argsort(position, kind="stable")[:count])


def split_off(labels: np.ndarray, fraction: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Split images into the rest and a stratified fraction: (N,) -> two arrays of indices."""
    part = stratified(labels, max(1, round(len(labels) * fraction)), seed)
    return np.setdiff1d(np.arange(len(labels)), part), part


def set_aside(whole: Split) -> tuple[Split, Split]:
    """Split images of no known split into those to train on and a fifth to test on."""
    rest, part = split_off(whole.labels, 0.2, seed=0)
    return whole.take(rest), whole.take(part)
