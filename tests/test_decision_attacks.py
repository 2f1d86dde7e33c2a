"""The attacks that ask for the predicted class only: how near they come, targets, and randomised models."""

import itertools
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import advcli
from advcli import registry
from advcli.attacks._decision import decide, estimate_normal
from advcli.attacks._rounds import averaged
from advcli.attacks.geoda import GeoDA, _along, _cosines
from advcli.backend import Tensor, keras, tf
from advcli.data.decoded import Images, to_eight_bits
from advcli.errors import AdvcliError, UsageError
from advcli.files import png
from advcli.model.black_box import BlackBox, ScoreFunction, asking_anew
from advcli.model.classifier import Classifier, predicted_classes
from advcli.records import Attacked, Calibration, Score
from advcli.search.compiled_attack import CompiledAttack
from advcli.search.refusals import refuse_unsupported
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.repeats import first_wrong
from advcli.threat.rng import ImageRng
from advcli.threat.threat import Norm, Threat

WIDE = {Norm.L2: 10.0, Norm.LINF: 0.9}


def planes(linear: Classifier, pictures: np.ndarray, classes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each class leads another in each image, (N, K), and the slope, (N, K, D); zero for the class itself."""
    kernel, bias = (variable.numpy().astype(np.float64) for variable in linear.model.weights)
    logits = pictures.reshape(len(pictures), -1).astype(np.float64) @ kernel + bias
    lead = logits - np.take_along_axis(logits, classes[:, None], axis=1)
    return lead, kernel.T[None] - kernel.T[classes][:, None]


def nearest_of_class(linear: Classifier, picture: np.ndarray, target: int) -> float:
    """The l2 distance to where no class leads the target: the projection onto a cone, by its sets of active planes."""
    (lead,), (slope,) = planes(linear, picture[None], np.array([target]))
    others = [k for k in range(len(lead)) if k != target]
    sizes = []
    for count in range(1, len(others) + 1):
        for active in itertools.combinations(others, count):
            rows = list(active)
            weights = np.linalg.solve(slope[rows] @ slope[rows].T, lead[rows])
            step = -slope[rows].T @ weights
            if (weights >= 0).all() and (lead + slope @ step <= 1e-9).all():
                sizes.append(np.linalg.norm(step))
    return min(sizes)


@pytest.mark.parametrize(
    ("norm", "dual", "slack"), [(Norm.L2, 2, 1.35), pytest.param(Norm.LINF, 1, 1.45, marks=pytest.mark.slow)]
)
def test_geoda_comes_near_the_nearest_hyperplane(
    norm: Norm, dual: int, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    labels = linear.classes(pictures)
    lead, slope = planes(linear, pictures, labels)
    with np.errstate(invalid="ignore"):
        nearest = np.nanmin(-lead / np.linalg.norm(slope, dual, axis=2), axis=1)
    found = CompiledAttack(linear, registry.build("attacks", "geoda:queries=800"), Threat(norm, WIDE[norm]))
    result = found.search(pictures, labels)
    assert (result.predicted != labels).all()
    ratio = Threat(norm).size(tf.constant(result.points - pictures)).numpy() / nearest
    assert ratio.min() >= 1 - 1e-4
    assert ratio.max() <= slack, ratio


@pytest.mark.parametrize("name", ["hopskipjump", "geoda"])
def test_the_least_number_of_queries_suffices_for_a_step(name: str, linear: Classifier, pictures: np.ndarray) -> None:
    with pytest.raises(UsageError, match="give at least 200"):
        registry.build("attacks", f"{name}:queries=199")
    attack = CompiledAttack(linear, registry.build("attacks", f"{name}:queries=200"), Threat(Norm.L2, WIDE[Norm.L2]))
    found = attack.search(pictures, linear.classes(pictures))
    # A start found at once and its bisection take less than 40.
    assert 60 <= found.queries.min() <= found.queries.max() <= 200


@pytest.mark.parametrize(("spec", "slack"), [("hopskipjump:queries=1000", 1.4), ("geoda:queries=1000", 1.7)])
def test_a_target_is_reached_near_its_nearest_point(
    spec: str, slack: float, linear: Classifier, pictures: np.ndarray
) -> None:
    labels = linear.classes(pictures)
    target = next(k for k in range(4) if k not in labels[:3])
    start = start_of(linear, target)
    threat = Threat(Norm.L2, 15.0, target)
    result = CompiledAttack(linear, registry.build("attacks", spec), threat, start=start).search(
        pictures[:3], labels[:3]
    )
    assert (result.predicted == target).all()
    ratio = [
        np.linalg.norm(point - picture) / nearest_of_class(linear, picture, target)
        for point, picture in zip(result.points, pictures, strict=False)
    ]
    assert min(ratio) >= 1 - 1e-3
    assert max(ratio) <= slack, ratio
    # The budget is kept, and the queries that a search for noise would take are used.
    assert 800 <= result.queries.max() <= 1000


def start_of(classifier: Classifier, target: int, size: tuple[int, int] = (8, 8)) -> np.ndarray:
    """An image of a class: (H, W, C) uint8."""
    candidates = to_eight_bits(np.random.default_rng(5).uniform(0, 1, (200, *size, 3)).astype(np.float32))
    return candidates[np.argmax(classifier.classes(candidates / np.float32(255)) == target)]


def test_an_image_in_which_the_model_sees_another_class_is_no_start(linear: Classifier, pictures: np.ndarray) -> None:
    labels = linear.classes(pictures)
    target = int(next(k for k in range(4) if k not in labels[:1]))
    wrong = start_of(linear, int(labels[0]))
    attack = registry.build("attacks", "hopskipjump:queries=300")
    with pytest.raises(AdvcliError, match=rf"sees 'kind {labels[0]}' .* not 'kind {target}'"):
        CompiledAttack(linear, attack, Threat(Norm.L2, 9.0, target), start=wrong).search(pictures[:1], labels[:1])


@pytest.mark.parametrize(
    ("spec", "target", "started", "message"),
    [
        ("hopskipjump", 1, False, "reaches a target from an image"),
        ("geoda", 1, False, "reaches a target from an image"),
        ("hopskipjump", None, True, "--start needs a --target"),
        ("pgd", 1, True, "'pgd' starts from the image itself"),
        ("autoattack", 1, True, "'autoattack' starts from the image itself"),
    ],
)
def test_a_start_goes_with_a_target_and_a_decision_attack(
    spec: str, target: int | None, started: bool, message: str
) -> None:
    with pytest.raises(UsageError, match=message) as refused:
        refuse_unsupported(registry.build("attacks", spec), Threat(target=target), started)
    assert "--start" in refused.value.hint


def test_a_file_to_start_from(linear: Classifier, tmp_path: Path) -> None:
    """The file has another size than the images, and is named in the record."""
    linear.model.save(tmp_path / "linear.keras")
    pixels = np.random.default_rng(7).integers(80, 170, (8, 8, 3)).astype(np.uint8)
    label = int(linear.classes(pixels[None] / np.float32(255))[0])
    target = (label + 1) % 4
    # Doubling each pixel and the resize to half the size are inverse up to rounding.
    start = np.repeat(np.repeat(start_of(linear, target), 2, axis=0), 2, axis=1)
    png.write(tmp_path / "a.png", pixels)
    png.write(tmp_path / "start.png", start)
    common: dict[str, Any] = {
        "model": str(tmp_path / "linear.keras"),
        "attack": "hopskipjump:queries=500",
        "target": str(target),
    }
    common |= {"norm": "l2", "eps": 10.0, "input_range": (0.0, 1.0)}
    records = advcli.attack(tmp_path / "a.png", start=tmp_path / "start.png", out=tmp_path, **common)
    (record,) = records
    assert isinstance(record, Attacked)
    assert record.fooled
    assert record.after.index == target
    assert record.start == str(tmp_path / "start.png")
    found = advcli.attack(pixels[None], start=tmp_path / "start.png", **common)
    assert found.predicted == [target]
    with pytest.raises(UsageError, match="no such file"):
        advcli.attack(tmp_path / "a.png", start=tmp_path / "none.png", out=tmp_path / "other", **common)


def test_the_numbers_of_neighbours_of_geoda() -> None:
    for decisions in (150, 400, 2000, 4800, 20000):
        numbers = GeoDA().samples(decisions)
        spent = sum(numbers) + 30 * len(numbers)
        assert decisions - len(numbers) <= spent <= decisions
        assert numbers[0] >= 50
        assert len(numbers) == 1 or numbers[0] <= 50 * 0.6 ** (-2 / 3) + 30
        np.testing.assert_allclose(np.diff(np.log(numbers)), -2 / 3 * math.log(0.6), atol=0.03)


def test_the_noise_of_geoda_is_of_low_frequencies() -> None:
    basis = _cosines(tf.constant(8), tf.constant(8)).numpy()
    np.testing.assert_allclose(basis.T @ basis, np.eye(8), atol=1e-5)
    # The frequency of a column is the number of its changes of sign.
    np.testing.assert_array_equal((np.diff(np.sign(basis), axis=0) != 0).sum(axis=0), np.arange(8))
    images = tf.zeros((2, 8, 6, 3))
    noise = GeoDA(frequencies=2)._noise(images, ImageRng(tf.constant([[0, 1], [0, 2]]))).numpy()
    assert np.linalg.matrix_rank(noise[0, ..., 0], tol=1e-4) == 2
    assert np.abs(basis[:, 2:].T @ noise[0, ..., 0]).max() < 1e-4


def test_the_way_from_the_image_is_doubled_until_it_is_across() -> None:
    images = tf.fill((3, 2, 2, 1), 0.1)
    point = images + tf.constant([0.05, 0.05, 0.05])[:, None, None, None]
    limits = tf.constant([0.12, 0.28, 5.0])

    def is_adversarial(points: Tensor) -> Tensor:
        return tf.reduce_max(points, axis=(1, 2, 3)) > limits

    reached = _along(is_adversarial, images, point, tf.ones_like(images), Threat()).numpy().max(axis=(1, 2, 3))
    np.testing.assert_allclose(reached, [0.15, 0.3, 0.15], atol=1e-6)


def test_the_normal_at_black_pixels_is_not_their_brightening() -> None:
    """Half of the pixels are black and can only be brightened, which is away from the boundary here."""
    point = tf.constant(np.repeat([0.0, 0.5], 72).reshape(1, 12, 12, 1), tf.float32)
    plane = np.random.default_rng(0).normal(1.0, 1.0, (12, 12, 1)).astype(np.float32)
    rng = ImageRng(tf.constant([[0, 1]]))

    def is_adversarial(points: Tensor) -> Tensor:
        return tf.reduce_sum((points - point) * plane, axis=(1, 2, 3)) > 0.05

    @tf.function
    def estimated() -> Tensor:
        return estimate_normal(
            is_adversarial, point, 0.001, tf.constant(1500), lambda i: rng.fold(i).normal([12, 12, 1])
        )

    found = estimated().numpy()[0]
    cosine = (found * plane).sum() / np.linalg.norm(found) / np.linalg.norm(plane)
    assert cosine > 0.8, cosine


def scripted(*answers: int) -> Callable[[Tensor], Tensor]:
    """A network that sees one class after another in every image."""
    left = iter(answers)
    return lambda points: tf.one_hot(tf.fill(tf.shape(points)[:1], next(left)), 3)


@pytest.mark.parametrize(
    ("answers", "adversarial"), [((1,), True), ((1, 2, 0), True), ((1, 0, 0), False), ((1, 0, 0, 1), False)]
)
def test_the_majority_decides(answers: tuple[int, ...], adversarial: bool) -> None:
    decision = decide(scripted(*answers), tf.zeros(2, tf.int32), Threat(), len(answers))
    np.testing.assert_array_equal(decision(tf.zeros((2, 4, 4, 1))).numpy(), adversarial)


def test_the_mean_of_the_scores() -> None:
    mean = averaged(scripted(1, 2, 2, 0), 4)(tf.zeros((2, 4, 4, 1))).numpy()
    np.testing.assert_allclose(mean, [[0.25, 0.25, 0.5]] * 2)


class Shaken(keras.layers.Layer):
    """Adds one number for each image, drawn anew in every call, to the logit of class 0: random by design."""

    def __init__(self, spread: float, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self.spread = spread

    def call(self, logits: Tensor) -> Tensor:
        noise = self.spread * tf.random.normal((tf.shape(logits)[0], 1))
        return logits + tf.pad(noise, [[0, 0], [0, logits.shape[1] - 1]])

    def get_config(self) -> dict[str, object]:
        return {**super().get_config(), "spread": self.spread}


def shaken(spread: float) -> Classifier:
    """Class 1 where the mean of an image is above a half, else class 0, up to chance."""
    inputs = keras.Input((8, 8, 3))
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    dense = keras.layers.Dense(2)
    logits = dense(mean)
    dense.set_weights([np.array([[0.0, 1.0]] * 3) / 3, np.array([0.5, 0.0])])
    return Classifier("shaken", keras.Model(inputs, Shaken(spread)(logits)), ("dark", "bright"), (8, 8), 3)


@pytest.mark.parametrize(("spec", "eps"), [("hopskipjump:queries=300", 0.6), ("square:queries=100", 0.05)])
def test_with_eot_fewer_results_fool_a_random_model_by_chance_only(spec: str, eps: float) -> None:
    """Margins are 0.02, noise 0.02: the first lucky answer is no adversarial image."""
    tf.random.set_seed(0)
    classifier = shaken(0.02)
    pixels = np.random.default_rng(0).uniform(0.4, 0.54, (24, 8, 8, 3)).astype(np.float32)
    pixels += 0.48 - pixels.mean(axis=(1, 2, 3), keepdims=True)
    labels, shares = np.zeros(24, np.int32), []
    for eot in (1, 15):
        options = spec.replace("300", str(300 * eot)).replace("100", str(100 * eot))
        attack = registry.build("attacks", f"{options},eot={eot}")
        found = CompiledAttack(classifier, attack, Threat(eps=eps)).search(pixels, labels)
        assert found.queries.max() <= (attack.most_queries or 0)
        wrong = np.mean([classifier.classes(found.points) != labels for _ in range(40)], axis=0)
        shares.append(np.mean(wrong < 0.25))
    assert shares[1] < shares[0] - 0.15, shares


def test_the_first_wrong_of_several_predictions(linear: Classifier) -> None:
    answers = iter([[1, 0, -1, 1, -1], [0, 1, 3, 1], [1, 2], [1]])
    asked: list[list[int]] = []

    def scores(classes: list[int]) -> np.ndarray:
        return np.array([np.full(4, np.nan) if each < 0 else np.eye(4)[each] for each in classes])

    def ask(pixels: np.ndarray) -> np.ndarray:
        asked.append(pixels.ravel().astype(int).tolist())
        return scores(next(answers))

    # The images are their own numbers; NaN is no class, but a later wrong one counts.
    pixels = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    images = Images(pixels, np.ones(5, np.int32))
    model = EvaluatedModel(linear, images, images.labels, np.arange(5))
    found = first_wrong(model, ask, pixels, np.ones(5, int), 4)
    assert asked == [[0, 1, 2, 3, 4], [0, 2, 3, 4], [2, 4], [2]]
    np.testing.assert_array_equal(predicted_classes(found), [0, 0, -1, 3, 2])
    undefined = first_wrong(model, lambda pixels: scores([-1] * 5), pixels, np.ones(5, int), 1)
    np.testing.assert_array_equal(predicted_classes(undefined), -1)


def test_a_random_black_box_is_asked_anew() -> None:
    generator = np.random.default_rng(0)
    box = BlackBox(ScoreFunction(lambda images: generator.random((len(images), 3)), b"", 8, remote=True), "mine", ())
    pixels = np.zeros((2, 8, 8, 3), np.float32)
    box.open(pixels)
    kept = box.ask(pixels)
    np.testing.assert_array_equal(kept[0], kept[1])
    np.testing.assert_array_equal(box.ask(pixels), kept)
    assert box.queries == 1
    with asking_anew(box):
        first, second = box.ask(pixels), box.ask(pixels)
    rows = np.concatenate([kept[:1], first, second])
    assert len(np.unique(rows, axis=0)) == 5
    assert box.queries == 5
    np.testing.assert_array_equal(box.ask(pixels), kept)


def coin(images: np.ndarray) -> np.ndarray:
    """A black box that sees the right class with a probability of 0.8."""
    right = _COIN.random(len(images)) < 0.8
    return np.where(right[:, None], [[0.1, 0.9]], [[0.9, 0.1]])


_COIN = np.random.default_rng(0)


@pytest.mark.parametrize("kind", ["layer", "function"])
def test_an_image_withstands_if_all_of_its_predictions_are_right(kind: str, tmp_path: Path) -> None:
    tf.random.set_seed(0)
    pixels = np.random.default_rng(1).uniform(0.5, 0.54, (60, 8, 8, 3)).astype(np.float32)
    labels = np.ones(60, int)
    if kind == "layer":
        keras.saving.register_keras_serializable("decision")(Shaken)
        # The margin is 0.02: one prediction is wrong with a probability of about 0.2.
        model, options = shaken(0.024).model, {"input_range": (0.0, 1.0)}
    else:
        model, options = f"python:{__name__}:coin", {"edge": 8, "unsafe_load": True}
    shares = {}
    common = {"attacks": ["noise:queries=2"], "eps": ["1/255"], "checks": False, **options}
    for repeats in (1, 8):
        records = advcli.benchmark(model, data=(pixels, labels), repeats=repeats, out=tmp_path / f"{repeats}", **common)
        scores = records.of(Score)
        assert {score.repeats for score in scores} == {repeats}
        assert all(("in all of 8 predictions" in score.protocol) == (repeats == 8) for score in scores)
        shares[repeats] = {score.perturbation: score.accuracy for score in scores}
        assert all(score.low <= score.accuracy <= score.high for score in scores)
        # The first wrong prediction of several is kept, whose confidence says nothing of the model's.
        assert bool(records.of(Calibration)) is (repeats == 1)
    # 0.8 and 0.8 ** 8 = 0.17; after the attack at most 0.17 ** 2.
    assert 0.65 <= shares[1]["clean"] <= 0.95
    assert 0.05 <= shares[8]["clean"] <= 0.35
    assert shares[8]["noise:queries=2"] <= 0.6 * shares[8]["clean"]
    with pytest.raises(UsageError, match="repeats"):
        advcli.benchmark(model, data=(pixels, labels), repeats=2, resume=tmp_path / "8", **common)
