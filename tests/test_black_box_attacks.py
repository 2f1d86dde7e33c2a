"""The attacks that look at scores or decisions only, on models whose gradients or scores say nothing."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat

BUDGETS = {"nes": 408, "simba": 380, "hopskipjump": 400, "geoda": 400}


def run(
    spec: str, classifier: Classifier, pictures: np.ndarray, threat: Threat, labels: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    away_from = classifier.predict(pictures).argmax(axis=1) if labels is None else labels
    found, queries = CompiledAttack(classifier, registry.build("attacks", spec), threat)(pictures, away_from)
    return found, int(queries.max())


def fooled(classifier: Classifier, found: np.ndarray, pictures: np.ndarray) -> np.ndarray:
    return classifier.predict(found).argmax(axis=1) != classifier.predict(pictures).argmax(axis=1)


def followed_by(classifier: Classifier, function: Callable[[Tensor], Tensor]) -> Classifier:
    """The same classifier, with something done to its logits."""
    layer = keras.layers.Lambda(function, output_shape=(4,))
    return replace(classifier, model=keras.Model(classifier.model.input, layer(classifier.model.output)))


def masked(logits: Tensor) -> Tensor:
    """The same values, with a gradient of zero."""

    @tf.custom_gradient
    def forward(x: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
        return tf.identity(x), tf.zeros_like

    return forward(logits)


def decision(logits: Tensor) -> Tensor:
    return tf.one_hot(tf.argmax(logits, axis=1), 4)


def nearest(linear: Classifier, pictures: np.ndarray, order: int) -> np.ndarray:
    """The distance to the nearest hyperplane, by its formula, with the dual norm of this order."""
    kernel, bias = (variable.numpy() for variable in linear.model.weights)
    logits = pictures.reshape(len(pictures), -1) @ kernel + bias
    labels = logits.argmax(axis=1)
    rows = []
    for row, own in zip(logits, labels, strict=True):
        others = [k for k in range(4) if k != own]
        rows.append(min((row[own] - row[k]) / np.linalg.norm(kernel[:, k] - kernel[:, own], order) for k in others))
    return np.array(rows)


@pytest.mark.parametrize("spec", ["nes:queries=1000", "simba:queries=700", "hopskipjump:queries=1000"])
def test_a_model_without_gradients_is_broken_where_pgd_fails(
    spec: str, linear: Classifier, pictures: np.ndarray
) -> None:
    blind = followed_by(linear, masked)
    threat = Threat(eps=2 * float(nearest(linear, pictures, 1).max()))
    pgd, _ = run("pgd:random_start=false", blind, pictures, threat)
    np.testing.assert_array_equal(pgd, pictures)
    assert fooled(linear, run("pgd", linear, pictures, threat)[0], pictures).all()
    assert fooled(linear, run(spec, blind, pictures, threat)[0], pictures).all()


@pytest.mark.parametrize(("name", "budget"), BUDGETS.items())
@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_the_budget_is_kept_and_used(
    name: str, budget: int, norm: Norm, linear: Classifier, pictures: np.ndarray
) -> None:
    """In a ball too small for a success, nothing stops the search early."""
    _, queries = run(f"{name}:queries={budget}", linear, pictures, Threat(norm, 1e-4))
    assert queries <= budget
    # A search that finds its start at once leaves the tries for it unused.
    assert queries >= (budget - 160 if name in ("hopskipjump", "geoda") else 0.9 * budget)


@pytest.mark.parametrize("name", ["nes", "simba"])
def test_success_ends_the_search(name: str, linear: Classifier, pictures: np.ndarray) -> None:
    threat = Threat(eps=0.2)
    _, queries = run(f"{name}:queries=5000", linear, pictures, threat)
    assert queries < 700


@pytest.mark.parametrize("name", BUDGETS)
def test_an_image_that_is_already_wrong_is_left_alone(name: str, linear: Classifier, pictures: np.ndarray) -> None:
    wrong = (linear.predict(pictures).argmax(axis=1) + 1) % 4
    found, _ = run(f"{name}:queries={BUDGETS[name]}", linear, pictures, Threat(), wrong)
    np.testing.assert_array_equal(found, pictures)


@pytest.mark.parametrize("norm", [Norm.LINF, Norm.L2])
def test_hopskipjump_sees_decisions_only(norm: Norm, linear: Classifier, pictures: np.ndarray) -> None:
    threat = Threat(norm, 0.9)
    spec = "hopskipjump:queries=400"
    with_scores, queries = run(spec, linear, pictures, threat)
    without, the_same = run(spec, followed_by(linear, decision), pictures, threat)
    np.testing.assert_array_equal(with_scores, without)
    assert queries == the_same


@pytest.mark.parametrize(("norm", "dual", "slack"), [(Norm.L2, 2, 1.2), (Norm.LINF, 1, 1.4)])
def test_hopskipjump_comes_near_the_nearest_hyperplane(
    norm: Norm, dual: int, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    threat = Threat(norm, 0.9 if norm is Norm.LINF else 10.0)
    found, _ = run("hopskipjump:queries=2500", linear, pictures, threat)
    assert fooled(linear, found, pictures).all()
    needed = threat.size(tf.constant(found - pictures)).numpy() / nearest(linear, pictures, dual)
    assert needed.min() >= 1 - 1e-4
    assert needed.max() <= slack, needed


def test_hopskipjump_with_more_queries_comes_nearer(small: Classifier, pictures: np.ndarray) -> None:
    threat = Threat(Norm.L2, 10.0)
    few, _ = run("hopskipjump:queries=300", small, pictures, threat)
    more, _ = run("hopskipjump:queries=900", small, pictures, threat)
    assert (threat.size(tf.constant(more - pictures)) < threat.size(tf.constant(few - pictures))).numpy().all()


def test_hopskipjump_without_a_start_leaves_the_image(linear: Classifier, pictures: np.ndarray) -> None:
    constant = followed_by(linear, lambda logits: 0 * logits + tf.constant([1.0, 0, 0, 0]))
    found, queries = run("hopskipjump:queries=500", constant, pictures, Threat())
    np.testing.assert_array_equal(found, pictures)
    assert queries <= 500


def test_nes_estimates_the_gradient(linear: Classifier, pictures: np.ndarray) -> None:
    """With n pairs in d dimensions the cosine is about sqrt(n / (n + d)): 0.92 here."""
    threat = Threat(Norm.L2, 0.01)
    step, queries = run("nes:samples=2000,queries=2001,step=0.01", linear, pictures, threat)
    steepest, _ = run("fgsm", linear, pictures, threat)
    cosine = ((step - pictures) * (steepest - pictures)).sum(axis=(1, 2, 3)) / 0.01**2
    assert cosine.min() > 0.88
    assert queries == 2002 - 1


def test_simba_reaches_the_corner_when_every_pixel_was_tried(linear: Classifier, pictures: np.ndarray) -> None:
    eps = 1e-3
    assert eps < nearest(linear, pictures, 1).min()
    found, queries = run("simba:queries=385", linear, pictures, Threat(eps=eps))
    corner, _ = run("fgsm", linear, pictures, Threat(eps=eps))
    assert queries == 385
    # A pixel whose weight is next to nothing may be seen to go either way.
    assert (np.abs(found - corner) < 1e-6).mean() > 0.99
    np.testing.assert_allclose(np.abs(found - pictures).max(axis=(1, 2, 3)), eps, atol=1e-6)


def test_noise_is_the_best_of_its_draws(small: Classifier, pictures: np.ndarray) -> None:
    labels = small.predict(pictures).argmax(axis=1)
    threat = Threat(eps=0.05)
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    points = [threat.sample(tf.constant(pictures), rng.fold(i)) for i in range(6)]
    losses = np.stack([threat.loss(small.logits(at), tf.constant(labels, tf.int32)).numpy() for at in points])
    expected = np.stack([points[best].numpy()[i] for i, best in enumerate(losses.argmax(axis=0))])
    found, queries = run("noise:queries=6", small, pictures, threat)
    np.testing.assert_allclose(found, expected, atol=1e-7)
    assert queries == 6


def test_noise_is_weaker_than_a_search(linear: Classifier, pictures: np.ndarray) -> None:
    threat = Threat(eps=1.5 * float(nearest(linear, pictures, 1).max()))
    assert fooled(linear, run("fgsm", linear, pictures, threat)[0], pictures).mean() > 0.5
    assert not fooled(linear, run("noise", linear, pictures, threat)[0], pictures).all()


@pytest.mark.parametrize(
    "spec",
    [
        "noise:queries=0",
        "nes:samples=3",
        "nes:queries=50",
        "nes:sigma=0",
        "nes:step=-1",
        "simba:queries=2",
        "simba:step=-1",
        "hopskipjump:queries=150",
        "hopskipjump:samples=0",
        "hopskipjump:reach_ratio=1",
    ],
)
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", spec)
