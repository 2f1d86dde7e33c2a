"""Options that several tasks share, as base classes of their requests."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from advcli.options import OUTPUT, THREAT, WHAT, FieldDefault, option, options_of, refuse_out_of_bounds
from advcli.parsing import read_list, read_radius, read_range
from advcli.plugins import allow_files, named_file
from advcli.threat.threat import Norm

if TYPE_CHECKING:
    from advcli.model.black_box import Access
    from advcli.model.model_choice import ModelChoice


@dataclass(frozen=True, kw_only=True)
class Validated:
    """A request whose values are checked when it is made."""

    def __post_init__(self) -> None:
        refuse_out_of_bounds(self)


@dataclass(frozen=True, kw_only=True)
class FileOptions(Validated):
    """How model files are read.

    Args:
        labels: class names: one a line, or Keras' JSON.
        input_range: for a foreign model: its values for black and white, such as 0,255 or -1,1.
        unsafe_load: run code that a model file names, such as Lambda layers and your classes on PYTHONPATH, and a
            component of your own, --attack ./mine.py.
    """

    labels: Path | None = option(None, panel=WHAT, metavar="FILE")
    input_range: tuple[float, float] | None = option(None, panel=WHAT, metavar="LOW,HIGH", parse=read_range)
    unsafe_load: bool = option(False, panel=WHAT)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.unsafe_load:
            allow_files(self.python_files)

    @property
    def python_files(self) -> list[str]:
        """The Python files that options name in place of components."""
        values = [getattr(self, name) for name, given in options_of(self).items() if given.family]
        specs = [spec for value in values for spec in (value if isinstance(value, tuple) else (value,)) if spec]
        return [named_file(spec) for spec in specs if named_file(spec)]


@dataclass(frozen=True, kw_only=True)
class ModelOptions(FileOptions):
    """How models are read.

    Args:
        weights: for a backbone: imagenet or a file.
        edge: size of the model's square input in pixels.
        output: for a model of several outputs: the name of the one to use.
        fit: how images of other sizes are resized: squashed, or the shorter side scaled to 256/224 of the model's size
            and the centre cut out.
    """

    weights: str = option("imagenet", panel=WHAT, metavar="FILE")
    edge: int | None = option(None, "--image-size", panel=WHAT, metavar="PIXELS", alias="--edge", min=8)
    output: str | None = option(None, panel=WHAT, metavar="NAME")
    fit: Literal["squash", "crop"] = option("squash", panel=WHAT)

    def choose(self, model: str) -> "ModelChoice":
        """Find a model.

        Raises:
            UsageError: there is no such model.
        """
        from advcli.model.model_choice import ModelChoice

        return ModelChoice.read(
            model,
            weights=self.weights,
            labels=self.labels,
            input_range=self.input_range,
            image_size=self.edge,
            unsafe=self.unsafe_load,
            output=self.output,
            fit=self.fit,
        )


# The attacks of a task that is given none, by what its models show of themselves.
DEFAULT_ATTACKS: "Mapping[Access, str]" = {"gradient": "pgd", "scores": "square", "class": "hopskipjump"}


@dataclass(frozen=True, kw_only=True)
class SurrogateOptions(Validated):
    """The model that attacks see, if it is not the attacked one.

    Args:
        surrogate: craft on this model, which has gradients, and classify the result with the attacked one.
    """

    surrogate: str | None = option(None, panel=THREAT, metavar="RUN|FILE")

    def choose_surrogate(self) -> "ModelChoice | None":
        """Find the surrogate; None if there is none.

        Raises:
            UsageError: there is no such model, or it has no gradients.
        """
        from advcli.errors import UsageError
        from advcli.model.model_choice import ModelChoice

        if self.surrogate is None:
            return None
        choice = ModelChoice.read(self.surrogate)
        if choice.access != "gradient":
            raise UsageError(f"'{self.surrogate}' has no gradients to craft with", "give a run or a Keras file")
        return choice


def model_option(**known: object) -> FieldDefault:
    """Declare ``--model``."""
    given = {"panel": WHAT, "metavar": "MODEL", "env": "ADVCLI_MODEL", "completes": "models", **known}
    return option("mobilenetv2", "--model", "-m", **given)


@dataclass(frozen=True, kw_only=True)
class DataOptions(Validated):
    """Which images of which data are used.

    Args:
        data: a named data set, a folder of class folders, a Tiny ImageNet folder or .zip, an .npz file.
        classes: only these classes, by name or index; a name with a comma in double quotes: 'cat,"crane, a bird"'.
        limit: only a seeded stratified sample.
        first: only the first ones in the data's order.
        skip_bad: continue if more than 1% of the images are unreadable.
    """

    data: str = option("")
    classes: tuple[str, ...] = option((), panel=WHAT, metavar="A,B,...", completes="classes", parse=read_list)
    limit: int | None = option(None, panel=WHAT, metavar="N", min=1)
    first: int | None = option(None, panel=WHAT, metavar="N", min=1)
    skip_bad: bool = option(False, panel=WHAT)


def data_option(default: str, shown: str | None = None) -> FieldDefault:
    """Declare ``--data``."""
    return option(default, "--data", "-d", panel=WHAT, metavar="NAME|PATH", family="datasets", shown=shown)


def eps_option(shown: str) -> FieldDefault:
    """Declare ``--eps`` as one radius."""
    return option(None, panel=THREAT, metavar="RADIUS", parse=read_radius, shown=shown)


@dataclass(frozen=True, kw_only=True)
class ThreatOptions(Validated):
    """The norm and the radius of the attacked ball.

    Args:
        norm: the norm perturbations are measured in.
        eps: the radius of a perturbation, in units of [0, 1]: 0.03 or 8/255; in l0 a number of pixels.
    """

    norm: Norm | None = option(None, panel=THREAT, shown="what the model was trained for, or linf")
    eps: float | None = eps_option("what the model was trained for; 8/255, in l2 0.5, in l1 12, in l0 10")


def attack_option(default: object, shown: str | None = None, **known: Any) -> FieldDefault:
    """Declare ``--attack``."""
    return option(default, "--attack", "-a", panel=THREAT, metavar="SPEC", family="attacks", shown=shown, **known)


@dataclass(frozen=True, kw_only=True)
class WorkOptions(Validated):
    """The batch size and the seed.

    Args:
        batch: images in a batch.
        seed: seed of all random numbers.
    """

    batch: int = option(16)
    seed: int = option(0, min=0, max=2**31 - 1)


def batch_option(default: int, **known: Any) -> FieldDefault:
    """Declare ``--batch``."""
    return option(default, metavar="N", min=1, **known)


def memory_option() -> FieldDefault:
    """Declare ``--memory``."""
    return option(None, metavar="GB", min=0, shown="half of what is free")


def bytes_of(memory: float | None) -> int | None:
    """Return how many bytes of decoded images may be held in memory."""
    from advcli.data.memory import half_of_free_memory

    return half_of_free_memory() if memory is None else int(min(memory, 1e9) * 1e9)


def overwrite_option() -> FieldDefault:
    """Declare ``--overwrite``."""
    return option(False, panel=OUTPUT)


def out_option(default: Path | None, **known: Any) -> FieldDefault:
    """Declare ``--out``."""
    return option(default, "--out", "-o", panel=OUTPUT, **known)
