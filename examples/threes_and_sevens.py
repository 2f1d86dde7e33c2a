r"""Why adversarial examples exist, on the linear model: threes and sevens, as in figure 2 of the FGSM paper.

    advcli train --classes 3,7 --backbone linear --objective clean --augment none --image-size 8 \
        --epochs 20 --out runs/threes
    python examples/threes_and_sevens.py runs/threes picture.png

Weights, their signs (which are the perturbation), digits, and the same digits after FGSM at 0.25. With --data mnist
and without --image-size the digits are those of the paper.
"""

import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from advcli import registry
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.model.load import load
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.threat import Norm, Threat

EPS = 0.25
SHOWN = 5

run, picture = Path(sys.argv[1]), Path(sys.argv[2])
classifier = load(run / "model.keras", run.name)
test = find(str(classifier.recipe["data"]))().restrict(classifier.recipe["classes"]).test
pixels, labels = decode(test, classifier.image_size, classifier.channels).at(slice(None))
compiled_attack = CompiledAttack(classifier.inference_copy, registry.build("attacks", "fgsm"), Threat(Norm.LINF, EPS))
adversarial = np.concatenate(
    [compiled_attack(pixels[i : i + 500], labels[i : i + 500])[0] for i in range(0, len(pixels), 500)]
)
wrong_clean, wrong = (
    float((classifier.predict(images).argmax(axis=1) != labels).mean()) for images in (pixels, adversarial)
)

kernel = next(weight for weight in classifier.model.weights if len(weight.shape) == 2).numpy()
# Uphill for a seven is downhill for a three: one map says it all.
difference = (kernel[:, 1] - kernel[:, 0]).reshape(pixels.shape[1:3])


def grid(images: np.ndarray) -> np.ndarray:
    rows = [np.hstack(list(images[labels == label][: SHOWN * 2, ..., 0][row::2])) for label in (0, 1) for row in (0, 1)]
    return np.vstack(rows)


figure = Figure(figsize=(12, 3.6), layout="constrained")
names = classifier.labels
panels = (
    (difference, "RdBu", f"weights: for a {names[1]} less for a {names[0]}"),
    (np.sign(difference), "RdBu", "their signs"),
    (grid(pixels), "gray", f"digits: {wrong_clean:.1%} wrong of {len(labels)}"),
    (grid(adversarial), "gray", f"after FGSM at {EPS}: {wrong:.1%} wrong"),
)
for axes, (image, colours, title) in zip(figure.subplots(1, 4), panels, strict=True):
    limit = np.abs(image).max()
    axes.imshow(image, cmap=colours, vmin=-limit if colours == "RdBu" else 0, vmax=limit)
    axes.set_title(title, fontsize=10)
    axes.axis("off")
figure.savefig(picture, dpi=100)
print(f"wrong: {wrong_clean:.1%} of the digits, {wrong:.1%} after FGSM at {EPS} ({picture})")
