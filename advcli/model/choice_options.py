"""Options behind one of several models: ``a.keras:range=-1,1,name=base``."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path

from advcli.errors import UsageError, nearest
from advcli.parsing import read_index, read_range

_LEAST_SIZE = 8


def split_options(text: str) -> tuple[str, dict[str, str]]:
    """Split ``a.keras:range=-1,1,name=base`` into the model and its options; options of a backbone stay with it."""
    found = re.fullmatch(r"(.+?):([\w-]+=.*)", text, re.DOTALL)
    if found is None:
        return text, {}
    value, rest = found.groups()
    given: dict[str, str] = {}
    others = []
    for part in re.split(r",(?=[\w-]+=)", rest):
        key, equals, content = part.partition("=")
        if equals and key in _OWN_OPTIONS:
            if not content:
                raise UsageError(f"'{key}=' of model '{value}' has no value")
            if key in given:
                raise UsageError(f"model '{value}' has the option '{key}' twice")
            given[key] = content
        else:
            others.append(part)
    if others and given and Path(value).expanduser().exists():
        raise UsageError(f"a model has no option '{others[0]}'", nearest(others[0].partition("=")[0], _OWN_OPTIONS))
    return (f"{value}:{','.join(others)}" if others else value), given


def _read_size(text: str) -> int:
    size = read_index(text)
    if size is None or size < _LEAST_SIZE:
        raise UsageError(f"an image size of '{text}'", f"give a number of pixels from {_LEAST_SIZE} up")
    return size


def _read_file(text: str) -> Path:
    return Path(text).expanduser()


# What can be said for each model: name -> the field of the choice, and how its text is read.
_OWN_OPTIONS: Mapping[str, tuple[str, Callable[[str], object]]] = {
    "range": ("input_range", read_range),
    "labels": ("labels", _read_file),
    "size": ("image_size", _read_size),
    "output": ("output", str),
    "weights": ("weights", str),
    "name": ("given_name", str),
}


def read_options(given: Mapping[str, str]) -> dict[str, object]:
    """Read the values of options: name of the option -> text, to field of the choice -> value."""
    return {_OWN_OPTIONS[key][0]: _OWN_OPTIONS[key][1](text) for key, text in given.items()}
