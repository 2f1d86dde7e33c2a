"""The sentence that says what an evaluation found."""

from typing import Any

import pytest

from advcli.records import Checked, Gate, Record, Score, Swept, Tolerance
from advcli.report.benchmark import benchmark_page
from advcli.report.verdict import verdict
from pages import Parsed

SAID: dict[str, Any] = {"data": "d", "seed": 0}


def score(model: str, correct: int, perturbation: str = "clean", eps: float | None = None, **more: Any) -> Score:
    images = more.pop("images", 100)
    norm = more.pop("norm", "linf" if eps else None)
    fields: dict[str, Any] = {
        **SAID,
        "model": model,
        "perturbation": perturbation,
        "norm": norm,
        "eps": eps,
        "severity": None,
        "protocol": "",
        "images": images,
        "correct": correct,
        "accuracy": correct / images,
        "low": 0.0,
        "high": 1.0,
        "accuracy_of_clean_correct": None,
        "seconds": 0.0,
    }
    return Score(**(fields | more))


def check(model: str, name: str, verdict: str = "PASS") -> Checked:
    return Checked(**SAID, model=model, check=name, verdict=verdict, evidence="31 of 64", remedy="")


def attacked(model: str, fgsm: int, pgd: int, worst: int, eps: float = 4 / 255, **more: Any) -> list[Record]:
    numbers = (("fgsm", fgsm), ("pgd", pgd), ("worst", worst))
    return [score(model, correct, name, eps, **more) for name, correct in numbers]


def test_the_worst_case_counts_and_the_best_model_is_named() -> None:
    one = [score("a", 90), *attacked("a", 60, 50, 43)]
    assert verdict(one) == "Under Linf 4/255 the model keeps 43 of 100 images."
    two = [*one, check("a", "x"), score("b", 95), *attacked("b", 80, 70, 30), check("b", "x")]
    assert verdict(two) == "Under Linf 4/255 the best model, a, keeps 43 of 100 images; all checks passed."
    tied = [*one, *attacked("c", 9, 9, 9), *attacked("b", 50, 45, 43)]
    assert "the best models, a and b, keep 43 of" in verdict(tied)
    assert "both models keep 43 of 100" in verdict([*one, *attacked("b", 60, 50, 43)])


@pytest.mark.parametrize(("correct", "images", "said"), [(1, 1, "1 of 1 image"), (0, 2000, "0 of 2,000 images")])
def test_one_image_is_not_images(correct: int, images: int, said: str) -> None:
    found = verdict([score("a", correct, "pgd", 0.1, images=images)])
    assert found == f"Under Linf 0.1 the model keeps {said}."


def test_suspect_checks_are_counted_once_for_all_models() -> None:
    scores = attacked("a", 60, 50, 43)
    suspect = [check(model, "zero-gradients", "SUSPECT") for model in "abc"]
    assert verdict([*scores, *suspect]).endswith("; 1 check suggests that these accuracies are misleading.")
    both = [*suspect, check("a", "unbounded", "SUSPECT"), check("a", "duplicates")]
    assert verdict([*scores, *both]).endswith("; 2 checks suggest that these accuracies are misleading.")


def test_each_of_few_radii_and_the_largest_of_many() -> None:
    few = [*attacked("a", 9, 9, 60, 2 / 255), *attacked("a", 9, 9, 43), *attacked("a", 9, 9, 12, 8 / 255)]
    assert (
        verdict(few)
        == "Under Linf 2/255 the model keeps 60 of 100 images, 43 under Linf 4/255, and 12 under Linf 8/255."
    )
    many = [*few, *attacked("a", 9, 9, 5, 16 / 255), *attacked("a", 9, 9, 20, 0.5, norm="l2")]
    assert verdict(many) == "Under Linf 16/255 the model keeps 5 of 100 images, and 20 under L2 0.5."
    other = [
        *attacked("a", 9, 9, 60, 2 / 255),
        *attacked("b", 9, 9, 50, 2 / 255),
        *attacked("a", 9, 9, 10),
        *attacked("b", 9, 9, 20),
    ]
    said = "Under Linf 2/255 the best model, a, keeps 60 of 100 images; under Linf 4/255 the best model, b, keeps 20 of"
    assert verdict(other).startswith(said)


