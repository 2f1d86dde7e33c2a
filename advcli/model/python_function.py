"""A Python function of images, such as one that asks a service with its own client."""

import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from advcli.errors import AdvcliError, UsageError, first_line
from advcli.model.black_box import Access, ScoreFunction
from advcli.model.named_code import is_reaching

PREFIX = "python:"


@dataclass(frozen=True)
class PythonFunction:
    """A function that takes (N, H, W, 3) float32 images and returns (N, K) scores, or (N,) classes.

    Args:
        value: ``python:module:function``.
        unsafe: whether its code may run.

    Raises:
        UsageError: the value names no function, or its code must not run.
    """

    value: str
    unsafe: bool = False

    def __post_init__(self) -> None:
        module, _, function = self.name.partition(":")
        if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
            raise UsageError(f"'{self.value}' names no function", "write python:module:function")
        if not self.unsafe:
            hint = "name one of your modules" if is_reaching(module) else "allow that with --unsafe-load"
            raise UsageError(f"'{self.value}' runs your own code", hint)

    @property
    def name(self) -> str:
        """The name in records."""
        return self.value.removeprefix(PREFIX)

    @property
    def access(self) -> Access:
        """What an attack may see of it."""
        return "scores"

    def open(self) -> ScoreFunction:
        """Import the function.

        Raises:
            AdvcliError: there is none.
        """
        function, source = self._imported()

        def ask(images: np.ndarray) -> object:
            try:
                return function(images)
            except Exception as error:
                raise AdvcliError(f"'{self.name}' fails: {type(error).__name__}: {first_line(error)}") from error

        # What it does is not known: it may cost something.
        return ScoreFunction(ask, f"{self.value} {source}".encode(), None, remote=True)

    def _imported(self) -> tuple[Callable[[np.ndarray], object], str]:
        module, _, name = self.name.partition(":")
        try:
            function = getattr(importlib.import_module(module), name)
        except Exception as error:
            hint = "its module must be on PYTHONPATH"
            raise AdvcliError(f"cannot import '{self.name}': {first_line(error)}", hint) from error
        if not callable(function):
            raise AdvcliError(f"'{self.name}' is not a function but {type(function).__name__}")
        try:
            return function, inspect.getsource(inspect.getmodule(function) or function)
        except (OSError, TypeError):
            return function, ""
