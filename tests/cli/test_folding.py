"""Tables in a terminal of few columns."""

import re
from dataclasses import replace

import pytest
from rich.table import Table
from rich.text import Text

from advcli.cli.output import Output
from advcli.cli.tables.folding import fit_table, fold_text
from advcli.records import Compared, Record, Score, Swept
from advcli.report.verdict import verdict
from benchmark_records import every_kind

MODELS = ("digits-small-clean", "digits-small-pgd-at", "tiny-imagenet-mobilenetv2-nsl")
CLASSES = ("king penguin", "goldfish")
JOINT = "-_/:=,+."


def printed(
    records: list[Record], columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("COLUMNS", str(columns))
    with Output(json=False, quiet=True) as output:
        output.show(records)
    return capsys.readouterr().out


def words(text: str) -> set[str]:
    return set(re.sub(r"[|+]--+|--+[|+]|[|]", " ", text).split())


def is_whole(word: str, known: set[str]) -> bool:
    """Tell whether a word is one of these, or a part of one that begins and ends at a hyphen or the like."""
    if word in known:
        return True
    return any(
        (place.start() == 0 or whole[place.start() - 1] in JOINT) and (place.end() == len(whole) or word[-1] in JOINT)
        for whole in known
        for place in re.finditer(re.escape(word), whole)
    )


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("columns", [60, 80])
def test_no_line_is_too_long_and_no_word_is_broken(
    columns: int, count: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = every_kind(MODELS[:count], CLASSES)
    wide = words(printed(records, 5000, monkeypatch, capsys))
    narrow = printed(records, columns, monkeypatch, capsys)
    assert max(map(len, narrow.splitlines())) <= columns
    assert [word for word in words(narrow) if not is_whole(word, wide)] == []
    # Nothing is left out either.
    pieces = {piece for word in wide for piece in re.split(f"[{re.escape(JOINT)}]", word) if len(piece) > 3}
    joined = re.sub(r"\s+", " ", narrow)
    assert [piece for piece in pieces if piece not in joined] == []


def test_a_pipe_has_whole_lines(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    with Output(json=False, quiet=True) as output:
        output.show(every_kind(MODELS))
    text = capsys.readouterr().out
    assert re.search(r"\| pgd:steps=20, Linf 8/255 +\|.*\].*\].*\]", text)


def test_an_interval_and_a_radius_stay_in_one_piece(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed(every_kind(MODELS), 60, monkeypatch, capsys)
    assert re.findall(r"\[[\d.]+,[^\S\n]*\|", text) == []
    assert re.findall(r"Linf[^\S\n]*\|", text) == []


@pytest.mark.parametrize("columns", [60, 80])
def test_the_last_lines_are_the_verdict(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    records = every_kind(MODELS)
    text = printed(records, columns, monkeypatch, capsys)
    assert " ".join(text.split()).endswith(verdict(records))
    with Output(json=True, quiet=True) as output:
        output.show(records)
    assert verdict(records) not in capsys.readouterr().out


def swept(model: str) -> list[Record]:
    """A sweep of 31 points with its scores, and the comparison of each point."""
    (sweep,) = [record for record in every_kind((model,)) if isinstance(record, Swept)]
    (clean,) = [
        record for record in every_kind((model,)) if isinstance(record, Score) and record.perturbation == "clean"
    ]
    specs = tuple(f"low_light:photons={number}" for number in range(31, 0, -1))
    values = tuple(float(number) for number in range(31, 0, -1))
    one = next(record for record in every_kind(("base", model)) if isinstance(record, Compared))
    compared = [replace(one, model=model, perturbation=spec, norm=None, eps=None) for spec in ("clean", *specs)]
    share = (0.5,) * 31
    found = replace(sweep, values=values, perturbations=specs, accuracies=share, lows=share, highs=share)
    return [clean, *(replace(clean, perturbation=spec) for spec in specs), found, *compared]


def test_a_sweep_is_not_printed_in_full(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    text = printed([*swept("base"), *swept("robust")], 80, monkeypatch, capsys)
    tables, _, _ = text.partition(verdict([*swept("base"), *swept("robust")]))
    assert "low_light:photons" not in tables, "neither scores nor comparisons of its points"
    shown = [int(value) for value in re.findall(r"^\| +(\d+) \|", text, re.MULTILINE)]
    assert shown[0] == 31
    assert shown[-1] == 1
    assert len(shown) == 10
    assert "10 of 31 values" in text


def test_a_row_of_many_columns_becomes_a_block() -> None:
    table = Table(title="t", caption="c")
    for number in range(12):
        table.add_column(f"heading {number}")
    table.add_row(*(f"value {number}" for number in range(12)), end_section=True)
    table.add_row(*(f"other {number}" for number in range(12)))
    _, blocks, _ = fit_table(table, 60)
    assert isinstance(blocks, Table)
    assert len(blocks.columns) == 2
    assert [str(cell) for cell in blocks.columns[1].cells][11:13] == ["value 11", "other 0"]
    assert [number for number, row in enumerate(blocks.rows) if row.end_section] == [11, 23]


def test_styles_survive_folding() -> None:
    folded = fold_text(Text.assemble(("bold words", "bold"), " and others"), 6)
    assert folded.plain == "bold\nwords\nand\nothers"
    assert {folded.plain[span.start : span.end].strip() for span in folded.spans} == {"bold", "words"}
