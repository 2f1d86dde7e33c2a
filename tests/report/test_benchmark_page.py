"""The report of a benchmark."""

import dataclasses
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import pytest

from advcli.records import Calibration, Checked, Failed, Protocol, Record, Score
from advcli.report import wording
from advcli.report.benchmark import benchmark_page
from benchmark_records import confusions, every_kind, examples, suspects
from pages import HOSTILE, Parsed, refuse_faults

SUSPECT = Checked(
    model="base",
    data="cat",
    seed=3,
    check="gradients",
    verdict="SUSPECT",
    evidence="31 of 64 gradients are zero",
    remedy="attack with --attack square",
)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    return every_kind()


@pytest.fixture(scope="module")
def whole(records: list[Record]) -> Parsed:
    return refuse_faults(benchmark_page(records, examples()))


def headings(parsed: Parsed) -> list[str]:
    """The anchors of the sections, in order."""
    return [str(attributes["id"]) for attributes in parsed.all("h2")][1:]


def test_every_section_is_there_in_order(whole: Parsed) -> None:
    assert headings(whole) == [
        "summary",
        "tolerances",
        "gates",
        "requirements",
        "changes",
        "reading",
        "curves",
        "sweeps",
        "corruptions",
        "calibration",
        "comparison",
        "transfer",
        "certified",
        "classes",
        "gallery",
        "checks",
        "protocol",
        "environment",
        "failed",
    ]


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for item in value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_every_number_of_every_record_is_shown(records: list[Record], whole: Parsed) -> None:
    exact = {float(str(attributes["value"])) for attributes in whole.all("data")}
    # The cells of a heat map say their counts and intervals when they are pointed at.
    titles = " ".join(str(attributes["title"]) for _, attributes in whole.elements if attributes.get("title"))
    text = {float(found.replace(",", "")) for found in re.findall(r"\d[\d,]*(?:\.\d+)?", f"{whole.text} {titles}")}
    for record in records:
        for name, value in dataclasses.asdict(record).items():
            if name == "eps" or (name, type(record)) == ("seconds", Score):
                continue
            for number in numbers(value):
                rounded = number if isinstance(number, int) else float(wording.percent(number))
                assert number in exact or rounded in text or number in text, f"{type(record).__name__}.{name} {number}"
    counts = [record.correct for record in records if isinstance(record, Score)]
    assert len(set(counts)) == len(counts)
    assert {f"{count} of 1,009" for count in counts[:1]} <= set(re.findall(r"\d+ of 1,009", whole.text))


def test_time_is_summed_over_what_is_one_perturbation(whole: Parsed) -> None:
    # Three severities of a corruption, and five radii and another norm of pgd, at 1.25 seconds each.
    seconds = [attributes["value"] for attributes in whole.all("data")]
    assert seconds.count("3.75") == 4
    assert seconds.count("7.5") == 2


def test_equal_records_make_equal_bytes(records: list[Record]) -> None:
    assert benchmark_page(records, examples()) == benchmark_page(every_kind(), examples())


@pytest.mark.parametrize("kept", ["score", "check", "certified", "transferred", "class_score", "protocol"])
def test_a_section_needs_its_records(records: list[Record], kept: str) -> None:
    parsed = refuse_faults(benchmark_page([record for record in records if record.type == kept]))
    expected = {
        "score": ["summary", "reading", "curves", "corruptions", "protocol"],
        "check": ["reading", "checks"],
        "certified": ["reading", "certified"],
        "transferred": ["reading", "transfer"],
        "class_score": ["reading", "classes"],
        "protocol": ["reading", "protocol", "environment"],
    }
    assert headings(parsed) == expected[kept]


def test_one_radius_makes_no_curve(records: list[Record]) -> None:
    scores = [record for record in records if isinstance(record, Score) and record.eps in (None, 8 / 255)]
    assert "curves" not in headings(Parsed(benchmark_page(scores)))
    assert benchmark_page([]).startswith("<!DOCTYPE html>")


