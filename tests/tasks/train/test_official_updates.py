"""One whole training update of each method against the published one, on a network that has learned.

The references follow the papers' formulas and the order of operations of the authors' code. Two things are advcli's
own, and documented there: momentum is in Nesterov's form, and the search of fgsm-rs, n-fgsm and pgd-at is in inference
mode, which is of no account to a network without BatchNorm.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from advcli.backend import KerasModel, Tensor, keras, tf
from advcli.data.decoded import Images
from advcli.model.classifier import Classifier
from advcli.tasks.train.checkpoint import Checkpoint
from advcli.tasks.train.distribution import find_devices
from advcli.tasks.train.recipe import Recipe, TrainingData
from advcli.tasks.train.start import Start
from advcli.tasks.train.trainer import Trainer
from advcli.threat.rng import ImageRng
from tiny_runs import TINY, data_for

EPS = 0.1
RATE = 0.1
MOMENTUM = 0.9
DECAY = 2e-3
TOLERANCE = 1e-5
RECIPE = replace(
    TINY,
    eps=EPS,
    batch=48,
    schedule="constant",
    warmup=0.0,
    learning_rate=RATE,
    momentum=MOMENTUM,
    weight_decay=DECAY,
    robust_images=4,
)
# As in the authors' code for CIFAR-10: ten steps of a quarter of the radius.
STEPS = 10
STEP = EPS / 4

CE = tf.nn.sparse_softmax_cross_entropy_with_logits


@pytest.fixture(scope="session")
def digits() -> TrainingData:
    return data_for(replace(RECIPE, limit=None))


def learned(data: TrainingData, steps: int, *, normalized: bool) -> KerasModel:
    """Train a network by a plain loop until it is sure of some images; it stays torn about others."""
    keras.utils.set_random_seed(4)
    layers = [keras.Input((8, 8, 1))]
    for i, stride in enumerate((1, 2)):
        layers.append(keras.layers.Conv2D(8 * (i + 1), 3, stride, padding="same"))
        if normalized:
            layers.append(keras.layers.BatchNormalization(momentum=0.8))
        layers.append(keras.layers.ReLU())
    model = keras.Sequential([*layers, keras.layers.Flatten(), keras.layers.Dense(10)])
    optimizer = keras.optimizers.Adam(0.005)
    pixels, labels = data.train.at(slice(None))

    @tf.function
    def step(images: Tensor, labels: Tensor) -> None:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(CE(labels, model(images, training=True)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)

    optimizer.build(model.trainable_variables)
    generator = np.random.default_rng(4)
    for _ in range(steps):
        chosen = generator.integers(0, len(labels), 64)
        # Of any contrast, so that it knows the images of all tests.
        contrast = generator.uniform(0.5, 1.0, (64, 1, 1, 1)).astype(np.float32)
        step(tf.constant((1 - contrast) * 0.4 + contrast * pixels[chosen]), tf.constant(labels[chosen]))
    return model


@pytest.fixture(scope="session")
def plain(digits: TrainingData) -> KerasModel:
    return learned(digits, 150, normalized=False)


@pytest.fixture(scope="session")
def normalized(digits: TrainingData) -> KerasModel:
    return learned(digits, 50, normalized=True)


@pytest.fixture(params=["plain", "normalized"])
def model(request: pytest.FixtureRequest) -> Iterator[KerasModel]:
    """A network that has learned, with or without BatchNorm; each test gets it as it was."""
    model = request.getfixturevalue(request.param)
    before = [variable.numpy() for variable in model.variables]
    yield model
    for variable, value in zip(model.variables, before, strict=True):
        variable.assign(value)


@dataclass
class Case:
    """One batch, the random streams of its images, and the network as it was before the update."""

    classifier: Classifier
    images: Tensor
    labels: Tensor
    rng: ImageRng
    weights: list[Tensor]
    statistics: list[Tensor]
    found: list[np.ndarray]

    def infer(self, images: Tensor) -> Tensor:
        """Return the logits in inference mode, before the update.

        They come from the copy with folded BatchNorm that the search uses, or a divergence near zero, which is all
        rounding where the network is sure, would have other signs.
        """
        return self.classifier.current_copy().logits(images)

    def passes(self, weights: list[Tensor], *batches: Tensor) -> tuple[list[Tensor], list[Tensor]]:
        """Return the logits of each batch in training mode, and the statistics after the passes, in this order."""
        logits, statistics = [], self.statistics
        for images in batches:
            outputs, statistics = self.classifier.model.stateless_call(weights, statistics, images, training=True)
            logits.append(outputs)
        return logits, statistics

    def gradient(self, loss: Callable[[list[Tensor]], Tensor], weights: list[Tensor]) -> list[Tensor]:
        with tf.GradientTape() as tape:
            tape.watch(weights)
            value = loss(weights)
        return tape.gradient(value, weights)


def run(recipe: Recipe, model: KerasModel, data: TrainingData) -> Case:
    """Take one step of a training run: -> what it began with, and the weights and statistics after it."""
    classifier = Classifier("learned", model, tuple("0123456789"), (8, 8), 1)
    trainer = Trainer(recipe, replace(data, start=Start(classifier, np.arange(10), False)), find_devices("one"))
    images, labels, seeds = next(iter(trainer.batches.epoch(1, 0, 0)))
    variables = [*model.trainable_variables, *model.non_trainable_variables]
    before = [variable.numpy() for variable in variables]
    next(iter(trainer.epoch(Checkpoint())))
    found = [variable.numpy() for variable in variables]
    for variable, value in zip(variables, before, strict=True):
        variable.assign(value)
    split = len(model.trainable_variables)
    weights, statistics = [tf.constant(value) for value in before[:split]], [tf.constant(v) for v in before[split:]]
    case = Case(trainer.classifier, images, labels, ImageRng(seeds), weights, statistics, found)
    np.testing.assert_allclose(case.infer(images), model(images, training=False), rtol=1e-3, atol=1e-3)
    likeliest = tf.reduce_max(tf.nn.softmax(case.infer(images)), axis=1).numpy()
    assert likeliest.max() > 0.99, "it is sure of no image"
    assert likeliest.min() < 0.7, "it is torn about no image"
    return case


def descended(
    weights: list[Tensor], gradients: list[Tensor], velocities: list[np.ndarray] | None = None, *, decay: float = DECAY
) -> list[np.ndarray]:
    """Take a step of SGD with momentum and coupled decay; the velocities, zero at first, are changed in place."""
    after = []
    if velocities is None:
        velocities = [np.zeros(weight.shape) for weight in weights]
    for weight, gradient, velocity in zip(weights, gradients, velocities, strict=True):
        old = np.asarray(weight, np.float64)
        slope = np.asarray(gradient, np.float64) + (decay * old if old.ndim > 1 else 0)
        velocity[...] = MOMENTUM * velocity + slope
        after.append(old - RATE * (slope + MOMENTUM * velocity))
    return after


def distance(found: list[np.ndarray], expected: list[np.ndarray]) -> float:
    return max(float(np.abs(one - other).max()) for one, other in zip(found, expected, strict=False))


def check(case: Case, expected: list[np.ndarray], wrong: dict[str, list[np.ndarray]]) -> None:
    """Compare the weights after the update, and demand that each wrong formula's are ten tolerances away."""
    assert len(expected) == len(case.weights)
    for found, value in zip(case.found, expected, strict=False):
        np.testing.assert_allclose(found, value, rtol=0, atol=TOLERANCE)
    for name, other in wrong.items():
        assert distance(case.found, other) > 10 * TOLERANCE, f"the weights do not tell: {name}"


