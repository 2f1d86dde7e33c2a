"""Requests from keyword arguments: texts as on the command line, and values of other types refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from advcli.errors import UsageError
from advcli.keywords import request_from, separated
from advcli.tasks.benchmark.request import Request as Benchmark
from advcli.tasks.train.request import Execution, Request
from advcli.threat.threat import Norm


@pytest.mark.parametrize(
    ("option", "given", "expected"),
    [
        ("epochs", "3", 3),
        ("epochs", np.int64(3), 3),
        ("validation", "0.3", 0.3),
        ("validation", np.float32(0.25), 0.25),
        ("learning_rate", 1, 1),
        ("data", Path("photos"), "photos"),
        ("labels", "names.txt", Path("names.txt")),
        ("classes", ["a", 2], ("a", "2")),
        ("modifier", "awp", ("awp",)),
        ("norm", "l2", Norm.L2),
        ("norm", ["l2", Norm.LINF], (Norm.L2, Norm.LINF)),
        ("batch", None, 32),
        ("limit", None, None),
    ],
)
def test_values_are_read(option: str, given: object, expected: object) -> None:
    value = getattr(request_from(_Unchecked, {option: given}), option)
    assert value == expected and type(value) is type(expected)


class _Unchecked(Request):
    """The fields of a request without its checks."""

    def __post_init__(self) -> None:
        pass


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (Request, {"epochs": 2.5}, "epochs is 2.5, not a whole number"),
        (Request, {"epochs": True}, "epochs is True, not a whole number"),
        (Request, {"seed": "x"}, "seed is not a whole number: 'x'"),
        (Request, {"learning_rate": "fast"}, "learning_rate is not a number: 'fast'"),
        (Request, {"validation": float("nan")}, "validation is nan, not a number"),
        (Request, {"twin": "yes"}, "twin is 'yes', not True or False"),
        (Request, {"labels": ["a", "b"]}, "labels is of type tuple, not a path"),
        (Request, {"model": object()}, "model is of type object, not a text"),
        (Request, {"data": ["a", "b"]}, "data is of type tuple, not a text"),
        (Request, {"sampler": "even"}, "sampler is 'even', not one of shuffle, balanced"),
        (Request, {"norm": "l3"}, "l3"),
        (Request, {"rate": 0.1}, "there is no option 'rate'"),
        (Execution, {"out": 3}, "out is 3, not a path"),
        (Benchmark, {"severities": [1, "a"]}, "severit"),
    ],
)
def test_values_of_another_type_are_refused(kind: Any, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        request_from(kind, options)
    assert message in caught.value.message


def test_one_value_stands_for_a_list_of_one() -> None:
    found = request_from(Benchmark, {"models": ("small",), "data": "digits", "severities": 3, "corruptions": "fog"})
    assert (found.severities, found.corruptions) == ((3,), ("fog",))


def test_numbers_of_numpy_can_be_written_as_json() -> None:
    several = request_from(Benchmark, {"models": ("small",), "severities": [np.int64(2), np.int32(3)]})
    assert [type(each) for each in several.severities] == [int, int]
    single = request_from(Request, {"epochs": np.int64(3), "validation": np.float32(0.25)})
    assert (type(single.epochs), type(single.validation)) == (int, float)


def test_options_are_separated() -> None:
    assert separated(Execution, {"out": "a", "epochs": 3}) == ({"out": "a"}, {"epochs": 3})
