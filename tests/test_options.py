"""One option, one place: a field of a request, which the command line and the library share."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import advcli
from advcli.errors import ExitStatus, UsageError
from advcli.tasks.attack.request import Request as AttackRequest
from advcli.tasks.benchmark.request import Execution
from advcli.tasks.benchmark.request import Request as BenchmarkRequest
from advcli.tasks.explain.request import Request as ExplainRequest
from advcli.tasks.train.request import Request as TrainRequest
from advcli.tasks.train.run import make_job
from advcli.threat.threat import Norm

FIELD = "    transfer: bool = option(False, panel=THREAT)\n"
HELP = "        transfer: craft on each model, score on all: the transfer matrix.\n"

# A command beside the four that says what reaches its request.
_SCRIPT = """
import sys
from advcli.cli.options import command
from advcli.tasks.benchmark.request import Request

@command()
def show(request: Request) -> int:
    print(vars(request))
    return 0

sys.argv = ["advcli", "show", *sys.argv[1:]]
from advcli.cli import main
main()
"""


def call(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments], cwd=folder, env={"COLUMNS": "200", "PATH": ""}, capture_output=True, text=True
    )


def test_a_new_option_is_one_field(tmp_path: Path) -> None:
    shutil.copytree(Path(advcli.__file__).parent, tmp_path / "advcli", ignore=shutil.ignore_patterns("__pycache__"))
    file = tmp_path / "advcli" / "tasks" / "benchmark" / "request.py"
    text = file.read_text()
    assert FIELD in text
    assert HELP in text
    text = text.replace(
        FIELD, FIELD + '    frames_per_image: int = option(7, "--frames", panel=THREAT, metavar="N", min=2)\n'
    )
    file.write_text(text.replace(HELP, HELP + "        frames_per_image: how many frames of each image are shown.\n"))
    shown = call(tmp_path, "-m", "advcli", "benchmark", "--help")
    assert shown.returncode == ExitStatus.DONE, shown.stderr
    (line,) = (line for line in shown.stdout.splitlines() if "--frames" in line)
    assert "How many frames of each image are shown. At least 2. [default: 7]" in line
    assert " N " in line
    reached = call(tmp_path, "-c", _SCRIPT, "--frames", "3")
    assert "'frames_per_image': 3" in reached.stdout, reached.stderr
    assert "'frames_per_image': 7" in call(tmp_path, "-c", _SCRIPT).stdout
    refused = call(tmp_path, "-m", "advcli", "benchmark", "--frames", "1")
    assert refused.returncode == ExitStatus.USAGE
    resumed = call(tmp_path, "-m", "advcli", "benchmark", "--resume", "r.jsonl", "--frames", "3")
    assert "--frames has no effect here" in resumed.stderr


def test_the_older_name_of_the_image_size_is_read_and_not_shown(tmp_path: Path) -> None:
    for flag in ("--edge", "--image-size"):
        assert "'edge': 12," in call(tmp_path, "-c", _SCRIPT, flag, "12").stdout
    for name in ("train", "attack", "benchmark", "explain"):
        shown = call(tmp_path, "-m", "advcli", name, "--help").stdout
        assert "--image-size" in shown
        assert "--edge" not in shown


REFUSED: list[tuple[Callable[[], Any], str]] = [
    (lambda: TrainRequest(edge=4), "--image-size is less than 8"),
    (lambda: TrainRequest(momentum=1.5), "--momentum is more than 1"),
    (lambda: TrainRequest(momentum=float("nan")), "--momentum"),
    (lambda: TrainRequest(guard="shout"), "--guard has no 'shout'"),  # pyright: ignore[reportArgumentType]  as a library's caller may
    (lambda: TrainRequest(norm="l7"), "--norm has no 'l7'"),  # pyright: ignore[reportArgumentType]  as a library's caller may
    (lambda: TrainRequest(objective="trade"), "unknown objective 'trade'"),
    (lambda: TrainRequest(augment=("flip", "flip")), "given twice"),
    (lambda: TrainRequest(adv_start_epoch=9, objective="pgd-at"), "there are only 6 epochs"),
    (lambda: TrainRequest(unfreeze="head"), "a head on untrained features learns little"),
    (lambda: TrainRequest(learning_rate=0.0), "--learning-rate must be above 0"),
    (lambda: TrainRequest(eps=8.0), "covers the whole pixel range"),
    (lambda: make_job(TrainRequest(objective="clean", attack="pgd:steps=2")), "does not train with --attack"),
    (lambda: make_job(TrainRequest(optimizer="adamw", momentum=0.5)), "adamw has no --momentum"),
    (lambda: BenchmarkRequest(attacks=("pdg",)), "unknown attack 'pdg'"),
    (lambda: BenchmarkRequest(noises=("flip",)), "'flip' is not a noise"),
    (lambda: BenchmarkRequest(corruptions=("fogg",)), "unknown corruption 'fogg'"),
    (lambda: BenchmarkRequest(norms=("l7",)), "--norm has no 'l7'"),  # pyright: ignore[reportArgumentType]  as a library's caller may
    (lambda: BenchmarkRequest(fail_under=("pgd",)), "--fail-under names no accuracy"),
    (lambda: BenchmarkRequest(certify="n=100"), "needs its option 'sigma'"),
    (lambda: BenchmarkRequest(batch=0), "--batch is less than 1"),
    (lambda: Execution(memory=-1.0), "--memory is less than 0"),
    (lambda: AttackRequest(files=(), attack="pdg"), "unknown attack 'pdg'"),
    (lambda: AttackRequest(files=(), attack="spatial", eps=0.1), "does not search a ball"),
    (lambda: AttackRequest(files=(), save=("cleen",)), "--save has no 'cleen'"),
    (lambda: AttackRequest(files=(), attack="deepfool", target="3"), "cannot be targeted at a class"),
    (lambda: AttackRequest(files=(), seed=-1), "--seed is less than 0"),
    (lambda: ExplainRequest(top=0), "--top is less than 1"),
]


@pytest.mark.parametrize(
    ("made", "message"), REFUSED, ids=[f"{number} {message}" for number, (_, message) in enumerate(REFUSED)]
)
def test_a_request_made_in_python_is_checked_like_a_command_line(made: Callable[[], Any], message: str) -> None:
    with pytest.raises(UsageError) as refused:
        made()
    assert message in refused.value.message


def test_an_evaluation_is_asked_for_by_what_its_results_say() -> None:
    asked = BenchmarkRequest(models=("a.keras",), norms=(Norm.L2,), threats=(("l2", 0.5),), severities=(3,))
    content = asked.to_json()
    assert content["threats"] == [["l2", 0.5]]
    assert not {"norms", "eps"} & set(content)
    assert BenchmarkRequest.from_json(content).balls == asked.balls
