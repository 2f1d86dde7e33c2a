"""Changes since a baseline, by hand."""

from dataclasses import replace

import pytest

from advcli.records import Score
from advcli.tasks.benchmark.earlier_results import Baseline
from advcli.tasks.benchmark.significance import changes


def score(correct: int, images: int = 10, perturbation: str = "pgd", model: str = "m", protocol: str = "") -> Score:
    return Score(
        model=model, data="d", seed=0, perturbation=perturbation, norm=None, eps=None, severity=None, protocol=protocol,
        images=images, correct=correct, accuracy=correct / images, low=0, high=1, accuracy_of_clean_correct=1.0,
        seen=None, seconds=0,
    )  # fmt: skip


def test_a_change_is_what_is_now_less_what_was() -> None:
    (fall,) = changes([score(1)], Baseline((score(9),)))
    assert (fall.before, fall.after, fall.difference) == pytest.approx((0.9, 0.1, -0.8))
    # Fisher: of the C(20, 10) ways to share ten right answers, 1 + 10 * 10 are as uneven on either side.
    assert fall.p_value == pytest.approx(2 * 101 / 184_756)
    assert fall.regression
    (rise,) = changes([score(9)], Baseline((score(1),)))
    assert (rise.before, rise.after, rise.difference) == pytest.approx((0.1, 0.9, 0.8))
    assert not rise.regression


def test_a_fall_that_chance_explains_is_no_regression() -> None:
    # Five of ten after nine: 2 (C(10, 5) C(10, 9) + C(10, 4) C(10, 10)) of C(20, 14).
    (change,) = changes([score(5)], Baseline((score(9),)))
    assert change.p_value == pytest.approx(2 * (252 * 10 + 210) / 38_760)
    assert not change.regression
    # More images tell: the sizes of the two samples may differ.
    (change,) = changes([score(50, 100)], Baseline((score(9),)))
    assert change.p_value < 0.05
    assert change.regression
    (same,) = changes([score(50, 100)], Baseline((score(5),)))
    assert (same.difference, same.p_value, same.regression) == (0, 1, False)


@pytest.mark.parametrize(("count", "end"), [(4, "m under 3"), (5, "m under 4"), (6, "m under 4, ..."), (9, "4, ...")])
def test_no_more_than_five_are_named(count: int, end: str, caplog: pytest.LogCaptureFixture) -> None:
    now = [score(5, perturbation=str(i)) for i in range(count)]
    before = [score(5, perturbation="other"), score(5, model="n", perturbation="0")]
    assert list(changes(now, Baseline(tuple(before)))) == []
    assert caplog.messages[0].endswith(end)
    assert f"{count} of {count}" in caplog.messages[0]
    assert "m under 0, m under 1" in caplog.messages[0]


def test_other_images_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    now = [score(5), score(5, perturbation="fgsm")]
    before = [replace(each, data="e", images=20, correct=10) for each in now]
    assert len(list(changes(now, Baseline(tuple(before)), tolerated=0.1))) == 2
    (message,) = caplog.messages
    assert message == "the baseline was measured on other images: 20 of 'e' before, 10 of 'd' now"
    # Of each image it is known whether it was correct before: they are the same images.
    caplog.clear()
    assert list(changes(now, Baseline(tuple(before)), pairs=lambda now, before: 0.5))
    assert not caplog.messages


def test_nothing_is_said_without_a_baseline_or_without_a_gap(caplog: pytest.LogCaptureFixture) -> None:
    assert list(changes([score(5)], Baseline(()))) == []
    assert len(list(changes([score(5)], Baseline((score(5),))))) == 1
    assert list(changes([score(5, protocol="one")], Baseline((score(5, protocol="another"),)))) == []
    assert len(caplog.messages) == 1


def test_the_only_model_is_compared_with_the_only_one_before_whatever_they_are_called() -> None:
    (change,) = changes([score(9, model="run")], Baseline((score(1, model="mine"),)))
    assert (change.model, change.before_model, change.difference) == ("run", "mine", pytest.approx(0.8))
    # Of several models, which one was trained further is not known.
    assert list(changes([score(9, model="run"), score(9, model="other")], Baseline((score(1, model="mine"),)))) == []
    assert (
        list(
            changes(
                [score(9, model="run")],
                Baseline(
                    (
                        score(1, model="mine"),
                        score(1, model="other"),
                    )
                ),
            )
        )
        == []
    )
    # One of several that keeps its name is compared with itself.
    (same,) = changes(
        [score(9, model="m")],
        Baseline(
            (
                score(1, model="mine"),
                score(2, model="m"),
            )
        ),
    )
    assert (same.before_model, same.before) == ("m", 0.2)
