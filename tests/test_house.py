"""The rules of the house that a machine can check."""

import ast
import io
import re
import subprocess
import sys
import tokenize
from collections import Counter
from pathlib import Path

import pytest

import advcli
from advcli import registry

ROOT = Path(advcli.__file__).parent
FILES = sorted(ROOT.rglob("*.py"))
FAMILIES = (
    "attacks",
    "augmentations",
    "backbones",
    "checks",
    "corruptions",
    "datasets",
    "explainers",
    "modifiers",
    "objectives",
    "recipes",
    "schedules",
)
COMMANDS = ("train", "attack", "benchmark", "explain")
COMPONENTS = [(family, name) for family in FAMILIES for name in registry.names(family)]

# What has no name of its own yet.
TO_BE_NAMED = {"radius"}

# A module may import its own layer's lower neighbours and every layer below.
LAYERS = [
    {"cli", "__main__", "library"},
    {"testing", "tasks"},
    {"search"},
    set(FAMILIES),
    {"model", "data", "report"},
    {"threat", "files"},
    {"tracing", "keywords"},
    {"backend", "registry", "records", "options", "parsing"},
    {"plugins"},
    {"errors", "__init__"},
]
LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def module_of(file: Path) -> str:
    return file.relative_to(ROOT).parts[0].removesuffix(".py")


def imports(file: Path) -> list[str]:
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found += [f"{module}.{alias.name}" for alias in node.names] if module.startswith("advcli") else [module]
    return found


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_point_down(file: Path) -> None:
    own = module_of(file)
    if own == "__init__":
        # Its names are imported when they are used; type checkers read them from their homes.
        return
    for name in imports(file):
        if not name.startswith("advcli."):
            continue
        parts = name.split(".")
        target = parts[1] if parts[1] in LEVEL else "__init__"
        assert LEVEL[own] <= LEVEL[target], f"{own} imports {name}"
        if own in FAMILIES and target in FAMILIES:
            assert target == own, f"a component imports another family: {name}"
            assert len(parts) < 4 or parts[2].startswith("_") or (ROOT / own / f"{parts[2]}.py").exists() is False


TASKS = {
    "attack": "attack",
    "benchmark": "benchmark",
    "train": "train",
    "explain": "explain",
    "explaining": "explain",
}
# Training says at its end how two runs compare, by the score that the benchmark gives.
ACROSS = {("train", "advcli.tasks.benchmark.quick_score"), ("train", "advcli.tasks.benchmark.perturbations")}


@pytest.mark.parametrize("file", sorted((ROOT / "tasks").rglob("*.py")), ids=lambda file: str(file.relative_to(ROOT)))
def test_a_task_imports_no_other_task(file: Path) -> None:
    part = file.relative_to(ROOT / "tasks").parts[0].removesuffix(".py")
    for name in imports(file):
        parts = name.split(".")
        if name.startswith("advcli.tasks.") and parts[2] in TASKS and (part, ".".join(parts[:4])) not in ACROSS:
            assert part in TASKS, f"what tasks share imports {name}"
            assert TASKS[part] == TASKS[parts[2]], f"{part} imports {name}"


# Training validates with the attacks that its records name: FGSM and PGD.
NAMED = {("tasks/train/validation.py", "fgsm"), ("tasks/train/validation.py", "pgd")}
# Defaults and protocols, which the user reads as specs.
DEFAULTS = {"tasks/request.py", "tasks/train/request.py", "tasks/benchmark/request.py"}
DEFAULT_NAMES = r"DEFAULT_\w+|ATTACKS"
# Words that also name something else: a view of an image, a way of unfreezing, a field of a record.
WORDS = {
    "clean",
    "plateau",
    "contrast",
    "flip",
    "noise",
    "digits",
    "input-range",
    "zero-gradients",
    "small",
    "folder",
    "article",
    "corruptions",
    "robust",
    "crop",
}


