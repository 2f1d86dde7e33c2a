"""A data set of images that were corrupted before."""

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from advcli.data.dataset import Dataset, Given, LeftOut
from advcli.data.split import Split
from advcli.errors import UsageError

CLEAN = "clean"


def corrupted_dataset(
    name: str,
    labels: tuple[str, ...],
    clean: Split | None,
    given: Sequence[Given],
    edge: int,
    *,
    left_out: Sequence[LeftOut] = (),
    indexed: bool,
) -> Dataset:
    """Make a data set without images for training; without clean images the first corrupted ones stand for them.

    Args:
        name: the name in records.
        labels: the class names.
        clean: the images without corruption; None if there are none.
        given: the corrupted images.
        edge: the default image size in pixels.
        left_out: files that are not read.
        indexed: whether the class names are indices.

    Raises:
        UsageError: there are fewer than two classes.
    """
    if len(labels) < 2:
        raise UsageError(f"only one class in '{name}'", "two are needed")
    test = given[0].split if clean is None else clean
    return Dataset(
        name=name,
        labels=labels,
        train=test.take(np.arange(0)),
        test=test,
        edge=edge,
        augment=(),
        left_out=tuple(left_out),
        given=tuple(given),
        has_clean=clean is not None,
        indexed=indexed,
    )


def refuse_different_images(
    keys: Mapping[tuple[str, int], Collection[tuple[str, str]]], where: str
) -> list[tuple[str, str]]:
    """Return the images that all corruptions have.

    Raises:
        UsageError: one has others.
    """
    (first, expected), *rest = keys.items()
    for (corruption, severity), found in rest:
        missing, more = set(expected) - set(found), set(found) - set(expected)
        if missing or more:
            some = "/".join(min(missing or more))
            what = f"lacks {len(missing)} images" if missing else f"has {len(more)} images more"
            message = (
                f"'{corruption}' at severity {severity} in '{where}' {what} than '{first[0]}' at {first[1]}: '{some}'"
            )
            raise UsageError(message, "all corruptions must be of the same images")
    return list(expected)
