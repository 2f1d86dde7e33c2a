"""Reach into a Keras model of any shape: what it is made of, and a stand-in for a part of it."""

import contextlib
from collections.abc import Iterator
from typing import Any

from advcli.backend import keras


def operations(model: Any) -> list[Any]:
    """List everything a model calls: its layers, those inside them, and bare operations such as ``x + y``."""
    found: dict[Any, None] = {}
    for layer in model._flatten_layers(include_self=True, recursive=True):
        found[layer] = None
        if isinstance(layer, keras.Function):
            found.update(dict.fromkeys(layer.operations))
    return [operation for operation in found if not isinstance(operation, keras.Model)]


@contextlib.contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Put another value in the place of an attribute, and the old one back at the end."""
    # A method belongs to the class: what hides it on the object has to go again.
    own = name in vars(owner)
    old = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, old)
        else:
            delattr(owner, name)
