"""Requirements: what the file may hold, what it makes the evaluation measure, and how rarely a wrong model passes."""

import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom

from advcli.errors import UsageError
from advcli.records import Record, Requirement
from advcli.tasks.benchmark.frameworks import SUPPORTED, EvidenceKind
from advcli.tasks.benchmark.intervals import wilson
from advcli.tasks.benchmark.read_results import read_protocol
from advcli.tasks.benchmark.request import Execution, Shard
from advcli.tasks.benchmark.requirements import lower95, note_small_sample
from advcli.tasks.benchmark.requirements_file import parse_requirements
from advcli.tasks.benchmark.run import evaluate
from evaluations import records, request, untimed

BOUNDS = (0.01, 0.05, 0.2, 0.37, 0.5, 0.66, 0.8, 0.82, 0.9, 0.95, 0.99, 0.999)
SIZES = (1, 2, 5, 10, 17, 50, 100, 300, 1000, 5000)


def least_passing(images: int, bound: float) -> int:
    """Return the fewest correct images with which lower95 >= bound; one more than all where that is impossible."""
    low, high = 0, images + 1
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if lower95(middle, images) >= bound else (middle + 1, high)
    return low


@pytest.mark.parametrize("images", SIZES)
def test_a_model_at_the_bound_passes_with_probability_two_and_a_half_percent_at_most(images: int) -> None:
    for bound in BOUNDS:
        fewest = least_passing(images, bound)
        assert binom.sf(fewest - 1, images, bound) <= 0.025
        # It is the best such bound: one image fewer would break the promise.
        assert binom.sf(fewest - 2, images, bound) > 0.025


def test_wilsons_lower_end_would_break_the_promise() -> None:
    fewest = min(correct for correct in range(11) if wilson(correct, 10)[0] >= 0.05)
    assert binom.sf(fewest - 1, 10, 0.05) > 0.08


@pytest.mark.parametrize(("images", "bound"), [(50, 0.9), (300, 0.37), (1000, 0.8)])
def test_two_thousand_models_at_the_bound_pass_rarely(images: int, bound: float) -> None:
    counts = np.random.default_rng(7).binomial(images, bound, 2000)
    passes = int((counts >= least_passing(images, bound)).sum())
    # Of 2,000 at 2.5% at most, more than 69 are less likely than 1 in 1,000.
    assert 0 < passes <= 69


LEAST = 'id = "R1"\nperturbation = "clean"\nstatistic = "accuracy >= 0.5"\n'
ATTACK = 'id = "R1"\nperturbation = "fgsm"\nnorm = "linf"\neps = "8/255"\nstatistic = "lower95 >= 40%"\n'
FOG = 'id = "R1"\nperturbation = "fog"\nseverity = 3\nstatistic = "accuracy>=0.5"\n'


def table(text: str) -> str:
    return f"[[requirement]]\n{text}"


def test_every_kind_of_perturbation_is_read() -> None:
    specs = [
        LEAST,
        ATTACK,
        FOG,
        'id = "R1"\nperturbation = "Gaussian-Noise"\nseverity = 1\nstatistic = "accuracy >= 0.5"',
        'id = "R1"\nperturbation = "defocus_blur+fog"\nseverity = 5\nstatistic = "accuracy >= 1"',
        'id = "R1"\nperturbation = "gaussian:std=0.2"\nstatistic = "accuracy >= 0.5"',
        'id = "R1"\nperturbation = "square:queries=10"\nnorm = "l2"\neps = 0.5\nstatistic = "accuracy >= 0.5"',
        'id = "R1"\nperturbation = "worst"\nnorm = "linf"\neps = 0.1\nstatistic = "accuracy >= 0.5"',
    ]
    text = "".join(table(spec).replace("R1", f"R{number}") + "\n" for number, spec in enumerate(specs))
    found = parse_requirements(text, "r.toml").requirements
    assert [each.place for each in found] == [
        {"perturbation": "clean", "norm": None, "eps": None, "severity": None},
        {"perturbation": "fgsm", "norm": "linf", "eps": 8 / 255, "severity": None},
        {"perturbation": "fog", "norm": None, "eps": None, "severity": 3},
        {"perturbation": "gaussian_noise", "norm": None, "eps": None, "severity": 1},
        {"perturbation": "defocus_blur+fog", "norm": None, "eps": None, "severity": 5},
        {"perturbation": "gaussian:std=0.2", "norm": None, "eps": None, "severity": None},
        {"perturbation": "square:queries=10", "norm": "l2", "eps": 0.5, "severity": None},
        {"perturbation": "worst", "norm": "linf", "eps": 0.1, "severity": None},
    ]
    assert (found[1].statistic, found[1].bound) == ("lower95", 0.4)
    terms = [{support.term for support in each.supports} for each in found]
    assert "Art. 15(3)" in terms[0]
    assert {"AML.T0043.000", "NISTAML.022"} <= terms[1]
    assert terms[2] == terms[5] == {"clause 5", "Art. 15(4)"}
    assert {"AML.T0043.001", "NISTAML.025"} <= terms[6]
    assert "AML.T0043.000" not in terms[6] | terms[7]
    transferred = parse_requirements(table(ATTACK), "r.toml", transferred=True).requirements[0]
    assert "AML.T0043.002" in {support.term for support in transferred.supports}


