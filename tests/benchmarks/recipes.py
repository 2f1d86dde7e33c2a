"""What each recipe is worth: a base run and others on the same test images, as a table in Markdown.

    python tests/benchmarks/recipes.py DATA BASE RUN... [--first 500] [--attacked 100] [--unseen bar]

Columns: clean; three noises; the fifteen corruptions of ImageNet-C at severities 1, 3 and 5; the corruptions of a group
that no augmentation uses, at severity 3; FGSM at 2/255, 4/255 and 0.2; PGD-20 and, on the first images (--attacked 0:
not), AutoAttack at 2/255 and 4/255; the expected calibration error (15 bins of equal mass) on clean images and over the
unseen corruptions. Below the table: each unseen corruption beside the base, with the p-value of McNemar's exact test.
"""

import argparse
import json
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
from scipy.stats import binomtest

from advcli import registry
from advcli.augmentations import noise_augmentations
from advcli.backend import tf
from advcli.corruptions import PUBLISHED, corrupted
from advcli.data.decoded import Images, decode
from advcli.datasets import find
from advcli.model.classifier import Classifier
from advcli.model.load import load
from advcli.tasks.benchmark.perturbations import noise_on_all
from advcli.tasks.calibration import calibration_error
from advcli.threat.rng import ImageRng

BATCH = 50


def predictions(classifier: Classifier, pixels: np.ndarray) -> np.ndarray:
    """Classify images: -> (N, K) probabilities."""
    return np.concatenate([classifier.predict(pixels[i : i + BATCH]) for i in range(0, len(pixels), BATCH)])


def error_of(scores: np.ndarray, labels: np.ndarray) -> float:
    """Return the expected calibration error: (N, K), (N,)."""
    return calibration_error(scores.max(axis=1), scores.argmax(axis=1) == labels)


def noisy(name: str, pixels: np.ndarray) -> np.ndarray:
    """Add a noise to every image, as 8 bits."""
    seeds = np.stack([np.arange(len(pixels)), np.zeros(len(pixels), int)], axis=1).astype(np.int32)
    found = np.asarray(noise_on_all(name)(tf.constant(pixels), ImageRng(tf.constant(seeds))))
    return np.round(np.clip(found, 0, 1) * 255).astype(np.float32) / 255


def attacked(run: Path, data: str, attacks: list[str], radii: list[str], first: int) -> dict[str, float]:
    """Return the accuracy under attacks, by the command line: ``pgd 2/255`` and so on."""
    chosen = [word for attack in attacks for word in ("--attack", attack)]
    command = [sys.executable, "-m", "advcli", "benchmark", str(run), "--data", data, "--eps", ",".join(radii), *chosen]
    options = ["--first", str(first), "--no-checks", "--json"]
    lines = subprocess.run([*command, *options], capture_output=True, text=True, check=True).stdout.splitlines()
    scores = [record for record in map(json.loads, lines) if record["type"] == "score"]
    found = {}
    for radius in radii:
        eps = float(Fraction(radius))
        found |= {
            f"{record['perturbation']} {radius}": record["accuracy"]
            for record in scores
            if record["eps"] is not None and abs(record["eps"] - eps) < 1e-9
        }
    return found


def measure(
    run: Path, data: str, images: Images, unseen: list[str], strong: int
) -> tuple[dict[str, float], np.ndarray]:
    """Measure one run: -> its row, and which images it classifies correctly under each unseen corruption."""
    classifier = load(run / "model.keras", run.name)
    pixels, labels = images.at(slice(None))
    clean = predictions(classifier, pixels)
    row = {"clean": (clean.argmax(axis=1) == labels).mean()}
    noises = [predictions(classifier, noisy(name, pixels)).argmax(axis=1) == labels for name in noise_augmentations()]
    row["3 noises"] = np.mean(noises)
    published = [
        (predictions(classifier, corrupted(name, pixels, severity, 0)).argmax(axis=1) == labels).mean()
        for name in PUBLISHED
        for severity in (1, 3, 5)
    ]
    row["15 corruptions"] = np.mean(published)
    answers = [predictions(classifier, corrupted(name, pixels, 3, 0)) for name in unseen]
    correct = np.array([scores.argmax(axis=1) == labels for scores in answers])
    row["unseen"] = correct.mean()
    usual = attacked(run, data, ["fgsm", "pgd:steps=20"], ["2/255", "4/255", "0.2"], len(images))
    for column in ("fgsm 2/255", "fgsm 4/255", "fgsm 0.2", "pgd:steps=20 2/255", "pgd:steps=20 4/255"):
        row[column] = usual[column]
    if strong:
        found = attacked(run, data, ["autoattack"], ["2/255", "4/255"], strong)
        row |= {column: accuracy for column, accuracy in found.items() if column.startswith("autoattack ")}
    row["ECE clean"] = error_of(clean, labels)
    row["ECE unseen"] = float(np.mean([error_of(scores, labels) for scores in answers]))
    return row, correct


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--first", type=int, default=500)
    parser.add_argument("--attacked", type=int, default=100)
    parser.add_argument("--unseen", default="bar")
    given = parser.parse_args()
    members = registry.names("corruptions")
    unseen = [name for name in members if registry.component("corruptions", name).group == given.unseen]
    dataset = find(given.data)()
    first = load(given.runs[0] / "model.keras", "base")
    images = decode(dataset.test.sample(None, given.first, 0), first.image_size, first.channels)
    found = {run: measure(run, given.data, images, unseen, given.attacked) for run in given.runs}
    rows = {run: row for run, (row, _) in found.items()}
    columns = list(rows[given.runs[0]])
    print("| run |", " | ".join(columns), "|\n|---|" + "---|" * len(columns))
    for run, row in rows.items():
        print(f"| {run.name} |", " | ".join(f"{100 * row[column]:.1f}" for column in columns), "|")
    base = found[given.runs[0]][1]
    for run in given.runs[1:]:
        print(f"\n{run.name} beside {given.runs[0].name} on unseen corruptions")
        for name, before, now in zip(unseen, base, found[run][1], strict=True):
            better, worse = int((now & ~before).sum()), int((before & ~now).sum())
            p = binomtest(better, better + worse).pvalue if better + worse else 1.0
            print(f"{name:<28} {100 * before.mean():.1f} -> {100 * now.mean():.1f}  p {p:.2g}")


if __name__ == "__main__":
    main()
