"""The searches for the smallest perturbation, against the distance to a hyperplane."""

import numpy as np
import pytest

from advcli import registry
from advcli.attacks._minimal import annealed, margin, project_outside, to_hyperplane
from advcli.backend import Tensor, tf
from advcli.errors import UsageError
from advcli.model.classifier import Classifier
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.refusals import refuse_unsupported
from advcli.threat.rng import ImageRng, image_seeds
from advcli.threat.threat import Norm, Threat
from conftest import make_classifier, weights_of

WIDE = {Norm.LINF: Threat(eps=0.9), Norm.L2: Threat(Norm.L2, 10.0)}

# The search, its norm, and how many times the true distance it may need.
SEARCHES = [
    ("deepfool", Norm.L2, 1.021),
    ("deepfool", Norm.LINF, 1.021),
    ("ddn:steps=100,refine=0", Norm.L2, 1.03),
    ("fmn:steps=100,refine=0", Norm.L2, 1.01),
    ("fmn:steps=100,step=3,refine=0", Norm.LINF, 1.05),
    ("cw:steps=150,binary_steps=7,learning_rate=0.003,refine=0", Norm.L2, 1.02),
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
    found, _ = CompiledAttack(linear, registry.build("attacks", spec), WIDE[norm])(pictures, labels)
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
    found, _ = CompiledAttack(linear, registry.build("attacks", spec), threat)(pictures, labels)
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
    found, _ = CompiledAttack(linear, registry.build("attacks", spec), Threat(norm, eps))(pictures, labels)
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
    found, _ = CompiledAttack(linear, registry.build("attacks", spec), WIDE[norm])(pictures, wrong)
    # tanh and its inverse do not quite undo each other.
    np.testing.assert_allclose(found, pictures, atol=1e-6)


@pytest.mark.parametrize(("spec", "norm", "slack"), SEARCHES)
def test_a_network_is_fooled_by_less_than_pgd_needs(
    spec: str, norm: Norm, slack: float, small: Classifier, pictures: np.ndarray
) -> None:
    labels = small.predict(pictures).argmax(axis=1)
    found, _ = CompiledAttack(small, registry.build("attacks", spec), WIDE[norm])(pictures, labels)
    assert (small.predict(found).argmax(axis=1) != labels).all()
    largest = float(size(found - pictures, norm).max())
    pgd, _ = CompiledAttack(small, registry.build("attacks", "pgd:steps=40"), Threat(norm, 0.8 * largest))(
        pictures, labels
    )
    assert not (small.predict(pgd).argmax(axis=1) != labels).all()


def test_deepfool_takes_one_step_where_everything_is_linear(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    _, queries = CompiledAttack(linear, registry.build("attacks", "deepfool"), WIDE[Norm.L2])(pictures, labels)
    # The clean pass, then three wrong classes twice: to step, and to see that it is over.
    assert (queries == 1 + 2 * 3).all()


def test_cw_goes_on_to_the_confidence_asked_for(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "cw:steps=150,binary_steps=7,learning_rate=0.003,confidence=3")
    found, _ = CompiledAttack(linear, attack, WIDE[Norm.L2])(pictures, labels)
    logits = linear.logits(tf.constant(found))
    ahead = -margin(logits, tf.constant(labels, tf.int32), WIDE[Norm.L2]).numpy()
    assert (ahead >= 3).all()
    assert (ahead < 4).all()


@pytest.mark.parametrize("distance", [0.03, 0.3])
@pytest.mark.parametrize("scale", [1.0, 0.05])
def test_cw_finds_near_boundaries_with_its_defaults(distance: float, scale: float, pictures: np.ndarray) -> None:
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
    found, queries = CompiledAttack(model, registry.build("attacks", "cw:refine=0"), WIDE[Norm.L2])(
        pictures, np.zeros(5)
    )
    assert (size(found - pictures, Norm.L2) <= 1.05 * distance).all()
    assert (model.predict(found).argmax(axis=1) == 1).all()
    assert (queries < 9 * 1000).all()


@pytest.fixture
def boxed() -> tuple[Classifier, np.ndarray]:
    """Logistic regression, and images nine tenths of which are black or white where it would have them so."""
    classifier = make_classifier("linear")
    kernel, bias = classifier.model.weights
    generator = np.random.default_rng(7)
    kernel.assign(generator.normal(size=kernel.shape))
    bias.assign([2.0, 0.0, 0.0, 0.0])
    weights = kernel.numpy()
    # The way to the mean of the other classes leads out of [0, 1] at most pixels.
    outward = (weights[:, 1:].mean(axis=1) - weights[:, 0] > 0).astype(np.float32)
    images = np.where(generator.uniform(size=(6, 192)) < 0.9, outward, generator.uniform(size=(6, 192)))
    logits = images @ weights
    bias.assign([2.0 + (logits[:, 1:] - logits[:, :1]).max(), 0.0, 0.0, 0.0])
    return classifier, images.reshape(6, 8, 8, 3).astype(np.float32)


@pytest.mark.parametrize("norm", list(WIDE))
@pytest.mark.parametrize("spec", ["deepfool", "fmn", "fmn:refine=0", "fab", "ddn", "cw:steps=200,binary_steps=6"])
def test_black_and_white_pixels_are_no_obstacle(spec: str, norm: Norm, boxed: tuple[Classifier, np.ndarray]) -> None:
    classifier, pictures = boxed
    search = registry.build("attacks", spec)
    if norm not in search.searchable_norms:
        return
    labels = np.zeros(len(pictures), np.int32)
    assert (classifier.predict(pictures).argmax(axis=1) == 0).all()
    # The exact distance inside [0, 1], of each class, from the projection that test_fab holds to a slow one.
    points, logits = tf.constant(pictures), classifier.logits(tf.constant(pictures)).numpy()
    exact = []
    for index in range(1, 4):
        normals = np.tile(
            weights_of(classifier, np.array([index])) - weights_of(classifier, np.array([0])), (6, 1, 1, 1)
        )
        heights = (logits[:, index] - logits[:, 0]).astype(np.float32)
        steps = to_hyperplane(points, tf.constant(normals, tf.float32), tf.constant(heights), norm)
        reached = heights + (normals * steps.numpy()).sum(axis=(1, 2, 3)) > -1e-3
        exact.append(np.where(reached, size(steps.numpy(), norm), np.inf))
    exact = np.min(exact, axis=0)
    assert np.isfinite(exact).all()
    free = distances(classifier, pictures, norm).min(axis=1)
    assert (exact > 1.5 * free).all(), "the images are to make it harder than without [0, 1]"
    threat = Threat(norm, 0.999 if norm is Norm.LINF else np.sqrt(192))
    found, _ = CompiledAttack(classifier, search, threat)(pictures, labels)
    assert (classifier.predict(found).argmax(axis=1) != 0).all()
    needed = size(found - pictures, norm) / exact
    assert needed.min() >= 1 - 1e-3
    assert needed.max() <= (1.3 if spec == "deepfool" or "refine=0" in spec else 1.02), needed


@pytest.mark.parametrize("norm", list(WIDE))
def test_fmn_by_hand(norm: Norm, linear: Classifier, pictures: np.ndarray) -> None:
    """Eight steps in float64 by the paper's formulas, with the step and gamma falling along their cosines."""
    seen: list[np.ndarray] = []

    def logits_fn(images: Tensor) -> Tensor:
        seen.append(images.numpy())
        # Were it linear, the first estimate would end on the boundary itself, where rounding decides.
        logits = linear.logits(images)
        return logits + 0.7 * tf.sin(3 * logits) / 3

    labels, first, steps = (
        linear.predict(pictures).argmax(axis=1),
        {Norm.L2: 0.2, Norm.LINF: 2.0}[norm],
        8,
    )
    attack = registry.build("attacks", f"fmn:steps={steps},step={first},gamma=0.4,refine=0")
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    attack(logits_fn, tf.constant(pictures), tf.constant(labels, tf.int32), WIDE[norm], rng)
    kernel, bias = (variable.numpy().astype(float) for variable in linear.model.weights)
    order = np.inf if norm is Norm.LINF else 2
    shrunk = grown = 0
    for row, (image, label) in enumerate(zip(pictures.reshape(5, -1).astype(float), labels, strict=True)):
        point, radius, best = image.copy(), np.inf, np.inf
        for i in range(steps):
            np.testing.assert_allclose(seen[i][row].ravel(), point, atol=2e-5, err_msg=f"step {i}")
            linear_logits = point @ kernel + bias
            logits = linear_logits + 0.7 * np.sin(3 * linear_logits) / 3
            slope = 1 + 0.7 * np.cos(3 * linear_logits)
            others = np.where(np.arange(4) == label, -np.inf, logits)
            nearest = others.argmax()
            behind = logits[label] - others.max()
            assert abs(behind) > 1e-3, "rounding must not decide"
            way = slope[nearest] * kernel[:, nearest] - slope[label] * kernel[:, label]
            share = (1 + np.cos(np.pi * i / steps)) / 2
            gamma, length = 0.001 + 0.399 * share, first / 100 + 0.99 * first * share
            far = np.linalg.norm(point - image, order)
            if behind < 0:
                best = min(best, far)
                radius, shrunk = min(radius * (1 - gamma), best), shrunk + 1
            elif np.isfinite(best):
                radius, grown = radius * (1 + gamma), grown + 1
            else:
                radius = far + abs(behind) / (np.abs(way).sum() if norm is Norm.LINF else np.linalg.norm(way))
            delta = point + length * way / np.linalg.norm(way) - image
            short = (
                np.clip(delta, -radius, radius) if norm is Norm.LINF else delta * min(1, radius / np.linalg.norm(delta))
            )
            point = np.clip(image + short, 0, 1)
    assert shrunk
    assert grown


def test_ddn_by_hand(linear: Classifier, pictures: np.ndarray) -> None:
    """Six steps: the direction is normalised, the sphere grows and shrinks by the same fraction."""
    seen: list[np.ndarray] = []

    def logits_fn(images: Tensor) -> Tensor:
        seen.append(images.numpy())
        return linear.logits(images)

    labels = linear.predict(pictures).argmax(axis=1)
    attack = registry.build("attacks", "ddn:steps=6,gamma=0.2,radius=0.1,refine=0")
    rng = ImageRng(tf.constant(image_seeds(pictures, 0)))
    attack(logits_fn, tf.constant(pictures), tf.constant(labels, tf.int32), WIDE[Norm.L2], rng)
    kernel = linear.model.weights[0].numpy().astype(float)
    for row, (image, label) in enumerate(zip(pictures.reshape(5, -1).astype(float), labels, strict=True)):
        delta, radius = np.zeros(192), 0.1
        for i in range(6):
            np.testing.assert_allclose(seen[i][row].ravel(), image + delta, atol=2e-5, err_msg=f"step {i}")
            probabilities = linear.predict(seen[i][row : row + 1])[0]
            gradient = kernel @ (probabilities - np.eye(4)[label])
            delta = delta + (0.01 + 0.99 * (1 + np.cos(np.pi * i / 6)) / 2) * gradient / np.linalg.norm(gradient)
            radius *= 0.8 if probabilities.argmax() != label else 1.2
            delta = np.clip(image + radius * delta / np.linalg.norm(delta), 0, 1) - image


def test_the_walk_along_the_boundary_finds_what_is_nearer(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.predict(pictures).argmax(axis=1)
    exact = distances(linear, pictures, Norm.L2).min(axis=1)
    for spec in ("ddn:steps=5,refine=", "fmn:steps=5,step=0.001,refine=", "cw:steps=5,binary_steps=1,refine="):
        alone, walked = (
            CompiledAttack(linear, registry.build("attacks", spec + steps), WIDE[Norm.L2])(pictures, labels)[0]
            for steps in ("0", "30")
        )
        assert (size(walked - pictures, Norm.L2) <= 1.01 * exact).all()
        fooled = linear.predict(alone).argmax(axis=1) != labels
        assert not fooled.all() or (size(alone - pictures, Norm.L2) > 1.1 * exact).any()


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
    np.testing.assert_array_equal(project_outside(points, images, Threat(norm, 0.5)).numpy(), points.numpy())


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
        "fmn:step=-1",
        "fmn:refine=-1",
        "ddn:refine=-1",
        "cw:refine=-1",
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
