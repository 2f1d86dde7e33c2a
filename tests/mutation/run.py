"""Mutation tests: change one operator, constant, argument or statement at a time, and see that a test fails.

    python tests/mutation/run.py --sample 150 --seed 0        a random sample of all mutants
    python tests/mutation/run.py --paths advcli/threat.py     all mutants of some files
    python tests/mutation/run.py --sample 150 --again         those of the sample that survived, after new tests

The unchanged tests run first and show which functions each of them calls; a mutant is run against the tests that call
its function, fast ones first, in a fork that has TensorFlow imported already. More than a few times the processor time
of the unchanged tests is a kill. Results are kept in a JSON file, so that an interrupted run goes on where it was;
those of a file that has changed are forgotten. Needs Linux.
"""

import argparse
import ast
import copy
import difflib
import fnmatch
import hashlib
import itertools
import json
import math
import os
import random
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

# What is mutated, and the test files that are to notice.
PATHS = {
    "advcli/threat.py": ("test_threat.py", "test_l1_ball.py", "test_pgd.py"),
    "advcli/l1_ball.py": ("test_l1_ball.py", "test_threat.py"),
    "advcli/draws.py": ("test_draws.py", "test_threat.py"),
    "advcli/attacks/__init__.py": ("test_pgd.py", "test_minimal_attacks.py", "test_apgd.py"),
    "advcli/attacks/apgd.py": ("test_apgd.py",),
    "advcli/attacks/_sparse.py": ("test_apgd.py",),
    "advcli/attacks/autoattack.py": ("test_autoattack.py",),
    "advcli/attacks/square.py": ("test_square.py",),
    "advcli/attacks/_rounds.py": ("test_pgd.py", "test_square.py", "test_apgd.py", "test_minimal_attacks.py"),
    "advcli/attacks/pgd.py": ("test_pgd.py", "test_attack_formulas.py"),
    "advcli/attacks/spatial.py": ("test_spatial.py",),
    "advcli/attacks/_warp.py": ("test_spatial.py", "test_universal_attacks.py"),
    "advcli/attacks/patch.py": ("test_universal_attacks.py", "test_attack_formulas.py"),
    "advcli/attacks/universal.py": ("test_universal_attacks.py", "test_attack_formulas.py"),
    "advcli/attacks/fab.py": ("test_fab.py",),
    "advcli/attacks/_minimal.py": ("test_minimal_attacks.py", "test_attack_formulas.py"),
    **dict.fromkeys(
        [f"advcli/attacks/{name}.py" for name in ("cw", "ddn", "deepfool", "fmn")],
        ("test_minimal_attacks.py", "test_attack_formulas.py"),
    ),
    **dict.fromkeys(
        [f"advcli/attacks/{name}.py" for name in ("hopskipjump", "nes", "noise", "simba")],
        ("test_black_box_attacks.py", "test_attack_formulas.py"),
    ),
    # The fast gradient sign family.
    "advcli/attacks/*.py": ("test_gradient_attacks.py", "test_attack_formulas.py"),
    "advcli/objectives/*.py": ("test_objective*.py", "test_augmix.py", "test_options.py"),
    "advcli/modifiers/*.py": ("test_modifiers.py", "test_objective_formulas.py"),
    "advcli/explainers/*.py": ("explainers/*.py", "test_feature_map.py"),
    "advcli/corruptions/*.py": ("test_corruption*.py",),
    "advcli/tasks/benchmarking/statistics.py": ("benchmarking/test_statistics.py",),
    "advcli/tasks/benchmarking/pairs.py": ("benchmarking/test_summary.py", "benchmarking/test_statistics.py"),
    "advcli/tasks/benchmarking/certification.py": ("benchmarking/test_certification.py",),
    "advcli/tasks/benchmarking/corruption_error.py": ("benchmarking/test_corruption_error.py",),
}
SWAPPED = {
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult,
    ast.Pow: ast.Mult, ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd,
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is, ast.And: ast.Or, ast.Or: ast.And,
}  # fmt: skip
REVERSED = {ast.Lt: ast.GtE, ast.LtE: ast.Gt, ast.Gt: ast.LtE, ast.GtE: ast.Lt}
PARTNERS = {"reduce_sum": "reduce_mean", "minimum": "maximum", "argmax": "argmin", "reduce_max": "reduce_min"}
PARTNERS |= {"sum": "mean", "min": "max", "floor": "ceil", "reduce_any": "reduce_all", "any": "all"}
PARTNERS |= {partner: name for name, partner in PARTNERS.items()}
# Calls that may be replaced by their first argument.
WRAPPERS = set("abs sqrt square sign stop_gradient clip_by_value clip softmax round rint exp".split())


