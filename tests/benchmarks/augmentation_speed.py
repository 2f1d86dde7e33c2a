"""What the augmentations cost, an image, beside a training step of MobileNetV2 without any.

    python tests/benchmarks/augmentation_speed.py                 # the six of the article, at 64 x 64
    python tests/benchmarks/augmentation_speed.py --each          # and each of them by itself
    python tests/benchmarks/augmentation_speed.py --augment flip,crop --edge 32

Training step and augmentations are run in turn, round by round, and the medians are printed with
their ratio, which a busy machine changes far less than the times.
"""

import argparse
import time
from collections.abc import Callable
from statistics import median

import numpy as np

from advcli import registry
from advcli.augmentations import augmented, read
from advcli.backend import Tensor, keras, tf
from advcli.threat.rng import ImageRng


def training_step(edge: int) -> Callable[[Tensor, Tensor], Tensor]:
    """Return one step of clean training: MobileNetV2 for 200 classes, whose first convolution takes stride 2."""
    model = registry.build("backbones", "mobilenetv2:stem_stride=2")(200, edge, 3, None)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9, nesterov=True)
    optimizer.build(model.trainable_variables)

    def step(images: Tensor, seeds: Tensor) -> Tensor:
        with tf.GradientTape() as tape:
            logits = model(images, training=True)
            loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(seeds[:, 0] % 200, logits))
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))
        return loss

    return step


def augmentation(specs: tuple[str, ...]) -> Callable[[Tensor, Tensor], Tensor]:
    """Return what training does to its images."""
    return lambda images, seeds: augmented(specs, images, ImageRng(seeds))


def traced(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    """Trace a function of images and seeds for a batch of any size."""
    signature = [tf.TensorSpec((None, None, None, 3), tf.float32), tf.TensorSpec((None, 2), tf.int32)]
    return tf.function(function, input_signature=signature)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--augment", default="article", help="as for advcli train (default: article)")
    parser.add_argument("--each", action="store_true", help="measure each augmentation by itself, too")
    parser.add_argument("--edge", type=int, default=64, help="pixels (default: 64)")
    parser.add_argument("--batch", type=int, default=32, help="images (default: 32)")
    parser.add_argument("--rounds", type=int, default=20, help="how often everything is run (default: 20)")
    parser.add_argument("--clock", choices=("wall", "cpu"), default="wall", help="cpu says more on a busy machine")
    options = parser.parse_args()
    clock = time.process_time if options.clock == "cpu" else time.perf_counter
    specs = read(options.augment, ())
    candidates = {"training step": traced(training_step(options.edge))}
    for chosen in [specs, *([(spec,) for spec in specs] if options.each else [])]:
        candidates[",".join(chosen)] = traced(augmentation(chosen))

    generator = np.random.default_rng(0)
    shape = (options.batch, options.edge, options.edge, 3)
    images = tf.constant(generator.uniform(size=shape), tf.float32)
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for epoch in range(options.rounds + 1):
        seeds = tf.constant([[place, epoch] for place in range(options.batch)], tf.int32)
        for name, candidate in candidates.items():
            start = clock()
            candidate(images, seeds).numpy()
            # The first call traces the graph.
            if epoch:
                times[name].append(clock() - start)

    step = median(times["training step"])
    width = max(map(len, times))
    print(f"{'':{width}}  ms an image  training step / this")
    for name, seconds in times.items():
        print(f"{name:{width}}  {1000 * median(seconds) / options.batch:11.3f}  {step / median(seconds):20.1f}")


if __name__ == "__main__":
    main()
