"""The rules of the house that a machine can check."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

import advcli
import readme
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
    "schedules",
)
COMPONENTS = [(family, name) for family in FAMILIES for name in registry.names(family)]

# A module may import its own layer's lower neighbours and every layer below.
LAYERS = [
    {"cli", "__main__"},
    {"tasks"},
    {"search"},
    set(FAMILIES),
    {"report"},
    {"model", "data", "opponent", "linear_head", "download", "keras_file", "layers", "feature_map"}
    | {"frozen", "plain", "folding", "convolution"},
    {"threat", "png", "images", "draws", "l1_ball"},
    {"backend", "registry", "records", "options", "parsing"},
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
    for name in imports(file):
        if not name.startswith("advcli."):
            continue
        parts = name.split(".")
        target = parts[1] if parts[1] in LEVEL else "__init__"
        assert LEVEL[own] <= LEVEL[target], f"{own} imports {name}"
        if own in FAMILIES and target in FAMILIES:
            assert target == own, f"a component imports another family: {name}"
            assert len(parts) < 4 or parts[2].startswith("_") or (ROOT / own / f"{parts[2]}.py").exists() is False


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_only_the_backend_imports_tensorflow(file: Path) -> None:
    if file.name != "backend.py":
        assert not [name for name in imports(file) if name.partition(".")[0] in ("tensorflow", "keras", "tf_keras")]


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_no_vague_names(file: Path) -> None:
    assert not re.search(r"utils|common|manager|helper", file.stem)


@pytest.mark.parametrize(("family", "name"), COMPONENTS)
def test_components_describe_themselves(family: str, name: str) -> None:
    summary = registry.summary(family, name)
    assert summary.endswith(".")
    assert len(summary) <= 110
    source = (ROOT / family / f"{name.replace('-', '_')}.py").read_text()
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


def test_the_readmes_tables_are_those_of_the_components() -> None:
    text = readme.README.read_text()
    assert set(re.findall(r"^<!-- (\w+) -->$", text, re.MULTILINE)) == {*FAMILIES, "end"}
    assert readme.renewed(text) == text, "python tests/readme.py writes them anew"


def test_the_readme_shows_a_component_as_it_is() -> None:
    assert (ROOT / "attacks" / "fgsm.py").read_text().rstrip() in readme.README.read_text()


@cache
def help_of(command: str) -> str:
    return subprocess.run(
        [sys.executable, "-m", "advcli", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
        env={"COLUMNS": "300", "PATH": ""},
    ).stdout


def test_the_readmes_commands_exist() -> None:
    readme = (ROOT.parent / "README.md").read_text()
    commands = re.findall(r"^(?:\$ )?advcli (\w+)(.*)$", readme, re.MULTILINE)
    assert len(commands) >= 8
    for command, options in commands:
        for option in re.findall(r"(?<!\S)--[a-z-]+", options):
            assert option in help_of(command), f"advcli {command} has no {option}"
