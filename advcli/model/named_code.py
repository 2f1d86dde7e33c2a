"""Find what a model's configuration names that reaches beyond a model: modules and functions that run programs.

A name that is not found proves nothing: code can hide what it calls. It decides only what a hint may advise.
"""

import base64
import binascii
import re
from collections.abc import Iterator

from advcli.records.base import Json

_MODULES = frozenset(
    "os posix nt sys subprocess builtins __builtins__ importlib shutil socket ctypes pickle marshal pty runpy".split()  # noqa: SIM905  a line a set
)
_FUNCTIONS = frozenset(
    "__import__ eval exec compile open system popen breakpoint globals getattr setattr input".split()  # noqa: SIM905  a line a set
)
# What Keras itself writes for functions and types of Python.
_USUAL_BUILTINS = frozenset({"function", "type", "__tuple__", "list", "tuple", "dict", "str", "int", "float"})
# Names that ordinary code has, too: of methods, arguments and files.
_ORDINARY = frozenset({"getattr", "setattr", "input", "open", "compile"})
_BASE64 = re.compile(r"[A-Za-z0-9+/\s]{24,}={0,2}\s*")
_MOST_DECODED = 1 << 20


def reaching_name(config: Json) -> str:
    """Return the first name in a configuration that reaches beyond a model; empty if there is none."""
    return next(_names(config), "")


def is_reaching(module: str) -> bool:
    """Return whether a module, such as ``os.path``, reaches beyond a model."""
    return module.partition(".")[0] in _MODULES


def _names(config: Json) -> Iterator[str]:
    waiting: list[Json] = [config]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield from _in_code(value)
        elif isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            yield from _in_object(value)
            waiting += value.values()


def _in_object(value: dict[str, Json]) -> Iterator[str]:
    named = [each for key, each in value.items() if key != "name" and isinstance(each, str)]
    for key, module in value.items():
        if not (key.endswith("module") and isinstance(module, str)) or not is_reaching(module):
            continue
        usual = module == "builtins" and value.get("class_name") in _USUAL_BUILTINS
        if not usual or _FUNCTIONS & set(named):
            yield module


def _in_code(text: str) -> Iterator[str]:
    """Yield the reaching names in marshalled code, which Keras writes in base64; it is not decoded further."""
    if len(text) > _MOST_DECODED or not _BASE64.fullmatch(text):
        return
    try:
        code = base64.b64decode("".join(text.split()))
    except (binascii.Error, ValueError):
        return
    for place, kind in enumerate(code):
        # Short and long strings; the eighth bit marks those that are used again.
        width = 1 if kind & 0x7F in b"zZ" else 4 if kind & 0x7F in b"aAuts" else 0
        start = place + 1 + width
        size = int.from_bytes(code[place + 1 : start], "little") if width else 0
        name = code[start : start + size] if 0 < size < 256 else b""
        if name.isascii():
            found = re.split(r"\W+", name.decode("ascii"))
            yield from (part for part in found if part in _MODULES | _FUNCTIONS - _ORDINARY)
