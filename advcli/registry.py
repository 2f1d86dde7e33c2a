"""Components by name: a family is a folder, a name is a file, a spec is ``name:option=value``.

A file ends in ``COMPONENT = TheClass``. A file of several sizes of one network ends in
``COMPONENTS = {"name": TheClass, ...}`` instead; each class then has a summary of its own, the first line of its
docstring. Names, summaries and options are read from the source files, so that help needs no component to be imported.
``advcli.plugins`` adds the components of other packages, and of a file that a spec names.
"""

import ast
import dataclasses
import importlib
import math
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_type_hints

from advcli.errors import UsageError, nearest
from advcli.plugins import Plugin, component_in, named_file, plugins

_ROOT = Path(__file__).parent


def names(family: str) -> tuple[str, ...]:
    """List a family's components, from its files."""
    return tuple(_files(family))


def component_file(family: str, name: str) -> Path:
    """Return the file of a component."""
    file = named_file(name)
    return Path(file) if file else _files(family)[canonical(name)]


def summary(family: str, name: str) -> str:
    """Return the first line of the docstring of a component's module, or of its class if the module has several."""
    tree = _parsed(component_file(family, name))
    variant = _variants(tree).get(canonical(name))
    described = next((node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == variant), tree)
    return (ast.get_docstring(described) or "").partition("\n")[0]


def _files(family: str) -> dict[str, Path]:
    """Return the file of each component of a family; a name of advcli's own goes before that of another package."""
    own = {name: file for file in (_ROOT / family).glob("[!_]*.py") for name in _names_in(file)}
    files = {name: plugin.file for plugin in plugins(family) for name in _names_of(plugin)} | own
    return dict(sorted(files.items(), key=lambda item: item[0].replace("-", "_")))


def _names_of(plugin: Plugin) -> tuple[str, ...]:
    several = _variants(_parsed(plugin.file))
    return tuple(several) if several else (canonical(plugin.name),)


@cache
def _names_in(file: Path) -> tuple[str, ...]:
    # Parsing every file only to list the names would make help slower.
    several = "\nCOMPONENTS = " in file.read_text(encoding="utf-8")
    return tuple(_variants(_parsed(file))) if several else (file.stem.replace("_", "-"),)


