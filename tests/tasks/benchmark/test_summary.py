"""What scores come to: groups, comparisons, gates, changes, classes."""

from dataclasses import replace

import numpy as np
import pytest

from advcli import registry
from advcli.corruptions import PUBLISHED
from advcli.errors import AdvcliError, UsageError
from advcli.model.classifier import UNDEFINED
from advcli.records import Score, Verdicts
from advcli.tasks.benchmark import transfer
from advcli.tasks.benchmark.corruption_error import ALEXNET
from advcli.tasks.benchmark.corruption_records import corruption_errors
from advcli.tasks.benchmark.earlier_results import Baseline
from advcli.tasks.benchmark.gates import Least, judged, refuse_unmeasured
from advcli.tasks.benchmark.per_class import by_class, confusion_tables, confusions
from advcli.tasks.benchmark.perturbations import Kind, Perturbation, attacks_under
from advcli.tasks.benchmark.plan import CLEAN, Plan, Subject
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.scores import scores
from advcli.tasks.benchmark.significance import changes, compare_models, pairs_of
from advcli.tasks.benchmark.training_coverage import group_means, was_seen
from advcli.threat.threat import Norm, Threat

NAMES = ("cat", "dog")
LABELS = (0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
PGD, FGSM = attacks_under(
    {"pgd": registry.build("attacks", "pgd"), "fgsm": registry.build("attacks", "fgsm")}, [Threat(eps=0.1)]
)


def subject(name: str, recipe: dict | None = None) -> Subject:
    return Subject(name, NAMES, (8, 8), 3, recipe or {}, "f")


@pytest.fixture
def plan() -> Plan:
    return Plan("toys", NAMES, 0, 10, np.arange(10), (subject("a"), subject("b")), (CLEAN, PGD, FGSM))


def verdicts(model: str, perturbation: Perturbation, predicted: dict[int, int]) -> Verdicts:
    rows = tuple(predicted)
    labels = tuple(LABELS[row] for row in rows) if perturbation is CLEAN else ()
    return Verdicts(
        model=model, data="toys", seed=0, **perturbation.place, indices=rows, predicted=tuple(predicted.values()),
        labels=labels, seconds=1.0,
    )  # fmt: skip


@pytest.fixture
def results() -> Results:
    """Model a is wrong on image 0; pgd breaks 1 to 3, fgsm 3 and 4. Model b is right but for image 9, and robust."""
    known = Results(10)
    correct = dict(enumerate(LABELS))
    known.add(verdicts("a", CLEAN, correct | {0: 1}))
    known.add(verdicts("a", PGD, {row: 1 if row in (1, 2, 3) else LABELS[row] for row in range(1, 10)}))
    known.add(verdicts("a", FGSM, {row: 1 if row in (3, 4) else LABELS[row] for row in range(1, 10)}))
    known.add(verdicts("b", CLEAN, correct | {9: 0}))
    known.add(verdicts("b", PGD, {row: LABELS[row] for row in range(9)}))
    known.add(verdicts("b", FGSM, {row: LABELS[row] for row in range(9)}))
    return known


def test_scores_by_hand(plan: Plan, results: Results) -> None:
    found = {(record.model, record.perturbation): record for record in scores(plan, results)}
    correct = {key: record.correct for key, record in found.items()}
    assert correct == {
        ("a", "clean"): 9, ("b", "clean"): 9, ("a", "pgd"): 6, ("a", "fgsm"): 7, ("a", "worst"): 5, ("b", "pgd"): 9,
        ("b", "fgsm"): 9, ("b", "worst"): 9,
    }  # fmt: skip
    assert found["a", "worst"].accuracy_of_clean_correct == pytest.approx(5 / 9)
    assert found["a", "worst"].seconds == 2.0
    assert found["a", "pgd"].searched is None


def test_what_is_not_searched_counts_as_right_and_is_said(plan: Plan) -> None:
    results = Results(10)
    for model in "ab":
        results.add(verdicts(model, CLEAN, dict(enumerate(LABELS))))
    results.add(verdicts("a", PGD, {0: 1, 1: 0, 2: 0}))
    results.add(verdicts("a", FGSM, {1: 0}))
    found = {(record.model, record.perturbation): record for record in scores(plan, results)}
    assert (found["a", "pgd"].correct, found["a", "pgd"].searched) == (9, 3)
    # Image 0 is broken, image 1 was searched by both.
    assert (found["a", "worst"].correct, found["a", "worst"].searched) == (9, 2)
    assert found["b", "worst"].searched == 0


def test_comparison_by_hand(plan: Plan, results: Results) -> None:
    found = {record.perturbation: record for record in compare_models(plan, results)}
    worst = found["worst"]
    assert (worst.model, worst.against, worst.only_model, worst.only_against) == ("b", "a", 5, 1)
    assert worst.difference == pytest.approx(0.4)
    # Six images fall to one side only: at most one against five has the probability 2 * 7 / 64.
    assert worst.p_value == pytest.approx(14 / 64)
    assert found["clean"].p_value == 1.0


def test_confusion_tables_by_hand(plan: Plan, results: Results) -> None:
    clean, worst, other, robust = confusion_tables(plan, results)
    assert (clean.model, clean.place, clean.labels, clean.predicted) == (
        "a",
        CLEAN.place,
        ["cat", "dog"],
        ["cat", "dog"],
    )
    assert clean.counts == [[4, 1], [0, 5]]
    assert (worst.place["perturbation"], worst.place["norm"], worst.place["eps"]) == ("worst", "linf", 0.1)
    # pgd and fgsm fool image 3; image 0 is wrong without attack.
    assert worst.counts == [[0, 5], [0, 5]]
    assert other.counts == robust.counts == [[5, 0], [1, 4]]
    for table, correct in ((clean, 9), (worst, 5), (other, 9), (robust, 9)):
        assert table.counts[0][0] + table.counts[1][1] == correct


def test_a_confusion_is_that_of_the_first_attack_that_fools(plan: Plan, results: Results) -> None:
    three = replace(plan.subjects[0], labels=("cat", "dog", "owl"))
    results.add(verdicts("a", FGSM, {row: 2 if row in (3, 4, 7) else LABELS[row] for row in range(1, 10)}))
    _, worst = confusion_tables(replace(plan, subjects=(three,)), results)
    # The data has no owls: 3 is a dog under pgd, 4 and 7 are owls under fgsm.
    assert worst.predicted == ["cat", "dog", "(other)"]
    assert worst.counts == [[0, 4, 1], [0, 4, 1]]


def test_the_worst_case_is_that_of_the_largest_radius(plan: Plan, results: Results) -> None:
    larger = replace(PGD, threat=Threat(eps=0.2))
    results.add(verdicts("b", larger, dict.fromkeys(range(9), 1)))
    tables = list(
        confusion_tables(replace(plan, subjects=plan.subjects[1:], perturbations=(CLEAN, PGD, larger)), results)
    )
    assert [table.place["eps"] for table in tables] == [None, 0.2]
    assert tables[1].counts == [[0, 5], [1, 4]]


def test_many_classes_have_no_confusion_table() -> None:
    names = tuple(f"class {number}" for number in range(21))
    for count in (20, 21):
        known = Results(count)
        labels = tuple(range(count))
        known.add(
            Verdicts(
                model="a",
                data="toys",
                seed=0,
                **CLEAN.place,
                indices=labels,
                predicted=labels,
                labels=labels,
                seconds=1.0,
            )
        )
        plan = Plan("toys", names, 0, count, np.arange(count), (replace(subject("a"), labels=names),), (CLEAN,))
        assert len(list(confusion_tables(plan, known))) == (count == 20)


def test_classes_and_confusions_by_hand(plan: Plan, results: Results) -> None:
    classes = {(record.model, record.perturbation, record.label): record for record in by_class(plan, results)}
    assert (classes["a", "worst", "cat"].correct, classes["a", "worst", "cat"].images) == (0, 5)
    assert classes["a", "worst", "dog"].correct == 5
    found = [(r.model, r.perturbation, r.label, r.taken_for, r.images) for r in confusions(plan, results)]
    assert found == [
        ("a", "clean", "cat", "dog", 1),
        ("a", "pgd", "cat", "dog", 4),
        ("a", "fgsm", "cat", "dog", 3),
        ("b", "clean", "dog", "cat", 1),
        ("b", "pgd", "dog", "cat", 1),
        ("b", "fgsm", "dog", "cat", 1),
    ]


def test_nan_under_attack_is_neither_a_class_nor_fooled(plan: Plan, results: Results) -> None:
    before = [(r.perturbation, r.label, r.taken_for, r.images) for r in confusions(plan, results)]
    results.add(verdicts("b", PGD, {5: UNDEFINED}))
    assert [(r.perturbation, r.label, r.taken_for, r.images) for r in confusions(plan, results)] == before
    assert not results.fooled("b", CLEAN, PGD).any()
    assert np.flatnonzero(results.fooled("a", CLEAN, PGD)).tolist() == [1, 2, 3]
    results.add(verdicts("b", CLEAN, {5: UNDEFINED}))
    assert [each.images for each in confusions(plan, results) if (each.model, each.perturbation) == ("b", "clean")] == [
        1
    ]


def test_what_is_wrong_when_clean_is_wrong_under_a_transfer(results: Results) -> None:
    moved = replace(PGD, kind=Kind.TRANSFER)
    results.add(replace(verdicts("a", moved, {0: 0, 1: 1, 2: 0, 3: 0}), crafted_on="b"))
    # Image 0 is a dog to model a when clean, and a cat by chance; image 1 is fooled.
    assert results.correct("a", CLEAN, moved, "b")[:4].tolist() == [False, False, True, True]


def test_what_a_transfer_found_to_be_nan_is_known(results: Results) -> None:
    moved = replace(PGD, kind=Kind.TRANSFER)
    results.add(replace(verdicts("a", moved, {0: 1, 1: UNDEFINED}), crafted_on="b"))
    assert transfer._known(results, "a", moved, "b", np.array([0, 1]))
    assert not transfer._known(results, "a", moved, "b", np.array([1, 2]))


def test_gates(plan: Plan, results: Results) -> None:
    known = list(scores(plan, results))
    gates = [Least.read("pgd=0.7"), Least.read("clean = 90%"), Least.read("worst=0.5")]
    found = [(gate.model, gate.perturbation, gate.met) for gate in judged(gates, known)]
    assert found == [
        ("a", "pgd", False), ("b", "pgd", True), ("a", "clean", True), ("b", "clean", True), ("a", "worst", True),
        ("b", "worst", True),
    ]  # fmt: skip
    refuse_unmeasured(gates, plan.perturbations)
    with pytest.raises(UsageError, match="names 'apgd', which is not measured"):
        refuse_unmeasured([Least.read("apgd=0.1")], plan.perturbations)
    # Every version of an attack is meant by its name, one by its spec.
    assert Least.read("pgd=0.1").is_about("pgd:steps=40")
    assert Least.read("pgd:steps=40=0.1").is_about("pgd:steps=40")
    assert not Least.read("pgd:steps=40=0.1").is_about("pgd:steps=20")
    with pytest.raises(AdvcliError, match="'fgsm:step=2', which is none of the accuracies measured"):
        list(judged([Least.read("fgsm:step=2=0.5")], known))
    for text in ("pgd", "pgd=", "=0.4", "pgd=40", "pgd=much"):
        with pytest.raises(UsageError):
            Least.read(text)


def test_a_gate_is_about_a_model_that_is_called_as_an_attack(plan: Plan, results: Results) -> None:
    known = [replace(score, model={"a": "pgd"}.get(score.model, score.model)) for score in scores(plan, results)]
    known = [replace(score, perturbation=score.perturbation.replace("pgd", "pgd:steps=2")) for score in known]
    for text, models in {
        "pgd:steps=2=0.7": ["pgd", "b"], "pgd=0.7": ["pgd", "b"], "pgd:pgd:steps=2=0.7": ["pgd"], "b:pgd=0.7": ["b"],
    }.items():  # fmt: skip
        assert [gate.model for gate in judged([Least.read(text)], known)] == models, text


def test_a_tolerance_that_compares_nothing_is_refused(plan: Plan, results: Results) -> None:
    now = list(scores(plan, results))
    before = Baseline(tuple(replace(score, eps=0.3) for score in now if score.model == "b" and score.eps))
    with pytest.raises(AdvcliError, match="none of these 8 accuracies"):
        list(changes(now, before, tolerated=0.02))


def test_the_share_of_those_correct_when_clean_counts_no_others(plan: Plan, results: Results) -> None:
    """A corruption may mend an image that is wrong without it."""
    fog = Perturbation("fog", Kind.CORRUPTION, registry.build("corruptions", "fog"), severity=3)
    results.add(verdicts("a", fog, dict(enumerate(LABELS))))
    results.add(verdicts("b", fog, {row: 1 - LABELS[row] if row < 4 else LABELS[row] for row in range(10)}))
    measured = scores(replace(plan, perturbations=(CLEAN, fog)), results)
    found = {score.model: score for score in measured if score.severity}
    assert (found["a"].correct, found["a"].accuracy_of_clean_correct) == (10, 1.0)
    assert (found["b"].correct, found["b"].accuracy_of_clean_correct) == (6, pytest.approx(5 / 9))


def test_changes_since_a_baseline(plan: Plan, results: Results) -> None:
    now = list(scores(plan, results))
    before = [replace(score, correct=10 * score.correct, images=100) for score in now if score.model == "a"]
    assert all(not change.regression and change.difference == 0 for change in changes(now, Baseline(tuple(before))))
    better = [replace(score, correct=100, images=100, accuracy=1.0) for score in before]
    found = {change.perturbation: change for change in changes(now, Baseline(tuple(better)))}
    # Ten images say that 5 of 10 is worse than 100 of 100, but not that 9 of 10 is.
    assert found["worst"].regression
    assert not found["clean"].regression or found["clean"].p_value < 0.05
    assert found["worst"].before == 1.0
    assert isinstance(found["worst"].to_json(), str)


def test_what_the_baseline_says_nothing_of_is_said(
    plan: Plan, results: Results, caplog: pytest.LogCaptureFixture
) -> None:
    now = list(scores(plan, results))
    before = [
        replace(score, protocol="correct under every one of: fgsm") for score in now if score.perturbation == "worst"
    ]
    # The worst case of other attacks is not the same question.
    assert list(changes(now, Baseline(tuple(before)))) == []
    assert "the baseline lacks 8 of 8 accuracies: a under clean, " in caplog.text


def test_the_same_images_are_compared_one_by_one(plan: Plan, results: Results) -> None:
    now = {score.perturbation: score for score in scores(plan, results) if score.model == "a"}
    # Before, pgd broke image 9 alone, which it does not break now.
    earlier = Results(10)
    earlier.add(verdicts("a", CLEAN, dict(enumerate(LABELS))))
    earlier.add(verdicts("a", PGD, {row: 0 if row == 9 else LABELS[row] for row in range(10)}))
    before = replace(now["pgd"], correct=9, accuracy=0.9)
    baseline = Baseline((before,), "hash", earlier)
    (change,) = changes([now["pgd"]], baseline, pairs_of(plan, results, baseline, "hash"), 0.3)
    # Images 0 to 3 are correct before only, image 9 now only.
    assert change.paired
    assert change.p_value == pytest.approx(12 / 32)
    assert change.difference == pytest.approx(-0.3)
    assert change.met is True
    (stricter,) = changes([now["pgd"]], baseline, pairs_of(plan, results, baseline, "hash"), 0.29)
    assert stricter.met is False
    # Other images, or a file without predictions: only the counts are compared.
    assert pairs_of(plan, results, baseline, "other") is None
    assert pairs_of(plan, results, Baseline((before,)), "hash") is None
    (alone,) = changes([now["pgd"]], baseline)
    assert (alone.paired, alone.met) == (False, None)
    damaged = replace(before, correct=8, accuracy=0.8)
    (change,) = changes([now["pgd"]], Baseline((damaged,), "hash", earlier), pairs_of(plan, results, baseline, "hash"))
    assert not change.paired


def test_gates_of_a_lower_bound_and_of_one_model(plan: Plan, results: Results) -> None:
    known = list(scores(plan, results))
    (a, b) = judged([Least.read("clean=0.55@lower95")], known)
    # 9 of 10: Clopper-Pearson's lower end is 0.555.
    assert (a.statistic, a.accuracy, a.met) == ("lower95", pytest.approx(0.5549839), True)
    assert not next(judged([Least.read("clean=0.56@lower95")], known)).met
    assert b.model == "b"
    gates = [Least.read("b:pgd=0.9")]
    assert [(gate.model, gate.met) for gate in judged(gates, known)] == [("b", True)]
    refuse_unmeasured(gates, plan.perturbations, models=("a", "b"))
    with pytest.raises(UsageError, match="names 'c:pgd', which is not measured"):
        refuse_unmeasured([Least.read("c:pgd=0.9")], plan.perturbations, models=("a", "b"))
    with pytest.raises(UsageError, match="no statistic 'lower'"):
        Least.read("pgd=0.4@lower")


def made(
    model: str,
    perturbation: str,
    accuracy: float,
    severity: int | None = None,
    seen: bool | None = None,
    eps: float | None = None,
    norm: str = "linf",
) -> Score:
    return Score(
        model=model, data="toys", seed=0, perturbation=perturbation, norm=norm if eps else None, eps=eps,
        severity=severity, protocol="", images=100, correct=round(100 * accuracy), accuracy=accuracy, low=0, high=1,
        accuracy_of_clean_correct=1.0, seen=seen, seconds=0,
    )  # fmt: skip


def test_groups_count_a_corruption_once() -> None:
    known = [made("a", "fog", 0.1 * severity, severity, seen=False) for severity in (1, 3, 5)]
    known += [made("a", "frost", 0.6, severity, seen=False) for severity in (1, 3)]
    known += [made("a", "gaussian", 0.9, seen=True), made("a", "clean", 1.0)]
    seen, unseen = sorted(group_means(known), key=lambda group: group.group)
    # Severity 5 of fog has nothing to compare with: fog is 0.2 on the severities of both.
    assert unseen.accuracy == pytest.approx(0.4)
    assert (unseen.perturbations, unseen.severities, unseen.kind) == (("fog", "frost"), (1, 3), "corruption")
    assert (seen.accuracy, seen.kind) == (pytest.approx(0.9), "noise")


def test_groups_average_one_radius_of_one_norm() -> None:
    known = [
        made("a", "pgd", 0.9, seen=True, eps=0.05), made("a", "pgd", 0.6, seen=True, eps=0.1),
        made("a", "./mine.py", 0.4, seen=True, eps=0.1), made("a", "pgd", 0.1, seen=False, eps=0.3),
        made("a", "square", 0.95, seen=False, eps=0.05), made("a", "square", 0.8, seen=False, eps=0.1),
        made("a", "pgd", 0.3, seen=False, eps=0.1, norm="l2"), made("a", "spatial", 0.2, seen=False),
        made("a", "gaussian", 0.7, seen=False), made("a", "fog", 0.55, 3, seen=False),
        made("b", "pgd", 0.0, seen=True, eps=0.1),
    ]  # fmt: skip
    found = {
        (group.model, group.group, group.kind, group.norm, group.eps): (group.accuracy, group.perturbations)
        for group in group_means(known)
    }
    assert found == {
        ("a", "seen", "attack", "linf", 0.05): (0.9, ("pgd",)),
        ("a", "unseen", "attack", "linf", 0.05): (0.95, ("square",)),
        ("a", "seen", "attack", "linf", 0.1): (0.5, ("pgd", "./mine.py")),
        ("a", "unseen", "attack", "linf", 0.1): (0.8, ("square",)),
        ("a", "unseen", "attack", "linf", 0.3): (0.1, ("pgd",)),
        ("a", "unseen", "attack", "l2", 0.1): (0.3, ("pgd",)),
        ("a", "unseen", "attack", None, None): (0.2, ("spatial",)),
        ("a", "unseen", "noise", None, None): (0.7, ("gaussian",)),
        ("a", "unseen", "corruption", None, None): (0.55, ("fog",)),
        ("b", "seen", "attack", "linf", 0.1): (0.0, ("pgd",)),
    }


@pytest.mark.parametrize(
    ("spec", "threat", "seen"),
    [
        ("pgd", Threat(eps=0.1), True),
        ("autoattack", Threat(eps=0.05), True),
        ("pgd", Threat(eps=0.2), False),
        ("pgd", Threat(Norm.L2, 0.1), False),
        ("square", Threat(eps=0.1), False),
        ("spatial", Threat(eps=0.1), False),
        ("pgd", Threat(eps=0.0), None),
    ],
)
def test_attacks_a_model_was_trained_with(spec: str, threat: Threat, seen: bool | None) -> None:
    recipe = {"objective": "trades:beta=3", "norm": "linf", "eps": 0.1, "augment": ["flip"]}
    (attack,) = attacks_under({spec: registry.build("attacks", spec)}, [threat])
    assert was_seen(recipe, attack) is seen
    assert was_seen({}, attack) is None
    if seen is not None:
        assert was_seen(recipe | {"objective": "clean"}, attack) is False


def test_corruptions_a_model_was_trained_with() -> None:
    recipe = {"objective": "nsl", "norm": "linf", "eps": 0.1, "augment": ["flip", "jitter:strength=0.2", "salt-pepper"]}
    seen = {
        name: was_seen(recipe, Perturbation(name, Kind.CORRUPTION, registry.build("corruptions", name), severity=3))
        for name in ("gaussian_noise", "impulse_noise", "fog", "contrast")
    }
    assert seen == {"gaussian_noise": False, "impulse_noise": True, "fog": False, "contrast": True}


def test_corruption_errors_are_relative_to_the_first_model(plan: Plan) -> None:
    known = [made(model, "clean", 0.9) for model in "ab"]
    known += [made("a", "fog", 0.5, severity) for severity in (1, 2)] + [
        made("a", "snow", 0.7, 1),
        made("a", "snow", 0.7, 2),
    ]
    known += [made("b", "fog", 0.75, severity) for severity in (1, 2)] + [
        made("b", "snow", 0.1, 1),
        made("b", "snow", 0.1, 2),
    ]
    first, second = corruption_errors(plan, known, None)
    assert (first.relative_to, first.relative) == ("a", pytest.approx(1.0))
    assert second.mean == pytest.approx((0.25 + 0.9) / 2)
    assert second.relative == pytest.approx((0.25 / 0.5 + 0.9 / 0.3) / 2)
    assert second.relative_to_clean == pytest.approx((0.15 / 0.4 + 0.8 / 0.2) / 2)
    other, _ = corruption_errors(plan, known, "b")
    assert other.relative == pytest.approx((0.5 / 0.25 + 0.3 / 0.9) / 2)
    assert list(corruption_errors(plan, [score for score in known if score.severity is None], None)) == []


def test_alexnet_is_the_measure_of_imagenet_at_224_only() -> None:
    classes = tuple(map(str, range(1000)))
    large = Subject("a", classes, (224, 224), 3, {}, "f")
    plan = Plan("imagenet", classes, 0, 10, np.arange(10), (large,), (CLEAN,))
    known = [made("a", "clean", 0.9)]
    known += [made("a", name, 1 - ALEXNET.errors[name] / 2, severity) for name in PUBLISHED for severity in range(1, 6)]
    alone, relative = corruption_errors(plan, known, None)
    assert (alone.relative_to, alone.relative) == (None, None)
    assert relative.relative_to == "alexnet"
    # Half of its error under every corruption.
    assert relative.relative == pytest.approx(0.5)
    for changed in (
        replace(plan, subjects=(replace(large, image_size=(64, 64)),)),
        replace(plan, classes=classes[:10]),
    ):
        assert [record.relative_to for record in corruption_errors(changed, known, None)] == [None]


def test_any_norm_counts_an_image_that_any_norm_breaks(plan: Plan, results: Results) -> None:
    (l2,) = attacks_under({"pgd": registry.build("attacks", "pgd")}, [Threat(Norm.L2, 0.5)])
    # Image 3 is fooled in linf as well; image 6 only in l2.
    results.add(verdicts("a", l2, {row: 1 - LABELS[row] if row in (3, 6) else LABELS[row] for row in range(1, 10)}))
    results.add(verdicts("b", l2, {row: LABELS[row] for row in range(9)}))
    both = replace(plan, perturbations=(CLEAN, PGD, FGSM, l2))
    found = {(score.model, score.perturbation, score.norm): score for score in scores(both, results)}
    assert found["a", "worst", "linf"].correct == 5
    assert found["a", "pgd", "l2"].correct == 7
    assert found["a", "any", None].correct == 4
    assert found["b", "any", None].correct == 9
    assert found["a", "any", None].protocol.endswith("pgd, Linf 0.1, fgsm, Linf 0.1, pgd, L2 0.5")
    assert [score.perturbation for score in scores(both, results) if score.model == "a"][-1] == "any"
    gates = [Least.read("any=0.5")]
    refuse_unmeasured(gates, both.perturbations)
    assert [(each.model, each.met) for each in judged(gates, list(found.values()))] == [("a", False), ("b", True)]
    with pytest.raises(UsageError, match="not measured"):
        refuse_unmeasured(gates, plan.perturbations)


def test_several_radii_of_a_norm_have_no_common_row(plan: Plan) -> None:
    pgd = {"pgd": registry.build("attacks", "pgd")}
    balls = [Threat(eps=0.1), Threat(eps=0.2), Threat(Norm.L2, 0.5)]
    assert replace(plan, perturbations=(CLEAN, *attacks_under(pgd, balls))).any_norm is None
    assert plan.any_norm is None
