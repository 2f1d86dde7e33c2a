"""What ``advcli train`` refuses, and that it does so before TensorFlow is imported."""

import json
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from advcli import registry

REFUSED = [
    # Names
    ("--objective trade", "unknown objective 'trade'", "trades"),
    ("--backbone mobilenet2", "unknown backbone 'mobilenet2'", "mobilenetv2"),
    ("--schedule cosin", "unknown schedule 'cosin'", "cosine"),
    ("--modifier awq", "unknown modifier 'awq'", "awp"),
    ("--augment flop", "unknown augmentation 'flop'", "flip"),
    ("--optimizer adamv", "unknown optimizer 'adamv'", "adamw"),
    ("--guard stopp", "--guard has no 'stopp'", "did you mean 'stop'?"),
    ("--unfreeze tail", "--unfreeze has no 'tail'", "plateau, all, head"),
    # Values
    ("--schedule cyclic:peak=2", "peak of cyclic is not between 0 and 1", ""),
    ("--learning-rate 0", "--learning-rate must be above 0", ""),
    ("--learning-rate inf", "--learning-rate is infinite", "number"),
    ("--warmup inf", "--warmup is infinite", "number"),
    ("--warmup nan", "'--warmup'", "train --help"),
    ("--weight-decay inf", "--weight-decay is infinite", "number"),
    ("--clip-norm inf", "--clip-norm is infinite", "number"),
    ("--eps-warmup inf --objective pgd-at", "--eps-warmup is infinite", "number"),
    ("--ema 1", "'--ema'", "train --help"),
    ("--momentum -1", "'--momentum'", "train --help"),
    ("--eps 8", "covers the whole pixel range", "8/255"),
    ("--weights none.h5", "no such file: 'none.h5'", "weights file"),
    ("--against nothing", "'nothing' is not a run folder", "--against names a finished run"),
    # What would be ignored
    ("--objective clean --attack pgd", "'clean' does not train with --attack", "pgd-at"),
    ("--objective nsl --attack pgd:steps=3", "'nsl' does not train with --attack", "leave it out"),
    ("--objective pgd-at --eps-warmup 3 --epochs 2", "the radius grows for 3 epochs, but only 2 train", "--epochs"),
    (
        "--objective pgd-at --eps-warmup 1.5 --epochs 2 --adv-start-epoch 2",
        "the radius grows for 1.5 epochs, but only 1 train",
        "--epochs",
    ),
    ("--objective nsl --eps-warmup 1", "'nsl' does not train in the ball of --eps", "--eps-warmup"),
    ("--stages 3", "--stages and --patience are for --unfreeze plateau", "leave them out"),
    ("--patience 2 --unfreeze all", "--stages and --patience are for --unfreeze plateau", "leave them out"),
    ("--optimizer adamw --momentum 0.5", "adamw has no --momentum", "--optimizer sgd"),
    ("--objective clean --adv-start-epoch 2", "'clean' is clean from the first epoch", "--adv-start-epoch"),
    ("--resume run --schedule cosine", "--schedule has no effect here", "leave it out"),
    ("finished", "'finished' is given without an option", "--average"),
    ("--select clean", "--select is for --average", "leave it out"),
    ("--average finished", "1 runs are too few to average", "two or more"),
    ("--average finished finished", "'finished' is given twice", "leave one out"),
    ("--average finished other --epochs 3", "--epochs has no effect here", "leave it out"),
    ("--average finished other --plan", "--plan has no effect here", "leave it out"),
    ("--average finished other --labels names.txt", "--labels has no effect here", "leave it out"),
    ("--average mine.keras finished", "'mine.keras' does not record its training data", "run folders"),
    ("--average mobilenetv2 finished", "'mobilenetv2' is not a run", "run folders"),
    ("--resume run --average", "--average has no effect here", "leave it out"),
    ("--labels names.txt", "--labels is for a model to start from", "--model"),
    ("--input-range 0,255", "--input-range is for a model to start from", "--model"),
    ("--unsafe-load", "--unsafe-load is for a model to start from", "--model"),
    # What does not go together
    ("--model mine.keras --backbone mobilenetv2 --data digits", "--model and --backbone are two networks", "one of"),
    ("--model mine.keras --weights none --data digits", "--model and --weights are two networks", "one of them"),
    ("--model mine.keras", "'mine.keras' does not record its training data", "--data"),
    ("--model mobilenetv2 --data digits", "'mobilenetv2' is a backbone", "--backbone mobilenetv2 --weights imagenet"),
    ("--model mine.kera --data digits", "no model 'mine.kera'", ""),
    ("--model finished --data digits --out finished --overwrite", "'finished' holds the model", "another --out"),
    ("--objective fgsm-rs --norm l1", "'fgsm-rs' does not train in l1 balls", "linf, l2"),
    ("--objective free --norm l2", "'free' does not train in l2 balls", "linf"),
    ("--modifier gradalign --norm l2", "'gradalign' does not train in l2 balls", "linf"),
    ("--objective pgd-at --attack cw", "'cw' does not search linf balls", "l2"),
    ("--objective pgd-at --attack autoattack", "'autoattack' is a suite", "one of its attacks"),
    ("--objective pgd-at --adv-start-epoch 9 --epochs 8", "there are only 8 epochs", "--adv-start-epoch"),
    ("--unfreeze head", "a head on untrained features learns little", "--weights"),
    ("--twin --against finished", "--twin and --against are both a comparison", "one of them"),
    ("--against finished --out ./finished --overwrite", "'finished' cannot be compared with itself", "another --out"),
    ("--out finished/model.keras/below", "model.keras' is a file, not a folder", "--out"),
    ("--limit 1", "1 of the 1438 training images: too few", "a higher --limit"),
    ("--objective nsl --amp", "'nsl' searches in the pass that also trains", "leave --amp out"),
    ("--objective n-fgsm --modifier gradalign --amp", "'gradalign' searches in the pass that also trains", "n-fgsm"),
    ("--twin --objective clean", "a clean run is the same as its twin", "--twin"),
]

