"""Check every verdict of ``advcli benchmark --export DIR`` again: recheck.py MODEL.keras DIR/adversarial/MODEL."""

import sys
from pathlib import Path

import keras  # noqa: TID251  this runs without advcli
import numpy as np

model, others = keras.models.load_model(sys.argv[1], compile=False), 0
for folder in sorted(Path(sys.argv[2]).iterdir()):
    correct, differ, far = 0, 0, 0.0
    for batch in map(np.load, sorted(folder.glob("images-*.npz"))):
        low, high = batch["input_range"]
        scores = np.asarray(model(batch["images"] * (high - low) + low, training=False))  # pyright: ignore[reportCallIssue, reportOptionalCall]  any Keras model
        if scores.shape[1] == 1:  # one output: the second class, if it is above the threshold
            scores = np.hstack([2 * batch["threshold"] - scores, scores])
        predicted = np.where(np.isfinite(scores).all(1), scores[:, batch["outputs"]].argmax(1), -1)
        differ += int((predicted != batch["predicted"]).sum())
        correct += int(((predicted == batch["labels"]) | (predicted == -1)).sum())
        scale = 255 if batch["originals"].dtype == np.uint8 else 1
        change = (batch["images"] - batch["originals"] / scale).reshape(len(predicted), -1)
        far = max(far, np.linalg.norm(change, {"l1": 1, "l2": 2}.get(str(batch["norm"]), np.inf), axis=1).max())
    print(f"{folder.name}: {correct} still correct, {differ} verdicts differ, {far:.4f} away at most")
    others += differ
sys.exit(others > 0)
