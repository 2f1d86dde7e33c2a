"""The searches for the smallest perturbation, against the distance to a hyperplane."""

import numpy as np
import pytest

from advcli import registry
from advcli.attacks import refuse_unsupported
from advcli.attacks._minimal import annealed, margin, settled
from advcli.backend import tf
from advcli.errors import UsageError
from advcli.model import Classifier
from advcli.tasks.adversary import Adversary
from advcli.threat import Norm, Threat

WIDE = {Norm.LINF: Threat(eps=0.9), Norm.L2: Threat(Norm.L2, 10.0)}

# The search, its norm, and how many times the true distance it may need.
SEARCHES = [
    ("deepfool", Norm.L2, 1.021),
    ("deepfool", Norm.LINF, 1.021),
    ("ddn:steps=100", Norm.L2, 1.03),
    ("fmn:steps=100", Norm.L2, 1.01),
    ("fmn:steps=100", Norm.LINF, 1.05),
    ("cw:steps=150,binary_steps=7,learning_rate=0.003", Norm.L2, 1.02),
]
TARGETED = [search for search in SEARCHES if search[0] != "deepfool"]


def distances(linear: Classifier, pictures: np.ndarray, norm: Norm) -> np.ndarray:
    """How far each class's hyperplane is, by its formula: |f| / |w| in the dual norm; (N, K), own class infinite."""
    kernel, bias = (variable.numpy() for variable in linear.model.weights)
    logits = pictures.reshape(len(pictures), -1) @ kernel + bias
    labels = logits.argmax(axis=1)
    behind = logits[np.arange(len(pictures)), labels][:, None] - logits
    ways = kernel.T[None] - kernel.T[labels][:, None]
    dual = np.abs(ways).sum(axis=2) if norm is Norm.LINF else np.sqrt(np.square(ways).sum(axis=2))
    return np.where(dual > 0, behind / np.where(dual > 0, dual, 1), np.inf)


def size(delta: np.ndarray, norm: Norm) -> np.ndarray:
    return Threat(norm).size(tf.constant(delta, tf.float32)).numpy()


