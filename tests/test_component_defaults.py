"""The options' defaults: those of the papers, and those that the README's figures were measured with."""

import pytest

from advcli import registry
from advcli.errors import UsageError
from advcli.threat.threat import USUAL_RADIUS, Norm

# Lengths of steps have tests of their own, in units.
DEFAULTS = {
    "attacks": {
        "apgd": {"loss": "ce", "steps": 100, "restarts": 1, "targets": 9, "eot": 1, "stop": True, "larger_eps": False},
        "bim": {"steps": 10},
        "cw": {"steps": 1000, "binary_steps": 9, "c": 0.001, "learning_rate": 0.01, "confidence": 0},
        "bsr": {"steps": 10, "decay": 1, "samples": 20, "blocks": 2, "angle": 24},
        "ddn": {"steps": 300, "gamma": 0.05, "radius": 1},
        "difgsm": {"steps": 10, "decay": 1, "probability": 0.5, "smallest": 299 / 330},
        "geoda": {"queries": 5000, "frequencies": 75, "sigma": 0.0002, "decay": 0.6, "eot": 1},
        "hopskipjump": {"queries": 5000, "samples": 100, "reach_ratio": 0.01, "eot": 1},
        "mifgsm": {"steps": 10, "decay": 1},
        "nes": {"queries": 5000, "samples": 50, "sigma": 0.001},
        "nifgsm": {"steps": 10, "decay": 1},
        "noise": {"queries": 10},
        "patch": {"size": 0.35, "scale": 0.2, "degrees": 22.5, "shape": "circle", "steps": 500, "learning_rate": 0.05},
        "pgd": {"steps": 20, "random_start": True, "restarts": 1, "schedule": "constant", "eot": 1, "stop": False},
        "simba": {"queries": 5000},
        "spatial": {"degrees": 30, "shift": 0.1, "angles": 31, "places": 5, "stop": True},
        "square": {"queries": 5000, "p": 0.8, "restarts": 1, "rescale": False, "stop": True},
        "tifgsm": {"steps": 10, "decay": 1, "kernel": 15, "deviations": 3},
        "universal": {"steps": 200, "decay": 0.9, "clip": 9},
        "vmifgsm": {"steps": 10, "decay": 1, "samples": 20, "radius_ratio": 1.5},
    },
    "objectives": {
        "augmix": {"width": 3, "depth": 0, "severity": 3, "jsd": 12},
        "augmix-at": {"width": 3, "depth": 0, "severity": 3, "jsd": 12, "step": 0},
        "clean": {"smoothing": 0},
        "free": {"replays": 8},
        "gaussian": {"sigma": 0.25},
        "mart": {"beta": 5, "steps": 10},
        "n-fgsm": {"noise_ratio": 2},
        "nsl": {
            "multiplier": 0.2,
            "adv_step_size": 0.2,
            "adv_grad_norm": "infinity",
            "pgd_iterations": 1,
            "pgd_epsilon": 0,
            "random_init": False,
            "clip": True,
        },
        "trades": {"beta": 6, "steps": 10},
    },
    "augmentations": {
        "pixmix": {"rounds": 4, "beta": 4, "severity": 1, "fractals": 128},
        "prime": {
            "width": 3,
            "depth": 0,
            "cut": 100,
            "kernel": 3,
            "sigma": 4,
            "frequencies": 500,
            "bandwidth": 20,
            "temperature": 0.05,
        },
    },
    "modifiers": {"awp": {"gamma": 0.005}, "gradalign": {"weight": 0.2}},
    "explainers": {
        "activation-maximization": {"steps": 128, "rate": 0.02, "smoothness": 0.2, "jitter": 4},
        "integrated-gradients": {"steps": 32, "baseline": "blur"},
        "occlusion": {"window": 0, "stride": 0, "fill": "mean"},
        "rise": {"masks": 500, "cells": 7, "keep": 0.5, "fill": "mean"},
        "scorecam": {"layer": "", "channels": 64, "fill": "mean"},
        "smoothgrad": {"samples": 25, "noise": 0.15},
    },
}


@pytest.mark.parametrize(("family", "name"), [(family, name) for family in DEFAULTS for name in DEFAULTS[family]])
def test_defaults(family: str, name: str) -> None:
    component = registry.build(family, name)
    expected = DEFAULTS[family][name]
    assert {option: getattr(component, option) for option in expected} == pytest.approx(expected)


def test_the_usual_radii() -> None:
    assert USUAL_RADIUS == {Norm.LINF: 8 / 255, Norm.L2: 0.5, Norm.L1: 12, Norm.L0: 10}