def check_statistics(case: Case, expected: list[Tensor]) -> None:
    for found, value in zip(case.found[len(case.weights) :], expected, strict=True):
        np.testing.assert_allclose(found, value, rtol=0, atol=TOLERANCE)


def kl(p: Tensor, q: Tensor) -> Tensor:
    """Return KL(p || q) of each image, given logits."""
    logarithm = tf.nn.log_softmax(p)
    return tf.reduce_sum(tf.exp(logarithm) * (logarithm - tf.nn.log_softmax(q)), axis=1)


def assert_the_direction_matters(case: Case, perturbed: Tensor) -> None:
    p, q = case.infer(case.images), case.infer(perturbed)
    forward, backward = float(tf.reduce_mean(kl(p, q))), float(tf.reduce_mean(kl(q, p)))
    assert abs(forward - backward) > 0.1 * forward


def slope(loss: Callable[[Tensor], Tensor], point: Tensor) -> Tensor:
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = tf.reduce_sum(loss(point))
    return tape.gradient(value, point)


def boxed(images: Tensor) -> Tensor:
    return tf.clip_by_value(images, 0.0, 1.0)


def into_ball(point: Tensor, images: Tensor) -> Tensor:
    return boxed(tf.minimum(tf.maximum(point, images - EPS), images + EPS))