@pytest.mark.parametrize("kind", EvidenceKind)
def test_every_term_says_what_it_does_not_show_and_none_claims_compliance(kind: EvidenceKind) -> None:
    for support in SUPPORTED[kind]:
        assert support.not_shown.startswith("It ")
        assert support.not_shown.endswith(".")
        assert "compl" not in f"{support.name} {support.not_shown}".lower()
    assert len({support.term for support in SUPPORTED[kind]}) == len(SUPPORTED[kind])


MALFORMED = {
    "no TOML": ("[[requirement]\n", "is not TOML"),
    "nothing": ("", "holds no requirements"),
    "a table that is none": ('requirement = "R1"', "holds no requirements"),
    "a single table": (f"[requirement]\n{LEAST}", "holds no requirements"),
    "a list of numbers": ("requirement = [1]", "holds no requirements"),
    "a key at the top": (f"seed = 3\n{table(LEAST)}", "has 'seed' beside"),
    "no id": (table(LEAST.replace('id = "R1"', "")), "requirement 1, field 'id' is missing"),
    "an empty id": (table(LEAST.replace('"R1"', '" "')), "field 'id' is not a text"),
    "an id that no terminal shows": (table(LEAST.replace('"R1"', '"a\\u001b"')), "field 'id' has a character"),
    "the same id twice": (table(LEAST) + table(FOG), "requirement 'R1', field 'id' is that of an earlier"),
    "no statistic": (table('id = "R1"\nperturbation = "clean"'), "field 'statistic' is missing"),
    "no perturbation": (table('id = "R1"\nstatistic = "accuracy >= 0.5"'), "field 'perturbation' is missing"),
    "an unknown field": (table(LEAST + "norms = 3"), "requirement 'R1', field 'norms' is unknown"),
    "an unknown perturbation": (table(FOG.replace('"fog"', '"fogg"')), "field 'perturbation' is unknown: 'fogg'"),
    "an unknown option": (table(ATTACK.replace("fgsm", "fgsm:stepz=3")), "field 'perturbation' is invalid"),
    "an augmentation": (table(LEAST.replace("clean", "crop")), "field 'perturbation' is invalid"),
    "two corruptions": (table(FOG.replace("fog", "fog,snow")), "field 'perturbation' is unknown"),
    "a group": (table(FOG.replace("fog", "weather")), "field 'perturbation' is unknown"),
    "another statistic": (table(LEAST.replace("accuracy >=", "mean >=")), "field 'statistic' is not understood"),
    "less than": (table(LEAST.replace(">=", "<=")), "field 'statistic' is not understood"),
    "no bound": (table(LEAST.replace("0.5", "x")), "field 'statistic' has no number"),
    "not a number": (table(LEAST.replace("0.5", "nan")), "field 'statistic' has no number"),
    "a bound above one": (table(LEAST.replace("0.5", "80")), "field 'statistic' has no bound above 0"),
    "a bound of nothing": (table(LEAST.replace("0.5", "0")), "field 'statistic' has no bound above 0"),
    "certainty": (table(LEAST.replace("accuracy >= 0.5", "lower95 >= 1")), "field 'statistic' cannot be met"),
    "no eps": (table(ATTACK.replace('eps = "8/255"', "")), "field 'eps' is missing"),
    "no norm": (table(ATTACK.replace('norm = "linf"', "")), "field 'norm' is missing"),
    "another norm": (table(ATTACK.replace("linf", "l7")), "field 'norm' is unknown"),
    "a norm that is not searched": (table(ATTACK.replace("fgsm", "deepfool").replace("linf", "l1")), "field 'norm'"),
    "eps of the whole range": (table(ATTACK.replace('"8/255"', "8")), "field 'eps' is invalid"),
    "no radius": (table(ATTACK.replace('"8/255"', "0")), "field 'eps' is invalid"),
    "infinite eps": (table(ATTACK.replace('"8/255"', "inf")), "field 'eps' is invalid"),
    "undefined eps": (table(ATTACK.replace('"8/255"', "nan")), "field 'eps' is invalid"),
    "eps true": (table(ATTACK.replace('"8/255"', "true")), "field 'eps' is invalid"),
    "huge eps": (table(ATTACK.replace('"8/255"', "9" * 400)), "field 'eps' is too large"),
    "eps without a ball": (table(LEAST + "eps = 0.1"), "field 'eps' has no effect"),
    "severity of an attack": (table(ATTACK + "severity = 3"), "field 'severity' has no effect"),
    "no severity": (table(FOG.replace("severity = 3", "")), "field 'severity' is missing"),
    "severity 6": (table(FOG.replace("= 3", "= 6")), "field 'severity' is not a whole number from 1 to 5"),
    "severity true": (table(FOG.replace("= 3", "= true")), "field 'severity' is not a whole number"),
    "a negative seed": (table(LEAST + "seed = -1"), "field 'seed' is not a whole number"),
    "two seeds": (table(LEAST + "seed = 1\n") + table(FOG.replace("R1", "R2") + "seed = 2"), "'R2', field 'seed'"),
    "two data": (table(LEAST + 'data = "a"\n') + table(FOG.replace("R1", "R2") + 'data = "b"'), "'R2', field 'data'"),
    "a term that does not exist": (table(LEAST + 'maps = ["AML.T9999"]'), "field 'maps' names 'AML.T9999'"),
    "a term of another kind": (table(FOG + 'maps = ["AML.T0043"]'), "field 'maps' names 'AML.T0043', which natural"),
    "terms that are none": (table(LEAST + "maps = 3"), "field 'maps' is not a list"),
    "a text that is none": (table(LEAST + "text = 3"), "field 'text' is not a text"),
}  # fmt: skip


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_file_is_refused_with_its_requirement_and_field(name: str) -> None:
    text, expected = MALFORMED[name]
    with pytest.raises(UsageError) as error:
        parse_requirements(text, "r.toml")
    assert "'r.toml'" in error.value.message
    assert expected in error.value.message


