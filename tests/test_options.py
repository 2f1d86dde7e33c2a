"""The options' defaults: those of the papers, and those that the README's figures were measured with."""

import pytest

from advcli import registry

# Lengths of steps have tests of their own, in units.
DEFAULTS = {
    "attacks": {
        "apgd": {"loss": "ce", "steps": 100, "restarts": 1, "targets": 9, "eot": 1, "stop": True, "larger_eps": False},
        "bim": {"steps": 10},
        "cw": {"steps": 1000, "binary_steps": 9, "c": 0.001, "learning_rate": 0.01, "confidence": 0},
        "ddn": {"steps": 300, "gamma": 0.05, "radius": 1},
        "difgsm": {"steps": 10, "decay": 1, "probability": 0.5, "smallest": 299 / 330},
        "hopskipjump": {"queries": 5000, "samples": 100, "reach": 0.01},
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
        "vmifgsm": {"steps": 10, "decay": 1, "samples": 20, "radius": 1.5},
    },
    "objectives": {
        "augmix": {"width": 3, "depth": 0, "severity": 3, "jsd": 12},
        "clean": {"smoothing": 0},
        "free": {"replays": 8},
        "gaussian": {"sigma": 0.25},
        "mart": {"beta": 5, "steps": 10},
        "n-fgsm": {"k": 2},
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
