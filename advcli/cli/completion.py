"""What the shell's Tab key offers: components with their options, models and run folders, class names."""

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import typer

from advcli import registry
from advcli.cli.component_lists import typed_name
from advcli.errors import AdvcliError
from advcli.options import Completed

# A value and what is said of it.
_Offer = tuple[str, str]
# A folder with more entries than these is not a place of models.
_MOST = 2000
_MODEL_FILES = {
    ".keras": "a Keras model",
    ".h5": "a Keras model",
    ".tflite": "a TensorFlow Lite model",
    ".onnx": "an ONNX model",
}


def complete_spec(family: str) -> Callable[[str], list[_Offer]]:
    """Complete a component's name, or an option of it, on the shell's command line, also of the last one in a list."""

    def complete(incomplete: str) -> list[_Offer]:
        # Behind a comma stands the next component, or the next option of the last one.
        return [*_components(family, incomplete), *_options(family, incomplete)]

    return complete


def complete_model(incomplete: str) -> list[_Offer]:
    """Complete a run folder, a model file or a backbone's name; the shell completes any other path itself."""
    known = ((name, registry.summary("backbones", name)) for name in registry.names("backbones"))
    backbones = [offer for offer in known if offer[0].startswith(incomplete)]
    return [*_places(incomplete, _what_model), *backbones]


def complete_run(incomplete: str) -> list[_Offer]:
    """Complete a run folder."""
    return _places(incomplete, _what_run)


def complete_class(context: typer.Context, incomplete: str) -> list[_Offer]:
    """Complete a class name of the model that is given, the last one in a list.

    Names are offered with underscores in place of spaces, which would end the word for the shell.
    """
    before, comma, last = incomplete.rpartition(",")
    names = (label.partition(",")[0].strip() for label in _class_names(context))
    typed = [name.replace(" ", "_") for name in dict.fromkeys(names)]
    return [(before + comma + name, "") for name in typed if name.startswith(last)]


COMPLETIONS: dict[Completed, Callable[..., list[_Offer]]] = {
    "models": complete_model,
    "runs": complete_run,
    "classes": complete_class,
}


def _components(family: str, incomplete: str) -> list[_Offer]:
    name = re.split("[+,]", incomplete)[-1]
    before = incomplete[: len(incomplete) - len(name)]
    found = {typed_name(family, each): each for each in registry.names(family)}
    return [(before + typed, registry.summary(family, each)) for typed, each in found.items() if typed.startswith(name)]


def _options(family: str, incomplete: str) -> list[_Offer]:
    found = re.fullmatch(r"(.*?)([\w.-]+):((?:[^:+]*,)?)([\w-]*)", incomplete, re.DOTALL)
    if found is None or registry.canonical(found[2]) not in registry.names(family):
        return []
    before, name, given, last = found.groups()
    known = registry.options(family, name).items()
    return [(f"{before}{name}:{given}{key}=", f"default {value}") for key, value in known if key.startswith(last)]


def _places(incomplete: str, what: Callable[[Path], str]) -> list[_Offer]:
    """List what is a model in the folder that is being typed, and in ``runs/``."""
    folder = incomplete[: incomplete.rfind("/") + 1]
    places = [folder] if folder else ["", "runs/"]
    paths = [place + name for place in places for name in _entries(Path(place).expanduser())]
    described = ((path, what(Path(path).expanduser())) for path in paths if path.startswith(incomplete))
    return [(path, text) for path, text in described if text]


def _entries(folder: Path) -> Iterator[str]:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        yield from sorted(entry.name for entry in islice(entries, _MOST) if not entry.name.startswith("."))


def _what_run(path: Path) -> str:
    return "a run" if (path / "run.json").is_file() else ""


def _what_model(path: Path) -> str:
    if path.is_dir():
        from advcli.model.saved_model import is_saved_model

        is_run = (path / "model.keras").is_file()
        return "a run" if is_run else "a SavedModel" if is_saved_model(path) else ""
    return _MODEL_FILES.get(path.suffix.lower(), "")


def _class_names(context: typer.Context) -> tuple[str, ...]:
    """Read the class names of the first model that is given and has any."""
    # Imported when it is needed, because help must not wait for it.
    from advcli.model.model_choice import ModelChoice

    given = context.params
    # Arguments are not assigned yet where the last option has no value.
    values = given["model"] if "model" in given else given.get("models") or context.args
    for value in [values] if isinstance(values, str) else values or ():
        # A value that is wrong is reported when the command runs.
        with contextlib.suppress(AdvcliError, OSError):
            names = ModelChoice(value, labels=given.get("labels")).class_names
            if names:
                return names
    return ()
