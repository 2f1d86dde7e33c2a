"""The runs that are averaged: which files they are, and whether they learned from the same images."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from advcli import registry
from advcli.errors import AdvcliError, UsageError
from advcli.files.bounded import parse_json, read_text
from advcli.model.model_choice import ModelChoice
from advcli.tasks.train.recipe import Recipe


@dataclass(frozen=True)
class Member:
    """One of the averaged models and the recipe it was trained by."""

    choice: ModelChoice
    path: Path
    recipe: Recipe

    @property
    def name(self) -> str:
        """The name of the model in messages and records."""
        return self.choice.name

    @property
    def robust(self) -> bool:
        """Whether the model was trained to be robust."""
        return registry.component("objectives", self.recipe.objective).robust


def read_members(texts: Sequence[str], *, unsafe: bool) -> tuple[Member, ...]:
    """Find the models to average, and read how each was trained.

    Args:
        texts: run folders, or files of models that advcli trained.
        unsafe: whether code in a model may run.

    Raises:
        UsageError: one is no such model, is given twice, or learned from other images.
    """
    files = [_file_of(text, unsafe) for text in texts]
    for i, (choice, path) in enumerate(files):
        if path.resolve() in [other.resolve() for _, other in files[:i]]:
            raise UsageError(f"'{choice.name}' is given twice", "leave one out")
    members = tuple(_member(*file) for file in files)
    for member in members[1:]:
        _refuse_other_images(members[0], member)
    return members


def _file_of(text: str, unsafe: bool) -> tuple[ModelChoice, Path]:
    choice = ModelChoice.read(text, unsafe=unsafe)
    path = None if choice.access != "gradient" else choice.path
    if path is None:
        raise UsageError(f"'{text}' is not a run", "give run folders, or .keras files that advcli trained")
    return choice, path


def _member(choice: ModelChoice, path: Path) -> Member:
    if not choice.recipe:
        message = f"'{choice.value}' does not record its training data: advcli did not train it"
        raise UsageError(message, "give run folders, or .keras files that advcli trained")
    return Member(choice, path, Recipe.from_json(choice.recipe, f"the recipe in '{path}'"))


def _refuse_other_images(first: Member, other: Member) -> None:
    """Refuse runs of different images: those that one validates on, another may have learned.

    Raises:
        UsageError: they differ.
    """
    one, two = _images_of(first.recipe), _images_of(other.recipe)
    for name, value in one.items():
        if two[name] != value:
            raise UsageError(
                f"'{first.name}' and '{other.name}' differ in --{name}: {value} and {two[name]}",
                "average runs that were trained and validated on the same images",
            )


def _images_of(recipe: Recipe) -> dict[str, object]:
    """Return the options that decide which images a run learns from and which it validates on."""
    path = Path(recipe.data).expanduser()
    found: dict[str, object] = {"data": str(path.resolve()) if path.exists() else recipe.data.lower()}
    found |= {name: getattr(recipe, name) for name in ("classes", "limit", "first", "validation")}
    return found | ({"seed": recipe.seed} if recipe.limit is not None else {"seed": None})


def recorded_fingerprint(path: Path) -> str:
    """Return the fingerprint of the validation images beside a model; empty if there is none."""
    try:
        content = parse_json(read_text(path.parent / "run.json"))
        return str(content["resolved"]["validation"]["fingerprint"])
    except (AdvcliError, ValueError, LookupError, TypeError):
        return ""
