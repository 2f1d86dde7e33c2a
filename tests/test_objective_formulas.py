"""The objectives by the papers' formulas in NumPy, on predictions where the plausible wrong formulas differ."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import tf
from advcli.model.classifier import Classifier
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier, make_inner_maximization

LABELS = np.array([0, 1, 2, 3, 0], np.int32)
OWN = np.eye(4)[LABELS]
THREATS = [Threat(eps=0.05), Threat(Norm.L2, 0.5)]
by_threat = pytest.mark.parametrize("threat", THREATS, ids=["linf", "l2"])


@pytest.fixture(scope="module")
def sure() -> Classifier:
    """Logistic regression that is sure of some images and torn about others, as a trained network is."""
    classifier = make_classifier("linear")
    kernel, bias = classifier.model.trainable_variables
    generator = np.random.default_rng(8)
    kernel.assign(generator.normal(0, 0.3, kernel.shape))
    bias.assign(generator.normal(0, 0.5, bias.shape))
    return classifier


@pytest.fixture
def perturbed(pictures: np.ndarray) -> np.ndarray:
    return np.clip(pictures + np.random.default_rng(5).normal(0, 0.15, pictures.shape), 0, 1).astype(np.float32)


def logarithms(classifier: Classifier, images: np.ndarray) -> np.ndarray:
    """The logarithms of the probabilities: (N, H, W, C) -> (N, K)."""
    kernel, bias = (weight.numpy().astype(np.float64) for weight in classifier.model.trainable_variables)
    logits = images.reshape(len(images), -1).astype(np.float64) @ kernel + bias
    shifted = logits - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def by_pixels(classifier: Classifier, by_logits: np.ndarray) -> np.ndarray:
    """Turn a gradient by the logits into one by the pixels: (N, K) -> (N, H, W, C)."""
    return (by_logits @ classifier.model.trainable_variables[0].numpy().T.astype(np.float64)).reshape(-1, 8, 8, 3)


def check(found: np.ndarray, expected: np.ndarray, wrong: dict[str, np.ndarray], rtol: float = 1e-4) -> None:
    """Compare with a formula, and with wrong ones: each must be farther away than ten tolerances on some image."""
    np.testing.assert_allclose(found, expected, rtol=rtol)
    for name, other in wrong.items():
        assert (np.abs(other - expected) > 10 * rtol * np.abs(expected)).any(), f"no image tells: {name}"


def loss_of(spec: str, classifier: Classifier, images: np.ndarray, perturbed: np.ndarray) -> np.ndarray:
    batch = tf.constant(images), tf.constant(perturbed), tf.constant(LABELS)
    return registry.build("objectives", spec)(classifier.model, *batch)[0].numpy()


def test_the_network_is_sure_of_some_and_torn_about_others(sure: Classifier, pictures: np.ndarray) -> None:
    likeliest = np.exp(logarithms(sure, pictures)).max(axis=1)
    assert likeliest.max() > 0.9
    assert likeliest.min() < 0.8


def test_smoothing_is_over_all_classes(sure: Classifier, pictures: np.ndarray) -> None:
    p = logarithms(sure, pictures)
    clean, mean, others = -(OWN * p).sum(axis=1), -p.mean(axis=1), -((1 - OWN) * p).sum(axis=1) / 3
    check(
        loss_of("clean:smoothing=0.3", sure, pictures, pictures),
        0.7 * clean + 0.3 * mean,
        {"no smoothing": clean, "over the others": 0.7 * clean + 0.3 * others, "added": clean + 0.3 * mean},
    )


def test_trades(sure: Classifier, pictures: np.ndarray, perturbed: np.ndarray) -> None:
    p, q = logarithms(sure, pictures), logarithms(sure, perturbed)
    forward, backward = (np.exp(p) * (p - q)).sum(axis=1), (np.exp(q) * (q - p)).sum(axis=1)
    clean, moved = -(OWN * p).sum(axis=1), -(OWN * q).sum(axis=1)
    check(
        loss_of("trades", sure, pictures, perturbed),
        clean + 6 * forward,
        {
            "divergence reversed": clean + 6 * backward,
            "both ways": clean + 3 * (forward + backward),
            "mean over classes": clean + 6 * forward / 4,
            "loss on the perturbed": moved + 6 * forward,
            "without beta": clean + forward,
            "cross-entropy for divergence": clean - 6 * (np.exp(p) * q).sum(axis=1),
        },
    )


def test_mart(sure: Classifier, pictures: np.ndarray, perturbed: np.ndarray) -> None:
    p, q = logarithms(sure, pictures), logarithms(sure, perturbed)

    forward, backward = (np.exp(p) * (p - q)).sum(axis=1), (np.exp(q) * (q - p)).sum(axis=1)
    clean, moved = np.exp(p), np.exp(q)

    def loss(divergence: np.ndarray = forward, rivals: np.ndarray = moved * (1 - OWN), sure: np.ndarray = clean) -> Any:
        boosted = -(OWN * q).sum(axis=1) - np.log(1.0001 - rivals.max(axis=1))
        return boosted + 5 * divergence * (1.0000001 - (OWN * sure).sum(axis=1))

    check(
        loss_of("mart", sure, pictures, perturbed),
        loss(),
        {
            "divergence reversed": loss(divergence=backward),
            "rival of the clean image": loss(rivals=clean * (1 - OWN)),
            "rival is any class": loss(rivals=moved),
            "doubt of the perturbed image": loss(sure=moved),
            "sureness for doubt": loss(sure=1 - clean),
            "no doubt": loss(sure=0 * clean),
            "no margin": loss(rivals=0 * moved),
        },
    )


def test_the_divergence_of_augmix(sure: Classifier, pictures: np.ndarray, perturbed: np.ndarray) -> None:
    third = pictures[::-1].copy()
    logs = np.stack([logarithms(sure, images) for images in (pictures, perturbed, third)])
    p = np.exp(logs)
    mean = p.mean(axis=0)
    clean = -(OWN * logs[0]).sum(axis=1)
    to_mean = (p * (logs - np.log(mean))).sum(axis=2)
    from_mean = (mean * (np.log(mean) - logs)).sum(axis=2)
    geometric = logs.mean(axis=0) - np.log(np.exp(logs.mean(axis=0)).sum(axis=1, keepdims=True))
    check(
        loss_of("augmix", sure, pictures, np.stack([perturbed, third], axis=1)),
        clean + 12 * to_mean.mean(axis=0),
        {
            "reversed": clean + 12 * from_mean.mean(axis=0),
            "sum of the three": clean + 12 * to_mean.sum(axis=0),
            "mean over classes": clean + 3 * to_mean.mean(axis=0),
            "mean of the logarithms": clean + 12 * (p * (logs - geometric)).sum(axis=2).mean(axis=0),
        },
    )


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.sqrt((values**2).sum(axis=(1, 2, 3), keepdims=True))


def step(point: np.ndarray, gradient: np.ndarray, length: float, centre: np.ndarray, threat: Threat) -> np.ndarray:
    """Take a step of a length, and bring the point back into the ball, then into the box."""
    if threat.norm is Norm.LINF:
        moved = np.clip(point + length * np.sign(gradient), centre - threat.eps, centre + threat.eps)
    else:
        delta = point + length * unit(gradient) - centre
        moved = centre + delta * np.minimum(1, threat.eps / np.sqrt((delta**2).sum(axis=(1, 2, 3), keepdims=True)))
    return np.clip(moved, 0, 1)


def perturbed_by(spec: str, classifier: Classifier, pictures: np.ndarray, threat: Threat) -> np.ndarray:
    inner = make_inner_maximization(classifier, threat)
    return np.asarray(registry.build("objectives", spec).perturb(inner, tf.constant(pictures), tf.constant(LABELS)))


def ten_steps(
    slope: Callable[[np.ndarray], np.ndarray], classifier: Classifier, pictures: np.ndarray, threat: Threat
) -> np.ndarray:
    """Ten steps of a quarter of eps, from beside the images."""
    noise = make_inner_maximization(classifier, threat).rng.normal([8, 8, 3]).numpy().astype(np.float64)
    point = pictures + 0.001 * noise
    for _ in range(10):
        point = step(point, by_pixels(classifier, slope(point)), 0.25 * threat.eps, pictures, threat)
    return point


def differ(found: np.ndarray, expected: np.ndarray, wrong: np.ndarray) -> None:
    """Compare points: where a gradient is next to nothing, float32 may see another sign."""
    assert (np.abs(found - expected) < 1e-4).mean() > 0.995
    assert (np.abs(wrong - expected) > 1e-3).mean() > 0.02, "the inputs cannot tell the two"


@by_threat
def test_the_search_of_trades(threat: Threat, sure: Classifier, pictures: np.ndarray) -> None:
    p = logarithms(sure, pictures)

    def forward(point: np.ndarray) -> np.ndarray:
        return np.exp(logarithms(sure, point)) - np.exp(p)

    def backward(point: np.ndarray) -> np.ndarray:
        q = logarithms(sure, point)
        return np.exp(q) * (q - p - (np.exp(q) * (q - p)).sum(axis=1, keepdims=True))

    expected, wrong = (ten_steps(slope, sure, pictures, threat) for slope in (forward, backward))
    differ(perturbed_by("trades", sure, pictures, threat), expected, wrong)


@by_threat
def test_the_search_of_mart(threat: Threat, sure: Classifier, pictures: np.ndarray) -> None:
    p = np.exp(logarithms(sure, pictures))
    expected = ten_steps(lambda point: np.exp(logarithms(sure, point)) - OWN, sure, pictures, threat)
    wrong = ten_steps(lambda point: np.exp(logarithms(sure, point)) - p, sure, pictures, threat)
    differ(perturbed_by("mart", sure, pictures, threat), expected, wrong)


@by_threat
def test_the_step_of_fgsm_rs(threat: Threat, sure: Classifier, pictures: np.ndarray) -> None:
    rng = make_inner_maximization(sure, threat).rng
    within = rng.uniform([8, 8, 3], -1.0, 1.0).numpy()
    if threat.norm is Norm.L2:
        within = unit(rng.normal([8, 8, 3]).numpy()) * rng.fold(1).uniform([1, 1, 1]).numpy() ** (1 / 192)
    start = np.clip(pictures + threat.eps * within, 0, 1)
    gradient = by_pixels(sure, np.exp(logarithms(sure, start)) - OWN)
    expected, wrong = (step(start, gradient, length * threat.eps, pictures, threat) for length in (1.25, 1.0))
    differ(perturbed_by("fgsm-rs", sure, pictures, threat), expected, wrong)


def test_the_noise_of_gaussian(sure: Classifier, pictures: np.ndarray) -> None:
    noise = make_inner_maximization(sure, Threat()).rng.normal([8, 8, 3]).numpy()
    differ(perturbed_by("gaussian", sure, pictures, Threat()), pictures + 0.25 * noise, pictures + 0.25**2 * noise)


@pytest.mark.parametrize("spec", ["fgsm-rs", "n-fgsm", "free", "trades", "mart"])
def test_the_perturbed_stay_in_the_box(spec: str, sure: Classifier) -> None:
    # Halves of black and white, from which half of all steps and of all noise lead out.
    images = np.zeros((5, 8, 8, 3), np.float32)
    images[:, 4:] = 1
    kept = np.random.default_rng(7).uniform(-0.1, 0.1, images.shape).astype(np.float32)
    inner = make_inner_maximization(sure, Threat(eps=0.1), kept=tf.constant(kept))
    found = np.asarray(registry.build("objectives", spec).perturb(inner, tf.constant(images), tf.constant(LABELS)))
    assert found.min() == 0
    assert found.max() == 1
    assert (np.abs(found - images) > 0.01).mean() > 0.2


def test_the_loss_of_adversarial_training_with_augmix(
    sure: Classifier, pictures: np.ndarray, perturbed: np.ndarray
) -> None:
    third = pictures[::-1].copy()
    fourth = np.roll(pictures, 1, axis=0)
    logs = np.stack([logarithms(sure, images) for images in (perturbed, third, fourth)])
    p = np.exp(logs)

    def loss(sides: np.ndarray = p, logarithm: np.ndarray = logs, on: np.ndarray = logs[0]) -> Any:
        return -(OWN * on).sum(axis=1) + 12 * (sides * (logarithm - np.log(sides.mean(axis=0)))).sum(axis=2).mean(
            axis=0
        )

    clean = logarithms(sure, pictures)
    with_clean = np.stack([clean, *logs[1:]])
    check(
        loss_of("augmix-at", sure, pictures, np.stack([perturbed, third, fourth], axis=1)),
        loss(),
        {
            "clean cross-entropy": loss(on=clean),
            "divergence from the clean image": loss(np.exp(with_clean), with_clean),
            "cross-entropy of a mixture": loss(on=logs[1]),
        },
    )
