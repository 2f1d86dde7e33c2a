"""Train, attack, benchmark and explain image classifiers, from the command line or from Python.

import advcli

classifier = advcli.load("runs/digits-small-nsl")
records = advcli.benchmark("runs/digits-small-nsl", data="digits", attacks=["pgd:steps=20"], eps="0.1")
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from advcli.library import Records, attack, benchmark, explain, load, train
    from advcli.library.arrays import Adversarial
    from advcli.model.classifier import Classifier
    from advcli.threat.threat import Norm, Threat

# Written out, because type checkers read it. The names are imported when they are first used: ``import advcli`` and the
# command's help need neither NumPy nor TensorFlow.
__all__ = [
    "Adversarial",
    "Classifier",
    "Norm",
    "Records",
    "Threat",
    "__version__",
    "attack",
    "benchmark",
    "explain",
    "load",
    "train",
]
# Where those are that are not in the library itself.
_HOMES = {
    "Adversarial": "advcli.library.arrays",
    "Classifier": "advcli.model.classifier",
    "Norm": "advcli.threat.threat",
    "Threat": "advcli.threat.threat",
}


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module 'advcli' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES.get(name, "advcli.library")), name)


def __dir__() -> list[str]:
    return sorted(__all__)
