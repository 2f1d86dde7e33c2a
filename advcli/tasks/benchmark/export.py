"""Export corrupted images as folders; adversarial images have a folder beside them."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from advcli.corruptions import build_corruption, corrupted
from advcli.data.decoded import decode, to_eight_bits
from advcli.errors import UsageError
from advcli.files import png
from advcli.files.atomic import remove_leftovers, whole_file
from advcli.files.paths import cut_name
from advcli.records import Exported, Progress
from advcli.tasks.benchmark.load import read_data
from advcli.tasks.benchmark.models import ImageShape
from advcli.tasks.benchmark.request import Request, Shard

# The folder of adversarial images, beside those of the corruptions.
ADVERSARIAL = "adversarial"
_FORBIDDEN = re.compile(r'[<>:"/\\|?*\x00-\x1f]')


def refuse_existing(folder: Path, overwrite: bool) -> None:
    """Refuse a folder for exported images that is not empty.

    Raises:
        UsageError: it is not empty, or is a file.
    """
    if folder.is_file():
        raise UsageError(f"'{folder}' is a file, not a folder", "give another folder with --export")
    if folder.is_dir() and any(folder.iterdir()) and not overwrite:
        raise UsageError(f"'{folder}' is not empty", "give --overwrite to write into it, or another --export")


def export(
    request: Request, folder: Path, shard: Shard, memory: int | None, shape: ImageShape | None = None
) -> Iterator[Exported | Progress]:
    """Write every image under every corruption: FOLDER/corruption/severity/class/image.png, and the class names.

    Images are resized to the size of the model that is measured, to --image-size, or to the data's own size, before
    they are corrupted.

    Args:
        request: the data and the corruptions.
        folder: where the images are written.
        shard: the part of the images.
        memory: how many bytes of decoded images may be held in memory.
        shape: size and channels of the model's images, if there is a model.
    """
    yield Progress("loading the data", 0, 0)
    dataset = read_data(request)
    sample = dataset.test.sample(request.limit, request.first, request.seed)
    rows = shard.rows(len(sample))
    side = request.edge or dataset.edge
    size, channels = shape or ((side, side), dataset.channels)
    images = decode(sample.take(rows), size, channels, request.skip_bad, memory, request.fit)
    if images.places is not None:
        rows = rows[images.places]
    classes = folder_names(dataset.labels, "class")
    digits = len(str(len(sample)))
    names = [f"{classes[label]}/{row:0{digits}}.png" for row, label in zip(rows, images.labels, strict=True)]
    remove_leftovers([folder / "classes.json"])
    with whole_file(folder / "classes.json") as file:
        content = {"labels": dataset.labels, "folders": dict(zip(classes, dataset.labels, strict=True))}
        file.write(json.dumps(content, ensure_ascii=False, indent=1).encode())
    for corruption in request.corruptions:
        for severity in request.severities if build_corruption(corruption).has_severities else (None,):
            # A tree of corruptions has severities: one whose options set its strength stands at the lowest.
            place = folder / _FORBIDDEN.sub("-", corruption) / str(severity or 1)
            remove_leftovers(place / name for name in names)
            for start in range(0, len(images), request.batch):
                yield Progress(f"writing {corruption} {severity or ''}".rstrip(), start, len(images))
                pixels, _ = images.at(slice(start, start + request.batch))
                changed = to_eight_bits(corrupted(corruption, pixels, severity, request.seed))
                for name, picture in zip(names[start:], changed, strict=False):
                    png.write(place / name, picture)
            yield Exported(
                model="",
                data=dataset.name,
                seed=request.seed,
                perturbation=corruption,
                norm=None,
                eps=None,
                severity=severity,
                images=len(images),
                output=str(place),
            )


def folder_names(labels: Sequence[str], blank: str) -> list[str]:
    """Turn names into valid folder names that are unique also where case does not count.

    Args:
        labels: the names.
        blank: stands for a name of which nothing is left.
    """
    names = [cut_name(_FORBIDDEN.sub("_", label), 200).strip(" .") or blank for label in labels]
    counts = Counter(name.casefold() for name in names)
    numbered = [name if counts[name.casefold()] == 1 else f"{name} {number}" for number, name in enumerate(names)]
    # A number may make a name equal to another one; numbers at the end of all names cannot.
    unique = len({name.casefold() for name in numbered}) == len(numbered)
    return numbered if unique else [f"{name} {number}" for number, name in enumerate(names)]
