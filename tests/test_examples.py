"""The examples run, on little data."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent.parent / "examples"


def test_examples(tmp_path: Path, program: tuple[str, ...]) -> None:
    tool = tmp_path / "bin" / "advcli"
    tool.parent.mkdir()
    tool.write_text(f'#!/bin/sh\nexec {shlex.join(program)} "$@"\n')
    tool.chmod(0o755)
    environment = os.environ | {
        "PATH": f"{tool.parent}:{os.environ['PATH']}",
        "EPOCHS": "1",
        "BACKBONE": "small:width=4",
        "PATCH": "patch:steps=3",
    }

    def run(*command: object) -> str:
        result = subprocess.run(
            [str(part) for part in command], env=environment, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert result.returncode == 0, result.stderr
        return result.stdout

    tour = run(EXAMPLES / "digits.sh", "tour")
    assert "pgd:steps=20" in tour
    assert (tmp_path / "tour" / "seven.adv.png").exists()
    assert (tmp_path / "tour" / "maps" / "seven.explain.png").exists()
    fooled = run(EXAMPLES / "fooled.sh", "tour/runs/clean", EXAMPLES.parent / "docs" / "pictures", "out", "0.5")
    assert "->" in fooled
    pictures = EXAMPLES.parent / "docs" / "pictures"
    assert "images are seen as 8" in run(EXAMPLES / "patch.sh", "tour/runs/clean", "8", pictures, pictures)
    assert (tmp_path / "patched" / "crafted" / "patch.pattern.png").exists()
    assert "queries of PGD" in run(sys.executable, EXAMPLES / "library.py", "tour/runs/clean")
    assert "20 pictures at severity 5" in run(sys.executable, EXAMPLES / "corruptions.py", "corruptions.png", "32", "5")
    assert (tmp_path / "corruptions.png").exists()
    environment |= {"MODEL": "tour/runs/clean/model.keras", "DATA": "digits", "EPS": "0.1", "RESULTS": str(tmp_path)}
    for least in ("0.0", "0.0"):
        environment["LEAST"] = least
        assert "pgd:steps=20" in run(EXAMPLES / "gate.sh")
    environment["LEAST"] = "1.0"
    gate = subprocess.run([EXAMPLES / "gate.sh"], env=environment, cwd=tmp_path, capture_output=True, check=False)
    assert gate.returncode == 3
    script = step_of_workflow().replace("--limit 500", "--limit 20")
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    for least, code in (("0", 0), ("0", 0), ("1", 3)):
        wanted = script.replace("0.80", least).replace("0.40", least)
        (tmp_path / "step.sh").write_text(wanted)
        # As GitHub starts a step with "shell: bash".
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "step.sh"]
        step = subprocess.run(command, env=environment, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert step.returncode == code, step.stderr
        assert "baseline" in step.stdout or not (tmp_path / "last.jsonl").exists()
        (tmp_path / "results.jsonl").rename(tmp_path / "last.jsonl")
        for name in ("report.html", "junit.xml"):
            (tmp_path / name).unlink()
    digits = np.random.default_rng(0).integers(0, 256, (20, 28, 28), np.uint8)
    np.savez(tmp_path / "made.npz", x_train=digits, y_train=np.arange(20) % 10)
    run(sys.executable, EXAMPLES / "fashion_mnist.py", "made.npz")
    listed = run(tool, "attack", EXAMPLES.parent / "docs" / "pictures" / "seven.png", "--model", "mine.keras", "--json")
    assert '"model": "mine"' in listed
    threes = ("--classes", "3,7", "--edge", "8", "--backbone", "linear", "--objective", "clean", "--epochs", "2")
    run(tool, "train", *threes, "--out", "threes")
    assert "% after FGSM at 0.25" in run(sys.executable, EXAMPLES / "threes_and_sevens.py", "threes", "threes.png")
    assert (tmp_path / "threes.png").exists()


def step_of_workflow() -> str:
    """Return the script of the workflow's step that measures."""
    workflow = (EXAMPLES / "benchmark-gate.yml").read_text()
    assert re.search(r"^    defaults:\n      run:\n(        #.*\n)*        shell: bash$", workflow, re.MULTILINE)
    (script,) = re.findall(r"run: \|\n((?: {10}.*\n)+)", workflow)
    return "".join(line[10:] for line in script.splitlines(keepends=True))
