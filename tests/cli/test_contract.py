"""What scripts rely on: exit codes, streams, interruption, a closed pipe. Every test runs the real process."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from advcli import __version__
from conftest import Command, make_classifier


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model file made by advcli."""
    path = tmp_path_factory.mktemp("model") / "tiny.keras"
    make_classifier("small:width=4", edge=16).save(path)
    return path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "cat.png"
    Image.fromarray(np.random.default_rng(0).integers(60, 200, (20, 24, 3), dtype=np.uint8)).save(path)
    return path


TRAIN = ("train", "--backbone", "small:width=4", "--image-size", 8, "--limit", 200, "--robust-images", 8)


def test_version(advcli: Command) -> None:
    result = advcli("--version")
    assert (result.returncode, result.stdout, result.stderr) == (0, f"advcli {__version__}\n", "")


@pytest.mark.parametrize("command", ["train", "attack", "benchmark", "explain"])
def test_help_lists_the_components(advcli: Command, command: str) -> None:
    result = advcli(command, "-h", env={"COLUMNS": "200"})
    assert result.returncode == 0
    assert "linf|l2|l1|l0" in result.stdout
    assert f"advcli {command} --help-attacks" in result.stdout
    listed = advcli(command, "--help-attacks", env={"COLUMNS": "200"})
    assert "pgd:steps=20" in listed.stdout
    assert "step: pixel values in [0, 1])" in listed.stdout


def test_no_arguments_show_help(advcli: Command) -> None:
    result = advcli()
    assert result.returncode == 2
    assert "benchmark" in result.stdout + result.stderr


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (["atack"], "No such command 'atack'. Did you mean 'attack'?", "advcli --help"),
        (["attack"], "Missing argument", "attack --help"),
        (["attack", "cat.png", "--ep", "1"], "No such option: --ep", "--eps"),
        (["attack", "dog.png"], "no such file: 'dog.png'", "cat.png"),
        (["attack", "cat.png", "--attack", "pdg"], "unknown attack 'pdg'", "did you mean 'pgd'?"),
        (["attack", "cat.png", "--eps", "8"], "covers the whole pixel range", "8/255"),
        (["attack", "cat.png", "--eps", "big"], "--eps is not a number: 'big'", "8/255"),
        (["attack", "cat.png", "--norm", "l7"], "--norm has no 'l7'", "l1"),
        (["attack", "cat.png", "--model", "mobilenetv3"], "no model 'mobilenetv3'", "mobilenetv2"),
        (["attack", "cat.png", "--weights", "no.h5"], "no such file: 'no.h5'", "weights file"),
        (["attack", "cat.png", "--labels", "no.txt"], "no such file: 'no.txt'", "one class name a line"),
        (["attack", "cat.png", "--input-range", "255"], "--input-range is not two rising numbers", "-1,1"),
        (["attack", "cat.png", "--out", "cat.png"], "is a file, not a folder", "folder"),
        (["attack", "cat.png", "--out", "new.jpg"], "looks like a file", "folder"),
        (["explain", "cat.png", "--method", "gradkam"], "unknown explainer 'gradkam'", "did you mean 'gradcam'?"),
        (["benchmark", "runs/none"], "no model 'runs/none'", ""),
        (["benchmark", "mobilenetv2", "--data", "cifar11"], "no data set called 'cifar11'", "cifar10"),
        (["train", "--resume", "runs/none"], "cannot resume 'runs/none'", "--resume names the folder of a run"),
        (["train", "--resume", "runs/none", "--batch", "4"], "--batch has no effect here", "leave it out"),
        (["train", "--epochs", "0"], "'--epochs'", "train --help"),
        (["train", "--attack", "universal"], "'universal' is one perturbation for many images", "pgd"),
        (["train", "--attack", "spatial"], "'spatial' does not search a ball", "pgd"),
        (["explain", "cat.png", "--attack", "patch"], "'patch' is one perturbation for many images", "advcli attack"),
        (["explain", "cat.png", "--attack", "spatial", "--eps", "0.1"], "'spatial' does not search a ball", "--eps"),
        (["attack", "cat.png", "--attack", "bim", "--norm", "l1"], "does not search l1 balls", "apgd"),
        (
            ["attack", "cat.png", "--attack", "deepfool", "--target", "3"],
            "'deepfool' cannot be targeted at a class",
            "",
        ),
        (["attack", "cat.png", "--attack", "spatial", "--eps", "0.1"], "'spatial' does not search a ball", "--eps"),
        (["attack", "cat.png", "--attack", "universal", "--minimal"], "one perturbation for all images", "--minimal"),
        (["attack", "cat.png", "--minimal", "--eps", "0.003"], "eps 0.003 is smaller than 1/255", "--eps"),
        (["attack", "cat.png", "--out", "cat.png/below"], "'cat.png' is a file, not a folder", "folder"),
        (["attack", "cat.png", "--queries", "9"], "'pgd' has no query budget", "square"),
        (["attack", "cat.png", "--attack", "square:queries=5", "--queries", "9"], "given twice", ""),
        (["attack", "cat.png", "--save", "clean,diference"], "--save has no 'diference'", "'difference'?"),
        (["attack", "cat.png", "--apply", "no.pattern.png"], "no such file: 'no.pattern.png'", ".pattern.png"),
        (["attack", "cat.png", "--apply", "cat.png"], "'cat.png' is not a universal perturbation", ".pattern.png"),
        (["benchmark", "mobilenetv2", "mobilenetv2", "--data", "digits"], "given twice", ""),
        (["attack", "cat.png", "--input-range", "foo"], "--input-range is not two rising numbers", "-1,1"),
        (["benchmark", "mobilenetv2"], "does not record its training data", "--data"),
        (["benchmark", "mobilenetv2", "--input-range", "0,255", "--data", "digits"], "has its own input range", ""),
    ],
)
def test_wrong_usage(advcli: Command, picture: Path, arguments: list[str], message: str, hint: str) -> None:
    result = advcli(*arguments, cwd=picture.parent)
    assert result.returncode == 2, result.stderr
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert lines[0].startswith("advcli: error: ")
    assert message in lines[0]
    assert hint in "\n".join(lines[1:])
    assert "Traceback" not in result.stderr