@dataclass(frozen=True)
class Mutant:
    """One change of one file: the bytes from ``start`` to ``end`` become ``text``."""

    path: str
    line: int
    start: int
    end: int
    text: str
    functions: tuple[str, ...]

    def source(self) -> bytes:
        before = (ROOT / self.path).read_bytes()
        return before[: self.start] + self.text.encode() + before[self.end :]

    def diff(self) -> str:
        before, after = ((ROOT / self.path).read_text().splitlines(), self.source().decode().splitlines())
        lines = difflib.unified_diff(before, after, lineterm="", n=0)
        return "\n".join(f"    {line}" for line in lines if line[:2] not in ("--", "++", "@@"))

    def key(self) -> str:
        return f"{self.path}:{self.line}:{self.start}-{self.end}:{self.text}:{digest(ROOT / self.path)}"


def digest(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()[:10]


def alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """What may stand in a node's place."""

    def changed(change: Callable[[Any], object]) -> ast.AST:
        new = copy.deepcopy(node)
        change(new)
        return new

    match node:
        case ast.BinOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPPED:
            yield changed(lambda new: setattr(new, "op", SWAPPED[type(op)]()))
        case ast.Compare(ops=[op]):
            for table in (SWAPPED, REVERSED):
                if type(op) in table:
                    yield changed(lambda new, table=table: setattr(new, "ops", [table[type(op)]()]))
        case ast.UnaryOp(op=ast.USub() | ast.Not() | ast.Invert()):
            yield node.operand
        case ast.IfExp():
            yield changed(lambda new: (setattr(new, "body", node.orelse), setattr(new, "orelse", node.body)))
        case ast.Constant(value=bool(value)):
            yield ast.Constant(not value)
        case ast.Constant(value=int(value)):
            yield ast.Constant(value + 1)
            yield ast.Constant(value - 1) if value else ast.UnaryOp(ast.USub(), ast.Constant(1))
        case ast.Constant(value=float(value)):
            yield ast.Constant(2 * value if value else 1.0)
        case ast.Call(func=func, args=args):
            name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
            if len(args) > 1 and not any(isinstance(argument, ast.Starred) for argument in args):
                yield changed(lambda new: new.args.__setitem__(slice(-2, None), [args[-1], args[-2]]))
            if name in PARTNERS:
                field = "attr" if isinstance(func, ast.Attribute) else "id"
                yield changed(lambda new: setattr(new.func, field, PARTNERS[name]))
            if name in WRAPPERS and args:
                yield args[0]
            elif name in WRAPPERS and isinstance(func, ast.Attribute):
                yield func.value


def mutants_of(path: str) -> list[Mutant]:
    """List every change of a file, in its order."""
    source = (ROOT / path).read_bytes()
    begins = [0]
    for line in source.splitlines(keepends=True):
        begins.append(begins[-1] + len(line))
    found: list[Mutant] = []

    def add(node: Any, text: str, functions: tuple[str, ...]) -> None:
        start, end = begins[node.lineno - 1] + node.col_offset, begins[node.end_lineno - 1] + node.end_col_offset
        if ast.unparse(ast.parse(text)) != ast.unparse(node):
            found.append(Mutant(path, node.lineno, start, end, text, functions))

    def visit(node: ast.AST, functions: tuple[str, ...], known: set[str]) -> None:
        if isinstance(node, ast.FunctionDef):
            functions, known = (*functions, node.name), {argument.arg for argument in node.args.args}
            children: list[ast.AST] = [*node.args.defaults, *node.args.kw_defaults, *node.body]  # type: ignore[list-item]
        elif isinstance(node, ast.AnnAssign):
            children = [node.value] if node.value and "ClassVar" not in ast.unparse(node.annotation) else []
        elif isinstance(node, (ast.Raise, ast.JoinedStr, ast.Import, ast.ImportFrom)):
            return
        else:
            children = list(ast.iter_child_nodes(node))
        # Without a first assignment nothing runs: only those that change something that is there are left out.
        if isinstance(node, ast.AugAssign):
            add(node, "pass", functions)
        if isinstance(node, ast.Assign):
            names = {name.id for target in node.targets for name in ast.walk(target) if isinstance(name, ast.Name)}
            if functions and names <= known:
                add(node, "pass", functions)
            known |= names
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call) and functions:
            add(node, "pass", functions)
        for new in alternatives(node):
            add(node, f"({ast.unparse(new)})", functions)
        for child in children:
            # A constant on its own is a docstring; a default that is not there is None.
            if child and not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant)):
                visit(child, functions, known)

    visit(ast.parse(source), (), set())
    return found


