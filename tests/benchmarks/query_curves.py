"""How near decision-based attacks come for a number of queries: the median distance over all images.

    ADVCLI_TEST_DATA=DIR python tests/benchmarks/query_curves.py DIR/models/trades_mnist.keras
    ADVCLI_TEST_DATA=DIR python tests/benchmarks/query_curves.py DIR/models/trades_mnist.keras --targeted

Each number of queries is a run of its own, because a budget determines how an attack spends it. An image that an attack
does not fool counts as infinitely far. With ``--targeted`` each image is to reach the class after its own, from the
first image of that class in the data that the model classifies correctly.
"""

import math
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from advcli import registry
from advcli.backend import tf
from advcli.data.decoded import decode, to_eight_bits
from advcli.datasets import find
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

SHARED = Path(os.environ.get("ADVCLI_TEST_DATA", "../shared"))
BUDGETS = (250, 500, 1000, 2000, 5000)
ATTACKS = ("hopskipjump", "geoda")


def main(
    model: Path,
    attack: Annotated[
        list[str] | None, typer.Option(help="A spec; all decision-based attacks if none is given.")
    ] = None,
    queries: Annotated[list[int] | None, typer.Option(help="A number of queries.")] = None,
    norm: Norm = Norm.L2,
    targeted: bool = False,
    images: int = 50,
    data: str = f"mnist:path={SHARED}/data/mnist.npz",
    seed: int = 0,
) -> None:
    """Print one line an attack and number of queries."""
    classifier = ModelChoice(str(model), input_range=(0.0, 1.0)).load()
    test = find(data)().test
    pixels, labels = correct(classifier, *decode(test.sample(None, images, seed), *size_of(classifier)).at(slice(None)))
    print(f"{classifier.name}: {len(labels)} of {images} test images are classified correctly, seed {seed}")
    print(f"{'attack':34}{'queries':>9}{'used':>7}{'fooled':>9}{'median':>9}{'mean':>9}{'seconds':>9}")
    starts = first_of_each_class(
        classifier, *decode(test.sample(None, 200, seed), *size_of(classifier)).at(slice(None))
    )
    for spec in attack or ATTACKS:
        for budget in queries or BUDGETS:
            begin = time.perf_counter()
            named = f"{spec}{',' if ':' in spec else ':'}queries={budget}"
            size, used = np.full(len(labels), math.inf), 0
            for target in range(len(classifier.labels)) if targeted else (None,):
                rows = np.arange(len(labels))
                if target is not None:
                    rows = np.flatnonzero(labels == (target - 1) % len(classifier.labels))
                threat = Threat(norm, 0.999 if norm is Norm.LINF else math.sqrt(pixels[0].size), target)
                compiled = CompiledAttack(
                    classifier.inference_copy,
                    registry.build("attacks", named),
                    threat,
                    seed,
                    None if target is None else starts[target],
                )
                if len(rows):
                    found = compiled.search(pixels[rows], labels[rows])
                    fooled = np.asarray(threat.is_adversarial_class(found.predicted, labels[rows]))
                    distance = threat.size(tf.constant(found.points - pixels[rows])).numpy()
                    size[rows] = np.where(fooled, distance, math.inf)
                    used = max(used, int(found.queries.max()))
            fooled = np.isfinite(size)
            print(
                f"{spec:34}{budget:9}{used:7}{fooled.sum():>5}/{len(labels):<3}{np.median(size):9.3f}"
                f"{size[fooled].mean():9.3f}{time.perf_counter() - begin:9.1f}",
                flush=True,
            )


def size_of(classifier: Classifier) -> tuple[tuple[int, int], int]:
    """Return the size and the channels of a model's images."""
    return classifier.image_size, classifier.channels


def correct(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the images that the model classifies correctly."""
    kept = classifier.classes(pixels) == labels
    return pixels[kept].astype(np.float32), labels[kept].astype(np.int32)


def first_of_each_class(classifier: Classifier, pixels: np.ndarray, labels: np.ndarray) -> dict[int, np.ndarray]:
    """Return the first correct image of each class: (H, W, C) uint8."""
    pixels, labels = correct(classifier, pixels, labels)
    return {int(label): to_eight_bits(pixels[np.argmax(labels == label)]) for label in np.unique(labels)}


if __name__ == "__main__":
    typer.run(main)
