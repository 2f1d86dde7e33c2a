"""Every objective of the folder, held to what an objective must do, and each to its own formula."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, neural_structured_learning, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.objectives import Objective, Replaying, economical_objective, standard_objective
from advcli.threat.inner_maximization import InnerMaximization
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier, make_inner_maximization

NAMES = registry.names("objectives")
VARIANTS = [
    "clean:smoothing=0.1",
    "nsl:adv_grad_norm=l2,pgd_iterations=3,pgd_epsilon=0.3",
    "nsl:random_init=true,pgd_iterations=2,pgd_epsilon=0.1",
]
SPECS = [*NAMES, *VARIANTS]
EPS = {Norm.LINF: 0.05, Norm.L2: 0.5}
LABELS = np.array([0, 1, 2, 3, 0], np.int32)

# How far, in units of eps, an objective goes that searches the ball; one, if it is not named.
REACH = {"n-fgsm": 3.0}


def build(spec: str) -> Objective:
    return registry.build("objectives", spec)


def norms_of(spec: str) -> tuple[Norm, ...]:
    objective = build(spec)
    return tuple(Norm(norm) for norm in objective.norms) if objective.uses == ("eps",) else (Norm.LINF,)


def of_the_ball() -> list[tuple[str, Norm]]:
    """The objectives with a search of their own in the ball, in every norm they know."""
    searching = [name for name in NAMES if build(name).uses == ("eps",) and not isinstance(build(name), Replaying)]
    return [(name, norm) for name in searching for norm in norms_of(name)]


SEARCHING = of_the_ball()


def perturbed_by(objective: Objective, inner: InnerMaximization, images: np.ndarray) -> np.ndarray:
    labels = tf.constant(LABELS[: len(images)])
    return np.asarray(objective.perturb(inner, tf.constant(images), labels))


def searched(name: str, inner: InnerMaximization, images: np.ndarray) -> np.ndarray:
    """The result of the search in the ball, without what else an objective makes of an image."""
    perturbed = perturbed_by(build(name), inner, images)
    return perturbed[:, 0] if perturbed.ndim == 5 else perturbed


def log_softmax(logits: Any) -> np.ndarray:
    shifted = np.asarray(logits, np.float64)
    shifted = shifted - shifted.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def cross_entropy(logits: Any, labels: np.ndarray = LABELS) -> np.ndarray:
    return -log_softmax(logits)[np.arange(len(labels)), labels]


def divergence(reference: Any, other: Any) -> np.ndarray:
    p, q = log_softmax(reference), log_softmax(other)
    return (np.exp(p) * (p - q)).sum(axis=1)


def gradient_at(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The gradient of each image's own cross-entropy."""
    point = tf.constant(images)
    with tf.GradientTape() as tape:
        tape.watch(point)
        losses = tf.keras.losses.sparse_categorical_crossentropy(
            tf.constant(LABELS), classifier.model(point), from_logits=True
        )
    return tape.gradient(losses, point).numpy()