def test_a_sample_that_is_too_small_is_noted() -> None:
    file = parse_requirements(table(LEAST.replace("accuracy >= 0.5", "lower95 >= 0.8")), "r.toml")
    (note,) = note_small_sample(file, 10)
    assert "needs 17 or more" in note
    assert lower95(17, 17) >= 0.8 > lower95(16, 16)
    assert not note_small_sample(file, 17)


QUICK = table('id = "clean"\nperturbation = "clean"\nstatistic = "accuracy >= 0.8"\n') + table(
    'id = "noise"\nperturbation = "gaussian_noise"\nseverity = 2\nstatistic = "lower95 >= 0.99"\n'
)
L2 = table('id = "l2"\nperturbation = "pgd:steps=3"\nnorm = "l2"\neps = 0.3\nstatistic = "accuracy >= 0.01"\n')
PLAN = (
    QUICK
    + table('id = "fgsm"\nperturbation = "fgsm"\nnorm = "linf"\neps = 0.05\nstatistic = "lower95 >= 0.05"\n')
    + L2
    + table('id = "worst"\nperturbation = "worst"\nnorm = "linf"\neps = 0.05\nstatistic = "accuracy >= 0.01"\n')
)


def planned(folder: Path, tmp_path: Path, text: str = PLAN, **changes: Any) -> Any:
    (tmp_path / "r.toml").write_text(text)
    return request(folder, requirements=tmp_path / "r.toml", **changes).with_requirements()


def test_the_file_adds_what_it_is_about_once(evaluated: Path, tmp_path: Path) -> None:
    without = [each.place for each in request(evaluated).perturbations]
    places = [each.place for each in planned(evaluated, tmp_path).perturbations]
    new = [place for place in places if place not in without]
    assert new == [
        {"perturbation": "gaussian_noise", "norm": None, "eps": None, "severity": 2},
        {"perturbation": "pgd:steps=3", "norm": "l2", "eps": 0.3, "severity": None},
    ]
    assert len(places) == len(without) + 2


