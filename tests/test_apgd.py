"""Auto-PGD against hand computation and closed forms on linear models."""

from pathlib import Path

import numpy as np
import pytest
from conftest import make_classifier
from test_attacks import check

from advcli import registry
from advcli.attacks.apgd import APGD, windows_of
from advcli.backend import tf
from advcli.draws import Draws
from advcli.errors import UsageError
from advcli.model import Classifier
from advcli.tasks.adversary import Adversary, image_seeds
from advcli.threat import Norm, Threat

LOSSES = ["ce", "dlr", "dlr-targeted"]


@pytest.fixture(scope="module")
def two() -> Classifier:
    """Logistic regression of two classes."""
    classifier = make_classifier("linear", classes=2)
    kernel, _ = classifier.model.weights
    kernel.assign(np.random.default_rng(0).normal(size=kernel.shape))
    return classifier


def distances(two: Classifier, pictures: np.ndarray, norm: Norm) -> np.ndarray:
    """How far the boundary is: |f| over the dual norm of the weights."""
    kernel, bias = (weights.numpy() for weights in two.model.weights)
    normal = kernel[:, 1] - kernel[:, 0]
    height = pictures.reshape(len(pictures), -1) @ normal + bias[1] - bias[0]
    return np.abs(height) / np.linalg.norm(normal, 1 if norm is Norm.LINF else 2)


def broken(classifier: Classifier, spec: str, threat: Threat, pictures: np.ndarray) -> np.ndarray:
    labels = classifier.predict(pictures).argmax(axis=1)
    adversarial, _ = Adversary(classifier, registry.build("attacks", spec), threat)(pictures, labels)
    return classifier.predict(adversarial).argmax(axis=1) != labels


@pytest.mark.parametrize(
    ("steps", "checkpoints"),
    [
        (100, [22, 41, 57, 70, 80, 87, 93, 99]),
        (50, [11, 21, 30, 38, 45]),
        (20, [4, 7, *range(9, 21)]),
        (10, list(range(2, 11))),
        (1, [1]),
    ],
)
def test_checkpoints(steps: int, checkpoints: list[int]) -> None:
    windows = windows_of(steps)
    assert [step for step, window in enumerate(windows) if window] == checkpoints
    assert [window for window in windows if window] == np.diff([0, *checkpoints]).tolist()


@pytest.mark.parametrize(
    ("loss", "logits", "label", "target", "expected"),
    [
        ("dlr", [5.0, 3.0, 2.0, 1.0], 0, 1, -2 / 3),
        ("dlr", [5.0, 3.0, 2.0, 1.0], 1, 0, 2 / 3),
        ("dlr", [5.0, 3.0, 2.0], 0, 1, -2 / 3),
        ("dlr", [5.0, 3.0], 0, 1, -2.0),
        ("dlr-targeted", [5.0, 3.0, 2.0, 1.0, 0.0], 0, 2, -3 / 3.5),
        ("dlr-targeted", [1.0, 2.0, 3.0, 5.0], 3, 0, -4 / 3.5),
        ("dlr-targeted", [5.0, 3.0, 2.0], 0, 2, -3.0),
        ("dlr-targeted", [5.0, 3.0], 0, 1, -2.0),
        ("ce", [0.0, 0.0, 0.0, 0.0], 0, 1, np.log(4)),
    ],
)
def test_losses_by_hand(loss: str, logits: list[float], label: int, target: int, expected: float) -> None:
    found = APGD(loss=loss)._loss(tf.constant([logits]), tf.constant([label]), tf.constant([target]), Threat())
    assert found.numpy()[0] == pytest.approx(expected, rel=1e-6)


def test_the_loss_of_a_given_target_by_hand() -> None:
    logits = tf.constant([[5.0, 3.0, 2.0, 1.0]])
    found = APGD(loss="dlr")._loss(logits, tf.constant([1]), tf.constant([2]), Threat(target=2))
    assert found.numpy()[0] == pytest.approx(-3 / 3.5, rel=1e-6)


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("loss", LOSSES)
def test_the_boundary_is_reached_where_it_is(loss: str, norm: Norm, two: Classifier, pictures: np.ndarray) -> None:
    for picture, distance in zip(pictures, distances(two, pictures, norm), strict=True):
        assert not broken(two, f"apgd:loss={loss},steps=20", Threat(norm, 0.99 * distance), picture[None]).any()
        assert broken(two, f"apgd:loss={loss},steps=20", Threat(norm, 1.01 * distance), picture[None]).all()


def test_an_unbroken_image_goes_to_the_best_corner(two: Classifier, pictures: np.ndarray) -> None:
    labels = two.predict(pictures).argmax(axis=1)
    eps = float(distances(two, pictures, Norm.LINF).min() / 2)
    adversarial, queries = Adversary(two, APGD(steps=25, restarts=3), Threat(eps=eps))(pictures, labels)
    kernel = two.model.weights[0].numpy()
    best = np.sign(kernel[:, 1] - kernel[:, 0]).reshape(8, 8, 3) * (1 - 2 * labels[:, None, None, None])
    np.testing.assert_allclose(adversarial, pictures + eps * best, atol=1e-6)
    # The image itself, then for each restart its start, its steps, and a look at what it returned.
    assert queries == 1 + 3 * (1 + 25 + 1)