@cache
def _parsed(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


def _variants(tree: ast.Module) -> dict[str, str]:
    """Return the classes of a file with several components by the components' names."""
    value = _assigned(tree, "COMPONENTS")
    if not isinstance(value, ast.Dict):
        return {}
    return {ast.literal_eval(key): ast.unparse(cls) for key, cls in zip(value.keys, value.values, strict=True) if key}


def _assigned(tree: ast.Module, name: str) -> ast.expr | None:
    """Return the expression that a module assigns to a name."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == [name]:
            return node.value
    return None


def options(family: str, name: str) -> dict[str, str]:
    """Return a component's options and their defaults, as they are written in its source."""
    return {
        key: ast.unparse(node.value) if node.value else ""
        for key, node in _attributes(family, name).items()
        if not _is_class_variable(node)
    }


def lengths(family: str, name: str) -> tuple[str, ...]:
    """Return which of a component's options are lengths in the units of eps, as its source says."""
    found = class_value(family, name, "lengths")
    return found if isinstance(found, tuple) else ()


def class_value(family: str, name: str, key: str) -> object:
    """Return the value that a component's source gives to an attribute of its class; None if it is no literal."""
    node = _attributes(family, name).get(key)
    try:
        return ast.literal_eval(node.value) if node and node.value else None
    except ValueError:
        return None


def _attributes(family: str, name: str) -> dict[str, ast.AnnAssign]:
    """Return the annotated attributes of a component's class and of those it inherits from, theirs first."""
    tree = _parsed(component_file(family, name))
    cls = _variants(tree).get(canonical(name))
    if cls is None:
        only = _assigned(tree, "COMPONENT")
        if only is None:
            raise ValueError(f"{component_file(family, name)} has no COMPONENT")
        cls = ast.unparse(only)
    return _class_attributes(tree, cls)


def _class_attributes(tree: ast.Module, name: str) -> dict[str, ast.AnnAssign]:
    """Return the annotated attributes of a class, which a module defines or imports from advcli."""
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and any((alias.asname or alias.name) == name for alias in node.names):
            file = _module_file(node.module or "")
            return _class_attributes(_parsed(file), name) if file else {}
        if isinstance(node, ast.ClassDef) and node.name == name:
            found: dict[str, ast.AnnAssign] = {}
            for base in reversed(node.bases):
                found |= _class_attributes(tree, ast.unparse(base))
            is_dataclass = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
            for each in node.body:
                if not isinstance(each, ast.AnnAssign) or not isinstance(each.target, ast.Name):
                    continue
                # Only in a dataclass is an attribute an option.
                if is_dataclass or _is_class_variable(each):
                    found[each.target.id] = each
            return found
    return {}


def _is_class_variable(node: ast.AnnAssign) -> bool:
    return ast.unparse(node.annotation).startswith("ClassVar")


def _module_file(module: str) -> Path | None:
    """Return the source of a module of advcli; None for any other."""
    package, *parts = module.split(".")
    place = _ROOT.joinpath(*parts)
    files = (place.with_suffix(".py"), place / "__init__.py") if package == "advcli" and parts else ()
    return next((file for file in files if file.is_file()), None)


def canonical(spec: str) -> str:
    """Return the name in a spec: ``pgd_at:steps=7`` becomes ``pgd-at``, ``./mine.py:steps=7`` becomes ``mine``."""
    file = named_file(spec)
    name = Path(file).stem if file else spec.partition(":")[0]
    return name.strip().lower().replace("_", "-").replace("++", "-plus-plus")


def component(family: str, spec: str) -> type:
    """Import the class of the component that a spec names.

    Raises:
        UsageError: no component of the family has this name.
    """
    if file := named_file(spec):
        return component_in(Path(file).resolve())
    name = canonical(spec)
    if name not in names(family):
        kind = family.removesuffix("s")
        raise UsageError(f"unknown {kind} '{spec.partition(':')[0]}'", nearest(name, names(family)))
    file = component_file(family, name)
    of_others = {plugin.file: plugin.module for plugin in plugins(family)}
    module = importlib.import_module(of_others.get(file, f"advcli.{family}.{file.stem}"))
    return module.COMPONENTS[name] if hasattr(module, "COMPONENTS") else module.COMPONENT


def build(family: str, spec: str) -> Any:
    """Build a component from a spec such as ``pgd:steps=40,random_start=false``.

    Raises:
        UsageError: unknown name, unknown or missing option, or a value of the wrong type.
    """
    name = named_file(spec) or spec.partition(":")[0]
    text = spec.strip()[len(name) + 1 :]
    return filled(component(family, spec), text, name, f"{name}:")


def filled(cls: type, text: str, name: str, before: str) -> Any:
    """Build a dataclass from its options, written as ``steps=40,random_start=false``.

    Args:
        cls: the dataclass.
        text: its options.
        name: its name in messages.
        before: the text before the options in a spec.

    Raises:
        UsageError: unknown or missing option, or a value of the wrong type.
    """
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    types = get_type_hints(cls)
    values: dict[str, object] = {}
    for item in filter(None, (part.strip() for part in text.split(","))):
        key, separator, value = (part.strip() for part in item.partition("="))
        key = key.replace("-", "_")
        if key not in fields:
            hint = nearest(key, fields) if fields else "it has no options"
            raise UsageError(f"'{name}' has no option '{key}'", hint)
        if key in values:
            raise UsageError(f"option '{key}' is given twice in '{before}{text}'")
        if not separator:
            raise UsageError(f"option '{key}' of '{name}' has no value", f"write {key}=VALUE")
        values[key] = _convert(value, types[key], f"option '{key}' of '{name}'")
    for key, field in fields.items():
        if key not in values and field.default is dataclasses.MISSING:
            raise UsageError(f"'{name}' needs its option '{key}'", f"write {before}{key}=VALUE")
    return cls(**values)


def number(text: str, what: str) -> float:
    """Read a number written as a decimal or a fraction (``0.03``, ``8/255``).

    Raises:
        UsageError: the text is neither.
    """
    try:
        value = float(Fraction(text)) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        raise UsageError(f"{what} is not a number: '{text}'", "write a number such as 0.03 or 8/255")
    return value


def _convert(text: str, kind: object, what: str) -> Any:
    if isinstance(kind, UnionType):
        (kind,) = set(get_args(kind)) - {NoneType}
    if kind is bool:
        if text.lower() in ("true", "yes", "1"):
            return True
        if text.lower() in ("false", "no", "0"):
            return False
        raise UsageError(f"{what} is neither true nor false: '{text}'")
    if kind is int:
        try:
            whole = int(text)
        except ValueError:
            raise UsageError(f"{what} is not a whole number: '{text[:60]}'") from None
        if abs(whole) >= 2**63:
            raise UsageError(f"{what} is too large a number")
        return whole
    if kind is float:
        return number(text, what)
    return text
