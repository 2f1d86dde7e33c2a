"""Projected gradient descent: restarts, schedules, averaged gradients and leaving early."""

import numpy as np
import pytest

from advcli import registry
from advcli.attacks.pgd import PGD
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.threat.gradient import loss_gradient
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat

MIXED = {Norm.LINF: 0.055, Norm.L2: 0.45, Norm.L1: 2.0}


@pytest.fixture
def many() -> np.ndarray:
    return np.random.default_rng(5).uniform(0.3, 0.7, (16, 8, 8, 3)).astype(np.float32)


def wrong(classifier: Classifier, points: np.ndarray, labels: np.ndarray) -> list[bool]:
    return (classifier.predict(points).argmax(axis=1) != labels).tolist()


def start(pictures: np.ndarray) -> ImageRng:
    return ImageRng(tf.constant(image_seeds(pictures, 0)))


def plain(classifier: Classifier, pictures: np.ndarray, labels: np.ndarray, threat: Threat, steps: int) -> list[Tensor]:
    """Every point of a run that nobody leaves, the start first."""
    images, classes = tf.constant(pictures), tf.constant(labels, tf.int32)
    points = [threat.sample(images, start(pictures))]
    for _ in range(steps):
        gradient, _ = loss_gradient(classifier.logits, points[-1], classes, threat)
        step = threat.eps * (2.5 / steps) * threat.steepest(gradient, points[-1])
        points.append(threat.project(points[-1] + step, images))
    return points


@pytest.mark.parametrize("norm", map(Norm, PGD.norms))
def test_the_last_point_of_the_plain_loop_is_returned(norm: Norm, small: Classifier, many: np.ndarray) -> None:
    labels = small.predict(many).argmax(axis=1)
    threat = Threat(norm, MIXED[norm])
    found = PGD(steps=5)(small.logits, tf.constant(many), tf.constant(labels, tf.int32), threat, start(many))
    np.testing.assert_array_equal(found, plain(small, many, labels, threat, 5)[-1])


@pytest.mark.parametrize("norm", map(Norm, PGD.norms))
def test_leaving_the_batch_does_not_change_the_verdict(norm: Norm, small: Classifier, many: np.ndarray) -> None:
    labels = small.predict(many).argmax(axis=1)
    threat = Threat(norm, MIXED[norm])
    points = plain(small, many, labels, threat, 20)
    any_point = np.any([wrong(small, point.numpy(), labels) for point in points], axis=0)
    assert 0 < any_point.sum() < 16, any_point.sum()
    found, _ = CompiledAttack(small, PGD(stop=True), threat)(many, labels)
    assert wrong(small, found, labels) == any_point.tolist()
    np.testing.assert_allclose(found[~any_point], points[-1].numpy()[~any_point], atol=1e-5)
    alone = [CompiledAttack(small, PGD(stop=True), threat)(many[i : i + 1], labels[i : i + 1])[0] for i in range(3)]
    assert wrong(small, np.concatenate(alone), labels[:3]) == any_point[:3].tolist()


def test_an_image_may_leave_at_its_start(linear: Classifier, many: np.ndarray) -> None:
    labels = (linear.predict(many).argmax(axis=1) + 1) % 4
    found, queries = CompiledAttack(linear, PGD(stop=True), Threat(eps=1e-4))(many, labels)
    assert all(wrong(linear, found, labels))
    np.testing.assert_array_equal(found, Threat(eps=1e-4).sample(tf.constant(many), start(many)))
    assert (queries == 1).all()


def test_cost_falls_with_the_images_left(small: Classifier, many: np.ndarray) -> None:
    labels = tf.constant(small.predict(many).argmax(axis=1), tf.int32)

    def rows(attack: PGD, eps: float) -> int:
        seen = tf.Variable(0)

        def logits_fn(images: Tensor) -> Tensor:
            seen.assign_add(tf.shape(images)[0])
            return small.logits(images)

        tf.function(lambda images: attack(logits_fn, images, labels, Threat(eps=eps), start(many)))(tf.constant(many))
        return int(seen.numpy())

    assert rows(PGD(), 0.055) == 16 * 20
    assert rows(PGD(stop=True), 1e-6) == 16 * 21
    assert rows(PGD(stop=True), 0.2) < 16 * 20 / 2
    assert rows(PGD(restarts=3), 1e-6) == 16 * (1 + 3 * 21)
    assert rows(PGD(restarts=3), 0.2) < 16 * (1 + 3 * 21) / 2


