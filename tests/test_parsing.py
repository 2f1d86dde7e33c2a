"""Options that stand for several values."""

import pytest

from advcli.errors import UsageError
from advcli.parsing import read_duration, read_radius, read_severities
from advcli.search.threat_defaults import read_threats, read_training_radii
from advcli.threat.spelling import typed_radius
from advcli.threat.threat import Norm, Threat

TRAINED = {"norm": "l2", "eps": 0.75}


def test_radii() -> None:
    assert read_threats([], None, ["0,2/255"]) == (Threat(eps=0.0), Threat(eps=2 / 255))
    assert read_threats([TRAINED], None, None) == (Threat(Norm.L2, 0.75),)
    assert read_threats([TRAINED], None, ["0.1,0.2"]) == (Threat(Norm.L2, 0.1), Threat(Norm.L2, 0.2))
    assert read_threats([TRAINED], [Norm.LINF, Norm.L2], None) == (Threat(eps=8 / 255), Threat(Norm.L2, 0.75))
    assert read_threats([], [Norm.LINF, Norm.L2], ["0.1"]) == (Threat(eps=0.1), Threat(Norm.L2, 0.1))
    assert read_threats([], None, ["0.03,0.03"]) == (Threat(eps=0.03),)
    both = read_threats([], None, ["linf=4/255", "l2=0.5,1"])
    assert both == (Threat(eps=4 / 255), Threat(Norm.L2, 0.5), Threat(Norm.L2, 1.0))


@pytest.mark.parametrize("radii", [["l7=0.1"], [""], ["0.1,much"], ["-1"], ["8"], ["linf="]])
def test_wrong_radii(radii: list[str]) -> None:
    with pytest.raises(UsageError):
        read_threats([], None, radii)


def test_a_radius_of_a_norm_that_is_left_out() -> None:
    with pytest.raises(UsageError, match="which --norm leaves out"):
        read_threats([], [Norm.LINF], ["l2=0.5"])


@pytest.mark.parametrize(
    ("norms", "radii"), [(None, ["0.1", "l2=0.5"]), (None, ["l2=0.5", "0.1,0.2"]), ([Norm.L2], ["0.1", "l2=0.5"])]
)
def test_a_radius_for_which_no_norm_is_left_is_refused(norms: list[Norm] | None, radii: list[str]) -> None:
    with pytest.raises(UsageError, match=r"--eps 0\.1 names no norm beside --eps l2=0\.5") as caught:
        read_threats([], norms, radii)
    assert "--eps linf=0.1" in caught.value.hint
    with pytest.raises(UsageError, match=r"--eps 0\.1 names no norm"):
        read_training_radii(norms, radii)


def test_a_radius_of_one_norm_beside_that_of_all_others() -> None:
    both = read_threats([], [Norm.LINF, Norm.L2], ["0.1", "l2=0.5"])
    assert both == (Threat(eps=0.1), Threat(Norm.L2, 0.5))


def test_severities() -> None:
    assert read_severities("1-5") == (1, 2, 3, 4, 5)
    assert read_severities("5, 1,2-3") == (1, 2, 3, 5)
    for text in ("", "0", "6", "5-1", "1-", "x", "1;2"):
        with pytest.raises(UsageError):
            read_severities(text)


def test_durations() -> None:
    assert [read_duration(text) for text in ("90", "90s", "10m", "1h30m", "0.5h")] == [90, 90, 600, 5400, 1800]
    for text in ("", "0", "m", "10 minutes", "-5", "10x", "1h 30"):
        with pytest.raises(UsageError):
            read_duration(text)


@pytest.mark.parametrize("eps", [0.1, 0.2, 8 / 255, 4 / 255, 1 / 255, 0.5, 12.0, 1 / 3, 0.031372])
def test_a_radius_is_typed_so_that_it_is_read_as_the_same_number(eps: float) -> None:
    text = typed_radius(eps)
    assert read_radius(text) == eps
    assert len(text) <= 8 or eps == 1 / 3


def test_radii_are_typed_as_people_type_them() -> None:
    assert [typed_radius(eps) for eps in (0.1, 8 / 255, 12.0)] == ["0.1", "8/255", "12"]
