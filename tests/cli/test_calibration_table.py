"""The calibration in the terminal."""

import io
from collections.abc import Sequence

from rich.console import Console

from advcli.cli.tables.benchmark import benchmark_tables
from advcli.records import Calibration, Record, Score

PLACES = (
    {"perturbation": "clean", "norm": None, "eps": None, "severity": None},
    {"perturbation": "pgd:steps=20", "norm": "linf", "eps": 8 / 255, "severity": None},
    {"perturbation": "fog", "norm": None, "eps": None, "severity": 1},
    {"perturbation": "fog", "norm": None, "eps": None, "severity": 5},
)


def found(models: Sequence[str]) -> list[Record]:
    records: list[Record] = []
    for model in models:
        said = {"model": model, "data": "digits", "seed": 0}
        for number, place in enumerate(PLACES):
            records.append(
                Score(
                    **said, **place, images=1000, correct=345, accuracy=0.345, low=0.316, high=0.375, protocol="",
                    accuracy_of_clean_correct=0.361, seconds=1.0,
                )
            )  # fmt: skip
            ece = 0.485 + number / 100
            records.append(
                Calibration(
                    **said, **place, images=1000, ece=ece, ece_low=ece - 0.03, ece_high=ece + 0.03, brier=1.0, nll=3.0,
                    confidence_when_wrong=0.82 + number / 100 if number else None, accuracy_at_90_coverage=0.3,
                    auroc=0.5, bin_confidence=(0.8,), bin_accuracy=(0.3,),
                )
            )  # fmt: skip
    return records


def printed(records: Sequence[Record]) -> str:
    console = Console(file=io.StringIO(), width=80)
    for table in benchmark_tables(records):
        console.print(table)
    text = console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]  the console writes to a string
    assert max(map(len, text.splitlines())) <= 80
    return text


def test_one_model_has_two_more_columns_in_80_characters() -> None:
    text = printed(found(["digits-small-nsl"]))
    (row,) = [line for line in text.splitlines() if "pgd" in line]
    for cell in ("34.5% [31.6, 37.5] (36.1%)", "0.495 [0.46, 0.53]", "0.83"):
        assert cell in row
    (clean,) = [line for line in text.splitlines() if "clean" in line and "0.485" in line]
    assert clean.rstrip(" │|").endswith(" -")


def test_a_corruption_is_averaged_over_its_severities() -> None:
    text = printed(found(["digits-small-nsl"]))
    section = text[text.index("Calibration of digits-small-nsl") :]
    (row,) = [line for line in section.splitlines() if "fog" in line]
    assert "0.510" in row
    assert "0.84" in row
    assert "clean" not in section
    assert "severities" in " ".join(section.split())
    alone = [record for record in found(["base", "robust"]) if getattr(record, "severity", None) is None]
    assert "severities" not in printed(alone)


def test_several_models_have_a_table_of_their_own() -> None:
    text = printed(found(["base", "robust"]))
    section = text[text.index("Calibration on digits") :]
    for model in ("base", "robust"):
        assert any(model in line and "pgd:steps=20" in line and "0.495" in line for line in section.splitlines())
    assert "ECE" not in text[: text.index("Calibration on digits")]