def ascended(loss: Callable[[Tensor], Tensor], start: Tensor, images: Tensor) -> Tensor:
    """Take ten steps by the sign of the gradient, each back into the ball."""

    @tf.function
    def step(point: Tensor) -> Tensor:
        return into_ball(point + STEP * tf.sign(slope(loss, point)), images)

    point = start
    for _ in range(STEPS):
        point = step(point)
    return point


def beside(case: Case) -> Tensor:
    """Start where TRADES and MART do: at normal noise of 0.001."""
    return case.images + 0.001 * case.rng.normal((8, 8, 1))


# --- TRADES


def trades_point(case: Case, start: Tensor, divergence: Callable[[Tensor, Tensor], Tensor] = kl) -> Tensor:
    clean = case.infer(case.images)
    return ascended(lambda point: divergence(clean, case.infer(point)), start, case.images)


def trades_loss(case: Case, perturbed: Tensor, variant: str = "") -> Callable[[list[Tensor]], Tensor]:
    def loss(weights: list[Tensor]) -> Tensor:
        p, q = case.passes(weights, case.images, perturbed)[0]
        target = tf.stop_gradient(p) if variant == "target is a constant" else p
        divergence = kl(q, target) if variant == "reversed" else kl(target, q)
        if variant == "mean over classes":
            divergence /= 10
        natural = CE(case.labels, q if variant == "loss on the perturbed" else p)
        return tf.reduce_mean(natural) + 6 * tf.reduce_mean(divergence)

    return loss


def reversed_kl(p: Tensor, q: Tensor) -> Tensor:
    return kl(q, p)


def test_trades(model: KerasModel, digits: TrainingData) -> None:
    spec = f"trades:beta=6,steps={STEPS},step={STEP}"
    case = run(replace(RECIPE, objective=spec), model, digits)
    perturbed = trades_point(case, beside(case))
    assert_the_direction_matters(case, perturbed)

    def updated(point: Tensor = perturbed, variant: str = "", decay: float = DECAY) -> list[np.ndarray]:
        return descended(case.weights, case.gradient(trades_loss(case, point, variant), case.weights), decay=decay)

    wrong = {
        name: updated(variant=name)
        for name in ("target is a constant", "reversed", "mean over classes", "loss on the perturbed")
    }
    wrong["search reversed"] = updated(trades_point(case, beside(case), reversed_kl))
    wrong["no random start"] = updated(trades_point(case, case.images))
    wrong["no search"] = updated(beside(case))
    wrong["no decay"] = updated(decay=0.0)
    check(case, updated(), wrong)
    check_statistics(case, case.passes(case.weights, case.images, perturbed)[1])


# --- MART


def test_mart(model: KerasModel, digits: TrainingData) -> None:
    spec = f"mart:beta=5,steps={STEPS},step={STEP}"
    case = run(replace(RECIPE, objective=spec), model, digits)

    def searched(start: Tensor) -> Tensor:
        return ascended(lambda point: CE(case.labels, case.infer(point)), start, case.images)

    perturbed = searched(beside(case))
    assert_the_direction_matters(case, perturbed)

    def updated(point: Tensor = perturbed, variant: str = "") -> list[np.ndarray]:
        def loss(weights: list[Tensor]) -> Tensor:
            p, q = case.passes(weights, case.images, point)[0]
            chances = tf.nn.softmax(q)
            # The likeliest class, unless that is the label: then the next.
            order = tf.argsort(chances, axis=1)
            rival = tf.where(order[:, -1] == case.labels, order[:, -2], order[:, -1])
            margin = -tf.math.log(1.0001 - tf.gather(chances, rival, batch_dims=1))
            doubt = 1.0000001 - tf.gather(tf.nn.softmax(p), case.labels, batch_dims=1)
            if variant == "doubt is a constant":
                doubt = tf.stop_gradient(doubt)
            if variant == "doubt of the perturbed":
                doubt = 1.0000001 - tf.gather(chances, case.labels, batch_dims=1)
            if variant == "rival is a constant":
                margin = tf.stop_gradient(margin)
            target = tf.stop_gradient(p) if variant == "target is a constant" else p
            divergence = kl(q, target) if variant == "reversed" else kl(target, q)
            if variant == "mean over classes":
                divergence /= 10
            return tf.reduce_mean(CE(case.labels, q) + margin) + 5 * tf.reduce_mean(divergence * doubt)

        return descended(case.weights, case.gradient(loss, case.weights))

    names = ("doubt is a constant", "doubt of the perturbed", "rival is a constant", "target is a constant")
    wrong = {name: updated(variant=name) for name in (*names, "reversed", "mean over classes")}
    wrong["search of TRADES"] = updated(trades_point(case, beside(case)))
    wrong["no random start"] = updated(searched(case.images))
    check(case, updated(), wrong)
    check_statistics(case, case.passes(case.weights, case.images, perturbed)[1])