def loss_of(spec: str, classifier: Classifier, images: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
    arguments = tf.constant(images), tf.constant(perturbed), tf.constant(LABELS)
    return build(spec)(classifier.model, *arguments)[0].numpy()


def others(pictures: np.ndarray) -> np.ndarray:
    """Images near the pictures that no search made."""
    return np.clip(pictures + np.random.default_rng(5).normal(0, 0.1, pictures.shape), 0, 1).astype(np.float32)


def traced(objective: Objective, classifier: Classifier, norm: Norm) -> Any:
    """Trace a step of training for batches of any size, with a radius that is a tensor."""

    def step(images: Tensor, labels: Tensor, seeds: Tensor, eps: Tensor) -> tuple[Any, ...]:
        base = make_inner_maximization(classifier, Threat(norm, eps), kept=tf.zeros_like(images))  # pyright: ignore[reportArgumentType]  eps grows
        inner = replace(base, rng=replace(base.rng, seeds=seeds))
        perturbed = objective.perturb(inner, images, labels)
        with tf.GradientTape() as tape:
            losses, logits = objective(classifier.model, images, perturbed, labels)
            mean = tf.reduce_mean(losses)
        return losses, logits, tape.gradient(mean, classifier.model.trainable_variables)

    signature = [
        tf.TensorSpec((None, 8, 8, classifier.channels), tf.float32),
        tf.TensorSpec((None,), tf.int32),
        tf.TensorSpec((None, 2), tf.int32),
        tf.TensorSpec((), tf.float32),
    ]
    return tf.function(step, input_signature=signature)


def check(objective: Objective, norm: Norm, channels: int) -> None:
    """What must hold for every objective: it trains all weights, in a step that is traced once."""
    classifier = make_classifier(channels=channels)
    step = traced(objective, classifier, norm)
    pictures = np.random.default_rng(3).uniform(0.3, 0.7, (5, 8, 8, channels)).astype(np.float32)
    seeds = np.arange(10, dtype=np.int32).reshape(5, 2)
    optimizer = tf.keras.optimizers.SGD(0.01)
    values = []
    for _ in range(6):
        losses, logits, gradients = step(pictures, LABELS, seeds, EPS[norm])
        assert losses.shape == (5,)
        assert logits.shape == (5, 4)
        assert np.isfinite(losses).all()
        for gradient in gradients:
            assert np.isfinite(gradient).all()
            assert np.abs(gradient).max() > 0
        optimizer.apply_gradients(zip(gradients, classifier.model.trainable_variables, strict=True))
        values.append(losses.numpy().mean())
    assert values[-1] < values[0], f"the loss did not fall: {values}"
    losses, _, _ = step(pictures[:3], LABELS[:3], seeds[:3], 0.02)
    assert losses.shape == (3,)
    assert step.experimental_get_tracing_count() == 1


@pytest.mark.parametrize(("spec", "norm"), [(spec, norm) for spec in SPECS for norm in norms_of(spec)])
def test_battery(spec: str, norm: Norm) -> None:
    check(build(spec), norm, channels=1 if norm is Norm.L2 else 3)


@pytest.mark.parametrize("spec", ["trades", "gaussian", "n-fgsm", "nsl:random_init=true"])
def test_grey_images_keep_their_channel(spec: str) -> None:
    check(build(spec), Norm.LINF, channels=1)


@pytest.mark.parametrize("name", NAMES)
def test_an_objective_says_what_it_is(name: str) -> None:
    objective = build(name)
    assert isinstance(objective.robust, bool)
    assert set(objective.uses) <= {"eps", "attack"}
    assert not objective.uses or objective.robust
    assert "norms" not in vars(type(objective)) or "eps" in objective.uses


@dataclass(frozen=True)
class Nothing(Objective):
    """A loss that no weight has a part in."""

    def perturb(self, inner: InnerMaximization, images: Tensor, labels: Tensor) -> Tensor:
        return images

    def __call__(self, model: Any, images: Tensor, perturbed: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        logits = model(images, training=True)
        return 0 * tf.reduce_sum(logits, axis=1), logits


def test_an_objective_that_does_nothing_fails_the_battery() -> None:
    with pytest.raises(AssertionError):
        check(Nothing(), Norm.LINF, channels=3)


@pytest.mark.parametrize(("name", "norm"), SEARCHING)
def test_a_search_moves_the_images_inside_the_ball_and_the_box(name: str, norm: Norm, small: Classifier) -> None:
    pictures = np.random.default_rng(3).random((5, 8, 8, 3)).astype(np.float32)
    threat = Threat(norm, EPS[norm])
    perturbed = searched(name, make_inner_maximization(small, threat), pictures)
    assert perturbed.dtype == np.float32
    size = threat.size(tf.constant(perturbed - pictures)).numpy()
    assert (size > 0.5 * threat.eps).all()
    assert (size <= REACH.get(name, 1.0) * threat.eps + 1e-6).all()
    assert perturbed.min() >= 0
    assert perturbed.max() <= 1


@pytest.mark.parametrize(("name", "norm"), SEARCHING)
def test_a_radius_of_zero_changes_nothing(name: str, norm: Norm, small: Classifier, pictures: np.ndarray) -> None:
    perturbed = searched(name, make_inner_maximization(small, Threat(norm, 0.0)), pictures)
    np.testing.assert_array_equal(perturbed, pictures)


@pytest.mark.parametrize(("name", "norm"), SEARCHING)
def test_a_search_raises_what_it_is_to_raise(name: str, norm: Norm, small: Classifier, pictures: np.ndarray) -> None:
    threat = Threat(norm, EPS[norm])
    inner = make_inner_maximization(small, threat)
    perturbed = searched(name, inner, pictures)
    # The control: random points of the same reach.
    reach = replace(threat, eps=REACH.get(name, 1.0) * threat.eps)
    random = reach.sample(tf.constant(pictures), inner.rng.fold(3)).numpy()
    clean, moved, control = (small.logits(tf.constant(images)) for images in (pictures, perturbed, random))
    if name == "trades":
        assert (divergence(clean, moved) > divergence(clean, control) + 1e-4).all()
    else:
        assert (cross_entropy(moved) > cross_entropy(clean) + 1e-3).all()
        assert (cross_entropy(moved) > cross_entropy(control) + 1e-3).all()


@pytest.mark.parametrize("spec", SPECS)
def test_the_same_draws_make_the_same_of_an_image_whatever_its_batch(
    spec: str, small: Classifier, pictures: np.ndarray
) -> None:
    objective, threat = build(spec), Threat(eps=0.05)
    inner = make_inner_maximization(small, threat, kept=tf.zeros((5, 8, 8, 3)))
    together = perturbed_by(objective, inner, pictures)
    again = perturbed_by(objective, inner, pictures)
    np.testing.assert_array_equal(together, again)
    fewer = make_inner_maximization(small, threat, count=2, kept=tf.zeros((2, 8, 8, 3)))
    np.testing.assert_allclose(perturbed_by(objective, fewer, pictures[:2]), together[:2], atol=1e-6)


@pytest.mark.parametrize(
    "spec",
    [
        "fgsm-rs",
        "n-fgsm",
        "trades",
        "mart",
        "gaussian",
        "nsl:random_init=true",
        "nsl:random_init=true,adv_grad_norm=l1",
    ],
)
def test_other_draws_make_something_else(spec: str, small: Classifier, pictures: np.ndarray) -> None:
    one, two = (
        perturbed_by(build(spec), make_inner_maximization(small, Threat(eps=0.05), seed=seed), pictures)
        for seed in (0, 1)
    )
    assert (np.abs(one - two).max(axis=(1, 2, 3)) > 1e-6).all()


@pytest.mark.parametrize(
    "spec",
    [
        "clean:smoothing=1",
        "fgsm-rs:step=-1",
        "augmix-at:step=-1",
        "n-fgsm:noise_ratio=-1",
        "n-fgsm:step=-1",
        "free:replays=0",
        "trades:steps=0",
        "trades:step=-1",
        "trades:beta=-1",
        "mart:steps=0",
        "mart:beta=-1",
        "gaussian:sigma=0",
        "nsl:adv_grad_norm=linf",
        "nsl:multiplier=-1",
        "nsl:adv_step_size=-1",
        "nsl:pgd_epsilon=-1",
        "nsl:pgd_iterations=0",
        "nsl:adv_grad_norm=l1,pgd_epsilon=1",
    ],
)
def test_values_without_a_meaning_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        build(spec)


class Spy:
    """A network that keeps what it was asked."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.asked: list[tuple[np.ndarray, bool]] = []

    def __call__(self, images: Tensor, training: bool) -> Tensor:
        self.asked.append((np.asarray(images), training))
        return self.model(images, training=training)


@pytest.mark.parametrize("name", ["trades", "mart"])
def test_batchnorm_sees_the_images_and_the_perturbed_each_for_itself(name: str, pictures: np.ndarray) -> None:
    spy, perturbed = Spy(make_classifier().model), others(pictures)
    build(name)(spy, tf.constant(pictures), tf.constant(perturbed), tf.constant(LABELS))
    assert [training for _, training in spy.asked] == [True, True]
    np.testing.assert_array_equal(spy.asked[0][0], pictures)
    np.testing.assert_array_equal(spy.asked[1][0], perturbed)


def test_clean_is_cross_entropy(small: Classifier, pictures: np.ndarray) -> None:
    expected = cross_entropy(small.model(pictures))
    np.testing.assert_allclose(loss_of("clean", small, pictures, pictures), expected, rtol=1e-5)


def test_smoothing_spreads_a_part_of_the_label_evenly(small: Classifier, pictures: np.ndarray) -> None:
    logarithm = log_softmax(small.model(pictures))
    expected = 0.7 * cross_entropy(small.model(pictures)) - 0.3 * logarithm.mean(axis=1)
    np.testing.assert_allclose(loss_of("clean:smoothing=0.3", small, pictures, pictures), expected, rtol=1e-5)


def test_pgd_at_sees_only_what_the_adversary_made(small: Classifier, pictures: np.ndarray) -> None:
    perturbed = perturbed_by(build("pgd-at"), make_inner_maximization(small, Threat()), pictures)
    np.testing.assert_allclose(perturbed, np.clip(pictures + np.float32(0.05), 0, 1))


@pytest.mark.parametrize("name", ["pgd-at", "fgsm-rs", "n-fgsm", "free", "gaussian"])
def test_these_take_the_cross_entropy_of_the_perturbed_alone(
    name: str, small: Classifier, pictures: np.ndarray
) -> None:
    perturbed = others(pictures)
    expected = cross_entropy(small.model(perturbed))
    np.testing.assert_allclose(loss_of(name, small, pictures, perturbed), expected, rtol=1e-5)


def test_fgsm_rs_steps_from_a_random_point_of_the_ball(small: Classifier, pictures: np.ndarray) -> None:
    inner = make_inner_maximization(small, Threat(eps=0.05))
    start = inner.threat.sample(tf.constant(pictures), inner.rng).numpy()
    moved = start + 1.25 * 0.05 * np.sign(gradient_at(small, start))
    expected = np.clip(np.clip(moved, pictures - 0.05, pictures + 0.05), 0, 1)
    np.testing.assert_allclose(perturbed_by(build("fgsm-rs"), inner, pictures), expected, atol=1e-6)


def test_n_fgsm_steps_from_beyond_the_ball_and_stays_there(small: Classifier, pictures: np.ndarray) -> None:
    inner = make_inner_maximization(small, Threat(eps=0.05))
    start = np.clip(pictures + 0.1 * inner.rng.uniform([8, 8, 3], -1.0, 1.0).numpy(), 0, 1)
    expected = np.clip(start + 0.05 * np.sign(gradient_at(small, start)), 0, 1)
    perturbed = perturbed_by(build("n-fgsm"), inner, pictures)
    np.testing.assert_allclose(perturbed, expected, atol=1e-6)
    assert np.abs(perturbed - pictures).max() > 0.14


@pytest.mark.parametrize("eps", [0.05, 0.2])
def test_the_step_of_one_step_training_is_a_length(eps: float, small: Classifier, pictures: np.ndarray) -> None:
    inner = make_inner_maximization(small, Threat(eps=eps))
    beyond = np.clip(pictures + 2 * eps * inner.rng.uniform([8, 8, 3], -1.0, 1.0).numpy(), 0, 1)
    expected = np.clip(beyond + 4 / 255 * np.sign(gradient_at(small, beyond)), 0, 1)
    np.testing.assert_allclose(perturbed_by(build("n-fgsm:step=4/255"), inner, pictures), expected, atol=1e-6)
    start = inner.threat.sample(tf.constant(pictures), inner.rng).numpy()
    moved = start + 4 / 255 * np.sign(gradient_at(small, start))
    expected = np.clip(np.clip(moved, pictures - eps, pictures + eps), 0, 1)
    np.testing.assert_allclose(perturbed_by(build("fgsm-rs:step=4/255"), inner, pictures), expected, atol=1e-6)


def test_free_wears_what_it_kept_and_keeps_it_in_the_ball(small: Classifier, pictures: np.ndarray) -> None:
    objective = build("free")
    assert isinstance(objective, Replaying)
    assert objective.replays == 8
    assert not isinstance(build("pgd-at"), Replaying)
    kept = np.zeros_like(pictures)
    for _ in range(3):
        inner = make_inner_maximization(small, Threat(eps=0.05), kept=tf.constant(kept))
        perturbed = perturbed_by(objective, inner, pictures)
        np.testing.assert_allclose(perturbed, np.clip(pictures + kept, 0, 1), atol=1e-7)
        gradient = gradient_at(small, perturbed)
        expected = np.clip(kept + 0.03 * np.sign(gradient), -0.03, 0.03)
        smaller = replace(inner, threat=Threat(eps=0.03))
        kept = np.asarray(objective.climb(smaller, tf.constant(pictures), tf.constant(gradient)))
        np.testing.assert_allclose(kept, expected, atol=1e-7)
    clean, worn = small.model(pictures), small.model(np.clip(pictures + kept, 0, 1))
    assert (cross_entropy(worn) > cross_entropy(clean) + 1e-3).all()


def test_trades_is_the_clean_loss_and_beta_times_the_divergence(small: Classifier, pictures: np.ndarray) -> None:
    perturbed = others(pictures)
    clean, moved = small.model(pictures), small.model(perturbed)
    expected = cross_entropy(clean) + 6 * divergence(clean, moved)
    np.testing.assert_allclose(loss_of("trades", small, pictures, perturbed), expected, rtol=1e-4)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_trades_climbs_the_divergence_from_the_prediction_of_the_image(
    norm: Norm, linear: Classifier, pictures: np.ndarray
) -> None:
    inner = make_inner_maximization(linear, Threat(norm, 0.1))
    clean = tf.nn.softmax(linear.model(pictures))
    point = pictures + 0.001 * inner.rng.normal([8, 8, 3]).numpy()
    for _ in range(3):
        at = tf.constant(point)
        with tf.GradientTape() as tape:
            tape.watch(at)
            losses = tf.reduce_sum(clean * tf.math.log(clean / tf.nn.softmax(linear.model(at))), axis=1)
        ahead = ascended("infinity" if norm is Norm.LINF else "l2", tape.gradient(losses, at).numpy())
        delta = brought_back("infinity" if norm is Norm.LINF else "l2", point + 0.05 * ahead - pictures, 0.1)
        point = np.clip(pictures + delta, 0, 1).astype(np.float32)
    perturbed = perturbed_by(build("trades:steps=3,step=0.05"), inner, pictures)
    np.testing.assert_allclose(perturbed, point, atol=1e-5)


def slope_of(value: Callable[[], Tensor], weight: Any, index: int) -> float:
    """The derivative by one entry of a weight, by central differences."""
    start = weight.numpy()
    results = []
    for sign in (1, -1):
        moved = start.copy()
        moved.flat[index] += sign * 1e-2
        weight.assign(moved)
        results.append(float(value()))
    weight.assign(start)
    return (results[0] - results[1]) / 2e-2


@pytest.mark.parametrize("name", ["trades", "mart"])
def test_the_gradient_goes_through_both_predictions(name: str, pictures: np.ndarray) -> None:
    # Of a linear network, whose loss is smooth; one that held a prediction constant would have another slope.
    classifier = make_classifier("linear")
    kernel = classifier.model.trainable_variables[0]
    kernel.assign(np.random.default_rng(4).normal(0, 0.3, kernel.shape))
    batch = tf.constant(pictures), tf.constant(others(pictures)), tf.constant(LABELS)

    def value() -> Tensor:
        return tf.reduce_mean(build(name)(classifier.model, *batch)[0])

    with tf.GradientTape() as tape:
        mean = value()
    gradient = tape.gradient(mean, kernel.value).numpy().ravel()
    for index in np.argsort(-np.abs(gradient))[:4]:
        assert slope_of(value, kernel, int(index)) == pytest.approx(gradient[index], rel=0.01)


def test_mart_counts_the_strongest_rival_and_the_doubt(small: Classifier, pictures: np.ndarray) -> None:
    perturbed = others(pictures)
    clean, moved = np.exp(log_softmax(small.model(pictures))), np.exp(log_softmax(small.model(perturbed)))
    expected = []
    for p, q, label in zip(clean, moved, LABELS, strict=True):
        rival = max(q[j] for j in range(4) if j != label)
        boosted = -np.log(q[label]) - np.log(1.0001 - rival)
        expected.append(boosted + 5 * (p * np.log(p / q)).sum() * (1.0000001 - p[label]))
    np.testing.assert_allclose(loss_of("mart", small, pictures, perturbed), expected, rtol=1e-4)


def test_mart_stays_finite_where_the_network_is_sure_and_wrong(pictures: np.ndarray) -> None:
    classifier = make_classifier("linear")
    kernel, bias = classifier.model.trainable_variables
    bias.assign([0, 0, 0, 200.0])
    with tf.GradientTape() as tape:
        losses, _ = build("mart")(
            classifier.model, tf.constant(pictures), tf.constant(others(pictures)), tf.constant(LABELS)
        )
    assert np.isfinite(losses).all()
    assert np.isfinite(tape.gradient(losses, kernel.value)).all()


def test_gaussian_adds_normal_noise_of_its_sigma(small: Classifier, pictures: np.ndarray) -> None:
    noise = perturbed_by(build("gaussian:sigma=0.5"), make_inner_maximization(small, Threat()), pictures) - pictures
    assert noise.std() == pytest.approx(0.5, rel=0.1)
    assert abs(noise.mean()) < 0.05
    assert noise.min() < -1  # not cut to [0, 1]
    assert not np.allclose(noise[0], noise[1])


def ascended(norm: str, gradient: np.ndarray) -> np.ndarray:
    if norm == "infinity":
        return np.sign(gradient)
    if norm == "l2":
        return gradient / np.sqrt((gradient**2).sum(axis=(1, 2, 3), keepdims=True))
    largest = np.abs(gradient) == np.abs(gradient).max(axis=(1, 2, 3), keepdims=True)
    return largest * np.sign(gradient)


def brought_back(norm: str, delta: np.ndarray, radius: float) -> np.ndarray:
    if norm == "infinity":
        return np.clip(delta, -radius, radius)
    return delta * np.minimum(1, radius / np.sqrt((delta**2).sum(axis=(1, 2, 3), keepdims=True)))


@pytest.mark.parametrize("random", [False, True])
@pytest.mark.parametrize("iterations", [1, 3])
@pytest.mark.parametrize(
    ("norm", "radius"), [("infinity", 0.0), ("infinity", 0.15), ("l2", 0.0), ("l2", 0.15), ("l1", 0.0)]
)
def test_nsl_is_the_clean_loss_and_a_part_of_the_loss_uphill(
    norm: str, radius: float, iterations: int, random: bool, small: Classifier, pictures: np.ndarray
) -> None:
    options = f"multiplier=0.3,adv_step_size=0.1,adv_grad_norm={norm},pgd_iterations={iterations},pgd_epsilon={radius}"
    spec = f"nsl:{options},random_init={random}"
    start = point = perturbed_by(build(spec), make_inner_maximization(small, Threat()), pictures)
    assert np.array_equal(start, pictures) != random
    for _ in range(iterations):
        moved = point + 0.1 * ascended(norm, gradient_at(small, point))
        delta = brought_back(norm, moved - pictures, radius) if radius else moved - pictures
        point = np.clip(pictures + delta, 0, 1).astype(np.float32)
    expected = cross_entropy(small.model(pictures)) + 0.3 * cross_entropy(small.model(point))
    np.testing.assert_allclose(loss_of(spec, small, pictures, start), expected, rtol=1e-5)


@pytest.mark.parametrize(("norm", "order"), [("infinity", np.inf), ("l2", 2), ("l1", 1)])
@pytest.mark.parametrize("radius", ["pgd_epsilon", "adv_step_size"])
def test_nsl_starts_at_random_in_its_own_ball(
    norm: str, order: float, radius: str, small: Classifier, pictures: np.ndarray
) -> None:
    if norm == "l1" and radius == "pgd_epsilon":
        return
    spec = f"nsl:random_init=true,adv_grad_norm={norm},{radius}=0.2"
    start = perturbed_by(build(spec), make_inner_maximization(small, Threat(eps=0.01)), pictures)
    sizes = np.linalg.norm((start - pictures).reshape(5, -1), ord=order, axis=1)
    assert (sizes > 0.15).all()
    assert (sizes <= 0.2 + 1e-5).all()


def test_nsl_keeps_its_neighbours_in_the_box_if_it_is_to(linear: Classifier) -> None:
    black = np.zeros((5, 8, 8, 3), np.float32)
    wide, one = (loss_of(f"nsl:adv_step_size={step}", linear, black, black) for step in (50, 1))
    np.testing.assert_allclose(wide, one, rtol=1e-6)
    free = loss_of("nsl:adv_step_size=1,clip=false", linear, black, black)
    assert (np.abs(free - one) > 1e-3).all()


def test_nsl_is_in_training_mode_throughout(pictures: np.ndarray) -> None:
    for spec, passes in (("nsl", 2), ("nsl:random_init=true,pgd_iterations=2", 4)):
        spy = Spy(make_classifier().model)
        build(spec)(spy, tf.constant(pictures), tf.constant(pictures), tf.constant(LABELS))
        assert [training for _, training in spy.asked] == [True] * passes


def test_neural_structured_learning_leaves_tensorflow_as_it_was() -> None:
    import tensorflow

    assert neural_structured_learning().lib.gen_adv_neighbor
    assert not hasattr(tensorflow, "estimator")


def test_the_undefended_and_the_economical_objective_are_found_by_what_they_say() -> None:
    assert [name for name in NAMES if registry.component("objectives", name).standard] == [standard_objective()]
    assert not registry.component("objectives", standard_objective()).robust
    assert economical_objective("linf") == "n-fgsm"
    assert economical_objective("l2") is None