def test_wrong_usage_is_found_before_tensorflow_is_imported(picture: Path) -> None:
    for arguments in (
        ["attack", "cat.png", "--attack", "pdg"],
        ["attack", "cat.png", "--attack", "bim", "--norm", "l1"],
        ["benchmark", "nothing"],
        ["train", "--eps", "9"],
    ):
        code = (
            f"import sys; sys.argv = ['advcli', *{arguments!r}]\n"
            "from advcli.cli import main\n"
            "try: main()\n"
            "except SystemExit as end: assert end.code == 2, end.code\n"
            "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
        )
        subprocess.run([sys.executable, "-c", code], cwd=picture.parent, check=True, capture_output=True)


def test_attack_writes_what_it_reports(advcli: Command, model: Path, picture: Path) -> None:
    result = advcli("attack", "cat.png", "--model", model, "--eps", "0.03", "--json", cwd=picture.parent)
    assert result.returncode == 0, result.stderr
    assert result.stderr == ""
    (record,) = map(json.loads, result.stdout.splitlines())
    assert record["output"] == "cat.adv.png"
    moved = np.asarray(Image.open(picture.parent / "cat.adv.png"), int) - np.asarray(Image.open(picture), int)
    assert np.abs(moved).max() == 7
    assert record["linf"] == pytest.approx(7 / 255)
    assert record["l2"] == pytest.approx(np.linalg.norm(moved) / 255)
    again = advcli("attack", "cat.adv.png", "--model", model, "--eps", "0", "--json", cwd=picture.parent)
    assert json.loads(again.stdout)["before"] == record["after"]


def test_a_pattern_from_end_to_end(advcli: Command, model: Path, picture: Path) -> None:
    command = ("attack", "cat.png", "--model", model, "--attack", "universal:steps=5", "--eps", "20/255")
    crafted = advcli(*command, cwd=picture.parent)
    assert crafted.returncode == 0, crafted.stderr
    assert "--apply 'universal.pattern.png'" in crafted.stdout
    again = advcli(*command, "--out", "other", cwd=picture.parent)
    assert again.returncode == 0
    name = "universal.pattern.png"
    assert Image.open(picture.parent / name).tobytes() == Image.open(picture.parent / "other" / name).tobytes()
    refused = advcli(*command, "--out", "other", "--save", "clean", cwd=picture.parent)
    assert refused.returncode == 2
    assert "output exists: 'other/universal.pattern.png'" in refused.stderr
    apply = ("attack", "cat.png", "--model", model, "--apply", "other/universal.pattern.png", "--json")
    applied = advcli(*apply, "--out", "applied", cwd=picture.parent)
    assert applied.returncode == 0, applied.stderr
    record = json.loads(applied.stdout)
    assert record["attack"] == "universal:steps=5"
    assert record["eps"] == pytest.approx(20 / 255)
    for options in (["--eps", "0.1"], ["--attack", "patch"]):
        assert advcli(*apply, *options, cwd=picture.parent).returncode == 2


