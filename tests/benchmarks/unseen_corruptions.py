"""A recipe beside the base on corruptions that training never saw: several training seeds, all severities.

    python tests/benchmarks/unseen_corruptions.py DATA --base RUN RUN RUN --recipe RUN RUN RUN [--first 500]

One row for each corruption of ImageNet-C-bar, or of another --group: the mean accuracy of both groups of runs over the
severities 1 to 5, and p-values at severity 3 and over all severities. The test flips the sign of each image's mean
difference (100,000 random flips): images are independent, the severities and runs of one image are not. Below it: the
expected calibration error of each group (15 bins of equal mass) over these predictions together, the mean over runs.
"""

import argparse
from pathlib import Path

import numpy as np
from recipes import error_of, predictions

from advcli import registry
from advcli.corruptions import corrupted
from advcli.data.decoded import Images, decode
from advcli.datasets import find
from advcli.model.classifier import Classifier
from advcli.model.load import load

SEVERITIES = range(1, 6)
FLIPS = 100_000


def sign_flip_test(differences: np.ndarray) -> float:
    """Return the two-sided p-value of a mean of zero: (N,) one difference for each image."""
    changed = differences[differences != 0]
    if not len(changed):
        return 1.0
    signs = np.random.default_rng(0).integers(0, 2, (FLIPS, len(changed)), np.int8) * 2 - 1
    as_far = np.abs(signs @ changed) >= abs(changed.sum()) - 1e-9
    return float((1 + as_far.sum()) / (1 + FLIPS))


def measure(classifiers: list[Classifier], images: Images, names: list[str]) -> np.ndarray:
    """Classify corrupted images: -> (C, S, R, N, K) probabilities of C corruptions, S severities and R runs."""
    pixels, _ = images.at(slice(None))
    return np.array(
        [
            [
                [predictions(classifier, changed) for classifier in classifiers]
                for changed in (corrupted(name, pixels, severity, 0) for severity in SEVERITIES)
            ]
            for name in names
        ]
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data")
    parser.add_argument("--base", nargs="+", type=Path, required=True)
    parser.add_argument("--recipe", nargs="+", type=Path, required=True)
    parser.add_argument("--first", type=int, default=500)
    parser.add_argument("--group", default="bar")
    given = parser.parse_args()
    members = registry.names("corruptions")
    names = [name for name in members if registry.component("corruptions", name).group == given.group]
    classifiers = [load(run / "model.keras", run.name) for run in (*given.base, *given.recipe)]
    size, channels = classifiers[0].image_size, classifiers[0].channels
    images = decode(find(given.data)().test.sample(None, given.first, 0), size, channels)
    scores = measure(classifiers, images, names)
    correct = scores.argmax(axis=-1) == images.labels
    groups = {"base": slice(0, len(given.base)), "recipe": slice(len(given.base), None)}
    # The mean over runs: (C, S, N).
    base, recipe = (correct[:, :, part].mean(axis=2) for part in groups.values())
    gain = recipe - base
    print("| corruption | base | recipe | difference | p, severity 3 | p, all severities |\n|---|---|---|---|---|---|")
    for row, name in enumerate(names):
        middle, overall = sign_flip_test(gain[row, 2]), sign_flip_test(gain[row].mean(axis=0))
        before, after = 100 * base[row].mean(), 100 * recipe[row].mean()
        print(f"| {name} | {before:.1f} | {after:.1f} | {after - before:+.1f} | {middle:.2g} | {overall:.2g} |")
    print(f"mean of all severities: {100 * base.mean():.1f} -> {100 * recipe.mean():.1f}")
    print(f"mean of severity 3: {100 * base[:, 2].mean():.1f} -> {100 * recipe[:, 2].mean():.1f}")
    for group, part in groups.items():
        for which, chosen in {"severity 3": slice(2, 3), "all severities": slice(None)}.items():
            runs = np.moveaxis(scores[:, chosen, part], 2, 0)
            labels = np.broadcast_to(images.labels, runs.shape[1:-1]).ravel()
            errors = [error_of(run.reshape(-1, run.shape[-1]), labels) for run in runs]
            print(f"ECE of all predictions together, {group}, {which}: {100 * np.mean(errors):.1f}")


if __name__ == "__main__":
    main()
