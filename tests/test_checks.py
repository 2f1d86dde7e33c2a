"""Checks of an evaluation, each on a model or on scores that trip it and on some that do not."""

import re
import tracemalloc
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from advcli import registry
from advcli.backend import Tensor, keras, tf
from advcli.checks import Evidence, Finding, Overlap
from advcli.checks.order_of_classes import OrderOfClasses
from advcli.data.dataset import Dataset
from advcli.data.decoded import Images
from advcli.data.split import Split, stratified
from advcli.model.classifier import Classifier
from advcli.model.load import wrap
from advcli.model.output_head import LOGARITHM
from advcli.records import Score
from advcli.search.compiled_attack import CompiledAttack
from advcli.tasks.benchmark.check_records import check
from advcli.tasks.benchmark.models import EvaluatedModel
from advcli.tasks.benchmark.quick_score import quick_scores
from advcli.tasks.benchmark.sanity_checks import training_overlap
from advcli.threat.threat import Norm, Threat

CLASSES = 4


class Applied(keras.layers.Layer):
    """A layer that does what a function does, in training and in inference."""

    def __init__(self, function: Callable[[Tensor], Tensor], name: str | None = None) -> None:
        super().__init__(name=name)
        self._function = function

    def call(self, inputs: Tensor) -> Tensor:
        return self._function(inputs)


def rounded(images: Tensor) -> Tensor:
    """Sixteen values a channel, which have no slope."""
    return tf.round(images * 15) / 15


def noisy(images: Tensor) -> Tensor:
    return images + tf.random.normal(tf.shape(images), stddev=0.1)


def rooted(images: Tensor) -> Tensor:
    """The images themselves, plus a root of zero, whose slope is infinite and is multiplied by zero."""
    return images + tf.sqrt(tf.nn.relu(images - 2))


