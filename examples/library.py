"""Use advcli from Python: load a run, attack an array of images, benchmark and explain it.

python examples/library.py RUN
"""

import sys

import advcli
from advcli.data.decoded import decode
from advcli.datasets import find
from advcli.records import Score

run = sys.argv[1]
classifier = advcli.load(run)
images = decode(find("digits")().test, classifier.image_size, classifier.channels)
pixels, labels = images.at(slice(0, 50))

found = advcli.attack(pixels, labels, model=run, attack="pgd:steps=20", eps=0.1)
correct = classifier.predict(pixels).argmax(axis=1) == labels
robust = correct & ~found.fooled
print(f"clean {correct.mean():.0%}, {robust.mean():.0%} after {found.queries.max()} queries of PGD")

for score in advcli.benchmark(run, data="digits", limit=50, attacks=["fgsm"], checks=False).of(Score):
    print(f"{score.perturbation}: {score.accuracy:.0%} [{score.low:.0%}, {score.high:.0%}]")

maps = advcli.explain(found.images[found.predicted != labels], model=run, methods=["saliency"])
print("maps of the fooled images:", maps["saliency"].shape)