@pytest.mark.parametrize("attack", ["pgd", "apgd:steps=20"])
def test_l1_from_end_to_end(advcli: Command, model: Path, picture: Path, attack: str) -> None:
    command = ("attack", "cat.png", "--model", model, "--norm", "l1", "--attack", attack)
    result = advcli(*command, "--json", cwd=picture.parent)
    assert result.returncode == 0, result.stderr
    (record,) = map(json.loads, result.stdout.splitlines())
    assert (record["norm"], record["eps"]) == ("l1", 12.0)
    moved = np.asarray(Image.open(picture.parent / "cat.adv.png"), int) - np.asarray(Image.open(picture), int)
    assert 11 * 255 < np.abs(moved).sum() <= 12 * 255 or record["fooled"]
    assert np.abs(moved).sum() <= 12 * 255
    assert f"{attack}, L1 12, against" in advcli(*command, "--overwrite", cwd=picture.parent).stdout
    digits = replace(make_classifier("small:width=4", classes=10), labels=tuple("0123456789"))
    digits.save(picture.parent / "digits.keras")
    measured = advcli("benchmark", "digits.keras", "--data", "digits", "--limit", 6, "--norm", "l1", "--attack", attack)
    assert measured.returncode == 0, measured.stderr
    assert "L1 12" in measured.stdout


def test_an_l2_radius_that_no_image_can_reach_is_refused(advcli: Command, model: Path, picture: Path) -> None:
    # The image has 20 x 24 x 3 values, the model 16 x 16 x 3: sqrt(1440) is 37.9, sqrt(768) is 27.7.
    given = ("--model", model, "--norm", "l2", "--attack", "pgd:steps=1", "--json")
    refused = advcli("attack", picture, *given, "--eps", 38)
    assert refused.returncode == 1
    assert "did you mean 38/255?" in json.loads(refused.stdout)["error"]
    assert advcli("attack", picture, *given, "--eps", 37.9).returncode == 0
    small = advcli("attack", picture, *given, "--eps", 37.9, "--resize", "--overwrite")
    assert "27.7" in json.loads(small.stdout)["error"]
    unbounded = advcli("attack", picture, *given[:-1], "--eps", 37.94733, "--overwrite", "--json")
    assert unbounded.returncode == 0


def test_training_in_a_ball_beyond_every_image_is_refused(advcli: Command, tmp_path: Path) -> None:
    refused = advcli(*TRAIN, "--epochs", 1, "--objective", "pgd-at", "--norm", "l2", "--eps", 9, "--out", "run")
    assert refused.returncode == 2
    assert "did you mean 9/255?" in refused.stderr
    assert not (tmp_path / "run").exists()


def test_a_long_step_is_warned_of_and_the_record_says_the_unit(advcli: Command, model: Path, picture: Path) -> None:
    given = ("attack", picture, "--model", model, "--json", "--overwrite", "--eps", "8/255")
    long = advcli(*given, "--attack", "pgd:steps=2,step=0.1")
    assert long.returncode == 0
    assert "warning: the step 0.1 of 'pgd' is more than twice eps" in long.stderr
    short = advcli(*given, "--attack", "pgd:steps=2,step=2/255")
    assert "warning" not in short.stderr
    assert json.loads(short.stdout)["lengths"] == "pixel values in [0, 1]"


def test_the_table_is_whole_in_a_pipe(advcli: Command, model: Path, picture: Path) -> None:
    name = f"{'long' * 30}.png"
    picture.rename(picture.with_name(name))
    result = advcli("attack", name, "--model", model, cwd=picture.parent)
    assert result.returncode == 0, result.stderr
    assert name in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stdout.isascii()


def test_outputs_are_not_overwritten_unasked(advcli: Command, model: Path, picture: Path) -> None:
    (picture.parent / "cat.adv.png").write_text("mine")
    result = advcli("attack", "cat.png", "--model", model, cwd=picture.parent)
    assert result.returncode == 2
    assert "output exists: 'cat.adv.png'" in result.stderr
    assert (picture.parent / "cat.adv.png").read_text() == "mine"
    assert advcli("attack", "cat.png", "--model", model, "--overwrite", cwd=picture.parent).returncode == 0