@pytest.mark.parametrize(
    "file",
    sorted(file for part in ("tasks", "search", "cli") for file in (ROOT / part).rglob("*.py")),
    ids=lambda file: str(file.relative_to(ROOT)),
)
def test_tasks_name_no_component(file: Path) -> None:
    place = str(file.relative_to(ROOT))
    known = {name for family, name in COMPONENTS if family not in ("corruptions", "datasets")}
    for name in imports(file):
        parts = name.split(".")
        if parts[0] == "advcli" and len(parts) > 3 and parts[1] in FAMILIES and parts[2].replace("_", "-") in known:
            assert (place, parts[2]) in NAMED, f"imports {name}"
    for statement in ast.parse(file.read_text()).body:
        if isinstance(statement, ast.Assign) and re.fullmatch(DEFAULT_NAMES, ast.unparse(statement.targets[0])):
            continue
        for node in ast.walk(statement):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and place not in DEFAULTS:
                assert registry.canonical(node.value) not in known - WORDS, f"names {node.value}"


@pytest.mark.parametrize("task", ["attack", "benchmark", "train"])
def test_a_task_has_a_run_its_options_and_its_rules(task: str) -> None:
    names = {file.stem for file in (ROOT / "tasks" / task).glob("*.py")}
    assert {"run", "request", "validate"} <= names


def test_options_stand_in_requests_only() -> None:
    assert not list((ROOT / "cli").glob("*_options.py"))
    for file in (ROOT / "cli").rglob("*.py"):
        assert file.name in ("app.py", "options.py", "component_lists.py") or "typer.Option" not in file.read_text(), (
            file
        )


def test_folders_are_named_after_things() -> None:
    folders = {file.parent.name for file in FILES}
    assert {name for name in folders if name.endswith("ing")} <= {"explaining"}


# Names that several modules define because callers use them in the same way.
PROTOCOL = {"COMPONENT", "COMPONENTS", "Request", "Execution", "run", "check", "plan", "read", "title"}
# The four commands, and what reads a model, have the same names on the command line and in Python.
PROTOCOL |= {"train", "attack", "benchmark", "explain", "load", "start"}


