"""Options of ``advcli train`` from a file."""

import json
from pathlib import Path

import pytest

from conftest import Command

CONFIG = """
backbone = "small:width=4"
objective = "n-fgsm"
modifier = ["awp:gamma=0.01"]
augment = ["crop:padding=0.25", "gaussian"]
edge = 8
limit = 120
robust-images = 8
weight_decay = 5e-4
eps = "20/255"
deterministic = true
epochs = 9
"""


def rows(run: Path) -> list[str]:
    return [line.rpartition(",")[0] for line in (run / "history.csv").read_text().splitlines()]


def test_a_run_is_repeated_from_its_own_description(advcli: Command, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text(CONFIG)
    first = advcli("train", "--config", "config.toml", "--epochs", 2, "--out", "first")
    assert first.returncode == 0, first.stderr
    recipe = json.loads((tmp_path / "first" / "run.json").read_text())["recipe"]
    assert recipe["epochs"] == 2, "the command line goes before the file"
    assert recipe["backbone"] == "small:width=4"
    assert recipe["modifier"] == ["awp:gamma=0.01"]
    assert recipe["augment"] == ["crop:padding=0.25", "gaussian"]
    assert recipe["weight_decay"] == 5e-4
    assert recipe["eps"] == pytest.approx(20 / 255)
    assert recipe["deterministic"] is True
    again = advcli("train", "--config", "first/run.json", "--out", "again")
    assert again.returncode == 0, again.stderr
    assert json.loads((tmp_path / "again" / "run.json").read_text())["recipe"] == recipe
    assert rows(tmp_path / "again") == rows(tmp_path / "first")


@pytest.mark.parametrize(
    ("content", "message", "hint"),
    [
        ('learning-rat = "0.1"', "'learning-rat', which is not an option", "did you mean 'learning-rate'?"),
        ("overwrite = true", "'overwrite', which is not an option", ""),
        ("epochs = 1 2", "cannot be read", ".toml"),
        ("[train]\nepochs = 3", "'train' in 'config.toml' is a table", "at the top"),
        ("[objective]\nname = 3", "'objective' in 'config.toml' is a table", "at the top"),
        ('objective = "trade"', "unknown objective 'trade'", ""),
        ('epochs = "many"', "'--epochs'", ""),
    ],
)
def test_a_file_is_checked_like_a_command_line(
    advcli: Command, tmp_path: Path, content: str, message: str, hint: str
) -> None:
    (tmp_path / "config.toml").write_text(content)
    result = advcli("train", "--config", "config.toml")
    assert result.returncode == 2, result.stderr
    assert message in result.stderr
    assert hint in result.stderr
    assert "Traceback" not in result.stderr


def test_a_config_that_is_not_there(advcli: Command) -> None:
    result = advcli("train", "--config", "none.toml")
    assert result.returncode == 2
    assert "cannot read 'none.toml': No such file or directory" in result.stderr
