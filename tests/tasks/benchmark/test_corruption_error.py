"""The mean corruption error beside numbers by hand and beside published ones."""

import csv
from pathlib import Path

import pytest

from advcli.corruptions import PUBLISHED
from advcli.tasks.benchmark.corruption_error import (
    ALEXNET,
    SEVERITIES,
    Reference,
    alexnet_for,
    corruption_error,
    mean_errors,
)

FOG_AND_SNOW = {"fog": {1: 0.2, 5: 0.4}, "snow": {1: 0.5, 5: 0.7}}


def test_errors_are_means_over_severities_then_over_corruptions() -> None:
    found = corruption_error(FOG_AND_SNOW, clean=0.1)
    assert found.errors == pytest.approx({"fog": 0.3, "snow": 0.6})
    assert found.mean == pytest.approx(0.45)
    assert (found.relative_to, found.relative, found.relative_to_clean) == (None, None, None)


def test_relative_errors_by_hand() -> None:
    # In another order, and with a corruption more: names count, places do not.
    other = Reference("base", {"snow": 0.8, "contrast": 0.9, "fog": 0.4}, clean=0.2)
    found = corruption_error(FOG_AND_SNOW, 0.1, other)
    assert found.relative_to == "base"
    assert found.relative == pytest.approx((0.3 / 0.4 + 0.6 / 0.8) / 2)
    assert found.relative_to_clean == pytest.approx((0.2 / 0.2 + 0.5 / 0.6) / 2)


def test_a_model_relative_to_itself_is_one() -> None:
    own = Reference("same", mean_errors(FOG_AND_SNOW), 0.1)
    found = corruption_error(FOG_AND_SNOW, 0.1, own)
    assert found.relative == pytest.approx(1)
    assert found.relative_to_clean == pytest.approx(1)


def test_nothing_is_divided_by_nothing() -> None:
    found = corruption_error(FOG_AND_SNOW, 0.1, Reference("perfect", {"fog": 0.0, "snow": 0.5}, 0.0))
    assert found.relative is None
    assert found.relative_to_clean is None
    found = corruption_error(FOG_AND_SNOW, 0.1, Reference("steady", {"fog": 0.2, "snow": 0.5}, 0.2))
    assert found.relative == pytest.approx((0.3 / 0.2 + 0.6 / 0.5) / 2)
    assert found.relative_to_clean is None


def test_alexnet_stands_for_all_of_imagenet_c_alone() -> None:
    every = dict.fromkeys(PUBLISHED, SEVERITIES)
    assert alexnet_for(every, imagenet_at_224=True) is ALEXNET
    assert alexnet_for(dict(reversed(every.items())), imagenet_at_224=True) is ALEXNET
    assert alexnet_for(every, imagenet_at_224=False) is None
    assert alexnet_for(every | {"fog": (1, 2, 3)}, imagenet_at_224=True) is None
    assert alexnet_for({name: every[name] for name in PUBLISHED[:14]}, imagenet_at_224=True) is None
    assert alexnet_for(every | {"spatter": SEVERITIES}, imagenet_at_224=True) is None


def test_alexnets_errors_are_those_published_by_severity() -> None:
    assert set(ALEXNET.errors) == set(PUBLISHED)
    assert sum(ALEXNET.errors.values()) / 15 == pytest.approx(0.788993, abs=5e-7)
    for name, by_severity in {
        "gaussian_noise": (0.69528, 0.82542, 0.93554, 0.98138, 0.99452),
        "snow": (0.71726, 0.88392, 0.86468, 0.91870, 0.94952),
        "elastic_transform": (0.52596, 0.70116, 0.55686, 0.64076, 0.80554),
    }.items():
        assert ALEXNET.errors[name] == pytest.approx(sum(by_severity) / 5, abs=1e-6)


def test_resnet50_has_its_published_mean_corruption_error(shared: Path) -> None:
    errors: dict[str, dict[int, float]] = {}
    with (shared / "reference" / "imagenet_c_accuracies.csv").open() as file:
        for row in csv.DictReader(file):
            if row["model"] == "Standard_R50":
                errors.setdefault(row["corruption"], {})[int(row["severity"])] = 1 - float(row["accuracy"])
    found = corruption_error(errors, 0.239, alexnet_for(errors, imagenet_at_224=True))
    assert found.relative_to == "alexnet"
    assert 100 * (found.relative or 0) == pytest.approx(76.4, abs=0.05)
