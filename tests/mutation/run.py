"""Mutation tests: change one operator, constant, argument or statement at a time, and see that a test fails.

    python tests/mutation/run.py --sample 150 --seed 0        a random sample of all mutants
    python tests/mutation/run.py --paths advcli/threat/threat.py     all mutants of some files
    python tests/mutation/run.py --again                      those that survived once more, after new tests

The unchanged tests run first and show which functions each of them calls; a mutant is run against the tests that call
its function, fast ones first, in a fork that has TensorFlow imported already. More than a few times the processor time
of the unchanged tests is a kill. Results are kept in a JSON file, so that an interrupted run goes on where it was;
those of a file that has changed are forgotten. Needs Linux.
"""

import argparse
import fnmatch
import gc
import itertools
import json
import math
import os
import random
import sys
import tempfile
from pathlib import Path
from typing import Any

from forks import fork_tests, run_all
from mutants import ROOT, Mutant, digest, mutants_of

# What is mutated, and the test files that are to notice.
PATHS = {
    "advcli/threat/threat.py": ("test_threat.py", "test_l1_ball.py", "test_component_defaults.py", "test_pgd.py"),
    "advcli/threat/l1_ball.py": ("test_l1_ball.py", "test_threat.py"),
    "advcli/threat/rng.py": ("test_draws.py", "test_threat.py"),
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
        [f"advcli/attacks/{name}.py" for name in ("_decision", "geoda", "hopskipjump", "nes", "noise", "simba")],
        ("test_black_box_attacks.py", "test_decision_attacks.py", "test_attack_formulas.py"),
    ),
    # The fast gradient sign family.
    "advcli/attacks/*.py": ("test_gradient_attacks.py", "test_attack_formulas.py"),
    "advcli/objectives/*.py": ("test_objective*.py", "test_augmix.py", "test_component_defaults.py"),
    "advcli/modifiers/*.py": ("test_modifiers.py", "test_component_defaults.py"),
    "advcli/explainers/*.py": ("explainers/*.py", "test_feature_map.py", "test_component_defaults.py"),
    "advcli/corruptions/*.py": ("test_corruption*.py", "test_optics_and_sensor.py"),
    "advcli/tasks/benchmark/intervals.py": ("tasks/benchmark/test_statistics.py",),
    "advcli/tasks/benchmark/significance.py": ("tasks/benchmark/test_summary.py", "tasks/benchmark/test_pairs.py"),
    "advcli/tasks/benchmark/randomized_smoothing.py": ("tasks/benchmark/test_certification.py",),
    "advcli/tasks/benchmark/corruption_error.py": ("tasks/benchmark/test_corruption_error.py",),
}
PATHS |= {
    path: (*files, "test_component_defaults.py") for path, files in PATHS.items() if path.startswith("advcli/attacks/")
}


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
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--paths", nargs="*", default=list(PATHS), help="files to mutate, or patterns of them")
    parser.add_argument("--sample", type=int, help="how many mutants; all by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--again", action="store_true", help="run those that survived once more")
    parser.add_argument("--results", type=Path, default=Path(tempfile.gettempdir(), "advcli-mutants.json"))
    options = parser.parse_args()
    listed = sorted({str(file.relative_to(ROOT)) for pattern in options.paths for file in ROOT.glob(pattern)})
    every = {mutant.key(): mutant for path in listed for mutant in mutants_of(path)}
    print(f"{len(every)} mutants of {len(listed)} files")
    kept = json.loads(options.results.read_text()) if options.results.exists() else {"files": {}, "mutants": {}}
    chosen = random.Random(options.seed).sample(list(every), min(options.sample or len(every), len(every)))
    if options.again:
        chosen = [key for key in every if not kept["mutants"].get(key, {"killed": True})["killed"]]
        for key in chosen:
            del kept["mutants"][key]
    test_mutants([every[key] for key in chosen if key not in kept["mutants"]], kept, options)
    print_table([mutant for key, mutant in every.items() if key in kept["mutants"]], kept["mutants"])


def test_mutants(mutants: list[Mutant], kept: dict[str, Any], options: Any) -> None:
    """Run the unchanged tests where they are not known, then the mutants."""
    # Imported, but not begun: no operation runs before the fork, so TensorFlow has no threads yet.
    os.environ |= {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
    import keras  # noqa: F401  so that forks have it
    import pytest  # noqa: F401  so that forks have it
    import scipy.ndimage
    import scipy.stats  # noqa: F401  so that forks have it
    import tensorflow  # noqa: F401  so that forks have it

    gc.freeze()

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
        time = next(times)
        os.utime(file, (time, time))

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
    for mutant in mutants:
        if not tests_of(mutant):
            keep(mutant, False, "no test calls it", 0)
    run_all([mutant for mutant in mutants if tests_of(mutant)], options.workers, start, judge)


def print_table(mutants: list[Mutant], results: dict[str, Any]) -> None:
    """Print the score of each file so far, and what survived."""
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