# Every call in one process: only the first pays for starting Python.
_SCRIPT = """
import contextlib, io, json, sys
from advcli.cli import main
results = []
for arguments in json.load(sys.stdin):
    sys.argv = ["advcli", "train", *arguments]
    streams = [io.TextIOWrapper(io.BytesIO(), "utf-8") for _ in range(2)]
    with contextlib.redirect_stdout(streams[0]), contextlib.redirect_stderr(streams[1]):
        try:
            main()
        except SystemExit as end:
            code = end.code
    texts = []
    for stream in streams:
        stream.flush()
        texts.append(stream.buffer.getvalue().decode())
    results.append([code, *texts, sorted({"tensorflow", "keras"} & set(sys.modules))])
json.dump(results, sys.stdout)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[int, str, str, list[str]]]:
    """Exit code, output, error and the heavy modules that were imported, by the arguments."""
    folder = tmp_path_factory.mktemp("calls")
    (folder / "finished").mkdir()
    for path in (folder / "finished" / "model.keras", folder / "mine.keras"):
        with zipfile.ZipFile(path, "w") as archive:
            for member in ("config.json", "metadata.json", "model.weights.h5"):
                archive.writestr(member, "{}")
    calls = [arguments.split() for arguments, _, _ in REFUSED]
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT], input=json.dumps(calls), cwd=folder, capture_output=True, text=True, check=True
    )
    assert sorted(path.name for path in folder.iterdir()) == ["finished", "mine.keras"]
    return {case[0]: tuple(result) for case, result in zip(REFUSED, json.loads(done.stdout), strict=True)}


@pytest.mark.parametrize(("arguments", "message", "hint"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(arguments: str, message: str, hint: str, results: dict[str, tuple[int, str, str, list[str]]]) -> None:
    code, stdout, stderr, imported = results[arguments]
    first, *rest = stderr.splitlines()
    assert (code, stdout, imported) == (2, "", [])
    assert first.startswith("advcli: error: ")
    assert message in first
    assert hint in "\n".join(rest)


def test_every_family_that_training_is_made_of_is_in_its_help() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "advcli", "train", "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "250", "PATH": ""},
        cwd=Path(__file__).parent,
    )
    for family in ("datasets", "backbones", "objectives", "modifiers", "augmentations", "schedules", "attacks"):
        for name in registry.names(family):
            assert re.search(rf"\b{name}\b", done.stdout)
            assert f"advcli train --help-{family}" in " ".join(done.stdout.split())
