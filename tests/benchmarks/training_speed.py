"""What objectives cost beside clean training, and nsl beside the library's own wrapper: ratios of one run.

    python tests/benchmarks/training_speed.py objectives --objective fgsm-rs --objective pgd-at:7
    python tests/benchmarks/training_speed.py wrapper      # needs tf-keras
    python tests/benchmarks/training_speed.py waiting --augment article

Steps of MobileNetV2 at 64 px, batch 32, are taken in turn, round by round; the medians are compared.
``pgd-at:7`` is pgd-at with seven steps. "trace" is the first step. ``--clock cpu`` counts the time of the
processor instead of that on the wall, which on a machine that is busy with other things says more.
"""

import argparse
import itertools
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from statistics import median

import numpy as np

from advcli.backend import neural_structured_learning, tf
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.data.split import Split
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.trainer import Trainer

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "cpu": time.process_time}
EDGE, BATCH, CLASSES = 64, 32, 10
RECIPE = Recipe(
    data="random",
    backbone="mobilenetv2:stem_stride=2",
    objective="clean",
    attack="pgd:steps=7",
    eps=4 / 255,
    edge=EDGE,
    weights="none",
    epochs=1000,
    batch=BATCH,
    learning_rate=0.01,
    momentum=0.9,
    validation=0.1,
    robust_images=8,
    seed=0,
)


def data(batches: int) -> TrainingData:
    """Make random images."""
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 255, (batches * BATCH, EDGE, EDGE, 3), dtype=np.uint8)
    labels = generator.integers(0, CLASSES, len(pixels)).astype(np.int32)
    split = Split(labels, pixels.__getitem__, str)
    names = tuple(f"class {i}" for i in range(CLASSES))
    return TrainingData(Dataset("random", names, split, split, EDGE), Images(pixels, labels), Images(pixels, labels))


def recipe_of(spec: str, backbone: str) -> Recipe:
    """Read an objective; behind a last colon and a number, the steps of its attack."""
    name, _, steps = spec.rpartition(":")
    if name and steps.isdigit():
        return replace(RECIPE, backbone=backbone, objective=name, attack=f"pgd:steps={steps}")
    return replace(RECIPE, backbone=backbone, objective=spec)


def endless(trainer: Trainer) -> Iterator[Checkpoint]:
    """Train on and on."""
    while True:
        yield from trainer.epoch(Checkpoint())


def medians(steps: dict[str, Callable[[], object]], rounds: int, clock: Clock) -> dict[str, float]:
    """Time functions in turn."""
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds):
        for name, step in steps.items():
            start = clock()
            step()
            times[name].append(clock() - start)
    return {name: median(values) for name, values in times.items()}


def objectives(arguments: argparse.Namespace) -> None:
    """Compare objectives with clean training."""
    steps = {}
    for spec in ["clean", *arguments.objective]:
        trainer = Trainer(recipe_of(spec, arguments.backbone), data(4), find_devices("one"))
        running = endless(trainer)
        clock = CLOCKS[arguments.clock]
        start = clock()
        next(running)
        print(f"{spec}: trace {clock() - start:.1f} s", flush=True)
        steps[spec] = lambda running=running: next(running)
    found = medians(steps, arguments.rounds, CLOCKS[arguments.clock])
    for spec, seconds in found.items():
        print(f"{spec}: {1000 * seconds / BATCH:.2f} ms an image, {seconds / found['clean']:.2f} clean steps")


def wrapper(arguments: argparse.Namespace) -> None:
    """Compare nsl with the library's wrapper, which runs in a process of its own, turn by turn."""
    trainer = Trainer(recipe_of("nsl", arguments.backbone), data(4), find_devices("one"))
    running = endless(trainer)
    next(running)
    clock = CLOCKS[arguments.clock]
    environment = os.environ | {"TF_USE_LEGACY_KERAS": "1"}
    with subprocess.Popen(
        [sys.executable, __file__, "legacy", "--clock", arguments.clock],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as legacy:
        assert legacy.stdin is not None
        assert legacy.stdout is not None
        legacy.stdout.readline()
        theirs = []
        ours = []
        for _ in range(arguments.rounds):
            legacy.stdin.write("step\n")
            legacy.stdin.flush()
            theirs.append(float(legacy.stdout.readline()))
            start = clock()
            next(running)
            ours.append(clock() - start)
        legacy.stdin.close()
    print(f"nsl: {1000 * median(ours) / BATCH:.2f} ms an image, the wrapper {1000 * median(theirs) / BATCH:.2f}")
    print(f"the wrapper takes {median(theirs) / median(ours):.2f} times as long")


def legacy(clock: Clock) -> None:
    """Take a step of the library's wrapper for every line of standard input."""
    nsl = neural_structured_learning()
    keras = tf.keras
    # The wrapper looks for each input of the network by its name.
    inputs = keras.Input((EDGE, EDGE, 3), name="image")
    base = keras.applications.MobileNetV2(
        input_tensor=inputs, weights=None, classes=CLASSES, classifier_activation=None
    )
    model = nsl.keras.AdversarialRegularization(
        base,
        label_keys=["label"],
        adv_config=nsl.configs.make_adv_reg_config(multiplier=0.2, adv_step_size=0.2, adv_grad_norm="infinity"),
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.SGD(0.01, momentum=0.9, nesterov=True), loss=loss, metrics=["accuracy"])
    images = data(1).train
    batch = {"image": images.at(slice(None))[0], "label": images.labels}
    model.train_on_batch(batch)
    print("ready", flush=True)
    for _ in sys.stdin:
        start = clock()
        model.train_on_batch(batch)
        print(clock() - start, flush=True)


def waiting(arguments: argparse.Namespace) -> None:
    """Tell which part of the time training waits for its next batch, beside the same batch given at once."""
    from advcli.augmentations import read

    trainer = Trainer(
        replace(recipe_of("clean", arguments.backbone), augment=read(arguments.augment, ())),
        data(64),
        find_devices("one"),
    )
    next(trainer.epoch(Checkpoint()))
    waited = 0.0
    start = time.perf_counter()
    batches = trainer.batches.epoch

    def timed(*place: int) -> Iterator[object]:
        nonlocal waited
        running = batches(*place)
        while True:
            asked = time.perf_counter()
            batch = next(running, None)
            waited += time.perf_counter() - asked
            if batch is None:
                return
            yield batch

    trainer.batches.epoch = timed  # pyright: ignore[reportAttributeAccessIssue]  measured in its place
    for _ in itertools.islice(endless(trainer), arguments.rounds * 64):
        pass
    seconds = time.perf_counter() - start
    print(f"{arguments.augment}: waited {waited / seconds:.1%} of {seconds:.1f} s for batches")


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("objectives", "wrapper", "waiting", "legacy"))
    parser.add_argument("--objective", action="append", help="may be given several times")
    parser.add_argument("--backbone", default="mobilenetv2:stem_stride=2")
    parser.add_argument("--augment", default="article")
    parser.add_argument("--clock", choices=sorted(CLOCKS), default="wall")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    arguments.objective = arguments.objective or ["nsl", "fgsm-rs", "n-fgsm", "free:replays=1", "pgd-at:7", "trades"]
    if arguments.what == "legacy":
        legacy(CLOCKS[arguments.clock])
    else:
        {"objectives": objectives, "wrapper": wrapper, "waiting": waiting}[arguments.what](arguments)


if __name__ == "__main__":
    main()
