"""What is explained and what is found: views of an image, targets, maps, and all of them for one image."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from advcli.data.decoded import to_eight_bits
from advcli.explainers import Explainer, ShownLayer, is_evidence
from advcli.model.classifier import Classifier
from advcli.records import Shift
from advcli.tasks.explain.adversarial_pairs import Pair
from advcli.tasks.explain.margin_attribution import MarginAttribution
from advcli.tasks.explain.whole_image import WholeImage

LEAST_SIDE = 8


@dataclass(frozen=True)
class View:
    """An image as a model sees it.

    Args:
        name: ``clean``, ``adversarial`` or ``noisy``.
        pixels: (H, W, C) in [0, 1].
        probabilities: (K,) of all classes.
        size: rows and columns of the image itself.
        image: the image in its own proportions; None if it has those of the model's input.
    """

    name: str
    pixels: np.ndarray
    probabilities: np.ndarray
    size: tuple[int, int]
    image: WholeImage | None = None

    @property
    def predicted(self) -> int:
        """The likeliest class."""
        return int(self.probabilities.argmax())

    @property
    def whole(self) -> WholeImage:
        """The image in its own proportions, in 8 bits."""
        return self.image or WholeImage(to_eight_bits(self.pixels), 0, 0, *self.pixels.shape[:2])

    @property
    def picture(self) -> np.ndarray:
        """The pixels of the image in its own proportions, in 8 bits."""
        return self.whole.picture


@dataclass(frozen=True)
class Target:
    """What a map is of: one class of one view, or its lead over another class.

    Args:
        view: the name of the view.
        index: the class.
        against: the other class, if the lead over it is explained.
        role: why this class: ``predicted``, ``true``, ``original`` ...
        suffix: what the names of its files have after the image's own.
    """

    view: str
    index: int
    against: int | None = None
    role: str = field(default="", compare=False)
    suffix: str = field(default="", compare=False)


@dataclass(frozen=True, eq=False)
class Map:
    """The map of one target by one method.

    Args:
        target: what it explains.
        method: the method's name.
        explainer: the method.
        shown: the layer it is computed on; None if on the pixels.
        values: (h, w) as the method computes them; a picture is (H, W, C) in [0, 1].
        relevance: (H, W), the same enlarged to the image.
        completeness: the share of the score's change that its sum misses, where its sum should be that.
        seconds: time taken.
        moved: similarity with the clean image's map of the true class; None where there is none.
        floor: the same for the clean image with noise as large as the perturbation.
        clean: (H, W) the clean image's map of the same target; None if it was not computed.
    """

    target: Target
    method: str
    explainer: Explainer
    shown: ShownLayer | None
    values: np.ndarray
    relevance: np.ndarray
    completeness: float | None = None
    seconds: float = 0.0
    moved: Shift | None = None
    floor: Shift | None = None
    clean: np.ndarray | None = None

    @property
    def evidence(self) -> bool:
        """Whether the map tells pixels apart at all."""
        return bool(is_evidence(self.relevance[None])[0])


@dataclass(frozen=True, eq=False)
class Explanation:
    """One image explained by one model.

    Args:
        file: the image file.
        classifier: the model.
        views: the clean image, and the adversarial one if there is one.
        true: the true class, where it is known.
        pair: the pixels of the clean and the adversarial image, if there is one.
        noisy: the clean image with noise as large as the perturbation, if there is one.
        targets: what is explained.
        maps: a map a target and method.
        margin: why the adversarial image fools the model, if it does.
        margin_seconds: time taken to find that.
    """

    file: Path
    classifier: Classifier
    views: tuple[View, ...]
    true: int | None
    pair: Pair | None = None
    noisy: View | None = None
    targets: tuple[Target, ...] = ()
    maps: tuple[Map, ...] = ()
    margin: MarginAttribution | None = None
    margin_seconds: float = 0.0

    @property
    def origin(self) -> int:
        """The true class, or the class predicted for the clean image if that is unknown."""
        return self.views[0].predicted if self.true is None else self.true

    @property
    def group(self) -> str:
        """``right``: predicted correctly throughout; ``fooled``: until attacked; ``wrong``: not even when clean."""
        if self.views[0].predicted != self.origin:
            return "wrong"
        return "right" if self.views[-1].predicted == self.origin else "fooled"

    def view(self, name: str) -> View:
        """Return the view of a name."""
        views = self.views if self.noisy is None else (*self.views, self.noisy)
        return next(view for view in views if view.name == name)