# --- Adversarial weight perturbation


def norm(value: Tensor) -> Tensor:
    return tf.sqrt(tf.reduce_sum(tf.square(value)))


def displaced(weights: list[Tensor], gradients: list[Tensor], gamma: float, variant: str) -> list[Tensor]:
    """Return weights moved up the gradient by a fraction of the norm of each kernel; the proxy's step is no matter."""
    moved = []
    for weight, gradient in zip(weights, gradients, strict=True):
        if len(weight.shape) == 1 and variant != "biases too":
            moved.append(weight)
            continue
        sign = -1 if variant == "downhill" else 1
        length = norm(tf.concat([tf.reshape(each, [-1]) for each in gradients], 0)) if variant == "one norm" else None
        moved.append(weight + sign * gamma * norm(weight) * gradient / (norm(gradient) if length is None else length))
    return moved


def awp_update(
    case: Case, loss: Callable[[list[Tensor]], Tensor], gamma: float, variant: str = ""
) -> tuple[list[np.ndarray], list[Tensor]]:
    """Return the weights after the update, and the weights at which it takes the gradient.

    As in the authors' code, the optimizer steps at the displaced weights, where it also takes the decay, and then the
    displacement is taken back.
    """
    moved = displaced(case.weights, case.gradient(loss, case.weights), gamma, variant)
    if variant == "through the displacement":

        def through(weights: list[Tensor]) -> Tensor:
            return loss(displaced(weights, case.gradient(loss, weights), gamma, variant))

        gradients = case.gradient(through, case.weights)
    else:
        gradients = case.gradient(loss, moved)
    after = descended(moved, gradients)
    if variant != "not taken back":
        after = [
            value - (np.asarray(there, np.float64) - np.asarray(here, np.float64))
            for value, there, here in zip(after, moved, case.weights, strict=True)
        ]
    return after, moved


AWP_VARIANTS = ("biases too", "downhill", "one norm", "through the displacement", "not taken back")


def test_awp_with_trades(model: KerasModel, digits: TrainingData) -> None:
    spec = f"trades:beta=6,steps={STEPS},step={STEP}"
    case = run(replace(RECIPE, objective=spec, modifier=("awp:gamma=0.005",)), model, digits)
    perturbed = trades_point(case, beside(case))
    assert_the_direction_matters(case, perturbed)
    expected, moved = awp_update(case, trades_loss(case, perturbed), 0.005)
    wrong = {name: awp_update(case, trades_loss(case, perturbed), 0.005, name)[0] for name in AWP_VARIANTS}
    for name in ("target is a constant", "reversed", "mean over classes"):
        wrong[name] = awp_update(case, trades_loss(case, perturbed, name), 0.005)[0]
    unstarted = trades_point(case, case.images)
    wrong["no random start"] = awp_update(case, trades_loss(case, unstarted), 0.005)[0]
    wrong["no displacement"] = awp_update(case, trades_loss(case, perturbed), 0.0)[0]
    check(case, expected, wrong)
    # A copy of the network computes the displacement: the statistics are those of the displaced weights alone.
    check_statistics(case, case.passes(moved, case.images, perturbed)[1])


def test_awp_with_pgd(model: KerasModel, digits: TrainingData) -> None:
    attack = f"pgd:steps={STEPS},step={STEP}"
    recipe = replace(RECIPE, objective="pgd-at", attack=attack, modifier=("awp:gamma=0.01",))
    case = run(recipe, model, digits)

    def loss_at(start: Tensor) -> Callable[[list[Tensor]], Tensor]:
        point = ascended(lambda point: CE(case.labels, case.infer(point)), start, case.images)
        return lambda weights: tf.reduce_mean(CE(case.labels, case.passes(weights, point)[0][0]))

    start = into_ball(case.images + EPS * case.rng.uniform((8, 8, 1), -1.0, 1.0), case.images)
    expected, _ = awp_update(case, loss_at(start), 0.01)
    wrong = {name: awp_update(case, loss_at(start), 0.01, name)[0] for name in AWP_VARIANTS}
    wrong["no random start"] = awp_update(case, loss_at(case.images), 0.01)[0]
    wrong["gamma of TRADES"] = awp_update(case, loss_at(start), 0.005)[0]
    wrong["no displacement"] = awp_update(case, loss_at(start), 0.0)[0]
    check(case, expected, wrong)


# --- One step: Fast and N-FGSM


