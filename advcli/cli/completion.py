"""What the shell's Tab key offers: components with their options, models and run folders, class names."""

import contextlib
import io
import os
import re
import sys
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
# What bash makes a word of its own.
_SPLITTERS = (":", "=")
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


@contextlib.contextmanager
def bash_completion() -> Iterator[None]:
    """Take a word as one word for bash too, which splits words at ``:`` and ``=``, also on the other side of Tab.

    Bash gives ``pgd:st`` as three words, and replaces only the last of them by what is answered.
    """
    if os.environ.get("_ADVCLI_COMPLETE") != "complete_bash":
        yield
        return
    typed = os.environ.get("COMP_WORDS", "")
    words = typed.split("\n" if "\n" in typed else " ")
    number = int(os.environ.get("COMP_CWORD", len(words) - 1))
    joined: list[str] = []
    for position, word in enumerate(words[: number + 1]):
        splits = position > 0 and (word in _SPLITTERS or words[position - 1] in _SPLITTERS)
        joined = [*joined[:-1], joined[-1] + word] if splits else [*joined, word]
    os.environ["COMP_WORDS"] = "\n".join(joined)
    os.environ["COMP_CWORD"] = str(len(joined) - 1)
    was_split = joined[-1] not in words
    # What is answered for --option=value is the value.
    value = joined[-1].partition("=")[2] if joined[-1].startswith("-") else joined[-1]
    kept = max(map(value.rfind, _SPLITTERS)) + 1 if was_split else 0
    answer = io.StringIO()
    try:
        with contextlib.redirect_stdout(answer):
            yield
    finally:
        sys.stdout.write("".join(line[kept:] for line in answer.getvalue().splitlines(keepends=True)))


def _components(family: str, incomplete: str) -> list[_Offer]:
    name = re.split("[+,]", incomplete)[-1]
    before = incomplete[: len(incomplete) - len(name)]
    found = {typed_name(family, each): each for each in registry.names(family)}
    return [(before + typed, registry.summary(family, each)) for typed, each in found.items() if typed.startswith(name)]


def _options(family: str, incomplete: str) -> list[_Offer]:
    found = re.fullmatch(r"(.*?)([\w.-]+):((?:[^:+]*,)?)([\w-]*(?:=[^,+]*)?)", incomplete, re.DOTALL)
    if found is None or registry.canonical(found[2]) not in registry.names(family):
        return []
    before, name, given, last = found.groups()
    values = registry.options(family, name)
    keys = [key for key in values if f"{key}=".startswith(last) or last.startswith(f"{key}=")]
    offers = [(f"{key}=", f"default {values[key]}") for key in keys]
    # Where one option is left, its default is offered too: then no shell adds a space behind the sign.
    typed = {key: re.fullmatch(r"'([\w-]+)'|(?!None)([\w.-]+)", values[key]) for key in keys if len(keys) == 1}
    offers += [(f"{key}={found[1] or found[2]}", "the default") for key, found in typed.items() if found]
    return [(f"{before}{name}:{given}{offer}", text) for offer, text in offers if offer.startswith(last)]


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
