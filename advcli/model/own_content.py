"""What advcli writes into a .keras file beside the model: class names, input, recipe."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

from advcli.errors import AdvcliError, UsageError
from advcli.files.archives import Archive
from advcli.files.bounded import TEXT, parse_json
from advcli.model.output_head import LOGITS
from advcli.records.base import Json
from advcli.records.read_back import read_back
from advcli.threat.threat import Norm, Threat

OWN_CONTENT = "advcli.json"
# No model file of advcli says that its model takes larger images.
_LARGEST_SIZE = 2**14


@dataclass(frozen=True)
class OwnContent:
    """What advcli writes into a model file beside the model; ``output`` is there if the model was adapted."""

    labels: tuple[str, ...]
    edge: int
    channels: int
    recipe: dict[str, Json]
    width: int | None = None
    input_range: tuple[float, float] = (0.0, 1.0)
    head: str = LOGITS.name
    output: str | None = None
    adapted: bool = False
    wordnet_ids: tuple[str, ...] = ()


@dataclass(frozen=True)
class _ReadOfRecipe:
    """What is read of a recipe wherever its model is used; the whole of it is read by training only."""

    objective: str = ""
    norm: Norm = Norm.LINF
    eps: float = 0.0
    threats: tuple[tuple[Norm, float], ...] = ()
    data: str = ""
    classes: tuple[str, ...] = ()
    augment: tuple[str, ...] = ()
    edge: int | None = None


def read_own_content(path: Path) -> OwnContent | None:
    """Read what advcli wrote into a model file; None if it did not.

    Raises:
        AdvcliError: it is damaged.
    """
    if not zipfile.is_zipfile(path):
        return None
    with Archive(path) as archive:
        if OWN_CONTENT not in archive.names:
            return None
        text = archive.read(OWN_CONTENT, TEXT)
    source = f"'{OWN_CONTENT}' in '{path}'"
    try:
        content = parse_json(text)
        if isinstance(content, dict):
            content["adapted"] = "output" in content
        own = read_back(OwnContent, content, source)
        recipe = read_back(_ReadOfRecipe, own.recipe, source, within="recipe")
        for norm, eps in ((recipe.norm, recipe.eps), *recipe.threats):
            Threat(norm, eps)
    except UsageError as error:
        raise AdvcliError(f"{source} is damaged: field 'recipe.eps': {error.message}") from error
    except ValueError as error:
        raise AdvcliError(f"{source} is damaged: {error}") from error
    for field_name, good in {
        "edge": 0 < own.edge <= _LARGEST_SIZE and own.edge * (own.width or 1) <= _LARGEST_SIZE**2,
        "width": own.width is None or 0 < own.width <= _LARGEST_SIZE,
        "channels": own.channels in (1, 3),
        "input_range": own.input_range[0] < own.input_range[1],
        "recipe.edge": recipe.edge is None or 0 <= recipe.edge <= _LARGEST_SIZE,
    }.items():
        if not good:
            raise AdvcliError(f"{source} is damaged: field '{field_name}' has an impossible value")
    return own


def recipe_of(path: Path) -> dict[str, Json]:
    """Read the training recipe in a model file; empty if advcli did not save the file."""
    own = read_own_content(path)
    return {} if own is None else own.recipe


def labels_of(path: Path) -> tuple[str, ...]:
    """Read the class names in a model file; empty if advcli did not save the file."""
    own = read_own_content(path)
    return () if own is None else own.labels