def test_what_is_suspect_comes_first_with_its_remedy(records: list[Record]) -> None:
    parsed = refuse_faults(benchmark_page([*records, SUSPECT]))
    assert headings(parsed)[:2] == ["suspect", "summary"]
    assert "checks" in headings(parsed)
    before_the_summary = parsed.text[: parsed.text.index("Accuracy, in %")]
    assert "31 of 64 gradients are zero" in before_the_summary
    assert "attack with --attack square" in before_the_summary
    assert "1 of 2 suspect" in parsed.text


def test_what_is_suspect_of_several_models_is_said_once(records: list[Record]) -> None:
    other = dataclasses.replace(SUSPECT, model="robust")
    worse = dataclasses.replace(SUSPECT, model="third", evidence="64 of 64 gradients are zero")
    parsed = refuse_faults(benchmark_page([*records, SUSPECT, other, worse]))
    assert parsed.text.count("31 of 64 gradients are zero") == 1
    assert parsed.text.count("64 of 64 gradients are zero") == 1
    assert "1 check suggests that these accuracies are misleading. Read the evidence" in parsed.text


def test_each_suspect_check_has_one_line_and_folded_details(records: list[Record]) -> None:
    text = benchmark_page([*records, *suspects()])
    section = text[text.index('id="suspect"') : text.index('id="summary"')]
    lines = [Parsed(line).text for line in re.findall(r"<summary>.*?</summary>", section, re.DOTALL)]
    assert [" ".join(line.split()) for line in lines] == [
        "SUSPECT zero-gradients base: 0 of 64 images, robust: 1 of 64 images",
        "SUSPECT sample-size base: 64 images, robust: 64 images",
    ]
    folded = re.sub(r"<details.*?</details>", "", section, flags=re.DOTALL)
    assert "run square" in section
    assert "run square" not in folded
    assert "the gradient is zero" not in folded
    one = suspects(["base"])
    assert "SUSPECT zero-gradients 0 of 64 images" in " ".join(Parsed(benchmark_page(one)).text.split())
    many = suspects(["a", "b", "c", "d"])
    assert "SUSPECT sample-size 4 models" in " ".join(Parsed(benchmark_page(many)).text.split())


def test_tables_and_curves_stand_in_boxes_that_scroll(records: list[Record]) -> None:
    text = benchmark_page([*records, *suspects()], examples(), confusions())
    assert text.count("<table") == len(re.findall(r'<div class="scroll"[^>]*>\s*<table', text)) > 10
    assert text.count("<svg") - text.count('<svg viewBox="-4') == len(
        re.findall(r'<div class="scroll curves"[^>]*>\s*<svg', text)
    )
    assert re.search(r"\.scroll \{[^}]*overflow-x: auto", text)


def test_confusion_tables_have_their_counts(records: list[Record]) -> None:
    parsed = refuse_faults(benchmark_page(records, examples(), confusions()))
    assert headings(parsed)[headings(parsed).index("classes") + 1] == "confusion"
    text = benchmark_page(records, (), confusions(["base"], ["cat", "dog", "owl"]))
    section = text[text.index('id="confusion"') :].partition("</section>")[0]
    # Two tables of three classes: 31 on the diagonal, row + 2 * column elsewhere.
    cells = re.findall(r"<td[^>]*>(\d*)</td>", section)
    assert cells == ["31", "2", "4", "1", "31", "5", "2", "4", "31"] * 2
    assert section.count('class="own"') == 6
    assert "confusion" not in headings(Parsed(benchmark_page(records)))


def shown_blocks(*radii: float) -> list[str]:
    scores = [record for record in every_kind(["base"]) if isinstance(record, Score)]
    (score,) = [score for score in scores if score.norm == "l2"]
    found = [dataclasses.replace(score, eps=radius) for radius in radii]
    text = benchmark_page([scores[0], *found])
    return re.findall(r'<th scope="rowgroup"[^>]*>Within L2\s([\d.]+)</th>', text)


