"""Read image files some at a time, so that a folder of any size fits into memory."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from advcli.data import images
from advcli.errors import AdvcliError
from advcli.search.image_batches import PIXELS_AT_ONCE, Picture
from advcli.tasks.explain.explanation import LEAST_SIDE


def read_chunks(files: Iterable[Path], batch: int) -> Iterator[list[Picture] | tuple[Path, str]]:
    """Read RGB images some at a time; for a file that cannot be read or explained yield the reason."""
    waiting: list[Picture] = []
    for file in files:
        try:
            pixels = images.read(file)
            height, width = pixels.shape[:2]
            if min(height, width) < LEAST_SIDE:
                raise AdvcliError(
                    f"an image of {width} x {height} pixels is too small to explain: {LEAST_SIDE} at least"
                )
        except (AdvcliError, OSError) as error:
            yield file, str(error)
            continue
        if waiting and sum(each.pixels.size for each in waiting) + pixels.size > 3 * PIXELS_AT_ONCE:
            yield waiting
            waiting = []
        waiting.append(Picture(file, pixels))
        if len(waiting) == batch:
            yield waiting
            waiting = []
    if waiting:
        yield waiting
