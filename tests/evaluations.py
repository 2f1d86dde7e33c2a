"""Evaluations that take a second: linear models on forty random images that they mostly get right."""

import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.model.classifier import Classifier
from advcli.records import Record
from advcli.tasks.benchmark.request import Execution, Request
from advcli.tasks.benchmark.run import run
from conftest import make_classifier

IMAGES = 40
NAMES = ("cat", "dog", "owl", "fox")


def make_models(folder: Path) -> tuple[str, str]:
    """Write two linear models and the data they are measured on."""
    first, second = _linear(2), _linear(3)
    generator = np.random.default_rng(0)
    pixels = (generator.uniform(0.3, 0.7, (2 * IMAGES, 8, 8, 3)) * 255).astype(np.uint8)
    labels = first.predict(pixels / 255).argmax(axis=1)
    # An eighth of the labels is wrong.
    labels[::8] = (labels[::8] + 1) % 4
    test, train = slice(0, IMAGES), slice(IMAGES, None)
    np.savez(
        folder / "data.npz",
        x_train=pixels[train],
        y_train=labels[train],
        x_test=pixels[test],
        y_test=labels[test],
        labels=np.array(NAMES),
    )
    recipe = {"norm": "linf", "eps": 0.02, "objective": "pgd-at", "augment": ["gaussian"], "data": "data.npz"}
    dataclasses.replace(first, recipe=recipe).save(folder / "first.keras")
    second.save(folder / "second.keras")
    return str(folder / "first.keras"), str(folder / "second.keras")


def _linear(seed: int) -> Classifier:
    classifier = dataclasses.replace(make_classifier("linear"), labels=NAMES)
    generator = np.random.default_rng(seed)
    kernel, bias = classifier.model.weights
    kernel.assign(generator.normal(size=kernel.shape))
    bias.assign(generator.normal(size=bias.shape))
    return classifier


def request(folder: Path, **changes: Any) -> Request:
    """Ask for an evaluation of both models with a bit of everything."""
    usual: dict[str, Any] = {
        "models": (str(folder / "first.keras"), str(folder / "second.keras")),
        "data": str(folder / "data.npz"),
        "threats": (("linf", 0.0), ("linf", 0.05)),
        "attacks": ("fgsm", "pgd:steps=3"),
        "noises": ("gaussian:std=0.2",),
        "corruptions": ("brightness", "gaussian_noise"),
        "severities": (1, 5),
        "batch": 8,
        "checks": False,
    }
    asked = usual | changes
    if not asked["corruptions"] and "severities" not in changes:
        # Refused where they have no effect.
        del asked["severities"]
    return Request(**asked)


def records(asked: Request, **how: Any) -> list[Record]:
    """Carry an evaluation out; return its records."""
    return [event for event in run(asked, Execution(**how)) if isinstance(event, Record)]


def untimed(found: Iterable[Record]) -> list[dict[str, Any]]:
    """Return what records say, but for the time."""
    return [{k: v for k, v in json.loads(record.to_json()).items() if k != "seconds"} for record in found]


def close(value: Any) -> Any:
    """Return what equals a value but for the last digits of its floats.

    They depend on how many images a batch has, because a processor adds up other numbers at once.
    """
    if isinstance(value, dict):
        return {key: close(item) for key, item in value.items()}
    if isinstance(value, list):
        return [close(item) for item in value]
    return pytest.approx(value, rel=1e-4, abs=1e-5) if isinstance(value, float) else value


def lines(file: Path) -> list[dict[str, Any]]:
    """Return what the lines of a file of results say, but for the time and their checksums."""
    content = [json.loads(line) for line in file.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key not in ("seconds", "checksum")} for line in content]