def test_the_start_is_on_the_surface_and_the_first_steps_are_those_of_the_paper(linear: Classifier) -> None:
    """Three iterations, by hand from the paper's formulas, where no checkpoint comes in between."""
    picture = np.full((1, 8, 8, 3), 0.5, np.float32)
    label = linear.predict(picture).argmax(axis=1)
    threat, seen = Threat(Norm.L2, 1e-3), []

    def logits_fn(images):  # noqa: ANN001, ANN202
        seen.append(images.numpy())
        return linear.logits(images)

    seeds = tf.constant(image_seeds(picture, 0))
    APGD(steps=8)(logits_fn, tf.constant(picture), tf.constant(label, tf.int32), threat, Draws(seeds))
    assert np.linalg.norm(seen[1] - picture) == pytest.approx(1e-3, rel=1e-3)
    kernel = linear.model.weights[0].numpy()
    points = [seen[1], seen[1]]
    for index in range(1):
        point = points[-1]
        gradient = ((linear.predict(point) - np.eye(4)[label]) @ kernel.T).reshape(picture.shape)
        share = 1.0 if index == 0 else 0.75
        ahead = threat.project(tf.constant(point + 2e-3 * gradient / np.linalg.norm(gradient), tf.float32), picture)
        moved = point + share * (ahead.numpy() - point) + (1 - share) * (point - points[-2])
        points.append(threat.project(tf.constant(moved, tf.float32), picture).numpy())
        np.testing.assert_allclose(seen[2 + index], points[-1], atol=1e-6)


@pytest.mark.parametrize("norm", list(Norm))
@pytest.mark.parametrize("loss", LOSSES)
def test_leaving_the_batch_does_not_change_the_verdict(
    loss: str, norm: Norm, small: Classifier, pictures: np.ndarray
) -> None:
    threat = Threat(norm, {Norm.LINF: 0.12, Norm.L2: 0.9}[norm])
    stopped = broken(small, f"apgd:loss={loss},steps=30", threat, pictures)
    whole = broken(small, f"apgd:loss={loss},steps=30,stop=false", threat, pictures)
    alone = [broken(small, f"apgd:loss={loss},steps=30", threat, picture[None])[0] for picture in pictures]
    assert stopped.tolist() == whole.tolist() == alone


def test_cost_falls_with_the_images_left(linear: Classifier, pictures: np.ndarray) -> None:
    labels = tf.constant(linear.predict(pictures).argmax(axis=1), tf.int32)
    seeds = tf.constant(image_seeds(pictures, 0))

    def cost(attack: APGD) -> int:
        looked_at = tf.Variable(0)

        def logits_fn(images):  # noqa: ANN001, ANN202
            looked_at.assign_add(tf.shape(images)[0])
            return linear.logits(images)

        search = tf.function(lambda images: attack(logits_fn, images, labels, Threat(eps=0.03), Draws(seeds)))
        search(tf.constant(pictures))
        return int(looked_at.numpy())

    assert cost(APGD(stop=False)) == 5 * (1 + 101 + 1)
    assert cost(APGD()) < 5 * (1 + 101 + 1) / 2


def test_going_on_raises_the_loss_further(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    probability = {}
    for stop in (True, False):
        adversarial, _ = Adversary(linear, APGD(steps=20, stop=stop), Threat(eps=0.1))(pictures, labels)
        probability[stop] = linear.predict(adversarial)[np.arange(5), labels]
    assert (probability[False] < probability[True]).all()


def test_averaging_the_same_gradient_changes_nothing(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    once, _ = Adversary(linear, APGD(steps=10), Threat(eps=0.01))(pictures, labels)
    twice, _ = Adversary(linear, APGD(steps=10, eot=2), Threat(eps=0.01))(pictures, labels)
    np.testing.assert_allclose(once, twice, atol=1e-6)


@pytest.mark.parametrize("loss", LOSSES[1:])
@pytest.mark.parametrize("classes", [2, 3, 4])
def test_few_classes(loss: str, classes: int, pictures: np.ndarray) -> None:
    check(APGD(loss, steps=20), make_classifier(classes=classes), pictures, Threat(eps=0.05))


@pytest.mark.parametrize("loss", LOSSES)
def test_a_given_target_is_reached(loss: str, linear: Classifier, pictures: np.ndarray) -> None:
    for target in range(4):
        labels = linear.predict(pictures).argmax(axis=1)
        adversarial, _ = Adversary(linear, APGD(loss, steps=20), Threat(eps=0.25, target=target))(pictures, labels)
        assert (linear.predict(adversarial).argmax(axis=1) == target).all()


def test_an_image_that_is_wrong_already_is_left_alone(linear: Classifier, pictures: np.ndarray) -> None:
    labels = (linear.predict(pictures).argmax(axis=1) + 1) % 4
    adversarial, queries = Adversary(linear, APGD(), Threat(eps=0.1))(pictures, labels)
    np.testing.assert_array_equal(adversarial, pictures)
    assert queries == 1


@pytest.mark.parametrize("options", ["loss=dlrt", "steps=0", "restarts=0", "targets=0", "eot=0"])
def test_nonsense_is_refused(options: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", f"apgd:{options}")


def test_parity_on_the_certified_network(shared: Path) -> None:
    """The official code leaves 95.6% of these 500 images right (``reference/autoattack.json``)."""
    from test_autoattack import certified

    classifier, pictures, labels = certified(shared)
    adversarial, _ = Adversary(classifier, APGD(), Threat(eps=0.1))(pictures, labels)
    right = classifier.predict(adversarial).argmax(axis=1) == labels
    assert 0.942 <= right.mean() <= 0.956 + 1 / 200
