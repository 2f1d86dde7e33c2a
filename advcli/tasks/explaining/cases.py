"""Images on their way to an explanation: seen by a model, attacked, and compared with noise."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli import images
from advcli.errors import AdvcliError
from advcli.model import Classifier
from advcli.tasks.explaining.perturbed import Attacking, Pair, read_pair
from advcli.tasks.explaining.request import Request
from advcli.tasks.explaining.views import View, look, true_class
from advcli.tasks.pictures import Picture


@dataclass(frozen=True, eq=False)
class Case:
    """One image as one model sees it.

    Args:
        file: the image file.
        views: by their names: ``clean``, and where there is an adversarial image ``adversarial`` and ``noisy``.
        true: the true class, if it is known.
        pair: the pixels of both, if there is an adversarial image.
    """

    file: Path
    views: Mapping[str, View]
    true: int | None
    pair: Pair | None

    @property
    def origin(self) -> int:
        """The class the image is of: the true one, or what the model takes the clean image for."""
        return self.views["clean"].predicted if self.true is None else self.true


@dataclass(frozen=True)
class Casting:
    """Makes cases for one classifier.

    Args:
        classifier: the model.
        request: what is asked.
        attacking: what makes adversarial images, if anything does.
        adversarial: image file -> the file of its adversarial image, if they are given.
    """

    classifier: Classifier
    request: Request
    attacking: Attacking | None
    adversarial: Mapping[Path, Path]

    def __call__(self, pictures: Sequence[Picture]) -> Iterator[Case | str]:
        """Make a case of each picture, or say why there is none."""
        pixels = [images.to_channels(picture.pixels, self.classifier.channels) for picture in pictures]
        clean = look(self.classifier, "clean", pixels)
        trues = [true_class(self.classifier, picture.file, self.request.label) for picture in pictures]
        origins = [view.predicted if true is None else true for view, true in zip(clean, trues, strict=True)]
        made = self.attacking(pixels, origins) if self.attacking is not None else [None] * len(pictures)
        for picture, values, view, true, pair in zip(pictures, pixels, clean, trues, made, strict=True):
            try:
                found = read_pair(values, self.adversarial[picture.file]) if self.request.given else pair
            except AdvcliError as error:
                yield error.message
            else:
                views = {"clean": view} if found is None else self._views(found)
                yield Case(picture.file, views, true, found)

    def _views(self, pair: Pair) -> dict[str, View]:
        shown = [pair.clean, pair.adversarial, pair.noisy(self.request.seed)]
        names = ("clean", "adversarial", "noisy")
        return {name: look(self.classifier, name, [pixels])[0] for name, pixels in zip(names, shown, strict=True)}