ALLOWED = {
    "attacks": [
        *("bim:steps=1", "mifgsm:decay=0", "difgsm:probability=0", "difgsm:probability=1", "difgsm:smallest=1"),
        *("tifgsm:kernel=1", "vmifgsm:samples=1", "vmifgsm:radius_ratio=0", "pgd:steps=1", "pgd:eot=1", "apgd:steps=1"),
        *("apgd:targets=1", "cw:steps=1", "cw:binary_steps=1", "cw:confidence=0", "ddn:steps=1"),
        *("nes:samples=2,queries=3", "simba:queries=3", "hopskipjump:samples=1", "hopskipjump:queries=200"),
        *("geoda:queries=200", "geoda:frequencies=1", "geoda:queries=400,eot=2", "square:queries=2,eot=2"),
        *("noise:queries=1", "patch:size=1", "patch:scale=0", "patch:degrees=0", "patch:degrees=180", "patch:steps=1"),
        *("universal:steps=1", "universal:decay=0", "spatial:degrees=0", "spatial:degrees=180", "spatial:shift=0"),
        *("spatial:shift=1", "spatial:angles=1", "spatial:places=1", "square:queries=1", "square:p=1"),
    ],
    "objectives": [
        *("trades:beta=0", "trades:steps=1", "mart:beta=0", "mart:steps=1", "free:replays=1", "n-fgsm:noise_ratio=0"),
        *("augmix:width=1", "augmix:depth=0", "augmix:severity=1", "augmix:severity=10", "augmix:jsd=0"),
        *("nsl:multiplier=0", "nsl:adv_step_size=0", "nsl:pgd_iterations=1", "clean:smoothing=0.99"),
    ],
    "explainers": [
        *("activation-maximization:steps=1", "activation-maximization:rate=0", "activation-maximization:jitter=0"),
        *("activation-maximization:smoothness=0", "integrated-gradients:steps=1", "occlusion:window=3,stride=3"),
        *("rise:masks=1", "rise:cells=1", "scorecam:channels=0", "smoothgrad:samples=1", "smoothgrad:noise=0"),
    ],
}
REFUSED = {
    "attacks": [
        *("cw:c=0", "cw:learning_rate=0", "ddn:gamma=0", "ddn:gamma=1", "ddn:radius=0", "difgsm:probability=1.1"),
        *("difgsm:probability=-0.1", "difgsm:smallest=0", "difgsm:smallest=1.1", "tifgsm:kernel=2", "tifgsm:kernel=-1"),
        *("tifgsm:deviations=0", "nes:samples=0", "nes:samples=5", "nes:samples=6,queries=6", "nes:sigma=0"),
        *(
            "geoda:queries=199",
            "geoda:frequencies=0",
            "geoda:sigma=0",
            "geoda:decay=0",
            "geoda:decay=1",
            "geoda:queries=399,eot=2",
            "square:queries=1,eot=2",
            "square:eot=0",
            "hopskipjump:eot=0",
            "hopskipjump:queries=199",
            "hopskipjump:reach_ratio=0",
            "hopskipjump:reach_ratio=1",
            "patch:size=0",
            "patch:size=1.1",
        ),
        *("patch:scale=1", "patch:scale=-0.1", "patch:degrees=-1", "patch:degrees=180.5", "patch:learning_rate=0"),
        *("universal:clip=0", "universal:decay=1", "universal:decay=-0.1", "spatial:degrees=-1", "spatial:degrees=181"),
        *("spatial:shift=-0.1", "spatial:shift=1.1", "spatial:angles=0", "spatial:places=0", "square:p=0"),
    ],
    "objectives": [
        *("clean:smoothing=-0.1", "clean:smoothing=1", "gaussian:sigma=0", "augmix:severity=0", "augmix:severity=11"),
        *("augmix:width=0", "augmix:depth=-1", "augmix:jsd=-1", "free:replays=0", "mart:steps=0"),
    ],
    "modifiers": ["awp:gamma=0", "gradalign:weight=0"],
    "explainers": [
        *("activation-maximization:steps=0", "activation-maximization:rate=-1", "activation-maximization:jitter=-1"),
        *("activation-maximization:smoothness=-1", "integrated-gradients:steps=0", "integrated-gradients:baseline=red"),
        *("occlusion:window=3,stride=4", "occlusion:window=-1", "occlusion:stride=-1", "occlusion:fill=red"),
        *("rise:masks=0", "rise:cells=0", "rise:keep=0", "rise:keep=1", "rise:fill=red", "scorecam:channels=-1"),
        *("scorecam:fill=red", "smoothgrad:samples=0", "smoothgrad:noise=-0.1"),
    ],
}


def each(specs: dict[str, list[str]]) -> list[tuple[str, str]]:
    return [(family, spec) for family in specs for spec in specs[family]]


@pytest.mark.parametrize(("family", "spec"), each(ALLOWED))
def test_the_least_and_the_most_are_allowed(family: str, spec: str) -> None:
    registry.build(family, spec)


@pytest.mark.parametrize(("family", "spec"), each(REFUSED))
def test_what_is_just_beyond_is_refused(family: str, spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build(family, spec)