def test_requirements_are_judged_for_every_model_and_hashed_before(evaluated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    text = PLAN.replace(L2, "")
    asked = planned(
        evaluated, tmp_path, text, attacks=(), noises=(), corruptions=(), threats=(("linf", 0.1),), batch=40
    )
    found = [each for each in records(asked, out=out) if isinstance(each, Requirement)]
    assert [(each.id, each.model) for each in found] == [
        (name, model) for name in ("clean", "noise", "fgsm", "worst") for model in ("first", "second")
    ]
    for each in found:
        assert each.met == (each.value >= each.bound)
        share = each.correct / each.images
        assert each.value == pytest.approx(share if each.statistic == "accuracy" else lower95(each.correct, 40))
    assert {each.met for each in found} == {True, False}
    digest = hashlib.sha256((tmp_path / "r.toml").read_bytes()).hexdigest()
    assert json.loads(out.read_text().splitlines()[0])["requirements"] == digest == read_protocol(out).requirements
    assert all(each.requirements == digest for each in found)


def quick(folder: Path, tmp_path: Path) -> Any:
    """Ask for what needs no attack, of one model."""
    first = (str(folder / "first.keras"),)
    return planned(folder, tmp_path, QUICK, models=first, attacks=(), noises=(), corruptions=("fog",), batch=20)


def test_edited_requirements_are_refused_on_resume(evaluated: Path, tmp_path: Path) -> None:
    out, file = tmp_path / "out.jsonl", tmp_path / "r.toml"
    asked = quick(evaluated, tmp_path)
    bare, resumed = type(asked)(), Execution(resume=out)
    before = untimed(records(asked, out=out))
    file.write_text(QUICK.replace("0.99", "0.10"))
    for changed in (bare, type(asked)(requirements=file), dataclasses.replace(asked, requirements_text="")):
        with pytest.raises(UsageError, match="was started with requirements"):
            evaluate(changed, resumed)
    file.rename(tmp_path / "moved.toml")
    with pytest.raises(UsageError, match="No such file"):
        evaluate(bare, resumed)
    (tmp_path / "moved.toml").write_text(QUICK)
    again = evaluate(type(asked)(requirements=tmp_path / "moved.toml"), resumed)
    assert untimed(each for each in again if isinstance(each, Record)) == before


def test_requirements_are_refused_for_results_that_were_begun_without(evaluated: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    asked = quick(evaluated, tmp_path)
    records(dataclasses.replace(asked, requirements=None, requirements_text=""), out=out)
    for later in (type(asked)(requirements=tmp_path / "r.toml"), asked):
        with pytest.raises(UsageError, match="was started with no requirements"):
            evaluate(later, Execution(resume=out))


def test_shards_are_judged_when_they_are_merged(evaluated: Path, tmp_path: Path) -> None:
    asked = quick(evaluated, tmp_path)
    whole = untimed(each for each in records(asked) if isinstance(each, Requirement))
    shards = [tmp_path / f"{number}.jsonl" for number in (1, 2)]
    for number, file in enumerate(shards, 1):
        assert not [each for each in records(asked, out=file, shard=Shard(number, 2)) if isinstance(each, Requirement)]
    (tmp_path / "r.toml").unlink()
    merged = evaluate(type(asked)(models=tuple(map(str, shards))), Execution(merge=True))
    assert untimed(each for each in merged if isinstance(each, Requirement)) == whole


def test_what_contradicts_the_file_is_refused(evaluated: Path, tmp_path: Path) -> None:
    data = table(LEAST + 'data = "digits"\nseed = 5\n')
    assert planned(evaluated, tmp_path, data, data="").data == "digits"
    assert planned(evaluated, tmp_path, data, data="").seed == 5
    with pytest.raises(UsageError, match="is for 'digits'"):
        planned(evaluated, tmp_path, data)
    with pytest.raises(UsageError, match="are for seed 5"):
        planned(evaluated, tmp_path, data, data="", seed=4)
    with pytest.raises(UsageError, match="leaves some of them unattacked"):
        evaluate(planned(evaluated, tmp_path), Execution(budget=1.0))
    elsewhere = PLAN.replace('"worst"\nnorm = "linf"\neps = 0.05', '"worst"\nnorm = "linf"\neps = 0.07')
    with pytest.raises(UsageError, match="requirement 'worst' is of the worst case in a ball"):
        evaluate(planned(evaluated, tmp_path, elsewhere), Execution())
