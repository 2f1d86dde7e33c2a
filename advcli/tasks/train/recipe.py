"""A training request with nothing left open, and the images it is carried out with."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from typing import TYPE_CHECKING

import numpy as np

from advcli.augmentations import read as read_augmentations
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images, decode
from advcli.data.split import Split, split_off
from advcli.errors import UsageError
from advcli.objectives import standard_objective
from advcli.options import refuse_out_of_bounds
from advcli.records.base import Fields, Json
from advcli.records.read_back import read_back
from advcli.search.threat_defaults import read_training_radii
from advcli.tasks.train.request import AUTO, BatchNorm, Guard, NewHead, Request, Unfreeze
from advcli.threat.threat import USUAL_RADIUS, Norm, Threat

if TYPE_CHECKING:
    from advcli.tasks.train.start import Start

log = logging.getLogger(__name__)

_LEAST_EDGE = 8


@dataclass(frozen=True, kw_only=True)
class Recipe(Request):
    """A request with every default filled in, as ``run.json`` records it.

    ``norm`` and ``eps`` are the first ball; ``threats`` are all of them where there are several.
    """

    norm: Norm = Norm.LINF
    eps: float = field()
    threats: tuple[tuple[Norm, float], ...] = ()
    edge: int = field()
    learning_rate: float = field()
    clip_norm: float = 0.0
    augment: tuple[str, ...] = ()
    unfreeze: Unfreeze = "all"
    batchnorm: BatchNorm = "training"
    new_head: NewHead = "steps"
    optimizer: str = "sgd"
    guard: Guard = "warn"
    stages: int = 4
    model_sha256: str = ""
    data_identity: str = ""

    def __post_init__(self) -> None:
        # A run changes fields that a user cannot, such as its twin's objective.
        _ = Norm(self.norm)
        balls = self.balls
        if balls[0] != self.threat or len({ball.norm for ball in balls}) < len(balls):
            raise UsageError("the first of several threats is not that of norm and eps, or a norm comes twice")

    @classmethod
    def from_json(cls, content: Mapping[str, Json], source: str = "the recipe") -> "Recipe":
        """Read the recipe of an earlier run.

        Args:
            content: the recipe.
            source: the file that it stands in, in messages.

        Raises:
            UsageError: another version wrote it, or a value is not one that the option may have.
            AdvcliError: it is damaged.
        """
        known = {each.name for each in fields(cls)}
        if not set(content) <= known:
            raise UsageError(f"the run has options unknown here: {', '.join(sorted(set(content) - known))}")
        try:
            recipe = read_back(cls, dict(content), source, within="recipe")
            # A model to start from may take smaller images than an option may ask for.
            refuse_out_of_bounds(replace(recipe, edge=max(recipe.edge, _LEAST_EDGE)))
        except UsageError as error:
            raise UsageError(f"{source} is damaged: {error.message}", error.hint) from error
        return recipe

    def to_json(self) -> Fields:
        """Return the options as ``from_json`` reads them."""
        return asdict(self) | {"labels": None if self.labels is None else str(self.labels)}

    @property
    def threat(self) -> Threat:
        """The ball of training and validation, the first if there are several."""
        return Threat(self.norm, self.eps)

    @property
    def balls(self) -> tuple[Threat, ...]:
        """All balls of training and validation, each in another norm."""
        return tuple(Threat(norm, eps) for norm, eps in self.threats) or (self.threat,)

    def with_balls(self, balls: Sequence[Threat]) -> "Recipe":
        """Return the same for other balls."""
        threats = tuple((ball.norm, ball.eps) for ball in balls) if len(balls) > 1 else ()
        return replace(self, norm=balls[0].norm, eps=balls[0].eps, threats=threats)

    @property
    def twin_recipe(self) -> "Recipe":
        """The same without any defence."""
        objective = standard_objective()
        return replace(
            self,
            recipe=None,
            objective=objective,
            modifier=(),
            eps_warmup=0.0,
            adv_start_epoch=1,
            twin=False,
            against=None,
        )


def draft(request: Request) -> Recipe:
    """Fill in defaults that depend on other options; those that depend on the data stay empty."""
    optimizer = request.optimizer or usual_optimizer(pretrained=request.pretrained)
    usual_rate = _usual_rate(optimizer, request.pretrained)
    new_head = request.weights != "none"
    unfreeze = request.unfreeze or ("plateau" if new_head and request.epochs > 1 else "all")
    filled: Fields = {each.name: getattr(request, each.name) for each in fields(request)}
    filled.update(
        backbone=request.backbone if request.model is None else "",
        **_radii(request, 0.0),
        edge=request.edge or 0,
        optimizer=optimizer,
        learning_rate=usual_rate if request.learning_rate is None else request.learning_rate,
        clip_norm=_usual_clip_norm(optimizer, request.pretrained) if request.clip_norm is None else request.clip_norm,
        augment=() if request.augment == (AUTO,) else request.augment,
        unfreeze=unfreeze,
        batchnorm=request.batchnorm or _usual_batchnorm(request, optimizer),
        new_head=request.new_head or "fit",
        stages=2 if request.stages is None else request.stages,
        guard=request.guard or ("rollback" if unfreeze == "plateau" else "warn"),
    )
    return Recipe(**filled)


def _radii(request: Request, usual: float) -> Fields:
    """Return the fields of the balls; ``usual`` is the radius in linf if none is given."""
    found = read_training_radii(request.norm, request.eps)
    known = USUAL_RADIUS | {Norm.LINF: usual}
    balls = tuple((norm, known[norm] if eps is None else eps) for norm, eps in found.items())
    return {"norm": balls[0][0], "eps": balls[0][1], "threats": balls if len(balls) > 1 else ()}


def usual_optimizer(*, pretrained: bool) -> str:
    """Return the optimizer for pretrained or for random weights."""
    return "scaled-adam" if pretrained else "sgd"


def _usual_batchnorm(request: Request, optimizer: str) -> BatchNorm:
    if request.model is not None:
        return "inference"
    # At usual rates sgd destroys the weights of some networks whose statistics are kept: in training mode the scale of
    # a kernel does not matter.
    return "inference" if request.weights != "none" and optimizer != "sgd" else "training"


def _usual_rate(optimizer: str, pretrained: bool) -> float:
    # Of scaled-adam the rate is relative: it fits weights of every scale.
    if optimizer == "scaled-adam":
        return 0.001
    return (0.01 if pretrained else 0.05) / (50 if optimizer == "adamw" else 1)


def _usual_clip_norm(optimizer: str, pretrained: bool) -> float:
    # Without BatchNorm, the gradients of the first steps on photos have a norm of 40 to 190 where those on digits have
    # 2 to 13: at the usual rate such steps leave every ReLU at zero.
    return 3.0 if optimizer == "sgd" and not pretrained else 0.0


def resolve(request: Request, dataset: Dataset) -> Recipe:
    """Fill in every default; the image size of a model that the run starts from is known when it is loaded."""
    return replace(
        draft(request),
        **_radii(request, dataset.eps),
        edge=request.edge or (dataset.edge if request.model is None else 0),
        augment=read_augmentations(AUTO, dataset.augment) if request.augment == (AUTO,) else request.augment,
        data_identity=dataset.identity,
    )


@dataclass(frozen=True)
class TrainingData:
    """Decoded images to learn from, others of the same split to choose the best epoch by, and the model to start from.

    The images have the class numbers of the model. ``before`` is the model's accuracy on some of the latter before
    training; None for a new network or a new head.
    """

    dataset: Dataset
    train: Images
    validation: Images
    start: "Start | None" = None
    before: float | None = None


def split_images(recipe: Recipe, dataset: Dataset) -> tuple[Split, np.ndarray, np.ndarray]:
    """Choose a run's images, and which of them it learns from and validates on: -> images, indices, indices.

    Raises:
        UsageError: there are fewer than two images.
    """
    images = dataset.train.sample(recipe.limit, recipe.first, recipe.seed)
    if len(images) < 2:
        raise UsageError(
            f"{len(images)} of the {len(dataset.train)} training images: too few to train and to validate on",
            "give a higher --limit" if recipe.limit is not None else "give a higher --first" if recipe.first else "",
        )
    rest, validation = split_off(images.labels, recipe.validation, seed=0)
    return images, rest, validation


def prepare(recipe: Recipe, dataset: Dataset, memory: int | None = None, start: "Start | None" = None) -> TrainingData:
    """Split the training images into training and validation images, and decode them.

    Args:
        recipe: which images, and at what size.
        dataset: where they are, with the classes of the recipe only.
        memory: how many bytes of decoded images may be held in memory; the rest is kept on disk.
        start: the loaded model of ``--model``.

    Raises:
        UsageError: there are fewer than two images.
    """
    dataset.refuse_faults(training=True)
    images, rest, validation = split_images(recipe, dataset)
    unseen = len(dataset.labels) - len(set(images.labels[rest].tolist()))
    if unseen:
        log.warning("%d of the %d classes have no training image", unseen, len(dataset.labels))
    channels = 3 if recipe.weights != "none" else dataset.channels
    if start is not None:
        channels = start.classifier.channels
    size = (recipe.edge, recipe.edge) if start is None else start.classifier.image_size
    train = decode(images.take(rest), size, channels, recipe.skip_bad, memory)
    chosen = decode(images.take(validation), size, channels, recipe.skip_bad, memory)
    if start is not None:
        train, chosen = start.numbered(train), start.numbered(chosen)
    before = None if start is None else start.measure(chosen)
    return TrainingData(dataset, train, chosen, start, before)
