"""The verdicts of the official AutoAttack, image by image, for ``autoattack_parity.py --verdicts``.

    KERAS_BACKEND=torch python tests/benchmarks/official_autoattack.py MODEL.keras MNIST.npz OFFICIAL FILE.json

OFFICIAL is a checkout of https://github.com/fra31/auto-attack. This needs an environment with PyTorch, Keras and
typer, none of advcli. Each attack runs alone on all images that are correct without perturbation, then the suite.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

os.environ.setdefault("KERAS_BACKEND", "torch")

PARTS = ("apgd-ce", "apgd-t", "fab-t", "square", "autoattack-standard")


def main(
    model: Path,
    data: Path,
    official: Path,
    out: Path,
    norm: Annotated[str, typer.Option(help="Linf, L2 or L1.")] = "L1",
    eps: Annotated[float, typer.Option(help="Radius.")] = 12.0,
    first: int = 100,
    part: Annotated[list[str] | None, typer.Option(help="Of " + ", ".join(PARTS) + "; all if none is given.")] = None,
    seed: int = 0,
    threads: int = 1,
) -> None:
    """Write which images are correct without perturbation and under each attack."""
    # By name: an environment of advcli, in which types are checked, has neither package.
    torch = importlib.import_module("torch")
    sys.path.insert(0, str(official))
    import keras

    make_suite = importlib.import_module("autoattack").AutoAttack

    torch.set_num_threads(threads)
    network = keras.models.load_model(model)
    assert isinstance(network, keras.Model)
    network.trainable = False
    with np.load(data) as arrays:
        pixels, labels = arrays["x_test"][:first], arrays["y_test"][:first]
    images = torch.tensor(pixels.reshape(first, 1, *pixels.shape[1:3]), dtype=torch.float32) / 255
    truth = torch.tensor(labels.astype(np.int64))

    def logits(points: Any) -> Any:
        return network(points.permute(0, 2, 3, 1), training=False)

    def correct(points: Any) -> list[bool]:
        with torch.no_grad():
            return (logits(points).argmax(dim=1) == truth).tolist()

    found = json.loads(out.read_text()) if out.exists() else {}
    found |= {"model": model.stem, "norm": norm.lower(), "eps": eps, "images": first, "seed": seed}
    correct_under = found.setdefault("correct", {})
    correct_under["clean"] = correct(images)
    for name in part or PARTS:
        suite = make_suite(logits, norm=norm, eps=eps, seed=seed, version="standard", device="cpu", verbose=False)
        if name != "autoattack-standard":
            suite.attacks_to_run = [name]
        begun = time.perf_counter()
        points = suite.run_standard_evaluation(images, truth, bs=250)
        correct_under[name] = correct(points)
        out.write_text(json.dumps(found) + "\n")
        seconds = time.perf_counter() - begun
        print(f"{name:22}{sum(correct_under[name]) / first:8.4f}{seconds:9.1f} s", flush=True)


if __name__ == "__main__":
    typer.run(main)
