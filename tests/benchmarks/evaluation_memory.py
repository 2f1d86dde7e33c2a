"""Peak memory of an evaluation of few images and of many, which lie on disk.

    python tests/benchmarks/evaluation_memory.py

Each size is measured in a process of its own: clean, a corruption and PGD, kept in a file of results.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from advcli import registry
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.data.split import Split
from advcli.model.classifier import Classifier
from advcli.records import Protocol
from advcli.tasks.benchmark.measure import evaluate_attacks, evaluate_shared
from advcli.tasks.benchmark.models import measured
from advcli.tasks.benchmark.perturbations import attacks_under, corruptions_of
from advcli.tasks.benchmark.plan import CLEAN, Plan
from advcli.tasks.benchmark.predictions import Results
from advcli.tasks.benchmark.results_file import Journal
from advcli.threat.threat import Threat

EDGE, CLASSES = 32, 10


def evaluate(count: int) -> int:
    """Evaluate so many images; return the process's peak memory in bytes."""
    labels = tuple(f"kind {i}" for i in range(CLASSES))
    classifier = Classifier(
        "small", registry.build("backbones", "small:width=8")(CLASSES, EDGE, 3, None), labels, (EDGE, EDGE)
    )
    with tempfile.TemporaryDirectory() as folder:
        pixels = np.memmap(Path(folder) / "pixels", np.uint8, "w+", shape=(count, EDGE, EDGE, 3))
        generator = np.random.default_rng(0)
        for start in range(0, count, 1000):
            pixels[start : start + 1000] = generator.integers(0, 256, (min(1000, count - start), EDGE, EDGE, 3))
        pixels.flush()
        shape = pixels.shape
        del pixels
        images = Images(np.memmap(Path(folder) / "pixels", np.uint8, "r", shape=shape), np.zeros(count, np.int32))
        empty = Split(np.zeros(0, np.int32), lambda index: np.zeros(0), str)
        dataset = Dataset("random", labels, empty, empty, EDGE)
        models = measured([classifier], dataset, [images], np.arange(count))
        what = (CLEAN, *corruptions_of(("contrast",), (1, 5)), *attacks_under(
            {"pgd": registry.build("attacks", "pgd:steps=2")}, [Threat()]
        ))  # fmt: skip
        plan = Plan("random", labels, 0, count, models[0].rows, (models[0].subject,), what)
        protocol = Protocol(
            model="small", data="random", seed=0, models=(), classes=labels, images=count, sample="", pixels={},
            perturbations=(), certify=None, shard=None, options={}, environment={},
        )  # fmt: skip
        journal = Journal.begin(Path(folder) / "results.jsonl", protocol)
        results = Results(count)
        for step in (evaluate_shared, evaluate_attacks):
            for _ in step(plan, models, results, journal.append, 64):
                pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, help="measure one size in this process")
    asked = parser.parse_args()
    if asked.images:
        print(evaluate(asked.images))
    else:
        sizes = {}
        for size in (5_000, 50_000):
            command = [sys.executable, __file__, "--images", str(size)]
            sizes[size] = int(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            print(f"{size:6,} images: {sizes[size] / 1e6:,.0f} MB at most")
        # Pages of the file that the system keeps for a while count as the process's.
        more = (sizes[50_000] - sizes[5_000]) / 1e6
        print(f"{more:+.0f} MB for 45,000 more images, of which their pixels, mapped from disk, are 138 MB")
