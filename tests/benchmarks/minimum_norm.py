"""The minimum-norm attacks here beside those of Foolbox and of ART, in a ball without a bound.

    pip install -e ".[bench]"
    ADVCLI_TEST_DATA=DIR python tests/benchmarks/minimum_norm.py DIR/models/trades_mnist.keras
    ADVCLI_TEST_DATA=DIR python tests/benchmarks/minimum_norm.py DIR/models/trades_mnist.keras --norm l2 --only deepfool

Every attack searches the images that the model gets right; the size of a perturbation counts where the
model misclassifies the perturbed image, and an image that an attack does not fool counts as infinitely far.
The last column compares with the best median of all other attacks in the table; DeepFool, which goes to the
first misclassified point, is to be compared with DeepFool.
"""

import math
import os
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import peers
import typer
from peers import Search

from advcli import registry
from advcli.backend import tf
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

SHARED = Path(os.environ.get("ADVCLI_TEST_DATA", "../shared"))
OURS = {Norm.L2: ("deepfool", "fmn", "fab", "cw", "ddn"), Norm.LINF: ("deepfool", "fmn", "fab")}


def main(
    model: Path,
    norm: Annotated[list[Norm] | None, typer.Option(help="Both if none is given.")] = None,
    only: Annotated[str, typer.Option(help="Run the attacks whose name contains this.")] = "",
    images: int = 50,
    data: str = f"mnist:path={SHARED}/data/mnist.npz",
    seed: int = 0,
) -> None:
    """Print one line an attack: images fooled, median and mean size, seconds."""
    warnings.filterwarnings("ignore")
    classifier = ModelChoice(str(model), input_range=(0.0, 1.0)).load()
    sample = decode(find(data)().test.sample(None, images, seed), classifier.image_size, classifier.channels)
    pixels, labels = sample.at(slice(None))
    correct = classifier.predict(pixels).argmax(axis=1) == labels
    pixels, labels = pixels[correct].astype(np.float32), labels[correct].astype(np.int32)
    print(f"{classifier.name}: {len(labels)} of {images} test images are classified correctly, seed {seed}")
    for one in norm or list(OURS):
        rows = []
        for name, search in searches(classifier, one, pixels.shape[1:], seed):
            if only not in name:
                continue
            start = time.perf_counter()
            try:
                found = search(pixels, labels)
            except AssertionError as error:
                # Foolbox asserts that every image has a starting point that fools the model.
                print(f"{name}: failed, {error or 'an assertion of its own'}", file=sys.stderr, flush=True)
                continue
            seconds = time.perf_counter() - start
            fooled = classifier.predict(found).argmax(axis=1) != labels
            size = np.where(fooled, Threat(one).size(tf.constant(found - pixels)).numpy(), math.inf)
            rows.append((name, int(fooled.sum()), float(np.median(size)), float(np.mean(size[fooled])), seconds))
            print(f"{name}: median {rows[-1][2]:.4f}, {seconds:.0f} s", file=sys.stderr, flush=True)
        show(one, rows, len(labels))


def show(norm: Norm, rows: list[tuple[str, int, float, float, float]], of: int) -> None:
    """Print a table of one norm."""
    print(f"\n{norm:38}{'fooled':>9}{'median':>9}{'mean':>9}{'seconds':>9}  median to the best other")
    for name, fooled, median, mean, seconds in rows:
        others = [row[2] for row in rows if row[0] != name]
        ratio = median / min(others) - 1 if others and math.isfinite(min(others)) else math.nan
        print(f"{name:38}{fooled:>5}/{of:<3}{median:9.4f}{mean:9.4f}{seconds:9.1f}{ratio:+10.1%}", flush=True)


def searches(classifier: Classifier, norm: Norm, shape: tuple[int, ...], seed: int) -> Iterator[tuple[str, Search]]:
    """Make the attacks of one norm, each only when it is to run."""
    for spec in OURS[norm]:
        yield f"advcli {spec}", our_search(classifier, spec, norm, shape, seed)
    model = peers.traced(classifier.model)
    yield from peers.foolbox_minimum_norm(model, norm)
    yield from peers.art_minimum_norm(model, norm, shape, len(classifier.labels))


def our_search(classifier: Classifier, spec: str, norm: Norm, shape: tuple[int, ...], seed: int) -> Search:
    """Give an attack here the largest ball there is."""
    eps = math.sqrt(math.prod(shape)) if norm is Norm.L2 else 0.999
    compiled_attack = CompiledAttack(
        classifier.inference_copy, registry.build("attacks", spec), Threat(norm, eps), seed
    )
    return lambda pixels, labels: compiled_attack(pixels, labels)[0]


if __name__ == "__main__":
    typer.run(main)
