"""How many images crafted on one network fool the others: transfer attacks side by side.

    ADVCLI_TEST_DATA=DIR python tests/benchmarks/transfer_matrix.py
    ADVCLI_TEST_DATA=DIR python tests/benchmarks/transfer_matrix.py --images 20 --attack vmifgsm --attack bsr

The networks are MobileNetV2 at 224 and at 128 pixels (other features of the same weights) and EfficientNet-Lite0; the
images are photos of ImageNet's classes, cropped. An image counts for a pair of networks if both classify it correctly
before the attack, and as fooled if the second one misclassifies it afterwards. A network's own column is white box.
"""

import csv
import os
import time
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from advcli import registry
from advcli.backend import tf
from advcli.data import images as image_files
from advcli.data.decoded import to_float
from advcli.model.classifier import Classifier
from advcli.model.model_choice import ModelChoice
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Threat

SHARED = Path(os.environ.get("ADVCLI_TEST_DATA", "../shared"))
SIZE = 224


def main(
    images: int = 40,
    attack: Annotated[list[str] | None, typer.Option()] = None,
    eps: float = 16 / 255,
    batch: int = 10,
    seed: int = 0,
) -> None:
    """Print a row of each attack's matrix for each network, and the mean over the pairs of different networks."""
    networks = load()
    pixels, labels = read_photos(images)
    correct = {each.name: each.classes(pixels) == labels for each in networks}
    counts = ", ".join(f"{name} {int(good.sum())}" for name, good in correct.items())
    print(f"{len(labels)} photos, Linf {eps:.4f}; correct before: {counts}")
    shares: dict[str, list[float]] = {}
    for source in networks:
        for spec in attack or ["mifgsm", "difgsm", "vmifgsm", "bsr"]:
            start = time.perf_counter()
            found = craft(source, spec, Threat(eps=eps), pixels, labels, batch, seed)
            seconds = (time.perf_counter() - start) / len(labels)
            row = []
            for target in networks:
                counted = correct[source.name] & correct[target.name]
                fooled = (target.classes(found) != labels)[counted]
                row.append(f"{target.name} {int(fooled.sum())}/{len(fooled)}")
                if target is not source:
                    shares.setdefault(spec, []).append(float(fooled.mean()))
            print(f"{source.name}, {spec}: {', '.join(row)}; {seconds:.1f} s a photo", flush=True)
    for spec, each in shares.items():
        print(f"{spec}: {np.mean(each):.1%} on average to another network", flush=True)


def load() -> list[Classifier]:
    """Load the three networks."""
    models = SHARED / "models"
    labels = models / "imagenet_class_index.json"
    weights = str(models / "mobilenet_v2_1.0_224.weights.h5")
    choices = [
        ModelChoice("mobilenetv2", weights=weights, labels=labels, given_name="mobilenetv2-224"),
        ModelChoice("mobilenetv2", weights=weights, labels=labels, image_size=128, given_name="mobilenetv2-128"),
        ModelChoice(
            str(models / "efficientnet_lite0_imagenet.keras"),
            labels=labels,
            input_range=(0, 255),
            given_name="efficientnet-lite0",
        ),
    ]
    return [choice.load() for choice in choices]


def read_photos(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Read the first photos, cropped to one size, and their classes: -> (N, H, W, 3) in [0, 1], (N,)."""
    folder = SHARED / "data" / "photos"
    with (folder / "labels.csv").open() as file:
        rows = list(csv.DictReader(file))[:count]
    found = [image_files.resize(image_files.read(folder / row["file"], 3), (SIZE, SIZE), "crop") for row in rows]
    return to_float(np.stack(found)), np.array([int(row["class_index"]) for row in rows])


def craft(
    source: Classifier, spec: str, threat: Threat, pixels: np.ndarray, labels: np.ndarray, batch: int, seed: int
) -> np.ndarray:
    """Attack one network, image by image up to the last step."""
    compiled = CompiledAttack(source.inference_copy, registry.build("attacks", spec), threat, seed)
    return np.concatenate(
        [compiled(pixels[at : at + batch], labels[at : at + batch])[0] for at in range(0, len(labels), batch)]
    )


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(int(os.environ.get("TF_NUM_INTRAOP_THREADS", "0")))
    typer.run(main)