def test_attacks_without_a_ball_count_together() -> None:
    found = [score("a", 70, "pgd", 0.1), score("a", 60, "spatial"), score("a", 55, "worst")]
    assert verdict(found) == "Under all attacks together the model keeps 55 of 100 images."


def test_an_upper_bound_is_one() -> None:
    assert "keeps at most 43 of 100" in verdict([score("a", 43, "pgd", 0.1, searched=20)])


def test_without_attacks_it_is_about_corruptions_or_clean_images() -> None:
    clean = [score("a", 90), score("b", 91)]
    assert verdict(clean) == "Without perturbation the best model, b, classifies 91 of 100 images correctly."
    noise = [score("a", 80, "gaussian"), score("b", 70, "gaussian")]
    assert verdict([*clean, *noise]) == "Under gaussian the best model, a, keeps 80 of 100 images."
    fog = [score(model, 50, "fog", severity=severity) for model in "ab" for severity in (1, 2)]
    frost = [score("a", 60, "frost", severity=1), score("b", 40, "frost", severity=1)]
    said = "Under 2 corruptions the best model, a, has a mean accuracy of 53.3%."
    assert verdict([*clean, *noise, *fog, *frost]) == said
    # Which strength the options of a corruption set cannot be compared with severities.
    fixed = [score(model, 10, "defocus:radius=2") for model in "ab"]
    said = "Under 2 corruptions with severities the best model, a, has a mean accuracy of 53.3%."
    assert verdict([*clean, *fog, *frost, *fixed]) == said
    assert verdict(fog[:1]) == "Under fog 1 the model keeps 50 of 100 images."
    assert verdict([]) == ""


def sweep(model: str, tolerance: float | None, met: bool | None = None) -> list[Record]:
    place: dict[str, Any] = {
        **SAID,
        "model": model,
        "perturbation": "low_light",
        "parameter": "photons",
        "unit": "photons",
    }
    specs = ("low_light:photons=1000", "low_light:photons=10")
    numbers: dict[str, Any] = {"accuracies": (0.9, 0.4), "lows": (0.8, 0.3), "highs": (0.95, 0.5)}
    found: list[Record] = [score(model, 90, specs[0]), score(model, 40, specs[1])]
    found.append(Swept(**place, log=True, values=(1000.0, 10.0), perturbations=specs, **numbers))
    required: dict[str, Any] = {"required": 0.7, "censored": False, "evaluations": 3, "hold": None}
    return [*found, Tolerance(**place, value=tolerance, low=None, high=None, met=met, statement="", **required)]


def test_of_sweeps_it_says_the_tolerance() -> None:
    # Fewer photons are stronger.
    both = [*sweep("a", 50.0), *sweep("b", 200.0)]
    assert verdict(both) == "At a required accuracy of 0.7 the best model, a, tolerates low_light to 50 photons."
    assert verdict(sweep("a", None)).endswith("the model does not tolerate low_light at any measured value.")
    without = [record for record in both if not isinstance(record, Tolerance)]
    assert verdict(without) == "Under low_light:photons=10 both models keep 40 of 100 images."


def test_what_is_required_and_not_met_is_counted() -> None:
    place: dict[str, Any] = {"perturbation": "clean", "norm": None, "eps": None, "severity": None}
    gate = Gate(**SAID, model="a", **place, accuracy=0.9, least=0.95, met=False)
    assert "images correctly; 1 requirement is not met." in verdict([score("a", 90), gate])
    assert "; 2 requirements are not met" in verdict([score("a", 90), gate, *sweep("a", 50.0, met=False)])


def test_the_report_begins_with_it() -> None:
    found = [score("<b>a", 90), *attacked("<b>a", 60, 50, 43), *attacked("b", 1, 1, 1)]
    page = benchmark_page(found)
    parsed = Parsed(page)
    assert parsed.text.index(verdict(found)) < parsed.text.index("Contents")
    assert page.count('class="lead"') == 1
