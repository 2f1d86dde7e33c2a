import json
from pathlib import Path

import pytest

from advcli.records import Trusted
from advcli.tasks.explain.check_cache import CHECK_FILE, CheckCache

RECORD = Trusted(
    model="run",
    data="files",
    seed=0,
    method="saliency",
    images=4,
    deletion=0.2,
    insertion=0.9,
    random_deletion=0.5,
    random_insertion=0.6,
    randomized=0.3,
    other_class=0.7,
    completeness=None,
    verdict="pass",
    reasons=(),
    cached=False,
    seconds=1.0,
)
COMMON = {"model": "run", "data": "files", "seed": 0}


@pytest.fixture
def run(tmp_path: Path) -> Path:
    (tmp_path / "model.keras").write_bytes(b"weights")
    return tmp_path


def test_a_check_is_known_again(run: Path) -> None:
    known = CheckCache(run, run / "model.keras", 0)
    assert known.get("Saliency()", 4, COMMON) is None
    known.put("Saliency()", RECORD)
    found = known.get("Saliency()", 4, COMMON)
    assert found is not None
    assert found.cached
    assert (found.deletion, found.verdict, found.reasons) == (0.2, "pass", ())
    assert known.get("Saliency()", 5, COMMON) is None, "on fewer images than there are now"
    assert known.get("GradCAM()", 4, COMMON) is None
    assert CheckCache(run, run / "model.keras", 1).get("Saliency()", 4, COMMON) is None


def test_other_weights_are_another_model(run: Path) -> None:
    CheckCache(run, run / "model.keras", 0).put("Saliency()", RECORD)
    (run / "model.keras").write_bytes(b"other weights")
    assert CheckCache(run, run / "model.keras", 0).get("Saliency()", 4, COMMON) is None


@pytest.mark.parametrize("content", ["", "[]", "no json"])
def test_a_damaged_file_is_written_anew(run: Path, content: str) -> None:
    (run / CHECK_FILE).write_text(content)
    known = CheckCache(run, run / "model.keras", 0)
    known.put("Saliency()", RECORD)
    assert known.get("Saliency()", 4, COMMON) is not None
    assert json.loads((run / CHECK_FILE).read_text())


def test_what_is_no_run_keeps_nothing(tmp_path: Path) -> None:
    known = CheckCache(None, None, 0)
    known.put("Saliency()", RECORD)
    assert known.get("Saliency()", 4, COMMON) is None
    assert not list(tmp_path.iterdir())