def test_a_summary_shows_few_radii_or_the_largest() -> None:
    assert shown_blocks(0.5) == ["0.5"]
    assert shown_blocks(0.0, 0.25, 0.5, 1.0) == ["0.25", "0.5", "1"]
    assert shown_blocks(0.0, 0.25, 2.0, 0.5, 1.0) == ["2"]
    assert shown_blocks(0.0) == ["0"]


def strong(text: str) -> list[str]:
    return re.findall(r'<strong class="best"><data value="[^"]*">([\d.]+)</data></strong>', text)


def test_the_best_of_a_row_is_bold_if_there_is_something_to_be_better_than() -> None:
    def score(model: str, accuracy: float, perturbation: str = "clean") -> Score:
        return Score(
            model=model,
            data="d",
            seed=0,
            perturbation=perturbation,
            norm=None,
            eps=None,
            severity=None,
            protocol="",
            images=10,
            correct=round(10 * accuracy),
            accuracy=accuracy,
            low=0.0,
            high=1.0,
            accuracy_of_clean_correct=1.0,
            seconds=0.0,
        )

    assert strong(benchmark_page([score("a", 0.3)])) == []
    assert strong(benchmark_page([score("a", 0.3), score("b", 0.7)])) == ["70.0"]
    assert strong(benchmark_page([score("a", 0.7), score("b", 0.7)])) == ["70.0", "70.0"]
    # A model that was not measured under it is no competitor.
    assert strong(benchmark_page([score("a", 0.7), score("b", 0.6), score("b", 0.2, "fgsm")])) == ["70.0"]


def test_an_upper_bound_says_how_many_images_were_searched(whole: Parsed) -> None:
    assert whole.text.count("an upper bound: 421 searched") == 2
    assert "If the time limit was reached" in whole.text


def test_hostile_names_are_texts_everywhere() -> None:
    plain = [tag for tag, _ in refuse_faults(benchmark_page(every_kind(), examples())).elements]
    for first, second in pairwise(HOSTILE):
        models, classes = (first, second), (second, first)
        parsed = refuse_faults(benchmark_page(every_kind(models, classes), examples(models, classes)))
        inserted = [tag for tag, _ in parsed.elements if tag not in plain]
        assert not inserted, inserted
        shown = first.translate({0: "\ufffd", 7: "\ufffd", 0xDCFF: "\ufffd"})
        assert parsed.text.count(shown) > 10


def test_shards_and_machines_are_told_apart() -> None:
    protocols = [record for record in every_kind() if isinstance(record, Protocol)]
    shards = [dataclasses.replace(protocols[0], shard=f"{number}/2") for number in (1, 2)]
    parsed = refuse_faults(benchmark_page(shards))
    assert "1/2" in parsed.text
    assert "2/2" in parsed.text
    assert parsed.text.count("3.11.7") == 1
    elsewhere = dataclasses.replace(shards[1], environment={"python": "3.13.0", "system": "macOS"})
    assert "macOS" in Parsed(benchmark_page([shards[0], elsewhere])).text


def test_what_could_not_be_read_is_named(whole: Parsed, records: list[Record]) -> None:
    assert all(record.image in whole.text for record in records if isinstance(record, Failed))


def test_reliability_diagrams_and_the_numbers_beside_them(records: list[Record]) -> None:
    text = benchmark_page(records, examples())
    section = text[text.index('id="calibration"') :]
    # Two models, each with a diagram of three bins: (0.41, 0.31) is at 41% of the width and 69% of the height.
    assert section.count("<polyline") == 2
    assert section.count("<circle") == 2 * 3
    assert 'cx="49.2" cy="82.8"' in section
    for number in ("0.481", "0.453", "0.502", "0.819", "1.187", "3.297", "34.2", "0.442"):
        assert f">{number}</data>" in section
    without = [record for record in records if not isinstance(record, Calibration)]
    assert "polyline" not in benchmark_page(without, examples())