@tf.custom_gradient
def astray(images: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """The images themselves, with a gradient that points back but at images of 8 bits."""
    steps = images * 255
    written = tf.reduce_all(tf.abs(steps - tf.round(steps)) < 1e-3, axis=(1, 2, 3), keepdims=True)
    return tf.identity(images), lambda upstream: tf.where(written, upstream, -upstream)


def waves(images: Tensor) -> Tensor:
    """Logits that change sign and come back as the image gets brighter."""
    height = tf.sin(20 * tf.reduce_mean(images, axis=(1, 2, 3)))
    return tf.stack([height, tf.zeros_like(height)], axis=1)


def softmax(logits: Tensor) -> Tensor:
    """A softmax that nobody can find."""
    powers = tf.exp(logits - tf.reduce_max(logits, axis=1, keepdims=True))
    return powers / tf.reduce_sum(powers, axis=1, keepdims=True)


def before(classifier: Classifier, function: Callable[[Tensor], Tensor], name: str | None = None) -> Classifier:
    """The same classifier, of images that something is done to first."""
    image = keras.Input((8, 8, 3))
    return replace(classifier, model=keras.Model(image, classifier.model(Applied(function, name)(image))))


def behind(classifier: Classifier, function: Callable[[Tensor], Tensor]) -> Any:
    """The same network, with something done to its output."""
    return keras.Model(classifier.model.input, Applied(function)(classifier.model.output))


@pytest.fixture(scope="session")
def pixels() -> np.ndarray:
    """Forty images of 8 bits, away from black and white."""
    drawn = np.random.default_rng(7).integers(77, 179, (40, 8, 8, 3))
    return drawn.astype(np.float32) / np.float32(255)


def look(classifier: Classifier, pixels: np.ndarray, indices: np.ndarray | None = None, **changes: Any) -> Evidence:
    """Gather what a benchmark would; the classes are what the model sees unless they are given."""
    frozen = classifier.inference_copy
    predicted = frozen.predict(pixels).argmax(axis=1)
    classes = predicted if indices is None else indices

    def correct_under(spec: str, threat: Threat) -> np.ndarray:
        found, _ = CompiledAttack(frozen, registry.build("attacks", spec), threat)(pixels, classes)
        return (predicted == classes) & (frozen.predict(found).argmax(axis=1) == classes)

    evidence = Evidence(
        classifier=frozen,
        original=classifier,
        pixels=pixels,
        indices=classes,
        labels=np.tile(classes, 10),
        outputs=np.tile(classes, 10),
        predicted=np.tile(predicted, 10),
        classes=len(classifier.labels),
        clean_accuracy=float((predicted == classes).mean()),
        scores=(),
        correct_under=correct_under,
    )
    return replace(evidence, **changes)


def score(perturbation: str, correct: int, eps: float = 0.1, images: int = 40, **changes: Any) -> Score:
    made = Score(
        model="m", data="d", seed=0, perturbation=perturbation, norm="linf", eps=eps, severity=None, protocol="",
        images=images, correct=correct, accuracy=correct / images, low=0.0, high=1.0,
        accuracy_of_clean_correct=0.0, seconds=0.0,
    )  # fmt: skip
    return replace(made, **changes)


def attacked(evidence: Evidence, *attacks: tuple[str, float]) -> Evidence:
    """Run attacks, and add their scores."""
    scores = [
        score(spec, int(evidence.correct_under(spec, Threat(Norm.LINF, eps)).sum()), eps, len(evidence.pixels))
        for spec, eps in attacks
    ]
    return replace(evidence, scores=scores)


def finding(name: str, evidence: Evidence) -> Finding:
    found = registry.build("checks", name)(evidence)
    assert found is not None
    assert bool(found.remedy) == found.suspect
    assert (
        bool(re.fullmatch(r"(\d+ of )?\d[\d,]* (images?|attacks?|comparisons? of attacks)", found.concerned))
        == found.suspect
    )
    return found


@pytest.fixture(scope="session")
def sound(linear: Classifier, pixels: np.ndarray) -> Evidence:
    """A model in which nothing is wrong, with the scores of several attacks, and data in which nothing is."""
    return attacked(
        look(linear, pixels, labels=np.arange(400) % CLASSES, overlap=Overlap(0, 400, 1000)),
        ("fgsm", 0.01),
        ("fgsm", 0.02),
        ("pgd:steps=10", 0.02),
        ("square:queries=100", 0.02),
    )


@pytest.mark.parametrize("name", registry.names("checks"))
def test_nothing_is_suspect_where_nothing_is_wrong(sound: Evidence, name: str) -> None:
    found = finding(name, sound)
    assert not found.suspect, found.evidence
    assert any(character.isdigit() for character in found.evidence)


def test_each_phase_has_its_checks(sound: Evidence) -> None:
    first = list(check(sound, after=False, data="toy", seed=3))
    last = list(check(replace(sound, scores=()), after=True, data="toy", seed=3))
    assert {record.check for record in first} == {
        "class-imbalance", "order-of-classes", "duplicates", "input-range", "probabilities", "randomised",
        "sample-size", "zero-gradients",
    }  # fmt: skip
    # Without scores, only the check that makes its own attack has something to say.
    assert [record.check for record in last] == ["unbounded"]
    assert {record.verdict for record in (*first, *last)} == {"PASS"}
    assert (first[0].model, first[0].data, first[0].seed, first[0].remedy) == ("linear", "toy", 3, "")


def test_a_suspect_is_recorded_with_its_remedy(sound: Evidence) -> None:
    evidence = replace(sound, overlap=Overlap(1, 2, 1000))
    record = next(record for record in check(evidence, after=False, data="d", seed=0) if record.check == "duplicates")
    assert record.verdict == "SUSPECT"
    assert record.evidence == (
        "1 of 2 measured images are also among the training images, pixel for pixel (all 1000 training images compared)"
    )
    assert "train again" in record.remedy


def test_probabilities_whose_softmax_cannot_be_taken_off(linear: Classifier, pixels: np.ndarray) -> None:
    wrapped = wrap(behind(linear, softmax), "theirs", input_range=(0, 1))
    assert wrapped.head == LOGARITHM
    found = finding("probabilities", look(wrapped, pixels))
    assert found.suspect
    assert "of 40 images" in found.evidence
    sure = replace(wrapped, model=behind(linear, lambda logits: softmax(1000 * logits)))
    assert ": 40 of 40 images" in finding("probabilities", look(sure, pixels)).evidence


def test_probabilities_taken_for_logits(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("probabilities", look(replace(linear, model=behind(linear, softmax)), pixels))
    assert found.suspect
    assert "they are probabilities, not logits" in found.evidence


def test_a_softmax_that_was_taken_off_is_no_matter(linear: Classifier, pixels: np.ndarray) -> None:
    image = keras.Input((8, 8, 3))
    wrapped = wrap(keras.Model(image, keras.layers.Softmax()(linear.model(image))), "theirs", input_range=(0, 1))
    assert not finding("probabilities", look(wrapped, pixels)).suspect


def numbered(linear: Classifier, outputs: np.ndarray, predicted: np.ndarray) -> Finding | None:
    """Look at nothing but numbers: the true classes and the predicted ones."""
    one = np.full((1, 8, 8, 3), 0.5, np.float32)
    evidence = look(linear, one, labels=outputs, outputs=outputs, predicted=predicted)
    return OrderOfClasses()(replace(evidence, classifier=replace(linear, labels=tuple(map(str, range(100))))))


@pytest.mark.parametrize(("moved", "expected"), [(2, 0.6), (5, 0.375), (10, 0.0)])
def test_classes_in_another_order(linear: Classifier, moved: int, expected: float) -> None:
    rng = np.random.default_rng(moved)
    # Other outputs of the model than those of the data play no part.
    classes = np.arange(0, 30, 3)
    order = classes.copy()
    order[:moved] = np.roll(classes[:moved], 1)
    outputs = np.repeat(classes, 30)
    right = rng.random(300) < 0.75
    predicted = np.where(right, order[outputs // 3], rng.integers(30, 60, 300))
    found = numbered(linear, outputs, predicted)
    assert found is not None and found.suspect
    accuracy, other = (predicted == outputs).mean(), right.mean()
    assert accuracy == pytest.approx(expected, abs=0.08)
    assert f"{accuracy:.1%} of 300 clean images" in found.evidence
    assert f"in another order it would be {other:.1%}: images of '0' are taken for '{order[0]}'" in found.evidence
    fitting = numbered(linear, order[outputs // 3], predicted)
    assert fitting is not None and not fitting.suspect


@pytest.mark.parametrize("accuracy", [0.0, 0.1, 0.4])
def test_guesses_are_in_no_other_order(linear: Classifier, accuracy: float) -> None:
    rng = np.random.default_rng(5)
    for classes, images in ((10, 60), (30, 60), (100, 150), (2, 12)):
        outputs = np.arange(images) % classes
        guesses = np.where(rng.random(images) < accuracy, outputs, rng.integers(0, classes, images))
        found = numbered(linear, outputs, guesses)
        assert found is not None and not found.suspect, (classes, images)


def test_one_answer_for_all_images_and_no_answer_are_no_order(linear: Classifier) -> None:
    outputs = np.arange(200) % 10
    for answer in (3, -1):
        found = numbered(linear, outputs, np.full(200, answer))
        assert found is not None and not found.suspect
    assert numbered(linear, np.zeros(50, int), np.ones(50, int)) is None


@pytest.mark.parametrize("wanted", [(0.0, 255.0), (-1.0, 1.0)])
def test_a_wrong_input_range(linear: Classifier, pixels: np.ndarray, wanted: tuple[float, float]) -> None:
    low, high = wanted
    theirs = before(linear, lambda images: (images - low) / (high - low))
    correct = look(replace(theirs, input_range=wanted), pixels)
    assert not finding("input-range", correct).suspect
    wrong = look(theirs, pixels, correct.indices)
    assert wrong.clean_accuracy < 0.75
    found = finding("input-range", wrong)
    assert found.suspect
    assert f"and 40 with values from {low:g} to {high:g}" in found.evidence
    assert f"--input-range {low:g},{high:g}" in found.remedy


def test_labels_in_another_order(linear: Classifier, pixels: np.ndarray) -> None:
    seen = linear.predict(pixels).argmax(axis=1)
    found = finding("input-range", look(linear, pixels, (seen + 1) % CLASSES))
    assert found.suspect
    assert "order of --labels" in found.remedy


def test_hardly_better_than_guessing(sound: Evidence) -> None:
    few = replace(sound, pixels=sound.pixels[:0], indices=sound.indices[:0])
    for accuracy, suspect in ((0.26, True), (0.29, True), (0.4, False)):
        assert finding("input-range", replace(few, clean_accuracy=accuracy)).suspect == suspect
    # Four of ten is what one in nine who guess get.
    ten = replace(few, labels=few.labels[:10], clean_accuracy=0.4)
    assert finding("input-range", ten).suspect


def test_noise_inside_the_model(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("randomised", look(before(linear, noisy), pixels))
    assert found.suspect
    assert "eot" in found.remedy
    assert "--repeats" in found.remedy
    several = attacked(look(before(linear, noisy), pixels), ("fgsm", 0.01))
    several = replace(several, scores=[replace(each, repeats=20) for each in several.scores])
    assert "--repeats" not in finding("randomised", several).remedy
    assert (
        "random: layer 'blur' (Applied)" in finding("randomised", look(before(linear, noisy, "blur"), pixels)).evidence
    )
    image = keras.Input((8, 8, 3))
    at_rest = keras.Model(image, linear.model(keras.layers.GaussianNoise(0.1)(image)))
    assert not finding("randomised", look(replace(linear, model=at_rest), pixels)).suspect


def test_a_model_that_rounds_has_no_gradient(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("zero-gradients", look(before(linear, rounded), pixels))
    assert found.suspect
    assert "zero at 40 of 40 images" in found.evidence
    assert "square" in found.remedy


def test_a_gradient_that_is_not_a_number(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("zero-gradients", look(before(linear, rooted), pixels))
    assert found.suspect
    assert "not a number at 40" in found.evidence
    assert "division by zero" in found.remedy


def test_a_model_so_sure_that_its_loss_is_flat(linear: Classifier, pixels: np.ndarray) -> None:
    sure = replace(linear, model=behind(linear, lambda logits: 1e5 * logits))
    found = finding("zero-gradients", look(sure, pixels))
    assert found.suspect
    assert "dlr" in found.remedy


def test_few_images(sound: Evidence) -> None:
    few = finding("sample-size", replace(sound, labels=sound.labels[:100]))
    assert few.suspect
    # 0.98 / sqrt(100 + 3.84) is 9.6%.
    assert "uncertain by up to 9.6 points" in few.evidence
    assert not finding("sample-size", replace(sound, labels=np.zeros(264, int))).suspect
    assert finding("sample-size", replace(sound, labels=np.zeros(262, int))).suspect
    # Attacks can only lower an accuracy of 5%, which few images tell apart from others.
    assert not finding("sample-size", replace(sound, labels=sound.labels[:100], clean_accuracy=0.05)).suspect


@pytest.mark.parametrize(
    ("counts", "suspect"),
    [
        ([25, 25, 25, 25], False),
        ([40, 20, 20, 20], False),
        ([70, 10, 10, 10], True),
        ([34, 33, 33, 0], True),
        ([2, 1, 1, 0], False),
        ([85, 15], True),
        ([65, 35], False),
        ([1] * 50 + [0] * 50, False),
        ([25] * 2 + [0] * 98, True),
    ],
)
def test_uneven_classes(sound: Evidence, counts: list[int], suspect: bool) -> None:
    labels = np.repeat(np.arange(len(counts)), counts)
    found = finding("class-imbalance", replace(sound, labels=labels, classes=len(counts)))
    assert found.suspect == suspect, found.evidence
    assert found.evidence.startswith("classes are balanced") == (not suspect)


def measured_on(classifier: Classifier, pixels: np.ndarray) -> EvaluatedModel:
    labels = np.zeros(len(pixels), np.int32)
    return EvaluatedModel(classifier, Images(pixels, labels), labels, np.arange(len(pixels)))


def finished(events: Any) -> Any:
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("seed", range(3))
def test_images_that_were_trained_on(sound: Evidence, linear: Classifier, seed: int) -> None:
    generator = np.random.default_rng(seed)
    train = generator.integers(0, 256, (30_000, 8, 8, 3), dtype=np.uint8)
    test = generator.integers(0, 256, (100, 8, 8, 3), dtype=np.uint8)
    split = Split(np.zeros(len(train), np.int32), lambda i: train[i], str)
    clean = finished(training_overlap(split, measured_on(linear, test)))
    assert clean == Overlap(0, 100, 30_000)
    assert not finding("duplicates", replace(sound, overlap=clean)).suspect
    # Three images are planted where a sample of 20,000 does not look.
    overlooked = np.setdiff1d(np.arange(len(train)), stratified(split.labels, 20_000, 0))
    train[generator.choice(overlooked, 3, replace=False)] = test[[7, 30, 71]]
    found = finding("duplicates", replace(sound, overlap=finished(training_overlap(split, measured_on(linear, test)))))
    assert found.suspect
    assert "3 of 100 measured images" in found.evidence
    assert "all 30000 training images compared" in found.evidence


def test_training_images_are_compared_one_by_one(sound: Evidence, linear: Classifier) -> None:
    test = np.zeros((4, 8, 8, 3), np.uint8)
    broken = {3, 5}

    def read(index: int) -> np.ndarray:
        if index in broken:
            raise OSError("no image")
        return np.random.default_rng(index).integers(1, 256, (8, 8, 3), dtype=np.uint8)

    split = Split(np.zeros(6000, np.int32), read, str)
    tracemalloc.start()
    overlap = finished(training_overlap(split, measured_on(linear, test)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # A hash of every training image would take ten times as much.
    assert peak < 100_000
    assert overlap == Overlap(0, 4, 5998, 2)
    assert (
        "(all 5998 training images compared; 2 others cannot be read)"
        in finding("duplicates", replace(sound, overlap=overlap)).evidence
    )
    nothing = Split(np.zeros(0, np.int32), read, str)
    assert finished(training_overlap(nothing, measured_on(linear, test))) is None
    assert registry.build("checks", "duplicates")(replace(sound, overlap=None)) is None


def test_a_masked_gradient_is_beaten_without_gradients(linear: Classifier, pixels: np.ndarray) -> None:
    attacks = (("pgd:steps=10", 0.05), ("fgsm", 0.05), ("square:queries=200", 0.05))
    found = finding("black-beats-white", attacked(look(before(linear, rounded), pixels), *attacks))
    assert found.suspect
    assert found.evidence.startswith("at Linf 0.05, square:queries=200 leaves")
    assert "square" not in found.remedy
    # One step is no measure: without the other nothing can be said.
    only = attacked(look(linear, pixels), ("fgsm", 0.05), ("square:queries=5", 0.05))
    assert registry.build("checks", "black-beats-white")(only) is None


def test_a_step_that_beats_many(linear: Classifier, pixels: np.ndarray) -> None:
    attacks = (("fgsm", 0.02), ("pgd:steps=10", 0.02))
    assert finding("single-beats-multi", attacked(look(before(linear, astray), pixels), *attacks)).suspect
    only = attacked(look(linear, pixels), ("fgsm", 0.02), ("pgd:steps=1", 0.02))
    assert registry.build("checks", "single-beats-multi")(only) is None


def test_a_step_that_goes_too_far(pixels: np.ndarray) -> None:
    image = keras.Input((8, 8, 3))
    wavy = Classifier("wavy", keras.Model(image, Applied(waves)(image)), ("up", "down"), (8, 8))
    dark = pixels * 0.2  # 20 times their mean is about 2, on the way down
    evidence = attacked(look(wavy, dark), ("fgsm", 0.05), ("fgsm", 0.14), ("fgsm", 0.28))
    found = finding("rises-with-eps", evidence)
    assert found.suspect
    assert [each.correct for each in evidence.scores] == [40, 0, 40]
    assert found.evidence == "fgsm leaves 0 of 40 images correct at Linf 0.14, but 40 at Linf 0.28"
    assert "also run pgd" in found.remedy
    assert "pgd" not in finding("rises-with-eps", replace(evidence, attacks=("pgd:steps=5",))).remedy


@pytest.mark.parametrize(
    ("name", "stronger", "weaker"),
    [
        ("rises-with-eps", ("pgd", 0.1), ("pgd", 0.2)),
        ("single-beats-multi", ("fgsm", 0.1), ("apgd", 0.1)),
        ("single-beats-multi", ("rfgsm", 0.1), ("autoattack", 0.1)),
        ("black-beats-white", ("square", 0.1), ("pgd", 0.1)),
        ("black-beats-white", ("noise", 0.1), ("cw", 0.1)),
        ("black-beats-white", ("hopskipjump", 0.1), ("autoattack", 0.1)),
    ],
)
def test_a_few_images_either_way_are_chance(
    sound: Evidence, name: str, stronger: tuple[str, float], weaker: tuple[str, float]
) -> None:
    def suspect(fewer: int, more: int, images: int, **changes: Any) -> bool | None:
        pair = ((stronger, fewer), (weaker, more))
        scores = [replace(score(spec, count, eps, images), **changes) for (spec, eps), count in pair]
        found = registry.build("checks", name)(replace(sound, scores=scores))
        return found and found.suspect

    assert suspect(20, 25, 50) is True
    assert suspect(20, 24, 50) is False
    assert suspect(25, 20, 50) is False
    # 0.2 points of 10,000 are 20.
    assert suspect(4000, 4020, 10_000) is False
    assert suspect(4000, 4021, 10_000) is True
    # Neither a corruption nor a search that was cut short says anything.
    assert suspect(20, 50, 50, searched=30) is None
    assert suspect(20, 50, 50, norm=None, eps=None) is None


def test_scores_of_other_balls_are_not_compared(sound: Evidence) -> None:
    for other in (score("pgd", 40, eps=0.2), score("pgd", 40, norm="l2")):
        scores = (score("fgsm", 0), score("square", 0), other)
        for name in ("single-beats-multi", "black-beats-white", "rises-with-eps"):
            assert registry.build("checks", name)(replace(sound, scores=scores)) is None


def test_a_check_that_the_models_layers_fail_in_is_left_out(
    linear: Classifier, pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    @tf.custom_gradient
    def broken(images: Tensor) -> Any:
        return tf.identity(images), lambda upstream: (upstream, upstream, upstream)

    evidence = look(before(linear, broken), pixels)
    found = {record.check: record.verdict for record in check(evidence, after=False, data="d", seed=0)}
    assert "zero-gradients" not in found and found["order-of-classes"] == "PASS"
    assert "the check zero-gradients failed and is left out" in caplog.text


def test_what_survives_everything_hides(linear: Classifier, pixels: np.ndarray) -> None:
    found = finding("unbounded", look(before(linear, rounded), pixels))
    assert found.suspect
    assert "leaves 40 of 40 images correct" in found.evidence


def test_without_images_there_is_nothing_to_say(sound: Evidence) -> None:
    arrays = {name: getattr(sound, name)[:0] for name in ("pixels", "indices", "labels", "outputs", "predicted")}
    nothing = replace(sound, **arrays, scores=(), overlap=None)
    assert not list(check(nothing, after=False, data="d", seed=0))
    assert not list(check(nothing, after=True, data="d", seed=0))


def scores_of(classifier: Classifier, pixels: np.ndarray, eps: float, *attacks: str) -> Evidence:
    """Measure a classifier under attacks as an evaluation does; what it sees in the images is their class."""
    labels = classifier.predict(pixels).argmax(axis=1).astype(np.int32)
    split = Split(labels, lambda i: pixels[i], str)
    dataset = Dataset("drawn", classifier.labels, split, split, 8)
    built = {spec: registry.build("attacks", spec) for spec in attacks}
    events = quick_scores(classifier, dataset, Images(pixels, labels), built, [Threat(Norm.LINF, eps)])
    scores = [event for event in events if isinstance(event, Score)]
    return look(classifier, pixels, scores=scores, attacks=attacks)


def test_a_suite_alone_shows_a_masked_gradient(linear: Classifier, pixels: np.ndarray) -> None:
    evidence = scores_of(before(linear, rounded), pixels[:16], 0.05, "autoattack")
    score = next(score for score in evidence.scores if score.perturbation == "autoattack")
    assert score.fooled_by is not None
    assert list(score.fooled_by) == list(registry.build("attacks", "autoattack").members_in(Norm.LINF))
    assert sum(score.fooled_by.values()) == 16 - score.correct
    assert score.fooled_by["square"] >= 8
    found = finding("black-beats-white", evidence)
    assert found.suspect
    assert found.evidence.startswith(f"at Linf 0.05, in autoattack, square fools {score.fooled_by['square']} of the ")
    assert "square" not in found.remedy
    sound = scores_of(linear, pixels[:16], 0.02, "autoattack")
    (score,) = [score for score in sound.scores if score.perturbation == "autoattack"]
    assert score.fooled_by is not None
    assert score.fooled_by["apgd:loss=ce"] > 4
    assert not finding("black-beats-white", sound).suspect


@pytest.mark.parametrize(
    ("fooled", "images", "suspect"),
    [((9, 9, 9, 2), 100, False), ((9, 9, 9, 3), 100, True), ((9, 0, 0, 3), 2000, False)],
)
def test_what_square_adds_to_a_suite(sound: Evidence, fooled: tuple[int, ...], images: int, suspect: bool) -> None:
    members = registry.build("attacks", "autoattack").members_in(Norm.LINF)
    scores = [score("autoattack", 20, images=images, fooled_by=dict(zip(members, fooled, strict=True)))]
    assert finding("black-beats-white", replace(sound, scores=scores)).suspect is suspect
    # Before any gradient attack there is nothing to compare with, and without the counts there is nothing to say.
    first = {"square": 30, "apgd:loss=ce": 0}
    for known in (first, None):
        scores = [score("autoattack", 20, images=images, fooled_by=known)]
        assert registry.build("checks", "black-beats-white")(replace(sound, scores=scores)) is None


def test_a_gradient_attack_that_fools_nothing_beside_one_that_fools_most(
    linear: Classifier, pixels: np.ndarray
) -> None:
    # The cross-entropy of so confident a model is flat, the margin is not.
    confident = replace(linear, model=behind(linear, lambda logits: 1e5 * logits))
    evidence = scores_of(confident, pixels, 0.05, "pgd:steps=5", "apgd:loss=dlr,steps=20")
    found = finding("gradient-attacks-differ", evidence)
    assert found.suspect
    assert found.evidence.startswith("at Linf 0.05, pgd:steps=5 fools ")
    assert "apgd:loss=dlr,steps=20 fools" in found.evidence
    usual = scores_of(linear, pixels, 0.05, "pgd:steps=5", "apgd:loss=dlr,steps=20", "fgsm")
    assert not finding("gradient-attacks-differ", usual).suspect


@pytest.mark.parametrize(
    ("weak", "left", "best_left", "suspect"),
    [
        ("pgd", 40, 0, True),
        ("deepfool", 31, 4, True),
        ("deepfool", 29, 0, False),
        ("fgsm", 31, 4, False),
        ("fgsm", 39, 4, True),
        # Where the best attack itself fools few, nothing can be said.
        ("pgd", 40, 24, False),
    ],
)
def test_how_far_gradient_attacks_may_differ(
    sound: Evidence, weak: str, left: int, best_left: int, suspect: bool
) -> None:
    evidence = replace(sound, scores=[score(weak, left), score("apgd", best_left)], clean_accuracy=1.0)
    assert finding("gradient-attacks-differ", evidence).suspect is suspect
    others = replace(evidence, scores=[score("square", left), score("apgd", best_left)])
    assert registry.build("checks", "gradient-attacks-differ")(others) is None


def test_every_random_layer_is_named_and_no_other(linear: Classifier, pixels: np.ndarray) -> None:
    class Two(keras.layers.Layer):
        def __init__(self) -> None:
            super().__init__(name="two")
            self.still, self.shaking = Applied(tf.identity, "still"), Applied(noisy, "shaking")

        def call(self, inputs: Tensor) -> Tensor:
            return self.shaking(self.still(inputs))

    class Own(keras.Model):
        def call(self, inputs: Tensor) -> Tensor:
            return linear.model(noisy(inputs))

    image = keras.Input((8, 8, 3))
    inside = keras.Sequential([image, keras.layers.ReLU(), Applied(noisy, "deep")])
    model = keras.Model(image, linear.model(Two()(inside(keras.layers.GaussianNoise(0.1)(image)))))
    found = finding("randomised", look(replace(linear, model=model), pixels))
    assert found.evidence.endswith("; random: layers 'deep' (Applied), 'shaking' (Applied)")
    own = Own()
    own(pixels[:1])
    assert "the code of the model itself" in finding("randomised", look(replace(linear, model=own), pixels)).evidence


@pytest.mark.parametrize(
    ("head", "bound"),
    [
        (tf.tanh, "above 1"),
        (keras.activations.hard_sigmoid, "above 1"),
        (tf.sigmoid, "above 1"),
        (lambda logits: tf.clip_by_value(logits, -30.0, 30.0), "above 30"),
        (tf.nn.relu, "below 0"),
        (lambda logits: 5 * tf.nn.softsign(1e6 * logits), "above 5"),
    ],
)
def test_a_bounded_head(linear: Classifier, pixels: np.ndarray, head: Any, bound: str) -> None:
    found = finding("probabilities", look(replace(linear, model=behind(linear, head)), pixels))
    assert found.suspect, found.evidence
    assert f"no output is {bound}," in found.evidence
    assert "square" in found.remedy


@pytest.mark.parametrize("classes", [2, 10])
@pytest.mark.parametrize("features", ["relu6", "tanh", "layer norm", "batch norm"])
def test_bounded_features_are_no_bounded_head(pixels: np.ndarray, features: str, classes: int) -> None:
    keras.utils.set_random_seed(3)
    layers = keras.layers
    last = {
        "relu6": layers.ReLU(6.0), "tanh": layers.Activation("tanh"), "layer norm": layers.LayerNormalization(),
        "batch norm": layers.BatchNormalization(),
    }[features]  # fmt: skip
    network = [layers.Conv2D(8, 3), last, layers.GlobalAveragePooling2D(), layers.Dense(classes, "linear", name="out")]
    model = keras.Sequential([keras.Input((8, 8, 3)), *network])
    named = Classifier("bounded inside", model, tuple(f"kind {i}" for i in range(classes)), (8, 8))
    found = finding("probabilities", look(named, pixels))
    assert not found.suspect, found.evidence


RUN = ("square", "apgd:loss=dlr", "autoattack", "autoattack:version=rand", "pgd:steps=100,eot=20", "apgd:eot=20")


@pytest.mark.parametrize(
    ("name", "function"),
    [
        ("zero-gradients", rounded),
        ("zero-gradients", rooted),
        ("unbounded", rounded),
        ("randomised", noisy),
        ("probabilities", None),
    ],
)
def test_a_remedy_names_no_attack_that_was_run(
    linear: Classifier, pixels: np.ndarray, name: str, function: Any
) -> None:
    model = before(linear, function) if function else replace(linear, model=behind(linear, tf.tanh))
    evidence = look(model, pixels)
    first, again = finding(name, evidence), finding(name, replace(evidence, attacks=RUN))
    assert first.suspect
    assert again.suspect
    for spec in RUN:
        assert spec.partition(":")[0] not in again.remedy.replace(":", " ").split()
    # One that was run with other options is named with those that matter.
    if name == "randomised":
        other = finding(name, replace(evidence, attacks=("pgd:eot=5", "autoattack")))
        assert "pgd:eot=20 or apgd:eot=20 or autoattack:version=rand" in other.remedy