@pytest.mark.parametrize(("spec", "norm", "slack"), SEARCHES)
def test_the_nearest_hyperplane_is_found(
    spec: str, norm: Norm, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    found, _ = Adversary(linear, registry.build("attacks", spec), WIDE[norm])(pictures, labels)
    assert found.min() > 0
    assert found.max() < 1
    needed = size(found - pictures, norm) / distances(linear, pictures, norm).min(axis=1)
    assert needed.min() >= 1 - 1e-4
    assert needed.max() <= slack
    assert (linear.predict(found).argmax(axis=1) != labels).all()


@pytest.mark.parametrize(("spec", "norm", "slack"), TARGETED)
def test_the_targets_class_is_reached(
    spec: str, norm: Norm, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    target = int(np.setdiff1d(np.arange(4), labels)[0])
    threat = Threat(norm, WIDE[norm].eps, target)
    found, _ = Adversary(linear, registry.build("attacks", spec), threat)(pictures, labels)
    assert (linear.predict(found).argmax(axis=1) == target).all()
    # Other classes may be in the way, but not by much on the way to the target.
    assert (size(found - pictures, norm) >= distances(linear, pictures, norm)[:, target] * (1 - 1e-4)).all()
    assert (size(found - pictures, norm) <= distances(linear, pictures, norm)[:, target] * 1.3).all()


@pytest.mark.parametrize(("spec", "norm", "slack"), SEARCHES)
def test_what_does_not_fit_the_ball_is_brought_into_it(
    spec: str, norm: Norm, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    eps = float(np.median(distances(linear, pictures, norm).min(axis=1)))
    labels = linear.predict(pictures).argmax(axis=1)
    found, _ = Adversary(linear, registry.build("attacks", spec), Threat(norm, eps))(pictures, labels)
    far = distances(linear, pictures, norm).min(axis=1) > eps * (1 + 1e-4)
    near = distances(linear, pictures, norm).min(axis=1) * slack < eps
    assert far.any()
    assert near.any()
    fooled = linear.predict(found).argmax(axis=1) != labels
    assert not fooled[far].any()
    assert fooled[near].all()
    np.testing.assert_allclose(size(found - pictures, norm)[far], eps, rtol=1e-5)


@pytest.mark.parametrize(("spec", "norm", "slack"), SEARCHES)
def test_an_image_that_is_already_wrong_is_left_alone(
    spec: str, norm: Norm, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    wrong = (linear.predict(pictures).argmax(axis=1) + 1) % 4
    found, _ = Adversary(linear, registry.build("attacks", spec), WIDE[norm])(pictures, wrong)
    # tanh and its inverse do not quite undo each other.
    np.testing.assert_allclose(found, pictures, atol=1e-6)


@pytest.mark.parametrize(("spec", "norm", "slack"), SEARCHES)
def test_a_network_is_fooled_by_less_than_pgd_needs(
    spec: str, norm: Norm, slack: float, small: Classifier, pictures: np.ndarray
) -> None:
    labels = small.predict(pictures).argmax(axis=1)
    found, _ = Adversary(small, registry.build("attacks", spec), WIDE[norm])(pictures, labels)
    assert (small.predict(found).argmax(axis=1) != labels).all()
    largest = float(size(found - pictures, norm).max())
    pgd, _ = Adversary(small, registry.build("attacks", "pgd:steps=40"), Threat(norm, 0.8 * largest))(pictures, labels)
    assert not (small.predict(pgd).argmax(axis=1) != labels).all()


def test_deepfool_takes_one_step_where_everything_is_linear(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    _, queries = Adversary(linear, registry.build("attacks", "deepfool"), WIDE[Norm.L2])(pictures, labels)
    # The clean pass, then three wrong classes twice: to step, and to see that it is over.
    assert (queries == 1 + 2 * 3).all()


def test_cw_goes_on_to_the_confidence_asked_for(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "cw:steps=150,binary_steps=7,learning_rate=0.003,confidence=3")
    found, _ = Adversary(linear, attack, WIDE[Norm.L2])(pictures, labels)
    logits = linear.logits(tf.constant(found))
    ahead = -margin(logits, tf.constant(labels, tf.int32), WIDE[Norm.L2]).numpy()
    assert (ahead >= 3).all()
    assert (ahead < 4).all()


@pytest.mark.parametrize("distance", [0.03, 0.3])
@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_cw_finds_near_boundaries_with_its_defaults(distance: float, scale: float, pictures: np.ndarray) -> None:
    from conftest import make_classifier

    model = make_classifier("linear", classes=2)
    kernel, bias = model.model.weights
    kernel.assign(scale * np.random.default_rng(0).normal(size=kernel.shape))
    weights = kernel.numpy().astype(float)
    normal = (weights[:, 1] - weights[:, 0]) / np.linalg.norm(weights[:, 1] - weights[:, 0])
    flat = pictures.reshape(5, -1)
    on_one_plane = flat - (flat @ normal - flat[0] @ normal)[:, None] * normal
    pictures = on_one_plane.reshape(pictures.shape).astype(np.float32)
    height = np.linalg.norm(weights[:, 1] - weights[:, 0])
    bias.assign([(flat[0] @ normal + distance) * height, 0])
    found, queries = Adversary(model, registry.build("attacks", "cw"), WIDE[Norm.L2])(pictures, np.zeros(5))
    assert (size(found - pictures, Norm.L2) <= 1.05 * distance).all()
    assert (model.predict(found).argmax(axis=1) == 1).all()
    assert (queries < 9 * 1000).all()


def test_the_step_falls_along_a_cosine() -> None:
    values = [float(annealed(1.0, 0.01, tf.constant(i), 4)) for i in range(5)]
    np.testing.assert_allclose(values, 0.01 + 0.99 * (1 + np.cos(np.pi * np.arange(5) / 4)) / 2, rtol=1e-6)


def test_the_margin_is_negative_where_the_adversary_has_won() -> None:
    logits = tf.constant([[1.0, 3.0, 2.5], [1.0, 3.0, 2.5]])
    labels = tf.constant([1, 0])
    np.testing.assert_allclose(margin(logits, labels, Threat()).numpy(), [0.5, -2])
    np.testing.assert_allclose(margin(logits, labels, Threat(target=1)).numpy(), [-0.5, -0.5])
    np.testing.assert_allclose(margin(logits, labels, Threat(target=0)).numpy(), [2, 2])


@pytest.mark.parametrize("norm", list(WIDE))
def test_a_point_inside_the_ball_is_kept_to_the_last_bit(norm: Norm) -> None:
    generator = np.random.default_rng(0)
    images = tf.constant(generator.uniform(0, 1, (50, 4, 4, 3)), tf.float32)
    points = tf.clip_by_value(images + tf.constant(generator.normal(0, 1e-3, images.shape), tf.float32), 0.0, 1.0)
    np.testing.assert_array_equal(settled(points, images, Threat(norm, 0.5)).numpy(), points.numpy())


@pytest.mark.parametrize(
    ("spec", "threat"),
    [
        ("cw", Threat()),
        ("ddn", Threat()),
        ("deepfool", Threat(target=1)),
        ("hopskipjump", Threat(target=1)),
    ],
)
def test_what_it_cannot_do_is_refused(spec: str, threat: Threat) -> None:
    with pytest.raises(UsageError, match=f"'{spec}'") as refused:
        refuse_unsupported(registry.build("attacks", spec), threat)
    assert ("l2" if threat.target is None else "target") in refused.value.hint


@pytest.mark.parametrize(
    "spec",
    [
        "deepfool:steps=0",
        "deepfool:candidates=0",
        "deepfool:overshoot=-1",
        "ddn:steps=0",
        "ddn:gamma=1",
        "ddn:radius=0",
        "fmn:steps=0",
        "fmn:step=0",
        "fmn:gamma=0",
        "cw:steps=0",
        "cw:binary_steps=0",
        "cw:c=0",
        "cw:learning_rate=-1",
        "cw:confidence=-1",
    ],
)
def test_options_out_of_range_are_refused(spec: str) -> None:
    with pytest.raises(UsageError):
        registry.build("attacks", spec)