@pytest.mark.skipif(sys.platform != "linux", reason="only there is a folder in which nobody can make a file")
@pytest.mark.parametrize(
    "arguments",
    [
        ("attack", "cat.png", "--out", "/proc/advcli"),
        ("explain", "cat.png", "--out", "/proc/advcli"),
        ("benchmark", "--data", "digits", "--out", "/proc/advcli.jsonl"),
        ("benchmark", "--data", "digits", "--report", "/proc/advcli/report.html"),
    ],
)
def test_a_folder_that_cannot_be_written_is_found_before_the_work(
    arguments: tuple[str, ...], advcli: Command, model: Path, picture: Path
) -> None:
    given = (str(model),) if arguments[0] == "benchmark" else ("--model", str(model))
    result = advcli(*arguments, *given, cwd=picture.parent)
    assert (result.returncode, result.stdout) == (2, "")
    assert "advcli: error: cannot write into '/proc" in result.stderr


def test_one_bad_file_does_not_stop_the_others(advcli: Command, model: Path, picture: Path) -> None:
    (picture.parent / "bad.png").write_bytes(b"no picture")
    result = advcli("attack", "bad.png", "cat.png", "--model", model, "--json", cwd=picture.parent)
    assert result.returncode == 1
    assert "advcli: error: 'bad.png': " in result.stderr
    assert [json.loads(line)["type"] for line in result.stdout.splitlines()] == ["failed", "attacked"]
    assert (picture.parent / "cat.adv.png").exists()


def test_a_file_that_is_no_model(advcli: Command, picture: Path) -> None:
    result = advcli("attack", "cat.png", "--model", "cat.png", cwd=picture.parent)
    assert result.returncode == 2
    assert "advcli: error: 'cat.png' is a PNG image, not a model" in result.stderr
    assert "hint: " in result.stderr
    assert "Traceback" not in result.stderr


def test_without_a_network_the_error_names_the_file_to_give(advcli: Command, picture: Path, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "KERAS_HOME": str(tmp_path)}
    result = advcli("attack", "cat.png", "--offline", cwd=picture.parent, env=home)
    assert result.returncode == 1
    assert "--weights" in result.stderr
    result = advcli("benchmark", "mobilenetv2", "--data", "mnist", "--offline", env=home)
    assert result.returncode == 1
    assert "mnist:path=" in result.stderr


def test_an_output_folder_that_cannot_be_written(advcli: Command, model: Path, picture: Path) -> None:
    (picture.parent / "file").write_text("")
    result = advcli("attack", "cat.png", "--model", model, "--out", "file/below", cwd=picture.parent)
    assert result.returncode in (1, 2)
    assert "Traceback" not in result.stderr
    assert "file" in result.stderr


def test_a_closed_pipe_is_no_error_message(model: Path, picture: Path) -> None:
    for index in range(30):
        (picture.parent / f"{index}.png").write_bytes(picture.read_bytes())
    command = f"'{sys.executable}' -m advcli attack . --model '{model}' --batch 1 --json --out out | head -n 1"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=picture.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == 141
    assert result.stderr == ""
    assert len(result.stdout.splitlines()) == 1


@pytest.mark.parametrize(("redirection", "code"), [(">&-", 0), ("2>&-", 0), (">/dev/full", 1), ("| head -n 1", 141)])
def test_streams_that_are_closed_or_full(model: Path, picture: Path, redirection: str, code: int) -> None:
    command = f"'{sys.executable}' -m advcli attack cat.png --model '{model}' --attack fgsm --json {redirection}"
    if "head" in redirection:
        command = f"'{sys.executable}' -m advcli attack --help {redirection}"
    result = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {command}"], cwd=picture.parent, capture_output=True, text=True, check=False
    )
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    assert "bug" not in result.stderr


