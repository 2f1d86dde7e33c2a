"""Train, attack, benchmark and explain image classifiers, from the command line or from Python.

import advcli

classifier = advcli.load("runs/digits-small-nsl")
records = advcli.benchmark("runs/digits-small-nsl", data="digits", attacks=["pgd:steps=20"], eps="0.1")
"""

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

if TYPE_CHECKING:
    from advcli.library import Adversarial as Adversarial
    from advcli.library import Records as Records
    from advcli.library import attack as attack
    from advcli.library import benchmark as benchmark
    from advcli.library import explain as explain
    from advcli.library import load as load
    from advcli.library import train as train
    from advcli.model.classifier import Classifier as Classifier
    from advcli.threat.threat import Norm as Norm
    from advcli.threat.threat import Threat as Threat

# Imported when they are first used: ``import advcli`` and the command's help need neither NumPy nor TensorFlow.
_HOMES = {
    "Adversarial": "advcli.library",
    "Classifier": "advcli.model.classifier",
    "Norm": "advcli.threat.threat",
    "Records": "advcli.library",
    "Threat": "advcli.threat.threat",
    "attack": "advcli.library",
    "benchmark": "advcli.library",
    "explain": "advcli.library",
    "load": "advcli.library",
    "train": "advcli.library",
}
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'advcli' has no attribute '{name}'")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