def trained_on(case: Case, point: Tensor) -> list[np.ndarray]:
    def loss(weights: list[Tensor]) -> Tensor:
        return tf.reduce_mean(CE(case.labels, case.passes(weights, point)[0][0]))

    return descended(case.weights, case.gradient(loss, case.weights))


def signs(case: Case, point: Tensor) -> Tensor:
    return tf.sign(slope(lambda point: CE(case.labels, case.infer(point)), point))


def test_fast(model: KerasModel, digits: TrainingData) -> None:
    case = run(replace(RECIPE, objective="fgsm-rs"), model, digits)
    noise = case.rng.uniform((8, 8, 1), -1.0, 1.0)

    def stepped(radius: float = EPS, length: float = 1.25 * EPS) -> Tensor:
        start = boxed(case.images + radius * noise)
        return start + length * signs(case, start)

    perturbed = into_ball(stepped(), case.images)
    wrong = {
        "no random start": into_ball(stepped(radius=0.0), case.images),
        "a step of eps": into_ball(stepped(length=EPS), case.images),
        "no projection": boxed(stepped()),
        "no step": boxed(case.images + EPS * noise),
        "clean": case.images,
    }
    check(case, trained_on(case, perturbed), {name: trained_on(case, point) for name, point in wrong.items()})
    check_statistics(case, case.passes(case.weights, perturbed)[1])


def test_n_fgsm(model: KerasModel, digits: TrainingData) -> None:
    case = run(replace(RECIPE, objective="n-fgsm"), model, digits)
    noise = case.rng.uniform((8, 8, 1), -1.0, 1.0)

    def stepped(ratio: float = 2.0, length: float = EPS, *, clipped: bool = True) -> Tensor:
        start = case.images + ratio * EPS * noise
        start = boxed(start) if clipped else start
        return boxed(start + length * signs(case, start))

    perturbed = stepped()
    wrong = {
        "projection": into_ball(perturbed, case.images),
        "no random start": stepped(ratio=0.0),
        "noise in the ball": stepped(ratio=1.0),
        "noise outside the box": stepped(clipped=False),
        "the step of fgsm-rs": stepped(length=1.25 * EPS),
        "no step": boxed(case.images + 2 * EPS * noise),
        "clean": case.images,
    }
    check(case, trained_on(case, perturbed), {name: trained_on(case, point) for name, point in wrong.items()})
    check_statistics(case, case.passes(case.weights, perturbed)[1])


# --- Free

REPLAYS = 4


def free_updates(case: Case, variant: str = "") -> tuple[list[np.ndarray], list[Tensor]]:
    """Update weights and perturbation together, several times on one batch; the perturbation begins at zero."""
    weights, statistics = case.weights, case.statistics
    delta = tf.zeros_like(case.images)
    velocities = [np.zeros(weight.shape) for weight in weights]
    for _ in range(1 if variant == "one replay" else REPLAYS):
        point = boxed(case.images + delta)
        with tf.GradientTape() as tape:
            tape.watch((weights, point))
            logits, statistics = case.classifier.model.stateless_call(weights, statistics, point, training=True)
            loss = tf.reduce_mean(CE(case.labels, logits))
        gradients, upwards = tape.gradient(loss, (weights, point))
        grown = delta + (EPS / REPLAYS if variant == "shorter step" else EPS) * tf.sign(upwards)
        delta = grown if variant == "no projection" else tf.clip_by_value(grown, -EPS, EPS)
        if variant == "not kept":
            delta = tf.zeros_like(delta)
        if variant == "no momentum between replays":
            velocities = [np.zeros(weight.shape) for weight in weights]
        weights = [tf.constant(value, tf.float32) for value in descended(weights, gradients, velocities)]
    return [np.asarray(weight, np.float64) for weight in weights], statistics


def test_free(model: KerasModel, digits: TrainingData) -> None:
    # Away from black and white, where the published programs differ from each other in what of a perturbation that
    # leads out of the box is kept.
    train = digits.train
    pixels, labels = train.at(slice(None))
    grey = Images(np.round(255 * (0.2 + 0.6 * pixels)).astype(np.uint8), labels)
    data = replace(digits, train=grey)
    case = run(replace(RECIPE, objective=f"free:replays={REPLAYS}"), model, data)
    assert float(tf.reduce_min(case.images)) > EPS
    assert float(tf.reduce_max(case.images)) < 1 - EPS
    expected, statistics = free_updates(case)
    variants = ("one replay", "shorter step", "no projection", "not kept", "no momentum between replays")
    check(case, expected, {name: free_updates(case, name)[0] for name in variants})
    check_statistics(case, statistics)
