"""The notebook of examples/ runs from its first cell to its last."""

import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest

from advcli.records import Epoch, Score

NOTEBOOK = Path(__file__).parent.parent / "examples" / "tour.ipynb"


@pytest.mark.slow
def test_the_cells_run_in_their_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    plt.switch_backend("agg")
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    space: dict[str, Any] = {"__name__": "__main__"}
    try:
        for number, cell in enumerate(cells, 1):
            exec(compile("".join(cell["source"]), f"{NOTEBOOK.name}, code cell {number}", "exec"), space)
    finally:
        plt.close("all")
    assert len(space["records"].of(Epoch)) == 3
    assert (tmp_path / "runs" / "tour" / "model.keras").is_file()
    scores = {score.perturbation: score for score in space["scores"].of(Score)}
    assert scores["clean"].accuracy > 0.8
    assert scores["worst"].accuracy < scores["clean"].accuracy
    found, pixels = space["found"], space["pixels"]
    assert found.fooled.sum() > 5
    assert 0.05 < np.abs(found.images - pixels).max() < 0.1 + 1e-6
    assert space["clean"].shape == space["adversarial"].shape == pixels.shape[:3]
    assert not np.allclose(space["clean"], space["adversarial"])
    assert "fooled:" in capsys.readouterr().out


def test_the_stored_output_is_that_of_one_run_in_order() -> None:
    cells = [cell for cell in json.loads(NOTEBOOK.read_text())["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    printing = [cell for cell in cells if "print(" in "".join(cell["source"])]
    assert all(cell["outputs"] for cell in printing)
    assert all(output["output_type"] != "error" for cell in cells for output in cell["outputs"])