class Recorder:
    """Keeps how long each test takes, the functions that it calls, and which failed."""

    def __init__(self, trace: bool) -> None:
        self.traces = trace
        self.tests: dict[str, tuple[float, list[str]]] = {}
        self.failed: list[str] = []

    def pytest_runtest_protocol(self, item: Any, nextitem: Any) -> None:
        self.ran: set[str] = set()
        self.begun = time.process_time()
        sys.settrace(self.trace if self.traces else None)

    def trace(self, frame: Any, event: str, argument: Any) -> None:
        # AutoGraph's copies of a function have its globals, and its name with a prefix.
        module = frame.f_globals.get("__name__") or ""
        if module.startswith("advcli."):
            self.ran.add(f"{module}:{frame.f_code.co_name.removeprefix('tf__')}")

    def pytest_runtest_logfinish(self, nodeid: str, location: Any) -> None:
        sys.settrace(None)
        self.tests[nodeid] = (round(time.process_time() - self.begun, 2), sorted(self.ran))

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)


def fork_tests(tree: Path, tests: list[str], seconds: float, trace: bool, report: Path) -> int:
    """Run tests in a fork that sees the tree's advcli, and return the process."""
    if child := os.fork():
        return child
    recorder = Recorder(trace)
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (math.ceil(seconds), math.ceil(seconds) + 1))
        resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
        silent = os.open(report.with_suffix(".log"), os.O_CREAT | os.O_TRUNC | os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        os.chdir(tree)
        sys.path[:] = [str(tree), *(path for path in sys.path if Path(path or ".").resolve() != ROOT)]
        import pytest

        options = ["-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"]
        code = pytest.main([*options, *([] if trace else ["-x"]), *tests], plugins=[recorder])
        report.write_text(json.dumps({"tests": recorder.tests, "failed": recorder.failed}))
        os._exit(code)
    finally:
        os._exit(99)


def run_all(jobs: list[Any], workers: int, start: Callable[[Any, Path, Path], int], done: Callable[..., None]) -> None:
    """Run jobs side by side, each in a tree of its own, and hand on how each ended."""
    with tempfile.TemporaryDirectory() as folder:
        free, running = [], {}
        for number in range(workers):
            free.append(Path(folder, str(number)))
            for name in ("advcli", "tests", "examples"):
                shutil.copytree(ROOT / name, free[-1] / name, ignore=shutil.ignore_patterns("__pycache__"))
            for name in ("pyproject.toml", "README.md"):
                shutil.copy(ROOT / name, free[-1])
        waiting = list(reversed(jobs))
        while waiting or running:
            while waiting and free:
                tree, job = free.pop(), waiting.pop()
                report = tree.with_suffix(".json")
                report.unlink(missing_ok=True)
                running[start(job, tree, report)] = (job, tree, report)
            process, status, usage = os.wait3(0)
            job, tree, report = running.pop(process)
            free.append(tree)
            found = json.loads(report.read_text()) if report.exists() else {"tests": {}, "failed": []}
            done(job, tree, os.waitstatus_to_exitcode(status), found, usage.ru_utime + usage.ru_stime)


def wilson(part: int, whole: int) -> tuple[float, float]:
    z = 1.959964
    middle, spread = part + z * z / 2, z * math.sqrt(part * (whole - part) / whole + z * z / 4)
    return (middle - spread) / (whole + z * z), (middle + spread) / (whole + z * z)


def files_of(path: str) -> list[str]:
    """The test files that are to notice a change of a file."""
    patterns = next(tests for pattern, tests in PATHS.items() if fnmatch.fnmatch(path, pattern))
    found = {file for pattern in patterns for file in (ROOT / "tests").glob(pattern)}
    return sorted(str(file.relative_to(ROOT)) for file in found if file.name.startswith("test_"))


def main() -> None:
    """Run the mutants that were asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--paths", nargs="*", default=list(PATHS), help="files to mutate, or patterns of them")
    parser.add_argument("--sample", type=int, help="how many mutants; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="run those that survived once more")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir(), "advcli-mutants.json"))
    options = parser.parse_args()
    listed = sorted({str(file.relative_to(ROOT)) for pattern in options.paths for file in ROOT.glob(pattern)})
    mutants = [mutant for path in listed for mutant in mutants_of(path)]
    print(f"{len(mutants)} mutants of {len(listed)} files")
    if options.sample:
        mutants = random.Random(options.seed).sample(mutants, min(options.sample, len(mutants)))
    kept = json.loads(options.results.read_text()) if options.results.exists() else {"files": {}, "mutants": {}}
    test_mutants(mutants, kept, options)
    print_table(mutants, kept["mutants"])


def test_mutants(mutants: list[Mutant], kept: dict[str, Any], options: Any) -> None:
    """Run the unchanged tests where they are not known, then the mutants."""
    # Imported, but not begun: no operation runs before the fork, so TensorFlow has no threads yet.
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras  # noqa: F401
    import pytest  # noqa: F401
    import scipy.ndimage
    import scipy.stats  # noqa: F401
    import tensorflow  # noqa: F401

    def save() -> None:
        new = options.results.with_suffix(".new")
        new.write_text(json.dumps(kept, indent=1))
        new.replace(options.results)

    def learn(file: str, tree: Path, code: int, found: Any, seconds: float) -> None:
        if code or found["failed"]:
            sys.exit(f"{file} fails without a mutation:\n{tree.with_suffix('.log').read_text()[-3000:]}")
        kept["files"][file] = {"digest": digest(ROOT / file), "tests": found["tests"]}
        print(f"{file}: {len(found['tests'])} tests, {seconds:.0f} s", flush=True)
        save()

    needed = sorted({file for mutant in mutants for file in files_of(mutant.path)})
    unknown = [file for file in needed if kept["files"].get(file, {}).get("digest") != digest(ROOT / file)]
    run_all(unknown, options.workers, lambda file, tree, to: fork_tests(tree, [file], 3000, True, to), learn)

    def tests_of(mutant: Mutant) -> dict[str, float]:
        module = mutant.path.removesuffix(".py").replace("/", ".").removesuffix(".__init__")
        stem = Path(mutant.path).stem
        marks = {f"{module}:{mutant.functions[0]}"} if mutant.functions else set()
        tests = {t: v for file in files_of(mutant.path) for t, v in kept["files"][file]["tests"].items()}
        return {
            test: seconds
            for test, (seconds, ran) in sorted(tests.items(), key=lambda test: test[1][0])
            if (marks & set(ran) if marks else any(name.startswith(f"{module}:") for name in ran) or stem in test)
        }

    def start(mutant: Mutant, tree: Path, report: Path) -> int:
        write(tree / mutant.path, mutant.source())
        tests = tests_of(mutant)
        return fork_tests(tree, list(tests), 4 * sum(tests.values()) + 30, False, report)

    def write(file: Path, source: bytes) -> None:
        file.write_bytes(source)
        # A time of its own, or Python takes the byte code that it made of another source.
        os.utime(file, (next(times),) * 2)

    def judge(mutant: Mutant, tree: Path, code: int, found: Any, seconds: float) -> None:
        write(tree / mutant.path, (ROOT / mutant.path).read_bytes())
        by = next(iter(found["failed"]), f"exit {code}" if code else "")
        keep(mutant, bool(code), by, seconds)

    def keep(mutant: Mutant, killed: bool, by: str, seconds: float) -> None:
        results[mutant.key()] = {"killed": killed, "by": by, "seconds": round(seconds, 1)}
        print(f"{'killed  ' if killed else 'SURVIVED'} {mutant.path}:{mutant.line} {seconds:.0f} s {by}", flush=True)
        save()

    times = itertools.count(10**9)
    results = kept["mutants"]
    todo = [m for m in mutants if m.key() not in results or (options.again and not results[m.key()]["killed"])]
    for mutant in todo:
        if not tests_of(mutant):
            keep(mutant, False, "no test calls it", 0)
    run_all([mutant for mutant in todo if tests_of(mutant)], options.workers, start, judge)


def print_table(mutants: list[Mutant], results: dict[str, Any]) -> None:
    """Print the score of each file, and what survived."""
    total = [0, 0]
    print(f"\n{'file':50} killed      95% interval")
    for path in sorted({mutant.path for mutant in mutants}):
        verdicts = [results[mutant.key()]["killed"] for mutant in mutants if mutant.path == path]
        total = [total[0] + sum(verdicts), total[1] + len(verdicts)]
        print_score(path, sum(verdicts), len(verdicts))
    print_score("all", *total)
    for mutant in mutants:
        if not results[mutant.key()]["killed"]:
            print(f"\nsurvived: {mutant.path}:{mutant.line}\n{mutant.diff()}")


def print_score(name: str, killed: int, whole: int) -> None:
    low, high = wilson(killed, whole)
    print(f"{name:50} {killed:4}/{whole:<4} {killed / whole:6.1%}  [{low:.1%}, {high:.1%}]")


if __name__ == "__main__":
    main()