def test_restarts_break_more_and_never_less(small: Classifier, many: np.ndarray) -> None:
    labels = small.predict(many).argmax(axis=1)
    verdicts = []
    for restarts in (1, 2, 8):
        compiled_attack = CompiledAttack(small, PGD(steps=2, restarts=restarts, stop=True), Threat(eps=0.05))
        verdicts.append(np.array(wrong(small, compiled_attack(many, labels)[0], labels)))
    assert (verdicts[2] >= verdicts[1]).all()
    assert verdicts[2].sum() >= verdicts[0].sum()


@pytest.mark.parametrize("options", ["restarts=3", "restarts=2,stop=true", "stop=true,eot=3,schedule=cosine"])
def test_one_trace_serves_every_batch_size(options: str, small: Classifier, many: np.ndarray) -> None:
    compiled_attack = CompiledAttack(small, registry.build("attacks", f"pgd:steps=3,{options}"), Threat(eps=0.05))
    labels = small.predict(many).argmax(axis=1)
    for count in (5, 2, 1):
        compiled_attack(many[:count], labels[:count])
    assert compiled_attack.traces == 1


def paces(attack: PGD, threat: Threat) -> list[float]:
    return [float(pace) for pace in attack.paces(threat)]


def test_the_lengths_of_the_steps() -> None:
    threat = Threat(eps=0.2)
    np.testing.assert_allclose(paces(PGD(steps=4), threat), [0.125] * 4)
    np.testing.assert_allclose(paces(PGD(steps=4, step=0.1), threat), [0.1] * 4)
    np.testing.assert_allclose(paces(PGD(steps=4, step=0.1), Threat(eps=0.4)), [0.1] * 4)
    np.testing.assert_allclose(paces(PGD(steps=4, step=1, schedule="linear"), threat), [1, 0.75, 0.5, 0.25])
    cosine = paces(PGD(steps=4, step=1, schedule="cosine"), threat)
    np.testing.assert_allclose(cosine, [1, (1 + 0.5**0.5) / 2, 0.5, (1 - 0.5**0.5) / 2])
    for schedule in ("linear", "cosine"):
        assert sum(paces(PGD(steps=7, schedule=schedule), threat)) == pytest.approx(2.5 * 0.2)


def test_steps_have_the_lengths_of_the_schedule(linear: Classifier, many: np.ndarray) -> None:
    seen = []

    def logits_fn(images: Tensor) -> Tensor:
        seen.append(images.numpy())
        return linear.logits(images)

    labels = tf.constant(linear.predict(many).argmax(axis=1), tf.int32)
    attack = PGD(steps=4, step=4e-3, random_start=False, schedule="linear")
    last = attack(logits_fn, tf.constant(many), labels, Threat(Norm.L2, 1e-2), start(many)).numpy()
    moves = np.diff([*seen, last], axis=0)
    np.testing.assert_allclose(np.sqrt(np.square(moves).sum(axis=(2, 3, 4)))[:2], [[4e-3] * 16, [3e-3] * 16], rtol=1e-3)


def test_averaged_gradients_vary_less(linear: Classifier, many: np.ndarray) -> None:
    def randomised(images: Tensor) -> Tensor:
        return linear.logits(images + tf.random.normal(tf.shape(images), stddev=0.3, seed=1))

    labels = tf.constant(linear.predict(many).argmax(axis=1), tf.int32)

    def variance(eot: int) -> float:
        draw = tf.function(lambda images: loss_gradient(randomised, images, labels, Threat(), passes=eot)[0])
        return float(np.var([draw(tf.constant(many)).numpy() for _ in range(30)], axis=0).mean())

    assert variance(10) < variance(1) / 4


def test_averaging_the_same_gradient_changes_nothing(small: Classifier, many: np.ndarray) -> None:
    labels = small.predict(many).argmax(axis=1)
    once, queries = CompiledAttack(small, PGD(steps=4), Threat(Norm.L2, 0.3))(many, labels)
    thrice, three_times = CompiledAttack(small, PGD(steps=4, eot=3), Threat(Norm.L2, 0.3))(many, labels)
    np.testing.assert_allclose(once, thrice, atol=1e-5)
    assert set(queries) == {4}
    assert set(three_times) == {12}


@pytest.mark.parametrize(
    "options", ["steps=0", "step=-1", "restarts=0", "eot=0", "schedule=cosinus", "restarts=2,random_start=false"]
)
def test_nonsense_is_refused(options: str) -> None:
    with pytest.raises(UsageError) as refused:
        registry.build("attacks", f"pgd:{options}")
    assert "cosine" in refused.value.hint or "cosinus" not in options