def test_a_public_name_has_one_home() -> None:
    homes: dict[str, set[str]] = {}
    for file in FILES:
        if file.parent.name in FAMILIES and not file.stem.startswith("_") and file.stem != "__init__":
            continue
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                homes.setdefault(node.name, set()).add(str(file.relative_to(ROOT)))
    shared = {name: files for name, files in homes.items() if len(files) > 1 and name not in PROTOCOL | TO_BE_NAMED}
    assert not shared


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_backend_imports_tensorflow(file: Path) -> None:
    if file.name != "backend.py":
        assert not [name for name in imports(file) if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_one_module_calls_what_tensorflow_keeps_for_ever(file: Path) -> None:
    if file.name != "tracing.py":
        assert not re.search(r"\btf\.(numpy_function|py_function|custom_gradient|recompute_grad)\b", file.read_text())


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_vague_names(file: Path) -> None:
    assert not re.search(r"utils|common|manager|helper", file.stem)


def test_few_values_are_of_any_type() -> None:
    found = Counter({str(file.relative_to(ROOT)): len(re.findall(r"\bAny\b", file.read_text())) for file in FILES})
    assert found.total() < 100, found.most_common(10)


@pytest.mark.parametrize(("family", "name"), COMPONENTS)
def test_components_describe_themselves(family: str, name: str) -> None:
    summary = registry.summary(family, name)
    assert summary.endswith(".")
    assert len(summary) <= 110
    source = registry.component_file(family, name).read_text()
    for option in registry.options(family, name):
        assert re.search(rf"^        {option}: ", source, re.MULTILINE), f"option {option} is not documented"


@pytest.mark.parametrize(("family", "name"), COMPONENTS)
def test_components_are_frozen_and_built_from_their_defaults(family: str, name: str) -> None:
    needed = [option for option, default in registry.options(family, name).items() if not default]
    component = registry.build(family, f"{name}:{','.join(f'{option}=x' for option in needed)}")
    with pytest.raises(AttributeError):
        component.anything = 1


@pytest.mark.parametrize(
    "arguments", ["--help", "--version", "train --help", "attack --help", "benchmark --help", "explain -h"]
)
def test_help_imports_nothing_heavy(arguments: str) -> None:
    code = (
        "import sys\n"
        f"sys.argv = ['advcli', *{arguments.split()!r}]\n"
        "from advcli.cli import main\n"
        "try: main()\n"
        "except SystemExit as end: assert not end.code, end.code\n"
        "heavy = {'tensorflow', 'keras', 'numpy', 'matplotlib', 'scipy', 'skimage', 'sklearn', 'PIL'}\n"
        "found = heavy & set(sys.modules)\n"
        "assert not found, found\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("arguments", "budget"), [("", 0.6), *((name, 0.7) for name in COMMANDS)])
def test_help_is_quick(arguments: str, budget: float) -> None:
    code = (
        "import resource, subprocess, sys\n"
        f"command = [sys.executable, '-m', 'advcli', *{arguments.split()!r}, '--help']\n"
        "subprocess.run(command, stdout=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime)\n"
    )
    times = []
    # A busy machine makes a process slower, never faster.
    while len(times) < 6 and min(times, default=9.0) > budget:
        times.append(float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout))
    assert min(times) <= budget


SILENCING = re.compile(r"#\s*(noqa|type:\s*ignore|pyright:|ruff:)", re.IGNORECASE)
REASONED = re.compile(
    r"# noqa: [A-Z]+\d+(, [A-Z]+\d+)*  \w.*"
    r"|# pyright: ignore\[report\w+(, report\w+)*\]  \w.*"
    r"|# pyright: report\w+=false(, report\w+=false)*"  # pyright takes no text behind it
)


def unreasoned(file: Path) -> list[str]:
    """Return the comments that silence a checker without a rule or a reason; that of a file is the comment above."""
    text = file.read_text()
    if not SILENCING.search(text):
        return []
    lines = text.splitlines()
    found = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and SILENCING.search(token.string):
            of_file = token.string.startswith("# pyright: report")
            if not REASONED.fullmatch(token.string) or (of_file and not lines[token.start[0] - 2].startswith("# ")):
                found.append(f"{file.name}:{token.start[0]}: {token.string}")
    return found


def test_what_silences_a_checker_names_the_rule_and_the_reason() -> None:
    top = ROOT.parent
    files = [file for folder in ("advcli", "tests", "examples") for file in (top / folder).rglob("*.py")]
    assert not [line for file in files for line in unreasoned(file)]


@pytest.mark.parametrize(
    ("comment", "is_fine"),
    [
        ("# noqa: S603  runs this interpreter", True),
        ("# pyright: ignore[reportCallIssue, reportArgumentType]  the stubs lack it", True),
        ("# noqa", False),
        ("# noqa: S603", False),
        ("# type: ignore", False),
        ("# type: ignore[arg-type]  a reason", False),
        ("# pyright: ignore", False),
        ("# pyright: ignore[reportCallIssue]", False),
        ("# ruff: noqa", False),
    ],
)
def test_a_rule_without_a_reason_is_found(comment: str, is_fine: bool, tmp_path: Path) -> None:
    file = tmp_path / "module.py"
    file.write_text(f"text = 1  {comment}\n")
    assert (not unreasoned(file)) is is_fine


# A path from the root of a machine, but none that every machine or an example has; and the number of an issue.
PLACE = re.compile(
    r"""(?:^|(?<=[\s"'`(=,]))/(?!(?:bin|dev|elsewhere|etc|lib|proc|tmp|usr|v1|wheel)\b)[A-Za-z][\w.-]*/\w[\w./-]*"""
    r"|\bissues? #?\d+",
    re.IGNORECASE | re.MULTILINE,
)


def test_nothing_names_the_place_where_it_was_written() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT.parent, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a clone")
    found = []
    for name in filter(None, listed.stdout.decode().split("\0")):
        content = (ROOT.parent / name).read_bytes() if (ROOT.parent / name).is_file() else b"\0"
        if b"\0" not in content:
            found += [f"{name}: {match[0]}" for match in PLACE.finditer(content.decode())]
    assert not found


@pytest.mark.parametrize(
    ("text", "is_place"),
    [
        ("see {}site/of/mine", True),
        ("'{}site/of/mine'", True),
        ("Issue " + "#16", True),
        ("#!/usr/bin/env bash", False),
        ("runs/one/model.keras, and/or, https://a.org/b/c, ../b/c, /tmp/a/b", False),
    ],
)
def test_a_place_is_told_from_a_relative_path(text: str, is_place: bool) -> None:
    assert bool(PLACE.search(text.replace("{}", "/"))) is is_place