def start_training(program: tuple[str, ...], folder: Path, *options: object) -> subprocess.Popen[str]:
    command = [*program, *TRAIN, "--out", "run", "--json", *options]
    return subprocess.Popen(
        [str(part) for part in command], cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_train_interrupted_and_resumed_ends_like_one_that_was_not(
    advcli: Command, program: tuple[str, ...], tmp_path: Path
) -> None:
    # With a rate that does not depend on the end, a run of another length than planned is one that was planned so long;
    # and with so many epochs none is over before the signal comes, however busy the machine is.
    process = start_training(program, tmp_path, "--epochs", 500, "--schedule", "constant", "--warmup", 0)
    assert process.stdout is not None
    assert json.loads(process.stdout.readline())["epoch"] == 1
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "hint: continue with: advcli train --resume run" in stderr
    assert "Traceback" not in stderr
    done = len((tmp_path / "run" / "history.csv").read_text().splitlines()) - 1
    resumed = advcli("train", "--resume", "run", "--epochs", done + 1, "--json")
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout.splitlines()[-1])["type"] == "trained"
    whole = advcli(*TRAIN, "--out", "whole", "--epochs", done + 1, "--schedule", "constant", "--warmup", 0)
    assert whole.returncode == 0, whole.stderr

    def rows(run: str) -> list[str]:
        return [line.rpartition(",")[0] for line in (tmp_path / run / "history.csv").read_text().splitlines()]

    assert rows("run") == rows("whole")
    states = [np.load(tmp_path / run / "checkpoint" / "state.npz") for run in ("run", "whole")]
    for name in states[0].files:
        if name.startswith("variable"):
            np.testing.assert_array_equal(states[0][name], states[1][name])


def test_a_run_is_not_overwritten_unasked(advcli: Command, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "notes.txt").write_text("mine")
    result = advcli(*TRAIN, "--out", "run")
    assert result.returncode == 2
    assert "run folder exists: 'run'" in result.stderr


def test_every_command_on_one_run(advcli: Command, tmp_path: Path) -> None:
    trained = advcli(*TRAIN, "--objective", "clean", "--epochs", 2)
    assert trained.returncode == 0, trained.stderr
    run = tmp_path / "runs" / "digits-small-clean"
    assert {path.name for path in run.iterdir()} == {
        *("model.keras", "best-clean.keras", "best-robust.keras", "last.keras"),
        *("history.csv", "curves.png", "run.json", "checkpoint"),
    }
    lines = [line for line in trained.stderr.splitlines() if line.startswith("epoch ")]
    assert len(lines) == 2
    assert "\r" not in trained.stderr

    scored = advcli("benchmark", run, "--limit", 20, "--attack", "fgsm", "--eps", "0", "--json")
    assert scored.returncode == 0, scored.stderr
    found = [json.loads(line) for line in scored.stdout.splitlines()]
    assert {record["type"] for record in found} == {"score", "calibration", "check"}
    records = {record["perturbation"]: record for record in found if record["type"] == "score"}
    assert set(records) == {"clean", "fgsm", "worst"}
    assert records["fgsm"]["correct"] == records["clean"]["correct"]
    assert records["clean"]["images"] == 20
    assert records["clean"]["low"] <= records["clean"]["accuracy"] <= records["clean"]["high"]

    Image.fromarray(np.random.default_rng(0).integers(0, 255, (8, 8), dtype=np.uint8)).save(tmp_path / "x.png")
    explained = advcli("explain", "x.png", "--model", run, "--attack", "fgsm")
    assert explained.returncode == 0, explained.stderr
    assert not [line for line in explained.stderr.splitlines() if not line.startswith("advcli: ")]
    assert (tmp_path / "maps" / "x.explain.png").exists()


def test_explain_leaves_out_what_a_model_has_no_map_for(advcli: Command, picture: Path) -> None:
    make_classifier("linear").save(picture.parent / "linear.keras")
    result = advcli("explain", "cat.png", "--model", "linear.keras", cwd=picture.parent)
    assert result.returncode == 0, result.stderr
    assert "left out gradcam" in result.stderr
    asked = advcli(
        "explain", "cat.png", "--model", "linear.keras", "--method", "gradcam", "--out", "x", cwd=picture.parent
    )
    assert asked.returncode == 1
    assert not (picture.parent / "x").exists()


def test_quiet_leaves_errors_alone(advcli: Command, picture: Path) -> None:
    result = advcli("attack", "cat.png", "--model", "cat.png", "--quiet", cwd=picture.parent)
    assert result.returncode == 2
    assert "advcli: error: " in result.stderr


def test_class_names_that_the_terminal_cannot_show(advcli: Command, model: Path, picture: Path) -> None:
    labels = picture.parent / "labels.txt"
    labels.write_text("猫\nchien\nネコ\nkočka\n", encoding="utf-8")
    environment = {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PATH": os.environ["PATH"]}
    result = advcli("attack", "cat.png", "--model", model, "--labels", labels, cwd=picture.parent, env=environment)
    assert result.returncode == 0, result.stderr
    assert "\\u" in result.stdout
